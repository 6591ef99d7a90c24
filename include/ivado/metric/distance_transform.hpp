// Exact Euclidean distances on grids with spacing, in time proportional to the number of voxels.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

namespace detail {

/// The lower envelope of parabolas along one line: h(x) = min over i of (spacing (x - i))² + line[i].
class ParabolaEnvelope {
 public:
  /// @param longest  of the lines to come
  explicit ParabolaEnvelope(std::size_t longest) : parabolas_(longest) {}

  /// Replaces the line by its envelope.
  IVADO_INLINE void operator()(std::span<float> line, double spacing) {
    const double steepness = spacing * spacing;
    std::size_t count = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (std::isinf(line[i])) continue;
      const auto at = static_cast<double>(i);
      const double height = line[i];
      double from = -std::numeric_limits<double>::infinity();
      while (count > 0) {
        const Parabola& last = parabolas_[count - 1];
        // Where this parabola takes over from the last one; before that one has begun, it never shows.
        from = 0.5 * (at + last.at) + (height - last.height) / (2 * steepness * (at - last.at));
        if (from > last.from) break;
        --count;
        from = -std::numeric_limits<double>::infinity();
      }
      parabolas_[count++] = {at, height, from};
    }
    if (count == 0) return;
    std::size_t now = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const auto at = static_cast<double>(i);
      while (now + 1 < count && parabolas_[now + 1].from < at) ++now;
      const double away = at - parabolas_[now].at;
      line[i] = static_cast<float>(steepness * away * away + parabolas_[now].height);
    }
  }

 private:
  struct Parabola {
    double at = 0;
    double height = 0;
    double from = 0;  ///< where it begins to be the lowest
  };
  std::vector<Parabola> parabolas_;
};

/// Squared distances along a line of zeros (seeds) and infinities.
IVADO_INLINE void sweep_line(std::span<float> line, double spacing) {
  const auto square = [spacing](double steps) { return static_cast<float>(steps * spacing * steps * spacing); };
  double steps = std::numeric_limits<double>::infinity();
  for (float& value : line) {
    steps = value == 0 ? 0 : steps + 1;
    value = square(steps);
  }
  steps = std::numeric_limits<double>::infinity();
  for (std::size_t i = line.size(); i-- > 0;) {
    steps = line[i] == 0 ? 0 : steps + 1;
    line[i] = std::min(line[i], square(steps));
  }
}

}  // namespace detail

/// The squared Euclidean distance of each element to the nearest seed, in mm²; infinite where there is no seed.
///
/// Exact but for rounding to float: one axis after the other, each line replaced by the lower envelope of its
/// parabolas (Felzenszwalb and Huttenlocher 2012, doi:10.4086/toc.2012.v008a019).
/// @param seeds       any rank from 1 to 6; the elements that are not 0
/// @param spacing_mm  of each axis, above 0
/// @throws Error (internal) if there is not one spacing an axis
/// @complexity linear in the number of elements
[[nodiscard]] IVADO_INLINE Array<float> squared_distances(ArrayView<const std::uint8_t> seeds,
                                                          std::span<const double> spacing_mm) {
  const Shape& shape = seeds.shape();
  if (static_cast<std::size_t>(shape.rank()) != spacing_mm.size())
    throw internal_error("computing distances",
                         detail::text(spacing_mm.size(), " spacings were given for an array ", shape.text()));
  Array<float> out(shape);
  if (out.empty()) return out;
  zip(seeds, out.view(),
      [](std::uint8_t seed, float& value) { value = seed != 0 ? 0.0F : std::numeric_limits<float>::infinity(); });
  const int last = shape.rank() - 1;
  const auto row = static_cast<std::size_t>(shape[last]);
  for (std::int64_t begin = 0; begin < out.size(); begin += shape[last])
    detail::sweep_line({out.data() + begin, row}, spacing_mm[static_cast<std::size_t>(last)]);

  // Lines along the other axes are gathered side by side, so that memory is read in pieces of a cache line.
  constexpr std::int64_t together = 16;
  std::int64_t stride = shape[last];
  for (int axis = last - 1; axis >= 0; stride *= shape[axis], --axis) {
    const std::int64_t n = shape[axis];
    if (n == 1) continue;
    const auto length = static_cast<std::size_t>(n);
    detail::ParabolaEnvelope envelope(length);
    std::vector<float> lines(length * together);
    for (std::int64_t outer = 0; outer < out.size(); outer += n * stride) {
      for (std::int64_t first = 0; first < stride; first += together) {
        const std::int64_t width = std::min(together, stride - first);
        float* corner = out.data() + outer + first;
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t k = 0; k < width; ++k) lines[static_cast<std::size_t>(k * n + i)] = corner[i * stride + k];
        for (std::int64_t k = 0; k < width; ++k)
          envelope({lines.data() + k * n, length}, spacing_mm[static_cast<std::size_t>(axis)]);
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t k = 0; k < width; ++k) corner[i * stride + k] = lines[static_cast<std::size_t>(k * n + i)];
      }
    }
  }
  return out;
}

}  // namespace ivado
