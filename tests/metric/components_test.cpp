#include <array>
#include <cstdint>
#include <cstdlib>
#include <ivado/metric/components.hpp>
#include <ivado/random.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;

namespace {

Array<float> random_mask(const Shape& shape, double density, std::uint32_t sample) {
  Rng rng({3, 0, sample, stream_user});
  Array<float> out(shape);
  for (float& value : out) value = rng.uniform() < density ? 1.0F : 0.0F;
  return out;
}

/// Labels by flooding from each voxel in scan order: slow, plain, and independent of runs.
/// @param touch  of the differences along the axes: whether two voxels are neighbours
template <class Touch>
Array<std::int32_t> flooded(const Array<float>& mask, const Touch& touch, std::int64_t window) {
  const Shape& shape = mask.shape();
  const int rank = shape.rank();
  auto labels = zeros<std::int32_t>(shape);
  const auto index_of = [&](std::int64_t flat) {
    std::array<std::int64_t, 6> index{};
    for (int a = rank - 1; a >= 0; --a) {
      index[static_cast<std::size_t>(a)] = flat % shape[a];
      flat /= shape[a];
    }
    return index;
  };
  std::int32_t count = 0;
  for (std::int64_t seed = 0; seed < mask.size(); ++seed) {
    if (mask[seed] == 0 || labels[seed] != 0) continue;
    labels[seed] = ++count;
    std::vector<std::int64_t> open{seed};
    while (!open.empty()) {
      const std::int64_t here = open.back();
      open.pop_back();
      const auto a = index_of(here);
      for (std::int64_t there = 0; there < mask.size(); ++there) {
        if (mask[there] == 0 || labels[there] != 0) continue;
        const auto b = index_of(there);
        int differing = 0;
        bool near = true;
        for (std::size_t k = 0; k < 6; ++k) {
          const std::int64_t d = std::abs(a[k] - b[k]);
          near = near && d <= window;
          differing += d != 0;
        }
        if (!near || !touch(differing)) continue;
        labels[there] = count;
        open.push_back(there);
      }
    }
  }
  return labels;
}

Shape shape_of(const std::vector<std::int64_t>& extents) {
  Shape shape;
  for (const auto extent : extents) shape.push_back(extent);
  return shape;
}

}  // namespace

TEST_CASE("components touch by faces, edges or corners", "[unit][components]") {
  auto pair = zeros<float>({3, 3, 3});
  const auto count = [&](Connectivity connectivity) { return Components(pair.view(), connectivity).count(); };
  pair.view()(1, 1, 1) = 1;
  SECTION("by a face") {
    pair.view()(1, 1, 2) = 1;
    CHECK(count(Connectivity::faces) == 1);
  }
  SECTION("by an edge") {
    pair.view()(0, 1, 2) = 1;
    CHECK(count(Connectivity::faces) == 2);
    CHECK(count(Connectivity::edges) == 1);
  }
  SECTION("by a corner") {
    pair.view()(2, 0, 2) = 1;
    CHECK(count(Connectivity::faces) == 2);
    CHECK(count(Connectivity::edges) == 2);
    CHECK(count(Connectivity::corners) == 1);
  }
  SECTION("in 2-D edges and corners are the same 8 neighbours") {
    auto diagonal = zeros<float>({2, 2});
    diagonal[0] = diagonal[3] = 1;
    CHECK(Components(diagonal.view(), Connectivity::faces).count() == 2);
    CHECK(Components(diagonal.view(), Connectivity::edges).count() == 1);
    CHECK(Components(diagonal.view(), Connectivity::corners).count() == 1);
  }
}

TEST_CASE("labels are numbered in scan order and sizes are right", "[unit][components]") {
  // The last row joins the first and the third object: both take the first one's label, and the second stays 2.
  const std::vector<float> drawing{1, 0, 1, 0, 1,  //
                                   1, 0, 1, 0, 1,  //
                                   1, 0, 0, 0, 1,  //
                                   1, 1, 1, 1, 1,  //
                                   0, 0, 0, 0, 0,  //
                                   0, 1, 0, 0, 1};
  Array<float> mask({6, 5});
  std::copy(drawing.begin(), drawing.end(), mask.begin());
  const Components components(mask.view(), Connectivity::faces);
  CHECK(components.count() == 4);
  CHECK(components.sizes() == std::vector<std::int64_t>{11, 2, 1, 1});
  CHECK(components.size_of(2) == 2);
  CHECK(components.largest() == 1);
  const auto labels = components.labels();
  CHECK(labels.view()(0, 0) == 1);
  CHECK(labels.view()(0, 2) == 2);
  CHECK(labels.view()(0, 4) == 1);
  CHECK(labels.view()(5, 1) == 3);
  CHECK(labels.view()(5, 4) == 4);
  CHECK(labels.view()(4, 0) == 0);
}

TEST_CASE("of equally large components the first is the largest", "[unit][components]") {
  auto mask = zeros<float>({1, 7});
  mask[1] = mask[3] = mask[4] = mask[6] = 1;
  CHECK(Components(mask.view(), Connectivity::faces).largest() == 2);
  mask[4] = 0;
  CHECK(Components(mask.view(), Connectivity::faces).largest() == 1);
  CHECK(Components(zeros<float>({3, 3}).view(), Connectivity::faces).largest() == 0);
}

TEST_CASE("components agree with flooding for every rank, connectivity and density", "[unit][components]") {
  const auto extents =
      GENERATE(std::vector<std::int64_t>{1}, std::vector<std::int64_t>{17}, std::vector<std::int64_t>{1, 1, 1},
               std::vector<std::int64_t>{7, 11}, std::vector<std::int64_t>{13, 1}, std::vector<std::int64_t>{5, 7, 6},
               std::vector<std::int64_t>{1, 9, 5}, std::vector<std::int64_t>{3, 4, 3, 5});
  const double density = GENERATE(0.05, 0.2, 0.35, 0.6, 1.0);
  const auto connectivity = GENERATE(Connectivity::faces, Connectivity::edges, Connectivity::corners);
  const auto mask = random_mask(shape_of(extents), density, static_cast<std::uint32_t>(density * 100));
  const Components components(mask.view(), connectivity);
  const auto expected = flooded(
      mask, [&](int differing) { return differing <= static_cast<int>(connectivity); }, 1);
  CHECK(components.labels() == expected);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(components.count()), 0);
  for (const auto label : expected)
    if (label > 0) ++sizes.at(static_cast<std::size_t>(label - 1));
  CHECK(components.sizes() == sizes);
}

TEST_CASE("components of a box neighbourhood agree with flooding", "[unit][components]") {
  const std::int32_t reach = GENERATE(1, 2, 3);
  const double density = GENERATE(0.02, 0.1, 0.3);
  const auto extents =
      GENERATE(std::vector<std::int64_t>{40}, std::vector<std::int64_t>{9, 14}, std::vector<std::int64_t>{6, 5, 9});
  const auto mask = random_mask(shape_of(extents), density, 5);
  const Components components(mask.view(), Neighbourhood::box(mask.rank(), reach), [](float v) { return v != 0; });
  CHECK(components.labels() == flooded(
                                   mask, [](int) { return true; }, reach));
}

TEST_CASE("components of a strided view are those of its dense copy", "[unit][components]") {
  const auto mask = random_mask({5, 6, 7}, 0.4, 9);
  const auto view = mask.view().permute({2, 0, 1}).flip(0).flip(2).narrow(1, 1, 3);
  const auto dense = Array<float>::from(view);
  const Components found(view, Connectivity::edges);
  CHECK(found.labels() == Components(dense.view(), Connectivity::edges).labels());
  CHECK_THROWS_WITH(found.for_each_run(mask.view(), [](auto...) {}), Catch::Contains("differ"));
  // and its runs can be walked in an array that lies otherwise
  auto right = zeros<float>({3, 7, 6});
  const auto turned = right.view().permute({1, 0, 2});
  found.for_each_run(turned, [](std::int32_t, float* run, std::int64_t stride, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i) run[i * stride] = 1;
  });
  CHECK(Array<float>::from(turned) == dense);
}

TEST_CASE("a predicate chooses the foreground", "[unit][components]") {
  auto soft = zeros<float>({1, 5});
  soft[0] = 0.2F;
  soft[1] = 0.9F;
  soft[3] = 0.6F;
  CHECK(Components(soft.view(), Connectivity::faces).sizes() == std::vector<std::int64_t>{2, 1});
  CHECK(Components(soft.view(), Connectivity::faces, [](float v) { return v >= 0.5F; }).sizes() ==
        std::vector<std::int64_t>{1, 1});
  CHECK(Components(soft.view(), Connectivity::faces, [](float v) { return v < 0.5F; }).sizes() ==
        std::vector<std::int64_t>{1, 1, 1});
}

TEST_CASE("more components than 8 or 16 bits can number", "[unit][components]") {
  auto mask = zeros<float>({400, 400});
  for (std::int64_t i = 0; i < 400; i += 2)
    for (std::int64_t j = 0; j < 400; j += 2) mask.view()(i, j) = 1;
  const Components components(mask.view(), Connectivity::edges);
  CHECK(components.count() == 40000);
  CHECK(components.labels().view()(398, 398) == 40000);
}

TEST_CASE("components that lie at the border of the array", "[unit][components]") {
  auto mask = zeros<float>({7, 7});
  mask.view()(0, 3) = mask.view()(2, 2) = mask.view()(4, 1) = mask.view()(5, 5) = 1;
  const Components components(mask.view(), Connectivity::faces);
  CHECK(components.touching_outside(1, false) == std::vector<char>{1, 0, 0, 0});
  CHECK(components.touching_outside(2, false) == std::vector<char>{1, 0, 1, 1});
  CHECK(components.touching_outside(0, false) == std::vector<char>{0, 0, 0, 0});
  // one slice: the slice axis has an outside only where it is asked to
  const Components slice(ArrayView<const float>(mask.data(), {1, 7, 7}), Connectivity::faces);
  CHECK(slice.touching_outside(1, false) == std::vector<char>{1, 1, 1, 1});
  CHECK(slice.touching_outside(1, true) == std::vector<char>{1, 0, 0, 0});
  const Array<float> voxel({1, 1, 1}, 1.0F);
  CHECK(Components(voxel.view(), Connectivity::faces).touching_outside(1, true) == std::vector<char>{1});
}

TEST_CASE("the boxes around components", "[unit][components]") {
  auto mask = zeros<float>({4, 5, 6});
  mask.view()(3, 0, 5) = 1;
  mask.view()(0, 1, 2) = mask.view()(0, 2, 2) = mask.view()(1, 2, 2) = mask.view()(1, 2, 3) = mask.view()(0, 1, 1) = 1;
  const auto boxes = Components(mask.view(), Connectivity::faces).boxes();
  REQUIRE(boxes.size() == 2);
  const auto first = [](const auto& place) { return std::vector<std::int64_t>(place.begin(), place.begin() + 3); };
  CHECK(first(boxes[0].begin) == std::vector<std::int64_t>{0, 1, 1});
  CHECK(first(boxes[0].end) == std::vector<std::int64_t>{2, 3, 4});
  CHECK(first(boxes[1].begin) == std::vector<std::int64_t>{3, 0, 5});
  CHECK(first(boxes[1].end) == std::vector<std::int64_t>{4, 1, 6});
  const Array<float> line({4}, 1.0F);
  const auto whole = Components(line.view(), Connectivity::faces).boxes();
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].begin[0] == 0);
  CHECK(whole[0].end[0] == 4);
  CHECK(Components(zeros({2, 2}).view(), Connectivity::faces).boxes().empty());
}

TEST_CASE("components of nothing", "[unit][components]") {
  const Array<float> none(Shape{3, 0, 2});
  CHECK(Components(none.view(), Connectivity::edges).count() == 0);
  CHECK(Components(none.view(), Connectivity::edges).labels().empty());
  CHECK_THROWS_WITH(Components(ArrayView<const float>(), Connectivity::edges), Catch::Contains("no axes"));
}
