// The tensors of a network as the engine needs them: by their place, with batch norms folded in, packed once.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../error.hpp"
#include "../nn/op.hpp"
#include "../nn/parameter.hpp"
#include "../nn/weights.hpp"
#include "primitives.hpp"
#include "winograd.hpp"

namespace ivado::engine {

/// A batch norm in evaluation mode: a factor and a summand for each channel.
struct NormFactors {
  std::vector<float> scale;
  std::vector<float> shift;
};

/// The float32 tensors of a network, and the packed weights that its plans share. Not thread-safe.
class Parameters {
 public:
  /// @param list     the tensors of the network
  /// @param weights  by their names; further ones are left alone
  /// @throws Error (data) if one is missing or does not fit
  Parameters(const nn::ParameterList& list, const nn::Weights& weights) {
    for (const auto& spec : list) {
      auto& values = tensors_.emplace_back();
      if (spec.role == nn::Role::counter) continue;
      if (spec.shared_with != nn::no_parameter) {
        values = tensors_[static_cast<std::size_t>(spec.shared_with)];
        continue;
      }
      const nn::WeightTensor* const found = weights.find(spec.name);
      const auto size = static_cast<std::size_t>(spec.shape.size());
      const std::string shape = spec.shape.text();
      if (found == nullptr || found->type != nn::ElementType::float32 || found->bytes.size() != 4 * size ||
          !std::equal(found->shape.begin(), found->shape.end(), spec.shape.begin(), spec.shape.end()))
        throw data_error("preparing a network for the engine",
                         "the weights have no float32 tensor \"" + spec.name + "\" of " + shape,
                         "give the weights of this network");
      values.resize(size);
      std::memcpy(values.data(), found->bytes.data(), found->bytes.size());
    }
  }

  /// The values of a tensor, row-major.
  [[nodiscard]] std::span<const float> operator[](nn::ParameterId id) const {
    return tensors_[static_cast<std::size_t>(id)];
  }

  /// γ / √(σ² + ε), and β - μ times that.
  [[nodiscard]] NormFactors factors(const nn::op::BatchNorm& norm) const {
    NormFactors out;
    for (std::size_t c = 0; c < (*this)[norm.weight].size(); ++c) {
      const double scale = static_cast<double>((*this)[norm.weight][c]) /
                           std::sqrt(static_cast<double>((*this)[norm.running_variance][c]) + norm.epsilon);
      out.scale.push_back(static_cast<float>(scale));
      out.shift.push_back(static_cast<float>(static_cast<double>((*this)[norm.bias][c]) -
                                             scale * static_cast<double>((*this)[norm.running_mean][c])));
    }
    return out;
  }

  /// The bias of a convolution with a batch norm behind it folded in; empty where there is neither.
  [[nodiscard]] std::vector<float> bias(nn::ParameterId id, const nn::op::BatchNorm* norm) const {
    std::vector<float> out;
    if (id != nn::no_parameter) out.assign((*this)[id].begin(), (*this)[id].end());
    if (norm == nullptr) return out;
    const NormFactors by = factors(*norm);
    out.resize(by.scale.size());
    for (std::size_t c = 0; c < out.size(); ++c) out[c] = out[c] * by.scale[c] + by.shift[c];
    return out;
  }

  /// The weights of a convolution as a primitive wants them, with a batch norm behind it folded in. Packed at the first
  /// call; later ones for the same description share them.
  /// @param stored      how the tensor lies, with the output channels as the first axis
  /// @param out_stride  elements between two output channels in it
  /// @param out         output channels
  [[nodiscard]] dnnl::memory packed(nn::ParameterId weight, const nn::op::BatchNorm* norm,
                                    const dnnl::memory::desc& stored, std::size_t out_stride, std::size_t out,
                                    const dnnl::memory::desc& wanted) {
    const nn::ParameterId norm_id = norm == nullptr ? nn::no_parameter : norm->weight;
    for (const auto& one : packed_)
      if (one.weight == weight && one.norm == norm_id && one.values.get_desc() == wanted) return one.values;
    std::vector<float> values = folded(weight, norm, out_stride, out);
    dnnl::memory from(stored, processor(), values.data());
    dnnl::memory to(wanted, processor());
    dnnl::stream stream(processor());
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
    packed_.push_back({weight, norm_id, to});
    return to;
  }

  /// The weights of a convolution as `winograd_convolve` wants them, with a batch norm behind it folded in; shared like those
  /// of `packed`.
  /// @param shape  of which the channels and the taps matter; its channels are whole lanes
  [[nodiscard]] std::shared_ptr<const LineBuffer> winograd(const nn::op::Convolution& op, const nn::op::BatchNorm* norm,
                                                           const WinogradShape& shape, const WinogradKernels& kernels) {
    const nn::ParameterId norm_id = norm == nullptr ? nn::no_parameter : norm->weight;
    for (const auto& one : winograd_)
      if (one.weight == op.weight && one.norm == norm_id && one.lanes == kernels.lanes && one.pair == kernels.pair)
        return one.values;
    const std::int64_t of_in = 9 * shape.taps;
    const std::vector<float> values =
        folded(op.weight, norm, static_cast<std::size_t>(of_in * op.in), static_cast<std::size_t>(op.out));
    const WeightView<const float> view{values.data(), of_in * op.in, of_in, 9, 3, 1};
    const auto packed = std::make_shared<LineBuffer>();
    winograd_pack(shape, kernels, view, op.in, op.out, *packed);
    winograd_.push_back({op.weight, norm_id, kernels.lanes, kernels.pair, packed});
    return winograd_.back().values;
  }

 private:
  /// A weight times the factors of the norm behind it.
  [[nodiscard]] std::vector<float> folded(nn::ParameterId weight, const nn::op::BatchNorm* norm, std::size_t out_stride,
                                          std::size_t out) const {
    std::vector<float> values((*this)[weight].begin(), (*this)[weight].end());
    if (norm == nullptr) return values;
    const NormFactors by = factors(*norm);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= by.scale[i / out_stride % out];
    return values;
  }

  struct WinogradWeights {
    nn::ParameterId weight;
    nn::ParameterId norm;
    std::int64_t lanes;
    std::int64_t pair;
    std::shared_ptr<const LineBuffer> values;
  };
  struct Packed {
    nn::ParameterId weight;
    nn::ParameterId norm;
    dnnl::memory values;
  };

  std::vector<std::vector<float>> tensors_;
  std::vector<Packed> packed_;
  std::vector<WinogradWeights> winograd_;
};

}  // namespace ivado::engine
