// The JSON type of ivado: key order is kept, because the order of `transformation` and `postprocessing` is that of
// execution.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"

// The JSON type itself is in the library as well (see inline.hpp).
#if defined(IVADO_COMPILING)
template class nlohmann::basic_json<nlohmann::ordered_map>;
template class nlohmann::detail::serializer<nlohmann::ordered_json>;
#elif defined(IVADO_COMPILED)
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
extern template class nlohmann::detail::serializer<nlohmann::ordered_json>;
#endif

namespace ivado {

/// JSON with its keys in the order of the file.
using Json = nlohmann::ordered_json;

/// Reads JSON from text or a stream.
///
/// A key that stands twice in one object is an error: one of the two values would be lost without a word.
/// @param source  text or std::istream
/// @param doing   what is being done, for messages: "reading config.json"
/// @throws Error (usage) if it is not JSON, with the line and column of the fault
template <class Source>
[[nodiscard]] Json parse_json(Source&& source, const std::string& doing) {
  std::vector<std::vector<std::string>> keys_of_open_objects;
  const auto refuse_twins = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys_of_open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_of_open_objects.pop_back();
    if (event == Json::parse_event_t::key) {
      auto& seen = keys_of_open_objects.back();
      const auto key = parsed.get<std::string>();
      if (std::find(seen.begin(), seen.end(), key) != seen.end())
        throw usage_error(doing, "the key \"" + key + "\" stands twice in one object", "keep one of them");
      seen.push_back(key);
    }
    return true;
  };
  try {
    return Json::parse(std::forward<Source>(source), refuse_twins);
  } catch (const nlohmann::json::exception& fault) {
    throw usage_error(doing, fault.what(), "mend the JSON at that place");
  }
}

/// Reads a JSON file.
/// @throws Error (usage) if it cannot be opened, is not JSON (with the line of the fault) or holds a key twice
[[nodiscard]] IVADO_INLINE Json read_json(const std::string& path) {
  const std::string doing = "reading " + path;
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored))
    throw usage_error(doing, "the file cannot be opened", "check the path");
  return parse_json(file, doing);
}

namespace detail {

/// Number of insertions, deletions and replacements between two words (Levenshtein 1966), case ignored.
[[nodiscard]] IVADO_INLINE std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

/// The candidate nearest to `word`; empty where there is no candidate.
[[nodiscard]] IVADO_INLINE std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = static_cast<std::size_t>(-1);
  for (const auto& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace detail
}  // namespace ivado
