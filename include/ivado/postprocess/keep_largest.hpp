// KeepLargest: of each class only its largest connected object.
#pragma once

#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../metric/components.hpp"
#include "concept.hpp"

namespace ivado {

/// Sets all but the largest connected component of an array to 0, in place; of equally large ones the first in scan
/// order stays. Values below 0.001 belong to no component and become 0 (ivadomed's rule for soft predictions; it
/// leaves masks as they are).
/// @param values  any rank from 1 to 6, any strides, values in [0, 1]
IVADO_INLINE void keep_largest_component(ArrayView<float> values, Connectivity connectivity = Connectivity::faces) {
  if (values.size() == 0) return;
  const auto is_foreground = [](float value) { return static_cast<double>(value) >= 0.001; };
  const Components components(values, connectivity, is_foreground);
  zip(values, values, [&](float, float& value) {
    if (!is_foreground(value)) value = 0;
  });
  const std::int32_t largest = components.largest();
  components.for_each_run(values, [&](std::int32_t label, float* run, std::int64_t stride, std::int64_t length) {
    if (label == largest) return;
    for (std::int64_t i = 0; i < length; ++i) run[i * stride] = 0;
  });
}

/// Keeps the largest object of each class: face neighbours touch (6 in 3-D); a soft prediction is labelled at 0.001 and
/// keeps its values within the object. Idempotent.
///
/// ivadomed labels all classes as one 4-D array, so that a single object of all classes together survives
/// (known-problems B6.4); `as_ivadomed` does that.
class KeepLargest {
 public:
  struct Params {
    bool as_ivadomed = false;

    static constexpr auto fields() {
      return ivado::fields(field<"as_ivadomed", &Params::as_ivadomed>(
          "keep one object over all classes together, as ivadomed does, not one a class"));
    }
  };
  static constexpr std::string_view name = "keep_largest";

  KeepLargest() = default;
  explicit KeepLargest(const Params& params) : params_(params) {}

  IVADO_INLINE void operator()(Prediction& prediction) const {
    if (prediction.voxels.empty()) return;
    const std::int64_t classes = prediction.voxels.extent(0);
    const ArrayView<float> all = prediction.voxels.view();
    if (params_.as_ivadomed && classes > 1) return keep_largest_component(all.permute({1, 2, 3, 0}));
    for (std::int64_t c = 0; c < classes; ++c) keep_largest_component(all.select(0, c));
  }

 private:
  Params params_;
};

static_assert(PostStep<KeepLargest>);

}  // namespace ivado
