// HistogramClipping: cuts off the darkest and the brightest intensities.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "grid.hpp"
#include "range.hpp"

namespace ivado {

namespace detail {

/// Order statistics of finite floats, by one pass that counts their upper 16 bits and one that looks into a single
/// bucket of them. The voxels must live as long as this does.
class OrderStatistics {
 public:
  IVADO_INLINE OrderStatistics(const float* values, std::int64_t n) : values_(values), n_(n), buckets_(1 << 16) {
    std::int64_t* const bucket = buckets_.data();
    for (std::int64_t i = 0; i < n; ++i)
      if (std::isfinite(values[i])) ++bucket[upper_bits(values[i])];
    for (const std::int64_t size : buckets_) count_ += size;
  }

  /// Number of finite values.
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }

  /// The value that `rank` others precede in ascending order.
  [[nodiscard]] IVADO_INLINE float value(std::int64_t rank) const {
    std::size_t bucket = 0;
    while (rank >= buckets_[bucket]) rank -= buckets_[bucket++];
    std::vector<float> members;
    members.reserve(static_cast<std::size_t>(buckets_[bucket]));
    for (std::int64_t i = 0; i < n_; ++i)
      if (upper_bits(values_[i]) == bucket) members.push_back(values_[i]);
    const auto at = members.begin() + rank;
    std::nth_element(members.begin(), at, members.end());
    return *at;
  }

  /// The percentile in [0, 100], linear between neighbours (numpy.percentile). There must be a finite value.
  [[nodiscard]] IVADO_INLINE double percentile(double percent) const {
    const double position = percent / 100 * static_cast<double>(count_ - 1);
    const auto below = std::min(static_cast<std::int64_t>(position), count_ - 1);
    const double part = position - static_cast<double>(below);
    const auto low = static_cast<double>(value(below));
    return part > 0 ? low + part * (static_cast<double>(value(below + 1)) - low) : low;
  }

 private:
  /// Upper half of a number that is in the order of the floats. The buckets of infinities hold no other number.
  [[nodiscard]] IVADO_INLINE static std::size_t upper_bits(float value) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return (bits & 0x80000000U ? ~bits : bits | 0x80000000U) >> 16;
  }

  const float* values_;
  std::int64_t n_;
  std::vector<std::int64_t> buckets_;
  std::int64_t count_ = 0;
};

}  // namespace detail

/// Cuts each channel off at two percentiles of its own: what is below the lower one takes its value, what is above the
/// upper one likewise.
///
/// Percentiles are linear between neighbours (numpy.percentile, as in ivadomed 2.9.10), of what the model sees: the
/// slice, or the sub-volume. NaN and infinity, which readers replace, are left out of the statistics; infinity is cut
/// off, NaN stays. Labels and regions of interest are left alone, and no voxel is moved; so, other than in ivadomed, it
/// also works where predictions are taken back (known-problems.md B3.3).
/// @complexity linear: five passes at most, no copy of the image
class HistogramClipping {
 public:
  static constexpr std::string_view name = "HistogramClipping";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = false;
  static constexpr bool moves_voxels = false;

  struct Params {
    double min_percentile = 5;   ///< percent
    double max_percentile = 95;  ///< percent

    static constexpr auto fields() {
      return ivado::fields(field<"min_percentile", &Params::min_percentile>(
                               "percentile to which lower intensities are raised, percent", within(0, 100)),
                           field<"max_percentile", &Params::max_percentile>(
                               "percentile to which higher intensities are cut, percent", within(0, 100)));
    }
  };
  struct Draw {};

  /// @throws Error (usage) if the percentiles are not in order, or outside of [0, 100]
  IVADO_INLINE explicit HistogramClipping(const Params& params) : params_(params) {
    if (!(0 <= params.min_percentile && params.min_percentile <= params.max_percentile && params.max_percentile <= 100))
      throw usage_error(
          "setting up HistogramClipping",
          detail::text("min_percentile is ", params.min_percentile, ", max_percentile is ", params.max_percentile),
          "give two numbers in [0, 100], the lower one as min_percentile");
  }

  [[nodiscard]] Draw draw(Rng& /*rng*/, const Sample& /*sample*/) const { return {}; }

  /// Clips an image in place.
  IVADO_INLINE void apply(Image& image, const Draw& /*draw*/) const {
    if (image.kind != Kind::image || image.empty()) return;
    const std::int64_t channels = image.voxels.extent(0);
    const std::int64_t size = image.voxels.size() / channels;
    for (std::int64_t channel = 0; channel < channels; ++channel) clip(image.voxels.data() + channel * size, size);
  }

 private:
  IVADO_INLINE void clip(float* x, std::int64_t n) const {
    const detail::OrderStatistics statistics(x, n);
    if (statistics.count() == 0) return;
    const auto low = static_cast<float>(statistics.percentile(params_.min_percentile));
    const auto high = static_cast<float>(statistics.percentile(params_.max_percentile));
    for (std::int64_t i = 0; i < n; ++i) {
      const float raised = x[i] < low ? low : x[i];
      x[i] = raised > high ? high : raised;
    }
  }

  Params params_;
};

static_assert(Transform<HistogramClipping>);

}  // namespace ivado
