// The threads of all loops: those of oneDNN and of LibTorch, which are libgomp's, so that one number holds for all and no second pool
// waits for the first one's processors. libgomp is called as compilers call it for `#pragma omp parallel`; so nothing
// that includes this needs -fopenmp, which would change LibTorch's headers as well: without it, `at::parallel_for` in a program's own
// sources is a loop on one thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>

#ifdef _OPENMP
#include <omp.h>
#endif

extern "C" {
#ifndef _OPENMP
void omp_set_num_threads(int) noexcept;
int omp_get_max_threads() noexcept;
int omp_get_thread_num() noexcept;
int omp_get_num_threads() noexcept;
#endif
/// The entry of a parallel region in libgomp's binary interface (GOMP_4.0, also in LLVM's libomp).
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
}

namespace ivado {

/// Sets the number of threads of this thread's parallel regions, oneDNN's among them, for as long as it lives.
class ThreadScope {
 public:
  explicit ThreadScope(int threads) noexcept : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;
  ~ThreadScope() { omp_set_num_threads(before_); }

 private:
  int before_;
};

/// One thread a core.
[[nodiscard]] inline int default_threads() noexcept {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

namespace detail {

/// Calls `work(thread, threads)` on each thread of the scope. What the first of them throws is thrown when all have ended. Always the
/// whole team: libgomp ends the threads that a smaller one leaves over.
template <class Work>
void on_all_threads(const Work& work) {
  struct Region {
    const Work& work;
    std::mutex mutex{};
    std::exception_ptr fault{};
  } region{work};
  GOMP_parallel(
      [](void* data) {
        Region& own = *static_cast<Region*>(data);
        try {
          own.work(omp_get_thread_num(), omp_get_num_threads());
        } catch (...) {
          const std::lock_guard lock(own.mutex);
          if (!own.fault) own.fault = std::current_exception();
        }
      },
      &region, 0, 0);
  if (region.fault) std::rethrow_exception(region.fault);
}

}  // namespace detail

/// Calls `body(i)` or `body(i, thread)` for each i in [0, count). Each thread of the scope begins with a share of its own, the same one in
/// each loop of so many, since what it wrote in one loop is still near to it in the next: values that another core has changed come several times
/// slower. A thread that is done takes runs of the others' shares. What the first of them throws is thrown when all have ended.
///
/// `thread` is below `omp_get_max_threads()` as the caller sees it, and another one for calls at one time: a place for what each thread
/// keeps for itself. (`omp_get_thread_num()` is not, where the caller is itself in a parallel region.)
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
  const auto call = [&](std::int64_t i, int thread) {
    if constexpr (std::is_invocable_v<const Body&, std::int64_t, int>)
      body(i, thread);
    else
      body(i);
  };
  const int threads = omp_get_max_threads();
  if (count <= 1 || threads == 1) {
    for (std::int64_t i = 0; i < count; ++i) call(i, 0);
    return;
  }
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  constexpr int most_shares = 32;
  constexpr std::int64_t runs_of_share = 8;
  std::array<Share, most_shares> all;
  const int shares = static_cast<int>(std::min<std::int64_t>({threads, most_shares, count}));
  for (int k = 0; k < shares; ++k) {
    all[static_cast<std::size_t>(k)].next.store(count * k / shares, std::memory_order_relaxed);
    all[static_cast<std::size_t>(k)].end = count * (k + 1) / shares;
  }
  const std::int64_t run = std::max<std::int64_t>(1, count / (runs_of_share * shares));
  detail::on_all_threads([&](int thread, int) {
    for (int k = 0; k < shares; ++k) {
      Share& share = all[static_cast<std::size_t>((thread + k) % shares)];
      for (std::int64_t i = share.next.fetch_add(run); i < share.end; i = share.next.fetch_add(run))
        for (std::int64_t j = i; j < std::min(i + run, share.end); ++j) call(j, thread);
    }
  });
}

/// Calls `body(begin, end)` for runs of [0, count), one a thread, each of `least` or more but for a single one. What the first of them
/// throws is thrown when all have ended.
/// @param threads  at most, such as `at::get_num_threads()`, which also sets LibTorch's number in a new thread
template <class Body>
void share_out(int threads, std::int64_t count, std::int64_t least, const Body& body) {
  if (count <= 0) return;
  const std::int64_t most = std::clamp<std::int64_t>(count / std::max<std::int64_t>(least, 1), 1, std::max(threads, 1));
  if (most == 1) return void(body(std::int64_t{0}, count));
  detail::on_all_threads([&](int thread, int team) {
    const std::int64_t runs = std::min<std::int64_t>(most, team);
    if (thread < runs) body(count * thread / runs, count * (thread + 1) / runs);
  });
}

}  // namespace ivado
