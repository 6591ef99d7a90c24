// Where voxels are in the world: affine, spacing, orientation. Eigen only; no ITK, no LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "../eigen.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "array.hpp"

namespace ivado {

/// The axis along which 2-D slices are taken, in the order of RAS coordinates.
enum class Axis { sagittal = 0, coronal = 1, axial = 2 };

/// A voxel grid in the world.
///
/// The affine takes voxel indices (i, j, k) in the axis order of the file to world coordinates in mm, RAS+
/// (x to the Right, y to the Anterior, z to the Superior), as in NIfTI; ITK's LPS is turned at the door.
struct Geometry {
  Shape shape;                                           ///< voxels along i, j, k
  Eigen::Matrix4d affine = Eigen::Matrix4d::Identity();  ///< voxel to world, RAS+, mm

  /// Distance in mm between neighbouring voxels along i, j, k.
  [[nodiscard]] IVADO_INLINE std::array<double, 3> spacing_mm() const {
    return {affine.col(0).head<3>().norm(), affine.col(1).head<3>().norm(), affine.col(2).head<3>().norm()};
  }
};

/// How the axes of one grid are found among those of another: target axis `a` is source axis `axis[a]`,
/// walked backwards where `flip[a]`.
struct AxisMap {
  std::array<int, 3> axis{0, 1, 2};
  std::array<bool, 3> flip{false, false, false};

  [[nodiscard]] friend bool operator==(const AxisMap&, const AxisMap&) = default;

  /// The view of a source array of rank 3 with the target's axes. No copy.
  template <class T>
  [[nodiscard]] ArrayView<T> apply(ArrayView<T> source) const {
    ArrayView<T> target = source.permute({axis[0], axis[1], axis[2]});
    for (int a = 0; a < 3; ++a)
      if (flip[static_cast<std::size_t>(a)]) target = target.flip(a);
    return target;
  }
  /// The map back: `inverse().apply(apply(view))` is `view`.
  [[nodiscard]] IVADO_INLINE AxisMap inverse() const {
    AxisMap back;
    for (std::size_t a = 0; a < 3; ++a) {
      back.axis[static_cast<std::size_t>(axis[a])] = static_cast<int>(a);
      back.flip[static_cast<std::size_t>(axis[a])] = flip[a];
    }
    return back;
  }
  /// Three numbers (spacing, shape) in the target's order.
  template <class T>
  [[nodiscard]] std::array<T, 3> reorder(const std::array<T, 3>& source) const {
    return {source[static_cast<std::size_t>(axis[0])], source[static_cast<std::size_t>(axis[1])],
            source[static_cast<std::size_t>(axis[2])]};
  }
};

/// The map from the axes of a file to the closest RAS+ axes: a permutation and flips, no resampling.
///
/// The rotation nearest to the affine's directions (polar decomposition) decides; axes are given out to the
/// voxel axis that is most certain first, so an oblique grid never claims one world axis twice.
/// @throws Error if the affine is not finite or an axis has no length
[[nodiscard]] IVADO_INLINE AxisMap closest_ras(const Eigen::Matrix4d& affine) {
  Eigen::Matrix3d directions = affine.topLeftCorner<3, 3>();
  if (!directions.allFinite()) throw data_error("orienting a volume", "its affine has numbers that are not finite");
  for (int column = 0; column < 3; ++column) {
    const double length = directions.col(column).norm();
    if (length == 0)
      throw data_error("orienting a volume", "voxel axis " + std::to_string(column) + " of its affine has no length");
    directions.col(column) /= length;
  }
  const Eigen::JacobiSVD<Eigen::Matrix3d> svd(directions, Eigen::ComputeFullU | Eigen::ComputeFullV);
  Eigen::Matrix3d certainty = (svd.matrixU() * svd.matrixV().transpose()).cwiseAbs();
  const Eigen::Matrix3d rotation = svd.matrixU() * svd.matrixV().transpose();
  AxisMap map;
  for (int round = 0; round < 3; ++round) {
    Eigen::Index world = 0;
    Eigen::Index voxel = 0;
    certainty.maxCoeff(&world, &voxel);
    map.axis[static_cast<std::size_t>(world)] = static_cast<int>(voxel);
    map.flip[static_cast<std::size_t>(world)] = rotation(world, voxel) < 0;
    certainty.row(world).setConstant(-1);
    certainty.col(voxel).setConstant(-1);
  }
  return map;
}

/// Three letters: the world direction (L/R, P/A, I/S) to which each voxel axis grows, such as "RAS" or "PSR".
[[nodiscard]] IVADO_INLINE std::string axis_codes(const Eigen::Matrix4d& affine) {
  const AxisMap map = closest_ras(affine);
  std::string codes(3, '?');
  for (std::size_t world = 0; world < 3; ++world)
    codes[static_cast<std::size_t>(map.axis[world])] = (map.flip[world] ? "LPI" : "RAS")[world];
  return codes;
}

/// The map from RAS+ axes (x, y, z) to ivadomed's (H, W, D), in which D is the slice axis:
/// sagittal (z, y, x), coronal (z, x, y), axial (x, y, z).
[[nodiscard]] IVADO_INLINE AxisMap ras_to_hwd(Axis slice_axis) {
  switch (slice_axis) {
    case Axis::sagittal:
      return {{2, 1, 0}, {}};
    case Axis::coronal:
      return {{2, 0, 1}, {}};
    case Axis::axial:
      break;
  }
  return {};
}

/// The map from the axes of a file straight to (H, W, D).
[[nodiscard]] IVADO_INLINE AxisMap file_to_hwd(const Eigen::Matrix4d& affine, Axis slice_axis) {
  const AxisMap ras = closest_ras(affine);
  const AxisMap hwd = ras_to_hwd(slice_axis);
  AxisMap map;
  for (std::size_t a = 0; a < 3; ++a) {
    map.axis[a] = ras.axis[static_cast<std::size_t>(hwd.axis[a])];
    map.flip[a] = ras.flip[static_cast<std::size_t>(hwd.axis[a])];
  }
  return map;
}

/// The largest distance in mm between the places that two affines give to the eight corners of a grid; NaN where one
/// of them is not finite.
/// Two grids of one shape are the same where this is small (see `BidsLoader::Params`).
[[nodiscard]] IVADO_INLINE double corner_distance_mm(const Geometry& a, const Geometry& b) {
  double largest = 0;
  for (int corner = 0; corner < 8; ++corner) {
    Eigen::Vector4d index(0, 0, 0, 1);
    for (int axis = 0; axis < 3; ++axis)
      if ((corner >> axis & 1) != 0) index[axis] = static_cast<double>(a.shape[axis] - 1);
    const double distance = (a.affine * index - b.affine * index).head<3>().norm();
    if (std::isnan(distance)) return distance;
    largest = std::max(largest, distance);
  }
  return largest;
}

}  // namespace ivado
