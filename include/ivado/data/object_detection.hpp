// The arithmetic of boxes about an object: other axes, a safety margin, other resolutions, whole patches.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "../error.hpp"
#include "../inline.hpp"
#include "array.hpp"
#include "geometry.hpp"
#include "sample.hpp"

namespace ivado {

/// What a detector found in an image.
struct Detection {
  ObjectBox box;       ///< along R, A, S of the patient (see `closest_ras`); the whole grid where nothing was found
  bool found = false;  ///< false: there is no object

  [[nodiscard]] friend bool operator==(const Detection&, const Detection&) = default;
};

/// The box of all voxels of a grid of three axes.
[[nodiscard]] IVADO_INLINE ObjectBox whole_box(const Shape& grid) {
  ObjectBox box{grid, {}, {}};
  for (int axis = 0; axis < grid.rank(); ++axis) box.end[static_cast<std::size_t>(axis)] = grid[axis];
  return box;
}

/// Checks a box of three axes.
/// @param doing  what it is for, to begin the message with
/// @throws Error (data) unless it lies within its grid and has a voxel
IVADO_INLINE void check_box(const ObjectBox& box, const std::string& doing) {
  if (box.grid.rank() != 3)
    throw data_error(doing, detail::text("the grid of its box has ", box.grid.rank(), " axes, expected 3"));
  for (std::size_t a = 0; a < 3; ++a)
    if (box.begin[a] < 0 || box.end[a] <= box.begin[a] || box.end[a] > box.grid[static_cast<int>(a)])
      throw data_error(doing, detail::text("its box runs from ", box.begin[a], " to ", box.end[a], " of ",
                                           box.grid[static_cast<int>(a)], " voxels along axis ", a));
}

/// A box in the axes that a view has after `map.apply`.
[[nodiscard]] IVADO_INLINE ObjectBox turn_box(const ObjectBox& box, const AxisMap& map) {
  ObjectBox out;
  for (std::size_t a = 0; a < 3; ++a) {
    const int from = map.axis[a];
    const auto f = static_cast<std::size_t>(from);
    out.grid.push_back(box.grid[from]);
    out.begin[a] = map.flip[a] ? box.grid[from] - box.end[f] : box.begin[f];
    out.end[a] = map.flip[a] ? box.grid[from] - box.begin[f] : box.end[f];
  }
  return out;
}

/// Where an interval is multiplied about.
enum class ScaleAbout {
  centre,  ///< its middle stays: a safety factor
  origin,  ///< voxel 0 stays: another resolution
};

/// An interval of voxels [begin, end) times a factor, by the arithmetic of ivadomed's `adjust_bb_size`:
///
///   length = (end - begin) factor,  begin' = max(begin - ⌊(length - (end - begin)) / 2⌋, 0),  end' = ⌊begin' + length⌋
///
/// about the centre; about the origin begin' is begin · factor, rounded (halves to the even number). About the centre
/// a factor of 1 or more never loses a voxel; about the origin part of one may be lost: `resample_box` loses none.
/// @param begin, end  from 0
[[nodiscard]] IVADO_INLINE std::pair<std::int64_t, std::int64_t> scale_interval(std::int64_t begin, std::int64_t end,
                                                                                double factor, ScaleAbout about) {
  const double extent = static_cast<double>(end - begin);
  double first = static_cast<double>(begin);
  double length = extent * factor;
  if (about == ScaleAbout::centre) {
    first -= std::floor((length - extent) / 2);
  } else {
    first *= factor;
    length = static_cast<double>(end) * factor - first;
  }
  first = std::max(first, 0.0);
  const double rest = first - std::floor(first);
  const bool is_up = rest > 0.5 || (rest == 0.5 && std::fmod(std::floor(first), 2) != 0);
  const auto from = static_cast<std::int64_t>(std::floor(first)) + (is_up ? 1 : 0);
  return {from, static_cast<std::int64_t>(static_cast<double>(from) + length)};
}

/// A box with a safety margin: its extents times a factor about its centre, then moved and cut to lie within its grid.
/// At least one voxel is left.
///
/// ivadomed keeps the index of the last voxel instead of the one behind it, and so loses the last row of the object at
/// a factor of 1; nor does it cut the upper end to the grid (known-problems B2.11).
/// @param factor  along the axes of the box, above 0
[[nodiscard]] IVADO_INLINE ObjectBox scale_box(const ObjectBox& box, const std::array<double, 3>& factor) {
  ObjectBox out = box;
  for (int axis = 0; axis < box.grid.rank(); ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    auto [begin, end] = scale_interval(box.begin[a], box.end[a], factor[a], ScaleAbout::centre);
    end = std::max(end, begin + 1);
    const std::int64_t over = std::clamp<std::int64_t>(end - box.grid[axis], 0, begin);
    out.begin[a] = begin - over;
    out.end[a] = std::min(end - over, box.grid[axis]);
  }
  return out;
}

/// A box on another grid over the same field of view, in proportion to the extents, outwards to whole voxels: no part
/// of the object is lost. The box may have more axes than the grid, whose are then the first.
/// @throws Error (data) if the box has no voxel; (internal) if it has fewer axes than the grid
[[nodiscard]] IVADO_INLINE ObjectBox resample_box(const ObjectBox& box, const Shape& grid) {
  const auto floor_ratio = [](std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); };
  if (box.grid.rank() < grid.rank())
    throw internal_error("cropping a sample to its box",
                         detail::text("the grid of the box has ", box.grid.rank(), " axes, the sample ", grid.rank()));
  ObjectBox out{grid, {}, {}};
  for (int axis = 0; axis < grid.rank(); ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    if (box.end[a] <= box.begin[a] || box.grid[axis] <= 0)
      throw data_error("cropping a sample to its box",
                       detail::text("along ", "HWD"[axis], " the box runs from ", box.begin[a], " to ", box.end[a],
                                    " of ", box.grid[axis], " voxels"),
                       "a box needs at least one voxel along each axis");
    out.begin[a] = floor_ratio(box.begin[a] * grid[axis], box.grid[axis]);
    out.end[a] = -floor_ratio(-box.end[a] * grid[axis], box.grid[axis]);
  }
  return out;
}

/// The least extent from `extent` on that patches of `length` at distances of `stride` cover exactly:
/// length + k · stride. ivadomed's `resize_to_multiple`, but never shorter than a patch.
/// @param length, stride  at least 1
[[nodiscard]] constexpr std::int64_t resize_to_multiple(std::int64_t extent, std::int64_t stride, std::int64_t length) {
  if (extent <= length) return length;
  return length + (extent - length + stride - 1) / stride * stride;
}

}  // namespace ivado
