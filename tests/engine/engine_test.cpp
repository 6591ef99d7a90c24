// The engine without LibTorch: small networks against plain loops, what is fused and where values lie, and its errors.
#include <algorithm>
#include <cmath>
#include <ivado/engine/engine.hpp>
#include <ivado/model/residual_unet.hpp>
#include <ivado/model/unet.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../nn/plain_interpreter.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Weights that a training might leave: the initial ones, and norms that have seen something.
nn::Weights weights_of(const nn::ParameterList& list) {
  nn::Weights out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto& spec = list[static_cast<nn::ParameterId>(i)];
    if (spec.role == nn::Role::counter || spec.shared_with != nn::no_parameter) continue;
    Array<float> values = nn::initial_values(spec, static_cast<nn::ParameterId>(i), 7);
    if (spec.shape.rank() == 1)
      for (std::int64_t c = 0; c < values.size(); ++c) values[c] += 0.1F * static_cast<float>(c % 5) - 0.15F;
    if (spec.name.ends_with("running_var"))
      for (auto& value : values) value = 0.4F + value * value;
    nn::WeightTensor tensor{spec.name, nn::ElementType::float32, {spec.shape.begin(), spec.shape.end()}, {}};
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    tensor.bytes.assign(bytes, bytes + values.bytes());
    out.tensors.push_back(std::move(tensor));
  }
  return out;
}

/// Numbers without a pattern, of mean 0.3.
Array<float> noise(const Shape& shape, std::uint64_t seed = 1) {
  Array<float> out(shape);
  Rng rng(RandomKey{seed, 0, 0, 0});
  for (auto& value : out) value = static_cast<float>(rng.normal(0.3, 1));
  return out;
}

double distance(const Array<float>& a, const Array<float>& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

/// The engine and plain loops on the same network, one and several samples at once, one and two threads.
template <Architecture Model>
void check(const Model& model, const Shape& shape, double tolerance = 1e-5) {
  const nn::Weights weights = weights_of(model.parameters());
  const Array<float> input = noise(shape);
  const Array<float> expected = test::run_plainly(graph::record(model, shape), weights, input);
  const auto [least, most] = std::minmax_element(expected.begin(), expected.end());
  CHECK(*most - *least > 1e-3F);  // else the comparison says nothing
  Array<float> of_one_thread;
  for (const std::int64_t at_once : {1, 2, 0}) {
    Engine<Model> engine(model, weights, {.threads = 1, .samples_at_once = at_once});
    const Array<float> output = engine.forward(input);
    INFO(shape.text() << ", " << at_once << " at once");
    CHECK(distance(output, expected) <= tolerance);
    CHECK(engine.forward(input) == output);  // nothing is left over of the run before
    if (at_once == 1) of_one_thread = output.clone();
  }
  Engine<Model> engine(model, weights, {.threads = 2, .samples_at_once = 1});
  CHECK(engine.forward(input) == of_one_thread);  // the same bits for any number of threads
}

template <class Kind>
int count(const std::vector<engine::Step>& steps, const graph::Graph& graph) {
  return static_cast<int>(std::count_if(steps.begin(), steps.end(), [&](const auto& step) {
    return std::holds_alternative<Kind>(graph.nodes[static_cast<std::size_t>(step.node)].op);
  }));
}

template <class Model>
Model small(int filters) {
  typename Model::Params params;
  params.n_filters = filters;
  return Model(params);
}

}  // namespace

TEST_CASE("A 2-D U-Net agrees with plain loops", "[unit]") {
  check(small<Unet<2, 2>>(8), {2, 1, 12, 20});  // whole blocks: concatenations happen in place
  check(small<Unet<2, 2>>(5), {1, 1, 13, 10});  // channels that fill no block, odd sizes
  check(small<Unet<2, 1, 3, 2>>(8), {3, 3, 8, 6});
}

TEST_CASE("3-D networks agree with plain loops", "[unit]") {
  check(small<Unet<3, 1>>(8), {2, 1, 6, 8, 5}, 5e-5);
  ResidualUnet<3>::Params params;
  params.n_filters = 8;
  params.blocks = {1, 1};
  check(ResidualUnet<3>(params, {1, 1, 1}), {1, 1, 8, 4, 6}, 5e-5);
}

TEST_CASE("Norms and activations disappear into the convolutions", "[unit]") {
  const Unet<2> model;
  const graph::Graph graph = graph::record(model, {1, 1, 32, 32});
  const auto steps = engine::fuse(graph);
  CHECK(count<nn::op::Convolution>(steps, graph) == 15);
  CHECK(count<nn::op::MaxPool>(steps, graph) == 3);
  CHECK(count<nn::op::ResizeLike>(steps, graph) == 3);
  CHECK(count<nn::op::Concat>(steps, graph) == 3);
  CHECK(steps.size() == 24);
}

TEST_CASE("A norm right behind a convolution goes into its weights, a sum that is ready into the convolution",
          "[unit]") {
  ResidualUnet<2>::Params params;
  const ResidualUnet<2> model(params, {1, 1, 2});
  const graph::Graph graph = graph::record(model, {1, 1, 16, 16});
  const auto steps = engine::fuse(graph);
  CHECK(count<nn::op::Add>(steps, graph) == 0);
  CHECK(count<nn::op::LeakyRelu>(steps, graph) == 0);
}

TEST_CASE("Values share memory only while they do not live at one time", "[unit]") {
  std::vector<engine::Buffer> buffers{{1000, 0, 1, 0}, {2000, 1, 2, 0}, {500, 2, 5, 0}, {1000, 3, 4, 0}, {64, 0, 5, 0}};
  const std::size_t bytes = engine::Arena::place(buffers);
  for (const auto& a : buffers) {
    CHECK(a.offset % engine::Arena::alignment == 0);
    CHECK(a.offset + a.bytes <= bytes);
    for (const auto& b : buffers) {
      if (&a == &b || a.last < b.first || b.last < a.first) continue;
      CHECK((a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset));
    }
  }
  CHECK(bytes < 2000 + 1024 + 1024 + 512);  // the first 1000 and the last are one place
}

TEST_CASE("A batch needs no more memory than four slices or one volume, and plans are kept up to a number", "[unit]") {
  const auto model = small<Unet<2, 2>>(8);
  Engine<Unet<2, 2>> engine(model, weights_of(model.parameters()), {.threads = 1, .plans = 2});
  auto& network = engine.network();
  const std::size_t bytes = network.plan({4, 1, 16, 16}).bytes();
  CHECK(network.plan({9, 1, 16, 16}).bytes() == bytes);
  CHECK(network.plans() == 1);
  const Array<float> input = noise({11, 1, 16, 16});
  const Array<float> together = engine.forward(input);
  Array<float> sample({1, 1, 16, 16});
  for (std::int64_t n = 0; n < 11; ++n) {  // what stands beside a slice does not change its prediction, to the bit
    std::copy_n(input.data() + n * 256, 256, sample.data());
    const Array<float> alone = engine.forward(sample);
    CHECK(std::equal(alone.begin(), alone.end(), together.data() + n * alone.size()));
  }
  CHECK(network.plans() == 2);  // for four, and for one: those left over
  const auto volumes = small<Unet<3, 2>>(8);
  Engine<Unet<3, 2>> of_volumes(volumes, weights_of(volumes.parameters()), {.threads = 1});
  CHECK(of_volumes.network().plan({3, 1, 8, 8, 8}).bytes() == of_volumes.network().plan({1, 1, 8, 8, 8}).bytes());
  CHECK(of_volumes.network().plans() == 1);
  (void)engine.forward(noise({2, 1, 16, 12}));
  (void)engine.forward(noise({2, 1, 16, 8}));
  CHECK(network.plans() == 2);
}

TEST_CASE("The statistics of a channel do not suffer from a large mean", "[unit]") {
  Array<float> values({1, 3, 60, 100});
  Rng rng(RandomKey{5, 0, 0, 0});
  std::vector<double> sums(3);
  for (std::int64_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(1000 + rng.normal(0, 0.5));
  for (const std::int64_t block : {1, 8}) {
    const engine::Layout layout{values.shape(), block};
    std::vector<float> memory(static_cast<std::size_t>(layout.size()));
    engine::copy_channels({values.data(), {values.shape(), 1}}, 0, 3, {memory.data(), layout}, 0);
    engine::ChannelMoments statistics;
    statistics.compute({memory.data(), layout});
    for (std::int64_t c = 0; c < 3; ++c) {
      double mean = 0;
      double variance = 0;
      for (int i = 0; i < 6000; ++i) mean += static_cast<double>(values[c * 6000 + i]) / 6000;
      for (int i = 0; i < 6000; ++i) variance += std::pow(static_cast<double>(values[c * 6000 + i]) - mean, 2) / 6000;
      CHECK(statistics.mean[static_cast<std::size_t>(c)] == Approx(mean).epsilon(1e-9));
      CHECK(statistics.variance[static_cast<std::size_t>(c)] == Approx(variance).epsilon(1e-5));
    }
  }
}

TEST_CASE("In bf16 layers of many channels are by Winograd's algorithm, and near to float32", "[unit]") {
  if (!engine::has_bf16() || engine::winograd_bf16_kernels() == nullptr) {
    WARN("skipped: this processor does not multiply bf16");
    return;
  }
  UnetParams params;
  params.n_filters = 64;
  const Unet<2, 1> model(params);
  const nn::Weights weights = weights_of(model.parameters());
  const Array<float> input = noise({2, 1, 32, 32});
  Engine<Unet<2, 1>> exact(model, weights, {.threads = 2});
  Engine<Unet<2, 1>> low(model, weights, {.threads = 2, .precision = engine::Precision::bf16});
  const Array<float> expected = exact.forward(input);
  const Array<float> found = low.forward(input);
  const auto& lines = low.network().plan(input.shape()).lines();
  CHECK(std::any_of(lines.begin(), lines.end(),
                    [](const std::string& line) { return line.find("winograd in bf16") != std::string::npos; }));
  CHECK(distance(found, expected) > 1e-6);
  CHECK(distance(found, expected) < 0.05);
}

TEST_CASE("The engine says what it cannot do", "[unit]") {
  const auto model = small<Unet<2, 2>>(4);
  nn::Weights weights = weights_of(model.parameters());
  Engine<Unet<2, 2>> engine(model, weights, {.threads = 1});
  CHECK_THROWS_WITH(engine.forward(noise({1, 16, 16})), Contains("running a network") && Contains("1x16x16"));
  CHECK_THROWS_WITH(engine.forward(noise({1, 2, 16, 16})), Contains("wants 1 channels"));
  CHECK_THROWS_WITH(Engine(model, weights, {.threads = -1}), Contains("-1 threads"));
  CHECK_THROWS_WITH(Engine(model, weights, {.samples_at_once = -1}), Contains("samples_at_once is -1"));
  if (!engine::has_bf16())
    CHECK_THROWS_WITH(Engine(model, weights, {.precision = engine::Precision::bf16}),
                      Contains("does not multiply bf16") && Contains("compute in float32"));
  weights.tensors.pop_back();
  CHECK_THROWS_WITH(Engine(model, weights), Contains("no float32 tensor \"decoder.last_conv.bias\""));
}
