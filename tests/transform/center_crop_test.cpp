// CenterCrop: where the window starts, zeros around it, and back.
#include <ivado/transform/center_crop.hpp>

#include "laws.hpp"

using ivado::CenterCrop;
using ivado::Image;
using ivado::Kind;

namespace {

Image counting(const ivado::Shape& spatial) {
  Image image{ivado::Array<float>(spatial.prepended(1)), Kind::image, {1, 1, 1}};
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) image.voxels[i] = static_cast<float>(i + 1);
  return image;
}

CenterCrop::Draw crop(const std::vector<int>& size, Image& image) {
  const CenterCrop transform({size});
  ivado::Sample sample;
  sample.image = image.clone();
  ivado::Rng rng(ivado::RandomKey{});
  const auto drawn = transform.draw(rng, sample);
  transform.apply(image, drawn);
  return drawn;
}

}  // namespace

TEST_CASE("CenterCrop keeps the laws of a transform") {
  laws::check_transform_laws<CenterCrop>({{19, 21, 11}}, {0.3, 0});  // the window holds the interior: exact
  laws::check_transform_laws<CenterCrop>({{64, 50, 40}}, {0, 0});    // padding: nothing is lost
}

TEST_CASE("CenterCrop starts at the half that rounds to even") {
  // reference/transforms.md, section 3.2
  const auto [extent, size, start] = GENERATE(table<int, int, int>({{5, 2, 2},
                                                                    {7, 4, 2},
                                                                    {9, 4, 2},
                                                                    {5, 4, 0},
                                                                    {11, 14, -2},
                                                                    {10, 12, -1},
                                                                    {5, 8, -2},
                                                                    {4, 9, -2},
                                                                    {6, 9, -2},
                                                                    {3, 3, 0},
                                                                    {1, 4, -2},
                                                                    {2, 5, -2}}));
  CAPTURE(extent, size);
  Image image = counting({extent, 4});
  CHECK(crop({size, 4}, image).start == std::array<std::int64_t, 3>{start, 0, 0});
  REQUIRE(image.spatial() == ivado::Shape{size, 4});
  for (std::int64_t h = 0; h < size; ++h) {
    const std::int64_t from = h + start;
    CHECK(image.voxels[h * 4 + 1] == (from >= 0 && from < extent ? static_cast<float>(from * 4 + 2) : 0.0F));
  }
}

TEST_CASE("CenterCrop by hand: cuts along one axis, pads along the other, and back") {
  Image image = counting({4, 3});
  const auto drawn = crop({2, 5}, image);
  const float expected[] = {0, 4, 5, 6, 0, 0, 7, 8, 9, 0};
  REQUIRE(image.spatial() == ivado::Shape{2, 5});
  for (std::int64_t i = 0; i < 10; ++i) CHECK(image.voxels[i] == expected[i]);
  CenterCrop({{2, 5}}).invert(image, drawn);
  const float back[] = {0, 0, 0, 4, 5, 6, 7, 8, 9, 0, 0, 0};
  REQUIRE(image.spatial() == ivado::Shape{4, 3});
  for (std::int64_t i = 0; i < 12; ++i) CHECK(image.voxels[i] == back[i]);
}

TEST_CASE("CenterCrop puts a prediction of several classes back on the grid of a volume") {
  const auto extent = GENERATE(1, 2, 7, 13);
  const auto size = GENERATE(1, 4, 7, 16);
  CAPTURE(extent, size);
  Image image = counting({extent, extent, extent});
  const auto drawn = crop({size, size, size}, image);
  Image prediction{ivado::Array<float>(ivado::Shape{3, size, size, size}, 0.5F), Kind::label, {1, 1, 1}};
  CenterCrop({{size, size, size}}).invert(prediction, drawn);
  REQUIRE(prediction.voxels.shape() == ivado::Shape{3, extent, extent, extent});
  const std::int64_t kept = std::min(extent, size);
  double total = 0;
  for (const float value : prediction.voxels) total += static_cast<double>(value);
  CHECK(total == Approx(0.5 * 3 * static_cast<double>(kept * kept * kept)));
}

TEST_CASE("CenterCrop leaves a sample of the right size alone, and ignores a third number in 2-D") {
  Image image = counting({5, 7});
  const Image before = image.clone();
  crop({5, 7, 3}, image);
  CHECK(laws::equal(image, before));
}

TEST_CASE("CenterCrop refuses sizes that mean nothing") {
  for (const auto& size : std::vector<std::vector<int>>{{}, {4}, {1, 2, 3, 4}, {0, 4}, {4, -1}})
    CHECK(laws::has(laws::error_text([&] { CenterCrop({size}); }), "size is "));
  Image volume = counting({4, 4, 4});
  const std::string text = laws::error_text([&] { crop({2, 2}, volume); });
  CHECK(laws::has(text, "4x4x4"));
  CHECK(laws::has(text, "[2,2]"));
  CHECK(laws::has(text, "third number"));
  const auto read = [](const char* json) {
    return laws::error_text(
        [&] { (void)ivado::from_json<CenterCrop::Params>(ivado::Json::parse(json), "CenterCrop"); });
  };
  CHECK(laws::has(read("{}"), "CenterCrop.size"));
  CHECK(laws::has(read(R"({"size": [0, 4]})"), ">= 1"));
  CHECK(laws::has(read(R"({"size": 128})"), "list"));
  Image other = counting({3, 3});
  Image image = counting({4, 4});
  const auto drawn = crop({2, 2}, image);
  CHECK(laws::has(laws::error_text([&] { CenterCrop({{2, 2}}).invert(other, drawn); }), "3x3, expected 2x2"));
}
