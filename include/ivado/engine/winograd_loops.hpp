// The loops of Winograd's convolutions (winograd.hpp) and what they work on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "lanes.hpp"

namespace ivado::engine {

/// A convolution of stride 1 whose kernel has 3 elements a spatial axis. A slice is a volume of depth 1 with one tap.
struct WinogradShape {
  std::int64_t samples = 1;
  std::int64_t in = 0;   ///< channels; a whole number of lanes
  std::int64_t out = 0;  ///< channels; a whole number of lanes
  std::int64_t depth = 1;
  std::int64_t height = 0;  ///< of the input
  std::int64_t width = 0;
  std::int64_t taps = 1;     ///< of the kernel along the depth: 1 or 3
  std::int64_t padding = 1;  ///< 0, 1 or 2 at each end; along the depth where it has three taps

  [[nodiscard]] std::int64_t out_depth() const noexcept { return taps == 1 ? depth : depth + 2 * padding - 2; }
  [[nodiscard]] std::int64_t out_height() const noexcept { return height + 2 * padding - 2; }
  [[nodiscard]] std::int64_t out_width() const noexcept { return width + 2 * padding - 2; }
  [[nodiscard]] std::int64_t tile_rows() const noexcept { return (out_height() + 3) / 4; }
  [[nodiscard]] std::int64_t tile_columns() const noexcept { return (out_width() + 3) / 4; }
  /// Tiles of one slice of all samples.
  [[nodiscard]] std::int64_t tiles() const noexcept { return samples * tile_rows() * tile_columns(); }
  /// The convolution that gives the gradient by the input, from that by the result and with `WeightView::turned`.
  [[nodiscard]] WinogradShape turned() const noexcept {
    return {samples, out, in, out_depth(), out_height(), out_width(), taps, 2 - padding};
  }
};

/// Weights as they lie: elements from one to the next along each axis.
template <class T>
struct WeightView {
  T* data = nullptr;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::int64_t depth = 0;
  std::int64_t row = 0;
  std::int64_t column = 0;

  operator WeightView<const T>() const requires(!std::is_const_v<T>) { return {data, out, in, depth, row, column}; }
  /// The weights of the gradient by the input: channels exchanged, the kernel turned round.
  [[nodiscard]] WeightView turned(std::int64_t taps) const noexcept {
    return {data + (taps - 1) * depth + 2 * row + 2 * column, in, out, -depth, -row, -column};
  }
};

/// What is done to a result before it is written, for each lane of channels in turn.
struct WinogradFinish {
  enum class Kind { leaky, affine, add };
  struct Step {
    Kind kind = Kind::leaky;
    float slope = 0;               ///< of `leaky` for negative values
    const float* scale = nullptr;  ///< of `affine`, one a channel
    const float* shift = nullptr;
    LaneView<const float> addend{};
  };
  const float* bias = nullptr;  ///< one a channel, or none
  std::vector<Step> steps{};
};

namespace detail {

inline constexpr std::int64_t winograd_points = 36;

/// Elements between two points in the values of `rows` tiles: a cache line more than they are, so that the 36 vectors of a tile do
/// not all want the same place of the cache.
[[nodiscard]] constexpr std::int64_t winograd_stride(std::int64_t rows, std::int64_t channels) noexcept {
  return rows * channels + 16;
}
/// The same in packed weights and their gradients.
/// @param pair  inputs that are in the place of a float: two of bf16
[[nodiscard]] constexpr std::int64_t winograd_stride(const WinogradShape& s, std::int64_t pair = 1) noexcept {
  return winograd_stride(s.taps * s.in / pair, s.out);
}
/// Tiles are worked on in multiples of these: rows of the products that are in registers at once divide it.
inline constexpr std::int64_t winograd_tile_step = 12;

/// The loops for vectors of `Lanes` floats. All is inlined into functions that are compiled for the processor.
/// @tparam Pair  1: all is float32; 2: products are of bf16 numbers, in words of two inputs or two tiles, and summed up in float32
template <int Lanes, int Pair = 1>
struct WinogradLoops : VectorLoops<Lanes> {
  using Base = VectorLoops<Lanes>;
  using Base::lanes;
  using Base::load;
  using Base::load_columns;
  using Base::store;
  using typename Base::Vector;
  static constexpr bool has_words = Pair == 2;
  static_assert(Pair == 1 || (Pair == 2 && Lanes == 16));
  static constexpr std::int64_t rows = Lanes == 16 ? 12 : 6;  ///< of tiles, by two vectors of channels, in registers
  static constexpr std::int64_t single_rows = 12;             ///< by one vector
  static_assert(winograd_tile_step % rows == 0 && winograd_tile_step % single_rows == 0);

  static constexpr float a = 0.625F;
  static constexpr float b = 1.5F;
  static constexpr float a2 = a * a;
  static constexpr float b2 = b * b;
  static constexpr float a3 = a2 * a;
  static constexpr float b3 = b2 * b;

  /// Six inputs at six points.
  [[gnu::always_inline]] static inline void to_points(const Vector (&x)[6], Vector (&t)[6]) {
    const Vector even_a = x[4] - b2 * x[2];
    const Vector odd_a = a * (x[3] - b2 * x[1]);
    const Vector even_b = x[4] - a2 * x[2];
    const Vector odd_b = b * (x[3] - a2 * x[1]);
    t[0] = a2 * b2 * x[0] - (a2 + b2) * x[2] + x[4];
    t[1] = even_a + odd_a;
    t[2] = even_a - odd_a;
    t[3] = even_b + odd_b;
    t[4] = even_b - odd_b;
    t[5] = a2 * b2 * x[1] - (a2 + b2) * x[3] + x[5];
  }
  /// Products at six points as four results.
  [[gnu::always_inline]] static inline void from_points(const Vector (&m)[6], Vector (&y)[4]) {
    const Vector even_a = m[1] + m[2];
    const Vector odd_a = m[1] - m[2];
    const Vector even_b = m[3] + m[4];
    const Vector odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = a * odd_a + b * odd_b;
    y[2] = a2 * even_a + b2 * even_b;
    y[3] = a3 * odd_a + b3 * odd_b + m[5];
  }
  /// The transpose of that: four gradients of results at six points.
  [[gnu::always_inline]] static inline void results_to_points(const Vector (&y)[4], Vector (&m)[6]) {
    const Vector even_a = y[0] + a2 * y[2];
    const Vector odd_a = a * y[1] + a3 * y[3];
    const Vector even_b = y[0] + b2 * y[2];
    const Vector odd_b = b * y[1] + b3 * y[3];
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
  }
  static constexpr float n0 = 1 / (a2 * b2);
  static constexpr float na = 1 / (2 * a2 * (a2 - b2));
  static constexpr float nb = 1 / (2 * b2 * (b2 - a2));
  /// Three weights at six points.
  [[gnu::always_inline]] static inline void weights_to_points(const Vector (&g)[3], Vector (&u)[6]) {
    const Vector even_a = na * (g[0] + a2 * g[2]);
    const Vector odd_a = na * a * g[1];
    const Vector even_b = nb * (g[0] + b2 * g[2]);
    const Vector odd_b = nb * b * g[1];
    u[0] = n0 * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
  }
  /// The transpose of that.
  [[gnu::always_inline]] static inline void points_to_weights(const Vector (&u)[6], Vector (&g)[3]) {
    const Vector even_a = na * (u[1] + u[2]);
    const Vector even_b = nb * (u[3] + u[4]);
    g[0] = n0 * u[0] + even_a + even_b;
    g[1] = na * a * (u[1] - u[2]) + nb * b * (u[3] - u[4]);
    g[2] = a2 * even_a + b2 * even_b + u[5];
  }

  /// Evaluates one lane of channels of a tile: 36 vectors, `stride` elements apart.
  /// @tparam Words  channels side by side share a word
  /// @param from  the input of the first of the 36
  /// @param top,bottom,left,right  which of the six rows and columns are in the image
  template <bool Plain, bool Words>
  [[gnu::always_inline]] static inline void evaluate(const float* from, const LaneView<const float>& x,
                                                     std::int64_t top, std::int64_t bottom, std::int64_t left,
                                                     std::int64_t right, float* to, std::int64_t stride) {
    Vector half[6][6];
    const bool whole = top == 0 && bottom == 6 && left == 0 && right == 6;
    for (std::int64_t r = 0; r < 6; ++r) {
      Vector row[6];
      if (whole)
        Base::template load_row<Plain>(row, from + r * x.row, x.column, x.channel, 0, 6);
      else if (r >= top && r < bottom)
        Base::template load_row<Plain>(row, from + r * x.row, x.column, x.channel, left, right);
      else
        for (std::int64_t c = 0; c < 6; ++c) row[c] = Vector{};
      to_points(row, half[r]);
    }
    for (std::int64_t c = 0; c < 6; ++c) {
      const Vector line[6] = {half[0][c], half[1][c], half[2][c], half[3][c], half[4][c], half[5][c]};
      Vector t[6];
      to_points(line, t);
      for (std::int64_t r = 0; r < 6; ++r)
        if constexpr (Words) {
          typename Base::Half half_words;
          Base::narrow(half_words, t[r]);
          std::memcpy(to + (r * 6 + c) * stride, &half_words, sizeof half_words);
        } else {
          store(to + (r * 6 + c) * stride, t[r]);
        }
    }
  }
  /// The same for gradients of results: 4×4 of them, of which some are in the image.
  template <bool Plain>
  [[gnu::always_inline]] static inline void evaluate_results(const float* from, const LaneView<const float>& d,
                                                             std::int64_t bottom, std::int64_t right, float* to,
                                                             std::int64_t stride, Vector& sum) {
    Vector half[4][6];
    const bool whole = bottom == 4 && right == 4;
    for (std::int64_t r = 0; r < 4; ++r) {
      Vector row[4];
      if (whole)
        Base::template load_row<Plain>(row, from + r * d.row, d.column, d.channel, 0, 4);
      else if (r < bottom)
        Base::template load_row<Plain>(row, from + r * d.row, d.column, d.channel, 0, right);
      else
        for (std::int64_t c = 0; c < 4; ++c) row[c] = Vector{};
      sum += (row[0] + row[1]) + (row[2] + row[3]);
      results_to_points(row, half[r]);
    }
    for (std::int64_t c = 0; c < 6; ++c) {
      const Vector line[4] = {half[0][c], half[1][c], half[2][c], half[3][c]};
      Vector t[6];
      results_to_points(line, t);
      for (std::int64_t r = 0; r < 6; ++r) store(to + (r * 6 + c) * stride, t[r]);
    }
  }

  /// The nine weights that lie one behind the other, of as many outputs as there are lanes.
  [[gnu::always_inline]] static inline void load_dense(Vector (&g)[3][3], const float* from, std::int64_t out,
                                                       bool is_reversed) {
    Vector low[4];
    Vector middle[4];
    Vector high[4];
    load_columns(low, from, out);
    load_columns(middle, from + 4, out);
    load_columns(high, from + 5, out);
    const Vector all[9] = {low[0], low[1], low[2], low[3], middle[0], middle[1], middle[2], middle[3], high[3]};
    for (std::int64_t k = 0; k < 9; ++k) g[k / 3][k % 3] = is_reversed ? all[8 - k] : all[k];
  }

  /// One lane of outputs' weights of an input at the points; zeros where there are none.
  [[gnu::always_inline]] static inline void weights_at_points(const WeightView<const float>& weights,
                                                              std::int64_t first, std::int64_t i, std::int64_t tap,
                                                              std::int64_t real_in, std::int64_t real_out,
                                                              Vector (&u)[6][6]) {
    const float* const w = weights.data + first * weights.out + i * weights.in + tap * weights.depth;
    Vector g[3][3];
    const bool is_dense = weights.row == 3 * weights.column && (weights.column == 1 || weights.column == -1);
    if (is_dense && i < real_in && first + lanes <= real_out) {
      load_dense(g, weights.column == 1 ? w : w - 8, weights.out, weights.column == -1);
    } else {
      float own[3][3][Lanes] = {};
      for (std::int64_t lane = 0; i < real_in && lane < std::min(lanes, real_out - first); ++lane)
        for (std::int64_t r = 0; r < 3; ++r)
          for (std::int64_t c = 0; c < 3; ++c)
            own[r][c][lane] = w[lane * weights.out + r * weights.row + c * weights.column];
      for (std::int64_t r = 0; r < 3; ++r)
        for (std::int64_t c = 0; c < 3; ++c) load(g[r][c], own[r][c]);
    }
    Vector half[3][6];
    for (std::int64_t r = 0; r < 3; ++r) weights_to_points(g[r], half[r]);
    for (std::int64_t c = 0; c < 6; ++c) {
      const Vector line[3] = {half[0][c], half[1][c], half[2][c]};
      Vector column[6];
      weights_to_points(line, column);
      for (std::int64_t r = 0; r < 6; ++r) u[r][c] = column[r];
    }
  }
  /// Weights at the points: [point][tap][pair of lanes of outputs][input][2 lanes], a last odd lane alone. Two inputs share a word.
  [[gnu::always_inline]] static inline void pack(const WinogradShape& shape, const WeightView<const float>& weights,
                                                 std::int64_t out_lane, std::int64_t real_in, std::int64_t real_out,
                                                 float* to) {
    const std::int64_t width = std::min<std::int64_t>(2 * lanes, shape.out - out_lane / 2 * 2 * lanes);
    const std::int64_t first = out_lane * lanes;
    const std::int64_t words = shape.in / Pair;
    float* const panel = to + out_lane / 2 * 2 * lanes * words + out_lane % 2 * lanes;
    for (std::int64_t tap = 0; tap < shape.taps; ++tap)
      for (std::int64_t i = 0; i < words; ++i) {
        Vector u[6][6];
        weights_at_points(weights, first, Pair * i, tap, real_in, real_out, u);
        float* const at = panel + tap * shape.out * words + i * width;
        if constexpr (has_words) {
          Vector next[6][6];
          weights_at_points(weights, first, Pair * i + 1, tap, real_in, real_out, next);
          for (std::int64_t k = 0; k < winograd_points; ++k)
            Base::store_words(at + k * winograd_stride(shape, Pair), u[k / 6][k % 6], next[k / 6][k % 6]);
        } else {
          for (std::int64_t k = 0; k < winograd_points; ++k)
            store(at + k * winograd_stride(shape, Pair), u[k / 6][k % 6]);
        }
      }
  }

  /// The results of `count` tiles from `first` on, in slices [z_begin, z_end) of the result.
  template <bool Plain>
  [[gnu::always_inline]] static inline void convolve(const WinogradShape& s, const LaneView<const float>& x,
                                                     const float* weights, const WinogradFinish& finish,
                                                     const LaneView<float>& y, std::int64_t first, std::int64_t count,
                                                     std::int64_t room, std::int64_t z_begin, std::int64_t z_end,
                                                     float* scratch) {
    const std::int64_t words = s.in / Pair;
    const std::int64_t in_stride = winograd_stride(room, words);
    const std::int64_t out_stride = winograd_stride(room, s.out);
    float* const products = scratch + s.taps * winograd_points * in_stride;
    const std::int64_t shift = s.taps == 1 ? 0 : s.padding;
    std::int64_t next = std::max<std::int64_t>(0, z_begin - shift);  // the slice to evaluate
    for (std::int64_t z = z_begin; z < z_end; ++z) {
      const std::int64_t low = std::max<std::int64_t>(0, z - shift);
      const std::int64_t high = std::min(s.depth, z - shift + s.taps);
      for (; next < high; ++next)
        evaluate_tiles<Plain, has_words>(s, x, first, count, next,
                                         scratch + next % s.taps * winograd_points * in_stride, in_stride);
      for (std::int64_t point = 0; point < winograd_points; ++point) {
        const float* as[3];
        const float* bs[3];
        std::int64_t taps = 0;
        for (std::int64_t slice = low; slice < high; ++slice, ++taps) {
          as[taps] = scratch + (slice % s.taps * winograd_points + point) * in_stride;
          bs[taps] = weights + point * winograd_stride(s, Pair) + (slice - (z - shift)) * s.out * words;
        }
        multiply_tiles(s, taps, as, bs, count, products + point * out_stride);
      }
      finish_tiles<Plain>(s, finish, y, first, count, z, products, out_stride);
    }
  }
  template <bool Plain, bool Words>
  [[gnu::always_inline]] static inline void evaluate_tiles(const WinogradShape& s, const LaneView<const float>& x,
                                                           std::int64_t first, std::int64_t count, std::int64_t z,
                                                           float* to, std::int64_t stride) {
    const std::int64_t columns = s.tile_columns();
    const std::int64_t per_sample = s.tile_rows() * columns;
    for (std::int64_t c = 0; c < s.in; c += lanes)
      for (std::int64_t t = 0; t < count; ++t) {
        const std::int64_t n = (first + t) / per_sample;
        const std::int64_t in_sample = (first + t) % per_sample;
        const std::int64_t r0 = in_sample / columns * 4 - s.padding;
        const std::int64_t c0 = in_sample % columns * 4 - s.padding;
        const float* const from =
            x.data + n * x.sample + z * x.depth + r0 * x.row + c0 * x.column + c / lanes * x.block;
        evaluate<Plain, Words>(from, x, std::max<std::int64_t>(0, -r0), std::min<std::int64_t>(6, s.height - r0),
                               std::max<std::int64_t>(0, -c0), std::min<std::int64_t>(6, s.width - c0),
                               to + (t * s.in + c) / (Words ? 2 : 1), stride);
      }
  }
  [[gnu::always_inline]] static inline void multiply_tiles(const WinogradShape& s, std::int64_t taps,
                                                           const float* const* as, const float* const* bs,
                                                           std::int64_t count, float* c) {
    const float* a_at[3] = {};
    const float* b_at[3] = {};
    const std::int64_t words = s.in / Pair;
    std::int64_t out = 0;
    for (; out + 2 * lanes <= s.out; out += 2 * lanes) {
      for (std::int64_t tap = 0; tap < taps; ++tap) b_at[tap] = bs[tap] + out * words;
      for (std::int64_t t = 0; t < count; t += rows) {
        for (std::int64_t tap = 0; tap < taps; ++tap) a_at[tap] = as[tap] + t * words;
        Base::template product<rows, 2, has_words>(taps, a_at, b_at, words, words, c + t * s.out + out, s.out);
      }
    }
    if (out == s.out) return;
    for (std::int64_t tap = 0; tap < taps; ++tap) b_at[tap] = bs[tap] + out * words;
    for (std::int64_t t = 0; t < count; t += single_rows) {
      for (std::int64_t tap = 0; tap < taps; ++tap) a_at[tap] = as[tap] + t * words;
      Base::template product<single_rows, 1, has_words>(taps, a_at, b_at, words, words, c + t * s.out + out, s.out);
    }
  }
  template <bool Plain>
  [[gnu::always_inline]] static inline void finish_tiles(const WinogradShape& s, const WinogradFinish& finish,
                                                         const LaneView<float>& y, std::int64_t first,
                                                         std::int64_t count, std::int64_t z, const float* products,
                                                         std::int64_t stride) {
    const std::int64_t columns = s.tile_columns();
    const std::int64_t per_sample = s.tile_rows() * columns;
    for (std::int64_t out = 0; out < s.out; out += lanes)
      for (std::int64_t t = 0; t < count; ++t) {
        const std::int64_t n = (first + t) / per_sample;
        const std::int64_t in_sample = (first + t) % per_sample;
        const std::int64_t r0 = in_sample / columns * 4;
        const std::int64_t c0 = in_sample % columns * 4;
        const std::int64_t bottom = std::min<std::int64_t>(4, s.out_height() - r0);
        const std::int64_t right = std::min<std::int64_t>(4, s.out_width() - c0);
        const float* const from = products + t * s.out + out;
        Vector half[4][6];
        for (std::int64_t c = 0; c < 6; ++c) {
          Vector m[6];
          Vector r[4];
          for (std::int64_t k = 0; k < 6; ++k) load(m[k], from + (k * 6 + c) * stride);
          from_points(m, r);
          for (std::int64_t k = 0; k < 4; ++k) half[k][c] = r[k];
        }
        Vector result[4][4];
        for (std::int64_t k = 0; k < 4; ++k) from_points(half[k], result[k]);
        if (finish.bias != nullptr) {
          Vector bias;
          load(bias, finish.bias + out);
          for (std::int64_t r = 0; r < 4; ++r)
            for (std::int64_t c = 0; c < 4; ++c) result[r][c] += bias;
        }
        for (const auto& step : finish.steps) {
          if (step.kind == WinogradFinish::Kind::leaky) {
            for (std::int64_t r = 0; r < 4; ++r)
              for (std::int64_t c = 0; c < 4; ++c)
                result[r][c] = result[r][c] > 0 ? result[r][c] : result[r][c] * step.slope;
          } else if (step.kind == WinogradFinish::Kind::affine) {
            Vector scale;
            Vector shift;
            load(scale, step.scale + out);
            load(shift, step.shift + out);
            for (std::int64_t r = 0; r < 4; ++r)
              for (std::int64_t c = 0; c < 4; ++c) result[r][c] = result[r][c] * scale + shift;
          } else {
            const auto& view = step.addend;
            const float* const addend = view.data + n * view.sample + z * view.depth + r0 * view.row +
                                        c0 * view.column + out / lanes * view.block;
            for (std::int64_t r = 0; r < bottom; ++r) {
              Vector row[4];
              Base::template load_row<Plain>(row, addend + r * view.row, view.column, view.channel, 0, right);
              for (std::int64_t c = 0; c < 4; ++c) result[r][c] += row[c];
            }
          }
        }
        float* const to = y.data + n * y.sample + z * y.depth + r0 * y.row + c0 * y.column + out / lanes * y.block;
        if (bottom == 4 && right == 4)
          for (std::int64_t r = 0; r < 4; ++r)
            Base::template store_row<Plain>(result[r], to + r * y.row, y.column, y.channel, 4);
        else
          for (std::int64_t r = 0; r < bottom; ++r)
            Base::template store_row<Plain>(result[r], to + r * y.row, y.column, y.channel, right);
      }
  }

  /// Gradients of tiles of results at the points, for the gradient by the weights, and their sums, for that by the bias.
  template <bool Plain>
  [[gnu::always_inline]] static inline void evaluate_gradients(const WinogradShape& s, const LaneView<const float>& d,
                                                               std::int64_t first, std::int64_t count, std::int64_t z,
                                                               float* to, std::int64_t stride, float* sums) {
    const std::int64_t columns = s.tile_columns();
    const std::int64_t per_sample = s.tile_rows() * columns;
    for (std::int64_t c = 0; c < s.out; c += lanes) {
      Vector sum;
      load(sum, sums + c);
      for (std::int64_t t = 0; t < count; ++t) {
        const std::int64_t n = (first + t) / per_sample;
        const std::int64_t in_sample = (first + t) % per_sample;
        const std::int64_t r0 = in_sample / columns * 4;
        const std::int64_t c0 = in_sample % columns * 4;
        const float* const from =
            d.data + n * d.sample + z * d.depth + r0 * d.row + c0 * d.column + c / lanes * d.block;
        evaluate_results<Plain>(from, d, std::min<std::int64_t>(4, s.out_height() - r0),
                                std::min<std::int64_t>(4, s.out_width() - c0), to + t * s.out + c, stride, sum);
      }
      store(sums + c, sum);
    }
  }
  /// to[in × out] += Σ over `count` rows of x[row × in]ᵀ · d[row × out].
  [[gnu::always_inline]] static inline void add_products(const WinogradShape& s, const float* x, const float* d,
                                                         std::int64_t count, float* to) {
    constexpr std::int64_t at_once = 48;  // rows that stay in the first cache
    for (std::int64_t row = 0; row < count; row += at_once, x += at_once * s.in, d += at_once * s.out) {
      const std::int64_t here = std::min(at_once, count - row);
      if constexpr (has_words) {
        constexpr std::int64_t most = 128;  // channels
        alignas(64) float d_words[at_once / 2 * most];
        alignas(64) float x_words[at_once / 2 * most];
        for (std::int64_t out = 0; out < s.out; out += most) {
          const std::int64_t outs = std::min(most, s.out - out);
          pair_rows(d + out, s.out, here, outs, d_words);
          for (std::int64_t in = 0; in < s.in; in += most) {
            const std::int64_t ins = std::min(most, s.in - in);
            pair_rows(x + in, s.in, here, ins, x_words);
            add_block(x_words, ins, ins, d_words, outs, outs, (here + 1) / 2, to + in * s.out + out, s.out);
          }
        }
      } else {
        add_block(x, s.in, s.in, d, s.out, s.out, here, to, s.out);
      }
    }
  }
  /// Two rows after each other as words, for channels of a whole number of lanes; a row of zeros behind an odd number.
  [[gnu::always_inline]] static inline void pair_rows(const float* from, std::int64_t stride, std::int64_t count,
                                                      std::int64_t channels, float* to) {
    for (std::int64_t row = 0; row < count; row += 2, from += 2 * stride, to += channels)
      for (std::int64_t c = 0; c < channels; c += lanes) {
        Vector first;
        Vector second{};
        load(first, from + c);
        if (row + 1 < count) load(second, from + stride + c);
        Base::store_words(to + c, first, second);
      }
  }
  /// to[in × out] += xᵀ · d over so many rows, of floats or of words.
  [[gnu::always_inline]] static inline void add_block(const float* x, std::int64_t ins, std::int64_t x_row,
                                                      const float* d, std::int64_t outs, std::int64_t d_row,
                                                      std::int64_t count, float* to, std::int64_t to_row) {
    constexpr int most = Lanes == 16 ? 8 : 6;
    std::int64_t out = 0;
    for (; out + 2 * lanes <= outs; out += 2 * lanes) {
      std::int64_t in = 0;
      for (; in + most <= ins; in += most)
        Base::template add_product<most, 2, has_words>(x + in, x_row, d + out, d_row, count, to + in * to_row + out,
                                                       to_row);
      for (; in + 4 <= ins; in += 4)
        Base::template add_product<4, 2, has_words>(x + in, x_row, d + out, d_row, count, to + in * to_row + out,
                                                    to_row);
      for (; in < ins; in += 2)
        Base::template add_product<2, 2, has_words>(x + in, x_row, d + out, d_row, count, to + in * to_row + out,
                                                    to_row);
    }
    if (out < outs)
      for (std::int64_t in = 0; in < ins; in += 8)
        Base::template add_product<8, 1, has_words>(x + in, x_row, d + out, d_row, count, to + in * to_row + out,
                                                    to_row);
  }
  /// Gradients at the points, [point][tap][in][out], as gradients of one lane of outputs' weights.
  [[gnu::always_inline]] static inline void unpack(const WinogradShape& s, const float* from, std::int64_t out_lane,
                                                   std::int64_t real_in, std::int64_t real_out,
                                                   const WeightView<float>& weights) {
    const std::int64_t first = out_lane * lanes;
    for (std::int64_t tap = 0; tap < s.taps; ++tap)
      for (std::int64_t i = 0; i < real_in; ++i) {
        Vector half[3][6];
        for (std::int64_t c = 0; c < 6; ++c) {
          Vector u[6];
          Vector g[3];
          for (std::int64_t r = 0; r < 6; ++r)
            load(u[r], from + (r * 6 + c) * winograd_stride(s) + (tap * s.in + i) * s.out + first);
          points_to_weights(u, g);
          for (std::int64_t r = 0; r < 3; ++r) half[r][c] = g[r];
        }
        for (std::int64_t r = 0; r < 3; ++r) {
          Vector g[3];
          points_to_weights(half[r], g);
          for (std::int64_t c = 0; c < 3; ++c) {
            float values[Lanes];
            store(values, g[c]);
            float* const to = weights.data + first * weights.out + i * weights.in + tap * weights.depth +
                              r * weights.row + c * weights.column;
            for (std::int64_t lane = 0; lane < std::min(lanes, real_out - first); ++lane)
              to[lane * weights.out] = values[lane];
          }
        }
      }
  }
};

}  // namespace detail

/// The loops in the form for this processor.
struct WinogradKernels {
  std::int64_t lanes = 0;
  std::int64_t pair = 1;  ///< inputs in the place of a float: 2 where products are of bf16
  void (*pack)(const WinogradShape&, const WeightView<const float>&, std::int64_t, std::int64_t, std::int64_t, float*);
  void (*convolve)(const WinogradShape&, const LaneView<const float>&, const float*, const WinogradFinish&,
                   const LaneView<float>&, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                   float*);
  void (*evaluate_inputs)(const WinogradShape&, const LaneView<const float>&, std::int64_t, std::int64_t, std::int64_t,
                          float*, std::int64_t);
  void (*evaluate_gradients)(const WinogradShape&, const LaneView<const float>&, std::int64_t, std::int64_t,
                             std::int64_t, float*, std::int64_t, float*);
  void (*add_products)(const WinogradShape&, const float*, const float*, std::int64_t, float*);
  void (*unpack)(const WinogradShape&, const float*, std::int64_t, std::int64_t, std::int64_t,
                 const WeightView<float>&);
};

namespace detail {

#if defined(__x86_64__) && defined(__GNUC__)
// The same loops for each set of instructions; attributes cannot be parameters of templates. A test has one more of it.
#define IVADO_WINOGRAD_KERNELS(name, set, lanes_of_it, pair_of_it)                                                     \
  struct name {                                                                                                        \
    using Loops = WinogradLoops<lanes_of_it, pair_of_it>;                                                              \
    [[gnu::target(set)]] static void pack(const WinogradShape& s, const WeightView<const float>& w, std::int64_t lane, \
                                          std::int64_t real_in, std::int64_t real_out, float* to) {                    \
      Loops::pack(s, w, lane, real_in, real_out, to);                                                                  \
    }                                                                                                                  \
    [[gnu::target(set)]] static void convolve(const WinogradShape& s, const LaneView<const float>& x, const float* w,  \
                                              const WinogradFinish& finish, const LaneView<float>& y,                  \
                                              std::int64_t first, std::int64_t count, std::int64_t room,               \
                                              std::int64_t z_begin, std::int64_t z_end, float* scratch) {              \
      if (x.is_plain()) return Loops::convolve<true>(s, x, w, finish, y, first, count, room, z_begin, z_end, scratch); \
      Loops::convolve<false>(s, x, w, finish, y, first, count, room, z_begin, z_end, scratch);                         \
    }                                                                                                                  \
    [[gnu::target(set)]] static void evaluate_inputs(const WinogradShape& s, const LaneView<const float>& x,           \
                                                     std::int64_t first, std::int64_t count, std::int64_t z,           \
                                                     float* to, std::int64_t stride) {                                 \
      if (x.is_plain()) return Loops::evaluate_tiles<true, false>(s, x, first, count, z, to, stride);                  \
      Loops::evaluate_tiles<false, false>(s, x, first, count, z, to, stride);                                          \
    }                                                                                                                  \
    [[gnu::target(set)]] static void evaluate_gradients(const WinogradShape& s, const LaneView<const float>& d,        \
                                                        std::int64_t first, std::int64_t count, std::int64_t z,        \
                                                        float* to, std::int64_t stride, float* sums) {                 \
      if (d.is_plain()) return Loops::evaluate_gradients<true>(s, d, first, count, z, to, stride, sums);               \
      Loops::evaluate_gradients<false>(s, d, first, count, z, to, stride, sums);                                       \
    }                                                                                                                  \
    [[gnu::target(set)]] static void add_products(const WinogradShape& s, const float* x, const float* d,              \
                                                  std::int64_t count, float* to) {                                     \
      Loops::add_products(s, x, d, count, to);                                                                         \
    }                                                                                                                  \
    [[gnu::target(set)]] static void unpack(const WinogradShape& s, const float* from, std::int64_t lane,              \
                                            std::int64_t real_in, std::int64_t real_out, const WeightView<float>& w) { \
      Loops::unpack(s, from, lane, real_in, real_out, w);                                                              \
    }                                                                                                                  \
    static WinogradKernels kernels() {                                                                                 \
      return {                                                                                                         \
          lanes_of_it, pair_of_it, &pack, &convolve, &evaluate_inputs, &evaluate_gradients, &add_products, &unpack};   \
    }                                                                                                                  \
  };
IVADO_WINOGRAD_KERNELS(Avx2Winograd, "avx2,fma", 8, 1)
IVADO_WINOGRAD_KERNELS(Avx512Winograd, "avx512f,avx512vl,avx512dq,avx512bw,fma", 16, 1)
#ifdef IVADO_HAS_BF16_LOOPS
IVADO_WINOGRAD_KERNELS(Bf16Winograd, "avx512f,avx512vl,avx512dq,avx512bw,fma,avx512bf16", 16, 2)
#endif
#endif

}  // namespace detail

/// The kernels for so many channels side by side; null where this processor has none.
[[nodiscard]] inline const WinogradKernels* winograd_kernels(std::int64_t lanes) {
#if defined(__x86_64__) && defined(__GNUC__)
  static const WinogradKernels narrow = detail::Avx2Winograd::kernels();
  static const WinogradKernels wide = detail::Avx512Winograd::kernels();
  if (lanes == 8 && has_avx2()) return &narrow;
  if (lanes == 16 && has_avx512()) return &wide;
#endif
  return nullptr;
}

/// Kernels with 16 channels side by side whose products are of numbers rounded to bf16, with sums in float32; null where this processor
/// has no such instructions, or the compiler is another than GCC. Rounded at the points, results are off by some 0.9 % of their size, where those of a direct convolution of
/// rounded numbers are by 0.25 %.
[[nodiscard]] inline const WinogradKernels* winograd_bf16_kernels() {
#ifdef IVADO_HAS_BF16_LOOPS
  static const WinogradKernels kernels = detail::Bf16Winograd::kernels();
  if (has_avx512_bf16()) return &kernels;
#endif
  return nullptr;
}

}  // namespace ivado::engine
