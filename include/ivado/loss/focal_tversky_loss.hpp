// Focal Tversky loss.
#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"
#include "tversky_loss.hpp"

namespace ivado {

/// Mean over classes of a root of what their Tversky index lacks to 1: the best value is 0.
///
///   L = mean_c (1 - T_c)^(1/γ),   T as in TverskyLoss
///
/// In [0, 1). Abraham and Khan 2018 (arXiv:1810.07842), where γ = 4/3 was best.
/// @note  The paper's α weighs false negatives, ivadomed's and ours false positives: to favour recall, take α = 0.3 and
///         β = 0.7.
/// @note  At T = 1 the root has no finite slope for γ > 1: ivadomed's gradient is NaN there, for all classes, and a
///         batch without the structure ends the training. Here such a class gives no gradient.
class FocalTverskyLoss {
 public:
  struct Params {
    double alpha = 0.7;
    double beta = 0.3;
    double gamma = 1.33;
    double smooth = 1;
    bool as_ivadomed = false;  ///< the gradient of a perfect class is NaN

    static constexpr auto fields() {
      return ivado::fields(
          field<"alpha", &Params::alpha>("weight of false positives", at_least(0)),
          field<"beta", &Params::beta>("weight of false negatives", at_least(0)),
          field<"gamma", &Params::gamma>("above 1: classes that are nearly right count more; below: less", above(0)),
          field<"smooth", &Params::smooth>("added to numerator and denominator, so that two empty masks agree",
                                           above(0)),
          field<"as_ivadomed", &Params::as_ivadomed>(
              "true: where a class is predicted perfectly the gradient is NaN instead of 0"));
    }
  };
  static constexpr std::string_view name = "FocalTverskyLoss";
  static constexpr TaskSet tasks = Task::segmentation;

  FocalTverskyLoss() = default;
  explicit FocalTverskyLoss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const at::Tensor lack = 1 - detail::tversky_per_class(detail::loss_input(name, prediction, target), params_.alpha,
                                                          params_.beta, params_.smooth);
    if (params_.as_ivadomed) return lack.pow(1 / params_.gamma).mean();
    const at::Tensor imperfect = lack > 0;
    return at::where(imperfect, at::where(imperfect, lack, 1).pow(1 / params_.gamma), 0).mean();
  }

 private:
  Params params_;
};

static_assert(Loss<FocalTverskyLoss>);

}  // namespace ivado
