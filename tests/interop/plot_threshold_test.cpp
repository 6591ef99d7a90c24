#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ivado/interop/plot_threshold.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../report/svg_check.hpp"

using namespace ivado;
using Catch::Contains;
using ivado_test::is_well_formed;
using ivado_test::times;

namespace {

ThresholdResult analysed(double increment, ThresholdMetric metric, std::int64_t classes) {
  ThresholdAnalysis analysis(increment, metric);
  for (int n = 0; n < 3; ++n) {
    Array<float> p({classes, 40});
    Array<float> g({classes, 40});
    for (std::int64_t c = 0; c < classes; ++c) {
      for (std::int64_t i = 0; i < 40; ++i) {
        p.view()(c, i) = static_cast<float>(i) / 40;
        g.view()(c, i) = c == 1 ? 0.0F : (i > 18 + 3 * n + c && i % 7 != 0 ? 1.0F : 0.0F);
      }
    }
    analysis.add(p.view(), g.view());
  }
  return analysis.result();
}

/// The points of the polyline of a colour, the `which`th one.
std::vector<std::pair<double, double>> points(const std::string& svg, const std::string& colour, int which) {
  std::size_t at = 0;
  for (int i = 0; i <= which; ++i) at = svg.find("stroke=\"" + colour + "\" stroke-width", at + 1);
  REQUIRE(at != std::string::npos);
  const std::size_t begin = svg.find("points=\"", at) + 8;
  std::istringstream in(svg.substr(begin, svg.find('"', begin) - begin));
  std::vector<std::pair<double, double>> out;
  double x = 0;
  double y = 0;
  char comma = 0;
  while (in >> x >> comma >> y) out.emplace_back(x, y);
  return out;
}

}  // namespace

TEST_CASE("the plot of a threshold analysis shows its curves and marks the optimum", "[unit][threshold]") {
  const ThresholdResult result = analysed(0.05, ThresholdMetric::dice, 1);
  const std::string svg = threshold_plot_svg(result);
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, !Contains("&"));
  CHECK_THAT(svg, Contains("<svg xmlns=\"http://www.w3.org/2000/svg\"") && Contains(">threshold<") &&
                      Contains(">mean Dice<") && Contains("false positive rate") && Contains("true positive rate"));
  CHECK_THAT(svg, !Contains("nan") && !Contains("inf") && !Contains("href") && !Contains("class 0"));
  const auto scores = points(svg, "#d4720b", 0);
  REQUIRE(scores.size() == 19);
  const auto roc = points(svg, "#d4720b", 1);
  REQUIRE(roc.size() == 101);  // thresholds 0.01 apart whatever the increment, and both ends
  CHECK(roc.front() == std::pair<double, double>{510, 364});  // (0, 0) is left and below
  CHECK(roc.back() == std::pair<double, double>{830, 44});
  for (std::size_t i = 1; i < roc.size(); ++i) CHECK(roc[i].first >= roc[i - 1].first);

  // The mark of the optimum lies on the curve's highest point, and every point lies in the frame.
  const auto& best = scores[result.pooled.optimum_index];
  for (const auto& [x, y] : scores) {
    CHECK(y >= best.second);
    CHECK((x > 80 && x < 400 && y > 44 && y < 364));
  }
  CHECK(times(svg, "<circle") == 2);
  CHECK_THAT(svg, Contains("cx=\"" + detail::fixed_text(best.first, 2) + "\" cy=\"" +
                           detail::fixed_text(best.second, 2) + "\""));
  CHECK_THAT(svg, Contains("optimum " + detail::fixed_text(result.pooled.optimum, 2) + ":"));
  CHECK_THAT(svg, Contains("3 volumes") && Contains("95 % confidence") && Contains("area under the ROC"));
}

TEST_CASE("the plot names the score, and has a line for each of several classes", "[unit][threshold]") {
  const std::string svg = threshold_plot_svg(analysed(0.001, ThresholdMetric::recall_specificity, 3));
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, !Contains("&"));
  CHECK_THAT(svg, Contains("mean recall + specificity - 1") && Contains(">class 0<") && Contains(">class 2<") &&
                      Contains(">all classes<"));
  CHECK(times(svg, "<polyline") == 9);  // two for each class and for all together, and the diagonal
  CHECK(points(svg, "#d4720b", 0).size() == 999);
}

TEST_CASE("the plot leaves out what is not defined", "[unit][threshold]") {
  // The one voxel predicted is at 0.5, the truth is empty: above there is no Dice.
  ThresholdAnalysis analysis(0.1);
  analysis.add(std::vector<float>{0.5F, 0}, std::vector<float>{0, 0});
  const std::string svg = threshold_plot_svg(analysis.result());
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, !Contains("&"));
  CHECK_THAT(svg, !Contains("nan") && !Contains("confidence") && Contains("1 volume;"));
  CHECK(points(svg, "#d4720b", 0).size() == 5);
}

TEST_CASE("the plot is written to a file", "[unit][threshold]") {
  const ThresholdResult result = analysed(0.1, ThresholdMetric::dice, 2);
  const std::string path =
      (std::filesystem::temp_directory_path() / ("ivado-plot-" + std::to_string(::getpid()) + ".svg")).string();
  write_threshold_plot(path, result);
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  std::filesystem::remove(path);
  CHECK(content.str() == threshold_plot_svg(result));
  CHECK_THROWS_AS(write_threshold_plot("/no/such/folder/roc.svg", result), Error);
}
