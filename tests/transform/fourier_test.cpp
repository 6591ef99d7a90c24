// Fourier transforms of lines of any length against their definition, filters in k-space, and the peak of a spectrum.
#include <algorithm>
#include <cmath>
#include <complex>
#include <ivado/random.hpp>
#include <ivado/transform/fourier.hpp>
#include <numbers>
#include <vector>

#include "../catch.hpp"

using ivado::Shape;
using Complex = std::complex<double>;

namespace {

/// By definition; sign -1 forward, +1 inverse without its 1/n.
std::vector<Complex> by_definition(const std::vector<Complex>& x, int sign) {
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<Complex> out(x.size());
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t j = 0; j < n; ++j)
      out[static_cast<std::size_t>(k)] +=
          x[static_cast<std::size_t>(j)] *
          std::polar(1.0, sign * 2 * std::numbers::pi * static_cast<double>(j * k % n) / static_cast<double>(n));
  return out;
}

std::vector<float> random_values(std::int64_t n, double mean) {
  std::vector<float> out;
  ivado::Rng rng(ivado::RandomKey{static_cast<std::uint64_t>(n)});
  for (std::int64_t i = 0; i < n; ++i) out.push_back(static_cast<float>(rng.normal(mean, 1)));
  return out;
}

}  // namespace

TEST_CASE("LineFourier transforms lines of any length, and back") {
  // 37, 61, 127, 131, 254 and 509 go through Bluestein's algorithm.
  const std::int64_t n = GENERATE(1, 2, 3, 4, 5, 7, 12, 16, 31, 37, 60, 61, 64, 127, 131, 200, 254, 509);
  CAPTURE(n);
  const auto values = random_values(2 * n, 0.5);
  std::vector<std::complex<float>> line;
  for (std::int64_t i = 0; i < n; ++i)
    line.emplace_back(values[static_cast<std::size_t>(2 * i)], values[static_cast<std::size_t>(2 * i + 1)]);
  const auto before = line;
  const auto expected = by_definition({line.begin(), line.end()}, -1);
  ivado::detail::LineFourier fourier(n);
  for (int again = 0; again < 2; ++again) {
    fourier.forward(line.data());
    double largest = 1;
    double off = 0;
    for (std::size_t k = 0; k < line.size(); ++k) {
      largest = std::max(largest, std::abs(expected[k]));
      off = std::max(off, std::abs(Complex(line[k]) - expected[k]));
    }
    CHECK(off < 3e-6 * largest);  // single precision, relative to the largest number
    fourier.inverse(line.data());
    for (std::size_t k = 0; k < line.size(); ++k) CHECK(std::abs(line[k] - before[k]) < 5e-6F);
  }
}

TEST_CASE("even_weights by hand: planes of k-space to frequencies") {
  const auto number = [](std::int64_t plane) { return static_cast<float>(plane); };
  // Planes 0 … 4 hold the frequencies -2 … 2: the mean of plane s and its mirror 4 - s is 2.
  CHECK(ivado::detail::even_weights(5, number) == std::vector<float>{2, 2, 2, 2, 2});
  // Planes 0 … 5 hold -3 … 2; -3 is its own mirror.
  CHECK(ivado::detail::even_weights(6, number) == std::vector<float>{3, 3, 3, 0, 3, 3});
  const auto first = [](std::int64_t plane) { return plane == 1 ? 1.0F : 0.0F; };
  CHECK(ivado::detail::even_weights(6, first) == std::vector<float>{0, 0, 0.5F, 0, 0.5F, 0});
  CHECK(ivado::detail::even_weights(1, number) == std::vector<float>{0});
}

TEST_CASE("filter_spectra is the real part of the weighted spectrum, along any axis") {
  const auto shape = GENERATE(Shape{3, 10, 7}, Shape{1, 1, 37}, Shape{2, 5, 6, 9}, Shape{1, 41, 1});
  const int axis = GENERATE(1, 2);
  CAPTURE(shape.text(), axis);
  const std::int64_t n = shape[axis];
  const auto one = random_values(shape.size(), 1);
  auto two = random_values(shape.size() + 1, -2);
  const auto plane_weight = [](std::int64_t plane) { return static_cast<float>(plane * plane % 5) / 4; };  // not even
  const auto rest = [&](std::int64_t plane) { return 1 - plane_weight(plane); };
  std::vector<float> out(one.size());
  const ivado::detail::LineLayout layout(shape, axis);
  ivado::detail::filter_spectra({one.data(), two.data()},
                                {ivado::detail::even_weights(n, plane_weight), ivado::detail::even_weights(n, rest)},
                                layout, out.data());
  for (std::int64_t line = 0; line < layout.count(); ++line) {
    const auto spectrum = [&](const std::vector<float>& x) {
      std::vector<Complex> values;
      for (std::int64_t i = 0; i < n; ++i)
        values.emplace_back(x[static_cast<std::size_t>(layout.start(line) + i * layout.inner)]);
      return by_definition(values, -1);
    };
    auto sum = spectrum(one);
    const auto other = spectrum(two);
    for (std::int64_t plane = 0; plane < n; ++plane) {
      const auto k = static_cast<std::size_t>((plane - n / 2 + n) % n);
      sum[k] = static_cast<double>(plane_weight(plane)) * sum[k] + static_cast<double>(rest(plane)) * other[k];
    }
    const auto expected = by_definition(sum, 1);
    for (std::int64_t i = 0; i < n; ++i)
      CHECK(out[static_cast<std::size_t>(layout.start(line) + i * layout.inner)] ==
            Approx(expected[static_cast<std::size_t>(i)].real() / static_cast<double>(n)).margin(1e-5));
  }
  // In place, and with weights of 1 nothing changes.
  const auto before = two;
  const auto unchanged = ivado::detail::even_weights(n, [](std::int64_t) { return 1.0F; });
  ivado::detail::filter_spectra({two.data()}, {unchanged}, layout, two.data());
  for (std::size_t i = 0; i < out.size(); ++i) CHECK(two[i] == Approx(before[i]).margin(1e-5));
}

TEST_CASE("spectrum_peak is the largest modulus, with and without a transform") {
  const auto spatial = GENERATE(Shape{6, 7}, Shape{5, 8}, Shape{1, 9}, Shape{3, 4, 5}, Shape{4, 1, 6}, Shape{5, 3, 1});
  const double mean = GENERATE(-8.0, 0.0, 8.0);  // of one sign, of both, of one sign
  CAPTURE(spatial.text(), mean);
  const auto x = random_values(spatial.size(), mean);
  const std::int64_t depth = spatial.rank() == 3 ? spatial[2] : 1;
  double peak = 0;
  for (std::int64_t a = 0; a < spatial[0]; ++a)
    for (std::int64_t b = 0; b < spatial[1]; ++b)
      for (std::int64_t c = 0; c < depth; ++c) {
        Complex sum = 0;
        for (std::int64_t i = 0; i < spatial.size(); ++i) {
          const auto part = [](std::int64_t f, std::int64_t at, std::int64_t n) {
            return static_cast<double>(f * at) / static_cast<double>(n);
          };
          const double turns = part(a, i / depth / spatial[1], spatial[0]) +
                               part(b, i / depth % spatial[1], spatial[1]) + part(c, i % depth, depth);
          sum += static_cast<double>(x[static_cast<std::size_t>(i)]) * std::polar(1.0, -2 * std::numbers::pi * turns);
        }
        peak = std::max(peak, std::abs(sum));
      }
  CHECK(ivado::detail::spectrum_peak(x.data(), spatial) == Approx(peak).epsilon(1e-5));
}
