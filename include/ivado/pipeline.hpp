// Pipeline: the five policies of an experiment put together, and ivado::main, which makes a program of it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "command_line.hpp"
#include "config/ivadomed.hpp"
#include "config/sections.hpp"
#include "data/atomic_file.hpp"
#include "data/batch_loader.hpp"
#include "data/bids_loader.hpp"
#include "data/digest.hpp"
#include "data/file_cases.hpp"
#include "data/metadata_encoder.hpp"
#include "data/slice_dataset.hpp"
#include "data/split.hpp"
#include "data/volume_io.hpp"
#include "infer/detector.hpp"
#include "infer/mirrored.hpp"
#include "infer/patch_choice.hpp"
#include "infer/predict.hpp"
#include "infer/slice_classifier.hpp"
#include "infer/uncertainty.hpp"
#include "inline.hpp"
#include "interop/plot_threshold.hpp"
#include "interop/python_checkpoint.hpp"
#include "interop/safetensors.hpp"
#include "loss/loss.hpp"
#include "metric/classification.hpp"
#include "metric/evaluation.hpp"
#include "metric/keypoints.hpp"
#include "metric/metric.hpp"
#include "metric/results.hpp"
#include "metric/threshold_analysis.hpp"
#include "model/any_model.hpp"
#include "model/net.hpp"
#include "postprocess/binarize.hpp"
#include "postprocess/concept.hpp"
#include "postprocess/keypoints.hpp"
#include "profile/profiler.hpp"
#include "runtime.hpp"
#include "train/bf16.hpp"
#include "train/checkpoint.hpp"
#include "train/film.hpp"
#include "train/followed_samples.hpp"
#include "train/log_files.hpp"
#include "train/logger.hpp"
#include "train/loggers.hpp"
#include "train/optimizer.hpp"
#include "train/sample_pictures.hpp"
#include "train/scheduler.hpp"
#include "train/tensorboard_logger.hpp"
#include "train/trainer.hpp"
#include "train/transfer.hpp"
#include "uncertainty/write_maps.hpp"
#include "version.hpp"

namespace ivado {

/// Writes a trained model in another format, beside its safetensors.
///
/// Requirements: `extension` (".onnx"); a call with the path, the recorded graph, the weights and what is to be said of
/// the model. Models: OnnxExporter (interop/onnx.hpp). A pipeline has none unless it is named.
template <class T>
concept Exporter = std::default_initializable<T> &&
    requires(const T& exporter, const std::string& path, const graph::Graph& graph, const nn::Weights& weights) {
  { T::extension } -> std::convertible_to<std::string_view>;
  exporter(path, graph, weights);
};

/// Exports nothing.
struct NoExporter {
  static constexpr std::string_view extension = "";
  void operator()(const std::string&, const graph::Graph&, const nn::Weights&) const noexcept {}
};

static_assert(Exporter<NoExporter>);

namespace detail {

/// The first of `Policies` for which `Is` holds, else `Default`.
template <template <class> class Is, class Default, class... Policies>
struct FirstPolicy {
  using type = Default;
};
template <template <class> class Is, class Default, class Policy, class... Policies>
struct FirstPolicy<Is, Default, Policy, Policies...>
    : std::conditional_t<Is<Policy>::value, std::type_identity<Policy>, FirstPolicy<Is, Default, Policies...>> {};

template <class T>
using IsOptimizer = std::bool_constant<Optimizer<T>>;
template <class T>
using IsScheduler = std::bool_constant<Scheduler<T>>;
template <class T>
using IsProfiler = std::bool_constant<Profiler<T>>;
template <class T>
using IsLogger = std::bool_constant<Logger<T>>;
template <class T>
using IsExporter = std::bool_constant<Exporter<T>>;
template <class T>
using IsFilm = std::bool_constant<Film<T>>;
template <class T>
using IsDetector = std::bool_constant<Detector<T>>;
template <class T>
using IsBackend = std::bool_constant<Backend<T>>;

template <class T>
consteval void explain_loader() {
  static_assert(
      requires {
        typename T::Params;
        T::dimension;
        T::channels;
        T::classes;
      },
      "ivado: the first policy of a Pipeline is a Loader with `Params`, `dimension`, `channels` and `classes`, such as "
      "BidsLoader<Slices<Axis::axial>>");
}
template <class T>
consteval void explain_augment() {
  static_assert(
      requires {
        typename T::Params;
        typename T::History;
      },
      "ivado: the second policy of a Pipeline is a chain of transforms, such as Compose<Resample, CenterCrop>");
}
template <class T>
consteval void explain_model() {
  static_assert(Architecture<T> || TorchModule<T>,
                "ivado: a Model needs `parameters()` and `template <class On> auto forward(On& on, const typename "
                "On::Value& x) const`, or is a torch::nn::Module with "
                "`at::Tensor forward(at::Tensor)`");
  static_assert(
      requires {
        T::dimension;
        T::in_channels;
        T::classes;
      },
      "ivado: a Model needs `static constexpr int dimension`, `in_channels` and `classes` (ivado::dynamic where they "
      "are open)");
}
template <class T>
consteval void explain_loss() {
  static_assert(
      requires { typename T::Params; }, "ivado: a Loss needs a nested `struct Params`, empty if it has none");
  static_assert(
      requires { T::name; }, "ivado: a Loss needs `static constexpr std::string_view name`");
  static_assert(
      requires(const T& l, const at::Tensor& t) {
        { l(t, t) } -> std::same_as<at::Tensor>;
      },
      "ivado: a Loss needs `at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const`");
}
template <class T>
consteval void explain_postprocess() {
  static_assert(
      requires { typename T::Params; }, "ivado: a PostProc needs a nested `Params`, as PostProcess<...> has");
  static_assert(
      requires(const T& p, Prediction& prediction) { p(prediction); },
      "ivado: a PostProc needs `void operator()(Prediction&) const`, as PostProcess<...> has");
}
template <class Loader, class Model>
consteval void explain_fit() {
  if constexpr (requires { Model::template explain_dimension<Loader::dimension>(); }) {
    Model::template explain_dimension<Loader::dimension>();
  } else {
    static_assert(!(Model::dimension == 3 && Loader::dimension == 2),
                  "ivado: a 3-D model needs volumes: use Subvolumes<...>, not Slices<...>");
    static_assert(!(Model::dimension == 2 && Loader::dimension == 3),
                  "ivado: a 2-D model needs slices: use Slices<...>, not Subvolumes<...>");
  }
  static_assert(
      Loader::channels == dynamic || Model::in_channels == dynamic || Loader::channels == Model::in_channels,
      "ivado: loader and model differ in their channels: give the loader Channels<N> and the model N input channels");
  static_assert(Loader::classes == dynamic || Model::classes == dynamic || Loader::classes == Model::classes,
                "ivado: loader and model differ in their classes: give the loader Classes<N> and the model N classes");
  static_assert(!(condition_of<Model>() == ConditionKind::metadata && !loader_gives_metadata<Loader>),
                "ivado: a FiLM model needs metadata: give the loader the option Metadata");
  static_assert(!(condition_of<Model>() == ConditionKind::presence && !loader_gives_presence<Loader>),
                "ivado: a HeMIS model needs a loader of several contrasts: give it Channels<N> and MissingContrasts");
}
template <class Model, class LossFunction>
consteval void explain_task() {
  static_assert(tasks_of<Model>().meets(tasks_of<LossFunction>()),
                "ivado: model and loss have no task in common: take a loss for what the model predicts, such as "
                "BinaryCrossEntropyLoss for classification, L2loss for key points, DiceLoss for segmentation");
}

/// Calls `visit` with the type of each element of a chain or a choice (`Compose<…>`, `LossChoice<…>`); with the type itself if
/// it is none.
template <template <class...> class Chain, class... Elements, class Visit>
void for_each_element(std::type_identity<Chain<Elements...>>, const Visit& visit) {
  (visit(std::type_identity<Elements>{}), ...);
}
template <class One, class Visit>
void for_each_element(std::type_identity<One> one, const Visit& visit) {
  visit(one);
}

/// A number with a fixed count of decimals.
[[nodiscard]] IVADO_INLINE std::string fixed(double value, int decimals) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(decimals) << value;
  return out.str();
}

}  // namespace detail

/// What a test reached.
struct TestSummary {
  Task task = Task::segmentation;
  std::vector<EvaluationRow> rows;                  ///< one an image; none for a classifier
  std::vector<double> mean_dice;                    ///< one a class, over the images where it is defined
  ClassificationSummary classification;             ///< of a classifier
  std::map<std::int64_t, KeypointScore> keypoints;  ///< by class over all images, of a model of key points
  std::string csv;                                  ///< path of the table
  std::string predictions;                          ///< folder of the predictions
};

/// An experiment: five policies, and any of Optimizer, Scheduler, Profiler, Logger, Exporter, Film, Detector and Backend
/// behind them in any order.
///
/// @tparam DataLoader  where samples come from: `BidsLoader<Slices<Axis::axial>>`
/// @tparam Augment     the chain of transforms: `Compose<Resample, CenterCrop, NormalizeInstance>`
/// @tparam Model       an architecture of ivado or a torch::nn::Module
/// @tparam LossFunction  what is minimised
/// @tparam PostProc    what is done to a prediction: `PostProcess<Binarize>`
/// @tparam Rest        by concept; the defaults are Adam, CosineAnnealing, NoProfiler, ConsoleLogger, NoExporter, NoFilm,
///                NoDetector, LibTorchBackend
///
/// What does not fit together does not compile, and says why in one sentence that begins with "ivado:".
/// Example: examples/segment_2d.cpp
template <class DataLoader, class Augment, class Model, class LossFunction, class PostProc, class... Rest>
class Pipeline {
  static constexpr bool explained = [] {
    detail::explain_loader<DataLoader>();
    detail::explain_augment<Augment>();
    detail::explain_model<Model>();
    detail::explain_loss<LossFunction>();
    detail::explain_postprocess<PostProc>();
    detail::explain_fit<DataLoader, Model>();
    detail::explain_task<Model, LossFunction>();
    static_assert(((Optimizer<Rest> || Scheduler<Rest> || Profiler<Rest> || Logger<Rest> || Exporter<Rest> ||
                    Film<Rest> || Detector<Rest> || Backend<Rest>)&&...),
                  "ivado: behind its five policies a Pipeline takes an Optimizer, a Scheduler, a Profiler, a Logger, "
                  "an Exporter, a Film, a Detector and a Backend; one of those given is none of them");
    return true;
  }();
  static_assert(explained);

 public:
  using OptimizerPolicy = typename detail::FirstPolicy<detail::IsOptimizer, Adam, Rest...>::type;
  using SchedulerPolicy = typename detail::FirstPolicy<detail::IsScheduler, CosineAnnealing, Rest...>::type;
  using ProfilerPolicy = typename detail::FirstPolicy<detail::IsProfiler, NoProfiler, Rest...>::type;
  using LoggerPolicy = typename detail::FirstPolicy<detail::IsLogger,
                                                    Loggers<ConsoleLogger, LogFiles, TensorBoardLogger>, Rest...>::type;
  using ExporterPolicy = typename detail::FirstPolicy<detail::IsExporter, NoExporter, Rest...>::type;
  using FilmPolicy = typename detail::FirstPolicy<detail::IsFilm, NoFilm, Rest...>::type;
  using DetectorPolicy = typename detail::FirstPolicy<detail::IsDetector, NoDetector, Rest...>::type;
  using BackendPolicy = typename detail::FirstPolicy<detail::IsBackend, LibTorchBackend, Rest...>::type;
  static constexpr int dimension = DataLoader::dimension;  ///< spatial axes of a sample
  /// The whole configuration: ivadomed's tree, with the sections of this pipeline's policies.
  using Params = Configuration<SplitParams, typename Augment::Params, typename PostProc::Params>;

  /// ivadomed's defaults, and what the types fix.
  [[nodiscard]] static Params defaults() {
    Params params;
    if constexpr (requires { Model::name; })
      if (Model::name != "any") params.default_model.name = std::string(Model::name);
    if constexpr (requires { Model::depth; })
      if (Model::depth != dynamic) params.default_model.depth = Model::depth;
    if constexpr (Architecture<Model>) params.default_model.is_2d = Model::dimension == 2;
    if (LossFunction::name != "any") {
      params.training_parameters.loss = to_json(typename LossFunction::Params{});
      params.training_parameters.loss["name"] = std::string(LossFunction::name);
    }
    if constexpr (requires { DataLoader::axis; }) params.loader_parameters.slice_axis = DataLoader::axis;
    return params;
  }

  /// Calls `visit(std::type_identity<Params>, path)` for the parameters of each policy that has keys of its own in the
  /// configuration: transforms, losses and post-processing steps.
  template <class Visit>
  static void for_each_policy(const Visit& visit) {
    const auto under = [&](const std::string& before, const std::string& behind) {
      return [&visit, before, behind]<class Policy>(std::type_identity<Policy>) {
        visit(std::type_identity<typename Policy::Params>{}, before + std::string(Policy::name) + behind);
      };
    };
    detail::for_each_element(std::type_identity<Augment>{}, under("transformation.", ""));
    detail::for_each_element(std::type_identity<LossFunction>{}, under("training_parameters.loss[", "]"));
    detail::for_each_element(std::type_identity<PostProc>{}, under("postprocessing.", ""));
  }
  /// The reference of all configuration keys of this pipeline as a Markdown table.
  [[nodiscard]] static std::string key_reference() {
    std::string out = ivado::key_reference<Params>();
    for_each_policy([&]<class Policy>(std::type_identity<Policy>, const std::string& path) {
      const std::string table = ivado::key_reference<Policy>(path);
      out += table.substr(table.find('\n', table.find('\n') + 1) + 1);  // without the head
    });
    return out;
  }

  /// A file of the user's over `base`, checked.
  /// @param user      ivadomed's JSON, or an experiment's own
  /// @param warnings  gets a line that lists the keys without effect, if there are any
  /// @throws Error (usage) for unknown keys, values that cannot be, or parts that do not exist
  [[nodiscard]] static Params configure(const Params& base, const Json& user, std::vector<std::string>& warnings) {
    const std::vector<std::string> silent = check_keys<Params>(user);
    if (!silent.empty()) warnings.push_back(warning_without_effect(silent));
    Json tree = to_json(base);
    for (const char* section : {"transformation", "postprocessing"}) check_order(tree, user, section);
    tree = merge(std::move(tree), user);
    update_old_split(tree);
    return configuration_of<Params>(tree);
  }

  /// @param params   as `configure` gives them, or made by hand from `defaults()`
  /// @param runtime  of `start_runtime`
  Pipeline(Params params, Runtime runtime)
      : params_(std::move(params)),
        runtime_(std::move(runtime)),
        section_(from_json<ModelParameters>(resolve_model(to_json(params_), params_.command), "default_model")),
        traits_(traits()),
        task_(task()),
        loader_(make_loader()),
        augment_(begin_cascade().transformation),
        postprocess_(params_.postprocessing) {
    (void)size_ranges(params_.evaluation_parameters.target_size, 1);  // refused now, not after hours
    check_task();
    try_postprocessing();
    std::error_code fault;
    std::filesystem::create_directories(params_.path_output, fault);
    if (!std::filesystem::is_directory(params_.path_output))
      throw usage_error("making the output folder " + params_.path_output, fault.message(),
                        "choose another path_output");
    if (!params_.log_file.empty()) logger_.open(output(params_.log_file));
    logger_.info(std::string("ivado ") + version + ", seed " + std::to_string(params_.seed));
    for (const auto& note : runtime_.notes)
      note.starts_with("warning: ") ? logger_.warning(note.substr(9)) : logger_.info(note);
  }

  /// Trains, validates after each epoch, and keeps the best and the last state: `best_model.safetensors` and
  /// `final_model.safetensors` in the output folder, and the best one as the package `<model_name>/`.
  /// @throws Error (data) if nothing is left to train on
  ///
  /// The whole state of the training is in `checkpoint.safetensors` after each epoch.
  /// @param resume  go on with that state, bit for bit as if there had been no interruption, on the saved split
  ///
  /// What a killed run left half-written in the output folder is removed first. The weights of an earlier training go to a
  /// folder `earlier_N` in it once the new one is about to begin, not before all that it needs has been found good.
  FitSummary train(bool resume = false) {
    std::exception_ptr failed_export;
    FitSummary summary = train(resume, failed_export);
    if (failed_export) std::rethrow_exception(failed_export);
    return summary;
  }
  /// As above, for those who have more to do with the weights where only their export failed.
  /// @param failed_export  takes what the exporter threw, when all else is done
  FitSummary train(bool resume, std::exception_ptr& failed_export) {
    profiler_.enter(Phase::data);
    check_training();
    for (const auto& folder : {std::string(), params_.model_name}) tidy(folder);
    auto [cases, split] = split_data(resume ? SplitSource::resumed : SplitSource::drawn,
                                     params_.loader_parameters.contrast_params.training_validation);
    if (takes_metadata()) {
      encoder_ = MetadataEncoder::fit(chosen(cases, split.training), section_.metadata.value_or(""));
      logger_.info(encoder_->describe());
      set_conditions(cases);
    }
    auto training_set = make_set(chosen(cases, split.training), Stage::training);
    auto validation_set = make_set(chosen(cases, split.validation), Stage::validation);
    if (training_set->size() == 0)
      throw data_error("training", "no slice is left in the training set",
                       "look at the reasons in " + output("left_out.csv"));
    if (validation_set->size() == 0)
      logger_.warning("the validation set is empty: the best state is that of the lowest training loss");
    profiler_.enter(Phase::training);
    auto net = make_net();
    start_from_trained(net);
    net.to(runtime_.device);
    set_precision(net);
    logger_.info("model: " + std::to_string(value_count(net.trained())) + " trained values");
    const auto& training = params_.training_parameters;
    const auto epochs = static_cast<int>(training.training_time.num_epochs);
    const auto schedule = make_scheduler<SchedulerPolicy>(to_json(training.scheduler.lr_scheduler),
                                                          training.scheduler.initial_lr, epochs);
    auto optimizer = make_optimizer<OptimizerPolicy>(training.optimizer, net.trained());
    BatchLoader<Set> batches(*training_set, training_batches(*training_set));
    std::unique_ptr<BatchLoader<Set>> validation;
    if (validation_set->size() > 0)
      validation = std::make_unique<BatchLoader<Set>>(*validation_set, batch_options(false));
    auto observer = make_observer(net, optimizer, epochs);
    if (filmed_ > 0) observer.filmed.emplace(*validation_set, filmed_, params_.seed, filming);
    if (ImageLogger<LoggerPolicy> && params_.debugging && task_ != Task::classification) {
      const auto few = [](const Set& set) { return std::min<std::int64_t>(static_cast<std::int64_t>(set.size()), 8); };
      observer.training.emplace(*training_set, few(*training_set), params_.seed, "showing training samples");
      observer.validation.emplace(*validation_set, few(*validation_set), params_.seed, "showing validation samples");
    }
    const FitOptions options{epochs,
                             static_cast<int>(training.training_time.early_stopping_patience),
                             training.training_time.early_stopping_epsilon,
                             params_.seed,
                             runtime_.device,
                             training.gradient_clipping,
                             training.mixup_alpha.value_or(0)};
    TrainingState state;
    if (resume) {
      state = load_checkpoint(output("checkpoint.safetensors"), net, optimizer, description());
      logger_.info("going on after epoch " + std::to_string(state.epochs.size()) + " of " + std::to_string(epochs));
    } else {
      write_split(output("split_datasets.json"), split, cases);
    }
    write_configuration();
    if (!resume) set_weights_aside();
    if constexpr (EpochLogger<LoggerPolicy>) logger_.begin_training(static_cast<int>(state.epochs.size()));
    if (observer.filmed)
      film_.begin(output("gifs"), observer.filmed->scenes(), static_cast<std::int64_t>(state.epochs.size()));
    const FitSummary summary = fit(net, loss(), optimizer, schedule, profiler_, batches, validation.get(), options,
                                   observer, std::move(state));
    profiler_.enter(Phase::post);
    [[maybe_unused]] const auto scope = profiler_.scope(Unit::saving);
    save(net, output("final_model.safetensors"), summary.epochs.back());
    const nn::Weights best = read_safetensors(output("best_model.safetensors"));
    write_safetensors(package(".safetensors"), best);
    try {
      export_model(net.model(), best, *training_set);
    } catch (const std::exception&) {
      failed_export = std::current_exception();
    }
    if (summary.stopped_early)
      logger_.info("stopped early: no improvement in " +
                   std::to_string(training.training_time.early_stopping_patience) + " epochs in a row");
    logger_.info("best epoch " + std::to_string(summary.best_epoch) + ", weights in " +
                 output("best_model.safetensors"));
    return summary;
  }

  /// Finds the threshold of the best state's predictions on the validation set, without post-processing, and takes it for
  /// the step `binarize_prediction` (metrics: Dice of each volume; of a classifier recall + specificity - 1, whose threshold
  /// is only reported).
  ///
  /// ivadomed takes training and validation sets together (known-problems B6.19). Writes `threshold_analysis.csv` and
  /// `threshold_analysis.svg`, and the saved configurations anew.
  /// @param increment  distance of the thresholds
  /// @throws Error (data) if there are no weights or no validation images; (usage) if the model predicts key points
  ThresholdResult analyse_thresholds(double increment) {
    check_thresholds();
    profiler_.enter(Phase::threshold);
    const bool is_classifier = task_ == Task::classification;
    ThresholdAnalysis analysis(increment, is_classifier ? ThresholdMetric::recall_specificity : ThresholdMetric::dice);
    nn::Weights weights = trained_weights();
    auto [cases, split] = split_data(SplitSource::saved, params_.loader_parameters.contrast_params.training_validation);
    set_conditions(cases);
    auto set = make_set(chosen(cases, split.validation), Stage::testing);
    if (set->size() == 0)
      throw data_error("analysing thresholds", "no image is in the validation set", "look at split_dataset");
    auto net = trained_net(weights);
    if (is_classifier) {
      const auto records = classify_all(net, *set);
      const auto n = static_cast<std::int64_t>(records.size());
      Array<float> probabilities({classes(), n});
      Array<float> truth({classes(), n});
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t c = 0; c < classes(); ++c) {
          probabilities[c * n + i] = records[static_cast<std::size_t>(i)].probability[static_cast<std::size_t>(c)];
          truth[c * n + i] = records[static_cast<std::size_t>(i)].truth[static_cast<std::size_t>(c)];
        }
      analysis.add(std::as_const(probabilities).view(), std::as_const(truth).view(), "the validation set");
    } else {
      predict_all(
          net, *set,
          [&](const Case& one, const Geometry& geometry, const Prediction& prediction) {
            const Array<float> truth = truth_of(one, geometry);
            analysis.add(prediction.voxels.view(), truth.view(), one.id);
          },
          false);
    }
    const ThresholdResult result = analysis.result();
    write_threshold_csv(output("threshold_analysis.csv"), result);
    write_threshold_plot(output("threshold_analysis.svg"), result);
    logger_.info("best threshold on the validation set: " + detail::text(result.pooled.optimum) + " (curves in " +
                 output("threshold_analysis.svg") + ")");
    if (!is_classifier) take_threshold(result.pooled.optimum);
    return result;
  }

  /// Predicts the testing set with the best state, writes each prediction on the grid of its image as
  /// `pred_masks/<image>_pred.nii.gz` (of PNG, TIFF and JPEG also `<image>_class-<k>_pred.png`) and the metrics of each
  /// image to `results_eval/evaluation_3Dmetrics.csv`. With `object_detection_metrics`, `<image>_pred_TP-FP-FN.nii.gz`
  /// shows the lesions that were found, made up and missed.
  ///
  /// A classifier gives the probabilities of each sample in `results_eval/classification.csv` instead, and its scores in
  /// `results_eval/classification_scores.csv`. A model of key points gives the points of each heat map in `pred_masks/<image>_pred.csv` as well, with their distances to the true
  /// ones in `results_eval/keypoints.csv`.
  ///
  /// With the section `uncertainty` each image is predicted `n_it` times; the mean is what is post-processed, written and
  /// evaluated, and `pred_masks/<image>_soft`, `_unc-vox`, `_unc-iou`, `_unc-cv` and `_unc-avgUnc` (.nii.gz) are the maps.
  ///
  /// The testing set is that of the training in the output folder (`split_datasets.json`), so that no image was
  /// trained on; without
  /// that file it is drawn as for a training.
  /// @throws Error (data) if there are no weights or no test images
  TestSummary test() {
    profiler_.enter(Phase::test);
    nn::Weights weights = trained_weights();
    auto [cases, split] = split_data(SplitSource::saved, params_.loader_parameters.contrast_params.testing);
    set_conditions(cases);
    std::vector<Case> testing = chosen(cases, split.testing);
    if (testing.empty())
      throw data_error("testing", "no image is in the testing set",
                       "look at split_dataset and at " + output("left_out.csv"));
    auto net = trained_net(weights);
    TestSummary summary;
    summary.task = task_;
    std::filesystem::create_directories(output("results_eval"));
    for (const char* folder : {"pred_masks", "results_eval"}) tidy(folder);
    remove_stale(testing);
    if (task_ == Task::classification)
      return test_classifier(net, *make_set(std::move(testing), Stage::testing), std::move(summary));
    summary.predictions = output("pred_masks");
    summary.csv = output("results_eval/evaluation_3Dmetrics.csv");
    std::filesystem::create_directories(summary.predictions);
    std::string table = "image_id,class,true,predicted,matched,mean_error_mm,median_error_mm\n";
    const auto done = [&](const Case& one, const Geometry& geometry, const Prediction& prediction) {
      const std::string stem = summary.predictions + "/" + one.id;
      write_prediction(stem + "_pred.nii.gz", prediction, geometry);
      if (is_raster(one.images[one.reference]) && geometry.shape[2] == 1)
        for (std::int64_t c = 0; c < prediction.voxels.extent(0); ++c)
          write_class(stem + "_class-" + std::to_string(c) + "_pred.png", prediction, c, geometry);
      [[maybe_unused]] const auto scope = profiler_.scope(Unit::evaluation);
      const Array<float> truth = truth_of(one, geometry);
      const auto& evaluation = params_.evaluation_parameters;
      EvaluationRow row = evaluate(prediction, truth.view(), evaluation, one.id, evaluation.surface_tolerance_mm);
      row.subject = one.subject;
      for (const auto& contrast : one.contrasts) row.contrast += (row.contrast.empty() ? "" : "+") + contrast;
      summary.rows.push_back(std::move(row));
      if (evaluation.object_detection_metrics && task_ == Task::segmentation)
        write_painted(one, geometry, prediction, truth);
      if (task_ == Task::keypoints) score_points(one, geometry, prediction, truth, summary, table);
    };
    (void)predict_cases(net, std::move(testing), summary.predictions, done, Kept::probabilities);
    std::sort(summary.rows.begin(), summary.rows.end(),
              [](const auto& a, const auto& b) { return a.image_id < b.image_id; });
    write_evaluation_csv(summary.csv, summary.rows);
    write_results_csv(output("results_eval/results.csv"), tabulate(summary.rows, {params_.seed}));
    for (const auto& column : summarize(summary.rows)) {
      if (!column.column.starts_with("dice_class")) continue;
      summary.mean_dice.push_back(column.mean);
      logger_.info("mean Dice of class " + std::to_string(summary.mean_dice.size() - 1) + ": " +
                   detail::fixed(column.mean, 4) +
                   (column.defined > 1 ? " ± " + detail::fixed(column.standard_deviation, 4) : "") + " over " +
                   std::to_string(column.defined) + " volumes");
    }
    if (task_ == Task::keypoints) {
      write_file_atomically(output("results_eval/keypoints.csv"), table);
      for (const auto& [index, score] : summary.keypoints)
        logger_.info("key points of class " + std::to_string(index) + ": " +
                     detail::text(score.matched(), " of ", score.truth, " found, ", score.false_points(),
                                  " false, mean error ", detail::fixed(score.mean_error_mm(), 2), " mm"));
    }
    logger_.info("predictions: " + summary.predictions);
    logger_.info("metrics:     " + summary.csv);
    return summary;
  }

  /// Predicts every image of the data with the packaged model (or the best state) and writes
  /// `pred_masks/<image>_class-<k>_pred.nii.gz`. With the section `uncertainty` of the mean of its runs, as `test` does.
  /// @return the paths that were written
  /// @throws Error (data) if there are no weights or no images
  std::vector<std::string> segment() {
    profiler_.enter(Phase::test);
    const nn::Weights weights = trained_weights();
    std::vector<Case> cases = cases_to_segment();
    if (cases.empty())
      throw data_error("segmenting", "there is no image of the contrasts asked for",
                       "look at contrast_params.testing and at " + output("left_out.csv"));
    tidy("pred_masks");
    return segment_cases(
        weights, std::move(cases), output("pred_masks"),
        [](const Case& one, std::int64_t c, bool is_flat) {
          const std::string name = one.id + "_class-" + std::to_string(c) + "_pred";
          std::vector<std::string> names{name + ".nii.gz"};
          if (is_raster(one.images[one.reference]) && is_flat) names.push_back(name + ".png");
          return names;
        },
        "_pred");
  }

  /// Predicts image files that need no BIDS folder, with the weights of a packaged model.
  /// @param weights_path  of the package, a safetensors file
  /// @param images        a multiple of the channels of the model: those of one case stand together, in their order
  /// @param metadata      over that of each image's own sidecar, such as {"PixelSize": [0.1, 0.1]}
  /// @param suffix        names the results, see `image_prediction_name`; they go to the output folder
  /// @return the paths that were written
  /// @throws Error (usage) if the number of images does not fit; (data) if one cannot be used
  std::vector<std::string> segment_images(const std::string& weights_path, const std::vector<std::string>& images,
                                          const Json& metadata, const std::string& suffix) {
    const nn::Weights weights = read_trained(weights_path);
    std::vector<Case> cases = cases_of_files(images);
    for (auto& one : cases) one.metadata.update(metadata);
    const std::int64_t count = classes();
    return segment_cases(
        weights, std::move(cases), params_.path_output,
        [&](const Case& one, std::int64_t c, bool is_flat) {
          return std::vector{image_prediction_name(one.images[one.reference], suffix, c, count, is_flat)};
        },
        suffix);
  }

  /// Films samples of the validation set in the next training: `gifs/<image>_slice<number>.gif` with a frame an epoch.
  /// @param samples  so many, drawn by the seed; 0: none
  /// @throws Error (usage) if the pipeline has no Film, the command is no training, or the model predicts no maps
  void film(std::int64_t samples) {
    const auto refuse = [](const std::string& found, const std::string& remedy) {
      throw usage_error(filming, found, remedy);
    };
    if (samples > 0 && !FilmPolicy::is_available)
      refuse("this program was built without animations", "build it with giflib (ivado::report), or leave --gif out");
    if (samples > 0 && params_.command != Command::train)
      refuse("the command is \"" + std::string(enum_name(params_.command)) + "\"", "--gif is for --train");
    if (samples > 0 && task_ == Task::classification)
      refuse("the model " + section_.name + " predicts no maps", "leave --gif out");
    filmed_ = samples;
  }

  /// Segments with other patches of slices than the model's.
  /// @throws Error (usage) if the choice does not apply, see `chosen_patches`
  void choose_patches(const PatchChoice& choice) {
    if (!choice.is_any()) return;
    if (params_.command != Command::segment)
      throw usage_error("reading the command line",
                        "--no-patch and --overlap-2d are given, and the command is \"" +
                            std::string(enum_name(params_.command)) + "\"",
                        "they are for --segment");
    (void)chosen_patches(patches(), choice, DataLoader::dimension);
    patch_choice_ = choice;
    loader_ = make_loader();
  }

  /// Predicts cases with the weights of a file, after post-processing; writes nothing.
  /// @param cases  without labels, with the channels of the model
  /// @param done   `done(case, geometry, prediction)` for each case, on the grid of its reference image
  /// @throws Error (usage) if the model predicts no maps; (data) if weights or images cannot be read
  template <class Done>
  void predict_cases(std::vector<Case> cases, const std::string& weights_path, const Done& done) {
    if (task_ != Task::segmentation)
      throw usage_error("predicting with " + weights_path, section_.name + " gives no segmentation",
                        "take a model of segmentation");
    const nn::Weights weights = read_trained(weights_path);
    set_conditions(cases);
    auto set = make_set(std::move(cases), Stage::testing);
    auto net = trained_net(weights);
    predict_all(net, *set, done);
  }

  /// Runs the command of the configuration.
  /// @param threshold_increment  of the threshold analysis after a training or before a test; without it there is none
  /// @param resume               go on with the training in the output folder
  /// @throws Error (usage) if there can be no threshold analysis of such a model or in such steps; before any work
  void run(const std::optional<double>& threshold_increment = {}, bool resume = false) {
    if (threshold_increment) {
      (void)analysis_thresholds(*threshold_increment);
      check_thresholds();
    }
    switch (params_.command) {
      case Command::train: {
        std::exception_ptr failed_export;
        train(resume, failed_export);
        if (threshold_increment) analyse_thresholds(*threshold_increment);
        if (failed_export) std::rethrow_exception(failed_export);
        break;
      }
      case Command::test:
        if (threshold_increment) analyse_thresholds(*threshold_increment);
        test();
        break;
      case Command::segment:
        segment();
        break;
    }
    if constexpr (requires { profiler_.print(std::cout); }) profiler_.print(std::cout);
    if constexpr (requires { profiler_.write(std::string()); }) write_profile();
  }

  [[nodiscard]] const Params& params() const noexcept { return params_; }
  [[nodiscard]] ProfilerPolicy& profiler() noexcept { return profiler_; }
  /// What the numbers of a trained model depend on, as 16 hexadecimal digits: model, transforms, loss, loader, seed;
  /// not paths,
  /// threads or the number of epochs.
  [[nodiscard]] std::string model_digest() const {
    Json all = model_description();
    all["model"].erase("overlap_weights");
    all["model"].erase("mirror_axes");
    return detail::digest_of(all.dump());
  }
  /// What the numbers of a trained model depend on, key by key, and under "training" what its way there depends on.
  [[nodiscard]] Json description() const {
    const auto& training = params_.training_parameters;
    Json out = model_description();
    out["training"] = {{"optimizer", training.optimizer},
                       {"scheduler", to_json(training.scheduler)},
                       {"batch_size", training.batch_size},
                       {"gradient_clipping", training.gradient_clipping},
                       {"mixup_alpha", training.mixup_alpha.value_or(0)},
                       {"precision", training.precision.value},
                       {"early_stopping_epsilon", training.training_time.early_stopping_epsilon}};
    if (rates_depend_on_epochs()) out["training"]["num_epochs"] = training.training_time.num_epochs;
    if (training.balance_samples.applied) out["training"]["balance_samples"] = training.balance_samples.type;
    if (const auto& from = training.transfer_learning; from.retrain_model)  // which layers are frozen
      out["training"]["transfer_learning"] = {{"retrain_fraction", from.retrain_fraction}, {"reset", from.reset}};
    // What chooses the samples of the training set, as far as it is not where the files lie.
    const Json loader = to_json(params_.loader_parameters);
    Json& data = out["training"]["data"];
    for (const char* key : {"subject_selection", "roi_params", "slice_filter_params", "patch_filter_params",
                            "is_input_dropout", "grid_tolerance_mm", "allow_regrid", "label_column", "label_values"})
      data[key] = loader.at(key);
    const Json& contrasts = loader.at("contrast_params");
    data["contrast_params"] = {{"training_validation", contrasts.at("training_validation")},
                               {"balance", contrasts.at("balance")}};
    if (params_.object_detection_params.object_detection_path)
      data["safety_factor"] = params_.object_detection_params.safety_factor;
    return out;
  }

 private:
  /// What the numbers of a trained model depend on, key by key, without its training.
  [[nodiscard]] Json model_description() const {
    return Json{{"model", to_json(section_)},
                {"transformation", to_json(params_.transformation)},
                {"loss", describe_loss(loss())},
                {"axis", to_json(params_.loader_parameters.slice_axis)},
                {"targets", to_json(params_.loader_parameters.target_suffix)},
                {"multichannel", params_.loader_parameters.multichannel},
                {"soft_gt", params_.loader_parameters.soft_gt},
                {"seed", params_.seed}};
  }

  /// Whether the learning rates are other ones where the training is to be longer: only then can no more epochs be asked
  /// for when it is resumed.
  [[nodiscard]] bool rates_depend_on_epochs() const {
    const auto& scheduler = params_.training_parameters.scheduler;
    const auto epochs = static_cast<int>(params_.training_parameters.training_time.num_epochs);
    const auto schedule = [&](int number) {
      return make_scheduler<SchedulerPolicy>(to_json(scheduler.lr_scheduler), scheduler.initial_lr, number);
    };
    const auto as_long = schedule(epochs);
    const auto longer = schedule(2 * epochs);
    for (int epoch = 0; epoch < epochs; ++epoch)
      if (as_long.learning_rate({epoch, 0, 1}) != longer.learning_rate({epoch, 0, 1})) return true;
    return false;
  }

  static constexpr const char* filming = "filming the training (--gif)";
  using Set = decltype(std::declval<const DataLoader&>().dataset(std::vector<Case>{}, std::declval<const Augment&>(),
                                                                 Stage::training, std::uint64_t{}));

  [[nodiscard]] std::string output(const std::string& name) const {
    return (std::filesystem::path(params_.path_output) / name).string();
  }
  /// A file of the packaged model.
  [[nodiscard]] std::string package(const std::string& extension) const {
    return output(params_.model_name + "/" + params_.model_name + extension);
  }

  /// Removes what a killed run left half-written in a folder of the results, and says so.
  void tidy(const std::string& folder) {
    for (const auto& name : remove_abandoned(output(folder)))
      logger_.info("removed what a killed run left half-written: " +
                   output((std::filesystem::path(folder) / name).string()));
  }

  /// Runs the steps on one voxel of each class: what does not fit the number of classes is refused before any work.
  void try_postprocessing() const {
    if (task_ != Task::segmentation || params_.uncertainty.is_on()) return;  // some steps need its maps
    const Array<float> probabilities(Shape{classes(), 1, 1, 1}, 0.0F);
    Prediction trial{probabilities.clone(), {1, 1, 1}, false};
    trial.probabilities = &probabilities;
    postprocess_(trial);
  }

  /// Refuses what is asked for and the model does not do.
  /// @throws Error (usage) naming the key
  void check_task() const {
    const auto refuse = [&](const std::string& key, const std::string& what, const std::string& remedy) {
      throw usage_error("reading the configuration key " + key, what + " " + section_.name + " is a classifier",
                        remedy);
    };
    if (task_ != Task::classification) return;
    if (params_.uncertainty.is_on()) refuse("uncertainty", "it is estimated of maps, and", "set uncertainty.n_it to 0");
    if (!section_.mirror_axes.empty())
      refuse("mirror_axes", "predicted maps are averaged over mirrored views, and", "leave it empty");
    if (params_.evaluation_parameters.keypoints.value_or(false))
      refuse("evaluation_parameters.keypoints", "key points are peaks of predicted maps, and", "set it to null");
  }
  /// Refuses what a training would stumble over only after it has looked for its images and read them: loss, optimiser,
  /// schedule, and the file that it is to start from. A training always has a log, for its tables lie beside it.
  /// @throws Error (usage) naming the key
  void check_training() {
    const auto& training = params_.training_parameters;
    check_classes_of_loss(loss(), classes());
    (void)make_scheduler<SchedulerPolicy>(to_json(training.scheduler.lr_scheduler), training.scheduler.initial_lr,
                                          static_cast<int>(training.training_time.num_epochs));
    (void)make_optimizer<OptimizerPolicy>(training.optimizer, {at::zeros({1})});
    const auto& from = training.transfer_learning.retrain_model;
    if (from && !std::filesystem::is_regular_file(*from))
      throw usage_error("reading the configuration key training_parameters.transfer_learning.retrain_model",
                        "there is no file " + *from, "name the file of a trained model, or set it to null");
    if (params_.log_file.empty()) logger_.open(output("log"));
  }
  /// @throws Error (usage) if the model predicts heat maps, whose peaks a threshold would level
  void check_thresholds() const {
    if (task_ == Task::keypoints)
      throw usage_error("analysing thresholds (--thr-increment)", "the model " + section_.name + " predicts key points",
                        "leave it out: points are the peaks of heat maps that are not binarised");
  }

  /// Moves the weights that an earlier training left in the output folder (but not those that this one starts from) to a
  /// folder `earlier_N` of their own: until the first epoch of the new one is done, nobody shall test them on the new
  /// split, or go on with them.
  /// @throws Error (internal) if one cannot be moved
  void set_weights_aside() {
    std::vector<std::string> paths{package(".safetensors")};
    if constexpr (!ExporterPolicy::extension.empty()) paths.push_back(package(std::string(ExporterPolicy::extension)));
    for (const char* name : {"checkpoint.safetensors", "best_model.safetensors", "final_model.safetensors"})
      paths.push_back(output(name));
    const auto& start = params_.training_parameters.transfer_learning.retrain_model;
    std::erase_if(paths, [&](const std::string& path) {
      std::error_code ignored;
      return !std::filesystem::exists(path) || (start && std::filesystem::equivalent(path, *start, ignored));
    });
    if (paths.empty()) return;
    int number = 1;
    while (std::filesystem::exists(output("earlier_" + std::to_string(number)))) ++number;
    const std::string aside = output("earlier_" + std::to_string(number));
    std::error_code fault;
    std::filesystem::create_directory(aside, fault);
    for (const auto& path : paths)
      if (!fault)
        std::filesystem::rename(path, std::filesystem::path(aside) / std::filesystem::path(path).filename(), fault);
    if (fault)
      throw internal_error("moving the weights of an earlier training to " + aside, fault.message(),
                           "check the permissions of that folder");
    logger_.info("the weights of an earlier training are now in " + aside);
  }
  /// Removes a file if it is there.
  /// @return true if it was
  /// @throws Error (internal) if it cannot be removed
  static bool remove_file(const std::string& path) {
    std::error_code fault;
    const bool was_there = std::filesystem::remove(path, fault);
    if (fault)
      throw internal_error("removing " + path + " of an earlier run", fault.message(),
                           "check the permissions of its folder");
    return was_there;
  }
  /// Removes what an earlier test left of these images and this one does not write: maps of uncertainty (those beside its
  /// prediction), and painted lesions.
  void remove_stale(const std::vector<Case>& cases) {
    const bool paints = params_.evaluation_parameters.object_detection_metrics && task_ == Task::segmentation;
    std::size_t maps = 0;
    for (const auto& one : cases) {
      const std::string stem = output("pred_masks/" + one.id);
      if (!params_.uncertainty.is_on() && std::filesystem::exists(stem + "_pred.nii.gz"))
        maps += remove_uncertainty_maps(stem);
      if (!paints) remove_file(painted_path(one));
    }
    if (maps > 0)
      logger_.info("removed the maps of uncertainty of an earlier test: " + std::to_string(maps) + " files");
  }

  /// Writes the configuration to the output folder and the package.
  void write_configuration() const {
    const std::string text = saved(params_).dump(4) + "\n";
    write_file_atomically(output("config_file.json"), text);
    std::filesystem::create_directories(output(params_.model_name));
    write_file_atomically(package(".json"), text);
  }

  [[nodiscard]] static std::int64_t value_count(const std::vector<at::Tensor>& tensors) {
    std::int64_t sum = 0;
    for (const auto& tensor : tensors) sum += tensor.numel();
    return sum;
  }

  /// The configuration as it is saved: all of it, but not the keys without effect that were left at their default, so that it
  /// can be read again without a warning.
  [[nodiscard]] static Json saved(const Params& params) {
    Json tree = to_json(params);
    const Json defaults = to_json(Params{});
    for (std::string path : inspect_keys<Params>(tree).without_effect) {
      std::replace(path.begin(), path.end(), '.', '/');
      const Json::json_pointer place("/" + path);
      if (tree.at(place) == defaults.at(place)) tree.at(place.parent_pointer()).erase(place.back());
    }
    return tree;
  }

  /// @throws Error (usage) if the steps of a section stand in another order than those that the program was compiled
  ///         with
  static void check_order(const Json& own, const Json& user, const std::string& section) {
    if (!user.is_object() || !user.contains(section) || !user[section].is_object()) return;
    std::vector<std::string> order;
    for (const auto& item : own.at(section).items()) order.push_back(item.key());
    auto place = order.begin();
    for (const auto& item : user[section].items()) {
      if (std::find(order.begin(), order.end(), item.key()) == order.end())
        continue;  // refused by name later, or the program takes any
      place = std::find(place, order.end(), item.key());
      if (place == order.end())
        throw usage_error("reading the configuration key " + section,
                          item.key() + " stands before a step that this program was compiled to run earlier",
                          "keep the order of the program, or use the general one");
    }
  }

  /// What the profiler measured goes to a folder of its own for each command.
  void write_profile() {
    const std::string folder = output(params_.command == Command::train  ? "profile"
                                      : params_.command == Command::test ? "profile_test"
                                                                         : "profile_segment");
    profiler_.write(folder);
    if (std::filesystem::is_directory(folder)) logger_.info("profile: " + folder);
  }

  // -- data

  /// Where a split comes from.
  enum class SplitSource {
    drawn,    ///< of the configuration
    saved,    ///< that of the training in the output folder, unless the configuration names a file or there is none
    resumed,  ///< that of the training in the output folder
  };

  /// @throws Error (data) if the split of the training that goes on is not there, or images of it are not
  std::pair<std::vector<Case>, Split> split_data(SplitSource source, const std::vector<std::string>& contrasts) {
    [[maybe_unused]] const auto scope = profiler_.scope(Unit::index);
    LeftOutList left_out;
    std::vector<Case> cases = loader_.cases(true, contrasts, left_out);
    Split split = [&] {
      const std::string saved = output("split_datasets.json");
      if (source == SplitSource::resumed) return read_split_to_resume(saved, cases);
      if (source == SplitSource::saved && !params_.split_dataset.fname_split && std::filesystem::exists(saved)) {
        logger_.info("split: that of " + saved);
        return read_split(saved, cases);
      }
      return split_cases(cases, params_.split_dataset, params_.loader_parameters.subject_selection);
    }();
    for (const auto& warning : split.warnings) logger_.warning(warning);
    report(left_out);
    logger_.info("split: " + std::to_string(split.training.size()) + " training, " +
                 std::to_string(split.validation.size()) + " validation, " + std::to_string(split.testing.size()) +
                 " testing images of " + std::to_string(cases.size()));
    return {std::move(cases), std::move(split)};
  }

  /// True if a path of the data is a file that the loader reads itself, not an image to segment.
  [[nodiscard]] static bool reads_file([[maybe_unused]] const std::string& path) {
    if constexpr (requires { DataLoader::reads_file(path); }) return DataLoader::reads_file(path);
    return false;
  }

  /// Writes one class of a prediction as an image, a mask in 8 bits.
  static void write_class(const std::string& path, const Prediction& prediction, std::int64_t c,
                          const Geometry& geometry) {
    write_image(path, prediction.voxels.view().select(0, c), geometry,
                prediction.is_mask ? StoredType::uint8 : StoredType::float32);
  }

  /// Predicts cases and writes each class to `folder` under the names that `names(case, class, whether the image
  /// has one slice)` gives.
  /// @param ending  of the name of a table, before ".csv"
  template <class Names>
  std::vector<std::string> segment_cases(const nn::Weights& weights, std::vector<Case> cases, const std::string& folder,
                                         const Names& names, const std::string& ending) {
    set_conditions(cases);
    auto net = trained_net(weights);
    std::filesystem::create_directories(folder);
    std::vector<std::string> written;
    const auto next = [&](const std::string& name) -> const std::string& {
      written.push_back((std::filesystem::path(folder) / name).string());
      logger_.info("writing " + written.back());
      return written.back();
    };
    if (task_ == Task::classification) {
      write_classification_csv(next("classification.csv"),
                               classify_all(net, *make_set(std::move(cases), Stage::testing)));
      return written;
    }
    const auto done = [&](const Case& one, const Geometry& geometry, const Prediction& prediction) {
      for (std::int64_t c = 0; c < prediction.voxels.extent(0); ++c)
        for (const auto& name : names(one, c, geometry.shape[2] == 1)) write_class(next(name), prediction, c, geometry);
      if (task_ == Task::keypoints)
        write_keypoints(next(one.id + ending + ".csv"), find_keypoints(prediction.voxels.view(), geometry));
    };
    const std::vector<std::string> maps = predict_cases(net, std::move(cases), folder, done);
    written.insert(written.end(), maps.begin(), maps.end());
    std::sort(written.begin(), written.end());
    return written;
  }

  /// Image files as cases: as many for each as the model has channels.
  [[nodiscard]] std::vector<Case> cases_of_files(const std::vector<std::string>& files) const {
    return make_cases_of_files(files, channels(), params_.loader_parameters.contrast_params.testing);
  }

  std::vector<Case> cases_to_segment() {
    [[maybe_unused]] const auto scope = profiler_.scope(Unit::index);
    std::vector<Case> cases;
    auto loader_parameters = params_.loader_parameters;
    auto& roots = loader_parameters.path_data.values;
    const auto is_image = [](const std::string& path) {
      return !reads_file(path) && std::filesystem::is_regular_file(path);
    };
    std::vector<std::string> files;
    std::copy_if(roots.begin(), roots.end(), std::back_inserter(files), is_image);
    cases = cases_of_files(files);
    std::erase_if(roots, is_image);
    if (!roots.empty()) {
      LeftOutList left_out;
      auto found = make_loader(loader_parameters).cases(false, loader_parameters.contrast_params.testing, left_out);
      std::move(found.begin(), found.end(), std::back_inserter(cases));
      report(left_out);
    }
    return cases;
  }

  void report(const LeftOutList& left_out) {
    for (const auto& warning : left_out.warnings) logger_.warning(warning);
    if (left_out.files.empty()) {
      remove_file(output("left_out.csv"));
      return;
    }
    std::map<std::string, std::size_t> reasons;
    std::string table = "file,reason\n";
    for (const auto& one : left_out.files) {
      ++reasons[one.reason];
      table += detail::csv_text(one.file) + "," + detail::csv_text(one.reason) + "\n";
    }
    write_file_atomically(output("left_out.csv"), table);
    logger_.info("left out: " + std::to_string(left_out.files.size()) + " files, listed with their reasons in " +
                 output("left_out.csv"));
    for (const auto& [reason, count] : reasons)
      if (reasons.size() <= 6) logger_.info("  " + std::to_string(count) + ": " + reason);
  }

  [[nodiscard]] static std::vector<Case> chosen(const std::vector<Case>& cases,
                                                const std::vector<std::size_t>& numbers) {
    std::vector<Case> out;
    for (const auto number : numbers) out.push_back(cases[number]);
    return out;
  }

  [[nodiscard]] std::unique_ptr<Set> make_set(std::vector<Case> cases, Stage stage) {
    add_boxes(cases);
    [[maybe_unused]] const auto scope = profiler_.scope(Unit::data);
    auto set = std::unique_ptr<Set>(new Set(loader_.dataset(std::move(cases), augment_, stage, params_.seed)));
    for (const auto& warning : set->warnings()) logger_.warning(warning);
    logger_.info(set->summary());
    return set;
  }

  /// Puts BoundingBoxCrop into the chain of a cascade.
  [[nodiscard]] const Params& begin_cascade() {
    if (params_.object_detection_params.object_detection_path)
      params_.transformation =
          detail::with_box_crop(params_.transformation, dimension == 2 ? section_.length_2D : section_.length_3D,
                                dimension == 2 ? section_.stride_2D : section_.stride_3D);
    return params_;
  }
  /// The boxes of a cascade, from the output folder or the detector.
  void add_boxes(std::vector<Case>& cases) {
    const auto& detection = params_.object_detection_params;
    if (!detection.object_detection_path || cases.empty()) return;
    [[maybe_unused]] const auto scope = profiler_.scope(Unit::inference);
    const std::string path = output("bounding_boxes.json");
    const auto found = detail::add_boxes(DetectorPolicy{}, path, detection, params_.loader_parameters.slice_axis,
                                         params_.loader_parameters, runtime_, cases);
    logger_.info("boxes: " + std::to_string(found.looked_at) + " images looked at by " +
                 *detection.object_detection_path + ", " + std::to_string(found.known) + " known from " + path);
    for (const auto& id : found.not_found)
      logger_.warning("the detector finds no object in " + id + ": the whole image is taken");
  }

  [[nodiscard]] BatchOptions batch_options(bool shuffle) const {
    const std::int64_t size = patch_choice_.no_patch ? 1 : params_.training_parameters.batch_size;  // of any shape
    return {static_cast<std::size_t>(size), shuffle, params_.seed, params_.loader_parameters.workers,
            params_.loader_parameters.prefetch};
  }

  /// How the training set is loaded: shuffled, or drawn by weight where the configuration says so.
  [[nodiscard]] BatchOptions training_batches(const Set& training) {
    BatchOptions options = batch_options(true);
    const auto& balance = params_.training_parameters.balance_samples;
    if (!balance.applied) return options;
    if constexpr (requires { balance_samples(training, balance.type); }) {
      options.balanced = balance_samples(training, balance.type);
      logger_.info("samples drawn so that each kind is seen as often: " + options.balanced->describe());
      if (options.balanced->kinds() < 2) logger_.warning("balance_samples: all samples are of one kind");
    } else {
      throw usage_error("reading the configuration key training_parameters.balance_samples.applied",
                        "the data set of this program does not know the kinds of its samples", "set it to false");
    }
    return options;
  }

  /// The labels of a case as [class, i, j, k], 0 or 1 unless labels are soft.
  [[nodiscard]] Array<float> truth_of(const Case& one, const Geometry& geometry) const {
    const auto& loader = params_.loader_parameters;
    SliceOptions options;
    options.soft_gt = loader.soft_gt;
    options.grid_tolerance_mm = loader.grid_tolerance_mm;
    options.allow_regrid = loader.allow_regrid;
    return read_labels(one, geometry, options);
  }

  // -- model

  /// @throws Error (usage) if the model is one of volumes and the loader makes slices, or the model is not known
  [[nodiscard]] ModelTraits traits() const {
    if constexpr (Architecture<Model>)
      if (section_.is_2d != (DataLoader::dimension == 2))
        throw usage_error("building the model",
                          section_.name + (section_.is_2d ? " works on slices" : " works on 3-D sub-volumes") +
                              ", the loader of this program gives " +
                              (DataLoader::dimension == 2 ? "slices" : "sub-volumes"),
                          "choose a model of the other kind (default_model.is_2d)");
    return model_traits<Model>(section_);
  }
  /// What this run predicts: heat maps where the configuration says so, or the model is for nothing else.
  [[nodiscard]] Task task() const {
    if (traits_.tasks.meets(Task::keypoints) &&
        params_.evaluation_parameters.keypoints.value_or(!traits_.tasks.meets(Task::segmentation)))
      return Task::keypoints;
    return traits_.tasks.meets(Task::segmentation) ? Task::segmentation : Task::classification;
  }
  /// True if the condition of the model is metadata.
  [[nodiscard]] bool takes_metadata() const {
    return traits_.condition == ConditionKind::metadata ||
           (traits_.condition == ConditionKind::any && section_.metadata.has_value());
  }

  /// The patches that the model was made for.
  [[nodiscard]] PatchSize patches() const {
    return DataLoader::dimension == 2 ? PatchSize{section_.length_2D, section_.stride_2D}
                                      : PatchSize{section_.length_3D, section_.stride_3D};
  }
  /// The loader, told what the model needs.
  [[nodiscard]] DataLoader make_loader() const { return make_loader(params_.loader_parameters); }
  [[nodiscard]] DataLoader make_loader(const typename DataLoader::Params& parameters) const {
    if constexpr (std::constructible_from<DataLoader, const typename DataLoader::Params&, ModelNeeds>) {
      ModelNeeds needs;
      needs.patches = chosen_patches(patches(), patch_choice_, DataLoader::dimension);
      needs.image_labels = task_ == Task::classification;
      needs.keep_slice = slice_filter(parameters);
      needs.missing_contrasts = traits_.condition == ConditionKind::presence;
      if (needs.missing_contrasts) {
        needs.channels = contrasts();
        needs.target_contrasts = section_.target_lst;
        needs.roi_contrasts = section_.roi_lst;
        needs.missing_probability = section_.missing_probability.value_or(0);
        needs.missing_probability_growth = section_.missing_probability_growth.value_or(1);
      }
      return DataLoader(parameters, needs);
    } else {
      return DataLoader(parameters);
    }
  }
  /// The classifier that slices must pass, where the configuration names one.
  /// @throws Error as `SliceClassifier`; (usage) if this program reads no classifiers
  [[nodiscard]] std::function<bool(const Sample&)> slice_filter(const LoaderParameters& parameters) const {
    const auto& filter = parameters.slice_filter_params;
    if (!filter.filter_classification || DataLoader::dimension == 3) return {};
    if constexpr (Architecture<Model> && Model::dimension == 2) {
      auto classifier = std::make_shared<SliceClassifier<Model, Augment>>(*filter.classifier_path, runtime_.device);
      return [classifier](const Sample& slice) { return (*classifier)(slice); };
    } else {
      throw usage_error("reading the configuration key loader_parameters.slice_filter_params.filter_classification",
                        "the model of this program is no architecture of ivado, and it reads no other",
                        "set it to false, or use the general program");
    }
  }
  /// The contrasts of a HeMIS model, one a channel.
  [[nodiscard]] std::vector<std::string> contrasts() const {
    return section_.contrasts.empty() ? params_.loader_parameters.contrast_params.training_validation
                                      : section_.contrasts;
  }

  [[nodiscard]] NetworkShape shape() const {
    return network_shape(section_, params_.loader_parameters, traits_.condition,
                         encoder_ ? static_cast<int>(encoder_->size()) : 0);
  }
  [[nodiscard]] int channels() const { return shape().in_channels; }
  [[nodiscard]] int classes() const { return shape().classes; }

  /// The loss that the configuration names.
  /// @throws Error (usage) if it is none for what the model predicts
  [[nodiscard]] LossFunction loss() const {
    LossFunction out = make_loss<LossFunction>(params_.training_parameters.loss);
    if (!tasks_of_loss(out).meets(task_))
      throw usage_error("reading the configuration key training_parameters.loss.name",
                        "the loss " + params_.training_parameters.loss.value("name", std::string()) +
                            " is not for what the model " + section_.name + " predicts",
                        task_ == Task::classification ? "take BinaryCrossEntropyLoss"
                        : task_ == Task::keypoints    ? "take L2loss or AdapWingLoss"
                                                      : "take DiceLoss");
    return out;
  }

  [[nodiscard]] auto make_net() const {
    if constexpr (Architecture<Model>) {
      ModelParameters section = section_;
      if (traits_.condition == ConditionKind::presence) section.contrasts = contrasts();
      return Net<Model, BackendPolicy>(make_model<Model>(section, shape()), params_.seed);
    } else {
      at::manual_seed(params_.seed);
      return ModuleNet<Model>(std::make_shared<Model>());
    }
  }

  /// The weights of a file: of the exporter's format by its name, where the exporter reads it, else by its content.
  template <class AnyNet>
  [[nodiscard]] static nn::Weights weights_to_start_from(const AnyNet& net, const std::string& path) {
    if constexpr (requires { ExporterPolicy::read(path, net.model().parameters()); })
      if (std::filesystem::path(path).extension() == ExporterPolicy::extension)
        return ExporterPolicy::read(path, net.model().parameters());
    return read_weights(path);
  }

  /// The number type of the convolutions while training.
  /// @throws Error (usage) if bf16 is asked for, and this machine or the model has no use for it
  template <class AnyNet>
  void set_precision(AnyNet& net) {
    if (params_.training_parameters.precision.value == "float32") return;
    if (!runtime_.device.is_cpu())
      throw usage_error("training in bf16", "it is for processors, and this training runs on " + runtime_.device.str(),
                        "set training_parameters.precision to \"float32\"");
    if constexpr (requires { net.convolve_in(at::kBFloat16); }) {
      const Bf16Trial trial = try_bf16<typename AnyNet::Interpreter>(DataLoader::dimension);
      require_bf16(trial);
      net.convolve_in(at::kBFloat16);
      logger_.info(detail::text("convolutions in bf16: on this machine ", detail::fixed(1 / trial.time_ratio, 2),
                                " times as fast as in float32, off by ", detail::fixed(100 * trial.error, 2), " %"));
    } else {
      throw usage_error("training in bf16", "a torch::nn::Module computes in the number type that it was written for",
                        "set training_parameters.precision to \"float32\"");
    }
  }

  /// Transfer learning, where the configuration asks for it.
  template <class AnyNet>
  void start_from_trained(AnyNet& net) {
    const auto& from = params_.training_parameters.transfer_learning;
    if (!from.retrain_model) return;
    const std::string& path = *from.retrain_model;
    const TransferSummary done =
        transfer(net, weights_to_start_from(net, path), from.retrain_fraction, from.reset, path, params_.seed);
    logger_.info("transfer from " + *from.retrain_model + ": " + std::to_string(done.first_trained) + " of " +
                 std::to_string(done.layers) + " layers are frozen, the others are trained" +
                 (done.reset ? " anew" : ""));
    if (done.first_trained == done.layers)
      logger_.warning("retrain_fraction leaves no layer to train: nothing will change");
  }

  /// Conditions of a FiLM model for each case, by the encoder of the training.
  void set_conditions(std::vector<Case>& cases) {
    if (!encoder_) return;
    for (auto& one : cases) {
      if (!encoder_->encodes(one))
        throw data_error("conditioning the model on " + encoder_->metadata(), one.id + " has no such metadata",
                         "leave the image out, or complete its metadata");
      one.condition = encoder_->encode(one);
      if (const auto what = encoder_->unknown(one)) logger_.warning(*what);
    }
  }

  /// The weights of the best state. They bring the encoder of the metadata.
  [[nodiscard]] nn::Weights trained_weights() {
    weights_path_ = output("best_model.safetensors");
    if (!std::filesystem::exists(weights_path_)) weights_path_ = package(".safetensors");
    if (!std::filesystem::exists(weights_path_))
      throw data_error("loading the model", output("best_model.safetensors") + " does not exist",
                       "train first, or name the folder of a training with -po");
    return read_trained(weights_path_);
  }
  /// The weights of a file and the encoder of the metadata in them.
  [[nodiscard]] nn::Weights read_trained(const std::string& path) {
    weights_path_ = path;
    nn::Weights weights = path.ends_with(".safetensors") ? read_safetensors(path) : read_weights(path);
    if (const auto said = weights.metadata.find("condition"); said != weights.metadata.end())
      encoder_ = MetadataEncoder::from_json(Json::parse(said->second));
    else if (takes_metadata())
      throw data_error("loading the weights " + weights_path_, "they do not say how the metadata is encoded",
                       "train the model with ivado");
    return weights;
  }
  [[nodiscard]] auto trained_net(const nn::Weights& weights) {
    auto net = make_net();
    load_weights(net, weights, weights_path_);
    net.to(runtime_.device);
    logger_.info("weights: " + weights_path_);
    if (const auto said = weights.metadata.find("digest");
        said != weights.metadata.end() && said->second != model_digest())
      logger_.warning("the weights were trained with another configuration of model, transforms or labels (digest " +
                      said->second + ", now " + model_digest() + ")");
    return net;
  }

  /// Writes the packaged model in the exporter's format as well.
  template <class Chosen>
  void export_model(const Chosen& model, const nn::Weights& weights, const Set& set) {
    if constexpr (!ExporterPolicy::extension.empty()) {
      if constexpr (Architecture<Chosen>) {
        const std::string path = package(std::string(ExporterPolicy::extension));
        const auto sample = set.get(0, 0).sample;
        ExporterPolicy{}(path, graph::record(model, sample.image.voxels.shape().prepended(1)), weights);
        logger_.info("exported: " + path);
      } else {
        logger_.info("a torch::nn::Module has no graph: it is not exported as " +
                     std::string(ExporterPolicy::extension));
      }
    }
  }

  template <class AnyNet>
  void save(const AnyNet& net, const std::string& path, const EpochSummary& epoch) const {
    nn::Weights weights = weights_of(net);
    weights.metadata = {{"ivado", version},
                        {"digest", model_digest()},
                        {"epoch", std::to_string(epoch.epoch)},
                        {"validation_loss", detail::text(epoch.validation_loss)}};
    if (encoder_) weights.metadata["condition"] = encoder_->to_json().dump();
    write_safetensors(path, weights);
  }

  // -- training

  template <class AnyNet, class Optimiser>
  struct Observer {
    Pipeline& pipeline;
    AnyNet& net;
    Optimiser& optimizer;
    int epochs;
    StandardMetrics metrics{Dice{}, {}, Precision{}, Recall{}, Specificity{}, IntersectionOverUnion{}, Accuracy{}};
    std::optional<FollowedSamples<Set>> filmed{};
    std::optional<FollowedSamples<Set>> training{};  // shown by the logger
    std::optional<FollowedSamples<Set>> validation{};

    void on_validation(const at::Tensor& prediction, const at::Tensor& truth) {
      if (prediction.sizes() != truth.sizes()) return;  // a loss of the user's may compare what metrics cannot
      for (std::int64_t i = 0; i < prediction.size(0); ++i) {
        const Array<float> predicted = element(prediction, i);
        const Array<float> expected = element(truth, i);
        metrics.add(predicted.view(), expected.view());
      }
    }
    void on_batch(const EpochSummary& epoch, std::int64_t done, std::int64_t total, double loss) {
      pipeline.logger_.progress("epoch " + std::to_string(epoch.epoch) + "/" + std::to_string(epochs), done, total,
                                training_note(loss, epoch.seconds > 0 ? epoch.waiting_s / epoch.seconds : 0));
    }
    void on_epoch(const EpochSummary& epoch) {
      [[maybe_unused]] const auto scope = pipeline.profiler_.scope(Unit::saving);
      if (epoch.is_best) pipeline.save(net, pipeline.output("best_model.safetensors"), epoch);
      const bool validated = !std::isnan(epoch.validation_loss);
      pipeline.logger_.info("epoch " + std::to_string(epoch.epoch) + "/" + std::to_string(epochs) + "  train loss " +
                            detail::fixed(epoch.training_loss, 4) +
                            (validated ? "  validation loss " + detail::fixed(epoch.validation_loss, 4) : "") +
                            "  lr " + detail::text(epoch.learning_rate) + "  " + detail::fixed(epoch.seconds, 1) +
                            " s, " + detail::fixed(epoch.seconds > 0 ? 100 * epoch.waiting_s / epoch.seconds : 0, 1) +
                            " % waiting for data" + (epoch.is_best ? "  (best)" : ""));
      if constexpr (EpochLogger<LoggerPolicy>) {
        EpochRecord record{epoch.epoch,   epoch.learning_rate, epoch.training_loss, epoch.validation_loss,
                           epoch.seconds, epoch.waiting_s,     epoch.is_best};
        if (metrics.samples() > 0)
          for (const auto& one : metrics.means()) record.values.emplace_back(one.name, one.mean);
        pipeline.logger_.epoch(record);
      }
      metrics.reset();
      pipeline.show(*this, epoch.epoch);
    }
    void on_state(const TrainingState& state) {
      [[maybe_unused]] const auto scope = pipeline.profiler_.scope(Unit::saving);
      save_checkpoint(pipeline.output("checkpoint.safetensors"), net, optimizer, state, pipeline.description());
    }
  };
  template <class AnyNet, class Optimiser>
  [[nodiscard]] Observer<AnyNet, Optimiser> make_observer(AnyNet& net, Optimiser& optimizer, int epochs) {
    return {*this, net, optimizer, epochs};
  }

  /// The pictures of an epoch: a frame of each animation, and mosaics for the logger.
  template <class AnyObserver>
  void show(AnyObserver& observer, int epoch) {
    if (observer.filmed) {
      observer.filmed->predict(observer.net, epoch, runtime_.device, [&](std::size_t i, const ShownSlice& slice) {
        const Array<float> prediction = any_class(slice.prediction);
        film_.add(static_cast<std::int64_t>(i), epoch, slice.image.view(), prediction.view(), observer.filmed->axis());
      });
      film_.write();
    }
    if constexpr (ImageLogger<LoggerPolicy>)
      for (auto* shown : {&observer.training, &observer.validation})
        if (*shown) {
          SamplePictures pictures((*shown)->axis());
          (*shown)->predict(observer.net, epoch, runtime_.device,
                            [&](std::size_t, const ShownSlice& slice) { pictures.add(slice); });
          pictures.write(logger_, shown == &observer.training ? "Train" : "Validation", epoch);
        }
  }

  // -- testing

  /// What of a prediction is there behind the post-processing.
  enum class Kept { result, probabilities };

  template <class AnyNet, class Done>
  void predict_all(AnyNet& net, const Set& set, const Done& done, bool postprocessed = true, Kept kept = Kept::result) {
    Mirrored views(net, section_.mirror_axes);
    predict(
        views, set, augment_, batch_options(false), classes(), overlap_weights(), runtime_.device, profiler_,
        [&](std::size_t volume, Prediction prediction) {
          [[maybe_unused]] const auto scope = profiler_.scope(Unit::postprocessing);
          const Array<float> before = kept == Kept::probabilities ? prediction.voxels.clone() : Array<float>();
          if (kept == Kept::probabilities) prediction.probabilities = &before;
          if (postprocessed) postprocess_(prediction);
          done(set.case_of(volume), set.geometry_of(volume), prediction);
        },
        [&](std::int64_t batch, std::int64_t batches) { logger_.progress("predicting", batch, batches, {}); });
  }

  [[nodiscard]] OverlapWeights overlap_weights() const {
    return section_.overlap_weights.value == "gaussian" ? OverlapWeights::gaussian : OverlapWeights::average;
  }
  /// Predicts cases once, or with the section `uncertainty` several times, and then writes the maps to a folder.
  /// @return the paths of the maps
  template <class AnyNet, class Done>
  std::vector<std::string> predict_cases(AnyNet& net, std::vector<Case> cases, const std::string& folder,
                                         const Done& done, Kept kept = Kept::result) {
    const Uncertainty& how = params_.uncertainty;
    std::vector<std::string> written;
    if (!how.is_on()) {
      if (how.epistemic || how.aleatoric || how.n_it > 0)
        logger_.warning("uncertainty is not estimated: it takes n_it of at least 2, and epistemic or aleatoric");
      predict_all(net, *make_set(std::move(cases), Stage::testing), done, true, kept);
      return written;
    }
    add_boxes(cases);
    const auto set_of = [&](const Case& one, Stage stage, std::uint64_t seed) {
      [[maybe_unused]] const auto scope = profiler_.scope(Unit::data);
      return std::unique_ptr<Set>(new Set(loader_.dataset({one}, augment_, stage, seed)));
    };
    const auto finish = [&](const Case& one, const Geometry& geometry, const UncertaintyMaps& maps) {
      for (auto& path : write_uncertainty_maps(folder + "/" + one.id, maps, geometry))
        written.push_back(std::move(path));
      Prediction prediction{maps.soft.clone(), geometry.spacing_mm(), false, &maps, &maps.soft};
      postprocess_(prediction);
      done(one, geometry, prediction);
    };
    Mirrored views(net, section_.mirror_axes);
    estimate_uncertainties(
        views, cases, set_of, augment_, batch_options(false), classes(), overlap_weights(), runtime_.device, profiler_,
        how, params_.path_output, finish, [&](const std::string& warning) { logger_.warning(warning); },
        [&](std::int64_t runs, std::int64_t all) { logger_.progress("predicting", runs, all, {}); });
    logger_.info("uncertainty: maps of " + std::to_string(how.n_it) + " predictions of each image in " + folder);
    return written;
  }

  /// The probabilities and the truth of every sample.
  template <class AnyNet>
  [[nodiscard]] std::vector<ClassificationRecord> classify_all(AnyNet& net, const Set& set) {
    std::vector<ClassificationRecord> records;
    classify(
        net, set, batch_options(false), runtime_.device, profiler_,
        [&](const Origin& origin, std::span<const float> probability, std::span<const float> truth) {
          records.push_back(
              {set.case_of(static_cast<std::size_t>(origin.volume)).id + "_slice-" + std::to_string(origin.slice),
               {probability.begin(), probability.end()},
               {truth.begin(), truth.end()}});
        },
        [&](std::int64_t batch, std::int64_t batches) { logger_.progress("predicting", batch, batches, {}); });
    return records;
  }

  template <class AnyNet>
  [[nodiscard]] TestSummary test_classifier(AnyNet& net, const Set& set, TestSummary summary) {
    const auto records = classify_all(net, set);
    summary.csv = output("results_eval/classification.csv");
    write_classification_csv(summary.csv, records);
    summary.classification = classification_summary(records);
    const std::string scores_csv = output("results_eval/classification_scores.csv");
    write_file_atomically(scores_csv, classification_scores_csv(summary.classification));
    for (std::size_t c = 0; c < summary.classification.classes.size(); ++c) {
      const auto& scores = summary.classification.classes[c];
      logger_.info("class " + std::to_string(c) + ": log loss " + detail::fixed(scores.log_loss, 4) + ", accuracy " +
                   detail::fixed(scores.accuracy, 4) + ", AUC " + detail::fixed(scores.auc, 4) + " over " +
                   std::to_string(records.size()) + " samples, " + std::to_string(summary.classification.positives[c]) +
                   " of them of the class");
    }
    logger_.info("samples:     " + summary.csv);
    logger_.info("metrics:     " + scores_csv);
    return summary;
  }

  [[nodiscard]] std::string painted_path(const Case& one) const {
    return output("pred_masks/" + one.id + "_pred_TP-FP-FN.nii.gz");
  }
  /// Writes the lesions that were found, missed and made up, each in its colour, beside the prediction.
  void write_painted(const Case& one, const Geometry& geometry, const Prediction& prediction,
                     const Array<float>& truth) {
    const Array<std::uint8_t> painted = paint_objects(prediction, truth.view(), params_.evaluation_parameters);
    Prediction picture{zeros(painted.shape()), prediction.spacing_mm, true};
    std::copy(painted.begin(), painted.end(), picture.voxels.begin());
    write_prediction(painted_path(one), picture, geometry);
  }

  /// Writes the key points of a heat map and compares them with the true ones.
  void score_points(const Case& one, const Geometry& geometry, const Prediction& prediction, const Array<float>& truth,
                    TestSummary& summary, std::string& table) {
    const auto points = find_keypoints(prediction.voxels.view(), geometry);
    write_keypoints(summary.predictions + "/" + one.id + "_pred.csv", points);
    for (const auto& [index, score] : score_keypoints_by_class(points, find_keypoints(truth.view(), geometry),
                                                               params_.evaluation_parameters.keypoint_distance_mm)) {
      table += detail::csv_text(one.id) + "," +
               detail::text(index, ",", score.truth, ",", score.predicted, ",", score.matched(), ",",
                            detail::csv_number(score.mean_error_mm()), ",", detail::csv_number(score.median_error_mm()),
                            "\n");
      summary.keypoints[index].add(score);
    }
  }

  /// Makes a threshold that of the step binarize_prediction.
  void take_threshold(double threshold) {
    using Steps = typename PostProc::Params;
    Json steps = to_json(params_.postprocessing);
    const std::string step(Binarize::name);
    if constexpr (!requires(Steps & chain) { chain.template add<Binarize>(); }) {
      if (!steps.contains(step))
        return logger_.info("this program's post-processing has no " + step + ": the threshold is only reported");
    }
    steps[step]["thr"] = threshold;
    params_.postprocessing = from_json<Steps>(steps, "postprocessing");
    postprocess_ = PostProc(params_.postprocessing);
    write_configuration();
  }

  /// One class as a 3-D file, several as a 4-D one with the class last; masks as uint8, soft predictions as float32.
  static void write_prediction(const std::string& path, const Prediction& prediction, const Geometry& geometry) {
    const auto type = prediction.is_mask ? StoredType::uint8 : StoredType::float32;
    if (prediction.voxels.extent(0) == 1)
      write_volume(path, prediction.voxels.view().select(0, 0), geometry, type);
    else
      write_volume(path, prediction.voxels.view().permute({1, 2, 3, 0}), geometry, type);
  }

  Params params_;
  Runtime runtime_;
  [[no_unique_address]] LoggerPolicy logger_;
  [[no_unique_address]] ProfilerPolicy profiler_;
  ModelParameters section_;  // of the chosen model
  ModelTraits traits_;
  Task task_;
  std::optional<MetadataEncoder> encoder_;  // of the condition, where the model takes metadata
  std::string weights_path_;
  PatchChoice patch_choice_;
  std::int64_t filmed_ = 0;  // samples
  [[no_unique_address]] FilmPolicy film_;
  DataLoader loader_;
  Augment augment_;
  PostProc postprocess_;
};

/// The whole of a program: reads the command line and the configuration, runs the command, turns errors into a message
/// on standard
/// error and an exit status (0 done, 2 wrong usage or configuration, 3 data that cannot be used, 4 anything else).
///
/// @param configuration  JSON of the experiment itself, over the defaults of its types and under the file given with
///         `-c`
template <class Experiment>
int main(int argc, char** argv, std::string_view configuration = {}) {
  const std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "ivado";
  try {
    const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
    const CommandLine line = parse_command_line(arguments);
    using Params = typename Experiment::Params;
    if (line.help) {
      print_usage(std::cout, program);
      std::cout << "\nConfiguration keys:\n";
      print_help<Params>(std::cout);
      Experiment::for_each_policy([]<class Policy>(std::type_identity<Policy>, const std::string& path) {
        print_help<Policy>(std::cout, path);
      });
      return 0;
    }
    if (line.version) return std::cout << "ivado " << version << "\n", 0;
    if (line.keys) return std::cout << Experiment::key_reference(), 0;
    if (line.schema) return std::cout << schema<Params>().dump(2) << "\n", 0;
    std::vector<std::string> warnings;
    Params params = Experiment::defaults();
    if (!configuration.empty()) params = Experiment::configure(params, Json::parse(configuration), warnings);
    if (!line.config.empty())
      params = Experiment::configure(params, read_user_configuration(line.config), warnings);
    else if (configuration.empty() && line.path_data.empty())
      throw usage_error("starting", "neither a configuration nor data are given",
                        "use -c config.json, or -pd for the data; --help explains");
    if (line.command) params.command = *line.command;
    check_options(line, params.command);
    if (!line.path_data.empty()) params.loader_parameters.path_data.values = line.path_data;
    if (!line.path_output.empty()) params.path_output = line.path_output;
    if (line.threads) params.threads = line.threads;
    if (line.workers) params.loader_parameters.workers = *line.workers;
    if (line.seed) params.seed = *line.seed;
    RuntimeOptions options;
    options.threads = params.threads;
    options.gpu_ids = params.gpu_ids;
    for (const auto& warning : warnings) std::cerr << warning << "\n";
    Experiment experiment(std::move(params), start_runtime(options));
    if (line.profile) {
      if constexpr (requires { experiment.profiler().record(); })
        experiment.profiler().record(static_cast<unsigned>(options.gpu_ids.front()));
      else
        throw usage_error("starting", "--profile is given, and this program was compiled without it",
                          "name profile::select<profile::level::system> among the policies of its Pipeline");
    }
    experiment.film(line.gif);
    experiment.choose_patches(line.patches);
    experiment.run(line.threshold_increment, line.resume);
    return 0;
  } catch (const Error& error) {
    std::cerr << program << ": error: " << error.what() << "\n";
    return error.exit_status();
  } catch (const std::bad_alloc&) {
    std::cerr << program
              << ": error: the memory of this machine is used up; use a smaller batch_size, cache_mib or crop\n";
    return static_cast<int>(Fault::internal);
  } catch (const std::exception& error) {
    std::cerr << program << ": error: " << error.what() << "\n";
    return static_cast<int>(Fault::internal);
  }
}

}  // namespace ivado
