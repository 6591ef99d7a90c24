// Keyed random numbers: every draw is a function of (seed, epoch, sample, stream), so the same on any number of
// workers.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

namespace ivado {

/// The Philox4x32-10 counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
/// (SC 2011, doi:10.1145/2063384.2063405): 128 bits of counter and 64 bits of key to 128 random bits.
[[nodiscard]] constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                                std::array<std::uint32_t, 2> key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// What a random draw depends on. Two different keys give independent numbers.
struct RandomKey {
  std::uint64_t seed = 0;    ///< the seed of the run
  std::uint32_t epoch = 0;   ///< number of the pass over the data; 0 outside of training
  std::uint32_t sample = 0;  ///< number of the sample in its data set
  std::uint32_t stream = 0;  ///< what it is for: the place of a transform in its chain, or one of `RandomStream`

  [[nodiscard]] friend constexpr bool operator==(const RandomKey&, const RandomKey&) = default;
  /// This key for another purpose.
  [[nodiscard]] constexpr RandomKey with_stream(std::uint32_t value) const noexcept {
    return {seed, epoch, sample, value};
  }
};

/// Streams that are no transform's; transforms count from 0.
enum RandomStream : std::uint32_t {
  stream_split = 0x80000000,  ///< distribution of subjects to the sets
  stream_shuffle,             ///< order of the samples in an epoch
  stream_weights,             ///< initial weights; `sample` is the number of the parameter
  stream_dropout,             ///< dropout masks
  stream_rater,               ///< choice among several raters
  stream_phantom,             ///< the embedded data set
  stream_contrasts,           ///< contrasts that are hidden while training
  stream_input_dropout,       ///< channels that are blanked while training
  stream_user,                ///< the first one free for users
};

/// A sequence of random numbers that is a pure function of its key. Cheap to make; copies continue alike.
///
/// Floating-point draws have 32 (`uniform`) or 24 (`uniform_float`) random bits.
class Rng {
 public:
  explicit constexpr Rng(const RandomKey& key) noexcept : key_(key) {}

  /// 32 random bits.
  [[nodiscard]] constexpr std::uint32_t bits() noexcept {
    if (used_ == 4) {
      block_ = philox4x32({next_block_++, key_.stream, key_.sample, key_.epoch},
                          {static_cast<std::uint32_t>(key_.seed), static_cast<std::uint32_t>(key_.seed >> 32)});
      used_ = 0;
    }
    return block_[used_++];
  }
  /// Uniform in [0, 1).
  [[nodiscard]] constexpr double uniform() noexcept { return bits() * 0x1p-32; }
  /// Uniform in [low, high).
  [[nodiscard]] constexpr double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }
  /// Uniform in [0, 1) with the 24 bits that a float holds exactly.
  [[nodiscard]] constexpr float uniform_float() noexcept { return static_cast<float>(bits() >> 8) * 0x1p-24F; }
  /// Fills n floats as n calls of `uniform_float` would, several times faster.
  void fill_uniform(float* values, std::int64_t n) noexcept {
    for (; n > 0 && used_ < 4; --n) *values++ = uniform_float();
    for (constexpr std::int64_t count = 4 * blocks_at_once; n >= count; n -= count, values += count)
      fill_blocks(values);
    for (; n > 0; --n) *values++ = uniform_float();
  }
  /// Goes on behind the first 4 × `blocks` draws of the key: so several threads can share out one long row of draws.
  constexpr void go_to_block(std::uint32_t blocks) noexcept {
    next_block_ = blocks;
    used_ = 4;
  }
  /// True with the given probability.
  [[nodiscard]] constexpr bool bernoulli(double probability) noexcept { return uniform() < probability; }
  /// Uniform in 0 … n-1 without bias (rejection); 0 for n of 0 or 1.
  [[nodiscard]] constexpr std::uint32_t below(std::uint32_t n) noexcept {
    if (n < 2) return 0;
    const std::uint32_t rejected = (0U - n) % n;  // 2^32 mod n: so many draws would be favoured
    std::uint32_t draw = bits();
    while (draw < rejected) draw = bits();
    return draw % n;
  }
  /// Normal with the given mean and standard deviation (Box and Muller 1958, doi:10.1214/aoms/1177706645).
  [[nodiscard]] double normal(double mean = 0, double standard_deviation = 1) noexcept {
    const double radius = std::sqrt(-2 * std::log((bits() + 1.0) * 0x1p-32));
    return mean + standard_deviation * radius * std::cos(2 * std::numbers::pi * uniform());
  }
  /// The numbers 0 … n-1 in random order (Fisher and Yates).
  [[nodiscard]] std::vector<std::int64_t> permutation(std::int64_t n) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
    for (std::int64_t i = n - 1; i > 0; --i)
      std::swap(order[static_cast<std::size_t>(i)], order[below(static_cast<std::uint32_t>(i + 1))]);
    return order;
  }

 private:
  static constexpr std::uint32_t blocks_at_once = 32;

  /// The floats of the next blocks: `philox4x32` with one loop over the blocks for each step, for the vector unit.
  void fill_blocks(float* values) noexcept {
    using Words = std::array<std::uint32_t, blocks_at_once>;
    Words a, b, c, d;
    for (std::uint32_t i = 0; i < blocks_at_once; ++i) a[i] = next_block_ + i;
    b.fill(key_.stream);
    c.fill(key_.sample);
    d.fill(key_.epoch);
    std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(key_.seed),
                                     static_cast<std::uint32_t>(key_.seed >> 32)};
    for (int round = 0; round < 10; ++round) {
      for (std::uint32_t i = 0; i < blocks_at_once; ++i) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53} * a[i];
        const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[i];
        a[i] = static_cast<std::uint32_t>(p1 >> 32) ^ b[i] ^ key[0];
        b[i] = static_cast<std::uint32_t>(p1);
        c[i] = static_cast<std::uint32_t>(p0 >> 32) ^ d[i] ^ key[1];
        d[i] = static_cast<std::uint32_t>(p0);
      }
      key[0] += 0x9E3779B9;
      key[1] += 0xBB67AE85;
    }
    const auto to_float = [](std::uint32_t bits) { return static_cast<float>(static_cast<int>(bits >> 8)) * 0x1p-24F; };
    for (std::uint32_t i = 0; i < blocks_at_once; ++i) {
      values[4 * i] = to_float(a[i]);
      values[4 * i + 1] = to_float(b[i]);
      values[4 * i + 2] = to_float(c[i]);
      values[4 * i + 3] = to_float(d[i]);
    }
    next_block_ += blocks_at_once;
  }

  RandomKey key_;
  std::uint32_t next_block_ = 0;
  std::array<std::uint32_t, 4> block_{};
  std::uint32_t used_ = 4;
};

}  // namespace ivado
