// `ivado prepare-vertebral-labels`: from single-voxel disc labels to mid-sagittal slices and heat maps to train on.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <numbers>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../eigen.hpp"
#include "../error.hpp"
#include "../version.hpp"
#include "array.hpp"
#include "atomic_file.hpp"
#include "bids_cases.hpp"
#include "bids_index.hpp"
#include "geometry.hpp"
#include "volume_io.hpp"

namespace ivado {

/// Stretches values linearly so that the least becomes `low` and the greatest `high`; where all are alike, each is
/// multiplied by `low`, as in ivadomed.
template <class T>
void rescale(Array<T>& values, double low, double high) {
  if (values.empty()) return;
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  const auto from = static_cast<double>(*least);
  const double range = static_cast<double>(*greatest) - from;
  for (T& value : values)
    value = range == 0 ? static_cast<T>(static_cast<double>(value) * low)
                       : static_cast<T>((high - low) * ((static_cast<double>(value) - from) / range) + low);
}

/// ivadomed's kernel of heat maps: the outer product with itself of the probabilities that a standard normal variable
/// falls into each of `size` equal parts of [-1, 1], rescaled to [0, 1]. Its corners are 0.
/// @param size  voxels along each side, at least 2
[[nodiscard]] inline Array<double> heat_map_kernel(int size) {
  if (size < 2) throw internal_error("making the kernel of a heat map", detail::text("its size is ", size));
  const auto part = [size](int number) {  // odd functions of the edges, so that the kernel is symmetric to the bit
    const auto edge = [size](int n) { return static_cast<double>(2 * n - size) / size; };
    return 0.5 * (std::erf(edge(number + 1) / std::numbers::sqrt2) - std::erf(edge(number) / std::numbers::sqrt2));
  };
  Array<double> kernel(Shape{size, size});
  for (int row = 0; row < size; ++row)
    for (int column = 0; column < size; ++column) kernel.view()(row, column) = part(row) * part(column);
  rescale(kernel, 0, 1);
  return kernel;
}

/// How heat maps are made.
struct HeatMapParams {
  int kernel_size = 10;      ///< voxels along each side, at least 2; 10 as in ivadomed
  bool as_ivadomed = false;  ///< where kernels overlap, values add up
};

/// The heat map of points in a plane: the kernel laid over each of them, rescaled to [0, 1]. All zero where there is no
/// point.
///
/// As in ivadomed (a convolution that keeps the shape), a kernel of even size reaches one voxel further beyond its
/// point than before it: the greatest value stands on the point and on the next voxel along both axes, a square of
/// four, of which `local_maxima` takes the point.
/// Where kernels overlap, the greater value stays. ivadomed adds them up: of points that are 8 voxels apart, as discs
/// of the neck are at 2 mm, the maxima then stand between the points; `as_ivadomed` does that.
/// @param points  2 axes; values other than 0 are points
[[nodiscard]] inline Array<float> heat_map(ArrayView<const float> points, const HeatMapParams& params = {}) {
  if (points.rank() != 2)
    throw internal_error("making a heat map", "the points have the shape " + points.shape().text() + ", not 2 axes");
  const Array<double> kernel = heat_map_kernel(params.kernel_size);
  const std::int64_t before = (params.kernel_size - 1) / 2;
  auto map = zeros<double>(points.shape());
  for (std::int64_t row = 0; row < points.extent(0); ++row)
    for (std::int64_t column = 0; column < points.extent(1); ++column) {
      if (points(row, column) == 0) continue;
      for (std::int64_t a = 0; a < params.kernel_size; ++a)
        for (std::int64_t b = 0; b < params.kernel_size; ++b) {
          const std::int64_t y = row + a - before;
          const std::int64_t x = column + b - before;
          if (y < 0 || y >= points.extent(0) || x < 0 || x >= points.extent(1)) continue;
          double& value = map.view()(y, x);
          const double here = kernel.view()(a, b);
          value = params.as_ivadomed ? value + here : std::max(value, here);
        }
    }
  rescale(map, 0, 1);
  Array<float> out(points.shape());
  copy<const double, float>(map.view(), out.view());
  return out;
}

/// Which data become mid-sagittal slices with heat maps, and where these go.
struct VertebralLabelParams {
  std::string path;                     ///< BIDS data set
  std::string suffix = "_T2w";          ///< ending of the image names: contrast, with entities before it if needed
  std::vector<std::int64_t> labels{0};  ///< one heat map each: 0 all labels below 30 but 1, else this label alone
  std::string labels_suffix = "_labels-disc-manual";  ///< ending of the label files, behind the image name
  std::string output;                                 ///< folder that is missing or empty; empty: `path` + "-vertebral"
  double grid_tolerance_mm = 0.6;                     ///< how far apart corners of image and label may lie
  bool as_ivadomed = false;                           ///< heat maps add up where they overlap, see `heat_map`
};

/// What `prepare_vertebral_labels` wrote.
struct VertebralLabelReport {
  std::string output;                  ///< the new data set
  std::vector<std::string> images;     ///< mid-sagittal slices, below `output`
  std::vector<std::string> heat_maps;  ///< their heat maps, below `output`
  LeftOutList left_out;                ///< images and heat maps that there are not, with reasons
};

namespace detail::vertebral {

inline constexpr std::string_view generator = "ivado prepare-vertebral-labels";

/// A point of a label file: its place among the RAS axes, and its value.
struct Disc {
  std::int64_t label = 0;
  std::array<std::int64_t, 3> place{};
};

/// The grid whose axes are those of a map's target.
[[nodiscard]] inline Geometry turned(const Geometry& geometry, const AxisMap& map) {
  Geometry out = geometry;
  for (std::size_t a = 0; a < 3; ++a) {
    const int from = map.axis[a];
    const auto column = static_cast<int>(a);
    out.shape[column] = geometry.shape[from];
    out.affine.col(column) = (map.flip[a] ? -1.0 : 1.0) * geometry.affine.col(from);
    if (map.flip[a]) out.affine.col(3) += static_cast<double>(geometry.shape[from] - 1) * geometry.affine.col(from);
  }
  return out;
}

/// The points of a label, sorted by value.
/// @throws Error (data) if a value is no whole number, or stands in several voxels: then it is no file of points
[[nodiscard]] inline std::vector<Disc> discs_of(ArrayView<const float> ras, const std::string& path) {
  const std::string doing = "reading the disc labels " + path;
  std::vector<Disc> out;
  std::map<std::int64_t, std::int64_t> counts;
  for (std::int64_t x = 0; x < ras.extent(0); ++x)
    for (std::int64_t y = 0; y < ras.extent(1); ++y)
      for (std::int64_t z = 0; z < ras.extent(2); ++z) {
        const float value = ras(x, y, z);
        if (value == 0) continue;
        const float whole = std::round(value);
        if (!(value > 0) || std::abs(value - whole) > 1e-3F || whole > 1e6F)
          throw data_error(doing, text("a voxel has the value ", value, ", a disc label is a whole number above 0"));
        const auto label = static_cast<std::int64_t>(whole);
        if (++counts[label] == 1) out.push_back({label, {x, y, z}});
      }
  for (const auto& [label, count] : counts)
    if (count > 1)
      throw data_error(doing, text("the value ", label, " stands in ", count, " voxels, a disc label is one voxel"));
  std::sort(out.begin(), out.end(), [](const Disc& a, const Disc& b) { return a.label < b.label; });
  return out;
}

/// Whether a disc belongs to the heat map of a label.
[[nodiscard]] inline bool is_chosen(const Disc& disc, std::int64_t label) {
  return label == 0 ? disc.label < 30 && disc.label != 1 : disc.label == label;
}

/// The mean of up to 6 sagittal slices: 3 before the given one, itself and the next 2; as many fewer on both sides as
/// one side lacks, and at least itself (ivadomed then has none, and NaN).
[[nodiscard]] inline Array<float> mid_slice(ArrayView<const float> ras, std::int64_t x) {
  const std::int64_t reach = std::min<std::int64_t>({3, x, ras.extent(0) - x});
  const std::int64_t first = x - reach;
  const std::int64_t count = std::max<std::int64_t>(2 * reach, 1);
  Array<float> out(Shape{1, ras.extent(1), ras.extent(2)});
  for (std::int64_t y = 0; y < ras.extent(1); ++y)
    for (std::int64_t z = 0; z < ras.extent(2); ++z) {
      double sum = 0;
      for (std::int64_t i = 0; i < count; ++i) sum += ras(first + i, y, z);
      out.view()(0, y, z) = static_cast<float>(sum / static_cast<double>(count));
    }
  return out;
}

[[nodiscard]] inline bool is_nifti(const BidsFile& file) {
  const std::string extension = lower(file.extension);
  return extension == ".nii" || extension == ".nii.gz";
}

[[nodiscard]] inline std::string with_underscore(const std::string& ending) {
  return ending.starts_with("_") ? ending : "_" + ending;
}

inline void copy_text(const std::string& from, const std::filesystem::path& to) {
  std::filesystem::create_directories(to.parent_path());
  write_file_atomically(to.string(), read_text(from));
}

/// Copies what describes the images that were written: sidecars by BIDS inheritance, and tables.
inline void copy_descriptions(const BidsIndex& index, const std::vector<const BidsFile*>& written,
                              const std::filesystem::path& root, LeftOutList& left_out) {
  const auto applies = [&](const BidsFile& file) {
    return std::any_of(written.begin(), written.end(), [&](const BidsFile* image) {
      const bool above = file.folder().empty() || image->folder() == file.folder() ||
                         image->folder().starts_with(std::string(file.folder()) + "/");
      return above &&
             std::includes(image->entities.begin(), image->entities.end(), file.entities.begin(), file.entities.end());
    });
  };
  for (const auto& file : index.files()) {
    if (file.relative.starts_with("derivatives/")) continue;
    const bool table = file.kind == FileKind::table && file.suffix != "scans" && applies(file);
    const bool description = file.name == "participants.json" || file.name == "samples.json";
    const bool sidecar = file.kind == FileKind::sidecar && applies(file) &&
                         std::any_of(written.begin(), written.end(),
                                     [&](const BidsFile* image) { return image->suffix == file.suffix; });
    if (table || description || sidecar) copy_text(file.path, root / file.relative);
    if (file.kind == FileKind::table && file.suffix == "scans")
      left_out.add(file.path, "a table of scans is not copied: it names images that are not here");
  }
}

/// The description of the new data set: that of the source, and who made this one of it.
[[nodiscard]] inline Json description(Json source, std::string_view type) {
  if (!source.contains("Name")) source["Name"] = "Mid-sagittal slices";
  if (!source.contains("BIDSVersion")) source["BIDSVersion"] = "1.8.0";
  source["DatasetType"] = type;
  Json made = Json::array({Json{{"Name", generator},
                                {"Version", version},
                                {"Description", "Mid-sagittal mean slices, and heat maps of disc labels"}}});
  if (const auto older = source.find("GeneratedBy"); older != source.end() && older->is_array())
    made.insert(made.end(), older->begin(), older->end());
  source["GeneratedBy"] = std::move(made);
  return source;
}

inline void write_json(const std::filesystem::path& path, const Json& json) {
  write_file_atomically(path.string(), json.dump(2) + "\n");
}

/// A folder beside its place, in which a data set is made; taken away unless it was moved there.
class Draft {
 public:
  explicit Draft(const std::string& place) : place_(place), path_(temporary_beside(place)) {
    std::filesystem::create_directories(path_);
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  void publish() {
    std::filesystem::remove(place_);  // an empty folder, or nothing
    std::filesystem::rename(path_, place_);
  }

 private:
  std::filesystem::path place_;
  std::filesystem::path path_;
};

}  // namespace detail::vertebral

/// Makes a data set for finding discs: for each image with single-voxel disc labels a mid-sagittal slice, and on its
/// grid a heat map for each of `params.labels`.
///
/// The slice is the mean of up to 6 sagittal slices about the point with the smallest label. It is written in RAS axes
/// as a volume of one slice, whatever the axes of the file, with the spacing of the source and at the place of the
/// slice of that point: its voxel (0, y, z) has the world coordinates of the source. Points of the
/// heat map are projected on it. See `heat_map`.
///
/// The new data set has images of the same names and contrast as the source:
///   sub-XX[/ses-YY]/anat/sub-XX[_ses-YY][_…]_T2w.nii.gz
///   derivatives/labels/sub-XX[/ses-YY]/anat/sub-XX[_ses-YY][_…]_T2w_heatmap0.nii.gz   and so on, for each label
/// and dataset_description.json, participants.tsv, sidecars and other tables (not scans.tsv) of the source. It is there
/// whole or not at all; the source is not touched.
/// @throws Error (usage) for a suffix or label that cannot be, or an output folder that is not empty
/// @throws Error (data)  if no image is left; says why
[[nodiscard]] inline VertebralLabelReport prepare_vertebral_labels(const VertebralLabelParams& params) try {
  namespace fs = std::filesystem;
  using namespace detail::vertebral;
  const std::string doing = "preparing vertebral labels of " + params.path;
  if (params.path.empty())
    throw usage_error("preparing vertebral labels", "no data set is named", "give it with --path");
  if (params.suffix.empty() || params.labels_suffix.empty())
    throw usage_error(doing, "the ending of the images or of their labels is empty", "give --suffix _T2w, say");
  if (params.labels.empty()) throw usage_error(doing, "no label is named", "give --label 0 for all discs");
  for (const auto label : params.labels) {
    if (label < 0)
      throw usage_error(doing, detail::text("there is no label ", label),
                        "give 0 for all discs, or the number of one of them");
    if (std::count(params.labels.begin(), params.labels.end(), label) > 1)
      throw usage_error(doing, detail::text("the label ", label, " is named twice"), "name it once");
  }
  std::string source = params.path;
  while (source.size() > 1 && source.back() == '/') source.pop_back();
  VertebralLabelReport report;
  report.output = params.output.empty() ? source + "-vertebral" : params.output;
  while (report.output.size() > 1 && report.output.back() == '/') report.output.pop_back();
  if (fs::exists(report.output) && !(fs::is_directory(report.output) && fs::is_empty(report.output)))
    throw usage_error(doing, "the output " + report.output + " is there and is no empty folder",
                      "name another folder with --output, or take it away");
  if (fs::is_directory(source) && !fs::exists(source + "/dataset_description.json"))
    throw data_error(doing, "it has no dataset_description.json, and is no BIDS data set",
                     "write one with Name and BIDSVersion");

  const BidsIndex index({source});
  report.left_out.warnings = index.left_out().warnings;
  const std::string ending = with_underscore(params.suffix);
  Draft draft(report.output);
  std::vector<const BidsFile*> written;
  std::set<std::string> stems;
  std::set<std::string> contrasts;
  for (const auto& image : index.files()) {
    if (image.kind != FileKind::image) continue;
    contrasts.insert("_" + image.suffix);
    if (!image.stem.ends_with(ending)) continue;
    const auto leave_out = [&](std::string reason) { report.left_out.add(image.path, std::move(reason)); };
    if (!is_nifti(image)) {
      leave_out("it is no NIfTI file");
      continue;
    }
    const auto* label_file = detail::label_of(index, image, with_underscore(params.labels_suffix), report.left_out);
    if (label_file == nullptr) {
      leave_out("no label with the ending " + with_underscore(params.labels_suffix));
      continue;
    }
    const std::string folder(image.folder());
    if (stems.contains(folder + "/" + image.stem)) {
      leave_out("another file of the same name is used");
      continue;
    }
    try {
      ReadReport odd;
      const Volume volume = read_volume(image.path, {}, &odd);
      for (const auto& warning : odd.warnings) report.left_out.warn(image.path + ": " + warning);
      const Volume label = read_volume(label_file->path);
      check_same_grid(volume, label, params.grid_tolerance_mm);
      const AxisMap ras = closest_ras(volume.geometry.affine);
      const auto discs = discs_of(ras.apply(label.view()), label_file->path);
      if (discs.empty()) {
        leave_out("its label file has no point");
        continue;
      }
      const std::int64_t x = discs.front().place[0];
      Geometry geometry = turned(volume.geometry, ras);
      geometry.shape[0] = 1;
      geometry.affine.col(3) += static_cast<double>(x) * geometry.affine.col(0);
      std::vector<std::pair<std::int64_t, Array<float>>> maps;
      for (const auto wanted : params.labels) {
        auto points = zeros(Shape{geometry.shape[1], geometry.shape[2]});
        bool any = false;
        for (const auto& disc : discs) {
          if (!is_chosen(disc, wanted)) continue;
          points.view()(disc.place[1], disc.place[2]) = 1;
          any = true;
        }
        if (any)
          maps.emplace_back(wanted, heat_map(points.view(), {10, params.as_ivadomed}).reshaped(geometry.shape));
        else
          leave_out(wanted == 0 ? "no label below 30 other than 1 for the heat map 0"
                                : detail::text("no point for the heat map ", wanted));
      }
      if (maps.empty()) continue;
      const std::string stem = folder + "/" + image.stem;
      report.images.push_back(stem + ".nii.gz");
      fs::create_directories(draft.path() / folder);
      write_volume((draft.path() / report.images.back()).string(), mid_slice(ras.apply(volume.view()), x).view(),
                   geometry, StoredType::float32);
      fs::create_directories(draft.path() / "derivatives/labels" / folder);
      for (const auto& [number, map] : maps) {
        report.heat_maps.push_back("derivatives/labels/" + stem + "_heatmap" + std::to_string(number) + ".nii.gz");
        write_volume((draft.path() / report.heat_maps.back()).string(), map.view(), geometry, StoredType::float32);
      }
      written.push_back(&image);
      stems.insert(stem);
    } catch (const Error& fault) {
      if (fault.fault() != Fault::data) throw;
      leave_out(fault.what());
    }
  }
  if (written.empty()) {
    const std::string reasons = report.left_out.summary();
    throw data_error(
        doing, reasons.empty() ? "no image name ends with " + ending : "no image is left (" + reasons + ")",
        reasons.empty() ? "the nearest ending is " + detail::nearest(ending, {contrasts.begin(), contrasts.end()})
                        : "check --labels-suffix and --label");
  }
  copy_descriptions(index, written, draft.path(), report.left_out);
  const Json about = detail::parse_tolerantly(detail::read_text(source + "/dataset_description.json"));
  write_json(draft.path() / "derivatives/labels/dataset_description.json", description(about, "derivative"));
  write_json(draft.path() / "dataset_description.json", description(about, "raw"));
  draft.publish();
  return report;
} catch (const std::filesystem::filesystem_error& fault) {
  throw internal_error("preparing vertebral labels of " + params.path, fault.what(),
                       "check that the output folder can be written and has space");
}

/// The configuration keys that train on what `prepare_vertebral_labels` wrote, to be laid over those of a model.
[[nodiscard]] inline Json vertebral_label_config(const VertebralLabelParams& params, const std::string& output) {
  Json endings = Json::array();
  for (const auto label : params.labels) endings.push_back("_heatmap" + std::to_string(label));
  const Json contrasts = Json::array({detail::vertebral::with_underscore(params.suffix).substr(1)});
  return {{"loader_parameters",
           {{"path_data", Json::array({output})},
            {"target_suffix", std::move(endings)},
            {"contrast_params", {{"training_validation", contrasts}, {"testing", contrasts}}},
            {"slice_axis", "sagittal"},
            {"soft_gt", true}}}};
}

namespace detail::vertebral {

struct Command {
  VertebralLabelParams params;
  bool help = false;
};

inline void print_usage(std::ostream& out) {
  out << "usage: ivado prepare-vertebral-labels --path DATA [options]\n\n"
         "Writes a new BIDS data set with mid-sagittal slices of the images that have single-voxel disc labels, and\n"
         "heat maps of the discs as their labels. DATA is not touched.\n\noptions:\n"
         "  -p, --path DATA\n      BIDS data set\n"
         "  -s, --suffix ENDING  (default _T2w)\n      ending of the names of the images\n"
         "  -a, --label N...  (default 0)\n"
         "      a heat map for each: 0 of all labels below 30 but 1, a greater number of this label alone\n"
         "      --labels-suffix ENDING  (default _labels-disc-manual)\n      ending of the label files\n"
         "  -o, --output DIR  (default DATA-vertebral)\n      folder of the new data set, missing or empty\n"
         "      --as-ivadomed\n      heat maps of discs that are close add up, as in ivadomed\n"
         "  -h, --help\n      this text\n";
}

[[nodiscard]] inline Command parse(std::span<const std::string> arguments) {
  const std::string doing = "reading the command line of " + std::string(generator);
  const std::string see = "see " + std::string(generator) + " --help";
  static const std::map<std::string, std::string> short_names{
      {"-p", "--path"}, {"-s", "--suffix"}, {"-a", "--label"}, {"-o", "--output"}, {"-h", "--help"}};
  const std::vector<std::string> known{"--path",   "--suffix",      "--label", "--labels-suffix",
                                       "--output", "--as-ivadomed", "--help"};
  Command command;
  std::set<std::string> given;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string option = arguments[i];
    std::vector<std::string> values;
    if (const auto equals = option.find('='); option.starts_with("--") && equals != std::string::npos) {
      values.push_back(option.substr(equals + 1));
      option.resize(equals);
    }
    if (const auto full = short_names.find(option); full != short_names.end()) option = full->second;
    if (option == "--help") {
      command.help = true;
      return command;
    }
    if (std::find(known.begin(), known.end(), option) == known.end())
      throw usage_error(doing, "there is no option \"" + option + "\"",
                        "did you mean " + nearest(option, known) + "? " + see);
    if (!given.insert(option).second) throw usage_error(doing, option + " is given twice", "give it once");
    if (option == "--as-ivadomed") {
      if (!values.empty()) throw usage_error(doing, option + " takes no value", see);
      command.params.as_ivadomed = true;
      continue;
    }
    const auto is_number = [](const std::string& word) {
      std::int64_t ignored = 0;
      const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), ignored);
      return fault == std::errc() && end == word.data() + word.size();
    };
    if (values.empty() && i + 1 < arguments.size() &&
        (!arguments[i + 1].starts_with("-") || is_number(arguments[i + 1])))
      values.push_back(arguments[++i]);
    while (option == "--label" && i + 1 < arguments.size() && is_number(arguments[i + 1]))
      values.push_back(arguments[++i]);
    if (values.empty()) throw usage_error(doing, option + " has no value", see);
    auto& params = command.params;
    if (option == "--path") params.path = values[0];
    if (option == "--suffix") params.suffix = values[0];
    if (option == "--labels-suffix") params.labels_suffix = values[0];
    if (option == "--output") params.output = values[0];
    if (option == "--label") {
      params.labels.clear();
      for (const auto& value : values) {
        if (!is_number(value)) throw usage_error(doing, "--label " + value + " is no whole number", see);
        params.labels.push_back(std::stoll(value));
      }
    }
  }
  if (command.params.path.empty()) throw usage_error(doing, "no data set is named", "give it with --path");
  return command;
}

}  // namespace detail::vertebral

/// The command `ivado prepare-vertebral-labels --path DATA [--suffix _T2w] [--label 0] [--labels-suffix …] [--output
/// DIR]`. The options of ivadomed's script (-p, -s, -a) are understood as well; its default label of -1, which selects
/// nothing, is 0 here (known-problems B7.4).
/// @param args  what follows the words `prepare-vertebral-labels`
/// @param out   what was written, what was left out with reasons, and the configuration keys to train on it
/// @return      the exit status: 0 done, 2 wrong usage, 3 data that cannot be used, 4 anything else
inline int run_prepare_vertebral_labels(std::span<const std::string> args, std::ostream& out, std::ostream& err) {
  try {
    const auto command = detail::vertebral::parse(args);
    if (command.help) {
      detail::vertebral::print_usage(out);
      return 0;
    }
    const auto report = prepare_vertebral_labels(command.params);
    out << "wrote " << report.output << ": images " << report.images.size() << ", heat maps " << report.heat_maps.size()
        << "\n";
    for (const auto& one : report.left_out.files) out << "left out: " << one.file << ": " << one.reason << "\n";
    for (const auto& warning : report.left_out.warnings) err << "warning: " << warning << "\n";
    out << "to train on it:\n" << vertebral_label_config(command.params, report.output).dump(2) << "\n";
    return 0;
  } catch (const Error& fault) {
    err << detail::vertebral::generator << ": " << fault.what() << "\n";
    return fault.exit_status();
  } catch (const std::exception& fault) {
    err << detail::vertebral::generator << ": " << fault.what() << "\n";
    return static_cast<int>(Fault::internal);
  }
}

}  // namespace ivado
