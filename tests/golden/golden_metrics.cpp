// The area "metrics" of the reference values: every metric, their error values, the soft counts, and the means over
// samples.
#include <array>
#include <cmath>
#include <ivado/config/json.hpp>
#include <ivado/metric/hausdorff.hpp>
#include <ivado/metric/metric.hpp>
#include <ivado/metric/overlap.hpp>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "golden.hpp"

namespace golden {
namespace {

using View = ivado::ArrayView<const double>;

/// A number of the reference: JSON writes NaN as "nan", and the mean of nothing as null.
double number(const ivado::Json& json) {
  if (json.is_number()) return json.get<double>();
  if (json == "inf") return INFINITY;
  if (json == "-inf") return -INFINITY;
  return std::numeric_limits<double>::quiet_NaN();
}

/// Difference relative to numbers above 1; 0 where both are NaN.
double difference(double found, double expected) {
  if (std::isnan(found) && std::isnan(expected)) return 0;
  if (std::isnan(found) || std::isnan(expected)) return INFINITY;
  if (found == expected) return 0;
  return std::abs(found - expected) / std::max(1.0, std::abs(expected));
}

std::map<std::string, double> all_metrics(View p, View g) {
  const double nan = ivado::undefined_score;
  return {{"dice_score", ivado::dice(p, g)},
          {"dice_score_empty_score_1", ivado::dice(p, g, 1)},
          {"multi_class_dice_score", ivado::multi_class_dice(p, g)},
          {"precision_score", ivado::precision(p, g)},
          {"precision_score_err_nan", ivado::precision(p, g, nan)},
          {"recall_score", ivado::recall(p, g)},
          {"recall_score_err_nan", ivado::recall(p, g, nan)},
          {"specificity_score", ivado::specificity(p, g)},
          {"specificity_score_err_nan", ivado::specificity(p, g, nan)},
          {"intersection_over_union", ivado::intersection_over_union(p, g)},
          {"intersection_over_union_err_nan", ivado::intersection_over_union(p, g, nan)},
          {"accuracy_score", ivado::accuracy(p, g)},
          {"accuracy_score_err_nan", ivado::accuracy(p, g, nan)},
          {"hausdorff_score", ivado::HausdorffScore{}(p, g)},
          {"mse", ivado::mse(p, g, /*as_ivadomed=*/true)}};
}

template <class Means>
void check_means(const std::string& name, const ivado::Json& results, const Means& means, double tolerance,
                 Report& report) {
  for (const auto& [metric, expected] : results.items()) {
    bool known = false;
    for (const auto& mean : means.means()) {
      if (mean.name != metric) continue;
      known = true;
      report.check(name + " " + metric, difference(mean.mean, number(expected)), tolerance);
    }
    if (!known) report.fail(name + " " + metric, "there is no such metric");
  }
}

}  // namespace

void metrics(const std::filesystem::path& dir, Report& report) {
  const ivado::Json index = ivado::read_json((dir / "metrics.json").string());
  const Tensors tensors = load_tensors(dir / "metrics.pt");
  const auto view = [&](const std::string& key) { return tensors.at(key).values.view(); };
  const auto tolerance = [&](const std::string& id) {
    return tensors.at(id + ".pred").dtype == "float32" || tensors.at(id + ".gt").dtype == "float32" ? 1e-5 : 1e-9;
  };

  for (const auto& one : index.at("cases")) {
    const auto id = one.at("case").get<std::string>();
    const std::string name = "metrics " + id + " (" + one.at("name").get<std::string>() + ")";
    const View p = view(id + ".pred");
    const View g = view(id + ".gt");
    const std::map<std::string, double> found = all_metrics(p, g);
    for (const auto& [metric, expected] : one.at("values").items()) {
      if (metric == "numeric_score_FP_FN_TP_TN") {
        const ivado::SoftCounts counts = ivado::soft_counts(p, g);
        const std::array<double, 4> four{counts.false_positive, counts.false_negative, counts.true_positive,
                                         counts.true_negative};
        for (std::size_t i = 0; i < four.size(); ++i)
          report.check(name + " " + metric + "[" + std::to_string(i) + "]", difference(four[i], number(expected[i])),
                       tolerance(id));
        continue;
      }
      const auto value = found.find(metric);
      if (value == found.end())
        report.fail(name + " " + metric, "there is no such metric");
      else
        report.check(name + " " + metric, difference(value->second, number(expected)), tolerance(id));
    }
  }

  std::size_t count = 0;
  for (const auto& one : index.at("manager")) {
    const std::string name = "metrics manager " + std::to_string(count++);
    ivado::MetricMeans<ivado::Dice, ivado::MultiClassDice, ivado::Precision, ivado::Recall, ivado::Specificity,
                       ivado::IntersectionOverUnion, ivado::Accuracy, ivado::HausdorffScore>
        means(ivado::Dice{}, {}, ivado::Precision{}, ivado::Recall{}, ivado::Specificity{},
              ivado::IntersectionOverUnion{}, ivado::Accuracy{}, {});
    double allowed = 1e-9;
    if (one.contains("samples")) {
      for (const auto& sample : one.at("samples")) {
        const auto id = sample.get<std::string>();
        means.add(view(id + ".pred"), view(id + ".gt"));
        allowed = std::max(allowed, tolerance(id));
      }
    } else {  // "a single empty sample"
      const auto empty = ivado::zeros<double>({1, 8, 8});
      means.add(empty.view(), empty.view());
    }
    check_means(name, one.at("results"), means, allowed, report);
    if (one.contains("num_samples"))
      report.check(name + " num_samples",
                   std::abs(static_cast<double>(means.samples()) - number(one.at("num_samples"))), 0);
  }
}

}  // namespace golden
