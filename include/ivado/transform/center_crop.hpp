// CenterCrop: the middle of a sample, or the sample in the middle of zeros.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "concept.hpp"
#include "grid.hpp"

namespace ivado {

namespace detail {

/// The window [start, start + extent) of a [channel, spatial…] array; what lies outside of the array is 0.
[[nodiscard]] inline Array<float> window(const Array<float>& voxels, const std::array<std::int64_t, 3>& start,
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

}  // namespace detail

/// Cuts a window of a given size out of the middle of a sample; where the sample is smaller, zeros are put around it.
///
/// The window starts at (n - size) / 2, halves to the even number (5 → 2 starts at 2, 7 → 4 at 2, 11 → 14 at -2), as in
/// ivadomed 2.9.10. `invert` puts a prediction back on the old grid: zeros where the crop had cut, and the padding cut
/// off. In 2-D a third number of `size` is ignored.
class CenterCrop {
 public:
  static constexpr std::string_view name = "CenterCrop";
  static constexpr bool is_preprocessing = true;
  static constexpr bool is_random = false;

  struct Params {
    std::vector<int> size{128, 128};  ///< extents of the window in voxels: H, W in 2-D, H, W, D in 3-D

    static constexpr auto fields() {
      return ivado::fields(field<"size", &Params::size>(
          "extents of the window in voxels: [H, W] in 2-D (a third number is ignored there), [H, W, D] in 3-D",
          at_least(1), required()));
    }
  };

  /// What undoes it: the grid before, and where the window started.
  struct Draw {
    Shape before;                         ///< spatial extents before
    std::array<std::int64_t, 3> start{};  ///< first voxel of the window along H, W, D; negative: zeros come first
  };

  /// @throws Error (usage) if `size` has not two or three positive numbers
  explicit CenterCrop(const Params& params) : params_(params) {
    const bool is_positive = std::all_of(params.size.begin(), params.size.end(), [](int extent) { return extent > 0; });
    if ((params.size.size() != 2 && params.size.size() != 3) || !is_positive)
      throw usage_error("setting up CenterCrop", "size is " + to_json(params.size).dump(),
                        "give two positive whole numbers for slices, three for volumes");
  }

  /// Where the window starts. Uses no random number.
  /// @throws Error (usage) if a volume is to be cropped with two numbers
  [[nodiscard]] Draw draw(Rng& /*rng*/, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "cropping a sample");
    detail::check_dimension(image, "CenterCrop");
    Draw draw{image.spatial(), {}};
    const Shape extent = after(draw.before);
    for (int axis = 0; axis < draw.before.rank(); ++axis)
      draw.start[static_cast<std::size_t>(axis)] = detail::half_to_even(draw.before[axis] - extent[axis]);
    return draw;
  }

  /// Crops in place.
  void apply(Image& image, const Draw& draw) const {
    detail::check_grid(image, draw.before, "CenterCrop");
    const Shape extent = after(draw.before);
    if (extent == draw.before) return;
    image.voxels = detail::window(image.voxels, draw.start, extent);
  }

  /// Back to the grid before.
  void invert(Image& image, const Draw& draw) const {
    const Shape extent = after(draw.before);
    detail::check_grid(image, extent, "undoing CenterCrop");
    if (extent == draw.before) return;
    image.voxels = detail::window(image.voxels, {-draw.start[0], -draw.start[1], -draw.start[2]}, draw.before);
  }

 private:
  /// The extents after cropping a grid.
  [[nodiscard]] Shape after(const Shape& before) const {
    if (static_cast<std::size_t>(before.rank()) > params_.size.size())
      throw usage_error("cropping a volume of " + before.text() + " voxels",
                        "the size of CenterCrop is " + to_json(params_.size).dump(), "give it a third number, along D");
    Shape extent;
    for (int axis = 0; axis < before.rank(); ++axis) extent.push_back(params_.size[static_cast<std::size_t>(axis)]);
    return extent;
  }

  Params params_;
};

static_assert(InvertibleTransform<CenterCrop>);

}  // namespace ivado
