// Tests of data/vertebral_labels.hpp: heat maps, mid-sagittal slices, the data set that is written, and its command.
#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ivado/data/bids_cases.hpp>
#include <ivado/data/vertebral_labels.hpp>
#include <ivado/metric/keypoints.hpp>
#include <ivado/postprocess/keypoints.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "bids_tree.hpp"

using namespace ivado;
using Catch::Matchers::Contains;
using tests::Tree;

namespace {

namespace fs = std::filesystem;

/// A disc in RAS voxels of a volume of 9 x 24 x 40 voxels.
struct Disc {
  std::array<std::int64_t, 3> place;
  float label;
};

constexpr std::array<std::int64_t, 3> ras_shape{9, 24, 40};

/// The grid of the RAS voxels: spacing 2 x 0.5 x 1 mm.
Geometry ras_grid() {
  Geometry out;
  out.shape = Shape{ras_shape[0], ras_shape[1], ras_shape[2]};
  out.affine.diagonal() << 2, 0.5, 1, 1;
  out.affine.col(3) << -20, 30, -400, 1;
  return out;
}

/// The value of the image at a RAS voxel: a different mean for each column.
float value_at(std::int64_t x, std::int64_t y, std::int64_t z) {
  return static_cast<float>(x * x) + 100 * static_cast<float>(y) + 10000 * static_cast<float>(z);
}

/// Writes an image and its label with the axes of a file that are given as the map from file to RAS.
void write(const Tree& tree, const std::string& folder, const std::string& stem, const AxisMap& to_ras,
           const std::vector<Disc>& discs, bool with_label = true) {
  const Geometry ras = ras_grid();
  Geometry file = ras;
  for (std::size_t a = 0; a < 3; ++a) {
    const int axis = to_ras.axis[a];
    const auto column = static_cast<int>(a);
    file.shape[axis] = ras.shape[column];
    file.affine.col(axis) = (to_ras.flip[a] ? -1.0 : 1.0) * ras.affine.col(column);
    if (to_ras.flip[a])
      file.affine.col(3).head<3>() += static_cast<double>(ras.shape[column] - 1) * ras.affine.col(column).head<3>();
  }
  auto image = zeros(file.shape);
  auto label = zeros(file.shape);
  const auto image_ras = to_ras.apply(image.view());
  const auto label_ras = to_ras.apply(label.view());
  for (std::int64_t x = 0; x < ras_shape[0]; ++x)
    for (std::int64_t y = 0; y < ras_shape[1]; ++y)
      for (std::int64_t z = 0; z < ras_shape[2]; ++z) image_ras(x, y, z) = value_at(x, y, z);
  for (const auto& disc : discs) label_ras(disc.place[0], disc.place[1], disc.place[2]) = disc.label;
  const fs::path labels = tree.path("derivatives/labels/" + folder);
  fs::create_directories(tree.path(folder));
  fs::create_directories(labels);
  write_volume(tree.path(folder + "/" + stem + ".nii.gz").string(), image.view(), file, StoredType::float32);
  if (with_label)
    write_volume((labels / (stem + "_labels-disc-manual.nii.gz")).string(), label.view(), file, StoredType::float32);
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory()) out.insert(fs::relative(entry.path(), folder).generic_string());
  return out;
}

std::string reason_of(const LeftOutList& list, const std::string& name) {
  std::string out;
  for (const auto& one : list.files)
    if (one.file.find(name) != std::string::npos) out += (out.empty() ? "" : " | ") + one.reason;
  return out;
}

const AxisMap as_ras{};
const AxisMap as_psr{{2, 0, 1}, {false, true, false}};

}  // namespace

TEST_CASE("The kernel of heat maps: symmetric, 0 in its corners, 1 in the middle") {
  const auto even = heat_map_kernel(10);
  CHECK(even.shape() == Shape{10, 10});
  CHECK(even.view()(0, 0) == 0);
  CHECK(even.view()(4, 4) == 1);
  for (std::int64_t a = 0; a < 10; ++a)
    for (std::int64_t b = 0; b < 10; ++b) CHECK(even.view()(a, b) == even.view()(9 - b, a));
  // By hand, from a table of the normal distribution: of three parts, the middle one has 0.26112 and the outer ones
  // 0.21079 each; products are rescaled from [0.04443, 0.06818] to [0, 1].
  const auto three = heat_map_kernel(3);
  CHECK(three.view()(1, 1) == Approx(1));
  CHECK(three.view()(0, 1) == Approx((0.26112 * 0.21079 - 0.04443) / (0.06818 - 0.04443)).margin(1e-3));
  CHECK_THROWS_AS(heat_map_kernel(1), Error);
}

TEST_CASE("A heat map has a kernel on each point, cut at the border, between 0 and 1") {
  auto points = zeros(Shape{30, 40});
  points.view()(10, 12) = 1;
  points.view()(29, 0) = 1;
  const auto map = heat_map(points.view());
  const auto kernel = heat_map_kernel(10);
  for (std::int64_t a = 0; a < 10; ++a)
    for (std::int64_t b = 0; b < 10; ++b) CHECK(map.view()(6 + a, 8 + b) == Approx(kernel.view()(a, b)).margin(1e-6));
  CHECK(map.view()(29, 0) == Approx(1).margin(1e-6));
  CHECK(map.view()(0, 30) == 0);
  const auto nothing = heat_map(zeros(Shape{5, 5}).view());
  CHECK(*std::max_element(nothing.begin(), nothing.end()) == 0);
  CHECK_THROWS_AS(heat_map(zeros(Shape{1, 5, 5}).view()), Error);
}

TEST_CASE("Close points keep their maxima; as ivadomed, they add up between them") {
  auto points = zeros(Shape{1, 40, 40});
  points.view()(0, 20, 10) = points.view()(0, 20, 18) = points.view()(0, 20, 26) = 1;
  const auto maxima = [&](bool as_ivadomed) {
    return local_maxima(heat_map(points.view().select(0, 0), {10, as_ivadomed}).reshaped(Shape{1, 40, 40}).view());
  };
  using Places = std::vector<std::array<std::int64_t, 3>>;
  CHECK(maxima(false) == Places{{0, 20, 10}, {0, 20, 18}, {0, 20, 26}});
  CHECK(maxima(true) != Places{{0, 20, 10}, {0, 20, 18}, {0, 20, 26}});
}

TEST_CASE("The slice and the heat map lie where the points of the source are, whatever the axes of the file") {
  Tree tree;
  const std::vector<Disc> discs{{{5, 8, 30}, 3}, {{4, 9, 18}, 4}, {{6, 15, 4}, 50}, {{4, 7, 35}, 1}};
  write(tree, "sub-01/anat", "sub-01_T2w", as_ras, discs);
  write(tree, "sub-02/anat", "sub-02_T2w", as_psr, discs);
  VertebralLabelParams params;
  params.path = tree.root();
  params.labels = {0, 4, 50};
  const auto report = prepare_vertebral_labels(params);
  CHECK(report.output == tree.root() + "-vertebral");
  CHECK(report.left_out.files.empty());
  const fs::path out = report.output;

  const auto slice = read_volume((out / "sub-01/anat/sub-01_T2w.nii.gz").string());
  CHECK(slice.geometry.shape == Shape{1, 24, 40});
  CHECK(slice.geometry.spacing_mm() == std::array<double, 3>{2, 0.5, 1});
  // The point of the smallest label, 1, is at x = 4: the mean of the slices 1 to 6, of squares: 91 / 6.
  for (std::int64_t y = 0; y < 24; ++y)
    for (std::int64_t z = 0; z < 40; ++z)
      REQUIRE(slice.view()(0, y, z) ==
              Approx(91.0 / 6 + 100.0 * static_cast<double>(y) + 1e4 * static_cast<double>(z)));
  const Eigen::Vector4d corner = slice.geometry.affine.col(3);
  CHECK(corner.isApprox(Eigen::Vector4d(-20 + 2 * 4, 30, -400, 1), 1e-6));

  const auto map = read_volume((out / "derivatives/labels/sub-01/anat/sub-01_T2w_heatmap0.nii.gz").string());
  CHECK(map.geometry.shape == slice.geometry.shape);
  CHECK(corner_distance_mm(map.geometry, slice.geometry) < 1e-4);
  const auto points = find_keypoints(map.view(), map.geometry);
  REQUIRE(points.size() == 2);  // neither 1 nor 50
  std::vector<Keypoint> truth(2);
  truth[0].world_mm = world_of({4, 8, 30}, ras_grid());  // projected on the slice
  truth[1].world_mm = world_of({4, 9, 18}, ras_grid());
  const auto score = score_keypoints(points, truth, 0.01);
  CHECK(score.matched() == 2);

  const auto one_disc = read_volume((out / "derivatives/labels/sub-01/anat/sub-01_T2w_heatmap4.nii.gz").string());
  const auto place = local_maxima(one_disc.view());
  REQUIRE(place.size() == 1);
  CHECK(place[0] == std::array<std::int64_t, 3>{0, 9, 18});
  CHECK(
      local_maxima(read_volume((out / "derivatives/labels/sub-01/anat/sub-01_T2w_heatmap50.nii.gz").string()).view()) ==
      std::vector<std::array<std::int64_t, 3>>{{0, 15, 4}});

  for (const std::string name : {"/anat/sub-0#_T2w.nii.gz", "/anat/sub-0#_T2w_heatmap0.nii.gz"}) {
    const bool label = name.find("heatmap") != std::string::npos;
    const auto path = [&](const std::string& number) {
      std::string file = "sub-0" + number + name;
      file.replace(file.find('#'), 1, number);
      return (out / (label ? "derivatives/labels" : "") / file).string();
    };
    const auto a = read_volume(path("1"));
    const auto b = read_volume(path("2"));
    CHECK(a.voxels == b.voxels);
    CHECK(corner_distance_mm(a.geometry, b.geometry) < 1e-3);  // mm, of float32 in the header
  }
}

TEST_CASE("Near the border fewer slices are averaged, and never none") {
  Tree tree;
  const std::vector<std::pair<std::int64_t, double>> expected{{0, 0},              // itself; ivadomed has no slice then
                                                              {1, (0 + 1) / 2.0},  // 0 and 1
                                                              {2, 14 / 4.0},       // 0 to 3
                                                              {4, 91 / 6.0},       // 1 to 6
                                                              {7, (25 + 36 + 49 + 64) / 4.0},
                                                              {8, (49 + 64) / 2.0}};
  for (const auto& [x, mean] : expected) {
    const std::string subject = "sub-" + std::to_string(x);
    write(tree, subject + "/anat", subject + "_T2w", as_ras, {{{x, 3, 3}, 5}});
  }
  VertebralLabelParams params;
  params.path = tree.root();
  const auto report = prepare_vertebral_labels(params);
  REQUIRE(report.images.size() == expected.size());
  for (const auto& [x, mean] : expected) {
    const std::string subject = "sub-" + std::to_string(x);
    INFO(subject);
    CHECK(read_volume(report.output + "/" + subject + "/anat/" + subject + "_T2w.nii.gz").voxels[0] == Approx(mean));
  }
}

TEST_CASE("The loader reads what was written, visits and all, and the source is as it was") {
  Tree tree;
  tree.file("participants.tsv", "participant_id\tsex\nsub-01\tF\nsub-02\tM\n")
      .file("participants.json", R"({"sex": {}})")
      .file("T2w.json", R"({"EchoTime": 0.1})")
      .file("T1w.json", R"({"EchoTime": 0.2})")
      .file("sub-01/sub-01_sessions.tsv", "session_id\tage\nses-a\t30\n")
      .file("sub-01/ses-a/anat/sub-01_ses-a_T2w.json", R"({"FlipAngle": 90})")
      .file("sub-02/anat/sub-02_T2w.json", R"({"FlipAngle": 80})")
      .file("sub-01/ses-a/sub-01_ses-a_scans.tsv", "filename\tx\n");
  write(tree, "sub-01/ses-a/anat", "sub-01_ses-a_T2w", as_psr, {{{5, 8, 30}, 3}});
  write(tree, "sub-01/ses-b/anat", "sub-01_ses-b_T2w", as_ras, {{{5, 8, 30}, 4}});
  write(tree, "sub-02/anat", "sub-02_T2w", as_ras, {}, false);
  write(tree, "sub-02/anat", "sub-02_T1w", as_ras, {{{5, 8, 30}, 3}});
  const auto before = files_in(tree.root());
  VertebralLabelParams params;
  params.path = tree.root() + "/";
  params.output = (tree.top() / "made/here").string();
  const auto report = prepare_vertebral_labels(params);
  CHECK(files_in(tree.root()) == before);
  CHECK(files_in(params.output) ==
        std::set<std::string>{"dataset_description.json", "participants.tsv", "participants.json", "T2w.json",
                              "sub-01/sub-01_sessions.tsv", "sub-01/ses-a/anat/sub-01_ses-a_T2w.json",
                              "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz", "sub-01/ses-b/anat/sub-01_ses-b_T2w.nii.gz",
                              "derivatives/labels/dataset_description.json",
                              "derivatives/labels/sub-01/ses-a/anat/sub-01_ses-a_T2w_heatmap0.nii.gz",
                              "derivatives/labels/sub-01/ses-b/anat/sub-01_ses-b_T2w_heatmap0.nii.gz"});
  CHECK(text_of(params.output + "/participants.tsv") == text_of(tree.path("participants.tsv")));
  const Json about = read_json(params.output + "/dataset_description.json");
  CHECK(about["Name"] == "made for a test");
  CHECK(about["GeneratedBy"][0]["Name"] == "ivado prepare-vertebral-labels");
  CHECK_THAT(reason_of(report.left_out, "sub-02_T2w"), Contains("no label with the ending _labels-disc-manual"));
  CHECK_THAT(reason_of(report.left_out, "scans.tsv"), Contains("not copied"));

  const Json config = vertebral_label_config(params, params.output);
  const auto keys = from_json<LoaderParameters>(config["loader_parameters"], "loader_parameters");
  CHECK(keys.soft_gt);
  const BidsIndex index({params.output});
  CaseParams chosen{keys.target_suffix, keys.extensions, keys.roi_params, keys.contrast_params, keys.multichannel};
  LeftOutList left_out;
  const auto cases = make_cases(index, chosen, left_out);
  REQUIRE(cases.size() == 2);
  CHECK(left_out.files.empty());
  CHECK(index.left_out().files.empty());
  CHECK(cases[0].id == "sub-01_ses-a_T2w");
  CHECK(cases[0].metadata["sex"] == "F");
  CHECK(cases[0].metadata["age"] == "30");
  CHECK(cases[0].metadata["EchoTime"] == 0.1);
  CHECK(cases[0].metadata["FlipAngle"] == 90);
  for (const auto& one : cases) {
    const auto image = read_volume(one.images.at(0));
    const auto label = read_volume(one.labels.at(0));
    CHECK_NOTHROW(check_same_grid(image, label, 1e-4));
    CHECK(*std::max_element(label.voxels.begin(), label.voxels.end()) == 1);
    CHECK(*std::min_element(label.voxels.begin(), label.voxels.end()) == 0);
  }
}

TEST_CASE("What cannot be used is left out, with the reason") {
  Tree tree;
  write(tree, "sub-01/anat", "sub-01_T2w", as_ras, {{{5, 8, 30}, 3}});
  write(tree, "sub-02/anat", "sub-02_T2w", as_ras, {});
  write(tree, "sub-03/anat", "sub-03_T2w", as_ras, {{{5, 8, 30}, 3}, {{5, 9, 30}, 3}});
  write(tree, "sub-04/anat", "sub-04_T2w", as_ras, {{{5, 8, 30}, 0.5F}});
  write(tree, "sub-05/anat", "sub-05_T2w", as_ras, {{{5, 8, 30}, 1}, {{5, 8, 3}, 50}});
  write(tree, "sub-06/anat", "sub-06_T2w", as_ras, {{{5, 8, 30}, 3}});
  fs::remove(tree.path("sub-06/anat/sub-06_T2w.nii.gz"));
  write_volume(tree.path("sub-06/anat/sub-06_T2w.nii.gz").string(), zeros(Shape{3, 3, 3}).view(),
               Geometry{Shape{3, 3, 3}}, StoredType::float32);
  tree.file("sub-07/anat/sub-07_T2w.png").label("sub-07/anat", "sub-07_T2w_labels-disc-manual.png");
  write(tree, "sub-08/anat", "sub-08_T2w", as_ras, {{{5, 8, 30}, 4}});
  VertebralLabelParams params;
  params.path = tree.root();
  params.labels = {0, 3};
  const auto report = prepare_vertebral_labels(params);
  CHECK(report.images == std::vector<std::string>{"sub-01/anat/sub-01_T2w.nii.gz", "sub-08/anat/sub-08_T2w.nii.gz"});
  CHECK(report.heat_maps.size() == 3);
  CHECK(reason_of(report.left_out, "sub-02_T2w") == "its label file has no point");
  CHECK_THAT(reason_of(report.left_out, "sub-03_T2w"), Contains("the value 3 stands in 2 voxels"));
  CHECK_THAT(reason_of(report.left_out, "sub-04_T2w"), Contains("the value 0.5"));
  CHECK_THAT(reason_of(report.left_out, "sub-05_T2w"),
             Contains("no label below 30 other than 1") && Contains("no point for the heat map 3"));
  CHECK_THAT(reason_of(report.left_out, "sub-06_T2w"), Contains("3x3x3"));
  CHECK_THAT(reason_of(report.left_out, "sub-07_T2w"), Contains("no NIfTI"));
  CHECK(reason_of(report.left_out, "sub-08_T2w") == "no point for the heat map 3");
}

TEST_CASE("The command: its options, its answer and its exit status") {
  Tree tree;
  write(tree, "sub-01/anat", "sub-01_acq-sag_T1w", as_ras, {{{5, 8, 30}, 3}});
  std::string out;
  std::string err;
  const auto run = [&](const std::vector<std::string>& arguments) {
    std::ostringstream said;
    std::ostringstream complained;
    const int status = run_prepare_vertebral_labels(arguments, said, complained);
    out = said.str();
    err = complained.str();
    return status;
  };
  const std::string place = (tree.top() / "new").string();
  CHECK(run({"--help"}) == 0);
  CHECK_THAT(out, Contains("--labels-suffix") && Contains("default 0"));
  CHECK(run({"-p", tree.root(), "-s", "_T1w", "-a", "0", "3", "--output=" + place}) == 0);
  CHECK_THAT(out, Contains("images 1, heat maps 2") && Contains("\"_heatmap3\"") && Contains("\"sagittal\""));
  CHECK(fs::exists(place + "/derivatives/labels/sub-01/anat/sub-01_acq-sag_T1w_heatmap3.nii.gz"));

  CHECK(run({"-p", tree.root(), "-s", "_T1w", "--output", place}) == 2);
  CHECK_THAT(err, Contains("no empty folder"));
  CHECK(run({"-p", tree.root(), "-s", "T1w", "--output", tree.root()}) == 2);
  const std::string other = (tree.top() / "other").string();
  fs::create_directories(other);
  CHECK(run({"--path", tree.root(), "--suffix", "T1", "--output", other}) == 3);
  CHECK_THAT(err, Contains("no image name ends with _T1") && Contains("_T1w"));
  CHECK(fs::is_empty(other));
  CHECK(run({"--path", tree.root(), "--suffix", "T1w", "--label", "7", "--output", other}) == 3);
  CHECK_THAT(err, Contains("no point for the heat map 7"));
  CHECK(run({"--path", tree.root(), "--suffix", "T1w", "--labels-suffix", "_points", "--output", other}) == 3);
  CHECK_THAT(err, Contains("no label with the ending _points"));
  CHECK(std::distance(fs::directory_iterator(tree.top()), {}) == 3);  // data, new, other: no rest of a failed run
  CHECK(run({"--path", tree.root(), "--suffix", "acq-sag_T1w", "--as-ivadomed", "--output", other}) == 0);
  CHECK(run({"--path", tree.root(), "--as-ivadomed=yes"}) == 2);

  CHECK(run({}) == 2);
  CHECK_THAT(err, Contains("no data set is named"));
  CHECK(run({"--path", tree.root(), "--label", "-1"}) == 2);
  CHECK_THAT(err, Contains("there is no label -1") && Contains("0 for all discs"));
  CHECK(run({"--path", tree.root(), "--label", "C3"}) == 2);
  CHECK(run({"--path", tree.root(), "--label", "3", "3"}) == 2);
  CHECK(run({"--path", tree.root(), "--path", tree.root()}) == 2);
  CHECK(run({"--path"}) == 2);
  CHECK(run({"--path", tree.root(), "--lable", "3"}) == 2);
  CHECK_THAT(err, Contains("did you mean --label?"));
  CHECK(run({"--path", (tree.top() / "none").string()}) == 2);
  const Tree plain("plain", false);
  CHECK(run({"--path", plain.root()}) == 3);
  CHECK_THAT(err, Contains("dataset_description.json"));
}

TEST_CASE("Disc labels of real images become heat maps whose maxima are the discs") {
  const auto data = tests::shared_data("spinalcord");
  if (!data) return;
  Tree tree;
  VertebralLabelParams params;
  params.path = *data;
  params.output = (tree.top() / "discs").string();
  const auto report = prepare_vertebral_labels(params);
  CHECK(report.images ==
        std::vector<std::string>{"sub-pam50/anat/sub-pam50_T2w.nii.gz", "sub-unf01/anat/sub-unf01_T2w.nii.gz"});
  CHECK(reason_of(report.left_out, "sub-unf02_T2w") == "its label file has no point");
  CHECK_THAT(reason_of(report.left_out, "sub-sct01_T2w"), Contains("no label with the ending"));

  for (const std::string subject : {"sub-unf01", "sub-pam50"}) {
    INFO(subject);
    const std::string stem = subject + "/anat/" + subject + "_T2w";
    const auto discs = read_volume(*data + "/derivatives/labels/" + stem + "_labels-disc-manual.nii.gz");
    const auto slice = read_volume(params.output + "/" + stem + ".nii.gz");
    std::vector<Keypoint> truth;
    const double x = slice.geometry.affine(0, 3);
    for (std::int64_t i = 0; i < discs.geometry.shape[0]; ++i)
      for (std::int64_t j = 0; j < discs.geometry.shape[1]; ++j)
        for (std::int64_t k = 0; k < discs.geometry.shape[2]; ++k)
          if (const float value = discs.view()(i, j, k); value > 1 && value < 30) {
            truth.emplace_back();
            truth.back().world_mm = world_of({i, j, k}, discs.geometry);
            CHECK(std::abs(truth.back().world_mm[0] - x) < 3);  // discs lie near the middle
            truth.back().world_mm[0] = x;
          }
    const auto map = read_volume(params.output + "/derivatives/labels/" + stem + "_heatmap0.nii.gz");
    const auto found = find_keypoints(map.view(), map.geometry);
    const auto score = score_keypoints(found, truth, 0.01);
    CHECK(score.truth == (subject == "sub-unf01" ? 1 : 18));
    CHECK(score.missed() == 0);
    CHECK(score.false_points() == 0);
  }
}
