// A network as data: the graph that a forward leaves behind when it runs on graph::Value, with shapes, names and
// places of parameters.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "../error.hpp"
#include "layers.hpp"
#include "op.hpp"

namespace ivado::graph {

/// One operation with where its inputs come from and the shape that it gives for the recorded input.
struct Node {
  nn::Op op;
  std::vector<std::int32_t> inputs;  ///< earlier nodes
  Shape shape;                       ///< [N, channel, spatial…]
};

/// Nodes in an order in which they can be computed.
struct Graph {
  std::vector<Node> nodes;
  std::vector<std::int32_t> outputs;
};

/// A value that computes nothing: it stands for the output of a node.
struct Value {
  const Graph* graph = nullptr;
  std::int32_t node = -1;
  /// Its shape for the recorded input.
  [[nodiscard]] const Shape& shape() const { return graph->nodes[static_cast<std::size_t>(node)].shape; }
};

/// The interpreter that records.
class Recorder {
 public:
  using Value = graph::Value;

  explicit Recorder(Graph& graph) : graph_(&graph) {}

  /// Declares an input of the given shape.
  Value input(const Shape& shape) { return push(nn::op::Input{inputs_++}, {}, shape); }

  /// Records one operation.
  /// @throws Error (usage) if the shapes of its inputs do not suit it
  template <class Operation>
  Value apply(const Operation& operation, std::span<const Value> inputs) {
    return push(operation, inputs, shape_of(operation, inputs));
  }

 private:
  Value push(const nn::Op& op, std::span<const Value> inputs, const Shape& shape) {
    Node node{op, {}, shape};
    for (const auto& input : inputs) node.inputs.push_back(input.node);
    graph_->nodes.push_back(std::move(node));
    return {graph_, static_cast<std::int32_t>(graph_->nodes.size() - 1)};
  }
  [[nodiscard]] static Error unsuited(std::string_view name, const std::string& found) {
    return usage_error("building the network", std::string(name) + " of " + found,
                       "check the size of the input and the depth");
  }
  template <class Operation>
  [[nodiscard]] static Shape shape_of(const Operation& operation, std::span<const Value> inputs) {
    Shape shape = inputs[0].shape();
    if constexpr (std::is_same_v<Operation, nn::op::Convolution>) {
      if (shape.rank() != operation.dimension + 2 || shape[1] != operation.in)
        throw unsuited(operation.name, shape.text() + ", which wants " + std::to_string(operation.in) +
                                           " channels and " + std::to_string(operation.dimension) + " spatial axes");
      shape[1] = operation.out;
      for (int axis = 2; axis < shape.rank(); ++axis) {
        shape[axis] = (shape[axis] + 2 * operation.padding - operation.kernel) / operation.stride + 1;
        if (shape[axis] < 1) throw unsuited(operation.name, inputs[0].shape().text());
      }
    } else if constexpr (std::is_same_v<Operation, nn::op::MaxPool>) {
      for (int axis = 2; axis < shape.rank(); ++axis) {
        shape[axis] /= operation.kernel;
        if (shape[axis] < 1) throw unsuited(operation.name, inputs[0].shape().text() + ", too small");
      }
    } else if constexpr (std::is_same_v<Operation, nn::op::ResizeLike>) {
      for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] = inputs[1].shape()[axis];
    } else if constexpr (std::is_same_v<Operation, nn::op::Concat>) {
      for (const auto& other : inputs.subspan(1)) {
        for (int axis = 0; axis < shape.rank(); ++axis)
          if (axis != 1 && other.shape()[axis] != shape[axis])
            throw unsuited(operation.name, shape.text() + " and " + other.shape().text());
        shape[1] += other.shape()[1];
      }
    } else if constexpr (std::is_same_v<Operation, nn::op::DropChannels>) {
      shape[1] -= operation.first;
      if (shape[1] < 1) throw unsuited(operation.name, inputs[0].shape().text());
    }
    return shape;
  }

  Graph* graph_;
  int inputs_ = 0;
};

/// Records the forward of an architecture for one input shape [N, channel, spatial…].
template <class Architecture>
[[nodiscard]] Graph record(const Architecture& architecture, const Shape& input) {
  Graph graph;
  Recorder recorder(graph);
  const Value output = architecture.forward(recorder, recorder.input(input));
  graph.outputs.push_back(output.node);
  return graph;
}

/// Runs a graph on any interpreter: the whole of it.
template <nn::Interpreter On>
[[nodiscard]] typename On::Value run(const Graph& graph, On& on, std::span<const typename On::Value> inputs) {
  std::vector<typename On::Value> values;
  for (const auto& node : graph.nodes) {
    std::vector<typename On::Value> from;
    for (const auto input : node.inputs) from.push_back(values[static_cast<std::size_t>(input)]);
    values.push_back(std::visit(
        [&]<class Operation>(const Operation& operation) -> typename On::Value {
          if constexpr (std::is_same_v<Operation, nn::op::Input>)
            return inputs[static_cast<std::size_t>(operation.index)];
          else
            return on.apply(operation, std::span<const typename On::Value>(from));
        },
        node.op));
  }
  return values[static_cast<std::size_t>(graph.outputs.front())];
}

static_assert(nn::Interpreter<Recorder>);

}  // namespace ivado::graph
