// RandomGhosting: the repeated, faint copies of an image that periodic movement leaves in magnetic resonance.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "channel_draws.hpp"
#include "concept.hpp"
#include "fourier.hpp"
#include "range.hpp"

namespace ivado {

/// Which ghosts RandomGhosting makes.
struct Ghosts {
  std::int64_t number = 0;  ///< one of so many planes of k-space is weakened; 0: none
  int axis = 0;             ///< the phase-encoding axis: H (0), W (1) or D (2)
  double intensity = 0;     ///< share that a weakened plane loses

  [[nodiscard]] friend bool operator==(const Ghosts&, const Ghosts&) = default;
};

/// Adds ghosts along one axis: copies of the image, shifted by a fraction of the field of view, as breathing and
/// pulsation cause them.
///
/// Of the planes of k-space across the axis, counted from the most negative frequency, every n-th is multiplied with 1
/// - s; n is uniform in `num_ghosts`, s in `intensity`, the axis one of `axes`. Then the middle of k-space is restored:
/// a share `restore` of all planes, the central one in any case, so that the mean of the image stays. The result is the
/// real part. Parameters and defaults are those of TorchIO 0.20's RandomGhosting (Pérez-García et al. 2021,
/// doi:10.1016/j.cmpb.2021.106236); a plane at the edge of the restored ones may differ.
///
/// All channels share one draw, or each draws for itself: `per_channel`. The axes of a single voxel, and the third one
/// in 2-D, are never drawn; if none is left, nothing happens. Labels and regions of interest are left alone, and no
/// voxel is moved.
/// @complexity two Fourier transforms along the one axis, in place
class RandomGhosting {
 public:
  static constexpr std::string_view name = "RandomGhosting";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;
  static constexpr bool moves_voxels = false;

  struct Params {
    std::array<std::int64_t, 2> num_ghosts{4, 10};  ///< lowest and highest number of ghosts
    std::vector<std::int64_t> axes{0, 1, 2};        ///< axes that may be drawn: H, W, D
    std::array<double, 2> intensity{0.5, 1};        ///< lowest and highest strength
    double restore = 0.02;                          ///< share of k-space, about its centre, that is kept
    double p = 1;                                   ///< probability of a change
    bool per_channel = false;                       ///< each channel draws for itself

    static constexpr auto fields() {
      return ivado::fields(
          field<"num_ghosts", &Params::num_ghosts>("lowest and highest number of ghosts; 0: none", within(0, 1000000)),
          field<"axes", &Params::axes>("axes along which there may be ghosts, one is drawn: 0 for H, 1 for W, 2 for D",
                                       within(0, 2)),
          field<"intensity", &Params::intensity>(
              "lowest and highest strength: the share by which planes of k-space are weakened", at_least(0)),
          field<"restore", &Params::restore>("share of the planes of k-space, about its centre, that is kept",
                                             within(0, 1)),
          field<"p", &Params::p>("probability that a sample is changed", within(0, 1)),
          field<"per_channel", &Params::per_channel>("true: each channel draws for itself"));
    }
  };

  using Draw = ChannelDraws<Ghosts>;

  /// @throws Error (usage) if a range runs downwards, is negative or not finite, there is no axis or one that does not
  /// exist, or `restore` or `p` is not in [0, 1]
  IVADO_INLINE explicit RandomGhosting(const Params& params) : params_(params) {
    detail::check_range("RandomGhosting", "num_ghosts", static_cast<double>(params.num_ghosts[0]),
                        static_cast<double>(params.num_ghosts[1]), 0);
    detail::check_range("RandomGhosting", "intensity", params.intensity[0], params.intensity[1], 0);
    detail::check_probability("RandomGhosting", params.p);
    if (!(params.restore >= 0 && params.restore <= 1))
      throw usage_error("setting up RandomGhosting", detail::text("restore is ", params.restore),
                        "give a share in [0, 1]");
    if (params.axes.empty() ||
        !std::all_of(params.axes.begin(), params.axes.end(), [](std::int64_t axis) { return axis >= 0 && axis <= 2; }))
      throw usage_error("setting up RandomGhosting", "axes is " + ivado::to_json(params.axes).dump(),
                        "give at least one of 0 (H), 1 (W), 2 (D)");
  }

  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "drawing ghosts");
    detail::check_dimension(image, "RandomGhosting");
    const auto extents = detail::extents3(image.spatial());
    std::vector<int> axes;
    for (const std::int64_t axis : params_.axes)
      if (extents[static_cast<std::size_t>(axis)] > 1) axes.push_back(static_cast<int>(axis));
    if (axes.empty()) return {};
    return detail::draw_channels<Ghosts>(rng, sample, params_.p, params_.per_channel, [&] {
      Ghosts ghosts;
      const std::int64_t choices = params_.num_ghosts[1] - params_.num_ghosts[0] + 1;
      ghosts.number = params_.num_ghosts[0] + rng.below(static_cast<std::uint32_t>(choices));
      ghosts.axis = axes[rng.below(static_cast<std::uint32_t>(axes.size()))];
      ghosts.intensity = rng.uniform(params_.intensity[0], params_.intensity[1]);
      return ghosts;
    });
  }

  /// Adds the ghosts to an image in place.
  /// @throws Error (internal) if the draw has an axis that the image does not have
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    const Shape spatial = image.spatial();
    detail::for_each_draw(image, draw, "RandomGhosting", [&](float* x, std::int64_t channels, const Ghosts& ghosts) {
      if (ghosts.number == 0 || ghosts.intensity == 0) return;
      if (ghosts.axis < 0 || ghosts.axis >= spatial.rank())
        throw internal_error("RandomGhosting on an image",
                             detail::text("the draw is for axis ", ghosts.axis, " of ", spatial.rank()));
      const std::vector<float> weights = plane_weights(spatial[ghosts.axis], ghosts);
      detail::filter_spectra({x}, {weights}, detail::LineLayout(spatial.prepended(channels), ghosts.axis + 1), x);
    });
  }

 private:
  [[nodiscard]] IVADO_INLINE std::vector<float> plane_weights(std::int64_t n, const Ghosts& ghosts) const {
    const auto kept = std::max<std::int64_t>(std::llround(params_.restore * static_cast<double>(n)), 1);
    const std::int64_t first_kept = n / 2 - kept / 2;
    return detail::even_weights(n, [&](std::int64_t plane) {
      const bool is_kept = plane % ghosts.number != 0 || (plane >= first_kept && plane < first_kept + kept);
      return is_kept ? 1.0F : static_cast<float>(1 - ghosts.intensity);
    });
  }

  Params params_;
};

static_assert(Transform<RandomGhosting>);

}  // namespace ivado
