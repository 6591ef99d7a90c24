// Pictures of a threshold analysis as SVG text: the score at each threshold, and the receiver operating characteristic.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../metric/threshold_analysis.hpp"

namespace ivado {
namespace detail {

/// A number with a fixed number of decimals, whatever the locale.
[[nodiscard]] inline std::string fixed_text(double value, int decimals) {
  std::array<char, 64> buffer{};
  return {buffer.data(),
          std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, decimals).ptr};
}

/// One diagram of an SVG picture, axes in front.
class SvgPanel {
 public:
  /// @param left   of the plotted area in pixels
  /// @param range  of the vertical axis; the horizontal one has [0, 1]
  SvgPanel(double left, std::array<double, 2> range) : left_(left), range_(range) {}

  static constexpr double top = 44;
  static constexpr double size = 320;

  [[nodiscard]] double x(double value) const noexcept { return left_ + value * size; }
  [[nodiscard]] double y(double value) const noexcept {
    return top + (range_[1] - value) / (range_[1] - range_[0]) * size;
  }
  /// Frame, ticks and labels.
  [[nodiscard]] std::string axes(std::string_view title, std::string_view horizontal, std::string_view vertical) const {
    std::string out = "<rect x=\"" + fixed_text(left_, 1) + "\" y=\"" + fixed_text(top, 1) + "\" width=\"" +
                      fixed_text(size, 1) + "\" height=\"" + fixed_text(size, 1) +
                      "\" fill=\"none\" stroke=\"#444\"/>\n";
    for (int tick = 0; tick <= 5; ++tick) {
      const double h = tick / 5.0;
      const double v = range_[0] + (range_[1] - range_[0]) * h;
      out += line(x(h), top + size, x(h), top + size + 5, "#444") + text(x(h), top + size + 19, fixed_text(h, 1));
      out += line(left_ - 5, y(v), left_, y(v), "#444") + text(left_ - 8, y(v) + 4, fixed_text(v, 2), "end");
    }
    out += text(x(0.5), top - 14, title, "middle", "font-weight=\"bold\"");
    out += text(x(0.5), top + size + 40, horizontal);
    const std::string turn = fixed_text(left_ - 46, 1) + " " + fixed_text(top + size / 2, 1);
    return out + text(left_ - 46, top + size / 2, vertical, "middle", "transform=\"rotate(-90 " + turn + ")\"");
  }
  /// A line through points, broken where one is NaN.
  [[nodiscard]] std::string curve(const std::vector<std::array<double, 2>>& points, std::string_view colour,
                                  std::string_view more = {}) const {
    std::string out;
    std::string run;
    const auto finish = [&] {
      if (!run.empty())
        out += "<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"1.5\" " +
               std::string(more) + " points=\"" + run + "\"/>\n";
      run.clear();
    };
    for (const auto& [h, v] : points) {
      if (std::isnan(h) || std::isnan(v)) {
        finish();
        continue;
      }
      run += (run.empty() ? "" : " ") + fixed_text(x(h), 2) + "," + fixed_text(y(v), 2);
    }
    finish();
    return out;
  }
  /// A dot with words beside it, towards the middle of the diagram.
  [[nodiscard]] std::string mark(double h, double v, std::string_view words) const {
    const bool is_right = h > 0.5;
    const double beside = y(v) > top + size / 2 ? -10 : 20;
    return "<circle cx=\"" + fixed_text(x(h), 2) + "\" cy=\"" + fixed_text(y(v), 2) +
           "\" r=\"5\" fill=\"#2ca02c\"/>\n" +
           text(x(h) + (is_right ? -8 : 8), y(v) + beside, words, is_right ? "end" : "start",
                "fill=\"#1b6e1b\" stroke=\"#fff\" "
                "stroke-width=\"3\" paint-order=\"stroke\"");
  }
  [[nodiscard]] static std::string text(double x, double y, std::string_view words, std::string_view anchor = "middle",
                                        std::string_view more = {}) {
    return "<text x=\"" + fixed_text(x, 1) + "\" y=\"" + fixed_text(y, 1) + "\" text-anchor=\"" + std::string(anchor) +
           "\"" + (more.empty() ? "" : " ") + std::string(more) + ">" + std::string(words) + "</text>\n";
  }
  [[nodiscard]] static std::string line(double x1, double y1, double x2, double y2, std::string_view colour) {
    return "<line x1=\"" + fixed_text(x1, 2) + "\" y1=\"" + fixed_text(y1, 2) + "\" x2=\"" + fixed_text(x2, 2) +
           "\" y2=\"" + fixed_text(y2, 2) + "\" stroke=\"" + std::string(colour) + "\"/>\n";
  }

 private:
  double left_;
  std::array<double, 2> range_;
};

/// Least and largest score of all curves with a margin; never of no height.
[[nodiscard]] inline std::array<double, 2> score_range(const std::vector<const ThresholdCurve*>& curves) {
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

/// The colours of the classes, which start again after the last.
inline constexpr std::array<std::string_view, 6> class_colours{"#1f77b4", "#9467bd", "#8c564b",
                                                               "#e377c2", "#7f7f7f", "#17becf"};

}  // namespace detail

/// Two diagrams side by side as one SVG picture, 860 × 440 pixels, that needs no other file: the score at each
/// threshold, and the receiver operating characteristic with the diagonal of a guess. The optimum is a green dot in
/// both. All classes together are orange; where there are several, each has a line of its own that the legend names.
[[nodiscard]] inline std::string threshold_plot_svg(const ThresholdResult& result) {
  using Panel = detail::SvgPanel;
  std::vector<const ThresholdCurve*> curves;
  if (result.classes.size() > 1)
    for (const auto& curve : result.classes) curves.push_back(&curve);
  curves.push_back(&result.pooled);  // drawn last, over the others
  const Panel scores(80, detail::score_range(curves));
  const Panel roc(510, {0, 1});
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"440\" viewBox=\"0 0 860 440\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"860\" height=\"440\" fill=\"#fff\"/>\n";
  const bool by_dice = result.metric == ThresholdMetric::dice;
  out += scores.axes("Threshold analysis", "threshold", by_dice ? "mean Dice" : "mean recall + specificity - 1");
  out += roc.axes("Receiver operating characteristic", "false positive rate (1 - specificity)",
                  "true positive rate (recall)");
  out += roc.curve({{0, 0}, {1, 1}}, "#000080", "stroke-dasharray=\"5 4\"");
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const bool is_pooled = curves[i] == &result.pooled;
    const std::string_view colour = is_pooled ? "#ff7f0e" : detail::class_colours[i % detail::class_colours.size()];
    std::vector<std::array<double, 2>> by_threshold;
    std::vector<std::array<double, 2>> by_rate;
    for (const auto& point : curves[i]->points) by_threshold.push_back({point.threshold, point.score});
    for (const auto& point : curves[i]->roc) by_rate.push_back({point.false_positive_rate, point.true_positive_rate});
    const std::string_view more = is_pooled ? "" : "stroke-opacity=\"0.7\"";
    out += scores.curve(by_threshold, colour, more) + roc.curve(by_rate, colour, more);
    if (curves.size() > 1) {
      const double y = Panel::top + Panel::size - 14.0 * static_cast<double>(curves.size() - i) - 4;
      const double x = roc.x(0.62);
      out += Panel::line(x, y - 4, x + 18, y - 4, colour) +
             Panel::text(x + 24, y, is_pooled ? "all classes" : "class " + std::to_string(i), "start");
    }
  }
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
  return out + "</svg>\n";
}

/// Writes `threshold_plot_svg(result)`. The file is there whole or not at all.
/// @throws Error (internal) if it cannot be written
inline void write_threshold_plot(const std::string& path, const ThresholdResult& result) {
  write_file_atomically(path, threshold_plot_svg(result));
}

}  // namespace ivado
