// ONNX out: what the file declares, that every operation passes ONNX's checker, that the same network gives the same
// bytes, and that nothing is left behind where the file cannot be made. Whether the numbers are right is in
// onnx_runtime_test.cpp.
#include <algorithm>
#include <filesystem>
#include <ivado/interop/onnx.hpp>
#include <ivado/model/filmed_unet.hpp>
#include <ivado/model/hemis_unet.hpp>
#include <ivado/model/unet.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../data/nifti_bytes.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Initial weights of a list.
nn::Weights initial_weights(const nn::ParameterList& list) {
  nn::Weights out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto& spec = list[static_cast<nn::ParameterId>(i)];
    nn::WeightTensor tensor{spec.name, nn::ElementType::float32, {spec.shape.begin(), spec.shape.end()}, {}};
    if (spec.role == nn::Role::counter) {
      tensor.type = nn::ElementType::int64;
      tensor.bytes.resize(8);
    } else {
      const auto values = nn::initial_values(spec, static_cast<nn::ParameterId>(i), 5);
      const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
      tensor.bytes.assign(bytes, bytes + 4 * values.size());
    }
    out.tensors.push_back(std::move(tensor));
  }
  return out;
}

template <class Params>
Params small() {
  Params params;
  params.n_filters = 4;
  return params;
}

Unet<2, 2> small_unet() { return Unet<2, 2>(small<UnetParams>()); }

onnx::ModelProto parsed(const std::string& path) {
  onnx::ModelProto model;
  REQUIRE(model.ParseFromString(test::read_bytes(path)));
  return model;
}

/// Writes a graph and reads the model back.
onnx::ModelProto written(const graph::Graph& graph, const OnnxOptions& options = {}) {
  const test::Folder folder;
  write_onnx(folder / "m.onnx", graph, initial_weights(graph.parameters), options);
  return parsed(folder / "m.onnx");
}

/// "input batch 1 height width": name and axes of a declared value.
std::string declared(const onnx::ValueInfoProto& info) {
  std::string text = info.name();
  for (const auto& axis : info.type().tensor_type().shape().dim())
    text += " " + (axis.has_dim_param() ? axis.dim_param() : std::to_string(axis.dim_value()));
  return text;
}

std::vector<std::string> operators(const onnx::ModelProto& model) {
  std::vector<std::string> out;
  for (const auto& node : model.graph().node()) out.push_back(node.op_type());
  return out;
}

/// A network of one operation, on inputs of the given shapes.
template <class Operation>
graph::Graph network_of(const Operation& operation, const std::vector<Shape>& shapes) {
  graph::Graph graph;
  graph::Recorder on(graph);
  std::vector<graph::Value> inputs;
  for (const auto& shape : shapes) inputs.push_back(on.input(shape));
  graph.outputs.push_back(on.apply(operation, std::span<const graph::Value>(inputs)).node);
  return graph;
}

}  // namespace

TEST_CASE("An ONNX file says what it takes, what it gives and who made it", "[unit]") {
  const auto model = written(graph::record(small_unet(), {1, 1, 16, 16}), {false, false, {{"task", "segmentation"}}});
  REQUIRE(model.graph().input_size() == 1);
  REQUIRE(model.graph().output_size() == 1);
  CHECK(declared(model.graph().input(0)) == "input batch 1 height width");
  CHECK(declared(model.graph().output(0)) == "output batch 1 height width");
  CHECK(model.producer_name() == "ivado");
  CHECK(model.producer_version() == version);
  REQUIRE(model.opset_import_size() == 1);
  CHECK(model.opset_import(0).version() == onnx_operator_set);
  REQUIRE(model.metadata_props_size() == 1);
  CHECK(model.metadata_props(0).key() == "task");
  CHECK(model.metadata_props(0).value() == "segmentation");
  const auto types = operators(model);
  CHECK(std::count(types.begin(), types.end(), "Dropout") == 0);
  CHECK(std::count(types.begin(), types.end(), "BatchNormalization") == 10);
  CHECK(types.back() == "Sigmoid");
  CHECK(model.graph().node(0).name() == "encoder.down_path.0.conv1");
}

TEST_CASE("Three spatial axes have ivadomed's names, and axes can be fixed", "[unit]") {
  const auto graph = graph::record(Unet<3, 1>(small<UnetParams>()), {2, 1, 8, 6, 4});
  CHECK(declared(written(graph).graph().input(0)) == "input batch 1 height width depth");
  const auto fixed = written(graph, {true, true, {}});
  CHECK(declared(fixed.graph().input(0)) == "input 2 1 8 6 4");
  CHECK(declared(fixed.graph().output(0)) == "output 2 1 8 6 4");
  CHECK(declared(written(graph, {true, false, {}}).graph().input(0)) == "input 2 1 height width depth");
}

TEST_CASE("Initialisers have the names, order and numbers of the state dictionary", "[unit]") {
  const auto graph = graph::record(small_unet(), {1, 1, 16, 16});
  const auto weights = initial_weights(graph.parameters);
  const auto model = written(graph);
  int i = 0;
  for (const auto& spec : graph.parameters) {
    if (spec.role == nn::Role::counter) continue;
    const auto& found = model.graph().initializer(i++);
    CHECK(found.name() == spec.name);
    const auto& bytes = weights.find(spec.name)->bytes;
    CHECK((found.raw_data() == std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
  }
  CHECK(i > 40);
  for (; i < model.graph().initializer_size(); ++i)
    CHECK_THAT(model.graph().initializer(i).name(), Contains("constant/"));
}

TEST_CASE("A file depends on the network alone, not on the recorded size", "[unit]") {
  const test::Folder folder;
  const auto weights = initial_weights(small_unet().parameters());
  write_onnx(folder / "a.onnx", graph::record(small_unet(), {1, 1, 16, 16}), weights);
  write_onnx(folder / "b.onnx", graph::record(small_unet(), {3, 1, 21, 40}), weights);
  CHECK((test::read_bytes(folder / "a.onnx") == test::read_bytes(folder / "b.onnx")));
}

TEST_CASE("A condition is a second input, and shared weights are there once", "[unit]") {
  FiLMedUnet<2, 1> model(small<FiLMedUnet<2, 1>::Params>(), {1, 1, 1, 5});
  const auto file = written(graph::record(model, {1, 1, 8, 8}));
  REQUIRE(file.graph().input_size() == 2);
  CHECK(declared(file.graph().input(1)) == "condition batch 5");
  int shared = 0;
  int own = 0;
  for (const auto& tensor : file.graph().initializer()) {
    shared += tensor.name().ends_with("generator.linear1.weight") ? 1 : 0;
    own += tensor.name().ends_with("generator.linear3.weight") ? 1 : 0;
  }
  CHECK(shared == 1);
  CHECK(own == 4);
  HeMISUnet<2, 1> hemis(small<HeMISUnet<2, 1>::Params>(), {2, 1, 1, 0});
  CHECK(declared(written(graph::record(hemis, {1, 2, 8, 8})).graph().input(1)) == "condition batch 2");
}

TEST_CASE("Every operation without parameters passes the checker in two and three dimensions", "[unit]") {
  for (const Shape& shape : {Shape{2, 3, 12, 8}, Shape{2, 3, 12, 8, 6}}) {
    Shape larger = shape;
    for (int axis = 2; axis < shape.rank(); ++axis) larger[axis] += 5;
    Shape one = shape;
    one[1] = 1;
    CHECK(operators(written(network_of(nn::op::InstanceNorm{}, {shape}))).back() == "InstanceNormalization");
    CHECK(operators(written(network_of(nn::op::Relu{}, {shape}))).back() == "Relu");
    CHECK(operators(written(network_of(nn::op::LeakyRelu{0.2}, {shape}))).back() == "LeakyRelu");
    CHECK(operators(written(network_of(nn::op::Softmax{}, {shape}))).back() == "Softmax");
    CHECK(operators(written(network_of(nn::op::MaxPool{3, 2, 1}, {shape}))).back() == "MaxPool");
    CHECK(operators(written(network_of(nn::op::AveragePool{3}, {shape}))).back() == "AveragePool");
    CHECK(operators(written(network_of(nn::op::GlobalAveragePool{}, {shape}))).back() == "Flatten");
    CHECK(operators(written(network_of(nn::op::ResizeLike{}, {shape, larger}))).back() == "Resize");
    CHECK(operators(written(network_of(nn::op::Upsample{3}, {shape}))).back() == "Resize");
    CHECK(operators(written(network_of(nn::op::Concat{}, {shape, one}))).back() == "Concat");
    CHECK(operators(written(network_of(nn::op::Add{}, {shape, shape}))).back() == "Add");
    CHECK(operators(written(network_of(nn::op::Multiply{}, {shape, one}))).back() == "Mul");
    CHECK(operators(written(network_of(nn::op::SelectChannels{1, -1}, {shape}))).back() == "Slice");
    CHECK(operators(written(network_of(nn::op::Modulate{}, {shape, {2, 6}}))).back() == "Add");
    CHECK(operators(written(network_of(nn::op::Moments{}, {{2, 2}, shape, shape}))).back() == "Concat");
    CHECK(operators(written(network_of(nn::op::Moments{}, {{2, 1}, shape}))).back() == "Concat");
    CHECK(operators(written(network_of(nn::op::DivideByMax{false}, {shape}))).back() == "Where");
    CHECK(operators(written(network_of(nn::op::DivideByMax{true}, {shape}))).back() == "Where");
    CHECK(operators(written(network_of(nn::op::DivideByChannelSum{}, {shape}))).back() == "Div");
  }
}

TEST_CASE("Every operation with parameters passes the checker", "[unit]") {
  for (const int dimension : {2, 3}) {
    graph::Graph graph;
    const nn::Scope root(graph.parameters);
    nn::ConvolutionOptions options;
    options.dimension = dimension;
    options.kernel = 5;
    options.stride = 2;
    options.bias = false;
    const nn::Convolution first(root.child("first"), 1, 3, options);
    const nn::TransposedConvolution wider(root.child("wider"), dimension, 3, 2, 3);
    const nn::Norm batch(root.child("batch"), nn::NormKind::batch, 2);
    const nn::Norm instance(root.child("instance"), nn::NormKind::affine_instance, 2);
    const nn::Linear linear(root.child("linear"), 2, 7);
    graph::Recorder on(graph);
    const auto input = on.input(dimension == 2 ? Shape{1, 1, 9, 12} : Shape{1, 1, 9, 12, 7}, "input");
    const auto map = instance(on, batch(on, wider(on, first(on, input))));
    graph.outputs.push_back(linear(on, nn::apply(on, nn::op::GlobalAveragePool{}, map)).node);
    const auto model = written(graph);
    CHECK(operators(model) == std::vector<std::string>{"Conv", "ConvTranspose", "BatchNormalization",
                                                       "InstanceNormalization", "GlobalAveragePool", "Flatten",
                                                       "Gemm"});
    CHECK(declared(model.graph().output(0)) == "output batch 7");
  }
}

TEST_CASE("A network that ends with a dropout, or does nothing, still has its output", "[unit]") {
  graph::Graph graph;
  graph::Recorder on(graph);
  const auto input = on.input({1, 2, 4, 4}, "input");
  graph.outputs = {nn::apply(on, nn::op::Dropout{}, input).node};
  CHECK(operators(written(graph)) == std::vector<std::string>{"Identity"});
  graph.outputs = {nn::apply(on, nn::op::Dropout{}, nn::apply(on, nn::op::Relu{}, input)).node};
  const auto model = written(graph);
  CHECK(operators(model) == std::vector<std::string>{"Relu"});
  CHECK(model.graph().node(0).output(0) == "output");
}

TEST_CASE("A map of another size than the input's has axes of its own", "[unit]") {
  CHECK(declared(written(network_of(nn::op::MaxPool{}, {{1, 2, 8, 6}})).graph().output(0)) ==
        "output batch 2 output_height output_width");
}

TEST_CASE("Weights that do not fit are refused by name", "[unit]") {
  const test::Folder folder;
  const auto graph = graph::record(small_unet(), {1, 1, 16, 16});
  const std::string path = folder / "m.onnx";
  const std::string name = "decoder.last_conv.weight";
  const auto refuses = [&](const auto& change, const std::string& what) {
    auto weights = initial_weights(graph.parameters);
    for (auto& tensor : weights.tensors)
      if (tensor.name == name) change(tensor);
    try {
      write_onnx(path, graph, weights);
      FAIL("weights that do not fit were written");
    } catch (const Error& error) {
      CHECK(error.exit_status() == 3);
      CHECK_THAT(error.what(), Contains(path) && Contains("decoder.last_conv.weight " + what));
    }
    CHECK(std::filesystem::is_empty(folder.path()));
  };
  refuses([](nn::WeightTensor& tensor) { tensor.name = "other"; }, "is not among the weights");
  refuses([](nn::WeightTensor& tensor) { tensor.shape.back() = 5; }, "has another shape than the network's, 1x4x3x3");
  refuses([](nn::WeightTensor& tensor) { tensor.bytes.pop_back(); }, "holds 143 bytes");
  refuses([](nn::WeightTensor& tensor) { tensor.type = nn::ElementType::int64; }, "is not float32");
}

TEST_CASE("What the checker refuses is not written, and the node is named", "[unit]") {
  const test::Folder folder;
  auto graph = network_of(nn::op::Relu{}, {{1, 2, 8, 8}});
  graph.nodes.push_back({nn::op::MaxPool{}, {1}, {1, 3, 4, 4}, "odd_pool"});  // a pooling keeps the channels
  graph.nodes.push_back({nn::op::Sigmoid{}, {2}, {1, 3, 4, 4}, "end"});
  graph.outputs = {3};
  try {
    write_onnx(folder / "m.onnx", graph, {});
    FAIL("a wrong graph was written");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 4);
    CHECK_THAT(error.what(), Contains("m.onnx") && Contains("checker") && Contains("odd_pool"));
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("Models over 2 GB are refused before anything is made", "[unit]") {
  graph::Graph graph;
  const nn::Linear linear(nn::Scope(graph.parameters).child("huge"), 40000, 40000);
  graph::Recorder on(graph);
  graph.outputs = {linear(on, on.input({1, 40000}, "input")).node};
  const test::Folder folder;
  try {
    write_onnx(folder / "m.onnx", graph, {});
    FAIL("a model of 6 GB was written");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 2);
    CHECK_THAT(error.what(), Contains("6400160000 bytes") && Contains("2 GB"));
  }
}

TEST_CASE("A graph needs one output, and no tensor may have the name of an input", "[unit]") {
  const test::Folder folder;
  auto graph = network_of(nn::op::Relu{}, {{1, 2, 8, 8}});
  graph.outputs.push_back(0);
  CHECK_THROWS_WITH(write_onnx(folder / "m.onnx", graph, {}), Contains("2 outputs"));
  graph.outputs.pop_back();
  graph.parameters.add({"output", {1}});
  CHECK_THROWS_WITH(write_onnx(folder / "m.onnx", graph, initial_weights(graph.parameters)), Contains("\"output\""));
}
