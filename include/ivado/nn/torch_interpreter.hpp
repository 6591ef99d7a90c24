// The interpreter on at::Tensor: LibTorch computes, with gradients where they are asked for.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "../random.hpp"
#include "layers.hpp"
#include "op.hpp"

namespace ivado::nn {

/// Runs a network on `at::Tensor`.
class TorchInterpreter {
 public:
  using Value = at::Tensor;

  /// @param parameters  the tensors of the network, in the order of its list; running statistics are changed while
  ///         training
  /// @param training    batch statistics and dropout (true), or running statistics and no dropout
  /// @param dropout     key of the dropout masks; `stream` is not used
  TorchInterpreter(std::span<at::Tensor> parameters, bool training, const RandomKey& dropout = {})
      : parameters_(parameters), training_(training), dropout_(dropout) {}

  Value apply(const op::Convolution& op, std::span<const Value> x) const {
    const std::vector<std::int64_t> stride(static_cast<std::size_t>(op.dimension), op.stride);
    const std::vector<std::int64_t> padding(static_cast<std::size_t>(op.dimension), op.padding);
    const std::vector<std::int64_t> dilation(static_cast<std::size_t>(op.dimension), 1);
    const std::vector<std::int64_t> none(static_cast<std::size_t>(op.dimension), 0);
    return at::convolution(x[0], tensor(op.weight), op.bias == no_parameter ? at::Tensor() : tensor(op.bias), stride,
                           padding, dilation, false, none, 1);
  }
  Value apply(const op::BatchNorm& op, std::span<const Value> x) const {
    if (training_) tensor(op.batches).add_(1);
    return at::batch_norm(x[0], tensor(op.weight), tensor(op.bias), tensor(op.running_mean),
                          tensor(op.running_variance), training_, op.momentum, op.epsilon, false);
  }
  Value apply(const op::InstanceNorm& op, std::span<const Value> x) const {
    return at::instance_norm(x[0], {}, {}, {}, {}, true, 0.1, op.epsilon, false);
  }
  Value apply(const op::Relu&, std::span<const Value> x) const { return at::relu(x[0]); }
  Value apply(const op::Sigmoid&, std::span<const Value> x) const { return at::sigmoid(x[0]); }
  Value apply(const op::Softmax&, std::span<const Value> x) const { return at::softmax(x[0], 1); }
  Value apply(const op::ChannelDropout& op, std::span<const Value> x) const {
    if (!training_ || op.rate == 0) return x[0];
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x[0].dim()), 1);
    shape[0] = x[0].size(0);
    shape[1] = x[0].size(1);
    at::Tensor mask = at::empty(shape, at::kFloat);
    Rng rng(dropout_.with_stream(stream_dropout + static_cast<std::uint32_t>(op.place) * 256U));
    const auto kept = op.rate < 1 ? static_cast<float>(1 / (1 - op.rate)) : 0.0F;
    auto* values = mask.data_ptr<float>();
    for (std::int64_t i = 0; i < mask.numel(); ++i) values[i] = rng.bernoulli(op.rate) ? 0.0F : kept;
    return x[0] * mask.to(x[0].options());
  }
  Value apply(const op::MaxPool& op, std::span<const Value> x) const {
    return x[0].dim() == 5 ? at::max_pool3d(x[0], op.kernel) : at::max_pool2d(x[0], op.kernel);
  }
  Value apply(const op::ResizeLike&, std::span<const Value> x) const {
    const auto size = x[1].sizes().slice(2);
    return x[0].dim() == 5 ? at::upsample_trilinear3d(x[0], size, true) : at::upsample_bilinear2d(x[0], size, true);
  }
  Value apply(const op::Concat&, std::span<const Value> x) const {
    return at::cat(at::TensorList(x.data(), x.size()), 1);
  }
  Value apply(const op::DropChannels& op, std::span<const Value> x) const {
    return x[0].narrow(1, op.first, x[0].size(1) - op.first);
  }
  Value apply(const op::DivideByMax& op, std::span<const Value> x) const {
    std::vector<std::int64_t> axes;
    for (std::int64_t axis = 2; axis < x[0].dim(); ++axis) axes.push_back(axis);
    const at::Tensor largest = op.whole_batch ? x[0].max() : x[0].amax(axes, true);
    return at::where(largest == 0, at::zeros_like(x[0]),
                     x[0] / at::where(largest == 0, at::ones_like(largest), largest));
  }
  Value apply(const op::DivideByChannelSum&, std::span<const Value> x) const {
    const at::Tensor sum = x[0].sum(1, true);
    return x[0] / at::where(sum == 0, at::ones_like(sum), sum);
  }

 private:
  [[nodiscard]] at::Tensor& tensor(ParameterId id) const { return parameters_[static_cast<std::size_t>(id)]; }

  std::span<at::Tensor> parameters_;
  bool training_;
  RandomKey dropout_;
};

static_assert(Interpreter<TorchInterpreter>);

}  // namespace ivado::nn
