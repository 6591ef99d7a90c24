// Regrid: a volume brought onto the voxel grid of another one through world coordinates.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "../eigen.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "array.hpp"
#include "geometry.hpp"
#include "volume.hpp"

namespace ivado {

/// Resamples a volume onto another grid: each voxel of the grid takes the value that the volume has at its place in
/// the world.
///
/// Interpolation is trilinear in double, or by the nearest voxel (halves to the higher index). The field of view of the
/// volume reaches half a voxel beyond the centres of its border voxels, whose values hold there; outside of it the
/// result is 0. So a volume of one slice fills its slice, and nothing is lost at the ends of a stack of thick slices.
///
/// Places within 1e-6 voxels of a voxel's centre are taken as this centre: grids that differ by flips, permuted axes or
/// whole voxels give the same values exactly.
/// @param volume   any orientation, oblique or sheared
/// @param grid     the grid of the result
/// @param nearest  true for masks and other labels, whose values must not be mixed; false for intensities and
///                 probabilities
/// @param inside   takes the number of voxels of the grid within the field of view of the volume; may be null
/// @return         voxels [k, j, i] with the geometry `grid`, and path and stored type of the volume
/// @throws Error (data) if the affine of the volume is singular or not finite
/// @note A coarse grid takes single values of a fine volume, without smoothing it first.
[[nodiscard]] IVADO_INLINE Volume regrid(const Volume& volume, const Geometry& grid, bool nearest,
                                         std::int64_t* inside = nullptr) {
  const std::string doing = "resampling " + volume.path;
  const Eigen::Matrix3d axes = volume.geometry.affine.topLeftCorner<3, 3>();
  const double lengths = axes.col(0).norm() * axes.col(1).norm() * axes.col(2).norm();
  if (!volume.geometry.affine.allFinite() || !(std::abs(axes.determinant()) > 1e-6 * lengths))
    throw data_error(doing, "its affine is singular or not finite", "write the image anew with a valid affine");
  if (grid.shape.rank() != 3 || volume.geometry.shape.rank() != 3)
    throw internal_error(doing, "a grid has " + grid.shape.text() + " voxels, expected three axes");

  // From indices of the grid to indices of the volume.
  const Eigen::Matrix4d map = volume.geometry.affine.inverse() * grid.affine;
  const ArrayView<const float> from = volume.view();
  std::array<std::int64_t, 3> last{};
  for (int axis = 0; axis < 3; ++axis) last[static_cast<std::size_t>(axis)] = from.extent(axis) - 1;
  constexpr double tolerance = 1e-6;

  Volume out{Array<float>(Shape{grid.shape[2], grid.shape[1], grid.shape[0]}), grid, volume.stored_type, volume.path};
  std::int64_t found = 0;
  float* voxel = out.voxels.data();
  for (std::int64_t k = 0; k < grid.shape[2]; ++k)
    for (std::int64_t j = 0; j < grid.shape[1]; ++j)
      for (std::int64_t i = 0; i < grid.shape[0]; ++i, ++voxel) {
        const Eigen::Vector4d index(static_cast<double>(i), static_cast<double>(j), static_cast<double>(k), 1);
        std::array<std::int64_t, 3> low{};
        std::array<std::int64_t, 3> high{};
        std::array<double, 3> part{};  // of the way from low to high
        bool is_inside = true;
        for (std::size_t a = 0; a < 3; ++a) {
          double place = map.row(static_cast<int>(a)).dot(index);
          const double centre = std::floor(place + 0.5);
          if (std::abs(place - centre) < tolerance) place = centre;
          const auto end = static_cast<double>(last[a]);
          is_inside = is_inside && place >= -0.5 - tolerance && place <= end + 0.5 + tolerance;
          place = std::clamp(nearest ? std::floor(place + 0.5) : place, 0.0, end);
          low[a] = static_cast<std::int64_t>(place);
          high[a] = std::min(low[a] + 1, last[a]);
          part[a] = place - static_cast<double>(low[a]);
        }
        if (!is_inside) {
          *voxel = 0;
          continue;
        }
        ++found;
        double sum = 0;
        for (std::size_t corner = 0; corner < 8; ++corner) {
          double weight = 1;
          std::array<std::int64_t, 3> at{};
          for (std::size_t a = 0; a < 3; ++a) {
            const bool upper = (corner >> a & 1U) != 0;
            weight *= upper ? part[a] : 1 - part[a];
            at[a] = upper ? high[a] : low[a];
          }
          if (weight > 0) sum += weight * static_cast<double>(from(at[0], at[1], at[2]));
        }
        *voxel = static_cast<float>(sum);
      }
  if (inside != nullptr) *inside = found;
  return out;
}

}  // namespace ivado
