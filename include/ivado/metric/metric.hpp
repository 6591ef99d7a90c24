// The concept of a metric, the overlap metrics as policies, and their means over samples.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <utility>

#include "../inline.hpp"
#include "overlap.hpp"

namespace ivado {

/// A number that says how well a prediction (after the model's last activation) agrees with its truth.
///
/// Requirements: `name` (its key in reports and files) and `operator()(prediction, truth) const`, both [class,
/// spatial…] of one shape in [0, 1].
///
/// Laws (`check_metric_laws` in tests/metric/metric_test.cpp): shapes that differ are an `Error`; the arrays stay as
/// they are. Where the metric is not defined it is NaN, or what its `err_value` says.
///
/// Models: Dice, MultiClassDice, Precision, Recall, Specificity, IntersectionOverUnion, Accuracy, MeanSquaredError,
/// HausdorffScore.
///
///   struct MeanAbsoluteError {
///     static constexpr std::string_view name = "mae";
///     double operator()(ArrayView<const float> prediction, ArrayView<const float> truth) const {
///       double sum = 0;
///       zip(prediction, truth, [&](float p, float g) { sum += std::abs(p - g); });
///       return sum / static_cast<double>(prediction.size());
///     }
///   };
template <class T>
concept Metric = requires(const T& metric, ArrayView<const float> prediction, ArrayView<const float> truth) {
  { T::name } -> std::convertible_to<std::string_view>;
  { metric(prediction, truth) } -> std::same_as<double>;
};

/// A metric that is a function of the soft confusion counts: several of them share one pass over the voxels.
template <class T>
concept OverlapMetric = Metric<T> && requires(const T& metric, const SoftCounts& counts) {
  { metric(counts) } -> std::same_as<double>;
};

namespace detail {

/// Gives a metric of counts its form for arrays.
template <class Derived>
struct OfCounts {
  template <class P, class G>
  [[nodiscard]] double operator()(ArrayView<P> prediction, ArrayView<G> truth) const {
    require_same_shape(Derived::name, prediction.shape(), truth.shape());
    return static_cast<const Derived&>(*this)(soft_counts(prediction, truth));
  }
};

}  // namespace detail

/// `ivado::dice` of all classes together: NaN (or `empty_value`) where prediction and truth are empty.
struct Dice : detail::OfCounts<Dice> {
  static constexpr std::string_view name = "dice_score";
  double empty_value;
  explicit constexpr Dice(double value_if_empty = undefined_score) : empty_value(value_if_empty) {}
  using detail::OfCounts<Dice>::operator();
  [[nodiscard]] double operator()(const SoftCounts& counts) const noexcept { return dice(counts, empty_value); }
};

/// `ivado::precision`: `err_value` for an empty prediction.
struct Precision : detail::OfCounts<Precision> {
  static constexpr std::string_view name = "precision_score";
  double err_value;
  explicit constexpr Precision(double value_if_undefined = 0) : err_value(value_if_undefined) {}
  using detail::OfCounts<Precision>::operator();
  [[nodiscard]] double operator()(const SoftCounts& counts) const noexcept { return precision(counts, err_value); }
};

/// `ivado::recall`: `err_value` for an empty truth.
struct Recall : detail::OfCounts<Recall> {
  static constexpr std::string_view name = "recall_score";
  double err_value;
  explicit constexpr Recall(double value_if_undefined = 0) : err_value(value_if_undefined) {}
  using detail::OfCounts<Recall>::operator();
  [[nodiscard]] double operator()(const SoftCounts& counts) const noexcept { return recall(counts, err_value); }
};

/// `ivado::specificity`: `err_value` where the truth fills everything.
struct Specificity : detail::OfCounts<Specificity> {
  static constexpr std::string_view name = "specificity_score";
  double err_value;
  explicit constexpr Specificity(double value_if_undefined = 0) : err_value(value_if_undefined) {}
  using detail::OfCounts<Specificity>::operator();
  [[nodiscard]] double operator()(const SoftCounts& counts) const noexcept { return specificity(counts, err_value); }
};

/// `ivado::intersection_over_union`: `err_value` where both are empty.
struct IntersectionOverUnion : detail::OfCounts<IntersectionOverUnion> {
  static constexpr std::string_view name = "intersection_over_union";
  double err_value;
  explicit constexpr IntersectionOverUnion(double value_if_undefined = 0) : err_value(value_if_undefined) {}
  using detail::OfCounts<IntersectionOverUnion>::operator();
  [[nodiscard]] IVADO_INLINE double operator()(const SoftCounts& counts) const noexcept {
    return intersection_over_union(counts, err_value);
  }
};

/// `ivado::accuracy`: `err_value` where there is no voxel.
struct Accuracy : detail::OfCounts<Accuracy> {
  static constexpr std::string_view name = "accuracy_score";
  double err_value;
  explicit constexpr Accuracy(double value_if_undefined = 0) : err_value(value_if_undefined) {}
  using detail::OfCounts<Accuracy>::operator();
  [[nodiscard]] double operator()(const SoftCounts& counts) const noexcept { return accuracy(counts, err_value); }
};

/// `ivado::mse`, the mean over all voxels. The function `mse` has ivadomed's number too, which is no mean for volumes.
struct MeanSquaredError : detail::OfCounts<MeanSquaredError> {
  static constexpr std::string_view name = "mse";
  using detail::OfCounts<MeanSquaredError>::operator();
  [[nodiscard]] double operator()(const SoftCounts& counts) const noexcept { return mse(counts); }
};

/// `ivado::multi_class_dice`: classes are axis 0; one that is empty in both counts as 1.
struct MultiClassDice {
  static constexpr std::string_view name = "multi_class_dice_score";
  template <class P, class G>
  [[nodiscard]] double operator()(ArrayView<P> prediction, ArrayView<G> truth) const {
    return multi_class_dice(prediction, truth);
  }
};

static_assert(OverlapMetric<Dice> && OverlapMetric<Precision> && OverlapMetric<Recall> && OverlapMetric<Specificity>);
static_assert(OverlapMetric<IntersectionOverUnion> && OverlapMetric<Accuracy> && OverlapMetric<MeanSquaredError>);
static_assert(Metric<MultiClassDice>);

/// The mean of one metric over samples.
struct MetricMean {
  std::string_view name;
  double mean = undefined_score;  ///< over the samples where it is defined; NaN where there is none
  std::int64_t defined = 0;       ///< samples where it is not NaN
  std::int64_t samples = 0;       ///< all samples
};

/// Metrics of one sample after the other, averaged; samples where a metric is NaN do not count for it.
///
/// A sample is what `add` gets: a slice or volume [class, spatial…] in training, a whole case in testing. (ivadomed
/// averages a classifier's metrics over batches, known-problems B6.13; call `add` once a sample and it is right.)
/// Where a metric is NaN for all, its mean is NaN; ivadomed gives null and then fails to log it.
template <Metric... Metrics>
class MetricMeans {
 public:
  explicit MetricMeans(Metrics... metrics) : metrics_(std::move(metrics)...) {}

  /// Evaluates one sample.
  /// @throws Error (data) if the shapes differ; nothing is added then
  template <class P, class G>
  void add(ArrayView<P> prediction, ArrayView<G> truth) {
    const SoftCounts counts = soft_counts(prediction, truth);
    std::array<double, sizeof...(Metrics)> values{};
    std::apply(
        [&](const auto&... metric) {
          std::size_t i = 0;
          ((values[i++] = one(metric, counts, prediction, truth)), ...);
        },
        metrics_);
    ++samples_;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] != values[i]) continue;
      sums_[i] += values[i];
      ++defined_[i];
    }
  }
  /// Forgets all samples.
  void reset() noexcept {
    sums_.fill(0);
    defined_.fill(0);
    samples_ = 0;
  }
  /// Number of samples added.
  [[nodiscard]] std::int64_t samples() const noexcept { return samples_; }
  /// The means, in the order of the template arguments.
  [[nodiscard]] std::array<MetricMean, sizeof...(Metrics)> means() const {
    std::array<MetricMean, sizeof...(Metrics)> out{MetricMean{Metrics::name}...};
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i].defined = defined_[i];
      out[i].samples = samples_;
      if (defined_[i] > 0) out[i].mean = sums_[i] / static_cast<double>(defined_[i]);
    }
    return out;
  }

 private:
  template <class M, class P, class G>
  [[nodiscard]] static double one(const M& metric, const SoftCounts& counts, ArrayView<P> prediction,
                                  ArrayView<G> truth) {
    if constexpr (OverlapMetric<M>)
      return metric(counts);
    else
      return metric(prediction, truth);
  }

  std::tuple<Metrics...> metrics_;
  std::array<double, sizeof...(Metrics)> sums_{};
  std::array<std::int64_t, sizeof...(Metrics)> defined_{};
  std::int64_t samples_ = 0;
};

/// The metrics that ivadomed logs in training and testing (metrics.md, section 3), but for the Hausdorff score.
using StandardMetrics =
    MetricMeans<Dice, MultiClassDice, Precision, Recall, Specificity, IntersectionOverUnion, Accuracy>;

}  // namespace ivado
