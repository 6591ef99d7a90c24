// PNG pictures: 8-bit grey and RGB files, and slices with their truth and prediction drawn over them.
// Needs libpng 1.6 (link with -lpng).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../data/atomic_file.hpp"
#include "../data/geometry.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "png_bytes.hpp"

namespace ivado {

/// Writes an 8-bit picture, without loss: what is read back is what was given.
///
/// The file appears whole or not at all.
/// @param path    an existing file of that name is replaced
/// @param pixels  [rows, columns] for grey or [rows, columns, 3] for red, green, blue; row 0 is at the top
/// @throws Error (internal) if the shape is another one, or the file cannot be written
IVADO_INLINE void write_png(const std::string& path, ArrayView<const std::uint8_t> pixels) {
  write_file_atomically(path, png_bytes(pixels, "writing the picture " + path));
}

/// Red, green, blue, each 0 … 255.
using Colour = std::array<std::uint8_t, 3>;

/// One slice to be shown. The views are [H, W] in the order of `Sample`; the caller keeps the elements alive.
struct OverlayPanel {
  ArrayView<const float> image;            ///< intensities
  ArrayView<const float> truth{};          ///< in [0, 1], at least 0.5 is inside; a view of nothing: not drawn
  ArrayView<const float> prediction{};     ///< as `truth`
  std::array<double, 2> spacing_mm{1, 1};  ///< along H and W: what is not square is shown in its true proportions
};

/// How a mask is drawn over its image.
enum class Mark {
  contour,  ///< a line along the inside of its edge
  fill,     ///< the colour mixed into the image
};

/// How the slices are shown.
struct OverlayStyle {
  Axis axis = Axis::axial;   ///< what H and W are, see `overlay`
  int scale = 4;             ///< pixels of the picture for the smaller side of a voxel
  double pixels_per_mm = 0;  ///< above 0: takes the place of `scale`, so that panels of different grids have one size
  bool smooth = true;        ///< image and masks interpolated linearly; false: every voxel a block
  std::array<double, 2> window_percent{1, 99};  ///< percentiles of a panel's image that become black and white
  Colour truth{64, 224, 96};
  Colour prediction{255, 96, 32};
  Mark truth_mark = Mark::contour;
  Mark prediction_mark = Mark::contour;
  int contour_width = 1;          ///< in pixels of the picture
  double fill_opacity = 0.4;      ///< share of the colour where a mask is filled
  int separator = 4;              ///< width in pixels between two panels
  Colour background{24, 24, 24};  ///< between the panels and above and below the lower ones
};

namespace detail {

/// A slice as it is shown: rows down, columns to the right (see `overlay`).
[[nodiscard]] IVADO_INLINE ArrayView<const float> as_displayed(ArrayView<const float> slice, Axis axis) {
  if (axis == Axis::axial) return slice.permute({1, 0}).flip(0).flip(1);
  return slice.flip(0).flip(1);
}

/// The percentile `percent` in [0, 100] of sorted values, interpolated linearly (as NumPy's default does).
[[nodiscard]] IVADO_INLINE double percentile_of_sorted(const std::vector<float>& sorted, double percent) {
  const double place = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t next = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (double{sorted[next]} - double{sorted[below]});
}

/// For each pixel of a side of `length` pixels over `voxels` voxels: the two voxels it lies between, and how near to
/// the second.
struct Resampling {
  struct Place {
    std::int64_t first;
    std::int64_t second;
    double weight;
  };
  std::vector<Place> places;

  IVADO_INLINE Resampling(std::int64_t voxels, std::int64_t length, bool smooth)
      : places(static_cast<std::size_t>(length)) {
    const double step = static_cast<double>(voxels) / static_cast<double>(length);
    for (std::int64_t i = 0; i < length; ++i) {
      const double centre = (static_cast<double>(i) + 0.5) * step;  // voxel v covers [v, v + 1)
      auto& place = places[static_cast<std::size_t>(i)];
      if (smooth) {
        const double at = std::clamp(centre - 0.5, 0.0, static_cast<double>(voxels - 1));
        place.first = static_cast<std::int64_t>(at);
        place.second = std::min(place.first + 1, voxels - 1);
        place.weight = at - static_cast<double>(place.first);
      } else {
        place.first = place.second = std::min(static_cast<std::int64_t>(centre), voxels - 1);
        place.weight = 0;
      }
    }
  }
};

/// A value between four voxels.
[[nodiscard]] IVADO_INLINE double between(ArrayView<const float> slice, const Resampling::Place& row,
                                          const Resampling::Place& column) {
  const double top =
      slice(row.first, column.first) * (1 - column.weight) + slice(row.first, column.second) * column.weight;
  const double bottom =
      slice(row.second, column.first) * (1 - column.weight) + slice(row.second, column.second) * column.weight;
  return top * (1 - row.weight) + bottom * row.weight;
}

/// Takes the outermost pixels (4 neighbours; the picture's border is no edge) off a mask, `times` times.
IVADO_INLINE void erode(Array<std::uint8_t>& mask, int times) {
  const std::int64_t rows = mask.extent(0);
  const std::int64_t columns = mask.extent(1);
  for (int round = 0; round < times; ++round) {
    const Array<std::uint8_t> before = mask.clone();
    const auto old = before.view();
    const auto now = mask.view();
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        if ((r > 0 && old(r - 1, c) == 0) || (r + 1 < rows && old(r + 1, c) == 0) || (c > 0 && old(r, c - 1) == 0) ||
            (c + 1 < columns && old(r, c + 1) == 0))
          now(r, c) = 0;
  }
}

/// Draws one mask into `picture` [rows, columns, 3].
IVADO_INLINE void draw_mask(ArrayView<std::uint8_t> picture, ArrayView<const float> mask, const Resampling& by_row,
                            const Resampling& by_column, Mark mark, const Colour& colour, const OverlayStyle& style) {
  const std::int64_t rows = picture.extent(0);
  const std::int64_t columns = picture.extent(1);
  Array<std::uint8_t> inside(Shape{rows, columns});
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      inside[r * columns + c] = between(mask, by_row.places[static_cast<std::size_t>(r)],
                                        by_column.places[static_cast<std::size_t>(c)]) >= 0.5;
  Array<std::uint8_t> core;
  if (mark == Mark::contour) {
    core = inside.clone();
    erode(core, style.contour_width);
  }
  const double share = mark == Mark::contour ? 1 : style.fill_opacity;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t i = r * columns + c;
      if (inside[i] == 0 || (mark == Mark::contour && core[i] != 0)) continue;
      for (int k = 0; k < 3; ++k) {
        const double mixed = picture(r, c, k) * (1 - share) + colour[static_cast<std::size_t>(k)] * share;
        picture(r, c, k) = static_cast<std::uint8_t>(std::lround(mixed));
      }
    }
}

/// One panel as a picture [rows, columns, 3].
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> draw_panel(const OverlayPanel& panel, const OverlayStyle& style,
                                                          std::size_t number) {
  const std::string doing = "drawing panel " + std::to_string(number) + " of an overlay";
  if (panel.image.rank() != 2 || panel.image.size() == 0)
    throw internal_error(doing, "its image has the shape " + panel.image.shape().text(), "give a slice [H, W]");
  for (const auto* mask : {&panel.truth, &panel.prediction})
    if (mask->rank() != 0 && !(mask->shape() == panel.image.shape()))
      throw internal_error(doing,
                           "a mask of " + mask->shape().text() + " over an image of " + panel.image.shape().text(),
                           "give masks on the image's grid");
  std::array<double, 2> spacing = panel.spacing_mm;
  if (!(spacing[0] > 0) || !(spacing[1] > 0) || !std::isfinite(spacing[0]) || !std::isfinite(spacing[1]))
    throw internal_error(doing, text("a spacing of ", spacing[0], "x", spacing[1], " mm"), "give lengths above 0");
  if (style.axis == Axis::axial) std::swap(spacing[0], spacing[1]);

  const auto image = as_displayed(panel.image, style.axis);
  const double per_mm = style.pixels_per_mm > 0 ? style.pixels_per_mm : style.scale / std::min(spacing[0], spacing[1]);
  const auto pixels = [&](int side) {
    const double length_mm = static_cast<double>(image.extent(side)) * spacing[static_cast<std::size_t>(side)];
    return std::max<std::int64_t>(1, std::llround(length_mm * per_mm));
  };
  const std::int64_t rows = pixels(0);
  const std::int64_t columns = pixels(1);
  const Resampling by_row(image.extent(0), rows, style.smooth);
  const Resampling by_column(image.extent(1), columns, style.smooth);

  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(image.size()));
  for (std::int64_t r = 0; r < image.extent(0); ++r)
    for (std::int64_t c = 0; c < image.extent(1); ++c)
      if (std::isfinite(image(r, c))) values.push_back(image(r, c));
  if (values.empty()) values.push_back(0);
  std::sort(values.begin(), values.end());
  const double black = percentile_of_sorted(values, style.window_percent[0]);
  const double range = percentile_of_sorted(values, style.window_percent[1]) - black;

  Array<std::uint8_t> picture(Shape{rows, columns, 3});
  const auto out = picture.view();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const double value =
          between(image, by_row.places[static_cast<std::size_t>(r)], by_column.places[static_cast<std::size_t>(c)]);
      const double grey = range > 0 && std::isfinite(value) ? std::clamp((value - black) / range, 0.0, 1.0) : 0;
      for (int k = 0; k < 3; ++k) out(r, c, k) = static_cast<std::uint8_t>(std::lround(grey * 255));
    }
  if (panel.prediction.rank() != 0)
    draw_mask(out, as_displayed(panel.prediction, style.axis), by_row, by_column, style.prediction_mark,
              style.prediction, style);
  if (panel.truth.rank() != 0)
    draw_mask(out, as_displayed(panel.truth, style.axis), by_row, by_column, style.truth_mark, style.truth, style);
  return picture;
}

}  // namespace detail

/// Slices side by side in grey, with their masks over them; the truth lies over the prediction.
///
/// Slices are shown in radiological convention. Axial (H = x to the right, W = y to the front): the front is up and
/// the patient's right on the left. Sagittal (H = z, W = y): the head is up and the front on the left. Coronal
/// (H = z, W = x): the head is up and the patient's right on the left.
///
/// The window is cut at percentiles of the finite values of each panel; a constant image, and voxels that are not
/// finite, are black. Panels of less height than the tallest are centred.
/// @return  [rows, columns, 3], red, green, blue
/// @throws Error (internal) if there is no panel, a mask is not on its image's grid, or the style makes no picture
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> overlay(std::span<const OverlayPanel> panels,
                                                       const OverlayStyle& style = {}) {
  if (panels.empty()) throw internal_error("drawing an overlay", "there is no panel to draw", "give at least one");
  if (style.scale < 1 || !(style.pixels_per_mm >= 0) || style.separator < 0 || style.contour_width < 1 ||
      !(style.fill_opacity >= 0 && style.fill_opacity <= 1) ||
      !(0 <= style.window_percent[0] && style.window_percent[0] <= style.window_percent[1] &&
        style.window_percent[1] <= 100))
    throw internal_error(
        "drawing an overlay", "its style has a number outside its limits",
        "scale and contour_width are at least 1, pixels_per_mm and separator at least 0, fill_opacity in [0, 1], and "
        "window_percent ascends in [0, 100]");
  std::vector<Array<std::uint8_t>> pictures;
  std::int64_t rows = 0;
  std::int64_t columns = style.separator * (static_cast<std::int64_t>(panels.size()) - 1);
  for (std::size_t i = 0; i < panels.size(); ++i) {
    pictures.push_back(detail::draw_panel(panels[i], style, i));
    rows = std::max(rows, pictures.back().extent(0));
    columns += pictures.back().extent(1);
  }
  Array<std::uint8_t> out(Shape{rows, columns, 3});
  for (std::int64_t i = 0; i < rows * columns; ++i) std::copy_n(style.background.data(), 3, out.data() + i * 3);
  std::int64_t column = 0;
  for (const auto& picture : pictures) {
    const std::int64_t top = (rows - picture.extent(0)) / 2;
    copy(picture.view(), out.view().narrow(0, top, picture.extent(0)).narrow(1, column, picture.extent(1)));
    column += picture.extent(1) + style.separator;
  }
  return out;
}

/// Writes `overlay(panels, style)` as a PNG.
/// @throws Error (internal) as `overlay` and `write_png`
IVADO_INLINE void write_overlay_png(const std::string& path, std::span<const OverlayPanel> panels,
                                    const OverlayStyle& style = {}) {
  write_png(path, overlay(panels, style).view());
}

}  // namespace ivado
