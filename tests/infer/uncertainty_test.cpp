// Uncertainty: what dropout and random transforms make of several predictions of a case, what stays in memory, and what
// is missing for it. Whole experiments with it are in pipeline/uncertain_experiment_test.cpp.
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <ivado/data/slice_dataset.hpp>
#include <ivado/infer/uncertainty.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/transform/transform.hpp>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using Mirrored = Compose<RandomReverse>;
using Still = Compose<NormalizeInstance>;
using Small = Unet<2, 2>;

/// A case of one image: numbers in [0, 1), different in each voxel.
Case write_case(const Scratch& folder, const std::string& id, const Shape& shape = {12, 10, 5}) {
  Array<float> voxels(shape);
  Rng rng(RandomKey{7, 0, static_cast<std::uint32_t>(id.back()), stream_user});
  for (float& value : voxels) value = rng.uniform_float();
  Case one;
  one.id = id;
  one.images = {folder / (id + ".nii.gz")};
  write_volume(one.images[0], std::as_const(voxels).view(), {shape, Eigen::Matrix4d::Identity()}, StoredType::float32);
  return one;
}

template <class Chain>
auto set_maker(const Chain& chain, std::size_t cache_bytes = std::size_t{1} << 24) {
  return [chain, cache_bytes](const Case& one, Stage stage, std::uint64_t seed) {
    SliceOptions options;
    options.cache_bytes = cache_bytes;
    return std::make_unique<SliceDataset<Chain>>(std::vector<Case>{one}, options, chain, stage, seed);
  };
}

/// A net that looks at nothing but the voxel itself: mirroring commutes with it.
struct Pointwise {
  void train(bool) {}
  void sample_dropout(bool) {}
  [[nodiscard]] bool has_dropout(const Shape&) const { return true; }
  at::Tensor forward(const at::Tensor& x, const at::Tensor&, const RandomKey&) { return at::sigmoid(4 * x - 2); }
};
/// A net that looks at the place alone: from 0 to 1 along the last axis.
struct Ramp : Pointwise {
  at::Tensor forward(const at::Tensor& x, const at::Tensor&, const RandomKey&) {
    return at::linspace(0, 1, x.size(3)).expand(x.sizes()).contiguous();
  }
};

struct Estimate {
  std::vector<UncertaintyMaps> maps;
  std::vector<std::string> warnings;
  std::size_t peak_bytes = 0;
};

/// Live bytes of all that was allocated, in arenas and by itself.
std::size_t live_bytes() {
  const auto now = ::mallinfo2();
  return now.uordblks + now.hblkhd;
}

template <class AnyNet, class Chain>
Estimate estimate(AnyNet& net, const std::vector<Case>& cases, const Chain& chain, const Uncertainty& how,
                  std::uint64_t seed = 1, int workers = 0, std::size_t cache_bytes = std::size_t{1} << 24) {
  const Scratch folder;
  Estimate out;
  NoProfiler profiler;
  BatchOptions options;
  options.batch_size = 2;
  options.seed = seed;
  options.workers = workers;
  std::int64_t last = 0;
  const auto done = [&](const Case& one, const Geometry& geometry, UncertaintyMaps maps) {
    CHECK(one.id == cases[out.maps.size()].id);
    CHECK(maps.soft.shape() == geometry.shape.prepended(1));
    out.maps.push_back(std::move(maps));
  };
  estimate_uncertainties(
      net, cases, set_maker(chain, cache_bytes), chain, options, 1, OverlapWeights::average, at::kCPU, profiler, how,
      folder.path.string(), done, [&](const std::string& warning) { out.warnings.push_back(warning); },
      [&](std::int64_t runs, std::int64_t all) {
        CHECK(runs == ++last);
        CHECK(all == static_cast<std::int64_t>(cases.size()) * how.n_it);
        out.peak_bytes = std::max(out.peak_bytes, live_bytes());
      });
  CHECK(std::filesystem::is_empty(folder.path));
  return out;
}

template <class AnyNet, class Profile = NoProfiler>
Array<float> plain(AnyNet& net, const Case& one, Profile&& profiler = {}) {
  const Compose<> nothing;
  Array<float> out;
  predict(
      net, *set_maker(nothing)(one, Stage::testing, 1), nothing, BatchOptions{}, 1, OverlapWeights::average, at::kCPU,
      profiler, [&](std::size_t, Prediction prediction) { out = std::move(prediction.voxels); },
      [](std::int64_t, std::int64_t) {});
  return out;
}

double largest_difference(const Array<float>& a, const Array<float>& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(static_cast<double>(a[i] - b[i])));
  return largest;
}

float largest(const Array<float>& values) { return *std::max_element(values.begin(), values.end()); }

bool equal(const UncertaintyMaps& a, const UncertaintyMaps& b) {
  return a.soft == b.soft && a.hard == b.hard && a.entropy == b.entropy && a.overlap == b.overlap &&
         a.variation == b.variation && a.mean_entropy == b.mean_entropy;
}

Net<Small> small_net(double dropout_rate) {
  Small::Params params;
  params.n_filters = 4;
  params.dropout_rate = dropout_rate;
  Net<Small> net{Small(params), 5};
  at::manual_seed(2);
  for (std::uint32_t i = 0; i < 5; ++i)  // running statistics of some data
    (void)net.forward(at::rand({4, 1, 12, 8}), {}, {1, i, 0, 0});
  const auto tensors = net.tensors();
  tensors[tensors.size() - 2].detach().mul_(40);  // of the last convolution: predictions near 0 and near 1
  return net;
}

constexpr Uncertainty epistemic(std::int64_t runs) { return {true, false, runs}; }
constexpr Uncertainty aleatoric(std::int64_t runs) { return {false, true, runs}; }

}  // namespace

TEST_CASE("What a prediction waits for is told within the unit of inference, so that what is left is computing") {
  struct Told : NoProfiler {
    struct Scope {
      Scope(Told& told, Unit unit) : of(told) { of.units.push_back(unit); }
      Scope(const Scope&) = delete;
      Scope& operator=(const Scope&) = delete;
      ~Scope() { of.units.pop_back(); }
      Told& of;
    };
    [[nodiscard]] Scope scope(Unit unit) { return {*this, unit}; }
    void loaded(double, double) { within.push_back(!units.empty() && units.back() == Unit::inference); }
    std::vector<Unit> units;
    std::vector<bool> within;
  };
  const Scratch folder;
  Told profiler;
  Pointwise net;
  (void)plain(net, write_case(folder, "one", {12, 10, 40}), profiler);
  CHECK(profiler.within == std::vector<bool>(3, true));  // 40 slices, 18 a batch
}

TEST_CASE("Mirrored at random, a net that commutes with mirrors predicts what it does without", "[unit][infer]") {
  const Scratch folder;
  const Case one = write_case(folder, "a");
  Pointwise net;
  const auto estimated = estimate(net, {one}, Mirrored{}, aleatoric(6));
  REQUIRE(estimated.maps.size() == 1);
  CHECK(estimated.warnings.empty());
  CHECK(estimated.maps[0].runs == 6);
  CHECK(largest_difference(estimated.maps[0].soft, plain(net, one)) < 1e-6);
  CHECK(largest(estimated.maps[0].variation) == 0);
}

TEST_CASE("What a net makes of a mirrored image is mirrored back", "[unit][infer]") {
  const Scratch folder;
  const Case one = write_case(folder, "a");
  Ramp net;
  const Array<float> straight = plain(net, one);
  constexpr int runs = 20;
  const auto estimated = estimate(net, {one}, Mirrored{}, aleatoric(runs));
  const Array<float>& soft = estimated.maps[0].soft;
  // On the grid of the file the ramp runs along one axis of the slice, either way. A slice that was mirrored in k of the
  // runs shows (1 - k/n) r + k/n (1 - r) in all its voxels, and no two slices need the same k.
  std::vector<int> counts;
  for (std::int64_t z = 0; z < 5; ++z) {
    std::vector<double> found;
    for (std::int64_t x = 0; x < 12; ++x)
      for (std::int64_t y = 0; y < 10; ++y) {
        const auto r = static_cast<double>(straight.view()(0, x, y, z));
        const auto s = static_cast<double>(soft.view()(0, x, y, z));
        if (std::abs(1 - 2 * r) > 0.05) found.push_back((s - r) / (1 - 2 * r) * runs);
      }
    REQUIRE_FALSE(found.empty());
    const double k = std::round(found[0]);
    for (const double value : found) CHECK(value == Approx(k).margin(1e-3));
    counts.push_back(static_cast<int>(k));
  }
  CHECK(*std::min_element(counts.begin(), counts.end()) > 0);  // by chance once in 200 000 seeds
  CHECK(*std::max_element(counts.begin(), counts.end()) < runs);
  CHECK(std::any_of(counts.begin(), counts.end(), [&](int k) { return k != counts[0]; }));
}

TEST_CASE("Sampled dropout makes runs differ, and without dropout they are one", "[unit][infer]") {
  const Scratch folder;
  const Case one = write_case(folder, "a", {12, 8, 3});
  auto net = small_net(0.5);
  const auto first = estimate(net, {one}, Still{}, epistemic(8));
  CHECK(first.warnings.empty());
  CHECK(largest(first.maps[0].variation) > 0);
  CHECK(largest(first.maps[0].entropy) > 0);
  CHECK(largest_difference(first.maps[0].soft, estimate(net, {one}, Still{}, epistemic(2)).maps[0].soft) > 1e-3);
  CHECK(equal(first.maps[0], estimate(net, {one}, Still{}, epistemic(8)).maps[0]));
  CHECK(equal(first.maps[0], estimate(net, {one}, Still{}, epistemic(8), 1, 3).maps[0]));
  CHECK_FALSE(equal(first.maps[0], estimate(net, {one}, Still{}, epistemic(8), 2).maps[0]));

  // Afterwards the net predicts as if nothing had been.
  auto other = small_net(0.5);
  CHECK(plain(net, one) == plain(other, one));

  auto certain = small_net(0);
  const auto none = estimate(certain, {one}, Still{}, epistemic(8));
  CHECK(largest(none.maps[0].variation) == 0);
  for (const auto& structure : none.maps[0].structures) CHECK(structure.overlap == 1);
  CHECK(largest_difference(none.maps[0].soft, estimate(certain, {one}, Still{}, epistemic(2)).maps[0].soft) < 1e-6);
  REQUIRE(none.warnings.size() == 1);
  CHECK_THAT(none.warnings[0], Contains("no dropout") && Contains("dropout_rate"));
}

TEST_CASE("Dropout and random transforms together are both in the maps", "[unit][infer]") {
  const Scratch folder;
  const Case one = write_case(folder, "a", {12, 8, 3});
  auto net = small_net(0.5);
  const auto dropped = estimate(net, {one}, Mirrored{}, {true, false, 6});
  const auto mirrored = estimate(net, {one}, Mirrored{}, {false, true, 6});
  const auto both = estimate(net, {one}, Mirrored{}, {true, true, 6});
  CHECK(largest_difference(both.maps[0].soft, dropped.maps[0].soft) > 1e-4);
  CHECK(largest_difference(both.maps[0].soft, mirrored.maps[0].soft) > 1e-4);
  CHECK(equal(both.maps[0], estimate(net, {one}, Mirrored{}, {true, true, 6}, 1, 2).maps[0]));
}

TEST_CASE("The maps of a case do not depend on the others", "[unit][infer]") {
  const Scratch folder;
  const std::vector<Case> cases{write_case(folder, "a", {12, 8, 3}), write_case(folder, "b", {8, 12, 4})};
  auto net = small_net(0.5);
  const auto together = estimate(net, cases, Mirrored{}, {true, true, 4});
  REQUIRE(together.maps.size() == 2);
  CHECK(equal(together.maps[1], estimate(net, {cases[1]}, Mirrored{}, {true, true, 4}).maps[0]));
  CHECK(seed_of_case(1, "a") != seed_of_case(1, "b"));
  CHECK(seed_of_case(1, "a") != seed_of_case(2, "a"));
  // Not even on the memory for prepared slices.
  CHECK(equal(together.maps[0], estimate(net, {cases[0]}, Mirrored{}, {true, true, 4}, 1, 0, 0).maps[0]));
}

TEST_CASE("Memory does not grow with the number of runs", "[unit][infer]") {
  const Scratch folder;
  const Shape shape{64, 64, 24};
  const Case one = write_case(folder, "a", shape);
  Pointwise net;
  (void)estimate(net, {one}, Mirrored{}, aleatoric(2));  // what is made once
  const std::size_t few = estimate(net, {one}, Mirrored{}, aleatoric(5)).peak_bytes;
  const std::size_t many = estimate(net, {one}, Mirrored{}, aleatoric(50)).peak_bytes;
  const auto prediction = static_cast<std::size_t>(shape.size()) * sizeof(float);
  INFO("peak of 5 runs " << few << ", of 50 " << many << ", a prediction " << prediction);
  CHECK(few > 2 * prediction);         // the sum of the runs in double is among what is counted
  CHECK(many < few + prediction / 8);  // 45 predictions more would be 45, their masks in bits 1.4
}

TEST_CASE("A prediction a rounding error out of [0, 1] is taken, one that is no probability is not", "[unit][infer]") {
  struct Scaled : Pointwise {
    double scale = 1;
    at::Tensor forward(const at::Tensor& x, const at::Tensor&, const RandomKey&) { return at::ones_like(x) * scale; }
  };
  const Scratch folder;
  const Case one = write_case(folder, "a");
  Scaled net;
  net.scale = 1 + 5e-7;
  CHECK(largest(estimate(net, {one}, Mirrored{}, aleatoric(2)).maps[0].soft) == 1);
  net.scale = 1.5;
  CHECK_THROWS_WITH(estimate(net, {one}, Mirrored{}, aleatoric(2)), Contains("0 to 1") && Contains(" a "));
}

TEST_CASE("What an estimation lacks is said", "[unit][infer]") {
  const Shape input{1, 1, 12, 8};
  const auto net = small_net(0.3);
  const auto about = [&](const Uncertainty& how, const auto& chain) { return warnings_about(how, net, chain, input); };
  CHECK(about(epistemic(2), Still{}).empty());
  CHECK(about(aleatoric(2), Mirrored{}).empty());
  const auto still = about({true, true, 2}, Still{});
  REQUIRE(still.size() == 1);
  CHECK_THAT(still[0], Contains("no random transform") && Contains("RandomAffine"));
  Mirrored::Params off;
  off.get<RandomReverse>().dataset_type = {false, false, false};
  CHECK(about(aleatoric(2), Mirrored(off)).size() == 1);

  const Scratch folder;
  const std::vector<Case> two{write_case(folder, "a"), write_case(folder, "b")};
  const SliceDataset<Mirrored> both(two, {}, Mirrored{}, Stage::augmented_testing, 1);
  Pointwise pointwise;
  NoProfiler profiler;
  CHECK_THROWS_WITH(
      estimate_uncertainty(pointwise, both, Mirrored{}, BatchOptions{}, 1, OverlapWeights::average, at::kCPU, profiler,
                           aleatoric(2), folder.path.string(), [](std::int64_t, std::int64_t) {}),
      Contains("2 cases") && Contains("one case at a time"));
}
