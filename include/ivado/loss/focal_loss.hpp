// Focal loss.
#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

/// Binary cross-entropy in which what is predicted well already counts little.
///
///   L = mean of a · CE · (1 - e^-CE)^γ,   CE = -[g ln p + (1 - g) ln(1 - p)],   a = α g + (1 - α)(1 - g)
///
/// p is first held within [ε, 1 - ε], so there is no gradient where it is outside. ≥ 0. Lin et al. 2017
/// (arXiv:1708.02002).
/// @note  ivadomed takes the sum over all values, which grows with image and batch and so changes what a learning rate
///         or a combination of losses means (known-problems B5.2); here it is the mean, `as_ivadomed` is the sum. There
///         is no key for the reduction itself: it would say the same a second time.
class FocalLoss {
 public:
  struct Params {
    double gamma = 2;
    double alpha = 0.25;
    double eps = 1e-7;
    bool as_ivadomed = false;  ///< the sum instead of the mean

    static constexpr auto fields() {
      return ivado::fields(
          field<"gamma", &Params::gamma>("how little what is predicted well counts; 0: cross-entropy", at_least(0)),
          field<"alpha", &Params::alpha>("weight of the foreground; the background has 1 - alpha", within(0, 1)),
          field<"eps", &Params::eps>("the prediction is held within [eps, 1 - eps]", at_least(1e-7), below(0.5)),
          field<"as_ivadomed", &Params::as_ivadomed>("true: the sum over all voxels instead of the mean"));
    }
  };
  static constexpr std::string_view name = "FocalLoss";
  static constexpr TaskSet tasks = Task::segmentation | Task::classification;

  FocalLoss() = default;
  explicit FocalLoss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] or [N, C] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const auto [raw, g] = detail::loss_input(name, prediction, target);
    const at::Tensor p = raw.clamp(params_.eps, 1 - params_.eps);
    const at::Tensor cross_entropy = -(g * p.log() + (1 - g) * (1 - p).log());
    const at::Tensor balance = params_.alpha * g + (1 - params_.alpha) * (1 - g);
    const at::Tensor focal = balance * cross_entropy * (1 - (-cross_entropy).exp()).pow(params_.gamma);
    return params_.as_ivadomed ? focal.sum() : focal.mean();
  }

 private:
  Params params_;
};

static_assert(Loss<FocalLoss>);

}  // namespace ivado
