// Dropout of input channels: blanked at random, never all of a sample.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "../inline.hpp"
#include "../random.hpp"
#include "array.hpp"

namespace ivado::detail {

/// Blanks channels of a sample at random. Of C channels k are to be blank, 0 to C - 1 and each number as likely; those
/// that are constant count among them, and as many as lack are drawn from the others, each as likely. So a channel that
/// is not constant stays, if there was one. The distribution of ivadomed's `is_input_dropout`, which draws with
/// repetition and so blanks fewer.
/// @param voxels  [channel, spatial…], after all transforms
/// @return        the channels that were blanked
IVADO_INLINE std::vector<std::size_t> drop_channels(Array<float>& voxels, const RandomKey& key) {
  const std::int64_t channels = voxels.extent(0);
  const std::int64_t size = channels == 0 ? 0 : voxels.size() / channels;
  if (channels < 2 || size == 0) return {};
  Rng rng(key.with_stream(stream_input_dropout));
  const std::size_t wanted = rng.below(static_cast<std::uint32_t>(channels));
  std::vector<std::size_t> varying;
  for (std::int64_t c = 0; c < channels; ++c) {
    const float* begin = voxels.data() + c * size;
    if (std::any_of(begin, begin + size, [&](float value) { return value != *begin; }))
      varying.push_back(static_cast<std::size_t>(c));
  }
  const std::size_t constant = static_cast<std::size_t>(channels) - varying.size();
  const std::size_t count = wanted > constant ? wanted - constant : 0;
  for (std::size_t i = 0; i < count; ++i) {  // the first steps of a shuffle
    std::swap(varying[i], varying[i + rng.below(static_cast<std::uint32_t>(varying.size() - i))]);
    std::fill_n(voxels.data() + static_cast<std::int64_t>(varying[i]) * size, size, 0.0F);
  }
  varying.resize(count);
  return varying;
}

}  // namespace ivado::detail
