// A case: the files of one image (or of one image a contrast) with its labels and metadata.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../config/json.hpp"
#include "../inline.hpp"
#include "sample.hpp"

namespace ivado {

struct ReadReport;
struct Volume;

/// Where the paths of a case lead to, if not to files of their own: one HDF5 file that holds them all, for example.
/// Safe to call from several threads.
struct CaseFiles {
  virtual ~CaseFiles() = default;
  /// The volume of a path, as `read_volume` would read its file.
  /// @param report  takes what was odd about it
  /// @throws Error (data) if there is no such volume, or it cannot be read
  [[nodiscard]] virtual Volume read(const std::string& path, ReadReport& report) const = 0;
};

/// What is loaded, predicted and evaluated as one: one image, or one image a channel.
struct Case {
  std::string id;                      ///< names its prediction: file name of the reference image up to its extension
  std::string subject;                 ///< "sub-01"
  std::vector<std::string> images;     ///< one path a channel; an empty path is a contrast that the case lacks
  std::vector<std::string> contrasts;  ///< one contrast a channel, such as "T2w"
  std::vector<std::string> labels;     ///< one path a class; an empty path is a class without a file: all zero
  std::string roi;                     ///< path of the region of interest, or empty
  Json metadata = Json::object();      ///< columns of participants.tsv, entities and sidecar keys, as they stand
  std::size_t reference = 0;  ///< the channel on whose grid samples, labels and predictions lie; never a lacking one
  std::vector<float> condition{};    ///< what conditions the model (FiLM), the same number for all cases; may be empty
  std::vector<float> image_label{};  ///< 0 or 1 a class for the image as a whole; empty: the label files tell
  std::shared_ptr<const CaseFiles> files{};  ///< reads the paths; none: they are files
  /// Where several raters drew the labels: those of the second and further ones, each as `labels`, which are those of
  /// the first. A class that one rater drew has his file for all of them.
  std::vector<std::vector<std::string>> further_raters{};

  /// Number of raters, at least 1.
  [[nodiscard]] std::size_t raters() const noexcept { return 1 + further_raters.size(); }
  /// The labels of a rater, one path a class.
  [[nodiscard]] IVADO_INLINE const std::vector<std::string>& labels_of(std::size_t rater) const {
    return rater == 0 ? labels : further_raters[rater - 1];
  }
  /// About the object, on the grid of the reference image along R, A, S (see `closest_ras`); none: nobody looked.
  std::optional<ObjectBox> box{};
};

}  // namespace ivado
