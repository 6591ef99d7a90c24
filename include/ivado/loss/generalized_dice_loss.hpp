// Generalised Dice loss: classes weighted by their inverse squared size.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

/// Dice with each class of each sample weighted by its inverse squared size, negated: the best value is -1.
///
///   L = -2 Σ w Σ p·g / Σ w Σ (p + g),   w = 1 / max((Σ g)², ε)
///
/// The inner sums run over space, the outer ones over samples and classes. In [-1, 0]. Sudre et al. 2017
/// (arXiv:1707.03237), who subtract it from 1. With `include_background` the background is one more class, max(0, 1 - Σ
/// over classes), of the prediction as of the ground truth.
/// @note  A class that a sample does not have gets the weight 1/ε: what is predicted of it weighs much.
/// @note  Nothing in both, and no background, give 0.
/// @note  ivadomed's background is 1 where the sum over classes is 0 exactly: of a sigmoid that is nowhere, and it has
///         no gradient (known-problems B5.3). And it does not let the denominator below ε, which a structure of more
///         than 2/ε voxels is: loss and gradient then shrink. `as_ivadomed` does both.
class GeneralizedDiceLoss {
 public:
  struct Params {
    double epsilon = 1e-5;
    bool include_background = true;
    bool as_ivadomed = false;  ///< hard background, denominator at least ε

    static constexpr auto fields() {
      return ivado::fields(
          field<"epsilon", &Params::epsilon>("least squared size of a class in its weight", above(0)),
          field<"include_background", &Params::include_background>("true: what belongs to no class is a class as well"),
          field<"as_ivadomed", &Params::as_ivadomed>(
              "true: background only where the sum over classes is 0 exactly, without gradient, and a denominator of "
              "at least epsilon"));
    }
  };
  static constexpr std::string_view name = "GeneralizedDiceLoss";
  static constexpr TaskSet tasks = Task::segmentation;

  GeneralizedDiceLoss() = default;
  explicit GeneralizedDiceLoss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const auto [p, g] = detail::loss_input(name, prediction, target);
    const at::Tensor both = with_background(p);
    const at::Tensor truth = with_background(g);
    const at::Tensor size = sum_over_space(truth);
    const at::Tensor weight = size.square().clamp_min(params_.epsilon).reciprocal();
    // A class that is there adds 1 / Σ g, which is above `least` for any image; below it there is nothing in both.
    constexpr double least = 1e-12;
    const at::Tensor union_ = (weight * (sum_over_space(both) + size)).sum();
    return -2 * (weight * sum_over_space(both * truth)).sum() /
           union_.clamp_min(params_.as_ivadomed ? params_.epsilon : least);
  }

 private:
  [[nodiscard]] IVADO_INLINE at::Tensor with_background(const at::Tensor& classes) const {
    if (!params_.include_background) return classes;
    const at::Tensor sum = classes.sum(1, true);
    const at::Tensor background = params_.as_ivadomed ? (sum == 0).to(classes.scalar_type()) : (1 - sum).clamp_min(0);
    return at::cat({classes, background}, 1);
  }
  /// [N, C, spatial…] to [N, C].
  [[nodiscard]] static at::Tensor sum_over_space(const at::Tensor& values) { return values.flatten(2).sum(2); }

  Params params_;
};

static_assert(Loss<GeneralizedDiceLoss>);

}  // namespace ivado
