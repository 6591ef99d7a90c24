// Arrays in pages of their own: the same elements, whole pages, and memory that the system has back at the end.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <ivado/data/array.hpp>
#include <ivado/data/cache.hpp>
#include <ivado/error.hpp>
#include <limits>
#include <utility>
#include <vector>

#include "../catch.hpp"

using ivado::Array;
using ivado::Shape;

namespace {

std::size_t page() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

bool begins_a_page(const Array<float>& array) { return reinterpret_cast<std::uintptr_t>(array.data()) % page() == 0; }

/// Memory of this process that is really there, in bytes; 0 where the system does not say.
std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * page();
}

}  // namespace

TEST_CASE("a large array settles in pages of its own with its elements", "[unit][array]") {
  Array<float> array(Shape{3, 101, 97});
  for (std::int64_t i = 0; i < array.size(); ++i) array[i] = static_cast<float>(i);
  const Array<float> copy = array.clone();
  array.settle();
  CHECK(begins_a_page(array));
  CHECK(array == copy);
  CHECK(array.footprint() % page() == 0);
  CHECK(array.footprint() >= array.bytes());
  CHECK(array.footprint() < array.bytes() + page());
  const float* const place = array.data();
  array.settle();
  CHECK(array.data() == place);  // it has settled already
  const Array<float> moved = std::move(array).reshaped(Shape{303, 97});
  CHECK(moved.data() == place);
  CHECK(moved[5] == 5);
}

TEST_CASE("a small array stays in the heap and counts as it is", "[unit][array]") {
  Array<float> small(Shape{4, 5}, 2.0F);
  const float* const place = small.data();
  small.settle();
  CHECK(small.data() == place);
  CHECK(small.footprint() == 4 * 5 * sizeof(float));
  Array<float> none;
  none.settle();
  CHECK(none.empty());
  CHECK(none.footprint() == 0);
  CHECK(Array<float>::in_pages(Shape{4, 5}).shape() == Shape{4, 5});
  CHECK_THROWS_AS(Array<float>::in_pages(Shape{-1, 5}), ivado::Error);
  CHECK_THROWS_AS(Array<float>::in_pages(Shape{std::numeric_limits<std::int64_t>::max(), 5}), ivado::Error);
}

TEST_CASE("the system has the memory of a settled array back, whatever lies in the heap around it", "[unit][array]") {
  if (resident_bytes() == 0) {
    WARN("not tested: the system does not say how much memory a process has");
    return;
  }
  constexpr std::int64_t count = 256;
  constexpr std::size_t bytes = std::size_t{256} * 1024;
  std::vector<Array<float>> kept;
  std::vector<Array<float>> small;  // what would hold the top of a heap
  for (std::int64_t i = 0; i < count; ++i) {
    kept.push_back(Array<float>(Shape{static_cast<std::int64_t>(bytes / sizeof(float))}, 1.0F));
    kept.back().settle();
    small.push_back(Array<float>(Shape{1000}, 1.0F));
  }
  const std::size_t full = resident_bytes();
  kept.clear();
  const std::size_t rest = resident_bytes();
  // 9 of 10: the counters of the kernel lag by a few pages a core
  CHECK(full - rest >= count * bytes / 10 * 9);
  CHECK(small.front()[0] == 1);
}

TEST_CASE("a cache settles what it keeps, and nothing else", "[unit][array][cache]") {
  struct Block {
    Array<float> voxels;
    bool has_settled = false;
    [[nodiscard]] std::size_t bytes() const { return voxels.footprint(); }
    void settle() {
      voxels.settle();
      has_settled = true;
    }
  };
  constexpr std::int64_t size = 1 << 14;  // 64 KiB
  const auto block = [] { return Block{Array<float>(Shape{size}, 3.0F)}; };
  ivado::Cache<Block> cache(block().bytes(), ivado::WhenFull::keep);
  const auto first = cache.get(1, block);
  CHECK(first->has_settled);
  CHECK(begins_a_page(first->voxels));
  CHECK(cache.statistics().bytes == block().bytes());
  const auto second = cache.get(2, block);  // no room
  CHECK(second->voxels == first->voxels);
  CHECK(cache.statistics().bytes == block().bytes());
  CHECK_FALSE(second->has_settled);
}
