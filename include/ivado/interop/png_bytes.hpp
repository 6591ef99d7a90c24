// A picture as the bytes of a PNG file, for what holds pictures within other files (interop/event_file.hpp).
// Needs libpng 1.6 (link with -lpng).
#pragma once

#include <png.h>

#include <cstdint>
#include <string>
#include <utility>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// The PNG file that `write_png` writes, in memory.
/// @param pixels  [rows, columns] for grey or [rows, columns, 3] for red, green, blue; row 0 is at the top
/// @param doing   what it is for, in messages
/// @throws Error (internal) if the shape is another one
[[nodiscard]] IVADO_INLINE std::string png_bytes(ArrayView<const std::uint8_t> pixels,
                                                 const std::string& doing = "making the bytes of a picture") {
  const bool is_rgb = pixels.rank() == 3 && pixels.extent(2) == 3;
  constexpr std::int64_t largest = 1 << 20;
  if (!(pixels.rank() == 2 || is_rgb) || pixels.size() == 0 || pixels.extent(0) > largest || pixels.extent(1) > largest)
    throw internal_error(doing, "an array of " + pixels.shape().text() + " is no picture",
                         "give [rows, columns] or [rows, columns, 3], up to 1048576 a side");
  Array<std::uint8_t> dense;
  if (!pixels.is_dense()) {
    dense = Array<std::uint8_t>::from(pixels);
    pixels = std::as_const(dense).view();
  }
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.height = static_cast<png_uint_32>(pixels.extent(0));
  header.width = static_cast<png_uint_32>(pixels.extent(1));
  header.format = is_rgb ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(header), '\0');  // more than the file can need
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, pixels.data(), 0, nullptr) == 0)
    throw internal_error(doing, header.message, "this is a fault of libpng or of too little memory");
  bytes.resize(size);
  return bytes;
}

}  // namespace ivado
