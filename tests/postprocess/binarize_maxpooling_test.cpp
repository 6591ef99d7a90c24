#include <ivado/postprocess/binarize_maxpooling.hpp>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;

TEST_CASE("BinarizeMaxPooling keeps the laws of a step", "[unit][postprocess]") {
  check_step_laws(BinarizeMaxPooling{});
}

TEST_CASE("BinarizeMaxPooling gives each voxel to one class or the background", "[unit][postprocess]") {
  // The examples of pipeline.md section 7, a voxel each: (class 0, class 1).
  Prediction prediction{Array<float>({2, 1, 1, 6}), {1, 1, 1}, false};
  const std::vector<float> values{0.6F, 0.2F, 0.5F, 0.9F,  0.25F, 0.0F,  //
                                  0.3F, 0.3F, 0.5F, 0.95F, 0.25F, 0.0F};
  std::copy(values.begin(), values.end(), prediction.voxels.begin());
  BinarizeMaxPooling{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{1, 0, 1, 0, 0, 0,  //
                                                    0, 0, 0, 1, 0, 0});
  CHECK(prediction.is_mask);
}

TEST_CASE("BinarizeMaxPooling of one class: the background wins at one half", "[unit][postprocess]") {
  auto prediction = drawn(1, 3, {0.25F, 0.5F, 0.75F});
  BinarizeMaxPooling{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0, 1});
}
