// The 2-D slices of a list of cases as prepared samples: read once, filtered, preprocessed once, kept under a byte
// budget.
#pragma once

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../random.hpp"
#include "array.hpp"
#include "cache.hpp"
#include "case.hpp"
#include "geometry.hpp"
#include "regrid.hpp"
#include "sample.hpp"
#include "volume.hpp"
#include "volume_io.hpp"

namespace ivado {

/// What a data set of slices needs to know besides its cases and transforms. `BidsLoader` fills it from
/// "loader_parameters".
struct SliceOptions {
  Axis axis = Axis::axial;         ///< the axis along which slices follow each other
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
  double missing_probability_growth = 1;           ///< g
  std::size_t cache_bytes = std::size_t{1} << 30;  ///< memory for prepared samples and volumes
  int threads = 1;  ///< threads that read and prepare when the data set is made; they change time alone
  /// Labels go through the transforms with the values of their file, and become 0 or 1 only at the end. ivado makes
  /// them 0 or 1 first: linear interpolation would make a structure of value 2 or 255 fatter than one of value 1.
  bool as_ivadomed = false;
};

/// How many slices a data set has, and how many were left out for which reason (the first that holds, in this order).
struct SliceCounts {
  std::int64_t kept = 0;          ///< samples of the data set
  std::int64_t empty_mask = 0;    ///< every class empty
  std::int64_t absent_class = 0;  ///< at least one class empty
  std::int64_t empty_input = 0;   ///< at least one channel constant; all of them, where contrasts may be missing
  std::int64_t small_roi = 0;     ///< too few voxels in the region of interest

  [[nodiscard]] std::int64_t left_out() const noexcept { return empty_mask + absent_class + empty_input + small_roi; }
  SliceCounts& operator+=(const SliceCounts& other) noexcept {
    kept += other.kept, empty_mask += other.empty_mask, absent_class += other.absent_class;
    empty_input += other.empty_input, small_roi += other.small_roi;
    return *this;
  }
  [[nodiscard]] friend bool operator==(const SliceCounts&, const SliceCounts&) = default;
  /// "40 slices; left out: 5 with an empty mask, 3 with a constant channel".
  [[nodiscard]] std::string text() const {
    std::string out = std::to_string(kept) + " slices";
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
    return out;
  }
};

namespace detail {

/// "training", "validation", "testing".
[[nodiscard]] inline std::string_view set_name(Stage stage) {
  return stage == Stage::training ? "training" : stage == Stage::validation ? "validation" : "testing";
}

/// "axial slice", …
[[nodiscard]] inline std::string slice_name(Axis axis) {
  return std::string(axis == Axis::sagittal ? "sagittal" : axis == Axis::coronal ? "coronal" : "axial") + " slice";
}

/// The voxels of a case as they lie in its files.
struct CaseVoxels {
  std::vector<Array<float>> images;        ///< [k, j, i], one a channel; an empty array is a contrast that is missing
  std::vector<Array<std::uint8_t>> masks;  ///< labels of 0 and 1, one a class; an empty array is a class without a file
  std::vector<Array<float>> soft_labels;   ///< labels in [0, 1], instead of `masks`
  Array<float> roi;                        ///< empty where the case has none
  Geometry geometry;                       ///< of the reference image
  int regridded = 0;                       ///< files that were resampled onto that

  [[nodiscard]] std::size_t bytes() const noexcept {
    std::size_t sum = roi.bytes();
    for (const auto& array : images) sum += array.bytes();
    for (const auto& array : masks) sum += array.bytes();
    for (const auto& array : soft_labels) sum += array.bytes();
    return sum;
  }
};

/// A mask of 0 and 1: values of at least 0.5 are inside, as after the transforms.
[[nodiscard]] inline Array<std::uint8_t> binary(const Array<float>& label) {
  Array<std::uint8_t> mask(label.shape());
  for (std::int64_t i = 0; i < label.size(); ++i) mask[i] = label[i] >= 0.5F ? 1 : 0;
  return mask;
}

/// Clamps a soft label to [0, 1]. Files overshoot a little (up to 1.11 in the spinal cord set); more is no probability.
inline void check_soft_label(Array<float>& label, const std::string& path) {
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
inline bool bring_onto(const Volume& reference, Volume& volume, bool nearest, const SliceOptions& options,
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

/// Reads a file, and adds what was odd about it to the warnings, one sentence each.
[[nodiscard]] inline Volume read_with_warnings(const std::string& path, std::vector<std::string>* warnings) {
  ReadReport report;
  Volume volume = read_volume(path, {}, &report);
  if (warnings != nullptr)
    for (const auto& warning : report.warnings) warnings->push_back(path + ": " + warning);
  return volume;
}

/// Reads the files of a case onto the grid of its reference image.
/// @param warnings  takes what was odd about a file, one sentence each; may be null
/// @throws Error (data) naming both files where they do not lie on one grid and may not be resampled
[[nodiscard]] inline CaseVoxels read_case(const Case& one, const SliceOptions& options,
                                          std::vector<std::string>* warnings = nullptr) {
  if (one.reference >= one.images.size() || one.images[one.reference].empty())
    throw internal_error("reading the case " + one.id, "it has no image");
  CaseVoxels out;
  Volume reference = read_with_warnings(one.images[one.reference], warnings);
  const auto read = [&](const std::string& path, bool nearest) {
    Volume volume = read_with_warnings(path, warnings);
    out.regridded += bring_onto(reference, volume, nearest, options, warnings) ? 1 : 0;
    return std::move(volume.voxels);
  };
  out.images.resize(one.images.size());
  for (std::size_t c = 0; c < one.images.size(); ++c) {
    if (one.images[c].empty() && !options.missing_contrasts)
      throw internal_error("reading the case " + one.id, "its channel " + std::to_string(c) + " has no image");
    if (c != one.reference && !one.images[c].empty()) out.images[c] = read(one.images[c], false);
  }
  for (const auto& path : one.labels) {
    Array<float> label = path.empty() ? Array<float>{} : read(path, !options.soft_gt);
    if (options.soft_gt && !options.as_ivadomed) check_soft_label(label, path);
    if (options.soft_gt || options.as_ivadomed)
      out.soft_labels.push_back(std::move(label));
    else
      out.masks.push_back(binary(label));
  }
  if (!one.roi.empty()) out.roi = read(one.roi, true);
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
[[nodiscard]] inline std::pair<std::vector<std::int32_t>, SliceCounts> filter_slices(const CaseVoxels& voxels,
                                                                                     const AxisMap& map,
                                                                                     const SliceOptions& options) {
  const auto slices = static_cast<std::size_t>(map.reorder(
      std::array<std::int64_t, 3>{voxels.geometry.shape[0], voxels.geometry.shape[1], voxels.geometry.shape[2]})[2]);
  std::vector<std::uint8_t> any_class(slices, 0);
  std::vector<std::uint8_t> all_classes(slices, 1);
  const auto add_class = [&](const auto& label) {
    if (label.empty()) {
      all_classes.assign(slices, 0);
      return;
    }
    const auto counts = nonzero_counts(hwd_view(label, map));
    for (std::size_t d = 0; d < slices; ++d) {
      if (counts[d] > 0)
        any_class[d] = 1;
      else
        all_classes[d] = 0;
    }
  };
  const bool has_labels = !voxels.masks.empty() || !voxels.soft_labels.empty();
  if (has_labels && (options.filter_empty_mask || options.filter_absent_class)) {
    for (const auto& label : voxels.masks) add_class(label);
    for (const auto& label : voxels.soft_labels) add_class(label);
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

/// True if the slice of a label has a voxel that is not 0.
template <class T>
[[nodiscard]] bool has_voxel(const Array<T>& label, const AxisMap& map, std::int32_t slice) {
  if (label.empty()) return false;
  const ArrayView<const T> plane = hwd_view(label, map).select(2, slice);
  for (std::int64_t h = 0; h < plane.extent(0); ++h)
    for (std::int64_t w = 0; w < plane.extent(1); ++w)
      if (plane(h, w) != T{0}) return true;
  return false;
}

/// The label of a slice as a whole, [class]; empty where the case has none. See `SliceOptions::image_labels`.
[[nodiscard]] inline Array<float> image_label(const Case& one, const CaseVoxels& voxels, const AxisMap& map,
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
[[nodiscard]] inline std::vector<float> presence(const Case& one, const Image& slice) {
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
inline void hide_contrasts(std::span<float> presence, double probability, double growth, const RandomKey& key) {
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

/// One slice of a case as a sample, before any transform.
/// @param with_label  false: `label` stays empty
[[nodiscard]] inline Sample extract_slice(const CaseVoxels& voxels, const AxisMap& map, Origin origin,
                                          bool with_label = true) {
  const std::array<double, 3> spacing_mm = map.reorder(voxels.geometry.spacing_mm());
  const auto hwd = map.reorder(
      std::array<std::int64_t, 3>{voxels.geometry.shape[0], voxels.geometry.shape[1], voxels.geometry.shape[2]});
  const auto stack = [&](const auto& arrays, Kind kind) {
    Image out{{}, kind, spacing_mm};
    if (arrays.empty()) return out;
    out.voxels = Array<float>(Shape{static_cast<std::int64_t>(arrays.size()), hwd[0], hwd[1]});
    for (std::size_t c = 0; c < arrays.size(); ++c) {
      const ArrayView<float> plane = out.voxels.view().select(0, static_cast<std::int64_t>(c));
      if (arrays[c].empty())
        std::fill_n(plane.data(), plane.size(), 0.0F);
      else
        copy(hwd_view(arrays[c], map).select(2, origin.slice), plane);
    }
    return out;
  };
  Sample sample;
  sample.image = stack(voxels.images, Kind::image);
  if (with_label)
    sample.label =
        voxels.soft_labels.empty() ? stack(voxels.masks, Kind::label) : stack(voxels.soft_labels, Kind::label);
  if (!voxels.roi.empty()) {
    sample.roi = Image{Array<float>(Shape{1, hwd[0], hwd[1]}), Kind::roi, spacing_mm};
    copy(hwd_view(voxels.roi, map).select(2, origin.slice), sample.roi.voxels.view().select(0, 0));
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
/// @return      [class, i, j, k], 0 or 1 unless `soft_gt`; a class without a file is all zero
/// @throws Error (data) if a file cannot be read, or lies on another grid and may not be resampled
[[nodiscard]] inline Array<float> read_labels(const Case& one, const Geometry& grid, const SliceOptions& options) {
  Array<float> out = zeros(grid.shape.prepended(static_cast<std::int64_t>(one.labels.size())));
  Volume reference;
  reference.geometry = grid;
  reference.path = one.reference < one.images.size() ? one.images[one.reference] : one.id;
  for (std::size_t c = 0; c < one.labels.size(); ++c) {
    if (one.labels[c].empty()) continue;
    Volume label = read_volume(one.labels[c]);
    (void)detail::bring_onto(reference, label, !options.soft_gt, options, nullptr);
    if (options.soft_gt && !options.as_ivadomed) detail::check_soft_label(label.voxels, one.labels[c]);
    if (!options.soft_gt)
      for (float& value : label.voxels) value = value >= 0.5F ? 1.0F : 0.0F;
    copy(std::as_const(label).view(), out.view().select(0, static_cast<std::int64_t>(c)));
  }
  return out;
}

/// The slices of a list of cases, each a sample [channel, H, W] with its labels.
///
/// Made in one pass over the files: the volumes are read (each once), checked to lie on the grid of the reference image
/// or resampled onto it, turned to (H, W, D) by views, filtered on the slices as they are there, and preprocessed as
/// long as the results fit into the budget. The samples follow the order of the cases and of the slices. Missing
/// classes are zeros.
///
/// Memory: prepared samples and, where they do not all fit, volumes share `SliceOptions::cache_bytes`; what is not kept
/// is made again from the file. On top of that come one case for each thread while reading, and the samples that
/// callers hold. A budget smaller than one case makes each access read its files again.
///
/// Condition: the presence of each contrast, where contrasts may be missing, then `Case::condition`.
///
/// Randomness: sample `index` in epoch `epoch` is augmented with the key (seed, epoch, index), and its hidden contrasts
/// have a stream of their own, so it is the same for any number of threads, any budget and any order of access. `size`,
/// `get` and the other members are safe to call from several threads.
///
/// @tparam Augment  a chain of transforms: `History`, `preprocess(Sample&, Stage)`, `augment(Sample&, Stage, RandomKey,
/// History&)`
template <class Augment>
class SliceDataset {
 public:
  using History = typename Augment::History;  ///< what it takes to undo the transforms of a sample
  static constexpr int dimension = 2;

  /// A sample after all transforms. `sample.label` is 0 or 1 unless `soft_gt`.
  struct Loaded {
    Sample sample;
    History history;

    [[nodiscard]] std::size_t bytes() const noexcept {
      return sample.image.voxels.bytes() + sample.label.voxels.bytes() + sample.roi.voxels.bytes() +
             sample.condition.size() * sizeof(float) + sizeof(Loaded);
    }
  };

  /// Reads and filters the cases.
  /// @param cases    in the order of the data set; all with the same number of channels, classes and conditions
  /// @param augment  the chain of transforms, copied
  /// @param stage    decides which transforms work
  /// @param seed     seed of the run
  /// @throws Error (data) if a file cannot be read, or the files of a case lie on different grids
  SliceDataset(std::vector<Case> cases, const SliceOptions& options, const Augment& augment, Stage stage,
               std::uint64_t seed)
      : cases_(std::move(cases)),
        options_(options),
        augment_(augment),
        stage_(stage),
        seed_(seed),
        prepared_(std::make_unique<Cache<Loaded>>(options.cache_bytes, WhenFull::keep)),
        volumes_(std::make_unique<Cache<detail::CaseVoxels>>(0)) {
    check_counts();
    construct();
  }

  /// Number of samples.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// The sample `index` as epoch `epoch` sees it.
  /// @throws Error if a file has to be read again and cannot be, or a transform fails
  [[nodiscard]] Loaded get(std::size_t index, std::uint32_t epoch) const {
    const auto prepared = prepared_->get(static_cast<std::int64_t>(index), [&] { return prepare(entries_[index]); });
    Loaded out{prepared->sample.clone(), prepared->history};
    const RandomKey key{seed_, epoch, static_cast<std::uint32_t>(index), 0};
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
    return out;
  }

  /// Where a sample comes from.
  [[nodiscard]] Origin origin(std::size_t index) const { return entries_[index]; }
  /// The sample in words: "axial slice 7 of sub-01_T2w".
  [[nodiscard]] std::string describe(std::size_t index) const {
    const Origin& entry = entries_[index];
    return detail::slice_name(options_.axis) + " " + std::to_string(entry.slice) + " of " +
           case_of(static_cast<std::size_t>(entry.volume)).id;
  }
  [[nodiscard]] Stage stage() const noexcept { return stage_; }
  /// The axis along which slices follow each other.
  [[nodiscard]] Axis axis() const noexcept { return options_.axis; }
  /// Number of cases.
  [[nodiscard]] std::size_t volumes() const noexcept { return cases_.size(); }
  [[nodiscard]] const Case& case_of(std::size_t volume) const { return cases_[volume]; }
  /// The grid of a case's reference image: the first one, or with missing contrasts that of the labels.
  [[nodiscard]] const Geometry& geometry_of(std::size_t volume) const { return facts_[volume].geometry; }
  /// Number of samples that come from a case, and of those left out.
  [[nodiscard]] const SliceCounts& counts(std::size_t volume) const { return facts_[volume].counts; }
  /// The counts of all cases.
  [[nodiscard]] SliceCounts counts() const {
    SliceCounts sum;
    for (const auto& facts : facts_) sum += facts.counts;
    return sum;
  }
  /// Memory that all prepared samples take together, whether they are kept or not. (Each case is judged by its first
  /// slice.)
  [[nodiscard]] std::size_t estimated_bytes() const noexcept {
    std::size_t sum = 0;
    for (const auto& facts : facts_) sum += facts.sample_bytes * static_cast<std::size_t>(facts.counts.kept);
    return sum;
  }
  /// What the caches did so far: prepared samples and volumes. Their budgets together are `SliceOptions::cache_bytes`.
  [[nodiscard]] CacheStatistics sample_statistics() const { return prepared_->statistics(); }
  [[nodiscard]] CacheStatistics volume_statistics() const { return volumes_->statistics(); }
  /// What was odd about the files, one sentence each, in the order of the cases.
  [[nodiscard]] std::vector<std::string> warnings() const {
    std::vector<std::string> all;
    for (const auto& facts : facts_) all.insert(all.end(), facts.warnings.begin(), facts.warnings.end());
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
    return std::string(detail::set_name(stage_)) + " set: " + std::to_string(volumes()) + " volumes, " +
           counts().text() + "; " +
           (regridded == 0 ? "" : std::to_string(regridded) + " files resampled onto another grid; ") + mib(needed) +
           (needed <= options_.cache_bytes
                ? " kept in memory"
                : " to prepare, of which at most " + mib(options_.cache_bytes) + " kept in memory");
  }

 private:
  struct Facts {
    Geometry geometry;
    SliceCounts counts;
    std::size_t sample_bytes = 0;
    std::size_t volume_bytes = 0;
    int regridded = 0;
    std::vector<std::string> warnings;
  };

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
      compare(one.labels.size(), first.labels.size(), "labels");
      compare(one.condition.size(), first.condition.size(), "conditions");
      compare(one.image_label.size(), first.image_label.size(), "labels of the image as a whole");
    }
  }

  void construct() {
    facts_.resize(cases_.size());
    // The place of a sample is known only when all cases before it are filtered, so samples wait here under (case,
    // slice).
    std::vector<std::vector<std::int32_t>> kept(cases_.size());
    std::vector<std::vector<Loaded>> ready(cases_.size());
    std::atomic<std::size_t> ready_bytes{0};
    detail::in_parallel(cases_.size(), options_.threads, [&](std::size_t v) {
      Facts& facts = facts_[v];
      const detail::CaseVoxels voxels = detail::read_case(cases_[v], options_, &facts.warnings);
      facts.geometry = voxels.geometry;
      facts.volume_bytes = voxels.bytes();
      facts.regridded = voxels.regridded;
      const AxisMap map = file_to_hwd(voxels.geometry.affine, options_.axis);
      std::tie(kept[v], facts.counts) = detail::filter_slices(voxels, map, options_);
      for (const std::int32_t slice : kept[v]) {
        Loaded sample = prepare(voxels, map, {static_cast<std::int32_t>(v), slice});
        const std::size_t bytes = sample.bytes();
        if (facts.sample_bytes == 0) facts.sample_bytes = bytes;
        if (ready_bytes.fetch_add(bytes) + bytes > options_.cache_bytes) {
          ready_bytes.fetch_sub(bytes);
          break;
        }
        ready[v].push_back(std::move(sample));
      }
    });
    for (std::size_t v = 0; v < cases_.size(); ++v) {
      for (std::size_t s = 0; s < kept[v].size(); ++s) {
        const Origin origin{static_cast<std::int32_t>(v), kept[v][s]};
        if (s < ready[v].size()) prepared_->offer(static_cast<std::int64_t>(entries_.size()), std::move(ready[v][s]));
        entries_.push_back(origin);
      }
    }
    if (entries_.size() > std::numeric_limits<std::uint32_t>::max())
      throw data_error("making the " + std::string(detail::set_name(stage_)) + " set", "more than 2^32 - 1 slices");
    share_budget();
  }

  /// If the samples do not all fit, gives volumes their part of the budget. In a shuffled pass the share of accesses
  /// that read a file is (1 - kept part of the samples) × (1 - kept part of the volumes): least when the smaller of the
  /// two gets all it needs.
  void share_budget() {
    if (estimated_bytes() <= options_.cache_bytes) return;
    std::size_t all = 0;
    std::size_t largest = 0;
    for (const auto& facts : facts_) {
      all += facts.volume_bytes;
      largest = std::max(largest, facts.volume_bytes);
    }
    const std::size_t for_volumes = std::min(options_.cache_bytes, all <= estimated_bytes() ? all : 2 * largest);
    prepared_->set_budget(options_.cache_bytes - for_volumes);
    volumes_->set_budget(for_volumes);
#ifdef __GLIBC__
    malloc_trim(
        0);  // what was dropped lies in the heaps of the reading threads, where those to come would not look for it
#endif
  }

  [[nodiscard]] Loaded prepare(const detail::CaseVoxels& voxels, const AxisMap& map, Origin origin) const {
    Loaded out{detail::extract_slice(voxels, map, origin, !options_.image_labels), History{}};
    const Case& one = cases_[static_cast<std::size_t>(origin.volume)];
    if (options_.missing_contrasts) out.sample.condition = detail::presence(one, out.sample.image);
    out.history = augment_.preprocess(out.sample, stage_);
    if (options_.image_labels) out.sample.label.voxels = detail::image_label(one, voxels, map, origin.slice);
    out.sample.condition.insert(out.sample.condition.end(), one.condition.begin(), one.condition.end());
    return out;
  }
  [[nodiscard]] Loaded prepare(Origin origin) const {
    const auto v = static_cast<std::size_t>(origin.volume);
    const auto voxels = volumes_->get(origin.volume, [&] { return detail::read_case(cases_[v], options_); });
    if (!(voxels->geometry.shape == facts_[v].geometry.shape))
      throw data_error("reading " + cases_[v].images[cases_[v].reference] + " again",
                       "its shape is " + voxels->geometry.shape.text() + ", it was " + facts_[v].geometry.shape.text(),
                       "do not change the data set during a run");
    return prepare(*voxels, file_to_hwd(voxels->geometry.affine, options_.axis), origin);
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
  std::vector<Facts> facts_;
  std::vector<Origin> entries_;
  std::unique_ptr<Cache<Loaded>> prepared_;
  std::unique_ptr<Cache<detail::CaseVoxels>> volumes_;
};

}  // namespace ivado
