// Adaptive wing loss, for heat maps.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

/// Adaptive wing loss of heat maps: near a peak (g = 1) small errors keep a strong gradient, in the background they do
/// not.
///
///   L = mean of m · { ω ln(1 + (Δ/ε)^e)  where Δ < θ;  A Δ - C  elsewhere },   Δ = |g - p|, e = α - g, q = θ/ε
///   A = ω e q^(e-1) / (ε (1 + q^e)),   C = θ A - ω ln(1 + q^e)
///
/// A and C make the two pieces meet smoothly at θ. ≥ 0. Wang et al. 2019 (arXiv:1904.07399). m weighs the peaks and
/// their surroundings: 1 + ω where the ground truth, or one of its neighbours, is at least 0.2, and 1 elsewhere.
/// Neighbours share a corner in a slice, an edge in a volume.
/// @note  The paper's weight is 1 + 10 there; 1 + ω is what ivadomed means to take.
/// @note  ivadomed's m is 1 everywhere by a slip (known-problems B5.1), and it takes the sum over all values, which
///         grows with image and batch (B5.2): `as_ivadomed` does both.
class AdapWingLoss {
 public:
  struct Params {
    double theta = 0.5;
    double alpha = 2.1;
    double omega = 14;
    double epsilon = 1;
    bool as_ivadomed = false;  ///< the unweighted sum

    static constexpr auto fields() {
      return ivado::fields(
          field<"theta", &Params::theta>("error from which the loss is linear", above(0)),
          field<"alpha", &Params::alpha>("exponent of small errors in the background; at a peak it is alpha - 1",
                                         at_least(2)),
          field<"omega", &Params::omega>("scale of the loss, and additional weight of the peaks", above(0)),
          field<"epsilon", &Params::epsilon>("width of the curved part: below it the gradient falls with the error",
                                             above(0)),
          field<"as_ivadomed", &Params::as_ivadomed>(
              "true: the sum over all voxels instead of the mean, and the peaks weigh no more than the background"));
    }
  };
  static constexpr std::string_view name = "AdapWingLoss";
  static constexpr TaskSet tasks = Task::keypoints | Task::segmentation;

  AdapWingLoss() = default;
  explicit AdapWingLoss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, H, W] or [N, C, H, W, D] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ or have no such axes
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const auto [p, g] = detail::loss_input(name, prediction, target);
    const auto& [theta, alpha, omega, epsilon, as_ivadomed] = params_;
    const at::Tensor error = (g - p).abs();
    const at::Tensor exponent = alpha - g;
    const at::Tensor power = at::pow(theta / epsilon, exponent);
    const at::Tensor slope = omega / (1 + power) * exponent * at::pow(theta / epsilon, exponent - 1) / epsilon;
    const at::Tensor offset = theta * slope - omega * power.log1p();
    const at::Tensor curved = omega * (error / epsilon).pow(exponent).log1p();
    const at::Tensor loss = at::where(error < theta, curved, slope * error - offset);
    return as_ivadomed ? loss.sum() : (loss * weights(g)).mean();
  }

 private:
  /// 1 + ω at and beside the peaks, 1 elsewhere.
  [[nodiscard]] IVADO_INLINE at::Tensor weights(const at::Tensor& truth) const {
    constexpr double peak = 0.2;
    at::Tensor highest;
    if (truth.dim() == 4)
      highest = at::max_pool2d(truth, 3, 1, 1);
    else if (truth.dim() == 5)  // three planes of nine make the neighbours that share a face or an edge
      highest = at::maximum(
          at::maximum(at::max_pool3d(truth, {1, 3, 3}, 1, {0, 1, 1}), at::max_pool3d(truth, {3, 1, 3}, 1, {1, 0, 1})),
          at::max_pool3d(truth, {3, 3, 1}, 1, {1, 1, 0}));
    else
      throw internal_error("computing " + std::string(name), detail::text("the maps have the shape ", truth.sizes()),
                           "it needs maps of slices or of volumes");
    return 1 + params_.omega * (highest >= peak).to(truth.scalar_type());
  }

  Params params_;
};

static_assert(Loss<AdapWingLoss>);

}  // namespace ivado
