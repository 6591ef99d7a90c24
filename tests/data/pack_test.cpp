// ivado pack: samples of a packed file are those of the folders bit for bit; other options are refused; the command.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ivado/config/params.hpp>
#include <ivado/data/pack.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "bids_tree.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::AnySlices;
using ivado::AnySubvolumes;
using ivado::Array;
using ivado::BidsLoader;
using ivado::CenterCrop;
using ivado::Channels;
using ivado::Hdf5Loader;
using ivado::Json;
using ivado::LeftOutList;
using ivado::LoaderParameters;
using ivado::MissingContrasts;
using ivado::ModelNeeds;
using ivado::Resample;
using ivado::Shape;
using ivado::Stage;
using Chain = ivado::Compose<Resample, CenterCrop, ivado::RandomAffine, ivado::NormalizeInstance>;

/// Three subjects with T1w and T2w of 12 x 10 x 6 voxels of 1 x 1 x 2 mm and one label; sub-03 has no T2w, and its grid
/// is turned.
struct Study {
  Study() {
    for (const std::string subject : {"sub-01", "sub-02", "sub-03"})
      for (const std::string contrast : {"T1w", "T2w"}) {
        if (subject == "sub-03" && contrast == "T2w") continue;
        const std::string stem = subject + "/anat/" + subject + "_" + contrast;
        write(stem + ".nii.gz", subject, [&](auto i, auto j, auto k) {
          return static_cast<float>((i * 7 + j * 3 + k * 11) % 23) * (contrast == "T2w" ? 0.37F : 1.0F);
        });
        write("derivatives/labels/" + stem + "_seg-manual.nii.gz", subject,
              [](auto i, auto j, auto k) { return i > 3 && i < 8 && j > 2 && j < 8 && k > 0 ? 1.0F : 0.0F; });
      }
  }
  template <class Value>
  void write(const std::string& name, const std::string& subject, const Value& value) const {
    ivado::Geometry geometry{Shape{12, 10, 6}};
    geometry.affine(2, 2) = 2;
    if (subject == "sub-03") geometry.affine(0, 0) = -1;
    Array<float> voxels(geometry.shape);
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < 12; ++i)
      for (std::int64_t j = 0; j < 10; ++j)
        for (std::int64_t k = 0; k < 6; ++k) voxels[n++] = value(i, j, k);
    std::filesystem::create_directories(tree.path(name).parent_path());
    ivado::write_volume(tree.path(name).string(), std::as_const(voxels).view(), geometry, ivado::StoredType::float32);
  }
  [[nodiscard]] LoaderParameters params(const std::string& json) const {
    auto out = ivado::from_json<LoaderParameters>(Json::parse(json), "loader_parameters");
    out.path_data.values = {tree.root()};
    return out;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return (tree.top() / name).string(); }

  tests::Tree tree;
};

Chain::Params chain_params(double hspace = 0.75) {
  Chain::Params params;
  params.get<Resample>().params.hspace = hspace;
  params.get<Resample>().params.wspace = hspace;
  params.get<Resample>().params.dspace = 2;
  params.get<CenterCrop>().params.size = {10, 8};
  return params;
}

/// All samples of both loaders agree bit for bit.
template <class Folders, class File>
void check_same(const Folders& folders, const File& packed, const Chain& chain,
                const std::vector<std::string>& contrasts, Stage stage) {
  LeftOutList a;
  LeftOutList b;
  const auto cases = folders.cases(true, contrasts, a);
  const auto from_file = packed.cases(true, contrasts, b);
  REQUIRE(cases.size() == from_file.size());
  CHECK(a.files.size() == b.files.size());
  CHECK(a.warnings == b.warnings);
  const auto one = folders.dataset(cases, chain, stage, 5);
  const auto two = packed.dataset(from_file, chain, stage, 5);
  REQUIRE(one.size() == two.size());
  REQUIRE(one.size() > 0);
  CHECK(one.counts() == two.counts());
  for (std::size_t v = 0; v < cases.size(); ++v) {
    CHECK(cases[v].id == from_file[v].id);
    CHECK(cases[v].metadata == from_file[v].metadata);
    CHECK(one.geometry_of(v).affine == two.geometry_of(v).affine);
    const auto options = folders.slice_options(stage);
    CHECK(ivado::read_labels(one.case_of(v), one.geometry_of(v), options) ==
          ivado::read_labels(two.case_of(v), two.geometry_of(v), options));
  }
  for (std::size_t i = 0; i < one.size(); ++i) {
    CAPTURE(i);
    const auto x = one.get(i, 2);
    const auto y = two.get(i, 2);
    CHECK(x.sample.image.voxels == y.sample.image.voxels);
    CHECK(x.sample.label.voxels == y.sample.label.voxels);
    CHECK(x.sample.image.spacing_mm == y.sample.image.spacing_mm);
    CHECK(x.sample.condition == y.sample.condition);
    CHECK(one.describe(i) == two.describe(i));
    if (stage != Stage::testing) continue;
    ivado::Image p = x.sample.label.clone();
    ivado::Image q = y.sample.label.clone();
    chain.invert(p, x.history);
    chain.invert(q, y.history);
    CHECK(p.voxels == q.voxels);
  }
}

const std::string slices = R"({"target_suffix": ["_seg-manual"], "cache_mib": )";

/// A study and its axial slices in a packed file.
struct PackedStudy : Study {
  PackedStudy() {
    (void)ivado::write_pack(path, BidsLoader<AnySlices>(own), {}, chain, chain_params().to_json());
    of_file.path_data.values = {path};
  }
  std::string path = file("set.hdf5");
  Chain chain{chain_params()};
  LoaderParameters own = params(slices + "0}");
  LoaderParameters of_file = own;
};

}  // namespace

TEST_CASE("Slices from a packed file are those from the folders bit for bit, kept in memory or not") {
  const Study study;
  const std::string path = study.file("set.hdf5");
  const Chain chain(chain_params());
  const bool samples = GENERATE(true, false);
  const LoaderParameters params = study.params(slices + GENERATE("0", "64") + "}");
  const BidsLoader<AnySlices> folders(params);
  const auto made = ivado::write_pack(path, folders, {}, chain, chain_params().to_json(),
                                      {.samples = samples, .compression = samples ? 1 : 0});
  CHECK(made.cases == 5);
  CHECK(made.volumes == 10);
  CHECK(made.samples == (samples ? 30 : 0));
  LoaderParameters of_file = params;
  of_file.path_data.values = {path};
  for (const auto stage : {Stage::training, Stage::validation, Stage::testing})
    check_same(folders, Hdf5Loader<AnySlices>(of_file), chain, {}, stage);

  // Another file of the same folders has the same digest, one of other transforms has not.
  const auto again =
      ivado::write_pack(study.file("again.hdf5"), folders, {}, chain, chain_params().to_json(), {.samples = samples});
  CHECK(again.digest == made.digest);
  const auto coarse = ivado::write_pack(study.file("coarse.hdf5"), folders, {}, Chain(chain_params(1.5)),
                                        chain_params(1.5).to_json(), {.samples = samples});
  CHECK((coarse.digest == made.digest) == !samples);
}

TEST_CASE("Training takes preprocessed samples from the file without reading volumes; testing has to read them") {
  const PackedStudy study;
  const Hdf5Loader<AnySlices> loader(study.of_file);
  LeftOutList left_out;
  const auto cases = loader.cases(true, {}, left_out);
  for (const auto stage : {Stage::training, Stage::validation, Stage::testing}) {
    const auto data = loader.dataset(cases, study.chain, stage, 1);
    for (std::size_t i = 0; i < data.size(); ++i) (void)data.get(i, 1);
    const auto asked = data.volume_statistics().hits + data.volume_statistics().misses;
    CHECK(asked == (stage == Stage::testing ? data.size() : 0));
  }
}

TEST_CASE("Volumes from a packed file are those from the folders bit for bit") {
  const Study study;
  const std::string path = study.file("set.hdf5");
  auto transforms = chain_params();
  transforms.get<CenterCrop>().params.size = {10, 8, 4};
  const Chain chain(transforms);
  const LoaderParameters params = study.params(slices + "0}");
  ModelNeeds needs;
  needs.patches = {{5, 4, 4}, {5, 4, 4}};
  const BidsLoader<AnySubvolumes> folders(params, needs);
  (void)ivado::write_pack(path, folders, needs, chain, transforms.to_json());
  LoaderParameters of_file = params;
  of_file.path_data.values = {path};
  for (const auto stage : {Stage::training, Stage::validation, Stage::testing})
    check_same(folders, Hdf5Loader<AnySubvolumes>(of_file, needs), chain, {}, stage);
}

TEST_CASE("Contrasts that may be missing come from a packed file as from the folders") {
  const Study study;
  const std::string path = study.file("set.hdf5");
  const Chain chain(chain_params());
  const LoaderParameters params = study.params(
      R"({"target_suffix": ["_seg-manual"], "cache_mib": 0, "contrast_params": {"training_validation": ["T1w", "T2w"],
          "testing": ["T1w"]}})");
  ModelNeeds needs;
  needs.channels = {"T1w", "T2w"};
  needs.missing_probability = 0.5;
  using Folders = BidsLoader<AnySlices, Channels<2>, MissingContrasts>;
  const Folders folders(params, needs);
  (void)ivado::write_pack(path, folders, needs, chain, chain_params().to_json());
  LoaderParameters of_file = params;
  of_file.path_data.values = {path};
  const Hdf5Loader<AnySlices, Channels<2>, MissingContrasts> packed(of_file, needs);
  check_same(folders, packed, chain, {"T1w", "T2w"}, Stage::training);
  check_same(folders, packed, chain, {"T1w"}, Stage::testing);
}

TEST_CASE("Labels of several raters come from a packed file as from the folders") {
  const Study study;
  for (const std::string stem : {"sub-01/anat/sub-01_T1w", "sub-02/anat/sub-02_T2w"})
    study.write("derivatives/labels/" + stem + "_seg-second.nii.gz", stem.substr(0, 6),
                [](auto i, auto j, auto k) { return i > 5 && j > 2 && j < 8 && k > 1 ? 1.0F : 0.0F; });
  const std::string path = study.file("set.hdf5");
  const Chain chain(chain_params());
  const LoaderParameters params =
      study.params(R"({"target_suffix": [["_seg-manual", "_seg-second"]], "cache_mib": 0})");
  const BidsLoader<AnySlices> folders(params);
  const auto made = ivado::write_pack(path, folders, {}, chain, chain_params().to_json());
  CHECK(made.volumes == 12);  // five images, seven labels
  LoaderParameters of_file = params;
  of_file.path_data.values = {path};
  const Hdf5Loader<AnySlices> packed(of_file);
  for (const auto stage : {Stage::training, Stage::validation, Stage::testing})
    check_same(folders, packed, chain, {}, stage);
  LeftOutList left_out;
  CHECK(packed.cases(true, {}, left_out)[0].raters() == 2);
  // the draw of the raters is seen in training, and from the file it is the same: check_same has compared one epoch
  const auto set = packed.dataset(packed.cases(true, {}, left_out), chain, Stage::training, 5);
  const auto first = set.get(3, 0).sample.label.voxels.clone();
  bool differs = false;
  for (std::uint32_t epoch = 1; epoch < 20; ++epoch)
    differs = differs || !(set.get(3, epoch).sample.label.voxels == first);
  CHECK(differs);
}

TEST_CASE("A packed file that other options or transforms made is refused with the difference") {
  const PackedStudy study;
  LeftOutList left_out;
  const auto refusal = [&](const LoaderParameters& other, bool labels = true, std::vector<std::string> contrasts = {}) {
    return tests::message_of([&] { (void)Hdf5Loader<AnySlices>(other).cases(labels, contrasts, left_out); });
  };
  LoaderParameters other = study.of_file;
  other.slice_axis = ivado::Axis::sagittal;
  other.target_suffix.raters_by_class = {{"_lesion"}};
  CHECK_THAT(refusal(other), Contains(study.path) && Contains("slice_axis was \"axial\" and is \"sagittal\"") &&
                                 Contains("_seg-manual") && Contains("_lesion"));
  CHECK_THAT(refusal(study.of_file, true, {"T2w"}), Contains("no cases with labels of T2w"));
  CHECK_THAT(refusal(study.of_file, false), Contains("to segment") && Contains("--segment"));
  const Hdf5Loader<AnySlices> loader(study.of_file);
  const auto cases = loader.cases(true, {}, left_out);
  CHECK_THAT(tests::message_of([&] { (void)loader.dataset(cases, Chain(chain_params(1)), Stage::training, 1); }),
             Contains("other values than the transforms of this run") && Contains("0.75"));
  auto larger = chain_params();
  larger.get<CenterCrop>().params.size = {12, 8};
  CHECK_THAT(tests::message_of([&] { (void)loader.dataset(cases, Chain(larger), Stage::training, 1); }),
             Contains("1x10x8") && Contains("1x12x8"));
  CHECK_THAT(tests::message_of([&] {
               (void)ivado::write_pack(study.path, BidsLoader<AnySlices>(study.own), {}, study.chain, Json::object());
             }),
             Contains("there already"));
}

TEST_CASE("A damaged packed file is refused") {
  const Study study;
  const std::string path = study.file("set.hdf5");
  const LoaderParameters params = study.params(slices + "0}");
  (void)ivado::write_pack(path, BidsLoader<AnySlices>(params), {}, Chain(chain_params()), Json::object());
  LoaderParameters of_file = params;
  of_file.path_data.values = {path};
  std::ifstream stream(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  const auto load = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
    LeftOutList left_out;
    const Hdf5Loader<AnySlices> loader(of_file);
    auto cases = loader.cases(true, {}, left_out);
    return loader.dataset(std::move(cases), Chain(chain_params()), Stage::testing, 1).size();
  };
  CHECK(load(bytes) > 0);
  CHECK_THROWS_AS(load(bytes.substr(0, bytes.size() / 2)), ivado::Error);
  CHECK_THROWS_AS(load(bytes.substr(0, bytes.size() - 100)), ivado::Error);
}

TEST_CASE("The command packs a data set, and brings ivadomed's file into the layout of ivado") {
  const Study study;
  const std::string config = study.file("config.json");
  Json json{
      {"loader_parameters", {{"path_data", study.tree.root()}, {"target_suffix", {"_seg-manual"}}, {"cache_mib", 0}}},
      {"transformation",
       {{"Resample", {{"wspace", 0.75}, {"hspace", 0.75}, {"dspace", 2}}}, {"CenterCrop", {{"size", {10, 8}}}}}}};
  json["loader_parameters"]["contrast_params"] = {{"training_validation", {"T1w"}}, {"testing", {"T2w"}}};
  std::ofstream(config) << json;
  const std::string path = study.file("set.hdf5");
  std::ostringstream out;
  std::ostringstream err;
  const std::vector<std::string> arguments{"-c", config, "--to", path, "--segment", "--compress", "1"};
  const int status = ivado::run_pack(arguments, out, err);
  INFO(err.str());
  REQUIRE(status == 0);
  CHECK_THAT(out.str(), Contains("cases 3, volumes 10, preprocessed samples 18") && Contains("digest "));
  CHECK(ivado::run_pack(arguments, out, err) == 2);
  CHECK_THAT(err.str(), Contains("there already"));
  CHECK(ivado::run_pack(std::vector<std::string>{"--help"}, out, err) == 0);
  CHECK(ivado::run_pack(std::vector<std::string>{"-c", config}, out, err) == 2);

  auto params = ivado::from_json<LoaderParameters>(json["loader_parameters"], "loader_parameters");
  params.path_data.values = {path};
  const Hdf5Loader<AnySlices> loader(params);
  LeftOutList left_out;
  CHECK(loader.cases(true, {"T1w"}, left_out).size() == 3);
  CHECK(loader.cases(true, {"T2w"}, left_out).size() == 2);
  CHECK(loader.cases(false, {"T2w"}, left_out).size() == 2);

  const auto folder = tests::shared_data("formats");
  if (!folder) return;
  const std::string old = *folder + "/hdf5/mytestfile.hdf5";
  json["loader_parameters"]["target_suffix"] = {"_lesion-manual"};
  json["loader_parameters"]["soft_gt"] = true;
  json["transformation"] = {{"NormalizeInstance", Json::object()}};
  std::ofstream(config) << json;
  const std::string converted = study.file("new.hdf5");
  const int second =
      ivado::run_pack(std::vector<std::string>{"-c", config, "--to", converted, "--from", old}, out, err);
  INFO(err.str());
  REQUIRE(second == 0);
  CHECK_THAT(err.str(), Contains("in the world is lost"));
  auto of_old = ivado::from_json<LoaderParameters>(json["loader_parameters"], "loader_parameters");
  of_old.path_data.values = {old};
  auto of_new = of_old;
  of_new.path_data.values = {converted};
  check_same(Hdf5Loader<AnySlices>(of_old), Hdf5Loader<AnySlices>(of_new), Chain(chain_params()), {"T1w"},
             Stage::training);
}
