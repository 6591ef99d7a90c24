// The U-Net of ivadomed, 2-D and 3-D: structure, parameter names and shapes as there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../nn/layers.hpp"

namespace ivado {

/// What a network does to its last convolution.
enum class FinalActivation { sigmoid, softmax, relu };

template <>
struct EnumNames<FinalActivation> {
  static constexpr std::array values{std::pair{std::string_view{"sigmoid"}, FinalActivation::sigmoid},
                                     std::pair{std::string_view{"softmax"}, FinalActivation::softmax},
                                     std::pair{std::string_view{"relu"}, FinalActivation::relu}};
};

/// What a model predicts.
enum class Task { segmentation };

/// The numbers of a network that its type may leave open (`dynamic`).
struct NetworkShape {
  int in_channels = 1;
  int classes = 1;
  int depth = 3;
};

namespace nn {

/// Two blocks, as "DownConv" in ivadomed.
template <int Dim>
class DoubleBlock {
 public:
  DoubleBlock(const Scope& scope, std::int64_t in, std::int64_t out, double dropout_rate, double momentum,
              int& dropout_place)
      : first_(scope, "conv1", "conv1_bn", in, out, dropout_rate, momentum, dropout_place),
        second_(scope, "conv2", "conv2_bn", out, out, dropout_rate, momentum, dropout_place + 1) {
    dropout_place += 2;
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return second_(on, first_(on, x));
  }

 private:
  Block<Dim> first_;
  Block<Dim> second_;
};

/// The last step of a segmentation network: activation, then the background channel (number 0) is dropped.
///
/// `relu`: ReLU divided by its maximum over each map of each sample, and with several channels by their sum at each
/// voxel.
/// ivadomed divides by the maximum of the whole batch, so that a prediction depends on its neighbours in the batch;
/// `as_ivadomed` does so too.
template <Interpreter On>
[[nodiscard]] typename On::Value final_activation(On& on, const typename On::Value& logits, FinalActivation activation,
                                                  bool has_background, bool several_channels, bool as_ivadomed) {
  typename On::Value y = [&] {
    switch (activation) {
      case FinalActivation::softmax:
        return apply(on, op::Softmax{}, logits);
      case FinalActivation::relu: {
        auto scaled = apply(on, op::DivideByMax{as_ivadomed}, apply(on, op::Relu{}, logits));
        return several_channels ? apply(on, op::DivideByChannelSum{}, scaled) : scaled;
      }
      case FinalActivation::sigmoid:
        break;
    }
    return apply(on, op::Sigmoid{}, logits);
  }();
  return has_background ? apply(on, op::DropChannels{1}, y) : y;
}

}  // namespace nn

/// U-Net for segmentation (Ronneberger et al. 2015, arXiv:1505.04597) as ivadomed builds it.
///
/// Blocks are convolution, ReLU, norm, dropout of whole channels; the bottom does not double the width; the way up
/// resizes
/// linearly (corners aligned) to the size of the skip connection, so every size that survives `depth` poolings is
/// allowed.
///
/// @tparam Dim      2 (batch norm) or 3 (instance norm without parameters, as in ivadomed)
/// @tparam Depth    number of poolings, or `dynamic`
/// @tparam In       input channels, or `dynamic`
/// @tparam Classes  output classes without the background, or `dynamic`
///
/// Input [N, In, spatial…]; output [N, Classes, spatial…] in [0, 1].
/// Several classes under softmax or relu have a background channel that is computed and dropped; sigmoid needs none
/// (ivadomed
/// carries it: `as_ivadomed` does too, and must be on to read its multi-class sigmoid weights).
/// Example: examples/segment_2d.cpp
template <int Dim, int Depth = 3, int In = 1, int Classes = 1>
class Unet {
  static_assert(Dim == 2 || Dim == 3, "ivado: Unet<Dim> exists for 2 and 3 dimensions");

 public:
  struct Params {
    int n_filters = 64;         ///< channels of the first level
    double dropout_rate = 0.3;  ///< probability that a channel is dropped
    double bn_momentum = 0.1;   ///< weight of the new statistic
    FinalActivation final_activation = FinalActivation::sigmoid;
    std::optional<bool> background;  ///< a background channel; by default as described above
    bool as_ivadomed = false;        ///< ivadomed's unused background channel and batch-wide relu scaling

    static constexpr auto fields() {
      return ivado::fields(
          field<"n_filters", &Params::n_filters>("channels of the first level; each level down doubles them",
                                                 at_least(1)),
          field<"dropout_rate", &Params::dropout_rate>("probability that a channel is dropped while training",
                                                       at_least(0), below(1)),
          field<"bn_momentum", &Params::bn_momentum>("weight of the new batch's statistics in the running ones",
                                                     within(0, 1)),
          field<"final_activation", &Params::final_activation>("what is done to the last convolution"),
          field<"background", &Params::background>(
              "compute a background channel and drop it; null: where softmax or relu has several classes"),
          field<"as_ivadomed", &Params::as_ivadomed>(
              "ivadomed's background channel under sigmoid and its scaling of relu by the whole batch"));
    }
  };

  static constexpr std::string_view name = "Unet";
  static constexpr int dimension = Dim;
  static constexpr int depth = Depth;
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr Task task = Task::segmentation;

  /// Fails to compile, with the remedy, where the loader's samples have another dimension.
  template <int LoaderDimension>
  static consteval void explain_dimension() {
    static_assert(!(Dim == 3 && LoaderDimension == 2),
                  "ivado: Unet<3> needs volumes: use Subvolumes<...>, not Slices<...>");
    static_assert(!(Dim == 2 && LoaderDimension == 3),
                  "ivado: Unet<2> needs slices: use Slices<...>, not Subvolumes<...>");
  }

  /// @param shape  the numbers that the type leaves open; where the type has them, they must agree
  /// @throws Error (usage) if they do not
  explicit Unet(const Params& params, const NetworkShape& shape = default_shape()) : params_(params), shape_(shape) {
    require("input channels", In, shape.in_channels);
    require("classes", Classes, shape.classes);
    require("depth", Depth, shape.depth);
    if (shape.depth < 1) throw usage_error("building a Unet", "depth " + std::to_string(shape.depth), "use 1 or more");
    build();
  }

  Unet() : Unet(Params{}) {}

  /// What the type says, and 1 channel, 1 class, depth 3 where it is open.
  [[nodiscard]] static constexpr NetworkShape default_shape() noexcept {
    return {In > 0 ? In : 1, Classes > 0 ? Classes : 1, Depth > 0 ? Depth : 3};
  }

  /// The parameters and buffers, in the order of ivadomed's state dictionary.
  [[nodiscard]] const nn::ParameterList& parameters() const noexcept { return list_; }
  [[nodiscard]] const Params& params() const noexcept { return params_; }
  [[nodiscard]] const NetworkShape& shape() const noexcept { return shape_; }
  /// True if the network computes a background channel and drops it.
  [[nodiscard]] bool has_background() const noexcept {
    return params_.background.value_or(shape_.classes > 1 &&
                                       (params_.as_ivadomed || params_.final_activation != FinalActivation::sigmoid));
  }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input) const {
    std::vector<typename On::Value> skips;
    typename On::Value x = input;
    for (const auto& level : down_) {
      skips.push_back(level(on, x));
      x = nn::apply(on, nn::op::MaxPool{2}, skips.back());
    }
    x = bottom_.front()(on, x);
    for (const auto& level : up_) {
      const typename On::Value skip = skips.back();
      skips.pop_back();
      x = level(on, nn::apply(on, nn::op::Concat{}, nn::apply(on, nn::op::ResizeLike{}, x, skip), skip));
    }
    return nn::final_activation(on, last_.front()(on, x), params_.final_activation, has_background(),
                                out_channels() > 1, params_.as_ivadomed);
  }

 private:
  static void require(std::string_view what, int in_type, int given) {
    if (in_type != dynamic && in_type != given)
      throw usage_error(
          "building a Unet",
          std::string(what) + " " + std::to_string(given) + " asked for, its type has " + std::to_string(in_type),
          "change the configuration or the type");
  }
  [[nodiscard]] std::int64_t out_channels() const noexcept { return shape_.classes + (has_background() ? 1 : 0); }

  void build() {
    const nn::Scope root(list_);
    const nn::Scope encoder = root.child("encoder");
    const nn::Scope decoder = root.child("decoder");
    int dropout_place = 0;
    const auto block = [&](const nn::Scope& scope, std::int64_t in, std::int64_t out) {
      return nn::DoubleBlock<Dim>(scope, in, out, params_.dropout_rate, params_.bn_momentum, dropout_place);
    };
    const auto width = [&](int level) { return static_cast<std::int64_t>(params_.n_filters) << level; };
    const int d = shape_.depth;
    for (int i = 0; i < d; ++i)
      down_.push_back(block(encoder.child("down_path").child(std::to_string(3 * i)),
                            i == 0 ? shape_.in_channels : width(i - 1), width(i)));
    bottom_.push_back(block(encoder.child("conv_bottom"), width(d - 1), width(d - 1)));
    for (int j = 0; j < d; ++j)
      up_.push_back(block(decoder.child("up_path").child(std::to_string(2 * j)).child("downconv"),
                          j == 0 ? width(d) : width(d - j) + width(d - j - 1), width(d - j - 1)));
    last_.emplace_back(decoder.child("last_conv"), width(0), out_channels());
  }

  Params params_;
  NetworkShape shape_;
  nn::ParameterList list_;
  std::vector<nn::DoubleBlock<Dim>> down_;
  std::vector<nn::DoubleBlock<Dim>> bottom_;  // one; a vector because it is built after the list
  std::vector<nn::DoubleBlock<Dim>> up_;
  std::vector<nn::Convolution<Dim>> last_;  // one
};

}  // namespace ivado
