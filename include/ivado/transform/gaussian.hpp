// A separable Gaussian filter with zeros outside of the array, or the array mirrored there.
//
// The rule is that of scipy.ndimage.gaussian_filter (mode "constant" or "reflect", truncate 4): the kernel is sampled
// at whole voxels up to the radius ⌊4σ + ½⌋ and normalised to a sum of 1 before the border cuts it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../inline.hpp"
#include "interpolate.hpp"

namespace ivado::detail {

/// What a filter finds outside of the array.
enum class Border {
  zero,   ///< zeros
  mirror  ///< the array mirrored about its outer edges, as often as it takes: d c b a | a b c d | d c b a
};

/// Weights of the Gaussian at distance 0, 1, … radius. For a σ of 0 the weight 1 alone.
[[nodiscard]] IVADO_INLINE std::vector<double> gaussian_weights(double sigma_vox) {
  if (!(sigma_vox > 1e-15)) return {1.0};
  const auto radius = static_cast<std::size_t>(4 * sigma_vox + 0.5);
  std::vector<double> weights(radius + 1);
  double sum = 0;
  for (std::size_t k = 0; k <= radius; ++k) {
    const auto distance = static_cast<double>(k);
    weights[k] = std::exp(-0.5 * distance * distance / (sigma_vox * sigma_vox));
    sum += k == 0 ? weights[k] : 2 * weights[k];
  }
  for (auto& weight : weights) weight /= sum;
  return weights;
}

/// Adds the rows at `Count` distances before and after a row, weighted: several at once, as the sums of one pass then
/// stay in registers.
template <std::int64_t Lanes, std::int64_t Count>
void add_neighbours(const float* row, std::int64_t distance, const std::vector<float>& weights, float* sum) {
  const float* const weight = weights.data() + distance;
  const float* const before = row - distance * Lanes;
  const float* const after = row + distance * Lanes;
  for (std::int64_t k = 0; k < Lanes; ++k) {
    float total = sum[k];
    [&]<std::int64_t... D>(std::integer_sequence<std::int64_t, D...>) {
      ((total += weight[D] * (before[k - D * Lanes] + after[k + D * Lanes])), ...);
    }
    (std::make_integer_sequence<std::int64_t, Count>());
    sum[k] = total;
  }
}

/// Filters the middle axis of [outer, n, inner] in place with a symmetric kernel.
/// @param weights  at distance 0, 1, …
IVADO_INLINE void filter_axis(float* data, std::int64_t outer, std::int64_t n, std::int64_t inner,
                              const std::vector<float>& weights, std::vector<float>& scratch,
                              Border border = Border::zero) {
  constexpr std::int64_t lanes = 16;
  const std::int64_t reach = static_cast<std::int64_t>(weights.size()) - 1;
  const std::int64_t radius = border == Border::zero ? std::min(reach, n - 1) : reach;
  scratch.assign(static_cast<std::size_t>((n + 2 * radius) * lanes), 0.0F);  // `radius` rows beyond both ends
  float* const lines = scratch.data() + radius * lanes;
  const std::int64_t count = outer * inner;
  for (std::int64_t line = 0; line < count; line += lanes) {
    const std::int64_t width = std::min(lanes, count - line);
    const bool side_by_side = width == lanes && line % inner + lanes <= inner;
    std::int64_t start[lanes] = {};
    for (std::int64_t k = 0; k < width; ++k) start[k] = (line + k) / inner * n * inner + (line + k) % inner;
    if (side_by_side) {
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t k = 0; k < lanes; ++k) lines[i * lanes + k] = data[start[0] + i * inner + k];
    } else {
      for (std::int64_t k = 0; k < width; ++k)
        for (std::int64_t i = 0; i < n; ++i) lines[i * lanes + k] = data[start[k] + i * inner];
    }
    if (border == Border::mirror) {
      for (std::int64_t i = 1; i <= radius; ++i) {
        std::copy_n(lines + mirror_index(-i, n) * lanes, lanes, lines - i * lanes);
        std::copy_n(lines + mirror_index(n - 1 + i, n) * lanes, lanes, lines + (n - 1 + i) * lanes);
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      float sum[lanes];
      const float* const row = lines + i * lanes;
      const std::int64_t farthest = border == Border::zero ? std::min(radius, std::max(i, n - 1 - i)) : radius;
      for (std::int64_t k = 0; k < lanes; ++k) sum[k] = weights[0] * row[k];
      std::int64_t distance = 1;
      for (; distance + 3 <= farthest; distance += 4) add_neighbours<lanes, 4>(row, distance, weights, sum);
      for (; distance <= farthest; ++distance) add_neighbours<lanes, 1>(row, distance, weights, sum);
      if (side_by_side) {
        for (std::int64_t k = 0; k < lanes; ++k) data[start[0] + i * inner + k] = sum[k];
      } else {
        for (std::int64_t k = 0; k < width; ++k) data[start[k] + i * inner] = sum[k];
      }
    }
  }
}

/// Filters one field of the given extents in place, axis after axis. Axes of extent 1 are left alone.
IVADO_INLINE void gaussian_filter(float* field, const Shape& spatial, double sigma_vox, Border border = Border::zero) {
  const std::vector<double> exact = gaussian_weights(sigma_vox);
  if (exact.size() == 1) return;
  const std::vector<float> weights(exact.begin(), exact.end());
  std::vector<float> scratch;
  for (int axis = 0; axis < spatial.rank(); ++axis) {
    if (spatial[axis] <= 1) continue;
    std::int64_t outer = 1;
    std::int64_t inner = 1;
    for (int a = 0; a < axis; ++a) outer *= spatial[a];
    for (int a = axis + 1; a < spatial.rank(); ++a) inner *= spatial[a];
    filter_axis(field, outer, spatial[axis], inner, weights, scratch, border);
  }
}

}  // namespace ivado::detail
