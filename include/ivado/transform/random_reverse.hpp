// RandomReverse: a sample mirrored along random axes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "grid.hpp"

namespace ivado {

/// Mirrors a sample along each of `axes` with probability ½, independently: image, label and region of interest alike.
///
/// All axes by default, as in ivadomed 2.9.10, which has no choice. Mirroring again undoes it exactly. Along the third
/// axis of a slice there is nothing to mirror.
/// @note It swaps left and right of the body along one of the axes: leave that out where the label tells them apart.
class RandomReverse {
 public:
  static constexpr std::string_view name = "RandomReverse";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;

  struct Params {
    std::vector<std::int64_t> axes{0, 1, 2};  ///< axes that may be mirrored: H, W, D

    static constexpr auto fields() {
      return ivado::fields(field<"axes", &Params::axes>(
          "axes along which a sample may be mirrored: 0 for H, 1 for W, 2 for D", within(0, 2)));
    }
  };
  struct Draw {
    std::array<bool, 3> is_mirrored{};  ///< along H, W, D
  };

  RandomReverse() : RandomReverse(Params{}) {}
  /// @throws Error (usage) if an axis is not 0, 1 or 2, or there is none
  IVADO_INLINE explicit RandomReverse(const Params& params) {
    for (const std::int64_t axis : params.axes) {
      if (axis < 0 || axis > 2) refuse(params);
      may_mirror_[static_cast<std::size_t>(axis)] = true;
    }
    if (params.axes.empty()) refuse(params);
  }

  /// Three fair coins, whatever the axes, in 2-D too.
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& /*sample*/) const {
    Draw draw;
    for (std::size_t axis = 0; axis < 3; ++axis) draw.is_mirrored[axis] = rng.bernoulli(0.5) && may_mirror_[axis];
    return draw;
  }

  /// Mirrors in place.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    detail::check_dimension(image, "RandomReverse");
    const Shape shape = image.voxels.shape();
    for (int axis = 1; axis < shape.rank(); ++axis) {
      if (!draw.is_mirrored[static_cast<std::size_t>(axis - 1)]) continue;
      std::int64_t inner = 1;
      for (int a = axis + 1; a < shape.rank(); ++a) inner *= shape[a];
      const std::int64_t length = shape[axis] * inner;  // of one line of rows of `inner` voxels
      for (float* line = image.voxels.begin(); line != image.voxels.end(); line += length)
        for (std::int64_t i = 0; i < shape[axis] / 2; ++i)
          std::swap_ranges(line + i * inner, line + (i + 1) * inner, line + (shape[axis] - 1 - i) * inner);
    }
  }

  /// Mirrors back, in place.
  void invert(Image& image, const Draw& draw) const { apply(image, draw); }

 private:
  [[noreturn]] IVADO_INLINE static void refuse(const Params& params) {
    throw usage_error("setting up RandomReverse", "axes is " + ivado::to_json(params.axes).dump(),
                      "give one or more of 0 (H), 1 (W) and 2 (D)");
  }

  std::array<bool, 3> may_mirror_{};  // along H, W, D
};

static_assert(InvertibleTransform<RandomReverse>);

}  // namespace ivado
