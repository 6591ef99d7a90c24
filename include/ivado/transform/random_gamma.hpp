// RandomGamma: a random power of the intensities.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "channel_draws.hpp"
#include "concept.hpp"
#include "range.hpp"

namespace ivado {

/// sign(x) |x|^γ with γ = exp(U(a, b)), with probability `p`: changes the contrast, keeps the order of intensities.
///
/// What overflows becomes the largest finite float of its sign, NaN becomes 0 (as in ivadomed 2.9.10). 0, 1 and -1 stay
/// as they are, so the transform is meant for intensities of about that size.
///
/// All channels share one γ. ivadomed decides and draws for each of them anew (known-problems.md B3.5): `per_channel`.
/// Labels and regions of interest are left alone, and no voxel is moved.
class RandomGamma {
 public:
  static constexpr std::string_view name = "RandomGamma";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;
  static constexpr bool moves_voxels = false;

  struct Params {
    std::array<double, 2> log_gamma_range{-0.3, 0.3};  ///< of ln γ
    double p = 0.5;                                    ///< probability of a change
    bool per_channel = false;                          ///< each channel draws for itself

    static constexpr auto fields() {
      return ivado::fields(
          field<"log_gamma_range", &Params::log_gamma_range>("lowest and highest natural logarithm of the exponent",
                                                             within(-80, 80), required()),
          field<"p", &Params::p>("probability that a sample is changed", within(0, 1)),
          field<"per_channel", &Params::per_channel>("true: each channel draws for itself, as in ivadomed"));
    }
  };

  /// The exponents γ.
  using Draw = ChannelDraws<double>;

  /// @throws Error (usage) if the range runs downwards or is not finite, or `p` is not in [0, 1]
  IVADO_INLINE explicit RandomGamma(const Params& params) : params_(params) {
    detail::check_range("RandomGamma", "log_gamma_range", params.log_gamma_range[0], params.log_gamma_range[1]);
    detail::check_probability("RandomGamma", params.p);
  }

  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    return detail::draw_channels<double>(rng, sample, params_.p, params_.per_channel, [&] {
      return std::exp(rng.uniform(params_.log_gamma_range[0], params_.log_gamma_range[1]));
    });
  }

  /// Changes an image in place.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    detail::for_each_draw(image, draw, "RandomGamma", [&](float* x, std::int64_t channels, double gamma) {
      const std::int64_t n = image.spatial().size() * channels;
      const auto exponent = static_cast<float>(gamma);
      constexpr float largest = std::numeric_limits<float>::max();
      for (std::int64_t i = 0; i < n; ++i) {
        const float power = std::pow(std::abs(x[i]), exponent);
        // A comparison with NaN is false.
        x[i] = power <= largest ? std::copysign(power, x[i]) : power > largest ? std::copysign(largest, x[i]) : 0.0F;
      }
    });
  }

 private:
  Params params_;
};

static_assert(Transform<RandomGamma>);

}  // namespace ivado
