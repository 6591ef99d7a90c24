// The laws of an architecture on every model that a configuration can name: what the recorded graph, gradients and
// batches have to do with the forward. Then what FiLM and HeMIS promise beside them, and ivadomed's fingerprints.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <ivado/model/any_model.hpp>
#include <ivado/model/net.hpp>
#include <set>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// A model as a configuration names it, and what it is run on.
struct Row {
  const char* section;   ///< keys of default_model
  NetworkShape numbers;  ///< but for the depth, which the section has
  Shape input;
};

ModelParameters section_of(const Row& row) {
  return from_json<ModelParameters>(Json::parse(row.section), "default_model");
}

/// Runs what it is given on LibTorch and notes the shape of each result.
struct ShapeLog {
  using Value = at::Tensor;
  nn::TorchInterpreter on;
  std::vector<Shape> shapes{};

  template <class Operation>
  Value apply(const Operation& operation, std::span<const Value> inputs) {
    Value out = on.apply(operation, inputs);
    Shape shape;
    for (const auto extent : out.sizes()) shape.push_back(extent);
    shapes.push_back(shape);
    return out;
  }
};

at::Tensor random_input(const Shape& shape) {
  at::manual_seed(11);
  return at::randn(at::IntArrayRef(shape.begin(), shape.end()));
}

/// One code a sample: one-hot metadata, or a presence of every second contrast and of the first alone.
at::Tensor condition_for(ConditionKind kind, std::int64_t samples, std::int64_t length) {
  if (length == 0) return {};
  at::Tensor out = at::zeros({samples, length});
  for (std::int64_t n = 0; n < samples; ++n) {
    out[n][n % length] = 1;
    if (kind == ConditionKind::presence && n == 0 && length > 2) out[n][2] = 1;
  }
  return out;
}

double largest(const at::Tensor& difference) { return difference.abs().max().item<double>(); }
bool all_finite(const at::Tensor& tensor) { return tensor.isfinite().all().item<bool>(); }
bool within_0_1(const at::Tensor& tensor) {
  return tensor.min().item<double>() >= 0 && tensor.max().item<double>() <= 1;
}

/// Runs the forward, replays its graph on copies of its tensors, and checks output, shapes and running statistics.
/// @return the output
template <class AnyNet>
at::Tensor check_graph(AnyNet& net, const graph::Graph& graph, const at::Tensor& image, const at::Tensor& condition,
                       const RandomKey& key) {
  std::vector<at::Tensor> copies;
  for (const auto& tensor : net.tensors()) copies.push_back(tensor.detach().clone());
  const at::Tensor output = net.forward(image, condition, key).detach();
  std::vector<at::Tensor> inputs{image};
  if (condition.defined()) inputs.push_back(condition);
  ShapeLog log{nn::TorchInterpreter(copies, net.is_training(), key)};
  const at::Tensor replayed = graph::run(graph, log, std::span<const at::Tensor>(inputs));
  CHECK(largest(replayed - output) == 0);
  std::size_t next = 0;
  for (const auto& node : graph.nodes)
    if (!std::holds_alternative<nn::op::Input>(node.op)) REQUIRE(log.shapes.at(next++) == node.shape);
  CHECK(next == log.shapes.size());
  for (std::size_t i = 0; i < copies.size(); ++i) REQUIRE(at::equal(copies[i], net.tensors()[i]));
  return output;
}

/// Names are unique, a layer's tensors stand together, and another name of a tensor refers to an earlier one.
void check_names(const nn::ParameterList& list, const graph::Graph& graph) {
  std::set<std::string> names;
  std::set<std::string> layers;
  std::string last;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto& spec = list[static_cast<nn::ParameterId>(i)];
    REQUIRE(names.insert(spec.name).second);
    if (const std::string layer(spec.layer()); layer != last || i == 0) {
      REQUIRE(layers.insert(layer).second);
      last = layer;
    }
    if (spec.shared_with == nn::no_parameter) continue;
    REQUIRE(spec.shared_with < static_cast<nn::ParameterId>(i));
    REQUIRE(list[spec.shared_with].shape == spec.shape);
    REQUIRE(list[spec.shared_with].shared_with == nn::no_parameter);
  }
  names.clear();
  for (const auto& node : graph.nodes) REQUIRE(names.insert(node.name).second);
}

template <class Model>
void check_laws(const Model& model, const Row& row, const ModelParameters& section) {
  const auto traits = any_model_traits(section);
  const graph::Graph graph = graph::record(model, row.input);
  check_names(model.parameters(), graph);

  Net net(model, 5);
  const at::Tensor image = random_input(row.input);
  const at::Tensor condition = condition_for(traits.condition, row.input[0], nn::conditions(model));
  (void)check_graph(net, graph, image, condition, {3, 1, 2, 0});

  at::Tensor sum;
  for (const auto& output : net.forward_supervised(image, condition, {3, 1, 2, 0}))
    sum = sum.defined() ? sum + output.sum() : output.sum();
  sum.backward();
  for (std::size_t i = 0; i < net.tensors().size(); ++i) {
    if (!net.tensors()[i].requires_grad()) continue;
    INFO(net.names()[i]);
    REQUIRE(net.tensors()[i].grad().defined());
    REQUIRE(all_finite(net.tensors()[i].grad()));
  }

  net.train(false);
  const at::NoGradGuard no_gradients;
  const at::Tensor output = check_graph(net, graph, image, condition, {});
  CHECK(output.size(1) == row.numbers.classes);
  if (traits.tasks.meets(Task::classification))
    CHECK(output.dim() == 2);
  else
    CHECK(output.sizes().slice(2) == image.sizes().slice(2));
  CHECK((within_0_1(output) || section.name == "Countception"));
  CHECK(largest(output) > 0);

  at::Tensor neighbour = image.clone();
  neighbour[1] *= -20;
  const double change = largest(net.forward(neighbour, condition)[0] - output[0]);
  if (section.final_activation.value == "relu" && section.as_ivadomed)
    CHECK(change > 1e-4);  // divided by the maximum of the whole batch (known-problems B4.3)
  else
    CHECK(change <= 1e-5);  // float rounding, should another kernel be chosen
}

void check(const Row& row) {
  INFO(row.section);
  const ModelParameters section = section_of(row);
  visit_model(section, row.numbers, [&](const auto& model) { check_laws(model, row, section); });
}

}  // namespace

TEST_CASE("Every 2-D segmentation model obeys the laws of an architecture", "[unit]") {
  check(GENERATE(values<Row>({
      {R"({"name": "Unet", "n_filters": 4, "depth": 2, "final_activation": "softmax"})", {2, 2}, {2, 2, 19, 16}},
      {R"({"name": "Unet", "n_filters": 8, "depth": 1, "final_activation": "relu"})", {1, 2}, {2, 1, 8, 9}},
      {R"({"name": "Unet", "n_filters": 8, "depth": 1, "final_activation": "relu", "as_ivadomed": true})",
       {1, 1},
       {2, 1, 8, 9}},
      {R"({"name": "FiLMedUnet", "n_filters": 4, "depth": 2})", {1, 1, 3, 3}, {2, 1, 17, 16}},
      {R"({"name": "FiLMedUnet", "n_filters": 4, "depth": 1, "film_layers": [0, 1, 0, 1], "as_ivadomed": true})",
       {2, 2, 3, 2},
       {2, 2, 8, 12}},
      {R"({"name": "HeMISUnet", "n_filters": 4, "depth": 2, "contrasts": ["T1w", "T2w", "T2star"]})",
       {3, 1},
       {2, 3, 16, 13}},
      {R"({"name": "ResidualUnet", "n_filters": 3, "max_filters": 6, "depth": 3, "dropout_rate": 0.2})",
       {2, 2},
       {2, 2, 16, 24}},
  })));
}

TEST_CASE("Every 3-D segmentation model obeys the laws of an architecture", "[unit]") {
  check(GENERATE(values<Row>({
      {R"({"name": "Unet", "is_2d": false, "n_filters": 3, "depth": 2})", {1, 1}, {2, 1, 9, 8, 7}},
      {R"({"name": "Modified3DUNet", "is_2d": false, "n_filters": 2, "final_activation": "softmax"})",
       {2, 2},
       {2, 2, 32, 16, 16}},
      {R"({"name": "Modified3DUNet", "is_2d": false, "n_filters": 2, "attention": true})", {1, 1}, {2, 1, 32, 16, 16}},
      {R"({"name": "Modified3DUNet", "is_2d": false, "n_filters": 2, "film_layers": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]})",
       {1, 1, 3, 2},
       {2, 1, 16, 32, 16}},
      {R"({"name": "FiLMedUnet", "is_2d": false, "n_filters": 2, "depth": 2})", {1, 1, 3, 2}, {2, 1, 8, 8, 9}},
      {R"({"name": "HeMISUnet", "is_2d": false, "n_filters": 2, "depth": 1})", {2, 1}, {2, 2, 6, 5, 4}},
      {R"({"name": "ResidualUnet", "is_2d": false, "n_filters": 2, "depth": 2})", {1, 1}, {2, 1, 8, 12, 8}},
  })));
}

TEST_CASE("Key-point and classification models obey the laws of an architecture", "[unit]") {
  check(GENERATE(values<Row>({
      {R"({"name": "Countception"})", {2, 3}, {2, 2, 3, 4}},
      {R"({"name": "resnet18"})", {2, 3}, {2, 2, 33, 32}},
      {R"({"name": "resnet50", "fc_dropout_rate": 0.5})", {1, 1}, {2, 1, 32, 40}},
      {R"({"name": "densenet121", "dropout_rate": 0.3})", {1, 2}, {2, 1, 32, 33}},
  })));
}

TEST_CASE("The larger classifiers obey the laws of an architecture", "[unit][.slow]") {
  const std::string name = GENERATE("resnet34", "resnet101", "resnet152", "densenet161", "densenet169", "densenet201");
  const std::string section = R"({"name": ")" + name + R"("})";
  check({section.c_str(), {1, 2}, {2, 1, 32, 32}});
}

namespace {

Net<AnyModel> net_of(const char* section, const NetworkShape& numbers, std::uint64_t seed = 5) {
  return Net(make_model<AnyModel>(section_of({section, numbers, {}}), numbers), seed);
}

at::Tensor tensor_named(const Net<AnyModel>& net, const std::string& name) {
  const auto names = net.names();
  const auto found = std::find(names.begin(), names.end(), name);
  REQUIRE(found != names.end());
  return net.tensors()[static_cast<std::size_t>(found - names.begin())];
}

bool ends_with(const std::string& name, std::string_view ending) {
  return name.size() >= ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
}

constexpr const char* film = R"({"name": "FiLMedUnet", "n_filters": 4, "depth": 2})";
constexpr const char* film_as_ivadomed = R"({"name": "FiLMedUnet", "n_filters": 4, "depth": 2, "as_ivadomed": true})";

}  // namespace

TEST_CASE("FiLM layers whose last linear layer is zero leave a Unet's output, ivadomed's attenuate it", "[unit]") {
  auto unet = net_of(R"({"name": "Unet", "n_filters": 4, "depth": 2})", {1, 1});
  auto filmed = net_of(film, {1, 1, 3, 2}, 6);
  auto theirs = net_of(film_as_ivadomed, {1, 1, 3, 2}, 7);
  const auto names = unet.names();
  const at::Tensor image = random_input({2, 1, 16, 12});
  const at::Tensor code = condition_for(ConditionKind::metadata, 2, 2);
  const at::NoGradGuard no_gradients;
  (void)unet.forward(image);  // running statistics of their own
  for (auto* net : {&filmed, &theirs}) {
    for (const auto& name : net->names())
      if (ends_with(name, "linear3.weight") || ends_with(name, "linear3.bias"))
        tensor_named(*net, name).detach().zero_();
    for (std::size_t i = 0; i < names.size(); ++i) tensor_named(*net, names[i]).copy_(unet.tensors()[i]);
    net->train(false);
  }
  unet.train(false);
  const at::Tensor expected = unet.forward(image);
  CHECK(largest(filmed.forward(image, code) - expected) == 0);  // γ = 1, β = 0
  // γ = β = sigmoid(0) = 1/2, the last one on the logits
  const at::Tensor halved = theirs.forward(image, code);
  CHECK(largest(halved - expected) > 1e-3);

  // The last layer alone: sigmoid((logits + 1) / 2).
  auto last = net_of(R"({"name": "FiLMedUnet", "n_filters": 4, "depth": 2, "as_ivadomed": true,
                         "film_layers": [0, 0, 0, 0, 0, 1]})",
                     {1, 1, 3, 2});
  for (const auto& name : last.names())
    if (ends_with(name, "linear3.weight") || ends_with(name, "linear3.bias")) tensor_named(last, name).zero_();
  for (std::size_t i = 0; i < names.size(); ++i) tensor_named(last, names[i]).copy_(unet.tensors()[i]);
  last.train(false);
  const at::Tensor logits = (expected / (1 - expected)).log();
  CHECK(largest(last.forward(image, code) - at::sigmoid((logits + 1) / 2)) < 1e-5);
}

TEST_CASE("The output of a FiLM model depends on its metadata, sample by sample", "[unit]") {
  auto net = net_of(film, {1, 1, 3, 2});
  net.train(false);
  const at::Tensor image = random_input({1, 1, 16, 12}).expand({2, 1, 16, 12});
  const at::NoGradGuard no_gradients;
  const at::Tensor both = net.forward(image, at::eye(2));
  CHECK(largest(both[0] - both[1]) > 1e-5);
  CHECK(largest(net.forward(image, at::eye(2).flip(0)) - both.flip(0)) < 1e-6);
}

TEST_CASE("All FiLM layers share two weights: one tensor, the sum of gradients, every name in the dictionary",
          "[unit]") {
  auto net = net_of(film, {1, 1, 3, 2});
  const auto names = net.names();
  std::size_t first_weights = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool shared = ends_with(names[i], "linear1.weight") || ends_with(names[i], "linear2.weight");
    CHECK(net.is_alias(i) == (shared && !Catch::startsWith(names[i], "encoder.down_path.1.")));
    if (!ends_with(names[i], "linear1.weight")) continue;
    ++first_weights;
    CHECK(net.tensors()[i].is_same(tensor_named(net, "encoder.down_path.1.generator.linear1.weight")));
  }
  CHECK(first_weights == 6);  // 2 levels down, the bottom, 2 up, the last convolution
  std::size_t weights = 0;
  for (const auto& spec : net.model().parameters()) weights += spec.role == nn::Role::weight ? 1U : 0U;
  CHECK(net.trained().size() == weights - 2 * 5);

  // The gradient of the shared weight is the sum of those that each layer alone gives it: let tensors of their own
  // stand at each place.
  const at::Tensor image = random_input({2, 1, 16, 12});
  const at::Tensor code = condition_for(ConditionKind::metadata, 2, 2);
  net.forward(image, code).sum().backward();
  std::vector<at::Tensor> apart;
  for (const auto& tensor : net.tensors()) apart.push_back(tensor.detach().clone());
  const auto& list = net.model().parameters();
  for (std::size_t i = 0; i < apart.size(); ++i)
    if (list[static_cast<nn::ParameterId>(i)].role == nn::Role::weight) apart[i].requires_grad_(true);
  const graph::Graph graph = graph::record(net.model(), {2, 1, 16, 12});
  graph::Graph own = graph;  // whose linear layers use the tensors of their own names
  for (auto& node : own.nodes)
    if (auto* linear = std::get_if<nn::op::Linear>(&node.op)) linear->weight = linear->bias - 1;
  const std::vector<at::Tensor> inputs{image, code};
  nn::TorchInterpreter on(apart, true);
  graph::run(own, on, std::span<const at::Tensor>(inputs)).sum().backward();
  at::Tensor sum;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (ends_with(names[i], "linear1.weight")) sum = sum.defined() ? sum + apart[i].grad() : apart[i].grad();
  const at::Tensor shared = tensor_named(net, "encoder.down_path.1.generator.linear1.weight").grad();
  CHECK(largest(shared) > 0);
  CHECK(largest(sum - shared) <= 1e-5 * largest(shared) + 1e-9);
}

TEST_CASE("Weights of a FiLM model that go out and come back stay shared", "[unit]") {
  const auto first = net_of(film, {1, 1, 3, 2}, 1);
  auto second = net_of(film, {1, 1, 3, 2}, 2);
  nn::Weights weights = weights_of(first);
  CHECK(weights.tensors.size() == first.names().size());
  const auto* owner = weights.find("encoder.down_path.1.generator.linear1.weight");
  const auto* other = weights.find("decoder.last_film.generator.linear1.weight");
  REQUIRE((owner != nullptr && other != nullptr));
  CHECK((owner->bytes == other->bytes));
  load_weights(second, weights, "memory");
  for (std::size_t i = 0; i < first.tensors().size(); ++i) REQUIRE(at::equal(first.tensors()[i], second.tensors()[i]));
  CHECK(tensor_named(second, "decoder.last_film.generator.linear1.weight")
            .is_same(tensor_named(second, "encoder.down_path.1.generator.linear1.weight")));
  // A dictionary from before ivadomed's first forward has other values there: the first layer's count.
  for (auto& tensor : weights.tensors)
    if (tensor.name == "decoder.last_film.generator.linear1.weight")
      std::fill(tensor.bytes.begin(), tensor.bytes.end(), std::byte{0});
  load_weights(second, weights, "memory");
  CHECK(at::equal(tensor_named(second, "decoder.last_film.generator.linear1.weight"),
                  tensor_named(first, "encoder.down_path.1.generator.linear1.weight")));
  second.to(at::kCPU);
  CHECK(tensor_named(second, "decoder.last_film.generator.linear2.weight")
            .is_same(tensor_named(second, "encoder.down_path.1.generator.linear2.weight")));
}

TEST_CASE("A contrast that is missing has no influence, whatever its channel holds", "[unit]") {
  auto net = net_of(R"({"name": "HeMISUnet", "n_filters": 4, "depth": 2})", {3, 1});
  net.train(false);
  const at::NoGradGuard no_gradients;
  const at::Tensor image = random_input({2, 3, 12, 16});
  const at::Tensor presence = at::tensor({1.0F, 0.0F, 1.0F, 0.0F, 1.0F, 0.0F}).reshape({2, 3});
  const at::Tensor expected = net.forward(image, presence);
  CHECK(all_finite(expected));  // the second sample has one contrast alone
  at::Tensor other = image.clone();
  other[0][1] = 1e4 * at::randn({12, 16});
  other[1][0] = -1e4;
  other[1][2] = 0;
  CHECK(largest(net.forward(other, presence) - expected) == 0);
  // What is present counts.
  other = image.clone();
  other[0][0] += 1;
  CHECK(largest(net.forward(other, presence)[0] - expected[0]) > 1e-5);
  CHECK(largest(net.forward(image, at::ones({2, 3})) - expected) > 1e-5);
}

TEST_CASE("Column k of the presence is channel k, row n sample n", "[unit]") {
  auto net = net_of(R"({"name": "HeMISUnet", "n_filters": 4, "depth": 1, "contrasts": ["T1w", "T2w"]})", {2, 1});
  net.train(false);
  const at::NoGradGuard no_gradients;
  const at::Tensor one = random_input({1, 2, 8, 8});
  const at::Tensor image = one.expand({2, 2, 8, 8});
  const at::Tensor both = net.forward(image, at::eye(2));
  for (std::int64_t k = 0; k < 2; ++k) {
    at::Tensor alone = at::zeros_like(one);  // as a loader hands over what is missing
    alone.select(1, k).copy_(one.select(1, k));
    CHECK(largest(net.forward(alone, at::eye(2).narrow(0, k, 1))[0] - both[k]) < 1e-6);
  }
  CHECK(largest(both[0] - both[1]) > 1e-5);
}

namespace {

/// The output of a model filled by the rule of reference/models.md 11.2, in double precision.
template <class Model>
at::Tensor filled_output(const Model& model, const at::Tensor& input, const at::Tensor& condition) {
  std::vector<at::Tensor> tensors;
  std::int64_t t = 0;
  for (const auto& spec : model.parameters()) {
    const at::IntArrayRef shape(spec.shape.begin(), spec.shape.end());
    if (spec.role == nn::Role::counter) {
      tensors.push_back(at::zeros({}, at::kLong));
    } else if (spec.role == nn::Role::buffer) {
      tensors.push_back(spec.init.kind == nn::Init::ones ? at::ones(shape, at::kDouble)
                                                         : at::zeros(shape, at::kDouble));
    } else {
      const std::int64_t count = spec.shape.size();
      const at::Tensor s = at::sin(0.1 * (at::arange(count, at::kDouble) + 1) + static_cast<double>(t)).reshape(shape);
      if (spec.shape.rank() > 1)
        tensors.push_back(s / std::sqrt(static_cast<double>(count) / static_cast<double>(spec.shape[0])));
      else
        tensors.push_back(ends_with(spec.name, "weight") ? 1 + 0.1 * s : 0.1 * s);
      if (spec.shared_with != nn::no_parameter) tensors.back() = tensors[static_cast<std::size_t>(spec.shared_with)];
      ++t;
    }
  }
  nn::TorchInterpreter on(tensors, false);
  return nn::forward(model, on, input, condition);
}

/// A row of the table of reference/models.md 11.2: values with 9 decimals, extremes with 6.
struct Fingerprint {
  const char* section;
  NetworkShape numbers;
  Shape input;
  std::vector<double> condition;   ///< row by row
  std::array<double, 6> expected;  ///< mean, min, max, first, middle, last
};

void check_fingerprint(const Fingerprint& row) {
  INFO(row.section);
  const ModelParameters section = section_of({row.section, row.numbers, row.input});
  at::Tensor input = at::sin(0.05 * at::arange(row.input.size(), at::kDouble))
                         .reshape(at::IntArrayRef(row.input.begin(), row.input.end()));
  if (section.name == "HeMISUnet") {  // two inputs, of which the second is half of the first
    const std::int64_t half = row.input.size() / 2;
    const at::Tensor first =
        at::sin(0.05 * at::arange(half, at::kDouble)).reshape({row.input[0], 1, row.input[2], row.input[3]});
    input = at::cat({first, first / 2}, 1);
  }
  at::Tensor condition;
  if (!row.condition.empty()) condition = at::tensor(row.condition, at::kDouble).reshape({row.input[0], -1});
  const at::NoGradGuard no_gradients;
  const at::Tensor output = visit_model(
      section, row.numbers, [&](const auto& model) { return filled_output(model, input, condition).flatten(); });
  const auto at_index = [&](std::int64_t i) { return output[i].item<double>(); };
  CHECK(output.mean().item<double>() == Approx(row.expected[0]).margin(1e-9).epsilon(0));
  CHECK(output.min().item<double>() == Approx(row.expected[1]).margin(1e-6).epsilon(0));
  CHECK(output.max().item<double>() == Approx(row.expected[2]).margin(1e-6).epsilon(0));
  CHECK(at_index(0) == Approx(row.expected[3]).margin(1e-9).epsilon(0));
  CHECK(at_index(output.numel() / 2) == Approx(row.expected[4]).margin(1e-9).epsilon(0));
  CHECK(at_index(output.numel() - 1) == Approx(row.expected[5]).margin(1e-9).epsilon(0));
}

}  // namespace

TEST_CASE("U-Nets filled by a rule give ivadomed's outputs", "[golden]") {
  const auto rows = std::vector<Fingerprint>{
      {R"({"name": "Unet"})",
       {1, 1},
       {1, 1, 32, 32},
       {},
       {0.484289657, 0.439900, 0.506436, 0.487896119, 0.501548283, 0.493870472}},
      {R"({"name": "Unet", "n_filters": 8, "depth": 2})",
       {1, 1},
       {2, 1, 21, 19},
       {},
       {0.204266734, 0.004269, 0.538569, 0.404823146, 0.428676488, 0.520301648}},
      {R"({"name": "Unet", "n_filters": 8, "depth": 2, "final_activation": "softmax"})",
       {2, 2},
       {1, 2, 24, 20},
       {},
       {0.368118177, 0.249637, 0.513414, 0.338296732, 0.319373697, 0.324288013}},
      {R"({"name": "Unet", "n_filters": 8, "depth": 2, "final_activation": "relu", "as_ivadomed": true})",
       {1, 2},
       {2, 1, 16, 16},
       {},
       {0.195312500, 0, 1, 0, 0, 1}},
      {R"({"name": "Unet", "n_filters": 4, "depth": 2, "is_2d": false})",
       {1, 1},
       {1, 1, 16, 12, 8},
       {},
       {0.512332204, 0.000762, 0.993528, 0.601995939, 0.797231077, 0.617140839}},
      {R"({"name": "FiLMedUnet", "n_filters": 8, "depth": 2, "as_ivadomed": true})",
       {1, 1, 3, 2},
       {2, 1, 16, 16},
       {1, 0, 0, 1},
       {0.652732172, 0.498514, 0.758398, 0.707124631, 0.706961403, 0.637709714}},
      {R"({"name": "FiLMedUnet", "film_layers": [0, 1, 0, 0, 0, 0, 0, 0], "as_ivadomed": true})",
       {1, 1, 3, 3},
       {1, 1, 32, 32},
       {0, 1, 0},
       {0.481365934, 0.432482, 0.501369, 0.481949816, 0.497323603, 0.487078097}},
      {R"({"name": "HeMISUnet", "n_filters": 64, "depth": 2, "contrasts": ["T1w", "T2w"]})",
       {2, 1},
       {2, 2, 16, 16},
       {1, 1, 1, 1},
       {0.539203908, 0.486050, 0.622004, 0.524895131, 0.523862255, 0.534143700}}};
  for (const auto& row : rows) check_fingerprint(row);
}
