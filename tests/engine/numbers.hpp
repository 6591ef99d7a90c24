// Numbers for the tests of kernels, and how far results are from sums in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ivado/random.hpp>
#include <vector>

#include "../catch.hpp"

namespace test {

/// Numbers without a pattern, of mean 0.2 and standard deviation 1.
inline std::vector<float> noise(std::int64_t count, std::uint32_t number) {
  std::vector<float> out(static_cast<std::size_t>(count));
  ivado::Rng rng(ivado::RandomKey{11, 0, number, 0});
  for (auto& value : out) value = static_cast<float>(rng.normal(0.2, 1));
  return out;
}

/// |a - b| / |b|, as Euclidean norms.
inline double distance(const std::vector<float>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double apart = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    apart += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += b[i] * b[i];
  }
  REQUIRE(size > 0);
  return std::sqrt(apart / size);
}

}  // namespace test
