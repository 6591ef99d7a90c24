// The U-Net of ivadomed for several contrasts of which some may be missing (HeMIS).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "concept.hpp"
#include "unet_parts.hpp"

namespace ivado {

/// The parameters of `HeMISUnet`.
struct HeMISUnetParams : UnetParams {
  std::vector<std::string> contrasts;  ///< in the order of the channels; they name the encoders' parameters

  static constexpr auto fields() {
    return hana::concat(UnetParams::fields(),
                        ivado::fields(field<"contrasts", &HeMISUnetParams::contrasts>(
                            "contrasts that the model may be given, in the order of its channels; empty: numbers")));
  }
};

/// U-Net with one encoder a contrast whose maps are fused by their mean and variance (Havaei et al. 2016,
/// arXiv:1607.05194).
///
/// At each level the maps of the contrasts that are present give [mean, unbiased variance], so the decoder sees twice the
/// width; one contrast alone has variance 0. ivadomed takes its 0/1 array for indices, so that a row [1, 1] uses the
/// second encoder twice, and gives NaN for one contrast alone under a mask (known-problems B4.7); it always ends with a
/// sigmoid (`as_ivadomed`).
/// A missing contrast is a channel of zeros. It passes through its encoder, and in training through its batch norms, as
/// in ivadomed; it does not reach the fused maps.
///
/// @tparam Dim, Depth, Classes  as of `Unet`
/// @tparam Contrasts  input channels, one a contrast, or `dynamic`
/// Input [N, Contrasts, spatial…] and the presence [N, Contrasts] of 0 and 1; output [N, Classes, spatial…] in [0, 1].
template <int Dim, int Depth = 3, int Contrasts = 2, int Classes = 1>
class HeMISUnet : public ModelBase<HeMISUnetParams> {
  static_assert(Dim == 2 || Dim == 3, "ivado: HeMISUnet<Dim> exists for 2 and 3 dimensions");

 public:
  using Params = HeMISUnetParams;

  static constexpr std::string_view name = "HeMISUnet";
  static constexpr int dimension = Dim;
  static constexpr int depth = Depth;
  static constexpr int in_channels = Contrasts;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::segmentation | Task::keypoints;
  static constexpr ConditionKind condition = ConditionKind::presence;

  /// @param shape  the numbers that the type leaves open
  /// @throws Error (usage) if they disagree with the type or the names of the contrasts
  HeMISUnet(const Params& params, const NetworkShape& shape) : ModelBase(params, shape) {
    detail::require_shape(name, {Contrasts, Classes, Depth}, shape);
    if (params_.contrasts.empty())
      for (int k = 0; k < shape.in_channels; ++k) params_.contrasts.push_back(std::to_string(k));
    if (params_.contrasts.size() != static_cast<std::size_t>(shape.in_channels))
      throw usage_error("building a HeMISUnet",
                        std::to_string(params_.contrasts.size()) + " contrasts are named, the samples have " +
                            std::to_string(shape.in_channels) + " channels",
                        "name in HeMISUnet.contrasts those of contrast_params.training_validation");
    if (params_.as_ivadomed) params_.final_activation = FinalActivation::sigmoid;
    const nn::Scope root(list_);
    nn::FilmBuilder none;
    for (const auto& contrast : params_.contrasts)
      encoders_.emplace_back(root.child("Encoder_mod").child("Encoder_" + contrast), Dim, 1, shape.depth, params_,
                             none);
    decoder_.emplace(root.child("decoder"), Dim, params_.channels(shape.classes), shape.depth, params_, none, true);
  }

  /// Length of the presence: the number of contrasts.
  [[nodiscard]] int conditions() const noexcept { return shape_.in_channels; }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input,
                                           const typename On::Value& presence) const {
    using Value = typename On::Value;
    std::vector<std::vector<Value>> maps;  // by contrast and level
    for (std::size_t k = 0; k < encoders_.size(); ++k)
      maps.push_back(
          encoders_[k](on, nn::apply(on, nn::op::SelectChannels{static_cast<std::int64_t>(k), 1}, input), Value{}));
    std::vector<Value> fused;
    for (std::size_t level = 0; level < maps.front().size(); ++level) {
      std::vector<Value> parts{presence};
      for (const auto& of_contrast : maps) parts.push_back(of_contrast[level]);
      fused.push_back(on.apply(nn::op::Moments{}, std::span<const Value>(parts)));
    }
    return nn::final_activation(on, (*decoder_)(on, std::move(fused), Value{}), params_, shape_.classes);
  }

 private:
  std::vector<nn::UnetEncoder> encoders_;
  std::optional<nn::UnetDecoder> decoder_;
};

static_assert(Architecture<HeMISUnet<2>>);

}  // namespace ivado
