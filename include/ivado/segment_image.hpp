// `ivado segment-image`: predicts image files with a packaged model, without a BIDS folder.
#pragma once

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "config/ivadomed.hpp"
#include "config/json.hpp"
#include "config/sections.hpp"
#include "error.hpp"
#include "runtime.hpp"
#include "segment_image_options.hpp"

namespace ivado {

/// Predicts the images with a pipeline, whose types must hold what the package's configuration says.
/// @return the paths that were written
/// @throws Error as `Pipeline::segment_images`; (usage) if bf16 is asked for
template <class Experiment>
std::vector<std::string> segment_image(const SegmentImageOptions& options) {
  if (options.in_bf16)
    throw usage_error("predicting images in bf16", "this program predicts with LibTorch, in float32",
                      "take a program on the engine, such as examples/segment_engine.cpp, or --precision float32");
  std::vector<std::string> warnings;
  auto params =
      Experiment::configure(Experiment::defaults(), read_user_configuration(options.package(".json")), warnings);
  for (const auto& warning : warnings) std::cerr << warning << "\n";
  params.command = Command::segment;
  params.path_output = options.output;
  params.log_file.clear();  // the folder is for the predictions alone
  RuntimeOptions runtime;
  runtime.threads = options.threads ? options.threads : params.threads;
  runtime.gpu_ids = params.gpu_ids;
  Experiment experiment(std::move(params), start_runtime(runtime));
  experiment.choose_patches(options.patches);
  Json metadata = Json::object();
  if (!options.pixel_size_mm.empty()) metadata = {{"PixelSize", options.pixel_size_mm}, {"PixelSizeUnits", "mm"}};
  return experiment.segment_images(options.package(".safetensors"), options.images, metadata, options.suffix);
}

}  // namespace ivado
