// Between stored tensors and LibTorch's: for the areas of ivado_golden that need it.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "golden.hpp"

namespace golden {

/// A stored tensor in float32, whatever its type was.
inline at::Tensor to_tensor(const Tensor& stored) {
  std::vector<std::int64_t> shape(stored.values.shape().begin(), stored.values.shape().end());
  return at::from_blob(const_cast<double*>(stored.values.data()), shape, at::kDouble).to(at::kFloat);
}

/// The values of a tensor in double precision.
inline ivado::Array<double> to_array(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().to(at::kDouble).contiguous();
  ivado::Shape shape;
  for (const auto extent : dense.sizes()) shape.push_back(extent);
  ivado::Array<double> out(shape);
  std::copy_n(dense.data_ptr<double>(), dense.numel(), out.data());
  return out;
}

}  // namespace golden
