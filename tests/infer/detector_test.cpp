// What stands around a detector: its package, the channels it sees, the chain behind it, and boxes found once.
#include <filesystem>
#include <fstream>
#include <ivado/infer/detector.hpp>
#include <ivado/transform/normalize_instance.hpp>
#include <ivado/transform/resample.hpp>
#include <ivado/transform/transform.hpp>

#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Finds the number in an image's file, as the first voxel of a box of two; nothing in a file of "0".
struct Counting {
  static inline std::vector<std::string> seen;
  std::vector<Detection> operator()(const DetectionRequest& request) const {
    std::vector<Detection> out;
    for (const auto& one : request.cases) {
      seen.push_back(one.id);
      const std::int64_t at = std::stoi(content_of(one.images[0]));
      ObjectBox box{{20, 20, 20}, {at, at, at}, {at + 2, at + 2, at + 2}};
      out.push_back(at == 0 ? Detection{whole_box(box.grid), false} : Detection{box, true});
    }
    return out;
  }
};

Case case_of(const Scratch& folder, const std::string& id, const std::string& content) {
  std::ofstream(folder / (id + ".nii")) << content;
  Case one;
  one.id = id;
  one.images = {folder / (id + ".nii")};
  return one;
}

ObjectDetectionParams package(const Scratch& folder) {
  std::filesystem::create_directories(folder / "cord");
  std::ofstream(folder / "cord/cord.safetensors") << "weights";
  std::ofstream(folder / "cord/cord.json") << "{}";
  ObjectDetectionParams params;
  params.object_detection_path = folder / "cord/";
  params.safety_factor = {1, 2, 3};
  return params;
}

}  // namespace

TEST_CASE("A package is named for its folder") {
  CHECK(ivado::detail::package_file("a/b/cord", ".json") == "a/b/cord/cord.json");
  CHECK(ivado::detail::package_file("a/b/cord/", ".json") == "a/b/cord/cord.json");
  CHECK(ivado::detail::package_name("a/./cord/") == "cord");
  const Scratch folder;
  CHECK_THROWS_WITH(ivado::detail::package_weights(folder / "cord"), Contains("cord/cord.safetensors does not exist"));
  std::filesystem::create_directories(folder / "cord");
  std::ofstream(folder / "cord/cord.pt") << "weights";
  CHECK(ivado::detail::package_weights(folder / "cord") == folder / "cord/cord.pt");
  std::ofstream(folder / "cord/cord.json") << R"({"default_model": {"is_2d": false}})";
  CHECK(ivado::detail::package_dimension(folder / "cord") == 3);
  std::ofstream(folder / "cord/cord.json") << "{}";
  CHECK(ivado::detail::package_dimension(folder / "cord") == 2);
}

TEST_CASE("A detector looks at the channels that it was trained on") {
  Case one;
  one.id = "sub-01";
  one.images = {"t1", "t2", "star"};
  one.contrasts = {"T1w", "T2w", "T2star"};
  one.labels = {"label"};
  one.roi = "roi";
  one.box = whole_box({2, 2, 2});
  one.reference = 1;
  const auto images = [&](const std::vector<std::string>& contrasts, bool is_single) {
    return ivado::detail::case_to_detect(one, contrasts, is_single).images;
  };
  CHECK(images({"T1w", "T2w"}, true) == std::vector<std::string>{"t2"});  // the reference, which it knows
  CHECK(images({"PD", "T2star", "T1w"}, true) == std::vector<std::string>{"star"});
  CHECK(images({"PD"}, true) == std::vector<std::string>{"t2"});
  CHECK(images({"T2star", "T2w"}, false) == std::vector<std::string>{"star", "t2"});
  const Case seen = ivado::detail::case_to_detect(one, {"T2star", "T2w"}, false);
  CHECK(seen.reference == 1);
  CHECK((seen.labels.empty() && seen.roi.empty() && !seen.box));
  one.images[0].clear();
  CHECK_THROWS_WITH(images({"T1w", "T2w"}, false), Contains("sub-01") && Contains("contrast T1w"));
}

TEST_CASE("BoundingBoxCrop comes behind Resample, else first, and is made for the patches") {
  AnyCompose::Params steps;
  steps.add<NormalizeInstance>();
  CHECK(ivado::detail::with_box_crop(steps, {}, {}).names() ==
        std::vector<std::string>{"BoundingBoxCrop", "NormalizeInstance"});
  steps.add<Resample>();
  steps.add<CenterCrop>();
  auto chain = ivado::detail::with_box_crop(steps, {16, 8}, {});
  CHECK(chain.names() == std::vector<std::string>{"NormalizeInstance", "Resample", "BoundingBoxCrop", "CenterCrop"});
  CHECK(chain.get<BoundingBoxCrop>()->params.length == std::vector<int>{16, 8});
  CHECK(chain.get<BoundingBoxCrop>()->params.stride == std::vector<int>{16, 8});
  // Once it is there, it stays as and where it is.
  CHECK(to_json(ivado::detail::with_box_crop(chain, {4, 4}, {4, 4})) == to_json(chain));
  chain = {};
  chain.add<BoundingBoxCrop>().params.size = std::vector<int>{9, 9};
  CHECK_FALSE(ivado::detail::with_box_crop(chain, {4, 4}, {2, 2}).get<BoundingBoxCrop>()->params.length);

  using Fixed = Compose<Resample, BoundingBoxCrop>::Params;
  CHECK(ivado::detail::with_box_crop(Fixed{}, {4, 4}, {2, 3}).get<BoundingBoxCrop>().params.stride ==
        std::vector<int>{2, 3});
  CHECK_THROWS_WITH(ivado::detail::with_box_crop(Compose<Resample>::Params{}, {}, {}), Contains("no BoundingBoxCrop"));
}

TEST_CASE("Each image is looked at once by each detector, and the margin is put on afterwards") {
  const Scratch folder;
  const std::string path = folder / "bounding_boxes.json";
  ObjectDetectionParams params = package(folder);
  std::vector<Case> cases{case_of(folder, "a", "5"), case_of(folder, "b", "0"), case_of(folder, "c", "7")};
  const auto add = [&] {
    Counting::seen.clear();
    return ivado::detail::add_boxes(Counting{}, path, params, Axis::sagittal, {}, {}, cases);
  };
  auto done = add();
  CHECK(Counting::seen == std::vector<std::string>{"a", "b", "c"});
  CHECK(done.looked_at == 3);
  CHECK(done.not_found == std::vector<std::string>{"b"});
  // Sagittal: H, W, D are S, A, R; the factor 3 goes to R, 2 to A.
  CHECK(cases[0].box == ObjectBox{{20, 20, 20}, {3, 4, 5}, {9, 8, 7}});
  CHECK(cases[1].box == whole_box({20, 20, 20}));
  CHECK(read_boxes(path).entries[0].detection.box == ObjectBox{{20, 20, 20}, {5, 5, 5}, {7, 7, 7}});

  params.safety_factor = {1, 1, 1};  // needs no new look
  cases.push_back(case_of(folder, "d", "9"));
  cases.push_back(case_of(folder, "copy of d", "9"));
  done = add();
  CHECK(Counting::seen == std::vector<std::string>{"d"});
  CHECK(done.known == 4);
  CHECK(cases[0].box == ObjectBox{{20, 20, 20}, {5, 5, 5}, {7, 7, 7}});
  CHECK(cases[4].box == cases[3].box);

  cases.resize(3);
  cases[2] = case_of(folder, "c", "8");  // another image in its place
  (void)add();
  CHECK(Counting::seen == std::vector<std::string>{"c"});
  CHECK(cases[2].box->begin[0] == 8);
  const std::string before = content_of(path);
  (void)add();
  CHECK(Counting::seen.empty());
  CHECK(content_of(path) == before);

  std::ofstream(folder / "cord/cord.safetensors") << "trained further";
  (void)add();
  CHECK(Counting::seen.size() == 3);
  CHECK(read_boxes(path).entries.size() == 3);
  CHECK_THROWS_WITH(ivado::detail::add_boxes(NoDetector{}, folder / "none.json", params, Axis::axial, {}, {}, cases),
                    Contains("no detector") && Contains("AnyDetector"));
  CHECK_FALSE(std::filesystem::exists(folder / "none.json"));
}
