#include "ivado/data/phantom.hpp"

#include <unistd.h>

#include <Eigen/Dense>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "ivado/data/volume_io.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder that is gone at the end of the test.
struct Scratch {
  fs::path path;
  Scratch() {
    static int count = 0;
    path = fs::temp_directory_path() /
           ("ivado-phantom-test-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    fs::create_directories(path);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path / name).string(); }
};

[[nodiscard]] std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

[[nodiscard]] std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory()) out.insert(fs::relative(entry.path(), folder).generic_string());
  return out;
}

[[nodiscard]] ivado::Volume image(const fs::path& root, const std::string& subject, const std::string& contrast) {
  return ivado::read_volume((root / subject / "anat" / (subject + "_" + contrast + ".nii.gz")).string());
}
[[nodiscard]] ivado::Volume label(const fs::path& root, const std::string& subject, const std::string& contrast,
                                  const std::string& suffix) {
  return ivado::read_volume(
      (root / "derivatives" / "labels" / subject / "anat" / (subject + "_" + contrast + suffix + ".nii.gz")).string());
}

/// A phantom that is quick to write: a small field.
[[nodiscard]] ivado::PhantomParams small(std::int64_t subjects) {
  ivado::PhantomParams params;
  params.subjects = subjects;
  params.field_mm = 36;
  params.length_mm = 15;
  return params;
}

[[nodiscard]] int run(const std::vector<std::string>& arguments, std::string& said) {
  std::ostringstream out;
  std::ostringstream err;
  const int status = ivado::run_phantom(arguments, out, err);
  said = out.str() + err.str();
  return status;
}

const std::vector<std::string> all_contrasts{"T1w", "T2w", "T2star"};

/// Voxels that are in none but within `mm` of a voxel of the mask, slice by slice across the body, by their mean in the
/// image.
[[nodiscard]] double mean_around(const ivado::Volume& scan, const ivado::Volume& mask, double mm) {
  const auto map = ivado::file_to_hwd(scan.geometry.affine, ivado::Axis::axial);
  const auto voxels = map.apply(scan.view());
  const auto inside = map.apply(mask.view());
  const auto reach = static_cast<std::int64_t>(std::ceil(mm / map.reorder(scan.geometry.spacing_mm())[0]));
  double sum = 0;
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < voxels.extent(2); ++k)
    for (std::int64_t i = reach; i + reach < voxels.extent(0); ++i)
      for (std::int64_t j = reach; j + reach < voxels.extent(1); ++j) {
        if (inside(i, j, k) != 0) continue;
        const bool near =
            inside(i - reach, j, k) + inside(i + reach, j, k) + inside(i, j - reach, k) + inside(i, j + reach, k) > 0;
        if (!near) continue;
        sum += voxels(i, j, k);
        ++count;
      }
  return sum / static_cast<double>(count);
}

}  // namespace

TEST_CASE("a phantom holds the files of its BIDS data set and no other", "[unit]") {
  const Scratch scratch;
  ivado::PhantomParams params = small(2);
  params.lesions = GENERATE(0.0, 1.0);
  std::vector<std::int64_t> steps;
  ivado::write_phantom(scratch / "set", params, [&](std::int64_t done, std::int64_t total) {
    CHECK(total == 6);
    steps.push_back(done);
  });
  CHECK(steps == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});

  std::set<std::string> expected{"README", "dataset_description.json", "participants.json", "participants.tsv",
                                 "derivatives/labels/dataset_description.json"};
  for (const std::string subject : {"sub-01", "sub-02"})
    for (const auto& contrast : all_contrasts) {
      const std::string stem = subject + "/anat/" + subject + "_" + contrast;
      expected.insert(stem + ".nii.gz");
      expected.insert(stem + ".json");
      for (const std::string suffix : {"_seg-manual", "_gmseg-manual"})
        expected.insert("derivatives/labels/" + stem + suffix + ".nii.gz");
      if (params.lesions == 1) expected.insert("derivatives/labels/" + stem + "_lesion-manual.nii.gz");
    }
  CHECK(files_in(scratch / "set") == expected);

  const auto about = ivado::read_json(scratch / "set/dataset_description.json");
  CHECK(about.at("License") == "CC0");
  CHECK(about.at("DatasetType") == "raw");
  CHECK(about.at("GeneratedBy").at(0).at("Version") == ivado::version);
  CHECK(ivado::read_json(scratch / "set/derivatives/labels/dataset_description.json").at("DatasetType") ==
        "derivative");

  std::istringstream table(content(scratch / "set/participants.tsv"));
  std::string line;
  std::getline(table, line);
  CHECK(line == "participant_id\tage\tsex\tinstitution_id\tpathology");
  const auto columns = ivado::read_json(scratch / "set/participants.json");
  for (const char* column : {"participant_id", "age", "sex", "institution_id", "pathology"})
    CHECK(columns.contains(column));
  for (const std::string subject : {"sub-01", "sub-02"}) {
    std::getline(table, line);
    CHECK(line.starts_with(subject + "\t"));
    CHECK(line.ends_with(params.lesions == 1 ? "\tMS" : "\tHC"));
  }
  CHECK_FALSE(std::getline(table, line));
}

TEST_CASE("sidecars are in the units of BIDS and vary", "[unit]") {
  const Scratch scratch;
  ivado::PhantomParams params = small(8);
  params.field_mm = 32;
  params.length_mm = 12;
  ivado::write_phantom(scratch / "set", params);
  const std::map<std::string, std::array<double, 6>> limits{{"T1w", {0.003, 0.0042, 2.0, 2.3, 8, 10}},
                                                            {"T2w", {0.11, 0.125, 1.5, 1.7, 120, 135}},
                                                            {"T2star", {0.014, 0.017, 0.6, 0.7, 28, 32}}};
  std::set<std::string> manufacturers;
  for (const auto& [contrast, limit] : limits) {
    std::set<double> echo_times;
    for (int subject = 1; subject <= 8; ++subject) {
      const std::string id = "sub-0" + std::to_string(subject);
      const auto sidecar = ivado::read_json(scratch / ("set/" + id + "/anat/" + id + "_" + contrast + ".json"));
      const double echo = sidecar.at("EchoTime");
      const double repetition = sidecar.at("RepetitionTime");
      const double flip = sidecar.at("FlipAngle");
      CHECK((echo >= limit[0] && echo <= limit[1]));
      CHECK((repetition >= limit[2] && repetition <= limit[3]));
      CHECK((flip >= limit[4] && flip <= limit[5]));
      CHECK(sidecar.at("MagneticFieldStrength").is_number());
      echo_times.insert(echo);
      manufacturers.insert(sidecar.at("Manufacturer").get<std::string>());
    }
    CHECK(echo_times.size() > 4);
  }
  CHECK(manufacturers == std::set<std::string>{"Siemens", "Philips", "GE"});
}

TEST_CASE("images and labels of a phantom fit each other and the anatomy", "[unit]") {
  const Scratch scratch;
  ivado::PhantomParams params;
  params.subjects = 3;
  params.seed = 5;
  params.lesions = 1;
  params.noise = 0.5;
  ivado::write_phantom(scratch / "set", params);
  const fs::path root = scratch / "set";
  std::map<std::string, std::set<std::string>> orientations;
  for (const std::string subject : {"sub-01", "sub-02", "sub-03"}) {
    std::vector<Eigen::Vector3d> centres;
    double largest_voxel = 0;
    for (const auto& contrast : all_contrasts) {
      INFO(subject << " " << contrast);
      const auto scan = image(root, subject, contrast);
      const auto cord = label(root, subject, contrast, "_seg-manual");
      const auto grey = label(root, subject, contrast, "_gmseg-manual");
      const auto lesion = label(root, subject, contrast, "_lesion-manual");
      orientations[contrast].insert(ivado::axis_codes(scan.geometry.affine));
      CHECK(cord.stored_type == "uint8");
      for (const auto* one : {&cord, &grey, &lesion}) {
        REQUIRE(one->geometry.shape == scan.geometry.shape);
        CHECK(ivado::corner_distance_mm(one->geometry, scan.geometry) < 1e-3);  // mm; affines are stored as float32
      }
      const auto spacing = ivado::closest_ras(scan.geometry.affine).reorder(scan.geometry.spacing_mm());
      if (contrast == "T2star") {
        CHECK((spacing[0] > 0.49 && spacing[0] < 0.81 && spacing[2] > 2.9 && spacing[2] < 5.1));
      } else {
        CHECK((spacing[0] > 0.79 && spacing[0] < 1.11 && spacing[2] > 0.79 && spacing[2] < 1.11));
      }
      const auto shape = ivado::closest_ras(scan.geometry.affine).apply(scan.view()).shape();
      CHECK(static_cast<double>(shape[0]) * spacing[0] == Approx(contrast == "T2star" ? 64 : 80).margin(spacing[0]));
      CHECK(static_cast<double>(shape[2]) * spacing[2] == Approx(48).margin(spacing[2]));

      std::int64_t in_cord = 0;
      std::int64_t in_grey = 0;
      std::int64_t in_lesion = 0;
      bool binary = true;
      bool nested = true;
      bool whole = true;
      double white_sum = 0;
      double grey_sum = 0;
      std::int64_t whites = 0;
      std::int64_t greys = 0;
      Eigen::Vector4d sum = Eigen::Vector4d::Zero();
      for (std::int64_t i = 0; i < scan.geometry.shape[0]; ++i)
        for (std::int64_t j = 0; j < scan.geometry.shape[1]; ++j)
          for (std::int64_t k = 0; k < scan.geometry.shape[2]; ++k) {
            const float c = cord.view()(i, j, k);
            const float g = grey.view()(i, j, k);
            const float l = lesion.view()(i, j, k);
            const float value = scan.view()(i, j, k);
            binary = binary && (c == 0 || c == 1) && (g == 0 || g == 1) && (l == 0 || l == 1);
            nested = nested && g <= c && l <= c;
            whole = whole && value >= 0 && value == std::floor(value);
            if (c == 0) continue;
            ++in_cord;
            in_grey += g == 1;
            in_lesion += l == 1;
            sum += scan.geometry.affine *
                   Eigen::Vector4d(static_cast<double>(i), static_cast<double>(j), static_cast<double>(k), 1);
            if (l == 1) continue;
            (g == 1 ? grey_sum : white_sum) += value;
            ++(g == 1 ? greys : whites);
          }
      CHECK(binary);
      CHECK(nested);
      CHECK(whole);
      const double voxel_mm3 = spacing[0] * spacing[1] * spacing[2];
      const double length_mm = static_cast<double>(shape[2]) * spacing[2];
      // cross-section of an adult's cervical cord: 60 to 100 mm², of its grey matter about a fifth
      const double area = static_cast<double>(in_cord) * voxel_mm3 / length_mm;
      CHECK((area > 58 && area < 102));
      const double share = static_cast<double>(in_grey) / static_cast<double>(in_cord);
      CHECK((share > 0.14 && share < 0.30));
      CHECK((static_cast<double>(in_lesion) * voxel_mm3 > 10 && static_cast<double>(in_lesion) * voxel_mm3 < 400));
      centres.emplace_back((sum / static_cast<double>(in_cord)).head<3>());
      largest_voxel = std::max({largest_voxel, spacing[0], spacing[2]});

      const double cord_mean = (white_sum + grey_sum) / static_cast<double>(whites + greys);
      const double ring_mean = mean_around(scan, cord, 1.2);
      if (contrast == "T1w") CHECK(ring_mean < 0.7 * cord_mean);
      if (contrast == "T2w") CHECK(ring_mean > 1.5 * cord_mean);
      if (contrast == "T2star") {
        CHECK(ring_mean > 1.2 * cord_mean);
        CHECK(grey_sum / static_cast<double>(greys) > 1.03 * white_sum / static_cast<double>(whites));
      }
    }
    for (const auto& centre : centres) {
      CHECK((centre - centres.front()).head<2>().norm() < 0.6);  // mm: less than a voxel across the cord
      CHECK(std::abs(centre[2] - centres.front()[2]) < largest_voxel);
    }
  }
  for (const auto& contrast : all_contrasts)
    CHECK(orientations[contrast] == std::set<std::string>{"RAS", "LPI", "PSR"});
}

TEST_CASE("the noise of a phantom is Rician: where there is no signal, its mean and spread are Rayleigh's", "[unit]") {
  const Scratch scratch;
  ivado::PhantomParams params;
  params.subjects = 1;
  params.length_mm = 20;
  params.noise = 4;  // far above the trace of signal in air
  params.contrasts = {"T1w"};
  ivado::write_phantom(scratch / "set", params);
  const auto scan = image(scratch / "set", "sub-01", "T1w");
  const auto map = ivado::file_to_hwd(scan.geometry.affine, ivado::Axis::axial);
  const auto corner = map.apply(scan.view()).narrow(0, 0, 9).narrow(1, 0, 9);  // air
  double sum = 0;
  double squares = 0;
  for (std::int64_t i = 0; i < 9; ++i)
    for (std::int64_t j = 0; j < 9; ++j)
      for (std::int64_t k = 0; k < corner.extent(2); ++k) {
        sum += corner(i, j, k);
        squares += double{corner(i, j, k)} * corner(i, j, k);
      }
  const auto count = static_cast<double>(corner.size());
  const double mean = sum / count;
  const double spread = std::sqrt(squares / count - mean * mean);
  CHECK(spread / mean == Approx(std::sqrt(4 / std::numbers::pi - 1)).epsilon(0.06));  // 1500 voxels: standard error 2 %
}

TEST_CASE("a phantom is a function of its seed", "[unit]") {
  const Scratch scratch;
  ivado::PhantomParams params = small(2);
  params.seed = 7;
  ivado::write_phantom(scratch / "a", params);

  SECTION("the same seed gives the same bytes") {
    ivado::write_phantom(scratch / "b", params);
    for (const auto& file : files_in(scratch / "a")) {
      INFO(file);
      CHECK(content(scratch / ("a/" + file)) == content(scratch / ("b/" + file)));
    }
  }
  SECTION("more subjects and fewer contrasts give the same images") {
    ivado::PhantomParams other = params;
    other.subjects = 3;
    other.contrasts = {"T2star"};
    ivado::write_phantom(scratch / "b", other);
    for (const std::string id : {"sub-01", "sub-02"}) {
      const std::string file = id + "/anat/" + id + "_T2star";
      CHECK(content(scratch / ("a/" + file + ".nii.gz")) == content(scratch / ("b/" + file + ".nii.gz")));
      CHECK(content(scratch / ("a/" + file + ".json")) == content(scratch / ("b/" + file + ".json")));
    }
  }
  SECTION("another seed, and another subject, give other images") {
    ivado::PhantomParams other = params;
    other.seed = 8;
    ivado::write_phantom(scratch / "b", other);
    const auto first = image(scratch / "a", "sub-01", "T2w");
    CHECK_FALSE(first.voxels == image(scratch / "b", "sub-01", "T2w").voxels);
    CHECK_FALSE(first.voxels == image(scratch / "a", "sub-02", "T2w").voxels);
  }
  SECTION("noise is all that `noise` changes") {
    ivado::PhantomParams other = params;
    other.noise = 0;
    ivado::write_phantom(scratch / "b", other);
    const auto noisy = image(scratch / "a", "sub-01", "T1w");
    const auto clean = image(scratch / "b", "sub-01", "T1w");
    CHECK_FALSE(noisy.voxels == clean.voxels);
    CHECK(ivado::corner_distance_mm(noisy.geometry, clean.geometry) == 0);
    CHECK(label(scratch / "a", "sub-01", "T1w", "_seg-manual").voxels ==
          label(scratch / "b", "sub-01", "T1w", "_seg-manual").voxels);
  }
}

TEST_CASE("a phantom replaces a phantom and spares everything else", "[unit]") {
  const Scratch scratch;
  ivado::PhantomParams params = small(2);
  params.contrasts = {"T1w"};
  const std::string folder = scratch / "set";

  SECTION("an older one is replaced, whatever it held") {
    ivado::write_phantom(folder, params);
    params.subjects = 1;
    params.contrasts = {"T2star"};
    ivado::write_phantom(folder, params);
    const auto files = files_in(folder);
    CHECK(files.contains("sub-01/anat/sub-01_T2star.nii.gz"));
    CHECK_FALSE(files.contains("sub-01/anat/sub-01_T1w.nii.gz"));
    CHECK_FALSE(fs::exists(folder + "/sub-02"));
  }
  SECTION("an empty folder, and one with the rest of an attempt that was killed, are used") {
    fs::create_directories(folder + "/.ivado-phantom/sub-01");
    ivado::write_phantom(folder, params);
    CHECK_FALSE(fs::exists(folder + "/.ivado-phantom"));
    CHECK(fs::exists(folder + "/dataset_description.json"));
  }
  SECTION("a folder with other files is refused") {
    fs::create_directories(folder);
    std::ofstream(folder + "/thesis.txt") << "mine";
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params),
                      Catch::Contains("not empty") && Catch::Contains("another folder"));
    CHECK(files_in(folder) == std::set<std::string>{"thesis.txt"});
  }
  SECTION("another data set is refused") {
    fs::create_directories(folder);
    std::ofstream(folder + "/dataset_description.json") << R"({"Name": "real", "BIDSVersion": "1.8.0"})";
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params), Catch::Contains("holds no phantom"));
  }
  SECTION("a phantom to which somebody has added a file is refused") {
    ivado::write_phantom(folder, params);
    const auto before = files_in(folder);
    std::ofstream(folder + "/derivatives/labels/sub-01/anat/sub-01_T1w_seg-mine.nii.gz") << "mine";
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params), Catch::Contains("sub-01_T1w_seg-mine.nii.gz"));
    CHECK(files_in(folder).size() == before.size() + 1);
  }
  SECTION("a file in its place is refused") {
    std::ofstream(folder) << "mine";
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params), Catch::Contains("it is a file"));
  }
  SECTION("what fails on the way leaves nothing") {
    const auto stop = [](std::int64_t done, std::int64_t) {
      if (done == 2) throw std::runtime_error("stop");
    };
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params, stop), "stop");
    CHECK_FALSE(fs::exists(folder));
    ivado::write_phantom(folder, params);
    const auto before = files_in(folder);
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params, stop), "stop");
    CHECK(files_in(folder) == before);
  }
  SECTION("a place that cannot be written is an error of ivado's kind") {
    std::ofstream(scratch / "file") << "x";
    CHECK_THROWS_AS(ivado::write_phantom(scratch / "file/set", params), ivado::Error);
  }
}

TEST_CASE("wrong parameters of a phantom are refused by name", "[unit]") {
  const Scratch scratch;
  const std::string folder = scratch / "set";
  ivado::PhantomParams params;
  SECTION("no subject") {
    params.subjects = 0;
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params),
                      Catch::Contains("phantom.subjects") && Catch::Contains("[1, 9999]"));
  }
  SECTION("unknown contrast") {
    params.contrasts = {"T1w", "T2sta"};
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params),
                      Catch::Contains("\"T2sta\"") && Catch::Contains("did you mean \"T2star\""));
  }
  SECTION("a contrast twice") {
    params.contrasts = {"T1w", "T1w"};
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params), Catch::Contains("\"T1w\" is named twice"));
  }
  SECTION("no contrast") {
    params.contrasts = {};
    CHECK_THROWS_WITH(ivado::write_phantom(folder, params), Catch::Contains("no contrast is named"));
  }
  SECTION("no folder") { CHECK_THROWS_WITH(ivado::write_phantom("", params), Catch::Contains("no folder is named")); }
  CHECK_FALSE(fs::exists(folder));
}

TEST_CASE("the command ivado phantom", "[unit]") {
  const Scratch scratch;
  const std::string folder = scratch / "set";
  std::string said;

  SECTION("writes what its options say") {
    CHECK(run({folder, "--subjects", "1", "--contrasts", "T2w", "T2star", "--seed=3", "--field-mm", "36", "--length-mm",
               "12", "--lesions", "0"},
              said) == 0);
    CHECK_THAT(said, Catch::Contains("subjects 1, contrasts T2w T2star, seed 3"));
    ivado::PhantomParams params = small(1);
    params.seed = 3;
    params.length_mm = 12;
    params.lesions = 0;
    params.contrasts = {"T2w", "T2star"};
    ivado::write_phantom(scratch / "same", params);
    CHECK(files_in(folder) == files_in(scratch / "same"));
    CHECK(image(folder, "sub-01", "T2w").voxels == image(scratch / "same", "sub-01", "T2w").voxels);
  }
  SECTION("helps") {
    CHECK(run({"--help"}, said) == 0);
    for (const char* word : {"usage: ivado phantom OUT", "--subjects", "--contrasts", "--seed", "--field-mm",
                             "default 12", "T1w T2w T2star"})
      CHECK_THAT(said, Catch::Contains(word));
  }
  SECTION("says what is wrong, with status 2") {
    const std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> wrong{
        {{}, {"no folder is named"}},
        {{folder, "--subject", "3"}, {"there is no option --subject", "--subjects"}},
        {{folder, "--subjects"}, {"--subjects has no value"}},
        {{folder, "--subjects", "many"}, {"--subjects", "\"many\"", "no number"}},
        {{folder, "--subjects", "-1"}, {"subjects", "[1, 9999]"}},
        {{folder, "--subjects", "1.5"}, {"subjects", "whole number"}},
        {{folder, "--seed", "1", "--seed", "2"}, {"--seed is given twice"}},
        {{folder, "--contrasts", "T3w"}, {"\"T3w\"", "did you mean"}},
        {{folder, "other"}, {"\"other\" is one name too many"}},
    };
    for (const auto& [arguments, words] : wrong) {
      CHECK(run(arguments, said) == 2);
      for (const auto& word : words) CHECK_THAT(said, Catch::Contains(word));
      CHECK_FALSE(fs::exists(folder));
    }
  }
  SECTION("refuses a folder with other files, with status 2") {
    std::ofstream(scratch / "thesis.txt") << "mine";
    CHECK(run({scratch.path.string(), "--subjects", "1"}, said) == 2);
    CHECK_THAT(said, Catch::Contains("not empty"));
  }
  SECTION("a place that cannot be written is status 4") {
    std::ofstream(scratch / "file") << "x";
    CHECK(run({scratch / "file/set", "--subjects", "1"}, said) == 4);
  }
}
