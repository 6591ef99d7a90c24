// The door between the data side and LibTorch: arrays become tensors and back.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "../data/array.hpp"
#include "../data/sample.hpp"
#include "../inline.hpp"
#include "../nn/tensor_shape.hpp"

namespace ivado {

/// The elements of an array as a tensor of the same shape, without a copy: the array must outlive the tensor.
[[nodiscard]] IVADO_INLINE at::Tensor tensor_view(Array<float>& array) {
  return at::from_blob(array.data(), at::IntArrayRef(array.shape().begin(), array.shape().end()), at::kFloat);
}

/// The tensors of a batch on a device.
struct DeviceBatch {
  at::Tensor image;      ///< [N, channel, spatial…]
  at::Tensor label;      ///< [N, class, spatial…], or [N, class] for a classifier
  at::Tensor condition;  ///< [N, conditions]; undefined where the samples have none
};
/// A tensor on a device: itself where it is there, else a copy. To a GPU it goes through page-locked memory, and the
/// caller does not wait for it: what is computed there afterwards does. The tensor may be overwritten at once, for the
/// page-locked copy is made here; LibTorch keeps that one until the transfer is over.
[[nodiscard]] IVADO_INLINE at::Tensor to_device(const at::Tensor& tensor, const at::Device& device) {
  if (!device.is_cuda() || !tensor.device().is_cpu() || !at::globalContext().hasCUDA()) return tensor.to(device);
  return tensor.pin_memory().to(device, /*non_blocking=*/true);
}
/// The tensors of a batch: views of its arrays on the CPU (the batch must outlive them), copies elsewhere, which do not
/// need the batch any more. See `to_device`.
[[nodiscard]] IVADO_INLINE DeviceBatch on_device(Batch& batch, const at::Device& device) {
  return {to_device(tensor_view(batch.image), device), to_device(tensor_view(batch.label), device),
          batch.condition.empty() ? at::Tensor() : to_device(tensor_view(batch.condition), device)};
}

/// Element `index` of the first axis of a tensor as an array of its own: [N, class, spatial…] to [class, spatial…].
[[nodiscard]] IVADO_INLINE Array<float> element(const at::Tensor& tensor, std::int64_t index) {
  const at::Tensor one = tensor.select(0, index).to(at::kCPU, at::kFloat).contiguous();
  Array<float> out(shape_of_tensor(one));
  std::copy_n(one.data_ptr<float>(), one.numel(), out.data());
  return out;
}

}  // namespace ivado
