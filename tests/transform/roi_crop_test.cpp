// ROICrop: a window about the region of interest, and what happens without one.
#include <cmath>
#include <ivado/transform/roi_crop.hpp>
#include <limits>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::ROICrop;
using ivado::Sample;

namespace {

Sample blank(const ivado::Shape& spatial) {
  Sample sample;
  sample.image = {ivado::Array<float>(spatial.prepended(2), 1.0F), Kind::image, {1, 1, 1}};
  sample.roi = {ivado::Array<float>(spatial.prepended(1), 0.0F), Kind::roi, {1, 1, 1}};
  return sample;
}

ROICrop::Draw drawn(const ROICrop::Params& params, const Sample& sample) {
  ivado::Rng rng(ivado::RandomKey{});
  return ROICrop(params).draw(rng, sample);
}

std::string drawing_error(const ROICrop::Params& params, const Sample& sample) {
  return laws::error_text([&] { (void)drawn(params, sample); });
}

using Start = std::array<std::int64_t, 3>;

}  // namespace

TEST_CASE("ROICrop keeps the laws of a transform") {
  laws::check_transform_laws<ROICrop>({{21, 22, 13}, false, false}, {0.35, 0});
  laws::check_transform_laws<ROICrop>({{90, 90, 60}, false, false}, {0, 0});  // padding: nothing is lost
}

TEST_CASE("ROICrop by hand: a mask at rows 10 to 20") {
  // reference/transforms.md, section 3.3: the centre is 15, and 15 - round(48 / 2) is -9.
  Sample sample = blank({40, 9});
  for (std::int64_t h = 10; h <= 20; ++h) sample.roi.voxels[h * 9 + 4] = 1;
  const auto draw = drawn({{48, 5}, false, false}, sample);
  CHECK(draw.start == Start{-9, 2, 0});  // round(5 / 2) is 2
  CHECK(draw.before == ivado::Shape{40, 9});
  CHECK(draw.after == ivado::Shape{48, 5});
  const ROICrop crop({{48, 5}, false, false});
  crop.apply(sample.roi, draw);
  REQUIRE(sample.roi.spatial() == ivado::Shape{48, 5});
  for (std::int64_t h = 0; h < 48; ++h)
    for (std::int64_t w = 0; w < 5; ++w)
      CHECK(sample.roi.voxels[h * 5 + w] == (h >= 19 && h <= 29 && w == 2 ? 1.0F : 0.0F));
  crop.invert(sample.roi, draw);
  CHECK(sample.roi.voxels[15 * 9 + 4] == 1);
  CHECK(sample.roi.voxels[9 * 9 + 4] == 0);
}

TEST_CASE("ROICrop rounds a centre between two voxels to the even one") {
  const auto [first, size, start] = GENERATE(table<int, int, int>({{2, 4, 0},     // 2.5 is 2, 2 is half of 4
                                                                   {3, 4, 2},     // 3.5 is 4
                                                                   {2, 3, 0},     // half of 3 is 2
                                                                   {3, 5, 2},     // half of 5 is 2
                                                                   {0, 1, 0}}));  // 0.5 is 0, half of 1 is 0
  CAPTURE(first, size);
  Sample sample = blank({8, 3});
  sample.roi.voxels[first * 3 + 1] = sample.roi.voxels[(first + 1) * 3 + 1] = 1;
  CHECK(drawn({{size, 3}, false, false}, sample).start == Start{start, -1, 0});  // 1 - round(3 / 2)
}

TEST_CASE("ROICrop weighs voxels by their value, in 3-D too") {
  Sample sample = blank({9, 9, 9});
  const auto at = [](std::int64_t h, std::int64_t w, std::int64_t d) { return (h * 9 + w) * 9 + d; };
  sample.roi.voxels[at(0, 4, 8)] = 0.25F;
  sample.roi.voxels[at(8, 4, 0)] = 0.75F;
  sample.roi.voxels[at(1, 1, 1)] = -5;
  sample.roi.voxels[at(2, 2, 2)] = std::numeric_limits<float>::quiet_NaN();
  CHECK(drawn({{2, 2, 2}, false, false}, sample).start == Start{5, 3, 1});                   // centre (6, 4, 2)
  CHECK(laws::has(drawing_error({{2, 2, 2}, false, true}, sample), "the region is empty"));  // all truncated to 0
  sample.roi.voxels[at(0, 0, 0)] = 1.9F;
  CHECK(drawn({{2, 2, 2}, false, true}, sample).start == Start{-1, -1, -1});
}

TEST_CASE("ROICrop without a region of interest is an error, unless it says what to do") {
  Sample sample = blank({7, 11});
  const std::string empty = drawing_error({{3, 3}, false, false}, sample);
  CHECK(laws::has(empty, "the region is empty"));
  CHECK(laws::has(empty, "slice_filter_roi"));
  CHECK(laws::has(empty, "center_without_roi"));
  CHECK(drawn({{3, 4}, true, false}, sample).start == Start{2, 4, 0});  // as CenterCrop: 4 / 2, 7 / 2 to the even 4
  sample.roi = {};
  CHECK(laws::has(drawing_error({{3, 3}, false, false}, sample), "it has none"));
  CHECK(drawn({{3, 4}, true, false}, sample).start == Start{2, 4, 0});
  // ivadomed takes the intensities of the first channel.
  for (float& value : sample.image.voxels) value = 0;
  sample.image.voxels[1 * 11 + 9] = 30;
  sample.image.voxels[77 + 5 * 11] = 1000;
  CHECK(drawn({{2, 2}, false, true}, sample).start == Start{0, 8, 0});
  CHECK(laws::has(drawing_error({{2, 2}, false, false}, sample), "it has none"));
}

TEST_CASE("ROICrop wants the region on the grid of the image, and a size that means something") {
  Sample sample = blank({7, 11});
  sample.roi = blank({8, 11}).roi;
  const std::string text = drawing_error({{3, 3}, false, false}, sample);
  CHECK(laws::has(text, "the image is 7x11 voxels, the region 8x11"));
  CHECK(laws::has(text, "applied_to"));
  for (const auto& size : std::vector<std::vector<int>>{{}, {4}, {1, 2, 3, 4}, {0, 4}, {4, -1}})
    CHECK(laws::has(laws::error_text([&] { ROICrop({size, false, false}); }), "setting up ROICrop: size is "));
  CHECK(laws::has(drawing_error({{3, 3}, false, false}, blank({4, 4, 4})), "the size of ROICrop is [3,3]"));
  const auto read = [](const char* json) {
    return ivado::from_json<ROICrop::Params>(ivado::Json::parse(json), "ROICrop");
  };
  CHECK(laws::has(laws::error_text([&] { (void)read("{}"); }), "ROICrop.size"));
  CHECK(read(R"({"size": [48, 48]})").size == std::vector<int>{48, 48});
}
