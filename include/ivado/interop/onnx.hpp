// ONNX out: a recorded network with its weights as an ONNX file, checked before it is put in place. Needs libonnx
// (component onnx), no LibTorch; both may be linked into one program.
#pragma once

#ifndef ONNX_NAMESPACE
#define ONNX_NAMESPACE onnx
#endif
#ifndef ONNX_ML
#define ONNX_ML 1
#endif
// ONNX names an enumerator like a macro of <sys/mman.h>.
#pragma push_macro("MAP_TYPE")
#undef MAP_TYPE
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>
#pragma pop_macro("MAP_TYPE")

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../data/array.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../nn/graph.hpp"
#include "../nn/op.hpp"
#include "../nn/weights.hpp"
#include "../version.hpp"

namespace ivado {

static_assert(std::endian::native == std::endian::little,
              "ivado: the raw numbers of ONNX are little-endian, and so must the machine be");

/// The version of ONNX's operators that files are written for: the lowest whose Softmax works along one axis.
inline constexpr std::int64_t onnx_operator_set = 13;

/// How a network becomes an ONNX file.
struct OnnxOptions {
  bool fixed_batch = false;                     ///< the file takes the recorded number of samples only
  bool fixed_size = false;                      ///< the file takes the recorded spatial size only
  std::map<std::string, std::string> metadata;  ///< said in the file beside the producer: task, names of classes …
};

/// Writes a network in evaluation mode as an ONNX file, whole or not at all.
///
/// Inputs are "input" [batch, channels, height, width(, depth)], as ivadomed names the axes in their order, and
/// "condition" [batch, length] where the network takes one; the output is "output". All axes but the channels are
/// dynamic unless `options` fix them: nothing in the file depends on the recorded size. Initialisers have the names of
/// the state dictionary and stand in its order; a tensor with several names is there once, under the first, and those
/// that only training uses (heads of deep supervision) are there too, so that the file can be trained further. Dropouts
/// are gone, batch norms use their running statistics. The same network gives the same bytes.
///
/// The model passes ONNX's checker and strict shape inference before the file is put in place.
/// @param graph    as `graph::record` makes it, with one output
/// @param weights  float32, by the names of `graph.parameters`; further ones are left alone
/// @throws Error (usage) if the model is larger than 2 GB, which protobuf cannot hold; (data) if the weights do not fit
///         the network; (internal) if the checker refuses the model, with the node, or the file cannot be written
inline void write_onnx(const std::string& path, const graph::Graph& graph, const nn::Weights& weights,
                       const OnnxOptions& options = {});

namespace detail {

/// @throws Error (usage) if a model of so many bytes does not go into one message of protobuf
inline void require_onnx_room(const std::string& doing, std::uint64_t bytes) {
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()))
    throw usage_error(doing, "the model has " + std::to_string(bytes) + " bytes, an ONNX file holds at most 2 GB",
                      "use fewer filters, or the safetensors file");
}

/// Runs ONNX's checker and strict shape inference; the model gets the shapes that were found.
/// @throws Error (internal) naming the node that is refused
inline void check_onnx(const std::string& doing, onnx::ModelProto& model) {
  try {
    onnx::checker::check_model(model);
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                       onnx::ShapeInferenceOptions(true, 1, false));
  } catch (const std::exception& fault) {
    std::string said = fault.what();
    std::replace(said.begin(), said.end(), '\n', ' ');
    throw internal_error(doing, "the ONNX checker refuses the model: " + said,
                         "report it with the configuration of the model");
  }
}

/// Lowers a graph, node by node, to standard operators of ONNX.
class OnnxWriter {
 public:
  OnnxWriter(const graph::Graph& graph, const nn::Weights& weights, const OnnxOptions& options, std::string doing)
      : graph_(graph), weights_(weights), options_(options), doing_(std::move(doing)) {}

  /// The model, not yet checked.
  [[nodiscard]] onnx::ModelProto model() && {
    require_room();
    model_.set_ir_version(onnx_format_version);
    model_.set_producer_name("ivado");
    model_.set_producer_version(version);
    auto* operators = model_.add_opset_import();
    operators->set_domain("");
    operators->set_version(onnx_operator_set);
    out().set_name("ivado");
    for (const auto& [key, value] : options_.metadata) {
      auto* entry = model_.add_metadata_props();
      entry->set_key(key);
      entry->set_value(value);
    }
    add_inputs();
    add_parameters();
    add_nodes();
    return std::move(model_);
  }

 private:
  using Names = std::vector<std::string>;
  using Numbers = std::vector<std::int64_t>;

  static constexpr std::int64_t onnx_format_version = 7;  // the one that came with operator set 13

  /// A node of the graph where it is lowered: what it reads, and the name of the value that it must give.
  struct Place {
    const graph::Node& node;
    Names inputs;
    std::string result;

    [[nodiscard]] std::size_t spatial_axes() const {
      return static_cast<std::size_t>(std::max(node.shape.rank() - 2, 0));
    }
  };

  [[nodiscard]] onnx::GraphProto& out() { return *model_.mutable_graph(); }
  [[nodiscard]] const graph::Node& node(std::int32_t number) const {
    return graph_.nodes[static_cast<std::size_t>(number)];
  }
  /// `name`, with a number behind it where that is taken.
  [[nodiscard]] std::string unique(const std::string& name) {
    std::string free = name;
    for (int i = 2; !taken_.insert(free).second; ++i) free = name + "_" + std::to_string(i);
    return free;
  }

  // What the file declares.

  void require_room() const {
    std::uint64_t bytes = 0;
    for (const auto& spec : graph_.parameters)
      if (spec.shared_with == nn::no_parameter) bytes += 4 * static_cast<std::uint64_t>(spec.shape.size());
    require_onnx_room(doing_, bytes);
  }
  void add_value(onnx::ValueInfoProto& info, const std::string& name, const Shape& shape, bool inner) const {
    static constexpr std::array axis_names{"height", "width", "depth"};
    info.set_name(name);
    auto& type = *info.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto_DataType_FLOAT);
    const Shape& like = node(0).shape;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      auto& dimension = *type.mutable_shape()->add_dim();
      const bool fixed = axis == 0 ? options_.fixed_batch : axis == 1 || (options_.fixed_size && !inner);
      if (fixed)
        dimension.set_dim_value(shape[axis]);
      else if (axis == 0)
        dimension.set_dim_param("batch");
      else if (!inner)
        dimension.set_dim_param((axis < like.rank() && shape[axis] == like[axis] ? std::string() : "output_") +
                                axis_names.at(static_cast<std::size_t>(axis - 2)));
    }
  }
  void add_inputs() {
    taken_.insert("output");
    for (const auto& one : graph_.nodes)
      if (std::holds_alternative<nn::op::Input>(one.op)) {
        add_value(*out().add_input(), one.name, one.shape, false);
        taken_.insert(one.name);
      }
  }
  void add_parameters() {
    for (const auto& spec : graph_.parameters) {
      if (spec.role == nn::Role::counter || spec.shared_with != nn::no_parameter) continue;
      if (!taken_.insert(spec.name).second)
        throw usage_error(doing_, "a tensor of the network is called \"" + spec.name + "\", as an input or the output",
                          "give it another name");
      const auto* found = weights_.find(spec.name);
      const auto refuse = [&](const std::string& what) {
        return data_error(doing_, spec.name + " " + what, "give the weights of this network");
      };
      if (found == nullptr) throw refuse("is not among the weights");
      if (found->type != nn::ElementType::float32) throw refuse("is not float32");
      if (!std::equal(found->shape.begin(), found->shape.end(), spec.shape.begin(), spec.shape.end()))
        throw refuse("has another shape than the network's, " + spec.shape.text());
      if (found->bytes.size() != 4 * static_cast<std::size_t>(spec.shape.size()))
        throw refuse("holds " + std::to_string(found->bytes.size()) + " bytes, its shape is " + spec.shape.text());
      auto& tensor = new_tensor(spec.name, onnx::TensorProto_DataType_FLOAT, found->shape);
      tensor.set_raw_data(found->bytes.data(), found->bytes.size());
    }
  }
  void add_nodes() {
    if (graph_.outputs.size() != 1)
      throw usage_error(doing_, "the graph has " + std::to_string(graph_.outputs.size()) + " outputs",
                        "record a forward with one");
    std::int32_t last = graph_.outputs.front();
    while (std::holds_alternative<nn::op::Dropout>(node(last).op)) last = node(last).inputs.front();
    const bool passed_through = std::holds_alternative<nn::op::Input>(node(last).op);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const auto& one = graph_.nodes[i];
      Place at{one, {}, {}};
      for (const auto input : one.inputs) at.inputs.push_back(values_.at(static_cast<std::size_t>(input)));
      if (std::holds_alternative<nn::op::Input>(one.op))
        at.result = one.name;
      else if (std::holds_alternative<nn::op::Dropout>(one.op))
        at.result = at.inputs.front();
      else if (static_cast<std::int32_t>(i) == last)
        at.result = "output";
      else
        add_value(*out().add_value_info(), at.result = unique(one.name), one.shape, true);
      values_.push_back(at.result);
      std::visit(
          [&]<class Operation>(const Operation& operation) {
            static_assert(
                requires { lower(operation, at); },
                "ivado: the ONNX writer has no lowering for an operation of nn::Op");
            lower(operation, at);
          },
          one.op);
    }
    if (passed_through) emit("Identity", {values_[static_cast<std::size_t>(last)]}, {"output"});
    add_value(*out().add_output(), "output", node(last).shape, false);
  }
  [[nodiscard]] nn::ParameterId first_name(nn::ParameterId id) const {
    while (graph_.parameters[id].shared_with != nn::no_parameter) id = graph_.parameters[id].shared_with;
    return id;
  }
  [[nodiscard]] const std::string& parameter(nn::ParameterId id) const {
    return graph_.parameters[first_name(id)].name;
  }

  // What nodes are made of.

  onnx::NodeProto& emit(const std::string& type, const Names& inputs, const Names& outputs) {
    auto& made = *out().add_node();
    made.set_op_type(type);
    made.set_name(outputs.front());
    for (const auto& name : inputs) made.add_input(name);
    for (const auto& name : outputs) made.add_output(name);
    return made;
  }
  /// As `emit`, with one output called after its node and what it is.
  [[nodiscard]] std::string inner(const Place& at, const std::string& what, const std::string& type,
                                  const Names& inputs) {
    std::string name = unique(at.node.name + "/" + what);
    emit(type, inputs, {name});
    return name;
  }
  static onnx::AttributeProto& attribute(onnx::NodeProto& made, const std::string& name,
                                         onnx::AttributeProto_AttributeType type) {
    auto& attribute = *made.add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
  }
  static void set(onnx::NodeProto& made, const std::string& name, std::int64_t value) {
    attribute(made, name, onnx::AttributeProto_AttributeType_INT).set_i(value);
  }
  static void set(onnx::NodeProto& made, const std::string& name, double value) {
    attribute(made, name, onnx::AttributeProto_AttributeType_FLOAT).set_f(static_cast<float>(value));
  }
  static void set(onnx::NodeProto& made, const std::string& name, const std::string& value) {
    attribute(made, name, onnx::AttributeProto_AttributeType_STRING).set_s(value);
  }
  static void set(onnx::NodeProto& made, const std::string& name, const Numbers& values) {
    auto& list = attribute(made, name, onnx::AttributeProto_AttributeType_INTS);
    for (const auto value : values) list.add_ints(value);
  }
  void reduce_max(const Place& at, const std::string& result, const Numbers& axes) {
    auto& made = emit("ReduceMax", {at.inputs[0]}, {result});
    if (!axes.empty()) set(made, "axes", axes);
    set(made, "keepdims", std::int64_t{1});
  }

  onnx::TensorProto& new_tensor(const std::string& name, onnx::TensorProto_DataType type, const Numbers& shape) {
    auto& tensor = *out().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const auto extent : shape) tensor.add_dims(extent);
    return tensor;
  }
  /// A constant, made at its first use: its name tells its value.
  template <class Element>
  [[nodiscard]] std::string constant(const std::string& name, onnx::TensorProto_DataType type, const Numbers& shape,
                                     const std::vector<Element>& values) {
    const auto [entry, is_new] = constants_.try_emplace(name);
    if (is_new) {
      entry->second = unique("constant/" + name);
      new_tensor(entry->second, type, shape).set_raw_data(values.data(), values.size() * sizeof(Element));
    }
    return entry->second;
  }
  [[nodiscard]] static std::string joined(const Numbers& values) {
    std::string text;
    for (const auto value : values) text += (text.empty() ? "" : "_") + std::to_string(value);
    return text;
  }
  [[nodiscard]] std::string integers(const Numbers& values) {
    return constant("integers_" + joined(values), onnx::TensorProto_DataType_INT64,
                    {static_cast<std::int64_t>(values.size())}, values);
  }
  [[nodiscard]] std::string scalar(int value) {
    return constant("scalar_" + std::to_string(value), onnx::TensorProto_DataType_FLOAT, {},
                    std::vector<float>{static_cast<float>(value)});
  }
  [[nodiscard]] std::string vector(const std::string& name, const std::vector<float>& values) {
    return constant(name, onnx::TensorProto_DataType_FLOAT, {static_cast<std::int64_t>(values.size())}, values);
  }
  /// `value` once for each spatial axis (twice where `twice`), such as a kernel (or a padding).
  [[nodiscard]] static Numbers repeated(const Place& at, std::int64_t value, bool twice = false) {
    return Numbers(at.spatial_axes() * (twice ? 2 : 1), value);
  }
  /// The numbers of the spatial axes: 2, 3 and so on.
  [[nodiscard]] static Numbers spatial_axes(const Place& at) {
    Numbers axes;
    for (std::size_t i = 0; i < at.spatial_axes(); ++i) axes.push_back(static_cast<std::int64_t>(i) + 2);
    return axes;
  }
  [[nodiscard]] std::string slice(const Place& at, const std::string& what, const std::string& of, std::int64_t begin,
                                  std::int64_t end) {
    return inner(at, what, "Slice", {of, integers({begin}), integers({end}), integers({0})});
  }
  /// [N, C] as [N, C, 1, 1…].
  [[nodiscard]] std::string over_space(const Place& at, const std::string& what, const std::string& of) {
    return inner(at, what, "Unsqueeze", {of, integers(spatial_axes(at))});
  }
  /// The channels of `of` in `count` equal parts.
  [[nodiscard]] Names split(const Place& at, const std::string& of, const Names& names) {
    Names parts;
    for (const auto& name : names) parts.push_back(unique(at.node.name + "/" + name));
    set(emit("Split", {of}, parts), "axis", std::int64_t{1});
    return parts;
  }
  /// `of`, with 1 where it is 0; `is_zero` is what tells where that is.
  [[nodiscard]] std::string one_for_zero(const Place& at, const std::string& of, std::string& is_zero) {
    is_zero = inner(at, "is_zero", "Equal", {of, scalar(0)});
    return inner(at, "divisor", "Where", {is_zero, scalar(1), of});
  }

  // The lowerings: each gives the value `at.result`.

  void lower(const nn::op::Input&, const Place&) {}    // declared, not computed
  void lower(const nn::op::Dropout&, const Place&) {}  // the identity: its value is its input's

  void lower(const nn::op::Convolution& op, const Place& at) {
    Names inputs{at.inputs[0], parameter(op.weight)};
    if (op.bias != nn::no_parameter) inputs.push_back(parameter(op.bias));
    auto& made = emit("Conv", inputs, {at.result});
    set(made, "kernel_shape", repeated(at, op.kernel));
    set(made, "strides", repeated(at, op.stride));
    set(made, "pads", repeated(at, op.padding, true));
  }
  void lower(const nn::op::TransposedConvolution& op, const Place& at) {
    Names inputs{at.inputs[0], parameter(op.weight)};
    if (op.bias != nn::no_parameter) inputs.push_back(parameter(op.bias));
    auto& made = emit("ConvTranspose", inputs, {at.result});
    set(made, "kernel_shape", repeated(at, op.kernel));
    set(made, "strides", repeated(at, op.kernel));
  }
  void lower(const nn::op::Linear& op, const Place& at) {
    set(emit("Gemm", {at.inputs[0], parameter(op.weight), parameter(op.bias)}, {at.result}), "transB", std::int64_t{1});
  }
  void lower(const nn::op::BatchNorm& op, const Place& at) {
    set(emit("BatchNormalization",
             {at.inputs[0], parameter(op.weight), parameter(op.bias), parameter(op.running_mean),
              parameter(op.running_variance)},
             {at.result}),
        "epsilon", op.epsilon);
  }
  void lower(const nn::op::InstanceNorm& op, const Place& at) {
    const std::int64_t channels = at.node.shape[1];
    const auto filled = [&](const std::string& name, float value) {
      return vector(name + "_" + std::to_string(channels),
                    std::vector<float>(static_cast<std::size_t>(channels), value));
    };
    const std::string weight = op.weight == nn::no_parameter ? filled("ones", 1) : parameter(op.weight);
    const std::string bias = op.bias == nn::no_parameter ? filled("zeros", 0) : parameter(op.bias);
    set(emit("InstanceNormalization", {at.inputs[0], weight, bias}, {at.result}), "epsilon", op.epsilon);
  }
  void lower(const nn::op::Relu&, const Place& at) { emit("Relu", at.inputs, {at.result}); }
  void lower(const nn::op::LeakyRelu& op, const Place& at) {
    set(emit("LeakyRelu", at.inputs, {at.result}), "alpha", op.slope);
  }
  void lower(const nn::op::Sigmoid&, const Place& at) { emit("Sigmoid", at.inputs, {at.result}); }
  void lower(const nn::op::Softmax&, const Place& at) {
    set(emit("Softmax", at.inputs, {at.result}), "axis", std::int64_t{1});
  }
  void lower(const nn::op::MaxPool& op, const Place& at) {
    auto& made = emit("MaxPool", at.inputs, {at.result});
    set(made, "kernel_shape", repeated(at, op.kernel));
    set(made, "strides", repeated(at, op.stride));
    set(made, "pads", repeated(at, op.padding, true));
  }
  void lower(const nn::op::AveragePool& op, const Place& at) {
    auto& made = emit("AveragePool", at.inputs, {at.result});
    set(made, "kernel_shape", repeated(at, op.kernel));
    set(made, "strides", repeated(at, op.kernel));
  }
  void lower(const nn::op::GlobalAveragePool&, const Place& at) {
    const std::string mean = inner(at, "mean", "GlobalAveragePool", at.inputs);
    set(emit("Flatten", {mean}, {at.result}), "axis", std::int64_t{1});
  }
  void lower(const nn::op::ResizeLike&, const Place& at) {
    const auto end = static_cast<std::int64_t>(at.spatial_axes()) + 2;
    const std::string own = slice(at, "outer", inner(at, "shape", "Shape", {at.inputs[0]}), 0, 2);
    const std::string other = slice(at, "spatial", inner(at, "like", "Shape", {at.inputs[1]}), 2, end);
    const std::string sizes = unique(at.node.name + "/sizes");
    set(emit("Concat", {own, other}, {sizes}), "axis", std::int64_t{0});
    auto& made = emit("Resize", {at.inputs[0], "", "", sizes}, {at.result});
    set(made, "mode", "linear");
    set(made, "coordinate_transformation_mode", "align_corners");
  }
  void lower(const nn::op::Upsample& op, const Place& at) {
    std::vector<float> scales(at.spatial_axes() + 2, static_cast<float>(op.factor));
    scales[0] = scales[1] = 1;
    const std::string name = "scales_" + joined(repeated(at, op.factor));
    auto& made = emit("Resize", {at.inputs[0], "", vector(name, scales)}, {at.result});
    set(made, "mode", "nearest");
    set(made, "coordinate_transformation_mode", "asymmetric");  // voxel i comes from ⌊i / factor⌋
    set(made, "nearest_mode", "floor");
  }
  void lower(const nn::op::Concat&, const Place& at) {
    set(emit("Concat", at.inputs, {at.result}), "axis", std::int64_t{1});
  }
  void lower(const nn::op::Add&, const Place& at) { emit("Add", at.inputs, {at.result}); }
  void lower(const nn::op::Multiply&, const Place& at) { emit("Mul", at.inputs, {at.result}); }
  void lower(const nn::op::SelectChannels& op, const Place& at) {
    const std::int64_t end = op.first + at.node.shape[1];
    emit("Slice", {at.inputs[0], integers({op.first}), integers({end}), integers({1})}, {at.result});
  }
  void lower(const nn::op::Modulate& op, const Place& at) {
    const Names parts = split(at, over_space(at, "scale_shift", at.inputs[1]), {"scale", "shift"});
    const std::string scale = op.around_one ? inner(at, "factor", "Add", {parts[0], scalar(1)}) : parts[0];
    emit("Add", {inner(at, "scaled", "Mul", {at.inputs[0], scale}), parts[1]}, {at.result});
  }
  void lower(const nn::op::Moments&, const Place& at) {
    const std::size_t values = at.inputs.size() - 1;
    const std::string presence = over_space(at, "presence", at.inputs[0]);
    Names names;
    for (std::size_t k = 1; k <= values; ++k) names.push_back("present_" + std::to_string(k));
    const Names present = split(at, presence, names);
    const std::string count = unique(at.node.name + "/count");
    set(emit("ReduceSum", {presence, integers({1})}, {count}), "keepdims", std::int64_t{1});
    Names masked;
    for (std::size_t k = 0; k < values; ++k)
      masked.push_back(inner(at, "masked_" + std::to_string(k + 1), "Mul", {at.inputs[k + 1], present[k]}));
    const std::string mean = inner(at, "mean", "Div", {inner(at, "sum", "Sum", masked), count});
    Names squares;
    for (std::size_t k = 0; k < values; ++k) {
      const std::string number = std::to_string(k + 1);
      const std::string difference = inner(at, "difference_" + number, "Sub", {at.inputs[k + 1], mean});
      const std::string square = inner(at, "square_" + number, "Mul", {difference, difference});
      squares.push_back(inner(at, "masked_square_" + number, "Mul", {square, present[k]}));
    }
    const std::string fewer = inner(at, "count_less_one", "Sub", {count, scalar(1)});
    const std::string divisor = inner(at, "divisor", "Max", {fewer, scalar(1)});
    const std::string variance = inner(at, "variance", "Div", {inner(at, "sum_of_squares", "Sum", squares), divisor});
    set(emit("Concat", {mean, variance}, {at.result}), "axis", std::int64_t{1});
  }
  void lower(const nn::op::DivideByMax& op, const Place& at) {
    const std::string largest = unique(at.node.name + "/largest");
    reduce_max(at, largest, op.whole_batch ? Numbers{} : spatial_axes(at));
    std::string is_zero;
    const std::string divisor = one_for_zero(at, largest, is_zero);
    const std::string quotient = inner(at, "quotient", "Div", {at.inputs[0], divisor});
    emit("Where", {is_zero, scalar(0), quotient}, {at.result});
  }
  void lower(const nn::op::DivideByChannelSum&, const Place& at) {
    const std::string sum = unique(at.node.name + "/sum");
    set(emit("ReduceSum", {at.inputs[0], integers({1})}, {sum}), "keepdims", std::int64_t{1});
    std::string is_zero;
    const std::string divisor = one_for_zero(at, sum, is_zero);
    emit("Div", {at.inputs[0], divisor}, {at.result});
  }

  const graph::Graph& graph_;
  const nn::Weights& weights_;
  const OnnxOptions& options_;
  std::string doing_;
  onnx::ModelProto model_;
  Names values_;  // of each node of the graph, in the file
  std::set<std::string> taken_;
  std::map<std::string, std::string> constants_;
};

}  // namespace detail

inline void write_onnx(const std::string& path, const graph::Graph& graph, const nn::Weights& weights,
                       const OnnxOptions& options) {
  const std::string doing = "writing the ONNX model " + path;
  onnx::ModelProto model = detail::OnnxWriter(graph, weights, options, doing).model();
  detail::require_onnx_room(doing, model.ByteSizeLong());
  const std::string content = model.SerializeAsString();
  detail::check_onnx(doing, model);
  write_file_atomically(path, content);
}

}  // namespace ivado
