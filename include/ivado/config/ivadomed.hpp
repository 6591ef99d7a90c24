// ivadomed's configuration file as a tree of JSON: defaults, old names, merging, transforms of a set, the model's
// section.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../data/sample.hpp"
#include "../inline.hpp"
#include "json.hpp"
#include "params.hpp"
#include "sections.hpp"

namespace ivado {

/// How a file is read where ivadomed drops or ignores in silence what a user wrote.
enum class MergeRule {
  strict,       ///< an error that names the key
  as_ivadomed,  ///< as ivadomed 2.9.10 does it
};

/// The built-in default tree of ivadomed 2.9.10, with its order of keys.
[[nodiscard]] IVADO_INLINE Json ivadomed_defaults() {
  return Json::parse(R"({
    "command": "train",
    "gpu_ids": [0],
    "path_output": "path_output",
    "model_name": "my_model",
    "debugging": false,
    "log_file": "log",
    "object_detection_params": {"object_detection_path": null, "safety_factor": [1.0, 1.0, 1.0]},
    "wandb": {
      "wandb_api_key": "",
      "project_name": "my_project",
      "group_name": "my_group",
      "run_name": "run-1",
      "log_grads_every": 100
    },
    "loader_parameters": {
      "path_data": ["path_data"],
      "subject_selection": {"n": [], "metadata": [], "value": []},
      "target_suffix": [],
      "extensions": [],
      "roi_params": {"suffix": null, "slice_filter_roi": null},
      "contrast_params": {"training_validation": [], "testing": [], "balance": {}},
      "slice_filter_params": {"filter_empty_mask": false, "filter_empty_input": true},
      "patch_filter_params": {"filter_empty_mask": false, "filter_empty_input": false},
      "slice_axis": "axial",
      "multichannel": false,
      "soft_gt": false,
      "is_input_dropout": false
    },
    "split_dataset": {
      "fname_split": null,
      "random_seed": 6,
      "split_method": "participant_id",
      "data_testing": {"data_type": null, "data_value": []},
      "balance": null,
      "train_fraction": 0.6,
      "test_fraction": 0.2
    },
    "training_parameters": {
      "batch_size": 18,
      "loss": {"name": "DiceLoss"},
      "training_time": {"num_epochs": 100, "early_stopping_patience": 50, "early_stopping_epsilon": 0.001},
      "scheduler": {
        "initial_lr": 0.001,
        "lr_scheduler": {"name": "CosineAnnealingLR", "base_lr": 1e-05, "max_lr": 0.01}
      },
      "balance_samples": {"applied": false, "type": "gt"},
      "mixup_alpha": null,
      "transfer_learning": {"retrain_model": null, "retrain_fraction": 1.0, "reset": true}
    },
    "default_model": {"name": "Unet", "dropout_rate": 0.3, "bn_momentum": 0.1, "depth": 3, "is_2d": true},
    "uncertainty": {"epistemic": false, "aleatoric": false, "n_it": 0},
    "postprocessing": {},
    "evaluation_parameters": {"object_detection_metrics": true},
    "transformation": {}
  })");
}

/// Gives keys of older versions their present names, at every level and in their place:
/// UNet3D → Modified3DUNet, bids_path → path_data, log_directory → path_output; NumpyToTensor is taken out.
///
/// @param rule  strict: everywhere, and old and new name side by side are an error. as_ivadomed: only in objects that
/// hold
///              at least one value that is not an object (known-problems B1.6), and the old name's value wins
/// @throws Error (usage) if an object has both names
IVADO_INLINE void rename_old_keys(Json& tree, MergeRule rule = MergeRule::strict, const std::string& path = {}) {
  if (!tree.is_object()) return;
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 3> new_names{
      {{"UNet3D", "Modified3DUNet"}, {"bids_path", "path_data"}, {"log_directory", "path_output"}}};

  const bool is_renamed = rule == MergeRule::strict ||
                          std::any_of(tree.begin(), tree.end(), [](const Json& value) { return !value.is_object(); });
  Json out = Json::object();
  for (auto& item : tree.items()) {
    std::string key = item.key();
    if (is_renamed) {
      if (key == "NumpyToTensor") continue;
      for (const auto& [old_name, new_name] : new_names) {
        if (key != old_name) continue;
        if (rule == MergeRule::strict && tree.contains(std::string(new_name)))
          throw usage_error("reading the configuration key " + detail::join_path(path, key),
                            "it is an old name of \"" + std::string(new_name) + "\", which stands beside it",
                            "keep one of them");
        key = new_name;
      }
    }
    const bool is_overruled = key == item.key() && out.contains(key);  // its old name came first
    if (!is_overruled) out[key] = std::move(item.value());
  }
  tree = std::move(out);
  for (auto& item : tree.items()) rename_old_keys(item.value(), rule, detail::join_path(path, item.key()));
}

namespace detail {

/// True if `null` stands for the default of this object, which asks for nothing.
[[nodiscard]] IVADO_INLINE bool null_means_off(std::string_view path) {
  static constexpr std::array<std::string_view, 10> paths{"object_detection_params",
                                                          "wandb",
                                                          "uncertainty",
                                                          "postprocessing",
                                                          "transformation",
                                                          "loader_parameters.subject_selection",
                                                          "loader_parameters.roi_params",
                                                          "loader_parameters.contrast_params.balance",
                                                          "training_parameters.balance_samples",
                                                          "training_parameters.transfer_learning"};
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

/// Merges a value that is no object into a default that is one.
IVADO_INLINE void merge_shorthand(Json& defaults, const Json& user, const std::string& path) {
  if (user.is_boolean() && defaults.contains("applied")) {
    defaults["applied"] = user;
  } else if (user.is_string() && defaults.contains("name")) {
    defaults["name"] = user;
  } else if (!(user.is_null() && null_means_off(path))) {
    std::string expected = "an object";
    if (defaults.contains("applied")) expected += ", or true or false for its key \"applied\" alone";
    if (defaults.contains("name")) expected += ", or text for its key \"name\" alone";
    if (null_means_off(path)) expected += ", or null for none";
    throw value_error(path, user, expected);
  }
}

IVADO_INLINE void merge_into(Json& defaults, const Json& user, MergeRule rule, const std::string& path) {
  for (const auto& item : user.items()) {
    const std::string here = join_path(path, item.key());
    const auto found = defaults.find(item.key());
    if (found == defaults.end()) {
      defaults[item.key()] = item.value();
    } else if (!found->is_object()) {
      *found = item.value();
    } else if (item.value().is_object()) {
      merge_into(*found, item.value(), rule, here);
    } else if (rule == MergeRule::strict) {
      merge_shorthand(*found, item.value(), here);
    }
  }
}

}  // namespace detail

/// A user's tree merged into the defaults, key by key.
///
/// Objects are merged, all else is replaced: lists whole. Keys of the defaults keep their order and come first; the
/// user's others follow in his order, so that the order of `transformation` and `postprocessing`, which are empty by
/// default, is his.
///
/// @param rule  what to do with a value that is no object where the default is one. as_ivadomed: it is dropped
///              (known-problems B1.2). strict: an error, except for the shorthands true and false for `applied`
///              ("balance_samples": false), text for `name` ("loss": "DiceLoss"), and null where the default asks for
///              nothing ("postprocessing": null)
/// @throws Error (usage) with the key path
[[nodiscard]] IVADO_INLINE Json merge(Json defaults, const Json& user, MergeRule rule = MergeRule::strict) {
  if (!user.is_object()) throw usage_error("reading the configuration", "it is not a JSON object", "begin it with {");
  detail::merge_into(defaults, user, rule, {});
  return defaults;
}

/// Turns the old keys `method` and `center_test` of a merged tree's `split_dataset` into `data_testing`, and takes them
/// out.
///
/// `method` "per_center" makes `data_testing.data_type` "institution_id"; then `center_test` becomes
/// `data_testing.data_value`.
/// @param rule  as_ivadomed: any other `method` has no effect, nor has `center_test` without institution_id
/// @throws Error (usage), where the rule is strict, for what would have no effect
IVADO_INLINE void update_old_split(Json& tree, MergeRule rule = MergeRule::strict) {
  const auto split = tree.find("split_dataset");
  if (split == tree.end() || !split->is_object()) return;
  const auto take = [&](const char* key) {
    const auto found = split->find(key);
    if (found == split->end()) return Json();
    Json value = *found;
    split->erase(key);
    return value;
  };
  const Json method = take("method");
  const Json centers = take("center_test");
  if (rule == MergeRule::strict && !method.is_null() && method != "per_center" && method != "per_patient")
    throw detail::value_error("split_dataset.method", method,
                              "the old names \"per_patient\" or \"per_center\"; the present key is \"split_method\"");
  if (method == "per_center") (*split)["data_testing"]["data_type"] = "institution_id";
  if (centers.is_null()) return;
  const auto testing = split->find("data_testing");
  const bool by_center = testing != split->end() && testing->is_object() && testing->contains("data_type") &&
                         (*testing)["data_type"] == "institution_id";
  if (by_center)
    (*testing)["data_value"] = centers;
  else if (rule == MergeRule::strict && !centers.empty())
    throw detail::value_error("split_dataset.center_test", centers,
                              "this old key only beside \"method\": \"per_center\"; the present keys are "
                              "data_testing.data_type and data_testing.data_value");
}

/// A user's tree with old names replaced, before any default is merged into it.
/// @throws Error (usage) if the path is not there, is a folder or another thing than a regular file, is named .yaml,
/// .yml or
///         anything but .json, or does not hold a JSON object
[[nodiscard]] IVADO_INLINE Json read_user_configuration(const std::string& path, MergeRule rule = MergeRule::strict) {
  const std::string doing = "reading the configuration " + path;
  const auto ends_with = [&](std::string_view ending) {
    return path.size() >= ending.size() && path.compare(path.size() - ending.size(), ending.size(), ending) == 0;
  };
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) throw usage_error(doing, "there is no such file", "check the path");
  if (std::filesystem::is_directory(status)) throw usage_error(doing, "it is a folder", "name the .json file in it");
  if (!std::filesystem::is_regular_file(status))
    throw usage_error(doing, "it is not a regular file", "name a .json file");
  if (ends_with(".yaml") || ends_with(".yml"))
    throw usage_error(doing, "YAML is not supported", "write the configuration as .json");
  if (!ends_with(".json"))
    throw usage_error(doing, "its name does not end in .json", "write the configuration as .json");
  Json user = read_json(path);
  if (!user.is_object()) throw usage_error(doing, "it does not hold a JSON object", "begin it with {");
  rename_old_keys(user, rule);
  return user;
}

/// A user's tree (of `read_user_configuration`) with the defaults, and the split's old keys replaced.
/// @throws Error (usage) with the key path
[[nodiscard]] IVADO_INLINE Json complete_configuration(const Json& user, MergeRule rule = MergeRule::strict) {
  Json tree = merge(ivadomed_defaults(), user, rule);
  update_old_split(tree, rule);
  return tree;
}

/// Reads a configuration file: checks, old names, defaults.
/// @throws Error (usage)
[[nodiscard]] IVADO_INLINE Json read_configuration(const std::string& path, MergeRule rule = MergeRule::strict) {
  return complete_configuration(read_user_configuration(path, rule), rule);
}

/// The paths of the defaults that a user's tree does not set, in order: what `debugging` prints.
[[nodiscard]] IVADO_INLINE std::vector<std::string> keys_left_at_default(const Json& user) {
  std::vector<std::string> out;
  const auto visit = [&](const auto& self, const Json& defaults, const Json& given, const std::string& path) -> void {
    for (const auto& item : defaults.items()) {
      const std::string here = detail::join_path(path, item.key());
      const bool is_given = given.is_object() && given.contains(item.key());
      const bool descends = item.value().is_object() && !item.value().empty();
      if (descends && (!is_given || given[item.key()].is_object()))
        self(self, item.value(), is_given ? given[item.key()] : Json::object(), here);
      else if (!is_given)
        out.push_back(here);
    }
  };
  visit(visit, ivadomed_defaults(), user, {});
  return out;
}

namespace detail {

[[nodiscard]] IVADO_INLINE std::pair<std::string, std::string> split_path(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  if (dot == std::string::npos) return {std::string(), path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

/// The valid path nearest to one that nobody knows: its name misspelt in the same object, or at home in another one.
[[nodiscard]] IVADO_INLINE std::string nearest_path(const std::string& unknown, const std::vector<std::string>& valid) {
  const auto [parent, name] = split_path(unknown);
  std::string best;
  std::size_t best_cost = static_cast<std::size_t>(-1);
  for (const auto& candidate : valid) {
    const auto [candidate_parent, candidate_name] = split_path(candidate);
    const std::size_t distance = edit_distance(name, candidate_name);
    const bool is_sibling = candidate_parent == parent;
    if (!is_sibling && distance > name.size() / 4) continue;  // in another object only what is nearly the same word
    const std::size_t cost = 2 * distance + (is_sibling ? 0 : 3);
    if (cost < best_cost) {
      best_cost = cost;
      best = candidate;
    }
  }
  return best;
}

}  // namespace detail

/// Looks at the keys of a user's tree (of `read_user_configuration`).
///
/// @tparam Whole  the whole configuration; sections that are plain JSON in it are not looked into
/// @return the paths of keys that are valid in ivadomed and have no effect here, for one warning
/// @throws Error (usage) that names every key that nobody knows, each with the nearest valid one
template <Reflected Whole = Configuration<>>
[[nodiscard]] std::vector<std::string> check_keys(const Json& user) {
  const KeyReport report = inspect_keys<Whole>(user);
  if (report.unknown.empty()) return report.without_effect;
  const auto valid = key_paths<Whole>();
  std::string all;
  std::string hints;
  for (const auto& path : report.unknown) {
    const std::string hint = detail::nearest_path(path, valid);
    all += (all.empty() ? "" : ", ") + path;
    if (!hint.empty()) hints += (hints.empty() ? "did you mean \"" : ", \"") + hint + "\"";
  }
  const bool is_one = report.unknown.size() == 1;
  throw usage_error("reading the configuration key" + (is_one ? " " + all : "s " + all),
                    is_one ? "there is no such key" : "there are no such keys", hints.empty() ? hints : hints + "?");
}

/// The one warning about keys without effect; empty where there is none. Where one named ivadomed's HDF5 file, it says
/// what to do instead.
[[nodiscard]] IVADO_INLINE std::string warning_without_effect(const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  std::string all;
  for (const auto& key : keys) all += (all.empty() ? "" : ", ") + key;
  const bool names_hdf5 =
      std::any_of(keys.begin(), keys.end(), [](const auto& key) { return key.ends_with(".path_hdf5"); });
  return "warning: valid in ivadomed, without effect in ivado: " + all +
         (names_hdf5 ? "; to train from one HDF5 file, make it with ivado pack (or take that of ivadomed) and name it "
                       "with -pd or as loader_parameters.path_data"
                     : "");
}

/// The name of a stage in `dataset_type`.
template <>
struct EnumNames<Stage> {
  static constexpr std::array values{std::pair{std::string_view{"training"}, Stage::training},
                                     std::pair{std::string_view{"validation"}, Stage::validation},
                                     std::pair{std::string_view{"testing"}, Stage::testing}};
};

/// The part of `transformation` that one set uses, in the order of the file, without the keys `dataset_type` and
/// `preprocessing` (an old key that has no effect).
///
/// A transform without `dataset_type` belongs to every set.
/// @param rule  as_ivadomed: `preprocessing` stays, and a `dataset_type` that nobody knows is ignored
/// @throws Error (usage) if a transform's parameters are no object or its `dataset_type` no list of sets
[[nodiscard]] IVADO_INLINE Json transforms_of(const Json& tree, Stage stage, MergeRule rule = MergeRule::strict) {
  Json out = Json::object();
  const auto transformation = tree.find("transformation");
  if (transformation == tree.end()) return out;
  for (const auto& item : transformation->items()) {
    const std::string path = "transformation." + item.key();
    if (!item.value().is_object())
      throw detail::value_error(path, item.value(), "an object with the parameters of the transform, {} for none");
    Json parameters = item.value();
    bool is_used = true;
    if (const auto sets = parameters.find("dataset_type"); sets != parameters.end()) {
      if (rule == MergeRule::strict) {
        const auto stages = from_json<std::vector<Stage>>(*sets, path + ".dataset_type");
        is_used = std::find(stages.begin(), stages.end(), stage) != stages.end();
      } else {
        is_used = std::find(sets->begin(), sets->end(), Json(std::string(enum_name(stage)))) != sets->end();
      }
      parameters.erase("dataset_type");
    }
    if (rule == MergeRule::strict) parameters.erase("preprocessing");
    if (is_used) out[item.key()] = std::move(parameters);
  }
  return out;
}

/// The transforms of one set in the two parts in which they run.
struct TransformParts {
  Json preprocessing = Json::object();  ///< run once, before all others, whatever their place in the file
  Json remaining = Json::object();      ///< run on each sample
};

/// Splits the transforms of one set (of `transforms_of`): Resample, CenterCrop and ROICrop come first. Order is kept in
/// both.
[[nodiscard]] IVADO_INLINE TransformParts split_preprocessing(const Json& transforms) {
  TransformParts parts;
  for (const auto& item : transforms.items()) {
    const bool first = item.key() == "Resample" || item.key() == "CenterCrop" || item.key() == "ROICrop";
    (first ? parts.preprocessing : parts.remaining)[item.key()] = item.value();
  }
  return parts;
}

/// The contrasts that a command uses: `training_validation` for train, `testing` for test and segment.
/// @param tree  a merged tree
[[nodiscard]] IVADO_INLINE std::vector<std::string> contrasts_of(const Json& tree, Command command) {
  const char* const key = command == Command::train ? "training_validation" : "testing";
  return from_json<std::vector<std::string>>(tree.at("loader_parameters").at("contrast_params").at(key),
                                             std::string("loader_parameters.contrast_params.") + key);
}

/// Input channels of the model: the contrasts if `multichannel`, else one.
/// @param tree  a merged tree
[[nodiscard]] IVADO_INLINE int channels_of(const Json& tree, Command command) {
  const bool multichannel =
      from_json<bool>(tree.at("loader_parameters").at("multichannel"), "loader_parameters.multichannel");
  return multichannel ? static_cast<int>(contrasts_of(tree, command).size()) : 1;
}

/// Classes of the labels, without background: the entries of `target_suffix`.
/// @param tree  a merged tree
[[nodiscard]] IVADO_INLINE int classes_of(const Json& tree) {
  const Json& suffixes = tree.at("loader_parameters").at("target_suffix");
  if (!suffixes.is_array())
    throw detail::value_error("loader_parameters.target_suffix", suffixes, TargetSuffixes::type_name());
  return static_cast<int>(suffixes.size());
}

/// The parameters of the model that a configuration chooses: `default_model`, overridden by the section that is
/// applied, with `name`, `folder_name`, `in_channel` and `out_channel`.
///
/// With no section applied, `default_model.name` is the model. Modified3DUNet and FiLMedUnet may be applied together:
/// the result is Modified3DUNet with FiLM. `is_2d` is false for Modified3DUNet. `out_channel` counts a background
/// channel where there are several classes, as ivadomed does; `classes_of` is the number without it.
///
/// @param tree  a merged tree
/// @param rule  strict: the old class name UNet3D is understood in `default_model.name`
/// @throws Error (usage) if two other sections are applied, a section does not say whether it is, or names another
/// model
[[nodiscard]] IVADO_INLINE Json resolve_model(const Json& tree, Command command, MergeRule rule = MergeRule::strict) {
  Json model = tree.at("default_model");
  if (!model.is_object()) throw detail::value_error("default_model", model, "an object");
  model["folder_name"] = tree.at("model_name");
  if (rule == MergeRule::strict && model.value("name", Json()) == "UNet3D") model["name"] = "Modified3DUNet";

  std::vector<std::string> applied;
  for (const auto& candidate : model_names) {
    const std::string name(candidate.name);
    const auto section = tree.find(name);
    if (!candidate.has_section || section == tree.end() || section->is_null()) continue;
    if (!section->is_object()) throw detail::value_error(name, *section, "an object with the key \"applied\"");
    if (!section->contains("applied"))
      throw usage_error("reading the configuration key " + name + ".applied", "it is missing",
                        "set it to true to use this model, else to false");
    if (from_json<bool>((*section)["applied"], name + ".applied")) applied.push_back(name);
  }
  const bool is_film_3d = applied == std::vector<std::string>{"Modified3DUNet", "FiLMedUnet"};
  if (applied.size() > 1 && !is_film_3d) {
    std::string all;
    for (const auto& name : applied) all += (all.empty() ? "" : ", ") + name;
    throw usage_error("choosing the model", "the sections " + all + " are all applied",
                      "set \"applied\" to true in one of them, or in Modified3DUNet and FiLMedUnet");
  }
  if (!applied.empty()) model["name"] = applied.front();
  for (const auto& name : applied) {
    const Json& section = tree.at(name);
    if (rule == MergeRule::strict && section.value("name", Json(name)) != name)
      throw detail::value_error(name + ".name", section["name"],
                                "\"" + name + "\", the name of the section, or no such key");
    for (const auto& item : section.items()) model[item.key()] = item.value();
  }

  if (!model.contains("name") || !model["name"].is_string())
    throw detail::value_error("default_model.name", model.value("name", Json()), "the name of a model");
  if (model["name"].get<std::string>().find("Modified3DUNet") != std::string::npos) model["is_2d"] = false;
  const int classes = classes_of(tree);
  model["in_channel"] = channels_of(tree, command);
  model["out_channel"] = classes > 1 ? classes + 1 : classes;
  return model;
}

/// The whole configuration, typed, of a merged tree; command-line flags may have changed the tree before.
/// @tparam Whole  a `Configuration`
/// @throws Error (usage) for a key that nobody knows, a wrong type or value, or a part that is not built yet, with its
/// path
template <Reflected Whole = Configuration<>>
[[nodiscard]] Whole configuration_of(const Json& tree) {
  return from_json<Whole>(tree, {});
}

}  // namespace ivado
