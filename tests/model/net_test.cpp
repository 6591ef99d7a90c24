// Net: the same weights from the same seed, weights out and in, dropout and running statistics, layers, deep
// supervision. The laws of architectures are in model_laws_test.cpp, transfer learning in train/transfer_test.cpp.
#include <torch/torch.h>

#include <filesystem>
#include <ivado/interop/safetensors.hpp>
#include <ivado/model/any_model.hpp>
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/residual_unet.hpp>
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

/// The average of some forwards with dropout sampled.
template <class AnyNet>
at::Tensor average(AnyNet& net, const at::Tensor& input, std::uint32_t runs) {
  at::Tensor sum = at::zeros_like(input);
  for (std::uint32_t run = 0; run < runs; ++run) sum += net.forward(input, {}, {1, run, 0, 0}).detach();
  return sum / static_cast<double>(runs);
}

/// A module with dropout and norm in a part of it.
struct Dropping : torch::nn::Module {
  torch::nn::Sequential parts;
  torch::nn::BatchNorm2d norm{nullptr};
  explicit Dropping(double rate = 0.5) {
    parts = register_module("parts", torch::nn::Sequential(torch::nn::Dropout2d(rate), torch::nn::Dropout(rate)));
    norm = register_module("norm", torch::nn::BatchNorm2d(16));
  }
  at::Tensor forward(const at::Tensor& x) { return norm(parts->forward(x)); }
};

/// A module of a user's.
struct OneConvolution : torch::nn::Module {
  torch::nn::Conv2d convolution{nullptr};
  OneConvolution() {
    convolution = register_module("convolution", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 1, 3).padding(1)));
  }
  at::Tensor forward(const at::Tensor& x) { return torch::sigmoid(convolution(x)); }
};

}  // namespace

TEST_CASE("A batch of a size that a model does not take is refused with the rule of its sizes") {
  Net net(small<Modified3DUNet<>>());
  for (const bool training : {true, false}) {
    net.train(training);
    CHECK_THROWS_WITH((void)net.forward(at::zeros({1, 1, 32, 32, 20})),
                      Contains("1x1x32x32x20") && Contains("multiples of 16, at least 32"));
    CHECK_THROWS_WITH((void)net.forward_supervised(at::zeros({1, 1, 32, 32, 20})), Contains("multiples of 16"));
  }
  CHECK(net.forward(at::zeros({1, 1, 32, 32, 48})).sizes() == at::IntArrayRef({1, 1, 32, 32, 48}));
}

TEST_CASE("One seed gives one net", "[unit]") {
  CHECK(equal(Net(small<Unet<2, 2>>(), 7).tensors(), Net(small<Unet<2, 2>>(), 7).tensors()));
  CHECK_FALSE(equal(Net(small<Unet<2, 2>>(), 7).tensors(), Net(small<Unet<2, 2>>(), 8).tensors()));
}

TEST_CASE("Dropout is a function of its key, and off in evaluation", "[unit]") {
  Net net(small<Unet<2, 2>>(0.5), 1);
  at::manual_seed(3);
  const at::Tensor input = at::randn({2, 1, 16, 16});
  const auto run = [&](const RandomKey& key) { return net.forward(input, {}, key).detach(); };
  const at::Tensor first = run({1, 1, 1, 0});
  CHECK(at::equal(first, run({1, 1, 1, 0})));
  CHECK_FALSE(at::equal(first, run({1, 1, 2, 0})));
  CHECK_FALSE(at::equal(first, run({1, 2, 1, 0})));
  net.train(false);
  CHECK(at::equal(run({1, 1, 1, 0}), run({1, 1, 2, 0})));
}

TEST_CASE("Sampled dropout works in evaluation, and leaves the running statistics alone", "[unit]") {
  Net net(small<Unet<2, 2>>(0.5), 1);
  at::manual_seed(3);
  const at::Tensor input = at::randn({2, 1, 16, 16});
  (void)net.forward(input, {}, {1, 0, 0, 0});
  net.train(false);
  const at::Tensor plain = net.forward(input).detach();
  std::vector<at::Tensor> before;
  for (const auto& tensor : net.tensors()) before.push_back(tensor.detach().clone());

  net.sample_dropout(true);
  CHECK_FALSE(net.is_training());
  const auto run = [&](const RandomKey& key) { return net.forward(input, {}, key).detach(); };
  const at::Tensor first = run({1, 0, 0, 0});
  CHECK_FALSE(at::equal(first, plain));
  CHECK(at::equal(first, run({1, 0, 0, 0})));
  for (const RandomKey& other : {RandomKey{2, 0, 0, 0}, RandomKey{1, 1, 0, 0}, RandomKey{1, 0, 1, 0}})
    CHECK_FALSE(at::equal(first, run(other)));
  CHECK(equal(before, net.tensors()));
  net.freeze_before(net.layers());  // a part that is not trained drops as well: it is not what is asked here
  CHECK(at::equal(first, run({1, 0, 0, 0})));
  net.sample_dropout(false);
  CHECK(at::equal(net.forward(input, {}, {1, 1, 0, 0}).detach(), plain));

  const Shape shape{1, 1, 16, 16};
  CHECK(net.has_dropout(shape));
  CHECK_FALSE(Net(small<Unet<2, 2>>(0), 1).has_dropout(shape));
}

TEST_CASE("A module's dropout is sampled wherever it stands, its norm stays in evaluation", "[unit]") {
  ModuleNet<Dropping> net(std::make_shared<Dropping>());
  net.train(false);
  at::manual_seed(3);
  const at::Tensor input = at::rand({2, 16, 4, 4});
  const at::Tensor plain = net.forward(input).detach();
  std::vector<at::Tensor> before;
  for (const auto& tensor : net.tensors()) before.push_back(tensor.detach().clone());
  net.sample_dropout(true);
  const auto run = [&](const RandomKey& key) { return net.forward(input, {}, key).detach(); };
  const at::Tensor first = run({1, 0, 0, 0});
  CHECK(at::equal(first, run({1, 0, 0, 0})));
  CHECK((first == 0).any().item<bool>());
  for (const RandomKey& other : {RandomKey{2, 0, 0, 0}, RandomKey{1, 1, 0, 0}, RandomKey{1, 0, 1, 0}})
    CHECK_FALSE(at::equal(first, run(other)));
  // Both dropouts keep the mean: over 2000 runs its standard error is the value (below 1) times √(3 / 2000) = 0.04.
  CHECK((average(net, input, 2000) - plain).abs().max().item<double>() < 0.2);
  CHECK(equal(before, net.tensors()));
  net.sample_dropout(false);
  CHECK(at::equal(run({1, 0, 0, 0}), plain));
  CHECK(net.has_dropout());
  CHECK_FALSE(ModuleNet<OneConvolution>(std::make_shared<OneConvolution>()).has_dropout());
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
  Net any(make_model<AnyModel>(section, {1, 1}), 7);
  Net typed(small<Unet<2, 2>>(), 7);
  at::manual_seed(6);
  const at::Tensor input = at::randn({2, 1, 12, 12});
  CHECK(at::equal(any.forward(input, {}, {1, 0, 0, 0}), typed.forward(input, {}, {1, 0, 0, 0})));
}

TEST_CASE("Layers are counted by their trained tensors, and new values are those of a new net", "[unit]") {
  Net net(small<Unet<2, 1>>(), 7);
  CHECK(net.layers() == 13);  // 3 double blocks of four layers, and the last convolution
  CHECK(net.first_tensor_of(0) == 0);
  CHECK(net.names()[net.first_tensor_of(1)] == "encoder.down_path.0.conv1_bn.weight");
  CHECK(net.names()[net.first_tensor_of(12)] == "decoder.last_conv.weight");
  CHECK(net.first_tensor_of(13) == net.tensors().size());
  at::manual_seed(8);
  (void)net.forward(at::randn({2, 1, 8, 8}));
  const auto parameters = net.tensors();
  net.reset_from(0, 9);
  CHECK(equal(net.tensors(), Net(small<Unet<2, 1>>(), 9).tensors()));
  CHECK(net.tensors()[0].is_same(parameters[0]));  // in place: an optimiser goes on with them
  CHECK(net.trained().size() == 26);
  net.freeze_before(12);
  CHECK(net.trained().size() == 2);
  for (std::size_t i = 0; i < net.tensors().size(); ++i) CHECK_FALSE(net.is_alias(i));
}

TEST_CASE("Deep supervision gives coarser predictions behind the prediction, another net that alone", "[unit]") {
  using Deep = ResidualUnet<2>;
  Deep::Params params;
  params.n_filters = 2;
  Net deep(Deep(params, {1, 1, 3}), 1);
  at::manual_seed(9);
  const at::Tensor input = at::randn({2, 1, 16, 24});
  const auto outputs = deep.forward_supervised(input);
  REQUIRE(outputs.size() == 2);
  CHECK(at::equal(outputs[0], deep.forward(input)));
  CHECK(outputs[1].sizes() == at::IntArrayRef({2, 1, 8, 12}));
  Net plain(small<Unet<2, 1>>(), 1);
  const auto alone = plain.forward_supervised(input, {}, {1, 0, 0, 0});
  REQUIRE(alone.size() == 1);
  CHECK(at::equal(alone[0], plain.forward(input, {}, {1, 0, 0, 0})));
}

TEST_CASE("The first tensors alone may be loaded", "[unit]") {
  Net first(small<Unet<2, 1>>(), 1);
  Net second(small<Unet<2, 1>>(), 2);
  const nn::Weights before = weights_of(second);
  nn::Weights weights = weights_of(first);
  weights.tensors.back().name = "something else";
  CHECK_NOTHROW(load_weights(second, weights, "w", 3));
  const nn::Weights after = weights_of(second);
  for (std::size_t i = 0; i < after.tensors.size(); ++i)
    CHECK((after.tensors[i].bytes == (i < 3 ? weights : before).tensors[i].bytes));
  CHECK_THROWS_WITH(load_weights(second, weights, "w"),
                    Contains("decoder.last_conv.bias is missing") && Contains("something else is not in the model"));
}

namespace {

/// A module of a user's that takes a condition.
struct Conditioned : torch::nn::Module {
  torch::nn::Linear linear{nullptr};
  Conditioned() { linear = register_module("linear", torch::nn::Linear(2, 1)); }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition) {
    return x + linear(condition).unsqueeze(2).unsqueeze(3);
  }
};

}  // namespace

TEST_CASE("A torch::nn::Module is given the condition where it takes one", "[unit]") {
  ModuleNet<Conditioned> net(std::make_shared<Conditioned>());
  const at::Tensor image = at::zeros({2, 1, 3, 3});
  const at::Tensor output = net.forward(image, at::eye(2));
  CHECK_FALSE(at::equal(output[0], output[1]));
  CHECK(at::equal(net.forward_supervised(image, at::eye(2)).at(0), output));
  CHECK(net.layers() == 1);
  CHECK(net.first_tensor_of(1) == 2);
  CHECK_THROWS_WITH(net.reset_from(0, 1), Contains("torch::nn::Module"));
  CHECK_NOTHROW(net.reset_from(1, 1));
}
