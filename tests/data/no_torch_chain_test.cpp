// From files through transforms, their inverses and post-processing to a file, without LibTorch.
#include <ivado/data/batch_loader.hpp>
#include <ivado/data/slice_dataset.hpp>
#include <ivado/data/volume_io.hpp>
#include <ivado/infer/reconstruct.hpp>
#include <ivado/metric/overlap.hpp>
#include <ivado/postprocess/binarize.hpp>
#include <ivado/postprocess/keep_largest.hpp>
#include <ivado/postprocess/postprocess.hpp>
#include <ivado/transform/transform.hpp>

#ifdef C10_MACROS_MACROS_H_
#error "the way from load to write must not reach LibTorch"
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace {

using ivado::Axis;
using ivado::Shape;
using Chain = ivado::Compose<ivado::Resample, ivado::CenterCrop, ivado::RandomAffine, ivado::NormalizeInstance>;
using Post = ivado::PostProcess<ivado::Binarize, ivado::KeepLargest>;

/// Writes a bright bent tube in noise, and its mask, on an oblique grid with the axes LPI. The ends hold no tube and
/// constant voxels.
struct Tube {
  std::filesystem::path folder;
  ivado::Geometry geometry{Shape{44, 52, 18}};
  ivado::Case one;

  Tube() {
    std::string name = (std::filesystem::temp_directory_path() / "ivado_chain_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder = name;
    const double angle = 0.1;
    geometry.affine << -0.8 * std::cos(angle), 0.8 * std::sin(angle), 0, 12,  //
        -0.8 * std::sin(angle), -0.8 * std::cos(angle), 0, -7,                //
        0, 0, -3, 40,                                                         //
        0, 0, 0, 1;
    ivado::Array<float> image(geometry.shape);
    ivado::Array<float> mask(geometry.shape);
    ivado::Rng rng(ivado::RandomKey{1});
    std::int64_t n = 0;
    for (int i = 0; i < 44; ++i)
      for (int j = 0; j < 52; ++j)
        for (int k = 0; k < 18; ++k, ++n) {
          const double x = i - 21 - 0.3 * k;
          const double y = j - 27 + 0.2 * k;
          mask[n] = k > 0 && k < 17 && x * x / 100 + y * y / 64 < 1 ? 1.0F : 0.0F;
          image[n] = k == 17 ? 0.0F : 100 + 200 * mask[n] + 50 * rng.uniform_float();
        }
    one.id = "sub-01_T2w";
    one.images = {(folder / "image.nii.gz").string()};
    one.labels = {(folder / "label.nii.gz").string()};
    ivado::write_volume(one.images[0], std::as_const(image).view(), geometry, ivado::StoredType::float32);
    ivado::write_volume(one.labels[0], std::as_const(mask).view(), geometry, ivado::StoredType::uint8);
  }
  Tube(const Tube&) = delete;
  Tube& operator=(const Tube&) = delete;
  ~Tube() { std::filesystem::remove_all(folder); }
};

}  // namespace

TEST_CASE("load, transform, invert, post-process, write: what comes back is what went in", "[unit][chain]") {
  const Tube tube;
  const auto axis = GENERATE(Axis::sagittal, Axis::coronal, Axis::axial);
  const bool moved = GENERATE(false, true);
  CAPTURE(static_cast<int>(axis), moved);

  Chain::Params params;
  params.get<ivado::Resample>().params.hspace = 0.6;
  params.get<ivado::Resample>().params.wspace = 0.5;
  params.get<ivado::CenterCrop>().params.size = {96, 96};
  params.get<ivado::RandomAffine>().params.degrees = 10;
  params.get<ivado::RandomAffine>().params.translate = {0.03, 0.03};
  params.get<ivado::RandomAffine>().dataset_type.testing = moved;
  const Chain chain(params);

  ivado::SliceOptions options;
  options.axis = axis;
  const ivado::SliceDataset<Chain> data({tube.one}, options, chain, ivado::Stage::testing, 7);
  const Shape hwd =
      ivado::file_to_hwd(tube.geometry.affine, axis).apply(ivado::Array<float>(tube.geometry.shape).view()).shape();
  REQUIRE(data.counts().empty_input == (axis == Axis::axial ? 1 : 0));
  REQUIRE(static_cast<std::int64_t>(data.size()) == hwd[2] - data.counts().left_out());

  ivado::Reconstructor reconstructor;
  reconstructor.expect(0, data.counts(0).kept);
  ivado::BatchLoader loader(data, {.batch_size = 5, .workers = 2});
  loader.start(0);
  while (auto loaded = loader.next()) {
    for (std::size_t s = 0; s < loaded->batch.origins.size(); ++s) {
      // The label stands for the prediction of a perfect net.
      const auto label = std::as_const(loaded->batch.label).view().select(0, static_cast<std::int64_t>(s));
      REQUIRE(label.shape() == Shape{1, 96, 96});
      ivado::Image prediction{ivado::Array<float>::from(label), ivado::Kind::label, {1, 1, 1}};
      chain.invert(prediction, loaded->histories[s]);
      reconstructor.add(loaded->batch.origins[s], std::move(prediction));
    }
  }
  REQUIRE(reconstructor.is_complete(0));
  auto prediction = reconstructor.finish(0, data.geometry_of(0), axis);
  Post{Post::Params{}}(prediction);
  CHECK(prediction.is_mask);

  const std::string path = (tube.folder / "prediction.nii.gz").string();
  ivado::write_volume(path, std::as_const(prediction.voxels).view().select(0, 0), data.geometry_of(0),
                      ivado::StoredType::uint8);
  const auto written = ivado::read_volume(path);
  const auto image = ivado::read_volume(tube.one.images[0]);
  const auto truth = ivado::read_volume(tube.one.labels[0]);
  CHECK(written.stored_type == "uint8");
  CHECK(written.geometry.shape == image.geometry.shape);
  CHECK(written.geometry.affine == image.geometry.affine);
  CHECK(ivado::dice(written.view(), truth.view()) >= 0.95);
}
