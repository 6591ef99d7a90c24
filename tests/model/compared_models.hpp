// The models that every interpreter of a recorded network is held to, with the inputs that they are run on: real images
// where they are there. Used by the tests of ONNX Runtime and of the engine.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <ivado/data/volume_io.hpp>
#include <ivado/model/countception.hpp>
#include <ivado/model/densenet.hpp>
#include <ivado/model/filmed_unet.hpp>
#include <ivado/model/hemis_unet.hpp>
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/residual_unet.hpp>
#include <ivado/model/resnet.hpp>
#include <ivado/model/unet.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../data/nifti_bytes.hpp"

namespace test {

using namespace ivado;

/// The hippocampi of the public data, in the order of their names; empty, and said, where they are not there.
inline std::vector<std::string> image_files() {
  std::vector<std::string> files;
  const auto folder = data_folder() / "msd-hippocampus";
  if (std::filesystem::is_directory(folder))
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
      if (entry.path().filename().string().ends_with("_T1w.nii.gz") &&
          entry.path().string().find("derivatives") == std::string::npos)
        files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  if (files.empty()) WARN("skipped: the public test images are not there; IVADO_DATA_DIR names their folder");
  return files;
}

/// A batch of real images: each channel of each sample another one, its middle cut or padded to the shape, normalised.
inline at::Tensor images(const std::vector<std::string>& files, const std::vector<std::int64_t>& shape) {
  at::Tensor batch = at::zeros(shape);
  const std::size_t axes = shape.size() - 2;
  for (std::int64_t place = 0; place < shape[0] * shape[1]; ++place) {
    const Volume volume = read_volume(files[static_cast<std::size_t>(place) % files.size()]);
    const auto& extents = volume.voxels.shape();
    at::Tensor image = at::from_blob(const_cast<float*>(volume.voxels.data()), {extents[0], extents[1], extents[2]});
    image = (image - image.mean()) / image.std();
    if (axes == 2) image = image[image.size(0) / 2];
    at::Tensor target = batch[place / shape[1]][place % shape[1]];
    for (std::int64_t axis = 0; axis < image.dim(); ++axis) {
      const std::int64_t common = std::min(image.size(axis), target.size(axis));
      image = image.narrow(axis, (image.size(axis) - common) / 2, common);
      target = target.narrow(axis, (target.size(axis) - common) / 2, common);
    }
    target.copy_(image);
  }
  return batch;
}

/// Gives batch norms running statistics of real images, and all norms factors of their own.
template <class Model>
void stir(Net<Model>& net, const at::Tensor& input, const at::Tensor& condition) {
  at::manual_seed(11);
  const auto tensors = net.tensors();
  bool has_statistics = false;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& spec = net.model().parameters()[static_cast<nn::ParameterId>(i)];
    has_statistics = has_statistics || spec.role == nn::Role::counter;
    if (spec.role == nn::Role::weight && spec.shape.rank() == 1)
      tensors[i].detach().add_(at::rand_like(tensors[i]), 0.2);
  }
  net.train(true);
  for (int step = 0; has_statistics && step < 10; ++step) (void)net.forward(input, condition);
  net.train(false);
}

/// What a net gives in evaluation mode if all is computed in float64.
template <class Model>
at::Tensor in_double(const Net<Model>& net, const at::Tensor& input, const at::Tensor& condition) {
  std::vector<at::Tensor> tensors;
  for (const auto& tensor : net.tensors())
    tensors.push_back(tensor.is_floating_point() ? tensor.to(at::kDouble) : tensor);
  nn::TorchInterpreter on(tensors, false);
  return nn::forward(net.model(), on, input.to(at::kDouble),
                     condition.defined() ? condition.to(at::kDouble) : condition);
}

inline double distance(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

/// What is run for a model beside its type.
struct Run {
  Shape recorded;
  std::vector<std::int64_t> shape;  ///< of the images that it is run on
  at::Tensor condition{};
};

template <class Model>
typename Model::Params params(FinalActivation activation = FinalActivation::sigmoid) {
  typename Model::Params params;
  params.n_filters = 6;
  params.final_activation = activation;
  return params;
}

inline const std::array activations{std::pair{"sigmoid", FinalActivation::sigmoid},
                                    std::pair{"softmax", FinalActivation::softmax},
                                    std::pair{"relu", FinalActivation::relu}};

/// All operations that no model of ours has, and those with other numbers than models have.
struct OddNetwork {
  struct Params {};
  static constexpr std::string_view name = "OddNetwork";
  static constexpr int dimension = dynamic;
  static constexpr int in_channels = 2;
  static constexpr int classes = 1;
  static constexpr TaskSet tasks = all_tasks;

  explicit OddNetwork(int axes) : axes_(axes) {
    const nn::Scope root(list_);
    nn::ConvolutionOptions options;
    options.dimension = axes;
    options.stride = 2;
    first_.emplace(root.child("first"), 2, 6, options);
    norm_.emplace(root.child("norm"), nn::NormKind::affine_instance, 6);
    wider_.emplace(root.child("wider"), axes, 6, 3, 3);
    films_.emplace(root.child("film"), 2, 3, std::nullopt, true);
  }
  [[nodiscard]] const nn::ParameterList& parameters() const { return list_; }
  [[nodiscard]] static int conditions() { return 2; }

  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input,
                                           const typename On::Value& presence) const {
    using nn::apply;
    auto x = apply(on, nn::op::LeakyRelu{0.3}, (*norm_)(on, (*first_)(on, input)));
    x = apply(on, nn::op::MaxPool{3, 2, 1}, (*wider_)(on, x));
    x = apply(on, nn::op::Upsample{3}, apply(on, nn::op::AveragePool{2}, x));
    const auto one = apply(on, nn::op::SelectChannels{1, 1}, x);
    x = (*films_)(on, x, presence);
    const auto scaled = apply(on, nn::op::DivideByMax{false}, apply(on, nn::op::Relu{}, x));
    auto moments = apply(on, nn::op::Moments{}, presence, x, apply(on, nn::op::Multiply{}, scaled, one));
    moments = apply(on, nn::op::Add{}, moments, apply(on, nn::op::Concat{}, x, scaled));
    auto shares = apply(on, nn::op::DivideByChannelSum{}, apply(on, nn::op::Relu{}, moments));
    shares = apply(on, nn::op::Dropout{}, apply(on, nn::op::ResizeLike{}, shares, input));
    return apply(on, nn::op::Dropout{}, apply(on, nn::op::DivideByMax{true}, shares));
  }

 private:
  int axes_;
  nn::ParameterList list_;
  std::optional<nn::Convolution> first_;
  std::optional<nn::Norm> norm_;
  std::optional<nn::TransposedConvolution> wider_;
  std::optional<nn::FilmLayer> films_;
};

/// Calls `compare(model, variant, run)` for each of them.
template <class Compare>
void for_unets(const Compare& compare) {
  for (const auto& [word, activation] : activations) {
    using Flat = Unet<2, 3, 1, 2>;
    using Deep = Unet<3, 2, 1, 2>;
    compare(Flat(params<Flat>(activation)), std::string("2-D ") + word, {{1, 1, 16, 16}, {3, 1, 45, 38}});
    compare(Deep(params<Deep>(activation)), std::string("3-D ") + word, {{1, 1, 8, 8, 8}, {2, 1, 21, 26, 19}});
  }
  auto as_ivadomed = params<Unet<2>>(FinalActivation::relu);
  as_ivadomed.as_ivadomed = true;
  compare(Unet<2>(as_ivadomed), "2-D relu as ivadomed", {{1, 1, 16, 16}, {3, 1, 40, 32}});
}

/// Calls `compare(model, variant, run)` for each of them.
template <class Compare>
void for_conditioned_unets(const Compare& compare) {
  const at::Tensor codes = at::eye(3).slice(0, 0, 2);
  using Film = FiLMedUnet<2>;
  auto film = params<Film>();
  compare(Film(film, {1, 1, 3, 3}), "2-D", {{1, 1, 16, 16}, {2, 1, 44, 32}, codes});
  film.as_ivadomed = true;
  compare(Film(film, {1, 1, 3, 3}), "2-D as ivadomed", {{1, 1, 16, 16}, {2, 1, 44, 32}, codes});
  using Film3 = FiLMedUnet<3, 2>;
  compare(Film3(params<Film3>(), {1, 1, 2, 3}), "3-D", {{1, 1, 8, 8, 8}, {2, 1, 20, 18, 13}, codes});
  const at::Tensor presence = at::tensor({1.0F, 1.0F, 0.0F, 1.0F, 1.0F, 0.0F}).reshape({3, 2});
  using Hemis = HeMISUnet<2>;
  compare(Hemis(params<Hemis>(), {2, 1, 3, 0}), "2-D", {{1, 2, 16, 16}, {3, 2, 47, 32}, presence});
  using Hemis3 = HeMISUnet<3, 2>;
  compare(Hemis3(params<Hemis3>(), {2, 1, 2, 0}), "3-D", {{1, 2, 8, 8, 8}, {3, 2, 17, 20, 12}, presence});
}

/// Calls `compare(model, variant, run)` for each of them.
template <class Compare>
void for_modified_3d_unets(const Compare& compare) {
  using Model = Modified3DUNet<1, 2>;
  const Shape recorded{1, 1, 32, 16, 16};
  for (const auto& [word, activation] : activations)
    compare(Model(params<Model>(activation)), word, {recorded, {2, 1, 32, 48, 16}});
  auto attention = params<Model>();
  attention.attention = true;
  compare(Model(attention), "attention", {recorded, {2, 1, 16, 48, 32}});
  auto film = params<Model>();
  film.film_layers.assign(10, 1);
  compare(Model(film, {1, 2, 4, 3}), "FiLM", {recorded, {2, 1, 32, 32, 16}, at::eye(3).slice(0, 1, 3)});
}

/// Calls `compare(model, variant, run)` for each of them.
template <class Compare>
void for_residual_unets(const Compare& compare) {
  using Flat = ResidualUnet<2, 1, 2>;
  using Deep = ResidualUnet<3, 1, 1>;
  compare(Flat(params<Flat>(FinalActivation::softmax), {1, 2, 3}), "2-D softmax", {{1, 1, 16, 16}, {3, 1, 48, 32}});
  compare(Deep(params<Deep>(), {1, 1, 2}), "3-D sigmoid", {{1, 1, 8, 8, 8}, {2, 1, 32, 24, 28}});
}

/// Calls `compare(model, variant, run)` for each of them.
template <class Compare>
void for_classifiers_and_countception(const Compare& compare) {
  const Run run{{1, 1, 32, 32}, {3, 1, 50, 41}};
  compare(ResNet<18, 1, 2>(ResNetParams{}), "18", run);
  compare(ResNet<50, 1, 2>(ResNetParams{}), "50", run);
  compare(DenseNet<121, 1, 2>(DenseNetParams{}), "121", run);
  compare(Countception<1, 2>(CountceptionParams{}), "", {{1, 1, 16, 16}, {2, 1, 33, 28}});
}

/// Calls `compare(model, variant, run)` for each of them.
template <class Compare>
void for_odd_networks(const Compare& compare) {
  const at::Tensor presence = at::tensor({1.0F, 1.0F, 0.0F, 1.0F}).reshape({2, 2});
  compare(OddNetwork(2), "2-D", {{1, 2, 16, 16}, {2, 2, 45, 35}, presence});
  compare(OddNetwork(3), "3-D", {{1, 2, 16, 16, 16}, {2, 2, 27, 21, 18}, presence});
}

}  // namespace test
