#include <cmath>
#include <ivado/metric/keypoints.hpp>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

Keypoint at(double x, double y, double z, std::int64_t class_index = 0) {
  Keypoint point;
  point.world_mm = {x, y, z};
  point.class_index = class_index;
  return point;
}

}  // namespace

TEST_CASE("Points are matched within the distance, each once") {
  const std::vector<Keypoint> truth{at(0, 0, 0), at(0, 0, 20), at(0, 0, 40)};
  const std::vector<Keypoint> predicted{at(0, 3, 24), at(0, 0, 1), at(0, 0, 70), at(0, 0, 2)};
  const auto score = score_keypoints(predicted, truth, 5);
  CHECK(score.truth == 3);
  CHECK(score.predicted == 4);
  CHECK(score.matched() == 2);
  CHECK(score.missed() == 1);
  CHECK(score.false_points() == 2);
  REQUIRE(score.matches.size() == 2);
  CHECK(score.matches[0].predicted == 1);
  CHECK(score.matches[0].truth == 0);
  CHECK(score.matches[0].distance_mm == 1);
  CHECK(score.matches[1].predicted == 0);
  CHECK(score.matches[1].truth == 1);
  CHECK(score.matches[1].distance_mm == 5);  // 3-4-5, at the limit
  CHECK(score.mean_error_mm() == 3);
  CHECK(score.median_error_mm() == 3);
  CHECK(score_keypoints(predicted, truth, 4.9).matched() == 1);
  CHECK(score_keypoints(predicted, truth, 100).matched() == 3);
}

TEST_CASE("The nearest pair is matched first, whatever comes first in the lists") {
  // An assignment with the most pairs would give both points of the prediction away, 1.25 and 2 mm off. Greedily, the
  // pair 0.75 mm apart is taken, and what is left is too far.
  const std::vector<Keypoint> truth{at(0, 0, 0), at(0, 0, 2)};
  const std::vector<Keypoint> predicted{at(0, 0, 4), at(0, 0, 1.25)};
  const auto score = score_keypoints(predicted, truth, 3);
  REQUIRE(score.matched() == 1);
  CHECK(score.matches[0].predicted == 1);
  CHECK(score.matches[0].truth == 1);
  CHECK(score.matches[0].distance_mm == 0.75);
  CHECK(score.missed() == 1);
  CHECK(score.false_points() == 1);
}

TEST_CASE("The median is of the distances of the matched points") {
  std::vector<Keypoint> truth;
  std::vector<Keypoint> predicted;
  const std::vector<double> errors{3, 1, 2, 10};
  for (std::size_t i = 0; i < errors.size(); ++i) {
    truth.push_back(at(100.0 * static_cast<double>(i), 0, 0));
    predicted.push_back(at(100.0 * static_cast<double>(i), errors[i], 0));
  }
  CHECK(score_keypoints(predicted, truth, 50).median_error_mm() == 2.5);
  CHECK(score_keypoints(predicted, truth, 50).mean_error_mm() == 4);
  CHECK(score_keypoints(predicted, truth, 5).median_error_mm() == 2);
}

TEST_CASE("Without points there are no errors, and no distance is refused") {
  const std::vector<Keypoint> one{at(1, 2, 3)};
  CHECK(std::isnan(score_keypoints({}, one, 5).mean_error_mm()));
  CHECK(std::isnan(score_keypoints(one, {}, 5).median_error_mm()));
  CHECK(score_keypoints({}, one, 5).missed() == 1);
  CHECK(score_keypoints(one, {}, 5).false_points() == 1);
  CHECK_THROWS_WITH(score_keypoints(one, one, 0), Contains("give one above 0"));
  CHECK_THROWS_WITH(score_keypoints(one, one, std::nan("")), Contains("give one above 0"));
}

TEST_CASE("Classes are scored one by one") {
  const std::vector<Keypoint> truth{at(0, 0, 0, 0), at(0, 0, 0, 2)};
  const std::vector<Keypoint> predicted{at(0, 0, 1, 2), at(0, 0, 0, 5)};
  const auto scores = score_keypoints_by_class(predicted, truth, 5);
  REQUIRE(scores.size() == 3);
  CHECK(scores.at(0).missed() == 1);
  CHECK(scores.at(2).matched() == 1);
  CHECK(scores.at(2).mean_error_mm() == 1);
  CHECK(scores.at(5).false_points() == 1);
}

TEST_CASE("True points come from a heat map as predicted ones do, on one slice") {
  Geometry geometry;
  geometry.shape = {1, 30, 30};
  geometry.affine.diagonal() << 1, 0.5, 2, 1;
  auto truth = zeros(geometry.shape);
  auto predicted = zeros(geometry.shape);
  truth.view()(0, 10, 10) = 1;
  predicted.view()(0, 12, 11) = 0.4F;
  const auto score =
      score_keypoints(find_keypoints(predicted.view(), geometry), find_keypoints(truth.view(), geometry), 5);
  REQUIRE(score.matched() == 1);
  CHECK(score.mean_error_mm() == Approx(std::sqrt(5.0)));
}
