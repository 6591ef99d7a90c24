// Uncertainty in a whole experiment: the files beside the predictions, what is written and evaluated, the step of
// post-processing by it, one result for any number of workers, and what is refused.
#include <algorithm>
#include <filesystem>
#include <ivado/ivado.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Keeps the warnings.
class Listener : public QuietLogger {
 public:
  static inline std::string warnings;
  void warning(const std::string& line) { warnings += line + "\n"; }
};

template <class Model, class Loss, class Post>
using With = Pipeline<BidsLoader<Slices<Axis::axial>>,
                      Compose<Resample, CenterCrop, RandomAffine, NormalizeInstance, RandomReverse>, Model, Loss, Post,
                      Loggers<Listener, LogFiles>>;
using Segmentation = With<Unet<2, 2>, DiceLoss, DynamicPostProcess<Binarize, ThresholdUncertainty>>;

constexpr std::string_view numbers = R"({
  "loader_parameters": {"target_suffix": ["_seg-manual"], "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}},
  "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
  "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 4}, "scheduler": {"initial_lr": 0.01}},
  "default_model": {"n_filters": 4, "depth": 2, "dropout_rate": 0.5},
  "transformation": {
    "Resample": {"hspace": 1.5, "wspace": 1.5}, "CenterCrop": {"size": [32, 32]},
    "RandomAffine": {"degrees": 10, "scale": [0.1, 0.1], "translate": [0.05, 0.05]},
    "NormalizeInstance": {"applied_to": ["im"]}
  },
  "uncertainty": {"epistemic": true, "aleatoric": true, "n_it": 4},
  "postprocessing": {"binarize_prediction": {"thr": 0.5}}
})";

const World& world() {
  static const World one({"T2w"});
  return one;
}

/// The experiment with other values of some sections.
template <class Experiment>
Experiment make(const std::string& results, const Json& changes = Json::object(), int workers = 0) {
  std::vector<std::string> warnings;
  Json json = Json::parse(numbers);
  json.merge_patch(changes);
  auto params = Experiment::configure(Experiment::defaults(), json, warnings);
  CHECK(warnings.empty());
  params.loader_parameters.path_data.values = {world().data()};
  params.loader_parameters.workers = workers;
  params.path_output = world().results(results);
  return Experiment(std::move(params), start_runtime({1}));
}

/// The results of a test with the one trained model, in a folder of their own.
TestSummary test_with(const std::string& results, const Json& changes = Json::object(), int workers = 0) {
  static const bool trained = (make<Segmentation>("trained").train(), true);
  REQUIRE(trained);
  std::filesystem::create_directories(world().results(results));
  for (const char* file : {"best_model.safetensors", "split_datasets.json"})
    std::filesystem::copy_file(world().results("trained") + "/" + file, world().results(results) + "/" + file,
                               std::filesystem::copy_options::overwrite_existing);
  return make<Segmentation>(results, changes, workers).test();
}

Array<float> voxels(const std::string& path) { return read_volume(path).voxels; }

}  // namespace

TEST_CASE("The maps lie beside the mask of their mean, by ivadomed's names", "[train]") {
  const TestSummary tested = test_with("maps");
  REQUIRE(tested.rows.size() == 1);
  const std::string id = tested.rows[0].image_id;
  const std::vector<std::string> expected{
      id + "_pred.nii.gz",   id + "_pred_TP-FP-FN.nii.gz", id + "_soft.nii.gz",    id + "_unc-avgUnc.nii.gz",
      id + "_unc-cv.nii.gz", id + "_unc-iou.nii.gz",       id + "_unc-vox.nii.gz", id + "_unc.csv"};
  const std::vector<std::string> without_maps{expected[0], expected[1]};
  CHECK(names_in(tested.predictions) == expected);
  const std::string stem = tested.predictions + "/" + id;
  const Volume image = read_volume(world().data() + "/" + id.substr(0, id.find('_')) + "/anat/" + id + ".nii.gz");
  for (const auto& name : expected) {
    if (name.ends_with(".csv")) continue;
    const Volume map = read_volume(tested.predictions + "/" + name);
    CHECK(map.geometry.shape == image.geometry.shape);
    CHECK((map.geometry.affine - image.geometry.affine).cwiseAbs().maxCoeff() < 1e-4);
    CHECK(map.stored_type == (name.find("_pred") != std::string::npos ? "uint8" : "float32"));
  }
  const Array<float> soft = voxels(stem + "_soft.nii.gz");
  const Array<float> mask = voxels(stem + "_pred.nii.gz");
  const Array<float> entropy = voxels(stem + "_unc-vox.nii.gz");
  const Array<float> variation = voxels(stem + "_unc-cv.nii.gz");
  std::int64_t differing = 0;
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < soft.size(); ++i) {
    differing += (soft[i] >= 0.5F) != (mask[i] == 1) ? 1 : 0;
    inside += mask[i] == 1 ? 1 : 0;
    if (std::abs(static_cast<double>(entropy[i]) - binary_entropy(static_cast<double>(soft[i]))) > 1e-5) ++differing;
  }
  CHECK(differing == 0);
  CHECK(inside > 0);
  CHECK(*std::max_element(variation.begin(), variation.end()) > 0);

  // The same bytes for any number of workers, other maps for another number of runs, and none without.
  const TestSummary again = test_with("workers", Json::object(), 2);
  for (const auto& name : expected)
    CHECK((content_of(again.predictions + "/" + name) == content_of(tested.predictions + "/" + name)));
  CHECK(content_of(again.csv) == content_of(tested.csv));
  const TestSummary longer = test_with("longer", {{"uncertainty", {{"n_it", 6}}}});
  CHECK_FALSE(voxels(longer.predictions + "/" + id + "_soft.nii.gz") == soft);
  const TestSummary once = test_with("once", {{"uncertainty", {{"n_it", 0}}}});
  CHECK(names_in(once.predictions) == without_maps);
  CHECK_THAT(Listener::warnings, Contains("uncertainty is not estimated"));
  // A test without uncertainty takes the maps of the one before away, which are not of its prediction.
  (void)test_with("longer", {{"uncertainty", {{"n_it", 0}}}});
  CHECK(names_in(longer.predictions) == without_maps);
}

TEST_CASE("The step uncertainty takes out what is too uncertain, before the evaluation", "[train]") {
  constexpr double limit = 0.6;
  const TestSummary all = test_with("all");
  const TestSummary certain =
      test_with("certain", {{"postprocessing", {{"uncertainty", {{"thr", limit}, {"suffix", "_unc-vox.nii.gz"}}}}}});
  REQUIRE(certain.rows.size() == 1);
  const std::string stem = "/" + certain.rows[0].image_id;
  const Array<float> before = voxels(all.predictions + stem + "_pred.nii.gz");
  const Array<float> after = voxels(certain.predictions + stem + "_pred.nii.gz");
  const Array<float> entropy = voxels(certain.predictions + stem + "_unc-vox.nii.gz");
  REQUIRE(before.size() == after.size());
  std::int64_t removed = 0;
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < before.size(); ++i) {
    const bool keeps = static_cast<double>(entropy[i]) < limit;
    wrong += after[i] != (keeps ? before[i] : 0.0F) ? 1 : 0;
    removed += before[i] != after[i] ? 1 : 0;
  }
  CHECK(wrong == 0);
  CHECK(removed > 0);
  CHECK(content_of(all.csv) != content_of(certain.csv));
  CHECK_THROWS_WITH(
      test_with("off", {{"uncertainty", {{"n_it", 0}}}, {"postprocessing", {{"uncertainty", {{"thr", limit}}}}}}),
      Contains("uncertainty.n_it"));
}

TEST_CASE("Segmenting gives the maps too, those of the test", "[train]") {
  const TestSummary tested = test_with("both");
  const std::string id = tested.rows.at(0).image_id;
  const std::string expected = content_of(tested.predictions + "/" + id + "_unc-vox.nii.gz");
  std::filesystem::remove_all(tested.predictions);
  const auto written = make<Segmentation>("both").segment();
  CHECK(written.size() == 4U * 7U);  // four images: a mask, five maps and a table
  for (const auto& path : written) CHECK(std::filesystem::exists(path));
  CHECK((content_of(tested.predictions + "/" + id + "_unc-vox.nii.gz") == expected));
}

TEST_CASE("The example of uncertainty is the demo, so it works on the model that the demo trains", "[unit]") {
  const std::string folder = std::string(IVADO_SOURCE_DIR) + "/examples/";
  Json example = read_json(folder + "uncertainty.json");
  std::vector<std::string> warnings;
  using Program = With<Unet<2>, DiceLoss, AnyPostProcess>;  // the transforms are another chain's: not looked at here
  Json without = example;
  without.erase("transformation");
  const auto params = Program::configure(Program::defaults(), without, warnings);
  CHECK(warnings.empty());
  CHECK(params.uncertainty.is_on());
  CHECK(example["postprocessing"].erase("uncertainty") == 1);
  CHECK(example.erase("uncertainty") == 1);
  CHECK(example == read_json(folder + "demo.json"));
}

TEST_CASE("Uncertainty that cannot be is refused before any work, that which is none is warned of", "[train]") {
  CHECK_THROWS_WITH(make<Segmentation>("one", {{"uncertainty", {{"n_it", 1}}}}), Contains("uncertainty.n_it"));
  using Classification = With<ResNet<18>, BinaryCrossEntropyLoss, PostProcess<>>;
  CHECK_THROWS_WITH(make<Classification>("classes", {{"postprocessing", nullptr}, {"default_model", nullptr}}),
                    Contains("configuration key uncertainty") && Contains("classifier"));
  Listener::warnings.clear();
  (void)test_with(
      "still",
      {{"transformation",
        {{"RandomAffine", {{"dataset_type", Json::array()}}}, {"RandomReverse", {{"dataset_type", Json::array()}}}}},
       {"uncertainty", {{"epistemic", false}, {"n_it", 2}}}});
  CHECK_THAT(Listener::warnings, Contains("no random transform"));
}
