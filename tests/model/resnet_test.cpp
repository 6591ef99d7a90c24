// The ResNets' structure: names, shapes and counts of the state dictionaries of ivadomed and torchvision. No LibTorch.
#include <cmath>
#include <ivado/config/params.hpp>
#include <ivado/model/resnet.hpp>
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
template <int Layers>
void check_torchvision(std::int64_t values, std::size_t entries) {
  CAPTURE(Layers);
  const ResNet<Layers, 3, 999> model;  // 1000 outputs with the background
  CHECK(model.parameters().trained_values() == values);
  CHECK(model.parameters().size() == entries);
  CHECK(ResNet<Layers>::name == "resnet" + std::to_string(Layers));
}
}  // namespace

TEST_CASE("ResNet of 18 layers has the parameters of ivadomed's", "[unit]") {
  const ResNet<> model;
  CHECK(ResNet<>::name == "resnet18");
  CHECK(model.parameters().trained_values() == 11171266);  // reference/models.md: table of models
  CHECK(model.parameters().size() == 122);
  const auto found = by_name(model.parameters());
  CHECK(found.at("conv1.weight").shape == Shape{64, 1, 7, 7});
  CHECK(!found.contains("conv1.bias"));
  CHECK(found.at("bn1.running_var").shape == Shape{64});
  CHECK(found.at("layer1.0.conv1.weight").shape == Shape{64, 64, 3, 3});
  CHECK(!found.contains("layer1.0.downsample.0.weight"));
  CHECK(found.at("layer2.0.conv1.weight").shape == Shape{128, 64, 3, 3});
  CHECK(found.at("layer2.0.downsample.0.weight").shape == Shape{128, 64, 1, 1});
  CHECK(found.at("layer4.0.downsample.1.num_batches_tracked").role == nn::Role::counter);
  CHECK(found.at("layer4.1.conv2.weight").shape == Shape{512, 512, 3, 3});
  CHECK(found.at("fc.weight").shape == Shape{2, 512});
  CHECK(found.at("fc.bias").shape == Shape{2});
}

TEST_CASE("The other ResNets have the parameters of torchvision's", "[unit]") {
  check_torchvision<18>(11689512, 122);
  check_torchvision<34>(21797672, 218);
  check_torchvision<50>(25557032, 320);
  check_torchvision<101>(44549160, 626);
  check_torchvision<152>(60192808, 932);
  const auto found = by_name(ResNet<50>().parameters());
  CHECK(found.at("layer1.0.conv1.weight").shape == Shape{64, 64, 1, 1});
  CHECK(found.at("layer1.0.conv3.weight").shape == Shape{256, 64, 1, 1});
  CHECK(found.at("layer1.0.downsample.0.weight").shape == Shape{256, 64, 1, 1});
  CHECK(found.at("layer4.2.conv2.weight").shape == Shape{512, 512, 3, 3});
  CHECK(found.at("layer4.2.bn3.weight").shape == Shape{2048});
}

TEST_CASE("The layers of ResNet come in torchvision's order: what transfer learning counts", "[unit]") {
  const ResNet<> model;
  const auto layers = model.parameters().layers();  // reference/models.md: section 9
  REQUIRE(layers.size() == 41);
  const auto at = [&](std::size_t i) { return std::string(model.parameters()[layers[i]].layer()); };
  CHECK(at(31) == "layer4.0.bn1");
  CHECK(at(20) == "layer3.0.conv1");
  CHECK(at(10) == "layer2.0.conv1");
  CHECK(at(14) == "layer2.0.downsample.0");
}

TEST_CASE("ResNet's convolutions start normal with fan-out, its linear layer as PyTorch's", "[unit]") {
  const auto found = by_name(ResNet<18, 3>().parameters());
  CHECK(found.at("conv1.weight").init.kind == nn::Init::kaiming_normal);
  CHECK(found.at("conv1.weight").init.fan == 64 * 49);
  CHECK(found.at("layer2.0.downsample.0.weight").init.fan == 128);
  CHECK(found.at("fc.bias").init.kind == nn::Init::fan_in_uniform);
  CHECK(found.at("fc.bias").init.fan == 512);
  const auto& spec = found.at("layer1.0.conv1.weight");
  double squares = 0;
  for (const float value : nn::initial_values(spec, 6, 1)) squares += static_cast<double>(value) * value;
  CHECK(std::sqrt(squares / static_cast<double>(spec.shape.size())) == Approx(std::sqrt(2.0 / 576)).epsilon(0.02));
}

TEST_CASE("The graph of a ResNet halves its maps five times, on the 3x3 convolutions", "[unit]") {
  const graph::Graph graph = graph::record(ResNet<50>(), {2, 1, 64, 48});
  std::map<std::string, graph::Node> nodes;
  for (const auto& node : graph.nodes) nodes.emplace(node.name, node);
  CHECK(nodes.at("conv1").shape == Shape{2, 64, 32, 24});
  CHECK(nodes.at("layer1.2.conv3").shape == Shape{2, 256, 16, 12});
  CHECK(nodes.at("layer2.0.conv1").shape == Shape{2, 128, 16, 12});
  CHECK(nodes.at("layer2.0.conv2").shape == Shape{2, 128, 8, 6});
  CHECK(nodes.at("layer4.0.downsample.0").shape == Shape{2, 2048, 2, 2});
  CHECK(nodes.at("fc").shape == Shape{2, 2});
  CHECK(graph.nodes.back().shape == Shape{2, 1});
  CHECK(graph::record(ResNet<>(), {1, 1, 1, 1}).nodes.back().shape == Shape{1, 1});
}

TEST_CASE("ResNet takes channels and classes at run time and refuses what its type has not", "[unit]") {
  const ResNet<34, dynamic, dynamic> open({}, {2, 4});
  const auto found = by_name(open.parameters());
  CHECK(found.at("conv1.weight").shape == Shape{64, 2, 7, 7});
  CHECK(found.at("fc.weight").shape == Shape{5, 512});
  CHECK(graph::record(open, {3, 2, 40, 40}).nodes.back().shape == Shape{3, 4});
  CHECK_THROWS_WITH((ResNet<18>({}, {2, 1})), Contains("resnet18") && Contains("input channels 2"));
  CHECK_THROWS_WITH((ResNet<50, 1, 2>({}, {1, 3})), Contains("resnet50") && Contains("classes 3"));
  CHECK_THROWS_WITH(graph::record(ResNet<>(), {1, 3, 64, 64}), Contains("1x3x64x64") && Contains("1 channels"));
  CHECK_THROWS_WITH(graph::record(ResNet<>(), {1, 1, 32, 32, 32}), Contains("2 spatial axes"));
}

TEST_CASE("ResNet's parameters reach its layers", "[unit]") {
  const auto params = from_json<ResNetParams>(Json{{"bn_momentum", 0.4}, {"fc_dropout_rate", 0.5}}, "default_model");
  double largest_rate = 0;
  for (const auto& node : graph::record(ResNet<>(params), {1, 1, 32, 32}).nodes) {
    if (const auto* norm = std::get_if<nn::op::BatchNorm>(&node.op)) CHECK(norm->momentum == 0.4);
    if (const auto* dropout = std::get_if<nn::op::Dropout>(&node.op)) {
      largest_rate = std::max(largest_rate, dropout->rate);
      if (dropout->rate > 0) CHECK(node.shape == Shape{1, 512});
    }
  }
  CHECK(largest_rate == 0.5);
  CHECK_THROWS_WITH(from_json<ResNetParams>(Json{{"fc_dropout_rate", 1}}, "default_model"),
                    Contains("fc_dropout_rate"));
}
