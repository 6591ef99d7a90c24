// One of several losses, chosen when the configuration is read; and the making of any loss from its section.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "../task.hpp"
#include "concept.hpp"

namespace ivado {

/// Where in the configuration a loss is named and has its parameters, for messages.
struct LossPath {
  std::string name = "training_parameters.loss.name";
  std::string params = "training_parameters.loss";
};

/// Makes a loss from `training_parameters.loss`: its name, and its parameters beside it.
/// @throws Error (usage) if the section names another loss than the type
template <class LossFunction>
[[nodiscard]] LossFunction make_loss(const Json& section) {
  const auto named = section.at("name").get<std::string>();
  Json params = section;
  params.erase("name");
  if constexpr (requires { LossFunction::choose(named, params); }) {
    return LossFunction::choose(named, params);
  } else {
    const LossPath path;
    if (named != LossFunction::name)
      throw usage_error("reading the configuration key " + path.name,
                        "it is " + named + ", this program was compiled with " + std::string(LossFunction::name),
                        "change it, or use the general program");
    return LossFunction(from_json<typename LossFunction::Params>(params, path.params));
  }
}

/// The name and all parameters of a loss, as in `training_parameters.loss`. A loss that does not tell its parameters
/// (`params()`) is described by its name.
template <class LossFunction>
[[nodiscard]] Json describe_loss(const LossFunction& loss) {
  if constexpr (requires { loss.description(); }) {
    return loss.description();
  } else {
    Json out{{"name", std::string(LossFunction::name)}};
    if constexpr (requires { loss.params(); }) out.update(to_json(loss.params()));
    return out;
  }
}

/// The tasks that a loss is good for: those of its type, or of what was chosen at run time.
template <class LossFunction>
[[nodiscard]] TaskSet tasks_of_loss(const LossFunction& loss) {
  if constexpr (requires { loss.chosen_tasks(); })
    return loss.chosen_tasks();
  else
    return tasks_of<LossFunction>();
}

/// Finds out whether a loss can be computed of so many classes, as far as it tells (`check_classes`), so that a training
/// refuses what does not fit before it reads any image.
/// @throws Error (usage) if it cannot: such as `class_weights` with another number of weights
template <class LossFunction>
void check_classes_of_loss(const LossFunction& loss, std::int64_t classes) {
  if constexpr (requires { loss.check_classes(classes); }) loss.check_classes(classes);
}

/// One of several losses, chosen once when it is made; a batch costs one visit.
template <Loss... Losses>
class LossChoice {
 public:
  /// Each loss has parameters of its own; a choice is made from `training_parameters.loss`.
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "any";
  static constexpr TaskSet tasks = (TaskSet() | ... | tasks_of<Losses>());
  /// The same choice with more losses.
  template <Loss... More>
  using With = LossChoice<Losses..., More...>;

  /// The loss of a name.
  /// @throws Error (usage) if it is none of them
  [[nodiscard]] static LossChoice choose(const std::string& named, const Json& params, const LossPath& path = {}) {
    std::unique_ptr<LossChoice> chosen;
    (void)((named == Losses::name &&
            (chosen.reset(new LossChoice(Losses(from_json<typename Losses::Params>(params, path.params)))), true)) ||
           ...);
    if (!chosen) throw unknown(named, path);
    return std::move(*chosen);
  }

  /// The names of the losses there are.
  [[nodiscard]] static std::vector<std::string> names() { return {std::string(Losses::name)...}; }

  /// The name and all parameters of the chosen loss, as in `training_parameters.loss`.
  [[nodiscard]] Json description() const {
    return std::visit([](const auto& loss) { return describe_loss(loss); }, loss_);
  }
  /// The tasks that the chosen loss is good for.
  [[nodiscard]] TaskSet chosen_tasks() const {
    return std::visit([](const auto& loss) { return tasks_of_loss(loss); }, loss_);
  }
  /// @throws Error (usage) if the chosen loss cannot be computed of so many classes
  void check_classes(std::int64_t classes) const {
    std::visit([&](const auto& loss) { check_classes_of_loss(loss, classes); }, loss_);
  }

  [[nodiscard]] at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    return std::visit([&](const auto& loss) { return loss(prediction, target); }, loss_);
  }

 private:
  template <Loss Chosen>
  explicit LossChoice(Chosen loss) : loss_(std::move(loss)) {}

  [[nodiscard]] static Error unknown(const std::string& named, const LossPath& path) {
    std::string all;
    for (const auto& one : names()) all += (all.empty() ? "" : ", ") + one;
    return usage_error("reading the configuration key " + path.name,
                       "there is no loss \"" + named + "\", there are " + all,
                       "did you mean \"" + detail::nearest(named, names()) + "\"?");
  }

  std::variant<Losses...> loss_;
};

}  // namespace ivado
