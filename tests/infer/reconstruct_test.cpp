#include <algorithm>
#include <array>
#include <ivado/infer/reconstruct.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

/// The affine of a grid whose voxel axis `a` runs along world axis `world[a]`, to its positive or negative end.
Geometry oriented(const Shape& shape, const std::array<int, 3>& world, int flips) {
  Geometry geometry{shape, Eigen::Matrix4d::Zero()};
  for (int a = 0; a < 3; ++a)
    geometry.affine(world[static_cast<std::size_t>(a)], a) = ((flips >> a & 1) != 0 ? -1 : 1) * (0.5 + a);
  geometry.affine(0, 3) = 10;
  geometry.affine(3, 3) = 1;
  return geometry;
}

/// A prediction in which every voxel has a value of its own.
Array<float> numbered(const Shape& shape) {
  Array<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i + 1) / static_cast<float>(out.size());
  return out;
}

/// Slice `d` of the (H, W, D) volume of every class, as a model would predict it.
Image slice_of(const Array<float>& voxels, const AxisMap& map, std::int64_t d) {
  const Shape hwd = map.apply(voxels.view().select(0, 0)).shape();
  Image image{Array<float>({voxels.extent(0), hwd[0], hwd[1]}), Kind::label, {1, 1, 1}};
  for (std::int64_t c = 0; c < voxels.extent(0); ++c)
    copy(map.apply(voxels.view().select(0, c)).select(2, d), image.voxels.view().select(0, c));
  return image;
}

Image filled(const Shape& shape, float value) { return {Array<float>(shape, value), Kind::label, {1, 1, 1}}; }

const Geometry ras{{4, 5, 3}, Eigen::Matrix4d::Identity()};

}  // namespace

TEST_CASE("slices put together are the volume, for all 48 orientations and 3 slice axes", "[unit][infer]") {
  std::array<int, 3> world{0, 1, 2};
  int orientations = 0;
  do {
    for (int flips = 0; flips < 8; ++flips) {
      ++orientations;
      const Geometry geometry = oriented({3, 5, 7}, world, flips);
      const auto voxels = numbered({2, 3, 5, 7});
      for (const Axis axis : {Axis::sagittal, Axis::coronal, Axis::axial}) {
        const AxisMap map = file_to_hwd(geometry.affine, axis);
        const Shape hwd = map.apply(voxels.view().select(0, 0)).shape();
        Reconstructor slices;
        slices.expect(4, hwd[2]);
        for (std::int64_t d = hwd[2] - 1; d >= 0; --d)  // the order does not matter
          slices.add({4, static_cast<std::int32_t>(d)}, slice_of(voxels, map, d));
        REQUIRE(slices.is_complete(4));
        const Prediction found = slices.finish(4, geometry, axis);
        CHECK(found.voxels == voxels);
        CHECK_FALSE(found.is_mask);
        CHECK(found.spacing_mm == std::array<double, 3>{0.5, 1.5, 2.5});

        Image whole{Array<float>({2, hwd[0], hwd[1], hwd[2]}), Kind::label, {1, 1, 1}};
        for (std::int64_t c = 0; c < 2; ++c)
          copy(map.apply(voxels.view().select(0, c)), whole.voxels.view().select(0, c));
        slices.add({4, -1}, std::move(whole));
        CHECK(slices.finish(4, geometry, axis).voxels == voxels);
      }
    }
  } while (std::next_permutation(world.begin(), world.end()));
  CHECK(orientations == 48);
}

TEST_CASE("volumes stay apart even where their last slice never comes", "[unit][infer]") {
  // ivadomed would put the slices of volume 0 into volume 1 here (known-problems B6.1).
  Reconstructor slices;
  slices.expect(0, 2);
  slices.expect(1, 1);
  slices.add({0, 0}, filled({1, 4, 5}, 0.25F));
  slices.add({1, 1}, filled({1, 4, 5}, 0.75F));
  slices.add({0, 1}, filled({1, 4, 5}, 0.5F));
  CHECK(slices.is_complete(0));
  CHECK(slices.is_complete(1));
  CHECK_FALSE(slices.is_complete(2));
  const Prediction first = slices.finish(0, ras, Axis::axial);
  const Prediction second = slices.finish(1, ras, Axis::axial);
  CHECK(first.voxels.view()(0, 3, 4, 0) == 0.25F);
  CHECK(first.voxels.view()(0, 3, 4, 1) == 0.5F);
  CHECK(first.voxels.view()(0, 3, 4, 2) == 0);
  CHECK(second.voxels.view()(0, 0, 0, 0) == 0);
  CHECK(second.voxels.view()(0, 0, 0, 1) == 0.75F);
  CHECK(second.voxels.view()(0, 0, 0, 2) == 0);
}

TEST_CASE("the memory of a volume is given back when it is finished", "[unit][infer]") {
  Reconstructor slices;
  slices.add({0, 0}, filled({1, 4, 5}, 1));
  slices.add({1, 0}, filled({1, 4, 5}, 1));
  CHECK(slices.bytes() == 2 * 4 * 5 * sizeof(float));
  CHECK(slices.volumes_pending() == 2);
  (void)slices.finish(0, ras, Axis::axial);
  CHECK(slices.bytes() == 4 * 5 * sizeof(float));
  CHECK(slices.volumes_pending() == 1);
  (void)slices.finish(1, ras, Axis::axial);
  CHECK(slices.bytes() == 0);
}

TEST_CASE("low values are kept, unless as ivadomed", "[unit][infer]") {
  const auto run = [](bool as_ivadomed) {
    Reconstructor slices({as_ivadomed});
    Image image = filled({1, 4, 5}, 0.5F);
    image.voxels[0] = 0.0099F;
    image.voxels[1] = 0.0101F;
    slices.add({0, 0}, std::move(image));
    return slices.finish(0, ras, Axis::axial);
  };
  CHECK(run(false).voxels.view()(0, 0, 0, 0) == 0.0099F);
  const Prediction old = run(true);
  CHECK(old.voxels.view()(0, 0, 0, 0) == 0);
  CHECK(old.voxels.view()(0, 0, 1, 0) == 0.0101F);
}

TEST_CASE("a volume without a slice is empty once its classes are known", "[unit][infer]") {
  Reconstructor slices;
  slices.expect(0, 0);
  CHECK(slices.is_complete(0));
  CHECK_THROWS_WITH(slices.finish(0, ras, Axis::axial), Contains("volume 0") && Contains("number of classes"));
  const Prediction empty = slices.finish(0, ras, Axis::axial, 2);
  CHECK(empty.voxels == zeros({2, 4, 5, 3}));
  CHECK(slices.volumes_pending() == 0);
}

TEST_CASE("predictions that do not fit are refused, with both sizes", "[unit][infer]") {
  Reconstructor slices;
  SECTION("axes against origin") {
    CHECK_THROWS_WITH(slices.add({0, 1}, filled({1, 4, 5, 3}, 0)), Contains("slice 1") && Contains("[class, H, W]"));
    CHECK_THROWS_WITH(slices.add({0, -1}, filled({1, 4, 5}, 0)),
                      Contains("whole volume") && Contains("[class, H, W, D]"));
  }
  SECTION("two slices") {
    slices.add({3, 0}, filled({1, 4, 5}, 0));
    CHECK_THROWS_WITH(slices.add({3, 1}, filled({2, 4, 5}, 0)),
                      Contains("volume 3") && Contains("2x4x5") && Contains("1x4x5"));
    CHECK_THROWS_WITH(slices.add({3, 0}, filled({1, 4, 5}, 0)), Contains("slice 0") && Contains("twice"));
    CHECK_THROWS_WITH(slices.add({3, -1}, filled({1, 4, 5, 3}, 0)), Contains("after that of a slice"));
  }
  SECTION("a slice after the whole") {
    slices.add({3, -1}, filled({1, 4, 5, 3}, 0));
    CHECK_THROWS_WITH(slices.add({3, 0}, filled({1, 4, 5}, 0)), Contains("after that of the whole volume"));
    CHECK_THROWS_WITH(slices.finish(3, {{4, 5, 6}, Eigen::Matrix4d::Identity()}, Axis::axial),
                      Contains("4x5x3") && Contains("4x5x6"));
  }
  SECTION("the image") {
    slices.add({3, 3}, filled({1, 4, 5}, 0));
    CHECK_THROWS_WITH(slices.finish(3, ras, Axis::axial), Contains("slice 3") && Contains("the image has 3"));
    CHECK_THROWS_WITH(slices.finish(3, ras, Axis::sagittal), Contains("4x5") && Contains("3x5"));
    CHECK_THROWS_WITH(slices.finish(3, {{4, 5}, Eigen::Matrix4d::Identity()}, Axis::axial), Contains("three axes"));
    CHECK_THROWS_WITH(slices.finish(3, {{4, 5, 9}, Eigen::Matrix4d::Identity()}, Axis::axial, 2),
                      Contains("1 classes, expected 2"));
    CHECK(slices.bytes() > 0);  // a refusal loses nothing
    CHECK(slices.finish(3, {{4, 5, 9}, Eigen::Matrix4d::Identity()}, Axis::axial).voxels.extent(3) == 9);
  }
  SECTION("numbers announced") {
    slices.expect(3, 2);
    slices.add({3, 0}, filled({1, 4, 5}, 0));
    CHECK_THROWS_WITH(slices.finish(3, ras, Axis::axial), Contains("1 of 2 predictions"));
    CHECK_THROWS_WITH(slices.expect(3, 0), Contains("1 predictions came, 0 are announced"));
    slices.add({3, 1}, filled({1, 4, 5}, 0));
    CHECK_THROWS_WITH(slices.add({3, 2}, filled({1, 4, 5}, 0)), Contains("more than the 2 announced"));
  }
}
