// Convolutions with 3×3 and 3×3×3 kernels by Winograd's minimal filtering, for processors with AVX2. No oneDNN, no LibTorch.
//
// A tile of 4×4 results needs 36 products for each pair of channels instead of 144 (Winograd 1980; Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2016): the 6×6 inputs that it sees are evaluated at 6×6 points, multiplied there
// by the weights at the same points, which is a matrix product over channels for each point, and taken back. Volumes are
// worked on slice by slice: the products of three slices are added up before they are taken back.
//
// The evaluation points are 0, ±a, ±b and ∞ with a = 5/8 and b = 3/2, whose rounding was a half to a quarter of that with ±1 and ±2.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "../parallel.hpp"
#include "lanes.hpp"
#include "winograd_loops.hpp"

namespace ivado::engine {
namespace detail {

/// Tiles that a task of a convolution works on: what it keeps fits into a core's second cache where the channels are few enough, and
/// all threads have some.
[[nodiscard]] inline std::int64_t winograd_task_tiles(const WinogradShape& s) {
  constexpr std::int64_t step = winograd_tile_step;
  const std::int64_t bytes = winograd_points * (s.taps * s.in + s.out) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t fit =
      std::clamp<std::int64_t>((std::int64_t{448} << 10) / bytes / step * step, 2 * step, 8 * step);
  const std::int64_t threads = omp_get_max_threads();
  const std::int64_t share = (s.tiles() + 2 * threads - 1) / (2 * threads);
  return std::clamp((share + step - 1) / step * step, step, fit);
}
/// Floats of packed weights, or of their gradients, at all points.
/// @param pair  as in `winograd_stride`
[[nodiscard]] inline std::size_t winograd_weight_room(const WinogradShape& shape, std::int64_t pair = 1) {
  return static_cast<std::size_t>(winograd_points * winograd_stride(shape, pair));
}

}  // namespace detail

/// True if this way pays: no more results of the tiles lie outside of the image than in it, and there are tiles enough for weights that are four
/// times as many at the points as in the kernel.
/// @param packs_each_time  the weights change from one call to the next, as in a training
[[nodiscard]] inline bool is_winograd_faster(const WinogradShape& shape, bool packs_each_time) {
  if (shape.out_height() <= 0 || shape.out_width() <= 0 || shape.out_depth() <= 0) return false;
  const std::int64_t tiles = shape.tile_rows() * shape.tile_columns();
  return 2 * shape.out_height() * shape.out_width() >= 16 * tiles &&
         shape.samples * shape.out_depth() * tiles >= (packs_each_time ? 24 : 12);
}

/// The same beside a direct convolution in bf16, for loops whose products are in bf16. Only slices of many channels: what is saved is
/// products, which are half as dear, and evaluation costs the same.
[[nodiscard]] inline bool is_winograd_bf16_faster(const WinogradShape& shape, bool packs_each_time) {
  constexpr std::int64_t least_channels = 64;
  return shape.taps == 1 && shape.in >= least_channels && shape.out >= least_channels &&
         is_winograd_faster(shape, packs_each_time);
}

/// The weights of a convolution as `winograd_convolve` wants them.
/// @param real_in,real_out  channels that there are; further ones of the shape are filled with zeros
/// @param to                what is filled
inline void winograd_pack(const WinogradShape& shape, const WinogradKernels& kernels,
                          const WeightView<const float>& weights, std::int64_t real_in, std::int64_t real_out,
                          LineBuffer& to) {
  float* const data = to.at_least(detail::winograd_weight_room(shape, kernels.pair));
  parallel_for(shape.out / kernels.lanes,
               [&](std::int64_t lane) { kernels.pack(shape, weights, lane, real_in, real_out, data); });
}

/// y = finish(x ∗ weights). The same bits for any number of threads. The calling thread keeps memory for it, a few MB a thread.
/// @param x        [samples, in, depth, height, width]
/// @param weights  of `winograd_pack`
/// @param y        lies like x and what is added, plain or not: [samples, out, `out_depth`, `out_height`, `out_width`]
inline void winograd_convolve(const WinogradShape& shape, const WinogradKernels& kernels,
                              const LaneView<const float>& x, const LineBuffer& weights, const WinogradFinish& finish,
                              const LaneView<float>& y) {
  if (shape.tiles() == 0) return;
  const std::int64_t tiles = detail::winograd_task_tiles(shape);
  const std::int64_t groups = (shape.tiles() + tiles - 1) / tiles;
  const std::int64_t depth = shape.out_depth();
  // Few tiles: the slices are shared out as well, in runs, since each run evaluates two more than it has.
  const std::int64_t wanted = (4 * omp_get_max_threads() + groups - 1) / groups;
  const std::int64_t run = shape.taps == 1 ? depth : std::max<std::int64_t>(4, (depth + wanted - 1) / wanted);
  const std::int64_t runs = (depth + run - 1) / run;
  const std::int64_t room =
      detail::winograd_points * (shape.taps * detail::winograd_stride(tiles, shape.in / kernels.pair) +
                                 detail::winograd_stride(tiles, shape.out));
  // One piece a thread, kept by the thread that calls.
  static thread_local LineBuffer buffer;
  float* const scratch = buffer.at_least(static_cast<std::size_t>(room * omp_get_max_threads()));
  parallel_for(groups * runs, [&](std::int64_t task, int thread) {
    const std::int64_t first = task / runs * tiles;
    const std::int64_t z = task % runs * run;
    kernels.convolve(shape, x, weights.data(), finish, y, first, std::min(tiles, shape.tiles() - first), tiles, z,
                     std::min(depth, z + run), scratch + room * thread);
  });
}

namespace detail {

/// How a gradient by the weights is summed up: in parts of some tiles in some slices. Where the sums of all points are small enough,
/// there are several strips of parts, each with sums of its own and worked on by one thread alone: what it evaluates stays in its core's
/// caches. Else all threads work on one part after the other.
struct WinogradParts {
  std::int64_t tiles = 0;    ///< of a part, in each of its slices
  std::int64_t slices = 0;   ///< of a part
  std::int64_t columns = 0;  ///< parts that all tiles make
  std::int64_t layers = 0;   ///< parts that all slices make
  std::int64_t strips = 1;

  [[nodiscard]] std::int64_t parts() const noexcept { return columns * layers; }
};
[[nodiscard]] inline WinogradParts winograd_parts(const WinogradShape& shape, std::int64_t most_bytes,
                                                  std::int64_t deep) {
  const std::int64_t depth = shape.out_depth();
  const std::int64_t row_bytes =
      winograd_points * (2 * shape.in + shape.out) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t most_rows = std::clamp<std::int64_t>(most_bytes / row_bytes, 96, 4096);
  WinogradParts out;
  out.tiles = std::min(shape.tiles(), most_rows / (shape.taps == 1 ? 1 : std::min(depth, deep)));
  out.slices = std::clamp<std::int64_t>(most_rows / out.tiles, 1, depth);
  out.columns = (shape.tiles() + out.tiles - 1) / out.tiles;
  out.layers = (depth + out.slices - 1) / out.slices;
  return out;
}
/// Chosen by the shape alone, so that the number of threads changes no bit. More threads than strips have nothing to do there.
[[nodiscard]] inline WinogradParts winograd_parts(const WinogradShape& shape) {
  constexpr std::int64_t mega = std::int64_t{1} << 20;
  constexpr std::int64_t least_strips = 4;
  constexpr std::int64_t most_strips = 16;
  const auto sums = static_cast<std::int64_t>(winograd_weight_room(shape) * sizeof(float));
  WinogradParts own = winograd_parts(shape, 2 * mega, 16);
  own.strips = std::min({own.parts(), most_strips, 16 * mega / sums});
  return own.strips >= least_strips ? own : winograd_parts(shape, 12 * mega, 8);
}

/// The memory that parts are worked on in.
struct WinogradSums {
  float* inputs = nullptr;  ///< at the points, of the slices of a part and those beside them
  std::int64_t in_stride = 0;
  float* results = nullptr;  ///< gradients at the points
  std::int64_t out_stride = 0;
  float* products = nullptr;  ///< sums of a strip's parts
  float* bias = nullptr;      ///< sums of the gradients of each run of tiles of a part
};
/// Adds a part's products to the sums.
/// @param step  tiles that a call of the loop's body evaluates
/// @param loop  calls a body for each number below a count
template <class Loop>
void winograd_add_part(const WinogradShape& shape, const WinogradKernels& kernels, const WinogradParts& parts,
                       std::int64_t part, const LaneView<const float>& x, const LaneView<const float>& gradient,
                       const WinogradSums& to, bool is_first, std::int64_t step, const Loop& loop) {
  const std::int64_t halo = shape.taps - 1;
  const std::int64_t shift = shape.taps == 1 ? 0 : shape.padding;
  const std::int64_t first = part / parts.layers * parts.tiles;
  const std::int64_t z = part % parts.layers * parts.slices;
  const std::int64_t count = std::min(parts.tiles, shape.tiles() - first);
  const std::int64_t deep = std::min(parts.slices, shape.out_depth() - z);
  const std::int64_t runs = (parts.tiles + step - 1) / step;
  loop((2 * deep + halo) * runs, [&](std::int64_t task) {
    const std::int64_t tile = task % runs * step;
    const std::int64_t here = std::min(step, count - tile);
    const std::int64_t slice = task / runs;
    if (here <= 0) return;
    if (slice < deep)
      return kernels.evaluate_gradients(shape, gradient, first + tile, here, z + slice,
                                        to.results + (slice * count + tile) * shape.out, to.out_stride,
                                        to.bias + task * shape.out);
    const std::int64_t from = z + slice - deep - shift;
    float* const inputs = to.inputs + ((slice - deep) * count + tile) * shape.in;
    if (from >= 0 && from < shape.depth)
      return kernels.evaluate_inputs(shape, x, first + tile, here, from, inputs, to.in_stride);
    for (std::int64_t point = 0; point < winograd_points; ++point)
      std::fill_n(inputs + point * to.in_stride, here * shape.in, 0.0F);
  });
  loop(winograd_points * shape.taps, [&](std::int64_t task) {
    const std::int64_t point = task / shape.taps;
    const std::int64_t tap = task % shape.taps;
    float* const products = to.products + point * winograd_stride(shape) + tap * shape.in * shape.out;
    if (is_first) std::fill_n(products, shape.in * shape.out, 0.0F);
    kernels.add_products(shape, to.inputs + point * to.in_stride + tap * count * shape.in,
                         to.results + point * to.out_stride, deep * count, products);
  });
}

}  // namespace detail

/// The gradients by the weights and the bias. The same bits for any number of threads. The calling thread keeps memory for it: up to
/// some 4 MB a thread and 16 MB for all, or 24 MB and the weights at the points, four times the weights; more for layers of uneven sides.
/// @pre there are tiles
/// @param x         the input of the convolution
/// @param gradient  by its result
/// @param weights   what is filled, of the channels that there are
/// @param bias      [out] of the shape, or null
inline void winograd_weight_gradient(const WinogradShape& shape, const WinogradKernels& kernels,
                                     const LaneView<const float>& x, const LaneView<const float>& gradient,
                                     std::int64_t real_in, std::int64_t real_out, const WeightView<float>& weights,
                                     float* bias) {
  constexpr std::int64_t step = 48;
  constexpr std::int64_t points = detail::winograd_points;
  const detail::WinogradParts parts = detail::winograd_parts(shape);
  const bool is_shared = parts.strips == 1;
  const std::int64_t in_stride = detail::winograd_stride((parts.slices + shape.taps - 1) * parts.tiles, shape.in);
  const std::int64_t out_stride = detail::winograd_stride(parts.slices * parts.tiles, shape.out);
  const std::int64_t room = points * (in_stride + out_stride);
  const auto of_products = static_cast<std::int64_t>(detail::winograd_weight_room(shape));
  const std::int64_t bias_sums =
      parts.slices * (is_shared ? (parts.tiles + step - 1) / step : parts.strips) * shape.out;
  static thread_local LineBuffer part_buffer;
  static thread_local LineBuffer product_buffer;
  static thread_local LineBuffer bias_buffer;
  float* const scratch = part_buffer.at_least(static_cast<std::size_t>(room * (is_shared ? 1 : omp_get_max_threads())));
  float* const products = product_buffer.at_least(static_cast<std::size_t>(of_products * parts.strips));
  float* const sums = bias_buffer.at_least(static_cast<std::size_t>(bias_sums));
  std::fill_n(sums, bias_sums, 0.0F);
  const auto add_parts = [&](std::int64_t strip, int thread, std::int64_t run, const auto& loop) {
    float* const own = scratch + room * thread;
    const detail::WinogradSums to{own,
                                  in_stride,
                                  own + points * in_stride,
                                  out_stride,
                                  products + strip * of_products,
                                  sums + strip * parts.slices * shape.out};
    const std::int64_t begin = parts.parts() * strip / parts.strips;
    for (std::int64_t part = begin; part < parts.parts() * (strip + 1) / parts.strips; ++part)
      detail::winograd_add_part(shape, kernels, parts, part, x, gradient, to, part == begin, run, loop);
  };
  if (is_shared)
    add_parts(0, 0, step, [](std::int64_t count, const auto& body) { parallel_for(count, body); });
  else
    parallel_for(parts.strips, [&](std::int64_t strip, int thread) {
      add_parts(strip, thread, parts.tiles, [](std::int64_t count, const auto& body) {
        for (std::int64_t i = 0; i < count; ++i) body(i);
      });
    });
  if (!is_shared)
    parallel_for(points, [&](std::int64_t point) {
      float* const to = products + point * detail::winograd_stride(shape);
      for (std::int64_t strip = 1; strip < parts.strips; ++strip) {
        const float* const from = to + strip * of_products;
        for (std::int64_t k = 0; k < shape.taps * shape.in * shape.out; ++k) to[k] += from[k];
      }
    });
  parallel_for(shape.out / kernels.lanes,
               [&](std::int64_t lane) { kernels.unpack(shape, products, lane, real_in, real_out, weights); });
  if (bias == nullptr) return;
  for (std::int64_t c = 0; c < shape.out; ++c) {
    double sum = 0;
    for (std::int64_t part = c; part < bias_sums; part += shape.out) sum += static_cast<double>(sums[part]);
    bias[c] = static_cast<float>(sum);
  }
}

}  // namespace ivado::engine
