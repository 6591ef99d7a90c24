// The shape of a tensor of LibTorch as ivado's.
#pragma once

#include <ATen/core/Tensor.h>

#include "../data/array.hpp"
#include "../inline.hpp"

namespace ivado {

/// The extents of a tensor.
/// @throws Error (internal) if it has more axes than a `Shape` can hold
[[nodiscard]] IVADO_INLINE Shape shape_of_tensor(const at::Tensor& tensor) {
  Shape shape;
  for (const auto extent : tensor.sizes()) shape.push_back(extent);
  return shape;
}

}  // namespace ivado
