// A grid of configurations: the options of some keys, combined. For `ivado automate`. No LibTorch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "json.hpp"

namespace ivado {

/// A key of the configuration with the values that it is to have.
struct GridKey {
  Json::json_pointer place;   ///< in the configuration's tree
  std::string name;           ///< the key; with those above it, as far as another key of the grid has the same name
  std::vector<Json> options;  ///< at least one
};

/// Which options stand together in a configuration.
enum class GridRule {
  one_by_one,  ///< one key at a time is changed
  together,    ///< the first option of each key, then the second of each … up to the shortest list
  all          ///< each option of a key with each of the others
};

/// A configuration of the grid.
struct GridPoint {
  std::vector<std::pair<std::size_t, std::size_t>> choice;  ///< numbers of key and option, in the order of the keys
  Json configuration;                                       ///< the base with these options
  std::string suffix;  ///< tells it from the others, for names of folders: "-batch_size-2-depth-3"
};

namespace detail {

/// The keys of a tree of options whose value is a list.
inline void collect_grid_keys(const Json& tree, const Json::json_pointer& place, const std::string& doing,
                              std::vector<GridKey>& keys) {
  for (const auto& [name, value] : tree.items()) {
    const Json::json_pointer here = place / name;
    if (value.is_object()) {
      collect_grid_keys(value, here, doing, keys);
    } else if (value.is_array() && !value.empty()) {
      keys.push_back({here, name, {value.begin(), value.end()}});
    } else {
      throw usage_error(doing, "the key " + here.to_string().substr(1) + " is " + value.dump(),
                        "give a list of options, such as [1, 2]");
    }
  }
}

/// An option as part of a folder's name: without brackets, quotes and blanks; - for : = and a comma, _ for a slash.
[[nodiscard]] inline std::string folder_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("[]{}'\" ").find(c) != std::string_view::npos) continue;
    out += c == ':' || c == '=' || c == ',' ? '-' : c == '/' || c == '\\' ? '_' : c;
  }
  return out;
}

}  // namespace detail

/// The keys of a tree of options, in its order: it has the keys of a configuration, and each list in it holds the options
/// of its key (a key whose value is a list itself has a list of lists).
/// @param doing  for messages, such as "reading hyper.json"
/// @throws Error (usage) if something else than a list or an object stands there, a list is empty, or there is no key
[[nodiscard]] inline std::vector<GridKey> grid_keys(const Json& tree, const std::string& doing) {
  std::vector<GridKey> keys;
  if (tree.is_object()) detail::collect_grid_keys(tree, Json::json_pointer(), doing, keys);
  if (keys.empty())
    throw usage_error(doing, "it names no key with options",
                      R"(write for example {"training_parameters": {"batch_size": [8, 16]}})");
  // Twins get the keys above them, until they differ.
  for (auto& key : keys) {
    for (Json::json_pointer above = key.place.parent_pointer();; above.pop_back()) {
      const bool has_twin = std::any_of(keys.begin(), keys.end(), [&](const GridKey& other) {
        if (other.place == key.place) return false;
        std::string path = other.place.to_string();
        std::replace(path.begin(), path.end(), '/', '.');
        return path.ends_with("." + key.name);
      });
      if (!has_twin || above.empty()) break;
      key.name = above.back() + "." + key.name;
    }
  }
  return keys;
}

/// The configurations of a grid, in the order of the keys and options; the last key changes fastest.
/// @param base  the configuration that is changed; a value is replaced as a whole
/// @throws Error (usage) if a key of the grid lies below something that is no object, or two configurations would have one
///         name: the results of one would replace those of the other
[[nodiscard]] inline std::vector<GridPoint> grid_points(const Json& base, const std::vector<GridKey>& keys,
                                                        GridRule rule) {
  std::vector<std::vector<std::pair<std::size_t, std::size_t>>> choices;
  if (rule == GridRule::one_by_one) {
    for (std::size_t k = 0; k < keys.size(); ++k)
      for (std::size_t o = 0; o < keys[k].options.size(); ++o) choices.push_back({{k, o}});
  } else if (rule == GridRule::together) {
    std::size_t shortest = keys.front().options.size();
    for (const auto& key : keys) shortest = std::min(shortest, key.options.size());
    for (std::size_t o = 0; o < shortest; ++o) {
      choices.emplace_back();
      for (std::size_t k = 0; k < keys.size(); ++k) choices.back().emplace_back(k, o);
    }
  } else {
    choices.emplace_back();
    for (std::size_t k = 0; k < keys.size(); ++k) {
      auto shorter = std::exchange(choices, {});
      for (const auto& one : shorter)
        for (std::size_t o = 0; o < keys[k].options.size(); ++o) {
          choices.push_back(one);
          choices.back().emplace_back(k, o);
        }
    }
  }
  std::vector<GridPoint> points;
  for (auto& choice : choices) {
    GridPoint point{std::move(choice), base, {}};
    for (const auto& [k, o] : point.choice) {
      const GridKey& key = keys[k];
      const Json& option = key.options[o];
      try {
        point.configuration[key.place] = option;
      } catch (const nlohmann::json::exception& fault) {
        throw usage_error("changing the configuration key " + key.name, fault.what(),
                          "the options must have the tree of the configuration");
      }
      point.suffix +=
          "-" + detail::folder_text(key.name + "=" + (option.is_string() ? option.get<std::string>() : option.dump()));
    }
    // A name of a file has up to 255 bytes; the number keeps those that were cut apart.
    if (point.suffix.size() > 180) point.suffix = point.suffix.substr(0, 170) + "~" + std::to_string(points.size() + 1);
    for (const auto& other : points)
      if (other.suffix == point.suffix)
        throw usage_error("making the grid of configurations", "two of them would have the folder …" + point.suffix,
                          "give each option of a key once, and texts that differ in more than blanks and brackets");
    points.push_back(std::move(point));
  }
  return points;
}

}  // namespace ivado
