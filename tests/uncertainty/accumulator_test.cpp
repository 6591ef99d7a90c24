#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <ivado/random.hpp>
#include <ivado/uncertainty/accumulator.hpp>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

std::string scratch() { return std::filesystem::temp_directory_path().string(); }

Array<float> row(const std::vector<float>& values) {
  Array<float> out({1, 1, 1, static_cast<std::int64_t>(values.size())});
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

/// Blobs with noise, another one for each number.
Array<float> drawn(const Shape& shape, std::uint32_t number) {
  Rng rng({3, 0, number, stream_user});
  Array<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i)
    out[i] = i / 3 % 5 < 3 && rng.uniform() < 0.8 ? rng.uniform_float() : 0.0F;
  return out;
}

UncertaintyMaps maps_of(const std::vector<Array<float>>& runs, const UncertaintyAccumulator::Params& params = {}) {
  UncertaintyAccumulator accumulator(scratch(), params);
  for (const auto& run : runs) accumulator.add(run.view());
  CHECK(accumulator.runs() == static_cast<std::int64_t>(runs.size()));
  return accumulator.finish();
}

std::vector<float> values(const Array<float>& array) { return {array.begin(), array.end()}; }

}  // namespace

TEST_CASE("the maps of a worked example", "[unit][uncertainty]") {
  std::vector<Array<float>> runs;
  runs.push_back(row({1, 1, 0, 0, 0, 1}));
  runs.push_back(row({1, 1, 1, 0, 0, 0}));
  runs.push_back(row({1, 0, 0, 0, 0, 0}));
  runs.push_back(row({1, 1, 0, 0, 0, 0}));
  const UncertaintyMaps maps = maps_of(runs);
  CHECK(maps.runs == 4);
  CHECK(values(maps.soft) == std::vector<float>{1, 0.75F, 0.25F, 0, 0, 0.25F});
  CHECK(values(maps.hard) == std::vector<float>{1, 1, 1, 0, 0, 1});  // 1/4 and above
  const double quarter = -(0.75 * std::log(0.75 + 1e-5) + 0.25 * std::log(0.25 + 1e-5));
  const std::vector<double> entropy{0, quarter, quarter, 0, 0, quarter};
  for (std::int64_t i = 0; i < 6; ++i)
    CHECK(maps.entropy[i] == Approx(entropy[static_cast<std::size_t>(i)]).epsilon(1e-6));
  // Structures: voxels 0 to 2, of sizes 2, 3, 1, 2, and voxel 5, of sizes 1, 0, 0, 0.
  REQUIRE(maps.structures.size() == 2);
  CHECK(maps.structures[0].overlap == Approx(1.0 / 3));
  CHECK(maps.structures[0].variation == Approx(std::sqrt(0.5) / 2));
  CHECK(maps.structures[0].mean_entropy == Approx(2 * quarter / 3));
  CHECK(maps.structures[1].variation == Approx(std::sqrt(3.0)));
  for (std::int64_t i = 0; i < 6; ++i) {
    const bool first = i < 3;
    const bool second = i == 5;
    CHECK(maps.overlap[i] == Approx(first ? 1.0 / 3 : 0));
    CHECK(maps.variation[i] == Approx(first ? std::sqrt(0.5) / 2 : second ? std::sqrt(3.0) : 0));
    CHECK(maps.mean_entropy[i] == Approx(first ? 2 * quarter / 3 : second ? quarter : 0).epsilon(1e-6));
  }
  // ivadomed leaves the structure of one voxel out.
  UncertaintyAccumulator::Params as_ivadomed;
  as_ivadomed.as_ivadomed = true;
  const UncertaintyMaps old = maps_of(runs, as_ivadomed);
  CHECK(old.structures.size() == 1);
  CHECK(old.variation[5] == 0);
  CHECK(old.hard[5] == 1);
  // `view` gives each map.
  CHECK(maps.view(UncertaintyMap::soft).data() == maps.soft.data());
  CHECK(maps.view(UncertaintyMap::entropy).data() == maps.entropy.data());
  CHECK(maps.view(UncertaintyMap::overlap).data() == maps.overlap.data());
  CHECK(maps.view(UncertaintyMap::variation).data() == maps.variation.data());
  CHECK(maps.view(UncertaintyMap::mean_entropy).data() == maps.mean_entropy.data());
}

TEST_CASE("the entropy of a voxel", "[unit][uncertainty]") {
  CHECK(binary_entropy(0) == 0);
  CHECK(binary_entropy(1) == 0);
  CHECK(binary_entropy(0.5) == Approx(std::log(2.0)).margin(3e-5));
  CHECK(binary_entropy(0.3) == Approx(binary_entropy(0.7)).epsilon(1e-12));
  for (const double p : {0.1, 0.2, 0.3, 0.4}) CHECK(binary_entropy(p) < binary_entropy(p + 0.05));
}

TEST_CASE("a single run is no error: it agrees with itself", "[unit][uncertainty]") {
  std::vector<Array<float>> runs;
  runs.push_back(row({1, 1, 0, 0, 1}));
  const UncertaintyMaps maps = maps_of(runs);
  CHECK(values(maps.overlap) == std::vector<float>{1, 1, 0, 0, 1});
  CHECK(values(maps.variation) == std::vector<float>(5, 0.0F));
  CHECK(values(maps.hard) == values(runs[0]));
}

TEST_CASE("both thresholds can be set", "[unit][uncertainty]") {
  std::vector<Array<float>> runs;
  runs.push_back(row({0.9F, 0.25F, 0.005F, 0}));
  runs.push_back(row({0.7F, 0.25F, 0.005F, 0}));
  CHECK(values(maps_of(runs).hard) == std::vector<float>{1, 0, 0, 0});  // 1/2
  UncertaintyAccumulator::Params low;
  low.hard_threshold = 0.004;
  const UncertaintyMaps maps = maps_of(runs, low);
  CHECK(values(maps.hard) == std::vector<float>{1, 1, 1, 0});
  CHECK(maps.structures.at(0).mean_voxels == 2);  // 0.005 is not foreground of a run
  low.foreground_above = 0.5;
  CHECK(maps_of(runs, low).structures.at(0).mean_voxels == 1);
  low.foreground_above = 0;
  CHECK(maps_of(runs, low).structures.at(0).mean_voxels == 3);
  const auto read = [](const char* text) {
    return from_json<UncertaintyAccumulator::Params>(Json::parse(text), "uncertainty");
  };
  CHECK(read(R"({"hard_threshold": 0.5})").hard_threshold == 0.5);
  CHECK_THROWS_AS(read(R"({"hard_threshold": 1.5})"), Error);
  CHECK_THROWS_AS(read(R"({"foreground_above": 1})"), Error);
  CHECK_THROWS_AS(read(R"({"foreground_above": -0.1})"), Error);
}

TEST_CASE("classes are apart, strides do not matter, and neither does the order of the runs", "[unit][uncertainty]") {
  const Shape shape{2, 4, 5, 6};
  std::vector<Array<float>> runs;
  for (std::uint32_t n = 0; n < 4; ++n) runs.push_back(drawn(shape, n));
  const UncertaintyMaps maps = maps_of(runs);
  for (std::int64_t c = 0; c < 2; ++c) {
    UncertaintyAccumulator alone(scratch());
    for (const auto& run : runs) alone.add(run.view().narrow(0, c, 1));
    const UncertaintyMaps one = alone.finish();
    for (const auto map : {UncertaintyMap::soft, UncertaintyMap::entropy, UncertaintyMap::overlap,
                           UncertaintyMap::variation, UncertaintyMap::mean_entropy})
      CHECK(Array<float>::from(maps.view(map).narrow(0, c, 1)) == Array<float>::from(one.view(map)));
  }
  CHECK(maps.structures.front().class_index == 0);
  CHECK(maps.structures.back().class_index == 1);

  UncertaintyAccumulator backwards(scratch());
  for (std::size_t n = runs.size(); n-- > 0;) {
    const Array<float> class_last = Array<float>::from(std::as_const(runs[n]).view().permute({1, 2, 3, 0}));
    backwards.add(class_last.view().permute({3, 0, 1, 2}));
  }
  const UncertaintyMaps same = backwards.finish();
  CHECK(same.overlap == maps.overlap);
  CHECK(same.hard == maps.hard);
  for (std::int64_t i = 0; i < maps.soft.size(); ++i) {
    CHECK(same.soft[i] == Approx(maps.soft[i]).margin(1e-7));
    CHECK(same.variation[i] == Approx(maps.variation[i]).margin(1e-6));
  }
}

TEST_CASE("runs can go on after the maps were made", "[unit][uncertainty]") {
  std::vector<Array<float>> runs;
  for (std::uint32_t n = 0; n < 5; ++n) runs.push_back(drawn({1, 4, 5, 6}, n));
  UncertaintyAccumulator accumulator(scratch());
  for (std::size_t n = 0; n < 3; ++n) accumulator.add(runs[n].view());
  CHECK(accumulator.finish().runs == 3);
  for (std::size_t n = 3; n < 5; ++n) accumulator.add(runs[n].view());
  const UncertaintyMaps maps = accumulator.finish();
  const UncertaintyMaps expected = maps_of(runs);
  CHECK(maps.soft == expected.soft);
  CHECK(maps.overlap == expected.overlap);
  CHECK(maps.variation == expected.variation);
}

TEST_CASE("memory does not grow with the number of runs", "[unit][uncertainty]") {
  // Bytes that the program holds on its heap; 0 under sanitizers, which have a heap of their own.
  const auto held = [] {
    const auto now = ::mallinfo2();
    return now.uordblks + now.hblkhd;
  };
  const Shape shape{2, 16, 32, 32};
  std::vector<Array<float>> runs;
  for (std::uint32_t n = 0; n < 4; ++n) runs.push_back(drawn(shape, n));
  UncertaintyAccumulator accumulator(scratch());
  for (const auto& run : runs) accumulator.add(run.view());
  const std::size_t after_4 = held();
  for (int round = 0; round < 24; ++round)
    for (const auto& run : runs) accumulator.add(run.view());
  CHECK(accumulator.runs() == 100);
  CHECK(held() <= after_4 + 64);
  // Nor does it while the maps are made: the structures of the same four runs again and again.
  const UncertaintyMaps maps = accumulator.finish();
  CHECK(maps.runs == 100);
  const auto mask = [&](std::uint32_t n) {
    Array<std::uint8_t> out(shape.from(1));
    for (std::int64_t i = 0; i < out.size(); ++i) out[i] = runs[n][i] > 0 ? 1 : 0;
    return out;
  };
  const auto structures = mask(0);
  std::vector<Array<std::uint8_t>> masks;
  for (std::uint32_t n = 0; n < 4; ++n) masks.push_back(mask(n));
  StructureAgreement agreement(structures.view(), 1);
  for (const auto& one : masks) agreement.add(one.view());
  const std::size_t structures_after_4 = held();
  for (int round = 0; round < 10; ++round)
    for (const auto& one : masks) agreement.add(one.view());
  CHECK(held() <= structures_after_4 + 4096);
}

TEST_CASE("predictions that cannot be used are refused", "[unit][uncertainty]") {
  UncertaintyAccumulator accumulator(scratch());
  CHECK_THROWS_WITH(accumulator.finish(), Contains("there is no prediction"));
  accumulator.add(row({0.5F, 1}).view());
  CHECK_THROWS_WITH(accumulator.add(row({0.5F, 1, 0}).view(), "sub-03"),
                    Contains("sub-03") && Contains("1x1x1x3") && Contains("1x1x1x2"));
  CHECK_THROWS_WITH(accumulator.add(row({0.5F, std::numeric_limits<float>::quiet_NaN()}).view()),
                    Contains("a value is nan"));
  CHECK_THROWS_WITH(accumulator.add(row({1.5F, 0}).view()), Contains("1.5") && Contains("last activation"));
  CHECK_THROWS_WITH(accumulator.add(Array<float>(Shape{2, 2}, 0).view()), Contains("[class, i, j, k]"));
  CHECK(accumulator.runs() == 1);
  CHECK(values(accumulator.finish().soft) == std::vector<float>{0.5F, 1});
  UncertaintyAccumulator nowhere("/nonexistent-folder");
  CHECK_THROWS_WITH(nowhere.add(row({1}).view()), Contains("/nonexistent-folder"));
  CHECK(nowhere.runs() == 0);
}
