// From the BIDS index to cases: images chosen by contrast, with their labels, region of interest and metadata.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/sections.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "bids_index.hpp"
#include "case.hpp"
#include "split.hpp"

namespace ivado {

/// Which images become cases: the keys of `loader_parameters` that choose files, and what the cases are for.
struct CaseParams {
  TargetSuffixes target_suffix;
  std::vector<std::string> extensions;  ///< empty: .nii and .nii.gz
  RoiParams roi_params;
  ContrastParams contrast_params;
  bool multichannel = false;
  Command purpose = Command::train;  ///< decides which contrasts are taken, and whether labels are needed
  /// Contrasts are channels, as with `multichannel`, and a case may lack some of them. See `make_cases`.
  bool missing_contrasts = false;
  std::vector<std::string> channels{};  ///< with missing contrasts, one a channel; empty: the contrasts asked for
  std::vector<std::string> target_contrasts{};  ///< with missing contrasts: those whose labels come first
  std::vector<std::string> roi_contrasts{};     ///< with missing contrasts: those whose region of interest comes first
  /// A metadata key that tells the classes of an image as a whole (`label_cases`); no label files are needed then.
  std::optional<std::string> label_column{};
  std::vector<Cell> label_values{};  ///< the value of that key for each class

  /// The contrasts for the purpose: `training_validation` to train, `testing` to test and to segment.
  [[nodiscard]] IVADO_INLINE const std::vector<std::string>& contrasts() const {
    return purpose == Command::train ? contrast_params.training_validation : contrast_params.testing;
  }
};

/// Keeps, of the cases of each contrast named, the first fraction in the order of the list: the i-th of n (from 1) is
/// dropped where i/n is above the fraction. The others are listed in `left_out`. As in ivadomed, but without its crash.
/// Contrasts of one channel only; a case of several channels is not touched.
IVADO_INLINE void balance_contrasts(std::vector<Case>& cases, const Fractions& balance, LeftOutList& left_out) {
  for (const auto& [contrast, fraction] : balance.values) {
    const auto is_one = [&name = contrast](const Case& one) {
      return one.contrasts.size() == 1 && one.contrasts[0] == name;
    };
    const auto total = static_cast<double>(std::count_if(cases.begin(), cases.end(), is_one));
    double number = 0;
    std::vector<Case> kept;
    for (auto& one : cases) {
      if (is_one(one) && (number += 1) / total > fraction)
        left_out.add(one.images[0], "beyond the fraction of " + contrast + " in contrast_params.balance");
      else
        kept.push_back(std::move(one));
    }
    cases = std::move(kept);
  }
}

/// Gives each case the classes of its image as a whole, by a metadata key such as a column of participants.tsv: 1 for
/// each class whose value the case has, else 0. Values are compared as numbers where both are numbers ("1" and "1.0"),
/// else as text. A case without a value is left out; a class that no case has gives a warning.
/// @throws Error (usage) if no case has the key
IVADO_INLINE void label_cases(std::vector<Case>& cases, const std::string& column, const std::vector<Cell>& values,
                              LeftOutList& left_out) {
  if (cases.empty()) return;
  detail::check_column(cases, column, "loader_parameters.label_column");
  std::vector<bool> is_used(values.size(), false);
  std::vector<Case> kept;
  for (auto& one : cases) {
    const auto own = detail::column_value(one, column);
    if (!own || one.metadata[column].is_structured()) {
      for (const auto& image : one.images)
        if (!image.empty()) left_out.add(image, "no value of " + column + ", which tells its class");
      continue;
    }
    one.image_label.clear();
    for (std::size_t c = 0; c < values.size(); ++c) {
      const bool is_equal = *own == detail::comparable(values[c].text());
      is_used[c] = is_used[c] || is_equal;
      one.image_label.push_back(is_equal ? 1.0F : 0.0F);
    }
    kept.push_back(std::move(one));
  }
  cases = std::move(kept);
  for (std::size_t c = 0; c < values.size(); ++c)
    if (!is_used[c])
      left_out.warn("loader_parameters.label_values names " + values[c].text() + ", which is no value of " + column);
}

namespace detail {

/// Entities that tell repetitions, visits and pieces apart, not contrasts.
[[nodiscard]] IVADO_INLINE bool is_repetition(std::string_view key) {
  return key == "sub" || key == "ses" || key == "sample" || key == "run" || key == "echo" || key == "chunk";
}

/// A contrast as the configuration gives it: "T2w", "acq-MTon_MTS".
struct Contrast {
  std::string text;
  BidsName name;
  [[nodiscard]] IVADO_INLINE bool fits(const BidsFile& image) const {
    return image.suffix == name.suffix &&
           std::includes(image.entities.begin(), image.entities.end(), name.entities.begin(), name.entities.end());
  }
};

/// The entities of an image that its contrast does not name and that make contrasts: "acq-MTon_flip-1", or empty.
[[nodiscard]] IVADO_INLINE std::string unnamed_entities(const BidsFile& image, const Contrast& contrast) {
  std::string out;
  for (const auto& [key, value] : image.entities)
    if (!is_repetition(key) && !contrast.name.has(key))
      out += (out.empty() ? "" : "_") + key + (value.empty() ? "" : "-" + value);
  return out;
}

[[nodiscard]] IVADO_INLINE std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : std::string(between)) + word;
  return out;
}

/// An image with the contrast that it was taken for.
struct Chosen {
  const BidsFile* image;
  std::string contrast;
};

/// The images of the contrasts asked for. See `make_cases` for the rules.
[[nodiscard]] IVADO_INLINE std::vector<Chosen> choose_images(const BidsIndex& index, const CaseParams& params,
                                                             LeftOutList& left_out) {
  // extensions, and images that are there twice
  std::vector<std::string> extensions;
  for (const auto& given : params.extensions)
    extensions.push_back(lower(given.empty() || given[0] == '.' ? given : "." + given));
  if (extensions.empty()) extensions = {".nii", ".nii.gz"};
  std::map<std::pair<std::size_t, std::string>, const BidsFile*> by_stem;
  std::set<std::string> suffixes;
  const auto rank = [&](const BidsFile* file) {
    return std::find(extensions.begin(), extensions.end(), lower(file->extension)) - extensions.begin();
  };
  for (const auto& file : index.files()) {
    if (file.kind != FileKind::image) continue;
    if (rank(&file) == static_cast<std::ptrdiff_t>(extensions.size())) {
      left_out.add(file.path, "the extension " + file.extension + " is not in loader_parameters.extensions");
      continue;
    }
    suffixes.insert(file.suffix);
    auto& slot = by_stem[{file.root, file.stem}];
    if (slot == nullptr) {
      slot = &file;
    } else {
      const bool better = rank(&file) < rank(slot);
      left_out.add((better ? slot : &file)->path, "another file of the same name is used");
      if (better) slot = &file;
    }
  }
  std::vector<const BidsFile*> images;
  for (const auto& [unused, file] : by_stem) images.push_back(file);
  const auto& asked = params.contrasts();
  std::vector<Chosen> chosen;
  if (asked.empty()) {
    for (const auto* image : images) chosen.push_back({image, image->suffix});
  } else {
    std::vector<Contrast> contrasts;
    for (const auto& text : asked) {
      if (std::any_of(contrasts.begin(), contrasts.end(), [&](const Contrast& other) { return other.text == text; }))
        continue;
      contrasts.push_back({text, parse_bids_name(text)});
      if (contrasts.back().name.suffix.empty() || !contrasts.back().name.extension.empty())
        throw usage_error("reading the configuration key loader_parameters.contrast_params",
                          "found \"" + text + "\", which names no contrast",
                          "give a suffix such as T2w, with entities before it where they are needed: acq-MTon_MTS");
    }
    // An image is taken by the contrast that names most of its entities.
    std::vector<const Contrast*> order;
    for (const auto& contrast : contrasts) order.push_back(&contrast);
    std::stable_sort(order.begin(), order.end(), [](const Contrast* a, const Contrast* b) {
      return a->name.entities.size() > b->name.entities.size();
    });
    std::map<const Contrast*, std::map<std::pair<std::size_t, std::string>, std::vector<const BidsFile*>>> by_subject;
    std::map<const Contrast*, bool> fits_any;
    for (const auto* image : images) {
      const Contrast* owner = nullptr;
      for (const auto* contrast : order)
        if (contrast->fits(*image)) {
          fits_any[contrast] = true;
          if (owner == nullptr) owner = contrast;
        }
      if (owner == nullptr)
        left_out.add(image->path, "the contrast " + image->suffix + " is not asked for, or not with these entities");
      else
        by_subject[owner][{image->root, image->subject()}].push_back(image);
    }
    for (const auto& contrast : contrasts) {
      if (!fits_any[&contrast] && !images.empty())
        left_out.warn("no image has the contrast " + contrast.text +
                      (suffixes.contains(contrast.name.suffix)
                           ? "; those with the suffix " + contrast.name.suffix + " have other entities"
                           : "; the nearest suffix in the data is " +
                                 nearest(contrast.name.suffix, {suffixes.begin(), suffixes.end()})));
      std::map<std::string, std::string> variants;  // unnamed entities, with the first image that has them
      for (const auto& [subject, candidates] : by_subject[&contrast]) {
        std::set<std::string> kinds;
        for (const auto* image : candidates) kinds.insert(unnamed_entities(*image, contrast));
        for (const auto* image : candidates) {
          const std::string kind = unnamed_entities(*image, contrast);
          if (kinds.size() == 1 || kind.empty()) {
            chosen.push_back({image, contrast.text});
            variants.emplace(kind, image->path);
          } else if (kinds.contains("")) {
            left_out.add(image->path, contrast.text + " is the image without " + kind + "; name " + kind + "_" +
                                          contrast.name.suffix + " to use this one");
          } else {
            left_out.add(image->path, contrast.text + " fits several images of the subject; name this one, as in " +
                                          kind + "_" + contrast.name.suffix);
          }
        }
      }
      if (variants.size() > 1) {
        std::string text = "the contrast " + contrast.text + " takes images that differ from subject to subject:";
        for (const auto& [kind, path] : variants)
          text += (kind.empty() ? " no further entity" : " " + kind) + " (" + path + ")";
        left_out.warn(std::move(text));
      }
    }
  }
  std::sort(chosen.begin(), chosen.end(), [](const Chosen& a, const Chosen& b) {
    return a.image->name != b.image->name ? a.image->name < b.image->name : a.image->path < b.image->path;
  });
  return chosen;
}

/// The label file of an image: stem of the image + ending, whatever the image extension. Null where there is none.
[[nodiscard]] IVADO_INLINE const BidsFile* label_of(const BidsIndex& index, const BidsFile& image,
                                                    const std::string& suffix, LeftOutList& left_out) {
  std::vector<const BidsFile*> found = index.labels(image.root, image.stem + suffix);
  if (found.empty() && suffix[0] != '_') found = index.labels(image.root, image.stem + "_" + suffix);
  if (found.empty()) return nullptr;
  std::stable_sort(found.begin(), found.end(), [&](const BidsFile* a, const BidsFile* b) {
    const auto order = [&](const BidsFile* label) {
      const bool mirrored =
          label->pipeline == "labels" && label->folder() == "derivatives/labels/" + std::string(image.folder());
      return (mirrored ? 0 : label->pipeline == "labels" ? 2 : 4) + (label->extension == image.extension ? 0 : 1);
    };
    return order(a) < order(b);
  });
  if (found.size() > 1)
    left_out.warn("several label files fit " + image.path + " and " + suffix + ": " + found[0]->path +
                  " is used, not " + found[1]->path);
  return found[0];
}

/// The images of a case: one, or one a channel; null where the case lacks the contrast.
using Group = std::vector<const Chosen*>;

/// The files of a case that go with its images.
struct Companions {
  const Chosen* source = nullptr;   ///< the image that the labels belong to
  std::vector<std::string> labels;  ///< one path a class; an empty path: no such file
  std::size_t found = 0;            ///< labels that are there
  std::string roi;
};

/// The images of a group in order of preference: those of the contrasts named, then the others.
[[nodiscard]] IVADO_INLINE Group preferred(const Group& group, const std::vector<std::string>& contrasts) {
  Group order;
  for (const auto& contrast : contrasts)
    for (const auto* one : group)
      if (one != nullptr && one->contrast == contrast) order.push_back(one);
  for (const auto* one : group)
    if (one != nullptr && std::find(order.begin(), order.end(), one) == order.end()) order.push_back(one);
  return order;
}

/// The label of each class that an image has.
[[nodiscard]] IVADO_INLINE std::vector<std::string> labels_of(const BidsIndex& index, const BidsFile& image,
                                                              const std::vector<std::string>& suffixes,
                                                              LeftOutList& left_out) {
  std::vector<std::string> labels;
  for (const auto& suffix : suffixes) {
    const auto* label = label_of(index, image, suffix, left_out);
    labels.push_back(label == nullptr ? std::string() : label->path);
  }
  return labels;
}

[[nodiscard]] IVADO_INLINE std::size_t count_found(const std::vector<std::string>& labels) {
  return static_cast<std::size_t>(
      std::count_if(labels.begin(), labels.end(), [](const std::string& path) { return !path.empty(); }));
}

/// Gives a case the labels that were found, one for each ending of `suffixes.all()`; see `make_cases` for the raters.
/// @param image  named in warnings
IVADO_INLINE void set_labels(Case& one, const std::vector<std::string>& found, const TargetSuffixes& suffixes,
                             const std::string& image, LeftOutList& left_out) {
  std::vector<std::vector<std::string>> raters(suffixes.raters());  // one path a class
  std::vector<bool> has_own(raters.size(), raters.size() == 1);
  auto file = found.begin();
  for (const auto& endings : suffixes.raters_by_class) {
    const auto end = file + static_cast<std::ptrdiff_t>(endings.size());
    const auto first = std::find_if(file, end, [](const std::string& path) { return !path.empty(); });
    if (first == end)
      left_out.warn(image + " has no label with the ending " + joined(endings, " or ") + ": taken as all zero");
    for (std::size_t r = 0; r < raters.size(); ++r) {
      const auto own = file + static_cast<std::ptrdiff_t>(endings.size() == 1 ? 0 : r);
      raters[r].push_back(own->empty() && first != end ? *first : *own);
      if (endings.size() == 1 || first == end) continue;
      has_own[r] = has_own[r] || !own->empty();
      if (own->empty())
        left_out.warn(image + " has no label with the ending " + endings[r] + ": those of the other raters are used");
    }
    file = end;
  }
  if (std::find(has_own.begin(), has_own.end(), true) == has_own.end()) has_own[0] = true;
  for (std::size_t r = 0, kept = 0; r < raters.size(); ++r) {
    if (!has_own[r]) continue;
    if (kept++ == 0)
      one.labels = std::move(raters[r]);
    else
      one.further_raters.push_back(std::move(raters[r]));
  }
}

/// Labels and region of interest of a case that has all its contrasts: those of the last image by name that has most.
[[nodiscard]] IVADO_INLINE Companions find_companions(const BidsIndex& index, const CaseParams& params,
                                                      const std::vector<std::string>& suffixes, const Group& group,
                                                      LeftOutList& left_out) {
  Companions out;
  out.source = group[0];
  if (suffixes.empty() && !params.roi_params.suffix) return out;
  Group by_name = group;
  std::sort(by_name.begin(), by_name.end(),
            [](const auto* a, const auto* b) { return a->image->name < b->image->name; });
  for (const auto* source : by_name) {
    auto labels = labels_of(index, *source->image, suffixes, left_out);
    const std::size_t found = count_found(labels);
    const auto* region =
        params.roi_params.suffix ? label_of(index, *source->image, *params.roi_params.suffix, left_out) : nullptr;
    if (params.roi_params.suffix && region == nullptr && group.size() > 1) continue;
    if (out.labels.empty() || found >= out.found)
      out = {source, std::move(labels), found, region == nullptr ? std::string() : region->path};
  }
  return out;
}

/// Labels and region of interest of a case that may lack contrasts: each of the first image in order of preference that
/// has it; labels that are nowhere complete are those of the first image that has most.
[[nodiscard]] IVADO_INLINE Companions find_preferred_companions(const BidsIndex& index, const CaseParams& params,
                                                                const std::vector<std::string>& suffixes,
                                                                const Group& group, LeftOutList& left_out) {
  Companions out;
  for (const auto* source : preferred(group, params.target_contrasts)) {
    auto labels = labels_of(index, *source->image, suffixes, left_out);
    const std::size_t found = count_found(labels);
    if (out.source == nullptr || found > out.found) out = {source, std::move(labels), found, {}};
    if (found == suffixes.size()) break;
  }
  if (!params.roi_params.suffix) return out;
  std::vector<std::string> contrasts = params.roi_contrasts;
  contrasts.push_back(out.source->contrast);
  for (const auto* source : preferred(group, contrasts))
    if (const auto* region = label_of(index, *source->image, *params.roi_params.suffix, left_out)) {
      out.roi = region->path;
      break;
    }
  return out;
}

}  // namespace detail

/// Makes the cases of the data: one for each image, or with `multichannel` one for each set of contrasts.
///
/// Contrasts. A contrast is a suffix with any number of entities before it, in any order: `T2w`, `acq-MTon_MTS`,
/// `mt-on_MTS`. It takes the images that have exactly this suffix and these entities (ivadomed's regular expression
/// takes `T2star` for `T2`, and never finds a name with entities). An image that fits several of the contrasts asked
/// for goes to the one that names most of its entities. A contrast never mixes kinds of images within a subject: where
/// the images that it fits differ in entities that it does not name, other than those that tell repetitions apart (ses,
/// sample, run, echo, chunk), it takes those without any such entity; where there are none without, it takes none of
/// them. The others are left out with the name that would select them. With no contrast given every image is taken.
///
/// Labels (not needed to segment). A label is a file below `derivatives` whose stem is exactly the stem of the image
/// plus the target suffix, with any image extension: first below `derivatives/labels` in the folder of the image, then
/// anywhere below `derivatives/labels`, then anywhere below `derivatives` of the same data set. A suffix given without
/// its underscore is tried with it too. An image without any label is left out; one that lacks some classes keeps an
/// empty path for these, with a warning. Where a region of interest is asked for, an image without it is left out.
/// Labels and regions whose image is missing are left out.
///
/// Several raters: a case has those that drew at least one of the classes of several raters. Where one of these lacks a
/// class, the first file of that class stands in, with a warning; so does the only file of a class that one rater drew.
///
/// Several channels: images belong together that agree in the entities that tell repetitions apart, unless their
/// contrast names them (ivadomed looks at the subject alone, so that visits overwrite each other). Channels are in the
/// order of the contrasts. The labels and the region of interest are those of the last of the images, in the order
/// of file names, that has them for every class, or else for most; metadata key `label_contrast` names it.
///
/// Missing contrasts (HeMIS): as several channels, but a case stays that lacks some of the contrasts; their paths are
/// empty. `channels` names the contrasts of the model, where they are more than those asked for. The labels are those
/// of the first contrast in `target_contrasts`, then in the order of the channels, that has every class (or else of the
/// first that has most), and that image is the reference: labels, samples and predictions lie on its grid. The region
/// of interest is that of the first contrast in `roi_contrasts`, then of the labels, then in the order of the channels
/// that has one. Without labels the reference is the first contrast in that order that is there.
///
/// Classes by metadata (`label_column`): the images need no label files, and those without a value are left out.
///
/// The metadata are those of the reference image (`BidsIndex::metadata`), with `contrast`; `channels` is a list with
/// those of each image, where there are several (a missing one has its `contrast` alone). Cases are in the order of the
/// names of their first images. Ids are unique: where two data sets have an image of the same name, the name of the
/// data set is put in front.
/// @param left_out  receives the images and labels that are not used, with reasons, and warnings; not those of the
/// index
/// @throws Error (usage) for no target suffix, an impossible contrast, a contrast that is no channel,
///         or channels without contrasts
/// @throws Error (data)  if no case is left; says why
[[nodiscard]] IVADO_INLINE std::vector<Case> make_cases(const BidsIndex& index, const CaseParams& params,
                                                        LeftOutList& left_out) {
  const std::string doing = "making cases of " + detail::joined(index.roots(), ", ");
  const bool need_classes = params.purpose != Command::segment && params.label_column;
  const bool need_labels = params.purpose != Command::segment && !params.label_column;
  const bool has_channels = params.multichannel || params.missing_contrasts;
  if (need_labels && params.target_suffix.raters_by_class.empty())
    throw usage_error(doing, "loader_parameters.target_suffix is empty",
                      "give the ending of the label files, such as \"_seg-manual\"");
  if (has_channels && params.contrasts().empty())
    throw usage_error(doing,
                      params.multichannel ? "loader_parameters.multichannel is true and there are no contrasts"
                                          : "contrasts may be missing and there are none to ask for",
                      "list them in loader_parameters.contrast_params");
  if ((need_labels || params.roi_params.suffix) && !index.params().derivatives)
    throw internal_error(doing, "labels are needed and derivatives were not indexed");
  const std::vector<std::string> suffixes = need_labels ? params.target_suffix.all() : std::vector<std::string>();
  const std::size_t left_out_before = left_out.files.size();

  const auto chosen = detail::choose_images(index, params, left_out);

  // Images to groups: one image each, or one image a contrast.
  std::vector<detail::Group> groups;
  std::vector<std::string> contrasts;  // of the channels, each once
  if (!has_channels) {
    for (const auto& one : chosen) groups.push_back({&one});
  } else {
    const auto& channels = params.missing_contrasts && !params.channels.empty() ? params.channels : params.contrasts();
    for (const auto& contrast : channels)
      if (std::find(contrasts.begin(), contrasts.end(), contrast) == contrasts.end()) contrasts.push_back(contrast);
    for (const auto& contrast : params.contrasts())
      if (std::find(contrasts.begin(), contrasts.end(), contrast) == contrasts.end())
        throw usage_error(
            doing, "the contrast " + contrast + " is asked for, and the model's are " + detail::joined(contrasts, ", "),
            "leave it out of loader_parameters.contrast_params, or add it to the model's contrasts");
    std::map<std::string, detail::Group> by_key;
    for (const auto& one : chosen) {
      const BidsName contrast = parse_bids_name(one.contrast);
      std::string key = std::to_string(one.image->root);
      for (const auto& [name, value] : one.image->entities)
        if (detail::is_repetition(name) && !contrast.has(name)) key += "_" + name + "-" + value;
      auto& slots = by_key[key];
      slots.resize(contrasts.size());
      const auto channel = std::find(contrasts.begin(), contrasts.end(), one.contrast) - contrasts.begin();
      slots[static_cast<std::size_t>(channel)] = &one;
    }
    for (auto& [key, slots] : by_key) {
      std::vector<std::string> lacking;
      for (std::size_t i = 0; i < slots.size(); ++i)
        if (slots[i] == nullptr) lacking.push_back(contrasts[i]);
      if (lacking.empty() || params.missing_contrasts) {
        groups.push_back(std::move(slots));
        continue;
      }
      for (const auto* one : slots)
        if (one != nullptr)
          left_out.add(one->image->path, "no image of the contrast " + detail::joined(lacking, ", ") + " goes with it");
    }
    const auto first_of = [](const detail::Group& group) {
      return (*std::find_if(group.begin(), group.end(), [](const auto* one) { return one != nullptr; }))->image;
    };
    std::sort(groups.begin(), groups.end(), [&](const auto& a, const auto& b) {
      const BidsFile* x = first_of(a);
      const BidsFile* y = first_of(b);
      return x->name != y->name ? x->name < y->name : x->path < y->path;
    });
  }

  std::vector<Case> cases;
  std::map<std::string, std::vector<std::size_t>> by_id;
  std::vector<std::size_t> roots;
  for (const auto& group : groups) {
    const auto leave_out = [&](const std::string& reason) {
      for (const auto* one : group)
        if (one != nullptr) left_out.add(one->image->path, reason);
    };
    const detail::Companions with = params.missing_contrasts
                                        ? detail::find_preferred_companions(index, params, suffixes, group, left_out)
                                        : detail::find_companions(index, params, suffixes, group, left_out);
    if (params.roi_params.suffix && with.roi.empty()) {
      leave_out("no region of interest with the ending " + *params.roi_params.suffix);
      continue;
    }
    if (need_labels && with.found == 0) {
      leave_out("no label with the ending " + detail::joined(suffixes, " or "));
      continue;
    }
    Case one;
    for (std::size_t c = 0; c < group.size(); ++c) {
      one.images.push_back(group[c] == nullptr ? std::string() : group[c]->image->path);
      one.contrasts.push_back(group[c] == nullptr ? contrasts[c] : group[c]->contrast);
      if (params.missing_contrasts && group[c] == with.source) one.reference = c;
    }
    const detail::Chosen& reference = *group[one.reference];
    const BidsFile& first = *reference.image;
    one.id = first.stem;
    one.subject = first.subject();
    if (need_labels) detail::set_labels(one, with.labels, params.target_suffix, first.path, left_out);
    one.roi = with.roi;
    try {
      one.metadata = index.metadata(first);
      one.metadata["contrast"] = reference.contrast;
      if (group.size() > 1) {
        Json channels = Json::array();
        for (std::size_t c = 0; c < group.size(); ++c) {
          channels.push_back(group[c] == nullptr ? Json::object() : index.metadata(*group[c]->image));
          channels.back()["contrast"] = one.contrasts[c];
        }
        one.metadata["channels"] = std::move(channels);
        one.metadata["label_contrast"] = with.source->contrast;
      }
    } catch (const Error& fault) {
      left_out.warn(first.path + " is left out: " + fault.what());
      leave_out("its metadata cannot be read");
      continue;
    }
    by_id[one.id].push_back(cases.size());
    roots.push_back(first.root);
    cases.push_back(std::move(one));
  }

  // Labels without their image.
  std::set<std::pair<std::size_t, std::string>> stems;
  for (const auto& file : index.files())
    if (file.kind == FileKind::image) stems.insert({file.root, file.stem});
  auto endings = suffixes;
  if (params.roi_params.suffix) endings.push_back(*params.roi_params.suffix);
  for (const auto& file : index.files()) {
    if (file.kind != FileKind::label) continue;
    for (const auto& ending : endings) {
      if (file.stem.size() <= ending.size() ||
          file.stem.compare(file.stem.size() - ending.size(), ending.size(), ending) != 0)
        continue;
      std::string stem = file.stem.substr(0, file.stem.size() - ending.size());
      if (ending[0] != '_' && stem.back() == '_') stem.pop_back();
      if (!stems.contains({file.root, stem})) {
        left_out.add(file.path, "the image of this label is missing");
        break;
      }
    }
  }

  // The same name in two data sets.
  for (const auto& [id, numbers] : by_id) {
    if (numbers.size() < 2) continue;
    left_out.warn("several data sets have an image " + id + ": its predictions carry the name of the data set");
    std::set<std::string> used;
    for (const auto number : numbers) {
      const std::string& root = index.roots()[roots[number]];
      const std::string wanted = std::filesystem::canonical(root).filename().string() + "_" + id;
      std::string name = wanted;
      for (int i = 2; by_id.contains(name) || !used.insert(name).second; ++i) name = wanted + "_" + std::to_string(i);
      cases[number].id = name;
    }
  }

  if (need_classes) label_cases(cases, *params.label_column, params.label_values, left_out);

  for (const auto& [contrast, fraction] : params.contrast_params.balance.values) {
    const auto& asked = params.contrasts();
    if (has_channels)
      left_out.warn("loader_parameters.contrast_params.balance has no effect on cases of several channels");
    else if (!asked.empty() && std::find(asked.begin(), asked.end(), contrast) == asked.end())
      left_out.warn("loader_parameters.contrast_params.balance names " + contrast +
                    ", which is no contrast of this run");
  }
  balance_contrasts(cases, params.contrast_params.balance, left_out);

  if (cases.empty()) {
    LeftOutList ours;
    ours.files.assign(left_out.files.begin() + static_cast<std::ptrdiff_t>(left_out_before), left_out.files.end());
    const std::string reasons = ours.summary();
    const std::size_t images = index.count(FileKind::image);
    throw data_error(doing,
                     (images == 0 ? "there is no image" : detail::text("none of ", images, " images is left")) +
                         (reasons.empty() ? "" : " (" + reasons + ")"),
                     images == 0 ? "check loader_parameters.path_data and bids_validate"
                                 : "check contrast_params, target_suffix and extensions of loader_parameters");
  }
  return cases;
}

}  // namespace ivado
