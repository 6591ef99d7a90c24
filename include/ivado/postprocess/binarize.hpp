// Binarize: a threshold makes a mask of a soft prediction.
#pragma once

#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"

namespace ivado {

/// Sets values ≥ `thr` to 1 and the others to 0. A negative `thr` switches the step off.
/// Idempotent for 0 < thr ≤ 1. After it the prediction is a mask.
class Binarize {
 public:
  struct Params {
    double thr = 0.5;

    static constexpr auto fields() {
      return ivado::fields(
          field<"thr", &Params::thr>("values at or above become 1, the others 0; negative: no effect", at_most(1)));
    }
  };
  static constexpr std::string_view name = "binarize_prediction";

  Binarize() = default;
  explicit Binarize(const Params& params) : params_(params) {}

  IVADO_INLINE void operator()(Prediction& prediction) const {
    if (params_.thr < 0) return;
    for (float& value : prediction.voxels) value = static_cast<double>(value) >= params_.thr ? 1.0F : 0.0F;
    prediction.is_mask = true;
  }

 private:
  Params params_;
};

static_assert(PostStep<Binarize>);

}  // namespace ivado
