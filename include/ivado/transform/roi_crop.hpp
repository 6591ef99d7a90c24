// ROICrop: a window about the centre of mass of the region of interest.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "crop_window.hpp"
#include "grid.hpp"

namespace ivado {

/// Cuts a window of a given size about the region of interest; what lies outside of the sample is 0.
///
/// The window starts at round(c) - round(size / 2) along each axis, halves to the even number, with c the centre of
/// mass of the region of interest, its values as weights (negative ones and those that are no number count 0). `invert`
/// puts a prediction back on the old grid. In 2-D a third number of `size` is ignored.
///
/// A sample without a region of interest, or with an empty one, is an error, unless `center_without_roi` says that its
/// middle is to be taken, as by CenterCrop. ivadomed 2.9.10 crops about the intensities of the image where there is no
/// region, and fails on an empty one; it truncates the weights to whole numbers, so that a region resampled to values
/// below 1 loses its edge, or vanishes (known-problems.md B3.6, B3.9): `as_ivadomed`.
class ROICrop {
 public:
  static constexpr std::string_view name = "ROICrop";
  static constexpr bool is_preprocessing = true;
  static constexpr bool is_random = false;

  struct Params {
    std::vector<int> size{128, 128};  ///< extents of the window in voxels: H, W in 2-D, H, W, D in 3-D
    bool center_without_roi = false;  ///< crop about the middle where there is no region of interest
    bool as_ivadomed = false;         ///< weights truncated to whole numbers; the image where there is no region

    static constexpr auto fields() {
      return ivado::fields(
          field<"size", &Params::size>(detail::crop_size_text, at_least(1), required()),
          field<"center_without_roi", &Params::center_without_roi>(
              "true: crop about the middle of the sample where the region of interest is missing or empty; false: that "
              "is an error"),
          field<"as_ivadomed", &Params::as_ivadomed>("true: truncate the values of the region to whole numbers, and "
                                                     "take the image's own where there is no region"));
    }
  };

  using Draw = CropWindow;

  /// @throws Error (usage) if `size` has not two or three positive numbers
  explicit ROICrop(const Params& params) : params_(params) { detail::check_crop_size(params.size, name); }

  /// Where the window starts. Uses no random number.
  /// @throws Error (usage) if a volume is to be cropped with two numbers, or image and region lie on different grids
  /// @throws Error (data) if the region of interest is missing or empty, unless `center_without_roi`
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& /*rng*/, const Sample& sample) const {
    const Image& grid = detail::grid_of(sample, "cropping a sample about its region of interest");
    detail::check_dimension(grid, "ROICrop");
    Draw draw{grid.spatial(), detail::crop_extents(params_.size, grid.spatial(), name), {}};
    const Image& region = sample.roi.empty() && params_.as_ivadomed ? grid : sample.roi;
    if (!region.empty() && region.spatial() != draw.before)
      throw usage_error("cropping a sample about its region of interest",
                        "the image is " + draw.before.text() + " voxels, the region " + region.spatial().text(),
                        "let the transforms before ROICrop work on \"roi\" too: see their applied_to");
    const auto centre = centre_of_mass(region);
    if (!centre && !params_.center_without_roi)
      throw data_error("cropping a sample about its region of interest",
                       region.empty() ? "it has none" : "the region is empty",
                       "set loader_parameters.roi_params (\"slice_filter_roi\": 0 leaves slices without a region out), "
                       "or \"center_without_roi\": true");
    for (int axis = 0; axis < draw.before.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      draw.start[a] = centre ? static_cast<std::int64_t>(detail::round_half_even((*centre)[a])) -
                                   detail::half_to_even(draw.after[axis])
                             : detail::half_to_even(draw.before[axis] - draw.after[axis]);
    }
    return draw;
  }

  /// Crops in place.
  void apply(Image& image, const Draw& draw) const { detail::crop(image, draw, "ROICrop"); }

  /// Back to the grid before.
  void invert(Image& image, const Draw& draw) const { detail::uncrop(image, draw, "undoing ROICrop"); }

 private:
  /// In voxel indices, over all channels (ivadomed's first sets the window for all); nothing where all weights are 0.
  [[nodiscard]] IVADO_INLINE std::optional<std::array<double, 3>> centre_of_mass(const Image& region) const {
    if (region.empty()) return std::nullopt;
    const auto extents = detail::extents3(region.spatial());
    const float* value = region.voxels.data();
    double mass = 0;
    std::array<double, 3> moment{};
    const std::int64_t channels = params_.as_ivadomed ? 1 : region.voxels.extent(0);
    for (std::int64_t channel = 0; channel < channels; ++channel)
      for (std::int64_t h = 0; h < extents[0]; ++h)
        for (std::int64_t w = 0; w < extents[1]; ++w)
          for (std::int64_t d = 0; d < extents[2]; ++d, ++value) {
            const double weight = static_cast<double>(params_.as_ivadomed ? std::trunc(*value) : *value);
            if (!(weight > 0) || !std::isfinite(weight)) continue;
            mass += weight;
            moment[0] += weight * static_cast<double>(h);
            moment[1] += weight * static_cast<double>(w);
            moment[2] += weight * static_cast<double>(d);
          }
    if (!(mass > 0)) return std::nullopt;
    return std::array<double, 3>{moment[0] / mass, moment[1] / mass, moment[2] / mass};
  }

  Params params_;
};

static_assert(InvertibleTransform<ROICrop>);

}  // namespace ivado
