// A model chosen at run time among architectures, and the making of any model from the section of a configuration.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "../config/sections.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "countception.hpp"
#include "densenet.hpp"
#include "filmed_unet.hpp"
#include "hemis_unet.hpp"
#include "modified_3d_unet.hpp"
#include "residual_unet.hpp"
#include "resnet.hpp"
#include "unet.hpp"

namespace ivado {

/// Makes a model from the resolved section of a configuration (the keys of `default_model` and of the applied section).
/// @param shape  the numbers that come from the data; the depth is that of the section
/// @throws Error (usage) if the configuration names another model, or numbers that the type fixes otherwise
template <class Model>
[[nodiscard]] Model make_model(const ModelParameters& section, NetworkShape shape) {
  shape.depth = section.depth;
  if constexpr (requires { Model::choose(section, shape); }) {
    return Model::choose(section, shape);
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
    return Model(from_json<typename Model::Params>(own, "default_model"), shape);
  }
}

/// What a model is for and what it takes beside the image.
struct ModelTraits {
  TaskSet tasks = all_tasks;
  ConditionKind condition = ConditionKind::none;
};

/// The traits of the model that a section of a configuration names, before it is made.
/// @throws Error (usage) if `Model` is a choice and none of its models has that name
template <class Model>
[[nodiscard]] ModelTraits model_traits(const ModelParameters& section) {
  if constexpr (requires { Model::traits(section); })
    return Model::traits(section);
  else
    return {tasks_of<Model>(), condition_of<Model>()};
}

/// The numbers of a model that come from the data: a HeMIS model has a channel for each of its contrasts, another one for
/// each contrast of a training if they are channels ("multichannel").
/// @param conditions  length of the metadata's code; 0: none
[[nodiscard]] IVADO_INLINE NetworkShape network_shape(const ModelParameters& section, const LoaderParameters& loader,
                                                      ConditionKind condition, int conditions) {
  const auto& contrasts = loader.contrast_params.training_validation;
  NetworkShape shape{1, std::max(1, static_cast<int>(loader.class_count())), section.depth, conditions};
  if (condition == ConditionKind::presence)
    shape.in_channels = static_cast<int>(section.contrasts.empty() ? contrasts.size() : section.contrasts.size());
  else if (loader.multichannel)
    shape.in_channels = static_cast<int>(contrasts.size());
  return shape;
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
  static constexpr TaskSet tasks = (tasks_of<First>() | ... | tasks_of<Models>());
  static constexpr ConditionKind condition = ConditionKind::any;

  /// The traits of the model that a section names.
  /// @throws Error (usage) if it is none of them
  [[nodiscard]] static ModelTraits traits(const ModelParameters& section) {
    ModelTraits found;
    consider(section, [&]<class Model>(std::type_identity<Model>) { found = model_traits<Model>(section); });
    return found;
  }
  /// The model that a section names.
  /// @throws Error (usage) if it is none of them
  [[nodiscard]] static ModelChoice choose(const ModelParameters& section, const NetworkShape& shape) {
    std::unique_ptr<ModelChoice> chosen;
    consider(section, [&]<class Model>(std::type_identity<Model>) {
      chosen.reset(new ModelChoice(make_model<Model>(section, shape)));
    });
    return std::move(*chosen);
  }

  /// Length of the condition that the chosen model takes; 0 for none.
  [[nodiscard]] std::int64_t conditions() const {
    return std::visit([](const auto& model) { return nn::conditions(model); }, model_);
  }
  [[nodiscard]] const nn::ParameterList& parameters() const {
    return std::visit([](const auto& model) -> const nn::ParameterList& { return model.parameters(); }, model_);
  }
  template <nn::Interpreter On>
  [[nodiscard]] typename On::Value forward(On& on, const typename On::Value& x, const typename On::Value& with) const {
    return std::visit([&](const auto& model) { return nn::forward(model, on, x, with); }, model_);
  }
  /// The prediction and, of a model with deep supervision, the coarser ones.
  template <nn::Interpreter On>
  [[nodiscard]] std::vector<typename On::Value> forward_supervised(On& on, const typename On::Value& x,
                                                                   const typename On::Value& with) const {
    return std::visit([&](const auto& model) { return nn::forward_supervised(model, on, x, with); }, model_);
  }
  /// Calls `visit` with the chosen model.
  template <class Visit>
  decltype(auto) visit(const Visit& visitor) const {
    return std::visit(visitor, model_);
  }

 private:
  /// Calls `visitor` with the type that a section names.
  template <class Visit>
  static void consider(const ModelParameters& section, const Visit& visitor) {
    bool found = false;
    const auto offer = [&]<class Model>(std::type_identity<Model> type) {
      if (found || section.name != Model::name) return;
      found = true;
      visitor(type);
    };
    offer(std::type_identity<First>{});
    (offer(std::type_identity<Models>{}), ...);
    if (!found)
      throw usage_error("building the model",
                        "there is no " + std::to_string(dimension) + "-D model \"" + section.name + "\"",
                        "choose another default_model.name, or the other default_model.is_2d");
  }

  template <class Model>
  explicit ModelChoice(Model model) : model_(std::move(model)) {}

  std::variant<First, Models...> model_;
};

/// Every 2-D model of ivado, with the numbers of the configuration.
using AnyModel = ModelChoice<Unet<2, dynamic, dynamic, dynamic>, FiLMedUnet<2, dynamic, dynamic, dynamic>,
                             HeMISUnet<2, dynamic, dynamic, dynamic>, ResidualUnet<2, dynamic, dynamic>,
                             Countception<dynamic, dynamic>, ResNet<18, dynamic, dynamic>, ResNet<34, dynamic, dynamic>,
                             ResNet<50, dynamic, dynamic>, ResNet<101, dynamic, dynamic>, ResNet<152, dynamic, dynamic>,
                             DenseNet<121, dynamic, dynamic>, DenseNet<161, dynamic, dynamic>,
                             DenseNet<169, dynamic, dynamic>, DenseNet<201, dynamic, dynamic>>;

/// Every 3-D model of ivado, with the numbers of the configuration.
using AnyModel3d = ModelChoice<Unet<3, dynamic, dynamic, dynamic>, Modified3DUNet<dynamic, dynamic>,
                               FiLMedUnet<3, dynamic, dynamic, dynamic>, HeMISUnet<3, dynamic, dynamic, dynamic>,
                               ResidualUnet<3, dynamic, dynamic>>;

/// The traits of the model that a section names, 2-D or 3-D.
/// @throws Error (usage) if there is none of that name and dimension
[[nodiscard]] IVADO_INLINE ModelTraits any_model_traits(const ModelParameters& section) {
  return section.is_2d ? AnyModel::traits(section) : AnyModel3d::traits(section);
}

/// Makes the model that a section names, 2-D or 3-D, and calls `visitor` with it.
/// @throws Error (usage) if there is none of that name and dimension
template <class Visit>
auto visit_model(const ModelParameters& section, const NetworkShape& shape, const Visit& visitor) {
  if (section.is_2d) return visitor(make_model<AnyModel>(section, shape));
  return visitor(make_model<AnyModel3d>(section, shape));
}

static_assert(Architecture<AnyModel> && Architecture<AnyModel3d>);

}  // namespace ivado
