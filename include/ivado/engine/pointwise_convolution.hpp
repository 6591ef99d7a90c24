// Convolutions with kernels of one voxel on plain values, which are matrix products, and their gradients, for processors with AVX2
// or AVX-512.
// oneDNN's kernels for them want blocks of channels, and bringing plain values there and back costs as much as it saves. No
// oneDNN, no LibTorch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "../parallel.hpp"
#include "lanes.hpp"

namespace ivado::engine {

/// A convolution of stride 1 with kernels of one voxel; values are [samples, channels, voxels].
struct PointwiseShape {
  std::int64_t samples = 1;
  std::int64_t in = 0;   ///< channels, a multiple of 8
  std::int64_t out = 0;  ///< channels, a multiple of 8
  std::int64_t voxels = 0;
};

namespace detail {

/// The loops for vectors of `Lanes` floats. All is inlined into functions that are compiled for the processor.
template <int Lanes>
struct PointwiseLoops {
  static constexpr int lanes = Lanes;
  using Loops = VectorLoops<lanes>;
  using Vector = typename Loops::Vector;
  static constexpr std::int64_t panel = 2 * lanes;  ///< voxels, counted through all samples
  /// Rows of results by two vectors of voxels in registers.
  static constexpr int most_rows = Lanes == 16 ? 12 : 6;

  /// Voxels of a panel that lie side by side in a sample.
  struct Run {
    std::int64_t sample = 0;
    std::int64_t voxel = 0;
    std::int64_t place = 0;  ///< in the panel
    std::int64_t count = 0;  ///< 0: there are no more
  };
  /// The run that begins at a place of a panel.
  [[gnu::always_inline]] static inline Run run_at(const PointwiseShape& s, std::int64_t index, std::int64_t place) {
    const std::int64_t at = index * panel + place;
    const std::int64_t left = std::min(panel - place, s.samples * s.voxels - at);
    return {at / s.voxels, at % s.voxels, place, std::clamp<std::int64_t>(left, 0, s.voxels - at % s.voxels)};
  }

  /// y[out × voxels] = w[out × in] · x[in × voxels] (+ bias), for some panels of voxels of all samples.
  /// @param scratch  in · panel floats for each of the panels
  [[gnu::always_inline]] static inline void convolve(const PointwiseShape& s, const float* x, const float* w,
                                                     const float* bias, float* y, std::int64_t first,
                                                     std::int64_t count, float* scratch) {
    for (std::int64_t p = 0; p < count; ++p) {
      float* const own = scratch + p * s.in * panel;
      for (Run run = run_at(s, first + p, 0); run.count > 0; run = run_at(s, first + p, run.place + run.count)) {
        const float* from = x + run.sample * s.in * s.voxels + run.voxel;
        float* to = own + run.place;
        if (run.count == panel)
          for (std::int64_t i = 0; i < s.in; ++i, from += s.voxels, to += panel)
            for (std::int64_t half = 0; half < panel; half += lanes) {
              Vector values;
              Loops::load(values, from + half);
              Loops::store(to + half, values);
            }
        else
          for (std::int64_t i = 0; i < s.in; ++i, from += s.voxels, to += panel) std::copy_n(from, run.count, to);
      }
    }
    std::int64_t out = 0;
    for (; out + most_rows <= s.out; out += most_rows)
      convolve_rows<most_rows>(s, w, bias, y, first, count, scratch, out);
    for (; out + 4 <= s.out; out += 4) convolve_rows<4>(s, w, bias, y, first, count, scratch, out);
    for (; out < s.out; out += 2) convolve_rows<2>(s, w, bias, y, first, count, scratch, out);
  }

  /// Rows [first, first + count) of all samples' voxels, [row][channel].
  [[gnu::always_inline]] static inline void transpose(std::int64_t channels, std::int64_t voxels, const float* x,
                                                      std::int64_t first, std::int64_t count, float* to) {
    for (std::int64_t row = first; row < first + count;) {
      const std::int64_t n = row / voxels;
      const std::int64_t v = row % voxels;
      const std::int64_t here = std::min<std::int64_t>({4, voxels - v, first + count - row});
      const float* from = x + n * channels * voxels + v;
      for (std::int64_t c = 0; c < channels; c += lanes, from += lanes * voxels) {
        Vector columns[4];
        Loops::template load_row<true>(columns, from, 1, voxels, 0, here);
        for (std::int64_t k = 0; k < here; ++k) Loops::store(to + (row - first + k) * channels + c, columns[k]);
      }
      row += here;
    }
  }
  /// to[in × out], for inputs [begin, end), += Σ over rows of x[row × in]ᵀ · d[row × out].
  [[gnu::always_inline]] static inline void add_products(const PointwiseShape& s, const float* x, const float* d,
                                                         std::int64_t count, std::int64_t begin, std::int64_t end,
                                                         float* to) {
    constexpr std::int64_t at_once = 48;
    for (std::int64_t row = 0; row < count; row += at_once, x += at_once * s.in, d += at_once * s.out) {
      const std::int64_t here = std::min(at_once, count - row);
      std::int64_t out = 0;
      for (; out + panel <= s.out; out += panel) {
        std::int64_t in = begin;
        for (; in + most_rows <= end; in += most_rows)
          Loops::template add_product<most_rows, 2>(x + in, s.in, d + out, s.out, here, to + in * s.out + out, s.out);
        for (; in + 4 <= end; in += 4)
          Loops::template add_product<4, 2>(x + in, s.in, d + out, s.out, here, to + in * s.out + out, s.out);
        for (; in < end; in += 2)
          Loops::template add_product<2, 2>(x + in, s.in, d + out, s.out, here, to + in * s.out + out, s.out);
      }
      for (; out < s.out; out += lanes)
        for (std::int64_t in = begin; in < end; in += 8)
          Loops::template add_product<8, 1>(x + in, s.in, d + out, s.out, here, to + in * s.out + out, s.out);
    }
  }

 private:
  template <int R>
  [[gnu::always_inline]] static inline void convolve_rows(const PointwiseShape& s, const float* w, const float* bias,
                                                          float* y, std::int64_t first, std::int64_t count,
                                                          const float* panels, std::int64_t out) {
    const float* const a = w + out * s.in;
    for (std::int64_t p = 0; p < count; ++p) {
      const float* const b = panels + p * s.in * panel;
      float own[R * panel];
      Run run = run_at(s, first + p, 0);
      const bool is_whole = run.count == panel;
      Loops::template product<R, 2>(1, &a, &b, s.in, s.in, is_whole ? place_of(s, y, run, out) : own,
                                    is_whole ? s.voxels : panel);
      for (; run.count > 0; run = run_at(s, first + p, run.place + run.count)) {
        float* const to = place_of(s, y, run, out);
        if (!is_whole)
          for (std::int64_t r = 0; r < R; ++r) std::copy_n(own + r * panel + run.place, run.count, to + r * s.voxels);
        if (bias != nullptr)
          for (std::int64_t r = 0; r < R; ++r)
            for (std::int64_t k = 0; k < run.count; ++k) to[r * s.voxels + k] += bias[out + r];
      }
    }
  }
  /// Where a run's results of a channel are.
  [[gnu::always_inline]] static inline float* place_of(const PointwiseShape& s, float* y, const Run& run,
                                                       std::int64_t out) {
    return y + (run.sample * s.out + out) * s.voxels + run.voxel;
  }
};

/// The loops in the form for this processor.
struct PointwiseKernels {
  std::int64_t lanes = 0;
  std::int64_t panel = 0;
  void (*convolve)(const PointwiseShape&, const float*, const float*, const float*, float*, std::int64_t, std::int64_t,
                   float*);
  void (*transpose)(std::int64_t, std::int64_t, const float*, std::int64_t, std::int64_t, float*);
  void (*add_products)(const PointwiseShape&, const float*, const float*, std::int64_t, std::int64_t, std::int64_t,
                       float*);
};

#if defined(__x86_64__) && defined(__GNUC__)
// The same loops for each set of instructions; attributes cannot be parameters of templates.
#define IVADO_POINTWISE_KERNELS(name, set, lanes_of_it)                                                             \
  struct name {                                                                                                     \
    using Loops = PointwiseLoops<lanes_of_it>;                                                                      \
    [[gnu::target(set)]] static void convolve(const PointwiseShape& s, const float* x, const float* w,              \
                                              const float* bias, float* y, std::int64_t first, std::int64_t count,  \
                                              float* scratch) {                                                     \
      Loops::convolve(s, x, w, bias, y, first, count, scratch);                                                     \
    }                                                                                                               \
    [[gnu::target(set)]] static void transpose(std::int64_t channels, std::int64_t voxels, const float* x,          \
                                               std::int64_t first, std::int64_t count, float* to) {                 \
      Loops::transpose(channels, voxels, x, first, count, to);                                                      \
    }                                                                                                               \
    [[gnu::target(set)]] static void add_products(const PointwiseShape& s, const float* x, const float* d,          \
                                                  std::int64_t count, std::int64_t begin, std::int64_t end,         \
                                                  float* to) {                                                      \
      Loops::add_products(s, x, d, count, begin, end, to);                                                          \
    }                                                                                                               \
    static PointwiseKernels kernels() { return {lanes_of_it, Loops::panel, &convolve, &transpose, &add_products}; } \
  };
IVADO_POINTWISE_KERNELS(Avx2Pointwise, "avx2,fma", 8)
IVADO_POINTWISE_KERNELS(Avx512Pointwise, "avx512f,avx512vl,avx512dq,avx512bw,fma", 16)
#undef IVADO_POINTWISE_KERNELS
#endif

}  // namespace detail

/// The kernels for so many channels side by side; null where this processor has none.
[[nodiscard]] inline const detail::PointwiseKernels* pointwise_kernels(std::int64_t lanes) {
#if defined(__x86_64__) && defined(__GNUC__)
  static const detail::PointwiseKernels narrow = detail::Avx2Pointwise::kernels();
  static const detail::PointwiseKernels wide = detail::Avx512Pointwise::kernels();
  if (lanes == 8 && has_avx2()) return &narrow;
  if (lanes == 16 && has_avx512()) return &wide;
#endif
  return nullptr;
}
/// The widest kernels that these channels fill; null where this processor has none.
[[nodiscard]] inline const detail::PointwiseKernels* pointwise_kernels_for(std::int64_t in, std::int64_t out) {
  if (in % 8 != 0 || out % 8 != 0) return nullptr;
  const auto* const wide = in % 16 == 0 && out % 16 == 0 ? pointwise_kernels(16) : nullptr;
  return wide != nullptr ? wide : pointwise_kernels(8);
}

/// True if this processor and these channels can be worked on.
[[nodiscard]] inline bool has_pointwise(std::int64_t in, std::int64_t out) {
  return pointwise_kernels_for(in, out) != nullptr;
}

/// y = w · x + bias, where `has_pointwise`. The same bits for any number of threads. The calling thread keeps a little memory for it.
/// @param x     [samples, in, voxels]
/// @param w     [out, in]; the gradient by the input takes the transpose, and exchanges `in` and `out` of the shape
/// @param bias  [out], or null
/// @param y     [samples, out, voxels]
inline void pointwise_convolve(const PointwiseShape& s, const float* x, const float* w, const float* bias, float* y) {
  constexpr std::int64_t at_once = 4;  // panels, for which a few rows of the weights are read once
  const detail::PointwiseKernels& kernels = *pointwise_kernels_for(s.in, s.out);
  const std::int64_t panel = kernels.panel;
  const std::int64_t panels = (s.samples * s.voxels + panel - 1) / panel;
  static thread_local LineBuffer buffer;
  const std::int64_t room = at_once * s.in * panel;
  float* const scratch = buffer.at_least(static_cast<std::size_t>(room * omp_get_max_threads()));
  parallel_for((panels + at_once - 1) / at_once, [&](std::int64_t task, int thread) {
    const std::int64_t first = task * at_once;
    kernels.convolve(s, x, w, bias, y, first, std::min(at_once, panels - first), scratch + room * thread);
  });
}

/// The gradient by the weights, [out, in], from the input and the gradient by the result. The same bits for any number of threads. The
/// calling thread keeps some 8 MB for it, and five times the weights.
inline void pointwise_weight_gradient(const PointwiseShape& s, const float* x, const float* gradient, float* weights) {
  constexpr std::int64_t step = 64;
  constexpr std::int64_t chunk = 48;  // of inputs
  constexpr std::int64_t strips =
      4;  // of rows, each summed up by itself: for threads, and for the rounding of long sums
  constexpr std::int64_t most_bytes = std::int64_t{8} << 20;
  const detail::PointwiseKernels& kernels = *pointwise_kernels_for(s.in, s.out);
  const std::int64_t rows = s.samples * s.voxels;
  const std::int64_t fit = most_bytes / ((s.in + s.out) * static_cast<std::int64_t>(sizeof(float))) / step * step;
  const std::int64_t part = std::min(rows, std::max(step, fit));
  const std::int64_t size = s.in * s.out;
  static thread_local LineBuffer buffer;
  float* const inputs = buffer.at_least(static_cast<std::size_t>(part * (s.in + s.out) + (strips + 1) * size));
  float* const results = inputs + part * s.in;
  float* const products = results + part * s.out;
  float* const total = products + strips * size;
  std::fill_n(total, size, 0.0F);
  for (std::int64_t first = 0; first < rows; first += part) {
    const std::int64_t count = std::min(part, rows - first);
    // What a thread brings into rows, in its half of the rows, it multiplies itself: all tasks are in the order of the rows.
    parallel_for(2 * ((count + step - 1) / step), [&](std::int64_t task) {
      const std::int64_t row = task / 2 * step;
      const std::int64_t here = std::min(step, count - row);
      if (task % 2 == 0)
        kernels.transpose(s.in, s.voxels, x, first + row, here, inputs + row * s.in);
      else
        kernels.transpose(s.out, s.voxels, gradient, first + row, here, results + row * s.out);
    });
    const std::int64_t chunks = (s.in + chunk - 1) / chunk;
    parallel_for(chunks * strips, [&](std::int64_t task) {
      const std::int64_t begin = task % chunks * chunk;
      const std::int64_t end = std::min(s.in, begin + chunk);
      const std::int64_t strip = task / chunks;
      const std::int64_t row = count * strip / strips;
      float* const to = products + strip * size;
      std::fill(to + begin * s.out, to + end * s.out, 0.0F);
      kernels.add_products(s, inputs + row * s.in, results + row * s.out, count * (strip + 1) / strips - row, begin,
                           end, to);
    });
    parallel_for(chunks, [&](std::int64_t task) {
      const std::int64_t end = std::min(s.in, (task + 1) * chunk) * s.out;
      for (std::int64_t k = task * chunk * s.out; k < end; ++k)
        total[k] += (products[k] + products[size + k]) + (products[2 * size + k] + products[3 * size + k]);
    });
  }
  parallel_for(s.out, [&](std::int64_t out) {
    for (std::int64_t in = 0; in < s.in; ++in) weights[out * s.in + in] = total[in * s.out + out];
  });
}

/// A convolution of slices, as its input is unfolded for a matrix product.
struct UnfoldShape {
  std::int64_t channels = 0;
  std::int64_t height = 0;  ///< of the input
  std::int64_t width = 0;
  std::int64_t kernel = 0;
  std::int64_t stride = 1;
  std::int64_t padding = 0;

  [[nodiscard]] std::int64_t out_height() const noexcept { return (height + 2 * padding - kernel) / stride + 1; }
  [[nodiscard]] std::int64_t out_width() const noexcept { return (width + 2 * padding - kernel) / stride + 1; }
  /// Values that a result depends on, filled up to a multiple of 8.
  [[nodiscard]] std::int64_t rows() const noexcept { return (channels * kernel * kernel + 7) / 8 * 8; }
};

/// Puts the values that each result depends on into a column: [samples, channel and place in the kernel, result].
/// @param x   plain, [samples, channels, height, width]
/// @param to  [samples, `rows`, `out_height` · `out_width`]; rows that fill up are zero
inline void unfold(const UnfoldShape& s, std::int64_t samples, const float* x, float* to) {
  const std::int64_t out_width = s.out_width();
  parallel_for(samples * s.rows(), [&](std::int64_t task) {
    const std::int64_t row = task % s.rows();
    const std::int64_t channel = row / (s.kernel * s.kernel);
    float* out = to + task * s.out_height() * out_width;
    if (channel >= s.channels) return void(std::fill_n(out, s.out_height() * out_width, 0.0F));
    const std::int64_t down = row / s.kernel % s.kernel - s.padding;
    const std::int64_t right = row % s.kernel - s.padding;
    const float* const plane = x + (task / s.rows() * s.channels + channel) * s.height * s.width;
    // The results whose value is in the image: 0 <= column * stride + right < width.
    const std::int64_t begin =
        std::clamp<std::int64_t>((std::max<std::int64_t>(0, -right) + s.stride - 1) / s.stride, 0, out_width);
    const std::int64_t end = std::clamp<std::int64_t>(
        (std::max<std::int64_t>(0, s.width - right) + s.stride - 1) / s.stride, begin, out_width);
    for (std::int64_t r = 0; r < s.out_height(); ++r, out += out_width) {
      const std::int64_t from_row = r * s.stride + down;
      const bool is_inside = from_row >= 0 && from_row < s.height;
      std::fill_n(out, is_inside ? begin : out_width, 0.0F);
      if (!is_inside) continue;
      const float* const from = plane + from_row * s.width + right;
      for (std::int64_t c = begin; c < end; ++c) out[c] = from[c * s.stride];
      std::fill(out + end, out + out_width, 0.0F);
    }
  });
}

}  // namespace ivado::engine
