// What flows through the transforms: one slice or sub-volume with its labels, and where it came from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "array.hpp"
#include "volume.hpp"

namespace ivado {

/// The part of the data that a transform or a loader works for.
enum class Stage {
  training,
  validation,
  testing,
  augmented_testing  ///< testing with the random transforms on, to estimate how uncertain a prediction is
};

/// True for both kinds of testing.
[[nodiscard]] constexpr bool is_testing(Stage stage) noexcept {
  return stage == Stage::testing || stage == Stage::augmented_testing;
}

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
  std::int32_t slice = -1;   ///< index along the slice axis of the (H, W, D) volume; -1 for a volume or a part of it
  /// Where a patch or sub-volume begins along H, W, D of the prepared slice or volume; negative where zeros were put
  /// before it. All 0 for a whole slice or volume.
  std::array<std::int32_t, 3> start{};
};

/// A box of voxels [begin, end) on a grid: where an object detector found something.
struct ObjectBox {
  Shape grid;                           ///< extents along H, W, D of the grid that the box lies on; in 2-D H, W will do
  std::array<std::int64_t, 3> begin{};  ///< first voxel along H, W, D
  std::array<std::int64_t, 3> end{};    ///< one behind the last voxel along H, W, D

  [[nodiscard]] friend bool operator==(const ObjectBox&, const ObjectBox&) = default;
};

/// A training or inference sample. `label`, `roi`, `condition` and `box` may be empty.
///
/// For a task of whole images `label.voxels` is [class] instead of a map; no transform ever sees such a label.
struct Sample {
  Image image{{}, Kind::image, {1, 1, 1}};
  Image label{{}, Kind::label, {1, 1, 1}};
  Image roi{{}, Kind::roi, {1, 1, 1}};
  Origin origin;
  std::vector<float> condition{};  ///< beside the image: 0 or 1 for each contrast that may be missing, or a FiLM code
  std::optional<ObjectBox> box{};  ///< about the object, on the grid as it was read: see BoundingBoxCrop

  [[nodiscard]] Sample clone() const { return {image.clone(), label.clone(), roi.clone(), origin, condition, box}; }
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
