// The generator against the vectors published with it, and the laws of keyed draws.
#include <algorithm>
#include <ivado/random.hpp>
#include <numeric>
#include <set>

#include "../catch.hpp"

using namespace ivado;

TEST_CASE("Philox gives the published vectors", "[unit]") {
  // Known answers of Random123 1.14, file kat_vectors: counter, key, result.
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) ==
        std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Draws are a function of the key", "[unit]") {
  const RandomKey key{42, 3, 17, 5};
  Rng first(key);
  Rng again(key);
  for (int i = 0; i < 20; ++i) REQUIRE(first.bits() == again.bits());
  std::set<std::uint32_t> starts;
  for (const RandomKey& other : {key, RandomKey{43, 3, 17, 5}, RandomKey{42, 4, 17, 5}, RandomKey{42, 3, 18, 5},
                                 RandomKey{42, 3, 17, 6}, RandomKey{42 + (std::uint64_t{1} << 32), 3, 17, 5}})
    starts.insert(Rng(other).bits());
  CHECK(starts.size() == 6);
}

TEST_CASE("Uniform, normal and whole numbers have the moments that they should", "[unit]") {
  Rng rng(RandomKey{7, 0, 0, 0});
  constexpr int n = 20000;
  double sum = 0;
  double squares = 0;
  double normal_sum = 0;
  double normal_squares = 0;
  std::array<int, 5> counts{};
  for (int i = 0; i < n; ++i) {
    const double u = rng.uniform(-1, 3);
    REQUIRE((u >= -1 && u < 3));
    sum += u;
    squares += u * u;
    const double z = rng.normal(2, 0.5);
    normal_sum += z;
    normal_squares += (z - 2) * (z - 2);
    ++counts[rng.below(5)];
  }
  // Bounds of five standard errors: 4/√12 /√n = 0.0082 and 0.5/√n = 0.0035.
  CHECK(std::abs(sum / n - 1) < 5 * 0.0082);
  CHECK(std::abs(squares / n - (16.0 / 12 + 1)) < 0.1);
  CHECK(std::abs(normal_sum / n - 2) < 5 * 0.0035);
  CHECK(std::abs(normal_squares / n - 0.25) < 0.02);
  for (const int count : counts) CHECK(std::abs(count - n / 5) < 5 * 57);  // √(n·0.2·0.8) = 57
}

TEST_CASE("Filling an array draws what single calls do, from any place of the sequence", "[unit]") {
  for (const int before : {0, 1, 3, 4}) {
    for (const std::int64_t n : {0, 2, 127, 128, 131, 300}) {
      Rng one(RandomKey{0x123456789ABCDEF, 4, 5, 6});
      for (int i = 0; i < before; ++i) (void)one.bits();
      Rng many = one;
      std::vector<float> values(static_cast<std::size_t>(n));
      many.fill_uniform(values.data(), n);
      for (const float value : values) CHECK(value == one.uniform_float());
      CHECK(many.bits() == one.bits());
    }
  }
}

TEST_CASE("A row of draws can be shared out by its blocks of four", "[unit]") {
  const RandomKey key{1, 2, 3, 4};
  std::vector<float> whole(1000);
  Rng(key).fill_uniform(whole.data(), 1000);
  for (const std::uint32_t block : {0U, 1U, 32U, 131U, 249U}) {
    Rng rng(key);
    (void)rng.bits();
    rng.go_to_block(block);
    std::vector<float> part(1000 - 4 * block);
    rng.fill_uniform(part.data(), static_cast<std::int64_t>(part.size()));
    CHECK(std::equal(part.begin(), part.end(), whole.begin() + 4 * block));
  }
}

TEST_CASE("Edges of the draws", "[unit]") {
  Rng rng(RandomKey{1, 0, 0, 0});
  CHECK(rng.below(0) == 0);
  CHECK(rng.below(1) == 0);
  for (int i = 0; i < 100; ++i) {
    CHECK_FALSE(rng.bernoulli(0));
    CHECK(rng.bernoulli(1));
    const float f = rng.uniform_float();
    CHECK((f >= 0 && f < 1));
  }
}

TEST_CASE("A permutation holds each number once", "[unit]") {
  const auto n = GENERATE(0, 1, 2, 7, 100);
  auto order = Rng(RandomKey{3, 1, 0, stream_shuffle}).permutation(n);
  REQUIRE(order.size() == static_cast<std::size_t>(n));
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i] == static_cast<std::int64_t>(i));
}
