// Diagrams as SVG text, by hand: axes with ticks and units, lines, bands, dots and legends. The pictures need no other
// file and no network, and can be read on white and on dark pages: they follow the reader's setting.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../inline.hpp"

namespace ivado {
namespace detail {

/// A number with a fixed number of decimals, whatever the locale.
[[nodiscard]] IVADO_INLINE std::string fixed_text(double value, int decimals) {
  std::array<char, 400> buffer{};  // the longest double has 309 digits
  return {buffer.data(),
          std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, decimals).ptr};
}

/// Text with the characters that have a meaning in XML written otherwise.
[[nodiscard]] IVADO_INLINE std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (static_cast<unsigned char>(c) < 0x20)  // no control character may stand in XML 1.0
      out += ' ';
    else
      out += c;
  }
  return out;
}

/// Colours of data, in turn: each has a contrast of 3 or more with the white and with the dark page (WCAG 2.1, 1.4.11).
inline constexpr std::array<std::string_view, 9> series_colours{"#3a7fd5", "#d4720b", "#2a9459", "#9b6ddb", "#d6589f",
                                                                "#a87b4f", "#1f93a3", "#7a838c", "#c0504d"};

/// The colour of series `i`; they start again after the last.
[[nodiscard]] inline std::string_view series_colour(std::size_t i) { return series_colours[i % series_colours.size()]; }

/// A whole picture: the style for white and dark pages, the page, and what is drawn on it.
/// @param body  elements that use the classes `axis`, `grid`, `ink`, `halo` and `title`
[[nodiscard]] IVADO_INLINE std::string svg_document(int width, int height, std::string_view body) {
  const std::string w = std::to_string(width);
  const std::string h = std::to_string(height);
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + w + "\" height=\"" + h + "\" viewBox=\"0 0 " + w + " " +
         h +
         "\" font-family=\"sans-serif\" font-size=\"12\">\n"
         "<style>\n"
         ".page{fill:#fff} text,.ink{fill:#222} .axis{stroke:#555;fill:none} .grid{stroke:#e2e2e2}\n"
         ".halo{stroke:#fff;stroke-width:3;paint-order:stroke} .title{font-weight:bold}\n"
         "@media (prefers-color-scheme: dark){.page{fill:#16181c} text,.ink{fill:#e8e8e8} .axis{stroke:#a8a8a8} "
         ".grid{stroke:#33373d} .halo{stroke:#16181c}}\n"
         "</style>\n"
         "<rect class=\"page\" width=\"" +
         w + "\" height=\"" + h + "\"/>\n" + std::string(body) + "</svg>\n";
}

/// One axis of a diagram: its range, and where it is marked with what.
struct PlotAxis {
  std::string label;  ///< with the unit
  double low = 0;
  double high = 1;
  std::vector<std::pair<double, std::string>> ticks;

  /// `count` + 1 marks from end to end.
  [[nodiscard]] IVADO_INLINE static PlotAxis even(std::string label, std::array<double, 2> range, int count,
                                                  int decimals) {
    PlotAxis axis{std::move(label), range[0], range[1], {}};
    for (int tick = 0; tick <= count; ++tick) {
      const double value = range[0] + (range[1] - range[0]) * tick / count;
      axis.ticks.emplace_back(value, fixed_text(value, decimals));
    }
    return axis;
  }
  /// Marks at round numbers (1, 2 or 5 times a power of ten apart), about five of them.
  /// @param whole  marks at whole numbers only
  [[nodiscard]] IVADO_INLINE static PlotAxis round(std::string label, std::array<double, 2> range, bool whole = false) {
    PlotAxis axis{std::move(label), range[0], range[1], {}};
    if (!(axis.high > axis.low)) {
      const double margin = std::max(0.5, std::abs(axis.low) * 0.1);
      axis.low -= margin;
      axis.high += margin;
    }
    const double rough = (axis.high - axis.low) / 5;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    const double times = rough / power;
    double step = (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10) * power;
    if (whole) step = std::max(1.0, std::round(step));
    const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
    const double largest = std::max(std::abs(axis.low), std::abs(axis.high));
    for (double k = std::ceil(axis.low / step - 1e-9); k * step <= axis.high + 1e-9 * step; ++k) {
      const double value = k == 0 ? 0 : k * step;
      axis.ticks.emplace_back(value, decimals > 4 || largest >= 1e6 ? short_text(value) : fixed_text(value, decimals));
    }
    return axis;
  }
  /// A place for each name: that of name i is i + 0.5.
  [[nodiscard]] IVADO_INLINE static PlotAxis names(std::string label, const std::vector<std::string>& names) {
    PlotAxis axis{std::move(label), 0, static_cast<double>(names.size()), {}};
    for (std::size_t i = 0; i < names.size(); ++i) axis.ticks.emplace_back(static_cast<double>(i) + 0.5, names[i]);
    return axis;
  }

 private:
  /// Three digits and a power of ten: "2.5e-05".
  [[nodiscard]] IVADO_INLINE static std::string short_text(double value) {
    std::array<char, 32> buffer{};
    const auto end =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::general, 3).ptr;
    return {buffer.data(), end};
  }
};

/// Where the plotted area of a diagram lies, in pixels.
struct PlotBox {
  double left = 0;
  double top = 0;
  double width = 320;
  double height = 320;
};

/// One diagram of a picture. Its functions give SVG elements.
class SvgPanel {
 public:
  SvgPanel(const PlotBox& box, PlotAxis horizontal, PlotAxis vertical)
      : box_(box), h_(std::move(horizontal)), v_(std::move(vertical)) {}

  /// Pixels of a value.
  [[nodiscard]] IVADO_INLINE double x(double value) const noexcept {
    return box_.left + (value - h_.low) / (h_.high - h_.low) * box_.width;
  }
  [[nodiscard]] IVADO_INLINE double y(double value) const noexcept {
    return box_.top + (v_.high - value) / (v_.high - v_.low) * box_.height;
  }
  [[nodiscard]] const PlotBox& box() const noexcept { return box_; }

  /// Frame, ticks and labels.
  /// @param gridlines  a faint line across at each tick of the vertical axis
  [[nodiscard]] IVADO_INLINE std::string axes(std::string_view title, bool gridlines = false) const {
    const double bottom = box_.top + box_.height;
    std::string out;
    if (gridlines)
      for (const auto& tick : v_.ticks)
        out += segment(box_.left, y(tick.first), box_.left + box_.width, y(tick.first), "class=\"grid\"");
    out += "<rect class=\"axis\" x=\"" + fixed_text(box_.left, 1) + "\" y=\"" + fixed_text(box_.top, 1) +
           "\" width=\"" + fixed_text(box_.width, 1) + "\" height=\"" + fixed_text(box_.height, 1) + "\"/>\n";
    for (const auto& [value, words] : h_.ticks)
      out += segment(x(value), bottom, x(value), bottom + 5, "class=\"axis\"") + text(x(value), bottom + 19, words);
    for (const auto& [value, words] : v_.ticks)
      out += segment(box_.left - 5, y(value), box_.left, y(value), "class=\"axis\"") +
             text(box_.left - 8, y(value) + 4, words, "end");
    const double middle = box_.left + box_.width / 2;
    out += text(middle, box_.top - 14, title, "middle", "class=\"title\"");
    if (!h_.label.empty()) out += text(middle, bottom + 40, h_.label);
    const double side = box_.left - 58;
    const std::string turn = fixed_text(side, 1) + " " + fixed_text(box_.top + box_.height / 2, 1);
    return out + text(side, box_.top + box_.height / 2, v_.label, "middle", "transform=\"rotate(-90 " + turn + ")\"");
  }
  /// A line through points, broken where one is NaN; a dot where a point stands alone.
  /// @param more  further attributes, such as `stroke-dasharray="5 4"`
  [[nodiscard]] IVADO_INLINE std::string curve(const std::vector<std::array<double, 2>>& points,
                                               std::string_view colour, std::string_view more = {}) const {
    std::string out;
    std::string run;
    std::size_t length = 0;
    std::array<double, 2> last{};
    const auto finish = [&] {
      if (length == 1)
        out += dot(last[0], last[1], 2.5, colour);
      else if (length > 1)
        out += "<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"1.5\" " +
               std::string(more) + " points=\"" + run + "\"/>\n";
      run.clear();
      length = 0;
    };
    for (const auto& point : points) {
      if (std::isnan(point[0]) || std::isnan(point[1])) {
        finish();
        continue;
      }
      run += (run.empty() ? "" : " ") + place(point);
      last = point;
      ++length;
    }
    finish();
    return out;
  }
  /// An area within a closed line.
  [[nodiscard]] IVADO_INLINE std::string area(const std::vector<std::array<double, 2>>& outline,
                                              std::string_view colour, double opacity) const {
    std::string points;
    for (const auto& point : outline) points += (points.empty() ? "" : " ") + place(point);
    return "<polygon fill=\"" + std::string(colour) + "\" fill-opacity=\"" + fixed_text(opacity, 2) + "\" points=\"" +
           points + "\"/>\n";
  }
  /// A dot at a value.
  /// @param hint  text that appears under the pointer; none if empty
  [[nodiscard]] IVADO_INLINE std::string dot(double h, double v, double radius, std::string_view colour,
                                             std::string_view hint = {}) const {
    const std::string circle = "<circle cx=\"" + fixed_text(x(h), 2) + "\" cy=\"" + fixed_text(y(v), 2) + "\" r=\"" +
                               fixed_text(radius, 1) + "\" fill=\"" + std::string(colour) + "\"";
    return circle + (hint.empty() ? "/>\n" : "><title>" + xml_text(hint) + "</title></circle>\n");
  }
  /// A dot with words beside it, towards the middle of the diagram.
  [[nodiscard]] IVADO_INLINE std::string mark(double h, double v, std::string_view words) const {
    const bool is_right = x(h) > box_.left + box_.width / 2;
    const double beside = y(v) > box_.top + box_.height / 2 ? -10 : 20;
    return dot(h, v, 5, series_colours[2]) +
           text(x(h) + (is_right ? -8 : 8), y(v) + beside, words, is_right ? "end" : "start", "class=\"halo\"");
  }
  /// Words at pixels.
  [[nodiscard]] IVADO_INLINE static std::string text(double x, double y, std::string_view words,
                                                     std::string_view anchor = "middle", std::string_view more = {}) {
    return "<text x=\"" + fixed_text(x, 1) + "\" y=\"" + fixed_text(y, 1) + "\" text-anchor=\"" + std::string(anchor) +
           "\"" + (more.empty() ? "" : " ") + std::string(more) + ">" + xml_text(words) + "</text>\n";
  }
  /// A straight line between pixels.
  [[nodiscard]] IVADO_INLINE static std::string line(double x1, double y1, double x2, double y2,
                                                     std::string_view colour, std::string_view more = {}) {
    return segment(x1, y1, x2, y2,
                   "stroke=\"" + std::string(colour) + "\"" + (more.empty() ? "" : " ") + std::string(more));
  }
  /// A straight line between pixels, coloured by its class or attributes.
  [[nodiscard]] IVADO_INLINE static std::string segment(double x1, double y1, double x2, double y2,
                                                        std::string_view attributes) {
    return "<line x1=\"" + fixed_text(x1, 2) + "\" y1=\"" + fixed_text(y1, 2) + "\" x2=\"" + fixed_text(x2, 2) +
           "\" y2=\"" + fixed_text(y2, 2) + "\" " + std::string(attributes) + "/>\n";
  }
  /// A legend: a short line and its words for each entry, downwards from pixels (x, y).
  struct LegendEntry {
    std::string words;
    std::string_view colour;
    std::string_view more;  ///< attributes of the line, which is 1.5 wide unless they say so
  };
  [[nodiscard]] IVADO_INLINE static std::string legend(double x, double y, const std::vector<LegendEntry>& entries) {
    std::string out;
    for (const auto& entry : entries) {
      std::string more(entry.more);
      if (more.find("stroke-width") == std::string::npos) more.insert(0, "stroke-width=\"1.5\" ");
      out +=
          line(x, y - 4, x + 18, y - 4, entry.colour, more) + text(x + 24, y, entry.words, "start", "class=\"halo\"");
      y += 14;
    }
    return out;
  }

 private:
  [[nodiscard]] IVADO_INLINE std::string place(const std::array<double, 2>& point) const {
    return fixed_text(x(point[0]), 2) + "," + fixed_text(y(point[1]), 2);
  }

  PlotBox box_;
  PlotAxis h_;
  PlotAxis v_;
};

}  // namespace detail
}  // namespace ivado
