// A model chosen at run time among architectures, and the making of any model from the section of a configuration.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "../config/params.hpp"
#include "../config/sections.hpp"
#include "../error.hpp"
#include "concept.hpp"
#include "unet.hpp"

namespace ivado {

/// Makes a model from the resolved section of a configuration (the keys of `default_model` and of the applied section).
/// @param channels  of the input
/// @param classes   of the output, without background
/// @throws Error (usage) if the configuration names another model, or numbers that the type fixes otherwise
template <class Model>
[[nodiscard]] Model make_model(const ModelParameters& section, int channels, int classes) {
  if constexpr (requires { Model::choose(section, channels, classes); }) {
    return Model::choose(section, channels, classes);
  } else {
    if (section.name != Model::name)
      throw usage_error(
          "building the model",
          "the configuration names " + section.name + ", this program was compiled with " + std::string(Model::name),
          "change default_model.name, or use the general program");
    if (section.is_2d != (Model::dimension == 2))
      throw usage_error("building the model",
                        std::string("default_model.is_2d is ") + (section.is_2d ? "true" : "false") +
                            ", this program was compiled for " + std::to_string(Model::dimension) + "-D",
                        "change default_model.is_2d");
    const Json all = to_json(section);
    Json own = Json::object();
    for (const auto& key : keys<typename Model::Params>())
      if (all.contains(key) && !all[key].is_null()) own[key] = all[key];
    return Model(from_json<typename Model::Params>(own, "default_model"),
                 NetworkShape{channels, classes, section.depth});
  }
}

/// One of several architectures of one dimension, chosen once when it is made; a forward costs one visit.
template <class First, class... Models>
class ModelChoice {
 public:
  static_assert(Architecture<First> && (Architecture<Models> && ...), "ivado: ModelChoice chooses among architectures");
  static_assert(((First::dimension == Models::dimension) && ...),
                "ivado: the models of a ModelChoice must have one dimension");

  /// Each model has parameters of its own; a choice is made from `ModelParameters`.
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "any";
  static constexpr int dimension = First::dimension;
  static constexpr int in_channels = dynamic;
  static constexpr int classes = dynamic;
  static constexpr int depth = dynamic;
  static constexpr auto task = First::task;

  /// The model that a section names.
  /// @throws Error (usage) if it is none of them
  [[nodiscard]] static ModelChoice choose(const ModelParameters& section, int channels, int classes) {
    std::unique_ptr<ModelChoice> chosen;
    const auto consider = [&]<class Model>(std::type_identity<Model>) {
      if (!chosen && section.name == Model::name)
        chosen.reset(new ModelChoice(make_model<Model>(section, channels, classes)));
    };
    consider(std::type_identity<First>{});
    (consider(std::type_identity<Models>{}), ...);
    if (!chosen)
      throw usage_error("building the model",
                        "there is no " + std::to_string(dimension) + "-D model \"" + section.name + "\"",
                        "choose another default_model.name");
    return std::move(*chosen);
  }

  [[nodiscard]] const nn::ParameterList& parameters() const {
    return std::visit([](const auto& model) -> const nn::ParameterList& { return model.parameters(); }, model_);
  }
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& x) const {
    return std::visit([&](const auto& model) { return model.forward(on, x); }, model_);
  }
  /// Calls `visit` with the chosen model.
  template <class Visit>
  decltype(auto) visit(const Visit& visitor) const {
    return std::visit(visitor, model_);
  }

 private:
  template <class Model>
  explicit ModelChoice(Model model) : model_(std::move(model)) {}

  std::variant<First, Models...> model_;
};

/// Every 2-D model of ivado, with the numbers of the configuration.
using AnyModel = ModelChoice<Unet<2, dynamic, dynamic, dynamic>>;

static_assert(Architecture<AnyModel> && Architecture<Unet<2>> && Architecture<Unet<3>>);

}  // namespace ivado
