// Merging patches: a volume cut and merged is the volume, weights by hand, memory by planes, and whole data sets back
// on the grid of their files.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <ivado/infer/merge.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

/// Numbers that fill the 24 bits of a float.
Array<float> noise(const Shape& shape) {
  Array<float> out(shape);
  std::uint32_t state = 12345;
  for (float& value : out) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) * 0x1p-24F - 0.25F;
  }
  return out;
}

Array<float> cut_and_merge(const Array<float>& voxels, const PatchSize& size, OverlapWeights weights) {
  const PatchGrid grid(voxels.shape().from(1), size);
  PatchMerger merger(grid, weights);
  for (std::int64_t i = 0; i < grid.size(); ++i) {
    REQUIRE_FALSE(merger.is_complete());
    merger.add(grid[i], detail::cut_patch(voxels, grid[i], grid.length()));
  }
  REQUIRE(merger.is_complete());
  return merger.take();
}

/// What `Assembler` asks of a data set: one volume of `slices` slices, each cut into patches.
struct Patched {
  struct History {
    int shifts = 0;
  };
  struct Counts {
    std::int64_t kept;
  };
  std::int32_t slices;  ///< -1: sub-volumes of one volume
  PatchGrid grid;
  History prepared{1};

  [[nodiscard]] std::size_t volumes() const { return 1; }
  [[nodiscard]] Counts counts(std::size_t) const { return {slices < 0 ? 1 : slices}; }
  [[nodiscard]] Geometry geometry_of(std::size_t) const {
    return {slices < 0 ? grid.extent() : Shape{grid.extent()[0], grid.extent()[1], slices},
            Eigen::Matrix4d::Identity()};
  }
  [[nodiscard]] Axis axis() const { return Axis::axial; }
  [[nodiscard]] bool is_patched() const { return true; }
  [[nodiscard]] PatchGrid patch_grid(const Origin&) const { return grid; }
  [[nodiscard]] const History& preparation(const Origin&) const { return prepared; }
};

/// Its inverse adds 1 for each shift.
struct Shifting {
  void invert(Image& image, const Patched::History& history) const {
    for (float& value : image.voxels) value += static_cast<float>(history.shifts);
  }
};

}  // namespace

TEST_CASE("the patches of a volume merge to the volume, bit for bit", "[unit][infer]") {
  const auto weights = GENERATE(OverlapWeights::average, OverlapWeights::gaussian);
  const auto [length, stride] =
      GENERATE(table<std::vector<std::int64_t>, std::vector<std::int64_t>>({{{4, 4, 4}, {4, 4, 4}},
                                                                            {{5, 3, 2}, {1, 2, 1}},
                                                                            {{11, 7, 5}, {1, 1, 1}},
                                                                            {{1, 1, 1}, {1, 1, 1}},
                                                                            {{16, 3, 9}, {5, 5, 5}},
                                                                            {{6, 7, 8}, {2, 3, 4}},
                                                                            {{20, 20, 20}, {}}}));
  const auto voxels = noise({3, 11, 7, 5});
  CHECK(cut_and_merge(voxels, {length, stride}, weights) == voxels);
}

TEST_CASE("the patches of a slice merge to the slice, for many sizes", "[unit][infer]") {
  for (std::int64_t extent = 1; extent <= 9; ++extent)
    for (std::int64_t length = 1; length <= 10; ++length)
      for (std::int64_t stride = 1; stride <= length; ++stride) {
        const auto voxels = noise({1, extent, 6});
        INFO("extent " << extent << " length " << length << " stride " << stride);
        REQUIRE(cut_and_merge(voxels, {{length, 4}, {stride, 3}}, OverlapWeights::average) == voxels);
      }
}

TEST_CASE("overlaps are averaged, or weighted by a normal curve", "[unit][infer]") {
  // One row of 5: patches of 4 at 0 and 1, the first all 0 and the second all 1.
  const auto merged = [](OverlapWeights weights) {
    PatchMerger merger(PatchGrid({1, 5}, {{1, 4}, {1, 1}}), weights);
    merger.add({0, 0, 0}, Array<float>({1, 1, 4}, 0));
    merger.add({0, 1, 0}, Array<float>({1, 1, 4}, 1));
    return merger.take();
  };
  const auto average = merged(OverlapWeights::average);
  CHECK(std::vector<float>(average.begin(), average.end()) == std::vector<float>{0, 0.5F, 0.5F, 0.5F, 1});
  // Standard deviation 4/8; distances from the middle -1.5, -0.5, 0.5, 1.5 voxels, that is 3 and 1 deviations.
  const double far = std::exp(-4.5);
  const double near = std::exp(-0.5);
  CHECK(overlap_weights(4, OverlapWeights::gaussian) == std::vector<double>{far, near, near, far});
  const auto gaussian = merged(OverlapWeights::gaussian);
  CHECK(gaussian[0] == 0);
  CHECK(gaussian[1] == Approx(far / (near + far)));
  CHECK(gaussian[2] == Approx(0.5));
  CHECK(gaussian[3] == Approx(near / (near + far)));
  CHECK(gaussian[4] == 1);
}

TEST_CASE("the memory of a merger does not grow with the number of patches", "[unit][infer]") {
  const PatchGrid grid({64, 8, 8}, {{4, 4, 4}, {1, 1, 1}});
  PatchMerger merger(grid);
  std::size_t most = 0;
  for (std::int64_t i = 0; i < grid.size(); ++i) {
    merger.add(grid[i], Array<float>({2, 4, 4, 4}, 1));
    most = std::max(most, merger.bytes());
  }
  CHECK(grid.size() == 61 * 5 * 5);
  CHECK(most == 2 * 64 * 64 * sizeof(float) + 2 * 4 * 64 * sizeof(double));  // the result and four planes of sums
  CHECK(merger.take() == Array<float>({2, 64, 8, 8}, 1));
}

TEST_CASE("a merger refuses patches out of order, of other shapes, too many and too few", "[unit][infer]") {
  const PatchGrid grid({4, 4}, {{2, 4}, {}});
  PatchMerger merger(grid);
  CHECK_THROWS_WITH(merger.add({2, 0, 0}, zeros({1, 2, 4})), Contains("at 2, 0 came, expected that at 0, 0"));
  CHECK_THROWS_WITH(merger.add({0, 0, 0}, zeros({1, 3, 4})), Contains("1x3x4, expected 1x2x4"));
  merger.add({0, 0, 0}, zeros({1, 2, 4}));
  CHECK_THROWS_WITH(merger.add({0, 0, 0}, zeros({1, 2, 4})), Contains("expected that at 2, 0"));
  CHECK_THROWS_WITH(merger.add({2, 0, 0}, zeros({2, 2, 4})), Contains("2x2x4, expected 1x2x4"));
  CHECK_THROWS_WITH(merger.take(), Contains("1 of 2 patches came"));
  merger.add({2, 0, 0}, zeros({1, 2, 4}));
  CHECK_THROWS_WITH(merger.add({2, 0, 0}, zeros({1, 2, 4})), Contains("came when all had come"));
}

TEST_CASE("an assembler undoes a patch's transforms, merges, undoes the preparation, and stacks slices",
          "[unit][infer]") {
  const Patched data{3, PatchGrid({5, 6}, {{3, 4}, {2, 2}})};
  const Shifting shifting;
  Assembler<Patched, Shifting> volumes(data, shifting);
  const auto voxels = noise({2, 5, 6, 3});
  CHECK_FALSE(volumes.is_complete(0));
  // Patches of the three slices in turns.
  for (std::int64_t i = 0; i < data.grid.size(); ++i)
    for (std::int32_t d = 0; d < 3; ++d) {
      Array<float> slice = Array<float>::from(voxels.view().select(3, d));
      for (float& value : slice) value = std::round(value * 64);
      Image patch{detail::cut_patch(slice, data.grid[i], data.grid.length()), Kind::label, {1, 1, 1}};
      volumes.add({0, d, data.grid[i]}, std::move(patch), Patched::History{10});
    }
  REQUIRE(volumes.is_complete(0));
  const Prediction found = volumes.finish(0, 2);
  REQUIRE(found.voxels.shape() == Shape{2, 5, 6, 3});
  for (std::int64_t n = 0; n < voxels.size(); ++n) REQUIRE(found.voxels[n] == std::round(voxels[n] * 64) + 11);
  CHECK(volumes.bytes() == 0);
}

TEST_CASE("an assembler merges sub-volumes", "[unit][infer]") {
  const Patched data{-1, PatchGrid({5, 6, 7}, {{3, 4, 8}, {2, 2, 2}}), {0}};
  const Shifting shifting;
  Assembler<Patched, Shifting> volumes(data, shifting, OverlapWeights::gaussian);
  const auto voxels = noise({1, 5, 6, 7});
  for (std::int64_t i = 0; i < data.grid.size(); ++i) {
    Image patch{detail::cut_patch(voxels, data.grid[i], data.grid.length()), Kind::label, {1, 1, 1}};
    volumes.add({0, -1, data.grid[i]}, std::move(patch), Patched::History{0});
  }
  REQUIRE(volumes.is_complete(0));
  CHECK(volumes.finish(0, 1).voxels == voxels);
}
