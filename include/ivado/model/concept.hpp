// The concept of an architecture: one forward for every interpreter. No LibTorch here.
#pragma once

#include <concepts>
#include <string_view>

#include "../nn/graph.hpp"
#include "../nn/layers.hpp"

namespace ivado {

/// A network whose forward is written once, for every interpreter.
///
/// Requirements:
///   `Params`, `name`, `dimension` (2 or 3), `in_channels`, `classes` (each may be `dynamic`), `task`
///   `parameters()`      names, shapes and initial values of its tensors
///   `forward(on, x)`    on any `nn::Interpreter`: [N, in, spatial…] to [N, classes, spatial…] in [0, 1]
/// Laws: the recorded graph, run on the same interpreter, gives the same output; the output has the spatial size of
/// the input.
/// Models: Unet, AnyModel.
template <class T>
concept Architecture = requires(const T& model, graph::Recorder& on, const graph::Value& x) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  { T::dimension } -> std::convertible_to<int>;
  { T::in_channels } -> std::convertible_to<int>;
  { T::classes } -> std::convertible_to<int>;
  { model.parameters() } -> std::convertible_to<const nn::ParameterList&>;
  { model.forward(on, x) } -> std::same_as<graph::Value>;
};

}  // namespace ivado
