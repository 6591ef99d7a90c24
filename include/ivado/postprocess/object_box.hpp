// Where the object of a prediction is: what an object detector hands to the model behind it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "../data/array.hpp"
#include "../data/geometry.hpp"
#include "../data/object_detection.hpp"
#include "../inline.hpp"
#include "../metric/components.hpp"
#include "concept.hpp"

namespace ivado {

/// The smallest box about the largest object of a prediction: the component of face neighbours with the most voxels,
/// the first of several.
///
/// One object, because a false positive far away would make the box that of nearly the whole image; a detector whose
/// organ comes in several parts needs post-processing that joins them, or a safety factor. A voxel belongs to an object
/// if any class reaches the threshold. ivadomed looks at the first class alone and takes every value above 0.
/// @param prediction  [class, i, j, k], after the detector's post-processing
/// @param geometry    of its grid
/// @complexity one byte a voxel and one pass
[[nodiscard]] IVADO_INLINE Detection detect_object(const Prediction& prediction, const Geometry& geometry,
                                                   float threshold = 0.5F) {
  const Shape grid = prediction.voxels.shape().from(1);
  Array<std::uint8_t> mask = zeros<std::uint8_t>(grid);
  for (std::int64_t c = 0; c < prediction.voxels.extent(0); ++c) {
    const float* values = prediction.voxels.data() + c * grid.size();
    for (std::int64_t i = 0; i < grid.size(); ++i) mask[i] |= static_cast<std::uint8_t>(values[i] >= threshold);
  }
  const Components objects(std::as_const(mask).view(), Connectivity::faces);
  ObjectBox box = whole_box(grid);
  if (objects.count() > 0) {
    const ComponentBox found = objects.boxes()[static_cast<std::size_t>(objects.largest() - 1)];
    std::copy_n(found.begin.begin(), 3, box.begin.begin());
    std::copy_n(found.end.begin(), 3, box.end.begin());
  }
  return {turn_box(box, closest_ras(geometry.affine)), objects.count() > 0};
}

}  // namespace ivado
