#include "ivado/config/grid.hpp"

#include <set>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

std::vector<std::string> suffixes(const std::vector<GridPoint>& points) {
  std::vector<std::string> out;
  for (const auto& point : points) out.push_back(point.suffix);
  return out;
}

const Json base = Json::parse(R"({
  "training_parameters": {"batch_size": 18, "loss": {"name": "DiceLoss"}},
  "default_model": {"depth": 3, "dropout_rate": 0.3},
  "path_output": "out"
})");

const Json options = Json::parse(R"({
  "training_parameters": {"batch_size": [2, 64], "loss": [{"name": "DiceLoss"}, {"name": "FocalLoss", "gamma": 0.5}, {"name": "L2loss"}]},
  "default_model": {"depth": [2, 3]}
})");

}  // namespace

TEST_CASE("Each list of the tree is a key with its options") {
  const auto keys = grid_keys(options, "reading options");
  REQUIRE(keys.size() == 3);
  CHECK(keys[1].place.to_string() == "/training_parameters/loss");
  CHECK(keys[1].name == "loss");
  CHECK(keys[1].options.size() == 3);
  CHECK(keys[2].options == std::vector<Json>{2, 3});
}

TEST_CASE("Options are combined by three rules") {
  const auto keys = grid_keys(options, "reading options");
  const auto single = grid_points(base, keys, GridRule::one_by_one);
  CHECK(suffixes(single) == std::vector<std::string>{"-batch_size-2", "-batch_size-64", "-loss-name-DiceLoss",
                                                     "-loss-name-FocalLoss-gamma-0.5", "-loss-name-L2loss", "-depth-2",
                                                     "-depth-3"});
  CHECK(single[1].configuration.at("training_parameters").at("batch_size") == 64);
  CHECK(single[1].configuration.at("default_model") == base.at("default_model"));
  // An option replaces the value as a whole.
  CHECK(single[4].configuration.at("training_parameters").at("loss") == Json::parse(R"({"name": "L2loss"})"));

  const auto together = grid_points(base, keys, GridRule::together);
  CHECK(suffixes(together) == std::vector<std::string>{"-batch_size-2-loss-name-DiceLoss-depth-2",
                                                       "-batch_size-64-loss-name-FocalLoss-gamma-0.5-depth-3"});
  const auto all = grid_points(base, keys, GridRule::all);
  REQUIRE(all.size() == 12);
  const auto names = suffixes(all);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 12);
  CHECK(all[7].configuration.at("training_parameters").at("batch_size") == 64);
  CHECK(all[7].configuration.at("training_parameters").at("loss").at("name") == "DiceLoss");
  CHECK(all[7].configuration.at("default_model").at("depth") == 3);
}

TEST_CASE("Points of a grid have names that differ and that are short enough for a folder") {
  const Json twins = Json::parse(
      R"({"transformation": {"RandomGamma": {"p": [0.1, 0.2]}, "RandomBlur": {"p": [0.1], "q": [[1, 2], [3, 4]]}}})");
  CHECK(suffixes(grid_points(base, grid_keys(twins, "reading"), GridRule::one_by_one)) ==
        std::vector<std::string>{"-RandomGamma.p-0.1", "-RandomGamma.p-0.2", "-RandomBlur.p-0.1", "-q-1-2", "-q-3-4"});
  const Json long_ones = {{"path", {std::string(300, 'a') + "/b", std::string(300, 'a') + "/c"}}};
  const auto cut = grid_points(base, grid_keys(long_ones, "reading"), GridRule::all);
  REQUIRE(cut.size() == 2);
  CHECK(cut[0].suffix != cut[1].suffix);
  CHECK(cut[0].suffix.size() < 200);
}

TEST_CASE("Configurations that would share a folder are refused") {
  const auto points = [](const char* tree, GridRule rule) {
    return grid_points(base, grid_keys(Json::parse(tree), "reading"), rule).size();
  };
  const char* const twice = R"({"default_model": {"depth": [2, 3, 2]}})";
  CHECK_THROWS_WITH(points(twice, GridRule::one_by_one), Contains("-depth-2") && Contains("once"));
  CHECK_THROWS_WITH(points(R"({"model_name": ["a b", "ab"]})", GridRule::all), Contains("-model_name-ab"));
  // Together with another key the same option may come again.
  CHECK(points(R"({"default_model": {"depth": [2, 3, 2], "dropout_rate": [0, 0, 0.5]}})", GridRule::together) == 3);
}

TEST_CASE("A tree without options is refused with the key") {
  CHECK_THROWS_WITH(grid_keys(Json::parse(R"({"a": {"b": 3}})"), "reading hyper.json"),
                    Contains("reading hyper.json") && Contains("a/b is 3") && Contains("list"));
  CHECK_THROWS_WITH(grid_keys(Json::parse(R"({"a": {"b": []}})"), "reading"), Contains("a/b is []"));
  CHECK_THROWS_WITH(grid_keys(Json::parse(R"({"a": {}})"), "reading"), Contains("no key with options"));
  CHECK_THROWS_WITH(grid_keys(Json::parse("[1]"), "reading"), Contains("no key with options"));
  const auto keys = grid_keys(Json::parse(R"({"path_output": {"depth": [1]}})"), "reading");
  CHECK_THROWS_WITH(grid_points(base, keys, GridRule::all), Contains("changing the configuration key depth"));
}
