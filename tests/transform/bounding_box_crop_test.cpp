// BoundingBoxCrop: the box of a sample, on its own grid and on a resampled one.
#include <ivado/transform/bounding_box_crop.hpp>
#include <ivado/transform/compose.hpp>
#include <ivado/transform/resample.hpp>

#include "laws.hpp"

using ivado::BoundingBoxCrop;
using ivado::ObjectBox;
using ivado::Sample;

namespace {

Sample with_box(const ivado::Shape& spatial, const ObjectBox& box) {
  Sample sample = laws::smooth_sample(spatial);
  sample.box = box;
  return sample;
}

BoundingBoxCrop::Draw drawn(const BoundingBoxCrop::Params& params, const Sample& sample) {
  ivado::Rng rng(ivado::RandomKey{});
  return BoundingBoxCrop(params).draw(rng, sample);
}

using Start = std::array<std::int64_t, 3>;

}  // namespace

TEST_CASE("BoundingBoxCrop keeps the laws of a transform") {
  laws::check_on<BoundingBoxCrop>({}, with_box({31, 29}, {{31, 29}, {5, 4, 0}, {27, 26, 0}}), {0.3, 0});
  laws::check_on<BoundingBoxCrop>({}, with_box({23, 29, 17}, {{23, 29, 17}, {-3, -2, 0}, {40, 31, 17}}), {0, 0});
  laws::check_on<BoundingBoxCrop>({{{60, 70, 40}}}, with_box({24, 19, 20}, {{24, 19, 20}, {9, 3, 7}, {12, 8, 9}}),
                                  {0, 0});
}

TEST_CASE("BoundingBoxCrop cuts the half-open box, and zeros stand outside of the sample") {
  const Sample sample = with_box({4, 3}, {{4, 3, 20}, {1, -1, 5}, {3, 2, 9}});  // the third axis counts in 3-D alone
  const BoundingBoxCrop crop({});
  const auto draw = drawn({}, sample);
  CHECK(draw.start == Start{1, -1, 0});
  CHECK(draw.after == ivado::Shape{2, 3});
  ivado::Image image = sample.image.clone();
  crop.apply(image, draw);
  REQUIRE(image.voxels.shape() == ivado::Shape{2, 2, 3});
  for (std::int64_t c = 0; c < 2; ++c)
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t w = 0; w < 3; ++w)
        CHECK(image.voxels[(c * 2 + h) * 3 + w] == (w == 0 ? 0.0F : sample.image.voxels[(c * 4 + h + 1) * 3 + w - 1]));
  crop.invert(image, draw);
  REQUIRE(image.voxels.shape() == ivado::Shape{2, 4, 3});
  CHECK(image.voxels[1 * 3 + 1] == sample.image.voxels[1 * 3 + 1]);
  CHECK(image.voxels[1 * 3 + 2] == 0);
  CHECK(image.voxels[0] == 0);
}

TEST_CASE("BoundingBoxCrop brings the box onto a resampled grid, outwards to whole voxels") {
  // From 10 to 15 voxels: [3, 7) becomes [4.5, 10.5), so [4, 11); [2, 4) becomes [3, 6) exactly.
  CHECK(drawn({}, with_box({15, 15}, {{10, 10}, {3, 2, 0}, {7, 4, 0}})).start == Start{4, 3, 0});
  CHECK(drawn({}, with_box({15, 15}, {{10, 10}, {3, 2, 0}, {7, 4, 0}})).after == ivado::Shape{7, 3});
  // A negative start is rounded outwards too: -1 · 1.5 is -1.5.
  CHECK(drawn({}, with_box({15, 15}, {{10, 10}, {-1, 0, 0}, {7, 4, 0}})).start == Start{-2, 0, 0});

  using Chain = ivado::Compose<ivado::Resample, BoundingBoxCrop>;
  Chain::Params params;
  params.get<ivado::Resample>().params = {0.5, 2, 1, false};
  const Chain chain(params);
  Sample sample = with_box({20, 24}, {{20, 24}, {4, 6, 0}, {10, 18, 0}});
  const ivado::Shape before = sample.image.spatial();
  const auto history = chain.preprocess(sample, ivado::Stage::testing);
  CHECK(sample.image.spatial() == ivado::Shape{12, 6});
  CHECK(sample.label.spatial() == ivado::Shape{12, 6});
  ivado::Image prediction = sample.label.clone();
  chain.invert(prediction, history);
  CHECK(prediction.spatial() == before);
}

TEST_CASE("BoundingBoxCrop with a size takes the middle of the box") {
  const Sample sample = with_box({30, 30, 30}, {{30, 30, 30}, {10, 10, 10}, {16, 16, 16}});
  const auto draw = drawn({{{6, 9, 2}}}, sample);
  CHECK(draw.start == Start{10, 8, 12});  // (6 - 9) / 2 to the even -2
  CHECK(draw.after == ivado::Shape{6, 9, 2});
  CHECK(laws::has(laws::error_text([&] { (void)drawn({{{6, 9}}}, sample); }), "third number"));
  CHECK(laws::has(laws::error_text([&] { BoundingBoxCrop({{{6}}}); }), "setting up BoundingBoxCrop: size is [6]"));
}

TEST_CASE("BoundingBoxCrop for patches widens the box by voxels of the image, as far as there are some") {
  BoundingBoxCrop::Params params;
  params.length = {8, 8, 8};
  params.stride = {3, 8, 4};
  // 9 voxels need 8 + 3; 3 need 8, moved to begin with the grid; 9 need 12, of which the grid has 10.
  const auto draw = drawn(params, with_box({30, 30, 10}, {{30, 30, 10}, {10, 1, 1}, {19, 4, 10}}));
  CHECK(draw.after == ivado::Shape{11, 8, 10});
  CHECK(draw.start == Start{9, 0, 0});
  params.stride.reset();
  CHECK(drawn(params, with_box({30, 30}, {{30, 30, 10}, {10, 1, 1}, {19, 28, 10}})).after == ivado::Shape{16, 30});
  params.size = {5, 5, 5};  // counts alone
  CHECK(drawn(params, with_box({30, 30}, {{30, 30, 10}, {10, 1, 1}, {19, 28, 10}})).after == ivado::Shape{5, 5});
  params.stride = {3};
  CHECK(laws::has(laws::error_text([&] { BoundingBoxCrop{params}; }), "[3]"));
}

TEST_CASE("BoundingBoxCrop says what is wrong with a box") {
  const auto error = [](const Sample& sample) { return laws::error_text([&] { (void)drawn({}, sample); }); };
  CHECK(laws::has(error(laws::smooth_sample({9, 9})), "it carries none; name a detector"));
  CHECK(laws::has(error(with_box({9, 9}, {{9, 9}, {4, 0, 0}, {4, 9, 0}})), "along H the box runs from 4 to 4 of 9"));
  CHECK(laws::has(error(with_box({9, 9, 9}, {{9, 9}, {4, 0, 0}, {5, 9, 1}})), "the grid of the box has 2 axes"));
}

TEST_CASE("A cloned sample keeps its box") {
  const Sample sample = with_box({9, 9}, {{9, 9}, {4, 0, 0}, {5, 9, 0}});
  CHECK(sample.clone().box == sample.box);
}
