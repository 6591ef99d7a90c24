// Objects (lesions) of a prediction and of its truth: which are found and which are false, by size, and painted.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../config/sections.hpp"
#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "components.hpp"
#include "overlap.hpp"

namespace ivado {

/// A range of sizes of objects.
struct SizeRange {
  double least_voxels = 0;                                       ///< the smallest size, included
  double most_voxels = std::numeric_limits<double>::infinity();  ///< the largest size, included
  std::string suffix;                                            ///< of the columns, such as "_21-100vox"

  [[nodiscard]] IVADO_INLINE bool contains(std::int64_t voxels) const noexcept {
    const auto size = static_cast<double>(voxels);
    return least_voxels <= size && size <= most_voxels;
  }
};

namespace detail {

/// The shortest text of a number, without an exponent: "20", "0.5".
[[nodiscard]] IVADO_INLINE std::string short_number(double value) {
  std::array<char, 400> buffer{};  // a double has up to 309 digits before its point
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed).ptr;
  return {buffer.data(), end};
}

/// As NumPy prints the number of a range: "20.0", "INF".
[[nodiscard]] IVADO_INLINE std::string numpy_number(double value) {
  const std::string digits = short_number(value);
  return digits.find_first_not_of("-0123456789") == std::string::npos ? digits + ".0" : digits;
}

}  // namespace detail

/// The ranges of sizes that `evaluation_parameters.target_size` asks for; none where it has no bounds.
///
/// Bounds t0 < … < tk give the ranges up to t0, above t0 and up to t1, …, above tk. In voxels their names are
/// "_0-20vox", "_21-100vox", "_101-INFvox" as in ivadomed; in mm³ "_0-20mm3", "_20-100mm3", "_100-INFmm3", whatever the
/// image's spacing.
///
/// ivadomed rounds bounds in mm³ to voxels and starts each range at the last bound plus 1 mm³, so that sizes between
/// two ranges belong to none, and names the columns by the voxels, so that they differ from image to image.
/// @param as_ivadomed  do so, for comparison
/// @throws Error (usage) if the bounds do not rise, one is below 0, or the unit is neither vox nor mm3
[[nodiscard]] IVADO_INLINE std::vector<SizeRange> size_ranges(const TargetSize& target, double voxel_mm3,
                                                              bool as_ivadomed = false) {
  const std::vector<double>& bounds = target.thr.values;
  if (bounds.empty()) return {};
  const std::string doing = "reading evaluation_parameters.target_size";
  if (target.unit == SizeUnit::ratio)
    throw usage_error(doing, "the unit is \"ratio\"", "give the sizes of objects in \"vox\" or \"mm3\"");
  for (std::size_t i = 0; i < bounds.size(); ++i)
    if (!(bounds[i] >= (i == 0 ? 0 : bounds[i - 1])) || (i > 0 && bounds[i] == bounds[i - 1]))
      throw usage_error(
          doing, detail::text("bound ", i, " is ", bounds[i], i == 0 ? ", below 0" : ", not above the one before it"),
          "give bounds that rise, such as [20, 100]");
  const bool in_mm3 = target.unit == SizeUnit::cubic_mm;
  const std::string unit = in_mm3 ? "mm3" : "vox";
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<SizeRange> ranges;
  for (std::size_t i = 0; i <= bounds.size(); ++i) {
    const bool is_last = i == bounds.size();
    const double below = i == 0 ? 0 : bounds[i - 1];  // sizes above it, but for the first range
    const double most = is_last ? infinity : bounds[i];
    SizeRange range;
    if (as_ivadomed) {
      const auto voxels = [&](double size) { return in_mm3 ? std::nearbyint(size / voxel_mm3) : size; };
      range.least_voxels = i == 0 ? 0 : voxels(below + 1);
      range.most_voxels = is_last ? infinity : voxels(most);
      const auto print = [&](double size) { return in_mm3 ? detail::numpy_number(size) : detail::short_number(size); };
      range.suffix = "_" + print(range.least_voxels) + "-" + (is_last ? "INF" : print(range.most_voxels)) + unit;
    } else {
      // In whole voxels, so that no size is left out; a little slack keeps a bound that is hit exactly in its range.
      const auto voxels = [&](double size) { return std::floor(in_mm3 ? size / voxel_mm3 * (1 + 1e-9) : size); };
      range.least_voxels = i == 0 ? 0 : voxels(below) + 1;
      range.most_voxels = is_last ? infinity : voxels(most);
      range.suffix = "_" + detail::short_number(in_mm3 ? below : range.least_voxels) + "-" +
                     (is_last ? "INF" : detail::short_number(most)) + unit;
    }
    // Ranges that overlap after rounding: an object of two of them belongs to the last.
    if (as_ivadomed && i > 0) ranges.back().most_voxels = std::min(ranges.back().most_voxels, range.least_voxels - 1);
    ranges.push_back(std::move(range));
  }
  return ranges;
}

/// Objects of prediction and truth, counted.
struct ObjectCounts {
  std::int64_t truth = 0;       ///< objects of the truth
  std::int64_t found = 0;       ///< of them those that the prediction finds
  std::int64_t prediction = 0;  ///< predicted objects
  std::int64_t wrong = 0;       ///< of them those that lie on no object of the truth

  /// Found objects of the truth / all of them (ltpr); NaN where there is none.
  [[nodiscard]] IVADO_INLINE double true_positive_rate() const noexcept {
    return truth == 0 ? undefined_score : static_cast<double>(found) / static_cast<double>(truth);
  }
  /// False objects / (false ones and found ones of the truth) (lfdr); NaN where there is none.
  [[nodiscard]] IVADO_INLINE double false_discovery_rate() const noexcept {
    return found + wrong == 0 ? undefined_score : static_cast<double>(wrong) / static_cast<double>(found + wrong);
  }
};

/// The colours of a painted volume, those of ivadomed.
enum ObjectColour : std::uint8_t {
  no_object = 0,
  true_positive_object = 1,   ///< a predicted object on an object of the truth
  false_positive_object = 2,  ///< a predicted object on none
  false_negative_object = 3,  ///< an object of the truth that is not found
};

/// The objects of one class of a prediction and of its truth, matched by overlap.
///
/// Objects are 18-connected components of the voxels ≥ 0.5. An object of the truth is found where at least `overlap` of
/// its voxels are predicted, by one object or several; an object of the prediction is false where fewer of its voxels
/// than that lie on the truth. In the unit `ratio` that is a part of the object of the truth; for an object of the
/// prediction, of the one with the highest label under it. At least one voxel must overlap.
///
/// With `as_ivadomed` any value but 0 is object and no value below 1 overlap (known-problems B6.5), an overlap that
/// rounds to nothing is taken as given, and a predicted object counts with the size of the largest one that touches the
/// object of the truth under it, or the background (B6.9). Labels have 32 bits in either case.
class ObjectMatch {
 public:
  /// @param prediction    [i, j, k]: the image, or the part of it that holds every object
  /// @param truth         the same shape
  /// @param image_voxels  number of voxels of the whole image
  /// @throws Error (data) if the shapes differ
  IVADO_INLINE ObjectMatch(ArrayView<const float> prediction, ArrayView<const float> truth, std::int64_t image_voxels,
                           double voxel_mm3, const EvaluationParameters& params)
      : as_ivadomed_(params.as_ivadomed),
        predicted_(prediction, Connectivity::edges, IsObject{params.as_ivadomed}),
        actual_(truth, Connectivity::edges, IsObject{params.as_ivadomed}),
        truth_under_(predicted_.sizes().size(), 0),
        is_found_(actual_.sizes().size(), false),
        is_wrong_(predicted_.sizes().size(), false) {
    detail::require_same_shape("the objects", prediction.shape(), truth.shape());
    if (is_found_.empty() && is_wrong_.empty()) return;
    const bool soft = params.as_ivadomed;
    const auto overlaps = [soft](float value) { return soft ? std::abs(value) >= 1 : value >= 0.5F; };
    std::vector<std::int64_t> on_truth(is_found_.size(), 0);       // overlapping voxels of each object of the truth
    std::vector<std::int64_t> on_prediction(is_wrong_.size(), 0);  // and of each predicted one
    largest_on_truth_.assign(is_found_.size() + 1, 0);
    const Array<std::int32_t> predicted_labels = predicted_.labels();
    const Array<std::int32_t> actual_labels = actual_.labels();
    const std::int32_t* p = predicted_labels.data();
    const std::int32_t* g = actual_labels.data();
    zip(prediction, truth, [&](float predicted_value, float actual_value) {
      const auto j = static_cast<std::size_t>(*p++);
      const auto i = static_cast<std::size_t>(*g++);
      if (i > 0 && overlaps(predicted_value)) ++on_truth[i - 1];
      if (j == 0) return;
      if (overlaps(actual_value)) ++on_prediction[j - 1];
      truth_under_[j - 1] = std::max(truth_under_[j - 1], static_cast<std::int32_t>(i));
      largest_on_truth_[i] = std::max(largest_on_truth_[i], predicted_.sizes()[j - 1]);
    });

    const auto needed = [&](std::int64_t truth_object_size) {
      const auto& overlap = params.overlap;
      const double voxels = overlap.unit == SizeUnit::voxels ? overlap.thr
                            : overlap.unit == SizeUnit::cubic_mm
                                ? std::nearbyint(overlap.thr / voxel_mm3)
                                : std::nearbyint(overlap.thr * static_cast<double>(truth_object_size));
      return std::max(voxels, soft ? 0.0 : 1.0);
    };
    for (std::size_t i = 0; i < on_truth.size(); ++i)
      is_found_[i] = static_cast<double>(on_truth[i]) >= needed(actual_.sizes()[i]);
    std::int64_t background = image_voxels;
    for (const auto size : actual_.sizes()) background -= size;
    for (std::size_t j = 0; j < on_prediction.size(); ++j) {
      const std::int64_t size = truth_under_[j] > 0 ? actual_.size_of(truth_under_[j]) : background;
      is_wrong_[j] = static_cast<double>(on_prediction[j]) < needed(size);
    }
  }

  /// All objects.
  [[nodiscard]] ObjectCounts counts() const { return counts(SizeRange{}); }
  /// The objects of a range of sizes: each by its own size, so that the counts of all ranges add up to `counts()`.
  [[nodiscard]] IVADO_INLINE ObjectCounts counts(const SizeRange& range) const {
    ObjectCounts out;
    for (std::size_t i = 0; i < is_found_.size(); ++i) {
      if (!range.contains(actual_.sizes()[i])) continue;
      ++out.truth;
      out.found += is_found_[i] ? 1 : 0;
    }
    for (std::size_t j = 0; j < is_wrong_.size(); ++j) {
      const std::int64_t size =
          as_ivadomed_ ? largest_on_truth_[static_cast<std::size_t>(truth_under_[j])] : predicted_.sizes()[j];
      if (!range.contains(size)) continue;
      ++out.prediction;
      out.wrong += is_wrong_[j] ? 1 : 0;
    }
    return out;
  }
  /// Paints the objects: `ObjectColour`, 0 elsewhere. Where a predicted object lies on one of the truth that is not
  /// found, the prediction is on top.
  /// @param out  of the shape of prediction and truth
  /// @throws Error (internal) if its shape is another
  IVADO_INLINE void paint(ArrayView<std::uint8_t> out) const {
    zip(out, out, [](std::uint8_t, std::uint8_t& colour) { colour = no_object; });
    const auto fill = [](std::uint8_t* run, std::int64_t stride, std::int64_t length, std::uint8_t colour) {
      for (std::int64_t i = 0; i < length; ++i) run[i * stride] = colour;
    };
    actual_.for_each_run(out, [&](std::int32_t label, std::uint8_t* run, std::int64_t stride, std::int64_t length) {
      if (!is_found_[static_cast<std::size_t>(label - 1)]) fill(run, stride, length, false_negative_object);
    });
    predicted_.for_each_run(out, [&](std::int32_t label, std::uint8_t* run, std::int64_t stride, std::int64_t length) {
      const bool wrong = is_wrong_[static_cast<std::size_t>(label - 1)];
      fill(run, stride, length, wrong ? false_positive_object : true_positive_object);
    });
  }

 private:
  struct IsObject {
    bool as_ivadomed;
    bool operator()(float value) const noexcept { return as_ivadomed ? value != 0 : value >= 0.5F; }
  };

  bool as_ivadomed_;
  Components predicted_;
  Components actual_;
  std::vector<std::int32_t> truth_under_;  ///< of each predicted object: the highest label of the truth under it, or 0
  std::vector<std::int64_t>
      largest_on_truth_;  ///< of each label of the truth (0: background): the largest object on it
  std::vector<bool> is_found_;
  std::vector<bool> is_wrong_;
};

}  // namespace ivado
