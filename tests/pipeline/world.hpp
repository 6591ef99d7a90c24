// A small data set for the tests of whole programs, and room for their results.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <ivado/data/phantom.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../scratch.hpp"

/// The configuration of a small U-Net on axial slices of T1w and T2w, without paths.
inline constexpr std::string_view small_experiment = R"({
  "loader_parameters": {
    "target_suffix": ["_seg-manual"],
    "contrast_params": {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"]},
    "workers": 1
  },
  "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
  "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 2}, "scheduler": {"initial_lr": 0.01}},
  "default_model": {"n_filters": 4, "depth": 2},
  "transformation": {
    "Resample": {"hspace": 1.5, "wspace": 1.5}, "CenterCrop": {"size": [32, 32]}, "NormalizeInstance": {}
  },
  "postprocessing": {"binarize_prediction": {"thr": 0.5}}
})";

/// The names of what is in a folder, sorted.
inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// Four subjects of the phantom in a folder of their own.
class World {
 public:
  explicit World(std::vector<std::string> contrasts) {
    ivado::PhantomParams params;
    params.subjects = 4;
    params.contrasts = std::move(contrasts);
    ivado::write_phantom(data(), params);
  }
  [[nodiscard]] std::string data() const { return folder_ / "data"; }
  [[nodiscard]] std::string results(const std::string& name) const { return folder_ / name; }
  /// The path of a subject's image, by its number and the contrast.
  [[nodiscard]] std::string image(std::size_t subject, const std::string& contrast) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(data())) {
      const std::string path = entry.path().string();
      if (path.ends_with("_" + contrast + ".nii.gz") && path.find("derivatives") == std::string::npos)
        found.push_back(path);
    }
    std::sort(found.begin(), found.end());
    return found.at(subject);
  }

 private:
  Scratch folder_;
};
