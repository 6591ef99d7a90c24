// `ivado onnx`: the ONNX file of a trained model; and the exporter policy that writes it at the end of a training. Needs
// libonnx (component onnx), no LibTorch.
#pragma once

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../data/metadata_encoder.hpp"
#include "../model/commands.hpp"
#include "onnx.hpp"
#include "onnx_weights.hpp"
#include "python_checkpoint.hpp"

namespace ivado {

/// An exporter policy of a pipeline: the packaged model as ONNX as well.
struct OnnxExporter {
  static constexpr std::string_view extension = ".onnx";
  /// @throws Error if the file fails the checks of ONNX or cannot be written
  void operator()(const std::string& path, const graph::Graph& graph, const nn::Weights& weights) const {
    write_onnx(path, graph, weights, {false, false, weights.metadata});
  }
  /// The weights of an ONNX file for an architecture: by name, else by order and shape.
  /// @throws Error (data) listing what does not match
  [[nodiscard]] static nn::Weights read(const std::string& path, const nn::ParameterList& list) {
    return match_weights(list, read_onnx_weights(path), path);
  }
};

/// Reads the weights of any format: ONNX by its name, the others by their content.
/// @throws Error (data) if the file cannot be read
[[nodiscard]] inline nn::Weights read_any_weights(const std::string& path) {
  return std::filesystem::path(path).extension() == ".onnx" ? read_onnx_weights(path) : read_weights(path);
}

/// `ivado onnx [-c config.json] [-po RESULTS] [-w WEIGHTS] [-o FILE.onnx] [--size HxW[xD]]`.
///
/// Without -c the configuration is that of the results, without -w the weights are their best ones; the file goes into
/// their package by default. The network is recorded for the size of the configuration's samples, and takes others.
/// @return exit status: 0 done, 2 wrong usage or configuration, 3 weights that cannot be used, 4 anything else
[[nodiscard]] inline int run_onnx(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  try {
    const std::string usage =
        "usage: ivado onnx [-c config.json] [-po RESULTS] [-w WEIGHTS] [-o FILE.onnx] [--size HxW[xD]]";
    std::string config;
    std::string results;
    std::string weights_path;
    std::string file;
    std::string size;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::string& option = arguments[i];
      if (option == "-h" || option == "--help") return out << usage << "\n", 0;
      const std::vector<std::string> known{"-c",        "--config", "-po",      "--path-output", "-w",
                                           "--weights", "-o",       "--output", "--size",        "--help"};
      if (std::find(known.begin(), known.end(), option) == known.end())
        throw usage_error("ivado onnx", "there is no option \"" + option + "\"",
                          "did you mean \"" + detail::nearest(option, known) + "\"? " + usage);
      if (i + 1 == arguments.size()) throw usage_error("ivado onnx", option + " needs a value", usage);
      const std::string& value = arguments[++i];
      if (option == "-c" || option == "--config") config = value;
      if (option == "-po" || option == "--path-output") results = value;
      if (option == "-w" || option == "--weights") weights_path = value;
      if (option == "-o" || option == "--output") file = value;
      if (option == "--size") size = value;
    }
    if (config.empty() && results.empty())
      throw usage_error("ivado onnx", "neither a configuration nor the folder of a training is given", usage);
    if (config.empty()) config = (std::filesystem::path(results) / "config_file.json").string();
    const ModelSetup setup(config);
    const auto name = setup.tree.at("model_name").get<std::string>();
    if (results.empty()) results = setup.tree.at("path_output").get<std::string>();
    if (weights_path.empty()) weights_path = (std::filesystem::path(results) / "best_model.safetensors").string();
    if (file.empty()) file = (std::filesystem::path(results) / name / (name + ".onnx")).string();
    const nn::Weights found = read_any_weights(weights_path);
    int conditions = 0;
    if (setup.takes_metadata()) {
      const auto said = found.metadata.find("condition");
      if (said == found.metadata.end())
        throw data_error("reading the weights " + weights_path, "they do not say how the metadata is encoded",
                         "give the safetensors of a training with ivado");
      conditions = static_cast<int>(MetadataEncoder::from_json(Json::parse(said->second)).size());
    }
    const NetworkShape numbers = setup.shape(conditions);
    Shape input{1, numbers.in_channels};
    for (const auto extent : size.empty() ? setup.size() : detail::parse_extents(size)) input.push_back(extent);
    const graph::Graph graph =
        visit_model(setup.section, numbers, [&](const auto& model) { return graph::record(model, input); });
    nn::Weights weights = match_weights(graph.parameters, found, weights_path);
    weights.metadata = found.metadata;
    write_onnx(file, graph, weights, {false, false, found.metadata});
    out << "wrote " << file << "\n";
    return 0;
  } catch (const Error& error) {
    err << "error: " << error.what() << "\n";
    return error.exit_status();
  }
}

}  // namespace ivado
