// Fused: what its parts do alone and in a row, with one interpolation, and back.
#include <ivado/transform/compose.hpp>
#include <ivado/transform/elastic_transform.hpp>
#include <ivado/transform/fused.hpp>
#include <ivado/transform/random_affine.hpp>
#include <utility>

#include "laws.hpp"

using ivado::ElasticTransform;
using ivado::Fused;
using ivado::Image;
using ivado::RandomAffine;
using ivado::Sample;

namespace {

using Both = Fused<RandomAffine, ElasticTransform>;
using Swapped = Fused<ElasticTransform, RandomAffine>;

static_assert(ivado::InvertibleTransform<Both>);
static_assert(ivado::GridTransform<RandomAffine> && ivado::GridTransform<ElasticTransform>);

const RandomAffine::Params turned{{12}, {0.1, 0.1, 0.1}, {0.05, 0.05, 0.05}, false};
const ElasticTransform::Params deformed{{25, 30}, {4, 5}, 1, false};

ivado::Rng rng_of(std::uint32_t number) { return ivado::Rng(ivado::RandomKey{9, 1, number, 2}); }

/// Intensities that rise linearly along each axis: linear interpolation has them exactly, however often.
Sample ramp(const ivado::Shape& spatial) {
  Sample sample = laws::smooth_sample(spatial);
  const std::int64_t depth = spatial.rank() > 2 ? spatial[2] : 1;
  for (std::int64_t i = 0; i < sample.image.voxels.size(); ++i) {
    const std::int64_t at = i % spatial.size();
    sample.image.voxels[i] =
        static_cast<float>(at / depth / spatial[1] + 2 * (at / depth % spatial[1]) + 3 * (at % depth));
  }
  return sample;
}

}  // namespace

TEST_CASE("Fused keeps the laws of a transform") {
  laws::check_transform_laws<Both>({{turned, deformed}}, {0.35, 0.02});
  laws::check_transform_laws<Swapped>({{deformed, turned}}, {0.35, 0.02});
  laws::check_transform_laws<Fused<RandomAffine>>({{turned}}, {0.3, 0.02});
}

TEST_CASE("Fused of one transform is that transform") {
  for (const auto& spatial : std::vector<ivado::Shape>{{31, 29}, {17, 19, 11}}) {
    const Sample sample = laws::smooth_sample(spatial);
    const auto check = [&](const auto& alone, const auto& fused, std::uint32_t number) {
      ivado::Rng rng = rng_of(number);
      const auto draw = alone.draw(rng, sample);
      Image a = sample.image.clone();
      Image b = sample.image.clone();
      alone.apply(a, draw);
      fused.apply(b, {draw});
      CHECK(laws::interior_difference(a, b, 0) < 2e-4);  // of 150: rounding of positions and sums
      alone.invert(a, draw);
      fused.invert(b, {draw});
      CHECK(laws::interior_difference(a, b, 0) < 5e-4);
    };
    for (std::uint32_t number = 0; number < 5; ++number) {
      check(RandomAffine(turned), Fused<RandomAffine>(Fused<RandomAffine>::Params{{turned}}), number);
      check(ElasticTransform(deformed), Fused<ElasticTransform>(Fused<ElasticTransform>::Params{{deformed}}), number);
    }
  }
}

TEST_CASE("Fused does what its transforms do in a row, exactly so where intensities are linear") {
  const auto check = [](const auto& first, const auto& second, const auto& fused, const ivado::Shape& spatial) {
    for (std::uint32_t number = 0; number < 5; ++number) {
      CAPTURE(spatial.text(), number);
      const Sample sample = ramp(spatial);
      ivado::Rng rng = rng_of(number);
      const auto one = first.draw(rng, sample);
      const auto two = second.draw(rng, sample);
      ivado::Rng again = rng_of(number);
      const auto draw = fused.draw(again, sample);  // one stream, in order
      Image row = sample.image.clone();
      Image once = sample.image.clone();
      first.apply(row, one);
      second.apply(row, two);
      fused.apply(once, draw);
      CHECK(laws::interior_difference(row, once, 0.35) < 1e-3);  // of 200
    }
  };
  for (const auto& spatial : std::vector<ivado::Shape>{{41, 43}, {31, 29, 23}}) {
    check(RandomAffine(turned), ElasticTransform(deformed), Both({{turned, deformed}}), spatial);
    // Here the field itself is interpolated, which the transforms in a row do not need.
    check(ElasticTransform(deformed), RandomAffine(turned), Swapped({{deformed, turned}}), spatial);
  }
}

TEST_CASE("Fused smooths less than its transforms in a row") {
  Sample sample = laws::smooth_sample({48, 48});
  ivado::Rng noise(ivado::RandomKey{1});
  for (float& value : sample.image.voxels) value = static_cast<float>(noise.normal());
  const auto energy = [](const Image& image) {
    double sum = 0;
    for (const float value : image.voxels) sum += static_cast<double>(value) * static_cast<double>(value);
    return sum;
  };
  const RandomAffine::Params in_place{{10}, {}, {}, false};
  ivado::Rng rng = rng_of(0);
  const auto draw = Both({{in_place, deformed}}).draw(rng, sample);
  Image row = sample.image.clone();
  Image once = sample.image.clone();
  RandomAffine(in_place).apply(row, std::get<0>(draw));
  ElasticTransform(deformed).apply(row, std::get<1>(draw));
  Both({{in_place, deformed}}).apply(once, draw);
  CHECK(energy(once) > 1.2 * energy(row));
}

TEST_CASE("Fused leaves the image alone where nothing was drawn") {
  Sample sample = laws::smooth_sample({9, 8});
  const Sample before = sample.clone();
  const Both still({{{}, {{28, 30}, {3, 4}, 0, false}}});
  ivado::Rng rng = rng_of(0);
  const auto draw = still.draw(rng, sample);
  still.apply(sample.image, draw);
  still.invert(sample.label, draw);
  CHECK(laws::equal(sample, before));
}

TEST_CASE("Fused in a chain, from JSON") {
  using Chain = ivado::Compose<Both>;
  const auto read = [](const char* json) {
    return ivado::from_json<Chain::Params>(ivado::Json::parse(json), "transformation");
  };
  const auto params = read(R"({"Fused": {"ElasticTransform": {"alpha_range": [28, 30], "sigma_range": [3.5, 4.5]},
                               "RandomAffine": {"degrees": 5}, "applied_to": ["im", "gt"]}})");
  CHECK(params.get<Both>().params.get<RandomAffine>().degrees.high == 5);
  CHECK(params.get<Both>().params.get<ElasticTransform>().p == 0.1);
  CHECK_FALSE(params.get<Both>().applied_to.roi);
  CHECK_FALSE(params.get<Both>().dataset_type.testing);
  CHECK(ivado::to_json(read(ivado::to_json(params).dump().c_str())) == ivado::to_json(params));
  CHECK(ivado::schema<Chain::Params>()["properties"]["Fused"]["properties"].contains("RandomAffine"));
  const auto error = [&](const char* json) { return laws::error_text([&] { (void)read(json); }); };
  CHECK(laws::has(error(R"({"Fused": {}})"), "transformation.Fused.ElasticTransform: it is missing"));
  CHECK(laws::has(error(R"({"Fused": {"RandomAfine": {}}})"), "did you mean \"RandomAffine\"?"));
  CHECK(laws::has(error(R"({"Fused": {"RandomAffine": {"degrees": -1}}})"), "Fused.RandomAffine.degrees"));
}
