// Slices: voxels in their place on three axes, filters counted, one result for any budget and number of threads, clear
// errors.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <ivado/data/batch_loader.hpp>
#include <ivado/data/slice_dataset.hpp>
#include <ivado/data/volume_io.hpp>
#include <ivado/transform/compose.hpp>
#include <ivado/transform/normalize_instance.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace {

using ivado::Array;
using ivado::Axis;
using ivado::Case;
using ivado::Geometry;
using ivado::Sample;
using ivado::Shape;
using ivado::SliceCounts;
using ivado::SliceOptions;
using ivado::Stage;

/// A folder that is gone at the end of the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "ivado_slices_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  /// Writes a volume whose voxel (i, j, k) is `value(i, j, k)`.
  template <class Value>
  std::string write(const std::string& name, const Geometry& geometry, const Value& value) const {
    Array<float> voxels(geometry.shape);
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < geometry.shape[0]; ++i)
      for (std::int64_t j = 0; j < geometry.shape[1]; ++j)
        for (std::int64_t k = 0; k < geometry.shape[2]; ++k) voxels[n++] = static_cast<float>(value(i, j, k));
    const std::string path = (path_ / name).string();
    ivado::write_volume(path, std::as_const(voxels).view(), geometry, ivado::StoredType::float32);
    return path;
  }

 private:
  std::filesystem::path path_;
};

/// A grid with the given axes, such as "LPS", and spacing in the order of the file.
Geometry grid(const Shape& shape, const std::string& codes = "RAS", std::array<double, 3> spacing_mm = {1, 1, 1}) {
  Geometry out{shape, Eigen::Matrix4d::Zero()};
  out.affine(3, 3) = 1;
  for (int a = 0; a < 3; ++a) {
    const char code = codes[static_cast<std::size_t>(a)];
    const int world = code == 'R' || code == 'L' ? 0 : code == 'A' || code == 'P' ? 1 : 2;
    const bool forward = code == 'R' || code == 'A' || code == 'S';
    out.affine(world, a) = (forward ? 1 : -1) * spacing_mm[static_cast<std::size_t>(a)];
  }
  out.affine(0, 3) = 3;
  return out;
}

/// Transforms nothing; its history is the key it was given.
struct Untouched {
  struct History {
    ivado::RandomKey key;
    int preprocessed = 0;
  };
  [[nodiscard]] History preprocess(Sample&, Stage) const { return {{}, 1}; }
  void augment(Sample&, Stage, const ivado::RandomKey& key, History& history) const { history.key = key; }
};

/// Preprocessing that takes the middle, augmentation that adds noise to the image and moves the label.
struct Restless {
  struct History {
    float offset = 0;
  };
  [[nodiscard]] History preprocess(Sample& sample, Stage) const {
    for (ivado::Image* image : {&sample.image, &sample.label}) {
      if (image->empty()) continue;
      image->voxels = Array<float>::from(std::as_const(image->voxels).view().narrow(1, 1, 3).narrow(2, 0, 3));
    }
    return {};
  }
  void augment(Sample& sample, Stage, const ivado::RandomKey& key, History& history) const {
    ivado::Rng rng(key);
    history.offset = rng.uniform_float();
    for (float& value : sample.image.voxels) value += history.offset + rng.uniform_float();
    for (float& value : sample.label.voxels) value *= rng.uniform_float() + 0.25F;
  }
};

/// Moves labels by 0.3 pixels along W with linear interpolation.
struct Moved {
  struct History {};
  [[nodiscard]] History preprocess(Sample& sample, Stage) const {
    auto& voxels = sample.label.voxels;
    const auto source = voxels.clone();
    for (std::int64_t n = 0; n < voxels.size(); ++n)
      voxels[n] = 0.7F * source[n] + 0.3F * (n % voxels.extent(2) == 0 ? 0.0F : source[n - 1]);
    return {};
  }
  void augment(Sample&, Stage, const ivado::RandomKey&, History&) const {}
};

Case a_case(const std::string& id, std::vector<std::string> images, std::vector<std::string> labels = {},
            const std::string& roi = {}) {
  Case one;
  one.id = id;
  one.images = std::move(images);
  one.labels = std::move(labels);
  one.roi = roi;
  return one;
}

template <class Function>
std::string message_of(const Function& function, ivado::Fault fault) {
  try {
    function();
  } catch (const ivado::Error& error) {
    CHECK(error.fault() == fault);
    return error.what();
  }
  return "no error";
}

bool same(const Sample& a, const Sample& b) {
  return a.image.voxels == b.image.voxels && a.label.voxels == b.label.voxels && a.roi.voxels == b.roi.voxels &&
         a.origin.volume == b.origin.volume && a.origin.slice == b.origin.slice;
}

/// Slices d = 0 … 4 of 4 × 3 voxels: 0 is constant, 1 has no label, 2 only class 0, 3 both classes, 4 both and a small
/// region.
struct FilterCase {
  Folder folder;
  Case one;

  /// The values are given in the order (h, w, d) and lie in the file as `axis` wants it, with RAS axes.
  explicit FilterCase(Axis axis) {
    const auto write = [&](const std::string& name,
                           const std::function<float(std::int64_t, std::int64_t, std::int64_t)>& value) {
      // sagittal (h, w, d) = (z, y, x), coronal (z, x, y), axial (x, y, z)
      if (axis == Axis::sagittal)
        return folder.write(name, grid({5, 3, 4}), [&](auto x, auto y, auto z) { return value(z, y, x); });
      if (axis == Axis::coronal)
        return folder.write(name, grid({3, 5, 4}), [&](auto x, auto y, auto z) { return value(z, x, y); });
      return folder.write(name, grid({4, 3, 5}), [&](auto x, auto y, auto z) { return value(x, y, z); });
    };
    one = a_case(
        "sub-01_T2w",
        {write("image.nii",
               [](auto h, auto w, auto d) { return d == 0 ? 5.0F : static_cast<float>(h + 10 * w + 100 * d); })},
        {write("first.nii", [](auto h, auto w, auto d) { return d >= 2 && h == 1 && w == 2 ? 1.0F : 0.0F; }),
         write("second.nii",
               [](auto h, auto w, auto d) { return (d == 0 || d >= 3) && h == 3 && w == 0 ? 1.0F : 0.0F; })},
        write("roi.nii", [](auto h, auto, auto d) { return h < (d == 4 ? 1 : 2) ? 1.0F : 0.0F; }));  // 3 or 6 voxels
  }
};

}  // namespace

static_assert(ivado::Dataset<ivado::SliceDataset<Untouched>>);

TEST_CASE("slices hold the voxels of their place, on three axes and for any orientation of the file",
          "[unit][slice_dataset]") {
  const auto axis = GENERATE(Axis::sagittal, Axis::coronal, Axis::axial);
  const auto codes = GENERATE(as<std::string>(), "RAS", "LPS", "PIR", "SAL");
  const Folder folder;
  // The value of a voxel tells its place in RAS order: x + 10 y + 100 z; the extents along x, y, z are 3, 4, 5.
  const std::array<std::int64_t, 3> extent{3, 4, 5};
  Shape shape;
  std::array<double, 3> spacing_mm{};
  std::array<int, 3> world{};
  for (std::size_t a = 0; a < 3; ++a) {
    world[a] = std::string("RLAPSI").find(codes[a]) / 2 == 0   ? 0
               : std::string("RLAPSI").find(codes[a]) / 2 == 1 ? 1
                                                               : 2;
    shape.push_back(extent[static_cast<std::size_t>(world[a])]);
    spacing_mm[a] = std::array<double, 3>{0.5, 2, 3}[static_cast<std::size_t>(world[a])];
  }
  const std::string path = folder.write("image.nii.gz", grid(shape, codes, spacing_mm), [&](auto i, auto j, auto k) {
    const std::array<std::int64_t, 3> index{i, j, k};
    std::int64_t value = 0;
    for (std::size_t a = 0; a < 3; ++a) {
      const bool forward = codes[a] == 'R' || codes[a] == 'A' || codes[a] == 'S';
      const std::int64_t place = forward ? index[a] : shape[static_cast<int>(a)] - 1 - index[a];
      value += place * std::array<std::int64_t, 3>{1, 10, 100}[static_cast<std::size_t>(world[a])];
    }
    return value;
  });
  SliceOptions options;
  options.axis = axis;
  const ivado::SliceDataset<Untouched> data({a_case("one", {path})}, options, {}, Stage::testing, 0);
  const std::size_t slices = axis == Axis::sagittal ? 3 : axis == Axis::coronal ? 4 : 5;
  REQUIRE(data.size() == slices);
  for (std::size_t d = 0; d < slices; ++d) {
    const auto loaded = data.get(d, 0);
    const auto& image = loaded.sample.image;
    CHECK(loaded.sample.origin.slice == static_cast<std::int32_t>(d));
    CHECK(loaded.sample.label.empty());
    CHECK(loaded.sample.roi.empty());
    const Shape expected = axis == Axis::sagittal  ? Shape{1, 5, 4}
                           : axis == Axis::coronal ? Shape{1, 5, 3}
                                                   : Shape{1, 3, 4};
    REQUIRE(image.voxels.shape() == expected);
    const std::array<double, 3> expected_mm = axis == Axis::sagittal  ? std::array<double, 3>{3, 2, 0.5}
                                              : axis == Axis::coronal ? std::array<double, 3>{3, 0.5, 2}
                                                                      : std::array<double, 3>{0.5, 2, 3};
    CHECK(image.spacing_mm == expected_mm);
    for (std::int64_t h = 0; h < expected[1]; ++h)
      for (std::int64_t w = 0; w < expected[2]; ++w) {
        const auto third = static_cast<std::int64_t>(d);
        const std::int64_t value = axis == Axis::sagittal  ? third + 10 * w + 100 * h
                                   : axis == Axis::coronal ? w + 10 * third + 100 * h
                                                           : h + 10 * w + 100 * third;
        REQUIRE(image.voxels.view()(0, h, w) == static_cast<float>(value));
      }
  }
  CHECK(data.geometry_of(0).shape == shape);
  CHECK(ivado::axis_codes(data.geometry_of(0).affine) == codes);
  CHECK(data.axis() == axis);
  CHECK(data.case_of(0).id == "one");
}

TEST_CASE("each slice that a filter leaves out is counted under its reason", "[unit][slice_dataset]") {
  const auto axis = GENERATE(Axis::sagittal, Axis::coronal, Axis::axial);
  const FilterCase files(axis);
  SliceOptions options;
  options.axis = axis;
  const auto slices_with = [&](const SliceOptions& with, const Case& one) {
    const ivado::SliceDataset<Untouched> data({one}, with, {}, Stage::training, 0);
    std::vector<std::int32_t> slices;
    for (std::size_t n = 0; n < data.size(); ++n) {
      slices.push_back(data.origin(n).slice);
      CHECK(data.get(n, 0).sample.origin.slice == slices.back());
    }
    CHECK(data.counts(0) == data.counts());
    CHECK(data.counts().kept == static_cast<std::int64_t>(data.size()));
    return std::pair{slices, data.counts()};
  };
  using Slices = std::vector<std::int32_t>;

  SECTION("none") {
    options.filter_empty_input = false;
    CHECK(slices_with(options, files.one) == std::pair{Slices{0, 1, 2, 3, 4}, SliceCounts{.kept = 5}});
  }
  SECTION("constant input, as by default") {
    CHECK(slices_with(options, files.one) == std::pair{Slices{1, 2, 3, 4}, SliceCounts{.kept = 4, .empty_input = 1}});
  }
  SECTION("empty mask") {
    options.filter_empty_mask = true;
    CHECK(slices_with(options, files.one) ==
          std::pair{Slices{2, 3, 4}, SliceCounts{.kept = 3, .empty_mask = 1, .empty_input = 1}});
  }
  SECTION("absent class") {
    options.filter_absent_class = true;
    CHECK(slices_with(options, files.one) == std::pair{Slices{3, 4}, SliceCounts{.kept = 2, .absent_class = 3}});
  }
  SECTION("both: the first reason counts") {
    options.filter_empty_mask = true;
    options.filter_absent_class = true;
    const auto found = slices_with(options, files.one);
    CHECK(found == std::pair{Slices{3, 4}, SliceCounts{.kept = 2, .empty_mask = 1, .absent_class = 2}});
    CHECK(found.second.left_out() == 3);
    CHECK(found.second.text() == "2 slices; left out: 1 with an empty mask, 2 without one of the classes");
  }
  SECTION("a class without a file is absent everywhere") {
    options.filter_absent_class = true;
    Case one = files.one;
    one.labels[1].clear();
    CHECK(slices_with(options, one) == std::pair{Slices{}, SliceCounts{.absent_class = 5}});
  }
  SECTION("region of interest: at most so many voxels") {
    options.filter_roi = 3;
    CHECK(slices_with(options, files.one) ==
          std::pair{Slices{1, 2, 3}, SliceCounts{.kept = 3, .empty_input = 1, .small_roi = 1}});
    options.filter_roi = 2;
    CHECK(slices_with(options, files.one).first == Slices{1, 2, 3, 4});
    options.filter_roi = 6;
    CHECK(slices_with(options, files.one).first.empty());
  }
  SECTION("filters of masks and regions let pass what has none") {
    options.filter_empty_mask = true;
    options.filter_absent_class = true;
    options.filter_roi = 3;
    Case one = files.one;
    one.labels.clear();
    one.roi.clear();
    CHECK(slices_with(options, one).first == Slices{1, 2, 3, 4});
  }
  SECTION("a predicate is asked about slices that pass the others, as they are in the file") {
    std::vector<std::int32_t> asked;
    options.keep_slice = [&](const Sample& slice) {
      asked.push_back(slice.origin.slice);
      CHECK(slice.label.empty());
      return slice.origin.slice != 2;
    };
    CHECK(slices_with(options, files.one) ==
          std::pair{Slices{1, 3, 4}, SliceCounts{.kept = 3, .empty_input = 1, .rejected = 1}});
    CHECK(asked == std::vector<std::int32_t>{1, 2, 3, 4});
  }
  SECTION("one constant channel of two is enough") {
    Case one = files.one;
    one.images.push_back(one.labels[0]);  // constant in slices 0 and 1
    CHECK(slices_with(options, one) == std::pair{Slices{2, 3, 4}, SliceCounts{.kept = 3, .empty_input = 2}});
  }
}

TEST_CASE("channels and classes are stacked in order, and a class without a file is zero", "[unit][slice_dataset]") {
  const Folder folder;
  const auto geometry = grid({3, 2, 2});
  const auto plane = [&](const std::string& name, float value) {
    return folder.write(name, geometry, [&](auto i, auto, auto) { return i == 1 ? value : 0.0F; });
  };
  const Case one = a_case("one", {plane("a.nii", 5), plane("b.nii", 7)}, {plane("l.nii", 1), "", plane("m.nii", 1)},
                          plane("r.nii", 2));
  const ivado::SliceDataset<Untouched> data({one}, {}, {}, Stage::training, 0);
  const auto loaded = data.get(1, 0);
  REQUIRE(loaded.sample.image.voxels.shape() == Shape{2, 3, 2});
  REQUIRE(loaded.sample.label.voxels.shape() == Shape{3, 3, 2});
  REQUIRE(loaded.sample.roi.voxels.shape() == Shape{1, 3, 2});
  CHECK(loaded.sample.image.kind == ivado::Kind::image);
  CHECK(loaded.sample.label.kind == ivado::Kind::label);
  CHECK(loaded.sample.roi.kind == ivado::Kind::roi);
  CHECK(loaded.sample.image.voxels.view()(0, 1, 1) == 5);
  CHECK(loaded.sample.image.voxels.view()(1, 1, 1) == 7);
  CHECK(loaded.sample.roi.voxels.view()(0, 1, 0) == 2);
  for (std::int64_t w = 0; w < 2; ++w)
    for (std::int64_t h = 0; h < 3; ++h) {
      CHECK(loaded.sample.label.voxels.view()(0, h, w) == (h == 1 ? 1.0F : 0.0F));
      CHECK(loaded.sample.label.voxels.view()(1, h, w) == 0);
      CHECK(loaded.sample.label.voxels.view()(2, h, w) == (h == 1 ? 1.0F : 0.0F));
    }
}

TEST_CASE("labels become 0 or 1 before they are interpolated, and again after", "[unit][slice_dataset]") {
  const Folder folder;
  const auto geometry = grid({1, 6, 2});
  // The second slice varies as well, so that none is left out.
  const std::string image = folder.write("i.nii", geometry, [](auto, auto j, auto) { return j; });
  const auto row_of = [&](const std::string& label, const SliceOptions& options) {
    const ivado::SliceDataset<Moved> data({a_case("one", {image}, {label})}, options, {}, Stage::training, 0);
    const auto loaded = data.get(0, 0);
    return std::vector<float>(loaded.sample.label.voxels.begin(), loaded.sample.label.voxels.end());
  };
  using Row = std::vector<float>;
  const auto label_of = [&](float value) {
    return folder.write("l" + std::to_string(value) + ".nii", geometry,
                        [&](auto, auto j, auto) { return j == 2 || j == 3 ? value : 0.0F; });
  };
  const auto value = GENERATE(0.5F, 1.0F, 2.0F, 255.0F);
  CAPTURE(value);
  CHECK(row_of(label_of(value), {}) == Row{0, 0, 1, 1, 0, 0});

  SliceOptions as_ivadomed;
  as_ivadomed.as_ivadomed = true;
  if (value == 1) CHECK(row_of(label_of(1), as_ivadomed) == Row{0, 0, 1, 1, 0, 0});
  if (value == 2) CHECK(row_of(label_of(2), as_ivadomed) == Row{0, 0, 1, 1, 1, 0});  // 0.3 of 2 is over 0.5: too wide

  SliceOptions soft;
  soft.soft_gt = true;
  if (value == 1) {
    const auto row = row_of(label_of(1), soft);
    const Row expected{0, 0, 0.7F, 1, 0.3F, 0};
    for (std::size_t j = 0; j < 6; ++j) CHECK(row[j] == Approx(expected[j]));
    // A little over 1, as resampled probabilities are, is clamped; so is what is below 0.
    CHECK(row_of(label_of(1.1F), soft)[3] == 1);
    CHECK(row_of(label_of(-0.1F), soft)[3] == 0);
  }
  if (value == 255) {
    const auto message = message_of([&] { (void)row_of(label_of(255), soft); }, ivado::Fault::data);
    CHECK_THAT(message,
               Catch::Contains("l255") && Catch::Contains("largest value is 255") && Catch::Contains("soft_gt"));
  }
}

TEST_CASE("labels below one half are empty for the filters too", "[unit][slice_dataset]") {
  const Folder folder;
  const auto geometry = grid({2, 2, 2});
  const std::string image = folder.write("i.nii", geometry, [](auto i, auto, auto) { return i; });
  const std::string label = folder.write("l.nii", geometry, [](auto, auto, auto k) { return k == 0 ? 0.3F : 0.8F; });
  SliceOptions options;
  options.filter_empty_mask = true;
  const auto kept = [&] {
    return ivado::SliceDataset<Untouched>({a_case("one", {image}, {label})}, options, {}, Stage::training, 0).size();
  };
  CHECK(kept() == 1);
  options.soft_gt = true;
  CHECK(kept() == 2);
  options.soft_gt = false;
  options.as_ivadomed = true;
  CHECK(kept() == 2);
}

TEST_CASE("a sample is a function of seed, epoch and number", "[unit][slice_dataset]") {
  const FilterCase files(Axis::axial);
  const ivado::SliceDataset<Untouched> data({files.one, files.one}, {}, {}, Stage::validation, 42);
  REQUIRE(data.size() == 8);
  const auto loaded = data.get(5, 3);
  CHECK(loaded.history.key == ivado::RandomKey{42, 3, 5, 0});
  CHECK(loaded.history.preprocessed == 1);
  CHECK(loaded.sample.origin.volume == 1);
  CHECK(loaded.sample.origin.slice == 2);
  CHECK(data.describe(5) == "axial slice 2 of sub-01_T2w");
  CHECK(data.stage() == Stage::validation);

  const ivado::SliceDataset<Restless> restless({files.one}, {}, {}, Stage::training, 42);
  CHECK(same(restless.get(1, 0).sample, restless.get(1, 0).sample));
  CHECK_FALSE(same(restless.get(1, 0).sample, restless.get(1, 1).sample));
  for (const float value : restless.get(2, 0).sample.label.voxels) CHECK((value == 0 || value == 1));
}

TEST_CASE("one result for any budget, number of threads and order of access; the budget is kept",
          "[unit][slice_dataset]") {
  const Folder folder;
  std::vector<Case> cases;
  std::size_t case_bytes = 0;
  for (int v = 0; v < 5; ++v) {
    const auto geometry = grid({6 + v, 7, 4 + v}, v % 2 == 0 ? "RAS" : "LPI");
    const auto name = std::to_string(v);
    ivado::Rng rng(ivado::RandomKey{1, 0, static_cast<std::uint32_t>(v)});
    const auto image = folder.write("i" + name + ".nii.gz", geometry, [&](auto, auto, auto) { return rng.uniform(); });
    const auto label =
        folder.write("l" + name + ".nii.gz", geometry, [&](auto, auto, auto) { return rng.bernoulli(0.5); });
    cases.push_back(a_case("case" + name, {image}, {label}));
    case_bytes = std::max(case_bytes, static_cast<std::size_t>(geometry.shape.size()) * 5);  // float image, byte mask
  }
  SliceOptions options;
  const ivado::SliceDataset<Restless> all(cases, options, {}, Stage::training, 9);
  REQUIRE(all.size() == 4 + 5 + 6 + 7 + 8);
  const std::size_t sample_bytes = all.get(0, 0).bytes();
  CHECK(all.estimated_bytes() == all.size() * sample_bytes);
  CHECK(all.sample_statistics().bytes == all.estimated_bytes());
  CHECK(all.sample_statistics().misses == 0);  // prepared while reading
  CHECK(all.volume_statistics().misses == 0);  // and read once
  CHECK_THAT(all.summary(), Catch::Contains("training set: 5 volumes, 30 slices; 0.0 MiB kept in memory"));

  const auto budget = GENERATE_COPY(std::size_t{0}, std::size_t{1}, sample_bytes * 3, case_bytes,
                                    case_bytes + sample_bytes * 5, case_bytes * 3, std::size_t{1} << 30);
  const auto threads = GENERATE(1, 2, 4);
  options.cache_bytes = budget;
  options.threads = threads;
  const ivado::SliceDataset<Restless> data(cases, options, {}, Stage::training, 9);
  REQUIRE(data.size() == all.size());
  CHECK(data.estimated_bytes() == all.estimated_bytes());
  for (std::uint32_t epoch = 0; epoch < 2; ++epoch)
    for (const auto n : ivado::Rng(ivado::RandomKey{3, epoch}).permutation(static_cast<std::int64_t>(data.size()))) {
      const auto index = static_cast<std::size_t>(n);
      REQUIRE(same(data.get(index, epoch).sample, all.get(index, epoch).sample));
      REQUIRE(data.get(index, epoch).history.offset == all.get(index, epoch).history.offset);
    }
  const auto samples = data.sample_statistics();
  const auto volumes = data.volume_statistics();
  CHECK(samples.bytes + volumes.bytes <= budget);
  CHECK(samples.peak_bytes <= budget);
  CHECK(volumes.peak_bytes <= budget);
  CHECK(samples.budget_bytes + volumes.budget_bytes <= budget);
  if (budget == 0) CHECK(samples.hits + volumes.hits == 0);
  if (budget == std::size_t{1} << 30) CHECK(volumes.misses == 0);
  if (budget < all.estimated_bytes()) CHECK_THAT(data.summary(), Catch::Contains("to prepare, of which at most"));
}

TEST_CASE("going through a set in order reads each volume once, even where no sample finds room",
          "[unit][slice_dataset]") {
  const Folder folder;
  std::vector<Case> cases;
  for (int v = 0; v < 3; ++v)
    cases.push_back(a_case(std::to_string(v), {folder.write("i" + std::to_string(v) + ".nii", grid({5, 5, 6}),
                                                            [](auto i, auto j, auto k) { return i + j + k; })}));
  SliceOptions options;
  options.cache_bytes = 5 * 5 * 6 * 4;  // one volume
  const ivado::SliceDataset<Untouched> data(cases, options, {}, Stage::testing, 0);
  for (std::size_t n = 0; n < data.size(); ++n) (void)data.get(n, 0);
  CHECK(data.volume_statistics().misses == 3);
  CHECK(data.volume_statistics().hits == data.size() - 3);
}

TEST_CASE("several threads may ask at once", "[unit][slice_dataset]") {
  const FilterCase files(Axis::axial);
  const auto budget = GENERATE(std::size_t{0}, std::size_t{700}, std::size_t{1} << 20);
  SliceOptions options;
  options.cache_bytes = budget;
  const std::vector<Case> cases(6, files.one);
  const ivado::SliceDataset<Restless> data(cases, options, {}, Stage::training, 1);
  std::vector<Sample> expected;
  for (std::size_t n = 0; n < data.size(); ++n) expected.push_back(data.get(n, 1).sample);
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> pool;
    for (std::uint32_t t = 0; t < 4; ++t)
      pool.emplace_back([&, t] {
        for (const auto n : ivado::Rng(ivado::RandomKey{t}).permutation(static_cast<std::int64_t>(data.size())))
          wrong += same(data.get(static_cast<std::size_t>(n), 1).sample, expected[static_cast<std::size_t>(n)]) ? 0 : 1;
      });
  }
  CHECK(wrong == 0);
}

TEST_CASE("files, filters, transforms and workers together give one stream of batches", "[unit][slice_dataset]") {
  const FilterCase files(Axis::coronal);
  const std::vector<Case> cases(5, files.one);
  SliceOptions options;
  options.axis = Axis::coronal;
  const ivado::SliceDataset<Restless> all(cases, options, {}, Stage::training, 8);
  const auto epoch_of = [](const auto& data, int workers, std::uint32_t epoch) {
    ivado::BatchLoader loader(data, {.batch_size = 6, .shuffle = true, .seed = 8, .workers = workers});
    std::vector<float> numbers;
    loader.start(epoch);
    while (auto loaded = loader.next()) {
      numbers.insert(numbers.end(), loaded->batch.image.begin(), loaded->batch.image.end());
      numbers.insert(numbers.end(), loaded->batch.label.begin(), loaded->batch.label.end());
      for (const auto& origin : loaded->batch.origins)
        numbers.push_back(static_cast<float>(100 * origin.volume + origin.slice));
      for (const auto& history : loaded->histories) numbers.push_back(history.offset);
    }
    return numbers;
  };
  const auto budget = GENERATE(std::size_t{0}, std::size_t{900}, std::size_t{1} << 20);
  options.cache_bytes = budget;
  options.threads = 2;
  const ivado::SliceDataset<Restless> data(cases, options, {}, Stage::training, 8);
  for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
    const auto expected = epoch_of(all, 0, epoch);
    REQUIRE(expected.size() == 20 * (9 + 2 * 9 + 2));
    for (const int workers : {0, 1, 2, 4}) CHECK((epoch_of(data, workers, epoch) == expected));
  }
}

TEST_CASE("files of a case that do not lie on one grid are refused with both names", "[unit][slice_dataset]") {
  const Folder folder;
  const auto ramp = [](auto i, auto j, auto k) { return i + j + k; };
  const auto image = folder.write("image.nii", grid({4, 4, 3}), ramp);
  Geometry moved = grid({4, 4, 3});
  moved.affine(1, 3) += 2;
  Geometry nearly = grid({4, 4, 3});
  nearly.affine(1, 3) += 0.2;
  const auto far = folder.write("far.nii", moved, ramp);
  const auto near = folder.write("near.nii", nearly, ramp);
  const auto large = folder.write("large.nii", grid({4, 5, 3}), ramp);
  const auto make = [](const Case& one) {
    return [one] { (void)ivado::SliceDataset<Untouched>({one}, {}, {}, Stage::training, 0); };
  };
  CHECK_THAT(message_of(make(a_case("one", {image}, {far})), ivado::Fault::data),
             Catch::Contains("image.nii") && Catch::Contains("far.nii") && Catch::Contains("2 mm"));
  CHECK_THAT(message_of(make(a_case("one", {image}, {large})), ivado::Fault::data),
             Catch::Contains("4x4x3") && Catch::Contains("4x5x3") && Catch::Contains("large.nii"));
  CHECK_THAT(message_of(make(a_case("one", {image, far})), ivado::Fault::data),
             Catch::Contains("image.nii") && Catch::Contains("far.nii"));
  CHECK_THAT(message_of(make(a_case("one", {image}, {}, large)), ivado::Fault::data), Catch::Contains("large.nii"));
  CHECK_NOTHROW(make(a_case("one", {image}, {near}))());
  CHECK_THAT(message_of(make(a_case("one", {image}, {far})), ivado::Fault::data),
             Catch::Contains("\"allow_regrid\": true"));
}

TEST_CASE("with allow_regrid the files of another grid are resampled onto the reference", "[unit][slice_dataset]") {
  const Folder folder;
  // One object in the world, x + 10 y + 100 z, on three grids.
  const auto on = [&](const std::string& name, const Geometry& geometry, const auto& value) {
    return folder.write(name, geometry, [&](auto i, auto j, auto k) {
      const Eigen::Vector4d point =
          geometry.affine * Eigen::Vector4d(static_cast<double>(i), static_cast<double>(j), static_cast<double>(k), 1);
      return value(point.x(), point.y(), point.z());
    });
  };
  const auto ramp = [](double x, double y, double z) { return x + 10 * y + 100 * z; };
  const auto ball = [](double x, double y, double) { return x >= 5 && y >= 2 ? 1.0 : 0.0; };
  const Geometry fine = grid({6, 5, 4});
  Geometry turned = grid({5, 8, 3}, "ASR", {1, 0.5, 4});
  turned.affine(0, 3) = 2;
  Geometry shifted = grid({6, 5, 4});
  shifted.affine(2, 3) = 2;  // reaches the slices 2 and 3
  const auto image = on("i.nii", fine, ramp);
  const auto other = on("o.nii", turned, ramp);
  Geometry mirrored = grid({6, 5, 4}, "LAS");
  mirrored.affine(0, 3) = 8;
  const auto label = on("l.nii", mirrored, ball);
  const auto late = on("r.nii", shifted, [](auto, auto, auto) { return 1.0; });
  const Case one = a_case("one", {image, other}, {label}, late);
  SliceOptions options;
  options.allow_regrid = true;
  const ivado::SliceDataset<Untouched> data({one}, options, {}, Stage::training, 0);
  REQUIRE(data.size() == 4);
  CHECK(data.geometry_of(0).shape == fine.shape);
  CHECK_THAT(data.summary(), Catch::Contains("3 files resampled onto another grid"));
  for (std::size_t d = 0; d < 4; ++d) {
    const auto sample = data.get(d, 0).sample;
    for (std::int64_t h = 0; h < 6; ++h)
      for (std::int64_t w = 0; w < 5; ++w) {
        const double x = static_cast<double>(h) + 3;
        const double y = static_cast<double>(w);
        REQUIRE(sample.image.voxels.view()(0, h, w) == Approx(ramp(x, y, static_cast<double>(d))));
        // The other image reaches from 2 to 10 mm along x, from 0 to 4 along y; half a voxel beyond it is 0.
        REQUIRE(sample.image.voxels.view()(1, h, w) == Approx(ramp(x, y, static_cast<double>(d))).margin(1e-4));
        REQUIRE(sample.label.voxels.view()(0, h, w) == (x >= 5 && y >= 2 ? 1.0F : 0.0F));
        REQUIRE(sample.roi.voxels.view()(0, h, w) == (d < 2 ? 0.0F : 1.0F));
      }
  }
  const auto labels = ivado::read_labels(one, data.geometry_of(0), options);
  CHECK(labels.shape() == Shape{1, 6, 5, 4});
  CHECK(labels.view()(0, 2, 2, 3) == 1);
  CHECK(labels.view()(0, 1, 2, 3) == 0);

  SECTION("soft labels are interpolated, masks are not") {
    Geometry half = grid({6, 5, 4});
    half.affine(0, 3) = 3.5;
    options.grid_tolerance_mm = 0.1;
    const auto wide = on("w.nii", half, ball);
    const auto row = [&](bool soft) {
      options.soft_gt = soft;
      const Case with = a_case("two", {image}, {wide});
      const ivado::SliceDataset<Untouched> set({with}, options, {}, Stage::training, 0);
      std::vector<float> out;
      const auto labels_on_grid = ivado::read_labels(with, fine, options);
      const auto sample = set.get(1, 0).sample;
      for (std::int64_t h = 0; h < 6; ++h) {
        out.push_back(sample.label.voxels.view()(0, h, 3));
        CHECK(labels_on_grid.view()(0, h, 3, 1) == out.back());
      }
      return out;
    };
    // Centres at 3.5, 4.5, 5.5 …: from 5.5 mm on they are 1.
    CHECK(row(true) == std::vector<float>{0, 0, 0.5F, 1, 1, 1});
    CHECK(row(false) == std::vector<float>{0, 0, 1, 1, 1, 1});
  }
  SECTION("what lies wholly outside is told") {
    Geometry away = grid({6, 5, 4});
    away.affine(2, 3) = 90;
    const ivado::SliceDataset<Untouched> set({a_case("three", {image}, {on("away.nii", away, ball)})}, options, {},
                                             Stage::training, 0);
    REQUIRE(set.warnings().size() == 1);
    CHECK_THAT(set.warnings()[0], Catch::Contains("away.nii") && Catch::Contains("wholly outside"));
  }
  SECTION("a grid within the tolerance is left as it is") {
    Geometry nearly = grid({6, 5, 4});
    nearly.affine(0, 3) += 0.2;
    const ivado::SliceDataset<Untouched> set({a_case("four", {image}, {on("near.nii", nearly, ball)})}, options, {},
                                             Stage::training, 0);
    CHECK_THAT(set.summary(), !Catch::Contains("resampled"));
  }
}

TEST_CASE("samples carry the condition of their case", "[unit][slice_dataset]") {
  const FilterCase files(Axis::axial);
  Case one = files.one;
  Case two = files.one;
  two.id = "sub-02_T2w";
  one.condition = {1, 0, 0};
  two.condition = {0, 0, 1};
  const ivado::SliceDataset<Restless> data({one, two}, {}, {}, Stage::training, 0);
  CHECK(data.get(0, 1).sample.condition == std::vector<float>{1, 0, 0});
  CHECK(data.get(7, 1).sample.condition == std::vector<float>{0, 0, 1});
  CHECK(data.get(7, 1).sample.clone().condition == std::vector<float>{0, 0, 1});
  two.condition.pop_back();
  CHECK_THAT(message_of(
                 [&] {
                   (void)ivado::SliceDataset<Restless>({one, two}, {}, {}, Stage::training, 0);
                 },
                 ivado::Fault::data),
             Catch::Contains("sub-02_T2w has 2 conditions, sub-01_T2w has 3"));
}

namespace {

/// Cases of three contrasts on one grid of 4 × 4 × 5 voxels: one has all, one lacks the first, one has the last alone.
/// In slice 0 of the first case the second contrast is constant, in slice 1 all are.
struct ContrastCases {
  Folder folder;
  std::vector<Case> cases;

  ContrastCases() {
    const auto geometry = grid({4, 4, 5});
    const auto write = [&](const std::string& name, auto constant) {
      return folder.write(name, geometry, [&](auto i, auto j, auto k) { return constant(k) ? 7 : 2 + i * j + 10 * k; });
    };
    const auto never = [](auto) { return false; };
    const auto label = folder.write("l.nii", geometry, [](auto i, auto, auto) { return i == 1; });
    cases.push_back(
        a_case("all",
               {write("a0.nii", [](auto k) { return k == 1; }), write("a1.nii", [](auto k) { return k < 2; }),
                write("a2.nii", [](auto k) { return k == 1; })},
               {label}));
    cases.push_back(a_case("two", {"", write("b1.nii", never), write("b2.nii", never)}, {label}));
    cases[1].reference = 1;
    cases.push_back(a_case("one", {"", "", write("c2.nii", never)}, {label}));
    cases[2].reference = 2;
  }
};

bool channel_is_zero(const Sample& sample, std::size_t channel) {
  const auto& voxels = sample.image.voxels;
  const std::int64_t size = voxels.size() / voxels.extent(0);
  return std::all_of(voxels.data() + static_cast<std::int64_t>(channel) * size,
                     voxels.data() + static_cast<std::int64_t>(channel + 1) * size,
                     [](float value) { return value == 0; });
}

}  // namespace

TEST_CASE("missing contrasts are zero after all transforms, and the condition says which are there",
          "[unit][slice_dataset]") {
  const ContrastCases files;
  SliceOptions options;
  options.missing_contrasts = true;
  options.cache_bytes = GENERATE(std::size_t{0}, std::size_t{1} << 20);
  const auto stage = GENERATE(Stage::training, Stage::testing);
  // Restless adds noise to every channel.
  const ivado::SliceDataset<Restless> data(files.cases, options, {}, stage, 3);
  CHECK(data.counts(0) == SliceCounts{.kept = 4, .empty_input = 1});
  REQUIRE(data.size() == 4 + 5 + 5);
  for (std::size_t n = 0; n < data.size(); ++n) {
    const auto sample = data.get(n, 2).sample;
    const std::vector<float> expected = n == 0  ? std::vector<float>{1, 0, 1}  // constant in this slice: not there
                                        : n < 4 ? std::vector<float>{1, 1, 1}
                                        : n < 9 ? std::vector<float>{0, 1, 1}
                                                : std::vector<float>{0, 0, 1};
    CHECK(sample.condition == expected);
    for (std::size_t c = 0; c < 3; ++c) CHECK(channel_is_zero(sample, c) == (expected[c] == 0));
    CHECK(sample.label.voxels.extent(0) == 1);
  }

  SECTION("where no slice is left out, one that is constant in all contrasts keeps those that the case has") {
    options.filter_empty_input = false;
    const ivado::SliceDataset<Untouched> all(files.cases, options, {}, stage, 3);
    REQUIRE(all.size() == 15);
    CHECK(all.get(1, 0).sample.condition == std::vector<float>{1, 1, 1});
  }
  SECTION("the condition of the case comes behind") {
    auto cases = files.cases;
    for (auto& one : cases) one.condition = {0.5F, 0.25F};
    const ivado::SliceDataset<Untouched> both(cases, options, {}, stage, 3);
    CHECK(both.get(4, 0).sample.condition == std::vector<float>{0, 1, 1, 0.5F, 0.25F});
  }
  SECTION("normalisation leaves them zero as well") {
    using Chain = ivado::Compose<ivado::NormalizeInstance>;
    const ivado::SliceDataset<Chain> normal(files.cases, options, Chain{}, stage, 3);
    CHECK(channel_is_zero(normal.get(9, 0).sample, 0));
    CHECK(channel_is_zero(normal.get(9, 0).sample, 1));
    CHECK_FALSE(channel_is_zero(normal.get(9, 0).sample, 2));
  }
}

TEST_CASE("a contrast that is missing is an error where the options do not allow it", "[unit][slice_dataset]") {
  const ContrastCases files;
  CHECK_THAT(message_of([&] { (void)ivado::SliceDataset<Untouched>({files.cases[1]}, {}, {}, Stage::training, 0); },
                        ivado::Fault::internal),
             Catch::Contains("two") && Catch::Contains("channel 0 has no image"));
}

TEST_CASE("contrasts are hidden while training with the probability p^(g^(epoch-1)), never all of them",
          "[unit][slice_dataset]") {
  const ContrastCases files;
  const std::vector<Case> cases(40, files.cases[0]);
  SliceOptions options;
  options.missing_contrasts = true;
  const ivado::SliceDataset<Restless> plain(cases, options, {}, Stage::training, 6);
  options.missing_probability = 0.5;
  options.missing_probability_growth = 2;
  const ivado::SliceDataset<Restless> data(cases, options, {}, Stage::training, 6);
  const ivado::SliceDataset<Restless> validation(cases, options, {}, Stage::validation, 6);
  REQUIRE(data.size() == 160);

  for (const auto& [epoch, probability] :
       std::vector<std::pair<std::uint32_t, double>>{{0, 0.5}, {1, 0.5}, {2, 0.25}, {3, 0.0625}, {30, 0}}) {
    CAPTURE(epoch);
    int hidden = 0;
    std::array<int, 3> alone{};
    for (std::size_t n = 0; n < data.size(); ++n) {
      const auto sample = data.get(n, epoch).sample;
      const auto before = plain.get(n, epoch).sample;
      // By hand: one draw a channel, in their order, of a stream of their own.
      ivado::Rng rng(ivado::RandomKey{6, epoch, static_cast<std::uint32_t>(n), ivado::stream_contrasts});
      std::vector<float> expected = before.condition;
      std::vector<std::size_t> there;
      for (std::size_t c = 0; c < 3; ++c) {
        const bool hide = rng.uniform() < probability;
        if (expected[c] == 0) continue;
        there.push_back(c);
        if (hide) expected[c] = 0;
      }
      if (expected == std::vector<float>(3, 0))
        expected[there[rng.below(static_cast<std::uint32_t>(there.size()))]] = 1;
      REQUIRE(sample.condition == expected);
      for (std::size_t c = 0; c < 3; ++c) {
        REQUIRE(channel_is_zero(sample, c) == (expected[c] == 0));
        hidden += before.condition[c] != expected[c] ? 1 : 0;
      }
      if (std::count(expected.begin(), expected.end(), 1.0F) == 1)
        ++alone[static_cast<std::size_t>(std::find(expected.begin(), expected.end(), 1.0F) - expected.begin())];
      // Everything else is as it is without hiding.
      REQUIRE(sample.label.voxels == before.label.voxels);
      REQUIRE(data.get(n, epoch).history.offset == plain.get(n, epoch).history.offset);
      REQUIRE(validation.get(n, epoch).sample.condition == before.condition);
    }
    if (probability == 0) CHECK(hidden == 0);
    if (epoch == 1) {
      CHECK(hidden > 440 / 4);
      for (const int count : alone) CHECK(count > 5);
    }
  }
  options.missing_probability = 1;  // one contrast a sample, each in its turn
  const ivado::SliceDataset<Untouched> one(cases, options, {}, Stage::training, 6);
  std::array<int, 3> kept{};
  for (std::size_t n = 0; n < one.size(); ++n) {
    const auto condition = one.get(n, 1).sample.condition;
    REQUIRE(std::count(condition.begin(), condition.end(), 1.0F) == 1);
    ++kept[static_cast<std::size_t>(std::find(condition.begin(), condition.end(), 1.0F) - condition.begin())];
  }
  // 120 samples have three contrasts, 40 have the first and the last: 60, 40 and 60 expected, standard deviation < 7.
  CHECK(kept[0] > 35);
  CHECK(kept[1] > 15);
  CHECK(kept[2] > 35);
}

TEST_CASE("the same contrasts are hidden for any number of workers", "[unit][slice_dataset]") {
  const ContrastCases files;
  SliceOptions options;
  options.missing_contrasts = true;
  options.missing_probability = 0.4;
  options.missing_probability_growth = 1.1;
  options.threads = GENERATE(1, 4);
  const ivado::SliceDataset<Restless> data(files.cases, options, {}, Stage::training, 8);
  const auto epoch_of = [&](int workers, std::uint32_t epoch) {
    ivado::BatchLoader loader(data, {.batch_size = 4, .shuffle = true, .seed = 8, .workers = workers});
    std::vector<float> numbers;
    loader.start(epoch);
    while (auto loaded = loader.next()) {
      CHECK(loaded->batch.condition.shape() == Shape{loaded->batch.size(), 3});
      numbers.insert(numbers.end(), loaded->batch.image.begin(), loaded->batch.image.end());
      numbers.insert(numbers.end(), loaded->batch.condition.begin(), loaded->batch.condition.end());
    }
    return numbers;
  };
  for (std::uint32_t epoch = 1; epoch < 4; ++epoch) {
    const auto expected = epoch_of(1, epoch);
    CHECK((epoch_of(4, epoch) == expected));
    CHECK((epoch_of(0, epoch) == expected));
  }
}

TEST_CASE("labels of the image as a whole: 1 where a class has a voxel in the slice before the transforms",
          "[unit][slice_dataset]") {
  const auto axis = GENERATE(Axis::sagittal, Axis::coronal, Axis::axial);
  const FilterCase files(axis);
  SliceOptions options;
  options.axis = axis;
  options.image_labels = true;
  options.filter_empty_input = false;
  options.cache_bytes = GENERATE(std::size_t{0}, std::size_t{1} << 20);
  using Label = std::vector<float>;
  const auto label_of = [](const auto& data, std::size_t n) {
    const auto loaded = data.get(n, 1);
    const auto& label = loaded.sample.label.voxels;
    CHECK(label.rank() <= 1);
    return Label(label.begin(), label.end());
  };
  // Restless crops images and labels to the first pixels and multiplies labels: these labels it never sees.
  const ivado::SliceDataset<Restless> data({files.one}, options, {}, Stage::training, 1);
  REQUIRE(data.size() == 5);
  CHECK(label_of(data, 0) == Label{0, 1});
  CHECK(label_of(data, 1) == Label{0, 0});
  CHECK(label_of(data, 2) == Label{1, 0});
  CHECK(label_of(data, 3) == Label{1, 1});
  CHECK(data.get(3, 1).sample.image.voxels.shape() == Shape{1, 3, 3});

  ivado::BatchLoader loader(data, {.batch_size = 3});
  loader.start(1);
  const auto batch = loader.next();
  CHECK(batch->batch.label.shape() == Shape{3, 2});
  CHECK(Label(batch->batch.label.begin(), batch->batch.label.end()) == Label{0, 1, 0, 0, 1, 0});

  SECTION("a class without a file is never there") {
    Case one = files.one;
    one.labels[0].clear();
    CHECK(label_of(ivado::SliceDataset<Restless>({one}, options, {}, Stage::training, 1), 3) == Label{0, 1});
  }
  SECTION("filters on masks work as ever") {
    options.filter_empty_mask = true;
    CHECK(ivado::SliceDataset<Restless>({files.one}, options, {}, Stage::training, 1).counts() ==
          SliceCounts{.kept = 4, .empty_mask = 1});
  }
  SECTION("soft labels: any value above 0") {
    options.soft_gt = true;
    CHECK(label_of(ivado::SliceDataset<Restless>({files.one}, options, {}, Stage::training, 1), 2) == Label{1, 0});
  }
  SECTION("a case whose classes are known by other means") {
    Case one = files.one;
    one.labels.clear();
    one.image_label = {0, 1, 0};
    const ivado::SliceDataset<Restless> known({one}, options, {}, Stage::training, 1);
    REQUIRE(known.size() == 5);
    for (std::size_t n = 0; n < 5; ++n) CHECK(label_of(known, n) == Label{0, 1, 0});
  }
  SECTION("no labels at all") {
    Case one = files.one;
    one.labels.clear();
    CHECK(label_of(ivado::SliceDataset<Restless>({one}, options, {}, Stage::testing, 1), 2).empty());
  }
}

TEST_CASE("the labels to evaluate with are those that a data set sees", "[unit][slice_dataset]") {
  const Folder folder;
  const auto geometry = grid({3, 4, 5}, "LPS");
  const auto image = folder.write("i.nii", geometry, [](auto i, auto, auto) { return i; });
  const auto label = folder.write("l.nii", geometry, [](auto i, auto j, auto) {
    return i == 1 ? 0.7 : j == 2 ? 0.4 : 0;
  });
  const Case one = a_case("one", {image}, {label, ""});
  SliceOptions options;
  const auto hard = ivado::read_labels(one, geometry, options);
  REQUIRE(hard.shape() == Shape{2, 3, 4, 5});
  CHECK(hard.view()(0, 1, 0, 0) == 1);
  CHECK(hard.view()(0, 0, 2, 0) == 0);
  CHECK(hard.view()(1, 1, 0, 0) == 0);
  options.soft_gt = true;
  CHECK(ivado::read_labels(one, geometry, options).view()(0, 0, 2, 4) == 0.4F);
  CHECK_THAT(message_of(
                 [&] {
                   (void)ivado::read_labels(one, grid({3, 4, 6}), options);
                 },
                 ivado::Fault::data),
             Catch::Contains("i.nii") && Catch::Contains("l.nii"));
}

TEST_CASE("the first case that cannot be read is the one in the message, for any number of threads",
          "[unit][slice_dataset]") {
  const FilterCase files(Axis::axial);
  SliceOptions options;
  options.threads = GENERATE(1, 2, 4);
  std::vector<Case> cases(12, files.one);
  for (const std::size_t n : {5U, 6U, 7U, 8U}) cases[n].labels[0] = "missing" + std::to_string(n) + ".nii";
  // The second one fails before or after the first one does, which takes a while.
  const Folder folder;
  const auto slow = [&](std::size_t n, std::int64_t side) {
    ivado::Rng rng(ivado::RandomKey{1});
    cases[n].images[0] = folder.write(std::to_string(n) + ".nii.gz", grid({side, side, side}),
                                      [&](auto, auto, auto) { return rng.uniform(); });
  };
  slow(5, 48);
  if (GENERATE(false, true)) slow(6, 72);
  const auto message = message_of([&] { (void)ivado::SliceDataset<Untouched>(cases, options, {}, Stage::training, 0); },
                                  ivado::Fault::data);
  CHECK_THAT(message, Catch::Contains("missing5.nii"));
}

TEST_CASE("all cases have the same number of channels and classes", "[unit][slice_dataset]") {
  const FilterCase files(Axis::axial);
  Case other = files.one;
  other.id = "sub-02_T2w";
  const auto make = [&] { (void)ivado::SliceDataset<Untouched>({files.one, other}, {}, {}, Stage::training, 0); };
  SECTION("classes") {
    other.labels.pop_back();
    CHECK_THAT(message_of(make, ivado::Fault::data),
               Catch::Contains("training set") && Catch::Contains("sub-02_T2w has 1 labels, sub-01_T2w has 2"));
  }
  SECTION("channels") {
    other.images.push_back(other.images[0]);
    CHECK_THAT(message_of(make, ivado::Fault::data), Catch::Contains("sub-02_T2w has 2 images, sub-01_T2w has 1"));
  }
}

TEST_CASE("what was odd about a file is told", "[unit][slice_dataset]") {
  const Folder folder;
  const auto nan = folder.write("nan.nii", grid({3, 3, 2}),
                                [](auto i, auto j, auto k) { return i + j + k == 0 ? NAN : static_cast<double>(i); });
  const ivado::SliceDataset<Untouched> data({a_case("one", {nan})}, {}, {}, Stage::training, 0);
  REQUIRE(data.warnings().size() == 1);
  CHECK_THAT(data.warnings()[0], Catch::Contains("nan.nii: ") && Catch::Contains("NaN"));
}

TEST_CASE("a set of nothing has no slices", "[unit][slice_dataset]") {
  const ivado::SliceDataset<Untouched> data({}, {}, {}, Stage::validation, 0);
  CHECK(data.size() == 0);
  CHECK(data.volumes() == 0);
  CHECK_THAT(data.summary(), Catch::Contains("validation set: 0 volumes, 0 slices"));
}
