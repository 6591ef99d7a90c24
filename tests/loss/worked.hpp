// The small images whose losses are worked out in the tests of this room.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../catch.hpp"

namespace worked {

inline at::Tensor tensor(std::vector<float> values, std::vector<std::int64_t> shape) {
  return at::from_blob(values.data(), shape).clone();
}

/// One image of 2×2, one class.
inline at::Tensor image(float a, float b, float c, float d) { return tensor({a, b, c, d}, {1, 1, 2, 2}); }

/// A prediction, its ground truth.
struct Pair {
  at::Tensor prediction;
  at::Tensor target;
};

/// A soft prediction that is mostly right.
inline Pair soft() { return {image(0.9F, 0.2F, 0.4F, 0.7F), image(1, 0, 1, 1)}; }
/// A perfect prediction.
inline Pair perfect() { return {image(1, 1, 0, 0), image(1, 1, 0, 0)}; }
/// A mask with one voxel too many and two missing.
inline Pair wrong() { return {image(1, 1, 0, 0), image(1, 0, 1, 1)}; }
/// A prediction that knows nothing, of a ground truth with a soft value.
inline Pair unsure() { return {image(0.5F, 0.5F, 0.5F, 0.5F), image(0.5F, 1, 1, 1)}; }

template <class LossFunction>
double value(const LossFunction& loss, const Pair& pair) {
  return loss(pair.prediction, pair.target).template item<double>();
}

/// Compares a loss with what ivadomed 2.9.10 gives for `soft`, `perfect`, `wrong` and `unsure`.
template <class LossFunction>
void check_values(const LossFunction& loss, double of_soft, double of_perfect, double of_wrong, double of_unsure) {
  const auto near = [](double expected) { return Approx(expected).epsilon(3e-6).margin(1e-6); };  // six digits known
  CHECK(value(loss, soft()) == near(of_soft));
  CHECK(value(loss, perfect()) == near(of_perfect));
  CHECK(value(loss, wrong()) == near(of_wrong));
  CHECK(value(loss, unsure()) == near(of_unsure));
}

}  // namespace worked
