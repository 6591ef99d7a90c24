// Layers: names, shapes and first values of their parameters, and the operations that they hand to an interpreter.
// No LibTorch.
#include <algorithm>
#include <ivado/nn/graph.hpp>
#include <ivado/nn/layers.hpp>

#include "../catch.hpp"

using namespace ivado;
using namespace ivado::nn;
using Catch::Matchers::Contains;

namespace {

std::vector<std::string> names(const ParameterList& list) {
  std::vector<std::string> out;
  for (const auto& spec : list) out.push_back(spec.name);
  return out;
}

/// Names of the operations that `layer` records for an input, the input left out.
template <class Layer>
std::vector<std::string> operations(const Layer& layer, const Shape& input) {
  graph::Graph graph;
  graph::Recorder on(graph);
  (void)layer(on, on.input(input));
  std::vector<std::string> out;
  for (std::size_t i = 1; i < graph.nodes.size(); ++i) out.emplace_back(op_name(graph.nodes[i].op));
  return out;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("Scopes put prefixes before names and number dropouts", "[unit]") {
  ParameterList list;
  const Scope root(list);
  const ParameterId first = root.child("encoder").child(3).add("weight", {2, 1}, Init::ones);
  root.add("bias", {2}, Init::zeros, Role::buffer);
  root.child("other").add_alias("weight", first);
  CHECK(names(list) == Names{"encoder.3.weight", "bias", "other.weight"});
  CHECK(list[2].shared_with == first);
  CHECK(list[2].shape == Shape{2, 1});
  CHECK(list[2].role == Role::weight);
  CHECK(list.trained_values() == 2);  // another name is no other tensor
  CHECK(list[0].layer() == "encoder.3");
  CHECK(list[1].layer().empty());
  CHECK(root.add_dropout() == 0);
  CHECK(root.child("a").add_dropout() == 1);
}

TEST_CASE("Layers are counted by their trained tensors", "[unit]") {
  ParameterList list;
  const Scope root(list);
  const Convolution convolution(root.child("a"), 1, 2);
  const Norm norm(root.child("b"), NormKind::batch, 2);
  const Norm nothing(root.child("c"), NormKind::instance, 2);
  const Convolution last(root.child("d"), 2, 1);
  CHECK(list.layers() == std::vector<ParameterId>{0, 2, 7});
}

TEST_CASE("A convolution has its weight, its bias and their first values", "[unit]") {
  ParameterList list;
  const Scope root(list);
  ConvolutionOptions options;
  const Convolution plain(root.child("a"), 2, 5, options);
  CHECK(names(list) == Names{"a.weight", "a.bias"});
  CHECK(list[0].shape == Shape{5, 2, 3, 3});
  CHECK(list[0].init.kind == Init::fan_in_uniform);
  CHECK(list[0].init.fan == 18);
  CHECK(list[1].shape == Shape{5});
  CHECK(list[1].init.fan == 18);
  CHECK(plain.operation().padding == 1);

  options.dimension = 3;
  options.kernel = 5;
  options.stride = 2;
  options.bias = false;
  options.init = Init::kaiming_normal;
  options.fan_out = true;
  const Convolution strided(root.child("b"), 2, 3, options);
  CHECK(list.size() == 3);
  CHECK(list[2].shape == Shape{3, 2, 5, 5, 5});
  CHECK(list[2].init.fan == 3 * 125);
  CHECK(strided.operation().padding == 2);
  CHECK(strided.operation().bias == no_parameter);

  options.fan_out = false;
  options.padding = 0;
  options.init = Init::xavier_uniform;
  options.gain = 1.5;
  const Convolution glorot(root.child("c"), 2, 3, options);
  CHECK(list[3].init.fan == (2 + 3) * 125);
  CHECK(list[3].init.gain == 1.5);
  CHECK(glorot.operation().padding == 0);
}

TEST_CASE("A transposed convolution counts its second axis as PyTorch does", "[unit]") {
  ParameterList list;
  const TransposedConvolution up(Scope(list).child("up"), 3, 4, 2);
  CHECK(names(list) == Names{"up.weight", "up.bias"});
  CHECK(list[0].shape == Shape{4, 2, 2, 2, 2});
  CHECK(list[0].init.fan == 2 * 8);
  CHECK(list[1].shape == Shape{2});
  graph::Graph graph;
  graph::Recorder on(graph);
  CHECK(up(on, on.input({1, 4, 3, 5, 2})).shape() == Shape{1, 2, 6, 10, 4});
}

TEST_CASE("Norms of each kind", "[unit]") {
  ParameterList list;
  const Scope root(list);
  const Norm batch(root.child("a"), NormKind::batch, 3, 0.4, 0.02);
  CHECK(names(list) == Names{"a.weight", "a.bias", "a.running_mean", "a.running_var", "a.num_batches_tracked"});
  CHECK(std::get<op::BatchNorm>(batch.operation()).momentum == 0.4);
  CHECK(list[0].init.kind == Init::normal_around_one);
  CHECK(list[0].init.gain == 0.02);
  CHECK(list[1].init.kind == Init::zeros);
  CHECK(list[2].role == Role::buffer);
  CHECK(list[3].init.kind == Init::ones);
  CHECK(list[4].role == Role::counter);
  CHECK(list[4].shape.rank() == 0);
  const Norm affine(root.child("b"), NormKind::affine_instance, 3);
  CHECK(list.size() == 7);
  CHECK(list[5].init.kind == Init::ones);
  CHECK(std::get<op::InstanceNorm>(affine.operation()).bias == 6);
  const Norm bare(root.child("c"), NormKind::instance, 3);
  CHECK(list.size() == 7);
  CHECK(std::get<op::InstanceNorm>(bare.operation()).weight == no_parameter);
}

TEST_CASE("A linear layer may share the weight of an earlier one under a name of its own", "[unit]") {
  ParameterList list;
  const Scope root(list);
  const Linear first(root.child("a"), 3, 2);
  const Linear second(root.child("b"), 3, 2, first.operation().weight);
  CHECK(names(list) == Names{"a.weight", "a.bias", "b.weight", "b.bias"});
  CHECK(second.operation().weight == first.operation().weight);
  CHECK(list[2].shared_with == 0);
  CHECK(second.operation().bias == 3);
  CHECK(list.trained_values() == 6 + 2 + 2);
}

TEST_CASE("The parts of a block come in the order that is asked for", "[unit]") {
  BlockOptions options;
  options.dropout_rate = 0.5;
  options.slope = 0.1;
  options.order = BlockOrder::convolution_activation_norm;
  ParameterList list;
  const Block ivadomed(Scope(list).child("x"), "conv1", "conv1_bn", 2, 3, options);
  CHECK(names(list).front() == "x.conv1.weight");
  CHECK(names(list)[2] == "x.conv1_bn.weight");
  CHECK(operations(ivadomed, {1, 2, 4, 4}) == Names{"convolution", "leaky_relu", "batch_norm", "dropout"});
  options.slope = 0;
  options.order = BlockOrder::convolution_norm_activation;
  const Block common(Scope(list).child("y"), "c", "n", 2, 3, options);
  CHECK(operations(common, {1, 2, 4, 4}) == Names{"convolution", "batch_norm", "relu", "dropout"});
  options.order = BlockOrder::norm_activation_convolution;
  options.norm = NormKind::affine_instance;
  const Block before(Scope(list).child("z"), "c", "n", 2, 3, options);
  CHECK(operations(before, {1, 2, 4, 4}) == Names{"dropout", "instance_norm", "relu", "convolution"});
  const auto norm = std::find_if(list.begin(), list.end(), [](const auto& spec) { return spec.name == "z.n.weight"; });
  REQUIRE(norm != list.end());
  CHECK(norm->shape == Shape{2});  // it stands before the convolution
  CHECK(common.dropout.operation().place == 1);
  CHECK(common.dropout.operation().whole_channels);
}

namespace {

/// An interpreter that takes a norm with what stands around it as a whole.
struct Norms {
  struct Value {};
  template <class Operation>
  Value apply(const Operation&, std::span<const Value> inputs) {
    ++operations;
    return inputs[0];
  }
  Value normalize(const NormStep& step, const Value& x) {
    steps.push_back(step);
    return x;
  }
  int operations = 0;
  std::vector<NormStep> steps{};
};
static_assert(Interpreter<Norms>);

}  // namespace

TEST_CASE("An interpreter may take a norm with what stands around it as a whole", "[unit]") {
  const auto order = GENERATE(BlockOrder::convolution_activation_norm, BlockOrder::convolution_norm_activation,
                              BlockOrder::norm_activation_convolution);
  ParameterList list;
  BlockOptions options;
  options.order = order;
  const Block block(Scope(list), "c", "n", 2, 2, options);
  Norms on;
  (void)block(on, Norms::Value{});
  REQUIRE(on.steps.size() == 1);
  const NormStep& step = on.steps.front();
  CHECK(std::holds_alternative<op::BatchNorm>(step.norm));
  CHECK(step.before.has_value() == (order == BlockOrder::convolution_activation_norm));
  CHECK(step.after.has_value() == (order != BlockOrder::convolution_activation_norm));
  const bool ends_in_dropout = order != BlockOrder::norm_activation_convolution;
  CHECK((step.dropout != nullptr) == ends_in_dropout);
  CHECK(on.operations == (ends_in_dropout ? 1 : 2));  // the convolution, and a dropout that stands before the norm
}

TEST_CASE("A FiLM layer makes scale and shift in three steps; ivadomed puts a sigmoid behind the last", "[unit]") {
  ParameterList list;
  const Scope root(list);
  const FilmLayer first(root.child("a"), 3, 8, std::nullopt, false);
  CHECK(names(list) == Names{"a.generator.linear1.weight", "a.generator.linear1.bias", "a.generator.linear2.weight",
                             "a.generator.linear2.bias", "a.generator.linear3.weight", "a.generator.linear3.bias"});
  CHECK(list[0].shape == Shape{64, 3});
  CHECK(list[2].shape == Shape{16, 64});
  CHECK(list[4].shape == Shape{16, 16});
  const FilmLayer second(root.child("b"), 3, 4, first.shared_weights(), true);
  CHECK(list.size() == 12);
  CHECK(list[6].shared_with == 0);
  CHECK(list[8].shared_with == 2);
  CHECK(list[10].shared_with == no_parameter);
  CHECK(list[10].shape == Shape{8, 16});
  CHECK(second.shared_weights().linear2 == 2);

  const auto recorded = [](const FilmLayer& layer, std::int64_t channels) {
    return operations(
        [&](graph::Recorder& on, const graph::Value& x) {
          return layer(on, x, on.input({2, 3}));
        },
        {2, channels, 5, 5});
  };
  CHECK(recorded(first, 8) == Names{"input", "linear", "sigmoid", "linear", "sigmoid", "linear", "modulate"});
  CHECK(recorded(second, 4) ==
        Names{"input", "linear", "sigmoid", "linear", "sigmoid", "linear", "sigmoid", "modulate"});
  CHECK_THROWS_WITH(recorded(first, 4), Contains("modulate") && Contains("2x16"));
}
