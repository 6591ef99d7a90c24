// RandomReverse: which axes, by hand, and back.
#include <ivado/transform/random_reverse.hpp>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::RandomReverse;

namespace {

Image counting(const ivado::Shape& shape) {
  Image image{ivado::Array<float>(shape), Kind::image, {1, 1, 1}};
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) image.voxels[i] = static_cast<float>(i);
  return image;
}

}  // namespace

TEST_CASE("RandomReverse keeps the laws of a transform") { laws::check_transform_laws<RandomReverse>({}, {0, 0}); }

TEST_CASE("RandomReverse by hand") {
  Image image = counting({1, 2, 3});
  RandomReverse().apply(image, {{true, false, false}});
  const float rows[] = {3, 4, 5, 0, 1, 2};
  for (std::int64_t i = 0; i < 6; ++i) CHECK(image.voxels[i] == rows[i]);
  RandomReverse().apply(image, {{false, true, true}});  // the third flip has no effect on a slice
  const float both[] = {5, 4, 3, 2, 1, 0};
  for (std::int64_t i = 0; i < 6; ++i) CHECK(image.voxels[i] == both[i]);
}

TEST_CASE("RandomReverse takes each voxel to its mirrored place, and back") {
  const auto extents = GENERATE(ivado::Shape{1, 1, 1}, ivado::Shape{4, 3, 2}, ivado::Shape{5, 7, 6});
  const auto code = GENERATE(0, 1, 2, 3, 4, 5, 6, 7);
  const std::array<bool, 3> axes{(code & 1) != 0, (code & 2) != 0, (code & 4) != 0};
  CAPTURE(extents.text(), code);
  const Image before = counting(extents.prepended(3));
  Image image = before.clone();
  RandomReverse().apply(image, {axes});
  std::int64_t at = 0;
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t h = 0; h < extents[0]; ++h)
      for (std::int64_t w = 0; w < extents[1]; ++w)
        for (std::int64_t d = 0; d < extents[2]; ++d, ++at) {
          const std::int64_t i = axes[0] ? extents[0] - 1 - h : h;
          const std::int64_t j = axes[1] ? extents[1] - 1 - w : w;
          const std::int64_t k = axes[2] ? extents[2] - 1 - d : d;
          REQUIRE(image.voxels[at] == before.voxels[((c * extents[0] + i) * extents[1] + j) * extents[2] + k]);
        }
  RandomReverse().invert(image, {axes});
  CHECK(laws::equal(image, before));
}

TEST_CASE("RandomReverse tosses a fair coin for each axis") {
  const ivado::Sample sample = laws::smooth_sample({4, 4, 4});
  std::array<int, 8> seen{};
  for (std::uint32_t number = 0; number < 4000; ++number) {
    ivado::Rng rng(ivado::RandomKey{3, 0, number, 0});
    const auto axes = RandomReverse().draw(rng, sample).is_mirrored;
    ++seen[(axes[0] ? 1U : 0U) + (axes[1] ? 2U : 0U) + (axes[2] ? 4U : 0U)];
  }
  for (const int count : seen) CHECK(std::abs(count - 500) < 105);  // five standard deviations of 21
}

TEST_CASE("RandomReverse mirrors only along the axes that are named, with the draws of all") {
  const ivado::Sample sample = laws::smooth_sample({4, 4, 4});
  RandomReverse::Params params;
  params.axes = {2, 0};
  const RandomReverse some(params);
  std::array<int, 3> seen{};
  for (std::uint32_t number = 0; number < 100; ++number) {
    ivado::Rng one(ivado::RandomKey{3, 0, number, 0});
    ivado::Rng other(ivado::RandomKey{3, 0, number, 0});
    const auto all = RandomReverse().draw(one, sample).is_mirrored;
    const auto named = some.draw(other, sample).is_mirrored;
    CHECK(named == std::array<bool, 3>{all[0], false, all[2]});
    CHECK(one.uniform() == other.uniform());
    for (std::size_t axis = 0; axis < 3; ++axis) seen[axis] += named[axis] ? 1 : 0;
  }
  CHECK((seen[0] > 25 && seen[1] == 0 && seen[2] > 25));
}

TEST_CASE("RandomReverse reads its axes and refuses others") {
  const auto read = [](const char* json) {
    return ivado::from_json<RandomReverse::Params>(ivado::Json::parse(json), "RandomReverse");
  };
  CHECK(read("{}").axes == std::vector<std::int64_t>{0, 1, 2});
  CHECK(read(R"({"axes": [1]})").axes == std::vector<std::int64_t>{1});
  CHECK(laws::has(laws::error_text([&] { (void)read(R"({"axes": [3]})"); }), "RandomReverse.axes"));
  CHECK(laws::has(laws::error_text([&] { (void)read(R"({"p": 1})"); }), "RandomReverse.p: there is no such key"));
  RandomReverse::Params params;
  params.axes = {};
  CHECK(laws::has(laws::error_text([&] { (void)RandomReverse(params); }), "axes is []"));
  params.axes = {0, -1};
  CHECK(laws::has(laws::error_text([&] { (void)RandomReverse(params); }), "axes is [0,-1]"));
}
