// The sections of ivadomed's configuration file that belong to no other room, as reflected structs, and the whole of
// it.
//
// Sections of other rooms stand here as plain JSON: `split_dataset` (data/split.hpp), `transformation` (transform/),
// `postprocessing` (postprocess/) and `training_parameters.loss` (loss/).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../data/geometry.hpp"
#include "../inline.hpp"
#include "params.hpp"

namespace ivado {

// ---------------------------------------------------------------------------------------------------------------------
// Values with a JSON form of their own
// ---------------------------------------------------------------------------------------------------------------------

/// One value or a list of them; written as a list.
template <class T>
struct OneOrMany {
  std::vector<T> values;

  /// @throws Error (usage) if it is neither
  static OneOrMany from_json(const Json& json, const std::string& path) {
    if (json.is_array()) return {ivado::from_json<std::vector<T>>(json, path)};
    if (json.is_object() || json.is_null()) throw detail::value_error(path, json, type_name());
    return {{ivado::from_json<T>(json, path)}};
  }
  [[nodiscard]] Json to_json() const { return ivado::to_json(values); }
  static Json schema() { return {{"anyOf", Json::array({ivado::schema<std::vector<T>>(), ivado::schema<T>()})}}; }
  static std::string type_name() { return ivado::type_name<T>() + " or " + ivado::type_name<std::vector<T>>(); }
};

/// Text out of a fixed set, the first of which is the default. For keys whose enumeration belongs to a room that stands
/// after this one; elsewhere an enumeration with `EnumNames` is better.
template <FixedString First, FixedString... Others>
struct Choice {
  std::string value{First.view()};

  /// All that may be chosen.
  static std::vector<std::string> options() { return {std::string(First.view()), std::string(Others.view())...}; }
  /// @throws Error (usage) if it is none of the options, with the nearest
  static Choice from_json(const Json& json, const std::string& path) {
    const auto all = options();
    if (json.is_string() && std::find(all.begin(), all.end(), json.get<std::string>()) != all.end())
      return {json.get<std::string>()};
    std::string expected = type_name();
    if (json.is_string()) expected += "; did you mean \"" + detail::nearest(json.get<std::string>(), all) + "\"?";
    throw detail::value_error(path, json, expected);
  }
  [[nodiscard]] Json to_json() const { return value; }
  static Json schema() { return {{"enum", options()}}; }
  static std::string type_name() {
    std::string all;
    for (const auto& option : options()) all += (all.empty() ? "" : ", ") + option;
    return "one of " + all;
  }
};

/// A cell of a table such as participants.tsv: text, or a number in JSON's spelling.
struct Cell {
  Json value = "";

  /// The cell as a .tsv file would hold it.
  [[nodiscard]] std::string text() const { return value.is_string() ? value.get<std::string>() : value.dump(); }

  /// @throws Error (usage) if it is neither text, a number, nor true or false
  IVADO_INLINE static Cell from_json(const Json& json, const std::string& path) {
    if (json.is_structured() || json.is_null()) throw detail::value_error(path, json, type_name());
    return {json};
  }
  [[nodiscard]] Json to_json() const { return value; }
  static Json schema() { return {{"type", Json::array({"string", "number", "boolean"})}}; }
  static std::string type_name() { return "text or number"; }
};

/// Fractions in (0, 1] by name, in the order of the file: `{"T1w": 0.5}`.
struct Fractions {
  std::vector<std::pair<std::string, double>> values;

  /// The fraction of a name; 1 where it is not mentioned.
  [[nodiscard]] IVADO_INLINE double of(std::string_view name) const {
    for (const auto& [key, fraction] : values)
      if (key == name) return fraction;
    return 1;
  }
  /// @throws Error (usage) if it is not an object of numbers in (0, 1]
  IVADO_INLINE static Fractions from_json(const Json& json, const std::string& path) {
    if (!json.is_object()) throw detail::value_error(path, json, type_name());
    Fractions out;
    for (const auto& item : json.items()) {
      const std::string here = detail::join_path(path, item.key());
      const auto fraction = ivado::from_json<double>(item.value(), here);
      if (!(fraction > 0 && fraction <= 1)) throw detail::value_error(here, item.value(), "a value in (0, 1]");
      out.values.emplace_back(item.key(), fraction);
    }
    return out;
  }
  [[nodiscard]] IVADO_INLINE Json to_json() const {
    Json out = Json::object();
    for (const auto& [key, fraction] : values) out[key] = fraction;
    return out;
  }
  IVADO_INLINE static Json schema() {
    return {{"type", "object"},
            {"additionalProperties", {{"type", "number"}, {"exclusiveMinimum", 0}, {"maximum", 1}}}};
  }
  static std::string type_name() { return "object of fractions in (0, 1]"; }
};

/// The endings of the label files, one entry a class. An entry that is a list names the files of several raters.
struct TargetSuffixes {
  std::vector<std::vector<std::string>> raters_by_class;

  /// Number of classes, without background.
  [[nodiscard]] std::size_t classes() const noexcept { return raters_by_class.size(); }
  /// The ending of the first rater's file of each class.
  [[nodiscard]] IVADO_INLINE std::vector<std::string> first_raters() const {
    std::vector<std::string> out;
    for (const auto& raters : raters_by_class) out.push_back(raters.front());
    return out;
  }
  /// The endings of all files: class by class, and in each rater by rater.
  [[nodiscard]] IVADO_INLINE std::vector<std::string> all() const {
    std::vector<std::string> out;
    for (const auto& raters : raters_by_class) out.insert(out.end(), raters.begin(), raters.end());
    return out;
  }
  /// Number of raters of the class that has most; 1 where there is no class.
  [[nodiscard]] IVADO_INLINE std::size_t raters() const noexcept {
    std::size_t most = 1;
    for (const auto& raters : raters_by_class) most = std::max(most, raters.size());
    return most;
  }
  /// True if a class has more than one rater.
  [[nodiscard]] bool has_several_raters() const noexcept { return raters() > 1; }

  /// @throws Error (usage) if it is not a list of text or of lists of text, or names an empty list or text
  IVADO_INLINE static TargetSuffixes from_json(const Json& json, const std::string& path) {
    if (!json.is_array()) throw detail::value_error(path, json, type_name());
    TargetSuffixes out;
    for (std::size_t i = 0; i < json.size(); ++i) {
      const std::string here = path + "[" + std::to_string(i) + "]";
      auto raters = OneOrMany<std::string>::from_json(json[i], here).values;
      if (raters.empty() || std::find(raters.begin(), raters.end(), "") != raters.end())
        throw detail::value_error(here, json[i], "the ending of a label file, such as \"_seg-manual\"");
      out.raters_by_class.push_back(std::move(raters));
    }
    return out;
  }
  [[nodiscard]] IVADO_INLINE Json to_json() const {
    Json out = Json::array();
    for (const auto& raters : raters_by_class)
      out.push_back(raters.size() == 1 ? Json(raters.front()) : ivado::to_json(raters));
    return out;
  }
  static Json schema() { return {{"type", "array"}, {"items", OneOrMany<std::string>::schema()}}; }
  static std::string type_name() { return "list of text, or of lists of text"; }
};

// ---------------------------------------------------------------------------------------------------------------------
// Top level
// ---------------------------------------------------------------------------------------------------------------------

/// What a run does.
enum class Command { train, test, segment };

template <>
struct EnumNames<Command> {
  static constexpr std::array values{std::pair{std::string_view{"train"}, Command::train},
                                     std::pair{std::string_view{"test"}, Command::test},
                                     std::pair{std::string_view{"segment"}, Command::segment}};
};

/// The keys at the top of the file.
struct General {
  Command command = Command::train;
  std::vector<int> gpu_ids{0};
  std::string path_output = "path_output";
  std::string model_name = "my_model";
  bool debugging = false;
  std::string log_file = "log";
  std::uint64_t seed = 42;
  std::optional<int> threads;
  Json training_sha256 = Json::object();

  static constexpr auto fields() {
    return ivado::fields(
        field<"command", &General::command>(
            "what to do: train a model, test it on the testing set, or segment every image of the data set"),
        field<"gpu_ids", &General::gpu_ids>(
            "number of the GPU to use, the first of the list; the CPU where LibTorch sees none", at_least(0)),
        field<"path_output", &General::path_output>("folder of all results; made if it is not there"),
        field<"model_name", &General::model_name>(
            "name of the packaged model: of its folder in path_output and of the files in it"),
        field<"debugging", &General::debugging>(
            "keep pictures of a few samples and their predictions for TensorBoard, each epoch"),
        field<"log_file", &General::log_file>("name of the text log in path_output"),
        field<"seed", &General::seed>(
            "seed of augmentation, shuffling, dropout and initial weights; the split has split_dataset.random_seed"),
        field<"threads", &General::threads>(
            "threads for computing, which fix the results bit for bit; null: one a core", at_least(1)),
        field<"training_sha256", &General::training_sha256>(
            "SHA-256 of each training image by file name, which ivadomed adds to the copy of the file it saves",
            no_effect()));
  }
};

/// Section `wandb`: tracking by Weights & Biases.
struct Wandb {
  std::string wandb_api_key;
  std::string project_name = "my_project";
  std::string group_name = "my_group";
  std::string run_name = "run-1";
  int log_grads_every = 100;

  static constexpr auto fields() {
    return ivado::fields(
        field<"wandb_api_key", &Wandb::wandb_api_key>("key of the account; empty: no tracking", no_effect()),
        field<"project_name", &Wandb::project_name>("project of the run", no_effect()),
        field<"group_name", &Wandb::group_name>("group of the run", no_effect()),
        field<"run_name", &Wandb::run_name>("name of the run", no_effect()),
        field<"log_grads_every", &Wandb::log_grads_every>("period of the histograms of gradients, steps", no_effect()));
  }
};

/// Section `object_detection_params`: a detector finds the organ and the images are cropped around it.
struct ObjectDetectionParams {
  std::optional<std::string> object_detection_path;
  std::array<double, 3> safety_factor{1, 1, 1};
  std::optional<OneOrMany<int>> gpu_ids;
  std::optional<std::string> path_output;

  static constexpr auto fields() {
    return ivado::fields(
        field<"object_detection_path", &ObjectDetectionParams::object_detection_path>(
            "folder of the packaged model that finds the object; images are cropped to its box. null: no detector"),
        field<"safety_factor", &ObjectDetectionParams::safety_factor>(
            "factors on the extents of the detected box along H, W and D", above(0)),
        field<"gpu_ids", &ObjectDetectionParams::gpu_ids>("added by ivadomed to the copy of the file it saves",
                                                          no_effect()),
        field<"path_output", &ObjectDetectionParams::path_output>("added by ivadomed to the copy of the file it saves",
                                                                  no_effect()));
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// loader_parameters
// ---------------------------------------------------------------------------------------------------------------------

template <>
struct EnumNames<Axis> {
  static constexpr std::array values{std::pair{std::string_view{"sagittal"}, Axis::sagittal},
                                     std::pair{std::string_view{"coronal"}, Axis::coronal},
                                     std::pair{std::string_view{"axial"}, Axis::axial}};
};

/// `loader_parameters.subject_selection`: lists of one length, one entry a draw.
struct SubjectSelection {
  std::vector<std::int64_t> n;
  std::vector<std::string> metadata;
  std::vector<Cell> value;

  static constexpr auto fields() {
    return ivado::fields(
        field<"n", &SubjectSelection::n>("for each draw, how many participants to keep", at_least(1)),
        field<"metadata", &SubjectSelection::metadata>(
            "for each draw, the column of participants.tsv that is looked at"),
        field<"value", &SubjectSelection::value>("for each draw, the value that the column must have"));
  }
  /// @throws Error (usage) if the lists differ in length
  IVADO_INLINE void check(const std::string& path) const {
    if (n.size() == metadata.size() && n.size() == value.size()) return;
    throw usage_error(
        "reading the configuration key " + path,
        detail::text("n has ", n.size(), " entries, metadata ", metadata.size(), ", value ", value.size()),
        "give the three lists one length: one entry a draw");
  }
};

/// `loader_parameters.roi_params`: the region of interest.
struct RoiParams {
  std::optional<std::string> suffix;
  std::optional<std::int64_t> slice_filter_roi;

  static constexpr auto fields() {
    return ivado::fields(
        field<"suffix", &RoiParams::suffix>(
            "ending of the mask's file in derivatives/labels; null: no region of interest"),
        field<"slice_filter_roi", &RoiParams::slice_filter_roi>(
            "a slice whose mask has at most this many voxels that are not zero is left out; null: none is",
            at_least(0)));
  }
};

/// `loader_parameters.contrast_params`: which images are used. A contrast is the suffix of the file name, such as
/// "T2w".
struct ContrastParams {
  std::vector<std::string> training_validation;
  std::vector<std::string> testing;
  Fractions balance;
  std::vector<std::string> contrast_lst;

  static constexpr auto fields() {
    return ivado::fields(field<"training_validation", &ContrastParams::training_validation>(
                             "contrasts that the command train uses, for its testing set as well"),
                         field<"testing", &ContrastParams::testing>("contrasts that the commands test and segment use"),
                         field<"balance", &ContrastParams::balance>(
                             "by contrast, the fraction of its images to keep, the first in order of name"),
                         field<"contrast_lst", &ContrastParams::contrast_lst>(
                             "added by ivadomed to the copy of the file it saves", no_effect()));
  }
};

/// `loader_parameters.slice_filter_params`: 2-D slices that are left out of every set.
struct SliceFilterParams {
  bool filter_empty_mask = false;
  bool filter_absent_class = false;
  bool filter_empty_input = true;
  bool filter_classification = false;
  std::optional<std::string> classifier_path;

  static constexpr auto fields() {
    return ivado::fields(
        field<"filter_empty_mask", &SliceFilterParams::filter_empty_mask>(
            "leave out slices in which every label is zero"),
        field<"filter_absent_class", &SliceFilterParams::filter_absent_class>(
            "leave out slices in which the label of at least one class is zero"),
        field<"filter_empty_input", &SliceFilterParams::filter_empty_input>(
            "leave out slices in which at least one channel is constant"),
        field<"filter_classification", &SliceFilterParams::filter_classification>(
            "leave out slices in which a trained classifier gives no class a probability of at least 0.5"),
        field<"classifier_path", &SliceFilterParams::classifier_path>(
            "folder of the packaged model of that classifier, trained by ivado"));
  }
  /// @throws Error (usage) if slices are to be filtered by a classifier, and there is none
  IVADO_INLINE void check(const std::string& path) const {
    if (filter_classification && !classifier_path)
      throw usage_error("reading the configuration key " + detail::join_path(path, "classifier_path"),
                        "it is not given, and filter_classification is true",
                        "name the folder of the classifier's packaged model");
  }
};

/// `loader_parameters.patch_filter_params`: patches and sub-volumes that are left out.
struct PatchFilterParams {
  bool filter_empty_mask = false;
  bool filter_absent_class = false;
  bool filter_empty_input = false;

  static constexpr auto fields() {
    return ivado::fields(field<"filter_empty_mask", &PatchFilterParams::filter_empty_mask>(
                             "leave out training patches in which every label is zero"),
                         field<"filter_absent_class", &PatchFilterParams::filter_absent_class>(
                             "leave out training patches in which the label of at least one class is zero"),
                         field<"filter_empty_input", &PatchFilterParams::filter_empty_input>(
                             "leave out training patches in which at least one channel is constant"));
  }
};

/// Section `loader_parameters`: which files are read, and how they become samples.
struct LoaderParameters {
  OneOrMany<std::string> path_data{{"path_data"}};
  std::optional<std::string> bids_config;
  bool bids_validate = true;
  SubjectSelection subject_selection;
  TargetSuffixes target_suffix;
  std::vector<std::string> extensions;
  RoiParams roi_params;
  ContrastParams contrast_params;
  SliceFilterParams slice_filter_params;
  PatchFilterParams patch_filter_params;
  Axis slice_axis = Axis::axial;
  bool multichannel = false;
  bool soft_gt = false;
  bool is_input_dropout = false;
  double grid_tolerance_mm = 0.6;
  bool allow_regrid = false;
  std::optional<std::string> label_column;
  std::vector<Cell> label_values;
  std::int64_t cache_mib = 2048;
  int workers = 1;
  int prefetch = 2;
  std::optional<std::string> metadata_type;
  Json model_params = Json::object();
  Json object_detection_params = Json::object();

  static constexpr auto fields() {
    return ivado::fields(
        field<"path_data", &LoaderParameters::path_data>(
            "root folders of the BIDS data sets, or HDF5 files of ivado pack; all are used together"),
        field<"bids_config", &LoaderParameters::bids_config>(
            "entity patterns for pybids; ivado knows the entities of images itself", no_effect()),
        field<"bids_validate", &LoaderParameters::bids_validate>(
            "false: use images whose place or name BIDS does not allow as well"),
        field<"subject_selection", &LoaderParameters::subject_selection>(
            "draws of participants; where there is one, all others are left out"),
        field<"target_suffix", &LoaderParameters::target_suffix>(
            "endings of the label files in derivatives/labels, one a class; a list in the list: the raters of one "
            "class, of whom each training sample gets one at random (the same for all classes); validation and testing "
            "take the mean of all, of masks at least half of the votes"),
        field<"extensions", &LoaderParameters::extensions>(
            "endings of the files to keep, images and labels alike; empty: .nii and .nii.gz"),
        field<"roi_params", &LoaderParameters::roi_params>("region of interest"),
        field<"contrast_params", &LoaderParameters::contrast_params>("contrasts"),
        field<"slice_filter_params", &LoaderParameters::slice_filter_params>("slices to leave out"),
        field<"patch_filter_params", &LoaderParameters::patch_filter_params>("patches to leave out"),
        field<"slice_axis", &LoaderParameters::slice_axis>("axis across which slices are cut"),
        field<"multichannel", &LoaderParameters::multichannel>(
            "true: the contrasts of one grid are channels of one sample; false: each is a sample of its own"),
        field<"soft_gt", &LoaderParameters::soft_gt>(
            "true: labels keep their values in [0, 1]; false: they are cut at 0.5 after all transforms"),
        field<"is_input_dropout", &LoaderParameters::is_input_dropout>(
            "blank channels of training samples at random: of C channels 0 to C - 1, each number as likely (ivadomed "
            "also does in validation and testing)"),
        field<"grid_tolerance_mm", &LoaderParameters::grid_tolerance_mm>(
            "how far a corner of a label may lie from that of its image before the two are refused, mm; 0.6 is below "
            "one "
            "voxel of 1 mm, and lets pass affines that were rounded when they were saved",
            at_least(0)),
        field<"allow_regrid", &LoaderParameters::allow_regrid>(
            "true: images, labels and regions of interest of another grid than the first image's are resampled onto "
            "it: images and soft labels linearly, other labels by the nearest voxel, 0 outside; false: they are an "
            "error"),
        field<"label_column", &LoaderParameters::label_column>(
            "classification: column of participants.tsv, or another metadata key, that tells the classes of an image; "
            "null: a class is there where its label file has a voxel that is not zero"),
        field<"label_values", &LoaderParameters::label_values>(
            "classification by label_column: its value for each class, as text or number"),
        field<"cache_mib", &LoaderParameters::cache_mib>(
            "memory for volumes and slices that are kept after preprocessing, MiB; 0: none is kept", at_least(0)),
        field<"workers", &LoaderParameters::workers>(
            "threads that load and transform, 0: the one that computes; results do not depend on them", at_least(0)),
        field<"prefetch", &LoaderParameters::prefetch>("batches that are prepared ahead", at_least(1)),
        field<"metadata_type", &LoaderParameters::metadata_type>("added by ivadomed to the copy of the file it saves",
                                                                 no_effect()),
        field<"model_params", &LoaderParameters::model_params>("added by ivadomed to the copy of the file it saves",
                                                               no_effect()),
        field<"object_detection_params", &LoaderParameters::object_detection_params>(
            "added by ivadomed to the copy of the file it saves", no_effect()));
  }
  /// Number of classes, without background: of "label_values" where a column tells the classes, else of
  /// "target_suffix".
  [[nodiscard]] IVADO_INLINE std::size_t class_count() const noexcept {
    return label_column ? label_values.size() : target_suffix.classes();
  }
  /// @throws Error (usage) if there is no folder, one of "label_column" and "label_values" is given without the other,
  ///         or classes of several raters have not the same number of them
  IVADO_INLINE void check(const std::string& path) const {
    if (label_column.has_value() == label_values.empty())
      throw usage_error("reading the configuration key " + detail::join_path(path, "label_values"),
                        label_column ? "it is empty, and label_column is \"" + *label_column + "\""
                                     : std::string("it is given, and label_column is not"),
                        label_column ? "list the value of the column for each class"
                                     : "name the column that has these values as label_column");
    if (path_data.values.empty())
      throw detail::value_error(detail::join_path(path, "path_data"), Json::array(),
                                "the folder of a data set at least");
    for (const auto& raters : target_suffix.raters_by_class)
      if (raters.size() != 1 && raters.size() != target_suffix.raters())
        throw usage_error("reading the configuration key " + detail::join_path(path, "target_suffix"),
                          detail::text("one class has ", raters.size(), " raters, another ", target_suffix.raters()),
                          "give each class one rater, or the same raters in the same order");
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// training_parameters
// ---------------------------------------------------------------------------------------------------------------------

/// `training_parameters.training_time`: when training ends.
struct TrainingTime {
  std::int64_t num_epochs = 100;
  std::int64_t early_stopping_patience = 50;
  double early_stopping_epsilon = 0.001;

  static constexpr auto fields() {
    return ivado::fields(field<"num_epochs", &TrainingTime::num_epochs>("epochs at most", at_least(1)),
                         field<"early_stopping_patience", &TrainingTime::early_stopping_patience>(
                             "training stops after this many epochs in a row without an improvement (ivadomed never "
                             "sets its count back to 0)",
                             at_least(1)),
                         field<"early_stopping_epsilon", &TrainingTime::early_stopping_epsilon>(
                             "an epoch is an improvement if its validation loss is below the best so far by more than "
                             "this, % of the best",
                             at_least(0)));
  }
};

/// A learning-rate schedule.
enum class ScheduleName { cosine_annealing, cosine_warm_restarts, cyclic };

template <>
struct EnumNames<ScheduleName> {
  static constexpr std::array values{
      std::pair{std::string_view{"CosineAnnealingLR"}, ScheduleName::cosine_annealing},
      std::pair{std::string_view{"CosineAnnealingWarmRestarts"}, ScheduleName::cosine_warm_restarts},
      std::pair{std::string_view{"CyclicLR"}, ScheduleName::cyclic}};
};

/// `training_parameters.scheduler.lr_scheduler`: how the learning rate changes.
///
/// Each schedule takes its own keys only; in ivadomed the defaults of CyclicLR reach the others, and
/// CosineAnnealingWarmRestarts cannot be used at all.
struct LrScheduler {
  ScheduleName name = ScheduleName::cosine_annealing;
  double eta_min = 0;
  double base_lr = 1e-5;
  double max_lr = 1e-2;
  std::optional<std::int64_t> T_0;
  std::int64_t T_mult = 1;
  std::int64_t step_size_up = 2000;
  std::optional<std::int64_t> step_size_down;

  static constexpr auto fields() {
    return ivado::fields(
        field<"name", &LrScheduler::name>("schedule of the learning rate: by epoch, or for CyclicLR by batch"),
        field<"eta_min", &LrScheduler::eta_min>("CosineAnnealingLR, CosineAnnealingWarmRestarts: learning rate that "
                                                "the cosine falls to (ivadomed: always 0)",
                                                at_least(0)),
        field<"base_lr", &LrScheduler::base_lr>("CyclicLR: lowest learning rate; the schedule begins there",
                                                at_least(0)),
        field<"max_lr", &LrScheduler::max_lr>("CyclicLR: highest learning rate", at_least(0)),
        field<"T_0", &LrScheduler::T_0>("CosineAnnealingWarmRestarts: epochs to the first restart; null: 10",
                                        at_least(1)),
        field<"T_mult", &LrScheduler::T_mult>("CosineAnnealingWarmRestarts: factor on that at each restart",
                                              at_least(1)),
        field<"step_size_up", &LrScheduler::step_size_up>("CyclicLR: batches of a rise", at_least(1)),
        field<"step_size_down", &LrScheduler::step_size_down>("CyclicLR: batches of a fall; null: as of a rise",
                                                              at_least(1)));
  }
};

/// `training_parameters.scheduler`: the learning rate.
struct SchedulerParams {
  double initial_lr = 0.001;
  LrScheduler lr_scheduler;

  static constexpr auto fields() {
    return ivado::fields(
        field<"initial_lr", &SchedulerParams::initial_lr>("learning rate of Adam in the first epoch", above(0)),
        field<"lr_scheduler", &SchedulerParams::lr_scheduler>("how the learning rate changes"));
  }
  /// @throws Error (usage) if the learning rate would rise
  IVADO_INLINE void check(const std::string& path) const {
    if (lr_scheduler.eta_min > initial_lr)
      throw usage_error("reading the configuration key " + detail::join_path(path, "lr_scheduler.eta_min"),
                        detail::text("it is ", lr_scheduler.eta_min, ", above initial_lr, which is ", initial_lr),
                        "choose a smaller one");
  }
};

/// `training_parameters.balance_samples`: samples drawn by weight.
struct BalanceSamples {
  bool applied = false;
  std::string type = "gt";

  static constexpr auto fields() {
    return ivado::fields(
        field<"applied", &BalanceSamples::applied>(
            "draw training samples, with replacement, so that each kind is seen as often; `balance_samples: "
            "false` is short for this key alone"),
        field<"type", &BalanceSamples::type>("what makes a kind: gt (whether the label of the first class is empty in "
                                             "the sample), or a metadata column"));
  }
};

/// `training_parameters.transfer_learning`: training starts from a trained model.
struct TransferLearning {
  std::optional<std::string> retrain_model;
  double retrain_fraction = 1.0;
  bool reset = true;

  static constexpr auto fields() {
    return ivado::fields(
        field<"retrain_model", &TransferLearning::retrain_model>(
            "file of the trained model, of the same architecture: safetensors, a state dictionary or a "
            "whole model of Python's torch.save, or ONNX where ivado::onnx is built; null: none"),
        field<"retrain_fraction", &TransferLearning::retrain_fraction>(
            "fraction of the layers with parameters, counted from the end, that is trained; the others "
            "are frozen and run in evaluation mode; 0: none is trained",
            within(0, 1)),
        field<"reset", &TransferLearning::reset>("give those layers fresh weights"));
  }
};

/// Section `training_parameters`.
struct TrainingParameters {
  std::int64_t batch_size = 18;
  Json loss = Json{{"name", "DiceLoss"}};
  TrainingTime training_time;
  SchedulerParams scheduler;
  Json optimizer = Json{{"name", "Adam"}};
  double gradient_clipping = 0;
  BalanceSamples balance_samples;
  std::optional<double> mixup_alpha;
  Choice<"float32", "bf16"> precision;
  TransferLearning transfer_learning;

  static constexpr auto fields() {
    return ivado::fields(
        field<"batch_size", &TrainingParameters::batch_size>("samples a batch, in training, testing and segmenting",
                                                             at_least(1)),
        field<"loss", &TrainingParameters::loss>(
            "`name` of the loss, and its parameters beside it; `loss: \"DiceLoss\"` is short for the name alone"),
        field<"training_time", &TrainingParameters::training_time>("when training ends"),
        field<"scheduler", &TrainingParameters::scheduler>("learning rate"),
        field<"optimizer", &TrainingParameters::optimizer>(
            "`name` of the optimiser (Adam, AdamW, SGD), and its parameters beside it"),
        field<"gradient_clipping", &TrainingParameters::gradient_clipping>(
            "largest norm of all gradients together; 0: any", at_least(0)),
        field<"balance_samples", &TrainingParameters::balance_samples>("samples drawn by weight"),
        field<"mixup_alpha", &TrainingParameters::mixup_alpha>(
            "parameter of the Beta distribution that mixes pairs of training samples; null or 0: no mixing",
            at_least(0)),
        field<"precision", &TrainingParameters::precision>(
            "number type of the convolutions while training, where it is faster; bf16 is refused where this machine "
            "computes it wrongly or slower; parameters, losses and all else stay float32"),
        field<"transfer_learning", &TrainingParameters::transfer_learning>("start from a trained model"));
  }
  /// @throws Error (usage) if the loss or the optimiser has no name
  IVADO_INLINE void check(const std::string& path) const {
    const auto require_name = [&](const char* key, const Json& section, const std::string& what) {
      if (!section.is_object() || !section.contains("name") || !section["name"].is_string())
        throw detail::value_error(detail::join_path(path, key), section,
                                  "an object with the \"name\" of the " + what + " and its parameters");
    };
    require_name("loss", loss, "loss");
    require_name("optimizer", optimizer, "optimiser");
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Models
// ---------------------------------------------------------------------------------------------------------------------

/// A model that a configuration file may name.
struct ModelName {
  std::string_view name;
  bool has_section;  ///< has a section of its own, switched on by `applied`
};

/// The models. Those with a section are ivadomed's, in the order in which it looks for them.
inline constexpr std::array model_names{
    ModelName{"Unet", false},        ModelName{"Modified3DUNet", true}, ModelName{"HeMISUnet", true},
    ModelName{"FiLMedUnet", true},   ModelName{"resnet18", true},       ModelName{"densenet121", true},
    ModelName{"Countception", true}, ModelName{"ResidualUnet", false},  ModelName{"resnet34", false},
    ModelName{"resnet50", false},    ModelName{"resnet101", false},     ModelName{"resnet152", false},
    ModelName{"densenet161", false}, ModelName{"densenet169", false},   ModelName{"densenet201", false}};

/// All keys that `default_model` or the section of a model may hold. Which of them a model takes is its own affair.
struct ModelParameters {
  std::string name = "Unet";
  double dropout_rate = 0.3;
  double bn_momentum = 0.1;
  int depth = 3;
  bool is_2d = true;
  Choice<"sigmoid", "softmax", "relu"> final_activation;
  std::optional<int> n_filters;
  std::optional<int> max_filters;
  std::vector<int> blocks;
  double fc_dropout_rate = 0;
  std::optional<bool> background;
  bool as_ivadomed = false;
  std::vector<std::int64_t> length_2D;
  std::vector<std::int64_t> stride_2D;
  std::vector<std::int64_t> length_3D;
  std::vector<std::int64_t> stride_3D;
  Choice<"average", "gaussian"> overlap_weights;
  std::vector<std::int64_t> mirror_axes;
  bool attention = false;
  std::optional<std::string> metadata;
  std::vector<int> film_layers;
  std::optional<double> missing_probability;
  std::optional<double> missing_probability_growth;
  std::vector<std::string> contrasts;
  bool ram = false;
  std::optional<std::string> path_hdf5;
  std::optional<std::string> csv_path;
  std::vector<std::string> target_lst;
  std::vector<std::string> roi_lst;
  std::optional<bool> use_logits;
  std::optional<int> logits_per_output;
  bool applied = false;
  std::optional<std::string> folder_name;
  std::optional<int> in_channel;
  std::optional<int> out_channel;

  static constexpr auto fields() {
    return ivado::fields(
        field<"name", &ModelParameters::name>("model to use where no section of a model is applied"),
        field<"dropout_rate", &ModelParameters::dropout_rate>("probability that a channel is dropped while training",
                                                              at_least(0), below(1)),
        field<"bn_momentum", &ModelParameters::bn_momentum>(
            "weight of the new batch's statistics in the running ones of batch norm", within(0, 1)),
        field<"depth", &ModelParameters::depth>("number of poolings", at_least(1)),
        field<"is_2d", &ModelParameters::is_2d>(
            "true: the model works on slices; false: on volumes or sub-volumes of them"),
        field<"final_activation", &ModelParameters::final_activation>("what is done to the last convolution"),
        field<"n_filters", &ModelParameters::n_filters>(
            "channels of the first level; null: 64, but 16 for Modified3DUNet and 32 for ResidualUnet", at_least(1)),
        field<"max_filters", &ModelParameters::max_filters>(
            "ResidualUnet: channels that no level exceeds; null: 512 in 2-D, 320 in 3-D", at_least(1)),
        field<"blocks", &ModelParameters::blocks>(
            "ResidualUnet: residual blocks of each level of the encoder, depth + 1 of them; empty: 1, 3, 4, 6, 6 …",
            at_least(1)),
        field<"fc_dropout_rate", &ModelParameters::fc_dropout_rate>(
            "resnet…: probability that a feature is dropped before the last layer while training", at_least(0),
            below(1)),
        field<"background", &ModelParameters::background>(
            "compute a background channel and drop it; null: where softmax or relu has several classes"),
        field<"as_ivadomed", &ModelParameters::as_ivadomed>(
            "true: what ivado mends in a model is as in ivadomed, to read weights and repeat numbers of its models"),
        field<"length_2D", &ModelParameters::length_2D>(
            "extents of a 2-D patch along H and W, voxels; empty: whole slices", at_least(1)),
        field<"stride_2D", &ModelParameters::stride_2D>("distances of 2-D patches along H and W, voxels", at_least(1)),
        field<"length_3D", &ModelParameters::length_3D>("extents of a sub-volume along H, W and D, voxels",
                                                        at_least(1)),
        field<"stride_3D", &ModelParameters::stride_3D>("distances of sub-volumes along H, W and D, voxels",
                                                        at_least(1)),
        field<"overlap_weights", &ModelParameters::overlap_weights>(
            "how predictions of overlapping patches are merged: average, as in ivadomed; gaussian counts less towards "
            "the border of a patch"),
        field<"mirror_axes", &ModelParameters::mirror_axes>(
            "axes along which images are mirrored while predicting, 0 for H, 1 for W, 2 for D: the prediction is the "
            "mean over all combinations, 2^n for n axes",
            within(0, 2)),
        field<"attention", &ModelParameters::attention>("Modified3DUNet: attention gates on the skip connections"),
        field<"metadata", &ModelParameters::metadata>(
            "FiLMedUnet: what conditions the model: contrasts, mri_params or a metadata column"),
        field<"film_layers", &ModelParameters::film_layers>(
            "FiLMedUnet: 1 for each layer that is conditioned, else 0; 2 depth + 2 of them (empty: each), 10 for "
            "Modified3DUNet (empty: none)",
            within(0, 1)),
        field<"missing_probability", &ModelParameters::missing_probability>(
            "HeMISUnet: probability that a contrast is hidden while training", within(0, 1)),
        field<"missing_probability_growth", &ModelParameters::missing_probability_growth>(
            "HeMISUnet: exponent on that probability after each epoch", above(0)),
        field<"contrasts", &ModelParameters::contrasts>(
            "HeMISUnet: contrasts that the model may be given, one a channel; empty: those of the training"),
        field<"ram", &ModelParameters::ram>(
            "HeMISUnet of ivadomed: keep its HDF5 file in memory; here every model has loader_parameters.cache_mib",
            no_effect()),
        field<"path_hdf5", &ModelParameters::path_hdf5>("HeMISUnet of ivadomed: HDF5 file of its samples; here every "
                                                        "model reads BIDS folders, or the HDF5 file that "
                                                        "loader_parameters.path_data names",
                                                        no_effect()),
        field<"csv_path", &ModelParameters::csv_path>("HeMISUnet of ivadomed: table of the samples in that file",
                                                      no_effect()),
        field<"target_lst", &ModelParameters::target_lst>(
            "HeMISUnet: contrasts whose labels are used, the first that has them; empty: any"),
        field<"roi_lst", &ModelParameters::roi_lst>(
            "HeMISUnet: contrasts whose region of interest is used, the first that has it; empty: any"),
        field<"use_logits", &ModelParameters::use_logits>(
            "Countception: logits instead of heat maps, which never worked in ivadomed", no_effect()),
        field<"logits_per_output", &ModelParameters::logits_per_output>("Countception: logits a voxel", at_least(1),
                                                                        no_effect()),
        field<"applied", &ModelParameters::applied>(
            "in the section of a model: true chooses this model, and its keys override those of default_model"),
        field<"folder_name", &ModelParameters::folder_name>("set by the program: model_name", no_effect()),
        field<"in_channel", &ModelParameters::in_channel>(
            "set by the program: the number of contrasts if multichannel, else 1", no_effect()),
        field<"out_channel", &ModelParameters::out_channel>(
            "set by the program: the number of classes, and one more for the background where there are several",
            no_effect()));
  }
  /// @throws Error (usage) if nobody knows the model, or an axis is mirrored twice
  IVADO_INLINE void check(const std::string& path) const {
    if (std::set(mirror_axes.begin(), mirror_axes.end()).size() != mirror_axes.size())
      throw detail::value_error(detail::join_path(path, "mirror_axes"), Json(mirror_axes), "each axis once");
    std::vector<std::string> known;
    for (const auto& model : model_names) {
      if (model.name == name) return;
      known.emplace_back(model.name);
    }
    throw usage_error("reading the configuration key " + detail::join_path(path, "name"),
                      "there is no model \"" + name + "\"", "did you mean \"" + detail::nearest(name, known) + "\"?");
  }
};

/// The section of a model: `applied`, which must be there, and any key of `default_model`, which it overrides.
/// What it says counts only if it is applied (ivado::resolve_model).
struct ModelSection {
  using KeysOf = ModelParameters;
  Json keys = Json{{"applied", false}};

  /// True if this model is chosen.
  [[nodiscard]] bool applied() const { return keys.at("applied").get<bool>(); }

  /// @throws Error (usage) if `applied` is not there or a key is unknown
  IVADO_INLINE static ModelSection from_json(const Json& json, const std::string& path) {
    if (!json.is_object()) throw detail::value_error(path, json, "an object with the key \"applied\"");
    if (!json.contains("applied"))
      throw usage_error("reading the configuration key " + detail::join_path(path, "applied"), "it is missing",
                        "set it to true to use this model, else to false");
    const bool applied = ivado::from_json<bool>(json["applied"], detail::join_path(path, "applied"));
    for (const auto& key : inspect_keys<ModelParameters>(json, path).unknown)
      throw usage_error(
          "reading the configuration key " + key, "there is no such key",
          "did you mean \"" + detail::nearest(key.substr(path.size() + 1), ivado::keys<ModelParameters>()) + "\"?");
    if (applied) (void)ivado::from_json<ModelParameters>(json, path);
    return {json};
  }
  [[nodiscard]] Json to_json() const { return keys; }
  IVADO_INLINE static Json schema() {
    Json out = ivado::schema<ModelParameters>();
    out["required"] = Json::array({"applied"});
    return out;
  }
  static std::string type_name() { return "object with `applied` and keys of `default_model`"; }
};

// ---------------------------------------------------------------------------------------------------------------------
// Evaluation
// ---------------------------------------------------------------------------------------------------------------------

/// Section `uncertainty`: several predictions of one image by `--test` or `--segment`. On if `n_it` > 0 and one of the
/// other two is true.
struct Uncertainty {
  bool epistemic = false;
  bool aleatoric = false;
  std::int64_t n_it = 0;

  static constexpr auto fields() {
    return ivado::fields(
        field<"epistemic", &Uncertainty::epistemic>("keep dropout on while predicting"),
        field<"aleatoric", &Uncertainty::aleatoric>("apply the random transforms of the training while predicting, and "
                                                    "take them back; those that have no inverse are left out"),
        field<"n_it", &Uncertainty::n_it>("number of predictions of each image, of which the mean is the one that "
                                          "counts: at least 2; 0 for a single plain one",
                                          at_least(0)));
  }
  /// True if uncertainty is to be estimated.
  [[nodiscard]] bool is_on() const noexcept { return n_it > 0 && (epistemic || aleatoric); }
  /// @throws Error (usage) for a single prediction, which has no spread
  IVADO_INLINE void check(const std::string& path) const {
    if (is_on() && n_it == 1)
      throw usage_error("reading the configuration key " + detail::join_path(path, "n_it"),
                        "it is 1, and a single prediction agrees with itself: each structure would be certain",
                        "take at least 2 (10 to 20 are usual), or 0 for none");
  }
};

/// What sizes are counted in.
enum class SizeUnit { voxels, cubic_mm, ratio };

template <>
struct EnumNames<SizeUnit> {
  static constexpr std::array values{std::pair{std::string_view{"vox"}, SizeUnit::voxels},
                                     std::pair{std::string_view{"mm3"}, SizeUnit::cubic_mm},
                                     std::pair{std::string_view{"ratio"}, SizeUnit::ratio}};
};

/// `evaluation_parameters.target_size`: lesions are reported by size.
struct TargetSize {
  OneOrMany<double> thr;
  SizeUnit unit = SizeUnit::voxels;

  static constexpr auto fields() {
    return ivado::fields(
        field<"thr", &TargetSize::thr>(
            "bounds of the size classes of lesions, rising, in `unit`; without any there are no columns by size"),
        field<"unit", &TargetSize::unit>("unit of the bounds: vox or mm3"));
  }
};

/// `evaluation_parameters.overlap`: when a lesion counts as found.
struct OverlapParams {
  double thr = 3;
  SizeUnit unit = SizeUnit::voxels;

  static constexpr auto fields() {
    return ivado::fields(
        field<"thr", &OverlapParams::thr>("least overlap of a lesion that counts as found, in `unit`", at_least(0)),
        field<"unit", &OverlapParams::unit>("unit of the overlap: vox, mm3, or ratio of the lesion"));
  }
};

/// Section `evaluation_parameters`.
struct EvaluationParameters {
  bool object_detection_metrics = true;
  TargetSize target_size;
  OverlapParams overlap;
  std::optional<bool> keypoints;
  double keypoint_distance_mm = 10;
  double surface_tolerance_mm = 1;
  bool as_ivadomed = false;
  Json targetSize = Json::object();
  Json removeSmall = Json::object();

  static constexpr auto fields() {
    return ivado::fields(
        field<"object_detection_metrics", &EvaluationParameters::object_detection_metrics>(
            "report the rates of found and of false lesions (ltpr, lfdr)"),
        field<"target_size", &EvaluationParameters::target_size>("size classes of lesions"),
        field<"overlap", &EvaluationParameters::overlap>("when a lesion counts as found"),
        field<"keypoints", &EvaluationParameters::keypoints>("true: predictions are heat maps, and their peaks are "
                                                             "written and compared as points; null: where the model is "
                                                             "Countception"),
        field<"keypoint_distance_mm", &EvaluationParameters::keypoint_distance_mm>(
            "farther than this a predicted point does not count as the true one, mm", above(0)),
        field<"surface_tolerance_mm", &EvaluationParameters::surface_tolerance_mm>(
            "surfaces no farther apart than this agree (surface_dice), mm", at_least(0)),
        field<"as_ivadomed", &EvaluationParameters::as_ivadomed>(
            "ivadomed's mse (divided by two axes only), lesions of soft predictions (not binarised first), and size "
            "classes with gaps and with names by image"),
        field<"targetSize", &EvaluationParameters::targetSize>("an older name of target_size, which ivadomed ignores",
                                                               no_effect()),
        field<"removeSmall", &EvaluationParameters::removeSmall>(
            "an older place of the step remove_small, which ivadomed ignores", no_effect()));
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// The whole file
// ---------------------------------------------------------------------------------------------------------------------

/// The whole configuration: the keys of `General` at the top, and every section.
///
/// @tparam SplitDataset    Params of the split; plain JSON leaves them to whoever reads them
/// @tparam Transformation  a chain of transforms
/// @tparam Postprocessing  a chain of steps
/// With the types that a program uses, help, schema and key reference are complete:
/// `print_help<Configuration<SplitParams, …>>(std::cout)`.
template <class SplitDataset = Json, class Transformation = Json, class Postprocessing = Json>
struct Configuration : General {
  ObjectDetectionParams object_detection_params;
  Wandb wandb;
  LoaderParameters loader_parameters;
  SplitDataset split_dataset = default_of<SplitDataset>();
  TrainingParameters training_parameters;
  ModelParameters default_model;
  std::optional<ModelSection> Modified3DUNet;
  std::optional<ModelSection> HeMISUnet;
  std::optional<ModelSection> FiLMedUnet;
  std::optional<ModelSection> resnet18;
  std::optional<ModelSection> densenet121;
  std::optional<ModelSection> Countception;
  Uncertainty uncertainty;
  Postprocessing postprocessing = default_of<Postprocessing>();
  EvaluationParameters evaluation_parameters;
  Transformation transformation = default_of<Transformation>();

  static constexpr auto fields() {
    return hana::concat(
        General::fields(),
        ivado::fields(
            field<"object_detection_params", &Configuration::object_detection_params>("cascade behind a detector"),
            field<"wandb", &Configuration::wandb>("tracking by Weights & Biases"),
            field<"loader_parameters", &Configuration::loader_parameters>("data"),
            field<"split_dataset", &Configuration::split_dataset>("training, validation and testing sets"),
            field<"training_parameters", &Configuration::training_parameters>("training"),
            field<"default_model", &Configuration::default_model>("model"),
            field<"Modified3DUNet", &Configuration::Modified3DUNet>("section of the model Modified3DUNet"),
            field<"HeMISUnet", &Configuration::HeMISUnet>("section of the model HeMISUnet"),
            field<"FiLMedUnet", &Configuration::FiLMedUnet>("section of the model FiLMedUnet"),
            field<"resnet18", &Configuration::resnet18>("section of the model resnet18"),
            field<"densenet121", &Configuration::densenet121>("section of the model densenet121"),
            field<"Countception", &Configuration::Countception>("section of the model Countception"),
            field<"uncertainty", &Configuration::uncertainty>("several predictions of one image"),
            field<"postprocessing", &Configuration::postprocessing>(
                "steps on a prediction, done in the order of the file: name and parameters of each"),
            field<"evaluation_parameters", &Configuration::evaluation_parameters>("metrics"),
            field<"transformation", &Configuration::transformation>(
                "transforms of the data, done in the order of the file: name and parameters of each")));
  }

 private:
  template <class T>
  [[nodiscard]] static T default_of() {
    if constexpr (std::is_same_v<T, Json>)
      return Json::object();
    else
      return T{};
  }
};

static_assert(Reflected<Configuration<>>);

}  // namespace ivado
