// What a program sets up once before it computes: threads, memory, device. LibTorch is needed here.
#pragma once

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <malloc.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "error.hpp"
#include "inline.hpp"

namespace ivado {

/// What to set up.
struct RuntimeOptions {
  std::optional<int> threads;   ///< for computing; without a value: one a core. They fix the results to the last bit.
  std::vector<int> gpu_ids{0};  ///< the first one is used where LibTorch sees CUDA
  /// Keep freed memory in the process instead of giving it back to the kernel: fresh pages cost a U-Net step more than
  /// its
  /// arithmetic. Changes glibc's allocator settings; switch it off where the program brings its own allocator.
  bool keep_memory = true;
};

/// What was set up.
struct Runtime {
  int threads = 1;
  at::Device device{at::kCPU};
  std::vector<std::string> notes;  ///< lines for the user: the device, a slow BLAS
};

namespace detail {

/// The file that the linear algebra of this process comes from; empty where that cannot be told.
[[nodiscard]] IVADO_INLINE std::string blas_library() {
  void* symbol = ::dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info{};
  if (symbol == nullptr || ::dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) return {};
  const std::unique_ptr<char, decltype(&std::free)> path(::realpath(info.dli_fname, nullptr), &std::free);
  return path ? path.get() : info.dli_fname;
}

/// True for the reference BLAS that Debian installs by default: matrix products run at a thirtieth of what OpenBLAS
/// reaches.
[[nodiscard]] IVADO_INLINE bool is_reference_blas(const std::string& library) {
  return library.find("/blas/libblas") != std::string::npos;
}

/// Tells OpenBLAS its number of threads. Left alone it takes one a core, and each that has nothing to do spins between
/// the calls: with `--threads 1` the transposed convolutions of a 3-D U-Net burned a third of the processor that way.
/// Does nothing where another BLAS is in use.
IVADO_INLINE void set_blas_threads(int threads) {
  using SetThreads = void (*)(int);
  if (const auto set = reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(threads);
}

}  // namespace detail

/// Sets up threads, memory and device. Call it once, before the first tensor is made.
/// @throws Error (usage) if the number of threads is below 1 or `gpu_ids` is empty
[[nodiscard]] IVADO_INLINE Runtime start_runtime(const RuntimeOptions& options = {}) {
  Runtime runtime;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  runtime.threads = options.threads.value_or(cores);
  if (runtime.threads < 1)
    throw usage_error("starting", "--threads " + std::to_string(runtime.threads), "give 1 or more");
  if (options.gpu_ids.empty())
    throw usage_error("starting", "gpu_ids is empty", "give at least one number, such as [0]");
  at::set_num_threads(runtime.threads);  // ATen begins with one whatever the machine has
  detail::set_blas_threads(runtime.threads);
#ifdef __GLIBC__
  if (options.keep_memory) {
    ::mallopt(M_MMAP_MAX, 0);         // large blocks from the heap as well, which keeps what is freed
    ::mallopt(M_TRIM_THRESHOLD, -1);  // and never shrinks
    ::mallopt(M_TOP_PAD, 64 << 20);
  }
#endif
  if (at::globalContext().hasCUDA()) {
    runtime.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(options.gpu_ids.front()));
    runtime.notes.push_back("device: CUDA " + std::to_string(options.gpu_ids.front()) +
                            " (LibTorch " TORCH_VERSION ")");
  } else {
    runtime.notes.push_back("device: CPU (LibTorch " TORCH_VERSION " sees no CUDA), " +
                            std::to_string(runtime.threads) + (runtime.threads == 1 ? " thread" : " threads"));
  }
  const std::string blas = detail::blas_library();
  if (detail::is_reference_blas(blas))
    runtime.notes.push_back("warning: the reference BLAS (" + blas +
                            ") is in use, 30 times slower than OpenBLAS; install libopenblas0-pthread");
  return runtime;
}

}  // namespace ivado
