// What the runs of a study left, read and averaged over repeats.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../report/csv_table.hpp"

namespace ivado::study {

/// A log of the profiler: numbers in columns with names, some columns of words.
struct Log {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;        ///< NaN where there is no number
  std::vector<std::vector<std::string>> words;  ///< the same cells as they stand

  /// The place of a column; nothing if there is none of that name.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const {
    const auto found = std::find(columns.begin(), columns.end(), name);
    if (found == columns.end()) return std::nullopt;
    return static_cast<std::size_t>(found - columns.begin());
  }
  /// A column of numbers; all NaN if there is none of that name.
  [[nodiscard]] std::vector<double> column(std::string_view name) const {
    const auto place = find(name);
    std::vector<double> out;
    for (const auto& row : rows) out.push_back(place ? row[*place] : std::numeric_limits<double>::quiet_NaN());
    return out;
  }
  /// The number in a column of the row that begins with a word; NaN if there is none.
  [[nodiscard]] double value(std::string_view row_name, std::string_view column_name) const {
    const auto place = find(column_name);
    for (std::size_t row = 0; place && row < rows.size(); ++row)
      if (!words[row].empty() && words[row].front() == row_name) return rows[row][*place];
    return std::numeric_limits<double>::quiet_NaN();
  }
};

/// Reads a log of the profiler, or one of the study's own files.
/// @throws Error (data) if it cannot be read or a row has another length than the heading
[[nodiscard]] inline Log read_log(const std::string& path) {
  const auto lines = ivado::detail::parse_csv(ivado::detail::read_bytes(path), path);
  if (lines.empty()) throw data_error("reading the log " + path, "it is empty", "run that part of the study again");
  Log out;
  out.columns = lines.front();
  for (std::size_t line = 1; line < lines.size(); ++line) {
    if (lines[line].size() != out.columns.size())
      throw data_error("reading line " + std::to_string(line + 1) + " of the log " + path,
                       ivado::detail::text("it has ", lines[line].size(), " fields, the heading ", out.columns.size()),
                       "run that part of the study again");
    out.words.push_back(lines[line]);
    auto& row = out.rows.emplace_back();
    for (const auto& field : lines[line]) {
      double value = std::numeric_limits<double>::quiet_NaN();
      const char* const end = field.data() + field.size();
      if (const auto [at, fault] = std::from_chars(field.data(), end, value); fault != std::errc{} || at != end)
        value = std::numeric_limits<double>::quiet_NaN();
      row.push_back(value);
    }
  }
  return out;
}

/// Means over repeats, row by row, of as many rows as all have.
[[nodiscard]] inline Log mean(const std::vector<Log>& repeats) {
  Log out = repeats.front();
  for (const auto& one : repeats) {
    out.rows.resize(std::min(out.rows.size(), one.rows.size()));
    out.words.resize(out.rows.size());
  }
  for (std::size_t row = 0; row < out.rows.size(); ++row)
    for (std::size_t c = 0; c < out.columns.size(); ++c) {
      double sum = 0;
      for (const auto& one : repeats) sum += one.rows[row][c];
      out.rows[row][c] = sum / static_cast<double>(repeats.size());
    }
  return out;
}

/// A log as CSV; cells without a number as they stood.
[[nodiscard]] inline std::string csv(const Log& log) {
  std::string out;
  for (const auto& column : log.columns) out += (out.empty() ? "" : ",") + column;
  out += "\n";
  for (std::size_t row = 0; row < log.rows.size(); ++row)
    for (std::size_t c = 0; c < log.columns.size(); ++c)
      out += (std::isnan(log.rows[row][c]) ? log.words[row][c] : ivado::detail::text(log.rows[row][c])) +
             (c + 1 < log.columns.size() ? "," : "\n");
  return out;
}

/// What was measured of one configuration.
struct Measured {
  std::string experiment;
  std::string run;
  std::size_t repeats = 0;
  Log system;           ///< of the phases: means over the repeats
  Log training;         ///< of the mini-batches
  Log validation;       ///< of the mini-batches
  Log work;             ///< by what the time was spent on
  double spread_s = 0;  ///< standard deviation of the whole time between repeats; 0 for one

  [[nodiscard]] double phase_s(std::string_view phase) const {
    const double value = system.value(phase, "time");
    return std::isnan(value) ? 0 : value;
  }
  [[nodiscard]] double total_s() const {
    double sum = 0;
    for (const double seconds : system.column("time")) sum += seconds;
    return sum;
  }
  [[nodiscard]] double work_s(std::string_view kind, std::string_view column = "time") const {
    const double value = work.value(kind, column);
    return std::isnan(value) ? 0 : value;
  }
};

namespace detail {

/// Rows of a second process put behind those of the first; of `work`, times of the same name are added up.
inline void append(Log& log, const Log& more, bool add_up) {
  for (std::size_t row = 0; row < more.rows.size(); ++row) {
    std::size_t same = log.rows.size();
    for (std::size_t other = 0; add_up && other < log.rows.size(); ++other)
      if (log.words[other].front() == more.words[row].front()) same = other;
    if (same < log.rows.size()) {
      for (std::size_t c = 1; c < log.columns.size(); ++c) log.rows[same][c] += more.rows[row][c];
      continue;
    }
    log.rows.push_back(more.rows[row]);
    log.words.push_back(more.words[row]);
  }
}

}  // namespace detail

/// Reads what the repeats of a configuration left.
/// @param folders  one a repeat: output folders with `profile/` of the training and, where it was tested,
///                 `profile_test/`
/// @throws Error (data) if a log is missing or broken
[[nodiscard]] inline Measured read_measured(const std::string& experiment, const std::string& run,
                                            const std::vector<std::string>& folders) {
  std::map<std::string, std::vector<Log>> logs;
  for (const auto& folder : folders) {
    for (const char* name : {"syslog", "trainlog", "vallog", "work"})
      logs[name].push_back(read_log(folder + "/profile/" + name + ".csv"));
    if (const std::string test = folder + "/profile_test"; std::filesystem::exists(test + "/syslog.csv")) {
      // The data unit of the test is part of it, as the study's phases know no second one.
      Log phases = read_log(test + "/syslog.csv");
      detail::append(logs["syslog"].back(), phases, false);
      detail::append(logs["work"].back(), read_log(test + "/work.csv"), true);
    }
  }
  Measured out{
      experiment,         run, folders.size(), mean(logs["syslog"]), mean(logs["trainlog"]), mean(logs["vallog"]),
      mean(logs["work"]), 0};
  if (folders.size() > 1) {
    std::vector<double> totals;
    for (const auto& log : logs["syslog"]) {
      double sum = 0;
      for (const double seconds : log.column("time")) sum += seconds;
      totals.push_back(sum);
    }
    const double middle = out.total_s();
    double squares = 0;
    for (const double total : totals) squares += (total - middle) * (total - middle);
    out.spread_s = std::sqrt(squares / static_cast<double>(totals.size() - 1));
  }
  return out;
}

}  // namespace ivado::study
