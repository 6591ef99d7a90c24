// The concept of a loss.
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <string_view>

namespace ivado {

/// A scalar to minimise, of a prediction (after the model's last activation) and its ground truth.
///
/// Requirements: `Params` (a reflected struct, the loss is constructed from it), `name` (its name in
/// `training_parameters.loss`),
/// `at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const` with both [N, class,
/// spatial…].
/// Laws (tests/loss/laws.hpp): finite for finite input; least at a perfect prediction; gradient agrees with finite
/// differences.
/// Models: DiceLoss.
template <class T>
concept Loss = requires(const T& loss, const at::Tensor& prediction, const at::Tensor& target) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  { loss(prediction, target) } -> std::same_as<at::Tensor>;
};

}  // namespace ivado
