// Resample: SciPy's rule, sizes, spacings, inverse.
#include <cmath>
#include <ivado/transform/resample.hpp>
#include <limits>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::Resample;
using ivado::Sample;

namespace {

constexpr double float_result = 2e-6;  // float32 values of size 1 to 5

template <class Value>
Image make(const ivado::Shape& spatial, Kind kind, const std::array<double, 3>& spacing, const Value& value) {
  Image image{ivado::Array<float>(spatial.prepended(1)), kind, spacing};
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) image.voxels[i] = static_cast<float>(value(i));
  return image;
}

Resample::Draw draw(const Resample& transform, const Image& image) {
  Sample sample;
  sample.image = image.clone();
  ivado::Rng rng(ivado::RandomKey{});
  return transform.draw(rng, sample);
}

Resample::Draw resample(const Resample::Params& params, Image& image) {
  const Resample transform(params);
  const auto drawn = draw(transform, image);
  transform.apply(image, drawn);
  return drawn;
}

double sum(const Image& image) {
  double total = 0;
  for (const float value : image.voxels) total += static_cast<double>(value);
  return total;
}

}  // namespace

TEST_CASE("Resample keeps the laws of a transform") {
  // The smooth test sample is band-limited: up and back again it is recovered to a hundredth of its range.
  laws::check_transform_laws<Resample>({0.75, 0.8, 0.9, false}, {0, 0.02});
  laws::check_transform_laws<Resample>({1.4, 1.1, 2.2, false}, {0, 0.04});
}

TEST_CASE("Resample of a slice gives the published values of the reference") {
  // reference/transforms.md, section 8: x(i, j) = sin i + cos 2j, 6×5 at 1 mm to 0.75 mm
  const auto wave = [](std::int64_t i) {
    return std::sin(static_cast<double>(i / 5)) + std::cos(2.0 * static_cast<double>(i % 5));
  };
  SECTION("an image, by a quadratic spline") {
    Image image = make({6, 5}, Kind::image, {1, 1, 1}, wave);
    const Resample transform({0.75, 0.75, 1, false});
    const auto drawn = draw(transform, image);
    transform.apply(image, drawn);
    REQUIRE(image.spatial() == ivado::Shape{8, 7});
    CHECK(sum(image) == Approx(10.710861999).margin(1e-5));
    CHECK(image.voxels[0] == Approx(1).margin(float_result));
    CHECK(image.voxels[3 * 7 + 2] == Approx(0.095329607).margin(float_result));
    CHECK(image.voxels[5 * 7 + 5] == Approx(0.314674343).margin(float_result));
    CHECK(image.voxels[7 * 7 + 6] == Approx(-1.104424308).margin(float_result));
    transform.invert(image, drawn);
    REQUIRE(image.spatial() == ivado::Shape{6, 5});
    CHECK(sum(image) == Approx(4.980311694).margin(1e-5));
    CHECK(image.voxels[2 * 5 + 3] == Approx(1.796909489).margin(float_result));
  }
  SECTION("a label, linearly") {
    Image image = make({6, 5}, Kind::label, {1, 1, 1}, wave);
    const Resample transform({0.75, 0.75, 1, false});
    const auto drawn = draw(transform, image);
    transform.apply(image, drawn);
    CHECK(sum(image) == Approx(8.838207111).margin(1e-5));
    CHECK(image.voxels[3 * 7 + 2] == Approx(0.304245364).margin(float_result));
    CHECK(image.voxels[5 * 7 + 5] == Approx(0.219634948).margin(float_result));
    transform.invert(image, drawn);
    CHECK(sum(image) == Approx(3.190673032).margin(1e-5));
    CHECK(image.voxels[2 * 5 + 3] == Approx(1.320677044).margin(float_result));
  }
}

TEST_CASE("Resample of a volume gives the published values of the reference") {
  // reference/transforms.md, section 8: x = sin(flat index), 4×5×6, spacing 1/2/1.5 to 0.8/1.5/1.0
  const auto wave = [](std::int64_t i) { return std::sin(static_cast<double>(i)); };
  const auto at = [](const Image& image, std::int64_t h, std::int64_t w, std::int64_t d) {
    return image.voxels[(h * 7 + w) * 9 + d];
  };
  Image image = make({4, 5, 6}, Kind::image, {1, 2, 1.5}, wave);
  resample({0.8, 1.5, 1, false}, image);
  REQUIRE(image.spatial() == ivado::Shape{5, 7, 9});
  CHECK(sum(image) == Approx(-1.001554365).margin(1e-4));
  CHECK(at(image, 1, 2, 3) == Approx(0.398168409).margin(float_result));
  CHECK(at(image, 2, 4, 7) == Approx(0.959198265).margin(float_result));
  Image label = make({4, 5, 6}, Kind::roi, {1, 2, 1.5}, wave);
  resample({0.8, 1.5, 1, false}, label);
  CHECK(sum(label) == Approx(-0.618114912).margin(1e-4));
  CHECK(at(label, 1, 2, 3) == Approx(0.301896613).margin(float_result));
  CHECK(at(label, 2, 4, 7) == Approx(0.664438775).margin(float_result));
}

TEST_CASE("Resample by hand: linear interpolation with the corners kept") {
  Image label = make({1, 3}, Kind::label, {1, 1, 1}, [](std::int64_t i) { return i * i; });  // 0 1 4
  resample({1, 0.6, 1, false}, label);
  REQUIRE(label.spatial() == ivado::Shape{1, 5});
  const float expected[] = {0, 0.5F, 1, 2.5F, 4};
  for (std::int64_t i = 0; i < 5; ++i) CHECK(label.voxels[i] == Approx(expected[i]).margin(1e-6));
}

TEST_CASE("Resample runs the quadratic spline through the voxels that stay") {
  // 5 to 9 voxels: every second output lies on an input.
  const auto value = [](std::int64_t i) { return (i * 7) % 5; };
  Image image = make({5, 5}, Kind::image, {1, 1, 1}, value);
  resample({5.0 / 9.0, 5.0 / 9.0, 1, false}, image);
  REQUIRE(image.spatial() == ivado::Shape{9, 9});
  for (std::int64_t h = 0; h < 5; ++h)
    for (std::int64_t w = 0; w < 5; ++w)
      CHECK(image.voxels[2 * h * 9 + 2 * w] == Approx(static_cast<double>(value(h * 5 + w))).margin(1e-5));
}

TEST_CASE("Resample keeps constants, and each line of an array by itself") {
  const auto extent = GENERATE(1, 2, 3, 7, 16, 17, 33, 53);
  const auto kind = GENERATE(Kind::image, Kind::label);
  CAPTURE(extent);
  Image image = make({extent, 3, 5}, kind, {1, 1, 1}, [](std::int64_t) { return 4.25; });
  resample({0.6, 1, 0.7, false}, image);
  for (const float value : image.voxels) CHECK(value == Approx(4.25).margin(1e-5));
  // A sample that varies along W alone gives the same line everywhere, whatever lies beside it in memory.
  Image lines =
      make({extent, 11, 5}, kind, {1, 1, 1}, [](std::int64_t i) { return std::sin(static_cast<double>(i / 5 % 11)); });
  resample({1, 0.75, 1, false}, lines);
  REQUIRE(lines.spatial() == ivado::Shape{extent, 15, 5});
  for (std::int64_t i = 0; i < lines.voxels.size(); ++i) CHECK(lines.voxels[i] == lines.voxels[i / 5 % 15 * 5]);
}

TEST_CASE("Resample rounds sizes half to even") {
  const auto [extent, spacing, expected] = GENERATE(table<int, double, int>(
      {{5, 0.5, 2}, {7, 0.5, 4}, {9, 0.5, 4}, {11, 0.5, 6}, {4, 0.75, 3}, {131, 4.0 / 3, 175}, {141, 4.0 / 3, 188}}));
  CAPTURE(extent, spacing);
  Image image = make({extent, 4}, Kind::image, {spacing, 1, 1}, [](std::int64_t i) { return i; });
  resample({1, 1, 1, false}, image);
  CHECK(image.spatial() == ivado::Shape{expected, 4});
}

TEST_CASE("Resample leaves a sample alone that has the spacing, and its third spacing in 2-D") {
  Image slice = make({7, 6}, Kind::image, {0.5, 0.5, 5}, [](std::int64_t i) { return i % 4; });
  const Image before = slice.clone();
  resample({0.5, 0.5, 1, false}, slice);
  CHECK(laws::equal(slice, before));
  const auto drawn = resample({1, 1, 1, false}, slice);
  CHECK(slice.spacing_mm == std::array<double, 3>{1, 1, 5});
  CHECK(drawn.before == ivado::Shape{7, 6});
  CHECK(drawn.after == ivado::Shape{4, 3});
  Resample({1, 1, 1, false}).invert(slice, drawn);
  CHECK(slice.spacing_mm == before.spacing_mm);
  CHECK(slice.spatial() == before.spatial());
  Image volume = make({4, 4, 4}, Kind::image, {1, 1, 2}, [](std::int64_t i) { return i; });
  resample({1, 1, 1, false}, volume);
  CHECK(volume.spatial() == ivado::Shape{4, 4, 8});
  CHECK(volume.spacing_mm == std::array<double, 3>{1, 1, 1});
}

TEST_CASE("Resample does not lose the last row where rounding pushes it out of the grid") {
  // (26 - 1) · ((8 - 1) / (26 - 1)) is above 7 in double precision; SciPy's zoom then gives 0.
  REQUIRE(25.0 * (7.0 / 25.0) > 7.0);
  const auto kind = GENERATE(Kind::image, Kind::label);
  const auto one = [](std::int64_t) { return 1; };
  Image image = make({8, 3}, kind, {26.0 / 8.0, 1, 1}, one);
  resample({1, 1, 1, false}, image);
  REQUIRE(image.spatial() == ivado::Shape{26, 3});
  CHECK(image.voxels[25 * 3] == Approx(1));
  Image original = make({8, 3}, kind, {26.0 / 8.0, 1, 1}, one);
  resample({1, 1, 1, true}, original);
  CHECK(original.voxels[25 * 3] == 0);
  CHECK(original.voxels[24 * 3] == Approx(1));
}

TEST_CASE("Resample refuses what cannot be resampled") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(laws::has(laws::error_text([&] { Resample({0, 1, 1, false}); }), "hspace"));
  CHECK(laws::has(laws::error_text([&] { Resample({1, nan, 1, false}); }), "positive"));
  CHECK(laws::has(laws::error_text([&] { Resample({1, 1, -2, false}); }), "-2 mm"));
  const auto message = [&](const std::array<double, 3>& spacing, const Resample::Params& params) {
    Image image = make({6, 5}, Kind::image, spacing, [](std::int64_t i) { return i; });
    return laws::error_text([&] { resample(params, image); });
  };
  CHECK(laws::has(message({0, 1, 1}, {}), "spacing along H is 0 mm"));
  CHECK(laws::has(message({1, nan, 1}, {}), "spacing along W is nan mm"));
  CHECK(laws::has(message({1, 1, 1}, {100, 1, 1, false}), "0 voxels along H"));
  CHECK(laws::has(message({1, 1, 1}, {1e-12, 1, 1, false}), "voxels along H"));
  CHECK(laws::has(message({1, 1, 1}, {1e-5, 1e-5, 1, false}), "wspace"));
  CHECK(message({1, 1, nan}, {}).empty());  // the slice distance does not count in 2-D

  Image other = make({6, 6}, Kind::label, {1, 1, 1}, [](std::int64_t i) { return i; });
  const Resample transform({0.5, 0.5, 1, false});
  const auto drawn = draw(transform, make({6, 5}, Kind::image, {1, 1, 1}, [](std::int64_t i) { return i; }));
  const std::string text = laws::error_text([&] { transform.apply(other, drawn); });
  CHECK(laws::has(text, "label"));
  CHECK(laws::has(text, "6x6, expected 6x5"));
  Sample nothing;
  ivado::Rng rng(ivado::RandomKey{});
  CHECK(laws::has(laws::error_text([&] { (void)transform.draw(rng, nothing); }), "neither image nor label"));
}
