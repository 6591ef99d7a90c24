#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <ivado/metric/evaluation.hpp>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

void box(Array<float>& voxels, std::array<std::int64_t, 3> begin, std::array<std::int64_t, 3> end, float value = 1) {
  for (auto i = begin[0]; i < end[0]; ++i)
    for (auto j = begin[1]; j < end[1]; ++j)
      for (auto k = begin[2]; k < end[2]; ++k) voxels.view()(0, i, j, k) = value;
}

/// The worked example of metrics.md 5.6.
std::pair<Prediction, Array<float>> worked_example() {
  Array<float> truth = zeros({1, 20, 20, 10});
  box(truth, {2, 2, 2}, {5, 5, 5});
  box(truth, {10, 10, 1}, {12, 12, 2});
  box(truth, {0, 0, 9}, {1, 1, 10});
  Prediction prediction{zeros({1, 20, 20, 10}), {1, 1, 2}, true};
  box(prediction.voxels, {3, 2, 2}, {6, 5, 5});
  box(prediction.voxels, {15, 15, 5}, {18, 18, 6});
  box(prediction.voxels, {0, 0, 9}, {1, 1, 10});
  return {std::move(prediction), std::move(truth)};
}

}  // namespace

TEST_CASE("the evaluation has the values of the worked example", "[unit][evaluation]") {
  const auto [prediction, truth] = worked_example();
  EvaluationParameters params;
  SECTION("as it should be") {
    const EvaluationRow row = evaluate(prediction, truth.view(), params, "sub-01_T2w");
    REQUIRE(row.classes.size() == 1);
    CHECK(row.image_id == "sub-01_T2w");
    const ClassEvaluation& found = row.classes[0];
    CHECK(found.prediction_volume_mm3 == 74);
    CHECK(found.truth_volume_mm3 == 64);
    CHECK(found.relative_volume_difference == Approx(-0.15625));
    CHECK(found.absolute_volume_difference == Approx(0.15625));
    CHECK(found.dice == Approx(0.550725).margin(5e-7));
    CHECK(found.recall == Approx(0.59375));
    CHECK(found.precision == Approx(0.513514).margin(5e-7));
    CHECK(found.specificity == Approx(0.995464).margin(5e-7));
    CHECK(found.prediction_objects == 3);
    CHECK(found.truth_objects == 3);
    CHECK(found.lesion_true_positive_rate == Approx(1.0 / 3));
    CHECK(found.lesion_false_discovery_rate == Approx(2.0 / 3));
    CHECK(found.mean_squared_error == Approx(31.0 / 4000));  // 37 + 32 voxels, 19 in both: 31 differ
  }
  SECTION("ivadomed's mse") {
    params.as_ivadomed = true;
    CHECK(evaluate(prediction, truth.view(), params).classes[0].mean_squared_error == Approx(0.0775));
  }
  SECTION("a soft prediction: ivadomed finds none of its objects, ivado binarises first") {
    Prediction soft{prediction.voxels.clone(), prediction.spacing_mm, false};
    for (float& value : soft.voxels) value *= 0.9F;
    const ClassEvaluation right = evaluate(soft, truth.view(), params).classes[0];
    CHECK(right.lesion_true_positive_rate == Approx(1.0 / 3));
    CHECK(right.lesion_false_discovery_rate == Approx(2.0 / 3));
    CHECK(right.prediction_volume_mm3 == Approx(0.9 * 74));
    params.as_ivadomed = true;
    const ClassEvaluation old = evaluate(soft, truth.view(), params).classes[0];
    CHECK(old.lesion_true_positive_rate == 0);
    CHECK(old.lesion_false_discovery_rate == 1);
  }
  SECTION("overlap as a ratio of the object") {
    params.overlap = {0.5, SizeUnit::ratio};
    const ClassEvaluation found = evaluate(prediction, truth.view(), params).classes[0];
    CHECK(found.lesion_true_positive_rate == Approx(2.0 / 3));
    CHECK(found.lesion_false_discovery_rate == Approx(1.0 / 3));
  }
  SECTION("overlap in mm3: 37 mm3 are 18.5 voxels, rounded to even; the cube shares exactly 18") {
    params.overlap = {37, SizeUnit::cubic_mm};
    CHECK(evaluate(prediction, truth.view(), params).classes[0].lesion_true_positive_rate == Approx(1.0 / 3));
    params.overlap.thr = 38;
    CHECK(evaluate(prediction, truth.view(), params).classes[0].lesion_true_positive_rate == 0);
  }
  SECTION("an overlap of nothing still needs a voxel") {
    params.overlap = {0, SizeUnit::voxels};
    CHECK(evaluate(prediction, truth.view(), params).classes[0].lesion_true_positive_rate == Approx(2.0 / 3));
    params.as_ivadomed = true;
    CHECK(evaluate(prediction, truth.view(), params).classes[0].lesion_true_positive_rate == 1);
  }
  SECTION("without object metrics the objects are still counted") {
    params.object_detection_metrics = false;
    const ClassEvaluation found = evaluate(prediction, truth.view(), params).classes[0];
    CHECK(found.prediction_objects == 3);
    CHECK(std::isnan(found.lesion_true_positive_rate));
    CHECK(std::isnan(found.lesion_false_discovery_rate));
  }
}

TEST_CASE("the evaluation of empty predictions and truths", "[unit][evaluation]") {
  const Prediction empty{zeros({1, 4, 5, 3}), {1, 1, 1}, true};
  Array<float> nothing = zeros({1, 4, 5, 3});
  const ClassEvaluation both = evaluate(empty, nothing.view()).classes[0];
  CHECK(both.prediction_volume_mm3 == 0);
  CHECK(std::isnan(both.relative_volume_difference));
  CHECK(std::isnan(both.absolute_volume_difference));
  CHECK(std::isnan(both.dice));
  CHECK(std::isnan(both.recall));
  CHECK(std::isnan(both.precision));
  CHECK(both.specificity == 1);
  CHECK(both.truth_objects == 0);
  CHECK(std::isnan(both.lesion_true_positive_rate));
  CHECK(std::isnan(both.lesion_false_discovery_rate));
  CHECK(both.mean_squared_error == 0);

  box(nothing, {0, 0, 0}, {2, 2, 2});
  const ClassEvaluation missed = evaluate(empty, nothing.view()).classes[0];
  CHECK(missed.dice == 0);
  CHECK(missed.relative_volume_difference == 1);
  CHECK(missed.lesion_true_positive_rate == 0);
  CHECK(std::isnan(missed.lesion_false_discovery_rate));
}

TEST_CASE("a thousand found objects are a thousand", "[unit][evaluation]") {
  // ivadomed's 8-bit labels gave a rate of 0.249 here (metrics.md 5.5).
  Prediction prediction{zeros({1, 64, 64, 2}), {1, 1, 1}, true};
  for (std::int64_t i = 0; i < 64; i += 2)
    for (std::int64_t j = 0; j < 64; j += 2) prediction.voxels.view()(0, i, j, 0) = 1;
  EvaluationParameters params;
  params.overlap.thr = 1;
  const ClassEvaluation found = evaluate(prediction, prediction.voxels.view(), params).classes[0];
  CHECK(found.truth_objects == 1024);
  CHECK(found.lesion_true_positive_rate == 1);
  CHECK(found.lesion_false_discovery_rate == 0);
}

TEST_CASE("classes are evaluated on their own", "[unit][evaluation]") {
  Prediction prediction{zeros({2, 3, 3, 3}), {1, 1, 1}, true};
  Array<float> truth = zeros({2, 3, 3, 3});
  prediction.voxels.view()(0, 0, 0, 0) = truth.view()(0, 0, 0, 0) = 1;
  truth.view()(1, 2, 2, 2) = 1;
  const EvaluationRow row = evaluate(prediction, truth.view());
  REQUIRE(row.classes.size() == 2);
  CHECK(row.classes[0].dice == 1);
  CHECK(row.classes[1].dice == 0);
}

TEST_CASE("the evaluation refuses a truth of another shape and names the image", "[unit][evaluation]") {
  const Prediction prediction{zeros({1, 4, 5, 3}), {1, 1, 1}, true};
  CHECK_THROWS_WITH(evaluate(prediction, zeros({1, 4, 5, 4}).view(), {}, "sub-07"),
                    Contains("sub-07") && Contains("1x4x5x3") && Contains("1x4x5x4"));
}

TEST_CASE("the evaluation file has ivadomed's columns, and empty fields for NaN", "[unit][evaluation]") {
  EvaluationRow first{"sub-01_T2w", {ClassEvaluation{}}};
  first.classes[0].prediction_volume_mm3 = 12;
  first.classes[0].truth_volume_mm3 = 0.1;
  first.classes[0].dice = 1e-20;
  first.classes[0].prediction_objects = 3;
  EvaluationRow second{"odd,\"name\"", {ClassEvaluation{}, ClassEvaluation{}}};
  second.classes[1].mean_squared_error = 0.25;
  second.classes[1].hausdorff95_mm = std::numeric_limits<double>::infinity();
  const std::string text = evaluation_csv({first, second});
  std::istringstream lines(text);
  std::string header;
  std::string one;
  std::string two;
  std::getline(lines, header);
  std::getline(lines, one);
  std::getline(lines, two);
  CHECK(header ==
        "image_id,vol_pred_class0,vol_gt_class0,rvd_class0,avd_class0,dice_class0,recall_class0,precision_class0,"
        "specificity_class0,n_pred_class0,n_gt_class0,ltpr_class0,lfdr_class0,mse_class0,hd95_class0,assd_class0,"
        "surface_dice_class0,ece_class0,vol_pred_class1,vol_gt_class1,rvd_class1,avd_class1,dice_class1,recall_class1,"
        "precision_class1,specificity_class1,n_pred_class1,n_gt_class1,ltpr_class1,lfdr_class1,mse_class1,hd95_class1,"
        "assd_class1,surface_dice_class1,ece_class1");
  CHECK(one == "sub-01_T2w,12.0,0.1,,,1e-20,,,,3,0,,,,,,,,,,,,,,,,,,,,,,,,");
  CHECK(two == "\"odd,\"\"name\"\"\",0.0,0.0,,,,,,,0,0,,,,,,,,0.0,0.0,,,,,,,0,0,,,0.25,inf,,,");
  CHECK(std::count(one.begin(), one.end(), ',') == std::count(header.begin(), header.end(), ','));
  CHECK(evaluation_csv({}) == "image_id\n");
}

TEST_CASE("objects by size have columns of their own, of every class", "[unit][evaluation]") {
  const auto [prediction, truth] = worked_example();
  EvaluationParameters params;
  params.target_size.thr.values = {20, 100};
  const EvaluationRow row = evaluate(prediction, truth.view(), params, "a");
  const ClassEvaluation& found = row.classes[0];
  REQUIRE(found.by_size.size() == 3);
  CHECK(found.value("ltpr_0-20vox") == 0);
  CHECK(found.value("n_0-20vox") == 2);
  CHECK(found.value("lfdr_0-20vox") == 1);
  CHECK(found.value("ltpr_21-100vox") == 1);
  CHECK(found.value("n_21-100vox") == 1);
  CHECK(found.value("lfdr_21-100vox") == 0);
  CHECK(found.value("n_101-INFvox") == 0);
  CHECK(std::isnan(found.value("ltpr_101-INFvox")));
  CHECK(found.value("n_gt") == 3);
  CHECK(std::isnan(found.value("n_5-6vox")));
  const std::string text = evaluation_csv({row, EvaluationRow{"b", {ClassEvaluation{}}}});
  CHECK_THAT(text,
             Contains(",ece_class0,ltpr_0-20vox_class0,n_0-20vox_class0,lfdr_0-20vox_class0,ltpr_21-100vox_class0"));
  CHECK_THAT(text, Contains(",0.0,2,1.0,1.0,1,0.0,,0,\n"));
  CHECK_THAT(text, Contains("\nb,0.0,0.0,,,,,,,0,0,,,,,,,,,,,,,,,,\n"));
  SECTION("as ivadomed: metrics.md 5.6") {
    params.as_ivadomed = true;
    CHECK(evaluate(prediction, truth.view(), params).classes[0].value("lfdr_21-100vox") == 0.5);
    params.target_size.unit = SizeUnit::cubic_mm;
    params.overlap = {0.5, SizeUnit::ratio};
    const ClassEvaluation old = evaluate(prediction, truth.view(), params).classes[0];
    CHECK(old.lesion_true_positive_rate == Approx(2.0 / 3));
    CHECK(old.value("n_0.0-10.0mm3") == 2);
    CHECK(old.value("n_10.0-50.0mm3") == 1);
  }
  SECTION("without object metrics they are counted alone") {
    params.object_detection_metrics = false;
    const ClassEvaluation counted = evaluate(prediction, truth.view(), params).classes[0];
    CHECK(counted.value("n_0-20vox") == 2);
    CHECK(std::isnan(counted.value("ltpr_0-20vox")));
  }
}

TEST_CASE("the evaluation has distances in mm and the calibration", "[unit][evaluation]") {
  Prediction prediction{zeros({1, 20, 20, 10}), {2, 1, 1}, true};
  Array<float> truth = zeros({1, 20, 20, 10});
  box(prediction.voxels, {4, 4, 2}, {12, 12, 8});
  box(truth, {5, 4, 2}, {13, 12, 8});
  const ClassEvaluation found = evaluate(prediction, truth.view()).classes[0];
  CHECK(found.hausdorff95_mm == Approx(2));
  CHECK(found.average_surface_distance_mm > 0);
  CHECK(found.average_surface_distance_mm < 2);
  CHECK(found.surface_dice < 1);
  CHECK(evaluate(prediction, truth.view(), {}, {}, 2).classes[0].surface_dice == 1);
  CHECK(std::isnan(found.expected_calibration_error));  // a mask
  prediction.is_mask = false;
  for (float& value : prediction.voxels) value *= 0.75F;
  // In the box of 9 × 8 × 6: 7/9 right with 0.75, 1/9 wrong with 0.75, 1/9 wrong with 1.
  const double expected = 8.0 / 9 * (7.0 / 8 - 0.75) + 1.0 / 9;
  CHECK(evaluate(prediction, truth.view()).classes[0].expected_calibration_error == Approx(expected));
  // A mask with the probabilities that it was made of has their calibration.
  const Array<float> probabilities = prediction.voxels.clone();
  prediction.probabilities = &probabilities;
  prediction.is_mask = true;
  for (float& value : prediction.voxels) value = value >= 0.5F ? 1.0F : 0.0F;
  const ClassEvaluation mask = evaluate(prediction, truth.view()).classes[0];
  CHECK(mask.expected_calibration_error == Approx(expected));
  CHECK(mask.dice == found.dice);
}

TEST_CASE("objects are painted in the image, class by class", "[unit][evaluation]") {
  const auto [prediction, truth] = worked_example();
  const Array<std::uint8_t> painted = paint_objects(prediction, truth.view());
  CHECK(painted.shape() == truth.shape());
  CHECK(std::count(painted.begin(), painted.end(), 1) == 27);
  CHECK(std::count(painted.begin(), painted.end(), 2) == 10);
  CHECK(std::count(painted.begin(), painted.end(), 3) == 4);
  CHECK(painted.view()(0, 4, 4, 4) == true_positive_object);
  CHECK(painted.view()(0, 2, 2, 2) == no_object);  // found, but not predicted
  CHECK(painted.view()(0, 16, 16, 5) == false_positive_object);
  CHECK(painted.view()(0, 11, 11, 1) == false_negative_object);
  const Prediction empty{zeros({2, 3, 3, 3}), {1, 1, 1}, true};
  const auto nothing = paint_objects(empty, empty.voxels.view());
  CHECK(std::count(nothing.begin(), nothing.end(), 0) == 54);
  CHECK_THROWS_WITH(paint_objects(empty, truth.view()), Contains("2x3x3x3"));
}

TEST_CASE("the evaluation file is there whole or not at all", "[unit][evaluation]") {
  const auto folder = std::filesystem::temp_directory_path() / "ivado_evaluation_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "evaluation_3Dmetrics.csv").string();
  const std::vector<EvaluationRow> rows{{"a", {ClassEvaluation{}}}, {"b", {ClassEvaluation{}}}};
  write_evaluation_csv(path, rows);
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  CHECK(content.str() == evaluation_csv(rows));
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);  // nothing left beside it
  CHECK_THROWS_WITH(write_evaluation_csv((folder / "missing" / "x.csv").string(), rows), Contains("missing"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("the summary leaves out what is not defined", "[unit][evaluation]") {
  std::vector<EvaluationRow> rows(3, EvaluationRow{"x", {ClassEvaluation{}}});
  rows[0].classes[0].dice = 0.5;
  rows[2].classes[0].dice = 0.9;
  rows[1].classes[0].recall = 0.25;
  const auto summaries = summarize(rows);
  REQUIRE(summaries.size() == evaluation_columns.size());
  CHECK(summaries[4].column == "dice_class0");
  CHECK(summaries[4].defined == 2);
  CHECK(summaries[4].mean == Approx(0.7));
  CHECK(summaries[4].standard_deviation == Approx(std::sqrt(0.08)));  // 2 · 0.2² / (2 - 1)
  CHECK(summaries[5].mean == 0.25);
  CHECK(std::isnan(summaries[5].standard_deviation));
  CHECK(summaries[6].defined == 0);
  CHECK(std::isnan(summaries[6].mean));
  CHECK(summarize({}).empty());
  rows[0].classes[0].hausdorff95_mm = 3;
  rows[1].classes[0].hausdorff95_mm = std::numeric_limits<double>::infinity();
  CHECK(summarize(rows)[13].column == "hd95_class0");
  CHECK(summarize(rows)[13].defined == 1);
  CHECK(summarize(rows)[13].mean == 3);
}

TEST_CASE("evaluation_parameters are read as ivadomed writes them", "[unit][evaluation]") {
  const auto read = [](const char* text) {
    return from_json<EvaluationParameters>(Json::parse(text), "evaluation_parameters");
  };
  const EvaluationParameters params =
      read(R"({"object_detection_metrics": false, "overlap": {"unit": "ratio", "thr": 0.25}})");
  CHECK_FALSE(params.object_detection_metrics);
  CHECK(params.overlap.unit == SizeUnit::ratio);
  CHECK(params.overlap.thr == 0.25);
  CHECK(same(params, from_json<EvaluationParameters>(to_json(params), "")));
  CHECK(read("{}").overlap.thr == 3);
  CHECK(read(R"({"target_size": {"unit": "vox", "thr": [20, 100]}})").target_size.thr.values ==
        std::vector<double>{20, 100});
  CHECK_THROWS_WITH(read(R"({"overlap": {"unit": "mm"}})"), Contains("\"vox\", \"mm3\", \"ratio\""));
  CHECK_THROWS_WITH(read(R"({"targetsize": {}})"), Contains("did you mean \"targetSize\""));
}
