#include <algorithm>
#include <cmath>
#include <ivado/random.hpp>
#include <ivado/report/hypothesis_tests.hpp>
#include <limits>
#include <vector>

#include "../catch.hpp"

using namespace ivado;

namespace {

std::vector<double> wave(int n, double frequency, double phase, double mean) {
  std::vector<double> out;
  for (int i = 0; i < n; ++i) out.push_back(std::sin(i * frequency + phase) * 0.1 + mean);
  return out;
}

/// The distance of the empirical distributions, from the definition.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (const auto* values : {&a, &b}) {
    for (const double at : *values) {
      const auto part = [&](const std::vector<double>& of) {
        return static_cast<double>(std::count_if(of.begin(), of.end(), [&](double v) { return v <= at; })) /
               static_cast<double>(of.size());
      };
      largest = std::max(largest, std::abs(part(a) - part(b)));
    }
  }
  return largest;
}

}  // namespace

TEST_CASE("Kolmogorov-Smirnov gives the numbers of SciPy", "[unit][report]") {
  // scipy 1.10.1: scipy.stats.ks_2samp(x, y)
  const std::vector<double> a{0.81, 0.86, 0.90, 0.79, 0.93, 0.88, 0.84, 0.91};
  const std::vector<double> b{0.83, 0.85, 0.95, 0.82, 0.94, 0.96, 0.89, 0.90};
  CHECK(kolmogorov_smirnov(a, b).statistic == 0.375);
  CHECK(kolmogorov_smirnov(a, b).p == Approx(0.6601398601398599).epsilon(1e-12));
  const std::vector<double> c{0.5, 0.6, 0.7, 0.55, 0.4};
  CHECK(kolmogorov_smirnov(a, c).statistic == 1);
  CHECK(kolmogorov_smirnov(a, c).p == Approx(0.0015540015540015538).epsilon(1e-12));
  const TestResult large = kolmogorov_smirnov(wave(300, 1.7, 0, 0.8), wave(300, 2.3, 0.5, 0.82));
  CHECK(large.statistic == Approx(0.20666666666666667).epsilon(1e-12));
  CHECK(large.p == Approx(5.0749555303276145e-06).epsilon(1e-9));
  // Above 10^7 pairs Smirnov's limit, whose first term is all of it here.
  const TestResult limit = kolmogorov_smirnov(wave(4000, 1.7, 0, 0.8), wave(3000, 2.3, 0.5, 0.802));
  CHECK(limit.statistic == Approx(0.0635).epsilon(1e-9));
  CHECK(limit.p == Approx(2 * std::exp(-2 * 0.0635 * 0.0635 * 12e6 / 7e3)).epsilon(1e-9));
  CHECK(limit.p == Approx(1.8951746586129502e-06).epsilon(0.1));  // the exact one: the limit is near it, not equal
}

TEST_CASE("the p-value of Kolmogorov-Smirnov is the share of orders with as large a distance", "[unit][report]") {
  // All ways to give 4 of 7 ranks to the first sample.
  const std::vector<double> a{1, 2, 5, 6};
  const std::vector<double> b{3, 4, 7};
  const double found = distance(a, b);
  int as_large = 0;
  int all = 0;
  for (unsigned mask = 0; mask < 128; ++mask) {
    std::vector<double> x;
    std::vector<double> y;
    for (unsigned i = 0; i < 7; ++i) ((mask >> i & 1U) != 0 ? x : y).push_back(i);
    if (x.size() != 4) continue;
    ++all;
    as_large += distance(x, y) >= found - 1e-12 ? 1 : 0;
  }
  CHECK(kolmogorov_smirnov(a, b).statistic == Approx(found));
  CHECK(kolmogorov_smirnov(a, b).p == Approx(static_cast<double>(as_large) / all).epsilon(1e-12));
  CHECK(kolmogorov_smirnov(b, a).p == kolmogorov_smirnov(a, b).p);
}

TEST_CASE("equal samples do not differ", "[unit][report]") {
  const std::vector<double> a{1, 2, 2, 3};
  CHECK(kolmogorov_smirnov(a, a).p == 1);
  CHECK(kolmogorov_smirnov(a, a).statistic == 0);
  CHECK(wilcoxon_signed_rank(a, a).p == 1);
  CHECK(student_t(a, a).p == Approx(1));
  CHECK(std::isnan(kolmogorov_smirnov(a, {}).p));
  CHECK(std::isnan(wilcoxon_signed_rank({}, {}).p));
  CHECK(std::isnan(wilcoxon_signed_rank(a, std::vector<double>{1}).p));
  CHECK(std::isnan(student_t(a, {}).p));
  CHECK(std::isnan(student_t(std::vector<double>{1}, std::vector<double>{1}).p));
  CHECK(std::isnan(student_t(std::vector<double>{1, 1}, std::vector<double>{2, 2}).p));  // no spread at all
}

TEST_CASE("Wilcoxon gives the numbers of SciPy", "[unit][report]") {
  // scipy 1.10.1: scipy.stats.wilcoxon(x, y, method="exact")
  const TestResult twenty = wilcoxon_signed_rank(wave(20, 1.7, 0, 0.8), wave(20, 2.3, 0.5, 0.85));
  CHECK(twenty.statistic == 62);
  CHECK(twenty.p == Approx(0.11398696899414062).epsilon(1e-12));
  const TestResult sixty = wilcoxon_signed_rank(wave(60, 1.7, 0, 0.8), wave(60, 2.3, 0.5, 0.82));
  CHECK(sixty.statistic == 829);
  CHECK(sixty.p == Approx(0.5317583062785316).epsilon(1e-12));
  // scipy.stats.wilcoxon(x, y, correction=False), the normal limit
  const TestResult many = wilcoxon_signed_rank(wave(300, 1.7, 0, 0.8), wave(300, 2.3, 0.5, 0.82));
  CHECK(many.statistic == 17383);
  CHECK(many.p == Approx(0.0005550001704358146).epsilon(1e-9));
}

TEST_CASE("Wilcoxon counts all signs, also where ranks are shared and differences are 0", "[unit][report]") {
  const std::vector<double> a{0.5, 1, 3, 2, 5, 4, 7};
  const std::vector<double> b{0, 1.5, 2, 3, 5, 1, 4};
  // Differences 0.5, -0.5, 1, -1, 0 (left out), 3, 3; ranks 1.5, 1.5, 3.5, 3.5, 5.5, 5.5.
  const std::vector<double> ranks{1.5, 1.5, 3.5, 3.5, 5.5, 5.5};
  const double smaller = 1.5 + 3.5;
  int as_far = 0;
  for (unsigned signs = 0; signs < 64; ++signs) {
    double sum = 0;
    for (unsigned i = 0; i < 6; ++i) sum += (signs >> i & 1U) != 0 ? ranks[i] : 0;
    as_far += sum <= smaller || sum >= 21 - smaller ? 1 : 0;
  }
  CHECK(wilcoxon_signed_rank(a, b).statistic == smaller);
  CHECK(wilcoxon_signed_rank(a, b).p == Approx(as_far / 64.0).epsilon(1e-12));
  CHECK(wilcoxon_signed_rank(b, a).p == wilcoxon_signed_rank(a, b).p);
}

TEST_CASE("Student's t gives the numbers of SciPy", "[unit][report]") {
  // scipy 1.10.1: scipy.stats.ttest_ind(x, y)
  const TestResult sixty = student_t(wave(60, 1.7, 0, 0.8), wave(60, 2.3, 0.5, 0.82));
  CHECK(sixty.statistic == Approx(-1.5668493308188935).epsilon(1e-9));
  CHECK(sixty.p == Approx(0.11982776389079108).epsilon(1e-9));
  const auto y = wave(13, 2.3, 0.5, 0.85);
  const TestResult uneven = student_t(wave(20, 1.7, 0, 0.8), y);
  CHECK(uneven.statistic == Approx(-2.0936981383119617).epsilon(1e-9));
  CHECK(uneven.p == Approx(0.04456004224061403).epsilon(1e-9));
}

TEST_CASE("p-values are near even where there is no difference", "[unit][report]") {
  // Of 400 pairs of samples of one distribution about 5 % have p ≤ 0.05, never many more.
  int ks = 0;
  int wilcoxon = 0;
  for (std::uint32_t draw = 0; draw < 400; ++draw) {
    Rng rng({11, 0, draw, stream_user});
    std::vector<double> a(15);
    std::vector<double> b(15);
    for (auto* values : {&a, &b})
      for (double& value : *values) value = rng.uniform();
    ks += kolmogorov_smirnov(a, b).p <= 0.05 ? 1 : 0;
    wilcoxon += wilcoxon_signed_rank(a, b).p <= 0.05 ? 1 : 0;
  }
  // 20 expected at most; 35 is 3.4 standard deviations above
  CHECK(ks <= 35);
  CHECK(wilcoxon <= 35);
  CHECK(wilcoxon >= 8);
}

TEST_CASE("Holm's correction", "[unit][report]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto adjusted = holm_adjusted(std::vector<double>{0.04, 0.01, nan, 0.03, 0.005});
  CHECK(adjusted[0] == Approx(0.06));
  CHECK(adjusted[1] == Approx(0.03));
  CHECK(std::isnan(adjusted[2]));
  CHECK(adjusted[3] == Approx(0.06));
  CHECK(adjusted[4] == Approx(0.02));
  CHECK(holm_adjusted(std::vector<double>{0.9, 0.8}) == std::vector<double>{1, 1});
  CHECK(holm_adjusted({}).empty());
}
