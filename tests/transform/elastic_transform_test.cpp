// ElasticTransform: the field, sampling with mirrored borders, one field for all, its inverse.
#include <algorithm>
#include <array>
#include <cmath>
#include <ivado/transform/elastic_transform.hpp>
#include <memory>

#include "laws.hpp"

using ivado::Array;
using ivado::ElasticTransform;
using ivado::Image;
using ivado::Kind;

namespace {

template <class Value>
Image make(const ivado::Shape& spatial, const Value& value) {
  Image image{Array<float>(spatial.prepended(1)), Kind::image, {1, 1, 1}};
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) image.voxels[i] = static_cast<float>(value(i));
  return image;
}

/// A field that moves every voxel alike.
ElasticTransform::Draw constant(const ivado::Shape& spatial, const std::vector<float>& along) {
  Array<float> field(spatial.prepended(spatial.rank()));
  for (std::int64_t axis = 0; axis < spatial.rank(); ++axis)
    std::fill_n(field.data() + axis * spatial.size(), spatial.size(), along[static_cast<std::size_t>(axis)]);
  return {1, 0, std::make_shared<const Array<float>>(std::move(field))};
}

ElasticTransform::Draw draw(const ElasticTransform& transform, const ivado::Shape& spatial, std::uint32_t number) {
  ivado::Sample sample;
  sample.image = {Array<float>(spatial.prepended(1), 0), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{3, 1, number, 0});
  return transform.draw(rng, sample);
}

const ElasticTransform always({{28, 30}, {3.5, 4.5}, 1, false});

}  // namespace

TEST_CASE("ElasticTransform keeps the laws of a transform") {
  laws::check_transform_laws<ElasticTransform>({{28, 30}, {3.5, 4.5}, 1, false}, {0.3, 0.02});
  laws::check_transform_laws<ElasticTransform>({{28, 30}, {3.5, 4.5}, 0.5, true}, {0.3, 0.02});
  laws::check_transform_laws<ElasticTransform>({{28, 30}, {3.5, 4.5}, 0, false}, {0, 0});
}

TEST_CASE("ElasticTransform by hand: a constant field shifts, with the image mirrored about its edges") {
  const auto value = [](std::int64_t i) { return (i * i) % 11; };
  const auto shift = GENERATE(-9.0F, -2.0F, -0.5F, 0.0F, 0.25F, 1.0F, 3.75F, 4.0F, 13.0F);
  const auto extent = GENERATE(1, 2, 5);
  CAPTURE(shift, extent);
  Image image = make({extent, 1}, value);
  always.apply(image, constant({extent, 1}, {shift, 0}));
  for (std::int64_t i = 0; i < extent; ++i) {
    const auto mirrored = [&](std::int64_t j) {
      j = ((j % (2 * extent)) + 2 * extent) % (2 * extent);
      return static_cast<double>(value(j < extent ? j : 2 * extent - 1 - j));
    };
    const double position = static_cast<double>(i) + static_cast<double>(shift);
    const double below = std::floor(position);
    const double part = position - below;
    const auto low = static_cast<std::int64_t>(below);
    CHECK(image.voxels[i] == Approx((1 - part) * mirrored(low) + part * mirrored(low + 1)).margin(1e-5));
  }
}

TEST_CASE("ElasticTransform gives each voxel of each channel the value at its displaced position, mirrored") {
  const auto spatial =
      GENERATE(ivado::Shape{17, 23}, ivado::Shape{19, 5, 16}, ivado::Shape{7, 30, 11}, ivado::Shape{6, 9, 1});
  const bool is_sparse = GENERATE(false, true);
  const float reach = GENERATE(0.4F, 3.0F, 60.0F);  // the last moves by several extents
  CAPTURE(spatial.text(), is_sparse, reach);
  const std::array<std::int64_t, 3> extent{spatial[0], spatial[1], spatial.rank() > 2 ? spatial[2] : 1};
  ivado::Rng rng(ivado::RandomKey{8});
  Image before{Array<float>(spatial.prepended(2), 0), Kind::label, {1, 1, 1}};
  for (std::int64_t i = 0; i < before.voxels.size(); ++i) {
    const float value = 1 + rng.uniform_float();
    if (!is_sparse || (i % spatial.size() / extent[2] / extent[1] == 3 && i % 7 == 0)) before.voxels[i] = value;
  }
  Array<float> field(spatial.prepended(spatial.rank()));
  for (float& value : field) value = reach * (2 * rng.uniform_float() - 1);
  const auto mirrored = [](std::int64_t i, std::int64_t n) {
    i = (i % (2 * n) + 2 * n) % (2 * n);
    return i < n ? i : 2 * n - 1 - i;
  };
  const auto expected = [&](std::int64_t i) {
    const std::int64_t at = i % spatial.size();
    const std::array<std::int64_t, 3> index{at / extent[2] / extent[1], at / extent[2] % extent[1], at % extent[2]};
    double total = 0;
    for (std::size_t corner = 0; corner < 8; ++corner) {
      double weight = 1;
      std::int64_t from = i / spatial.size();
      for (std::size_t a = 0; a < 3; ++a) {
        const auto axis = static_cast<std::int64_t>(a);
        const double move = axis < spatial.rank() ? static_cast<double>(field[axis * spatial.size() + at]) : 0;
        const auto upper = static_cast<std::int64_t>(corner >> a & 1);
        const double part = move - std::floor(move);
        weight *= upper == 1 ? part : 1 - part;
        from = from * extent[a] + mirrored(index[a] + static_cast<std::int64_t>(std::floor(move)) + upper, extent[a]);
      }
      total += weight * static_cast<double>(before.voxels[from]);
    }
    return total;
  };
  Image image = before.clone();
  always.apply(image, {1, 1, std::make_shared<const Array<float>>(field.clone())});
  double worst = 0;
  for (std::int64_t i = 0; i < image.voxels.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(image.voxels[i]) - expected(i)));
  CHECK(worst < 2e-5);  // parts of a displacement of 60 have 2⁻¹⁹ of rounding
}

TEST_CASE("ElasticTransform moves along each axis by its own component") {
  const auto axis = GENERATE(0, 1, 2);
  std::vector<float> along(3, 0.0F);
  along[static_cast<std::size_t>(axis)] = 1;
  const ivado::Shape spatial{4, 5, 6};
  const Image before = make(spatial, [](std::int64_t i) { return i; });
  Image image = before.clone();
  always.apply(image, constant(spatial, along));
  const std::int64_t step[] = {30, 6, 1};
  CHECK(image.voxels[(1 * 5 + 2) * 6 + 3] == before.voxels[(1 * 5 + 2) * 6 + 3 + step[axis]]);
}

TEST_CASE("ElasticTransform smooths its noise with a Gaussian cut at 4σ, zeros outside") {
  // One spike in the middle of a line: α times the normalised kernel; at the edge the kernel is cut, not normalised
  // again.
  const double sigma = GENERATE(0.5, 1.0, 2.5);
  const auto radius = static_cast<std::int64_t>(4 * sigma + 0.5);
  const std::int64_t extent = 2 * radius + 5;
  double norm = 0;
  const auto bell = [&](std::int64_t x) { return std::exp(-0.5 * static_cast<double>(x * x) / (sigma * sigma)); };
  for (std::int64_t x = -radius; x <= radius; ++x) norm += bell(x);
  for (const std::int64_t spike : {radius + 2, std::int64_t{0}}) {
    Array<float> noise = ivado::zeros(ivado::Shape{2, extent, 1});
    noise[spike] = 1;
    const Array<float> field = always.displacement(std::move(noise), 20, sigma);
    for (std::int64_t i = 0; i < extent; ++i) {
      const std::int64_t distance = std::abs(i - spike);
      CHECK(field[i] == Approx(distance <= radius ? 20 * bell(distance) / norm : 0).margin(1e-5));
      CHECK(field[extent + i] == 0);  // an axis of one voxel is not displaced
    }
  }
  Array<float> noise(ivado::Shape{2, 3, 4}, 0.5F);
  const Array<float> unsmoothed = always.displacement(std::move(noise), 4, 0);
  for (const float value : unsmoothed) CHECK(value == 2);
}

TEST_CASE("ElasticTransform filters in all directions alike, whatever the extents") {
  const auto [h, w, d] =
      GENERATE(table<int, int, int>({{3, 5, 7}, {20, 17, 1}, {1, 33, 18}, {16, 16, 16}, {40, 2, 3}}));
  CAPTURE(h, w, d);
  const ivado::Shape spatial{h, w, d};
  Array<float> noise(spatial.prepended(3));
  ivado::Rng rng(ivado::RandomKey{5});
  for (float& value : noise) value = 2 * rng.uniform_float() - 1;
  // The same with H and D exchanged.
  const ivado::Shape turned{d, w, h};
  Array<float> other(turned.prepended(3));
  for (int axis = 0; axis < 3; ++axis)
    ivado::copy(std::as_const(noise).view().select(0, axis).permute({2, 1, 0}), other.view().select(0, 2 - axis));
  const Array<float> field = always.displacement(std::move(noise), 10, 1.3);
  const Array<float> turned_field = always.displacement(std::move(other), 10, 1.3);
  for (int axis = 0; axis < 3; ++axis)
    ivado::zip(field.view().select(0, axis).permute({2, 1, 0}), turned_field.view().select(0, 2 - axis),
               [](float a, float b) { CHECK(a == Approx(b).margin(1e-5)); });
}

TEST_CASE("ElasticTransform displaces a slice by about a voxel; the original by a tenth of that (B3.2)") {
  // A Gaussian of σ lowers the deviation √⅓ of the noise by 2σ√π in the plane: 29 · 0.577 / (8 √π) = 1.18 voxels.
  const ElasticTransform original({{28, 30}, {3.5, 4.5}, 1, true});
  Array<float> noise(ivado::Shape{2, 128, 128});
  ivado::Rng rng(ivado::RandomKey{9});
  for (float& value : noise) value = 2 * rng.uniform_float() - 1;
  const auto deviation = [](const Array<float>& field) {
    double square = 0;
    for (const float value : field) square += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(square / static_cast<double>(field.size()));
  };
  const double right = deviation(always.displacement(noise.clone(), 29, 4));
  const double tenth = deviation(original.displacement(noise.clone(), 29, 4));
  CHECK(right == Approx(1.18).epsilon(0.15));
  CHECK(tenth / right == Approx(0.0997).epsilon(1e-3));  // central weight of the kernel, reference/transforms.md 5.3
}

TEST_CASE("ElasticTransform draws with probability p, within its ranges, the same for the same key") {
  const ElasticTransform sometimes({{10, 12}, {1, 2}, 0.25, false});
  int deformed = 0;
  for (std::uint32_t number = 0; number < 400; ++number) {
    const auto drawn = draw(sometimes, {6, 5}, number);
    if (!drawn.displacement) continue;
    ++deformed;
    CHECK(drawn.alpha >= 10);
    CHECK(drawn.alpha < 12);
    CHECK(drawn.sigma_vox >= 1);
    CHECK(drawn.sigma_vox < 2);
    CHECK(drawn.displacement->shape() == ivado::Shape{2, 6, 5});
    CHECK(*draw(sometimes, {6, 5}, number).displacement == *drawn.displacement);
  }
  CHECK(std::abs(deformed - 100) < 35);  // four standard deviations of a binomial of 400 and 0.25
  CHECK(!(*draw(always, {6, 5}, 0).displacement == *draw(always, {6, 5}, 1).displacement));
  CHECK(draw(always, {6, 5, 4}, 0).displacement->shape() == ivado::Shape{3, 6, 5, 4});
}

TEST_CASE("ElasticTransform deforms every channel and the label by the one field (B3.1)") {
  ivado::Sample sample = laws::smooth_sample({33, 41});
  sample.image.voxels = sample.label.voxels.clone();
  ivado::Rng rng(ivado::RandomKey{4});
  const auto drawn = always.draw(rng, sample);
  always.apply(sample.image, drawn);
  always.apply(sample.label, drawn);
  CHECK(sample.image.voxels == sample.label.voxels);
}

TEST_CASE("ElasticTransform is undone in the interior, at full strength") {
  const bool is_slice = GENERATE(true, false);
  const ivado::Shape spatial = is_slice ? ivado::Shape{67, 71} : ivado::Shape{37, 31, 19};
  const auto number = GENERATE(range(std::uint32_t{0}, std::uint32_t{4}));
  const Image before = make(spatial, [&](std::int64_t i) {
    const std::int64_t depth = is_slice ? 1 : spatial[2];
    return std::sin(static_cast<double>(i / depth / spatial[1]) / 6) +
           std::cos(static_cast<double>(i / depth % spatial[1]) / 7);
  });
  const auto drawn = draw(always, spatial, number);
  Image image = before.clone();
  always.apply(image, drawn);
  const double moved = laws::interior_difference(image, before, 0.15);
  always.invert(image, drawn);
  const double left = laws::interior_difference(image, before, 0.15);
  CAPTURE(moved, left);
  CHECK(left < 0.02);  // two linear interpolations of waves of 40 voxels: curvature / 8 each
  CHECK(left < moved / 5);
}

TEST_CASE("ElasticTransform refuses what does not fit") {
  CHECK(laws::has(laws::error_text([] { ElasticTransform({{30, 28}, {1, 2}, 0.1, false}); }), "alpha_range"));
  CHECK(laws::has(laws::error_text([] { ElasticTransform({{1, 2}, {-1, 2}, 0.1, false}); }), "sigma_range"));
  CHECK(laws::has(laws::error_text([] { ElasticTransform({{1, 2}, {1, 2}, 1.1, false}); }), "probability"));
  Image image = make({5, 5}, [](std::int64_t i) { return i; });
  CHECK(laws::has(laws::error_text([&] { always.apply(image, constant({5, 6}, {1, 1})); }), "5x5, expected 5x6"));
  ElasticTransform::Draw odd{1, 1, std::make_shared<const Array<float>>(Array<float>(ivado::Shape{3, 5, 5}, 0))};
  CHECK(laws::has(laws::error_text([&] { always.invert(image, odd); }), "3 components"));
  const auto read = [](const char* json) {
    return laws::error_text(
        [&] { (void)ivado::from_json<ElasticTransform::Params>(ivado::Json::parse(json), "ElasticTransform"); });
  };
  CHECK(laws::has(read(R"({"alpha_range": [28, 30]})"), "sigma_range"));
  CHECK(laws::has(read(R"({"alpha_range": [28, 30], "sigma_range": [3, 4], "p": 2})"), "in [0, 1]"));
  CHECK(laws::has(read(R"({"alpha_range": [28], "sigma_range": [3, 4]})"), "alpha_range"));
  CHECK(read(R"({"alpha_range": [28.0, 30.0], "sigma_range": [3.5, 4.5], "p": 0.1})").empty());
}
