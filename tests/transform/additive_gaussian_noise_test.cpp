// AdditiveGaussianNoise: its moments, its independence, and what it leaves alone.
#include <ivado/transform/additive_gaussian_noise.hpp>

#include "laws.hpp"

using ivado::AdditiveGaussianNoise;
using ivado::Image;
using ivado::Kind;

namespace {

Image noisy(const AdditiveGaussianNoise::Params& params, std::uint64_t seed, const ivado::Shape& shape) {
  Image image{ivado::Array<float>(shape, 0.0F), Kind::image, {1, 1, 1}};
  AdditiveGaussianNoise(params).apply(image, {seed});
  return image;
}

}  // namespace

TEST_CASE("AdditiveGaussianNoise keeps the laws of a transform") {
  laws::check_transform_laws<AdditiveGaussianNoise>({0, 2}, {0, 0});
}

TEST_CASE("AdditiveGaussianNoise has its mean and standard deviation in each channel, and four in 0.045 lie 2 σ off") {
  const std::int64_t size = 64 * 64 * 8;
  const Image image = noisy({0.3, 0.7}, 1, {3, 64, 64, 8});
  for (std::int64_t c = 0; c < 3; ++c) {
    double mean = 0;
    double square = 0;
    int far = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const double value = static_cast<double>(image.voxels[c * size + i]) - 0.3;
      mean += value;
      square += value * value;
      if (std::abs(value) > 1.4) ++far;
    }
    const auto n = static_cast<double>(size);
    CHECK(mean / n == Approx(0).margin(5 * 0.7 / std::sqrt(n)));
    CHECK(std::sqrt(square / n) == Approx(0.7).epsilon(5 / std::sqrt(2 * n)));
    CHECK(far / n == Approx(0.0455).margin(5 * std::sqrt(0.0455 / n)));
  }
}

TEST_CASE("AdditiveGaussianNoise is independent between voxels, channels and draws") {
  const std::int64_t size = 96 * 96;
  const Image image = noisy({0, 1}, 1, {2, 96, 96});
  const Image other = noisy({0, 1}, 2, {2, 96, 96});
  double voxels = 0;
  double channels = 0;
  double draws = 0;
  const auto product = [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); };
  for (std::int64_t i = 0; i < size; ++i) {
    voxels += product(image.voxels[i], image.voxels[i + 1]);
    channels += product(image.voxels[i], image.voxels[size + i]);
    draws += product(image.voxels[i], other.voxels[i]);
  }
  for (const double sum : {voxels, channels, draws}) CHECK(std::abs(sum) < 5 * std::sqrt(static_cast<double>(size)));
}

TEST_CASE("AdditiveGaussianNoise draws anew each time, from its key alone") {
  const ivado::Sample sample = laws::smooth_sample({4, 4});
  const AdditiveGaussianNoise noise({});
  ivado::Rng rng(ivado::RandomKey{1, 2, 3, 4});
  ivado::Rng again(ivado::RandomKey{1, 2, 3, 4});
  const auto first = noise.draw(rng, sample).seed;
  CHECK(first == noise.draw(again, sample).seed);
  CHECK(first != noise.draw(rng, sample).seed);
}

TEST_CASE("AdditiveGaussianNoise adds to the image alone, and is not taken back") {
  ivado::Sample sample = laws::smooth_sample({6, 5, 4});
  const ivado::Sample before = sample.clone();
  const AdditiveGaussianNoise noise({1, 0.5});
  for (Image* image : {&sample.image, &sample.label, &sample.roi}) noise.apply(*image, {7});
  CHECK_FALSE(sample.image.voxels == before.image.voxels);
  CHECK(sample.label.voxels == before.label.voxels);
  CHECK(sample.roi.voxels == before.roi.voxels);
  const Image noised = sample.image.clone();
  noise.invert(sample.image, {7});
  CHECK(laws::equal(sample.image, noised));
  const Image shifted = noisy({2, 0}, 1, {1, 3, 3});  // no deviation: the mean alone
  for (const float value : shifted.voxels) CHECK(value == 2);
}

TEST_CASE("AdditiveGaussianNoise has the defaults of ivadomed, and refuses what means nothing") {
  const auto read = [](const char* json) {
    return ivado::from_json<AdditiveGaussianNoise::Params>(ivado::Json::parse(json), "AdditiveGaussianNoise");
  };
  CHECK(read("{}").mean == 0);
  CHECK(read("{}").std == 0.01);
  CHECK(laws::has(laws::error_text([&] { (void)read(R"({"std": -1})"); }), "AdditiveGaussianNoise.std"));
  CHECK(laws::has(laws::error_text([] { AdditiveGaussianNoise({0, -1}); }), "std is -1"));
  CHECK(laws::has(laws::error_text([] { AdditiveGaussianNoise({INFINITY, 1}); }), "mean is inf"));
}
