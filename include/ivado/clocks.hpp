// The clocks of a run: time that passes, and processor time of the process and of a thread.
#pragma once

#include <ctime>

#include "inline.hpp"

namespace ivado {

namespace detail {

/// Seconds on a POSIX clock; 0 where there is no such clock.
[[nodiscard]] IVADO_INLINE double clock_s(clockid_t clock) noexcept {
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace detail

/// Seconds on a clock that never goes back.
[[nodiscard]] inline double wall_s() noexcept { return detail::clock_s(CLOCK_MONOTONIC); }
/// Processor time of all threads of this process since it began, in seconds of one core.
[[nodiscard]] inline double processor_s() noexcept { return detail::clock_s(CLOCK_PROCESS_CPUTIME_ID); }
/// Processor time of the calling thread, in seconds.
[[nodiscard]] inline double thread_processor_s() noexcept { return detail::clock_s(CLOCK_THREAD_CPUTIME_ID); }

/// One reading of both clocks of a process.
struct Moment {
  double wall_s = 0;
  double processor_s = 0;

  [[nodiscard]] static Moment now() noexcept { return {ivado::wall_s(), ivado::processor_s()}; }
};

}  // namespace ivado
