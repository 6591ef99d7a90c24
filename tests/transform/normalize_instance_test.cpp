// NormalizeInstance: mean 0, standard deviation 1, and what is no number.
#include <cmath>
#include <ivado/transform/normalize_instance.hpp>
#include <limits>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::NormalizeInstance;

namespace {

Image of(const std::vector<float>& values, Kind kind = Kind::image, std::int64_t channels = 1) {
  const auto n = static_cast<std::int64_t>(values.size()) / channels;
  Image image{ivado::Array<float>(ivado::Shape{channels, n, 1}), kind, {1, 1, 1}};
  std::copy(values.begin(), values.end(), image.voxels.begin());
  return image;
}

Image normalized(Image image, bool unbiased = false) {
  NormalizeInstance({unbiased}).apply(image, {});
  return image;
}

}  // namespace

TEST_CASE("NormalizeInstance keeps the laws of a transform") {
  laws::check_transform_laws<NormalizeInstance>({}, {0, 0});
}

TEST_CASE("NormalizeInstance by hand") {
  // 1 2 3 4: mean 2.5, population variance 1.25, sample variance 5/3
  const Image image = normalized(of({1, 2, 3, 4}));
  CHECK(image.voxels[0] == Approx(-1.5 / std::sqrt(1.25)));
  CHECK(image.voxels[3] == Approx(1.5 / std::sqrt(1.25)));
  const Image unbiased = normalized(of({1, 2, 3, 4}), true);
  CHECK(unbiased.voxels[0] == Approx(-1.5 / std::sqrt(5.0 / 3.0)));
}

TEST_CASE("NormalizeInstance gives mean 0 and standard deviation 1 for each channel") {
  const auto extent = GENERATE(2, 3, 7, 8, 9, 31, 64);
  CAPTURE(extent);
  Image image{ivado::Array<float>(ivado::Shape{3, extent, 5}), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{1});
  for (float& value : image.voxels) value = static_cast<float>(1000 + 50 * rng.normal());
  image = normalized(std::move(image));
  const std::int64_t size = extent * 5;
  for (std::int64_t c = 0; c < 3; ++c) {
    double mean = 0;
    double square = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const auto value = static_cast<double>(image.voxels[c * size + i]);
      mean += value / static_cast<double>(size);
      square += value * value / static_cast<double>(size);
    }
    CHECK(mean == Approx(0).margin(1e-6));
    CHECK(square == Approx(1).margin(1e-6));
  }
}

TEST_CASE("NormalizeInstance gives zeros for a constant image, not NaN (ivadomed 2.8.0)") {
  const auto value = GENERATE(0.0F, 1.0F, 0.1F, -3.7F, 1e6F, 12345.678F);
  for (const float v : normalized(of(std::vector<float>(37, value))).voxels) CHECK(v == 0);
  for (const float v : normalized(of({value}), true).voxels) CHECK(v == 0);  // a single voxel has no deviation
}

TEST_CASE("NormalizeInstance only subtracts the mean of a nearly constant image") {
  const Image image = normalized(of({1e-6F, 3e-6F}));
  CHECK(image.voxels[0] == Approx(-1e-6));
  CHECK(image.voxels[1] == Approx(1e-6));
}

TEST_CASE("NormalizeInstance leaves NaN and infinity out and sets them to 0") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const Image image = normalized(of({1, nan, 2, 3, infinity, 4, -infinity}));
  const Image expected = normalized(of({1, 2, 3, 4}));
  CHECK(image.voxels[0] == expected.voxels[0]);
  CHECK(image.voxels[2] == expected.voxels[1]);
  CHECK(image.voxels[5] == expected.voxels[3]);
  for (const std::int64_t i : {1, 4, 6}) CHECK(image.voxels[i] == 0);
  for (const float v : normalized(of({nan, nan})).voxels) CHECK(v == 0);
  // The largest floats: their squares do not fit into a float, but into a double.
  const float largest = std::numeric_limits<float>::max();
  const Image huge = normalized(of({largest, -largest, largest, -largest}));
  CHECK(huge.voxels[0] == Approx(1));
  CHECK(huge.voxels[1] == Approx(-1));
}

TEST_CASE("NormalizeInstance leaves labels and regions of interest alone, whatever it is applied to") {
  const auto kind = GENERATE(Kind::label, Kind::roi);
  const Image before = of({0, 0, 1, 1}, kind);
  CHECK(laws::equal(normalized(before.clone()), before));
}

TEST_CASE("NormalizeInstance treats channels one by one") {
  const Image both = normalized(of({1, 2, 3, 100, 300, 700}, Kind::image, 2));
  const Image first = normalized(of({1, 2, 3}));
  const Image second = normalized(of({100, 300, 700}));
  for (std::int64_t i = 0; i < 3; ++i) {
    CHECK(both.voxels[i] == first.voxels[i]);
    CHECK(both.voxels[3 + i] == second.voxels[i]);
  }
}
