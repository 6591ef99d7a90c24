// Mirrored: a net that predicts the mean over mirrored views of its input, as test-time augmentation.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../random.hpp"

namespace ivado {

/// A net whose prediction is the mean over all combinations of mirrored axes: 2^n forwards for n axes.
///
/// The input is mirrored, the prediction mirrored back, and the views, the unchanged one among them, averaged (Isensee
/// et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z). Good for axes along which the training has mirrored as well
/// (RandomReverse), or along which the objects look alike. Without axes it is the net itself, bit for bit.
/// @tparam Net  `train(bool)` and `forward(input, condition, dropout)`, as `ivado::Net` has
template <class Net>
class Mirrored {
 public:
  /// @param net   must outlive this
  /// @param axes  spatial axes, each once: 0 for H, 1 for W, 2 for D; the third one of a slice is passed over
  Mirrored(Net& net, std::vector<std::int64_t> axes) : net_(net), axes_(std::move(axes)) {}

  /// As of the net.
  void train(bool on) { net_.train(on); }
  /// As of the net.
  void sample_dropout(bool on) { net_.sample_dropout(on); }
  /// As of the net.
  [[nodiscard]] bool has_dropout(const Shape& input) const { return net_.has_dropout(input); }
  /// The mean prediction [N, class, spatial…] of a batch [N, channel, spatial…].
  /// @param condition  of the net
  /// @param dropout    of the net
  [[nodiscard]] at::Tensor forward(const at::Tensor& input, const at::Tensor& condition = {},
                                   const RandomKey& dropout = {}) {
    std::vector<std::int64_t> axes;
    for (const std::int64_t axis : axes_)
      if (axis + 2 < input.dim()) axes.push_back(axis + 2);
    at::Tensor sum = net_.forward(input, condition, dropout);
    const std::size_t views = std::size_t{1} << axes.size();
    for (std::size_t view = 1; view < views; ++view) {
      std::vector<std::int64_t> mirrored;
      for (std::size_t i = 0; i < axes.size(); ++i)
        if ((view >> i & 1U) != 0) mirrored.push_back(axes[i]);
      sum = sum + net_.forward(input.flip(mirrored), condition, dropout).flip(mirrored);
    }
    return views > 1 ? sum / static_cast<double>(views) : sum;
  }

 private:
  Net& net_;
  std::vector<std::int64_t> axes_;
};

}  // namespace ivado
