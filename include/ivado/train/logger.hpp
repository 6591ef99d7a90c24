// What a run says to people: lines on the terminal and in the log file, and a progress bar where there is a terminal.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>

#include "../error.hpp"

namespace ivado {

/// Is told what happens, for people.
///
/// Requirements: `open(path)` begins a log file; `info(line)`, `warning(line)`; `progress(what, done, total, note)`.
/// Law: `info` and `warning` lose no line.
/// Models: ConsoleLogger, QuietLogger.
template <class T>
concept Logger = std::default_initializable<T> && requires(T& logger, const std::string& text, std::int64_t n) {
  logger.open(text);
  logger.info(text);
  logger.warning(text);
  logger.progress(text, n, n, text);
};

/// Says nothing.
class QuietLogger {
 public:
  void open(const std::string&) noexcept {}
  void info(const std::string&) noexcept {}
  void warning(const std::string&) noexcept {}
  void progress(const std::string&, std::int64_t, std::int64_t, const std::string&) noexcept {}
};

/// Lines to standard output and the log file, warnings to standard error and the log file; the progress bar to
/// standard error
/// if that is a terminal.
class ConsoleLogger {
 public:
  ConsoleLogger() = default;
  ConsoleLogger(const ConsoleLogger&) = delete;
  ConsoleLogger& operator=(const ConsoleLogger&) = delete;
  ~ConsoleLogger() { erase_bar(); }

  /// Begins the log file, or goes on with it.
  /// @throws Error (internal) if it cannot be written
  void open(const std::string& path) {
    file_.open(path, std::ios::app);
    if (!file_)
      throw internal_error("opening the log " + path, "it cannot be written", "check the permissions of its folder");
  }
  void info(const std::string& line) {
    erase_bar();
    std::cout << line << std::endl;
    if (file_.is_open()) file_ << line << std::endl;
  }
  void warning(const std::string& line) {
    erase_bar();
    std::cerr << "warning: " << line << std::endl;
    if (file_.is_open()) file_ << "warning: " << line << std::endl;
  }
  /// Draws the bar: at most ten times a second, and at the end.
  void progress(const std::string& what, std::int64_t done, std::int64_t total, const std::string& note) {
    if (!is_terminal_ || total < 1) return;
    const auto now = std::chrono::steady_clock::now();
    if (done == 1 || bar_width_ == 0) begin_ = now;
    if (bar_width_ != 0 && done < total && now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    constexpr std::int64_t cells = 30;
    const std::int64_t full = std::clamp<std::int64_t>(cells * done / total, 0, cells);
    std::string bar = "\r" + what + " [" + std::string(static_cast<std::size_t>(full), '#') +
                      std::string(static_cast<std::size_t>(cells - full), '.') + "] " + std::to_string(done) + "/" +
                      std::to_string(total);
    if (done > 1 && done < total) {
      const double left = std::chrono::duration<double>(now - begin_).count() / static_cast<double>(done - 1) *
                          static_cast<double>(total - done);
      bar += ", " + std::to_string(static_cast<std::int64_t>(left + 0.5)) + " s left";
    }
    if (!note.empty()) bar += ", " + note;
    const std::size_t width = bar.size();
    if (width < bar_width_) bar.append(bar_width_ - width, ' ');
    bar_width_ = width;
    std::fputs(bar.c_str(), stderr);
    std::fflush(stderr);
  }

 private:
  void erase_bar() {
    if (bar_width_ == 0) return;
    std::fputs(("\r" + std::string(bar_width_, ' ') + "\r").c_str(), stderr);
    std::fflush(stderr);
    bar_width_ = 0;
  }

  std::ofstream file_;
  bool is_terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::size_t bar_width_ = 0;
  std::chrono::steady_clock::time_point begin_{};
  std::chrono::steady_clock::time_point drawn_{};
};

static_assert(Logger<ConsoleLogger> && Logger<QuietLogger>);

}  // namespace ivado
