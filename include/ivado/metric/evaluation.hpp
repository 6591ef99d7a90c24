// Evaluation of whole predictions in the space of their files: a row an image, written as evaluation_3Dmetrics.csv, and
// its objects painted.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/sections.hpp"
#include "../data/array.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../postprocess/concept.hpp"
#include "calibration.hpp"
#include "foreground_box.hpp"
#include "objects.hpp"
#include "overlap.hpp"
#include "surface_distance.hpp"

namespace ivado {

/// The columns of a class, without "_class<n>": ivadomed's in its order, and from hd95 on those that it has not.
inline constexpr std::array<std::string_view, 17> evaluation_columns{
    "vol_pred", "vol_gt", "rvd",  "avd", "dice", "recall", "precision",    "specificity", "n_pred",
    "n_gt",     "ltpr",   "lfdr", "mse", "hd95", "assd",   "surface_dice", "ece"};

/// How far apart surfaces may lie to count as one in `surface_dice`, unless told otherwise, mm.
inline constexpr double default_surface_tolerance_mm = 1;

/// The objects of one range of sizes.
struct SizeEvaluation {
  std::string suffix;                                    ///< of its columns, such as "_21-100vox"
  std::int64_t truth_objects = 0;                        ///< n<suffix>
  double lesion_true_positive_rate = undefined_score;    ///< ltpr<suffix>
  double lesion_false_discovery_rate = undefined_score;  ///< lfdr<suffix>
};

/// The evaluation of one class of one image; NaN where a number is not defined.
struct ClassEvaluation {
  double prediction_volume_mm3 = 0;                      ///< vol_pred: Σ prediction × voxel volume (soft)
  double truth_volume_mm3 = 0;                           ///< vol_gt
  double relative_volume_difference = undefined_score;   ///< rvd: (truth - prediction) / truth; negative: too much
  double absolute_volume_difference = undefined_score;   ///< avd: |rvd|
  double dice = undefined_score;                         ///< NaN where both are empty
  double recall = undefined_score;                       ///< NaN for an empty truth
  double precision = undefined_score;                    ///< NaN for an empty prediction
  double specificity = undefined_score;                  ///< NaN where the truth fills the image
  std::int64_t prediction_objects = 0;                   ///< n_pred: 18-connected components
  std::int64_t truth_objects = 0;                        ///< n_gt
  double lesion_true_positive_rate = undefined_score;    ///< ltpr: found objects of the truth / all of them
  double lesion_false_discovery_rate = undefined_score;  ///< lfdr: false / (false + found ones of the truth)
  double mean_squared_error = undefined_score;           ///< mse
  double hausdorff95_mm = undefined_score;               ///< hd95; NaN where both are empty, infinite where one is
  double average_surface_distance_mm = undefined_score;  ///< assd; as hd95
  double surface_dice = undefined_score;                 ///< NaN where both are empty
  double expected_calibration_error = undefined_score;   ///< ece of the probabilities; NaN for a mask without them
  std::vector<SizeEvaluation> by_size{};                 ///< one a range of `target_size`

  /// The values in the order of `evaluation_columns`.
  [[nodiscard]] std::array<double, evaluation_columns.size()> values() const {
    return {prediction_volume_mm3,
            truth_volume_mm3,
            relative_volume_difference,
            absolute_volume_difference,
            dice,
            recall,
            precision,
            specificity,
            static_cast<double>(prediction_objects),
            static_cast<double>(truth_objects),
            lesion_true_positive_rate,
            lesion_false_discovery_rate,
            mean_squared_error,
            hausdorff95_mm,
            average_surface_distance_mm,
            surface_dice,
            expected_calibration_error};
  }
  /// The value of a column, without "_class<n>": "dice", "ltpr_21-100vox"; NaN where there is no such column.
  [[nodiscard]] IVADO_INLINE double value(std::string_view column) const {
    const auto all = values();
    for (std::size_t i = 0; i < all.size(); ++i)
      if (evaluation_columns[i] == column) return all[i];
    for (const auto& size : by_size) {
      if (column == "ltpr" + size.suffix) return size.lesion_true_positive_rate;
      if (column == "lfdr" + size.suffix) return size.lesion_false_discovery_rate;
      if (column == "n" + size.suffix) return static_cast<double>(size.truth_objects);
    }
    return undefined_score;
  }
};

/// The evaluation of one image.
struct EvaluationRow {
  std::string image_id;                  ///< name of the prediction up to "_pred"
  std::vector<ClassEvaluation> classes;  ///< one a class
  std::string subject{};                 ///< "sub-01"; where it is empty, the image counts as a subject of its own
  std::string contrast{};                ///< "T2w"; of several channels "T1w+T2w"
};

namespace detail {

/// @throws Error (data) if the shapes differ or are not [class, i, j, k]
IVADO_INLINE void require_volumes(const std::string& image_id, const Shape& prediction, const Shape& truth) {
  if (prediction == truth && prediction.rank() == 4) return;
  throw data_error("evaluating " + (image_id.empty() ? std::string("a prediction") : image_id),
                   "the prediction has shape " + prediction.text() + " and the truth " + truth.text() +
                       ", expected [class, i, j, k] for both",
                   "the truth must lie on the grid of the image, with one array a class");
}

[[nodiscard]] IVADO_INLINE double voxel_volume(const Prediction& prediction) {
  return prediction.spacing_mm[0] * prediction.spacing_mm[1] * prediction.spacing_mm[2];
}

/// The box around every object of one class.
[[nodiscard]] IVADO_INLINE VoxelBox object_box(ArrayView<const float> prediction, ArrayView<const float> truth,
                                               const EvaluationParameters& params) {
  return params.as_ivadomed ? foreground_box(prediction, truth, [](float value) { return value != 0; })
                            : foreground_box(prediction, truth, [](float value) { return value >= 0.5F; });
}

[[nodiscard]] IVADO_INLINE ObjectMatch match_objects(ArrayView<const float> prediction, ArrayView<const float> truth,
                                                     const VoxelBox& box, double voxel_mm3,
                                                     const EvaluationParameters& params) {
  return {box.of(prediction), box.of(truth), truth.size(), voxel_mm3, params};
}

}  // namespace detail

/// Evaluates the prediction of an image against its truth, class by class.
///
/// Sources of the definitions: ivadomed's Evaluation3DMetrics; `evaluation_columns` and `ClassEvaluation` name them.
/// Objects and their rates are those of `ObjectMatch`, their ranges of sizes those of `size_ranges`; distances are
/// those of `surface_distances`, the calibration that of `calibration`: of the prediction's probabilities from before the
/// post-processing where it has them, else of its values. Volumes, overlap and mse are of the values as they are, soft ones
/// too.
///
/// With `as_ivadomed` objects are as there, and the mse is divided by two axes only (known-problems B6.7). Its 8-bit
/// labels, which wrap at 256 objects, are not kept up.
///
/// @param prediction  voxels [class, i, j, k] with spacing
/// @param truth       [class, i, j, k] of the same shape, in [0, 1]; a class without a file is zeros
/// @param image_id    of the row
/// @param surface_tolerance_mm  of the surface Dice, 0 or more
/// @throws Error (data) if the shapes differ; Error (usage) for impossible ranges of sizes
[[nodiscard]] IVADO_INLINE EvaluationRow evaluate(const Prediction& prediction, ArrayView<const float> truth,
                                                  const EvaluationParameters& params = {}, std::string image_id = {},
                                                  double surface_tolerance_mm = default_surface_tolerance_mm) {
  const Shape& shape = prediction.voxels.shape();
  detail::require_volumes(image_id, shape, truth.shape());
  const double voxel_mm3 = detail::voxel_volume(prediction);
  const std::vector<SizeRange> ranges = size_ranges(params.target_size, voxel_mm3, params.as_ivadomed);
  EvaluationRow row{std::move(image_id), {}};
  for (std::int64_t c = 0; c < shape[0]; ++c) {
    const ArrayView<const float> p = prediction.voxels.view().select(0, c);
    const ArrayView<const float> g = truth.select(0, c);
    const SoftCounts counts = soft_counts(p, g);
    ClassEvaluation one;
    one.prediction_volume_mm3 = counts.prediction_sum() * voxel_mm3;
    one.truth_volume_mm3 = counts.truth_sum() * voxel_mm3;
    if (one.truth_volume_mm3 != 0)
      one.relative_volume_difference = (one.truth_volume_mm3 - one.prediction_volume_mm3) / one.truth_volume_mm3;
    one.absolute_volume_difference = std::abs(one.relative_volume_difference);
    one.dice = dice(counts);
    one.recall = recall(counts, undefined_score);
    one.precision = precision(counts, undefined_score);
    one.specificity = specificity(counts, undefined_score);
    one.mean_squared_error = mse(counts);
    if (params.as_ivadomed && counts.size > 0)
      one.mean_squared_error = counts.squared_error / static_cast<double>(shape[1] * shape[2]);
    const ObjectMatch objects = detail::match_objects(p, g, detail::object_box(p, g, params), voxel_mm3, params);
    const ObjectCounts all = objects.counts();
    one.prediction_objects = all.prediction;
    one.truth_objects = all.truth;
    if (params.object_detection_metrics) {
      one.lesion_true_positive_rate = all.true_positive_rate();
      one.lesion_false_discovery_rate = all.false_discovery_rate();
    }
    for (const SizeRange& range : ranges) {
      const ObjectCounts some = objects.counts(range);
      SizeEvaluation size{range.suffix, some.truth};
      if (params.object_detection_metrics) {
        size.lesion_true_positive_rate = some.true_positive_rate();
        size.lesion_false_discovery_rate = some.false_discovery_rate();
      }
      one.by_size.push_back(std::move(size));
    }
    const SurfaceDistances surface = surface_distances(p, g, prediction.spacing_mm);
    one.hausdorff95_mm = surface.hausdorff_mm(95);
    one.average_surface_distance_mm = surface.average_mm();
    one.surface_dice = surface.surface_dice(surface_tolerance_mm);
    if (prediction.probabilities != nullptr)
      one.expected_calibration_error = calibration(prediction.probabilities->view().select(0, c), g).expected_error();
    else if (!prediction.is_mask)
      one.expected_calibration_error = calibration(p, g).expected_error();
    row.classes.push_back(std::move(one));
  }
  return row;
}

/// The objects of each class, painted: 1 for predicted objects on the truth, 2 for false ones, 3 for objects of the
/// truth that are not found (`ObjectColour`). Meant for a look at the image, beside it.
///
/// ivadomed paints once more for every range of sizes, so that missed objects come to lie over predicted ones; here the
/// prediction is always on top.
/// @return [class, i, j, k]
/// @throws Error (data) if the shapes differ
[[nodiscard]] IVADO_INLINE Array<std::uint8_t> paint_objects(const Prediction& prediction, ArrayView<const float> truth,
                                                             const EvaluationParameters& params = {}) {
  const Shape& shape = prediction.voxels.shape();
  detail::require_volumes({}, shape, truth.shape());
  Array<std::uint8_t> out = zeros<std::uint8_t>(shape);
  for (std::int64_t c = 0; c < shape[0]; ++c) {
    const ArrayView<const float> p = prediction.voxels.view().select(0, c);
    const ArrayView<const float> g = truth.select(0, c);
    const VoxelBox box = detail::object_box(p, g, params);
    detail::match_objects(p, g, box, detail::voxel_volume(prediction), params).paint(box.of(out.view().select(0, c)));
  }
  return out;
}

namespace detail {

/// The shortest text that reads back as the same number, as pandas writes it: "12.0", "0.1"; empty for NaN.
[[nodiscard]] IVADO_INLINE std::string csv_number(double value) {
  if (std::isnan(value)) return {};
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

/// A field of a CSV file, in quotes where it needs them (RFC 4180).
[[nodiscard]] IVADO_INLINE std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace detail

/// A column of the evaluation.
struct EvaluationColumn {
  std::string metric;  ///< "dice", "ltpr_21-100vox"
  std::size_t class_index = 0;

  /// As in the file: "dice_class0".
  [[nodiscard]] std::string name() const { return metric + "_class" + std::to_string(class_index); }
  /// True for numbers of objects.
  [[nodiscard]] bool is_count() const { return metric.starts_with("n_"); }
  /// Its value in a row; NaN where it is not defined, or the row has no such class or range of sizes.
  [[nodiscard]] IVADO_INLINE double of(const EvaluationRow& row) const {
    return class_index < row.classes.size() ? row.classes[class_index].value(metric) : undefined_score;
  }
};

/// The columns of the rows: of class 0, class 1, …; of each `evaluation_columns`, then ltpr, n and lfdr of each range
/// of sizes, in the order in which the rows have them.
[[nodiscard]] IVADO_INLINE std::vector<EvaluationColumn> columns_of(const std::vector<EvaluationRow>& rows) {
  std::size_t classes = 0;
  for (const auto& row : rows) classes = std::max(classes, row.classes.size());
  std::vector<EvaluationColumn> out;
  for (std::size_t c = 0; c < classes; ++c) {
    for (const auto column : evaluation_columns) out.push_back({std::string(column), c});
    std::vector<std::string> suffixes;
    for (const auto& row : rows) {
      if (c >= row.classes.size()) continue;
      for (const auto& size : row.classes[c].by_size) {
        if (std::find(suffixes.begin(), suffixes.end(), size.suffix) != suffixes.end()) continue;
        suffixes.push_back(size.suffix);
        for (const char* metric : {"ltpr", "n", "lfdr"}) out.push_back({metric + size.suffix, c});
      }
    }
  }
  return out;
}

/// The rows as the text of a CSV file: image_id, then `columns_of` the rows; a number that is not defined, or of a
/// class that an image has not, is an empty field.
///
/// ivadomed's n of a range lacks the class, so that the last class overwrites the others; here it is
/// "n_0-20vox_class0".
[[nodiscard]] IVADO_INLINE std::string evaluation_csv(const std::vector<EvaluationRow>& rows) {
  const std::vector<EvaluationColumn> columns = columns_of(rows);
  std::string out = "image_id";
  for (const auto& column : columns) out += "," + column.name();
  out += "\n";
  for (const auto& row : rows) {
    out += detail::csv_text(row.image_id);
    for (const auto& column : columns) {
      const double value = column.of(row);
      const bool whole = column.is_count() && !std::isnan(value);
      out += "," + (whole ? std::to_string(static_cast<std::int64_t>(value)) : detail::csv_number(value));
    }
    out += "\n";
  }
  return out;
}

/// Writes the rows in their order to a CSV file, by ivadomed's name results_eval/evaluation_3Dmetrics.csv. The file is
/// there whole or not at all.
/// @throws Error (internal) if it cannot be written
IVADO_INLINE void write_evaluation_csv(const std::string& path, const std::vector<EvaluationRow>& rows) {
  write_file_atomically(path, evaluation_csv(rows));
}

/// Mean and spread of one column over the images. `tabulate` (results.hpp) has more, by contrast and subject.
struct ColumnSummary {
  std::string column;                           ///< such as "dice_class0"
  std::int64_t defined = 0;                     ///< images where it is a finite number
  double mean = undefined_score;                ///< NaN where there is none
  double standard_deviation = undefined_score;  ///< of the sample (n - 1); NaN for fewer than two images
};

namespace detail {

/// Mean and standard deviation of the finite ones of some values.
[[nodiscard]] IVADO_INLINE ColumnSummary mean_and_spread(std::string column, const std::vector<double>& values) {
  ColumnSummary out{std::move(column)};
  double sum = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++out.defined;
  }
  const auto n = static_cast<double>(out.defined);
  if (out.defined > 0) out.mean = sum / n;
  double squares = 0;
  for (const double value : values)
    if (std::isfinite(value)) squares += (value - out.mean) * (value - out.mean);
  if (out.defined > 1) out.standard_deviation = std::sqrt(squares / (n - 1));
  return out;
}

}  // namespace detail

/// Mean and spread of each column over the images where it is a finite number, in the order of the file.
[[nodiscard]] IVADO_INLINE std::vector<ColumnSummary> summarize(const std::vector<EvaluationRow>& rows) {
  std::vector<ColumnSummary> out;
  for (const auto& column : columns_of(rows)) {
    std::vector<double> values;
    for (const auto& row : rows) values.push_back(column.of(row));
    out.push_back(detail::mean_and_spread(column.name(), values));
  }
  return out;
}

}  // namespace ivado
