// What several benchmarks share: the data, transforms and medians of the profile study, and a temporary folder.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <ivado/config/json.hpp>
#include <ivado/data/dataset_copy.hpp>
#include <ivado/data/phantom.hpp>
#include <ivado/error.hpp>
#include <ivado/transform/transform.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "median.hpp"

namespace study {

namespace fs = std::filesystem;
using ivado::Json;

/// The transforms of the study.
using Chain = ivado::Compose<ivado::Resample, ivado::CenterCrop, ivado::RandomAffine, ivado::ElasticTransform,
                             ivado::NormalizeInstance>;
/// The contrasts of the study.
inline const std::vector<std::string> contrasts{"T1w", "T2w", "T2star"};

/// A temporary folder, removed with all that is in it.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "ivado_bench_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw ivado::internal_error("making a temporary folder", "it cannot be made", "set TMPDIR to a writable folder");
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code fault;
    fs::remove_all(path_, fault);
    if (fault) std::fprintf(stderr, "warning: %s is left: %s\n", path_.c_str(), fault.message().c_str());
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

/// How the chain of the study augments.
enum class Augmentation { none, study, elastic_always };

/// The chain of the study: experiment 1 of the profile study for slices, its 3-D network for volumes, there with the
/// elastic deformation of the former.
template <int Dimension>
[[nodiscard]] Chain chain(Augmentation augmentation) {
  Json json = Json::parse(R"({
    "Resample": {"hspace": 0.75, "wspace": 0.75, "dspace": 1},
    "CenterCrop": {"size": [128, 128]},
    "RandomAffine": {"degrees": 5, "scale": [0.1, 0.1], "translate": [0.03, 0.03], "applied_to": ["im", "gt"],
                     "dataset_type": ["training"]},
    "ElasticTransform": {"alpha_range": [28.0, 30.0], "sigma_range": [3.5, 4.5], "p": 0.1, "applied_to": ["im", "gt"],
                         "dataset_type": ["training"]},
    "NormalizeInstance": {"applied_to": ["im"]}})");
  if constexpr (Dimension == 3) {
    json["CenterCrop"]["size"] = {128, 128, 16};
    json["RandomAffine"]["scale"] = {0.1, 0.1, 0.1};
  }
  if (augmentation == Augmentation::elastic_always) json["ElasticTransform"]["p"] = 1;
  if (augmentation == Augmentation::none)
    json["RandomAffine"]["dataset_type"] = json["ElasticTransform"]["dataset_type"] = Json::array();
  return Chain(Chain::Params::from_json(json, "transformation"));
}

/// Writes the set of one subject. @return false if it is the phantom, because the data is not there
[[nodiscard]] inline bool write_one_subject(const Scratch& scratch, const std::string& to) {
  const char* given = std::getenv("IVADO_DATA_DIR");
#ifdef IVADO_SOURCE_DIR
  const fs::path folder = given != nullptr ? fs::path(given) : fs::path(IVADO_SOURCE_DIR) / ".." / "shared" / "data";
#else
  const fs::path folder = given != nullptr ? fs::path(given) : fs::path("..") / "shared" / "data";
#endif
  const std::string source = (folder / "spinalcord").string();
  if (fs::is_directory(fs::path(source) / "sub-unf01")) {
    ivado::SubsetParams params;
    params.from = source;
    params.to = to;
    params.list = {"sub-unf01"};
    params.contrasts = contrasts;
    (void)ivado::write_subset(params);
    return true;
  }
  ivado::PhantomParams params;
  params.subjects = 1;
  params.contrasts = contrasts;
  const std::string phantom = scratch / "phantom";
  ivado::write_phantom(phantom, params);
  fs::rename(phantom, to);
  return false;
}

}  // namespace study
