// The laws of PostStep, to be run on every step (and on a user's own), and small predictions to work on.
#pragma once

#include <cstdint>
#include <ivado/postprocess/concept.hpp>
#include <ivado/random.hpp>
#include <vector>

#include "../catch.hpp"

namespace ivado_test {

/// A prediction [1, 1, H, W] drawn row by row.
inline ivado::Prediction drawn(std::int64_t h, std::int64_t w, const std::vector<float>& values) {
  ivado::Prediction out{ivado::Array<float>({1, 1, h, w}), {1, 1, 1}, false};
  std::copy(values.begin(), values.end(), out.voxels.begin());
  return out;
}

/// The values of a prediction in order.
inline std::vector<float> values_of(const ivado::Prediction& prediction) {
  return {prediction.voxels.begin(), prediction.voxels.end()};
}

inline ivado::Prediction clone(const ivado::Prediction& prediction) {
  return {prediction.voxels.clone(), prediction.spacing_mm, prediction.is_mask};
}

/// Random values in [0, 1], or a mask, with many zeros.
inline ivado::Prediction random_prediction(const ivado::Shape& shape, bool mask, std::uint32_t sample) {
  ivado::Rng rng({17, 0, sample, ivado::stream_user});
  ivado::Prediction out{ivado::Array<float>(shape), {0.5, 0.5, 2}, mask};
  for (float& value : out.voxels) {
    value = rng.uniform() < 0.5 ? 0.0F : rng.uniform_float();
    if (mask && value > 0) value = 1;
  }
  return out;
}

/// Shape and spacing stay, values stay in [0, 1], a mask stays one and `is_mask` tells the truth; running the step
/// twice is running it once.
template <ivado::PostStep Step>
void check_step_laws(const Step& step) {
  const auto k = GENERATE(std::int64_t{1}, std::int64_t{5});
  const auto classes = GENERATE(std::int64_t{1}, std::int64_t{3});
  const bool mask = GENERATE(false, true);
  const ivado::Prediction before = random_prediction({classes, 7, 11, k}, mask, 1);
  ivado::Prediction after = clone(before);
  step(after);
  CHECK(after.voxels.shape() == before.voxels.shape());
  CHECK(after.spacing_mm == before.spacing_mm);
  bool in_range = true;
  bool is_binary = true;
  for (const float value : after.voxels) {
    in_range = in_range && value >= 0 && value <= 1;
    is_binary = is_binary && (value == 0 || value == 1);
  }
  CHECK(in_range);
  if (mask) CHECK(is_binary);
  if (mask) CHECK(after.is_mask);
  if (after.is_mask) CHECK(is_binary);
  ivado::Prediction twice = clone(after);
  step(twice);
  CHECK(twice.voxels == after.voxels);

  ivado::Prediction none{ivado::Array<float>(ivado::Shape{2, 0, 3, 3}), {1, 1, 1}, false};
  step(none);
  CHECK(none.voxels.empty());
}

}  // namespace ivado_test
