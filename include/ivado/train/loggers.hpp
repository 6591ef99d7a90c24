// Several loggers as one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

#include "logger.hpp"

namespace ivado {

/// Tells each of its loggers what it is told, in their order: `Loggers<ConsoleLogger, LogFiles, TensorBoardLogger>`.
///
/// The numbers of epochs go to those that are an EpochLogger, pictures to those that are an ImageLogger.
template <Logger... Parts>
class Loggers {
 public:
  void open(const std::string& path) {
    each([&](auto& logger) { logger.open(path); });
  }
  void info(const std::string& line) {
    each([&](auto& logger) { logger.info(line); });
  }
  void warning(const std::string& line) {
    each([&](auto& logger) { logger.warning(line); });
  }
  void progress(const std::string& what, std::int64_t done, std::int64_t total, const std::string& note) {
    each([&](auto& logger) { logger.progress(what, done, total, note); });
  }
  void begin_training(int epochs_done) {
    each([&]<class One>(One& logger) {
      if constexpr (EpochLogger<One>) logger.begin_training(epochs_done);
    });
  }
  void epoch(const EpochRecord& record) {
    each([&]<class One>(One& logger) {
      if constexpr (EpochLogger<One>) logger.epoch(record);
    });
  }
  void image(const std::string& tag, int epoch, std::string_view png) {
    each([&]<class One>(One& logger) {
      if constexpr (ImageLogger<One>) logger.image(tag, epoch, png);
    });
  }

  /// The logger of that type; it occurs once among them.
  template <class One>
  [[nodiscard]] One& get() noexcept {
    return std::get<One>(parts_);
  }

 private:
  template <class Tell>
  void each(const Tell& tell) {
    std::apply([&](auto&... logger) { (tell(logger), ...); }, parts_);
  }

  std::tuple<Parts...> parts_;
};

static_assert(EpochLogger<Loggers<ConsoleLogger>> && ImageLogger<Loggers<QuietLogger, ConsoleLogger>>);

}  // namespace ivado
