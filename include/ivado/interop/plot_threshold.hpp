// Pictures of a threshold analysis as SVG text: the score at each threshold, and the receiver operating characteristic.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../inline.hpp"
#include "../metric/threshold_analysis.hpp"
#include "../report/svg_plot.hpp"

namespace ivado {
namespace detail {

/// Least and largest score of all curves with a margin; never of no height.
[[nodiscard]] IVADO_INLINE std::array<double, 2> score_range(const std::vector<const ThresholdCurve*>& curves) {
  double low = 1;
  double high = -1;
  for (const ThresholdCurve* curve : curves) {
    for (const auto& point : curve->points) {
      if (std::isnan(point.score)) continue;
      low = std::min(low, point.score);
      high = std::max(high, point.score);
    }
  }
  const double margin = std::max(0.02, 0.05 * (high - low));
  return {low - margin, high + margin};
}

}  // namespace detail

/// Two diagrams side by side as one SVG picture, 860 × 440 pixels, that needs no other file: the score at each
/// threshold, and the receiver operating characteristic with the diagonal of a guess. The optimum is a green dot in
/// both. All classes together are orange; where there are several, each has a line of its own that the legend names.
[[nodiscard]] IVADO_INLINE std::string threshold_plot_svg(const ThresholdResult& result) {
  using Panel = detail::SvgPanel;
  std::vector<const ThresholdCurve*> curves;
  if (result.classes.size() > 1)
    for (const auto& curve : result.classes) curves.push_back(&curve);
  curves.push_back(&result.pooled);  // drawn last, over the others
  const bool by_dice = result.metric == ThresholdMetric::dice;
  using detail::PlotAxis;
  const Panel scores(
      {80, 44, 320, 320}, PlotAxis::even("threshold", {0, 1}, 5, 1),
      PlotAxis::even(by_dice ? "mean Dice" : "mean recall + specificity - 1", detail::score_range(curves), 5, 2));
  const Panel roc({510, 44, 320, 320}, PlotAxis::even("false positive rate (1 - specificity)", {0, 1}, 5, 1),
                  PlotAxis::even("true positive rate (recall)", {0, 1}, 5, 2));
  std::string out = scores.axes("Threshold analysis") + roc.axes("Receiver operating characteristic");
  out += roc.curve({{0, 0}, {1, 1}}, detail::series_colours[7], "stroke-dasharray=\"5 4\"");
  std::vector<Panel::LegendEntry> legend;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const bool is_pooled = curves[i] == &result.pooled;
    const std::string_view colour = detail::series_colour(is_pooled ? 1 : i == 0 ? 0 : i + 2);
    std::vector<std::array<double, 2>> by_threshold;
    std::vector<std::array<double, 2>> by_rate;
    for (const auto& point : curves[i]->points) by_threshold.push_back({point.threshold, point.score});
    for (const auto& point : curves[i]->roc) by_rate.push_back({point.false_positive_rate, point.true_positive_rate});
    const std::string_view more = is_pooled ? "" : "stroke-opacity=\"0.7\"";
    out += scores.curve(by_threshold, colour, more) + roc.curve(by_rate, colour, more);
    legend.push_back({is_pooled ? "all classes" : "class " + std::to_string(i), colour, {}});
  }
  if (curves.size() > 1) out += Panel::legend(roc.x(0.62), 360 - 14.0 * static_cast<double>(curves.size()), legend);
  const ThresholdCurve& best = result.pooled;
  if (best.optimum_index < best.points.size()) {
    const ThresholdPoint& point = best.points[best.optimum_index];
    const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(result.increment) - 1e-9)), 1, 4);
    const std::string threshold = detail::fixed_text(best.optimum, decimals);
    out += scores.mark(best.optimum, best.best_score,
                       "optimum " + threshold + ": " + detail::fixed_text(best.best_score, 3));
    out += roc.mark(1 - point.specificity, point.recall, "threshold " + threshold);
    std::string note = std::to_string(result.volumes) + (result.volumes == 1 ? " volume" : " volumes") +
                       "; mean Dice at the optimum " +
                       (std::isnan(point.dice) ? "not defined" : detail::fixed_text(point.dice, 3));
    if (!std::isnan(best.dice_interval.lower))
      note += " (95 % confidence " + detail::fixed_text(best.dice_interval.lower, 3) + " to " +
              detail::fixed_text(best.dice_interval.upper, 3) + ")";
    out += Panel::text(430, 430, note + "; area under the ROC " + detail::fixed_text(best.roc_area, 3));
  }
  return detail::svg_document(860, 440, out);
}

/// Writes `threshold_plot_svg(result)`. The file is there whole or not at all.
/// @throws Error (internal) if it cannot be written
IVADO_INLINE void write_threshold_plot(const std::string& path, const ThresholdResult& result) {
  write_file_atomically(path, threshold_plot_svg(result));
}

}  // namespace ivado
