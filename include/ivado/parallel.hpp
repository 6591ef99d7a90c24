// The threads of all loops: those of oneDNN and of LibTorch, which are libgomp's, so that one number holds for all and no second pool
// waits for the first one's processors. libgomp is called as compilers call it for `#pragma omp parallel`; so nothing
// that includes this needs -fopenmp, which would change LibTorch's headers as well: without it, `at::parallel_for` in a program's own
// sources is a loop on one thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>

extern "C" {
void omp_set_num_threads(int) noexcept;
int omp_get_max_threads() noexcept;
int omp_get_thread_num() noexcept;
int omp_get_num_threads() noexcept;
/// The entry of a parallel region in libgomp's binary interface (GOMP_4.0, also in LLVM's libomp).
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
}

namespace ivado {

/// Sets the number of threads of this thread's parallel regions, oneDNN's among them, for as long as it lives.
class ThreadScope {
 public:
  explicit ThreadScope(int threads) noexcept : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;
  ~ThreadScope() { omp_set_num_threads(before_); }

 private:
  int before_;
};

/// One thread a core.
[[nodiscard]] inline int default_threads() noexcept {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// Calls `body(i)` for each i in [0, count), in runs that the threads of the scope take as they come, since some take longer than others.
/// `body` must not throw.
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
  const int threads = omp_get_max_threads();
  if (count <= 1 || threads == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  constexpr std::int64_t runs_of_thread = 8;
  struct Work {
    const Body& body;
    std::int64_t count;
    std::int64_t run;
    std::atomic<std::int64_t> next{0};
  } work{body, count, std::max<std::int64_t>(1, count / (runs_of_thread * threads))};
  GOMP_parallel(
      [](void* data) {
        Work& own = *static_cast<Work*>(data);
        for (std::int64_t i = own.next.fetch_add(own.run); i < own.count; i = own.next.fetch_add(own.run))
          for (std::int64_t k = i; k < std::min(i + own.run, own.count); ++k) own.body(k);
      },
      &work, 0, 0);
}

/// Calls `body(begin, end)` for runs of [0, count), one a thread, each of `least` or more but for a single one. What a call throws is
/// thrown when all have ended.
/// @param threads  at most, such as `at::get_num_threads()`
template <class Body>
void share_out(int threads, std::int64_t count, std::int64_t least, const Body& body) {
  if (count <= 0) return;
  const std::int64_t runs = std::clamp<std::int64_t>(count / std::max<std::int64_t>(least, 1), 1, std::max(threads, 1));
  if (runs == 1) return void(body(std::int64_t{0}, count));
  struct Work {
    const Body& body;
    std::int64_t count;
    std::mutex mutex{};
    std::exception_ptr fault{};
  } work{body, count};
  GOMP_parallel(
      [](void* data) {
        Work& own = *static_cast<Work*>(data);
        const std::int64_t runs_here = omp_get_num_threads();
        const std::int64_t run = omp_get_thread_num();
        try {
          own.body(own.count * run / runs_here, own.count * (run + 1) / runs_here);
        } catch (...) {
          const std::lock_guard lock(own.mutex);
          if (!own.fault) own.fault = std::current_exception();
        }
      },
      &work, static_cast<unsigned>(runs), 0);
  if (work.fault) std::rethrow_exception(work.fault);
}

}  // namespace ivado
