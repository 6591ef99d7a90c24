// NormalizeInstance: mean 0 and standard deviation 1 for each channel of a sample.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"

namespace ivado {

/// (x - mean) / standard deviation, for each channel of what the model sees: the slice, or the sub-volume.
///
/// Where the population standard deviation is below 1e-5 only the mean is subtracted, so a constant image gives zeros
/// (in ivadomed 2.8.0 it gave NaN). Sums are in double. Readers replace NaN and infinity; should one come here all the
/// same, it is left out of the statistics and becomes 0, the mean.
///
/// Labels and regions of interest are left alone whatever `applied_to` says: ivadomed, whose default `applied_to` holds
/// all three, would normalise them as well, and then threshold the result. It moves no voxel, so its inverse is the
/// identity.
class NormalizeInstance {
 public:
  static constexpr std::string_view name = "NormalizeInstance";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = false;

  struct Params {
    bool unbiased = false;  ///< divide the squares by n - 1 instead of n

    static constexpr auto fields() {
      return ivado::fields(
          field<"unbiased", &Params::unbiased>("true: the standard deviation divides by n - 1, as ivadomed's transform "
                                               "does when it is handed a tensor; its own "
                                               "pipeline hands it arrays, where it divides by n"));
    }
  };
  struct Draw {};

  explicit NormalizeInstance(const Params& params) : params_(params) {}

  [[nodiscard]] Draw draw(Rng& /*rng*/, const Sample& /*sample*/) const { return {}; }

  /// Normalises an image in place; leaves labels and regions of interest alone.
  IVADO_INLINE void apply(Image& image, const Draw& /*draw*/) const {
    if (image.kind != Kind::image || image.empty()) return;
    const std::int64_t channels = image.voxels.extent(0);
    const std::int64_t size = image.voxels.size() / channels;
    for (std::int64_t channel = 0; channel < channels; ++channel) normalize(image.voxels.data() + channel * size, size);
  }

  /// Moves no voxel: the identity.
  void invert(Image& /*image*/, const Draw& /*draw*/) const {}

 private:
  static constexpr std::int64_t lanes = 8;

  /// The sum of function(x) in double, in eight interleaved parts: fixed order, and the compiler may use its vector
  /// unit.
  template <class Function>
  static double sum(const float* x, std::int64_t n, const Function& function) {
    std::array<double, lanes> parts{};
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
      for (std::int64_t k = 0; k < lanes; ++k)
        parts[static_cast<std::size_t>(k)] += function(static_cast<double>(x[i + k]));
    for (; i < n; ++i) parts[0] += function(static_cast<double>(x[i]));
    double total = 0;
    for (const double part : parts) total += part;
    return total;
  }

  IVADO_INLINE void normalize(float* x, std::int64_t n) const {
    auto count = static_cast<double>(n);
    double total = sum(x, n, [](double value) { return value; });
    const bool is_finite =
        std::isfinite(total);  // a sum of floats cannot overflow a double: only NaN or infinity spoil it
    if (!is_finite) {
      count = sum(x, n, [](double value) { return std::isfinite(value) ? 1.0 : 0.0; });
      total = sum(x, n, [](double value) { return std::isfinite(value) ? value : 0.0; });
    }
    const double mean = count > 0 ? total / count : 0;
    const double squares =
        is_finite
            ? sum(x, n, [mean](double value) { return (value - mean) * (value - mean); })
            : sum(x, n, [mean](double value) { return std::isfinite(value) ? (value - mean) * (value - mean) : 0.0; });
    const double divisor = params_.unbiased ? count - 1 : count;
    const double deviation = divisor > 0 ? std::sqrt(squares / divisor) : 0;
    const double scale = deviation < 1e-5 ? 1 : 1 / deviation;
    if (is_finite) {
      for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>((static_cast<double>(x[i]) - mean) * scale);
    } else {
      for (std::int64_t i = 0; i < n; ++i)
        x[i] = std::isfinite(x[i]) ? static_cast<float>((static_cast<double>(x[i]) - mean) * scale) : 0.0F;
    }
  }

  Params params_;
};

static_assert(InvertibleTransform<NormalizeInstance>);

}  // namespace ivado
