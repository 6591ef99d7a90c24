// The general program for models of volumes, in a source of its own.
#pragma once

#include <ivado/segment_image.hpp>
#include <string>
#include <vector>

/// What `ivado::main` is for slices, with the models of volumes: Modified3DUNet, and others where `is_2d` is false.
int run_on_volumes(int argc, char** argv);

/// What `ivado::segment_image` is for slices, with the models of volumes.
std::vector<std::string> segment_image_of_volumes(const ivado::SegmentImageOptions& options);
