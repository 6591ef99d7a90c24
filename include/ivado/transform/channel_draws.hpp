// Draws of the random transforms of intensities: one for all channels of an image, or one for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../data/sample.hpp"
#include "../random.hpp"
#include "grid.hpp"

namespace ivado {

/// What a random transform of intensities drew.
///
/// No entry: nothing happens. One: it holds for all channels. More: one for each channel. An entry without a value
/// leaves its channels alone.
template <class Value>
struct ChannelDraws {
  std::vector<std::optional<Value>> values;

  [[nodiscard]] friend bool operator==(const ChannelDraws&, const ChannelDraws&) = default;
};

namespace detail {

/// Decides with probability `p` whether to draw, and draws; once, or for each channel of the image on its own.
/// @param draw_one  () -> Value
template <class Value, class DrawOne>
[[nodiscard]] ChannelDraws<Value> draw_channels(Rng& rng, const Sample& sample, double p, bool per_channel,
                                                const DrawOne& draw_one) {
  const std::int64_t count = per_channel && !sample.image.empty() ? sample.image.voxels.extent(0) : 1;
  ChannelDraws<Value> draw;
  draw.values.resize(static_cast<std::size_t>(count));
  for (auto& value : draw.values)
    if (rng.bernoulli(p)) value = draw_one();
  return draw;
}

/// Calls `work(voxels, channels, value)` for each run of channels that share a draw. Labels and regions of interest are
/// left alone.
/// @param work  (float* first voxel, std::int64_t channels, const Value&)
/// @throws Error (internal) if there are several draws, and not one for each channel
template <class Value, class Work>
void for_each_draw(Image& image, const ChannelDraws<Value>& draw, const char* transform, const Work& work) {
  if (image.kind != Kind::image || image.empty() || draw.values.empty()) return;
  check_dimension(image, transform);
  const std::int64_t channels = image.voxels.extent(0);
  if (draw.values.size() == 1) {
    if (draw.values[0]) work(image.voxels.data(), channels, *draw.values[0]);
    return;
  }
  if (std::cmp_not_equal(draw.values.size(), channels))
    throw internal_error(text(transform, " on an image"),
                         text("it has ", channels, " channels, the draw is for ", draw.values.size()),
                         "an image and its draw must belong together");
  const std::int64_t size = image.voxels.size() / channels;
  for (std::int64_t channel = 0; channel < channels; ++channel)
    if (const auto& value = draw.values[static_cast<std::size_t>(channel)])
      work(image.voxels.data() + channel * size, 1, *value);
}

}  // namespace detail
}  // namespace ivado
