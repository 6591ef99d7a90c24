// The DenseNets' structure: names, shapes and counts of the state dictionaries of ivadomed and torchvision.
// No LibTorch.
#include <ivado/config/params.hpp>
#include <ivado/model/densenet.hpp>
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
  const DenseNet<Layers, 3, 999> model;  // 1000 outputs with the background
  CHECK(model.parameters().trained_values() == values);
  CHECK(model.parameters().size() == entries);
  CHECK(DenseNet<Layers>::name == "densenet" + std::to_string(Layers));
}
/// Trained tensors before layer number `first`.
std::size_t trained_before(const nn::ParameterList& list, std::size_t first) {
  const nn::ParameterId end = list.layers()[first];
  std::size_t count = 0;
  for (nn::ParameterId i = 0; i < end; ++i) count += list[i].role == nn::Role::weight ? 1U : 0U;
  return count;
}
}  // namespace

TEST_CASE("DenseNet of 121 layers has the parameters of ivadomed's", "[unit]") {
  const DenseNet<> model;
  CHECK(DenseNet<>::name == "densenet121");
  CHECK(model.parameters().trained_values() == 6949634);  // reference/models.md: table of models
  CHECK(model.parameters().size() == 727);
  const auto found = by_name(model.parameters());
  CHECK(found.at("features.conv0.weight").shape == Shape{64, 1, 7, 7});
  CHECK(found.at("features.norm0.running_mean").shape == Shape{64});
  CHECK(found.at("features.denseblock1.denselayer1.norm1.weight").shape == Shape{64});
  CHECK(found.at("features.denseblock1.denselayer6.conv1.weight").shape == Shape{128, 224, 1, 1});
  CHECK(found.at("features.denseblock4.denselayer16.norm2.bias").shape == Shape{128});
  CHECK(found.at("features.denseblock4.denselayer16.conv2.weight").shape == Shape{32, 128, 3, 3});
  CHECK(!found.contains("features.denseblock4.denselayer16.conv2.bias"));
  CHECK(found.at("features.transition3.conv.weight").shape == Shape{512, 1024, 1, 1});
  CHECK(!found.contains("features.transition4.conv.weight"));
  CHECK(found.at("features.norm5.num_batches_tracked").role == nn::Role::counter);
  CHECK(found.at("classifier.weight").shape == Shape{2, 1024});
  CHECK(found.at("classifier.bias").shape == Shape{2});
}

TEST_CASE("The other DenseNets have the parameters of torchvision's", "[unit]") {
  check_torchvision<121>(7978856, 727);
  check_torchvision<161>(28681000, 967);
  check_torchvision<169>(14149480, 1015);
  check_torchvision<201>(20013928, 1207);
  const auto found = by_name(DenseNet<161>().parameters());
  CHECK(found.at("features.conv0.weight").shape == Shape{96, 1, 7, 7});
  CHECK(found.at("features.denseblock1.denselayer1.conv1.weight").shape == Shape{192, 96, 1, 1});
  CHECK(found.at("features.denseblock4.denselayer24.conv2.weight").shape == Shape{48, 192, 3, 3});
  CHECK(found.at("classifier.weight").shape == Shape{2, 2208});
}

TEST_CASE("The layers of DenseNet come in torchvision's order: what transfer learning counts", "[unit]") {
  const DenseNet<> model;
  const auto& list = model.parameters();
  REQUIRE(list.layers().size() == 242);  // reference/models.md: section 9
  CHECK(trained_before(list, 182) == 273);
  CHECK(trained_before(list, 121) == 182);
  CHECK(trained_before(list, 60) == 90);
  CHECK(list[6].name == "features.denseblock1.denselayer1.norm1.weight");
  CHECK(list[11].name == "features.denseblock1.denselayer1.conv1.weight");
}

TEST_CASE("DenseNet's convolutions start normal with fan-in, the classifier's bias at 0", "[unit]") {
  const auto found = by_name(DenseNet<121, 3>().parameters());
  CHECK(found.at("features.conv0.weight").init.kind == nn::Init::kaiming_normal);
  CHECK(found.at("features.conv0.weight").init.fan == 3 * 49);
  CHECK(found.at("features.denseblock1.denselayer1.conv2.weight").init.fan == 128 * 9);
  CHECK(found.at("classifier.weight").init.kind == nn::Init::fan_in_uniform);
  CHECK(found.at("classifier.weight").init.fan == 1024);
  CHECK(found.at("classifier.bias").init.kind == nn::Init::zeros);
}

TEST_CASE("The graph of a DenseNet halves its maps five times and drops single elements", "[unit]") {
  const graph::Graph graph = graph::record(DenseNet<>(), {2, 1, 64, 48});
  std::map<std::string, graph::Node> nodes;
  std::size_t dropouts = 0;
  for (const auto& node : graph.nodes) {
    nodes.emplace(node.name, node);
    const auto* dropout = std::get_if<nn::op::Dropout>(&node.op);
    if (dropout == nullptr || dropout->rate == 0) continue;
    ++dropouts;
    CHECK(dropout->rate == 0.3);
    CHECK(!dropout->whole_channels);
    CHECK(node.shape[1] == 32);
  }
  CHECK(dropouts == 58);
  CHECK(nodes.at("features.conv0").shape == Shape{2, 64, 32, 24});
  CHECK(nodes.at("features.denseblock1.denselayer1.norm1").shape == Shape{2, 64, 16, 12});
  CHECK(nodes.at("features.transition1.conv").shape == Shape{2, 128, 16, 12});
  CHECK(nodes.at("features.denseblock2.denselayer1.norm1").shape == Shape{2, 128, 8, 6});
  CHECK(nodes.at("features.norm5").shape == Shape{2, 1024, 2, 1});
  CHECK(nodes.at("classifier").shape == Shape{2, 2});
  CHECK(graph.nodes.back().shape == Shape{2, 1});
}

TEST_CASE("DenseNet refuses inputs that vanish on the way", "[unit]") {
  CHECK_THROWS_WITH(graph::record(DenseNet<>(), {1, 1, 16, 16}), Contains("average_pool") && Contains("too small"));
  CHECK_THROWS_WITH(graph::record(DenseNet<>(), {1, 1, 28, 64}), Contains("average_pool") && Contains("too small"));
  CHECK(graph::record(DenseNet<>(), {1, 1, 29, 29}).nodes.back().shape == Shape{1, 1});
  CHECK_THROWS_WITH(graph::record(DenseNet<>(), {1, 3, 64, 64}), Contains("1x3x64x64") && Contains("1 channels"));
}

TEST_CASE("DenseNet takes channels and classes at run time and refuses what its type has not", "[unit]") {
  const DenseNet<169, dynamic, dynamic> open({}, {2, 4});
  const auto found = by_name(open.parameters());
  CHECK(found.at("features.conv0.weight").shape == Shape{64, 2, 7, 7});
  CHECK(found.at("classifier.weight").shape == Shape{5, 1664});
  CHECK(graph::record(open, {3, 2, 40, 40}).nodes.back().shape == Shape{3, 4});
  CHECK_THROWS_WITH((DenseNet<121>({}, {2, 1})), Contains("densenet121") && Contains("input channels 2"));
  CHECK_THROWS_WITH((DenseNet<201, 1, 2>({}, {1, 3})), Contains("densenet201") && Contains("classes 3"));
}

TEST_CASE("DenseNet's parameters reach its layers", "[unit]") {
  const auto params = from_json<DenseNetParams>(Json{{"bn_momentum", 0.4}, {"dropout_rate", 0}}, "default_model");
  std::size_t norms = 0;
  for (const auto& node : graph::record(DenseNet<>(params), {1, 1, 32, 32}).nodes) {
    if (const auto* norm = std::get_if<nn::op::BatchNorm>(&node.op)) {
      ++norms;
      CHECK(norm->momentum == 0.4);
    }
    if (const auto* dropout = std::get_if<nn::op::Dropout>(&node.op)) CHECK(dropout->rate == 0);
  }
  CHECK(norms == 121);
  CHECK_THROWS_WITH(from_json<DenseNetParams>(Json{{"dropout_rate", 1}}, "default_model"), Contains("dropout_rate"));
}
