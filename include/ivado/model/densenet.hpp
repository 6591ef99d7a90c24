// DenseNet classifiers of 121 to 201 layers: structure, parameter names and shapes as in torchvision; that of 121
// layers is ivadomed's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "network_shape.hpp"

namespace ivado {

/// The parameters of DenseNet.
struct DenseNetParams {
  double dropout_rate = 0.3;  ///< probability that an element of a dense layer's output is dropped; ivadomed's is fixed
  double bn_momentum = 0.1;   ///< weight of the new statistic

  static constexpr auto fields() {
    return ivado::fields(
        field<"dropout_rate", &DenseNetParams::dropout_rate>(
            "probability that an element of a dense layer's output is dropped while training", at_least(0), below(1)),
        field<"bn_momentum", &DenseNetParams::bn_momentum>("weight of the new batch's statistics in the running ones",
                                                           within(0, 1)));
  }
};

namespace detail {

/// What the DenseNets differ in (Huang et al. 2017, table 1; 161 layers: their wide network of growth 48).
struct DenseNetPlan {
  int layers;
  std::string_view name;
  std::array<int, 4> blocks;  ///< dense layers of each block
  int growth;                 ///< channels that a dense layer adds
  int features;               ///< channels of the first convolution
};

/// The plan for a number of layers; 0 layers where there is none.
[[nodiscard]] consteval DenseNetPlan densenet_plan(int layers) {
  for (const auto& plan : {DenseNetPlan{121, "densenet121", {6, 12, 24, 16}, 32, 64},
                           DenseNetPlan{161, "densenet161", {6, 12, 36, 24}, 48, 96},
                           DenseNetPlan{169, "densenet169", {6, 12, 32, 32}, 32, 64},
                           DenseNetPlan{201, "densenet201", {6, 12, 48, 32}, 32, 64}})
    if (plan.layers == layers) return plan;
  return {};
}

}  // namespace detail

namespace nn {

/// Batch norm, ReLU and a convolution without bias, in this order; so are their parameters.
///
/// The convolution is normal with the variance 2 / fan-in at first (He et al. 2015, arXiv:1502.01852).
class DenseNetConvolution {
 public:
  /// @param scope  the parent; the names are of the children in it
  IVADO_INLINE DenseNetConvolution(const Scope& scope, const std::string& norm_name,
                                   const std::string& convolution_name, std::int64_t in, std::int64_t out,
                                   std::int64_t kernel, double momentum)
      : norm_(scope.child(norm_name), NormKind::batch, in, momentum),
        convolution_(scope.child(convolution_name), in, out, options(kernel, 1)) {}

  [[nodiscard]] IVADO_INLINE static ConvolutionOptions options(std::int64_t kernel, std::int64_t stride) {
    ConvolutionOptions options;
    options.kernel = kernel;
    options.stride = stride;
    options.bias = false;
    options.init = Init::kaiming_normal;
    return options;
  }

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return convolution_(on, NormStep{norm_.operation(), {}, Activation{}}(on, x));
  }

 private:
  Norm norm_;
  Convolution convolution_;
};

/// A dense layer: a 1×1 convolution to four times the growth, a 3×3 one to the growth, dropout of single elements; the
/// input and what comes out, one behind the other.
class DenseNetLayer {
 public:
  IVADO_INLINE DenseNetLayer(const Scope& scope, std::int64_t in, std::int64_t growth, const DenseNetParams& params)
      : first_(scope, "norm1", "conv1", in, 4 * growth, 1, params.bn_momentum),
        second_(scope, "norm2", "conv2", 4 * growth, growth, 3, params.bn_momentum),
        dropout_(scope, params.dropout_rate, false) {}

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op::Concat{}, x, dropout_(on, second_(on, first_(on, x))));
  }

 private:
  DenseNetConvolution first_;
  DenseNetConvolution second_;
  Dropout dropout_;
};

}  // namespace nn

/// DenseNet for classification (Huang et al. 2017, arXiv:1608.06993; 2-D), with bottlenecks and transitions that halve
/// the channels.
///
/// ivadomed has 121 layers, one channel and one class alone, and a fixed dropout of 0.3 (known-problems A4).
///
/// @tparam Layers   121, 161, 169 or 201
/// @tparam In       input channels, or `dynamic`
/// @tparam Classes  output classes without the background, or `dynamic`
///
/// Input [N, In, height, width] of 29×29 or more, which leaves one voxel at the end; output [N, Classes] in [0, 1]:
/// softmax over background (number 0) and classes, of which the background is dropped.
template <int Layers = 121, int In = 1, int Classes = 1>
class DenseNet : public ModelBase<DenseNetParams> {
  static constexpr detail::DenseNetPlan plan = detail::densenet_plan(Layers);
  static_assert(plan.layers > 0, "ivado: DenseNet<Layers> exists for 121, 161, 169 and 201 layers");

 public:
  using Params = DenseNetParams;
  static constexpr std::string_view name = plan.name;
  static constexpr int dimension = 2;
  static constexpr int depth = dynamic;  ///< has no meaning here
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::classification;

  /// @param shape  the numbers that the type leaves open; where the type has them, they must agree. `depth` is not read
  /// @throws Error (usage) if they do not
  explicit DenseNet(const Params& params, const NetworkShape& shape = default_shape()) : ModelBase(params, shape) {
    detail::require_shape(name, {In, Classes, dynamic}, shape);
    const nn::Scope root(list_);
    const nn::Scope features = root.child("features");
    nn::BlockOptions stem;
    stem.convolution = nn::DenseNetConvolution::options(7, 2);
    stem.momentum = params.bn_momentum;
    std::int64_t channels = plan.features;
    stem_.emplace(features, "conv0", "norm0", shape.in_channels, channels, stem);
    for (std::size_t b = 0; b < plan.blocks.size(); ++b) {
      const std::string number = std::to_string(b + 1);
      const nn::Scope block = features.child("denseblock" + number);
      auto& layers = blocks_.emplace_back();
      for (int i = 1; i <= plan.blocks[b]; ++i) {
        layers.emplace_back(block.child("denselayer" + std::to_string(i)), channels, plan.growth, params);
        channels += plan.growth;
      }
      if (b + 1 == plan.blocks.size()) break;
      transitions_.emplace_back(features.child("transition" + number), "norm", "conv", channels, channels / 2, 1,
                                params.bn_momentum);
      channels /= 2;
    }
    norm_.emplace(features.child("norm5"), nn::NormKind::batch, channels, params.bn_momentum);
    const nn::Scope classifier = root.child("classifier");
    const std::int64_t out = shape.classes + 1;
    last_.weight = classifier.add("weight", {out, channels}, {nn::Init::fan_in_uniform, static_cast<double>(channels)});
    last_.bias = classifier.add("bias", {out}, nn::Init::zeros);
    last_.in = channels;
    last_.out = out;
  }

  DenseNet() : DenseNet(Params{}) {}

  /// What the type says, and 1 channel and 1 class where it is open.
  [[nodiscard]] static constexpr NetworkShape default_shape() noexcept {
    return {In > 0 ? In : 1, Classes > 0 ? Classes : 1};
  }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input) const {
    typename On::Value x = nn::apply(on, nn::op::MaxPool{3, 2, 1}, (*stem_)(on, input));
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      for (const auto& layer : blocks_[b]) x = layer(on, x);
      if (b < transitions_.size()) x = nn::apply(on, nn::op::AveragePool{}, transitions_[b](on, x));
    }
    x = nn::apply(on, nn::op::GlobalAveragePool{}, nn::NormStep{norm_->operation(), {}, nn::Activation{}}(on, x));
    x = nn::apply(on, nn::op::Softmax{}, nn::apply(on, last_, x));
    return nn::apply(on, nn::op::SelectChannels{1, -1}, x);
  }

 private:
  std::optional<nn::Block> stem_;
  std::vector<std::vector<nn::DenseNetLayer>> blocks_;
  std::vector<nn::DenseNetConvolution> transitions_;
  std::optional<nn::Norm> norm_;
  nn::op::Linear last_;  ///< its bias starts at 0, which nn::Linear does not do
};

static_assert(Architecture<DenseNet<121>> && Architecture<DenseNet<161>>);

}  // namespace ivado
