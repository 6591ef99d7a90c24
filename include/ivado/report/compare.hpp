// `ivado compare`: the metrics of several models on the same images, their statistics, tests between them, and a violin
// plot. No LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <numbers>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../metric/evaluation.hpp"
#include "../metric/results.hpp"
#include "csv_table.hpp"
#include "hypothesis_tests.hpp"
#include "svg_plot.hpp"

namespace ivado {

/// A model to be compared: its name and its table of metrics, a row an image.
struct ModelMetrics {
  std::string name;
  NumberTable table;
};

/// Which test the marks of the plot stand for.
enum class ComparisonTest {
  wilcoxon,            ///< of the images that both models have
  kolmogorov_smirnov,  ///< of all images of each, as in ivadomed
  student              ///< of all images of each
};

template <>
struct EnumNames<ComparisonTest> {
  static constexpr std::array values{std::pair{std::string_view{"wilcoxon"}, ComparisonTest::wilcoxon},
                                     std::pair{std::string_view{"ks"}, ComparisonTest::kolmogorov_smirnov},
                                     std::pair{std::string_view{"t"}, ComparisonTest::student}};
};

/// How the values of a metric spread over the images of a model; NaN where there are too few.
struct MetricSpread {
  std::string model;
  std::string metric;
  std::int64_t images = 0;                      ///< where it is defined
  std::int64_t infinite = 0;                    ///< of them where it is infinite: a distance with one mask empty
  double mean = undefined_score;                ///< of the finite ones
  double standard_deviation = undefined_score;  ///< of the finite ones (n - 1)
  double minimum = undefined_score;
  double lower_quartile = undefined_score;
  double median = undefined_score;
  double upper_quartile = undefined_score;
  double maximum = undefined_score;
};

/// Two models by one metric.
struct MetricPair {
  std::string metric;
  std::size_t first = 0;  ///< number of the model
  std::size_t second = 0;
  std::int64_t shared = 0;                   ///< images where both have the metric
  double mean_difference = undefined_score;  ///< of these images, where both are finite: first - second
  TestResult wilcoxon;                       ///< of these images
  TestResult kolmogorov_smirnov;
  TestResult student;

  [[nodiscard]] const TestResult& result(ComparisonTest test) const noexcept {
    return test == ComparisonTest::wilcoxon             ? wilcoxon
           : test == ComparisonTest::kolmogorov_smirnov ? kolmogorov_smirnov
                                                        : student;
  }
};

/// What a comparison finds.
struct Comparison {
  std::vector<std::string> models;
  std::vector<std::string> metrics;   ///< columns that all models have, in the order of the first
  std::vector<MetricSpread> spreads;  ///< by metric, then by model
  std::vector<MetricPair> pairs;      ///< by metric, then by models
};

namespace detail {

/// The values of a metric by image, without NaN.
[[nodiscard]] inline std::map<std::string, double> defined_values(const NumberTable& table, const std::string& metric) {
  std::map<std::string, double> out;
  const std::size_t column = table.column(metric);
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    const double value = table.values[r][column];
    if (out.contains(table.rows[r]))
      throw data_error("reading " + table.path, "it has two rows of " + table.rows[r],
                       "each image may stand there once");
    out[table.rows[r]] = value;
  }
  std::erase_if(out, [](const auto& one) { return std::isnan(one.second); });
  return out;
}

[[nodiscard]] inline std::vector<double> numbers_of(const std::map<std::string, double>& values) {
  std::vector<double> out;
  for (const auto& one : values) out.push_back(one.second);
  return out;
}

[[nodiscard]] inline std::vector<double> finite(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  return values;
}

[[nodiscard]] inline MetricSpread spread_of(std::string model, std::string metric, std::vector<double> values) {
  MetricSpread out{std::move(model), std::move(metric), static_cast<std::int64_t>(values.size())};
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  RunningMean mean;
  for (const double value : values) {
    if (std::isfinite(value))
      mean.add(value);
    else
      ++out.infinite;
  }
  out.mean = mean.mean();
  out.standard_deviation = mean.standard_deviation();
  out.minimum = values.front();
  out.lower_quartile = sorted_percentile(values, 25);
  out.median = sorted_percentile(values, 50);
  out.upper_quartile = sorted_percentile(values, 75);
  out.maximum = values.back();
  return out;
}

/// "***", "**", "*" or "ns".
[[nodiscard]] inline std::string_view stars(double p) noexcept {
  return p < 0.001 ? "***" : p < 0.01 ? "**" : p < 0.05 ? "*" : "ns";
}

/// The density of values at `places` by Gaussian kernels of Scott's width (Scott 1992), the largest scaled to 1; empty
/// where the values do not differ.
[[nodiscard]] inline std::vector<double> kernel_density(const std::vector<double>& values,
                                                        const std::vector<double>& places) {
  RunningMean spread;
  for (const double value : values) spread.add(value);
  const double width = spread.standard_deviation() * std::pow(static_cast<double>(values.size()), -0.2);
  if (!(width > 0)) return {};
  std::vector<double> out;
  for (const double place : places) {
    double sum = 0;
    for (const double value : values) sum += std::exp(-0.5 * (place - value) * (place - value) / (width * width));
    out.push_back(sum);
  }
  const double largest = *std::max_element(out.begin(), out.end());
  if (!(largest > 0)) return {};
  for (double& value : out) value /= largest;
  return out;
}

/// A p-value for people.
[[nodiscard]] inline std::string p_text(double p) { return p < 0.001 ? "p < 0.001" : "p = " + fixed_text(p, 3); }

}  // namespace detail

/// Compares the metrics of models: spread of each over its images, and three tests of each pair of models.
///
/// Images are matched by their names in the first column. Values that are not defined are left out of everything that
/// needs them; `images` and `shared` tell how many were left.
/// @throws Error (usage) for fewer than one model or no column that all have; (data) if a table has an image twice
[[nodiscard]] inline Comparison compare_models(const std::vector<ModelMetrics>& models) {
  if (models.empty()) throw usage_error("comparing models", "no table is given");
  Comparison out;
  for (const auto& model : models) out.models.push_back(model.name);
  for (const auto& column : models.front().table.columns)
    if (std::all_of(models.begin(), models.end(), [&](const ModelMetrics& model) {
          return std::count(model.table.columns.begin(), model.table.columns.end(), column) > 0;
        }))
      out.metrics.push_back(column);
  if (out.metrics.empty())
    throw usage_error("comparing models", "the tables have no column in common", "give tables of one kind");
  for (const auto& metric : out.metrics) {
    std::vector<std::map<std::string, double>> values;
    for (const auto& model : models) {
      values.push_back(detail::defined_values(model.table, metric));
      out.spreads.push_back(detail::spread_of(model.name, metric, detail::numbers_of(values.back())));
    }
    for (std::size_t a = 0; a < models.size(); ++a) {
      for (std::size_t b = a + 1; b < models.size(); ++b) {
        MetricPair pair;
        pair.metric = metric;
        pair.first = a;
        pair.second = b;
        std::vector<double> first;
        std::vector<double> second;
        detail::RunningMean difference;
        for (const auto& [image, value] : values[a]) {
          const auto other = values[b].find(image);
          if (other == values[b].end()) continue;
          first.push_back(value);
          second.push_back(other->second);
          if (std::isfinite(value) && std::isfinite(other->second)) difference.add(value - other->second);
        }
        pair.shared = static_cast<std::int64_t>(first.size());
        pair.mean_difference = difference.mean();
        pair.wilcoxon = wilcoxon_signed_rank(first, second);
        const auto all_first = detail::numbers_of(values[a]);
        const auto all_second = detail::numbers_of(values[b]);
        pair.kolmogorov_smirnov = kolmogorov_smirnov(all_first, all_second);
        pair.student = student_t(detail::finite(all_first), detail::finite(all_second));
        out.pairs.push_back(std::move(pair));
      }
    }
  }
  return out;
}

/// The spreads as CSV: a row a metric and model. An undefined number is an empty field.
[[nodiscard]] inline std::string comparison_csv(const Comparison& comparison) {
  std::string out = "metric,model,images,infinite,mean,std,min,q1,median,q3,max\n";
  for (const auto& one : comparison.spreads) {
    out += detail::csv_text(one.metric) + "," + detail::csv_text(one.model) + "," + std::to_string(one.images) + "," +
           std::to_string(one.infinite);
    for (const double value : {one.mean, one.standard_deviation, one.minimum, one.lower_quartile, one.median,
                               one.upper_quartile, one.maximum})
      out += "," + detail::csv_number(value);
    out += "\n";
  }
  return out;
}

/// The tests as CSV: a row a metric and pair of models, with p-values as they are and, for Wilcoxon's, after Holm's
/// correction for the pairs of a metric.
[[nodiscard]] inline std::string comparison_pairs_csv(const Comparison& comparison) {
  std::string out =
      "metric,model_a,model_b,shared_images,mean_difference,wilcoxon_w,wilcoxon_p,wilcoxon_p_holm,ks_d,ks_p,t,t_p\n";
  for (std::size_t begin = 0; begin < comparison.pairs.size();) {
    std::size_t end = begin;
    std::vector<double> p;
    while (end < comparison.pairs.size() && comparison.pairs[end].metric == comparison.pairs[begin].metric)
      p.push_back(comparison.pairs[end++].wilcoxon.p);
    const std::vector<double> holm = holm_adjusted(p);
    for (std::size_t i = begin; i < end; ++i) {
      const MetricPair& one = comparison.pairs[i];
      out += detail::csv_text(one.metric) + "," + detail::csv_text(comparison.models[one.first]) + "," +
             detail::csv_text(comparison.models[one.second]) + "," + std::to_string(one.shared);
      for (const double value :
           {one.mean_difference, one.wilcoxon.statistic, one.wilcoxon.p, holm[i - begin],
            one.kolmogorov_smirnov.statistic, one.kolmogorov_smirnov.p, one.student.statistic, one.student.p})
        out += "," + detail::csv_number(value);
      out += "\n";
    }
    begin = end;
  }
  return out;
}

/// Violins of one metric as an SVG picture: the density of each model's values, cut at the smallest and largest; each
/// image as a dot, its name under the pointer (infinite values are counted below, not drawn); median and quartiles; the mean above. For two to four models a bracket
/// joins each pair and tells the p-value after Holm's correction, with * below 0.05, ** below 0.01 and *** below 0.001
/// (ivadomed draws a star below 0.5: known-problems B7.6).
/// @throws Error (usage) if a model does not have the metric
[[nodiscard]] inline std::string violin_plot_svg(const std::vector<ModelMetrics>& models, const Comparison& comparison,
                                                 const std::string& metric, ComparisonTest test) {
  using Panel = detail::SvgPanel;
  std::vector<std::map<std::string, double>> values;  // the finite ones
  std::vector<std::size_t> infinite;
  std::size_t longest = 0;
  double low = INFINITY;
  double high = -INFINITY;
  for (const auto& model : models) {
    values.push_back(detail::defined_values(model.table, metric));
    infinite.push_back(std::erase_if(values.back(), [](const auto& one) { return std::isinf(one.second); }));
    longest = std::max(longest, model.name.size());
    for (const auto& one : values.back()) {
      low = std::min(low, one.second);
      high = std::max(high, one.second);
    }
  }
  if (low > high) low = high = 0;
  std::vector<const MetricPair*> pairs;
  std::vector<double> p;
  if (models.size() <= 4) {
    for (const auto& pair : comparison.pairs) {
      if (pair.metric != metric || std::isnan(pair.result(test).p)) continue;
      pairs.push_back(&pair);
      p.push_back(pair.result(test).p);
    }
  }
  const std::vector<double> adjusted = holm_adjusted(p);

  const double wide = std::max(120.0, 7.5 * static_cast<double>(longest) + 16);
  const double brackets = 22.0 * static_cast<double>(pairs.size());
  const double margin = std::max(0.05 * (high - low), 1e-3 * std::max(std::abs(high), 1e-3));
  std::vector<std::string> names;
  for (const auto& model : models) names.push_back(model.name);
  const detail::PlotBox box{80, 76 + brackets, wide * static_cast<double>(models.size()), 320};
  const Panel panel(box, detail::PlotAxis::names("", names),
                    detail::PlotAxis::round(metric, {low - margin, high + margin}));
  const int width = static_cast<int>(std::lround(box.left + box.width + 30));
  const int height = static_cast<int>(std::lround(box.top + box.height + 62));
  std::string out = Panel::text(box.left + box.width / 2, 24, metric, "middle", "class=\"title\"") +
                    panel.axes("", /*gridlines=*/true);
  for (std::size_t m = 0; m < models.size(); ++m) {
    const double centre = static_cast<double>(m) + 0.5;
    const std::string_view colour = detail::series_colour(m);
    const MetricSpread spread = detail::spread_of(models[m].name, metric, detail::numbers_of(values[m]));
    const std::vector<double> numbers = detail::numbers_of(values[m]);
    if (numbers.empty()) {
      out += Panel::text(panel.x(centre), box.top + box.height / 2, infinite[m] > 0 ? "all infinite" : "no value");
      continue;
    }
    constexpr double half = 0.36;  // of the place of a model
    constexpr int steps = 80;
    std::vector<double> places;
    for (int s = 0; s <= steps; ++s) places.push_back(spread.minimum + (spread.maximum - spread.minimum) * s / steps);
    const std::vector<double> density = detail::kernel_density(numbers, places);
    std::vector<std::array<double, 2>> outline;
    for (std::size_t s = 0; s < density.size(); ++s) outline.push_back({centre + half * density[s], places[s]});
    for (std::size_t s = density.size(); s-- > 0;) outline.push_back({centre - half * density[s], places[s]});
    if (!outline.empty()) out += panel.area(outline, colour, 0.3);
    std::size_t number = 0;
    for (const auto& [image, value] : values[m]) {
      // Beside one another by the golden ratio, within the violin.
      const double turn = static_cast<double>(number++) / std::numbers::phi;
      const double side = 2 * (turn - std::floor(turn)) - 1;
      const double part = (value - spread.minimum) / (spread.maximum - spread.minimum);
      const double room = density.empty() ? 0.3 : density[static_cast<std::size_t>(std::lround(part * steps))];
      out +=
          panel.dot(centre + 0.8 * half * side * room, value, 2.5, colour, image + ": " + detail::fixed_text(value, 4));
    }
    const double x = panel.x(centre);
    const std::size_t images = numbers.size() + infinite[m];
    out += Panel::segment(x, panel.y(spread.lower_quartile), x, panel.y(spread.upper_quartile),
                          "class=\"axis\" stroke-width=\"5\"");
    out += Panel::segment(x - 14, panel.y(spread.median), x + 14, panel.y(spread.median),
                          "class=\"axis\" stroke-width=\"3\"");
    out += Panel::text(x, box.top - 8, "mean " + detail::fixed_text(spread.mean, 3));
    out += Panel::text(x, box.top + box.height + 36,
                       std::to_string(images) + (images == 1 ? " image" : " images") +
                           (infinite[m] > 0 ? ", " + std::to_string(infinite[m]) + " infinite" : ""));
  }
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const double y = 48 + 22 * static_cast<double>(i);
    const double left = panel.x(static_cast<double>(pairs[i]->first) + 0.5);
    const double right = panel.x(static_cast<double>(pairs[i]->second) + 0.5);
    for (const double end : {left, right}) out += Panel::segment(end, y, end, y + 6, "class=\"axis\"");
    out += Panel::segment(left, y, right, y, "class=\"axis\"");
    out += Panel::text((left + right) / 2, y - 3,
                       std::string(detail::stars(adjusted[i])) + " " + detail::p_text(adjusted[i]));
  }
  if (!pairs.empty()) {
    const char* const test_name = test == ComparisonTest::wilcoxon             ? "Wilcoxon signed-rank test"
                                  : test == ComparisonTest::kolmogorov_smirnov ? "Kolmogorov-Smirnov test"
                                                                               : "Student's t-test";
    out += Panel::text(box.left + box.width / 2, static_cast<double>(height) - 8,
                       std::string(test_name) + (pairs.size() > 1 ? ", Holm's correction" : ""));
  }
  return detail::svg_document(std::max(width, 360), height, out);
}

/// Reads the metrics of a model: a CSV file, or the folder of its results with `results_eval/evaluation_3Dmetrics.csv`.
/// The name is that of the folder of the results, or of the file without its extension.
/// @throws Error (data) if there is no such file
[[nodiscard]] inline ModelMetrics read_model_metrics(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path file = fs::path(path).lexically_normal();
  if (!file.has_filename()) file = file.parent_path();  // a slash at the end
  fs::path named = file.stem();
  if (fs::is_directory(file)) {
    named = file.filename();
    file /= "results_eval/evaluation_3Dmetrics.csv";
    if (!fs::exists(file))
      throw data_error("reading the metrics of " + path, "there is no " + file.string(),
                       "run ivado --test there first, or give the CSV file itself");
  } else if (file.parent_path().filename() == "results_eval") {
    named = fs::absolute(file).parent_path().parent_path().filename();
  }
  return {named.string(), read_number_table(file.string())};
}

/// `ivado compare RESULTS... [--metric dice_class0] [--names a,b,...] [--test wilcoxon|ks|t] [-o PREFIX]`.
///
/// Writes PREFIX.csv (spread of every metric of each model), PREFIX_pairs.csv (tests of each pair) and PREFIX.svg
/// (violins of one metric). ivadomed has a window on the screen instead
/// (ivadomed_visualize_and_compare_testing_models).
/// @return exit status: 0 done, 2 wrong usage, 3 tables that cannot be used, 4 anything else
[[nodiscard]] inline int run_compare(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  try {
    const std::string usage =
        "usage: ivado compare RESULTS... [--metric dice_class0] [--names a,b,...] [--test wilcoxon|ks|t] [-o PREFIX]";
    std::vector<std::string> paths;
    std::string metric = "dice_class0";
    std::string names;
    std::string prefix = "comparison_models";
    ComparisonTest test = ComparisonTest::wilcoxon;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::string& option = arguments[i];
      if (option == "-h" || option == "--help") {
        out << usage << "\n\n  RESULTS   output folders of ivado --test, or CSV files\n"
            << "  --metric  the column that is drawn\n"
            << "  --names   names of the models, in the order of RESULTS (default: of the folders)\n"
            << "  --test    of the brackets: Wilcoxon's of pairs (default), Kolmogorov-Smirnov's, Student's\n"
            << "  -o        of PREFIX.csv, PREFIX_pairs.csv and PREFIX.svg (default comparison_models)\n";
        return 0;
      }
      if (option.empty() || option.front() != '-') {
        paths.push_back(option);
        continue;
      }
      const std::vector<std::string> known{"--metric", "--names", "--test", "-o", "--output", "--help"};
      if (std::find(known.begin(), known.end(), option) == known.end())
        throw usage_error("ivado compare", "there is no option \"" + option + "\"",
                          "did you mean \"" + detail::nearest(option, known) + "\"? " + usage);
      if (i + 1 == arguments.size()) throw usage_error("ivado compare", option + " needs a value", usage);
      const std::string& value = arguments[++i];
      if (option == "--metric") metric = value;
      if (option == "--names") names = value;
      if (option == "--test") test = from_json<ComparisonTest>(Json(value), "--test");
      if (option == "-o" || option == "--output") prefix = value;
    }
    if (paths.empty()) throw usage_error("ivado compare", "no results are given", usage);
    std::vector<ModelMetrics> models;
    for (const auto& path : paths) models.push_back(read_model_metrics(path));
    if (!names.empty()) {
      const auto given = detail::parse_csv(names, "--names");
      if (given.size() != 1 || given.front().size() != models.size())
        throw usage_error("ivado compare", "--names has another number of names than there are results",
                          "give " + std::to_string(models.size()) + " names with commas between them");
      for (std::size_t m = 0; m < models.size(); ++m) models[m].name = given.front()[m];
    }
    for (const auto& model : models) (void)model.table.column(metric);  // before anything is written
    const Comparison comparison = compare_models(models);
    write_file_atomically(prefix + ".csv", comparison_csv(comparison));
    write_file_atomically(prefix + "_pairs.csv", comparison_pairs_csv(comparison));
    write_file_atomically(prefix + ".svg", violin_plot_svg(models, comparison, metric, test));
    for (const auto& one : comparison.spreads)
      if (one.metric == metric)
        out << one.model << ": " << metric << " "
            << (!std::isnan(one.mean) ? detail::fixed_text(one.mean, 4) : std::string("not defined"))
            << (!std::isnan(one.standard_deviation) ? " ± " + detail::fixed_text(one.standard_deviation, 4) : "")
            << " over " << one.images << " images\n";
    for (const auto& pair : comparison.pairs)
      if (pair.metric == metric && !std::isnan(pair.result(test).p))
        out << comparison.models[pair.first] << " and " << comparison.models[pair.second] << ": "
            << detail::p_text(pair.result(test).p) << " (" << pair.shared << " images of both)\n";
    out << "wrote " << prefix << ".csv, " << prefix << "_pairs.csv and " << prefix << ".svg\n";
    return 0;
  } catch (const Error& error) {
    err << "error: " << error.what() << "\n";
    return error.exit_status();
  }
}

}  // namespace ivado
