// The door between the data side and LibTorch: arrays become tensors and back.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "../data/array.hpp"
#include "../data/sample.hpp"

namespace ivado {

/// The elements of an array as a tensor of the same shape, without a copy: the array must outlive the tensor.
[[nodiscard]] inline at::Tensor tensor_view(Array<float>& array) {
  return at::from_blob(array.data(), at::IntArrayRef(array.shape().begin(), array.shape().end()), at::kFloat);
}

/// The tensors of a batch on a device.
struct DeviceBatch {
  at::Tensor image;      ///< [N, channel, spatial…]
  at::Tensor label;      ///< [N, class, spatial…], or [N, class] for a classifier
  at::Tensor condition;  ///< [N, conditions]; undefined where the samples have none
};
/// The tensors of a batch: views of its arrays on the CPU (the batch must outlive them), copies elsewhere.
[[nodiscard]] inline DeviceBatch on_device(Batch& batch, const at::Device& device) {
  return {tensor_view(batch.image).to(device), tensor_view(batch.label).to(device),
          batch.condition.empty() ? at::Tensor() : tensor_view(batch.condition).to(device)};
}

/// Element `index` of the first axis of a tensor as an array of its own: [N, class, spatial…] to [class, spatial…].
[[nodiscard]] inline Array<float> element(const at::Tensor& tensor, std::int64_t index) {
  const at::Tensor one = tensor.select(0, index).to(at::kCPU, at::kFloat).contiguous();
  Shape shape;
  for (const auto extent : one.sizes()) shape.push_back(extent);
  Array<float> out(shape);
  std::copy_n(one.data_ptr<float>(), one.numel(), out.data());
  return out;
}

}  // namespace ivado
