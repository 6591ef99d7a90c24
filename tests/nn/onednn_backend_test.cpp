// The backend of oneDNN computes what LibTorch computes: convolutions of all shapes with their gradients, whole models,
// frozen parts.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/residual_unet.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/nn/onednn_backend.hpp>
#include <ivado/train/bf16.hpp>
#include <span>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Extents = std::vector<std::int64_t>;

namespace {

at::Tensor noise(const Extents& extents, std::uint32_t number) {
  at::Tensor out = at::empty(extents, at::kFloat);
  Rng rng({3, 0, number, stream_user});
  for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  return out;
}

/// The result of a convolution and its gradients by input, weight and bias.
template <class On>
std::array<at::Tensor, 4> convolve(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                                   std::int64_t stride, std::int64_t padding) {
  const at::Tensor x = input.detach().clone().requires_grad_(true);
  std::vector<at::Tensor> parameters{weight.detach().clone().requires_grad_(true)};
  if (bias.defined()) parameters.push_back(bias.detach().clone().requires_grad_(true));
  On on(parameters, true);
  nn::op::Convolution op;
  op.dimension = static_cast<int>(input.dim() - 2);
  op.weight = nn::ParameterId{0};
  op.bias = bias.defined() ? nn::ParameterId{1} : nn::no_parameter;
  op.kernel = weight.size(2);
  op.stride = stride;
  op.padding = padding;
  const std::array<at::Tensor, 1> inputs{x};
  const at::Tensor y = on.apply(op, inputs);
  y.square().sum().backward();
  return {y.detach(), x.grad(), parameters[0].grad(), bias.defined() ? parameters[1].grad() : at::Tensor()};
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).norm().item<double>() / b.to(at::kDouble).norm().item<double>();
}

struct Case {
  Extents input;
  Extents weight;
  std::int64_t stride = 1;
  std::int64_t padding = 1;
};

}  // namespace

TEST_CASE("Convolutions by oneDNN and their gradients are those of float64", "[unit]") {
  const auto one = GENERATE(Case{{2, 3, 20, 22}, {8, 3, 3, 3}}, Case{{2, 16, 20, 22}, {8, 16, 3, 3}, 2},
                            Case{{2, 16, 7, 9}, {8, 16, 1, 1}, 1, 0}, Case{{3, 16, 20, 22}, {8, 16, 3, 3}},
                            Case{{3, 1, 20, 22}, {16, 1, 7, 7}, 2, 3}, Case{{2, 16, 6, 7, 5}, {24, 16, 1, 1, 1}, 1, 0},
                            Case{{1, 5, 21, 19}, {7, 5, 5, 5}, 1, 2}, Case{{1, 8, 12, 16, 16}, {8, 8, 3, 3, 3}},
                            Case{{3, 16, 9, 16, 12}, {8, 16, 3, 3, 3}}, Case{{2, 8, 9, 16, 12}, {8, 8, 3, 3, 3}, 1, 0},
                            Case{{1, 8, 1, 9, 9}, {8, 8, 3, 3, 3}}, Case{{1, 8, 2, 9, 9}, {8, 8, 5, 5, 5}, 1, 2},
                            Case{{1, 8, 5, 9, 9}, {8, 8, 3, 3, 3}, 1, 2}, Case{{1, 8, 8, 8, 8}, {16, 8, 3, 3, 3}, 2},
                            Case{{1, 1, 8, 8, 8}, {8, 1, 3, 3, 3}}, Case{{1, 8, 8, 8, 8}, {2, 8, 1, 1, 1}, 1, 0},
                            Case{{1, 12, 8, 8, 8}, {12, 12, 3, 3, 3}}, Case{{1, 64, 6, 8, 8}, {64, 64, 3, 3, 3}});
  const bool has_bias = GENERATE(true, false);
  const bool channels_last = GENERATE(false, true);
  INFO("input " << at::IntArrayRef(one.input) << ", weight " << at::IntArrayRef(one.weight) << ", stride " << one.stride
                << ", padding " << one.padding << ", channels last " << channels_last);
  at::Tensor x = noise(one.input, 0);
  const at::Tensor weight = noise(one.weight, 1);
  const at::Tensor bias = has_bias ? noise({one.weight[0]}, 2) : at::Tensor();
  if (channels_last) x = x.contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::ChannelsLast3d);
  const auto found = convolve<nn::OneDnnInterpreter>(x, weight, bias, one.stride, one.padding);
  const auto expected = convolve<nn::TorchInterpreter>(
      x.to(at::kDouble), weight.to(at::kDouble), bias.defined() ? bias.to(at::kDouble) : bias, one.stride, one.padding);
  CHECK(found[0].suggest_memory_format() == x.suggest_memory_format());
  for (std::size_t part = 0; part < (has_bias ? 4 : 3); ++part) {
    INFO("part " << part);
    REQUIRE(found[part].sizes() == expected[part].sizes());
    CHECK(distance(found[part], expected[part]) < 2e-6);
  }
}

namespace {

/// The interpreter with its convolutions in bf16.
struct InBf16 : nn::OneDnnInterpreter {
  InBf16(std::span<at::Tensor> parameters, bool training) : OneDnnInterpreter(parameters, training) {
    convolve_in(at::kBFloat16);
  }
};

}  // namespace

TEST_CASE("Convolutions in bf16 are near to those of float64, and volumes that have none stay in float32", "[unit]") {
  if (engine::winograd_bf16_kernels() == nullptr) {
    WARN("skipped: this processor does not multiply bf16");
    return;
  }
  const auto one = GENERATE(Case{{3, 64, 20, 22}, {64, 64, 3, 3}}, Case{{2, 16, 9, 16, 12}, {32, 16, 3, 3, 3}},
                            Case{{2, 16, 20, 22}, {8, 16, 3, 3}}, Case{{1, 8, 8, 8, 8}, {16, 8, 3, 3, 3}, 2});
  const bool stays = one.weight.size() == 5 && one.weight[1] == 8;
  const at::Tensor x = noise(one.input, 0);
  const at::Tensor weight = noise(one.weight, 1);
  const auto found = convolve<InBf16>(x, weight, {}, one.stride, one.padding);
  const auto exact =
      convolve<nn::TorchInterpreter>(x.to(at::kDouble), weight.to(at::kDouble), {}, one.stride, one.padding);
  for (std::size_t part = 0; part < 3; ++part) {
    INFO("part " << part);
    CHECK(found[part].scalar_type() == at::kFloat);
    CHECK(distance(found[part], exact[part]) < (stays ? 2e-6 : 0.02));
    CHECK((distance(found[part], exact[part]) > 1e-4) == !stays);
  }
}

TEST_CASE("What oneDNN is not asked for goes to LibTorch", "[unit]") {
  const at::Tensor x = noise({1, 2, 6, 6}, 0).to(at::kDouble);
  const at::Tensor weight = noise({3, 2, 3, 3}, 1).to(at::kDouble);
  const auto found = convolve<nn::OneDnnInterpreter>(x, weight, {}, 1, 1);
  const auto expected = convolve<nn::TorchInterpreter>(x, weight, {}, 1, 1);
  for (std::size_t part = 0; part < 3; ++part) CHECK(at::equal(found[part], expected[part]));
}

namespace {

/// A step of a model: its prediction, and its gradients as one tensor.
template <class Backend, class Model>
std::pair<at::Tensor, at::Tensor> step(const Model& model, const at::Tensor& input, std::size_t frozen,
                                       at::ScalarType type = at::kFloat) {
  Net<Model, Backend> net(model, 1);
  for (const at::Tensor& tensor : net.tensors())
    if (tensor.is_floating_point()) tensor.set_data(tensor.detach().to(type));
  net.freeze_before(frozen);
  const at::Tensor output = net.forward(input.to(type), {}, {1, 1, 1, 0});
  (output * noise(output.sizes().vec(), 9).to(type)).sum().backward();
  std::vector<at::Tensor> gradients;
  for (const auto& tensor : net.trained()) gradients.push_back(tensor.grad().flatten());
  return {output.detach(), at::cat(gradients)};
}

/// Values that rounding moves across the kink of an activation changed the gradient of these small models by up to 0.01 of its norm with
/// AVX2 and 0.015 with AVX-512, with LibTorch's own layers as well; a wrong formula by more than this.
constexpr double most_by_kinks = 0.03;

template <class Model>
void compare(const Model& model, const Extents& extents, std::size_t frozen) {
  // A value that rounding moves across the kink of an activation changes a gradient by far more than rounding, whoever
  // computes: what is compared is the best of several inputs, with the worst of LibTorch's own.
  double best = 1;
  double worst_plain = 0;
  for (std::uint32_t k = 4; k < 8; ++k) {
    INFO("input " << k);
    const at::Tensor input = noise(extents, k);
    const auto found = step<OneDnnBackend>(model, input, frozen);
    const auto plain = step<LibTorchBackend>(model, input, frozen);
    const auto exact = step<LibTorchBackend>(model, input, frozen, at::kDouble);
    CHECK(distance(found.first, exact.first) < 1e-6 + 3 * distance(plain.first, exact.first));
    CHECK(distance(found.second, exact.second) < most_by_kinks);
    best = std::min(best, distance(found.second, exact.second));
    worst_plain = std::max(worst_plain, distance(plain.second, exact.second));
    if (k > 4) continue;
    const auto again = step<OneDnnBackend>(model, input, frozen);
    CHECK(at::equal(again.first, found.first));
    CHECK(at::equal(again.second, found.second));
  }
  CHECK(best < 1e-6 + 3 * worst_plain);
  CHECK(worst_plain < 0.02);  // else the comparison says nothing
}

}  // namespace

TEST_CASE("The trial of bf16 is one of the backend's convolutions", "[unit]") {
  if (engine::winograd_bf16_kernels() == nullptr) {
    WARN("skipped: this processor does not multiply bf16");
    return;
  }
  // Volumes of 32 channels are by Winograd's algorithm, whose rounding is several times that of a direct convolution.
  const Bf16Trial ours = try_bf16<nn::OneDnnInterpreter>(3);
  CHECK(ours.fault.empty());
  CHECK(ours.error > 0.004);
  CHECK(ours.error < Bf16Trial::largest_error);
}

TEST_CASE("A network of volumes with transposed convolutions takes a step in bf16", "[unit]") {
  if (engine::winograd_bf16_kernels() == nullptr) {
    WARN("skipped: this processor does not multiply bf16");
    return;
  }
  ResidualUnet<3>::Params params;
  params.n_filters = 16;
  params.blocks = {1, 1, 1};
  NetworkShape shape = ResidualUnet<3>::default_shape();
  shape.depth = 2;
  const ResidualUnet<3> model(params, shape);
  const at::Tensor input = noise({1, 1, 16, 16, 16}, 4);
  Net<ResidualUnet<3>, OneDnnBackend> net(model, 1);
  net.convolve_in(at::kBFloat16);
  const at::Tensor output = net.forward(input, {}, {1, 1, 1, 0});
  output.square().sum().backward();
  const auto exact = step<LibTorchBackend>(model, input, 0, at::kDouble);
  CHECK(distance(output, exact.first) < 0.05);
  for (const auto& tensor : net.trained()) CHECK(tensor.grad().isfinite().all().item<bool>());
}

TEST_CASE("Models compute the same with both backends, and the same each time", "[unit]") {
  const std::size_t frozen = GENERATE(std::size_t{0}, std::size_t{4});
  UnetParams slices;
  slices.n_filters = 8;
  compare(Unet<2, 2>(slices), {2, 1, 32, 40}, frozen);
  Modified3DUNet<>::Params volumes;
  volumes.n_filters = 8;
  compare(Modified3DUNet<>(volumes), {1, 1, 48, 32, 32}, frozen);
}
