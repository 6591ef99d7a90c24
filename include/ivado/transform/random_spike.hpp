// RandomSpike: the stripes that a spark during the acquisition leaves in a magnetic resonance image.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "channel_draws.hpp"
#include "concept.hpp"
#include "fourier.hpp"
#include "range.hpp"

namespace ivado {

/// Which spikes RandomSpike adds to k-space.
struct Spikes {
  std::vector<std::array<double, 3>> positions;  ///< along H, W, D as a fraction of k-space, its centre at 1/2
  double intensity = 0;                          ///< height, relative to the largest modulus of the spectrum

  [[nodiscard]] friend bool operator==(const Spikes&, const Spikes&) = default;
};

/// Adds spikes to k-space, which show as stripes over the whole image (herringbone artefact).
///
/// Each spike adds r · max |spectrum| at a random place of k-space; the result is the real part, so a spike at
/// frequency f adds (r max |spectrum| / N) cos(2π f·x). Their number is uniform in `num_spikes`, r in `intensity`; one
/// r and one maximum, of the image as it comes, for all spikes. Parameters and defaults are those of TorchIO 0.20's
/// RandomSpike (Pérez-García et al. 2021, doi:10.1016/j.cmpb.2021.106236); there the maximum is that of the real part,
/// and each spike may raise it for the next.
///
/// All channels share places and r, or each draws for itself: `per_channel`. Labels and regions of interest are left
/// alone, and no voxel is moved.
/// @complexity a pass over the image for its maximum and one a spike; a Fourier transform only where intensities have
/// both signs
class RandomSpike {
 public:
  static constexpr std::string_view name = "RandomSpike";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;
  static constexpr bool moves_voxels = false;

  struct Params {
    std::array<std::int64_t, 2> num_spikes{1, 1};  ///< lowest and highest number of spikes
    std::array<double, 2> intensity{1, 3};         ///< lowest and highest height
    double p = 1;                                  ///< probability of a change
    bool per_channel = false;                      ///< each channel draws for itself

    static constexpr auto fields() {
      return ivado::fields(
          field<"num_spikes", &Params::num_spikes>("lowest and highest number of spikes in k-space", within(0, 10000)),
          field<"intensity", &Params::intensity>(
              "lowest and highest height of a spike, relative to the maximum of the spectrum; may be negative"),
          field<"p", &Params::p>("probability that a sample is changed", within(0, 1)),
          field<"per_channel", &Params::per_channel>("true: each channel draws for itself"));
    }
  };

  using Draw = ChannelDraws<Spikes>;

  /// @throws Error (usage) if a range runs downwards or is not finite, the number is negative, or `p` is not in [0, 1]
  IVADO_INLINE explicit RandomSpike(const Params& params) : params_(params) {
    detail::check_range("RandomSpike", "num_spikes", static_cast<double>(params.num_spikes[0]),
                        static_cast<double>(params.num_spikes[1]), 0);
    detail::check_range("RandomSpike", "intensity", params.intensity[0], params.intensity[1]);
    detail::check_probability("RandomSpike", params.p);
  }

  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    return detail::draw_channels<Spikes>(rng, sample, params_.p, params_.per_channel, [&] {
      Spikes spikes;
      const std::int64_t choices = params_.num_spikes[1] - params_.num_spikes[0] + 1;
      spikes.positions.resize(
          static_cast<std::size_t>(params_.num_spikes[0] + rng.below(static_cast<std::uint32_t>(choices))));
      spikes.intensity = rng.uniform(params_.intensity[0], params_.intensity[1]);
      for (auto& position : spikes.positions)
        for (double& place : position) place = rng.uniform();
      return spikes;
    });
  }

  /// Adds the spikes' stripes to an image in place.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    const Shape spatial = image.spatial();
    detail::for_each_draw(image, draw, "RandomSpike", [&](float* x, std::int64_t channels, const Spikes& spikes) {
      if (spikes.positions.empty() || spikes.intensity == 0) return;
      for (std::int64_t channel = 0; channel < channels; ++channel) {
        float* const voxels = x + channel * spatial.size();
        const double height =
            spikes.intensity * detail::spectrum_peak(voxels, spatial) / static_cast<double>(spatial.size());
        for (const auto& position : spikes.positions) add_stripes(voxels, spatial, position, height);
      }
    });
  }

 private:
  /// cos and sin of 2π f i / n for each index i of an axis, f being the frequency at a fraction of k-space.
  struct Waves {
    std::vector<float> cosine;
    std::vector<float> sine;

    IVADO_INLINE Waves(std::int64_t n, double position) : cosine(static_cast<std::size_t>(n)), sine(cosine.size()) {
      const std::int64_t frequency = static_cast<std::int64_t>(std::floor(position * static_cast<double>(n))) - n / 2;
      for (std::int64_t i = 0; i < n; ++i) {
        const double angle = 2 * std::numbers::pi * static_cast<double>(frequency * i % n) / static_cast<double>(n);
        cosine[static_cast<std::size_t>(i)] = static_cast<float>(std::cos(angle));
        sine[static_cast<std::size_t>(i)] = static_cast<float>(std::sin(angle));
      }
    }
  };

  IVADO_INLINE static void add_stripes(float* x, const Shape& spatial, const std::array<double, 3>& position,
                                       double height) {
    const bool is_slice = spatial.rank() == 2;
    const Waves h(spatial[0], position[0]);
    const Waves w(is_slice ? 1 : spatial[1], is_slice ? 0.5 : position[1]);
    const Waves d(spatial[spatial.rank() - 1], position[is_slice ? 1 : 2]);
    const auto scale = static_cast<float>(height);
    const std::size_t row = d.cosine.size();
    for (std::size_t i = 0; i < h.cosine.size(); ++i)
      for (std::size_t j = 0; j < w.cosine.size(); ++j, x += row) {
        const float cosine = scale * (h.cosine[i] * w.cosine[j] - h.sine[i] * w.sine[j]);
        const float sine = scale * (h.sine[i] * w.cosine[j] + h.cosine[i] * w.sine[j]);
        const float* const c = d.cosine.data();
        const float* const s = d.sine.data();
        for (std::size_t k = 0; k < row; ++k) x[k] += cosine * c[k] - sine * s[k];
      }
  }

  Params params_;
};

static_assert(Transform<RandomSpike>);

}  // namespace ivado
