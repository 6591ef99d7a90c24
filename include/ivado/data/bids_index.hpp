// The BIDS index: one pass over each data set gives its files with entities, tables and sidecars; no image is opened.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// A file or folder (with a final slash) that was found and is not used, and why. Files below such a folder are not
/// listed.
struct LeftOut {
  std::string file;    ///< its path
  std::string reason;  ///< alike for alike files, so that reasons can be counted
};

/// What was left out on the way from folders to cases, and what a user should know besides.
struct LeftOutList {
  std::vector<LeftOut> files;
  std::vector<std::string> warnings;

  void add(std::string file, std::string reason) { files.push_back({std::move(file), std::move(reason)}); }
  void warn(std::string text) { warnings.push_back(std::move(text)); }

  /// The reasons with the number of files that each applies to, the most frequent first.
  [[nodiscard]] IVADO_INLINE std::vector<std::pair<std::string, std::size_t>> by_reason() const {
    std::map<std::string, std::size_t> counts;
    for (const auto& one : files) ++counts[one.reason];
    std::vector<std::pair<std::string, std::size_t>> out(counts.begin(), counts.end());
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    return out;
  }
  /// One line: "3 left out: 2 x no label file …, 1 x hidden"; empty where nothing was left out.
  [[nodiscard]] IVADO_INLINE std::string summary() const {
    std::string out;
    for (const auto& [reason, count] : by_reason())
      out +=
          (out.empty() ? std::to_string(files.size()) + " left out: " : ", ") + std::to_string(count) + " x " + reason;
    return out;
  }
};

/// What a file of a data set is to ivado.
enum class FileKind {
  image,     ///< an image of the raw data
  label,     ///< an image below `derivatives`
  sidecar,   ///< JSON that describes images by BIDS inheritance
  table,     ///< TSV
  other,     ///< a companion of an image: .bval, .bvec, .tsv.gz
  document,  ///< README, LICENSE, dataset_description.json, …
};

/// The parts of a BIDS file name.
struct BidsName {
  std::string stem;       ///< the name without its extension
  std::string extension;  ///< with its dot: the longest one known (".nii.gz"), else from the first dot on
  std::string suffix;     ///< what stands last: "T1w"; empty where the last part is a key-value pair
  /// Key and value, sorted by key, so that the order in the name does not count. A part without a hyphen has an
  /// empty value.
  std::vector<std::pair<std::string, std::string>> entities;
  bool repeated_key = false;  ///< the same key twice

  /// The value of an entity by its short key ("sub", "acq"); empty where the name has none.
  [[nodiscard]] IVADO_INLINE const std::string& entity(std::string_view key) const {
    static const std::string none;
    for (const auto& [name, value] : entities)
      if (name == key) return value;
    return none;
  }
  /// Whether the name has the entity.
  [[nodiscard]] IVADO_INLINE bool has(std::string_view key) const {
    return std::any_of(entities.begin(), entities.end(), [&](const auto& e) { return e.first == key; });
  }
};

/// One file of a data set.
struct BidsFile : BidsName {
  std::string path;      ///< as it is opened
  std::string relative;  ///< below its root, with slashes
  std::string name;      ///< the last part of the path
  std::string datatype;  ///< name of the data type folder: "anat", "micr", "ct"; empty where there is none
  std::string
      pipeline;  ///< labels: the folder below `derivatives`: "labels"; empty where subjects stand in `derivatives`
  FileKind kind = FileKind::other;
  std::size_t root = 0;  ///< number of its data set

  /// "sub-01", or empty.
  [[nodiscard]] IVADO_INLINE std::string subject() const {
    const std::string& value = entity("sub");
    return value.empty() ? std::string() : "sub-" + value;
  }
  /// The folder of `relative`; empty for the root.
  [[nodiscard]] IVADO_INLINE std::string_view folder() const {
    const auto slash = relative.rfind('/');
    return slash == std::string::npos ? std::string_view() : std::string_view(relative).substr(0, slash);
  }
};

namespace detail {

inline constexpr std::array<std::string_view, 12> image_extensions{".nii.gz",  ".nii",     ".ome.tiff", ".ome.tif",
                                                                   ".ome.tf2", ".ome.tf8", ".ome.btf",  ".tiff",
                                                                   ".tif",     ".png",     ".jpeg",     ".jpg"};
inline constexpr std::array<std::string_view, 5> other_extensions{".json", ".tsv.gz", ".tsv", ".bval", ".bvec"};
inline constexpr std::array<std::string_view, 14> datatypes{"anat", "beh", "ct",   "dwi", "eeg",  "fmap", "func",
                                                            "ieeg", "meg", "micr", "mrs", "nirs", "perf", "pet"};

[[nodiscard]] IVADO_INLINE std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

[[nodiscard]] IVADO_INLINE bool ends_with_ignoring_case(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && lower(text.substr(text.size() - ending.size())) == ending;
}

[[nodiscard]] IVADO_INLINE bool is_image_extension(std::string_view extension) {
  const std::string small = lower(extension);
  return std::find(image_extensions.begin(), image_extensions.end(), small) != image_extensions.end();
}

[[nodiscard]] IVADO_INLINE bool is_datatype(std::string_view name) {
  return std::find(datatypes.begin(), datatypes.end(), name) != datatypes.end();
}

/// The longest known extension that a name ends with, as it is written there; else all from the first dot on.
[[nodiscard]] IVADO_INLINE std::string extension_of(std::string_view name) {
  std::string_view best;
  const auto consider = [&](std::string_view known) {
    if (known.size() > best.size() && name.size() > known.size() && ends_with_ignoring_case(name, known))
      best = name.substr(name.size() - known.size());
  };
  for (const auto known : image_extensions) consider(known);
  for (const auto known : other_extensions) consider(known);
  if (!best.empty()) return std::string(best);
  const auto dot = name.find('.');
  return dot == std::string_view::npos ? std::string() : std::string(name.substr(dot));
}

/// Text that is valid UTF-8: as it is, or where it is not, taken for Latin-1.
[[nodiscard]] IVADO_INLINE std::string valid_utf8(std::string_view text) {
  bool valid = true;
  for (std::size_t i = 0; i < text.size() && valid;) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = c < 0x80                ? 1
                               : c >= 0xC2 && c < 0xE0 ? 2
                               : c >= 0xE0 && c < 0xF0 ? 3
                               : c >= 0xF0 && c < 0xF5 ? 4
                                                       : 0;
    valid = length > 0 && i + length <= text.size();
    for (std::size_t j = 1; valid && j < length; ++j) valid = (static_cast<unsigned char>(text[i + j]) & 0xC0) == 0x80;
    if (valid && length > 2) {  // overlong forms, surrogates, beyond U+10FFFF
      const auto second = static_cast<unsigned char>(text[i + 1]);
      valid = !(c == 0xE0 && second < 0xA0) && !(c == 0xED && second >= 0xA0) && !(c == 0xF0 && second < 0x90) &&
              !(c == 0xF4 && second >= 0x90);
    }
    i += length;
  }
  if (valid) return std::string(text);
  std::string out;
  for (const char byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if (c < 0x80) {
      out += byte;
    } else {
      out += static_cast<char>(0xC0 | (c >> 6));
      out += static_cast<char>(0x80 | (c & 0x3F));
    }
  }
  return out;
}

/// Whether a path (slashes between its parts) fits a pattern of .gitignore: `*`, `?`, `[a-z]`, and `**` for any
/// folders.
[[nodiscard]] IVADO_INLINE bool glob(std::string_view pattern, std::string_view text) {
  while (!pattern.empty()) {
    if (pattern.substr(0, 3) == "**/") {
      const auto rest = pattern.substr(3);
      if (glob(rest, text)) return true;
      for (std::size_t i = 0; i < text.size(); ++i)
        if (text[i] == '/' && glob(rest, text.substr(i + 1))) return true;
      return false;
    }
    if (pattern == "**") return true;
    if (pattern[0] == '*') {
      while (!pattern.empty() && pattern[0] == '*') pattern.remove_prefix(1);
      for (std::size_t i = 0;; ++i) {
        if (glob(pattern, text.substr(i))) return true;
        if (i == text.size() || text[i] == '/') return false;
      }
    }
    if (text.empty()) return false;
    if (pattern[0] == '[' && pattern.find(']', 2) != std::string_view::npos && text[0] != '/') {
      const auto end = pattern.find(']', 2);
      auto set = pattern.substr(1, end - 1);
      const bool negated = set[0] == '!' || set[0] == '^';
      if (negated) set.remove_prefix(1);
      bool inside = false;
      for (std::size_t i = 0; i < set.size(); ++i) {
        if (i + 2 < set.size() && set[i + 1] == '-') {
          inside = inside || (set[i] <= text[0] && text[0] <= set[i + 2]);
          i += 2;
        } else {
          inside = inside || set[i] == text[0];
        }
      }
      if (inside == negated) return false;
      pattern.remove_prefix(end + 1);
    } else if (pattern[0] == '?') {
      if (text[0] == '/') return false;
      pattern.remove_prefix(1);
    } else {
      if (pattern[0] == '\\' && pattern.size() > 1) pattern.remove_prefix(1);
      if (pattern[0] != text[0]) return false;
      pattern.remove_prefix(1);
    }
    text.remove_prefix(1);
  }
  return text.empty();
}

/// The rules of a .bidsignore file, which has the form of .gitignore: the last rule that fits decides.
class IgnoreRules {
 public:
  IVADO_INLINE void add(std::string_view line) {
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') return;
    Rule rule;
    if (line[0] == '!') rule.negated = true, line.remove_prefix(1);
    if (!line.empty() && line.back() == '/') rule.folders_only = true, line.remove_suffix(1);
    if (line.find('/') == std::string_view::npos)
      rule.pattern = "**/" + std::string(line);
    else
      rule.pattern = std::string(line[0] == '/' ? line.substr(1) : line);
    if (!rule.pattern.empty()) rules_.push_back(std::move(rule));
  }
  [[nodiscard]] IVADO_INLINE bool ignored(std::string_view relative, bool folder) const {
    bool out = false;
    for (const auto& rule : rules_)
      if (out == rule.negated && (folder || !rule.folders_only) && glob(rule.pattern, relative)) out = !rule.negated;
    return out;
  }

 private:
  struct Rule {
    std::string pattern;
    bool negated = false;
    bool folders_only = false;
  };
  std::vector<Rule> rules_;
};

/// A TSV file: column names, and rows of text. A cell that is empty, "n/a" or "nan" (any case) has no value, like
/// those that a short row lacks.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;

  [[nodiscard]] IVADO_INLINE std::optional<std::size_t> column(std::string_view name) const {
    const auto found = std::find(columns.begin(), columns.end(), name);
    if (found == columns.end()) return std::nullopt;
    return static_cast<std::size_t>(found - columns.begin());
  }
};

[[nodiscard]] IVADO_INLINE std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw data_error("reading " + path, "the file cannot be opened", "check its permissions");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The first of many names: "a, b, … and 7 more".
[[nodiscard]] IVADO_INLINE std::string some_of(const std::set<std::string>& names) {
  std::string out;
  std::size_t count = 0;
  for (const auto& name : names) {
    if (++count > 20) return out + " and " + std::to_string(names.size() - 20) + " more";
    out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

/// Parses JSON that people's tools have written: text that is not UTF-8 is taken for Latin-1, and the NaN and Infinity
/// of Python's writer, which are not JSON, for null.
/// @throws nlohmann::json::exception if it is not JSON
[[nodiscard]] IVADO_INLINE Json parse_tolerantly(const std::string& raw) {
  std::string text = valid_utf8(raw);
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_discarded()) return json;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      quoted = !quoted;
    else if (!quoted)
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
        if (text.compare(i, word.size(), word) == 0) text.replace(i, word.size(), "null");
  }
  return Json::parse(text);
}

/// Parses a table. Tolerates a byte order mark, any line ends, quotes around cells, short rows and empty lines.
[[nodiscard]] IVADO_INLINE Table parse_table(std::string_view text) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  const auto cells = [](std::string_view line) {
    std::vector<std::string> out;
    while (true) {
      const auto tab = line.find('\t');
      auto cell = line.substr(0, tab);
      while (!cell.empty() && cell.front() == ' ') cell.remove_prefix(1);
      while (!cell.empty() && cell.back() == ' ') cell.remove_suffix(1);
      std::string value;
      if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"') {
        cell = cell.substr(1, cell.size() - 2);
        for (std::size_t i = 0; i < cell.size(); ++i) {
          value += cell[i];
          if (cell[i] == '"' && i + 1 < cell.size() && cell[i + 1] == '"') ++i;
        }
      } else {
        value = cell;
      }
      out.push_back(valid_utf8(value));
      if (tab == std::string_view::npos) return out;
      line.remove_prefix(tab + 1);
    }
  };
  Table table;
  while (!text.empty()) {
    const auto end = text.find_first_of("\r\n");
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    auto found = cells(line);
    if (table.columns.empty()) {
      table.columns = std::move(found);
      continue;
    }
    std::vector<std::optional<std::string>> row(table.columns.size());
    for (std::size_t i = 0; i < row.size() && i < found.size(); ++i) {
      const std::string small = lower(found[i]);
      if (!small.empty() && small != "n/a" && small != "nan") row[i] = std::move(found[i]);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// The name of an entity in the metadata: as pybids has it, and hence ivadomed's data frame.
[[nodiscard]] IVADO_INLINE std::string entity_column(const std::string& key) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 9> names{{{"sub", "subject"},
                                                                                       {"ses", "session"},
                                                                                       {"acq", "acquisition"},
                                                                                       {"ce", "ceagent"},
                                                                                       {"stain", "staining"},
                                                                                       {"trc", "tracer"},
                                                                                       {"rec", "reconstruction"},
                                                                                       {"dir", "direction"},
                                                                                       {"mod", "modality"}}};
  for (const auto& [short_name, name] : names)
    if (key == short_name) return std::string(name);
  return key;
}

}  // namespace detail

/// Splits a BIDS file name into entities, suffix and extension.
[[nodiscard]] IVADO_INLINE BidsName parse_bids_name(std::string_view name) {
  BidsName out;
  out.extension = detail::extension_of(name);
  out.stem = std::string(name.substr(0, name.size() - out.extension.size()));
  std::string_view rest = out.stem;
  while (true) {
    const auto bar = rest.find('_');
    const auto part = rest.substr(0, bar);
    const auto hyphen = part.find('-');
    const bool last = bar == std::string_view::npos;
    if (last && (hyphen == std::string_view::npos || hyphen == 0)) {
      out.suffix = std::string(part);
    } else {
      std::string key(part.substr(0, hyphen));
      std::string value(hyphen == std::string_view::npos ? std::string_view() : part.substr(hyphen + 1));
      out.repeated_key = out.repeated_key || out.has(key);
      out.entities.emplace_back(std::move(key), std::move(value));
    }
    if (last) break;
    rest.remove_prefix(bar + 1);
  }
  std::sort(out.entities.begin(), out.entities.end());
  return out;
}

namespace detail {

/// A sidecar as a JSON object.
/// @throws Error (data) if it is none
[[nodiscard]] IVADO_INLINE Json read_sidecar(const std::string& path) {
  Json json;
  try {
    json = parse_tolerantly(read_text(path));
  } catch (const nlohmann::json::exception& fault) {
    throw data_error("reading the sidecar " + path, fault.what(), "mend the JSON at that place");
  }
  if (!json.is_object())
    throw data_error("reading the sidecar " + path, "it holds no JSON object", "put its keys between { and }");
  return json;
}

/// Whether a sidecar of an outer folder or of its own applies to a file: it has its suffix and no other entities.
[[nodiscard]] IVADO_INLINE bool applies(const BidsName& sidecar, const BidsName& file) {
  return sidecar.suffix == file.suffix &&
         std::includes(file.entities.begin(), file.entities.end(), sidecar.entities.begin(), sidecar.entities.end());
}

}  // namespace detail

/// The keys that JSON sidecars give to one file by BIDS inheritance, for files that are looked at without an index.
///
/// Sidecars are looked for from the nearest folder above that holds dataset_description.json down to the folder of the
/// file, or in the latter alone where there is none. A file whose name is not one of BIDS has the sidecar of its name.
/// @return an object, empty where there is no sidecar
/// @throws Error (data) if a sidecar is not a JSON object; names it
[[nodiscard]] IVADO_INLINE Json inherited_sidecar(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const BidsName file = parse_bids_name(absolute.filename().string());
  std::error_code fault;
  std::vector<fs::path> folders;  // the innermost first
  for (fs::path folder = absolute.parent_path();; folder = folder.parent_path()) {
    folders.push_back(folder);
    if (fs::exists(folder / "dataset_description.json", fault)) break;
    if (folder == folder.parent_path()) {
      folders.resize(1);
      break;
    }
  }
  Json out = Json::object();
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    std::vector<std::pair<std::size_t, std::string>> found;
    for (fs::directory_iterator entry(*folder, fault), end; !fault && entry != end; entry.increment(fault)) {
      const BidsName sidecar = parse_bids_name(entry->path().filename().string());
      if (detail::lower(sidecar.extension) == ".json" && detail::applies(sidecar, file))
        found.emplace_back(sidecar.entities.size(), entry->path().string());
    }
    std::sort(found.begin(), found.end());
    for (const auto& [entities, sidecar] : found) out.update(detail::read_sidecar(sidecar));
  }
  return out;
}

/// How a data set is indexed.
struct BidsIndexParams {
  /// `bids_validate`. True: `dataset_description.json` is needed, .bidsignore counts, and files in places or with names
  /// that BIDS does not know are left out. False: they are indexed as far as they have a subject and a suffix.
  bool validate = true;
  /// Index `derivatives` too: needed for labels and regions of interest, not for segmenting.
  bool derivatives = true;
};

/// The files of one or several BIDS data sets, their tables and their sidecars.
///
/// Built by one pass over each root. Nothing is ever written there, no image is opened, and a sidecar is parsed at most
/// once, when the metadata of one of its images are asked for. What is not indexed is in `left_out()` with its reason:
/// hidden files, `sourcedata`, `code`, what .bidsignore names (when validating), broken links and links that lead
/// back, names and places that BIDS does not know (when validating), and unknown file types. Paths are judged
/// below their root, so the name of the root itself never counts.
///
/// CT images (suffix `ct` or `CT`, in a folder `ct` or `anat`) are indexed even where .bidsignore names them, as
/// ivadomed does: CT is not in BIDS yet, and .bidsignore is how people quiet the validator about it.
///
/// Thread safety: `metadata` may be called from several threads.
class BidsIndex {
 public:
  /// Indexes the roots in the order given.
  /// @throws Error (usage) if there is no root or one is no folder
  /// @throws Error (data)  if, when validating, a root has no readable `dataset_description.json`
  IVADO_INLINE explicit BidsIndex(const std::vector<std::string>& roots, const BidsIndexParams& params = {})
      : params_(params), cache_(std::make_unique<Cache>()) {
    if (roots.empty())
      throw usage_error("indexing the data", "loader_parameters.path_data is empty",
                        "give the folder of a BIDS data set");
    std::set<std::string> seen;
    for (const auto& given : roots) {
      std::error_code fault;
      const auto canonical = std::filesystem::canonical(given, fault);
      if (fault || !std::filesystem::is_directory(canonical, fault))
        throw usage_error("indexing the data set " + given, "there is no such folder",
                          "check loader_parameters.path_data, or --path-data");
      if (!seen.insert(canonical.string()).second) {
        left_out_.warn("the data set " + given + " is given twice; it is used once");
        continue;
      }
      std::string root = given;
      while (root.size() > 1 && root.back() == '/') root.pop_back();
      roots_.push_back(root);
      tables_.emplace_back();
      index_root(canonical.string());
    }
    index_labels();
    cache_->sidecars.resize(files_.size());
  }

  /// The data sets, as given.
  [[nodiscard]] const std::vector<std::string>& roots() const noexcept { return roots_; }
  /// All indexed files: by data set, and there in the order of their paths.
  [[nodiscard]] const std::vector<BidsFile>& files() const noexcept { return files_; }
  /// What was found and not indexed, and warnings about tables.
  [[nodiscard]] const LeftOutList& left_out() const noexcept { return left_out_; }
  /// How it was indexed.
  [[nodiscard]] const BidsIndexParams& params() const noexcept { return params_; }
  /// Number of indexed files of a kind.
  [[nodiscard]] IVADO_INLINE std::size_t count(FileKind kind) const noexcept {
    return static_cast<std::size_t>(
        std::count_if(files_.begin(), files_.end(), [&](const BidsFile& file) { return file.kind == kind; }));
  }
  /// The labels of a data set whose stem is exactly this one, those of `derivatives/labels` first.
  [[nodiscard]] IVADO_INLINE std::vector<const BidsFile*> labels(std::size_t root, const std::string& stem) const {
    std::vector<const BidsFile*> out;
    const auto [begin, end] = labels_.equal_range(key(root, stem));
    for (auto it = begin; it != end; ++it) out.push_back(&files_[it->second]);
    std::sort(out.begin(), out.end(), [](const BidsFile* a, const BidsFile* b) {
      const bool a_first = a->pipeline == "labels";
      return a_first != (b->pipeline == "labels") ? a_first : a->relative < b->relative;
    });
    return out;
  }

  /// All that is known of a file, as one object.
  ///
  /// First `participant_id`; then the keys of the sidecars by BIDS inheritance (a sidecar applies to the files in and
  /// below its folder that have its suffix and all of its entities; a deeper folder wins, in one folder the one with
  /// more entities); the columns of participants.tsv, samples.tsv, sessions.tsv and scans.tsv as text, null where they
  /// have no value; and the entities under their long names ("session", "acquisition"), `suffix`, `datatype` and
  /// `extension`. Where two of them use one name, the later has it (unless it has no value) and the earlier is kept as
  /// "<name>_<source>", the sources being sidecar, participants, samples, sessions, scans.
  /// @throws Error (data) if a sidecar is not a JSON object; names it
  [[nodiscard]] IVADO_INLINE Json metadata(const BidsFile& file) const {
    Json out = Json::object();
    std::map<std::string, std::string_view> sources;
    const auto put = [&](const std::string& name, Json value, std::string_view source) {
      const auto found = out.find(name);
      if (found == out.end()) {
        out[name] = std::move(value);
      } else if (!value.is_null()) {
        if (!found->is_null() && *found != value) {
          Json older = std::move(*found);
          *found = std::move(value);
          out[name + "_" + std::string(sources[name])] = std::move(older);
        } else {
          *found = std::move(value);
        }
      } else {
        return;
      }
      sources[name] = source;
    };
    const std::string subject = file.subject();
    if (!subject.empty()) out["participant_id"] = detail::valid_utf8(subject);
    sources["participant_id"] = "entity";
    for (const auto sidecar : sidecars_of(file))
      for (const auto& item : parsed_sidecar(sidecar).items()) {
        if (item.key() == "participant_id") continue;
        out[item.key()] = item.value();  // the sidecars come from the outermost to the innermost: the later one wins
        sources[item.key()] = "sidecar";
      }
    const auto& tables = tables_[file.root];
    const auto join = [&](const Rows& rows, const std::string& row_key, std::string_view source) {
      const auto row = rows.rows.find(row_key);
      for (std::size_t i = 0; i < rows.columns.size(); ++i) {
        if (rows.columns[i].empty() || rows.columns[i] == "participant_id" || rows.columns[i] == "filename") continue;
        if (row == rows.rows.end() || !row->second[i])
          put(rows.columns[i], nullptr, source);
        else
          put(rows.columns[i], *row->second[i], source);
      }
    };
    join(tables.participants, subject, "participants");
    if (!file.entity("sample").empty())
      join(tables.samples, subject + "\t" + with_prefix("sample-", file.entity("sample")), "samples");
    if (const auto visits = tables.sessions.find(subject);
        visits != tables.sessions.end() && !file.entity("ses").empty())
      join(visits->second, with_prefix("ses-", file.entity("ses")), "sessions");
    if (const auto scans = tables.scans.find(file.name); scans != tables.scans.end())
      join(tables.scan_tables[scans->second], file.name, "scans");
    for (const auto& [name, value] : file.entities)
      put(detail::valid_utf8(detail::entity_column(name)), detail::valid_utf8(value), "entity");
    put("suffix", detail::valid_utf8(file.suffix), "entity");
    if (!file.datatype.empty()) put("datatype", detail::valid_utf8(file.datatype), "entity");
    put("extension", detail::valid_utf8(file.extension), "entity");
    return out;
  }

 private:
  using Row = std::vector<std::optional<std::string>>;
  struct Rows {
    std::vector<std::string> columns;
    std::unordered_map<std::string, Row> rows;
  };
  struct Tables {
    Rows participants;
    Rows samples;
    std::unordered_map<std::string, Rows> sessions;  ///< by subject
    std::vector<Rows> scan_tables;
    std::unordered_map<std::string, std::size_t> scans;                  ///< their numbers, by name of the file
    std::unordered_map<std::string, std::vector<std::size_t>> sidecars;  ///< by folder
  };
  struct Cache {
    std::mutex guard;
    std::vector<std::unique_ptr<Json>> sidecars;  ///< by number of the file; empty until it is asked for
  };
  enum class Level { root, subject, visit, datatype, elsewhere };
  struct Place {
    Level level = Level::root;
    bool derivative = false;
    bool ignored = false;  ///< .bidsignore names the folder: CT images alone are taken
    std::string sub;       ///< "01" of the folder sub-01
    std::string ses;
    std::string datatype;
    std::string pipeline;
    int depth = 0;
  };

  [[nodiscard]] IVADO_INLINE static std::string key(std::size_t root, const std::string& stem) {
    return std::to_string(root) + "/" + stem;
  }
  [[nodiscard]] IVADO_INLINE static std::string with_prefix(const std::string& prefix, const std::string& value) {
    return value.rfind(prefix, 0) == 0 ? value : prefix + value;
  }
  [[nodiscard]] std::string full(const std::string& relative) const { return roots_.back() + "/" + relative; }
  void leave_out(const std::string& relative, std::string reason) { left_out_.add(full(relative), std::move(reason)); }

  IVADO_INLINE void index_root(const std::string& canonical) {
    ignore_ = {};
    links_ = {canonical};
    std::error_code fault;
    if (params_.validate && std::filesystem::is_regular_file(full(".bidsignore"), fault)) {
      const std::string text = detail::read_text(full(".bidsignore"));
      for (std::string_view rest = text; !rest.empty();) {
        const auto end = rest.find('\n');
        ignore_.add(rest.substr(0, end));
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      }
    }
    read_description();
    const std::size_t first = files_.size();
    walk("", {});
    for (std::size_t i = first; i < files_.size(); ++i)
      if (files_[i].kind == FileKind::sidecar) tables_.back().sidecars[std::string(files_[i].folder())].push_back(i);
    check_participants(first);
  }

  IVADO_INLINE void read_description() {
    const std::string path = full("dataset_description.json");
    std::string found;
    std::error_code fault;
    if (!std::filesystem::exists(path, fault)) {
      found = "dataset_description.json is missing";
    } else {
      const Json json = Json::parse(detail::valid_utf8(detail::read_text(path)), nullptr, false);
      if (!json.is_object())
        found = "dataset_description.json is not a JSON object";
      else if (!json.contains("Name") || !json.contains("BIDSVersion"))
        left_out_.warn("the data set " + roots_.back() + ": dataset_description.json lacks Name or BIDSVersion");
    }
    if (found.empty()) return;
    if (params_.validate)
      throw data_error("indexing the data set " + roots_.back(), found,
                       "write one with Name and BIDSVersion, or set loader_parameters.bids_validate to false");
    left_out_.warn("the data set " + roots_.back() + ": " + found);
  }

  IVADO_INLINE void walk(const std::string& folder, const Place& place) {
    std::error_code fault;
    std::filesystem::directory_iterator iterator(folder.empty() ? roots_.back() : full(folder), fault);
    if (fault) return leave_out(folder + "/", "the folder cannot be read");
    std::vector<std::filesystem::directory_entry> entries;
    while (iterator != std::filesystem::directory_iterator()) {
      entries.push_back(*iterator);
      iterator.increment(fault);
      if (fault) {
        leave_out(folder + "/", "the folder cannot be read to its end");
        break;
      }
    }
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.path().native() < b.path().native(); });
    for (const auto& entry : entries) {
      const std::string name = entry.path().filename().string();
      const std::string relative = folder.empty() ? name : folder + "/" + name;
      const bool link = entry.is_symlink(fault);
      const bool is_folder = entry.is_directory(fault);  // follows links
      if (name[0] == '.') {
        leave_out(is_folder ? relative + "/" : relative, "hidden");
      } else if (is_folder) {
        if (link) {
          const auto target = std::filesystem::canonical(entry.path(), fault).string();
          const auto here = std::filesystem::canonical(entry.path().parent_path(), fault).string();
          const bool back = here == target || here.rfind(target + "/", 0) == 0;
          if (fault || back || !links_.insert(target).second) {
            leave_out(relative + "/", "a link that leads back, or to a folder that another link leads to");
            continue;
          }
        }
        enter(relative, name, place);
      } else if (entry.is_regular_file(fault)) {
        add_file(relative, name, place);
      } else {
        leave_out(relative, link ? "a link to a file that is not there (git-annex: get its content first)"
                                 : "not a regular file");
      }
    }
  }

  IVADO_INLINE void enter(const std::string& relative, const std::string& name, const Place& place) {
    Place inner = place;
    inner.level = Level::elsewhere;
    if (++inner.depth > 40) return leave_out(relative + "/", "nested too deeply");
    if (place.derivative) {
      if (place.level == Level::root) inner.pipeline = name.rfind("sub-", 0) == 0 ? "" : name;
      if (detail::is_datatype(name)) inner.datatype = name;
      return walk(relative, inner);
    }
    if (place.level == Level::root) {
      if (name == "derivatives") {
        if (!params_.derivatives) return leave_out(relative + "/", "labels are not needed");
        inner.level = Level::root;
        inner.derivative = true;
        return walk(relative, inner);
      }
      if (name == "sourcedata" || name == "code" || name == "stimuli" || name == "phenotype")
        return leave_out(relative + "/", "the folder " + name + " holds no images to load");
    }
    if (ignore_.ignored(relative, true)) {
      if (place.sub.empty() || (name != "ct" && name != "anat"))
        return leave_out(relative + "/", "named in .bidsignore");
      inner.ignored = true;
    }
    if (place.level == Level::root && name.rfind("sub-", 0) == 0) {
      inner.level = Level::subject;
      inner.sub = name.substr(4);
    } else if (place.level == Level::subject && name.rfind("ses-", 0) == 0) {
      inner.level = Level::visit;
      inner.ses = name.substr(4);
    } else if ((place.level == Level::subject || place.level == Level::visit) && detail::is_datatype(name)) {
      inner.level = Level::datatype;
      inner.datatype = name;
    } else if (params_.validate) {
      return leave_out(relative + "/", "not a folder of BIDS (with bids_validate false it is searched)");
    } else if (inner.datatype.empty() && place.level != Level::root) {
      inner.datatype = name;
    }
    walk(relative, inner);
  }

  IVADO_INLINE void add_file(const std::string& relative, const std::string& name, const Place& place) {
    BidsFile file;
    static_cast<BidsName&>(file) = parse_bids_name(name);
    file.relative = relative;
    file.name = name;
    file.datatype = place.datatype;
    file.pipeline = place.pipeline;
    file.root = roots_.size() - 1;
    if (is_document(name)) {
      file.kind = FileKind::document;
      return keep(std::move(file));
    }
    const std::string extension = detail::lower(file.extension);
    const bool of_subject = name.rfind("sub-", 0) == 0 && !file.entity("sub").empty();
    if (detail::is_image_extension(extension))
      file.kind = place.derivative ? FileKind::label : FileKind::image;
    else if (extension == ".json")
      file.kind = FileKind::sidecar;
    else if (extension == ".tsv")
      file.kind = FileKind::table;
    else if (extension == ".bval" || extension == ".bvec" || extension == ".tsv.gz")
      file.kind = FileKind::other;
    else
      return leave_out(relative,
                       "the file type " + (extension.empty() ? "without extension" : extension) + " is not known");
    const bool image = file.kind == FileKind::image || file.kind == FileKind::label;
    if (image && !of_subject) return leave_out(relative, "the name does not begin with sub-");
    if (place.derivative) return keep(std::move(file));

    const bool ct = (file.datatype == "ct" || file.datatype == "anat") && (file.suffix == "ct" || file.suffix == "CT");
    if (!ct && (place.ignored || ignore_.ignored(relative, false))) return leave_out(relative, "named in .bidsignore");
    if (file.suffix.empty()) return leave_out(relative, "the name has no suffix such as T1w");
    if (image && params_.validate) {
      const bool loose = std::any_of(file.entities.begin(), file.entities.end(),
                                     [](const auto& entity) { return entity.first.empty() || entity.second.empty(); });
      if (loose)
        return leave_out(relative, "a part of the name is no key-value pair (with bids_validate false it is taken)");
      if (file.repeated_key) return leave_out(relative, "an entity stands twice in the name");
      if (place.level != Level::datatype) return leave_out(relative, "not in a folder of a data type such as anat");
      if (file.entity("sub") != place.sub || file.entity("ses") != place.ses)
        return leave_out(relative, "the subject or visit in the name is not that of the folder");
    }
    if (file.kind == FileKind::table) read_table(file, place);
    keep(std::move(file));
  }

  IVADO_INLINE void keep(BidsFile file) {
    file.path = full(file.relative);
    files_.push_back(std::move(file));
  }

  [[nodiscard]] IVADO_INLINE static bool is_document(std::string_view name) {
    for (const std::string_view known : {"README", "CHANGES", "LICENSE", "CITATION"})
      if (name.substr(0, known.size()) == known && (name.size() == known.size() || name[known.size()] == '.'))
        return true;
    return name == "dataset_description.json" || name == "participants.json" || name == "samples.json";
  }

  IVADO_INLINE void read_table(const BidsFile& file, const Place& place) {
    auto& tables = tables_.back();
    if (place.level == Level::root && file.name == "participants.tsv") {
      fill(tables.participants, file, {"participant_id"}, "sub-");
    } else if (place.level == Level::root && file.name == "samples.tsv") {
      fill(tables.samples, file, {"participant_id", "sample_id"}, "sub-");
    } else if (file.suffix == "sessions" && !file.subject().empty()) {
      fill(tables.sessions[file.subject()], file, {"session_id"}, "ses-");
    } else if (file.suffix == "scans") {
      tables.scan_tables.emplace_back();
      fill(tables.scan_tables.back(), file, {"filename"}, "");
      for (const auto& [name, row] : tables.scan_tables.back().rows)
        tables.scans.emplace(name, tables.scan_tables.size() - 1);
    }
  }

  /// Reads a table whose rows are found by one or two columns.
  IVADO_INLINE void fill(Rows& out, const BidsFile& file, const std::vector<std::string>& keys,
                         const std::string& prefix) {
    const std::string path = full(file.relative);
    const auto table = detail::parse_table(detail::read_text(path));
    std::vector<std::size_t> places;
    for (const auto& name : keys) {
      const auto column = table.column(name);
      if (!column)
        return left_out_.warn(path + " has no column " + name + " (columns are parted by tabs); it is not used");
      places.push_back(*column);
    }
    out.columns = table.columns;
    for (std::size_t i = 0; i < out.columns.size(); ++i)
      if (std::find(out.columns.begin(), out.columns.begin() + static_cast<std::ptrdiff_t>(i), out.columns[i]) !=
          out.columns.begin() + static_cast<std::ptrdiff_t>(i))
        left_out_.warn(path + " has the column " + out.columns[i] + " twice; the later one counts");
    for (const auto& row : table.rows) {
      if (!row[places[0]] || (places.size() > 1 && !row[places[1]])) {
        left_out_.warn(path + " has a row without " + keys[row[places[0]] ? 1 : 0]);
        continue;
      }
      std::string id = prefix.empty() ? *row[places[0]] : with_prefix(prefix, *row[places[0]]);
      if (prefix.empty()) id = id.substr(id.find_last_of('/') + 1);  // scans.tsv names files by their path
      if (places.size() > 1) id += "\t" + with_prefix("sample-", *row[places[1]]);
      if (!out.rows.emplace(id, row).second) left_out_.warn(path + " has two rows for " + id + "; the first is used");
    }
  }

  IVADO_INLINE void check_participants(std::size_t first) {
    const std::string path = full("participants.tsv");
    const auto& table = tables_.back().participants;
    if (table.columns.empty()) {
      left_out_.warn("the data set " + roots_.back() +
                     " has no participants.tsv that can be used: no columns to group or select by");
      return;
    }
    std::set<std::string> with_image;
    for (std::size_t i = first; i < files_.size(); ++i)
      if (files_[i].kind == FileKind::image) with_image.insert(files_[i].subject());
    std::set<std::string> unlisted;
    for (const auto& subject : with_image)
      if (!table.rows.contains(subject)) unlisted.insert(subject);
    if (!unlisted.empty()) left_out_.warn(path + " has no row for " + detail::some_of(unlisted));
    std::set<std::string> without;
    for (const auto& [subject, row] : table.rows)
      if (!with_image.contains(subject)) without.insert(subject);
    if (!without.empty()) left_out_.warn(path + " names subjects without any image: " + detail::some_of(without));
  }

  IVADO_INLINE void index_labels() {
    for (std::size_t i = 0; i < files_.size(); ++i)
      if (files_[i].kind == FileKind::label) labels_.emplace(key(files_[i].root, files_[i].stem), i);
  }

  /// Numbers of the sidecars that apply to a file, from the outermost folder inwards.
  [[nodiscard]] IVADO_INLINE std::vector<std::size_t> sidecars_of(const BidsFile& file) const {
    std::vector<std::size_t> out;
    const auto& by_folder = tables_[file.root].sidecars;
    const std::string_view folder = file.folder();
    const auto visit = [&](std::string_view place) {
      const auto found = by_folder.find(std::string(place));
      if (found == by_folder.end()) return;
      const std::size_t first = out.size();
      for (const auto number : found->second) {
        if (detail::applies(files_[number], file)) out.push_back(number);
      }
      std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), [&](std::size_t a, std::size_t b) {
        return files_[a].entities.size() < files_[b].entities.size();
      });
    };
    visit("");
    for (std::size_t i = 0; i < folder.size(); ++i)
      if (folder[i] == '/') visit(folder.substr(0, i));
    if (!folder.empty()) visit(folder);
    return out;
  }

  [[nodiscard]] IVADO_INLINE const Json& parsed_sidecar(std::size_t number) const {
    const std::lock_guard lock(cache_->guard);
    auto& slot = cache_->sidecars[number];
    if (!slot) slot = std::make_unique<Json>(detail::read_sidecar(files_[number].path));
    return *slot;
  }

  BidsIndexParams params_;
  std::vector<std::string> roots_;
  std::vector<BidsFile> files_;
  std::vector<Tables> tables_;  ///< by data set
  std::unordered_multimap<std::string, std::size_t> labels_;
  LeftOutList left_out_;
  detail::IgnoreRules ignore_;   ///< of the data set that is being indexed
  std::set<std::string> links_;  ///< canonical paths of its root and of the folders that links led to
  std::unique_ptr<Cache> cache_;
};

}  // namespace ivado
