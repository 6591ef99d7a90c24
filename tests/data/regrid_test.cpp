// Regrid: identity, whole voxels, flips and permuted axes exactly; oblique grids against a linear function.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <ivado/data/regrid.hpp>
#include <ivado/random.hpp>
#include <numbers>
#include <string>
#include <utility>

#include "../catch.hpp"

namespace {

using ivado::Array;
using ivado::Geometry;
using ivado::regrid;
using ivado::Shape;
using ivado::Volume;

/// A volume whose voxel (i, j, k) is `value(i, j, k)`.
template <class Value>
Volume make(const Geometry& geometry, const Value& value) {
  Volume out{Array<float>(Shape{geometry.shape[2], geometry.shape[1], geometry.shape[0]}), geometry, "float32",
             "a.nii"};
  const auto view = out.view();
  for (std::int64_t i = 0; i < geometry.shape[0]; ++i)
    for (std::int64_t j = 0; j < geometry.shape[1]; ++j)
      for (std::int64_t k = 0; k < geometry.shape[2]; ++k) view(i, j, k) = static_cast<float>(value(i, j, k));
  return out;
}

/// Different numbers that no rule would give.
Volume noise(const Geometry& geometry) {
  ivado::Rng rng(ivado::RandomKey{4});
  return make(geometry, [&](auto, auto, auto) { return rng.uniform_float() + 0.1F; });
}

/// A sheared, turned grid with spacing 0.5 × 2 × 3 mm somewhere in the world.
Geometry odd_grid(const Shape& shape) {
  Geometry out{shape};
  out.affine << 0.49, 0.1, -0.3, 12.25, -0.05, 1.98, 0.4, -41.5, 0.02, -0.2, 2.95, 7.125, 0, 0, 0, 1;
  return out;
}

/// The grid whose index (i, j, k) is index `matrix * (i, j, k, 1)` of another.
Geometry moved(const Geometry& geometry, const Shape& shape, const Eigen::Matrix4d& matrix) {
  return {shape, geometry.affine * matrix};
}

Eigen::Vector3d world(const Geometry& geometry, std::int64_t i, std::int64_t j, std::int64_t k) {
  return (geometry.affine * Eigen::Vector4d(static_cast<double>(i), static_cast<double>(j), static_cast<double>(k), 1))
      .head<3>();
}

}  // namespace

TEST_CASE("a volume on its own grid stays as it is, bit for bit", "[unit][regrid]") {
  const auto shape = GENERATE(Shape{5, 4, 3}, Shape{1, 7, 2}, Shape{1, 1, 1});
  const Volume volume = noise(odd_grid(shape));
  std::int64_t inside = 0;
  const Volume same = regrid(volume, volume.geometry, GENERATE(false, true), &inside);
  CHECK(same.voxels == volume.voxels);
  CHECK(inside == shape.size());
  CHECK(same.path == "a.nii");
  CHECK(same.stored_type == "float32");
  CHECK(same.geometry.affine == volume.geometry.affine);
}

TEST_CASE("a shift by whole voxels moves the values exactly, and brings zeros in", "[unit][regrid]") {
  const Volume volume = noise(odd_grid({6, 5, 4}));
  Eigen::Matrix4d shift = Eigen::Matrix4d::Identity();
  shift(0, 3) = 2;
  shift(1, 3) = -1;
  std::int64_t inside = 0;
  const Volume out = regrid(volume, moved(volume.geometry, {6, 5, 4}, shift), GENERATE(false, true), &inside);
  CHECK(inside == 4 * 4 * 4);
  for (std::int64_t i = 0; i < 6; ++i)
    for (std::int64_t j = 0; j < 5; ++j)
      for (std::int64_t k = 0; k < 4; ++k)
        REQUIRE(out.view()(i, j, k) == (i + 2 < 6 && j >= 1 ? volume.view()(i + 2, j - 1, k) : 0.0F));
}

TEST_CASE("flipped and permuted axes give the same values exactly", "[unit][regrid]") {
  const Volume volume = noise(odd_grid({6, 5, 4}));
  std::array<int, 3> axes{0, 1, 2};
  int number = 0;
  do {
    for (unsigned flips = 0; flips < 8; ++flips, ++number) {
      CAPTURE(axes, flips);
      Eigen::Matrix4d map = Eigen::Matrix4d::Zero();
      map(3, 3) = 1;
      Shape shape;
      for (int a = 0; a < 3; ++a) {
        const int source = axes[static_cast<std::size_t>(a)];
        const bool flip = (flips >> static_cast<unsigned>(a) & 1U) != 0;
        map(source, a) = flip ? -1 : 1;
        if (flip) map(source, 3) = static_cast<double>(volume.geometry.shape[source] - 1);
        shape.push_back(volume.geometry.shape[source]);
      }
      const auto target = moved(volume.geometry, shape, map);
      const auto expected = ivado::AxisMap{axes, {(flips & 1U) != 0, (flips & 2U) != 0, (flips & 4U) != 0}}.apply(
          std::as_const(volume).view());
      for (const bool nearest : {false, true}) {
        const Volume out = regrid(volume, target, nearest);
        REQUIRE(Array<float>::from(std::as_const(out).view()) == Array<float>::from(expected));
        // and back
        REQUIRE(regrid(out, volume.geometry, nearest).voxels == volume.voxels);
      }
    }
  } while (std::next_permutation(axes.begin(), axes.end()));
  CHECK(number == 48);
}

TEST_CASE("a linear function of the world is met exactly on an oblique grid", "[unit][regrid]") {
  const auto value = [](const Eigen::Vector3d& point_mm) {
    return 3 + 0.7 * point_mm.x() - 1.3 * point_mm.y() + 0.25 * point_mm.z();
  };
  const Geometry source = odd_grid({14, 12, 10});
  const Volume volume = make(source, [&](auto i, auto j, auto k) { return value(world(source, i, j, k)); });
  // A grid turned by 20 degrees about the middle of the volume, with other spacing.
  Geometry target{{9, 8, 7}};
  const double angle = 20 * std::numbers::pi / 180;
  target.affine.topLeftCorner<3, 3>() =
      (Eigen::AngleAxisd(angle, Eigen::Vector3d(1, 2, 3).normalized()) * Eigen::Scaling(0.8, 0.9, 1.1)).linear();
  const Eigen::Vector4d middle_vox(6.5, 5.5, 4.5, 1);
  const Eigen::Vector4d own_middle_vox(4, 3.5, 3, 0);
  target.affine.block<3, 1>(0, 3) = ((source.affine * middle_vox) - target.affine * own_middle_vox).head<3>();
  std::int64_t inside = 0;
  const Volume out = regrid(volume, target, false, &inside);
  const Eigen::Matrix4d to_source = source.affine.inverse() * target.affine;
  std::int64_t between = 0;
  for (std::int64_t i = 0; i < 9; ++i)
    for (std::int64_t j = 0; j < 8; ++j)
      for (std::int64_t k = 0; k < 7; ++k) {
        const Eigen::Vector3d index =
            (to_source * Eigen::Vector4d(static_cast<double>(i), static_cast<double>(j), static_cast<double>(k), 1))
                .head<3>();
        const bool is_between = (index.array() >= 0).all() && index.x() <= 13 && index.y() <= 11 && index.z() <= 9;
        if (!is_between) continue;
        ++between;
        // Tolerance: values up to about 80 in float32.
        REQUIRE(out.view()(i, j, k) == Approx(value(world(target, i, j, k))).margin(2e-5));
      }
  CHECK(between > 150);
  CHECK(inside >= between);
  CHECK(inside < 9 * 8 * 7);  // some of it is outside, and 0
}

TEST_CASE("the field of view reaches half a voxel beyond the border; outside is 0", "[unit][regrid]") {
  Geometry line{{4, 1, 1}};
  const Volume volume = make(line, [](auto i, auto, auto) { return i + 1; });  // 1 2 3 4 at 0 1 2 3 mm
  Geometry fine{{20, 1, 1}};
  fine.affine(0, 0) = 0.25;
  fine.affine(0, 3) = -0.75;
  const auto at = [&](const Volume& out, double place_mm) {
    return out.voxels[static_cast<std::int64_t>(std::lround((place_mm + 0.75) * 4))];
  };
  const Volume linear = regrid(volume, fine, false);
  CHECK(at(linear, -0.75) == 0);
  CHECK(at(linear, -0.5) == 1);
  CHECK(at(linear, -0.25) == 1);
  CHECK(at(linear, 0.25) == 1.25F);
  CHECK(at(linear, 2.75) == 3.75F);
  CHECK(at(linear, 3.5) == 4);
  CHECK(at(linear, 3.75) == 0);
  const Volume nearest = regrid(volume, fine, true);
  CHECK(at(nearest, -0.5) == 1);
  CHECK(at(nearest, 0.25) == 1);
  CHECK(at(nearest, 0.5) == 2);  // halves go up
  CHECK(at(nearest, 1.25) == 2);
  CHECK(at(nearest, 3.5) == 4);
  CHECK(at(nearest, 3.75) == 0);

  // A single slice is as thick as its spacing says.
  Geometry slice{{1, 1, 1}};
  slice.affine(0, 0) = 5;
  std::int64_t inside = 0;
  (void)regrid(make(slice, [](auto, auto, auto) { return 1; }), Geometry{{7, 1, 1}}, false, &inside);
  CHECK(inside == 3);  // 0, 1 and 2 mm

  Geometry far = fine;
  far.affine(2, 3) = 100;
  (void)regrid(volume, far, true, &inside);
  CHECK(inside == 0);
}

TEST_CASE("labels are not mixed: every value of the result is one of the volume", "[unit][regrid]") {
  const Volume volume = make(odd_grid({8, 7, 6}), [](auto i, auto j, auto k) { return (i + 2 * j + 3 * k) % 5 * 10; });
  Geometry target{{9, 9, 9}};
  target.affine.block<3, 1>(0, 3) = world(volume.geometry, 1, 1, 1);
  for (const float value : regrid(volume, target, true).voxels)
    REQUIRE((value == 0 || value == 10 || value == 20 || value == 30 || value == 40));
}

TEST_CASE("a volume whose affine is singular is refused with its name", "[unit][regrid]") {
  Volume volume = noise(Geometry{{2, 2, 2}});
  const Geometry grid = volume.geometry;
  volume.geometry.affine.col(1) = volume.geometry.affine.col(0);
  CHECK_THROWS_WITH(regrid(volume, grid, false), Catch::Contains("a.nii") && Catch::Contains("singular"));
  volume.geometry.affine(0, 0) = NAN;
  CHECK_THROWS_WITH(regrid(volume, grid, true), Catch::Contains("not finite"));
}
