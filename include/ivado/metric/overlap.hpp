// Overlap of a prediction with its truth: soft confusion counts in one pass, and the scores that follow from them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// Soft confusion counts of a prediction p and a truth g in [0, 1], in double precision. For masks they are the
/// ordinary counts of voxels.
struct SoftCounts {
  double false_positive = 0;  ///< Σ p (1 - g)
  double false_negative = 0;  ///< Σ (1 - p) g
  double true_positive = 0;   ///< Σ p g
  double true_negative = 0;   ///< Σ (1 - p) (1 - g)
  double squared_error = 0;   ///< Σ (p - g)²
  std::int64_t size = 0;      ///< number of voxels

  /// Σ p: the soft volume of the prediction in voxels.
  [[nodiscard]] double prediction_sum() const noexcept { return true_positive + false_positive; }
  /// Σ g: the soft volume of the truth in voxels.
  [[nodiscard]] double truth_sum() const noexcept { return true_positive + false_negative; }

  /// The counts of two sets of voxels together.
  SoftCounts& operator+=(const SoftCounts& other) noexcept {
    false_positive += other.false_positive;
    false_negative += other.false_negative;
    true_positive += other.true_positive;
    true_negative += other.true_negative;
    squared_error += other.squared_error;
    size += other.size;
    return *this;
  }
};

namespace detail {

/// @throws Error (data) if the shapes differ
IVADO_INLINE void require_same_shape(std::string_view metric, const Shape& prediction, const Shape& truth) {
  if (!(prediction == truth))
    throw data_error("computing " + std::string(metric),
                     "the prediction has shape " + prediction.text() + " and the truth " + truth.text(),
                     "bring both onto one grid with the same classes");
}

/// Counts of `n` voxels in a row. Four sums of each kind run side by side, so that additions need not wait for another.
template <class P, class G>
[[nodiscard]] SoftCounts count_row(const P* prediction, std::int64_t prediction_stride, const G* truth,
                                   std::int64_t truth_stride, std::int64_t n) noexcept {
  constexpr std::int64_t lanes = 4;
  double fp[lanes]{};
  double fn[lanes]{};
  double tp[lanes]{};
  double tn[lanes]{};
  double se[lanes]{};
  const auto add = [&](std::int64_t lane, std::int64_t i) {
    const auto p = static_cast<double>(prediction[i * prediction_stride]);
    const auto g = static_cast<double>(truth[i * truth_stride]);
    fp[lane] += p * (1 - g);
    fn[lane] += (1 - p) * g;
    tp[lane] += p * g;
    tn[lane] += (1 - p) * (1 - g);
    se[lane] += (p - g) * (p - g);
  };
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::int64_t lane = 0; lane < lanes; ++lane) add(lane, i + lane);
  for (; i < n; ++i) add(0, i);
  const auto sum = [](const double(&lane)[lanes]) { return (lane[0] + lane[1]) + (lane[2] + lane[3]); };
  return {sum(fp), sum(fn), sum(tp), sum(tn), sum(se), n};
}

template <class P, class G>
void count_axes(const P* prediction, const std::int64_t* prediction_stride, const G* truth,
                const std::int64_t* truth_stride, const std::int64_t* extent, int rank, SoftCounts& total) noexcept {
  if (rank == 1) {
    constexpr std::int64_t block = 4096;  // sums of blocks keep the rounding error of large volumes small
    for (std::int64_t begin = 0; begin < extent[0]; begin += block)
      total += count_row(prediction + begin * prediction_stride[0], prediction_stride[0],
                         truth + begin * truth_stride[0], truth_stride[0], std::min(block, extent[0] - begin));
    return;
  }
  for (std::int64_t i = 0; i < extent[0]; ++i)
    count_axes(prediction + i * prediction_stride[0], prediction_stride + 1, truth + i * truth_stride[0],
               truth_stride + 1, extent + 1, rank - 1, total);
}

}  // namespace detail

/// The soft confusion counts of a prediction and its truth.
/// @param prediction  any rank, values in [0, 1]
/// @param truth       the same shape, values in [0, 1]
/// @throws Error (data) if the shapes differ
/// @complexity one pass, no allocation
template <class P, class G>
[[nodiscard]] SoftCounts soft_counts(ArrayView<P> prediction, ArrayView<G> truth) {
  detail::require_same_shape("the overlap", prediction.shape(), truth.shape());
  SoftCounts total;
  if (prediction.size() == 0) return total;
  if (prediction.is_dense() && truth.is_dense()) {
    const std::int64_t size = prediction.size();
    const std::int64_t one = 1;
    detail::count_axes(prediction.data(), &one, truth.data(), &one, &size, 1, total);
  } else {
    detail::count_axes(prediction.data(), prediction.strides().data(), truth.data(), truth.strides().data(),
                       prediction.shape().begin(), prediction.rank(), total);
  }
  return total;
}

/// What a score has where it is not defined.
inline constexpr double undefined_score = std::numeric_limits<double>::quiet_NaN();

namespace detail {

[[nodiscard]] IVADO_INLINE double ratio_or(double numerator, double denominator, double err_value) noexcept {
  return denominator <= 0 ? err_value : numerator / denominator;
}

}  // namespace detail

/// Dice = 2 Σ p g / (Σ p + Σ g); `empty_value` where both are empty.
[[nodiscard]] IVADO_INLINE double dice(const SoftCounts& counts, double empty_value = undefined_score) noexcept {
  const double sum = counts.prediction_sum() + counts.truth_sum();
  return sum == 0 ? empty_value : 2 * counts.true_positive / sum;
}
/// Precision = TP / (TP + FP); `err_value` for an empty prediction.
[[nodiscard]] IVADO_INLINE double precision(const SoftCounts& counts, double err_value = 0) noexcept {
  return detail::ratio_or(counts.true_positive, counts.true_positive + counts.false_positive, err_value);
}
/// Recall (sensitivity) = TP / (TP + FN); `err_value` for an empty truth.
[[nodiscard]] IVADO_INLINE double recall(const SoftCounts& counts, double err_value = 0) noexcept {
  return detail::ratio_or(counts.true_positive, counts.true_positive + counts.false_negative, err_value);
}
/// Specificity = TN / (TN + FP); `err_value` where the truth fills everything.
[[nodiscard]] IVADO_INLINE double specificity(const SoftCounts& counts, double err_value = 0) noexcept {
  return detail::ratio_or(counts.true_negative, counts.true_negative + counts.false_positive, err_value);
}
/// Intersection over union = TP / (TP + FP + FN); `err_value` where both are empty.
[[nodiscard]] IVADO_INLINE double intersection_over_union(const SoftCounts& counts, double err_value = 0) noexcept {
  return detail::ratio_or(counts.true_positive, counts.true_positive + counts.false_positive + counts.false_negative,
                          err_value);
}
/// Accuracy = (TP + TN) / (TP + TN + FP + FN); `err_value` where there is no voxel.
[[nodiscard]] IVADO_INLINE double accuracy(const SoftCounts& counts, double err_value = 0) noexcept {
  const double right = counts.true_positive + counts.true_negative;
  return detail::ratio_or(right, right + counts.false_positive + counts.false_negative, err_value);
}
/// Mean squared error = Σ (p - g)² / number of voxels; NaN where there is no voxel.
[[nodiscard]] IVADO_INLINE double mse(const SoftCounts& counts) noexcept {
  return counts.size == 0 ? undefined_score : counts.squared_error / static_cast<double>(counts.size);
}

/// `dice` of two arrays of one shape, any rank. @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double dice(ArrayView<P> prediction, ArrayView<G> truth, double empty_value = undefined_score) {
  return dice(soft_counts(prediction, truth), empty_value);
}
/// `precision` of two arrays of one shape, any rank. @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double precision(ArrayView<P> prediction, ArrayView<G> truth, double err_value = 0) {
  return precision(soft_counts(prediction, truth), err_value);
}
/// `recall` of two arrays of one shape, any rank. @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double recall(ArrayView<P> prediction, ArrayView<G> truth, double err_value = 0) {
  return recall(soft_counts(prediction, truth), err_value);
}
/// `specificity` of two arrays of one shape, any rank. @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double specificity(ArrayView<P> prediction, ArrayView<G> truth, double err_value = 0) {
  return specificity(soft_counts(prediction, truth), err_value);
}
/// `intersection_over_union` of two arrays of one shape, any rank. @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double intersection_over_union(ArrayView<P> prediction, ArrayView<G> truth, double err_value = 0) {
  return intersection_over_union(soft_counts(prediction, truth), err_value);
}
/// `accuracy` of two arrays of one shape, any rank. @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double accuracy(ArrayView<P> prediction, ArrayView<G> truth, double err_value = 0) {
  return accuracy(soft_counts(prediction, truth), err_value);
}

/// Mean over the classes (axis 0) of their Dice; a class that is empty in both counts as `empty_value`.
/// @return NaN where there is no class
/// @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double multi_class_dice(ArrayView<P> prediction, ArrayView<G> truth, double empty_value = 1) {
  detail::require_same_shape("multi_class_dice_score", prediction.shape(), truth.shape());
  if (prediction.rank() == 0 || prediction.extent(0) == 0) return undefined_score;
  double sum = 0;
  for (std::int64_t c = 0; c < prediction.extent(0); ++c)
    sum += dice(prediction.select(0, c), truth.select(0, c), empty_value);
  return sum / static_cast<double>(prediction.extent(0));
}

/// Mean squared error of two arrays of one shape, any rank.
/// @param as_ivadomed  divide by the first two extents alone, as ivadomed does: of arrays with more than two axes its
///                     number is no mean (known-problems B6.7)
/// @throws Error (data) if the shapes differ
template <class P, class G>
[[nodiscard]] double mse(ArrayView<P> prediction, ArrayView<G> truth, bool as_ivadomed = false) {
  const SoftCounts counts = soft_counts(prediction, truth);
  if (!as_ivadomed || prediction.rank() < 2 || counts.size == 0) return mse(counts);
  return counts.squared_error / static_cast<double>(prediction.extent(0) * prediction.extent(1));
}

}  // namespace ivado
