// RemoveNoise: sets low values of a soft prediction to zero.
#pragma once

#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"

namespace ivado {

/// Keeps values strictly above `thr`, sets the others to 0 (known-problems C: ivadomed's documentation says strictly
/// below, its program does this). A negative `thr` switches the step off, as it is by default. Idempotent.
class RemoveNoise {
 public:
  struct Params {
    double thr = -1;

    static constexpr auto fields() {
      return ivado::fields(field<"thr", &Params::thr>("values at or below it become 0; negative: no effect", below(1)));
    }
  };
  static constexpr std::string_view name = "remove_noise";

  RemoveNoise() = default;
  explicit RemoveNoise(const Params& params) : params_(params) {}

  IVADO_INLINE void operator()(Prediction& prediction) const {
    if (params_.thr < 0) return;
    for (float& value : prediction.voxels)
      if (!(static_cast<double>(value) > params_.thr)) value = 0;
  }

 private:
  Params params_;
};

static_assert(PostStep<RemoveNoise>);

}  // namespace ivado
