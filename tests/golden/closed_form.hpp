// The closed-form weights of the reference values (its README tells the formula).
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "golden.hpp"

namespace golden {

/// The uniform number of the reference's closed-form weights for element i of entry k.
inline double closed_form_uniform(std::uint64_t k, std::uint64_t i) {
  std::uint64_t z = ((k + 1) << 32) + i;
  z += 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) / 16777216.0;
}

/// Gives a tensor of a network its closed-form values; `k` is its number in the state dictionary of the reference.
inline void fill(const at::Tensor& tensor, const std::string& name, std::uint64_t k) {
  if (name.ends_with("num_batches_tracked")) {
    tensor.zero_();
    return;
  }
  const double scale =
      tensor.dim() < 2 ? 0
                       : std::sqrt(6.0 / (static_cast<double>(tensor.numel()) / static_cast<double>(tensor.size(0))));
  at::Tensor values = at::empty(tensor.sizes(), at::kFloat);
  auto* out = values.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const double u = closed_form_uniform(k, static_cast<std::uint64_t>(i));
    const double s = 2 * u - 1;
    double value = scale * s;
    if (name.ends_with("running_var"))
      value = 1 + 0.2 * u;
    else if (name.ends_with("running_mean") || name.ends_with("bias"))
      value = 0.1 * s;
    else if (tensor.dim() == 1)
      value = 1 + 0.1 * s;
    out[i] = static_cast<float>(value);
  }
  tensor.detach().copy_(values);
}

/// Gives all tensors of a network their closed-form values.
/// @param state  names of the reference's state dictionary in order: [[name, …], …]
template <class Net>
void fill_all(Net& net, const ivado::Json& state) {
  std::map<std::string, std::uint64_t> place;
  for (std::size_t k = 0; k < state.size(); ++k) place[state[k][0].template get<std::string>()] = k;
  const auto names = net.names();
  const auto tensors = net.tensors();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (!net.is_alias(i)) fill(tensors[i], names[i], place.at(names[i]));
}

}  // namespace golden
