// `ivado subset` and `ivado scale`: a part of a BIDS data set, or a larger one made of copies of its subjects, in a new
// folder. No ITK, no LibTorch.
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../command_options.hpp"
#include "../config/json.hpp"
#include "../error.hpp"
#include "../random.hpp"
#include "atomic_file.hpp"
#include "bids_cases.hpp"
#include "bids_index.hpp"

namespace ivado {

/// What `write_subset` takes of a data set. Of `subjects`, `fraction` and `list` at most one; without one, all
/// subjects.
struct SubsetParams {
  std::string from{};                      ///< folder of the data set
  std::string to{};                        ///< folder that is made; it must not be there, its parent must
  std::optional<std::int64_t> subjects{};  ///< number of subjects to draw
  std::optional<double> fraction{};        ///< share of the subjects to draw, in (0, 1], rounded, at least one subject
  std::vector<std::string> list{};         ///< the subjects by name: "sub-01" or "01"
  std::vector<std::string> contrasts{};    ///< images to take, such as "T2w" or "acq-MTon_MTS"; empty: all files
  /// Folders below `derivatives` to take, such as "labels"; nothing given: all; an empty list: none.
  std::optional<std::vector<std::string>> derivatives{};
  std::uint64_t seed = 0;  ///< of the draw
  bool link = false;       ///< hard links instead of copies: no space, but a change of one changes the other
};

/// What `write_scaled` makes of a data set.
struct ScaleParams {
  std::string from{};  ///< folder of the data set
  std::string to{};    ///< folder that is made; it must not be there, its parent must
  double factor = 1;   ///< subjects of the new set by those of the old one; rounded to whole subjects, at least one
  /// The subjects that are copied where the factor is above 1, as in `SubsetParams::list`; empty: all, in turn. The
  /// profile study copied one alone.
  std::vector<std::string> copies_of{};
  std::uint64_t seed = 0;  ///< of the draw of the subjects that are kept, or copied once more than others
  bool link = false;       ///< as `SubsetParams::link`
};

/// What was written.
struct DatasetCopy {
  std::string folder;
  std::size_t subjects_before = 0;
  std::vector<std::string> subjects;  ///< in the new set, in the order of their names
  std::size_t files = 0;
  std::uintmax_t bytes = 0;  ///< of these files
  std::size_t linked = 0;    ///< of these files, those that are hard links
  LeftOutList left_out;      ///< what the old set has and the new one would have, and why it has not; warnings
};

namespace detail::copying {

/// The new names of each subject that is taken; that of the subject itself comes first.
using Names = std::map<std::string, std::vector<std::string>>;

/// A file of the old set. `path` is the file itself, where `relative` is a link; empty where the link leads nowhere.
struct SourceFile : BidsFile {
  std::string owner;        ///< "sub-01"; empty for files of the whole set
  bool derivative = false;  ///< below `derivatives`
  bool taken = true;
  std::uintmax_t bytes = 0;
};

struct Source {
  std::string root;
  std::vector<SourceFile> files;   ///< in the order of their paths
  std::set<std::string> subjects;  ///< the folders sub-… of the root
  LeftOutList left_out;

  void leave_out(SourceFile& file, std::string reason) {
    file.taken = false;
    left_out.add(root + "/" + file.relative, std::move(reason));
  }
};

/// "sub-01" of "sub-01", "sub-01_T1w.json" and "sub-01.html"; empty where a part of a path names no subject.
[[nodiscard]] inline std::string subject_in(std::string_view part) {
  if (!part.starts_with("sub-")) return {};
  part = part.substr(0, part.find_first_of("_."));
  return part.size() > 4 ? std::string(part) : std::string();
}

[[nodiscard]] inline std::vector<std::string> parts_of(std::string_view relative) {
  std::vector<std::string> out;
  for (;;) {
    const auto slash = relative.find('/');
    out.emplace_back(relative.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    relative.remove_prefix(slash + 1);
  }
}

inline void add_file(Source& source, const std::string& relative, const std::filesystem::directory_entry& entry) {
  SourceFile file;
  const auto parts = parts_of(relative);
  static_cast<BidsName&>(file) = parse_bids_name(parts.back());
  file.relative = relative;
  file.name = parts.back();
  file.derivative = parts.front() == "derivatives" && parts.size() > 1;
  if (file.derivative && parts.size() > 2 && subject_in(parts[1]).empty()) file.pipeline = parts[1];
  std::size_t place = 0;
  while (place < parts.size() && file.owner.empty()) file.owner = subject_in(parts[place++]);
  if (place < parts.size() && parts[place].starts_with("ses-") && place + 1 < parts.size()) ++place;
  if (!file.owner.empty() && place + 1 < parts.size()) file.datatype = parts[place];
  std::error_code fault;
  const auto content = std::filesystem::canonical(entry.path(), fault);
  if (!fault) {
    file.path = content.string();
    file.bytes = std::filesystem::file_size(content, fault);
  }
  source.files.push_back(std::move(file));
}

/// @param above  canonical paths of the folders that this one is in, with itself: links may not lead back
inline void walk(Source& source, const std::string& folder, const std::set<std::string>& above) {
  const std::string path = folder.empty() ? source.root : source.root + "/" + folder;
  std::error_code fault;
  std::vector<std::filesystem::directory_entry> entries;
  for (std::filesystem::directory_iterator at(path, fault); !fault && at != std::filesystem::directory_iterator();
       at.increment(fault))
    entries.push_back(*at);
  if (fault) throw data_error("reading the folder " + path, fault.message(), "check its permissions");
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.path().native() < b.path().native(); });
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    const std::string relative = folder.empty() ? name : folder + "/" + name;
    const bool of_bids = folder.empty() && (name == ".bidsignore" || name == ".bids-validator-config.json");
    if (name[0] == '.' && !of_bids) {
      source.left_out.add(path + "/" + name, "hidden");
    } else if (entry.is_directory(fault)) {  // follows links
      if (relative == "sourcedata") {
        source.left_out.add(path + "/" + name + "/", "sourcedata is no part of the data set proper");
        continue;
      }
      auto inner = above;
      if (!inner.insert(std::filesystem::canonical(entry.path(), fault).string()).second) {
        source.left_out.add(path + "/" + name + "/", "a link that leads back");
        continue;
      }
      if (folder.empty() && name.size() > 4 && name.starts_with("sub-")) source.subjects.insert(name);
      walk(source, relative, inner);
    } else if (entry.is_regular_file(fault) || entry.is_symlink(fault)) {
      add_file(source, relative, entry);
    } else {
      source.left_out.add(path + "/" + name, "not a regular file");
    }
  }
}

/// The text with the subject's name replaced, wherever it stands as a word of its own.
[[nodiscard]] inline std::string renamed(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  const auto in_word = [&](std::size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
  };
  std::size_t done = 0;
  for (auto at = text.find(from); at != std::string_view::npos; at = text.find(from, at + 1)) {
    if ((at > 0 && in_word(at - 1)) || in_word(at + from.size())) continue;
    out += text.substr(done, at - done);
    out += to;
    done = at + from.size();
  }
  out += text.substr(done);
  return out;
}

/// The path with the subject's name replaced where it begins a part.
[[nodiscard]] inline std::string renamed_path(const std::string& relative, const std::string& from,
                                              const std::string& to) {
  std::string out;
  for (const auto& part : parts_of(relative))
    out += (out.empty() ? "" : "/") + (subject_in(part) == from ? to + part.substr(from.size()) : part);
  return out;
}

/// The lines of a text, each with its end.
[[nodiscard]] inline std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    out.push_back(text.substr(0, end == std::string_view::npos ? end : end + 1));
    text.remove_prefix(out.back().size());
  }
  return out;
}

/// Where a cell of a table's line stands: what is between its tabs, without blanks, quotes, mark and line end.
struct Cell {
  std::size_t begin = 0;
  std::size_t size = 0;
};

[[nodiscard]] inline std::vector<Cell> cells_of(std::string_view line) {
  std::vector<Cell> out;
  std::size_t begin = line.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  for (;;) {
    const std::size_t end = std::min(line.find('\t', begin), line.size());
    Cell cell{begin, end - begin};
    const auto odd = [&](char c) { return c == ' ' || c == '"' || c == '\r' || c == '\n'; };
    while (cell.size > 0 && odd(line[cell.begin])) ++cell.begin, --cell.size;
    while (cell.size > 0 && odd(line[cell.begin + cell.size - 1])) --cell.size;
    out.push_back(cell);
    if (end == line.size()) return out;
    begin = end + 1;
  }
}

[[nodiscard]] inline std::optional<std::size_t> column_of(std::string_view header, std::string_view name) {
  const auto cells = cells_of(header);
  for (std::size_t i = 0; i < cells.size(); ++i)
    if (header.substr(cells[i].begin, cells[i].size) == name) return i;
  return std::nullopt;
}

/// A table of subjects with the rows of those that are taken, once for each of their names: first all under the first
/// one. Nothing where it has no column `participant_id`.
/// @param strangers  takes the subjects of rows that are of no subject in `known`
[[nodiscard]] inline std::optional<std::string> subject_rows(std::string_view text, const Names& names,
                                                             const std::set<std::string>& known,
                                                             std::set<std::string>& strangers) {
  const auto lines = lines_of(text);
  const auto column = lines.empty() ? std::nullopt : column_of(lines.front(), "participant_id");
  if (!column) return std::nullopt;
  const std::string_view end = lines.front().ends_with("\r\n") ? "\r\n" : "\n";
  std::string out;
  const auto add = [&](std::string_view line) {
    out += line;
    if (!line.ends_with('\n')) out += end;
  };
  add(lines.front());
  bool any = true;
  for (std::size_t round = 0; any; ++round) {
    any = false;
    for (std::size_t i = 1; i < lines.size(); ++i) {
      const auto cells = cells_of(lines[i]);
      if (*column >= cells.size()) continue;
      const Cell cell = cells[*column];
      const std::string id(lines[i].substr(cell.begin, cell.size));
      if (id.empty()) continue;
      const bool prefixed = id.starts_with("sub-");
      const std::string subject = prefixed ? id : "sub-" + id;
      if (!known.contains(subject)) strangers.insert(subject);
      const auto found = names.find(subject);
      if (found == names.end() || found->second.size() <= round) continue;
      any = true;
      std::string line(lines[i]);
      line.replace(cell.begin, cell.size, found->second[round].substr(prefixed ? 0 : 4));
      add(line);
    }
  }
  return out;
}

/// Marks what the contrasts leave out: images of other contrasts, and what goes with them.
///
/// Beside an image stays what has its entities and no suffix of an image (events of a functional series). A derivative
/// goes with the image whose name it continues, or else with the contrast that it has as its suffix.
inline void choose_contrasts(Source& source, const std::vector<std::string>& asked) {
  if (asked.empty()) return;
  std::vector<Contrast> contrasts;
  std::set<std::string> suffixes;
  for (const auto& text : asked) {
    contrasts.push_back({text, parse_bids_name(text)});
    if (contrasts.back().name.suffix.empty() || !contrasts.back().name.extension.empty())
      throw usage_error("choosing the contrasts", "\"" + text + "\" names no contrast",
                        "give one as in file names: T2w, or acq-MTon_MTS");
  }
  std::map<std::string, std::vector<const SourceFile*>> images;  // by folder
  std::map<std::string, bool> taken;                             // by stem
  std::set<std::string> fitting;
  for (auto& file : source.files) {
    if (file.derivative || file.owner.empty() || !is_image_extension(file.extension)) continue;
    suffixes.insert(file.suffix);
    file.taken = false;
    for (const auto& contrast : contrasts)
      if (contrast.fits(file)) fitting.insert(contrast.text), file.taken = true;
    images[std::string(file.folder())].push_back(&file);
    taken[file.stem] = taken[file.stem] || file.taken;
  }
  for (const auto& contrast : contrasts)
    if (!fitting.contains(contrast.text))
      throw usage_error("choosing the contrasts", "no image of " + source.root + " is of the contrast " + contrast.text,
                        "it has " + some_of(suffixes) + "; nearest is \"" +
                            nearest(contrast.name.suffix, {suffixes.begin(), suffixes.end()}) + "\"");
  const auto stays = [&](const SourceFile& file) {
    if (file.derivative) {
      for (std::string stem = file.stem;; stem.resize(stem.rfind('_'))) {
        if (const auto found = taken.find(stem); found != taken.end()) return found->second;
        if (stem.rfind('_') == std::string::npos) break;
      }
      return !suffixes.contains(file.suffix) || std::any_of(contrasts.begin(), contrasts.end(), [&](const auto& one) {
        return one.name.suffix == file.suffix;
      });
    }
    if (file.datatype.empty()) return true;
    const auto beside = images.find(std::string(file.folder()));
    if (beside == images.end()) return false;
    const bool described = std::any_of(beside->second.begin(), beside->second.end(),
                                       [&](const auto* image) { return image->suffix == file.suffix; });
    return std::any_of(beside->second.begin(), beside->second.end(), [&](const auto* image) {
      return image->taken && (!described || image->suffix == file.suffix) &&
             std::includes(file.entities.begin(), file.entities.end(), image->entities.begin(), image->entities.end());
    });
  };
  for (auto& file : source.files) {
    if (file.owner.empty()) continue;
    const bool image = !file.derivative && is_image_extension(file.extension);
    if (image ? !file.taken : !stays(file)) source.leave_out(file, "of another contrast");
  }
}

/// Marks the derivatives that are not asked for.
inline void choose_derivatives(Source& source, const std::optional<std::vector<std::string>>& asked) {
  if (!asked) return;
  std::set<std::string> there;
  for (const auto& file : source.files)
    if (!file.pipeline.empty()) there.insert(file.pipeline);
  for (const auto& name : *asked)
    if (!there.contains(name))
      throw usage_error("choosing the derivatives", "there is no folder derivatives/" + name + " in " + source.root,
                        there.empty() ? "leave --derivatives out" : "it has " + some_of(there));
  for (auto& file : source.files) {
    if (!file.derivative || !file.taken) continue;
    const bool of_all = file.pipeline.empty() && file.owner.empty() && !asked->empty();
    if (!of_all && std::find(asked->begin(), asked->end(), file.pipeline) == asked->end())
      source.leave_out(file, "not among the derivatives asked for");
  }
}

/// Marks sidecars that described raw files of which none is left.
inline void drop_idle_sidecars(Source& source, const Names& names) {
  std::map<std::string, std::vector<const SourceFile*>> data;  // raw files that sidecars describe, by subject
  for (const auto& file : source.files)
    if (!file.derivative && !file.owner.empty() && lower(file.extension) != ".json") data[file.owner].push_back(&file);
  for (auto& sidecar : source.files) {
    if (sidecar.derivative || !sidecar.taken || lower(sidecar.extension) != ".json") continue;
    if (!sidecar.owner.empty() && !names.contains(sidecar.owner)) continue;
    const std::string folder = sidecar.folder().empty() ? "" : std::string(sidecar.folder()) + "/";
    bool before = false;
    bool after = false;
    const auto look = [&](const auto& files) {
      for (const SourceFile* file : files)
        if (file->suffix == sidecar.suffix && file->relative.starts_with(folder) &&
            std::includes(file->entities.begin(), file->entities.end(), sidecar.entities.begin(),
                          sidecar.entities.end())) {
          before = true;
          after = after || (file->taken && names.contains(file->owner));
        }
    };
    if (sidecar.owner.empty())
      for (const auto& [owner, files] : data) look(files);
    else if (const auto own = data.find(sidecar.owner); own != data.end())
      look(own->second);
    if (before && !after) source.leave_out(sidecar, "a sidecar of no file that is left");
  }
}

/// Reads the folder, and refuses what cannot become another one.
[[nodiscard]] inline Source read_source(const std::string& doing, const std::string& from, const std::string& to) {
  if (from.empty()) throw usage_error(doing, "no data set is named", "give its folder with --from");
  if (to.empty()) throw usage_error(doing, "no new folder is named", "give it with --to");
  std::error_code fault;
  const auto root = std::filesystem::canonical(from, fault);
  if (fault || !std::filesystem::is_directory(root, fault))
    throw usage_error(doing, "there is no folder " + from, "check --from");
  auto target = std::filesystem::absolute(to).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  if (std::filesystem::symlink_status(target, fault).type() != std::filesystem::file_type::not_found)
    throw usage_error(doing, to + " is there already", "name a folder that is not there: nothing is overwritten");
  const auto parent = std::filesystem::canonical(target.parent_path(), fault);
  if (fault || !std::filesystem::is_directory(parent, fault))
    throw usage_error(doing, "the folder " + target.parent_path().string() + " does not exist", "create it first");
  if ((parent / "").string().starts_with((root / "").string()))
    throw usage_error(doing, to + " lies inside of the data set " + from, "name a folder elsewhere");
  Source source;
  source.root = from;
  while (source.root.size() > 1 && source.root.back() == '/') source.root.pop_back();
  walk(source, "", {root.string()});
  if (source.subjects.empty())
    throw data_error(doing, from + " has no folder sub-…, so it is no BIDS data set", "check --from");
  if (!std::filesystem::exists(root / "dataset_description.json", fault))
    source.left_out.warn("the data set " + from + " has no dataset_description.json, which BIDS demands");
  for (auto& file : source.files)
    if (!file.owner.empty() && !source.subjects.contains(file.owner))
      source.leave_out(file, "of a subject without a folder of its own");
  return source;
}

/// The subjects by name, "sub-01" or "01".
[[nodiscard]] inline std::set<std::string> listed(const std::string& doing, const std::vector<std::string>& list,
                                                  const std::set<std::string>& subjects) {
  std::set<std::string> out;
  for (const auto& text : list) {
    const std::string name = text.starts_with("sub-") ? text : "sub-" + text;
    if (!subjects.contains(name))
      throw usage_error(doing, "there is no subject " + name + " to take",
                        "nearest is \"" + nearest(name, {subjects.begin(), subjects.end()}) + "\"");
    out.insert(name);
  }
  return out;
}

/// Draws `count` of the subjects.
[[nodiscard]] inline std::vector<std::string> drawn(const std::vector<std::string>& subjects, std::size_t count,
                                                    std::uint64_t seed) {
  Rng rng({seed, 0, 0, stream_split});
  const auto order = rng.permutation(static_cast<std::int64_t>(subjects.size()));
  std::vector<std::string> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(subjects[static_cast<std::size_t>(order[i])]);
  return out;
}

/// Writes the new set beside its place and renames it.
class Writer {
 public:
  Writer(std::string doing, Source& source, const Names& names, bool link)
      : doing_(std::move(doing)), source_(source), names_(names), link_(link) {}

  [[nodiscard]] DatasetCopy write(const std::string& to) {
    check_sources();
    auto target = std::filesystem::absolute(to).lexically_normal();
    if (!target.has_filename()) target = target.parent_path();
    check_space(target.parent_path());
    std::error_code fault;
    temporary_ = temporary_beside(target.string());
    if (!std::filesystem::create_directory(temporary_, fault))
      throw internal_error(doing_,
                           "a folder cannot be made in " + target.parent_path().string() + ": " + fault.message(),
                           "check its permissions");
    try {
      write_files();
      // A folder that was made meanwhile and holds something is not replaced; rename would replace an empty one.
      if (std::filesystem::exists(std::filesystem::symlink_status(target, fault)))
        throw usage_error(doing_, to + " was made by another program meanwhile", "name another folder");
      std::filesystem::rename(temporary_, target, fault);
      if (fault) throw internal_error(doing_, to + ": " + fault.message(), "check the permissions of its folder");
    } catch (...) {
      std::error_code ignored;
      std::filesystem::remove_all(temporary_, ignored);
      throw;
    }
    out_.folder = to;
    out_.subjects_before = source_.subjects.size();
    for (const auto& [unused, names] : names_) out_.subjects.insert(out_.subjects.end(), names.begin(), names.end());
    std::sort(out_.subjects.begin(), out_.subjects.end());
    out_.left_out = std::move(source_.left_out);
    return std::move(out_);
  }

 private:
  /// How often a file is written.
  [[nodiscard]] std::size_t times(const SourceFile& file) const {
    if (!file.taken) return 0;
    if (file.owner.empty()) return 1;
    const auto found = names_.find(file.owner);
    return found == names_.end() ? 0 : found->second.size();
  }
  void check_sources() const {
    for (const auto& file : source_.files)
      if (file.path.empty() && times(file) > 0)
        throw data_error(doing_, source_.root + "/" + file.relative + " is a link to a file that is not there",
                         "get its content first (git-annex), or remove the link");
  }
  void check_space(const std::filesystem::path& folder) const {
    std::uintmax_t needed = 0;
    for (const auto& file : source_.files)
      if (!link_ || is_text(file)) needed += file.bytes * times(file);
    std::error_code fault;
    const auto space = std::filesystem::space(folder, fault);
    if (!fault && space.available < needed)
      throw internal_error(doing_,
                           text("the new set takes ", needed >> 20, " MiB, ", folder.string(), " has ",
                                space.available >> 20, " MiB left"),
                           link_ ? "make room" : "make room, or share the files of the old set with --link");
  }
  [[nodiscard]] static bool is_text(const SourceFile& file) {
    const std::string extension = lower(file.extension);
    return extension == ".json" || extension == ".tsv";
  }

  void write_files() {
    for (const auto& file : source_.files)
      if (!file.taken) dropped_.insert(file.relative);
    std::set<std::string> strangers;
    for (const auto& file : source_.files) {
      if (times(file) == 0) continue;
      if (file.owner.empty()) {
        std::optional<std::string> rows;  // the new content, where it is another
        if (lower(file.extension) == ".tsv")
          rows = subject_rows(read_text(file.path), names_, source_.subjects, strangers);
        if (file.relative == ".bidsignore") rows = ignored_copies(read_text(file.path));
        if (rows)
          write_text(file.relative, *rows);
        else
          place(file, file.relative);
        if (file.relative == "participants.tsv") check_participants(rows.value_or(std::string()));
        continue;
      }
      for (const auto& name : names_.at(file.owner)) {
        const std::string relative = renamed_path(file.relative, file.owner, name);
        if (!is_text(file)) {
          place(file, relative);
          continue;
        }
        const std::string old = read_text(file.path);
        const std::string now = renamed(without_dropped(file, old), file.owner, name);
        if (now == old)
          place(file, relative);
        else
          write_text(relative, now);
      }
    }
    if (!strangers.empty())
      source_.left_out.warn("the tables of subjects have rows of subjects without a folder, which were left out: " +
                            some_of(strangers));
  }

  /// The rules of .bidsignore, those that name a subject also for its copies.
  [[nodiscard]] std::string ignored_copies(std::string rules) const {
    std::string more;
    for (const auto line : lines_of(rules))
      for (const auto& [subject, names] : names_)
        for (const auto& name : names)
          if (const std::string rule = renamed(line, subject, name); rule != line)
            more += rule + (rule.ends_with('\n') ? "" : "\n");
    if (!more.empty() && !rules.ends_with('\n')) rules += '\n';
    return rules + more;
  }

  void check_participants(const std::string& rows) {
    std::set<std::string> missing;
    for (const auto& [subject, names] : names_) missing.insert(names.begin(), names.end());
    const auto lines = lines_of(rows);
    const auto column = lines.empty() ? std::nullopt : column_of(lines.front(), "participant_id");
    if (!column) return source_.left_out.warn("participants.tsv has no column participant_id; it is copied as it is");
    for (const auto line : lines) {
      const auto cells = cells_of(line);
      if (*column >= cells.size()) continue;
      const std::string id(line.substr(cells[*column].begin, cells[*column].size));
      missing.erase(id);
      missing.erase("sub-" + id);
    }
    if (!missing.empty()) source_.left_out.warn("participants.tsv has no row of some subjects: " + some_of(missing));
  }

  /// The text of a file of a subject without what names files that are left out: rows of scans.tsv, and IntendedFor.
  [[nodiscard]] std::string without_dropped(const SourceFile& file, const std::string& text) const {
    if (dropped_.empty()) return text;
    if (lower(file.extension) == ".tsv") {
      const auto lines = lines_of(text);
      const auto column = file.suffix != "scans" || lines.empty() ? std::nullopt : column_of(lines[0], "filename");
      if (!column) return text;
      std::string out(lines[0]);
      for (std::size_t i = 1; i < lines.size(); ++i) {
        const auto cells = cells_of(lines[i]);
        if (*column < cells.size() &&
            dropped_.contains(std::string(file.folder()) + "/" +
                              std::string(lines[i].substr(cells[*column].begin, cells[*column].size))))
          continue;
        out += lines[i];
      }
      return out;
    }
    if (text.find("IntendedFor") == std::string::npos) return text;
    Json json;
    try {
      json = parse_tolerantly(text);
    } catch (const nlohmann::json::exception& fault) {
      throw data_error("reading the sidecar " + file.path, fault.what(), "mend the JSON at that place");
    }
    const auto found = json.is_object() ? json.find("IntendedFor") : json.end();
    if (found == json.end()) return text;
    const auto is_dropped = [&](const Json& value) {
      if (!value.is_string()) return false;
      const auto name = value.template get<std::string>();
      return dropped_.contains(name.starts_with("bids::") ? name.substr(6) : file.owner + "/" + name);
    };
    bool changed = is_dropped(*found);
    if (found->is_array()) {
      Json left = Json::array();
      for (const auto& value : *found)
        if (!is_dropped(value)) left.push_back(value);
      changed = left.size() < found->size();
      *found = std::move(left);
    }
    if (!changed) return text;
    if (!found->is_array() || found->empty()) json.erase("IntendedFor");
    return json.dump(2) + "\n";
  }

  [[nodiscard]] std::filesystem::path made(const std::string& relative) {
    const auto path = temporary_ / relative;
    if (folders_.insert(path.parent_path().string()).second) {
      std::error_code fault;
      std::filesystem::create_directories(path.parent_path(), fault);
      if (fault) throw failure(relative, fault.message());
    }
    return path;
  }
  [[nodiscard]] Error failure(const std::string& relative, const std::string& found) const {
    return internal_error(doing_, "writing " + relative + ": " + found,
                          "check the free space and the permissions of the new folder");
  }
  void count(std::uintmax_t bytes) {
    ++out_.files;
    out_.bytes += bytes;
  }
  void place(const SourceFile& file, const std::string& relative) {
    const auto path = made(relative);
    std::error_code fault;
    if (link_) {
      std::filesystem::create_hard_link(file.path, path, fault);
      if (fault)
        throw internal_error(doing_, "linking " + source_.root + "/" + file.relative + ": " + fault.message(),
                             "leave out --link: both folders must be on one file system that has links");
      ++out_.linked;
    } else {
      std::filesystem::copy_file(file.path, path, fault);
      if (fault) throw failure(relative, fault.message());
    }
    count(file.bytes);
  }
  void write_text(const std::string& relative, const std::string& content) {
    const auto path = made(relative);
    std::ofstream stream(path, std::ios::binary);
    stream << content;
    stream.close();
    if (!stream) throw failure(relative, "it cannot be written");
    count(content.size());
  }

  std::string doing_;
  Source& source_;
  const Names& names_;
  bool link_;
  std::filesystem::path temporary_;
  std::set<std::string> dropped_;  ///< relative paths of files that are left out
  std::set<std::string> folders_;  ///< that were made
  DatasetCopy out_;
};

}  // namespace detail::copying

/// Copies a part of a BIDS data set to a new folder: whole subjects with their sidecars, tables and derivatives, and
/// the files of the data set as a whole.
///
/// Tables with a column `participant_id` (participants.tsv, samples.tsv, phenotype) keep the rows of the subjects that
/// are taken. With contrasts, scans.tsv and `IntendedFor` lose what is left out, and a subject that has none of the
/// contrasts is left out with its reason. A sidecar above the subjects stays where it describes a file that is left.
/// Hidden files (but .bidsignore and .bids-validator-config.json), `sourcedata` and files of subjects without a folder
/// of their own are left out. Links are followed: the new set has the files themselves.
///
/// The new folder appears whole or not at all, and nothing is overwritten. The old set is never changed.
/// @throws Error (usage) for a wrong choice, a target that exists or lies inside of the data set
/// @throws Error (data) if the folder is no data set, or a file of it is not there
/// @throws Error (internal) if there is no space or a file cannot be written
/// @note ivadomed's extract_small_dataset draws with replacement where it has a seed (known-problems B7.3); here no
/// subject comes twice.
[[nodiscard]] inline DatasetCopy write_subset(const SubsetParams& params) {
  const std::string doing = "taking a part of the data set " + params.from;
  if (int{params.subjects.has_value()} + int{params.fraction.has_value()} + int{!params.list.empty()} > 1)
    throw usage_error(doing, "several of --subjects, --fraction and --list are given", "give one of them");
  if (params.fraction && !(*params.fraction > 0 && *params.fraction <= 1))
    throw usage_error(doing, detail::text("the fraction is ", *params.fraction), "give a number above 0, up to 1");
  auto source = detail::copying::read_source(doing, params.from, params.to);
  detail::copying::choose_contrasts(source, params.contrasts);
  detail::copying::choose_derivatives(source, params.derivatives);
  std::set<std::string> with_images;
  for (const auto& file : source.files)
    if (file.taken && !file.derivative && detail::is_image_extension(file.extension)) with_images.insert(file.owner);
  std::vector<std::string> candidates;
  for (const auto& subject : source.subjects) {
    if (params.contrasts.empty() || with_images.contains(subject))
      candidates.push_back(subject);
    else if (params.list.empty())
      source.left_out.add(source.root + "/" + subject + "/", "a subject without an image of the contrasts");
  }
  std::vector<std::string> chosen = candidates;
  if (!params.list.empty()) {
    const auto names = detail::copying::listed(doing, params.list, source.subjects);
    for (const auto& name : names)
      if (std::find(candidates.begin(), candidates.end(), name) == candidates.end())
        throw usage_error(doing, name + " has no image of the contrasts",
                          "take it off the list, or name more contrasts");
    chosen.assign(names.begin(), names.end());
  } else if (params.subjects || params.fraction) {
    const auto all = static_cast<std::int64_t>(candidates.size());
    const std::int64_t count =
        params.subjects ? *params.subjects
                        : std::max<std::int64_t>(1, std::llround(*params.fraction * static_cast<double>(all)));
    if (count < 1 || count > all)
      throw usage_error(doing, detail::text(count, " subjects are asked for, there are ", all),
                        "give a number from 1 to " + std::to_string(all));
    chosen = detail::copying::drawn(candidates, static_cast<std::size_t>(count), params.seed);
  }
  detail::copying::Names names;
  for (const auto& subject : chosen) names[subject] = {subject};
  detail::copying::drop_idle_sidecars(source, names);
  return detail::copying::Writer(doing, source, names, params.link).write(params.to);
}

/// Makes a data set of `factor` times as many subjects: a share of them, or all with copies under new names.
///
/// A copy of sub-X is named sub-Xc01, sub-Xc02, …, past names that are taken: its folders and files, in its rows of
/// participants.tsv and other tables with `participant_id`, and wherever its JSON and TSV files name it (scans.tsv,
/// IntendedFor), in the raw data and in derivatives. Subjects are copied in turn, so that numbers of copies differ by
/// one at most; who has one more is drawn. All else is as `write_subset` says.
/// @throws Error as `write_subset`
/// @note Copies are no new data: losses on a set that was scaled up fall faster than on a real one of that size, and a
/// split puts copies of one subject on both sides. It is for measuring time and memory.
[[nodiscard]] inline DatasetCopy write_scaled(const ScaleParams& params) {
  const std::string doing = "scaling the data set " + params.from;
  if (!(params.factor > 0 && params.factor <= 1e6))
    throw usage_error(doing, detail::text("the factor is ", params.factor), "give a number above 0, up to 1000000");
  if (!params.copies_of.empty() && !(params.factor > 1))
    throw usage_error(doing, detail::text("subjects to copy are named, and the factor is ", params.factor),
                      "leave them out, or give a factor above 1");
  auto source = detail::copying::read_source(doing, params.from, params.to);
  const std::vector<std::string> all(source.subjects.begin(), source.subjects.end());
  const double wanted = static_cast<double>(all.size()) * params.factor;
  if (wanted > 1e6)
    throw usage_error(doing, detail::text(wanted, " subjects are asked for"), "give a factor for up to 1000000");
  const auto total = static_cast<std::size_t>(std::max<std::int64_t>(1, std::llround(wanted)));
  detail::copying::Names names;
  for (const auto& subject : total < all.size() ? detail::copying::drawn(all, total, params.seed) : all)
    names[subject] = {subject};
  if (total > all.size()) {
    const auto listed = detail::copying::listed(doing, params.copies_of, source.subjects);
    const std::vector<std::string> pool = listed.empty() ? all : std::vector<std::string>(listed.begin(), listed.end());
    const std::size_t copies = total - all.size();
    std::map<std::string, std::size_t> count;
    for (const auto& subject : pool) count[subject] = copies / pool.size();
    for (const auto& subject : detail::copying::drawn(pool, copies % pool.size(), params.seed)) ++count[subject];
    const std::size_t digits =
        std::max<std::size_t>(2, std::to_string((copies + pool.size() - 1) / pool.size()).size());
    std::set<std::string> used = source.subjects;
    for (const auto& [subject, number] : count)
      for (std::size_t next = 1; names[subject].size() <= number; ++next) {
        std::string text = std::to_string(next);
        text.insert(0, digits - std::min(digits, text.size()), '0');
        if (used.insert(subject + "c" + text).second) names[subject].push_back(subject + "c" + text);
      }
  }
  detail::copying::drop_idle_sidecars(source, names);
  return detail::copying::Writer(doing, source, names, params.link).write(params.to);
}

namespace detail::copying {

inline void print(const DatasetCopy& copy, std::ostream& out, std::ostream& err) {
  out << "wrote " << copy.folder << ": subjects " << copy.subjects.size() << " (before: " << copy.subjects_before
      << "), files " << copy.files;
  if (copy.linked > 0) out << " (links: " << copy.linked << ")";
  out << ", " << (copy.bytes >> 20) << "." << (copy.bytes * 10 >> 20) % 10 << " MiB\nsubjects:";
  for (const auto& subject : copy.subjects) out << " " << subject;
  out << "\n";
  if (!copy.left_out.files.empty()) out << copy.left_out.summary() << "\n";
  for (const auto& warning : copy.left_out.warnings) err << "warning: " << warning << "\n";
}

}  // namespace detail::copying

/// The command `ivado subset --from FOLDER --to FOLDER [--subjects N | --fraction F | --list a,b] [--contrasts …]
/// [--derivatives …] [--seed N] [--link]`.
/// @param arguments  what follows the word `subset`
/// @param out        what was written, and what was left out with the reasons
/// @return           exit status: 0 done, 2 wrong usage, 3 data that cannot be used, 4 anything else
[[nodiscard]] inline int run_subset(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  return run_guarded("ivado subset", err, [&] {
    const CommandOptions options(arguments, "ivado subset",
                                 {.flags = {"--link"},
                                  .values = {"--from", "--to", "--subjects", "--fraction", "--seed"},
                                  .lists = {"--list", "--contrasts", "--derivatives"}});
    if (options.has("--help")) {
      out << "usage: ivado subset --from FOLDER --to FOLDER [--subjects N | --fraction F | --list a,b] [options]\n\n"
             "Copies a part of a BIDS data set to a new folder: subjects with sidecars, tables and derivatives.\n\n"
             "  --from         folder of the data set\n"
             "  --to           folder to make; nothing is overwritten\n"
             "  --subjects     draw so many subjects\n"
             "  --fraction     draw this share of the subjects, such as 0.5\n"
             "  --list         take these subjects: sub-01,sub-02\n"
             "  --contrasts    take images of these contrasts alone: T1w,T2w (default: all files)\n"
             "  --derivatives  take these folders below derivatives: labels, or none (default: all)\n"
             "  --seed         seed of the draw (default 0)\n"
             "  --link         hard links instead of copies: they take no space, but a change of a file changes both\n";
      return 0;
    }
    SubsetParams params;
    params.from = options.text("--from");
    params.to = options.text("--to");
    params.subjects = options.number<std::int64_t>("--subjects");
    params.fraction = options.number<double>("--fraction");
    params.list = options.list("--list");
    params.contrasts = options.list("--contrasts");
    if (options.has("--derivatives")) params.derivatives = options.list("--derivatives");
    if (params.derivatives == std::vector<std::string>{"none"}) params.derivatives->clear();
    params.seed = options.number<std::uint64_t>("--seed").value_or(0);
    params.link = options.has("--link");
    detail::copying::print(write_subset(params), out, err);
    return 0;
  });
}

/// The command `ivado scale --from FOLDER --to FOLDER --factor F [--copies-of a,b] [--seed N] [--link]`.
/// @param arguments  what follows the word `scale`
/// @param out        what was written, and what was left out with the reasons
/// @return           exit status: 0 done, 2 wrong usage, 3 data that cannot be used, 4 anything else
[[nodiscard]] inline int run_scale(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  return run_guarded("ivado scale", err, [&] {
    const CommandOptions options(
        arguments, "ivado scale",
        {.flags = {"--link"}, .values = {"--from", "--to", "--factor", "--seed"}, .lists = {"--copies-of"}});
    if (options.has("--help")) {
      out << "usage: ivado scale --from FOLDER --to FOLDER --factor F [options]\n\n"
             "Makes a BIDS data set of F times as many subjects in a new folder, to measure how time grows with data.\n"
             "Below 1 it takes that share of the subjects; above 1 it adds copies under new names: sub-Xc01 of "
             "sub-X.\n\n"
             "  --from       folder of the data set\n"
             "  --to         folder to make; nothing is overwritten\n"
             "  --factor     such as 0.5, 1 or 10\n"
             "  --copies-of  copy these subjects alone: sub-01,sub-02 (default: all in turn)\n"
             "  --seed       seed of the draw (default 0)\n"
             "  --link       hard links instead of copies: they take no space, but a change of a file changes both\n";
      return 0;
    }
    const auto factor = options.number<double>("--factor");
    if (!factor) throw usage_error("ivado scale", "no factor is given", "give it with --factor, such as 0.5 or 10");
    ScaleParams params;
    params.from = options.text("--from");
    params.to = options.text("--to");
    params.factor = *factor;
    params.copies_of = options.list("--copies-of");
    params.seed = options.number<std::uint64_t>("--seed").value_or(0);
    params.link = options.has("--link");
    detail::copying::print(write_scaled(params), out, err);
    return 0;
  });
}

}  // namespace ivado
