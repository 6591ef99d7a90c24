// Reads the .pt files of the reference values: the only file of ivado_golden's torch-free areas that needs LibTorch.
#include <torch/script.h>

#include <fstream>
#include <iterator>

#include "golden.hpp"

namespace golden {

Tensors load_tensors(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ivado::data_error("reading " + path.string(), "the file cannot be opened");
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  Tensors out;
  for (const auto& item : torch::jit::pickle_load(bytes).toGenericDict()) {
    const at::Tensor stored = item.value().toTensor();
    const at::Tensor dense = stored.to(at::kDouble).contiguous();
    ivado::Shape shape;
    for (const auto extent : dense.sizes()) shape.push_back(extent);
    if (shape.rank() == 0) shape.push_back(1);
    Tensor tensor{ivado::Array<double>(shape), {}};
    std::copy_n(dense.data_ptr<double>(), dense.numel(), tensor.values.data());
    switch (stored.scalar_type()) {
      case at::kFloat:
        tensor.dtype = "float32";
        break;
      case at::kDouble:
        tensor.dtype = "float64";
        break;
      case at::kByte:
        tensor.dtype = "uint8";
        break;
      case at::kLong:
        tensor.dtype = "int64";
        break;
      case at::kBool:
        tensor.dtype = "bool";
        break;
      default:
        tensor.dtype = "other";
        break;
    }
    out.emplace(item.key().toStringRef(), std::move(tensor));
  }
  return out;
}

}  // namespace golden
