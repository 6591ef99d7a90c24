// Distances in mm between the surfaces of two masks: Hausdorff distance and its percentiles, average distance, and
// surface Dice.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "distance_transform.hpp"
#include "foreground_box.hpp"
#include "overlap.hpp"

namespace ivado {

/// A piece of a surface and its distance to the nearest piece of the other one.
struct SurfaceElement {
  double distance_mm = 0;
  double area_mm2 = 0;
};

/// The distances between the surfaces of two masks, in both directions. `surface_distances` makes it.
///
/// Where both masks are empty the distances and the surface Dice are NaN; where one is, the distances are infinite and
/// the surface Dice is 0.
class SurfaceDistances {
 public:
  SurfaceDistances() = default;
  /// @param prediction  pieces of the surface of the prediction, with their distances to that of the truth
  /// @param truth       pieces of the surface of the truth, with their distances to that of the prediction
  IVADO_INLINE SurfaceDistances(std::vector<SurfaceElement> prediction, std::vector<SurfaceElement> truth)
      : prediction_(std::move(prediction)), truth_(std::move(truth)) {
    const auto nearer = [](const SurfaceElement& a, const SurfaceElement& b) { return a.distance_mm < b.distance_mm; };
    std::sort(prediction_.begin(), prediction_.end(), nearer);
    std::sort(truth_.begin(), truth_.end(), nearer);
  }

  /// The surface of the prediction, the nearest piece first.
  [[nodiscard]] const std::vector<SurfaceElement>& of_prediction() const noexcept { return prediction_; }
  /// The surface of the truth, the nearest piece first.
  [[nodiscard]] const std::vector<SurfaceElement>& of_truth() const noexcept { return truth_; }

  /// The Hausdorff distance, or a percentile of it (95: HD95), mm: the larger one of both directions. In each, it is
  /// the least distance within which that part of the area lies.
  /// @param percentile  in [0, 100]
  [[nodiscard]] IVADO_INLINE double hausdorff_mm(double percentile = 100) const {
    if (prediction_.empty() || truth_.empty()) return without_surface();
    return std::max(within(prediction_, percentile), within(truth_, percentile));
  }
  /// The average symmetric surface distance (ASSD), mm: the mean over the area of both surfaces.
  [[nodiscard]] IVADO_INLINE double average_mm() const {
    if (prediction_.empty() || truth_.empty()) return without_surface();
    double sum = 0;
    for (const auto* side : {&prediction_, &truth_})
      for (const auto& element : *side) sum += element.distance_mm * element.area_mm2;
    return sum / (area_of(prediction_) + area_of(truth_));
  }
  /// The surface Dice, in [0, 1]: the part of the area of both surfaces that lies within `tolerance_mm` of the other.
  /// Nikolov et al. 2018 (arXiv:1809.04430); 2021, doi:10.2196/26151.
  [[nodiscard]] IVADO_INLINE double surface_dice(double tolerance_mm) const {
    if (prediction_.empty() != truth_.empty()) return 0;
    const double limit = tolerance_mm * (1 + 1e-6);  // distances are rounded to float
    double inside = 0;
    double total = 0;
    for (const auto* side : {&prediction_, &truth_})
      for (const auto& element : *side) {
        total += element.area_mm2;
        if (element.distance_mm <= limit) inside += element.area_mm2;
      }
    return inside / total;  // 0 / 0 where both are empty
  }

 private:
  /// A distance where a surface is missing: infinity for one of them, NaN for both.
  [[nodiscard]] IVADO_INLINE double without_surface() const noexcept {
    return prediction_.empty() != truth_.empty() ? std::numeric_limits<double>::infinity() : undefined_score;
  }
  [[nodiscard]] IVADO_INLINE static double area_of(const std::vector<SurfaceElement>& side) {
    double area = 0;
    for (const auto& element : side) area += element.area_mm2;
    return area;
  }
  [[nodiscard]] IVADO_INLINE static double within(const std::vector<SurfaceElement>& side, double percentile) {
    const double wanted = area_of(side) * percentile / 100 * (1 - 1e-12);  // the sum of all must reach it
    double area = 0;
    for (const auto& element : side)
      if ((area += element.area_mm2) >= wanted) return element.distance_mm;
    return side.back().distance_mm;
  }

  std::vector<SurfaceElement> prediction_;
  std::vector<SurfaceElement> truth_;
};

namespace detail {

/// The area of the surface in a cell whose 8 corners are centres of voxels: that of the polygons of marching cubes,
/// with a corner in each edge between a voxel inside and one outside, half-way.
/// @param code  bit v is set where corner v is inside; the corner lies at (v >> a) & 1 along axis a
[[nodiscard]] IVADO_INLINE double cell_area(unsigned code, const std::array<double, 3>& spacing_mm) {
  constexpr unsigned none = 24;
  const auto inside = [code](unsigned corner) { return (code >> corner & 1U) != 0; };
  // An edge is numbered by its axis and its lower corner.
  const auto edge = [](unsigned u, unsigned v) {
    return static_cast<unsigned>(std::countr_zero(u ^ v)) * 8 + std::min(u, v);
  };
  std::array<std::array<unsigned, 2>, none> neighbours{};
  for (auto& pair : neighbours) pair = {none, none};
  const auto connect = [&](unsigned a, unsigned b) {
    neighbours[a][neighbours[a][0] == none ? 0 : 1] = b;
    neighbours[b][neighbours[b][0] == none ? 0 : 1] = a;
  };
  // On each side of the cell: a line from cut edge to cut edge. Four of them are joined around the corners inside, in
  // every cell alike, so that the surfaces of neighbouring cells meet.
  for (unsigned axis = 0; axis < 3; ++axis) {
    const unsigned b = 1U << ((axis + 1) % 3);
    const unsigned c = 1U << ((axis + 2) % 3);
    for (const unsigned base : {0U, 1U << axis}) {
      const std::array<unsigned, 4> ring{base, base | b, base | b | c, base | c};
      std::array<unsigned, 4> cut{};
      std::size_t cuts = 0;
      for (std::size_t k = 0; k < 4; ++k)
        if (inside(ring[k]) != inside(ring[(k + 1) % 4])) cut[cuts++] = edge(ring[k], ring[(k + 1) % 4]);
      if (cuts == 2) connect(cut[0], cut[1]);
      if (cuts == 4)
        for (std::size_t k = 0; k < 4; ++k)
          if (inside(ring[k])) connect(edge(ring[(k + 3) % 4], ring[k]), edge(ring[k], ring[(k + 1) % 4]));
    }
  }
  const auto middle = [&](unsigned e) {
    std::array<double, 3> point{};
    for (unsigned a = 0; a < 3; ++a)
      point[a] = spacing_mm[a] * (e / 8 == a ? 0.5 : static_cast<double>((e % 8) >> a & 1U));
    return point;
  };
  double area = 0;
  std::array<bool, none> seen{};
  for (unsigned start = 0; start < none; ++start) {
    if (neighbours[start][0] == none || seen[start]) continue;
    std::vector<std::array<double, 3>> polygon;
    for (unsigned at = start; !seen[at];) {
      seen[at] = true;
      polygon.push_back(middle(at));
      const auto [first, second] = neighbours[at];
      at = seen[first] ? second : first;
    }
    std::array<double, 3> centre{};
    for (const auto& point : polygon)
      for (std::size_t a = 0; a < 3; ++a) centre[a] += point[a] / static_cast<double>(polygon.size());
    for (std::size_t k = 0; k < polygon.size(); ++k) {
      std::array<double, 3> u{};
      std::array<double, 3> v{};
      for (std::size_t a = 0; a < 3; ++a) {
        u[a] = polygon[k][a] - centre[a];
        v[a] = polygon[(k + 1) % polygon.size()][a] - centre[a];
      }
      area += 0.5 * std::hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]);
    }
  }
  return area;
}

/// The cells around the voxels of a mask: for each, which of its 8 corners are inside.
/// @param flat  axes along which the volume has one voxel: it is taken to go on for ever along them
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> surface_cells(ArrayView<const float> mask,
                                                             const std::array<bool, 3>& flat) {
  Shape shape;
  for (int axis = 0; axis < 3; ++axis)
    shape.push_back(flat[static_cast<std::size_t>(axis)] ? 1 : mask.extent(axis) + 1);
  Array<std::uint8_t> cells = zeros<std::uint8_t>(shape);
  // Voxel i is the upper corner of cell i and the lower one of cell i + 1.
  std::array<std::int64_t, 8> offset{};
  for (unsigned corner = 0; corner < 8; ++corner)
    for (int axis = 0; axis < 3; ++axis)
      if (!flat[static_cast<std::size_t>(axis)] && (corner >> axis & 1U) == 0)
        offset[corner] += cells.view().stride(axis);
  for (std::int64_t i = 0; i < mask.extent(0); ++i)
    for (std::int64_t j = 0; j < mask.extent(1); ++j) {
      std::uint8_t* row = &cells.view()(i, j, 0);
      for (std::int64_t k = 0; k < mask.extent(2); ++k) {
        if (!(mask(i, j, k) >= 0.5F)) continue;
        for (unsigned corner = 0; corner < 8; ++corner)
          row[k + offset[corner]] = static_cast<std::uint8_t>(row[k + offset[corner]] | 1U << corner);
      }
    }
  return cells;
}

}  // namespace detail

/// The distances between the surfaces of a prediction and its truth, both taken as masks of the voxels ≥ 0.5.
///
/// The surfaces are those of Nikolov et al. 2018 (arXiv:1809.04430): a piece in every cell between 8 voxel centres that
/// are not all inside or all outside, with the area of its polygons (marching cubes) and the place of the cell's
/// centre. So the number of voxels of an oblique or an anisotropic surface has no influence. Outside of the array is
/// background. Along an axis of one voxel a volume has no surface: an image of one slice is measured in 2-D, along its
/// contours.
/// @param prediction  [i, j, k]
/// @param truth       the same shape
/// @param spacing_mm  along i, j, k
/// @throws Error (data) if the shapes differ or have not 3 axes, or a spacing is not above 0
/// @complexity one pass over both; then linear in the box around the foreground of both
[[nodiscard]] IVADO_INLINE SurfaceDistances surface_distances(ArrayView<const float> prediction,
                                                              ArrayView<const float> truth,
                                                              const std::array<double, 3>& spacing_mm) {
  detail::require_same_shape("surface distances", prediction.shape(), truth.shape());
  if (prediction.rank() != 3)
    throw data_error("computing surface distances",
                     "arrays of shape " + prediction.shape().text() + " were given, expected [i, j, k]");
  for (const double spacing : spacing_mm)
    if (!(spacing > 0 && std::isfinite(spacing)))
      throw data_error("computing surface distances", detail::text("a spacing is ", spacing, " mm"),
                       "every spacing must be above 0");
  const VoxelBox box = foreground_box(prediction, truth, [](float value) { return value >= 0.5F; });
  if (box.empty()) return {};
  std::array<bool, 3> flat{};
  if (prediction.size() > 1)
    for (int axis = 0; axis < 3; ++axis) flat[static_cast<std::size_t>(axis)] = prediction.extent(axis) == 1;
  const Array<std::uint8_t> predicted = detail::surface_cells(box.of(prediction), flat);
  const Array<std::uint8_t> actual = detail::surface_cells(box.of(truth), flat);
  std::array<double, 256> area{};
  for (unsigned code = 1; code < 255; ++code) area[code] = detail::cell_area(code, spacing_mm);

  const auto pieces = [&](const Array<std::uint8_t>& from, const Array<std::uint8_t>& to) {
    Array<std::uint8_t> seeds(to.shape());
    zip(to.view(), seeds.view(), [](std::uint8_t code, std::uint8_t& seed) { seed = code != 0 && code != 255; });
    const Array<float> squared = squared_distances(std::as_const(seeds).view(), spacing_mm);
    std::vector<SurfaceElement> out;
    zip(from.view(), squared.view(), [&](std::uint8_t code, float distance) {
      if (code != 0 && code != 255) out.push_back({std::sqrt(static_cast<double>(distance)), area[code]});
    });
    return out;
  };
  return {pieces(predicted, actual), pieces(actual, predicted)};
}

}  // namespace ivado
