// ivado, the general program: one more pipeline, whose policies are chosen at run time from ivadomed's JSON.
//
//   ivado -c config.json [--train|--test|--segment] [options]
//   ivado phantom OUT --subjects N …          writes the embedded data set
//   ivado info [--json] FILE…                 tells what is in image files
//   ivado summary -c config.json              layers, parameters, arithmetic and memory of the model
//   ivado onnx -po RESULTS                    the trained model as ONNX
//   ivado overlay …                           draws predictions over images
//   ivado prepare-vertebral-labels …          heat maps of vertebral discs as a data set
//   ivado subset, ivado scale                 a part of a data set, or more of it, as a new one
//   ivado dicom FOLDER …                      a DICOM series as NIfTI
//   ivado pack -c config.json --to FILE       a data set in one HDF5 file
//   ivado compare, ivado curve                statistics and violin plots between models; curves of trainings
//   ivado segment-image -i IMAGE -m MODEL     predicts image files with a packaged model
//   ivado automate -c config.json -ch options.json   trains a grid of configurations
//   ivado study EXPERIMENT…                   the profile study: six experiments, tables, figures, a page
//   ivado transforms -c config.json -i IMAGE  pictures of what each transform does
#include <iostream>
#include <ivado/ivado.hpp>
#include <ivado/profile/system_profiler.hpp>
#include <ivado/segment_image.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "detector.hpp"
#include "loader.hpp"
#include "tools.hpp"
#include "volumes.hpp"

#ifdef IVADO_WITH_ONNX
#include <ivado/interop/onnx_command.hpp>
using Exporter = ivado::OnnxExporter;
#else
using Exporter = ivado::NoExporter;
#endif
#ifdef IVADO_WITH_REPORT
#include <ivado/interop/gif_film.hpp>
using Film = ivado::GifFilm;
#else
using Film = ivado::NoFilm;
#endif
#ifdef IVADO_WITH_ENGINE
#include <ivado/nn/onednn_backend.hpp>
using ProgramBackend = ivado::OneDnnBackend;
#else
using ProgramBackend = ivado::LibTorchBackend;
#endif

using General = ivado::Pipeline<GeneralLoader<ivado::AnySlices>, ivado::AnyCompose, ivado::AnyModel, ivado::AnyLoss,
                                ivado::AnyPostProcess, ivado::AnyScheduler, ivado::AnyOptimizer,
                                ivado::SystemProfiler<ivado::SystemOptions{.is_on = false}>, Exporter, Film,
                                ProgramDetector, ProgramBackend>;

namespace {

/// True if a configuration names a model of volumes. What is wrong with it is told by the pipeline that reads it.
bool takes_volumes(const std::string& config, const std::optional<ivado::Command>& command) {
  try {
    std::vector<std::string> warnings;
    const auto params = General::configure(General::defaults(), ivado::read_user_configuration(config), warnings);
    const ivado::Json model = ivado::resolve_model(ivado::to_json(params), command.value_or(params.command));
    return !model.value("is_2d", true);
  } catch (const std::exception&) {
    return false;
  }
}
bool takes_volumes(const std::vector<std::string>& arguments) {
  try {
    const ivado::CommandLine line = ivado::parse_command_line(arguments);
    return !line.config.empty() && takes_volumes(line.config, line.command);
  } catch (const std::exception&) {
    return false;
  }
}

int segment_image(std::span<const std::string> arguments) {
  const ivado::SegmentImageOptions options = ivado::parse_segment_image(arguments);
  if (options.help) return std::cout << ivado::segment_image_usage, 0;
  (void)(takes_volumes(options.package(".json"), ivado::Command::segment) ? segment_image_of_volumes(options)
                                                                          : ivado::segment_image<General>(options));
  return 0;
}

}  // namespace

std::vector<ivado::Detection> detect_on_slices(const ivado::DetectionRequest& request) {
  return ivado::PackagedDetector<General>{}(request);
}

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  try {
    if (!arguments.empty() && arguments.front() == "segment-image")
      return segment_image(std::span(arguments).subspan(1));
    if (!arguments.empty())
      if (const auto status = run_tool(arguments.front(), std::span(arguments).subspan(1))) return *status;
  } catch (const ivado::Error& error) {
    std::cerr << "ivado: error: " << error.what() << "\n";
    return error.exit_status();
  } catch (const std::exception& error) {
    std::cerr << "ivado: error: " << error.what() << "\n";
    return 4;
  }
  return takes_volumes(arguments) ? run_on_volumes(argc, argv) : ivado::main<General>(argc, argv);
}
