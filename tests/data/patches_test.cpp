// Patches: every voxel covered for any size and stride, the starts of ivadomed, zeros around what is small, the filter.
#include <algorithm>
#include <array>
#include <cstdint>
#include <ivado/data/patches.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;
using Starts = std::vector<std::int64_t>;

namespace {

/// A prepared sample of one channel and two classes, 4 × 6, where class 0 is at (0, 0) and class 1 at (3, 5).
Sample unit_of_two_classes() {
  Sample sample;
  sample.image.voxels = Array<float>({1, 4, 6}, 7);
  sample.image.voxels[2 * 6 + 1] = 8;  // (2, 1)
  sample.label.voxels = zeros({2, 4, 6});
  sample.label.voxels[0] = 0.75F;
  sample.label.voxels[24 + 3 * 6 + 5] = 0.25F;
  return sample;
}

}  // namespace

TEST_CASE("patches begin where the reference says", "[unit][patches]") {
  CHECK(patch_starts(8, 4, 3) == Starts{0, 3, 4});
  CHECK(patch_starts(8, 4, 4) == Starts{0, 4});
  CHECK(patch_starts(8, 8, 1) == Starts{0});
  CHECK(patch_starts(9, 4, 4) == Starts{0, 4, 5});
  CHECK(patch_starts(128, 64, 32) == Starts{0, 32, 64});
  CHECK(patch_starts(188, 128, 128) == Starts{0, 60});    // golden values: coordinates 0 and 60
  CHECK(patch_starts(10, 3, 100) == Starts{0, 3, 6, 7});  // a stride above the length leaves no gap
  // Smaller than the patch: in the middle of zeros, the halves as CenterCrop has them (11 to 14 begins at -2).
  CHECK(patch_starts(11, 14, 14) == Starts{-2});
  CHECK(patch_starts(4, 6, 1) == Starts{-1});
  CHECK(patch_starts(1, 2, 1) == Starts{0});
  CHECK_THROWS_WITH(patch_starts(0, 4, 1), Contains("extent 0, length 4, stride 1"));
  CHECK_THROWS_AS(patch_starts(4, 4, 0), Error);
}

TEST_CASE("every voxel is in a patch, for any extent, length and stride", "[unit][patches]") {
  for (std::int64_t extent = 1; extent <= 23; ++extent)
    for (std::int64_t length = 1; length <= 25; ++length)
      for (std::int64_t stride = 1; stride <= 26; ++stride) {
        const auto starts = patch_starts(extent, length, stride);
        std::vector<int> covered(static_cast<std::size_t>(extent), 0);
        for (const auto start : starts)
          for (std::int64_t i = std::max<std::int64_t>(start, 0); i < std::min(start + length, extent); ++i)
            ++covered[static_cast<std::size_t>(i)];
        INFO("extent " << extent << " length " << length << " stride " << stride);
        REQUIRE(std::none_of(covered.begin(), covered.end(), [](int n) { return n == 0; }));
        REQUIRE(std::adjacent_find(starts.begin(), starts.end(), std::greater_equal<>()) == starts.end());
        if (extent >= length) {
          REQUIRE(starts.front() == 0);
          REQUIRE(starts.back() == extent - length);
          // No more patches than are needed at that distance.
          const std::int64_t step = std::min(stride, length);
          REQUIRE(static_cast<std::int64_t>(starts.size()) == 1 + (extent - length + step - 1) / step);
        } else {
          REQUIRE(starts.size() == 1);
        }
      }
}

TEST_CASE("a grid lists its patches by rows", "[unit][patches]") {
  const PatchGrid grid({8, 5, 4}, {{4, 5, 2}, {3, 5, 2}});
  CHECK(grid.size() == 3 * 1 * 2);
  const std::array<std::array<std::int32_t, 3>, 6> expected{
      {{0, 0, 0}, {0, 0, 2}, {3, 0, 0}, {3, 0, 2}, {4, 0, 0}, {4, 0, 2}}};
  for (std::int64_t i = 0; i < 6; ++i) CHECK(grid[i] == expected[static_cast<std::size_t>(i)]);
  CHECK(grid.extent() == Shape{8, 5, 4});
  CHECK(grid.length() == Shape{4, 5, 2});
  CHECK(PatchGrid({8, 5}, {{4, 5}, {}}).size() == 2);  // side by side where no stride is given
  CHECK_THROWS_WITH(PatchGrid({8, 5}, {{4, 5, 2}, {}}), Contains("4x5x2") && Contains("8x5"));
}

TEST_CASE("the numbers of patches are checked", "[unit][patches]") {
  CHECK_NOTHROW(PatchSize{}.check(2));
  CHECK_NOTHROW((PatchSize{{4, 5}, {}}.check(2)));
  CHECK_THROWS_WITH((PatchSize{{4, 5}, {4}}.check(2)), Contains("stride_2D") && Contains("[4]") && Contains("H and W"));
  CHECK_THROWS_WITH((PatchSize{{4, 0, 5}, {}}.check(3)), Contains("length_3D") && Contains("[4, 0, 5]"));
  CHECK_THROWS_WITH((PatchSize{{}, {4, 4}}.check(2)), Contains("length_2D"));
  CHECK(PatchSize{{96, 64}, {96, 50}}.text() == "96x64 with stride 96x50");
  CHECK(PatchSize{{96, 64}, {200, 50}}.text() == "96x64 with stride 96x50");
  CHECK(PatchSize{{96, 64}, {}}.text() == "96x64 with stride 96x64");
}

TEST_CASE("ivadomed's conditions on patches", "[unit][patches]") {
  const auto allowed = [](const Shape& extent, const PatchSize& size) {
    return PatchGrid(extent, size).is_of_ivadomed(size);
  };
  CHECK(allowed({128, 128, 16}, {{32, 32, 16}, {32, 32, 16}}));
  CHECK_FALSE(allowed({128, 128, 16}, {{32, 32, 16}, {30, 32, 16}}));  // 96 is no multiple of 30
  CHECK_FALSE(allowed({120, 128, 16}, {{24, 32, 16}, {24, 32, 16}}));  // 24 is none of 16
  CHECK_FALSE(allowed({128, 128, 8}, {{32, 32, 16}, {32, 32, 16}}));   // larger than the volume
  CHECK(allowed({188, 100}, {{96, 64}, {96, 50}}));
  CHECK_FALSE(allowed({188, 50}, {{96, 64}, {96, 50}}));
  CHECK_FALSE(allowed({188, 100}, {{64, 64}, {96, 50}}));  // gaps
}

TEST_CASE("a patch holds the voxels of its place, and zeros outside of the grid", "[unit][patches]") {
  Array<float> voxels({2, 3, 4, 5});
  for (std::int64_t i = 0; i < voxels.size(); ++i) voxels[i] = static_cast<float>(i + 1);
  const std::array<std::int32_t, 3> start{-1, 1, 2};
  const Shape length{5, 2, 3};
  const auto patch = detail::cut_patch(voxels, start, length);
  REQUIRE(patch.shape() == Shape{2, 5, 2, 3});
  for (std::int64_t c = 0; c < 2; ++c)
    for (std::int64_t h = 0; h < 5; ++h)
      for (std::int64_t w = 0; w < 2; ++w)
        for (std::int64_t d = 0; d < 3; ++d) {
          const bool inside = h - 1 >= 0 && h - 1 < 3;
          REQUIRE(patch.view()(c, h, w, d) == (inside ? voxels.view()(c, h - 1, w + 1, d + 2) : 0));
        }
  CHECK(detail::cut_patch(voxels, {0, 0, 0}, {3, 4, 5}) == voxels);
}

TEST_CASE("the filter judges the part of the grid that a patch covers", "[unit][patches]") {
  using detail::PatchFate;
  const Sample unit = unit_of_two_classes();
  const auto judge = [&](std::array<std::int32_t, 3> start, const Shape& length, const PatchFilter& filter, bool soft) {
    return detail::judge_patch(unit, start, length, filter, soft, false);
  };
  const PatchFilter mask{true, false, false};
  CHECK(judge({0, 0, 0}, {2, 2}, mask, false) == PatchFate::kept);
  CHECK(judge({0, 1, 0}, {2, 2}, mask, false) == PatchFate::empty_mask);
  CHECK(judge({2, 4, 0}, {2, 2}, mask, false) == PatchFate::empty_mask);  // 0.25 will be 0
  CHECK(judge({2, 4, 0}, {2, 2}, mask, true) == PatchFate::kept);         // but not as a soft label
  CHECK(judge({-1, -1, 0}, {2, 2}, mask, false) == PatchFate::kept);

  const PatchFilter absent{false, true, false};
  CHECK(judge({0, 0, 0}, {2, 2}, absent, true) == PatchFate::absent_class);
  CHECK(judge({0, 0, 0}, {4, 6}, absent, true) == PatchFate::kept);

  const PatchFilter input{false, false, true};
  CHECK(judge({0, 0, 0}, {2, 2}, input, false) == PatchFate::empty_input);
  CHECK(judge({1, 0, 0}, {2, 2}, input, false) == PatchFate::kept);
  CHECK(judge({0, 0, 0}, {2, 2}, {}, false) == PatchFate::kept);
  CHECK_FALSE(PatchFilter{}.is_any());

  Sample two_channels = unit_of_two_classes();
  two_channels.image.voxels = zeros({2, 4, 6});
  two_channels.image.voxels[0] = 1;
  two_channels.label = {};
  CHECK(detail::judge_patch(two_channels, {0, 0, 0}, {2, 2}, input, false, false) == PatchFate::empty_input);
  CHECK(detail::judge_patch(two_channels, {0, 0, 0}, {2, 2}, input, false, true) == PatchFate::kept);
  CHECK(detail::judge_patch(two_channels, {0, 0, 0}, {2, 2}, mask, false, true) == PatchFate::kept);  // no labels
}
