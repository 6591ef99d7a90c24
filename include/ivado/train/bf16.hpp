// bf16 convolutions: whether this machine computes them rightly and no slower than float32. Never chosen by itself.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/torch_interpreter.hpp"

namespace ivado {

/// What a trial of bf16 convolutions on this machine showed.
struct Bf16Trial {
  double error = 0;       ///< largest relative difference from float32 of result and gradients, in the L2 norm
  double time_ratio = 0;  ///< time of forward and backward in bf16 over that in float32, medians
  std::string fault;      ///< what LibTorch said where it cannot compute them; else empty

  /// The largest error that is taken. A product of bf16 numbers is off by 2^-8 at most, and sums of many such by less
  /// of their size; with Winograd's algorithm by up to 0.01. Twice that means that something is wrong.
  static constexpr double largest_error = 0.02;
  /// Why bf16 is not to be used here; empty: it may be.
  [[nodiscard]] IVADO_INLINE std::string refusal() const {
    if (!fault.empty()) return "LibTorch cannot compute such convolutions here: " + fault;
    if (error == 0) return "convolutions stay in float32 with this processor and backend";
    if (!(error <= largest_error))
      return detail::text("convolutions are off by ", error, " of their size, more than ", largest_error);
    if (!(time_ratio <= 1)) return detail::text("convolutions take ", time_ratio, " times as long as in float32");
    return {};
  }
};

namespace detail {

/// One convolution 3×3(×3) with its gradients: of the result, of the input, of the weights.
template <class Interpreter>
[[nodiscard]] std::array<at::Tensor, 3> convolve_and_back(const at::Tensor& input, const at::Tensor& weight,
                                                          at::ScalarType type) {
  const at::Tensor x = input.detach().clone().requires_grad_(true);
  std::array<at::Tensor, 1> weights{weight.detach().clone().requires_grad_(true)};
  Interpreter on(weights, true);
  on.convolve_in(type);
  nn::op::Convolution convolution;
  convolution.dimension = static_cast<int>(input.dim() - 2);
  convolution.weight = nn::ParameterId{0};
  convolution.bias = nn::no_parameter;
  convolution.stride = 1;
  convolution.padding = 1;
  const std::array<at::Tensor, 1> inputs{x};
  const at::Tensor y = on.apply(convolution, inputs);
  y.square().sum().backward();
  return {y.detach(), x.grad(), weights[0].grad()};
}

}  // namespace detail

/// Convolves in float32 and in bf16, forward and backward, and compares results and times. Takes about a tenth of a
/// second, where bf16 is of use.
/// @tparam Interpreter  that of the training's backend
/// @param dimension  of the convolution: 2 or 3
template <class Interpreter = nn::TorchInterpreter>
[[nodiscard]] Bf16Trial try_bf16(int dimension) {
  using Clock = std::chrono::steady_clock;
  const std::int64_t channels = dimension == 2 ? 64 : 32;  // of layers as most of the time goes to
  constexpr int rounds = 5;
  std::vector<std::int64_t> kernel{channels, channels};
  std::vector<std::int64_t> shape{dimension == 2 ? 4 : 1, channels};
  for (int axis = 0; axis < dimension; ++axis) {
    kernel.push_back(3);
    shape.push_back(dimension == 2 ? 64 : 20);
  }
  Bf16Trial trial;
  try {
    const auto noise = [](const std::vector<std::int64_t>& extents, std::uint32_t sample) {
      at::Tensor out = at::empty(extents, at::kFloat);
      Rng rng({0, 0, sample, stream_user});
      auto* values = out.data_ptr<float>();
      for (std::int64_t i = 0; i < out.numel(); ++i) values[i] = static_cast<float>(rng.normal());
      return out;
    };
    const at::Tensor input = noise(shape, 0);
    const at::Tensor weight = noise(kernel, 1);
    std::array<std::vector<double>, 2> seconds;
    std::array<std::array<at::Tensor, 3>, 2> found;
    for (int round = 0; round < rounds; ++round)
      for (std::size_t i = 0; i < 2; ++i) {
        const auto begin = Clock::now();
        found[i] = detail::convolve_and_back<Interpreter>(input, weight, i == 0 ? at::kFloat : at::kBFloat16);
        seconds[i].push_back(std::chrono::duration<double>(Clock::now() - begin).count());
      }
    for (std::size_t part = 0; part < 3; ++part)
      trial.error = std::max(
          trial.error, (found[1][part] - found[0][part]).norm().item<double>() / found[0][part].norm().item<double>());
    for (auto& times : seconds) std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
    trial.time_ratio = seconds[1][rounds / 2] / seconds[0][rounds / 2];
  } catch (const c10::Error& fault) {
    trial.fault = fault.what_without_backtrace();
    trial.fault.resize(std::min(trial.fault.find('\n'), trial.fault.size()));
  }
  return trial;
}

/// @throws Error (usage) if bf16 is wrong or slow on this machine, saying which
IVADO_INLINE void require_bf16(const Bf16Trial& trial) {
  if (const std::string why = trial.refusal(); !why.empty())
    throw usage_error("training in bf16", why, "set training_parameters.precision to \"float32\"");
}

}  // namespace ivado
