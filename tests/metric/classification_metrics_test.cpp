#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ivado/metric/classification.hpp>
#include <ivado/random.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

/// The area under the ROC by its definition: all pairs of a positive and a negative sample.
double pairs(const std::vector<float>& probability, const std::vector<float>& truth) {
  double won = 0;
  double count = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    for (std::size_t j = 0; j < truth.size(); ++j) {
      if (truth[i] < 0.5F || truth[j] >= 0.5F) continue;
      won += probability[i] > probability[j] ? 1 : probability[i] == probability[j] ? 0.5 : 0;
      ++count;
    }
  }
  return won / count;
}

}  // namespace

TEST_CASE("the area under the ROC counts pairs, and ties as half", "[unit][classification]") {
  const auto auc = [](const std::vector<float>& p, const std::vector<float>& g) { return roc_auc(p, g); };
  // Positives 0.8, 0.4; negatives 0.6, 0.4, 0.1: 0.8 wins 3, 0.4 wins 1 and ties 1: 4.5 of 6.
  CHECK(auc({0.8F, 0.4F, 0.6F, 0.4F, 0.1F}, {1, 1, 0, 0, 0}) == 0.75);
  CHECK(auc({0.1F, 0.2F, 0.9F}, {0, 0, 1}) == 1);
  CHECK(auc({0.9F, 0.8F, 0.1F}, {0, 0, 1}) == 0);
  CHECK(auc({0.5F, 0.5F, 0.5F, 0.5F}, {1, 0, 1, 1}) == 0.5);
  CHECK(auc({0.2F, 0.7F}, {0.49F, 0.5F}) == 1);
  CHECK(std::isnan(auc({0.2F, 0.7F}, {1, 1})));
  CHECK(std::isnan(auc({0.2F, 0.7F}, {0, 0})));
  CHECK(std::isnan(auc({}, {})));
  CHECK_THROWS_WITH(auc({0.5F}, {1, 0}), Contains("1 probabilities") && Contains("2 truths"));
  CHECK_THROWS_WITH(auc({0.5F, std::nanf("")}, {1, 0}), Contains("probability 1 is NaN"));
}

TEST_CASE("the area under the ROC is that of all pairs", "[unit][classification]") {
  const std::uint32_t n = GENERATE(2U, 3U, 17U, 200U);
  const std::uint32_t levels = GENERATE(1U, 2U, 5U, 1000U);  // few levels: many ties
  Rng rng({5, 0, n, stream_user});
  std::vector<float> probability;
  std::vector<float> truth;
  for (std::uint32_t i = 0; i < n; ++i) {
    truth.push_back(i == 0 ? 0.0F : i == 1 ? 1.0F : static_cast<float>(rng.below(2)));
    probability.push_back(static_cast<float>(rng.below(levels + 1)) / static_cast<float>(levels));
  }
  CHECK(roc_auc(probability, truth) == Approx(pairs(probability, truth)).epsilon(1e-14));
  // Any rising function of the probabilities leaves it; turning them around gives the rest.
  std::vector<float> squared;
  std::vector<float> turned;
  for (const float p : probability) {
    squared.push_back(p * p);
    turned.push_back(-p);
  }
  CHECK(roc_auc(squared, truth) == roc_auc(probability, truth));
  CHECK(roc_auc(turned, truth) == Approx(1 - roc_auc(probability, truth)).margin(1e-14));
}

TEST_CASE("the log loss of a sample is finite", "[unit][classification]") {
  CHECK(log_loss(0.5F, 1) == Approx(std::log(2.0)));
  CHECK(log_loss(0.5F, 0) == Approx(std::log(2.0)));
  CHECK(log_loss(0.25F, 1) == Approx(std::log(4.0)));
  CHECK(log_loss(0.25F, 0) == Approx(std::log(4.0 / 3)));
  CHECK(log_loss(0.25F, 0.5F) == Approx((std::log(4.0) + std::log(4.0 / 3)) / 2));  // a soft truth
  CHECK(log_loss(0, 1) == Approx(23 * std::log(2.0)));                              // 2^-23
  CHECK(log_loss(1, 0) == Approx(23 * std::log(2.0)));
  CHECK(log_loss(1, 1) == Approx(0x1p-23));
  CHECK(log_loss(0, 0) == Approx(0x1p-23));
}

TEST_CASE("the scores of a classifier worked out by hand", "[unit][classification]") {
  // Class 0: probabilities 0.75, 0.5, 0.25, 0.25, 0.125 of truths 1, 0, 1, 0, 0: TP 1, FP 1, FN 1, TN 2.
  // Class 1: no sample is of it; one of five is said to be.
  const std::vector<ClassificationRecord> records{{"sub-01", {0.75F, 0.1F}, {1, 0}},
                                                  {"sub-02", {0.5F, 0.1F}, {0, 0}},
                                                  {"sub-03", {0.25F, 0.9F}, {0.5F, 0}},
                                                  {"sub-04", {0.25F, 0.1F}, {0, 0}},
                                                  {"sub-05", {0.125F, 0.1F}, {0.25F, 0}}};
  const ClassificationSummary summary = classification_summary(records);
  CHECK(summary.samples == 5);
  REQUIRE(summary.classes.size() == 2);
  const ClassificationScores& first = summary.classes[0];
  const ClassificationScores& second = summary.classes[1];
  CHECK(summary.positives == std::vector<std::int64_t>{2, 0});
  CHECK(first.accuracy == Approx(0.6));
  CHECK(first.sensitivity == 0.5);
  CHECK(first.specificity == Approx(2.0 / 3));
  CHECK(first.balanced_accuracy == Approx(7.0 / 12));
  // Of six pairs 0.75 wins 3; 0.25 loses to 0.5, ties 0.25, beats 0.125: 4.5.
  CHECK(first.auc == 0.75);
  const double loss = -std::log(0.75) + std::log(2.0) - 0.5 * (std::log(0.25) + std::log(0.75)) - std::log(0.75) -
                      0.25 * std::log(0.125) - 0.75 * std::log(0.875);
  CHECK(first.log_loss == Approx(loss / 5));
  CHECK(second.accuracy == Approx(0.8));
  CHECK(std::isnan(second.sensitivity));
  CHECK(second.specificity == Approx(0.8));
  CHECK(std::isnan(second.balanced_accuracy));
  CHECK(std::isnan(second.auc));
  CHECK(summary.mean.accuracy == Approx(0.7));
  CHECK(summary.mean.sensitivity == 0.5);
  CHECK(summary.mean.specificity == Approx((2.0 / 3 + 0.8) / 2));
  CHECK(summary.mean.balanced_accuracy == Approx(7.0 / 12));
  CHECK(summary.mean.auc == 0.75);
  CHECK(summary.mean.log_loss == Approx((first.log_loss + second.log_loss) / 2));
}

TEST_CASE("no record gives no score", "[unit][classification]") {
  const ClassificationSummary summary = classification_summary(std::vector<ClassificationRecord>{});
  CHECK(summary.samples == 0);
  CHECK(summary.classes.empty());
  CHECK(std::isnan(summary.mean.accuracy));
  CHECK(classification_csv({}) == "id\n");
}

TEST_CASE("classification records that do not fit are refused by name", "[unit][classification]") {
  const ClassificationRecord good{"sub-01", {0.5F}, {1}};
  const auto refused = [&](const ClassificationRecord& bad) { return classification_summary({good, bad}); };
  CHECK_THROWS_WITH(refused({"sub-02", {0.5F, 0.5F}, {1, 1}}), Contains("sub-02") && Contains("2 probabilities"));
  CHECK_THROWS_WITH(refused({"sub-02", {0.5F}, {}}), Contains("sub-02") && Contains("0 truths"));
  CHECK_THROWS_WITH(refused({"sub-02", {1.5F}, {1}}), Contains("sub-02") && Contains("1.5") && Contains("[0, 1]"));
  CHECK_THROWS_WITH(refused({"sub-02", {0.5F}, {-1}}), Contains("sub-02") && Contains("-1"));
  CHECK_THROWS_WITH(refused({"sub-02", {std::nanf("")}, {1}}), Contains("sub-02") && Contains("nan"));
  CHECK_THROWS_WITH(classification_summary({ClassificationRecord{"sub-09", {}, {}}}), Contains("sub-09"));
  try {
    (void)classification_csv({good, {"sub-02", {}, {}}});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::data);
  }
}

TEST_CASE("the scores of a classification are written as a table", "[unit][classification]") {
  const std::string head = "class,samples,positives,log_loss,accuracy,balanced_accuracy,sensitivity,specificity,auc\n";
  CHECK(classification_scores_csv({}) == head);
  ClassificationSummary summary;
  summary.samples = 4;
  summary.positives = {1, 4};
  summary.classes = {{0.5, 0.75, 0.625, 0.25, 1, 0.875},
                     {0.25, 1, undefined_score, 1, undefined_score, undefined_score}};
  summary.mean = {0.375, 0.875, 0.625, 0.625, 1, 0.875};
  CHECK(classification_scores_csv(summary) == head +
                                                  "0,4,1,0.5,0.75,0.625,0.25,1.0,0.875\n"
                                                  "1,4,4,0.25,1.0,,1.0,,\n"
                                                  "mean,4,,0.375,0.875,0.625,0.625,1.0,0.875\n");
  summary.classes.resize(1);
  CHECK(classification_scores_csv(summary) == head + "0,4,1,0.5,0.75,0.625,0.25,1.0,0.875\n");
}

TEST_CASE("a classification of images without truth is a table of probabilities", "[unit][classification]") {
  CHECK(classification_csv({{"sub-01", {0.25F, 1}, {}}, {"sub-02", {0, 0.5F}, {}}}) ==
        "id,probability_class0,probability_class1\nsub-01,0.25,1\nsub-02,0,0.5\n");
  CHECK_THROWS_WITH(classification_csv({{"sub-01", {0.25F}, {}}, {"sub-02", {0}, {1}}}), Contains("sub-02"));
  CHECK_THROWS_WITH(classification_csv({{"sub-01", {0.25F}, {0}}, {"sub-02", {0}, {}}}),
                    Contains("sub-02") && Contains("0 truths"));
  CHECK_THROWS_WITH(classification_csv({{"sub-01", {1.5F}, {}}}), Contains("class 0 has the value 1.5"));
}

TEST_CASE("a classification is written as a table", "[unit][classification]") {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("ivado-classification-" + std::to_string(::getpid()) + ".csv"))
          .string();
  write_classification_csv(path, {{"sub-01", {0.1F, 1}, {0, 1}}, {"a, \"b\"", {1e-10F, 0.5F}, {0.25F, 0}}});
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  std::filesystem::remove(path);
  CHECK(content.str() ==
        "id,probability_class0,truth_class0,probability_class1,truth_class1\n"
        "sub-01,0.1,0,1,1\n"
        "\"a, \"\"b\"\"\",1e-10,0.25,0.5,0\n");
  CHECK_THROWS_AS(write_classification_csv("/no/such/folder/c.csv", {}), Error);
}
