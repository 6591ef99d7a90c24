// ResNet classifiers of 18 to 152 layers: structure, parameter names and shapes as in torchvision; that of 18 layers is
// ivadomed's.
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

/// The parameters of ResNet.
struct ResNetParams {
  double bn_momentum = 0.1;    ///< weight of the new statistic
  double fc_dropout_rate = 0;  ///< probability that a feature is dropped before the last linear layer

  static constexpr auto fields() {
    return ivado::fields(
        field<"bn_momentum", &ResNetParams::bn_momentum>("weight of the new batch's statistics in the running ones",
                                                         within(0, 1)),
        field<"fc_dropout_rate", &ResNetParams::fc_dropout_rate>(
            "probability that a feature is dropped before the last linear layer while training; ivadomed has none",
            at_least(0), below(1)));
  }
};

namespace detail {

/// What the ResNets differ in (He et al. 2015, table 1).
struct ResNetPlan {
  int layers;
  std::string_view name;
  std::array<int, 4> blocks;  ///< of each stage
  bool bottleneck;            ///< blocks of 1×1, 3×3 and 1×1 instead of two 3×3
};

/// The plan for a number of layers; 0 layers where there is none.
[[nodiscard]] consteval ResNetPlan resnet_plan(int layers) {
  for (const auto& plan :
       {ResNetPlan{18, "resnet18", {2, 2, 2, 2}, false}, ResNetPlan{34, "resnet34", {3, 4, 6, 3}, false},
        ResNetPlan{50, "resnet50", {3, 4, 6, 3}, true}, ResNetPlan{101, "resnet101", {3, 4, 23, 3}, true},
        ResNetPlan{152, "resnet152", {3, 8, 36, 3}, true}})
    if (plan.layers == layers) return plan;
  return {};
}

}  // namespace detail

namespace nn {

/// A residual block: convolutions with batch norm and ReLU, the input added before the last ReLU.
///
/// Where its stride or width changes the shape, the input passes a 1×1 convolution and a batch norm (`downsample`).
class ResNetBlock {
 public:
  /// @param width  channels of the 3×3 convolutions; a bottleneck gives four times as many
  IVADO_INLINE ResNetBlock(const Scope& scope, std::int64_t in, std::int64_t width, std::int64_t stride,
                           bool bottleneck, double momentum) {
    const std::int64_t out = outputs(width, bottleneck);
    BlockOptions options;
    options.momentum = momentum;
    if (bottleneck) {
      options.convolution = convolution(1, 1);
      blocks_.emplace_back(scope, "conv1", "bn1", in, width, options);
      options.convolution = convolution(3, stride);
      blocks_.emplace_back(scope, "conv2", "bn2", width, width, options);
      last_.emplace(scope, "conv3", "bn3", width, out, convolution(1, 1), momentum);
    } else {
      options.convolution = convolution(3, stride);
      blocks_.emplace_back(scope, "conv1", "bn1", in, width, options);
      last_.emplace(scope, "conv2", "bn2", width, out, convolution(3, 1), momentum);
    }
    if (stride != 1 || in != out)
      shortcut_.emplace(scope.child("downsample"), "0", "1", in, out, convolution(1, stride), momentum);
  }

  /// Channels of the output.
  [[nodiscard]] static constexpr std::int64_t outputs(std::int64_t width, bool bottleneck) noexcept {
    return bottleneck ? 4 * width : width;
  }
  /// A convolution of a ResNet: no bias, normal with the variance 2 / fan-out at first (He et al. 2015,
  /// arXiv:1502.01852).
  [[nodiscard]] IVADO_INLINE static ConvolutionOptions convolution(std::int64_t kernel, std::int64_t stride) {
    ConvolutionOptions options;
    options.kernel = kernel;
    options.stride = stride;
    options.bias = false;
    options.init = Init::kaiming_normal;
    options.fan_out = true;
    return options;
  }

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& input) const {
    typename On::Value x = input;
    for (const auto& block : blocks_) x = block(on, x);
    return apply(on, op::Relu{}, apply(on, op::Add{}, (*last_)(on, x), shortcut_ ? (*shortcut_)(on, input) : input));
  }

 private:
  /// A convolution and its norm, without an activation behind them.
  struct ConvolutionNorm {
    IVADO_INLINE ConvolutionNorm(const Scope& scope, const std::string& convolution_name, const std::string& norm_name,
                                 std::int64_t in, std::int64_t out, const ConvolutionOptions& options, double momentum)
        : convolution(scope.child(convolution_name), in, out, options),
          norm(scope.child(norm_name), NormKind::batch, out, momentum) {}
    template <Interpreter On>
    [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
      return norm(on, convolution(on, x));
    }

    Convolution convolution;
    Norm norm;
  };

  std::vector<Block> blocks_;
  std::optional<ConvolutionNorm> last_;
  std::optional<ConvolutionNorm> shortcut_;
};

}  // namespace nn

/// ResNet for classification (He et al. 2015, arXiv:1512.03385; 2-D).
///
/// Up to 34 layers the blocks are two 3×3 convolutions, from 50 on bottlenecks. A bottleneck has its stride on the 3×3
/// convolution, as torchvision and Goyal et al. 2017 (arXiv:1706.02677) have it and He et al. have not ("ResNet v1.5").
/// ivadomed has 18 layers, one channel and one class alone (known-problems A4).
///
/// @tparam Layers   18, 34, 50, 101 or 152
/// @tparam In       input channels, or `dynamic`
/// @tparam Classes  output classes without the background, or `dynamic`
///
/// Input [N, In, height, width] of any size (32 and more leave the last stage something to see); output [N, Classes] in
/// [0, 1]: softmax over background (number 0) and classes, of which the background is dropped.
template <int Layers = 18, int In = 1, int Classes = 1>
class ResNet : public ModelBase<ResNetParams> {
  static constexpr detail::ResNetPlan plan = detail::resnet_plan(Layers);
  static_assert(plan.layers > 0, "ivado: ResNet<Layers> exists for 18, 34, 50, 101 and 152 layers");

 public:
  using Params = ResNetParams;
  static constexpr std::string_view name = plan.name;
  static constexpr int dimension = 2;
  static constexpr int depth = dynamic;  ///< has no meaning here
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::classification;

  /// @param shape  the numbers that the type leaves open; where the type has them, they must agree. `depth` is not read
  /// @throws Error (usage) if they do not
  explicit ResNet(const Params& params, const NetworkShape& shape = default_shape()) : ModelBase(params, shape) {
    detail::require_shape(name, {In, Classes, dynamic}, shape);
    const nn::Scope root(list_);
    nn::BlockOptions stem;
    stem.convolution = nn::ResNetBlock::convolution(7, 2);
    stem.momentum = params.bn_momentum;
    stem_.emplace(root, "conv1", "bn1", shape.in_channels, 64, stem);
    std::int64_t channels = 64;
    for (int stage = 0; stage < 4; ++stage) {
      const nn::Scope scope = root.child("layer" + std::to_string(stage + 1));
      const std::int64_t width = std::int64_t{64} << stage;
      for (int i = 0; i < plan.blocks[static_cast<std::size_t>(stage)]; ++i) {
        blocks_.emplace_back(scope.child(i), channels, width, i == 0 && stage > 0 ? 2 : 1, plan.bottleneck,
                             params.bn_momentum);
        channels = nn::ResNetBlock::outputs(width, plan.bottleneck);
      }
    }
    dropout_.emplace(root, params.fc_dropout_rate, false);
    last_.emplace(root.child("fc"), channels, shape.classes + 1);
  }

  ResNet() : ResNet(Params{}) {}

  /// What the type says, and 1 channel and 1 class where it is open.
  [[nodiscard]] static constexpr NetworkShape default_shape() noexcept {
    return {In > 0 ? In : 1, Classes > 0 ? Classes : 1};
  }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input) const {
    typename On::Value x = nn::apply(on, nn::op::MaxPool{3, 2, 1}, (*stem_)(on, input));
    for (const auto& block : blocks_) x = block(on, x);
    x = (*last_)(on, (*dropout_)(on, nn::apply(on, nn::op::GlobalAveragePool{}, x)));
    return nn::apply(on, nn::op::SelectChannels{1, -1}, nn::apply(on, nn::op::Softmax{}, x));
  }

 private:
  std::optional<nn::Block> stem_;
  std::vector<nn::ResNetBlock> blocks_;
  std::optional<nn::Dropout> dropout_;
  std::optional<nn::Linear> last_;
};

static_assert(Architecture<ResNet<18>> && Architecture<ResNet<50>>);

}  // namespace ivado
