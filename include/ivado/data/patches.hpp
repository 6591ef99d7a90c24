// Patches: where the parts of a prepared slice or volume lie, how one is cut out, and which ones are left out.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "array.hpp"
#include "sample.hpp"

namespace ivado {

/// Where patches begin on an axis, in increasing order: 0, stride, 2 stride, …; the last one ends with the axis, so it
/// may overlap the one before it more than the others do. Every voxel is in at least one patch, for any numbers.
///
/// An axis shorter than the patch has one patch, around whose middle it lies: it begins at (extent - length) / 2, a
/// negative number, halves to the even one as `CenterCrop` does. A stride above the length counts as the length.
///
///   extent 8, length 4, stride 3: 0, 3, 4
///
/// @param extent  voxels along the axis, at least 1
/// @param length  of a patch, at least 1
/// @param stride  distance of the patches, at least 1
[[nodiscard]] IVADO_INLINE std::vector<std::int64_t> patch_starts(std::int64_t extent, std::int64_t length,
                                                                  std::int64_t stride) {
  if (extent < 1 || length < 1 || stride < 1)
    throw internal_error("laying patches on an axis", detail::text("extent ", extent, ", length ", length, ", stride ",
                                                                   stride, ", expected at least 1 of each"));
  if (extent <= length) {
    const std::int64_t before = (length - extent) / 2;
    const bool is_half = (length - extent) % 2 != 0;
    return {-(is_half && before % 2 != 0 ? before + 1 : before)};
  }
  std::vector<std::int64_t> starts;
  for (std::int64_t start = 0; start + length < extent; start += std::min(stride, length)) starts.push_back(start);
  starts.push_back(extent - length);
  return starts;
}

/// The extents and distances of patches, along H, W (and D), as parameters give them: one number an axis. No numbers:
/// there are no patches.
struct PatchSize {
  std::vector<std::int64_t> length;
  std::vector<std::int64_t> stride;  ///< empty: as `length`, patches side by side

  [[nodiscard]] bool empty() const noexcept { return length.empty(); }
  /// @throws Error (usage) if there is not one number from 1 an axis
  IVADO_INLINE void check(int dimension) const {
    const auto refuse = [&](const char* key, const std::vector<std::int64_t>& given) {
      std::string all;
      for (const auto number : given) all += (all.empty() ? "" : ", ") + std::to_string(number);
      throw usage_error(
          "reading the configuration key " + std::string(key) + "_" + std::to_string(dimension) + "D",
          "it is [" + all + "]",
          detail::text("give ", dimension, " whole numbers from 1, along ", dimension == 2 ? "H and W" : "H, W and D"));
    };
    const auto fits = [&](const std::vector<std::int64_t>& given) {
      return given.size() == static_cast<std::size_t>(dimension) &&
             std::all_of(given.begin(), given.end(), [](std::int64_t number) { return number >= 1; });
    };
    if (!length.empty() && !fits(length)) refuse("length", length);
    if (!stride.empty() && !fits(stride)) refuse("stride", stride);
    if (length.empty() && !stride.empty()) refuse("length", length);
  }
  /// The distance that patches have along an axis: the stride, but at most the length.
  [[nodiscard]] IVADO_INLINE std::int64_t step(int axis) const {
    const auto a = static_cast<std::size_t>(axis);
    return stride.empty() ? length[a] : std::min(stride[a], length[a]);
  }
  /// The extents of a patch.
  [[nodiscard]] IVADO_INLINE Shape shape() const {
    Shape out;
    for (const auto extent : length) out.push_back(extent);
    return out;
  }
  /// "96x64 with stride 96x50".
  [[nodiscard]] IVADO_INLINE std::string text() const {
    Shape steps;
    for (int axis = 0; axis < shape().rank(); ++axis) steps.push_back(step(axis));
    return shape().text() + " with stride " + steps.text();
  }
};

/// The patches of a grid: all combinations of the starts along its axes, the last axis fastest.
class PatchGrid {
 public:
  /// @param extent  spatial extents of the prepared slice or volume
  /// @param size    one number for each of its axes
  IVADO_INLINE PatchGrid(const Shape& extent, const PatchSize& size) : extent_(extent), length_(size.shape()) {
    if (extent.rank() != length_.rank() || extent.rank() > 3)
      throw internal_error("laying patches of " + length_.text() + " voxels", "the grid is " + extent.text());
    for (int axis = 0; axis < extent.rank(); ++axis)
      starts_[static_cast<std::size_t>(axis)] = patch_starts(extent[axis], length_[axis], size.step(axis));
  }

  /// Extents of the grid.
  [[nodiscard]] const Shape& extent() const noexcept { return extent_; }
  /// Extents of a patch.
  [[nodiscard]] const Shape& length() const noexcept { return length_; }
  /// Number of patches.
  [[nodiscard]] IVADO_INLINE std::int64_t size() const noexcept {
    std::int64_t product = 1;
    for (const auto& starts : starts_) product *= static_cast<std::int64_t>(starts.size());
    return product;
  }
  /// Where the patches begin along an axis; 0 along an axis that the grid does not have.
  [[nodiscard]] IVADO_INLINE const std::vector<std::int64_t>& starts(int axis) const noexcept {
    return starts_[static_cast<std::size_t>(axis)];
  }
  /// Where patch `i` begins.
  [[nodiscard]] IVADO_INLINE std::array<std::int32_t, 3> operator[](std::int64_t i) const noexcept {
    std::array<std::int32_t, 3> out{};
    for (std::size_t axis = 3; axis-- > 0;) {
      const auto n = static_cast<std::int64_t>(starts_[axis].size());
      out[axis] = static_cast<std::int32_t>(starts_[axis][static_cast<std::size_t>(i % n)]);
      i /= n;
    }
    return out;
  }
  /// True if ivadomed takes such patches: in 2-D not longer than the grid; in 3-D also a length that is a multiple of
  /// 16 and a stride that ends with the grid; no stride above the length.
  [[nodiscard]] IVADO_INLINE bool is_of_ivadomed(const PatchSize& size) const {
    for (int axis = 0; axis < extent_.rank(); ++axis) {
      const std::int64_t stride = size.stride.empty() ? length_[axis] : size.stride[static_cast<std::size_t>(axis)];
      if (length_[axis] > extent_[axis] || stride > length_[axis]) return false;
      if (extent_.rank() == 3 && (length_[axis] % 16 != 0 || (extent_[axis] - length_[axis]) % stride != 0))
        return false;
    }
    return true;
  }

 private:
  Shape extent_;
  Shape length_;
  std::array<std::vector<std::int64_t>, 3> starts_{{{0}, {0}, {0}}};
};

/// Which patches a training set leaves out, judged on the prepared slice or volume.
struct PatchFilter {
  bool empty_mask = false;    ///< those in which every class is empty (only where there are labels)
  bool absent_class = false;  ///< those in which at least one class is empty (only where there are labels)
  bool empty_input = false;   ///< those in which a channel is constant; all, where contrasts may be missing

  [[nodiscard]] bool is_any() const noexcept { return empty_mask || absent_class || empty_input; }
};

namespace detail {

/// The part of a [channel, spatial…] view that a patch covers: its window without what lies outside of the grid.
template <class T>
[[nodiscard]] ArrayView<T> covered(ArrayView<T> voxels, const std::array<std::int32_t, 3>& start, const Shape& length) {
  for (int axis = 0; axis < length.rank(); ++axis) {
    const std::int64_t first = start[static_cast<std::size_t>(axis)];
    const std::int64_t begin = std::clamp<std::int64_t>(first, 0, voxels.extent(axis + 1));
    const std::int64_t end = std::clamp<std::int64_t>(first + length[axis], begin, voxels.extent(axis + 1));
    voxels = voxels.narrow(axis + 1, begin, end - begin);
  }
  return voxels;
}

/// Copies the elements of a view whose last axis is dense into another such view of the same shape.
IVADO_INLINE void copy_rows(ArrayView<const float> from, ArrayView<float> to) {
  if (from.rank() == 1 || (from.is_dense() && to.is_dense())) {
    std::copy_n(from.data(), from.size(), to.data());
    return;
  }
  for (std::int64_t i = 0; i < from.extent(0); ++i) copy_rows(from.select(0, i), to.select(0, i));
}

/// A patch of a dense [channel, spatial…] array as an array of its own; zeros where it lies outside of the grid.
[[nodiscard]] IVADO_INLINE Array<float> cut_patch(const Array<float>& voxels, const std::array<std::int32_t, 3>& start,
                                                  const Shape& length) {
  Array<float> out(length.prepended(voxels.extent(0)));
  const ArrayView<const float> from = covered(voxels.view(), start, length);
  if (!(from.shape() == out.shape())) std::fill_n(out.data(), out.size(), 0.0F);
  ArrayView<float> to = out.view();
  for (int axis = 0; axis < length.rank(); ++axis)
    to = to.narrow(axis + 1, std::max<std::int64_t>(-start[static_cast<std::size_t>(axis)], 0), from.extent(axis + 1));
  copy_rows(from, to);
  return out;
}

/// True if a view has two values that differ.
[[nodiscard]] IVADO_INLINE bool varies(ArrayView<const float> view) {
  if (view.size() == 0) return false;
  if (view.rank() == 1) {
    const float first = *view.data();
    for (std::int64_t i = 1; i < view.extent(0); ++i)
      if (view(i) != first) return true;
    return false;
  }
  const float first = *view.data();
  for (std::int64_t i = 0; i < view.extent(0); ++i)
    if (*view.select(0, i).data() != first || varies(view.select(0, i))) return true;
  return false;
}

/// True if a view has a value for which `is_inside` holds.
template <class Inside>
[[nodiscard]] bool holds_any(ArrayView<const float> view, const Inside& is_inside) {
  if (view.rank() == 1) {
    for (std::int64_t i = 0; i < view.extent(0); ++i)
      if (is_inside(view(i))) return true;
    return false;
  }
  for (std::int64_t i = 0; i < view.extent(0); ++i)
    if (holds_any(view.select(0, i), is_inside)) return true;
  return false;
}

/// True if a rater's label of a class, of labels [rater × class, spatial…], has a voxel inside of a patch.
/// @param soft  labels count where they are not 0; else from 0.5 on
[[nodiscard]] IVADO_INLINE bool shows_class(const Array<float>& labels, std::int64_t c, std::int64_t classes,
                                            const std::array<std::int32_t, 3>& start, const Shape& length, bool soft) {
  const ArrayView<const float> part = covered(labels.view(), start, length);
  for (; c < part.extent(0); c += classes)
    if (holds_any(part.select(0, c), [&](float value) { return soft ? value != 0 : value >= 0.5F; })) return true;
  return false;
}

/// Why a patch is left out.
enum class PatchFate { kept, empty_mask, absent_class, empty_input };

/// Judges a patch of a prepared sample.
/// @param soft         labels count where they are not 0; else from 0.5 on, as they do after the transforms
/// @param any_channel  one channel that varies is enough
/// @param raters       of the labels, [rater × class, …]; one that drew a class is enough
[[nodiscard]] IVADO_INLINE PatchFate judge_patch(const Sample& unit, const std::array<std::int32_t, 3>& start,
                                                 const Shape& length, const PatchFilter& filter, bool soft,
                                                 bool any_channel, std::size_t raters = 1) {
  const bool has_maps = unit.label.voxels.rank() == length.rank() + 1;
  if (has_maps && (filter.empty_mask || filter.absent_class)) {
    const std::int64_t classes = unit.label.voxels.extent(0) / static_cast<std::int64_t>(raters);
    std::int64_t there = 0;
    for (std::int64_t c = 0; c < classes; ++c) there += shows_class(unit.label.voxels, c, classes, start, length, soft);
    if (filter.empty_mask && there == 0) return PatchFate::empty_mask;
    if (filter.absent_class && there < classes) return PatchFate::absent_class;
  }
  if (filter.empty_input) {
    const ArrayView<const float> part = covered(unit.image.voxels.view(), start, length);
    std::int64_t there = 0;
    for (std::int64_t c = 0; c < part.extent(0); ++c) there += varies(part.select(0, c)) ? 1 : 0;
    if (there < (any_channel ? 1 : part.extent(0))) return PatchFate::empty_input;
  }
  return PatchFate::kept;
}

}  // namespace detail
}  // namespace ivado
