// What a run says to people: lines on the terminal and in the log file, a progress bar, and the numbers of each epoch.
#pragma once

#include <cerrno>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "progress.hpp"

namespace ivado {

/// Is told what happens, for people.
///
/// Requirements: `open(path)` begins a log file; `info(line)`, `warning(line)`; `progress(what, done, total, note)`.
/// Law: `info` and `warning` lose no line.
/// Models: ConsoleLogger, QuietLogger, LogFiles, TensorBoardLogger; Loggers is several in one.
template <class T>
concept Logger = std::default_initializable<T> && requires(T& logger, const std::string& text, std::int64_t n) {
  logger.open(text);
  logger.info(text);
  logger.warning(text);
  logger.progress(text, n, n, text);
};

/// One epoch, as logs show it.
struct EpochRecord {
  int epoch = 0;                                                      ///< from 1
  double learning_rate = 0;                                           ///< at its beginning
  double training_loss = 0;                                           ///< mean over samples
  double validation_loss = std::numeric_limits<double>::quiet_NaN();  ///< mean over samples; NaN without validation
  double seconds = 0;                                                 ///< wall time of training and validation
  double waiting_s = 0;                                               ///< of it spent waiting for data
  bool is_best = false;                                               ///< the best state so far
  /// Further numbers by name, in the order in which they are shown: losses and metrics of classes, such as
  /// "val_dice_class0". NaN: not defined in this epoch.
  std::vector<std::pair<std::string, double>> values{};

  /// Share of the time spent waiting for data, in [0, 1].
  [[nodiscard]] double waiting_share() const noexcept { return seconds > 0 ? waiting_s / seconds : 0; }
};

/// A logger that also keeps the numbers of each epoch.
///
/// Requirements: those of Logger; `begin_training(epochs_done)` after `open` and before the first epoch, 0 for a new
/// training; `epoch(record)` after each epoch.
/// Laws: with the first epoch after `begin_training(n)`, nothing is left to be seen of an earlier run's epochs later
/// than n; before `begin_training` nothing of an earlier run is touched.
/// Models: LogFiles, TensorBoardLogger, Loggers.
template <class T>
concept EpochLogger = Logger<T> && requires(T& logger, const EpochRecord& record) {
  logger.begin_training(record.epoch);
  logger.epoch(record);
};

/// A logger that also keeps pictures.
///
/// Requirements: those of Logger; `image(tag, epoch, png)` with the bytes of a whole PNG file.
/// Models: TensorBoardLogger, Loggers.
template <class T>
concept ImageLogger = Logger<T> && requires(T& logger, const std::string& tag, std::string_view png) {
  logger.image(tag, 1, png);
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
/// standard error.
class ConsoleLogger {
 public:
  /// Begins the log file, or goes on with it.
  /// @throws Error (internal) if it cannot be written
  IVADO_INLINE void open(const std::string& path) {
    path_ = path;
    file_.open(path, std::ios::app);
    if (!file_)
      throw internal_error("opening the log " + path, "it cannot be written", "check the permissions of its folder");
  }
  /// @throws Error (internal) if the log file takes no more, as on a full disk
  IVADO_INLINE void info(const std::string& line) {
    bar_.erase();
    std::cout << line << std::endl;
    keep(line);
  }
  /// @throws Error (internal) if the log file takes no more
  IVADO_INLINE void warning(const std::string& line) {
    bar_.erase();
    std::cerr << "warning: " << line << std::endl;
    keep("warning: " + line);
  }
  /// Draws the bar, see ProgressBar.
  IVADO_INLINE void progress(const std::string& what, std::int64_t done, std::int64_t total, const std::string& note) {
    bar_.show({what, done, total, note});
  }

 private:
  IVADO_INLINE void keep(const std::string& line) {
    if (!file_.is_open()) return;
    errno = 0;
    file_ << line << std::endl;
    if (!file_)
      throw internal_error("writing the log " + path_, errno != 0 ? std::strerror(errno) : "it takes no more",
                           "check the free space of its folder");
  }

  std::string path_;
  std::ofstream file_;
  ProgressBar bar_{stderr};
};

static_assert(Logger<ConsoleLogger> && Logger<QuietLogger>);

}  // namespace ivado
