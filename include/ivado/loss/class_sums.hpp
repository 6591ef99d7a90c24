// What losses share: the check of shapes, the precision they work in, sums over a class, weights of classes.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"

namespace ivado::detail {

/// A prediction and its ground truth in the precision that losses work in.
struct LossInput {
  at::Tensor prediction;
  at::Tensor target;
};

/// Both as float32, or as float64 where the prediction is that.
/// @throws Error (internal) if they differ in shape
[[nodiscard]] IVADO_INLINE LossInput loss_input(std::string_view loss, const at::Tensor& prediction,
                                                const at::Tensor& target) {
  if (prediction.sizes() != target.sizes())
    throw internal_error("computing " + std::string(loss),
                         text("prediction ", prediction.sizes(), ", target ", target.sizes()),
                         "the model and the labels must agree in size and number of classes");
  const at::ScalarType type = prediction.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return {prediction.to(type), target.to(type)};
}

/// [N, C, spatial…] or [N, C] summed over all but the classes: [C].
[[nodiscard]] IVADO_INLINE at::Tensor sum_per_class(const at::Tensor& values) {
  std::vector<std::int64_t> axes{0};
  for (std::int64_t axis = 2; axis < values.dim(); ++axis) axes.push_back(axis);
  return values.sum(axes);
}

/// Soft Dice of each class, [C], with sums over batch and space: (2 Σ p·g + s) / (Σ p + Σ g + s).
[[nodiscard]] IVADO_INLINE at::Tensor dice_per_class(const LossInput& input, double smooth) {
  const auto& [p, g] = input;
  return (2 * sum_per_class(p * g) + smooth) / (sum_per_class(p) + sum_per_class(g) + smooth);
}

/// Weights of classes, one a class, of which only the ratios matter.
using ClassWeights = std::optional<std::vector<double>>;

/// @throws Error (usage) if there are weights, and none of them is above 0
IVADO_INLINE void check_class_weights(const ClassWeights& weights, const std::string& path) {
  if (weights && !(std::accumulate(weights->begin(), weights->end(), 0.0) > 0))
    throw value_error(join_path(path, "class_weights"), Json(*weights), "a list with a number above 0");
}

/// The weights of some classes, with a mean of 1 among them; all 1 where there are no weights.
/// @param classes  number of classes of the prediction
/// @param chosen   the classes whose weights are asked for
/// @throws Error (usage) if there is not one weight a class, or those of the chosen classes are all 0
[[nodiscard]] IVADO_INLINE std::vector<double> relative_weights(std::string_view loss, const ClassWeights& weights,
                                                                std::int64_t classes,
                                                                const std::vector<std::int64_t>& chosen) {
  std::vector<double> out(chosen.size(), 1.0);
  if (!weights) return out;
  const std::string doing = "computing " + std::string(loss);
  if (std::ssize(*weights) != classes)
    throw usage_error(doing, text("class_weights has ", weights->size(), " numbers, there are ", classes, " classes"),
                      "give one number a class, in the order of target_suffix");
  for (std::size_t i = 0; i < chosen.size(); ++i) out[i] = (*weights)[static_cast<std::size_t>(chosen[i])];
  const double sum = std::accumulate(out.begin(), out.end(), 0.0);
  if (!(sum > 0))
    throw usage_error(doing, "class_weights is 0 for every class in use", "give one of them a weight above 0");
  for (double& weight : out) weight *= static_cast<double>(out.size()) / sum;
  return out;
}

/// 0, 1, … classes - 1.
[[nodiscard]] IVADO_INLINE std::vector<std::int64_t> all_classes(std::int64_t classes) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(classes));
  std::iota(out.begin(), out.end(), std::int64_t{0});
  return out;
}

}  // namespace ivado::detail
