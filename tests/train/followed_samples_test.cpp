// Samples that are followed over a training, and their pictures.
#include "ivado/train/followed_samples.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "ivado/train/sample_pictures.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Samples of two channels [2, 3, 4] or [2, 3, 4, 5]: the first is constant, the second holds the sample's number and the
/// epoch; the label is fullest at depth 1 + number % 3.
struct Samples {
  struct History {};
  struct Loaded {
    Sample sample;
    History history;
  };
  bool is_volume = false;
  std::size_t count = 10;
  std::vector<Case> cases = {{"sub-01_T2w", {}, {}, {}, {}, {}}, {"sub-02_T2w", {}, {}, {}, {}, {}}};

  [[nodiscard]] std::size_t size() const { return count; }
  [[nodiscard]] Loaded get(std::size_t index, std::uint32_t epoch) const {
    const Shape spatial = is_volume ? Shape{3, 4, 5} : Shape{3, 4};
    Loaded out;
    out.sample.image.voxels = zeros(spatial.prepended(2));
    for (std::int64_t i = spatial.size(); i < 2 * spatial.size(); ++i)
      out.sample.image.voxels[i] =
          static_cast<float>(index) + 100.0F * static_cast<float>(epoch) + (i % 2 == 0 ? 0.5F : 0);
    out.sample.label.voxels = zeros(spatial.prepended(1));
    if (is_volume)
      for (std::int64_t h = 0; h < 3; ++h)
        out.sample.label.voxels.view().select(0, 0)(h, 0, 1 + static_cast<std::int64_t>(index) % 3) = 1;
    out.sample.origin = origin(index);
    return out;
  }
  [[nodiscard]] std::string describe(std::size_t index) const { return "sample " + std::to_string(index); }
  [[nodiscard]] Stage stage() const { return Stage::validation; }
  [[nodiscard]] Axis axis() const { return Axis::axial; }
  [[nodiscard]] const Case& case_of(std::size_t volume) const { return cases[volume]; }
  [[nodiscard]] Origin origin(std::size_t index) const {
    Origin out;
    out.volume = static_cast<std::int32_t>(index % 2);
    out.slice = is_volume ? -1 : static_cast<std::int32_t>(index);
    if (is_volume) out.start = {0, 0, 7};
    return out;
  }
};

/// Predicts the second channel times 0.001; remembers its mode.
struct Scale {
  bool is_training = true;
  int calls = 0;
  void train(bool on) { is_training = on; }
  [[nodiscard]] at::Tensor forward(const at::Tensor& image, const at::Tensor&) {
    ++calls;
    return 0.001 * image.slice(1, 1, 2);
  }
};

}  // namespace

TEST_CASE("Samples are drawn once by the seed, all different") {
  const Samples data;
  const auto drawn = [&](std::int64_t count, std::uint64_t seed) {
    return FollowedSamples<Samples>(data, count, seed, "filming").numbers();
  };
  const auto some = drawn(4, 1);
  CHECK(std::set<std::int64_t>(some.begin(), some.end()).size() == 4);
  CHECK(std::is_sorted(some.begin(), some.end()));
  CHECK(some == drawn(4, 1));
  CHECK(some != drawn(4, 2));
  CHECK(drawn(10, 1) == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(drawn(0, 1).empty());
  CHECK_THROWS_WITH(drawn(11, 1),
                    Contains("filming") && Contains("11 samples of the validation set") && Contains("it has 10"));
}

TEST_CASE("A slice is shown as its epoch sees it, predicted in evaluation mode") {
  const Samples data;
  FollowedSamples<Samples> followed(data, 3, 5, "filming");
  Scale net;
  std::size_t seen = 0;
  followed.predict(net, 2, at::kCPU, [&](std::size_t i, const ShownSlice& slice) {
    CHECK(i == seen++);
    const auto number = static_cast<float>(followed.numbers()[i]);
    CHECK(slice.image.shape() == Shape{3, 4});  // the channel that is not constant
    CHECK(slice.image[0] == 200.5F + number);
    CHECK(slice.prediction.shape() == Shape{1, 3, 4});
    CHECK(slice.prediction[1] == Approx(0.001 * (200 + double{number})));
    CHECK(slice.truth.shape() == Shape{1, 3, 4});
  });
  CHECK(seen == 3);
  CHECK(net.calls == 3);
  CHECK_FALSE(net.is_training);
  const auto scenes = followed.scenes();
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(scenes[i].image == (followed.numbers()[i] % 2 == 0 ? "sub-01_T2w" : "sub-02_T2w"));
    CHECK(scenes[i].slice == followed.numbers()[i]);
  }
}

TEST_CASE("Of a volume the slice with most truth is shown") {
  const Samples data{true};
  FollowedSamples<Samples> followed(data, 10, 5, "filming");
  Scale net;
  followed.predict(net, 1, at::kCPU, [&](std::size_t, const ShownSlice& slice) {
    CHECK(slice.image.shape() == Shape{3, 4});
    CHECK(slice.truth.view().select(0, 0)(2, 0) == 1);
    CHECK(slice.truth.view().select(0, 0)(2, 1) == 0);
  });
  for (std::size_t i = 0; i < 10; ++i)  // where the sub-volume begins and the slice within it
    CHECK(followed.scenes()[i].slice == 7 + 1 + static_cast<std::int64_t>(i) % 3);
}

TEST_CASE("The classes of a prediction are one where the film shows them") {
  Array<float> prediction(Shape{2, 1, 3});
  const std::array<float, 6> values{0.1F, 0.9F, 0, 0.5F, 0.2F, 0};
  std::copy(values.begin(), values.end(), prediction.begin());
  const Array<float> any = any_class(prediction);
  CHECK(any.shape() == Shape{1, 3});
  CHECK(std::vector<float>(any.begin(), any.end()) == std::vector<float>{0.5F, 0.9F, 0});
}

TEST_CASE("Slices become mosaics of inputs, predictions and truths") {
  struct Kept : QuietLogger {
    std::vector<std::pair<std::string, std::string>> pictures{};
    void image(const std::string& tag, int epoch, std::string_view png) {
      pictures.emplace_back(tag + " " + std::to_string(epoch), std::string(png));
    }
  };
  const auto slice = [](std::int64_t classes) {
    ShownSlice out;
    out.image = zeros({2, 3});
    out.image[0] = -1;  // darkest
    out.image[5] = 3;   // brightest
    out.prediction = zeros({classes, 2, 3});
    out.prediction[0] = 0.5F;
    if (classes > 1) out.prediction[6 + 5] = 1;
    return out;
  };
  // An axial slice is shown with W downwards, both axes from their end: [0, 0] is at the lower right.
  const ShownSlice first = slice(1);
  const Array<std::uint8_t> grey = ivado::detail::grey_picture(first.image.view(), Axis::axial);
  REQUIRE(grey.shape() == Shape{3, 2, 3});
  CHECK(grey.view()(2, 1, 0) == 0);
  CHECK(grey.view()(0, 0, 2) == 255);
  CHECK(grey.view()(1, 0, 1) == 64);  // 0 of -1 … 3
  const Array<std::uint8_t> one = ivado::detail::class_picture(slice(1).prediction, Axis::axial);
  CHECK(one.view()(2, 1, 0) == 128);
  CHECK(one.view()(0, 0, 0) == 0);
  const Array<std::uint8_t> two = ivado::detail::class_picture(slice(2).prediction, Axis::axial);
  CHECK(Colour{two.view()(0, 0, 0), two.view()(0, 0, 1), two.view()(0, 0, 2)} == ivado::detail::class_colours[1]);

  SamplePictures pictures(Axis::axial);
  for (int i = 0; i < 5; ++i) pictures.add(slice(2));
  Kept logger;
  pictures.write(logger, "Validation", 3);
  REQUIRE(logger.pictures.size() == 2);  // there is no truth
  CHECK(logger.pictures[0].first == "Validation/Input 3");
  CHECK(logger.pictures[1].first == "Validation/Predictions 3");
  CHECK(static_cast<unsigned char>(logger.pictures[0].second[19]) == 4 * 3 - 1);  // columns
  CHECK(static_cast<unsigned char>(logger.pictures[0].second[23]) == 2 * 4 - 1);  // rows
  std::vector<Array<std::uint8_t>> parts;
  for (int i = 0; i < 5; ++i) parts.push_back(grey.clone());
  const Array<std::uint8_t> all = ivado::detail::mosaic(parts);
  CHECK(all.shape() == Shape{7, 11, 3});
  CHECK(all.view()(4, 0, 0) == 255);  // the upper left of the fifth
  CHECK(all.view()(3, 0, 0) == 0);    // between the rows
  CHECK(all.view()(4, 3, 0) == 0);    // there is no sixth
}
