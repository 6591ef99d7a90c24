// The operations of a network as plain data. Interpreters give them their meaning: LibTorch, the graph recorder, the ONNX
// writer, later oneDNN.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "../inline.hpp"
#include "parameter.hpp"

namespace ivado::nn {

/// The operations. Unless said otherwise a value is [N, channel, spatial…] with two or three spatial axes, and the
/// result has the shape of the first input.
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
/// Transposed convolution whose stride is its kernel: each voxel becomes a block of `kernel` voxels an axis.
struct TransposedConvolution {
  static constexpr std::string_view name = "transposed_convolution";
  int dimension = 2;
  ParameterId weight = no_parameter;  ///< [in, out, kernel…]
  ParameterId bias = no_parameter;    ///< [out], or none
  std::int64_t in = 1;
  std::int64_t out = 1;
  std::int64_t kernel = 2;
};
/// y = W x + b on [N, in], giving [N, out].
struct Linear {
  static constexpr std::string_view name = "linear";
  ParameterId weight = no_parameter;  ///< [out, in]
  ParameterId bias = no_parameter;    ///< [out]
  std::int64_t in = 1;
  std::int64_t out = 1;
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
/// Instance norm without running statistics (Ulyanov et al. 2016, arXiv:1607.08022); affine where it has parameters.
struct InstanceNorm {
  static constexpr std::string_view name = "instance_norm";
  ParameterId weight = no_parameter;
  ParameterId bias = no_parameter;
  double epsilon = 1e-5;
};
/// max(x, 0)
struct Relu {
  static constexpr std::string_view name = "relu";
};
/// x where it is positive, else slope · x.
struct LeakyRelu {
  static constexpr std::string_view name = "leaky_relu";
  double slope = 0.01;
};
/// 1 / (1 + e^-x)
struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
};
/// Softmax over the channels.
struct Softmax {
  static constexpr std::string_view name = "softmax";
};
/// While training, sets whole channels of a sample (or single elements) to 0 with probability `rate` and scales the
/// others by 1/(1-rate) (channels: Tompson et al. 2015, arXiv:1411.4280; elements: Srivastava et al. 2014); otherwise
/// the identity.
struct Dropout {
  static constexpr std::string_view name = "dropout";
  double rate = 0.3;
  int place = 0;  ///< number of the dropout in its network: gives it its own random numbers
  bool whole_channels = true;
};
/// Largest value in windows; a remainder is dropped. Padding counts as minus infinity.
struct MaxPool {
  static constexpr std::string_view name = "max_pool";
  std::int64_t kernel = 2;
  std::int64_t stride = 2;
  std::int64_t padding = 0;
};
/// Mean of windows of `kernel` with stride `kernel`, remainder dropped.
struct AveragePool {
  static constexpr std::string_view name = "average_pool";
  std::int64_t kernel = 2;
};
/// Mean over all spatial axes: [N, channel].
struct GlobalAveragePool {
  static constexpr std::string_view name = "global_average_pool";
};
/// (Bi- or tri-)linear resize of the first input to the spatial size of the second, corners aligned.
struct ResizeLike {
  static constexpr std::string_view name = "resize_like";
};
/// Repeats each voxel `factor` times along each spatial axis (nearest neighbour).
struct Upsample {
  static constexpr std::string_view name = "upsample";
  std::int64_t factor = 2;
};
/// The inputs one behind the other along the channels.
struct Concat {
  static constexpr std::string_view name = "concat";
};
/// Sum of two values of one shape.
struct Add {
  static constexpr std::string_view name = "add";
};
/// The first input times the second, which has one channel or as many.
struct Multiply {
  static constexpr std::string_view name = "multiply";
};
/// `count` channels from `first` on; a count of -1 takes all that are left.
struct SelectChannels {
  static constexpr std::string_view name = "select_channels";
  std::int64_t first = 0;
  std::int64_t count = -1;
};
/// γ ⊙ x + β for x [N, C, spatial…] and the second input [N, 2C], of which the first half is γ (Perez et al. 2018,
/// "FiLM", arXiv:1709.07871). `around_one`: γ is 1 + the first half, so that zeros change nothing.
struct Modulate {
  static constexpr std::string_view name = "modulate";
  bool around_one = true;
};
/// Mean and variance over those of several values that are present, one behind the other: [N, 2C, spatial…] (Havaei et
/// al. 2016, "HeMIS", arXiv:1607.05194).
///
/// The first input is the presence [N, K] of 0 and 1, the K others are [N, C, spatial…]. The variance is the unbiased
/// one, and 0 for a single value. At least one must be present in each sample.
struct Moments {
  static constexpr std::string_view name = "moments";
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
using Op =
    std::variant<op::Input, op::Convolution, op::TransposedConvolution, op::Linear, op::BatchNorm, op::InstanceNorm,
                 op::Relu, op::LeakyRelu, op::Sigmoid, op::Softmax, op::Dropout, op::MaxPool, op::AveragePool,
                 op::GlobalAveragePool, op::ResizeLike, op::Upsample, op::Concat, op::Add, op::Multiply,
                 op::SelectChannels, op::Modulate, op::Moments, op::DivideByMax, op::DivideByChannelSum>;

/// Name of an operation.
[[nodiscard]] IVADO_INLINE std::string_view op_name(const Op& op) {
  return std::visit([](const auto& one) { return one.name; }, op);
}

/// The parameters of an operation, in the order of their names in the state dictionary; empty for most.
[[nodiscard]] IVADO_INLINE std::vector<ParameterId> op_parameters(const Op& op) {
  std::vector<ParameterId> out;
  std::visit(
      [&](const auto& one) {
        if constexpr (requires { one.weight; }) out = {one.weight, one.bias};
        if constexpr (requires { one.running_mean; }) {
          out.push_back(one.running_mean);
          out.push_back(one.running_variance);
          out.push_back(one.batches);
        }
      },
      op);
  std::erase(out, no_parameter);
  return out;
}

}  // namespace ivado::nn
