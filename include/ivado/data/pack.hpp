// `ivado pack`: a BIDS data set in one HDF5 file with its cases, its preprocessed samples and a digest of what made it;
// or a file of ivadomed in the layout of ivado. Hdf5Loader (hdf5_loader.hpp) reads it. Needs libhdf5 (component hdf5).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <ostream>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../command_options.hpp"
#include "../config/ivadomed.hpp"
#include "../config/json.hpp"
#include "../config/sections.hpp"
#include "../error.hpp"
#include "../interop/hdf5_file.hpp"
#include "../random.hpp"
#include "../transform/transform.hpp"
#include "../version.hpp"
#include "array.hpp"
#include "atomic_file.hpp"
#include "bids_index.hpp"
#include "bids_loader.hpp"
#include "case.hpp"
#include "digest.hpp"
#include "hdf5_loader.hpp"
#include "sample.hpp"
#include "slice_dataset.hpp"
#include "slicing.hpp"
#include "volume.hpp"

namespace ivado {

/// How a data set is packed.
struct PackParams {
  /// The preprocessed samples of training and validation as well as the volumes. Without them the file serves any
  /// transforms and slice options, and they are preprocessed when they are loaded, as those of a BIDS folder.
  bool samples = true;
  bool segment = false;  ///< the images to segment as well, whether they have labels or not
  int compression = 0;   ///< 0: none, the fastest to load; 1 to 9: deflate
};

/// What was packed.
struct Packed {
  std::string path;
  std::string digest;       ///< of what made it: options, transforms and the bytes of all files; not their place
  std::size_t cases = 0;    ///< with labels, of the contrasts of training and validation
  std::size_t volumes = 0;  ///< images, labels and regions of interest
  std::size_t samples = 0;  ///< preprocessed slices or volumes
  std::uint64_t bytes = 0;  ///< of the file
  LeftOutList left_out;
};

namespace detail {

/// A chain of transforms that keeps what its preprocessing gives.
template <class Augment>
class RecordingTransforms {
 public:
  using History = typename Augment::History;
  struct Record {
    std::vector<Sample> samples;
    bool is_idle = true;  ///< preprocessing changed nothing
  };

  RecordingTransforms(const Augment& augment, Record& into) : augment_(augment), into_(&into) {}

  [[nodiscard]] History preprocess(Sample& sample, Stage stage) const {
    const Sample before = sample.clone();
    History history = augment_.preprocess(sample, stage);
    into_->is_idle = into_->is_idle && before.image.voxels == sample.image.voxels &&
                     before.label.voxels == sample.label.voxels && before.roi.voxels == sample.roi.voxels;
    into_->samples.push_back(sample.clone());
    return history;
  }
  void augment(Sample& sample, Stage stage, const RandomKey& key, History& history) const {
    augment_.augment(sample, stage, key, history);
  }
  void invert(Image& prediction, const History& history) const { augment_.invert(prediction, history); }

 private:
  Augment augment_;
  Record* into_;
};

/// Writes numbers in the smallest type that gives them back bit for bit.
inline void write_exact(Hdf5File& file, const std::string& name, const Array<float>& voxels,
                        const Hdf5Storage& storage) {
  bool whole = true;
  float least = 0;
  float most = 0;
  for (const float value : voxels) {
    whole = whole && value == std::trunc(value) && !(value == 0 && std::signbit(value));
    least = std::min(least, value);
    most = std::max(most, value);
  }
  const auto write_as = [&]<class T>(T) {
    Array<T> narrow(voxels.shape());
    std::transform(voxels.begin(), voxels.end(), narrow.begin(), [](float value) { return static_cast<T>(value); });
    file.write(name, narrow, storage);
  };
  if (whole && least >= 0 && most <= 255) return write_as(std::uint8_t{});
  if (whole && least >= -32768 && most <= 32767) return write_as(std::int16_t{});
  file.write(name, voxels, storage);
}

/// True if a part of two samples is the same.
[[nodiscard]] inline bool is_same(const Image& a, const Image& b) {
  return a.voxels == b.voxels && (a.empty() || a.spacing_mm == b.spacing_mm);
}

/// Writes cases, one after the other, into a file of the layout of `PackFile`.
class PackWriter {
 public:
  PackWriter(Hdf5File& file, const std::vector<std::string>& roots, const Hdf5Storage& storage)
      : file_(file), roots_(roots), storage_(storage) {
    file_.make_group("volumes");
    file_.make_group("prepared");
    std::error_code ignored;
    for (const auto& root : roots)
      if (std::filesystem::is_regular_file(root, ignored))
        files_.push_back({{"path", std::filesystem::path(root).filename().string()}, {"digest", file_digest(root)}});
  }

  /// Adds a list of cases with their volumes.
  void add_list(bool labels_required, const std::vector<std::string>& contrasts, const std::vector<Case>& cases,
                const LeftOutList& left_out, const SliceOptions& options) {
    Json json{{"labels_required", labels_required},
              {"contrasts", contrasts},
              {"cases", Json::array()},
              {"left_out", Json::array()},
              {"warnings", left_out.warnings}};
    for (const auto& one : left_out.files) json["left_out"].push_back({one.file, one.reason});
    for (const auto& one : cases) {
      for (const auto& path : one.images) add_volume(one, path, Kind::image, options);
      for (std::size_t rater = 0; rater < one.raters(); ++rater)
        for (const auto& path : one.labels_of(rater)) add_volume(one, path, Kind::label, options);
      add_volume(one, one.roi, Kind::roi, options);
      const Case own = renamed(one);
      json["cases"].push_back({{"id", own.id},
                               {"subject", own.subject},
                               {"images", own.images},
                               {"contrasts", own.contrasts},
                               {"labels", own.labels},
                               {"roi", own.roi},
                               {"metadata", own.metadata},
                               {"reference", own.reference},
                               {"image_label", own.image_label}});
      if (own.raters() > 1) json["cases"].back()["further_raters"] = own.further_raters;
    }
    lists_.push_back(std::move(json));
  }

  /// Adds what preprocessing gives for each slice of a case, or for its volume, while training and validating.
  /// @return  false if preprocessing changes nothing
  template <int Dimension, class Augment>
  bool add_samples(const Case& one, SliceOptions options, const Augment& augment) {
    options.filter_empty_mask = options.filter_absent_class = options.filter_empty_input = false;
    options.filter_roi = -1;
    options.patches = {};
    options.patch_filter = {};
    options.cache_bytes = std::numeric_limits<std::size_t>::max() / 2;
    options.threads = 1;
    using Recording = RecordingTransforms<Augment>;
    std::array<typename Recording::Record, 2> records;
    const std::array<Stage, 2> stages{Stage::training, Stage::validation};
    for (std::size_t s = 0; s < 2; ++s)
      (void)CaseDataset<Recording, Dimension>({one}, options, Recording(augment, records[s]), stages[s], 0);
    if (records[0].is_idle && records[1].is_idle) return false;
    const auto number = static_cast<std::int64_t>(prepared_.size());
    prepared_.push_back(case_key(renamed(one)));
    const std::string group = "prepared/" + std::to_string(number);
    file_.make_group(group);
    for (const Stage stage : stages) file_.make_group(group + "/" + std::string(set_name(stage)));
    for (std::size_t i = 0; i < records[0].samples.size(); ++i) {
      const Sample& training = records[0].samples[i];
      const Sample& validation = records[1].samples[i];
      add_sample(number, training, Stage::training);
      if (!is_same(training.image, validation.image) || !is_same(training.label, validation.label) ||
          !is_same(training.roi, validation.roi))
        add_sample(number, validation, Stage::validation);
    }
    return true;
  }

  /// Writes the index.
  /// @return  the digest of what made the file
  std::string finish(const Json& options, const Json& preprocessing) {
    const Json made_of{{"ivado", version}, {"options", options}, {"preprocessing", preprocessing}, {"files", files_}};
    const Json index{{"made_of", made_of}, {"lists", lists_}, {"volumes", names_}, {"prepared", prepared_}};
    std::string text;
    try {
      text = index.dump();
    } catch (const Json::exception& fault) {
      throw data_error("writing the index of " + file_.path(), fault.what(), "give files names in UTF-8");
    }
    const std::string digest = digest_of(made_of.dump());
    file_.write_text("index", text, {.compression = 1});
    file_.set_text("/", "format", std::string(pack_format));
    file_.set_numbers<std::int64_t>("/", "version", {pack_version});
    file_.set_text("/", "digest", digest);
    file_.set_text("/", "index_digest", digest_of(text));
    return digest;
  }

  [[nodiscard]] std::size_t volumes() const noexcept { return names_.size(); }
  [[nodiscard]] std::size_t samples() const noexcept { return samples_; }

 private:
  /// The name of a volume in the file: its path from the root of its data set, which a number leads if there are
  /// several.
  [[nodiscard]] std::string name_of(const std::string& path) const {
    for (std::size_t r = 0; r < roots_.size() && !path.empty(); ++r) {
      const std::string inner = std::filesystem::path(path).lexically_proximate(roots_[r]).generic_string();
      if (!inner.starts_with("..") && inner != path)
        return roots_.size() == 1 ? inner : std::to_string(r + 1) + "/" + inner;
    }
    return path;
  }
  [[nodiscard]] Case renamed(const Case& one) const {
    return with_names(one, [&](const std::string& path) { return name_of(path); });
  }
  void add_volume(const Case& one, const std::string& path, Kind kind, const SliceOptions& options) {
    if (path.empty()) return;
    const std::string name = name_of(path);
    if (!known_.emplace(name, names_.size()).second) return;
    const std::string object = "volumes/" + std::to_string(names_.size());
    names_.push_back(name);
    std::vector<std::string> warnings;
    const Volume volume = read_file_of(one, path, kind, options, &warnings);
    for (auto& warning : warnings)
      if (warning.starts_with(path + ": ")) warning.erase(0, path.size() + 2);
    write_exact(file_, object, volume.voxels, storage_);
    std::vector<double> affine;
    for (Eigen::Index row = 0; row < 4; ++row)
      for (Eigen::Index column = 0; column < 4; ++column) affine.push_back(volume.geometry.affine(row, column));
    file_.set_numbers(object, "affine", affine);
    file_.set_text(object, "stored_type", volume.stored_type);
    file_.set_text(object, "warnings", Json(warnings).dump());
    if (!one.files) files_.push_back({{"path", name}, {"digest", file_digest(path)}});
  }
  void add_sample(std::int64_t number, const Sample& sample, Stage stage) {
    const std::string group = PackFile::prepared_name(number, sample.origin.slice, stage);
    file_.make_group(group);
    const std::array<std::pair<std::string, const Image*>, 3> parts{
        {{"image", &sample.image}, {"label", &sample.label}, {"roi", &sample.roi}}};
    for (const auto& [name, image] : parts) {
      if (image->empty()) continue;
      write_exact(file_, group + "/" + name, image->voxels, storage_);
      file_.set_numbers<double>(group + "/" + name, "spacing_mm",
                                {image->spacing_mm[0], image->spacing_mm[1], image->spacing_mm[2]});
    }
    if (!sample.condition.empty()) file_.set_numbers<float>(group, "condition", sample.condition);
    ++samples_;
  }

  Hdf5File& file_;
  std::vector<std::string> roots_;
  Hdf5Storage storage_;
  std::map<std::string, std::size_t> known_;
  std::vector<std::string> names_;
  Json files_ = Json::array();
  Json lists_ = Json::array();
  std::vector<std::string> prepared_;
  std::size_t samples_ = 0;
};

}  // namespace detail

/// Packs the cases that a loader finds into one file, which is there whole or not at all. Nothing is overwritten.
///
/// The file holds the cases of the contrasts of training and validation, and those of testing, each with what was left
/// out; their volumes as they are read, in the smallest type that gives back each voxel bit for bit; and the
/// preprocessed samples of training and validation, if preprocessing changes them. It names all that this depends on:
/// options, transforms, and each file with its digest.
/// @param path            of the file to make
/// @param source          a `BidsLoader`, or an `Hdf5Loader` to bring files of ivadomed into the layout of ivado; with
///                        `Channels<dynamic>`, or those of the program that will read it
/// @param needs           what `source` was made with
/// @param augment         the chain of transforms
/// @param transformation  its parameters in JSON, for messages
/// @throws Error (usage) if the file is there already; (data) if there are no cases, or a file cannot be read;
///         (internal) if it cannot be written
template <Loader SourceLoader, class Augment>
[[nodiscard]] Packed write_pack(const std::string& path, const SourceLoader& source, const ModelNeeds& needs,
                                const Augment& augment, const Json& transformation, const PackParams& params = {}) {
  constexpr int dimension = SourceLoader::dimension;
  const std::string doing = "packing a data set into " + path;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored))
    throw usage_error(doing, "the file is there already", "remove it, or name another");
  if (params.compression < 0 || params.compression > 9)
    throw usage_error(doing, "the compression is " + std::to_string(params.compression), "give a number from 0 to 9");
  const LoaderParameters& loader = source.params();
  const auto& contrasts = loader.contrast_params;
  const SliceOptions options = source.slice_options(Stage::training);
  const detail::CaseRequest request{true, {}, &loader, &needs, source.allows_missing(), dimension};
  Packed out;
  out.path = path;
  write_atomically(path, [&](const std::string& temporary) {
    Hdf5File file = Hdf5File::create(temporary);
    detail::PackWriter writer(file, loader.path_data.values, {params.compression, true});

    const std::vector<Case> cases = source.cases(true, contrasts.training_validation, out.left_out);
    writer.add_list(true, contrasts.training_validation, cases, out.left_out, options);
    out.cases = cases.size();
    const auto add_other = [&](bool labels_required) {
      LeftOutList left_out;
      try {
        const std::vector<Case> more = source.cases(labels_required, contrasts.testing, left_out);
        writer.add_list(labels_required, contrasts.testing, more, left_out, options);
      } catch (const Error& fault) {
        out.left_out.warn(std::string("the cases ") + (labels_required ? "of the testing contrasts" : "to segment") +
                          " are not in the file: " + fault.what());
      }
    };
    if (contrasts.testing != contrasts.training_validation) add_other(true);
    if (params.segment) add_other(false);

    bool has_samples = params.samples && !needs.image_labels;
    for (std::size_t i = 0; i < cases.size() && has_samples; ++i)
      has_samples = writer.template add_samples<dimension>(cases[i], options, augment) || i > 0;
    const Json preprocessing = has_samples && writer.samples() > 0
                                   ? Json{{"options", request.sample_options()}, {"transformation", transformation}}
                                   : Json();
    out.digest = writer.finish(request.case_options(), preprocessing);
    out.volumes = writer.volumes();
    out.samples = writer.samples();
    file.close();
  });
  out.bytes = static_cast<std::uint64_t>(std::filesystem::file_size(path));
  return out;
}

namespace detail {

/// Packs with loaders whose numbers of channels and classes the configuration says.
template <class Slicing>
[[nodiscard]] Packed pack_configuration(const std::string& path, const LoaderParameters& loader,
                                        const ModelNeeds& needs, const AnyCompose::Params& transformation,
                                        const PackParams& params) {
  const AnyCompose augment(transformation);
  const auto is_hdf5 = [](const std::string& name) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(name, ignored);
  };
  const auto& roots = loader.path_data.values;
  const Json json = transformation.to_json();
  if (std::all_of(roots.begin(), roots.end(), is_hdf5))
    return write_pack(
        path, Hdf5Loader<Slicing, Channels<dynamic>, Classes<dynamic>, MissingContrasts, Metadata>(loader, needs),
        needs, augment, json, params);
  return write_pack(path,
                    BidsLoader<Slicing, Channels<dynamic>, Classes<dynamic>, MissingContrasts, Metadata>(loader, needs),
                    needs, augment, json, params);
}

}  // namespace detail

/// The command `ivado pack -c config.json --to FILE.hdf5 [--from FOLDER_OR_FILE …] [--compress N] [--segment]
/// [--volumes-only]`.
/// @param arguments  what follows the word `pack`
/// @param out        what was written, and what was left out with the reasons
/// @return           exit status: 0 done, 2 wrong usage or configuration, 3 data that cannot be used, 4 anything else
[[nodiscard]] inline int run_pack(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  return run_guarded("ivado pack", err, [&] {
    const CommandOptions options(arguments, "ivado pack",
                                 {.flags = {"--segment", "--volumes-only"},
                                  .values = {"--config", "--to", "--compress"},
                                  .lists = {"--from"},
                                  .aliases = {{"-c", "--config"}}});
    if (options.has("--help")) {
      out << "usage: ivado pack -c config.json --to FILE.hdf5 [options]\n\n"
             "Writes the data of a configuration, preprocessed, into one HDF5 file: its cases, volumes and samples, "
             "and "
             "a\ndigest of what made them. A program with an Hdf5Loader trains from it as from the folders.\n\n"
             "  -c, --config    the configuration of the training\n"
             "  --to            file to make; nothing is overwritten\n"
             "  --from          folders of the data, instead of those of the configuration; or an HDF5 file of "
             "ivadomed\n"
             "  --compress      0 (default): none, the fastest to load; 1 (fast) to 9 (small)\n"
             "  --segment       the images to segment as well\n"
             "  --volumes-only  no preprocessed samples: the file is smaller, and serves other transforms as well\n";
      return 0;
    }
    const std::string to = options.text("--to");
    if (!options.has("--config") || to.empty())
      throw usage_error("ivado pack", "a configuration and a file to make are needed",
                        "give -c config.json and --to FILE.hdf5");
    const Json tree = read_configuration(options.text("--config"));
    const auto configuration = configuration_of<Configuration<Json, AnyCompose::Params, Json>>(tree);
    LoaderParameters loader = configuration.loader_parameters;
    if (options.has("--from")) loader.path_data.values = options.list("--from");
    const auto model = from_json<ModelParameters>(resolve_model(tree, Command::train), "default_model");
    ModelNeeds needs;
    needs.missing_contrasts = model.name == "HeMISUnet";
    if (needs.missing_contrasts) {
      needs.channels = model.contrasts.empty() ? loader.contrast_params.training_validation : model.contrasts;
      needs.target_contrasts = model.target_lst;
      needs.roi_contrasts = model.roi_lst;
    }
    needs.image_labels = model.name.starts_with("resnet") || model.name.starts_with("densenet");
    PackParams params;
    params.samples = !options.has("--volumes-only");
    params.segment = options.has("--segment");
    params.compression = options.number<int>("--compress").value_or(0);
    const Packed packed =
        model.is_2d
            ? detail::pack_configuration<AnySlices>(to, loader, needs, configuration.transformation, params)
            : detail::pack_configuration<AnySubvolumes>(to, loader, needs, configuration.transformation, params);
    out << "wrote " << packed.path << ": cases " << packed.cases << ", volumes " << packed.volumes
        << ", preprocessed samples " << packed.samples << ", " << (packed.bytes >> 20) << "."
        << (packed.bytes * 10 >> 20) % 10 << " MiB\ndigest " << packed.digest << "\n";
    if (!packed.left_out.files.empty()) out << packed.left_out.summary() << "\n";
    for (const auto& warning : packed.left_out.warnings) err << "warning: " << warning << "\n";
    return 0;
  });
}

}  // namespace ivado
