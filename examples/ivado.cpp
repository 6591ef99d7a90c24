// ivado, the general program: one more pipeline, whose policies are chosen at run time from ivadomed's JSON.
//
//   ivado -c config.json [--train|--test|--segment] [options]
//   ivado phantom OUT --subjects N …          writes the embedded data set
//   ivado info [--json] FILE…                 tells what is in image files
//   ivado overlay …                           draws predictions over images
#include <iostream>
#include <ivado/ivado.hpp>
#include <string>
#include <vector>

#ifdef IVADO_WITH_REPORT
#include "overlay.hpp"
#endif

using General = ivado::Pipeline<
    ivado::BidsLoader<ivado::AnySlices, ivado::Channels<ivado::dynamic>, ivado::Classes<ivado::dynamic>>,
    ivado::AnyCompose, ivado::AnyModel, ivado::AnyLoss, ivado::AnyPostProcess, ivado::StageTimer>;

namespace {

int info(const std::vector<std::string>& arguments) {
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

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  const std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
  try {
    if (command == "info") return info(arguments);
    if (command == "phantom") return ivado::run_phantom(arguments, std::cout, std::cerr);
#ifdef IVADO_WITH_REPORT
    if (command == "overlay") return ivado_overlay::run(arguments);
#endif
  } catch (const ivado::Error& error) {
    std::cerr << "ivado: error: " << error.what() << "\n";
    return error.exit_status();
  } catch (const std::exception& error) {
    std::cerr << "ivado: error: " << error.what() << "\n";
    return 4;
  }
  return ivado::main<General>(argc, argv);
}
