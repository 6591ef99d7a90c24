// Samples cropped to the box of their case: along every slice axis and orientation of the file, in 2-D and in 3-D.
#include <ivado/data/slice_dataset.hpp>
#include <ivado/transform/bounding_box_crop.hpp>
#include <ivado/transform/compose.hpp>
#include <ivado/transform/dynamic_compose.hpp>

#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using Chain = Compose<BoundingBoxCrop>;

/// A file of 6 × 7 × 8 voxels along R, A, S whose voxel (r, a, s) is 1 + r + 10 a + 100 s, stored in another order.
Case write_case(const Scratch& folder, bool is_turned) {
  Geometry geometry{is_turned ? Shape{8, 6, 7} : Shape{6, 7, 8}, Eigen::Matrix4d::Identity()};
  if (is_turned) geometry.affine << 0, -1, 0, 0, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0, 1;  // i to I, j to L, k to A
  Array<float> voxels(geometry.shape);
  const auto ras = closest_ras(geometry.affine).apply(voxels.view());
  for (std::int64_t r = 0; r < 6; ++r)
    for (std::int64_t a = 0; a < 7; ++a)
      for (std::int64_t s = 0; s < 8; ++s) ras(r, a, s) = static_cast<float>(1 + r + 10 * a + 100 * s);
  Case one;
  one.id = "sub-01_T2w";
  one.images = {folder / "image.nii"};
  write_volume(one.images[0], std::as_const(voxels).view(), geometry, StoredType::float32);
  one.box = ObjectBox{{6, 7, 8}, {1, 2, 3}, {4, 6, 8}};
  return one;
}

/// The least and the greatest value in a box.
std::pair<float, float> limits(const Array<float>& voxels) {
  const auto [least, greatest] = std::minmax_element(voxels.begin(), voxels.end());
  return {*least, *greatest};
}

}  // namespace

TEST_CASE("Samples are the part of the image in the box, wherever H, W and D lie") {
  const Scratch folder;
  const Case one = write_case(folder, GENERATE(false, true));
  SliceOptions options;
  options.axis = GENERATE(Axis::sagittal, Axis::coronal, Axis::axial);
  INFO(static_cast<int>(options.axis));
  const auto hwd = ras_to_hwd(options.axis).reorder(std::array<std::int64_t, 3>{3, 4, 5});
  const Shape whole{hwd[0], hwd[1], hwd[2]};

  const SubvolumeDataset<Chain> volumes({one}, options, Chain{}, Stage::testing, 0);
  const auto volume = volumes.get(0, 0);
  CHECK(volume.sample.image.spatial() == whole);
  CHECK(limits(volume.sample.image.voxels) == std::pair{322.0F, 754.0F});
  Image back{Array<float>::from(std::as_const(volume.sample.image.voxels).view()), Kind::label, {1, 1, 1}};
  Chain{}.invert(back, volume.history);
  CHECK(back.spatial() == volumes.get(0, 0).history.draw<BoundingBoxCrop>()->before);
  CHECK(std::count_if(back.voxels.begin(), back.voxels.end(), [](float v) { return v > 0; }) == whole.size());

  const SliceDataset<Chain> slices({one}, options, Chain{}, Stage::training, 0);
  const std::int64_t all = ras_to_hwd(options.axis).reorder(std::array<std::int64_t, 3>{6, 7, 8})[2];
  CHECK(slices.counts() == SliceCounts{.kept = whole[2], .outside_box = all - whole[2]});
  CHECK(slices.counts().left_out() == all - whole[2]);
  CHECK_THAT(slices.summary(), Contains("outside of the object's box"));
  REQUIRE(static_cast<std::int64_t>(slices.size()) == whole[2]);
  float least = 1e9F;
  float greatest = 0;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const Sample sample = slices.get(i, 0).sample;
    CHECK(sample.image.spatial() == Shape{whole[0], whole[1]});
    least = std::min(least, limits(sample.image.voxels).first);
    greatest = std::max(greatest, limits(sample.image.voxels).second);
  }
  CHECK(least == 322);
  CHECK(greatest == 754);
  options.as_ivadomed = true;  // which keeps them
  CHECK(SliceDataset<Chain>({one}, options, Chain{}, Stage::training, 0).counts() == SliceCounts{.kept = all});
}

TEST_CASE("A chain that needs a box asks for it by the name of the case; others do not") {
  const Scratch folder;
  Case one = write_case(folder, false);
  one.box.reset();
  const auto make = [&]<class Augment>(const Augment& augment) {
    return SliceDataset<Augment>({one}, {}, augment, Stage::training, 0).size();
  };
  CHECK_THROWS_WITH(make(Chain{}), Contains("sub-01_T2w") && Contains("no box") && Contains("object_detection_params"));
  Chain::Params params;
  params.get<BoundingBoxCrop>().dataset_type = {false, true, true};
  CHECK(make(Chain(params)) == 8);
  CHECK(Chain(params).needs_box(Stage::testing));

  using Dynamic = DynamicCompose<BoundingBoxCrop>;
  CHECK(make(Dynamic{}) == 8);
  Dynamic::Params steps;
  steps.add<BoundingBoxCrop>();
  CHECK_THROWS_WITH(make(Dynamic(steps)), Contains("sub-01_T2w") && Contains("no box"));

  one.box = ObjectBox{{6, 7, 9}, {1, 2, 3}, {4, 6, 8}};
  CHECK_THROWS_WITH(make(Chain{}), Contains("6x7x9") && Contains("6x7x8") && Contains("sub-01_T2w"));
}
