// Clahe: against a plain re-statement of its rules, by hand, and its limits.
#include <algorithm>
#include <cmath>
#include <ivado/transform/clahe.hpp>
#include <vector>

#include "laws.hpp"

using ivado::Clahe;
using ivado::Image;
using ivado::Kind;

namespace {

Image noise(const ivado::Shape& spatial, std::int64_t channels = 1) {
  Image image{ivado::Array<float>(spatial.prepended(channels)), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{8});
  for (float& value : image.voxels) value = static_cast<float>(300 + 100 * rng.normal());
  return image;
}

Image equalized(Image image, double clip_limit, const std::vector<std::int64_t>& kernel, bool as_ivadomed = false) {
  Clahe({clip_limit, kernel, as_ivadomed}).apply(image, {});
  return image;
}

/// Without a limit, slowly: for each voxel the share of the voxels of a tile that are in its bin or a lower one,
/// blended over the four tiles whose centres are nearest, then stretched to [0, 1].
std::vector<double> slowly(const Image& image, std::int64_t kh, std::int64_t kw) {
  const std::int64_t height = image.voxels.extent(1);
  const std::int64_t width = image.voxels.extent(2);
  const auto [least, largest] = std::minmax_element(image.voxels.begin(), image.voxels.end());
  const auto mirrored = [](std::int64_t i, std::int64_t n) { return i < n ? i : 2 * (n - 1) - i; };
  const auto bin = [&](std::int64_t i, std::int64_t j) {
    const double part = (static_cast<double>(image.voxels[i * width + j]) - static_cast<double>(*least)) /
                        (static_cast<double>(*largest) - static_cast<double>(*least));
    return static_cast<std::int64_t>(std::nearbyint(part * 16383)) / 65;
  };
  const auto rank = [&](std::int64_t row, std::int64_t column, std::int64_t of) {
    row = std::clamp<std::int64_t>(row, 0, (height - 1) / kh);
    column = std::clamp<std::int64_t>(column, 0, (width - 1) / kw);
    std::int64_t count = 0;
    for (std::int64_t i = row * kh; i < (row + 1) * kh; ++i)
      for (std::int64_t j = column * kw; j < (column + 1) * kw; ++j)
        count += bin(mirrored(i, height), mirrored(j, width)) <= of ? 1 : 0;
    return std::floor(static_cast<double>(count) * (16383.0 / static_cast<double>(kh * kw)));
  };
  std::vector<double> out;
  for (std::int64_t i = 0; i < height; ++i)
    for (std::int64_t j = 0; j < width; ++j) {
      const double y = static_cast<double>(i + kh / 2) / static_cast<double>(kh) - 1;
      const double x = static_cast<double>(j + kw / 2) / static_cast<double>(kw) - 1;
      const auto row = static_cast<std::int64_t>(std::floor(y));
      const auto column = static_cast<std::int64_t>(std::floor(x));
      const double v = y - std::floor(y);
      const double u = x - std::floor(x);
      const std::int64_t own = bin(i, j);
      out.push_back((1 - v) * ((1 - u) * rank(row, column, own) + u * rank(row, column + 1, own)) +
                    v * ((1 - u) * rank(row + 1, column, own) + u * rank(row + 1, column + 1, own)));
    }
  const auto [low, high] = std::minmax_element(out.begin(), out.end());
  const double bottom = *low;
  const double range = *high - bottom;
  for (double& value : out) value = (value - bottom) / range;
  return out;
}

}  // namespace

TEST_CASE("Clahe keeps the laws of a transform") {
  for (const double limit : {0.0, 0.01, 3.0}) {
    for (const auto& spatial : {ivado::Shape{31, 29}, ivado::Shape{37, 24}, ivado::Shape{32, 41}})
      laws::check_on<Clahe>({limit, {8, 8}, false}, laws::smooth_sample(spatial), {});
    for (const auto& spatial : {ivado::Shape{23, 29, 17}, ivado::Shape{24, 19, 20}, ivado::Shape{9, 10, 1}})
      laws::check_on<Clahe>({limit, {8, 7, 5}, false}, laws::smooth_sample(spatial), {});
  }
}

TEST_CASE("Clahe without a limit is the blended rank of a voxel within its tiles") {
  const auto [h, w, kh, kw] = GENERATE(table<int, int, int, int>(
      {{16, 16, 8, 8}, {13, 17, 8, 8}, {20, 11, 5, 7}, {9, 9, 3, 2}, {10, 12, 10, 12}, {7, 5, 7, 4}}));
  CAPTURE(h, w, kh, kw);
  const Image image = noise({h, w});
  const auto expected = slowly(image, kh, kw);
  const Image found = equalized(image.clone(), GENERATE(0.0, 1.0, 3.0), {kh, kw});
  for (std::int64_t i = 0; i < found.voxels.size(); ++i)
    CHECK(found.voxels[i] == Approx(expected[static_cast<std::size_t>(i)]).margin(1e-5));
}

TEST_CASE("Clahe of a volume that does not change along an axis is that of its slice") {
  const auto axis = GENERATE(0, 1, 2);
  const double limit = GENERATE(0.02, 3.0);
  const Image slice = noise({12, 15});
  ivado::Shape spatial{12, 15};
  std::vector<std::int64_t> kernel{4, 5};
  const Image expected = equalized(slice.clone(), limit, kernel);
  ivado::Shape longer;
  for (int a = 0; a < 3; ++a) longer.push_back(a == axis ? 6 : spatial[a < axis ? a : a - 1]);
  kernel.insert(kernel.begin() + axis, 1);  // tiles of one voxel along the axis: the tiles of the slice
  Image volume{ivado::Array<float>(longer.prepended(1)), Kind::image, {1, 1, 1}};
  for (std::int64_t i = 0; i < 6; ++i) ivado::copy(slice.voxels.view(), volume.voxels.view().select(axis + 1, i));
  volume = equalized(std::move(volume), limit, kernel);
  for (std::int64_t i = 0; i < 6; ++i)
    ivado::zip(expected.voxels.view(), volume.voxels.view().select(axis + 1, i),
               [](float a, float b) { CHECK(a == Approx(b).margin(1e-5)); });
}

TEST_CASE("Clahe gives [0, 1] whatever the scale of the intensities, and the lower the limit, the less contrast") {
  const auto spatial = GENERATE(ivado::Shape{40, 50}, ivado::Shape{1, 30}, ivado::Shape{2, 2});
  const Image image = noise(spatial);
  const Image expected = equalized(image.clone(), 0.05, {8, 8});
  CHECK(*std::min_element(expected.voxels.begin(), expected.voxels.end()) == 0);
  CHECK(*std::max_element(expected.voxels.begin(), expected.voxels.end()) == 1);
  Image scaled = image.clone();
  for (float& value : scaled.voxels) value = value * 4 - 1024;  // exact but for rounding to grey levels
  scaled = equalized(std::move(scaled), 0.05, {8, 8});
  double different = 0;
  for (std::int64_t i = 0; i < scaled.voxels.size(); ++i)
    different += std::abs(scaled.voxels[i] - expected.voxels[i]) > 1e-5F ? 1 : 0;
  CHECK(different <= 0.05 * static_cast<double>(scaled.voxels.size()));
}

TEST_CASE("Clahe: the tightest limit leaves little of a tile's histogram: a map near the identity") {
  // One voxel a bin at most, and 64 voxels a tile: the rest is spread, so that the map rises evenly.
  Image image{ivado::Array<float>(ivado::Shape{1, 64, 64}), Kind::image, {1, 1, 1}};
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) image.voxels[i] = static_cast<float>(i % 64) / 63;
  const Image soft = equalized(image.clone(), 0.001, {64, 64});
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) CHECK(std::abs(soft.voxels[i] - image.voxels[i]) < 0.05F);
}

TEST_CASE("Clahe of an image without contrast, of NaN and of infinity is finite") {
  const float nan = std::nanf("");
  for (const float value :
       equalized(Image{ivado::Array<float>(ivado::Shape{1, 9, 9}, 7.0F), Kind::image, {1, 1, 1}}, 0.01, {8, 8}).voxels)
    CHECK(value == 0);
  for (const float value :
       equalized(Image{ivado::Array<float>(ivado::Shape{1, 3, 3}, nan), Kind::image, {1, 1, 1}}, 0.01, {8, 8}).voxels)
    CHECK(value == 0);
  Image image = noise({20, 20});
  image.voxels[3] = nan;
  image.voxels[70] = INFINITY;
  image.voxels[71] = -INFINITY;
  for (const float value : equalized(std::move(image), 0.01, {8, 8}).voxels) CHECK((value >= 0 && value <= 1));
}

TEST_CASE("Clahe as in ivadomed takes negative intensities for 0, and refuses what is outside of [-1, 1]") {
  Image image = noise({16, 16});
  for (float& value : image.voxels) value = (value - 300) / 1000;
  Image positive = image.clone();
  for (float& value : positive.voxels) value = std::max(value, 0.0F);
  CHECK(equalized(image.clone(), 0.01, {8, 8}, true).voxels == equalized(positive.clone(), 0.01, {8, 8}, true).voxels);
  CHECK(!(equalized(image.clone(), 0.01, {8, 8}).voxels == equalized(positive.clone(), 0.01, {8, 8}).voxels));
  image.voxels[5] = 1.5F;
  CHECK(laws::has(laws::error_text([&] { (void)equalized(image.clone(), 0.01, {8, 8}, true); }), "1.5"));
}

TEST_CASE("Clahe leaves labels and regions of interest alone, and treats channels one by one") {
  for (const Kind kind : {Kind::label, Kind::roi}) {
    Image other = noise({9, 9});
    other.kind = kind;
    CHECK(laws::equal(equalized(other.clone(), 0.01, {8, 8}), other));
  }
  const Image both = noise({12, 11}, 2);
  const Image out = equalized(both.clone(), 0.02, {8, 8});
  for (std::int64_t c = 0; c < 2; ++c) {
    Image one{ivado::Array<float>::from(both.voxels.view().narrow(0, c, 1)), Kind::image, {1, 1, 1}};
    CHECK(equalized(std::move(one), 0.02, {8, 8}).voxels ==
          ivado::Array<float>::from(out.voxels.view().narrow(0, c, 1)));
  }
}

TEST_CASE("Clahe refuses tiles that do not fit") {
  CHECK(laws::has(laws::error_text([] { Clahe({0.01, {8}, false}); }), "kernel_size is [8]"));
  CHECK(laws::has(laws::error_text([] { Clahe({0.01, {8, 0}, false}); }), "[8,0]"));
  CHECK(laws::has(laws::error_text([] { Clahe({-1, {8, 8}, false}); }), "clip_limit"));
  const ivado::Sample volume = laws::smooth_sample({8, 8, 8});
  ivado::Rng rng(ivado::RandomKey{});
  CHECK(laws::has(laws::error_text([&] { (void)Clahe({}).draw(rng, volume); }), "3 axes"));
  CHECK(laws::has(laws::error_text([&] { (void)equalized(noise({8, 8}), 0.01, {8, 8, 8}); }), "2 axes"));
  const auto read = [](const char* json) {
    return laws::error_text([&] { (void)ivado::from_json<Clahe::Params>(ivado::Json::parse(json), "Clahe"); });
  };
  CHECK(laws::has(read(R"({"kernel_size": 8})"), "kernel_size"));
  CHECK(read(R"({"clip_limit": 3.0, "kernel_size": [8, 8]})").empty());
}
