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
//   ivado transforms -c config.json -i IMAGE  pictures of what each transform does
#include <iostream>
#include <ivado/ivado.hpp>
#include <string>
#include <vector>

#include "tools.hpp"
#include "volumes.hpp"

#ifdef IVADO_WITH_ONNX
#include <ivado/interop/onnx_command.hpp>
using Exporter = ivado::OnnxExporter;
#else
using Exporter = ivado::NoExporter;
#endif

using General =
    ivado::Pipeline<ivado::BidsLoader<ivado::AnySlices, ivado::Channels<ivado::dynamic>, ivado::Classes<ivado::dynamic>,
                                      ivado::MissingContrasts, ivado::Metadata>,
                    ivado::AnyCompose, ivado::AnyModel, ivado::AnyLoss, ivado::AnyPostProcess, ivado::AnyScheduler,
                    ivado::AnyOptimizer, ivado::StageTimer, Exporter>;

namespace {

/// True if the configuration names a model of volumes. What is wrong with it is told by the pipeline that reads it.
bool takes_volumes(const std::vector<std::string>& arguments) {
  try {
    const ivado::CommandLine line = ivado::parse_command_line(arguments);
    if (line.config.empty()) return false;
    std::vector<std::string> warnings;
    const auto params = General::configure(General::defaults(), ivado::read_user_configuration(line.config), warnings);
    const ivado::Json model = ivado::resolve_model(ivado::to_json(params), line.command.value_or(params.command));
    return !model.value("is_2d", true);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  try {
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
