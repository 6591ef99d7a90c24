// A network as data: the graph that a forward leaves behind when it runs on graph::Value, with shapes, names and
// places of parameters.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "forward.hpp"
#include "layers.hpp"
#include "op.hpp"

namespace ivado::graph {

/// One operation with where its inputs come from and the shape that it gives for the recorded input.
struct Node {
  nn::Op op;
  std::vector<std::int32_t> inputs;  ///< earlier nodes
  Shape shape;                       ///< [N, channel, spatial…], or [N, features]
  std::string name;                  ///< unique: the layer of its parameters, else the operation and a number
};

/// Nodes in an order in which they can be computed, and the tensors that they refer to.
struct Graph {
  std::vector<Node> nodes;
  std::vector<std::int32_t> outputs;
  nn::ParameterList parameters;
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
  IVADO_INLINE Value input(const Shape& shape, const std::string& name = {}) {
    const Value value = push(nn::op::Input{inputs_++}, {}, shape);
    if (!name.empty()) graph_->nodes.back().name = name;
    return value;
  }

  /// Records one operation.
  /// @throws Error (usage) if the shapes of its inputs do not suit it
  template <class Operation>
  Value apply(const Operation& operation, std::span<const Value> inputs) {
    std::vector<Shape> shapes;
    for (const auto& input : inputs) shapes.push_back(input.shape());
    return push(operation, inputs, shape_of(operation, shapes));
  }

 private:
  IVADO_INLINE Value push(const nn::Op& op, std::span<const Value> inputs, const Shape& shape) {
    Node node{op, {}, shape, {}};
    for (const auto& input : inputs) node.inputs.push_back(input.node);
    const auto parameters = nn::op_parameters(op);
    node.name = parameters.empty() || graph_->parameters.size() == 0
                    ? std::string(nn::op_name(op)) + "_" + std::to_string(graph_->nodes.size())
                    : std::string(graph_->parameters[parameters.front()].layer());
    if (const int uses = used_[node.name]++; uses > 0) node.name += "_" + std::to_string(uses + 1);
    graph_->nodes.push_back(std::move(node));
    return {graph_, static_cast<std::int32_t>(graph_->nodes.size() - 1)};
  }
  [[nodiscard]] IVADO_INLINE static Error unsuited(std::string_view name, const std::string& found) {
    return usage_error("building the network", std::string(name) + " of " + found,
                       "check the size of the input and the depth");
  }
  IVADO_INLINE static void require_channels(std::string_view name, const Shape& shape, std::int64_t channels,
                                            int dimension) {
    if (shape.rank() != dimension + 2 || shape[1] != channels)
      throw unsuited(name, shape.text() + ", which wants " + std::to_string(channels) + " channels and " +
                               std::to_string(dimension) + " spatial axes");
  }
  /// Sets the spatial extents to (extent + 2 padding - kernel) / stride + 1.
  IVADO_INLINE static void slide(std::string_view name, Shape& shape, std::int64_t kernel, std::int64_t stride,
                                 std::int64_t padding) {
    const std::string before = shape.text();
    for (int axis = 2; axis < shape.rank(); ++axis) {
      const std::int64_t room = shape[axis] + 2 * padding - kernel;
      if (room < 0) throw unsuited(name, before + ", too small");
      shape[axis] = room / stride + 1;
    }
  }
  /// @throws Error (usage) unless the shapes agree but for the channels
  IVADO_INLINE static void require_alike(std::string_view name, const Shape& a, const Shape& b, bool channels_too) {
    bool alike = a.rank() == b.rank();
    for (int axis = 0; alike && axis < a.rank(); ++axis) alike = a[axis] == b[axis] || (axis == 1 && !channels_too);
    if (!alike) throw unsuited(name, a.text() + " and " + b.text());
  }

  /// The shape of a result; most operations keep that of their first input.
  template <class Operation>
  [[nodiscard]] static Shape shape_of(const Operation&, std::span<const Shape> inputs) {
    return inputs[0];
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Convolution& op, std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    require_channels(op.name, shape, op.in, op.dimension);
    slide(op.name, shape, op.kernel, op.stride, op.padding);
    shape[1] = op.out;
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::TransposedConvolution& op,
                                                   std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    require_channels(op.name, shape, op.in, op.dimension);
    for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] *= op.kernel;
    shape[1] = op.out;
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Linear& op, std::span<const Shape> inputs) {
    require_channels(op.name, inputs[0], op.in, 0);
    return {inputs[0][0], op.out};
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::InstanceNorm& op, std::span<const Shape> inputs) {
    std::int64_t voxels = 1;
    for (int axis = 2; axis < inputs[0].rank(); ++axis) voxels *= inputs[0][axis];
    if (voxels < 2) throw unsuited(op.name, inputs[0].text() + ", a single voxel");
    return inputs[0];
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::MaxPool& op, std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    slide(op.name, shape, op.kernel, op.stride, op.padding);
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::AveragePool& op, std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    slide(op.name, shape, op.kernel, op.kernel, 0);
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::GlobalAveragePool&, std::span<const Shape> inputs) {
    return {inputs[0][0], inputs[0][1]};
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::ResizeLike&, std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] = inputs[1][axis];
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Upsample& op, std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] *= op.factor;
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Concat& op, std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    for (const auto& other : inputs.subspan(1)) {
      require_alike(op.name, inputs[0], other, false);
      shape[1] += other[1];
    }
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Add& op, std::span<const Shape> inputs) {
    require_alike(op.name, inputs[0], inputs[1], true);
    return inputs[0];
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Multiply& op, std::span<const Shape> inputs) {
    require_alike(op.name, inputs[0], inputs[1], inputs[1][1] != 1);
    return inputs[0];
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::SelectChannels& op, std::span<const Shape> inputs) {
    Shape shape = inputs[0];
    const std::int64_t count = op.count < 0 ? shape[1] - op.first : op.count;
    if (count < 1 || op.first + count > shape[1]) throw unsuited(op.name, shape.text());
    shape[1] = count;
    return shape;
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Modulate& op, std::span<const Shape> inputs) {
    if (!(inputs[1] == Shape{inputs[0][0], 2 * inputs[0][1]}))
      throw unsuited(op.name, inputs[0].text() + " by " + inputs[1].text());
    return inputs[0];
  }
  [[nodiscard]] IVADO_INLINE static Shape shape_of(const nn::op::Moments& op, std::span<const Shape> inputs) {
    Shape shape = inputs[1];
    for (const auto& other : inputs.subspan(2)) require_alike(op.name, shape, other, true);
    if (!(inputs[0] == Shape{shape[0], static_cast<std::int64_t>(inputs.size()) - 1}))
      throw unsuited(op.name, std::to_string(inputs.size() - 1) + " values with the presence " + inputs[0].text());
    shape[1] *= 2;
    return shape;
  }

  Graph* graph_;
  int inputs_ = 0;
  std::map<std::string, int> used_;
};

/// Records the forward of an architecture for one input shape [N, channel, spatial…].
///
/// The inputs are named "input" and, where the architecture takes one, "condition".
/// @throws Error (usage) if the network cannot work on that shape
template <class Architecture>
[[nodiscard]] Graph record(const Architecture& architecture, const Shape& input) {
  Graph graph;
  graph.parameters = architecture.parameters();
  Recorder recorder(graph);
  const Value image = recorder.input(input, "input");
  Value condition;
  if (const std::int64_t length = nn::conditions(architecture); length > 0)
    condition = recorder.input({input[0], length}, "condition");
  graph.outputs.push_back(nn::forward(architecture, recorder, image, condition).node);
  return graph;
}

/// Runs a graph on any interpreter: the whole of it.
/// @param inputs  in the order of their numbers
template <nn::Interpreter On>
[[nodiscard]] typename On::Value run(const Graph& graph, On& on, std::span<const typename On::Value> inputs) {
  std::vector<typename On::Value> values;
  values.reserve(graph.nodes.size());
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
