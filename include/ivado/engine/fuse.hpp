// From a recorded graph to the steps of the engine: what an operation's result goes through on its way is done with it.
// No oneDNN, no LibTorch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <variant>
#include <vector>

#include "../nn/graph.hpp"
#include "kernels.hpp"

namespace ivado::engine {

/// Another value that is added to a result.
struct AddValue {
  std::int32_t value;  ///< a node of the graph
};

/// What is done to the result of an operation before it is stored.
using Extra = std::variant<nn::op::BatchNorm, AddValue, Activation>;

/// An operation with all that is done in one go with it.
struct Step {
  std::int32_t node = 0;                      ///< of the operation
  std::vector<std::int32_t> inputs;           ///< values: nodes whose result is stored
  std::vector<Extra> extras;                  ///< in their order
  std::optional<nn::op::BatchNorm> folded{};  ///< into the weights of a convolution
  std::int32_t output = 0;                    ///< the node whose value the step gives: the last one that it takes in
};

/// The activation that an operation is, if it is one.
[[nodiscard]] inline std::optional<Activation> as_activation(const nn::Op& op) {
  if (std::holds_alternative<nn::op::Relu>(op)) return Activation{Activation::Kind::leaky, 0};
  if (const auto* leaky = std::get_if<nn::op::LeakyRelu>(&op))
    return Activation{Activation::Kind::leaky, static_cast<float>(leaky->slope)};
  if (std::holds_alternative<nn::op::Sigmoid>(op)) return Activation{Activation::Kind::sigmoid, 0};
  return std::nullopt;
}

/// Rewrites a graph into steps, in an order in which they can be computed.
///
/// Dropouts vanish. A batch norm right behind a convolution goes into its weights. What follows a convolution alone,
/// activations, batch norms and sums with values that are there already, becomes part of it; what follows a norm, a
/// modulation or a sum, one sum and one activation, likewise.
class Fuser {
 public:
  explicit Fuser(const graph::Graph& graph) : graph_(graph), uses_(graph.nodes.size(), 0) {
    consumer_.assign(graph.nodes.size(), -1);
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      if (std::holds_alternative<nn::op::Dropout>(graph.nodes[i].op)) continue;
      for (const auto input : graph.nodes[i].inputs) {
        const auto value = static_cast<std::size_t>(behind_dropouts(input));
        ++uses_[value];
        consumer_[value] = static_cast<std::int32_t>(i);
      }
    }
    for (const auto output : graph.outputs) uses_[static_cast<std::size_t>(behind_dropouts(output))] += 2;
  }

  /// The steps of the whole graph.
  [[nodiscard]] std::vector<Step> steps() && {
    std::vector<Step> out;
    std::vector<bool> done(graph_.nodes.size(), false);
    stored_.assign(graph_.nodes.size(), false);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const auto& op = graph_.nodes[i].op;
      if (std::holds_alternative<nn::op::Input>(op)) stored_[i] = true;
      if (done[i] || stored_[i] || std::holds_alternative<nn::op::Dropout>(op)) continue;
      Step step;
      step.node = step.output = static_cast<std::int32_t>(i);
      for (const auto input : graph_.nodes[i].inputs) step.inputs.push_back(behind_dropouts(input));
      while (uses_[static_cast<std::size_t>(step.output)] == 1) {
        const std::int32_t next = consumer_[static_cast<std::size_t>(step.output)];
        if (!take_in(step, next)) break;
        step.output = next;
        done[static_cast<std::size_t>(next)] = true;
      }
      stored_[static_cast<std::size_t>(step.output)] = true;
      out.push_back(std::move(step));
    }
    return out;
  }

  /// The value that a node stands for once dropouts are gone.
  [[nodiscard]] std::int32_t behind_dropouts(std::int32_t node) const {
    while (std::holds_alternative<nn::op::Dropout>(at(node).op)) node = at(node).inputs.front();
    return node;
  }

 private:
  [[nodiscard]] const graph::Node& at(std::int32_t node) const { return graph_.nodes[static_cast<std::size_t>(node)]; }

  /// Makes the operation of `next`, whose first or second input is the step's result, part of the step, if that can be.
  [[nodiscard]] bool take_in(Step& step, std::int32_t next) const {
    const nn::Op& main = at(step.node).op;
    const bool is_convolution = std::holds_alternative<nn::op::Convolution>(main) ||
                                std::holds_alternative<nn::op::TransposedConvolution>(main);
    const bool is_pointwise =
        std::holds_alternative<nn::op::BatchNorm>(main) || std::holds_alternative<nn::op::InstanceNorm>(main) ||
        std::holds_alternative<nn::op::Modulate>(main) || std::holds_alternative<nn::op::Add>(main);
    constexpr std::size_t most = 12;  // oneDNN takes 32 post-ops, of which a batch norm is two
    if (step.extras.size() == most) return false;
    const nn::Op& op = at(next).op;
    if (const auto activation = as_activation(op)) {
      const bool can = is_convolution || std::holds_alternative<nn::op::Linear>(main) || is_pointwise;
      if (!can || (!is_convolution && has<Activation>(step))) return false;
      step.extras.emplace_back(*activation);
      return true;
    }
    if (const auto* norm = std::get_if<nn::op::BatchNorm>(&op)) {
      if (!is_convolution) return false;
      if (step.extras.empty() && !step.folded)
        step.folded = *norm;
      else
        step.extras.emplace_back(*norm);
      return true;
    }
    if (std::holds_alternative<nn::op::Add>(op)) {
      if (!is_convolution && (!is_pointwise || !step.extras.empty() || std::holds_alternative<nn::op::Add>(main)))
        return false;
      const auto& inputs = at(next).inputs;
      const std::int32_t first = behind_dropouts(inputs[0]);
      const std::int32_t other = first == step.output ? behind_dropouts(inputs[1]) : first;
      if (!stored_[static_cast<std::size_t>(other)]) return false;  // computed later: that one takes this one in
      step.extras.emplace_back(AddValue{other});
      return true;
    }
    return false;
  }
  template <class Kind>
  [[nodiscard]] static bool has(const Step& step) {
    return std::any_of(step.extras.begin(), step.extras.end(),
                       [](const Extra& extra) { return std::holds_alternative<Kind>(extra); });
  }

  const graph::Graph& graph_;
  std::vector<int> uses_;
  std::vector<std::int32_t> consumer_;  // the last one
  std::vector<bool> stored_;
};

/// As `Fuser::steps`.
[[nodiscard]] inline std::vector<Step> fuse(const graph::Graph& graph) { return Fuser(graph).steps(); }

}  // namespace ivado::engine
