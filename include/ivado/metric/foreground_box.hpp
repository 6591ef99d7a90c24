// The smallest box around the foreground of two arrays: metrics look no further.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "../data/array.hpp"
#include "../error.hpp"

namespace ivado {

/// A box of voxels [begin, end) of a volume [i, j, k].
struct VoxelBox {
  std::array<std::int64_t, 3> begin{};
  std::array<std::int64_t, 3> end{};

  [[nodiscard]] std::int64_t extent(std::size_t axis) const noexcept { return end[axis] - begin[axis]; }
  /// True where there is no voxel in it.
  [[nodiscard]] bool empty() const noexcept { return extent(0) <= 0 || extent(1) <= 0 || extent(2) <= 0; }
  /// The part of a volume that lies in the box.
  template <class T>
  [[nodiscard]] ArrayView<T> of(ArrayView<T> volume) const {
    for (int axis = 0; axis < 3; ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      volume = volume.narrow(axis, begin[a], std::max<std::int64_t>(extent(a), 0));
    }
    return volume;
  }
};

namespace detail {

/// Widens a box to the foreground of a volume.
template <class T, class Foreground>
void widen(VoxelBox& box, ArrayView<const T> volume, const Foreground& is_foreground) {
  const std::int64_t n = volume.extent(2);
  const std::int64_t stride = volume.stride(2);
  for (std::int64_t i = 0; i < volume.extent(0); ++i)
    for (std::int64_t j = 0; j < volume.extent(1); ++j) {
      const T* row = volume.data() + i * volume.stride(0) + j * volume.stride(1);
      bool any = false;  // without a way out of the loop, so that it is vectorised
      for (std::int64_t k = 0; k < n; ++k) any |= is_foreground(row[k * stride]);
      if (!any) continue;
      std::int64_t first = 0;
      std::int64_t last = n - 1;
      while (!is_foreground(row[first * stride])) ++first;
      while (!is_foreground(row[last * stride])) --last;
      const std::array<std::int64_t, 3> low{i, j, first};
      const std::array<std::int64_t, 3> high{i, j, last};
      const bool is_new = box.empty();
      for (std::size_t a = 0; a < 3; ++a) {
        box.begin[a] = is_new ? low[a] : std::min(box.begin[a], low[a]);
        box.end[a] = is_new ? high[a] + 1 : std::max(box.end[a], high[a] + 1);
      }
    }
}

}  // namespace detail

/// The smallest box that holds the foreground of both volumes; empty where there is none.
/// @param a, b           [i, j, k] of one shape
/// @param is_foreground  of an element
/// @throws Error (internal) if the shapes differ or have not 3 axes
/// @complexity one pass over both
template <class T, class Foreground>
[[nodiscard]] VoxelBox foreground_box(ArrayView<const T> a, ArrayView<const T> b, const Foreground& is_foreground) {
  if (!(a.shape() == b.shape()) || a.rank() != 3)
    throw internal_error("looking for the foreground",
                         a.shape().text() + " and " + b.shape().text() + " were given, expected one shape of 3 axes");
  VoxelBox box;
  detail::widen(box, a, is_foreground);
  detail::widen(box, b, is_foreground);
  return box;
}

}  // namespace ivado
