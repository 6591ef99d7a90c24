// The 3-D U-Net of ivadomed with deep supervision, and with attention gates and FiLM layers where they are switched on.
#pragma once

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

/// An attention gate on a skip connection (Oktay et al. 2018, arXiv:1804.03999) as ivadomed builds it in 3-D:
///
///   a = σ(ψ(ReLU(θ x + φ g))),   y = norm(W (a x))
///
/// θ halves the size of x; the gating signal g is resized to that, and a to the size of x (linearly, corners aligned).
class AttentionGate {
 public:
  /// @param in      channels of x
  /// @param gating  channels of the gating signal
  IVADO_INLINE AttentionGate(const Scope& scope, std::int64_t in, std::int64_t gating, double momentum)
      : out_(scope.child("W").child(0), in, in, options(1, true)),
        norm_(scope.child("W").child(1), NormKind::batch, in, momentum, 0.02),
        theta_(scope.child("theta"), in, in, options(2, false)),
        phi_(scope.child("phi"), gating, in, options(1, true)),
        psi_(scope.child("psi"), in, 1, options(1, true)) {}

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x,
                                              const typename On::Value& gating) const {
    const auto theta = theta_(on, x);
    const auto phi = apply(on, op::ResizeLike{}, phi_(on, gating), theta);
    const auto sum = apply(on, op::Relu{}, apply(on, op::Add{}, theta, phi));
    const auto attention = apply(on, op::ResizeLike{}, apply(on, op::Sigmoid{}, psi_(on, sum)), x);
    return norm_(on, out_(on, apply(on, op::Multiply{}, x, attention)));
  }

 private:
  [[nodiscard]] IVADO_INLINE static ConvolutionOptions options(std::int64_t kernel, bool bias) {
    ConvolutionOptions options;
    options.dimension = 3;
    options.kernel = kernel;
    options.stride = kernel;
    options.padding = 0;
    options.bias = bias;
    options.init = Init::kaiming_normal;
    return options;
  }

  Convolution out_;
  Norm norm_;
  Convolution theta_;
  Convolution phi_;
  Convolution psi_;
};

}  // namespace nn

/// The parameters of `Modified3DUNet`.
struct Modified3DUNetParams : UnetParams {
  bool attention = false;        ///< attention gates on the skip connections
  std::vector<int> film_layers;  ///< of 10 places; empty: none

  Modified3DUNetParams() noexcept { n_filters = 16; }

  static constexpr auto fields() {
    return hana::concat(
        UnetParams::fields(),
        ivado::fields(field<"attention", &Modified3DUNetParams::attention>("attention gates on the skip connections"),
                      field<"film_layers", &Modified3DUNetParams::film_layers>(
                          "1 for each place with a FiLM layer: five levels down, behind conv3d_l0, three levels up, "
                          "the logits; empty: none",
                          within(0, 1))));
  }
};

/// 3-D U-Net with residual context blocks and deep supervision (Isensee et al. 2017, arXiv:1802.10508; the heads of the
/// two coarser levels are added to the logits) as ivadomed builds it.
///
/// Convolutions have no bias, norms are instance norms without parameters, leaky ReLU has slope 0.01. Each level down
/// is a strided convolution and one block, applied twice with the same weights, to which the map is added again.
/// `attention` puts gates on three skip connections. Each place of `film_layers` that is 1 has a FiLM layer; then the
/// model takes a condition.
/// ivadomed divides under relu by the maximum of the whole batch, squeezes γ and β of FiLM into (0, 1) and leaves the
/// gating block its default initial values (known-problems B4.3, B4.5, B4.10): `as_ivadomed` does so.
///
/// @tparam In       input channels, or `dynamic`
/// @tparam Classes  output classes without the background, or `dynamic`
///
/// Input [N, In, H, W, D], each extent a multiple of `divisor`, of which more than one voxel is left at the bottom
/// (16×16×16 is refused); output [N, Classes, H, W, D] in [0, 1].
template <int In = 1, int Classes = 1>
class Modified3DUNet : public ModelBase<Modified3DUNetParams> {
 public:
  using Params = Modified3DUNetParams;

  static constexpr std::string_view name = "Modified3DUNet";
  static constexpr int dimension = 3;
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::segmentation | Task::keypoints;
  static constexpr ConditionKind condition = ConditionKind::any;
  /// Each spatial extent of the input must be a multiple of it.
  static constexpr int divisor = 16;

  /// @param shape  the numbers that the type leaves open, and the length of the condition where there are FiLM layers;
  ///         the depth is always 4, that of the shape is not looked at
  /// @throws Error (usage) if they disagree with the type, `film_layers` has another length, or FiLM has no condition
  explicit Modified3DUNet(const Params& params, const NetworkShape& shape = default_shape())
      : ModelBase(params, shape) {
    detail::require_shape(name, {In, Classes, dynamic}, shape);
    require_films();
    const nn::Scope root(list_);
    nn::FilmBuilder films(conditions(), params_.film_layers, params_.as_ivadomed);
    const auto film = [&](int number, std::int64_t channels) {
      return films.make(root.child("film_layer" + std::to_string(number)), number - 1, channels);
    };
    add_context(root, film);
    add_localisation(root, film);
  }

  Modified3DUNet() : Modified3DUNet(Params{}) {}

  /// What the type says, and 1 channel and 1 class where it is open.
  [[nodiscard]] static constexpr NetworkShape default_shape() noexcept {
    return {In > 0 ? In : 1, Classes > 0 ? Classes : 1, levels - 1};
  }

  /// Length of the condition; 0 where no FiLM layer is on.
  [[nodiscard]] int conditions() const noexcept { return has_film() ? shape_.conditions : 0; }

  /// The forward, on any interpreter.
  /// @param code  [N, conditions]; not looked at where no FiLM layer is on
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input,
                                           const typename On::Value& code) const {
    using Value = typename On::Value;
    std::vector<Value> maps = context(on, input, code);
    Value x = maps.back();
    if (!gates_.empty()) {
      x = norm_activation(on, x);
      const Value gating = nn::NormStep{gating_norm_->operation(), {}, nn::Activation{}}(on, (*gating_)(on, x));
      for (std::size_t i = 0; i < gates_.size(); ++i) maps[i + 1] = gates_[i](on, maps[i + 1], gating);
    }
    x = nn::modulate(on, films_.bottom, norm_activation(on, x), code);
    x = norm_activation(on, (*bottom_up_)(on, nn::apply(on, nn::op::Upsample{}, x)));
    x = nn::modulate(on, films_.above_bottom, norm_activation(on, (*bottom_out_)(on, x)), code);

    std::vector<Value> merged;
    for (std::size_t j = 0; j < ups_.size(); ++j) {
      const Value& skip = maps[ups_.size() - 1 - j];
      const bool last = j + 1 == ups_.size();
      x = last ? nn::apply(on, nn::op::Concat{}, skip, x) : nn::apply(on, nn::op::Concat{}, x, skip);
      merged.push_back(norm_activation(on, ups_[j].merge(on, x)));
      x = ups_[j].reduce(on, merged.back());
      if (!last) x = nn::modulate(on, ups_[j].film, upscale(on, *ups_[j].up, x), code);
    }
    const Value coarse = nn::apply(on, nn::op::Upsample{}, (*head2_)(on, merged[1]));
    const Value middle = nn::apply(on, nn::op::Add{}, coarse, (*head3_)(on, merged[2]));
    const Value logits = nn::apply(on, nn::op::Add{}, x, nn::apply(on, nn::op::Upsample{}, middle));
    return nn::final_activation(on, nn::modulate(on, films_.last, logits, code), params_, shape_.classes, false);
  }

 private:
  static constexpr int levels = 5;
  static constexpr std::size_t film_places = 10;

  /// A level down: strided convolution, and one block applied twice.
  struct Down {
    nn::Convolution down;
    std::optional<nn::FilmLayer> film;  ///< not of the bottom, whose FiLM layer stands behind its norm
    nn::Convolution block;
    nn::Dropout dropout;
  };
  /// A level up: what merges the skip connection, what halves the channels, and the way to the level above.
  struct Up {
    nn::Convolution merge;
    nn::Convolution reduce;
    std::optional<nn::FilmLayer> film;
    std::optional<nn::Convolution> up;
  };
  /// FiLM layers that stand alone.
  struct Films {
    std::optional<nn::FilmLayer> top;
    std::optional<nn::FilmLayer> bottom;
    std::optional<nn::FilmLayer> above_bottom;
    std::optional<nn::FilmLayer> last;
  };

  [[nodiscard]] bool has_film() const noexcept {
    for (const int on : params_.film_layers)
      if (on != 0) return true;
    return false;
  }
  void require_films() const {
    if (!params_.film_layers.empty() && params_.film_layers.size() != film_places)
      throw usage_error("building a Modified3DUNet",
                        "film_layers has " + std::to_string(params_.film_layers.size()) + " entries, it has 10 places",
                        "give one for each level down, for conv3d_l0, each level up and the logits, or none at all");
    if (has_film() && shape_.conditions < 1)
      throw usage_error("building a Modified3DUNet", "there is no metadata for the FiLM layers that are on",
                        "name the metadata, or leave film_layers out");
  }

  [[nodiscard]] std::int64_t width(int level) const noexcept {
    return static_cast<std::int64_t>(params_.n_filters) << level;
  }
  [[nodiscard]] static nn::Convolution convolution(const nn::Scope& scope, std::int64_t in, std::int64_t out,
                                                   std::int64_t kernel = 3, std::int64_t stride = 1) {
    nn::ConvolutionOptions options;
    options.dimension = 3;
    options.kernel = kernel;
    options.stride = stride;
    options.bias = false;
    return {scope, in, out, options};
  }

  template <class Film>
  void add_context(const nn::Scope& root, const Film& film) {
    first_.emplace(convolution(root.child("conv3d_c1_1"), shape_.in_channels, width(0)));
    films_.top = film(1, width(0));
    second_.emplace(convolution(root.child("conv3d_c1_2"), width(0), width(0)));
    top_dropout_.emplace(root, params_.dropout_rate);
    third_.emplace(convolution(root.child("lrelu_conv_c1").child(1), width(0), width(0)));
    for (int level = 1; level < levels; ++level) {
      const std::string number = std::to_string(level + 1);
      nn::Convolution down = convolution(root.child("conv3d_c" + number), width(level - 1), width(level), 3, 2);
      std::optional<nn::FilmLayer> behind;
      if (level + 1 < levels) behind = film(level + 1, width(level));
      downs_.push_back({std::move(down), std::move(behind),
                        convolution(root.child("norm_lrelu_conv_c" + number).child(2), width(level), width(level)),
                        nn::Dropout(root, params_.dropout_rate)});
    }
  }
  template <class Film>
  void add_localisation(const nn::Scope& root, const Film& film) {
    const std::int64_t out = params_.channels(shape_.classes);
    films_.bottom = film(levels, width(4));
    const nn::Scope bottom_up = films_.bottom ? root.child("upscale_conv_norm_lrelu_0").child(1)
                                              : root.child("norm_lrelu_upscale_conv_norm_lrelu_l0").child(3);
    bottom_up_.emplace(convolution(bottom_up, width(4), width(3)));
    bottom_out_.emplace(convolution(root.child("conv3d_l0"), width(3), width(3), 1));
    films_.above_bottom = film(6, width(3));
    if (params_.attention) add_attention(root);
    for (int j = 1; j < levels; ++j) {
      const std::string number = std::to_string(j);
      const std::int64_t wide = width(levels - j);
      const bool last = j + 1 == levels;
      nn::Convolution merge = convolution(root.child("conv_norm_lrelu_l" + number).child(0), wide, wide);
      nn::Convolution reduce = convolution(root.child("conv3d_l" + number), wide, last ? out : wide / 2, 1);
      Up up{std::move(merge), std::move(reduce), std::nullopt, std::nullopt};
      if (!last) {
        up.film = film(6 + j, wide / 4);
        up.up.emplace(
            convolution(root.child("norm_lrelu_upscale_conv_norm_lrelu_l" + number).child(3), wide / 2, wide / 4));
      }
      ups_.push_back(std::move(up));
    }
    head2_.emplace(convolution(root.child("ds2_1x1_conv3d"), width(3), out, 1));
    head3_.emplace(convolution(root.child("ds3_1x1_conv3d"), width(2), out, 1));
    films_.last = film(10, out);
  }
  void add_attention(const nn::Scope& root) {
    nn::ConvolutionOptions options;
    options.dimension = 3;
    options.kernel = 1;
    if (!params_.as_ivadomed) options.init = nn::Init::kaiming_normal;
    const nn::Scope gating = root.child("gating").child("conv1");
    gating_.emplace(gating.child(0), width(4), width(3), options);
    gating_norm_.emplace(gating.child(1), nn::NormKind::batch, width(3), params_.bn_momentum,
                         params_.as_ivadomed ? 0 : 0.02);
    for (int level = 1; level + 1 < levels; ++level)
      gates_.emplace_back(root.child("attentionblock" + std::to_string(level + 1)), width(level), width(3),
                          params_.bn_momentum);
  }

  template <nn::Interpreter On>
  [[nodiscard]] static typename On::Value activation(On& on, const typename On::Value& x) {
    return nn::apply(on, nn::op::LeakyRelu{0.01}, x);
  }
  template <nn::Interpreter On>
  [[nodiscard]] static typename On::Value norm_activation(On& on, const typename On::Value& x) {
    return nn::NormStep{nn::op::InstanceNorm{}, {}, nn::Activation{0.01}}(on, x);
  }
  template <nn::Interpreter On>
  [[nodiscard]] static typename On::Value upscale(On& on, const nn::Convolution& convolution,
                                                  const typename On::Value& x) {
    return norm_activation(on, convolution(on, nn::apply(on, nn::op::Upsample{}, norm_activation(on, x))));
  }

  /// The maps of all levels for the skip connections, and that of the bottom before its norm.
  template <nn::Interpreter On>
  [[nodiscard]] std::vector<typename On::Value> context(On& on, const typename On::Value& input,
                                                        const typename On::Value& code) const {
    using Value = typename On::Value;
    std::vector<Value> maps;
    const Value start = (*first_)(on, input);
    Value x = (*top_dropout_)(on, (*second_)(on, activation(on, start)));
    x = nn::apply(on, nn::op::Add{}, (*third_)(on, activation(on, x)), start);
    maps.push_back(activation(on, x));
    x = nn::modulate(on, films_.top, norm_activation(on, maps.back()), code);
    for (const Down& level : downs_) {
      const Value residual = level.down(on, x);
      x = level.dropout(on, level.block(on, norm_activation(on, residual)));
      x = nn::apply(on, nn::op::Add{}, level.block(on, norm_activation(on, x)), residual);
      if (maps.size() + 1 < levels) x = nn::modulate(on, level.film, norm_activation(on, x), code);
      maps.push_back(x);
    }
    return maps;
  }

  std::optional<nn::Convolution> first_;
  std::optional<nn::Convolution> second_;
  std::optional<nn::Convolution> third_;
  std::optional<nn::Dropout> top_dropout_;
  std::vector<Down> downs_;
  Films films_;
  std::optional<nn::Convolution> gating_;
  std::optional<nn::Norm> gating_norm_;
  std::vector<nn::AttentionGate> gates_;
  std::optional<nn::Convolution> bottom_up_;
  std::optional<nn::Convolution> bottom_out_;
  std::vector<Up> ups_;
  std::optional<nn::Convolution> head2_;
  std::optional<nn::Convolution> head3_;
};

/// The name that ivadomed keeps for old models.
template <int In = 1, int Classes = 1>
using UNet3D = Modified3DUNet<In, Classes>;

static_assert(Architecture<Modified3DUNet<>> && Architecture<UNet3D<dynamic, dynamic>>);

}  // namespace ivado
