// ChannelDraws: one draw for all channels, or one for each.
#include <ivado/transform/channel_draws.hpp>
#include <vector>

#include "laws.hpp"

using ivado::ChannelDraws;
using ivado::Image;
using ivado::Kind;

namespace {

ivado::Sample sample_of(std::int64_t channels) {
  ivado::Sample sample;
  sample.image = {ivado::Array<float>(ivado::Shape{channels, 2, 3}, 0.0F), Kind::image, {1, 1, 1}};
  return sample;
}

ChannelDraws<double> draw(double p, bool per_channel, std::int64_t channels, std::uint32_t number = 0) {
  ivado::Rng rng(ivado::RandomKey{6, 0, number, 0});
  return ivado::detail::draw_channels<double>(rng, sample_of(channels), p, per_channel, [&] { return rng.uniform(); });
}

/// How often each channel was worked on, and with which number.
std::vector<float> worked(Image image, const ChannelDraws<double>& drawn) {
  ivado::detail::for_each_draw(image, drawn, "Test", [](float* x, std::int64_t channels, double value) {
    for (std::int64_t i = 0; i < channels * 6; ++i) x[i] += static_cast<float>(value);
  });
  std::vector<float> out;
  for (std::int64_t c = 0; c < image.voxels.extent(0); ++c) out.push_back(image.voxels[c * 6 + 5]);
  return out;
}

}  // namespace

TEST_CASE("ChannelDraws are one for all channels, or one for each") {
  CHECK(draw(1, false, 3).values.size() == 1);
  const auto each = draw(1, true, 3);
  REQUIRE(each.values.size() == 3);
  CHECK(each.values[0] != each.values[1]);
  CHECK(each == draw(1, true, 3));
  CHECK(!draw(0, false, 3).values[0]);
  CHECK(draw(1, true, 0).values.size() == 1);  // a sample without an image
  int drawn = 0;
  for (std::uint32_t number = 0; number < 200; ++number)
    for (const auto& value : draw(0.25, true, 2, number).values) drawn += value ? 1 : 0;
  CHECK(std::abs(drawn - 100) < 35);  // four standard deviations of a binomial of 400 and 0.25
}

TEST_CASE("ChannelDraws reach the channels that they are for, and images alone") {
  CHECK(worked(sample_of(3).image, {{2.0}}) == std::vector<float>{2, 2, 2});
  CHECK(worked(sample_of(3).image, {{1.0, std::nullopt, 3.0}}) == std::vector<float>{1, 0, 3});
  CHECK(worked(sample_of(2).image, {}) == std::vector<float>{0, 0});
  CHECK(worked(sample_of(2).image, {{std::nullopt}}) == std::vector<float>{0, 0});
  for (const Kind kind : {Kind::label, Kind::roi}) {
    Image other = sample_of(2).image;
    other.kind = kind;
    CHECK(worked(std::move(other), {{2.0}}) == std::vector<float>{0, 0});
  }
  CHECK(laws::has(laws::error_text([] {
                    (void)worked(sample_of(3).image, {{1.0, 2.0}});
                  }),
                  "3 channels, the draw is for 2"));
}
