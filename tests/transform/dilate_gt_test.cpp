// DilateGT: rims by hand, overlaps, classes, and what it leaves alone.
#include <ivado/transform/compose.hpp>
#include <ivado/transform/dilate_gt.hpp>

#include "laws.hpp"

using ivado::DilateGT;
using ivado::Image;
using ivado::Kind;

namespace {

Image label(const ivado::Shape& shape, const std::vector<float>& values) {
  Image image{ivado::Array<float>(shape), Kind::label, {1, 1, 1}};
  REQUIRE(image.voxels.size() == static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), image.voxels.begin());
  return image;
}

void check_dilated(double factor, Image image, const std::vector<double>& expected) {
  DilateGT({factor}).apply(image, {});
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(image.voxels[static_cast<std::int64_t>(i)] == Approx(expected[i]).margin(1e-7));
  }
}

}  // namespace

TEST_CASE("DilateGT keeps the laws of a transform") {
  laws::check_transform_laws<DilateGT>({0});
  laws::check_transform_laws<DilateGT>({0.2});
}

TEST_CASE("DilateGT by hand: a 2×2 square gets its eight face neighbours") {
  // reference/transforms.md, section 5.4: f = 0.3 gives m = round(0.3 · 2) = 1 and the value 1/2
  const std::vector<float> square{0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0};
  check_dilated(0.3, label({1, 4, 4}, square), {0, .5, .5, 0, .5, 1, 1, .5, .5, 1, 1, .5, 0, .5, .5, 0});
  check_dilated(0.25, label({1, 4, 4}, square), {0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0});  // ½ to the even 0
}

TEST_CASE("DilateGT fades with the distance, and adds up rims to 1 at most") {
  // one voxel, m = 2: 2/3 and 1/3; a row
  check_dilated(2, label({1, 1, 7}, {0, 0, 0, 1, 0, 0, 0}), {0, 1. / 3, 2. / 3, 1, 2. / 3, 1. / 3, 0});
  // two voxels, two apart: both add 2/3 between them, and 1/3 to each other
  check_dilated(2, label({1, 1, 7}, {0, 0, 1, 0, 1, 0, 0}), {1. / 3, 2. / 3, 1, 1, 1, 2. / 3, 1. / 3});
  // three apart: 2/3 + 1/3
  check_dilated(2, label({1, 1, 7}, {0, 1, 0, 0, 1, 0, 0}), {2. / 3, 1, 1, 1, 1, 2. / 3, 1. / 3});
  // four apart: 1/3 twice in the middle
  check_dilated(2, label({1, 1, 7}, {0, 1, 0, 0, 0, 1, 0}), {2. / 3, 1, 2. / 3, 2. / 3, 2. / 3, 1, 2. / 3});
}

TEST_CASE("DilateGT: voxels that touch with a corner are two objects, with a face of another slice one") {
  // two objects of one voxel each, m = round(0.6) = 1: the two neighbours in common get 1/2 twice
  check_dilated(0.6, label({1, 2, 2}, {1, 0, 0, 1}), {1, 1, 1, 1});
  // one object of two voxels along D, m = round(0.4 · √2) = 1; of one voxel it would be round(0.4) = 0
  check_dilated(0.4, label({1, 1, 3, 2}, {0, 0, 1, 1, 0, 0}), {.5, .5, 1, 1, .5, .5});
  check_dilated(0.4, label({1, 1, 3, 2}, {0, 0, 1, 0, 0, 0}), {0, 0, 1, 0, 0, 0});
}

TEST_CASE("DilateGT deals with each class alone, and takes values above 0.5 for inside") {
  check_dilated(1, label({2, 1, 5}, {0, 0, 0.6F, 0.5F, 0, 1, 0, 0, 0, 0}), {0, .5, 1, .5, 0, 1, .5, 0, 0, 0});
}

TEST_CASE("DilateGT fills the grid and ends, however large the factor") {
  Image image = label({1, 1, 4}, {1, 0, 0, 0});
  DilateGT({1000}).apply(image, {});
  for (std::int64_t i = 0; i < 4; ++i) CHECK(image.voxels[i] == Approx(static_cast<double>(1001 - i) / 1001));
}

TEST_CASE("DilateGT leaves an empty label, images, regions and, with a factor of 0, soft labels alone") {
  check_dilated(1, label({1, 2, 2}, {0, 0, 0, 0}), {0, 0, 0, 0});
  check_dilated(0, label({1, 2, 2}, {0.2F, 0.5F, 0.9F, 1}), {0.2F, 0.5F, 0.9F, 1});
  for (const auto kind : {Kind::image, Kind::roi}) {
    Image image = label({1, 1, 3}, {0, 1, 0});
    image.kind = kind;
    check_dilated(1, std::move(image), {0, 1, 0});
  }
}

TEST_CASE("DilateGT in a chain leaves nothing to take back") {
  using Chain = ivado::Compose<DilateGT>;
  const Chain chain;
  ivado::Sample sample = laws::smooth_sample({9, 9});
  auto history = chain.preprocess(sample, ivado::Stage::testing);
  chain.augment(sample, ivado::Stage::testing, {}, history);
  Image prediction = sample.label.clone();
  chain.invert(prediction, history);
  CHECK(prediction.voxels == sample.label.voxels);
}

TEST_CASE("DilateGT refuses what means nothing") {
  CHECK(laws::has(laws::error_text([] { DilateGT({-1}); }), "dilation_factor is -1"));
  const auto read = [](const char* json) {
    return laws::error_text([&] { (void)ivado::from_json<DilateGT::Params>(ivado::Json::parse(json), "DilateGT"); });
  };
  CHECK(laws::has(read("{}"), "DilateGT.dilation_factor"));
  CHECK(laws::has(read(R"({"dilation_factor": -0.1})"), "DilateGT.dilation_factor"));
}
