// A case: the files of one image (or of one image a contrast) with its labels and metadata.
#pragma once

#include <string>
#include <vector>

#include "../config/json.hpp"

namespace ivado {

/// What is loaded, predicted and evaluated as one: one image, or with several channels the images of one grid.
struct Case {
  std::string id;                      ///< names its prediction: file name of the (first) image up to its extension
  std::string subject;                 ///< "sub-01"
  std::vector<std::string> images;     ///< one path a channel
  std::vector<std::string> contrasts;  ///< one contrast a channel, such as "T2w"
  std::vector<std::string> labels;     ///< one path a class; an empty path is a class without a file: all zero
  std::string roi;                     ///< path of the region of interest, or empty
  Json metadata = Json::object();      ///< columns of participants.tsv, entities and sidecar keys, as they stand
};

}  // namespace ivado
