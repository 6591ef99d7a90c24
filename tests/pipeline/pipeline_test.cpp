// Whole experiments on a small phantom: from the folder to evaluated masks, the same for any number of workers, and
// the same
// from the specialised type and from the general program.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ivado/ivado.hpp>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Stops a training in the middle of an epoch, as a crash would.
class Interrupter : public QuietLogger {
 public:
  static inline std::string at;  ///< of the epoch, such as "epoch 3/4"; empty: never
  void progress(const std::string& what, std::int64_t, std::int64_t, const std::string&) {
    if (!at.empty() && what == at) throw std::runtime_error("interrupted");
  }
};

using Specialised = Pipeline<BidsLoader<Slices<Axis::axial>>,
                             Compose<Resample, CenterCrop, RandomAffine, ElasticTransform, NormalizeInstance>,
                             Unet<2, 2>, DiceLoss, PostProcess<Binarize, KeepLargest>, Loggers<Interrupter, LogFiles>>;
using AnyExperiment = Pipeline<BidsLoader<AnySlices, Channels<dynamic>, Classes<dynamic>>, AnyCompose, AnyModel,
                               AnyLoss, AnyPostProcess, StageTimer, Loggers<QuietLogger, LogFiles>>;

constexpr std::string_view numbers = R"({
  "loader_parameters": {"target_suffix": ["_seg-manual"], "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}},
  "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
  "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 2}, "scheduler": {"initial_lr": 0.01}},
  "default_model": {"n_filters": 4, "depth": 2},
  "transformation": {
    "Resample": {"hspace": 1.5, "wspace": 1.5},
    "CenterCrop": {"size": [32, 32]},
    "RandomAffine": {"degrees": 10, "scale": [0.1, 0.1], "translate": [0.05, 0.05], "dataset_type": ["training"]},
    "ElasticTransform": {"alpha_range": [20, 30], "sigma_range": [3.5, 4.5], "p": 0.5, "dataset_type": ["training"]},
    "NormalizeInstance": {"applied_to": ["im"]}
  },
  "postprocessing": {"binarize_prediction": {"thr": 0.5}, "keep_largest": {}}
})";

const World& world() {
  static const World one({"T2w"});
  return one;
}

template <class Experiment>
Experiment make(const std::string& name, int workers = 1, std::string_view json = numbers) {
  std::vector<std::string> warnings;
  auto params = Experiment::configure(Experiment::defaults(), Json::parse(json), warnings);
  params.loader_parameters.path_data.values = {world().data()};
  params.loader_parameters.workers = workers;
  params.path_output = world().results(name);
  RuntimeOptions options;
  options.threads = 1;
  return Experiment(std::move(params), start_runtime(options));
}

template <class Experiment>
int run_main(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "program");
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  return ivado::main<Experiment>(static_cast<int>(pointers.size()), pointers.data());
}

}  // namespace

TEST_CASE("From a BIDS folder to evaluated masks", "[train]") {
  auto training = make<Specialised>("run");
  const FitSummary fitted = training.train();
  REQUIRE(fitted.epochs.size() == 2);
  CHECK(fitted.epochs[1].training_loss < fitted.epochs[0].training_loss);
  const std::string results = world().results("run");
  for (const char* file :
       {"best_model.safetensors", "final_model.safetensors", "config_file.json", "split_datasets.json",
        "training_log.csv", "log", "my_model/my_model.json", "my_model/my_model.safetensors"})
    if (std::string(file) != "log") CHECK(std::filesystem::exists(results + "/" + file));
  CHECK(read_safetensors(results + "/best_model.safetensors").metadata.at("digest") == training.model_digest());

  // The saved configuration is read again, without a warning and as it was, by this program and by the general one.
  std::vector<std::string> warnings;
  const Json saved = read_json(results + "/config_file.json");
  CHECK(to_json(Specialised::configure(Specialised::defaults(), saved, warnings)) == to_json(training.params()));
  const auto general = AnyExperiment::configure(AnyExperiment::defaults(), saved, warnings);
  CHECK(general.path_output == training.params().path_output);
  CHECK(general.default_model.n_filters == 4);
  CHECK(warnings.empty());

  const TestSummary tested = make<Specialised>("run").test();
  REQUIRE(tested.rows.size() == 1);
  REQUIRE(tested.mean_dice.size() == 1);
  CHECK(tested.mean_dice[0] >= 0);
  CHECK(tested.rows[0].classes[0].expected_calibration_error > 0);  // of the probabilities that the mask was made of
  CHECK_THAT(content_of(results + "/results_eval/results.csv"), Contains("dice"));
  const std::string id = tested.rows[0].image_id;
  CHECK(std::filesystem::exists(results + "/pred_masks/" + id + "_pred_TP-FP-FN.nii.gz"));
  CHECK(id.ends_with("_T2w"));
  CHECK_THAT(content_of(tested.csv),
             Contains("image_id,vol_pred_class0,vol_gt_class0,rvd_class0,avd_class0,dice_class0") && Contains(id));

  // The prediction lies on the grid of its image.
  const std::string subject = id.substr(0, id.find('_'));
  const Volume image = read_volume(world().data() + "/" + subject + "/anat/" + id + ".nii.gz");
  const Volume prediction = read_volume(tested.predictions + "/" + id + "_pred.nii.gz");
  CHECK(prediction.geometry.shape == image.geometry.shape);
  CHECK((prediction.geometry.affine - image.geometry.affine).cwiseAbs().maxCoeff() < 1e-4);
  CHECK(prediction.stored_type == "uint8");

  // No subject of the testing set was trained on.
  const Json split = read_json(results + "/split_datasets.json");
  for (const auto& name : split.at("train")) CHECK_FALSE(name.get<std::string>().starts_with(subject + "_"));
}

TEST_CASE("An interrupted training goes on bit for bit as if it had not been", "[train]") {
  auto json = Json::parse(numbers);
  json["training_parameters"]["training_time"]["num_epochs"] = 4;
  json["training_parameters"]["optimizer"] = {{"name", "Adam"}, {"beta1", 0.8}};
  json["training_parameters"]["gradient_clipping"] = 1.0;
  const std::string text = json.dump();
  (void)make<Specialised>("whole", 1, text).train();

  Interrupter::at = "epoch 3/4";
  CHECK_THROWS_WITH(make<Specialised>("halves", 1, text).train(), "interrupted");
  Interrupter::at.clear();
  const FitSummary resumed = make<Specialised>("halves", 1, text).train(true);
  CHECK(resumed.epochs.size() == 4);
  for (const char* file : {"/final_model.safetensors", "/best_model.safetensors"})
    CHECK((content_of(world().results("halves") + file) == content_of(world().results("whole") + file)));
  const std::string log = content_of(world().results("halves") + "/training_log.csv");
  CHECK(std::count(log.begin(), log.end(), '\n') == 5);

  // A training that is refused leaves all as it was.
  const std::string results = world().results("halves");
  const std::string before = content_of(results + "/config_file.json");
  json["training_parameters"]["optimizer"]["beta1"] = 0.9;
  CHECK_THROWS_WITH(make<Specialised>("halves", 1, json.dump()).train(true), Contains("beta1"));
  CHECK(content_of(results + "/config_file.json") == before);
  CHECK(content_of(results + "/my_model/my_model.json") == before);

  // It goes on with the images that it began with, or not at all.
  std::filesystem::rename(results + "/split_datasets.json", results + "/away.json");
  CHECK_THROWS_WITH(make<Specialised>("halves", 1, text).train(true),
                    Contains("split_datasets.json") && Contains("put it back"));
  std::filesystem::rename(results + "/away.json", results + "/split_datasets.json");

  // A new training in the folder moves away the weights of the earlier one, which may know images of its testing set.
  const std::string best = content_of(results + "/best_model.safetensors");
  json["split_dataset"]["random_seed"] = 7;
  Interrupter::at = "epoch 1/4";
  CHECK_THROWS_WITH(make<Specialised>("halves", 1, json.dump()).train(), "interrupted");
  Interrupter::at.clear();
  for (const char* file : {"/checkpoint.safetensors", "/best_model.safetensors", "/final_model.safetensors",
                           "/my_model/my_model.safetensors"})
    CHECK_FALSE(std::filesystem::exists(results + file));
  CHECK((content_of(results + "/earlier_1/best_model.safetensors") == best));
  CHECK(std::filesystem::exists(results + "/earlier_1/checkpoint.safetensors"));
  CHECK(std::filesystem::exists(results + "/earlier_1/my_model.safetensors"));
  CHECK_THROWS_WITH(make<Specialised>("halves", 1, json.dump()).test(), Contains("train first"));
  CHECK_THROWS_WITH(make<Specialised>("halves", 1, json.dump()).train(true), Contains("there is no such file"));
}

TEST_CASE("What a training cannot do is said before it looks for images", "[unit]") {
  const auto refused = [&](const char* training) {
    Json json = Json::parse(numbers);
    json["training_parameters"].update(Json::parse(training));
    json["loader_parameters"]["path_data"] = {world().results("no such folder")};
    std::vector<std::string> warnings;
    auto params = AnyExperiment::configure(AnyExperiment::defaults(), json, warnings);
    params.path_output = world().results("refused");
    AnyExperiment(std::move(params), start_runtime({1})).train();
  };
  CHECK_THROWS_WITH(refused(R"({"loss": {"name": "DiceCrossEntropyLoss", "class_weights": [1, 2]}})"),
                    Contains("class_weights has 2 numbers, there are 1 classes"));
  CHECK_THROWS_WITH(refused(R"({"loss": {"name": "DiceLos"}})"), Contains("did you mean \"DiceLoss\"?"));
  CHECK_THROWS_WITH(refused(R"({"optimizer": {"name": "Adan"}})"),
                    Contains("it is Adan") && Contains("compiled with Adam"));
  CHECK_THROWS_WITH(refused(R"({"optimizer": {"name": "Adam", "beta3": 0.9}})"), Contains("optimizer.beta3"));
  CHECK_THROWS_WITH(refused(R"({"scheduler": {"lr_scheduler": {"name": "CyclicLR"}}})"), Contains("CyclicLR"));
  CHECK_THROWS_WITH(refused(R"({"transfer_learning": {"retrain_model": "no such file"}})"),
                    Contains("retrain_model") && Contains("no such file"));
  CHECK_THROWS_WITH(refused("{}"), Contains("no such folder"));
  Json sizes = Json::parse(numbers);
  sizes["postprocessing"]["remove_small"] = {{"unit", "vox"}, {"thr", {3, 3}}};
  CHECK_THROWS_WITH(make<AnyExperiment>("refused", 1, sizes.dump()), Contains("remove_small.thr"));
  auto experiment = make<AnyExperiment>("refused");
  CHECK_THROWS_WITH(experiment.run(0.00001), Contains("the increment is 1e-05"));
}

TEST_CASE("The same seed gives the same weights, bit for bit, with any number of workers", "[train]") {
  (void)make<Specialised>("w1", 1).train();
  const std::string expected = content_of(world().results("w1") + "/final_model.safetensors");
  for (const int workers : {0, 2, 4}) {
    const std::string name = "w" + std::to_string(workers);
    (void)make<Specialised>(name, workers).train();
    CHECK((content_of(world().results(name) + "/final_model.safetensors") == expected));
  }
  auto other = Json::parse(numbers);
  other["seed"] = 43;
  (void)make<Specialised>("seed", 1, other.dump()).train();
  CHECK_FALSE(content_of(world().results("seed") + "/final_model.safetensors") == expected);
}

TEST_CASE("The specialised and the general program give the same files, byte for byte", "[train]") {
  (void)make<Specialised>("special").train();
  (void)make<AnyExperiment>("general").train();
  const std::string special = world().results("special");
  const std::string general = world().results("general");
  CHECK(make<Specialised>("special").model_digest() == make<AnyExperiment>("general").model_digest());
  CHECK((content_of(special + "/final_model.safetensors") == content_of(general + "/final_model.safetensors")));
  (void)make<Specialised>("special").test();
  (void)make<AnyExperiment>("general").test();
  const auto names = names_in(special + "/pred_masks");
  REQUIRE(names == names_in(general + "/pred_masks"));
  REQUIRE_FALSE(names.empty());
  for (const auto& name : names)
    CHECK((content_of(special + "/pred_masks/" + name) == content_of(general + "/pred_masks/" + name)));
  CHECK(content_of(special + "/results_eval/evaluation_3Dmetrics.csv") ==
        content_of(general + "/results_eval/evaluation_3Dmetrics.csv"));
}

TEST_CASE("Segmenting takes a folder or one image", "[train]") {
  (void)make<AnyExperiment>("segment").train();
  const auto all = make<AnyExperiment>("segment").segment();
  CHECK(all.size() == 4);
  const std::string image = world().data() + "/sub-01/anat/sub-01_T2w.nii.gz";
  REQUIRE(std::filesystem::exists(image));
  std::vector<std::string> warnings;
  auto params = AnyExperiment::configure(AnyExperiment::defaults(), Json::parse(numbers), warnings);
  params.path_output = world().results("segment");
  params.loader_parameters.path_data.values = {image};
  const auto one = AnyExperiment(std::move(params), start_runtime({1})).segment();
  REQUIRE(one.size() == 1);
  CHECK(one[0].ends_with("pred_masks/sub-01_T2w_class-0_pred.nii.gz"));
  CHECK(read_volume(one[0]).geometry.shape == read_volume(image).geometry.shape);
}

TEST_CASE("What cannot be done is said, with the exit status of its kind", "[train]") {
  const std::string config = world().results("config.json");
  const auto write = [&](Json json) { std::ofstream(config) << json.dump(); };
  Json good = Json::parse(numbers);
  good["loader_parameters"]["path_data"] = {world().data()};
  good["path_output"] = world().results("status");

  CHECK(run_main<AnyExperiment>({"--help"}) == 0);
  CHECK(run_main<AnyExperiment>({"--keys"}) == 0);
  CHECK(run_main<AnyExperiment>({"--version"}) == 0);
  CHECK(run_main<AnyExperiment>({}) == 2);
  CHECK(run_main<AnyExperiment>({"-c", world().results("nothing.json")}) == 2);
  Json bad = good;
  bad["loader_parameters"]["target_sufix"] = {"_seg"};
  write(bad);
  CHECK(run_main<AnyExperiment>({"-c", config}) == 2);
  bad = good;
  bad["FiLMedUnet"] = {{"applied", true}, {"metadata", "contrasts"}};
  write(bad);
  CHECK(run_main<AnyExperiment>({"-c", config}) == 2);
  write(good);
  CHECK(run_main<AnyExperiment>({"-c", config, "--test", "-po", world().results("untrained")}) == 3);
  CHECK(run_main<AnyExperiment>({"-c", config, "-pd", world().results("no such folder")}) == 2);
  bad = good;
  bad["wandb"] = {{"project_name", "p"}};
  bad["training_parameters"]["training_time"]["num_epochs"] = 1;
  write(bad);
  CHECK(run_main<AnyExperiment>({"-c", config, "--threads", "1", "--workers", "2", "--seed", "5"}) == 0);
  CHECK(run_main<AnyExperiment>({"-c", config, "--test"}) == 0);
  CHECK(run_main<AnyExperiment>({"-c", config, "--test", "--resume-training"}) == 2);
  CHECK(run_main<AnyExperiment>({"-c", config, "--segment", "-t", "0.1"}) == 2);
}

TEST_CASE("A file that does not agree with the type is refused", "[unit]") {
  std::vector<std::string> warnings;
  const auto configure = [&](const char* json) {
    auto params = Specialised::configure(Specialised::defaults(), Json::parse(json), warnings);
    params.path_output = world().results("refused");
    return Specialised(std::move(params), start_runtime({1}));
  };
  CHECK_THROWS_WITH(configure(R"({"loader_parameters": {"slice_axis": "sagittal"}})"), Contains("slice_axis"));
  CHECK_THROWS_WITH(
      configure(R"({"transformation": {"NormalizeInstance": {}, "Resample": {"hspace": 1, "wspace": 1}}})"),
      Contains("Resample") && Contains("order"));
  CHECK_THROWS_WITH(configure(R"({"loader_parameters": {"target_suffix": ["_a", "_b"]}})"),
                    Contains("target_suffix") && Contains("Classes"));
  CHECK_THROWS_WITH(configure(R"({"training_parameters": {"loss": {"name": "DiceLoss"}, "batch_size": 0}})"),
                    Contains("batch_size"));
}
