// RandomMotion: sections of k-space by hand, movements in mm, what stays, and how it is drawn.
#include <cmath>
#include <complex>
#include <ivado/transform/random_motion.hpp>
#include <numbers>
#include <vector>

#include "laws.hpp"

using ivado::Image;
using ivado::Kind;
using ivado::Movement;
using ivado::RandomMotion;

namespace {

Image moved(Image image, const std::vector<Movement>& movements) {
  RandomMotion({}).apply(image, {{movements}});
  return image;
}

Image noise(const ivado::Shape& spatial, std::int64_t channels = 1) {
  Image image{ivado::Array<float>(spatial.prepended(channels)), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{5});
  for (float& value : image.voxels) value = 2 + rng.uniform_float();
  return image;
}

/// A smooth spot well inside of a grid, on a constant.
Image spot(const ivado::Shape& spatial, const std::array<double, 3>& centre, const std::array<double, 3>& spacing_mm) {
  Image image{ivado::Array<float>(spatial.prepended(1)), Kind::image, spacing_mm};
  const std::int64_t depth = spatial.rank() == 3 ? spatial[2] : 1;
  for (std::int64_t i = 0; i < spatial.size(); ++i) {
    const std::array<std::int64_t, 3> index{i / depth / spatial[1], i / depth % spatial[1], i % depth};
    double square = 0;
    for (std::size_t a = 0; a < 3; ++a) {
      const double extent = a == 2 ? static_cast<double>(depth) : static_cast<double>(spatial[static_cast<int>(a)]);
      const double mm = (static_cast<double>(index[a]) - 0.5 * (extent - 1)) * spacing_mm[a] - centre[a];
      square += mm * mm;
    }
    image.voxels[i] = static_cast<float>(1 + std::exp(-square / 18));
  }
  return image;
}

}  // namespace

TEST_CASE("RandomMotion keeps the laws of a transform") {
  laws::check_transform_laws<RandomMotion>({});
  laws::check_transform_laws<RandomMotion>({{5}, {-1, 3}, 5, 0.5, true});
}

TEST_CASE("RandomMotion by hand: a shift by whole voxels during the last part of k-space") {
  const std::int64_t n = GENERATE(8, 9, 31, 37, 64);
  const double time = GENERATE(0.55, 0.7, 0.95);
  CAPTURE(n, time);
  const Image before = noise({4, n});
  const Image after = moved(before.clone(), {{time, {0, 0, 0}, {0, 2, 0}}});
  const auto boundary = static_cast<std::int64_t>(time * static_cast<double>(n));
  if (boundary <= n / 2) return;  // the section with the centre is the last one
  const float least = *std::min_element(before.voxels.begin(), before.voxels.end());
  for (std::int64_t row = 0; row < 4; ++row) {
    const float* const x = before.voxels.data() + row * n;
    std::vector<std::complex<double>> spectrum(static_cast<std::size_t>(n));
    const auto wave = [&](std::int64_t k, std::int64_t i, int sign) {
      return std::polar(1.0, sign * 2 * std::numbers::pi * static_cast<double>(k * i % n) / static_cast<double>(n));
    };
    for (std::int64_t plane = 0; plane < n; ++plane) {
      const std::int64_t k = (plane - n / 2 + n) % n;
      for (std::int64_t i = 0; i < n; ++i) {
        const float value = plane < boundary ? x[i] : i + 2 < n ? x[i + 2] : least;
        spectrum[static_cast<std::size_t>(k)] += static_cast<double>(value) * wave(k, i, -1);
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      std::complex<double> sum = 0;
      for (std::int64_t k = 0; k < n; ++k) sum += spectrum[static_cast<std::size_t>(k)] * wave(k, i, 1);
      CHECK(after.voxels[row * n + i] == Approx(sum.real() / static_cast<double>(n)).margin(1e-5));
    }
  }
}

TEST_CASE("RandomMotion without movement changes nothing, whenever it happens") {
  const auto spatial =
      GENERATE(ivado::Shape{31, 18}, ivado::Shape{5, 1}, ivado::Shape{13, 7, 20}, ivado::Shape{9, 8, 1});
  const Image before = noise(spatial, 2);
  const std::vector<Movement> still{{0.2, {}, {}}, {0.5, {}, {}}, {0.9, {}, {}}};
  const Image after = moved(before.clone(), still);
  for (std::int64_t i = 0; i < before.voxels.size(); ++i)
    CHECK(after.voxels[i] == Approx(before.voxels[i]).margin(1e-5));
  CHECK(moved(before.clone(), {}).voxels == before.voxels);
}

TEST_CASE("RandomMotion keeps the mean, a constant and the place of the image") {
  const auto spatial = GENERATE(ivado::Shape{41, 39}, ivado::Shape{23, 25, 19});
  const std::vector<Movement> movements{{0.3, {5, -8, 9}, {3, 2, -4}}, {0.7, {-6, 3, -9}, {-3, 4, 2}}};
  const Image before = spot(spatial, {2, -1, 0}, {1, 1, 1});
  const Image after = moved(before.clone(), movements);
  double mean_before = 0;
  double mean_after = 0;
  std::int64_t brightest_before = 0;
  std::int64_t brightest_after = 0;
  for (std::int64_t i = 0; i < before.voxels.size(); ++i) {
    mean_before += static_cast<double>(before.voxels[i]);
    mean_after += static_cast<double>(after.voxels[i]);
    if (before.voxels[i] > before.voxels[brightest_before]) brightest_before = i;
    if (after.voxels[i] > after.voxels[brightest_after]) brightest_after = i;
  }
  CHECK(mean_after == Approx(mean_before).epsilon(1e-5));  // the central section is that of the still image
  CHECK(brightest_after == brightest_before);
  CHECK(!(after.voxels == before.voxels));
  const Image flat{ivado::Array<float>(spatial.prepended(1), 7.0F), Kind::image, {1, 1, 1}};
  for (const float value : moved(flat.clone(), movements).voxels) CHECK(value == Approx(7));
}

TEST_CASE("RandomMotion turns and shifts in mm about the centre of the grid") {
  // Far sections come from an image that was moved; one that lay elsewhere and is moved there gives the same.
  const bool is_slice = GENERATE(true, false);
  const int about = GENERATE(0, 1, 2);
  if (is_slice && about != 2) return;
  const ivado::Shape spatial = is_slice ? ivado::Shape{64, 49} : ivado::Shape{48, 37, 40};
  const std::array<double, 3> spacing{0.5, 0.8, 0.7};
  const std::array<double, 3> shift{1, -2, is_slice ? 0.0 : 1.5};
  const double angle = 30 * std::numbers::pi / 180;
  const std::array<double, 3> place{3, 4, is_slice ? 0.0 : 2.0};
  // An output voxel at o shows the place R o + t: what lies at q appears at o = Rᵀ (q - t).
  std::array<double, 3> from{};
  for (std::size_t a = 0; a < 3; ++a) from[a] = place[a] - shift[a];
  const auto first = static_cast<std::size_t>((about + 1) % 3);
  const auto second = static_cast<std::size_t>((about + 2) % 3);
  std::array<double, 3> appears = from;
  appears[first] = std::cos(angle) * from[first] + std::sin(angle) * from[second];
  appears[second] = -std::sin(angle) * from[first] + std::cos(angle) * from[second];
  Movement movement{0.75, {0, 0, 0}, shift};
  movement.degrees[static_cast<std::size_t>(about)] = 30;
  const Image still = spot(spatial, place, spacing);
  const Image turned = spot(spatial, appears, spacing);
  const Image found = moved(still.clone(), {movement});
  // The same sections, with the turned spot drawn directly.
  const std::int64_t n = spatial[spatial.rank() - 1];
  const auto boundary = static_cast<std::int64_t>(0.75 * static_cast<double>(n));
  const auto late = ivado::detail::even_weights(n, [&](std::int64_t plane) { return plane >= boundary ? 1.0F : 0.0F; });
  const auto early = ivado::detail::even_weights(n, [&](std::int64_t plane) { return plane < boundary ? 1.0F : 0.0F; });
  Image expected = still.clone();
  ivado::detail::filter_spectra({still.voxels.data(), turned.voxels.data()}, {early, late},
                                ivado::detail::LineLayout(still.voxels.shape(), spatial.rank()),
                                expected.voxels.data());
  CHECK(laws::interior_difference(found, expected, 0) < 0.01);  // linear interpolation of a spot of 3 mm
  // And the movement itself, which the far sections hide: weights of 1 for the moved image.
  const Image wrong = moved(still.clone(), {{0.75, {0, 0, 0}, {0, 0, 0}}});
  CHECK(laws::interior_difference(wrong, still, 0) < 1e-5);
}

TEST_CASE("RandomMotion draws ascending times and movements within its ranges") {
  const ivado::Sample sample = laws::smooth_sample({5, 6});
  for (std::uint32_t number = 0; number < 40; ++number) {
    ivado::Rng rng(ivado::RandomKey{2, 0, number, 0});
    const auto drawn = RandomMotion({{3}, {1, 2}, 4, 1, false}).draw(rng, sample);
    const auto& movements = *drawn.values.at(0);
    REQUIRE(movements.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(std::abs(movements[i].time - 0.2 * static_cast<double>(i + 1)) <= 0.06 + 1e-12);
      for (const double degrees : movements[i].degrees) CHECK(std::abs(degrees) <= 3);
      for (const double mm : movements[i].translation_mm) CHECK((mm >= 1 && mm < 2));
    }
    CHECK(RandomMotion({{3}, {1, 2}, 4, 1, true}).draw(rng, sample).values.size() == 2);
  }
}

TEST_CASE("RandomMotion leaves labels alone and refuses what makes no sense") {
  Image label = noise({9, 8});
  label.kind = Kind::label;
  CHECK(laws::equal(moved(label.clone(), {{0.3, {5, 5, 5}, {1, 1, 1}}}), label));
  CHECK(laws::has(laws::error_text([] { RandomMotion({{3, 1}, {1}, 2, 1, false}); }), "degrees"));
  CHECK(laws::has(laws::error_text([] { RandomMotion({{3}, {2, 1}, 2, 1, false}); }), "translation"));
  CHECK(laws::has(laws::error_text([] { RandomMotion({{3}, {1}, 0, 1, false}); }), "num_transforms"));
  CHECK(laws::has(laws::error_text([] { RandomMotion({{3}, {1}, 1, 2, false}); }), "probability"));
  const auto params = ivado::from_json<RandomMotion::Params>(
      ivado::Json::parse(R"({"degrees": 5, "translation": [-2, 3], "num_transforms": 3, "p": 0.5})"), "");
  CHECK(params.degrees.low == -5);
  CHECK(params.translation.high == 3);
}
