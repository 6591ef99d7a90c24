// For tests: PNG and TIFF files made byte by byte from their standards, JPEG and compressed TIFF by their libraries.
#pragma once

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE.
#include <jpeglib.h>
#include <tiffio.h>
#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// Unsigned numbers, most significant byte first or last.
inline std::string number(std::uint64_t value, int bytes, bool big_endian) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * (big_endian ? bytes - 1 - i : i)));
  return out;
}

/// Samples of `bits` bits, packed as PNG and TIFF do: the first in the highest bits, rows filled up to whole bytes.
inline std::string pack(const std::vector<std::uint32_t>& samples, std::size_t in_row, int bits, bool big_endian) {
  std::string out;
  for (std::size_t begin = 0; begin < samples.size(); begin += in_row) {
    if (bits >= 8 && bits % 8 == 0) {
      for (std::size_t i = 0; i < in_row; ++i) out += number(samples[begin + i], bits / 8, big_endian);
      continue;
    }
    unsigned held = 0;
    int have = 0;
    for (std::size_t i = 0; i < in_row; ++i) {
      held = held << bits | samples[begin + i];
      for (have += bits; have >= 8; have -= 8) out += static_cast<char>(held >> (have - 8));
    }
    if (have > 0) out += static_cast<char>(held << (8 - have));
  }
  return out;
}

/// A PNG: `samples` by row, pixel and channel.
struct Png {
  std::uint32_t width = 3;
  std::uint32_t height = 2;
  int bits = 8;
  int colour_type = 0;  ///< 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
  std::vector<std::uint32_t> samples;
  std::string palette;  ///< three bytes a colour

  [[nodiscard]] static std::string chunk(const std::string& type, const std::string& content) {
    const std::string all = type + content;
    const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(all.data()), static_cast<uInt>(all.size()));
    return number(content.size(), 4, true) + all + number(sum, 4, true);
  }
  [[nodiscard]] std::string bytes() const {
    const std::size_t channels = colour_type == 2 ? 3 : colour_type == 4 ? 2 : colour_type == 6 ? 4 : 1;
    const std::string rows = pack(samples, width * channels, bits, true);
    std::string filtered;
    for (std::size_t r = 0; r < height; ++r)
      filtered += '\0' + rows.substr(r * rows.size() / height, rows.size() / height);
    std::string packed(compressBound(static_cast<uLong>(filtered.size())), '\0');
    auto size = static_cast<uLongf>(packed.size());
    compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(filtered.data()),
             static_cast<uLong>(filtered.size()));
    packed.resize(size);
    std::string header = number(width, 4, true) + number(height, 4, true);
    header += static_cast<char>(bits);
    header += static_cast<char>(colour_type);
    header += std::string(3, '\0');
    return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + (palette.empty() ? "" : chunk("PLTE", palette)) +
           chunk("IDAT", packed) + chunk("IEND", "");
  }
};

/// A page of a TIFF without compression: `data` is its one strip, or one strip (or tile) a plane or place.
struct TiffPart {
  std::uint32_t width = 3;
  std::uint32_t height = 2;
  int bits = 8;
  int samples = 1;
  int photometric = 1;
  int format = 1;
  int planes = 1;
  std::uint32_t tile = 0;  ///< side of a tile; 0: strips
  bool reduced = false;
  std::string description{};
  std::vector<std::uint16_t> palette{};
  std::vector<std::string> data{};
};

/// A classic TIFF of several pages.
inline std::string tiff(const std::vector<TiffPart>& pages, bool big_endian = false) {
  const auto n = [&](std::uint64_t value, int bytes) { return number(value, bytes, big_endian); };
  std::string out = (big_endian ? "MM" : "II") + n(42, 2) + n(0, 4);
  std::size_t link = 4;
  for (const auto& page : pages) {
    std::string offsets;
    std::string sizes;
    for (const auto& part : page.data) {
      offsets += n(out.size(), 4);
      sizes += n(part.size(), 4);
      out += part;
    }
    std::vector<std::string> entries;
    const auto add = [&](int tag, int type, std::size_t count, std::string value) {
      if (value.size() > 4) {
        if (out.size() % 2 == 1) out += '\0';
        const std::size_t place = out.size();
        out += value;
        value = n(place, 4);
      }
      value.resize(4, '\0');
      entries.push_back(n(static_cast<std::uint64_t>(tag), 2) + n(static_cast<std::uint64_t>(type), 2) + n(count, 4) +
                        value);
    };
    const auto shorts = [&](int tag, int value, std::size_t count = 1) {
      std::string all;
      for (std::size_t i = 0; i < count; ++i) all += n(static_cast<std::uint64_t>(value), 2);
      add(tag, 3, count, all);
    };
    if (page.reduced) add(254, 4, 1, n(1, 4));
    add(256, 4, 1, n(page.width, 4));
    add(257, 4, 1, n(page.height, 4));
    shorts(258, page.bits, static_cast<std::size_t>(page.samples));
    shorts(259, 1);
    shorts(262, page.photometric);
    if (!page.description.empty()) add(270, 2, page.description.size() + 1, page.description + '\0');
    if (page.tile == 0) add(273, 4, page.data.size(), offsets);
    shorts(277, page.samples);
    if (page.tile == 0) {
      add(278, 4, 1, n(page.height, 4));
      add(279, 4, page.data.size(), sizes);
    }
    shorts(284, page.planes);
    if (!page.palette.empty()) {
      std::string map;
      for (const auto value : page.palette) map += n(value, 2);
      add(320, 3, page.palette.size(), map);
    }
    if (page.tile != 0) {
      add(322, 4, 1, n(page.tile, 4));
      add(323, 4, 1, n(page.tile, 4));
      add(324, 4, page.data.size(), offsets);
      add(325, 4, page.data.size(), sizes);
    }
    if (page.samples == 2 || page.samples == 4) shorts(338, 2);
    shorts(339, page.format, static_cast<std::size_t>(page.samples));
    if (out.size() % 2 == 1) out += '\0';
    out.replace(link, 4, n(out.size(), 4));
    out += n(entries.size(), 2);
    for (const auto& entry : entries) out += entry;
    link = out.size();
    out += n(0, 4);
  }
  return out;
}

/// 8-bit samples as a TIFF that libtiff compresses.
inline void write_compressed_tiff(const std::string& path, std::uint32_t width, std::uint32_t height, int samples,
                                  int compression, const std::vector<std::uint8_t>& pixels) {
  TIFF* file = TIFFOpen(path.c_str(), "w");
  TIFFSetField(file, TIFFTAG_IMAGEWIDTH, width);
  TIFFSetField(file, TIFFTAG_IMAGELENGTH, height);
  TIFFSetField(file, TIFFTAG_BITSPERSAMPLE, 8);
  TIFFSetField(file, TIFFTAG_SAMPLESPERPIXEL, samples);
  TIFFSetField(file, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(file, TIFFTAG_COMPRESSION, compression);
  const bool ycbcr = compression == COMPRESSION_JPEG && samples == 3;
  TIFFSetField(file, TIFFTAG_PHOTOMETRIC,
               ycbcr          ? PHOTOMETRIC_YCBCR
               : samples == 3 ? PHOTOMETRIC_RGB
                              : PHOTOMETRIC_MINISBLACK);
  if (ycbcr) TIFFSetField(file, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  TIFFSetField(file, TIFFTAG_ROWSPERSTRIP, 16);
  auto copy = pixels;
  for (std::uint32_t row = 0; row < height; ++row)
    TIFFWriteScanline(file, copy.data() + std::size_t{row} * width * static_cast<std::size_t>(samples), row, 0);
  TIFFClose(file);
}

/// 8-bit samples as a JPEG of the best quality. Components: 1 grey, 3 RGB, 4 CMYK.
inline std::string jpeg(std::uint32_t width, std::uint32_t height, int components,
                        const std::vector<std::uint8_t>& pixels, bool progressive = false) {
  jpeg_compress_struct file{};
  jpeg_error_mgr manager{};
  file.err = jpeg_std_error(&manager);
  jpeg_create_compress(&file);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&file, &bytes, &size);
  file.image_width = width;
  file.image_height = height;
  file.input_components = components;
  file.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&file);
  jpeg_set_quality(&file, 100, TRUE);
  for (int c = 0; c < file.num_components; ++c) file.comp_info[c].h_samp_factor = file.comp_info[c].v_samp_factor = 1;
  if (progressive) jpeg_simple_progression(&file);
  jpeg_start_compress(&file, TRUE);
  auto copy = pixels;
  while (file.next_scanline < file.image_height) {
    JSAMPROW row = copy.data() + std::size_t{file.next_scanline} * width * static_cast<std::size_t>(components);
    jpeg_write_scanlines(&file, &row, 1);
  }
  jpeg_finish_compress(&file);
  std::string out(reinterpret_cast<char*>(bytes), size);
  jpeg_destroy_compress(&file);
  std::free(bytes);
  return out;
}

}  // namespace test
