// The experiments of the profile study of ivadomed as lists of configurations, and what the study published of them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"

namespace ivado::study {

/// Use of the machine in a phase as published, in percent, with the meaning that the columns of the study's files have:
/// their headings of processor and memory of the graphics processor are swapped.
struct PublishedUse {
  int gpu = 0;
  int gpu_traffic = 0;  ///< of its memory: the time in which that was read or written
  int cpu = 0;
  int memory = 0;
};

/// What was published of one configuration: times in seconds, means of three repeats (final/*_sys.csv, *_trn.csv and
/// *_val.csv of github.com/ivadomed-profile-analysis-project/ivadomed-profile-analysis, December 2021; one graphics
/// processor, ivadomed 2.8.0).
struct Published {
  std::string_view experiment;
  std::string_view run;
  double data_s = 0;
  double training_s = 0;
  double post_s = 0;
  double threshold_s = 0;             ///< 0: no threshold analysis
  int training_batches = 0;           ///< of all five epochs
  double batches_s = 0;               ///< sum of their times
  double batch_s = 0;                 ///< their median
  int validation_batches = 0;         ///< of all five epochs
  double validation_s = 0;            ///< sum of their times
  double training_loss = 0;           ///< mean over the last epoch; NaN: not published
  double validation_loss = 0;         ///< mean over the last epoch; NaN: not published
  std::array<PublishedUse, 4> use{};  ///< in DATA, TRAIN, POST, THR
};

/// All that was published. "unet_2", "3dunet_2" and "batch_32" have the names of what was really run, as the numbers of
/// mini-batches tell; the study calls them "unet_2.0" (a factor of 10 in its text) and "batch_256". Its "batch_64" is a
/// second run with batches of 16.
inline constexpr auto published = [] {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  // A configuration on two lines.
  // clang-format off
  return std::to_array<Published>({
    {"segmentation", "unet", 20.28, 49.19, 0.89, 0, 80, 20.5, 0.179, 25, 2.8, -0.200, -0.268,
     {{{2, 11, 39, 81}, {74, 41, 64, 82}, {5, 2, 37, 82}}}},
    {"segmentation", "filmedunet", 19.17, 46.38, 0.47, 0, 80, 21.6, 0.203, 25, 5.0, -0.120, -0.234,
     {{{4, 21, 32, 78}, {94, 35, 60, 85}, {9, 4, 42, 86}}}},
    {"segmentation", "3dunet", 39.30, 32.37, 1.25, 0, 85, 12.1, 0.123, 30, 3.1, -0.269, -0.252,
     {{{5, 13, 35, 72}, {50, 11, 71, 82}, {7, 4, 36, 82}}}},
    {"classification", "resnet", 15.74, 21.08, 1.54, 0, 80, 11.2, 0.099, 25, 2.2, 0.0023, 0.0113,
     {{{0, 5, 18, 88}, {24, 18, 23, 96}, {1, 3, 18, 96}}}},
    {"classification", "densenet", 15.55, 26.17, 8.55, 0, 80, 17.0, 0.172, 25, 3.1, 0.0269, 0.1727,
     {{{1, 3, 19, 86}, {18, 3, 34, 96}, {3, 2, 19, 96}}}},
    {"scale", "unet_0.5", 9.32, 27.51, 0.78, 0, 35, 11.7, 0.161, 15, 1.7, -0.081, -0.081,
     {{{0, 6, 20, 76}, {82, 68, 32, 86}, {3, 2, 27, 87}}}},
    {"scale", "unet_1", 17.58, 43.70, 0.75, 0, 80, 16.7, 0.154, 25, 2.3, -0.166, -0.251,
     {{{9, 15, 18, 76}, {77, 58, 61, 87}, {3, 2, 28, 87}}}},
    {"scale", "unet_2", 38.21, 91.69, 0.82, 0, 155, 31.1, 0.162, 55, 5.4, -0.678, -0.746,
     {{{11, 22, 23, 80}, {88, 58, 35, 90}, {7, 3, 25, 91}}}},
    {"scale", "3dunet_0.5", 17.68, 16.50, 0.97, 0, 40, 7.2, 0.095, 15, 1.1, -0.094, -0.105,
     {{{1, 7, 19, 77}, {60, 14, 54, 87}, {2, 2, 20, 87}}}},
    {"scale", "3dunet_1", 34.67, 27.89, 1.01, 0, 85, 9.8, 0.095, 30, 2.3, -0.291, -0.281,
     {{{2, 10, 20, 77}, {57, 12, 54, 87}, {3, 3, 21, 87}}}},
    {"scale", "3dunet_2", 72.68, 49.16, 1.07, 0, 175, 20.8, 0.099, 60, 4.8, -0.749, -0.780,
     {{{11, 21, 20, 76}, {58, 14, 53, 86}, {4, 2, 25, 86}}}},
    {"scale", "resnet_0.5", 11.36, 18.04, 1.66, 0, 35, 8.7, 0.116, 15, 1.7, 0.0071, 0.0099,
     {{{4, 6, 49, 88}, {9, 6, 67, 96}, {0, 1, 43, 95}}}},
    {"scale", "resnet_1", 17.42, 20.41, 1.58, 0, 80, 10.6, 0.113, 25, 2.5, 0.0017, 0.0019,
     {{{2, 7, 34, 85}, {18, 8, 34, 94}, {2, 2, 30, 95}}}},
    {"scale", "resnet_10", 203.35, 163.10, 1.62, 0, 835, 95.3, 0.111, 300, 28.4, 0.0001, 0.0001,
     {{{6, 16, 32, 90}, {16, 7, 71, 90}, {6, 4, 40, 90}}}},
    {"threshold", "unet_0.01", 16.86, 42.04, 0.85, 436.05, 80, 16.0, 0.149, 25, 2.2, nan, nan,
     {{{0, 12, 14, 72}, {73, 55, 57, 82}, {2, 2, 20, 83}, {4, 15, 16, 82}}}},
    {"threshold", "unet_0.1", 16.90, 42.00, 0.84, 59.03, 80, 16.1, 0.150, 25, 2.2, nan, nan,
     {{{0, 13, 15, 73}, {82, 63, 60, 83}, {2, 2, 20, 84}, {2, 14, 18, 83}}}},
    {"transfer", "unet", 19.11, 48.15, 0.92, 0, 80, 19.6, 0.189, 25, 2.9, -0.203, -0.293,
     {{{14, 21, 34, 75}, {67, 35, 53, 86}, {8, 4, 38, 86}}}},
    {"transfer", "unet25", 19.08, 43.47, 0.85, 0, 80, 18.2, 0.187, 25, 3.1, -0.358, -0.472,
     {{{21, 24, 37, 76}, {46, 22, 65, 86}, {8, 5, 42, 86}}}},
    {"transfer", "unet50", 20.50, 48.04, 0.96, 0, 80, 19.6, 0.193, 25, 3.8, -0.428, -0.512,
     {{{19, 24, 40, 78}, {53, 37, 70, 88}, {8, 3, 45, 89}}}},
    {"transfer", "unet75", 19.85, 48.31, 0.97, 0, 80, 20.1, 0.193, 25, 3.2, -0.463, -0.545,
     {{{22, 29, 38, 78}, {67, 34, 62, 88}, {8, 4, 47, 88}}}},
    {"batch", "batch_16", 19.06, 47.73, 0.92, 0, 90, 19.3, 0.171, 25, 3.5, -0.238, -0.327,
     {{{12, 21, 33, 78}, {71, 36, 74, 88}, {6, 3, 43, 88}}}},
    {"batch", "batch_32", 18.02, 48.30, 0.80, 0, 45, 17.7, 0.222, 15, 2.7, -0.113, -0.160,
     {{{18, 20, 25, 79}, {94, 59, 21, 91}, {8, 5, 25, 91}}}}});
  // clang-format on
}();

/// What was published of a configuration, if anything was.
[[nodiscard]] constexpr const Published* published_of(std::string_view experiment, std::string_view run) noexcept {
  for (const auto& one : published)
    if (one.experiment == experiment && one.run == run) return &one;
  return nullptr;
}

/// What the experiments have in common.
struct Settings {
  int epochs = 5;
  std::int64_t batch_size = 18;
  int unet_filters = 64;
  int unet_3d_filters = 8;
  std::vector<std::string> contrasts{"T1w", "T2w", "T2star"};
  std::string target_suffix = "_seg-manual";
  std::vector<double> unet_scales{0.5, 1, 2};
  std::vector<double> resnet_scales{0.5, 1, 10};
  int uncertainty_runs = 20;  ///< predictions of each image, in the experiment on uncertainty
  // Of the experiment on Countception: a slice of 64 × 64 voxels takes 158 GFLOP forward, 473 in a step of training.
  std::int64_t countception_batch = 18;
  int countception_side = 64;                         ///< of its slices, in voxels
  double countception_scale = 1;                      ///< of its data
  std::vector<std::string> countception_contrasts{};  ///< empty: all
};

/// The settings of `--reduced`, which two cores finish in half an hour. Countception makes steps of one small slice: at
/// the study's size two cores take over a minute a step.
[[nodiscard]] inline Settings reduced_settings() {
  Settings out;
  out.epochs = 3;
  out.unet_filters = 8;
  out.unet_3d_filters = 4;
  out.uncertainty_runs = 5;
  out.countception_batch = 1;
  out.countception_side = 32;
  return out;
}

/// One configuration of an experiment: a training in a process of its own.
struct Run {
  std::string name;
  Json configuration;                           ///< without paths
  double scale = 1;                             ///< of the data
  std::optional<double> threshold_increment{};  ///< a threshold analysis follows
  std::string starts_from{};                    ///< the run of the experiment whose model it goes on with
  bool is_tested = false;                       ///< a test follows, in a process of its own
};

/// An experiment: configurations that are compared.
struct Experiment {
  std::string name;
  std::string title;
  std::string question;  ///< what it asks
  std::vector<Run> runs;
};

namespace detail {

[[nodiscard]] inline Json training_only(Json parameters) {
  parameters["dataset_type"] = {"training"};
  return parameters;
}
[[nodiscard]] inline Json of_image_and_label(Json parameters) {
  parameters["applied_to"] = {"im", "gt"};
  return parameters;
}
[[nodiscard]] inline Json elastic() { return {{"alpha_range", {28.0, 30.0}}, {"sigma_range", {3.5, 4.5}}, {"p", 0.1}}; }
[[nodiscard]] inline Json resample() { return {{"wspace", 0.75}, {"hspace", 0.75}, {"dspace", 1}}; }

/// What all configurations share.
[[nodiscard]] inline Json common(const Settings& settings) {
  return {{"command", "train"},
          {"model_name", "model"},
          {"loader_parameters",
           {{"target_suffix", {settings.target_suffix}},
            {"contrast_params", {{"training_validation", settings.contrasts}, {"testing", settings.contrasts}}},
            {"slice_filter_params", {{"filter_empty_mask", false}, {"filter_empty_input", true}}},
            {"slice_axis", "axial"}}},
          {"split_dataset",
           {{"random_seed", 6}, {"split_method", "participant_id"}, {"train_fraction", 0.6}, {"test_fraction", 0.2}}},
          {"training_parameters",
           {{"batch_size", settings.batch_size},
            {"loss", {{"name", "DiceLoss"}}},
            {"training_time",
             {{"num_epochs", settings.epochs}, {"early_stopping_patience", 50}, {"early_stopping_epsilon", 0.001}}},
            {"scheduler", {{"initial_lr", 0.001}, {"lr_scheduler", {{"name", "CosineAnnealingLR"}}}}}}},
          {"postprocessing",
           {{"keep_largest", Json::object()},
            {"binarize_prediction", {{"thr", 0.5}}},
            {"fill_holes", Json::object()},
            {"remove_small", {{"unit", "vox"}, {"thr", 3}}}}}};
}

/// The study's 2-D U-Net.
[[nodiscard]] inline Json unet(const Settings& settings) {
  Json out = common(settings);
  out["default_model"] = {{"name", "Unet"},     {"dropout_rate", 0.3},
                          {"bn_momentum", 0.1}, {"final_activation", "sigmoid"},
                          {"depth", 3},         {"n_filters", settings.unet_filters}};
  out["transformation"] = {
      {"Resample", resample()},
      {"CenterCrop", {{"size", {128, 128}}}},
      {"RandomAffine",
       of_image_and_label(training_only({{"degrees", 5}, {"scale", {0.1, 0.1}}, {"translate", {0.03, 0.03}}}))},
      {"ElasticTransform", of_image_and_label(training_only(elastic()))},
      {"NormalizeInstance", {{"applied_to", {"im"}}}}};
  return out;
}
/// Its U-Net that is told the contrast.
[[nodiscard]] inline Json filmed_unet(const Settings& settings) {
  Json out = unet(settings);
  out["FiLMedUnet"] = {{"applied", true}, {"metadata", "contrasts"}, {"film_layers", {0, 1, 0, 0, 0, 0, 0, 0}}};
  return out;
}
/// Its 3-D U-Net: one sub-volume an image, batches of one.
[[nodiscard]] inline Json unet_3d(const Settings& settings) {
  Json out = unet(settings);
  out["default_model"].erase("n_filters");
  out["training_parameters"]["batch_size"] = 1;
  out["Modified3DUNet"] = {{"applied", true},
                           {"length_3D", {128, 128, 16}},
                           {"stride_3D", {128, 128, 16}},
                           {"attention", false},
                           {"n_filters", settings.unet_3d_filters}};
  out["transformation"] = {
      {"Resample", resample()},
      {"CenterCrop", {{"size", {128, 128, 16}}}},
      {"RandomAffine",
       of_image_and_label(training_only({{"degrees", 5}, {"scale", {0.1, 0.1, 0.1}}, {"translate", {0.03, 0.03}}}))},
      {"NormalizeInstance", {{"applied_to", {"im"}}}}};
  return out;
}
/// Its classifiers: whether there is cord in a slice.
/// @param section  "resnet18" or "densenet121"
[[nodiscard]] inline Json classifier(const Settings& settings, const std::string& section) {
  Json out = common(settings);
  out["training_parameters"]["loss"] = {{"name", "BinaryCrossEntropyLoss"}};
  out["training_parameters"]["scheduler"]["lr_scheduler"] = {
      {"name", "CyclicLR"}, {"base_lr", 0.0001}, {"max_lr", 0.001}};
  out["postprocessing"] = Json::object();
  out[section] = {{"applied", true}};
  const Json image{"im"};
  Json resampled = resample();
  resampled["applied_to"] = {"im", "roi"};
  // There is no region of interest: ivadomed crops about the image's own intensities.
  const Json crop{{"size", {48, 48}}, {"as_ivadomed", true}, {"applied_to", {"im", "roi"}}};
  Json elastic_of_image = training_only(elastic());
  elastic_of_image["applied_to"] = image;
  out["transformation"] = {{"Resample", resampled},
                           {"ROICrop", crop},
                           {"RandomAffine", training_only({{"translate", {0.03, 0.03}}, {"applied_to", image}})},
                           {"ElasticTransform", elastic_of_image},
                           {"NormalizeInstance", {{"applied_to", image}}}};
  return out;
}

/// 0.5 as "0.5", 10 as "10".
[[nodiscard]] inline std::string scale_name(double scale) { return ivado::detail::text(scale); }

}  // namespace detail

/// The names of all experiments: the study's six, and the three that it names as future work.
inline constexpr auto experiment_names =
    std::to_array<std::string_view>({"segmentation", "classification", "scale", "threshold", "transfer", "batch",
                                     "uncertainty", "mixup", "countception"});

/// An experiment by its name.
/// @throws Error (usage) if there is none of that name
[[nodiscard]] inline Experiment experiment(std::string_view name, const Settings& settings) {
  using namespace detail;
  if (name == "segmentation")
    return {"segmentation",
            "Models of segmentation",
            "What do conditioning by the contrast (FiLM) and the third dimension cost?",
            {{"unet", unet(settings)}, {"filmedunet", filmed_unet(settings)}, {"3dunet", unet_3d(settings)}}};
  if (name == "classification")
    return {"classification",
            "Models of classification",
            "Where do ResNet and DenseNet differ?",
            {{"resnet", classifier(settings, "resnet18")}, {"densenet", classifier(settings, "densenet121")}}};
  if (name == "scale") {
    Experiment out{"scale", "More data", "Does time grow with the data, and no faster?", {}};
    for (const double scale : settings.unet_scales)
      out.runs.push_back({"unet_" + scale_name(scale), unet(settings), scale});
    for (const double scale : settings.unet_scales)
      out.runs.push_back({"3dunet_" + scale_name(scale), unet_3d(settings), scale});
    for (const double scale : settings.resnet_scales)
      out.runs.push_back({"resnet_" + scale_name(scale), classifier(settings, "resnet18"), scale});
    return out;
  }
  if (name == "threshold") {
    Experiment out{"threshold", "Threshold analysis", "What does a step ten times finer cost?", {}};
    for (const double increment : {0.1, 0.01})
      out.runs.push_back({"unet_" + scale_name(increment), unet(settings), 1, increment});
    return out;
  }
  if (name == "transfer") {
    Experiment out{"transfer", "Transfer learning", "Does freezing layers save time?", {{"unet", unet(settings)}}};
    for (const double fraction : {0.25, 0.5, 0.75}) {
      Json configuration = unet(settings);
      configuration["training_parameters"]["transfer_learning"] = {{"retrain_fraction", fraction}, {"reset", false}};
      out.runs.push_back(
          {"unet" + std::to_string(static_cast<int>(100 * fraction)), configuration, 1, std::nullopt, "unet"});
    }
    return out;
  }
  if (name == "batch") {
    Experiment out{"batch", "Batch size", "What does a larger batch change?", {}};
    for (const int size : {16, 32}) {
      Json configuration = unet(settings);
      configuration["training_parameters"]["batch_size"] = size;
      out.runs.push_back({"batch_" + std::to_string(size), configuration});
    }
    return out;
  }
  if (name == "uncertainty") {
    Experiment out{"uncertainty", "Uncertainty", "What do several predictions of each image cost?", {}};
    for (const auto& [run, epistemic, aleatoric] :
         {std::tuple{"none", false, false}, {"epistemic", true, false}, {"aleatoric", false, true}}) {
      Json configuration = unet(settings);
      const bool is_on = epistemic || aleatoric;
      configuration["uncertainty"] = {
          {"epistemic", epistemic}, {"aleatoric", aleatoric}, {"n_it", is_on ? settings.uncertainty_runs : 0}};
      Run one{run, configuration};
      one.is_tested = true;
      out.runs.push_back(std::move(one));
    }
    return out;
  }
  if (name == "mixup") {
    Experiment out{"mixup", "Mixup", "Does mixing pairs of samples cost time?", {{"none", unet(settings)}}};
    Json configuration = unet(settings);
    configuration["training_parameters"]["mixup_alpha"] = 0.4;
    out.runs.push_back({"mixup", configuration});
    return out;
  }
  if (name == "countception") {
    // The network that counts, on the labels of the segmentation: its cost is that of any label.
    Json small = unet(settings);
    small["training_parameters"]["batch_size"] = settings.countception_batch;
    small["transformation"]["CenterCrop"]["size"] = {settings.countception_side, settings.countception_side};
    if (!settings.countception_contrasts.empty())
      small["loader_parameters"]["contrast_params"] = {{"training_validation", settings.countception_contrasts},
                                                       {"testing", settings.countception_contrasts}};
    Json configuration = small;
    configuration["Countception"] = {{"applied", true}};
    configuration["training_parameters"]["loss"] = {{"name", "L2loss"}};
    return {
        "countception",
        "Countception",
        "What does the network for key points cost, beside a U-Net on slices of the same size?",
        {{"unet", small, settings.countception_scale}, {"countception", configuration, settings.countception_scale}}};
  }
  std::vector<std::string> all(experiment_names.begin(), experiment_names.end());
  std::string list;
  for (const auto& one : all) list += (list.empty() ? "" : ", ") + one;
  throw usage_error(
      "ivado study", "there is no experiment \"" + std::string(name) + "\"",
      "did you mean \"" + ivado::detail::nearest(std::string(name), all) + "\"? There are " + list + ", and all");
}

}  // namespace ivado::study
