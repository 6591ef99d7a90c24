#include <ivado/postprocess/keep_largest.hpp>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;

TEST_CASE("KeepLargest keeps the laws of a step", "[unit][postprocess]") {
  check_step_laws(KeepLargest{});
  check_step_laws(KeepLargest({true}));
}

TEST_CASE("KeepLargest keeps the largest object by face neighbours", "[unit][postprocess]") {
  auto prediction = drawn(3, 5,
                          {1, 1, 0, 0, 1,  //
                           0, 0, 1, 0, 1,  //
                           1, 0, 0, 0, 1});
  prediction.is_mask = true;
  KeepLargest{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0, 0, 0, 1,  //
                                                    0, 0, 0, 0, 1,  //
                                                    0, 0, 0, 0, 1});
  CHECK(prediction.is_mask);
}

TEST_CASE("KeepLargest of equally large objects keeps the first", "[unit][postprocess]") {
  auto prediction = drawn(1, 7, {0, 1, 0, 1, 1, 0, 0});
  prediction.voxels[0] = prediction.voxels[1];  // 1 1 0 1 1 0 0
  KeepLargest{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{1, 1, 0, 0, 0, 0, 0});
}

TEST_CASE("KeepLargest keeps the values of a soft prediction and drops those below 0.001", "[unit][postprocess]") {
  auto prediction = drawn(1, 7, {0.0009F, 0.2F, 0.9F, 0.001F, 0.0F, 0.8F, 0.8F});
  KeepLargest{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0.2F, 0.9F, 0.001F, 0, 0, 0});
  // also where there is one object only
  prediction = drawn(1, 3, {0.0009F, 0.2F, 0.0F});
  KeepLargest{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0.2F, 0});
}

TEST_CASE("KeepLargest works class by class; as ivadomed, over all classes", "[unit][postprocess]") {
  // Class 0: three voxels and two; class 1: one voxel, which touches none of class 0 along the class axis.
  Prediction prediction{Array<float>({2, 1, 1, 7}), {1, 1, 1}, true};
  const std::vector<float> values{1, 1, 0, 1, 1, 1, 0,  //
                                  0, 0, 1, 0, 0, 0, 0};
  std::copy(values.begin(), values.end(), prediction.voxels.begin());
  auto old = clone(prediction);
  KeepLargest{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0, 0, 1, 1, 1, 0,  //
                                                    0, 0, 1, 0, 0, 0, 0});
  KeepLargest({true})(old);
  CHECK(values_of(old) == std::vector<float>{0, 0, 0, 1, 1, 1, 0,  //
                                             0, 0, 0, 0, 0, 0, 0});
  // In ivadomed classes touch where they share a voxel: the two of class 0 with two of class 1 make four.
  const std::vector<float> touching{1, 1, 0, 1, 1, 1, 0,  //
                                    0, 1, 1, 0, 0, 0, 0};
  std::copy(touching.begin(), touching.end(), old.voxels.begin());
  KeepLargest({true})(old);
  CHECK(values_of(old) == std::vector<float>{1, 1, 0, 0, 0, 0, 0,  //
                                             0, 1, 1, 0, 0, 0, 0});
}

TEST_CASE("keep_largest_component works on one slice of a volume", "[unit][postprocess]") {
  auto values = Array<float>({3, 4, 5}, 1.0F);
  auto slice = values.view().select(2, 2);
  for (std::int64_t i = 0; i < 3; ++i) slice(i, 2) = 0;  // leaves columns 0, 1 and column 3
  keep_largest_component(slice);
  for (std::int64_t i = 0; i < 3; ++i) {
    CHECK(slice(i, 1) == 1);
    CHECK(slice(i, 3) == 0);
    CHECK(values.view()(i, 3, 1) == 1);
  }
}
