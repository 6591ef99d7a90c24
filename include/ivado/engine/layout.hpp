// How a value lies in memory: plain, or with blocks of channels side by side. No oneDNN, no LibTorch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "../data/array.hpp"

namespace ivado::engine {

/// The place of each element of a value [N, channel, spatial…] or [N, channel].
///
/// Channels lie in blocks of `block`: [N, ⌈C / block⌉, spatial…, block]. A block of 1 is the plain, row-major order; one
/// of 8 or 16, as many as a vector of the processor holds, is what oneDNN's convolutions like best. The last block is filled up
/// with zeros, which every step keeps.
struct Layout {
  Shape shape{};
  std::int64_t block = 1;

  [[nodiscard]] std::int64_t samples() const noexcept { return shape[0]; }
  [[nodiscard]] std::int64_t channels() const noexcept { return shape[1]; }
  /// Elements of one channel of one sample.
  [[nodiscard]] std::int64_t voxels() const noexcept {
    std::int64_t product = 1;
    for (int axis = 2; axis < shape.rank(); ++axis) product *= shape[axis];
    return product;
  }
  [[nodiscard]] std::int64_t blocks() const noexcept { return (channels() + block - 1) / block; }
  /// Channels with those that fill the last block up.
  [[nodiscard]] std::int64_t padded_channels() const noexcept { return blocks() * block; }
  /// Channels of block `number` that are not there to fill it up.
  [[nodiscard]] std::int64_t channels_of(std::int64_t number) const noexcept {
    return std::min(block, channels() - number * block);
  }
  /// Elements from one sample to the next.
  [[nodiscard]] std::int64_t sample_stride() const noexcept { return padded_channels() * voxels(); }
  /// Elements in memory, padding included.
  [[nodiscard]] std::int64_t size() const noexcept { return samples() * sample_stride(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return static_cast<std::size_t>(size()) * sizeof(float); }
  /// Where a channel of a sample begins; its voxels are `block` elements apart.
  [[nodiscard]] std::int64_t offset(std::int64_t sample, std::int64_t channel) const noexcept {
    return sample * sample_stride() + channel / block * block * voxels() + channel % block;
  }

  [[nodiscard]] friend bool operator==(const Layout&, const Layout&) = default;
};

/// A value in memory that somebody else owns.
template <class T>
struct Place {
  T* data = nullptr;
  Layout layout{};

  /// A place of mutable elements is also one of constant elements.
  operator Place<const T>() const requires(!std::is_const_v<T>) { return {data, layout}; }
};
using In = Place<const float>;
using Out = Place<float>;

}  // namespace ivado::engine
