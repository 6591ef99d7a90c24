// Image files that lie in no BIDS folder, as cases to be segmented; and the names of their predictions. No LibTorch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "bids_index.hpp"
#include "case.hpp"
#include "raster_io.hpp"

namespace ivado {

namespace detail {

/// The name of an image file without folder and ending.
[[nodiscard]] IVADO_INLINE std::string image_stem(const std::string& path) {
  const std::string file = std::filesystem::path(path).filename().string();
  return file.substr(0, file.size() - extension_of(file).size());
}

}  // namespace detail

/// Cases of image files: each takes the next `channels` files. The first one names it, and its grid is that of the
/// prediction. Metadata is that of the sidecars beside the first file (`inherited_sidecar`).
/// @param contrasts  a file whose name ends in "_<contrast>" is of that contrast
/// @throws Error (usage) if the number of files is no multiple of the channels, a file is not there, or two cases would
///         have one name
[[nodiscard]] IVADO_INLINE std::vector<Case> make_cases_of_files(const std::vector<std::string>& files,
                                                                 std::int64_t channels,
                                                                 const std::vector<std::string>& contrasts) {
  const auto n = static_cast<std::size_t>(std::max<std::int64_t>(channels, 1));
  if (files.size() % n != 0)
    throw usage_error("segmenting " + files.front(),
                      detail::text("the model takes ", n, " channels, ", files.size(),
                                   files.size() == 1 ? " file is given" : " files are given"),
                      "give for each subject one file a channel, in the order of the model's contrasts, or a BIDS "
                      "folder with all contrasts");
  std::vector<Case> cases;
  std::set<std::string> ids;
  for (std::size_t first = 0; first < files.size(); first += n) {
    Case one;
    one.id = detail::image_stem(files[first]);
    if (!ids.insert(one.id).second)
      throw usage_error("segmenting " + files[first], "another file is named " + one.id + " as well",
                        "segment them one after the other, to different folders");
    for (std::size_t c = first; c < first + n; ++c) {
      if (!std::filesystem::is_regular_file(files[c]))
        throw usage_error("segmenting " + files[c], "there is no such file", "check the path");
      one.images.push_back(files[c]);
      const std::string stem = detail::image_stem(files[c]);
      for (const auto& contrast : contrasts)
        if (stem.ends_with("_" + contrast)) {
          one.contrasts.resize(c - first);
          one.contrasts.push_back(contrast);
        }
    }
    one.metadata = inherited_sidecar(files[first]);
    cases.push_back(std::move(one));
  }
  return cases;
}

/// The name of the file that holds a class of the prediction of an image: "<image><suffix><ending>", or with several
/// classes "<image>_class-<k><suffix><ending>".
///
/// The ending is that of the image for .nii and .nii.gz, .png for a picture of one slice, else .nii.gz. (ivadomed names the
/// prediction of class k after the k-th input image, and fails where there is none.)
/// @param suffix   such as "_pred"
/// @param is_flat  the image has one slice
[[nodiscard]] IVADO_INLINE std::string image_prediction_name(const std::string& image, const std::string& suffix,
                                                             std::int64_t class_index, std::int64_t classes,
                                                             bool is_flat) {
  const std::string ending = detail::lower_case(detail::extension_of(std::filesystem::path(image).filename().string()));
  return detail::image_stem(image) + (classes > 1 ? "_class-" + std::to_string(class_index) : "") + suffix +
         (is_raster(image) && is_flat ? ".png"
          : ending == ".nii"          ? ".nii"
                                      : ".nii.gz");
}

}  // namespace ivado
