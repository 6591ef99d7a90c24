// Vectors of channels: how values are brought into them, and products of small matrices in registers, for processors with AVX2. All is
// inlined into functions that are compiled for the processor (`gnu::target`). No oneDNN, no LibTorch.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

// Products in bf16 are for GCC alone: Clang takes no wide vectors in the instructions of a function that is not for them by itself.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define IVADO_HAS_BF16_LOOPS
#endif

namespace ivado::engine {

/// Where the elements of a value [N, channel, depth, row, column] lie: the elements from one to the next along each axis. Either
/// some channels lie side by side (`channel` is 1), as many as a vector has lanes or more; or the columns do, as in a plain value.
template <class T>
struct LaneView {
  T* data = nullptr;
  std::int64_t sample = 0;
  std::int64_t depth = 0;
  std::int64_t row = 0;
  std::int64_t column = 0;
  std::int64_t block = 0;  ///< from as many channels as a vector has lanes to the next
  std::int64_t channel = 1;

  [[nodiscard]] bool is_plain() const noexcept { return channel != 1; }
  operator LaneView<const T>() const requires(!std::is_const_v<T>) {
    return {data, sample, depth, row, column, block, channel};
  }
};

/// Floats that begin at a cache line. Many of them have pages of their own, which are large where the system has such, and are cleared
/// when they are first touched, by the thread that does.
class LineBuffer {
 public:
  LineBuffer() = default;
  LineBuffer(const LineBuffer&) = delete;
  LineBuffer& operator=(const LineBuffer&) = delete;

  /// Room for `count` floats. What was there stays if there is room enough already; memory that is taken anew is zero.
  float* at_least(std::size_t count) {
    if (count > size_) {
      size_ = 0;
      data_.reset();
      data_ = zeros(count * sizeof(float));
      size_ = count;
    }
    return data_.get();
  }
  [[nodiscard]] const float* data() const noexcept { return data_.get(); }
  [[nodiscard]] float* data() noexcept { return data_.get(); }

 private:
  struct Free {
    std::size_t mapped_bytes;  ///< of pages of its own; 0: it lies in the heap
    void operator()(float* p) const noexcept {
      if (mapped_bytes == 0) return ::operator delete (p, std::align_val_t{64});
      (void)::munmap(p, mapped_bytes);
    }
  };
  using Memory = std::unique_ptr<float, Free>;

  [[nodiscard]] static Memory zeros(std::size_t bytes) {
    constexpr std::size_t least_bytes_of_pages = std::size_t{4} << 20;
    if (bytes >= least_bytes_of_pages) {
      void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (pages != MAP_FAILED) {
#ifdef MADV_HUGEPAGE
        (void)::madvise(pages, bytes, MADV_HUGEPAGE);
#endif
        return Memory(static_cast<float*>(pages), Free{bytes});
      }
    }
    Memory memory(static_cast<float*>(::operator new (bytes, std::align_val_t{64})), Free{0});
    std::memset(memory.get(), 0, bytes);
    return memory;
  }

  Memory data_;
  std::size_t size_ = 0;
};

/// True if the processor has AVX2 and fused multiplications, which these loops are compiled for.
[[nodiscard]] inline bool has_avx2() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
#else
  return false;
#endif
}

/// True if it has those of AVX-512 as well that server processors since 2017 have.
[[nodiscard]] inline bool has_avx512() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool has = has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  return has;
#else
  return false;
#endif
}

/// True if it also multiplies bf16 itself (AVX512_BF16).
[[nodiscard]] inline bool has_avx512_bf16() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool has = has_avx512() && __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

namespace detail {

/// Loads, stores and products of vectors of `Lanes` floats.
template <int Lanes>
struct VectorLoops {
  using Vector [[gnu::vector_size(Lanes * sizeof(float))]] = float;
  using Loose [[gnu::vector_size(Lanes * sizeof(float)), gnu::aligned(4), gnu::may_alias]] = float;
  static constexpr std::int64_t lanes = Lanes;

  [[gnu::always_inline]] static inline void load(Vector& to, const float* from) {
    to = *reinterpret_cast<const Loose*>(from);
  }
  [[gnu::always_inline]] static inline void store(float* to, const Vector& from) {
    *reinterpret_cast<Loose*>(to) = from;
  }

#ifdef IVADO_HAS_BF16_LOOPS
  // Words: two bf16 numbers in the place of a float, of which the second has the upper half. The instructions are written as such, since a
  // compiler takes intrinsics of a set only in functions for that set, and these are inlined into such ones.

  using Word [[gnu::vector_size(Lanes * sizeof(float))]] = std::uint32_t;
  using Half [[gnu::vector_size(Lanes * sizeof(float) / 2)]] = std::uint16_t;

  /// Rounds to the nearest bf16, to even ones in the middle. For 16 lanes.
  [[gnu::always_inline]] static inline void narrow(Half& to, const Vector& from) {
    asm("vcvtneps2bf16 %1, %0" : "=v"(to) : "v"(from));
  }
  /// Writes vectors as the first and second numbers of words.
  [[gnu::always_inline]] static inline void store_words(float* to, const Vector& first, const Vector& second) {
    Half halves[2];
    narrow(halves[0], first);
    narrow(halves[1], second);
    Word low;
    Word high;
    asm("vpmovzxwd %1, %0" : "=v"(low) : "v"(halves[0]));
    asm("vpmovzxwd %1, %0" : "=v"(high) : "v"(halves[1]));
    const Word words = low | high << 16;
    std::memcpy(to, &words, sizeof words);
  }
#endif
  /// sum += by · one, for floats, or for words: the products of both numbers of each word of `by` and of a single one.
  template <bool Words>
  [[gnu::always_inline]] static inline void add_multiple(Vector& sum, const Vector& by, const float& one) {
    if constexpr (!Words) {
      sum += by * one;
    } else {
#ifdef IVADO_HAS_BF16_LOOPS
      Vector own = sum;  // else compilers leave the sums in memory
      asm("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(own) : "v"(by), "m"(one));
      sum = own;
#endif
    }
  }

  // Plain values: four columns of as many channels as there are lanes, from and to vectors over the channels. Vectors of four
  // columns of the channels l, l + 4, … are transposed 4×4 by 4×4.

  using Four [[gnu::vector_size(4 * sizeof(float))]] = float;
  using LooseFour [[gnu::vector_size(4 * sizeof(float)), gnu::aligned(4), gnu::may_alias]] = float;
  using Eight [[gnu::vector_size(8 * sizeof(float))]] = float;
  /// Which elements of two vectors the i-th of a shuffle is.
  static constexpr int low_pairs(int i) { return i / 4 * 4 + i % 4 / 2 + i % 2 * Lanes; }
  static constexpr int high_pairs(int i) { return low_pairs(i) + 2; }
  static constexpr int low_halves(int i) { return i / 4 * 4 + i % 2 + i % 4 / 2 * Lanes; }
  static constexpr int high_halves(int i) { return low_halves(i) + 2; }
  template <int... I>
  [[gnu::always_inline]] static inline void transpose(Vector (&x)[4], std::integer_sequence<int, I...>) {
    const Vector a = __builtin_shufflevector(x[0], x[1], low_pairs(I)...);
    const Vector b = __builtin_shufflevector(x[0], x[1], high_pairs(I)...);
    const Vector c = __builtin_shufflevector(x[2], x[3], low_pairs(I)...);
    const Vector d = __builtin_shufflevector(x[2], x[3], high_pairs(I)...);
    x[0] = __builtin_shufflevector(a, c, low_halves(I)...);
    x[1] = __builtin_shufflevector(a, c, high_halves(I)...);
    x[2] = __builtin_shufflevector(b, d, low_halves(I)...);
    x[3] = __builtin_shufflevector(b, d, high_halves(I)...);
  }
  [[gnu::always_inline]] static inline void join(Eight& to, const float* low, const float* high) {
    const Four a = *reinterpret_cast<const LooseFour*>(low);
    const Four b = *reinterpret_cast<const LooseFour*>(high);
    to = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
  }
  [[gnu::always_inline]] static inline void load_columns(Vector (&x)[4], const float* from, std::int64_t channel) {
    for (std::int64_t l = 0; l < 4; ++l) {
      const float* const own = from + l * channel;
      Eight low;
      join(low, own, own + 4 * channel);
      if constexpr (Lanes == 8) {
        x[l] = low;
      } else {
        Eight high;
        join(high, own + 8 * channel, own + 12 * channel);
        x[l] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      }
    }
    transpose(x, std::make_integer_sequence<int, Lanes>{});
  }
  [[gnu::always_inline]] static inline void store_columns(const Vector (&y)[4], float* to, std::int64_t channel) {
    Vector x[4] = {y[0], y[1], y[2], y[3]};
    transpose(x, std::make_integer_sequence<int, Lanes>{});
    for (std::int64_t l = 0; l < 4; ++l) {
      float* const own = to + l * channel;
      store_four<0>(own, x[l]);
      store_four<4>(own + 4 * channel, x[l]);
      if constexpr (Lanes == 16) {
        store_four<8>(own + 8 * channel, x[l]);
        store_four<12>(own + 12 * channel, x[l]);
      }
    }
  }
  template <int First>
  [[gnu::always_inline]] static inline void store_four(float* to, const Vector& from) {
    *reinterpret_cast<LooseFour*>(to) = __builtin_shufflevector(from, from, First, First + 1, First + 2, First + 3);
  }
  /// The columns [left, right) of a row of `N`, four or six; zeros for the others.
  template <bool Plain, int N>
  [[gnu::always_inline]] static inline void load_row(Vector (&x)[N], const float* from, std::int64_t column,
                                                     std::int64_t channel, std::int64_t left, std::int64_t right) {
    if constexpr (!Plain) {
      for (std::int64_t c = 0; c < N; ++c) {
        x[c] = Vector{};
        if (c >= left && c < right) load(x[c], from + c * column);
      }
    } else if (left == 0 && right == N) {
      Vector four[4];
      load_columns(four, from, channel);
      for (std::int64_t c = 0; c < 4; ++c) x[c] = four[c];
      if constexpr (N == 6) {
        load_columns(four, from + 2, channel);
        x[4] = four[2];
        x[5] = four[3];
      }
    } else if (N == 6 && right - left >= 4) {
      // The first four and the last four of them.
      Vector ends[2][4];
      load_columns(ends[0], from + left, channel);
      load_columns(ends[1], from + right - 4, channel);
      for (std::int64_t c = 0; c < N; ++c)
        x[c] = c < left || c >= right ? Vector{} : c - left < 4 ? ends[0][c - left] : ends[1][c - right + 4];
    } else {
      for (std::int64_t c = 0; c < N; ++c) {
        float own[Lanes] = {};
        if (c >= left && c < right)
          for (std::int64_t l = 0; l < Lanes; ++l) own[l] = from[l * channel + c];
        load(x[c], own);
      }
    }
  }
  /// The first `right` columns of a row of four.
  template <bool Plain>
  [[gnu::always_inline]] static inline void store_row(const Vector (&y)[4], float* to, std::int64_t column,
                                                      std::int64_t channel, std::int64_t right) {
    if constexpr (!Plain) {
      for (std::int64_t c = 0; c < 4; ++c)
        if (c < right) store(to + c * column, y[c]);
    } else if (right == 4) {
      store_columns(y, to, channel);
    } else {
      for (std::int64_t c = 0; c < right; ++c) {
        float own[Lanes];
        store(own, y[c]);
        for (std::int64_t l = 0; l < Lanes; ++l) to[l * channel + c] = own[l];
      }
    }
  }

  /// c[R × N lanes] = Σ over taps and k of a[R × k] · b[k × N lanes], of floats or of words.
  template <int R, int N, bool Words = false>
  [[gnu::always_inline]] static inline void product(std::int64_t taps, const float* const* as, const float* const* bs,
                                                    std::int64_t count, std::int64_t a_row, float* c,
                                                    std::int64_t c_row) {
    Vector sum[R][N];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) sum[r][n] = Vector{};
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const float* x = as[tap];
      const float* w = bs[tap];
      for (std::int64_t k = 0; k < count; ++k, w += N * Lanes, ++x) {
        Vector by[N];
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) load(by[n], w + n * Lanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) add_multiple<Words>(sum[r][n], by[n], x[r * a_row]);
        }
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) store(c + r * c_row + n * Lanes, sum[r][n]);
  }
  /// c[R × N lanes] += Σ over k of x[k × R]ᵀ · d[k × N lanes], of floats or of words.
  template <int R, int N, bool Words = false>
  [[gnu::always_inline]] static inline void add_product(const float* x, std::int64_t x_row, const float* d,
                                                        std::int64_t d_row, std::int64_t count, float* c,
                                                        std::int64_t c_row) {
    Vector sum[R][N];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) load(sum[r][n], c + r * c_row + n * Lanes);
    for (std::int64_t k = 0; k < count; ++k, x += x_row, d += d_row) {
      Vector by[N];
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) load(by[n], d + n * Lanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) add_multiple<Words>(sum[r][n], by[n], x[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) store(c + r * c_row + n * Lanes, sum[r][n]);
  }
};

}  // namespace detail
}  // namespace ivado::engine
