// Whole processes that segment one volume, from their start to the file written: the production program on the engine, and the
// program with LibTorch; and how long each needs to do nothing. The production program also in bf16, where the processor multiplies it.
//
//   bench_segment_process [rounds]     7 unless told
//
// The U-Net of ivadomed's profile study (depth 3, 64 filters) on 16 slices of 131×141 cropped to 128×128, as in the baseline of the Python
// original: 2.3 s until its modules are imported and 1.6 s for the volume, on a machine of the same kind. The model is trained for an epoch
// on a small phantom. The programs `ivado` and `segment_engine` are those beside this one. All take turns in each round; medians are
// printed, and as JSON on the last line.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <ivado/config/json.hpp>
#include <ivado/data/volume_io.hpp>
#include <ivado/engine/lanes.hpp>
#include <ivado/error.hpp>
#include <ivado/random.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "median.hpp"

extern char** environ;

namespace {

namespace fs = std::filesystem;

constexpr double python_start_s = 2.3;
constexpr double python_volume_s = 1.6;

/// Runs a program, with its output in a file.
/// @return its seconds, from before it is started until it has ended
double run(const std::vector<std::string>& command, const std::string& output) {
  std::vector<char*> arguments;
  for (const auto& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const auto begin = std::chrono::steady_clock::now();
  pid_t child = 0;
  const int fault = posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (fault != 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw ivado::internal_error("running " + command[0], "it could not be started or failed",
                                "build it, and see " + output);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// A volume of noise on a field that is brighter in the middle.
void write_image(const std::string& path) {
  const ivado::Shape shape{131, 141, 16};
  ivado::Array<float> voxels(shape);
  ivado::Rng rng({1, 0, 0, 0});
  std::int64_t k = 0;
  for (std::int64_t i = 0; i < shape[0]; ++i)
    for (std::int64_t j = 0; j < shape[1]; ++j)
      for (std::int64_t z = 0; z < shape[2]; ++z, ++k) {
        const double distance = std::hypot(static_cast<double>(i - 65), static_cast<double>(j - 70));
        voxels[k] = static_cast<float>(600 * std::exp(-distance / 30) + rng.normal(100, 20));
      }
  ivado::Geometry geometry;
  geometry.shape = shape;
  ivado::write_volume(path, voxels.view(), geometry, ivado::StoredType::float32);
}

void bench(std::size_t rounds) {
  const fs::path programs = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path folder = fs::temp_directory_path() / ("ivado-segment-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const auto in = [&](const char* name) { return (folder / name).string(); };
  const std::string with_torch = (programs / "ivado").string();
  const std::string by_engine = (programs / "segment_engine").string();
  const std::string output = in("output.txt");
  std::ofstream(in("config.json")) << R"({
    "model_name": "model",
    "loader_parameters": {"target_suffix": ["_seg-manual"], "slice_axis": "axial",
                          "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}},
    "split_dataset": {"train_fraction": 0.4, "test_fraction": 0.2},
    "training_parameters": {"batch_size": 4, "training_time": {"num_epochs": 1}},
    "default_model": {"name": "Unet", "depth": 3, "n_filters": 64},
    "transformation": {"CenterCrop": {"size": [128, 128]}, "NormalizeInstance": {}},
    "postprocessing": {"binarize_prediction": {"thr": 0.5}}
  })";
  std::printf("training a model for an epoch …\n");
  std::fflush(stdout);
  run({with_torch, "phantom", in("data"), "--subjects", "5", "--contrasts", "T2w", "--length-mm", "12"}, output);
  run({with_torch, "-c", in("config.json"), "--train", "-pd", in("data"), "-po", in("results")}, output);
  write_image(in("image.nii.gz"));

  struct Contender {
    const char* name;
    std::vector<std::string> command;
    std::vector<double> seconds{};
  };
  const std::string package = in("results") + "/model";
  std::vector<Contender> all{
      {"segment_engine --help", {by_engine, "--help"}},
      {"segment_engine, one volume", {by_engine, "-i", in("image.nii.gz"), "-m", package, "-o", in("engine")}},
      {"ivado --help", {with_torch, "--help"}},
      {"ivado segment-image, one volume",
       {with_torch, "segment-image", "-i", in("image.nii.gz"), "-m", package, "-o", in("torch")}}};
  if (ivado::engine::has_avx512_bf16())
    all.push_back({"segment_engine in bf16, one volume",
                   {by_engine, "-i", in("image.nii.gz"), "-m", package, "-o", in("bf16"), "--precision", "bf16"}});
  else
    std::puts("bf16 is left out: this processor does not multiply it");
  for (std::size_t round = 0; round <= rounds; ++round)
    for (auto& one : all) {
      const double seconds = run(one.command, output);
      if (round > 0) one.seconds.push_back(seconds);  // the first brings the programs into memory
    }
  const double python = python_start_s + python_volume_s;
  std::printf("medians of %zu rounds; Python original: %.1f s\n", rounds, python);
  ivado::Json json{{"bench", "segment_process"}, {"rounds", rounds}, {"python_s", python}};
  for (const auto& one : all) {
    const double seconds = median(one.seconds);
    const bool is_volume = std::string_view(one.name).ends_with("volume");
    std::printf("%-38s %8.3f s%s\n", one.name, seconds,
                is_volume ? (", Python : this = " + std::to_string(python / seconds)).c_str() : "");
    json["median_s"][one.name] = seconds;
  }
  std::printf("%s\n", json.dump().c_str());
  fs::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    bench(argc > 1 ? static_cast<std::size_t>(std::max(1, std::atoi(argv[1]))) : 7);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "bench_segment_process: %s\n", error.what()), 2;
  }
}
