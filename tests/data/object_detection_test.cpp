// Boxes: turned, with a margin, on other grids, for whole patches; and never without a part of the object.
#include <ivado/data/object_detection.hpp>
#include <ivado/random.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

ObjectBox random_box(Rng& rng) {
  ObjectBox box;
  for (std::size_t a = 0; a < 3; ++a) {
    const auto extent = 1 + static_cast<std::int64_t>(rng.below(40));
    box.grid.push_back(extent);
    box.begin[a] = static_cast<std::int64_t>(rng.below(static_cast<std::uint32_t>(extent)));
    box.end[a] =
        box.begin[a] + 1 + static_cast<std::int64_t>(rng.below(static_cast<std::uint32_t>(extent - box.begin[a])));
  }
  return box;
}

bool contains(const ObjectBox& outer, const ObjectBox& inner) {
  for (std::size_t a = 0; a < 3; ++a)
    if (outer.begin[a] > inner.begin[a] || outer.end[a] < inner.end[a]) return false;
  return true;
}

}  // namespace

TEST_CASE("A box turns as the view of its grid does") {
  const ObjectBox box{{10, 20, 30}, {1, 2, 3}, {4, 6, 8}};
  const ObjectBox turned = turn_box(box, {{2, 0, 1}, {true, false, true}});
  CHECK(turned == ObjectBox{{30, 10, 20}, {22, 1, 14}, {27, 4, 18}});
  CHECK(turn_box(whole_box({10, 20, 30}), {{2, 0, 1}, {true, false, true}}) == whole_box({30, 10, 20}));

  Rng rng(RandomKey{7, 0, 0, 0});
  for (int round = 0; round < 200; ++round) {
    const ObjectBox one = random_box(rng);
    AxisMap map{{static_cast<int>(rng.below(3)), 0, 0}, {rng.bernoulli(0.5), rng.bernoulli(0.5), rng.bernoulli(0.5)}};
    map.axis[1] = (map.axis[0] + 1 + static_cast<int>(rng.below(2))) % 3;
    map.axis[2] = 3 - map.axis[0] - map.axis[1];
    Array<float> voxels = zeros(one.grid);
    for (auto i = one.begin[0]; i < one.end[0]; ++i)
      for (auto j = one.begin[1]; j < one.end[1]; ++j)
        for (auto k = one.begin[2]; k < one.end[2]; ++k) voxels.view()(i, j, k) = 1;
    const ObjectBox there = turn_box(one, map);
    const auto view = map.apply(voxels.view());
    REQUIRE(view.shape() == there.grid);
    bool is_same = true;
    for (std::int64_t i = 0; i < there.grid[0]; ++i)
      for (std::int64_t j = 0; j < there.grid[1]; ++j)
        for (std::int64_t k = 0; k < there.grid[2]; ++k) {
          const std::array<std::int64_t, 3> at{i, j, k};
          bool is_in = true;
          for (std::size_t a = 0; a < 3; ++a) is_in = is_in && at[a] >= there.begin[a] && at[a] < there.end[a];
          is_same = is_same && (view(i, j, k) == 1) == is_in;
        }
    CHECK(is_same);
    CHECK(turn_box(there, map.inverse()) == one);
  }
}

TEST_CASE("A safety factor widens a box about its centre, within the grid") {
  // 15 voxels · 1.5 are 22.5, of which ⌊7.5 / 2⌋ go before; 9 · 2 are 18, moved up from below 0; the third ends with
  // its grid and moves down.
  const ObjectBox wide = scale_box({{40, 40, 20}, {5, 3, 14}, {20, 12, 20}}, {1.5, 2, 2});
  CHECK(wide == ObjectBox{{40, 40, 20}, {2, 0, 8}, {24, 18, 20}});
  CHECK(scale_box({{5, 5, 5}, {1, 1, 1}, {4, 2, 5}}, {100, 1, 1}).end == std::array<std::int64_t, 3>{5, 2, 5});
  CHECK(scale_box({{5, 5, 5}, {1, 1, 4}, {4, 2, 5}}, {0.01, 0.5, 0.1}) == ObjectBox{{5, 5, 5}, {3, 2, 4}, {4, 3, 5}});
}

TEST_CASE("A factor of one or more and other resolutions lose no voxel of the object") {
  Rng rng(RandomKey{11, 0, 0, 0});
  for (int round = 0; round < 2000; ++round) {
    const ObjectBox box = random_box(rng);
    CHECK_NOTHROW(check_box(box, "testing"));
    CHECK(scale_box(box, {1, 1, 1}) == box);
    const std::array<double, 3> factor{rng.uniform(1, 3), rng.uniform(1, 3), rng.uniform(1, 1.1)};
    const ObjectBox wide = scale_box(box, factor);
    CHECK_NOTHROW(check_box(wide, "testing"));
    CHECK(contains(wide, box));
    const ObjectBox narrow = scale_box(box, {0.3, 0.7, 0.05});
    CHECK_NOTHROW(check_box(narrow, "testing"));

    Shape other;
    for (int a = 0; a < 3; ++a) other.push_back(1 + rng.below(60));
    const ObjectBox there = resample_box(box, other);
    CHECK_NOTHROW(check_box(there, "testing"));
    CHECK(contains(resample_box(there, box.grid), box));
    CHECK(resample_box(box, box.grid) == box);
  }
}

TEST_CASE("Patches cover a widened extent exactly, and it is the least such extent") {
  for (std::int64_t length = 1; length < 12; ++length)
    for (std::int64_t stride = 1; stride <= length; ++stride)
      for (std::int64_t extent = 1; extent < 40; ++extent) {
        const std::int64_t wide = resize_to_multiple(extent, stride, length);
        CHECK((wide >= extent && wide >= length && (wide - length) % stride == 0));
        CHECK((wide == length || wide - stride < extent));
      }
}

TEST_CASE("A box that cannot be is refused") {
  CHECK_THROWS_WITH(check_box({{4, 4}, {}, {1, 1, 1}}, "testing"), Contains("testing") && Contains("2 axes"));
  CHECK_THROWS_WITH(check_box({{4, 4, 4}, {0, 2, 0}, {1, 2, 1}}, "testing"), Contains("from 2 to 2 of 4"));
  CHECK_THROWS_WITH(check_box({{4, 4, 4}, {0, 0, -1}, {1, 2, 1}}, "testing"), Contains("from -1 to 1"));
  CHECK_THROWS_WITH(check_box({{4, 4, 4}, {0, 0, 0}, {1, 5, 1}}, "testing"), Contains("to 5 of 4"));
  CHECK_THROWS_WITH(resample_box({{4, 4}, {}, {1, 1, 1}}, {4, 4, 4}), Contains("2 axes"));
}
