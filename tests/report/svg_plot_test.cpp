#include <cmath>
#include <ivado/report/svg_plot.hpp>
#include <limits>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "svg_check.hpp"

using namespace ivado::detail;
using namespace ivado_test;
using Catch::Contains;

namespace {

std::vector<std::string> words(const PlotAxis& axis) {
  std::vector<std::string> out;
  for (const auto& tick : axis.ticks) out.push_back(tick.second);
  return out;
}

/// Relative luminance of "#rrggbb" (WCAG 2.1).
double luminance(std::string_view colour) {
  double out = 0;
  const double weights[] = {0.2126, 0.7152, 0.0722};
  for (std::size_t i = 0; i < 3; ++i) {
    const double part = std::stoi(std::string(colour.substr(1 + 2 * i, 2)), nullptr, 16) / 255.0;
    out += weights[i] * (part <= 0.03928 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4));
  }
  return out;
}

double contrast(std::string_view a, std::string_view b) {
  const double x = luminance(a) + 0.05;
  const double y = luminance(b) + 0.05;
  return std::max(x, y) / std::min(x, y);
}

}  // namespace

TEST_CASE("axes have marks at round numbers", "[unit][report]") {
  CHECK(words(PlotAxis::round("x", {0, 1})) == std::vector<std::string>{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(words(PlotAxis::round("x", {-0.93, -0.11})) == std::vector<std::string>{"-0.8", "-0.6", "-0.4", "-0.2"});
  CHECK(words(PlotAxis::round("x", {0, 0.00001})) ==
        std::vector<std::string>{"0", "2e-06", "4e-06", "6e-06", "8e-06", "1e-05"});
  CHECK(words(PlotAxis::round("x", {0, 5e6})) ==
        std::vector<std::string>{"0", "1e+06", "2e+06", "3e+06", "4e+06", "5e+06"});
  CHECK(words(PlotAxis::round("epoch", {1, 3}, true)) == std::vector<std::string>{"1", "2", "3"});
  CHECK(words(PlotAxis::round("epoch", {1, 100}, true)) == std::vector<std::string>{"20", "40", "60", "80", "100"});
  CHECK(words(PlotAxis::even("x", {0, 1}, 5, 1)).size() == 6);
  const PlotAxis flat = PlotAxis::round("x", {3, 3});
  CHECK(flat.low < 3);
  CHECK(flat.high > 3);
  CHECK(flat.ticks.size() >= 2);
  const PlotAxis names = PlotAxis::names("", {"a", "b"});
  CHECK(names.high == 2);
  CHECK(names.ticks[1].first == 1.5);
}

TEST_CASE("a panel places values, and draws lines broken at NaN", "[unit][report]") {
  const SvgPanel panel({100, 50, 200, 400}, PlotAxis::round("h", {0, 10}), PlotAxis::round("v", {-1, 1}));
  CHECK(panel.x(0) == 100);
  CHECK(panel.x(10) == 300);
  CHECK(panel.y(1) == 50);
  CHECK(panel.y(-1) == 450);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string line = panel.curve({{0, 0}, {1, 1}, {2, nan}, {3, 1}, {4, nan}, {5, 0}, {10, -1}}, "#123456", "");
  CHECK(times(line, "<polyline") == 2);
  CHECK(times(line, "<circle") == 1);  // the point alone
  CHECK_THAT(line, Contains("points=\"100.00,250.00 120.00,50.00\"") &&
                       Contains("points=\"200.00,250.00 300.00,450.00\"") && Contains("cx=\"160.00\" cy=\"50.00\""));
  CHECK(panel.curve({}, "#123456").empty());
  CHECK_THAT(panel.area({{0, 0}, {10, 0}, {10, 1}}, "#123456", 0.25),
             Contains("fill-opacity=\"0.25\"") && Contains("100.00,250.00 300.00,250.00 300.00,50.00"));
  CHECK_THAT(panel.mark(9, 0, "best"), Contains("text-anchor=\"end\"") && Contains(">best<"));
  CHECK_THAT(panel.mark(1, 0, "best"), Contains("text-anchor=\"start\""));
  const std::string axes = panel.axes("title", true);
  CHECK(times(axes, "class=\"grid\"") == 5);
  CHECK_THAT(axes, Contains(">title<") && Contains(">h<") && Contains(">v<") && Contains("rotate(-90"));
  CHECK(times(SvgPanel::legend(0, 0, {{"one", "#111111", ""}, {"two", "#222222", ""}}), "<text") == 2);
  CHECK(is_picture(svg_document(500, 500, axes + line)));
}

TEST_CASE("text that means something in XML is written otherwise", "[unit][report]") {
  CHECK(xml_text("a<b & \"c\">\n") == "a&lt;b &amp; &quot;c&quot;&gt; ");
  CHECK(is_picture(svg_document(9, 9, SvgPanel::text(1, 1, "<&>\"", "middle"))));
  const SvgPanel panel({0, 0, 1, 1}, PlotAxis::round("", {0, 1}), PlotAxis::round("", {0, 1}));
  CHECK_THAT(panel.dot(0, 0, 1, "#111111", "sub<1>"), Contains("<title>sub&lt;1&gt;</title></circle>"));
}

TEST_CASE("the colours can be told from the white and from the dark page", "[unit][report]") {
  const std::string page = svg_document(1, 1, "");
  CHECK_THAT(page, Contains(".page{fill:#fff}") && Contains(".page{fill:#16181c}"));
  for (const auto colour : series_colours) {
    CAPTURE(colour);
    CHECK(contrast(colour, "#ffffff") >= 3);
    CHECK(contrast(colour, "#16181c") >= 3);
  }
  CHECK(contrast("#222222", "#ffffff") >= 7);
  CHECK(contrast("#e8e8e8", "#16181c") >= 7);
  CHECK(series_colour(series_colours.size()) == series_colour(0));
}

TEST_CASE("numbers have the decimals asked for", "[unit][report]") {
  CHECK(fixed_text(0.125, 2) == "0.12");
  CHECK(fixed_text(-3, 1) == "-3.0");
  CHECK(fixed_text(1e308, 0).size() == 309);
}
