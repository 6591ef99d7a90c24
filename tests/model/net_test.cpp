// Net: the same weights from the same seed, gradients everywhere, weights out and in, and the recorded graph on
// LibTorch.
#include <torch/torch.h>

#include <filesystem>
#include <ivado/interop/safetensors.hpp>
#include <ivado/model/any_model.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

template <class Model>
Model small(double dropout_rate = 0.3) {
  typename Model::Params params;
  params.n_filters = 4;
  params.dropout_rate = dropout_rate;
  return Model(params);
}

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!at::equal(a[i], b[i])) return false;
  return true;
}

/// A module of a user's.
struct OneConvolution : torch::nn::Module {
  torch::nn::Conv2d convolution{nullptr};
  OneConvolution() {
    convolution = register_module("convolution", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 1, 3).padding(1)));
  }
  at::Tensor forward(const at::Tensor& x) { return torch::sigmoid(convolution(x)); }
};

}  // namespace

TEST_CASE("One seed gives one net", "[unit]") {
  CHECK(equal(Net(small<Unet<2, 2>>(), 7).tensors(), Net(small<Unet<2, 2>>(), 7).tensors()));
  CHECK_FALSE(equal(Net(small<Unet<2, 2>>(), 7).tensors(), Net(small<Unet<2, 2>>(), 8).tensors()));
}

TEMPLATE_TEST_CASE("Every parameter gets a gradient, and the output lies in [0, 1]", "[unit]", (Unet<2, 2>),
                   (Unet<3, 1>)) {
  Net net(small<TestType>(), 1);
  at::manual_seed(1);
  const at::Tensor input = TestType::dimension == 2 ? at::randn({2, 1, 19, 16}) : at::randn({2, 1, 8, 7, 6});
  const at::Tensor output = net.forward(input, {1, 1, 0, 0});
  CHECK(output.sizes() == input.sizes());
  CHECK(output.min().template item<float>() >= 0);
  CHECK(output.max().template item<float>() <= 1);
  output.sum().backward();
  for (const auto& tensor : net.trained()) CHECK(tensor.grad().defined());
}

TEMPLATE_TEST_CASE("The recorded graph computes what the forward computes", "[unit]", (Unet<2, 3>), (Unet<3, 2>)) {
  Net net(small<TestType>(), 3);
  net.train(false);
  at::manual_seed(2);
  const at::Tensor input = TestType::dimension == 2 ? at::randn({2, 1, 21, 24}) : at::randn({1, 1, 12, 9, 8});
  Shape shape;
  for (const auto extent : input.sizes()) shape.push_back(extent);
  const graph::Graph graph = graph::record(net.model(), shape);
  std::vector<at::Tensor> tensors = net.tensors();
  nn::TorchInterpreter on(tensors, false);
  const at::Tensor replayed = graph::run(graph, on, std::span<const at::Tensor>(&input, 1));
  CHECK((replayed - net.forward(input)).abs().max().template item<double>() <= 1e-5);
  CHECK(replayed.sizes() == at::IntArrayRef(graph.nodes.back().shape.begin(), graph.nodes.back().shape.end()));
}

TEST_CASE("Dropout is a function of its key, and off in evaluation", "[unit]") {
  Net net(small<Unet<2, 2>>(0.5), 1);
  at::manual_seed(3);
  const at::Tensor input = at::randn({2, 1, 16, 16});
  const auto run = [&](const RandomKey& key) { return net.forward(input, key).detach(); };
  const at::Tensor first = run({1, 1, 1, 0});
  CHECK(at::equal(first, run({1, 1, 1, 0})));
  CHECK_FALSE(at::equal(first, run({1, 1, 2, 0})));
  CHECK_FALSE(at::equal(first, run({1, 2, 1, 0})));
  net.train(false);
  CHECK(at::equal(run({1, 1, 1, 0}), run({1, 1, 2, 0})));
}

TEST_CASE("Training moves the running statistics, evaluation does not", "[unit]") {
  Net net(small<Unet<2, 1>>(), 1);
  const auto names = net.names();
  const auto place = static_cast<std::size_t>(
      std::find(names.begin(), names.end(), "encoder.down_path.0.conv1_bn.running_mean") - names.begin());
  REQUIRE(place < names.size());
  const auto counter = static_cast<std::size_t>(
      std::find(names.begin(), names.end(), "encoder.down_path.0.conv1_bn.num_batches_tracked") - names.begin());
  at::manual_seed(4);
  const at::Tensor input = at::randn({2, 1, 8, 8});
  const at::Tensor before = net.tensors()[place].clone();
  net.train(false);
  (void)net.forward(input);
  CHECK(at::equal(net.tensors()[place], before));
  net.train(true);
  (void)net.forward(input);
  CHECK_FALSE(at::equal(net.tensors()[place], before));
  CHECK(net.tensors()[counter].item<std::int64_t>() == 1);
}

TEST_CASE("Weights go out and come back, and what does not fit is listed", "[unit]") {
  const auto path =
      (std::filesystem::temp_directory_path() / ("ivado-net-" + std::to_string(::getpid()) + ".safetensors")).string();
  Net first(small<Unet<2, 2>>(), 7);
  Net second(small<Unet<2, 2>>(), 8);
  write_safetensors(path, weights_of(first));
  load_weights(second, read_safetensors(path), path);
  CHECK(equal(first.tensors(), second.tensors()));
  for (const auto& tensor : second.trained()) CHECK(tensor.requires_grad());

  nn::Weights weights = read_safetensors(path);
  std::filesystem::remove(path);
  weights.tensors[0].name = "something else";
  weights.tensors[2].shape = {2, 2};
  Net third(small<Unet<2, 2>>(), 9);
  const nn::Weights untouched = weights_of(third);
  CHECK_THROWS_WITH(load_weights(third, weights, "w"),
                    Contains("encoder.down_path.0.conv1.weight is missing") &&
                        Contains("something else is not in the model") &&
                        Contains("encoder.down_path.0.conv1_bn.weight has shape [2, 2], the model [4]"));
  CHECK((untouched.tensors[0].bytes == weights_of(third).tensors[0].bytes));
}

TEST_CASE("Multi-channel relu and softmax outputs", "[unit]") {
  using Three = Unet<2, 1, 1, 2>;
  Three::Params params;
  params.n_filters = 4;
  at::manual_seed(5);
  const at::Tensor input = at::randn({3, 1, 8, 8});
  params.final_activation = FinalActivation::softmax;
  Net softmax(Three(params), 1);
  softmax.train(false);
  const at::Tensor sum = softmax.forward(input).sum(1);
  CHECK(sum.max().item<double>() < 1);  // the dropped background has the rest
  params.final_activation = FinalActivation::relu;
  Net relu(Three(params), 1);
  relu.train(false);
  const at::Tensor whole = relu.forward(input);
  CHECK(whole.sizes() == at::IntArrayRef({3, 2, 8, 8}));
}

TEST_CASE("A relu output depends on its own sample alone, with as_ivadomed on the whole batch", "[unit]") {
  using One = Unet<2, 1>;
  One::Params params;
  params.n_filters = 4;
  params.final_activation = FinalActivation::relu;
  at::manual_seed(5);
  const at::Tensor input = at::randn({3, 1, 8, 8});
  const auto largest_change = [&] {
    Net net(One(params), 1);
    net.train(false);
    const at::Tensor together = net.forward(input);
    double largest = 0;
    for (std::int64_t i = 0; i < 3; ++i)
      largest =
          std::max(largest, (together.narrow(0, i, 1) - net.forward(input.narrow(0, i, 1))).abs().max().item<double>());
    return largest;
  };
  CHECK(largest_change() < 1e-5);
  params.as_ivadomed = true;
  CHECK(largest_change() > 1e-3);
}

TEST_CASE("A torch::nn::Module has the interface of a net", "[unit]") {
  ModuleNet<OneConvolution> net(std::make_shared<OneConvolution>());
  CHECK(net.names() == std::vector<std::string>{"convolution.weight", "convolution.bias"});
  CHECK(net.trained().size() == 2);
  const at::Tensor output = net.forward(at::randn({1, 1, 5, 5}));
  CHECK(output.sizes() == at::IntArrayRef({1, 1, 5, 5}));
  ModuleNet<OneConvolution> other(std::make_shared<OneConvolution>());
  load_weights(other, weights_of(net), "memory");
  CHECK(equal(net.tensors(), other.tensors()));
}

TEST_CASE("A model chosen at run time computes what its type computes", "[unit]") {
  ModelParameters section;
  section.n_filters = 4;
  section.depth = 2;
  Net any(make_model<AnyModel>(section, 1, 1), 7);
  Net typed(small<Unet<2, 2>>(), 7);
  at::manual_seed(6);
  const at::Tensor input = at::randn({2, 1, 12, 12});
  CHECK(at::equal(any.forward(input, {1, 0, 0, 0}), typed.forward(input, {1, 0, 0, 0})));
}
