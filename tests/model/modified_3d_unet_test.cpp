// The structure of Modified3DUNet: names, shapes and counts of ivadomed's state dictionary, and recorded shapes. No
// LibTorch.
#include <algorithm>
#include <ivado/model/modified_3d_unet.hpp>
#include <map>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using Model = Modified3DUNet<>;

std::vector<std::string> names(const nn::ParameterList& list) {
  std::vector<std::string> out;
  for (const auto& spec : list) out.push_back(spec.name);
  return out;
}

const nn::ParameterSpec& spec_of(const nn::ParameterList& list, const std::string& name) {
  return *std::find_if(list.begin(), list.end(), [&](const auto& spec) { return spec.name == name; });
}

std::ptrdiff_t weights(const nn::ParameterList& list) {
  return std::count_if(list.begin(), list.end(), [](const auto& spec) { return spec.role == nn::Role::weight; });
}

std::ptrdiff_t count(const graph::Graph& graph, std::string_view name) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const auto& node) { return nn::op_name(node.op) == name; });
}

/// The shape of the node of a layer.
Shape shape_at(const graph::Graph& graph, const std::string& name) {
  const auto found =
      std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const auto& node) { return node.name == name; });
  return found == graph.nodes.end() ? Shape{} : found->shape;
}

}  // namespace

TEST_CASE("The default Modified3DUNet has the parameters of ivadomed's, in its order", "[unit]") {
  const Model model;
  CHECK(model.parameters().trained_values() == 7124112);  // reference/models.md: table of models
  const std::vector<std::string> expected{"conv3d_c1_1.weight",
                                          "conv3d_c1_2.weight",
                                          "lrelu_conv_c1.1.weight",
                                          "conv3d_c2.weight",
                                          "norm_lrelu_conv_c2.2.weight",
                                          "conv3d_c3.weight",
                                          "norm_lrelu_conv_c3.2.weight",
                                          "conv3d_c4.weight",
                                          "norm_lrelu_conv_c4.2.weight",
                                          "conv3d_c5.weight",
                                          "norm_lrelu_conv_c5.2.weight",
                                          "norm_lrelu_upscale_conv_norm_lrelu_l0.3.weight",
                                          "conv3d_l0.weight",
                                          "conv_norm_lrelu_l1.0.weight",
                                          "conv3d_l1.weight",
                                          "norm_lrelu_upscale_conv_norm_lrelu_l1.3.weight",
                                          "conv_norm_lrelu_l2.0.weight",
                                          "conv3d_l2.weight",
                                          "norm_lrelu_upscale_conv_norm_lrelu_l2.3.weight",
                                          "conv_norm_lrelu_l3.0.weight",
                                          "conv3d_l3.weight",
                                          "norm_lrelu_upscale_conv_norm_lrelu_l3.3.weight",
                                          "conv_norm_lrelu_l4.0.weight",
                                          "conv3d_l4.weight",
                                          "ds2_1x1_conv3d.weight",
                                          "ds3_1x1_conv3d.weight"};
  CHECK(names(model.parameters()) == expected);
  CHECK(spec_of(model.parameters(), "conv3d_c1_1.weight").shape == Shape{16, 1, 3, 3, 3});
  CHECK(spec_of(model.parameters(), "norm_lrelu_conv_c5.2.weight").shape == Shape{256, 256, 3, 3, 3});
  CHECK(spec_of(model.parameters(), "norm_lrelu_upscale_conv_norm_lrelu_l0.3.weight").shape ==
        Shape{128, 256, 3, 3, 3});
  CHECK(spec_of(model.parameters(), "conv_norm_lrelu_l4.0.weight").shape == Shape{32, 32, 3, 3, 3});
  CHECK(spec_of(model.parameters(), "conv3d_l4.weight").shape == Shape{1, 32, 1, 1, 1});
  CHECK(spec_of(model.parameters(), "ds2_1x1_conv3d.weight").shape == Shape{1, 128, 1, 1, 1});
}

TEST_CASE("Attention gates add ivadomed's tensors behind conv3d_l0", "[unit]") {
  Model::Params params;
  params.attention = true;
  const Model model(params);
  const auto& list = model.parameters();
  CHECK(list.trained_values() == 7380595);  // reference/models.md: table of models
  CHECK(list.size() == 69);
  CHECK(weights(list) == 57);
  const auto all = names(list);
  const auto gating = std::find(all.begin(), all.end(), "conv3d_l0.weight") + 1;
  CHECK(*gating == "gating.conv1.0.weight");
  CHECK(*(gating + 7) == "attentionblock2.W.0.weight");
  CHECK(*(gating + 7 + 3 * 12) == "conv_norm_lrelu_l1.0.weight");
  CHECK(spec_of(list, "attentionblock3.theta.weight").shape == Shape{64, 64, 2, 2, 2});
  CHECK(spec_of(list, "attentionblock4.phi.weight").shape == Shape{128, 128, 1, 1, 1});
  CHECK(spec_of(list, "attentionblock2.psi.bias").shape == Shape{1});
}

TEST_CASE("The gating block starts as the gates do, unless it is to be ivadomed's", "[unit]") {
  Model::Params params;
  params.attention = true;
  params.as_ivadomed = GENERATE(false, true);
  const Model model(params);
  const auto& list = model.parameters();
  CHECK(spec_of(list, "attentionblock2.theta.weight").init.kind == nn::Init::kaiming_normal);
  CHECK(spec_of(list, "attentionblock2.theta.weight").init.fan == 32 * 8);
  CHECK(spec_of(list, "attentionblock2.psi.bias").init.kind == nn::Init::fan_in_uniform);
  CHECK(spec_of(list, "attentionblock4.W.1.weight").init.kind == nn::Init::normal_around_one);
  CHECK(spec_of(list, "attentionblock4.W.1.weight").init.gain == 0.02);
  CHECK(spec_of(list, "gating.conv1.0.weight").init.kind ==
        (params.as_ivadomed ? nn::Init::fan_in_uniform : nn::Init::kaiming_normal));
  CHECK(spec_of(list, "gating.conv1.1.weight").init.kind ==
        (params.as_ivadomed ? nn::Init::ones : nn::Init::normal_around_one));
}

TEST_CASE("FiLM layers stand at ten places and share two weights", "[unit]") {
  Model::Params params;
  params.film_layers.assign(10, 1);
  const Model model(params, {1, 1, 4, 3});
  const auto& list = model.parameters();
  CHECK(model.conditions() == 3);
  CHECK(list.size() == 86);  // reference/models.md: table of models, and the next two lines
  std::int64_t of_all_names = 0;
  for (const auto& spec : list) of_all_names += spec.shape.size();
  CHECK(of_all_names == 7162130);
  CHECK(list.trained_values() == 7162130 - 9 * (64 * 3 + 16 * 64));
  const std::map<int, std::int64_t> channels{{1, 16},  {2, 32}, {3, 64}, {4, 128}, {5, 256},
                                             {6, 128}, {7, 64}, {8, 32}, {9, 16},  {10, 1}};
  const auto first = spec_of(list, "film_layer1.generator.linear1.weight");
  CHECK(first.shared_with == nn::no_parameter);
  for (const auto& [number, width] : channels) {
    const std::string layer = "film_layer" + std::to_string(number) + ".generator.";
    CHECK(spec_of(list, layer + "linear3.bias").shape == Shape{2 * width});
    if (number > 1) CHECK(list[spec_of(list, layer + "linear1.weight").shared_with].name == first.name);
  }
  const auto all = names(list);
  CHECK(all[1] == "film_layer1.generator.linear1.weight");
  CHECK(all.back() == "film_layer10.generator.linear3.bias");
  const auto place = [&](const std::string& name) { return std::find(all.begin(), all.end(), name) - all.begin(); };
  CHECK(place("conv3d_c2.weight") < place("film_layer2.generator.linear1.weight"));
  CHECK(place("film_layer2.generator.linear1.weight") < place("norm_lrelu_conv_c2.2.weight"));
  CHECK(place("film_layer5.generator.linear1.weight") < place("upscale_conv_norm_lrelu_0.1.weight"));
  CHECK(place("conv3d_l3.weight") < place("film_layer9.generator.linear1.weight"));
  CHECK(place("film_layer9.generator.linear1.weight") < place("norm_lrelu_upscale_conv_norm_lrelu_l3.3.weight"));
  CHECK(place("norm_lrelu_upscale_conv_norm_lrelu_l0.3.weight") == 86);  // it has the name without norm
}

TEST_CASE("A Modified3DUNet takes a condition only where a FiLM layer is on", "[unit]") {
  Model::Params params;
  params.n_filters = 2;
  CHECK(Model(params, {1, 1, 4, 3}).conditions() == 0);
  params.film_layers.assign(10, 0);
  CHECK(Model(params, {1, 1, 4, 0}).conditions() == 0);
  CHECK(Model(params, {1, 1, 4, 0}).parameters().size() == 26);
  params.film_layers[6] = 1;
  const Model model(params, {1, 1, 4, 2});
  CHECK(model.conditions() == 2);
  CHECK(model.parameters().size() == 32);
  const auto graph = graph::record(model, {2, 1, 32, 16, 16});
  CHECK(count(graph, "input") == 2);
  CHECK(count(graph, "modulate") == 1);
  CHECK(count(graph, "linear") == 3);
  CHECK_THROWS_WITH(Model(params, {1, 1, 4, 0}), Contains("no metadata"));
  params.film_layers = {1, 1};
  CHECK_THROWS_WITH(Model(params, {1, 1, 4, 2}), Contains("2 entries") && Contains("10 places"));
}

TEST_CASE("The graph of a Modified3DUNet has the shapes of its drawing", "[unit]") {
  Model::Params params;
  params.n_filters = 2;
  const auto graph = graph::record(Model(params), {3, 1, 64, 32, 48});
  // 26 weights, of which the four blocks of the levels below the first are applied twice
  CHECK(count(graph, "convolution") == 30);
  CHECK(count(graph, "dropout") == 5);
  CHECK(count(graph, "concat") == 4);
  CHECK(count(graph, "upsample") == 6);
  CHECK(count(graph, "sigmoid") == 1);
  CHECK(shape_at(graph, "conv3d_c5") == Shape{3, 32, 4, 2, 3});
  CHECK(shape_at(graph, "norm_lrelu_conv_c3.2_2") == Shape{3, 8, 16, 8, 12});
  CHECK(shape_at(graph, "conv_norm_lrelu_l1.0") == Shape{3, 32, 8, 4, 6});
  CHECK(shape_at(graph, "ds3_1x1_conv3d") == Shape{3, 1, 32, 16, 24});
  CHECK(graph.nodes.back().shape == Shape{3, 1, 64, 32, 48});
}

TEST_CASE("An attention gate works at half the size of its skip connection", "[unit]") {
  Model::Params params;
  params.n_filters = 2;
  params.attention = true;
  const auto graph = graph::record(Model(params), {1, 1, 64, 32, 32});
  CHECK(count(graph, "resize_like") == 6);
  CHECK(count(graph, "multiply") == 3);
  CHECK(count(graph, "batch_norm") == 4);
  CHECK(shape_at(graph, "gating.conv1.0") == Shape{1, 16, 4, 2, 2});
  CHECK(shape_at(graph, "attentionblock2.theta") == Shape{1, 4, 16, 8, 8});
  CHECK(shape_at(graph, "attentionblock4.psi") == Shape{1, 1, 4, 2, 2});
  CHECK(shape_at(graph, "attentionblock2.W.0") == Shape{1, 4, 32, 16, 16});
  CHECK(graph.nodes.back().shape == Shape{1, 1, 64, 32, 32});
}

TEST_CASE("Sizes that are no multiple of 16 are refused, and so is a single voxel at the bottom", "[unit]") {
  Model::Params params;
  params.n_filters = 1;
  params.attention = GENERATE(false, true);
  const Model model(params);
  const int size = GENERATE(17, 24, 31, 33, 40, 47);
  CHECK_THROWS_WITH(graph::record(model, {1, 1, 32, 32, size}), Contains("concat"));
  CHECK_THROWS_WITH(graph::record(model, {1, 1, size, 32, 32}), Contains("concat"));
  CHECK_THROWS_WITH(graph::record(model, {1, 1, 16, 16, 16}), Contains("instance_norm") && Contains("single voxel"));
  CHECK(graph::record(model, {1, 1, 2 * Model::divisor, 16, 3 * Model::divisor}).nodes.back().shape ==
        Shape{1, 1, 32, 16, 48});
}

TEST_CASE("Modified3DUNet ends as the configuration says", "[unit]") {
  using Two = UNet3D<2, 2>;
  Two::Params params;
  params.n_filters = 1;
  const auto outputs = [&] { return spec_of(Two(params).parameters(), "conv3d_l4.weight").shape[0]; };
  CHECK(outputs() == 2);
  params.as_ivadomed = true;
  CHECK(outputs() == 3);
  params.as_ivadomed = false;
  params.final_activation = FinalActivation::softmax;
  CHECK(outputs() == 3);
  CHECK(graph::record(Two(params), {1, 2, 32, 16, 16}).nodes.back().shape == Shape{1, 2, 32, 16, 16});
  params.final_activation = FinalActivation::relu;
  params.as_ivadomed = GENERATE(false, true);
  const auto graph = graph::record(Two(params), {1, 2, 32, 16, 16});
  CHECK(count(graph, "divide_by_channel_sum") == 0);
  const auto scaled = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                   [](const auto& node) { return nn::op_name(node.op) == "divide_by_max"; });
  REQUIRE(scaled != graph.nodes.end());
  CHECK(std::get<nn::op::DivideByMax>(scaled->op).whole_batch == params.as_ivadomed);
}

TEST_CASE("Numbers of a Modified3DUNet come from its type or are open; its parameters have ivadomed's names",
          "[unit]") {
  CHECK_THROWS_WITH((Modified3DUNet<1, 1>({}, {2, 1, 4})), Contains("input channels 2"));
  CHECK_THROWS_WITH((Modified3DUNet<1, 1>({}, {1, 2, 4})), Contains("classes 2"));
  const Modified3DUNet<dynamic, dynamic> open({}, {3, 2, 3});
  CHECK(spec_of(open.parameters(), "conv3d_c1_1.weight").shape == Shape{16, 3, 3, 3, 3});
  CHECK(keys<Model::Params>() == std::vector<std::string>{"n_filters", "dropout_rate", "bn_momentum",
                                                          "final_activation", "background", "as_ivadomed", "attention",
                                                          "film_layers"});
  CHECK(from_json<Model::Params>(Json::object(), "").n_filters == 16);
  CHECK_THROWS_WITH(from_json<Model::Params>(Json{{"film_layers", {2}}}, ""), Contains("film_layers"));
}
