// The cache: one loading for many who ask, the budget kept, exceptions for all who wait, both ways of being full.
#include <atomic>
#include <barrier>
#include <cstdint>
#include <ivado/data/cache.hpp>
#include <ivado/error.hpp>
#include <ivado/random.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../catch.hpp"

namespace {

struct Block {
  std::int64_t number = 0;
  std::size_t size = 10;
  [[nodiscard]] std::size_t bytes() const { return size; }
};

using Blocks = ivado::Cache<Block>;

}  // namespace

TEST_CASE("a cache loads once and then remembers", "[unit][cache]") {
  Blocks cache(100);
  int loads = 0;
  const auto load = [&] {
    ++loads;
    return Block{7};
  };
  CHECK(cache.get(1, load)->number == 7);
  CHECK(cache.get(1, load)->number == 7);
  CHECK(loads == 1);
  const auto statistics = cache.statistics();
  CHECK(statistics.hits == 1);
  CHECK(statistics.misses == 1);
  CHECK(statistics.bytes == 10);
  CHECK(statistics.peak_bytes == 10);
  CHECK(statistics.budget_bytes == 100);
}

TEST_CASE("the least recently used value goes first", "[unit][cache]") {
  Blocks cache(30);
  std::string loaded;
  const auto ask = [&](std::int64_t key) {
    return cache.get(key, [&] {
      loaded += std::to_string(key);
      return Block{key};
    });
  };
  for (const int key : {1, 2, 3}) (void)ask(key);
  (void)ask(1);  // 2 is now the oldest
  (void)ask(4);
  (void)ask(1);
  (void)ask(3);
  CHECK(loaded == "1234");
  (void)ask(2);
  CHECK(loaded == "12342");
  CHECK(cache.statistics().evictions == 2);
  CHECK(cache.statistics().bytes == 30);
}

TEST_CASE("a value that is in use outlives its place in the cache", "[unit][cache]") {
  Blocks cache(10);
  const auto first = cache.get(1, [] { return Block{1}; });
  (void)cache.get(2, [] { return Block{2}; });
  CHECK(cache.statistics().evictions == 1);
  CHECK(first->number == 1);
}

TEST_CASE("the budget holds for values of any size", "[unit][cache]") {
  const auto budget = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{17}, std::size_t{100});
  const auto when_full = GENERATE(ivado::WhenFull::evict_oldest, ivado::WhenFull::keep);
  Blocks cache(budget, when_full);
  ivado::Rng rng(ivado::RandomKey{3});
  for (int i = 0; i < 500; ++i) {
    const auto key = static_cast<std::int64_t>(rng.below(20));
    const auto value = cache.get(key, [&] { return Block{key, static_cast<std::size_t>(1 + key * 3)}; });
    REQUIRE(value->number == key);
    REQUIRE(cache.statistics().bytes <= budget);
  }
  CHECK(cache.statistics().peak_bytes <= budget);
  CHECK(cache.statistics().hits + cache.statistics().misses == 500);
  if (budget == 0) CHECK(cache.statistics().hits == 0);
}

TEST_CASE("a full cache that keeps drops nothing", "[unit][cache]") {
  Blocks cache(20, ivado::WhenFull::keep);
  int loads = 0;
  const auto ask = [&](std::int64_t key) {
    return cache.get(key, [&] {
      ++loads;
      return Block{key};
    });
  };
  for (int pass = 0; pass < 3; ++pass)
    for (const int key : {1, 2, 3, 4}) CHECK(ask(key)->number == key);
  CHECK(loads == 4 + 2 + 2);
  CHECK(cache.statistics().evictions == 0);
}

TEST_CASE("offered values are kept while there is room", "[unit][cache]") {
  Blocks cache(25);
  CHECK(cache.offer(1, Block{1}));
  CHECK(cache.offer(2, Block{2}));
  CHECK_FALSE(cache.offer(3, Block{3}));
  CHECK_FALSE(cache.offer(1, Block{9, 1}));
  CHECK(cache.get(1, []() -> Block { throw std::logic_error("loaded"); })->number == 1);
  CHECK_THROWS_AS(cache.get(3, []() -> Block { throw std::logic_error("loaded"); }), std::logic_error);
}

TEST_CASE("a smaller budget drops what is over it", "[unit][cache]") {
  Blocks cache(100);
  for (int key = 0; key < 10; ++key) (void)cache.get(key, [&] { return Block{key}; });
  cache.set_budget(35);
  CHECK(cache.statistics().bytes == 30);
  CHECK(cache.get(9, []() -> Block { throw std::logic_error("loaded"); })->number == 9);
  cache.set_budget(0);
  CHECK(cache.statistics().bytes == 0);
}

TEST_CASE("a cache that keeps can set a part aside in which the others take turns", "[unit][cache]") {
  Blocks cache(60, ivado::WhenFull::keep);
  int loads = 0;
  const auto ask = [&](int key) {
    return cache.get(key, [&] {
      ++loads;
      return Block{key};
    });
  };
  cache.set_turns(20);
  for (int key = 0; key < 8; ++key) (void)ask(key);  // 0 … 3 stay, 4 … 7 take turns in two places
  CHECK(loads == 8);
  CHECK(cache.statistics().bytes == 60);
  CHECK(cache.statistics().evictions == 2);
  loads = 0;
  for (const int key : {0, 1, 2, 3, 6, 7, 7, 6}) CHECK(ask(key)->number == key);
  CHECK(loads == 0);
  for (const int key : {5, 5, 6, 5, 7, 5}) CHECK(ask(key)->number == key);  // 5 drops 7, 7 drops 6
  CHECK(loads == 2);
  for (const int key : {0, 1, 2, 3}) (void)ask(key);
  CHECK(loads == 2);

  SECTION("a part that is set aside later is taken from what was kept, the least recently used first") {
    Blocks full(60, ivado::WhenFull::keep);
    for (int key = 0; key < 6; ++key) CHECK(full.offer(key, Block{key}));
    full.set_turns(1000);  // at most half
    CHECK(full.statistics().bytes == 30);
    CHECK(full.get(5, []() -> Block { throw std::logic_error("loaded"); })->number == 5);
    CHECK(full.get(0, [] { return Block{0}; })->number == 0);
    CHECK(full.statistics().bytes == 40);
    full.set_budget(30);
    CHECK(full.statistics().bytes == 30);
    CHECK(full.get(5, []() -> Block { throw std::logic_error("loaded"); })->number == 5);  // the guest went first
  }
}

TEST_CASE("the hit rates that the documentation promises for shuffled passes over twice the budget", "[unit][cache]") {
  const auto hits_of_second_passes = [](ivado::WhenFull when_full) {
    constexpr int n = 1000;
    Blocks cache(n / 2 * 10, when_full);
    std::uint64_t before = 0;
    for (std::uint32_t pass = 0; pass < 21; ++pass) {
      ivado::Rng rng(ivado::RandomKey{1, pass});
      for (const auto key : rng.permutation(n)) (void)cache.get(key, [&] { return Block{key}; });
      if (pass == 0) before = cache.statistics().hits;
    }
    return static_cast<double>(cache.statistics().hits - before) / (20.0 * n);
  };
  CHECK(hits_of_second_passes(ivado::WhenFull::keep) == 0.5);
  // 0.5 + 0.5 ln 0.5 = 0.153
  CHECK(hits_of_second_passes(ivado::WhenFull::evict_oldest) == Approx(0.153).margin(0.01));
}

TEST_CASE("threads that ask for one key wait for one loading", "[unit][cache]") {
  constexpr int threads = 4;
  Blocks cache(100);
  std::atomic<int> loads{0};
  std::atomic<int> right{0};
  std::barrier begin(threads);
  {
    std::vector<std::jthread> pool;
    for (int t = 0; t < threads; ++t)
      pool.emplace_back([&] {
        begin.arrive_and_wait();
        const auto value = cache.get(5, [&] {
          ++loads;
          while (cache.statistics().hits < threads - 1) std::this_thread::yield();  // all others have asked
          return Block{55};
        });
        right += value->number == 55 ? 1 : 0;
      });
  }
  CHECK(loads == 1);
  CHECK(right == threads);
  CHECK(cache.statistics().hits == threads - 1);
}

TEST_CASE("an exception of the loading reaches all who wait, and the next request loads again", "[unit][cache]") {
  constexpr int threads = 4;
  Blocks cache(100);
  std::atomic<int> loads{0};
  std::atomic<int> caught{0};
  std::barrier begin(threads);
  {
    std::vector<std::jthread> pool;
    for (int t = 0; t < threads; ++t)
      pool.emplace_back([&] {
        begin.arrive_and_wait();
        try {
          (void)cache.get(5, [&]() -> Block {
            ++loads;
            while (cache.statistics().hits < threads - 1) std::this_thread::yield();  // all others have asked
            throw ivado::data_error("reading a block", "it is broken");
          });
        } catch (const ivado::Error& error) {
          caught += error.fault() == ivado::Fault::data ? 1 : 0;
        }
      });
  }
  CHECK(loads == 1);
  CHECK(caught == threads);
  CHECK(cache.get(5, [] { return Block{6}; })->number == 6);
}
