// Loops on the threads of oneDNN and LibTorch.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ivado/parallel.hpp>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;

TEST_CASE("A loop's every index is visited once, by any number of threads", "[unit]") {
  for (const int threads : {1, 2, 3, 7}) {
    const ThreadScope scope(threads);
    for (const std::int64_t count : {0, 1, 2, 5, 16, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      parallel_for(count, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
      for (const auto& one : visits) CHECK(one == 1);
    }
  }
}

TEST_CASE("A loop's work is on several threads, of which each begins with its own share", "[unit]") {
  const ThreadScope scope(2);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::array<int, 2> thread_of{-1, -1};
  std::atomic<int> arrived{0};
  // Each run waits for the other thread, so a loop on one of them would not end: it gives up instead.
  parallel_for(2, [&](std::int64_t i, int thread) {
    ++arrived;
    for (int k = 0; k < 100'000'000 && arrived < 2; ++k) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
    thread_of[static_cast<std::size_t>(i)] = thread;
  });
  CHECK(seen.size() == 2);
  CHECK(thread_of == std::array{0, 1});
}

TEST_CASE("What is shared out is whole, and no thread is woken for little", "[unit]") {
  for (const int threads : {0, 1, 2, 5}) {
    for (const std::int64_t count : {0, 1, 9, 10, 11, 100}) {
      std::mutex mutex;
      std::set<std::pair<std::int64_t, std::int64_t>> runs;
      share_out(threads, count, 10, [&](std::int64_t begin, std::int64_t end) {
        const std::lock_guard lock(mutex);
        runs.emplace(begin, end);
      });
      std::int64_t at = 0;
      for (const auto& [begin, end] : runs) {
        CHECK(begin == at);
        CHECK((runs.size() == 1 || end - begin >= 10));
        at = end;
      }
      CHECK(at == count);
      CHECK(static_cast<std::int64_t>(runs.size()) <= std::max<std::int64_t>(threads, 1));
    }
  }
}

TEST_CASE("What a thread throws reaches the caller", "[unit]") {
  std::atomic<int> ended{0};
  const auto work = [&](std::int64_t begin, std::int64_t) {
    ++ended;
    if (begin > 0) throw std::runtime_error("in the second half");
  };
  CHECK_THROWS_WITH(share_out(2, 100, 1, work), Catch::Matchers::Equals("in the second half"));
  CHECK(ended == 2);
}
