// The maps of uncertainty as NIfTI files, by ivadomed's names, and the table of the structures.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../data/geometry.hpp"
#include "../data/volume_io.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../metric/evaluation.hpp"
#include "maps.hpp"

namespace ivado {

/// The structures of an image as CSV: class, voxels, mean_voxels, iou, cv, avg_unc, in the order of `structures`.
[[nodiscard]] IVADO_INLINE std::string structures_csv(const std::vector<UncertainStructure>& structures) {
  std::string out = "class,voxels,mean_voxels,iou,cv,avg_unc\n";
  for (const auto& one : structures)
    out += std::to_string(one.class_index) + "," + std::to_string(one.voxels) + "," +
           detail::csv_number(one.mean_voxels) + "," + detail::csv_number(one.overlap) + "," +
           detail::csv_number(one.variation) + "," + detail::csv_number(one.mean_entropy) + "\n";
  return out;
}

/// Writes `<stem>_soft`, `_unc-vox`, `_unc-iou`, `_unc-cv` and `_unc-avgUnc` (.nii.gz, float32: ivadomed stores them in
/// the type of the label file, known-problems B6.3), several classes along a fourth axis; and `<stem>_unc.csv`, the
/// structures. Each file is there whole or not at all; files of an earlier run are replaced (ivadomed keeps them,
/// B6.11).
/// @param stem      folder and name of the image, such as "results/pred_masks/sub-01_T2w"
/// @param geometry  the grid of the image
/// @return          the paths written
/// @throws Error (internal) if the folder is missing or a file cannot be written
IVADO_INLINE std::vector<std::string> write_uncertainty_maps(const std::string& stem, const UncertaintyMaps& maps,
                                                             const Geometry& geometry) {
  std::vector<std::string> written;
  for (const auto& [ending, map] : EnumNames<UncertaintyMap>::values) {
    written.push_back(stem + std::string(ending));
    const ArrayView<const float> view = maps.view(map);
    write_volume(written.back(), view.extent(0) == 1 ? view.select(0, 0) : view.permute({1, 2, 3, 0}), geometry,
                 StoredType::float32);
  }
  written.push_back(stem + "_unc.csv");
  write_file_atomically(written.back(), structures_csv(maps.structures));
  return written;
}

/// Removes the files that `write_uncertainty_maps` writes, where an earlier run has left them: beside a prediction
/// without uncertainty they would seem to be of it.
/// @param stem  folder and name of the image
/// @return      how many there were
/// @throws Error (internal) if one cannot be removed
IVADO_INLINE std::size_t remove_uncertainty_maps(const std::string& stem) {
  std::vector<std::string> paths{stem + "_unc.csv"};
  for (const auto& [ending, map] : EnumNames<UncertaintyMap>::values) paths.push_back(stem + std::string(ending));
  std::size_t removed = 0;
  for (const auto& path : paths) {
    std::error_code fault;
    removed += std::filesystem::remove(path, fault) ? 1U : 0U;
    if (fault)
      throw internal_error("removing the map " + path + " of an earlier run", fault.message(),
                           "check the permissions of its folder");
  }
  return removed;
}

}  // namespace ivado
