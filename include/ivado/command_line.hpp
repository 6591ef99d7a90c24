// The command line of an experiment. No LibTorch.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.hpp"
#include "config/sections.hpp"
#include "error.hpp"
#include "infer/patch_choice.hpp"
#include "inline.hpp"

namespace ivado {

/// What was asked for on the command line. What is not given is left to the configuration.
struct CommandLine {
  std::string config;  ///< path of the configuration file; empty: none
  std::optional<Command> command;
  std::vector<std::string> path_data;
  std::string path_output;
  std::optional<int> threads;
  std::optional<int> workers;
  std::optional<std::uint64_t> seed;
  std::optional<double> threshold_increment;  ///< step of the threshold analysis; without one there is none
  bool profile = false;                       ///< measure what the run takes from its machine
  bool resume = false;                        ///< go on with the training in the output folder
  std::int64_t gif = 0;                       ///< samples of the validation set that are filmed; 0: none
  PatchChoice patches;                        ///< patches of slices for segmenting
  bool help = false;
  bool keys = false;    ///< print the key reference
  bool schema = false;  ///< print the JSON Schema
  bool version = false;
};

/// The text of `--help`.
IVADO_INLINE void print_usage(std::ostream& out, std::string_view program) {
  out << "usage: " << program << " [-c config.json] [--train | --test | --segment] [options]\n\n"
      << "  -c,  --config FILE        configuration, in ivadomed's JSON\n"
         "       --train              train a model (the default, unless the configuration says otherwise)\n"
         "       --test               predict and evaluate the testing set with the model in the output folder\n"
         "       --segment            predict every image of the data\n"
         "  -pd, --path-data PATH...  BIDS folders; with --segment also image files\n"
         "  -po, --path-output PATH   folder of the results\n"
         "  -t,  --thr-increment X    after training, or with --test before it: find the best threshold of the "
         "validation "
         "set\n"
         "                            among X, 2X, 3X … below 1, for postprocessing.binarize_prediction\n"
         "  -g,  --gif N              while training: animations of N samples of the validation set in gifs/, a frame "
         "an "
         "epoch\n"
         "       --no-patch           with --segment and a model of 2-D patches: predict each slice as a whole\n"
         "       --overlap-2d X Y     with --segment and a model of 2-D patches: patches overlap by X voxels along W "
         "and "
         "Y\n"
         "                            along H; --no-patch goes before it\n"
         "       --resume-training    go on with the interrupted training in the output folder, bit for bit\n"
         "       --profile            measure time, processor and memory of each phase and mini-batch: tables in "
         "profile/\n"
         "       --threads N          threads for computing; they fix the results to the last bit (default: one a "
         "core)\n"
         "       --workers N          threads that load data; results do not depend on them\n"
         "       --seed N             seed of weights, augmentation, shuffling and dropout\n"
         "       --keys               print the reference of all configuration keys\n"
         "       --schema             print the JSON Schema of the configuration\n"
         "       --version            print the version\n"
         "  -h,  --help               print this\n\n"
         "Exit status: 0 done, 2 wrong usage or configuration, 3 data that cannot be used, 4 anything else.\n";
}

/// Reads the arguments behind the program's name.
/// @throws Error (usage) for an unknown option (with the nearest), a missing or impossible value, or two commands
[[nodiscard]] IVADO_INLINE CommandLine parse_command_line(std::span<const std::string> arguments) {
  const std::string doing = "reading the command line";
  const std::vector<std::string> known{"-c",        "--config",    "--train",    "--test",          "--segment",
                                       "-pd",       "--path-data", "-po",        "--path-output",   "--threads",
                                       "--workers", "--seed",      "-t",         "--thr-increment", "--keys",
                                       "--schema",  "--version",   "-h",         "--help",          "--resume-training",
                                       "-g",        "--gif",       "--no-patch", "--overlap-2d",    "--profile"};
  CommandLine line;
  std::size_t i = 0;
  const auto is_option = [](const std::string& text) { return text.size() > 1 && text[0] == '-'; };
  const auto value = [&]() -> const std::string& {
    if (i + 1 >= arguments.size() || is_option(arguments[i + 1]))
      throw usage_error(doing, arguments[i] + " needs a value", "see --help");
    return arguments[++i];
  };
  const auto number = [&](std::int64_t least) {
    const std::string option = arguments[i];
    const std::string& text = value();
    std::int64_t result = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), result);
    if (fault != std::errc{} || end != text.data() + text.size() || result < least)
      throw usage_error(doing, option + " " + text, "give a whole number of " + std::to_string(least) + " or more");
    return result;
  };
  const auto two_numbers = [&] {
    const std::size_t at = i;
    const std::int64_t first = number(0);
    if (i + 1 >= arguments.size() || is_option(arguments[i + 1]))
      throw usage_error(doing, arguments[at] + " needs two values",
                        "give the overlap along X and along Y, such as 48 48");
    const std::string& text = arguments[++i];
    std::int64_t second = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), second);
    if (fault != std::errc{} || end != text.data() + text.size() || second < 0)
      throw usage_error(doing, arguments[at] + " " + arguments[at + 1] + " " + text, "give whole numbers of 0 or more");
    return std::array{first, second};
  };
  const auto fraction = [&] {
    const std::string option = arguments[i];
    const std::string& text = value();
    double result = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), result);
    if (fault != std::errc{} || end != text.data() + text.size() || !(result > 0 && result < 1))
      throw usage_error(doing, option + " " + text, "give a number between 0 and 1, such as 0.01");
    return result;
  };
  const auto command = [&](Command chosen) {
    if (line.command && *line.command != chosen)
      throw usage_error(doing,
                        "both --" + std::string(enum_name(*line.command)) + " and --" + std::string(enum_name(chosen)),
                        "give one of them");
    line.command = chosen;
  };
  for (; i < arguments.size(); ++i) {
    const std::string& option = arguments[i];
    if (option == "-c" || option == "--config")
      line.config = value();
    else if (option == "--train")
      command(Command::train);
    else if (option == "--test")
      command(Command::test);
    else if (option == "--segment")
      command(Command::segment);
    else if (option == "-po" || option == "--path-output")
      line.path_output = value();
    else if (option == "--threads")
      line.threads = static_cast<int>(number(1));
    else if (option == "--workers")
      line.workers = static_cast<int>(number(0));
    else if (option == "--seed")
      line.seed = static_cast<std::uint64_t>(number(0));
    else if (option == "-t" || option == "--thr-increment")
      line.threshold_increment = fraction();
    else if (option == "-g" || option == "--gif")
      line.gif = number(0);
    else if (option == "--no-patch")
      line.patches.no_patch = true;
    else if (option == "--overlap-2d")
      line.patches.overlap_xy = two_numbers();
    else if (option == "--resume-training")
      line.resume = true;
    else if (option == "--profile")
      line.profile = true;
    else if (option == "--keys")
      line.keys = true;
    else if (option == "--schema")
      line.schema = true;
    else if (option == "--version")
      line.version = true;
    else if (option == "-h" || option == "--help")
      line.help = true;
    else if (option == "-pd" || option == "--path-data") {
      line.path_data.push_back(value());
      while (i + 1 < arguments.size() && !is_option(arguments[i + 1])) line.path_data.push_back(arguments[++i]);
    } else {
      throw usage_error(doing, "there is no option \"" + option + "\"",
                        "did you mean \"" + detail::nearest(option, known) + "\"? --help lists all");
    }
  }
  return line;
}

/// Refuses options that the command would pass over.
/// @param command  that of the command line, or else of the configuration
/// @throws Error (usage) for --resume-training without --train, and --thr-increment with --segment
IVADO_INLINE void check_options(const CommandLine& line, Command command) {
  const auto refuse = [&](const std::string& option, const std::string& remedy) {
    throw usage_error("reading the command line",
                      option + " is given, and the command is \"" + std::string(enum_name(command)) + "\"", remedy);
  };
  if (line.resume && command != Command::train) refuse("--resume-training", "it is for --train");
  if (line.threshold_increment && command == Command::segment)
    refuse("--thr-increment", "it is for --train and --test: segmenting has no truth to compare with");
}

}  // namespace ivado
