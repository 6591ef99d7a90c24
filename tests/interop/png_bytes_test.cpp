#include "ivado/interop/png_bytes.hpp"

#include <png.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("the bytes of a PNG hold the pixels given", "[unit]") {
  const std::int64_t rows = GENERATE(1, 5, 97);
  const std::int64_t columns = GENERATE(1, 64);
  const std::int64_t channels = GENERATE(1, 3);
  Array<std::uint8_t> pixels(channels == 1 ? Shape{rows, columns} : Shape{rows, columns, 3});
  for (std::int64_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * i * 31 + 7 * i);
  const std::string bytes = png_bytes(std::as_const(pixels).view());
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_memory(&header, bytes.data(), bytes.size()) != 0);
  CHECK(header.width == columns);
  CHECK(header.height == rows);
  CHECK(static_cast<std::int64_t>(PNG_IMAGE_SAMPLE_CHANNELS(header.format)) == channels);
  Array<std::uint8_t> back(pixels.shape());
  REQUIRE(png_image_finish_read(&header, nullptr, back.data(), 0, nullptr) != 0);
  CHECK(back == pixels);
}

TEST_CASE("the bytes of a PNG follow a view that is not dense", "[unit]") {
  Array<std::uint8_t> pixels(Shape{2, 3});
  for (std::int64_t i = 0; i < 6; ++i) pixels[i] = static_cast<std::uint8_t>(i);
  const auto turned = std::as_const(pixels).view().permute({1, 0});
  const auto dense = Array<std::uint8_t>::from(turned);
  CHECK(png_bytes(turned) == png_bytes(dense.view()));
  CHECK(png_bytes(turned) != png_bytes(std::as_const(pixels).view()));
}

TEST_CASE("what is no picture has no bytes", "[unit]") {
  const Array<std::uint8_t> two_channels(Shape{4, 4, 2});
  CHECK_THROWS_WITH(png_bytes(two_channels.view()), Contains("4x4x2") && Contains("is no picture"));
  CHECK_THROWS_WITH(png_bytes(ArrayView<const std::uint8_t>(nullptr, Shape{0, 4})), Contains("is no picture"));
}
