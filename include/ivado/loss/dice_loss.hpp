// Soft Dice loss.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>

#include "../config/params.hpp"
#include "concept.hpp"

namespace ivado {

namespace detail {
/// @throws Error (internal) if a prediction and its target differ in shape
inline void require_same_shape(std::string_view loss, const at::Tensor& prediction, const at::Tensor& target) {
  if (prediction.sizes() != target.sizes())
    throw internal_error("computing " + std::string(loss),
                         text("prediction ", prediction.sizes(), ", target ", target.sizes()),
                         "the model and the labels must agree in size and number of classes");
}
}  // namespace detail

/// Soft Dice of the whole batch, negated: the best value is -1.
///
///   L = -(2 Σ p·g + s) / (Σ p + Σ g + s)
///
/// The sums run over batch, classes and space together, as in ivadomed. In [-1, 0).
/// @note  Both empty give -1 (perfect). `s` is `Params::smooth`, 1 as in ivadomed.
/// @note  V-Net (Milletari et al. 2016, arXiv:1606.04797) squares the terms of the denominator; ivadomed does not, nor
///         do we.
/// @complexity one pass over the voxels for each of the three sums
/// Example: examples/segment_2d.cpp
class DiceLoss {
 public:
  struct Params {
    double smooth = 1;
    static constexpr auto fields() {
      return ivado::fields(field<"smooth", &Params::smooth>(
          "added to numerator and denominator, so that two empty masks agree", above(0)));
    }
  };
  static constexpr std::string_view name = "DiceLoss";

  DiceLoss() = default;
  explicit DiceLoss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation; not logits
  /// @param  target      the same shape, in [0, 1]; soft labels allowed
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    detail::require_same_shape(name, prediction, target);
    const at::ScalarType type = prediction.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor p = prediction.to(type);
    const at::Tensor g = target.to(type);
    return -(2 * (p * g).sum() + params_.smooth) / (p.sum() + g.sum() + params_.smooth);
  }

 private:
  Params params_;
};

static_assert(Loss<DiceLoss>);

}  // namespace ivado
