// Channel dropout: how many and which channels are blank, never all, and only while training.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ivado/data/bids_loader.hpp>
#include <ivado/data/input_dropout.hpp>
#include <ivado/data/slice_dataset.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::Array;
using ivado::Case;
using ivado::RandomKey;
using ivado::Shape;
using ivado::SliceOptions;
using ivado::Stage;
using ivado::detail::drop_channels;
using ivado::detail::NoTransforms;

/// Channels of six voxels: rising, or constant where `constant` names them.
Array<float> sample(std::int64_t channels, const std::vector<std::int64_t>& constant = {}) {
  Array<float> out(Shape{channels, 2, 3});
  for (std::int64_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i + 1);
  for (const auto c : constant) std::fill_n(out.data() + 6 * c, 6, 4.0F);
  return out;
}

/// Channel by channel: true if all of it is 0.
std::vector<bool> blank(const Array<float>& voxels) {
  std::vector<bool> out;
  const std::int64_t size = voxels.size() / voxels.extent(0);
  for (std::int64_t c = 0; c < voxels.extent(0); ++c) {
    bool all = true;
    for (std::int64_t i = 0; i < size; ++i) all = all && voxels[c * size + i] == 0;
    out.push_back(all);
  }
  return out;
}

/// How often of `draws` each number of channels, and each channel, is blank.
std::pair<std::map<std::size_t, int>, std::vector<int>> counts(const Array<float>& whole, std::uint32_t draws) {
  std::map<std::size_t, int> numbers;
  std::vector<int> channels(static_cast<std::size_t>(whole.extent(0)), 0);
  for (std::uint32_t i = 0; i < draws; ++i) {
    Array<float> voxels = whole.clone();
    const auto dropped = drop_channels(voxels, {5, 1, i, 0});
    ++numbers[dropped.size()];
    const auto is_blank = blank(voxels);
    REQUIRE(static_cast<std::size_t>(std::count(is_blank.begin(), is_blank.end(), true)) == dropped.size());
    for (const auto c : dropped) {
      REQUIRE(is_blank[c]);
      ++channels[c];
    }
  }
  return {numbers, channels};
}

}  // namespace

TEST_CASE("Of three channels none, one or two are blanked, each number and each channel as often") {
  const auto [numbers, channels] = counts(sample(3), 3000);
  // Binomial, p = 1/3: mean 1000, standard deviation 26; five of these. A channel is blank in (0 + 1 + 2) / 9 of them.
  REQUIRE(numbers.size() == 3);
  for (std::size_t k = 0; k < 3; ++k) CHECK(std::abs(numbers.at(k) - 1000) < 130);
  for (const int times : channels) CHECK(std::abs(times - 1000) < 130);
}

TEST_CASE("Constant channels count as blank and are left as they are") {
  const auto [numbers, channels] = counts(sample(3, {1}), 3000);
  // k of 0 or 1: the constant one is enough; k of 2: one of the other two.
  REQUIRE(numbers.size() == 2);
  CHECK(std::abs(numbers.at(0) - 2000) < 130);
  CHECK(std::abs(numbers.at(1) - 1000) < 130);
  CHECK(channels[1] == 0);
  CHECK(std::abs(channels[0] - 500) < 103);                  // p = 1/6: standard deviation 20.4
  CHECK(counts(sample(3, {0, 2}), 200).first.at(0) == 200);  // the last one always stays
  CHECK(counts(sample(2, {0, 1}), 50).first.at(0) == 50);
  CHECK(counts(sample(1), 50).first.at(0) == 50);
}

TEST_CASE("A data set blanks channels in training alone, as seed, epoch and sample say") {
  const Scratch folder;
  const auto write = [&](const std::string& name, float factor) {
    Array<float> voxels(Shape{4, 3, 5});
    for (std::int64_t i = 0; i < voxels.size(); ++i) voxels[i] = factor * static_cast<float>(i + 1);
    const std::string path = folder / (name + ".nii.gz");
    ivado::write_volume(path, std::as_const(voxels).view(), ivado::Geometry{voxels.shape()},
                        ivado::StoredType::float32);
    return path;
  };
  Case one;
  one.id = "one";
  one.images = {write("T1w", 1), write("T2w", 2)};
  SliceOptions options;
  options.input_dropout = true;
  options.missing_contrasts = GENERATE(false, true);
  const auto make = [&](Stage stage) {
    return ivado::SliceDataset<NoTransforms>({one}, options, NoTransforms{}, stage, 8);
  };
  const auto training = make(Stage::training);
  int dropped = 0;
  for (std::uint32_t epoch = 1; epoch <= 20; ++epoch)
    for (std::size_t i = 0; i < 5; ++i) {
      const auto first = training.get(i, epoch).sample;
      CHECK(training.get(i, epoch).sample.image.voxels == first.image.voxels);
      const auto is_blank = blank(first.image.voxels);
      CHECK_FALSE((is_blank[0] && is_blank[1]));
      dropped += is_blank[0] || is_blank[1] ? 1 : 0;
      if (options.missing_contrasts)
        CHECK(first.condition == std::vector<float>{is_blank[0] ? 0.0F : 1.0F, is_blank[1] ? 0.0F : 1.0F});
    }
  CHECK(std::abs(dropped - 50) < 25);  // p = 1/2, standard deviation 5
  for (const Stage stage : {Stage::validation, Stage::testing}) {
    const auto set = make(stage);
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(blank(set.get(i, 1).sample.image.voxels) == std::vector<bool>{false, false});
  }
  one.images.pop_back();
  CHECK_THAT(make(Stage::training).warnings().at(0), Contains("is_input_dropout has no effect"));
  CHECK(make(Stage::testing).warnings().empty());
}
