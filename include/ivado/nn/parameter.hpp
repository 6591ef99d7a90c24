// Names, shapes and initial values of a network's parameters and buffers. No LibTorch: the same list serves every
// interpreter.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../inline.hpp"
#include "../random.hpp"

namespace ivado::nn {

/// How a parameter gets its first values.
enum class Init {
  zeros,              ///< biases of norms, running means
  ones,               ///< weights of norms, running variances
  fan_in_uniform,     ///< uniform in ±1/√fan_in: PyTorch's default of convolutions, linear layers and their biases
  kaiming_normal,     ///< N(0, 2/fan), fan-in or fan-out (He et al. 2015, arXiv:1502.01852)
  xavier_uniform,     ///< uniform in ±√(6/(fan-in + fan-out)) (Glorot and Bengio 2010), times a gain
  normal_around_one,  ///< N(1, deviation²)
};

/// What a tensor of the network is.
enum class Role {
  weight,   ///< trained
  buffer,   ///< carried along, not trained: running statistics
  counter,  ///< an int64 scalar: number of batches seen by a batch norm
};

/// The place of a parameter in its list; what layers hold.
using ParameterId = std::int32_t;
/// Stands for a parameter that a layer does not have.
inline constexpr ParameterId no_parameter = -1;

/// The first values of a tensor.
struct InitialValues {
  Init kind = Init::zeros;
  double fan = 1;   ///< of `fan_in_uniform`, `kaiming_normal`: connections an output has; of `xavier_uniform`: in + out
  double gain = 1;  ///< factor of `xavier_uniform`; deviation of `normal_around_one`

  constexpr InitialValues(Init of_kind, double of_fan = 1,
                          double of_gain = 1) noexcept  // NOLINT: an Init alone will do
      : kind(of_kind), fan(of_fan), gain(of_gain) {}
};

/// One tensor of a network.
struct ParameterSpec {
  std::string name;  ///< as in ivadomed's state dictionary, such as "encoder.conv_bottom.conv1.weight"
  Shape shape;       ///< of a convolution [out, in, spatial…]; a counter has no axis
  InitialValues init = Init::zeros;
  Role role = Role::weight;
  ParameterId shared_with = no_parameter;  ///< an earlier tensor that this name is another name of

  /// The name of the layer that the tensor belongs to: all before its last part.
  [[nodiscard]] IVADO_INLINE std::string_view layer() const noexcept {
    const std::size_t dot = name.rfind('.');
    return std::string_view(name).substr(0, dot == std::string::npos ? 0 : dot);
  }
};

/// The tensors of a network in the order of PyTorch's state dictionary, and the number of its dropouts.
class ParameterList {
 public:
  /// Adds a tensor and tells its place.
  IVADO_INLINE ParameterId add(ParameterSpec spec) {
    specs_.push_back(std::move(spec));
    return static_cast<ParameterId>(specs_.size() - 1);
  }
  [[nodiscard]] const ParameterSpec& operator[](ParameterId id) const { return specs_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] std::size_t size() const noexcept { return specs_.size(); }
  [[nodiscard]] auto begin() const noexcept { return specs_.begin(); }
  [[nodiscard]] auto end() const noexcept { return specs_.end(); }
  /// Number of trained values; a tensor that has several names counts once.
  [[nodiscard]] IVADO_INLINE std::int64_t trained_values() const {
    std::int64_t sum = 0;
    for (const auto& spec : specs_)
      if (spec.role == Role::weight && spec.shared_with == no_parameter) sum += spec.shape.size();
    return sum;
  }
  /// The first tensor of each layer that has trained ones, in order: what transfer learning counts.
  [[nodiscard]] IVADO_INLINE std::vector<ParameterId> layers() const {
    std::vector<ParameterId> out;
    std::string_view last;
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      if (specs_[i].role != Role::weight || (!out.empty() && specs_[i].layer() == last)) continue;
      last = specs_[i].layer();
      out.push_back(static_cast<ParameterId>(i));
    }
    return out;
  }

  /// The number of a dropout that is added to the network.
  int add_dropout() noexcept { return dropouts_++; }

 private:
  std::vector<ParameterSpec> specs_;
  int dropouts_ = 0;
};

/// The initial values of parameter number `id`: a function of seed and place, whatever computes the network.
[[nodiscard]] IVADO_INLINE Array<float> initial_values(const ParameterSpec& spec, ParameterId id, std::uint64_t seed) {
  Array<float> values(spec.shape);
  Rng rng(RandomKey{seed, 0, static_cast<std::uint32_t>(id), stream_weights});
  const auto uniform = [&](double bound) {
    for (auto& value : values) value = static_cast<float>(rng.uniform(-bound, bound));
  };
  const auto normal = [&](double mean, double deviation) {
    for (auto& value : values) value = static_cast<float>(rng.normal(mean, deviation));
  };
  switch (spec.init.kind) {
    case Init::zeros:
      std::fill(values.begin(), values.end(), 0.0F);
      break;
    case Init::ones:
      std::fill(values.begin(), values.end(), 1.0F);
      break;
    case Init::fan_in_uniform:
      uniform(1 / std::sqrt(spec.init.fan));
      break;
    case Init::kaiming_normal:
      normal(0, std::sqrt(2 / spec.init.fan));
      break;
    case Init::xavier_uniform:
      uniform(spec.init.gain * std::sqrt(6 / spec.init.fan));
      break;
    case Init::normal_around_one:
      normal(1, spec.init.gain);
      break;
  }
  return values;
}

}  // namespace ivado::nn
