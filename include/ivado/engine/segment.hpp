// Production without LibTorch: image files in, predictions out, with a packaged model and the engine.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../config/ivadomed.hpp"
#include "../config/sections.hpp"
#include "../data/bids_loader.hpp"
#include "../data/file_cases.hpp"
#include "../data/metadata_encoder.hpp"
#include "../data/split.hpp"
#include "../data/volume_io.hpp"
#include "../infer/patch_choice.hpp"
#include "../infer/predict_samples.hpp"
#include "../interop/safetensors.hpp"
#include "../model/any_model.hpp"
#include "../postprocess/dynamic_postprocess.hpp"
#include "../postprocess/keypoints.hpp"
#include "../profile/profiler.hpp"
#include "../segment_image_options.hpp"
#include "../transform/transform.hpp"
#include "engine.hpp"

namespace ivado {

namespace engine {

/// The mean prediction over all combinations of mirrored axes, as `Mirrored` gives it of a net.
/// @param axes  spatial axes, each once: 0 for H, 1 for W, 2 for D; the third one of slices is passed over
[[nodiscard]] inline Array<float> forward_mirrored(Network& network, const Array<float>& image,
                                                   const Array<float>& condition,
                                                   const std::vector<std::int64_t>& axes) {
  std::vector<int> mirrored;
  for (const std::int64_t axis : axes)
    if (axis + 2 < image.rank()) mirrored.push_back(static_cast<int>(axis) + 2);
  Array<float> sum = network.forward(image, condition);
  const std::size_t views = std::size_t{1} << mirrored.size();
  const auto flipped = [&](const Array<float>& of, std::size_t view) {
    ArrayView<const float> out = of.view();
    for (std::size_t i = 0; i < mirrored.size(); ++i)
      if ((view >> i & 1U) != 0) out = out.flip(mirrored[i]);
    return out;
  };
  for (std::size_t view = 1; view < views; ++view) {
    const Array<float> part = network.forward(Array<float>::from(flipped(image, view)), condition);
    zip(flipped(part, view), sum.view(), [](float value, float& to) { to += value; });
  }
  if (views > 1)
    for (auto& value : sum) value /= static_cast<float>(views);
  return sum;
}

}  // namespace engine

/// A packaged model, ready to segment: the folder `<model_name>` of a training, with `<model_name>.json` and
/// `<model_name>.safetensors` in it.
///
/// Images are resampled, cropped and normalised, cut into slices or patches, predicted, put together, brought back onto
/// their own grid and post-processed as `ivado --segment` does, by the same code; the engine computes the network. Not
/// thread-safe: one segmenter a thread.
class Segmenter {
 public:
  using Params = Configuration<SplitParams, AnyCompose::Params, AnyPostProcess::Params>;

  /// @param folder   the package
  /// @param patches  of slices, other than the model's
  /// @throws Error (usage) if the package cannot be read, or asks for what needs LibTorch: a classifier, uncertainty, a
  ///         detector before the model or a filter of slices; (data) if the weights do not fit
  explicit Segmenter(const std::string& folder, const EngineOptions& options = {}, const PatchChoice& patches = {})
      : Segmenter(read_params(package_of(folder).package(".json")), package_of(folder).package(".safetensors"), options,
                  patches) {}

  /// Predicts cases: `done(case, geometry, prediction)` for each, on the grid of its reference image, after
  /// post-processing.
  /// @param cases  without labels, with the channels of the model
  /// @throws Error (data) if an image cannot be used
  template <class Done>
  void predict(std::vector<Case> cases, const Done& done) {
    for (auto& one : cases) set_condition(one);
    if (section_.is_2d)
      predict_samples_of<AnySlices>(std::move(cases), done);
    else
      predict_samples_of<AnySubvolumes>(std::move(cases), done);
  }

  /// Predicts image files and writes the predictions, see `image_prediction_name`; of a model of key points the points
  /// as well.
  /// @param images    a multiple of the channels of the model: those of one case stand together, in their order
  /// @param folder    of the predictions; made if it is not there
  /// @param metadata  over that of each image's own sidecar, such as {"PixelSize": [0.1, 0.1]}
  /// @return the paths that were written, in order
  /// @throws Error (usage) if the number of images does not fit; (data) if one cannot be used
  std::vector<std::string> segment(const std::vector<std::string>& images, const std::string& folder,
                                   const std::string& suffix = "_pred", const Json& metadata = Json::object()) {
    std::vector<Case> cases =
        make_cases_of_files(images, shape_.in_channels, params_.loader_parameters.contrast_params.testing);
    for (auto& one : cases) one.metadata.update(metadata);
    std::error_code fault;
    std::filesystem::create_directories(folder, fault);
    if (fault) throw usage_error("making the folder " + folder, fault.message(), "choose another one");
    std::vector<std::string> written;
    const auto next = [&](const std::string& name) -> const std::string& {
      return written.emplace_back((std::filesystem::path(folder) / name).string());
    };
    predict(std::move(cases), [&](const Case& one, const Geometry& geometry, const Prediction& prediction) {
      const std::int64_t classes = prediction.voxels.extent(0);
      for (std::int64_t c = 0; c < classes; ++c)
        write_image(next(image_prediction_name(one.images[one.reference], suffix, c, classes, geometry.shape[2] == 1)),
                    prediction.voxels.view().select(0, c), geometry,
                    prediction.is_mask ? StoredType::uint8 : StoredType::float32);
      if (finds_points_)
        write_keypoints(next(one.id + suffix + ".csv"), find_keypoints(prediction.voxels.view(), geometry));
    });
    std::sort(written.begin(), written.end());
    return written;
  }

  [[nodiscard]] const Params& params() const noexcept { return params_; }
  /// Channels, classes and depth of the model.
  [[nodiscard]] const NetworkShape& shape() const noexcept { return shape_; }
  /// Length of the condition that the network takes beside the image; 0 for none.
  [[nodiscard]] std::int64_t conditions() const noexcept { return conditions_; }
  [[nodiscard]] engine::Network& network() noexcept { return *network_; }

 private:
  Segmenter(Params params, const std::string& weights_path, const EngineOptions& options, const PatchChoice& patches)
      : params_(std::move(params)),
        section_(from_json<ModelParameters>(resolve_model(to_json(params_), Command::segment), "default_model")),
        traits_(any_model_traits(section_)),
        patches_(chosen_patches(section_.is_2d ? PatchSize{section_.length_2D, section_.stride_2D}
                                               : PatchSize{section_.length_3D, section_.stride_3D},
                                patches, section_.is_2d ? 2 : 3)),
        batch_size_(patches.no_patch ? 1 : params_.training_parameters.batch_size) {
    refuse_what_needs_more(weights_path);
    finds_points_ = traits_.tasks.meets(Task::keypoints) &&
                    params_.evaluation_parameters.keypoints.value_or(!traits_.tasks.meets(Task::segmentation));
    const bool of_contrasts = traits_.condition == ConditionKind::presence;
    if (of_contrasts && section_.contrasts.empty())
      section_.contrasts = params_.loader_parameters.contrast_params.training_validation;
    const nn::Weights weights = read_safetensors(weights_path);
    const bool of_metadata = traits_.condition == ConditionKind::metadata ||
                             (traits_.condition == ConditionKind::any && section_.metadata.has_value());
    if (const auto said = weights.metadata.find("condition"); said != weights.metadata.end())
      encoder_ = MetadataEncoder::from_json(Json::parse(said->second));
    else if (of_metadata)
      throw data_error("loading the weights " + weights_path, "they do not say how the metadata is encoded",
                       "train the model with ivado");
    shape_ = network_shape(section_, params_.loader_parameters, traits_.condition,
                           encoder_ ? static_cast<int>(encoder_->size()) : 0);
    visit_model(section_, shape_, [&]<class Model>(Model made) {
      auto model = std::make_shared<const Model>(std::move(made));
      conditions_ = nn::conditions(*model);
      const nn::ParameterList& list = model->parameters();
      network_ = std::make_unique<engine::Network>([model](const Shape& shape) { return graph::record(*model, shape); },
                                                   list, weights, options);
    });
  }

  [[nodiscard]] static SegmentImageOptions package_of(const std::string& folder) {
    SegmentImageOptions options;
    options.model = folder;
    return options;
  }
  [[nodiscard]] static Params read_params(const std::string& path) {
    const Json user = read_user_configuration(path);
    (void)check_keys<Params>(user);
    Json tree = merge(to_json(Params{}), user);
    update_old_split(tree);
    return configuration_of<Params>(tree);
  }
  void refuse_what_needs_more(const std::string& weights_path) const {
    const auto refuse = [&](const std::string& found, const std::string& remedy) {
      throw usage_error("preparing the model of " + weights_path + " for the engine", found, remedy);
    };
    if (!traits_.tasks.meets(Task::segmentation) && !traits_.tasks.meets(Task::keypoints))
      refuse(section_.name + " predicts no maps", "use the program ivado for classifiers");
    if (params_.uncertainty.is_on())
      refuse("its configuration asks for uncertainty", "set uncertainty.n_it to 0, or use the program ivado");
    if (params_.object_detection_params.object_detection_path)
      refuse("it works behind a detector (object_detection_params.object_detection_path)", "use the program ivado");
    if (params_.loader_parameters.slice_filter_params.filter_classification && section_.is_2d)
      refuse("its slices must pass a classifier (slice_filter_params.filter_classification)", "use the program ivado");
  }

  /// The condition of a FiLM model, by the encoder of the training.
  void set_condition(Case& one) const {
    if (!encoder_) return;
    if (!encoder_->encodes(one))
      throw data_error("conditioning the model on " + encoder_->metadata(), one.id + " has no such metadata",
                       "leave the image out, or complete its metadata");
    one.condition = encoder_->encode(one);
  }
  [[nodiscard]] ModelNeeds needs() const {
    ModelNeeds out;
    out.patches = patches_;
    out.missing_contrasts = traits_.condition == ConditionKind::presence;
    if (out.missing_contrasts) out.channels = section_.contrasts;
    return out;
  }

  template <class Slicing, class Done>
  void predict_samples_of(std::vector<Case> cases, const Done& done) {
    const BidsLoader<Slicing, Channels<dynamic>, Classes<dynamic>, MissingContrasts, Metadata> loader(
        params_.loader_parameters, needs());
    const AnyCompose augment(params_.transformation);
    const AnyPostProcess postprocess(params_.postprocessing);
    const auto set = loader.dataset(std::move(cases), augment, Stage::testing, params_.seed);
    const BatchOptions options{static_cast<std::size_t>(batch_size_), false, params_.seed,
                               params_.loader_parameters.workers, params_.loader_parameters.prefetch};
    const auto weights =
        section_.overlap_weights.value == "gaussian" ? OverlapWeights::gaussian : OverlapWeights::average;
    const auto forward = [&](const Batch& batch, const RandomKey&) {
      auto output = std::make_shared<Array<float>>(
          engine::forward_mirrored(*network_, batch.image, batch.condition, section_.mirror_axes));
      return [output](std::int64_t i) { return Array<float>::from(std::as_const(*output).view().select(0, i)); };
    };
    NoProfiler profiler;
    predict_samples(
        forward, set, augment, options, shape_.classes, weights, profiler,
        [&](std::size_t volume, Prediction prediction) {
          postprocess(prediction);
          done(set.case_of(volume), set.geometry_of(volume), prediction);
        },
        [](std::int64_t, std::int64_t) {});
  }

  Params params_;
  ModelParameters section_;
  ModelTraits traits_;
  PatchSize patches_;
  std::int64_t batch_size_;
  NetworkShape shape_;
  bool finds_points_ = false;
  std::int64_t conditions_ = 0;
  std::optional<MetadataEncoder> encoder_;
  std::unique_ptr<engine::Network> network_;
};

/// Predicts the images that a command line of `ivado segment-image` names, without LibTorch.
/// @return the paths that were written
/// @throws Error as `Segmenter`
[[nodiscard]] inline std::vector<std::string> segment_image_by_engine(const SegmentImageOptions& options) {
  EngineOptions engine_options;
  engine_options.threads = options.threads.value_or(0);
  if (options.in_bf16) engine_options.precision = engine::Precision::bf16;
  Json metadata = Json::object();
  if (!options.pixel_size_mm.empty()) metadata = {{"PixelSize", options.pixel_size_mm}, {"PixelSizeUnits", "mm"}};
  return Segmenter(options.model, engine_options, options.patches)
      .segment(options.images, options.output, options.suffix, metadata);
}

}  // namespace ivado
