// Tests of whether two models differ: Kolmogorov-Smirnov, Wilcoxon's signed ranks and Student's t, all two-sided.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "../metric/overlap.hpp"
#include "../metric/threshold_analysis.hpp"

namespace ivado {

/// What a test finds. NaN where there are too few values.
struct TestResult {
  double statistic = undefined_score;
  double p = undefined_score;  ///< of a difference at least as large by chance, two-sided
};

/// Kolmogorov and Smirnov's test of two samples: whether they come from one distribution.
///
/// The statistic is the largest distance of the two empirical distributions. The p-value is exact for samples without
/// ties (the share of the orders of both samples in which the distance is as large: Hodges 1958), and a bound where
/// values are equal, as in SciPy; for more than 10^7 pairs of values it is Smirnov's limit.
/// @param a, b  without NaN, in any order
/// @complexity the product of their lengths, up to 10^7
[[nodiscard]] inline TestResult kolmogorov_smirnov(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty()) return {};
  std::vector<double> x(a.begin(), a.end());
  std::vector<double> y(b.begin(), b.end());
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  const auto n = static_cast<std::int64_t>(x.size());
  const auto m = static_cast<std::int64_t>(y.size());
  // Distances times n · m are whole numbers.
  std::int64_t largest = 0;
  for (std::int64_t i = 0, j = 0; i < n && j < m;) {
    const double value = std::min(x[static_cast<std::size_t>(i)], y[static_cast<std::size_t>(j)]);
    while (i < n && x[static_cast<std::size_t>(i)] == value) ++i;
    while (j < m && y[static_cast<std::size_t>(j)] == value) ++j;
    largest = std::max(largest, std::abs(i * m - j * n));
  }
  const double distance = static_cast<double>(largest) / (static_cast<double>(n) * static_cast<double>(m));
  if (largest == 0) return {0, 1};
  double p = 0;
  if (static_cast<double>(n) * static_cast<double>(m) <= 1e7) {
    // Draws one order of both samples after the other: inside[j] is the chance to have taken i of the first and j of
    // the second sample without having come to the distance; p gathers what does.
    std::vector<double> inside(static_cast<std::size_t>(m) + 1, 0);
    for (std::int64_t i = 0; i <= n; ++i) {
      for (std::int64_t j = 0; j <= m; ++j) {
        auto& here = inside[static_cast<std::size_t>(j)];
        if (i == 0 && j == 0) {
          here = 1;
          continue;
        }
        const auto left = static_cast<double>(n + m - i - j + 1);  // values before this one is drawn
        double chance = i == 0 ? 0 : here * static_cast<double>(n - i + 1) / left;
        if (j > 0) chance += inside[static_cast<std::size_t>(j - 1)] * static_cast<double>(m - j + 1) / left;
        if (std::abs(i * m - j * n) >= largest) {
          p += chance;
          chance = 0;
        }
        here = chance;
      }
    }
  } else {
    const double pairs = static_cast<double>(n) * static_cast<double>(m) / static_cast<double>(n + m);
    for (int k = 1; k <= 100; ++k)
      p += (k % 2 == 1 ? 2 : -2) * std::exp(-2 * static_cast<double>(k) * k * distance * distance * pairs);
  }
  return {distance, std::clamp(p, 0.0, 1.0)};
}

/// Wilcoxon's signed-rank test of pairs: whether the differences lie around 0. For two models on the same images this
/// is the test to look at: it compares image by image.
///
/// Pairs without a difference are left out (Wilcoxon 1945); differences within 10^-12 of one another share their ranks.
/// Up to 200 pairs the p-value is exact, over all signs of the differences given their ranks; above it is the normal
/// limit with the variance of shared ranks, without correction for continuity.
/// @param a, b  values of the same images in the same order; without NaN. Infinite ones differ from all others by more
///              than anything, and from each other not at all
/// @return      the smaller of the two sums of ranks; p is 1 where all pairs are equal
[[nodiscard]] inline TestResult wilcoxon_signed_rank(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || a.size() != b.size()) return {};
  constexpr double equal = 1e-12;
  std::vector<double> differences;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && std::abs(a[i] - b[i]) > equal) differences.push_back(a[i] - b[i]);
  if (differences.empty()) return {0, 1};
  std::sort(differences.begin(), differences.end(), [](double x, double y) { return std::abs(x) < std::abs(y); });
  const std::size_t n = differences.size();
  // Twice the ranks, which are whole numbers where two values share a rank.
  std::vector<std::int64_t> ranks(n);
  for (std::size_t begin = 0; begin < n;) {
    std::size_t end = begin + 1;
    const auto ties = [&](double smaller, double larger) { return smaller == larger || larger - smaller <= equal; };
    while (end < n && ties(std::abs(differences[end - 1]), std::abs(differences[end]))) ++end;
    std::fill(ranks.begin() + static_cast<std::ptrdiff_t>(begin), ranks.begin() + static_cast<std::ptrdiff_t>(end),
              static_cast<std::int64_t>(begin + end + 1));
    begin = end;
  }
  std::int64_t above = 0;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    total += ranks[i];
    if (differences[i] > 0) above += ranks[i];
  }
  const std::int64_t smaller = std::min(above, total - above);
  double p = 0;
  if (n <= 200) {
    std::vector<double> chance(static_cast<std::size_t>(total) + 1, 0);  // of each sum of the ranks with positive sign
    chance[0] = 1;
    std::int64_t reached = 0;
    for (const std::int64_t rank : ranks) {
      reached += rank;
      for (std::int64_t sum = reached; sum >= 0; --sum) {
        auto& here = chance[static_cast<std::size_t>(sum)];
        here = 0.5 * (here + (sum >= rank ? chance[static_cast<std::size_t>(sum - rank)] : 0.0));
      }
    }
    p = 2 * std::accumulate(chance.begin(), chance.begin() + smaller + 1, 0.0);
  } else {
    double variance = 0;  // of the doubled sum
    for (const std::int64_t rank : ranks) variance += static_cast<double>(rank) * static_cast<double>(rank) / 4;
    const double z = (static_cast<double>(total) / 2 - static_cast<double>(smaller)) / std::sqrt(variance);
    p = std::erfc(z / std::sqrt(2.0));
  }
  return {static_cast<double>(smaller) / 2, std::min(p, 1.0)};
}

/// Student's t-test of two independent samples of one variance, as ivadomed's comparison of repeated trainings has it.
/// @param a, b  without NaN, at least two values in one of them
/// @return      t is negative where `a` has the smaller mean; NaN where no value differs from its mean
[[nodiscard]] inline TestResult student_t(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty() || a.size() + b.size() < 3) return {};
  detail::RunningMean x;
  detail::RunningMean y;
  for (const double value : a) x.add(value);
  for (const double value : b) y.add(value);
  const std::int64_t freedom = x.n + y.n - 2;
  const double pooled = (x.squares + y.squares) / static_cast<double>(freedom);
  if (!(pooled > 0)) return {};
  const double t =
      (x.mean() - y.mean()) / std::sqrt(pooled * (1 / static_cast<double>(x.n) + 1 / static_cast<double>(y.n)));
  return {t, std::clamp(1 - detail::student_within(std::abs(t), freedom), 0.0, 1.0)};
}

/// Holm's correction of several p-values of one question (Holm 1979), in their order; NaN stays and does not count.
[[nodiscard]] inline std::vector<double> holm_adjusted(std::span<const double> p) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return p[x] < p[y]; });
  std::vector<double> out(p.begin(), p.end());
  double so_far = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    so_far = std::max(so_far, std::min(1.0, p[order[k]] * static_cast<double>(order.size() - k)));
    out[order[k]] = so_far;
  }
  return out;
}

}  // namespace ivado
