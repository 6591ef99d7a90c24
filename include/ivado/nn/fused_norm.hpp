// A norm with the activations around it and dropout of whole channels as one step of autograd: two passes over memory
// forward and two back instead of one or more for each part. Float32 on the processor.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../engine/lanes.hpp"
#include "../parallel.hpp"

namespace ivado::nn {

/// What is done to each value around its norm. A slope is that of the activation for negative values: 0 is ReLU, 1 none.
struct NormPass {
  double before = 1;         ///< slope of the activation before the norm
  double after = 1;          ///< slope of the one behind it
  double epsilon = 1e-5;     ///< added to the variance
  bool each_sample = false;  ///< statistics of each sample by itself (instance norm) instead of the batch
};

/// What stands beside the values of a norm.
struct NormTensors {
  at::Tensor weight;   ///< [C], or undefined: 1
  at::Tensor bias;     ///< [C], or undefined: 0
  at::Tensor factors;  ///< [N, C]: dropout of whole channels behind it all, or undefined
};

/// The result, and mean and inverse deviation of each group [2, groups] that it was computed with.
struct NormResult {
  at::Tensor value;
  at::Tensor used;
  at::Tensor variance;  ///< [groups], biased; undefined where the statistics were given
};

namespace detail {

/// Statistics of the values of one group.
struct GroupMoments {
  double mean = 0;
  double squares = 0;  ///< sum of squared deviations
  std::int64_t count = 0;

  /// Takes the values of another part in (Chan, Golub and LeVeque 1983).
  void add(double other_mean, double other_squares, std::int64_t other_count) noexcept {
    const auto total = static_cast<double>(count + other_count);
    const double delta = other_mean - mean;
    mean += delta * static_cast<double>(other_count) / total;
    squares += other_squares + delta * delta * static_cast<double>(count) * static_cast<double>(other_count) / total;
    count += other_count;
  }
};

inline constexpr std::int64_t norm_piece = 1024;  // of values that stay in the first cache between two looks at them
inline constexpr std::int64_t least_of_thread = 16384;  // values for which another thread is worth waking

/// Values that a loop works on at once: rows of so many side by side. Small planes of several samples make one piece, since most of the
/// time of many small ones would be spent around the loops.
struct NormPiece {
  std::int64_t rows = 1;
  std::int64_t stride = 0;  ///< from a row to the next
  std::int64_t count = 0;   ///< of a row

  [[nodiscard]] std::int64_t total() const noexcept { return rows * count; }
};

/// Planes [N, C, elements] of a contiguous tensor, in groups that share statistics: a channel of all samples, or of each.
struct NormPlanes {
  std::int64_t samples;
  std::int64_t channels;
  std::int64_t elements;
  bool each_sample;

  NormPlanes(const at::Tensor& x, bool apart)
      : samples(x.size(0)), channels(x.size(1)), elements(x.numel() / (x.size(0) * x.size(1))), each_sample(apart) {}
  [[nodiscard]] std::int64_t groups() const noexcept { return each_sample ? samples * channels : channels; }
  [[nodiscard]] std::int64_t count() const noexcept { return each_sample ? elements : samples * elements; }
  /// Calls `work(offset, piece, sample)` for the pieces of a group.
  /// @param joins  a piece may have planes of several samples
  template <class Work>
  void for_each_piece(std::int64_t group, bool joins, const Work& work) const {
    const std::int64_t first = each_sample ? group / channels : 0;
    const std::int64_t end = each_sample ? first + 1 : samples;
    const std::int64_t rows = joins ? std::max<std::int64_t>(1, norm_piece / std::max<std::int64_t>(1, elements)) : 1;
    const std::int64_t stride = channels * elements;
    for (std::int64_t n = first; n < end; n += rows) {
      const std::int64_t offset = n * stride + group % channels * elements;
      const std::int64_t here = std::min(rows, end - n);
      if (here > 1) {
        work(offset, NormPiece{here, stride, elements}, n);
        continue;
      }
      for (std::int64_t at = 0; at < elements; at += norm_piece)
        work(offset + at, NormPiece{1, 0, std::min(norm_piece, elements - at)}, n);
    }
  }
  /// Calls `work(group)` for all groups, on all threads.
  template <class Work>
  void in_parallel(const Work& work) const {
    const std::int64_t least = std::max<std::int64_t>(1, least_of_thread / std::max<std::int64_t>(1, count()));
    share_out(at::get_num_threads(), groups(), least, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t group = begin; group < end; ++group) work(group);
    });
  }
};

/// What is done to a piece of values: the numbers of its group.
struct NormNumbers {
  float before = 1;   ///< slope of the activation in front of the norm
  float after = 1;    ///< slope of the one behind it
  float mean = 0;     ///< μ
  float inverse = 1;  ///< 1/√(σ² + ε)
  float gamma = 1;    ///< γ of the channel
  float beta = 0;     ///< β of the channel
  float factor = 1;   ///< of a dropout: 0 or 1/(1 - rate)
};

/// What the loops below compute for one piece.
struct NormSums {
  double first = 0;
  double second = 0;
};

// A lambda that becomes part of the function that it is in, with its instructions.
#define IVADO_ALWAYS_INLINED __attribute__((always_inline))

/// The loops over a piece, on vectors of so many bytes; what is left over is done value by value. Written on vectors since
/// compilers neither change the order of additions nor vectorise conditions at every level of optimisation. Vectors are
/// passed by reference: by value they would need one calling convention of all that include this.
template <std::size_t Bytes>
struct NormLoops {
  using Floats [[gnu::vector_size(Bytes)]] = float;
  static constexpr auto width = static_cast<std::int64_t>(Bytes / sizeof(float));

  [[gnu::always_inline]] static void load(const float* from, Floats& to) noexcept { std::memcpy(&to, from, Bytes); }
  [[gnu::always_inline]] static void store(const Floats& from, float* to) noexcept { std::memcpy(to, &from, Bytes); }
  [[gnu::always_inline]] static float total(const Floats& first, const Floats& second) noexcept {
    std::array<float, Bytes / sizeof(float)> lanes;
    store(first + second, lanes.data());
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    return sum;
  }
  /// An activation of a vector, or of a single value.
  template <class T>
  [[gnu::always_inline]] static void activate(T& x, float slope) noexcept {
    x = x > 0.0F ? x : x * slope;
  }
  /// Times the derivative of the activation at `x`; 0 counts as negative.
  template <class T>
  [[gnu::always_inline]] static void times_slope(T& value, const T& x, float slope) noexcept {
    value = x > 0.0F ? value : value * slope;
  }
  /// x becomes the normalised value, g the gradient behind the norm.
  template <class T>
  [[gnu::always_inline]] static void to_norm(T& x, T& g, const NormNumbers& n) noexcept {
    const float gain = n.gamma * n.inverse;
    activate(x, n.before);
    x = x - n.mean;
    const T behind = x * gain + n.beta;  // as in `to_result`: on the same side of the kink
    x = x * n.inverse;
    g = g * n.factor;
    times_slope(g, behind, n.after);
  }

  /// x becomes the result.
  template <class T>
  [[gnu::always_inline]] static void to_result(T& x, const NormNumbers& n) noexcept {
    const float gain = n.gamma * n.inverse;
    activate(x, n.before);
    x = (x - n.mean) * gain + n.beta;
    activate(x, n.after);
    x = x * n.factor;
  }

  /// Calls `vectors(i, k)` for the vectors of each row, in turn with k 0 and 1, and `value(i)` for what is left over of it.
  template <class Vectors, class Value>
  [[gnu::always_inline]] static void for_each(const NormPiece& piece, const Vectors& vectors, const Value& value) {
    for (std::int64_t row = 0; row < piece.rows; ++row) {
      std::int64_t i = row * piece.stride;
      const std::int64_t end = i + piece.count;
      for (; i + 2 * width <= end; i += 2 * width) {
        vectors(i, 0);
        vectors(i + width, 1);
      }
      if (i + width <= end) {
        vectors(i, 0);
        i += width;
      }
      for (; i < end; ++i) value(i);
    }
  }

  /// Mean and sum of squared deviations of the activated values, by two passes of which the second corrects the first
  /// (Chan, Golub and LeVeque 1983).
  [[gnu::always_inline]] static NormSums moments(const float* x, const NormPiece& piece, float before) noexcept {
    Floats sums[2] = {};
    float sum = 0;
    for_each(
        piece,
        [&](std::int64_t i, int k) IVADO_ALWAYS_INLINED {
          Floats a;
          load(x + i, a);
          activate(a, before);
          sums[k] += a;
        },
        [&](std::int64_t i) IVADO_ALWAYS_INLINED {
          float a = x[i];
          activate(a, before);
          sum += a;
        });
    const auto count = static_cast<double>(piece.total());
    const float about = (sum + total(sums[0], sums[1])) / static_cast<float>(piece.total());
    sums[0] = sums[1] = Floats{};
    Floats squares[2] = {};
    double rest = 0;  // what rounding left of the mean
    double square = 0;
    for_each(
        piece,
        [&](std::int64_t i, int k) IVADO_ALWAYS_INLINED {
          Floats a;
          load(x + i, a);
          activate(a, before);
          a = a - about;
          sums[k] += a;
          squares[k] += a * a;
        },
        [&](std::int64_t i) IVADO_ALWAYS_INLINED {
          float a = x[i];
          activate(a, before);
          a -= about;
          rest += static_cast<double>(a);
          square += static_cast<double>(a * a);
        });
    rest = (rest + static_cast<double>(total(sums[0], sums[1]))) / count;
    square += static_cast<double>(total(squares[0], squares[1]));
    return {static_cast<double>(about) + rest, square - rest * rest * count};
  }

  /// The result.
  [[gnu::always_inline]] static void apply(const float* x, float* y, const NormPiece& piece,
                                           const NormNumbers& n) noexcept {
    for_each(
        piece,
        [&](std::int64_t i, int) IVADO_ALWAYS_INLINED {
          Floats a;
          load(x + i, a);
          to_result(a, n);
          store(a, y + i);
        },
        [&](std::int64_t i) IVADO_ALWAYS_INLINED {
          y[i] = x[i];
          to_result(y[i], n);
        });
  }

  /// Sums of the gradient d behind the norm, and of d · x̂.
  [[gnu::always_inline]] static NormSums sums(const float* x, const float* g, const NormPiece& piece,
                                              const NormNumbers& n) noexcept {
    Floats of_d[2] = {};
    Floats products[2] = {};
    NormSums all;
    for_each(
        piece,
        [&](std::int64_t i, int k) IVADO_ALWAYS_INLINED {
          Floats a;
          Floats d;
          load(x + i, a);
          load(g + i, d);
          to_norm(a, d, n);
          of_d[k] += d;
          products[k] += d * a;
        },
        [&](std::int64_t i) IVADO_ALWAYS_INLINED {
          float a = x[i];
          float d = g[i];
          to_norm(a, d, n);
          all.first += static_cast<double>(d);
          all.second += static_cast<double>(d * a);
        });
    all.first += static_cast<double>(total(of_d[0], of_d[1]));
    all.second += static_cast<double>(total(products[0], products[1]));
    return all;
  }

  /// The gradient by x, given the means of d and of d · x̂ over the group.
  [[gnu::always_inline]] static void back(const float* x, const float* g, float* out, const NormPiece& piece,
                                          const NormNumbers& n, float mean_d, float mean_product) noexcept {
    const float gain = n.gamma * n.inverse;
    for_each(
        piece,
        [&](std::int64_t i, int) IVADO_ALWAYS_INLINED {
          Floats at_input;
          Floats d;
          load(x + i, at_input);
          load(g + i, d);
          Floats a = at_input;
          to_norm(a, d, n);
          d = (d - mean_d - a * mean_product) * gain;
          times_slope(d, at_input, n.before);
          store(d, out + i);
        },
        [&](std::int64_t i) IVADO_ALWAYS_INLINED {
          float a = x[i];
          float d = g[i];
          to_norm(a, d, n);
          d = (d - mean_d - a * mean_product) * gain;
          times_slope(d, x[i], n.before);
          out[i] = d;
        });
  }
};

/// The loops in the form for this processor.
struct NormKernels {
  NormSums (*moments)(const float*, const NormPiece&, float) noexcept;
  void (*apply)(const float*, float*, const NormPiece&, const NormNumbers&) noexcept;
  NormSums (*sums)(const float*, const float*, const NormPiece&, const NormNumbers&) noexcept;
  void (*back)(const float*, const float*, float*, const NormPiece&, const NormNumbers&, float, float) noexcept;
};

// The same loops for each set of instructions, compiled for it whatever the rest is compiled for; attributes cannot be parameters of
// templates.
#define IVADO_NORM_KERNELS(name, attribute, bytes)                                                                 \
  struct name {                                                                                                    \
    using Loops = NormLoops<bytes>;                                                                                \
    attribute static NormSums moments(const float* x, const NormPiece& piece, float before) noexcept {             \
      return Loops::moments(x, piece, before);                                                                     \
    }                                                                                                              \
    attribute static void apply(const float* x, float* y, const NormPiece& piece, const NormNumbers& n) noexcept { \
      Loops::apply(x, y, piece, n);                                                                                \
    }                                                                                                              \
    attribute static NormSums sums(const float* x, const float* g, const NormPiece& piece,                         \
                                   const NormNumbers& n) noexcept {                                                \
      return Loops::sums(x, g, piece, n);                                                                          \
    }                                                                                                              \
    attribute static void back(const float* x, const float* g, float* out, const NormPiece& piece,                 \
                               const NormNumbers& n, float mean_d, float mean_product) noexcept {                  \
      Loops::back(x, g, out, piece, n, mean_d, mean_product);                                                      \
    }                                                                                                              \
  };
IVADO_NORM_KERNELS(PlainNorm, , 16)
#if defined(__x86_64__) && defined(__GNUC__)
IVADO_NORM_KERNELS(Avx2Norm, [[gnu::target("avx2")]], 32)
IVADO_NORM_KERNELS(Avx512Norm, [[gnu::target("avx512f,avx512vl,avx512dq,avx512bw")]], 64)
#endif
#undef IVADO_NORM_KERNELS
#undef IVADO_ALWAYS_INLINED

/// Chosen once.
[[nodiscard]] inline const NormKernels& norm_kernels() {
  static const NormKernels kernels = [] {
    const auto of = []<class Kind>(Kind) {
      return NormKernels{&Kind::moments, &Kind::apply, &Kind::sums, &Kind::back};
    };
#if defined(__x86_64__) && defined(__GNUC__)
    if (engine::has_avx512()) return of(Avx512Norm{});
    if (__builtin_cpu_supports("avx2")) return of(Avx2Norm{});
#endif
    return of(PlainNorm{});
  }();
  return kernels;
}

/// @return moments of the activated values of a group
[[nodiscard]] inline GroupMoments moments(const NormPlanes& planes, std::int64_t group, const float* x, float before) {
  GroupMoments all;
  const NormKernels& run = norm_kernels();
  planes.for_each_piece(group, true, [&](std::int64_t at, const NormPiece& piece, std::int64_t) {
    const NormSums found = run.moments(x + at, piece, before);
    all.add(found.first, found.second, piece.total());
  });
  return all;
}

/// The numbers of a tensor, or null where there is none.
[[nodiscard]] inline const float* numbers_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

/// The numbers of a channel.
[[nodiscard]] inline NormNumbers numbers_at(const NormTensors& tensors, std::int64_t channel, const NormPass& pass,
                                            float mean, float inverse) {
  const float* const w = numbers_of(tensors.weight);
  const float* const b = numbers_of(tensors.bias);
  return {static_cast<float>(pass.before),  static_cast<float>(pass.after),   mean, inverse,
          w != nullptr ? w[channel] : 1.0F, b != nullptr ? b[channel] : 0.0F, 1};
}

/// Calls `work(offset, piece, numbers)` for the pieces of a group.
template <class Work>
void for_each_piece(const NormTensors& tensors, const NormPlanes& planes, std::int64_t group, NormNumbers numbers,
                    const Work& work) {
  const float* const f = numbers_of(tensors.factors);
  planes.for_each_piece(group, f == nullptr, [&](std::int64_t at, const NormPiece& piece, std::int64_t n) {
    if (f != nullptr) numbers.factor = f[n * planes.channels + group % planes.channels];
    work(at, piece, numbers);
  });
}

/// @param x      [N, C, spatial…], dense
/// @param given  mean and inverse deviation [2, C] that count instead of those of the values, or undefined
[[nodiscard]] inline NormResult norm_forward(const at::Tensor& x, const NormTensors& tensors, const at::Tensor& given,
                                             const NormPass& pass) {
  const NormPlanes planes(x, pass.each_sample && !given.defined());
  NormResult result{at::empty_like(x), given, {}};
  if (!given.defined()) {
    result.used = at::empty({2, planes.groups()}, x.options());
    result.variance = at::empty({planes.groups()}, x.options());
  }
  const float* const from = x.data_ptr<float>();
  float* const to = result.value.data_ptr<float>();
  float* const means = result.used.data_ptr<float>();
  float* const inverse = means + planes.groups();
  float* const variances = given.defined() ? nullptr : result.variance.data_ptr<float>();
  const NormKernels& run = norm_kernels();
  planes.in_parallel([&](std::int64_t group) {
    if (variances != nullptr) {
      const GroupMoments found = moments(planes, group, from, static_cast<float>(pass.before));
      const double variance = found.squares / static_cast<double>(found.count);
      means[group] = static_cast<float>(found.mean);
      inverse[group] = static_cast<float>(1 / std::sqrt(variance + pass.epsilon));
      variances[group] = static_cast<float>(variance);
    }
    const NormNumbers numbers = numbers_at(tensors, group % planes.channels, pass, means[group], inverse[group]);
    for_each_piece(tensors, planes, group, numbers,
                   [&](std::int64_t at, const NormPiece& piece, const NormNumbers& here) {
                     run.apply(from + at, to + at, piece, here);
                   });
  });
  return result;
}

/// Gradients of a norm by x, weight and bias.
/// @param above     gradient by the result, dense
/// @param used      as the forward gives it
/// @param is_given  the statistics were given, so that they do not depend on x
[[nodiscard]] inline std::array<at::Tensor, 3> norm_backward(const at::Tensor& above, const at::Tensor& x,
                                                             const at::Tensor& used, const NormTensors& tensors,
                                                             bool is_given, const NormPass& pass) {
  const NormPlanes planes(x, pass.each_sample && !is_given);
  at::Tensor to_x = at::empty_like(x);
  at::Tensor sums =
      at::empty({2, planes.groups()}, x.options());  // of d · x̂ and of d: the gradients by weight and bias
  const float* const from = x.data_ptr<float>();
  const float* const gradient = above.data_ptr<float>();
  const float* const means = used.data_ptr<float>();
  const float* const inverse = means + planes.groups();
  float* const out = to_x.data_ptr<float>();
  float* const of_product = sums.data_ptr<float>();
  float* const of_d = of_product + planes.groups();
  const NormKernels& run = norm_kernels();
  planes.in_parallel([&](std::int64_t group) {
    const NormNumbers numbers = numbers_at(tensors, group % planes.channels, pass, means[group], inverse[group]);
    double d = 0;
    double product = 0;
    for_each_piece(tensors, planes, group, numbers,
                   [&](std::int64_t at, const NormPiece& piece, const NormNumbers& here) {
                     const NormSums found = run.sums(from + at, gradient + at, piece, here);
                     d += found.first;
                     product += found.second;
                   });
    of_d[group] = static_cast<float>(d);
    of_product[group] = static_cast<float>(product);
    const auto count_all = static_cast<double>(planes.count());
    const float mean_d = is_given ? 0.0F : static_cast<float>(d / count_all);
    const float mean_product = is_given ? 0.0F : static_cast<float>(product / count_all);
    for_each_piece(tensors, planes, group, numbers,
                   [&](std::int64_t at, const NormPiece& piece, const NormNumbers& here) {
                     run.back(from + at, gradient + at, out + at, piece, here, mean_d, mean_product);
                   });
  });
  if (planes.each_sample) sums = sums.reshape({2, planes.samples, planes.channels}).sum(1);
  return {to_x, tensors.weight.defined() ? sums[0] : at::Tensor(), tensors.bias.defined() ? sums[1] : at::Tensor()};
}

/// The norm with its gradients, for autograd.
struct FusedNormFunction : torch::autograd::Function<FusedNormFunction> {
  using Optional = c10::optional<at::Tensor>;

  /// @return result, and where the statistics are those of the values: mean and inverse deviation [2, groups], and
  ///         variance [groups]
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                                const Optional& weight, const Optional& bias, const Optional& factors,
                                                const Optional& given, const NormPass& pass) {
    const NormTensors tensors{weight.value_or(at::Tensor()), bias.value_or(at::Tensor()),
                              factors.value_or(at::Tensor())};
    const NormResult result = norm_forward(x, tensors, given.value_or(at::Tensor()), pass);
    context->save_for_backward({x, result.used, tensors.weight, tensors.bias, tensors.factors});
    context->saved_data["before"] = pass.before;
    context->saved_data["after"] = pass.after;
    context->saved_data["epsilon"] = pass.epsilon;
    context->saved_data["each_sample"] = pass.each_sample;
    context->saved_data["given"] = given.has_value();
    if (given) return {result.value};
    context->mark_non_differentiable({result.used, result.variance});
    return {result.value, result.used, result.variance};
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "a fused norm has no second derivative; use LibTorchBackend for it");
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const NormPass pass{data["before"].toDouble(), data["after"].toDouble(), data["epsilon"].toDouble(),
                        data["each_sample"].toBool()};
    const auto found = norm_backward(gradients[0].contiguous(), saved[0], saved[1], {saved[2], saved[3], saved[4]},
                                     data["given"].toBool(), pass);
    return {found[0], found[1], found[2], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace detail

/// Whether `fused_norm` can compute it: float32 on the processor, contiguous, [N, C, spatial…] with a value.
[[nodiscard]] inline bool can_fuse_norm(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && x.dim() > 2 && x.numel() > 0 && x.is_contiguous();
}

/// A norm with the activations around it and the dropout of whole channels behind it.
///
/// y = f · a₂(γ · (a₁(x) - μ) / √(σ² + ε) + β) with the activations a₁ and a₂. The statistics are those of a channel over
/// the batch (Ioffe and Szegedy 2015, arXiv:1502.03167), of a channel of each sample (Ulyanov et al. 2016,
/// arXiv:1607.08022), or given. Partial ones are joined as Chan, Golub and LeVeque 1983 do.
///
/// @param x        [N, C, spatial…], of which `can_fuse_norm` is true
/// @param tensors  γ, β and f, float32 and contiguous
/// @param given    μ and 1/√(σ² + ε) as [2, C], or undefined
/// @return value with its gradients; mean and inverse deviation; variance
/// @note once differentiable: asking for gradients of gradients throws. Where a value is infinite, 0 times it makes NaN,
///       also where LibTorch's ReLU makes 0.
[[nodiscard]] inline NormResult fused_norm(const at::Tensor& x, const NormTensors& tensors, const at::Tensor& given,
                                           const NormPass& pass) {
  const auto learns = [](const at::Tensor& one) { return one.defined() && one.requires_grad(); };
  if (!at::GradMode::is_enabled() || !(learns(x) || learns(tensors.weight) || learns(tensors.bias)))
    return detail::norm_forward(x, tensors, given, pass);
  const auto optional = [](const at::Tensor& one) {
    return one.defined() ? c10::optional<at::Tensor>(one) : c10::nullopt;
  };
  const auto all = detail::FusedNormFunction::apply(x, optional(tensors.weight), optional(tensors.bias),
                                                    optional(tensors.factors), optional(given), pass);
  if (given.defined()) return {all[0], given, {}};
  return {all[0], all[1], all[2]};
}

}  // namespace ivado::nn
