#include "ivado/interop/png.hpp"

#include <png.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder that is gone at the end of the test.
struct Scratch {
  fs::path path = fs::temp_directory_path() / ("ivado-png-test-" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path / name).string(); }
};

/// A PNG decoded by libpng: [rows, columns, channels] as it is in the file.
[[nodiscard]] ivado::Array<std::uint8_t> decoded(const std::string& path) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&header, path.c_str()) != 0);
  const int channels = static_cast<int>(PNG_IMAGE_SAMPLE_CHANNELS(header.format));
  ivado::Array<std::uint8_t> out(ivado::Shape{header.height, header.width, channels});
  REQUIRE(png_image_finish_read(&header, nullptr, out.data(), 0, nullptr) != 0);
  return out;
}

/// A slice [H, W] of the given values, W running fastest.
[[nodiscard]] ivado::Array<float> slice(std::int64_t height, std::int64_t width, const std::vector<float>& values) {
  ivado::Array<float> out(ivado::Shape{height, width});
  REQUIRE(static_cast<std::int64_t>(values.size()) == out.size());
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

/// One voxel a pixel, the whole range of the image, no smoothing.
[[nodiscard]] ivado::OverlayStyle plain() {
  ivado::OverlayStyle style;
  style.scale = 1;
  style.smooth = false;
  style.window_percent = {0, 100};
  return style;
}

[[nodiscard]] ivado::Colour pixel(const ivado::Array<std::uint8_t>& picture, std::int64_t row, std::int64_t column) {
  const auto view = picture.view();
  return {view(row, column, 0), view(row, column, 1), view(row, column, 2)};
}

[[nodiscard]] ivado::Colour grey(int value) {
  const auto v = static_cast<std::uint8_t>(value);
  return {v, v, v};
}

}  // namespace

TEST_CASE("a PNG read back holds the pixels written", "[unit]") {
  const Scratch scratch;
  const std::string path = scratch / "picture.png";
  const std::int64_t rows = GENERATE(1, 2, 7);
  const std::int64_t columns = GENERATE(1, 3, 64);

  SECTION("grey") {
    ivado::Array<std::uint8_t> pixels(ivado::Shape{rows, columns});
    for (std::int64_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(37 * i + 5);
    ivado::write_png(path, std::as_const(pixels).view());
    const auto back = decoded(path);
    REQUIRE(back.shape() == ivado::Shape{rows, columns, 1});
    CHECK(std::equal(back.begin(), back.end(), pixels.begin()));
  }
  SECTION("red, green, blue") {
    ivado::Array<std::uint8_t> pixels(ivado::Shape{rows, columns, 3});
    for (std::int64_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(91 * i + 1);
    ivado::write_png(path, std::as_const(pixels).view());
    CHECK(decoded(path) == pixels);
  }
  SECTION("a view with strides of its own") {
    ivado::Array<std::uint8_t> pixels(ivado::Shape{columns, rows});
    for (std::int64_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(11 * i);
    const auto turned = std::as_const(pixels).view().permute({1, 0}).flip(0);
    ivado::write_png(path, turned);
    const auto back = decoded(path);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c) REQUIRE(back.view()(r, c, 0) == pixels.view()(c, rows - 1 - r));
  }
  CHECK(std::distance(fs::directory_iterator(scratch.path), fs::directory_iterator()) ==
        1);  // nothing half done beside it
}

TEST_CASE("a PNG replaces an older one, and what is no picture is refused", "[unit]") {
  const Scratch scratch;
  const std::string path = scratch / "picture.png";
  const ivado::Array<std::uint8_t> first(ivado::Shape{2, 2}, 10);
  const ivado::Array<std::uint8_t> second(ivado::Shape{1, 3}, 20);
  ivado::write_png(path, first.view());
  ivado::write_png(path, second.view());
  CHECK(decoded(path).shape() == ivado::Shape{1, 3, 1});

  const ivado::Array<std::uint8_t> four(ivado::Shape{2, 2, 4}, 0);
  const ivado::Array<std::uint8_t> none(ivado::Shape{0, 2}, 0);
  CHECK_THROWS_WITH(ivado::write_png(path, four.view()),
                    Catch::Contains("2x2x4") && Catch::Contains("[rows, columns, 3]"));
  CHECK_THROWS_WITH(ivado::write_png(path, none.view()), Catch::Contains("0x2"));
  CHECK_THROWS_WITH(ivado::write_png(scratch / "nowhere/p.png", first.view()), Catch::Contains("nowhere"));
  CHECK(decoded(path).shape() == ivado::Shape{1, 3, 1});  // the older one is still whole
}

TEST_CASE("slices are shown in radiological convention", "[unit]") {
  // image(h, w) = 51 (3 h + w): 0, 51 … 255
  const auto image = slice(2, 3, {0, 51, 102, 153, 204, 255});
  ivado::OverlayStyle style = plain();
  const std::array panels{ivado::OverlayPanel{std::as_const(image).view()}};

  SECTION("axial: H to the patient's right is to the left, W to the front is up") {
    const auto picture = ivado::overlay(panels, style);
    REQUIRE(picture.shape() == ivado::Shape{3, 2, 3});
    CHECK(pixel(picture, 0, 0) == grey(255));  // h 1, w 2
    CHECK(pixel(picture, 0, 1) == grey(102));  // h 0, w 2
    CHECK(pixel(picture, 2, 0) == grey(153));  // h 1, w 0
    CHECK(pixel(picture, 2, 1) == grey(0));
  }
  SECTION("sagittal and coronal: H to the head is up, W to the front or right is to the left") {
    style.axis = GENERATE(ivado::Axis::sagittal, ivado::Axis::coronal);
    const auto picture = ivado::overlay(panels, style);
    REQUIRE(picture.shape() == ivado::Shape{2, 3, 3});
    CHECK(pixel(picture, 0, 0) == grey(255));
    CHECK(pixel(picture, 0, 2) == grey(153));
    CHECK(pixel(picture, 1, 0) == grey(102));
    CHECK(pixel(picture, 1, 2) == grey(0));
  }
}

TEST_CASE("grey values are a window between percentiles", "[unit]") {
  std::vector<float> values;
  for (int i = 0; i <= 100; ++i) values.push_back(static_cast<float>(i));
  ivado::OverlayStyle style = plain();
  style.axis = ivado::Axis::coronal;  // pixel (0, c) is value 100 - c

  SECTION("1 and 99 per cent of 0 … 100 are 1 and 99") {
    style.window_percent = {1, 99};
    const auto image = slice(1, 101, values);
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view()}};
    const auto picture = ivado::overlay(panels, style);
    CHECK(pixel(picture, 0, 0) == grey(255));
    CHECK(pixel(picture, 0, 1) == grey(255));
    CHECK(pixel(picture, 0, 50) == grey(128));  // 49 / 98 · 255 = 127.5
    CHECK(pixel(picture, 0, 51) == grey(125));  // 48 / 98 · 255 = 124.9
    CHECK(pixel(picture, 0, 99) == grey(0));
    CHECK(pixel(picture, 0, 100) == grey(0));
  }
  SECTION("a constant image is black") {
    const auto image = slice(2, 2, {7, 7, 7, 7});
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view()}};
    const auto picture = ivado::overlay(panels, style);
    for (const auto value : picture) CHECK(value == 0);
  }
  SECTION("what is not finite is black and does not count") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    const auto image = slice(1, 4, {nan, 10, 20, infinity});
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view()}};
    const auto picture = ivado::overlay(panels, style);
    CHECK(pixel(picture, 0, 0) == grey(0));
    CHECK(pixel(picture, 0, 1) == grey(255));
    CHECK(pixel(picture, 0, 2) == grey(0));
    CHECK(pixel(picture, 0, 3) == grey(0));
  }
}

TEST_CASE("slices are enlarged by blocks or linearly, in their true proportions", "[unit]") {
  const auto image = slice(1, 2, {0, 255});
  ivado::OverlayStyle style = plain();
  style.scale = 2;

  SECTION("blocks") {
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view()}};
    const auto picture = ivado::overlay(panels, style);
    REQUIRE(picture.shape() == ivado::Shape{4, 2, 3});
    for (std::int64_t c = 0; c < 2; ++c) {
      CHECK(pixel(picture, 0, c) == grey(255));
      CHECK(pixel(picture, 1, c) == grey(255));
      CHECK(pixel(picture, 2, c) == grey(0));
      CHECK(pixel(picture, 3, c) == grey(0));
    }
  }
  SECTION("linearly, with the edge held") {
    style.smooth = true;
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view()}};
    const auto picture = ivado::overlay(panels, style);
    CHECK(pixel(picture, 0, 0) == grey(255));
    CHECK(pixel(picture, 1, 0) == grey(191));  // 3/4
    CHECK(pixel(picture, 2, 0) == grey(64));   // 1/4
    CHECK(pixel(picture, 3, 0) == grey(0));
  }
  SECTION("voxels of 1 by 3 mm") {
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view(), {}, {}, {1, 3}}};
    CHECK(ivado::overlay(panels, style).shape() == ivado::Shape{12, 2, 3});
    style.axis = ivado::Axis::sagittal;
    CHECK(ivado::overlay(panels, style).shape() == ivado::Shape{2, 12, 3});
    style.pixels_per_mm = 4;  // instead of `scale`: the slice is 1 by 6 mm
    CHECK(ivado::overlay(panels, style).shape() == ivado::Shape{4, 24, 3});
  }
}

TEST_CASE("masks are drawn as contours or filled, the truth over the prediction", "[unit]") {
  // 5x5 with a ramp so that 100 is a pixel's grey in the middle row; masks of 3x3 in the middle
  std::vector<float> values(25, 100);
  values.front() = 0;
  values.back() = 255;
  const auto image = slice(5, 5, values);
  const auto square = slice(5, 5, {0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0});
  const auto dot = slice(5, 5, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  ivado::OverlayStyle style = plain();
  style.truth = {10, 200, 30};
  style.prediction = {200, 20, 40};

  SECTION("a contour lies inside of its mask") {
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view(), std::as_const(square).view()}};
    const auto picture = ivado::overlay(panels, style);
    for (std::int64_t r = 0; r < 5; ++r)
      for (std::int64_t c = 0; c < 5; ++c) {
        const bool inside = r >= 1 && r <= 3 && c >= 1 && c <= 3;
        const bool middle = r == 2 && c == 2;
        if (inside && !middle) {
          CHECK(pixel(picture, r, c) == style.truth);
        } else if (!(r == 0 && c == 0) && !(r == 4 && c == 4)) {
          CHECK(pixel(picture, r, c) == grey(100));
        }
      }
    CHECK(pixel(picture, 0, 0) == grey(255));
    CHECK(pixel(picture, 4, 4) == grey(0));
  }
  SECTION("a wider contour reaches further in") {
    style.contour_width = 2;
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view(), std::as_const(square).view()}};
    CHECK(pixel(ivado::overlay(panels, style), 2, 2) == style.truth);
  }
  SECTION("a filled mask is mixed into the image") {
    style.prediction_mark = ivado::Mark::fill;
    style.fill_opacity = 0.25;
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view(), {}, std::as_const(square).view()}};
    const auto picture = ivado::overlay(panels, style);
    CHECK(pixel(picture, 2, 2) == ivado::Colour{125, 80, 85});  // 3/4 of 100 and 1/4 of the colour
    CHECK(pixel(picture, 1, 1) == ivado::Colour{125, 80, 85});
    CHECK(pixel(picture, 0, 1) == grey(100));
  }
  SECTION("where both are, the truth is seen") {
    const std::array panels{
        ivado::OverlayPanel{std::as_const(image).view(), std::as_const(dot).view(), std::as_const(square).view()}};
    const auto picture = ivado::overlay(panels, style);
    CHECK(pixel(picture, 2, 2) == style.truth);
    CHECK(pixel(picture, 1, 2) == style.prediction);
  }
  SECTION("a mask that fills the slice has no edge") {
    const auto all = slice(5, 5, std::vector<float>(25, 1));
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view(), std::as_const(all).view()}};
    CHECK(pixel(ivado::overlay(panels, style), 0, 2) == grey(100));
  }
  SECTION("a soft mask begins at a half") {
    const auto soft = slice(5, 5, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.49F, 0.5F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    const std::array panels{ivado::OverlayPanel{std::as_const(image).view(), std::as_const(soft).view()}};
    const auto picture = ivado::overlay(panels, style);
    CHECK(pixel(picture, 2, 2) == style.truth);
    CHECK(pixel(picture, 3, 2) == grey(100));  // h 2, w 1
  }
}

TEST_CASE("panels stand side by side, the lower ones in the middle", "[unit]") {
  const Scratch scratch;
  const auto tall = slice(1, 3, {0, 255, 255});
  const auto low = slice(2, 1, {255, 0});
  ivado::OverlayStyle style = plain();
  style.separator = 2;
  style.background = {1, 2, 3};
  const std::array panels{ivado::OverlayPanel{std::as_const(tall).view()},
                          ivado::OverlayPanel{std::as_const(low).view()}};
  const std::string path = scratch / "overlay.png";
  ivado::write_overlay_png(path, panels, style);
  const auto picture = decoded(path);
  REQUIRE(picture.shape() == ivado::Shape{3, 5, 3});
  const ivado::Colour none = style.background;
  const std::vector<std::vector<ivado::Colour>> expected{{grey(255), none, none, none, none},
                                                         {grey(255), none, none, grey(0), grey(255)},
                                                         {grey(0), none, none, none, none}};
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t c = 0; c < 5; ++c)
      CHECK(pixel(picture, r, c) == expected[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)]);
}

TEST_CASE("an overlay that cannot be drawn says why", "[unit]") {
  const auto image = slice(2, 2, {0, 1, 2, 3});
  const auto mask = slice(1, 2, {0, 1});
  const auto view = std::as_const(image).view();
  CHECK_THROWS_WITH(ivado::overlay({}), Catch::Contains("no panel"));
  const std::array other_grid{ivado::OverlayPanel{view}, ivado::OverlayPanel{view, {}, std::as_const(mask).view()}};
  CHECK_THROWS_WITH(ivado::overlay(other_grid),
                    Catch::Contains("panel 1") && Catch::Contains("1x2") && Catch::Contains("2x2"));
  const std::array no_image{ivado::OverlayPanel{{}}};
  CHECK_THROWS_WITH(ivado::overlay(no_image), Catch::Contains("nothing") && Catch::Contains("[H, W]"));
  const std::array flat{ivado::OverlayPanel{view, {}, {}, {1, 0}}};
  CHECK_THROWS_WITH(ivado::overlay(flat), Catch::Contains("spacing"));
  const std::array good{ivado::OverlayPanel{view}};
  for (int fault = 0; fault < 6; ++fault) {
    ivado::OverlayStyle style;
    if (fault == 0) style.scale = 0;
    if (fault == 1) style.separator = -1;
    if (fault == 2) style.contour_width = 0;
    if (fault == 3) style.fill_opacity = 1.5;
    if (fault == 5) style.pixels_per_mm = -1;
    if (fault == 4) style.window_percent = {99, 1};
    CHECK_THROWS_WITH(ivado::overlay(good, style), Catch::Contains("style"));
  }
}
