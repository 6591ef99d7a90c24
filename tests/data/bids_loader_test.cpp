// BidsLoader: what the type fixes agrees with the parameters, cases from folders, data sets made as the parameters say.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ivado/config/params.hpp>
#include <ivado/data/bids_loader.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "bids_tree.hpp"

namespace {

using ivado::Axis;
using ivado::BidsLoader;
using ivado::Channels;
using ivado::Classes;
using ivado::LoaderParameters;
using ivado::Slices;
using ivado::Stage;

/// Three subjects with T1w and T2w; sub-02 has no lesion label, sub-03 no label at all.
class Study {
 public:
  Study() {
    std::string name = (std::filesystem::temp_directory_path() / "ivado_bids_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    root_ = name;
    std::ofstream(root_ / "dataset_description.json") << R"({"Name": "study", "BIDSVersion": "1.8.0"})";
    std::ofstream(root_ / "participants.tsv") << "participant_id\nsub-01\nsub-02\nsub-03\n";
    const std::array<std::string, 3> subjects{"sub-01", "sub-02", "sub-03"};
    for (std::size_t s = 0; s < 3; ++s)
      for (const std::string contrast : {"T1w", "T2w"}) {
        const std::string stem = subjects[s] + "/anat/" + subjects[s] + "_" + contrast;
        write(stem + ".nii.gz", [&](auto i, auto j, auto k) {
          return static_cast<float>(i + 10 * j + 100 * k) + (contrast == "T2w" ? 0.5F : 0.0F);
        });
        if (s < 2)
          write("derivatives/labels/" + stem + "_seg-manual.nii.gz",
                [](auto i, auto, auto k) { return i == 1 && k > 0 ? 1.0F : 0.0F; });
        if (s < 1)
          write("derivatives/labels/" + stem + "_lesion-manual.nii.gz",
                [](auto i, auto j, auto) { return i == 1 && j == 1 ? 1.0F : 0.0F; });
      }
  }
  Study(const Study&) = delete;
  Study& operator=(const Study&) = delete;
  ~Study() { std::filesystem::remove_all(root_); }

  [[nodiscard]] LoaderParameters params(const std::string& json = R"({"target_suffix": ["_seg-manual"]})") const {
    auto out = ivado::from_json<LoaderParameters>(ivado::Json::parse(json), "loader_parameters");
    out.path_data.values = {root_.string()};
    return out;
  }

 private:
  template <class Value>
  void write(const std::string& name, const Value& value) const {
    ivado::Geometry geometry{ivado::Shape{3, 4, 5}};
    geometry.affine(2, 2) = 2;
    ivado::Array<float> voxels(geometry.shape);
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t j = 0; j < 4; ++j)
        for (std::int64_t k = 0; k < 5; ++k) voxels[n++] = value(i, j, k);
    const auto path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    ivado::write_volume(path.string(), std::as_const(voxels).view(), geometry, ivado::StoredType::float32);
  }
  std::filesystem::path root_;
};

template <class Function>
std::string message_of(const Function& function) {
  try {
    function();
  } catch (const ivado::Error& error) {
    CHECK(error.fault() == ivado::Fault::usage);
    return error.what();
  }
  return "no error";
}

std::vector<std::string> ids(const std::vector<ivado::Case>& cases) {
  std::vector<std::string> out;
  for (const auto& one : cases) out.push_back(one.id);
  return out;
}

/// The loader in the documentation of the concept, word for word.
struct OneImage {  // a loader of one file
  struct Params {
    std::string path;
    static constexpr auto fields() { return ivado::fields(ivado::field<"path", &Params::path>("image")); }
  };
  static constexpr int dimension = 2, channels = 1, classes = 1;
  Params params;
  explicit OneImage(const Params& p) : params(p) {}
  std::vector<ivado::Case> cases(bool, const std::vector<std::string>&, ivado::LeftOutList&) const {
    ivado::Case one;
    one.images = {params.path};
    return {one};
  }
  template <class A>
  ivado::SliceDataset<A> dataset(std::vector<ivado::Case> c, const A& a, Stage s, std::uint64_t seed) const {
    return {std::move(c), {}, a, s, seed};
  }
};

template <class T>
concept HasAxis = requires {
  T::axis;
};

}  // namespace

TEST_CASE("options are found in any order, and are 1 where they are not given", "[unit][bids_loader]") {
  using Plain = BidsLoader<Slices<Axis::axial>>;
  using Both = BidsLoader<Slices<Axis::coronal>, Classes<3>, Channels<2>>;
  using Open = BidsLoader<ivado::AnySlices, Channels<ivado::dynamic>, Classes<ivado::dynamic>>;
  STATIC_REQUIRE(Plain::dimension == 2);
  STATIC_REQUIRE(Plain::channels == 1);
  STATIC_REQUIRE(Plain::classes == 1);
  STATIC_REQUIRE(Both::axis == Axis::coronal);
  STATIC_REQUIRE(Both::channels == 2);
  STATIC_REQUIRE(Both::classes == 3);
  STATIC_REQUIRE(Open::channels == ivado::dynamic);
  STATIC_REQUIRE(Open::classes == ivado::dynamic);
  STATIC_REQUIRE(ivado::Loader<Both>);
  STATIC_REQUIRE_FALSE(ivado::Loader<int>);
  STATIC_REQUIRE(ivado::Loader<OneImage>);
}

TEST_CASE("a loader's type tells whether its samples have presence or metadata", "[unit][bids_loader]") {
  using Plain = BidsLoader<Slices<Axis::axial>>;
  using Missing = BidsLoader<Slices<Axis::axial>, ivado::MissingContrasts, Channels<3>>;
  using Both = BidsLoader<ivado::AnySlices, ivado::Metadata, Channels<ivado::dynamic>, ivado::MissingContrasts>;
  using Film = BidsLoader<Slices<Axis::axial>, ivado::Metadata>;
  STATIC_REQUIRE_FALSE(Plain::gives_presence);
  STATIC_REQUIRE_FALSE(Plain::gives_metadata);
  STATIC_REQUIRE(Missing::gives_presence);
  STATIC_REQUIRE_FALSE(Missing::gives_metadata);
  STATIC_REQUIRE(Both::gives_presence);
  STATIC_REQUIRE(Both::gives_metadata);
  STATIC_REQUIRE(Film::gives_metadata);
  STATIC_REQUIRE(Missing::channels == 3);
  STATIC_REQUIRE(ivado::Loader<Missing>);
  STATIC_REQUIRE(ivado::Loader<Film>);
  STATIC_REQUIRE(ivado::loader_gives_presence<Missing>);
  STATIC_REQUIRE(ivado::loader_gives_metadata<Film>);
  STATIC_REQUIRE_FALSE(ivado::loader_gives_presence<Plain>);
  STATIC_REQUIRE_FALSE(ivado::loader_gives_presence<OneImage>);  // a loader that says nothing
  STATIC_REQUIRE_FALSE(ivado::loader_gives_metadata<OneImage>);
}

TEST_CASE("a loader whose axis is chosen at run time has no static one", "[unit][bids_loader]") {
  STATIC_REQUIRE(HasAxis<BidsLoader<Slices<Axis::axial>>>);
  STATIC_REQUIRE_FALSE(HasAxis<BidsLoader<ivado::AnySlices>>);
}

TEST_CASE("what the type fixes must agree with the parameters; both are named", "[unit][bids_loader]") {
  LoaderParameters params;
  params.path_data.values = {"/nowhere"};  // construction reads no file
  CHECK_NOTHROW(BidsLoader<Slices<Axis::axial>>(params));
  CHECK_THAT(message_of([&] { BidsLoader<Slices<Axis::sagittal>> loader(params); }),
             Catch::Contains("slice_axis") && Catch::Contains("\"axial\"") &&
                 Catch::Contains("built for sagittal slices") && Catch::Contains("Slices<Axis::axial>"));
  CHECK_NOTHROW(BidsLoader<ivado::AnySlices>(params));

  params = ivado::from_json<LoaderParameters>(
      ivado::Json::parse(R"({"target_suffix": ["_a", "_b"], "multichannel": true})"), "loader_parameters");
  CHECK_THAT(message_of([&] { BidsLoader<Slices<Axis::axial>> loader(params); }),
             Catch::Contains("target_suffix") && Catch::Contains("2 classes") &&
                 Catch::Contains("built for 1 class;") && Catch::Contains("Classes<2>"));
  const BidsLoader<Slices<Axis::axial>, Classes<2>> two(params);
  CHECK(two.class_count() == 2);
  ivado::LeftOutList left_out;
  CHECK_THAT(message_of([&] {
               (void)two.cases(true, {"T1w", "T2w"}, left_out);
             }),
             Catch::Contains("contrast_params") && Catch::Contains("2 channels") &&
                 Catch::Contains("built for 1 channel;") && Catch::Contains("Channels<2>"));

  params.multichannel = false;
  const BidsLoader<Slices<Axis::axial>, Classes<ivado::dynamic>, Channels<2>> separate(params);
  CHECK_THAT(message_of([&] {
               (void)separate.cases(true, {"T1w", "T2w"}, left_out);
             }),
             Catch::Contains("1 channel,") && Catch::Contains("Channels<1>"));

  const BidsLoader<Slices<Axis::axial>> no_suffix{LoaderParameters{}};
  CHECK_THAT(message_of([&] { (void)no_suffix.cases(true, {}, left_out); }),
             Catch::Contains("target_suffix") && Catch::Contains("empty"));
}

TEST_CASE("folders become cases; what is left out is listed", "[unit][bids_loader]") {
  const Study study;
  const BidsLoader<Slices<Axis::axial>> loader(study.params());
  ivado::LeftOutList left_out;

  SECTION("each contrast is a case") {
    const auto cases = loader.cases(true, {"T1w", "T2w"}, left_out);
    CHECK(ids(cases) == std::vector<std::string>{"sub-01_T1w", "sub-01_T2w", "sub-02_T1w", "sub-02_T2w"});
    const auto unlabelled = std::count_if(left_out.files.begin(), left_out.files.end(),
                                          [](const auto& one) { return one.file.find("sub-03") != std::string::npos; });
    CHECK(unlabelled == 2);
  }
  SECTION("one contrast") {
    CHECK(ids(loader.cases(true, {"T2w"}, left_out)) == std::vector<std::string>{"sub-01_T2w", "sub-02_T2w"});
  }
  SECTION("without labels") {
    const auto cases = loader.cases(false, {"T1w"}, left_out);
    CHECK(ids(cases) == std::vector<std::string>{"sub-01_T1w", "sub-02_T1w", "sub-03_T1w"});
    for (const auto& one : cases) CHECK(one.labels.empty());
    const auto data = loader.dataset(cases, ivado::detail::NoTransforms{}, Stage::testing, 0);
    CHECK(data.size() == 15);
    CHECK(data.get(0, 0).sample.label.empty());
  }
  SECTION("contrasts as channels") {
    auto params = study.params();
    params.multichannel = true;
    const BidsLoader<Slices<Axis::axial>, Channels<2>> two(params);
    const auto cases = two.cases(true, {"T2w", "T1w"}, left_out);
    REQUIRE(ids(cases).size() == 2);
    const auto data = two.dataset(cases, ivado::detail::NoTransforms{}, Stage::training, 0);
    const auto loaded = data.get(0, 0);
    CHECK(loaded.sample.image.voxels.shape() == ivado::Shape{2, 3, 4});
    CHECK(loaded.sample.image.voxels.view()(0, 2, 3) == 32.5F);  // T2w first, as the contrasts are listed
    CHECK(loaded.sample.image.voxels.view()(1, 2, 3) == 32);
  }
}

TEST_CASE("with MissingContrasts subjects are cases that lack some", "[unit][bids_loader]") {
  const Study study;
  ivado::LeftOutList left_out;
  using Missing = BidsLoader<Slices<Axis::axial>, Channels<3>, ivado::MissingContrasts>;
  const std::vector<std::string> contrasts{"T1w", "T2star", "T2w"};
  const auto params = study.params();  // "multichannel" is false
  ivado::ModelNeeds needs;
  needs.target_contrasts = {"T2w"};
  needs.missing_probability = 0.5;
  needs.missing_probability_growth = 1.5;
  const Missing loader(params, needs);
  CHECK(loader.channel_count(contrasts) == 3);
  CHECK(loader.allows_missing());
  const auto options = loader.slice_options(Stage::training);
  CHECK(options.missing_contrasts);
  CHECK(options.missing_probability == 0.5);
  CHECK(options.missing_probability_growth == 1.5);
  const auto cases = loader.cases(true, contrasts, left_out);
  CHECK(ids(cases) == std::vector<std::string>{"sub-01_T2w", "sub-02_T2w"});  // sub-03 has no label
  CHECK(cases[0].images[1].empty());
  CHECK(cases[0].reference == 2);
  const auto data = loader.dataset(cases, ivado::detail::NoTransforms{}, Stage::validation, 0);
  CHECK(data.get(0, 0).sample.condition == std::vector<float>{1, 0, 1});
  CHECK(data.get(0, 0).sample.image.voxels.shape() == ivado::Shape{3, 3, 4});

  SECTION("the model's contrasts are the channels, whichever are asked for") {
    needs.channels = contrasts;
    const Missing other(params, needs);
    const auto some = other.cases(true, {"T1w"}, left_out);
    CHECK(ids(some) == std::vector<std::string>{"sub-01_T1w", "sub-02_T1w"});
    CHECK(some[0].images[2].empty());
    CHECK(other.channel_count({"T1w"}) == 3);
  }
  SECTION("the number of contrasts must agree with the type") {
    CHECK_THAT(message_of([&] {
                 (void)loader.cases(true, {"T1w", "T2w"}, left_out);
               }),
               Catch::Contains("contrast_params") && Catch::Contains("built for 3 channels"));
  }
  SECTION("a model that wants every contrast can switch it off") {
    needs.missing_contrasts = false;
    auto all = params;
    all.multichannel = true;
    const BidsLoader<Slices<Axis::axial>, Channels<ivado::dynamic>, ivado::MissingContrasts> other(all, needs);
    CHECK_FALSE(other.allows_missing());
    CHECK_FALSE(other.slice_options(Stage::training).missing_contrasts);
    CHECK(ids(other.cases(true, {"T1w", "T2w"}, left_out)) == std::vector<std::string>{"sub-01_T1w", "sub-02_T1w"});
    CHECK_THROWS_AS(other.cases(true, contrasts, left_out), ivado::Error);
  }
  SECTION("a type without the option never has any") {
    auto all = params;
    all.multichannel = true;
    const BidsLoader<Slices<Axis::axial>, Channels<2>> other(all, needs);
    CHECK_FALSE(other.allows_missing());
    const auto whole = other.cases(true, {"T1w", "T2w"}, left_out);
    CHECK(whole[0].id == "sub-01_T1w");
    CHECK(other.dataset(whole, ivado::detail::NoTransforms{}, Stage::training, 0).get(0, 0).sample.condition.empty());
  }
}

TEST_CASE("a model of whole images gets labels of whole images", "[unit][bids_loader]") {
  const Study study;
  ivado::LeftOutList left_out;
  ivado::ModelNeeds needs;
  needs.image_labels = true;
  using Open = BidsLoader<Slices<Axis::axial>, Classes<ivado::dynamic>>;
  SECTION("from the label files") {
    const Open loader(study.params(R"({"target_suffix": ["_seg-manual", "_lesion-manual"]})"), needs);
    const auto data =
        loader.dataset(loader.cases(true, {"T1w"}, left_out), ivado::detail::NoTransforms{}, Stage::training, 0);
    const auto label = data.get(0, 0).sample.label.voxels.clone();
    CHECK(std::vector<float>(label.begin(), label.end()) == std::vector<float>{0, 1});  // no cord in slice 0
  }
  SECTION("from a column, with no label file at all") {
    const auto params = study.params(R"({"label_column": "participant_id", "label_values": ["sub-03", "sub-01"]})");
    const Open loader(params, needs);
    CHECK(loader.class_count() == 2);
    const auto cases = loader.cases(true, {"T1w"}, left_out);
    REQUIRE(ids(cases) == std::vector<std::string>{"sub-01_T1w", "sub-02_T1w", "sub-03_T1w"});
    const auto data = loader.dataset(cases, ivado::detail::NoTransforms{}, Stage::training, 0);
    REQUIRE(data.size() == 15);
    const auto label = data.get(14, 0).sample.label.voxels.clone();
    CHECK(std::vector<float>(label.begin(), label.end()) == std::vector<float>{1, 0});

    CHECK_THAT(message_of([&] { BidsLoader<Slices<Axis::axial>> other(params, needs); }),
               Catch::Contains("loader_parameters.label_values") && Catch::Contains("2 classes") &&
                   Catch::Contains("Classes<2>"));
    CHECK_THAT(message_of([&] { Open other(params); }),
               Catch::Contains("loader_parameters.label_column") && Catch::Contains("predicts maps"));
  }
  SECTION("a column without values") {
    auto params = study.params("{}");
    params.label_column = "participant_id";
    CHECK_THAT(message_of([&] { (void)Open(params, needs).cases(true, {"T1w"}, left_out); }),
               Catch::Contains("label_values: it is empty"));
  }
}

TEST_CASE("the public spinal cord data: contrasts of different grids, some of them missing", "[bids_loader]") {
  const auto root = tests::shared_data("spinalcord");
  if (!root) return;
  auto params = ivado::from_json<LoaderParameters>(
      ivado::Json::parse(R"({"target_suffix": ["_seg-manual"], "slice_filter_params": {"filter_empty_mask": true}})"),
      "loader_parameters");
  params.path_data.values = {*root};
  ivado::ModelNeeds needs;
  needs.target_contrasts = {"T2w"};
  needs.missing_probability = 0.3;
  using Missing = BidsLoader<Slices<Axis::axial>, Channels<3>, ivado::MissingContrasts>;
  const std::vector<std::string> contrasts{"T1w", "T2w", "T2star"};
  ivado::LeftOutList left_out;
  const auto cases = Missing(params, needs).cases(true, contrasts, left_out);
  REQUIRE(ids(cases) == std::vector<std::string>{"sub-pam50_T2w", "sub-sct01_T2w", "sub-sct02_T2w", "sub-unf01_T2w"});
  // sub-sct01 has its contrasts on three grids.
  try {
    (void)Missing(params, needs).dataset(cases, ivado::detail::NoTransforms{}, Stage::training, 1);
    FAIL("no error");
  } catch (const ivado::Error& error) {
    CHECK(error.fault() == ivado::Fault::data);
    CHECK_THAT(error.what(), Catch::Contains("sub-sct01_T2w") && Catch::Contains("\"allow_regrid\": true"));
  }
  params.allow_regrid = true;
  const Missing loader(params, needs);
  const auto data = loader.dataset(cases, ivado::detail::NoTransforms{}, Stage::validation, 1);
  CHECK(data.geometry_of(1).shape == ivado::Shape{60, 55, 52});
  CHECK_THAT(data.summary(), Catch::Contains("files resampled onto another grid"));
  // Where the cord is in the label, it is in the other contrasts too: the same person, the same place in the world.
  std::array<int, 3> there{};
  int of_sct01 = 0;
  for (std::size_t n = 0; n < data.size(); ++n) {
    const auto sample = data.get(n, 0).sample;
    const auto& condition = sample.condition;
    REQUIRE(condition.size() == 3);
    CHECK(condition[1] == 1);
    if (sample.origin.volume == 0) CHECK(condition == std::vector<float>{0, 1, 0});
    if (sample.origin.volume == 3) CHECK(condition == std::vector<float>{1, 1, 1});
    if (sample.origin.volume != 1) continue;
    ++of_sct01;
    for (std::size_t c = 0; c < 3; ++c) there[c] += condition[c] == 1 ? 1 : 0;
  }
  CHECK(of_sct01 > 20);
  CHECK(there[1] == of_sct01);
  CHECK(there[0] > of_sct01 / 2);
  CHECK(there[2] > of_sct01 / 2);
  // The cord masks that people drew on T1w and on T2w, one brought onto the grid of the other, overlap.
  auto of_t1w = cases[1];
  const auto own = ivado::read_labels(of_t1w, data.geometry_of(1), loader.slice_options(Stage::testing));
  of_t1w.labels = {*root + "/derivatives/labels/sub-sct01/anat/sub-sct01_T1w_seg-manual.nii.gz"};
  const auto moved = ivado::read_labels(of_t1w, data.geometry_of(1), loader.slice_options(Stage::testing));
  double both = 0;
  double sum = 0;
  for (std::int64_t v = 0; v < own.size(); ++v) {
    both += static_cast<double>(own[v] * moved[v]);
    sum += static_cast<double>(own[v] + moved[v]);
  }
  CHECK(2 * both / sum > 0.7);
  INFO("Dice " << 2 * both / sum);
}

TEST_CASE("a data set is made as the parameters say", "[unit][bids_loader]") {
  const Study study;
  ivado::LeftOutList left_out;
  const auto make = [&](const std::string& json) {
    const BidsLoader<ivado::AnySlices, Classes<ivado::dynamic>> loader(study.params(json));
    return loader.dataset(loader.cases(true, {"T1w"}, left_out), ivado::detail::NoTransforms{}, Stage::training, 5);
  };
  SECTION("axis") {
    const auto data = make(R"({"target_suffix": ["_seg-manual"], "slice_axis": "sagittal"})");
    CHECK(data.axis() == Axis::sagittal);
    CHECK(data.size() == 2 * 3);
    CHECK(data.get(0, 0).sample.image.spacing_mm == std::array<double, 3>{2, 1, 1});
  }
  SECTION("filters of masks") {
    CHECK(make(R"({"target_suffix": ["_seg-manual"], "slice_filter_params": {"filter_empty_mask": true}})")
              .counts()
              .empty_mask == 2);
    const auto absent = make(
        R"({"target_suffix": ["_seg-manual", "_lesion-manual"], "slice_filter_params": {"filter_absent_class": true}})");
    CHECK(absent.counts(0).absent_class == 1);  // no cord in the first slice
    CHECK(absent.counts(1).absent_class == 5);  // sub-02 has no lesion file
    CHECK(absent.get(0, 0).sample.label.voxels.extent(0) == 2);
  }
  SECTION("filter of the region of interest") {
    const auto data =
        make(R"({"target_suffix": ["_seg-manual"], "roi_params": {"suffix": "_seg-manual", "slice_filter_roi": 3}})");
    CHECK(data.counts().small_roi == 2);
    CHECK(data.get(0, 0).sample.roi.voxels.shape() == ivado::Shape{1, 3, 4});
    CHECK(make(R"({"target_suffix": ["_seg-manual"], "roi_params": {"suffix": "_seg-manual", "slice_filter_roi": 4}})")
              .size() == 0);
    CHECK(
        make(R"({"target_suffix": ["_seg-manual"], "roi_params": {"suffix": "_seg-manual", "slice_filter_roi": null}})")
            .size() == 10);
    const auto told = [&] {
      return std::count_if(left_out.warnings.begin(), left_out.warnings.end(), [](const std::string& warning) {
        return warning.find("slice_filter_roi has no effect") != std::string::npos;
      });
    };
    CHECK(told() == 0);
    (void)make(R"({"target_suffix": ["_seg-manual"], "roi_params": {"suffix": null, "slice_filter_roi": 4}})");
    CHECK(told() == 1);
  }
  SECTION("a filter of patches where there are none") {
    const auto data = make(R"({"target_suffix": ["_seg-manual"], "patch_filter_params": {"filter_empty_mask": true}})");
    REQUIRE(data.warnings().size() == 1);
    CHECK_THAT(data.warnings()[0],
               Catch::Contains("patch_filter_params has no effect") && Catch::Contains("length_2D"));
  }
}

TEST_CASE("a loader of sub-volumes takes their extents from its type or from the model's section",
          "[unit][bids_loader]") {
  const Study study;
  const auto params = study.params();
  ivado::LeftOutList left_out;
  const auto extents = [&]<class Loader>(const ivado::PatchSize& patches, std::type_identity<Loader>) {
    ivado::ModelNeeds needs;
    needs.patches = patches;
    const Loader loader(params, needs);
    const auto data =
        loader.dataset(loader.cases(true, {"T2w"}, left_out), ivado::detail::NoTransforms{}, Stage::testing, 0);
    CHECK(data.size() > 0);
    return data.get(0, 0).sample.image.voxels.shape();
  };
  constexpr std::type_identity<BidsLoader<ivado::Subvolumes<2, 3, 4>>> fixed;
  constexpr std::type_identity<BidsLoader<ivado::AnySubvolumes>> open;
  constexpr std::type_identity<BidsLoader<ivado::AnySlices>> slices;
  CHECK(extents({}, fixed) == ivado::Shape{1, 2, 3, 4});
  CHECK(extents({{2, 3, 4}, {1, 1, 1}}, fixed) == ivado::Shape{1, 2, 3, 4});
  CHECK(extents({{5, 3, 2}, {}}, open) == ivado::Shape{1, 5, 3, 2});
  CHECK(extents({}, open) == ivado::Shape{1, 3, 4, 5});  // the whole volume
  CHECK(extents({{2, 3}, {2, 2}}, slices) == ivado::Shape{1, 2, 3});
  CHECK_THAT(message_of([&] {
               (void)extents({{4, 3, 2}, {}}, fixed);
             }),
             Catch::Contains("length_3D: it is 4x3x2, the program is built for sub-volumes of 2x3x4") &&
                 Catch::Contains("Subvolumes<4, 3, 2>"));
  CHECK_THAT(message_of([&] {
               (void)extents({{4, 3}, {}}, open);
             }),
             Catch::Contains("length_3D") && Catch::Contains("[4, 3]"));
  CHECK_THAT(message_of([&] { (void)extents({{4, 3, 2}, {}}, slices); }), Catch::Contains("length_2D"));
  STATIC_REQUIRE(BidsLoader<ivado::AnySubvolumes>::dimension == 3);
}

TEST_CASE("numbers go from the parameters to the data set", "[unit][bids_loader]") {
  const auto params = ivado::from_json<LoaderParameters>(
      ivado::Json::parse(
          R"({"slice_axis": "coronal", "soft_gt": true, "grid_tolerance_mm": 0.25, "cache_mib": 8, "workers": 3,
                             "slice_filter_params": {"filter_empty_input": false, "filter_empty_mask": true, "filter_absent_class": true},
                             "roi_params": {"suffix": null, "slice_filter_roi": 10}})"),
      "loader_parameters");
  const BidsLoader<Slices<Axis::coronal>> loader(params);
  const auto training = loader.slice_options(Stage::training);
  CHECK(training.axis == Axis::coronal);
  CHECK(training.soft_gt);
  CHECK(training.grid_tolerance_mm == 0.25);
  CHECK(training.threads == 3);
  CHECK_FALSE(training.filter_empty_input);
  CHECK(training.filter_empty_mask);
  CHECK(training.filter_absent_class);
  CHECK(training.filter_roi == -1);  // there is no region of interest
  CHECK(training.patches.empty());
  CHECK_FALSE(training.patch_filter.is_any());
  CHECK(training.cache_bytes == std::size_t{6} << 20);
  CHECK(loader.slice_options(Stage::validation).cache_bytes == std::size_t{2} << 20);
  CHECK(loader.slice_options(Stage::testing).cache_bytes == std::size_t{8} << 20);
  CHECK(loader.slice_axis() == Axis::coronal);
  CHECK(loader.channel_count({"T1w", "T2w"}) == 1);
  CHECK(same(loader.params(), params));
}
