// ivado_golden --dir DIR: runs every case of the reference values in DIR that ivado has a part for.
#include <iostream>
#include <string>

#include "golden.hpp"

int main(int argc, char** argv) {
  const std::vector<std::pair<std::string, golden::Area>> areas{{"config", golden::config},
                                                                {"splits", golden::splits},
                                                                {"slices", golden::slices},
                                                                {"transforms", golden::transforms},
                                                                {"metrics", golden::metrics},
                                                                {"postprocessing", golden::postprocessing},
                                                                {"evaluation", golden::evaluation},
                                                                {"losses", golden::losses},
                                                                {"models", golden::models},
                                                                {"uncertainty", golden::uncertainty},
                                                                {"segment_volume", golden::segment_volume}};
  std::filesystem::path dir;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--dir" && i + 1 < argc)
      dir = argv[++i];
    else if (argument == "--only" && i + 1 < argc)
      only = argv[++i];
    else {
      std::cerr << "usage: ivado_golden --dir DIR [--only AREA]\n";
      return 2;
    }
  }
  if (!std::filesystem::is_directory(dir)) {
    std::cerr << "ivado_golden: the folder '" << dir.string() << "' does not exist; give it with --dir\n";
    return 2;
  }
  golden::Report report(std::cout);
  for (const auto& [name, area] : areas) {
    if (!only.empty() && only != name) continue;
    try {
      area(dir, report);
    } catch (const std::exception& fault) {
      report.fail(name, std::string("the area ended with: ") + fault.what());
    }
  }
  report.finish();
  return report.failed() == 0 ? 0 : 1;
}
