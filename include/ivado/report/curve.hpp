// `ivado curve`: the curves of trainings as an SVG picture and a table. No LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../metric/evaluation.hpp"
#include "../metric/threshold_analysis.hpp"
#include "csv_table.hpp"
#include "read_events.hpp"
#include "svg_plot.hpp"

namespace ivado {

/// The curves of a training: values by epoch (or step).
struct TrainingCurves {
  std::string name;
  std::map<std::string, std::map<std::int64_t, double>> series;  ///< such as "train_loss", "val_loss", "learning_rate"
  std::vector<std::string> warnings;
};

namespace detail {

/// The name of a series that an event file holds.
///
/// PyTorch's `add_scalars` writes the curves of a group to folders of their own, named "<group>_<curve>" with _ for
/// each slash, and all under the tag of the group: the curve's name is in the folder.
/// @param folder  of the file, below the folder of the training; empty there
[[nodiscard]] inline std::string series_name(const std::string& folder, const std::string& tag) {
  std::string group = tag;
  std::replace(group.begin(), group.end(), '/', '_');
  if (folder.size() > group.size() + 1 && folder.starts_with(group + "_")) return folder.substr(group.size() + 1);
  return folder.empty() ? tag : folder + "/" + tag;
}

/// "train_loss" of "losses/train_loss"; a tag's groups do not count where the last part is the name of a loss or the
/// learning rate.
[[nodiscard]] inline std::string short_series_name(const std::string& name) {
  const std::string last = name.substr(name.find_last_of('/') + 1);
  return last == "train_loss" || last == "val_loss" || last == "learning_rate" ? last : name;
}

/// What a training says of itself besides its curves.
[[nodiscard]] inline bool is_bookkeeping(const std::string& series) {
  return series == "seconds" || series.starts_with("waiting_") || series == "best";
}

[[nodiscard]] inline bool is_loss(const std::string& series) { return series == "train_loss" || series == "val_loss"; }

/// Adds the curves of training_log.csv. Times and marks are no curves.
inline void add_log(const std::string& path, TrainingCurves& curves) {
  const NumberTable table = read_number_table(path);
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    std::int64_t epoch = 0;
    const std::string& text = table.rows[r];
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), epoch);
    if (fault != std::errc{} || end != text.data() + text.size())
      throw data_error("reading row " + std::to_string(r + 1) + " of the table " + path,
                       "the epoch \"" + text + "\" is no whole number");
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      const std::string& column = table.columns[c];
      if (is_bookkeeping(column)) continue;
      curves.series[column][epoch] = table.values[r][c];
    }
  }
}

/// The event files in a folder and those below it, in the order of their paths.
[[nodiscard]] inline std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().filename().string().find("tfevents") != std::string::npos)
      out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace detail

/// Reads the curves of a training: of `training_log.csv` and of the event files in its output folder and below (what
/// both have is taken from the table). A CSV file or an event file can be given as well.
///
/// Several event files of one curve are joined, the later one counting where both have a step (ivadomed refuses them).
/// @throws Error (data) if there are no curves, or a file is damaged
[[nodiscard]] inline TrainingCurves read_training_curves(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path place = fs::path(path).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();
  TrainingCurves curves;
  const bool is_folder = fs::is_directory(place);
  curves.name = (is_folder || place.extension() != ".csv" ? place.filename() : place.stem()).string();
  if (place == ".") curves.name = fs::absolute(place).parent_path().filename().string();
  const auto add_events = [&](const fs::path& file, const std::string& folder) {
    const EventScalars events = read_event_scalars(file.string());
    if (events.is_cut)
      curves.warnings.push_back(file.string() + " ends within a record: what stands before it is shown");
    std::map<std::string, std::map<std::int64_t, double>> found;
    for (const auto& event : events.scalars)
      found[detail::short_series_name(detail::series_name(folder, event.tag))][event.step] = event.value;
    return found;
  };
  if (!is_folder) {
    if (place.extension() == ".csv")
      detail::add_log(place.string(), curves);
    else
      curves.series = add_events(place, "");
  } else {
    if (fs::exists(place / "training_log.csv")) detail::add_log((place / "training_log.csv").string(), curves);
    std::map<std::string, std::map<std::int64_t, double>> all;
    for (const auto& file : detail::event_files(place)) {
      const fs::path below = file.parent_path().lexically_relative(place);
      for (auto& [name, points] : add_events(file, below == "." ? std::string() : below.generic_string()))
        for (const auto& [step, value] : points) all[name][step] = value;
    }
    for (auto& [name, points] : all) curves.series.try_emplace(name, std::move(points));
  }
  std::erase_if(curves.series, [](const auto& one) {
    return detail::is_bookkeeping(one.first) || std::all_of(one.second.begin(), one.second.end(),
                                                            [](const auto& point) { return std::isnan(point.second); });
  });
  if (curves.series.empty())
    throw data_error(
        "reading the curves of " + path,
        is_folder ? "there is neither a training_log.csv nor an event file with curves" : "it has no curve",
        "give the output folder of a training");
  return curves;
}

/// The curves as CSV: a row a training and epoch, a column a series; empty where a series has no value.
[[nodiscard]] inline std::string curves_csv(const std::vector<TrainingCurves>& trainings) {
  std::set<std::string> names;
  for (const auto& training : trainings)
    for (const auto& one : training.series) names.insert(one.first);
  std::string out = "training,epoch";
  for (const auto& name : names) out += "," + detail::csv_text(name);
  out += "\n";
  for (const auto& training : trainings) {
    std::set<std::int64_t> epochs;
    for (const auto& one : training.series)
      for (const auto& point : one.second) epochs.insert(point.first);
    for (const std::int64_t epoch : epochs) {
      out += detail::csv_text(training.name) + "," + std::to_string(epoch);
      for (const auto& name : names) {
        out += ",";
        const auto series = training.series.find(name);
        if (series == training.series.end()) continue;
        const auto point = series->second.find(epoch);
        if (point != series->second.end()) out += detail::csv_number(point->second);
      }
      out += "\n";
    }
  }
  return out;
}

/// How curves are drawn.
struct CurvePlotParams {
  bool learning_rate = false;  ///< a diagram of the learning rate too
  bool average = false;        ///< the mean of all trainings with a band of one standard deviation
  std::optional<std::array<double, 2>> loss_limits;  ///< of the losses' axis
};

namespace detail {

/// Mean and sample standard deviation over trainings at each epoch; the deviation is NaN for a single training.
[[nodiscard]] inline std::map<std::int64_t, RunningMean> averaged(const std::vector<TrainingCurves>& trainings,
                                                                  const std::string& series) {
  std::map<std::int64_t, RunningMean> out;
  for (const auto& training : trainings) {
    const auto found = training.series.find(series);
    if (found == training.series.end()) continue;
    for (const auto& [epoch, value] : found->second) out[epoch].add(value);
  }
  return out;
}

/// One line of a diagram, and where it has one, the band around it.
struct PlottedCurve {
  std::string words;
  std::string_view colour;
  std::string_view more;
  std::vector<std::array<double, 2>> points;
  std::vector<std::array<double, 2>> lower;  ///< of the band, left to right
  std::vector<std::array<double, 2>> upper;
};

/// All lines of a diagram that shows some series.
[[nodiscard]] inline std::vector<PlottedCurve> plotted(const std::vector<TrainingCurves>& trainings,
                                                       const std::vector<std::string>& series, bool average) {
  std::vector<PlottedCurve> out;
  // One training: a colour a series. Several: a colour a training, and the training loss dashed.
  const bool by_training = trainings.size() > 1 && !average;
  const auto words = [&](const std::string& training, const std::string& name) {
    const std::string what = name == "train_loss" ? "training" : name == "val_loss" ? "validation" : "";
    if (!by_training) return what.empty() ? name : what;
    return training + (what.empty() ? "" : ", " + what);
  };
  if (average) {
    for (std::size_t s = 0; s < series.size(); ++s) {
      PlottedCurve curve{words("", series[s]), series_colour(s), "", {}, {}, {}};
      for (const auto& [epoch, mean] : averaged(trainings, series[s])) {
        const auto h = static_cast<double>(epoch);
        curve.points.push_back({h, mean.mean()});
        const double deviation = mean.standard_deviation();
        if (std::isnan(deviation)) continue;
        curve.lower.push_back({h, mean.mean() - deviation});
        curve.upper.push_back({h, mean.mean() + deviation});
      }
      if (!curve.points.empty()) out.push_back(std::move(curve));
    }
    return out;
  }
  for (std::size_t t = 0; t < trainings.size(); ++t) {
    for (std::size_t s = 0; s < series.size(); ++s) {
      const auto found = trainings[t].series.find(series[s]);
      if (found == trainings[t].series.end()) continue;
      PlottedCurve curve{words(trainings[t].name, series[s]),
                         series_colour(by_training ? t : s),
                         by_training && series[s] == "train_loss" ? "stroke-dasharray=\"5 4\"" : "",
                         {},
                         {},
                         {}};
      for (const auto& [epoch, value] : found->second)
        curve.points.push_back({static_cast<double>(epoch), std::isfinite(value) ? value : undefined_score});
      out.push_back(std::move(curve));
    }
  }
  return out;
}

/// Least and largest number of curves with their bands; [0, 1] where there is none.
[[nodiscard]] inline std::array<double, 2> range_of(const std::vector<PlottedCurve>& curves, std::size_t axis) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const auto& curve : curves) {
    for (const auto* points : {&curve.points, &curve.lower, &curve.upper}) {
      for (const auto& point : *points) {
        if (std::isnan(point[axis])) continue;
        low = std::min(low, point[axis]);
        high = std::max(high, point[axis]);
      }
    }
  }
  return low <= high ? std::array{low, high} : std::array{0.0, 1.0};
}

/// A line cut to the vertical range of its diagram.
[[nodiscard]] inline std::vector<std::array<double, 2>> clamped(std::vector<std::array<double, 2>> points,
                                                                const std::array<double, 2>& range) {
  for (auto& point : points)
    if (!std::isnan(point[1])) point[1] = std::clamp(point[1], range[0], range[1]);
  return points;
}

}  // namespace detail

/// The curves as an SVG picture: a diagram of the losses, one of each other series, two beside one another. The best
/// epoch of a single training (least validation loss) is marked. Metrics within [0, 1] have that range, other series
/// that of their values.
[[nodiscard]] inline std::string curves_svg(const std::vector<TrainingCurves>& trainings,
                                            const CurvePlotParams& params = {}) {
  using Panel = detail::SvgPanel;
  std::set<std::string> names;
  for (const auto& training : trainings)
    for (const auto& one : training.series) names.insert(one.first);
  std::vector<std::vector<std::string>> diagrams;
  std::vector<std::string> losses;
  for (const char* loss : {"train_loss", "val_loss"})
    if (names.contains(loss)) losses.emplace_back(loss);
  if (!losses.empty()) diagrams.push_back(losses);
  for (const auto& name : names)
    if (!detail::is_loss(name) && (name != "learning_rate" || params.learning_rate)) diagrams.push_back({name});

  constexpr double wide = 340;
  constexpr double high = 260;
  const std::size_t columns = std::min<std::size_t>(2, std::max<std::size_t>(diagrams.size(), 1));
  std::string out;
  double top = 44;
  double row_bottom = top;
  for (std::size_t d = 0; d < diagrams.size(); ++d) {
    const auto& series = diagrams[d];
    const bool of_losses = detail::is_loss(series.front());
    const auto curves = detail::plotted(trainings, series, params.average);
    auto range = detail::range_of(curves, 1);
    if (of_losses && params.loss_limits) {
      range = *params.loss_limits;
    } else if (!of_losses && series.front() != "learning_rate" && range[0] >= 0 && range[1] <= 1) {
      range = {0, 1};
    } else {
      const double margin = 0.05 * (range[1] - range[0]);
      range = {range[0] - margin, range[1] + margin};
    }
    auto epochs = detail::range_of(curves, 0);
    if (epochs[0] == epochs[1]) epochs = {epochs[0] - 0.5, epochs[1] + 0.5};
    if (d % columns == 0 && d > 0) top = row_bottom;
    const double left = 80 + static_cast<double>(d % columns) * (wide + 90);
    const std::string title = of_losses ? "losses" : series.front();
    const std::string vertical = of_losses                           ? "loss"
                                 : series.front() == "learning_rate" ? "learning rate"
                                                                     : series.front();
    const detail::PlotAxis v = detail::PlotAxis::round(vertical, range);
    const Panel panel({left, top, wide, high}, detail::PlotAxis::round("epoch", epochs, /*whole=*/true), v);
    out += panel.axes(title, /*gridlines=*/true);
    std::vector<Panel::LegendEntry> legend;
    for (const auto& curve : curves) {
      if (curve.lower.size() > 1) {
        auto outline = detail::clamped(curve.upper, {v.low, v.high});
        const auto lower = detail::clamped(curve.lower, {v.low, v.high});
        outline.insert(outline.end(), lower.rbegin(), lower.rend());
        out += panel.area(outline, curve.colour, 0.2);
      }
      out += panel.curve(detail::clamped(curve.points, {v.low, v.high}), curve.colour, curve.more);
      legend.push_back({curve.words, curve.colour, curve.more});
    }
    if (of_losses && trainings.size() == 1 && series.back() == "val_loss") {
      const auto& points = trainings.front().series.at("val_loss");
      std::optional<std::pair<std::int64_t, double>> best;
      for (const auto& [epoch, value] : points)
        if (!std::isnan(value) && (!best || value < best->second)) best = {epoch, value};
      if (best && best->second >= v.low && best->second <= v.high)
        out += panel.mark(static_cast<double>(best->first), best->second,
                          "best epoch " + std::to_string(best->first) + ": " + detail::fixed_text(best->second, 4));
    }
    // Below the diagram, so that it hides no curve; a single curve is what the title says.
    if (curves.size() == 1 && !of_losses) legend.clear();
    out += Panel::legend(left, top + high + 60, legend);
    row_bottom = std::max(row_bottom, top + high + 60 + 14.0 * static_cast<double>(legend.size()) + 44);
  }
  const double width = 80 + static_cast<double>(columns) * (wide + 90) - 60;
  return detail::svg_document(static_cast<int>(std::lround(width)), static_cast<int>(std::lround(row_bottom - 24)),
                              out);
}

/// `ivado curve RESULTS... [-o FILE.svg] [--lr] [--average] [--loss-limits LOW,HIGH]`.
///
/// Writes FILE.svg, and FILE.csv with the numbers.
/// @return exit status: 0 done, 2 wrong usage, 3 files that cannot be used, 4 anything else
[[nodiscard]] inline int run_curve(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  try {
    const std::string usage = "usage: ivado curve RESULTS... [-o FILE.svg] [--lr] [--average] [--loss-limits LOW,HIGH]";
    std::vector<std::string> paths;
    std::filesystem::path file = "training_curves.svg";
    CurvePlotParams params;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::string& option = arguments[i];
      if (option == "-h" || option == "--help") {
        out << usage
            << "\n\n  RESULTS        output folders of trainings, training_log.csv or event files of TensorBoard\n"
            << "  -o             the picture; the numbers go beside it as .csv (default training_curves.svg)\n"
            << "  --lr           draw the learning rate as well\n"
            << "  --average      the mean of all trainings, with a band of one standard deviation\n"
            << "  --loss-limits  range of the axis of the losses, such as -1,0 (write --loss-limits=-1,0)\n";
        return 0;
      }
      if (option.empty() || option.front() != '-') {
        paths.push_back(option);
        continue;
      }
      if (option == "--lr" || option == "--average") {
        (option == "--lr" ? params.learning_rate : params.average) = true;
        continue;
      }
      const std::size_t equals = option.find('=');
      const std::string name = option.substr(0, equals);
      const std::vector<std::string> known{"-o", "--output", "--lr", "--average", "--loss-limits", "--help"};
      if (std::find(known.begin(), known.end(), name) == known.end() || name == "--lr" || name == "--average")
        throw usage_error("ivado curve", "there is no option \"" + option + "\"",
                          "did you mean \"" + detail::nearest(name, known) + "\"? " + usage);
      if (equals == std::string::npos && i + 1 == arguments.size())
        throw usage_error("ivado curve", name + " needs a value", usage);
      const std::string value = equals == std::string::npos ? arguments[++i] : option.substr(equals + 1);
      if (name == "--loss-limits") {
        std::array<double, 2> limits{};
        const char* const end = value.data() + value.size();
        const auto low = std::from_chars(value.data(), end, limits[0]);
        const bool goes_on = low.ec == std::errc{} && low.ptr != end && *low.ptr == ',';
        const auto high = goes_on ? std::from_chars(low.ptr + 1, end, limits[1]) : low;
        if (!goes_on || high.ec != std::errc{} || high.ptr != end || !(limits[0] < limits[1]) ||
            !std::isfinite(limits[1] - limits[0]))
          throw usage_error("ivado curve", "--loss-limits " + value, "give two rising numbers, such as -1,0");
        params.loss_limits = limits;
      } else {
        file = value;
      }
    }
    if (paths.empty()) throw usage_error("ivado curve", "no results are given", usage);
    if (file.extension() != ".svg")
      throw usage_error("ivado curve", "the picture " + file.string() + " is an SVG file", "let its name end in .svg");
    std::vector<TrainingCurves> trainings;
    for (const auto& path : paths) {
      trainings.push_back(read_training_curves(path));
      for (const auto& warning : trainings.back().warnings) err << "warning: " << warning << "\n";
    }
    const std::string table = std::filesystem::path(file).replace_extension(".csv").string();
    for (const auto& path : paths) {
      std::error_code ignored;
      if (std::filesystem::equivalent(path, table, ignored) ||
          std::filesystem::equivalent(std::filesystem::path(path) / "training_log.csv", table, ignored))
        throw usage_error("ivado curve", "the table " + table + " would replace the log of " + path, "give another -o");
    }
    write_file_atomically(table, curves_csv(trainings));
    write_file_atomically(file.string(), curves_svg(trainings, params));
    out << "wrote " << file.string() << " and " << table << "\n";
    return 0;
  } catch (const Error& error) {
    err << "error: " << error.what() << "\n";
    return error.exit_status();
  }
}

}  // namespace ivado
