// Orientation: closest RAS+ axes, axis codes, (H, W, D), distances of corners.
#include "ivado/data/geometry.hpp"

#include <Eigen/Geometry>
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "ivado/config/json.hpp"
#include "ivado/data/nifti_header.hpp"
#include "nifti_bytes.hpp"

using Catch::Matchers::Contains;
using ivado::Array;
using ivado::Axis;
using ivado::AxisMap;
using ivado::Geometry;
using ivado::Shape;

namespace {

/// All 48 ways to lay three voxel axes along the world's: "RAS", "LAS", … "IPL".
std::vector<std::string> all_codes() {
  std::vector<std::string> codes;
  std::array<int, 3> order{0, 1, 2};
  do {
    for (int flips = 0; flips < 8; ++flips) {
      std::string code;
      for (std::size_t a = 0; a < 3; ++a)
        code += ((flips >> a & 1) != 0 ? "LPI" : "RAS")[static_cast<std::size_t>(order[a])];
      codes.push_back(code);
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return codes;
}

/// The affine of a grid with these axis codes and distances along its axes.
Eigen::Matrix4d affine_of(const std::string& codes, const std::array<double, 3>& spacing) {
  Eigen::Matrix4d affine = Eigen::Matrix4d::Zero();
  affine.col(3) << 5, -7, 11, 1;
  for (std::size_t a = 0; a < 3; ++a) {
    const bool negative = codes[a] == 'L' || codes[a] == 'P' || codes[a] == 'I';
    const int world = codes[a] == 'R' || codes[a] == 'L' ? 0 : codes[a] == 'A' || codes[a] == 'P' ? 1 : 2;
    affine(world, static_cast<int>(a)) = negative ? -spacing[a] : spacing[a];
  }
  return affine;
}

Eigen::Matrix4d turned(const Eigen::Vector3d& axis, double degrees, const std::array<double, 3>& spacing = {1, 1, 1}) {
  Eigen::Matrix4d affine = Eigen::Matrix4d::Identity();
  affine.topLeftCorner<3, 3>() =
      Eigen::AngleAxisd(degrees * static_cast<double>(EIGEN_PI) / 180, axis).toRotationMatrix() *
      Eigen::Vector3d(spacing[0], spacing[1], spacing[2]).asDiagonal();
  return affine;
}

Array<float> counted(const Shape& shape) {
  Array<float> out(shape);
  std::iota(out.begin(), out.end(), 0.0F);
  return out;
}

std::array<std::int64_t, 3> extents(const Shape& shape) { return {shape[0], shape[1], shape[2]}; }

}  // namespace

TEST_CASE("there are 48 orientations, and each is named by its axes") {
  const auto codes = all_codes();
  CHECK(codes.size() == 48);
  for (const auto& code : codes) {
    CAPTURE(code);
    CHECK(ivado::axis_codes(affine_of(code, {0.7, 1.1, 5})) == code);
  }
}

TEST_CASE("every orientation turns to RAS+ and back") {
  const std::array<double, 3> spacing{0.7, 1.1, 5};
  const Shape shape{2, 3, 5};
  const Array<float> voxels = counted(shape);
  for (const auto& code : all_codes()) {
    CAPTURE(code);
    const Eigen::Matrix4d affine = affine_of(code, spacing);
    const AxisMap map = ivado::closest_ras(affine);
    const auto ras = map.apply(voxels.view());
    CHECK(ras.size() == voxels.size());
    // World coordinates grow along each axis of the result: the voxel at its (0, 0, 0) is the one with the least of
    // each.
    std::array<std::int64_t, 3> index{};
    for (std::size_t world = 0; world < 3; ++world)
      index[static_cast<std::size_t>(map.axis[world])] = map.flip[world] ? shape[map.axis[world]] - 1 : 0;
    CHECK(ras(0, 0, 0) == voxels.view()(index[0], index[1], index[2]));
    const Eigen::Vector4d least = affine * Eigen::Vector4d(static_cast<double>(index[0]), static_cast<double>(index[1]),
                                                           static_cast<double>(index[2]), 1);
    for (int corner = 0; corner < 8; ++corner) {
      Eigen::Vector4d other(0, 0, 0, 1);
      for (int a = 0; a < 3; ++a) other[a] = (corner >> a & 1) != 0 ? static_cast<double>(shape[a] - 1) : 0;
      CHECK(((affine * other - least).head<3>().array() >= -1e-12).all());
    }
    CHECK(map.inverse().inverse() == map);
    const auto back = map.inverse().apply(ras);
    CHECK(back.shape() == shape);
    CHECK(back.data() == voxels.data());
    CHECK(back.strides() == voxels.view().strides());
    CHECK(map.inverse().reorder(map.reorder(spacing)) == spacing);
    for (const Axis axis : {Axis::sagittal, Axis::coronal, Axis::axial}) {
      const AxisMap hwd = ivado::file_to_hwd(affine, axis);
      const auto one = hwd.apply(voxels.view());
      const auto two = ivado::ras_to_hwd(axis).apply(ras);
      CHECK(one.shape() == two.shape());
      CHECK(one.data() == two.data());
      CHECK(one.strides() == two.strides());
      CHECK(hwd.inverse().apply(one).data() == voxels.data());
      CHECK(hwd.inverse().apply(one).strides() == voxels.view().strides());
    }
  }
}

TEST_CASE("the example of the data reference: 6x8x10, spacing 1, 2, 3 mm, flipped left to right") {
  const Eigen::Matrix4d affine = affine_of("LAS", {1, 2, 3});
  const Array<float> voxels = counted(Shape{6, 8, 10});
  const auto [axis, shape, spacing] =
      GENERATE(table<Axis, Shape, std::array<double, 3>>({{Axis::sagittal, {10, 8, 6}, {3, 2, 1}},
                                                          {Axis::coronal, {10, 6, 8}, {3, 1, 2}},
                                                          {Axis::axial, {6, 8, 10}, {1, 2, 3}}}));
  const AxisMap map = ivado::file_to_hwd(affine, axis);
  const auto view = map.apply(voxels.view());
  CHECK(view.shape() == shape);
  CHECK(map.reorder(std::array<double, 3>{1, 2, 3}) == spacing);
  // Left-right is walked backwards, the others as they are: the first element is the file's (5, 0, 0).
  CHECK(view(0, 0, 0) == voxels.view()(5, 0, 0));
}

TEST_CASE("oblique grids go to the axes they are nearest to") {
  const Eigen::Vector3d x = Eigen::Vector3d::UnitX();
  const Eigen::Vector3d z = Eigen::Vector3d::UnitZ();
  CHECK(ivado::axis_codes(turned(x, 20, {2, 1.5, 3})) == "RAS");
  CHECK(ivado::axis_codes(turned(x, 44)) == "RAS");
  // Beyond 45 degrees j points up and k to the back.
  CHECK(ivado::axis_codes(turned(x, 46)) == "RSP");
  CHECK(ivado::axis_codes(turned(x, 135.5)) == "RPI");
  CHECK(ivado::axis_codes(turned(x, 180)) == "RPI");
  CHECK(ivado::axis_codes(turned(z, 60, {0.5, 0.5, 10})) == "ALS");
  CHECK(ivado::axis_codes(turned(z, -100)) == "PRS");
}

TEST_CASE("no world axis is given out twice") {
  // Two voxel axes of a sheared grid both lean to x most of all; the more certain one gets it.
  Eigen::Matrix4d affine = Eigen::Matrix4d::Identity();
  affine.col(0) << 1, 0.1, 0, 0;
  affine.col(1) << 0.8, 0.6, 0, 0;
  CHECK(ivado::axis_codes(affine) == "RAS");
  affine.col(0).swap(affine.col(1));
  CHECK(ivado::axis_codes(affine) == "ARS");
  // A turn about (1, 1, 1): each voxel axis has three shares of the world, and the codes are still a permutation.
  for (double degrees = 1; degrees < 360; degrees += 7.3) {
    const std::string codes = ivado::axis_codes(turned(Eigen::Vector3d(1, 1, 1).normalized(), degrees));
    CAPTURE(degrees, codes);
    CHECK(std::count_if(codes.begin(), codes.end(), [](char c) { return c == 'R' || c == 'L'; }) == 1);
    CHECK(std::count_if(codes.begin(), codes.end(), [](char c) { return c == 'A' || c == 'P'; }) == 1);
    CHECK(std::count_if(codes.begin(), codes.end(), [](char c) { return c == 'S' || c == 'I'; }) == 1);
  }
}

TEST_CASE("what was turned to RAS+ stays as it is") {
  // nibabel gave the axes out in their order in the file, and turned such grids a second time, until its pull request
  // 1450.
  for (int n = 0; n < 500; ++n) {
    const Eigen::Vector3d axis(std::sin(n), std::cos(1.7 * n), std::sin(0.3 * n + 1));
    const Eigen::Matrix4d affine = turned(axis.normalized(), 7.7 * n, {0.5, 1, 4});
    const AxisMap map = ivado::closest_ras(affine);
    Eigen::Matrix4d ras = affine;
    for (std::size_t a = 0; a < 3; ++a) ras.col(static_cast<int>(a)) = (map.flip[a] ? -1 : 1) * affine.col(map.axis[a]);
    CAPTURE(n);
    CHECK(ivado::axis_codes(ras) == "RAS");
    CHECK(ivado::closest_ras(ras) == AxisMap{});
  }
}

TEST_CASE("unequal spacing does not sway the orientation") {
  // Directions count, not lengths: k is long, but leans to y by less than half.
  CHECK(ivado::axis_codes(turned(Eigen::Vector3d::UnitX(), 30, {1, 1, 100})) == "RAS");
}

TEST_CASE("an affine without three directions cannot be oriented") {
  Eigen::Matrix4d affine = Eigen::Matrix4d::Identity();
  affine(1, 1) = 0;
  CHECK_THROWS_WITH(ivado::closest_ras(affine), Contains("voxel axis 1") && Contains("no length"));
  affine(1, 1) = NAN;
  CHECK_THROWS_WITH(ivado::closest_ras(affine), Contains("not finite"));
}

TEST_CASE("spacing is the length of the affine's columns") {
  const auto spacing = Geometry{{4, 5, 6}, turned(Eigen::Vector3d(1, 2, 3).normalized(), 33, {0.5, 2, 7})}.spacing_mm();
  CHECK(spacing[0] == Approx(0.5));
  CHECK(spacing[1] == Approx(2));
  CHECK(spacing[2] == Approx(7));
}

TEST_CASE("grids are compared at their corners, in mm") {
  const Geometry a{{11, 21, 31}, affine_of("RAS", {1, 1, 2})};
  Geometry b = a;
  CHECK(ivado::corner_distance_mm(a, b) == 0);
  b.affine(1, 3) += 0.25;
  CHECK(ivado::corner_distance_mm(a, b) == Approx(0.25));
  // 0.01 mm more a voxel makes 0.3 mm at the last of 31.
  b = a;
  b.affine(2, 2) += 0.01;
  CHECK(ivado::corner_distance_mm(a, b) == Approx(0.3));
  // A small turn about z moves the farthest corner, √(10² + 20²) mm away, by that times 2 sin(angle / 2).
  b.affine = turned(Eigen::Vector3d::UnitZ(), 0.1) * a.affine;
  b.affine.col(3) = a.affine.col(3);
  CHECK(ivado::corner_distance_mm(a, b) ==
        Approx(std::sqrt(500.0) * 2 * std::sin(0.05 * static_cast<double>(EIGEN_PI) / 180)));
  // One voxel is its only corner.
  CHECK(ivado::corner_distance_mm(Geometry{{1, 1, 1}, a.affine}, Geometry{{1, 1, 1}, b.affine}) == 0);
}

TEST_CASE("orientations of ivadomed") {
  const auto folder = test::golden_folder();
  if (folder.empty()) {
    WARN("skipped: the reference values are not here");
    return;
  }
  const ivado::Json slices = ivado::read_json((folder / "slices" / "slices.json").string());
  REQUIRE(!slices["orientation"].empty());
  for (const auto& one : slices["orientation"]) {
    const std::string codes = one["axcodes"];
    CAPTURE(codes);
    const auto zooms = one["zooms"].get<std::array<double, 3>>();
    const auto shape = one["shape"].get<std::array<std::int64_t, 3>>();
    const Eigen::Matrix4d affine = affine_of(codes, zooms);
    CHECK(ivado::axis_codes(affine) == codes);
    CHECK(ivado::closest_ras(affine).reorder(zooms) == one["canonical_zooms"].get<std::array<double, 3>>());
    for (const auto& [name, axis] :
         {std::pair{"sagittal", Axis::sagittal}, {"coronal", Axis::coronal}, {"axial", Axis::axial}}) {
      CAPTURE(name);
      const AxisMap map = ivado::file_to_hwd(affine, axis);
      const Array<float> voxels = counted(Shape{shape[0], shape[1], shape[2]});
      CHECK(extents(map.apply(voxels.view()).shape()) == one["hwd"][name]["shape"].get<std::array<std::int64_t, 3>>());
      CHECK(map.reorder(zooms) == one["hwd"][name]["zooms"].get<std::array<double, 3>>());
    }
  }
}

TEST_CASE("grids of ivadomed's images") {
  const auto golden = test::golden_folder();
  const auto data = test::data_folder();
  if (golden.empty() || data.empty()) {
    WARN("skipped: the reference values or the data are not here");
    return;
  }
  const ivado::Json slices = ivado::read_json((golden / "slices" / "slices.json").string());
  REQUIRE(!slices["files"].empty());
  for (const auto& [key, file] : slices["files"].items()) {
    CAPTURE(key);
    const std::string contrast = key.substr(0, key.find('.'));
    const std::string name = key.substr(key.find('.') + 1);
    const Axis axis = name == "sagittal" ? Axis::sagittal : name == "coronal" ? Axis::coronal : Axis::axial;
    const auto path = data / "spinalcord" / "sub-unf01" / "anat" / ("sub-unf01_" + contrast + ".nii.gz");
    const Geometry grid = ivado::read_nifti_header(path.string()).geometry();
    const AxisMap map = ivado::file_to_hwd(grid.affine, axis);
    CHECK(map.reorder(extents(grid.shape)) == file["image"]["shape"].get<std::array<std::int64_t, 3>>());
    const auto spacing = map.reorder(grid.spacing_mm());
    for (std::size_t a = 0; a < 3; ++a) CHECK(spacing[a] == Approx(file["zooms"][a].get<double>()).epsilon(1e-6));
  }
}
