// A volume: voxels as they lie in the file, with their place in the world. Reading and writing is in volume_io.hpp.
#pragma once

#include <string>

#include "array.hpp"
#include "geometry.hpp"

namespace ivado {

/// What the numbers of an image mean; it decides how they are interpolated and what a transform may do to them.
enum class Kind {
  image,  ///< intensities: spline interpolation, intensity transforms
  label,  ///< ground truth or a prediction in [0, 1]: linear interpolation, spatial transforms only
  roi,    ///< region of interest: as a label
};

/// A 3-D image in memory.
///
/// Voxels are float32, after the scaling of the file's header. They lie as in the file: i runs fastest,
/// so `voxels` has shape [k, j, i]; `view()` gives them as (i, j, k).
struct Volume {
  Array<float> voxels;      ///< [k, j, i]
  Geometry geometry;        ///< shape (i, j, k) and affine
  std::string stored_type;  ///< type on disk, such as "int16"
  std::string path;         ///< where it came from

  /// The voxels indexed (i, j, k), as the affine does.
  [[nodiscard]] ArrayView<const float> view() const { return voxels.view().permute({2, 1, 0}); }
  [[nodiscard]] ArrayView<float> view() { return voxels.view().permute({2, 1, 0}); }
};

}  // namespace ivado
