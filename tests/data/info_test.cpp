// `ivado info`: what it prints, and that odd and broken files are read right or refused.
#include "ivado/data/info.hpp"

#include <chrono>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "ivado/config/json.hpp"
#include "nifti_bytes.hpp"
#include "raster_bytes.hpp"

using Catch::Matchers::Contains;
using ivado::Json;
using test::Nifti;

namespace {

struct Run {
  int status = 0;
  std::string out;
  std::string err;
};

Run info(const std::vector<std::string>& files, bool json) {
  std::ostringstream out;
  std::ostringstream err;
  const int status = ivado::run_info(files, json, out, err);
  return {status, out.str(), err.str()};
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

/// 24 voxels: 0, 1, 2, … of which some are not finite.
Nifti odd_floats() {
  Nifti file;
  file.datatype = 16;
  std::vector<float> values(24);
  for (std::size_t i = 0; i < 24; ++i) values[i] = static_cast<float>(i);
  values[0] = NAN;
  values[1] = NAN;
  values[22] = INFINITY;
  values[23] = -INFINITY;
  file.set_voxels(values);
  return file;
}

/// Compares a picture with what is known of it: size, type, and some pixels, each channel exactly.
void check_picture(const std::string& path, const Json& found, const Json& expected) {
  const ivado::Raster raster = ivado::read_raster(path);
  CHECK(found["shape"] == Json::array({expected["height"], expected["width"], raster.pages}));
  CHECK(raster.pages == (path.ends_with("three_pages.tif") ? 3 : 1));
  CHECK(found["type"] == expected["dtype"]);
  CHECK(found["channels"] == expected["channels"]);
  if (raster.pages == 1) {
    CHECK(found["channel_min"][0] == expected["min_first_channel"]);
    CHECK(found["channel_max"][0] == expected["max_first_channel"]);
  }
  for (const auto& pixel : expected["pixels"]) {
    const std::int64_t row = pixel["row_col"][0];
    const std::int64_t column = pixel["row_col"][1];
    CAPTURE(row, column);
    const Json values = pixel["value"].is_array() ? pixel["value"] : Json::array({pixel["value"]});
    REQUIRE(static_cast<int>(values.size()) == raster.channels);
    for (int c = 0; c < raster.channels; ++c)
      CHECK(raster.sample(0, row, column, c) == values[static_cast<std::size_t>(c)].get<double>());
  }
  const Json size{{"PixelSize", {1, 1}}, {"PixelSizeUnits", "um"}};
  const ivado::Volume volume = ivado::to_volume(raster, size);
  if (expected.value("colour_channels_equal", false))
    for (const auto& pixel : expected["pixels"])
      CHECK(volume.view()(pixel["row_col"][0].get<int>(), pixel["row_col"][1].get<int>(), 0) ==
            pixel["value"][0].get<float>());
  if (expected.contains("grey"))
    for (const auto& pixel : expected["grey"]["pixels"])
      CHECK(volume.view()(pixel["row_col"][0].get<int>(), pixel["row_col"][1].get<int>(), 0) ==
            Approx(pixel["value"].get<double>()).margin(1));
}

std::string lower(const std::string& text) { return ivado::detail::lower_case(text); }

}  // namespace

TEST_CASE("info as JSON has its keys in their order, one object a line") {
  const test::Folder folder;
  test::write_bytes(folder / "a.nii", odd_floats().bytes());
  test::write_bytes(folder / "b.nii.gz", test::gzip(odd_floats().bytes()));
  const Run run = info({folder / "a.nii", folder / "b.nii.gz"}, true);
  CHECK(run.status == 0);
  CHECK(run.err.empty());
  const auto all = lines(run.out);
  REQUIRE(all.size() == 2);
  const Json a = Json::parse(all[0]);
  std::vector<std::string> keys;
  for (const auto& item : a.items()) keys.push_back(item.key());
  CHECK(keys == std::vector<std::string>{"file", "shape", "spacing_mm", "axcodes", "affine", "type", "min", "max",
                                         "mean", "nan", "inf"});
  CHECK(a["file"] == folder / "a.nii");
  CHECK(a["shape"] == Json::parse("[2, 3, 4]"));
  CHECK(a["spacing_mm"] == Json::parse("[2.0, 1.5, 3.0]"));
  CHECK(a["axcodes"] == "RAS");
  CHECK(a["affine"] == Json::parse("[[2.0,0.0,0.0,-13.0],[0.0,1.5,0.0,-20.0],[0.0,0.0,3.0,7.0],[0.0,0.0,0.0,1.0]]"));
  CHECK(a["type"] == "float32");
  CHECK(a["min"] == 2.0);
  CHECK(a["max"] == 21.0);
  CHECK(a["mean"] == 11.5);
  CHECK(a["nan"] == 2);
  CHECK(a["inf"] == 2);
  Json b = Json::parse(all[1]);
  b["file"] = a["file"];
  CHECK(a == b);
}

TEST_CASE("info counts scaled values over all volumes") {
  Nifti file;
  file.dim = {4, 2, 3, 2, 2, 1, 1, 1};
  file.slope = 0.5;
  file.inter = -10;
  std::vector<std::int16_t> values(24, 4);
  values[0] = -100;
  values[23] = 1000;
  file.set_voxels(values);
  const test::Folder folder;
  test::write_bytes(folder / "a.nii", file.bytes());
  const ivado::ImageInfo found = ivado::read_image_info(folder / "a.nii");
  CHECK(found.min == -60);
  CHECK(found.max == 490);
  CHECK(found.mean == Approx((22 * -8.0 - 60 + 490) / 24));
  CHECK(ivado::to_json(found)["shape"] == Json::parse("[2, 3, 2, 2]"));
}

TEST_CASE("info reads images longer than its buffer") {
  Nifti file;
  const std::int64_t n = GENERATE(65535, 65536, 65537, 200003);
  file.version = 2;
  file.dim = {3, n, 1, 1, 1, 1, 1, 1};
  file.datatype = 2;
  std::vector<std::uint8_t> values(static_cast<std::size_t>(n), 3);
  values.back() = 200;
  file.set_voxels(values);
  const test::Folder folder;
  test::write_bytes(folder / "a.nii.gz", test::gzip(file.bytes()));
  const ivado::ImageInfo found = ivado::read_image_info(folder / "a.nii.gz");
  CHECK(found.min == 3);
  CHECK(found.max == 200);
  CHECK(found.mean == Approx(3 + 197.0 / static_cast<double>(n)));
}

TEST_CASE("info of an image without a finite voxel has no range") {
  Nifti file;
  file.datatype = 64;
  file.set_voxels(std::vector<double>(24, NAN));
  const test::Folder folder;
  test::write_bytes(folder / "a.nii", file.bytes());
  const Run run = info({folder / "a.nii"}, true);
  const Json found = Json::parse(run.out);
  CHECK(found["min"].is_null());
  CHECK(found["max"].is_null());
  CHECK(found["mean"].is_null());
  CHECK(found["nan"] == 24);
  CHECK_THAT(info({folder / "a.nii"}, false).out, Contains("none is finite"));
}

TEST_CASE("info for people") {
  const test::Folder folder;
  Nifti file = odd_floats();
  file.slope = 2;
  file.sform = 0;
  test::write_bytes(folder / "a.nii", file.bytes());
  const Run run = info({folder / "a.nii"}, false);
  CHECK(run.status == 0);
  for (const std::string words : {"a.nii", "2x3x4", "2 x 1.5 x 3 mm", "RAS", "float32, scaled by 2 and shifted by 0",
                                  "4 to 42, mean 23", "NaN 2, infinite 2"})
    CHECK_THAT(run.out, Contains(words));
  CHECK_THAT(run.err, Contains("warning") && Contains("a.nii") && Contains("orientation is unknown"));
}

TEST_CASE("info goes on after a file that cannot be used") {
  const test::Folder folder;
  test::write_bytes(folder / "bad.nii", "");
  test::write_bytes(folder / "good.nii", Nifti{}.bytes());
  const bool json = GENERATE(false, true);
  const Run run = info({folder / "absent.nii", folder / "bad.nii", folder / "good.nii"}, json);
  CHECK(run.status == 3);
  CHECK_THAT(run.err, Contains("absent.nii: the file does not exist"));
  CHECK_THAT(run.err, Contains("bad.nii") && Contains("empty"));
  CHECK_THAT(run.out, Contains("good.nii"));
  if (json) CHECK(lines(run.out).size() == 1);
  CHECK(info({}, json).status == 0);
}

TEST_CASE("info of a picture tells channels, bits and the pixel size of its sidecar") {
  const test::Folder folder;
  test::Png png;
  png.colour_type = 4;
  png.bits = 16;
  png.samples = {1, 65535, 2, 65535, 3, 65535, 4, 65535, 5, 65535, 600, 65535};
  test::write_bytes(folder / "a.png", png.bytes());
  Run run = info({folder / "a.png"}, true);
  CHECK(run.status == 0);
  CHECK_THAT(run.err, Contains("warning: ") && Contains("no PixelSize") && Contains("a.png"));
  Json found = Json::parse(run.out);
  std::vector<std::string> keys;
  for (const auto& item : found.items()) keys.push_back(item.key());
  CHECK(keys == std::vector<std::string>{"file", "shape", "spacing_mm", "axcodes", "affine", "type", "min", "max",
                                         "mean", "nan", "inf", "bits", "channels", "channel_min", "channel_max"});
  CHECK(found["shape"] == Json::parse("[2, 3, 1]"));
  CHECK(found["spacing_mm"].is_null());
  CHECK(found["axcodes"].is_null());
  CHECK(found["affine"].is_null());
  CHECK(found["type"] == "uint16");
  CHECK(found["min"] == 1);
  CHECK(found["max"] == 600);
  CHECK(found["mean"] == 102.5);
  CHECK(found["bits"] == 16);
  CHECK(found["channels"] == 2);
  CHECK(found["channel_min"] == Json::parse("[1.0, 65535.0]"));
  CHECK(found["channel_max"] == Json::parse("[600.0, 65535.0]"));
  CHECK_THAT(info({folder / "a.png"}, false).out,
             Contains("spacing  not known") && Contains("16 bits, grey and alpha"));

  test::write_bytes(folder / "a.json", R"({"PixelSize": [0.25, 0.5], "PixelSizeUnits": "um"})");
  run = info({folder / "a.png"}, true);
  CHECK(run.err.empty());
  found = Json::parse(run.out);
  CHECK(found["spacing_mm"] == Json::parse("[0.0005, 0.00025, 0.00025]"));
  CHECK(found["axcodes"] == "RAS");
  CHECK(found["affine"][0][0] == 0.0005);
  CHECK_THAT(info({folder / "a.png"}, false).out, Contains("0.0005 x 0.00025 x 0.00025 mm"));
}

TEST_CASE("info of the odd and broken files") {
  const auto data = test::data_folder();
  if (data.empty()) {
    WARN("skipped: the data are not here");
    return;
  }
  const auto folder = data / "formats";
  const Json cases = ivado::read_json((folder / "expected.json").string())["cases"];
  REQUIRE(!cases.empty());
  int read = 0;
  int refused = 0;
  for (const auto& one : cases) {
    const std::string file = one["file"];
    const std::string path = (folder / file).string();
    const std::string outcome = one["outcome"];
    CAPTURE(file, outcome);
    const bool picture = ivado::is_raster(file);
    const bool nifti = ivado::detail::ends_with_any(file, {".nii", ".nii.gz", ".hdr", ".mgz"});
    const auto begin = std::chrono::steady_clock::now();
    const Run run = info({path}, true);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    CHECK(seconds < 1);
    if (run.status == 0) {
      ++read;
      CHECK((nifti || picture));
      CHECK(outcome != "refuse");
      const Json found = Json::parse(run.out);
      REQUIRE(one.contains("expected"));
      const Json expected = one["expected"];
      CHECK(found["file"] == path);
      if (picture) {
        check_picture(path, found, expected);
        continue;
      }
      CHECK(found["shape"] == expected["shape"]);
      CHECK(found["type"] == expected["dtype_on_disk"]);
      for (std::size_t a = 0; a < 3; ++a)
        CHECK(found["spacing_mm"][a].get<double>() == Approx(expected["zooms"][a].get<double>()).epsilon(1e-5));
      // Computed by NumPy, in float32 or float64 as the file: 1e-6 covers the former.
      CHECK(found["min"].get<double>() == Approx(expected["min"].get<double>()).epsilon(1e-6));
      CHECK(found["max"].get<double>() == Approx(expected["max"].get<double>()).epsilon(1e-6));
      CHECK(found["mean"].get<double>() == Approx(expected["mean"].get<double>()).epsilon(1e-6));
      CHECK(found["nan"] == expected["nan"]);
      CHECK(found["inf"].get<int>() == expected["posinf"].get<int>() + expected["neginf"].get<int>());
      if (expected.contains("affine"))
        for (std::size_t row = 0; row < 4; ++row)
          for (std::size_t column = 0; column < 4; ++column)
            CHECK(found["affine"][row][column].get<double>() ==
                  Approx(expected["affine"][row][column].get<double>()).margin(1e-5));
      if (expected.contains("axcodes")) CHECK(found["axcodes"] == expected["axcodes"]);
    } else {
      ++refused;
      CHECK(run.status == 3);
      CHECK(run.out.empty());
      CHECK_THAT(run.err, Contains(path));
      if (!nifti && !picture) {
        CHECK_THAT(run.err, Contains("load it with Hdf5Loader") || Contains("empty"));
        continue;
      }
      CHECK(outcome != "read");
      bool hinted = !one.contains("message_hints");
      if (!hinted)
        for (const std::string hint : one["message_hints"]) {
          const std::string message = lower(run.err.substr(run.err.find(path) + path.size()));
          hinted = hinted || message.find(lower(hint)) != std::string::npos;
        }
      CAPTURE(run.err);
      CHECK(hinted);
    }
  }
  CHECK(read >= 50);
  CHECK(refused >= 20);
}
