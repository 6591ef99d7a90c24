// The maps of uncertainty of one image, made of several predictions of it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../data/array.hpp"
#include "../inline.hpp"

namespace ivado {

/// The maps, by the ends of their files' names.
enum class UncertaintyMap {
  soft,         ///< mean of the predictions
  entropy,      ///< of each voxel's mean: near 0 where the runs agree on 0 or on 1, ln 2 at a mean of 0.5
  overlap,      ///< of each structure: intersection over union of all runs; 1 where they agree
  variation,    ///< of each structure: coefficient of variation of its volume; 0 where the runs agree
  mean_entropy  ///< of each structure: mean entropy of its voxels
};

template <>
struct EnumNames<UncertaintyMap> {
  static constexpr std::array values{std::pair{std::string_view{"_soft.nii.gz"}, UncertaintyMap::soft},
                                     std::pair{std::string_view{"_unc-vox.nii.gz"}, UncertaintyMap::entropy},
                                     std::pair{std::string_view{"_unc-iou.nii.gz"}, UncertaintyMap::overlap},
                                     std::pair{std::string_view{"_unc-cv.nii.gz"}, UncertaintyMap::variation},
                                     std::pair{std::string_view{"_unc-avgUnc.nii.gz"}, UncertaintyMap::mean_entropy}};
};

/// An object of the prediction (18-connected), and how far the runs agree on it.
struct UncertainStructure {
  std::int64_t class_index = 0;
  std::int64_t voxels = 0;  ///< of the structure in the hard prediction
  double overlap = 0;       ///< voxels in all runs / voxels in any run, of the objects that match the structure
  double mean_voxels = 0;   ///< mean size of these objects
  double variation = 0;     ///< population standard deviation of their sizes / their mean
  double mean_entropy = 0;  ///< over the structure's voxels, nats
};

/// All maps of an image, [class, i, j, k]. The maps of structures are 0 outside of structures.
struct UncertaintyMaps {
  std::int64_t runs = 0;                       ///< predictions that they come from
  Array<float> soft;                           ///< mean over the runs
  Array<float> hard;                           ///< 1 where the mean reaches the threshold, else 0
  Array<float> entropy;                        ///< of each voxel, nats
  Array<float> overlap;                        ///< of the structure that the voxel lies in, in [0, 1]
  Array<float> variation;                      ///< of that structure, ≥ 0
  Array<float> mean_entropy;                   ///< of that structure, nats
  std::vector<UncertainStructure> structures;  ///< by class, then in the order of a row-major scan

  /// One of the maps.
  [[nodiscard]] IVADO_INLINE ArrayView<const float> view(UncertaintyMap map) const {
    switch (map) {
      case UncertaintyMap::soft:
        return soft.view();
      case UncertaintyMap::entropy:
        return entropy.view();
      case UncertaintyMap::overlap:
        return overlap.view();
      case UncertaintyMap::variation:
        return variation.view();
      case UncertaintyMap::mean_entropy:
        return mean_entropy.view();
    }
    throw internal_error("looking for a map of uncertainty", "there is no such map");
  }
};

}  // namespace ivado
