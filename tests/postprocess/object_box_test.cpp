// The box of a prediction: the largest object, along the axes of the patient, and nothing of it outside.
#include <ivado/postprocess/object_box.hpp>
#include <ivado/random.hpp>

#include "../catch.hpp"

using namespace ivado;

namespace {

Prediction empty_prediction(std::int64_t classes, const Shape& grid) {
  return {zeros(grid.prepended(classes)), {1, 1, 1}, false};
}
void fill(Prediction& prediction, std::int64_t c, const ObjectBox& box, float value) {
  const auto voxels = prediction.voxels.view().select(0, c);
  for (auto i = box.begin[0]; i < box.end[0]; ++i)
    for (auto j = box.begin[1]; j < box.end[1]; ++j)
      for (auto k = box.begin[2]; k < box.end[2]; ++k) voxels(i, j, k) = value;
}
Geometry grid(const Shape& shape) { return {shape, Eigen::Matrix4d::Identity()}; }

}  // namespace

TEST_CASE("The largest object counts, of all classes together") {
  const Shape shape{12, 10, 8};
  Prediction prediction = empty_prediction(2, shape);
  fill(prediction, 0, {shape, {0, 0, 0}, {2, 2, 2}}, 1);     // 8 voxels
  fill(prediction, 0, {shape, {5, 5, 2}, {7, 8, 4}}, 0.5F);  // 12, and 8 of the other class beside it
  fill(prediction, 1, {shape, {7, 5, 3}, {9, 7, 5}}, 0.7F);
  fill(prediction, 1, {shape, {0, 4, 0}, {5, 10, 8}}, 0.49F);  // large, but below the threshold
  const Detection found = detect_object(prediction, grid(shape));
  CHECK(found.found);
  CHECK(found.box == ObjectBox{shape, {5, 5, 2}, {9, 8, 5}});
  CHECK(detect_object(prediction, grid(shape), 0.4F).box == ObjectBox{shape, {0, 4, 0}, {9, 10, 8}});
}

TEST_CASE("Without an object the box is the whole image") {
  const Detection found = detect_object(empty_prediction(1, {4, 5, 6}), grid({4, 5, 6}));
  CHECK_FALSE(found.found);
  CHECK(found.box == whole_box({4, 5, 6}));
}

TEST_CASE("Boxes lie along R, A, S, however the file is stored") {
  const Shape shape{6, 7, 8};
  Geometry geometry = grid(shape);
  geometry.affine << 0, -1, 0, 0, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0, 1;  // i to I, j to L, k to A
  Prediction prediction = empty_prediction(1, shape);
  fill(prediction, 0, {shape, {1, 2, 3}, {3, 4, 8}}, 1);
  CHECK(detect_object(prediction, geometry).box == ObjectBox{{7, 8, 6}, {3, 3, 3}, {5, 8, 5}});
}

TEST_CASE("Every voxel of an object is in its box, and every side of the box touches it") {
  Rng rng(RandomKey{3, 0, 0, 0});
  for (int round = 0; round < 100; ++round) {
    const Shape shape{5 + rng.below(9), 5 + rng.below(9), 5 + rng.below(9)};
    Prediction prediction = empty_prediction(1, shape);
    // A random walk: one connected object.
    std::array<std::int64_t, 3> at{};
    ObjectBox walked{shape, {99, 99, 99}, {}};
    for (std::size_t a = 0; a < 3; ++a) at[a] = shape[static_cast<int>(a)] / 2;
    for (int step = 0; step < 40; ++step) {
      prediction.voxels.view()(0, at[0], at[1], at[2]) = 0.9F;
      for (std::size_t a = 0; a < 3; ++a) {
        walked.begin[a] = std::min(walked.begin[a], at[a]);
        walked.end[a] = std::max(walked.end[a], at[a] + 1);
      }
      const std::size_t axis = rng.below(3);
      at[axis] =
          std::clamp<std::int64_t>(at[axis] + (rng.bernoulli(0.5) ? 1 : -1), 0, shape[static_cast<int>(axis)] - 1);
    }
    CHECK(detect_object(prediction, grid(shape)).box == walked);
  }
}
