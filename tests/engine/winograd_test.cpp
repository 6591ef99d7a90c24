// Winograd's convolutions: results and gradients beside the plain sums in double, for all layouts, paddings and numbers of lanes.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ivado/engine/winograd.hpp>
#include <type_traits>
#include <vector>

#include "../catch.hpp"
#include "numbers.hpp"

using namespace ivado;
using namespace ivado::engine;
using test::distance;
using test::noise;

namespace {

enum class Order { blocks, channels_last, plain };

/// A value [samples, channels, depth, height, width] in one of the orders.
struct Value {
  std::int64_t samples, channels, depth, height, width, lanes;
  Order order;
  std::vector<float> data{};

  [[nodiscard]] std::int64_t voxels() const { return depth * height * width; }
  [[nodiscard]] std::int64_t size() const { return samples * channels * voxels(); }
  [[nodiscard]] std::size_t place(std::int64_t n, std::int64_t c, std::int64_t z, std::int64_t y,
                                  std::int64_t x) const {
    const std::int64_t voxel = (z * height + y) * width + x;
    if (order == Order::plain) return static_cast<std::size_t>((n * channels + c) * voxels() + voxel);
    if (order == Order::channels_last) return static_cast<std::size_t>((n * voxels() + voxel) * channels + c);
    return static_cast<std::size_t>((n * channels + c / lanes * lanes) * voxels() + voxel * lanes + c % lanes);
  }
  [[nodiscard]] bool holds(std::int64_t z, std::int64_t y, std::int64_t x) const {
    return z >= 0 && z < depth && y >= 0 && y < height && x >= 0 && x < width;
  }
  template <class T>
  [[nodiscard]] LaneView<T> view(T* to) const {
    if (order == Order::plain) return {to, channels * voxels(), height * width, width, 1, lanes * voxels(), voxels()};
    const std::int64_t column = order == Order::blocks ? lanes : channels;
    const std::int64_t block = order == Order::blocks ? lanes * voxels() : lanes;
    return {to, channels * voxels(), height * width * column, width * column, column, block, 1};
  }
};

struct Case {
  WinogradShape shape;
  std::int64_t lanes = 8;
};

/// All sums of a convolution, one by one: `visit(result, input, weight)` with the place of each.
template <class Visit>
void for_each_product(const WinogradShape& s, const Value& x, const Value& y, const Visit& visit) {
  const std::int64_t deep = s.taps == 1 ? 0 : s.padding;
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (std::int64_t o = 0; o < s.out; ++o)
      for (std::int64_t z = 0; z < y.depth; ++z)
        for (std::int64_t r = 0; r < y.height; ++r)
          for (std::int64_t c = 0; c < y.width; ++c)
            for (std::int64_t i = 0; i < s.in; ++i)
              for (std::int64_t k = 0; k < 9 * s.taps; ++k) {
                const std::int64_t from_z = z + k / 9 - deep;
                const std::int64_t from_r = r + k / 3 % 3 - s.padding;
                const std::int64_t from_c = c + k % 3 - s.padding;
                if (x.holds(from_z, from_r, from_c))
                  visit(y.place(n, o, z, r, c), x.place(n, i, from_z, from_r, from_c),
                        static_cast<std::size_t>((o * s.in + i) * 9 * s.taps + k));
              }
}

WeightView<float> dense(std::vector<float>& weights, const WinogradShape& s) {
  return {weights.data(), s.in * 9 * s.taps, 9 * s.taps, 9, 3, 1};
}

Value input_of(const Case& one, Order order) {
  const auto& s = one.shape;
  return {s.samples, s.in, s.depth, s.height, s.width, one.lanes, order};
}
Value result_of(const Case& one, Order order) {
  const auto& s = one.shape;
  return {s.samples, s.out, s.out_depth(), s.out_height(), s.out_width(), one.lanes, order};
}

#if defined(__x86_64__) && defined(__GNUC__)
// Sixteen lanes as pairs of vectors: the loops for AVX-512, on processors that are without.
using engine::detail::WinogradLoops;
IVADO_WINOGRAD_KERNELS(PairedWinograd, "avx2,fma", 16, 1)
#endif

/// The kernels for so many lanes; null where this processor has none.
const WinogradKernels* kernels_for(std::int64_t lanes) {
  if (const auto* const found = winograd_kernels(lanes)) return found;
#if defined(__x86_64__) && defined(__GNUC__)
  static const WinogradKernels paired = PairedWinograd::kernels();
  if (lanes == 16 && has_avx2()) return &paired;
#endif
  return nullptr;
}

bool can_run(std::int64_t lanes) {
  if (kernels_for(lanes) != nullptr) return true;
  WARN("skipped: this processor has no AVX2");
  return false;
}

}  // namespace

TEST_CASE("A gradient by weights is summed up in strips where their sums are small and the tiles many", "[unit]") {
  using engine::detail::winograd_parts;
  CHECK(winograd_parts({.samples = 1, .in = 8, .out = 8, .height = 181, .width = 178}).strips == 4);
  CHECK(winograd_parts({.samples = 1, .in = 8, .out = 8, .depth = 24, .height = 27, .width = 28, .taps = 3}).strips ==
        4);
  CHECK(winograd_parts({.samples = 1, .in = 16, .out = 16, .height = 140, .width = 128}).strips == 4);
  CHECK(winograd_parts({.samples = 18, .in = 64, .out = 64, .height = 128, .width = 128}).strips == 16);
  CHECK(winograd_parts({.samples = 18, .in = 512, .out = 512, .height = 32, .width = 32}).strips == 1);
  CHECK(winograd_parts({.samples = 1, .in = 8, .out = 8, .height = 16, .width = 16}).strips == 1);
}

TEST_CASE("Winograd's convolutions and their gradients are the plain sums", "[unit]") {
  // The last two have gradients in several strips.
  // Tiles that the image cuts off on all sides, more tiles than a task takes, odd numbers of vectors, slices in several runs.
  const auto one =
      GENERATE(Case{{.samples = 2, .in = 8, .out = 24, .height = 13, .width = 22}},
               Case{{.samples = 1, .in = 24, .out = 16, .height = 40, .width = 37}},
               Case{{.samples = 3, .in = 16, .out = 8, .height = 9, .width = 6, .padding = 0}},
               Case{{.samples = 2, .in = 8, .out = 8, .height = 5, .width = 12, .padding = 2}},
               Case{{.samples = 2, .in = 16, .out = 32, .height = 17, .width = 11}, 16},
               Case{{.samples = 2, .in = 8, .out = 16, .depth = 5, .height = 9, .width = 10, .taps = 3}},
               Case{{.samples = 1, .in = 16, .out = 8, .depth = 19, .height = 8, .width = 8, .taps = 3}},
               Case{{.samples = 1, .in = 8, .out = 8, .depth = 6, .height = 7, .width = 9, .taps = 3, .padding = 0}},
               Case{{.samples = 1, .in = 8, .out = 8, .depth = 1, .height = 8, .width = 9, .taps = 3, .padding = 2}},
               Case{{.samples = 1, .in = 16, .out = 16, .depth = 4, .height = 6, .width = 7, .taps = 3}, 16},
               Case{{.samples = 1, .in = 8, .out = 8, .height = 181, .width = 178}},
               Case{{.samples = 1, .in = 8, .out = 8, .depth = 24, .height = 27, .width = 28, .taps = 3}});
  const Order order = GENERATE(Order::blocks, Order::channels_last, Order::plain);
  if (!can_run(one.lanes)) return;
  const WinogradShape& s = one.shape;
  INFO(s.samples << "×" << s.in << "→" << s.out << ", " << s.depth << "×" << s.height << "×" << s.width << ", taps "
                 << s.taps << ", padding " << s.padding << ", lanes " << one.lanes << ", order "
                 << static_cast<int>(order));
  Value x = input_of(one, order);
  Value y = result_of(one, order);
  x.data = noise(x.size(), 1);
  const std::vector<float> by_y = noise(y.size(), 2);
  std::vector<float> weights = noise(s.out * s.in * 9 * s.taps, 3);
  const std::vector<float> bias = noise(s.out, 4);

  std::vector<double> sums(static_cast<std::size_t>(y.size()));
  std::vector<double> by_x(x.data.size());
  std::vector<double> by_weights(weights.size());
  std::vector<double> by_bias(bias.size());
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (std::int64_t o = 0; o < s.out; ++o)
      for (std::int64_t v = 0; v < y.voxels(); ++v) {
        const std::size_t at = y.place(n, o, v / (y.height * y.width), v / y.width % y.height, v % y.width);
        sums[at] = static_cast<double>(bias[static_cast<std::size_t>(o)]);
        by_bias[static_cast<std::size_t>(o)] += static_cast<double>(by_y[at]);
      }
  for_each_product(s, x, y, [&](std::size_t to, std::size_t from, std::size_t w) {
    sums[to] += static_cast<double>(x.data[from]) * static_cast<double>(weights[w]);
    by_x[from] += static_cast<double>(by_y[to]) * static_cast<double>(weights[w]);
    by_weights[w] += static_cast<double>(by_y[to]) * static_cast<double>(x.data[from]);
  });

  std::vector<std::vector<float>> of_one_thread;
  for (const int threads : {1, 2, 3}) {
    const ThreadScope scope(threads);
    LineBuffer packed;
    const WeightView<float> view = dense(weights, s);
    std::vector<float> result(sums.size());
    winograd_pack(s, *kernels_for(one.lanes), view, s.in, s.out, packed);
    winograd_convolve(s, *kernels_for(one.lanes), x.view<const float>(x.data.data()), packed, {.bias = bias.data()},
                      y.view(result.data()));
    const WinogradShape turned = s.turned();
    std::vector<float> input_gradient(x.data.size());
    winograd_pack(turned, *kernels_for(one.lanes), view.turned(s.taps), s.out, s.in, packed);
    winograd_convolve(turned, *kernels_for(one.lanes), y.view<const float>(by_y.data()), packed, {},
                      x.view(input_gradient.data()));
    std::vector<float> weight_gradient(weights.size());
    std::vector<float> bias_gradient(bias.size());
    winograd_weight_gradient(s, *kernels_for(one.lanes), x.view<const float>(x.data.data()),
                             y.view<const float>(by_y.data()), s.in, s.out, dense(weight_gradient, s),
                             bias_gradient.data());
    CHECK(distance(result, sums) < 2e-6);
    CHECK(distance(input_gradient, by_x) < 2e-6);
    CHECK(distance(weight_gradient, by_weights) < 3e-6);
    CHECK(distance(bias_gradient, by_bias) < 2e-6);
    const std::vector<std::vector<float>> all{result, input_gradient, weight_gradient, bias_gradient};
    if (of_one_thread.empty()) of_one_thread = all;
    CHECK(all == of_one_thread);  // the same bits for any number of threads
  }
}

TEST_CASE("Products in bf16 are off by as much as their rounding, and the sums are not", "[unit]") {
  const WinogradKernels* const kernels = winograd_bf16_kernels();
  if (kernels == nullptr) {
    WARN("skipped: this processor does not multiply bf16");
    return;
  }
  // An odd number of rows in a sum of products; more channels than are brought into words at once; several strips.
  const auto one =
      GENERATE(Case{{.samples = 1, .in = 32, .out = 48, .height = 20, .width = 28}, 16},
               Case{{.samples = 1, .in = 144, .out = 16, .height = 9, .width = 13}, 16},
               Case{{.samples = 1, .in = 16, .out = 144, .height = 9, .width = 13}, 16},
               Case{{.samples = 1, .in = 16, .out = 16, .height = 140, .width = 128}, 16},
               Case{{.samples = 1, .in = 16, .out = 32, .depth = 5, .height = 12, .width = 8, .taps = 3}, 16});
  const Order order = GENERATE(Order::blocks, Order::plain);
  const WinogradShape& s = one.shape;
  Value x = input_of(one, order);
  Value y = result_of(one, order);
  x.data = noise(x.size(), 1);
  const std::vector<float> by_y = noise(y.size(), 2);
  std::vector<float> weights = noise(s.out * s.in * 9 * s.taps, 3);
  std::vector<double> sums(static_cast<std::size_t>(y.size()));
  std::vector<double> by_x(x.data.size());
  std::vector<double> by_weights(weights.size());
  for_each_product(s, x, y, [&](std::size_t to, std::size_t from, std::size_t w) {
    sums[to] += static_cast<double>(x.data[from]) * static_cast<double>(weights[w]);
    by_x[from] += static_cast<double>(by_y[to]) * static_cast<double>(weights[w]);
    by_weights[w] += static_cast<double>(by_y[to]) * static_cast<double>(x.data[from]);
  });
  std::vector<std::vector<float>> of_one_thread;
  for (const int threads : {1, 2}) {
    const ThreadScope scope(threads);
    LineBuffer packed;
    const WeightView<float> view = dense(weights, s);
    std::vector<float> result(sums.size());
    winograd_pack(s, *kernels, view, s.in, s.out, packed);
    winograd_convolve(s, *kernels, x.view<const float>(x.data.data()), packed, {}, y.view(result.data()));
    std::vector<float> input_gradient(by_x.size());
    const WinogradShape turned = s.turned();
    winograd_pack(turned, *kernels, WeightView<const float>(view).turned(s.taps), turned.in, turned.out, packed);
    winograd_convolve(turned, *kernels, y.view<const float>(by_y.data()), packed, {}, x.view(input_gradient.data()));
    std::vector<float> weight_gradient(weights.size());
    winograd_weight_gradient(s, *kernels, x.view<const float>(x.data.data()), y.view<const float>(by_y.data()), s.in,
                             s.out, dense(weight_gradient, s), nullptr);
    // Rounding by 2^-9, several times over at the points: 0.009 of the size for numbers that have no pattern.
    for (const double off :
         {distance(result, sums), distance(input_gradient, by_x), distance(weight_gradient, by_weights)}) {
      CHECK(off < 0.015);
      CHECK(off > 1e-4);  // else it was float32 after all
    }
    const std::vector<std::vector<float>> all{result, input_gradient, weight_gradient};
    if (of_one_thread.empty()) of_one_thread = all;
    CHECK(all == of_one_thread);
  }
}

TEST_CASE("What follows a convolution by Winograd is done in its order, also at the edges of tiles", "[unit]") {
  const Order order = GENERATE(Order::blocks, Order::plain);
  const Case one{{.samples = 2, .in = 8, .out = 16, .height = 10, .width = 7}};
  if (!can_run(one.lanes)) return;
  const WinogradShape& s = one.shape;
  Value x = input_of(one, order);
  const Value y = result_of(one, order);
  x.data = noise(x.size(), 1);
  std::vector<float> weights = noise(s.out * s.in * 9, 2);
  const std::vector<float> scale = noise(s.out, 3);
  const std::vector<float> shift = noise(s.out, 4);
  const std::vector<float> addend = noise(y.size(), 5);
  LineBuffer packed;
  winograd_pack(s, *kernels_for(one.lanes), dense(weights, s), s.in, s.out, packed);
  std::vector<float> bare(static_cast<std::size_t>(y.size()));
  winograd_convolve(s, *kernels_for(one.lanes), x.view<const float>(x.data.data()), packed, {}, y.view(bare.data()));
  using Kind = WinogradFinish::Kind;
  const WinogradFinish finish{.bias = shift.data(),
                              .steps = {{.kind = Kind::leaky, .slope = 0.25F},
                                        {.kind = Kind::affine, .scale = scale.data(), .shift = shift.data()},
                                        {.kind = Kind::add, .addend = y.view<const float>(addend.data())},
                                        {.kind = Kind::leaky}}};
  std::vector<float> found(bare.size());
  winograd_convolve(s, *kernels_for(one.lanes), x.view<const float>(x.data.data()), packed, finish,
                    y.view(found.data()));
  std::vector<double> expected(bare.size());
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (std::int64_t o = 0; o < s.out; ++o)
      for (std::int64_t v = 0; v < y.voxels(); ++v) {
        const std::size_t at = y.place(n, o, 0, v / y.width, v % y.width);
        const auto c = static_cast<std::size_t>(o);
        double value = static_cast<double>(bare[at]) + static_cast<double>(shift[c]);
        value = value > 0 ? value : 0.25 * value;
        value = value * static_cast<double>(scale[c]) + static_cast<double>(shift[c]) + static_cast<double>(addend[at]);
        expected[at] = std::max(value, 0.0);
      }
  CHECK(distance(found, expected) < 1e-6);
}

TEST_CASE("Channels that fill a vector up are zeros, and weights may lie in any order", "[unit]") {
  const Case one{{.samples = 1, .in = 8, .out = 16, .height = 8, .width = 9}};
  if (!can_run(one.lanes)) return;
  const WinogradShape& s = one.shape;
  constexpr std::int64_t real_in = 5;
  constexpr std::int64_t real_out = 11;
  Value x = input_of(one, Order::blocks);
  const Value y = result_of(one, Order::blocks);
  x.data = noise(x.size(), 1);
  // [row, column, in, out], without the channels that are not there.
  std::vector<float> stored = noise(9 * real_in * real_out, 2);
  const WeightView<float> view{stored.data(), 1, real_out, 0, 3 * real_in * real_out, real_in * real_out};
  std::vector<float> weights(static_cast<std::size_t>(s.out * s.in * 9));
  for (std::int64_t o = 0; o < real_out; ++o)
    for (std::int64_t i = 0; i < real_in; ++i)
      for (std::int64_t k = 0; k < 9; ++k)
        weights[static_cast<std::size_t>((o * s.in + i) * 9 + k)] =
            stored[static_cast<std::size_t>((k * real_in + i) * real_out + o)];
  LineBuffer packed;
  winograd_pack(s, *kernels_for(one.lanes), view, real_in, real_out, packed);
  std::vector<float> found(static_cast<std::size_t>(y.size()), 7);
  winograd_convolve(s, *kernels_for(one.lanes), x.view<const float>(x.data.data()), packed, {}, y.view(found.data()));
  std::vector<double> expected(found.size());
  for_each_product(s, x, y, [&](std::size_t to, std::size_t from, std::size_t w) {
    expected[to] += static_cast<double>(x.data[from]) * static_cast<double>(weights[w]);
  });
  CHECK(distance(found, expected) < 2e-6);
  for (std::int64_t o = real_out; o < s.out; ++o) CHECK(found[y.place(0, o, 0, 3, 4)] == 0);

  std::vector<float> gradient(stored.size(), 7);
  WeightView<float> to = view;
  to.data = gradient.data();
  const std::vector<float> by_y = noise(y.size(), 3);
  winograd_weight_gradient(s, *kernels_for(one.lanes), x.view<const float>(x.data.data()),
                           y.view<const float>(by_y.data()), real_in, real_out, to, nullptr);
  std::vector<double> of_all(weights.size());
  for_each_product(s, x, y, [&](std::size_t result, std::size_t from, std::size_t w) {
    of_all[w] += static_cast<double>(by_y[result]) * static_cast<double>(x.data[from]);
  });
  std::vector<double> of_stored(stored.size());
  for (std::int64_t o = 0; o < real_out; ++o)
    for (std::int64_t i = 0; i < real_in; ++i)
      for (std::int64_t k = 0; k < 9; ++k)
        of_stored[static_cast<std::size_t>((k * real_in + i) * real_out + o)] =
            of_all[static_cast<std::size_t>((o * s.in + i) * 9 + k)];
  CHECK(distance(gradient, of_stored) < 3e-6);
}

TEST_CASE("Images that fill their tiles badly or have few of them are left to others", "[unit]") {
  const auto pays = [](std::int64_t samples, std::int64_t height, std::int64_t width, bool packs_each_time = false) {
    return is_winograd_faster({.samples = samples, .in = 8, .out = 8, .height = height, .width = width},
                              packs_each_time);
  };
  CHECK(pays(1, 128, 128));
  CHECK(pays(1, 128, 128, true));
  CHECK(pays(12, 4, 4));
  CHECK(pays(8, 7, 7));
  CHECK_FALSE(pays(8, 5, 5));
  CHECK_FALSE(pays(99, 2, 2));
  CHECK_FALSE(pays(2, 8, 8));
  CHECK(pays(5, 8, 8));
  CHECK_FALSE(pays(5, 8, 8, true));
  CHECK_FALSE(is_winograd_faster({.samples = 9, .in = 8, .out = 8, .height = 2, .width = 99, .padding = 0}, false));
}
