// Microscopy pictures: PNG, TIFF and JPEG files of any usual depth, decoded without loss, and what ivado makes of them:
// volumes in grey with the pixel size of their sidecar. Predictions back to PNG. No ITK, no LibTorch.
//
// libpng, libtiff and libjpeg are called directly, not through ITK's modules, which give out pictures whose file ends
// early, take the pages of thumbnails for slices, do not tell alpha from colour, and allocate what a header promises.
//
// Sources: the PNG specification (W3C, second edition), TIFF 6.0 (Adobe 1992), BigTIFF (libtiff), JPEG (ITU-T T.81),
// the BIDS specification, section Microscopy (PixelSize), luminance by ITU-R BT.601.
#pragma once

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE, and jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on
#include <png.h>
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "array.hpp"
#include "atomic_file.hpp"
#include "geometry.hpp"
#include "nifti_header.hpp"
#include "volume.hpp"

namespace ivado {

/// A picture as its file holds it: whole numbers keep their depth, palettes are replaced by their colours, and nothing
/// is scaled but samples of 1, 2 and 4 bits, which become 0 … 255.
///
/// Tags that turn the picture (TIFF's Orientation, EXIF) are not followed: labels are drawn on the rows as stored.
struct Raster {
  std::string path;                   ///< as it was given
  std::string format;                 ///< "PNG", "TIFF" or "JPEG"
  std::int64_t pages = 1;             ///< slices: pages of one TIFF file that are alike
  std::int64_t rows = 0;              ///< height
  std::int64_t columns = 0;           ///< width
  int channels = 1;                   ///< 1 grey, 2 grey and alpha, 3 red green blue, 4 these and alpha
  int bits = 8;                       ///< of a sample in the file: 1 to 64
  std::string type;                   ///< of a sample in memory: "uint8", "uint16", "float32", …
  int datatype = 2;                   ///< the code of `type` in the NIfTI standard
  Array<std::uint8_t> bytes;          ///< samples [page, row, column, channel] in the byte order of this machine
  std::vector<std::string> warnings;  ///< what is odd but can be read, one sentence each

  /// Number of samples that are colours: 1 or 3.
  [[nodiscard]] int colours() const noexcept { return channels < 3 ? 1 : 3; }
  /// Whether the last channel is alpha.
  [[nodiscard]] bool has_alpha() const noexcept { return channels == 2 || channels == 4; }
  /// The largest number that a sample can be; 1 for floating and signed types, which have no full scale.
  [[nodiscard]] IVADO_INLINE double full_scale() const noexcept {
    if (!type.starts_with("uint")) return 1;
    return std::exp2(bits < 8 ? 8 : bits) - 1;
  }
  /// The grey value of a pixel, from its samples: that of grey itself, and of colours their luminance
  /// 0.299 R + 0.587 G + 0.114 B, exact where they are equal. Alpha does not count.
  template <class Stored>
  [[nodiscard]] double grey(const Stored* pixel) const noexcept {
    if (channels < 3) return static_cast<double>(pixel[0]);
    return (299 * static_cast<double>(pixel[0]) + 587 * static_cast<double>(pixel[1]) +
            114 * static_cast<double>(pixel[2])) /
           1000;
  }
  /// One sample.
  [[nodiscard]] IVADO_INLINE double sample(std::int64_t page, std::int64_t row, std::int64_t column,
                                           int channel) const {
    const std::int64_t at = ((page * rows + row) * columns + column) * channels + channel;
    return detail::with_stored_type(datatype, [&](auto number) {
      std::memcpy(&number, bytes.data() + at * static_cast<std::int64_t>(sizeof(number)), sizeof(number));
      return static_cast<double>(number);
    });
  }
};

/// Whether the extension of a file is that of a picture: .png, .tif, .tiff, .jpg, .jpeg, and those of OME-TIFF
/// (.ome.tf2, .ome.tf8, .ome.btf). Case does not count.
[[nodiscard]] IVADO_INLINE bool is_raster(const std::string& path) {
  return detail::ends_with_any(detail::lower_case(path),
                               {".png", ".tif", ".tiff", ".ome.tf2", ".ome.tf8", ".ome.btf", ".jpg", ".jpeg"});
}

namespace detail {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

/// A file that is there and not empty, and its size.
[[nodiscard]] IVADO_INLINE std::pair<File, std::int64_t> open_picture(const std::string& path,
                                                                      const std::string& doing) {
  std::error_code fault;
  const auto status = std::filesystem::status(path, fault);
  if (!std::filesystem::exists(status)) throw data_error(doing, "the file does not exist", "check the path");
  if (std::filesystem::is_directory(status)) throw data_error(doing, "it is a folder", "name the image in it");
  if (!std::filesystem::is_regular_file(status))
    throw data_error(doing, "the file is not a regular file", "copy it to a file");
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path, fault));
  File file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file)
    throw data_error(doing, std::string("the file cannot be opened (") + std::strerror(errno) + ")",
                     "check its permissions");
  if (size == 0) throw data_error(doing, "the file is empty (0 bytes)", "get the file again");
  return {std::move(file), size};
}

/// The format that the first bytes of a file tell; empty where it is none of those that are known.
[[nodiscard]] IVADO_INLINE std::string format_by_content(std::FILE* file) {
  std::array<char, 8> first{};
  const std::string_view magic(first.data(), std::fread(first.data(), 1, first.size(), file));
  std::rewind(file);
  if (magic == "\x89PNG\r\n\x1a\n") return "PNG";
  if (magic.starts_with("\xff\xd8\xff")) return "JPEG";
  for (const std::string_view tiff : {std::string_view("II*\0", 4), std::string_view("MM\0*", 4),
                                      std::string_view("II+\0", 4), std::string_view("MM\0+", 4)})
    if (magic.starts_with(tiff)) return "TIFF";
  if (magic.starts_with("GIF8")) return "GIF";
  if (magic.starts_with("BM")) return "BMP";
  if (magic.starts_with("\x1f\x8b")) return "gzip";
  return {};
}

/// Makes room for the samples of a picture whose other members are set.
IVADO_INLINE void allocate(Raster& raster, const std::string& doing) {
  const auto type = std::find_if(nifti_types.begin(), nifti_types.end(),
                                 [&](const NiftiType& one) { return one.code == raster.datatype; });
  raster.type = type->name;
  try {
    // An array of the shape itself, so that extents whose product overflows are found.
    raster.bytes = Array<std::uint8_t>(Shape{raster.pages, raster.rows, raster.columns, raster.channels, type->bytes});
    // Decoded next to a grey copy in float32.
    if (raster.bytes.size() > std::numeric_limits<std::int64_t>::max() / 8) throw std::bad_alloc();
  } catch (const std::bad_alloc&) {
    throw data_error(doing,
                     text("its ", raster.columns, "x", raster.rows, " pixels of ", raster.channels,
                          " channels do not fit into memory"),
                     "use a machine with more memory or crop the image");
  } catch (const Error&) {
    throw data_error(doing, text("its size of ", raster.columns, "x", raster.rows, " pixels is impossible"),
                     "get the file again");
  }
}

/// Throws where a file is too short for the picture that its header promises, whatever its compression.
/// @param expansion  the most bytes of picture that a byte of file can stand for
IVADO_INLINE void check_promise(double picture_bytes, double expansion, std::int64_t file_bytes, const Raster& raster,
                                const std::string& doing) {
  if (picture_bytes <= expansion * static_cast<double>(file_bytes) + 65536) return;
  throw data_error(doing,
                   text("the file is truncated or corrupt: its header says ", raster.columns, "x", raster.rows,
                        " pixels, for which its ", file_bytes, " bytes are too short"),
                   "get the file again");
}

// ---- PNG

/// What libpng's callbacks see. No member has a destructor that a jump could pass by.
struct PngState {
  std::FILE* file = nullptr;
  std::array<char, 256> error{};
  std::array<char, 256> warning{};
  bool ended = false;  ///< the file ended where bytes were asked for
};

[[noreturn]] IVADO_INLINE void png_fail(png_structp png, png_const_charp message) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state->error.data(), state->error.size(), "%s", message);
  png_longjmp(png, 1);
}
IVADO_INLINE void png_note(png_structp png, png_const_charp message) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state->warning.data(), state->warning.size(), "%s", message);
}
IVADO_INLINE void png_take(png_structp png, png_bytep bytes, png_size_t count) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (std::fread(bytes, 1, count, state->file) == count) return;
  state->ended = true;
  png_error(png, "the file ends");
}

/// Runs a step of libpng; false where it failed. The step jumps out then, so it may hold nothing with a destructor.
template <class Step>
[[nodiscard]] bool png_try(png_structp png, const Step& step) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  step();
  return true;
}

IVADO_INLINE void read_png(std::FILE* file, std::int64_t file_bytes, Raster& raster, const std::string& doing) {
  PngState state;
  state.file = file;
  struct Reader {
    png_structp png = nullptr;
    png_infop info = nullptr;
    ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  } reader;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, &png_fail, &png_note);
  if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) throw internal_error(doing, "libpng could not be started");
  const png_structp png = reader.png;
  const png_infop info = reader.info;
  const auto refuse = [&] {
    if (state.ended) throw data_error(doing, "the file is truncated: it ends within the picture", "get the file again");
    throw data_error(doing, std::string("the file is corrupt: ") + state.error.data(), "get the file again");
  };
  int colour_type = 0;
  if (!png_try(png, [&] {
        png_set_read_fn(png, &state, &png_take);
        png_read_info(png, info);
        colour_type = png_get_color_type(png, info);
        raster.rows = png_get_image_height(png, info);
        raster.columns = png_get_image_width(png, info);
        raster.bits = png_get_bit_depth(png, info);
      }))
    refuse();
  // Deflate packs 1032 bytes into one at most.
  check_promise(static_cast<double>(png_get_rowbytes(png, info) + 1) * static_cast<double>(raster.rows), 1032,
                file_bytes, raster, doing);
  if (!png_try(png, [&] {
        png_set_expand(png);  // palettes, fewer than 8 bits, and a transparent colour
        if (raster.bits == 16 && std::endian::native == std::endian::little) png_set_swap(png);
        png_set_interlace_handling(png);
        png_read_update_info(png, info);
        raster.channels = png_get_channels(png, info);
        raster.datatype = png_get_bit_depth(png, info) == 16 ? 512 : 2;
      }))
    refuse();
  if (colour_type == PNG_COLOR_TYPE_PALETTE) raster.bits = 8;
  allocate(raster, doing);
  std::vector<png_bytep> row_places(static_cast<std::size_t>(raster.rows));
  for (std::size_t row = 0; row < row_places.size(); ++row)
    row_places[row] = raster.bytes.data() + row * png_get_rowbytes(png, info);
  if (!png_try(png, [&] {
        png_read_image(png, row_places.data());
        png_read_end(png, nullptr);
      }))
    refuse();
  if (state.warning[0] != 0) raster.warnings.push_back(std::string("libpng says: ") + state.warning.data());
}

// ---- JPEG

/// What libjpeg's callbacks see.
struct JpegState {
  jpeg_error_mgr manager{};
  std::jmp_buf place{};
  std::array<char, JMSG_LENGTH_MAX> error{};
  std::array<char, JMSG_LENGTH_MAX> warning{};
  jpeg_progress_mgr progress{};
};

[[noreturn]] IVADO_INLINE void jpeg_fail(j_common_ptr jpeg) {
  auto* state = static_cast<JpegState*>(jpeg->client_data);
  state->manager.format_message(jpeg, state->error.data());
  std::longjmp(state->place, 1);
}
/// libjpeg warns of what spoils the picture and of what does not: the former is an error here.
IVADO_INLINE void jpeg_note(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  auto* state = static_cast<JpegState*>(jpeg->client_data);
  const int code = state->manager.msg_code;
  if (code != JWRN_EXTRANEOUS_DATA && code != JWRN_JFIF_MAJOR && code != JWRN_ADOBE_XFORM) jpeg_fail(jpeg);
  state->manager.format_message(jpeg, state->warning.data());
}
/// A small file can hold so many scans that it takes hours; none that is meant well has over a few dozen.
IVADO_INLINE void jpeg_watch(j_common_ptr jpeg) {
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= 200) return;
  auto* state = static_cast<JpegState*>(jpeg->client_data);
  std::snprintf(state->error.data(), state->error.size(), "it has over 200 scans");
  std::longjmp(state->place, 1);
}

/// As `png_try`, for libjpeg.
template <class Step>
[[nodiscard]] bool jpeg_try(JpegState& state, const Step& step) {
  if (setjmp(state.place) != 0) return false;
  step();
  return true;
}

IVADO_INLINE void read_jpeg(std::FILE* file, std::int64_t file_bytes, Raster& raster, const std::string& doing) {
  JpegState state;
  struct Reader {
    jpeg_decompress_struct jpeg{};
    ~Reader() { jpeg_destroy_decompress(&jpeg); }
  } reader;
  jpeg_decompress_struct& jpeg = reader.jpeg;
  jpeg.err = jpeg_std_error(&state.manager);
  jpeg.client_data = &state;
  state.manager.error_exit = &jpeg_fail;
  state.manager.emit_message = &jpeg_note;
  state.progress.progress_monitor = &jpeg_watch;
  const auto refuse = [&] {
    throw data_error(doing, std::string("the file is truncated or corrupt: ") + state.error.data(),
                     "get the file again");
  };
  if (!jpeg_try(state, [&] {
        jpeg_create_decompress(&jpeg);
        jpeg.client_data = &state;
        jpeg.progress = &state.progress;
        jpeg_stdio_src(&jpeg, file);
        jpeg_read_header(&jpeg, TRUE);
      }))
    refuse();
  if (jpeg.num_components != 1 && jpeg.num_components != 3)
    throw data_error(doing, text("it has ", jpeg.num_components, " colour components (such as CMYK), expected 1 or 3"),
                     "save it as grey or RGB");
  raster.rows = jpeg.image_height;
  raster.columns = jpeg.image_width;
  raster.channels = jpeg.num_components;
  // A block of 64 pixels takes at least a bit; arithmetic coding may do with a little less.
  check_promise(static_cast<double>(raster.rows) * static_cast<double>(raster.columns), 4096, file_bytes, raster,
                doing);
  allocate(raster, doing);
  const std::int64_t row_bytes = raster.columns * raster.channels;
  if (!jpeg_try(state, [&] {
        jpeg.out_color_space = jpeg.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_start_decompress(&jpeg);
        while (jpeg.output_scanline < jpeg.output_height) {
          JSAMPROW row = raster.bytes.data() + static_cast<std::int64_t>(jpeg.output_scanline) * row_bytes;
          jpeg_read_scanlines(&jpeg, &row, 1);
        }
        jpeg_finish_decompress(&jpeg);
      }))
    refuse();
  if (state.warning[0] != 0) raster.warnings.push_back(std::string("libjpeg says: ") + state.warning.data());
}

// ---- TIFF

/// What libtiff says of one file.
struct TiffState {
  std::string error;  ///< the first
  std::vector<std::string> warnings;
};

IVADO_INLINE int tiff_fail(TIFF*, void* user, const char*, const char* format, std::va_list arguments) noexcept {
  auto* state = static_cast<TiffState*>(user);
  std::array<char, 256> message{};
  std::vsnprintf(message.data(), message.size(), format, arguments);
  if (state->error.empty()) state->error = message.data();
  return 1;
}
IVADO_INLINE int tiff_note(TIFF*, void* user, const char*, const char* format, std::va_list arguments) noexcept {
  auto* state = static_cast<TiffState*>(user);
  // Private tags of microscopes are no concern of anybody.
  if (std::string_view(format).starts_with("Unknown field with tag") || state->warnings.size() > 7) return 1;
  std::array<char, 256> message{};
  std::vsnprintf(message.data(), message.size(), format, arguments);
  state->warnings.emplace_back(std::string("libtiff says: ") + message.data());
  return 1;
}

/// How the samples of one page lie.
struct TiffPage {
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::uint16_t bits = 1;
  std::uint16_t samples = 1;
  std::uint16_t format = SAMPLEFORMAT_UINT;
  std::uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  std::uint16_t planes = PLANARCONFIG_CONTIG;
  std::uint16_t compression = COMPRESSION_NONE;
  bool reduced = false;  ///< a thumbnail or a mask of another page
  bool tiled = false;

  [[nodiscard]] IVADO_INLINE bool same_picture(const TiffPage& other) const noexcept {
    return rows == other.rows && columns == other.columns && bits == other.bits && samples == other.samples &&
           format == other.format && photometric == other.photometric;
  }
};

[[nodiscard]] IVADO_INLINE TiffPage tiff_page(TIFF* tiff) {
  TiffPage page;
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &page.rows);
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &page.columns);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &page.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &page.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &page.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &page.planes);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &page.compression);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &page.photometric);
  std::uint32_t kind = 0;
  if (TIFFGetField(tiff, TIFFTAG_SUBFILETYPE, &kind) == 1)
    page.reduced = (kind & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) != 0;
  page.tiled = TIFFIsTiled(tiff) != 0;
  if (page.format == SAMPLEFORMAT_VOID) page.format = SAMPLEFORMAT_UINT;
  return page;
}

/// NIfTI's code for the numbers of a page in memory; nothing where ivado does not read them.
[[nodiscard]] IVADO_INLINE std::optional<int> tiff_datatype(const TiffPage& page) {
  switch (page.format) {
    case SAMPLEFORMAT_UINT:
      if (page.bits == 1 || page.bits == 2 || page.bits == 4 || page.bits == 8) return 2;
      if (page.bits > 8 && page.bits <= 16) return 512;
      if (page.bits == 32) return 768;
      break;
    case SAMPLEFORMAT_INT:
      if (page.bits == 8) return 256;
      if (page.bits == 16) return 4;
      if (page.bits == 32) return 8;
      break;
    case SAMPLEFORMAT_IEEEFP:
      if (page.bits == 32) return 16;
      if (page.bits == 64) return 64;
      break;
    default:
      break;
  }
  return std::nullopt;
}

/// Checks that a page is grey or RGB of a type that is read, and gives its channels.
[[nodiscard]] IVADO_INLINE int tiff_channels(const TiffPage& page, const std::string& doing) {
  constexpr std::string_view rule = "save it as grey or RGB, 8 or 16 bits, without or with alpha";
  if (page.compression != COMPRESSION_NONE && TIFFIsCODECConfigured(page.compression) == 0)
    throw data_error(doing, text("its compression (number ", page.compression, ") is not supported"),
                     "save it without compression");
  if (!tiff_datatype(page))
    throw data_error(doing,
                     text("its samples of ", page.bits, " bits, sample format ", page.format, ", are not supported"),
                     std::string(rule));
  if (page.rows == 0 || page.columns == 0)
    throw data_error(doing, text("its size is ", page.columns, "x", page.rows, " pixels"), "get the file again");
  const bool grey = page.photometric == PHOTOMETRIC_MINISBLACK || page.photometric == PHOTOMETRIC_MINISWHITE;
  const bool palette = page.photometric == PHOTOMETRIC_PALETTE && page.format == SAMPLEFORMAT_UINT && page.bits <= 8;
  const bool colour = page.photometric == PHOTOMETRIC_RGB ||
                      (page.photometric == PHOTOMETRIC_YCBCR && page.compression == COMPRESSION_JPEG &&
                       page.samples == 3 && page.planes == PLANARCONFIG_CONTIG);
  if (!grey && !palette && !colour)
    throw data_error(doing, text("its colour model (photometric interpretation ", page.photometric, ") is not read"),
                     std::string(rule));
  const int channels = page.samples;
  if (channels < (colour ? 3 : 1) || channels > (colour ? 4 : palette ? 1 : 2))
    throw data_error(doing, text("it has ", channels, " channels of ", colour ? "colour" : "grey"),
                     "save one channel a file, or " + std::string(rule));
  if (page.photometric == PHOTOMETRIC_MINISWHITE && page.format != SAMPLEFORMAT_UINT)
    throw data_error(doing, "0 is white in it, and its numbers have no largest one", std::string(rule));
  return palette ? 3 : channels;
}

/// The samples of a row as bytes of whole numbers: 8 bits up to 8, else 16; others as they are.
/// @param step  distance between two samples in `to`, in samples
IVADO_INLINE void unpack(const std::uint8_t* from, std::uint8_t* to, std::int64_t count, std::int64_t step, int bits,
                         bool scale) {
  if (bits % 8 == 0) {
    const std::int64_t size = bits / 8;
    for (std::int64_t i = 0; i < count; ++i)
      std::memcpy(to + i * step * size, from + i * size, static_cast<std::size_t>(size));
    return;
  }
  const unsigned factor = scale && bits < 8 ? 255U / ((1U << bits) - 1U) : 1U;
  std::uint32_t held = 0;
  int have = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    for (; have < bits; have += 8) held = held << 8 | *from++;
    have -= bits;
    const unsigned value = (held >> have & ((1U << bits) - 1U)) * factor;
    if (bits < 8) {
      to[i * step] = static_cast<std::uint8_t>(value);
    } else {
      const auto wide = static_cast<std::uint16_t>(value);
      std::memcpy(to + i * step * 2, &wide, 2);
    }
  }
}

/// What one page needs on its way into `Raster::bytes`: planes, tiles or rows, bits, white 0, palette.
class TiffPageReader {
 public:
  TiffPageReader(TIFF* tiff, const TiffPage& page, Raster& raster, const TiffState& state, const std::string& doing)
      : tiff_(tiff), page_(page), raster_(raster), state_(state), doing_(doing) {}

  /// Reads the page that is current in the file.
  IVADO_INLINE void read(std::int64_t number) {
    if (page_.compression == COMPRESSION_JPEG && page_.photometric == PHOTOMETRIC_YCBCR)
      TIFFSetField(tiff_, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    const std::int64_t pixels = raster_.rows * raster_.columns;
    const bool palette = page_.photometric == PHOTOMETRIC_PALETTE;
    sample_bytes_ = page_.bits <= 8 ? 1 : page_.bits <= 16 ? 2 : page_.bits / 8;
    to_ = raster_.bytes.data() + number * pixels * raster_.channels * sample_bytes_;
    samples_ = page_.samples;
    std::vector<std::uint8_t> indices;
    if (palette) {
      indices.resize(static_cast<std::size_t>(pixels));
      to_ = indices.data();
    }
    const bool separate = page_.planes == PLANARCONFIG_SEPARATE && page_.samples > 1;
    for (int plane = 0; plane < (separate ? page_.samples : 1); ++plane) {
      in_row_ = separate ? 1 : page_.samples;
      if (page_.tiled)
        read_tiles(plane);
      else
        read_rows(plane);
    }
    if (palette) colour(indices, raster_.bytes.data() + number * pixels * 3);
    if (page_.photometric == PHOTOMETRIC_MINISWHITE) invert(pixels);
  }

 private:
  [[noreturn]] IVADO_INLINE void fail() const {
    throw data_error(doing_,
                     "the file is truncated or corrupt" + (state_.error.empty() ? std::string() : ": " + state_.error),
                     "get the file again");
  }
  /// Puts `count` pixels of a plane at a place.
  IVADO_INLINE void put(const std::uint8_t* from, std::int64_t row, std::int64_t column, std::int64_t count,
                        int plane) {
    std::uint8_t* to = to_ + ((row * raster_.columns + column) * samples_ + plane) * sample_bytes_;
    if (in_row_ == samples_)
      unpack(from, to, count * samples_, 1, page_.bits, page_.photometric != PHOTOMETRIC_PALETTE);
    else
      unpack(from, to, count, samples_, page_.bits, true);
  }
  /// Throws where libtiff's rows or tiles are shorter than their samples.
  IVADO_INLINE void check_room(std::int64_t bytes, std::int64_t pixels) const {
    if (bytes < (pixels * in_row_ * page_.bits + 7) / 8) fail();
  }
  IVADO_INLINE void read_rows(int plane) {
    const std::int64_t bytes = TIFFScanlineSize64(tiff_) > 0 ? TIFFScanlineSize(tiff_) : 0;
    check_room(bytes, raster_.columns);
    std::vector<std::uint8_t> row(static_cast<std::size_t>(bytes));
    for (std::int64_t r = 0; r < raster_.rows; ++r) {
      if (TIFFReadScanline(tiff_, row.data(), static_cast<std::uint32_t>(r), static_cast<std::uint16_t>(plane)) < 0)
        fail();
      put(row.data(), r, 0, raster_.columns, plane);
    }
  }
  IVADO_INLINE void read_tiles(int plane) {
    std::uint32_t width = 0;
    std::uint32_t length = 0;
    TIFFGetField(tiff_, TIFFTAG_TILEWIDTH, &width);
    TIFFGetField(tiff_, TIFFTAG_TILELENGTH, &length);
    const std::int64_t bytes = TIFFTileSize(tiff_);
    if (width == 0 || length == 0 || bytes <= 0) fail();
    const std::int64_t row_bytes = (static_cast<std::int64_t>(width) * in_row_ * page_.bits + 7) / 8;
    if (bytes / length < row_bytes) fail();
    // A tile is filled up beyond the picture, but not by more than itself.
    check_promise(static_cast<double>(bytes), 4096, std::filesystem::file_size(raster_.path), raster_, doing_);
    std::vector<std::uint8_t> tile(static_cast<std::size_t>(bytes));
    for (std::int64_t top = 0; top < raster_.rows; top += length)
      for (std::int64_t left = 0; left < raster_.columns; left += width) {
        if (TIFFReadTile(tiff_, tile.data(), static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(top), 0,
                         static_cast<std::uint16_t>(plane)) < 0)
          fail();
        for (std::int64_t r = top; r < std::min<std::int64_t>(top + length, raster_.rows); ++r)
          put(tile.data() + (r - top) * row_bytes, r, left, std::min<std::int64_t>(width, raster_.columns - left),
              plane);
      }
  }
  IVADO_INLINE void colour(const std::vector<std::uint8_t>& indices, std::uint8_t* to) {
    std::array<std::uint16_t*, 3> map{};
    if (TIFFGetField(tiff_, TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]) != 1)
      throw data_error(doing_, "the file is corrupt: it has a palette picture without a palette", "get the file again");
    // Colours have 16 bits; some writers fill 8 of them.
    const std::size_t entries = std::size_t{1} << page_.bits;
    bool wide = false;
    for (const auto* channel : map)
      wide = wide || std::any_of(channel, channel + entries, [](std::uint16_t value) { return value > 255; });
    for (std::size_t i = 0; i < indices.size(); ++i)
      for (std::size_t c = 0; c < 3; ++c)
        to[3 * i + c] = static_cast<std::uint8_t>(wide ? map[c][indices[i]] >> 8 : map[c][indices[i]]);
  }
  /// Turns a picture in which 0 is white; alpha stays.
  IVADO_INLINE void invert(std::int64_t pixels) {
    with_stored_type(raster_.datatype, [&](auto number) {
      using Stored = decltype(number);
      if constexpr (std::is_unsigned_v<Stored>) {
        const auto largest = static_cast<Stored>(raster_.full_scale());
        for (std::int64_t i = 0; i < pixels; ++i) {
          std::uint8_t* place = to_ + i * samples_ * sample_bytes_;
          std::memcpy(&number, place, sizeof(number));
          number = static_cast<Stored>(largest - number);
          std::memcpy(place, &number, sizeof(number));
        }
      }
    });
  }

  TIFF* tiff_;
  const TiffPage& page_;
  Raster& raster_;
  const TiffState& state_;
  const std::string& doing_;
  std::uint8_t* to_ = nullptr;
  std::int64_t sample_bytes_ = 1;
  int samples_ = 1;
  int in_row_ = 1;  ///< samples of a pixel that lie together
};

/// The number behind a word of a TIFF's description: "channels=3" of ImageJ, SizeC="3" of OME; 1 where it is not there.
[[nodiscard]] IVADO_INLINE std::int64_t described(std::string_view description, std::string_view word) {
  const auto at = description.find(word);
  if (at == std::string_view::npos) return 1;
  std::int64_t value = 0;
  for (const char c : description.substr(at + word.size())) {
    if (c < '0' || c > '9' || value > 1000000) break;
    value = 10 * value + (c - '0');
  }
  return std::max<std::int64_t>(value, 1);
}

IVADO_INLINE void read_tiff(std::FILE*, std::int64_t file_bytes, Raster& raster, const std::string& doing) {
  TiffState state;
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             &TIFFOpenOptionsFree);
  if (!options) throw internal_error(doing, "libtiff could not be started");
  // Handlers of this file alone: libtiff's own are global and print to the terminal.
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), &tiff_fail, &state);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), &tiff_note, &state);
  // m: not mapped into memory, where a file that is cut meanwhile ends the program.
  const std::unique_ptr<TIFF, void (*)(TIFF*)> file(TIFFOpenExt(raster.path.c_str(), "rm", options.get()), &TIFFClose);
  TIFF* tiff = file.get();
  const auto refuse = [&] {
    throw data_error(doing,
                     "the file is truncated or corrupt" + (state.error.empty() ? std::string() : ": " + state.error),
                     "get the file again");
  };
  if (tiff == nullptr) refuse();

  const TiffPage first = tiff_page(tiff);
  raster.channels = tiff_channels(first, doing);
  raster.rows = first.rows;
  raster.columns = first.columns;
  raster.bits = first.photometric == PHOTOMETRIC_PALETTE ? 8 : first.bits;
  raster.datatype = *tiff_datatype(first);
  std::string description;
  if (const char* words = nullptr; TIFFGetField(tiff, TIFFTAG_IMAGEDESCRIPTION, &words) == 1 && words != nullptr)
    description = words;
  std::uint16_t orientation = ORIENTATION_TOPLEFT;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
  if (orientation != ORIENTATION_TOPLEFT)
    raster.warnings.push_back(text("its tag Orientation is ", orientation, " and is not followed"));

  // The pages that are alike are slices; the others are not the image.
  std::vector<tdir_t> slices{TIFFCurrentDirectory(tiff)};
  std::size_t others = 0;
  while (TIFFReadDirectory(tiff) == 1) {
    const TiffPage page = tiff_page(tiff);
    if (!page.reduced && page.same_picture(first))
      slices.push_back(TIFFCurrentDirectory(tiff));
    else
      ++others;
  }
  if (!state.error.empty()) refuse();
  if (others > 0)
    raster.warnings.push_back(
        text("pages of another size or type are left out, as thumbnails and overviews are: ", others));
  raster.pages = static_cast<std::int64_t>(slices.size());
  if (raster.pages > 1) {
    for (const std::string_view word : {"channels=", "SizeC=\"", "frames=", "SizeT=\""}) {
      const bool channels = word == "channels=" || word == "SizeC=\"";
      const std::int64_t count = described(description, word);
      if (count == 1 || (channels && count == first.samples)) continue;  // colours of one page count as channels
      throw data_error(doing,
                       text("its ", raster.pages, " pages are ", count, channels ? " channels" : " times",
                            ", expected the slices of one grey or colour image"),
                       "split it into one file for each channel and time");
    }
    raster.warnings.push_back(text("its ", raster.pages, " pages are read as slices, one behind the other"));
  }
  const double expansion = first.compression == COMPRESSION_NONE       ? 1
                           : first.compression == COMPRESSION_PACKBITS ? 64
                           : first.compression == COMPRESSION_LZW || first.compression == COMPRESSION_ADOBE_DEFLATE ||
                                   first.compression == COMPRESSION_DEFLATE
                               ? 4096
                               : std::numeric_limits<double>::infinity();
  check_promise(static_cast<double>(first.rows) * first.columns * first.samples * first.bits / 8 *
                    static_cast<double>(raster.pages),
                expansion, file_bytes, raster, doing);
  allocate(raster, doing);
  for (std::size_t i = 0; i < slices.size(); ++i) {
    if (TIFFSetDirectory(tiff, slices[i]) != 1) refuse();
    const TiffPage page = tiff_page(tiff);
    if (tiff_channels(page, doing) != raster.channels) refuse();
    TiffPageReader(tiff, page, raster, state, doing).read(static_cast<std::int64_t>(i));
  }
  // libtiff fills what it cannot decode with zeros, and goes on.
  if (!state.error.empty()) refuse();
  raster.warnings.insert(raster.warnings.end(), state.warnings.begin(), state.warnings.end());
}

}  // namespace detail

/// Reads a picture as it is in its file.
///
/// Read are PNG of any kind; grey, palette and RGB TIFF (BigTIFF and OME-TIFF too, planes and tiles, each compression
/// that libtiff knows) with whole numbers of 1 to 16 and 32 bits or floating numbers; grey and colour JPEG. Several
/// pages of a TIFF that are alike are slices; where its description says that they are channels or times it is refused.
/// Safe to be called from several threads at once.
/// @throws Error (data) that names the file if it cannot be used: missing, empty, truncated, corrupt, of another format
///   than its extension says, or of a kind that ivado does not read
[[nodiscard]] IVADO_INLINE Raster read_raster(const std::string& path) {
  const std::string doing = "reading " + path;
  if (!is_raster(path))
    throw data_error(doing, "its extension is none of PNG, TIFF and JPEG", "name it .png, .tif or .jpg if it is one");
  Raster raster;
  raster.path = path;
  const std::string name = detail::lower_case(path);
  raster.format = name.ends_with(".png") ? "PNG" : detail::ends_with_any(name, {".jpg", ".jpeg"}) ? "JPEG" : "TIFF";
  const auto [file, bytes] = detail::open_picture(path, doing);
  const std::string content = detail::format_by_content(file.get());
  if (content != raster.format)
    throw data_error(doing,
                     "its extension says " + raster.format + ", its first bytes " +
                         (content.empty() ? "no format that is known: the file is corrupt" : content),
                     content.empty() ? "get the file again" : "give it the extension of its format");
  if (raster.format == "PNG")
    detail::read_png(file.get(), bytes, raster, doing);
  else if (raster.format == "JPEG")
    detail::read_jpeg(file.get(), bytes, raster, doing);
  else
    detail::read_tiff(file.get(), bytes, raster, doing);
  return raster;
}

/// The lengths of a pixel along rows (down), columns (to the right) and slices, in mm, from BIDS metadata: `PixelSize`
/// [X, Y] or [X, Y, Z] and `PixelSizeUnits` mm, um or nm. X is that along the columns. Where Z is missing or 0 it is
/// X, as in ivadomed.
/// @param path  of the image, for messages
/// @throws Error (data) if one of the two is missing or cannot be used
[[nodiscard]] IVADO_INLINE std::array<double, 3> pixel_size_mm(const Json& metadata, const std::string& path) {
  const std::string doing = "reading the pixel size of " + path;
  const auto find = [&](const char* key) {
    const auto found = metadata.is_object() ? metadata.find(key) : metadata.end();
    if (!metadata.is_object() || found == metadata.end() || found->is_null())
      throw data_error(doing, std::string("its metadata have no ") + key,
                       "write a JSON sidecar with \"PixelSize\": [X, Y] and \"PixelSizeUnits\": \"um\" (BIDS)");
    return *found;
  };
  const Json size = find("PixelSize");
  const Json units = find("PixelSizeUnits");
  const double per_mm = units == "mm" ? 1 : units == "um" ? 1e3 : units == "nm" ? 1e6 : 0;
  if (per_mm == 0) throw data_error(doing, "PixelSizeUnits is " + units.dump(), "give it in \"mm\", \"um\" or \"nm\"");
  std::array<double, 3> xyz{};
  bool good = size.is_array() && (size.size() == 2 || size.size() == 3);
  for (std::size_t i = 0; good && i < size.size(); ++i) {
    good = size[i].is_number();
    if (good) xyz[i] = size[i].get<double>() / per_mm;
    good = good && std::isfinite(xyz[i]) && (xyz[i] > 0 || (i == 2 && xyz[i] == 0));
  }
  if (!good) throw data_error(doing, "PixelSize is " + size.dump(), "give two or three lengths above 0: [X, Y, Z]");
  if (xyz[2] == 0) xyz[2] = xyz[0];
  return {xyz[1], xyz[0], xyz[2]};
}

namespace detail {

/// ivadomed's way to 8 bits: numbers in [0, 1] times 255, others stretched from their least and largest to 0 … 255;
/// then 0.499999999 added and the fraction cut. A constant picture is cut as it is.
IVADO_INLINE void stretch_to_8_bits(Array<float>& grey) {
  const auto [low, high] = std::minmax_element(grey.begin(), grey.end());
  const double least = *low;
  const double largest = *high;
  const bool unit = least >= 0 && largest <= 1;
  const double range = largest - least;
  for (float& value : grey) {
    double byte = value;
    if (unit)
      byte = byte * 255 + 0.499999999;
    else if (range > 0)
      byte = (byte - least) / range * 255 + 0.499999999;
    value = static_cast<float>(std::clamp(std::trunc(byte), 0.0, 255.0));
  }
}

}  // namespace detail

/// What a picture is taken for.
struct RasterUse {
  Kind kind = Kind::image;   ///< labels and regions of interest become numbers in [0, 1]
  bool as_ivadomed = false;  ///< images in 8 bits as ivadomed makes them; labels 0 and 1
};

/// A picture as a volume: (i, j, k) = (row, column, slice), hence the axial slice has H = rows and W = columns as in
/// ivadomed, with an affine that has the pixel size in mm on its diagonal and no other meaning.
///
/// Grey values stay in the depth of the file: 16 bits stay 16 bits. Colour becomes 0.299 R + 0.587 G + 0.114 B, alpha
/// is dropped. ivadomed instead makes 8 bits of everything and stretches colour, but not grey, to the range of each
/// picture; `as_ivadomed` does that. A label is divided by the largest number of its type, so that a mask of 0 and 255
/// has 0 and 1; where it has no number above 1 it is a mask already and stays as it is, with a warning (in ivadomed it
/// would be empty).
/// @param metadata  with the pixel size, see `pixel_size_mm`
/// @param warnings  takes what was odd, one sentence each; may be null
/// @throws Error (data) if the pixel size is missing or wrong
[[nodiscard]] IVADO_INLINE Volume to_volume(const Raster& raster, const Json& metadata, const RasterUse& use = {},
                                            std::vector<std::string>* warnings = nullptr) {
  const auto warn = [&](std::string sentence) {
    if (warnings != nullptr) warnings->push_back(std::move(sentence));
  };
  Volume volume;
  volume.path = raster.path;
  volume.stored_type = raster.type;
  const auto size = pixel_size_mm(metadata, raster.path);
  volume.geometry.shape = Shape{raster.rows, raster.columns, raster.pages};
  for (int axis = 0; axis < 3; ++axis) volume.geometry.affine(axis, axis) = size[static_cast<std::size_t>(axis)];
  if (raster.pages > 1 && (metadata["PixelSize"].size() < 3 || metadata["PixelSize"][2] == 0))
    warn("its PixelSize does not say how far apart its slices are: taken as far as its columns");

  try {
    volume.voxels = Array<float>(Shape{raster.pages, raster.columns, raster.rows});
  } catch (const std::bad_alloc&) {
    throw data_error("reading " + raster.path, "its pixels do not fit into memory", "crop the image");
  }
  std::int64_t transparent = 0;
  detail::with_stored_type(raster.datatype, [&](auto number) {
    using Stored = decltype(number);
    // The bytes come from operator new and were filled with numbers of this type.
    const auto* samples = reinterpret_cast<const Stored*>(raster.bytes.data());
    const int channels = raster.channels;
    const auto opaque = static_cast<double>(raster.full_scale());
    for (std::int64_t page = 0; page < raster.pages; ++page)
      for (std::int64_t row = 0; row < raster.rows; ++row) {
        const Stored* pixel = samples + (page * raster.rows + row) * raster.columns * channels;
        float* voxel = volume.voxels.data() + page * raster.columns * raster.rows + row;
        for (std::int64_t column = 0; column < raster.columns; ++column, pixel += channels, voxel += raster.rows) {
          if constexpr (std::is_same_v<Stored, std::uint16_t>) {
            if (use.as_ivadomed) {  // ivadomed drops the low byte
              std::array<unsigned, 3> high{};
              for (int c = 0; c < raster.colours(); ++c) high[static_cast<std::size_t>(c)] = pixel[c] >> 8U;
              *voxel = static_cast<float>(raster.grey(high.data()));
            } else {
              *voxel = static_cast<float>(raster.grey(pixel));
            }
          } else {
            *voxel = static_cast<float>(raster.grey(pixel));
          }
          if (raster.has_alpha() && static_cast<double>(pixel[channels - 1]) < opaque) ++transparent;
        }
      }
  });
  if (transparent > 0) warn(detail::text(transparent, " pixels are not opaque; their alpha is dropped"));

  const bool whole = raster.type.starts_with("uint") && raster.bits <= 16;
  if (use.as_ivadomed && (raster.colours() == 3 || !whole)) detail::stretch_to_8_bits(volume.voxels);
  if (use.kind == Kind::image) return volume;
  if (use.as_ivadomed) {
    for (float& value : volume.voxels) value = value / 255 >= 0.5F ? 1.0F : 0.0F;
    return volume;
  }
  const double scale = raster.full_scale();
  if (scale == 1) return volume;
  const float largest = *std::max_element(volume.voxels.begin(), volume.voxels.end());
  if (largest == 1) {
    warn(detail::text("its largest value is 1 of ", scale, ": taken for a mask of 0 and 1"));
    return volume;
  }
  for (float& value : volume.voxels) value = static_cast<float>(value / scale);
  return volume;
}

/// Writes a prediction as a grey PNG: a mask (`mask`) in 8 bits, 0 and 255; soft values in 16 bits, 0 … 65535. The file
/// tells the pixel size (pHYs, pixels per metre). It is there whole or not at all; the same input gives the same bytes.
/// @param voxels  (row, column, slice) in [0, 1], with one slice, and perhaps an axis behind for one class
/// @throws Error (usage) if there are several slices or classes, which a PNG cannot hold
/// @throws Error (internal) if values are outside of [0, 1], or the file cannot be written
IVADO_INLINE void write_raster(const std::string& path, ArrayView<const float> voxels, const Geometry& geometry,
                               bool mask) {
  const std::string doing = "writing " + path;
  if (voxels.rank() == 4 && voxels.extent(3) == 1) voxels = voxels.select(3, 0);
  if (voxels.rank() != 3 || voxels.extent(2) != 1)
    throw usage_error(doing, "a PNG holds one slice of one class, not " + voxels.shape().text(), "write it as NIfTI");
  constexpr std::int64_t largest_side = 1000000;  // what libpng reads again
  if (voxels.size() == 0 || voxels.extent(0) > largest_side || voxels.extent(1) > largest_side)
    throw usage_error(doing, "a PNG has 1 to 1000000 rows and columns, not " + voxels.shape().text(),
                      "write it as NIfTI");
  if (!detail::lower_case(path).ends_with(".png"))
    throw usage_error(doing, "pictures are written as PNG", "let its name end in .png");

  const std::int64_t rows = voxels.extent(0);
  const std::int64_t columns = voxels.extent(1);
  const double scale = mask ? 255 : 65535;
  const std::int64_t row_bytes = columns * (mask ? 1 : 2);
  Array<std::uint8_t> bytes(Shape{rows, row_bytes});
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const double value = static_cast<double>(voxels(r, c, 0));
      if (!(value >= 0 && value <= 1))
        throw internal_error(doing, detail::text("one of its values is ", value, ", expected 0 to 1"),
                             "write it as NIfTI");
      const auto stored = static_cast<unsigned>(std::lround(value * scale));
      std::uint8_t* place = bytes.data() + r * row_bytes + c * (mask ? 1 : 2);
      if (!mask) *place++ = static_cast<std::uint8_t>(stored >> 8);
      *place = static_cast<std::uint8_t>(stored);
    }
  std::vector<png_bytep> row_places(static_cast<std::size_t>(rows));
  for (std::int64_t r = 0; r < rows; ++r) row_places[static_cast<std::size_t>(r)] = bytes.data() + r * row_bytes;
  const auto spacing = geometry.spacing_mm();
  const auto per_metre = [](double mm) {
    const double count = std::round(1000 / mm);
    return count >= 1 && count < 2147483648.0 ? static_cast<png_uint_32>(count) : png_uint_32{0};
  };
  const png_uint_32 across = per_metre(spacing[1]);
  const png_uint_32 down = per_metre(spacing[0]);

  write_atomically(path, [&](const std::string& temporary) {
    detail::PngState state;
    detail::File file(std::fopen(temporary.c_str(), "wb"), &std::fclose);
    if (!file) throw internal_error(doing, std::strerror(errno), "check the permissions of its folder");
    struct Writer {
      png_structp png = nullptr;
      png_infop info = nullptr;
      ~Writer() { png_destroy_write_struct(&png, &info); }
    } writer;
    writer.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, &detail::png_fail, &detail::png_note);
    if (writer.png != nullptr) writer.info = png_create_info_struct(writer.png);
    if (writer.info == nullptr) throw internal_error(doing, "libpng could not be started");
    const bool good = detail::png_try(writer.png, [&] {
      png_init_io(writer.png, file.get());
      png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(columns), static_cast<png_uint_32>(rows),
                   mask ? 8 : 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                   PNG_FILTER_TYPE_DEFAULT);
      if (across > 0 && down > 0) png_set_pHYs(writer.png, writer.info, across, down, PNG_RESOLUTION_METER);
      png_write_info(writer.png, writer.info);
      png_write_image(writer.png, row_places.data());
      png_write_end(writer.png, writer.info);
    });
    if (!good || std::fflush(file.get()) != 0 || std::fclose(file.release()) != 0)
      throw internal_error(doing, good ? std::strerror(errno) : state.error.data(),
                           "check the free space and the permissions of its folder");
  });
}

/// The sidecar that gives a written picture its pixel size again: `PixelSize` [X, Y, Z] and `PixelSizeUnits`.
[[nodiscard]] IVADO_INLINE Json pixel_size_sidecar(const Geometry& geometry) {
  const auto spacing = geometry.spacing_mm();
  return {{"PixelSize", {spacing[1], spacing[0], spacing[2]}}, {"PixelSizeUnits", "mm"}};
}

}  // namespace ivado
