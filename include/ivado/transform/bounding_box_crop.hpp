// BoundingBoxCrop: the part of a sample that an object detector found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "concept.hpp"
#include "crop_window.hpp"
#include "grid.hpp"

namespace ivado {

/// Cuts the box that a sample carries (`Sample::box`) out of it; what lies outside of the sample is 0.
///
/// In a cascade it stands right behind Resample, before any other crop: the box lies on the grid as it was read, and is
/// brought onto the sample's grid in proportion to the extents, outwards to whole voxels. Without `size` the window is
/// the box itself; with `size` it has these extents about the middle of the box (start + (box - size) / 2, halves to
/// the even number), so that all samples get one shape; ivadomed 2.9.10, which always hands over the box's own size,
/// starts at the box. `invert` puts a prediction back on the old grid. In 2-D a third number of `size` is ignored.
class BoundingBoxCrop {
 public:
  static constexpr std::string_view name = "BoundingBoxCrop";
  static constexpr bool is_preprocessing = true;
  static constexpr bool is_random = false;

  struct Params {
    std::optional<std::vector<int>> size;  ///< extents of the window in voxels along H, W, D; none: those of the box

    static constexpr auto fields() {
      return ivado::fields(field<"size", &Params::size>(
          "extents of the window in voxels, about the middle of the box: [H, W] in 2-D, [H, W, D] in 3-D; null: the "
          "box itself",
          at_least(1)));
    }
  };

  using Draw = CropWindow;

  /// @throws Error (usage) if `size` has not two or three positive numbers
  explicit BoundingBoxCrop(const Params& params) : params_(params) {
    if (params.size) detail::check_crop_size(*params.size, name);
  }

  /// The window on the sample's grid. Uses no random number.
  /// @throws Error (usage) if a volume is to be cropped with two numbers
  /// @throws Error (data) if the sample carries no box, or an empty one
  [[nodiscard]] Draw draw(Rng& /*rng*/, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "cropping a sample to its box");
    detail::check_dimension(image, "BoundingBoxCrop");
    if (!sample.box)
      throw data_error("cropping a sample to its box", "it carries none",
                       "name a detector in object_detection_params, or leave BoundingBoxCrop out");
    const ObjectBox& box = *sample.box;
    Draw draw{image.spatial(), {}, {}};
    if (params_.size) draw.after = detail::crop_extents(*params_.size, draw.before, name);
    if (box.grid.rank() < draw.before.rank())
      throw internal_error("cropping a sample to its box", detail::text("the grid of the box has ", box.grid.rank(),
                                                                        " axes, the sample ", draw.before.rank()));
    for (int axis = 0; axis < draw.before.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      if (box.end[a] <= box.begin[a] || box.grid[axis] <= 0)
        throw data_error("cropping a sample to its box",
                         detail::text("along ", "HWD"[axis], " the box runs from ", box.begin[a], " to ", box.end[a],
                                      " of ", box.grid[axis], " voxels"),
                         "a box needs at least one voxel along each axis");
      const std::int64_t start = floor_ratio(box.begin[a] * draw.before[axis], box.grid[axis]);
      const std::int64_t end = -floor_ratio(-box.end[a] * draw.before[axis], box.grid[axis]);
      if (!params_.size) draw.after.push_back(end - start);
      draw.start[a] = start + detail::half_to_even(end - start - draw.after[axis]);
    }
    return draw;
  }

  /// Crops in place.
  void apply(Image& image, const Draw& draw) const { detail::crop(image, draw, "BoundingBoxCrop"); }

  /// Back to the grid before.
  void invert(Image& image, const Draw& draw) const { detail::uncrop(image, draw, "undoing BoundingBoxCrop"); }

 private:
  /// ⌊a / b⌋ for b > 0.
  [[nodiscard]] static constexpr std::int64_t floor_ratio(std::int64_t a, std::int64_t b) noexcept {
    return a / b - (a % b < 0 ? 1 : 0);
  }

  Params params_;
};

static_assert(InvertibleTransform<BoundingBoxCrop>);

}  // namespace ivado
