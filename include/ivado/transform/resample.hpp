// Resample: another voxel spacing, by splines with the corners of the grid kept.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "grid.hpp"
#include "spline.hpp"

namespace ivado {

/// Brings a sample to the given spacing.
///
/// Each axis of n voxels gets round(n · spacing / target) of them, halves to the even number, and the centres of the
/// corner voxels stay where they are. An image is interpolated by a quadratic B-spline (order 2, which overshoots a
/// little at edges), a label and a region of interest linearly (order 1), never by the nearest neighbour; all sums in
/// double. The rules are those of scipy.ndimage.zoom as ivadomed 2.9.10 calls it. An axis that keeps its extent is left
/// untouched.
///
/// The spacing of the result is written as the target, though the kept corners make it n - 1 over m - 1 of the old one.
/// In 2-D `dspace` is ignored: a slice keeps its third spacing, the slice distance. `invert` gives back shape and
/// spacing exactly.
/// @note A sample of n voxels is at most resized to 2^31; a target that leaves no voxel along an axis is an error too.
class Resample {
 public:
  static constexpr std::string_view name = "Resample";
  static constexpr bool is_preprocessing = true;
  static constexpr bool is_random = false;

  /// Target spacing, mm.
  struct Params {
    double hspace = 1;         ///< along H, mm
    double wspace = 1;         ///< along W, mm
    double dspace = 1;         ///< along D, mm; ignored in 2-D
    bool as_ivadomed = false;  ///< keep the black last plane of SciPy's zoom, see fields()

    static constexpr auto fields() {
      return ivado::fields(
          field<"hspace", &Params::hspace>("target spacing along H, mm", above(0), required()),
          field<"wspace", &Params::wspace>("target spacing along W, mm", above(0), required()),
          field<"dspace", &Params::dspace>("target spacing along D, mm; ignored in 2-D", above(0)),
          field<"as_ivadomed", &Params::as_ivadomed>("true: for the 3 % of all sizes where rounding pushes the last "
                                                     "sampling position out of the grid, the last "
                                                     "row is 0, as SciPy's zoom has it"));
    }
  };

  /// What undoes it: the grid before and after.
  struct Draw {
    Shape before;  ///< spatial extents before
    Shape after;   ///< spatial extents after
    std::array<double, 3> spacing_before_mm{1, 1, 1};
    std::array<double, 3> spacing_after_mm{1, 1, 1};
  };

  /// @throws Error (usage) if a target spacing is not a positive number
  IVADO_INLINE explicit Resample(const Params& params) : params_(params) {
    for (const double target : {params.hspace, params.wspace, params.dspace})
      if (!(target > 0) || !std::isfinite(target))
        throw usage_error("setting up Resample", detail::text("the target spacing is ", target, " mm"),
                          "give positive numbers for hspace, wspace and dspace");
  }

  /// The grids before and after. Uses no random number.
  /// @throws Error (data) if the sample's spacing is not positive, or no voxel or over 2^31 voxels would result
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& /*rng*/, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "resampling a sample");
    detail::check_dimension(image, "Resample");
    Draw draw{image.spatial(), {}, image.spacing_mm, image.spacing_mm};
    const std::array<double, 3> target{params_.hspace, params_.wspace, params_.dspace};
    double size = 1;
    for (int axis = 0; axis < draw.before.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      const double spacing = image.spacing_mm[a];
      if (!(spacing > 0) || !std::isfinite(spacing))
        throw data_error(doing(draw.before), detail::text("its spacing along ", "HWD"[axis], " is ", spacing, " mm"),
                         "mend the header of the image");
      const double extent = detail::round_half_even(static_cast<double>(draw.before[axis]) * (spacing / target[a]));
      size *= extent;
      if (extent < 1 || !(size <= 0x1p31))
        throw data_error(
            doing(draw.before),
            detail::text("from ", spacing, " mm to ", target[a], " mm would give ", extent, " voxels along ",
                         "HWD"[axis]),
            detail::text("choose another ", "hwd"[axis], "space, or mend the spacing in the image's header"));
      draw.after.push_back(static_cast<std::int64_t>(extent));
      draw.spacing_after_mm[a] = target[a];
    }
    return draw;
  }

  /// Resamples in place and sets the spacing.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    detail::check_grid(image, draw.before, "Resample");
    regrid(image, draw.after);
    image.spacing_mm = draw.spacing_after_mm;
  }

  /// Back to the shape and spacing before, with the interpolation that the kind asks for.
  IVADO_INLINE void invert(Image& image, const Draw& draw) const {
    detail::check_grid(image, draw.after, "undoing Resample");
    regrid(image, draw.before);
    image.spacing_mm = draw.spacing_before_mm;
  }

 private:
  static std::string doing(const Shape& shape) { return "resampling a sample of " + shape.text() + " voxels"; }

  IVADO_INLINE void regrid(Image& image, const Shape& shape) const {
    if (image.spatial() == shape) return;
    image.voxels = detail::resize(image.voxels, shape, image.kind == Kind::image ? 2 : 1, params_.as_ivadomed);
  }

  Params params_;
};

static_assert(InvertibleTransform<Resample>);

}  // namespace ivado
