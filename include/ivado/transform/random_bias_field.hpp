// RandomBiasField: the slow change of intensity over the field of view that a receiver coil causes.
#pragma once

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
#include "range.hpp"

namespace ivado {

/// Multiplies an image with the exponential of a random polynomial of the position, with probability `p`.
///
///   field = exp(Σ c_ijk X^i Y^j Z^k),  i + j + k ≤ order,  c_ijk ~ U(coefficients)
///
/// X, Y, Z go along H, W, D: the distance of a voxel from the centre of the grid, over its largest value, so from -1 to
/// 1; 0 along the third axis of a slice. The model is that of Van Leemput et al., "Automated model-based bias field
/// correction of MR images of the brain" (IEEE TMI 18, 1999), in the form of TorchIO 0.20.4, which ivadomed calls.
///
/// All channels share one field, drawn with probability `p`. ivadomed decides twice, so that p² of the images are
/// changed, and for each channel anew (known-problems.md B3.5): `per_channel`, and the square of its `p`.
/// Labels and regions of interest are left alone, and no voxel is moved.
/// @complexity one exponential a voxel, for all channels that share the field
class RandomBiasField {
 public:
  static constexpr std::string_view name = "RandomBiasField";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;
  static constexpr bool moves_voxels = false;

  struct Params {
    SymmetricRange coefficients{0.5};  ///< of the polynomial
    std::int64_t order = 3;            ///< of the polynomial
    double p = 0.5;                    ///< probability of a change
    bool per_channel = false;          ///< each channel draws for itself

    static constexpr auto fields() {
      return ivado::fields(
          field<"coefficients", &Params::coefficients>(
              "range of the coefficients of the polynomial: n for [-n, n], or [low, high]"),
          field<"order", &Params::order>("order of the polynomial", within(0, 16)),
          field<"p", &Params::p>("probability that a sample is changed", within(0, 1)),
          field<"per_channel", &Params::per_channel>("true: each channel draws for itself, as in ivadomed"));
    }
  };

  /// The coefficients, k running fastest, then j, then i.
  using Draw = ChannelDraws<std::vector<double>>;

  /// @throws Error (usage) if the range runs downwards or is not finite, the order is not in 0 … 16, or `p` not in
  /// [0, 1]
  IVADO_INLINE explicit RandomBiasField(const Params& params) : params_(params) {
    detail::check_range("RandomBiasField", "coefficients", params.coefficients.low, params.coefficients.high);
    detail::check_probability("RandomBiasField", params.p);
    if (params.order < 0 || params.order > 16)
      throw usage_error("setting up RandomBiasField", detail::text("order is ", params.order),
                        "give a whole number from 0 to 16");
  }

  /// Draws all coefficients, in 2-D as well, where those of Z have no effect.
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    return detail::draw_channels<std::vector<double>>(rng, sample, params_.p, params_.per_channel, [&] {
      std::vector<double> coefficients(count());
      for (double& c : coefficients) c = rng.uniform(params_.coefficients.low, params_.coefficients.high);
      return coefficients;
    });
  }

  /// Multiplies an image with the field in place.
  /// @throws Error (internal) if the draw does not have the number of coefficients that the order needs
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    detail::for_each_draw(
        image, draw, "RandomBiasField", [&](float* x, std::int64_t channels, const std::vector<double>& coefficients) {
          if (coefficients.size() != count())
            throw internal_error("RandomBiasField on an image",
                                 detail::text("the draw has ", coefficients.size(), " coefficients, a polynomial of ",
                                              "order ", params_.order, " needs ", count()));
          multiply(x, channels, image.spatial(), coefficients);
        });
  }

 private:
  /// (order + 1) (order + 2) (order + 3) / 6
  [[nodiscard]] IVADO_INLINE std::size_t count() const {
    const auto n = static_cast<std::size_t>(params_.order);
    return (n + 1) * (n + 2) * (n + 3) / 6;
  }

  /// The distance from the centre over its largest value, for each index of an axis.
  [[nodiscard]] IVADO_INLINE static std::vector<double> positions(std::int64_t extent) {
    std::vector<double> out(static_cast<std::size_t>(extent));
    const double largest = 0.5 * static_cast<double>(extent - 1);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = extent > 1 ? (static_cast<double>(i) - largest) / largest : 0.0;
    return out;
  }

  /// One row of the field at a time: the polynomial is summed over the outer axes, which leaves one of the last axis.
  IVADO_INLINE void multiply(float* x, std::int64_t channels, const Shape& spatial,
                             const std::vector<double>& coefficients) const {
    const auto extents = detail::extents3(spatial);
    const bool is_slice = spatial.rank() == 2;
    const std::int64_t row = is_slice ? extents[1] : extents[2];
    const std::int64_t second = is_slice ? 1 : extents[1];
    const std::vector<double> outer = positions(extents[0]);
    const std::vector<double> middle = positions(second);
    const std::vector<double> exact = positions(row);
    const std::vector<float> inner(exact.begin(), exact.end());
    const auto terms = static_cast<std::size_t>(params_.order) + 1;
    std::vector<double> sums(terms);
    std::vector<float> polynomial(terms);
    std::vector<float> field(static_cast<std::size_t>(row));
    for (std::int64_t i = 0; i < extents[0]; ++i) {
      for (std::int64_t j = 0; j < second; ++j) {
        sums.assign(terms, 0.0);
        std::size_t at = 0;
        double power_x = 1;
        for (std::size_t a = 0; a < terms; ++a, power_x *= outer[static_cast<std::size_t>(i)]) {
          double power_y = 1;
          for (std::size_t b = 0; a + b < terms; ++b, power_y *= middle[static_cast<std::size_t>(j)])
            for (std::size_t c = 0; a + b + c < terms; ++c, ++at) {
              if (!is_slice)
                sums[c] += coefficients[at] * power_x * power_y;
              else if (c == 0)  // the row of a slice goes along Y, and Z is 0
                sums[b] += coefficients[at] * power_x;
            }
        }
        for (std::size_t c = 0; c < terms; ++c) polynomial[c] = static_cast<float>(sums[c]);
        const float* const z = inner.data();
        float* const f = field.data();
        for (std::int64_t k = 0; k < row; ++k) f[k] = polynomial.back();
        for (std::size_t c = terms - 1; c-- > 0;) {
          const float coefficient = polynomial[c];
          for (std::int64_t k = 0; k < row; ++k) f[k] = f[k] * z[k] + coefficient;
        }
        for (std::int64_t k = 0; k < row; ++k) f[k] = std::exp(f[k]);
        for (std::int64_t channel = 0; channel < channels; ++channel) {
          float* const voxels = x + channel * spatial.size() + (i * second + j) * row;
          for (std::int64_t k = 0; k < row; ++k) voxels[k] *= f[k];
        }
      }
    }
  }

  Params params_;
};

static_assert(Transform<RandomBiasField>);

}  // namespace ivado
