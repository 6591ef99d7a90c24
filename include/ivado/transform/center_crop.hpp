// CenterCrop: the middle of a sample, or the sample in the middle of zeros.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "crop_window.hpp"
#include "grid.hpp"

namespace ivado {

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
      return ivado::fields(field<"size", &Params::size>(detail::crop_size_text, at_least(1), required()));
    }
  };

  using Draw = CropWindow;

  /// @throws Error (usage) if `size` has not two or three positive numbers
  explicit CenterCrop(const Params& params) : params_(params) { detail::check_crop_size(params.size, name); }

  /// Where the window starts. Uses no random number.
  /// @throws Error (usage) if a volume is to be cropped with two numbers
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& /*rng*/, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "cropping a sample");
    detail::check_dimension(image, "CenterCrop");
    Draw draw{image.spatial(), detail::crop_extents(params_.size, image.spatial(), name), {}};
    for (int axis = 0; axis < draw.before.rank(); ++axis)
      draw.start[static_cast<std::size_t>(axis)] = detail::half_to_even(draw.before[axis] - draw.after[axis]);
    return draw;
  }

  /// Crops in place.
  void apply(Image& image, const Draw& draw) const { detail::crop(image, draw, "CenterCrop"); }

  /// Back to the grid before.
  void invert(Image& image, const Draw& draw) const { detail::uncrop(image, draw, "undoing CenterCrop"); }

 private:
  Params params_;
};

static_assert(InvertibleTransform<CenterCrop>);

}  // namespace ivado
