// `ivado summary`: what the model of a configuration is and costs. No LibTorch.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../config/ivadomed.hpp"
#include "../error.hpp"
#include "any_model.hpp"
#include "summary.hpp"

namespace ivado {

/// What a configuration says of its model.
struct ModelSetup {
  Json tree;                ///< merged with the defaults
  ModelParameters section;  ///< of the model that is chosen
  LoaderParameters loader;
  ModelTraits traits;

  /// @throws Error (usage) if the configuration cannot be read or names no model that exists
  explicit ModelSetup(const std::string& path) {
    const Json user = read_user_configuration(path);
    (void)check_keys(user);
    tree = complete_configuration(user);
    section = from_json<ModelParameters>(resolve_model(tree, Command::train), "default_model");
    loader = from_json<LoaderParameters>(tree.at("loader_parameters"), "loader_parameters");
    traits = any_model_traits(section);
    if (traits.condition == ConditionKind::presence && section.contrasts.empty())
      section.contrasts = loader.contrast_params.training_validation;
  }

  /// True if the model is conditioned on metadata.
  [[nodiscard]] bool takes_metadata() const {
    return traits.condition == ConditionKind::metadata ||
           (traits.condition == ConditionKind::any && section.metadata.has_value());
  }
  /// The numbers that come from the data.
  /// @param conditions  length of the metadata's code
  [[nodiscard]] NetworkShape shape(int conditions) const {
    return network_shape(section, loader, traits.condition, conditions);
  }
  /// The spatial size of a sample: of a patch or sub-volume, else what a crop makes of it.
  /// @throws Error (usage) if the configuration does not tell
  [[nodiscard]] std::vector<std::int64_t> size() const {
    const auto& length = section.is_2d ? section.length_2D : section.length_3D;
    if (!length.empty()) return length;
    for (const char* crop : {"CenterCrop", "ROICrop"})
      if (const auto found = tree.at("transformation").find(crop); found != tree.at("transformation").end())
        if (found->contains("size")) return from_json<std::vector<std::int64_t>>((*found)["size"], crop);
    throw usage_error("looking for the size of a sample", "the configuration has neither a crop nor patches",
                      std::string("give it with --size, such as --size ") + (section.is_2d ? "128x128" : "64x64x64"));
  }
};

namespace detail {

/// The value of an option, "128x96" or "4", as its numbers.
/// @param option  for messages
/// @param most    how many numbers it may have
/// @throws Error (usage) if it is no list of whole numbers from 1 to 2^31 - 1, or has more
[[nodiscard]] inline std::vector<std::int64_t> parse_extents(const std::string& text,
                                                             const std::string& option = "--size",
                                                             std::size_t most = 3) {
  std::vector<std::int64_t> out;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    std::int32_t value = 0;
    const auto [next, fault] = std::from_chars(at, end, value);
    const bool goes_on = next != end;
    if (fault != std::errc{} || value < 1 || (goes_on && (*next != 'x' || out.size() + 1 == most)))
      throw usage_error("reading the command line", option + " " + text,
                        most > 1 ? "give whole numbers, such as 128x128" : "give a whole number of 1 or more");
    out.push_back(value);
    if (!goes_on) return out;
    at = next + 1;
  }
}

}  // namespace detail

/// `ivado summary -c config.json [--size HxW[xD]] [--batch N] [--conditions N] [--json]`.
///
/// Layers with shapes, parameters, arithmetic and memory of activations of the configuration's model for an input, and
/// the sizes that it takes.
/// @return exit status: 0 done, 2 wrong usage or configuration
[[nodiscard]] inline int run_summary(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  try {
    const std::string usage =
        "usage: ivado summary -c config.json [--size HxW[xD]] [--batch N] [--conditions N] [--json]";
    std::string config;
    std::string size;
    std::int64_t batch = 0;
    int conditions = 0;
    bool json = false;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::string& option = arguments[i];
      if (option == "-h" || option == "--help") {
        out << usage << "\n\n  --size        spatial size of a sample (default: that of the patches or the crop)\n"
            << "  --batch       samples (default: training_parameters.batch_size)\n"
            << "  --conditions  number of categories of the metadata of a FiLM model (default 2)\n"
            << "  --json        for programs\n";
        return 0;
      }
      if (option == "--json") {
        json = true;
        continue;
      }
      const std::vector<std::string> known{"-c", "--config", "--size", "--batch", "--conditions", "--json", "--help"};
      if (std::find(known.begin(), known.end(), option) == known.end())
        throw usage_error("ivado summary", "there is no option \"" + option + "\"",
                          "did you mean \"" + detail::nearest(option, known) + "\"? " + usage);
      if (i + 1 == arguments.size()) throw usage_error("ivado summary", option + " needs a value", usage);
      const std::string& value = arguments[++i];
      if (option == "-c" || option == "--config") config = value;
      if (option == "--size") size = value;
      if (option == "--batch") batch = detail::parse_extents(value, option, 1).front();
      if (option == "--conditions") conditions = static_cast<int>(detail::parse_extents(value, option, 1).front());
    }
    if (config.empty()) throw usage_error("ivado summary", "no configuration is given", usage);
    const ModelSetup setup(config);
    if (batch == 0)
      batch = from_json<std::int64_t>(setup.tree.at("training_parameters").at("batch_size"),
                                      "training_parameters.batch_size");
    if (setup.takes_metadata() && conditions == 0) conditions = 2;
    const NetworkShape numbers = setup.shape(conditions);
    Shape input{batch, numbers.in_channels};
    const auto extents = size.empty() ? setup.size() : detail::parse_extents(size);
    if (extents.size() != (setup.section.is_2d ? 2U : 3U))
      throw usage_error("ivado summary",
                        "the size has " + std::to_string(extents.size()) + " extents, the model " +
                            (setup.section.is_2d ? "two" : "three") + " spatial axes",
                        "give another --size");
    for (const auto extent : extents) input.push_back(extent);
    const Summary summary = visit_model(setup.section, numbers,
                                        [&](const auto& model) { return summarize(model, input, setup.section.name); });
    if (json)
      out << summary.to_json().dump(2) << "\n";
    else
      summary.print(out);
    return 0;
  } catch (const Error& error) {
    err << "error: " << error.what() << "\n";
    return error.exit_status();
  }
}

}  // namespace ivado
