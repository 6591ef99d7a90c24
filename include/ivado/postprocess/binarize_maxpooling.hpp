// BinarizeMaxPooling: each voxel to the class with the largest value, or to the background.
#pragma once

#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"

namespace ivado {

/// Gives each voxel to the class with the largest value; the background takes part with 1 - Σ classes.
///
/// Of equal values the background wins, then the lower class: (0.6, 0.3) is class 0, (0.2, 0.3) background,
/// (0.5, 0.5) class 0. After it the prediction is a mask in which classes do not overlap. Idempotent.
class BinarizeMaxPooling {
 public:
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "binarize_maxpooling";

  BinarizeMaxPooling() = default;
  explicit BinarizeMaxPooling(const Params&) {}

  IVADO_INLINE void operator()(Prediction& prediction) const {
    prediction.is_mask = true;
    if (prediction.voxels.empty()) return;
    const std::int64_t classes = prediction.voxels.extent(0);
    const std::int64_t size = prediction.voxels.size() / classes;  // voxels of one class
    float* values = prediction.voxels.data();
    for (std::int64_t i = 0; i < size; ++i) {
      double sum = 0;
      double most = -1;
      std::int64_t winner = 0;
      for (std::int64_t c = 0; c < classes; ++c) {
        const auto value = static_cast<double>(values[c * size + i]);
        sum += value;
        if (value > most) {
          most = value;
          winner = c;
        }
      }
      if (1 - sum >= most) winner = -1;
      for (std::int64_t c = 0; c < classes; ++c) values[c * size + i] = c == winner ? 1.0F : 0.0F;
    }
  }
};

static_assert(PostStep<BinarizeMaxPooling>);

}  // namespace ivado
