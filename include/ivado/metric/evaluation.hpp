// Evaluation of whole predictions in the space of their files: a row an image, written as evaluation_3Dmetrics.csv.
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
#include "../postprocess/concept.hpp"
#include "components.hpp"
#include "overlap.hpp"

namespace ivado {

/// The columns of a class, without "_class<n>", in ivadomed's order.
inline constexpr std::array<std::string_view, 13> evaluation_columns{
    "vol_pred",    "vol_gt", "rvd",  "avd",  "dice", "recall", "precision",
    "specificity", "n_pred", "n_gt", "ltpr", "lfdr", "mse"};

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
            mean_squared_error};
  }
};

/// The evaluation of one image.
struct EvaluationRow {
  std::string image_id;                  ///< name of the prediction up to "_pred"
  std::vector<ClassEvaluation> classes;  ///< one a class
};

namespace detail {

/// Objects of one class: counts and rates, as metrics.md 5.3 says.
inline void evaluate_objects(ArrayView<const float> prediction, ArrayView<const float> truth, double voxel_mm3,
                             const EvaluationParameters& params, ClassEvaluation& out) {
  const bool soft = params.as_ivadomed;
  const auto is_object = [soft](float value) { return soft ? value != 0 : value >= 0.5F; };
  // Whether a voxel counts as overlap: ivadomed truncates to whole numbers, so that soft values never do.
  const auto overlaps = [soft](float value) { return soft ? std::abs(value) >= 1 : value >= 0.5F; };
  const Components predicted(prediction, Connectivity::edges, is_object);
  const Components actual(truth, Connectivity::edges, is_object);
  out.prediction_objects = predicted.count();
  out.truth_objects = actual.count();
  if (!params.object_detection_metrics) return;

  std::vector<std::int64_t> on_truth(actual.sizes().size(), 0);  // overlapping voxels of each object of the truth
  std::vector<std::int64_t> on_prediction(predicted.sizes().size(), 0);  // and of each predicted one
  std::vector<std::int32_t> highest_truth(predicted.sizes().size(), 0);  // the highest label of the truth under it
  {
    const Array<std::int32_t> predicted_labels = predicted.labels();
    const Array<std::int32_t> actual_labels = actual.labels();
    const std::int32_t* p = predicted_labels.data();
    const std::int32_t* g = actual_labels.data();
    zip(prediction, truth, [&](float predicted_value, float actual_value) {
      const auto j = static_cast<std::size_t>(*p++);
      const auto i = static_cast<std::size_t>(*g++);
      if (i > 0 && overlaps(predicted_value)) ++on_truth[i - 1];
      if (j > 0 && overlaps(actual_value)) ++on_prediction[j - 1];
      if (j > 0 && i > 0) highest_truth[j - 1] = std::max(highest_truth[j - 1], static_cast<std::int32_t>(i));
    });
  }

  const std::int64_t least = soft ? 0 : 1;
  const auto needed = [&](std::int64_t truth_object_size) {
    const auto& overlap = params.overlap;
    const double voxels = overlap.unit == SizeUnit::voxels ? overlap.thr
                          : overlap.unit == SizeUnit::cubic_mm
                              ? std::nearbyint(overlap.thr / voxel_mm3)
                              : std::nearbyint(overlap.thr * static_cast<double>(truth_object_size));
    return std::max(voxels, static_cast<double>(least));
  };
  std::int64_t found = 0;
  for (std::size_t i = 0; i < on_truth.size(); ++i)
    if (static_cast<double>(on_truth[i]) >= needed(actual.sizes()[i])) ++found;
  std::int64_t background = truth.size();
  for (const auto size : actual.sizes()) background -= size;
  std::int64_t wrong = 0;
  for (std::size_t j = 0; j < on_prediction.size(); ++j) {
    const std::int64_t size = highest_truth[j] > 0 ? actual.size_of(highest_truth[j]) : background;
    if (static_cast<double>(on_prediction[j]) < needed(size)) ++wrong;
  }
  if (!on_truth.empty())
    out.lesion_true_positive_rate = static_cast<double>(found) / static_cast<double>(on_truth.size());
  if (found + wrong > 0)
    out.lesion_false_discovery_rate = static_cast<double>(wrong) / static_cast<double>(found + wrong);
}

}  // namespace detail

/// Evaluates the prediction of an image against its truth, class by class.
///
/// Sources of the definitions: ivadomed's Evaluation3DMetrics; `evaluation_columns` and `ClassEvaluation` name them.
/// Objects are 18-connected components of the voxels ≥ 0.5 of prediction and truth. An object of the truth is found
/// where at least `overlap` of its voxels are predicted, by one object or several; an object of the prediction is false
/// where fewer of its voxels than that lie on the truth. In the unit `ratio` that is a part of the object of the truth;
/// for an object of the prediction, of the one with the highest label under it. At least one voxel must overlap.
///
/// ivadomed does not binarise, counts any value but 0 as object and no value below 1 as overlap (known-problems B6.5),
/// divides the mse by two axes only (B6.7), and takes an overlap that rounds to nothing as given: `as_ivadomed` does
/// so. Its 8-bit labels, which wrap at 256 objects, are not kept up.
///
/// @param prediction  voxels [class, i, j, k] with spacing
/// @param truth       [class, i, j, k] of the same shape, in [0, 1]; a class without a file is zeros
/// @param image_id    of the row
/// @throws Error (data) if the shapes differ
[[nodiscard]] inline EvaluationRow evaluate(const Prediction& prediction, ArrayView<const float> truth,
                                            const EvaluationParameters& params = {}, std::string image_id = {}) {
  const std::string doing = "evaluating " + (image_id.empty() ? std::string("a prediction") : image_id);
  const Shape& shape = prediction.voxels.shape();
  if (!(shape == truth.shape()) || shape.rank() != 4)
    throw data_error(doing,
                     "the prediction has shape " + shape.text() + " and the truth " + truth.shape().text() +
                         ", expected [class, i, j, k] for both",
                     "the truth must lie on the grid of the image, with one array a class");
  const double voxel_mm3 = prediction.spacing_mm[0] * prediction.spacing_mm[1] * prediction.spacing_mm[2];
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
    detail::evaluate_objects(p, g, voxel_mm3, params, one);
    row.classes.push_back(one);
  }
  return row;
}

namespace detail {

/// The name of column `column` of class `c`: "dice_class0".
[[nodiscard]] inline std::string column_name(std::size_t column, std::size_t c) {
  return std::string(evaluation_columns[column]) + "_class" + std::to_string(c);
}

/// The shortest text that reads back as the same number, as pandas writes it: "12.0", "0.1"; empty for NaN.
[[nodiscard]] inline std::string csv_number(double value) {
  if (std::isnan(value)) return {};
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

/// A field of a CSV file, in quotes where it needs them (RFC 4180).
[[nodiscard]] inline std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

[[nodiscard]] inline std::size_t most_classes(const std::vector<EvaluationRow>& rows) {
  std::size_t most = 0;
  for (const auto& row : rows) most = std::max(most, row.classes.size());
  return most;
}

}  // namespace detail

/// The rows as the text of a CSV file: image_id, then the columns of class 0, class 1, …; a number that is not defined,
/// or of a class that an image has not, is an empty field.
[[nodiscard]] inline std::string evaluation_csv(const std::vector<EvaluationRow>& rows) {
  const std::size_t classes = detail::most_classes(rows);
  std::string out = "image_id";
  for (std::size_t c = 0; c < classes; ++c)
    for (std::size_t i = 0; i < evaluation_columns.size(); ++i) out += "," + detail::column_name(i, c);
  out += "\n";
  for (const auto& row : rows) {
    out += detail::csv_text(row.image_id);
    for (std::size_t c = 0; c < classes; ++c) {
      if (c >= row.classes.size()) {
        out.append(evaluation_columns.size(), ',');
        continue;
      }
      const auto values = row.classes[c].values();
      for (std::size_t i = 0; i < values.size(); ++i) {
        const bool is_count = evaluation_columns[i] == "n_pred" || evaluation_columns[i] == "n_gt";
        out += "," + (is_count ? std::to_string(static_cast<std::int64_t>(values[i])) : detail::csv_number(values[i]));
      }
    }
    out += "\n";
  }
  return out;
}

/// Writes the rows in their order to a CSV file, by ivadomed's name results_eval/evaluation_3Dmetrics.csv. The file is
/// there whole or not at all.
/// @throws Error (internal) if it cannot be written
inline void write_evaluation_csv(const std::string& path, const std::vector<EvaluationRow>& rows) {
  write_file_atomically(path, evaluation_csv(rows));
}

/// Mean and spread of one column over the images.
struct ColumnSummary {
  std::string column;                           ///< such as "dice_class0"
  std::int64_t defined = 0;                     ///< images where it is not NaN
  double mean = undefined_score;                ///< NaN where there is none
  double standard_deviation = undefined_score;  ///< of the sample (n - 1); NaN for fewer than two images
};

/// Mean and spread of each column over the images where it is defined, in the order of the file.
[[nodiscard]] inline std::vector<ColumnSummary> summarize(const std::vector<EvaluationRow>& rows) {
  std::vector<ColumnSummary> out;
  const std::size_t classes = detail::most_classes(rows);
  for (std::size_t c = 0; c < classes; ++c) {
    for (std::size_t i = 0; i < evaluation_columns.size(); ++i) {
      ColumnSummary summary{detail::column_name(i, c)};
      std::vector<double> values;
      for (const auto& row : rows)
        if (c < row.classes.size() && !std::isnan(row.classes[c].values()[i]))
          values.push_back(row.classes[c].values()[i]);
      const auto n = static_cast<double>(values.size());
      summary.defined = static_cast<std::int64_t>(values.size());
      double sum = 0;
      for (const double value : values) sum += value;
      if (!values.empty()) summary.mean = sum / n;
      double squares = 0;
      for (const double value : values) squares += (value - summary.mean) * (value - summary.mean);
      if (values.size() > 1) summary.standard_deviation = std::sqrt(squares / (n - 1));
      out.push_back(std::move(summary));
    }
  }
  return out;
}

}  // namespace ivado
