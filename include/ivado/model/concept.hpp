// The concept of an architecture: one forward for every interpreter. No LibTorch here.
#pragma once

#include <concepts>
#include <string_view>

#include "../nn/graph.hpp"
#include "../nn/layers.hpp"
#include "../task.hpp"

namespace ivado {

/// What a model takes beside its image.
enum class ConditionKind {
  none,
  metadata,  ///< a one-hot code of metadata, [N, conditions] (FiLM)
  presence,  ///< 0 or 1 for each contrast, [N, contrasts] (HeMIS)
  any        ///< chosen at run time
};

/// The condition that a model's type asks for: its `condition`, or none.
template <class Model>
[[nodiscard]] consteval ConditionKind condition_of() {
  if constexpr (requires { Model::condition; })
    return Model::condition;
  else
    return ConditionKind::none;
}

/// A network whose forward is written once, for every interpreter.
///
/// Requirements:
///   `Params`, `name`, `dimension` (2 or 3), `in_channels`, `classes` (each may be `dynamic`), `tasks`
///   `parameters()`      names, shapes and initial values of its tensors
///   `forward(on, x)`    on any `nn::Interpreter`: [N, in, spatial…] to [N, classes, spatial…], or to [N, classes] for a
///                       classifier, in [0, 1] (heat maps of key points may leave it); or
///   `forward(on, x, condition)`, with `condition` (a `ConditionKind`) and `conditions()`, the length of the condition
/// Refinement: `forward_supervised(on, x)` gives further outputs of lower resolution for training (deep supervision).
/// Laws (tests/model/model_laws_test.cpp): the recorded graph, run on the same interpreter, gives the same output; the
/// output of a map has the spatial size of the input; every trained tensor gets a gradient.
/// Models: Unet, FiLMedUnet, HeMISUnet, Modified3DUNet, ResidualUnet, ResNet, DenseNet, Countception, ModelChoice.
template <class T>
concept Architecture = requires(const T& model, graph::Recorder& on, const graph::Value& x) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  { T::dimension } -> std::convertible_to<int>;
  { T::in_channels } -> std::convertible_to<int>;
  { T::classes } -> std::convertible_to<int>;
  { T::tasks } -> std::convertible_to<TaskSet>;
  { model.parameters() } -> std::convertible_to<const nn::ParameterList&>;
  { nn::forward(model, on, x, x) } -> std::same_as<graph::Value>;
};

}  // namespace ivado
