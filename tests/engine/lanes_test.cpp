// Vectors of channels: rows of plain values and of values with channels side by side, there and back.
#include <cstdint>
#include <ivado/engine/lanes.hpp>
#include <vector>

#include "../catch.hpp"

using namespace ivado::engine;

namespace {

#if defined(__x86_64__) && defined(__GNUC__)
/// Reads the columns [left, right) of six, and writes the first four back elsewhere, of which `kept` are in the image.
template <int Lanes, bool Plain>
[[gnu::target("avx2,fma")]] std::vector<float> pass_on(const float* from, std::int64_t column, std::int64_t channel,
                                                       std::int64_t left, std::int64_t right, float* to,
                                                       std::int64_t kept) {
  using Loops = detail::VectorLoops<Lanes>;
  typename Loops::Vector row[6];
  Loops::template load_row<Plain>(row, from, column, channel, left, right);
  std::vector<float> read(6 * Lanes);
  for (std::size_t c = 0; c < 6; ++c) Loops::store(read.data() + c * Lanes, row[c]);
  const typename Loops::Vector four[4] = {row[0], row[1], row[2], row[3]};
  Loops::template store_row<Plain>(four, to, column, channel, kept);
  return read;
}

template <int Lanes, bool Plain>
void check() {
  constexpr std::int64_t column = Plain ? 1 : Lanes;
  constexpr std::int64_t channel = Plain ? 11 : 1;
  std::vector<float> values(11 * Lanes);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1 + static_cast<float>(i);
  const auto at = [&](const std::vector<float>& of, std::int64_t c, std::int64_t l) {
    return of[static_cast<std::size_t>(c * column + l * channel)];
  };
  for (std::int64_t left = 0; left <= 6; ++left)
    for (std::int64_t right = left; right <= 6; ++right)
      for (std::int64_t kept = 0; kept <= 4; ++kept) {
        std::vector<float> written(values.size(), -1);
        const auto read = pass_on<Lanes, Plain>(values.data(), column, channel, left, right, written.data(), kept);
        bool same = true;
        for (std::int64_t c = 0; c < 11; ++c)
          for (std::int64_t l = 0; l < Lanes; ++l) {
            const float inside = c >= left && c < right ? at(values, c, l) : 0;
            if (c < 6) same = same && read[static_cast<std::size_t>(c * Lanes + l)] == inside;
            same = same && at(written, c, l) == (c < kept ? inside : -1);
          }
        INFO("lanes " << Lanes << ", plain " << Plain << ", columns " << left << " to " << right << ", kept " << kept);
        CHECK(same);
      }
}
#endif

}  // namespace

TEST_CASE("Rows come into vectors over the channels and back, also where the image ends in them", "[unit]") {
#if defined(__x86_64__) && defined(__GNUC__)
  if (has_avx2()) {
    check<8, false>();
    check<8, true>();
    check<16, false>();
    check<16, true>();
    return;
  }
#endif
  WARN("skipped: this processor has no AVX2");
}

TEST_CASE("A buffer begins at a cache line, and keeps what it has as long as it is large enough", "[unit]") {
  LineBuffer buffer;
  CHECK(buffer.data() == nullptr);
  float* const first = buffer.at_least(100);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  for (int i = 0; i < 100; ++i) CHECK(first[i] == 0);
  first[7] = 3;
  CHECK(buffer.at_least(50) == first);
  CHECK(first[7] == 3);
  float* const second = buffer.at_least(5000);
  for (int i = 0; i < 5000; ++i) REQUIRE(second[i] == 0);
  CHECK_THROWS_AS(buffer.at_least(std::size_t{1} << 60), std::bad_alloc);
  REQUIRE(buffer.at_least(10) != nullptr);
  CHECK(buffer.data()[3] == 0);
}
