// Resizing an array with its grid corners kept in place, by B-splines of order 1 or 2, one axis after the other.
//
// The rule is that of scipy.ndimage.zoom (SciPy 1.10, mode "constant", grid_mode False): output index o takes the input
// at o (n_in - 1) / (n_out - 1). Order 1 is linear interpolation; order 2 a quadratic B-spline whose coefficients come
// from the recursive filter of Unser, Aldroubi and Eden, "B-spline signal processing", IEEE Trans. Signal Processing 41
// (1993), with the signal mirrored about its end points. All sums are in double.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../inline.hpp"

namespace ivado::detail {

/// Lines of an array that are filtered at once.
inline constexpr std::int64_t spline_lanes = 16;

/// Which input values one axis takes for each of its output indices, and how much of each.
struct AxisResize {
  std::int64_t from = 0;  ///< extent of the input
  std::int64_t to = 0;    ///< extent of the output
  int order = 1;          ///< 1 or 2; order + 1 values are summed
  std::vector<std::array<std::int64_t, 3>> index;
  std::vector<std::array<double, 3>> weight;
};

/// The taps of an axis of extent `from` that is resized to `to`.
/// @param scipy_edge  true: where (to - 1) · ((from - 1) / (to - 1)) comes out above from - 1 in double precision, the
/// last
///                    output is 0, as SciPy has it (3 % of all pairs of extents); false: it is the last input
[[nodiscard]] IVADO_INLINE AxisResize plan_resize(std::int64_t from, std::int64_t to, int order,
                                                  bool scipy_edge = false) {
  AxisResize plan{from, to, order, {}, {}};
  plan.index.resize(static_cast<std::size_t>(to));
  plan.weight.resize(static_cast<std::size_t>(to));
  const double last = static_cast<double>(from - 1);
  const double step = to > 1 ? last / static_cast<double>(to - 1) : 1;
  for (std::int64_t o = 0; o < to; ++o) {
    auto& index = plan.index[static_cast<std::size_t>(o)];
    auto& weight = plan.weight[static_cast<std::size_t>(o)];
    double position = static_cast<double>(o) * step;
    const bool beyond = position > last;
    position = std::min(position, last);
    if (order == 1) {
      const double start = std::floor(position);
      const double x = position - start;
      index = {static_cast<std::int64_t>(start), std::min(static_cast<std::int64_t>(start) + 1, from - 1), 0};
      weight = {1 - x, x, 0};
    } else {
      const double centre = std::floor(position + 0.5);
      const double x = position - centre;
      for (std::int64_t tap = 0; tap < 3; ++tap) {
        std::int64_t i = static_cast<std::int64_t>(centre) - 1 + tap;
        if (i < 0) i = -i;
        if (i >= from) i = 2 * (from - 1) - i;
        index[static_cast<std::size_t>(tap)] = std::max<std::int64_t>(i, 0);  // a single value is its own mirror
      }
      weight[0] = 0.5 * (0.5 - x) * (0.5 - x);
      weight[1] = 0.75 - x * x;
      weight[2] = 1 - weight[0] - weight[1];
    }
    if (beyond && scipy_edge) weight = {0, 0, 0};
  }
  return plan;
}

/// Values to coefficients of the quadratic B-spline, in place, for `spline_lanes` lines at once.
/// @param c  [n][spline_lanes]
IVADO_INLINE void prefilter_quadratic(double* c, std::int64_t n) {
  constexpr std::int64_t lanes = spline_lanes;
  if (n < 2) return;
  constexpr double pole = -0.171572875253809902397;  // 2 √2 - 3
  constexpr double gain = 8;                         // (1 - pole)(1 - 1 / pole)
  for (std::int64_t i = 0; i < n * lanes; ++i) c[i] *= gain;
  // Start of the causal filter: the sum over the mirrored signal; beyond 40 terms a pole's power is under 1e-30.
  constexpr std::int64_t horizon = 40;
  double first[lanes];
  if (n > horizon) {
    for (std::int64_t k = 0; k < lanes; ++k) first[k] = c[k];
    double power = pole;
    for (std::int64_t i = 1; i < horizon; ++i, power *= pole)
      for (std::int64_t k = 0; k < lanes; ++k) first[k] += power * c[i * lanes + k];
  } else {
    const double whole = std::pow(pole, static_cast<double>(n - 1));
    for (std::int64_t k = 0; k < lanes; ++k) first[k] = c[k] + whole * c[(n - 1) * lanes + k];
    double power = pole;
    for (std::int64_t i = 1; i < n - 1; ++i, power *= pole)
      for (std::int64_t k = 0; k < lanes; ++k)
        first[k] += power * (c[i * lanes + k] + whole * c[(n - 1 - i) * lanes + k]);
    for (std::int64_t k = 0; k < lanes; ++k) first[k] /= 1 - whole * whole;
  }
  for (std::int64_t k = 0; k < lanes; ++k) c[k] = first[k];
  for (std::int64_t i = 1; i < n; ++i)
    for (std::int64_t k = 0; k < lanes; ++k) c[i * lanes + k] += pole * c[(i - 1) * lanes + k];
  double* const end = c + (n - 1) * lanes;
  for (std::int64_t k = 0; k < lanes; ++k) end[k] = (pole * end[k - lanes] + end[k]) * (pole / (pole * pole - 1));
  for (std::int64_t i = n - 2; i >= 0; --i)
    for (std::int64_t k = 0; k < lanes; ++k) c[i * lanes + k] = pole * (c[(i + 1) * lanes + k] - c[i * lanes + k]);
}

/// Resizes the middle axis of [outer, plan.from, inner] to [outer, plan.to, inner].
template <int Taps, class From, class To>
void resize_axis(const From* from, To* to, std::int64_t outer, std::int64_t inner, const AxisResize& plan,
                 std::vector<double>& scratch) {
  constexpr std::int64_t lanes = spline_lanes;
  const std::int64_t n = plan.from;
  const std::int64_t m = plan.to;
  scratch.assign(static_cast<std::size_t>(n * lanes), 0.0);
  double* const lines = scratch.data();
  const std::int64_t count = outer * inner;
  for (std::int64_t line = 0; line < count; line += lanes) {
    const std::int64_t width = std::min(lanes, count - line);
    const bool side_by_side = width == lanes && line % inner + lanes <= inner;
    std::array<std::int64_t, lanes> source{};
    std::array<std::int64_t, lanes> target{};
    for (std::int64_t k = 0; k < width; ++k) {
      const std::int64_t o = (line + k) / inner;
      const std::int64_t i = (line + k) % inner;
      source[static_cast<std::size_t>(k)] = o * n * inner + i;
      target[static_cast<std::size_t>(k)] = o * m * inner + i;
    }
    if (side_by_side) {
      const From* const start = from + source[0];
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t k = 0; k < lanes; ++k) lines[i * lanes + k] = static_cast<double>(start[i * inner + k]);
    } else {
      for (std::int64_t k = 0; k < width; ++k) {
        const From* const start = from + source[static_cast<std::size_t>(k)];
        for (std::int64_t i = 0; i < n; ++i) lines[i * lanes + k] = static_cast<double>(start[i * inner]);
      }
    }
    if constexpr (Taps == 3) prefilter_quadratic(lines, n);
    for (std::int64_t o = 0; o < m; ++o) {
      const auto& index = plan.index[static_cast<std::size_t>(o)];
      const auto& weight = plan.weight[static_cast<std::size_t>(o)];
      const double* const a = lines + index[0] * lanes;
      const double* const b = lines + index[1] * lanes;
      const double* const c = lines + index[2] * lanes;
      double sum[lanes];
      for (std::int64_t k = 0; k < lanes; ++k) {
        sum[k] = weight[0] * a[k] + weight[1] * b[k];
        if constexpr (Taps == 3) sum[k] += weight[2] * c[k];
      }
      if (side_by_side) {
        To* const row = to + target[0] + o * inner;
        for (std::int64_t k = 0; k < lanes; ++k) row[k] = static_cast<To>(sum[k]);
      } else {
        for (std::int64_t k = 0; k < width; ++k)
          to[target[static_cast<std::size_t>(k)] + o * inner] = static_cast<To>(sum[k]);
      }
    }
  }
}

/// The array [channel, spatial…] resized to other spatial extents, grid corners kept.
///
/// Axes that keep their extent are left alone: the spline runs through the values at the knots.
/// @param order       1: linear, 2: quadratic B-spline
/// @param scipy_edge  see `plan_resize`
/// @complexity a few passes over each changed axis, those that shrink most first
[[nodiscard]] IVADO_INLINE Array<float> resize(const Array<float>& voxels, const Shape& spatial, int order,
                                               bool scipy_edge = false) {
  Shape shape = voxels.shape();
  std::vector<int> axes;
  for (int axis = 1; axis < shape.rank(); ++axis)
    if (shape[axis] != spatial[axis - 1]) axes.push_back(axis);
  if (axes.empty() || voxels.empty()) return voxels.clone();
  std::stable_sort(axes.begin(), axes.end(), [&](int a, int b) {
    return static_cast<double>(spatial[a - 1]) / static_cast<double>(shape[a]) <
           static_cast<double>(spatial[b - 1]) / static_cast<double>(shape[b]);
  });
  std::vector<double> scratch;
  Array<double> between;
  Array<float> out;
  const auto pass = [&](const auto* from, auto& to_array, int axis) {
    std::int64_t outer = 1;
    std::int64_t inner = 1;
    for (int a = 0; a < axis; ++a) outer *= shape[a];
    for (int a = axis + 1; a < shape.rank(); ++a) inner *= shape[a];
    const AxisResize plan = plan_resize(shape[axis], spatial[axis - 1], order, scipy_edge);
    shape[axis] = plan.to;
    to_array = std::remove_reference_t<decltype(to_array)>(shape);
    if (order == 1)
      resize_axis<2>(from, to_array.data(), outer, inner, plan, scratch);
    else
      resize_axis<3>(from, to_array.data(), outer, inner, plan, scratch);
  };
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const bool is_first = i == 0;
    const bool is_last = i + 1 == axes.size();
    if (is_last) {
      if (is_first)
        pass(voxels.data(), out, axes[i]);
      else
        pass(static_cast<const double*>(between.data()), out, axes[i]);
    } else {
      Array<double> next;
      if (is_first)
        pass(voxels.data(), next, axes[i]);
      else
        pass(static_cast<const double*>(between.data()), next, axes[i]);
      between = std::move(next);
    }
  }
  return out;
}

}  // namespace ivado::detail
