// Whether predicted probabilities mean what they say: reliability and expected calibration error.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "foreground_box.hpp"
#include "overlap.hpp"

namespace ivado {

/// The voxels whose confidence lies in one interval: a bar of the reliability diagram.
struct CalibrationBin {
  std::int64_t voxels = 0;
  std::int64_t right = 0;     ///< of them those whose label (≥ 0.5) is the true one
  double confidence_sum = 0;  ///< Σ max(p, 1 - p)

  /// Mean confidence; NaN without a voxel.
  [[nodiscard]] IVADO_INLINE double confidence() const noexcept {
    return voxels == 0 ? undefined_score : confidence_sum / static_cast<double>(voxels);
  }
  /// Part of the voxels that are right; NaN without a voxel.
  [[nodiscard]] IVADO_INLINE double accuracy() const noexcept {
    return voxels == 0 ? undefined_score : static_cast<double>(right) / static_cast<double>(voxels);
  }
  /// |accuracy - confidence|; 0 without a voxel.
  [[nodiscard]] double gap() const noexcept { return voxels == 0 ? 0 : std::abs(accuracy() - confidence()); }
};

/// The reliability of probabilities p of one class. The confidence in the label (p ≥ 0.5) is max(p, 1 - p); the bins
/// share out (0, 1] evenly, so that the lower half of them stays empty for one class alone.
class Calibration {
 public:
  /// @throws Error (usage) if there is no bin
  IVADO_INLINE explicit Calibration(int bins = 15) {
    if (bins < 1) throw usage_error("computing the calibration", std::to_string(bins) + " bins", "give at least one");
    bins_.resize(static_cast<std::size_t>(bins));
  }
  /// Adds one voxel. @param probability, truth  in [0, 1]
  IVADO_INLINE void add(double probability, double truth) noexcept {
    const bool positive = probability >= 0.5;
    const double confidence = positive ? probability : 1 - probability;
    const auto place = static_cast<std::int64_t>(std::ceil(confidence * static_cast<double>(bins_.size()))) - 1;
    auto& bin = bins_[static_cast<std::size_t>(
        std::clamp<std::int64_t>(place, 0, static_cast<std::int64_t>(bins_.size()) - 1))];
    ++bin.voxels;
    bin.right += positive == (truth >= 0.5) ? 1 : 0;
    bin.confidence_sum += confidence;
  }
  /// The bins, the least confident first.
  [[nodiscard]] const std::vector<CalibrationBin>& bins() const noexcept { return bins_; }
  /// Number of voxels in all bins.
  [[nodiscard]] IVADO_INLINE std::int64_t voxels() const noexcept {
    std::int64_t sum = 0;
    for (const auto& bin : bins_) sum += bin.voxels;
    return sum;
  }
  /// Expected calibration error (ECE) = Σ over the bins of (part of the voxels) |accuracy - confidence|, in [0, 1]; NaN
  /// without a voxel. Guo et al. 2017, arXiv:1706.04599.
  [[nodiscard]] IVADO_INLINE double expected_error() const noexcept {
    double sum = 0;
    for (const auto& bin : bins_) sum += bin.gap() * static_cast<double>(bin.voxels);
    return voxels() == 0 ? undefined_score : sum / static_cast<double>(voxels());
  }
  /// Maximum calibration error (MCE): the largest |accuracy - confidence| of a bin; NaN without a voxel.
  [[nodiscard]] IVADO_INLINE double maximum_error() const noexcept {
    double largest = 0;
    for (const auto& bin : bins_) largest = std::max(largest, bin.gap());
    return voxels() == 0 ? undefined_score : largest;
  }

 private:
  std::vector<CalibrationBin> bins_;
};

/// The calibration of one class in the box around the foreground (≥ 0.5) of prediction and truth.
///
/// Outside of it almost every voxel is background with full confidence, and any volume would seem well calibrated.
/// @param probability  [i, j, k] in [0, 1]; not binarised
/// @param truth        the same shape, in [0, 1]
/// @throws Error (data) if the shapes differ; Error (internal) if they have not 3 axes
[[nodiscard]] IVADO_INLINE Calibration calibration(ArrayView<const float> probability, ArrayView<const float> truth,
                                                   int bins = 15) {
  detail::require_same_shape("the calibration", probability.shape(), truth.shape());
  Calibration out(bins);
  const VoxelBox box = foreground_box(probability, truth, [](float value) { return value >= 0.5F; });
  if (box.empty()) return out;
  zip(box.of(probability), box.of(truth), [&](float p, float g) { out.add(p, g); });
  return out;
}

}  // namespace ivado
