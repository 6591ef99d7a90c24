#include "ivado/data/file_cases.hpp"

#include <string>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"
#include "ivado/data/atomic_file.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

std::string touched(const Scratch& folder, const std::string& name, const std::string& content = {}) {
  write_file_atomically(folder / name, content);
  return folder / name;
}

}  // namespace

TEST_CASE("Image files become cases of as many as the model has channels") {
  const Scratch folder;
  const std::vector<std::string> files{touched(folder, "sub-01_T1w.nii.gz"), touched(folder, "sub-01_T2w.nii.gz"),
                                       touched(folder, "v1.5_scan.nii"), touched(folder, "other_T2w.nii.gz")};
  touched(folder, "sub-01_T1w.json", R"({"FlipAngle": 9})");
  const auto single = make_cases_of_files(files, 1, {"T1w", "T2w"});
  REQUIRE(single.size() == 4);
  CHECK(single[0].id == "sub-01_T1w");
  CHECK(single[2].id == "v1.5_scan");  // only what is an ending goes
  CHECK(single[1].contrasts == std::vector<std::string>{"T2w"});
  CHECK(single[2].contrasts.empty());
  CHECK(single[0].metadata == Json::parse(R"({"FlipAngle": 9})"));
  CHECK(single[3].metadata.empty());

  const auto pairs = make_cases_of_files(files, 2, {"T1w", "T2w"});
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[0].id == "sub-01_T1w");
  CHECK(pairs[0].images == std::vector<std::string>{files[0], files[1]});
  CHECK(pairs[0].contrasts == std::vector<std::string>{"T1w", "T2w"});
  CHECK(pairs[1].images.size() == 2);
  CHECK(make_cases_of_files({}, 2, {}).empty());
}

TEST_CASE("Image files that make no cases are refused") {
  const Scratch folder;
  const std::string one = touched(folder, "a.nii.gz");
  const std::string twin = touched(folder, "a.png");
  CHECK_THROWS_WITH(make_cases_of_files({one}, 2, {}), Contains("takes 2 channels, 1 file is given"));
  CHECK_THROWS_WITH(make_cases_of_files({one, twin, one}, 2, {}), Contains("3 files are given"));
  CHECK_THROWS_WITH(make_cases_of_files({one, twin}, 1, {}), Contains("another file is named a as well"));
  CHECK_THROWS_WITH(make_cases_of_files({folder / "none.nii"}, 1, {}), Contains("there is no such file"));
}

TEST_CASE("Predictions of image files are named after the image, the class and the suffix") {
  CHECK(image_prediction_name("/x/sub-01_T2w.nii.gz", "_pred", 0, 1, false) == "sub-01_T2w_pred.nii.gz");
  CHECK(image_prediction_name("sub-01_T2w.nii", "_seg", 0, 1, false) == "sub-01_T2w_seg.nii");
  CHECK(image_prediction_name("sub-01_T2w.nii.gz", "_pred", 1, 2, false) == "sub-01_T2w_class-1_pred.nii.gz");
  CHECK(image_prediction_name("axons.PNG", "_pred", 0, 1, true) == "axons_pred.png");
  CHECK(image_prediction_name("axons.ome.tif", "_pred", 0, 1, true) == "axons_pred.png");
  CHECK(image_prediction_name("stack.tif", "_pred", 0, 1, false) == "stack_pred.nii.gz");
  CHECK(image_prediction_name("old.img", "_pred", 0, 1, true) == "old_pred.nii.gz");
}
