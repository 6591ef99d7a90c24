// The values of a network's tensors by name, independent of what computes with them. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ivado::nn {

/// Element types that a network's tensors have.
enum class ElementType { float32, int64 };

/// One named tensor. Elements lie row-major in the machine's byte order.
struct WeightTensor {
  std::string name;
  ElementType type = ElementType::float32;
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::vector<std::byte> bytes;

  /// Bytes an element.
  [[nodiscard]] static constexpr std::size_t width(ElementType type) noexcept {
    return type == ElementType::float32 ? 4 : 8;
  }
};

/// All tensors of a network in the order of its state dictionary, and what is said of them (`digest`, `epoch` …).
struct Weights {
  std::vector<WeightTensor> tensors;
  std::map<std::string, std::string> metadata;

  /// The tensor of a name, or null.
  [[nodiscard]] const WeightTensor* find(std::string_view name) const noexcept {
    for (const auto& tensor : tensors)
      if (tensor.name == name) return &tensor;
    return nullptr;
  }
};

}  // namespace ivado::nn
