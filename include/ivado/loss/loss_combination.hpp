// The weighted sum of losses.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "adap_wing_loss.hpp"
#include "binary_cross_entropy_loss.hpp"
#include "concept.hpp"
#include "dice_cross_entropy_loss.hpp"
#include "dice_loss.hpp"
#include "focal_dice_loss.hpp"
#include "focal_loss.hpp"
#include "focal_tversky_loss.hpp"
#include "generalized_dice_loss.hpp"
#include "l2loss.hpp"
#include "loss_choice.hpp"
#include "multi_class_dice_loss.hpp"
#include "tversky_loss.hpp"

namespace ivado {

/// Every loss of ivado but the combination of them.
using SingleLoss =
    LossChoice<DiceLoss, FocalLoss, GeneralizedDiceLoss, FocalDiceLoss, MultiClassDiceLoss, BinaryCrossEntropyLoss,
               TverskyLoss, FocalTverskyLoss, AdapWingLoss, L2loss, DiceCrossEntropyLoss>;

/// The weighted sum of losses.
///
///   L = Σ w_i L_i
///
/// Its losses are made once, when it is made; ivadomed makes them anew for every batch.
/// @note  `weights_list` is ours; without it all weigh 1, as in ivadomed. FocalLoss, L2loss and AdapWingLoss are means
///         here and sums in ivadomed: the weight of their part differs by the number of values in a batch, unless they
///         are told `as_ivadomed` in `params_list`.
class LossCombination {
 public:
  struct Params {
    std::vector<std::string> losses_list;
    std::optional<std::vector<std::optional<Json>>> params_list;
    std::optional<std::vector<double>> weights_list;

    static constexpr auto fields() {
      return ivado::fields(
          field<"losses_list", &Params::losses_list>("names of the losses whose sum is taken", required()),
          field<"params_list", &Params::params_list>(
              "parameters of each loss, null for its defaults; null: defaults for all"),
          field<"weights_list", &Params::weights_list>("weight of each loss; null: 1 for all", at_least(0)));
    }
    IVADO_INLINE void check(const std::string& path) const {
      if (losses_list.empty())
        throw detail::value_error(detail::join_path(path, "losses_list"), Json::array(), "the name of a loss at least");
      const auto check_size = [&](const char* key, std::size_t size) {
        if (size != losses_list.size())
          throw usage_error("reading the configuration key " + detail::join_path(path, key),
                            detail::text("it has ", size, " elements, losses_list has ", losses_list.size()),
                            "give one for each loss");
      };
      if (params_list) check_size("params_list", params_list->size());
      if (weights_list) check_size("weights_list", weights_list->size());
    }
  };
  static constexpr std::string_view name = "LossCombination";
  static constexpr TaskSet tasks = all_tasks;

  /// @throws Error (usage) if a loss does not exist or cannot be made of its parameters
  IVADO_INLINE explicit LossCombination(Params params) : params_(std::move(params)) {
    const LossPath here;
    params_.check(here.params);
    for (std::size_t i = 0; i < params_.losses_list.size(); ++i) {
      const std::string place = "[" + std::to_string(i) + "]";
      const std::string& named = params_.losses_list[i];
      const LossPath path{here.params + ".losses_list" + place, here.params + ".params_list" + place};
      if (named == name)
        throw usage_error("reading the configuration key " + path.name, "a LossCombination cannot hold another",
                          "name the losses of both in one losses_list");
      Json of_loss = Json::object();
      if (params_.params_list && (*params_.params_list)[i]) of_loss = *(*params_.params_list)[i];
      losses_.push_back(SingleLoss::choose(named, of_loss, path));
    }
  }

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// The name, and all parameters of all losses, as in `training_parameters.loss`.
  [[nodiscard]] IVADO_INLINE Json description() const {
    Json names = Json::array();
    Json params = Json::array();
    Json weights = Json::array();
    for (std::size_t i = 0; i < losses_.size(); ++i) {
      Json one = losses_[i].description();
      names.push_back(one["name"]);
      one.erase("name");
      params.push_back(std::move(one));
      weights.push_back(weight(i));
    }
    return {{"name", std::string(name)}, {"losses_list", names}, {"params_list", params}, {"weights_list", weights}};
  }
  /// The tasks that all of its losses are good for.
  [[nodiscard]] IVADO_INLINE TaskSet chosen_tasks() const {
    TaskSet common;
    for (const Task task : {Task::segmentation, Task::classification, Task::keypoints}) {
      bool all = true;
      for (const auto& loss : losses_) all = all && loss.chosen_tasks().meets(task);
      if (all) common = common | task;
    }
    return common;
  }
  /// @throws Error (usage) if one of its losses cannot be computed of so many classes
  IVADO_INLINE void check_classes(std::int64_t classes) const {
    for (const auto& loss : losses_) loss.check_classes(classes);
  }

  /// @param  prediction  [N, C, spatial…] or [N, C], after the model's last activation
  /// @param  target      the same shape
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       what its losses throw
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    at::Tensor sum = weight(0) * losses_[0](prediction, target);
    for (std::size_t i = 1; i < losses_.size(); ++i) sum = sum + weight(i) * losses_[i](prediction, target);
    return sum;
  }

 private:
  [[nodiscard]] double weight(std::size_t i) const { return params_.weights_list ? (*params_.weights_list)[i] : 1; }

  Params params_;
  std::vector<SingleLoss> losses_;
};

static_assert(Loss<LossCombination>);

}  // namespace ivado
