// The results of an evaluation by class, contrast and subject: mean, spread, percentiles and confidence interval.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../random.hpp"
#include "evaluation.hpp"

namespace ivado {

/// How `tabulate` computes confidence intervals.
struct ResultParams {
  std::uint64_t seed = 0;         ///< of the bootstrap
  std::int32_t resamples = 2000;  ///< of the bootstrap; 0: no intervals
  double confidence = 0.95;       ///< in (0, 1)
};

/// One metric of one class over a group of images.
struct ResultRow {
  std::string group;   ///< "all", "contrast" or "subject"
  std::string member;  ///< which contrast or subject; empty for "all"
  std::size_t class_index = 0;
  std::string metric;                           ///< a column without "_class<n>"
  std::int64_t images = 0;                      ///< images of the group
  std::int64_t defined = 0;                     ///< of them those where the metric is a finite number
  std::int64_t infinite = 0;                    ///< and those where it is infinite: a distance with one mask empty
  double mean = undefined_score;                ///< of the finite numbers
  double standard_deviation = undefined_score;  ///< of them (n - 1); NaN for fewer than two
  double low = undefined_score;                 ///< confidence interval of the mean
  double high = undefined_score;
  double percentile5 = undefined_score;  ///< percentiles of all numbers, infinite ones too
  double percentile25 = undefined_score;
  double median = undefined_score;
  double percentile75 = undefined_score;
  double percentile95 = undefined_score;
};

/// The percentile of values in rising order, interpolated linearly between them (as NumPy's default); NaN for none.
/// @param percent  in [0, 100]
[[nodiscard]] IVADO_INLINE double sorted_percentile(const std::vector<double>& sorted, double percent) {
  if (sorted.empty()) return undefined_score;
  const double place = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = place - static_cast<double>(below);
  if (part == 0 || sorted[below] == sorted[above]) return sorted[below];  // infinite ones too
  return sorted[below] + part * (sorted[above] - sorted[below]);
}

namespace detail {

/// A stream of random numbers that no transform has, the last one below those of `RandomStream`.
inline constexpr std::uint32_t stream_bootstrap = 0x7FFFFFFF;

/// The confidence interval of the mean by the percentile bootstrap over units: each is drawn with all its values.
/// @param units  sum and number of the values of each
[[nodiscard]] IVADO_INLINE std::pair<double, double> bootstrap_mean(
    const std::vector<std::pair<double, std::int64_t>>& units, const ResultParams& params) {
  if (units.size() < 2 || params.resamples < 1) return {undefined_score, undefined_score};
  Rng rng({params.seed, 0, 0, stream_bootstrap});  // the same draws for every metric, whatever else is in the table
  const auto n = static_cast<std::uint32_t>(units.size());
  std::vector<double> means(static_cast<std::size_t>(params.resamples));
  for (double& mean : means) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const auto& [unit_sum, unit_count] = units[rng.below(n)];
      sum += unit_sum;
      count += unit_count;
    }
    mean = sum / static_cast<double>(count);
  }
  std::sort(means.begin(), means.end());
  const double tail = 100 * (1 - params.confidence) / 2;
  return {sorted_percentile(means, tail), sorted_percentile(means, 100 - tail)};
}

[[nodiscard]] IVADO_INLINE const std::string& subject_of(const EvaluationRow& row) {
  return row.subject.empty() ? row.image_id : row.subject;
}

/// One line of the table.
[[nodiscard]] IVADO_INLINE ResultRow tabulate_column(const std::vector<const EvaluationRow*>& rows,
                                                     const EvaluationColumn& column, const ResultParams& params) {
  ResultRow out;
  out.class_index = column.class_index;
  out.metric = column.metric;
  out.images = static_cast<std::int64_t>(rows.size());
  std::vector<double> values;
  std::map<std::string, std::pair<double, std::int64_t>> by_subject;
  std::vector<std::pair<double, std::int64_t>> by_image;
  for (const EvaluationRow* row : rows) {
    const double value = column.of(*row);
    if (std::isnan(value)) continue;
    values.push_back(value);
    if (std::isinf(value)) {
      ++out.infinite;
      continue;
    }
    auto& [sum, count] = by_subject[subject_of(*row)];
    sum += value;
    ++count;
    by_image.emplace_back(value, 1);
  }
  const ColumnSummary summary = mean_and_spread({}, values);
  out.defined = summary.defined;
  out.mean = summary.mean;
  out.standard_deviation = summary.standard_deviation;
  if (by_subject.size() > 1) {
    by_image.clear();
    for (const auto& subject : by_subject) by_image.push_back(subject.second);
  }
  std::tie(out.low, out.high) = bootstrap_mean(by_image, params);
  std::sort(values.begin(), values.end());
  out.percentile5 = sorted_percentile(values, 5);
  out.percentile25 = sorted_percentile(values, 25);
  out.median = sorted_percentile(values, 50);
  out.percentile75 = sorted_percentile(values, 75);
  out.percentile95 = sorted_percentile(values, 95);
  return out;
}

}  // namespace detail

/// The results of all images, of each contrast and of each subject, a row for each column of the evaluation.
///
/// The confidence interval is that of the mean, by the percentile bootstrap (Efron and Tibshirani 1993, chapter 13).
/// Subjects are drawn, each with all its images, for images of one subject are not independent; within a single subject
/// its images are drawn. It needs two of them, and is too narrow for few: with fewer than ten, look at the subjects.
///
/// A metric that is NaN for an image (such as the Dice of an empty truth and an empty prediction) does not count for
/// it. Distances with one mask empty are infinite: they are counted, are in the percentiles, but not in the mean.
/// @param rows  with subject and contrast; a group of contrasts is made where a row has one
/// @return group "all" first, then the contrasts, then the subjects, each by name; within a group as `columns_of`
/// @throws Error (usage) if the confidence is not in (0, 1)
/// @complexity resamples × subjects for each column and group
[[nodiscard]] IVADO_INLINE std::vector<ResultRow> tabulate(const std::vector<EvaluationRow>& rows,
                                                           const ResultParams& params = {}) {
  if (!(params.confidence > 0 && params.confidence < 1))
    throw usage_error("making the table of results", detail::text("the confidence is ", params.confidence),
                      "give a part between 0 and 1, such as 0.95");
  if (rows.empty()) return {};
  using Members = std::map<std::string, std::vector<const EvaluationRow*>>;
  Members all;
  Members contrasts;
  Members subjects;
  for (const auto& row : rows) {
    all[{}].push_back(&row);
    if (!row.contrast.empty()) contrasts[row.contrast].push_back(&row);
    subjects[detail::subject_of(row)].push_back(&row);
  }
  const std::vector<EvaluationColumn> columns = columns_of(rows);
  std::vector<ResultRow> out;
  const auto add = [&](const std::string& group, const Members& members) {
    for (const auto& [member, images] : members)
      for (const auto& column : columns) {
        ResultRow one = detail::tabulate_column(images, column, params);
        one.group = group;
        one.member = member;
        out.push_back(std::move(one));
      }
  };
  add("all", all);
  add("contrast", contrasts);
  add("subject", subjects);
  return out;
}

/// The table as the text of a CSV file; what is not defined is an empty field.
[[nodiscard]] IVADO_INLINE std::string results_csv(const std::vector<ResultRow>& rows) {
  std::string out = "group,member,class,metric,images,defined,infinite,mean,sd,ci_low,ci_high,p5,p25,median,p75,p95\n";
  for (const auto& row : rows) {
    out += detail::csv_text(row.group) + "," + detail::csv_text(row.member) + "," +
           detail::text(row.class_index, ",", row.metric, ",", row.images, ",", row.defined, ",", row.infinite);
    for (const double value : {row.mean, row.standard_deviation, row.low, row.high, row.percentile5, row.percentile25,
                               row.median, row.percentile75, row.percentile95})
      out += "," + detail::csv_number(value);
    out += "\n";
  }
  return out;
}

/// Writes the table to a CSV file, such as results_eval/results.csv. The file is there whole or not at all.
/// @throws Error (internal) if it cannot be written
IVADO_INLINE void write_results_csv(const std::string& path, const std::vector<ResultRow>& rows) {
  write_file_atomically(path, results_csv(rows));
}

}  // namespace ivado
