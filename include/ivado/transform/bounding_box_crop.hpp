// BoundingBoxCrop: the part of a sample that an object detector found.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../data/object_detection.hpp"
#include "../inline.hpp"
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
///
/// For patches, `length` and `stride` widen the box to length + k · stride voxels of the image, as far as the grid
/// reaches: patches then need neither zeros around them nor a shorter last step. ivadomed widens too (in 3-D), at one
/// end and with zeros beyond the grid.
class BoundingBoxCrop {
 public:
  static constexpr std::string_view name = "BoundingBoxCrop";
  static constexpr bool is_preprocessing = true;
  static constexpr bool is_random = false;
  static constexpr bool needs_box = true;  ///< samples must carry a box

  struct Params {
    std::optional<std::vector<int>> size;  ///< extents of the window in voxels along H, W, D; none: those of the box
    std::optional<std::vector<int>> length{};  ///< of patches along H, W, D, in voxels; without effect beside `size`
    std::optional<std::vector<int>> stride{};  ///< distance of the patches; none: `length`

    static constexpr auto fields() {
      return ivado::fields(field<"size", &Params::size>("extents of the window in voxels, about the middle of the box: "
                                                        "[H, W] in 2-D, [H, W, D] in 3-D; null: the "
                                                        "box itself",
                                                        at_least(1)),
                           field<"length", &Params::length>(
                               "extents of patches: without `size`, the box is widened to length + k stride voxels; "
                               "behind a detector filled from the model's patches",
                               at_least(1)),
                           field<"stride", &Params::stride>("distances of patches; null: `length`", at_least(1)));
    }
  };

  using Draw = CropWindow;

  /// @throws Error (usage) if `size`, `length` or `stride` has not two or three positive numbers
  IVADO_INLINE explicit BoundingBoxCrop(const Params& params) : params_(params) {
    for (const auto& given : {params.size, params.length, params.stride})
      if (given) detail::check_crop_size(*given, name);
  }

  /// The window on the sample's grid. Uses no random number.
  /// @throws Error (usage) if a volume is to be cropped with two numbers
  /// @throws Error (data) if the sample carries no box, or an empty one
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& /*rng*/, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "cropping a sample to its box");
    detail::check_dimension(image, "BoundingBoxCrop");
    if (!sample.box)
      throw data_error("cropping a sample to its box", "it carries none",
                       "name a detector in object_detection_params, or leave BoundingBoxCrop out");
    Draw draw{image.spatial(), {}, {}};
    const ObjectBox box = resample_box(*sample.box, draw.before);
    if (params_.size) draw.after = detail::crop_extents(*params_.size, draw.before, name);
    const Shape length = params_.length ? detail::crop_extents(*params_.length, draw.before, name) : Shape{};
    const Shape stride = params_.stride ? detail::crop_extents(*params_.stride, draw.before, name) : length;
    for (int axis = 0; axis < draw.before.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      const std::int64_t extent = box.end[a] - box.begin[a];
      const std::int64_t most = std::max(draw.before[axis], extent);
      const bool is_widened = !params_.size && params_.length;
      if (!params_.size)
        draw.after.push_back(
            is_widened ? std::min(resize_to_multiple(extent, std::min(stride[axis], length[axis]), length[axis]), most)
                       : extent);
      draw.start[a] = box.begin[a] + detail::half_to_even(extent - draw.after[axis]);
      if (is_widened && extent <= draw.before[axis])
        draw.start[a] = std::clamp<std::int64_t>(draw.start[a], 0, draw.before[axis] - draw.after[axis]);
    }
    return draw;
  }

  /// Crops in place.
  void apply(Image& image, const Draw& draw) const { detail::crop(image, draw, "BoundingBoxCrop"); }

  /// Back to the grid before.
  void invert(Image& image, const Draw& draw) const { detail::uncrop(image, draw, "undoing BoundingBoxCrop"); }

 private:
  Params params_;
};

static_assert(InvertibleTransform<BoundingBoxCrop>);

}  // namespace ivado
