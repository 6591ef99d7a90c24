#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ivado/report/compare.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"
#include "svg_check.hpp"

using namespace ivado;
using namespace ivado_test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

/// A scratch folder with what these tests write into it.
struct Results : Scratch {
  /// Writes the metrics of a model as ivado --test leaves them, and returns the folder of its results.
  std::string results(const std::string& name, const std::string& csv) const {
    fs::create_directories(path / name / "results_eval");
    std::ofstream(path / name / "results_eval/evaluation_3Dmetrics.csv") << csv;
    return (path / name).string();
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(path / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

ModelMetrics model(const std::string& name, const std::string& csv) {
  return {name, parse_number_table(csv, name + ".csv")};
}

/// n images with values that rise from `low` by `step`.
std::string rising(int n, double low, double step) {
  std::string out = "image_id,dice_class0\n";
  for (int i = 0; i < n; ++i) out += "sub-" + std::to_string(100 + i) + "," + std::to_string(low + step * i) + "\n";
  return out;
}

}  // namespace

TEST_CASE("models are compared image by image", "[unit][report]") {
  const std::vector<ModelMetrics> models{
      model("a", "image_id,dice_class0,only_a\ns1,0.5,1\ns2,0.75,1\ns3,,1\ns4,0.25,1\n"),
      model("b", "image_id,dice_class0\ns2,0.5\ns1,0.25\ns3,0.5\ns5,1\n")};
  const Comparison found = compare_models(models);
  CHECK(found.metrics == std::vector<std::string>{"dice_class0"});
  REQUIRE(found.spreads.size() == 2);
  CHECK(found.spreads[0].images == 3);
  CHECK(found.spreads[0].mean == 0.5);
  CHECK(found.spreads[0].standard_deviation == Approx(0.25));
  CHECK(found.spreads[0].minimum == 0.25);
  CHECK(found.spreads[0].lower_quartile == 0.375);
  CHECK(found.spreads[0].median == 0.5);
  CHECK(found.spreads[0].upper_quartile == 0.625);
  CHECK(found.spreads[0].maximum == 0.75);
  CHECK(found.spreads[1].images == 4);
  REQUIRE(found.pairs.size() == 1);
  CHECK(found.pairs[0].shared == 2);  // s1 and s2, though the rows stand in another order
  CHECK(found.pairs[0].mean_difference == 0.25);
  CHECK(found.pairs[0].wilcoxon.p == 0.5);  // two differences of one sign: 2 of 4
  CHECK(found.pairs[0].result(ComparisonTest::wilcoxon).p == found.pairs[0].wilcoxon.p);
  CHECK(found.pairs[0].result(ComparisonTest::kolmogorov_smirnov).statistic ==
        kolmogorov_smirnov(std::vector<double>{0.5, 0.75, 0.25}, std::vector<double>{0.5, 0.25, 0.5, 1}).statistic);
  CHECK(found.pairs[0].result(ComparisonTest::student).p ==
        Approx(student_t(std::vector<double>{0.5, 0.75, 0.25}, std::vector<double>{0.5, 0.25, 0.5, 1}).p));
  CHECK(comparison_csv(found) ==
        "metric,model,images,infinite,mean,std,min,q1,median,q3,max\n"
        "dice_class0,a,3,0,0.5,0.25,0.25,0.375,0.5,0.625,0.75\n" +
            comparison_csv(found).substr(comparison_csv(found).find("dice_class0,b")));
  CHECK_THAT(comparison_pairs_csv(found), Contains("\ndice_class0,a,b,2,0.25,0.0,0.5,0.5,"));
}

TEST_CASE("tables that cannot be compared are refused", "[unit][report]") {
  CHECK_THROWS_WITH(compare_models({}), Contains("no table"));
  CHECK_THROWS_WITH(compare_models({model("a", "id,x\ns,1\n"), model("b", "id,y\ns,1\n")}),
                    Contains("no column in common"));
  CHECK_THROWS_WITH(compare_models({model("a", "id,x\ns,1\ns,2\n")}), Contains("two rows of s") && Contains("a.csv"));
}

TEST_CASE("the p-values of several pairs are corrected", "[unit][report]") {
  const std::vector<ModelMetrics> models{model("a", rising(12, 0.5, 0.01)), model("b", rising(12, 0.6, 0.012)),
                                         model("c", rising(12, 0.2, 0.013))};
  const Comparison found = compare_models(models);
  REQUIRE(found.pairs.size() == 3);
  const double p = found.pairs[0].wilcoxon.p;
  CHECK(p == Approx(2 / 4096.0));  // all twelve differences have one sign
  const std::string table = comparison_pairs_csv(found);
  CHECK(times(table, "\n") == 4);
  CHECK_THAT(table, Contains("," + detail::csv_number(p) + "," + detail::csv_number(3 * p) + ","));
  const std::string svg = violin_plot_svg(models, found, "dice_class0", ComparisonTest::wilcoxon);
  CHECK(is_picture(svg));
  CHECK(times(svg, ">** p = 0.001<") == 3);
  CHECK(times(svg, "<polygon") == 3);
  CHECK(times(svg, "<circle") == 36);
  CHECK_THAT(svg, Contains("Wilcoxon signed-rank test, Holm") && Contains("<title>sub-103: 0.5300</title>") &&
                      Contains(">12 images<") && Contains(">mean 0.555<") && Contains(">dice_class0<"));
  CHECK_THAT(violin_plot_svg(models, found, "dice_class0", ComparisonTest::kolmogorov_smirnov),
             Contains("Kolmogorov-Smirnov test"));
  CHECK_THAT(violin_plot_svg(models, found, "dice_class0", ComparisonTest::student), Contains("Student's t-test"));
  CHECK_THROWS_WITH(violin_plot_svg(models, found, "hd", ComparisonTest::student), Contains("the column hd"));
}

TEST_CASE("a metric may be infinite, as the distance of surfaces where one mask is empty", "[unit][report]") {
  const std::vector<ModelMetrics> models{model("a", "id,hd95\ns1,1\ns2,2\ns3,inf\ns4,inf\n"),
                                         model("b", "id,hd95\ns1,3\ns2,inf\ns3,inf\ns4,5\n")};
  const Comparison found = compare_models(models);
  CHECK(found.spreads[0].images == 4);
  CHECK(found.spreads[0].infinite == 2);
  CHECK(found.spreads[0].mean == 1.5);
  CHECK(found.spreads[0].standard_deviation == Approx(std::sqrt(0.5)));
  CHECK(found.spreads[0].maximum == INFINITY);
  CHECK(found.pairs[0].shared == 4);
  CHECK(found.pairs[0].mean_difference == -2);
  // Differences -2, -inf, 0 (both infinite), inf: ranks 1, 2.5, 2.5.
  CHECK(found.pairs[0].wilcoxon.statistic == 2.5);
  CHECK(found.pairs[0].wilcoxon.p == 1);
  CHECK(found.pairs[0].student.statistic ==
        Approx(student_t(std::vector<double>{1, 2}, std::vector<double>{3, 5}).statistic));
  const std::string svg = violin_plot_svg(models, found, "hd95", ComparisonTest::wilcoxon);
  CHECK(is_picture(svg));
  CHECK(times(svg, "<circle") == 4);
  CHECK(times(svg, ">4 images, 2 infinite<") == 2);
  const std::vector<ModelMetrics> none{model("a", "id,hd95\ns1,inf\n")};
  CHECK_THAT(violin_plot_svg(none, compare_models(none), "hd95", ComparisonTest::wilcoxon), Contains("all infinite"));
}

TEST_CASE("violins of few, equal and no values", "[unit][report]") {
  const auto draw = [](const std::vector<ModelMetrics>& models) {
    const std::string svg = violin_plot_svg(models, compare_models(models), "x", ComparisonTest::wilcoxon);
    CHECK(is_picture(svg));
    return svg;
  };
  const std::string svg = draw({model("one & only", "id,x\ns,0.5\n"), model("same", "id,x\ns,0.5\nt,0.5\n"),
                                model("none", "id,x\ns,\n"), model("two", "id,x\ns,0.1\nt,0.9\n")});
  CHECK(times(svg, "<polygon") == 1);
  CHECK(times(svg, "<circle") == 5);
  CHECK_THAT(svg, Contains(">no value<") && Contains("one &amp; only") && Contains(">1 image<"));
  draw({model("none", "id,x\n")});
  // Five models have no brackets.
  std::vector<ModelMetrics> five;
  for (int i = 0; i < 5; ++i) five.push_back(model("m" + std::to_string(i), "id,x\ns,0.5\nt,0.6\n"));
  CHECK_THAT(draw(five), !Contains("p = ") && !Contains("test"));
}

TEST_CASE("the density is that of Gaussian kernels of Scott's width", "[unit][report]") {
  // scipy 1.10.1: scipy.stats.gaussian_kde, divided by its largest value at these places
  const auto density = detail::kernel_density({0.1, 0.2, 0.25, 0.4, 0.9}, {0.1, 0.3, 0.5, 0.9});
  const std::vector<double> expected{0.89514126, 1, 0.65974595, 0.31941004};
  for (std::size_t i = 0; i < 4; ++i) CHECK(density[i] == Approx(expected[i]).epsilon(1e-7));
  CHECK(detail::kernel_density({0.5, 0.5}, {0.5}).empty());
  CHECK(detail::kernel_density({0.5}, {0.5}).empty());
}

TEST_CASE("stars begin at 0.05", "[unit][report]") {
  CHECK(detail::stars(0.4) == "ns");
  CHECK(detail::stars(0.05) == "ns");
  CHECK(detail::stars(0.049) == "*");
  CHECK(detail::stars(0.0099) == "**");
  CHECK(detail::stars(0.0001) == "***");
}

TEST_CASE("ivado compare writes two tables and a picture", "[unit][report]") {
  const Results scratch;
  const std::string a = scratch.results("unet", rising(8, 0.5, 0.05));
  const std::string b = scratch.results("film", rising(8, 0.55, 0.05));
  const std::string prefix = (scratch.path / "out").string();
  std::ostringstream out;
  std::ostringstream err;
  CHECK(run_compare(std::vector<std::string>{a + "/", b, "-o", prefix}, out, err) == 0);
  CHECK(err.str().empty());
  CHECK_THAT(out.str(),
             Contains("unet: dice_class0 0.6750") && Contains("unet and film: p = 0.008 (8 images of both)"));
  CHECK_THAT(scratch.read("out.csv"), Contains("dice_class0,unet,8,") && Contains("dice_class0,film,8,"));
  CHECK_THAT(scratch.read("out_pairs.csv"), Contains("dice_class0,unet,film,8,"));
  CHECK(is_picture(scratch.read("out.svg")));

  // A CSV file in place of a folder, and names.
  CHECK(run_compare(std::vector<std::string>{a + "/results_eval/evaluation_3Dmetrics.csv", b, "--names", "first,second",
                                             "--test", "ks", "-o", prefix},
                    out, err) == 0);
  CHECK_THAT(scratch.read("out.svg"), Contains(">first<") && Contains(">second<") && Contains("Kolmogorov"));
  CHECK(read_model_metrics(a + "/results_eval/evaluation_3Dmetrics.csv").name == "unet");
  std::ofstream(scratch.path / "mine.csv") << "id,x\ns,1\n";
  CHECK(read_model_metrics((scratch.path / "mine.csv").string()).name == "mine");
}

TEST_CASE("ivado compare says what is wrong", "[unit][report]") {
  const Results scratch;
  const std::string a = scratch.results("unet", rising(3, 0.5, 0.05));
  fs::create_directories(scratch.path / "empty");
  const auto fails = [&](const std::vector<std::string>& arguments, int status, const std::string& words) {
    std::ostringstream out;
    std::ostringstream err;
    CHECK(run_compare(arguments, out, err) == status);
    CHECK_THAT(err.str(), Contains(words));
  };
  fails({}, 2, "no results are given");
  fails({a, "--metrik", "x"}, 2, "did you mean \"--metric\"");
  fails({a, "--metric"}, 2, "--metric needs a value");
  fails({a, "--metric", "dice"}, 2, "it has dice_class0");
  fails({a, "--test", "anova"}, 2, "wilcoxon");
  fails({a, "--names", "x,y"}, 2, "give 1 names");
  fails({(scratch.path / "empty").string()}, 3, "run ivado --test there first");
  fails({(scratch.path / "none.csv").string()}, 3, "none.csv");
  fails({a, "-o", (scratch.path / "nowhere/x").string()}, 4, "does not exist");
  std::ostringstream out;
  std::ostringstream err;
  CHECK(run_compare(std::vector<std::string>{"--help"}, out, err) == 0);
  CHECK_THAT(out.str(), Contains("usage: ivado compare") && Contains("--test"));
}
