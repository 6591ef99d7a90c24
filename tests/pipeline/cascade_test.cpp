// The cascade: a detector is trained, a second model trains, tests and segments on its boxes, and predictions go back
// to the whole grid.
#include <filesystem>
#include <ivado/infer/any_detector.hpp>
#include <ivado/ivado.hpp>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using Loader = BidsLoader<AnySlices, Channels<dynamic>, Classes<dynamic>>;
/// A pipeline with a detector of slices, and one that has none.
using Cascade = Pipeline<Loader, AnyCompose, AnyModel, AnyLoss, AnyPostProcess, QuietLogger, AnyDetector<2>>;
using Lonely = Pipeline<Loader, AnyCompose, AnyModel, AnyLoss, AnyPostProcess, QuietLogger>;
/// A pipeline of volumes behind a detector of slices.
using Volumes = Pipeline<BidsLoader<AnySubvolumes>, Compose<Resample, BoundingBoxCrop, NormalizeInstance>,
                         Modified3DUNet<>, DiceLoss, PostProcess<Binarize>, QuietLogger, AnyDetector<2>>;

const World& world() {
  static const World one({"T2w"});
  return one;
}

Json numbers() {
  return Json::parse(R"({
    "loader_parameters": {
      "target_suffix": ["_seg-manual"], "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}, "workers": 1
    },
    "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
    "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 2}, "scheduler": {"initial_lr": 0.02}},
    "default_model": {"n_filters": 4, "depth": 2},
    "transformation": {"Resample": {"hspace": 1.5, "wspace": 1.5}, "NormalizeInstance": {}},
    "postprocessing": {"binarize_prediction": {"thr": 0.5}}
  })");
}

/// The numbers of the second model.
Json behind(const std::string& detector) {
  Json json = numbers();
  json["object_detection_params"] = {{"object_detection_path", world().results(detector)},
                                     {"safety_factor", {1.2, 1.2, 1.0}}};
  json["default_model"]["length_2D"] = {24, 24};
  json["default_model"]["stride_2D"] = {16, 16};
  json["postprocessing"] = Json::object();  // soft: every voxel of a patch is above 0
  return json;
}

template <class Experiment>
Experiment make(const std::string& name, const Json& json) {
  std::vector<std::string> warnings;
  auto params = Experiment::configure(Experiment::defaults(), json, warnings);
  CHECK(warnings.empty());
  params.loader_parameters.path_data.values = {world().data()};
  params.path_output = world().results(name);
  return Experiment(std::move(params), start_runtime({1}));
}

/// The package of a detector that was trained for two epochs.
const std::string& detector() {
  static const std::string package = [] {
    (void)make<Lonely>("detector", numbers()).train();
    return std::string("detector/my_model");
  }();
  return package;
}

/// The number of voxels above 0 within a box along R, A, S.
std::int64_t count_positive(const Volume& prediction, const ObjectBox& box) {
  const auto ras = closest_ras(prediction.geometry.affine).apply(prediction.view());
  REQUIRE(ras.shape() == box.grid);
  std::int64_t count = 0;
  for (auto i = std::max<std::int64_t>(box.begin[0], 0); i < std::min(box.end[0], ras.extent(0)); ++i)
    for (auto j = std::max<std::int64_t>(box.begin[1], 0); j < std::min(box.end[1], ras.extent(1)); ++j)
      for (auto k = box.begin[2]; k < box.end[2]; ++k) count += ras(i, j, k) > 0 ? 1 : 0;
  return count;
}

/// A box with so many mm more on each side along R and A.
ObjectBox widened(ObjectBox box, const Geometry& geometry, double margin_mm) {
  const auto spacing_mm = closest_ras(geometry.affine).reorder(geometry.spacing_mm());
  for (const std::size_t a : {std::size_t{0}, std::size_t{1}}) {
    const auto voxels = static_cast<std::int64_t>(margin_mm / spacing_mm[a]) + (margin_mm > 0 ? 1 : -1);
    box.begin[a] -= voxels;
    box.end[a] += voxels;
  }
  return box;
}

/// The image of a prediction.
std::string image_of(const std::string& id) {
  return world().data() + "/" + id.substr(0, id.find('_')) + "/anat/" + id + ".nii.gz";
}

/// Writes boxes that are known: the middle third of each image, but for one in which nothing was found.
BoxList place_boxes(const std::string& path, const BoxList& found) {
  BoxList list = found;
  for (auto& [id, digest, detection] : list.entries) {
    detection.found = true;
    for (int axis = 0; axis < 3; ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      detection.box.begin[a] = detection.box.grid[axis] / 3;
      detection.box.end[a] = 2 * detection.box.grid[axis] / 3;
    }
  }
  list.entries.back().detection = {whole_box(list.entries.back().detection.box.grid), false};
  write_boxes(path, list);
  return list;
}

}  // namespace

TEST_CASE("A second model trains and tests on the boxes of the first", "[train]") {
  const Json json = behind(detector());
  const std::string results = world().results("cascade");
  auto training = make<Cascade>("cascade", json);
  CHECK(training.params().transformation.names() ==
        std::vector<std::string>{"Resample", "BoundingBoxCrop", "NormalizeInstance"});
  CHECK(training.params().transformation.get<BoundingBoxCrop>()->params.length == std::vector<int>{24, 24});
  CHECK(training.train().epochs.size() == 2);

  // The three images of training and validation were looked at, by the detector that is named, on their own grids.
  const std::string path = results + "/bounding_boxes.json";
  const BoxList found = read_boxes(path);
  CHECK(found.detector == "my_model");
  REQUIRE(found.entries.size() == 3);
  for (const auto& [id, digest, detection] : found.entries) {
    const Volume image = read_volume(image_of(id));
    CHECK(closest_ras(image.geometry.affine)
              .inverse()
              .reorder(
                  std::array<std::int64_t, 3>{detection.box.grid[0], detection.box.grid[1], detection.box.grid[2]}) ==
          std::array<std::int64_t, 3>{image.geometry.shape[0], image.geometry.shape[1], image.geometry.shape[2]});
  }

  // The test adds the box of the testing image, and predicts on the whole grid with zeros outside of it.
  const TestSummary tested = make<Cascade>("cascade", json).test();
  REQUIRE(tested.rows.size() == 1);
  const std::string id = tested.rows[0].image_id;
  const BoxList all = read_boxes(path);
  REQUIRE(all.entries.size() == 4);
  CHECK(std::equal(found.entries.begin(), found.entries.end(), all.entries.begin()));
  CHECK(all.entries.back().id == id);
  const Volume image = read_volume(image_of(id));
  const Volume prediction = read_volume(tested.predictions + "/" + id + "_pred.nii.gz");
  CHECK(prediction.geometry.shape == image.geometry.shape);
  CHECK((prediction.geometry.affine - image.geometry.affine).cwiseAbs().maxCoeff() < 1e-4);

  // The saved configuration is that of the run, and its boxes are used again: the files stay as they are.
  std::vector<std::string> warnings;
  const Json saved = read_json(results + "/config_file.json");
  CHECK(to_json(Cascade::configure(Cascade::defaults(), saved, warnings)) == to_json(training.params()));
  CHECK(warnings.empty());
  const std::string before = content_of(path);
  const std::string voxels = content_of(tested.predictions + "/" + id + "_pred.nii.gz");
  (void)make<Cascade>("cascade", json).test();
  CHECK(content_of(path) == before);
  CHECK((content_of(tested.predictions + "/" + id + "_pred.nii.gz") == voxels));

  // With uncertainty the runs are those within the box as well.
  Json uncertain = json;
  uncertain["uncertainty"] = {{"epistemic", true}, {"n_it", 2}};
  CHECK(make<Cascade>("cascade", uncertain).test().rows.size() == 1);
  const Volume soft = read_volume(tested.predictions + "/" + id + "_soft.nii.gz");
  CHECK(soft.geometry.shape == image.geometry.shape);
  const Shape& grid = all.entries.back().detection.box.grid;
  CHECK(count_positive(soft, whole_box(grid)) == count_positive(prediction, whole_box(grid)));

  // With known boxes and no patches: all of the box is predicted (a sigmoid is above 0), up to a voxel of the
  // resampled grid at its border, and nothing outside of it.
  Json exact = json;
  exact["default_model"].erase("length_2D");
  exact["default_model"].erase("stride_2D");
  exact["transformation"]["CenterCrop"] = {{"size", {80, 80}}};
  const BoxList placed = place_boxes(path, all);
  const auto masks = make<Cascade>("cascade", exact).segment();
  REQUIRE(masks.size() == 4);
  for (const auto& [image_id, digest, detection] : placed.entries) {
    INFO(image_id);
    const Volume mask = read_volume(results + "/pred_masks/" + image_id + "_class-0_pred.nii.gz");
    const std::int64_t positive = count_positive(mask, whole_box(detection.box.grid));
    if (!detection.found) {
      CHECK(3 * positive > detection.box.grid.size());
      continue;
    }
    const ObjectBox box = scale_box(detection.box, {1.2, 1.2, 1});
    const ObjectBox core = widened(box, mask.geometry, -1.5);
    CHECK(count_positive(mask, widened(box, mask.geometry, 4)) == positive);
    CHECK(count_positive(mask, core) ==
          (core.end[0] - core.begin[0]) * (core.end[1] - core.begin[1]) * (core.end[2] - core.begin[2]));
  }
}

TEST_CASE("What a detector finds is the largest object that its own program segments", "[train]") {
  (void)detector();
  const auto masks = make<Lonely>("detector", numbers()).segment();
  DetectionRequest request;
  request.package = world().results(detector());
  request.runtime = start_runtime({1});
  std::vector<Volume> volumes;
  for (const auto& mask : masks) {
    volumes.push_back(read_volume(mask));
    const std::string name = std::filesystem::path(mask).filename().string();
    Case one;
    one.id = name.substr(0, name.find("_class"));
    one.images = {image_of(one.id)};
    one.contrasts = {"T1w"};  // not the detector's: it looks at the reference image all the same
    one.labels = {"there is no such label"};
    request.cases.push_back(one);
  }
  const auto found = AnyDetector<2>{}(request);
  REQUIRE(found.size() == masks.size());
  for (std::size_t i = 0; i < masks.size(); ++i) {
    Prediction prediction{Array<float>::from(volumes[i].view()), {1, 1, 1}, true};
    const Shape shape = prediction.voxels.shape().prepended(1);
    prediction.voxels = std::move(prediction.voxels).reshaped(shape);
    CHECK(found[i] == detect_object(prediction, volumes[i].geometry));
  }
  // In any order, and alone.
  std::reverse(request.cases.begin(), request.cases.end());
  request.cases.pop_back();
  const auto again = AnyDetector<2>{}(request);
  for (std::size_t i = 0; i < again.size(); ++i) CHECK(again[i] == found[found.size() - 1 - i]);
}

TEST_CASE("A model of volumes works behind a detector of slices", "[train]") {
  Json json = behind(detector());
  json.erase("default_model");
  json["Modified3DUNet"] = {
      {"applied", true}, {"n_filters", 4}, {"length_3D", {32, 32, 16}}, {"stride_3D", {32, 32, 16}}};
  json["transformation"] = Json::parse(
      R"({"Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "BoundingBoxCrop": {}, "NormalizeInstance": {}})");
  json["training_parameters"]["training_time"]["num_epochs"] = 1;
  json["training_parameters"]["batch_size"] = 2;
  json["postprocessing"] = {{"binarize_prediction", {{"thr", 0.5}}}};
  CHECK(make<Volumes>("volumes", json).train().epochs.size() == 1);
  const TestSummary tested = make<Volumes>("volumes", json).test();
  REQUIRE(tested.rows.size() == 1);
  const std::string id = tested.rows[0].image_id;
  CHECK(read_volume(tested.predictions + "/" + id + "_pred.nii.gz").geometry.shape ==
        read_volume(image_of(id)).geometry.shape);
  CHECK(read_boxes(world().results("volumes/bounding_boxes.json")).entries.size() == 4);

  // A detector of volumes is refused by a pipeline that has none.
  Json wrong = behind("volumes/my_model");
  CHECK_THROWS_WITH(make<Cascade>("wrong", wrong).train(),
                    Contains("Modified3DUNet works on volumes") && Contains("AnyDetector<3>"));
}

TEST_CASE("What a cascade lacks is said", "[train]") {
  const Json json = behind(detector());
  CHECK_THROWS_WITH(make<Lonely>("lonely", json).train(), Contains("no detector") && Contains("AnyDetector<2>"));
  CHECK_THROWS_WITH(make<Cascade>("nothing", behind("no such folder")).train(),
                    Contains("object_detection_path") && Contains("no such folder.safetensors"));
  using Fixed = Pipeline<BidsLoader<AnySlices>, Compose<Resample, NormalizeInstance>, Unet<2, 2>, DiceLoss,
                         PostProcess<Binarize>, QuietLogger>;
  Json fixed = behind(detector());
  fixed["default_model"].erase("depth");
  CHECK_THROWS_WITH(make<Fixed>("fixed", fixed), Contains("no BoundingBoxCrop") && Contains("behind Resample"));
  Json boxless = numbers();
  boxless["transformation"]["BoundingBoxCrop"] = Json::object();
  CHECK_THROWS_WITH(make<Lonely>("boxless", boxless).train(),
                    Contains("sub-0") && Contains("has no box") && Contains("object_detection_params"));
}
