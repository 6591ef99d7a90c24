// Threshold analysis: the scores of predictions binarised at each of many thresholds, from one pass over the voxels.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "../data/array.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "evaluation.hpp"
#include "overlap.hpp"

namespace ivado {

/// The smallest distance of thresholds that a threshold analysis takes.
inline constexpr double least_threshold_increment = 0.0001;

/// What a threshold analysis maximises.
enum class ThresholdMetric {
  dice,                ///< mean Dice over the volumes; ivadomed's choice for segmentation
  recall_specificity,  ///< mean recall + mean specificity - 1 (Youden 1950); ivadomed's choice for classification
};

/// The name of a metric in reports and plots: "dice", "recall_specificity" (ivadomed's).
[[nodiscard]] constexpr std::string_view threshold_metric_name(ThresholdMetric metric) noexcept {
  return metric == ThresholdMetric::dice ? "dice" : "recall_specificity";
}

/// An interval that holds the true value with a certain confidence; NaN where nothing can be said.
struct ConfidenceInterval {
  double lower = undefined_score;
  double upper = undefined_score;
};

/// The thresholds k·increment for k = 1, 2, … below 1, each the product in double precision; 0 is not one.
/// @throws Error (usage) if `increment` is not in [least_threshold_increment, 1)
[[nodiscard]] inline std::vector<double> analysis_thresholds(double increment) {
  if (!(increment >= least_threshold_increment && increment < 1))
    throw usage_error("choosing the thresholds of the threshold analysis", detail::text("the increment is ", increment),
                      detail::text("give one from ", least_threshold_increment, " to below 1, such as 0.1 or 0.01"));
  std::vector<double> thresholds;
  for (int k = 1; k * increment < 1; ++k) thresholds.push_back(k * increment);
  return thresholds;
}

namespace detail {

/// The smallest float that is not below `bound`: for every float v, v >= that float where static_cast<double>(v) >=
/// bound.
[[nodiscard]] inline float least_float_from(double bound) noexcept {
  const auto near = static_cast<float>(bound);
  return static_cast<double>(near) < bound ? std::nextafter(near, std::numeric_limits<float>::infinity()) : near;
}

/// Finds out how many thresholds a value reaches: by one product, and by one comparison more where that is close.
class ThresholdGrid {
 public:
  IVADO_INLINE explicit ThresholdGrid(double increment)
      : thresholds_(analysis_thresholds(increment)),
        increment_(increment),
        lowest_(least_float_from(thresholds_.front())),
        highest_(static_cast<float>(thresholds_.back() + 0.5 * increment)),
        scale_(static_cast<float>((1 - 0x1p-20) / increment)),
        close_(static_cast<float>(1 - static_cast<double>(thresholds_.size() + 1) * 0x1p-18)) {}
  [[nodiscard]] const std::vector<double>& thresholds() const noexcept { return thresholds_; }
  /// The smallest float that reaches a threshold.
  [[nodiscard]] float lowest() const noexcept { return lowest_; }
  /// A value that reaches all thresholds and is far enough from the next, which there is not: larger values count as it.
  [[nodiscard]] float highest() const noexcept { return highest_; }
  /// For v from 0 to the highest value, the integer part q of v · scale is the number of thresholds reached, or one
  /// less. It is never too high, since the scale is lowered by 2^-20 and rounding adds less than 2^-22; and lowered by
  /// at most 10^4 · 2^-19 < 1, never too low by two.
  [[nodiscard]] float scale() const noexcept { return scale_; }
  /// q is one less only where the rest v · scale - q is above this.
  [[nodiscard]] float close() const noexcept { return close_; }
  /// Whether a value reaches one threshold more than `guess`, compared as `thresholds()` has it.
  [[nodiscard]] bool reaches_next(float value, std::int32_t guess) const noexcept {
    return static_cast<double>(value) >= (guess + 1) * increment_;
  }

 private:
  std::vector<double> thresholds_;
  double increment_;
  float lowest_;
  float highest_;
  float scale_;
  float close_;
};

/// Which of eight values are not below a bound: bit i for value i.
[[gnu::always_inline]] inline std::uint32_t not_below(const float* values, float bound) noexcept {
#if defined(__SSE2__)
  const __m128 bounds = _mm_set1_ps(bound);
  const int low = _mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(values), bounds));
  const int high = _mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(values + 4), bounds));
  return static_cast<std::uint32_t>(low | high << 4);
#else
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < 8; ++i) bits |= (values[i] >= bound ? std::uint32_t{1} : std::uint32_t{0}) << i;
  return bits;
#endif
}

/// Numbers of voxels by how many thresholds their prediction reaches, separately for background and foreground.
class ThresholdHistogram {
 public:
  /// Which vectors of the processor are used: the widest that it has, or those that every one has.
  enum class Vectors { widest, narrow };

  IVADO_INLINE explicit ThresholdHistogram(const ThresholdGrid& grid,
                                           [[maybe_unused]] Vectors vectors = Vectors::widest)
      : grid_(&grid), partial_((grid.thresholds().size() + 1) * 2 * lanes), bins_(partial_.size() / lanes) {
#if defined(__x86_64__) && defined(__GNUC__)
    has_avx2_ = vectors == Vectors::widest && __builtin_cpu_supports("avx2") != 0;
#endif
  }

  /// Counts voxels; NaN is noted.
  void add(ArrayView<const float> prediction, ArrayView<const float> truth) {
    if (prediction.size() == 0) return;
    if (prediction.is_dense() && truth.is_dense()) {
      add_row(prediction.data(), truth.data(), prediction.size());
      return;
    }
    constexpr std::size_t size = 16 * block;
    std::array<float, size> p;
    std::array<float, size> g;
    std::size_t filled = 0;
    zip(prediction, truth, [&](float prediction_value, float truth_value) {
      p[filled] = prediction_value;
      g[filled] = truth_value;
      if (++filled < size) return;
      add_row(p.data(), g.data(), size);
      filled = 0;
    });
    add_row(p.data(), g.data(), static_cast<std::int64_t>(filled));
  }
  /// True if a prediction or truth was NaN.
  [[nodiscard]] bool has_nan() const noexcept { return nan_; }

  /// The confusion counts at each threshold.
  [[nodiscard]] std::vector<SoftCounts> counts() {
    merge();
    const std::size_t n = grid_->thresholds().size();
    double positive = 0;
    double negative = 0;
    for (std::size_t bin = 0; bin <= n; ++bin) {
      negative += static_cast<double>(bins_[2 * bin]);
      positive += static_cast<double>(bins_[2 * bin + 1]);
    }
    std::vector<SoftCounts> out(n);
    double fp = 0;
    double tp = 0;
    for (std::size_t k = n; k-- > 0;) {
      fp += static_cast<double>(bins_[2 * (k + 1)]);
      tp += static_cast<double>(bins_[2 * (k + 1) + 1]);
      out[k] = {
          fp, positive - tp, tp, negative - fp, fp + (positive - tp), static_cast<std::int64_t>(positive + negative)};
    }
    return out;
  }

 private:
  // Neighbouring voxels count in different lanes, since adding to a number just written waits for the write.
  static constexpr std::size_t lanes = 8;
  static constexpr std::size_t block = 128;
  static constexpr std::size_t part = 8;
  static constexpr std::int64_t most_between_merges = std::int64_t{1} << 31;  // the lanes have 32 bits

  void add_row(const float* prediction, const float* truth, std::int64_t n) {
    while (n > 0) {
      if (counted_ + static_cast<std::int64_t>(block) > most_between_merges) merge();
      const std::int64_t next = std::min(n, most_between_merges - counted_);
      const std::int64_t whole = next - next % static_cast<std::int64_t>(block);
      add_blocks(prediction, truth, whole);
      if (whole < next) {
        const auto rest = static_cast<std::size_t>(next - whole);
        std::array<float, block> p{};
        std::array<float, block> g{};
        std::copy_n(prediction + whole, rest, p.begin());
        std::copy_n(truth + whole, rest, g.begin());
        add_blocks(p.data(), g.data(), block);
        bins_[0] -= block - rest;  // what fills the block up counts as background at 0; the lanes come later
      }
      counted_ += next;
      prediction += next;
      truth += next;
      n -= next;
    }
  }

  /// Counts `n` voxels, a multiple of `block`.
  void add_blocks(const float* prediction, const float* truth, std::int64_t n) noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
    if (has_avx2_) return add_blocks_avx2(prediction, truth, n);
#endif
    add_blocks_of(prediction, truth, n);
  }
#if defined(__x86_64__) && defined(__GNUC__)
  [[gnu::target("avx2,popcnt")]] void add_blocks_avx2(const float* prediction, const float* truth,
                                                      std::int64_t n) noexcept {
    add_blocks_of(prediction, truth, n);
  }
#endif
  [[gnu::always_inline]] void add_blocks_of(const float* prediction, const float* truth, std::int64_t n) noexcept {
    for (std::int64_t i = 0; i < n; i += static_cast<std::int64_t>(block)) {
#if defined(__GNUC__)
      // Memory of a later block is on its way while this one is counted.
      if (const std::int64_t later = i + static_cast<std::int64_t>(8 * block); later < n)
        for (std::int64_t k = later; k < later + static_cast<std::int64_t>(block); k += 16) {
          __builtin_prefetch(prediction + k);
          __builtin_prefetch(truth + k);
        }
#endif
      add_block(prediction + i, truth + i);
    }
  }

  /// Counts `block` voxels. The loops over voxels have comparisons alone and no branch: compilers vectorise them.
  [[gnu::always_inline]] void add_block(const float* prediction, const float* truth) noexcept {
    const float lowest = grid_->lowest();
    std::int32_t reached = 0;
    std::int32_t positives = 0;
    std::int32_t nans = 0;
    for (std::size_t i = 0; i < block; ++i) {
      reached += prediction[i] >= lowest ? 1 : 0;
      positives += truth[i] >= 0.5F ? 1 : 0;
      nans += std::isunordered(prediction[i], truth[i]) ? 1 : 0;
    }
    nan_ = nan_ || nans > 0;
    std::uint32_t parts = 0;
    if (reached > 0) {  // not so in most blocks of most volumes
      // Parts that hold a value which reaches a threshold are gathered, not branched to: which ones do is hard to
      // foresee at the border of a structure.
      for (std::size_t k = 0; k < block / part; ++k)
        parts |= (not_below(prediction + k * part, lowest) != 0 ? std::uint32_t{1} : std::uint32_t{0}) << k;
      std::array<std::int32_t, block> places;
      std::size_t filled = 0;
      for (std::uint32_t left = parts; left != 0; left &= left - 1) {
        const std::size_t begin = part * static_cast<std::size_t>(std::countr_zero(left));
        positives -= std::popcount(not_below(truth + begin, 0.5F));
        find_places(prediction + begin, truth + begin, places.data() + filled);
        filled += part;
      }
      count_places(places.data(), filled);
    }
    partial_[0] += static_cast<std::uint32_t>(block) -
                   static_cast<std::uint32_t>(part) * static_cast<std::uint32_t>(std::popcount(parts)) -
                   static_cast<std::uint32_t>(positives);
    partial_[lanes] += static_cast<std::uint32_t>(positives);
  }
  /// Adds 1 at each of `n` places. They were all found before: adding while they are found takes twice the time.
  [[gnu::always_inline]] void count_places(const std::int32_t* place, std::size_t n) noexcept {
    std::uint32_t* const partial = partial_.data();
    for (std::size_t i = 0; i < n; i += part)
#pragma GCC unroll 8
      for (std::size_t lane = 0; lane < part; lane += 2) {
        std::uint64_t two = 0;
        std::memcpy(&two, place + i + lane, sizeof(two));
        ++partial[two & 0xffffffffU];
        ++partial[two >> 32U];
      }
  }
  /// Finds where `part` voxels are counted; NaN as 0.
  [[gnu::always_inline]] void find_places(const float* prediction, const float* truth, std::int32_t* place) noexcept {
    constexpr auto lane_count = static_cast<std::int32_t>(lanes);
    const float highest = grid_->highest();
    const float scale = grid_->scale();
    const float close = grid_->close();
    std::array<float, part> value;
    std::array<std::int32_t, part> reached;
    std::int32_t open = 0;
    for (std::size_t i = 0; i < part; ++i) {
      const float positive = prediction[i] > 0 ? prediction[i] : 0.0F;
      value[i] = positive < highest ? positive : highest;
      const float scaled = value[i] * scale;
      reached[i] = static_cast<std::int32_t>(scaled);
      open += scaled - static_cast<float>(reached[i]) > close ? 1 : 0;
    }
    if (open > 0)
      for (std::size_t i = 0; i < part; ++i) reached[i] += grid_->reaches_next(value[i], reached[i]) ? 1 : 0;
    for (std::size_t i = 0; i < part; ++i)
      place[i] =
          2 * lane_count * reached[i] + (truth[i] >= 0.5F ? lane_count : 0) + static_cast<std::int32_t>(i % lanes);
  }

  /// Adds the lanes to the bins.
  void merge() noexcept {
    for (std::size_t bin = 0; bin < bins_.size(); ++bin)
      for (std::size_t lane = 0; lane < lanes; ++lane) bins_[bin] += partial_[bin * lanes + lane];
    std::fill(partial_.begin(), partial_.end(), 0U);
    counted_ = 0;
  }

  const ThresholdGrid* grid_;
  std::vector<std::uint32_t> partial_;  // [thresholds reached, background or foreground, lane]
  std::vector<std::uint64_t> bins_;     // [thresholds reached, background or foreground]
  std::int64_t counted_ = 0;
  bool nan_ = false;
#if defined(__x86_64__) && defined(__GNUC__)
  bool has_avx2_ = false;
#endif
};

/// The confusion counts of one class, after a look at its values.
/// @throws Error (data) if a value is NaN
[[nodiscard]] inline std::vector<SoftCounts> threshold_counts(const ThresholdGrid& grid,
                                                              ArrayView<const float> prediction,
                                                              ArrayView<const float> truth,
                                                              std::string_view case_name) {
  ThresholdHistogram histogram(grid);
  histogram.add(prediction, truth);
  if (histogram.has_nan())
    throw data_error("computing the threshold analysis" + (case_name.empty() ? "" : " of " + std::string(case_name)),
                     "the prediction or the truth holds NaN", "look at the model's output and at the label file");
  return histogram.counts();
}

/// Into how many steps the distance of thresholds is divided for the receiver operating characteristic, so that they
/// are `roc_increment` or less: the smallest such number with which the finer thresholds hold the given ones exactly. At
/// the latest that is a power of two, by which the division is exact.
[[nodiscard]] inline std::size_t roc_steps(double increment) {
  constexpr double roc_increment = 0.01;
  const std::vector<double> thresholds = analysis_thresholds(increment);
  const auto least = static_cast<std::size_t>(std::max(1.0, std::ceil(increment / roc_increment - 1e-9)));
  for (std::size_t steps = least; steps < 2 * least; ++steps) {
    const double finer = increment / static_cast<double>(steps);
    const std::vector<double> between = analysis_thresholds(finer);
    bool same = between.size() >= steps * thresholds.size();
    for (std::size_t k = 0; same && k < thresholds.size(); ++k)
      same = least_float_from(between[steps * (k + 1) - 1]) == least_float_from(thresholds[k]);
    if (same) return steps;
  }
  throw internal_error("dividing the increment of the threshold analysis", "no number of steps is exact");
}

/// Mean and squared deviations of numbers that come one after the other (Welford 1962); NaN is left out.
struct RunningMean {
  std::int64_t n = 0;
  double sum = 0;
  double mean_so_far = 0;
  double squares = 0;

  void add(double value) noexcept {
    if (std::isnan(value)) return;
    ++n;
    sum += value;
    const double before = value - mean_so_far;
    mean_so_far += before / static_cast<double>(n);
    squares += before * (value - mean_so_far);
  }
  [[nodiscard]] double mean() const noexcept { return n == 0 ? undefined_score : sum / static_cast<double>(n); }
  [[nodiscard]] double standard_deviation() const noexcept {
    return n < 2 ? undefined_score : std::sqrt(squares / static_cast<double>(n - 1));
  }
};

/// P(|T| ≤ t) for Student's T with `freedom` degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
[[nodiscard]] inline double student_within(double t, std::int64_t freedom) noexcept {
  const double angle = std::atan(t / std::sqrt(static_cast<double>(freedom)));
  const double cosine = std::cos(angle);
  const bool is_odd = freedom % 2 == 1;
  double term = is_odd ? cosine : 1;
  double sum = freedom == 1 ? 0 : term;
  for (std::int64_t k = is_odd ? 3 : 2; k < freedom; k += 2) {
    term *= cosine * cosine * static_cast<double>(k - 1) / static_cast<double>(k);
    sum += term;
  }
  return is_odd ? 2 / std::numbers::pi * (angle + std::sin(angle) * sum) : std::sin(angle) * sum;
}

/// The t with P(|T| ≤ t) = 0.95, to full precision by halving.
[[nodiscard]] inline double student_95(std::int64_t freedom) noexcept {
  double low = 1.9;
  double high = 12.8;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (student_within(middle, freedom) < 0.95 ? low : high) = middle;
  }
  return high;
}

}  // namespace detail

/// The 95 % confidence interval of a mean by Student's t: mean ± t · standard deviation / √n, with n - 1 degrees of
/// freedom.
/// @param standard_deviation  of the sample (n - 1)
/// @return NaN for fewer than two values
[[nodiscard]] inline ConfidenceInterval confidence_interval_95(double mean, double standard_deviation, std::int64_t n) {
  if (n < 2) return {};
  const double half = detail::student_95(n - 1) * standard_deviation / std::sqrt(static_cast<double>(n));
  return {mean - half, mean + half};
}

/// The confusion counts of a prediction binarised at each of the thresholds `analysis_thresholds(increment)`.
///
/// Exactly those of a search that binarises with `static_cast<double>(value) >= threshold`, also where values lie on
/// thresholds. The truth is foreground from 0.5 on.
/// @param prediction  any rank; values in [0, 1] (others count as the nearest one)
/// @param truth       the same shape
/// @return            one a threshold
/// @throws Error (usage) for an increment out of range; (data) if the shapes differ or a value is NaN
/// @complexity one pass over the voxels, whatever the increment, and one over the thresholds
[[nodiscard]] inline std::vector<SoftCounts> threshold_counts(ArrayView<const float> prediction,
                                                              ArrayView<const float> truth, double increment) {
  detail::require_same_shape("the threshold analysis", prediction.shape(), truth.shape());
  return detail::threshold_counts(detail::ThresholdGrid(increment), prediction, truth, {});
}

/// Means over the volumes of the scores at one threshold.
struct ThresholdPoint {
  double threshold = 0;
  double dice = undefined_score;         ///< of the volumes where it is defined: prediction or truth not empty
  double recall = undefined_score;       ///< a volume with an empty truth counts as 0, as in ivadomed
  double specificity = undefined_score;  ///< a volume filled by its truth counts as 0
  double score = undefined_score;        ///< `dice`, or `recall + specificity - 1`
  std::int64_t dice_volumes = 0;         ///< volumes where the Dice is defined
};

/// A point of a receiver operating characteristic.
struct RocPoint {
  double false_positive_rate = 0;  ///< 1 - mean specificity
  double true_positive_rate = 0;   ///< mean recall
};

/// The scores of one class, or of all together, at all thresholds.
struct ThresholdCurve {
  std::vector<ThresholdPoint> points;   ///< by rising threshold
  std::size_t optimum_index = 0;        ///< of the optimum among the points; their number where there is none
  double optimum = undefined_score;     ///< the largest threshold with the highest score; NaN: no score is defined
  double best_score = undefined_score;  ///< the score there
  ConfidenceInterval dice_interval;     ///< 95 % of the mean Dice at the optimum, over volumes, by Student's t, cut to
                                        ///< [0, 1]; NaN for fewer than two volumes. Choosing the threshold on the
                                        ///< same volumes is not accounted for
  std::vector<RocPoint> roc;            ///< by rising false positive rate, from (0, 0) to (1, 1), at thresholds at most
                                        ///< 0.01 apart whatever the increment: few points cut corners off its area
  double roc_area = undefined_score;    ///< under straight lines between these points
};

/// What a threshold analysis finds.
struct ThresholdResult {
  ThresholdMetric metric = ThresholdMetric::dice;
  double increment = 0;
  std::int64_t volumes = 0;
  ThresholdCurve pooled;                ///< of the counts of all classes together, as in ivadomed
  std::vector<ThresholdCurve> classes;  ///< one a class
};

/// Finds the threshold that binarises predictions best.
///
/// Each volume is read once, whatever the increment; its confusion counts at all thresholds come from sums over
/// histograms of the prediction in background and foreground. The scores are those of a search that binarises at each
/// threshold in turn (ivadomed's, whose time grows with the number of thresholds: known-problems A5), exactly. A volume
/// is what `add` gets: for a classifier, give all samples in one call, [class, sample], since recall and specificity of
/// a single sample say nothing.
///
/// ivadomed analyses training and validation data together; give validation data alone for an honest optimum (B6.19).
/// Its ROC polyline runs back and forth (B6.18), `ThresholdCurve::roc` does not.
///
///   ThresholdAnalysis analysis(0.01);
///   for (const auto& volume : volumes) analysis.add(volume.prediction.view(), volume.truth.view());
///   const double thr = analysis.result().pooled.optimum;
///
/// @note memory: numbers of thresholds (100 to 200 where there are fewer, for the ROC) × (classes + 1), whatever the number
/// of volumes. Not thread-safe.
class ThresholdAnalysis {
 public:
  /// @param increment  distance of the thresholds: from `least_threshold_increment` to below 1
  /// @throws Error (usage) if it is out of range
  IVADO_INLINE explicit ThresholdAnalysis(double increment, ThresholdMetric metric = ThresholdMetric::dice)
      : metric_(metric),
        increment_(increment),
        steps_(detail::roc_steps(increment)),
        grid_(increment / static_cast<double>(steps_)) {}

  /// Adds a volume.
  /// @param prediction  [class, spatial…] before binarisation, in [0, 1]
  /// @param truth       the same shape; foreground from 0.5 on
  /// @param case_name   for errors
  /// @throws Error (data) if the shapes differ, there is no voxel, the number of classes is not that of the volumes
  ///                      before, or a value is NaN; nothing is added then
  void add(ArrayView<const float> prediction, ArrayView<const float> truth, std::string_view case_name = {});
  /// Adds a volume of one class, its voxels in any order.
  /// @throws Error (data) as for arrays
  void add(std::span<const float> prediction, std::span<const float> truth, std::string_view case_name = {}) {
    add(ArrayView<const float>(prediction.data(), {1, static_cast<std::int64_t>(prediction.size())}),
        ArrayView<const float>(truth.data(), {1, static_cast<std::int64_t>(truth.size())}), case_name);
  }
  /// Number of volumes added.
  [[nodiscard]] std::int64_t volumes() const noexcept { return volumes_; }
  /// The scores of the volumes added so far.
  /// @throws Error (data) if there is no volume, or the Dice is not defined for any volume at any threshold
  [[nodiscard]] ThresholdResult result() const;

 private:
  struct Means {
    detail::RunningMean dice;
    detail::RunningMean recall;
    detail::RunningMean specificity;
  };

  static void accumulate(std::vector<Means>& means, const std::vector<SoftCounts>& counts) {
    means.resize(counts.size());
    for (std::size_t k = 0; k < counts.size(); ++k) {
      means[k].dice.add(dice(counts[k]));
      means[k].recall.add(recall(counts[k]));
      means[k].specificity.add(specificity(counts[k]));
    }
  }
  [[nodiscard]] ThresholdCurve curve(const std::vector<Means>& means) const;

  ThresholdMetric metric_;
  double increment_;
  std::size_t steps_;           // of the grid in an increment
  detail::ThresholdGrid grid_;  // of the thresholds and those between them for the ROC
  std::int64_t volumes_ = 0;
  std::vector<Means> pooled_;  // empty where there is one class: the same
  std::vector<std::vector<Means>> classes_;
};

inline void ThresholdAnalysis::add(ArrayView<const float> prediction, ArrayView<const float> truth,
                                   std::string_view case_name) {
  detail::require_same_shape("the threshold analysis" + (case_name.empty() ? "" : " of " + std::string(case_name)),
                             prediction.shape(), truth.shape());
  const std::string doing =
      "adding " + (case_name.empty() ? std::string("a volume") : std::string(case_name)) + " to the threshold analysis";
  if (prediction.size() == 0)
    throw data_error(doing, "the prediction has shape " + prediction.shape().text(), "leave out what has no voxel");
  const auto classes = static_cast<std::size_t>(prediction.extent(0));
  if (volumes_ > 0 && classes != classes_.size())
    throw data_error(doing, detail::text("it has ", classes, " classes, the volumes before have ", classes_.size()),
                     "analyse predictions of one model at a time");
  std::vector<std::vector<SoftCounts>> counts;
  for (std::size_t c = 0; c < classes; ++c)
    counts.push_back(detail::threshold_counts(grid_, prediction.narrow(0, static_cast<std::int64_t>(c), 1),
                                              truth.narrow(0, static_cast<std::int64_t>(c), 1), case_name));
  classes_.resize(classes);
  for (std::size_t c = 0; c < classes; ++c) accumulate(classes_[c], counts[c]);
  for (std::size_t c = 1; c < classes; ++c)
    for (std::size_t k = 0; k < counts[0].size(); ++k) counts[0][k] += counts[c][k];
  if (classes > 1) accumulate(pooled_, counts[0]);
  ++volumes_;
}

inline ThresholdCurve ThresholdAnalysis::curve(const std::vector<Means>& means) const {
  ThresholdCurve out;
  const std::vector<double> thresholds = analysis_thresholds(increment_);
  out.optimum_index = thresholds.size();
  for (std::size_t k = 0; k < thresholds.size(); ++k) {
    const Means& at = means[steps_ * (k + 1) - 1];
    ThresholdPoint point{thresholds[k], at.dice.mean(), at.recall.mean(), at.specificity.mean()};
    point.score = metric_ == ThresholdMetric::dice ? point.dice : point.recall + point.specificity - 1;
    point.dice_volumes = at.dice.n;
    if (!std::isnan(point.score) && !(point.score < out.best_score)) {
      out.optimum_index = k;
      out.optimum = point.threshold;
      out.best_score = point.score;
    }
    out.points.push_back(point);
  }
  for (const Means& at : means) out.roc.push_back({1 - at.specificity.mean(), at.recall.mean()});
  if (out.optimum_index < thresholds.size()) {
    const detail::RunningMean& at = means[steps_ * (out.optimum_index + 1) - 1].dice;
    const ConfidenceInterval interval = confidence_interval_95(at.mean(), at.standard_deviation(), at.n);
    if (at.n > 1) out.dice_interval = {std::max(interval.lower, 0.0), std::min(interval.upper, 1.0)};
  }
  out.roc.push_back({0, 0});
  out.roc.push_back({1, 1});
  std::sort(out.roc.begin(), out.roc.end(), [](const RocPoint& a, const RocPoint& b) {
    return a.false_positive_rate < b.false_positive_rate ||
           (a.false_positive_rate == b.false_positive_rate && a.true_positive_rate < b.true_positive_rate);
  });
  out.roc_area = 0;
  for (std::size_t i = 1; i < out.roc.size(); ++i)
    out.roc_area += (out.roc[i].false_positive_rate - out.roc[i - 1].false_positive_rate) *
                    (out.roc[i].true_positive_rate + out.roc[i - 1].true_positive_rate) / 2;
  return out;
}

inline ThresholdResult ThresholdAnalysis::result() const {
  if (volumes_ == 0)
    throw data_error("finding the best threshold", "there is no prediction", "give at least one volume with its truth");
  ThresholdResult out{metric_, increment_, volumes_, curve(classes_.size() == 1 ? classes_[0] : pooled_), {}};
  for (const auto& means : classes_) out.classes.push_back(curve(means));
  if (std::isnan(out.pooled.optimum))
    throw data_error(
        "finding the best threshold",
        detail::text("truth and prediction are empty at all thresholds in each of the ", volumes_, " volumes"),
        "give volumes with foreground, or train the model further");
  return out;
}

/// The scores as the text of a CSV file: a row a threshold, with 1 in the column `is_optimum` at the optimum. Where
/// there are several classes, the columns of all together are followed by those of each, with "_class<n>". A number
/// that is not defined is an empty field.
[[nodiscard]] inline std::string threshold_csv(const ThresholdResult& result) {
  std::vector<const ThresholdCurve*> curves{&result.pooled};
  std::string out = "threshold,dice,recall,specificity,score,dice_volumes,is_optimum";
  if (result.classes.size() > 1) {
    for (std::size_t c = 0; c < result.classes.size(); ++c) {
      curves.push_back(&result.classes[c]);
      for (const char* column : {"dice", "recall", "specificity", "score", "dice_volumes", "is_optimum"})
        out += "," + std::string(column) + "_class" + std::to_string(c);
    }
  }
  out += "\n";
  for (std::size_t k = 0; k < result.pooled.points.size(); ++k) {
    out += detail::csv_number(result.pooled.points[k].threshold);
    for (const ThresholdCurve* curve : curves) {
      const ThresholdPoint& point = curve->points[k];
      for (const double value : {point.dice, point.recall, point.specificity, point.score})
        out += "," + detail::csv_number(value);
      out += "," + std::to_string(point.dice_volumes) + (k == curve->optimum_index ? ",1" : ",0");
    }
    out += "\n";
  }
  return out;
}

/// Writes `threshold_csv(result)`. The file is there whole or not at all.
/// @throws Error (internal) if it cannot be written
inline void write_threshold_csv(const std::string& path, const ThresholdResult& result) {
  write_file_atomically(path, threshold_csv(result));
}

}  // namespace ivado
