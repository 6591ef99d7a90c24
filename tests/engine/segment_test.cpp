// A packaged model in production, without LibTorch, gives what the pipeline gives with it: files, grids and values.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <ivado/data/volume_io.hpp>
#include <ivado/engine/c_api.hpp>
#include <ivado/engine/segment.hpp>
#include <ivado/ivado.hpp>
#include <ivado/segment_image.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../pipeline/world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

template <class Slicing, class Model>
using Experiment = Pipeline<BidsLoader<Slicing, Channels<dynamic>, Classes<dynamic>>, AnyCompose, Model, DiceLoss,
                            AnyPostProcess, QuietLogger>;
using OfSlices = Experiment<AnySlices, Unet<2, 2, dynamic, dynamic>>;
using OfVolumes = Experiment<AnySubvolumes, Unet<3, 1, dynamic, dynamic>>;

const World& world() {
  static const World one({"T1w", "T2w"});
  return one;
}

/// Trains a small model for one epoch.
/// @return the folder of its package
template <class Program>
std::string train(const std::string& name, const std::string& changes) {
  std::vector<std::string> warnings;
  const Json json = merge(Json::parse(R"({
    "model_name": "model",
    "loader_parameters": {"target_suffix": ["_seg-manual"], "workers": 1,
                          "contrast_params": {"training_validation": ["T1w"], "testing": ["T1w"]}},
    "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
    "training_parameters": {"batch_size": 4, "training_time": {"num_epochs": 1}},
    "default_model": {"n_filters": 8}
  })"),
                          Json::parse(changes));
  auto params = Program::configure(Program::defaults(), json, warnings);
  params.loader_parameters.path_data.values = {world().data()};
  params.path_output = world().results(name);
  RuntimeOptions options;
  options.threads = 1;
  (void)Program(std::move(params), start_runtime(options)).train();
  return world().results(name) + "/model";
}

SegmentImageOptions line(const std::string& package, const std::vector<std::string>& files, const std::string& out) {
  SegmentImageOptions options;
  options.model = package;
  options.images = files;
  options.output = world().results(out);
  options.threads = 1;
  return options;
}

struct Difference {
  double largest = 0;
  double voxels = 0;  ///< part of them that differ by more than 1e-4
};

Difference difference(const std::string& a, const std::string& b) {
  const Volume one = read_volume(a);
  const Volume two = read_volume(b);
  REQUIRE(one.voxels.shape() == two.voxels.shape());
  CHECK(one.geometry.affine.isApprox(two.geometry.affine));
  Difference out;
  for (std::int64_t i = 0; i < one.voxels.size(); ++i) {
    const double d = std::abs(static_cast<double>(one.voxels[i]) - static_cast<double>(two.voxels[i]));
    out.largest = std::max(out.largest, d);
    if (d > 1e-4) out.voxels += 1 / static_cast<double>(one.voxels.size());
  }
  return out;
}

/// The same images by the pipeline and by the engine.
template <class Program>
void compare(const std::string& name, const std::string& package, const std::vector<std::string>& files,
             bool is_mask = false) {
  const auto expected = segment_image<Program>(line(package, files, name + "-torch"));
  const auto written = segment_image_by_engine(line(package, files, name + "-engine"));
  REQUIRE(written.size() == expected.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    INFO(written[i]);
    CHECK(std::filesystem::path(written[i]).filename() == std::filesystem::path(expected[i]).filename());
    const Difference found = difference(written[i], expected[i]);
    // A value within rounding of the threshold may fall on the other side.
    if (is_mask)
      CHECK(found.voxels <= 1e-4);
    else
      CHECK(found.largest <= 1e-4);
  }
}

}  // namespace

TEST_CASE("The engine segments slices as the pipeline does", "[train]") {
  const std::string package = train<OfSlices>("slices", R"({
    "default_model": {"mirror_axes": [0]},
    "transformation": {"Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "CenterCrop": {"size": [48, 40]},
                       "NormalizeInstance": {}}})");
  compare<OfSlices>("slices", package, {world().image(0, "T1w"), world().image(1, "T2w")});
  SegmentImageOptions low = line(package, {world().image(0, "T1w")}, "slices-bf16");
  low.in_bf16 = true;
  if (!engine::has_bf16()) {
    CHECK_THROWS_WITH(segment_image_by_engine(low), Contains("does not multiply bf16"));
  } else {
    const auto written = segment_image_by_engine(low);
    const auto exact = segment_image_by_engine(line(package, {world().image(0, "T1w")}, "slices-float32"));
    const double off = difference(written.at(0), exact.at(0)).largest;
    CHECK(off > 1e-7);  // else it was float32 after all
    CHECK(off < 0.05);
  }

  // The same through C, and a batch in memory.
  ivado_model* model = nullptr;
  REQUIRE(ivado_open_model(package.c_str(), 1, &model) == IVADO_OK);
  CHECK(ivado_model_channels(model) == 1);
  CHECK(ivado_model_classes(model) == 1);
  const std::string image = world().image(0, "T1w");
  const std::vector<const char*> list{image.c_str()};
  REQUIRE(ivado_segment_files(model, list.data(), 1, world().results("c").c_str(), "_c") == IVADO_OK);
  const std::string stem = ivado::detail::image_stem(image);
  const auto same = difference(world().results("c") + "/" + stem + "_c.nii.gz",
                               world().results("slices-engine") + "/" + stem + "_pred.nii.gz");
  CHECK(same.largest == 0);
  const std::vector<std::int64_t> shape{2, 1, 16, 24};
  const std::vector<float> batch(2 * 16 * 24, 0.25F);
  std::vector<float> output(batch.size(), -1);
  CHECK(ivado_predict(model, batch.data(), shape.data(), 4, nullptr, output.data(), output.size()) == IVADO_OK);
  CHECK(*std::min_element(output.begin(), output.end()) >= 0);
  CHECK(std::equal(output.begin(), output.begin() + 16 * 24, output.begin() + 16 * 24));
  CHECK(ivado_predict(model, batch.data(), shape.data(), 4, nullptr, output.data(), 5) == IVADO_WRONG_USAGE);
  CHECK_THAT(ivado_last_error(), Contains("room for 5 numbers") && Contains("2x1x16x24"));
  const std::vector<const char*> missing{"nowhere.nii.gz"};
  CHECK(ivado_segment_files(model, missing.data(), 1, world().results("c").c_str(), nullptr) == IVADO_WRONG_USAGE);
  CHECK_THAT(ivado_last_error(), Contains("nowhere.nii.gz"));
  ivado_close_model(model);
  CHECK(ivado_open_model("nowhere", 1, &model) == IVADO_WRONG_USAGE);
  CHECK(model == nullptr);
  CHECK_THAT(ivado_last_error(), Contains("nowhere"));
}

TEST_CASE("The engine segments patches of several channels with post-processing as the pipeline does", "[train]") {
  const std::string package = train<OfSlices>("patches", R"({
    "loader_parameters": {"multichannel": true, "allow_regrid": true,
                          "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"]}},
    "default_model": {"length_2D": [32, 24], "stride_2D": [20, 24]},
    "transformation": {"Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "NormalizeInstance": {}},
    "postprocessing": {"binarize_prediction": {"thr": 0.5}}})");
  compare<OfSlices>("patches", package, {world().image(0, "T1w"), world().image(0, "T2w")}, true);
}

TEST_CASE("The engine segments volumes as the pipeline does", "[train]") {
  const std::string package = train<OfVolumes>("volumes", R"({
    "default_model": {"length_3D": [32, 32, 16], "stride_3D": [16, 32, 16],
                      "overlap_weights": "gaussian"},
    "transformation": {"Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "CenterCrop": {"size": [48, 48, 16]},
                       "NormalizeInstance": {}}})");
  compare<OfVolumes>("volumes", package, {world().image(0, "T1w")});
}

TEST_CASE("The engine says which packages it does not take", "[train]") {
  CHECK_THROWS_WITH(Segmenter("nowhere"), Contains("nowhere.json"));
}
