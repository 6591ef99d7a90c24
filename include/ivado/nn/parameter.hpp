// Names, shapes and initial values of a network's parameters and buffers. No LibTorch: the same list serves every
// interpreter.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../random.hpp"

namespace ivado::nn {

/// How a parameter gets its first values.
enum class Init {
  zeros,           ///< biases of norms, running means
  ones,            ///< weights of norms, running variances
  fan_in_uniform,  ///< uniform in ±1/√fan_in: PyTorch's default of convolutions, linear layers and their biases
  kaiming_normal,  ///< N(0, 2/fan_in) (He et al. 2015, arXiv:1502.01852)
};

/// What a tensor of the network is.
enum class Role {
  weight,   ///< trained
  buffer,   ///< carried along, not trained: running statistics
  counter,  ///< an int64 scalar: number of batches seen by a batch norm
};

/// One tensor of a network.
struct ParameterSpec {
  std::string name;  ///< as in ivadomed's state dictionary, such as "encoder.conv_bottom.conv1.weight"
  Shape shape;       ///< of a convolution [out, in, spatial…]; a counter has no axis
  Init init = Init::zeros;
  Role role = Role::weight;
  std::int64_t fan_in = 1;  ///< for the initial values: input channels times kernel elements
};

/// The place of a parameter in its list; what layers hold.
using ParameterId = std::int32_t;
/// Stands for a parameter that a layer does not have.
inline constexpr ParameterId no_parameter = -1;

/// The tensors of a network in the order of PyTorch's state dictionary.
class ParameterList {
 public:
  /// Adds a tensor and tells its place.
  ParameterId add(ParameterSpec spec) {
    specs_.push_back(std::move(spec));
    return static_cast<ParameterId>(specs_.size() - 1);
  }
  [[nodiscard]] const ParameterSpec& operator[](ParameterId id) const { return specs_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] std::size_t size() const noexcept { return specs_.size(); }
  [[nodiscard]] auto begin() const noexcept { return specs_.begin(); }
  [[nodiscard]] auto end() const noexcept { return specs_.end(); }
  /// Number of trained values.
  [[nodiscard]] std::int64_t trained_values() const {
    std::int64_t sum = 0;
    for (const auto& spec : specs_)
      if (spec.role == Role::weight) sum += spec.shape.size();
    return sum;
  }

 private:
  std::vector<ParameterSpec> specs_;
};

/// The initial values of parameter number `id`: a function of seed and place, whatever computes the network.
[[nodiscard]] inline Array<float> initial_values(const ParameterSpec& spec, ParameterId id, std::uint64_t seed) {
  Array<float> values(spec.shape);
  Rng rng(RandomKey{seed, 0, static_cast<std::uint32_t>(id), stream_weights});
  switch (spec.init) {
    case Init::zeros:
      std::fill(values.begin(), values.end(), 0.0F);
      break;
    case Init::ones:
      std::fill(values.begin(), values.end(), 1.0F);
      break;
    case Init::fan_in_uniform: {
      const double bound = 1 / std::sqrt(static_cast<double>(spec.fan_in));
      for (auto& value : values) value = static_cast<float>(rng.uniform(-bound, bound));
      break;
    }
    case Init::kaiming_normal: {
      const double deviation = std::sqrt(2.0 / static_cast<double>(spec.fan_in));
      for (auto& value : values) value = static_cast<float>(rng.normal(0, deviation));
      break;
    }
  }
  return values;
}

}  // namespace ivado::nn
