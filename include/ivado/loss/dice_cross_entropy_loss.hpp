// Dice and cross-entropy together, as nnU-Net trains.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>
#include <utility>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "binary_cross_entropy_loss.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

/// Mean soft Dice of the classes, negated, and cross-entropy: the overlap counts, and every voxel has a gradient.
///
///   L = -w_dice · mean_c D_c + w_ce · BCE,   D_c = (2 Σ p·g + s) / (Σ p + Σ g + s)
///
/// The sums run over batch and space; BCE as in BinaryCrossEntropyLoss. Both means are weighted by `class_weights`. In
/// [-w_dice, 100 w_ce). The standard loss of nnU-Net (Isensee et al. 2021, Nature Methods 18:203), with its s of 1e-5;
/// ivadomed does not have it.
/// @note  The cross-entropy is binary, class by class, as nnU-Net takes it where classes may overlap: a prediction of
///         ivado has no background channel, so that of exclusive classes cannot be told from that of others.
class DiceCrossEntropyLoss {
 public:
  struct Params {
    double weight_dice = 1;
    double weight_ce = 1;
    double smooth = 1e-5;
    detail::ClassWeights class_weights;

    static constexpr auto fields() {
      return ivado::fields(
          field<"weight_dice", &Params::weight_dice>("weight of the Dice part", at_least(0)),
          field<"weight_ce", &Params::weight_ce>("weight of the cross-entropy", at_least(0)),
          field<"smooth", &Params::smooth>("added to numerator and denominator of Dice, so that two empty masks agree",
                                           above(0)),
          field<"class_weights", &Params::class_weights>(
              "weight of each class in both means, one for each of target_suffix; null: all alike", at_least(0)));
    }
    IVADO_INLINE void check(const std::string& path) const {
      if (!(weight_dice + weight_ce > 0))
        throw detail::value_error(detail::join_path(path, "weight_ce"), Json(weight_ce),
                                  "a value > 0, for weight_dice is 0");
      detail::check_class_weights(class_weights, path);
    }
  };
  static constexpr std::string_view name = "DiceCrossEntropyLoss";
  static constexpr TaskSet tasks = Task::segmentation;

  DiceCrossEntropyLoss() = default;
  /// @throws Error (usage) if the parameters cannot be
  explicit DiceCrossEntropyLoss(Params params) : params_(std::move(params)) { params_.check(std::string(name)); }

  [[nodiscard]] const Params& params() const noexcept { return params_; }
  /// @throws Error (usage) if there is not one weight a class
  IVADO_INLINE void check_classes(std::int64_t classes) const {
    (void)detail::relative_weights(name, params_.class_weights, classes, detail::all_classes(classes));
  }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ, the prediction is not in [0, 1], or there is not one weight a class
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const detail::LossInput input = detail::loss_input(name, prediction, target);
    const std::int64_t classes = prediction.size(1);
    const at::Tensor dice = detail::dice_per_class(input, params_.smooth);
    const auto weights = detail::relative_weights(name, params_.class_weights, classes, detail::all_classes(classes));
    return params_.weight_ce * detail::binary_cross_entropy(name, input, params_.class_weights) -
           params_.weight_dice * (dice * at::tensor(weights, dice.options())).mean();
  }

 private:
  Params params_;
};

static_assert(Loss<DiceCrossEntropyLoss>);

}  // namespace ivado
