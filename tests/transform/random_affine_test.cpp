// RandomAffine: the map, its draws, its inverse, its JSON.
#include <algorithm>
#include <array>
#include <cmath>
#include <ivado/transform/random_affine.hpp>
#include <limits>
#include <numbers>
#include <set>

#include "laws.hpp"

using ivado::Image;
using ivado::Json;
using ivado::Kind;
using ivado::RandomAffine;

namespace {

template <class Value>
Image make(const ivado::Shape& spatial, const Value& value) {
  Image image{ivado::Array<float>(spatial.prepended(1)), Kind::image, {1, 1, 1}};
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) image.voxels[i] = static_cast<float>(value(i));
  return image;
}
Image counting(const ivado::Shape& spatial) {
  return make(spatial, [](std::int64_t i) { return i + 1; });
}

double sum(const Image& image) {
  double total = 0;
  for (const float value : image.voxels) total += static_cast<double>(value);
  return total;
}
std::int64_t non_zero(const Image& image) {
  return std::count_if(image.voxels.begin(), image.voxels.end(), [](float value) { return value != 0; });
}

RandomAffine::Params params_of(const char* json) {
  return ivado::from_json<RandomAffine::Params>(Json::parse(json), "RandomAffine");
}

RandomAffine::Draw draw(const RandomAffine& transform, const ivado::Shape& spatial, std::uint32_t number) {
  ivado::Sample sample;
  sample.image = {ivado::Array<float>(spatial.prepended(1), 0), Kind::image, {1, 1, 1}};
  ivado::Rng rng(ivado::RandomKey{7, 0, number, 0});
  return transform.draw(rng, sample);
}

/// The value of a channel at a position, by the definition: linear between voxels, 0 outside.
double linear(const ivado::Array<float>& voxels, std::int64_t channel, const std::array<double, 3>& position) {
  const std::array<std::int64_t, 3> extent{voxels.extent(1), voxels.extent(2),
                                           voxels.rank() > 3 ? voxels.extent(3) : 1};
  double total = 0;
  for (int corner = 0; corner < 8; ++corner) {
    double weight = 1;
    std::int64_t at = channel;
    for (std::size_t a = 0; a < 3; ++a) {
      if (position[a] < -1e-9 || position[a] > static_cast<double>(extent[a] - 1) + 1e-9) return 0;
      const double p = std::clamp(position[a], 0.0, static_cast<double>(extent[a] - 1));
      const auto upper = static_cast<std::int64_t>(corner >> a & 1);
      const double part = p - std::floor(p);
      weight *= upper == 1 ? part : 1 - part;
      at = at * extent[a] + std::min(static_cast<std::int64_t>(p) + upper, extent[a] - 1);
    }
    total += weight * static_cast<double>(voxels[at]);
  }
  return total;
}

const RandomAffine plain(RandomAffine::Params{});
const RandomAffine original({{}, {}, {}, true});

}  // namespace

TEST_CASE("RandomAffine keeps the laws of a transform") {
  laws::check_transform_laws<RandomAffine>({5, {0.1, 0.1, 0.1}, {0.03, 0.03, 0.03}, false}, {0.3, 0.01});
  laws::check_transform_laws<RandomAffine>({{-20, 10}, {0.2, 0.1}, {0.05, 0.02}, true}, {0.35, 0.02});
  laws::check_transform_laws<RandomAffine>({}, {0, 0});
}

TEST_CASE("RandomAffine on a slice gives the published values of the reference") {
  // reference/transforms.md, section 8: x(i, j) = sin i + cos 2j + 3, 9×7
  Image image = make({9, 7}, [](std::int64_t i) {
    return std::sin(static_cast<double>(i / 7)) + std::cos(2.0 * static_cast<double>(i % 7)) + 3;
  });
  const RandomAffine::Draw drawn{0.2, {0, 1}, {1.1, 0.9, 1}, {1, -2, 0}};
  original.apply(image, drawn);
  CHECK(non_zero(image) == 35);
  CHECK(sum(image) == Approx(106.844736015).margin(2e-5));
  CHECK(image.voxels[4 * 7 + 3] == Approx(1.616513873).margin(2e-6));
  CHECK(image.voxels[6 * 7 + 2] == 0);
  original.invert(image, drawn);
  CHECK(sum(image) == Approx(86.337138934).margin(2e-5));
  CHECK(non_zero(image) == 33);
  CHECK(image.voxels[4 * 7 + 3] == Approx(2.609909568).margin(2e-6));
}

TEST_CASE("RandomAffine on a volume gives the published values of the reference") {
  // reference/transforms.md, section 8: rotation 0.3 rad, x = sin(flat index) + 2, 7×6×5
  struct Row {
    std::array<int, 2> axes;
    double sum, first, second;
  };
  const auto row = GENERATE(Row{{0, 1}, 300.976750194, 2.005515001, 2.699152504},
                            Row{{0, 2}, 289.610385794, 1.901356543, 2.651771604},
                            Row{{1, 2}, 278.605390976, 2.317369567, 2.588197636});
  Image image = make({7, 6, 5}, [](std::int64_t i) { return std::sin(static_cast<double>(i)) + 2; });
  original.apply(image, {0.3, row.axes, {1, 1, 1}, {0, 0, 0}});
  CHECK(sum(image) == Approx(row.sum).margin(1e-4));
  CHECK(image.voxels[(3 * 6 + 3) * 5 + 2] == Approx(row.first).margin(2e-6));
  CHECK(image.voxels[(2 * 6 + 3) * 5 + 3] == Approx(row.second).margin(2e-6));
}

TEST_CASE("RandomAffine gives each voxel of each channel the value at the position of its map") {
  const auto spatial = GENERATE(ivado::Shape{17, 21}, ivado::Shape{13, 1}, ivado::Shape{9, 17, 19},
                                ivado::Shape{20, 11, 33}, ivado::Shape{5, 40, 1}, ivado::Shape{1, 6, 70});
  const std::int64_t depth = spatial.rank() > 2 ? spatial[2] : 1;
  // As a dense image, as a label that is 0 nearly everywhere, as one at the border, and as nothing at all.
  const auto content = GENERATE(0, 1, 2, 3);
  Image before{ivado::Array<float>(spatial.prepended(2), 0), Kind::label, {1, 1, 1}};
  for (std::int64_t i = 0; i < before.voxels.size() && content < 3; ++i) {
    const std::int64_t at = i % spatial.size();
    const std::array<std::int64_t, 3> index{at / depth / spatial[1], at / depth % spatial[1], at % depth};
    bool is_set = content == 0;
    if (content == 1)
      is_set = index[0] == spatial[0] / 2 && std::abs(index[1] - spatial[1] / 3) < 2 && index[2] >= depth / 2;
    if (content == 2) is_set = index[0] == spatial[0] - 1 || (index[1] == 0 && i < spatial.size());
    if (is_set) before.voxels[i] = static_cast<float>(1 + i % 13);
  }
  const auto axes = spatial.rank() > 2
                        ? GENERATE(std::array<int, 2>{0, 1}, std::array<int, 2>{0, 2}, std::array<int, 2>{1, 2})
                        : std::array<int, 2>{0, 1};
  const auto angle = GENERATE(0.0, 0.1, -0.7, std::numbers::pi / 2);
  const RandomAffine::Draw drawn{angle, axes, {1.2, 0.9, 1.05}, {1, -2, 0}};
  CAPTURE(spatial.text(), content, axes[0], axes[1], angle);
  Image image = before.clone();
  plain.apply(image, drawn);
  const auto map = plain.forward_map(spatial, drawn);
  REQUIRE(map);
  double worst = 0;
  for (std::int64_t i = 0; i < image.voxels.size(); ++i) {
    const std::int64_t at = i % spatial.size();
    std::array<double, 3> position{static_cast<double>(at / depth / spatial[1]),
                                   static_cast<double>(at / depth % spatial[1]), static_cast<double>(at % depth)};
    map->move(position);
    const double expected = linear(before.voxels, i / spatial.size(), position);
    worst = std::max(worst, std::abs(static_cast<double>(image.voxels[i]) - expected));
  }
  CHECK(worst < 2e-5);  // of 13: three interpolations in float
}

TEST_CASE("RandomAffine turns a square by 90 degrees without losing a voxel") {
  const auto extent = GENERATE(1, 2, 3, 8, 13);
  CAPTURE(extent);
  const Image before = counting({extent, extent});
  Image image = before.clone();
  const RandomAffine::Draw quarter{std::numbers::pi / 2, {0, 1}, {1, 1, 1}, {0, 0, 0}};
  plain.apply(image, quarter);
  // With A = Rᵀ, output (i, j) takes the input at (j, n - 1 - i).
  for (std::int64_t i = 0; i < extent; ++i)
    for (std::int64_t j = 0; j < extent; ++j)
      CHECK(image.voxels[i * extent + j] == Approx(before.voxels[j * extent + extent - 1 - i]).epsilon(1e-6));
  plain.invert(image, quarter);
  for (std::int64_t i = 0; i < before.voxels.size(); ++i)
    CHECK(image.voxels[i] == Approx(before.voxels[i]).epsilon(1e-5));
}

TEST_CASE("RandomAffine shifts by whole voxels exactly, and back") {
  const auto [h, w] = GENERATE(table<int, int>({{1, -2}, {0, 3}, {-4, 0}, {9, 0}, {-3, 12}}));
  const auto& transform = GENERATE(as<const RandomAffine*>{}, &plain, &original);
  CAPTURE(h, w);
  const Image before = counting({7, 9});
  Image image = before.clone();
  const RandomAffine::Draw drawn{0, {0, 1}, {1, 1, 1}, {h, w, 0}};
  transform->apply(image, drawn);
  const auto inside = [&](std::int64_t i, std::int64_t j) { return i >= 0 && i < 7 && j >= 0 && j < 9; };
  for (std::int64_t i = 0; i < 7; ++i)
    for (std::int64_t j = 0; j < 9; ++j)
      CHECK(image.voxels[i * 9 + j] == (inside(i + h, j + w) ? before.voxels[(i + h) * 9 + j + w] : 0.0F));
  transform->invert(image, drawn);
  for (std::int64_t i = 0; i < 7; ++i)
    for (std::int64_t j = 0; j < 9; ++j)
      CHECK(image.voxels[i * 9 + j] == (inside(i - h, j - w) ? before.voxels[i * 9 + j] : 0.0F));
}

TEST_CASE("RandomAffine by hand: a scale of 2 doubles the size about the centre") {
  Image image = make({1, 5}, [](std::int64_t i) { return i; });
  plain.apply(image, {0, {0, 1}, {1, 2, 1}, {0, 0, 0}});
  const float expected[] = {1, 1.5F, 2, 2.5F, 3};
  for (std::int64_t i = 0; i < 5; ++i) CHECK(image.voxels[i] == Approx(expected[i]));
}

TEST_CASE("RandomAffine turns about the centre of the grid; the original about a point half a voxel off (B3.8)") {
  // Half a turn maps the grid onto itself about (n - 1) / 2; about n / 2 everything moves by one voxel.
  const Image before = counting({4, 4});
  const RandomAffine::Draw half{std::numbers::pi, {0, 1}, {1, 1, 1}, {0, 0, 0}};
  Image right = before.clone();
  plain.apply(right, half);
  for (std::int64_t i = 0; i < 16; ++i) CHECK(right.voxels[i] == Approx(before.voxels[15 - i]).epsilon(1e-6));
  Image off = before.clone();
  original.apply(off, half);
  CHECK(off.voxels[0] == 0);
  CHECK(off.voxels[5] == Approx(before.voxels[15]).epsilon(1e-6));
}

TEST_CASE("RandomAffine is undone better in one step than in the original's two") {
  const Image before = make({40, 40}, [](std::int64_t i) { return 1 + std::sin(static_cast<double>(i) / 200); });
  // The inverse of a shrinking map enlarges: undoing the rotation before the shift pushes voxels out that the shift
  // brings in.
  const RandomAffine::Draw drawn{0.3, {0, 1}, {0.8, 0.8, 1}, {6, -5, 0}};
  Image one = before.clone();
  Image two = before.clone();
  plain.apply(one, drawn);
  plain.invert(one, drawn);
  original.apply(two, drawn);
  original.invert(two, drawn);
  CAPTURE(non_zero(one), non_zero(two));
  CHECK(non_zero(one) > non_zero(two) + 50);
}

TEST_CASE("RandomAffine draws within its ranges, and reaches them") {
  const RandomAffine transform({{-5, 10}, {0.1, 0.2, 0.3}, {0.1, 0.05, 0.25}, false});
  const bool is_slice = GENERATE(true, false);
  const ivado::Shape spatial = is_slice ? ivado::Shape{40, 60} : ivado::Shape{40, 60, 8};
  std::set<std::array<int, 2>> planes;
  double lowest = 1e9;
  double highest = -1e9;
  std::array<double, 3> largest_scale{};
  std::array<std::int64_t, 3> largest_shift{};
  for (std::uint32_t number = 0; number < 500; ++number) {
    const auto drawn = draw(transform, spatial, number);
    REQUIRE(drawn == draw(transform, spatial, number));
    planes.insert(drawn.axes);
    lowest = std::min(lowest, drawn.angle_rad * 180 / std::numbers::pi);
    highest = std::max(highest, drawn.angle_rad * 180 / std::numbers::pi);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      largest_scale[axis] = std::max(largest_scale[axis], std::abs(drawn.scale[axis] - 1));
      largest_shift[axis] = std::max(largest_shift[axis], std::abs(drawn.translation_vox[axis]));
    }
  }
  CHECK(lowest >= -5);
  CHECK(lowest < -4.7);
  CHECK(highest <= 10);
  CHECK(highest > 9.7);
  CHECK(largest_scale[0] == Approx(0.1).epsilon(0.03));
  CHECK(largest_scale[1] == Approx(0.2).epsilon(0.03));
  CHECK(largest_shift[0] == 4);
  CHECK(largest_shift[1] == 3);
  if (is_slice) {
    CHECK(planes == std::set<std::array<int, 2>>{{0, 1}});
    CHECK(largest_scale[2] == 0);
    CHECK(largest_shift[2] == 0);
  } else {
    CHECK(planes.size() == 3);
    CHECK(largest_scale[2] == Approx(0.3).epsilon(0.03));
    CHECK(largest_shift[2] == 2);
  }
}

TEST_CASE("RandomAffine treats a volume of one slice as a slice") {
  const RandomAffine transform({30, {0.1, 0.1, 0.5}, {0.1, 0.1, 1}, false});
  for (std::uint32_t number = 0; number < 30; ++number) {
    const auto drawn = draw(transform, {9, 9, 1}, number);
    CHECK(drawn.axes == std::array<int, 2>{0, 1});
    CHECK(drawn.scale[2] == 1);
    CHECK(drawn.translation_vox[2] == 0);
    CHECK(drawn == draw(transform, {9, 9}, number));
  }
  Image volume = counting({9, 9, 1});
  Image slice = counting({9, 9});
  const auto drawn = draw(transform, {9, 9}, 1);
  transform.apply(volume, drawn);
  transform.apply(slice, drawn);
  CHECK(std::equal(volume.voxels.begin(), volume.voxels.end(), slice.voxels.begin()));
}

TEST_CASE("RandomAffine with a scale of 1 never draws a scale of 0") {
  const RandomAffine transform({0, {1, 1, 1}, {}, false});
  for (std::uint32_t number = 0; number < 200; ++number) CHECK(draw(transform, {8, 8, 8}, number).scale[0] >= 1e-3);
}

TEST_CASE("RandomAffine reads and writes the JSON of ivadomed") {
  const auto study = params_of(R"({"degrees": 5, "scale": [0.1, 0.2], "translate": [0.03, 0.04, 0.05]})");
  CHECK(study.degrees.low == -5);
  CHECK(study.degrees.high == 5);
  CHECK(study.scale.all() == std::array<double, 3>{0.1, 0.2, 0});
  CHECK(study.translate.all() == std::array<double, 3>{0.03, 0.04, 0.05});
  CHECK(ivado::to_json(study) ==
        Json::parse(R"({"degrees": 5, "scale": [0.1, 0.2], "translate": [0.03, 0.04, 0.05], "as_ivadomed": false})"));
  CHECK(ivado::same(params_of(ivado::to_json(study).dump().c_str()), study));
  const auto pair = params_of(R"({"degrees": [-3, 8], "scale": null})");
  CHECK(pair.degrees.low == -3);
  CHECK(ivado::to_json(pair)["degrees"] == Json::parse("[-3, 8]"));
  CHECK(ivado::to_json(params_of(R"({"degrees": [-4, 4]})"))["degrees"] == 4);
  CHECK(ivado::same(params_of("{}"), RandomAffine::Params{}));

  const auto text = [](const char* json) { return laws::error_text([&] { (void)params_of(json); }); };
  CHECK(laws::has(text(R"({"degrees": -5})"), "RandomAffine.degrees"));
  CHECK(laws::has(text(R"({"degrees": -5})"), "number >= 0"));
  CHECK(laws::has(text(R"({"degrees": [5, -5]})"), "pair [low, high]"));
  CHECK(laws::has(text(R"({"degrees": "5"})"), "pair"));
  CHECK(laws::has(text(R"({"scale": [0.1]})"), "two or three numbers in [0, 1]"));
  CHECK(laws::has(text(R"({"translate": [0.1, 1.5]})"), "RandomAffine.translate"));
  CHECK(laws::has(text(R"({"scale": 0.1})"), "RandomAffine.scale"));
  CHECK(laws::has(text(R"({"degree": 5})"), "degrees"));
}

TEST_CASE("RandomAffine refuses parameters that mean nothing") {
  CHECK(laws::has(laws::error_text([] { RandomAffine({{5, -5}, {}, {}, false}); }), "degrees"));
  CHECK(laws::has(laws::error_text([] {
                    RandomAffine({{0, std::numeric_limits<double>::infinity()}, {}, {}, false});
                  }),
                  "degrees"));
  CHECK(laws::has(laws::error_text([] { RandomAffine({5, {0.1, 1.2}, {}, false}); }), "1.2"));
  CHECK(laws::has(laws::error_text([] { RandomAffine({5, {}, {-0.1, 0}, false}); }), "[0, 1]"));
}
