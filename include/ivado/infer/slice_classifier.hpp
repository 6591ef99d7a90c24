// A trained classifier that says which slices a data set keeps.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "../config/ivadomed.hpp"
#include "../config/sections.hpp"
#include "../data/array.hpp"
#include "../data/patches.hpp"
#include "../data/sample.hpp"
#include "../error.hpp"
#include "../interop/safetensors.hpp"
#include "../model/any_model.hpp"
#include "../model/net.hpp"
#include "../random.hpp"
#include "../task.hpp"
#include "../train/tensor.hpp"

namespace ivado {

/// A classifier of slices, read from its packaged model with its transforms and weights. Safe to call from several
/// threads, of which one computes at a time.
///
/// A slice is kept if a class has a probability of at least 0.5. A classifier of one channel judges each channel of a
/// slice (but not one that is constant beside others, such as a contrast that is missing), and all must be kept. As
/// ivadomed means it, whose classifiers reject nearly all because their probability is cut to an integer.
///
/// @tparam Model, Augment  of the program; `AnyModel` and `AnyCompose` take any package
template <Architecture Model, class Augment>
class SliceClassifier {
 public:
  /// @param path  the folder of the packaged model, `<name>/` with `<name>.json` and `<name>.safetensors`, or the latter
  /// @throws Error (usage) if the configuration there is not that of a classifier of slices, or of one that takes
  ///         metadata; (data) if it or the weights are not there
  SliceClassifier(const std::string& path, const at::Device& device) : SliceClassifier(Package(path), device) {}

  /// True if the slice is to be kept.
  /// @param slice  [channel, H, W], as it is read: without any transform
  /// @throws Error (usage) if it has another number of channels than the classifier, which has more than one
  [[nodiscard]] bool operator()(const Sample& slice) {
    Sample prepared = slice.clone();
    auto history = augment_.preprocess(prepared, Stage::testing);
    augment_.augment(prepared, Stage::testing, RandomKey{}, history);
    Array<float>& voxels = prepared.image.voxels;
    if (channels_ != 1 && voxels.extent(0) != channels_)
      throw usage_error(
          "filtering slices with the classifier " + name_,
          "it takes " + std::to_string(channels_) + " channels, the slices have " + std::to_string(voxels.extent(0)),
          "take a classifier of one channel, or of the same contrasts");
    const c10::InferenceMode no_gradients;
    at::Tensor input = tensor_view(voxels);
    input = channels_ == 1 ? input.unsqueeze(1) : input.unsqueeze(0);
    if (const auto judged = varying(voxels); channels_ == 1 && !judged.empty())
      input = input.index_select(0, at::tensor(judged, at::kLong));
    const std::lock_guard lock(mutex_);
    return net_.forward(input.to(device_)).amax(1).ge(0.5).all().template item<bool>();
  }

 private:
  /// What is read before the net can be made.
  struct Package {
    explicit Package(const std::filesystem::path& path) {
      const auto clean = path.has_filename() ? path : path.parent_path();
      const bool is_folder = std::filesystem::is_directory(clean);
      if (!is_folder && clean.extension() != ".safetensors")
        throw usage_error("reading the configuration key loader_parameters.slice_filter_params.classifier_path",
                          clean.string() + " is no folder", "give the folder of a classifier that ivado has trained");
      base = (is_folder ? clean / clean.filename() : clean.parent_path() / clean.stem()).string();
      const Json tree = read_configuration(base + ".json");
      section = from_json<ModelParameters>(resolve_model(tree, Command::segment), "default_model");
      loader = from_json<LoaderParameters>(tree.at("loader_parameters"), "loader_parameters");
      transformation = from_json<typename Augment::Params>(tree.at("transformation"), "transformation");
      const ModelTraits traits = model_traits<Model>(section);
      if (traits.tasks.meets(Task::segmentation) || !traits.tasks.meets(Task::classification) || !section.is_2d ||
          traits.condition == ConditionKind::presence || section.metadata)
        throw usage_error("reading the classifier " + base + ".json",
                          "the model " + section.name + " is no classifier of single slices",
                          "give one that is trained on slices without metadata, such as resnet18");
      shape = network_shape(section, loader, traits.condition, 0);
    }
    std::string base;
    ModelParameters section;
    LoaderParameters loader;
    typename Augment::Params transformation;
    NetworkShape shape;
  };

  SliceClassifier(const Package& package, const at::Device& device)
      : name_(package.base),
        device_(device),
        channels_(package.shape.in_channels),
        augment_(package.transformation),
        net_(make_model<Model>(package.section, package.shape)) {
    const std::string path = package.base + ".safetensors";
    load_weights(net_, read_safetensors(path), path);
    net_.to(device);
    net_.train(false);
  }

  /// The channels that are not constant.
  [[nodiscard]] static std::vector<std::int64_t> varying(const Array<float>& voxels) {
    std::vector<std::int64_t> out;
    for (std::int64_t c = 0; c < voxels.extent(0); ++c)
      if (detail::varies(voxels.view().select(0, c))) out.push_back(c);
    return out;
  }

  std::string name_;
  at::Device device_;
  std::int64_t channels_;
  Augment augment_;
  Net<Model> net_;
  std::mutex mutex_;
};

}  // namespace ivado
