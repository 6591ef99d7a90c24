// A few samples whose predictions are looked at after each epoch: for animations and for pictures in event files.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../data/batch_loader.hpp"
#include "../data/geometry.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../random.hpp"
#include "film.hpp"
#include "tensor.hpp"

namespace ivado {

/// A slice of a sample as it is shown.
struct ShownSlice {
  Array<float> image;       ///< [H, W]: the first contrast that is there
  Array<float> truth;       ///< [class, H, W]; empty where the sample has no maps as labels
  Array<float> prediction;  ///< [class, H, W]
};

namespace detail {

/// The slice at `depth` of [channel, H, W, D], or all of [channel, H, W].
[[nodiscard]] IVADO_INLINE ArrayView<const float> plane_of(const Array<float>& voxels, std::int64_t depth) {
  return voxels.rank() == 4 ? voxels.view().select(3, depth) : voxels.view();
}

/// The first channel of [channel, H, W] that is not constant; the first one where all are.
[[nodiscard]] IVADO_INLINE ArrayView<const float> shown_channel(ArrayView<const float> slice) {
  for (std::int64_t c = 0; c < slice.extent(0); ++c) {
    const ArrayView<const float> channel = slice.select(0, c);
    for (std::int64_t h = 0; h < channel.extent(0); ++h)
      for (std::int64_t w = 0; w < channel.extent(1); ++w)
        if (channel(h, w) != channel(0, 0)) return channel;
  }
  return slice.select(0, 0);
}

/// Where along D a label [class, H, W, D] has most; the middle where it has nothing. 0 of [class, H, W].
[[nodiscard]] IVADO_INLINE std::int64_t fullest_depth(const Array<float>& label, std::int64_t depths) {
  std::int64_t best = depths / 2;
  if (label.rank() != 4) return depths == 1 ? 0 : best;
  double most = 0;
  for (std::int64_t d = 0; d < depths; ++d) {
    double sum = 0;
    const Array<float> plane = Array<float>::from(label.view().select(3, d));
    for (const float value : plane) sum += static_cast<double>(value);
    if (sum > most) {
      most = sum;
      best = d;
    }
  }
  return best;
}

}  // namespace detail

/// Samples of a data set, drawn once by the seed, and what a net makes of them.
///
/// It changes nothing that a training depends on: the net is run in evaluation mode without gradients, and no sequence
/// of random numbers goes on. Of a volume one slice is shown, in which its truth is largest.
template <Dataset Data>
class FollowedSamples {
 public:
  /// @param data   outlives this
  /// @param count  samples, all different
  /// @param doing  for messages, such as "filming the training (--gif)"
  /// @throws Error (usage) if the data set has fewer
  FollowedSamples(const Data& data, std::int64_t count, std::uint64_t seed, const std::string& doing)
      : data_(data), loader_(data, {1, false, seed, 0, 1}) {
    const auto size = static_cast<std::int64_t>(data.size());
    if (count > size)
      throw usage_error(doing,
                        std::to_string(count) + " samples of the " + std::string(detail::set_name(data.stage())) +
                            " set are asked for, it has " + std::to_string(size),
                        "ask for fewer");
    // The shuffling of epochs has the sample 0 of its stream, this draw the sample 1.
    numbers_ = Rng(RandomKey{seed, 0, 1, stream_shuffle}).permutation(size);
    numbers_.resize(static_cast<std::size_t>(count));
    std::sort(numbers_.begin(), numbers_.end());
    for (const std::int64_t number : numbers_) {
      const auto sample = data.get(static_cast<std::size_t>(number), 0).sample;
      const auto& image = sample.image.voxels;
      depths_.push_back(detail::fullest_depth(sample.label.voxels, image.rank() == 4 ? image.extent(3) : 1));
    }
  }

  /// The numbers of the samples in their data set, ascending.
  [[nodiscard]] const std::vector<std::int64_t>& numbers() const noexcept { return numbers_; }
  /// The image and slice of each sample; of a volume or sub-volume the slice of the prepared volume.
  [[nodiscard]] std::vector<FilmScene> scenes() const {
    std::vector<FilmScene> out;
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      const auto origin = data_.origin(static_cast<std::size_t>(numbers_[i]));
      const auto& one = data_.case_of(static_cast<std::size_t>(origin.volume));
      out.push_back({one.id, origin.slice >= 0 ? origin.slice : origin.start[2] + depths_[i]});
    }
    return out;
  }
  /// What H and W of the slices are.
  [[nodiscard]] Axis axis() const { return data_.axis(); }

  /// Predicts each sample as epoch `epoch` sees it; leaves the net in evaluation mode.
  /// @param done  `done(number from 0, ShownSlice)`
  template <class Net, class Done>
  void predict(Net& net, int epoch, const at::Device& device, const Done& done) {
    const c10::InferenceMode no_gradients;
    net.train(false);
    loader_.start(static_cast<std::uint32_t>(epoch), numbers_);
    for (std::size_t i = 0; auto loaded = loader_.next(); ++i) {
      const DeviceBatch batch = on_device(loaded->batch, device);
      const Array<float> prediction = element(net.forward(batch.image, batch.condition), 0);
      const Array<float> image = element(batch.image, 0);
      ShownSlice shown;
      shown.image = Array<float>::from(detail::shown_channel(detail::plane_of(image, depths_[i])));
      shown.prediction = Array<float>::from(detail::plane_of(prediction, depths_[i]));
      if (!loaded->batch.label.empty()) {
        const Array<float> label = element(batch.label, 0);
        if (label.rank() == prediction.rank()) shown.truth = Array<float>::from(detail::plane_of(label, depths_[i]));
      }
      done(i, std::as_const(shown));
    }
  }

 private:
  const Data& data_;
  BatchLoader<Data> loader_;
  std::vector<std::int64_t> numbers_;
  std::vector<std::int64_t> depths_;
};

/// The largest value of the classes of a prediction [class, H, W] at each place.
[[nodiscard]] IVADO_INLINE Array<float> any_class(const Array<float>& prediction) {
  Array<float> out = Array<float>::from(prediction.view().select(0, 0));
  for (std::int64_t c = 1; c < prediction.extent(0); ++c)
    for (std::int64_t i = 0; i < out.size(); ++i) out[i] = std::max(out[i], prediction[c * out.size() + i]);
  return out;
}

}  // namespace ivado
