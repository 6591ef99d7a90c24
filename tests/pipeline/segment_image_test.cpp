// Image files segmented with a packaged model: one and several channels, pictures, and other patches than the model's.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <ivado/interop/png.hpp>
#include <ivado/ivado.hpp>
#include <ivado/segment_image.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using SliceProgram =
    Pipeline<BidsLoader<AnySlices, Channels<dynamic>, Classes<dynamic>>, Compose<Resample, NormalizeInstance>,
             Unet<2, 2, dynamic, dynamic>, DiceLoss, AnyPostProcess, QuietLogger>;
using VolumeProgram = Pipeline<BidsLoader<AnySubvolumes>, Compose<Resample, CenterCrop>, Modified3DUNet<>, DiceLoss,
                               AnyPostProcess, QuietLogger>;

const World& world() {
  static const World one({"T1w", "T2w"});
  return one;
}

/// The configuration of a small model, with changes.
SliceProgram::Params params_of(const std::string& name, const std::string& changes) {
  std::vector<std::string> warnings;
  const Json json = merge(Json::parse(R"({
    "loader_parameters": {"target_suffix": ["_seg-manual"], "workers": 1,
                          "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"]}},
    "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
    "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 1}},
    "default_model": {"n_filters": 4},
    "transformation": {"Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "NormalizeInstance": {}}
  })"),
                          Json::parse(changes));
  auto params = SliceProgram::configure(SliceProgram::defaults(), json, warnings);
  params.loader_parameters.path_data.values = {world().data()};
  params.path_output = world().results(name);
  return params;
}

Runtime one_thread() {
  RuntimeOptions options;
  options.threads = 1;
  return start_runtime(options);
}

std::string image(std::size_t subject, const std::string& contrast) { return world().image(subject, contrast); }

/// The command, from its line to the names of the files written.
template <class Experiment>
std::vector<std::string> run(std::vector<std::string> arguments, const std::string& out) {
  arguments.insert(arguments.end(), {"-o", world().results(out), "--threads", "1"});
  auto written = segment_image<Experiment>(parse_segment_image(arguments));
  for (auto& path : written) {
    CHECK(std::filesystem::path(path).parent_path() == world().results(out));
    path = std::filesystem::path(path).filename().string();
  }
  return written;
}

}  // namespace

TEST_CASE("Image files are segmented with a package as the data set is", "[train]") {
  (void)SliceProgram(
      params_of("single", R"({"loader_parameters": {"target_suffix": ["_seg-manual", "_lesion-manual"]}})"),
      one_thread())
      .train();
  auto params = params_of(
      "single", R"({"loader_parameters": {"target_suffix": ["_seg-manual", "_lesion-manual"]}, "command": "segment"})");
  const auto expected = SliceProgram(std::move(params), one_thread()).segment();
  REQUIRE(expected.size() == 2 * 2 * 4);  // classes, contrasts, subjects

  const std::string first = image(0, "T2w");
  const std::string second = image(1, "T1w");
  const auto stem = [](const std::string& path) { return ivado::detail::image_stem(path); };
  const auto written =
      run<SliceProgram>({"-i", first, second, "-m", world().results("single/my_model/"), "-s", "_auto"}, "two");
  CHECK(written == std::vector<std::string>{stem(first) + "_class-0_auto.nii.gz", stem(first) + "_class-1_auto.nii.gz",
                                            stem(second) + "_class-0_auto.nii.gz",
                                            stem(second) + "_class-1_auto.nii.gz"});
  for (const char* k : {"0", "1"})
    CHECK(content_of(world().results("two") + "/" + stem(first) + "_class-" + k + "_auto.nii.gz") ==
          content_of(world().results("single/pred_masks/") + stem(first) + "_class-" + k + "_pred.nii.gz"));
  // Nothing but the predictions.
  CHECK(std::distance(std::filesystem::directory_iterator(world().results("two")), {}) == 4);
}

TEST_CASE("A model of several channels takes one file a channel", "[train]") {
  const std::string two = R"({"loader_parameters": {"multichannel": true, "allow_regrid": true}})";
  (void)SliceProgram(params_of("multi", two), one_thread()).train();
  auto params = params_of("multi", two);
  params.command = Command::segment;
  const auto expected = SliceProgram(params, one_thread()).segment();
  REQUIRE(expected.size() == 4);
  const std::vector<std::string> files{image(2, "T1w"), image(2, "T2w")};
  const std::string model = world().results("multi/my_model");
  const auto written = run<SliceProgram>({"-i", files[0], files[1], "-m", model}, "channels");
  CHECK(written == std::vector<std::string>{ivado::detail::image_stem(files[0]) + "_pred.nii.gz"});
  const std::string prediction = content_of(world().results("channels") + "/" + written.at(0));
  CHECK(std::any_of(expected.begin(), expected.end(),
                    [&](const std::string& path) { return content_of(path) == prediction; }));
  // The other order is another prediction.
  const auto swapped = run<SliceProgram>({"-i", files[1], files[0], "-m", model}, "channels");
  CHECK(content_of(world().results("channels") + "/" + swapped.at(0)) != prediction);
  CHECK_THROWS_WITH(run<SliceProgram>({"-i", files[0], "-m", model}, "channels"),
                    Contains("takes 2 channels, 1 file is given"));

  // So do the paths of --segment.
  params.loader_parameters.path_data.values = files;
  params.path_output = world().results("multi");
  const auto by_path = SliceProgram(params, one_thread()).segment();
  REQUIRE(by_path.size() == 1);
  CHECK(content_of(by_path[0]) == prediction);
}

TEST_CASE("Pictures are segmented with a pixel size from the command line", "[train]") {
  (void)SliceProgram(params_of("pictures", R"({"postprocessing": {"binarize_prediction": {"thr": 0.5}}})"),
                     one_thread())
      .train();
  Array<std::uint8_t> pixels(Shape{40, 30});
  for (std::int64_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7 % 251);
  const std::string picture = world().results("cells.png");
  write_png(picture, pixels.view());
  const std::string model = world().results("pictures/my_model");
  CHECK_THROWS_WITH(run<SliceProgram>({"-i", picture, "-m", model}, "cells"), Contains("PixelSize"));
  CHECK(run<SliceProgram>({"-i", picture, "-m", model, "--pixel-size", "1.5", "2"}, "cells") ==
        std::vector<std::string>{"cells_pred.png"});
  const Raster mask = read_raster(world().results("cells/cells_pred.png"));
  CHECK(mask.rows == 40);
  CHECK(mask.columns == 30);
}

TEST_CASE("A test on pictures gives pictures, and the objects painted", "[train]") {
  const std::filesystem::path data = world().results("microscopy");
  const auto write = [](const std::filesystem::path& path, int shift) {
    Array<std::uint8_t> pixels(Shape{32, 32}, 0);
    for (std::int64_t i = 10; i < 20; ++i)
      for (std::int64_t j = 8; j < 24; ++j) pixels.view()(i, j + shift) = 255;
    std::filesystem::create_directories(path.parent_path());
    write_png(path.string(), pixels.view());
  };
  for (const auto& root : {data, data / "derivatives" / "labels"}) {
    std::filesystem::create_directories(root);
    write_file_atomically((root / "dataset_description.json").string(), R"({"Name": "cells", "BIDSVersion": "1.8.0"})");
  }
  for (int n = 1; n <= 4; ++n) {
    const std::string name = "sub-0" + std::to_string(n);
    const std::string stem = name + "/micr/" + name + "_sample-A_SEM";
    write(data / (stem + ".png"), n);
    write(data / "derivatives" / "labels" / (stem + "_seg-manual.png"), n);
    write_file_atomically((data / (stem + ".json")).string(), R"({"PixelSize": [1, 1], "PixelSizeUnits": "mm"})");
  }
  auto params = params_of("microscopy-out", R"({
    "loader_parameters": {"extensions": [".png"],
                          "contrast_params": {"training_validation": ["SEM"], "testing": ["SEM"]}},
    "postprocessing": {"binarize_prediction": {"thr": 0.5}}, "evaluation_parameters": {"object_detection_metrics": true}})");
  params.loader_parameters.path_data.values = {data.string()};
  (void)SliceProgram(params, one_thread()).train();
  const TestSummary tested = SliceProgram(params, one_thread()).test();
  REQUIRE(tested.rows.size() == 1);
  const std::string stem = world().results("microscopy-out") + "/pred_masks/" + tested.rows[0].image_id + "_";
  const Raster picture = read_raster(stem + "class-0_pred.png");
  CHECK(picture.rows == 32);
  CHECK(std::filesystem::exists(stem + "pred.nii.gz"));
  CHECK(std::filesystem::exists(stem + "pred_TP-FP-FN.nii.gz"));
}

TEST_CASE("A model of patches segments whole slices, or patches with another overlap", "[train]") {
  const std::string patches = R"({"default_model": {"length_2D": [16, 24], "stride_2D": [16, 24]}})";
  (void)SliceProgram(params_of("patches", patches), one_thread()).train();
  auto params = params_of("patches", patches);
  CHECK_THROWS_WITH(SliceProgram(params, one_thread()).choose_patches({.no_patch = true}),
                    Contains("the command is \"train\"") && Contains("--segment"));
  params.command = Command::segment;
  const std::string file = image(0, "T2w");
  params.loader_parameters.path_data.values = {file};
  const auto segmented = [&](const PatchChoice& choice) {
    SliceProgram pipeline(params, one_thread());
    pipeline.choose_patches(choice);
    const auto written = pipeline.segment();
    REQUIRE(written.size() == 1);
    return read_volume(written[0]).voxels;
  };
  const auto differ = [](const Array<float>& a, const Array<float>& b) {
    REQUIRE(a.shape() == b.shape());
    double most = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(double{a[i]} - double{b[i]}));
    return most;
  };
  const auto by_model = segmented({});
  const auto overlapping = segmented({.overlap_xy = {{12, 8}}});
  const auto whole = segmented({.no_patch = true, .overlap_xy = {{12, 8}}});
  CHECK(differ(by_model, segmented({.overlap_xy = {{0, 0}}})) == 0);  // that is the model's own stride
  CHECK(differ(by_model, overlapping) > 1e-4);
  CHECK(differ(by_model, whole) > 1e-4);
  CHECK(differ(overlapping, whole) > 1e-4);

  // Whole slices are what a model of whole slices with these weights gives; and the stride is that of the key.
  auto unpatched = params_of("patches", "{}");
  unpatched.command = Command::segment;
  unpatched.training_parameters.batch_size = 1;
  unpatched.loader_parameters.path_data.values = {file};
  CHECK(differ(whole, read_volume(SliceProgram(unpatched, one_thread()).segment().at(0)).voxels) == 0);
  auto strided = params_of("patches", R"({"default_model": {"length_2D": [16, 24], "stride_2D": [8, 12]}})");
  strided.command = Command::segment;
  strided.loader_parameters.path_data.values = {file};
  CHECK(differ(overlapping, read_volume(SliceProgram(strided, one_thread()).segment().at(0)).voxels) == 0);
  CHECK(run<SliceProgram>({"-i", file, "-m", world().results("patches/my_model"), "--overlap-2d", "12", "8"}, "overlap")
            .size() == 1);
  CHECK(differ(overlapping,
               read_volume(world().results("overlap/") + ivado::detail::image_stem(file) + "_pred.nii.gz").voxels) ==
        0);

  unpatched.training_parameters.batch_size = 8;
  CHECK_THROWS_WITH(SliceProgram(unpatched, one_thread()).choose_patches({.no_patch = true}),
                    Contains("takes whole slices"));
}

TEST_CASE("Volumes are segmented with a package of theirs", "[train]") {
  std::vector<std::string> warnings;
  auto params = VolumeProgram::configure(VolumeProgram::defaults(), Json::parse(R"({
    "loader_parameters": {"target_suffix": ["_seg-manual"], "workers": 1,
                          "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}},
    "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
    "training_parameters": {"batch_size": 2, "training_time": {"num_epochs": 1}},
    "Modified3DUNet": {"applied": true, "n_filters": 4, "length_3D": [32, 32, 32], "stride_3D": [32, 32, 32]},
    "transformation": {"Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "CenterCrop": {"size": [32, 32, 32]}}
  })"),
                                         warnings);
  params.loader_parameters.path_data.values = {world().data()};
  params.path_output = world().results("volumes");
  (void)VolumeProgram(std::move(params), one_thread()).train();
  const std::string file = image(0, "T2w");
  const auto written = run<VolumeProgram>({"-i", file, "-m", world().results("volumes/my_model")}, "volume");
  REQUIRE(written == std::vector<std::string>{ivado::detail::image_stem(file) + "_pred.nii.gz"});
  CHECK(read_volume(world().results("volume/") + written[0]).geometry.shape == read_volume(file).geometry.shape);
  CHECK_THROWS_WITH(run<VolumeProgram>({"-i", file, "-m", world().results("volumes/my_model"), "--no-patch"}, "volume"),
                    Contains("sub-volumes"));
}

TEST_CASE("The command line of segment-image is checked", "[unit]") {
  const auto parse = [](std::vector<std::string> arguments) { return parse_segment_image(arguments); };
  CHECK(parse({"-h"}).help);
  CHECK_THROWS_WITH(parse({"-m", "model"}), Contains("--image is missing"));
  CHECK_THROWS_WITH(parse({"-i", "a.nii"}), Contains("--model is missing"));
  CHECK_THROWS_WITH(parse({"-i", "a.nii", "-m", "nowhere"}), Contains("nowhere.json does not exist"));
  CHECK_THROWS_WITH(parse({"-i", "a", "-m", "b", "-s", "x/y"}), Contains("--suffix x/y"));
  CHECK_THROWS_WITH(parse({"-i", "a", "-m", "b", "--pixel-size", "1"}), Contains("--pixel-size has 1 values"));
  CHECK_THROWS_WITH(parse({"-i", "a", "-m", "b", "--pixel-size", "1", "0"}), Contains("--pixel-size 0"));
  CHECK_THROWS_WITH(parse({"-i", "a", "-m", "b", "--precision", "half"}),
                    Contains("--precision half") && Contains("float32 or bf16"));
  SegmentImageOptions low;
  low.in_bf16 = true;
  CHECK_THROWS_WITH(segment_image<VolumeProgram>(low), Contains("in bf16") && Contains("engine"));
  CHECK_THROWS_WITH(parse({"-i", "a", "-m", "b", "--overlap-2d", "1", "2", "3"}),
                    Contains("--overlap-2d has 3 values"));
}
