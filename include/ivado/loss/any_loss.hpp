// A loss chosen at run time, and the making of any loss from the section of a configuration.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "concept.hpp"
#include "dice_loss.hpp"

namespace ivado {

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
    if (named != LossFunction::name)
      throw usage_error("reading the configuration key training_parameters.loss.name",
                        "it is " + named + ", this program was compiled with " + std::string(LossFunction::name),
                        "change it, or use the general program");
    return LossFunction(from_json<typename LossFunction::Params>(params, "training_parameters.loss"));
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

/// One of several losses, chosen once when it is made; a batch costs one visit.
template <Loss... Losses>
class LossChoice {
 public:
  /// Each loss has parameters of its own; a choice is made from `training_parameters.loss`.
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "any";

  /// The loss of a name.
  /// @throws Error (usage) if it is none of them; losses of ivadomed that do not exist yet are named as such
  [[nodiscard]] static LossChoice choose(const std::string& named, const Json& params) {
    std::unique_ptr<LossChoice> chosen;
    ((named == Losses::name ? (chosen.reset(new LossChoice(
                                   Losses(from_json<typename Losses::Params>(params, "training_parameters.loss")))),
                               0)
                            : 0),
     ...);
    if (chosen) return std::move(*chosen);
    const std::string doing = "reading the configuration key training_parameters.loss.name";
    for (const std::string_view known :
         {"DiceLoss", "FocalLoss", "GeneralizedDiceLoss", "FocalDiceLoss", "MultiClassDiceLoss",
          "BinaryCrossEntropyLoss", "TverskyLoss", "FocalTverskyLoss", "AdapWingLoss", "L2loss", "LossCombination"})
      if (named == known)
        throw usage_error(doing, "the loss " + named + " does not exist in ivado yet", "use \"DiceLoss\"");
    throw usage_error(doing, "there is no loss \"" + named + "\"",
                      "did you mean \"" + detail::nearest(named, {std::string(Losses::name)...}) + "\"?");
  }

  /// The name and all parameters of the chosen loss, as in `training_parameters.loss`.
  [[nodiscard]] Json description() const {
    return std::visit([](const auto& loss) { return describe_loss(loss); }, loss_);
  }

  [[nodiscard]] at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    return std::visit([&](const auto& loss) { return loss(prediction, target); }, loss_);
  }

 private:
  template <Loss Chosen>
  explicit LossChoice(Chosen loss) : loss_(std::move(loss)) {}

  std::variant<Losses...> loss_;
};

/// Every loss of ivado.
using AnyLoss = LossChoice<DiceLoss>;

static_assert(Loss<AnyLoss>);

}  // namespace ivado
