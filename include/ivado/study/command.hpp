// `ivado study`: the experiments of the profile study, each configuration in a process of its own, with tables, figures
// and one page.
#pragma once

#include <algorithm>
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
#include "../data/atomic_file.hpp"
#include "../data/dataset_copy.hpp"
#include "../data/phantom.hpp"
#include "../error.hpp"
#include "../version.hpp"
#include "experiments.hpp"
#include "measurements.hpp"
#include "page.hpp"
#include "process.hpp"

namespace ivado::study {

/// What `ivado study` was asked for.
struct StudyRequest {
  std::vector<std::string> experiments;  ///< by name
  Settings settings;
  bool is_reduced = false;
  std::string data;  ///< a BIDS folder; empty: a phantom is made
  std::string output = "study";
  PhantomParams phantom;  ///< where `data` is empty
  int repeats = 3;
  int threads = 1;  ///< of each process
  int workers = 0;  ///< of each process, for loading
};

namespace detail {

/// A repeat of a configuration.
struct Repeat {
  const Experiment* experiment = nullptr;
  const Run* run = nullptr;
  int number = 1;
  std::string folder;
};

/// Makes a PNG beside each SVG, with librsvg's `rsvg-convert` where it is installed.
class PngMaker {
 public:
  explicit PngMaker(std::string log) : log_(std::move(log)) {}
  /// @param path  of the SVG
  void operator()(const std::string& path) {
    if (!fault_.empty()) return;
    const std::string png = std::filesystem::path(path).replace_extension(".png").string();
    // Twice the size: text stays sharp on a printed page.
    const ProcessResult result = run_process({{"rsvg-convert", "--zoom", "2", "--output", png, path}, log_});
    if (!result.succeeded())
      fault_ = "no PNG files: rsvg-convert " +
               (result.fault.empty() ? result.text() + ", see " + log_ : "is not installed (Debian: librsvg2-bin)");
  }
  /// Why there are none; empty where there are.
  [[nodiscard]] const std::string& fault() const noexcept { return fault_; }

 private:
  std::string log_;
  std::string fault_;
};

/// "a b c" of a list.
template <class Value>
[[nodiscard]] std::string joined(const std::vector<Value>& values) {
  std::string out;
  for (const auto& value : values) out += (out.empty() ? "" : " ") + ivado::detail::text(value);
  return out;
}

/// The lines that say how a study differs from the one that was published.
[[nodiscard]] inline std::vector<std::string> reductions(const StudyRequest& request) {
  std::vector<std::string> out;
  const Settings full;
  const Settings& own = request.settings;
  const auto differs = [&](const std::string& what, auto ours, auto theirs) {
    if (ours != theirs) out.push_back(ivado::detail::text("reduced: ", what, " ", ours, " instead of ", theirs));
  };
  differs("epochs", own.epochs, full.epochs);
  differs("contrasts", joined(own.contrasts), joined(full.contrasts));
  differs("filters of the U-Net", own.unet_filters, full.unet_filters);
  differs("filters of the 3-D U-Net", own.unet_3d_filters, full.unet_3d_filters);
  differs("predictions of each image in the experiment on uncertainty", own.uncertainty_runs, full.uncertainty_runs);
  const std::string network = " in the experiment on Countception";
  differs("slices of a mini-batch" + network, own.countception_batch, full.countception_batch);
  differs("voxels of a slice's side" + network, own.countception_side, full.countception_side);
  differs("scale of the data" + network, own.countception_scale, full.countception_scale);
  if (!own.countception_contrasts.empty())
    differs("contrasts" + network, joined(own.countception_contrasts), joined(own.contrasts));
  differs("scales of the data for the U-Nets", joined(own.unet_scales), joined(full.unet_scales));
  differs("scales of the data for ResNet", joined(own.resnet_scales), joined(full.resnet_scales));
  if (request.data.empty())
    differs("length of the phantom in mm", request.phantom.length_mm, PhantomParams{}.length_mm);
  differs("repeats", request.repeats, 3);
  return out;
}

/// The data set of a scale, made where it is not there yet.
[[nodiscard]] inline std::string scaled_data(const StudyRequest& request, const std::string& base, double scale) {
  if (scale == 1) return base;
  const std::string folder = request.output + "/data/scale-" + scale_name(scale);
  if (std::filesystem::exists(folder)) return folder;
  ScaleParams params;
  params.from = base;
  params.to = folder;
  params.factor = scale;
  params.link = true;
  (void)write_scaled(params);
  return folder;
}

/// The record of a repeat that came to its end, in its folder.
inline constexpr std::string_view record_name = "study.json";

/// What a user's data set is told from another by without reading it: files, bytes, and the last change.
[[nodiscard]] inline Json state_of(const std::string& folder) {
  namespace fs = std::filesystem;
  std::int64_t files = 0;
  std::uintmax_t bytes = 0;
  auto newest = fs::file_time_type::min();
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied)) {
    std::error_code fault;
    if (!entry.is_regular_file(fault)) continue;
    const auto size = entry.file_size(fault);
    if (fault) continue;
    ++files;
    bytes += size;
    newest = std::max(newest, entry.last_write_time(fault));
  }
  return {{"folder", folder}, {"files", files}, {"bytes", bytes}, {"newest", newest.time_since_epoch().count()}};
}

/// What the data of a study are.
[[nodiscard]] inline Json data_identity(const StudyRequest& request) {
  if (request.data.empty()) return {{"phantom", to_json(request.phantom)}};
  return state_of(request.data);
}

/// The folder of the data: the user's, or a phantom, which is made unless it is there. What an earlier study left of
/// other data in the output folder is removed, larger and smaller data sets made of them as well.
[[nodiscard]] inline std::string prepare_data(const StudyRequest& request, const Json& identity, std::ostream& out) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(request.output) / "data";
  const std::string phantom = (folder / "phantom").string();
  const std::string record = (folder / "made_of.json").string();
  const std::string text = identity.dump(2) + "\n";
  fs::create_directories(folder);
  if (request.data.empty())
    out << "data: a phantom of " << request.phantom.subjects << " subjects in " << phantom << "\n";
  if (!fs::exists(record) || ivado::detail::read_bytes(record) != text) {
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(folder))
      if (const std::string name = entry.path().filename().string(); name == "phantom" || name.starts_with("scale-"))
        old.push_back(entry.path());
    fs::remove(record);
    for (const auto& path : old) fs::remove_all(path);
    if (request.data.empty()) write_phantom(phantom, request.phantom);
    write_file_atomically(record, text);
  }
  return request.data.empty() ? phantom : request.data;
}

/// What the results of a repeat depend on: where it is another one than that of the record, the repeat runs anew.
[[nodiscard]] inline std::string identity_of(const StudyRequest& request, const Run& run, const Json& configuration,
                                             const Json& data) {
  return Json{{"ivado", version},
              {"configuration", configuration},
              {"data", data},
              {"threshold_increment", run.threshold_increment.value_or(0)},
              {"is_tested", run.is_tested},
              {"threads", request.threads},
              {"workers", request.workers}}
             .dump(2) +
         "\n";
}

/// Runs a repeat, or finds it done.
/// @return  what went wrong; nothing if all is well
[[nodiscard]] inline std::optional<std::string> run_repeat(const StudyRequest& request, const std::string& program,
                                                           const std::string& base, const Json& data,
                                                           const Repeat& repeat, std::ostream& out) {
  namespace fs = std::filesystem;
  const Run& run = *repeat.run;
  Json configuration = run.configuration;
  configuration["loader_parameters"]["path_data"] = {scaled_data(request, base, run.scale)};
  configuration["path_output"] = repeat.folder;
  if (!run.starts_from.empty())
    configuration["training_parameters"]["transfer_learning"]["retrain_model"] =
        request.output + "/" + repeat.experiment->name + "/" + run.starts_from + "/" + std::to_string(repeat.number) +
        "/best_model.safetensors";
  const std::string record = repeat.folder + "/" + std::string(record_name);
  const std::string identity = identity_of(request, run, configuration, data);
  if (fs::exists(record) && ivado::detail::read_bytes(record) == identity) {
    out << "  is there already\n";
    return std::nullopt;
  }
  fs::remove_all(repeat.folder);
  fs::create_directories(repeat.folder);
  std::vector<std::string> common{program,
                                  "-c",
                                  repeat.folder + "/config.json",
                                  "--profile",
                                  "--threads",
                                  std::to_string(request.threads),
                                  "--workers",
                                  std::to_string(request.workers)};
  write_file_atomically(common[2], configuration.dump(2) + "\n");
  const auto launch = [&](std::vector<std::string> more, const std::string& log) -> std::optional<std::string> {
    std::vector<std::string> arguments = common;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult result = run_process({arguments, repeat.folder + "/" + log});
    out << "  " << more.front().substr(2) << ": " << ivado::detail::fixed_text(result.seconds, 1) << " s\n";
    if (result.succeeded()) return std::nullopt;
    return repeat.experiment->name + "/" + run.name + " failed (" + result.text() + "): see " + repeat.folder + "/" +
           log;
  };
  std::vector<std::string> training{"--train"};
  if (run.threshold_increment) training.insert(training.end(), {"-t", ivado::detail::text(*run.threshold_increment)});
  auto fault = launch(training, "train.log");
  if (!fault && run.is_tested) fault = launch({"--test"}, "test.log");
  if (!fault) write_file_atomically(record, identity);
  return fault;
}

/// Reads the repeats that came to their end.
/// @param repeats  at most so many of each configuration: an earlier study may have left more
[[nodiscard]] inline std::vector<Measured> collect(const std::string& output,
                                                   const std::vector<Experiment>& experiments,
                                                   int repeats = std::numeric_limits<int>::max()) {
  namespace fs = std::filesystem;
  std::vector<Measured> out;
  for (const auto& experiment : experiments)
    for (const auto& run : experiment.runs) {
      std::vector<std::string> folders;
      for (int k = 1; k <= repeats; ++k) {
        const std::string folder = output + "/" + experiment.name + "/" + run.name + "/" + std::to_string(k);
        if (!fs::exists(folder)) break;
        if (fs::exists(folder + "/" + std::string(record_name))) folders.push_back(folder);
      }
      if (!folders.empty()) out.push_back(read_measured(experiment.name, run.name, folders));
    }
  return out;
}

/// Writes the means over the repeats as the study did: `<run>_sys.csv` and so on.
inline void write_means(const std::string& output, const std::vector<Measured>& runs) {
  for (const auto& run : runs) {
    const std::string folder = output + "/" + run.experiment + "/final";
    std::filesystem::create_directories(folder);
    for (const auto& [log, ending] : {std::pair{&Measured::system, "_sys"}, std::pair{&Measured::training, "_trn"},
                                      std::pair{&Measured::validation, "_val"}, std::pair{&Measured::work, "_work"}})
      write_file_atomically(folder + "/" + run.run + ending + ".csv", csv(run.*log));
  }
}

/// Warnings of runs with too few mini-batches to say anything about one.
[[nodiscard]] inline std::vector<std::string> short_epochs(const std::vector<Measured>& runs, int epochs) {
  std::vector<std::string> out;
  for (const auto& run : runs)
    if (const auto batches = run.training.rows.size() / static_cast<std::size_t>(std::max(epochs, 1)); batches < 10)
      out.push_back(run.experiment + "/" + run.run + " has " + std::to_string(batches) +
                    " mini-batches an epoch, fewer than 10: use more data for it");
  return out;
}

/// What a training says that it computes on, with the version of LibTorch: the line "device: …" of its log. Empty where
/// there is none.
[[nodiscard]] inline std::string device_of(const std::string& log) {
  std::error_code fault;
  if (!std::filesystem::exists(log, fault)) return {};
  const std::string text = ivado::detail::read_bytes(log);
  const auto begin = text.starts_with("device: ") ? 0 : text.find("\ndevice: ");
  if (begin == std::string::npos) return {};
  const auto line = text.find("device: ", begin);
  return text.substr(line, text.find('\n', line) - line);
}

[[nodiscard]] inline std::vector<Experiment> experiments_of(const std::vector<std::string>& names,
                                                            const Settings& settings) {
  std::vector<Experiment> out;
  for (const auto& name : names) out.push_back(experiment(name, settings));
  return out;
}

}  // namespace detail

/// Runs the experiments, each configuration `repeats` times in processes of their own, and writes tables, figures and
/// the page into the output folder. What is there already, made with the same configuration, is not run again.
/// @param program  the general program
/// @return         what failed, a line each
/// @throws Error if the data cannot be made or read, or a file cannot be written
[[nodiscard]] inline std::vector<std::string> run_study(const StudyRequest& request, const std::string& program,
                                                        std::ostream& out) {
  namespace fs = std::filesystem;
  const auto experiments = detail::experiments_of(request.experiments, request.settings);
  const Json data = detail::data_identity(request);
  const std::string base = detail::prepare_data(request, data, out);
  auto notes = detail::reductions(request);
  notes.push_back("data: " + (request.data.empty() ? "phantom of " + std::to_string(request.phantom.subjects) +
                                                         " subjects, made by ivado"
                                                   : fs::path(request.data).filename().string()));
  notes.push_back(ivado::detail::text("each process has ", request.threads, " threads for computing and ",
                                      request.workers, " for loading; each configuration ran ", request.repeats,
                                      request.repeats == 1 ? " time" : " times"));
  for (const auto& note : notes) out << note << "\n";

  std::vector<detail::Repeat> repeats;
  for (const auto& experiment : experiments)
    for (int k = 1; k <= request.repeats; ++k)  // configurations in turn, so that what drifts hits all
      for (const auto& run : experiment.runs)
        repeats.push_back(
            {&experiment, &run, k, request.output + "/" + experiment.name + "/" + run.name + "/" + std::to_string(k)});
  std::vector<std::string> failures;
  for (std::size_t i = 0; i < repeats.size(); ++i) {
    const auto& repeat = repeats[i];
    out << "[" << i + 1 << "/" << repeats.size() << "] " << repeat.experiment->name << "/" << repeat.run->name
        << ", repeat " << repeat.number << std::endl;
    if (const auto fault = detail::run_repeat(request, program, base, data, repeat, out)) {
      out << "  " << *fault << "\n";
      failures.push_back(*fault);
    }
  }

  const auto runs = detail::collect(request.output, experiments, request.repeats);
  detail::write_means(request.output, runs);
  for (const auto& warning : detail::short_epochs(runs, request.settings.epochs)) {
    notes.push_back(warning);
    out << "warning: " << warning << "\n";
  }
  for (const auto& failure : failures) notes.push_back(failure);
  if (const std::string device = detail::device_of(repeats.front().folder + "/train.log"); !device.empty())
    notes.push_back(device);
  detail::PngMaker make_png(request.output + "/png.log");
  for (const auto& experiment : experiments) {
    std::vector<Measured> of;
    for (const auto& run : runs)
      if (run.experiment == experiment.name) of.push_back(run);
    if (of.empty()) continue;
    for (const auto& [name, svg] : figures_of(experiment, of)) {
      const std::string path = request.output + "/" + experiment.name + "/" + name;
      write_file_atomically(path + ".svg", svg);
      make_png(path + ".svg");
    }
  }
  if (!make_png.fault().empty()) out << "note: " << make_png.fault() << "\n";
  write_file_atomically(request.output + "/study.html", page_html(experiments, runs, notes));
  out << "page: " << request.output << "/study.html\n";
  return failures;
}

namespace detail {

inline constexpr std::string_view usage =
    "usage: ivado study EXPERIMENT... [options]\n"
    "       ivado study compare FOLDER FOLDER [-o FOLDER]\n\n"
    "Runs the experiments of the profile study of ivadomed, each configuration in a process of its own, and writes\n"
    "tables (CSV), figures (SVG and PNG) and one page, study.html.\n\n"
    "EXPERIMENT: segmentation, classification, scale, threshold, transfer, batch (the study's six), uncertainty, "
    "mixup,\n"
    "countception (what it names as future work); all: all nine. compare lays the results of two machines side by "
    "side.\n\n"
    "  --data PATH        BIDS folder (default: a phantom is made)\n"
    "  -o, --output PATH  folder of the results (default study); what is there with the same settings is not run "
    "again\n"
    "  --reduced          fewer filters and epochs, one repeat, a smaller phantom: half an hour on two cores for all\n"
    "  --repeats N        of each configuration (default 3)\n"
    "  --epochs N         of each training (default 5)\n"
    "  --scale F...       sizes of the data in the experiment scale (default 0.5 1 2, for ResNet 0.5 1 10)\n"
    "  --contrasts C...   contrasts of the data (default T1w T2w T2star)\n"
    "  --suffix S         ending of the label files (default _seg-manual)\n"
    "  --threads N        of each process, for computing (default: one a core)\n"
    "  --workers N        of each process, for loading (default 1)\n"
    "  -h, --help         this text\n";

[[nodiscard]] inline StudyRequest request_of(const std::vector<std::string>& words, const CommandOptions& options) {
  StudyRequest out;
  out.is_reduced = options.has("--reduced");
  out.phantom.subjects = 10;
  if (out.is_reduced) {
    out.settings = reduced_settings();
    out.repeats = 1;
    out.phantom.subjects = 14;
    out.phantom.length_mm = 24;
  }
  const auto at_least_one = [&](const char* option, auto standard) {
    const auto given = options.number<decltype(standard)>(option).value_or(standard);
    if (given < 1) throw usage_error("ivado study", std::string(option) + " is below 1", "give 1 or more");
    return given;
  };
  out.repeats = at_least_one("--repeats", out.repeats);
  out.settings.epochs = at_least_one("--epochs", out.settings.epochs);
  out.threads = at_least_one("--threads", std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
  out.workers = options.number<int>("--workers").value_or(1);
  if (out.workers < 0) throw usage_error("ivado study", "--workers is below 0", "give 0 or more");
  out.data = options.text("--data");
  if (!out.data.empty()) out.data = std::filesystem::absolute(out.data).lexically_normal().string();
  if (!out.data.empty() && !std::filesystem::is_directory(out.data))
    throw usage_error("ivado study", "there is no folder " + out.data, "check --data");
  if (options.has("--output")) out.output = options.text("--output");
  out.output = std::filesystem::absolute(out.output).lexically_normal().string();
  if (options.has("--contrasts")) out.settings.contrasts = options.list("--contrasts");
  if (out.is_reduced && out.settings.contrasts.size() > 1)
    out.settings.countception_contrasts = {out.settings.contrasts.back()};
  if (out.is_reduced && out.data.empty()) out.settings.countception_scale = 0.25;
  if (options.has("--suffix")) out.settings.target_suffix = options.text("--suffix");
  if (options.has("--scale")) {
    std::vector<double> scales;
    for (const auto& word : options.list("--scale")) {
      double value = 0;
      const char* const end = word.data() + word.size();
      const auto [at, fault] = std::from_chars(word.data(), end, value);
      if (fault != std::errc{} || at != end || !(value > 0))
        throw usage_error("ivado study", "--scale " + word, "give numbers above 0, such as 0.5 1 2");
      scales.push_back(value);
    }
    out.settings.unet_scales = out.settings.resnet_scales = scales;
  }
  const auto add = [&](std::string_view name) {
    if (std::find(out.experiments.begin(), out.experiments.end(), name) == out.experiments.end())
      out.experiments.emplace_back(name);
  };
  for (const auto& word : words) {
    if (word == "all")
      for (const auto name : experiment_names) add(name);
    else
      add(experiment(word, out.settings).name);
  }
  return out;
}

[[nodiscard]] inline int compare(const std::vector<std::string>& folders, const std::string& output,
                                 std::ostream& out) {
  if (folders.size() != 2)
    throw usage_error("ivado study compare", ivado::detail::text(folders.size(), " folders are given"),
                      "name the output folders of two studies");
  const auto experiments = experiments_of({experiment_names.begin(), experiment_names.end()}, Settings{});
  // Also those of scales that are not the usual ones: what is there, by its folders.
  std::vector<std::vector<Measured>> results;
  for (const auto& folder : folders) {
    auto found = experiments;
    for (auto& one : found) {
      one.runs.clear();
      const std::filesystem::path place = std::filesystem::path(folder) / one.name;
      if (!std::filesystem::is_directory(place)) continue;
      std::set<std::string> names;
      for (const auto& entry : std::filesystem::directory_iterator(place))
        if (std::filesystem::exists(entry.path() / "1")) names.insert(entry.path().filename().string());
      for (const auto& name : names) one.runs.push_back({name, Json::object()});
    }
    results.push_back(collect(folder, found));
    if (results.back().empty())
      throw data_error("ivado study compare", "there are no results in " + folder,
                       "name the output folder of `ivado study`");
  }
  const auto [page, table] = comparison(results[0], results[1], folders[0], folders[1]);
  std::filesystem::create_directories(output);
  write_file_atomically(output + "/study_compare.html", page);
  write_file_atomically(output + "/study_compare.csv", table);
  out << "wrote " << output << "/study_compare.html and .csv\n";
  return 0;
}

}  // namespace detail

/// The command `ivado study EXPERIMENT... [options]`.
/// @param arguments  what follows the word `study`
/// @param program    the general program, which runs the configurations
/// @return exit status: 0 done, 2 wrong usage, 3 data that cannot be used, 4 a run failed or anything else
[[nodiscard]] inline int run_study_command(std::span<const std::string> arguments, const std::string& program,
                                           std::ostream& out, std::ostream& err) {
  return run_guarded("ivado study", err, [&] {
    const auto first_option =
        std::find_if(arguments.begin(), arguments.end(), [](const std::string& word) { return word.starts_with("-"); });
    const std::vector<std::string> words(arguments.begin(), first_option);
    const CommandOptions options(arguments.subspan(words.size()), "ivado study",
                                 {{"--reduced"},
                                  {"--data", "--output", "--repeats", "--epochs", "--suffix", "--threads", "--workers"},
                                  {"--scale", "--contrasts"},
                                  {{"-o", "--output"}}});
    if (options.has("--help") || words.empty()) {
      (words.empty() && !options.has("--help") ? err : out) << detail::usage;
      return options.has("--help") ? 0 : static_cast<int>(Fault::usage);
    }
    if (words.front() == "compare")
      return detail::compare({words.begin() + 1, words.end()},
                             options.has("--output") ? options.text("--output") : std::string("."), out);
    const StudyRequest request = detail::request_of(words, options);
    const auto failures = run_study(request, program, out);
    for (const auto& failure : failures) err << "ivado study: " << failure << "\n";
    return failures.empty() ? 0 : static_cast<int>(Fault::internal);
  });
}

}  // namespace ivado::study
