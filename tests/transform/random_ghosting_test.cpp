// RandomGhosting: ghosts by hand, what is restored, axes, and how it is drawn.
#include <cmath>
#include <ivado/transform/random_ghosting.hpp>
#include <set>
#include <vector>

#include "laws.hpp"

using ivado::Ghosts;
using ivado::Image;
using ivado::Kind;
using ivado::RandomGhosting;

namespace {

Image ghosted(Image image, const Ghosts& ghosts, double restore = 0) {
  RandomGhosting::Params params;
  params.restore = restore;
  RandomGhosting(params).apply(image, {{ghosts}});
  return image;
}

Image noise(const ivado::Shape& spatial, std::int64_t channels = 1) {
  Image image{ivado::Array<float>(spatial.prepended(channels)), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{5});
  for (float& value : image.voxels) value = rng.uniform_float();
  return image;
}

double mean(const Image& image) {
  double sum = 0;
  for (const float value : image.voxels) sum += static_cast<double>(value);
  return sum / static_cast<double>(image.voxels.size());
}

}  // namespace

TEST_CASE("RandomGhosting keeps the laws of a transform") {
  laws::check_transform_laws<RandomGhosting>({});
  RandomGhosting::Params params;
  params.p = 0.5;
  params.per_channel = true;
  params.restore = 0.2;
  laws::check_transform_laws<RandomGhosting>(params);
}

TEST_CASE("RandomGhosting by hand: every second plane lost folds the image onto itself by half the field of view") {
  // With n = 4m the planes of even frequency go: x becomes (x(i) - x(i + n/2)) / 2, and its mean is restored.
  const std::int64_t n = GENERATE(4, 8, 12, 128);
  const int axis = GENERATE(0, 1);
  const double intensity = GENERATE(0.25, 1.0);
  CAPTURE(n, axis, intensity);
  const Image before = noise(axis == 0 ? ivado::Shape{n, 3} : ivado::Shape{3, n});
  const Image after = ghosted(before.clone(), {2, axis, intensity});
  for (std::int64_t line = 0; line < 3; ++line) {
    const auto at = [&](std::int64_t i) { return axis == 0 ? i % n * 3 + line : line * n + i % n; };
    double middle = 0;
    for (std::int64_t i = 0; i < n; ++i) middle += static_cast<double>(before.voxels[at(i)]) / static_cast<double>(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto here = static_cast<double>(before.voxels[at(i)]);
      const double lost = 0.5 * (here + static_cast<double>(before.voxels[at(i + n / 2)])) - middle;
      CHECK(after.voxels[at(i)] == Approx(here - intensity * lost).margin(2e-6));
    }
  }
}

TEST_CASE("RandomGhosting keeps the mean along every axis and of every extent") {
  const auto spatial = GENERATE(ivado::Shape{31, 18}, ivado::Shape{37, 2}, ivado::Shape{13, 7, 20});
  const std::int64_t number = GENERATE(1, 3, 5, 10);
  for (int axis = 0; axis < spatial.rank(); ++axis) {
    CAPTURE(spatial.text(), number, axis);
    const Image before = noise(spatial);
    const Image after = ghosted(before.clone(), {number, axis, 1}, GENERATE(0.0, 0.1));
    CHECK(mean(after) == Approx(mean(before)).epsilon(1e-5));
    CHECK(!(after.voxels == before.voxels));
  }
}

TEST_CASE("RandomGhosting changes nothing without ghosts, without strength, or with all of k-space restored") {
  const Image before = noise({16, 15});
  CHECK(ghosted(before.clone(), {0, 0, 1}).voxels == before.voxels);
  CHECK(ghosted(before.clone(), {4, 0, 0}).voxels == before.voxels);
  const Image restored = ghosted(before.clone(), {4, 1, 1}, 1);
  for (std::int64_t i = 0; i < before.voxels.size(); ++i)
    CHECK(restored.voxels[i] == Approx(before.voxels[i]).margin(1e-6));
  Image label = noise({16, 15});
  label.kind = Kind::label;
  CHECK(laws::equal(ghosted(label.clone(), {4, 0, 1}), label));
}

TEST_CASE("RandomGhosting restores the middle of k-space: a slow wave stays, a fast one is weakened") {
  const std::int64_t n = 64;
  const auto wave = [&](std::int64_t frequency) {
    Image image{ivado::Array<float>(ivado::Shape{1, n, 1}), Kind::image, {1, 1, 1}};
    for (std::int64_t i = 0; i < n; ++i)
      image.voxels[i] = static_cast<float>(std::cos(2 * M_PI * static_cast<double>(frequency * i) / 64));
    return image;
  };
  // Half of the planes are kept: frequencies -16 … 15. Planes 0, 4, 8, … hold the multiples of 4.
  for (const auto& [frequency, factor] : {std::pair{8, 1.0}, {12, 1.0}, {20, 0.25}, {21, 1.0}, {28, 0.25}}) {
    CAPTURE(frequency);
    const Image before = wave(frequency);
    const Image after = ghosted(before.clone(), {4, 0, 0.75}, 0.5);
    for (std::int64_t i = 0; i < n; ++i)
      CHECK(after.voxels[i] == Approx(factor * static_cast<double>(before.voxels[i])).margin(1e-5));
  }
}

TEST_CASE("RandomGhosting draws within its ranges, and no axis of a single voxel") {
  RandomGhosting::Params params;
  params.num_ghosts = {2, 4};
  const RandomGhosting transform(params);
  const auto drawn = [&](const ivado::Shape& spatial) {
    std::set<int> axes;
    std::set<std::int64_t> numbers;
    for (std::uint32_t number = 0; number < 60; ++number) {
      ivado::Rng rng(ivado::RandomKey{1, 0, number, 0});
      const auto draw = transform.draw(rng, laws::smooth_sample(spatial));
      if (draw.values.empty()) continue;
      const Ghosts& ghosts = *draw.values.at(0);
      axes.insert(ghosts.axis);
      numbers.insert(ghosts.number);
      CHECK(ghosts.intensity >= 0.5);
      CHECK(ghosts.intensity < 1);
    }
    CHECK((axes.empty() || numbers == std::set<std::int64_t>{2, 3, 4}));
    return axes;
  };
  CHECK(drawn({4, 5}) == std::set<int>{0, 1});
  CHECK(drawn({4, 5, 6}) == std::set<int>{0, 1, 2});
  CHECK(drawn({1, 5, 1}) == std::set<int>{1});
  CHECK(drawn({1, 1}).empty());
}

TEST_CASE("RandomGhosting refuses what does not fit") {
  const auto making = [](const auto& change) {
    RandomGhosting::Params params;
    change(params);
    return laws::error_text([&] { RandomGhosting{params}; });
  };
  CHECK(laws::has(making([](auto& p) { p.num_ghosts = {5, 4}; }), "num_ghosts"));
  CHECK(laws::has(making([](auto& p) { p.intensity = {-1, 1}; }), "intensity"));
  CHECK(laws::has(making([](auto& p) { p.axes = {0, 3}; }), "axes is [0,3]"));
  CHECK(laws::has(making([](auto& p) { p.axes = {}; }), "at least one"));
  CHECK(laws::has(making([](auto& p) { p.restore = 2; }), "restore"));
  CHECK(laws::has(making([](auto& p) { p.p = 2; }), "probability"));
  CHECK(laws::has(laws::error_text([] { (void)ghosted(noise({4, 4}), {2, 2, 1}); }), "axis 2 of 2"));
  const auto params = ivado::from_json<RandomGhosting::Params>(
      ivado::Json::parse(R"({"num_ghosts": [2, 3], "axes": [1], "intensity": [0.2, 0.4], "restore": 0.1})"), "");
  CHECK(params.axes == std::vector<std::int64_t>{1});
}
