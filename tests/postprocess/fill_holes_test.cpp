#include <ivado/postprocess/fill_holes.hpp>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;

TEST_CASE("FillHoles keeps the laws of a step", "[unit][postprocess]") {
  check_step_laws(FillHoles{});
  check_step_laws(FillHoles({true}));
}

TEST_CASE("FillHoles fills a closed hole and leaves one that is open over a corner", "[unit][postprocess]") {
  auto closed = drawn(4, 5, {1, 1, 1, 1, 1,  //
                             1, 0, 0, 1, 0,  //
                             1, 1, 1, 1, 0,  //
                             0, 0, 0, 0, 0});
  FillHoles{}(closed);
  CHECK(values_of(closed) == std::vector<float>{1, 1, 1, 1, 1,  //
                                                1, 1, 1, 1, 0,  //
                                                1, 1, 1, 1, 0,  //
                                                0, 0, 0, 0, 0});
  CHECK(closed.is_mask);
  const std::vector<float> corner{1, 1, 1, 1, 1,  //
                                  1, 0, 0, 1, 0,  //
                                  1, 1, 1, 0, 0,  //
                                  0, 0, 0, 0, 0};
  auto open = drawn(4, 5, corner);
  FillHoles{}(open);
  CHECK(values_of(open) == corner);
}

TEST_CASE("FillHoles in an image of one slice: 2-D holes, but none in ivadomed", "[unit][postprocess]") {
  const std::vector<float> ring{1, 1, 1,  //
                                1, 0, 1,  //
                                1, 1, 1};
  const int axis = GENERATE(0, 1, 2);  // the axis of one voxel
  Shape shape{1};
  for (int a = 0; a < 3; ++a) shape.push_back(a == axis ? 1 : 3);
  Prediction prediction{Array<float>(shape), {1, 1, 1}, false};
  std::copy(ring.begin(), ring.end(), prediction.voxels.begin());
  auto old = clone(prediction);
  FillHoles{}(prediction);
  CHECK(prediction.voxels[4] == 1);
  FillHoles({true})(old);
  CHECK(old.voxels[4] == 0);
}

TEST_CASE("FillHoles in a volume: a tunnel is no hole, a cavity is", "[unit][postprocess]") {
  Prediction prediction{Array<float>({1, 5, 5, 5}, 1.0F), {1, 1, 1}, false};
  prediction.voxels.view()(0, 2, 2, 2) = 0;
  prediction.voxels.view()(0, 2, 2, 3) = 0;
  auto tunnel = clone(prediction);
  FillHoles{}(prediction);
  CHECK(prediction.voxels == Array<float>({1, 5, 5, 5}, 1.0F));
  tunnel.voxels.view()(0, 2, 2, 4) = 0;  // to the border
  const auto before = tunnel.voxels.clone();
  FillHoles{}(tunnel);
  CHECK(tunnel.voxels == before);
}

TEST_CASE("FillHoles binarises a soft prediction at one half, class by class", "[unit][postprocess]") {
  Prediction prediction{Array<float>({2, 3, 3, 1}, 0.5F), {1, 1, 1}, false};
  prediction.voxels.view()(0, 1, 1, 0) = 0.25F;
  for (std::int64_t i = 0; i < 3; ++i) prediction.voxels.view()(1, i, 1, 0) = 0.4F;
  FillHoles{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1});
}

TEST_CASE("fill_holes_in with a wider reach sees the outside through a wall", "[unit][postprocess]") {
  auto ring = zeros<float>({7, 7});
  for (std::int64_t i = 2; i < 5; ++i)
    for (std::int64_t j = 2; j < 5; ++j) ring.view()(i, j) = i == 3 && j == 3 ? 0.0F : 1.0F;
  auto through = ring.clone();
  fill_holes_in(ring.view(), 1);
  CHECK(ring.view()(3, 3) == 1);
  fill_holes_in(through.view(), 2);
  CHECK(through.view()(3, 3) == 0);
  auto all = zeros<float>({3, 3});
  fill_holes_in(all.view(), 0);  // with no reach the outside is never met
  CHECK(all == Array<float>({3, 3}, 1.0F));
}
