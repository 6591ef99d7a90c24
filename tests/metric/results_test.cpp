#include <cmath>
#include <filesystem>
#include <fstream>
#include <ivado/metric/results.hpp>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

EvaluationRow image(const std::string& subject, const std::string& contrast, double dice,
                    double hd95 = undefined_score) {
  EvaluationRow row{subject + "_" + contrast, {ClassEvaluation{}}, subject, contrast};
  row.classes[0].dice = dice;
  row.classes[0].hausdorff95_mm = hd95;
  return row;
}

const ResultRow& find(const std::vector<ResultRow>& rows, const std::string& group, const std::string& member,
                      const std::string& metric, std::size_t class_index = 0) {
  for (const auto& row : rows)
    if (row.group == group && row.member == member && row.metric == metric && row.class_index == class_index)
      return row;
  FAIL("no row " << group << " " << member << " " << metric);
  return rows.front();
}

}  // namespace

TEST_CASE("percentiles are interpolated", "[unit][results]") {
  CHECK(std::isnan(sorted_percentile({}, 50)));
  CHECK(sorted_percentile({7}, 95) == 7);
  CHECK(sorted_percentile({1, 2, 3, 4}, 50) == 2.5);
  CHECK(sorted_percentile({1, 2, 3, 4}, 25) == 1.75);
  CHECK(sorted_percentile({1, 2, 3, 4}, 0) == 1);
  CHECK(sorted_percentile({1, 2, 3, 4}, 100) == 4);
  CHECK(sorted_percentile({1, infinity, infinity}, 75) == infinity);
  CHECK(sorted_percentile({1, infinity}, 0) == 1);
}

TEST_CASE("results by contrast and subject", "[unit][results]") {
  const std::vector<EvaluationRow> rows{image("sub-02", "T2w", 0.5, 4), image("sub-01", "T1w", 0.75, infinity),
                                        image("sub-01", "T2w", 1.0, 1), image("sub-03", "T1w", undefined_score)};
  const auto table = tabulate(rows);
  CHECK(table.size() == (1 + 2 + 3) * evaluation_columns.size());
  CHECK(table.front().group == "all");
  CHECK(table.back().member == "sub-03");

  const ResultRow& all = find(table, "all", "", "dice");
  CHECK(all.images == 4);
  CHECK(all.defined == 3);
  CHECK(all.infinite == 0);
  CHECK(all.mean == Approx(0.75));
  CHECK(all.standard_deviation == Approx(0.25));
  CHECK(all.median == 0.75);
  CHECK(all.percentile25 == Approx(0.625));
  CHECK(all.percentile95 == Approx(0.975));
  CHECK(all.low == Approx(0.5));  // two subjects: both resamples of one alone are likely enough
  CHECK(all.high == Approx(0.875));

  const ResultRow& t2w = find(table, "contrast", "T2w", "dice");
  CHECK(t2w.images == 2);
  CHECK(t2w.mean == Approx(0.75));
  const ResultRow& first = find(table, "subject", "sub-01", "dice");
  CHECK(first.defined == 2);
  CHECK(first.mean == Approx(0.875));
  CHECK(first.low == Approx(0.75));  // within a subject its images are drawn
  const ResultRow& second = find(table, "subject", "sub-02", "dice");
  CHECK(second.mean == 0.5);
  CHECK(std::isnan(second.standard_deviation));
  CHECK(std::isnan(second.low));
  CHECK(std::isnan(find(table, "subject", "sub-03", "dice").mean));

  const ResultRow& distance = find(table, "all", "", "hd95");
  CHECK(distance.defined == 2);
  CHECK(distance.infinite == 1);
  CHECK(distance.mean == 2.5);
  CHECK(distance.median == 4);
  CHECK(distance.percentile95 == infinity);
}

TEST_CASE("images without subject or contrast", "[unit][results]") {
  const std::vector<EvaluationRow> rows{{"b", {ClassEvaluation{}}}, {"a", {ClassEvaluation{}, ClassEvaluation{}}}};
  const auto table = tabulate(rows);
  CHECK(table.size() == 3 * 2 * evaluation_columns.size());  // no group of contrasts; every image is a subject
  CHECK(find(table, "all", "", "n_gt", 1).defined == 1);
  CHECK(find(table, "subject", "a", "n_gt", 1).defined == 1);
  CHECK(find(table, "subject", "b", "n_gt", 1).defined == 0);
  CHECK(tabulate({}).empty());
}

TEST_CASE("the intervals do not depend on the order of the rows or on what else is in the table", "[unit][results]") {
  std::vector<EvaluationRow> rows;
  Rng rng({23, 0, 0, stream_user});
  for (int i = 0; i < 12; ++i)
    rows.push_back(image("sub-" + std::to_string(10 + i / 2), i % 2 == 0 ? "T1w" : "T2w", rng.uniform()));
  const auto table = tabulate(rows);
  const std::vector<EvaluationRow> turned(rows.rbegin(), rows.rend());
  const auto again = tabulate(turned);
  const ResultRow& one = find(table, "all", "", "dice");
  CHECK(find(again, "all", "", "dice").low == Approx(one.low));
  CHECK(find(again, "all", "", "dice").high == Approx(one.high));
  CHECK(one.low < one.mean);
  CHECK(one.mean < one.high);
  std::vector<EvaluationRow> first;
  for (const auto& row : rows)
    if (row.contrast == "T1w") first.push_back(row);
  CHECK(find(tabulate(first), "all", "", "dice").low == find(table, "contrast", "T1w", "dice").low);
  CHECK(find(tabulate(rows, {1, 2000, 0.95}), "all", "", "dice").low != one.low);
  CHECK(find(tabulate(rows, {0, 2000, 0.5}), "all", "", "dice").low > one.low);
  CHECK(std::isnan(find(tabulate(rows, {0, 0, 0.95}), "all", "", "dice").low));
  CHECK_THROWS_WITH(tabulate(rows, {0, 2000, 95}), Contains("0.95"));
}

TEST_CASE("the interval of a known mean holds it about as often as it says", "[unit][results]") {
  // 30 subjects, each with two images that share its level; the true mean is 0.5.
  int held = 0;
  constexpr int studies = 300;
  for (std::uint32_t study = 0; study < studies; ++study) {
    Rng rng({29, 0, study, stream_user});
    std::vector<std::pair<double, std::int64_t>> units;
    for (int subject = 0; subject < 30; ++subject) {
      const double level = rng.normal(0.5, 0.1);
      units.emplace_back(2 * level + rng.normal(0, 0.02) + rng.normal(0, 0.02), 2);
    }
    const auto [low, high] = detail::bootstrap_mean(units, {0, 400, 0.95});
    held += low <= 0.5 && 0.5 <= high ? 1 : 0;
  }
  // 95 % of 300 are 285 ± 3.8; the percentile bootstrap of 30 units falls short by about 2 %.
  CHECK(held > 267);
  CHECK(held < 297);
}

TEST_CASE("the table as a file", "[unit][results]") {
  ResultRow row;
  row.group = "contrast";
  row.member = "T1w,odd";
  row.class_index = 1;
  row.metric = "dice";
  row.images = 3;
  row.defined = 2;
  row.infinite = 1;
  row.mean = 0.5;
  row.median = infinity;
  CHECK(results_csv({row}) ==
        "group,member,class,metric,images,defined,infinite,mean,sd,ci_low,ci_high,p5,p25,median,p75,p95\n"
        "contrast,\"T1w,odd\",1,dice,3,2,1,0.5,,,,,,inf,,\n");
  const auto folder = std::filesystem::temp_directory_path() / "ivado_results_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  write_results_csv((folder / "results.csv").string(), {row});
  std::ifstream file(folder / "results.csv");
  std::stringstream content;
  content << file.rdbuf();
  CHECK(content.str() == results_csv({row}));
  std::filesystem::remove_all(folder);
}
