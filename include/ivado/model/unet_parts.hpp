// What the U-Nets of ivadomed share: options, double blocks, encoder, decoder, FiLM places and the final activation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/layers.hpp"
#include "network_shape.hpp"

namespace ivado {

/// What a network does to its last convolution.
enum class FinalActivation { sigmoid, softmax, relu };

template <>
struct EnumNames<FinalActivation> {
  static constexpr std::array values{std::pair{std::string_view{"sigmoid"}, FinalActivation::sigmoid},
                                     std::pair{std::string_view{"softmax"}, FinalActivation::softmax},
                                     std::pair{std::string_view{"relu"}, FinalActivation::relu}};
};

/// What every segmentation network ends with.
struct OutputParams {
  FinalActivation final_activation = FinalActivation::sigmoid;
  std::optional<bool> background;  ///< a background channel that is computed and dropped
  bool as_ivadomed = false;        ///< what ivado mends is as in ivadomed

  /// True if the network computes a background channel and drops it: by default where softmax or relu has several
  /// classes; ivadomed carries one under sigmoid as well (known-problems B4.9).
  [[nodiscard]] IVADO_INLINE bool has_background(int classes) const noexcept {
    return background.value_or(classes > 1 && (as_ivadomed || final_activation != FinalActivation::sigmoid));
  }
  /// Channels of the last convolution.
  [[nodiscard]] IVADO_INLINE std::int64_t channels(int classes) const noexcept {
    return classes + (has_background(classes) ? 1 : 0);
  }
};

/// The parameters of the U-Nets.
struct UnetParams : OutputParams {
  int n_filters = 64;         ///< channels of the first level
  double dropout_rate = 0.3;  ///< probability that a channel is dropped
  double bn_momentum = 0.1;   ///< weight of the new statistic

  static constexpr auto fields() {
    return ivado::fields(
        field<"n_filters", &UnetParams::n_filters>("channels of the first level; each level down doubles them",
                                                   at_least(1)),
        field<"dropout_rate", &UnetParams::dropout_rate>("probability that a channel is dropped while training",
                                                         at_least(0), below(1)),
        field<"bn_momentum", &UnetParams::bn_momentum>("weight of the new batch's statistics in the running ones",
                                                       within(0, 1)),
        field<"final_activation", &UnetParams::final_activation>("what is done to the last convolution"),
        field<"background", &UnetParams::background>(
            "compute a background channel and drop it; null: where softmax or relu has several classes"),
        field<"as_ivadomed", &UnetParams::as_ivadomed>(
            "ivadomed's background channel under sigmoid and its scaling of relu by the whole batch"));
  }
};

namespace nn {

/// The last step of a segmentation network: activation, then the background channel (number 0) is dropped.
///
/// `relu`: ReLU divided by its maximum over each map of each sample, and with several channels by their sum at each
/// voxel. ivadomed divides by the maximum of the whole batch, so that a prediction depends on its neighbours in the
/// batch (known-problems B4.3); `as_ivadomed` does so too.
/// @param class_sum  relu divides several channels by their sum; ivadomed's Modified3DUNet does not
template <Interpreter On>
[[nodiscard]] typename On::Value final_activation(On& on, const typename On::Value& logits, const OutputParams& params,
                                                  int classes, bool class_sum = true) {
  typename On::Value y = [&] {
    switch (params.final_activation) {
      case FinalActivation::softmax:
        return apply(on, op::Softmax{}, logits);
      case FinalActivation::relu: {
        auto scaled = apply(on, op::DivideByMax{params.as_ivadomed}, apply(on, op::Relu{}, logits));
        return class_sum && params.channels(classes) > 1 ? apply(on, op::DivideByChannelSum{}, scaled) : scaled;
      }
      case FinalActivation::sigmoid:
        break;
    }
    return apply(on, op::Sigmoid{}, logits);
  }();
  return params.has_background(classes) ? apply(on, op::SelectChannels{1, -1}, y) : y;
}

/// Makes the FiLM layers of a network that are switched on, all with one pair of shared weights.
class FilmBuilder {
 public:
  /// @param conditions  length of the condition
  /// @param places      1 for each place that has a layer
  FilmBuilder(std::int64_t conditions, std::vector<int> places, bool as_ivadomed)
      : conditions_(conditions), places_(std::move(places)), as_ivadomed_(as_ivadomed) {}
  FilmBuilder() = default;

  /// The layer of place `index` under `scope`, if it is switched on.
  [[nodiscard]] IVADO_INLINE std::optional<FilmLayer> make(const Scope& scope, int index, std::int64_t channels) {
    if (static_cast<std::size_t>(index) >= places_.size() || places_[static_cast<std::size_t>(index)] == 0)
      return std::nullopt;
    FilmLayer layer(scope, conditions_, channels, shared_, as_ivadomed_);
    if (!shared_) shared_ = layer.shared_weights();
    return layer;
  }

 private:
  std::int64_t conditions_ = 0;
  std::vector<int> places_;
  bool as_ivadomed_ = false;
  std::optional<FilmLayer::SharedWeights> shared_;
};

/// Applies a FiLM layer if there is one.
template <Interpreter On>
[[nodiscard]] typename On::Value modulate(On& on, const std::optional<FilmLayer>& film, const typename On::Value& x,
                                          const typename On::Value& condition) {
  return film ? (*film)(on, x, condition) : x;
}

/// Two blocks, as "DownConv" in ivadomed: convolution, ReLU, norm, dropout of whole channels; batch norm in 2-D, instance
/// norm without parameters in 3-D.
class DoubleBlock {
 public:
  IVADO_INLINE DoubleBlock(const Scope& scope, int dimension, std::int64_t in, std::int64_t out,
                           const UnetParams& params)
      : first_(scope, "conv1", "conv1_bn", in, out, options(dimension, params)),
        second_(scope, "conv2", "conv2_bn", out, out, options(dimension, params)) {}
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return second_(on, first_(on, x));
  }

 private:
  [[nodiscard]] IVADO_INLINE static BlockOptions options(int dimension, const UnetParams& params) {
    BlockOptions options;
    options.convolution.dimension = dimension;
    options.norm = dimension == 2 ? NormKind::batch : NormKind::instance;
    options.momentum = params.bn_momentum;
    options.dropout_rate = params.dropout_rate;
    options.order = BlockOrder::convolution_activation_norm;
    return options;
  }

  Block first_;
  Block second_;
};

/// The way down of a U-Net: `depth` levels with poolings, and the bottom, which does not double the width.
class UnetEncoder {
 public:
  IVADO_INLINE UnetEncoder(const Scope& scope, int dimension, std::int64_t in, int depth, const UnetParams& params,
                           FilmBuilder& films) {
    const auto width = [&](int level) { return static_cast<std::int64_t>(params.n_filters) << level; };
    const Scope path = scope.child("down_path");
    for (int i = 0; i < depth; ++i)
      add(path.child(3 * i), path.child(3 * i + 1), dimension, i == 0 ? in : width(i - 1), width(i), params, films);
    add(scope.child("conv_bottom"), scope.child("film_bottom"), dimension, width(depth - 1), width(depth - 1), params,
        films);
  }

  /// The maps of all levels, that of the bottom last.
  template <Interpreter On>
  [[nodiscard]] std::vector<typename On::Value> operator()(On& on, const typename On::Value& input,
                                                           const typename On::Value& condition) const {
    std::vector<typename On::Value> maps;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const typename On::Value x = i == 0 ? input : apply(on, op::MaxPool{}, maps.back());
      maps.push_back(modulate(on, films_[i], blocks_[i](on, x), condition));
    }
    return maps;
  }

 private:
  IVADO_INLINE void add(const Scope& block, const Scope& film, int dimension, std::int64_t in, std::int64_t out,
                        const UnetParams& params, FilmBuilder& films) {
    blocks_.emplace_back(block, dimension, in, out, params);
    films_.push_back(films.make(film, static_cast<int>(films_.size()), out));
  }

  std::vector<DoubleBlock> blocks_;
  std::vector<std::optional<FilmLayer>> films_;
};

/// The way up of a U-Net: resizes linearly (corners aligned) to the size of the skip connection, so every size that
/// survives `depth` poolings is allowed; ends with the logits.
class UnetDecoder {
 public:
  /// @param wide_skips  each map of the encoder has twice its width (mean and variance, HeMIS)
  IVADO_INLINE UnetDecoder(const Scope& scope, int dimension, std::int64_t out, int depth, const UnetParams& params,
                           FilmBuilder& films, bool wide_skips = false) {
    const auto width = [&](int level) { return static_cast<std::int64_t>(params.n_filters) << level; };
    const std::int64_t factor = wide_skips ? 2 : 1;
    const Scope path = scope.child("up_path");
    for (int j = 0; j < depth; ++j) {
      const std::int64_t below = j == 0 ? factor * width(depth - 1) : width(depth - j);
      const std::int64_t to = width(depth - j - 1);
      blocks_.emplace_back(path.child(2 * j).child("downconv"), dimension, below + factor * to, to, params);
      films_.push_back(films.make(path.child(2 * j + 1), depth + 1 + j, to));
    }
    ConvolutionOptions options;
    options.dimension = dimension;
    last_.emplace(scope.child("last_conv"), width(0), out, options);
    films_.push_back(films.make(scope.child("last_film"), 2 * depth + 1, out));
  }

  /// The logits.
  /// @param maps  of the encoder, that of the bottom last
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, std::vector<typename On::Value> maps,
                                              const typename On::Value& condition) const {
    typename On::Value x = maps.back();
    for (std::size_t j = 0; j < blocks_.size(); ++j) {
      maps.pop_back();
      const typename On::Value& skip = maps.back();
      x = blocks_[j](on, apply(on, op::Concat{}, apply(on, op::ResizeLike{}, x, skip), skip));
      x = modulate(on, films_[j], x, condition);
    }
    return modulate(on, films_.back(), (*last_)(on, x), condition);
  }

 private:
  std::vector<DoubleBlock> blocks_;
  std::vector<std::optional<FilmLayer>> films_;
  std::optional<Convolution> last_;
};

}  // namespace nn
}  // namespace ivado
