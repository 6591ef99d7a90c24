// What recorded networks cost, against counts by hand. No LibTorch.
#include <ivado/model/filmed_unet.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/nn/cost.hpp>
#include <ivado/nn/layers.hpp>

#include "../catch.hpp"

using namespace ivado;

namespace {

/// A graph of one operation, and the cost of it.
class OneOperation {
 public:
  template <class Operation>
  graph::Cost cost(const Operation& operation, const std::vector<Shape>& inputs) {
    graph_ = {};
    graph_.parameters = list;
    graph::Recorder on(graph_);
    std::vector<graph::Value> values;
    for (const auto& shape : inputs) values.push_back(on.input(shape));
    (void)on.apply(operation, values);
    return graph::total_cost(graph_);
  }
  nn::ParameterList list;

 private:
  graph::Graph graph_;
};

void check(const graph::Cost& cost, std::int64_t parameters, std::int64_t flops, std::int64_t elements) {
  CHECK(cost.parameters == parameters);
  CHECK(cost.flops == flops);
  CHECK(cost.activation_bytes == 4 * elements);
}

}  // namespace

TEST_CASE("A convolution costs two operations a multiply-add, and one for the bias", "[unit]") {
  OneOperation one;
  const nn::Scope scope(one.list);
  nn::ConvolutionOptions options;
  SECTION("2-D with a bias") {
    const nn::Convolution convolution(scope.child("c"), 2, 4, options);
    // 3·2·3·3 weights and a bias for each of 4 channels; each element of the output: 2·9 multiply-adds and the bias
    check(one.cost(convolution.operation(), {{3, 2, 5, 7}}), 4 * 18 + 4, 3 * 4 * 5 * 7 * (2 * 18 + 1), 3 * 4 * 5 * 7);
  }
  SECTION("2-D with a stride and without a bias") {
    options.stride = 2;
    options.bias = false;
    const nn::Convolution convolution(scope.child("c"), 2, 4, options);
    check(one.cost(convolution.operation(), {{1, 2, 8, 6}}), 4 * 18, 4 * 4 * 3 * 2 * 18, 4 * 4 * 3);
  }
  SECTION("3-D of one voxel") {
    options.dimension = 3;
    options.kernel = 1;
    const nn::Convolution convolution(scope.child("c"), 5, 1, options);
    check(one.cost(convolution.operation(), {{2, 5, 2, 3, 4}}), 6, 2 * 24 * 11, 2 * 24);
  }
  SECTION("3-D of 27 voxels") {
    options.dimension = 3;
    options.bias = false;
    const nn::Convolution convolution(scope.child("c"), 2, 3, options);
    check(one.cost(convolution.operation(), {{1, 2, 4, 4, 4}}), 3 * 54, 3 * 64 * 108, 3 * 64);
  }
}

TEST_CASE("Other operations cost what their windows and elements ask for", "[unit]") {
  OneOperation one;
  const nn::Scope scope(one.list);
  using namespace nn::op;
  SECTION("linear") {
    const nn::Linear linear(scope.child("l"), 10, 3);
    check(one.cost(linear.operation(), {{4, 10}}), 33, 4 * 3 * 21, 12);
  }
  SECTION("transposed convolution: each element of the output sees one voxel") {
    TransposedConvolution up;
    up.weight = scope.add("weight", {6, 3, 2, 2}, nn::Init::zeros);
    up.bias = scope.add("bias", {3}, nn::Init::zeros);
    up.in = 6;
    up.out = 3;
    check(one.cost(up, {{1, 6, 4, 5}}), 75, 3 * 8 * 10 * 13, 3 * 8 * 10);
  }
  SECTION("batch norm: a factor and an addend; buffers are no parameters") {
    const nn::Norm norm(scope.child("n"), nn::NormKind::batch, 4);
    check(one.cost(std::get<BatchNorm>(norm.operation()), {{2, 4, 3, 3}}), 8, 2 * 72, 72);
  }
  SECTION("poolings") {
    check(one.cost(MaxPool{}, {{1, 2, 8, 6}}), 0, 2 * 4 * 3 * 4, 2 * 4 * 3);
    check(one.cost(MaxPool{3, 2, 1}, {{1, 2, 8, 6}}), 0, 2 * 4 * 3 * 9, 2 * 4 * 3);
    check(one.cost(AveragePool{}, {{1, 2, 4, 4, 4}}), 0, 2 * 8 * 8, 2 * 8);
    check(one.cost(GlobalAveragePool{}, {{2, 3, 4, 5}}), 0, 2 * 3 * 20, 6);
  }
  SECTION("a linear resize: 3 multiply-adds in 2-D, 7 in 3-D") {
    check(one.cost(ResizeLike{}, {{1, 2, 2, 2}, {1, 5, 4, 6}}), 0, 48 * 6, 48);
    check(one.cost(ResizeLike{}, {{1, 2, 2, 2, 2}, {1, 1, 4, 4, 4}}), 0, 128 * 14, 128);
  }
  SECTION("numbers that are only moved cost nothing") {
    check(one.cost(Concat{}, {{1, 2, 3, 3}, {1, 4, 3, 3}}), 0, 0, 54);
    check(one.cost(Upsample{}, {{1, 2, 3, 3}}), 0, 0, 72);
    check(one.cost(Dropout{}, {{1, 2, 3, 3}}), 0, 0, 18);
    check(one.cost(SelectChannels{1, 1}, {{1, 2, 3, 3}}), 0, 0, 0);
  }
  SECTION("the rest by the element") {
    check(one.cost(Relu{}, {{1, 2, 3, 3}}), 0, 18, 18);
    check(one.cost(Add{}, {{1, 2, 3, 3}, {1, 2, 3, 3}}), 0, 18, 18);
    check(one.cost(Sigmoid{}, {{1, 2, 3, 3}}), 0, 72, 18);
    check(one.cost(Modulate{}, {{1, 2, 3, 3}, {1, 4}}), 0, 36, 18);
  }
}

TEST_CASE("A tensor counts where it is first used", "[unit]") {
  FiLMedUnet<2, 2>::Params params;
  params.n_filters = 2;
  const FiLMedUnet<2, 2> model(params, {1, 1, 2, 3});
  const graph::Graph graph = graph::record(model, {1, 1, 8, 8});
  CHECK(graph::total_cost(graph).parameters == model.parameters().trained_values());
  const auto costs = graph::node_costs(graph);
  std::vector<std::int64_t> first_linear;
  for (std::size_t i = 0; i < costs.size(); ++i)
    if (const auto* linear = std::get_if<nn::op::Linear>(&graph.nodes[i].op); linear != nullptr && linear->out == 64)
      first_linear.push_back(costs[i].parameters);
  CHECK(first_linear == std::vector<std::int64_t>{3 * 64 + 64, 64, 64, 64, 64, 64});
}

TEST_CASE("The forward of ivadomed's default batch is 338 GFLOP", "[unit]") {
  const graph::Cost cost = graph::total_cost(graph::record(Unet<2>(), {18, 1, 128, 128}));
  CHECK(cost.parameters == 4837249);  // reference/models.md: table of models
  // Convolutions, multiply-adds a pixel of full resolution with in·out channels and kernels of 9:
  // 1·64 + 64·64, a quarter of 64·128 + 128², a sixteenth of 128·256 + 256², a 64th of 2·256², then on the way up
  // a sixteenth of 512·256 + 256², a quarter of 384·128 + 128², 192·64 + 64² and 64·1.
  const double pixels = 18 * 128 * 128;
  const double products = 64 + 4096 + (8192 + 16384) / 4.0 + (32768 + 65536) / 16.0 + 131072 / 64.0 +
                          (131072 + 65536) / 16.0 + (49152 + 16384) / 4.0 + 12288 + 4096 + 64;
  CHECK(static_cast<double>(cost.flops) == Approx(pixels * products * 18).epsilon(0.01));
  CHECK(static_cast<double>(cost.flops) == Approx(338e9).epsilon(0.01));
}
