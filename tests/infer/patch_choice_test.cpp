#include "ivado/infer/patch_choice.hpp"

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("Slices are cut into the model's patches, into others that overlap, or not at all") {
  const PatchSize trained{{32, 48}, {32, 48}};
  const auto text = [](const PatchSize& size) { return size.empty() ? "none" : size.text(); };
  CHECK(text(chosen_patches(trained, {}, 2)) == "32x48 with stride 32x48");
  CHECK(chosen_patches(trained, {.no_patch = true}, 2).empty());
  // X is along W, Y along H, as in ivadomed; --no-patch goes before.
  CHECK(text(chosen_patches(trained, {.overlap_xy = {{8, 4}}}, 2)) == "32x48 with stride 28x40");
  CHECK(text(chosen_patches(trained, {.overlap_xy = {{0, 31}}}, 2)) == "32x48 with stride 1x48");
  CHECK(text(chosen_patches({{32, 48}, {8, 8}}, {.overlap_xy = {{0, 0}}}, 2)) == "32x48 with stride 32x48");
  CHECK(chosen_patches(trained, {.no_patch = true, .overlap_xy = {{99, 99}}}, 2).empty());
}

TEST_CASE("A choice of patches that does not apply is refused") {
  const PatchSize trained{{32, 48}, {}};
  CHECK_THROWS_WITH(chosen_patches(trained, {.overlap_xy = {{48, 0}}}, 2),
                    Contains("--overlap-2d") && Contains("48 along W (X) cannot overlap by 48") && Contains("0 to 47"));
  CHECK_THROWS_WITH(chosen_patches(trained, {.overlap_xy = {{0, 32}}}, 2), Contains("32 along H (Y)"));
  CHECK_THROWS_WITH(chosen_patches({}, {.no_patch = true}, 2), Contains("--no-patch") && Contains("whole slices"));
  CHECK_THROWS_WITH(chosen_patches({}, {.overlap_xy = {{1, 1}}}, 2), Contains("--overlap-2d"));
  CHECK_THROWS_WITH(chosen_patches({{8, 8, 8}, {}}, {.no_patch = true}, 3), Contains("sub-volumes"));
}
