// Batches: the same bit for bit for any number of workers, errors that arrive in order, ends at any time.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ivado/data/batch_loader.hpp>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace {

/// Samples that are a function of (index, epoch), some of which fail, differ in shape or take long.
class Numbers {
 public:
  struct History {
    std::size_t index = 0;
    std::uint32_t epoch = 0;
  };
  struct Loaded {
    ivado::Sample sample;
    History history;
  };

  explicit Numbers(std::size_t size) : size_(size) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] ivado::Stage stage() const { return ivado::Stage::training; }
  [[nodiscard]] std::string describe(std::size_t index) const { return "number " + std::to_string(index); }
  [[nodiscard]] Loaded get(std::size_t index, std::uint32_t epoch) const {
    ++loads;
    if (slow) std::this_thread::sleep_for(std::chrono::microseconds(50 * ((index * 7919) % 5)));
    if (failing.contains(index)) throw ivado::data_error("reading it", "it is broken");
    if (throwing.contains(index)) throw std::runtime_error("no idea");
    if (throwing_int.contains(index)) throw 7;  // no exception class at all
    Loaded out;
    ivado::Rng rng(ivado::RandomKey{5, epoch, static_cast<std::uint32_t>(index)});
    const std::int64_t width = wide.contains(index) ? 4 : 3;
    out.sample.image.voxels = ivado::Array<float>(ivado::Shape{2, 5, width});
    for (float& value : out.sample.image.voxels) value = rng.uniform_float();
    if (labels) out.sample.label.voxels = ivado::Array<float>(ivado::Shape{1, 5, width}, static_cast<float>(index));
    out.sample.origin = {static_cast<std::int32_t>(index), static_cast<std::int32_t>(index) + 100};
    const std::size_t length = longer.contains(index) ? conditions + 1 : conditions;
    for (std::size_t k = 0; k < length; ++k) out.sample.condition.push_back(static_cast<float>(10 * index + k));
    out.history = {index, epoch};
    return out;
  }

  std::set<std::size_t> failing, throwing, throwing_int, wide, longer;
  std::size_t conditions = 0;
  bool labels = true;
  bool slow = false;
  mutable std::atomic<int> loads{0};

 private:
  std::size_t size_;
};
static_assert(ivado::Dataset<Numbers>);

using Loader = ivado::BatchLoader<Numbers>;

/// All bytes that an epoch delivers.
std::vector<Loader::LoadedBatch> epoch_of(Loader& loader, std::uint32_t epoch) {
  std::vector<Loader::LoadedBatch> out;
  loader.start(epoch);
  while (auto loaded = loader.next()) out.push_back(std::move(*loaded));
  return out;
}

bool same(const Loader::LoadedBatch& a, const Loader::LoadedBatch& b) {
  const auto same_origin = [](const ivado::Origin& x, const ivado::Origin& y) {
    return x.volume == y.volume && x.slice == y.slice;
  };
  const auto same_history = [](const auto& x, const auto& y) { return x.index == y.index && x.epoch == y.epoch; };
  return a.batch.image == b.batch.image && a.batch.label == b.batch.label && a.batch.condition == b.batch.condition &&
         std::equal(a.batch.origins.begin(), a.batch.origins.end(), b.batch.origins.begin(), b.batch.origins.end(),
                    same_origin) &&
         std::equal(a.histories.begin(), a.histories.end(), b.histories.begin(), b.histories.end(), same_history);
}

}  // namespace

TEST_CASE("samples stand in batches in order, and the last batch holds the rest", "[unit][batch_loader]") {
  const Numbers data(7);
  const auto workers = GENERATE(0, 1, 3);
  Loader loader(data, {.batch_size = 3, .workers = workers});
  REQUIRE(loader.batches() == 3);
  const auto batches = epoch_of(loader, 4);
  REQUIRE(batches.size() == 3);
  const std::array<std::int64_t, 3> sizes{3, 3, 1};
  for (std::size_t b = 0; b < 3; ++b) {
    CHECK(batches[b].batch.size() == sizes[b]);
    CHECK(batches[b].batch.image.shape() == ivado::Shape{sizes[b], 2, 5, 3});
    CHECK(batches[b].batch.label.shape() == ivado::Shape{sizes[b], 1, 5, 3});
    for (std::int64_t s = 0; s < sizes[b]; ++s) {
      const auto index = static_cast<std::size_t>(s) + 3 * b;
      CHECK(batches[b].batch.origins[static_cast<std::size_t>(s)].volume == static_cast<std::int32_t>(index));
      CHECK(batches[b].batch.origins[static_cast<std::size_t>(s)].slice == static_cast<std::int32_t>(index) + 100);
      CHECK(batches[b].histories[static_cast<std::size_t>(s)].index == index);
      CHECK(batches[b].histories[static_cast<std::size_t>(s)].epoch == 4);
      CHECK(batches[b].batch.label[s * 15] == static_cast<float>(index));
      const auto alone = data.get(index, 4);
      CHECK(std::memcmp(alone.sample.image.voxels.data(), batches[b].batch.image.data() + s * 30, 30 * sizeof(float)) ==
            0);
    }
  }
  CHECK_FALSE(loader.next().has_value());
}

TEST_CASE("any number of workers gives the same batches bit for bit", "[unit][batch_loader]") {
  const auto size = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{17}, std::size_t{53});
  const auto batch_size = GENERATE(std::size_t{1}, std::size_t{4}, std::size_t{100});
  const bool shuffle = GENERATE(false, true);
  Numbers data(size);
  data.slow = true;
  Loader alone(data, {.batch_size = batch_size, .shuffle = shuffle, .seed = 11});
  const std::array<std::vector<Loader::LoadedBatch>, 2> expected{epoch_of(alone, 0), epoch_of(alone, 1)};
  REQUIRE(expected[0].size() == alone.batches());
  for (const int workers : {1, 2, 4})
    for (const int prefetch : {0, 1, 3}) {
      Loader loader(
          data, {.batch_size = batch_size, .shuffle = shuffle, .seed = 11, .workers = workers, .prefetch = prefetch});
      for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
        const auto found = epoch_of(loader, epoch);
        REQUIRE(std::equal(found.begin(), found.end(), expected[epoch].begin(), expected[epoch].end(), same));
      }
    }
}

TEST_CASE("a shuffled epoch holds every sample once, in an order of its own", "[unit][batch_loader]") {
  const Numbers data(40);
  Loader loader(data, {.batch_size = 7, .shuffle = true, .seed = 2, .workers = 2});
  const auto order = [&](std::uint32_t epoch) {
    std::vector<std::size_t> out;
    for (const auto& loaded : epoch_of(loader, epoch))
      for (const auto& history : loaded.histories) out.push_back(history.index);
    return out;
  };
  const auto first = order(0);
  const auto second = order(1);
  CHECK(first != second);
  CHECK(first == order(0));
  CHECK(std::set<std::size_t>(first.begin(), first.end()).size() == 40);
  std::vector<std::size_t> expected;
  for (const auto i : ivado::Rng(ivado::RandomKey{2, 1, 0, ivado::stream_shuffle}).permutation(40))
    expected.push_back(static_cast<std::size_t>(i));
  CHECK(second == expected);
}

TEST_CASE("an order of the caller's is followed", "[unit][batch_loader]") {
  const Numbers data(5);
  Loader loader(data, {.batch_size = 2, .workers = 2});
  loader.start(0, {4, 4, 0});
  CHECK(loader.next()->histories[1].index == 4);
  CHECK(loader.next()->histories[0].index == 0);
  CHECK_FALSE(loader.next().has_value());
}

TEST_CASE("a data set without labels gives batches without labels", "[unit][batch_loader]") {
  Numbers data(3);
  data.labels = false;
  Loader loader(data, {.batch_size = 2, .workers = GENERATE(0, 2)});
  const auto batches = epoch_of(loader, 0);
  REQUIRE(batches.size() == 2);
  CHECK(batches[0].batch.label.empty());
  CHECK(batches[0].batch.image.size() == 60);
}

TEST_CASE("conditions are stacked; without any the batch has none", "[unit][batch_loader]") {
  Numbers data(5);
  const auto workers = GENERATE(0, 1, 4);
  Loader loader(data, {.batch_size = 3, .workers = workers});
  CHECK(epoch_of(loader, 0)[0].batch.condition.shape().rank() == 0);
  data.conditions = 2;
  data.slow = true;
  const auto batches = epoch_of(loader, 0);
  REQUIRE(batches.size() == 2);
  CHECK(batches[0].batch.condition.shape() == ivado::Shape{3, 2});
  CHECK(batches[1].batch.condition.shape() == ivado::Shape{2, 2});
  for (std::int64_t s = 0; s < 3; ++s)
    for (std::int64_t k = 0; k < 2; ++k) CHECK(batches[0].batch.condition[2 * s + k] == static_cast<float>(10 * s + k));
  CHECK(batches[1].batch.condition[3] == 41);

  data.longer = {1};
  loader.start(0);
  CHECK_THROWS_WITH(loader.next(),
                    Catch::Contains("the length of the condition of number 1 is 3, that of number 0 is 2") &&
                        Catch::Contains("same length"));
  data.conditions = 0;  // one has a condition, the others have none
  loader.start(0);
  CHECK_THROWS_WITH(loader.next(), Catch::Contains("of number 1 is 1, that of number 0 is 0"));
}

TEST_CASE("the first failure in order reaches the caller with its sample, its stage and its fault",
          "[unit][batch_loader]") {
  const auto workers = GENERATE(0, 1, 2, 4);
  Numbers data(20);
  data.failing = {13, 14};
  data.slow = true;
  Loader loader(data, {.batch_size = 4, .workers = workers});
  loader.start(0);
  for (int b = 0; b < 3; ++b) REQUIRE(loader.next().has_value());
  std::optional<ivado::Error> caught;
  try {
    (void)loader.next();
  } catch (const ivado::Error& error) {
    caught = error;
  }
  REQUIRE(caught.has_value());
  CHECK(caught->fault() == ivado::Fault::data);
  CHECK(std::string(caught->what()) == "loading number 13 for the training set: reading it: it is broken");
  CHECK_FALSE(loader.next().has_value());

  SECTION("and the loader can begin anew") {
    loader.start(1);
    CHECK(loader.next()->histories[0].epoch == 1);
  }
}

TEST_CASE("exceptions that are not ivado's become internal errors, others pass as they are", "[unit][batch_loader]") {
  const auto workers = GENERATE(0, 2);
  Numbers data(4);
  Loader loader(data, {.batch_size = 2, .workers = workers});
  SECTION("std::exception") {
    data.throwing = {1};
    loader.start(0);
    try {
      (void)loader.next();
      FAIL("no exception");
    } catch (const ivado::Error& error) {
      CHECK(error.fault() == ivado::Fault::internal);
      CHECK(std::string(error.what()) == "loading number 1 for the training set: no idea");
    }
  }
  SECTION("anything else") {
    data.throwing_int = {0};
    loader.start(0);
    CHECK_THROWS_AS(loader.next(), int);
  }
}

TEST_CASE("samples of different shapes are refused with both names, both shapes and the remedy",
          "[unit][batch_loader]") {
  const auto workers = GENERATE(0, 1, 4);
  Numbers data(9);
  data.wide = {5, 6};
  data.slow = true;
  Loader loader(data, {.batch_size = 3, .workers = workers});
  loader.start(0);
  REQUIRE(loader.next().has_value());
  std::string message;
  try {
    (void)loader.next();
  } catch (const ivado::Error& error) {
    CHECK(error.fault() == ivado::Fault::data);
    message = error.what();
  }
  CHECK(message ==
        "making a batch of the training set: the image of number 5 is 2x5x4, that of number 3 is 2x5x3; add a "
        "\"CenterCrop\" to \"transformation\" that gives all samples one size, or set \"batch_size\" to 1");

  SECTION("batches of one may differ") {
    Loader single(data, {.batch_size = 1, .workers = workers});
    CHECK(epoch_of(single, 0).size() == 9);
  }
}

TEST_CASE("a loader ends at any time: unused, in the middle, with all batches ahead ready", "[unit][batch_loader]") {
  const auto workers = GENERATE(1, 2, 4);
  const auto taken = GENERATE(0, 1, 5, 13);
  Numbers data(50);
  data.slow = true;
  Loader loader(data, {.batch_size = 4, .workers = workers, .prefetch = 3});
  loader.start(0);
  for (int b = 0; b < taken; ++b) REQUIRE(loader.next().has_value());
  SECTION("destroyed") {}
  SECTION("begun anew") {
    loader.start(1);
    CHECK(loader.next()->histories[0].epoch == 1);
  }
  SECTION("destroyed after a while") { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }
}

TEST_CASE("workers load no further ahead than they may", "[unit][batch_loader]") {
  const Numbers data(100);
  Loader loader(data, {.batch_size = 5, .workers = 2, .prefetch = 2});
  loader.start(0);
  REQUIRE(loader.next().has_value());
  for (int i = 0; i < 20000 && data.loads < 15; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  CHECK(data.loads == 15);  // the batch in the caller's hands, and two ahead
}

TEST_CASE("the memory of batches is used again", "[unit][batch_loader]") {
  const Numbers data(12);
  const auto workers = GENERATE(0, 2);
  Loader loader(data, {.batch_size = 3, .workers = workers, .prefetch = 1});
  std::set<const float*> places;
  for (std::uint32_t epoch = 0; epoch < 5; ++epoch) {
    loader.start(epoch);
    while (auto loaded = loader.next()) {
      places.insert(loaded->batch.image.data());
      loader.recycle(std::move(loaded->batch));
    }
  }
  CHECK(places.size() <= 3);  // of 20 batches
}

TEST_CASE("the time spent waiting is told", "[unit][batch_loader]") {
  Numbers data(30);
  data.slow = true;
  Loader loader(data, {.batch_size = 30});
  CHECK(loader.waited_s() == 0);
  (void)epoch_of(loader, 0);
  // 30 samples sleep 100 microseconds on the average
  CHECK(loader.waited_s() > 0.002);
}

TEST_CASE("a batch of nothing is refused", "[unit][batch_loader]") {
  const Numbers data(3);
  CHECK_THROWS_WITH(Loader(data, {.batch_size = 0}), Catch::Contains("batch_size"));
  Loader loader(data, {.batch_size = 2});
  CHECK_FALSE(loader.next().has_value());  // no epoch begun
}
