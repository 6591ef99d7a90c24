// The cropping that CenterCrop, ROICrop and BoundingBoxCrop share: a window of the grid, zeros outside, and back.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "grid.hpp"

namespace ivado {

/// A window of a sample's grid: all that cropping to it and taking the crop back depend on.
struct CropWindow {
  Shape before;                         ///< spatial extents of the grid
  Shape after;                          ///< spatial extents of the window
  std::array<std::int64_t, 3> start{};  ///< first voxel of the window along H, W, D; negative: zeros come first
};

namespace detail {

/// What `size` means, for the key reference.
inline constexpr std::string_view crop_size_text =
    "extents of the window in voxels: [H, W] in 2-D (a third number is ignored there), [H, W, D] in 3-D";

/// Checks the key `size` of a crop.
/// @throws Error (usage) if it has not two or three positive numbers
IVADO_INLINE void check_crop_size(const std::vector<int>& size, std::string_view transform) {
  const bool is_positive = std::all_of(size.begin(), size.end(), [](int extent) { return extent > 0; });
  if ((size.size() != 2 && size.size() != 3) || !is_positive)
    throw usage_error("setting up " + std::string(transform), "size is " + to_json(size).dump(),
                      "give two positive whole numbers for slices, three for volumes");
}

/// The extents of a window of the given size on a grid.
/// @throws Error (usage) if a volume is to be cropped with two numbers
[[nodiscard]] IVADO_INLINE Shape crop_extents(const std::vector<int>& size, const Shape& before,
                                              std::string_view transform) {
  if (static_cast<std::size_t>(before.rank()) > size.size())
    throw usage_error("cropping a volume of " + before.text() + " voxels",
                      "the size of " + std::string(transform) + " is " + to_json(size).dump(),
                      "give it a third number, along D");
  Shape extents;
  for (int axis = 0; axis < before.rank(); ++axis) extents.push_back(size[static_cast<std::size_t>(axis)]);
  return extents;
}

/// The window [start, start + extent) of a [channel, spatial…] array; what lies outside of the array is 0.
[[nodiscard]] IVADO_INLINE Array<float> window(const Array<float>& voxels, const std::array<std::int64_t, 3>& start,
                                               const Shape& extent) {
  Array<float> out = zeros(extent.prepended(voxels.extent(0)));
  ArrayView<const float> from = voxels.view();
  ArrayView<float> to = out.view();
  for (int axis = 0; axis < extent.rank(); ++axis) {
    const std::int64_t first = start[static_cast<std::size_t>(axis)];
    const std::int64_t begin = std::max<std::int64_t>(first, 0);
    const std::int64_t end = std::min(first + extent[axis], voxels.extent(axis + 1));
    if (end <= begin) return out;
    from = from.narrow(axis + 1, begin, end - begin);
    to = to.narrow(axis + 1, begin - first, end - begin);
  }
  copy(from, to);
  return out;
}

/// Crops in place.
IVADO_INLINE void crop(Image& image, const CropWindow& to, const char* transform) {
  check_grid(image, to.before, transform);
  if (to.after == to.before && to.start == std::array<std::int64_t, 3>{}) return;
  image.voxels = window(image.voxels, to.start, to.after);
}

/// Back to the grid before, in place: zeros where the crop had cut, and the padding cut off.
IVADO_INLINE void uncrop(Image& image, const CropWindow& from, const char* transform) {
  check_grid(image, from.after, transform);
  if (from.after == from.before && from.start == std::array<std::int64_t, 3>{}) return;
  image.voxels = window(image.voxels, {-from.start[0], -from.start[1], -from.start[2]}, from.before);
}

}  // namespace detail
}  // namespace ivado
