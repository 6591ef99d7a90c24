// The progress bar: how far a run is, how fast it goes and when it will be done.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>

#include "../inline.hpp"

namespace ivado {

/// How far something is.
struct ProgressState {
  std::string what;        ///< such as "epoch 3/100"; another one begins a new bar
  std::int64_t done = 0;   ///< batches or other units done
  std::int64_t total = 0;  ///< of so many; below 1: nothing is shown
  std::string note{};      ///< stands behind the rest, see `training_note`
};

/// A duration for people: "12 s", "3 min 05 s", "2 h 14 min", "1 d 03 h".
/// @param seconds  below 0, or not a number: "unknown"
[[nodiscard]] IVADO_INLINE std::string duration_text(double seconds) {
  if (!(seconds >= 0) || !(seconds < 1e15)) return "unknown";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  const auto two_digits = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + two_digits(whole % 60) + " s";
  if (whole < 86400) return std::to_string(whole / 3600) + " h " + two_digits(whole / 60 % 60) + " min";
  return std::to_string(whole / 86400) + " d " + two_digits(whole / 3600 % 24) + " h";
}

/// What stands behind the bar of a training: "loss 0.1234, 12 % waiting for data, 1 h 05 min in all".
/// @param loss           of the last batch
/// @param waiting_share  share of the time spent waiting for data, in [0, 1]; NaN: not shown
/// @param all_left_s     time left for all epochs; NaN: not shown
[[nodiscard]] IVADO_INLINE std::string training_note(double loss,
                                                     double waiting_share = std::numeric_limits<double>::quiet_NaN(),
                                                     double all_left_s = std::numeric_limits<double>::quiet_NaN()) {
  char number[32];
  std::snprintf(number, sizeof number, "%.4f", loss);
  std::string out = std::string("loss ") + number;
  if (std::isfinite(waiting_share)) {
    const double percent = 100 * std::clamp(waiting_share, 0.0, 1.0);
    out += ", " + std::to_string(std::llround(percent)) + " % waiting for data";
  }
  if (std::isfinite(all_left_s)) out += ", " + duration_text(all_left_s) + " in all";
  return out;
}

/// Shows a `ProgressState`: on a terminal as a bar that is drawn over itself, elsewhere as plain lines.
///
/// On a terminal at most ten times a second, and no wider than the window; elsewhere at most every ten seconds, so
/// that the log of a job stays short. Rate and time left are those since the first `show` of the same `what`.
/// For one thread at a time. Takes the output as it finds it; others write to it after `erase`.
class ProgressBar {
 public:
  using Clock = std::chrono::steady_clock;
  /// Between two drawings on a terminal.
  static constexpr std::chrono::milliseconds terminal_interval{100};
  /// Between two lines elsewhere.
  static constexpr std::chrono::seconds line_interval{10};

  /// @param out  stays open as long as the bar lives
  explicit ProgressBar(std::FILE* out = stderr) : out_(out), is_terminal_(::isatty(::fileno(out)) == 1) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { erase(); }

  /// Draws, unless it did so just now.
  /// @param now  the time; never earlier than in the call before
  IVADO_INLINE void show(const ProgressState& progress, Clock::time_point now = Clock::now()) {
    if (progress.total < 1) return;
    if (progress.what != what_ || progress.done < last_done_) {
      what_ = progress.what;
      begin_ = now;
      first_done_ = progress.done;
      if (!is_terminal_) last_drawn_ = now;  // short work needs no line at all
    }
    last_done_ = progress.done;
    if (is_terminal_ ? was_drawn_ && now - last_drawn_ < terminal_interval : now - last_drawn_ < line_interval) return;
    was_drawn_ = true;
    last_drawn_ = now;
    is_terminal_ ? draw(progress, now) : print(progress, now);
  }

  /// Takes the bar off the terminal, so that a line can be written in its place. A later `show` draws it anew.
  IVADO_INLINE void erase() {
    if (width_ == 0) return;
    std::fputs(("\r" + std::string(std::min(width_, columns() - 1), ' ') + "\r").c_str(), out_);
    std::fflush(out_);
    width_ = 0;
  }

 private:
  /// "12/40, 8.3/s, 3 s left, note".
  [[nodiscard]] IVADO_INLINE std::string numbers(const ProgressState& progress, Clock::time_point now) const {
    std::string out = std::to_string(progress.done) + "/" + std::to_string(progress.total);
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const auto done = static_cast<double>(progress.done - first_done_);
    if (done > 0 && seconds > 0) {
      const double rate = done / seconds;
      char number[48];
      if (rate >= 1)
        std::snprintf(number, sizeof number, ", %.1f/s", rate);
      else
        std::snprintf(number, sizeof number, ", %.1f s each", 1 / rate);
      out += number;
      if (progress.done < progress.total)
        out += ", " + duration_text(static_cast<double>(progress.total - progress.done) / rate) + " left";
    }
    if (!progress.note.empty()) out += ", " + progress.note;
    return out;
  }

  /// The columns of the window; 80 where the terminal does not say.
  [[nodiscard]] IVADO_INLINE std::size_t columns() const {
    winsize size{};
    return ::ioctl(::fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  }

  IVADO_INLINE void draw(const ProgressState& progress, Clock::time_point now) {
    // One column stays free: a terminal may go to the next line when the last one is filled.
    const std::size_t room = columns() - 1;
    const std::string behind = numbers(progress, now);
    const std::size_t letters = progress.what.size() + behind.size() + 4;  // blank, two brackets, blank
    std::string line = progress.what + " ";
    if (letters + 5 <= room) {
      const std::size_t cells = std::min<std::size_t>(30, room - letters);
      const double share = std::clamp(static_cast<double>(progress.done) / static_cast<double>(progress.total), 0., 1.);
      const auto full = static_cast<std::size_t>(share * static_cast<double>(cells));
      line += "[" + std::string(full, '#') + std::string(cells - full, '.') + "] ";
    }
    line += behind;
    if (line.size() > room) {
      std::size_t end = room;
      while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0U) == 0x80U) --end;  // no half character of UTF-8
      line.resize(end);
    }
    const std::size_t width = line.size();
    if (width < width_) line.append(std::min(width_, room) - std::min(width, room), ' ');
    width_ = width;
    std::fputs(("\r" + line).c_str(), out_);
    std::fflush(out_);
  }

  IVADO_INLINE void print(const ProgressState& progress, Clock::time_point now) {
    std::fputs((progress.what + "  " + numbers(progress, now) + "\n").c_str(), out_);
    std::fflush(out_);
  }

  std::FILE* out_;
  bool is_terminal_;
  std::string what_;
  std::int64_t first_done_ = 0;
  std::int64_t last_done_ = 0;
  Clock::time_point begin_{};
  Clock::time_point last_drawn_{};
  bool was_drawn_ = false;
  std::size_t width_ = 0;  // of the bar that is on the terminal now
};

}  // namespace ivado
