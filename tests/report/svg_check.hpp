// Checks of SVG text that the tests of pictures share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace ivado_test {

/// How often a part stands in a text.
inline std::size_t times(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// True if a tag has an attribute twice, which XML forbids.
inline bool has_twice(const std::string& tag) {
  std::vector<std::string> names;
  std::size_t from = 0;
  for (std::size_t at = tag.find("=\""); at != std::string::npos; at = tag.find("=\"", from)) {
    const std::size_t begin = tag.find_last_of(" \n", at) + 1;
    names.push_back(tag.substr(begin, at - begin));
    from = tag.find('"', at + 2);
    if (from == std::string::npos) break;
  }
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) != names.end();
}

/// Walks the tags: each that opens is closed, in order, quotes come in pairs, and no attribute twice; & begins an entity.
inline bool is_well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = xml.find('<'); at != std::string::npos; at = xml.find('<', at + 1)) {
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (times(tag, "\"") % 2 != 0 || tag.find('<') != std::string::npos || has_twice(tag)) return false;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  for (std::size_t at = xml.find('&'); at != std::string::npos; at = xml.find('&', at + 1)) {
    bool known = false;
    for (const char* entity : {"&amp;", "&lt;", "&gt;", "&quot;"})
      known = known || xml.compare(at, std::string(entity).size(), entity) == 0;
    if (!known) return false;
  }
  return open.empty();
}

/// A picture that stands alone: well formed, for white and dark pages, without numbers that are none or other files.
inline bool is_picture(const std::string& svg) {
  return is_well_formed(svg) && svg.find("prefers-color-scheme: dark") != std::string::npos &&
         svg.find("href") == std::string::npos && svg.find("url(") == std::string::npos &&
         svg.find("\"nan") == std::string::npos && svg.find(",nan") == std::string::npos &&
         svg.find("\"-nan") == std::string::npos && svg.find("inf\"") == std::string::npos;
}

}  // namespace ivado_test
