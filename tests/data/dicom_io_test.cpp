// DICOM series: values in Hounsfield units, geometry from the positions, series that do not make a volume.
#include "ivado/data/dicom_io.hpp"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "nifti_bytes.hpp"

using Catch::Matchers::Contains;
using ivado::DicomOptions;
using ivado::list_dicom_series;
using ivado::read_dicom_series;
using ivado::ReadReport;
using ivado::Shape;
using ivado::Volume;

namespace {

/// A CT slice made byte by byte: explicit value representations, little endian (DICOM PS3.5).
struct Dicom {
  std::string series = "1.2.3";
  std::string description = "abdomen";
  int number = 1;
  int columns = 4;
  int rows = 3;
  std::string position = "10\\20\\30";
  std::string orientation = "1\\0\\0\\0\\1\\0";
  std::string spacing = "2\\0.5";  ///< between rows, between columns
  std::string slope = "1";
  std::string intercept = "-1024";
  std::string photometric = "MONOCHROME2";
  bool has_pixels = true;
  std::vector<std::uint16_t> pixels;

  [[nodiscard]] static std::string little(std::uint64_t value, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
    return out;
  }
  [[nodiscard]] static std::string element(std::uint32_t group, std::uint32_t number, const std::string& vr,
                                           std::string value) {
    if (value.size() % 2 == 1) value += vr == "UI" ? '\0' : ' ';
    const bool is_long = vr == "OB" || vr == "OW";
    return little(group, 2) + little(number, 2) + vr + (is_long ? little(0, 2) : "") +
           little(value.size(), is_long ? 4 : 2) + value;
  }
  [[nodiscard]] std::string bytes() const {
    const std::string kind = "1.2.840.10008.5.1.4.1.1.2";  // CT image
    const std::string own = series + "." + std::to_string(number);
    const std::string meta = element(2, 1, "OB", std::string("\0\1", 2)) + element(2, 2, "UI", kind) +
                             element(2, 3, "UI", own) + element(2, 0x10, "UI", "1.2.840.10008.1.2.1") +
                             element(2, 0x12, "UI", "1.2.3.4");
    std::string out = std::string(128, '\0') + "DICM" + element(2, 0, "UL", little(meta.size(), 4)) + meta;
    out += element(8, 0x16, "UI", kind) + element(8, 0x18, "UI", own) + element(8, 0x60, "CS", "CT") +
           element(8, 0x103e, "LO", description);
    out += element(0x20, 0xd, "UI", "1.2") + element(0x20, 0xe, "UI", series) +
           element(0x20, 0x13, "IS", std::to_string(number));
    if (!position.empty()) out += element(0x20, 0x32, "DS", position);
    out += element(0x20, 0x37, "DS", orientation);
    out += element(0x28, 2, "US", little(1, 2)) + element(0x28, 4, "CS", photometric) +
           element(0x28, 0x10, "US", little(static_cast<std::uint64_t>(rows), 2)) +
           element(0x28, 0x11, "US", little(static_cast<std::uint64_t>(columns), 2));
    if (!spacing.empty()) out += element(0x28, 0x30, "DS", spacing);
    out += element(0x28, 0x100, "US", little(16, 2)) + element(0x28, 0x101, "US", little(16, 2)) +
           element(0x28, 0x102, "US", little(15, 2)) + element(0x28, 0x103, "US", little(0, 2)) +
           element(0x28, 0x1052, "DS", intercept) + element(0x28, 0x1053, "DS", slope);
    if (!has_pixels) return out;
    std::string voxels;
    for (int i = 0; i < rows * columns; ++i)
      voxels += little(
          pixels.empty() ? static_cast<std::uint64_t>(100 * number + i) : pixels[static_cast<std::size_t>(i)], 2);
    return out + element(0x7fe0, 0x10, "OW", voxels);
  }
};

/// Five slices 2.5 mm apart, written in an order that is neither that of the names nor that of the positions.
void write_series(const test::Folder& folder, const std::function<void(int, Dicom&)>& change = {}) {
  for (const int k : {3, 0, 4, 1, 2}) {
    Dicom slice;
    slice.number = k + 1;
    slice.position = "10\\20\\" + std::to_string(30 + 2.5 * k);
    if (change) change(k, slice);
    test::write_bytes(folder / ("image" + std::to_string((k * 3) % 5) + (k % 2 == 0 ? ".dcm" : "")), slice.bytes());
  }
}

}  // namespace

TEST_CASE("a series is a volume in Hounsfield units, by position whatever the names") {
  const test::Folder folder;
  write_series(folder);
  ReadReport report;
  const Volume volume = read_dicom_series(folder.path().string(), {}, &report);
  CHECK(report.warnings.empty());
  REQUIRE(volume.geometry.shape == Shape{4, 3, 5});
  for (int k = 0; k < 5; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 4; ++i) CHECK(volume.view()(i, j, k) == static_cast<float>(100 * (k + 1) + 4 * j + i - 1024));
  // LPS to RAS: x and y change their signs.
  Eigen::Matrix4d expected = Eigen::Matrix4d::Identity();
  expected.diagonal() << -0.5, -2, 2.5, 1;
  expected.col(3) << -10, -20, 30, 1;
  CHECK((volume.geometry.affine - expected).norm() < 1e-9);
  CHECK(ivado::axis_codes(volume.geometry.affine) == "LPS");
}

TEST_CASE("rescaling belongs to each slice, and fractions are kept") {
  const test::Folder folder;
  write_series(folder, [](int k, Dicom& slice) {
    slice.slope = k == 2 ? "0.5" : "2";
    slice.intercept = "-10";
  });
  const Volume volume = read_dicom_series(folder.path().string());
  CHECK(volume.view()(1, 0, 0) == 101 * 2 - 10);
  CHECK(volume.view()(1, 0, 2) == 301 * 0.5F - 10);
}

TEST_CASE("a sagittal series, and one from head to feet") {
  const test::Folder folder;
  write_series(folder, [](int k, Dicom& slice) {
    slice.orientation = "0\\1\\0\\0\\0\\-1";
    slice.position = std::to_string(40 - 3 * k) + "\\5\\6";
  });
  const Volume volume = read_dicom_series(folder.path().string());
  // The normal of (0, 1, 0) and (0, 0, -1) is (-1, 0, 0) in LPS: slices go to the patient's right.
  CHECK(ivado::axis_codes(volume.geometry.affine) == "PIR");
  CHECK(volume.geometry.spacing_mm()[2] == Approx(3));
  CHECK(volume.view()(0, 0, 0) == 100 - 1024);
  Eigen::Vector4d corner(0, 0, 0, 1);
  CHECK((volume.geometry.affine * corner - Eigen::Vector4d(-40, -5, 6, 1)).norm() < 1e-9);

  const test::Folder other;
  write_series(other, [](int k, Dicom& slice) { slice.position = "0\\0\\" + std::to_string(-2 * k); });
  const Volume turned = read_dicom_series(other.path().string());
  CHECK(turned.view()(0, 0, 0) == 500 - 1024);
  CHECK(turned.geometry.affine(2, 3) == Approx(-8));
  CHECK(turned.geometry.affine(2, 2) == Approx(2));
}

TEST_CASE("a tilted gantry gives a sheared affine, which can be refused") {
  const test::Folder folder;
  write_series(folder, [](int k, Dicom& slice) {
    slice.position = "0\\" + std::to_string(0.4 * k) + "\\" + std::to_string(2 * k);
  });
  const Volume volume = read_dicom_series(folder.path().string());
  CHECK(volume.geometry.affine(1, 2) == Approx(-0.4));
  CHECK(volume.geometry.affine(2, 2) == Approx(2));
  DicomOptions options;
  options.read.directions = ivado::Directions::refuse;
  CHECK_THROWS_WITH(read_dicom_series(folder.path().string(), options), Contains("right angles"));
}

TEST_CASE("slices that do not make an even row are refused") {
  const auto fails = [](const std::function<void(int, Dicom&)>& change, const std::string& words) {
    const test::Folder folder;
    write_series(folder, change);
    CAPTURE(words);
    CHECK_THROWS_WITH(read_dicom_series(folder.path().string()), Contains(folder.path().string()) && Contains(words));
  };
  fails(
      [](int k, Dicom& slice) {
        if (k == 4) slice.position = "10\\20\\42.5";
      },
      "not evenly spaced");
  fails(
      [](int k, Dicom& slice) {
        if (k == 2) slice.position = "10\\20.3\\35";
      },
      "not evenly spaced");
  fails(
      [](int k, Dicom& slice) {
        if (k == 2) slice.position = "10\\20\\32.5";
      },
      "lie at one place");
  fails([](int, Dicom& slice) { slice.position.clear(); }, "lie at one place");
  fails(
      [](int k, Dicom& slice) {
        if (k == 2) slice.columns = 5;
      },
      "pixels");
  fails(
      [](int k, Dicom& slice) {
        if (k == 2) slice.spacing = "2\\0.6";
      },
      "pixel spacing or orientation");
  fails(
      [](int k, Dicom& slice) {
        if (k == 2) slice.orientation = "1\\0\\0\\0\\0\\-1";
      },
      "pixel spacing or orientation");
  fails([](int, Dicom& slice) { slice.spacing.clear(); }, "Pixel Spacing");
  fails(
      [](int k, Dicom& slice) {
        if (k == 2) slice.has_pixels = false;
      },
      "image");
}

TEST_CASE("several series must be told apart") {
  const test::Folder folder;
  write_series(folder);
  Dicom other;
  other.series = "1.2.9";
  other.description = "localizer";
  test::write_bytes(folder / "other.dcm", other.bytes());
  const auto all = list_dicom_series(folder.path().string());
  REQUIRE(all.size() == 2);
  CHECK(all[0].uid == "1.2.3");
  CHECK(all[0].modality == "CT");
  CHECK(all[0].description == "abdomen");
  CHECK(all[0].files.size() == 5);
  CHECK_THROWS_WITH(read_dicom_series(folder.path().string()),
                    Contains("several series") && Contains("1.2.3 (CT abdomen, 5 files)") && Contains("1.2.9"));
  CHECK_THROWS_WITH(read_dicom_series(folder.path().string(), {.series = "7"}), Contains("no series 7"));
  CHECK(read_dicom_series(folder.path().string(), {.series = "1.2.3"}).geometry.shape == Shape{4, 3, 5});
  // One slice is a volume of one slice.
  CHECK(read_dicom_series(folder.path().string(), {.series = "1.2.9"}).geometry.shape == Shape{4, 3, 1});
}

TEST_CASE("other files of a folder do not count, broken ones are an error") {
  const test::Folder folder;
  CHECK_THROWS_WITH(read_dicom_series(folder / "none"), Contains("does not exist"));
  CHECK_THROWS_WITH(read_dicom_series(folder.path().string()), Contains("no DICOM image"));
  test::write_bytes(folder / "notes.txt", "slices of a phantom");
  CHECK_THROWS_WITH(read_dicom_series(folder / "notes.txt"), Contains("no folder"));
  CHECK_THROWS_WITH(read_dicom_series(folder.path().string()), Contains("no DICOM image"));
  test::write_bytes(folder / "empty.dcm", "");
  write_series(folder, [](int, Dicom& slice) { slice.photometric = "MONOCHROME1"; });
  ReadReport report;
  const Volume turned = read_dicom_series(folder.path().string(), {}, &report);
  CHECK(turned.geometry.shape == Shape{4, 3, 5});
  CHECK(turned.view()(1, 0, 0) == 65535 - 101 - 1024);  // in 16 bits
  REQUIRE(report.warnings.size() == 2);
  CHECK_THAT(report.warnings[0], Contains("do not count: 2") && Contains("empty.dcm"));
  CHECK_THAT(report.warnings[1], Contains("MONOCHROME1"));
  const std::string whole = Dicom{}.bytes();
  for (std::size_t length = 140; length < whole.size(); length += 31) {
    CAPTURE(length);
    test::write_bytes(folder / "image1.dcm", whole.substr(0, length));
    CHECK_THROWS_AS(read_dicom_series(folder.path().string()), ivado::Error);
  }
}

TEST_CASE("changed bytes of DICOM are read or refused") {
  const test::Folder folder;
  const std::string whole = Dicom{}.bytes();
  std::uint32_t state = 4711;
  const auto draw = [&](std::size_t below) {
    state = state * 1664525U + 1013904223U;
    return static_cast<std::size_t>(state >> 8) % below;
  };
  int refused = 0;
  for (int round = 0; round < 40; ++round) {
    std::string changed = whole;
    for (int n = 0; n < 2; ++n) changed[132 + draw(changed.size() - 132)] = static_cast<char>(draw(256));
    test::write_bytes(folder / "a.dcm", changed);
    try {
      const Volume volume = read_dicom_series(folder.path().string());
      CHECK(volume.voxels.size() > 0);
    } catch (const ivado::Error& fault) {
      CHECK_THAT(fault.what(), Contains(folder.path().string()));
      ++refused;
    }
  }
  CHECK(refused > 5);
}

TEST_CASE("the command writes NIfTI") {
  const test::Folder folder;
  std::filesystem::create_directory(folder / "series");
  for (const int k : {0, 1}) {
    Dicom slice;
    slice.number = k + 1;
    slice.position = "0\\0\\" + std::to_string(k);
    test::write_bytes(folder / ("series/" + std::to_string(k)), slice.bytes());
  }
  std::ostringstream out;
  std::ostringstream err;
  const std::vector<std::string> arguments{folder / "series", folder / "ct.nii.gz"};
  CHECK(ivado::run_dicom(arguments, out, err) == 0);
  CHECK_THAT(out.str(), Contains("4x3x2 voxels of 0.5×2×1 mm"));
  const Volume written = ivado::read_volume(folder / "ct.nii.gz");
  CHECK(written.view()(3, 2, 1) == 211 - 1024);
  CHECK(ivado::axis_codes(written.geometry.affine) == "LPS");
  CHECK_THROWS_WITH(ivado::run_dicom(std::vector<std::string>{"a"}, out, err), Contains("usage: ivado dicom"));
  CHECK_THROWS_WITH(ivado::run_dicom(std::vector<std::string>{"a", "b", "--fast"}, out, err), Contains("--fast"));
}
