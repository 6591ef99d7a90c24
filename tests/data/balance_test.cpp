// Balanced sampling: kinds are drawn as often, by label or by metadata; one order for a seed and epoch.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ivado/data/balance.hpp>
#include <ivado/data/batch_loader.hpp>
#include <ivado/data/bids_loader.hpp>
#include <ivado/data/slice_dataset.hpp>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"
#include "nifti_values.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::BalancedSampler;
using ivado::Case;
using ivado::CaseDataset;
using ivado::RandomKey;
using ivado::Shape;
using ivado::SliceOptions;
using ivado::Stage;
using ivado::detail::NoTransforms;
using Order = std::vector<std::int64_t>;

/// Two cases of 6 x 4 x 5 voxels from centres A and B. Their label is one voxel, (1, 1) of slice 2 of the first.
struct Study {
  Study() {
    for (const std::string id : {"one", "two"}) {
      Case one;
      one.id = id;
      one.images = {write(id, [](auto n) { return n; })};
      one.labels = {write(id + "_seg", [&](auto n) { return id == "one" && n == (1 * 4 + 1) * 5 + 2; })};
      one.metadata["centre"] = id == "one" ? "A" : "B";
      cases.push_back(std::move(one));
    }
  }
  template <class Value>
  std::string write(const std::string& name, const Value& value) const {
    std::string path = folder / (name + ".nii.gz");
    tests::write_values(path, Shape{6, 4, 5}, value);
    return path;
  }
  template <int Dimension>
  [[nodiscard]] CaseDataset<NoTransforms, Dimension> set(const SliceOptions& options = {},
                                                         Stage stage = Stage::training) const {
    return {cases, options, NoTransforms{}, stage, 1};
  }

  Scratch folder;
  std::vector<Case> cases;
};

/// The samples that show the first class.
template <class Data>
std::set<std::size_t> shown(const Data& data) {
  std::set<std::size_t> out;
  for (std::size_t i = 0; i < data.size(); ++i)
    if (data.shows_first_class(i)) out.insert(i);
  return out;
}

}  // namespace

TEST_CASE("Each kind makes up the same part of an epoch, and each sample of a kind as well") {
  std::vector<std::string> kinds(40, "many");
  kinds[7] = kinds[8] = "few";
  const BalancedSampler sampler(kinds);
  CHECK(sampler.kinds() == 2);
  CHECK(sampler.describe() == "2 few, 38 many");
  std::map<std::int64_t, int> times;
  constexpr int epochs = 500;
  for (std::uint32_t epoch = 1; epoch <= epochs; ++epoch) {
    const Order order = sampler.order({3, epoch, 0, ivado::stream_shuffle});
    REQUIRE(order.size() == 40);
    for (const auto sample : order) {
      REQUIRE((sample >= 0 && sample < 40));
      ++times[sample];
    }
  }
  // 20 000 draws. Half of them are "few": standard deviation 71. Each of "few" 5000 (61), of "many" 263 (16). Five of
  // these are allowed.
  CHECK(std::abs(times[7] + times[8] - 10000) < 355);
  CHECK(std::abs(times[7] - 5000) < 305);
  for (std::int64_t i = 0; i < 40; ++i)
    if (i != 7 && i != 8) CHECK(std::abs(times[i] - 263) < 80);
}

TEST_CASE("The order depends on seed and epoch alone") {
  std::vector<std::string> kinds(30, "a");
  kinds[3] = "b";
  const BalancedSampler sampler(kinds);
  const BalancedSampler same(kinds);
  const RandomKey key{11, 4, 0, ivado::stream_shuffle};
  CHECK(sampler.order(key) == same.order(key));
  CHECK(sampler.order(key) != sampler.order({12, 4, 0, ivado::stream_shuffle}));
  CHECK(sampler.order(key) != sampler.order({11, 5, 0, ivado::stream_shuffle}));
  CHECK(BalancedSampler({}).order(key).empty());
}

TEST_CASE("Slices, patches, volumes and sub-volumes know whether they show the first class") {
  const Study study;
  CHECK(shown(study.set<2>()) == std::set<std::size_t>{2});
  CHECK(shown(study.set<3>()) == std::set<std::size_t>{0});
  SliceOptions options;
  options.patches = {{3, 2}, {3, 2}};  // four patches a slice; the first has the voxel
  CHECK(shown(study.set<2>(options)) == std::set<std::size_t>{8});
  options.patches = {{3, 2, 5}, {3, 2, 5}};
  CHECK(shown(study.set<3>(options)) == std::set<std::size_t>{0});
  options.patches = {};
  options.cache_bytes = 0;  // what is not prepared is known as well
  CHECK(shown(study.set<2>(options)) == std::set<std::size_t>{2});
  options.image_labels = true;
  CHECK(shown(study.set<2>(options)) == std::set<std::size_t>{2});
  options.patches = {{3, 2}, {3, 2}};  // their label is that of the slice
  CHECK(shown(study.set<2>(options)) == std::set<std::size_t>{8, 9, 10, 11});
  CHECK_THROWS_WITH(study.set<2>({}, Stage::validation).shows_first_class(0), Contains("validation set"));
}

TEST_CASE("Classes that metadata tell, and labels of a further rater, count") {
  Study study;
  SliceOptions options;
  options.image_labels = true;
  for (auto& one : study.cases) one.labels.clear();
  study.cases[0].image_label = {0, 1};
  study.cases[1].image_label = {1, 0};
  CHECK(shown(study.set<2>(options)) == std::set<std::size_t>{5, 6, 7, 8, 9});

  Study raters;
  raters.cases[1].further_raters = {{raters.write("other", [](auto n) { return n % 5 == 4; })}};
  CHECK(shown(raters.set<2>()) == std::set<std::size_t>{2, 9});
}

TEST_CASE("Kinds by label and by a metadata column") {
  Study study;
  const auto set = study.set<2>();
  CHECK(ivado::balance_samples(set, "gt").describe() == "1 with the first class, 9 without the first class");
  CHECK(ivado::balance_samples(set, "centre").describe() == "5 of centre A, 5 of centre B");
  study.cases[0].metadata.erase("centre");
  CHECK(ivado::balance_samples(study.set<2>(), "centre").describe() == "5 of centre B, 5 of centre n/a");
  CHECK_THROWS_WITH(ivado::balance_samples(set, "center"), Contains("training_parameters.balance_samples.type") &&
                                                               Contains("no column \"center\"") &&
                                                               Contains("did you mean \"centre\"?"));
}

TEST_CASE("Batches of a balanced epoch are its samples in order, for any number of workers and wherever it begins") {
  const Study study;
  const auto set = study.set<2>();
  using Loader = ivado::BatchLoader<CaseDataset<NoTransforms, 2>>;
  const auto samples_of = [&](Loader& loader, std::uint32_t epoch) {
    Order out;
    loader.start(epoch);
    while (const auto loaded = loader.next())
      for (const auto& origin : loaded->batch.origins) out.push_back(5 * origin.volume + origin.slice);
    return out;
  };
  ivado::BatchOptions options{.batch_size = 4, .shuffle = true, .seed = 9};
  options.balanced = ivado::balance_samples(set, "gt");
  Loader loader(set, options);
  CHECK(loader.batches() == 3);
  std::vector<Order> epochs;
  for (std::uint32_t epoch = 1; epoch <= 3; ++epoch) epochs.push_back(samples_of(loader, epoch));
  CHECK(epochs[2] == options.balanced->order({9, 3, 0, ivado::stream_shuffle}));
  CHECK(epochs[0] != epochs[1]);
  options.workers = 3;
  Loader later(set, options);  // as a resumed training
  CHECK(samples_of(later, 3) == epochs[2]);
}
