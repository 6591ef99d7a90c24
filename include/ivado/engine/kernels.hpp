// What oneDNN has no primitive for, or none for our definition of it: small kernels on plain and blocked values. Each
// gives the same bits for any number of threads. No oneDNN here.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "../parallel.hpp"
#include "layout.hpp"

namespace ivado::engine {

/// An activation, element by element.
struct Activation {
  enum class Kind { none, leaky, sigmoid };
  Kind kind = Kind::none;
  float slope = 0;  ///< of `leaky` for negative values: 0 is ReLU

  [[nodiscard]] friend bool operator==(const Activation&, const Activation&) = default;
};

namespace detail {

/// Voxels that one task works on: few enough for many threads, and the same whatever their number.
inline constexpr std::int64_t task_voxels = 4096;

/// Calls `visit` with the block as a constant.
template <class Visit>
void with_block(std::int64_t block, const Visit& visit) {
  if (block == 16) return visit(std::integral_constant<int, 16>{});
  if (block == 8) return visit(std::integral_constant<int, 8>{});
  visit(std::integral_constant<int, 1>{});
}

/// Elements that are worked on at once: a block, or so many voxels of a plain value.
template <int Block>
inline constexpr std::int64_t lanes_of = Block == 1 ? 16 : Block;

/// Calls `body(sample, block of channels, first voxel, voxels)` for all voxels, in parallel.
template <class Body>
void for_each_run(const Layout& layout, const Body& body) {
  const std::int64_t voxels = layout.voxels();
  const std::int64_t runs = (voxels + task_voxels - 1) / task_voxels;
  parallel_for(layout.samples() * layout.blocks() * runs, [&](std::int64_t i) {
    const std::int64_t first = i % runs * task_voxels;
    const std::int64_t plane = i / runs;
    body(plane / layout.blocks(), plane % layout.blocks(), first, std::min(task_voxels, voxels - first));
  });
}

/// The first element of a voxel in a block of channels.
[[nodiscard]] inline std::int64_t run_offset(const Layout& layout, std::int64_t sample, std::int64_t block,
                                             std::int64_t voxel) {
  return sample * layout.sample_stride() + (block * layout.voxels() + voxel) * layout.block;
}

/// Sets to[i] = value(i, lane) for each element of a run. The results of a vector are stored together, so that compilers
/// need not prove that `to` is none of the inputs. All lanes of a plain value belong to its one channel.
template <int Block, class Value>
void for_each_lane(std::int64_t voxels, float* to, const Value& value) {
  constexpr std::int64_t lanes = lanes_of<Block>;
  const std::int64_t elements = voxels * Block;
  const std::int64_t whole = elements / lanes * lanes;
  for (std::int64_t i = 0; i < whole; i += lanes) {
    std::array<float, lanes> result;
    for (std::int64_t j = 0; j < lanes; ++j) result[static_cast<std::size_t>(j)] = value(i + j, j);
    for (std::int64_t j = 0; j < lanes; ++j) to[i + j] = result[static_cast<std::size_t>(j)];
  }
  for (std::int64_t i = whole; i < elements; ++i) to[i] = value(i, i - whole);
}

/// Sets the channels that fill the last block up to zero.
inline void clear_padding(float* run, std::int64_t voxels, std::int64_t block, std::int64_t channels) {
  if (channels == block) return;
  for (std::int64_t v = 0; v < voxels; ++v) std::fill(run + v * block + channels, run + (v + 1) * block, 0.0F);
}

/// Calls `visit` with the activation as a function of one number.
template <class Visit>
void with_activation(const Activation& activation, const Visit& visit) {
  switch (activation.kind) {
    case Activation::Kind::none:
      return visit([](float x) { return x; });
    case Activation::Kind::leaky:
      return visit([slope = activation.slope](float x) { return x > 0 ? x : slope * x; });
    case Activation::Kind::sigmoid:
      return visit([](float x) { return 1 / (1 + std::exp(-x)); });
  }
}

}  // namespace detail

/// A factor and a summand for each channel: of all samples alike, or of each sample its own.
struct ChannelAffine {
  std::vector<float> scale{};  ///< for each padded channel; empty: there is none
  std::vector<float> shift{};
  bool per_sample = false;  ///< one set a sample, one behind the other

  /// All factors 1 and all summands 0.
  void reset(const Layout& layout, bool of_each_sample) {
    per_sample = of_each_sample;
    const auto count = static_cast<std::size_t>(layout.padded_channels() * (per_sample ? layout.samples() : 1));
    scale.assign(count, 1);
    shift.assign(count, 0);
  }
};

/// out = activation(scale ⊙ x + shift + addend). May work in place.
/// @param affine  may be empty
/// @param addend  of the same layout, or none (its data is null)
inline void pointwise(const In& x, const ChannelAffine& affine, const In& addend, const Activation& activation,
                      const Out& out) {
  const Layout& layout = x.layout;
  detail::with_block(layout.block, [&](auto block) {
    detail::with_activation(activation, [&](const auto& activate) {
      detail::for_each_run(layout, [&](std::int64_t n, std::int64_t b, std::int64_t first, std::int64_t voxels) {
        const std::int64_t at = detail::run_offset(layout, n, b, first);
        const float* const from = x.data + at;
        const float* const add = addend.data == nullptr ? nullptr : addend.data + at;
        float* const to = out.data + at;
        constexpr auto lanes = static_cast<std::size_t>(detail::lanes_of<decltype(block)::value>);
        std::array<float, lanes> scale{};
        std::array<float, lanes> shift{};
        const bool has_affine = !affine.scale.empty();
        if (has_affine) {
          const std::int64_t set = (affine.per_sample ? n * layout.padded_channels() : 0) + b * layout.block;
          for (std::size_t j = 0; j < lanes; ++j) {
            const std::size_t k = static_cast<std::size_t>(set) + (layout.block == 1 ? 0 : j);
            scale[j] = affine.scale[k];
            shift[j] = affine.shift[k];
          }
        }
        const auto run = [&](const auto& value) {
          detail::for_each_lane<decltype(block)::value>(
              voxels, to, [&](std::int64_t i, std::int64_t j) { return activate(value(i, j)); });
        };
        const auto of = [](const auto& list, std::int64_t j) { return list[static_cast<std::size_t>(j)]; };
        if (has_affine && add != nullptr)
          run([&](std::int64_t i, std::int64_t j) { return from[i] * of(scale, j) + of(shift, j) + add[i]; });
        else if (has_affine)
          run([&](std::int64_t i, std::int64_t j) { return from[i] * of(scale, j) + of(shift, j); });
        else if (add != nullptr)
          run([&](std::int64_t i, std::int64_t) { return from[i] + add[i]; });
        else
          run([&](std::int64_t i, std::int64_t) { return from[i]; });
        detail::clear_padding(to, voxels, layout.block, layout.channels_of(b));
      });
    });
  });
}

/// x times a second value of the same layout, or of one channel in any layout. May work in place.
inline void multiply(const In& x, const In& factor, const Out& out) {
  const Layout& layout = x.layout;
  const bool one_channel = factor.layout.channels() == 1 && layout.channels() > 1;
  detail::with_block(layout.block, [&](auto block) {
    detail::for_each_run(layout, [&](std::int64_t n, std::int64_t b, std::int64_t first, std::int64_t voxels) {
      const std::int64_t at = detail::run_offset(layout, n, b, first);
      const float* const from = x.data + at;
      float* const to = out.data + at;
      if (!one_channel) {
        const float* const by = factor.data + at;
        detail::for_each_lane<decltype(block)::value>(voxels, to,
                                                      [&](std::int64_t i, std::int64_t) { return from[i] * by[i]; });
      } else {
        const float* const by = factor.data + detail::run_offset(factor.layout, n, 0, first);
        const std::int64_t step = factor.layout.block;
        detail::for_each_lane<decltype(block)::value>(
            voxels, to, [&](std::int64_t i, std::int64_t) { return from[i] * by[i / decltype(block)::value * step]; });
      }
    });
  });
}

/// Mean and (biased) variance of each channel of each sample, [samples × padded channels] each.
///
/// In double around the first voxel of each channel, over runs of voxels whose sums are in float: one pass, and no
/// cancellation where the mean is large.
struct ChannelMoments {
  std::vector<double> mean{};
  std::vector<double> variance{};

  void compute(const In& x) {
    const Layout& layout = x.layout;
    const std::int64_t voxels = layout.voxels();
    const std::int64_t runs = (voxels + detail::task_voxels - 1) / detail::task_voxels;
    const auto padded = static_cast<std::size_t>(layout.samples() * layout.padded_channels());
    sums_.assign(2 * padded * static_cast<std::size_t>(runs), 0);
    detail::with_block(layout.block, [&](auto block) {
      detail::for_each_run(layout, [&](std::int64_t n, std::int64_t b, std::int64_t first, std::int64_t count) {
        double* const to =
            sums_.data() + 2 * ((n * layout.blocks() + b) * runs + first / detail::task_voxels) * layout.block;
        add_run<decltype(block)::value>(x.data + detail::run_offset(layout, n, b, first),
                                        x.data + detail::run_offset(layout, n, b, 0), count, to);
      });
    });
    mean.resize(padded);
    variance.resize(padded);
    const auto all = static_cast<double>(voxels);
    for (std::int64_t plane = 0; plane < layout.samples() * layout.blocks(); ++plane)
      for (std::int64_t j = 0; j < layout.block; ++j) {
        double sum = 0;
        double squares = 0;
        for (std::int64_t run = 0; run < runs; ++run) {
          const double* const from = sums_.data() + 2 * (plane * runs + run) * layout.block;
          sum += from[j];
          squares += from[layout.block + j];
        }
        const auto k = static_cast<std::size_t>(plane * layout.block + j);
        const double offset = sum / all;
        mean[k] = static_cast<double>(x.data[plane * layout.block * voxels + j]) + offset;
        variance[k] = std::max(0.0, squares / all - offset * offset);
      }
  }

 private:
  template <int Block>
  static void add_run(const float* from, const float* pivot, std::int64_t voxels, double* to) {
    constexpr std::int64_t in_float = 128;  // vectors whose sum is in float
    constexpr auto lanes = static_cast<std::size_t>(detail::lanes_of<Block>);
    std::array<float, lanes> middle;
    for (std::size_t j = 0; j < lanes; ++j) middle[j] = pivot[Block == 1 ? 0 : j];
    const std::int64_t elements = voxels * Block;
    for (std::int64_t begin = 0; begin < elements;) {
      std::array<float, lanes> sum{};
      std::array<float, lanes> squares{};
      const std::int64_t end = std::min(begin + in_float * static_cast<std::int64_t>(lanes), elements);
      for (; begin + static_cast<std::int64_t>(lanes) <= end; begin += static_cast<std::int64_t>(lanes))
        for (std::size_t j = 0; j < lanes; ++j) {
          const float d = from[begin + static_cast<std::int64_t>(j)] - middle[j];
          sum[j] += d;
          squares[j] += d * d;
        }
      for (std::size_t j = 0; begin < end; ++begin, ++j) {  // the rest of a plain run
        const float d = from[begin] - middle[j];
        sum[j] += d;
        squares[j] += d * d;
      }
      for (std::size_t j = 0; j < lanes; ++j) {
        to[Block == 1 ? 0 : j] += static_cast<double>(sum[j]);
        to[static_cast<std::size_t>(Block) + (Block == 1 ? 0 : j)] += static_cast<double>(squares[j]);
      }
    }
  }

  std::vector<double> sums_;  // of each run: sums, then squares
};

/// For each voxel of an axis of the result, the two voxels that it lies between and the weight of the second.
struct ResizeAxis {
  std::vector<std::int64_t> low;
  std::vector<std::int64_t> high;
  std::vector<float> weight;

  /// Linear, corners aligned: voxel i of the result lies at i · (from - 1) / (to - 1), in float as in LibTorch.
  [[nodiscard]] static ResizeAxis linear(std::int64_t from, std::int64_t to) {
    ResizeAxis axis;
    const float step = to > 1 ? static_cast<float>(from - 1) / static_cast<float>(to - 1) : 0.0F;
    for (std::int64_t i = 0; i < to; ++i) {
      const float place = step * static_cast<float>(i);
      const std::int64_t low = std::min(static_cast<std::int64_t>(place), from - 1);
      axis.low.push_back(low);
      axis.high.push_back(std::min(low + 1, from - 1));
      axis.weight.push_back(place - static_cast<float>(low));
    }
    return axis;
  }
  /// Each voxel `factor` times.
  [[nodiscard]] static ResizeAxis repeat(std::int64_t from, std::int64_t factor) {
    ResizeAxis axis;
    for (std::int64_t i = 0; i < from * factor; ++i) {
      axis.low.push_back(i / factor);
      axis.high.push_back(i / factor);
      axis.weight.push_back(0);
    }
    return axis;
  }
};

/// Resizes two or three spatial axes, with the same block in both values.
/// @param axes  one for each spatial axis
inline void resize(const In& x, std::span<const ResizeAxis> axes, const Out& out) {
  const int spatial = x.layout.shape.rank() - 2;
  const ResizeAxis single{{0}, {0}, {0.0F}};
  const ResizeAxis& deep = spatial == 3 ? axes[0] : single;
  const ResizeAxis& high = axes[static_cast<std::size_t>(spatial - 2)];
  const ResizeAxis& wide = axes[static_cast<std::size_t>(spatial - 1)];
  const std::int64_t in_width = x.layout.shape[spatial + 1];
  const std::int64_t in_height = x.layout.shape[spatial];
  const auto planes = static_cast<std::int64_t>(deep.low.size());
  const auto rows = static_cast<std::int64_t>(high.low.size());
  const auto width = static_cast<std::int64_t>(wide.low.size());
  const std::int64_t block = x.layout.block;
  detail::with_block(block, [&](auto constant) {
    parallel_for(x.layout.samples() * x.layout.blocks() * planes, [&](std::int64_t task) {
      const std::int64_t plane = task / planes;
      const auto z = static_cast<std::size_t>(task % planes);
      const float* const from = x.data + plane * x.layout.voxels() * block;
      float* to = out.data + (plane * out.layout.voxels() + static_cast<std::int64_t>(z) * rows * width) * block;
      std::vector<float> row(static_cast<std::size_t>(in_width * block));
      for (std::int64_t y = 0; y < rows; ++y, to += width * block) {
        std::fill(row.begin(), row.end(), 0.0F);
        const auto k = static_cast<std::size_t>(y);
        const auto add_row = [&](std::int64_t at_z, std::int64_t at_y, float weight) {
          if (weight == 0) return;
          const float* const source = from + (at_z * in_height + at_y) * in_width * block;
          float* const target = row.data();
          detail::for_each_lane<decltype(constant)::value>(
              in_width, target, [&](std::int64_t i, std::int64_t) { return target[i] + weight * source[i]; });
        };
        const float dz = deep.weight[z];
        const float dy = high.weight[k];
        add_row(deep.low[z], high.low[k], (1 - dz) * (1 - dy));
        add_row(deep.low[z], high.high[k], (1 - dz) * dy);
        add_row(deep.high[z], high.low[k], dz * (1 - dy));
        add_row(deep.high[z], high.high[k], dz * dy);
        constexpr std::int64_t lanes = decltype(constant)::value;
        for (std::int64_t w = 0; w < width; ++w) {
          const auto i = static_cast<std::size_t>(w);
          const float* const low = row.data() + wide.low[i] * block;
          const float* const next = row.data() + wide.high[i] * block;
          const float dx = wide.weight[i];
          std::array<float, lanes> between;
          for (std::int64_t j = 0; j < lanes; ++j)
            between[static_cast<std::size_t>(j)] = low[j] + dx * (next[j] - low[j]);
          for (std::int64_t j = 0; j < lanes; ++j) to[w * block + j] = between[static_cast<std::size_t>(j)];
        }
      }
    });
  });
}

/// Softmax over the channels. May work in place.
inline void softmax(const In& x, const Out& out) {
  const Layout& layout = x.layout;
  const std::int64_t voxels = layout.voxels();
  const std::int64_t runs = (voxels + detail::task_voxels - 1) / detail::task_voxels;
  parallel_for(layout.samples() * runs, [&](std::int64_t task) {
    const std::int64_t n = task / runs;
    const std::int64_t begin = task % runs * detail::task_voxels;
    for (std::int64_t v = begin; v < std::min(begin + detail::task_voxels, voxels); ++v) {
      float largest = -std::numeric_limits<float>::infinity();
      const auto at = [&](std::int64_t c) { return layout.offset(n, c) + v * layout.block; };
      for (std::int64_t c = 0; c < layout.channels(); ++c) largest = std::max(largest, x.data[at(c)]);
      float sum = 0;
      for (std::int64_t c = 0; c < layout.channels(); ++c) {
        const float power = std::exp(x.data[at(c)] - largest);
        out.data[at(c)] = power;
        sum += power;
      }
      for (std::int64_t c = 0; c < layout.channels(); ++c) out.data[at(c)] /= sum;
      for (std::int64_t c = layout.channels(); c < layout.padded_channels(); ++c) out.data[at(c)] = 0;
    }
  });
}

/// x divided by the sum of its channels; a sum of 0 counts as 1. May work in place.
inline void divide_by_channel_sum(const In& x, const Out& out) {
  const Layout& layout = x.layout;
  const std::int64_t voxels = layout.voxels();
  parallel_for(layout.samples() * voxels, [&](std::int64_t task) {
    const std::int64_t n = task / voxels;
    const std::int64_t v = task % voxels;
    float sum = 0;
    for (std::int64_t c = 0; c < layout.channels(); ++c) sum += x.data[layout.offset(n, c) + v * layout.block];
    const float divisor = sum == 0 ? 1 : sum;
    for (std::int64_t c = 0; c < layout.padded_channels(); ++c) {
      const std::int64_t i = layout.offset(n, c) + v * layout.block;
      out.data[i] = c < layout.channels() ? x.data[i] / divisor : 0;
    }
  });
}

/// x divided by its maximum, over each map of each sample or over the whole batch; 0 where that is 0. May work in place.
inline void divide_by_max(const In& x, bool whole_batch, const Out& out) {
  const Layout& layout = x.layout;
  const std::int64_t voxels = layout.voxels();
  const std::int64_t channels = layout.channels();
  std::vector<float> largest(static_cast<std::size_t>(layout.samples() * channels));
  parallel_for(layout.samples() * channels, [&](std::int64_t map) {
    const float* const from = x.data + layout.offset(map / channels, map % channels);
    float value = from[0];
    for (std::int64_t v = 1; v < voxels; ++v) value = std::max(value, from[v * layout.block]);
    largest[static_cast<std::size_t>(map)] = value;
  });
  if (whole_batch) std::fill(largest.begin(), largest.end(), *std::max_element(largest.begin(), largest.end()));
  parallel_for(layout.samples() * layout.padded_channels(), [&](std::int64_t map) {
    const std::int64_t n = map / layout.padded_channels();
    const std::int64_t c = map % layout.padded_channels();
    const std::int64_t at = layout.offset(n, c);
    const float divisor = c < channels ? largest[static_cast<std::size_t>(n * channels + c)] : 0;
    for (std::int64_t v = 0; v < voxels; ++v) {
      const std::int64_t i = at + v * layout.block;
      out.data[i] = divisor == 0 ? 0 : x.data[i] / divisor;
    }
  });
}

/// Mean and unbiased variance over the values that are present, one behind the other along the channels.
/// @param presence  [N, K], plain
/// @param values    K of one layout, whose channels fill its blocks
/// @param out       of the same block
inline void moments(const In& presence, std::span<const In> values, const Out& out) {
  const Layout& layout = values[0].layout;
  detail::for_each_run(layout, [&](std::int64_t n, std::int64_t b, std::int64_t first, std::int64_t voxels) {
    const std::int64_t at = detail::run_offset(layout, n, b, first);
    float* const mean = out.data + detail::run_offset(out.layout, n, b, first);
    float* const variance = out.data + detail::run_offset(out.layout, n, layout.blocks() + b, first);
    const float* const here = presence.data + n * presence.layout.channels();
    float count = 0;
    for (std::size_t k = 0; k < values.size(); ++k) count += here[k];
    const float fewer = std::max(count - 1, 1.0F);
    detail::with_block(layout.block, [&](auto block) {
      constexpr int lanes = decltype(block)::value;
      const auto set = [&](float* to, const auto& value) {
        detail::for_each_lane<lanes>(voxels, to, [&](std::int64_t i, std::int64_t) { return value(i); });
      };
      set(mean, [](std::int64_t) { return 0.0F; });
      for (std::size_t k = 0; k < values.size(); ++k)
        set(mean, [&](std::int64_t i) { return mean[i] + values[k].data[at + i] * here[k]; });
      set(mean, [&](std::int64_t i) { return mean[i] / count; });
      set(variance, [](std::int64_t) { return 0.0F; });
      for (std::size_t k = 0; k < values.size(); ++k)
        set(variance, [&](std::int64_t i) {
          const float d = values[k].data[at + i] - mean[i];
          return variance[i] + d * d * here[k];
        });
      set(variance, [&](std::int64_t i) { return variance[i] / fewer; });
    });
  });
}

/// Copies `count` channels between values of any blocks, from channel `from_channel` on to channel `to_channel` on.
/// Channels that fill the last block of `out` up become 0 if the last channel of `out` is written.
inline void copy_channels(const In& x, std::int64_t from_channel, std::int64_t count, const Out& out,
                          std::int64_t to_channel) {
  const std::int64_t voxels = x.layout.voxels();
  const std::int64_t from_block = x.layout.block;
  const std::int64_t to_block = out.layout.block;
  const bool whole_blocks = from_block == to_block && from_channel % from_block == 0 && to_channel % to_block == 0 &&
                            (count % to_block == 0 || to_channel + count == out.layout.channels());
  if (whole_blocks && (count % from_block == 0 || from_channel + count == x.layout.channels())) {
    const std::int64_t blocks = (count + from_block - 1) / from_block;
    parallel_for(x.layout.samples() * blocks, [&](std::int64_t task) {
      const std::int64_t n = task / blocks;
      const std::int64_t b = task % blocks * from_block;
      std::copy_n(x.data + x.layout.offset(n, from_channel + b), voxels * from_block,
                  out.data + out.layout.offset(n, to_channel + b));
    });
    return;
  }
  const bool fills = to_channel + count == out.layout.channels();
  const std::int64_t with_padding = count + (fills ? out.layout.padded_channels() - out.layout.channels() : 0);
  parallel_for(x.layout.samples() * with_padding, [&](std::int64_t task) {
    const std::int64_t n = task / with_padding;
    const std::int64_t c = task % with_padding;
    float* const to = out.data + out.layout.offset(n, to_channel + c);
    const float* const from = c < count ? x.data + x.layout.offset(n, from_channel + c) : nullptr;
    for (std::int64_t v = 0; v < voxels; ++v) to[v * to_block] = from == nullptr ? 0 : from[v * from_block];
  });
}

/// y = activation(W x + b) on plain values [N, in] and [N, out].
/// @param weight  [out, in]
inline void linear(const In& x, std::span<const float> weight, std::span<const float> bias,
                   const Activation& activation, const Out& out) {
  const std::int64_t in = x.layout.channels();
  const std::int64_t units = out.layout.channels();
  detail::with_activation(activation, [&](const auto& activate) {
    parallel_for(x.layout.samples() * units, [&](std::int64_t task) {
      const float* const from = x.data + task / units * in;
      const float* const row = weight.data() + task % units * in;
      double sum = static_cast<double>(bias[static_cast<std::size_t>(task % units)]);
      for (std::int64_t i = 0; i < in; ++i) sum += static_cast<double>(row[i]) * static_cast<double>(from[i]);
      out.data[task] = activate(static_cast<float>(sum));
    });
  });
}

}  // namespace ivado::engine
