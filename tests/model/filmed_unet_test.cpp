// The structure of FiLMedUnet: ivadomed's names and counts, places of the FiLM layers, shared weights, and what is
// refused. No LibTorch; what the layers compute is in model_laws_test.cpp.
#include <algorithm>
#include <ivado/model/any_model.hpp>
#include <ivado/model/filmed_unet.hpp>
#include <ivado/model/unet.hpp>
#include <map>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using Model = FiLMedUnet<2>;

std::vector<std::string> names(const nn::ParameterList& list) {
  std::vector<std::string> out;
  for (const auto& spec : list) out.push_back(spec.name);
  return out;
}

const nn::ParameterSpec* find(const nn::ParameterList& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& spec) { return spec.name == name; });
  return found == list.end() ? nullptr : &*found;
}

std::ptrdiff_t count(const graph::Graph& graph, std::string_view name) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const auto& node) { return nn::op_name(node.op) == name; });
}

Model::Params small(std::vector<int> film_layers = {}) {
  Model::Params params;
  params.n_filters = 2;
  params.film_layers = std::move(film_layers);
  return params;
}

}  // namespace

TEST_CASE("FiLM behind each place has the parameters of ivadomed's", "[unit]") {
  const Model model({}, {1, 1, 3, 3});
  const auto& list = model.parameters();
  // reference/models.md, table of models: 4,886,819 values in 106 tensors, 92 of which are left when they are shared
  CHECK(list.size() == 148);
  std::int64_t values = 0;
  int tensors = 0;
  int own = 0;
  for (const auto& spec : list) {
    if (spec.role != nn::Role::weight) continue;
    values += spec.shape.size();
    ++tensors;
    own += spec.shared_with == nn::no_parameter ? 1 : 0;
  }
  CHECK(values == 4886819);
  CHECK(tensors == 106);
  CHECK(own == 92);
  CHECK(list.trained_values() == 4886819 - 7 * (64 * 3 + 16 * 64));
  CHECK(model.conditions() == 3);
}

TEST_CASE("Each place of film_layers has its name and channels", "[unit]") {
  // reference/models.md, section 3.3
  const std::vector<std::pair<std::string, std::int64_t>> places{
      {"encoder.down_path.1", 64},  {"encoder.down_path.4", 128}, {"encoder.down_path.7", 256},
      {"encoder.film_bottom", 256}, {"decoder.up_path.1", 256},   {"decoder.up_path.3", 128},
      {"decoder.up_path.5", 64},    {"decoder.last_film", 1}};
  for (std::size_t place = 0; place < places.size(); ++place) {
    Model::Params params;
    params.film_layers.assign(8, 0);
    params.film_layers[place] = 1;
    const Model model(params, {1, 1, 3, 3});
    CHECK(model.parameters().size() == 106);
    CHECK(model.parameters().layers().size() == 32);  // reference/models.md, section 9
    const auto* last = find(model.parameters(), places[place].first + ".generator.linear3.bias");
    INFO(places[place].first);
    REQUIRE(last != nullptr);
    CHECK(last->shape == Shape{2 * places[place].second});
    CHECK(find(model.parameters(), places[place].first + ".generator.linear1.weight")->shape == Shape{64, 3});
  }
}

TEST_CASE("FiLM layers stand in the dictionary behind the block that they modulate", "[unit]") {
  const auto all = names(Model(small(), {1, 1, 3, 2}).parameters());
  const auto place = [&](const std::string& name) { return std::find(all.begin(), all.end(), name) - all.begin(); };
  CHECK(place("encoder.down_path.0.conv2_bn.num_batches_tracked") + 1 ==
        place("encoder.down_path.1.generator.linear1.weight"));
  CHECK(place("encoder.down_path.1.generator.linear3.bias") + 1 == place("encoder.down_path.3.conv1.weight"));
  CHECK(place("encoder.film_bottom.generator.linear3.bias") + 1 == place("decoder.up_path.0.downconv.conv1.weight"));
  CHECK(all.back() == "decoder.last_film.generator.linear3.bias");
}

TEST_CASE("The first FiLM layer owns the two weights that all of them use", "[unit]") {
  const Model model(small({0, 1, 0, 1, 0, 0, 1, 0}), {1, 1, 3, 2});
  const auto& list = model.parameters();
  int aliases = 0;
  for (const auto& spec : list) {
    if (spec.shared_with == nn::no_parameter) continue;
    ++aliases;
    CHECK_THAT(list[spec.shared_with].name, Contains("encoder.down_path.4.generator.linear"));
    CHECK(list[spec.shared_with].name.substr(list[spec.shared_with].name.rfind('.')) == ".weight");
  }
  CHECK(aliases == 2 * 2);
}

TEST_CASE("Without FiLM layers it is a Unet that asks for a condition and does not look at it", "[unit]") {
  const Model model(small(std::vector<int>(8, 0)), {1, 1, 3, 2});
  Unet<2>::Params params;
  params.n_filters = 2;
  CHECK(names(model.parameters()) == names(Unet<2>(params).parameters()));
  const auto graph = graph::record(model, {1, 1, 16, 16});
  CHECK(count(graph, "input") == 2);
  CHECK(count(graph, "modulate") == 0);
}

TEST_CASE("The graph of a FiLMedUnet modulates at each place; ivadomed's squeezes factor and addend", "[unit]") {
  auto params = small();
  const auto ours = graph::record(Model(params, {1, 1, 3, 4}), {2, 1, 16, 24});
  CHECK(count(ours, "modulate") == 8);
  CHECK(count(ours, "linear") == 24);
  CHECK(count(ours, "sigmoid") == 2 * 8 + 1);
  const auto condition =
      std::find_if(ours.nodes.begin(), ours.nodes.end(), [](const auto& node) { return node.name == "condition"; });
  REQUIRE(condition != ours.nodes.end());
  CHECK(condition->shape == Shape{2, 4});
  params.as_ivadomed = true;
  const auto theirs = graph::record(Model(params, {1, 1, 3, 4}), {2, 1, 16, 24});
  CHECK(count(theirs, "sigmoid") == 3 * 8 + 1);
  for (const auto* graph : {&ours, &theirs})
    for (const auto& node : graph->nodes)
      if (const auto* film = std::get_if<nn::op::Modulate>(&node.op)) CHECK(film->around_one == (graph == &ours));
}

TEST_CASE("A FiLMedUnet ends as the configuration says; ivadomed's always with a sigmoid", "[unit]") {
  using Two = FiLMedUnet<2, 1, 1, 2>;
  Two::Params params;
  params.n_filters = 2;
  params.final_activation = FinalActivation::softmax;
  const auto graph = graph::record(Two(params, {1, 2, 1, 2}), {1, 1, 8, 8});
  CHECK(count(graph, "softmax") == 1);
  CHECK(graph.nodes.back().shape == Shape{1, 2, 8, 8});
  CHECK(find(Two(params, {1, 2, 1, 2}).parameters(), "decoder.last_film.generator.linear3.bias")->shape == Shape{6});
  params.as_ivadomed = true;
  const Two theirs(params, {1, 2, 1, 2});
  CHECK(count(graph::record(theirs, {1, 1, 8, 8}), "softmax") == 0);
  CHECK(theirs.params().final_activation == FinalActivation::sigmoid);
}

TEST_CASE("A FiLMedUnet refuses another number of places, and to be without metadata", "[unit]") {
  CHECK_THROWS_WITH(Model(small({1, 1}), {1, 1, 3, 2}),
                    Contains("film_layers has 2 entries") && Contains("depth 3 needs 8"));
  CHECK_THROWS_WITH((FiLMedUnet<2, 2>({}, {1, 1, 3, 2})), Contains("depth 3"));
  CHECK_THROWS_WITH(Model({}, {1, 1, 3, 0}), Contains("no metadata") && Contains("FiLMedUnet.metadata"));
  CHECK_THROWS_WITH(Model({}, {2, 1, 3, 2}), Contains("input channels 2"));
  CHECK_THROWS_WITH(from_json<Model::Params>(Json{{"film_layers", {0, 2}}}, "FiLMedUnet"),
                    Contains("FiLMedUnet.film_layers"));
}

TEST_CASE("A FiLMedUnet is made from the section of a configuration", "[unit]") {
  ModelParameters section;
  section.name = "FiLMedUnet";
  section.depth = 1;
  section.n_filters = 2;
  section.film_layers = {1, 0, 0, 1};
  CHECK(model_traits<AnyModel>(section).condition == ConditionKind::metadata);
  const auto model = make_model<AnyModel>(section, {1, 1, 3, 5});  // the depth is the section's
  CHECK(model.conditions() == 5);
  CHECK(find(model.parameters(), "encoder.down_path.1.generator.linear1.weight")->shape == Shape{64, 5});
  CHECK(find(model.parameters(), "encoder.film_bottom.generator.linear1.weight") == nullptr);
  section.is_2d = false;
  CHECK(find(make_model<AnyModel3d>(section, {1, 1, 1, 5}).parameters(), "encoder.conv_bottom.conv1.weight")->shape ==
        Shape{2, 2, 3, 3, 3});
}
