// The median that benchmarks report.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

/// The middle of some values, or the mean of the two in the middle; there must be one at least.
[[nodiscard]] inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}
