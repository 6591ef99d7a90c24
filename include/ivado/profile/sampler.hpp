// A thread that looks at the machine at even intervals while something else runs.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "../clocks.hpp"
#include "gpu.hpp"
#include "resources.hpp"

namespace ivado {

/// What a ResourceSampler looks at; all but the bytes are shares in [0, 1].
enum class Resource {
  machine_processor,  ///< cores of the machine that were busy, since the look before
  machine_memory,     ///< memory of the machine that is in use
  resident_bytes,     ///< memory of this process
  gpu_busy,
  gpu_memory,          ///< of its memory, what is in use
  gpu_memory_traffic,  ///< of the time, when its memory was read or written
};
/// Their number.
inline constexpr std::size_t resource_count = 6;

/// One value for each resource; `not_measured` where the machine does not tell.
class ResourceValues {
 public:
  [[nodiscard]] double operator[](Resource what) const noexcept { return values_[static_cast<std::size_t>(what)]; }
  [[nodiscard]] double& operator[](Resource what) noexcept { return values_[static_cast<std::size_t>(what)]; }
  [[nodiscard]] auto begin() const noexcept { return values_.begin(); }
  [[nodiscard]] auto begin() noexcept { return values_.begin(); }
  [[nodiscard]] static constexpr std::size_t size() noexcept { return resource_count; }

 private:
  std::array<double, resource_count> values_{};
};

/// Looks at the resources every so many milliseconds in a thread of its own, and gives their means over any window.
///
/// A look costs some 60 microseconds of processor time, and memory does not grow with time: only sums are kept.
class ResourceSampler {
 public:
  /// A moment from which a mean is taken.
  struct Mark {
    ResourceValues sums;
    std::uint64_t looks = 0;
  };

  /// Looks for the first time, and starts the thread.
  /// @param with_gpu  look for a graphics processor
  /// @param gpu       which one, as NVML counts
  explicit ResourceSampler(std::chrono::milliseconds interval, bool with_gpu = true, unsigned gpu = 0)
      : gpu_(with_gpu ? new Gpu(gpu) : nullptr), interval_(interval) {
    look();
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  [[nodiscard]] Mark mark() const {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  /// The means of the looks since `mark`; of the last look where there was none since.
  [[nodiscard]] ResourceValues mean_since(const Mark& mark) const {
    const std::lock_guard lock(mutex_);
    const auto looks = static_cast<double>(now_.looks - mark.looks);
    if (looks == 0) return last_;
    ResourceValues out;
    for (std::size_t i = 0; i < out.size(); ++i) out.begin()[i] = (now_.sums.begin()[i] - mark.sums.begin()[i]) / looks;
    return out;
  }
  [[nodiscard]] bool has_gpu() const noexcept { return gpu_ && gpu_->is_there(); }
  /// Processor time of the sampler's own thread so far, in seconds.
  [[nodiscard]] double own_processor_s() const {
    const std::lock_guard lock(mutex_);
    return own_processor_s_;
  }

 private:
  void run(const std::stop_token& stop) {
    std::mutex sleep;
    std::condition_variable_any wake;
    std::unique_lock lock(sleep);
    while (!wake.wait_for(lock, stop, interval_, [&] { return stop.stop_requested(); })) {
      if (stop.stop_requested()) return;
      look();
      const double own = thread_processor_s();
      const std::lock_guard guard(mutex_);
      own_processor_s_ = own;
    }
  }

  void look() {
    const MachineProcessor processor = MachineProcessor::now();
    ResourceValues seen;
    seen[Resource::machine_processor] = processor.share_since(processor_);
    seen[Resource::machine_memory] = MachineMemory::now().used_share();
    seen[Resource::resident_bytes] = ivado::resident_bytes();
    const GpuUse gpu = gpu_ ? gpu_->use() : GpuUse{};
    seen[Resource::gpu_busy] = gpu.busy_share;
    seen[Resource::gpu_memory] = gpu.used_share();
    seen[Resource::gpu_memory_traffic] = gpu.memory_traffic_share;
    processor_ = processor;
    const std::lock_guard lock(mutex_);
    // The first look has no share of the processor's time yet, and ticks are coarse.
    if (!(seen[Resource::machine_processor] >= 0))
      seen[Resource::machine_processor] = last_[Resource::machine_processor];
    last_ = seen;
    for (std::size_t i = 0; i < seen.size(); ++i) now_.sums.begin()[i] += seen.begin()[i];
    ++now_.looks;
  }

  std::unique_ptr<Gpu> gpu_;
  std::chrono::milliseconds interval_;
  MachineProcessor processor_{};  // of the last look; the thread's alone once it runs
  mutable std::mutex mutex_;
  Mark now_;
  ResourceValues last_;
  double own_processor_s_ = 0;
  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace ivado
