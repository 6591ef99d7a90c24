// The interpreter on at::Tensor: LibTorch computes, with gradients where they are asked for.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "../inline.hpp"
#include "../parallel.hpp"
#include "../random.hpp"
#include "layers.hpp"
#include "op.hpp"

namespace ivado::nn {

/// Runs a network on `at::Tensor`.
///
/// Frozen parts (transfer learning): a batch norm whose weight requires no gradient uses its running statistics, and a
/// dropout behind frozen layers alone is the identity, so the part of a network before the first trained layer runs in
/// evaluation mode and leaves no autograd graph.
class TorchInterpreter {
 public:
  using Value = at::Tensor;

  /// @param parameters  the tensors of the network, in the order of its list; running statistics are changed while
  ///         training
  /// @param training    batch statistics and dropout (true), or running statistics and no dropout
  /// @param dropout     key of the dropout masks; `stream` is not used
  /// @param has_frozen  some weights require no gradient on purpose
  IVADO_INLINE TorchInterpreter(std::span<at::Tensor> parameters, bool training, const RandomKey& dropout = {},
                                bool has_frozen = false)
      : parameters_(parameters), training_(training), has_frozen_(has_frozen), dropout_(dropout) {}

  /// Dropout works although nothing is trained, frozen or not; norms keep their running statistics.
  void sample_dropout() noexcept { samples_dropout_ = true; }
  /// The number type of the convolutions: float32 unless told, or bf16. Transposed ones stay in float32 (in bf16, LibTorch 1.13 refused the
  /// shape of their weights in a training of volumes), as do all that is between them, parameters and gradients.
  void convolve_in(at::ScalarType type) noexcept { convolution_type_ = type; }

  IVADO_INLINE Value apply(const op::Convolution& op, std::span<const Value> x) const {
    return convolve(x[0], op, op.stride, op.padding, false);
  }
  IVADO_INLINE Value apply(const op::TransposedConvolution& op, std::span<const Value> x) const {
    return convolve(x[0], op, op.kernel, 0, true);
  }
  IVADO_INLINE Value apply(const op::Linear& op, std::span<const Value> x) const {
    return at::addmm(tensor(op.bias), x[0].to(tensor(op.weight).scalar_type()), tensor(op.weight).t());
  }
  IVADO_INLINE Value apply(const op::BatchNorm& op, std::span<const Value> x) const {
    const bool batch_statistics = uses_batch_statistics(op);
    if (batch_statistics) tensor(op.batches).add_(1);
    return at::batch_norm(x[0], tensor(op.weight), tensor(op.bias), tensor(op.running_mean),
                          tensor(op.running_variance), batch_statistics, op.momentum, op.epsilon, false);
  }
  IVADO_INLINE Value apply(const op::InstanceNorm& op, std::span<const Value> x) const {
    return at::instance_norm(x[0], optional(op.weight), optional(op.bias), {}, {}, true, 0.1, op.epsilon, false);
  }
  Value apply(const op::Relu&, std::span<const Value> x) const { return at::relu(x[0]); }
  Value apply(const op::LeakyRelu& op, std::span<const Value> x) const { return at::leaky_relu(x[0], op.slope); }
  Value apply(const op::Sigmoid&, std::span<const Value> x) const { return at::sigmoid(x[0]); }
  Value apply(const op::Softmax&, std::span<const Value> x) const { return at::softmax(x[0], 1); }
  IVADO_INLINE Value apply(const op::Dropout& op, std::span<const Value> x) const {
    std::vector<std::int64_t> shape = x[0].sizes().vec();
    if (op.whole_channels) std::fill(shape.begin() + 2, shape.end(), 1);
    const Value factors = dropout_factors(op, shape, x[0].requires_grad());
    return factors.defined() ? x[0] * factors.to(x[0].options()) : x[0];
  }
  IVADO_INLINE Value apply(const op::MaxPool& op, std::span<const Value> x) const {
    const auto kernel = repeated(op.kernel, x[0]);
    const auto stride = repeated(op.stride, x[0]);
    const auto padding = repeated(op.padding, x[0]);
    return x[0].dim() == 5 ? at::max_pool3d(x[0], kernel, stride, padding)
                           : at::max_pool2d(x[0], kernel, stride, padding);
  }
  IVADO_INLINE Value apply(const op::AveragePool& op, std::span<const Value> x) const {
    const auto kernel = repeated(op.kernel, x[0]);
    return x[0].dim() == 5 ? at::avg_pool3d(x[0], kernel) : at::avg_pool2d(x[0], kernel);
  }
  Value apply(const op::GlobalAveragePool&, std::span<const Value> x) const { return x[0].flatten(2).mean(2); }
  IVADO_INLINE Value apply(const op::ResizeLike&, std::span<const Value> x) const {
    const auto size = x[1].sizes().slice(2);
    return x[0].dim() == 5 ? at::upsample_trilinear3d(x[0], size, true) : at::upsample_bilinear2d(x[0], size, true);
  }
  IVADO_INLINE Value apply(const op::Upsample& op, std::span<const Value> x) const {
    std::vector<std::int64_t> size = x[0].sizes().slice(2).vec();
    for (auto& extent : size) extent *= op.factor;
    return x[0].dim() == 5 ? at::upsample_nearest3d(x[0], size) : at::upsample_nearest2d(x[0], size);
  }
  IVADO_INLINE Value apply(const op::Concat&, std::span<const Value> x) const {
    return at::cat(at::TensorList(x.data(), x.size()), 1);
  }
  Value apply(const op::Add&, std::span<const Value> x) const { return x[0] + x[1]; }
  Value apply(const op::Multiply&, std::span<const Value> x) const { return x[0] * x[1]; }
  IVADO_INLINE Value apply(const op::SelectChannels& op, std::span<const Value> x) const {
    return x[0].narrow(1, op.first, op.count < 0 ? x[0].size(1) - op.first : op.count);
  }
  IVADO_INLINE Value apply(const op::Modulate& op, std::span<const Value> x) const {
    const std::int64_t channels = x[0].size(1);
    const at::Tensor scale = over_space(x[1].narrow(1, 0, channels), x[0]);
    const at::Tensor shift = over_space(x[1].narrow(1, channels, channels), x[0]);
    return x[0] * (op.around_one ? scale + 1 : scale) + shift;
  }
  IVADO_INLINE Value apply(const op::Moments&, std::span<const Value> x) const {
    const at::Tensor presence = x[0].to(x[1].options());
    const at::Tensor count = over_space(presence.sum(1, true), x[1]);
    at::Tensor mean;
    for (std::size_t k = 1; k < x.size(); ++k) {
      const at::Tensor part = x[k] * here(presence, k, x[k]);
      mean = mean.defined() ? mean + part : part;
    }
    mean = mean / count;
    at::Tensor variance;
    for (std::size_t k = 1; k < x.size(); ++k) {
      const at::Tensor part = (x[k] - mean).square() * here(presence, k, x[k]);
      variance = variance.defined() ? variance + part : part;
    }
    return at::cat({mean, variance / (count - 1).clamp_min(1)}, 1);
  }
  IVADO_INLINE Value apply(const op::DivideByMax& op, std::span<const Value> x) const {
    std::vector<std::int64_t> axes;
    for (std::int64_t axis = 2; axis < x[0].dim(); ++axis) axes.push_back(axis);
    const at::Tensor largest = op.whole_batch ? x[0].max() : x[0].amax(axes, true);
    return at::where(largest == 0, at::zeros_like(x[0]),
                     x[0] / at::where(largest == 0, at::ones_like(largest), largest));
  }
  IVADO_INLINE Value apply(const op::DivideByChannelSum&, std::span<const Value> x) const {
    const at::Tensor sum = x[0].sum(1, true);
    return x[0] / at::where(sum == 0, at::ones_like(sum), sum);
  }

 protected:
  [[nodiscard]] at::Tensor& tensor(ParameterId id) const { return parameters_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] at::Tensor optional(ParameterId id) const { return id == no_parameter ? at::Tensor() : tensor(id); }
  [[nodiscard]] at::ScalarType convolution_type() const noexcept { return convolution_type_; }
  /// True if a norm uses the statistics of the batch and updates the running ones; else it uses those, unchanged.
  [[nodiscard]] IVADO_INLINE bool uses_batch_statistics(const op::BatchNorm& op) const {
    return training_ && !(has_frozen_ && !tensor(op.weight).requires_grad());
  }
  /// What a dropout multiplies with, in this shape; undefined where it is the identity.
  /// @param is_trained  what it is applied to requires a gradient
  [[nodiscard]] IVADO_INLINE Value dropout_factors(const op::Dropout& op, at::IntArrayRef shape,
                                                   bool is_trained) const {
    const bool works = samples_dropout_ || (training_ && !(has_frozen_ && !is_trained));
    if (!works || op.rate == 0) return {};
    Value factors = at::empty(shape, at::kFloat);
    const RandomKey key = dropout_.with_stream(stream_dropout + static_cast<std::uint32_t>(op.place) * 256U);
    const auto rate = static_cast<float>(op.rate);
    const float kept = op.rate < 1 ? static_cast<float>(1 / (1 - op.rate)) : 0.0F;
    auto* const values = factors.data_ptr<float>();
    constexpr std::int64_t piece = 4096;  // the same draws for any number of threads
    share_out(at::get_num_threads(), (factors.numel() + piece - 1) / piece, 4,
              [&](std::int64_t begin, std::int64_t end) {
                Rng rng(key);
                rng.go_to_block(static_cast<std::uint32_t>(begin * piece / 4));
                const std::int64_t last = std::min(end * piece, factors.numel());
                rng.fill_uniform(values + begin * piece, last - begin * piece);
                for (std::int64_t i = begin * piece; i < last; ++i) values[i] = values[i] < rate ? 0.0F : kept;
              });
    return factors;
  }

 private:
  /// A number for each spatial axis of a value.
  [[nodiscard]] IVADO_INLINE static std::vector<std::int64_t> repeated(std::int64_t number, const Value& x) {
    return std::vector<std::int64_t>(static_cast<std::size_t>(x.dim() - 2), number);
  }
  template <class Operation>
  [[nodiscard]] Value convolve(const Value& x, const Operation& op, std::int64_t stride, std::int64_t padding,
                               bool transposed) const {
    const auto axes = static_cast<std::size_t>(op.dimension);
    const std::vector<std::int64_t> zeros(axes, 0);
    const std::vector<std::int64_t> ones(axes, 1);
    const auto run = [&](const Value& input, const Value& weight, const Value& bias) {
      return at::convolution(input, weight, bias, std::vector<std::int64_t>(axes, stride),
                             std::vector<std::int64_t>(axes, padding), ones, transposed, zeros, 1);
    };
    const Value bias = optional(op.bias);
    if (convolution_type_ == at::kFloat || transposed) return run(x, tensor(op.weight), bias);
    return run(x.to(convolution_type_), tensor(op.weight).to(convolution_type_),
               bias.defined() ? bias.to(convolution_type_) : bias)
        .to(at::kFloat);
  }
  /// [N, C] as [N, C, 1, 1…], to be spread over the space of `like`.
  [[nodiscard]] IVADO_INLINE static Value over_space(const Value& x, const Value& like) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
    shape[0] = x.size(0);
    shape[1] = x.size(1);
    return x.reshape(shape);
  }
  /// Column k - 1 of the presence.
  [[nodiscard]] IVADO_INLINE static Value here(const Value& presence, std::size_t k, const Value& like) {
    return over_space(presence.narrow(1, static_cast<std::int64_t>(k) - 1, 1), like);
  }

  std::span<at::Tensor> parameters_;
  bool training_;
  bool has_frozen_;
  bool samples_dropout_ = false;
  RandomKey dropout_;
  at::ScalarType convolution_type_ = at::kFloat;
};

static_assert(Interpreter<TorchInterpreter>);

}  // namespace ivado::nn
