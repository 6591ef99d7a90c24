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
[[nodiscard]] inline std::size_t winograd_weight_room(const WinogradShape& shape) {
  return static_cast<std::size_t>(winograd_points * winograd_stride(shape));
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

/// The weights of a convolution as `winograd_convolve` wants them.
/// @param real_in,real_out  channels that there are; further ones of the shape are filled with zeros
/// @param to                what is filled
inline void winograd_pack(const WinogradShape& shape, const WinogradKernels& kernels,
                          const WeightView<const float>& weights, std::int64_t real_in, std::int64_t real_out,
                          LineBuffer& to) {
  float* const data = to.at_least(detail::winograd_weight_room(shape));
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
  const std::int64_t room = detail::winograd_points * (shape.taps * detail::winograd_stride(tiles, shape.in) +
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

/// The gradients by the weights and the bias. The same bits for any number of threads. The calling thread keeps memory for it: up to
/// some 24 MB, and the weights at the points, four times the weights.
/// @pre there are tiles
/// @param x         the input of the convolution
/// @param gradient  by its result
/// @param weights   what is filled, of the channels that there are
/// @param bias      [out] of the shape, or null
inline void winograd_weight_gradient(const WinogradShape& shape, const WinogradKernels& kernels,
                                     const LaneView<const float>& x, const LaneView<const float>& gradient,
                                     std::int64_t real_in, std::int64_t real_out, const WeightView<float>& weights,
                                     float* bias) {
  constexpr std::int64_t most_bytes = std::int64_t{12} << 20;
  constexpr std::int64_t step = 48;
  constexpr std::int64_t points = detail::winograd_points;
  const std::int64_t halo = shape.taps - 1;
  const std::int64_t shift = shape.taps == 1 ? 0 : shape.padding;
  const std::int64_t depth = shape.out_depth();
  // A part: some tiles in some slices, at most so many rows of the products.
  const std::int64_t row_bytes = points * (2 * shape.in + shape.out) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t most_rows = std::clamp<std::int64_t>(most_bytes / row_bytes, 2 * step, 4096);
  const std::int64_t tiles =
      std::min(shape.tiles(), most_rows / (shape.taps == 1 ? 1 : std::min<std::int64_t>(depth, 8)));
  const std::int64_t slices = std::clamp<std::int64_t>(most_rows / tiles, 1, depth);
  const std::int64_t in_stride = detail::winograd_stride((slices + halo) * tiles, shape.in);
  const std::int64_t out_stride = detail::winograd_stride(slices * tiles, shape.out);
  const std::int64_t tasks_a_slice = (tiles + step - 1) / step;
  static thread_local LineBuffer in_buffer;
  static thread_local LineBuffer out_buffer;
  static thread_local LineBuffer product_buffer;
  static thread_local LineBuffer sum_buffer;
  float* const inputs = in_buffer.at_least(static_cast<std::size_t>(points * in_stride));
  float* const results = out_buffer.at_least(static_cast<std::size_t>(points * out_stride));
  float* const products = product_buffer.at_least(detail::winograd_weight_room(shape));
  float* const sums = sum_buffer.at_least(static_cast<std::size_t>(slices * tasks_a_slice * shape.out));
  std::fill_n(sums, slices * tasks_a_slice * shape.out, 0.0F);
  bool is_first = true;
  for (std::int64_t first = 0; first < shape.tiles(); first += tiles)
    for (std::int64_t z = 0; z < depth; z += slices, is_first = false) {
      const std::int64_t count = std::min(tiles, shape.tiles() - first);
      const std::int64_t deep = std::min(slices, depth - z);
      parallel_for((2 * deep + halo) * tasks_a_slice, [&](std::int64_t task) {
        const std::int64_t tile = task % tasks_a_slice * step;
        const std::int64_t here = std::min(step, count - tile);
        const std::int64_t slice = task / tasks_a_slice;
        if (here <= 0) return;
        if (slice < deep)
          return kernels.evaluate_gradients(shape, gradient, first + tile, here, z + slice,
                                            results + (slice * count + tile) * shape.out, out_stride,
                                            sums + task * shape.out);
        const std::int64_t from = z + slice - deep - shift;
        float* const to = inputs + ((slice - deep) * count + tile) * shape.in;
        if (from >= 0 && from < shape.depth)
          return kernels.evaluate_inputs(shape, x, first + tile, here, from, to, in_stride);
        for (std::int64_t point = 0; point < points; ++point)
          std::fill_n(to + point * in_stride, here * shape.in, 0.0F);
      });
      parallel_for(points * shape.taps, [&](std::int64_t task) {
        const std::int64_t point = task / shape.taps;
        const std::int64_t tap = task % shape.taps;
        float* const to = products + point * detail::winograd_stride(shape) + tap * shape.in * shape.out;
        if (is_first) std::fill_n(to, shape.in * shape.out, 0.0F);
        kernels.add_products(shape, inputs + point * in_stride + tap * count * shape.in, results + point * out_stride,
                             deep * count, to);
      });
    }
  parallel_for(shape.out / kernels.lanes,
               [&](std::int64_t lane) { kernels.unpack(shape, products, lane, real_in, real_out, weights); });
  if (bias == nullptr) return;
  for (std::int64_t c = 0; c < shape.out; ++c) {
    double sum = 0;
    for (std::int64_t part = 0; part < slices * tasks_a_slice; ++part)
      sum += static_cast<double>(sums[part * shape.out + c]);
    bias[c] = static_cast<float>(sum);
  }
}

}  // namespace ivado::engine
