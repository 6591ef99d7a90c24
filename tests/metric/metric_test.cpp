#include <array>
#include <cmath>
#include <ivado/metric/hausdorff.hpp>
#include <ivado/metric/metric.hpp>
#include <ivado/random.hpp>

#include "../catch.hpp"

using namespace ivado;

namespace {

/// The ten-line metric of the concept's comment.
struct MeanAbsoluteError {
  static constexpr std::string_view name = "mae";
  double operator()(ArrayView<const float> prediction, ArrayView<const float> truth) const {
    double sum = 0;
    zip(prediction, truth, [&](float p, float g) { sum += std::abs(p - g); });
    return sum / static_cast<double>(prediction.size());
  }
};
static_assert(Metric<MeanAbsoluteError> && !OverlapMetric<MeanAbsoluteError>);

Array<float> random_array(const Shape& shape, std::uint32_t sample) {
  Rng rng({11, 0, sample, stream_user});
  Array<float> out(shape);
  for (float& value : out) value = rng.uniform_float();
  return out;
}

/// The laws of `Metric` that the compiler cannot see.
template <Metric M>
void check_metric_laws(const M& metric, double at_perfect) {
  const auto g = Array<float>({2, 4, 5, 3}, 1.0F);
  auto mask = zeros<float>({2, 4, 5, 3});
  for (std::int64_t i = 0; i < mask.size(); i += 3) mask[i] = 1;
  const auto before = mask.clone();
  CHECK(metric(std::as_const(mask).view(), std::as_const(mask).view()) == Approx(at_perfect));
  CHECK(mask == before);
  const auto other = zeros<float>({2, 4, 5, 2});
  CHECK_THROWS_AS(metric(g.view(), other.view()), Error);
}

}  // namespace

TEMPLATE_TEST_CASE("overlap metrics keep the laws of Metric", "[unit][metric]", Dice, MultiClassDice, Precision, Recall,
                   Specificity, IntersectionOverUnion, Accuracy) {
  check_metric_laws(TestType{}, 1);
}

TEST_CASE("errors keep the laws of Metric", "[unit][metric]") {
  check_metric_laws(MeanSquaredError{}, 0);
  check_metric_laws(HausdorffScore{}, 0);
}

TEST_CASE("metric policies give what the functions give", "[unit][metric]") {
  const auto p = random_array({2, 7, 5}, 1);
  const auto g = random_array({2, 7, 5}, 2);
  CHECK(Dice{}(p.view(), g.view()) == dice(p.view(), g.view()));
  CHECK(MultiClassDice{}(p.view(), g.view()) == multi_class_dice(p.view(), g.view()));
  CHECK(Precision{}(p.view(), g.view()) == precision(p.view(), g.view()));
  CHECK(Recall{}(p.view(), g.view()) == recall(p.view(), g.view()));
  CHECK(Specificity{}(p.view(), g.view()) == specificity(p.view(), g.view()));
  CHECK(IntersectionOverUnion{}(p.view(), g.view()) == intersection_over_union(p.view(), g.view()));
  CHECK(Accuracy{}(p.view(), g.view()) == accuracy(p.view(), g.view()));
  CHECK(MeanSquaredError{}(p.view(), g.view()) == mse(p.view(), g.view()));
  const auto zero = zeros<float>({1, 2, 2});
  CHECK(std::isnan(Precision{undefined_score}(zero.view(), zero.view())));
  CHECK(Dice{0.5}(zero.view(), zero.view()) == 0.5);
}

TEST_CASE("means over samples leave out what is not defined", "[unit][metric]") {
  MetricMeans<Dice, Precision, MultiClassDice, MeanAbsoluteError> means(Dice{}, Precision{undefined_score}, {}, {});
  auto p = zeros<float>({1, 2, 2});
  auto g = zeros<float>({1, 2, 2});
  means.add(p.view(), g.view());  // both empty: Dice and precision are not defined
  CHECK(std::isnan(means.means()[0].mean));
  CHECK(means.means()[0].defined == 0);
  CHECK(means.means()[2].mean == 1);

  p[0] = p[1] = g[0] = 1;  // Dice 2/3, precision 1/2, mean absolute error 1/4
  means.add(p.view(), g.view());
  p[1] = 0;  // perfect
  means.add(p.view(), g.view());
  const auto found = means.means();
  CHECK(found[0].name == "dice_score");
  CHECK(found[0].mean == Approx(5.0 / 6.0));
  CHECK(found[0].defined == 2);
  CHECK(found[0].samples == 3);
  CHECK(found[1].mean == Approx(0.75));
  CHECK(found[2].mean == Approx((1 + 2.0 / 3.0 + 1) / 3));
  CHECK(found[3].name == "mae");
  CHECK(found[3].mean == Approx(0.25 / 3));

  const auto wrong = zeros<float>({1, 2, 3});
  CHECK_THROWS_AS(means.add(p.view(), wrong.view()), Error);
  CHECK(means.samples() == 3);
  means.reset();
  CHECK(means.samples() == 0);
  CHECK(std::isnan(means.means()[3].mean));
  means.add(p.view(), g.view());
  CHECK(means.means()[0].mean == 1);
}

TEST_CASE("the standard metrics carry ivadomed's names", "[unit][metric]") {
  StandardMetrics means(Dice{}, {}, Precision{}, Recall{}, Specificity{}, IntersectionOverUnion{}, Accuracy{});
  const std::array<std::string_view, 7> names{"dice_score",    "multi_class_dice_score", "precision_score",
                                              "recall_score",  "specificity_score",      "intersection_over_union",
                                              "accuracy_score"};
  for (std::size_t i = 0; i < names.size(); ++i) CHECK(means.means()[i].name == names[i]);
}
