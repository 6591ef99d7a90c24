#include <array>
#include <cmath>
#include <cstdint>
#include <ivado/metric/distance_transform.hpp>
#include <ivado/random.hpp>
#include <limits>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

Array<std::uint8_t> random_seeds(const Shape& shape, double part, std::uint32_t sample) {
  Rng rng({3, 0, sample, stream_user});
  Array<std::uint8_t> out(shape);
  for (auto& value : out) value = rng.bernoulli(part) ? 1 : 0;
  return out;
}

/// Every element against every seed.
Array<double> by_comparing_all(const Array<std::uint8_t>& seeds, const std::vector<double>& spacing) {
  const auto index = [&](std::int64_t i) {
    std::array<std::int64_t, Shape::max_rank> out{};
    for (int axis = seeds.rank() - 1; axis >= 0; --axis) {
      out[static_cast<std::size_t>(axis)] = i % seeds.extent(axis);
      i /= seeds.extent(axis);
    }
    return out;
  };
  Array<double> out(seeds.shape(), std::numeric_limits<double>::infinity());
  for (std::int64_t i = 0; i < out.size(); ++i)
    for (std::int64_t s = 0; s < seeds.size(); ++s) {
      if (seeds[s] == 0) continue;
      double squared = 0;
      for (std::size_t a = 0; a < spacing.size(); ++a) {
        const double away = spacing[a] * static_cast<double>(index(i)[a] - index(s)[a]);
        squared += away * away;
      }
      out[i] = std::min(out[i], squared);
    }
  return out;
}

}  // namespace

TEST_CASE("squared distances are those of comparing all pairs", "[unit][distance]") {
  struct Grid {
    Shape shape;
    std::vector<double> spacing;
  };
  const Grid grid = GENERATE(Grid{{13}, {0.7}}, Grid{{9, 17}, {1, 1}}, Grid{{1, 11}, {3, 0.5}}, Grid{{7, 1}, {0.3, 2}},
                             Grid{{7, 5, 9}, {0.5, 0.75, 5}}, Grid{{3, 20, 2}, {5, 1, 0.1}}, Grid{{1, 1, 1}, {1, 1, 1}},
                             Grid{{4, 3, 5, 2}, {1, 2, 3, 4}});
  const double part = GENERATE(0.005, 0.1, 0.6);
  for (std::uint32_t sample = 0; sample < 5; ++sample) {
    const auto seeds = random_seeds(grid.shape, part, sample);
    const auto expected = by_comparing_all(seeds, grid.spacing);
    const auto found = squared_distances(seeds.view(), grid.spacing);
    INFO(grid.shape.text() << ", part " << part << ", sample " << sample);
    REQUIRE(found.shape() == grid.shape);
    bool same = true;
    for (std::int64_t i = 0; i < found.size(); ++i) {
      const bool both_infinite = std::isinf(found[i]) && std::isinf(expected[i]);
      // Rounded to float once an axis: 3 × 2^-24 at most, with room to spare.
      same = same && (both_infinite || std::abs(found[i] - expected[i]) <= 1e-6 * expected[i]);
    }
    CHECK(same);
  }
}

TEST_CASE("squared distances by hand", "[unit][distance]") {
  auto seeds = zeros<std::uint8_t>({2, 3});
  seeds[0] = 1;
  const auto found = squared_distances(std::as_const(seeds).view(), std::array{2.0, 3.0});
  const std::vector<float> expected{0, 9, 36, 4, 13, 40};
  CHECK(std::equal(found.begin(), found.end(), expected.begin()));
}

TEST_CASE("squared distances are infinite without a seed, and need a spacing an axis", "[unit][distance]") {
  const auto none = zeros<std::uint8_t>({3, 4, 5});
  for (const float value : squared_distances(none.view(), std::array{1.0, 1.0, 1.0})) CHECK(std::isinf(value));
  CHECK(squared_distances(zeros<std::uint8_t>({0, 4}).view(), std::array{1.0, 1.0}).empty());
  CHECK_THROWS_WITH(squared_distances(none.view(), std::array{1.0, 1.0}), Contains("2 spacings") && Contains("3x4x5"));
}
