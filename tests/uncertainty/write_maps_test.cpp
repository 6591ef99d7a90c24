#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <ivado/data/volume_io.hpp>
#include <ivado/uncertainty/accumulator.hpp>
#include <ivado/uncertainty/write_maps.hpp>
#include <string>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

UncertaintyMaps example(std::int64_t classes) {
  UncertaintyAccumulator runs(fs::temp_directory_path().string());
  for (int n = 0; n < 3; ++n) {
    Array<float> prediction({classes, 4, 3, 2}, 0);
    for (std::int64_t i = 0; i < prediction.size(); ++i) prediction[i] = i % (n + 2) == 0 ? 0.75F : 0.0F;
    runs.add(prediction.view());
  }
  return runs.finish();
}

}  // namespace

TEST_CASE("the maps are written by ivadomed's names on the grid of the image", "[unit][uncertainty]") {
  const auto classes = GENERATE(std::int64_t{1}, std::int64_t{2});
  const fs::path folder = fs::temp_directory_path() / ("ivado-maps-" + std::to_string(::getpid()));
  fs::remove_all(folder);
  const UncertaintyMaps maps = example(classes);
  Geometry grid;
  grid.shape = {4, 3, 2};
  grid.affine.diagonal() << 0.5, 0.75, 3, 1;
  const std::string stem = (folder / "sub-01_T2w").string();
  CHECK_THROWS_WITH(write_uncertainty_maps(stem, maps, grid), Contains("does not exist"));
  fs::create_directories(folder);
  const auto written = write_uncertainty_maps(stem, maps, grid);
  REQUIRE(written.size() == 6);
  for (const auto& [ending, map] : EnumNames<UncertaintyMap>::values) {
    const std::string path = stem + std::string(ending);
    CHECK(std::find(written.begin(), written.end(), path) != written.end());
    if (classes > 1) {
      CHECK(fs::exists(path));
      continue;
    }
    const Volume volume = read_volume(path);
    CHECK((volume.geometry.affine - grid.affine).cwiseAbs().maxCoeff() < 1e-6);
    CHECK(Array<float>::from(volume.view()) == Array<float>::from(maps.view(map).select(0, 0)));
  }
  CHECK(fs::exists(stem + "_unc-avgUnc.nii.gz"));
  std::ifstream table(stem + "_unc.csv");
  const std::string text{std::istreambuf_iterator<char>(table), {}};
  CHECK(text == structures_csv(maps.structures));
  // Files of an earlier run are replaced.
  CHECK(write_uncertainty_maps(stem, maps, grid) == written);
  // They can be removed, and nothing else.
  std::ofstream(stem + "_pred.nii.gz") << "kept";
  std::ofstream(stem + "2_soft.nii.gz") << "kept";
  CHECK(remove_uncertainty_maps(stem) == 6);
  for (const auto& path : written) CHECK_FALSE(fs::exists(path));
  CHECK(fs::exists(stem + "_pred.nii.gz"));
  CHECK(fs::exists(stem + "2_soft.nii.gz"));
  CHECK(remove_uncertainty_maps(stem) == 0);
  fs::remove_all(folder);
}

TEST_CASE("the table of structures", "[unit][uncertainty]") {
  UncertainStructure one;
  one.class_index = 1;
  one.voxels = 12;
  one.overlap = 0.5;
  one.mean_voxels = 10;
  one.variation = 0.125;
  one.mean_entropy = 0.25;
  CHECK(structures_csv({one}) == "class,voxels,mean_voxels,iou,cv,avg_unc\n1,12,10.0,0.5,0.125,0.25\n");
  CHECK(structures_csv({}) == "class,voxels,mean_voxels,iou,cv,avg_unc\n");
}
