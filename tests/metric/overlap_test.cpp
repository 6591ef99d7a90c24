#include <cmath>
#include <cstdint>
#include <ivado/metric/overlap.hpp>
#include <ivado/random.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;

namespace {

Array<double> array(const Shape& shape, const std::vector<double>& values) {
  Array<double> out(shape);
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

Array<float> random_array(const Shape& shape, std::uint32_t sample) {
  Rng rng({7, 0, sample, stream_user});
  Array<float> out(shape);
  for (float& value : out) value = rng.uniform_float();
  return out;
}

}  // namespace

TEST_CASE("overlap metrics have the values worked out in metrics.md", "[unit][metric]") {
  const auto p = array({1, 2, 2}, {0.9, 0.2, 0.4, 0.7});
  const auto g = array({1, 2, 2}, {1, 0, 1, 1});
  // By hand: TP = 0.9 + 0.4 + 0.7, FP = 0.2, FN = 0.1 + 0.6 + 0.3, TN = 0.8.
  const SoftCounts counts = soft_counts(p.view(), g.view());
  CHECK(counts.true_positive == Approx(2.0));
  CHECK(counts.false_positive == Approx(0.2));
  CHECK(counts.false_negative == Approx(1.0));
  CHECK(counts.true_negative == Approx(0.8));
  CHECK(counts.prediction_sum() == Approx(2.2));
  CHECK(counts.truth_sum() == Approx(3.0));
  CHECK(counts.size == 4);
  CHECK(dice(p.view(), g.view()) == Approx(4.0 / 5.2));
  CHECK(multi_class_dice(p.view(), g.view()) == Approx(4.0 / 5.2));
  CHECK(precision(p.view(), g.view()) == Approx(2.0 / 2.2));
  CHECK(recall(p.view(), g.view()) == Approx(2.0 / 3.0));
  CHECK(specificity(p.view(), g.view()) == Approx(0.8));
  CHECK(intersection_over_union(p.view(), g.view()) == Approx(0.625));
  CHECK(accuracy(p.view(), g.view()) == Approx(0.7));
  // Squared errors 0.01 + 0.04 + 0.36 + 0.09 = 0.5 over 4 voxels; ivadomed divides by 1·2.
  CHECK(mse(p.view(), g.view()) == Approx(0.125));
  CHECK(mse(p.view(), g.view(), true) == Approx(0.25));
  CHECK(mse(p.view().select(0, 0), g.view().select(0, 0), true) == Approx(0.125));
}

TEST_CASE("overlap metrics where they are not defined", "[unit][metric]") {
  const auto zero = zeros<float>({2, 3, 5});
  const Array<float> one({2, 3, 5}, 1.0F);
  SECTION("both empty") {
    CHECK(std::isnan(dice(zero.view(), zero.view())));
    CHECK(dice(zero.view(), zero.view(), 1) == 1);
    CHECK(multi_class_dice(zero.view(), zero.view()) == 1);
    CHECK(precision(zero.view(), zero.view()) == 0);
    CHECK(std::isnan(precision(zero.view(), zero.view(), undefined_score)));
    CHECK(recall(zero.view(), zero.view()) == 0);
    CHECK(std::isnan(recall(zero.view(), zero.view(), undefined_score)));
    CHECK(intersection_over_union(zero.view(), zero.view()) == 0);
    CHECK(std::isnan(intersection_over_union(zero.view(), zero.view(), undefined_score)));
    CHECK(specificity(zero.view(), zero.view()) == 1);
    CHECK(accuracy(zero.view(), zero.view()) == 1);
    CHECK(mse(zero.view(), zero.view()) == 0);
  }
  SECTION("both full") {
    CHECK(dice(one.view(), one.view()) == 1);
    CHECK(specificity(one.view(), one.view()) == 0);
    CHECK(std::isnan(specificity(one.view(), one.view(), undefined_score)));
  }
  SECTION("a soft prediction on a full truth leaves no trace of a negative") {
    const auto p = random_array({2, 3, 5}, 1);
    CHECK(std::isnan(specificity(p.view(), one.view(), undefined_score)));
    CHECK(precision(p.view(), one.view()) == 1);
  }
  SECTION("one class empty in both counts as 1 in the multi-class Dice") {
    auto p = zeros<float>({2, 3, 5});
    auto g = zeros<float>({2, 3, 5});
    p[0] = p[1] = g[1] = g[2] = 1;  // Dice 0.5 in class 0
    CHECK(multi_class_dice(p.view(), g.view()) == Approx(0.75));
    CHECK(dice(p.view(), g.view()) == Approx(0.5));
  }
  SECTION("no voxel") {
    const Array<float> none(Shape{0, 4});
    CHECK(soft_counts(none.view(), none.view()).size == 0);
    CHECK(std::isnan(dice(none.view(), none.view())));
    CHECK(std::isnan(mse(none.view(), none.view())));
    CHECK(std::isnan(multi_class_dice(none.view(), none.view())));
    CHECK(accuracy(none.view(), none.view(), -1) == -1);
  }
}

TEST_CASE("soft counts do not depend on how the arrays lie in memory", "[unit][metric]") {
  const std::int64_t h = GENERATE(1, 2, 7, 64);
  const std::int64_t w = GENERATE(1, 5, 13, 300);
  const std::int64_t d = GENERATE(1, 3, 31);
  const auto p = random_array({h, w, d}, 1);
  const auto g = random_array({h, w, d}, 2);
  SoftCounts plain;
  for (std::int64_t i = 0; i < p.size(); ++i) {
    const double a = p[i];
    const double b = g[i];
    plain += {a * (1 - b), (1 - a) * b, a * b, (1 - a) * (1 - b), (a - b) * (a - b), 1};
  }
  const auto check = [&](const SoftCounts& counts) {
    // rel 1e-12: double sums of at most 6e5 terms in another order
    CHECK(counts.false_positive == Approx(plain.false_positive).epsilon(1e-12));
    CHECK(counts.false_negative == Approx(plain.false_negative).epsilon(1e-12));
    CHECK(counts.true_positive == Approx(plain.true_positive).epsilon(1e-12));
    CHECK(counts.true_negative == Approx(plain.true_negative).epsilon(1e-12));
    CHECK(counts.squared_error == Approx(plain.squared_error).epsilon(1e-12));
    CHECK(counts.size == p.size());
  };
  check(soft_counts(p.view(), g.view()));
  check(soft_counts(p.view().permute({2, 0, 1}).flip(1), g.view().permute({2, 0, 1}).flip(1)));
  const auto turned = Array<float>::from(g.view().permute({1, 2, 0}));
  check(soft_counts(p.view(), turned.view().permute({2, 0, 1})));  // one dense, one strided
}

TEST_CASE("overlap metrics refuse arrays of two shapes and name both", "[unit][metric]") {
  const auto p = zeros<float>({1, 4, 5});
  const auto g = zeros<float>({1, 4, 6});
  using Catch::Contains;
  CHECK_THROWS_WITH(dice(p.view(), g.view()), Contains("1x4x5") && Contains("1x4x6"));
  CHECK_THROWS_WITH(multi_class_dice(p.view(), g.view()), Contains("1x4x5") && Contains("multi_class_dice_score"));
  CHECK_THROWS_WITH(mse(p.view(), g.view()), Contains("1x4x6"));
  try {
    (void)precision(p.view(), g.view());
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 3);
  }
}
