// Soft Dice loss, class by class.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
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

/// Mean over classes of the soft Dice of each, negated: a small class counts as much as a large one.
///
///   L = -Σ_c w_c D_c / Σ_c w_c,   D_c = (2 Σ p·g + 1) / (Σ p + Σ g + 1)
///
/// The sums run over batch and space. In [-1, 0). The source is ivadomed, after the multi-class Dice of Isensee et al.
/// 2018 (arXiv:1802.10508), which has no 1 and runs over single samples.
/// @note  A class that is empty in both counts as perfect.
/// @note  `class_weights` is ours; without it this is ivadomed's number.
class MultiClassDiceLoss {
 public:
  struct Params {
    std::optional<std::vector<std::int64_t>> classes_of_interest;
    detail::ClassWeights class_weights;

    static constexpr auto fields() {
      return ivado::fields(
          field<"classes_of_interest", &Params::classes_of_interest>(
              "numbers of the classes that count, from 0 in the order of target_suffix; null: all", at_least(0)),
          field<"class_weights", &Params::class_weights>(
              "weight of each class in the mean, one for each of target_suffix; null: all alike", at_least(0)));
    }
    IVADO_INLINE void check(const std::string& path) const {
      if (classes_of_interest && classes_of_interest->empty())
        throw detail::value_error(detail::join_path(path, "classes_of_interest"), Json::array(),
                                  "null, or a list of at least one class");
      detail::check_class_weights(class_weights, path);
    }
  };
  static constexpr std::string_view name = "MultiClassDiceLoss";
  static constexpr TaskSet tasks = Task::segmentation;

  MultiClassDiceLoss() = default;
  /// @throws Error (usage) if the parameters cannot be
  explicit MultiClassDiceLoss(Params params) : params_(std::move(params)) { params_.check(std::string(name)); }

  [[nodiscard]] const Params& params() const noexcept { return params_; }
  /// @throws Error (usage) if a class is named that does not exist, or there is not one weight a class
  IVADO_INLINE void check_classes(std::int64_t classes) const {
    (void)detail::relative_weights(name, params_.class_weights, classes, chosen_classes(classes));
  }

  /// @param  prediction  [N, C, spatial…] in [0, 1], after the model's last activation
  /// @param  target      the same shape, in [0, 1]
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ, or a class is named that does not exist, or there is not one weight a
  ///                     class
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const detail::LossInput input = detail::loss_input(name, prediction, target);
    const std::int64_t classes = prediction.size(1);
    const auto chosen = chosen_classes(classes);
    const at::Tensor dice = detail::dice_per_class(input, 1);
    const at::Tensor of_interest = dice.index_select(0, at::tensor(chosen, dice.options().dtype(at::kLong)));
    const auto weights = detail::relative_weights(name, params_.class_weights, classes, chosen);
    return -(of_interest * at::tensor(weights, dice.options())).mean();
  }

 private:
  /// The classes that count.
  /// @throws Error (usage) if one of them does not exist
  [[nodiscard]] IVADO_INLINE std::vector<std::int64_t> chosen_classes(std::int64_t classes) const {
    auto chosen = params_.classes_of_interest.value_or(detail::all_classes(classes));
    for (const std::int64_t c : chosen)
      if (c < 0 || c >= classes)
        throw usage_error("computing " + std::string(name),
                          detail::text("classes_of_interest holds ", c, ", there are ", classes, " classes"),
                          "classes are numbered from 0 in the order of target_suffix");
    return chosen;
  }

  Params params_;
};

static_assert(Loss<MultiClassDiceLoss>);

}  // namespace ivado
