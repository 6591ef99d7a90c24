#include <algorithm>
#include <cstddef>
#include <ivado/config/ivadomed.hpp>
#include <ivado/config/sections.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// The value at a path such as "a.b.c"; null where there is none.
const Json* find(const Json& tree, const std::string& path) {
  const Json* at = &tree;
  std::istringstream parts(path);
  for (std::string key; std::getline(parts, key, '.');) {
    const auto next = at->is_object() ? at->find(key) : at->end();
    if (next == at->end()) return nullptr;
    at = &*next;
  }
  return at;
}

/// A tree with one value at a path.
Json nested(const std::string& path, const Json& value) {
  const auto dot = path.find('.');
  if (dot == std::string::npos) return Json{{path, value}};
  return Json{{path.substr(0, dot), nested(path.substr(dot + 1), value)}};
}

/// Reads a file that sets one key, as the program does.
Configuration<> read(const std::string& path, const char* value) {
  return configuration_of(complete_configuration(nested(path, Json::parse(value))));
}

/// Stands for the Params of the split.
struct Split {
  int random_seed = 6;
  static constexpr auto fields() {
    return ivado::fields(field<"random_seed", &Split::random_seed>("seed of the split"));
  }
};

struct Case {
  const char* path;
  const char* value;
  const char* words;
};

}  // namespace

TEST_CASE("Every default is that of ivadomed, and every key of ivadomed's defaults is there") {
  const Json theirs = ivadomed_defaults();
  std::size_t shared = 0;
  for (const auto& leaf : leaves<Configuration<>>()) {
    const Json* const their = find(theirs, leaf.path);
    if (their == nullptr || leaf.path == "split_dataset") continue;
    ++shared;
    INFO(leaf.path);
    CHECK(leaf.default_value == *their);
  }
  CHECK(shared == 58);  // counted by hand in the table of configuration.md, section 14

  const auto paths = key_paths<Configuration<>>();
  const std::set<std::string> known(paths.begin(), paths.end());
  CHECK(known.size() == paths.size());
  const auto visit = [&](const auto& self, const Json& tree, const std::string& at) -> void {
    for (const auto& item : tree.items()) {
      const std::string path = at.empty() ? item.key() : at + "." + item.key();
      if (path == "split_dataset" || path == "training_parameters.loss") continue;
      INFO(path);
      CHECK(known.count(path) == 1);
      if (item.value().is_object()) self(self, item.value(), path);
    }
  };
  visit(visit, theirs, {});
}

TEST_CASE("Help, key reference and schema of the whole file hold every key once, with the same default") {
  std::ostringstream help;
  print_help<Configuration<>>(help);
  const std::string reference = key_reference<Configuration<>>();
  const Json whole = schema<Configuration<>>();
  const Json defaults = to_json(Configuration<>{});
  const auto all = leaves<Configuration<>>();
  for (const auto& leaf : all) {
    INFO(leaf.path);
    const std::string row = "| `" + leaf.path + "` |";
    const auto at = reference.find(row);
    REQUIRE(at != std::string::npos);
    CHECK(reference.find(row, at + 1) == std::string::npos);
    const std::string line = "\n  " + leaf.path + "  (";
    const auto in_help = ("\n" + help.str()).find(line);
    REQUIRE(in_help != std::string::npos);
    CHECK(("\n" + help.str()).find(line, in_help + 1) == std::string::npos);
    CHECK(leaf.doc.size() > 10);
    CHECK(leaf.doc.find('|') == std::string_view::npos);  // it would break the table

    std::string in_schema = "properties.";
    for (const char c : leaf.path) in_schema += c == '.' ? std::string(".properties.") : std::string(1, c);
    const Json* const described = find(whole, in_schema);
    REQUIRE(described != nullptr);
    CHECK((*described)["default"] == leaf.default_value);
    REQUIRE(find(defaults, leaf.path) != nullptr);
    CHECK(*find(defaults, leaf.path) == leaf.default_value);
    CHECK_THAT((*described)["description"].get<std::string>(), Contains(std::string(leaf.doc)));
  }
  CHECK(std::count(reference.begin(), reference.end(), '\n') == static_cast<std::ptrdiff_t>(all.size() + 2));
}

TEST_CASE("The whole configuration: written is read, and the defaults of ivadomed are valid") {
  const auto defaults = configuration_of(ivadomed_defaults());
  CHECK(defaults.split_dataset["random_seed"] == 6);
  CHECK(defaults.training_parameters.loss.dump() == R"({"name":"DiceLoss"})");
  CHECK(defaults.seed == 42);
  CHECK_FALSE(defaults.threads.has_value());
  CHECK(same(from_json<Configuration<>>(to_json(defaults), ""), defaults));
  CHECK_FALSE(same(defaults, Configuration<>{}));  // the split is left to its own room
}

TEST_CASE("Values of the sections are read as they stand") {
  const auto c = configuration_of(complete_configuration(Json::parse(R"({
    "command": "segment", "seed": 18446744073709551615, "threads": 3,
    "loader_parameters": {
      "path_data": "one/folder", "target_suffix": ["_seg", ["_lesion"]], "slice_axis": "sagittal",
      "roi_params": {"suffix": "_roi", "slice_filter_roi": 10},
      "contrast_params": {"training_validation": ["T1w", "T2w"], "balance": {"T2w": 0.5, "T1w": 1}},
      "subject_selection": {"n": [2, 1], "metadata": ["center", "age"], "value": ["A", 42]},
      "cache_mib": 0, "workers": 4, "grid_tolerance_mm": 0
    },
    "training_parameters": {"batch_size": 2, "loss": {"name": "FocalLoss", "gamma": 2}, "mixup_alpha": 0,
                            "balance_samples": false,
                            "scheduler": {"lr_scheduler": {"eta_min": 1e-6}}},
    "default_model": {"depth": 2, "final_activation": "softmax", "n_filters": 8},
    "FiLMedUnet": {"applied": false, "metadata": "contrasts", "film_layers": [0, 1]},
    "object_detection_params": null
  })")));
  CHECK(c.command == Command::segment);
  CHECK(c.seed == 18446744073709551615ULL);
  CHECK(c.threads == 3);
  CHECK(c.loader_parameters.path_data.values == std::vector<std::string>{"one/folder"});
  CHECK(c.loader_parameters.target_suffix.classes() == 2);
  CHECK(c.loader_parameters.target_suffix.first_raters() == std::vector<std::string>{"_seg", "_lesion"});
  CHECK_FALSE(c.loader_parameters.target_suffix.has_several_raters());
  CHECK(to_json(c.loader_parameters.target_suffix).dump() == R"(["_seg","_lesion"])");
  CHECK(c.loader_parameters.slice_axis == Axis::sagittal);
  CHECK(c.loader_parameters.roi_params.slice_filter_roi == 10);
  CHECK(c.loader_parameters.contrast_params.balance.of("T2w") == 0.5);
  CHECK(c.loader_parameters.contrast_params.balance.of("T2star") == 1);
  CHECK(to_json(c.loader_parameters.contrast_params.balance).dump() == R"({"T2w":0.5,"T1w":1.0})");
  CHECK(c.loader_parameters.subject_selection.value[0].text() == "A");
  CHECK(c.loader_parameters.subject_selection.value[1].text() == "42");
  CHECK(c.loader_parameters.cache_mib == 0);
  CHECK(c.training_parameters.loss.dump() == R"({"name":"FocalLoss","gamma":2})");
  CHECK(c.training_parameters.mixup_alpha == 0.0);
  CHECK(c.training_parameters.scheduler.lr_scheduler.eta_min == 1e-6);
  CHECK(c.default_model.final_activation.value == "softmax");
  CHECK(c.default_model.n_filters == 8);
  REQUIRE(c.FiLMedUnet.has_value());
  CHECK_FALSE(c.FiLMedUnet->applied());
  CHECK(c.FiLMedUnet->keys["film_layers"].size() == 2);
  CHECK_FALSE(c.resnet18.has_value());
}

TEST_CASE("Keys of ivadomed's HDF5 file are no error, and the warning says what to do instead") {
  const Json user = Json::parse(
      R"({"HeMISUnet": {"applied": true, "path_hdf5": "samples.hdf5", "csv_path": "samples.csv", "ram": true}})");
  const auto silent = check_keys<Configuration<>>(user);
  CHECK(silent == std::vector<std::string>{"HeMISUnet.path_hdf5", "HeMISUnet.csv_path", "HeMISUnet.ram"});
  CHECK_THAT(warning_without_effect(silent),
             Contains("HeMISUnet.path_hdf5") && Contains("ivado pack") && Contains("loader_parameters.path_data"));
  CHECK_THAT(warning_without_effect({"HeMISUnet.ram"}), !Contains("ivado pack"));
  CHECK_NOTHROW(configuration_of(complete_configuration(user)));
}

TEST_CASE("Every model and schedule of ivadomed is taken by name, and so are ivado's own") {
  const std::string model = GENERATE("Unet", "Modified3DUNet", "HeMISUnet", "FiLMedUnet", "resnet18", "densenet121",
                                     "Countception", "ResidualUnet", "resnet34", "resnet50", "resnet101", "resnet152",
                                     "densenet161", "densenet169", "densenet201");
  CHECK(read("default_model.name", Json(model).dump().c_str()).default_model.name == model);
  const std::string schedule = GENERATE("CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR");
  const auto c = read("training_parameters.scheduler.lr_scheduler.name", Json(schedule).dump().c_str());
  CHECK(enum_name(c.training_parameters.scheduler.lr_scheduler.name) == schedule);
}

TEST_CASE("Keys of models, transfer learning and key points are read as they stand") {
  const auto c = configuration_of(complete_configuration(Json::parse(R"({
    "training_parameters": {"transfer_learning": {"retrain_model": "a.pt", "retrain_fraction": 0, "reset": false},
                            "scheduler": {"lr_scheduler": {"name": "CyclicLR", "step_size_up": 20, "T_mult": 2}}},
    "default_model": {"is_2d": false, "length_3D": [32, 32, 16], "stride_3D": [16, 16, 16], "max_filters": 64,
                      "blocks": [1, 2], "fc_dropout_rate": 0.5, "attention": true, "background": true,
                      "as_ivadomed": true, "film_layers": [0, 1]},
    "HeMISUnet": {"applied": false, "contrasts": ["T1w"], "missing_probability": 0.1,
                  "missing_probability_growth": 0.9},
    "evaluation_parameters": {"keypoints": true, "keypoint_distance_mm": 2.5}
  })")));
  const TransferLearning& transfer = c.training_parameters.transfer_learning;
  CHECK(transfer.retrain_model == "a.pt");
  CHECK(transfer.retrain_fraction == 0);
  CHECK_FALSE(transfer.reset);
  CHECK(c.training_parameters.scheduler.lr_scheduler.step_size_up == 20);
  const ModelParameters& model = c.default_model;
  CHECK_FALSE(model.is_2d);
  CHECK(model.length_3D == std::vector<std::int64_t>{32, 32, 16});
  CHECK(model.max_filters == 64);
  CHECK(model.blocks == std::vector<int>{1, 2});
  CHECK(model.fc_dropout_rate == 0.5);
  CHECK(model.attention);
  CHECK(model.background == true);
  CHECK(model.as_ivadomed);
  CHECK(model.film_layers == std::vector<int>{0, 1});
  CHECK(c.evaluation_parameters.keypoints == true);
  CHECK(c.evaluation_parameters.keypoint_distance_mm == 2.5);

  const auto defaults = configuration_of(ivadomed_defaults());
  CHECK_FALSE(defaults.training_parameters.transfer_learning.retrain_model.has_value());
  CHECK(defaults.training_parameters.transfer_learning.reset);
  CHECK_FALSE(defaults.default_model.max_filters.has_value());
  CHECK(defaults.default_model.blocks.empty());
  CHECK_FALSE(defaults.default_model.background.has_value());
  CHECK_FALSE(defaults.evaluation_parameters.keypoints.has_value());
  CHECK(defaults.evaluation_parameters.keypoint_distance_mm == 10);
}

TEST_CASE("The section of a model must say whether it is applied, and its values count only then") {
  const std::string name =
      GENERATE("Modified3DUNet", "HeMISUnet", "FiLMedUnet", "resnet18", "densenet121", "Countception");
  CHECK_NOTHROW(read(name + ".applied", "true"));
  CHECK_NOTHROW(read(name + ".applied", "false"));
  const auto section = [&](const char* text) {
    return configuration_of(complete_configuration(Json{{name, Json::parse(text)}}));
  };
  CHECK_NOTHROW(section(R"({"applied": true, "attention": true, "film_layers": [0, 1], "length_3D": [1, 2, 3]})"));
  CHECK_NOTHROW(section(R"({"applied": false, "ram": true})"));
  CHECK_NOTHROW(section(R"({"applied": true, "ram": true})"));
  CHECK_THROWS_WITH(section(R"({"applied": true, "depth": 0})"), Contains(name + ".depth") && Contains(">= 1"));
  CHECK_THROWS_WITH(read(name + ".n_filters", "3"), Contains(name + ".applied:") && Contains("it is missing"));
  CHECK_THROWS_WITH(section(R"({"applied": false, "n_filtres": 3})"),
                    Contains(name + ".n_filtres:") && Contains("\"n_filters\""));
  CHECK_THROWS_WITH(read(name + ".applied", "1"), Contains(name + ".applied:") && Contains("true or false"));
  CHECK_THROWS_WITH(read(name, "true"), Contains(name + ":") && Contains("an object with the key \"applied\""));
}

TEST_CASE("Values outside their limits and of wrong types are errors with their path") {
  const auto wrong = GENERATE(values<Case>({
      {"command", "\"tset\"", "did you mean \"test\"?"},  // known-problems B1.4
      {"gpu_ids", "[-1]", ">= 0"},
      {"seed", "-1", ">= 0"},
      {"threads", "0", ">= 1"},
      {"object_detection_params.safety_factor", "[1, 1]", "3 values"},
      {"loader_parameters.path_data", "[]", "folder"},
      {"loader_parameters.path_data", "{}", "text or list of text"},
      {"loader_parameters.path_data", "3", "text"},
      {"loader_parameters.target_suffix", "\"_seg\"", "list of text"},
      {"loader_parameters.target_suffix", "[[]]", "ending of a label file"},
      {"loader_parameters.target_suffix", "[\"\"]", "ending of a label file"},
      {"loader_parameters.roi_params.slice_filter_roi", "-1", ">= 0"},
      {"loader_parameters.contrast_params.balance.T2w", "1.5", "(0, 1]"},
      {"loader_parameters.contrast_params.balance.T2w", "0", "(0, 1]"},
      {"loader_parameters.slice_axis", "\"saggital\"", "did you mean \"sagittal\"?"},
      {"loader_parameters.grid_tolerance_mm", "-0.1", ">= 0"},
      {"loader_parameters.cache_mib", "-1", ">= 0"},
      {"loader_parameters.workers", "-1", ">= 0"},
      {"loader_parameters.prefetch", "0", ">= 1"},
      {"training_parameters.batch_size", "0", ">= 1"},
      {"training_parameters.training_time.num_epochs", "0", ">= 1"},
      {"training_parameters.training_time.early_stopping_patience", "0", ">= 1"},
      {"training_parameters.training_time.early_stopping_epsilon", "-1", ">= 0"},
      {"training_parameters.scheduler.initial_lr", "0", "> 0"},
      {"training_parameters.scheduler.lr_scheduler.name", "\"StepLR\"", "one of \"CosineAnnealingLR\""},
      {"training_parameters.scheduler.lr_scheduler.eta_min", "0.5", "above initial_lr"},
      {"training_parameters.scheduler.lr_scheduler.T_0", "0", ">= 1"},
      {"training_parameters.scheduler.lr_scheduler.T_mult", "0", ">= 1"},
      {"training_parameters.scheduler.lr_scheduler.step_size_up", "0", ">= 1"},
      {"training_parameters.scheduler.lr_scheduler.base_lr", "-1", ">= 0"},
      {"training_parameters.transfer_learning.retrain_fraction", "1.1", "in [0, 1]"},
      {"training_parameters.transfer_learning.retrain_fraction", "-0.1", "in [0, 1]"},
      {"training_parameters.transfer_learning.retrain_model", "3", "text"},
      {"training_parameters.mixup_alpha", "-1", ">= 0"},
      {"default_model.name", "\"Unett\"", "did you mean \"Unet\"?"},
      {"default_model.dropout_rate", "1", "in [0, 1)"},
      {"default_model.bn_momentum", "1.5", "in [0, 1]"},
      {"default_model.depth", "0", ">= 1"},
      {"default_model.final_activation", "\"softmaxx\"", "did you mean \"softmax\"?"},
      {"default_model.max_filters", "0", ">= 1"},
      {"default_model.blocks", "[1, 0]", ">= 1"},
      {"default_model.blocks", "3", "list"},
      {"default_model.fc_dropout_rate", "1", "in [0, 1)"},
      {"default_model.film_layers", "[0, 2]", "in [0, 1]"},
      {"default_model.missing_probability", "1.5", "in [0, 1]"},
      {"default_model.missing_probability_growth", "0", "> 0"},
      {"default_model.length_3D", "[32, 0, 16]", ">= 1"},
      {"default_model.mirror_axes", "[0, 3]", "in [0, 2]"},
      {"default_model.mirror_axes", "[1, 1]", "each axis once"},
      {"uncertainty.n_it", "-1", ">= 0"},
      {"evaluation_parameters.keypoints", "\"yes\"", "true or false"},
      {"evaluation_parameters.keypoint_distance_mm", "0", "> 0"},
      {"evaluation_parameters.overlap.unit", "\"cm3\"", "one of \"vox\", \"mm3\", \"ratio\""},
  }));
  INFO(wrong.path);
  CHECK_THROWS_WITH(read(wrong.path, wrong.value),
                    Contains(std::string("configuration key ") + wrong.path) && Contains(wrong.words));
}

TEST_CASE("Uncertainty is on with at least two predictions and something random about them") {
  const auto section = [](const char* text) {
    return configuration_of(complete_configuration(Json{{"uncertainty", Json::parse(text)}})).uncertainty;
  };
  CHECK_FALSE(section("{}").is_on());
  CHECK_FALSE(section(R"({"epistemic": true})").is_on());
  CHECK_FALSE(section(R"({"n_it": 20})").is_on());
  CHECK_FALSE(section(R"({"n_it": 1})").is_on());
  CHECK(section(R"({"epistemic": true, "n_it": 2})").is_on());
  CHECK(section(R"({"aleatoric": true, "n_it": 20})").is_on());
  for (const char* alone : {R"({"epistemic": true, "n_it": 1})", R"({"aleatoric": true, "n_it": 1})"})
    CHECK_THROWS_WITH(section(alone), Contains("uncertainty.n_it") &&
                                          Contains("a single prediction agrees with itself") && Contains("at least 2"));
}

TEST_CASE("A loss without a name, and a draw of subjects with unequal lists, are errors") {
  Json tree = ivadomed_defaults();
  tree["training_parameters"]["loss"] = Json{{"gamma", 2}};
  CHECK_THROWS_WITH(configuration_of(tree), Contains("training_parameters.loss") && Contains("\"name\""));
  tree["training_parameters"]["loss"] = 3;
  CHECK_THROWS_WITH(configuration_of(tree), Contains("training_parameters.loss") && Contains("found 3"));

  tree = ivadomed_defaults();
  tree["loader_parameters"]["subject_selection"] = Json::parse(R"({"n": [1], "metadata": ["c"], "value": []})");
  CHECK_THROWS_WITH(configuration_of(tree), Contains("loader_parameters.subject_selection") &&
                                                Contains("n has 1 entries, metadata 1, value 0"));
  tree["loader_parameters"]["subject_selection"] = Json::parse(R"({"n": [1], "metadata": ["c"], "value": [null]})");
  CHECK_THROWS_WITH(configuration_of(tree), Contains("subject_selection.value[0]") && Contains("text or number"));
}

TEST_CASE("With the types of other rooms the configuration looks into their sections") {
  using Whole = Configuration<Split>;
  CHECK(inspect_keys<Whole>(Json{{"split_dataset", {{"random_sed", 1}}}}).unknown ==
        std::vector<std::string>{"split_dataset.random_sed"});
  CHECK_THAT(key_reference<Whole>(), Contains("| `split_dataset.random_seed` | whole number | `6` |"));
  CHECK(from_json<Whole>(Json{{"split_dataset", {{"random_seed", 9}}}}, "").split_dataset.random_seed == 9);
}
