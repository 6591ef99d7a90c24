// The structure of ResidualUnet: shapes of all predictions, blocks a stage, counts. No LibTorch.
#include <algorithm>
#include <ivado/model/residual_unet.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

const nn::ParameterSpec* find(const nn::ParameterList& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& spec) { return spec.name == name; });
  return found == list.end() ? nullptr : &*found;
}

Shape shape_of(const nn::ParameterList& list, const std::string& name) {
  const auto* const spec = find(list, name);
  return spec == nullptr ? Shape{} : spec->shape;
}

std::ptrdiff_t count(const graph::Graph& graph, std::string_view name) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const auto& node) { return nn::op_name(node.op) == name; });
}

/// Shapes of the outputs of a forward with deep supervision.
template <class Model>
std::vector<Shape> supervised(const Model& model, const Shape& input) {
  graph::Graph graph;
  graph.parameters = model.parameters();
  graph::Recorder recorder(graph);
  std::vector<Shape> out;
  for (const auto& value : model.forward_supervised(recorder, recorder.input(input))) out.push_back(value.shape());
  return out;
}

}  // namespace

TEST_CASE("A small ResidualUnet has the tensors of its drawing", "[unit]") {
  ResidualUnet<2>::Params params;
  params.n_filters = 2;
  params.max_filters = 4;
  params.blocks = {1, 2, 1};
  const ResidualUnet<2> model(params, {1, 1, 2});
  // Counted by hand, convolutions and two values a channel for each norm:
  // stem 2·1·9 + 4; stage 0: 2·(2·2·9 + 4); stage 1, block 0: 4·2·9 + 8, 4·4·9 + 8, projection 4·2 + 8, block 1:
  // 2·(4·4·9 + 8); stage 2: 2·(4·4·9 + 8), no projection where the width stays; up 1: 4·4·4 + 4, 4·8·9 + 8; up 0:
  // 4·2·4 + 2, 2·4·9 + 4; head 2 + 1.
  CHECK(model.parameters().trained_values() == 22 + 80 + (80 + 152 + 16 + 304) + 304 + (68 + 296) + (34 + 76) + 3);
  const auto& list = model.parameters();
  CHECK(shape_of(list, "stem.conv.weight") == Shape{2, 1, 3, 3});
  CHECK(shape_of(list, "encoder.1.0.conv1.weight") == Shape{4, 2, 3, 3});
  CHECK(shape_of(list, "encoder.1.0.projection.weight") == Shape{4, 2, 1, 1});
  CHECK(shape_of(list, "encoder.1.1.norm2.bias") == Shape{4});
  CHECK(find(list, "encoder.1.1.projection.weight") == nullptr);
  CHECK(find(list, "encoder.2.0.projection.weight") == nullptr);
  CHECK(find(list, "encoder.1.2.conv1.weight") == nullptr);
  CHECK(shape_of(list, "decoder.0.up.weight") == Shape{4, 2, 2, 2});
  CHECK(shape_of(list, "decoder.1.conv.weight") == Shape{4, 8, 3, 3});
  CHECK(shape_of(list, "heads.0.weight") == Shape{1, 2, 1, 1});
  CHECK(find(list, "heads.1.weight") == nullptr);
}

TEST_CASE("Stages have nnU-Net's numbers of blocks and channels", "[unit]") {
  const ResidualUnet<3> volumes({}, {1, 1, 5});
  CHECK(volumes.params().blocks == std::vector<int>{1, 3, 4, 6, 6, 6});
  CHECK(shape_of(volumes.parameters(), "encoder.3.5.conv2.weight") == Shape{256, 256, 3, 3, 3});
  CHECK(shape_of(volumes.parameters(), "encoder.4.0.conv1.weight") == Shape{320, 256, 3, 3, 3});
  CHECK(shape_of(volumes.parameters(), "encoder.5.0.conv1.weight") == Shape{320, 320, 3, 3, 3});
  CHECK(shape_of(volumes.parameters(), "decoder.4.up.weight") == Shape{320, 320, 2, 2, 2});
  const ResidualUnet<2> slices({}, {1, 1, 7});
  CHECK(slices.params().blocks == std::vector<int>{1, 3, 4, 6, 6, 6, 6, 6});
  CHECK(shape_of(slices.parameters(), "encoder.7.0.conv1.weight") == Shape{512, 512, 3, 3});
  CHECK(ResidualUnet<3>().params().blocks.size() == 5);  // depth 4 by default
}

TEST_CASE("Each stage up but the two lowest resolutions gives a prediction of its size", "[unit]") {
  using Model = ResidualUnet<3, 1, 2>;
  Model::Params params;
  params.n_filters = 2;
  params.blocks = {1, 1, 1, 1, 1};
  const Model model(params, {1, 2, 4});
  CHECK(supervised(model, {3, 1, 32, 16, 48}) ==
        std::vector<Shape>{{3, 2, 32, 16, 48}, {3, 2, 16, 8, 24}, {3, 2, 8, 4, 12}});
  CHECK(graph::record(model, {3, 1, 32, 16, 48}).nodes.back().shape == Shape{3, 2, 32, 16, 48});
  using Open = ResidualUnet<2, dynamic, dynamic>;
  Open::Params open;
  open.n_filters = 1;
  const int depth = GENERATE(1, 2, 3, 5);
  const auto outputs = supervised(Open(open, {2, 1, depth}), {1, 2, 64, 96});
  REQUIRE(outputs.size() == static_cast<std::size_t>(std::max(1, depth - 1)));
  for (std::size_t i = 0; i < outputs.size(); ++i) CHECK(outputs[i] == Shape{1, 1, 64 >> i, 96 >> i});
}

TEST_CASE("The prediction is the first of those for deep supervision", "[unit]") {
  ResidualUnet<2>::Params params;
  params.n_filters = 1;
  params.final_activation = GENERATE(FinalActivation::sigmoid, FinalActivation::softmax, FinalActivation::relu);
  params.background = true;
  const ResidualUnet<2> model(params, {1, 1, 3});
  graph::Graph graph;
  graph.parameters = model.parameters();
  graph::Recorder recorder(graph);
  const auto outputs = model.forward_supervised(recorder, recorder.input({1, 1, 16, 16}));
  const auto alone = graph::record(model, {1, 1, 16, 16});
  REQUIRE(outputs.size() == 2);
  // Up to the first output both graphs are one.
  REQUIRE(outputs[0].node == alone.outputs[0]);
  for (std::size_t i = 1; i < alone.nodes.size(); ++i) {
    REQUIRE(graph.nodes[i].name == alone.nodes[i].name);
    REQUIRE(graph.nodes[i].inputs == alone.nodes[i].inputs);
  }
  CHECK(count(graph, "select_channels") == 2);
}

TEST_CASE("The graph of a ResidualUnet has the operations of its drawing", "[unit]") {
  ResidualUnet<3>::Params params;
  params.n_filters = 2;
  params.blocks = {1, 2, 1};
  const auto graph = graph::record(ResidualUnet<3>(params, {1, 1, 2}), {1, 1, 8, 16, 4});
  CHECK(count(graph, "convolution") == 1 + 2 * 4 + 2 + 2 + 1);  // stem, blocks, projections, way up, head
  CHECK(count(graph, "instance_norm") == 1 + 2 * 4 + 2 + 2);
  CHECK(count(graph, "average_pool") == 2);
  CHECK(count(graph, "transposed_convolution") == 2);
  CHECK(count(graph, "add") == 4);
  CHECK(count(graph, "concat") == 2);
}

TEST_CASE("Sizes that are no multiple of the divisor are refused by ResidualUnet", "[unit]") {
  ResidualUnet<2>::Params params;
  params.n_filters = 1;
  const ResidualUnet<2> model(params, {1, 1, 3});
  CHECK(model.divisor() == 8);
  const int size = GENERATE(9, 12, 17, 20, 31);
  CHECK_THROWS_WITH(graph::record(model, {1, 1, 16, size}), Contains("building the network") && Contains("add"));
  CHECK_THROWS_WITH(graph::record(model, {1, 1, 8, 8}), Contains("instance_norm") && Contains("single voxel"));
  CHECK(graph::record(model, {1, 1, 8, 16}).nodes.back().shape == Shape{1, 1, 8, 16});
}

TEST_CASE("What does not fit together is refused by ResidualUnet", "[unit]") {
  CHECK_THROWS_WITH((ResidualUnet<2>({}, {2, 1, 3})), Contains("input channels 2"));
  CHECK_THROWS_WITH((ResidualUnet<2>({}, {1, 2, 3})), Contains("classes 2"));
  CHECK_THROWS_WITH((ResidualUnet<2>({}, {1, 1, 0})), Contains("depth 0"));
  CHECK_THROWS_WITH((ResidualUnet<2>({}, {1, 1, 11})), Contains("depth 11"));
  ResidualUnet<2>::Params params;
  params.blocks = {1, 2, 3};
  CHECK_THROWS_WITH((ResidualUnet<2>(params, {1, 1, 3})), Contains("3 entries") && Contains("4 stages"));
  CHECK_THROWS_WITH(from_json<ResidualUnet<2>::Params>(Json{{"blocks", {1, 0}}}, ""), Contains("blocks"));
  CHECK(from_json<ResidualUnet<2>::Params>(Json::object(), "").max_filters == 512);
  CHECK(from_json<ResidualUnet<3>::Params>(Json::object(), "").max_filters == 320);
}

TEST_CASE("Dropout is off in ResidualUnet unless it is asked for", "[unit]") {
  ResidualUnet<2>::Params params;
  params.n_filters = 1;
  params.dropout_rate = GENERATE(0.0, 0.25);
  const auto graph = graph::record(ResidualUnet<2>(params, {1, 1, 1}), {1, 1, 8, 8});
  for (const auto& node : graph.nodes)
    if (const auto* dropout = std::get_if<nn::op::Dropout>(&node.op)) CHECK(dropout->rate == params.dropout_rate);
  CHECK(count(graph, "dropout") > 0);
}
