// An interpreter of plain loops, by the definitions of the operations: what others are held to where there is no LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <ivado/data/array.hpp>
#include <ivado/nn/graph.hpp>
#include <ivado/nn/weights.hpp>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace test {

using namespace ivado;

/// Computes in double on arrays [N, channel, spatial…] with two or three spatial axes; slowly.
class PlainInterpreter {
 public:
  using Value = std::shared_ptr<const Array<float>>;

  PlainInterpreter(const nn::ParameterList& list, const nn::Weights& weights) {
    for (const auto& spec : list) {
      auto& values = parameters_.emplace_back();
      const auto* found = weights.find(list[spec.shared_with < 0 ? id(list, spec) : spec.shared_with].name);
      if (found == nullptr || spec.role == nn::Role::counter) continue;
      values.resize(found->bytes.size() / sizeof(float));
      std::memcpy(values.data(), found->bytes.data(), found->bytes.size());
    }
  }

  Value apply(const nn::op::Convolution& op, std::span<const Value> x) const {
    Shape shape = x[0]->shape();
    shape[1] = op.out;
    for (int axis = 2; axis < shape.rank(); ++axis)
      shape[axis] = (shape[axis] + 2 * op.padding - op.kernel) / op.stride + 1;
    const std::int64_t taps = power(op.kernel, op.dimension);
    return fill(shape, [&](std::int64_t n, std::int64_t c, const Place& to) {
      double sum = op.bias == nn::no_parameter ? 0 : value(op.bias, c);
      for (std::int64_t i = 0; i < op.in; ++i)
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          const Place k = place(tap, {op.kernel, op.kernel, op.kernel}, op.dimension);
          Place from{};
          for (std::size_t a = 0; a < 3; ++a) from[a] = to[a] * op.stride - op.padding + k[a];
          if (op.dimension == 2) from[0] = 0;
          sum += value(op.weight, (c * op.in + i) * taps + tap) * at(*x[0], n, i, from, 0);
        }
      return sum;
    });
  }
  Value apply(const nn::op::TransposedConvolution& op, std::span<const Value> x) const {
    Shape shape = x[0]->shape();
    shape[1] = op.out;
    for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] *= op.kernel;
    const std::int64_t taps = power(op.kernel, op.dimension);
    return fill(shape, [&](std::int64_t n, std::int64_t c, const Place& to) {
      double sum = op.bias == nn::no_parameter ? 0 : value(op.bias, c);
      std::int64_t tap = 0;
      Place from{};
      for (auto a = static_cast<std::size_t>(3 - op.dimension); a < 3; ++a) {
        tap = tap * op.kernel + to[a] % op.kernel;
        from[a] = to[a] / op.kernel;
      }
      for (std::int64_t i = 0; i < op.in; ++i)
        sum += value(op.weight, (i * op.out + c) * taps + tap) * at(*x[0], n, i, from, 0);
      return sum;
    });
  }
  Value apply(const nn::op::BatchNorm& op, std::span<const Value> x) const {
    return fill(x[0]->shape(), [&](std::int64_t n, std::int64_t c, const Place& to) {
      return (at(*x[0], n, c, to, 0) - value(op.running_mean, c)) /
                 std::sqrt(value(op.running_variance, c) + op.epsilon) * value(op.weight, c) +
             value(op.bias, c);
    });
  }
  Value apply(const nn::op::InstanceNorm& op, std::span<const Value> x) const {
    const Array<float>& in = *x[0];
    const std::int64_t voxels = in.size() / in.extent(0) / in.extent(1);
    std::vector<std::array<double, 2>> moments;
    for (std::int64_t map = 0; map < in.extent(0) * in.extent(1); ++map) {
      double mean = 0;
      double variance = 0;
      const auto voxel = [&](std::int64_t v) { return static_cast<double>(in[map * voxels + v]); };
      for (std::int64_t v = 0; v < voxels; ++v) mean += voxel(v) / static_cast<double>(voxels);
      for (std::int64_t v = 0; v < voxels; ++v) variance += std::pow(voxel(v) - mean, 2) / static_cast<double>(voxels);
      moments.push_back({mean, variance});
    }
    return fill(in.shape(), [&](std::int64_t n, std::int64_t c, const Place& to) {
      const auto& [mean, variance] = moments[static_cast<std::size_t>(n * in.extent(1) + c)];
      const double y = (at(in, n, c, to, 0) - mean) / std::sqrt(variance + op.epsilon);
      return op.weight == nn::no_parameter ? y : y * value(op.weight, c) + value(op.bias, c);
    });
  }
  Value apply(const nn::op::Relu&, std::span<const Value> x) const { return apply(nn::op::LeakyRelu{0}, x); }
  Value apply(const nn::op::LeakyRelu& op, std::span<const Value> x) const {
    return each(x[0], [&](double y) { return y > 0 ? y : op.slope * y; });
  }
  Value apply(const nn::op::Sigmoid&, std::span<const Value> x) const {
    return each(x[0], [](double y) { return 1 / (1 + std::exp(-y)); });
  }
  Value apply(const nn::op::Dropout&, std::span<const Value> x) const { return x[0]; }
  Value apply(const nn::op::MaxPool& op, std::span<const Value> x) const {
    return window(
        *x[0], op.kernel, op.stride, op.padding, -std::numeric_limits<double>::infinity(),
        [](double a, double b) { return std::max(a, b); }, 1);
  }
  Value apply(const nn::op::AveragePool& op, std::span<const Value> x) const {
    const double taps = static_cast<double>(power(op.kernel, x[0]->rank() - 2));
    return window(
        *x[0], op.kernel, op.kernel, 0, 0, [](double a, double b) { return a + b; }, 1 / taps);
  }
  /// By the definition: the value at i · (from - 1) / (to - 1), linear between voxels.
  Value apply(const nn::op::ResizeLike&, std::span<const Value> x) const {
    Shape shape = x[0]->shape();
    for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] = x[1]->extent(axis);
    const Place from = extents(x[0]->shape());
    const Place to = extents(shape);
    return fill(shape, [&](std::int64_t n, std::int64_t c, const Place& voxel) {
      double sum = 0;
      for (std::int64_t corner = 0; corner < 8; ++corner) {
        double weight = 1;
        Place near{};
        for (std::size_t a = 0; a < 3; ++a) {
          const double place =
              to[a] > 1 ? static_cast<double>(voxel[a] * (from[a] - 1)) / static_cast<double>(to[a] - 1) : 0;
          const auto low = static_cast<std::int64_t>(place);
          const bool second = (corner >> a & 1) != 0;
          near[a] = std::min(low + (second ? 1 : 0), from[a] - 1);
          weight *= second ? place - static_cast<double>(low) : 1 - (place - static_cast<double>(low));
        }
        sum += weight * at(*x[0], n, c, near, 0);
      }
      return sum;
    });
  }
  Value apply(const nn::op::Concat&, std::span<const Value> x) const {
    Shape shape = x[0]->shape();
    shape[1] = 0;
    for (const auto& part : x) shape[1] += part->extent(1);
    return fill(shape, [&](std::int64_t n, std::int64_t c, const Place& to) {
      std::size_t part = 0;
      while (c >= x[part]->extent(1)) c -= x[part++]->extent(1);
      return at(*x[part], n, c, to, 0);
    });
  }
  Value apply(const nn::op::Add&, std::span<const Value> x) const {
    return fill(x[0]->shape(), [&](std::int64_t n, std::int64_t c, const Place& to) {
      return at(*x[0], n, c, to, 0) + at(*x[1], n, c, to, 0);
    });
  }
  /// @throws Error (internal) always: the networks that this is for have no such operation
  template <class Operation>
  Value apply(const Operation& op, std::span<const Value>) const {
    throw internal_error("running a network by plain loops", std::string(op.name) + " is not among its operations");
  }

 private:
  using Place = std::array<std::int64_t, 3>;  // the last spatial axis last; two axes have 0 in front

  [[nodiscard]] static nn::ParameterId id(const nn::ParameterList& list, const nn::ParameterSpec& spec) {
    return static_cast<nn::ParameterId>(&spec - &list[0]);
  }
  [[nodiscard]] static std::int64_t power(std::int64_t base, int exponent) {
    return exponent == 0 ? 1 : base * power(base, exponent - 1);
  }
  [[nodiscard]] static Place extents(const Shape& shape) {
    return {shape.rank() == 5 ? shape[2] : 1, shape[shape.rank() - 2], shape[shape.rank() - 1]};
  }
  [[nodiscard]] static Place place(std::int64_t voxel, const Place& in, int dimension) {
    return {dimension == 3 ? voxel / (in[1] * in[2]) : 0, voxel / in[2] % in[1], voxel % in[2]};
  }
  [[nodiscard]] double value(nn::ParameterId parameter, std::int64_t i) const {
    return static_cast<double>(parameters_[static_cast<std::size_t>(parameter)][static_cast<std::size_t>(i)]);
  }
  [[nodiscard]] static double at(const Array<float>& x, std::int64_t n, std::int64_t c, const Place& voxel,
                                 double outside) {
    const Place in = extents(x.shape());
    for (std::size_t a = 0; a < 3; ++a)
      if (voxel[a] < 0 || voxel[a] >= in[a]) return outside;
    return static_cast<double>(x[(((n * x.extent(1) + c) * in[0] + voxel[0]) * in[1] + voxel[1]) * in[2] + voxel[2]]);
  }
  /// The array of what `element(sample, channel, voxel)` gives.
  template <class Element>
  [[nodiscard]] static Value fill(const Shape& shape, const Element& element) {
    auto out = std::make_shared<Array<float>>(shape);
    const Place in = extents(shape);
    const std::int64_t voxels = in[0] * in[1] * in[2];
    for (std::int64_t i = 0; i < out->size(); ++i)
      (*out)[i] = static_cast<float>(
          element(i / voxels / shape[1], i / voxels % shape[1], place(i % voxels, in, shape.rank() - 2)));
    return out;
  }
  template <class Function>
  [[nodiscard]] static Value each(const Value& x, const Function& function) {
    auto out = std::make_shared<Array<float>>(x->clone());
    for (auto& y : *out) y = static_cast<float>(function(static_cast<double>(y)));
    return out;
  }
  template <class Join>
  [[nodiscard]] static Value window(const Array<float>& x, std::int64_t kernel, std::int64_t stride,
                                    std::int64_t padding, double first, const Join& join, double factor) {
    const int dimension = x.rank() - 2;
    Shape shape = x.shape();
    for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] = (shape[axis] + 2 * padding - kernel) / stride + 1;
    return fill(shape, [&](std::int64_t n, std::int64_t c, const Place& to) {
      double result = first;
      for (std::int64_t tap = 0; tap < power(kernel, dimension); ++tap) {
        Place from = place(tap, {kernel, kernel, kernel}, dimension);
        for (std::size_t a = static_cast<std::size_t>(3 - dimension); a < 3; ++a) from[a] += to[a] * stride - padding;
        result = join(result, at(x, n, c, from, first));
      }
      return factor * result;
    });
  }

  std::vector<std::vector<float>> parameters_;
};

static_assert(nn::Interpreter<PlainInterpreter>);

/// What a graph with one input gives.
[[nodiscard]] inline Array<float> run_plainly(const graph::Graph& graph, const nn::Weights& weights,
                                              const Array<float>& input) {
  PlainInterpreter on(graph.parameters, weights);
  const std::array inputs{std::make_shared<const Array<float>>(input.clone())};
  return graph::run(graph, on, std::span<const PlainInterpreter::Value>(inputs))->clone();
}

}  // namespace test
