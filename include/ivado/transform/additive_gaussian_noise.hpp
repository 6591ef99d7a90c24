// AdditiveGaussianNoise: independent normal noise on each voxel of an image.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"

namespace ivado {

/// Adds an independent normal number to every voxel of every channel of an image; every time, as in ivadomed 2.9.10.
///
/// `mean` and `std` are in the intensities that the image has at this place of the chain: behind NormalizeInstance the
/// default of 0.01 is a hundredth of the image's standard deviation. Labels and regions of interest are left alone
/// whatever `applied_to` says; ivadomed adds noise to them too. It moves no voxel, so its inverse is the identity: a
/// test set may have it (ivadomed drops it there), and the noise on a test image stays on it.
class AdditiveGaussianNoise {
 public:
  static constexpr std::string_view name = "AdditiveGaussianNoise";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;

  struct Params {
    double mean = 0;    ///< of the noise, intensity
    double std = 0.01;  ///< standard deviation of the noise, intensity

    static constexpr auto fields() {
      return ivado::fields(
          field<"mean", &Params::mean>("mean of the noise, in the image's intensities"),
          field<"std", &Params::std>("standard deviation of the noise, in the image's intensities", at_least(0)));
    }
  };

  /// The seed of the noise, which is made voxel by voxel while it is added.
  struct Draw {
    std::uint64_t seed = 0;
  };

  /// @throws Error (usage) if `mean` is not finite, or `std` is negative or not finite
  IVADO_INLINE explicit AdditiveGaussianNoise(const Params& params) : params_(params) {
    if (!std::isfinite(params.mean) || !std::isfinite(params.std) || params.std < 0)
      throw usage_error("setting up AdditiveGaussianNoise",
                        detail::text("mean is ", params.mean, ", std is ", params.std),
                        "give a finite mean and a standard deviation >= 0");
  }

  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& /*sample*/) const {
    const std::uint64_t high = rng.bits();
    return {high << 32 | rng.bits()};
  }

  /// Adds the noise in place; leaves labels and regions of interest alone.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    if (image.kind != Kind::image) return;
    Rng rng(RandomKey{draw.seed});
    for (float& value : image.voxels)
      value = static_cast<float>(static_cast<double>(value) + rng.normal(params_.mean, params_.std));
  }

  /// Moves no voxel: the identity.
  void invert(Image& /*image*/, const Draw& /*draw*/) const {}

 private:
  Params params_;
};

static_assert(InvertibleTransform<AdditiveGaussianNoise>);

}  // namespace ivado
