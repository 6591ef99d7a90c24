// Operations on LibTorch against values worked out by hand.
#include <ATen/ATen.h>

#include <ivado/nn/torch_interpreter.hpp>
#include <limits>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using namespace ivado::nn;

namespace {

template <class Operation>
at::Tensor run(const Operation& operation, const std::vector<at::Tensor>& inputs,
               std::vector<at::Tensor> parameters = {}) {
  TorchInterpreter on(parameters, false);
  return on.apply(operation, std::span<const at::Tensor>(inputs));
}

at::Tensor values(const std::vector<float>& list, const std::vector<std::int64_t>& shape) {
  return at::tensor(list).reshape(shape);
}

bool near(const at::Tensor& found, const at::Tensor& expected) {
  return found.sizes() == expected.sizes() && at::allclose(found, expected, 1e-5, 1e-6);
}

}  // namespace

TEST_CASE("Moments are mean and unbiased variance of what is present", "[unit]") {
  // Three values of one voxel in four samples: all, two, one, and one whose others would spoil the sum.
  const at::Tensor presence = values({1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1}, {4, 3});
  const at::Tensor a = values({1, 1, 1, 1e6F}, {4, 1, 1, 1});
  const at::Tensor b = values({2, 2, 2, -1e6F}, {4, 1, 1, 1});
  const at::Tensor c = values({6, 6, 6, 6}, {4, 1, 1, 1});
  // 1, 2, 6: mean 3, variance (4 + 1 + 9) / 2; 1, 6: 3.5, 2.5² · 2; one alone: itself, 0
  CHECK(near(run(op::Moments{}, {presence, a, b, c}), values({3, 7, 3.5F, 12.5F, 2, 0, 6, 0}, {4, 2, 1, 1})));
  // Presence in the numbers of a loader, values in double precision: the values' type counts.
  const at::Tensor precise =
      run(op::Moments{}, {presence.to(at::kLong), a.to(at::kDouble), b.to(at::kDouble), c.to(at::kDouble)});
  CHECK(precise.scalar_type() == at::kDouble);
}

TEST_CASE("Moments stand in channels: all means, then all variances, in 2-D and 3-D", "[unit]") {
  const at::Tensor presence = at::ones({1, 2});
  const at::Tensor a = values({0, 1, 2, 3}, {1, 2, 1, 2});
  const at::Tensor b = values({2, 1, 4, -1}, {1, 2, 1, 2});
  const at::Tensor expected = values({1, 1, 3, 1, 2, 0, 2, 8}, {1, 4, 1, 2});
  CHECK(near(run(op::Moments{}, {presence, a, b}), expected));
  CHECK(near(run(op::Moments{}, {presence, a.unsqueeze(4), b.unsqueeze(4)}), expected.unsqueeze(4)));
}

TEST_CASE("Modulate scales and shifts each channel of each sample", "[unit]") {
  const at::Tensor x = values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 1, 2});
  const at::Tensor by = values({2, 0, 10, 20, -1, 0.5F, 0, 1}, {2, 4});
  CHECK(near(run(op::Modulate{false}, {x, by}), values({12, 14, 20, 20, -5, -6, 4.5F, 5}, {2, 2, 1, 2})));
  CHECK(near(run(op::Modulate{true}, {x, by}), values({13, 16, 23, 24, 0, 0, 11.5F, 13}, {2, 2, 1, 2})));
  CHECK(near(run(op::Modulate{true}, {x, at::zeros({2, 4})}), x));
}

TEST_CASE("Convolutions on LibTorch", "[unit]") {
  op::Convolution convolution;
  convolution.weight = 0;
  convolution.bias = 1;
  // A kernel that takes the upper left neighbour, and 10 more; zeros stand outside.
  at::Tensor weight = at::zeros({1, 1, 3, 3});
  weight[0][0][0][0] = 1;
  const at::Tensor x = values({1, 2, 3, 4}, {1, 1, 2, 2});
  CHECK(near(run(convolution, {x}, {weight, at::full({1}, 10)}), values({10, 10, 10, 11}, {1, 1, 2, 2})));
  convolution.bias = no_parameter;
  convolution.stride = 2;
  CHECK(near(run(convolution, {at::ones({1, 1, 4, 4})}, {weight}), values({0, 0, 0, 1}, {1, 1, 2, 2})));

  op::TransposedConvolution up;
  up.weight = 0;
  up.bias = 1;
  up.in = 1;
  up.out = 1;
  // Each voxel becomes a block: itself times the kernel.
  CHECK(near(run(up, {values({1, 10}, {1, 1, 1, 2})}, {values({1, 2, 3, 4}, {1, 1, 2, 2}), at::ones({1})}),
             values({2, 3, 11, 21, 4, 5, 31, 41}, {1, 1, 2, 4})));

  op::Linear linear;
  linear.weight = 0;
  linear.bias = 1;
  CHECK(near(run(linear, {values({1, 2}, {1, 2})}, {values({1, 1, 3, -1}, {2, 2}), values({0, 5}, {2})}),
             values({3, 6}, {1, 2})));
}

TEST_CASE("Poolings and resizes on LibTorch", "[unit]") {
  const at::Tensor x = values({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 3, 3});
  CHECK(near(run(op::MaxPool{}, {x}), values({5}, {1, 1, 1, 1})));                       // a remainder is dropped
  CHECK(near(run(op::MaxPool{3, 2, 1}, {-x}), values({-1, -2, -4, -5}, {1, 1, 2, 2})));  // padding never wins
  CHECK(near(run(op::AveragePool{}, {x}), values({3}, {1, 1, 1, 1})));
  CHECK(near(run(op::GlobalAveragePool{}, {x}), values({5}, {1, 1})));
  CHECK(near(run(op::Upsample{}, {values({1, 2}, {1, 1, 1, 2})}), values({1, 1, 2, 2, 1, 1, 2, 2}, {1, 1, 2, 4})));
  // Corners aligned: three values over [0, 6] at 0, 1.5, 3, 4.5, 6.
  CHECK(near(run(op::ResizeLike{}, {values({0, 3, 6}, {1, 1, 1, 3}), at::zeros({1, 4, 1, 5})}),
             values({0, 1.5F, 3, 4.5F, 6}, {1, 1, 1, 5})));
  const at::Tensor cube = run(op::ResizeLike{}, {values({0, 8}, {1, 1, 2, 1, 1}), at::zeros({1, 1, 5, 2, 3})});
  CHECK(cube.sizes() == at::IntArrayRef({1, 1, 5, 2, 3}));
  CHECK(cube[0][0][1][1][2].item<float>() == Approx(2));
  CHECK(run(op::AveragePool{}, {at::ones({1, 2, 4, 4, 4})}).sizes() == at::IntArrayRef({1, 2, 2, 2, 2}));
}

TEST_CASE("Elements and channels on LibTorch", "[unit]") {
  const at::Tensor x = values({-2, -1, 0, 1, 2, 3}, {1, 3, 1, 2});
  CHECK(near(run(op::Relu{}, {x}), values({0, 0, 0, 1, 2, 3}, {1, 3, 1, 2})));
  CHECK(near(run(op::LeakyRelu{0.5}, {x}), values({-1, -0.5F, 0, 1, 2, 3}, {1, 3, 1, 2})));
  CHECK(near(run(op::SelectChannels{1, -1}, {x}), values({0, 1, 2, 3}, {1, 2, 1, 2})));
  CHECK(near(run(op::SelectChannels{1, 1}, {x}), values({0, 1}, {1, 1, 1, 2})));
  CHECK(near(run(op::Concat{}, {x, x}), at::cat({x, x}, 1)));
  CHECK(near(run(op::Add{}, {x, x}), 2 * x));
  CHECK(near(run(op::Multiply{}, {x, values({2, 10}, {1, 1, 1, 2})}), values({-4, -10, 0, 10, 4, 30}, {1, 3, 1, 2})));
  CHECK(near(run(op::Softmax{}, {at::zeros({1, 4, 1, 1})}), at::full({1, 4, 1, 1}, 0.25)));
  CHECK(near(run(op::Sigmoid{}, {at::zeros({1, 1, 1, 1})}), at::full({1, 1, 1, 1}, 0.5)));
}

TEST_CASE("Division by the largest of each map or of the batch, and by the sum of channels", "[unit]") {
  const at::Tensor x = values({1, 2, 0, 0, 4, 8, 5, 0}, {2, 2, 1, 2});
  CHECK(near(run(op::DivideByMax{}, {x}), values({0.5F, 1, 0, 0, 0.5F, 1, 1, 0}, {2, 2, 1, 2})));
  CHECK(near(run(op::DivideByMax{true}, {x}), x / 8));
  CHECK(near(run(op::DivideByMax{true}, {at::zeros({1, 1, 2, 2})}), at::zeros({1, 1, 2, 2})));
  CHECK(near(run(op::DivideByChannelSum{}, {x}), values({1, 1, 0, 0, 4.0F / 9, 1, 5.0F / 9, 0}, {2, 2, 1, 2})));
  // A map of zeros has a gradient that is a number.
  const at::Tensor zero = at::zeros({1, 2, 2, 2}).requires_grad_(true);
  run(op::DivideByChannelSum{}, {run(op::DivideByMax{}, {zero})}).sum().backward();
  CHECK(zero.grad().isfinite().all().item<bool>());
}

TEST_CASE("Norms on LibTorch", "[unit]") {
  op::InstanceNorm instance;
  const at::Tensor x = values({1, 3, 10, 30}, {1, 2, 1, 2});
  CHECK(at::allclose(run(instance, {x}), values({-1, 1, -1, 1}, {1, 2, 1, 2}), 0, 1e-4));
  instance.weight = 0;
  instance.bias = 1;
  CHECK(at::allclose(run(instance, {x}, {values({2, 1}, {2}), values({5, 0}, {2})}),
                     values({3, 7, -1, 1}, {1, 2, 1, 2}), 0, 1e-4));

  op::BatchNorm batch;
  batch.weight = 0;
  batch.bias = 1;
  batch.running_mean = 2;
  batch.running_variance = 3;
  batch.batches = 4;
  batch.momentum = 0.25;
  std::vector<at::Tensor> tensors{at::ones({1}).requires_grad_(true), at::zeros({1}).requires_grad_(true),
                                  at::full({1}, 2.0F), at::full({1}, 4.0F), at::zeros({}, at::kLong)};
  const std::vector<at::Tensor> input{values({1, 3, 5, 7}, {2, 1, 1, 2})};
  CHECK(at::allclose(TorchInterpreter(tensors, false).apply(batch, input), (input[0] - 2) / 2, 0, 1e-4));
  CHECK(tensors[4].item<std::int64_t>() == 0);
  // Batch statistics: mean 4, variance 5, of which the unbiased 20/3 moves the running one.
  CHECK(at::allclose(TorchInterpreter(tensors, true).apply(batch, input), (input[0] - 4) / std::sqrt(5.0), 0, 1e-4));
  CHECK(tensors[2].item<float>() == Approx(0.75 * 2 + 0.25 * 4));
  CHECK(tensors[3].item<float>() == Approx(0.75 * 4 + 0.25 * 20 / 3));
  CHECK(tensors[4].item<std::int64_t>() == 1);
  // Frozen: running statistics, which stay.
  for (auto& tensor : tensors)
    if (tensor.is_floating_point()) tensor.requires_grad_(false);
  const at::Tensor frozen = TorchInterpreter(tensors, true, {}, true).apply(batch, input);
  CHECK(at::allclose(frozen, TorchInterpreter(tensors, false).apply(batch, input)));
  CHECK(tensors[4].item<std::int64_t>() == 1);
}

namespace {

at::Tensor drop(const op::Dropout& dropout, const at::Tensor& x, const RandomKey& key, bool training = true,
                bool has_frozen = false) {
  const std::vector<at::Tensor> inputs{x};
  return TorchInterpreter({}, training, key, has_frozen).apply(dropout, inputs);
}

}  // namespace

TEST_CASE("Dropout takes whole channels of a sample, or single elements", "[unit]") {
  const at::Tensor ones = at::ones({20, 50, 3, 2});
  const RandomKey key{1, 2, 3, 0};
  const at::Tensor channels = drop({0.25, 0, true}, ones, key);
  CHECK(near(channels.amax({2, 3}), channels.amin({2, 3})));
  // Kept ones are scaled by 4/3. Of 1000 draws 250 ± 13.7 are 0: five deviations
  CHECK(channels.max().item<float>() == Approx(4.0 / 3));
  CHECK(std::abs((channels == 0).sum().item<std::int64_t>() / 6 - 250) < 70);
  CHECK_FALSE(at::equal(channels[0], channels[1]));
  const at::Tensor elements = drop({0.25, 0, false}, ones, key);
  CHECK_FALSE(near(elements.amax({2, 3}), elements.amin({2, 3})));
  CHECK(std::abs((elements == 0).sum().item<std::int64_t>() - 1500) < 170);
  CHECK(drop({0.5, 0, false}, at::ones({4, 7}), key).sizes() == at::IntArrayRef({4, 7}));
}

TEST_CASE("Dropout is a function of key and place, the identity in evaluation, at rate 0 and behind frozen layers",
          "[unit]") {
  const at::Tensor ones = at::ones({8, 32, 2, 2});
  const RandomKey key{1, 2, 3, 0};
  const op::Dropout first{0.5, 0, true};
  CHECK(at::equal(drop(first, ones, key), drop(first, ones, {1, 2, 3, 99})));  // the stream is the place's
  CHECK_FALSE(at::equal(drop(first, ones, key), drop({0.5, 1, true}, ones, key)));
  CHECK_FALSE(at::equal(drop(first, ones, key), drop(first, ones, {1, 2, 4, 0})));
  CHECK_FALSE(at::equal(drop(first, ones, key), drop(first, ones, {1, 3, 3, 0})));
  CHECK_FALSE(at::equal(drop(first, ones, key), drop(first, ones, {2, 2, 3, 0})));
  CHECK(at::equal(drop(first, ones, key, false), ones));
  CHECK(at::equal(drop({0, 0, true}, ones, key), ones));
  CHECK(at::equal(drop(first, ones, key, true, true), ones));
  const at::Tensor trained = ones.clone().requires_grad_(true);
  CHECK(at::equal(drop(first, trained, key, true, true), drop(first, ones, key)));
}
