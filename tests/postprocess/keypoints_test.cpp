#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ivado/postprocess/keypoints.hpp>
#include <ivado/random.hpp>
#include <set>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

using Place = std::array<std::int64_t, 3>;

Geometry grid(const Shape& shape) {
  Geometry out;
  out.shape = shape;
  return out;
}

/// A folder that is gone at the end of the test.
struct Scratch {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("ivado-keypoints-" + std::to_string(getpid()));
  Scratch() { std::filesystem::create_directories(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

TEST_CASE("Local maxima: the greatest first, none below the thresholds, none beside a greater one") {
  auto map = zeros(Shape{20, 20, 20});
  map.view()(3, 3, 3) = 0.5F;
  map.view()(15, 15, 15) = 1;
  map.view()(15, 15, 10) = 0.9F;  // 5 away from a greater one: too near
  map.view()(15, 15, 9) = 0.8F;   // 6 away, but beside the one before
  map.view()(3, 15, 15) = 0.25F;  // not above 0.3 of the greatest
  map.view()(15, 3, 3) = std::nanf("");
  map.view()(0, 19, 0) = 0.4F;  // at the border
  CHECK(local_maxima(map.view()) == std::vector<Place>{{15, 15, 15}, {3, 3, 3}, {0, 19, 0}});
  KeypointParams params;
  params.relative_threshold = 0.25;  // above it, not at it
  CHECK(local_maxima(map.view(), params).size() == 3);
  params.relative_threshold = 0.45;
  CHECK(local_maxima(map.view(), params) == std::vector<Place>{{15, 15, 15}, {3, 3, 3}});
  params.absolute_threshold = 0.6;
  CHECK(local_maxima(map.view(), params) == std::vector<Place>{{15, 15, 15}});
  params = {};
  params.min_distance_vox = 4;
  CHECK(local_maxima(map.view(), params) == std::vector<Place>{{15, 15, 15}, {15, 15, 10}, {3, 3, 3}, {0, 19, 0}});
}

TEST_CASE("A plateau is one point, and a map without any is none") {
  auto map = zeros(Shape{1, 12, 12});
  for (int j : {5, 6})
    for (int k : {5, 6}) map.view()(0, j, k) = 1;
  CHECK(local_maxima(map.view()) == std::vector<Place>{{0, 5, 5}});
  CHECK(local_maxima(Array<float>(Shape{4, 4, 4}, 0.7F).view()).empty());
  CHECK(local_maxima(zeros(Shape{4, 4, 4}).view()).empty());
  CHECK(local_maxima(Array<float>(Shape{0, 4, 4}).view()).empty());
  // Two equal maxima exactly 5 apart are two points; 4 apart, one.
  auto pair = zeros(Shape{1, 1, 20});
  pair[3] = pair[8] = 1;
  CHECK(local_maxima(pair.view()).size() == 2);
  pair[8] = 0;
  pair[7] = 1;
  CHECK(local_maxima(pair.view()).size() == 1);
}

TEST_CASE("As ivadomed: nothing within 5 voxels of the border") {
  auto map = zeros(Shape{11, 20, 20});
  map.view()(5, 10, 10) = 1;
  map.view()(4, 18, 10) = 0.9F;
  KeypointParams params;
  params.as_ivadomed = true;
  CHECK(local_maxima(map.view(), params) == std::vector<Place>{{5, 10, 10}});
  CHECK(local_maxima(map.view()).size() == 2);
  auto slice = zeros(Shape{1, 20, 20});
  slice.view()(0, 10, 10) = 1;
  CHECK(local_maxima(slice.view(), params).empty());
  CHECK(local_maxima(slice.view()).size() == 1);
}

TEST_CASE("Local maxima agree with their definition, in noise") {
  // By the definition in words, voxel by voxel; without ties, as the values are distinct.
  const std::int64_t reach = GENERATE(1, 2, 5);
  Array<float> map(Shape{9, 13, 7});
  Rng random({7, 0, 0, stream_user});
  for (float& value : map) value = static_cast<float>(random.uniform());
  KeypointParams params;
  params.min_distance_vox = reach;
  const auto found = local_maxima(map.view(), params);
  std::set<Place> expected;
  const auto view = map.view();
  float greatest = 0;
  for (const float value : map) greatest = std::max(greatest, value);
  for (std::int64_t i = 0; i < 9; ++i)
    for (std::int64_t j = 0; j < 13; ++j)
      for (std::int64_t k = 0; k < 7; ++k) {
        bool is_greatest = view(i, j, k) > 0.3F * greatest;
        for (std::int64_t a = 0; a < 9; ++a)
          for (std::int64_t b = 0; b < 13; ++b)
            for (std::int64_t c = 0; c < 7; ++c)
              if (std::abs(a - i) <= reach && std::abs(b - j) <= reach && std::abs(c - k) <= reach)
                is_greatest = is_greatest && view(a, b, c) <= view(i, j, k);
        if (is_greatest) expected.insert({i, j, k});
      }
  CHECK(std::set<Place>(found.begin(), found.end()) == expected);
  CHECK(found.size() == expected.size());
  for (std::size_t n = 1; n < found.size(); ++n)
    CHECK(view(found[n - 1][0], found[n - 1][1], found[n - 1][2]) >= view(found[n][0], found[n][1], found[n][2]));
}

TEST_CASE("Keypoints know their place in the world and their class") {
  Geometry geometry = grid({4, 20, 30});
  geometry.affine << 0, 0, -2, 100, 0.5, 0, 0, -7, 0, 3, 0, 11, 0, 0, 0, 1;
  auto maps = zeros(Shape{2, 4, 20, 30});
  maps.view()(0, 1, 4, 6) = 0.75F;
  maps.view()(1, 3, 19, 0) = 0.5F;
  maps.view()(1, 0, 2, 29) = 1;
  const auto points = find_keypoints(maps.view(), geometry);
  REQUIRE(points.size() == 3);
  CHECK(points[0] == Keypoint{{1, 4, 6}, {88, -6.5, 23}, 0.75, 0});
  CHECK(points[1] == Keypoint{{0, 2, 29}, {42, -7, 17}, 1, 1});
  CHECK(points[2] == Keypoint{{3, 19, 0}, {100, -5.5, 68}, 0.5, 1});
  CHECK(find_keypoints(maps.view().select(0, 0), geometry) == std::vector<Keypoint>{points[0]});
  CHECK_THROWS_WITH(find_keypoints(maps.view(), grid({4, 20, 31})), Contains("4x20x31"));

  const auto label = keypoint_label(points, geometry);
  CHECK(label.shape() == geometry.shape);
  CHECK(label.view()(1, 4, 6) == 1);
  CHECK(label.view()(0, 2, 29) == 2);
  CHECK(label.view()(3, 19, 0) == 2);
  float sum = 0;
  for (const float value : label) sum += value;
  CHECK(sum == 5);
  CHECK_THROWS_WITH(keypoint_label(points, grid({4, 20, 29})), Contains("(0, 2, 29)") && Contains("4x20x29"));
}

TEST_CASE("Keypoints in CSV files come back to the last bit") {
  const Scratch scratch;
  const std::string path = (scratch.path / "points.csv").string();
  const std::vector<Keypoint> points{{{1, 2, 3}, {0.1, -1.0 / 3, 1e-17}, 0.7, 0},
                                     {{0, 100000, 0}, {-120.5, 0, 7}, 1, 4}};
  write_keypoints(path, points);
  CHECK(read_keypoints(path) == points);
  write_keypoints(path, {});
  CHECK(read_keypoints(path).empty());
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path), {}) == 1);

  const auto with = [&](const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    return path;
  };
  const std::string head(keypoint_columns);
  CHECK(read_keypoints(with(head + "\r\n0,1,2,3,4,5,6,0.5\r\n")).size() == 1);
  CHECK_THROWS_WITH(read_keypoints(with("")), Contains("points.csv") && Contains("empty"));
  CHECK_THROWS_WITH(read_keypoints(with("x,y\n")), Contains("its columns are class,i,j,k"));
  CHECK_THROWS_WITH(read_keypoints(with(head + "\n0,1,2,3,4,5,6,0.5\n0,1,two,3,4,5,6,1\n")),
                    Contains("line 3") && Contains("two"));
  CHECK_THROWS_WITH(read_keypoints(with(head + "\n0,1,2,3,4,5,6\n")), Contains("line 2"));
  CHECK_THROWS_WITH(read_keypoints(with(head + "\n0,1,2,3,4,5,6,7,8\n")), Contains("line 2"));
  CHECK_THROWS_WITH(read_keypoints((scratch.path / "none.csv").string()), Contains("cannot be opened"));
}
