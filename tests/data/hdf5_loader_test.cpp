// Hdf5Loader: the files of ivadomed 2.8 as cases and samples; files of neither layout. Packed files: pack_test.cpp.
#include <cstdint>
#include <filesystem>
#include <ivado/config/params.hpp>
#include <ivado/data/hdf5_loader.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "bids_tree.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::AnySlices;
using ivado::Array;
using ivado::Axis;
using ivado::Channels;
using ivado::Hdf5File;
using ivado::Hdf5Loader;
using ivado::LeftOutList;
using ivado::LoaderParameters;
using ivado::MissingContrasts;
using ivado::Shape;
using ivado::Stage;
using NoTransforms = ivado::detail::NoTransforms;

LoaderParameters parameters(const std::string& path, const std::string& json = "{}") {
  auto out = ivado::from_json<LoaderParameters>(ivado::Json::parse(json), "loader_parameters");
  out.path_data.values = {path};
  return out;
}

/// A file as ivadomed wrote it: two subjects, the second without T2w; 4 slices of 2 x 3, of which 1 to 3 are kept.
std::string made_by_ivadomed(const tests::Tree& tree, std::int64_t axis = 2) {
  const std::string path = tree.path("old.hdf5").string();
  Hdf5File file = Hdf5File::create(path);
  file.set_text("/", "patients_id", "sub-01");
  file.set_numbers<std::int64_t>("/", "slice_axis", {axis});
  file.make_group("sub-01");
  file.set_text("sub-01", "contrast", "T1w");
  file.set_numbers<std::int64_t>("sub-01", "slices", {1, 2, 3});
  for (const std::string kind : {"inputs", "gt", "roi"}) {
    file.make_group("sub-01/" + kind);
    const std::string name = "sub-01/" + kind + "/T1w";
    Array<double> slices(Shape{4, 2, 3});
    for (std::int64_t i = 0; i < slices.size(); ++i)
      slices[i] = kind == "inputs" ? static_cast<double>(i) : i % 2 == 0 ? 128.0 / 255 : 0.0;
    file.write(name, slices);
    file.set_numbers<float>(name, "zooms", {0.5F, 0.75F, 4});
  }
  file.set_text("sub-01/gt/T1w", "gt_filenames", "derivatives/labels/sub-01/anat/sub-01_T1w_lesion-manual.nii.gz");
  file.close();
  return path;
}

}  // namespace

TEST_CASE("The slices of ivadomed's HDF5 file are samples as they stand, along each axis") {
  const tests::Tree tree;
  const auto axis = GENERATE(Axis::sagittal, Axis::coronal, Axis::axial);
  const std::string path = made_by_ivadomed(tree, static_cast<std::int64_t>(axis));
  LoaderParameters params =
      parameters(path, R"({"target_suffix": ["_lesion-manual"], "roi_params": {"suffix": "_seg"}, "soft_gt": true})");
  params.slice_axis = axis;
  const Hdf5Loader<AnySlices> loader(params);
  LeftOutList left_out;
  const auto cases = loader.cases(true, {"T1w"}, left_out);
  REQUIRE(cases.size() == 1);
  CHECK(cases[0].id == "sub-01_T1w");
  REQUIRE(left_out.warnings.size() == 1);
  CHECK_THAT(left_out.warnings[0], Contains("in the world is lost"));
  const auto data = loader.dataset(cases, NoTransforms{}, Stage::training, 1);
  REQUIRE(data.size() == 3);
  for (std::size_t d = 0; d < 3; ++d) {
    const auto sample = data.get(d, 1).sample;
    REQUIRE(sample.image.voxels.shape() == Shape{1, 2, 3});
    CHECK(sample.image.spacing_mm[0] == 0.5);
    CHECK(sample.image.spacing_mm[1] == 0.75);
    CHECK(sample.image.spacing_mm[2] == 4);
    for (std::int64_t i = 0; i < 6; ++i) {
      CHECK(sample.image.voxels[i] == static_cast<float>((static_cast<std::int64_t>(d) + 1) * 6 + i));
      CHECK(sample.label.voxels[i] == (i % 2 == 0 ? 128.0F / 255 : 0.0F));
      CHECK(sample.roi.voxels[i] == sample.label.voxels[i]);
    }
  }
}

TEST_CASE("What does not fit ivadomed's HDF5 file is refused with what differs") {
  const tests::Tree tree;
  const std::string path = made_by_ivadomed(tree);
  const auto refusal = [&](const std::string& json, const std::vector<std::string>& contrasts = {}) {
    LeftOutList left_out;
    return tests::message_of([&] {
      (void)Hdf5Loader<AnySlices, ivado::Classes<ivado::dynamic>>(parameters(path, json))
          .cases(true, contrasts, left_out);
    });
  };
  CHECK_THAT(refusal(R"({"target_suffix": ["_lesion-manual"], "slice_axis": "sagittal"})"),
             Contains(path) && Contains("axial") && Contains("sagittal"));
  CHECK_THAT(refusal(R"({"target_suffix": ["_seg-manual"]})"), Contains("_lesion-manual") && Contains("_seg-manual"));
  CHECK_THAT(refusal(R"({"target_suffix": ["_a", "_b"]})"), Contains("one class"));
  CHECK_THAT(refusal(R"({"target_suffix": ["_lesion-manual"]})", {"T2w"}), Contains("no case is left"));
}

TEST_CASE("Files of neither layout are refused") {
  const tests::Tree tree;
  const std::string path = tree.path("other.hdf5").string();
  Hdf5File::create(path).close();
  LeftOutList left_out;
  const Hdf5Loader<AnySlices> loader(parameters(path, R"({"target_suffix": ["_seg"]})"));
  CHECK_THAT(tests::message_of([&] { (void)loader.cases(true, {}, left_out); }), Contains(path) && Contains("neither"));
  const Hdf5Loader<AnySlices> nothing(parameters(tree.path("none.hdf5").string(), R"({"target_suffix": ["_seg"]})"));
  CHECK_THAT(tests::message_of([&] { (void)nothing.cases(true, {}, left_out); }), Contains("none.hdf5"));
}

TEST_CASE("ivadomed's HDF5 file: one case a contrast, channels, and contrasts that may be missing") {
  const auto folder = tests::shared_data("formats");
  if (!folder) return;
  const std::string path = *folder + "/hdf5/mytestfile.hdf5";
  const std::string suffix = R"("target_suffix": ["_lesion-manual"], "soft_gt": true)";
  LeftOutList left_out;
  const Hdf5Loader<AnySlices> single(parameters(path, "{" + suffix + "}"));
  const auto cases = single.cases(true, {"T2w", "T1w"}, left_out);
  REQUIRE(cases.size() == 2);
  CHECK(cases[0].id == "sub-unf01_T2w");
  const auto data = single.dataset(cases, NoTransforms{}, Stage::testing, 1);
  CHECK(data.volumes() == 2);
  CHECK(data.size() == 28);  // the slices 0 to 13 of 16, all of which vary
  CHECK(data.get(3, 0).sample.image.voxels.shape() == Shape{1, 48, 48});
  const auto slices = Hdf5File::open(path).read<float>("sub-unf01/inputs/T2w");
  const auto labels = Hdf5File::open(path).read<float>("sub-unf01/gt/T2w");
  const auto sample = data.get(3, 0).sample;
  for (std::int64_t i = 0; i < 48 * 48; ++i) {
    REQUIRE(sample.image.voxels[i] == slices[3 * 48 * 48 + i]);
    REQUIRE(sample.label.voxels[i] == labels[3 * 48 * 48 + i]);
  }
  // What `evaluate` compares with is read from the file too.
  const auto truth = ivado::read_labels(data.case_of(0), data.geometry_of(0), single.slice_options(Stage::testing));
  CHECK(truth.shape() == Shape{1, 48, 48, 14});

  const Hdf5Loader<AnySlices, Channels<3>> stacked(parameters(path, "{\"multichannel\": true, " + suffix + "}"));
  const auto channels = stacked.cases(true, {"T1w", "T2w", "T2star"}, left_out);
  REQUIRE(channels.size() == 1);
  CHECK(stacked.dataset(channels, NoTransforms{}, Stage::training, 1).get(0, 1).sample.image.voxels.extent(0) == 3);
  CHECK_THAT(tests::message_of([&] { (void)stacked.cases(true, {"T1w", "T2w"}, left_out); }), Contains("2 channels"));

  ivado::ModelNeeds needs;
  needs.channels = {"PD", "T2w", "T2star"};
  needs.target_contrasts = {"T2star"};
  const Hdf5Loader<AnySlices, Channels<3>, MissingContrasts> hemis(parameters(path, "{" + suffix + "}"), needs);
  const auto lacking = hemis.cases(true, {"T2w", "T2star"}, left_out);
  REQUIRE(lacking.size() == 1);
  CHECK(lacking[0].images[0].empty());
  CHECK(lacking[0].reference == 2);
  CHECK_THAT(lacking[0].labels[0], Contains("gt/T2star"));
  CHECK(hemis.dataset(lacking, NoTransforms{}, Stage::training, 1).get(0, 1).sample.condition ==
        std::vector<float>{0, 1, 1});
}
