// RandomGamma: powers that keep the sign, what overflows, and how it is drawn.
#include <cmath>
#include <ivado/transform/random_gamma.hpp>
#include <limits>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::RandomGamma;

namespace {

std::vector<float> powered(const std::vector<float>& values, double gamma, Kind kind = Kind::image) {
  Image image{ivado::Array<float>(ivado::Shape{1, static_cast<std::int64_t>(values.size()), 1}), kind, {1, 1, 1}};
  std::copy(values.begin(), values.end(), image.voxels.begin());
  RandomGamma({{0, 0}, 1, false}).apply(image, {{gamma}});
  return {image.voxels.begin(), image.voxels.end()};
}

}  // namespace

TEST_CASE("RandomGamma keeps the laws of a transform") {
  laws::check_transform_laws<RandomGamma>({{-0.3, 0.3}, 1, false});
  laws::check_transform_laws<RandomGamma>({{-0.3, 0.3}, 0.5, true});
}

TEST_CASE("RandomGamma by hand: a power that keeps the sign") {
  // reference/transforms.md, section 8
  const auto worked = powered({-2, 0, 3}, std::log(12.440016) / std::log(2.0));
  CHECK(worked[0] == Approx(-12.440016));
  CHECK(worked[1] == 0);
  CHECK(worked[2] == Approx(54.35633));
  const auto square = powered({-3, -1, 0.5F, 1, 4}, 2);
  CHECK(square == std::vector<float>{-9, -1, 0.25F, 1, 16});
  CHECK(powered({-4, 9}, 0.5) == std::vector<float>{-2, 3});
  CHECK(powered({-4, 9}, 1) == std::vector<float>{-4, 9});
}

TEST_CASE("RandomGamma gives finite numbers only") {
  const float largest = std::numeric_limits<float>::max();
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(powered({1e30F, -1e30F, infinity, -infinity, std::nanf("")}, 2) ==
        std::vector<float>{largest, -largest, largest, -largest, 0});
}

TEST_CASE("RandomGamma leaves labels and regions of interest alone") {
  const auto kind = GENERATE(Kind::label, Kind::roi);
  CHECK(powered({0, 0.5F, 1}, 2, kind) == std::vector<float>{0, 0.5F, 1});
}

TEST_CASE("RandomGamma draws within its range; one exponent for all channels, or one for each") {
  const ivado::Sample sample = laws::smooth_sample({5, 6});
  for (std::uint32_t number = 0; number < 50; ++number) {
    ivado::Rng rng(ivado::RandomKey{2, 0, number, 0});
    const auto one = RandomGamma({{-0.5, 0.2}, 1, false}).draw(rng, sample);
    REQUIRE(one.values.size() == 1);
    CHECK(*one.values[0] >= std::exp(-0.5));
    CHECK(*one.values[0] <= std::exp(0.2));
    const auto each = RandomGamma({{-0.5, 0.2}, 1, true}).draw(rng, sample);
    REQUIRE(each.values.size() == 2);
    CHECK(each.values[0] != each.values[1]);
  }
}

TEST_CASE("RandomGamma refuses what makes no sense") {
  CHECK(laws::has(laws::error_text([] { RandomGamma({{1, 0}, 0.5, false}); }), "log_gamma_range"));
  CHECK(laws::has(laws::error_text([] { RandomGamma({{0, 1}, 2, false}); }), "probability"));
  const auto read = [](const char* json) {
    return laws::error_text(
        [&] { (void)ivado::from_json<RandomGamma::Params>(ivado::Json::parse(json), "RandomGamma"); });
  };
  CHECK(laws::has(read("{}"), "log_gamma_range"));
  CHECK(laws::has(read(R"({"log_gamma_range": 0.3})"), "list of 2"));
  CHECK(read(R"({"log_gamma_range": [-3.0, 3.0], "p": 0.5})").empty());
}
