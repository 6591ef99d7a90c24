// RandomMotion: the blur and the ripples of a patient who moved while a magnetic resonance image was taken.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "channel_draws.hpp"
#include "concept.hpp"
#include "fourier.hpp"
#include "interpolate.hpp"
#include "range.hpp"

namespace ivado {

/// A new position of the head, and when it was taken.
struct Movement {
  double time = 0;                         ///< as a fraction of the acquisition
  std::array<double, 3> degrees{};         ///< rotation about the axes H, W, D through the centre of the grid
  std::array<double, 3> translation_mm{};  ///< along H, W, D

  [[nodiscard]] friend bool operator==(const Movement&, const Movement&) = default;
};

/// Simulates movements between rest positions during the acquisition.
///
/// k-space is filled plane by plane along the last axis of the grid. At `num_transforms` times, evenly spaced up to 30
/// % of their distance, the head takes a new position: angles about the axes uniform in `degrees`, shifts uniform in
/// `translation`. Each section of k-space comes from the image in the position of its time, the section with the centre
/// from the image as it is; the result is the real part (Shaw et al., "MRI k-space motion artefact augmentation", MIDL
/// 2019, proceedings.mlr.press/v102/shaw19a). Parameters and defaults are those of TorchIO 0.20's RandomMotion.
///
/// Rotations are D after H after W, in mm, about the centre of the grid (TorchIO leaves its centre out: about the
/// origin of the world). A moved image is sampled linearly, the least intensity of its channel outside. In 2-D, and for
/// a volume of one slice, movements stay in the plane, and k-space is filled along W.
///
/// All channels share the movements, or each draws for itself: `per_channel`. Labels and regions of interest are left
/// alone: the central section, which holds most of the contrast, does not move, so no voxel is moved.
/// @complexity for each movement an interpolation of the image and a Fourier transform along one axis
class RandomMotion {
 public:
  static constexpr std::string_view name = "RandomMotion";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;
  static constexpr bool moves_voxels = false;

  struct Params {
    SymmetricRange degrees{10};       ///< of the rotation about each axis
    SymmetricRange translation{10};   ///< along each axis, mm
    std::int64_t num_transforms = 2;  ///< number of movements
    double p = 1;                     ///< probability of a change
    bool per_channel = false;         ///< each channel draws for itself

    static constexpr auto fields() {
      return ivado::fields(field<"degrees", &Params::degrees>(
                               "range of the rotation about each axis, degrees: d for [-d, d], or [low, high]"),
                           field<"translation", &Params::translation>(
                               "range of the shift along each axis, mm: t for [-t, t], or [low, high]"),
                           field<"num_transforms", &Params::num_transforms>(
                               "number of movements during the acquisition", within(1, 1000)),
                           field<"p", &Params::p>("probability that a sample is changed", within(0, 1)),
                           field<"per_channel", &Params::per_channel>("true: each channel draws for itself"));
    }
  };

  /// The movements, in the order of time.
  using Draw = ChannelDraws<std::vector<Movement>>;

  /// @throws Error (usage) if a range runs downwards or is not finite, there is no movement, or `p` is not in [0, 1]
  IVADO_INLINE explicit RandomMotion(const Params& params) : params_(params) {
    detail::check_range("RandomMotion", "degrees", params.degrees.low, params.degrees.high);
    detail::check_range("RandomMotion", "translation", params.translation.low, params.translation.high);
    detail::check_probability("RandomMotion", params.p);
    if (params.num_transforms < 1 || params.num_transforms > 1000)
      throw usage_error("setting up RandomMotion", detail::text("num_transforms is ", params.num_transforms),
                        "give a number of movements from 1 to 1000");
  }

  /// Draws seven numbers a movement, also those that have no effect in 2-D.
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    return detail::draw_channels<std::vector<Movement>>(rng, sample, params_.p, params_.per_channel, [&] {
      std::vector<Movement> movements(static_cast<std::size_t>(params_.num_transforms));
      const double step = 1 / static_cast<double>(params_.num_transforms + 1);
      double even = 0;
      for (Movement& movement : movements) {
        even += step;
        movement.time = even + rng.uniform(-0.3 * step, 0.3 * step);
        for (double& angle : movement.degrees) angle = rng.uniform(params_.degrees.low, params_.degrees.high);
        for (double& shift : movement.translation_mm)
          shift = rng.uniform(params_.translation.low, params_.translation.high);
      }
      return movements;
    });
  }

  /// Mixes the spectra of the moved images into that of the image, in place.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    detail::for_each_draw(image, draw, "RandomMotion",
                          [&](float* x, std::int64_t channels, const std::vector<Movement>& movements) {
                            if (!movements.empty()) mix(x, channels, image.spatial(), image.spacing_mm, movements);
                          });
  }

 private:
  IVADO_INLINE static void mix(float* x, std::int64_t channels, const Shape& spatial,
                               const std::array<double, 3>& spacing_mm, const std::vector<Movement>& movements) {
    int axis = spatial.rank() - 1;
    while (axis > 0 && spatial[axis] == 1) --axis;
    const std::int64_t n = spatial[axis];

    // Above the least intensity, so that what comes in from outside is 0. A constant is in the central section alone.
    const std::int64_t size = spatial.size();
    const Shape shape = spatial.prepended(channels);
    Array<float> still(shape);
    std::vector<float> least(static_cast<std::size_t>(channels));
    for (std::int64_t channel = 0; channel < channels; ++channel) {
      const float* const from = x + channel * size;
      float* const to = still.data() + channel * size;
      const float low = *std::min_element(from, from + size);
      for (std::int64_t i = 0; i < size; ++i) to[i] = from[i] - low;
      least[static_cast<std::size_t>(channel)] = low;
    }

    // Sections of k-space by their ends; the one with the centre shows the still image, the others the moved ones.
    std::vector<Array<float>> moved;
    std::vector<const float*> images;
    std::vector<std::vector<float>> weights;
    std::size_t next = 0;
    for (std::size_t section = 0, begin = 0; section <= movements.size(); ++section) {
      const double time = section < movements.size() ? std::clamp(movements[section].time, 0.0, 1.0) : 1.0;
      const std::size_t end = std::max(begin, static_cast<std::size_t>(time * static_cast<double>(n)));
      const auto first = static_cast<std::int64_t>(std::exchange(begin, end));
      const auto last = static_cast<std::int64_t>(end);
      const bool is_central = first <= n / 2 && n / 2 < last;
      const Movement* const movement = is_central ? nullptr : &movements[std::min(next, movements.size() - 1)];
      if (!is_central) ++next;
      if (first == last) continue;
      if (movement != nullptr) moved.push_back(detail::sample_affine(still, map(spatial, spacing_mm, *movement)));
      images.push_back(movement != nullptr ? moved.back().data() : still.data());
      weights.push_back(
          detail::even_weights(n, [&](std::int64_t plane) { return plane >= first && plane < last ? 1.0F : 0.0F; }));
    }
    detail::filter_spectra(images, weights, detail::LineLayout(shape, axis + 1), x);
    for (std::int64_t channel = 0; channel < channels; ++channel)
      for (std::int64_t i = 0; i < size; ++i) x[channel * size + i] += least[static_cast<std::size_t>(channel)];
  }

  /// o ↦ S⁻¹ (R S (o - k) + t) + k, with the spacing S in mm. Nothing moves along an axis of a single voxel, nor turns
  /// it out of its plane.
  [[nodiscard]] IVADO_INLINE static detail::AffineMap map(const Shape& spatial, const std::array<double, 3>& spacing_mm,
                                                          const Movement& movement) {
    const auto extents = detail::extents3(spatial);
    const auto turn = [&](std::size_t about) {
      const bool is_free = extents[(about + 1) % 3] > 1 && extents[(about + 2) % 3] > 1;
      return is_free ? movement.degrees[about] * std::numbers::pi / 180 : 0.0;
    };
    const double ch = std::cos(turn(0)), sh = std::sin(turn(0));
    const double cw = std::cos(turn(1)), sw = std::sin(turn(1));
    const double cd = std::cos(turn(2)), sd = std::sin(turn(2));
    const std::array<std::array<double, 3>, 3> rotation{{{cd * cw - sd * sh * sw, -sd * ch, cd * sw + sd * sh * cw},
                                                         {sd * cw + cd * sh * sw, cd * ch, sd * sw - cd * sh * cw},
                                                         {-ch * sw, sh, ch * cw}}};
    detail::AffineMap result;
    for (std::size_t i = 0; i < 3; ++i) {
      result.offset[i] = 0.5 * static_cast<double>(extents[i] - 1);
      if (extents[i] > 1) result.offset[i] += movement.translation_mm[i] / spacing_mm[i];
      for (std::size_t j = 0; j < 3; ++j) {
        result.matrix[i][j] = rotation[i][j] * spacing_mm[j] / spacing_mm[i];
        result.offset[i] -= result.matrix[i][j] * 0.5 * static_cast<double>(extents[j] - 1);
      }
    }
    return result;
  }

  Params params_;
};

static_assert(Transform<RandomMotion>);

}  // namespace ivado
