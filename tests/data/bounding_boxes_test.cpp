// bounding_boxes.json: written and read, for these images and this detector alone.
#include <fstream>
#include <ivado/data/bounding_boxes.hpp>

#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

const BoxList list{"t2_cord",
                   "0123456789abcdef",
                   {{"sub-01_T2w", "aaaa", {{{10, 20, 30}, {1, 2, 3}, {4, 5, 6}}, true}},
                    {"sub-02_T2w", "bbbb", {whole_box({8, 9, 7}), false}}}};

/// Holds volumes without files.
struct InMemory : CaseFiles {
  float value;
  explicit InMemory(float v) : value(v) {}
  [[nodiscard]] Volume read(const std::string&, ReadReport&) const override {
    Volume out;
    out.geometry.shape = {2, 2, 2};
    out.voxels = Array<float>(Shape{2, 2, 2});
    std::fill(out.voxels.begin(), out.voxels.end(), value);
    return out;
  }
};

}  // namespace

TEST_CASE("Boxes are read as they were written") {
  const Scratch folder;
  write_boxes(folder / "bounding_boxes.json", list);
  CHECK(read_boxes(folder / "bounding_boxes.json") == list);
  REQUIRE(list.find("bbbb") != nullptr);
  CHECK(list.find("bbbb")->id == "sub-02_T2w");
  CHECK(list.find("cccc") == nullptr);
}

TEST_CASE("Boxes of another detector are not taken") {
  const Scratch folder;
  const std::string path = folder / "bounding_boxes.json";
  CHECK(boxes_of_detector(path, "t2_cord", "0123456789abcdef").entries.empty());
  write_boxes(path, list);
  CHECK(boxes_of_detector(path, "t2_cord", "0123456789abcdef") == list);
  CHECK(boxes_of_detector(path, "t2_cord", "another") == BoxList{"t2_cord", "another", {}});
}

TEST_CASE("A file that does not say whose boxes it holds is refused, and so is a damaged one") {
  const Scratch folder;
  const std::string path = folder / "bounding_boxes.json";
  const auto error = [&](const std::string& content) {
    std::ofstream(path) << content;
    try {
      (void)read_boxes(path);
    } catch (const Error& fault) {
      return std::string(fault.what());
    }
    return std::string("none");
  };
  CHECK_THAT(error(R"({"data/sub-01_T2w.nii.gz": [[1, 4, 2, 5, 3, 6]]})"),
             Contains("bounding_boxes.json") && Contains("ivado did not write it") && Contains("move it away"));
  CHECK_THAT(error(R"({"detector": {"name": "a"}, "boxes": []})"), Contains("digest") && Contains("delete it"));
  CHECK_THAT(error(R"({"detector": {"name": "a", "digest": "b"}, "boxes": [
    {"image": "sub-01", "digest": "c", "grid": [4, 4, 4], "begin": [0, 0, 3], "end": [1, 1, 3], "found": true}]})"),
             Contains("sub-01") && Contains("from 3 to 3 of 4"));
  CHECK_THAT(error(R"({"detector": {"name": "a", "digest": "b"}, "boxes": [
    {"image": "sub-01", "digest": "c", "grid": [4, 4, 4, 4], "begin": [0, 0, 3], "end": [1, 1, 4], "found": true}]})"),
             Contains("more than 3 axes"));
  CHECK_THAT(error("{"), Contains("bounding_boxes.json"));
}

TEST_CASE("Images are known by their content, not by their place") {
  const Scratch folder;
  const auto file = [&](const std::string& name, const std::string& content) {
    std::ofstream(folder / name) << content;
    Case one;
    one.images = {folder / name};
    return one;
  };
  const Case first = file("a.nii", "voxels");
  CHECK(images_digest(first) == images_digest(file("b.nii", "voxels")));
  CHECK(images_digest(first) != images_digest(file("c.nii", "voxel")));
  Case two = first;
  two.images.push_back(first.images[0]);
  Case other = two;
  other.reference = 1;
  CHECK(images_digest(two) != images_digest(first));
  CHECK(images_digest(two) != images_digest(other));
  Case missing = first;
  missing.images = {folder / "none.nii"};
  CHECK_THROWS_WITH(images_digest(missing), Contains("none.nii"));

  Case packed = first;
  packed.files = std::make_shared<InMemory>(1.0F);
  Case same = packed;
  same.images = {"elsewhere"};
  Case changed = packed;
  changed.files = std::make_shared<InMemory>(2.0F);
  CHECK(images_digest(packed) == images_digest(same));
  CHECK(images_digest(packed) != images_digest(changed));
}
