// The structure of HeMISUnet: ivadomed's names and counts, fused maps, and what is refused. No LibTorch; what it
// computes is in model_laws_test.cpp.
#include <algorithm>
#include <ivado/model/any_model.hpp>
#include <ivado/model/hemis_unet.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

const nn::ParameterSpec* find(const nn::ParameterList& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& spec) { return spec.name == name; });
  return found == list.end() ? nullptr : &*found;
}

Shape shape_of(const nn::ParameterList& list, const std::string& name) {
  const auto* spec = find(list, name);
  return spec == nullptr ? Shape{} : spec->shape;
}

std::ptrdiff_t count(const graph::Graph& graph, std::string_view name) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const auto& node) { return nn::op_name(node.op) == name; });
}

}  // namespace

TEST_CASE("HeMIS of two contrasts has the parameters of ivadomed's", "[unit]") {
  HeMISUnet<2>::Params params;
  params.contrasts = {"T1w", "T2w"};
  const HeMISUnet<2> model(params, {2, 1, 3});
  const auto& list = model.parameters();
  CHECK(list.trained_values() == 8528449);  // reference/models.md: table of models
  CHECK(list.size() == 156);
  CHECK(std::count_if(list.begin(), list.end(), [](const auto& spec) { return spec.role == nn::Role::weight; }) == 90);
  // section 4
  CHECK(list[0].name == "Encoder_mod.Encoder_T1w.down_path.0.conv1.weight");
  CHECK(list[0].shape == Shape{64, 1, 3, 3});
  CHECK(shape_of(list, "Encoder_mod.Encoder_T2w.conv_bottom.conv2.weight") == Shape{256, 256, 3, 3});
  CHECK(shape_of(list, "decoder.up_path.0.downconv.conv1.weight") == Shape{256, 1024, 3, 3});
  CHECK(shape_of(list, "decoder.up_path.2.downconv.conv1.weight") == Shape{128, 512, 3, 3});
  CHECK(shape_of(list, "decoder.up_path.4.downconv.conv1.weight") == Shape{64, 256, 3, 3});
  CHECK(list[static_cast<nn::ParameterId>(list.size() - 1)].name == "decoder.last_conv.bias");
}

TEST_CASE("Every level of HeMIS is fused to mean and variance of its contrasts", "[unit]") {
  HeMISUnet<3, 2, 3>::Params params;
  params.n_filters = 2;
  const HeMISUnet<3, 2, 3> model(params, {3, 1, 2});
  CHECK(model.conditions() == 3);
  const auto graph = graph::record(model, {2, 3, 8, 12, 4});
  CHECK(count(graph, "input") == 2);
  CHECK(count(graph, "moments") == 3);
  CHECK(count(graph, "select_channels") == 3);
  std::vector<Shape> fused;
  std::vector<std::int64_t> channels;
  for (const auto& node : graph.nodes) {
    if (const auto* select = std::get_if<nn::op::SelectChannels>(&node.op)) {
      channels.push_back(select->first);
      CHECK(select->count == 1);
    }
    if (nn::op_name(node.op) != "moments") continue;
    fused.push_back(node.shape);
    REQUIRE(node.inputs.size() == 4);  // the presence, then each contrast
    CHECK(graph.nodes[static_cast<std::size_t>(node.inputs[0])].name == "condition");
  }
  CHECK(channels == std::vector<std::int64_t>{0, 1, 2});
  CHECK(fused == std::vector<Shape>{{2, 4, 8, 12, 4}, {2, 8, 4, 6, 2}, {2, 8, 2, 3, 1}});
  CHECK(graph.nodes.back().shape == Shape{2, 1, 8, 12, 4});
}

TEST_CASE("Contrasts of HeMIS have numbers where they have no names", "[unit]") {
  HeMISUnet<2, 1>::Params params;
  params.n_filters = 1;
  const HeMISUnet<2, 1> model(params, {2, 1, 1});
  CHECK(model.params().contrasts == std::vector<std::string>{"0", "1"});
  CHECK(find(model.parameters(), "Encoder_mod.Encoder_1.conv_bottom.conv1.weight") != nullptr);
  CHECK(find(model.parameters(), "Encoder_mod.Encoder_2.conv_bottom.conv1.weight") == nullptr);
}

TEST_CASE("HeMIS ends as the configuration says; ivadomed's always with a sigmoid", "[unit]") {
  HeMISUnet<2, 1>::Params params;
  params.n_filters = 1;
  params.final_activation = FinalActivation::relu;
  params.as_ivadomed = GENERATE(false, true);
  const auto graph = graph::record(HeMISUnet<2, 1>(params, {2, 1, 1}), {1, 2, 8, 8});
  CHECK(count(graph, "divide_by_max") == (params.as_ivadomed ? 0 : 1));
  CHECK(count(graph, "sigmoid") == (params.as_ivadomed ? 1 : 0));
}

TEST_CASE("HeMIS refuses names and numbers of contrasts that disagree", "[unit]") {
  HeMISUnet<2>::Params params;
  params.contrasts = {"T1w", "T2w", "T2star"};
  CHECK_THROWS_WITH(HeMISUnet<2>(params, {2, 1, 3}),
                    Contains("3 contrasts are named") && Contains("2 channels") && Contains("HeMISUnet.contrasts"));
  CHECK_THROWS_WITH(HeMISUnet<2>({}, {3, 1, 3}), Contains("input channels 3") && Contains("its type has 2"));
  CHECK_THROWS_WITH(HeMISUnet<2>({}, {2, 1, 2}), Contains("depth 2"));
  HeMISUnet<2, 1>::Params small;
  small.n_filters = 1;
  CHECK_THROWS_WITH(graph::record(HeMISUnet<2, 1>(small, {2, 1, 1}), {1, 1, 8, 8}), Contains("select_channels"));
}

TEST_CASE("A HeMIS model of a configuration has a channel for each of its contrasts", "[unit]") {
  ModelParameters section;
  section.name = "HeMISUnet";
  section.n_filters = 1;
  section.depth = 1;
  LoaderParameters loader;
  loader.contrast_params.training_validation = {"T1w", "T2w", "T2star"};
  loader.target_suffix.raters_by_class = {{"_seg"}};
  CHECK(model_traits<AnyModel>(section).condition == ConditionKind::presence);
  NetworkShape shape = network_shape(section, loader, ConditionKind::presence, 0);
  CHECK(shape.in_channels == 3);
  CHECK(shape.classes == 1);
  section.contrasts = {"T1w", "T2w"};
  shape = network_shape(section, loader, ConditionKind::presence, 0);
  CHECK(shape.in_channels == 2);
  const auto model = make_model<AnyModel>(section, shape);
  CHECK(model.conditions() == 2);
  CHECK(find(model.parameters(), "Encoder_mod.Encoder_T2w.conv_bottom.conv1.weight") != nullptr);
  // Other models have one channel, or one a contrast.
  CHECK(network_shape(section, loader, ConditionKind::none, 0).in_channels == 1);
  loader.multichannel = true;
  CHECK(network_shape(section, loader, ConditionKind::none, 4).in_channels == 3);
  CHECK(network_shape(section, loader, ConditionKind::none, 4).conditions == 4);
}
