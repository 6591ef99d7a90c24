// RandomReverse: a sample mirrored along random axes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "concept.hpp"
#include "grid.hpp"

namespace ivado {

/// Mirrors a sample along each of its axes with probability ½, independently: image, label and region of interest
/// alike.
///
/// It has no parameters, as in ivadomed 2.9.10. Mirroring again undoes it exactly. Along the third axis of a slice there
/// is nothing to mirror.
/// @note It swaps left and right of the body along one of the axes: leave it out where the label tells them apart.
class RandomReverse {
 public:
  static constexpr std::string_view name = "RandomReverse";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;

  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  struct Draw {
    std::array<bool, 3> is_mirrored{};  ///< along H, W, D
  };

  explicit RandomReverse(const Params& /*params*/ = {}) {}

  /// Three fair coins, in 2-D too.
  [[nodiscard]] Draw draw(Rng& rng, const Sample& /*sample*/) const {
    Draw draw;
    for (bool& axis : draw.is_mirrored) axis = rng.bernoulli(0.5);
    return draw;
  }

  /// Mirrors in place.
  void apply(Image& image, const Draw& draw) const {
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
};

static_assert(InvertibleTransform<RandomReverse>);

}  // namespace ivado
