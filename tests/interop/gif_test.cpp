#include "ivado/interop/gif.hpp"

#include <gif_lib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

/// An animation as giflib reads it.
struct Animation {
  std::vector<Array<std::uint8_t>> frames;  // [rows, columns, 3]
  std::vector<int> delays;                  // in 0.01 s
  std::vector<std::size_t> colours;         // of each table
};

Animation decoded(const std::string& path) {
  int code = 0;
  GifFileType* file = DGifOpenFileName(path.c_str(), &code);
  REQUIRE(file != nullptr);
  REQUIRE(DGifSlurp(file) == GIF_OK);
  Animation out;
  for (int i = 0; i < file->ImageCount; ++i) {
    const SavedImage& image = file->SavedImages[i];
    REQUIRE(image.ImageDesc.ColorMap != nullptr);
    out.colours.push_back(static_cast<std::size_t>(image.ImageDesc.ColorMap->ColorCount));
    out.frames.emplace_back(Shape{image.ImageDesc.Height, image.ImageDesc.Width, 3});
    auto& frame = out.frames.back();
    for (std::int64_t p = 0; p < frame.size() / 3; ++p) {
      const GifColorType& colour = image.ImageDesc.ColorMap->Colors[image.RasterBits[p]];
      frame[3 * p] = colour.Red;
      frame[3 * p + 1] = colour.Green;
      frame[3 * p + 2] = colour.Blue;
    }
    GraphicsControlBlock control{};
    REQUIRE(DGifSavedExtensionToGCB(file, i, &control) == GIF_OK);
    CHECK(control.TransparentColor == NO_TRANSPARENT_COLOR);
    out.delays.push_back(control.DelayTime);
  }
  DGifCloseFile(file, nullptr);
  return out;
}

Array<std::uint8_t> picture(const Shape& shape, std::uint32_t seed) {
  Array<std::uint8_t> out(shape);
  std::uint32_t state = seed;
  for (auto& value : out) {
    state = state * 1664525 + 1013904223;  // the generator of Numerical Recipes
    value = static_cast<std::uint8_t>(state >> 24);
  }
  return out;
}

Array<float> slice(std::int64_t height, std::int64_t width, const std::vector<float>& values) {
  Array<float> out(Shape{height, width});
  REQUIRE(static_cast<std::int64_t>(values.size()) == out.size());
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

Colour pixel(const Array<std::uint8_t>& frame, std::int64_t row, std::int64_t column) {
  const auto view = frame.view();
  return {view(row, column, 0), view(row, column, 1), view(row, column, 2)};
}

}  // namespace

TEST_CASE("an animation read back holds the frames written, in their order", "[unit]") {
  const Scratch scratch;
  const std::int64_t rows = GENERATE(1, 7, 48);
  const std::int64_t columns = GENERATE(1, 53);
  GifWriter writer(scratch / "a.gif", {.seconds_per_frame = 0.25});
  std::vector<Array<std::uint8_t>> grey;
  for (std::uint32_t i = 0; i < 3; ++i) {
    grey.push_back(picture({rows, columns}, i));  // up to 256 greys
    writer.add(std::as_const(grey.back()).view());
  }
  CHECK(writer.size() == 3);
  CHECK_FALSE(fs::exists(scratch / "a.gif"));
  writer.write();
  const Animation read = decoded(scratch / "a.gif");
  REQUIRE(read.frames.size() == 3);
  CHECK(read.delays == std::vector<int>{25, 25, 25});
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(read.frames[i].shape() == Shape{rows, columns, 3});
    for (std::int64_t p = 0; p < grey[i].size(); ++p)
      for (std::int64_t k = 0; k < 3; ++k) REQUIRE(read.frames[i][3 * p + k] == grey[i][p]);
  }
}

TEST_CASE("an animation is repeated as often as was said", "[unit]") {
  const Scratch scratch;
  const int repeats = GENERATE(0, 3, 513);
  GifWriter writer(scratch / "a.gif", {.repeats = repeats});
  writer.add(picture({2, 2}, 1).view());
  writer.write();
  const std::string content = content_of(scratch / "a.gif");
  CHECK(content.starts_with("GIF89a"));
  const auto at = content.find("NETSCAPE2.0");
  REQUIRE(at != std::string::npos);
  // A block of 3 bytes: 1, then the number, least byte first.
  CHECK(content.substr(at + 11, 2) == "\x03\x01");
  CHECK(static_cast<unsigned char>(content[at + 13]) + 256 * static_cast<unsigned char>(content[at + 14]) == repeats);
}

TEST_CASE("up to 256 colours are kept, and more are merged into near ones", "[unit]") {
  const Scratch scratch;
  GifWriter writer(scratch / "a.gif");
  const auto few = [] {  // 256 colours, each once
    Array<std::uint8_t> out(Shape{16, 16, 3});
    for (std::int64_t i = 0; i < 256; ++i) {
      out[3 * i] = static_cast<std::uint8_t>(i);
      out[3 * i + 1] = static_cast<std::uint8_t>(255 - i);
      out[3 * i + 2] = static_cast<std::uint8_t>(i % 7);
    }
    return out;
  }();
  // A smooth picture of 16 · 16 · 4 colours.
  Array<std::uint8_t> many(Shape{16, 16, 3});
  for (std::int64_t r = 0; r < 16; ++r)
    for (std::int64_t c = 0; c < 16; ++c) {
      many.view()(r, c, 0) = static_cast<std::uint8_t>(16 * r);
      many.view()(r, c, 1) = static_cast<std::uint8_t>(16 * c);
      many.view()(r, c, 2) = 0;
    }
  Array<std::uint8_t> large(Shape{32, 32, 3});
  for (std::int64_t r = 0; r < 32; ++r)
    for (std::int64_t c = 0; c < 32; ++c) {
      large.view()(r, c, 0) = static_cast<std::uint8_t>(8 * r);
      large.view()(r, c, 1) = static_cast<std::uint8_t>(8 * c);
      large.view()(r, c, 2) = 100;
    }
  writer.add(few.view());
  writer.add(std::as_const(large).view().narrow(0, 0, 16).narrow(1, 0, 16));
  writer.write();
  const Animation exact = decoded(scratch / "a.gif");
  CHECK(exact.frames[0] == few);
  CHECK(exact.frames[1] == Array<std::uint8_t>::from(std::as_const(large).view().narrow(0, 0, 16).narrow(1, 0, 16)));

  GifWriter merged(scratch / "b.gif");
  merged.add(std::as_const(large).view());
  merged.write();
  const Animation read = decoded(scratch / "b.gif");
  CHECK(read.colours == std::vector<std::size_t>{256});
  int worst = 0;
  for (std::int64_t i = 0; i < large.size(); ++i) worst = std::max(worst, std::abs(read.frames[0][i] - large[i]));
  // 1024 colours on a square grid of pitch 8 in 256 cells: 2 x 2 of them are at most 4 from their mean; uneven cells of
  // a median cut can be 1 x 4, 12 from theirs.
  CHECK(worst <= 12);
}

TEST_CASE("a colour table keeps rare colours that are far from the others", "[unit]") {
  // 300 greys would leave no room; the one red pixel must stay red.
  Array<std::uint8_t> out(Shape{1, 257, 3});
  for (std::int64_t i = 0; i < 256; ++i)
    for (std::int64_t k = 0; k < 3; ++k) out[3 * i + k] = static_cast<std::uint8_t>(i);
  out[3 * 256] = 255;
  out[3 * 256 + 1] = out[3 * 256 + 2] = 0;
  const detail::GifFrame frame = detail::with_colour_table(out);
  CHECK(frame.colours.size() == 256);
  CHECK(frame.colours[frame.pixels[256]] == Colour{255, 0, 0});
  for (std::int64_t i = 0; i < 256; ++i) CHECK(std::abs(frame.colours[frame.pixels[i]][0] - static_cast<int>(i)) <= 1);
}

TEST_CASE("pixels are enlarged, and captions drawn into the lower right corner", "[unit]") {
  const Scratch scratch;
  GifWriter writer(scratch / "a.gif", {.scale = 3, .caption_colour = {250, 10, 20}});
  const Array<std::uint8_t> black(Shape{10, 12}, std::uint8_t{0});
  Array<std::uint8_t> dot = black.clone();
  dot[12 + 2] = 77;  // row 1, column 2
  writer.add(std::as_const(dot).view());
  writer.add(black.view(), "12");
  writer.add(black.view(), "a caption that is wider than the picture");
  writer.write();
  const Animation read = decoded(scratch / "a.gif");
  REQUIRE(read.frames[0].shape() == Shape{30, 36, 3});
  for (std::int64_t r = 0; r < 30; ++r)
    for (std::int64_t c = 0; c < 36; ++c) {
      const std::uint8_t grey = r / 3 == 1 && c / 3 == 2 ? 77 : 0;
      REQUIRE(pixel(read.frames[0], r, c) == Colour{grey, grey, grey});
    }
  int drawn = 0;
  for (std::int64_t r = 0; r < 30; ++r)
    for (std::int64_t c = 0; c < 36; ++c) {
      const Colour colour = pixel(read.frames[1], r, c);
      if (colour == Colour{0, 0, 0}) continue;
      ++drawn;
      REQUIRE(colour == Colour{250, 10, 20});
      REQUIRE((r >= 21 && r < 29 && c >= 19 && c < 35));  // 8 rows, 16 columns, one pixel from the corner
    }
  CHECK(drawn > 20);
  CHECK(drawn < 100);
  CHECK_FALSE(read.frames[2] == read.frames[1]);
}

TEST_CASE("an animation goes on where its training goes on", "[unit]") {
  const Scratch scratch;
  const std::string path = scratch / "a.gif";
  std::vector<Array<std::uint8_t>> frames;
  for (std::uint32_t i = 0; i < 5; ++i) frames.push_back(picture({9, 11, 3}, 40 + i));
  GifWriter whole(scratch / "whole.gif", {.scale = 2});
  for (int i = 0; i < 4; ++i) whole.add(std::as_const(frames[static_cast<std::size_t>(i)]).view(), std::to_string(i));
  whole.write();

  GifWriter first(path, {.scale = 2}, 2);  // nothing is there yet
  CHECK(first.size() == 0);
  first.add(std::as_const(frames[0]).view(), "0");
  first.add(std::as_const(frames[1]).view(), "1");
  first.add(std::as_const(frames[4]).view(), "lost");
  first.write();
  GifWriter second(path, {.scale = 2}, 2);
  REQUIRE(second.size() == 2);
  second.add(std::as_const(frames[2]).view(), "2");
  second.add(std::as_const(frames[3]).view(), "3");
  second.write();
  CHECK(content_of(path) == content_of(scratch / "whole.gif"));
  CHECK(GifWriter(path, {.scale = 2}, 100).size() == 4);
  CHECK(GifWriter(path, {.scale = 2}).size() == 0);
}

TEST_CASE("animations say what is wrong", "[unit]") {
  const Scratch scratch;
  CHECK_THROWS_WITH(GifWriter(scratch / "a.gif", {.seconds_per_frame = 0}), Contains("a.gif") && Contains("seconds"));
  CHECK_THROWS_WITH(GifWriter(scratch / "a.gif", {.scale = 0}), Contains("scale"));
  CHECK_THROWS_WITH(GifWriter(scratch / "a.gif", {.repeats = -1}), Contains("repeats"));
  GifWriter writer(scratch / "a.gif");
  CHECK_THROWS_WITH(writer.write(), Contains("a.gif") && Contains("no frame"));
  writer.add(picture({2, 3}, 1).view());
  CHECK_THROWS_WITH(writer.add(picture({3, 2}, 1).view()), Contains("3x2") && Contains("2x3"));
  CHECK_THROWS_WITH(writer.add(picture({3, 2, 2}, 1).view()), Contains("3x2x2") && Contains("is no picture"));
  CHECK(writer.size() == 1);
  GifWriter homeless(scratch / "none/a.gif");
  homeless.add(picture({2, 3}, 1).view());
  CHECK_THROWS_WITH(homeless.write(), Contains("none") && Contains("does not exist"));
  std::ofstream(scratch / "b.gif") << "no GIF at all, though it is named so";
  CHECK_THROWS_WITH(GifWriter(scratch / "b.gif", {}, 1), Contains("b.gif") && Contains("move it away"));
  writer.write();
  const std::string content = content_of(scratch / "a.gif");
  for (std::size_t size = 0; size < content.size(); ++size) {  // cut off anywhere: an error or a frame, no crash
    std::ofstream(scratch / "cut.gif", std::ios::binary) << content.substr(0, size);
    std::int64_t frames = 0;
    try {
      frames = GifWriter(scratch / "cut.gif", {}, 1).size();
    } catch (const Error& error) {
      CHECK_THAT(error.what(), Contains("cut.gif"));
    }
    CHECK(frames <= 1);
  }
}

TEST_CASE("a frame shows the prediction in colours over the image in grey", "[unit]") {
  // H is x to the right of the patient and W is y to the front: shown are rows from the front to the back, columns from
  // the patient's right ... that is x from high to low.
  const auto image = slice(2, 3, {-10, 0, 10, 0, std::numeric_limits<float>::quiet_NaN(), 5});
  const auto prediction = slice(2, 3, {0, 0.1F, 0.5F, 1, 0, 0.75F});
  const auto frame = prediction_frame(image.view(), prediction.view());
  REQUIRE(frame.shape() == Shape{3, 2, 3});
  const auto at = [&](std::int64_t h, std::int64_t w) { return pixel(frame, 2 - w, 1 - h); };
  CHECK(at(0, 0) == Colour{0, 0, 0});
  CHECK(at(0, 1) == Colour{128, 128, 128});  // 0.1 is not above 0.1; half-way between -10 and 10
  CHECK(at(0, 2) == Colour{128, 255, 128});  // 0.5: green, and half of red and blue
  CHECK(at(1, 0) == Colour{128, 0, 0});      // 1: dark red
  CHECK(at(1, 1) == Colour{0, 0, 0});        // not a number
  CHECK(at(1, 2) == Colour{255, 128, 0});    // 0.75: orange
  const auto sagittal = prediction_frame(image.view(), prediction.view(), Axis::sagittal);
  REQUIRE(sagittal.shape() == Shape{2, 3, 3});
  CHECK(pixel(sagittal, 0, 2) == Colour{128, 0, 0});
  // A constant image is black.
  const Array<float> flat(Shape{2, 3}, 4.0F);
  const auto nothing = zeros<float>({2, 3});
  const auto dark = prediction_frame(flat.view(), nothing.view());
  CHECK(std::all_of(dark.begin(), dark.end(), [](std::uint8_t value) { return value == 0; }));
  CHECK_THROWS_WITH(prediction_frame(flat.view(), zeros<float>({3, 2}).view()), Contains("2x3") && Contains("3x2"));
}

TEST_CASE("animations have the names of their images", "[unit]") {
  const auto name = [](const std::string& image, std::int64_t number) {
    const GifSlice one{image, number};
    return gif_names({&one, 1}).front();
  };
  CHECK(name("/data/sub-03/anat/sub-03_T2w.nii.gz", 7) == "sub-03_T2w_slice007.gif");
  CHECK(name("sub-03/ses-1/anat/sub-03_ses-1_T2w.nii", 12) == "sub-03_ses-1_T2w_slice012.gif");
  CHECK(name(R"(C:\data\sub-03\micr\sub-03_SEM.png)", 0) == "sub-03_SEM_slice000.gif");
  CHECK(name("sub-1_sample-A_OM.ome.tif", 1234) == "sub-1_sample-A_OM_slice1234.gif");
  CHECK(name("image", 1) == "image_slice001.gif");
  CHECK(name("a b(1)/ä:*.NII.GZ", 1) == "_____slice001.gif");  // two bytes of ä, ':' and '*'
  CHECK(name("a/.nii.gz", 1) == "_.nii_slice001.gif");
  CHECK(name("", 1) == "__slice001.gif");
  CHECK(name(std::string(400, 'x') + ".nii.gz", 1) == std::string(200, 'x') + "_slice001.gif");
}

TEST_CASE("no two animations share a name", "[unit]") {
  const std::vector<GifSlice> slices{{"one/sub-1_T2w.nii.gz", 3}, {"two/sub-1_T2w.nii.gz", 3},
                                     {"sub-1_T2w.nii", 4},        {"three/SUB-1_T2w.png", 3},
                                     {"sub-1_T2w_slice003-2", 0}, {"two/sub-1_T2w.nii", 3}};
  const auto names = gif_names(slices);
  CHECK(names == std::vector<std::string>{"sub-1_T2w_slice003.gif", "sub-1_T2w_slice003-2.gif",
                                          "sub-1_T2w_slice004.gif", "SUB-1_T2w_slice003-3.gif",
                                          "sub-1_T2w_slice003-2_slice000.gif", "sub-1_T2w_slice003-4.gif"});
  CHECK(gif_names(slices) == names);
  CHECK(gif_names({}).empty());
}
