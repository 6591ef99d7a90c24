// What a graphics processor is doing, as NVIDIA's management library (NVML) tells it. The library is looked for when the
// program runs; nothing is linked.
#pragma once

#include <dlfcn.h>

#include "resources.hpp"

namespace ivado {

/// Use of a graphics processor at one moment.
struct GpuUse {
  double busy_share = not_measured;            ///< of the time of NVML's last window in which a kernel ran, in [0, 1]
  double memory_traffic_share = not_measured;  ///< of that time in which memory was read or written, in [0, 1]
  double used_bytes = not_measured;            ///< of its memory
  double total_bytes = not_measured;

  /// Memory in use, in [0, 1].
  [[nodiscard]] double used_share() const noexcept { return used_bytes / total_bytes; }
};

/// One graphics processor of NVIDIA, if the machine has it. Functions and structures as NVML's reference manual gives
/// them.
class Gpu {
 public:
  /// @param index  as NVML counts: all devices of the machine, in the order of the bus
  explicit Gpu(unsigned index = 0) noexcept : library_(::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) return;
    const auto init = function<int()>("nvmlInit_v2");
    const auto handle = function<int(unsigned, Device*)>("nvmlDeviceGetHandleByIndex_v2");
    utilization_ = function<int(Device, Utilization*)>("nvmlDeviceGetUtilizationRates");
    memory_ = function<int(Device, Memory*)>("nvmlDeviceGetMemoryInfo");
    if (init == nullptr || handle == nullptr || init() != 0) return;
    is_ready_ = handle(index, &device_) == 0;
  }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;
  ~Gpu() {
    if (library_ == nullptr) return;
    if (const auto shutdown = function<int()>("nvmlShutdown"); is_ready_ && shutdown != nullptr) shutdown();
    ::dlclose(library_);
  }

  [[nodiscard]] bool is_there() const noexcept { return is_ready_; }
  /// All figures are `not_measured` where there is no such device.
  [[nodiscard]] GpuUse use() const noexcept {
    GpuUse out;
    if (!is_ready_) return out;
    Utilization rates{};
    if (utilization_ != nullptr && utilization_(device_, &rates) == 0) {
      out.busy_share = rates.gpu / 100.0;
      out.memory_traffic_share = rates.memory / 100.0;
    }
    Memory memory{};
    if (memory_ != nullptr && memory_(device_, &memory) == 0) {
      out.used_bytes = static_cast<double>(memory.used);
      out.total_bytes = static_cast<double>(memory.total);
    }
    return out;
  }

 private:
  using Device = void*;
  struct Utilization {
    unsigned gpu;
    unsigned memory;
  };
  struct Memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
  };

  template <class Signature>
  [[nodiscard]] Signature* function(const char* name) const noexcept {
    return reinterpret_cast<Signature*>(::dlsym(library_, name));
  }

  void* library_ = nullptr;
  Device device_ = nullptr;
  int (*utilization_)(Device, Utilization*) = nullptr;
  int (*memory_)(Device, Memory*) = nullptr;
  bool is_ready_ = false;
};

}  // namespace ivado
