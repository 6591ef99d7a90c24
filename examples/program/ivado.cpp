// ivado, the general program: one more pipeline, whose policies are chosen at run time from ivadomed's JSON.
//
//   ivado -c config.json [--train|--test|--segment] [options]
//   ivado phantom OUT --subjects N …          writes the embedded data set
//   ivado info [--json] FILE…                 tells what is in image files
//   ivado summary -c config.json              layers, parameters, arithmetic and memory of the model
//   ivado onnx -po RESULTS                    the trained model as ONNX
//   ivado overlay …                           draws predictions over images
//   ivado prepare-vertebral-labels …          heat maps of vertebral discs as a data set
#include <iostream>
#include <ivado/ivado.hpp>
#include <string>
#include <vector>

#include "tools.hpp"

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
                    ivado::StageTimer, Exporter>;

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
  return ivado::main<General>(argc, argv);
}
