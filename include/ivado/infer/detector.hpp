// The cascade: a trained model finds the object in each image, and the pipeline behind it works on the box about it.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/ivadomed.hpp"
#include "../config/sections.hpp"
#include "../data/bounding_boxes.hpp"
#include "../data/case.hpp"
#include "../data/digest.hpp"
#include "../data/geometry.hpp"
#include "../data/object_detection.hpp"
#include "../data/slice_dataset.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../postprocess/object_box.hpp"
#include "../runtime.hpp"
#include "../transform/bounding_box_crop.hpp"

namespace ivado {

/// What a detector is asked.
struct DetectionRequest {
  std::string package;      ///< folder of the detector: a packaged model
  std::vector<Case> cases;  ///< where to look; their labels and regions of interest do not matter
  LoaderParameters loader;  ///< workers, memory and tolerances of the pipeline that asks
  Runtime runtime;
};

/// Finds the object in images.
///
/// Requirements: `detector(request)` gives one `Detection` a case, in order.
/// Laws (tests/pipeline/cascade_test.cpp): what it finds in a case does not depend on the other cases; it writes no file.
/// Models: NoDetector, PackagedDetector (AnyDetector in infer/any_detector.hpp).
template <class T>
concept Detector = std::default_initializable<T> && requires(const T& detector, const DetectionRequest& request) {
  { detector(request) } -> std::same_as<std::vector<Detection>>;
};

/// Detects nothing: the detector of pipelines that have none.
struct NoDetector {
  /// @throws Error (usage) always
  [[nodiscard]] IVADO_INLINE std::vector<Detection> operator()(const DetectionRequest& request) const {
    throw usage_error(
        "looking for objects with the detector " + request.package,
        "this program has no detector, or that model has one itself",
        "add AnyDetector<2> or AnyDetector<3> to the pipeline's type, or use the program ivado; detectors "
        "do not stand behind detectors");
  }
};

static_assert(Detector<NoDetector>);

namespace detail {

/// A file of a packaged model: `<folder>/<name>/<name><extension>`, the name being that of the folder.
[[nodiscard]] IVADO_INLINE std::string package_file(const std::string& folder, const std::string& extension) {
  std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return (path / (path.filename().string() + extension)).string();
}

/// The name of a packaged model.
[[nodiscard]] IVADO_INLINE std::string package_name(const std::string& folder) {
  return std::filesystem::path(package_file(folder, "")).filename().string();
}

/// The weights of a packaged model: ivado's, else those of ivadomed.
/// @throws Error (usage) if there are none
[[nodiscard]] IVADO_INLINE std::string package_weights(const std::string& folder) {
  for (const char* extension : {".safetensors", ".pt"})
    if (std::string path = package_file(folder, extension); std::filesystem::is_regular_file(path)) return path;
  throw usage_error("reading the configuration key object_detection_params.object_detection_path",
                    package_file(folder, ".safetensors") + " does not exist",
                    "name the folder of a packaged model: that which a training leaves as <path_output>/<model_name>");
}

/// Spatial axes of the samples of a packaged model: 2 or 3.
/// @throws Error (usage) if there is no such model
[[nodiscard]] IVADO_INLINE int package_dimension(const std::string& folder) {
  const Json tree = read_configuration(package_file(folder, ".json"));
  return resolve_model(tree, Command::segment).value("is_2d", true) ? 2 : 3;
}

/// The case as a detector sees it: without labels, with the channels that the detector takes.
/// @param contrasts  of the detector's channels, or where `is_single` those that it was trained on
/// @throws Error (data) if a contrast is not there
[[nodiscard]] IVADO_INLINE Case case_to_detect(const Case& one, const std::vector<std::string>& contrasts,
                                               bool is_single) {
  const auto channel = [&](const std::string& contrast) -> std::optional<std::size_t> {
    for (std::size_t c = 0; c < one.contrasts.size() && c < one.images.size(); ++c)
      if (one.contrasts[c] == contrast && !one.images[c].empty()) return c;
    return std::nullopt;
  };
  const auto is_known = [&](std::size_t c) {
    return c < one.contrasts.size() &&
           std::find(contrasts.begin(), contrasts.end(), one.contrasts[c]) != contrasts.end();
  };
  Case out = one;
  out.labels.clear(), out.image_label.clear(), out.condition.clear(), out.roi.clear(), out.box.reset();
  out.images.clear(), out.contrasts.clear(), out.reference = 0;
  const auto take = [&](std::size_t c) {
    if (c == one.reference) out.reference = out.images.size();
    out.images.push_back(one.images[c]);
    if (c < one.contrasts.size()) out.contrasts.push_back(one.contrasts[c]);
  };
  if (is_single) {
    std::size_t chosen = one.reference;
    for (const auto& contrast : contrasts)
      if (!is_known(chosen)) chosen = channel(contrast).value_or(chosen);
    take(chosen);
    return out;
  }
  for (const auto& contrast : contrasts) {
    const auto found = channel(contrast);
    if (!found)
      throw data_error("looking for the object in " + one.id, "it has no image of the contrast " + contrast,
                       "the detector takes one; train it on a contrast that all images have");
    take(*found);
  }
  return out;
}

}  // namespace detail

/// A packaged model as a detector, with its own transforms, slice axis, patches, post-processing and threshold.
///
/// A detector of one channel looks at the reference image of a case, or where it was not trained on that contrast, at
/// another one that it was trained on; one of several channels needs its contrasts in each case. The largest object of
/// the prediction counts (`detect_object`). Of one slice axis or another: boxes lie along the patient's axes.
/// @tparam Experiment  a Pipeline that can be what the package says; its logger should be quiet
template <class Experiment>
struct PackagedDetector {
  /// @throws Error (usage) if the package cannot be read, is no model of segmentation of this dimension, takes a region
  ///         of interest or contrasts that may be missing; (data) if an image cannot be used
  [[nodiscard]] std::vector<Detection> operator()(const DetectionRequest& request) const {
    const std::string doing = "looking for objects with the detector " + request.package;
    const std::string weights = detail::package_weights(request.package);
    std::vector<std::string> ignored;  // keys without effect: the training has told
    auto params = Experiment::configure(
        Experiment::defaults(), read_user_configuration(detail::package_file(request.package, ".json")), ignored);
    const Json model = resolve_model(to_json(params), Command::segment);
    if (model.value("is_2d", true) != (Experiment::dimension == 2))
      throw usage_error(doing,
                        model.value("name", std::string()) +
                            (Experiment::dimension == 2 ? " works on volumes" : " works on slices") +
                            ", this program's detector on " + (Experiment::dimension == 2 ? "slices" : "volumes"),
                        "take a detector of that kind, or AnyDetector<" + std::to_string(5 - Experiment::dimension) +
                            "> in the pipeline's type; the program ivado takes both");
    if (model.value("name", std::string()) == "HeMISUnet")
      throw usage_error(doing, "HeMISUnet takes contrasts that may be missing", "take another model");
    if (params.loader_parameters.roi_params.suffix)
      throw usage_error(doing, "it was trained within a region of interest (loader_parameters.roi_params.suffix)",
                        "train it on whole images");
    params.command = Command::segment;
    params.log_file.clear();  // the log of the training stays as it is
    params.path_output = std::filesystem::path(weights).parent_path().string();
    auto& loader = params.loader_parameters;
    loader.workers = request.loader.workers;
    loader.prefetch = request.loader.prefetch;
    loader.cache_mib = request.loader.cache_mib;
    loader.grid_tolerance_mm = request.loader.grid_tolerance_mm;
    loader.allow_regrid = request.loader.allow_regrid;
    std::vector<Case> cases;
    for (const auto& one : request.cases)
      cases.push_back(detail::case_to_detect(one, loader.contrast_params.training_validation, !loader.multichannel));
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      cases[i].id = std::to_string(i) + " " + cases[i].id;  // two roots may have a case of one name
      places[cases[i].id] = i;
    }
    std::vector<Detection> out(cases.size());
    Experiment(std::move(params), request.runtime)
        .predict_cases(std::move(cases), weights,
                       [&](const Case& one, const Geometry& geometry, const Prediction& prediction) {
                         out[places.at(one.id)] = detect_object(prediction, geometry);
                       });
    return out;
  }
};

namespace detail {

/// What became of the boxes of some cases.
struct BoxSummary {
  std::size_t known = 0;               ///< taken from the file
  std::size_t looked_at = 0;           ///< by the detector, now
  std::vector<std::string> not_found;  ///< ids of the cases without an object
};

/// Gives each case the box of its object: what `path` holds of this detector and these images, else what the detector
/// finds, which is then added to the file. Where nothing is found, it is the whole image.
/// @param params      the detector, and the factor on the extents of its boxes along H, W, D
/// @param slice_axis  which axes H, W, D are
template <Detector Detect>
BoxSummary add_boxes(const Detect& detector, const std::string& path, const ObjectDetectionParams& params,
                     Axis slice_axis, const LoaderParameters& loader, const Runtime& runtime,
                     std::vector<Case>& cases) {
  const std::string& folder = *params.object_detection_path;
  BoxList list =
      boxes_of_detector(path, package_name(folder),
                        digest_of(file_digest(package_weights(folder)) + file_digest(package_file(folder, ".json"))));
  BoxSummary summary;
  std::vector<std::string> digests(cases.size());
  in_parallel(cases.size(), loader.workers, [&](std::size_t i) { digests[i] = images_digest(cases[i]); });
  DetectionRequest request{folder, {}, loader, runtime};
  std::vector<BoxEntry> added;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const bool is_new = std::none_of(added.begin(), added.end(), [&](const auto& e) { return e.digest == digests[i]; });
    if (list.find(digests[i]) != nullptr || !is_new) continue;
    added.push_back({cases[i].id, digests[i], {}});
    request.cases.push_back(cases[i]);
  }
  if (!added.empty()) {
    std::vector<Detection> found = detector(request);
    if (found.size() != added.size())
      throw internal_error("looking for objects with the detector " + folder,
                           text(found.size(), " boxes came of ", added.size(), " images"));
    for (std::size_t i = 0; i < added.size(); ++i) added[i].detection = std::move(found[i]);
    list.entries.insert(list.entries.end(), added.begin(), added.end());
    write_boxes(path, list);
  }
  summary.looked_at = added.size();
  summary.known = cases.size() - added.size();
  const std::array<double, 3> factor = ras_to_hwd(slice_axis).inverse().reorder(params.safety_factor);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Detection& detection = list.find(digests[i])->detection;
    if (!detection.found) summary.not_found.push_back(cases[i].id);
    cases[i].box = detection.found ? scale_box(detection.box, factor) : detection.box;
  }
  return summary;
}

/// The parameters of a chain with BoundingBoxCrop, as a cascade needs it: behind Resample, else first, unless the chain
/// has it somewhere; made for the patches of the model.
/// @throws Error (usage) if the chain is of a fixed type without it
template <class Steps>
[[nodiscard]] Steps with_box_crop(const Steps& steps, const std::vector<std::int64_t>& length,
                                  const std::vector<std::int64_t>& stride) {
  const Json tree = to_json(steps);
  const std::string name(BoundingBoxCrop::name);
  Json out = Json::object();
  if (!tree.contains(name)) {
    if constexpr (!requires(Steps & chain) { chain.template add<BoundingBoxCrop>(); })
      throw usage_error("reading the configuration key object_detection_params.object_detection_path",
                        "the chain of this program has no BoundingBoxCrop",
                        "put it behind Resample in the pipeline's type, or use the program ivado");
    if (!tree.contains("Resample")) out[name] = Json::object();
  }
  for (const auto& item : tree.items()) {
    out[item.key()] = item.value();
    if (item.key() == "Resample" && !tree.contains(name)) out[name] = Json::object();
  }
  Json& crop = out[name];
  const auto is_unset = [&](const char* key) { return !crop.contains(key) || crop[key].is_null(); };
  if (!length.empty() && is_unset("size") && is_unset("length")) {
    crop["length"] = length;
    crop["stride"] = stride.empty() ? length : stride;
  }
  return from_json<Steps>(out, "transformation");
}

}  // namespace detail
}  // namespace ivado
