// Focal loss and Dice, both as logarithms.
#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "concept.hpp"
#include "dice_loss.hpp"
#include "focal_loss.hpp"

namespace ivado {

/// The logarithm of the focal loss less the logarithm of Dice.
///
///   L = ln max(F, 1e-7) - β ln max(D, 1e-7)
///
/// F is the FocalLoss summed over all values, D the Dice (positive) of the whole batch with s = 1. ≥ ln 1e-7 = -16.12.
/// The source is ivadomed, after the idea of Wong et al. 2018 (arXiv:1809.00076).
/// @note  F is the sum as in ivadomed: another size of image shifts the logarithm by a constant and leaves the gradient
///         as it is.
class FocalDiceLoss {
 public:
  struct Params {
    double beta = 1;
    double gamma = 2;
    double alpha = 0.25;

    static constexpr auto fields() {
      return ivado::fields(
          field<"beta", &Params::beta>("weight of the Dice part", at_least(0)),
          field<"gamma", &Params::gamma>("focal part: how little what is predicted well counts", at_least(0)),
          field<"alpha", &Params::alpha>("focal part: weight of the foreground; the background has 1 - alpha",
                                         within(0, 1)));
    }
  };
  static constexpr std::string_view name = "FocalDiceLoss";
  static constexpr TaskSet tasks = Task::segmentation;

  FocalDiceLoss() : FocalDiceLoss(Params{}) {}
  IVADO_INLINE explicit FocalDiceLoss(const Params& params)
      : params_(params), focal_([&] {
          FocalLoss::Params focal;
          focal.gamma = params.gamma;
          focal.alpha = params.alpha;
          focal.as_ivadomed = true;
          return focal;
        }()) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    constexpr double least = 1e-7;
    const at::Tensor focal = focal_(prediction, target).clamp_min(least);
    const at::Tensor dice = (-dice_(prediction, target)).clamp_min(least);
    return focal.log() - params_.beta * dice.log();
  }

 private:
  Params params_;
  FocalLoss focal_;
  DiceLoss dice_;
};

static_assert(Loss<FocalDiceLoss>);

}  // namespace ivado
