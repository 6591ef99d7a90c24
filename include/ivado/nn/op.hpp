// The operations of a network as plain data. Interpreters give them their meaning: LibTorch, the graph recorder, later
// ONNX and oneDNN.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "parameter.hpp"

namespace ivado::nn {

/// The operations. Values are [N, channel, spatial…] with `dimension` spatial axes of 2 or 3.
namespace op {

/// The input of the network number `index`.
struct Input {
  static constexpr std::string_view name = "input";
  int index = 0;
};
/// Convolution (cross-correlation) with one kernel size, stride and zero padding for all spatial axes.
struct Convolution {
  static constexpr std::string_view name = "convolution";
  int dimension = 2;
  ParameterId weight = no_parameter;  ///< [out, in, kernel…]
  ParameterId bias = no_parameter;    ///< [out], or none
  std::int64_t in = 1;
  std::int64_t out = 1;
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 1;
};
/// Batch norm with affine parameters and running statistics (Ioffe and Szegedy 2015, arXiv:1502.03167).
struct BatchNorm {
  static constexpr std::string_view name = "batch_norm";
  ParameterId weight = no_parameter;
  ParameterId bias = no_parameter;
  ParameterId running_mean = no_parameter;
  ParameterId running_variance = no_parameter;
  ParameterId batches = no_parameter;  ///< counter
  double momentum = 0.1;               ///< weight of the new statistic
  double epsilon = 1e-5;
};
/// Instance norm without parameters or running statistics (Ulyanov et al. 2016, arXiv:1607.08022).
struct InstanceNorm {
  static constexpr std::string_view name = "instance_norm";
  double epsilon = 1e-5;
};
/// max(x, 0)
struct Relu {
  static constexpr std::string_view name = "relu";
};
/// 1 / (1 + e^-x)
struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
};
/// Softmax over the channels.
struct Softmax {
  static constexpr std::string_view name = "softmax";
};
/// While training, sets whole channels of a sample to 0 with probability `rate` and scales the others by 1/(1-rate)
/// (Tompson et al. 2015, arXiv:1411.4280); otherwise the identity.
struct ChannelDropout {
  static constexpr std::string_view name = "channel_dropout";
  double rate = 0.3;
  int place = 0;  ///< number of the dropout in its network: gives it its own random numbers
};
/// Largest value in windows of `kernel` with stride `kernel`, remainder dropped.
struct MaxPool {
  static constexpr std::string_view name = "max_pool";
  std::int64_t kernel = 2;
};
/// (Bi- or tri-)linear resize of the first input to the spatial size of the second, corners aligned.
struct ResizeLike {
  static constexpr std::string_view name = "resize_like";
};
/// The inputs one behind the other along the channels.
struct Concat {
  static constexpr std::string_view name = "concat";
};
/// Channels from `first` on.
struct DropChannels {
  static constexpr std::string_view name = "drop_channels";
  std::int64_t first = 1;
};
/// x divided by its maximum, 0 where that is 0: over each map of each sample, or over the whole batch as ivadomed does.
struct DivideByMax {
  static constexpr std::string_view name = "divide_by_max";
  bool whole_batch = false;
};
/// x divided by the sum of its channels; a sum of 0 counts as 1.
struct DivideByChannelSum {
  static constexpr std::string_view name = "divide_by_channel_sum";
};

}  // namespace op

/// Any operation.
using Op = std::variant<op::Input, op::Convolution, op::BatchNorm, op::InstanceNorm, op::Relu, op::Sigmoid, op::Softmax,
                        op::ChannelDropout, op::MaxPool, op::ResizeLike, op::Concat, op::DropChannels, op::DivideByMax,
                        op::DivideByChannelSum>;

/// Name of an operation.
[[nodiscard]] inline std::string_view op_name(const Op& op) {
  return std::visit([](const auto& one) { return one.name; }, op);
}

}  // namespace ivado::nn
