#include <array>
#include <cstdint>
#include <ivado/metric/foreground_box.hpp>
#include <utility>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

const auto is_foreground = [](float value) { return value >= 0.5F; };

VoxelBox box_of(const Array<float>& a, const Array<float>& b) {
  return foreground_box(a.view(), b.view(), is_foreground);
}

}  // namespace

TEST_CASE("the box around the foreground of two volumes", "[unit][foreground_box]") {
  Array<float> a = zeros({6, 7, 8});
  Array<float> b = zeros({6, 7, 8});
  CHECK(box_of(a, b).empty());
  a.view()(2, 3, 4) = 0.5F;
  VoxelBox box = box_of(a, b);
  CHECK(box.begin == std::array<std::int64_t, 3>{2, 3, 4});
  CHECK(box.end == std::array<std::int64_t, 3>{3, 4, 5});
  b.view()(0, 6, 1) = b.view()(0, 6, 7) = 1;
  a.view()(5, 0, 0) = 0.49F;
  box = box_of(a, b);
  CHECK(box.begin == std::array<std::int64_t, 3>{0, 3, 1});
  CHECK(box.end == std::array<std::int64_t, 3>{3, 7, 8});
  CHECK(box.extent(2) == 7);
  CHECK_FALSE(box.empty());
  const auto part = box.of(std::as_const(a).view());
  CHECK(part.shape() == Shape{3, 4, 7});
  CHECK(part(2, 0, 3) == 0.5F);
}

TEST_CASE("the box of views that are turned", "[unit][foreground_box]") {
  Array<float> a = zeros({4, 5, 6});
  a.view()(0, 1, 2) = 1;
  const auto view = std::as_const(a).view().permute({2, 0, 1}).flip(0);
  const VoxelBox box = foreground_box(view, view, is_foreground);
  CHECK(box.begin == std::array<std::int64_t, 3>{3, 0, 1});
  CHECK(box.end == std::array<std::int64_t, 3>{4, 1, 2});
}

TEST_CASE("an empty box is an empty view, and shapes that differ are refused", "[unit][foreground_box]") {
  const Array<float> a = zeros({2, 3, 4});
  CHECK(box_of(a, a).of(a.view()).size() == 0);
  CHECK_THROWS_WITH(box_of(a, zeros({2, 3, 5})), Contains("2x3x4") && Contains("2x3x5"));
  CHECK_THROWS_WITH(box_of(zeros({2, 3}), zeros({2, 3})), Contains("3 axes"));
}
