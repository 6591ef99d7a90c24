// ElasticTransform: a smooth random deformation, one field for the image and its label.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "gaussian.hpp"
#include "grid.hpp"
#include "interpolate.hpp"

namespace ivado {

/// Deforms a sample by a smooth random field, with probability `p`.
///
/// For each axis of extent above 1: noise uniform in [-1, 1), smoothed by a Gaussian of σ voxels (zeros outside, cut at
/// 4σ), times α; α and σ uniform in their ranges. Each voxel takes the value at its index plus the field, by linear
/// interpolation with the image mirrored about its edges (Simard et al., "Best practices for convolutional neural
/// networks", ICDAR 2003, as in ivadomed 2.9.10).
///
/// One field serves all channels and the label; ivadomed redraws it for each of them, so that image and mask are
/// deformed differently (known-problems.md B3.1). A slice is smoothed in its plane; ivadomed filters along the single
/// voxel of the third axis too, with zeros around it, which divides the field by about 10 at σ = 4 (B3.2):
/// `as_ivadomed`. So with the same α the deformation is ten times stronger in 2-D than the original's, and equal in
/// 3-D.
///
/// `invert` samples at the inverse field, found by fixed-point iteration; it is good where the field varies by less
/// than one voxel a voxel, which holds for the usual α ≈ 30, σ ≈ 4 (about 0.2), and for voxels that stayed inside.
class ElasticTransform {
 public:
  static constexpr std::string_view name = "ElasticTransform";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;

  struct Params {
    std::array<double, 2> alpha_range{28, 30};    ///< of the amplitude before smoothing, voxels
    std::array<double, 2> sigma_range{3.5, 4.5};  ///< of the smoothing, voxels
    double p = 0.1;                               ///< probability of a deformation
    bool as_ivadomed = false;                     ///< smooth along an axis of a single voxel too

    static constexpr auto fields() {
      return ivado::fields(
          field<"alpha_range", &Params::alpha_range>(
              "lowest and highest amplitude of the noise before smoothing, voxels", within(0, 100000), required()),
          field<"sigma_range", &Params::sigma_range>("lowest and highest σ of the smoothing, voxels", within(0, 1000),
                                                     required()),
          field<"p", &Params::p>("probability that a sample is deformed", within(0, 1)),
          field<"as_ivadomed", &Params::as_ivadomed>(
              "true: smooth a slice also along its third axis of one voxel, which divides the field by 2.5 σ"));
    }
  };

  /// The field that was drawn; copies share it.
  struct Draw {
    double alpha = 0;  ///< 0 where the sample is not deformed
    double sigma_vox = 0;
    std::shared_ptr<const Array<float>> displacement;  ///< [2, H, W] or [3, H, W, D] in voxels; null: not deformed
  };

  /// @throws Error (usage) if a range runs downwards or is not finite, σ is negative, or `p` is not in [0, 1]
  IVADO_INLINE explicit ElasticTransform(const Params& params) : params_(params) {
    const auto check = [](const char* key, const std::array<double, 2>& range) {
      if (!(range[0] <= range[1] && range[0] >= 0) || !std::isfinite(range[1]))
        throw usage_error("setting up ElasticTransform", detail::text(key, " is [", range[0], ", ", range[1], "]"),
                          "give the lower number first, both >= 0");
    };
    check("alpha_range", params.alpha_range);
    check("sigma_range", params.sigma_range);
    if (!(params.p >= 0 && params.p <= 1))
      throw usage_error("setting up ElasticTransform", detail::text("p is ", params.p), "give a probability in [0, 1]");
  }

  /// Decides whether to deform, and then makes the field.
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "drawing an elastic field");
    detail::check_dimension(image, "ElasticTransform");
    if (!rng.bernoulli(params_.p)) return {};
    Draw draw;
    draw.alpha = rng.uniform(params_.alpha_range[0], params_.alpha_range[1]);
    draw.sigma_vox = rng.uniform(params_.sigma_range[0], params_.sigma_range[1]);
    const Shape spatial = image.spatial();
    Array<float> noise(spatial.prepended(spatial.rank()));
    rng.fill_uniform(noise.data(), noise.size());
    for (float& value : noise) value = 2 * value - 1;
    draw.displacement =
        std::make_shared<const Array<float>>(displacement(std::move(noise), draw.alpha, draw.sigma_vox));
    return draw;
  }

  /// Noise to displacement: smoothed and scaled; 0 along axes of a single voxel.
  /// @param noise  [2, H, W] or [3, H, W, D], uniform in [-1, 1)
  [[nodiscard]] IVADO_INLINE Array<float> displacement(Array<float> noise, double alpha, double sigma_vox) const {
    const Shape spatial = noise.shape().from(1);
    const std::int64_t size = spatial.size();
    const double centre = detail::gaussian_weights(sigma_vox)[0];
    double gain = alpha;
    if (params_.as_ivadomed)
      for (int axis = 0; axis < 3; ++axis)
        if (axis >= spatial.rank() || spatial[axis] == 1) gain *= centre;
    for (int axis = 0; axis < spatial.rank(); ++axis) {
      float* const field = noise.data() + axis * size;
      if (spatial[axis] == 1) {
        for (std::int64_t i = 0; i < size; ++i) field[i] = 0;
        continue;
      }
      detail::gaussian_filter(field, spatial, sigma_vox);
      for (std::int64_t i = 0; i < size; ++i) field[i] *= static_cast<float>(gain);
    }
    return noise;
  }

  /// Deforms in place.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    if (!draw.displacement) return;
    check_field(image, draw, "ElasticTransform");
    image.voxels = detail::sample_displaced(image.voxels, *draw.displacement);
  }

  /// Takes the deformation back, in place, with linear interpolation.
  IVADO_INLINE void invert(Image& image, const Draw& draw) const {
    if (!draw.displacement) return;
    check_field(image, draw, "undoing ElasticTransform");
    image.voxels = detail::sample_displaced(image.voxels, detail::invert_displacement(*draw.displacement));
  }

  /// Takes a position after the transform to that before it, for `Fused`; none where it moves nothing.
  [[nodiscard]] IVADO_INLINE std::optional<detail::DisplacementMap> forward_map(const Shape& /*spatial*/,
                                                                                const Draw& draw) const {
    if (!draw.displacement) return std::nullopt;
    return detail::DisplacementMap(draw.displacement);
  }
  /// Takes a position before the transform to that after it.
  [[nodiscard]] IVADO_INLINE std::optional<detail::DisplacementMap> inverse_map(const Shape& /*spatial*/,
                                                                                const Draw& draw) const {
    if (!draw.displacement) return std::nullopt;
    return detail::DisplacementMap(
        std::make_shared<const Array<float>>(detail::invert_displacement(*draw.displacement)));
  }

 private:
  IVADO_INLINE static void check_field(const Image& image, const Draw& draw, const char* transform) {
    detail::check_grid(image, draw.displacement->shape().from(1), transform);
    if (draw.displacement->extent(0) != image.dimension())
      throw internal_error(transform, detail::text("the field has ", draw.displacement->extent(0), " components"),
                           "it needs one for each spatial axis");
  }

  Params params_;
};

static_assert(InvertibleTransform<ElasticTransform>);

}  // namespace ivado
