// RandomBlur: the Gaussian cut at 4σ, mirrored borders, and how it is drawn.
#include <cmath>
#include <ivado/transform/random_blur.hpp>
#include <vector>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::RandomBlur;

namespace {

Image blurred(Image image, double sigma) {
  RandomBlur({{0, 0}, 1, false}).apply(image, {{sigma}});
  return image;
}

Image of(const ivado::Shape& spatial, std::uint32_t number) {
  Image image{ivado::Array<float>(spatial.prepended(2)), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{1, 0, number, 0});
  for (float& value : image.voxels) value = rng.uniform_float();
  return image;
}

}  // namespace

TEST_CASE("RandomBlur keeps the laws of a transform") {
  laws::check_transform_laws<RandomBlur>({{0.5, 1.5}, 1, false});
  laws::check_transform_laws<RandomBlur>({{0, 3}, 0.5, true});
}

TEST_CASE("RandomBlur by hand: a weighted mean of the line, mirrored as often as the kernel reaches") {
  const double sigma = GENERATE(0.3, 1.0, 2.5, 6.0);
  const auto extent = GENERATE(std::int64_t{2}, std::int64_t{3}, std::int64_t{5}, std::int64_t{17}, std::int64_t{32});
  CAPTURE(sigma, extent);
  const Image before = of({extent, 1}, 3);
  const Image after = blurred(before.clone(), sigma);
  const auto radius = static_cast<std::int64_t>(4 * sigma + 0.5);
  for (std::int64_t channel = 0; channel < 2; ++channel)
    for (std::int64_t i = 0; i < extent; ++i) {
      double sum = 0;
      double weights = 0;
      for (std::int64_t d = -radius; d <= radius; ++d) {
        std::int64_t j = ((i + d) % (2 * extent) + 2 * extent) % (2 * extent);
        if (j >= extent) j = 2 * extent - 1 - j;
        const double weight = std::exp(-0.5 * static_cast<double>(d * d) / (sigma * sigma));
        weights += weight;
        sum += weight * static_cast<double>(before.voxels[channel * extent + j]);
      }
      CHECK(after.voxels[channel * extent + i] == Approx(sum / weights).epsilon(1e-5));
    }
}

TEST_CASE("RandomBlur keeps the mean and a constant, in 2-D and 3-D") {
  const auto spatial =
      GENERATE(ivado::Shape{31, 18}, ivado::Shape{1, 20}, ivado::Shape{13, 7, 19}, ivado::Shape{6, 5, 1});
  const double sigma = GENERATE(0.7, 3.0);
  const auto mean = [](const Image& image) {
    double sum = 0;
    for (const float value : image.voxels) sum += static_cast<double>(value);
    return sum / static_cast<double>(image.voxels.size());
  };
  const Image before = of(spatial, 1);
  const Image after = blurred(before.clone(), sigma);
  CHECK(mean(after) == Approx(mean(before)).epsilon(1e-5));  // mirroring gives back what leaves
  CHECK(!(after.voxels == before.voxels));
  const Image flat{ivado::Array<float>(spatial.prepended(1), 3.5F), Kind::image, {1, 1, 1}};
  for (const float value : blurred(flat.clone(), sigma).voxels) CHECK(value == Approx(3.5));
  CHECK(blurred(before.clone(), 0).voxels == before.voxels);
}

TEST_CASE("RandomBlur draws within its range and refuses what makes no sense") {
  const ivado::Sample sample = laws::smooth_sample({5, 6});
  for (std::uint32_t number = 0; number < 50; ++number) {
    ivado::Rng rng(ivado::RandomKey{2, 0, number, 0});
    const auto drawn = RandomBlur({{0.5, 2}, 1, false}).draw(rng, sample);
    CHECK(*drawn.values.at(0) >= 0.5);
    CHECK(*drawn.values.at(0) < 2);
  }
  CHECK(laws::has(laws::error_text([] { RandomBlur({{-1, 2}, 0.5, false}); }), "sigma_range"));
  CHECK(laws::has(laws::error_text([] { RandomBlur({{1, 2}, -1, false}); }), "probability"));
  const auto read = [](const char* json) {
    return laws::error_text(
        [&] { (void)ivado::from_json<RandomBlur::Params>(ivado::Json::parse(json), "RandomBlur"); });
  };
  CHECK(laws::has(read("{}"), "sigma_range"));
  CHECK(read(R"({"sigma_range": [0.0, 2.0], "p": 0.5})").empty());
}
