// RandomSpike: stripes by hand, against the definition in k-space, and how it is drawn.
#include <cmath>
#include <ivado/transform/random_spike.hpp>
#include <numbers>
#include <vector>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::RandomSpike;
using ivado::Spikes;

namespace {

Image spiked(Image image, const Spikes& spikes) {
  RandomSpike({}).apply(image, {{spikes}});
  return image;
}

Image noise(const ivado::Shape& spatial, float least, std::int64_t channels = 1) {
  Image image{ivado::Array<float>(spatial.prepended(channels)), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{5});
  for (float& value : image.voxels) value = least + rng.uniform_float();
  return image;
}

}  // namespace

TEST_CASE("RandomSpike keeps the laws of a transform") {
  laws::check_transform_laws<RandomSpike>({});
  laws::check_transform_laws<RandomSpike>({{0, 3}, {-1, 1}, 0.5, true});
}

TEST_CASE("RandomSpike by hand: a cosine at the spike's frequency, of the height of the mean") {
  // Where no intensity is negative the largest modulus is the sum, which over N is the mean.
  const auto spatial =
      GENERATE(ivado::Shape{16, 15}, ivado::Shape{1, 31}, ivado::Shape{6, 7, 5}, ivado::Shape{6, 5, 1});
  const double intensity = GENERATE(-0.5, 1.0, 3.0);
  CAPTURE(spatial.text(), intensity);
  const Image before = noise(spatial, 0, 2);
  const std::vector<std::array<double, 3>> positions{{0.3, 0.9, 0.1}, {0.99, 0, 0.5}};
  const Image after = spiked(before.clone(), {positions, intensity});
  const std::int64_t depth = spatial.rank() == 3 ? spatial[2] : 1;
  for (std::int64_t channel = 0; channel < 2; ++channel) {
    double mean = 0;
    for (std::int64_t i = 0; i < spatial.size(); ++i)
      mean += static_cast<double>(before.voxels[channel * spatial.size() + i]) / static_cast<double>(spatial.size());
    for (std::int64_t i = 0; i < spatial.size(); ++i) {
      double expected = static_cast<double>(before.voxels[channel * spatial.size() + i]);
      for (const auto& position : positions) {
        const auto turns = [](double place, std::int64_t at, std::int64_t n) {
          const double frequency = std::floor(place * static_cast<double>(n)) - std::floor(static_cast<double>(n) / 2);
          return frequency * static_cast<double>(at) / static_cast<double>(n);
        };
        double sum = turns(position[0], i / depth / spatial[1], spatial[0]) +
                     turns(position[1], i / depth % spatial[1], spatial[1]);
        if (spatial.rank() == 3) sum += turns(position[2], i % depth, depth);
        expected += intensity * mean * std::cos(2 * std::numbers::pi * sum);
      }
      CHECK(after.voxels[channel * spatial.size() + i] == Approx(expected).margin(2e-5));
    }
  }
}

TEST_CASE("RandomSpike at the centre of k-space adds the mean; of a normalised image the peak counts") {
  const Image before = noise({8, 9}, 2);
  const Image after = spiked(before.clone(), {{{0.5, 0.5, 0.5}}, 2});
  double mean = 0;
  for (const float value : before.voxels) mean += static_cast<double>(value) / 72;
  for (std::int64_t i = 0; i < 72; ++i)
    CHECK(after.voxels[i] == Approx(static_cast<double>(before.voxels[i]) + 2 * mean).epsilon(1e-5));
  // A cosine of amplitude a has two peaks of a N / 2 and no mean.
  Image wave{ivado::Array<float>(ivado::Shape{1, 32, 1}), Kind::image, {1, 1, 1}};
  for (std::int64_t i = 0; i < 32; ++i)
    wave.voxels[i] = static_cast<float>(3 * std::cos(2 * std::numbers::pi * static_cast<double>(5 * i) / 32));
  const Image raised = spiked(wave.clone(), {{{0.5, 0.5, 0.5}}, 1});
  for (std::int64_t i = 0; i < 32; ++i)
    CHECK(raised.voxels[i] == Approx(static_cast<double>(wave.voxels[i]) + 1.5).margin(1e-5));
}

TEST_CASE("RandomSpike changes nothing without spikes or height, and no label") {
  const Image before = noise({8, 9}, 0);
  CHECK(spiked(before.clone(), {{}, 2}).voxels == before.voxels);
  CHECK(spiked(before.clone(), {{{0.1, 0.2, 0.3}}, 0}).voxels == before.voxels);
  Image label = noise({8, 9}, 0);
  label.kind = Kind::label;
  CHECK(laws::equal(spiked(label.clone(), {{{0.1, 0.2, 0.3}}, 2}), label));
}

TEST_CASE("RandomSpike draws within its ranges and refuses what makes no sense") {
  const ivado::Sample sample = laws::smooth_sample({5, 6});
  std::vector<int> counts(4);
  for (std::uint32_t number = 0; number < 60; ++number) {
    ivado::Rng rng(ivado::RandomKey{2, 0, number, 0});
    const auto drawn = RandomSpike({{1, 3}, {1, 3}, 1, false}).draw(rng, sample);
    const Spikes& spikes = *drawn.values.at(0);
    ++counts.at(spikes.positions.size());
    CHECK(spikes.intensity >= 1);
    CHECK(spikes.intensity < 3);
  }
  CHECK(counts[0] == 0);
  for (const std::size_t n : {1, 2, 3}) CHECK(counts[n] > 5);
  CHECK(laws::has(laws::error_text([] { RandomSpike({{2, 1}, {1, 3}, 1, false}); }), "num_spikes"));
  CHECK(laws::has(laws::error_text([] { RandomSpike({{1, 1}, {3, 1}, 1, false}); }), "intensity"));
  CHECK(laws::has(laws::error_text([] { RandomSpike({{1, 1}, {1, 3}, -1, false}); }), "probability"));
  const auto params = ivado::from_json<RandomSpike::Params>(
      ivado::Json::parse(R"({"num_spikes": [1, 2], "intensity": [0.5, 1], "p": 0.3})"), "");
  CHECK(params.num_spikes[1] == 2);
}
