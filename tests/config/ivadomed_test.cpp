#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ivado/config/ivadomed.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

Json parse(const char* text) { return Json::parse(text); }

std::vector<std::string> keys_in(const Json& json) {
  std::vector<std::string> out;
  for (const auto& item : json.items()) out.push_back(item.key());
  return out;
}

Json complete(const char* text, MergeRule rule = MergeRule::strict) {
  Json user = parse(text);
  rename_old_keys(user, rule);
  return complete_configuration(user, rule);
}

/// A folder that is gone with the test.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "ivado_config_test";
  Folder() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

}  // namespace

TEST_CASE("The defaults stand in ivadomed's order") {
  const Json defaults = ivadomed_defaults();
  CHECK(keys_in(defaults) == std::vector<std::string>{"command", "gpu_ids", "path_output", "model_name", "debugging",
                                                      "log_file", "object_detection_params", "wandb",
                                                      "loader_parameters", "split_dataset", "training_parameters",
                                                      "default_model", "uncertainty", "postprocessing",
                                                      "evaluation_parameters", "transformation"});
  CHECK(defaults["training_parameters"]["scheduler"]["lr_scheduler"].dump() ==
        R"({"name":"CosineAnnealingLR","base_lr":1e-05,"max_lr":0.01})");
  CHECK(complete("{}").dump() == defaults.dump());
}

TEST_CASE("A user's values are merged key by key, lists replaced whole, his other keys appended in his order") {
  const Json tree = complete(R"({
    "resnet18": {"applied": false}, "gpu_ids": [3, 1],
    "transformation": {"NormalizeInstance": {}, "Resample": {"hspace": 1}, "CenterCrop": {"size": [8, 8]}},
    "FiLMedUnet": {"applied": false},
    "postprocessing": {"keep_largest": {}, "binarize_prediction": {"thr": 0.5}},
    "loader_parameters": {"extensions": [".png"], "bids_validate": false, "roi_params": {"suffix": "_roi"}},
    "command": "test"
  })");
  CHECK(keys_in(tree["transformation"]) == std::vector<std::string>{"NormalizeInstance", "Resample", "CenterCrop"});
  CHECK(keys_in(tree["postprocessing"]) == std::vector<std::string>{"keep_largest", "binarize_prediction"});
  const auto top = keys_in(tree);
  CHECK(top.size() == 18);
  CHECK(top.front() == "command");
  CHECK(top[16] == "resnet18");
  CHECK(top[17] == "FiLMedUnet");
  CHECK(tree["command"] == "test");
  CHECK(tree["gpu_ids"] == parse("[3, 1]"));
  CHECK(tree["loader_parameters"]["extensions"] == parse(R"([".png"])"));
  CHECK(keys_in(tree["loader_parameters"]).back() == "bids_validate");
  CHECK(tree["loader_parameters"]["roi_params"].dump() == R"({"suffix":"_roi","slice_filter_roi":null})");
}

TEST_CASE("A value that is no object where the default is one names its key; ivadomed drops it") {
  struct Trap {
    const char* json;
    const char* path;
  };
  const auto trap = GENERATE(values<Trap>({
      {R"({"training_parameters": {"balance_samples": 3}})", "training_parameters.balance_samples"},
      {R"({"training_parameters": {"loss": ["DiceLoss"]}})", "training_parameters.loss"},
      {R"({"training_parameters": {"loss": null}})", "training_parameters.loss"},
      {R"({"training_parameters": {"training_time": 100}})", "training_parameters.training_time"},
      {R"({"training_parameters": {"scheduler": {"lr_scheduler": null}}})",
       "training_parameters.scheduler.lr_scheduler"},
      {R"({"training_parameters": {"scheduler": 0.001}})", "training_parameters.scheduler"},
      {R"({"object_detection_params": false})", "object_detection_params"},
      {R"({"postprocessing": []})", "postprocessing"},
      {R"({"transformation": "none"})", "transformation"},
      {R"({"loader_parameters": null})", "loader_parameters"},
      {R"({"loader_parameters": {"slice_filter_params": true}})", "loader_parameters.slice_filter_params"},
      {R"({"loader_parameters": {"contrast_params": ["T2w"]}})", "loader_parameters.contrast_params"},
      {R"({"split_dataset": {"data_testing": []}})", "split_dataset.data_testing"},
      {R"({"default_model": null})", "default_model"},
      {R"({"default_model": true})", "default_model"},
  }));
  INFO(trap.json);
  CHECK_THROWS_WITH(complete(trap.json),
                    Contains(std::string("configuration key ") + trap.path + ":") && Contains("expected an object"));
  CHECK(complete(trap.json, MergeRule::as_ivadomed).dump() == ivadomed_defaults().dump());
}

TEST_CASE("Shorthands: true and false for applied, text for name, null where the default asks for nothing") {
  const auto samples = [](const char* value) {
    return merge(ivadomed_defaults(), Json{{"training_parameters", {{"balance_samples", parse(value)}}}})
        .at("training_parameters")
        .at("balance_samples");
  };
  CHECK(samples("false").dump() == R"({"applied":false,"type":"gt"})");
  CHECK(samples("true").dump() == R"({"applied":true,"type":"gt"})");
  CHECK(samples("null").dump() == R"({"applied":false,"type":"gt"})");
  CHECK(complete(R"({"training_parameters": {"loss": "FocalLoss"}})")["training_parameters"]["loss"].dump() ==
        R"({"name":"FocalLoss"})");
  CHECK(complete(R"({"default_model": "Countception"})")["default_model"]["name"] == "Countception");
  const char* const nulls =
      R"({"object_detection_params": null, "wandb": null, "uncertainty": null, "postprocessing": null,
          "transformation": null, "loader_parameters": {"subject_selection": null, "roi_params": null,
          "contrast_params": {"balance": null}}, "training_parameters": {"transfer_learning": null}})";
  CHECK(complete(nulls).dump() == ivadomed_defaults().dump());
}

TEST_CASE("What is not an object where the default is a plain value replaces it, and the typed reading judges it") {
  const Json tree = complete(R"({"training_parameters": {"mixup_alpha": {}}, "gpu_ids": null})");
  CHECK(tree["training_parameters"]["mixup_alpha"] == Json::object());
  CHECK_THROWS_WITH(configuration_of(tree), Contains("gpu_ids") && Contains("a list"));
  CHECK_THROWS_WITH(merge(ivadomed_defaults(), parse("[1]")), Contains("not a JSON object"));
}

TEST_CASE("Old names are replaced at every level, in their place") {
  Json tree = parse(R"({"UNet3D": {"applied": true}, "loader_parameters": {"x": {}, "bids_path": "d", "y": 1},
                        "log_directory": "out", "transformation": {"NumpyToTensor": {}, "CenterCrop": {"size": [4]}}})");
  rename_old_keys(tree);
  CHECK(tree.dump() == R"({"Modified3DUNet":{"applied":true},"loader_parameters":{"x":{},"path_data":"d","y":1},)"
                       R"("path_output":"out","transformation":{"CenterCrop":{"size":[4]}}})");
}

TEST_CASE("Old names are replaced in objects of objects too; ivadomed leaves those alone") {
  const Json original = parse(R"({"UNet3D": {"applied": true}, "transformation": {"NumpyToTensor": {}}})");
  Json strict = original;
  rename_old_keys(strict);
  CHECK(strict.dump() == R"({"Modified3DUNet":{"applied":true},"transformation":{}})");
  Json old = original;
  rename_old_keys(old, MergeRule::as_ivadomed);
  CHECK(old.dump() == original.dump());
  Json with_scalar = parse(R"({"UNet3D": {"UNet3D": {}}, "command": "train"})");
  rename_old_keys(with_scalar, MergeRule::as_ivadomed);
  CHECK(with_scalar.dump() == R"({"Modified3DUNet":{"UNet3D":{}},"command":"train"})");
}

TEST_CASE("An old name beside its new one is an error; in ivadomed the old one wins") {
  const char* const both = GENERATE(R"({"loader_parameters": {"bids_path": "old", "path_data": "new"}})",
                                    R"({"loader_parameters": {"path_data": "new", "bids_path": "old"}})");
  Json tree = parse(both);
  CHECK_THROWS_WITH(rename_old_keys(tree), Contains("loader_parameters.bids_path") && Contains("\"path_data\""));
  Json old = parse(both);
  rename_old_keys(old, MergeRule::as_ivadomed);
  CHECK(old.dump() == R"({"loader_parameters":{"path_data":"old"}})");
}

TEST_CASE("The split's old keys become data_testing") {
  const auto split = [](const char* text, MergeRule rule = MergeRule::strict) {
    return complete((std::string(R"({"split_dataset": )") + text + "}").c_str(), rule)["split_dataset"];
  };
  const Json by_center = split(R"({"method": "per_center", "center_test": ["A", "B"]})");
  CHECK(by_center["data_testing"].dump() == R"({"data_type":"institution_id","data_value":["A","B"]})");
  CHECK(keys_in(by_center) == keys_in(ivadomed_defaults()["split_dataset"]));
  CHECK(split(R"({"method": "per_center"})")["data_testing"].dump() ==
        R"({"data_type":"institution_id","data_value":[]})");
  CHECK(split(R"({"method": "per_center", "center_test": null})")["data_testing"]["data_value"].empty());
  CHECK(split(R"({"center_test": ["C"], "data_testing": {"data_type": "institution_id"}})")["data_testing"].dump() ==
        R"({"data_type":"institution_id","data_value":["C"]})");
  CHECK(split(R"({"method": "per_patient", "center_test": []})") == ivadomed_defaults()["split_dataset"]);

  CHECK_THROWS_WITH(split(R"({"method": "per_centre"})"),
                    Contains("split_dataset.method") && Contains("\"per_center\"") && Contains("split_method"));
  CHECK_THROWS_WITH(split(R"({"method": "per_patient", "center_test": ["A"]})"),
                    Contains("split_dataset.center_test") && Contains("data_testing"));
  for (const char* ignored : {R"({"method": "per_centre"})", R"({"method": "per_patient", "center_test": ["A"]})",
                              R"({"center_test": ["A"]})"})
    CHECK(split(ignored, MergeRule::as_ivadomed) == ivadomed_defaults()["split_dataset"]);
}

TEST_CASE("A file is refused that is not there, is a folder, YAML, not .json or no object") {
  const Folder folder;
  CHECK_THROWS_WITH(read_configuration((folder.path / "none.json").string()),
                    Contains("none.json") && Contains("no such file"));
  CHECK_THROWS_WITH(read_configuration(folder.path.string()), Contains("it is a folder"));
  std::filesystem::create_directories(folder.path / "named.json");
  CHECK_THROWS_WITH(read_configuration((folder.path / "named.json").string()), Contains("it is a folder"));
  CHECK_THROWS_WITH(read_configuration(folder.write("a.yaml", "{}")), Contains("YAML is not supported"));
  CHECK_THROWS_WITH(read_configuration(folder.write("a.yml", "{}")), Contains("YAML is not supported"));
  CHECK_THROWS_WITH(read_configuration(folder.write("a.txt", "{}")), Contains("does not end in .json"));
  CHECK_THROWS_WITH(read_configuration(folder.write("list.json", "[]")), Contains("does not hold a JSON object"));
  CHECK_THROWS_WITH(read_configuration(folder.write("bad.json", "{\n\"a\": }")),
                    Contains("bad.json") && Contains("line 2"));
  CHECK_THROWS_WITH(read_configuration("/dev/null"), Contains("not a regular file"));
  try {
    (void)read_configuration(folder.write("a.yml", "{}"));
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 2);
  }
  const Json tree = read_configuration(folder.write("good.json", R"({"log_directory": "x", "model_name": "m"})"));
  CHECK(tree["path_output"] == "x");
  CHECK(tree["model_name"] == "m");
  CHECK(tree.size() == ivadomed_defaults().size());
}

TEST_CASE("Keys that a file leaves at their default are listed") {
  CHECK(keys_left_at_default(ivadomed_defaults()).empty());
  Json most = ivadomed_defaults();
  most.erase("command");
  most["training_parameters"]["scheduler"].erase("initial_lr");
  most.erase("uncertainty");
  most["training_parameters"]["balance_samples"] = false;
  CHECK(keys_left_at_default(most) == std::vector<std::string>{"command", "training_parameters.scheduler.initial_lr",
                                                               "uncertainty.epistemic", "uncertainty.aleatoric",
                                                               "uncertainty.n_it"});
  CHECK(keys_left_at_default(Json::object()).front() == "command");
  CHECK(keys_left_at_default(Json::object()).back() == "transformation");
}

TEST_CASE("A key that nobody knows is an error with its path and the nearest key, wherever that is at home") {
  struct Unknown {
    const char* json;
    const char* path;
    const char* nearest;
  };
  const auto unknown = GENERATE(values<Unknown>({
      {R"({"comand": "train"})", "comand", "\"command\""},
      {R"({"loader_parameters": {"target_sufix": []}})", "loader_parameters.target_sufix",
       "\"loader_parameters.target_suffix\""},
      {R"({"training_parameters": {"batchsize": 4}})", "training_parameters.batchsize",
       "\"training_parameters.batch_size\""},
      {R"({"batch_size": 4})", "batch_size", "\"training_parameters.batch_size\""},
      {R"({"training_parameters": {"num_epochs": 4}})", "training_parameters.num_epochs",
       "\"training_parameters.training_time.num_epochs\""},
      {R"({"training_parameters": {"scheduler": {"lr_scheduler": {"nam": "x"}}}})",
       "training_parameters.scheduler.lr_scheduler.nam", "\"training_parameters.scheduler.lr_scheduler.name\""},
      {R"({"FiLMedUnet": {"applied": false, "film_layer": []}})", "FiLMedUnet.film_layer",
       "\"FiLMedUnet.film_layers\""},
      {R"({"FiLMedUNet": {"applied": false}})", "FiLMedUNet", "\"FiLMedUnet\""},
      {R"({"transformations": {}})", "transformations", "\"transformation\""},
      {R"({"default_model": {"final_activaton": "relu"}})", "default_model.final_activaton",
       "\"default_model.final_activation\""},
  }));
  INFO(unknown.json);
  CHECK_THROWS_WITH(check_keys(parse(unknown.json)), Contains(std::string("configuration key ") + unknown.path + ":") &&
                                                         Contains("no such key") &&
                                                         Contains(std::string("did you mean ") + unknown.nearest));
}

TEST_CASE("All unknown keys are named in one error") {
  CHECK_THROWS_WITH(check_keys(parse(R"({"comand": 1, "wandb": {"grup_name": "g"}})")),
                    Contains("keys comand, wandb.grup_name") && Contains("\"command\", \"wandb.group_name\""));
}

TEST_CASE("Keys without effect are gathered for one warning") {
  const auto keys = check_keys(parse(R"({
    "wandb": {"project_name": "p", "run_name": "r"},
    "loader_parameters": {"bids_config": "b.json", "contrast_params": {"contrast_lst": []}},
    "evaluation_parameters": {"targetSize": {"thr": [20, 100]}, "overlap": {"thr": 3}},
    "training_parameters": {"scheduler": {"lr_scheduler": {"max_lr": 0.1}}}, "Countception": {"use_logits": true},
    "debugging": true, "transformation": {"Anything": {"x": 1}}
  })"));
  CHECK(keys == std::vector<std::string>{"wandb", "loader_parameters.bids_config",
                                         "loader_parameters.contrast_params.contrast_lst",
                                         "evaluation_parameters.targetSize", "Countception.use_logits"});
  const std::string warning = warning_without_effect(keys);
  CHECK_THAT(warning, Contains("without effect") && Contains("wandb, loader_parameters.bids_config"));
  CHECK(warning.find('\n') == std::string::npos);
  CHECK(warning_without_effect({}).empty());
  CHECK(check_keys(parse(R"({"command": "train"})")).empty());
}

TEST_CASE("Each set gets its transforms, in the order of the file") {
  const Json tree = parse(R"({"transformation": {
    "NormalizeInstance": {"applied_to": ["im"]},
    "RandomAffine": {"degrees": 5, "dataset_type": ["training"], "preprocessing": false},
    "CenterCrop": {"size": [4, 4]},
    "ElasticTransform": {"p": 1, "dataset_type": ["training", "validation"]},
    "Resample": {"hspace": 1},
    "Clahe": {"dataset_type": []}
  }})");
  const Json training = transforms_of(tree, Stage::training);
  CHECK(training.dump() == R"({"NormalizeInstance":{"applied_to":["im"]},"RandomAffine":{"degrees":5},)"
                           R"("CenterCrop":{"size":[4,4]},"ElasticTransform":{"p":1},"Resample":{"hspace":1}})");
  CHECK(keys_in(transforms_of(tree, Stage::validation)) ==
        std::vector<std::string>{"NormalizeInstance", "CenterCrop", "ElasticTransform", "Resample"});
  CHECK(keys_in(transforms_of(tree, Stage::testing)) ==
        std::vector<std::string>{"NormalizeInstance", "CenterCrop", "Resample"});
  CHECK(transforms_of(tree, Stage::training, MergeRule::as_ivadomed)["RandomAffine"].contains("preprocessing"));

  const auto parts = split_preprocessing(training);
  CHECK(parts.preprocessing.dump() == R"({"CenterCrop":{"size":[4,4]},"Resample":{"hspace":1}})");
  CHECK(keys_in(parts.remaining) == std::vector<std::string>{"NormalizeInstance", "RandomAffine", "ElasticTransform"});
  CHECK(transforms_of(Json::object(), Stage::testing).empty());
}

TEST_CASE("A transform that is no object, and a set that nobody knows, are errors") {
  CHECK_THROWS_WITH(transforms_of(parse(R"({"transformation": {"CenterCrop": [4, 4]}})"), Stage::training),
                    Contains("transformation.CenterCrop:") && Contains("an object"));
  const Json typo = parse(R"({"transformation": {"Clahe": {"dataset_type": ["train"]}}})");
  CHECK_THROWS_WITH(transforms_of(typo, Stage::training),
                    Contains("transformation.Clahe.dataset_type[0]") && Contains("did you mean \"training\"?"));
  CHECK(transforms_of(typo, Stage::training, MergeRule::as_ivadomed).empty());
  CHECK_THROWS_WITH(
      transforms_of(parse(R"({"transformation": {"Clahe": {"dataset_type": "training"}}})"), Stage::training),
      Contains("dataset_type") && Contains("a list"));
}

TEST_CASE("The model: default_model where no section is applied") {
  const Json model = resolve_model(complete(R"({"model_name": "m", "FiLMedUnet": {"applied": false, "depth": 9},
    "loader_parameters": {"target_suffix": ["_seg"]}})"),
                                   Command::train);
  CHECK(model.dump() == R"({"name":"Unet","dropout_rate":0.3,"bn_momentum":0.1,"depth":3,"is_2d":true,)"
                        R"("folder_name":"m","in_channel":1,"out_channel":1})");
  const auto typed = from_json<ModelParameters>(model, "default_model");
  CHECK(typed.depth == 3);
  CHECK(typed.out_channel == 1);
}

TEST_CASE("The model: channels follow the contrasts of the command, and the classes") {
  const char* const text = R"({"loader_parameters": {"multichannel": true, "target_suffix": ["_a", "_b", ["_c", "_d"]],
    "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T2w", "T2star", "T1w"]}}})";
  const Json tree = complete(text);
  CHECK(resolve_model(tree, Command::train)["in_channel"] == 2);
  CHECK(resolve_model(tree, Command::test)["in_channel"] == 3);
  CHECK(resolve_model(tree, Command::segment)["in_channel"] == 3);
  CHECK(resolve_model(tree, Command::train)["out_channel"] == 4);  // three classes and the background
  CHECK(classes_of(tree) == 3);
  CHECK(channels_of(tree, Command::test) == 3);
  CHECK(contrasts_of(tree, Command::train) == std::vector<std::string>{"T1w", "T2w"});
  CHECK(channels_of(complete(R"({"loader_parameters": {"contrast_params": {"testing": ["a", "b"]}}})"),
                    Command::test) == 1);
  CHECK(resolve_model(complete("{}"), Command::train)["out_channel"] == 0);
}

TEST_CASE("The model: an applied section gives the name and overrides") {
  const Json tree = complete(R"({"UNet3D": {"applied": true, "length_3D": [8, 8, 8], "dropout_rate": 0.1},
                                 "command": "train", "FiLMedUnet": {"applied": false}})");
  const Json model = resolve_model(tree, Command::train);
  CHECK(model["name"] == "Modified3DUNet");
  CHECK(model["is_2d"] == false);
  CHECK(model["dropout_rate"] == 0.1);
  CHECK(model["depth"] == 3);
  CHECK(model["applied"] == true);
  CHECK(model["length_3D"] == parse("[8, 8, 8]"));

  const Json film = resolve_model(complete(R"({"FiLMedUnet": {"applied": true, "film_layers": [1], "depth": 1},
                                               "Modified3DUNet": {"applied": true, "depth": 2}})"),
                                  Command::train);
  CHECK(film["name"] == "Modified3DUNet");  // 3-D FiLM
  CHECK(film["depth"] == 1);                // sections in the fixed order, whatever that of the file
  CHECK(film["film_layers"] == parse("[1]"));
  CHECK(film["is_2d"] == false);
}

TEST_CASE("The model: keys of ivado's own models and of HeMIS come through") {
  const auto resolve = [](const char* text) {
    return from_json<ModelParameters>(resolve_model(complete(text), Command::train), "default_model");
  };
  const auto residual = resolve(R"({"default_model": {"name": "ResidualUnet", "is_2d": false, "max_filters": 64,
                                    "blocks": [1, 1, 1, 1]}})");
  CHECK(residual.name == "ResidualUnet");
  CHECK_FALSE(residual.is_2d);
  CHECK(residual.max_filters == 64);
  CHECK(residual.blocks.size() == 4);
  const auto hemis = resolve(R"({"HeMISUnet": {"applied": true, "contrasts": ["T1w", "T2w"],
                                 "missing_probability": 0.1, "target_lst": ["T2w"]}})");
  CHECK(hemis.name == "HeMISUnet");
  CHECK(hemis.contrasts == std::vector<std::string>{"T1w", "T2w"});
  CHECK(hemis.missing_probability == 0.1);
  CHECK(hemis.is_2d);
  CHECK(resolve(R"({"resnet18": {"applied": true}})").name == "resnet18");
}

TEST_CASE("The model: contradictions are errors") {
  const auto resolve = [](const char* text, MergeRule rule = MergeRule::strict) {
    return resolve_model(complete(text), Command::train, rule);
  };
  CHECK_THROWS_WITH(resolve(R"({"resnet18": {"applied": true}, "FiLMedUnet": {"applied": true}})"),
                    Contains("FiLMedUnet, resnet18") && Contains("all applied"));
  CHECK_THROWS_WITH(resolve(R"({"resnet18": {"applied": true}, "FiLMedUnet": {"applied": true},
                                "Modified3DUNet": {"applied": true}})"),
                    Contains("Modified3DUNet, FiLMedUnet, resnet18"));
  CHECK_THROWS_WITH(resolve(R"({"resnet18": {}})"), Contains("resnet18.applied") && Contains("missing"));
  CHECK_THROWS_WITH(resolve(R"({"resnet18": {"applied": "yes"}})"),
                    Contains("resnet18.applied") && Contains("true or false"));
  CHECK_THROWS_WITH(resolve(R"({"resnet18": 3})"), Contains("resnet18") && Contains("an object"));
  CHECK_THROWS_WITH(resolve(R"({"resnet18": {"applied": true, "name": "Unet"}})"), Contains("resnet18.name"));
  CHECK(resolve(R"({"resnet18": {"applied": true, "name": "Unet"}})", MergeRule::as_ivadomed)["name"] == "Unet");
  CHECK_THROWS_WITH(resolve(R"({"default_model": {"name": 4}})"), Contains("default_model.name"));
  CHECK_THROWS_WITH(resolve(R"({"loader_parameters": {"target_suffix": "_seg"}})"), Contains("target_suffix"));
  CHECK(resolve(R"({"default_model": {"name": "UNet3D"}})")["name"] == "Modified3DUNet");
  CHECK(resolve(R"({"default_model": {"name": "UNet3D"}})")["is_2d"] == false);
  CHECK(resolve(R"({"default_model": {"name": "UNet3D"}})", MergeRule::as_ivadomed)["name"] == "UNet3D");
}

TEST_CASE("The files of the published study hold no key that nobody knows") {
  const char* const from_env = std::getenv("IVADO_DATA_DIR");
#ifdef IVADO_SOURCE_DIR
  const std::filesystem::path beside = std::filesystem::path(IVADO_SOURCE_DIR) / "../shared/data";
#else
  const std::filesystem::path beside = "../shared/data";
#endif
  const std::filesystem::path folder =
      (from_env != nullptr ? std::filesystem::path(from_env) : beside) / "study-results" / "config";
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: there is no " << folder.string());
    return;
  }
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    ++files;
    INFO(entry.path().string());
    const Json user = read_user_configuration(entry.path().string());
    CHECK_NOTHROW(check_keys(user));
    const Json tree = complete_configuration(user);
    CHECK(resolve_model(tree, Command::train)["in_channel"] == 1);
    if (entry.path().filename() == "unet_1xdata.json") {
      CHECK_NOTHROW(configuration_of(tree));  // all that it asks for exists
    }
  }
  CHECK(files > 10);
}
