// What a process and its machine use: processor, memory, bytes read, instructions, as Linux tells it.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#if defined(__linux__)
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#endif

namespace ivado {

/// A figure that the system does not give.
inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

namespace detail {

/// The content of a small file of the proc file system; empty where there is none.
[[nodiscard]] inline std::string proc_text(const char* path) {
  std::FILE* const file = std::fopen(path, "re");
  if (file == nullptr) return {};
  char buffer[4096];
  const std::size_t n = std::fread(buffer, 1, sizeof buffer, file);
  std::fclose(file);
  return {buffer, n};
}

/// The number behind a label such as "rchar: "; `not_measured` where there is none.
[[nodiscard]] inline double proc_number(std::string_view text, std::string_view label) {
  auto place = label.empty() ? 0 : text.find(label);
  if (place == std::string_view::npos) return not_measured;
  place = text.find_first_not_of(" \t", place + label.size());
  if (place == std::string_view::npos) return not_measured;
  double value = 0;
  const auto [end, fault] = std::from_chars(text.data() + place, text.data() + text.size(), value);
  return fault == std::errc{} && end != text.data() + place ? value : not_measured;
}

}  // namespace detail

/// Bytes of memory that the process occupies now.
[[nodiscard]] inline double resident_bytes() {
  const std::string text = detail::proc_text("/proc/self/statm");
  const auto space = text.find(' ');
  if (space == std::string::npos) return not_measured;
  return detail::proc_number(std::string_view(text).substr(space + 1), "") *
         static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// The most bytes of memory that the process has occupied.
[[nodiscard]] inline double peak_resident_bytes() noexcept {
  rusage use{};
  return ::getrusage(RUSAGE_SELF, &use) == 0 ? 1024.0 * static_cast<double>(use.ru_maxrss) : not_measured;
}

/// Bytes that the process has read since its start, from the disk or from the system's cache.
[[nodiscard]] inline double read_bytes() { return detail::proc_number(detail::proc_text("/proc/self/io"), "rchar:"); }

/// Memory of the machine.
struct MachineMemory {
  double total_bytes = not_measured;
  double used_bytes = not_measured;  ///< not available to programs

  [[nodiscard]] static MachineMemory now() {
    const std::string text = detail::proc_text("/proc/meminfo");
    const double total = 1024 * detail::proc_number(text, "MemTotal:");
    return {total, total - 1024 * detail::proc_number(text, "MemAvailable:")};
  }
  /// In [0, 1].
  [[nodiscard]] double used_share() const noexcept { return used_bytes / total_bytes; }
};

/// Processor time of the whole machine since it started, in ticks of the kernel, over all cores.
struct MachineProcessor {
  double busy = 0;
  double all = 0;

  [[nodiscard]] static MachineProcessor now() {
    const std::string text = detail::proc_text("/proc/stat");
    MachineProcessor out;
    const char* place = text.data() + std::min<std::size_t>(text.size(), 4);  // behind "cpu "
    const char* const end = text.data() + text.size();
    for (int column = 0; column < 8; ++column) {  // user nice system idle iowait irq softirq steal
      while (place < end && *place == ' ') ++place;
      std::uint64_t ticks = 0;
      const auto [next, fault] = std::from_chars(place, end, ticks);
      if (fault != std::errc{}) return {not_measured, not_measured};
      place = next;
      out.all += static_cast<double>(ticks);
      if (column != 3 && column != 4) out.busy += static_cast<double>(ticks);
    }
    return out;
  }
  /// The share of the machine's cores that was busy since an earlier moment, in [0, 1].
  [[nodiscard]] double share_since(const MachineProcessor& earlier) const noexcept {
    return all > earlier.all ? (busy - earlier.busy) / (all - earlier.all) : not_measured;
  }
};

/// Counts the instructions of this thread and of those that it starts from now on, in user mode, with the processor's
/// own counter. Containers and virtual machines often do not give it: then `is_there()` is false.
class InstructionCounter {
 public:
  InstructionCounter() noexcept {
#if defined(__linux__)
    perf_event_attr what{};
    what.size = sizeof what;
    what.type = PERF_TYPE_HARDWARE;
    what.config = PERF_COUNT_HW_INSTRUCTIONS;
    what.inherit = 1;
    what.exclude_kernel = 1;
    what.exclude_hv = 1;
    file_ = static_cast<int>(::syscall(SYS_perf_event_open, &what, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
#endif
  }
  InstructionCounter(const InstructionCounter&) = delete;
  InstructionCounter& operator=(const InstructionCounter&) = delete;
  ~InstructionCounter() {
    if (file_ >= 0) ::close(file_);
  }

  [[nodiscard]] bool is_there() const noexcept { return file_ >= 0; }
  /// Instructions since its construction; `not_measured` where there is no counter.
  [[nodiscard]] double count() const noexcept {
    std::uint64_t value = 0;
    if (file_ < 0 || ::read(file_, &value, sizeof value) != static_cast<ssize_t>(sizeof value)) return not_measured;
    return static_cast<double>(value);
  }

 private:
  int file_ = -1;
};

}  // namespace ivado
