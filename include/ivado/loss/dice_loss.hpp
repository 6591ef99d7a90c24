// Soft Dice loss.
#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

/// Soft Dice of the whole batch, negated: the best value is -1.
///
///   L = -(2 Σ p·g + s) / (Σ p + Σ g + s)
///
/// The sums run over batch, classes and space together, as in ivadomed. In [-1, 0).
/// @note  Both empty give -1 (perfect). `s` is `Params::smooth`, 1 as in ivadomed.
/// @note  V-Net (Milletari et al. 2016, arXiv:1606.04797) squares the terms of the denominator; ivadomed does not, nor
///         do we.
/// @note  Not for heat maps: of a soft ground truth this is least at a prediction of 0 and 1, not at the truth.
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
  static constexpr TaskSet tasks = Task::segmentation;

  DiceLoss() = default;
  explicit DiceLoss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation; not logits
  /// @param  target      the same shape, in [0, 1]; soft labels allowed
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const auto [p, g] = detail::loss_input(name, prediction, target);
    return -(2 * (p * g).sum() + params_.smooth) / (p.sum() + g.sum() + params_.smooth);
  }

 private:
  Params params_;
};

static_assert(Loss<DiceLoss>);

}  // namespace ivado
