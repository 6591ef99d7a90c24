// A full disk: whatever is written, the error names the file and what to do, and nothing earlier is lost; and a program
// that meets it ends with an exit status that says so.
#include "../full_disk.hpp"

#include <filesystem>
#include <functional>
#include <iostream>
#include <ivado/interop/onnx_command.hpp>
#include <ivado/interop/png.hpp>
#include <ivado/ivado.hpp>
#include <ivado/report/read_events.hpp>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

Unet<2, 1> small_unet() {
  Unet<2, 1>::Params params;
  params.n_filters = 4;
  return Unet<2, 1>(params);
}

/// One way to write a file.
struct Writer {
  std::string file;  ///< within the folder
  std::function<void(const std::string& path)> write;
};

std::vector<Writer> writers() {
  Geometry geometry;
  geometry.shape = {16, 16, 16};
  Rng rng({1, 0, 0, stream_user});
  const auto voxels = std::make_shared<Array<float>>(Shape{16, 16, 16});
  for (auto& voxel : *voxels) voxel = rng.uniform_float();
  const auto net = std::make_shared<Net<Unet<2, 1>>>(small_unet());
  const auto adam = std::make_shared<Adam>(Adam::Params{}, net->trained());
  const auto picture = std::make_shared<Array<std::uint8_t>>(Shape{64, 64});
  for (auto& byte : *picture) byte = static_cast<std::uint8_t>(rng.below(256));
  const auto prediction = [=](const std::string& path) {
    write_volume(path, std::as_const(*voxels).view(), geometry, StoredType::float32);
  };
  return {{"checkpoint.safetensors",
           [=](const std::string& path) { save_checkpoint(path, *net, *adam, TrainingState{}, Json::object()); }},
          {"my_model.safetensors", [=](const std::string& path) { write_safetensors(path, weights_of(*net)); }},
          {"my_model.onnx",
           [=](const std::string& path) {
             OnnxExporter{}(path, graph::record(net->model(), Shape{1, 1, 16, 16}), weights_of(*net));
           }},
          {"sub-01_pred.nii.gz", prediction},
          {"sub-01_pred.nii", prediction},
          {"picture.png", [=](const std::string& path) { write_png(path, std::as_const(*picture).view()); }},
          {"config_file.json", [](const std::string& path) { write_file_atomically(path, std::string(5000, 'x')); }}};
}

/// The message of the internal error that an action throws; empty if it throws none.
template <class Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.fault() == Fault::internal ? error.what() : "not internal: " + std::string(error.what());
  }
  return {};
}

std::size_t files_in(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

/// Checks each writer over an earlier file of its own.
/// @param with_full_disk  runs an action while there is no room in the folder
template <class WithFullDisk>
void check_writers(const std::string& folder, const WithFullDisk& with_full_disk) {
  std::filesystem::create_directories(folder);
  const auto all = writers();
  std::map<std::string, std::string> before;
  for (const auto& one : all) {
    one.write(folder + "/" + one.file);
    before[one.file] = content_of(folder + "/" + one.file);
  }
  std::map<std::string, std::string> said;
  with_full_disk([&] {
    for (const auto& one : all) said[one.file] = refusal([&] { one.write(folder + "/" + one.file); });
  });
  for (const auto& one : all) {
    INFO(one.file);
    CHECK_THAT(said[one.file], Contains(folder + "/" + one.file) && Contains("check the free space"));
    CHECK((content_of(folder + "/" + one.file) == before[one.file]));
  }
  CHECK(files_in(folder) == all.size());
}

/// Checks the logs, which grow: what is there stays, and what finds no room is an error.
template <class WithFullDisk>
void check_logs(const std::string& folder, const WithFullDisk& with_full_disk) {
  std::filesystem::create_directories(folder);
  const EpochRecord first{1, 0.01, 0.5, 0.25, 1, 0, true, {}};
  ConsoleLogger console;
  LogFiles tables;
  TensorBoardLogger curves;
  const std::string path = folder + "/log";
  console.open(path);
  tables.open(path);
  curves.open(path);
  std::ostringstream screen;
  std::streambuf* const terminal = std::cout.rdbuf(screen.rdbuf());
  console.info("the first line");
  tables.begin_training(0);
  curves.begin_training(0);
  tables.epoch(first);
  curves.epoch(first);
  std::string of_console;
  std::string of_tables;
  std::string of_curves;
  with_full_disk([&] {
    of_console = refusal([&] { console.info(std::string(10000, 'x')); });
    of_tables = refusal([&] { tables.epoch({2, 0.01, 0.4, 0.2, 1, 0, true, {}}); });
    of_curves = refusal([&] {
      for (int step = 2; step < 500; ++step) curves.epoch({step, 0.01, 0.4, 0.2, 1, 0, true, {}});
    });
  });
  std::cout.rdbuf(terminal);
  CHECK_THAT(of_console, StartsWith("writing the log " + folder + "/log: ") && Contains("check the free space"));
  CHECK_THAT(of_tables, Contains(folder + "/training_log.jsonl") && Contains("check the free space"));
  CHECK_THAT(of_curves, Contains("events.out.tfevents.") && Contains("check the free space"));
  CHECK_THAT(content_of(folder + "/log"), StartsWith("the first line\n"));
  CHECK_THAT(content_of(folder + "/training_log.jsonl"), Contains("\"train_loss\":0.5"));
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/losses_train_loss"))
    CHECK(read_event_scalars(entry.path().string()).scalars.at(0).value == 0.5);
}

using Action = std::function<void()>;

/// Fills the disk when an epoch begins.
class Filler : public QuietLogger {
 public:
  static inline std::string at;  ///< such as "epoch 2/3"; empty: never
  static inline Action fill;
  void progress(const std::string& what, std::int64_t, std::int64_t, const std::string&) {
    if (!at.empty() && what == at) fill();
  }
};

using Program = Pipeline<BidsLoader<Slices<Axis::axial>>, Compose<Resample, CenterCrop, NormalizeInstance>, Unet<2, 1>,
                         DiceLoss, PostProcess<Binarize>, Loggers<Filler, LogFiles>, OnnxExporter>;

constexpr std::string_view numbers = R"({
  "loader_parameters": {
    "target_suffix": ["_seg-manual"], "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]},
    "workers": 1
  },
  "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
  "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 3}, "scheduler": {"initial_lr": 0.01}},
  "default_model": {"n_filters": 8, "depth": 1}, "threads": 1,
  "transformation": {"Resample": {"hspace": 2, "wspace": 2}, "CenterCrop": {"size": [24, 24]}, "NormalizeInstance": {}}
})";

/// Runs the program. @param said  gets what it writes to standard error
int run(const World& world, const std::string& results, std::vector<std::string> more, std::string& said) {
  std::vector<std::string> arguments{"program", "-pd", world.data(), "-po", results};
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  std::ostringstream err;
  std::streambuf* const terminal = std::cerr.rdbuf(err.rdbuf());
  const int status = ivado::main<Program>(static_cast<int>(pointers.size()), pointers.data(), numbers);
  std::cerr.rdbuf(terminal);
  said = err.str();
  return status;
}

}  // namespace

TEST_CASE("Files that may not grow leave the earlier ones as they were, and say so", "[unit]") {
  const Scratch scratch;
  const auto limited = [](const Action& action) {
    const SmallDisk disk(100);
    action();
  };
  check_writers(scratch / "files", limited);
  check_logs(scratch / "logs", limited);
}

TEST_CASE("A full disk leaves the earlier files as they were, and says so", "[unit]") {
  const MemoryDisk disk(8 << 20);
  if (!disk.refusal().empty()) {
    WARN("skipped: a file system in memory cannot be mounted (" + disk.refusal() + "); run as root");
    return;
  }
  const auto full = [&](const Action& action) {
    disk.fill();
    action();
    disk.clear();
  };
  check_writers(disk / "files", full);
  check_logs(disk / "logs", full);
}

TEST_CASE("A program that meets a full disk ends with status 4 and loses nothing", "[train]") {
  const MemoryDisk disk(16 << 20);
  if (!disk.refusal().empty()) {
    WARN("skipped: a file system in memory cannot be mounted (" + disk.refusal() + "); run as root");
    return;
  }
  const World world({"T2w"});
  const std::string results = disk / "results";
  std::string said;
  Filler::fill = [&] { disk.fill(); };
  Filler::at = "epoch 2/3";
  CHECK(run(world, results, {}, said) == 4);
  CHECK_THAT(said, Contains("writing " + results) && Contains("check the free space"));
  Filler::at.clear();
  disk.clear();

  REQUIRE(run(world, results, {"--resume-training"}, said) == 0);
  const Scratch elsewhere;
  REQUIRE(run(world, elsewhere / "results", {}, said) == 0);
  CHECK(
      (content_of(results + "/final_model.safetensors") == content_of(elsewhere / "results/final_model.safetensors")));

  REQUIRE(run(world, results, {"--test"}, said) == 0);
  std::map<std::string, std::string> before;
  for (const char* folder : {"/pred_masks", "/results_eval", "/my_model"})
    for (const auto& entry : std::filesystem::directory_iterator(results + folder))
      before[entry.path().string()] = content_of(entry.path().string());
  CHECK(before.size() > 4);
  disk.fill();
  CHECK(run(world, results, {"--test"}, said) == 4);
  CHECK_THAT(said, Contains("writing " + results + "/pred_masks/sub-") && Contains("check the free space"));
  CHECK(run(world, results, {"--train"}, said) == 4);
  CHECK_THAT(said, Contains("writing " + results) && Contains("check the free space"));
  disk.clear();
  for (const auto& [path, content] : before) CHECK((content_of(path) == content));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(results))
    CHECK_FALSE(entry.path().filename().string().starts_with(".ivado-"));
}
