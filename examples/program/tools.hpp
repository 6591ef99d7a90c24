// The commands of the program `ivado` that need no LibTorch, in a source of their own.
#pragma once

#include <optional>
#include <span>
#include <string>

/// Runs the command if it is one of these: info, phantom, overlay, summary, onnx, prepare-vertebral-labels, subset,
/// scale, transforms, compare, curve, dicom, pack, automate.
/// @return its exit status; nothing if it is none of them
std::optional<int> run_tool(const std::string& command, std::span<const std::string> arguments);
