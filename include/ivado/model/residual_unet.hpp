// A U-Net with a residual encoder and deep supervision, 2-D and 3-D.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../inline.hpp"
#include "concept.hpp"
#include "unet_parts.hpp"

namespace ivado {

namespace nn {

/// A residual block: convolution, norm, leaky ReLU, convolution, norm; the input is added, then leaky ReLU (He et al.
/// 2016, arXiv:1512.03385, "D" of He et al. 2019, arXiv:1812.01187: a strided shortcut is a mean of 2 voxels an axis,
/// and where the channels change a 1×1 convolution with a norm behind it).
class ResidualBlock {
 public:
  /// @param convolution  of the 3×3 convolutions but for the stride, which the first one has alone
  IVADO_INLINE ResidualBlock(const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t stride,
                             const BlockOptions& options)
      : first_(scope, "conv1", "norm1", in, out, strided(options, stride)),
        second_(scope.child("conv2"), out, out, options.convolution),
        norm_(scope.child("norm2"), options.norm, out, options.momentum),
        activation_{options.slope},
        stride_(stride) {
    if (in == out) return;
    ConvolutionOptions projection = options.convolution;
    projection.kernel = 1;
    projection_.emplace(scope.child("projection"), in, out, projection);
    projection_norm_.emplace(scope.child("projection_norm"), options.norm, out, options.momentum);
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    typename On::Value shortcut = stride_ > 1 ? apply(on, op::AveragePool{stride_}, x) : x;
    if (projection_) shortcut = (*projection_norm_)(on, (*projection_)(on, shortcut));
    return activation_(on, apply(on, op::Add{}, norm_(on, second_(on, first_(on, x))), shortcut));
  }

 private:
  [[nodiscard]] IVADO_INLINE static BlockOptions strided(BlockOptions options, std::int64_t stride) {
    options.convolution.stride = stride;
    return options;
  }

  Block first_;
  Convolution second_;
  Norm norm_;
  Activation activation_;
  std::int64_t stride_;
  std::optional<Convolution> projection_;
  std::optional<Norm> projection_norm_;
};

}  // namespace nn

/// U-Net with a residual encoder and deep supervision, as nnU-Net plans it since its residual presets (Isensee et al.
/// 2024, arXiv:2404.09556; nnU-Net: Isensee et al. 2021, doi 10.1038/s41592-020-01008-z). The choice for 3-D.
///
/// A stem of one block; then `depth` + 1 stages of residual blocks, each but the first halving the size with a strided
/// convolution; on the way up a transposed convolution, the skip connection, one block a stage. A block is convolution,
/// affine instance norm, leaky ReLU (slope 0.01). Channels double from `n_filters` up to `max_filters`.
/// For training, each stage of the way up has a 1×1 head of its own, but for the two lowest resolutions (as in
/// nnU-Net).
/// @note  Unlike nnU-Net: convolutions before a norm have no bias, which the norm would take away; the last norm of a
///         residual block starts at 1, not 0; heads and transposed convolutions start as PyTorch's; kernels and strides
///         are the same for all axes.
///
/// @tparam Dim      2 or 3
/// @tparam In       input channels, or `dynamic`
/// @tparam Classes  output classes without the background, or `dynamic`
///
/// Input [N, In, spatial…], each extent a multiple of `divisor()`, of which more than one voxel is left at the bottom;
/// output [N, Classes, spatial…] in [0, 1].
template <int Dim, int In = 1, int Classes = 1>
class ResidualUnet {
  static_assert(Dim == 2 || Dim == 3, "ivado: ResidualUnet<Dim> exists for 2 and 3 dimensions");

 public:
  struct Params : OutputParams {
    int n_filters = 32;                      ///< channels of the first stage
    int max_filters = Dim == 3 ? 320 : 512;  ///< the most that a stage has
    std::vector<int> blocks;                 ///< residual blocks of each stage; empty: 1, 3, 4, 6, 6, 6…
    double dropout_rate = 0;                 ///< probability that a channel is dropped, in the blocks of both ways

    static constexpr auto fields() {
      return ivado::fields(
          field<"n_filters", &Params::n_filters>("channels of the first stage; each stage down doubles them",
                                                 at_least(1)),
          field<"max_filters", &Params::max_filters>("the most channels that a stage has", at_least(1)),
          field<"blocks", &Params::blocks>(
              "residual blocks of each stage, depth + 1 of them; empty: 1, 3, 4, then 6 each", at_least(1)),
          field<"dropout_rate", &Params::dropout_rate>("probability that a channel is dropped while training",
                                                       at_least(0), below(1)),
          field<"final_activation", &Params::final_activation>("what is done to the last convolution"),
          field<"background", &Params::background>(
              "compute a background channel and drop it; null: where softmax or relu has several classes"));
    }
  };

  static constexpr std::string_view name = "ResidualUnet";
  static constexpr int dimension = Dim;
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::segmentation | Task::keypoints;

  /// @param shape  the numbers that the type leaves open, and the depth (number of halvings), 1 to 10
  /// @throws Error (usage) if they disagree with the type, or `blocks` has another length than depth + 1
  explicit ResidualUnet(const Params& params, const NetworkShape& shape = default_shape())
      : params_(params), shape_(shape) {
    detail::require_shape(name, {In, Classes, dynamic}, shape);
    if (shape.depth < 1 || shape.depth > 10)
      throw usage_error("building a ResidualUnet", "depth " + std::to_string(shape.depth), "use 1 to 10");
    const auto stages = static_cast<std::size_t>(shape.depth) + 1;
    constexpr std::array planned{1, 3, 4, 6};
    if (params_.blocks.empty())
      for (std::size_t s = 0; s < stages; ++s) params_.blocks.push_back(planned[std::min(s, planned.size() - 1)]);
    if (params_.blocks.size() != stages)
      throw usage_error("building a ResidualUnet",
                        "blocks has " + std::to_string(params_.blocks.size()) + " entries, depth " +
                            std::to_string(shape.depth) + " has " + std::to_string(stages) + " stages",
                        "give one for each stage, or none at all");
    const nn::Scope root(list_);
    stem_.emplace(root.child("stem"), "conv", "norm", shape.in_channels, width(0), options());
    add_encoder(root.child("encoder"));
    add_decoder(root.child("decoder"), root.child("heads"));
  }

  ResidualUnet() : ResidualUnet(Params{}) {}

  /// What the type says, and 1 channel and 1 class where it is open; depth 4.
  [[nodiscard]] static constexpr NetworkShape default_shape() noexcept {
    return {In > 0 ? In : 1, Classes > 0 ? Classes : 1, 4};
  }

  [[nodiscard]] const nn::ParameterList& parameters() const noexcept { return list_; }
  [[nodiscard]] const Params& params() const noexcept { return params_; }
  [[nodiscard]] const NetworkShape& shape() const noexcept { return shape_; }
  /// Each spatial extent of the input must be a multiple of it: 2^depth.
  [[nodiscard]] int divisor() const noexcept { return 1 << shape_.depth; }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input) const {
    return predict(on, maps(on, input).back(), heads_.back());
  }
  /// The prediction, then those of the coarser stages, each of half the size of the one before; the two lowest
  /// resolutions have none.
  template <nn::Interpreter On>
  [[nodiscard]] std::vector<typename On::Value> forward_supervised(On& on, const typename On::Value& input) const {
    const std::vector<typename On::Value> of_stages = maps(on, input);
    std::vector<typename On::Value> predictions;
    for (std::size_t i = 0; i < heads_.size(); ++i)
      predictions.push_back(predict(on, of_stages[of_stages.size() - 1 - i], heads_[heads_.size() - 1 - i]));
    return predictions;
  }

 private:
  /// A stage up: its transposed convolution and its block.
  struct Up {
    nn::TransposedConvolution up;
    nn::Block block;
  };

  [[nodiscard]] std::int64_t width(int stage) const noexcept {
    return std::min(static_cast<std::int64_t>(params_.n_filters) << stage,
                    static_cast<std::int64_t>(params_.max_filters));
  }
  [[nodiscard]] nn::BlockOptions options() const {
    nn::BlockOptions options;
    options.convolution.dimension = Dim;
    options.convolution.bias = false;
    options.convolution.init = nn::Init::kaiming_normal;
    options.norm = nn::NormKind::affine_instance;
    options.slope = 0.01;
    options.dropout_rate = params_.dropout_rate;
    return options;
  }

  void add_encoder(const nn::Scope& scope) {
    for (int s = 0; s <= shape_.depth; ++s) {
      std::vector<nn::ResidualBlock> stage;
      for (int b = 0; b < params_.blocks[static_cast<std::size_t>(s)]; ++b)
        stage.emplace_back(scope.child(s).child(b), width(b == 0 ? std::max(s - 1, 0) : s), width(s),
                           b == 0 && s > 0 ? 2 : 1, options());
      stages_.push_back(std::move(stage));
    }
  }
  /// Stages and heads are numbered by their halvings, and stand from the lowest to the highest resolution.
  void add_decoder(const nn::Scope& scope, const nn::Scope& heads) {
    for (int s = shape_.depth - 1; s >= 0; --s) {
      nn::TransposedConvolution up(scope.child(s).child("up"), Dim, width(s + 1), width(s));
      ups_.push_back({std::move(up), nn::Block(scope.child(s), "conv", "norm", 2 * width(s), width(s), options())});
      if (s > 0 && s + 2 > shape_.depth) continue;
      nn::ConvolutionOptions head;
      head.dimension = Dim;
      head.kernel = 1;
      heads_.emplace_back(heads.child(s), width(s), params_.channels(shape_.classes), head);
    }
  }

  /// The maps of the way up, that of the highest resolution last.
  template <nn::Interpreter On>
  [[nodiscard]] std::vector<typename On::Value> maps(On& on, const typename On::Value& input) const {
    using Value = typename On::Value;
    std::vector<Value> skips;
    Value x = (*stem_)(on, input);
    for (const auto& stage : stages_) {
      for (const auto& block : stage) x = block(on, x);
      skips.push_back(x);
    }
    std::vector<Value> out;
    for (const Up& up : ups_) {
      skips.pop_back();
      x = up.block(on, nn::apply(on, nn::op::Concat{}, up.up(on, x), skips.back()));
      out.push_back(x);
    }
    return out;
  }
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value predict(On& on, const typename On::Value& map, const nn::Convolution& head) const {
    return nn::final_activation(on, head(on, map), params_, shape_.classes);
  }

  Params params_;
  NetworkShape shape_;
  nn::ParameterList list_;
  std::optional<nn::Block> stem_;
  std::vector<std::vector<nn::ResidualBlock>> stages_;
  std::vector<Up> ups_;
  std::vector<nn::Convolution> heads_;
};

static_assert(Architecture<ResidualUnet<2>> && Architecture<ResidualUnet<3>>);

}  // namespace ivado
