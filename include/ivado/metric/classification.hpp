// Metrics of a classifier over its samples: log loss, accuracies, sensitivity, specificity and the area under the ROC.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "evaluation.hpp"
#include "overlap.hpp"

namespace ivado {

/// What a classifier says of one sample. Classes do not exclude each other: each is a question with yes or no.
struct ClassificationRecord {
  std::string id;                  ///< of the sample, such as "sub-01_T2w"
  std::vector<float> probability;  ///< one a class, in [0, 1]
  std::vector<float> truth;        ///< one a class, in [0, 1]; from 0.5 on the sample is of the class. Empty: not known
};

/// The scores of one class, or their means over classes.
struct ClassificationScores {
  double log_loss = undefined_score;           ///< mean of -g ln p - (1 - g) ln (1 - p) over samples, natural logarithm
  double accuracy = undefined_score;           ///< part of the samples that probability ≥ 0.5 puts right
  double balanced_accuracy = undefined_score;  ///< (sensitivity + specificity) / 2; NaN where one of them is
  double sensitivity = undefined_score;        ///< part of the positive samples found; NaN where there is none
  double specificity = undefined_score;        ///< part of the negative samples left; NaN where there is none
  double auc = undefined_score;                ///< `roc_auc`; NaN where there is no positive or no negative sample
};

/// The scores of a classifier over samples.
struct ClassificationSummary {
  std::int64_t samples = 0;
  std::vector<std::int64_t> positives;        ///< samples of each class
  std::vector<ClassificationScores> classes;  ///< one a class
  ClassificationScores mean;                  ///< of each score, over the classes where it is defined; NaN: none
};

/// Area under the receiver operating characteristic: the probability that a positive sample, drawn at random, has a
/// higher probability than a negative one; a tie counts as half (Mann and Whitney 1947; Hanley and McNeil 1982,
/// doi:10.1148/radiology.143.1.7063747).
/// @param probability  one a sample
/// @param truth        as many; positive from 0.5 on
/// @return NaN where there is no positive or no negative sample
/// @throws Error (data) if the sizes differ or a probability is NaN
/// @complexity n log n
[[nodiscard]] IVADO_INLINE double roc_auc(std::span<const float> probability, std::span<const float> truth) {
  if (probability.size() != truth.size())
    throw data_error("computing the area under the ROC",
                     detail::text(probability.size(), " probabilities, ", truth.size(), " truths"),
                     "give one of each for every sample");
  std::vector<std::pair<float, bool>> samples;
  samples.reserve(probability.size());
  for (std::size_t i = 0; i < probability.size(); ++i) {
    if (std::isnan(probability[i]))
      throw data_error("computing the area under the ROC", detail::text("probability ", i, " is NaN"),
                       "look at the model's output");
    samples.emplace_back(probability[i], truth[i] >= 0.5F);
  }
  std::sort(samples.begin(), samples.end());
  std::int64_t positives = 0;
  std::int64_t negatives = 0;
  std::int64_t twice_won = 0;  // twice the pairs where the positive sample is higher, so that ties are whole numbers
  for (std::size_t begin = 0; begin < samples.size();) {
    std::int64_t tied_positives = 0;
    std::size_t end = begin;
    for (; end < samples.size() && samples[end].first == samples[begin].first; ++end)
      if (samples[end].second) ++tied_positives;
    const std::int64_t tied_negatives = static_cast<std::int64_t>(end - begin) - tied_positives;
    twice_won += tied_positives * (2 * negatives + tied_negatives);
    positives += tied_positives;
    negatives += tied_negatives;
    begin = end;
  }
  if (positives == 0 || negatives == 0) return undefined_score;
  return static_cast<double>(twice_won) / 2 / (static_cast<double>(positives) * static_cast<double>(negatives));
}

namespace detail {

/// @throws Error (data) if a record has no class, not as many as the first, or a value outside [0, 1]; or a truth that is
///         not asked for, or none where it is
IVADO_INLINE void require_records(const std::vector<ClassificationRecord>& records, bool with_truth = true) {
  for (const auto& record : records) {
    const std::string doing = "evaluating the classification of " + record.id;
    const std::size_t classes = records.front().probability.size();
    const std::size_t truths = with_truth ? classes : 0;
    if (record.probability.size() != classes || record.truth.size() != truths || classes == 0)
      throw data_error(doing,
                       text(record.probability.size(), " probabilities and ", record.truth.size(), " truths, where ",
                            records.front().id, " has ", classes, " probabilities"),
                       "give every sample one of each for every class");
    for (const auto* values : {&record.probability, &record.truth})
      for (std::size_t c = 0; c < values->size(); ++c)
        if (!((*values)[c] >= 0 && (*values)[c] <= 1))
          throw data_error(doing, text("class ", c, " has the value ", (*values)[c]),
                           "probabilities and truths are in [0, 1]");
  }
}

/// The shortest text that reads back as the same float.
[[nodiscard]] IVADO_INLINE std::string csv_float(float value) {
  std::array<char, 32> buffer{};
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}

}  // namespace detail

/// -g ln p - (1 - g) ln (1 - p), with p moved into [ε, 1 - ε] for ε = 2^-23, the spacing of floats at 1, so that one
/// sure and wrong answer does not make the mean infinite: at most 15.94. (scikit-learn 1.3 and later, `log_loss`, moves
/// probabilities by the ε of their type as well.)
[[nodiscard]] IVADO_INLINE double log_loss(float probability, float truth) noexcept {
  constexpr double epsilon = std::numeric_limits<float>::epsilon();
  const double p = std::clamp(static_cast<double>(probability), epsilon, 1 - epsilon);
  const double g = truth;
  return -g * std::log(p) - (1 - g) * std::log1p(-p);
}

/// The scores of a classifier, class by class, each sample counting once. (ivadomed averages over batches instead, so
/// that the last, smaller batch counts for more: known-problems B6.13.)
/// @return NaN for all scores where there is no record
/// @throws Error (data) if records differ in their number of classes, or a value is not in [0, 1]
[[nodiscard]] IVADO_INLINE ClassificationSummary
classification_summary(const std::vector<ClassificationRecord>& records) {
  detail::require_records(records);
  ClassificationSummary out;
  out.samples = static_cast<std::int64_t>(records.size());
  const std::size_t classes = records.empty() ? 0 : records.front().probability.size();
  for (std::size_t c = 0; c < classes; ++c) {
    SoftCounts counts;
    double loss = 0;
    std::vector<float> probability;
    std::vector<float> truth;
    for (const auto& record : records) {
      probability.push_back(record.probability[c]);
      truth.push_back(record.truth[c]);
      loss += log_loss(probability.back(), truth.back());
      const bool said = probability.back() >= 0.5F;
      const bool is = truth.back() >= 0.5F;
      ++(said ? (is ? counts.true_positive : counts.false_positive)
              : (is ? counts.false_negative : counts.true_negative));
    }
    ClassificationScores scores;
    scores.log_loss = loss / static_cast<double>(records.size());
    scores.accuracy = accuracy(counts, undefined_score);
    scores.sensitivity = recall(counts, undefined_score);
    scores.specificity = specificity(counts, undefined_score);
    scores.balanced_accuracy = (scores.sensitivity + scores.specificity) / 2;
    scores.auc = roc_auc(probability, truth);
    out.positives.push_back(static_cast<std::int64_t>(counts.truth_sum()));
    out.classes.push_back(scores);
  }
  for (const auto member :
       {&ClassificationScores::log_loss, &ClassificationScores::accuracy, &ClassificationScores::balanced_accuracy,
        &ClassificationScores::sensitivity, &ClassificationScores::specificity, &ClassificationScores::auc}) {
    double sum = 0;
    int defined = 0;
    for (const auto& scores : out.classes) {
      if (std::isnan(scores.*member)) continue;
      sum += scores.*member;
      ++defined;
    }
    if (defined > 0) out.mean.*member = sum / defined;
  }
  return out;
}

/// The records in their order as the text of a CSV file: id, then probability_class<k> and truth_class<k> of each
/// class; the latter only where the truth is known, as it is not of images that are segmented.
/// @throws Error (data) as `classification_summary`, but that no record may have a truth
[[nodiscard]] IVADO_INLINE std::string classification_csv(const std::vector<ClassificationRecord>& records) {
  const bool has_truth = !records.empty() && !records.front().truth.empty();
  detail::require_records(records, has_truth);
  std::string out = "id";
  const std::size_t classes = records.empty() ? 0 : records.front().probability.size();
  for (std::size_t c = 0; c < classes; ++c)
    out += ",probability_class" + std::to_string(c) + (has_truth ? ",truth_class" + std::to_string(c) : "");
  out += "\n";
  for (const auto& record : records) {
    out += detail::csv_text(record.id);
    for (std::size_t c = 0; c < classes; ++c)
      out +=
          "," + detail::csv_float(record.probability[c]) + (has_truth ? "," + detail::csv_float(record.truth[c]) : "");
    out += "\n";
  }
  return out;
}

/// The scores as the text of a CSV file: a row a class, and with several classes a last one, "mean", of their means. What is
/// not defined is an empty field.
[[nodiscard]] IVADO_INLINE std::string classification_scores_csv(const ClassificationSummary& summary) {
  std::string out = "class,samples,positives,log_loss,accuracy,balanced_accuracy,sensitivity,specificity,auc\n";
  const auto add = [&](const std::string& name, const std::string& positives, const ClassificationScores& scores) {
    out += name + "," + std::to_string(summary.samples) + "," + positives;
    for (const double value : {scores.log_loss, scores.accuracy, scores.balanced_accuracy, scores.sensitivity,
                               scores.specificity, scores.auc})
      out += "," + detail::csv_number(value);
    out += "\n";
  };
  for (std::size_t c = 0; c < summary.classes.size(); ++c)
    add(std::to_string(c), std::to_string(summary.positives[c]), summary.classes[c]);
  if (summary.classes.size() > 1) add("mean", "", summary.mean);
  return out;
}

/// Writes `classification_csv(records)`, by custom results_eval/classification.csv. (ivadomed fails to write a file for
/// classifiers.) The file is there whole or not at all.
/// @throws Error (data) as `classification_summary`; (internal) if it cannot be written
IVADO_INLINE void write_classification_csv(const std::string& path, const std::vector<ClassificationRecord>& records) {
  write_file_atomically(path, classification_csv(records));
}

}  // namespace ivado
