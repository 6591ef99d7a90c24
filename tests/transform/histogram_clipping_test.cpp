// HistogramClipping: percentiles against a sorted copy, by hand, and what is no number.
#include <algorithm>
#include <cmath>
#include <ivado/transform/histogram_clipping.hpp>
#include <limits>
#include <vector>

#include "laws.hpp"

using ivado::HistogramClipping;
using ivado::Image;
using ivado::Kind;

namespace {

Image of(const std::vector<float>& values, Kind kind = Kind::image, std::int64_t channels = 1) {
  const auto n = static_cast<std::int64_t>(values.size()) / channels;
  Image image{ivado::Array<float>(ivado::Shape{channels, n, 1}), kind, {1, 1, 1}};
  std::copy(values.begin(), values.end(), image.voxels.begin());
  return image;
}

std::vector<float> clipped(Image image, double low = 5, double high = 95) {
  HistogramClipping({low, high}).apply(image, {});
  return {image.voxels.begin(), image.voxels.end()};
}

/// numpy.percentile, the default method.
double percentile(std::vector<float> values, double percent) {
  std::sort(values.begin(), values.end());
  const double position = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(position));
  const auto low = static_cast<double>(values[below]);
  if (below + 1 == values.size()) return low;
  return low + (position - std::floor(position)) * (static_cast<double>(values[below + 1]) - low);
}

}  // namespace

TEST_CASE("HistogramClipping keeps the laws of a transform") {
  laws::check_transform_laws<HistogramClipping>({});
  laws::check_transform_laws<HistogramClipping>({20, 60});
}

TEST_CASE("HistogramClipping by hand: 0 … 19 is clipped to 0.95 … 18.05") {
  std::vector<float> values;  // reference/transforms.md, section 8
  for (int i = 0; i < 20; ++i) values.push_back(static_cast<float>(i));
  const auto out = clipped(of(values));
  CHECK(out[0] == Approx(0.95));
  CHECK(out[1] == 1);
  CHECK(out[18] == 18);
  CHECK(out[19] == Approx(18.05));
  CHECK(clipped(of(values), 0, 100) == values);
}

TEST_CASE("HistogramClipping clips at the percentiles of a sorted copy") {
  const auto n = GENERATE(1, 2, 3, 17, 100, 1009);
  const double low = GENERATE(0.0, 2.5, 33.0);
  const double high = GENERATE(33.0, 60.0, 99.5, 100.0);
  const double spread = GENERATE(1e-3, 1.0, 1e6);
  CAPTURE(n, low, high, spread);
  std::vector<float> values;
  ivado::Rng rng(ivado::RandomKey{static_cast<std::uint64_t>(n)});
  for (int i = 0; i < n; ++i)  // of both signs, zeros and ties among them
    values.push_back(i % 3 == 0 ? 0.0F : static_cast<float>(spread * std::floor(20 * rng.normal()) / 7));
  const auto bottom = static_cast<float>(percentile(values, low));
  const auto top = static_cast<float>(percentile(values, high));
  const auto out = clipped(of(values), low, high);
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(out[i] == Approx(std::clamp(values[i], bottom, top)).epsilon(1e-6).margin(1e-30));
}

TEST_CASE("HistogramClipping treats channels one by one") {
  const auto both = clipped(of({1, 2, 3, 10, 20, 30}, Kind::image, 2), 50, 50);
  CHECK(both == std::vector<float>{2, 2, 2, 20, 20, 20});
}

TEST_CASE("HistogramClipping leaves NaN and infinity out of the percentiles") {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  const auto out = clipped(of({1, nan, 2, infinity, 3, -infinity, -nan}), 0, 50);
  CHECK(out[0] == 1);
  CHECK(std::isnan(out[1]));
  CHECK(out[2] == 2);
  CHECK(out[3] == 2);
  CHECK(out[4] == 2);
  CHECK(out[5] == 1);
  CHECK(std::isnan(out[6]));
  CHECK(std::isnan(clipped(of({nan, nan}))[0]));
  CHECK(clipped(of({std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest()}), 0, 0)[0] ==
        std::numeric_limits<float>::lowest());
}

TEST_CASE("HistogramClipping leaves labels and regions of interest alone") {
  const auto kind = GENERATE(Kind::label, Kind::roi);
  CHECK(clipped(of({0, 0, 1, 1}, kind), 60, 60) == std::vector<float>{0, 0, 1, 1});
}

TEST_CASE("HistogramClipping refuses percentiles out of order or range") {
  CHECK(laws::has(laws::error_text([] { HistogramClipping({60, 40}); }), "min_percentile is 60"));
  CHECK(laws::has(laws::error_text([] { HistogramClipping({-1, 40}); }), "[0, 100]"));
  const auto read = [](const char* json) {
    return laws::error_text(
        [&] { (void)ivado::from_json<HistogramClipping::Params>(ivado::Json::parse(json), "HistogramClipping"); });
  };
  CHECK(laws::has(read(R"({"max_percentile": 101})"), "max_percentile"));
  CHECK(read(R"({"min_percentile": 3, "max_percentile": 97})").empty());
}
