// The log of a training as tables: training_log.csv, and training_log.jsonl with one JSON object a line.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "logger.hpp"

namespace ivado {

/// The columns that each epoch has; those of `EpochRecord::values` follow them.
inline constexpr auto training_log_columns = std::to_array<std::string_view>(
    {"epoch", "learning_rate", "train_loss", "val_loss", "seconds", "waiting_for_data_s", "waiting_share", "best"});

namespace detail {

/// The fixed columns of an epoch, in the order of `training_log_columns`, and its values. A number that is not finite
/// becomes null: JSON has no other word for it.
[[nodiscard]] IVADO_INLINE Json training_log_line(const EpochRecord& record) {
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  const auto rounded = [&](double value, double steps) { return number(std::round(value * steps) / steps); };
  Json line{{"epoch", record.epoch},
            {"learning_rate", number(record.learning_rate)},
            {"train_loss", number(record.training_loss)},
            {"val_loss", number(record.validation_loss)},
            {"seconds", rounded(record.seconds, 1e3)},
            {"waiting_for_data_s", rounded(record.waiting_s, 1e3)},
            {"waiting_share", rounded(record.waiting_share(), 1e4)},
            {"best", record.is_best}};
  for (const auto& [name, value] : record.values) line[name] = number(value);
  return line;
}

}  // namespace detail

/// Keeps the numbers of all epochs in two files beside the log file, `training_log.csv` and `training_log.jsonl`.
///
/// Both hold the same: the columns `training_log_columns` and the record's further values; a number that is not finite
/// is an empty field in the one and null in the other. Seconds are rounded to milliseconds. Both are there whole or not
/// at all at any time: they are written anew after each epoch. A training that goes on keeps the lines of the epochs
/// before, read from the JSON lines. Lines for people are not kept here.
class LogFiles {
 public:
  /// Takes the folder of the log file; reads and writes nothing yet.
  void open(const std::string& path) { folder_ = std::filesystem::path(path).parent_path(); }
  void info(const std::string&) noexcept {}
  void warning(const std::string&) noexcept {}
  void progress(const std::string&, std::int64_t, std::int64_t, const std::string&) noexcept {}

  /// Drops the lines of epochs later than `epochs_done`; with 0 all of them.
  ///
  /// Where both files are missing, the log begins with the next epoch.
  /// @throws Error (data) if the JSON lines of the training that goes on are missing or cannot be understood
  IVADO_INLINE void begin_training(int epochs_done) {
    lines_.clear();
    if (epochs_done > 0) read(epochs_done);
    if (!lines_.empty()) {
      write();
      return;
    }
    for (const auto& path : {csv_path(), jsonl_path()}) {
      std::error_code fault;
      std::filesystem::remove(path, fault);
      if (fault)
        throw internal_error("removing the log " + path + " of an earlier training", fault.message(),
                             "check the permissions of its folder");
    }
  }

  /// Adds a line to both files.
  /// @throws Error (internal) if a value has no name, that of another column, or one with a comma, a quotation mark or
  ///                          a control character; or if the files cannot be written
  IVADO_INLINE void epoch(const EpochRecord& record) {
    std::vector<std::string_view> names(std::begin(training_log_columns), std::end(training_log_columns));
    for (const auto& [name, value] : record.values) {
      const bool is_plain = std::none_of(name.begin(), name.end(), [](char c) {
        return c == ',' || c == '"' || static_cast<unsigned char>(c) < 0x20;
      });
      if (name.empty() || !is_plain || std::find(names.begin(), names.end(), name) != names.end())
        throw internal_error("adding epoch " + std::to_string(record.epoch) + " to " + csv_path(),
                             "\"" + name + "\" cannot be the name of one more column",
                             "give each value a name of its own, without commas and quotation marks");
      names.push_back(name);
    }
    lines_.push_back(detail::training_log_line(record));
    write();
  }

  /// The names of the files.
  [[nodiscard]] std::string csv_path() const { return (folder_ / "training_log.csv").string(); }
  [[nodiscard]] std::string jsonl_path() const { return (folder_ / "training_log.jsonl").string(); }

 private:
  /// Takes the lines of epochs up to `epochs_done`.
  IVADO_INLINE void read(int epochs_done) {
    if (std::filesystem::exists(csv_path()) && !std::filesystem::exists(jsonl_path()))
      throw data_error("going on with the log " + csv_path(), jsonl_path() + ", from which it is written, is missing",
                       "put it back, or move the table away: the log then begins with the next epoch");
    std::ifstream file(jsonl_path());
    std::string text;
    for (int number = 1; std::getline(file, text); ++number) {
      const std::string doing = "reading line " + std::to_string(number) + " of " + jsonl_path();
      const std::string remedy = "move the file away: the log then begins with the next epoch";
      Json line;
      try {
        line = Json::parse(text);
      } catch (const nlohmann::json::exception& fault) {
        throw data_error(doing, fault.what(), remedy);
      }
      if (!line.is_object() || !line.contains("epoch") || !line["epoch"].is_number_integer())
        throw data_error(doing, "it is no object with the number of an epoch", remedy);
      for (const auto& [name, value] : line.items())
        if (!value.is_primitive() || value.is_string())
          throw data_error(doing, "\"" + name + "\" is no number", remedy);
      if (line["epoch"].get<std::int64_t>() <= epochs_done) lines_.push_back(std::move(line));
    }
    if (file.bad()) throw data_error("reading " + jsonl_path(), "it cannot be read", "check the disk");
  }

  IVADO_INLINE void write() const {
    std::vector<std::string> columns(std::begin(training_log_columns), std::end(training_log_columns));
    for (const auto& line : lines_)
      for (const auto& [name, value] : line.items())
        if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
    std::string csv;
    for (std::size_t i = 0; i < columns.size(); ++i) csv += (i == 0 ? "" : ",") + columns[i];
    csv += '\n';
    std::string jsonl;
    for (const auto& line : lines_) {
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const auto value = line.find(columns[i]);
        if (i > 0) csv += ',';
        if (value != line.end() && !value->is_null()) csv += value->dump();
      }
      csv += '\n';
      jsonl += line.dump() + "\n";
    }
    write_file_atomically(jsonl_path(), jsonl);
    write_file_atomically(csv_path(), csv);
  }

  std::filesystem::path folder_;
  std::vector<Json> lines_;
};

static_assert(EpochLogger<LogFiles>);

}  // namespace ivado
