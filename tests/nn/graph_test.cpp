// The core of the library: one forward, and what the recorder makes of it.
#include <ivado/model/unet.hpp>
#include <ivado/nn/graph.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

std::size_t count(const graph::Graph& graph, std::string_view name) {
  std::size_t n = 0;
  for (const auto& node : graph.nodes) n += nn::op_name(node.op) == name ? 1U : 0U;
  return n;
}

}  // namespace

TEST_CASE("The graph of a Unet has the operations and shapes of its drawing", "[unit]") {
  using Model = Unet<2, 2, 1, 1>;
  Model::Params params;
  params.n_filters = 4;
  const graph::Graph graph = graph::record(Model(params), {3, 1, 20, 13});
  // Depth 2: 2 double blocks down, 1 at the bottom, 2 up, and the last convolution.
  CHECK(count(graph, "input") == 1);
  CHECK(count(graph, "convolution") == 11);
  CHECK(count(graph, "batch_norm") == 10);
  CHECK(count(graph, "relu") == 10);
  CHECK(count(graph, "dropout") == 10);
  CHECK(count(graph, "max_pool") == 2);
  CHECK(count(graph, "resize_like") == 2);
  CHECK(count(graph, "concat") == 2);
  CHECK(count(graph, "sigmoid") == 1);
  CHECK(graph.nodes.back().shape == Shape{3, 1, 20, 13});
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    for (const auto input : graph.nodes[i].inputs) REQUIRE(input < static_cast<std::int32_t>(i));
  for (const auto& node : graph.nodes)
    if (nn::op_name(node.op) == "max_pool") CHECK((node.shape[2] == 10 || node.shape[2] == 5));
}

TEST_CASE("A 3-D Unet has instance norms and rank-5 shapes", "[unit]") {
  using Model = Unet<3, 1>;
  Model::Params params;
  params.n_filters = 2;
  const graph::Graph graph = graph::record(Model(params), {1, 1, 6, 5, 4});
  CHECK(count(graph, "instance_norm") == 6);
  CHECK(count(graph, "batch_norm") == 0);
  CHECK(graph.nodes.back().shape == Shape{1, 1, 6, 5, 4});
}

TEST_CASE("Inputs that do not suit the network are refused when it is recorded", "[unit]") {
  const Unet<2> model;
  CHECK_THROWS_WITH(graph::record(model, {1, 2, 32, 32}),
                    Contains("convolution") && Contains("1x2x32x32") && Contains("1 channels"));
  CHECK_THROWS_WITH(graph::record(model, {1, 1, 32, 32, 32}), Contains("convolution"));
  CHECK_THROWS_WITH(graph::record(model, {1, 1, 4, 32}), Contains("max_pool") && Contains("too small"));
}

TEST_CASE("A graph runs on any interpreter: recording it again gives the same graph", "[unit]") {
  const Unet<2, 3, 2, 2> model;
  const Shape shape{1, 2, 24, 24};
  const graph::Graph first = graph::record(model, shape);
  graph::Graph second;
  graph::Recorder recorder(second);
  const graph::Value input = recorder.input(shape);
  (void)graph::run(first, recorder, std::span<const graph::Value>(&input, 1));
  REQUIRE(second.nodes.size() == first.nodes.size());
  for (std::size_t i = 0; i < first.nodes.size(); ++i) {
    CHECK(nn::op_name(second.nodes[i].op) == nn::op_name(first.nodes[i].op));
    CHECK(second.nodes[i].inputs == first.nodes[i].inputs);
    CHECK(second.nodes[i].shape == first.nodes[i].shape);
  }
}
