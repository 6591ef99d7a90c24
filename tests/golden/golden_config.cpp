// Reference values of the configuration: merged trees, transforms of each set, the model's parameters.

#include <filesystem>
#include <ivado/config/ivadomed.hpp>
#include <string>
#include <vector>

#include "golden.hpp"

namespace golden {
namespace {

using ivado::Command;
using ivado::Json;
using ivado::MergeRule;
using ivado::Stage;

std::vector<std::string> keys_of(const Json& json) {
  std::vector<std::string> out;
  for (const auto& item : json.items()) out.push_back(item.key());
  return out;
}

/// The first place where two trees differ in a value or a number's type, whatever the order of their keys; empty where
/// none.
std::string difference(const Json& found, const Json& expected, const std::string& path) {
  const std::string place = path.empty() ? "the whole" : path;
  if (!found.is_object() || !expected.is_object()) {
    if (found.dump() == expected.dump()) return {};
    return place + " is " + found.dump() + ", expected " + expected.dump();
  }
  for (const auto& item : expected.items())
    if (!found.contains(item.key())) return place + " has no key " + item.key();
  for (const auto& item : found.items()) {
    if (!expected.contains(item.key())) return place + " has the key " + item.key() + " too many";
    const std::string inner =
        difference(item.value(), expected[item.key()], path.empty() ? item.key() : path + "." + item.key());
    if (!inner.empty()) return inner;
  }
  return {};
}

/// The same, and the keys of this object must stand in the same order.
std::string ordered_difference(const Json& found, const Json& expected, const std::string& path) {
  const std::string values = difference(found, expected, path);
  if (!values.empty() || !found.is_object() || keys_of(found) == keys_of(expected)) return values;
  return path + " has its keys in the order " + Json(keys_of(found)).dump() + ", expected " +
         Json(keys_of(expected)).dump();
}

/// Runs one comparison of a case: `run` gives the difference. A case that the reference refuses must be refused.
template <class Run>
void compare(Report& report, const std::string& name, bool is_refused, const Run& run) {
  try {
    const std::string found = run();
    if (is_refused)
      report.fail(name, "the reference refuses it, ivado does not");
    else if (found.empty())
      report.pass();
    else
      report.fail(name, found);
  } catch (const ivado::Error& error) {
    if (is_refused)
      report.pass();
    else
      report.fail(name, error.what());
  }
}

/// The reference's error of one result of a case: `{"error": …}`, text in place of an object, or a key
/// `<result>_error`.
bool is_refused(const Json& one, const std::string& result) {
  if (one.contains(result + "_error")) return true;
  if (!one.contains(result)) return false;
  const Json& value = one[result];
  return value.is_string() || (value.is_object() && value.size() == 1 && value.contains("error"));
}

void run_case(const Json& one, Report& report) {
  const std::string name = "config " + one["name"].get<std::string>();
  constexpr MergeRule rule = MergeRule::as_ivadomed;
  Json tree;
  const auto complete = [&] {
    Json user = one["input"];
    ivado::rename_old_keys(user, rule);
    tree = ivado::complete_configuration(user, rule);
    return std::string();
  };
  if (!one.contains("merged") || is_refused(one, "merged")) {
    if (one.contains("error") || is_refused(one, "merged"))
      compare(report, name + " merged", true, complete);
    else
      report.skip(name, "it has no merged tree");
    return;
  }
  compare(report, name + " merged", false, [&] {
    complete();
    std::string found = difference(tree, one["merged"], {});
    for (const char* section : {"transformation", "postprocessing"})
      if (found.empty()) found = ordered_difference(tree[section], one["merged"][section], section);
    const auto defaults = keys_of(ivado::ivadomed_defaults());
    auto head = keys_of(tree);
    if (head.size() > defaults.size()) head.resize(defaults.size());
    if (found.empty() && head != defaults) found = "the keys of the defaults do not come first";
    return found;
  });
  if (tree.is_null()) return;

  if (one.contains("transforms")) {
    for (const Stage stage : {Stage::training, Stage::validation, Stage::testing}) {
      const std::string set(ivado::enum_name(stage));
      if (one["transforms"].is_object() && !one["transforms"].contains(set) && !is_refused(one, "transforms")) continue;
      compare(report, name + " transforms " + set, is_refused(one, "transforms"),
              [&] { return ordered_difference(ivado::transforms_of(tree, stage, rule), one["transforms"][set], set); });
    }
  }
  if (one.contains("preprocessing_of_training") && one.contains("remaining_of_training")) {
    compare(report, name + " preprocessing", is_refused(one, "preprocessing_of_training"), [&] {
      const auto parts = ivado::split_preprocessing(ivado::transforms_of(tree, Stage::training, rule));
      const std::string found =
          ordered_difference(parts.preprocessing, one["preprocessing_of_training"], "preprocessing_of_training");
      if (!found.empty()) return found;
      return ordered_difference(parts.remaining, one["remaining_of_training"], "remaining_of_training");
    });
  }
  for (const Command command : {Command::train, Command::test}) {
    const std::string result = "model_params_" + std::string(ivado::enum_name(command));
    if (!one.contains(result) && !one.contains(result + "_error")) continue;
    compare(report, name + " " + result, is_refused(one, result),
            [&] { return difference(ivado::resolve_model(tree, command, rule), one[result], result); });
  }
}

}  // namespace

void config(const std::filesystem::path& dir, Report& report) {
  for (const auto& one : ivado::read_json((dir / "config.json").string())) run_case(one, report);
}

}  // namespace golden
