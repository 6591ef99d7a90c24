// The first stage of a cascade in the general program: a packaged model of slices or of volumes.
#pragma once

#include <ivado/infer/detector.hpp>
#include <vector>

/// Finds objects with a model of slices (ivado.cpp).
std::vector<ivado::Detection> detect_on_slices(const ivado::DetectionRequest& request);
/// Finds objects with a model of volumes (volumes.cpp).
std::vector<ivado::Detection> detect_on_volumes(const ivado::DetectionRequest& request);

/// Any packaged model, whatever the pipeline behind it works on: each kind is compiled once.
struct ProgramDetector {
  [[nodiscard]] std::vector<ivado::Detection> operator()(const ivado::DetectionRequest& request) const {
    return ivado::detail::package_dimension(request.package) == 2 ? detect_on_slices(request)
                                                                  : detect_on_volumes(request);
  }
};
