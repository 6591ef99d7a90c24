// RandomBlur: a Gaussian of random width over the image.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "channel_draws.hpp"
#include "concept.hpp"
#include "gaussian.hpp"
#include "range.hpp"

namespace ivado {

/// Smooths an image with a Gaussian of σ = U(a, b) voxels along each spatial axis, with probability `p`.
///
/// The kernel is cut at 4σ, the image mirrored about its edges (scipy.ndimage.gaussian_filter, mode "reflect", as in
/// ivadomed 2.9.10). σ is in voxels, whatever the spacing: on thick slices it reaches further in mm along the third
/// axis.
///
/// All channels share one σ. ivadomed decides and draws for each of them anew (known-problems.md B3.5): `per_channel`.
/// Labels and regions of interest are left alone, and no voxel is moved.
/// @complexity 8σ operations a voxel and axis, in place
class RandomBlur {
 public:
  static constexpr std::string_view name = "RandomBlur";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;
  static constexpr bool moves_voxels = false;

  struct Params {
    std::array<double, 2> sigma_range{0.5, 1.5};  ///< of σ, voxels
    double p = 0.5;                               ///< probability of a change
    bool per_channel = false;                     ///< each channel draws for itself

    static constexpr auto fields() {
      return ivado::fields(
          field<"sigma_range", &Params::sigma_range>("lowest and highest σ of the Gaussian, voxels", within(0, 1000),
                                                     required()),
          field<"p", &Params::p>("probability that a sample is smoothed", within(0, 1)),
          field<"per_channel", &Params::per_channel>("true: each channel draws for itself, as in ivadomed"));
    }
  };

  /// The σ in voxels.
  using Draw = ChannelDraws<double>;

  /// @throws Error (usage) if the range runs downwards, is negative or not finite, or `p` is not in [0, 1]
  IVADO_INLINE explicit RandomBlur(const Params& params) : params_(params) {
    detail::check_range("RandomBlur", "sigma_range", params.sigma_range[0], params.sigma_range[1], 0);
    detail::check_probability("RandomBlur", params.p);
  }

  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    return detail::draw_channels<double>(rng, sample, params_.p, params_.per_channel,
                                         [&] { return rng.uniform(params_.sigma_range[0], params_.sigma_range[1]); });
  }

  /// Smooths an image in place.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    const Shape spatial = image.spatial();
    detail::for_each_draw(image, draw, "RandomBlur", [&](float* x, std::int64_t channels, double sigma_vox) {
      for (std::int64_t channel = 0; channel < channels; ++channel)
        detail::gaussian_filter(x + channel * spatial.size(), spatial, sigma_vox, detail::Border::mirror);
    });
  }

 private:
  Params params_;
};

static_assert(Transform<RandomBlur>);

}  // namespace ivado
