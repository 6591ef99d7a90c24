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

/// What was published of one configuration: times in seconds, means of three repeats (final/*_sys.csv, *_trn.csv and
/// *_val.csv of github.com/ivadomed-profile-analysis-project/ivadomed-profile-analysis, December 2021; one graphics
/// processor, ivadomed 2.8.0).
struct Published {
  std::string_view experiment;
  std::string_view run;
  double data_s = 0;
  double training_s = 0;
  double post_s = 0;
  double threshold_s = 0;    ///< 0: no threshold analysis
  int training_batches = 0;  ///< of all five epochs
  double batches_s = 0;      ///< sum of their times
};

/// All that was published. The study's names "unet_10" and "batch_64", "batch_256" are those of what was really run: its
/// numbers of mini-batches say factor 2, and batches of 16 and 32.
inline constexpr auto published =
    std::to_array<Published>({{"segmentation", "unet", 20.28, 49.19, 0.89, 0, 80, 20.5},
                              {"segmentation", "filmedunet", 19.17, 46.38, 0.47, 0, 80, 21.6},
                              {"segmentation", "3dunet", 39.30, 32.37, 1.25, 0, 85, 12.1},
                              {"classification", "resnet", 15.74, 21.08, 1.54, 0, 80, 11.2},
                              {"classification", "densenet", 15.55, 26.17, 8.55, 0, 80, 17.0},
                              {"scale", "unet_0.5", 9.32, 27.51, 0.78, 0, 35, 11.7},
                              {"scale", "unet_1", 17.58, 43.70, 0.75, 0, 80, 16.7},
                              {"scale", "unet_2", 38.21, 91.69, 0.82, 0, 155, 31.1},
                              {"scale", "3dunet_0.5", 17.68, 16.50, 0.97, 0, 40, 7.2},
                              {"scale", "3dunet_1", 34.67, 27.89, 1.01, 0, 85, 9.8},
                              {"scale", "3dunet_2", 72.68, 49.16, 1.07, 0, 175, 20.8},
                              {"scale", "resnet_0.5", 11.36, 18.04, 1.66, 0, 35, 8.7},
                              {"scale", "resnet_1", 17.42, 20.41, 1.58, 0, 80, 10.6},
                              {"scale", "resnet_10", 203.35, 163.10, 1.62, 0, 835, 95.3},
                              {"threshold", "unet_0.01", 16.86, 42.04, 0.85, 436.05, 80, 16.0},
                              {"threshold", "unet_0.1", 16.90, 42.00, 0.84, 59.03, 80, 16.1},
                              {"transfer", "unet", 19.11, 48.15, 0.92, 0, 80, 19.6},
                              {"transfer", "unet25", 19.08, 43.47, 0.85, 0, 80, 18.2},
                              {"transfer", "unet50", 20.50, 48.04, 0.96, 0, 80, 19.6},
                              {"transfer", "unet75", 19.85, 48.31, 0.97, 0, 80, 20.1},
                              {"batch", "batch_16", 19.06, 47.73, 0.92, 0, 90, 19.3},
                              {"batch", "batch_32", 18.02, 48.30, 0.80, 0, 45, 17.7}});

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
};

/// The settings of `--reduced`, which two cores finish in half an hour.
[[nodiscard]] inline Settings reduced_settings() {
  Settings out;
  out.epochs = 3;
  out.unet_filters = 8;
  out.unet_3d_filters = 4;
  out.uncertainty_runs = 5;
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
  Json elastic_of_image = training_only(elastic());
  elastic_of_image["applied_to"] = image;
  out["transformation"] = {{"Resample", resampled},
                           {"ROICrop", {{"size", {48, 48}}, {"applied_to", {"im", "roi"}}}},
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
    Json configuration = unet(settings);
    configuration["Countception"] = {{"applied", true}};
    configuration["training_parameters"]["loss"] = {{"name", "L2loss"}};
    configuration["transformation"]["CenterCrop"]["size"] = {64, 64};
    Json unet_of_same_size = unet(settings);
    unet_of_same_size["transformation"]["CenterCrop"]["size"] = {64, 64};
    return {"countception",
            "Countception",
            "What does the network for key points cost, beside a U-Net on slices of the same size?",
            {{"unet", unet_of_same_size}, {"countception", configuration}}};
  }
  std::vector<std::string> all(experiment_names.begin(), experiment_names.end());
  std::string list;
  for (const auto& one : all) list += (list.empty() ? "" : ", ") + one;
  throw usage_error(
      "ivado study", "there is no experiment \"" + std::string(name) + "\"",
      "did you mean \"" + ivado::detail::nearest(std::string(name), all) + "\"? There are " + list + ", and all");
}

}  // namespace ivado::study
