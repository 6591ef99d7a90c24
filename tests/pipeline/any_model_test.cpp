// The general program with each kind of model on a small phantom: FiLM, HeMIS with contrasts missing, classification,
// key points, transfer learning, threshold analysis and the ONNX file.
#include <filesystem>
#include <fstream>
#include <ivado/interop/onnx_command.hpp>
#include <ivado/ivado.hpp>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using General =
    Pipeline<BidsLoader<AnySlices, Channels<dynamic>, Classes<dynamic>, MissingContrasts, Metadata>, AnyCompose,
             AnyModel, AnyLoss, AnyPostProcess, AnyScheduler, Loggers<QuietLogger, LogFiles>, OnnxExporter>;

const World& world() {
  static const World one({"T1w", "T2w"});
  return one;
}

/// @param changes  laid over `small_experiment`
General make(const std::string& name, const std::string& changes = "{}", const std::string& data = world().data()) {
  std::vector<std::string> warnings;
  auto params = General::configure(General::defaults(), Json::parse(small_experiment), warnings);
  params = General::configure(params, Json::parse(changes), warnings);
  CHECK(warnings.empty());
  params.loader_parameters.path_data.values = {data};
  params.path_output = world().results(name);
  RuntimeOptions options;
  options.threads = 1;
  return General(std::move(params), start_runtime(options));
}

bool equal(const nn::Weights& a, const nn::Weights& b, const std::string& name) {
  const auto* one = a.find(name);
  const auto* other = b.find(name);
  return one != nullptr && other != nullptr && one->bytes == other->bytes;
}

}  // namespace

TEST_CASE("A FiLM model is conditioned on the contrast, in training, test, threshold analysis and segmentation",
          "[train]") {
  const std::string film = R"({"FiLMedUnet": {"applied": true, "metadata": "contrasts"}})";
  auto training = make("film", film);
  const FitSummary fitted = training.train();
  CHECK(fitted.epochs[1].training_loss < fitted.epochs[0].training_loss);
  const std::string results = world().results("film");
  const nn::Weights weights = read_safetensors(results + "/best_model.safetensors");
  const auto encoder = MetadataEncoder::from_json(Json::parse(weights.metadata.at("condition")));
  CHECK(encoder.size() == 2);
  CHECK(weights.find("encoder.down_path.1.generator.linear1.weight") != nullptr);
  CHECK(std::filesystem::exists(results + "/my_model/my_model.onnx"));

  const ThresholdResult thresholds = make("film", film).analyse_thresholds(0.1);
  CHECK(thresholds.pooled.points.size() == 9);
  CHECK(read_json(results + "/config_file.json")["postprocessing"]["binarize_prediction"]["thr"] ==
        thresholds.pooled.optimum);
  CHECK(std::filesystem::exists(results + "/threshold_analysis.csv"));
  CHECK_THAT(content_of(results + "/threshold_analysis.svg"), Contains("<svg"));

  const TestSummary tested = make("film", film).test();
  CHECK(tested.rows.size() == 2);
  CHECK(make("film", R"({"command": "segment", "FiLMedUnet": {"applied": true, "metadata": "contrasts"}})")
            .segment()
            .size() == 8);
}

TEST_CASE("A FiLM model without a key of metadata says what to give", "[unit]") {
  CHECK_THROWS_WITH(make("film-none", R"({"FiLMedUnet": {"applied": true}})").train(), Contains("metadata"));
}

TEST_CASE("A HeMIS model trains and tests with contrasts missing for some subjects", "[train]") {
  const std::string data = world().results("incomplete");
  std::filesystem::copy(world().data(), data, std::filesystem::copy_options::recursive);
  std::filesystem::remove(data + "/sub-02/anat/sub-02_T2w.nii.gz");
  std::filesystem::remove(data + "/sub-03/anat/sub-03_T1w.nii.gz");
  const std::string hemis = R"({
    "loader_parameters": {"allow_regrid": true},
    "HeMISUnet": {"applied": true, "missing_probability": 0.5, "missing_probability_growth": 0.9}})";
  auto training = make("hemis", hemis, data);
  const FitSummary fitted = training.train();
  CHECK(fitted.epochs.size() == 2);
  const nn::Weights weights = read_safetensors(world().results("hemis") + "/best_model.safetensors");
  CHECK(weights.find("Encoder_mod.Encoder_T1w.conv_bottom.conv1.weight") != nullptr);
  CHECK(weights.find("Encoder_mod.Encoder_T2w.conv_bottom.conv1.weight") != nullptr);
  const TestSummary tested = make("hemis", hemis, data).test();
  REQUIRE(tested.rows.size() == 1);
  CHECK(tested.mean_dice[0] >= 0);
}

TEST_CASE("Classifiers train and test by the presence of a target and by a column", "[train]") {
  const std::string classifier = R"(
    "resnet18": {"applied": true},
    "training_parameters": {"loss": {"name": "BinaryCrossEntropyLoss"}, "training_time": {"num_epochs": 1}},
    "postprocessing": {})";
  auto training = make("presence", "{" + classifier + "}");
  training.train();
  const TestSummary tested = make("presence", "{" + classifier + "}").test();
  CHECK(tested.task == Task::classification);
  CHECK(tested.classification.samples > 10);
  CHECK(tested.classification.classes.size() == 1);
  CHECK(tested.classification.classes[0].accuracy >= 0);
  CHECK_THAT(content_of(tested.csv), Contains("id,probability_class0,truth_class0\n"));
  CHECK_THAT(content_of(world().results("presence") + "/results_eval/classification_scores.csv"),
             Contains("class,samples,positives,log_loss,accuracy,") && Contains("\n0,"));
  const auto segmented = make("presence", R"({"command": "segment",)" + classifier + "}").segment();
  REQUIRE(segmented.size() == 1);
  CHECK_THAT(content_of(segmented[0]), Contains("id,probability_class0\nsub-01_"));

  const std::string by_column =
      "{\"loader_parameters\": {\"label_column\": \"sex\", \"label_values\": [\"F\", \"M\"]}," + classifier + "}";
  make("column", by_column).train();
  const TestSummary by_sex = make("column", by_column).test();
  CHECK(by_sex.classification.classes.size() == 2);
  CHECK_THROWS_WITH(make("maps", R"({"resnet18": {"applied": true, "mirror_axes": [0]}})"),
                    Contains("mirror_axes") && Contains("resnet18 is a classifier"));
  CHECK_THROWS_WITH(make("maps", R"({"resnet18": {"applied": true}, "evaluation_parameters": {"keypoints": true}})"),
                    Contains("evaluation_parameters.keypoints") && Contains("set it to null"));
  CHECK_THROWS_WITH(make("wrong-loss", R"({"resnet18": {"applied": true}})").train(),
                    Contains("DiceLoss") && Contains("resnet18") && Contains("BinaryCrossEntropyLoss"));
}

TEST_CASE("Heat maps give key points and their distances", "[train]") {
  const std::string points = R"({
    "evaluation_parameters": {"keypoints": true},
    "training_parameters": {"loss": {"name": "L2loss"}, "training_time": {"num_epochs": 1}}, "postprocessing": {}})";
  make("points", points).train();
  const TestSummary tested = make("points", points).test();
  CHECK(tested.task == Task::keypoints);
  REQUIRE(tested.keypoints.contains(0));
  CHECK(tested.keypoints.at(0).truth > 0);
  CHECK_THAT(content_of(world().results("points") + "/results_eval/keypoints.csv"),
             Contains("image_id,class,true,predicted,matched,mean_error_mm,median_error_mm"));
  std::size_t tables = 0;
  for (const auto& entry : std::filesystem::directory_iterator(world().results("points") + "/pred_masks"))
    tables += entry.path().extension() == ".csv" ? 1U : 0U;
  CHECK(tables == tested.rows.size());
  CHECK_THROWS_WITH(make("points", points).analyse_thresholds(0.1), Contains("key points"));
}

TEST_CASE("A training is resumed for more epochs where the learning rates do not depend on their number", "[train]") {
  const auto train = [&](const std::string& name, int epochs, const std::string& schedule, bool resume) {
    return make(name, "{\"training_parameters\": {\"training_time\": {\"num_epochs\": " + std::to_string(epochs) +
                          "}, \"scheduler\": {\"lr_scheduler\": {\"name\": \"" + schedule + "\"}}}}")
        .train(resume);
  };
  train("at-once", 3, "CyclicLR", false);
  train("longer", 2, "CyclicLR", false);
  CHECK(train("longer", 3, "CyclicLR", true).epochs.size() == 3);
  for (const char* file : {"/final_model.safetensors", "/best_model.safetensors"})
    CHECK((content_of(world().results("longer") + file) == content_of(world().results("at-once") + file)));
  train("cosine", 2, "CosineAnnealingLR", false);
  CHECK_THROWS_WITH(train("cosine", 3, "CosineAnnealingLR", true), Contains("num_epochs"));
}

TEST_CASE("Transfer learning from a trained model freezes its first layers", "[train]") {
  make("source", R"({"training_parameters": {"training_time": {"num_epochs": 1}}})").train();
  const std::string source = world().results("source") + "/best_model.safetensors";
  const auto transfer = [&](double fraction) {
    return "{\"training_parameters\": {\"training_time\": {\"num_epochs\": 1}, \"transfer_learning\": "
           "{\"retrain_model\": \"" +
           source + "\", \"retrain_fraction\": " + std::to_string(fraction) + ", \"reset\": true}}}";
  };
  make("transferred", transfer(0.25)).train();
  const nn::Weights before = read_safetensors(source);
  const nn::Weights after = read_safetensors(world().results("transferred") + "/final_model.safetensors");
  CHECK(equal(before, after, "encoder.down_path.0.conv1.weight"));
  CHECK(equal(before, after, "encoder.down_path.0.conv1_bn.running_mean"));
  CHECK_FALSE(equal(before, after, "decoder.last_conv.weight"));
  make("untouched", transfer(0)).train();
  const nn::Weights untouched = read_safetensors(world().results("untouched") + "/final_model.safetensors");
  for (const auto& tensor : before.tensors) CHECK(equal(before, untouched, tensor.name));
}

TEST_CASE("The ONNX file of a training holds its weights, and `ivado onnx` writes the same", "[train]") {
  make("onnx", R"({"training_parameters": {"training_time": {"num_epochs": 1}}})").train();
  const std::string file = world().results("onnx") + "/my_model/my_model.onnx";
  const nn::Weights trained = read_safetensors(world().results("onnx") + "/best_model.safetensors");
  const nn::Weights exported = read_onnx_weights(file);
  for (const char* name : {"encoder.down_path.0.conv1.weight", "decoder.last_conv.bias"}) {
    CHECK(equal(exported, trained, name));
  }
  const std::string again = world().results("onnx") + "/again.onnx";
  const std::vector<std::string> arguments{"-po", world().results("onnx"), "-o", again};
  std::ostringstream out;
  std::ostringstream err;
  CHECK(run_onnx(arguments, out, err) == 0);
  CHECK(err.str().empty());
  CHECK(content_of(again) == content_of(file));

  make("from-onnx",
       "{\"training_parameters\": {\"training_time\": {\"num_epochs\": 1}, \"transfer_learning\": "
       "{\"retrain_model\": \"" +
           file + "\", \"retrain_fraction\": 0.25}}}")
      .train();
  const nn::Weights retrained = read_safetensors(world().results("from-onnx") + "/final_model.safetensors");
  CHECK(equal(retrained, trained, "encoder.down_path.0.conv1.weight"));
  CHECK_FALSE(equal(retrained, trained, "decoder.last_conv.weight"));
}

TEST_CASE("A model of volumes is refused by a loader of slices", "[unit]") {
  CHECK_THROWS_WITH(make("volumes", R"({"Modified3DUNet": {"applied": true}})"),
                    Contains("Modified3DUNet works on 3-D sub-volumes") && Contains("slices"));
}
