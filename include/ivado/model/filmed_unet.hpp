// The U-Net of ivadomed whose maps are scaled and shifted by metadata (FiLM).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "concept.hpp"
#include "unet_parts.hpp"

namespace ivado {

/// The parameters of `FiLMedUnet`.
struct FiLMedUnetParams : UnetParams {
  std::vector<int> film_layers;  ///< 2 depth + 2 of them: encoder levels, bottom, decoder levels, last convolution

  static constexpr auto fields() {
    return hana::concat(UnetParams::fields(),
                        ivado::fields(field<"film_layers", &FiLMedUnetParams::film_layers>(
                            "1 for each place with a FiLM layer: levels down, bottom, levels up, last convolution; "
                            "empty: behind each",
                            within(0, 1))));
  }
};

/// U-Net with FiLM layers (Perez et al. 2018, arXiv:1709.07871; in the spinal cord: Lemay et al. 2021, arXiv:2102.09582).
///
/// The structure is that of `Unet`; each place of `film_layers` that is 1 has a FiLM layer behind it. All FiLM layers
/// share the weights of their first two linear layers.
/// ivadomed always ends with a sigmoid and squeezes γ and β into (0, 1) (known-problems B4.4, B4.5): `as_ivadomed` does
/// so; otherwise `final_activation` counts and γ is around 1.
///
/// @tparam Dim, Depth, In, Classes  as of `Unet`
/// Input [N, In, spatial…] and the condition [N, conditions]; output [N, Classes, spatial…] in [0, 1].
template <int Dim, int Depth = 3, int In = 1, int Classes = 1>
class FiLMedUnet : public ModelBase<FiLMedUnetParams> {
  static_assert(Dim == 2 || Dim == 3, "ivado: FiLMedUnet<Dim> exists for 2 and 3 dimensions");

 public:
  using Params = FiLMedUnetParams;

  static constexpr std::string_view name = "FiLMedUnet";
  static constexpr int dimension = Dim;
  static constexpr int depth = Depth;
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::segmentation | Task::keypoints;
  static constexpr ConditionKind condition = ConditionKind::metadata;

  /// @param shape  the numbers that the type leaves open, and the length of the condition
  /// @throws Error (usage) if they disagree with the type, there is no condition, or `film_layers` has another length
  FiLMedUnet(const Params& params, const NetworkShape& shape) : ModelBase(params, shape) {
    detail::require_shape(name, {In, Classes, Depth}, shape);
    const auto places = static_cast<std::size_t>(2 * shape.depth + 2);
    if (params_.film_layers.empty()) params_.film_layers.assign(places, 1);
    if (params_.film_layers.size() != places)
      throw usage_error("building a FiLMedUnet",
                        "film_layers has " + std::to_string(params_.film_layers.size()) + " entries, depth " +
                            std::to_string(shape.depth) + " needs " + std::to_string(places),
                        "give one for each level down, the bottom, each level up and the last convolution");
    if (shape.conditions < 1)
      throw usage_error("building a FiLMedUnet", "there is no metadata to condition it",
                        "set FiLMedUnet.metadata to \"contrasts\" or a column of participants.tsv");
    if (params_.as_ivadomed) params_.final_activation = FinalActivation::sigmoid;
    const nn::Scope root(list_);
    nn::FilmBuilder films(shape.conditions, params_.film_layers, params_.as_ivadomed);
    encoder_.emplace(root.child("encoder"), Dim, shape.in_channels, shape.depth, params_, films);
    decoder_.emplace(root.child("decoder"), Dim, params_.channels(shape.classes), shape.depth, params_, films);
  }

  /// Length of the condition.
  [[nodiscard]] int conditions() const noexcept { return shape_.conditions; }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input,
                                           const typename On::Value& code) const {
    return nn::final_activation(on, (*decoder_)(on, (*encoder_)(on, input, code), code), params_, shape_.classes);
  }

 private:
  std::optional<nn::UnetEncoder> encoder_;
  std::optional<nn::UnetDecoder> decoder_;
};

static_assert(Architecture<FiLMedUnet<2>>);

}  // namespace ivado
