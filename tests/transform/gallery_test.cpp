// The gallery of a chain: the same results as the chain, and pictures that show them.
#include "ivado/transform/gallery.hpp"

#include <png.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../data/bids_tree.hpp"
#include "ivado/data/volume_io.hpp"
#include "ivado/transform/center_crop.hpp"
#include "ivado/transform/dynamic_compose.hpp"
#include "ivado/transform/normalize_instance.hpp"
#include "ivado/transform/random_affine.hpp"
#include "ivado/transform/resample.hpp"
#include "laws.hpp"

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using ivado::Array;
using ivado::Colour;
using ivado::GalleryStep;
using ivado::Json;
using ivado::Sample;
using ivado::Shape;
using ivado::Stage;
using Chain = ivado::DynamicCompose<ivado::Resample, ivado::CenterCrop, ivado::NormalizeInstance, ivado::RandomAffine>;
using Names = std::set<std::string>;

constexpr const char* transforms = R"({
  "RandomAffine": {"degrees": 20, "translate": [0.1, 0.1, 0.1]},
  "CenterCrop": {"size": [16, 12, 8]},
  "NormalizeInstance": {"applied_to": ["im"]},
  "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 1.5}})";

[[nodiscard]] Chain::Params read(const std::string& json) {
  return ivado::from_json<Chain::Params>(Json::parse(json), "transformation");
}
template <class Call>
[[nodiscard]] std::string error_of(const Call& call) {
  try {
    call();
  } catch (const ivado::Error& error) {
    return error.what();
  }
  return {};
}

/// A sample of one channel [H, W] with a label, all zero.
[[nodiscard]] Sample flat(std::int64_t height, std::int64_t width) {
  Sample sample;
  sample.image.voxels = ivado::zeros(Shape{1, height, width});
  sample.label.voxels = ivado::zeros(Shape{1, height, width});
  return sample;
}
[[nodiscard]] Colour pixel(const Array<std::uint8_t>& picture, std::int64_t row, std::int64_t column) {
  const auto view = picture.view();
  return {view(row, column, 0), view(row, column, 1), view(row, column, 2)};
}

}  // namespace

TEST_CASE("The steps of a gallery lead to what the chain makes, draw by draw") {
  const auto params = read(transforms);
  const Chain chain(params);
  for (const auto& spatial : std::vector<Shape>{{21, 25}, {19, 17, 11}}) {
    const Sample raw = laws::smooth_sample(spatial, {1.0, 1.0, 2.0});
    std::vector<std::string> stems;
    std::map<std::uint32_t, Sample> before;  // by draw
    Sample first = raw.clone();
    std::size_t chains = 0;
    const auto idle = ivado::visit_gallery<Chain>(
        params, raw, {.stage = Stage::training, .draws = 3, .seed = 42}, [&](const GalleryStep& step) {
          stems.push_back(step.file_stem());
          if (step.number == 0) {
            CHECK(laws::equal(step.before, raw));
            Sample expected = raw.clone();
            auto history = chain.preprocess(expected, Stage::training);
            chain.augment(expected, Stage::training, {42, step.draw, 0, 0}, history);
            CHECK(laws::equal(step.after, expected));
            ++chains;
          } else if (step.draw == 0) {
            CHECK(laws::equal(step.before, first));
            first = step.after.clone();
          } else {
            if (!before.contains(step.draw)) before.emplace(step.draw, first.clone());
            CHECK(laws::equal(step.before, before.at(step.draw)));
            before.at(step.draw) = step.after.clone();
          }
        });
    CHECK(idle.empty());
    CHECK(chains == 3);
    CHECK(stems == std::vector<std::string>{"01_CenterCrop", "02_Resample", "03_RandomAffine_draw-1",
                                            "04_NormalizeInstance_draw-1", "chain_draw-1", "03_RandomAffine_draw-2",
                                            "04_NormalizeInstance_draw-2", "chain_draw-2", "03_RandomAffine_draw-3",
                                            "04_NormalizeInstance_draw-3", "chain_draw-3"});
    CHECK_FALSE(laws::equal(before.at(1), before.at(2)));
  }
}

TEST_CASE("Without randomness there is one draw, and transforms of other sets are named") {
  const Sample raw = laws::smooth_sample({21, 25});
  std::vector<std::string> stems;
  const auto idle = ivado::visit_gallery<Chain>(read(transforms), raw, {.stage = Stage::testing},
                                                [&](const GalleryStep& step) { stems.push_back(step.file_stem()); });
  CHECK(stems == std::vector<std::string>{"01_CenterCrop", "02_Resample", "03_NormalizeInstance", "chain"});
  CHECK(idle == std::vector<std::string>{"RandomAffine"});
  const auto nothing = [](const GalleryStep&) {};
  CHECK_THAT(error_of([&] { (void)ivado::visit_gallery<Chain>(read("{}"), raw, {}, nothing); }),
             Contains("the training set") && Contains("no transform"));
  CHECK_THAT(error_of([&] { (void)ivado::visit_gallery<Chain>(read(transforms), raw, {.draws = 0}, nothing); }),
             Contains("no draw"));
}

TEST_CASE("A picture shows before, after and the difference with the outlines of both labels") {
  Sample before = flat(20, 20);
  Sample after = flat(20, 20);
  // Of an axial slice, H runs to the left of the picture and W to its top.
  after.image.voxels.view()(0, 19, 19) = 5;  // top left: more
  before.image.voxels.view()(0, 0, 0) = 5;   // bottom right: less
  for (int h = 4; h < 8; ++h)
    for (int w = 4; w < 8; ++w) {
      before.label.voxels.view()(0, h, w) = 1;
      after.label.voxels.view()(0, h + 8, w + 8) = 1;
    }
  const GalleryStep step{1, "RandomAffine", 1, before, after};
  const auto picture = ivado::draw_gallery_step(step, ivado::Axis::axial, 100);
  REQUIRE(picture.shape() == Shape{100, 3 * 100 + 2 * 4, 3});
  const std::int64_t third = 2 * 104;
  const Colour red = pixel(picture, 1, third + 1);
  const Colour blue = pixel(picture, 98, third + 98);
  CHECK(red[0] > 200);
  CHECK(red[2] < 100);
  CHECK(blue[2] > 200);
  CHECK(blue[0] < 100);
  CHECK(pixel(picture, 50, third + 5) == Colour{0, 0, 0});
  const auto has = [&](std::int64_t begin, const Colour& colour) {
    for (std::int64_t r = 0; r < 100; ++r)
      for (std::int64_t c = begin; c < begin + 100; ++c)
        if (pixel(picture, r, c) == colour) return true;
    return false;
  };
  const Colour green{64, 224, 96};
  const Colour white{255, 255, 255};
  CHECK(has(0, green));
  CHECK(has(104, green));
  CHECK(has(third, green));
  CHECK(has(third, white));
  // The old label is in the lower right quarter, the new one in the upper left.
  CHECK(pixel(picture, 99 - 20, third + 99 - 30) == white);
  CHECK(pixel(picture, 99 - 60, third + 99 - 70) == green);
}

TEST_CASE("Pictures keep proportions in mm, and show no difference between two grids") {
  Sample before = flat(10, 20);
  Sample after = flat(5, 20);
  after.image.spacing_mm = after.label.spacing_mm = {2, 1, 1};
  const auto changed = ivado::draw_gallery_step({1, "Resample", 0, before, after}, ivado::Axis::axial, 100);
  CHECK(changed.shape() == Shape{100, 50 + 4 + 50, 3});
  before.image.spacing_mm = {1, 1, 3};
  before.label.voxels = {};
  const auto same = ivado::draw_gallery_step({1, "Nothing", 0, before, before}, ivado::Axis::sagittal, 100);
  CHECK(same.shape() == Shape{50, 3 * 100 + 2 * 4, 3});
  // A label that the transform has left on another grid is not drawn.
  Sample apart = flat(10, 20);
  apart.label.voxels = ivado::zeros(Shape{1, 4, 4});
  CHECK_NOTHROW(ivado::draw_gallery_step({1, "CenterCrop", 0, apart, apart}, ivado::Axis::axial));
}

TEST_CASE("The command ivado transforms writes pictures named by transform and draw") {
  tests::Tree tree;
  ivado::Geometry geometry;
  geometry.shape = Shape{14, 18, 9};
  Array<float> image(Shape{14, 18, 9});
  Array<float> label(Shape{14, 18, 9});
  for (std::int64_t i = 0; i < image.size(); ++i) {
    image[i] = static_cast<float>(i % 101);
    label[i] = i % 18 > 5 && i % 18 < 11 ? 1.0F : 0.0F;
  }
  const std::string file = tree.path("image.nii.gz").string();
  const std::string mask = tree.path("label.nii.gz").string();
  ivado::write_volume(file, image.view(), geometry, ivado::StoredType::float32);
  ivado::write_volume(mask, label.view(), geometry, ivado::StoredType::uint8);
  const auto config = [&](const std::string& name, const std::string& more) {
    tree.file(name, R"({"loader_parameters": {"slice_axis": "sagittal"}, "transformation": )" +
                        std::string(transforms) + more + "}");
    return tree.path(name).string();
  };
  const std::string flat_config = config("flat.json", "");
  const std::string deep_config = config("deep.json", R"(, "default_model": {"name": "Modified3DUNet"})");
  const auto run = [&](const std::vector<std::string>& arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = ivado::run_transforms<Chain>(arguments, out, err);
    return std::to_string(status) + " " + out.str() + err.str();
  };
  const auto pictures = [&](const std::string& folder) {
    Names out;
    for (const auto& entry : fs::directory_iterator(tree.path(folder))) out.insert(entry.path().filename().string());
    return out;
  };
  const Names expected{"01_CenterCrop.png",
                       "02_Resample.png",
                       "03_RandomAffine_draw-1.png",
                       "03_RandomAffine_draw-2.png",
                       "04_NormalizeInstance_draw-1.png",
                       "04_NormalizeInstance_draw-2.png",
                       "chain_draw-1.png",
                       "chain_draw-2.png"};
  const std::string two = run({"-c", flat_config, "-i", file, "-l", mask, "-r", mask, "-o", tree.path("a/b").string(),
                               "-n", "2", "--slice", "3"});
  CHECK_THAT(two, Contains("0 wrote") && Contains("before: 9x18 voxels of 1x1 mm") && Contains(", label "));
  CHECK(pictures("a/b") == expected);
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&header, tree.path("a/b/03_RandomAffine_draw-2.png").c_str()) != 0);
  CHECK(std::max(header.width, header.height) > 512);
  png_image_free(&header);
  const std::string three =
      run({"-c", deep_config, "-i", file, "-l", mask, "-o", tree.path("c").string(), "-n", "2", "--seed", "7"});
  CHECK_THAT(three, Contains("0 wrote") && Contains("before: 9x18x14 voxels of 1x1x1 mm"));
  CHECK(pictures("c") == expected);
  const std::string testing = run({"-c", flat_config, "-i", file, "-o", tree.path("d").string(), "--set", "testing"});
  CHECK_THAT(testing, Contains("not shown: RandomAffine, which does not work on the testing set"));
  CHECK(pictures("d") == Names{"01_CenterCrop.png", "02_Resample.png", "03_NormalizeInstance.png", "chain.png"});

  const std::string to = tree.path("e").string();
  CHECK_THAT(run({"--help"}), Contains("0 usage: ivado transforms"));
  CHECK_THAT(run({"-c", flat_config, "-i", file}), Contains("2 ") && Contains("--output is missing"));
  CHECK_THAT(run({"-c", flat_config, "-i", file, "-o", to, "--slice", "14"}), Contains("2 ") && Contains("it has 14"));
  CHECK_THAT(run({"-c", deep_config, "-i", file, "-o", to, "--slice", "1"}),
             Contains("2 ") && Contains("takes volumes"));
  CHECK_THAT(run({"-c", flat_config, "-i", file, "-o", to, "--set", "test"}), Contains("2 ") && Contains("--set"));
  CHECK_THAT(run({"-c", flat_config, "-i", tree.path("none.nii").string(), "-o", to}), Contains("3 "));
  CHECK_THAT(run({"-c", flat_config, "-i", file, "-o", file}), Contains("4 ") && Contains("cannot be made"));
  CHECK_FALSE(fs::exists(to));
}
