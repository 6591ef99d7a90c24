// What a recorded network costs: parameters, arithmetic and memory of activations, node by node.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <variant>
#include <vector>

#include "../inline.hpp"
#include "graph.hpp"

namespace ivado::graph {

/// The cost of a node, or the sum over nodes.
struct Cost {
  std::int64_t parameters = 0;        ///< trained values; a tensor counts where it is first used
  std::int64_t flops = 0;             ///< floating-point operations of the forward: a multiply-add is two
  std::int64_t activation_bytes = 0;  ///< of the output in float32; 0 for operations that training need not keep

  Cost& operator+=(const Cost& other) noexcept {
    parameters += other.parameters;
    flops += other.flops;
    activation_bytes += other.activation_bytes;
    return *this;
  }
};

namespace detail {

/// Operations an element of the output of everything that is no convolution, linear layer or pooling.
[[nodiscard]] IVADO_INLINE std::int64_t flops_an_element(const nn::Op& op) {
  return std::visit(
      []<class Operation>(const Operation&) -> std::int64_t {
        namespace o = nn::op;
        if constexpr (std::is_same_v<Operation, o::Input> || std::is_same_v<Operation, o::Concat> ||
                      std::is_same_v<Operation, o::SelectChannels> || std::is_same_v<Operation, o::Upsample> ||
                      std::is_same_v<Operation, o::Dropout>)
          return 0;  // moves numbers; dropout does nothing in evaluation
        else if constexpr (std::is_same_v<Operation, o::BatchNorm> || std::is_same_v<Operation, o::Modulate>)
          return 2;
        else if constexpr (std::is_same_v<Operation, o::InstanceNorm> || std::is_same_v<Operation, o::Moments>)
          return 8;  // two passes for mean and variance, one to scale
        else if constexpr (std::is_same_v<Operation, o::Sigmoid> || std::is_same_v<Operation, o::Softmax>)
          return 4;
        else
          return 1;
      },
      op);
}

}  // namespace detail

/// The cost of one node for the recorded shape.
///
/// Convolution: 2 · kernel elements · input channels (+ 1 for the bias) an element of its output; a linear resize: 3
/// multiply-adds a two-dimensional element, 7 in 3-D; pooling: the elements of its window.
[[nodiscard]] IVADO_INLINE Cost node_cost(const Graph& graph, const Node& node) {
  namespace o = nn::op;
  Cost cost;
  const std::int64_t elements = node.shape.size();
  const auto power = [&](std::int64_t base, int exponent) {
    std::int64_t product = 1;
    for (int i = 0; i < exponent; ++i) product *= base;
    return product;
  };
  const Shape& from = node.inputs.empty() ? node.shape : graph.nodes[static_cast<std::size_t>(node.inputs[0])].shape;
  const int axes = from.rank() - 2;
  cost.activation_bytes = 4 * elements;
  std::visit(
      [&]<class Operation>(const Operation& op) {
        if constexpr (std::is_same_v<Operation, o::Convolution>)
          cost.flops = elements * (2 * op.in * power(op.kernel, op.dimension) + (op.bias == nn::no_parameter ? 0 : 1));
        else if constexpr (std::is_same_v<Operation, o::TransposedConvolution>)
          cost.flops = elements * (2 * op.in + 1);  // its windows do not overlap
        else if constexpr (std::is_same_v<Operation, o::Linear>)
          cost.flops = elements * (2 * op.in + 1);
        else if constexpr (std::is_same_v<Operation, o::MaxPool> || std::is_same_v<Operation, o::AveragePool>)
          cost.flops = elements * power(op.kernel, axes);
        else if constexpr (std::is_same_v<Operation, o::GlobalAveragePool>)
          cost.flops = from.size();
        else if constexpr (std::is_same_v<Operation, o::ResizeLike>)
          cost.flops = elements * 2 * (axes == 3 ? 7 : 3);
        else {
          cost.flops = elements * detail::flops_an_element(node.op);
          if constexpr (std::is_same_v<Operation, o::SelectChannels> || std::is_same_v<Operation, o::Input>)
            cost.activation_bytes = 0;
        }
      },
      node.op);
  return cost;
}

/// The costs of all nodes, in order.
[[nodiscard]] IVADO_INLINE std::vector<Cost> node_costs(const Graph& graph) {
  std::vector<Cost> costs;
  std::vector<bool> counted(graph.parameters.size(), false);
  for (const auto& node : graph.nodes) {
    Cost cost = node_cost(graph, node);
    for (const auto id : nn::op_parameters(node.op)) {
      if (graph.parameters.size() == 0 || counted[static_cast<std::size_t>(id)]) continue;
      counted[static_cast<std::size_t>(id)] = true;
      if (graph.parameters[id].role == nn::Role::weight) cost.parameters += graph.parameters[id].shape.size();
    }
    costs.push_back(cost);
  }
  return costs;
}

/// The sum over all nodes.
[[nodiscard]] IVADO_INLINE Cost total_cost(const Graph& graph) {
  Cost sum;
  for (const auto& cost : node_costs(graph)) sum += cost;
  return sum;
}

}  // namespace ivado::graph
