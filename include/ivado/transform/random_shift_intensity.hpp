// RandomShiftIntensity: a random constant added to an image.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "channel_draws.hpp"
#include "concept.hpp"
#include "range.hpp"

namespace ivado {

/// Adds a random constant to an image with probability `prob`, uniform in `shift_range`, in the intensities that the
/// image has at this place of the chain.
///
/// All channels share one constant. ivadomed 2.9.10 decides and draws for each of them anew (known-problems.md B3.5):
/// `per_channel`. Labels and regions of interest are left alone whatever `applied_to` says. `invert` takes the constant
/// off an image again; a prediction, which is a label, it leaves as it is.
class RandomShiftIntensity {
 public:
  static constexpr std::string_view name = "RandomShiftIntensity";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;

  struct Params {
    std::array<double, 2> shift_range{-0.1, 0.1};  ///< of the constant, intensity
    double prob = 0.1;                             ///< probability of a shift
    bool per_channel = false;                      ///< each channel draws for itself

    static constexpr auto fields() {
      return ivado::fields(
          field<"shift_range", &Params::shift_range>(
              "lowest and highest number that is added, in the image's intensities", required()),
          field<"prob", &Params::prob>("probability that a sample is shifted", within(0, 1)),
          field<"per_channel", &Params::per_channel>("true: each channel draws for itself, as in ivadomed"));
    }
  };

  /// The constants.
  using Draw = ChannelDraws<double>;

  /// @throws Error (usage) if the range runs downwards or is not finite, or `prob` is not in [0, 1]
  IVADO_INLINE explicit RandomShiftIntensity(const Params& params) : params_(params) {
    detail::check_range("RandomShiftIntensity", "shift_range", params.shift_range[0], params.shift_range[1]);
    detail::check_probability("RandomShiftIntensity", params.prob);
  }

  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    return detail::draw_channels<double>(rng, sample, params_.prob, params_.per_channel,
                                         [&] { return rng.uniform(params_.shift_range[0], params_.shift_range[1]); });
  }

  /// Shifts an image in place.
  void apply(Image& image, const Draw& draw) const { add(image, draw, 1, "RandomShiftIntensity"); }

  /// Shifts an image back, in place; leaves a prediction alone.
  void invert(Image& image, const Draw& draw) const { add(image, draw, -1, "undoing RandomShiftIntensity"); }

 private:
  IVADO_INLINE static void add(Image& image, const Draw& draw, double sign, const char* doing) {
    detail::for_each_draw(image, draw, doing, [&](float* x, std::int64_t channels, double offset) {
      const std::int64_t n = image.spatial().size() * channels;
      for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(static_cast<double>(x[i]) + sign * offset);
    });
  }

  Params params_;
};

static_assert(InvertibleTransform<RandomShiftIntensity>);

}  // namespace ivado
