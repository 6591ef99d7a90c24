// The study's figures of an experiment as SVG: utilisation by phase, time by phase, and the curves of the mini-batches.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../report/svg_plot.hpp"
#include "measurements.hpp"

namespace ivado::study {

namespace detail {

using Panel = ivado::detail::SvgPanel;
using Axis = ivado::detail::PlotAxis;
using ivado::detail::fixed_text;
using ivado::detail::series_colour;

/// A quantity of the logs: its column without the prefix of the log, its words, and what its values are multiplied by.
struct Quantity {
  std::string column;
  std::string title;
  std::string axis;
  double factor = 1;
};

/// The shares of the machine, as the study draws them.
[[nodiscard]] inline const std::vector<Quantity>& shares() {
  static const std::vector<Quantity> all{{"gpu_util", "GPU", "busy, %", 100},
                                         {"cpu_util", "CPU (all cores of the machine)", "busy, %", 100},
                                         {"gpu_mem", "GPU memory", "in use, %", 100},
                                         {"main_mem", "main memory (of the machine)", "in use, %", 100}};
  return all;
}

/// A bar from `low` to `high` at place `at` of the horizontal axis.
[[nodiscard]] inline std::string bar(const Panel& panel, double at, double width, double low, double high,
                                     std::string_view colour) {
  return panel.area({{at, low}, {at + width, low}, {at + width, high}, {at, high}}, colour, 1);
}

/// Words in the middle of a diagram without data.
[[nodiscard]] inline std::string nothing(const Panel& panel, std::string_view words) {
  return Panel::text(panel.box().left + panel.box().width / 2, panel.box().top + panel.box().height / 2, words);
}

/// The entries of a legend with one colour a run.
[[nodiscard]] inline std::vector<Panel::LegendEntry> legend_of(const std::vector<Measured>& runs) {
  std::vector<Panel::LegendEntry> out;
  for (std::size_t r = 0; r < runs.size(); ++r) out.push_back({runs[r].run, series_colour(r), "stroke-width=\"6\""});
  return out;
}

/// The phases that at least one run has, in their order.
[[nodiscard]] inline std::vector<std::string> phases_of(const std::vector<Measured>& runs) {
  std::vector<std::string> out;
  for (const char* phase : {"DATA", "TRAIN", "POST", "THR", "TEST"})
    if (std::any_of(runs.begin(), runs.end(), [&](const auto& run) { return run.phase_s(phase) > 0; }))
      out.emplace_back(phase);
  return out;
}

/// A part of a time: its name, and its seconds in each run.
struct Part {
  std::string name;
  std::vector<double> values;
};
/// Bars one above the other, one a run.
[[nodiscard]] inline std::string stacked_bars(const std::vector<Measured>& runs, const std::vector<Part>& parts,
                                              const std::string& title) {
  std::vector<std::string> names;
  double largest = 0;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    names.push_back(runs[r].run);
    double sum = 0;
    for (const auto& part : parts) sum += std::max(0.0, part.values[r]);
    largest = std::max(largest, sum);
  }
  const double wide = std::max(420.0, 86.0 * static_cast<double>(runs.size()));
  const Panel panel({80, 50, wide, 320}, Axis::names("", names), Axis::round("time, s", {0, 1.08 * largest}));
  std::string out = panel.axes(title, true);
  std::vector<Panel::LegendEntry> legend;
  for (std::size_t p = 0; p < parts.size(); ++p)
    legend.push_back({parts[p].name, series_colour(p), "stroke-width=\"6\""});
  for (std::size_t r = 0; r < runs.size(); ++r) {
    double low = 0;
    const double at = static_cast<double>(r) + 0.2;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const double value = std::max(0.0, parts[p].values[r]);
      out += bar(panel, at, 0.6, low, low + value, series_colour(p));
      if (value > 0.05 * largest)
        out += Panel::text(panel.x(at + 0.3), panel.y(low + value / 2) + 4, fixed_text(value, value < 10 ? 2 : 1),
                           "middle", "class=\"halo\"");
      low += value;
    }
  }
  out += Panel::legend(80, 412, legend);
  return ivado::detail::svg_document(static_cast<int>(wide) + 110,
                                     430 + 14 * static_cast<int>(std::max<std::size_t>(parts.size(), 1)), out);
}

}  // namespace detail

/// Utilisation by phase: four diagrams of bars, one bar a run. (The study's `subplot`.)
[[nodiscard]] inline std::string utilisation_svg(const std::vector<Measured>& runs, const std::string& title) {
  using namespace detail;
  const auto phases = phases_of(runs);
  const double wide = std::max(320.0, 24.0 * static_cast<double>(phases.size() * (runs.size() + 1)));
  std::string out = Panel::text(60 + wide, 20, title, "middle", "class=\"title\"");
  for (std::size_t q = 0; q < shares().size(); ++q) {
    const Quantity& quantity = shares()[q];
    const Panel panel({80 + static_cast<double>(q % 2) * (wide + 90), 60 + static_cast<double>(q / 2) * 270, wide, 190},
                      Axis::names("", phases), Axis::even(quantity.axis, {0, 100}, 5, 0));
    out += panel.axes(quantity.title, true);
    const double width = 0.8 / static_cast<double>(runs.size());
    bool any = false;
    for (std::size_t r = 0; r < runs.size(); ++r)
      for (std::size_t p = 0; p < phases.size(); ++p) {
        const double value = quantity.factor * runs[r].system.value(phases[p], quantity.column);
        if (!std::isfinite(value)) continue;
        any = true;
        out += bar(panel, static_cast<double>(p) + 0.1 + width * static_cast<double>(r), 0.92 * width, 0,
                   std::clamp(value, 0.0, 100.0), series_colour(r));
      }
    if (!any) out += nothing(panel, "not measured: this machine does not tell");
  }
  out += Panel::legend(80, 590, legend_of(runs));
  return ivado::detail::svg_document(static_cast<int>(2 * wide) + 200, 600 + 14 * static_cast<int>(runs.size()), out);
}

/// Time by phase, one bar a run with its phases above each other. (The study's `time_per_comp_plot`.)
[[nodiscard]] inline std::string phase_time_svg(const std::vector<Measured>& runs, const std::string& title) {
  std::vector<detail::Part> parts;
  for (const auto& phase : detail::phases_of(runs)) {
    auto& part = parts.emplace_back(detail::Part{phase, {}});
    for (const auto& run : runs) part.values.push_back(run.phase_s(phase));
  }
  return detail::stacked_bars(runs, parts, title);
}

/// Time by what it was spent on, whatever phase it was in.
[[nodiscard]] inline std::string work_time_svg(const std::vector<Measured>& runs, const std::string& title) {
  std::vector<detail::Part> parts;
  for (const char* kind : {"data", "computing", "postprocessing", "saving"}) {
    auto& part = parts.emplace_back(detail::Part{kind, {}});
    for (const auto& run : runs) part.values.push_back(run.work_s(kind));
  }
  return detail::stacked_bars(runs, parts, title);
}

/// The mini-batches of all epochs one after the other: use of the machine, time and loss. (The study's
/// `training_subplot` and `validation_subplot`.)
/// @param prefix  of the log's columns, "train_" or "val_"
[[nodiscard]] inline std::string batches_svg(const std::vector<Measured>& runs, Log Measured::*log,
                                             const std::string& prefix, const std::string& title) {
  using namespace detail;
  std::vector<Quantity> quantities = shares();
  for (auto& quantity : quantities) quantity.column = prefix + quantity.column;
  quantities.push_back({"time", "time of a mini-batch", "s", 1});
  quantities.push_back({prefix + "loss", "loss", "loss", 1});
  constexpr double wide = 300;
  std::string out = Panel::text(80 + 1.5 * (wide + 60), 20, title, "middle", "class=\"title\"");
  double longest = 1;
  for (const auto& run : runs) longest = std::max(longest, static_cast<double>((run.*log).rows.size()));
  for (std::size_t q = 0; q < quantities.size(); ++q) {
    const Quantity& quantity = quantities[q];
    std::array<double, 2> range{0, 100};
    std::vector<std::vector<double>> curves;
    std::vector<double> all;
    for (const auto& run : runs) {
      curves.push_back((run.*log).column(quantity.column));
      for (double& value : curves.back()) {
        value *= quantity.factor;
        if (std::isfinite(value)) all.push_back(value);
      }
    }
    if (quantity.factor == 1 && !all.empty()) {
      const auto [low, high] = std::minmax_element(all.begin(), all.end());
      const double margin = 0.05 * (*high - *low);
      range = {quantity.column == "time" ? 0 : *low - margin, *high + margin};
    }
    const Panel panel({80 + static_cast<double>(q % 3) * (wide + 80), 60 + static_cast<double>(q / 3) * 280, wide, 180},
                      Axis::round("mini-batch", {0, longest}, true), Axis::round(quantity.axis, range));
    out += panel.axes(quantity.title, true);
    if (all.empty()) out += nothing(panel, "not measured: this machine does not tell");
    for (std::size_t r = 0; r < runs.size(); ++r) {
      std::vector<std::array<double, 2>> points;
      for (std::size_t b = 0; b < curves[r].size(); ++b) points.push_back({static_cast<double>(b) + 0.5, curves[r][b]});
      out += panel.curve(points, series_colour(r));
    }
  }
  out += Panel::legend(80, 600, legend_of(runs));
  return ivado::detail::svg_document(static_cast<int>(3 * (wide + 80)) + 40, 610 + 14 * static_cast<int>(runs.size()),
                                     out);
}

}  // namespace ivado::study
