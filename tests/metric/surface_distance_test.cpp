#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <ivado/metric/surface_distance.hpp>
#include <ivado/random.hpp>
#include <limits>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Array<float> box_mask(const Shape& shape, std::array<std::int64_t, 3> begin, std::array<std::int64_t, 3> end) {
  Array<float> out = zeros(shape);
  for (auto i = begin[0]; i < end[0]; ++i)
    for (auto j = begin[1]; j < end[1]; ++j)
      for (auto k = begin[2]; k < end[2]; ++k) out.view()(i, j, k) = 1;
  return out;
}

double area(const std::vector<SurfaceElement>& side) {
  double sum = 0;
  for (const auto& element : side) sum += element.area_mm2;
  return sum;
}

SurfaceDistances distances(const Array<float>& p, const Array<float>& g, const std::array<double, 3>& spacing) {
  return surface_distances(p.view(), g.view(), spacing);
}

}  // namespace

TEST_CASE("the area of a cell is that of the polygons through the middles of its cut edges", "[unit][surface]") {
  const std::array<double, 3> one{1, 1, 1};
  const std::array<double, 3> spacing{0.5, 2, 3};  // along axis 0, 1, 2; bit a of a corner is its place along axis a
  CHECK(detail::cell_area(0, one) == 0);
  CHECK(detail::cell_area(255, one) == 0);
  // Half of the corners along an axis: a rectangle.
  CHECK(detail::cell_area(0b01010101, spacing) == Approx(6));
  CHECK(detail::cell_area(0b00110011, spacing) == Approx(1.5));
  CHECK(detail::cell_area(0b00001111, spacing) == Approx(1));
  // One corner: the triangle of three middles.
  CHECK(detail::cell_area(1, one) == Approx(std::sqrt(3.0) / 8));
  CHECK(detail::cell_area(1, spacing) == Approx(0.5 * std::hypot(1.5, 0.375, 0.25)));
  // An edge along axis 2 (corners 0 and 4): a rectangle across the corner.
  CHECK(detail::cell_area(0b00010001, spacing) == Approx(3 * std::hypot(0.25, 1)));
  // Two opposite corners: two triangles.
  CHECK(detail::cell_area(0b10000001, one) == Approx(std::sqrt(3.0) / 4));
  // A tetrahedron of corners, four of which no two touch: four triangles.
  CHECK(detail::cell_area(0b01101001, one) == Approx(std::sqrt(3.0) / 2));
}

TEST_CASE("areas of cells do not depend on how the cell is turned", "[unit][surface]") {
  const std::array<double, 3> one{1, 1, 1};
  for (unsigned code = 0; code < 256; ++code) {
    unsigned mirrored = 0;
    unsigned turned = 0;
    for (unsigned corner = 0; corner < 8; ++corner) {
      if ((code >> corner & 1U) == 0) continue;
      mirrored |= 1U << (corner ^ 1U);
      turned |= 1U << ((corner << 1 & 7U) | corner >> 2);
    }
    INFO(code);
    CHECK(detail::cell_area(mirrored, one) == Approx(detail::cell_area(code, one)));
    CHECK(detail::cell_area(turned, one) == Approx(detail::cell_area(code, one)));
    CHECK((detail::cell_area(code, one) > 0) == (code != 0 && code != 255));
  }
}

TEST_CASE("the surface of a cuboid", "[unit][surface]") {
  const auto mask = box_mask({9, 9, 9}, {2, 3, 0}, {6, 6, 9});  // it ends where the array ends
  const auto found = distances(mask, mask, {1, 1, 1});
  // Faces between the middles, the edges cut off at 45°, and 8 corners.
  const double faces = 2 * (3 * 2 + 3 * 8 + 2 * 8);
  const double edges = 4 * (3 + 2 + 8) * std::sqrt(0.5);
  CHECK(area(found.of_prediction()) == Approx(faces + edges + std::sqrt(3.0)));
  CHECK(found.of_prediction().size() == 5 * 4 * 10 - 3 * 2 * 8);
  CHECK(found.hausdorff_mm() == 0);
  CHECK(found.hausdorff_mm(95) == 0);
  CHECK(found.average_mm() == 0);
  CHECK(found.surface_dice(0) == 1);
}

TEST_CASE("distances along one axis by hand", "[unit][surface]") {
  // Two intervals [2, 6) and [2, 8) on a line of 1.5 mm: ends at 2 and 6, 2 and 8.
  const auto p = box_mask({12, 1, 1}, {2, 0, 0}, {6, 1, 1});
  const auto g = box_mask({12, 1, 1}, {2, 0, 0}, {8, 1, 1});
  const auto found = distances(p, g, {1.5, 2, 4});
  REQUIRE(found.of_prediction().size() == 2);
  CHECK(found.of_prediction()[0].distance_mm == 0);
  CHECK(found.of_prediction()[1].distance_mm == Approx(3));
  CHECK(found.of_truth()[1].area_mm2 == Approx(8));
  CHECK(found.hausdorff_mm() == Approx(3));
  CHECK(found.hausdorff_mm(95) == Approx(3));
  CHECK(found.hausdorff_mm(50) == 0);
  CHECK(found.average_mm() == Approx(1.5));
  CHECK(found.surface_dice(2.9) == 0.5);
  CHECK(found.surface_dice(3) == 1);
  CHECK(found.surface_dice(0) == 0.5);
}

TEST_CASE("shifted cubes: the distance is the shift, in mm", "[unit][surface]") {
  const auto p = box_mask({30, 20, 20}, {4, 4, 4}, {14, 14, 14});
  const auto g = box_mask({30, 20, 20}, {7, 4, 4}, {17, 14, 14});
  const auto found = distances(p, g, {2, 1, 1});
  CHECK(found.hausdorff_mm() == Approx(6));
  CHECK(found.hausdorff_mm(95) == Approx(6));  // 81 of about 540 mm² lie so far away: more than 5 %
  CHECK(found.average_mm() > 0);
  CHECK(found.average_mm() < 6);
  CHECK(found.surface_dice(6) == 1);
  CHECK(found.surface_dice(5.9) < 1);
  const auto swapped = distances(g, p, {2, 1, 1});
  CHECK(swapped.average_mm() == Approx(found.average_mm()));
  CHECK(swapped.hausdorff_mm(95) == found.hausdorff_mm(95));
  CHECK(swapped.surface_dice(1) == Approx(found.surface_dice(1)));
}

TEST_CASE("an image of one slice is measured along its contours, whichever axis is the flat one", "[unit][surface]") {
  const auto p = box_mask({1, 20, 20}, {0, 4, 4}, {1, 14, 14});
  const auto g = box_mask({1, 20, 20}, {0, 4, 6}, {1, 14, 16});
  const auto found = distances(p, g, {8, 1, 1});
  CHECK(found.of_prediction().size() == 40);
  CHECK(area(found.of_prediction()) == Approx(8 * (4 * 9 + 4 * std::sqrt(0.5))));
  CHECK(found.hausdorff_mm() == Approx(2));
  const auto other = surface_distances(p.view().permute({1, 2, 0}), g.view().permute({1, 2, 0}), {1, 1, 8});
  CHECK(other.average_mm() == Approx(found.average_mm()));
  CHECK(other.surface_dice(1) == Approx(found.surface_dice(1)));
  // The same in 3-D, as thick slabs, has far more surface.
  const auto inside = distances(box_mask({3, 20, 20}, {1, 4, 4}, {2, 14, 14}),
                                box_mask({3, 20, 20}, {1, 4, 6}, {2, 14, 16}), {8, 1, 1});
  CHECK(inside.of_prediction().size() == 2 * 121);
}

TEST_CASE("the box around the foreground does not change distances", "[unit][surface]") {
  Rng rng({5, 0, 0, stream_user});
  Array<float> p = zeros({6, 7, 8});
  Array<float> g = zeros({6, 7, 8});
  for (float& value : p) value = rng.bernoulli(0.2) ? 1.0F : 0.2F;
  for (float& value : g) value = rng.bernoulli(0.2) ? 0.5F : 0.0F;
  Array<float> wide_p = zeros({20, 17, 12});
  Array<float> wide_g = zeros({20, 17, 12});
  const auto place = [](Array<float>& wide) { return wide.view().narrow(0, 9, 6).narrow(1, 2, 7).narrow(2, 3, 8); };
  copy(p.view(), place(wide_p));
  copy(g.view(), place(wide_g));
  const auto found = distances(p, g, {0.5, 1, 2});
  const auto wide = distances(wide_p, wide_g, {0.5, 1, 2});
  for (const double percentile : {0.0, 50.0, 95.0, 100.0})
    CHECK(wide.hausdorff_mm(percentile) == found.hausdorff_mm(percentile));
  CHECK(wide.average_mm() == found.average_mm());
  CHECK(wide.surface_dice(1) == found.surface_dice(1));
}

TEST_CASE("distances to nothing", "[unit][surface]") {
  const auto nothing = zeros({5, 5, 5});
  const auto something = box_mask({5, 5, 5}, {1, 1, 1}, {3, 3, 3});
  const auto both = distances(nothing, nothing, {1, 1, 1});
  CHECK(std::isnan(both.hausdorff_mm()));
  CHECK(std::isnan(both.average_mm()));
  CHECK(std::isnan(both.surface_dice(1)));
  for (const auto& one : {distances(something, nothing, {1, 1, 1}), distances(nothing, something, {1, 1, 1})}) {
    CHECK(one.hausdorff_mm(95) == infinity);
    CHECK(one.average_mm() == infinity);
    CHECK(one.surface_dice(100) == 0);
  }
  const auto voxel = box_mask({1, 1, 1}, {0, 0, 0}, {1, 1, 1});
  CHECK(distances(voxel, voxel, {1, 1, 1}).surface_dice(0) == 1);
}

TEST_CASE("surface distances refuse what has no sense", "[unit][surface]") {
  const auto a = zeros({5, 5, 5});
  CHECK_THROWS_WITH(distances(a, zeros({5, 5, 4}), {1, 1, 1}), Contains("5x5x5") && Contains("5x5x4"));
  CHECK_THROWS_WITH(distances(zeros({5, 5}), zeros({5, 5}), {1, 1, 1}), Contains("[i, j, k]"));
  CHECK_THROWS_WITH(distances(a, a, {1, 0, 1}), Contains("spacing is 0 mm"));
}
