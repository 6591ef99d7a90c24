// The area "slices" of the reference values: orientation, files slice by slice, the samples of data sets (slices, their
// patches and sub-volumes), and pictures.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ivado/config/json.hpp>
#include <ivado/data/bids_loader.hpp>
#include <ivado/data/geometry.hpp>
#include <ivado/data/volume_io.hpp>
#include <ivado/infer/reconstruct.hpp>
#include <ivado/transform/transform.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "golden.hpp"

namespace golden {
namespace {

using ivado::Array;
using ivado::ArrayView;
using ivado::Axis;
using ivado::AxisMap;
using ivado::Json;
using ivado::Shape;
using ivado::detail::text;

constexpr std::array axes{std::pair{"sagittal", Axis::sagittal}, std::pair{"coronal", Axis::coronal},
                          std::pair{"axial", Axis::axial}};

Axis axis_of(const std::string& name) {
  for (const auto& [known, axis] : axes)
    if (name == known) return axis;
  throw ivado::data_error("reading the reference values", "there is no axis " + name);
}

Eigen::Matrix4d matrix(const Tensor& tensor) {
  Eigen::Matrix4d out;
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 4; ++column) out(row, column) = tensor.values[4 * row + column];
  return out;
}

/// Empty where the numbers agree, else what differs.
std::string compare(const std::string& what, double found, double expected, double tolerance) {
  if (std::abs(found - expected) <= tolerance) return {};
  return text(what, " is ", found, ", expected ", expected, "; ");
}

template <std::size_t N>
std::string compare(const std::string& what, const std::array<double, N>& found, const Json& expected,
                    double tolerance) {
  std::string out;
  for (std::size_t i = 0; i < N; ++i)
    out += compare(what + "[" + std::to_string(i) + "]", found[i], expected[i].get<double>(), tolerance);
  return out;
}

std::string compare(const std::string& what, const Shape& found, const Json& expected) {
  bool same = static_cast<std::size_t>(found.rank()) == expected.size();
  for (int a = 0; same && a < found.rank(); ++a)
    same = found[a] == expected[static_cast<std::size_t>(a)].get<std::int64_t>();
  return same ? std::string() : what + " is " + found.text() + ", expected " + expected.dump() + "; ";
}

std::string compare(const std::string& what, ArrayView<const float> found, const Tensor& expected, double tolerance) {
  return compare("the largest difference of " + what, largest_difference(Array<float>::from(found), expected.values), 0,
                 tolerance);
}

void conclude(const std::string& name, const std::string& differences, Report& report) {
  if (differences.empty()) return report.pass();
  const std::string first = differences.substr(0, 300);
  report.fail(name, first.substr(0, first.rfind(';')));
}

/// A "prediction" of two classes, put back on the axes of the file without its first slice.
std::string prediction_to_file(ArrayView<const float> hwd, const ivado::Geometry& geometry, Axis axis,
                               const Tensor& expected) {
  ivado::Reconstructor reconstructor({.as_ivadomed = true});
  for (std::int64_t d = 1; d < hwd.extent(2); ++d) {
    ivado::Image slice{Array<float>(Shape{2, hwd.extent(0), hwd.extent(1)}), ivado::Kind::label, {1, 1, 1}};
    ivado::zip(hwd.select(2, d), slice.voxels.view().select(0, 0), [](float value, float& out) { out = value / 100; });
    ivado::zip(hwd.select(2, d), slice.voxels.view().select(0, 1), [](float value, float& out) { out = value / 50; });
    reconstructor.add({0, static_cast<std::int32_t>(d)}, std::move(slice));
  }
  const auto prediction = reconstructor.finish(0, geometry, axis);
  // [class, i, j, k] here, (i, j, k, class) there. Tolerance: float against double.
  return compare("the prediction on the axes of the file",
                 std::as_const(prediction.voxels).view().permute({1, 2, 3, 0}), expected, 1e-6);
}

void orientation(const Json& one, const Tensors& tensors, Report& report) {
  const auto key = one.at("key").get<std::string>();
  const Array<float> data = to_float(tensors.at(key + ".data"));
  const ivado::Geometry geometry{data.shape(), matrix(tensors.at(key + ".affine"))};

  const AxisMap ras = ivado::closest_ras(geometry.affine);
  Eigen::Matrix4d back = Eigen::Matrix4d::Zero();  // from indices in RAS order to those of the file
  back(3, 3) = 1;
  for (std::size_t a = 0; a < 3; ++a) {
    back(ras.axis[a], static_cast<int>(a)) = ras.flip[a] ? -1 : 1;
    if (ras.flip[a]) back(ras.axis[a], 3) = static_cast<double>(data.extent(ras.axis[a]) - 1);
  }
  const Eigen::Matrix4d canonical = geometry.affine * back;
  std::string differences = compare("the canonical array", ras.apply(data.view()), tensors.at(key + ".canonical"), 0);
  differences += compare("the canonical affine",
                         (canonical - matrix(tensors.at(key + ".canonical_affine"))).cwiseAbs().maxCoeff(), 0, 1e-9);
  differences += compare("the spacing", geometry.spacing_mm(), one.at("zooms"), 1e-6);
  differences += compare("the canonical spacing", ras.reorder(geometry.spacing_mm()), one.at("canonical_zooms"), 1e-6);
  if (one.contains("axcodes") && ivado::axis_codes(geometry.affine) != one.at("axcodes").get<std::string>())
    differences +=
        "the axes are " + ivado::axis_codes(geometry.affine) + ", expected " + one.at("axcodes").dump() + "; ";
  conclude(key, differences, report);

  for (const auto& [name, expected] : one.at("hwd").items()) {
    const Axis axis = axis_of(name);
    const AxisMap map = ivado::file_to_hwd(geometry.affine, axis);
    const ArrayView<const float> hwd = map.apply(data.view());
    differences = compare("the (H, W, D) array", hwd, tensors.at(key + ".hwd_" + name), 0);
    differences += compare("its shape", hwd.shape(), expected.at("shape"));
    differences += compare("its spacing", map.reorder(geometry.spacing_mm()), expected.at("zooms"), 1e-6);
    differences += compare("the round trip", map.inverse().apply(hwd), tensors.at(key + ".data"), 0);
    differences += prediction_to_file(hwd, geometry, axis, tensors.at(key + ".pred_to_nib_" + name));
    conclude(key + " " + name, differences, report);
  }
}

/// Sum, mean, … of a (H, W, D) array, in double.
std::string statistics(const std::string& what, ArrayView<const float> hwd, const Json& expected) {
  double sum = 0;
  double low = hwd(0, 0, 0);
  double high = low;
  const auto each = [&](const auto& function) {
    for (std::int64_t h = 0; h < hwd.extent(0); ++h)
      for (std::int64_t w = 0; w < hwd.extent(1); ++w)
        for (std::int64_t d = 0; d < hwd.extent(2); ++d) function(static_cast<double>(hwd(h, w, d)));
  };
  each([&](double value) { sum += value, low = std::min(low, value), high = std::max(high, value); });
  const double mean = sum / static_cast<double>(hwd.size());
  double squares = 0;
  each([&](double value) { squares += (value - mean) * (value - mean); });
  const double deviation = std::sqrt(squares / static_cast<double>(hwd.size()));
  const auto near = [&](const char* name, double found) {
    const double value = expected.at(name).get<double>();
    return compare(what + "'s " + name, found, value, 1e-6 * std::max(1.0, std::abs(value)));
  };
  return compare(what + "'s shape", hwd.shape(), expected.at("shape")) + near("sum", sum) + near("mean", mean) +
         near("std", deviation) + near("min", low) + near("max", high);
}

std::vector<double> slice_sums(ArrayView<const float> hwd) {
  std::vector<double> sums(static_cast<std::size_t>(hwd.extent(2)), 0);
  for (std::int64_t h = 0; h < hwd.extent(0); ++h)
    for (std::int64_t w = 0; w < hwd.extent(1); ++w)
      for (std::int64_t d = 0; d < hwd.extent(2); ++d)
        sums[static_cast<std::size_t>(d)] += static_cast<double>(hwd(h, w, d));
  return sums;
}

std::string compare(const std::string& what, const std::vector<double>& found, const Json& expected, double relative) {
  if (found.size() != expected.size())
    return text(what, " has ", found.size(), " entries, expected ", expected.size(), "; ");
  std::string out;
  for (std::size_t i = 0; i < found.size() && out.size() < 200; ++i) {
    const double value = expected[i].get<double>();
    out += compare(what + "[" + std::to_string(i) + "]", found[i], value, relative * std::max(1.0, std::abs(value)));
  }
  return out;
}

/// "T1w.sagittal": image and labels of the reference subject, slice by slice.
void file(const std::string& name, const Json& one, const std::filesystem::path& data, Report& report) {
  const auto dot = name.find('.');
  const std::string stem = "sub-unf01_" + name.substr(0, dot);
  const auto root = data / "spinalcord";
  if (!std::filesystem::exists(root / "sub-unf01" / "anat" / (stem + ".nii.gz")))
    return report.skip(name, "the images are not in " + root.string());
  const Axis axis = axis_of(name.substr(dot + 1));
  const auto image = ivado::read_volume((root / "sub-unf01" / "anat" / (stem + ".nii.gz")).string());
  const AxisMap map = ivado::file_to_hwd(image.geometry.affine, axis);
  std::string differences = statistics("the image", map.apply(image.view()), one.at("image"));
  differences += compare("the spacing", map.reorder(image.geometry.spacing_mm()), one.at("zooms"), 1e-5);
  differences += compare("the number of slices", static_cast<double>(map.apply(image.view()).extent(2)),
                         one.at("n_slices").get<double>(), 0);
  differences += compare("the sum of slice", slice_sums(map.apply(image.view())), one.at("slice_sums"), 1e-6);
  const std::array<std::string, 2> suffixes{"_seg-manual", "_lesion-manual"};
  for (std::size_t c = 0; c < one.at("gt").size(); ++c) {
    const auto label = ivado::read_volume(
        (root / "derivatives" / "labels" / "sub-unf01" / "anat" / (stem + suffixes.at(c) + ".nii.gz")).string());
    const auto label_hwd = ivado::file_to_hwd(label.geometry.affine, axis).apply(label.view());
    differences += statistics("label " + std::to_string(c), label_hwd, one.at("gt")[c]);
    std::vector<double> counts;
    for (const auto n : ivado::detail::nonzero_counts(label_hwd)) counts.push_back(static_cast<double>(n));
    differences +=
        compare("label " + std::to_string(c) + "'s voxels in slice", counts, one.at("gt_slice_counts")[c], 0);
  }
  conclude(name, differences, report);
}

/// The preprocessing of a chain without the rest of it.
struct Preprocessing {
  using History = ivado::AnyCompose::History;
  ivado::AnyCompose chain;

  [[nodiscard]] History preprocess(ivado::Sample& sample, ivado::Stage stage) const {
    return chain.preprocess(sample, stage);
  }
  void augment(ivado::Sample&, ivado::Stage, const ivado::RandomKey&, History&) const {}
};

using Cases = std::vector<ivado::Case>;

/// The samples of a classifier as ivadomed has them before it fails to hand them out: preprocessed, with their label.
void classification(const Json& one, std::vector<ivado::Case> cases, const ivado::SliceOptions& options,
                    const ivado::AnyCompose& chain, ivado::Stage stage, Report& report) {
  const ivado::SliceDataset<Preprocessing> samples(std::move(cases), options, {chain}, stage, 0);
  const Json& items = one.at("items");
  std::string differences =
      compare("the number of samples", static_cast<double>(samples.size()), one.at("n").get<double>(), 0);
  for (std::size_t i = 0; i < items.size() && samples.size() == items.size() && differences.size() < 300; ++i) {
    const Json& item = items[i];
    const auto sample = samples.get(i, 0).sample;
    const std::string here = "sample " + std::to_string(i) + "'s ";
    const auto& from = samples.case_of(static_cast<std::size_t>(sample.origin.volume));
    const auto path = std::filesystem::path(from.images.front()).filename().string();
    if (path != item.at("file").get<std::string>())
      differences += here + "file is " + path + ", expected " + item.at("file").dump() + "; ";
    differences += compare(here + "slice", sample.origin.slice, item.at("slice").get<double>(), 0);
    differences += compare(here + "shape", sample.image.spatial(), item.at("input_shape_after_preprocessing"));
    differences += compare(here + "number of labels", static_cast<double>(sample.label.voxels.size()), 1, 0);
    if (!sample.label.voxels.empty())
      differences +=
          compare(here + "label", static_cast<double>(sample.label.voxels[0]), item.at("label").get<double>(), 0);
    double sum = 0;
    for (const float value : sample.image.voxels) sum += static_cast<double>(value);
    const double expected = item.at("input_sum_after_preprocessing").get<double>();
    differences += compare(here + "sum", sum, expected, 1e-5 * std::abs(expected));
  }
  conclude(one.at("tag").get<std::string>(), differences, report);
}

/// Where a sample lies on its prepared slice or volume: [x_min, x_max, y_min, y_max(, z_min, z_max)].
std::string compare_place(const std::string& what, const ivado::Sample& sample, const Json& expected) {
  const Shape extent = sample.image.spatial();
  if (expected.size() != 2 * static_cast<std::size_t>(extent.rank()))
    return text(what, " has ", 2 * extent.rank(), " numbers, expected ", expected.dump(), "; ");
  std::string out;
  for (int a = 0; a < extent.rank(); ++a) {
    const double begin = sample.origin.start[static_cast<std::size_t>(a)];
    const auto i = 2 * static_cast<std::size_t>(a);
    out += compare(what, begin, expected[i].get<double>(), 0);
    out += compare(what, begin + static_cast<double>(extent[a]), expected[i + 1].get<double>(), 0);
  }
  return out;
}

/// The samples of a data set, one by one.
template <int Dimension>
void samples_of(const Json& one, const Tensors& tensors, Cases cases, const ivado::SliceOptions& options,
                const ivado::AnyCompose& chain, ivado::Stage stage, Report& report) {
  const auto name = one.at("tag").get<std::string>();
  const ivado::CaseDataset<ivado::AnyCompose, Dimension> samples(std::move(cases), options, chain, stage, 0);
  const Json& items = one.at("items");
  std::string differences =
      compare("the number of samples", static_cast<double>(samples.size()), one.at("n").get<double>(), 0);
  if (samples.size() != items.size()) return conclude(name, differences, report);
  for (std::size_t i = 0; i < samples.size() && differences.size() < 300; ++i) {
    const Json& item = items[i];
    const auto loaded = samples.get(i, 0);
    const auto& image = loaded.sample.image.voxels;
    const auto& label = loaded.sample.label.voxels;
    const std::string here = "sample " + std::to_string(i) + "'s ";
    const auto& origin = loaded.sample.origin;
    const auto path = std::filesystem::path(samples.case_of(static_cast<std::size_t>(origin.volume)).images.front())
                          .filename()
                          .string();
    if (path != item.at("file").get<std::string>())
      differences += here + "file is " + path + ", expected " + item.at("file").dump() + "; ";
    // A volume has slice -1 here and 0 there.
    differences += compare(here + "slice", std::max(origin.slice, 0), item.at("slice").get<double>(), 0);
    differences += compare(here + "shape", image.shape(), one.at("sample_shape"));
    differences += compare_place(here + "coord", loaded.sample, item.at("coord"));
    double image_sum = 0;
    for (const float value : image) image_sum += std::abs(static_cast<double>(value));
    double label_sum = 0;
    for (const float value : label) label_sum += static_cast<double>(value);
    const double expected_sum = item.at("input_abs_sum").get<double>();
    differences += compare(here + "sum", image_sum, expected_sum, 1e-3 * expected_sum);
    const double expected_label = item.at("gt_sum").get<double>();
    differences += compare(here + "label sum", label_sum, expected_label, options.soft_gt ? 1e-5 * expected_label : 0);
    if (item.contains("stored")) {
      const auto key = item.at("stored").get<std::string>();
      double largest = 0;
      for (const double value : tensors.at(key + ".input").values) largest = std::max(largest, std::abs(value));
      differences += compare(here + "image", image.view(), tensors.at(key + ".input"), 1e-3 * largest);
      differences += compare(here + "label", label.view(), tensors.at(key + ".gt"), options.soft_gt ? 1e-4 : 0);
    }
  }
  conclude(name, differences, report);
}

/// What a case is made of. One that the reference refuses says it in its name alone:
/// "patch3d_32x32x16_stride_30x32x16_crop_128x128x16_mask0".
struct Setup {
  Json model;
  Json transforms;
  std::string split;

  [[nodiscard]] static std::optional<Setup> of(const Json& one) {
    if (one.contains("model"))
      return Setup{one.at("model"), one.at("transforms"), one.value("split", std::string("training"))};
    std::array<int, 9> n{};
    if (std::sscanf(one.at("tag").get<std::string>().c_str(), "patch3d_%dx%dx%d_stride_%dx%dx%d_crop_%dx%dx%d", &n[0],
                    &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8]) != 9)
      return {};
    return Setup{{{"is_2d", false}, {"length_3D", {n[0], n[1], n[2]}}, {"stride_3D", {n[3], n[4], n[5]}}},
                 {{"Resample", {{"wspace", 0.75}, {"hspace", 0.75}, {"dspace", 1}}},
                  {"CenterCrop", {{"size", {n[6], n[7], n[8]}}}},
                  {"NormalizeInstance", {{"applied_to", {"im"}}}}},
                 "training"};
  }
  [[nodiscard]] bool is_2d() const { return model.value("is_2d", true); }
  [[nodiscard]] ivado::PatchSize patches() const {
    const auto numbers = [&](const std::string& key) {
      return model.value(key + (is_2d() ? "_2D" : "_3D"), std::vector<std::int64_t>{});
    };
    return {numbers("length"), numbers("stride")};
  }
};

/// The samples that the loader makes of the reference subjects.
template <class Slicing>
void dataset_of(const Json& one, const Setup& setup, const Tensors& tensors, const std::filesystem::path& root,
                const ivado::LoaderParameters& params, Report& report) {
  const auto name = one.at("tag").get<std::string>();
  const auto contrasts = one.at("parameters").at("contrast_params").at("contrast_lst").get<std::vector<std::string>>();
  using Loader = ivado::BidsLoader<Slicing, ivado::Channels<ivado::dynamic>, ivado::Classes<ivado::dynamic>>;
  ivado::ModelNeeds needs;
  needs.image_labels =
      one.contains("getitem_error");  // of a classifier: ivadomed makes such samples, and fails on them
  needs.patches = setup.patches();
  const Loader loader(params, needs);
  ivado::LeftOutList left_out;
  auto cases = loader.cases(true, contrasts, left_out);
  if (root.filename() == "spinalcord")
    std::erase_if(cases, [](const ivado::Case& c) { return !c.subject.starts_with("sub-unf"); });
  const auto stage = setup.split == "training"     ? ivado::Stage::training
                     : setup.split == "validation" ? ivado::Stage::validation
                                                   : ivado::Stage::testing;
  Json transforms = setup.transforms;
  for (const char* with : {"Resample", "ROICrop"})
    if (transforms.contains(with)) transforms[with]["as_ivadomed"] = true;
  const ivado::AnyCompose chain(ivado::from_json<ivado::AnyCompose::Params>(transforms, "transforms"));
  auto options = loader.slice_options(stage);
  options.as_ivadomed = true;
  const Json& filter = one.at("parameters").at("patch_filter_params");
  options.patch_filter = {filter.value("filter_empty_mask", false), filter.value("filter_absent_class", false),
                          filter.value("filter_empty_input", false)};
  if (one.contains("error")) {
    try {
      (void)ivado::CaseDataset<ivado::AnyCompose, Slicing::dimension>(std::move(cases), options, chain, stage, 0);
    } catch (const ivado::Error&) {
      return report.pass();
    }
    return report.fail(name, "is not refused");
  }
  if constexpr (Slicing::dimension == 2)
    if (needs.image_labels) return classification(one, std::move(cases), options, chain, stage, report);
  samples_of<Slicing::dimension>(one, tensors, std::move(cases), options, chain, stage, report);
}

void dataset(const Json& one, const Tensors& tensors, const std::filesystem::path& data, Report& report) {
  const auto name = one.at("tag").get<std::string>();
  const auto setup = Setup::of(one);
  if (!setup) return report.fail(name, "it is not said how it was made");
  for (const auto& item : setup->transforms.items())
    if (std::find(ivado::AnyCompose::catalog.begin(), ivado::AnyCompose::catalog.end(), item.key()) ==
        ivado::AnyCompose::catalog.end())
      return report.skip(name, item.key() + " does not exist yet");
  Json parameters = one.at("parameters");
  parameters.erase("patch_filter_params");
  auto params = ivado::from_json<ivado::LoaderParameters>(parameters, "parameters");
  // The reference ran on the subjects of its test data, which the public data here hold among others.
  const auto contrasts = parameters.at("contrast_params").at("contrast_lst").get<std::vector<std::string>>();
  const auto has = [&](const char* contrast) {
    return std::find(contrasts.begin(), contrasts.end(), contrast) != contrasts.end();
  };
  const auto root = data / (has("ct") ? "ct-spleen" : has("SEM") ? "microscopy-sem-visits" : "spinalcord");
  if (!std::filesystem::exists(root)) return report.skip(name, "the images are not in " + root.string());
  params.path_data.values = {root.string()};
  if (setup->is_2d())
    dataset_of<ivado::AnySlices>(one, *setup, tensors, root, params, report);
  else
    dataset_of<ivado::AnySubvolumes>(one, *setup, tensors, root, params, report);
}

/// A picture of microscopy in 8 bits.
void picture(const Json& one, const Tensors& tensors, const std::filesystem::path& data, Report& report) {
  const std::filesystem::path listed = one.at("file").get<std::string>();
  const auto path = data / "formats" / "png_tif" / listed.lexically_relative("data_test_png_tif");
  if (!std::filesystem::exists(path)) return report.skip(listed.string(), "the pictures are not in " + data.string());
  const auto zooms = one.at("zooms").get<std::vector<double>>();  // Y, X, Z in mm, as floats
  const Json metadata{{"PixelSize", {zooms[1], zooms[0]}}, {"PixelSizeUnits", "mm"}};
  ivado::ReadOptions options;
  options.as_ivadomed = true;
  const auto volume = ivado::read_image(path.string(), metadata, ivado::Kind::image, options);
  const ArrayView<const float> hwd = ivado::file_to_hwd(volume.geometry.affine, Axis::axial).apply(volume.view());
  std::string differences = statistics("the picture", hwd, one);
  differences += compare("the spacing", volume.geometry.spacing_mm(), one.at("zooms"), 1e-9);
  differences +=
      compare("the corner", hwd.narrow(0, 0, 16).narrow(1, 0, 16), tensors.at(one.at("key").get<std::string>()), 0);
  conclude(listed.string(), differences, report);
}

}  // namespace

void slices(const std::filesystem::path& dir, Report& report) {
  const Json cases = ivado::read_json((dir / "slices" / "slices.json").string());
  const Tensors tensors = load_tensors(dir / "slices" / "slices.pt");
  const char* named = std::getenv("IVADO_DATA_DIR");
  const std::filesystem::path data = named != nullptr ? std::filesystem::path(named) : dir / ".." / "data";
  for (const auto& one : cases.at("orientation")) orientation(one, tensors, report);
  for (const auto& [name, one] : cases.at("files").items()) file(name, one, data, report);
  for (const auto& one : cases.at("datasets")) dataset(one, tensors, data, report);
  for (const auto& one : cases.at("pictures")) picture(one, tensors, data, report);
}

}  // namespace golden
