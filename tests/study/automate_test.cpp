#include "ivado/study/automate.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// A program with the command line of ivado that trains nothing: its losses follow from depth and seed. Depth 9 fails.
constexpr const char* fake = R"sh(#!/bin/sh
config=$2; command=$3
number() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$config" | head -1; }
folder=$(sed -n 's/.*"path_output": "\(.*\)".*/\1/p' "$config")
depth=$(number depth); seed=$(number seed); seed=${seed:-42}; split=$(number random_seed)
echo "$command $(basename "$folder") split=$split $4 $5 $6 $7 $8" >> "$(dirname "$0")/calls"
echo "said by $command"
if [ "$depth" = 9 ]; then echo "the net is too deep" >&2; exit 3; fi
if [ -e "$(dirname "$0")/hold" ] && [ "$depth" = 3 ]; then : > "$folder/checkpoint.safetensors"; kill -9 $$; fi
if [ "$command" = --train ]; then
  {
    echo epoch,learning_rate,train_loss,val_loss,best,dice_score
    echo 1,0.01,-0.1,-0.2,true,0.5
    echo 2,0.01,-0.$depth,-0.$depth$seed,true,0.7
    echo 3,0.01,-0.9,-0.1,false,0.6
  } > "$folder/training_log.csv"
else
  mkdir -p "$folder/results_eval"
  {
    echo image_id,dice_class0,hd95_class0
    echo sub-01,0.$depth,inf
    echo sub-02,0.5,2
  } > "$folder/results_eval/evaluation_3Dmetrics.csv"
fi
)sh";

/// A folder with the program, a configuration and options.
struct Bench {
  Scratch folder;
  std::string program = folder / "program";
  std::string config = folder / "config.json";
  std::string hyper = folder / "hyper.json";
  std::string said{};
  std::string complained{};

  explicit Bench(const std::string& options) {
    write_file_atomically(program, fake);
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    const Json base = {{"command", "segment"},
                       {"path_output", folder / "out"},
                       {"gpu_ids", {4, 7}},
                       {"split_dataset", {{"random_seed", 6}}},
                       {"default_model", {{"depth", 1}}}};
    write_file_atomically(config, base.dump());
    write_file_atomically(hyper, options);
  }
  int run(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"-c", config, "-ch", hyper, "-o", folder / "tables"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::ostringstream out;
    std::ostringstream err;
    const int status = run_automate(arguments, program, out, err);
    said = out.str();
    complained = err.str();
    return status;
  }
  /// What the program was called with since the last time, in the order of the alphabet.
  std::vector<std::string> calls() const {
    std::vector<std::string> lines;
    std::ifstream file(folder / "calls");
    for (std::string line; std::getline(file, line);) lines.push_back(line.substr(0, line.find_last_not_of(' ') + 1));
    std::filesystem::remove(folder / "calls");
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  std::vector<std::vector<std::string>> table(const std::string& name) const {
    return detail::parse_csv(content_of(folder / ("tables/" + name)), name);
  }
};

/// The values of a column, by its name.
std::vector<std::string> column(const std::vector<std::vector<std::string>>& table, const std::string& name) {
  const auto place = std::find(table.front().begin(), table.front().end(), name) - table.front().begin();
  REQUIRE(place < static_cast<std::ptrdiff_t>(table.front().size()));
  std::vector<std::string> out;
  for (std::size_t row = 1; row < table.size(); ++row) out.push_back(table[row][static_cast<std::size_t>(place)]);
  return out;
}

}  // namespace

TEST_CASE("Each configuration of the grid is trained and tested in its own process and folder") {
  Bench bench(R"({"default_model": {"depth": [2, 3]}, "training_parameters": {"batch_size": [8, 16]}})");
  CHECK(bench.run({"--all-combin", "--run-test", "--threads", "2", "-t", "0.1", "-pd", "elsewhere"}) == 0);
  CHECK(bench.calls() == std::vector<std::string>{"--test out-depth-2-batch_size-16 split=6 --threads 2",
                                                  "--test out-depth-2-batch_size-8 split=6 --threads 2",
                                                  "--test out-depth-3-batch_size-16 split=6 --threads 2",
                                                  "--test out-depth-3-batch_size-8 split=6 --threads 2",
                                                  "--train out-depth-2-batch_size-16 split=6 --threads 2 -t 0.1",
                                                  "--train out-depth-2-batch_size-8 split=6 --threads 2 -t 0.1",
                                                  "--train out-depth-3-batch_size-16 split=6 --threads 2 -t 0.1",
                                                  "--train out-depth-3-batch_size-8 split=6 --threads 2 -t 0.1"});
  // What it was given: the changed keys, a GPU of the configuration, and the data of the command line.
  const Json given = read_json(bench.folder / "out-depth-3-batch_size-8/automate_config.json");
  CHECK(given.at("default_model").at("depth") == 3);
  CHECK(given.at("training_parameters").at("batch_size") == 8);
  CHECK(given.at("loader_parameters").at("path_data") == Json::array({"elsewhere"}));
  CHECK_FALSE(given.contains("command"));
  CHECK((given.at("gpu_ids") == Json::array({4}) || given.at("gpu_ids") == Json::array({7})));
  CHECK(content_of(bench.folder / "out-depth-3-batch_size-8/automate.log") == "said by --train\nsaid by --test\n");

  // The best first: at the best epoch, not at the least training loss.
  const auto results = bench.table("detailed_results.csv");
  CHECK(column(results, "depth") == std::vector<std::string>{"3", "3", "2", "2"});
  CHECK(column(results, "batch_size") == std::vector<std::string>{"8", "16", "8", "16"});
  CHECK(column(results, "best_epoch") == std::vector<std::string>(4, "2"));
  CHECK(column(results, "epochs") == std::vector<std::string>(4, "3"));
  CHECK(column(results, "best_validation_loss")[0] == "-0.342");
  CHECK(column(results, "best_training_loss")[3] == "-0.2");
  CHECK(column(results, "best_validation_dice")[0] == "0.7");
  CHECK(column(results, "test_dice")[0] == "0.4");  // (0.3 + 0.5) / 2
  CHECK(column(results, "status") == std::vector<std::string>(4, "done"));
  for (const auto& seconds : column(results, "seconds")) CHECK(std::stod(seconds) > 0);
  for (const auto& peak : column(results, "peak_memory_mib")) CHECK(std::stod(peak) > 0.1);
  const auto averages = bench.table("average_eval.csv");
  CHECK(averages.size() == 5);
  CHECK(column(averages, "avg_dice_class0")[0] == "0.35");
  CHECK(std::stod(column(averages, "std_dice_class0")[0]) == Approx(0.2121320344));  // of 0.2 and 0.5
  CHECK(column(averages, "avg_hd95_class0")[0] == "2.0");                            // the infinite one does not count
  CHECK(bench.table("temporary_results.csv").size() == 5);

  // Nothing is done twice; another request is.
  CHECK(bench.run({"--all-combin", "--run-test", "--threads", "1", "-t", "0.1", "-pd", "elsewhere"}) == 0);
  CHECK(bench.calls().empty());
  CHECK_THAT(bench.said, Contains("4 runs, 4 of them done before"));
  CHECK(bench.table("detailed_results.csv") == results);
  CHECK(bench.run({"--all-combin", "--run-test", "-t", "0.2", "-pd", "elsewhere"}) == 0);
  CHECK(bench.calls().size() == 8);
}

TEST_CASE("A run that fails is told with its log, and the others go on; once it can, it is made up for") {
  Bench bench(R"({"default_model": {"depth": [9, 2, 3]}})");
  write_file_atomically(bench.folder / "hold", "");
  CHECK(bench.run({"-j", "1", "--threads", "1"}) == 4);
  CHECK_THAT(bench.complained, Contains("out-depth-9: train: exit status 3 (the net is too deep)") &&
                                   Contains("automate.log") && Contains("out-depth-3: train: ended by signal 9"));
  auto results = bench.table("detailed_results.csv");
  CHECK(column(results, "depth") == std::vector<std::string>{"2", "9", "3"});
  CHECK(column(results, "status")[0] == "done");
  CHECK(column(results, "best_validation_loss")[1].empty());
  (void)bench.calls();

  // That which was killed goes on; that which cannot work fails again; the finished one is not repeated, but tested now.
  std::filesystem::remove(bench.folder / "hold");
  CHECK(bench.run({"--run-test", "--threads", "1"}) == 4);
  CHECK(bench.calls() == std::vector<std::string>{"--test out-depth-2 split=6 --threads 1",
                                                  "--test out-depth-3 split=6 --threads 1",
                                                  "--train out-depth-3 split=6 --threads 1 --resume-training",
                                                  "--train out-depth-9 split=6 --threads 1"});
  results = bench.table("detailed_results.csv");
  CHECK(column(results, "depth") == std::vector<std::string>{"3", "2", "9"});
  CHECK(column(results, "test_dice") == std::vector<std::string>{"0.4", "0.35", ""});
}

TEST_CASE("Iterations differ in their seeds, and are compared over configurations") {
  Bench bench(R"({"default_model": {"depth": [2, 3]}})");
  CHECK(bench.run({"-n", "3", "--threads", "1"}) == 0);
  const auto calls = bench.calls();
  REQUIRE(calls.size() == 6);
  const auto split_of = [](const std::string& call) {
    return call.substr(call.find("split="), call.find(" --threads") - call.find("split="));
  };
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK_THAT(calls[i], Contains("--train out-depth-2_n=0" + std::to_string(i)));
    CHECK(split_of(calls[i]) == split_of(calls[i + 3]));  // one split for all configurations of an iteration
  }
  CHECK(split_of(calls[0]) == "split=6");
  CHECK(split_of(calls[1]) != split_of(calls[0]));
  CHECK(split_of(calls[2]) != split_of(calls[1]));

  // Losses -0.242, -0.243, -0.244 and -0.342, -0.343, -0.344: t = 0.1 / (0.001 √(2/3)) with 4 degrees of freedom.
  const auto comparison = bench.table("comparison_models.csv");
  REQUIRE(comparison.size() == 3);
  CHECK(column(comparison, "runs") == std::vector<std::string>{"3", "3"});
  CHECK(std::stod(column(comparison, "avg_best_validation_loss")[1]) == Approx(-0.343));
  CHECK(std::stod(column(comparison, "std_best_validation_loss")[1]) == Approx(0.001));
  const std::string other = "p-value_" + (bench.folder / "out-depth-3");
  CHECK(std::stod(column(comparison, other)[0]) == Approx(2.665e-8).epsilon(0.01));
  CHECK(column(comparison, other)[1].empty());

  Bench fixed(R"({"default_model": {"depth": [2]}})");
  CHECK(fixed.run({"-n", "2", "--fixed-split", "--threads", "1"}) == 0);
  for (const auto& call : fixed.calls()) CHECK_THAT(call, Contains("split=6 "));
  CHECK(read_json(fixed.folder / "out-depth-2_n=01/automate_config.json").at("seed") == 43);
  Bench varied(R"({"split_dataset": {"random_seed": [1, 2]}})");
  CHECK(varied.run({"-n", "2", "--threads", "1"}) == 0);
  const auto seeds = varied.calls();
  REQUIRE(seeds.size() == 4);
  CHECK_THAT(seeds[1], Contains("out-random_seed-1_n=01 split=1 "));
  Bench logs(R"({"default_model": {"depth": [2]}})");
  CHECK(logs.run({"--all-logs", "--threads", "1"}) == 0);
  CHECK_THAT(logs.calls().at(0), Contains("out-depth-2_n=00"));
}

TEST_CASE("What is asked of automate and cannot be is refused") {
  const auto parse = [](std::vector<std::string> arguments) { return parse_automate(arguments); };
  CHECK_THROWS_WITH(parse({"-c", "a.json"}), Contains("--config-hyper is missing"));
  CHECK_THROWS_WITH(parse({"-ch", "a.json"}), Contains("--config is missing"));
  CHECK_THROWS_WITH(parse({"-c", "a", "-ch", "b", "-m", "--all-combin"}), Contains("give one of them"));
  CHECK_THROWS_WITH(parse({"-c", "a", "-ch", "b", "-n", "0"}), Contains("--n-iterations 0"));
  CHECK_THROWS_WITH(parse({"-c", "a", "-ch", "b", "-j", "0"}), Contains("--processes 0"));
  CHECK_THROWS_WITH(parse({"-c", "a", "-ch", "b", "-t", "2"}), Contains("between 0 and 1"));
  CHECK_THROWS_WITH(parse({"-c", "a", "-ch", "b", "--all-combine"}), Contains("did you mean \"--all-combin\""));
  CHECK(parse({"-c", "a", "-ch", "b", "-m"}).rule == GridRule::together);
  Bench bench(R"({"default_model": {"depth": 2}})");
  CHECK_THROWS_WITH(bench.run(), Contains("hyper.json") && Contains("default_model/depth is 2"));
  write_file_atomically(bench.hyper, R"({"default_model": {"depth": [2]}})");
  write_file_atomically(bench.config, R"({"path_output": 3})");
  CHECK_THROWS_WITH(bench.run(), Contains("config.json"));
  std::ostringstream out;
  CHECK(run_automate(std::vector<std::string>{"--help"}, "", out, out) == 0);
  CHECK_THAT(out.str(), Contains("usage: ivado automate"));
}
