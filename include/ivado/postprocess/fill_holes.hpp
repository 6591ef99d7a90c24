// FillHoles: background enclosed by an object becomes part of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../metric/components.hpp"
#include "concept.hpp"

namespace ivado {

/// Makes a mask (values ≥ 0.5) and fills its holes, in place: background that is not connected to the outside of the
/// array. Background voxels are connected where they are at most `reach` apart along every axis (1: corners touch).
/// @param values       any rank from 1 to 6, any strides
/// @param skip_single  axes of one voxel have no outside, so that the holes of an image of one slice are filled in 2-D
/// Same rule as scipy.ndimage.binary_fill_holes with a box of 2·reach + 1 voxels as structuring element.
IVADO_INLINE void fill_holes_in(ArrayView<float> values, std::int32_t reach = 1, bool skip_single = true) {
  if (values.size() == 0) return;
  const auto is_background = [](float value) { return !(value >= 0.5F); };
  const Components background(values, Neighbourhood::box(values.rank(), reach), is_background);
  const std::vector<char> outside = background.touching_outside(reach, skip_single);
  zip(values, values, [](float, float& value) { value = value >= 0.5F ? 1.0F : 0.0F; });
  background.for_each_run(values, [&](std::int32_t label, float* run, std::int64_t stride, std::int64_t length) {
    if (outside[static_cast<std::size_t>(label - 1)] != 0) return;
    for (std::int64_t i = 0; i < length; ++i) run[i * stride] = 1;
  });
}

/// Makes a mask of each class (values ≥ 0.5) and fills its holes. The background is 26-connected (8-connected in an
/// image of one slice): a hole that touches the outside over a corner stays. Idempotent.
///
/// In ivadomed an image of one slice has no holes, because every voxel lies at the border of the slice axis;
/// `as_ivadomed` keeps that.
class FillHoles {
 public:
  struct Params {
    bool as_ivadomed = false;

    static constexpr auto fields() {
      return ivado::fields(field<"as_ivadomed", &Params::as_ivadomed>(
          "leave the holes of images of a single slice open, as ivadomed does"));
    }
  };
  static constexpr std::string_view name = "fill_holes";

  FillHoles() = default;
  explicit FillHoles(const Params& params) : params_(params) {}

  IVADO_INLINE void operator()(Prediction& prediction) const {
    prediction.is_mask = true;
    if (prediction.voxels.empty()) return;
    for (std::int64_t c = 0; c < prediction.voxels.extent(0); ++c)
      fill_holes_in(prediction.voxels.view().select(0, c), 1, !params_.as_ivadomed);
  }

 private:
  Params params_;
};

static_assert(PostStep<FillHoles>);

}  // namespace ivado
