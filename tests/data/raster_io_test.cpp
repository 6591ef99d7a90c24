// PNG, TIFF and JPEG: exact samples of every depth, grey, pixel sizes, labels, ivadomed's 8 bits, broken files.
#include "ivado/data/raster_io.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "../catch.hpp"
#include "ivado/config/json.hpp"
#include "nifti_bytes.hpp"
#include "raster_bytes.hpp"

using Catch::Matchers::Contains;
using ivado::Array;
using ivado::Json;
using ivado::Kind;
using ivado::Raster;
using ivado::read_raster;
using ivado::Shape;
using ivado::to_volume;
using ivado::Volume;
using test::Png;
using test::TiffPart;

namespace {

Json um(double x = 0.1, double y = 0.1) { return {{"PixelSize", {x, y}}, {"PixelSizeUnits", "um"}}; }

/// Numbers up to `largest`, that largest one and 0 among them.
std::vector<std::uint32_t> numbers(std::size_t count, std::uint32_t largest) {
  std::vector<std::uint32_t> out(count);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = i == 0   ? 0
             : i == 1 ? largest
                      : static_cast<std::uint32_t>((i * 2654435761U) % (std::uint64_t{largest} + 1));
  return out;
}

/// All samples in the order of the file.
std::vector<double> samples(const Raster& raster) {
  std::vector<double> out;
  for (std::int64_t p = 0; p < raster.pages; ++p)
    for (std::int64_t r = 0; r < raster.rows; ++r)
      for (std::int64_t c = 0; c < raster.columns; ++c)
        for (int k = 0; k < raster.channels; ++k) out.push_back(raster.sample(p, r, c, k));
  return out;
}

std::vector<double> as_double(const std::vector<std::uint32_t>& values) { return {values.begin(), values.end()}; }

/// Writes and reads.
Raster through(const std::string& name, const std::string& bytes) {
  const test::Folder folder;
  test::write_bytes(folder / name, bytes);
  return read_raster(folder / name);
}

/// A grey picture of 8 bits in memory.
Raster grey_8(std::int64_t rows, std::int64_t columns, const std::vector<std::uint8_t>& values) {
  Raster raster;
  raster.path = "made.png";
  raster.type = "uint8";
  raster.rows = rows;
  raster.columns = columns;
  raster.bytes = Array<std::uint8_t>(Shape{1, rows, columns, 1, 1});
  std::copy(values.begin(), values.end(), raster.bytes.begin());
  return raster;
}

}  // namespace

TEST_CASE("PNG samples are exact in every depth and colour type") {
  Png png;
  png.width = 13;
  png.height = 7;
  struct Colours {
    int type;
    std::size_t channels;
    std::vector<int> depths;
  };
  for (const auto& kind :
       {Colours{0, 1, {1, 2, 4, 8, 16}}, Colours{2, 3, {8, 16}}, Colours{4, 2, {8, 16}}, Colours{6, 4, {8, 16}}})
    for (const int bits : kind.depths) {
      CAPTURE(kind.type, bits);
      png.colour_type = kind.type;
      png.bits = bits;
      png.samples = numbers(13 * 7 * kind.channels, (1U << bits) - 1);
      const Raster read = through("a.PNG", png.bytes());
      CHECK(read.format == "PNG");
      CHECK(read.rows == 7);
      CHECK(read.columns == 13);
      CHECK(read.pages == 1);
      CHECK(read.channels == static_cast<int>(kind.channels));
      CHECK(read.bits == bits);
      CHECK(read.type == (bits == 16 ? "uint16" : "uint8"));
      CHECK(read.full_scale() == (bits == 16 ? 65535 : 255));
      auto expected = as_double(png.samples);
      if (bits < 8)
        for (double& value : expected) value *= 255 / ((1 << bits) - 1);
      CHECK(samples(read) == expected);
      CHECK(read.warnings.empty());
    }
}

TEST_CASE("a palette gives its colours, not the indices") {
  Png png;
  png.colour_type = 3;
  png.bits = 2;
  png.samples = {0, 1, 2, 2, 1, 0};
  png.palette = std::string("\x01\x02\x03\x0a\x14\x1e\xff\x80\x00", 9);
  const Raster read = through("a.png", png.bytes());
  CHECK(read.channels == 3);
  CHECK(read.bits == 8);
  CHECK(samples(read) == std::vector<double>{1, 2, 3, 10, 20, 30, 255, 128, 0, 255, 128, 0, 10, 20, 30, 1, 2, 3});

  TiffPart page;
  page.photometric = 3;
  page.bits = 4;
  page.palette.resize(48, 0);
  page.palette[1] = 10 << 8, page.palette[17] = 20 << 8, page.palette[33] = 30 << 8;
  page.palette[2] = 65535;
  page.data = {test::pack({0, 1, 2, 2, 1, 0}, 3, 4, false)};
  const std::vector<double> colours{0, 0, 0, 10, 20, 30, 255, 0, 0, 255, 0, 0, 10, 20, 30, 0, 0, 0};
  CHECK(samples(through("a.tif", test::tiff({page}))) == colours);
  // Colours in 8 bits, as some writers give them.
  for (auto& value : page.palette) value = static_cast<std::uint16_t>(value >> 8);
  CHECK(samples(through("a.tif", test::tiff({page}))) == colours);
}

TEST_CASE("TIFF samples are exact: depths, byte orders, planes, tiles, white 0") {
  const bool big_endian = GENERATE(false, true);
  const int bits = GENERATE(1, 2, 4, 8, 10, 12, 16, 32);
  const int channels = GENERATE(1, 2, 3, 4);
  CAPTURE(big_endian, bits, channels);
  const std::uint32_t largest = bits == 32 ? 0xffffffffU : (1U << bits) - 1U;
  const auto factor = bits < 8 ? 255 / largest : 1;
  TiffPart page;
  page.width = 19;
  page.height = 18;
  page.bits = bits;
  page.samples = channels;
  page.photometric = channels < 3 ? 1 : 2;
  const auto values = numbers(19U * 18U * static_cast<std::size_t>(channels), largest);
  auto expected = as_double(values);
  for (double& value : expected) value *= factor;
  const auto packed = [&](const std::vector<std::uint32_t>& some, std::size_t in_row) {
    return test::pack(some, in_row, bits, big_endian);
  };
  const auto check = [&](const std::vector<double>& wanted) {
    const Raster read = through("a.tiff", test::tiff({page}, big_endian));
    CHECK(read.channels == channels);
    CHECK(read.bits == bits);
    CHECK(read.type == (bits <= 8 ? "uint8" : bits <= 16 ? "uint16" : "uint32"));
    CHECK(read.full_scale() == (bits < 8 ? 255.0 : static_cast<double>(largest)));
    CHECK(samples(read) == wanted);
  };
  page.data = {packed(values, 19U * static_cast<std::size_t>(channels))};
  check(expected);

  if (channels < 3) {  // 0 is white; alpha is as it is
    page.photometric = 0;
    auto inverted = expected;
    const double full = bits < 8 ? 255 : largest;
    for (std::size_t i = 0; i < inverted.size(); i += static_cast<std::size_t>(channels))
      inverted[i] = full - inverted[i];
    check(inverted);
    page.photometric = 1;
  }
  // Planes one behind the other.
  page.planes = 2;
  page.data.clear();
  for (int c = 0; c < channels; ++c) {
    std::vector<std::uint32_t> plane;
    for (std::size_t i = static_cast<std::size_t>(c); i < values.size(); i += static_cast<std::size_t>(channels))
      plane.push_back(values[i]);
    page.data.push_back(packed(plane, 19));
  }
  check(expected);
  // Tiles of 16 x 16, four of them, which reach beyond the picture.
  page.planes = 1;
  page.tile = 16;
  page.data.clear();
  for (std::size_t top = 0; top < 18; top += 16)
    for (std::size_t left = 0; left < 19; left += 16) {
      std::vector<std::uint32_t> tile;
      for (std::size_t r = top; r < top + 16; ++r)
        for (std::size_t c = left; c < left + 16; ++c)
          for (std::size_t k = 0; k < static_cast<std::size_t>(channels); ++k)
            tile.push_back(r < 18 && c < 19 ? values[(r * 19 + c) * static_cast<std::size_t>(channels) + k] : 0);
      page.data.push_back(packed(tile, 16U * static_cast<std::size_t>(channels)));
    }
  check(expected);
}

TEST_CASE("TIFF with floating and signed numbers") {
  TiffPart page;
  page.width = 2;
  page.height = 1;
  page.bits = 32;
  page.format = 3;
  const std::vector<float> values{-1.5F, 3e20F};
  page.data = {std::string(reinterpret_cast<const char*>(values.data()), 8)};
  Raster read = through("a.tif", test::tiff({page}));
  CHECK(read.type == "float32");
  CHECK(read.full_scale() == 1);
  CHECK(samples(read) == std::vector<double>{-1.5, static_cast<double>(3e20F)});
  page.bits = 16;
  page.format = 2;
  page.data = {test::number(0xfffe, 2, false) + test::number(7, 2, false)};
  read = through("a.tif", test::tiff({page}));
  CHECK(read.type == "int16");
  CHECK(samples(read) == std::vector<double>{-2, 7});
}

TEST_CASE("compressed TIFF is read like the plain one") {
  const std::uint32_t width = 67;
  const std::uint32_t height = 41;
  const int channels = GENERATE(1, 3);
  std::vector<std::uint8_t> pixels(std::size_t{width} * height * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::uint8_t>(i / static_cast<std::size_t>(channels) % width * 2 + i / 3000);
  const test::Folder folder;
  for (const int compression : {COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS, COMPRESSION_JPEG}) {
    CAPTURE(compression, channels);
    const std::string path = folder / "a.tif";
    test::write_compressed_tiff(path, width, height, channels, compression, pixels);
    const Raster read = read_raster(path);
    CHECK(read.channels == channels);
    // JPEG is lossy, at libtiff's quality of 75 by a few grey values here.
    const int allowed = compression == COMPRESSION_JPEG ? 12 : 0;
    int worst = 0;
    for (std::size_t i = 0; i < pixels.size(); ++i)
      worst = std::max(worst, std::abs(int{read.bytes[static_cast<std::int64_t>(i)]} - int{pixels[i]}));
    CHECK(worst <= allowed);
  }
}

TEST_CASE("pages that are alike are slices, others are left out, channels and times are refused") {
  TiffPart page;
  page.data = {"\1\2\3\4\5\6"};
  TiffPart second = page;
  second.data = {"\7\7\7\7\7\7"};
  TiffPart thumbnail = page;
  thumbnail.reduced = true;
  TiffPart other = page;
  other.width = 2;
  other.data = {"\1\1\1\1"};
  Raster read = through("a.tif", test::tiff({page, thumbnail, second, other}));
  CHECK(read.pages == 2);
  CHECK(samples(read) == std::vector<double>{1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7});
  REQUIRE(read.warnings.size() == 2);
  CHECK_THAT(read.warnings[0], Contains("left out") && Contains("2"));
  CHECK_THAT(read.warnings[1], Contains("2 pages are read as slices"));
  Json size = um(0.2, 0.3);
  std::vector<std::string> warnings;
  Volume volume = to_volume(read, size, {}, &warnings);
  CHECK(volume.geometry.shape == Shape{2, 3, 2});
  CHECK(volume.view()(1, 2, 0) == 6);
  CHECK(volume.view()(0, 1, 1) == 7);
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Contains("how far apart its slices are"));
  size["PixelSize"].push_back(5);
  warnings.clear();
  volume = to_volume(read, size, {}, &warnings);
  CHECK(warnings.empty());
  CHECK(volume.geometry.spacing_mm()[2] == Approx(0.005));

  for (const auto* words : {"ImageJ=1.53\nimages=2\nchannels=2\n", "ImageJ=1.53\nframes=2\n",
                            "<OME><Pixels SizeC=\"2\" SizeZ=\"1\"/></OME>", "<OME><Pixels SizeT=\"2\"/></OME>"}) {
    page.description = words;
    CHECK_THROWS_WITH(through("a.ome.tif", test::tiff({page, second})),
                      Contains("a.ome.tif") && Contains("2 pages are 2 ") && Contains("split it"));
  }
  page.description = "<OME><Pixels SizeC=\"1\" SizeZ=\"2\" SizeT=\"1\"/></OME>";
  CHECK(through("a.ome.tif", test::tiff({page, second})).pages == 2);
}

TEST_CASE("JPEG is read in grey and colour") {
  const int channels = GENERATE(1, 3);
  const bool progressive = GENERATE(false, true);
  std::vector<std::uint8_t> pixels(40U * 30U * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::size_t pixel = i / static_cast<std::size_t>(channels);
    pixels[i] = static_cast<std::uint8_t>(pixel % 40 * 4 + pixel / 40 * 3);
  }
  const Raster read = through(GENERATE("a.jpg", "a.JPEG"), test::jpeg(40, 30, channels, pixels, progressive));
  CHECK(read.format == "JPEG");
  CHECK(read.channels == channels);
  CHECK(read.rows == 30);
  CHECK(read.columns == 40);
  int worst = 0;
  for (std::size_t i = 0; i < pixels.size(); ++i)
    worst = std::max(worst, std::abs(int{read.bytes[static_cast<std::int64_t>(i)]} - int{pixels[i]}));
  CHECK(worst <= 3);  // quality 100 rounds the coefficients, and the colours once more
  CHECK_THROWS_WITH(through("a.jpg", test::jpeg(8, 8, 4, std::vector<std::uint8_t>(256, 9))),
                    Contains("4 colour components") && Contains("save it as grey or RGB"));
}

TEST_CASE("a picture is one axial slice, rows by columns, with its pixel size") {
  const Raster raster = grey_8(2, 3, {10, 20, 30, 40, 50, 60});
  const Volume volume = to_volume(raster, um(0.13, 0.14));
  CHECK(volume.geometry.shape == Shape{2, 3, 1});
  CHECK(volume.stored_type == "uint8");
  CHECK(volume.path == "made.png");
  CHECK(volume.view()(0, 2, 0) == 30);
  CHECK(volume.view()(1, 0, 0) == 40);
  const auto spacing = volume.geometry.spacing_mm();
  CHECK(spacing[0] == Approx(0.00014).epsilon(1e-12));  // along rows: Y
  CHECK(spacing[1] == Approx(0.00013).epsilon(1e-12));
  CHECK(spacing[2] == Approx(0.00013).epsilon(1e-12));  // Z is not there: X
  CHECK(ivado::axis_codes(volume.geometry.affine) == "RAS");
  const auto hwd = ivado::file_to_hwd(volume.geometry.affine, ivado::Axis::axial).apply(volume.view());
  CHECK(hwd.shape() == Shape{2, 3, 1});
  CHECK(hwd(1, 2, 0) == 60);
}

TEST_CASE("pixel sizes") {
  const auto size = [](const char* text) { return ivado::pixel_size_mm(Json::parse(text), "a.png"); };
  const auto is = [](const std::array<double, 3>& found, double y, double x, double z) {
    CHECK(found[0] == Approx(y).epsilon(1e-12));
    CHECK(found[1] == Approx(x).epsilon(1e-12));
    CHECK(found[2] == Approx(z).epsilon(1e-12));
  };
  is(size(R"({"PixelSize": [1, 2], "PixelSizeUnits": "mm"})"), 2, 1, 1);
  is(size(R"({"PixelSize": [1, 2, 3], "PixelSizeUnits": "um"})"), 0.002, 0.001, 0.003);
  is(size(R"({"PixelSize": [100, 200, 0], "PixelSizeUnits": "nm"})"), 0.0002, 0.0001, 0.0001);
  for (const auto* bad :
       {"{}", "null", "[]", R"({"PixelSize": [1, 2]})", R"({"PixelSizeUnits": "mm"})",
        R"({"PixelSize": null, "PixelSizeUnits": "mm"})", R"({"PixelSize": [1, 2], "PixelSizeUnits": "inch"})",
        R"({"PixelSize": [1, 2], "PixelSizeUnits": 3})", R"({"PixelSize": [1], "PixelSizeUnits": "mm"})",
        R"({"PixelSize": 1, "PixelSizeUnits": "mm"})", R"({"PixelSize": [0, 1], "PixelSizeUnits": "mm"})",
        R"({"PixelSize": [1, -1], "PixelSizeUnits": "mm"})", R"({"PixelSize": ["1", "1"], "PixelSizeUnits": "mm"})",
        R"({"PixelSize": [1, 1, 1, 1], "PixelSizeUnits": "mm"})"}) {
    CAPTURE(bad);
    CHECK_THROWS_WITH(size(bad), Contains("a.png") && Contains("PixelSize") && Contains("; "));
  }
  // A written picture gives its size back.
  const Volume volume = to_volume(grey_8(1, 1, {1}), um(0.13, 0.14));
  is(ivado::pixel_size_mm(ivado::pixel_size_sidecar(volume.geometry), "a.png"), 0.00014, 0.00013, 0.00013);
}

TEST_CASE("grey keeps the depth of the file; colour becomes its luminance, equal colours stay what they are") {
  Png png;
  png.bits = 16;
  png.samples = {0, 1, 255, 256, 40001, 65535};
  const Volume grey = to_volume(through("a.png", png.bytes()), um());
  CHECK(grey.stored_type == "uint16");
  CHECK(grey.view()(1, 1, 0) == 40001);
  CHECK(grey.view()(1, 2, 0) == 65535);

  png.colour_type = 2;
  png.samples = {1, 1, 1, 40001, 40001, 40001, 65535, 65535, 65535, 1000, 2000, 3000, 0, 0, 65535, 0, 65535, 0};
  const Volume colour = to_volume(through("a.png", png.bytes()), um());
  CHECK(colour.view()(0, 0, 0) == 1);
  CHECK(colour.view()(0, 1, 0) == 40001);
  CHECK(colour.view()(0, 2, 0) == 65535);
  CHECK(colour.view()(1, 0, 0) == Approx(299 + 1174 + 342));
  CHECK(colour.view()(1, 1, 0) == Approx(0.114 * 65535));

  png.bits = 8;
  png.colour_type = 4;
  png.samples = {5, 255, 6, 255, 7, 0, 8, 255, 9, 254, 10, 255};
  std::vector<std::string> warnings;
  const Volume alpha = to_volume(through("a.png", png.bytes()), um(), {}, &warnings);
  CHECK(alpha.view()(0, 2, 0) == 7);
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Contains("2 pixels are not opaque"));
}

TEST_CASE("as ivadomed: 8 bits, colour stretched") {
  const auto voxels = [](const Raster& raster) {
    const Volume volume = to_volume(raster, um(), {.as_ivadomed = true});
    std::vector<float> out;
    for (std::int64_t r = 0; r < raster.rows; ++r)
      for (std::int64_t c = 0; c < raster.columns; ++c) out.push_back(volume.view()(r, c, 0));
    return out;
  };
  Png png;
  png.bits = 16;
  png.samples = {0, 255, 256, 513, 65280, 65535};
  CHECK(voxels(through("a.png", png.bytes())) == std::vector<float>{0, 0, 1, 2, 255, 255});
  png.bits = 8;
  png.samples = {3, 4, 5, 6, 7, 8};
  CHECK(voxels(through("a.png", png.bytes())) == std::vector<float>{3, 4, 5, 6, 7, 8});
  // Colour from 10 … 30 to 0 … 255: 20 is in the middle, 127.5, which with 0.499999999 is cut to 127.
  png.colour_type = 2;
  png.width = 3;
  png.height = 1;
  png.samples = {10, 10, 10, 20, 20, 20, 30, 30, 30};
  CHECK(voxels(through("a.png", png.bytes())) == std::vector<float>{0, 127, 255});
  png.bits = 16;
  for (auto& value : png.samples) value = value << 8 | 77;
  CHECK(voxels(through("a.png", png.bytes())) == std::vector<float>{0, 127, 255});
  png.samples.assign(9, 999);  // constant: cut, as newer versions of its library do
  CHECK(voxels(through("a.png", png.bytes())) == std::vector<float>{3, 3, 3});
  // Floating numbers in [0, 1] times 255, others stretched.
  TiffPart page;
  page.width = 3;
  page.height = 1;
  page.bits = 32;
  page.format = 3;
  std::vector<float> values{0.1F, 0.5F, 1};
  page.data = {std::string(reinterpret_cast<const char*>(values.data()), 12)};
  CHECK(voxels(through("a.tif", test::tiff({page}))) == std::vector<float>{26, 127, 255});
  values = {-5, 0, 5};
  page.data = {std::string(reinterpret_cast<const char*>(values.data()), 12)};
  CHECK(voxels(through("a.tif", test::tiff({page}))) == std::vector<float>{0, 127, 255});
}

TEST_CASE("labels are divided by the largest number of their type") {
  Png png;
  png.samples = {0, 255, 128, 51, 127, 255};
  std::vector<std::string> warnings;
  const auto label = [&](bool as_ivadomed = false) {
    warnings.clear();
    return to_volume(through("a.png", png.bytes()), um(), {.kind = Kind::label, .as_ivadomed = as_ivadomed}, &warnings);
  };
  Volume read = label();
  CHECK(read.view()(0, 1, 0) == 1);
  CHECK(read.view()(1, 0, 0) == Approx(0.2F));
  CHECK(warnings.empty());
  read = label(true);
  CHECK(read.view()(0, 2, 0) == 1);
  CHECK(read.view()(1, 0, 0) == 0);
  CHECK(read.view()(1, 1, 0) == 0);
  png.bits = 16;
  png.samples = {0, 65535, 0, 13107, 0, 0};
  read = label();
  CHECK(read.view()(0, 1, 0) == 1);
  CHECK(read.view()(1, 0, 0) == Approx(0.2F));
  png.bits = 1;
  png.samples = {0, 1, 0, 1, 1, 0};
  read = label();
  CHECK(read.view()(0, 1, 0) == 1);
  CHECK(read.view()(1, 2, 0) == 0);
  CHECK(warnings.empty());
  // A mask that somebody wrote with 0 and 1 is not empty.
  png.bits = 8;
  read = label();
  CHECK(read.view()(0, 1, 0) == 1);
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Contains("largest value is 1 of 255"));
  CHECK(label(true).view()(0, 1, 0) == 0);
}

TEST_CASE("predictions are written as PNG and read again") {
  const test::Folder folder;
  Array<float> prediction(Shape{5, 7, 1});
  for (std::int64_t i = 0; i < 35; ++i) prediction[i] = static_cast<float>(i) / 34;
  ivado::Geometry geometry;
  geometry.shape = Shape{5, 7, 1};
  geometry.affine.diagonal() << 0.00014, 0.00013, 0.00013, 1;
  const Json size = ivado::pixel_size_sidecar(geometry);

  ivado::write_raster(folder / "soft.png", prediction.view(), geometry, false);
  Raster raster = read_raster(folder / "soft.png");
  CHECK(raster.type == "uint16");
  CHECK(raster.channels == 1);
  Volume read = to_volume(raster, size, {.kind = Kind::label});
  for (std::int64_t r = 0; r < 5; ++r)
    for (std::int64_t c = 0; c < 7; ++c)
      CHECK(read.view()(r, c, 0) == Approx(prediction[r * 7 + c]).margin(0.5 / 65535 + 1e-7));
  CHECK(ivado::corner_distance_mm(read.geometry, geometry) < 1e-12);

  for (float& value : prediction) value = std::round(value);
  // With an axis for one class behind.
  ivado::write_raster(folder / "mask.png", ivado::ArrayView<const float>(prediction.data(), Shape{5, 7, 1, 1}),
                      geometry, true);
  raster = read_raster(folder / "mask.png");
  CHECK(raster.type == "uint8");
  CHECK(raster.sample(0, 0, 0, 0) == 0);
  CHECK(raster.sample(0, 4, 6, 0) == 255);
  read = to_volume(raster, size, {.kind = Kind::label});
  for (std::int64_t i = 0; i < 35; ++i) CHECK(read.view()(i / 7, i % 7, 0) == prediction[i]);

  // The pixel size: 1 / 0.00013 mm and 1 / 0.00014 mm in pixels per metre.
  const std::string bytes = test::read_bytes(folder / "mask.png");
  const auto place = bytes.find("pHYs");
  REQUIRE(place != std::string::npos);
  CHECK(bytes.substr(place + 4, 9) == test::number(7692308, 4, true) + test::number(7142857, 4, true) + '\1');

  const auto two = ivado::zeros(Shape{2, 2, 2});
  CHECK_THROWS_WITH(ivado::write_raster(folder / "a.png", two.view(), geometry, true),
                    Contains("one slice of one class") && Contains("NIfTI"));
  CHECK_THROWS_WITH(ivado::write_raster(folder / "a.jpg", prediction.view(), geometry, true), Contains(".png"));
  CHECK_THROWS_WITH(ivado::write_raster(folder / "none/a.png", prediction.view(), geometry, true),
                    Contains("does not exist"));
  prediction[3] = GENERATE(-0.01F, 1.01F, NAN);
  CHECK_THROWS_WITH(ivado::write_raster(folder / "a.png", prediction.view(), geometry, false),
                    Contains("expected 0 to 1"));
  CHECK_FALSE(std::filesystem::exists(folder / "a.png"));
}

TEST_CASE("what is no picture is an error that names the file and the fault") {
  const test::Folder folder;
  const auto fails = [&](const std::string& name, const std::string& bytes, const std::string& words) {
    CAPTURE(name, words);
    test::write_bytes(folder / name, bytes);
    CHECK_THROWS_WITH(read_raster(folder / name), Contains(folder / name) && Contains(words));
  };
  Png png;
  png.samples = {1, 2, 3, 4, 5, 6};
  CHECK_THROWS_WITH(read_raster(folder / "none.png"), Contains("none.png") && Contains("does not exist"));
  std::filesystem::create_directory(folder / "folder.png");
  CHECK_THROWS_WITH(read_raster(folder / "folder.png"), Contains("it is a folder"));
  CHECK_THROWS_WITH(read_raster(folder / "a.nii"), Contains("none of PNG, TIFF and JPEG"));
  fails("empty.png", "", "empty");
  fails("text.tif", "this is a text", "no format that is known");
  fails("png.jpg", png.bytes(), "its extension says JPEG, its first bytes PNG");
  fails("jpeg.png", test::jpeg(4, 4, 1, std::vector<std::uint8_t>(16, 1)),
        "its extension says PNG, its first bytes JPEG");
  std::string bytes = png.bytes();
  bytes[45] = static_cast<char>(bytes[45] ^ 1);
  fails("crc.png", bytes, "corrupt");
  fails("end.png", png.bytes().substr(0, png.bytes().size() - 12), "truncated");
  // A header that promises 10^12 pixels, and nothing behind it: refused before any memory is asked for.
  png.width = png.height = 1000000;
  png.samples.clear();
  const std::string header = png.bytes();
  fails("huge.png", header, "truncated or corrupt");
  TiffPart page;
  page.width = page.height = 4000000000U;
  page.data = {"\1\2\3"};
  fails("huge.tif", test::tiff({page}), "truncated or corrupt");
  bytes = test::jpeg(16, 16, 3, std::vector<std::uint8_t>(768, 7));
  const auto frame = bytes.find("\xff\xc0");
  bytes.replace(frame + 5, 4, "\xff\xdc\xff\xdc");
  fails("huge.jpg", bytes, "truncated or corrupt");

  page = TiffPart{};
  page.data = {"\1\2\3\4\5\6"};
  page.samples = 5;
  page.data = {std::string(30, 'a')};
  fails("five.tif", test::tiff({page}), "5 channels");
  page.samples = 1;
  page.photometric = 8;
  fails("lab.tif", test::tiff({page}), "photometric interpretation 8");
  page.photometric = 1;
  page.bits = 64;
  fails("bits.tif", test::tiff({page}), "64 bits");
  page.bits = 4;
  page.photometric = 3;
  fails("palette.tif", test::tiff({page}), "olormap");
}

TEST_CASE("a file cut anywhere is an error, never a picture with holes") {
  const auto pixels = numbers(20 * 16, 255);
  Png png;
  png.width = 20;
  png.height = 16;
  png.samples = pixels;
  TiffPart page;
  page.width = 20;
  page.height = 16;
  page.data = {test::pack(pixels, 20, 8, false)};
  const std::vector<std::uint8_t> bytes(pixels.begin(), pixels.end());
  const test::Folder folder;
  test::write_compressed_tiff(folder / "lzw.tif", 20, 16, 1, COMPRESSION_LZW, bytes);
  for (const auto& [name, whole] :
       {std::pair{std::string("a.png"), png.bytes()}, std::pair{std::string("a.tif"), test::tiff({page})},
        std::pair{std::string("b.tif"), test::read_bytes(folder / "lzw.tif")},
        std::pair{std::string("a.jpg"), test::jpeg(20, 16, 1, bytes)},
        std::pair{std::string("b.jpg"), test::jpeg(20, 16, 1, bytes, true)}}) {
    test::write_bytes(folder / name, whole);
    REQUIRE_NOTHROW(read_raster(folder / name));
    // The last four bytes of a TIFF tell where its next page is, and 0 is none.
    const std::size_t needed = whole.size() - (name.ends_with(".tif") ? 4 : 0);
    for (std::size_t length = 0; length < needed; ++length) {
      test::write_bytes(folder / name, whole.substr(0, length));
      CAPTURE(name, length, whole.size());
      CHECK_THROWS_AS(read_raster(folder / name), ivado::Error);
    }
  }
}

TEST_CASE("changed bytes are read or refused") {
  Png png;
  png.width = 20;
  png.height = 16;
  png.colour_type = 6;
  png.samples = numbers(20 * 16 * 4, 255);
  TiffPart page;
  page.width = 20;
  page.height = 20;
  page.tile = 16;
  page.data.assign(4, std::string(256, 'x'));
  TiffPart palette;
  palette.photometric = 3;
  palette.palette.resize(768, 3);
  palette.data = {"\1\2\3\4\5\6"};
  const test::Folder folder;
  std::vector<std::uint8_t> bytes(20 * 16 * 3);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  test::write_compressed_tiff(folder / "jpeg.tif", 20, 16, 3, COMPRESSION_JPEG, bytes);
  test::write_compressed_tiff(folder / "zip.tif", 20, 16, 3, COMPRESSION_ADOBE_DEFLATE, bytes);
  int read = 0;
  int refused = 0;
  std::uint32_t state = 12345;
  const auto draw = [&](std::size_t below) {
    state = state * 1664525U + 1013904223U;
    return static_cast<std::size_t>(state >> 8) % below;
  };
  for (const auto& [name, whole] :
       {std::pair{std::string("a.png"), png.bytes()}, std::pair{std::string("a.tif"), test::tiff({page, palette})},
        std::pair{std::string("b.tif"), test::tiff({palette, palette}, true)},
        std::pair{std::string("c.tif"), test::read_bytes(folder / "jpeg.tif")},
        std::pair{std::string("d.tif"), test::read_bytes(folder / "zip.tif")},
        std::pair{std::string("a.jpg"), test::jpeg(20, 16, 3, bytes)},
        std::pair{std::string("b.jpg"), test::jpeg(20, 16, 3, bytes, true)}})
    for (int round = 0; round < 100; ++round) {
      std::string changed = whole;
      for (std::size_t n = 0; n <= draw(3); ++n) changed[draw(changed.size())] = static_cast<char>(draw(256));
      test::write_bytes(folder / name, changed);
      CAPTURE(name, round);
      try {
        const Raster raster = read_raster(folder / name);
        CHECK(raster.bytes.size() > 0);
        ++read;
      } catch (const ivado::Error& fault) {
        CHECK_THAT(fault.what(), Contains(name));
        CHECK(fault.fault() == ivado::Fault::data);
        ++refused;
      }
    }
  CHECK(read > 50);
  CHECK(refused > 50);
}

TEST_CASE("pictures are read by several threads at once") {
  Png png;
  png.samples = {1, 2, 3, 4, 5, 6};
  TiffPart page;
  page.data = {"\1\2\3\4\5\6"};
  const test::Folder folder;
  test::write_bytes(folder / "a.png", png.bytes());
  test::write_bytes(folder / "a.tif", test::tiff({page}));
  test::write_bytes(folder / "bad.tif", test::tiff({page}).substr(0, 40));
  std::vector<int> good(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 50; ++round) {
        bool refused = false;
        try {
          const Raster never = read_raster(folder / "bad.tif");
        } catch (const ivado::Error&) {
          refused = true;
        }
        good[t] += refused && samples(read_raster(folder / "a.png")) == samples(read_raster(folder / "a.tif")) ? 1 : 0;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(good == std::vector<int>(4, 50));
}

TEST_CASE("which files are pictures") {
  for (const auto* name :
       {"a.png", "a.PNG", "b/a.tif", "a.TIFF", "a.ome.tif", "a.ome.tf8", "a.ome.btf", "a.jpg", "a.Jpeg"})
    CHECK(ivado::is_raster(name));
  for (const auto* name : {"a.nii", "a.nii.gz", "png", "a.png.gz", "a.gif", "a.btf"})
    CHECK_FALSE(ivado::is_raster(name));
}
