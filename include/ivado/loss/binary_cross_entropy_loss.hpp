// Binary cross-entropy loss.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

namespace detail {

/// Mean of the binary cross-entropy over all values, classes weighted. A NaN in the prediction gives NaN.
/// @throws Error (internal) if the prediction is not in [0, 1]
[[nodiscard]] IVADO_INLINE at::Tensor binary_cross_entropy(std::string_view loss, const LossInput& input,
                                                           const ClassWeights& class_weights) {
  const auto& [p, g] = input;
  at::Tensor weights;
  if (class_weights) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(p.dim()), 1);
    shape[1] = p.size(1);
    weights = at::tensor(relative_weights(loss, class_weights, p.size(1), all_classes(p.size(1))), p.options())
                  .view(shape)
                  .expand_as(p);
  }
  try {
    return at::binary_cross_entropy(p, g, weights, at::Reduction::Mean);
  } catch (
      const c10::Error&) {  // LibTorch refuses NaN as well; the training loop reports it better: it knows the cases
    if (p.isnan().any().item<bool>()) return p.sum();
    throw internal_error("computing " + std::string(loss),
                         text("the prediction is in [", p.min().item<double>(), ", ", p.max().item<double>(), "]"),
                         "it needs probabilities in [0, 1]: choose another final_activation");
  }
}

}  // namespace detail

/// Binary cross-entropy of every value, each class on its own.
///
///   L = mean of w_c · -[g ln p + (1 - g) ln(1 - p)]
///
/// In [0, 100]: logarithms are not let below -100, as in PyTorch, so that p = 0 and p = 1 give finite numbers. Soft
/// labels are allowed; the loss is then least, but not 0, at p = g.
/// @note  `class_weights` is ours, scaled to a mean of 1; without it this is ivadomed's number.
class BinaryCrossEntropyLoss {
 public:
  struct Params {
    detail::ClassWeights class_weights;

    static constexpr auto fields() {
      return ivado::fields(field<"class_weights", &Params::class_weights>(
          "weight of each class in the mean, one for each of target_suffix; null: all alike", at_least(0)));
    }
    void check(const std::string& path) const { detail::check_class_weights(class_weights, path); }
  };
  static constexpr std::string_view name = "BinaryCrossEntropyLoss";
  static constexpr TaskSet tasks = Task::segmentation | Task::classification;

  BinaryCrossEntropyLoss() = default;
  /// @throws Error (usage) if the parameters cannot be
  explicit BinaryCrossEntropyLoss(Params params) : params_(std::move(params)) { params_.check(std::string(name)); }

  [[nodiscard]] const Params& params() const noexcept { return params_; }
  /// @throws Error (usage) if there is not one weight a class
  IVADO_INLINE void check_classes(std::int64_t classes) const {
    (void)detail::relative_weights(name, params_.class_weights, classes, detail::all_classes(classes));
  }

  /// @param  prediction  [N, C, spatial…] or [N, C] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ, the prediction is not in [0, 1], or there is not one weight a class
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    return detail::binary_cross_entropy(name, detail::loss_input(name, prediction, target), params_.class_weights);
  }

 private:
  Params params_;
};

static_assert(Loss<BinaryCrossEntropyLoss>);

}  // namespace ivado
