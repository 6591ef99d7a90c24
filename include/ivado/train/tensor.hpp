// The door between the data side and LibTorch: arrays become tensors and back.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "../data/array.hpp"

namespace ivado {

/// The elements of an array as a tensor of the same shape, without a copy: the array must outlive the tensor.
[[nodiscard]] inline at::Tensor tensor_view(Array<float>& array) {
  return at::from_blob(array.data(), at::IntArrayRef(array.shape().begin(), array.shape().end()), at::kFloat);
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
