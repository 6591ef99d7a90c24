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
#include <vector>

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
inline constexpr std::int64_t small_plane = 256;        // up to here the planes of a group are put side by side

/// Planes [N, C, elements] of a contiguous tensor, in groups that share statistics: a channel of all samples, or of each.
struct NormPlanes {
  std::int64_t samples;
  std::int64_t channels;
  std::int64_t elements;
  bool each_sample;

  /// Planes of so few values that a group is better put aside.
  [[nodiscard]] bool are_small() const noexcept { return !each_sample && samples > 1 && elements <= small_plane; }

  NormPlanes(const at::Tensor& x, bool apart)
      : samples(x.size(0)), channels(x.size(1)), elements(x.numel() / (x.size(0) * x.size(1))), each_sample(apart) {}
  [[nodiscard]] std::int64_t groups() const noexcept { return each_sample ? samples * channels : channels; }
  [[nodiscard]] std::int64_t count() const noexcept { return each_sample ? elements : samples * elements; }
  /// Calls `visit(offset, channel, sample)` for each plane of a group.
  template <class Visit>
  void for_each(std::int64_t group, const Visit& visit) const {
    const std::int64_t channel = group % channels;
    if (each_sample) return visit(group * elements, channel, group / channels);
    for (std::int64_t n = 0; n < samples; ++n) visit((n * channels + channel) * elements, channel, n);
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

/// A group of planes as the loops see it: where it lies, or in memory of its own as a single plane. Small planes far from
/// each other would be worked on in pieces that are mostly overhead.
class NormGroup {
 public:
  /// @param aside  in memory of its own
  NormGroup(const NormPlanes& planes, std::int64_t group, bool aside)
      : all_(&planes), seen_(planes), number_(group), group_(aside ? 0 : group), aside_(aside) {
    if (!aside) return;
    seen_.elements = planes.count();
    seen_.samples = seen_.channels = 1;
  }
  [[nodiscard]] const NormPlanes& planes() const noexcept { return seen_; }
  [[nodiscard]] std::int64_t group() const noexcept { return group_; }

  /// The values of a tensor, by way of `room` where they are put aside.
  [[nodiscard]] const float* read(const float* tensor, std::vector<float>& room) const {
    if (!aside_) return tensor;
    float* const to = write(nullptr, room);
    all_->for_each(number_, [&](std::int64_t offset, std::int64_t, std::int64_t n) {
      std::copy_n(tensor + offset, all_->elements, to + n * all_->elements);
    });
    return to;
  }
  /// Where the values of a tensor are written.
  [[nodiscard]] float* write(float* tensor, std::vector<float>& room) const {
    if (!aside_) return tensor;
    const auto count = static_cast<std::size_t>(all_->count());
    if (room.size() < count) room.resize(count);
    return room.data();
  }
  /// Brings what was written into the tensor.
  void finish(const float* written, float* tensor) const {
    if (!aside_) return;
    all_->for_each(number_, [&](std::int64_t offset, std::int64_t, std::int64_t n) {
      std::copy_n(written + n * all_->elements, all_->elements, tensor + offset);
    });
  }

 private:
  const NormPlanes* all_;
  NormPlanes seen_;
  std::int64_t number_;
  std::int64_t group_;
  bool aside_;
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

  /// Mean and sum of squared deviations of the activated values, by two passes of which the second corrects the first
  /// (Chan, Golub and LeVeque 1983).
  [[gnu::always_inline]] static NormSums moments(const float* x, std::int64_t count, float before) noexcept {
    const std::int64_t whole = count - count % (2 * width);
    Floats first{};
    Floats second{};
    Floats a;
    Floats b;
    for (std::int64_t i = 0; i < whole; i += 2 * width) {
      load(x + i, a);
      load(x + i + width, b);
      activate(a, before);
      activate(b, before);
      first += a;
      second += b;
    }
    float sum = total(first, second);
    for (std::int64_t i = whole; i < count; ++i) {
      float value = x[i];
      activate(value, before);
      sum += value;
    }
    const float about = sum / static_cast<float>(count);
    first = second = Floats{};
    Floats square{};
    Floats square2{};
    for (std::int64_t i = 0; i < whole; i += 2 * width) {
      load(x + i, a);
      load(x + i + width, b);
      activate(a, before);
      activate(b, before);
      a = a - about;
      b = b - about;
      first += a;
      second += b;
      square += a * a;
      square2 += b * b;
    }
    double rest = static_cast<double>(total(first, second));  // what rounding left of the mean
    double squares = static_cast<double>(total(square, square2));
    for (std::int64_t i = whole; i < count; ++i) {
      float value = x[i];
      activate(value, before);
      value -= about;
      rest += static_cast<double>(value);
      squares += static_cast<double>(value * value);
    }
    rest /= static_cast<double>(count);
    return {static_cast<double>(about) + rest, squares - rest * rest * static_cast<double>(count)};
  }

  /// The result.
  [[gnu::always_inline]] static void apply(const float* x, float* y, std::int64_t count,
                                           const NormNumbers& n) noexcept {
    const std::int64_t whole = count - count % width;
    Floats a;
    for (std::int64_t i = 0; i < whole; i += width) {
      load(x + i, a);
      to_result(a, n);
      store(a, y + i);
    }
    for (std::int64_t i = whole; i < count; ++i) {
      y[i] = x[i];
      to_result(y[i], n);
    }
  }

  /// Sums of the gradient d behind the norm, and of d · x̂.
  [[gnu::always_inline]] static NormSums sums(const float* x, const float* g, std::int64_t count,
                                              const NormNumbers& n) noexcept {
    const std::int64_t whole = count - count % (2 * width);
    Floats of_d{};
    Floats of_d2{};
    Floats product{};
    Floats product2{};
    Floats a;
    Floats b;
    Floats d;
    Floats d2;
    for (std::int64_t i = 0; i < whole; i += 2 * width) {
      load(x + i, a);
      load(x + i + width, b);
      load(g + i, d);
      load(g + i + width, d2);
      to_norm(a, d, n);
      to_norm(b, d2, n);
      of_d += d;
      of_d2 += d2;
      product += d * a;
      product2 += d2 * b;
    }
    NormSums all{static_cast<double>(total(of_d, of_d2)), static_cast<double>(total(product, product2))};
    for (std::int64_t i = whole; i < count; ++i) {
      float value = x[i];
      float gradient = g[i];
      to_norm(value, gradient, n);
      all.first += static_cast<double>(gradient);
      all.second += static_cast<double>(gradient * value);
    }
    return all;
  }

  /// The gradient by x, given the means of d and of d · x̂ over the group.
  [[gnu::always_inline]] static void back(const float* x, const float* g, float* out, std::int64_t count,
                                          const NormNumbers& n, float mean_d, float mean_product) noexcept {
    const float gain = n.gamma * n.inverse;
    const std::int64_t whole = count - count % width;
    Floats a;
    Floats d;
    Floats at_input;
    for (std::int64_t i = 0; i < whole; i += width) {
      load(x + i, a);
      load(g + i, d);
      at_input = a;
      to_norm(a, d, n);
      d = (d - mean_d - a * mean_product) * gain;
      times_slope(d, at_input, n.before);
      store(d, out + i);
    }
    for (std::int64_t i = whole; i < count; ++i) {
      float value = x[i];
      float gradient = g[i];
      to_norm(value, gradient, n);
      gradient = (gradient - mean_d - value * mean_product) * gain;
      times_slope(gradient, x[i], n.before);
      out[i] = gradient;
    }
  }
};

/// The loops in the form for this processor.
struct NormKernels {
  NormSums (*moments)(const float*, std::int64_t, float) noexcept;
  void (*apply)(const float*, float*, std::int64_t, const NormNumbers&) noexcept;
  NormSums (*sums)(const float*, const float*, std::int64_t, const NormNumbers&) noexcept;
  void (*back)(const float*, const float*, float*, std::int64_t, const NormNumbers&, float, float) noexcept;
};

/// With vectors that every processor has.
struct PlainNorm {
  using Loops = NormLoops<16>;
  static NormSums moments(const float* x, std::int64_t count, float before) noexcept {
    return Loops::moments(x, count, before);
  }
  static void apply(const float* x, float* y, std::int64_t count, const NormNumbers& n) noexcept {
    Loops::apply(x, y, count, n);
  }
  static NormSums sums(const float* x, const float* g, std::int64_t count, const NormNumbers& n) noexcept {
    return Loops::sums(x, g, count, n);
  }
  static void back(const float* x, const float* g, float* out, std::int64_t count, const NormNumbers& n, float mean_d,
                   float mean_product) noexcept {
    Loops::back(x, g, out, count, n, mean_d, mean_product);
  }
};

#if defined(__x86_64__) && defined(__GNUC__)
/// With those of AVX2, compiled for it whatever the rest is compiled for.
struct Avx2Norm {
  using Loops = NormLoops<32>;
  [[gnu::target("avx2")]] static NormSums moments(const float* x, std::int64_t count, float before) noexcept {
    return Loops::moments(x, count, before);
  }
  [[gnu::target("avx2")]] static void apply(const float* x, float* y, std::int64_t count,
                                            const NormNumbers& n) noexcept {
    Loops::apply(x, y, count, n);
  }
  [[gnu::target("avx2")]] static NormSums sums(const float* x, const float* g, std::int64_t count,
                                               const NormNumbers& n) noexcept {
    return Loops::sums(x, g, count, n);
  }
  [[gnu::target("avx2")]] static void back(const float* x, const float* g, float* out, std::int64_t count,
                                           const NormNumbers& n, float mean_d, float mean_product) noexcept {
    Loops::back(x, g, out, count, n, mean_d, mean_product);
  }
};
#endif

/// Chosen once.
[[nodiscard]] inline const NormKernels& norm_kernels() {
  static const NormKernels kernels = [] {
    const auto of = []<class Kind>(Kind) {
      return NormKernels{&Kind::moments, &Kind::apply, &Kind::sums, &Kind::back};
    };
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx2")) return of(Avx2Norm{});
#endif
    return of(PlainNorm{});
  }();
  return kernels;
}

/// Calls `work(offset, count)` for the pieces of a plane.
template <class Work>
void for_each_piece(std::int64_t offset, std::int64_t elements, const Work& work) {
  for (std::int64_t at = 0; at < elements; at += norm_piece) work(offset + at, std::min(norm_piece, elements - at));
}

/// @return moments of the activated values of a group
[[nodiscard]] inline GroupMoments moments(const NormPlanes& planes, std::int64_t group, const float* x, float before) {
  GroupMoments all;
  const NormKernels& run = norm_kernels();
  planes.for_each(group, [&](std::int64_t offset, std::int64_t, std::int64_t) {
    for_each_piece(offset, planes.elements, [&](std::int64_t at, std::int64_t count) {
      const NormSums found = run.moments(x + at, count, before);
      all.add(found.first, found.second, count);
    });
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

/// Calls `work(offset, count, numbers)` for the pieces of a group.
template <class Work>
void for_each_piece(const NormTensors& tensors, const NormGroup& part, NormNumbers numbers, const Work& work) {
  const float* const f = numbers_of(tensors.factors);
  const NormPlanes& planes = part.planes();
  planes.for_each(part.group(), [&](std::int64_t offset, std::int64_t channel, std::int64_t n) {
    numbers.factor = f != nullptr ? f[n * planes.channels + channel] : 1.0F;
    for_each_piece(offset, planes.elements, [&](std::int64_t at, std::int64_t count) { work(at, count, numbers); });
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
  const bool aside = planes.are_small() && !tensors.factors.defined();
  planes.in_parallel([&](std::int64_t group) {
    static thread_local std::vector<float> room;
    const NormGroup part(planes, group, aside);
    const float* const in = part.read(from, room);
    float* const out = part.write(to, room);  // the same memory where values are put aside: each is read before
    if (variances != nullptr) {
      const GroupMoments found = moments(part.planes(), part.group(), in, static_cast<float>(pass.before));
      const double variance = found.squares / static_cast<double>(found.count);
      means[group] = static_cast<float>(found.mean);
      inverse[group] = static_cast<float>(1 / std::sqrt(variance + pass.epsilon));
      variances[group] = static_cast<float>(variance);
    }
    const NormNumbers numbers = numbers_at(tensors, group % planes.channels, pass, means[group], inverse[group]);
    for_each_piece(tensors, part, numbers, [&](std::int64_t at, std::int64_t count, const NormNumbers& here) {
      run.apply(in + at, out + at, count, here);
    });
    part.finish(out, to);
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
  const bool aside = planes.are_small() && !tensors.factors.defined();
  planes.in_parallel([&](std::int64_t group) {
    static thread_local std::vector<float> room_x;
    static thread_local std::vector<float> room_gradient;
    const NormGroup part(planes, group, aside);
    const float* const in = part.read(from, room_x);
    const float* const above_in = part.read(gradient, room_gradient);
    float* const result = part.write(out, room_x);  // the same memory where values are put aside: each is read before
    const NormNumbers numbers = numbers_at(tensors, group % planes.channels, pass, means[group], inverse[group]);
    double d = 0;
    double product = 0;
    for_each_piece(tensors, part, numbers, [&](std::int64_t at, std::int64_t count, const NormNumbers& here) {
      const NormSums found = run.sums(in + at, above_in + at, count, here);
      d += found.first;
      product += found.second;
    });
    of_d[group] = static_cast<float>(d);
    of_product[group] = static_cast<float>(product);
    const auto count_all = static_cast<double>(planes.count());
    const float mean_d = is_given ? 0.0F : static_cast<float>(d / count_all);
    const float mean_product = is_given ? 0.0F : static_cast<float>(product / count_all);
    for_each_piece(tensors, part, numbers, [&](std::int64_t at, std::int64_t count, const NormNumbers& here) {
      run.back(in + at, above_in + at, result + at, count, here, mean_d, mean_product);
    });
    part.finish(result, out);
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
