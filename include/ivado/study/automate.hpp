// `ivado automate`: trains (and tests) a grid of configurations, each in a process of its own, and tabulates what they
// reach. No LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "../command_options.hpp"
#include "../config/grid.hpp"
#include "../config/ivadomed.hpp"
#include "../config/json.hpp"
#include "../config/sections.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../metric/evaluation.hpp"
#include "../metric/threshold_analysis.hpp"
#include "../random.hpp"
#include "../report/csv_table.hpp"
#include "../report/hypothesis_tests.hpp"
#include "../report/svg_plot.hpp"
#include "process.hpp"

namespace ivado {

inline constexpr std::string_view automate_usage =
    "usage: ivado automate -c config.json -ch options.json [options]\n\n"
    "Trains configurations that differ in some keys, each in a process of its own, and tabulates their results.\n\n"
    "  -c,  --config FILE         the configuration\n"
    "  -ch, --config-hyper FILE   the options: the tree of the configuration, with a list of options for each key that "
    "is\n"
    "                             to change, such as {\"default_model\": {\"depth\": [2, 3]}}\n"
    "       --all-combin          each option of a key with each of the others\n"
    "  -m,  --multi-params        the first option of all keys together, then the second …\n"
    "                             (neither: one key at a time is changed)\n"
    "  -n,  --n-iterations N      each configuration N times (1): the first with the seeds that it has, the others "
    "with\n"
    "                             other seeds of split and training\n"
    "       --fixed-split         the seed of the split stays\n"
    "       --run-test            test after each training\n"
    "  -t,  --thr-increment X     with a threshold analysis after each training\n"
    "  -pd, --path-data PATH...   BIDS folders instead of those of the configuration\n"
    "  -l,  --all-logs            the folders of the runs have the number of the iteration also where there is one\n"
    "  -o,  --output-dir PATH     folder of the tables (.)\n"
    "  -j,  --processes N         so many runs at a time (one for each of gpu_ids)\n"
    "       --threads N           threads of each run (the cores shared among the runs)\n"
    "  -h,  --help                print this\n\n"
    "A run has the folder <path_output>-<key>-<value>…, with _n=<iteration> behind it where there are several. A run "
    "that\n"
    "fails does not stop the others. Started again, finished runs are not repeated, and interrupted ones go on.\n\n"
    "  detailed_results.csv    a row a run, by its validation loss\n"
    "  temporary_results.csv   the same while runs are under way, in their order\n"
    "  average_eval.csv        with --run-test: means and standard deviations of the metrics over the images of each "
    "run\n"
    "  comparison_models.csv   for several iterations: means, standard deviations and Student's t-tests over them\n";

/// What `ivado automate` is asked for.
struct AutomateOptions {
  std::string config;
  std::string hyper;
  GridRule rule = GridRule::one_by_one;
  int iterations = 1;
  bool fixed_split = false;
  bool run_test = false;
  bool all_logs = false;
  std::string threshold_increment;  ///< empty: no threshold analysis
  std::vector<std::string> path_data;
  std::string output = ".";
  int processes = 0;  ///< at a time; 0: one for each of "gpu_ids"
  int threads = 0;    ///< of each; 0: the cores shared among them
};

/// A training, and perhaps a test, of a configuration in one iteration.
struct AutomateRun {
  std::size_t point = 0;  ///< number of the configuration in the grid
  int iteration = 0;
  Json configuration;
  std::string model;   ///< the folder without the iteration: it names the configuration
  std::string folder;  ///< of its results
  std::string fault;   ///< why it failed; empty: it did not
  bool is_done = false;

  // NaN: not known. The losses and the Dice score are those of the best epoch.
  double best_epoch = undefined_score;
  double epochs = undefined_score;
  double training_loss = undefined_score;
  double validation_loss = undefined_score;
  double validation_dice = undefined_score;
  double test_dice = undefined_score;  ///< mean over images and classes
  double seconds = undefined_score;    ///< wall time of training and test
  double peak_mib = undefined_score;   ///< largest memory of the two

  /// The file that says what ran here with which outcome.
  [[nodiscard]] std::string record() const { return (std::filesystem::path(folder) / "automate.json").string(); }
  [[nodiscard]] std::string log() const { return (std::filesystem::path(folder) / "automate.log").string(); }
  [[nodiscard]] std::string file(const std::string& name) const {
    return (std::filesystem::path(folder) / name).string();
  }
};

namespace detail {

/// The numbers of a run by name, as the tables have them.
inline constexpr std::array automate_numbers{
    std::pair{std::string_view{"best_epoch"}, &AutomateRun::best_epoch},
    std::pair{std::string_view{"epochs"}, &AutomateRun::epochs},
    std::pair{std::string_view{"best_training_loss"}, &AutomateRun::training_loss},
    std::pair{std::string_view{"best_validation_loss"}, &AutomateRun::validation_loss},
    std::pair{std::string_view{"best_validation_dice"}, &AutomateRun::validation_dice},
    std::pair{std::string_view{"test_dice"}, &AutomateRun::test_dice},
    std::pair{std::string_view{"seconds"}, &AutomateRun::seconds},
    std::pair{std::string_view{"peak_memory_mib"}, &AutomateRun::peak_mib}};

/// A number of a table: whole ones without decimals.
[[nodiscard]] inline std::string table_number(double value) {
  return std::abs(value) < 1e15 && std::trunc(value) == value ? std::to_string(static_cast<std::int64_t>(value))
                                                              : csv_number(value);
}

/// The last line of a log that says something; empty where there is none.
[[nodiscard]] inline std::string last_line(const std::string& path) {
  std::error_code fault;
  if (!std::filesystem::exists(path, fault)) return {};
  const std::string text = read_bytes(path);
  const auto end = text.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) return {};
  const auto begin = text.find_last_of("\r\n", end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

/// Takes the numbers of a training from its log.
inline void read_training(AutomateRun& run) {
  const NumberTable log = read_number_table(run.file("training_log.csv"));
  const auto number = [&](std::size_t row, const std::string& column) {
    const bool is_there = std::count(log.columns.begin(), log.columns.end(), column) > 0;
    return is_there ? log.values[row][log.column(column)] : undefined_score;
  };
  run.epochs = static_cast<double>(log.rows.size());
  for (std::size_t row = 0; row < log.rows.size(); ++row) {
    if (number(row, "best") != 1) continue;
    run.best_epoch = std::stod(log.rows[row]);
    run.training_loss = number(row, "train_loss");
    run.validation_loss = number(row, "val_loss");
    run.validation_dice = number(row, "dice_score");
  }
}

/// The means and standard deviations of the metrics of a test over its images, column by column.
[[nodiscard]] inline std::vector<std::pair<std::string, RunningMean>> test_metrics(const AutomateRun& run) {
  std::vector<std::pair<std::string, RunningMean>> out;
  const std::string path = run.file("results_eval/evaluation_3Dmetrics.csv");
  if (!std::filesystem::exists(path)) return out;  // of a classifier
  const NumberTable table = read_number_table(path);
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    out.emplace_back(table.columns[c], RunningMean{});
    for (const double value : table.column_values(c))
      if (std::isfinite(value)) out.back().second.add(value);
  }
  return out;
}

/// Takes the Dice score of a test: the mean over classes of their means over images.
inline void read_test(AutomateRun& run) {
  RunningMean dice;
  for (const auto& [column, mean] : test_metrics(run))
    if (column.starts_with("dice_class")) dice.add(mean.mean());
  run.test_dice = dice.mean();
}

}  // namespace detail

/// The grid of `ivado automate`: what runs where, what of it is done, and the tables.
class Automation {
 public:
  /// Reads the configuration and the options, and what earlier runs have left.
  /// @param program  is started for each run, with -c and --train or --test
  /// @throws Error (usage) if a file cannot be read, or a number is below 1
  Automation(AutomateOptions options, std::string program, std::ostream& out, std::ostream& err)
      : options_(std::move(options)), program_(std::move(program)), out_(out), err_(err) {
    Json base = read_user_configuration(options_.config);
    base.erase("command");
    if (!options_.path_data.empty()) base["loader_parameters"]["path_data"] = options_.path_data;
    for (const auto& id : base.value("gpu_ids", Json::array({0}))) gpus_.push_back(id);
    if (gpus_.empty()) gpus_.push_back(0);
    if (options_.processes == 0) options_.processes = static_cast<int>(gpus_.size());
    if (options_.threads == 0)
      options_.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / options_.processes);
    keys_ = grid_keys(read_json(options_.hyper), "reading " + options_.hyper);
    const auto points = grid_points(base, keys_, options_.rule);
    for (const auto& point : points) choices_.push_back(point.choice);
    for (int iteration = 0; iteration < options_.iterations; ++iteration)
      for (std::size_t p = 0; p < points.size(); ++p) add_run(points[p], p, iteration);
  }

  [[nodiscard]] const std::vector<AutomateRun>& runs() const noexcept { return runs_; }

  /// Runs what is not done yet, and writes the tables after each run and at the end.
  /// @return the number of runs that failed; each is told on the error stream, with its log
  /// @throws Error (internal) if a table or a log cannot be written
  std::size_t run() {
    std::filesystem::create_directories(options_.output);
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      take_record(runs_[i]);
      if (!runs_[i].is_done) open.push_back(i);
    }
    out_ << runs_.size() << " runs, " << runs_.size() - open.size() << " of them done before; " << options_.processes
         << " at a time with " << options_.threads << (options_.threads == 1 ? " thread" : " threads") << " each"
         << std::endl;
    std::vector<std::size_t> untrained;
    for (const auto i : open)
      if (!is_trained(runs_[i])) untrained.push_back(i);
    run_processes(
        untrained.size(), options_.processes,
        [&](std::size_t n, int place) { return training(runs_[untrained[n]], place); },
        [&](std::size_t n, const ProcessResult& result) { finish(runs_[untrained[n]], "train", result); });
    std::vector<std::size_t> untested;
    for (const auto i : open)
      if (options_.run_test && runs_[i].fault.empty()) untested.push_back(i);
    run_processes(
        untested.size(), options_.processes, [&](std::size_t n, int place) { return test(runs_[untested[n]], place); },
        [&](std::size_t n, const ProcessResult& result) { finish(runs_[untested[n]], "test", result); });
    write_tables();
    std::size_t failed = 0;
    for (const auto& run : runs_) {
      if (run.fault.empty()) continue;
      ++failed;
      err_ << "failed: " << run.folder << ": " << run.fault << "; its log is " << run.log() << std::endl;
    }
    out_ << "results: " << table("detailed_results.csv") << std::endl;
    return failed;
  }

 private:
  void add_run(const GridPoint& point, std::size_t number, int iteration) {
    AutomateRun run;
    run.point = number;
    run.iteration = iteration;
    run.configuration = point.configuration;
    run.model = run.configuration.value("path_output", std::string("path_output"));
    while (run.model.size() > 1 && run.model.ends_with('/')) run.model.pop_back();
    run.model += point.suffix;
    run.folder = run.model;
    if (options_.iterations > 1 || options_.all_logs)
      run.folder += std::string("_n=") + (iteration < 10 ? "0" : "") + std::to_string(iteration);
    run.configuration["path_output"] = run.folder;
    if (iteration > 0) change_seeds(run.configuration, iteration);
    runs_.push_back(std::move(run));
  }

  /// Other seeds for the iterations behind the first, the same for all configurations; those that are options stay.
  void change_seeds(Json& configuration, int iteration) const {
    const auto is_free = [&](const std::string& place) {
      return std::none_of(keys_.begin(), keys_.end(),
                          [&](const GridKey& key) { return key.place.to_string() == place; });
    };
    if (is_free("/seed"))
      configuration["seed"] = configuration.value("seed", General{}.seed) + static_cast<std::uint64_t>(iteration);
    if (options_.fixed_split || !is_free("/split_dataset/random_seed")) return;
    auto& split = configuration["split_dataset"];
    const auto own =
        split.value("random_seed", ivadomed_defaults().at("split_dataset").at("random_seed").get<std::int64_t>());
    auto seeds = Rng(RandomKey{static_cast<std::uint64_t>(own), 0, 0, stream_split}).permutation(10001);
    std::erase(seeds, own - 1);  // 1 … 10001, as ivadomed draws them, but each once and the same ones in each run
    split["random_seed"] = seeds[static_cast<std::size_t>(iteration - 1) % seeds.size()] + 1;
  }

  /// What a record must say of a run that need not be repeated.
  [[nodiscard]] Json identity(const AutomateRun& run) const {
    Json configuration = run.configuration;
    configuration.erase("gpu_ids");
    return {{"configuration", std::move(configuration)}, {"thr_increment", options_.threshold_increment}};
  }
  [[nodiscard]] std::optional<Json> record_of(const AutomateRun& run) const {
    if (!std::filesystem::exists(run.record())) return std::nullopt;
    Json record = read_json(run.record());
    const Json expected = identity(run);
    for (const auto& [key, value] : expected.items())
      if (!record.contains(key) || record.at(key) != value) return std::nullopt;
    return record;
  }
  [[nodiscard]] bool is_trained(const AutomateRun& run) const {
    const auto record = record_of(run);
    return record && record->contains("train");
  }
  /// Takes what an earlier start has left of a run.
  void take_record(AutomateRun& run) const {
    const auto record = record_of(run);
    if (!record || !record->contains("train")) return;
    detail::read_training(run);
    if (record->contains("test")) detail::read_test(run);
    take_costs(run, *record);
    run.is_done = !options_.run_test || record->contains("test");
  }
  static void take_costs(AutomateRun& run, const Json& record) {
    run.seconds = 0;
    run.peak_mib = 0;
    for (const char* stage : {"train", "test"})
      if (record.contains(stage)) {
        run.seconds += record.at(stage).value("seconds", 0.0);
        run.peak_mib = std::max(run.peak_mib, record.at(stage).value("peak_memory_mib", 0.0));
      }
  }

  [[nodiscard]] Process process(const AutomateRun& run, int place, const std::string& command) const {
    Json configuration = run.configuration;
    configuration["gpu_ids"] = Json::array({gpus_[static_cast<std::size_t>(place) % gpus_.size()]});
    write_file_atomically(run.file("automate_config.json"), configuration.dump(4) + "\n");
    Process out{
        {program_, "-c", run.file("automate_config.json"), command, "--threads", std::to_string(options_.threads)},
        run.log()};
    out.appends = std::filesystem::exists(run.record());
    return out;
  }
  [[nodiscard]] Process training(const AutomateRun& run, int place) const {
    std::filesystem::create_directories(run.folder);
    const bool goes_on = record_of(run).has_value() && std::filesystem::exists(run.file("checkpoint.safetensors"));
    if (!goes_on)
      for (const auto& left : {run.record(), run.file("checkpoint.safetensors")}) std::filesystem::remove(left);
    Process out = process(run, place, "--train");
    if (goes_on) out.arguments.push_back("--resume-training");
    if (!options_.threshold_increment.empty())
      out.arguments.insert(out.arguments.end(), {"-t", options_.threshold_increment});
    if (!goes_on) write_file_atomically(run.record(), identity(run).dump(4) + "\n");
    out_ << (goes_on ? "going on with " : "training ") << run.folder << std::endl;
    return out;
  }
  [[nodiscard]] Process test(const AutomateRun& run, int place) const {
    out_ << "testing " << run.folder << std::endl;
    return process(run, place, "--test");
  }

  /// Notes how a stage of a run ended.
  void finish(AutomateRun& run, const std::string& stage, const ProcessResult& result) {
    try {
      if (result.succeeded()) {
        stage == "train" ? detail::read_training(run) : detail::read_test(run);
        Json record = read_json(run.record());
        record[stage] = {{"seconds", result.seconds},
                         {"user_s", result.user_s},
                         {"system_s", result.system_s},
                         {"peak_memory_mib", static_cast<double>(result.peak_bytes) / 1048576}};
        write_file_atomically(run.record(), record.dump(4) + "\n");
        take_costs(run, record);
        run.is_done = stage == "test" || !options_.run_test;
      } else {
        const std::string said = detail::last_line(run.log());
        run.fault = stage + ": " + result.text() + (said.empty() ? "" : " (" + said + ")");
      }
    } catch (const Error& error) {  // its results cannot be read
      run.fault = stage + ": " + error.what();
    }
    out_ << (run.fault.empty() ? "done: " : "failed: ") << run.folder << " (" << stage << ", "
         << detail::fixed_text(result.seconds, 1) << " s)" << std::endl;
    std::vector<const AutomateRun*> rows;
    for (const auto& one : runs_)
      if (one.is_done || !one.fault.empty()) rows.push_back(&one);
    write_file_atomically(table("temporary_results.csv"), rows_text(rows));
  }

  // -- tables

  [[nodiscard]] std::string table(const std::string& name) const {
    return (std::filesystem::path(options_.output) / name).string();
  }
  /// A row a run: its folder, its options, how it ended, its numbers.
  [[nodiscard]] std::string rows_text(const std::vector<const AutomateRun*>& rows) const {
    std::string out = "path_output,iteration";
    for (const auto& key : keys_) out += "," + detail::csv_text(key.name);
    out += ",status";
    for (const auto& [name, number] : detail::automate_numbers) out += "," + std::string(name);
    out += "\n";
    for (const auto* run : rows) {
      out += detail::csv_text(run->folder) + "," + std::to_string(run->iteration);
      for (std::size_t k = 0; k < keys_.size(); ++k) {
        out += ",";
        for (const auto& [key, option] : choices_[run->point])
          if (key == k) out += detail::csv_text(keys_[k].options[option].dump());
      }
      out += "," + detail::csv_text(run->fault.empty() ? std::string("done") : run->fault);
      for (const auto& [name, number] : detail::automate_numbers) out += "," + detail::table_number(run->*number);
      out += "\n";
    }
    return out;
  }

  void write_tables() const {
    std::vector<const AutomateRun*> rows;
    for (const auto& run : runs_) rows.push_back(&run);
    const auto loss = [](const AutomateRun* run) {
      return std::isnan(run->validation_loss) ? std::numeric_limits<double>::infinity() : run->validation_loss;
    };
    std::stable_sort(rows.begin(), rows.end(), [&](const auto* a, const auto* b) { return loss(a) < loss(b); });
    write_file_atomically(table("detailed_results.csv"), rows_text(rows));
    if (options_.run_test) write_file_atomically(table("average_eval.csv"), averages_text());
    if (options_.iterations > 1) write_file_atomically(table("comparison_models.csv"), comparison_text());
  }

  /// A row a run: mean and standard deviation of each metric over the images of its test.
  [[nodiscard]] std::string averages_text() const {
    std::vector<std::string> columns;
    std::vector<std::pair<std::string, std::map<std::string, detail::RunningMean>>> rows;
    for (const auto& run : runs_) {
      if (!run.is_done) continue;
      auto& row = rows.emplace_back(run.folder, std::map<std::string, detail::RunningMean>{}).second;
      for (const auto& [column, mean] : detail::test_metrics(run)) {
        if (std::count(columns.begin(), columns.end(), column) == 0) columns.push_back(column);
        row.emplace(column, mean);
      }
    }
    std::string out = "path_output";
    for (const auto& column : columns)
      out += "," + detail::csv_text("avg_" + column) + "," + detail::csv_text("std_" + column);
    out += "\n";
    for (const auto& [folder, means] : rows) {
      out += detail::csv_text(folder);
      for (const auto& column : columns)
        out += "," + spread_text(means.contains(column) ? means.at(column) : detail::RunningMean{});
      out += "\n";
    }
    return out;
  }
  /// "mean,standard deviation".
  [[nodiscard]] static std::string spread_text(const detail::RunningMean& mean) {
    return detail::csv_number(mean.mean()) + "," + detail::csv_number(mean.standard_deviation());
  }

  /// A row a configuration: mean and standard deviation of each number over its iterations, and the p-value of a t-test
  /// against each other configuration, by the test's Dice score or, without tests, by the validation loss.
  [[nodiscard]] std::string comparison_text() const {
    const auto values = [&](std::size_t point, double AutomateRun::*number) {
      std::vector<double> out;
      for (const auto& run : runs_)
        if (run.point == point && run.is_done && !std::isnan(run.*number)) out.push_back(run.*number);
      return out;
    };
    const auto judged = options_.run_test ? &AutomateRun::test_dice : &AutomateRun::validation_loss;
    std::string out = "path_output,runs";
    for (const auto& [name, number] : detail::automate_numbers)
      out += ",avg_" + std::string(name) + ",std_" + std::string(name);
    for (std::size_t p = 0; p < choices_.size(); ++p) out += "," + detail::csv_text("p-value_" + runs_[p].model);
    out += "\n";
    for (std::size_t p = 0; p < choices_.size(); ++p) {
      out += detail::csv_text(runs_[p].model) + "," + std::to_string(values(p, &AutomateRun::epochs).size());
      for (const auto& [name, number] : detail::automate_numbers) {
        detail::RunningMean mean;
        for (const double value : values(p, number)) mean.add(value);
        out += "," + spread_text(mean);
      }
      for (std::size_t q = 0; q < choices_.size(); ++q)
        out += "," + detail::csv_number(p == q ? undefined_score : student_t(values(p, judged), values(q, judged)).p);
      out += "\n";
    }
    return out;
  }

  AutomateOptions options_;
  std::string program_;
  std::ostream& out_;
  std::ostream& err_;
  Json gpus_ = Json::array();
  std::vector<GridKey> keys_;
  std::vector<std::vector<std::pair<std::size_t, std::size_t>>> choices_;  // of each configuration
  std::vector<AutomateRun> runs_;                                          // by iteration, then by configuration
};

/// Reads the command line of `ivado automate`.
/// @param arguments  behind the command's name
/// @throws Error (usage) for what is wrong
[[nodiscard]] inline AutomateOptions parse_automate(std::span<const std::string> arguments) {
  const CommandOptions given(
      arguments, "ivado automate",
      {{"--all-combin", "--multi-params", "--fixed-split", "--run-test", "--all-logs"},
       {"--config", "--config-hyper", "--n-iterations", "--thr-increment", "--output-dir", "--processes", "--threads"},
       {"--path-data"},
       {{"-c", "--config"},
        {"-ch", "--config-hyper"},
        {"-n", "--n-iterations"},
        {"-m", "--multi-params"},
        {"-t", "--thr-increment"},
        {"-pd", "--path-data"},
        {"-l", "--all-logs"},
        {"-o", "--output-dir"},
        {"-j", "--processes"}}});
  const std::string doing = "reading the command line of ivado automate";
  AutomateOptions out;
  out.config = given.text("--config");
  out.hyper = given.text("--config-hyper");
  if (out.config.empty() || out.hyper.empty())
    throw usage_error(doing, std::string(out.config.empty() ? "--config" : "--config-hyper") + " is missing",
                      "see ivado automate --help");
  if (given.has("--all-combin") && given.has("--multi-params"))
    throw usage_error(doing, "both --all-combin and --multi-params", "give one of them");
  out.rule = given.has("--all-combin")     ? GridRule::all
             : given.has("--multi-params") ? GridRule::together
                                           : GridRule::one_by_one;
  const auto count = [&](const std::string& option, int otherwise) {
    const int number = given.number<int>(option).value_or(otherwise);
    if (given.has(option) && number < 1)
      throw usage_error(doing, option + " " + given.text(option), "give a whole number of 1 or more");
    return number;
  };
  out.iterations = count("--n-iterations", 1);
  out.processes = count("--processes", 0);
  out.threads = count("--threads", 0);
  if (const auto step = given.number<double>("--thr-increment")) {
    if (!(*step > 0 && *step < 1))
      throw usage_error(doing, "--thr-increment " + given.text("--thr-increment"),
                        "give a number between 0 and 1, such as 0.01");
    out.threshold_increment = given.text("--thr-increment");
  }
  out.fixed_split = given.has("--fixed-split");
  out.run_test = given.has("--run-test");
  out.all_logs = given.has("--all-logs");
  out.path_data = given.list("--path-data");
  if (given.has("--output-dir")) out.output = given.text("--output-dir");
  return out;
}

/// Runs `ivado automate`.
/// @param program  the file of this program, see `own_program`
/// @return exit status: 0, or 4 if a run failed
/// @throws Error for wrong usage, or what cannot be read or written
[[nodiscard]] inline int run_automate(std::span<const std::string> arguments, const std::string& program,
                                      std::ostream& out, std::ostream& err) {
  const auto is_help = [](const std::string& word) { return word == "-h" || word == "--help"; };
  if (std::any_of(arguments.begin(), arguments.end(), is_help)) return out << automate_usage, 0;
  const AutomateOptions options = parse_automate(arguments);
  try {
    const std::size_t failed = Automation(options, program, out, err).run();
    return failed == 0 ? 0 : static_cast<int>(Fault::internal);
  } catch (const nlohmann::json::exception& fault) {
    throw usage_error("reading " + options.config, fault.what(), "give each key the kind of value that --keys tells");
  }
}

}  // namespace ivado
