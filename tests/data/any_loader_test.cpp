// AnyLoader: folders and packed files by one type, with the same samples; what is neither.
#include <filesystem>
#include <fstream>
#include <ivado/config/params.hpp>
#include <ivado/data/any_loader.hpp>
#include <ivado/data/pack.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"
#include "bids_tree.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::AnyLoader;
using ivado::AnySlices;
using ivado::Array;
using ivado::LeftOutList;
using ivado::LoaderParameters;
using ivado::Shape;
using ivado::Stage;
using Loader = AnyLoader<AnySlices>;
using Chain = ivado::Compose<ivado::NormalizeInstance>;

LoaderParameters parameters(std::vector<std::string> paths) {
  LoaderParameters out;
  out.target_suffix.raters_by_class = {{"_seg"}};
  out.path_data.values = std::move(paths);
  return out;
}

/// A data set of one image of 6 x 5 x 4 voxels with its label.
struct Study {
  Study() {
    for (const std::string name :
         {"sub-01/anat/sub-01_T2w.nii.gz", "derivatives/labels/sub-01/anat/sub-01_T2w_seg.nii.gz"}) {
      Array<float> voxels(Shape{6, 5, 4});
      for (std::int64_t i = 0; i < voxels.size(); ++i) voxels[i] = static_cast<float>(i % (name[0] == 's' ? 17 : 2));
      std::filesystem::create_directories(tree.path(name).parent_path());
      ivado::write_volume(tree.path(name).string(), std::as_const(voxels).view(), ivado::Geometry{voxels.shape()},
                          ivado::StoredType::float32);
    }
  }
  tests::Tree tree;
};

}  // namespace

TEST_CASE("One type loads folders and packed files, with the same cases and samples") {
  const Study study;
  const std::string packed = (study.tree.top() / "set.h5").string();
  const LoaderParameters of_folder = parameters({study.tree.root()});
  (void)ivado::write_pack(packed, Loader(of_folder), {}, Chain(Chain::Params{}), ivado::Json::object());
  LeftOutList left_out;
  const Loader folder(of_folder);
  const Loader file(parameters({packed}));
  const auto one = folder.dataset(folder.cases(true, {}, left_out), Chain(Chain::Params{}), Stage::training, 1);
  const auto two = file.dataset(file.cases(true, {}, left_out), Chain(Chain::Params{}), Stage::training, 1);
  static_assert(std::is_same_v<decltype(one), decltype(two)>);
  REQUIRE(one.size() == 4);
  REQUIRE(two.size() == 4);
  CHECK(one.case_of(0).files == nullptr);
  CHECK(two.case_of(0).files != nullptr);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(one.get(i, 1).sample.image.voxels == two.get(i, 1).sample.image.voxels);
    CHECK(one.get(i, 1).sample.label.voxels == two.get(i, 1).sample.label.voxels);
  }

  CHECK_THROWS_WITH(Loader(parameters({study.tree.root(), packed})).cases(true, {}, left_out),
                    Contains(packed) && Contains(study.tree.root() + " beside it"));
  std::filesystem::rename(packed, study.tree.top() / "set.bin");
  CHECK_THROWS_WITH(file.cases(true, {}, left_out), Contains(packed));  // by its name a file that is not there
  CHECK(Loader::reads_file((study.tree.top() / "set.bin").string()));   // by its content
}

TEST_CASE("Folders and images are no HDF5 files, whatever they are called") {
  const Scratch folder;
  std::filesystem::create_directories(folder / "data.h5");
  CHECK_FALSE(Loader::reads_file(folder / "data.h5"));
  CHECK(Loader::reads_file(folder / "SET.HDF5"));
  std::ofstream(folder / "image.nii") << "nothing of the kind";
  std::ofstream(folder / "empty") << "";
  CHECK_FALSE(Loader::reads_file(folder / "image.nii"));
  CHECK_FALSE(Loader::reads_file(folder / "empty"));
  CHECK_FALSE(Loader::reads_file(folder / "not there"));
}
