#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ivado/random.hpp>
#include <ivado/uncertainty/structures.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

/// A row of voxels, '#' being set.
Array<std::uint8_t> row(const std::string& text) {
  Array<std::uint8_t> out({1, 1, static_cast<std::int64_t>(text.size())});
  for (std::size_t i = 0; i < text.size(); ++i) out[static_cast<std::int64_t>(i)] = text[i] == '#' ? 1 : 0;
  return out;
}

std::vector<UncertainStructure> compare(const std::string& mask, const std::vector<std::string>& runs,
                                        std::int64_t least_voxels = 1) {
  const auto structures = row(mask);
  StructureAgreement agreement(structures.view(), least_voxels);
  for (const auto& run : runs) agreement.add(row(run).view());
  return agreement.result();
}

Array<std::uint8_t> drawn_mask(const Shape& shape, double density, std::uint32_t number) {
  Rng rng({23, 0, number, stream_user});
  Array<std::uint8_t> mask(shape);
  for (auto& voxel : mask) voxel = rng.uniform() < density ? 1 : 0;
  return mask;
}

/// The measures with whole label images of all runs in memory, straight from their definition.
std::vector<UncertainStructure> by_definition(const Array<std::uint8_t>& mask,
                                              const std::vector<Array<std::uint8_t>>& runs, std::int64_t least) {
  const Components found(mask.view(), Connectivity::edges);
  const auto structure_of = found.labels();
  std::vector<UncertainStructure> out;
  for (std::int32_t s = 1; s <= found.count(); ++s) {
    if (found.size_of(s) < least) continue;
    std::vector<std::set<std::int64_t>> matched;
    for (const auto& run : runs) {
      const auto labels = Components(run.view(), Connectivity::edges).labels();
      std::vector<std::int64_t> shared(static_cast<std::size_t>(labels.size()) + 1, 0);
      for (std::int64_t i = 0; i < labels.size(); ++i)
        if (structure_of[i] == s && labels[i] != 0) ++shared[static_cast<std::size_t>(labels[i])];
      const auto best = std::max_element(shared.begin(), shared.end());
      std::set<std::int64_t> voxels;
      if (*best > 0)
        for (std::int64_t i = 0; i < labels.size(); ++i)
          if (labels[i] == best - shared.begin()) voxels.insert(i);
      matched.push_back(std::move(voxels));
    }
    double common = 0;
    double any = 0;
    for (std::int64_t i = 0; i < mask.size(); ++i) {
      const auto in = std::count_if(matched.begin(), matched.end(), [&](const auto& set) { return set.count(i) > 0; });
      common += in == static_cast<std::int64_t>(runs.size()) ? 1 : 0;
      any += in > 0 ? 1 : 0;
    }
    UncertainStructure one;
    one.voxels = found.size_of(s);
    const auto n = static_cast<double>(runs.size());
    double sum = 0;
    for (const auto& set : matched) sum += static_cast<double>(set.size());
    double squares = 0;
    for (const auto& set : matched) squares += std::pow(static_cast<double>(set.size()) - sum / n, 2);
    if (any > 0) {
      one.overlap = common / any;
      one.mean_voxels = sum / n;
      one.variation = std::sqrt(squares / n) / (sum / n);
    }
    out.push_back(one);
  }
  return out;
}

}  // namespace

TEST_CASE("structures are compared with the objects that match them in each run", "[unit][uncertainty]") {
  // The first structure: objects of 4, 2 and 3 voxels, of which the runs share 2 of 4. The second: found in one run.
  const auto found = compare(".####...##.", {".####......", "..##.......", "..###...#.."});
  REQUIRE(found.size() == 2);
  CHECK(found[0].voxels == 4);
  CHECK(found[0].overlap == 0.5);
  CHECK(found[0].mean_voxels == 3);
  CHECK(found[0].variation == Approx(std::sqrt(2.0 / 3) / 3).epsilon(1e-12));  // population standard deviation
  CHECK(found[1].voxels == 2);
  CHECK(found[1].overlap == 0);
  CHECK(found[1].mean_voxels == Approx(1.0 / 3).epsilon(1e-12));
  CHECK(found[1].variation == Approx(std::sqrt(2.0)).epsilon(1e-12));  // sizes 0, 0, 1
}

TEST_CASE("the object that shares most voxels matches, of equal ones the first", "[unit][uncertainty]") {
  // The second run splits the structure in objects of 1 and 3 voxels: the larger one matches.
  CHECK(compare("######", {"######", "#.###."})[0].overlap == 0.5);
  // Parts of two voxels each: the first one matches in both runs.
  const auto tie = compare("#####", {"##.##", "##.##"});
  CHECK(tie[0].overlap == 1);
  CHECK(tie[0].mean_voxels == 2);
  // What shares most counts, not what is largest.
  CHECK(compare("##.......", {"##.......", "#..######"})[0].mean_voxels == 1.5);
}

TEST_CASE("one object can match several structures, and reach out of them", "[unit][uncertainty]") {
  const auto found = compare("##..##", {"######", "##..##", "######"});
  REQUIRE(found.size() == 2);
  for (const auto& one : found) {
    CHECK(one.overlap == Approx(1.0 / 3).epsilon(1e-12));
    CHECK(one.mean_voxels == Approx(14.0 / 3).epsilon(1e-12));
  }
}

TEST_CASE("runs that agree have overlap 1 and no variation; a single run agrees with itself", "[unit][uncertainty]") {
  for (const std::size_t n : {1U, 2U, 7U}) {
    for (const auto& one : compare("##.#", std::vector<std::string>(n, "##.#"))) {
      CHECK(one.overlap == 1);
      CHECK(one.variation == 0);
    }
  }
}

TEST_CASE("a structure that no run has is 0, not 0/0", "[unit][uncertainty]") {
  const auto found = compare("##..", {"....", "...#"});
  REQUIRE(found.size() == 1);
  CHECK(found[0].overlap == 0);
  CHECK(found[0].variation == 0);
  CHECK(found[0].mean_voxels == 0);
}

TEST_CASE("structures below the least size are left out", "[unit][uncertainty]") {
  CHECK(compare("#.##", {"#.##"}, 2).size() == 1);
  CHECK(compare("#.##", {"#.##"}, 1).size() == 2);
  CHECK(compare("....", {"#.##"}).empty());
  const auto mask = row("##");
  StructureAgreement agreement(mask.view(), 1);
  CHECK_THROWS_WITH(agreement.add(row("###").view()), Contains("1x1x3") && Contains("1x1x2"));
}

TEST_CASE("the streamed measures are those of the definition, in any order of the runs", "[unit][uncertainty]") {
  const auto seed = GENERATE(range(0U, 6U));
  const double density = seed % 2 == 0 ? 0.15 : 0.35;
  const Shape shape{5, 6, 7};
  const auto mask = drawn_mask(shape, density, 100 * seed);
  std::vector<Array<std::uint8_t>> runs;
  for (std::uint32_t n = 1; n <= 5; ++n) {
    auto run = drawn_mask(shape, 0.2, 100 * seed + n);
    for (std::int64_t i = 0; i < run.size(); ++i)
      if (mask[i] != 0 && n % 3 != 0) run[i] = 1;
    runs.push_back(std::move(run));
  }
  const std::int64_t least = seed % 3 == 0 ? 2 : 1;
  const auto expected = by_definition(mask, runs, least);
  REQUIRE(!expected.empty());
  for (const bool backwards : {false, true}) {
    StructureAgreement agreement(mask.view(), least);
    for (std::size_t n = 0; n < runs.size(); ++n)
      agreement.add(std::as_const(runs[backwards ? runs.size() - 1 - n : n]).view());
    const auto found = agreement.result();
    REQUIRE(found.size() == expected.size());
    REQUIRE(agreement.size() == expected.size());
    for (std::size_t s = 0; s < found.size(); ++s) {
      CHECK(found[s].voxels == expected[s].voxels);
      CHECK(found[s].overlap == expected[s].overlap);
      CHECK(found[s].mean_voxels == Approx(expected[s].mean_voxels).margin(1e-12));
      CHECK(found[s].variation == Approx(expected[s].variation).margin(1e-12));
    }
  }
}
