// Pictures of a few samples for an ImageLogger: inputs, predictions and ground truths as mosaics, by ivadomed's tags.
// Needs libpng, as ivado::data does.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../data/geometry.hpp"
#include "../inline.hpp"
#include "../interop/png.hpp"
#include "../interop/png_bytes.hpp"
#include "followed_samples.hpp"
#include "logger.hpp"

namespace ivado {

namespace detail {

/// The colours of classes (Okabe and Ito 2008, "Color Universal Design": told apart by the colour-blind too); they
/// repeat behind the seventh.
inline constexpr std::array<Colour, 7> class_colours{
    {{230, 159, 0}, {86, 180, 233}, {0, 158, 115}, {240, 228, 66}, {0, 114, 178}, {213, 94, 0}, {204, 121, 167}}};

/// A slice [H, W] in grey from its least value to its greatest, as [rows, columns, 3]; values that are not finite are
/// black.
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> grey_picture(ArrayView<const float> slice, Axis axis) {
  const auto shown = as_displayed(slice, axis);
  float low = std::numeric_limits<float>::infinity();
  float high = -low;
  const auto each = [&](const auto& visit) {
    for (std::int64_t r = 0; r < shown.extent(0); ++r)
      for (std::int64_t c = 0; c < shown.extent(1); ++c) visit(r, c, shown(r, c));
  };
  each([&](std::int64_t, std::int64_t, float value) {
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  });
  Array<std::uint8_t> picture(Shape{shown.extent(0), shown.extent(1), 3});
  const auto out = picture.view();
  each([&](std::int64_t r, std::int64_t c, float value) {
    const float shade = high > low && std::isfinite(value) ? (value - low) / (high - low) : 0;
    for (std::int64_t k = 0; k < 3; ++k) out(r, c, k) = static_cast<std::uint8_t>(std::lround(255 * shade));
  });
  return picture;
}

/// Maps [class, H, W] in [0, 1] as [rows, columns, 3]: one class from black to white, each of several from black to its
/// colour; where they overlap the brighter value of red, green and blue.
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> class_picture(const Array<float>& maps, Axis axis) {
  const auto first = as_displayed(maps.view().select(0, 0), axis);
  Array<std::uint8_t> picture(Shape{first.extent(0), first.extent(1), 3});
  std::fill(picture.begin(), picture.end(), std::uint8_t{0});
  const auto out = picture.view();
  for (std::int64_t k = 0; k < maps.extent(0); ++k) {
    const auto map = as_displayed(maps.view().select(0, k), axis);
    const Colour colour =
        maps.extent(0) == 1 ? Colour{255, 255, 255} : class_colours[static_cast<std::size_t>(k) % class_colours.size()];
    for (std::int64_t r = 0; r < map.extent(0); ++r)
      for (std::int64_t c = 0; c < map.extent(1); ++c) {
        const float value = std::isfinite(map(r, c)) ? std::clamp(map(r, c), 0.0F, 1.0F) : 0.0F;
        for (std::int64_t i = 0; i < 3; ++i)
          out(r, c, i) = std::max(
              out(r, c, i),
              static_cast<std::uint8_t>(std::lround(value * static_cast<float>(colour[static_cast<std::size_t>(i)]))));
      }
  }
  return picture;
}

/// Pictures side by side, up to four a row, one dark pixel between them; smaller ones stand at the upper left of their
/// field.
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> mosaic(const std::vector<Array<std::uint8_t>>& pictures) {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  for (const auto& one : pictures) {
    rows = std::max(rows, one.extent(0));
    columns = std::max(columns, one.extent(1));
  }
  const auto count = static_cast<std::int64_t>(pictures.size());
  const std::int64_t across = std::min<std::int64_t>(count, 4);
  const std::int64_t down = (count + across - 1) / across;
  Array<std::uint8_t> out(Shape{down * (rows + 1) - 1, across * (columns + 1) - 1, 3});
  std::fill(out.begin(), out.end(), std::uint8_t{0});
  for (std::int64_t i = 0; i < count; ++i) {
    const auto from = pictures[static_cast<std::size_t>(i)].view();
    for (std::int64_t r = 0; r < from.extent(0); ++r)
      for (std::int64_t c = 0; c < from.extent(1); ++c)
        for (std::int64_t k = 0; k < 3; ++k)
          out.view()(i / across * (rows + 1) + r, i % across * (columns + 1) + c, k) = from(r, c, k);
  }
  return out;
}

}  // namespace detail

/// Collects the slices of an epoch and hands them to a logger as "<set>/Input", "<set>/Predictions" and
/// "<set>/Ground Truth", as ivadomed's tags are.
///
/// The input is scaled from its least to its greatest value; a prediction is black at 0 and white (of several classes: in
/// the colour of its class) at 1. In the orientation of `overlay`.
class SamplePictures {
 public:
  /// @param axis  what H and W are
  explicit SamplePictures(Axis axis) : axis_(axis) {}

  IVADO_INLINE void add(const ShownSlice& slice) {
    input_.push_back(detail::grey_picture(slice.image.view(), axis_));
    predictions_.push_back(detail::class_picture(slice.prediction, axis_));
    if (!slice.truth.empty()) truth_.push_back(detail::class_picture(slice.truth, axis_));
  }
  /// @param set  "Train" or "Validation"
  template <ImageLogger Logger>
  void write(Logger& logger, const std::string& set, int epoch) const {
    for (const auto& [tag, pictures] :
         {std::pair{"/Input", &input_}, std::pair{"/Predictions", &predictions_}, std::pair{"/Ground Truth", &truth_}})
      if (!pictures->empty()) {
        const Array<std::uint8_t> picture = detail::mosaic(*pictures);
        logger.image(set + tag, epoch, png_bytes(picture.view()));
      }
  }

 private:
  Axis axis_;
  std::vector<Array<std::uint8_t>> input_;
  std::vector<Array<std::uint8_t>> predictions_;
  std::vector<Array<std::uint8_t>> truth_;
};

}  // namespace ivado
