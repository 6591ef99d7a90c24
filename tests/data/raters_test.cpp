// Several raters: cases hold the files of each, training draws one, the other sets and the truth are what they agree on.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <ivado/data/bids_loader.hpp>
#include <ivado/data/raters.hpp>
#include <ivado/data/slice_dataset.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "bids_tree.hpp"
#include "nifti_values.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::AnySlices;
using ivado::AnySubvolumes;
using ivado::Array;
using ivado::BidsLoader;
using ivado::Case;
using ivado::Classes;
using ivado::LeftOutList;
using ivado::LoaderParameters;
using ivado::ModelNeeds;
using ivado::Shape;
using ivado::Stage;
using ivado::detail::NoTransforms;
using Paths = std::vector<std::string>;

/// Subjects with images of 4 x 3 x 2 voxels; what a test asks for lies in label files of one value a voxel.
struct Study {
  /// Writes a volume whose voxel n, in the order (i, j, k), is `value(n)`.
  template <class Value>
  void write(const std::string& name, const Value& value) const {
    tests::write_values(tree.path(name), Shape{4, 3, 2}, value);
  }
  void image(const std::string& subject) const {
    write(subject + "/anat/" + subject + "_T2w.nii.gz", [](auto n) { return n; });
  }
  template <class Value>
  void label(const std::string& subject, const std::string& suffix, const Value& value) const {
    write("derivatives/labels/" + subject + "/anat/" + subject + "_T2w" + suffix + ".nii.gz", value);
  }
  [[nodiscard]] std::string label_path(const std::string& subject, const std::string& suffix) const {
    return tree.path("derivatives/labels/" + subject + "/anat/" + subject + "_T2w" + suffix + ".nii.gz").string();
  }
  [[nodiscard]] LoaderParameters params(const std::string& json) const {
    auto out = ivado::from_json<LoaderParameters>(ivado::Json::parse(json), "loader_parameters");
    out.path_data.values = {tree.root()};
    return out;
  }

  tests::Tree tree;
};

/// Voxel n of the three raters: 0b001 to 0b111 by the bits of n, so that each combination of votes is there.
auto vote(int rater) {
  return [rater](std::int64_t n) { return n >> rater & 1; };
}

/// A study of three raters for the class "_a" and one for "_b".
struct ThreeRaters : Study {
  ThreeRaters() {
    image("sub-01");
    for (int rater = 0; rater < 3; ++rater) label("sub-01", "_a" + std::to_string(rater + 1), vote(rater));
    label("sub-01", "_b", [](auto n) { return n % 3 == 0; });
  }
};
const char* const three = R"({"target_suffix": [["_a1", "_a2", "_a3"], "_b"]})";

using TwoClasses = BidsLoader<AnySlices, Classes<2>>;

std::vector<Case> cases_of(const LoaderParameters& params, LeftOutList& left_out) {
  return BidsLoader<AnySlices, Classes<ivado::dynamic>>(params).cases(true, {"T2w"}, left_out);
}

}  // namespace

TEST_CASE("Cases hold the files of each rater; the file of a class that one rater drew is that of all") {
  const ThreeRaters study;
  LeftOutList left_out;
  const auto cases = cases_of(study.params(three), left_out);
  REQUIRE(cases.size() == 1);
  const auto path = [&](const std::string& suffix) { return study.label_path("sub-01", suffix); };
  CHECK(cases[0].raters() == 3);
  CHECK(cases[0].labels_of(0) == Paths{path("_a1"), path("_b")});
  CHECK(cases[0].labels_of(1) == Paths{path("_a2"), path("_b")});
  CHECK(cases[0].labels_of(2) == Paths{path("_a3"), path("_b")});
  for (const auto& warning : left_out.warnings) CHECK_THAT(warning, !Contains("label"));
  CHECK(ivado::detail::label_files(cases[0], 0) == Paths{path("_a1"), path("_a2"), path("_a3")});
  CHECK(ivado::detail::label_files(cases[0], 1) == Paths{path("_b")});
}

TEST_CASE("A rater without a file is none; one who lacks a class gets that of another, with a warning") {
  const Study study;
  study.image("sub-01");
  study.label("sub-01", "_a2", vote(0));
  study.label("sub-01", "_a3", vote(1));
  study.label("sub-01", "_b3", vote(2));
  study.image("sub-02");  // no rater at all for what several draw
  study.label("sub-02", "_c", vote(0));
  LeftOutList left_out;
  const auto cases =
      cases_of(study.params(R"({"target_suffix": [["_a1", "_a2", "_a3"], ["_b1", "_b2", "_b3"], "_c"]})"), left_out);
  REQUIRE(cases.size() == 2);
  CHECK(cases[0].raters() == 2);
  CHECK(cases[0].labels_of(0) ==
        Paths{study.label_path("sub-01", "_a2"), study.label_path("sub-01", "_b3"), std::string()});
  CHECK(cases[0].labels_of(1) ==
        Paths{study.label_path("sub-01", "_a3"), study.label_path("sub-01", "_b3"), std::string()});
  CHECK(cases[1].raters() == 1);
  CHECK(cases[1].labels == Paths{"", "", study.label_path("sub-02", "_c")});
  const auto warned = [&](const std::string& words) {
    return std::count_if(left_out.warnings.begin(), left_out.warnings.end(),
                         [&](const std::string& text) { return text.find(words) != std::string::npos; });
  };
  CHECK(warned("has no label with the ending _a1: those of the other raters are used") == 1);
  CHECK(warned("has no label with the ending _b1: those of the other raters are used") == 1);
  CHECK(warned("sub-02_T2w.nii.gz has no label with the ending _a1 or _a2 or _a3: taken as all zero") == 1);
  CHECK(warned("sub-01_T2w.nii.gz has no label with the ending _c: taken as all zero") == 1);
  CHECK(warned("has no label") == 6);  // _a1, _b1 and _b2, _c; and two classes of sub-02
}

TEST_CASE("Masks of several raters agree where at least half say so; soft labels are averaged") {
  const bool is_soft = GENERATE(false, true);
  const int raters = GENERATE(2, 3);
  const ThreeRaters study;
  auto params = study.params(raters == 3 ? three : R"({"target_suffix": [["_a1", "_a2"], "_b"]})");
  params.soft_gt = is_soft;
  params.slice_filter_params.filter_empty_input = false;
  LeftOutList left_out;
  const TwoClasses loader(params);
  const auto cases = loader.cases(true, {"T2w"}, left_out);
  const auto stage = GENERATE(Stage::validation, Stage::testing);
  const auto set = loader.dataset(cases, NoTransforms{}, stage, 1);
  const Array<float> truth = ivado::read_labels(cases[0], set.geometry_of(0), loader.slice_options(stage));
  REQUIRE(truth.shape() == Shape{2, 4, 3, 2});
  REQUIRE(set.size() == 2);
  for (std::int64_t n = 0; n < 24; ++n) {  // n is (i, j, k); a slice k is [i, j]
    std::int64_t votes = 0;
    for (int rater = 0; rater < raters; ++rater) votes += n >> rater & 1;
    const double agreed = is_soft ? static_cast<double>(votes) / raters : 2 * votes >= raters ? 1 : 0;
    CAPTURE(n, votes);
    CHECK(truth[n] == Approx(agreed));
    CHECK(truth[24 + n] == (n % 3 == 0 ? 1.0F : 0.0F));
    const auto sample = set.get(static_cast<std::size_t>(n % 2), 0).sample;
    REQUIRE(sample.label.voxels.shape() == Shape{2, 4, 3});
    CHECK(sample.label.voxels[n / 2] == Approx(agreed));
    CHECK(sample.label.voxels[12 + n / 2] == (n % 3 == 0 ? 1.0F : 0.0F));
  }
}

TEST_CASE("Training draws one rater a sample and epoch, the same for all classes, each as often") {
  Study study;
  study.image("sub-01");
  for (int rater = 1; rater <= 3; ++rater) {
    study.label("sub-01", "_a" + std::to_string(rater), [&](auto n) { return n % 4 == rater; });
    study.label("sub-01", "_b" + std::to_string(rater), [&](auto n) { return n % 5 == rater; });
  }
  const auto params = study.params(R"({"target_suffix": [["_a1", "_a2", "_a3"], ["_b1", "_b2", "_b3"]]})");
  LeftOutList left_out;
  const TwoClasses loader(params);
  const auto cases = loader.cases(true, {"T2w"}, left_out);
  const auto set = loader.dataset(cases, NoTransforms{}, Stage::training, 7);
  auto small = loader.slice_options(Stage::training);
  small.cache_bytes = 0;
  const ivado::CaseDataset<NoTransforms, 2> again(cases, small, NoTransforms{}, Stage::training, 7);
  std::vector<int> drawn(4, 0);
  constexpr std::uint32_t epochs = 300;
  for (std::uint32_t epoch = 1; epoch <= epochs; ++epoch)
    for (std::size_t slice = 0; slice < 2; ++slice) {
      const auto sample = set.get(slice, epoch).sample;
      REQUIRE(sample.label.voxels.shape() == Shape{2, 4, 3});
      REQUIRE(again.get(slice, epoch).sample.label.voxels == sample.label.voxels);
      int found = 0;
      for (int rater = 1; rater <= 3; ++rater) {
        bool fits = true;
        for (std::int64_t i = 0; i < 12; ++i) {
          const std::int64_t n = 2 * i + static_cast<std::int64_t>(slice);
          fits = fits && sample.label.voxels[i] == (n % 4 == rater ? 1.0F : 0.0F) &&
                 sample.label.voxels[12 + i] == (n % 5 == rater ? 1.0F : 0.0F);
        }
        if (fits) found = rater;
      }
      REQUIRE(found > 0);  // both classes are of one rater
      ++drawn[static_cast<std::size_t>(found)];
    }
  // Binomial of 600 draws with p = 1/3: mean 200, standard deviation 11.5; five of these.
  for (int rater = 1; rater <= 3; ++rater) CHECK(std::abs(drawn[static_cast<std::size_t>(rater)] - 200) < 58);
}

TEST_CASE("Sub-volumes, patches and labels of whole images draw a rater as well") {
  Study study;
  study.image("sub-01");
  study.label("sub-01", "_a1", [](auto) { return 1; });
  study.label("sub-01", "_a2", [](auto) { return 0; });
  auto params = study.params(R"({"target_suffix": [["_a1", "_a2"]]})");
  LeftOutList left_out;
  ModelNeeds needs;
  std::set<float> values;
  const auto collect = [&](const auto& loader, const Shape& shape) {
    values.clear();
    const auto set = loader.dataset(loader.cases(true, {"T2w"}, left_out), NoTransforms{}, Stage::training, 3);
    for (std::uint32_t epoch = 1; epoch <= 20; ++epoch)
      for (std::size_t i = 0; i < set.size(); ++i) {
        const auto sample = set.get(i, epoch).sample;
        REQUIRE(sample.label.voxels.shape() == shape);
        for (const float value : sample.label.voxels) REQUIRE(value == sample.label.voxels[0]);
        values.insert(sample.label.voxels[0]);
      }
  };
  needs.patches = {{2, 2, 2}, {2, 2, 2}};
  collect(BidsLoader<AnySubvolumes>(params, needs), Shape{1, 2, 2, 2});
  CHECK(values == std::set<float>{0, 1});
  needs.patches = {{2, 2}, {2, 2}};
  collect(BidsLoader<AnySlices>(params, needs), Shape{1, 2, 2});
  CHECK(values == std::set<float>{0, 1});
  needs.image_labels = true;
  needs.patches = {};
  collect(BidsLoader<AnySlices>(params, needs), Shape{1});
  CHECK(values == std::set<float>{0, 1});
}

TEST_CASE("Filters keep slices and patches that one rater drew on") {
  Study study;
  study.image("sub-01");
  study.label("sub-01", "_a1", [](auto n) { return n == 0; });  // slice 0
  study.label("sub-01", "_a2", [](auto) { return 0; });
  study.label("sub-01", "_b", [](auto n) { return n < 2; });  // both slices, in their first voxel
  const std::string filter = GENERATE("filter_empty_mask", "filter_absent_class");
  auto params =
      study.params(R"({"target_suffix": [["_a1", "_a2"], "_b"], "slice_filter_params": {")" + filter + R"(": true}})");
  LeftOutList left_out;
  const TwoClasses loader(params);
  const auto set = loader.dataset(loader.cases(true, {"T2w"}, left_out), NoTransforms{}, Stage::training, 3);
  CHECK(set.size() == (filter == "filter_empty_mask" ? 2 : 1));
  CHECK(set.origin(0).slice == 0);

  params =
      study.params(R"({"target_suffix": [["_a1", "_a2"], "_b"], "patch_filter_params": {")" + filter + R"(": true}})");
  ModelNeeds needs;
  needs.patches = {{2, 3}, {2, 3}};
  const TwoClasses patched(params, needs);
  const auto patches = patched.dataset(patched.cases(true, {"T2w"}, left_out), NoTransforms{}, Stage::training, 3);
  CHECK(patches.size() == (filter == "filter_empty_mask" ? 2 : 1));  // of the four, those at the first voxel
}

TEST_CASE("Classes have one rater, or all the same number of them") {
  const Study study;
  CHECK(study.params(R"({"target_suffix": [["_a1", "_a2"], "_b", ["_c1", "_c2"]]})").target_suffix.raters() == 2);
  CHECK_THROWS_WITH(study.params(R"({"target_suffix": [["_a1", "_a2"], ["_b1", "_b2", "_b3"]]})"),
                    Contains("loader_parameters.target_suffix") && Contains("one class has 2 raters, another 3"));
}
