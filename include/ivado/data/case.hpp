// A case: the files of one image (or of one image a contrast) with its labels and metadata.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "../config/json.hpp"

namespace ivado {

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
};

}  // namespace ivado
