// RandomAffine: a random rotation, scaling and shift, shared by the image and its label.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "grid.hpp"
#include "interpolate.hpp"
#include "range.hpp"

namespace ivado {

/// A fraction in [0, 1] for each axis. In JSON a list of two or three numbers, or null for none; the third is 0 if not
/// given.
struct AxisFractions {
  double h = 0;  ///< along H
  double w = 0;  ///< along W
  double d = 0;  ///< along D; has no effect on a slice

  /// @throws Error (usage) if it is no such list, or a number is outside of [0, 1]
  [[nodiscard]] IVADO_INLINE static AxisFractions from_json(const Json& json, const std::string& path) {
    if (json.is_null()) return {};
    const auto is_fraction = [](const Json& number) {
      return number.is_number() && number.get<double>() >= 0 && number.get<double>() <= 1;
    };
    if (!json.is_array() || (json.size() != 2 && json.size() != 3) ||
        !std::all_of(json.begin(), json.end(), is_fraction))
      throw detail::value_error(path, json, "two or three numbers in [0, 1], or null");
    return {json[0].get<double>(), json[1].get<double>(), json.size() == 3 ? json[2].get<double>() : 0};
  }
  /// Two numbers where the third is 0, else three.
  [[nodiscard]] Json to_json() const { return d == 0 ? Json::array({h, w}) : Json::array({h, w, d}); }
  [[nodiscard]] IVADO_INLINE static Json schema() {
    return {{"anyOf", Json::array({Json{{"type", "array"},
                                        {"items", {{"type", "number"}, {"minimum", 0}, {"maximum", 1}}},
                                        {"minItems", 2},
                                        {"maxItems", 3}},
                                   Json{{"type", "null"}}})}};
  }
  [[nodiscard]] static std::string type_name() { return "2 or 3 numbers in [0, 1], or null"; }

  [[nodiscard]] std::array<double, 3> all() const noexcept { return {h, w, d}; }
};

/// Rotates, scales and shifts a sample about its centre, in voxels.
///
/// Output voxel o takes the input at A (o - k) + k + t, with A = (R S)ᵀ, R the rotation in the plane of two axes, S the
/// diagonal matrix of 1 / scale (a scale above 1 enlarges), k the centre and t the shift; linear interpolation for
/// image and label alike, 0 outside, the grid stays. The angle is uniform in `degrees`, the plane (H, W) in 2-D and one
/// of the three in 3-D, each scale uniform in [1 - s, 1 + s] (at least 0.001), each shift uniform in ± t n, rounded to
/// whole voxels with halves to even.
///
/// k is the centre of the voxel grid, (n - 1) / 2; ivadomed takes n / 2, which moves the image by up to half a voxel
/// with every rotation (known-problems.md B3.8): `as_ivadomed`. `invert` takes the exact inverse map, in one
/// interpolation; ivadomed undoes shift and rotation one after the other and so loses what the first step pushes over
/// the border.
/// @note The rotation is one of voxel indices: on anisotropic spacing it shears a little, as in ivadomed.
class RandomAffine {
 public:
  static constexpr std::string_view name = "RandomAffine";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;

  struct Params {
    SymmetricRange degrees;    ///< of the rotation
    AxisFractions scale;       ///< largest relative change of size along each axis
    AxisFractions translate;   ///< largest shift as a fraction of each extent
    bool as_ivadomed = false;  ///< centre n / 2; inverse in two steps

    static constexpr auto fields() {
      return ivado::fields(
          field<"degrees", &Params::degrees>("range of the rotation in degrees: [low, high], or d for [-d, d]"),
          field<"scale", &Params::scale>("largest relative change of size along H, W, D"),
          field<"translate", &Params::translate>("largest shift along H, W, D as a fraction of the extent"),
          field<"as_ivadomed", &Params::as_ivadomed>("true: rotate about n/2 instead of the centre of the grid, "
                                                     "(n-1)/2, and undo shift and rotation one after the "
                                                     "other"));
    }
  };

  /// The map that was drawn.
  struct Draw {
    double angle_rad = 0;
    std::array<int, 2> axes{0, 1};         ///< plane of the rotation: two of H (0), W (1), D (2), ascending
    std::array<double, 3> scale{1, 1, 1};  ///< along H, W, D
    std::array<std::int64_t, 3> translation_vox{0, 0, 0};  ///< along H, W, D

    [[nodiscard]] friend bool operator==(const Draw&, const Draw&) = default;
  };

  /// @throws Error (usage) if the range of angles runs downwards or a fraction is outside of [0, 1]
  IVADO_INLINE explicit RandomAffine(const Params& params) : params_(params) {
    if (!(params.degrees.low <= params.degrees.high) || !std::isfinite(params.degrees.low) ||
        !std::isfinite(params.degrees.high))
      throw usage_error("setting up RandomAffine", "degrees is " + params.degrees.to_json().dump(),
                        "give a number >= 0, or a pair [low, high]");
    for (const auto& fractions : {params.scale, params.translate})
      for (const double fraction : fractions.all())
        if (!(fraction >= 0 && fraction <= 1))
          throw usage_error("setting up RandomAffine", detail::text("a fraction of scale or translate is ", fraction),
                            "give numbers in [0, 1]");
  }

  /// Draws angle, plane, scales and shifts; always eight numbers, whatever the parameters. In 2-D, and for a volume of
  /// one slice, the plane is (H, W) and nothing happens along D.
  [[nodiscard]] IVADO_INLINE Draw draw(Rng& rng, const Sample& sample) const {
    const Image& image = detail::grid_of(sample, "drawing an affine map");
    detail::check_dimension(image, "RandomAffine");
    const auto extents = detail::extents3(image.spatial());
    Draw draw;
    draw.angle_rad = rng.uniform(params_.degrees.low, params_.degrees.high) * std::numbers::pi / 180;
    constexpr std::array<std::array<int, 2>, 3> planes{{{0, 1}, {0, 2}, {1, 2}}};
    const double plane = rng.uniform();
    if (extents[2] > 1) draw.axes = planes[static_cast<std::size_t>(plane * 3)];
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const double s = params_.scale.all()[axis];
      const double scale = rng.uniform(1 - s, 1 + s);
      if (extents[axis] > 1 || axis < 2) draw.scale[axis] = std::max(scale, 1e-3);
    }
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const double reach = params_.translate.all()[axis] * static_cast<double>(extents[axis]);
      const double shift = rng.uniform(-reach, reach);
      if (extents[axis] > 1 || axis < 2)
        draw.translation_vox[axis] = static_cast<std::int64_t>(detail::round_half_even(shift));
    }
    return draw;
  }

  /// Moves the voxels in place. A draw that moves nothing leaves the image untouched.
  IVADO_INLINE void apply(Image& image, const Draw& draw) const {
    detail::check_dimension(image, "RandomAffine");
    if (draw == Draw{}) return;
    image.voxels = detail::sample_affine(image.voxels, map(image.spatial(), matrix(draw), draw.translation_vox));
  }

  /// The inverse map, in place, with linear interpolation; 0 where `apply` had pushed voxels over the border.
  IVADO_INLINE void invert(Image& image, const Draw& draw) const {
    detail::check_dimension(image, "undoing RandomAffine");
    if (draw == Draw{}) return;
    if (!params_.as_ivadomed) {
      image.voxels = detail::sample_affine(image.voxels, exact_inverse(image.spatial(), draw));
      return;
    }
    const Shape shape = image.spatial();
    image.voxels = detail::sample_affine(image.voxels, map(shape, inverse_matrix(draw), {}));
    std::array<std::int64_t, 3> start{};
    for (std::size_t axis = 0; axis < 3; ++axis) start[axis] = -draw.translation_vox[axis];
    Array<float> shifted = zeros(image.voxels.shape());
    ArrayView<const float> from = image.voxels.view();
    ArrayView<float> to = shifted.view();
    bool is_inside = true;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const std::int64_t shift = draw.translation_vox[static_cast<std::size_t>(axis)];
      const std::int64_t length = shape[axis] - std::abs(shift);
      is_inside = is_inside && length > 0;
      if (!is_inside) break;
      from = from.narrow(axis + 1, std::max<std::int64_t>(-shift, 0), length);
      to = to.narrow(axis + 1, std::max<std::int64_t>(shift, 0), length);
    }
    if (is_inside) copy(from, to);
    image.voxels = std::move(shifted);
  }

  /// Takes a position after the transform to that before it, for `Fused`; none where it moves nothing.
  [[nodiscard]] IVADO_INLINE std::optional<detail::AffineMap> forward_map(const Shape& spatial,
                                                                          const Draw& draw) const {
    if (draw == Draw{}) return std::nullopt;
    return map(spatial, matrix(draw), draw.translation_vox);
  }
  /// Takes a position before the transform to that after it: the exact inverse, with `as_ivadomed` too.
  [[nodiscard]] IVADO_INLINE std::optional<detail::AffineMap> inverse_map(const Shape& spatial,
                                                                          const Draw& draw) const {
    if (draw == Draw{}) return std::nullopt;
    return exact_inverse(spatial, draw);
  }

 private:
  using Matrix = std::array<std::array<double, 3>, 3>;

  IVADO_INLINE static Matrix rotation(const Draw& draw) {
    const double c = std::cos(draw.angle_rad);
    const double s = std::sin(draw.angle_rad);
    if (draw.axes == std::array<int, 2>{0, 2}) return {{{c, 0, s}, {0, 1, 0}, {-s, 0, c}}};
    if (draw.axes == std::array<int, 2>{1, 2}) return {{{1, 0, 0}, {0, c, -s}, {0, s, c}}};
    return {{{c, -s, 0}, {s, c, 0}, {0, 0, 1}}};
  }
  /// A = (R S)ᵀ.
  IVADO_INLINE static Matrix matrix(const Draw& draw) {
    const Matrix r = rotation(draw);
    Matrix a{};
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j) a[i][j] = r[j][i] * (1 / draw.scale[i]);
    return a;
  }
  /// A⁻¹ = R S⁻¹.
  IVADO_INLINE static Matrix inverse_matrix(const Draw& draw) {
    const Matrix r = rotation(draw);
    Matrix a{};
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j) a[i][j] = r[i][j] * draw.scale[j];
    return a;
  }
  [[nodiscard]] IVADO_INLINE std::array<double, 3> centre(const Shape& spatial) const {
    const auto extents = detail::extents3(spatial);
    std::array<double, 3> k{};
    for (std::size_t axis = 0; axis < 3; ++axis)
      k[axis] = 0.5 * static_cast<double>(params_.as_ivadomed ? extents[axis] : extents[axis] - 1);
    return k;
  }
  /// o ↦ a (o - k) + k + t.
  [[nodiscard]] IVADO_INLINE detail::AffineMap map(const Shape& spatial, const Matrix& a,
                                                   const std::array<std::int64_t, 3>& t) const {
    const auto k = centre(spatial);
    detail::AffineMap result{a, {}};
    for (std::size_t i = 0; i < 3; ++i)
      result.offset[i] = k[i] - (a[i][0] * k[0] + a[i][1] * k[1] + a[i][2] * k[2]) + static_cast<double>(t[i]);
    return result;
  }
  /// y ↦ A⁻¹ (y - t - k) + k.
  [[nodiscard]] IVADO_INLINE detail::AffineMap exact_inverse(const Shape& spatial, const Draw& draw) const {
    const auto k = centre(spatial);
    detail::AffineMap result{inverse_matrix(draw), {}};
    std::array<double, 3> from{};
    for (std::size_t i = 0; i < 3; ++i) from[i] = k[i] + static_cast<double>(draw.translation_vox[i]);
    for (std::size_t i = 0; i < 3; ++i) {
      const auto& row = result.matrix[i];
      result.offset[i] = k[i] - (row[0] * from[0] + row[1] * from[1] + row[2] * from[2]);
    }
    return result;
  }

  Params params_;
};

static_assert(InvertibleTransform<RandomAffine>);

}  // namespace ivado
