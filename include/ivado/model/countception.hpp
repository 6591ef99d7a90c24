// Count-ception, a fully convolutional network for key points: structure, parameter names and shapes as in ivadomed.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "network_shape.hpp"

namespace ivado {

/// The parameters of Countception.
struct CountceptionParams {
  double bn_momentum = 0.1;  ///< weight of the new statistic

  static constexpr auto fields() {
    return ivado::fields(field<"bn_momentum", &CountceptionParams::bn_momentum>(
        "weight of the new batch's statistics in the running ones", within(0, 1)));
  }
};

namespace nn {

/// Convolution with bias, batch norm and leaky ReLU under a scope of their own, "ConvBlock" in ivadomed.
///
/// The convolution is uniform at first as Glorot and Bengio 2010 have it, times the gain √(2 / (1 + 0.01²)) of a leaky
/// ReLU; the gain is the same where `slope` is another.
[[nodiscard]] IVADO_INLINE Block countception_block(const Scope& scope, std::int64_t in, std::int64_t out,
                                                    std::int64_t kernel, std::int64_t padding,
                                                    const CountceptionParams& params, double slope = 0.01) {
  BlockOptions options;
  options.convolution.kernel = kernel;
  options.convolution.padding = padding;
  options.convolution.init = Init::xavier_uniform;
  options.convolution.gain = std::sqrt(2 / (1 + 0.01 * 0.01));
  options.momentum = params.bn_momentum;
  options.slope = slope;
  return {scope, "conv1", "batch_norm", in, out, options};
}

/// Three blocks side by side with kernels of 3, 5 and 9, one result behind the other ("SimpleBlock" in ivadomed). The
/// map loses a voxel on each side.
class CountceptionBranches {
 public:
  /// @param out_3   channels of the kernel of 3
  /// @param out_59  channels of each of the others
  IVADO_INLINE CountceptionBranches(const Scope& scope, std::int64_t in, std::int64_t out_3, std::int64_t out_59,
                                    const CountceptionParams& params)
      : by_3_(countception_block(scope.child("conv1"), in, out_3, 3, 0, params)),
        by_5_(countception_block(scope.child("conv2"), in, out_59, 5, 1, params)),
        by_9_(countception_block(scope.child("conv3"), in, out_59, 9, 3, params)) {}

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op::Concat{}, by_3_(on, x), by_5_(on, x), by_9_(on, x));
  }

 private:
  Block by_3_;
  Block by_5_;
  Block by_9_;
};

}  // namespace nn

/// Count-ception (Cohen et al. 2017, arXiv:1703.08710) as ivadomed has it for the labelling of vertebral discs (Rouhier
/// et al. 2020, arXiv:2003.04387): heat maps whose peaks are the points.
///
/// Convolutions without a pooling on a map that is padded by 40 at first; the result has the size of the input,
/// whatever that is. It has exactly `Classes` channels: ivadomed carries a background channel where there are several
/// classes.
/// ivadomed's `use_logits` does not exist (known-problems B4.8: it never worked).
///
/// @tparam In       input channels, or `dynamic`
/// @tparam Classes  output classes, or `dynamic`
///
/// Input [N, In, height, width]; output [N, Classes, height, width], which nothing holds within [0, 1]: it comes from a
/// leaky ReLU.
template <int In = 1, int Classes = 1>
class Countception : public ModelBase<CountceptionParams> {
 public:
  using Params = CountceptionParams;
  static constexpr std::string_view name = "Countception";
  static constexpr int dimension = 2;
  static constexpr int depth = dynamic;  ///< has no meaning here
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::keypoints;

  /// @param shape  the numbers that the type leaves open; where the type has them, they must agree. `depth` is not read
  /// @throws Error (usage) if they do not
  explicit Countception(const Params& params, const NetworkShape& shape = default_shape()) : ModelBase(params, shape) {
    detail::require_shape(name, {In, Classes, dynamic}, shape);
    const nn::Scope root(list_);
    int blocks = 0;
    const auto add_block = [&](std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t padding = 0,
                               double slope = 0.01) {
      const nn::Scope scope = root.child("conv" + std::to_string(++blocks));
      layers_.emplace_back(nn::countception_block(scope, in, out, kernel, padding, params, slope));
    };
    int branches = 0;
    const auto add_branches = [&](std::int64_t in, std::int64_t out_3, std::int64_t out_59) {
      const nn::Scope scope = root.child("simple" + std::to_string(++branches));
      layers_.emplace_back(nn::CountceptionBranches(scope, in, out_3, out_59, params));
    };
    add_block(shape.in_channels, 64, 3, 40);
    add_branches(64, 16, 16);
    add_branches(48, 16, 32);
    add_block(80, 16, 14);
    add_branches(16, 112, 48);
    add_branches(208, 64, 32);
    add_branches(128, 40, 40);
    add_branches(120, 32, 96);
    add_block(224, 32, 20);
    add_block(32, 64, 10);
    add_block(64, 32, 9);
    add_block(32, shape.classes, 20, 1, 0.3);
  }

  Countception() : Countception(Params{}) {}

  /// What the type says, and 1 channel and 1 class where it is open.
  [[nodiscard]] static constexpr NetworkShape default_shape() noexcept {
    return {In > 0 ? In : 1, Classes > 0 ? Classes : 1};
  }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input) const {
    typename On::Value x = input;
    for (const auto& layer : layers_) x = std::visit([&](const auto& one) { return one(on, x); }, layer);
    return x;
  }

 private:
  std::vector<std::variant<nn::Block, nn::CountceptionBranches>> layers_;
};

static_assert(Architecture<Countception<>>);

}  // namespace ivado
