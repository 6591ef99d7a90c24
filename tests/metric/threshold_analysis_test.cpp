#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ivado/metric/threshold_analysis.hpp>
#include <ivado/random.hpp>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

/// The counts by their definition, voxel by voxel.
SoftCounts search(ArrayView<const float> prediction, ArrayView<const float> truth, double threshold) {
  SoftCounts counts;
  zip(prediction, truth, [&](float value, float g) {
    const bool said = static_cast<double>(value) >= threshold;
    const bool is = g >= 0.5F;
    ++(said ? (is ? counts.true_positive : counts.false_positive)
            : (is ? counts.false_negative : counts.true_negative));
  });
  return counts;
}

bool same(const SoftCounts& a, const SoftCounts& b) {
  return a.true_positive == b.true_positive && a.false_positive == b.false_positive &&
         a.true_negative == b.true_negative && a.false_negative == b.false_negative;
}

/// Values on the thresholds of an increment, on the floats beside them, at the ends, tiny ones, and any others.
Array<float> nasty(const Shape& shape, double increment, std::uint32_t sample) {
  Rng rng({3, 0, sample, stream_user});
  const auto thresholds = analysis_thresholds(increment);
  const auto count = static_cast<std::uint32_t>(thresholds.size());
  Array<float> out(shape);
  for (float& value : out) {
    const auto on = static_cast<float>(thresholds[rng.below(count)]);
    switch (rng.below(8)) {
      case 0:
        value = on;
        break;
      case 1:
        value = std::nextafter(on, 0.0F);
        break;
      case 2:
        value = std::nextafter(on, 1.0F);
        break;
      case 3:
        value = 0;
        break;
      case 4:
        value = 1;
        break;
      case 5:
        value = rng.below(2) == 0 ? std::numeric_limits<float>::denorm_min() : std::nextafter(1.0F, 0.0F);
        break;
      default:
        value = rng.uniform_float();
    }
  }
  return out;
}

Array<float> random_truth(const Shape& shape, std::uint32_t sample, double foreground) {
  Rng rng({4, 0, sample, stream_user});
  Array<float> out(shape);
  for (float& value : out)
    value = rng.bernoulli(foreground) ? rng.uniform_float() : 0.0F;  // soft: half of it is inside
  return out;
}

Array<float> array(const Shape& shape, const std::vector<float>& values) {
  Array<float> out(shape);
  REQUIRE(static_cast<std::int64_t>(values.size()) == out.size());
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

}  // namespace

TEST_CASE("thresholds are the multiples of the increment above 0 and below 1", "[unit][threshold]") {
  CHECK(analysis_thresholds(0.1).size() == 9);
  CHECK(analysis_thresholds(0.01).size() == 99);
  CHECK(analysis_thresholds(0.0001).size() == 9999);
  CHECK(analysis_thresholds(0.3) == std::vector<double>{0.3, 2 * 0.3, 3 * 0.3});
  CHECK(analysis_thresholds(0.75) == std::vector<double>{0.75});
  CHECK(analysis_thresholds(0.1)[2] == 3 * 0.1);  // not 0.3
  for (const double wrong : {0.0, -0.1, 1.0, 0.00009, std::nan("")}) {
    CHECK_THROWS_WITH(analysis_thresholds(wrong), Contains("increment") && Contains("0.0001 to below 1"));
    CHECK_THROWS_AS(ThresholdAnalysis(wrong), Error);
  }
  try {
    (void)analysis_thresholds(2);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::usage);
  }
}

TEST_CASE("counts are those of a search that binarises at each threshold, also on the thresholds",
          "[unit][threshold]") {
  const double increment = GENERATE(0.5, 0.1, 0.3, 0.07, 0.01, 1.0 / 3, 1.0 / 1024, 0.0123, 0.75);
  const std::int64_t n = GENERATE(1, 31, 32, 97, 2048);
  const Shape shape{n, 3};
  const auto p = nasty(shape, increment, 1);
  const auto g = random_truth(shape, 2, 0.6);
  const auto counts = threshold_counts(p.view(), g.view(), increment);
  const auto thresholds = analysis_thresholds(increment);
  REQUIRE(counts.size() == thresholds.size());
  bool equal = true;
  bool mse_is_part_that_differs = true;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    equal = equal && same(counts[k], search(p.view(), g.view(), thresholds[k]));
    mse_is_part_that_differs =
        mse_is_part_that_differs && counts[k].squared_error == counts[k].false_positive + counts[k].false_negative;
    equal = equal && counts[k].size == p.size();
  }
  CAPTURE(increment, n);
  CHECK(equal);
  CHECK(mse_is_part_that_differs);
}

TEST_CASE("counts at ten thousand thresholds are exact for each value beside a threshold", "[unit][threshold]") {
  const double increment = least_threshold_increment;
  const auto thresholds = analysis_thresholds(increment);
  // One voxel each on, just below and just above each threshold. By how they were made, threshold k + 1 is reached by
  // all voxels but those of the thresholds below, and those voxels of its own that are below it.
  std::vector<float> values;
  for (const double threshold : thresholds) {
    const auto on = static_cast<float>(threshold);
    for (const float value : {std::nextafter(on, 0.0F), on, std::nextafter(on, 1.0F)}) values.push_back(value);
  }
  const auto p = array({1, static_cast<std::int64_t>(values.size())}, values);
  const Array<float> g(p.shape(), 1.0F);
  const auto counts = threshold_counts(p.view(), g.view(), increment);
  REQUIRE(counts.size() == 9999);
  std::sort(values.begin(), values.end());
  bool equal = true;
  for (std::size_t k = 0; k < thresholds.size(); ++k) {
    const auto first = std::partition_point(values.begin(), values.end(),
                                            [&](float value) { return static_cast<double>(value) < thresholds[k]; });
    equal = equal && counts[k].true_positive == static_cast<double>(values.end() - first);
  }
  CHECK(equal);
}

TEST_CASE("threshold counts do not depend on how the arrays lie in memory", "[unit][threshold]") {
  const Shape shape{5, 37, 23};
  const auto p = nasty(shape, 0.1, 3);
  const auto g = random_truth(shape, 4, 0.3);
  const auto plain = threshold_counts(p.view(), g.view(), 0.1);
  const auto turned = threshold_counts(p.view().permute({2, 0, 1}).flip(1), g.view().permute({2, 0, 1}).flip(1), 0.1);
  const auto copied = Array<float>::from(g.view().permute({1, 2, 0}));
  const auto mixed = threshold_counts(p.view(), copied.view().permute({2, 0, 1}), 0.1);
  for (std::size_t k = 0; k < plain.size(); ++k) {
    CHECK(same(plain[k], turned[k]));
    CHECK(same(plain[k], mixed[k]));
  }
}

TEST_CASE("values outside [0, 1] count as the nearest end", "[unit][threshold]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto p = array({1, 6}, {-0.0F, -3, 7, infinity, -infinity, 1e30F});
  const auto g = array({1, 6}, {1, 1, 1, 1, 0, 0});
  for (const SoftCounts& counts : threshold_counts(p.view(), g.view(), 0.1)) {
    CHECK(counts.true_positive == 2);
    CHECK(counts.false_positive == 1);
    CHECK(counts.false_negative == 2);
    CHECK(counts.true_negative == 1);
  }
}

TEST_CASE("the threshold analysis of a volume worked out by hand", "[unit][threshold]") {
  // Truth: voxels 0 to 3. Thresholds 0.25, 0.5, 0.75.
  //   0.25: predicted 0 1 2 3 4 5, TP 4, FP 2, FN 0, TN 2; Dice 8/10, recall 1, specificity 1/2
  //   0.5 : predicted 0 1 2 4    , TP 3, FP 1, FN 1, TN 3; Dice 6/8, recall 3/4, specificity 3/4
  //   0.75: predicted 0 1        , TP 2, FP 0, FN 2, TN 4; Dice 4/6, recall 1/2, specificity 1
  const std::vector<float> p{0.9F, 0.75F, 0.6F, 0.3F, 0.5F, 0.25F, 0.1F, 0};
  const std::vector<float> g{1, 0.5F, 1, 0.7F, 0.49F, 0, 0, 0};
  ThresholdAnalysis by_dice(0.25);
  by_dice.add(p, g);
  const ThresholdResult result = by_dice.result();
  REQUIRE(result.pooled.points.size() == 3);
  CHECK(result.volumes == 1);
  CHECK(result.metric == ThresholdMetric::dice);
  CHECK(result.pooled.points[0].dice == Approx(0.8));
  CHECK(result.pooled.points[1].dice == Approx(0.75));
  CHECK(result.pooled.points[2].dice == Approx(2.0 / 3));
  CHECK(result.pooled.points[1].recall == 0.75);
  CHECK(result.pooled.points[1].specificity == 0.75);
  CHECK(result.pooled.points[1].score == result.pooled.points[1].dice);
  CHECK(result.pooled.points[1].threshold == 0.5);
  CHECK(result.pooled.optimum == 0.25);
  CHECK(result.pooled.optimum_index == 0);
  CHECK(result.pooled.best_score == Approx(0.8));
  CHECK(std::isnan(result.pooled.dice_interval.lower));  // one volume says nothing of the spread
  CHECK(std::isnan(result.pooled.dice_interval.upper));

  SECTION("the ROC runs from (0, 0) to (1, 1) by rising false positive rate") {
    // Its thresholds tell all values apart, the three of the analysis do not (1/4 · 5/8 + 1/4 · 7/8 + 1/2 = 7/8).
    // From above: three of the foreground, 0.5 of the background, the last of the foreground, the rest:
    // (0, 3/4) (1/4, 3/4) (1/4, 1) (1, 1); 15 of the 16 pairs of foreground and background are in order.
    const auto& roc = result.pooled.roc;
    REQUIRE(roc.size() == 101);
    CHECK(roc.front().false_positive_rate == 0);
    CHECK(roc.front().true_positive_rate == 0);
    CHECK(roc.back().true_positive_rate == 1);
    CHECK(std::any_of(roc.begin(), roc.end(), [](const RocPoint& point) {
      return point.false_positive_rate == 0.25 && point.true_positive_rate == 0.75;
    }));
    CHECK(result.pooled.roc_area == Approx(15.0 / 16));
  }
  SECTION("by Youden's index, all three thresholds are alike but the largest is taken") {
    ThresholdAnalysis by_youden(0.25, ThresholdMetric::recall_specificity);
    by_youden.add(p, g);
    const ThresholdResult other = by_youden.result();
    for (const auto& point : other.pooled.points) CHECK(point.score == 0.5);
    CHECK(other.pooled.optimum == 0.75);
    CHECK(other.pooled.points[0].dice == Approx(0.8));
  }
}

TEST_CASE("the ROC does not depend on the increment, and the points do not on the thresholds between them",
          "[unit][threshold]") {
  const Shape shape{2, 9, 11, 5};
  ThresholdAnalysis coarse(0.1);
  ThresholdAnalysis fine(0.01);
  for (std::uint32_t n = 0; n < 3; ++n) {
    const auto truth = random_truth(shape, 40 + n, 0.4);
    const auto prediction = nasty(shape, 0.1, 50 + n);
    coarse.add(prediction.view(), truth.view());
    fine.add(prediction.view(), truth.view());
  }
  const ThresholdResult few = coarse.result();
  const ThresholdResult many = fine.result();
  REQUIRE(few.pooled.roc.size() == many.pooled.roc.size());
  CHECK(few.pooled.roc_area == many.pooled.roc_area);
  CHECK(few.classes[1].roc_area == many.classes[1].roc_area);
  REQUIRE(few.pooled.points.size() == 9);
  for (std::size_t k = 0; k < few.pooled.points.size(); ++k)
    CHECK(few.pooled.points[k].dice == many.pooled.points[10 * k + 9].dice);
}

TEST_CASE("an increment is divided so that its own thresholds stay among the finer ones", "[unit][threshold]") {
  const double increment = GENERATE(0.1, 0.3, 0.07, 1.0 / 3, 0.0123, 0.75, 0.005, 0.25, 0.05, 0.9);
  const std::size_t steps = detail::roc_steps(increment);
  CAPTURE(increment, steps);
  CHECK(increment / static_cast<double>(steps) <= 0.01 * (1 + 1e-9));
  const auto own = analysis_thresholds(increment);
  const auto finer = analysis_thresholds(increment / static_cast<double>(steps));
  REQUIRE(finer.size() >= steps * own.size());
  for (std::size_t k = 0; k < own.size(); ++k)
    CHECK(detail::least_float_from(finer[steps * (k + 1) - 1]) == detail::least_float_from(own[k]));
}

TEST_CASE("counting with wide vectors gives what counting without gives", "[unit][threshold]") {
  const double increment = GENERATE(0.1, 0.01, 0.003);
  const Shape shape{3, 41, 67};
  const auto p = nasty(shape, increment, 7);
  const auto g = random_truth(shape, 8, 0.2);
  const detail::ThresholdGrid grid(increment);
  detail::ThresholdHistogram wide(grid);
  detail::ThresholdHistogram narrow(grid, detail::ThresholdHistogram::Vectors::narrow);
  wide.add(p.view(), g.view());
  narrow.add(p.view(), g.view());
  const auto a = wide.counts();
  const auto b = narrow.counts();
  REQUIRE(a.size() == b.size());
  for (std::size_t k = 0; k < a.size(); ++k) CHECK(same(a[k], b[k]));
}

TEST_CASE("the best threshold is that of an exhaustive search over volumes and classes", "[unit][threshold]") {
  const double increment = GENERATE(0.1, 0.01, 0.003);
  const ThresholdMetric metric = GENERATE(ThresholdMetric::dice, ThresholdMetric::recall_specificity);
  const Shape shape{2, 9, 11, 5};
  std::vector<Array<float>> predictions;
  std::vector<Array<float>> truths;
  ThresholdAnalysis analysis(increment, metric);
  for (std::uint32_t n = 0; n < 5; ++n) {
    truths.push_back(n == 3 ? zeros(shape) : random_truth(shape, 10 + n, 0.4));
    Array<float> p = n == 3 ? zeros(shape) : nasty(shape, increment, 20 + n);
    for (std::int64_t i = 0; i < p.size(); ++i)
      if (truths.back()[i] >= 0.5F) p[i] = std::sqrt(p[i]);
    predictions.push_back(std::move(p));
    analysis.add(predictions.back().view(), truths.back().view());
  }
  const ThresholdResult result = analysis.result();
  const auto thresholds = analysis_thresholds(increment);
  // -1: all classes together; the volume that is empty throughout has no Dice, recall 0 and specificity 1.
  for (int c = -1; c < 2; ++c) {
    double best = -2;
    double optimum = 0;
    const ThresholdCurve& curve = c < 0 ? result.pooled : result.classes[static_cast<std::size_t>(c)];
    for (std::size_t k = 0; k < thresholds.size(); ++k) {
      double dices = 0;
      double recalls = 0;
      double specificities = 0;
      for (std::size_t n = 0; n < predictions.size(); ++n) {
        const auto p = c < 0 ? predictions[n].view() : predictions[n].view().select(0, c);
        const auto g = c < 0 ? truths[n].view() : truths[n].view().select(0, c);
        const SoftCounts counts = search(p, g, thresholds[k]);
        dices += dice(counts, 0);
        recalls += recall(counts);
        specificities += specificity(counts);
      }
      const double score = metric == ThresholdMetric::dice ? dices / 4 : recalls / 5 + specificities / 5 - 1;
      if (score >= best) {
        best = score;
        optimum = thresholds[k];
      }
      REQUIRE(curve.points[k].score == score);  // bit for bit: the same counts, added in the same order
      REQUIRE(curve.points[k].dice_volumes == 4);
    }
    CHECK(curve.optimum == optimum);
    CHECK(curve.best_score == best);
    CHECK(curve.points[curve.optimum_index].threshold == optimum);
  }
}

TEST_CASE("of several classes each has its own optimum", "[unit][threshold]") {
  // Class 0 is separated between 0.3 and 0.4, class 1 between 0.7 and 0.8.
  const auto p = array({2, 4}, {0.4F, 0.4F, 0.35F, 0, 0.8F, 0.7F, 0.7F, 0.7F});
  const auto g = array({2, 4}, {1, 1, 0, 0, 1, 0, 0, 0});
  ThresholdAnalysis analysis(0.1);
  analysis.add(p.view(), g.view());
  const ThresholdResult result = analysis.result();
  REQUIRE(result.classes.size() == 2);
  CHECK(result.classes[0].optimum == 4 * 0.1);
  CHECK(result.classes[0].best_score == 1);
  CHECK(result.classes[1].optimum == 8 * 0.1);
  CHECK(result.classes[1].best_score == 1);
  // Together at 0.4: TP 3, FP 3, FN 0: 6/9; at 0.8: TP 1, FN 2: 2/4; at 0.1 to 0.3: FP 4: 6/10.
  CHECK(result.pooled.optimum == 4 * 0.1);
  CHECK(result.pooled.best_score == Approx(2.0 / 3));
}

TEST_CASE("a class without foreground has no optimum, and all classes without it are an error", "[unit][threshold]") {
  auto p = zeros({2, 3});
  auto g = zeros({2, 3});
  p[0] = g[0] = 1;
  ThresholdAnalysis analysis(0.1);
  analysis.add(p.view(), g.view());
  const ThresholdResult result = analysis.result();
  CHECK(result.pooled.optimum == 9 * 0.1);
  CHECK(std::isnan(result.classes[1].optimum));
  CHECK(std::isnan(result.classes[1].best_score));
  CHECK(result.classes[1].optimum_index == 9);
  CHECK(result.classes[1].points[0].dice_volumes == 0);
  CHECK(result.classes[1].points[0].specificity == 1);

  ThresholdAnalysis empty(0.1);
  CHECK_THROWS_WITH(empty.result(), Contains("no prediction"));
  empty.add(zeros({1, 4}).view(), zeros({1, 4}).view());
  CHECK_THROWS_WITH(empty.result(), Contains("best threshold") && Contains("1 volumes") && Contains("foreground"));
}

TEST_CASE("the confidence interval is that of Student's t", "[unit][threshold]") {
  SECTION("quantiles of the tables") {
    // Deviation √n makes the half width the quantile. Tables give five to six digits.
    const std::array<std::pair<int, double>, 6> table{
        {{1, 12.7062}, {2, 4.30265}, {3, 3.18245}, {9, 2.26216}, {29, 2.04523}, {100, 1.98397}}};
    for (const auto& [freedom, quantile] : table) {
      const ConfidenceInterval interval = confidence_interval_95(0, std::sqrt(freedom + 1.0), freedom + 1);
      CHECK(interval.upper == Approx(quantile).epsilon(3e-6));
      CHECK(interval.lower == -interval.upper);
    }
    CHECK(confidence_interval_95(0, 1000, 1000000).upper == Approx(1.95997).epsilon(3e-6));
    CHECK(std::isnan(confidence_interval_95(1, 0, 1).lower));
  }
  SECTION("of the Dice over three volumes, the one that is empty left out") {
    // Dice 2/3 (TP 1, FN 1), 4/5 (TP 2, FP 1) and 1 at every threshold: mean 37/45, and n = 3 of 4.
    ThresholdAnalysis analysis(0.5);
    const auto add = [&](const std::vector<float>& p, const std::vector<float>& g) { analysis.add(p, g); };
    add({1, 0, 0, 0}, {1, 1, 0, 0});
    add({1, 1, 1, 0}, {1, 1, 0, 0});
    add({1, 0, 0, 0}, {1, 0, 0, 0});
    add({0, 0, 0, 0}, {0, 0, 0, 0});
    const ThresholdCurve curve = analysis.result().pooled;
    const double mean = 37.0 / 45;
    const double deviation =
        std::sqrt((std::pow(2.0 / 3 - mean, 2) + std::pow(0.8 - mean, 2) + std::pow(1 - mean, 2)) / 2);
    CHECK(curve.best_score == Approx(mean));
    CHECK(curve.points[0].dice_volumes == 3);
    CHECK(curve.dice_interval.lower == Approx(mean - 4.30265 * deviation / std::sqrt(3.0)).epsilon(1e-5));
    CHECK(curve.dice_interval.upper == 1);  // cut
  }
}

TEST_CASE("the threshold analysis refuses what it cannot use, and stays as it was", "[unit][threshold]") {
  ThresholdAnalysis analysis(0.1);
  const Array<float> one({1, 4}, 1.0F);
  analysis.add(one.view(), one.view());
  CHECK_THROWS_WITH(analysis.add(one.view(), zeros({1, 5}).view(), "sub-03"),
                    Contains("sub-03") && Contains("1x4") && Contains("1x5"));
  CHECK_THROWS_WITH(analysis.add(zeros({2, 4}).view(), zeros({2, 4}).view(), "sub-04"),
                    Contains("sub-04") && Contains("2 classes") && Contains("have 1"));
  CHECK_THROWS_WITH(analysis.add(zeros({1, 0}).view(), zeros({1, 0}).view()), Contains("1x0"));
  for (const std::int64_t n : {5, 32, 100}) {
    for (const std::int64_t at : {std::int64_t{0}, n - 1}) {
      for (const float nan : {std::nanf(""), -std::nanf("")}) {
        Array<float> bad = zeros({1, n});
        bad[at] = nan;
        CHECK_THROWS_WITH(analysis.add(bad.view(), zeros({1, n}).view(), "sub-05"),
                          Contains("sub-05") && Contains("NaN"));
        CHECK_THROWS_WITH(analysis.add(zeros({1, n}).view(), bad.view()), Contains("NaN"));
      }
    }
  }
  CHECK(analysis.volumes() == 1);
  CHECK(analysis.result().pooled.best_score == 1);
}

TEST_CASE("the scores are written as a table", "[unit][threshold]") {
  ThresholdAnalysis analysis(0.5);
  SECTION("one class") {
    analysis.add(std::vector<float>{1, 0.2F, 1, 0}, std::vector<float>{1, 1, 0, 0});
    const std::string path =
        (std::filesystem::temp_directory_path() / ("ivado-threshold-" + std::to_string(::getpid()) + ".csv")).string();
    write_threshold_csv(path, analysis.result());
    std::ifstream file(path);
    std::stringstream content;
    content << file.rdbuf();
    std::filesystem::remove(path);
    CHECK(content.str() ==
          "threshold,dice,recall,specificity,score,dice_volumes,is_optimum\n"
          "0.5,0.5,0.5,0.5,0.5,1,1\n");
  }
  SECTION("two classes, one empty") {
    const auto p = array({2, 2}, {1, 0, 0, 0});
    analysis.add(p.view(), p.view());
    CHECK(threshold_csv(analysis.result()) ==
          "threshold,dice,recall,specificity,score,dice_volumes,is_optimum,"
          "dice_class0,recall_class0,specificity_class0,score_class0,dice_volumes_class0,is_optimum_class0,"
          "dice_class1,recall_class1,specificity_class1,score_class1,dice_volumes_class1,is_optimum_class1\n"
          "0.5,1.0,1.0,1.0,1.0,1,1,1.0,1.0,1.0,1.0,1,1,,0.0,1.0,,0,0\n");
  }
  CHECK_THROWS_AS(write_threshold_csv("/no/such/folder/thr.csv", analysis.result()), Error);
}

TEST_CASE("a threshold metric has ivadomed's name", "[unit][threshold]") {
  CHECK(threshold_metric_name(ThresholdMetric::dice) == "dice");
  CHECK(threshold_metric_name(ThresholdMetric::recall_specificity) == "recall_specificity");
}
