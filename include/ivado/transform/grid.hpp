// What the transforms need to know of a sample's grid: its shape, checks with a message, rounding as Python does it.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "../data/sample.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado::detail {

/// The nearest whole number, halves to the even one: Python's `round`, whatever the rounding mode of the processor.
[[nodiscard]] IVADO_INLINE double round_half_even(double value) noexcept {
  const double below = std::floor(value);
  const double rest = value - below;
  if (rest < 0.5) return below;
  if (rest > 0.5) return below + 1;
  return below / 2 == std::floor(below / 2) ? below : below + 1;
}

/// numerator / 2 for whole numbers, halves to the even one.
[[nodiscard]] constexpr std::int64_t half_to_even(std::int64_t numerator) noexcept {
  if (numerator % 2 == 0) return numerator / 2;
  const std::int64_t low = (numerator - 1) / 2;  // exact: numerator - 1 is even
  return low % 2 == 0 ? low : low + 1;
}

/// The kind of data that sets the grid of a sample: the image, else the label, else the region of interest.
/// @throws Error (internal) where the sample holds nothing
[[nodiscard]] IVADO_INLINE const Image& grid_of(const Sample& sample, const char* doing) {
  for (const Image* image : {&sample.image, &sample.label, &sample.roi})
    if (!image->empty()) return *image;
  throw internal_error(doing, "the sample holds neither image nor label");
}

/// What a kind of data is called in a message.
[[nodiscard]] IVADO_INLINE const char* kind_text(Kind kind) noexcept {
  switch (kind) {
    case Kind::image:
      return "image";
    case Kind::label:
      return "label";
    case Kind::roi:
      return "region of interest";
  }
  return "image";
}

/// Checks that an image lies on the grid that a draw was made for.
/// @throws Error (internal) if it does not
IVADO_INLINE void check_grid(const Image& image, const Shape& expected, const char* transform) {
  if (image.spatial() == expected) return;
  throw internal_error(text(transform, " on a ", kind_text(image.kind)),
                       "its grid is " + image.spatial().text() + ", expected " + expected.text(),
                       "image, label and prediction of a sample must share one grid");
}

/// Checks that an image is a slice or a volume.
/// @throws Error (internal) if it is neither
IVADO_INLINE void check_dimension(const Image& image, const char* transform) {
  if (image.dimension() == 2 || image.dimension() == 3) return;
  throw internal_error(text(transform, " on a ", kind_text(image.kind)),
                       "its array is " + image.voxels.shape().text() + ", expected channel, H, W or channel, H, W, D");
}

/// The three spatial extents, 1 for the depth of a slice.
[[nodiscard]] IVADO_INLINE std::array<std::int64_t, 3> extents3(const Shape& spatial) noexcept {
  return {spatial[0], spatial[1], spatial.rank() > 2 ? spatial[2] : 1};
}

}  // namespace ivado::detail
