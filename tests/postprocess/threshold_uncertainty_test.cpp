#include <ivado/postprocess/threshold_uncertainty.hpp>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;
using Catch::Contains;

namespace {

/// Maps of one row of four voxels, each map with values of its own.
UncertaintyMaps four_voxels() {
  const auto row = [](const std::vector<float>& values) { return drawn(1, 4, values).voxels; };
  UncertaintyMaps maps;
  maps.soft = row({0.1F, 0.25F, 0.5F, 1});
  maps.entropy = row({0, 0.25F, 0.5F, 0.75F});
  maps.overlap = row({0, 0.25F, 0.5F, 1});
  maps.variation = row({0, 0.125F, 0.25F, 2});
  maps.mean_entropy = row({0, 0.5F, 0.25F, 0.125F});
  return maps;
}

}  // namespace

TEST_CASE("ThresholdUncertainty keeps what is certain enough by each of the maps", "[unit][postprocess]") {
  const UncertaintyMaps maps = four_voxels();
  const auto kept = [&](UncertaintyMap map) {
    auto prediction = drawn(1, 4, {0.9F, 0.8F, 0.7F, 0.6F});
    prediction.uncertainty = &maps;
    const ThresholdUncertainty step({0.25, map});
    step(prediction);
    auto twice = clone(prediction);
    twice.uncertainty = &maps;
    step(twice);
    CHECK(twice.voxels == prediction.voxels);
    CHECK_FALSE(prediction.is_mask);
    return values_of(prediction);
  };
  // A value at the threshold goes, on either side.
  CHECK(kept(UncertaintyMap::entropy) == std::vector<float>{0.9F, 0, 0, 0});
  CHECK(kept(UncertaintyMap::variation) == std::vector<float>{0.9F, 0.8F, 0, 0});
  CHECK(kept(UncertaintyMap::mean_entropy) == std::vector<float>{0.9F, 0, 0, 0.6F});
  CHECK(kept(UncertaintyMap::overlap) == std::vector<float>{0, 0, 0.7F, 0.6F});
  CHECK(kept(UncertaintyMap::soft) == std::vector<float>{0, 0, 0.7F, 0.6F});
}

TEST_CASE("ThresholdUncertainty is off by default, and keeps the laws of a step then", "[unit][postprocess]") {
  check_step_laws(ThresholdUncertainty{});
  auto prediction = drawn(1, 2, {0.001F, 0.7F});
  ThresholdUncertainty({-1, UncertaintyMap::overlap})(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0.001F, 0.7F});
}

TEST_CASE("ThresholdUncertainty says what is missing", "[unit][postprocess]") {
  auto prediction = drawn(1, 3, {0.5F, 0.5F, 0.5F});
  CHECK_THROWS_WITH(ThresholdUncertainty({0.2})(prediction),
                    Contains("no uncertainty is estimated") && Contains("uncertainty.n_it"));
  const UncertaintyMaps maps = four_voxels();
  prediction.uncertainty = &maps;
  CHECK_THROWS_WITH(ThresholdUncertainty({0.2})(prediction), Contains("1x1x1x4") && Contains("1x1x1x3"));
  const auto read = [](const char* text) {
    return from_json<ThresholdUncertainty::Params>(Json::parse(text), "postprocessing.uncertainty");
  };
  CHECK(read(R"({"thr": 0.2, "suffix": "_unc-cv.nii.gz"})").suffix == UncertaintyMap::variation);
  CHECK(read(R"({"thr": 0.2, "suffix": "_unc-avgUnc.nii.gz"})").suffix == UncertaintyMap::mean_entropy);
  CHECK_THROWS_WITH(read(R"({"suffix": "_unc-vox"})"), Contains("_unc-vox.nii.gz"));
}
