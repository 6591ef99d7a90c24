// What flows through the transforms: one slice or sub-volume with its labels, and where it came from.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "array.hpp"
#include "volume.hpp"

namespace ivado {

/// The part of the data that a transform or a loader works for.
enum class Stage { training, validation, testing };

/// One kind of data of a sample: all its channels, or all its classes, on one grid.
struct Image {
  Array<float> voxels;  ///< [channel, H, W] or [channel, H, W, D]; empty: not there
  Kind kind = Kind::image;
  std::array<double, 3> spacing_mm{1, 1, 1};  ///< along H, W, D; in 2-D the third is the slice distance

  /// 2 for slices, 3 for volumes.
  [[nodiscard]] int dimension() const noexcept { return voxels.rank() - 1; }
  /// The extents without the channel axis.
  [[nodiscard]] Shape spatial() const { return voxels.shape().from(1); }
  [[nodiscard]] bool empty() const noexcept { return voxels.empty(); }
  [[nodiscard]] Image clone() const { return {voxels.clone(), kind, spacing_mm}; }
};

/// Where a sample came from, and hence where its prediction goes.
struct Origin {
  std::int32_t volume = -1;  ///< index of the case in its data set
  std::int32_t slice = -1;   ///< index along the slice axis of the (H, W, D) volume; -1 for a sub-volume
};

/// A training or inference sample. `label`, `roi` and `condition` may be empty.
///
/// For a task of whole images `label.voxels` is [class] instead of a map; no transform ever sees such a label.
struct Sample {
  Image image{{}, Kind::image, {1, 1, 1}};
  Image label{{}, Kind::label, {1, 1, 1}};
  Image roi{{}, Kind::roi, {1, 1, 1}};
  Origin origin;
  std::vector<float> condition{};  ///< beside the image: 0 or 1 for each contrast that may be missing, or a FiLM code

  [[nodiscard]] Sample clone() const { return {image.clone(), label.clone(), roi.clone(), origin, condition}; }
};

/// Samples of one shape, stacked.
struct Batch {
  Array<float> image;           ///< [N, channel, spatial…]
  Array<float> label;           ///< [N, class, spatial…], or [N, class]; empty where the data set has no labels
  std::vector<Origin> origins;  ///< N of them
  Array<float> condition{};     ///< [N, K]; empty where the samples have no condition

  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(origins.size()); }
};

}  // namespace ivado
