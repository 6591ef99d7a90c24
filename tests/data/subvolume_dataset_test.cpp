// Sub-volumes and patches of slices: voxels in their place, all of them covered, one result for any number of workers
// and any budget, labels on the grid of their image, filters and errors.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <ivado/data/batch_loader.hpp>
#include <ivado/data/slice_dataset.hpp>
#include <ivado/data/volume_io.hpp>
#include <ivado/infer/merge.hpp>
#include <ivado/transform/center_crop.hpp>
#include <ivado/transform/compose.hpp>
#include <ivado/transform/elastic_transform.hpp>
#include <ivado/transform/normalize_instance.hpp>
#include <ivado/transform/random_affine.hpp>
#include <ivado/transform/resample.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

namespace {

using Value = std::function<float(std::int64_t, std::int64_t, std::int64_t)>;

/// A folder that is gone at the end of the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "ivado_subvolumes_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  /// Writes a volume of 1 mm voxels whose voxel (i, j, k) is `value(i, j, k)`.
  std::string write(const std::string& name, const Shape& shape, const Value& value) const {
    Array<float> voxels(shape);
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < shape[0]; ++i)
      for (std::int64_t j = 0; j < shape[1]; ++j)
        for (std::int64_t k = 0; k < shape[2]; ++k) voxels[n++] = value(i, j, k);
    const std::string path = (path_ / name).string();
    write_volume(path, std::as_const(voxels).view(), {shape, Eigen::Matrix4d::Identity()}, StoredType::float32);
    return path;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Transforms nothing.
struct Untouched {
  struct History {};
  [[nodiscard]] History preprocess(Sample&, Stage) const { return {}; }
  void augment(Sample&, Stage, const RandomKey&, History&) const {}
  void invert(Image&, const History&) const {}
};

/// Preprocessing that fails.
struct Failing {
  struct History {};
  [[nodiscard]] History preprocess(Sample&, Stage) const { throw data_error("cutting", "too small", "take more"); }
  void augment(Sample&, Stage, const RandomKey&, History&) const {}
};

float place(std::int64_t i, std::int64_t j, std::int64_t k) { return static_cast<float>(i + 20 * j + 400 * k); }

/// Cases "sub-0", "sub-1", … of one image and one label, of different extents. The value of a voxel tells its place,
/// and the label is the image above a threshold, so that the two must keep one grid.
std::vector<Case> cases_in(const Folder& folder, std::size_t count, const Shape& shape = {13, 10, 7}) {
  std::vector<Case> out;
  for (std::size_t n = 0; n < count; ++n) {
    const std::string id = "sub-" + std::to_string(n);
    Shape own = shape;
    own[0] += static_cast<std::int64_t>(n);
    Case one;
    one.id = id;
    one.images = {folder.write(id + ".nii.gz", own, place)};
    one.labels = {folder.write(id + "_seg.nii.gz", own, [](auto i, auto j, auto k) {
      return static_cast<int>(place(i, j, k)) % 3 == 0 ? 1.0F : 0.0F;
    })};
    out.push_back(std::move(one));
  }
  return out;
}

bool same(const Sample& a, const Sample& b) {
  return a.image.voxels == b.image.voxels && a.label.voxels == b.label.voxels && a.origin.volume == b.origin.volume &&
         a.origin.slice == b.origin.slice && a.origin.start == b.origin.start;
}

using Chain = Compose<Resample, CenterCrop, RandomAffine, ElasticTransform, NormalizeInstance>;

Chain a_chain() {
  Chain::Params params;
  params.get<Resample>().params.hspace = 0.8;
  params.get<Resample>().params.wspace = 1.2;
  params.get<Resample>().params.dspace = 1;
  params.get<CenterCrop>().params.size = {14, 9, 6};
  params.get<RandomAffine>().params = from_json<RandomAffine::Params>(
      Json{{"degrees", 10}, {"translate", {0.1, 0.1, 0.1}}, {"scale", {0.1, 0.1, 0.1}}}, "affine");
  params.get<ElasticTransform>().params =
      from_json<ElasticTransform::Params>(Json{{"alpha_range", {5, 6}}, {"sigma_range", {3, 4}}, {"p", 1}}, "elastic");
  return Chain(params);
}

}  // namespace

static_assert(Dataset<SubvolumeDataset<Untouched>>);
static_assert(SubvolumeDataset<Untouched>::dimension == 3 && SliceDataset<Untouched>::dimension == 2);

TEST_CASE("sub-volumes hold the voxels of their place, in the order of cases and rows", "[unit][subvolumes]") {
  const Folder folder;
  SliceOptions options;
  options.patches = {{8, 10, 4}, {5, 10, 3}};
  const SubvolumeDataset<Untouched> data(cases_in(folder, 2), options, {}, Stage::testing, 0);
  REQUIRE(data.size() == (2 + 3) * 2);  // H 13: 0, 5; H 14: 0, 5, 6; D 7: 0, 3
  CHECK(data.counts().kept == 2);
  CHECK(data.patch_counts().kept == static_cast<std::int64_t>(data.size()));
  std::vector<std::array<std::int32_t, 4>> places;
  for (std::size_t n = 0; n < data.size(); ++n) {
    const auto sample = data.get(n, 0).sample;
    const auto& start = sample.origin.start;
    CHECK(sample.origin.slice == -1);
    CHECK(data.origin(n).start == start);
    places.push_back({sample.origin.volume, start[0], start[1], start[2]});
    REQUIRE(sample.image.voxels.shape() == Shape{1, 8, 10, 4});
    REQUIRE(sample.label.voxels.shape() == sample.image.voxels.shape());
    for (std::int64_t h = 0; h < 8; ++h)
      for (std::int64_t w = 0; w < 10; ++w)
        for (std::int64_t d = 0; d < 4; ++d) {
          const float expected = place(start[0] + h, start[1] + w, start[2] + d);
          REQUIRE(sample.image.voxels.view()(0, h, w, d) == expected);
          REQUIRE(sample.label.voxels.view()(0, h, w, d) == (static_cast<int>(expected) % 3 == 0 ? 1 : 0));
        }
  }
  CHECK(places == std::vector<std::array<std::int32_t, 4>>{{0, 0, 0, 0},
                                                           {0, 0, 0, 3},
                                                           {0, 5, 0, 0},
                                                           {0, 5, 0, 3},
                                                           {1, 0, 0, 0},
                                                           {1, 0, 0, 3},
                                                           {1, 5, 0, 0},
                                                           {1, 5, 0, 3},
                                                           {1, 6, 0, 0},
                                                           {1, 6, 0, 3}});
  CHECK(data.describe(3) == "the sub-volume at 5, 0, 3 of sub-0");
  CHECK_THAT(data.summary(), Contains("2 volumes; 10 sub-volumes of 8x10x4 with stride 5x10x3; "));
}

TEST_CASE("volumes are turned so that the slice axis is D", "[unit][subvolumes]") {
  const Folder folder;
  const auto cases = cases_in(folder, 1, {3, 4, 5});
  SliceOptions options;
  const auto shape_of = [&](Axis axis) {
    options.axis = axis;
    const SubvolumeDataset<Untouched> data(cases, options, {}, Stage::testing, 0);
    REQUIRE(data.size() == 1);
    CHECK_FALSE(data.is_patched());
    CHECK(data.describe(0) == "the volume sub-0");
    const auto sample = data.get(0, 0).sample;
    const auto view = sample.image.voxels.view();
    for (std::int64_t h = 0; h < view.extent(1); ++h)
      for (std::int64_t w = 0; w < view.extent(2); ++w)
        for (std::int64_t d = 0; d < view.extent(3); ++d)
          REQUIRE(view(0, h, w, d) == (axis == Axis::axial     ? place(h, w, d)
                                       : axis == Axis::coronal ? place(w, d, h)
                                                               : place(d, w, h)));
    return view.shape();
  };
  CHECK(shape_of(Axis::axial) == Shape{1, 3, 4, 5});
  CHECK(shape_of(Axis::coronal) == Shape{1, 5, 3, 4});
  CHECK(shape_of(Axis::sagittal) == Shape{1, 5, 4, 3});
}

TEST_CASE("large volumes are turned right, too", "[unit][subvolumes]") {
  const Folder folder;
  Case one;
  one.id = "large";
  one.images = {folder.write("large.nii", {37, 21, 33},
                             [](auto i, auto j, auto k) { return static_cast<float>(i + 40 * j + 1600 * k); })};
  const auto axis = GENERATE(Axis::axial, Axis::coronal, Axis::sagittal);
  SliceOptions options;
  options.axis = axis;
  const SubvolumeDataset<Untouched> volumes({one}, options, {}, Stage::testing, 0);
  const SliceDataset<Untouched> slices({one}, options, {}, Stage::testing, 0);
  const auto volume = volumes.get(0, 0).sample.image.voxels;
  for (std::size_t n = 0; n < slices.size(); ++n) {
    const auto slice = slices.get(n, 0).sample.image.voxels;
    REQUIRE(slice == Array<float>::from(volume.view().select(3, static_cast<std::int64_t>(n))));
  }
  std::int64_t wrong = 0;
  for (std::int64_t h = 0; h < volume.extent(1); ++h)
    for (std::int64_t w = 0; w < volume.extent(2); ++w)
      for (std::int64_t d = 0; d < volume.extent(3); ++d) {
        const auto value = [](std::int64_t i, std::int64_t j, std::int64_t k) {
          return static_cast<float>(i + 40 * j + 1600 * k);
        };
        const float expected = axis == Axis::axial     ? value(h, w, d)
                               : axis == Axis::coronal ? value(w, d, h)
                                                       : value(d, w, h);
        wrong += volume.view()(0, h, w, d) == expected ? 0 : 1;
      }
  CHECK(wrong == 0);
}

TEST_CASE("every voxel is in a sub-volume or patch of the testing set, for many sizes", "[unit][subvolumes]") {
  const Folder folder;
  const auto cases = cases_in(folder, 1, {7, 6, 5});
  for (const auto& patches : std::vector<PatchSize>{{{3, 2, 5}, {2, 2, 1}},
                                                    {{7, 6, 5}, {}},
                                                    {{16, 4, 4}, {16, 3, 9}},
                                                    {{1, 1, 1}, {}},
                                                    {{9, 9, 9}, {1, 1, 1}}}) {
    SliceOptions options;
    options.patches = patches;
    const SubvolumeDataset<Untouched> data(cases, options, {}, Stage::testing, 0);
    std::vector<int> seen(7 * 6 * 5, 0);
    for (std::size_t n = 0; n < data.size(); ++n) {
      const auto sample = data.get(n, 0).sample;
      const auto view = sample.image.voxels.view();
      for (std::int64_t h = 0; h < view.extent(1); ++h)
        for (std::int64_t w = 0; w < view.extent(2); ++w)
          for (std::int64_t d = 0; d < view.extent(3); ++d) {
            const std::int64_t i = sample.origin.start[0] + h;
            const std::int64_t j = sample.origin.start[1] + w;
            const std::int64_t k = sample.origin.start[2] + d;
            const bool inside = i >= 0 && i < 7 && j >= 0 && j < 6 && k >= 0 && k < 5;
            REQUIRE(view(0, h, w, d) == (inside ? place(i, j, k) : 0));
            if (inside) ++seen[static_cast<std::size_t>((i * 6 + j) * 5 + k)];
          }
    }
    CHECK(std::none_of(seen.begin(), seen.end(), [](int n) { return n == 0; }));
  }
}

TEST_CASE("patches of slices follow each other slice by slice", "[unit][subvolumes]") {
  const Folder folder;
  SliceOptions options;
  options.patches = {{8, 6}, {8, 6}};
  const SliceDataset<Untouched> data(cases_in(folder, 1), options, {}, Stage::testing, 0);
  REQUIRE(data.size() == 7 * 4);
  CHECK(data.counts(0).kept == 7);
  for (std::size_t n = 0; n < data.size(); ++n) {
    const auto sample = data.get(n, 0).sample;
    const auto slice = static_cast<std::int32_t>(n / 4);
    CHECK(sample.origin.slice == slice);
    CHECK(sample.origin.start == std::array<std::int32_t, 3>{n % 4 < 2 ? 0 : 5, n % 2 == 0 ? 0 : 4, 0});
    REQUIRE(sample.image.voxels.shape() == Shape{1, 8, 6});
    CHECK(sample.image.voxels[0] == place(sample.origin.start[0], sample.origin.start[1], slice));
  }
  CHECK(data.describe(5) == "the patch at 0, 4 of axial slice 1 of sub-0");
  CHECK_THAT(data.summary(), Contains("7 slices; 28 patches of 8x6 with stride 8x6; "));
}

TEST_CASE("the same samples for 0, 1 and 4 workers, any budget, any number of reading threads", "[unit][subvolumes]") {
  const Folder folder;
  const auto cases = cases_in(folder, 3);
  const Chain chain = a_chain();
  const auto check = [&](auto dimension, const PatchSize& patches) {
    constexpr int d = decltype(dimension)::value;
    SliceOptions options;
    options.patches = patches;
    const CaseDataset<Chain, d> reference(cases, options, chain, Stage::training, 7);
    REQUIRE(reference.size() > 6);
    const auto batches_of = [&](const CaseDataset<Chain, d>& data, int workers) {
      BatchOptions how;
      how.batch_size = 4;
      how.shuffle = true;
      how.seed = 3;
      how.workers = workers;
      BatchLoader<CaseDataset<Chain, d>> loader(data, how);
      std::vector<Array<float>> out;
      for (std::uint32_t epoch = 1; epoch <= 2; ++epoch) {
        loader.start(epoch);
        while (auto loaded = loader.next()) {
          out.push_back(loaded->batch.image.clone());
          out.push_back(loaded->batch.label.clone());
        }
      }
      return out;
    };
    const auto expected = batches_of(reference, 0);
    for (const int workers : {1, 4}) CHECK(batches_of(reference, workers) == expected);
    for (const std::size_t budget : {std::size_t{0}, std::size_t{5000}, std::size_t{20000}}) {
      SliceOptions tight = options;
      tight.cache_bytes = budget;
      tight.threads = 3;
      const CaseDataset<Chain, d> data(cases, tight, chain, Stage::training, 7);
      CHECK(batches_of(data, 4) == expected);
      CHECK(data.sample_statistics().bytes + data.volume_statistics().bytes <= budget);
      CHECK(data.sample_statistics().peak_bytes <= budget);
      CHECK(data.volume_statistics().peak_bytes <= budget);
    }
    CHECK_FALSE(same(reference.get(0, 1).sample, reference.get(0, 2).sample));  // an epoch draws anew
  };
  check(std::integral_constant<int, 3>{}, {{8, 8, 4}, {6, 4, 2}});
  check(std::integral_constant<int, 2>{}, {{8, 8}, {6, 4}});
}

TEST_CASE("transforms see one sub-volume: it is normalised for itself, and its label keeps its grid",
          "[unit][subvolumes]") {
  const Folder folder;
  SliceOptions options;
  options.patches = {{8, 8, 4}, {}};
  const Chain chain = a_chain();
  const SubvolumeDataset<Chain> data(cases_in(folder, 1), options, chain, Stage::training, 7);
  for (std::size_t n = 0; n < data.size(); ++n) {
    const auto sample = data.get(n, 1).sample;
    REQUIRE(sample.image.voxels.shape() == Shape{1, 8, 8, 4});
    REQUIRE(sample.label.voxels.shape() == Shape{1, 8, 8, 4});
    CHECK(sample.label.spacing_mm == sample.image.spacing_mm);
    double sum = 0;
    double squares = 0;
    for (const float value : sample.image.voxels) {
      sum += static_cast<double>(value);
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    CHECK(sum / 256 == Approx(0).margin(1e-5));
    CHECK(squares / 256 == Approx(1).epsilon(1e-4));
    for (const float value : sample.label.voxels) REQUIRE((value == 0 || value == 1));
  }
}

TEST_CASE("patches without a class, or constant ones, are left out while training alone", "[unit][subvolumes]") {
  const Folder folder;
  Case one;
  one.id = "one";
  // Four quarters along H: constant and without label; varying and without; with the first class; with both.
  one.images = {
      folder.write("image.nii", {8, 4, 3}, [](auto i, auto j, auto k) { return i < 2 ? 5.0F : place(i, j, k); })};
  one.labels = {folder.write("first.nii", {8, 4, 3}, [](auto i, auto, auto) { return i >= 4 ? 1.0F : 0.0F; }),
                folder.write("second.nii", {8, 4, 3}, [](auto i, auto, auto) { return i >= 6 ? 1.0F : 0.0F; })};
  const auto starts = [&](const PatchFilter& filter, Stage stage, bool as_ivadomed = false) {
    SliceOptions options;
    options.patches = {{2, 4}, {}};
    options.patch_filter = filter;
    options.as_ivadomed = as_ivadomed;
    const SliceDataset<Untouched> data({one}, options, {}, stage, 0);
    std::vector<int> out;
    for (std::size_t n = 0; n < data.size() / 3; ++n) out.push_back(data.origin(n).start[0]);
    CHECK(data.patch_counts().kept == static_cast<std::int64_t>(data.size()));
    CHECK(data.patch_counts().kept + data.patch_counts().left_out() == 12);
    return out;
  };
  CHECK(starts({}, Stage::training) == std::vector<int>{0, 2, 4, 6});
  CHECK(starts({true, false, false}, Stage::training) == std::vector<int>{4, 6});
  CHECK(starts({false, true, false}, Stage::training) == std::vector<int>{6});
  CHECK(starts({false, false, true}, Stage::training) == std::vector<int>{2, 4, 6});
  CHECK(starts({true, true, true}, Stage::testing) == std::vector<int>{0, 2, 4, 6});
  CHECK(starts({true, true, true}, Stage::validation) == std::vector<int>{0, 2, 4, 6});
  CHECK(starts({true, false, false}, Stage::validation, true) == std::vector<int>{4, 6});
  SliceOptions options;
  options.patches = {{2, 4}, {}};
  options.patch_filter = {true, false, true};
  const SliceDataset<Untouched> data({one}, options, {}, Stage::training, 0);
  CHECK(data.patch_counts().empty_mask == 6);
  CHECK_THAT(data.summary(), Contains("6 patches of 2x4 with stride 2x4; left out: 6 with an empty mask"));
}

TEST_CASE("patches that ivadomed refuses are an error where its behaviour is asked for", "[unit][subvolumes]") {
  const Folder folder;
  const auto cases = cases_in(folder, 1, {32, 16, 16});
  const auto make = [&](const PatchSize& patches) {
    SliceOptions options;
    options.patches = patches;
    options.as_ivadomed = true;
    return SubvolumeDataset<Untouched>(cases, options, {}, Stage::testing, 0).size();
  };
  CHECK(make({{16, 16, 16}, {16, 16, 16}}) == 2);
  CHECK(make({{16, 16, 16}, {8, 16, 16}}) == 3);
  CHECK_THROWS_WITH(make({{16, 16, 16}, {10, 16, 16}}),
                    Contains("16x16x16 with stride 10x16x16") && Contains("sub-0") && Contains("32x16x16"));
  CHECK_THROWS_AS(make({{16, 16, 32}, {}}), Error);
}

TEST_CASE("errors of sub-volumes name the case and the set", "[unit][subvolumes]") {
  const Folder folder;
  const auto cases = cases_in(folder, 1);
  SliceOptions options;
  options.patches = {{4, 4}, {}};
  CHECK_THROWS_WITH((SubvolumeDataset<Untouched>(cases, options, {}, Stage::training, 0)),
                    Contains("length_3D") && Contains("[4, 4]"));
  CHECK_THROWS_WITH((SubvolumeDataset<Failing>(cases, {}, {}, Stage::validation, 0)),
                    Contains("preparing the volume sub-0 for the validation set: cutting: too small"));
  CHECK_THROWS_WITH((SliceDataset<Failing>(cases, {}, {}, Stage::training, 0)),
                    Contains("preparing axial slice 0 of sub-0 for the training set"));
  options.patches = {{4, 4, 4}, {}};
  const SubvolumeDataset<Untouched> data(cases, options, {}, Stage::training, 0);
  CHECK_THROWS_WITH(data.preparation({0, -1}),
                    Contains("the volume sub-0") && Contains("training set does not keep it"));
  CHECK_THROWS_WITH(data.patch_grid({1, -1}), Contains("volume 1"));
  const SubvolumeDataset<Untouched> whole(cases, {}, {}, Stage::testing, 0);
  CHECK_THROWS_WITH(whole.patch_grid({0, -1}), Contains("not patches"));
}

TEST_CASE("volumes that do not fit are prepared once for all of their sub-volumes in a row", "[unit][subvolumes]") {
  const Folder folder;
  SliceOptions options;
  options.patches = {{4, 5, 4}, {}};
  const std::size_t unit =
      SubvolumeDataset<Untouched>(cases_in(folder, 4), options, {}, Stage::testing, 0).estimated_bytes() / 4;
  options.cache_bytes = 2 * unit + unit / 2;  // half of it for turns: one volume is kept for good
  const SubvolumeDataset<Untouched> data(cases_in(folder, 4), options, {}, Stage::testing, 0);
  for (std::size_t n = 0; n < data.size(); ++n) (void)data.get(n, 0);
  CHECK(data.volume_statistics().misses == 3);
  CHECK(data.sample_statistics().misses == 3);
  CHECK(data.sample_statistics().peak_bytes <= options.cache_bytes);
}

TEST_CASE("sub-volumes of a whole data set go back onto the grids of their files", "[unit][subvolumes]") {
  using Reversible = Compose<CenterCrop, NormalizeInstance>;
  const Folder folder;
  const auto cases = cases_in(folder, 2);
  Reversible::Params params;
  const auto check = [&](auto dimension, const PatchSize& patches, std::vector<int> crop, OverlapWeights weights) {
    constexpr int d = decltype(dimension)::value;
    params.get<CenterCrop>().params.size = std::move(crop);
    const Reversible chain(params);
    SliceOptions options;
    options.patches = patches;
    options.axis = Axis::coronal;
    const CaseDataset<Reversible, d> data(cases, options, chain, Stage::testing, 0);
    Assembler<CaseDataset<Reversible, d>, Reversible> volumes(data, chain, weights);
    BatchLoader<CaseDataset<Reversible, d>> loader(data, {3, false, 0, 2, 2});
    loader.start(0);
    while (auto loaded = loader.next())
      for (std::size_t i = 0; i < loaded->batch.origins.size(); ++i) {
        const Array<float> label =
            Array<float>::from(std::as_const(loaded->batch.label).view().select(0, static_cast<std::int64_t>(i)));
        volumes.add(loaded->batch.origins[i], Image{label.clone(), Kind::label, {1, 1, 1}}, loaded->histories[i]);
      }
    for (std::size_t v = 0; v < 2; ++v) {
      REQUIRE(volumes.is_complete(v));
      const Prediction found = volumes.finish(v, 1);
      CHECK(found.voxels == read_labels(cases[v], data.geometry_of(v), options));
    }
  };
  // Volumes of 13 (14) × 10 × 7 are H 7, W 13 (14), D 10 in coronal order: the crop pads all of it.
  check(std::integral_constant<int, 3>{}, {{4, 6, 16}, {3, 5, 16}}, {9, 16, 12}, OverlapWeights::average);
  check(std::integral_constant<int, 3>{}, {{4, 6, 5}, {2, 4, 1}}, {9, 16, 12}, OverlapWeights::gaussian);
  check(std::integral_constant<int, 3>{}, {}, {9, 16, 12}, OverlapWeights::average);
  check(std::integral_constant<int, 2>{}, {{4, 6}, {3, 5}}, {9, 16}, OverlapWeights::average);
  check(std::integral_constant<int, 2>{}, {}, {9, 16}, OverlapWeights::average);
}
