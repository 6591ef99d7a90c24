// Hdf5Loader: cases and samples from one HDF5 file, in the place of BidsLoader. Reads the files of `ivado pack`
// (pack.hpp) and those of ivadomed 2.8 and before. Needs libhdf5 (component hdf5), no LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../config/params.hpp"
#include "../config/sections.hpp"
#include "../error.hpp"
#include "../interop/hdf5_file.hpp"
#include "../random.hpp"
#include "array.hpp"
#include "bids_index.hpp"
#include "bids_loader.hpp"
#include "case.hpp"
#include "digest.hpp"
#include "geometry.hpp"
#include "sample.hpp"
#include "slice_dataset.hpp"
#include "volume.hpp"
#include "volume_io.hpp"

namespace ivado {

namespace detail {

/// What packed files say they are, and the version of their layout.
inline constexpr std::string_view pack_format = "ivado pack";
inline constexpr std::int64_t pack_version = 1;

/// The cases that a program asks for.
struct CaseRequest {
  bool labels_required = true;
  std::vector<std::string> contrasts;
  const LoaderParameters* params = nullptr;
  const ModelNeeds* needs = nullptr;
  bool allows_missing = false;
  int dimension = 2;

  /// The options that decide which cases there are, and what belongs to them.
  [[nodiscard]] Json case_options() const {
    Json out{{"target_suffix", to_json(params->target_suffix)},
             {"extensions", params->extensions},
             {"roi_params.suffix", to_json(params->roi_params.suffix)},
             {"contrast_params.balance", to_json(params->contrast_params.balance)},
             {"multichannel", params->multichannel},
             {"bids_validate", params->bids_validate},
             {"label_column", to_json(params->label_column)},
             {"label_values", to_json(params->label_values)},
             {"missing contrasts", allows_missing}};
    if (allows_missing) {
      out["contrasts of the model"] = needs->channels;
      out["target_lst"] = needs->target_contrasts;
      out["roi_lst"] = needs->roi_contrasts;
    }
    return out;
  }
  /// The options beside the transforms that decide how a slice or volume looks before and after preprocessing.
  [[nodiscard]] Json sample_options() const {
    return {{"dimension", dimension},
            {"slice_axis", to_json(params->slice_axis)},
            {"soft_gt", params->soft_gt},
            {"allow_regrid", params->allow_regrid}};
  }
};

/// "slice_axis is "axial" here and "sagittal" there", for each option that differs.
[[nodiscard]] inline std::string differences(const Json& packed, const Json& asked) {
  std::string out;
  const auto say = [&](const std::string& key) {
    const Json a = packed.value(key, Json());
    const Json b = asked.value(key, Json());
    if (a == b) return;
    out += (out.empty() ? "" : ", ") + key + " was " + a.dump() + " and is " + b.dump();
  };
  for (const auto& item : packed.items()) say(item.key());
  for (const auto& item : asked.items())
    if (!packed.contains(item.key())) say(item.key());
  return out;
}

/// Sets what is NaN or infinite to 0, as `read_volume` does, and tells the report.
inline void clear_non_finite(Volume& volume, ReadReport& report) {
  apply_non_finite(volume, {}, report, "reading " + volume.path);
}

/// A file of cases.
struct Hdf5Cases : CaseFiles {
  /// @param self  this object, for the cases to keep
  [[nodiscard]] virtual std::vector<Case> cases(const CaseRequest& request,
                                                const std::shared_ptr<const Hdf5Cases>& self,
                                                LeftOutList& left_out) const = 0;
};

/// A case whose files have other names: `rename(name)` of each.
template <class Rename>
[[nodiscard]] Case with_names(Case one, const Rename& rename) {
  const auto each = [&](std::vector<std::string>& names) {
    for (auto& name : names) name = rename(name);
  };
  each(one.images);
  each(one.labels);
  for (auto& labels : one.further_raters) each(labels);
  one.roi = rename(one.roi);
  return one;
}

/// What a case consists of, as a key.
[[nodiscard]] inline std::string case_key(const Case& one) {
  Json parts{one.images, one.labels, one.roi, one.reference};
  if (one.raters() > 1) parts.push_back(one.further_raters);
  return parts.dump();
}

/// A file of `ivado pack`. The layout, version 1:
///
///   /                attributes `format` "ivado pack", `version` 1, `digest` of `made_of`, `index_digest` of /index
///   /index           JSON as bytes: `made_of` (version of ivado, options, preprocessing, files with their digests),
///                    `lists` (for labels or none and some contrasts: cases, what was left out, warnings), `volumes`
///                    (their names) and `prepared` (what each case is made of)
///   /volumes/N       voxels [k, j, i] as `read_volume` gives them, in the smallest type that holds them exactly, with
///                    the attributes `affine` (16 numbers by rows: RAS+, mm), `stored_type` and `warnings` (JSON)
///   /prepared/N/S/U  group: slice U (or `volume`) of case N preprocessed for the set S: data sets `image`, `label` and
///                    `roi` [channel, H, W (, D)], each with the attribute `spacing_mm`, and `condition`. A validation
///                    sample that is not there is as that of training
class PackFile final : public Hdf5Cases {
 public:
  explicit PackFile(Hdf5File file) : file_(std::move(file)) {
    const std::string doing = "reading the index of " + file_.path();
    const auto version = file_.numbers<std::int64_t>("/", "version");
    if (version != std::vector<std::int64_t>{pack_version})
      throw data_error(doing,
                       "its layout has the version " + (version.empty() ? "" : std::to_string(version.front())) +
                           ", this program reads version " + std::to_string(pack_version),
                       "pack the data set anew");
    const std::string text = file_.read_text("index");
    const std::string digest = file_.text("/", "index_digest");
    if (digest_of(text) != digest)
      throw data_error(doing, "its digest is " + digest_of(text) + ", the file says " + digest,
                       "the file was changed or is damaged: pack the data set anew");
    try {
      index_ = Json::parse(text);
      for (const auto& name : index_.at("volumes")) volumes_.emplace(name.get<std::string>(), volumes_.size());
      for (const auto& key : index_.at("prepared")) prepared_.emplace(key.get<std::string>(), prepared_.size());
      (void)index_.at("made_of").at("options");
    } catch (const Json::exception& fault) {
      throw damaged(fault.what());
    }
  }

  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }
  [[nodiscard]] const Json& made_of() const { return index_.at("made_of"); }

  [[nodiscard]] std::vector<Case> cases(const CaseRequest& request, const std::shared_ptr<const Hdf5Cases>& self,
                                        LeftOutList& left_out) const override {
    const std::string doing = "taking cases from " + path();
    try {
      std::string differing = differences(made_of().at("options"), request.case_options());
      const Json& preprocessing = made_of().at("preprocessing");
      if (!preprocessing.is_null() && !request.needs->image_labels) {
        const std::string more = differences(preprocessing.at("options"), request.sample_options());
        if (!more.empty()) differing += (differing.empty() ? "" : ", ") + more;
      }
      if (!differing.empty())
        throw usage_error(doing, "it was made with other options: " + differing,
                          "change the configuration, or pack the data set with this one");
      std::string there;
      for (const Json& list : index_.at("lists")) {
        const auto contrasts = list.at("contrasts").get<std::vector<std::string>>();
        const bool has_labels = list.at("labels_required").get<bool>();
        if (has_labels == request.labels_required && contrasts == request.contrasts)
          return cases_of(list, self, left_out);
        there += (there.empty() ? "" : "; ") + describe(has_labels, contrasts);
      }
      throw usage_error(
          doing, "it has no " + describe(request.labels_required, request.contrasts) + ", it has " + there,
          request.labels_required ? "pack the data set with these contrasts" : "pack the data set with --segment");
    } catch (const Json::exception& fault) {
      throw damaged(fault.what());
    }
  }

  [[nodiscard]] Volume read(const std::string& name, ReadReport& report) const override {
    const auto found = volumes_.find(local(name));
    if (found == volumes_.end())
      throw data_error("reading " + name, "the file has no such volume", "pack the data set anew");
    const std::string object = "volumes/" + std::to_string(found->second);
    Volume volume;
    volume.path = name;
    volume.voxels = file_.read<float>(object);
    const Shape& shape = volume.voxels.shape();
    const auto affine = file_.numbers<double>(object, "affine");
    if (shape.rank() != 3 || affine.size() != 16) throw damaged(object + " is no volume with an affine");
    volume.geometry.shape = {shape[2], shape[1], shape[0]};
    for (std::size_t i = 0; i < 16; ++i)
      volume.geometry.affine(static_cast<Eigen::Index>(i / 4), static_cast<Eigen::Index>(i % 4)) = affine[i];
    volume.stored_type = file_.text(object, "stored_type");
    try {
      report.warnings = Json::parse(file_.text(object, "warnings")).get<std::vector<std::string>>();
    } catch (const Json::exception& fault) {
      throw damaged(fault.what());
    }
    clear_non_finite(volume, report);
    return volume;
  }

  /// The number under which a case's prepared samples are; -1: none.
  [[nodiscard]] std::int64_t prepared_number(const Case& one) const {
    const Case own = with_names(one, [&](const std::string& name) { return local(name); });
    const auto found = prepared_.find(case_key(own));
    return found == prepared_.end() ? -1 : static_cast<std::int64_t>(found->second);
  }
  /// Reads a prepared slice or volume into the sample.
  /// @return  false if the file has none for this set
  [[nodiscard]] bool restore(std::int64_t number, std::int32_t slice, Stage stage, Sample& sample) const {
    if (is_testing(stage) || number < 0) return false;
    std::string group = prepared_name(number, slice, stage);
    if (!file_.has(group)) group = prepared_name(number, slice, Stage::training);
    if (!file_.has(group)) return false;
    for (auto& [name, image] : {std::pair("image", &sample.image), {"label", &sample.label}, {"roi", &sample.roi}}) {
      const std::string object = group + "/" + name;
      image->voxels = file_.has(object) ? file_.read<float>(object) : Array<float>{};
      if (image->voxels.empty()) continue;
      const auto spacing = file_.numbers<double>(object, "spacing_mm");
      if (spacing.size() != 3) throw damaged(object + " has not three spacings");
      std::copy(spacing.begin(), spacing.end(), image->spacing_mm.begin());
    }
    const int rank = sample.image.voxels.rank();
    if (rank != (slice < 0 ? 4 : 3)) throw damaged(group + " has no image");
    for (const Image* image : {&sample.label, &sample.roi})
      if (!image->empty() && !(image->voxels.rank() == rank && image->spatial() == sample.image.spatial()))
        throw damaged("the parts of " + group + " differ in their shape");
    if (file_.has_attribute(group, "condition")) sample.condition = file_.numbers<float>(group, "condition");
    return true;
  }
  /// The name of the group of a prepared slice, or volume (-1).
  [[nodiscard]] static std::string prepared_name(std::int64_t number, std::int32_t slice, Stage stage) {
    return "prepared/" + std::to_string(number) + "/" + std::string(set_name(stage)) + "/" +
           (slice < 0 ? std::string("volume") : std::to_string(slice));
  }

 private:
  [[nodiscard]] Error damaged(const std::string& found) const {
    return data_error("reading " + path(), "it is damaged: " + found, "pack the data set anew");
  }
  [[nodiscard]] std::string local(const std::string& name) const {
    return name.starts_with(path() + "/") ? name.substr(path().size() + 1) : name;
  }
  [[nodiscard]] static std::string describe(bool has_labels, const std::vector<std::string>& contrasts) {
    std::string out;
    for (const auto& contrast : contrasts) out += (out.empty() ? "" : ", ") + contrast;
    return std::string("cases ") + (has_labels ? "with labels of " : "to segment of ") +
           (out.empty() ? "all contrasts" : out);
  }
  [[nodiscard]] std::vector<Case> cases_of(const Json& list, const std::shared_ptr<const Hdf5Cases>& self,
                                           LeftOutList& left_out) const {
    const auto global = [&](const std::string& name) { return name.empty() ? name : path() + "/" + name; };
    std::vector<Case> out;
    for (const Json& json : list.at("cases")) {
      Case one;
      one.id = json.at("id").get<std::string>();
      one.subject = json.at("subject").get<std::string>();
      one.images = json.at("images").get<std::vector<std::string>>();
      one.labels = json.at("labels").get<std::vector<std::string>>();
      if (json.contains("further_raters"))
        one.further_raters = json["further_raters"].get<std::vector<std::vector<std::string>>>();
      one.contrasts = json.at("contrasts").get<std::vector<std::string>>();
      one.roi = json.at("roi").get<std::string>();
      one.metadata = json.at("metadata");
      one.reference = json.at("reference").get<std::size_t>();
      one.image_label = json.at("image_label").get<std::vector<float>>();
      if (one.reference >= one.images.size() || one.contrasts.size() != one.images.size())
        throw damaged("the case " + one.id + " lacks its reference image");
      one.files = self;
      out.push_back(with_names(std::move(one), global));
    }
    for (const Json& file : list.at("left_out"))
      left_out.add(file.at(0).get<std::string>(), file.at(1).get<std::string>());
    for (const Json& warning : list.at("warnings")) left_out.warn(warning.get<std::string>());
    return out;
  }

  Hdf5File file_;
  Json index_;
  std::map<std::string, std::size_t> volumes_;
  std::map<std::string, std::size_t> prepared_;
};

/// A file of ivadomed 2.8 or before: preprocessed slices [D, H, W] of subjects and contrasts.
///
/// Its volumes hold the slices that the file lists as kept. Where they lay in the world is lost, so the geometry is the
/// slice axis and the voxel size (`zooms`) alone, with the first voxel at 0.
class IvadomedFile final : public Hdf5Cases {
 public:
  explicit IvadomedFile(Hdf5File file) : file_(std::move(file)) {
    const auto axis = file_.numbers<std::int64_t>("/", "slice_axis");
    if (axis.size() != 1 || axis.front() < 0 || axis.front() > 2)
      throw file_.fault("the attribute slice_axis of /", "it is not one of 0, 1 and 2");
    axis_ = static_cast<Axis>(axis.front());
  }

  [[nodiscard]] std::vector<Case> cases(const CaseRequest& request, const std::shared_ptr<const Hdf5Cases>& self,
                                        LeftOutList& left_out) const override {
    const std::string doing = "taking cases from " + file_.path();
    if (request.params->slice_axis != axis_)
      throw usage_error(doing,
                        "its slices are " + std::string(enum_name(axis_)) + ", loader_parameters.slice_axis is \"" +
                            std::string(enum_name(request.params->slice_axis)) + "\"",
                        "change the key");
    if (request.labels_required && request.params->class_count() != 1)
      throw usage_error(doing,
                        "it has labels of one class, loader_parameters.target_suffix names " +
                            std::to_string(request.params->class_count()),
                        "name the one that its labels were made from");
    if (request.labels_required && request.params->target_suffix.has_several_raters())
      throw usage_error(doing, "it has labels of one rater, loader_parameters.target_suffix names several",
                        "name the one that its labels were made from");
    left_out.warn(file_.path() +
                  ": a file of ivadomed. Where its slices lie in the world is lost; they were preprocessed when it was "
                  "made, so leave these transforms out of the configuration");
    std::vector<Case> out;
    for (const auto& subject : file_.texts("/", "patients_id")) {
      const auto channels = file_.texts(subject, "contrast");
      const auto is_there = [&](const std::string& kind, const std::string& contrast) {
        const std::string object = subject + "/" + kind + "/" + contrast;
        return file_.has_dataset(object) && file_.shape(object).size() > 0;
      };
      const auto asked = [&](const std::string& contrast) {
        return request.contrasts.empty() || contains(request.contrasts, contrast);
      };
      const auto named = [&](const std::string& kind, const std::string& contrast) {
        return is_there(kind, contrast) ? file_.path() + "/" + subject + "/" + kind + "/" + contrast : std::string();
      };
      const bool has_channels = request.params->multichannel || request.allows_missing;
      std::vector<std::vector<std::string>> groups;
      if (has_channels) {
        const auto& of_model = request.needs->channels;
        groups.push_back(request.allows_missing && !of_model.empty() ? of_model : request.contrasts);
        if (groups.back().empty()) groups.back() = channels;
      } else {
        for (const auto& contrast : channels)
          if (asked(contrast)) groups.push_back({contrast});
      }
      for (const auto& group : groups) {
        Case one;
        one.subject = subject;
        one.id = subject + (has_channels ? "" : "_" + group.front());
        one.contrasts = group;
        std::string lacking;
        std::vector<std::string> present;
        for (const auto& contrast : group) {
          one.images.push_back(asked(contrast) ? named("inputs", contrast) : std::string());
          if (one.images.back().empty())
            lacking += (lacking.empty() ? "" : ", ") + contrast;
          else
            present.push_back(contrast);
        }
        const std::string place = file_.path() + "/" + subject;
        if (present.empty() || (!lacking.empty() && !request.allows_missing)) {
          left_out.add(place, "it has no image of the contrast " + lacking);
          continue;
        }
        // Labels: of the contrasts preferred; else, as for BidsLoader, of the first there, or the last of channels.
        const auto first_with = [&](const std::string& kind, const std::vector<std::string>& preferred) {
          auto order = request.allows_missing ? preferred : std::vector<std::string>{};
          if (request.allows_missing)
            order.insert(order.end(), present.begin(), present.end());
          else
            order.insert(order.end(), present.rbegin(), present.rend());
          for (const auto& contrast : order)
            if (contains(present, contrast) && is_there(kind, contrast)) return contrast;
          return std::string();
        };
        const std::string label = request.labels_required ? first_with("gt", request.needs->target_contrasts) : "";
        if (request.labels_required) {
          if (label.empty()) {
            left_out.add(place, "it has no label");
            continue;
          }
          check_suffix(subject + "/gt/" + label, request);
          one.labels = {named("gt", label)};
        }
        if (request.params->roi_params.suffix) {
          const std::string roi = first_with("roi", request.needs->roi_contrasts);
          if (roi.empty()) {
            left_out.add(place, "it has no region of interest");
            continue;
          }
          one.roi = named("roi", roi);
        }
        const std::string reference = label.empty() || !request.allows_missing ? present.front() : label;
        one.reference = static_cast<std::size_t>(std::find(group.begin(), group.end(), reference) - group.begin());
        one.metadata = {{"participant_id", subject}, {"contrast", reference}};
        one.files = self;
        out.push_back(std::move(one));
      }
    }
    if (out.empty()) throw data_error(doing, "no case is left", "check contrast_params of loader_parameters");
    return out;
  }

  [[nodiscard]] Volume read(const std::string& name, ReadReport& report) const override {
    const std::string object = name.starts_with(file_.path() + "/") ? name.substr(file_.path().size() + 1) : name;
    const Array<float> all = file_.read<float>(object);
    if (all.shape().rank() != 3) throw file_.fault(object, "its shape is " + all.shape().text() + ", expected D, H, W");
    const auto kept = file_.numbers<std::int64_t>(object.substr(0, object.find('/')), "slices");
    Volume volume;
    volume.path = name;
    volume.stored_type = "float32";
    const Shape& shape = all.shape();
    if (kept.empty()) throw file_.fault(object, "the file keeps none of its slices");
    volume.voxels = Array<float>(Shape{static_cast<std::int64_t>(kept.size()), shape[1], shape[2]});
    const std::int64_t plane = shape[1] * shape[2];
    for (std::size_t d = 0; d < kept.size(); ++d) {
      if (kept[d] < 0 || kept[d] >= shape[0] || (d > 0 && kept[d] <= kept[d - 1]))
        throw file_.fault(object, "the file keeps slice " + std::to_string(kept[d]) + " of " +
                                      std::to_string(shape[0]) + ", expected rising indices");
      std::copy_n(all.data() + kept[d] * plane, plane, volume.voxels.data() + static_cast<std::int64_t>(d) * plane);
    }
    if (kept.back() - kept.front() + 1 != static_cast<std::int64_t>(kept.size()))
      report.warnings.emplace_back("the slices that it keeps are not neighbours: their distance is not even");
    volume.geometry = geometry(object, volume.voxels.shape());
    clear_non_finite(volume, report);
    return volume;
  }

 private:
  [[nodiscard]] static bool contains(const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  }
  /// Refuses a label of another class than the one asked for.
  void check_suffix(const std::string& object, const CaseRequest& request) const {
    const auto suffixes = request.params->target_suffix.first_raters();
    if (suffixes.empty() || !file_.has_attribute(object, "gt_filenames")) return;
    const auto names = file_.texts(object, "gt_filenames");
    if (names.empty() || names.front().empty() || names.front() == "None") return;
    const std::string file = std::filesystem::path(names.front()).filename().string();
    const std::string stem = file.substr(0, file.find('.'));
    if (!stem.ends_with(suffixes.front()))
      throw usage_error("taking cases from " + file_.path(),
                        "its label " + object + " was made of " + file + ", loader_parameters.target_suffix is \"" +
                            suffixes.front() + "\"",
                        "name the ending of that file");
  }
  /// The grid in which (H, W, D) of the slice axis are the axes of the array.
  [[nodiscard]] Geometry geometry(const std::string& object, const Shape& dhw) const {
    std::vector<double> zooms{1, 1, 1};
    if (file_.has_attribute(object, "zooms")) zooms = file_.numbers<double>(object, "zooms");
    if (zooms.size() != 3 ||
        !std::all_of(zooms.begin(), zooms.end(), [](double zoom) { return std::isfinite(zoom) && zoom > 0; }))
      throw file_.fault("the attribute zooms of " + object, "it is not three voxel sizes above 0");
    Geometry out;
    out.shape = {dhw[2], dhw[1], dhw[0]};  // i is W, j is H, k is D
    const AxisMap to_world = ras_to_hwd(axis_);
    out.affine.setZero();
    out.affine(3, 3) = 1;
    constexpr std::array<int, 3> file_axis{1, 0, 2};  // of H, W, D
    for (std::size_t a = 0; a < 3; ++a) out.affine(to_world.axis[a], file_axis[a]) = zooms[a];
    return out;
  }

  Hdf5File file_;
  Axis axis_ = Axis::axial;
};

/// Opens a file of either layout.
/// @throws Error (data) if it is of none
[[nodiscard]] inline std::shared_ptr<const Hdf5Cases> open_hdf5_cases(const std::string& path) {
  Hdf5File file = Hdf5File::open(path);
  if (file.has_attribute("/", "format") && file.text("/", "format") == pack_format)
    return std::make_shared<const PackFile>(std::move(file));
  if (file.has_attribute("/", "patients_id")) return std::make_shared<const IvadomedFile>(std::move(file));
  throw data_error("reading " + path, "it is an HDF5 file, but neither of ivado nor of ivadomed",
                   "make one with ivado pack");
}

/// A chain of transforms whose preprocessing lies in packed files, for the sets that nothing is undone for. The first
/// slice of each case, or the first volume, is preprocessed all the same, and compared.
template <class Augment>
class PackedTransforms {
 public:
  using History = typename Augment::History;

  /// @param is_used  false: all is preprocessed anew
  PackedTransforms(const Augment& augment, const std::vector<Case>& cases, bool is_used)
      : augment_(augment), checked_(std::make_shared<std::deque<std::atomic<bool>>>(cases.size())) {
    for (const auto& one : cases) {
      auto file = is_used ? std::dynamic_pointer_cast<const PackFile>(one.files) : nullptr;
      const std::int64_t number = file ? file->prepared_number(one) : -1;
      places_.push_back({std::move(file), number});
    }
  }

  [[nodiscard]] History preprocess(Sample& sample, Stage stage) const {
    Sample stored;
    if (!restore(sample.origin, stage, stored)) return augment_.preprocess(sample, stage);
    const auto v = static_cast<std::size_t>(sample.origin.volume);
    if ((sample.origin.slice >= 0 || v == 0) && !(*checked_)[v].exchange(true)) {
      (void)augment_.preprocess(sample, stage);
      check(sample, stored, v);
    }
    sample = std::move(stored);
    return {};
  }
  void augment(Sample& sample, Stage stage, const RandomKey& key, History& history) const {
    augment_.augment(sample, stage, key, history);
  }
  void invert(Image& prediction, const History& history) const { augment_.invert(prediction, history); }
  /// True if samples of a stage must carry a box.
  [[nodiscard]] bool needs_box(Stage stage) const {
    if constexpr (requires { augment_.needs_box(stage); }) return augment_.needs_box(stage);
    return false;
  }
  /// Takes a preprocessed slice or volume from its file.
  /// @return  false if it is not there
  [[nodiscard]] bool restore(const Origin& origin, Stage stage, Sample& sample) const {
    const auto& [file, number] = places_[static_cast<std::size_t>(origin.volume)];
    if (!file || !file->restore(number, origin.slice, stage, sample)) return false;
    sample.origin = origin;
    return true;
  }

 private:
  struct Place {
    std::shared_ptr<const PackFile> file;
    std::int64_t number = -1;
  };

  void check(const Sample& made, const Sample& stored, std::size_t v) const {
    const std::array<std::pair<std::string_view, std::pair<const Image*, const Image*>>, 3> parts{
        {{"image", {&made.image, &stored.image}},
         {"label", {&made.label, &stored.label}},
         {"region of interest", {&made.roi, &stored.roi}}}};
    for (const auto& [name, both] : parts) {
      const auto& [now, then] = both;
      if (now->voxels == then->voxels && (now->empty() || now->spacing_mm == then->spacing_mm)) continue;
      const bool same_shape = now->voxels.shape() == then->voxels.shape();
      throw usage_error("comparing " + places_[v].file->path() + " with the transforms",
                        "it was packed with " +
                            places_[v].file->made_of().at("preprocessing").at("transformation").dump() +
                            ", which gives the " + std::string(name) + " of a sample " +
                            (same_shape ? "other values than the transforms of this run"
                                        : "the shape " + then->voxels.shape().text() +
                                              "; the transforms of this run give it " + now->voxels.shape().text()),
                        "pack the data set with this configuration, or with --volumes-only");
    }
  }

  Augment augment_;
  std::vector<Place> places_;
  std::shared_ptr<std::deque<std::atomic<bool>>> checked_;
};

}  // namespace detail

/// Loads images and labels from packed files, in the place of a `BidsLoader` of the same parameters: "path_data" names
/// HDF5 files, of `ivado pack` or of ivadomed 2.8 and before.
///
/// A packed file gives the cases, samples and labels that the BIDS folders gave when it was made, bit for bit. It has
/// been made for some options: those that decide which cases there are, and with preprocessed samples those that they
/// depend on. Others are refused with what differs. That the transforms are those of the file is found by preprocessing
/// the first slice of each case (in 3-D the first volume) and comparing all its voxels; training and validation take
/// the other samples from the file, testing preprocesses what it has to undo later.
///
/// A file of ivadomed has one class, preprocessed slices and no place in the world: a warning says so. Its
/// slices are those that it lists as kept.
/// @tparam Slicing, Options  as for `BidsLoader`
template <class Slicing, class... Options>
class Hdf5Loader : public BidsLoader<Slicing, Options...> {
  using Base = BidsLoader<Slicing, Options...>;

 public:
  using Params = typename Base::Params;
  using Base::channels;
  using Base::dimension;
  /// True: "path_data" names files that the loader reads itself, not folders or images.
  [[nodiscard]] static bool reads_file(const std::string&) noexcept { return true; }

  /// @throws Error (usage) as `BidsLoader`
  explicit Hdf5Loader(const Params& params, const ModelNeeds& needs = {}) : Base(params, needs), needs_(needs) {}

  /// The cases of the files, one file after the other.
  /// @param labels_required  false to segment: a packed file must have been made for it (--segment)
  /// @param contrasts        as when the file was packed
  /// @throws Error (data) if a file cannot be read, is of neither layout, or two have a case of one name; (usage) if a
  ///         file was made with other options
  [[nodiscard]] std::vector<Case> cases(bool labels_required, const std::vector<std::string>& contrasts,
                                        LeftOutList& left_out) const {
    const detail::CaseRequest request{labels_required,        contrasts, &this->params(), &needs_,
                                      this->allows_missing(), dimension};
    std::vector<Case> out;
    std::set<std::string> ids;
    for (const auto& path : this->params().path_data.values) {
      const auto file = detail::open_hdf5_cases(path);
      for (auto& one : file->cases(request, file, left_out)) {
        if (!ids.insert(one.id).second)
          throw data_error("taking cases from " + path, "the case " + one.id + " is in another file too",
                           "pack the data sets into one file");
        const auto found = static_cast<std::int64_t>(one.images.size());
        if (channels != dynamic && found != channels)
          throw usage_error("taking cases from " + path,
                            "its cases have " + std::to_string(found) + " channels, the program is built for " +
                                std::to_string(channels),
                            "change the contrasts, or build with Channels<" + std::to_string(found) + ">");
        out.push_back(std::move(one));
      }
    }
    return out;
  }

  /// The samples of some cases, see `CaseDataset`.
  /// @throws Error (usage) if the file holds samples that other transforms preprocessed
  template <class Augment>
  [[nodiscard]] CaseDataset<detail::PackedTransforms<Augment>, dimension> dataset(std::vector<Case> cases,
                                                                                  const Augment& augment, Stage stage,
                                                                                  std::uint64_t seed) const {
    const detail::PackedTransforms<Augment> packed(augment, cases, !needs_.image_labels);
    return CaseDataset<detail::PackedTransforms<Augment>, dimension>(std::move(cases), this->slice_options(stage),
                                                                     packed, stage, seed);
  }

 private:
  ModelNeeds needs_;
};

static_assert(Loader<Hdf5Loader<Slices<Axis::axial>>>);
static_assert(Loader<Hdf5Loader<AnySubvolumes, Classes<dynamic>, Channels<dynamic>, MissingContrasts>>);

}  // namespace ivado
