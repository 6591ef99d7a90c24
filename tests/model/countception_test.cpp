// Countception's structure: names, shapes and counts of ivadomed's state dictionary. No LibTorch.
#include <cmath>
#include <ivado/config/params.hpp>
#include <ivado/model/countception.hpp>
#include <map>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
std::map<std::string, nn::ParameterSpec> by_name(const nn::ParameterList& list) {
  std::map<std::string, nn::ParameterSpec> out;
  for (const auto& spec : list) out.emplace(spec.name, spec);
  return out;
}
}  // namespace

TEST_CASE("Countception has the parameters of ivadomed's", "[unit]") {
  const Countception<3> model;
  CHECK(model.parameters().trained_values() == 6561195);  // reference/models.md: table of models
  CHECK(model.parameters().size() == 168);
  CHECK(model.parameters().layers().size() == 48);  // 24 convolutions and their norms
  const auto found = by_name(model.parameters());
  CHECK(found.at("conv1.conv1.weight").shape == Shape{64, 3, 3, 3});
  CHECK(found.at("conv1.batch_norm.running_var").shape == Shape{64});
  CHECK(found.at("simple1.conv3.conv1.weight").shape == Shape{16, 64, 9, 9});
  CHECK(found.at("simple2.conv2.conv1.weight").shape == Shape{32, 48, 5, 5});
  CHECK(found.at("conv2.conv1.weight").shape == Shape{16, 80, 14, 14});
  CHECK(found.at("simple3.conv1.conv1.weight").shape == Shape{112, 16, 3, 3});
  CHECK(found.at("simple6.conv3.batch_norm.weight").shape == Shape{96});
  CHECK(found.at("conv3.conv1.weight").shape == Shape{32, 224, 20, 20});
  CHECK(found.at("conv4.conv1.weight").shape == Shape{64, 32, 10, 10});
  CHECK(found.at("conv5.conv1.weight").shape == Shape{32, 64, 9, 9});
  CHECK(found.at("conv6.conv1.weight").shape == Shape{1, 32, 20, 20});
  CHECK(found.at("conv6.conv1.bias").shape == Shape{1});
  CHECK(found.at("conv6.batch_norm.num_batches_tracked").role == nn::Role::counter);
}

TEST_CASE("Countception's convolutions start as Glorot and Bengio's with a gain", "[unit]") {
  const auto found = by_name(Countception<3>().parameters());
  const auto& init = found.at("conv1.conv1.weight").init;
  CHECK(init.kind == nn::Init::xavier_uniform);
  CHECK(init.fan == (3 + 64) * 9);
  CHECK(init.gain == Approx(1.41414286).epsilon(1e-8));
  CHECK(found.at("conv6.conv1.weight").init.gain == init.gain);
  CHECK(found.at("conv1.conv1.bias").init.kind == nn::Init::fan_in_uniform);
  const double bound = init.gain * std::sqrt(6.0 / ((3 + 64) * 9));
  double largest = 0;
  for (const float value : nn::initial_values(found.at("conv1.conv1.weight"), 0, 1))
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  CHECK(largest <= bound);
  CHECK(largest > 0.99 * bound);
}

TEST_CASE("Countception's maps have the sizes of its drawing, its output that of the input", "[unit]") {
  const graph::Graph graph = graph::record(Countception<3>(), {2, 3, 24, 31});
  std::map<std::string, graph::Node> nodes;
  for (const auto& node : graph.nodes) nodes.emplace(node.name, node);
  CHECK(nodes.at("conv1.conv1").shape == Shape{2, 64, 24 + 78, 31 + 78});
  CHECK(nodes.at("simple1.conv1.conv1").shape == Shape{2, 16, 24 + 76, 31 + 76});
  CHECK(nodes.at("simple2.conv3.conv1").shape == Shape{2, 32, 24 + 74, 31 + 74});
  CHECK(nodes.at("conv2.conv1").shape == Shape{2, 16, 24 + 61, 31 + 61});
  CHECK(nodes.at("simple6.conv2.conv1").shape == Shape{2, 96, 24 + 53, 31 + 53});
  CHECK(nodes.at("conv3.conv1").shape == Shape{2, 32, 24 + 34, 31 + 34});
  CHECK(nodes.at("conv4.conv1").shape == Shape{2, 64, 24 + 25, 31 + 25});
  CHECK(nodes.at("conv5.conv1").shape == Shape{2, 32, 24 + 17, 31 + 17});
  CHECK(graph.nodes.back().shape == Shape{2, 1, 24, 31});
  CHECK(graph::record(Countception<>(), {1, 1, 1, 1}).nodes.back().shape == Shape{1, 1, 1, 1});
}

TEST_CASE("Countception's last slope is 0.3, the others 0.01", "[unit]") {
  std::vector<double> slopes;
  for (const auto& node : graph::record(Countception<>(), {1, 1, 8, 8}).nodes)
    if (const auto* activation = std::get_if<nn::op::LeakyRelu>(&node.op)) slopes.push_back(activation->slope);
  REQUIRE(slopes.size() == 24);
  CHECK(slopes.back() == 0.3);
  for (std::size_t i = 0; i + 1 < slopes.size(); ++i) CHECK(slopes[i] == 0.01);
}

TEST_CASE("Countception has as many channels as classes and refuses what its type has not", "[unit]") {
  const Countception<dynamic, dynamic> open({}, {2, 4});
  const auto found = by_name(open.parameters());
  CHECK(found.at("conv1.conv1.weight").shape == Shape{64, 2, 3, 3});
  CHECK(found.at("conv6.batch_norm.bias").shape == Shape{4});
  CHECK(graph::record(open, {1, 2, 16, 16}).nodes.back().shape == Shape{1, 4, 16, 16});
  CHECK_THROWS_WITH((Countception<3>({}, {1, 1})), Contains("Countception") && Contains("input channels 1"));
  CHECK_THROWS_WITH((Countception<1, 2>({}, {1, 1})), Contains("classes 1"));
  CHECK_THROWS_WITH(graph::record(Countception<3>(), {1, 1, 16, 16}), Contains("1x1x16x16") && Contains("3 channels"));
}

TEST_CASE("Countception is good for key points alone", "[unit]") {
  STATIC_REQUIRE(Countception<>::tasks.meets(Task::keypoints));
  STATIC_REQUIRE(!Countception<>::tasks.meets(Task::segmentation));
  STATIC_REQUIRE(!Countception<>::tasks.meets(Task::classification));
}

TEST_CASE("Countception's parameters reach its layers", "[unit]") {
  const auto params = from_json<CountceptionParams>(Json{{"bn_momentum", 0.4}}, "default_model");
  std::size_t norms = 0;
  for (const auto& node : graph::record(Countception<>(params), {1, 1, 8, 8}).nodes)
    if (const auto* norm = std::get_if<nn::op::BatchNorm>(&node.op)) {
      ++norms;
      CHECK(norm->momentum == 0.4);
    }
  CHECK(norms == 24);
}
