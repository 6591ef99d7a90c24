// The concept of a loss.
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <string_view>

namespace ivado {

/// A scalar to minimise, of a prediction (after the model's last activation) and its ground truth.
///
/// Requirements: `Params` (a reflected struct, the loss is constructed from it), `name` (its name in
/// `training_parameters.loss`), `at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const`
/// with both [N, class, spatial…], or [N, class] in classification. It may say what it is good for, `static constexpr
/// TaskSet tasks` (all tasks if it does not), `params()`, which the trained model's description holds, and
/// `check_classes(number of classes) const`, which throws where it cannot be computed of so many.
/// Laws (tests/loss/laws.hpp): finite for finite input, and so is its gradient; least at a perfect prediction; gradient
/// agrees with finite differences.
/// Models: DiceLoss, MultiClassDiceLoss, GeneralizedDiceLoss, TverskyLoss, FocalTverskyLoss, BinaryCrossEntropyLoss,
/// FocalLoss, FocalDiceLoss, DiceCrossEntropyLoss, L2loss, AdapWingLoss, LossCombination, and AnyLoss for any of them.
///
/// A loss to copy:
///
///   struct AbsoluteError {
///     struct Params { static constexpr auto fields() { return ivado::fields(); } };
///     static constexpr std::string_view name = "AbsoluteError";
///     explicit AbsoluteError(const Params&) {}
///     at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
///       return (prediction - target).abs().mean();
///     }
///   };
template <class T>
concept Loss = requires(const T& loss, const at::Tensor& prediction, const at::Tensor& target) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  { loss(prediction, target) } -> std::same_as<at::Tensor>;
};

}  // namespace ivado
