// Convolutions with kernels of one voxel: results and gradients beside the plain sums in double.
#include <cmath>
#include <cstdint>
#include <ivado/engine/pointwise_convolution.hpp>
#include <vector>

#include "../catch.hpp"
#include "numbers.hpp"

using namespace ivado;
using namespace ivado::engine;
using test::distance;
using test::noise;

TEST_CASE("Convolutions with kernels of one voxel and their gradients are the plain sums", "[unit]") {
  // Panels that voxels fill, that they do not, and of several samples; rows in all remainders, several tasks; narrow and wide vectors.
  const auto s = GENERATE(PointwiseShape{2, 8, 16, 16}, PointwiseShape{3, 24, 8, 5}, PointwiseShape{1, 64, 40, 133},
                          PointwiseShape{2, 104, 32, 64}, PointwiseShape{5, 16, 24, 1}, PointwiseShape{2, 8, 8, 1500},
                          PointwiseShape{5, 32, 48, 7}, PointwiseShape{2, 16, 64, 133}, PointwiseShape{3, 112, 32, 64});
  const bool has_bias = GENERATE(false, true);
  if (!has_pointwise(s.in, s.out)) {
    WARN("skipped: this processor has no AVX2");
    return;
  }
  INFO(s.samples << "×" << s.in << "→" << s.out << ", " << s.voxels << " voxels");
  const std::vector<float> x = noise(s.samples * s.in * s.voxels, 1);
  const std::vector<float> by_y = noise(s.samples * s.out * s.voxels, 2);
  const std::vector<float> w = noise(s.out * s.in, 3);
  const std::vector<float> bias = noise(s.out, 4);
  std::vector<float> turned(w.size());
  std::vector<double> y(by_y.size());
  std::vector<double> by_x(x.size());
  std::vector<double> by_w(w.size());
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (std::int64_t o = 0; o < s.out; ++o)
      for (std::int64_t v = 0; v < s.voxels; ++v) {
        const auto to = static_cast<std::size_t>((n * s.out + o) * s.voxels + v);
        if (has_bias) y[to] = static_cast<double>(bias[static_cast<std::size_t>(o)]);
        for (std::int64_t i = 0; i < s.in; ++i) {
          const auto from = static_cast<std::size_t>((n * s.in + i) * s.voxels + v);
          const auto at = static_cast<std::size_t>(o * s.in + i);
          turned[static_cast<std::size_t>(i * s.out + o)] = w[at];
          y[to] += static_cast<double>(w[at]) * static_cast<double>(x[from]);
          by_x[from] += static_cast<double>(w[at]) * static_cast<double>(by_y[to]);
          by_w[at] += static_cast<double>(x[from]) * static_cast<double>(by_y[to]);
        }
      }
  std::vector<std::vector<float>> of_one_thread;
  for (const int threads : {1, 2, 3}) {
    const ThreadScope scope(threads);
    std::vector<float> result(y.size(), 7);
    std::vector<float> input_gradient(x.size(), 7);
    std::vector<float> weight_gradient(w.size(), 7);
    pointwise_convolve(s, x.data(), w.data(), has_bias ? bias.data() : nullptr, result.data());
    pointwise_convolve({s.samples, s.out, s.in, s.voxels}, by_y.data(), turned.data(), nullptr, input_gradient.data());
    pointwise_weight_gradient(s, x.data(), by_y.data(), weight_gradient.data());
    CHECK(distance(result, y) < 1e-6);
    CHECK(distance(input_gradient, by_x) < 1e-6);
    CHECK(distance(weight_gradient, by_w) < 1e-6);
    const std::vector<std::vector<float>> all{result, input_gradient, weight_gradient};
    if (of_one_thread.empty()) of_one_thread = all;
    CHECK(all == of_one_thread);
  }
}

TEST_CASE("Unfolded, each result stands above the values that it depends on", "[unit]") {
  const auto s = GENERATE(UnfoldShape{1, 9, 7, 3, 1, 1}, UnfoldShape{2, 8, 11, 7, 2, 3}, UnfoldShape{3, 6, 5, 3, 2, 0},
                          UnfoldShape{1, 3, 2, 3, 1, 2}, UnfoldShape{1, 2, 2, 7, 3, 4});
  constexpr std::int64_t samples = 2;
  const std::vector<float> x = noise(samples * s.channels * s.height * s.width, 1);
  const std::int64_t results = s.out_height() * s.out_width();
  std::vector<float> found(static_cast<std::size_t>(samples * s.rows() * results), 7);
  const ThreadScope scope(2);
  unfold(s, samples, x.data(), found.data());
  bool same = true;
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t row = 0; row < s.rows(); ++row)
      for (std::int64_t k = 0; k < results; ++k) {
        const std::int64_t channel = row / (s.kernel * s.kernel);
        const std::int64_t r = k / s.out_width() * s.stride + row / s.kernel % s.kernel - s.padding;
        const std::int64_t c = k % s.out_width() * s.stride + row % s.kernel - s.padding;
        const bool is_there = channel < s.channels && r >= 0 && r < s.height && c >= 0 && c < s.width;
        const float expected =
            is_there ? x[static_cast<std::size_t>(((n * s.channels + channel) * s.height + r) * s.width + c)] : 0;
        same = same && found[static_cast<std::size_t>((n * s.rows() + row) * results + k)] == expected;
      }
  CHECK(same);
}
