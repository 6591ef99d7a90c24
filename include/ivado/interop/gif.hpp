// Animated GIFs: how the prediction of a slice changes from epoch to epoch.
// Needs giflib 5 and libpng 1.6 (link with -lgif -lpng); no other header includes this one.
#pragma once

#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../data/atomic_file.hpp"
#include "../data/geometry.hpp"
#include "../error.hpp"
#include "png.hpp"

namespace ivado {

/// How an animation looks.
struct GifOptions {
  double seconds_per_frame = 1;  ///< in steps of 0.01
  int repeats = 0;               ///< how often the animation is shown again; 0: endlessly
  int scale = 1;                 ///< a pixel becomes a square of so many
  Colour caption_colour{255, 0, 0};
};

namespace detail {

/// A frame as GIF has it: each pixel is a number in a table of up to 256 colours.
struct GifFrame {
  Array<std::uint8_t> pixels;  ///< [rows, columns]
  std::vector<Colour> colours;
};

/// At most `limit` colours for the given ones, of which each occurs `count` times: the means of the parts of a median
/// cut (Heckbert 1982, doi 10.1145/965145.801294). `place[i]` tells which one stands for colour i. Up to `limit`
/// colours stay as they are.
struct ColourTable {
  std::vector<Colour> colours;
  std::vector<std::uint8_t> place;

  ColourTable(const std::vector<std::pair<Colour, std::int64_t>>& counted, std::size_t limit) : place(counted.size()) {
    struct ColourBox {
      std::vector<std::size_t> members;  // of `counted`
      std::size_t axis = 0;              // along which it is longest
      int length = 0;
    };
    const auto measured = [&](std::vector<std::size_t> members) {
      ColourBox box{std::move(members)};
      for (std::size_t axis = 0; axis < 3; ++axis) {
        int low = 255;
        int high = 0;
        for (const auto i : box.members) {
          low = std::min<int>(low, counted[i].first[axis]);
          high = std::max<int>(high, counted[i].first[axis]);
        }
        if (high - low > box.length) {
          box.length = high - low;
          box.axis = axis;
        }
      }
      return box;
    };
    std::vector<std::size_t> all(counted.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    std::vector<ColourBox> boxes{measured(std::move(all))};
    const std::size_t wanted = std::min(limit, counted.size());
    while (boxes.size() < wanted) {
      auto& longest = *std::max_element(boxes.begin(), boxes.end(), [](const ColourBox& a, const ColourBox& b) {
        return std::pair{a.length, a.members.size()} < std::pair{b.length, b.members.size()};
      });
      std::vector<std::size_t> members = std::move(longest.members);
      const std::size_t axis = longest.axis;
      std::stable_sort(members.begin(), members.end(),
                       [&](std::size_t a, std::size_t b) { return counted[a].first[axis] < counted[b].first[axis]; });
      std::int64_t sum = 0;
      for (const auto i : members) sum += counted[i].second;
      std::size_t cut = 0;  // at least one colour goes to either side
      for (std::int64_t below = 0; cut + 1 < members.size() && (cut == 0 || 2 * below < sum); ++cut)
        below += counted[members[cut]].second;
      const auto middle = members.begin() + static_cast<std::ptrdiff_t>(cut);
      longest = measured({members.begin(), middle});
      boxes.push_back(measured({middle, members.end()}));
    }
    for (const auto& box : boxes) {
      std::array<std::int64_t, 3> sums{};
      std::int64_t count = 0;
      for (const auto i : box.members) {
        for (std::size_t axis = 0; axis < 3; ++axis) sums[axis] += counted[i].first[axis] * counted[i].second;
        count += counted[i].second;
        place[i] = static_cast<std::uint8_t>(colours.size());
      }
      Colour mean{};
      for (std::size_t axis = 0; axis < 3; ++axis)
        mean[axis] = static_cast<std::uint8_t>((2 * sums[axis] + count) / (2 * count));
      colours.push_back(mean);
    }
  }
};

/// A picture [rows, columns, 3] in at most 256 colours.
[[nodiscard]] inline GifFrame with_colour_table(const Array<std::uint8_t>& picture) {
  const auto colour_at = [&](std::int64_t i) { return Colour{picture[3 * i], picture[3 * i + 1], picture[3 * i + 2]}; };
  const std::int64_t size = picture.extent(0) * picture.extent(1);
  std::map<Colour, std::int64_t> counts;
  for (std::int64_t i = 0; i < size; ++i) ++counts[colour_at(i)];
  const std::vector<std::pair<Colour, std::int64_t>> counted(counts.begin(), counts.end());
  ColourTable table(counted, 256);
  std::map<Colour, std::uint8_t> places;
  for (std::size_t i = 0; i < counted.size(); ++i) places[counted[i].first] = table.place[i];
  GifFrame frame{Array<std::uint8_t>(Shape{picture.extent(0), picture.extent(1)}), std::move(table.colours)};
  for (std::int64_t i = 0; i < size; ++i) frame.pixels[i] = places[colour_at(i)];
  return frame;
}

/// Draws letters of 8 × 8 pixels into the lower right corner of [rows, columns, 3]; what has no room is cut off on the
/// left.
inline void draw_caption(Array<std::uint8_t>& picture, const std::string& caption, const Colour& colour) {
  const auto out = picture.view();
  const std::int64_t width = GIF_FONT_WIDTH * static_cast<std::int64_t>(caption.size());
  const std::int64_t top = picture.extent(0) - GIF_FONT_HEIGHT - 1;
  const std::int64_t left = picture.extent(1) - width - 1;
  for (std::int64_t x = std::max<std::int64_t>(0, -left); x < width; ++x)
    for (std::int64_t y = std::max<std::int64_t>(0, -top); y < GIF_FONT_HEIGHT; ++y) {
      const auto letter = static_cast<unsigned char>(caption[static_cast<std::size_t>(x / GIF_FONT_WIDTH)]);
      const unsigned row = GifAsciiTable8x8[letter < 128 ? letter : '?'][y];
      if ((row >> (GIF_FONT_WIDTH - 1 - x % GIF_FONT_WIDTH) & 1U) == 0) continue;
      for (std::int64_t k = 0; k < 3; ++k) out(top + y, left + x, k) = colour[static_cast<std::size_t>(k)];
    }
}

[[nodiscard]] inline Error gif_error(const std::string& doing, int code, const std::string& remedy) {
  const char* found = ::GifErrorString(code);
  return internal_error(doing, found != nullptr ? found : "giflib's error " + std::to_string(code), remedy);
}

struct FreeColourMap {
  void operator()(ColorMapObject* map) const noexcept { ::GifFreeMapObject(map); }
};
using ColourMap = std::unique_ptr<ColorMapObject, FreeColourMap>;

/// giflib's own form of a table: a power of two of colours.
[[nodiscard]] inline ColourMap colour_map(const std::vector<Colour>& colours) {
  int size = 2;
  while (size < static_cast<int>(colours.size())) size *= 2;
  ColourMap map(::GifMakeMapObject(size, nullptr));
  if (!map) throw internal_error("making a table of colours", "there is no memory left");
  for (std::size_t i = 0; i < colours.size(); ++i) map->Colors[i] = {colours[i][0], colours[i][1], colours[i][2]};
  return map;
}

}  // namespace detail

/// Collects the frames of one animation and writes them as a GIF.
///
/// Frames are kept in memory, one byte a pixel. Up to 256 colours a frame are kept exactly (all grey pictures are); of
/// more the nearest are merged.
class GifWriter {
 public:
  /// @param path         where `write` puts the animation
  /// @param frames_kept  so many frames of an existing file of that name are kept, as far as it has them: an animation
  ///                     goes on with the training. The others are forgotten, and lost with the next `write`
  /// @throws Error (usage) if an option is out of its range; (data) if frames are to be kept of a file that is no GIF,
  ///         or none of this class
  explicit GifWriter(std::string path, const GifOptions& options = {}, std::int64_t frames_kept = 0)
      : path_(std::move(path)), options_(options) {
    if (!(options.seconds_per_frame >= 0.01 && options.seconds_per_frame <= 655) || options.scale < 1 ||
        options.scale > 64 || options.repeats < 0 || options.repeats > 65535)
      throw usage_error("making the animation " + path_, "an option is out of its range",
                        "seconds_per_frame is in [0.01, 655], scale in [1, 64], repeats in [0, 65535]");
    if (frames_kept > 0 && std::filesystem::exists(path_)) read(frames_kept);
  }

  /// Adds a frame.
  /// @param pixels   [rows, columns] for grey or [rows, columns, 3] for red, green, blue; row 0 is at the top; as large
  ///                 as the other frames
  /// @param caption  is drawn in the lower right corner, 8 pixels a letter: the epoch
  /// @throws Error (internal) if the shape is another one
  void add(ArrayView<const std::uint8_t> pixels, const std::string& caption = {}) {
    const std::string doing = "adding a frame to the animation " + path_;
    const bool is_rgb = pixels.rank() == 3 && pixels.extent(2) == 3;
    const std::int64_t largest = 65535 / options_.scale;
    if (!(pixels.rank() == 2 || is_rgb) || pixels.size() == 0 || pixels.extent(0) > largest ||
        pixels.extent(1) > largest)
      throw internal_error(doing, "an array of " + pixels.shape().text() + " is no picture",
                           "give [rows, columns] or [rows, columns, 3], up to " + std::to_string(largest) + " a side");
    const Shape size{pixels.extent(0) * options_.scale, pixels.extent(1) * options_.scale};
    if (!frames_.empty() && !(frames_.front().pixels.shape() == size))
      throw internal_error(
          doing, "it has " + size.text() + " pixels, the frames before it " + frames_.front().pixels.shape().text(),
          "all frames of an animation are of one size");
    Array<std::uint8_t> picture(Shape{size[0], size[1], 3});
    const auto out = picture.view();
    for (std::int64_t r = 0; r < size[0]; ++r)
      for (std::int64_t c = 0; c < size[1]; ++c)
        for (std::int64_t k = 0; k < 3; ++k) {
          const std::int64_t row = r / options_.scale;
          const std::int64_t column = c / options_.scale;
          out(r, c, k) = is_rgb ? pixels(row, column, k) : pixels(row, column);
        }
    detail::draw_caption(picture, caption, options_.caption_colour);
    frames_.push_back(detail::with_colour_table(picture));
  }

  /// The number of frames.
  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(frames_.size()); }

  /// Writes all frames so far. The file is there whole or not at all; frames can be added and written again.
  /// @throws Error (internal) if there is no frame or the file cannot be written
  void write() const {
    if (frames_.empty()) throw internal_error("writing the animation " + path_, "it has no frame", "add one before");
    write_atomically(path_, [&](const std::string& temporary) { write_to(temporary); });
  }

 private:
  void write_to(const std::string& temporary) const {
    const std::string doing = "writing the animation " + path_;
    const std::string remedy = "check the free space and the permissions of its folder";
    int code = 0;
    GifFileType* file = ::EGifOpenFileName(temporary.c_str(), false, &code);
    if (file == nullptr) throw detail::gif_error(doing, code, remedy);
    struct Close {
      GifFileType*& file;
      ~Close() {
        if (file != nullptr) ::EGifCloseFile(file, nullptr);
      }
    } const close{file};
    const auto check = [&](int result) {
      if (result == GIF_ERROR) throw detail::gif_error(doing, file->Error, remedy);
    };
    const auto rows = static_cast<int>(frames_.front().pixels.extent(0));
    const auto columns = static_cast<int>(frames_.front().pixels.extent(1));
    ::EGifSetGifVersion(file, true);
    check(::EGifPutScreenDesc(file, columns, rows, 8, 0, nullptr));
    // How often it is repeated: Netscape's extension, which all viewers know.
    const std::array<GifByteType, 3> repeats{1, static_cast<GifByteType>(options_.repeats & 0xFF),
                                             static_cast<GifByteType>(options_.repeats >> 8)};
    check(::EGifPutExtensionLeader(file, APPLICATION_EXT_FUNC_CODE));
    check(::EGifPutExtensionBlock(file, 11, "NETSCAPE2.0"));
    check(::EGifPutExtensionBlock(file, static_cast<int>(repeats.size()), repeats.data()));
    check(::EGifPutExtensionTrailer(file));
    GraphicsControlBlock control{};
    control.DisposalMode = DISPOSE_DO_NOT;
    control.DelayTime = static_cast<int>(std::lround(100 * options_.seconds_per_frame));
    control.TransparentColor = NO_TRANSPARENT_COLOR;
    for (const auto& frame : frames_) {
      std::array<GifByteType, 4> bytes{};
      ::EGifGCBToExtension(&control, bytes.data());
      check(::EGifPutExtension(file, GRAPHICS_EXT_FUNC_CODE, static_cast<int>(bytes.size()), bytes.data()));
      const auto map = detail::colour_map(frame.colours);
      check(::EGifPutImageDesc(file, 0, 0, columns, rows, false, map.get()));
      std::vector<GifPixelType> line(static_cast<std::size_t>(columns));  // giflib may write to it
      for (int r = 0; r < rows; ++r) {
        std::copy_n(frame.pixels.data() + std::int64_t{r} * columns, columns, line.begin());
        check(::EGifPutLine(file, line.data(), columns));
      }
    }
    if (::EGifCloseFile(std::exchange(file, nullptr), &code) == GIF_ERROR) throw detail::gif_error(doing, code, remedy);
  }

  /// Takes the first frames of the file that is there.
  void read(std::int64_t frames_kept) {
    const std::string doing = "going on with the animation " + path_;
    const std::string remedy = "move it away: the animation then begins anew";
    int code = 0;
    GifFileType* file = ::DGifOpenFileName(path_.c_str(), &code);
    const auto broken = [&](const std::string& found) { return data_error(doing, found, remedy); };
    const auto found = [](int number) {
      const char* said = ::GifErrorString(number);
      return std::string(said != nullptr ? said : "it is cut off or damaged");
    };
    if (file == nullptr) throw broken(found(code));
    struct Close {
      GifFileType* file;
      ~Close() { ::DGifCloseFile(file, nullptr); }
    } const close{file};
    if (::DGifSlurp(file) == GIF_ERROR) throw broken(found(file->Error));
    const Shape size{file->SHeight, file->SWidth};
    for (std::int64_t i = 0; i < std::min<std::int64_t>(frames_kept, file->ImageCount); ++i) {
      const SavedImage& image = file->SavedImages[i];
      const ColorMapObject* map = image.ImageDesc.ColorMap;
      if (map == nullptr || image.ImageDesc.Left != 0 || image.ImageDesc.Top != 0 ||
          !(Shape{image.ImageDesc.Height, image.ImageDesc.Width} == size))
        throw broken("frame " + std::to_string(i + 1) + " is none of ivado's");
      detail::GifFrame frame{Array<std::uint8_t>(size), {}};
      for (int k = 0; k < map->ColorCount; ++k)
        frame.colours.push_back({map->Colors[k].Red, map->Colors[k].Green, map->Colors[k].Blue});
      std::copy_n(image.RasterBits, size.size(), frame.pixels.begin());
      if (*std::max_element(frame.pixels.begin(), frame.pixels.end()) >= frame.colours.size())
        throw broken("frame " + std::to_string(i + 1) + " has pixels without a colour");
      frames_.push_back(std::move(frame));
    }
  }

  std::string path_;
  GifOptions options_;
  std::vector<detail::GifFrame> frames_;
};

/// A slice with a prediction over it, as a frame: the image in grey from its least value to its greatest; where the
/// prediction is above 0.1, its colour from blue (0) over green (0.5) to red (1).
///
/// As ivadomed shows it, but dark where the image is dark, and in the orientation of `overlay`.
/// @param image       [H, W]; values that are not finite are black
/// @param prediction  [H, W], in [0, 1]
/// @param axis        what H and W are, see `overlay`
/// @return            [rows, columns, 3]
/// @throws Error (internal) if the shapes differ or are none of a slice
[[nodiscard]] inline Array<std::uint8_t> prediction_frame(ArrayView<const float> image,
                                                          ArrayView<const float> prediction, Axis axis = Axis::axial) {
  if (image.rank() != 2 || image.size() == 0 || !(image.shape() == prediction.shape()))
    throw internal_error(
        "drawing a prediction",
        "the image has the shape " + image.shape().text() + ", the prediction " + prediction.shape().text(),
        "give slices [H, W] of one size");
  const auto grey = detail::as_displayed(image, axis);
  const auto probability = detail::as_displayed(prediction, axis);
  float low = std::numeric_limits<float>::infinity();
  float high = -low;
  for (std::int64_t r = 0; r < grey.extent(0); ++r)
    for (std::int64_t c = 0; c < grey.extent(1); ++c)
      if (std::isfinite(grey(r, c))) {
        low = std::min(low, grey(r, c));
        high = std::max(high, grey(r, c));
      }
  const auto byte = [](double share) {
    return static_cast<std::uint8_t>(std::lround(255 * std::clamp(share, 0., 1.)));
  };
  Array<std::uint8_t> picture(Shape{grey.extent(0), grey.extent(1), 3});
  const auto out = picture.view();
  for (std::int64_t r = 0; r < grey.extent(0); ++r)
    for (std::int64_t c = 0; c < grey.extent(1); ++c) {
      const double p = probability(r, c);
      const double value = grey(r, c);
      const double shade = high > low && std::isfinite(value) ? (value - low) / (double{high} - double{low}) : 0;
      for (std::int64_t k = 0; k < 3; ++k)  // the colours of "jet": three flat-topped hills around 0.75, 0.5 and 0.25
        out(r, c, k) =
            p > double{0.1F} ? byte(1.5 - std::abs(4 * std::min(p, 1.) - static_cast<double>(3 - k))) : byte(shade);
    }
  return picture;
}

/// A slice of which an animation is made.
struct GifSlice {
  std::string image;       ///< the file of the image, with or without its folder
  std::int64_t slice = 0;  ///< along the slice axis, from 0
};

/// The names of the animations of some slices: "<image without its endings>_slice<number>.gif", such as
/// "sub-03_ses-1_T2w_slice007.gif".
///
/// Letters other than A-Z, a-z, 0-9, '-', '_' and '.' become '_'; long names are cut to 200 letters. Names that would
/// be the same, also where case does not count, get "-2", "-3" … in the order of the slices: the same slices always
/// have the same names, and no two slices share one. (ivadomed takes the name apart by its folders, which fails for sessions and
/// for images that are not NIfTI.)
[[nodiscard]] inline std::vector<std::string> gif_names(std::span<const GifSlice> slices) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const auto& one : slices) {
    // Either separator: a data set may have been listed on another system.
    std::string stem = one.image.substr(one.image.find_last_of("/\\") + 1);
    const auto lower = [](std::string text) {
      std::transform(text.begin(), text.end(), text.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      return text;
    };
    for (const std::string ending : {".gz", ".nii", ".png", ".tif", ".tiff", ".ome", ".jpg", ".jpeg"})
      if (stem.size() > ending.size() && lower(stem).ends_with(ending)) stem.resize(stem.size() - ending.size());
    for (char& c : stem)
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.') c = '_';
    if (stem.size() > 200) stem.resize(200);
    if (stem.empty() || stem.front() == '.') stem.insert(0, "_");  // no hidden file
    std::string number = std::to_string(one.slice);
    if (number.size() < 3) number.insert(0, 3 - number.size(), '0');
    const std::string name = stem + "_slice" + number;
    std::string unique = name;
    for (int twin = 2; !taken.insert(lower(unique)).second; ++twin) unique = name + "-" + std::to_string(twin);
    names.push_back(unique + ".gif");
  }
  return names;
}

}  // namespace ivado
