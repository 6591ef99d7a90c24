// ivado info, phantom, overlay, summary, onnx, prepare-vertebral-labels, subset, scale, transforms, compare,
// curve, study, dicom, pack, automate.
#include "tools.hpp"

#include <iostream>
#include <ivado/data/dataset_copy.hpp>
#include <ivado/data/info.hpp>
#include <ivado/data/phantom.hpp>
#include <ivado/data/vertebral_labels.hpp>
#include <ivado/model/commands.hpp>
#include <ivado/report/compare.hpp>
#include <ivado/report/curve.hpp>
#include <ivado/study/automate.hpp>
#include <ivado/study/command.hpp>
#include <ivado/transform/gallery.hpp>
#include <ivado/transform/transform.hpp>
#include <vector>

#include "overlay.hpp"
#ifdef IVADO_WITH_HDF5
#include <ivado/data/pack.hpp>
#endif
#ifdef IVADO_WITH_DICOM
#include <ivado/data/dicom_io.hpp>
#endif
#ifdef IVADO_WITH_ONNX
#include <ivado/interop/onnx_command.hpp>
#endif

namespace {

int info(std::span<const std::string> arguments) {
  std::vector<std::string> files;
  bool json = false;
  for (const auto& argument : arguments) {
    if (argument == "--json")
      json = true;
    else if (argument == "-h" || argument == "--help")
      return std::cout << "usage: ivado info [--json] FILE...\n", 0;
    else
      files.push_back(argument);
  }
  if (files.empty()) throw ivado::usage_error("ivado info", "no file is given", "usage: ivado info [--json] FILE...");
  return ivado::run_info(files, json, std::cout, std::cerr);
}

}  // namespace

std::optional<int> run_tool(const std::string& command, std::span<const std::string> arguments) {
  if (command == "info") return info(arguments);
  if (command == "phantom") return ivado::run_phantom(arguments, std::cout, std::cerr);
  if (command == "summary") return ivado::run_summary(arguments, std::cout, std::cerr);
  if (command == "prepare-vertebral-labels")
    return ivado::run_prepare_vertebral_labels(arguments, std::cout, std::cerr);
  if (command == "overlay") return ivado_overlay::run({arguments.begin(), arguments.end()});
  if (command == "automate") return ivado::run_automate(arguments, ivado::own_program("ivado"), std::cout, std::cerr);
  if (command == "compare") return ivado::run_compare(arguments, std::cout, std::cerr);
  if (command == "curve") return ivado::run_curve(arguments, std::cout, std::cerr);
  if (command == "study")
    return ivado::study::run_study_command(arguments, ivado::own_program("ivado"), std::cout, std::cerr);
  if (command == "subset") return ivado::run_subset(arguments, std::cout, std::cerr);
  if (command == "scale") return ivado::run_scale(arguments, std::cout, std::cerr);
  if (command == "transforms") return ivado::run_transforms<ivado::AnyCompose>(arguments, std::cout, std::cerr);
#ifdef IVADO_WITH_HDF5
  if (command == "pack") return ivado::run_pack(arguments, std::cout, std::cerr);
#endif
#ifdef IVADO_WITH_DICOM
  if (command == "dicom") return ivado::run_dicom(arguments, std::cout, std::cerr);
#endif
#ifdef IVADO_WITH_ONNX
  if (command == "onnx") return ivado::run_onnx(arguments, std::cout, std::cerr);
#endif
  return std::nullopt;
}
