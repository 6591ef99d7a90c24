// Reference values of the split (splits.json): sizes, sets without overlap, whole groups, errors, determinism,
// membership.
#include <algorithm>
#include <array>
#include <ivado/data/split.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "golden.hpp"

namespace golden {

namespace {

using ivado::Case;
using ivado::Json;
using ivado::Split;

using Sets = std::array<std::set<std::string>, 3>;  // training, validation, testing

std::vector<Case> cases_of(const Json& frame) {
  std::vector<Case> out;
  for (const auto& row : frame) {
    Case one;
    const auto name = row["filename"].get<std::string>();
    one.id = name.substr(0, name.find('.'));
    one.subject = row["participant_id"].get<std::string>();
    one.images = {row["path"].get<std::string>()};
    for (const auto& item : row.items())
      if (item.key() != "path" && item.key() != "filename") one.metadata[item.key()] = item.value();
    out.push_back(std::move(one));
  }
  return out;
}

Sets sets_of(const Json& sets) {
  Sets out;
  std::size_t side = 0;
  for (const char* key : {"train", "valid", "test"}) {
    for (const auto& name : sets[key]) out[side].insert(name.get<std::string>());
    ++side;
  }
  return out;
}

/// The sets as file names, or nothing where the split is refused.
std::optional<Sets> split(const std::vector<Case>& cases, const ivado::SplitParams& params) {
  try {
    return sets_of(split_to_json(split_cases(cases, params), cases));
  } catch (const ivado::Error&) {
    return std::nullopt;
  }
}

std::string sizes(const Sets& sets) {
  return ivado::detail::text(sets[0].size(), ", ", sets[1].size(), ", ", sets[2].size());
}

/// A value of the column that has files on two sides, or nothing.
std::optional<std::string> straddling(const Sets& sets, const std::map<std::string, std::string>& group_of) {
  std::map<std::string, std::size_t> side_of;
  for (std::size_t side = 0; side < sets.size(); ++side)
    for (const auto& name : sets[side])
      if (side_of.emplace(group_of.at(name), side).first->second != side) return group_of.at(name);
  return std::nullopt;
}

}  // namespace

void splits(const std::filesystem::path& dir, Report& report) {
  if (!std::filesystem::exists(dir / "splits.json")) return report.skip("splits", "no splits.json");
  const Json all = ivado::read_json((dir / "splits.json").string());
  int number = 0;
  for (const auto& expected : all["cases"]) {
    const std::string name =
        ivado::detail::text("splits ", number++, " (", expected["frame"].get<std::string>(), ", seed ",
                            expected["random_seed"].dump(), ", ", expected["split_method"].get<std::string>(), ")");
    const Json& frame = all["frames"][expected["frame"].get<std::string>()];
    Json keys = Json::object();
    for (const char* key :
         {"random_seed", "train_fraction", "test_fraction", "split_method", "data_testing", "balance"})
      if (expected.contains(key)) keys[key] = expected[key];
    auto params = ivado::from_json<ivado::SplitParams>(keys, "split_dataset");
    auto cases = cases_of(frame);
    std::map<std::string, std::string> group_of;
    for (const auto& row : frame)
      if (!row[params.split_method].is_null())
        group_of[row["filename"].get<std::string>()] = row[params.split_method].dump();

    const auto own = split(cases, params);
    params.as_ivadomed = true;
    const auto as_ivadomed = split(cases, params);
    params.as_ivadomed = false;
    std::reverse(cases.begin(), cases.end());
    if (split(cases, params) != own) {
      report.fail(name, "the same seed gives another split when the files are listed in another order");
      continue;
    }
    if (expected.contains("error")) {
      if (own || as_ivadomed)
        report.fail(name, "a split of " + sizes(own ? *own : *as_ivadomed) +
                              " where the reference refuses: " + expected["error"].get<std::string>());
      else
        report.pass();
      continue;
    }
    const Sets reference = sets_of(expected);
    // Where the reference has a group on two sides, only as_ivadomed can agree with it.
    const bool sound = !straddling(reference, group_of);
    const bool contradictory = params.train_fraction + params.test_fraction > 1;
    if (!as_ivadomed || (!own && sound && !contradictory)) {
      report.fail(name, "refused, expected sizes " + sizes(reference));
      continue;
    }
    if (sizes(*as_ivadomed) != sizes(reference) || (own && sound && sizes(*own) != sizes(reference))) {
      report.fail(name, "sizes " + sizes(own && sound ? *own : *as_ivadomed) + ", expected " + sizes(reference));
      continue;
    }
    if (own) {
      std::size_t total = 0;
      std::set<std::string> together;
      for (const auto& set : *own) {
        total += set.size();
        together.insert(set.begin(), set.end());
      }
      if (together.size() != total) {
        report.fail(name, "a file is in two sets");
        continue;
      }
      if (const auto group = straddling(*own, group_of)) {
        report.fail(name, params.split_method + " " + *group + " is on two sides");
        continue;
      }
    }
    report.pass();
    if (*as_ivadomed == reference)
      report.pass();
    else
      report.skip(name, "the membership, which is for information, differs from the reference");
  }
}

}  // namespace golden
