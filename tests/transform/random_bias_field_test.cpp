// RandomBiasField: the polynomial by hand, its coordinates, one field for all channels.
#include <cmath>
#include <ivado/transform/random_bias_field.hpp>
#include <vector>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::RandomBiasField;

namespace {

RandomBiasField of_order(std::int64_t order) {
  RandomBiasField::Params params;
  params.order = order;
  params.p = 1;
  return RandomBiasField(params);
}

Image field(const ivado::Shape& spatial, std::int64_t order, const std::vector<double>& coefficients) {
  Image image{ivado::Array<float>(spatial.prepended(2), 1.0F), Kind::image, {1, 1, 1}};
  of_order(order).apply(image, {{coefficients}});
  return image;
}

}  // namespace

TEST_CASE("RandomBiasField keeps the laws of a transform") {
  laws::check_transform_laws<RandomBiasField>({{0.5}, 3, 1, false});
  laws::check_transform_laws<RandomBiasField>({{-0.2, 0.4}, 2, 0.5, true});
  laws::check_transform_laws<RandomBiasField>({{0.5}, 0, 1, false});
}

TEST_CASE("RandomBiasField by hand: the exponential of the polynomial, k fastest, then j, then i") {
  const auto spatial = GENERATE(ivado::Shape{5, 4}, ivado::Shape{1, 7}, ivado::Shape{3, 1}, ivado::Shape{4, 3, 5},
                                ivado::Shape{3, 4, 1}, ivado::Shape{1, 2, 6});
  const std::int64_t order = GENERATE(0, 1, 2, 4);
  CAPTURE(spatial.text(), order);
  std::vector<double> coefficients;
  ivado::Rng rng(ivado::RandomKey{7});
  const auto n = static_cast<std::size_t>(order);
  for (std::size_t i = 0; i < (n + 1) * (n + 2) * (n + 3) / 6; ++i) coefficients.push_back(rng.uniform(-0.5, 0.5));
  const Image image = field(spatial, order, coefficients);
  const std::int64_t depth = spatial.rank() == 3 ? spatial[2] : 1;
  const auto coordinate = [](std::int64_t i, std::int64_t extent) {
    const double from_centre = static_cast<double>(i) - 0.5 * static_cast<double>(extent) + 0.5;
    return extent > 1 ? from_centre / (0.5 * static_cast<double>(extent - 1)) : from_centre;
  };
  for (std::int64_t at = 0; at < spatial.size(); ++at) {
    const double x = coordinate(at / depth / spatial[1], spatial[0]);
    const double y = coordinate(at / depth % spatial[1], spatial[1]);
    const double z = coordinate(at % depth, depth);
    double sum = 0;
    std::size_t next = 0;
    for (int i = 0; i <= order; ++i)
      for (int j = 0; i + j <= order; ++j)
        for (int k = 0; i + j + k <= order; ++k)
          sum += coefficients[next++] * std::pow(x, i) * std::pow(y, j) * std::pow(z, k);
    CHECK(image.voxels[at] == Approx(std::exp(sum)).epsilon(1e-5));
    CHECK(image.voxels[spatial.size() + at] == image.voxels[at]);  // one field for all channels
  }
}

TEST_CASE("RandomBiasField draws once for all channels, or for each, within its range") {
  const ivado::Sample sample = laws::smooth_sample({5, 6});
  ivado::Rng rng(ivado::RandomKey{3});
  const auto one = RandomBiasField({{-0.1, 0.3}, 3, 1, false}).draw(rng, sample);
  REQUIRE(one.values.size() == 1);
  REQUIRE(one.values[0]->size() == 20);
  for (const double c : *one.values[0]) {
    CHECK(c >= -0.1);
    CHECK(c < 0.3);
  }
  CHECK(RandomBiasField({{0.5}, 2, 1, true}).draw(rng, sample).values.size() == 2);
  int changed = 0;
  for (std::uint32_t number = 0; number < 400; ++number) {
    ivado::Rng other(ivado::RandomKey{3, 0, number, 0});
    changed += RandomBiasField({{0.5}, 1, 0.5, false}).draw(other, sample).values[0] ? 1 : 0;
  }
  CHECK(std::abs(changed - 200) < 40);  // p, and not p² as in ivadomed (B3.5); four standard deviations
}

TEST_CASE("RandomBiasField refuses what does not fit") {
  CHECK(laws::has(laws::error_text([] { RandomBiasField({{0.5}, -1, 1, false}); }), "order"));
  CHECK(laws::has(laws::error_text([] { RandomBiasField({{1, 0}, 1, 1, false}); }), "coefficients"));
  CHECK(laws::has(laws::error_text([] { (void)field({3, 3}, 2, {1, 2, 3}); }), "3 coefficients"));
  const auto read = [](const char* json) {
    return ivado::from_json<RandomBiasField::Params>(ivado::Json::parse(json), "RandomBiasField");
  };
  CHECK(read(R"({"coefficients": 0.5, "order": 3, "p": 0.5})").coefficients.low == -0.5);
  CHECK(laws::has(laws::error_text([&] { (void)read(R"({"order": 99})"); }), "order"));
}
