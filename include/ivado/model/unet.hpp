// The U-Net of ivadomed, 2-D and 3-D: structure, parameter names and shapes as there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "concept.hpp"
#include "unet_parts.hpp"

namespace ivado {

/// U-Net for segmentation (Ronneberger et al. 2015, arXiv:1505.04597) as ivadomed builds it.
///
/// Blocks are convolution, ReLU, norm, dropout of whole channels; the bottom does not double the width; the way up
/// resizes linearly (corners aligned) to the size of the skip connection, so every size that survives `depth` poolings
/// is allowed.
///
/// @tparam Dim      2 (batch norm) or 3 (instance norm without parameters, as in ivadomed)
/// @tparam Depth    number of poolings, or `dynamic`
/// @tparam In       input channels, or `dynamic`
/// @tparam Classes  output classes without the background, or `dynamic`
///
/// Input [N, In, spatial…]; output [N, Classes, spatial…] in [0, 1].
/// Several classes under softmax or relu have a background channel that is computed and dropped; sigmoid needs none
/// (ivadomed carries it: `as_ivadomed` does too, and must be on to read its multi-class sigmoid weights).
/// Example: examples/segment_2d.cpp
template <int Dim, int Depth = 3, int In = 1, int Classes = 1>
class Unet : public ModelBase<UnetParams> {
  static_assert(Dim == 2 || Dim == 3, "ivado: Unet<Dim> exists for 2 and 3 dimensions");

 public:
  using Params = UnetParams;
  static constexpr std::string_view name = "Unet";
  static constexpr int dimension = Dim;
  static constexpr int depth = Depth;
  static constexpr int in_channels = In;
  static constexpr int classes = Classes;
  static constexpr TaskSet tasks = Task::segmentation | Task::keypoints;

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
  explicit Unet(const Params& params, const NetworkShape& shape = default_shape()) : ModelBase(params, shape) {
    detail::require_shape(name, {In, Classes, Depth}, shape);
    if (shape.depth < 1) throw usage_error("building a Unet", "depth " + std::to_string(shape.depth), "use 1 or more");
    const nn::Scope root(list_);
    nn::FilmBuilder none;
    encoder_.emplace(root.child("encoder"), Dim, shape.in_channels, shape.depth, params, none);
    decoder_.emplace(root.child("decoder"), Dim, params.channels(shape.classes), shape.depth, params, none);
  }

  Unet() : Unet(Params{}) {}

  /// What the type says, and 1 channel, 1 class, depth 3 where it is open.
  [[nodiscard]] static constexpr NetworkShape default_shape() noexcept {
    return {In > 0 ? In : 1, Classes > 0 ? Classes : 1, Depth > 0 ? Depth : 3};
  }

  /// The forward, on any interpreter.
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& input) const {
    return nn::final_activation(on, (*decoder_)(on, (*encoder_)(on, input, {}), {}), params_, shape_.classes);
  }

 private:
  std::optional<nn::UnetEncoder> encoder_;
  std::optional<nn::UnetDecoder> decoder_;
};

static_assert(Architecture<Unet<2>> && Architecture<Unet<3>>);

}  // namespace ivado
