// The slices or sub-volumes of a list of cases as prepared samples: read once, filtered, preprocessed once, cut, kept
// under a byte budget.
#pragma once

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "../random.hpp"
#include "array.hpp"
#include "cache.hpp"
#include "case.hpp"
#include "geometry.hpp"
#include "input_dropout.hpp"
#include "object_detection.hpp"
#include "patches.hpp"
#include "raters.hpp"
#include "regrid.hpp"
#include "sample.hpp"
#include "volume.hpp"
#include "volume_io.hpp"

namespace ivado {

/// What a data set of slices or sub-volumes needs to know besides its cases and transforms. `BidsLoader` fills it from
/// "loader_parameters" and the model's section. The slice filters are for slices alone.
struct SliceOptions {
  Axis axis = Axis::axial;         ///< the axis along which slices follow each other: D of (H, W, D)
  bool filter_empty_mask = false;  ///< leave out slices in which every class is empty (only where there are labels)
  bool filter_absent_class =
      false;  ///< leave out slices in which at least one class is empty (only where there are labels)
  bool filter_empty_input =
      true;  ///< leave out slices in which a channel is constant; all, where contrasts may be missing
  std::int64_t filter_roi = -1;    ///< leave out slices whose region of interest has at most so many voxels; -1: none
  bool soft_gt = false;            ///< labels stay as they are in [0, 1] instead of becoming 0 or 1
  double grid_tolerance_mm = 0.6;  ///< how far apart the corners of image, label and region of interest may lie
  bool allow_regrid = false;       ///< resample files of another grid onto that of the reference image (see `regrid`)
  /// Labels are [class] instead of maps: `Case::image_label` where a case has it, else 1 for each class that has a
  /// voxel in the slice before the transforms, as in ivadomed (which looks at the first class alone): a label that is
  /// not 0, or at least 0.5 where labels are made 0 or 1. Transforms do not see such labels.
  bool image_labels = false;
  /// Cases may lack contrasts: these channels are 0 after all transforms, and the condition of a sample begins with 1
  /// or 0 for each channel: there or not. A contrast that is constant in a slice, as outside of its field of view,
  /// counts as missing in this slice (but not if all are constant).
  bool missing_contrasts = false;
  /// While training each contrast that is there is hidden, as if it were missing, with the probability p^(g^(epoch-1)),
  /// but never all of a sample: where all would be, one of them, each as likely, stays. p is this number, 0 for never.
  double missing_probability = 0;
  double missing_probability_growth = 1;  ///< g
  bool input_dropout = false;             ///< while training, blank channels at random: `drop_channels`
  /// Leave out slices for which it is false. It is called for those that pass the other filters, with the slice as it is
  /// read, without labels and before all transforms; from several threads. None: all are kept.
  std::function<bool(const Sample&)> keep_slice{};
  std::size_t cache_bytes = std::size_t{1} << 30;  ///< memory for prepared samples and volumes
  int threads = 1;  ///< threads that read and prepare when the data set is made; they change time alone
  /// Labels go through the transforms with the values of their file, and become 0 or 1 only at the end. ivado makes
  /// them 0 or 1 first: linear interpolation would make a structure of value 2 or 255 fatter than one of value 1.
  /// It also refuses patches that ivadomed refuses (see `PatchGrid::is_of_ivadomed`), filters those of the validation
  /// set as well, and rounds spacings to the float32 of a NIfTI header, which at times decides about a voxel in
  /// resampling.
  bool as_ivadomed = false;
  PatchSize patches{};         ///< cut out of each prepared slice or volume; none: it is one sample
  PatchFilter patch_filter{};  ///< patches that the training set leaves out
};

/// How many slices (or volumes, or patches) a data set has, and how many were left out for which reason (the first that
/// holds, in this order).
struct SliceCounts {
  std::int64_t kept = 0;          ///< those of the data set
  std::int64_t empty_mask = 0;    ///< every class empty
  std::int64_t absent_class = 0;  ///< at least one class empty
  std::int64_t empty_input = 0;   ///< at least one channel constant; all of them, where contrasts may be missing
  std::int64_t small_roi = 0;     ///< too few voxels in the region of interest
  std::int64_t rejected = 0;      ///< `SliceOptions::keep_slice` said no
  std::int64_t outside_box = 0;   ///< outside of the box that the chain crops to

  [[nodiscard]] IVADO_INLINE std::int64_t left_out() const noexcept {
    return empty_mask + absent_class + empty_input + small_roi + rejected + outside_box;
  }
  SliceCounts& operator+=(const SliceCounts& other) noexcept {
    kept += other.kept, empty_mask += other.empty_mask, absent_class += other.absent_class;
    empty_input += other.empty_input, small_roi += other.small_roi, rejected += other.rejected;
    outside_box += other.outside_box;
    return *this;
  }
  [[nodiscard]] friend bool operator==(const SliceCounts&, const SliceCounts&) = default;
  /// "40 slices; left out: 5 with an empty mask, 3 with a constant channel".
  [[nodiscard]] IVADO_INLINE std::string text(const std::string& noun = "slices") const {
    std::string out = std::to_string(kept) + " " + noun;
    const char* separator = "; left out: ";
    const auto add = [&](std::int64_t count, std::string_view reason) {
      if (count == 0) return;
      out += separator + std::to_string(count) + " " + std::string(reason);
      separator = ", ";
    };
    add(empty_mask, "with an empty mask");
    add(absent_class, "without one of the classes");
    add(empty_input, "with a constant channel");
    add(small_roi, "with too small a region of interest");
    add(rejected, "rejected by the classifier");
    add(outside_box, "outside of the object's box");
    return out;
  }
};

namespace detail {

/// "training", "validation", "testing".
[[nodiscard]] IVADO_INLINE std::string_view set_name(Stage stage) {
  return stage == Stage::training ? "training" : stage == Stage::validation ? "validation" : "testing";
}

/// "axial slice", …
[[nodiscard]] IVADO_INLINE std::string slice_name(Axis axis) {
  return std::string(axis == Axis::sagittal ? "sagittal" : axis == Axis::coronal ? "coronal" : "axial") + " slice";
}

/// The voxels of a case as they lie in its files.
struct CaseVoxels {
  std::vector<Array<float>> images;        ///< [k, j, i], one a channel; an empty array is a contrast that is missing
  std::vector<Array<std::uint8_t>> masks;  ///< labels of 0 and 1, one a class; an empty array is a class without a file
  std::vector<Array<float>> soft_labels;   ///< labels in [0, 1], instead of `masks`
  std::size_t raters = 1;  ///< whose labels follow each other, all classes of one after those of the last
  Array<float> roi;        ///< empty where the case has none
  Geometry geometry;       ///< of the reference image
  int regridded = 0;       ///< files that were resampled onto that

  [[nodiscard]] IVADO_INLINE std::size_t bytes() const noexcept {
    std::size_t sum = roi.footprint();
    for (const auto& array : images) sum += array.footprint();
    for (const auto& array : masks) sum += array.footprint();
    for (const auto& array : soft_labels) sum += array.footprint();
    return sum;
  }
  /// See `Array::settle`.
  IVADO_INLINE void settle() {
    roi.settle();
    for (auto& array : images) array.settle();
    for (auto& array : masks) array.settle();
    for (auto& array : soft_labels) array.settle();
  }
};

/// A mask of 0 and 1: values of at least 0.5 are inside, as after the transforms.
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> binary(const Array<float>& label) {
  Array<std::uint8_t> mask(label.shape());
  for (std::int64_t i = 0; i < label.size(); ++i) mask[i] = label[i] >= 0.5F ? 1 : 0;
  return mask;
}

/// Clamps a soft label to [0, 1]. Files overshoot a little (up to 1.11 in the spinal cord set); more is no probability.
IVADO_INLINE void check_soft_label(Array<float>& label, const std::string& path) {
  float largest = 0;
  for (float& value : label) {
    if (!(value > 0)) value = 0;
    if (value > largest) largest = value;
    if (value > 1) value = 1;
  }
  if (largest > 1.5F)
    throw data_error("reading the soft label " + path,
                     text("its largest value is ", largest, ", a soft label is in [0, 1]"),
                     "scale the file to [0, 1], or set \"soft_gt\": false");
}

/// Brings a volume onto the grid of a reference, where the options allow that and it lies on another.
/// @param warnings  told if the two do not meet; may be null
/// @return          true if it was resampled
/// @throws Error (data) naming both files where the grids differ and may not
IVADO_INLINE bool bring_onto(const Volume& reference, Volume& volume, bool nearest, const SliceOptions& options,
                             std::vector<std::string>* warnings) {
  if (!options.allow_regrid) {
    check_same_grid(reference, volume, options.grid_tolerance_mm);
    return false;
  }
  if (volume.geometry.shape == reference.geometry.shape &&
      corner_distance_mm(volume.geometry, reference.geometry) <= options.grid_tolerance_mm)
    return false;
  std::int64_t inside = 0;
  volume = regrid(volume, reference.geometry, nearest, &inside);
  if (inside == 0 && warnings != nullptr)
    warnings->push_back(volume.path + ": it lies wholly outside of " + reference.path +
                        ", on whose grid it is all zero");
  return true;
}

/// Reads a file of a case, and adds what was odd about it to the warnings, one sentence each.
[[nodiscard]] IVADO_INLINE Volume read_file_of(const Case& one, const std::string& path, Kind kind,
                                               const SliceOptions& options, std::vector<std::string>* warnings,
                                               bool in_pages = false) {
  ReadReport report;
  ReadOptions how;
  how.as_ivadomed = options.as_ivadomed;
  how.in_pages = in_pages;
  Volume volume = one.files ? one.files->read(path, report) : read_image(path, one.metadata, kind, how, &report);
  if (warnings != nullptr)
    for (const auto& warning : report.warnings) warnings->push_back(path + ": " + warning);
  return volume;
}

/// Reads the files of a case onto the grid of its reference image.
/// @param warnings    takes what was odd about a file, one sentence each; may be null
/// @param each_rater  the labels of each rater, instead of what they agree on (`agreed_label`)
/// @param in_pages    what is read lies in pages of its own (`ReadOptions::in_pages`)
/// @throws Error (data) naming both files where they do not lie on one grid and may not be resampled
[[nodiscard]] IVADO_INLINE CaseVoxels read_case(const Case& one, const SliceOptions& options,
                                                std::vector<std::string>* warnings = nullptr, bool each_rater = false,
                                                bool in_pages = false) {
  if (one.reference >= one.images.size() || one.images[one.reference].empty())
    throw internal_error("reading the case " + one.id, "it has no image");
  CaseVoxels out;
  Volume reference = read_file_of(one, one.images[one.reference], Kind::image, options, warnings, in_pages);
  const auto read = [&](const std::string& path, Kind kind, bool nearest) {
    Volume volume = read_file_of(one, path, kind, options, warnings, in_pages);
    out.regridded += bring_onto(reference, volume, nearest, options, warnings) ? 1 : 0;
    return std::move(volume.voxels);
  };
  out.images.resize(one.images.size());
  for (std::size_t c = 0; c < one.images.size(); ++c) {
    if (one.images[c].empty() && !options.missing_contrasts)
      throw internal_error("reading the case " + one.id, "its channel " + std::to_string(c) + " has no image");
    if (c != one.reference && !one.images[c].empty()) out.images[c] = read(one.images[c], Kind::image, false);
  }
  const bool is_mask = !options.soft_gt && !options.as_ivadomed;
  out.raters = each_rater ? one.raters() : 1;
  for (std::size_t i = 0; i < out.raters * one.labels.size(); ++i) {
    const std::size_t c = i % one.labels.size();
    std::vector<std::string> files = label_files(one, c);
    if (each_rater) {
      files.clear();
      if (const auto& path = one.labels_of(i / one.labels.size())[c]; !path.empty()) files.push_back(path);
    }
    Array<float> label = agreed_label(files, is_mask, [&](const std::string& path) {
      Array<float> voxels = read(path, Kind::label, !options.soft_gt);
      if (options.soft_gt && !options.as_ivadomed) check_soft_label(voxels, path);
      return voxels;
    });
    if (is_mask)
      out.masks.push_back(binary(label));
    else
      out.soft_labels.push_back(std::move(label));
  }
  if (!one.roi.empty()) out.roi = read(one.roi, Kind::roi, true);
  out.geometry = reference.geometry;
  out.images[one.reference] = std::move(reference.voxels);
  return out;
}

/// A file's array as (H, W, D): [k, j, i] taken as (i, j, k), then turned.
template <class T>
[[nodiscard]] ArrayView<const T> hwd_view(const Array<T>& voxels, const AxisMap& map) {
  return map.apply(voxels.view().permute({2, 1, 0}));
}

/// The axes of a view, that of the largest stride first.
template <class T>
[[nodiscard]] std::array<int, 3> memory_order(ArrayView<T> view) {
  std::array<int, 3> order{0, 1, 2};
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return std::abs(view.stride(a)) > std::abs(view.stride(b)); });
  return order;
}

/// Calls `row(pointer, stride, extent, slice)` for each row of a (H, W, D) view in the order of its memory. `slice` is
/// the index along D, or -1 if the row runs along D.
template <class T, class Row>
void for_each_row(ArrayView<const T> hwd, const Row& row) {
  const std::array<int, 3> order = memory_order(hwd);
  for (std::int64_t a = 0; a < hwd.extent(order[0]); ++a)
    for (std::int64_t b = 0; b < hwd.extent(order[1]); ++b)
      row(hwd.data() + a * hwd.stride(order[0]) + b * hwd.stride(order[1]), hwd.stride(order[2]), hwd.extent(order[2]),
          order[2] == 2   ? -1
          : order[0] == 2 ? a
                          : b);
}

/// Copies a view into a dense one of the same shape whose axes lie in another order in memory: in tiles of two axes,
/// that along which the source is nearest to dense and the last one, so that neither side jumps through memory at each
/// element.
template <class From>
void copy_transposed(ArrayView<const From> from, ArrayView<float> to) {
  const int last = from.rank() - 1;
  int inner = last;
  for (int axis = 0; axis < last; ++axis)
    if (std::abs(from.stride(axis)) < std::abs(from.stride(inner))) inner = axis;
  if (inner == last || from.size() == 0) return copy(from, to);
  constexpr std::int64_t tile = 16;
  const auto plane = [&](const From* source, float* target) {
    for (std::int64_t a0 = 0; a0 < from.extent(inner); a0 += tile)
      for (std::int64_t b0 = 0; b0 < from.extent(last); b0 += tile)
        for (std::int64_t a = a0; a < std::min(a0 + tile, from.extent(inner)); ++a)
          for (std::int64_t b = b0; b < std::min(b0 + tile, from.extent(last)); ++b)
            target[a * to.stride(inner) + b * to.stride(last)] =
                static_cast<float>(source[a * from.stride(inner) + b * from.stride(last)]);
  };
  if (from.rank() == 2) return plane(from.data(), to.data());
  const int other = 1 - inner;  // of the three axes the one that is neither `inner` nor `last`
  for (std::int64_t i = 0; i < from.extent(other); ++i)
    plane(from.data() + i * from.stride(other), to.data() + i * to.stride(other));
}

/// For each index along D: how many voxels are not zero.
template <class T>
[[nodiscard]] std::vector<std::int64_t> nonzero_counts(ArrayView<const T> hwd) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(hwd.extent(2)), 0);
  for_each_row(hwd, [&](const T* data, std::int64_t stride, std::int64_t extent, std::int64_t slice) {
    if (slice < 0) {
      for (std::int64_t d = 0; d < extent; ++d) counts[static_cast<std::size_t>(d)] += data[d * stride] != T{0} ? 1 : 0;
    } else {
      std::int64_t count = 0;
      for (std::int64_t i = 0; i < extent; ++i) count += data[i * stride] != T{0} ? 1 : 0;
      counts[static_cast<std::size_t>(slice)] += count;
    }
  });
  return counts;
}

/// For each index along D: 1 if the slice holds two values that differ.
template <class T>
[[nodiscard]] std::vector<std::uint8_t> varying(ArrayView<const T> hwd) {
  std::vector<std::uint8_t> varies(static_cast<std::size_t>(hwd.extent(2)), 0);
  if (hwd.size() == 0) return varies;
  std::vector<T> first(varies.size());
  for (std::size_t d = 0; d < first.size(); ++d) first[d] = hwd(0, 0, d);
  for_each_row(hwd, [&](const T* data, std::int64_t stride, std::int64_t extent, std::int64_t slice) {
    if (slice < 0) {
      for (std::int64_t d = 0; d < extent; ++d)
        varies[static_cast<std::size_t>(d)] |=
            static_cast<std::uint8_t>(data[d * stride] != first[static_cast<std::size_t>(d)]);
    } else if (auto& found = varies[static_cast<std::size_t>(slice)]; found == 0) {
      const T value = first[static_cast<std::size_t>(slice)];
      for (std::int64_t i = 0; i < extent && found == 0; ++i) found = data[i * stride] != value ? 1 : 0;
    }
  });
  return varies;
}

/// The slices of a case that pass the filters, and the counts of the others.
/// @return  indices along the slice axis
[[nodiscard]] IVADO_INLINE std::pair<std::vector<std::int32_t>, SliceCounts> filter_slices(
    const CaseVoxels& voxels, const AxisMap& map, const SliceOptions& options) {
  const auto slices = static_cast<std::size_t>(map.reorder(
      std::array<std::int64_t, 3>{voxels.geometry.shape[0], voxels.geometry.shape[1], voxels.geometry.shape[2]})[2]);
  std::vector<std::uint8_t> any_class(slices, 0);
  std::vector<std::uint8_t> all_classes(slices, 1);
  const auto add_classes = [&](const auto& labels) {  // a class is there where a rater drew it
    const std::size_t classes = labels.size() / voxels.raters;
    for (std::size_t c = 0; c < classes; ++c) {
      std::vector<std::uint8_t> there(slices, 0);
      for (std::size_t l = c; l < labels.size(); l += classes) {
        if (labels[l].empty()) continue;
        const auto counts = nonzero_counts(hwd_view(labels[l], map));
        for (std::size_t d = 0; d < slices; ++d) there[d] |= static_cast<std::uint8_t>(counts[d] > 0);
      }
      for (std::size_t d = 0; d < slices; ++d) {
        any_class[d] |= there[d];
        all_classes[d] &= there[d];
      }
    }
  };
  const bool has_labels = !voxels.masks.empty() || !voxels.soft_labels.empty();
  if (has_labels && (options.filter_empty_mask || options.filter_absent_class)) {
    add_classes(voxels.masks);
    add_classes(voxels.soft_labels);
  }
  const bool any_channel = options.filter_empty_input && options.missing_contrasts;  // does, else all must
  std::vector<std::uint8_t> input(slices, any_channel ? 0 : 1);
  if (options.filter_empty_input)
    for (const auto& image : voxels.images) {
      if (image.empty()) continue;
      const auto varies = varying(hwd_view(image, map));
      for (std::size_t d = 0; d < slices; ++d)
        input[d] = static_cast<std::uint8_t>(any_channel ? input[d] | varies[d] : input[d] & varies[d]);
    }
  std::vector<std::int64_t> roi;
  if (options.filter_roi >= 0 && !voxels.roi.empty()) roi = nonzero_counts(hwd_view(voxels.roi, map));

  std::pair<std::vector<std::int32_t>, SliceCounts> out;
  for (std::size_t d = 0; d < slices; ++d) {
    if (has_labels && options.filter_empty_mask && any_class[d] == 0)
      ++out.second.empty_mask;
    else if (has_labels && options.filter_absent_class && all_classes[d] == 0)
      ++out.second.absent_class;
    else if (input[d] == 0)
      ++out.second.empty_input;
    else if (!roi.empty() && roi[d] <= options.filter_roi)
      ++out.second.small_roi;
    else
      out.first.push_back(static_cast<std::int32_t>(d));
  }
  out.second.kept = static_cast<std::int64_t>(out.first.size());
  return out;
}

/// The box of a case along (H, W, D).
/// @throws Error (data) naming the case if it has none, or one of another grid
[[nodiscard]] IVADO_INLINE ObjectBox box_of(const Case& one, const Geometry& geometry, Axis slice_axis) {
  const std::string doing = "cropping " + one.id + " to the box of its object";
  if (!one.box)
    throw data_error(doing, "the case has no box",
                     "name a detector in object_detection_params, or leave BoundingBoxCrop out");
  check_box(*one.box, doing);
  const auto grid = closest_ras(geometry.affine)
                        .reorder(std::array<std::int64_t, 3>{geometry.shape[0], geometry.shape[1], geometry.shape[2]});
  if (!(one.box->grid == Shape{grid[0], grid[1], grid[2]}))
    throw data_error(doing,
                     "the box lies on a grid of " + one.box->grid.text() + " voxels along R, A, S, the image has " +
                         Shape{grid[0], grid[1], grid[2]}.text(),
                     "give all contrasts one grid, or let the detector look at the reference image");
  return turn_box(*one.box, ras_to_hwd(slice_axis));
}

/// Leaves out the slices that a box does not reach.
/// @param box  along (H, W, D)
IVADO_INLINE void keep_slices_of(const ObjectBox& box, std::vector<std::int32_t>& slices, SliceCounts& counts) {
  counts.outside_box = static_cast<std::int64_t>(
      std::erase_if(slices, [&](std::int32_t d) { return d < box.begin[2] || d >= box.end[2]; }));
  counts.kept -= counts.outside_box;
}

/// True if the slice of a label, or the whole label for a slice of -1, has a voxel that is not 0.
template <class T>
[[nodiscard]] bool has_voxel(const Array<T>& label, const AxisMap& map, std::int32_t slice) {
  if (label.empty()) return false;
  if (slice < 0) return std::any_of(label.begin(), label.end(), [](T value) { return value != T{0}; });
  const ArrayView<const T> plane = hwd_view(label, map).select(2, slice);
  for (std::int64_t h = 0; h < plane.extent(0); ++h)
    for (std::int64_t w = 0; w < plane.extent(1); ++w)
      if (plane(h, w) != T{0}) return true;
  return false;
}

/// True if the first class is there in a slice or volume as it was read, drawn by a rater at least.
[[nodiscard]] IVADO_INLINE bool shows_first_class(const Case& one, const CaseVoxels& voxels, const AxisMap& map,
                                                  std::int32_t slice) {
  if (!one.image_label.empty()) return one.image_label.front() != 0;
  const auto shows = [&](const auto& labels) {
    for (std::size_t l = 0; l < labels.size(); l += labels.size() / voxels.raters)
      if (has_voxel(labels[l], map, slice)) return true;
    return false;
  };
  return shows(voxels.masks) || shows(voxels.soft_labels);
}

/// The label of a slice or volume as a whole, [rater × class]; empty where the case has none. See
/// `SliceOptions::image_labels`.
[[nodiscard]] IVADO_INLINE Array<float> image_label(const Case& one, const CaseVoxels& voxels, const AxisMap& map,
                                                    std::int32_t slice) {
  std::vector<float> values = one.image_label;
  if (values.empty()) {
    for (const auto& label : voxels.masks) values.push_back(has_voxel(label, map, slice) ? 1.0F : 0.0F);
    for (const auto& label : voxels.soft_labels) values.push_back(has_voxel(label, map, slice) ? 1.0F : 0.0F);
  }
  if (values.empty()) return {};
  Array<float> out(Shape{static_cast<std::int64_t>(values.size())});
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

/// Which contrasts are there in a slice, 0 or 1 a channel: those that are not constant; where all are constant, those
/// that the case has.
[[nodiscard]] IVADO_INLINE std::vector<float> presence(const Case& one, const Image& slice) {
  std::vector<float> out;
  const std::int64_t channels = slice.voxels.extent(0);
  const std::int64_t size = slice.voxels.size() / channels;
  bool is_any = false;
  for (std::int64_t c = 0; c < channels; ++c) {
    const float* begin = slice.voxels.data() + c * size;
    const bool varies = std::any_of(begin, begin + size, [&](float value) { return value != *begin; });
    out.push_back(varies ? 1.0F : 0.0F);
    is_any = is_any || varies;
  }
  for (std::size_t c = 0; c < out.size() && !is_any; ++c) out[c] = one.images[c].empty() ? 0.0F : 1.0F;
  return out;
}

/// Hides contrasts of a sample at random, as `SliceOptions::missing_probability` says.
/// @param presence  0 or 1 a channel; at least one 1
/// @param epoch     from 1; 0 counts as 1
IVADO_INLINE void hide_contrasts(std::span<float> presence, double probability, double growth, const RandomKey& key) {
  Rng rng(key.with_stream(stream_contrasts));
  const double hidden = std::pow(probability, std::pow(growth, static_cast<double>(std::max(key.epoch, 1U) - 1)));
  std::vector<std::size_t> there;
  bool is_any_left = false;
  for (std::size_t c = 0; c < presence.size(); ++c) {
    const bool hide = rng.bernoulli(hidden);  // drawn for those that are missing too: the others do not depend on them
    if (presence[c] == 0) continue;
    there.push_back(c);
    if (hide) presence[c] = 0;
    is_any_left = is_any_left || !hide;
  }
  if (!is_any_left && !there.empty()) presence[there[rng.below(static_cast<std::uint32_t>(there.size()))]] = 1;
}

/// One slice of a case as a sample, or the whole case where `origin.slice` is -1, before any transform.
/// @param with_label  false: `label` stays empty
[[nodiscard]] IVADO_INLINE Sample extract(const CaseVoxels& voxels, const AxisMap& map, Origin origin,
                                          bool with_label = true) {
  const std::array<double, 3> spacing_mm = map.reorder(voxels.geometry.spacing_mm());
  const auto hwd = map.reorder(
      std::array<std::int64_t, 3>{voxels.geometry.shape[0], voxels.geometry.shape[1], voxels.geometry.shape[2]});
  const bool is_slice = origin.slice >= 0;
  const Shape spatial = is_slice ? Shape{hwd[0], hwd[1]} : Shape{hwd[0], hwd[1], hwd[2]};
  const auto fill = [&](const auto& array, ArrayView<float> to) {
    if (array.empty()) {
      std::fill_n(to.data(), to.size(), 0.0F);
      return;
    }
    const auto from = hwd_view(array, map);
    copy_transposed(is_slice ? from.select(2, origin.slice) : from, to);
  };
  const auto stack = [&](const auto& arrays, Kind kind) {
    Image out{{}, kind, spacing_mm};
    if (arrays.empty()) return out;
    out.voxels = Array<float>(spatial.prepended(static_cast<std::int64_t>(arrays.size())));
    for (std::size_t c = 0; c < arrays.size(); ++c)
      fill(arrays[c], out.voxels.view().select(0, static_cast<std::int64_t>(c)));
    return out;
  };
  Sample sample;
  sample.image = stack(voxels.images, Kind::image);
  if (with_label)
    sample.label =
        voxels.soft_labels.empty() ? stack(voxels.masks, Kind::label) : stack(voxels.soft_labels, Kind::label);
  if (!voxels.roi.empty()) {
    sample.roi = Image{Array<float>(spatial.prepended(1)), Kind::roi, spacing_mm};
    fill(voxels.roi, sample.roi.voxels.view().select(0, 0));
  }
  sample.origin = origin;
  return sample;
}

/// Calls `work(i)` for i in 0 … n-1 on up to `threads` threads, each i once, in order of beginning.
/// @throws what `work` threw for the smallest i, whatever the number of threads
template <class Work>
void in_parallel(std::size_t n, int threads, const Work& work) {
  const std::size_t workers = std::min(n, static_cast<std::size_t>(std::max(threads, 1)));
  if (workers <= 1) {
    for (std::size_t i = 0; i < n; ++i) work(i);
    return;
  }
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::size_t failed = n;
  std::exception_ptr failure;
  const auto run = [&] {
    for (;;) {
      const std::size_t i = next.fetch_add(1);
      if (i >= n) return;
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < failed) {
          failed = i;
          failure = std::current_exception();
        }
        next.store(n);  // those that began before this one still finish: the first failure is always found
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    for (std::size_t w = 1; w < workers; ++w) pool.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

/// The labels of a case on a grid, as a data set with these options sees them before its transforms: to evaluate.
/// @param grid  that of the case's reference image
/// @return      [class, i, j, k], 0 or 1 unless `soft_gt`; a class without a file is all zero; of several raters what
///              they agree on
/// @throws Error (data) if a file cannot be read, or lies on another grid and may not be resampled
[[nodiscard]] IVADO_INLINE Array<float> read_labels(const Case& one, const Geometry& grid,
                                                    const SliceOptions& options) {
  Array<float> out = zeros(grid.shape.prepended(static_cast<std::int64_t>(one.labels.size())));
  Volume reference;
  reference.geometry = grid;
  reference.path = one.reference < one.images.size() ? one.images[one.reference] : one.id;
  for (std::size_t c = 0; c < one.labels.size(); ++c) {
    Volume label;
    label.voxels = detail::agreed_label(detail::label_files(one, c), !options.soft_gt, [&](const std::string& path) {
      label = detail::read_file_of(one, path, Kind::label, options, nullptr);
      (void)detail::bring_onto(reference, label, !options.soft_gt, options, nullptr);
      if (options.soft_gt && !options.as_ivadomed) detail::check_soft_label(label.voxels, path);
      return std::move(label.voxels);
    });
    if (label.voxels.empty()) continue;
    if (!options.soft_gt)
      for (float& value : label.voxels) value = value >= 0.5F ? 1.0F : 0.0F;
    copy(std::as_const(label).view(), out.view().select(0, static_cast<std::int64_t>(c)));
  }
  return out;
}

/// The slices or sub-volumes of a list of cases, each a sample [channel, H, W] or [channel, H, W, D] with its labels.
///
/// Made in one pass over the files: the volumes are read (each once), checked to lie on the grid of the reference image
/// or resampled onto it, and turned to (H, W, D) by views. Slices are filtered as they are there. Each slice, or the
/// volume as a whole, is preprocessed, as long as the results fit into the budget. The samples follow the order of the
/// cases and of the slices. Missing classes are zeros.
///
/// Patches (`SliceOptions::patches`) are cut out of each prepared slice or volume, by rows (H outermost); the other
/// transforms see one patch, so that it is normalised for itself, as in ivadomed. All voxels are in a patch, whatever
/// the sizes are; zeros are put around what is smaller than a patch. `SliceOptions::patch_filter` leaves some out while
/// training.
///
/// Memory: prepared slices or volumes and, where they do not all fit, the files of cases and a case with a prepared
/// sample for each thread that makes one again share `SliceOptions::cache_bytes`; `summary` says how. What is kept lies
/// in pages of its own, so that what comes and goes leaves no holes. On top of that come one case for each thread while
/// the data set is made, and the samples that callers hold. A budget that holds no more than two cases leaves nothing
/// for those on their way, and one smaller than a case makes each access read its files again.
///
/// Boxes: a chain that crops to the box of the object (BoundingBoxCrop) needs `Case::box`. Slices that the box does not
/// reach are left out, so their prediction is 0. (ivadomed keeps them, cropped along H and W.)
///
/// Condition: the presence of each contrast, where contrasts may be missing, then `Case::condition`; patches have that
/// of their slice or volume, and so they have its label where that is one of the image as a whole.
///
/// Several raters: a training sample has the labels of one, each as likely, the same for all classes. The other sets
/// have what the raters agree on: the mean of their labels, and of masks the vote of at least half of them. (ivadomed
/// draws one in the validation set too, and does not test on several.)
///
/// Randomness: sample `index` in epoch `epoch` is augmented with the key (seed, epoch, index), and its rater, its hidden
/// contrasts and its channel dropout have streams of their own, so it is the same for any number of threads, any budget
/// and any order of access. `size`, `get` and the other members are safe to call from several threads.
///
/// @tparam Augment    a chain of transforms: `History`, `preprocess(Sample&, Stage)`, `augment(Sample&, Stage,
/// RandomKey, History&)`
///                    ; if it has `bool restore(const Origin&, Stage, Sample&)`, what it has stored of the preprocessed
///                    slice or volume is taken (true), without its history, instead of reading and preprocessing it again
/// @tparam Dimension  2: slices, 3: volumes and sub-volumes
template <class Augment, int Dimension>
class CaseDataset {
  static_assert(Dimension == 2 || Dimension == 3, "ivado: the samples of a CaseDataset have 2 or 3 spatial axes");

 public:
  using History = typename Augment::History;  ///< what it takes to undo the transforms of a sample
  static constexpr int dimension = Dimension;

  /// A sample after all transforms. `sample.label` is 0 or 1 unless `soft_gt`.
  struct Loaded {
    Sample sample;
    /// Undoes all transforms; those of a patch only back to the grid that it was cut from, and `preparation` the
    /// others.
    History history;

    [[nodiscard]] std::size_t bytes() const noexcept {
      return sample.image.voxels.footprint() + sample.label.voxels.footprint() + sample.roi.voxels.footprint() +
             sample.condition.size() * sizeof(float) + sizeof(Loaded);
    }
    /// See `Array::settle`.
    void settle() {
      for (Image* image : {&sample.image, &sample.label, &sample.roi}) image->voxels.settle();
    }
  };

  /// Reads and filters the cases.
  /// @param cases    in the order of the data set; all with the same number of channels, classes and conditions
  /// @param augment  the chain of transforms, copied
  /// @param stage    decides which transforms work
  /// @param seed     seed of the run
  /// @throws Error (data) if a file cannot be read, or the files of a case lie on different grids; (usage) if the sizes
  ///         of patches cannot be, or are not ivadomed's `as_ivadomed`
  CaseDataset(std::vector<Case> cases, const SliceOptions& options, const Augment& augment, Stage stage,
              std::uint64_t seed)
      : cases_(std::move(cases)),
        options_(options),
        augment_(augment),
        stage_(stage),
        seed_(seed),
        patch_shape_(options.patches.shape()),
        prepared_(std::make_unique<Cache<Loaded>>(options.cache_bytes, WhenFull::keep)),
        volumes_(std::make_unique<Cache<detail::CaseVoxels>>(0)) {
    options_.patches.check(dimension);
    check_counts();
    construct();
  }

  /// Number of samples.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// The sample `index` as epoch `epoch` sees it.
  /// @throws Error if a file has to be read again and cannot be, or a transform fails
  [[nodiscard]] Loaded get(std::size_t index, std::uint32_t epoch) const {
    const Entry& entry = entries_[index];
    const auto prepared = prepared_->get(entry.unit, [&] { return prepare(units_[entry.unit].origin); });
    Loaded out =
        is_patched() ? Loaded{cut(prepared->sample, entry), {}} : Loaded{prepared->sample.clone(), prepared->history};
    const RandomKey key{seed_, epoch, static_cast<std::uint32_t>(index), 0};
    if (const std::size_t among = raters(units_[entry.unit].origin.volume); among > 1)
      detail::keep_rater(out.sample.label.voxels, among, detail::draw_rater(among, key));
    if (options_.image_labels) {
      Array<float> label = std::move(out.sample.label.voxels);
      out.sample.label.voxels = {};
      augment_.augment(out.sample, stage_, key, out.history);
      out.sample.label.voxels = std::move(label);
    } else {
      augment_.augment(out.sample, stage_, key, out.history);
      if (!options_.soft_gt)
        for (float& value : out.sample.label.voxels) value = value >= 0.5F ? 1.0F : 0.0F;
    }
    if (options_.missing_contrasts) blank_missing(out.sample, key);
    if (options_.input_dropout && stage_ == Stage::training)
      for (const std::size_t channel : detail::drop_channels(out.sample.image.voxels, key))
        if (options_.missing_contrasts) out.sample.condition[channel] = 0;
    return out;
  }

  /// Where a sample comes from.
  [[nodiscard]] Origin origin(std::size_t index) const {
    Origin out = units_[entries_[index].unit].origin;
    out.start = entries_[index].start;
    return out;
  }
  /// The sample in words: "axial slice 7 of sub-01_T2w", "the sub-volume at 0, 32, 0 of sub-01_T2w".
  [[nodiscard]] std::string describe(std::size_t index) const {
    const Entry& entry = entries_[index];
    const std::string unit = describe(units_[entry.unit].origin);
    if (!is_patched()) return unit;
    std::string at;
    for (int axis = 0; axis < dimension; ++axis)
      at += (axis == 0 ? "" : ", ") + std::to_string(entry.start[static_cast<std::size_t>(axis)]);
    return (dimension == 2 ? "the patch at " : "the sub-volume at ") + at + " of " +
           (dimension == 2 ? unit : case_of(static_cast<std::size_t>(units_[entry.unit].origin.volume)).id);
  }
  /// True if the label of the first class is not empty in a sample of the training set: in a patch as it is cut, in a
  /// slice or volume as it is read (transforms may still crop it away). A rater who drew it is enough.
  /// @throws Error (internal) if it is another set
  [[nodiscard]] bool shows_first_class(std::size_t index) const {
    if (index >= shows_first_class_.size())
      throw internal_error("looking at the label of " + describe(index),
                           "the " + std::string(detail::set_name(stage_)) + " set does not keep it");
    return shows_first_class_[index] != 0;
  }
  [[nodiscard]] Stage stage() const noexcept { return stage_; }
  /// The axis along which slices follow each other.
  [[nodiscard]] Axis axis() const noexcept { return options_.axis; }
  /// Number of cases.
  [[nodiscard]] std::size_t volumes() const noexcept { return cases_.size(); }
  [[nodiscard]] const Case& case_of(std::size_t volume) const { return cases_[volume]; }
  /// The grid of a case's reference image: the first one, or with missing contrasts that of the labels.
  [[nodiscard]] const Geometry& geometry_of(std::size_t volume) const { return facts_[volume].geometry; }
  /// Number of slices that a case has, and of those left out; in 3-D one volume. Without patches, `kept` is the number
  /// of its samples.
  [[nodiscard]] const SliceCounts& counts(std::size_t volume) const { return facts_[volume].counts; }
  /// The counts of all cases.
  [[nodiscard]] SliceCounts counts() const {
    SliceCounts sum;
    for (const auto& facts : facts_) sum += facts.counts;
    return sum;
  }

  /// True if the samples are patches of a slice, or sub-volumes.
  [[nodiscard]] bool is_patched() const noexcept { return !options_.patches.empty(); }
  /// Number of patches of all cases, and of those left out; all 0 where there are none.
  [[nodiscard]] SliceCounts patch_counts() const {
    SliceCounts sum;
    for (const auto& facts : facts_) sum += facts.patch_counts;
    return sum;
  }
  /// The patches of the prepared slice or volume of a sample, those left out among them.
  /// @param origin  of one of its samples
  /// @throws Error (internal) if there are no patches, or the data set has no such slice or volume
  [[nodiscard]] PatchGrid patch_grid(const Origin& origin) const {
    return PatchGrid(units_[unit_of(origin)].extent, options_.patches);
  }
  /// What the preprocessing of a slice or volume did, to be undone once its patches are one prediction. The testing set
  /// alone keeps it.
  /// @param origin  of one of its samples
  /// @throws Error (internal) if there are no patches, it is not the testing set or has no such slice or volume
  [[nodiscard]] const History& preparation(const Origin& origin) const {
    const std::size_t unit = unit_of(origin);
    if (unit >= preparations_.size())
      throw internal_error("looking for the preprocessing of " + describe(origin),
                           "the " + std::string(detail::set_name(stage_)) + " set does not keep it");
    return preparations_[unit];
  }

  /// Memory that all prepared slices or volumes take together, whether they are kept or not. (Each case is judged by
  /// its first slice.)
  [[nodiscard]] std::size_t estimated_bytes() const noexcept {
    std::size_t sum = 0;
    for (const auto& facts : facts_) sum += facts.sample_bytes * static_cast<std::size_t>(facts.counts.kept);
    return sum;
  }
  /// What the caches did so far: prepared slices or volumes, and files. Their budgets together are
  /// `SliceOptions::cache_bytes`.
  [[nodiscard]] CacheStatistics sample_statistics() const { return prepared_->statistics(); }
  [[nodiscard]] CacheStatistics volume_statistics() const { return volumes_->statistics(); }
  /// What was odd about the files, one sentence each, in the order of the cases.
  [[nodiscard]] std::vector<std::string> warnings() const {
    std::vector<std::string> all;
    for (const auto& facts : facts_) all.insert(all.end(), facts.warnings.begin(), facts.warnings.end());
    if (options_.input_dropout && stage_ == Stage::training && !cases_.empty() && cases_.front().images.size() == 1)
      all.emplace_back("loader_parameters.is_input_dropout has no effect: the samples have one channel");
    if (options_.patch_filter.is_any() && !is_patched() && stage_ == Stage::training)
      all.emplace_back(
          "loader_parameters.patch_filter_params has no effect: the samples are no patches; give the model "
          "a length_" +
          std::to_string(dimension) + "D");
    return all;
  }
  /// One line for the log: samples, what was left out and why, memory.
  [[nodiscard]] std::string summary() const {
    const std::size_t needed = estimated_bytes();
    const auto mib = [](std::size_t bytes) {
      return std::to_string(bytes >> 20) + "." + std::to_string((bytes * 10 >> 20) % 10) + " MiB";
    };
    int regridded = 0;
    for (const auto& facts : facts_) regridded += facts.regridded;
    const std::string noun = dimension == 2 ? "patches" : "sub-volumes";
    return std::string(detail::set_name(stage_)) + " set: " + std::to_string(volumes()) + " volumes" +
           (dimension == 2 ? ", " + counts().text() : "") + "; " +
           (is_patched() ? patch_counts().text(noun + " of " + options_.patches.text()) + "; " : "") +
           (regridded == 0 ? "" : std::to_string(regridded) + " files resampled onto another grid; ") + mib(needed) +
           (needed <= options_.cache_bytes
                ? " kept in memory"
                : " to prepare, of which at most " + mib(options_.cache_bytes) + " kept in memory: " + shares() + "; " +
                      mib(in_flight_bytes_) + " for those that are being made");
  }

 private:
  struct Facts {
    Geometry geometry;
    SliceCounts counts;
    SliceCounts patch_counts;
    std::size_t sample_bytes = 0;
    std::size_t volume_bytes = 0;
    int regridded = 0;
    std::vector<std::string> warnings;
  };
  /// A slice, or a volume: what is preprocessed as one.
  struct Unit {
    Origin origin;
    Shape extent;  ///< spatial, after the preprocessing; only where there are patches
  };
  /// A sample.
  struct Entry {
    std::uint32_t unit = 0;
    std::array<std::int32_t, 3> start{};
  };
  /// A unit of a case while the data set is made: its samples, and itself if there is memory left.
  struct Made {
    Unit unit;
    std::vector<std::array<std::int32_t, 3>> starts;
    std::vector<std::uint8_t> shows_first_class;  // of each start, in the training set
    std::optional<Loaded> prepared;
    std::optional<History> history;
  };

  /// What stays in memory where not all does: "30 % of the slices prepared, 12 % of the cases as read".
  [[nodiscard]] std::string shares() const {
    std::size_t cases = 0;
    for (const auto& facts : facts_) cases += facts.volume_bytes;
    const auto percent = [](std::size_t part, std::size_t whole) {
      return std::to_string(std::min(std::size_t{100}, static_cast<std::size_t>(100.0 * static_cast<double>(part) /
                                                                                static_cast<double>(whole)))) +
             " % of the ";
    };
    return percent(sample_statistics().budget_bytes, estimated_bytes()) + (dimension == 2 ? "slices" : "volumes") +
           " prepared" +
           (dimension == 2 ? ", " + percent(volume_statistics().budget_bytes, cases) + "cases as read" : "");
  }

  void check_counts() const {
    for (const auto& one : cases_) {
      const Case& first = cases_.front();
      const auto compare = [&](std::size_t found, std::size_t expected, const std::string& what) {
        if (found != expected)
          throw data_error("making the " + std::string(detail::set_name(stage_)) + " set",
                           one.id + " has " + std::to_string(found) + " " + what + ", " + first.id + " has " +
                               std::to_string(expected),
                           "give all cases the same number of " + what);
      };
      compare(one.images.size(), first.images.size(), "images");
      for (std::size_t r = 0; r < one.raters(); ++r) compare(one.labels_of(r).size(), first.labels.size(), "labels");
      compare(one.condition.size(), first.condition.size(), "conditions");
      compare(one.image_label.size(), first.image_label.size(), "labels of the image as a whole");
    }
  }

  /// Raters whose labels the prepared samples of a case hold.
  [[nodiscard]] std::size_t raters(std::int32_t volume) const {
    const Case& one = cases_[static_cast<std::size_t>(volume)];
    return stage_ == Stage::training && one.image_label.empty() ? one.raters() : 1;
  }
  /// The files of a case. Where not all is kept they come and go, so they are to leave no holes in the heap.
  [[nodiscard]] detail::CaseVoxels read(std::size_t v, bool in_pages,
                                        std::vector<std::string>* warnings = nullptr) const {
    return detail::read_case(cases_[v], options_, warnings, stage_ == Stage::training, in_pages);
  }

  /// "axial slice 7 of sub-01_T2w", "the volume sub-01_T2w".
  [[nodiscard]] std::string describe(const Origin& unit) const {
    const std::string& id = case_of(static_cast<std::size_t>(unit.volume)).id;
    if (unit.slice < 0) return "the volume " + id;
    return detail::slice_name(options_.axis) + " " + std::to_string(unit.slice) + " of " + id;
  }
  /// The number of the unit that a sample belongs to.
  [[nodiscard]] std::size_t unit_of(const Origin& origin) const {
    const auto place = [](const Origin& o) { return std::pair(o.volume, o.slice); };
    const auto found = std::lower_bound(units_.begin(), units_.end(), origin, [&](const Unit& unit, const Origin& o) {
      return place(unit.origin) < place(o);
    });
    if (!is_patched() || found == units_.end() || place(found->origin) != place(origin))
      throw internal_error("looking for the patches of slice " + std::to_string(origin.slice) + " of volume " +
                               std::to_string(origin.volume),
                           is_patched() ? "the data set has none" : "its samples are not patches");
    return static_cast<std::size_t>(found - units_.begin());
  }

  /// True if the chain crops samples to a box.
  [[nodiscard]] bool needs_box() const {
    if constexpr (requires { augment_.needs_box(stage_); }) return augment_.needs_box(stage_);
    return false;
  }

  void construct() {
    facts_.resize(cases_.size());
    // The place of a sample is known only when all cases before it are filtered, so units wait here under (case,
    // slice).
    std::vector<std::vector<Made>> made(cases_.size());
    std::atomic<std::size_t> ready_bytes{0};
    std::atomic<bool> is_tight{false};
    detail::in_parallel(cases_.size(), options_.threads, [&](std::size_t v) {
      Facts& facts = facts_[v];
      const detail::CaseVoxels voxels = read(v, is_tight, &facts.warnings);
      facts.geometry = voxels.geometry;
      facts.volume_bytes = voxels.bytes();
      facts.regridded = voxels.regridded;
      const AxisMap map = file_to_hwd(voxels.geometry.affine, options_.axis);
      std::vector<std::int32_t> kept{-1};
      if constexpr (dimension == 2)
        std::tie(kept, facts.counts) = detail::filter_slices(voxels, map, options_);
      else
        facts.counts.kept = 1;
      if (dimension == 2 && options_.keep_slice) {
        const auto rejected = std::erase_if(kept, [&](std::int32_t slice) {
          return !options_.keep_slice(detail::extract(voxels, map, {static_cast<std::int32_t>(v), slice}, false));
        });
        facts.counts.rejected = static_cast<std::int64_t>(rejected);
        facts.counts.kept -= facts.counts.rejected;
      }
      if (needs_box()) {
        const ObjectBox box = detail::box_of(cases_[v], voxels.geometry, options_.axis);
        if (dimension == 2 && !options_.as_ivadomed) detail::keep_slices_of(box, kept, facts.counts);
      }
      bool is_full = false;
      for (const std::int32_t slice : kept) {
        Made& one = made[v].emplace_back();
        one.unit.origin = {static_cast<std::int32_t>(v), slice};
        if (!is_patched()) {
          one.starts.emplace_back();
          if (stage_ == Stage::training)
            one.shows_first_class.push_back(detail::shows_first_class(cases_[v], voxels, map, slice) ? 1 : 0);
        }
        if (is_full && !is_patched()) continue;  // nothing has to be known about it
        Loaded prepared = prepare_first(voxels, map, one.unit.origin);
        if (is_patched()) lay_patches(prepared, one, facts);
        const std::size_t bytes = prepared.bytes();
        if (facts.sample_bytes == 0) facts.sample_bytes = bytes;
        if (is_full || one.starts.empty()) continue;
        // What is on its way counts as well where it can be foreseen that not all will be kept.
        const bool is_foreseen_to_fit = !is_tight && bytes <= options_.cache_bytes / kept.size() / cases_.size();
        const std::size_t room =
            options_.cache_bytes - (is_foreseen_to_fit ? 0 : in_flight(facts.volume_bytes, facts.sample_bytes));
        if (ready_bytes.fetch_add(bytes) + bytes > room) {
          ready_bytes.fetch_sub(bytes);
          is_full = is_tight = true;
        } else {
          prepared.settle();
          one.prepared = std::move(prepared);
        }
      }
    });
    for (auto& units : made) {
      for (Made& one : units) {
        const auto unit = static_cast<std::uint32_t>(units_.size());
        if (one.prepared) prepared_->offer(unit, std::move(*one.prepared));
        if (one.history) preparations_.push_back(std::move(*one.history));
        units_.push_back(one.unit);
        for (const auto& start : one.starts) entries_.push_back({unit, start});
        shows_first_class_.insert(shows_first_class_.end(), one.shows_first_class.begin(), one.shows_first_class.end());
      }
      std::vector<Made>().swap(units);
    }
    if (entries_.size() > std::numeric_limits<std::uint32_t>::max())
      throw data_error("making the " + std::string(detail::set_name(stage_)) + " set", "more than 2^32 - 1 samples");
    share_budget();
  }

  /// Finds the patches of a unit that has been prepared, and filters them.
  void lay_patches(const Loaded& prepared, Made& one, Facts& facts) const {
    one.unit.extent = prepared.sample.image.spatial();
    if (is_testing(stage_)) one.history = prepared.history;
    const PatchGrid grid(one.unit.extent, options_.patches);
    if (options_.as_ivadomed && !grid.is_of_ivadomed(options_.patches))
      throw usage_error("cutting patches of " + options_.patches.text() + " out of " + describe(one.unit.origin),
                        "its extents are " + one.unit.extent.text() + ", which ivadomed refuses",
                        "crop it to fit, or do not ask for ivadomed's behaviour");
    const bool is_filtered = options_.patch_filter.is_any() &&
                             (stage_ == Stage::training || (options_.as_ivadomed && stage_ == Stage::validation));
    const bool is_soft = options_.soft_gt || options_.as_ivadomed;
    const std::size_t among = raters(one.unit.origin.volume);
    const Array<float>& label = prepared.sample.label.voxels;
    const auto shows_first_class = [&](const std::array<std::int32_t, 3>& start) {
      const std::int64_t classes = label.empty() ? 1 : label.extent(0) / static_cast<std::int64_t>(among);
      if (label.rank() == dimension + 1) return detail::shows_class(label, 0, classes, start, patch_shape_, is_soft);
      for (std::int64_t l = 0; l < label.size(); l += classes)  // of the image as a whole
        if (label[l] != 0) return true;
      return false;
    };
    for (std::int64_t i = 0; i < grid.size(); ++i) {
      const auto start = grid[i];
      const auto fate = !is_filtered ? detail::PatchFate::kept
                                     : detail::judge_patch(prepared.sample, start, patch_shape_, options_.patch_filter,
                                                           is_soft, options_.missing_contrasts, among);
      switch (fate) {
        case detail::PatchFate::kept:
          ++facts.patch_counts.kept;
          one.starts.push_back(start);
          if (stage_ == Stage::training) one.shows_first_class.push_back(shows_first_class(start) ? 1 : 0);
          break;
        case detail::PatchFate::empty_mask:
          ++facts.patch_counts.empty_mask;
          break;
        case detail::PatchFate::absent_class:
          ++facts.patch_counts.absent_class;
          break;
        case detail::PatchFate::empty_input:
          ++facts.patch_counts.empty_input;
          break;
      }
    }
  }

  /// If the prepared units do not all fit, shares the budget.
  ///
  /// Slices: the files of cases get their part. In a shuffled pass the share of accesses that read a file is (1 - kept
  /// part of the slices) × (1 - kept part of the files): least when the smaller of the two gets all it needs. A
  /// prepared volume replaces its files. Patches: some of those units that are not kept for good take turns, so that
  /// the patches of one, which follow each other in testing, do not each prepare it anew. Each thread has on its way a
  /// case that it reads and a unit that it prepares; they get their part as long as two of the largest can be kept.
  void share_budget() {
    if (estimated_bytes() <= options_.cache_bytes) return;
    std::size_t all = 0;
    std::size_t largest = 0;
    std::size_t largest_unit = 0;
    for (const auto& facts : facts_) {
      all += facts.volume_bytes;
      largest = std::max(largest, facts.volume_bytes);
      largest_unit = std::max(largest_unit, facts.sample_bytes);
    }
    const auto threads = static_cast<std::size_t>(std::max(options_.threads, 1));
    in_flight_bytes_ = in_flight(largest, largest_unit);
    const std::size_t for_all = options_.cache_bytes - in_flight_bytes_;
    const std::size_t for_volumes =
        dimension == 3 ? 0 : std::min(for_all, all <= estimated_bytes() ? all : 2 * largest);
    prepared_->set_budget(for_all - for_volumes);
    volumes_->set_budget(for_volumes);
    if (is_patched()) prepared_->set_turns(largest_unit * (threads + 1));
#ifdef __GLIBC__
    malloc_trim(
        0);  // what was dropped lies in the heaps of the reading threads, where those to come would not look for it
#endif
  }

  /// The part of the budget for what the threads have on their way: a case and a unit each, as long as two of the
  /// larger can be kept beside.
  [[nodiscard]] std::size_t in_flight(std::size_t case_bytes, std::size_t unit_bytes) const {
    const auto threads = static_cast<std::size_t>(std::max(options_.threads, 1));
    const std::size_t kept = std::min(options_.cache_bytes, 2 * std::max(case_bytes, unit_bytes));
    return std::min(options_.cache_bytes - kept, threads * (case_bytes + unit_bytes));
  }

  [[nodiscard]] Loaded prepare(const detail::CaseVoxels& voxels, const AxisMap& map, Origin origin) const {
    Loaded out{detail::extract(voxels, map, origin, !options_.image_labels), History{}};
    if (options_.as_ivadomed)
      for (Image* image : {&out.sample.image, &out.sample.label, &out.sample.roi})
        for (double& spacing : image->spacing_mm) spacing = static_cast<double>(static_cast<float>(spacing));
    const Case& one = cases_[static_cast<std::size_t>(origin.volume)];
    if (options_.missing_contrasts) out.sample.condition = detail::presence(one, out.sample.image);
    if (one.box) out.sample.box = detail::box_of(one, voxels.geometry, options_.axis);
    out.history = augment_.preprocess(out.sample, stage_);
    if (options_.image_labels) out.sample.label.voxels = detail::image_label(one, voxels, map, origin.slice);
    out.sample.condition.insert(out.sample.condition.end(), one.condition.begin(), one.condition.end());
    return out;
  }
  /// `prepare` while the data set is made: its errors name the slice or volume and the set.
  [[nodiscard]] Loaded prepare_first(const detail::CaseVoxels& voxels, const AxisMap& map, Origin origin) const {
    try {
      return prepare(voxels, map, origin);
    } catch (const Error& error) {
      throw Error(error.fault(),
                  "preparing " + describe(origin) + " for the " + std::string(detail::set_name(stage_)) + " set",
                  error.what());
    }
  }
  [[nodiscard]] Loaded prepare(Origin origin) const {
    const auto v = static_cast<std::size_t>(origin.volume);
    if constexpr (requires(Sample & sample) {
                    { augment_.restore(origin, stage_, sample) } -> std::same_as<bool>;
                  }) {
      if (Loaded out; !options_.image_labels && augment_.restore(origin, stage_, out.sample)) {
        auto& condition = out.sample.condition;
        condition.insert(condition.end(), cases_[v].condition.begin(), cases_[v].condition.end());
        return out;
      }
    }
    const auto voxels = volumes_->get(origin.volume, [&] { return read(v, true); });
    if (!(voxels->geometry.shape == facts_[v].geometry.shape))
      throw data_error("reading " + cases_[v].images[cases_[v].reference] + " again",
                       "its shape is " + voxels->geometry.shape.text() + ", it was " + facts_[v].geometry.shape.text(),
                       "do not change the data set during a run");
    return prepare(*voxels, file_to_hwd(voxels->geometry.affine, options_.axis), origin);
  }

  /// A patch of a prepared slice or volume.
  [[nodiscard]] Sample cut(const Sample& unit, const Entry& entry) const {
    const auto part = [&](const Image& image) {
      const bool is_map = image.voxels.rank() == dimension + 1;
      return Image{is_map ? detail::cut_patch(image.voxels, entry.start, patch_shape_) : image.voxels.clone(),
                   image.kind, image.spacing_mm};
    };
    Sample out;
    out.image = part(unit.image);
    out.label = part(unit.label);
    out.roi = part(unit.roi);
    out.origin = unit.origin;
    out.origin.start = entry.start;
    out.condition = unit.condition;
    return out;
  }

  /// Hides contrasts while training, and blanks the channels of those that are missing or hidden, whatever the
  /// transforms made of them.
  void blank_missing(Sample& sample, const RandomKey& key) const {
    auto& voxels = sample.image.voxels;
    const std::span<float> presence(sample.condition.data(), static_cast<std::size_t>(voxels.extent(0)));
    if (stage_ == Stage::training && options_.missing_probability > 0)
      detail::hide_contrasts(presence, options_.missing_probability, options_.missing_probability_growth, key);
    const std::int64_t size = voxels.size() / voxels.extent(0);
    for (std::size_t c = 0; c < presence.size(); ++c)
      if (presence[c] == 0) std::fill_n(voxels.data() + static_cast<std::int64_t>(c) * size, size, 0.0F);
  }

  std::vector<Case> cases_;
  SliceOptions options_;
  Augment augment_;
  Stage stage_;
  std::uint64_t seed_;
  Shape patch_shape_;
  std::vector<Facts> facts_;
  std::vector<Unit> units_;            // in order of their case and slice
  std::vector<History> preparations_;  // of each unit, where a testing set has patches
  std::vector<Entry> entries_;
  std::vector<std::uint8_t> shows_first_class_;  // of each entry of a training set
  std::unique_ptr<Cache<Loaded>> prepared_;      // by unit
  std::unique_ptr<Cache<detail::CaseVoxels>> volumes_;
  std::size_t in_flight_bytes_ = 0;  // set aside for what the threads are making, where not all is kept
};

/// Slices, or patches of them.
template <class Augment>
using SliceDataset = CaseDataset<Augment, 2>;

/// Sub-volumes, or whole volumes.
template <class Augment>
using SubvolumeDataset = CaseDataset<Augment, 3>;

}  // namespace ivado
