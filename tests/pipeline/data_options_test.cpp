// Options of the data in whole experiments: several raters, channel dropout, balanced samples, a packed file instead of
// folders in 2-D and 3-D, and slices that a classifier rejects.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <ivado/data/any_loader.hpp>
#include <ivado/data/pack.hpp>
#include <ivado/ivado.hpp>
#include <ivado/report/csv_table.hpp>
#include <sstream>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

const char* const once = R"({"training_parameters": {"training_time": {"num_epochs": 1}}})";

/// Keeps what is said, and stops a training in the middle of an epoch, as a crash would.
class Interrupter : public QuietLogger {
 public:
  static inline std::string at;    ///< of the epoch, such as "epoch 2/3"; empty: never
  static inline std::string said;  ///< all lines so far
  void info(const std::string& text) { said += text + "\n"; }
  void progress(const std::string& what, std::int64_t, std::int64_t, const std::string&) {
    if (!at.empty() && what == at) throw std::runtime_error("interrupted");
  }
};

using General = Pipeline<AnyLoader<AnySlices, Channels<dynamic>, Classes<dynamic>>, AnyCompose, AnyModel, AnyLoss,
                         AnyPostProcess, Loggers<Interrupter, LogFiles>>;
using Volumes = Pipeline<AnyLoader<AnySubvolumes>, AnyCompose, Modified3DUNet<>, DiceLoss, PostProcess<Binarize>,
                         Loggers<QuietLogger, LogFiles>>;

/// The experiment that the options are laid over: the two contrasts are channels.
Json numbers() {
  Json tree = Json::parse(small_experiment);
  tree["loader_parameters"].update({{"multichannel", true}, {"allow_regrid", true}});
  return tree;
}
const char* const sub_volumes = R"({
  "loader_parameters": {"multichannel": false, "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}},
  "training_parameters": {"batch_size": 2},
  "default_model": {"name": "Modified3DUNet", "is_2d": false, "n_filters": 4, "length_3D": [32, 32, 32],
                    "stride_3D": [16, 24, 32]},
  "transformation": {"Resample": {"hspace": 2, "wspace": 2, "dspace": 2}, "CenterCrop": {"size": [40, 40, 32]}}
})";

/// A label without what lies in the upper third of the body, so that some slices show nothing.
Array<float> lower_part(const Volume& label) {
  Array<float> out = zeros(label.view().shape());
  copy(label.view(), out.view());
  const auto& shape = label.geometry.shape;
  const auto height = [&](double i, double j, double k) {
    return (label.geometry.affine * Eigen::Vector4d(i, j, k, 1)).z();
  };
  const auto middle = [&](int axis) { return static_cast<double>(shape[static_cast<std::size_t>(axis)]) / 2; };
  const double top = height(middle(0), middle(1), middle(2)) + 8;  // mm; the body is 48 mm high
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < out.extent(0); ++i)
    for (std::int64_t j = 0; j < out.extent(1); ++j)
      for (std::int64_t k = 0; k < out.extent(2); ++k, ++at)
        if (height(static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)) > top) out[at] = 0;
  return out;
}

/// The phantom with two contrasts and labels of the lower part, and a second rater who drew each one voxel off.
const World& world() {
  static const World one({"T1w", "T2w"});
  static const bool drawn = [] {
    std::vector<std::string> labels;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(one.data() + "/derivatives"))
      if (entry.path().string().ends_with("_seg-manual.nii.gz")) labels.push_back(entry.path().string());
    for (const auto& path : labels) {
      const Volume label = read_volume(path);
      const Array<float> lower = lower_part(label);
      write_volume(path, lower.view(), label.geometry, StoredType::uint8);
      Array<float> moved = zeros(lower.shape());
      const std::int64_t rows = moved.extent(0);
      copy(lower.view().narrow(0, 0, rows - 1), moved.view().narrow(0, 1, rows - 1));
      write_volume(path.substr(0, path.size() - std::string("_seg-manual.nii.gz").size()) + "_seg-second.nii.gz",
                   std::as_const(moved).view(), label.geometry, StoredType::uint8);
    }
    return !labels.empty();
  }();
  REQUIRE(drawn);
  return one;
}

/// @param changes  laid over `numbers()`, one after the other
template <class Experiment = General>
Experiment make(const std::string& name, const std::vector<std::string>& changes = {}, int workers = 1,
                const std::string& data = world().data()) {
  std::vector<std::string> warnings;
  Json tree = numbers();
  for (const auto& change : changes) tree.merge_patch(Json::parse(change));
  auto params = Experiment::configure(Experiment::defaults(), tree, warnings);
  CHECK(warnings.empty());
  params.loader_parameters.path_data.values = {data};
  params.loader_parameters.workers = workers;
  params.path_output = world().results(name);
  RuntimeOptions options;
  options.threads = 1;
  return Experiment(std::move(params), start_runtime(options));
}

std::string model_of(const std::string& name) { return content_of(world().results(name) + "/final_model.safetensors"); }

/// Packs what `make` would train on.
std::string pack(const std::string& name, const std::vector<std::string>& changes) {
  Json tree = numbers();
  for (const auto& change : changes) tree.merge_patch(Json::parse(change));
  tree["loader_parameters"]["path_data"] = world().data();
  const std::string config = world().results(name + ".json");
  write_file_atomically(config, tree.dump());
  const std::string path = world().results(name + ".h5");
  std::ostringstream out;
  std::ostringstream err;
  const int status = run_pack(std::vector<std::string>{"-c", config, "--to", path, "--segment"}, out, err);
  INFO(err.str());
  REQUIRE(status == 0);
  return path;
}

/// The folders of predictions hold the same voxels.
void check_same_predictions(const std::string& one, const std::string& other) {
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(world().results(one) + "/pred_masks")) {
    const std::string name = "/pred_masks/" + entry.path().filename().string();
    CAPTURE(name);
    if (!name.ends_with(".nii.gz")) continue;
    const Volume a = read_volume(world().results(one) + name);
    const Volume b = read_volume(world().results(other) + name);
    CHECK(a.voxels == b.voxels);
    CHECK(a.geometry.affine == b.geometry.affine);
    ++compared;
  }
  CHECK(compared > 0);
}

}  // namespace

TEST_CASE("Raters, dropped channels and balanced samples: resumed bit for bit, and each changes the training",
          "[train]") {
  const std::string raters = R"({"loader_parameters": {"target_suffix": [["_seg-manual", "_seg-second"]]}})";
  const std::string dropout = R"({"loader_parameters": {"is_input_dropout": true}})";
  const std::string balance = R"({"training_parameters": {"balance_samples": {"applied": true, "type": "gt"}}})";
  const std::string epochs = R"({"training_parameters": {"training_time": {"num_epochs": 3}}})";
  const std::vector<std::string> all{raters, dropout, balance, epochs};
  (void)make("whole", all, 2).train();
  Interrupter::at = "epoch 3/3";
  CHECK_THROWS_WITH(make("halves", all).train(), Contains("interrupted"));
  Interrupter::at.clear();
  (void)make("halves", all, 0).train(true);
  CHECK((model_of("whole") == model_of("halves")));
  CHECK_THROWS_WITH(make("halves", {raters, dropout, epochs}).train(true), Contains("balance_samples"));
  CHECK_THAT(Interrupter::said, Contains("samples drawn so that each kind is seen as often: ") &&
                                    Contains(" with the first class, ") && Contains(" without the first class"));
  const TestSummary tested = make("whole", all).test();
  CHECK(tested.rows.size() == 1);

  (void)make("plain", {once}).train();
  (void)make("raters", {raters, once}).train();
  (void)make("dropout", {dropout, once}).train();
  (void)make("balance", {balance, once}).train();
  for (const char* name : {"raters", "dropout", "balance"}) {
    CAPTURE(name);
    CHECK((model_of(name) != model_of("plain")));
  }
}

TEST_CASE("A packed file takes the place of the folders: training, test and segmentation are the same", "[train]") {
  const std::vector<std::string> raters{
      R"({"loader_parameters": {"target_suffix": [["_seg-manual", "_seg-second"]]}})"};
  const std::string file = pack("slices", raters);
  for (const auto& [name, data] : {std::pair{std::string("folders"), world().data()}, {"packed", file}}) {
    (void)make(name, raters, 1, data).train();
    const TestSummary tested = make(name, raters, 1, data).test();
    REQUIRE(tested.rows.size() == 1);
    CHECK(make(name, raters, 1, data).segment().size() == 4);
  }
  CHECK((model_of("folders") == model_of("packed")));
  CHECK((content_of(world().results("folders") + "/results_eval/evaluation_3Dmetrics.csv") ==
         content_of(world().results("packed") + "/results_eval/evaluation_3Dmetrics.csv")));
  check_same_predictions("folders", "packed");
}

TEST_CASE("A packed file of volumes takes the place of the folders", "[train]") {
  const std::vector<std::string> changes{sub_volumes};
  const std::string file = pack("volumes", changes);
  for (const auto& [name, data] : {std::pair{std::string("folders-3d"), world().data()}, {"packed-3d", file}}) {
    (void)make<Volumes>(name, changes, 1, data).train();
    CHECK(make<Volumes>(name, changes, 1, data).test().rows.size() == 1);
    CHECK(make<Volumes>(name, changes, 1, data).segment().size() == 4);
  }
  CHECK((model_of("folders-3d") == model_of("packed-3d")));
  check_same_predictions("folders-3d", "packed-3d");
}

TEST_CASE("Slices that a trained classifier rejects are left out", "[train]") {
  // The classifier knows one contrast, and judges each channel of a slice.
  const std::string one = R"({"loader_parameters": {"multichannel": false,
      "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}}})";
  const std::string classifier =
      R"({"default_model": {"name": "resnet18"}, "postprocessing": {"binarize_prediction": null},
      "training_parameters": {"loss": {"name": "BinaryCrossEntropyLoss"}, "scheduler": {"initial_lr": 0.0001}}})";
  (void)make("classifier", {one, classifier, once}).train();
  const TestSummary tested = make("classifier", {one, classifier, once}).test();
  const NumberTable said = read_number_table(tested.csv);
  const auto probability = said.column_values(said.column("probability_class0"));

  // One epoch teaches little: the bias is moved into the widest gap of the middle half of its logits, so that it keeps
  // some slices and rejects others.
  std::vector<double> logits;
  const auto logit = [](double p) {
    const double inside = std::clamp(p, 1e-6, 1 - 1e-6);  // a probability is 1 as text from 1 - 1e-7 on
    return std::log(inside / (1 - inside));
  };
  for (const double p : probability) logits.push_back(logit(p));
  std::sort(logits.begin(), logits.end());
  std::size_t gap = logits.size() / 4;
  for (std::size_t i = gap; i < 3 * logits.size() / 4; ++i)
    if (logits[i + 1] - logits[i] > logits[gap + 1] - logits[gap]) gap = i;
  const double cut = (logits[gap] + logits[gap + 1]) / 2;
  REQUIRE(logits[gap + 1] - logits[gap] > 1e-5);  // far above the rounding of a logit in float32
  const std::string folder = world().results("classifier") + "/my_model";
  const std::string weights_path = folder + "/my_model.safetensors";
  nn::Weights weights = read_safetensors(weights_path);
  for (auto& tensor : weights.tensors) {
    if (tensor.name != "fc.bias") continue;
    std::array<float, 2> bias{};  // of the background and of the class
    REQUIRE(tensor.bytes.size() == sizeof bias);
    std::memcpy(bias.data(), tensor.bytes.data(), sizeof bias);
    bias[1] -= static_cast<float>(cut);
    std::memcpy(tensor.bytes.data(), bias.data(), sizeof bias);
  }
  write_safetensors(weights_path, weights);
  SliceClassifier<AnyModel, AnyCompose> filter(folder, at::kCPU);
  LoaderParameters loader = make("classifier", {one, classifier, once}).params().loader_parameters;
  const auto samples_of = [&](const std::string& subject, const ModelNeeds& needs) {
    const BidsLoader<AnySlices> slices(loader, needs);
    LeftOutList left_out;
    auto cases = slices.cases(true, {"T2w"}, left_out);
    std::erase_if(cases, [&](const Case& image) { return image.subject != subject; });
    REQUIRE(cases.size() == 1);
    const auto set = slices.dataset(cases, ivado::detail::NoTransforms{}, Stage::testing, 1);
    std::vector<std::int32_t> kept;
    for (std::size_t i = 0; i < set.size(); ++i) kept.push_back(set.origin(i).slice);
    CHECK(set.counts().kept == static_cast<std::int64_t>(kept.size()));
    return kept;
  };
  const std::string id = content_of(tested.csv).substr(content_of(tested.csv).find('\n') + 1);
  const std::string subject = id.substr(0, id.find('_'));
  const auto all = samples_of(subject, {});
  REQUIRE(all.size() == probability.size());
  ModelNeeds needs;
  needs.keep_slice = [&](const Sample& slice) { return filter(slice); };
  std::vector<std::int32_t> expected;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (logit(probability[i]) > cut) expected.push_back(all[i]);
  CHECK(samples_of(subject, needs) == expected);
  CHECK(!expected.empty());
  CHECK(expected.size() < all.size());

  const std::string filtered = R"({"loader_parameters": {"slice_filter_params": {"filter_classification": true,
      "classifier_path": ")" + folder +
                               R"("}}})";
  Interrupter::said.clear();
  (void)make("filtered", {one, filtered, once}).train();
  CHECK_THAT(Interrupter::said, Contains("training set: ") && Contains("rejected by the classifier"));

  CHECK_THROWS_WITH(make("nowhere", {R"({"loader_parameters": {"slice_filter_params": {"filter_classification": true,
                                         "classifier_path": "not/there"}}})"}),
                    Contains("classifier_path") && Contains("not/there"));
  (void)make("plain-2d", {one, once}).train();
  CHECK_THROWS_WITH((SliceClassifier<AnyModel, AnyCompose>(world().results("plain-2d") + "/my_model/", at::kCPU)),
                    Contains("Unet is no classifier of single slices"));
}
