// RandomShiftIntensity: how often, by how much, for which channels, and back.
#include <cmath>
#include <ivado/transform/random_shift_intensity.hpp>

#include "laws.hpp"

using ivado::RandomShiftIntensity;
using ivado::Sample;

namespace {

RandomShiftIntensity::Draw drawn(const RandomShiftIntensity::Params& params, std::uint32_t number,
                                 const Sample& sample) {
  ivado::Rng rng(ivado::RandomKey{4, 0, number, 0});
  return RandomShiftIntensity(params).draw(rng, sample);
}

}  // namespace

TEST_CASE("RandomShiftIntensity keeps the laws of a transform") {
  laws::check_transform_laws<RandomShiftIntensity>({{-3, 5}, 1, false}, {0, 0});
  laws::check_transform_laws<RandomShiftIntensity>({{-3, 5}, 0.5, true}, {0, 0});
}

TEST_CASE("RandomShiftIntensity adds each channel's number, and takes it off again") {
  const Sample before = laws::smooth_sample({5, 4, 3});
  Sample sample = before.clone();
  const RandomShiftIntensity shift({{0, 1}, 1, true});
  shift.apply(sample.image, {{0.5, -2}});
  for (std::int64_t i = 0; i < 60; ++i) {
    CHECK(sample.image.voxels[i] == Approx(before.image.voxels[i] + 0.5F));
    CHECK(sample.image.voxels[60 + i] == Approx(before.image.voxels[60 + i] - 2));
  }
  shift.invert(sample.image, {{0.5, -2}});
  // 100 ± 50: a float has a step of 8e-6 there, and two roundings
  for (std::int64_t i = 0; i < 120; ++i) CHECK(sample.image.voxels[i] == Approx(before.image.voxels[i]).margin(2e-5));
  shift.apply(sample.image, {{1.0}});  // one for all
  for (std::int64_t i = 0; i < 120; ++i) CHECK(sample.image.voxels[i] == Approx(before.image.voxels[i] + 1));
}

TEST_CASE("RandomShiftIntensity leaves labels, regions of interest and predictions alone") {
  Sample sample = laws::smooth_sample({5, 4});
  const Sample before = sample.clone();
  const RandomShiftIntensity shift({{1, 1}, 1, true});
  for (ivado::Image* image : {&sample.label, &sample.roi}) {
    shift.apply(*image, {{1, 1}});
    shift.invert(*image, {{2, 2}});
  }
  CHECK(laws::equal(sample, before));
}

TEST_CASE("RandomShiftIntensity shifts with its probability, uniformly in its range") {
  const Sample sample = laws::smooth_sample({4, 4});
  const auto p = GENERATE(0.0, 0.1, 0.6, 1.0);
  int shifted = 0;
  double sum = 0;
  for (std::uint32_t number = 0; number < 2000; ++number) {
    const auto draw = drawn({{-1, 3}, p, false}, number, sample);
    REQUIRE(draw.values.size() == 1);
    if (!draw.values[0]) continue;
    ++shifted;
    const double value = *draw.values[0];
    CHECK((value >= -1 && value < 3));
    sum += value;
  }
  CHECK(std::abs(shifted - 2000 * p) <= 5 * std::sqrt(2000 * p * (1 - p)));
  // mean 1, deviation 4 / √12: five standard deviations of the mean
  if (shifted > 0) CHECK(sum / shifted == Approx(1).margin(5 * 1.155 / std::sqrt(shifted)));
}

TEST_CASE("RandomShiftIntensity may draw for each channel") {
  const Sample sample = laws::smooth_sample({4, 4});
  const auto draw = drawn({{-1, 3}, 1, true}, 0, sample);
  REQUIRE(draw.values.size() == 2);
  CHECK(draw.values[0] != draw.values[1]);
}

TEST_CASE("RandomShiftIntensity refuses what means nothing") {
  const auto error = [](const RandomShiftIntensity::Params& params) {
    return laws::error_text([&] { RandomShiftIntensity{params}; });
  };
  CHECK(laws::has(error({{1, -1}, 0.1, false}), "shift_range is [1, -1]"));
  CHECK(laws::has(error({{0, INFINITY}, 0.1, false}), "shift_range"));
  CHECK(laws::has(error({{0, 1}, 1.5, false}), "p is 1.5"));
  Sample sample = laws::smooth_sample({4, 4});
  CHECK(laws::has(laws::error_text([&] {
                    RandomShiftIntensity({}).invert(sample.image, {{1, 2, 3}});
                  }),
                  "it has 2 channels, the draw is for 3"));
  const auto read = [](const char* json) {
    return ivado::from_json<RandomShiftIntensity::Params>(ivado::Json::parse(json), "RandomShiftIntensity");
  };
  CHECK(laws::has(laws::error_text([&] { (void)read("{}"); }), "RandomShiftIntensity.shift_range"));
  const auto params = read(R"({"shift_range": [0, 0.3]})");
  CHECK(params.prob == 0.1);  // as ivadomed
  CHECK(params.shift_range == std::array<double, 2>{0, 0.3});
}
