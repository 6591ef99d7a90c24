// Tversky loss: Dice with false positives and false negatives weighted apart.
#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

namespace detail {
/// The Tversky index of each class, [C], with sums over batch and space.
[[nodiscard]] IVADO_INLINE at::Tensor tversky_per_class(const LossInput& input, double alpha, double beta,
                                                        double smooth) {
  const auto& [p, g] = input;
  const at::Tensor common = sum_per_class(p * g) + smooth;
  return common / (common + alpha * sum_per_class(p * (1 - g)) + beta * sum_per_class((1 - p) * g));
}
}  // namespace detail

/// Mean over classes of their Tversky index, negated: the best value is -1.
///
///   L = -mean_c T_c,   T = (TP + s) / (TP + α FP + β FN + s),   TP = Σ p·g, FP = Σ p(1 - g), FN = Σ (1 - p)g
///
/// The sums run over batch and space. In [-1, 0). α = β = 1/2 is Dice. Salehi et al. 2017 (arXiv:1706.05721).
/// @note  α weighs false positives, as in the paper and in ivadomed. ivadomed's default of 0.7 therefore favours
///         precision; the paper found the best results with α = 0.3, β = 0.7, which favour recall.
class TverskyLoss {
 public:
  struct Params {
    double alpha = 0.7;
    double beta = 0.3;
    double smooth = 1;

    static constexpr auto fields() {
      return ivado::fields(field<"alpha", &Params::alpha>("weight of false positives", at_least(0)),
                           field<"beta", &Params::beta>("weight of false negatives", at_least(0)),
                           field<"smooth", &Params::smooth>(
                               "added to numerator and denominator, so that two empty masks agree", above(0)));
    }
  };
  static constexpr std::string_view name = "TverskyLoss";
  static constexpr TaskSet tasks = Task::segmentation;

  TverskyLoss() = default;
  explicit TverskyLoss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    return -detail::tversky_per_class(detail::loss_input(name, prediction, target), params_.alpha, params_.beta,
                                      params_.smooth)
                .mean();
  }

 private:
  Params params_;
};

static_assert(Loss<TverskyLoss>);

}  // namespace ivado
