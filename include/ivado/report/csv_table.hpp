// Tables of numbers from CSV files (RFC 4180), as ivado and ivadomed write them.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"

namespace ivado {

/// A table: a name and numbers in each row, in columns with names.
struct NumberTable {
  std::string path;                         ///< where it comes from
  std::string key;                          ///< name of the first column
  std::vector<std::string> columns;         ///< names of the others
  std::vector<std::string> rows;            ///< the first field of each row
  std::vector<std::vector<double>> values;  ///< of each row, one a column; NaN where empty or n/a; true is 1

  /// The number of a column.
  /// @throws Error (usage) if there is none of that name
  [[nodiscard]] std::size_t column(const std::string& name) const {
    const auto found = std::find(columns.begin(), columns.end(), name);
    if (found != columns.end()) return static_cast<std::size_t>(found - columns.begin());
    std::string all;
    for (const auto& one : columns) all += (all.empty() ? "" : ", ") + one;
    throw usage_error("looking for the column " + name + " of " + path, "there is none of that name",
                      "it has " + (all.empty() ? std::string("no columns of numbers") : all));
  }
  /// The values of a column, row by row.
  [[nodiscard]] std::vector<double> column_values(std::size_t index) const {
    std::vector<double> out;
    for (const auto& row : values) out.push_back(row[index]);
    return out;
  }
};

namespace detail {

/// The fields of each line of a CSV text: fields may be in quotes, with doubled quotes and line ends within them. Lines
/// without any text are passed over.
/// @throws Error (data) if a quote is not closed
[[nodiscard]] inline std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& path) {
  std::vector<std::vector<std::string>> lines;
  std::vector<std::string> fields;
  std::string field;
  bool quoted = false;
  bool any = false;
  const auto end_line = [&] {
    if (any || !fields.empty()) {
      fields.push_back(std::move(field));
      lines.push_back(std::move(fields));
    }
    fields.clear();
    field.clear();
    any = false;
  };
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"')
        field += c;
      else if (i + 1 < text.size() && text[i + 1] == '"')
        field += text[++i];
      else
        quoted = false;
      continue;
    }
    if (c == '"' && field.empty()) {
      quoted = any = true;
    } else if (c == ',') {
      fields.push_back(std::move(field));
      field.clear();
      any = true;
    } else if (c == '\n') {
      end_line();
    } else if (c != '\r') {
      field += c;
      any = true;
    }
  }
  if (quoted) throw data_error("reading " + path, "a quote is opened and not closed", "look at its last lines");
  end_line();
  return lines;
}

/// The bytes of a file.
/// @throws Error (data) if it cannot be read
[[nodiscard]] inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw data_error("reading " + path, "it cannot be opened", "check its name and permissions");
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw data_error("reading " + path, "it cannot be read to its end");
  return bytes;
}

}  // namespace detail

/// A table from the text of a CSV file.
/// @param path  for errors
/// @throws Error (data) naming line and column: no heading, a line of another length, a field that is no number
[[nodiscard]] inline NumberTable parse_number_table(std::string_view text, const std::string& path) {
  const auto lines = detail::parse_csv(text, path);
  if (lines.empty() || lines.front().size() < 2)
    throw data_error("reading the table " + path, "it has no heading of two columns or more");
  NumberTable table;
  table.path = path;
  table.key = lines.front().front();
  table.columns.assign(lines.front().begin() + 1, lines.front().end());
  for (std::size_t l = 1; l < lines.size(); ++l) {
    const std::string doing = "reading row " + std::to_string(l) + " of the table " + path;
    if (lines[l].size() != lines.front().size())
      throw data_error(doing, detail::text("it has ", lines[l].size(), " fields, the heading ", lines.front().size()));
    table.rows.push_back(lines[l].front());
    table.values.emplace_back();
    for (std::size_t f = 1; f < lines[l].size(); ++f) {
      const std::string& field = lines[l][f];
      double value = std::numeric_limits<double>::quiet_NaN();
      if (field == "true" || field == "false") {
        value = field == "true" ? 1 : 0;
      } else if (!field.empty() && field != "n/a") {
        const char* const end = field.data() + field.size();
        const auto [at, fault] = std::from_chars(field.data(), end, value);
        if (fault != std::errc{} || at != end)
          throw data_error(doing, "\"" + field + "\" in the column " + table.columns[f - 1] + " is no number");
      }
      table.values.back().push_back(value);
    }
  }
  return table;
}

/// Reads a table of numbers.
/// @throws Error (data) if the file cannot be read or is no such table
[[nodiscard]] inline NumberTable read_number_table(const std::string& path) {
  return parse_number_table(detail::read_bytes(path), path);
}

}  // namespace ivado
