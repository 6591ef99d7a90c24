// Transfer learning: which layers are frozen, that nothing of them changes or is differentiated, new values for the
// others, and what does not fit.
#include <torch/torch.h>

#include <algorithm>
#include <ivado/data/case.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/densenet.hpp>
#include <ivado/model/filmed_unet.hpp>
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/resnet.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/train/trainer.hpp>
#include <ivado/train/transfer.hpp>
#include <optional>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using Small = Unet<2, dynamic, dynamic, dynamic>;

Net<Small> small(std::uint64_t seed, double dropout_rate = 0, int classes = 1) {
  Small::Params params;
  params.n_filters = 4;
  params.dropout_rate = dropout_rate;
  return Net(Small(params, {1, classes, 2}), seed);
}

template <class AnyNet>
std::vector<at::Tensor> copies(const AnyNet& net) {
  std::vector<at::Tensor> out;
  for (const auto& tensor : net.tensors()) out.push_back(tensor.detach().clone());
  return out;
}

/// The first tensor that differs between copies and a net; the number of tensors where none does.
template <class AnyNet>
std::size_t first_difference(const std::vector<at::Tensor>& before, const AnyNet& net) {
  std::size_t i = 0;
  while (i < before.size() && at::equal(before[i], net.tensors()[i])) ++i;
  return i;
}

at::Tensor noise(std::uint64_t seed, const std::vector<std::int64_t>& shape) {
  at::manual_seed(seed);
  return at::randn(shape);
}

struct Frozen {
  std::size_t layers;
  std::size_t first_trained;
  std::string pivot;    ///< the first tensor that is trained, without its last part
  std::size_t tensors;  ///< frozen, of those that would be trained
};

/// What a fraction freezes in a list of parameters.
Frozen frozen(const nn::ParameterList& list, double fraction) {
  const auto layers = list.layers();
  Frozen out{layers.size(), first_trained_layer(layers.size(), fraction), {}, 0};
  const bool none = out.first_trained == layers.size();
  const auto end = none ? static_cast<nn::ParameterId>(list.size()) : layers[out.first_trained];
  if (!none) out.pivot = list[end].layer();
  for (nn::ParameterId i = 0; i < end; ++i) out.tensors += list[i].role == nn::Role::weight ? 1U : 0U;
  return out;
}

void check_frozen(const Frozen& found, std::size_t layers, std::size_t first_trained, std::size_t tensors) {
  CHECK(found.layers == layers);
  CHECK(found.first_trained == first_trained);
  CHECK(found.tensors == tensors);
}

}  // namespace

TEST_CASE("The first layer that is trained is rounded half to even", "[unit]") {
  CHECK(first_trained_layer(29, 0.25) == 22);
  CHECK(first_trained_layer(29, 0.5) == 14);  // 14.5
  CHECK(first_trained_layer(27, 0.5) == 14);  // 13.5
  CHECK(first_trained_layer(29, 1) == 0);
  CHECK(first_trained_layer(29, 0) == 29);
}

TEST_CASE("As many tensors are frozen as in ivadomed where all layers have parameters", "[unit]") {
  // reference/models.md, section 9: n, k, frozen tensors, and the first trained layer
  const Unet<2> model;
  const nn::ParameterList& unet = model.parameters();
  check_frozen(frozen(unet, 0.25), 29, 22, 44);
  check_frozen(frozen(unet, 0.5), 29, 14, 28);
  check_frozen(frozen(unet, 0.75), 29, 7, 14);
  CHECK(frozen(unet, 0.25).pivot == "decoder.up_path.2.downconv.conv2");
  CHECK(frozen(unet, 0.5).pivot == "encoder.conv_bottom.conv2");
  CHECK(frozen(unet, 0.75).pivot == "encoder.down_path.3.conv2_bn");

  FiLMedUnet<2>::Params film;
  film.film_layers = {0, 1, 0, 0, 0, 0, 0, 0};
  const FiLMedUnet<2> filmed(film, {1, 1, 3, 3});
  check_frozen(frozen(filmed.parameters(), 0.25), 32, 24, 48);
  check_frozen(frozen(filmed.parameters(), 0.5), 32, 16, 32);
  check_frozen(frozen(filmed.parameters(), 0.75), 32, 8, 16);

  const ResNet<18> resnet;
  check_frozen(frozen(resnet.parameters(), 0.25), 41, 31, 46);
  check_frozen(frozen(resnet.parameters(), 0.5), 41, 20, 30);
  check_frozen(frozen(resnet.parameters(), 0.75), 41, 10, 15);
  CHECK(frozen(resnet.parameters(), 0.25).pivot == "layer4.0.bn1");

  const DenseNet<121> densenet;
  check_frozen(frozen(densenet.parameters(), 0.25), 242, 182, 273);
  check_frozen(frozen(densenet.parameters(), 0.5), 242, 121, 182);
  check_frozen(frozen(densenet.parameters(), 0.75), 242, 60, 90);
}

TEST_CASE("Norms without parameters are no layers, so only the fraction 0 freezes everything", "[unit]") {
  const Modified3DUNet<> model;  // known-problems B4.1: for these ivadomed freezes all
  CHECK(frozen(model.parameters(), 1).tensors == 0);
  CHECK(frozen(model.parameters(), 0).tensors == 26);
  std::size_t last = 26;
  for (int i = 1; i < 20; ++i) {
    const Frozen found = frozen(model.parameters(), 0.05 * i);
    INFO(0.05 * i);
    CHECK(found.layers == 26);
    CHECK(found.tensors < 26);
    CHECK(found.tensors == found.first_trained);  // a tensor a layer
    CHECK(found.tensors <= last);
    last = found.tensors;
  }
}

TEST_CASE("The fraction 1 trains all, from the weights or from new values", "[unit]") {
  const auto trained = small(1);
  auto net = small(2);
  const TransferSummary summary = transfer(net, weights_of(trained), 1, false, "w", 3);
  CHECK(summary.layers == 21);  // 5 double blocks of four layers, and the last convolution
  CHECK(summary.first_trained == 0);
  CHECK_FALSE(summary.reset);
  CHECK(first_difference(copies(trained), net) == trained.tensors().size());
  CHECK(net.trained().size() == 42);
  auto fresh = small(2);
  CHECK(transfer(fresh, weights_of(trained), 1, true, "w", 3).reset);
  CHECK(first_difference(copies(small(3)), fresh) == fresh.tensors().size());  // a new net of that seed
}

TEST_CASE("The fraction 0 trains none, and the weights are there whole", "[unit]") {
  const auto trained = small(1);
  const bool reset = GENERATE(false, true);
  auto net = small(2);
  CHECK(transfer(net, weights_of(trained), 0, reset, "w", 3).first_trained == net.layers());
  CHECK(first_difference(copies(trained), net) == trained.tensors().size());
  CHECK(net.trained().empty());
  CHECK_FALSE(net.forward(noise(1, {1, 1, 8, 8})).requires_grad());
}

TEST_CASE("A training step changes no frozen tensor, running statistics and counters included", "[unit]") {
  auto trained = small(1);
  (void)trained.forward(noise(1, {2, 1, 8, 8}));  // statistics that differ from the first ones
  auto net = small(2);
  const auto summary = transfer(net, weights_of(trained), 0.5, false, "w", 3);
  CHECK(summary.first_trained == 10);
  const std::size_t end = net.first_tensor_of(summary.first_trained);
  CHECK(net.names()[end] == "encoder.conv_bottom.conv2.weight");
  for (std::size_t i = 0; i < end; ++i) CHECK_FALSE(net.tensors()[i].requires_grad());
  for (std::size_t i = end; i < net.tensors().size(); ++i)
    CHECK(net.tensors()[i].requires_grad() ==
          (net.model().parameters()[static_cast<nn::ParameterId>(i)].role == nn::Role::weight));
  const auto before = copies(net);
  Adam adam({}, net.trained());
  const at::Tensor image = noise(2, {2, 1, 8, 8});
  const at::Tensor loss = net.forward(image, {}, {1, 1, 1, 0}).mean();
  loss.backward();
  adam.step(0.1);
  CHECK(first_difference(before, net) == end);
  std::size_t changed = 0;
  for (std::size_t i = end; i < before.size(); ++i) changed += at::equal(before[i], net.tensors()[i]) ? 0U : 1U;
  CHECK(changed == before.size() - end);
  for (std::size_t i = 0; i < end; ++i) CHECK_FALSE(net.tensors()[i].grad().defined());
}

namespace {

/// Runs what it is given on LibTorch and notes which results are differentiated.
struct GradientLog {
  using Value = at::Tensor;
  nn::TorchInterpreter on;
  std::vector<bool> differentiated{};

  template <class Operation>
  Value apply(const Operation& operation, std::span<const Value> inputs) {
    Value out = on.apply(operation, inputs);
    differentiated.push_back(out.requires_grad());
    return out;
  }
};

}  // namespace

TEST_CASE("No autograd graph reaches the frozen part, and no dropout acts there", "[unit]") {
  auto net = small(1, 0.5);
  net.freeze_before(10);  // of which the last is the first convolution of the bottom with its norm
  const at::Tensor image = noise(2, {2, 1, 8, 8});
  const auto graph = graph::record(net.model(), {2, 1, 8, 8});
  std::vector<at::Tensor> tensors = net.tensors();
  GradientLog log{nn::TorchInterpreter(tensors, true, {1, 1, 1, 0}, true)};
  (void)graph::run(graph, log, std::span<const at::Tensor>(&image, 1));
  const auto first = std::find(log.differentiated.begin(), log.differentiated.end(), true) - log.differentiated.begin();
  REQUIRE(first + 1 < static_cast<std::ptrdiff_t>(graph.nodes.size()));
  CHECK(graph.nodes[static_cast<std::size_t>(first) + 1].name == "encoder.conv_bottom.conv2");
  for (std::size_t i = static_cast<std::size_t>(first); i < log.differentiated.size(); ++i)
    CHECK((log.differentiated[i] || nn::op_name(graph.nodes[i + 1].op) == "resize_like" ||
           nn::op_name(graph.nodes[i + 1].op) == "concat"));

  // A whole net that is frozen computes in training what it computes in evaluation.
  net.freeze_before(net.layers());
  const at::Tensor training = net.forward(image, {}, {1, 1, 1, 0});
  CHECK_FALSE(training.requires_grad());
  net.train(false);
  CHECK(at::equal(training, net.forward(image)));
}

TEST_CASE("A reset gives new values to the trained layers alone", "[unit]") {
  auto trained = small(1);
  (void)trained.forward(noise(1, {2, 1, 8, 8}));
  const auto before = copies(trained);
  auto net = small(2);
  const auto summary = transfer(net, weights_of(trained), 0.5, true, "w", 3);
  const std::size_t end = net.first_tensor_of(summary.first_trained);
  CHECK(first_difference(before, net) == end);
  const auto fresh = small(3);
  for (std::size_t i = end; i < before.size(); ++i) REQUIRE(at::equal(net.tensors()[i], fresh.tensors()[i]));
}

TEST_CASE("With a reset the weights may be of another number of classes; without, what differs is listed", "[unit]") {
  const auto three = small(1, 0, 3);
  auto net = small(2);
  const nn::Weights weights = weights_of(three);
  const auto untouched = copies(net);
  CHECK_THROWS_WITH(transfer(net, weights, 0.5, false, "three.pt", 3),
                    Contains("loading the weights three.pt") &&
                        Contains("decoder.last_conv.weight has shape [3, 4, 3, 3], the model [1, 4, 3, 3]") &&
                        Contains("decoder.last_conv.bias has shape [3], the model [1]"));
  CHECK(first_difference(untouched, net) == untouched.size());
  CHECK(net.trained().size() == 42);
  CHECK_NOTHROW(transfer(net, weights, 0.5, true, "three.pt", 3));
  CHECK(at::equal(net.tensors()[0], three.tensors()[0]));

  nn::Weights other = weights_of(small(1));
  other.tensors[0].name = "something";
  CHECK_THROWS_WITH(transfer(net, other, 0.5, false, "w", 3), Contains("encoder.down_path.0.conv1.weight is missing") &&
                                                                  Contains("something is not in the model"));
  CHECK_THROWS_WITH(transfer(net, other, 0.5, true, "w", 3), Contains("encoder.down_path.0.conv1.weight is missing"));
}

TEST_CASE("FiLM weights that a frozen layer owns stay frozen in the layers behind", "[unit]") {
  using Filmed = FiLMedUnet<2, 1>;
  Filmed::Params params;
  params.n_filters = 4;
  Net net(Filmed(params, {1, 1, 1, 2}), 1);
  // Layers: conv1, its norm, conv2, its norm, three linear ones of the first FiLM layer, then the bottom.
  net.freeze_before(7);
  const auto before = copies(net);
  const auto fresh = copies(Net(Filmed(params, {1, 1, 1, 2}), 9));
  net.reset_from(7, 9);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const bool shared = net.is_alias(i);
    if (shared) CHECK_FALSE(net.tensors()[i].requires_grad());
    CHECK(at::equal(net.tensors()[i], shared || i < net.first_tensor_of(7) ? before[i] : fresh[i]));
  }
}

namespace {

/// Batches of noise with a label each.
class Noise {
 public:
  struct Loaded {
    Batch batch;
  };
  struct Set {
    std::vector<Case> cases = std::vector<Case>(1);
    [[nodiscard]] const Case& case_of(std::size_t) const { return cases[0]; }
  };
  void start(std::uint32_t) { next_ = 0; }
  [[nodiscard]] std::size_t batches() const { return 3; }
  [[nodiscard]] double waited_s() const { return 0; }
  [[nodiscard]] const Set& dataset() const { return set_; }
  void recycle(Batch&&) {}
  std::optional<Loaded> next() {
    if (next_ == 3) return std::nullopt;
    Loaded out{{zeros({2, 1, 8, 8}), zeros({2, 1, 8, 8}), std::vector<Origin>(2)}};
    Rng rng(RandomKey{5, 0, static_cast<std::uint32_t>(next_++), stream_user});
    for (auto& value : out.batch.image) value = static_cast<float>(rng.normal());
    for (auto& value : out.batch.label) value = rng.bernoulli(0.5) ? 1.0F : 0.0F;
    return out;
  }

 private:
  int next_ = 0;
  Set set_;
};

struct Silent {
  void on_batch(const EpochSummary&, std::int64_t, std::int64_t, double) {}
  void on_epoch(const EpochSummary&) {}
};

template <class AnyNet>
FitSummary fit_on_noise(AnyNet& net) {
  FitOptions options;
  options.epochs = 2;
  Adam adam({}, net.trained());
  NoProfiler profiler;
  Noise training;
  Noise validation;
  Silent silent;
  return fit(net, DiceLoss(), adam, CosineAnnealing({}, 0.01, 2), profiler, training, &validation, options, silent);
}

}  // namespace

TEST_CASE("Training a net that is frozen whole changes nothing", "[train]") {
  auto net = small(1, 0.3);
  net.freeze_before(net.layers());
  const auto before = copies(net);
  const FitSummary summary = fit_on_noise(net);
  CHECK(first_difference(before, net) == before.size());
  REQUIRE(summary.epochs.size() == 2);
  CHECK(summary.epochs[0].training_loss == summary.epochs[1].training_loss);
  // No dropout and running statistics: on the same data training and validation agree.
  CHECK(summary.epochs[0].training_loss == Approx(summary.epochs[0].validation_loss).epsilon(1e-6));
}

TEST_CASE("Training a net that is frozen in part changes the rest", "[train]") {
  auto net = small(1, 0.3);
  net.freeze_before(20);
  const auto before = copies(net);
  (void)fit_on_noise(net);
  CHECK(first_difference(before, net) == net.first_tensor_of(20));
  CHECK(net.names()[net.first_tensor_of(20)] == "decoder.last_conv.weight");
}

namespace {

/// A module of a user's: two convolutions with a norm between.
struct Two : torch::nn::Module {
  torch::nn::Conv2d first{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Conv2d last{nullptr};
  Two() {
    first = register_module("first", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 3, 3).padding(1)));
    norm = register_module("norm", torch::nn::BatchNorm2d(3));
    last = register_module("last", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 1, 1)));
  }
  at::Tensor forward(const at::Tensor& x) { return torch::sigmoid(last(norm(torch::relu(first(x))))); }
};

}  // namespace

TEST_CASE("A torch::nn::Module transfers: frozen parts keep values and statistics", "[train]") {
  at::manual_seed(3);
  ModuleNet<Two> trained(std::make_shared<Two>());
  trained.train(true);
  (void)trained.forward(noise(1, {2, 1, 8, 8}));
  ModuleNet<Two> net(std::make_shared<Two>());
  const auto summary = transfer(net, weights_of(trained), 0.34, false, "w", 3);
  CHECK(summary.layers == 3);
  CHECK(summary.first_trained == 2);
  CHECK(first_difference(copies(trained), net) == trained.tensors().size());
  const auto before = copies(net);
  (void)fit_on_noise(net);
  const auto names = net.names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    INFO(names[i]);
    CHECK(at::equal(before[i], net.tensors()[i]) == (names[i].substr(0, 4) != "last"));
  }
}

TEST_CASE("A torch::nn::Module has no new values for its layers; frozen whole it takes all of the weights", "[unit]") {
  at::manual_seed(3);
  ModuleNet<Two> trained(std::make_shared<Two>());
  trained.train(true);
  (void)trained.forward(noise(1, {2, 1, 8, 8}));
  ModuleNet<Two> net(std::make_shared<Two>());
  CHECK_THROWS_WITH(transfer(net, weights_of(trained), 0.34, true, "w", 3),
                    Contains("torch::nn::Module") && Contains("transfer_learning.reset"));
  (void)transfer(net, weights_of(trained), 0, true, "w", 3);
  CHECK(first_difference(copies(trained), net) == trained.tensors().size());
  CHECK(net.trained().empty());
}

namespace {

/// A part of a user's module with a parameter of its own and a norm in it.
struct Scaled : torch::nn::Module {
  at::Tensor scale;
  torch::nn::BatchNorm2d norm{nullptr};
  Scaled() {
    scale = register_parameter("scale", at::ones({1}));
    norm = register_module("norm", torch::nn::BatchNorm2d(1));
  }
  at::Tensor forward(const at::Tensor& x) { return norm(scale * x); }
};
struct Outer : torch::nn::Module {
  std::shared_ptr<Scaled> part;
  Outer() { part = register_module("part", std::make_shared<Scaled>()); }
  at::Tensor forward(const at::Tensor& x) { return part->forward(x); }
};

}  // namespace

TEST_CASE("A trained part in a frozen one is trained", "[unit]") {
  const auto module = std::make_shared<Outer>();
  ModuleNet<Outer> net(module);
  CHECK(net.layers() == 2);
  net.freeze_before(1);
  net.train(true);
  CHECK_FALSE(module->part->scale.requires_grad());
  CHECK(module->part->norm->is_training());
  net.freeze_before(2);
  net.train(true);
  CHECK_FALSE(module->part->norm->is_training());
  net.train(false);
  CHECK_FALSE(net.is_training());
}
