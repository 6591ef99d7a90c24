// The threads of the engine: those of oneDNN, which are libgomp's, so that one number holds for both and no second pool
// waits for the first one's processors. libgomp is called as compilers call it for `#pragma omp parallel`; so nothing
// that includes this needs -fopenmp, which would change LibTorch's headers as well.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>

extern "C" {
void omp_set_num_threads(int) noexcept;
int omp_get_max_threads() noexcept;
int omp_get_thread_num() noexcept;
int omp_get_num_threads() noexcept;
/// The entry of a parallel region in libgomp's binary interface (GOMP_4.0, also in LLVM's libomp).
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
}

namespace ivado::engine {

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

/// Calls `body(i)` for each i in [0, count): each thread of the scope takes one run of them. `body` must not throw.
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
  if (count <= 1 || omp_get_max_threads() == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  struct Work {
    const Body& body;
    std::int64_t count;
  } work{body, count};
  GOMP_parallel(
      [](void* data) {
        const Work& own = *static_cast<const Work*>(data);
        const std::int64_t threads = omp_get_num_threads();
        const std::int64_t thread = omp_get_thread_num();
        const std::int64_t end = own.count * (thread + 1) / threads;
        for (std::int64_t i = own.count * thread / threads; i < end; ++i) own.body(i);
      },
      &work, 0, 0);
}

}  // namespace ivado::engine
