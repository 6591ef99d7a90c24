// The curves and pictures of a training for TensorBoard, by ivadomed's names.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "../inline.hpp"
#include "../interop/event_file.hpp"
#include "logger.hpp"

namespace ivado {

/// Keeps each epoch in event files in the folder of the log file: `tensorboard --logdir <that folder>`.
///
/// As in ivadomed, curves that belong in one chart are runs of their own, in folders below:
///
///   tag                     folder
///   learning_rate           .
///   seconds                 .
///   waiting_for_data_share  .
///   pictures                .
///   losses                  losses_train_loss, losses_val_loss
///   Validation/Metrics      Validation_Metrics_<name>, for each of the record's further values
///
/// A training that goes on begins new files, and TensorBoard then shows nothing of the steps that are made again.
class TensorBoardLogger {
 public:
  /// Takes the folder of the log file; writes nothing yet.
  void open(const std::string& path) { folder_ = std::filesystem::path(path).parent_path(); }
  void info(const std::string&) noexcept {}
  void warning(const std::string&) noexcept {}
  void progress(const std::string&, std::int64_t, std::int64_t, const std::string&) noexcept {}

  /// Files are begun with the first number that goes into them.
  IVADO_INLINE void begin_training(int epochs_done) {
    files_.clear();
    first_step_ = epochs_done + 1;
  }

  /// Adds a point to each curve, and hands all over to the system.
  /// @throws Error (internal) if a file cannot be written
  IVADO_INLINE void epoch(const EpochRecord& record) {
    file("").scalar("learning_rate", record.epoch, record.learning_rate);
    file("").scalar("seconds", record.epoch, record.seconds);
    file("").scalar("waiting_for_data_share", record.epoch, record.waiting_share());
    file("losses_train_loss").scalar("losses", record.epoch, record.training_loss);
    if (!std::isnan(record.validation_loss))
      file("losses_val_loss").scalar("losses", record.epoch, record.validation_loss);
    for (const auto& [name, value] : record.values)
      file("Validation_Metrics_" + folder_name(name)).scalar("Validation/Metrics", record.epoch, value);
    for (auto& [folder, events] : files_) events.flush();
  }

  /// Adds a picture, such as "Validation/Predictions".
  /// @param png  the bytes of a whole PNG file
  /// @throws Error (internal) if it is no PNG or cannot be written
  void image(const std::string& tag, int epoch, std::string_view png) { file("").image(tag, epoch, png); }

 private:
  /// The name of a value as far as it can be part of a folder's name.
  [[nodiscard]] IVADO_INLINE static std::string folder_name(std::string name) {
    for (char& c : name)
      if (c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) <= 0x20) c = '_';
    return name;
  }
  /// The event file of a folder, which is begun if there is none yet.
  [[nodiscard]] IVADO_INLINE EventFile& file(const std::string& folder) {
    const auto found = files_.find(folder);
    if (found != files_.end()) return found->second;
    const auto place = folder_ / folder;
    return files_.try_emplace(folder, place.empty() ? "." : place.string(), first_step_).first->second;
  }

  std::filesystem::path folder_;
  std::int64_t first_step_ = 1;
  std::map<std::string, EventFile> files_;
};

static_assert(EpochLogger<TensorBoardLogger> && ImageLogger<TensorBoardLogger>);

}  // namespace ivado
