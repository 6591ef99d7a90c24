// The command line of `ivado segment-image`, and of programs that do the same without LibTorch.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "command_options.hpp"
#include "error.hpp"
#include "infer/patch_choice.hpp"

namespace ivado {

inline constexpr std::string_view segment_image_usage =
    "usage: ivado segment-image -i IMAGE... -m MODEL [options]\n\n"
    "Predicts images with a packaged model: the folder <model_name> of a training, with <model_name>.json and\n"
    "<model_name>.safetensors in it.\n\n"
    "  -i,  --image FILE...       images; for a model of several channels those of one subject together, in the order "
    "of\n"
    "                             its contrasts\n"
    "  -m,  --model FOLDER        the packaged model\n"
    "  -s,  --suffix TEXT         stands behind the name of the (first) image (_pred); of a model with several "
    "classes\n"
    "                             behind _class-<k>\n"
    "  -o,  --output-dir FOLDER   of the predictions (.)\n"
    "       --pixel-size X Y [Z]  of pictures, in mm; without it that of their sidecars\n"
    "       --no-patch            predict each slice as a whole with a model of 2-D patches\n"
    "       --overlap-2d X Y      2-D patches overlap by so many voxels, along W and along H\n"
    "       --threads N           threads for computing (one a core)\n"
    "       --precision TYPE      of the convolutions: float32, or bf16 where the processor multiplies it (float32);\n"
    "                             bf16 in programs on the engine alone\n"
    "  -h,  --help                print this\n";

/// What `ivado segment-image` is asked for.
struct SegmentImageOptions {
  std::vector<std::string> images;
  std::string model;  ///< folder of the package
  std::string suffix = "_pred";
  std::string output = ".";
  std::vector<double> pixel_size_mm;  ///< X, Y and perhaps Z; empty: the sidecars tell
  PatchChoice patches;
  std::optional<int> threads;
  bool in_bf16 = false;  ///< convolutions, of the engine
  bool help = false;

  /// A file of the package, which is named after its folder.
  [[nodiscard]] std::string package(const std::string& extension) const {
    auto folder = std::filesystem::absolute(model).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    return (folder / (folder.filename().string() + extension)).string();
  }
};

/// Reads the command line of `ivado segment-image`.
/// @param arguments  behind the command's name
/// @throws Error (usage) for what is wrong, or a model that is no package
[[nodiscard]] inline SegmentImageOptions parse_segment_image(std::span<const std::string> arguments) {
  const CommandOptions given(arguments, "ivado segment-image",
                             {{"--no-patch"},
                              {"--model", "--suffix", "--output-dir", "--threads", "--precision"},
                              {"--image", "--pixel-size", "--overlap-2d"},
                              {{"-i", "--image"}, {"-m", "--model"}, {"-s", "--suffix"}, {"-o", "--output-dir"}}});
  const std::string doing = "reading the command line of ivado segment-image";
  SegmentImageOptions out;
  out.help = given.has("--help");
  if (out.help) return out;
  const auto numbers = [&]<class Number>(const std::string& option, std::size_t least, std::size_t most,
                                         Number lowest) {
    std::vector<Number> values;
    for (const auto& word : given.list(option)) {
      const std::vector<std::string> one{option, word};
      values.push_back(*CommandOptions(one, "ivado segment-image", {{}, {option}}).number<Number>(option));
      if (!(values.back() >= lowest)) throw usage_error(doing, option + " " + word, "give a larger number");
    }
    if (given.has(option) && (values.size() < least || values.size() > most))
      throw usage_error(doing, option + " has " + std::to_string(values.size()) + " values",
                        "give " + std::to_string(least) + (most > least ? " or " + std::to_string(most) : ""));
    return values;
  };
  out.images = given.list("--image");
  out.model = given.text("--model");
  if (out.images.empty() || out.model.empty())
    throw usage_error(doing, std::string(out.images.empty() ? "--image" : "--model") + " is missing",
                      "see ivado segment-image --help");
  if (given.has("--suffix")) out.suffix = given.text("--suffix");
  if (given.has("--output-dir")) out.output = given.text("--output-dir");
  if (out.suffix.find('/') != std::string::npos)
    throw usage_error(doing, "--suffix " + out.suffix, "give a part of a name; --output-dir takes the folder");
  out.pixel_size_mm = numbers("--pixel-size", 2, 3, 1e-9);
  out.patches.no_patch = given.has("--no-patch");
  if (const auto overlap = numbers("--overlap-2d", 2, 2, std::int64_t{0}); !overlap.empty())
    out.patches.overlap_xy = {overlap[0], overlap[1]};
  out.threads = given.number<int>("--threads");
  if (given.has("--precision")) {
    const std::string precision = given.text("--precision");
    if (precision != "float32" && precision != "bf16")
      throw usage_error(doing, "--precision " + precision, "give float32 or bf16");
    out.in_bf16 = precision == "bf16";
  }
  for (const char* extension : {".json", ".safetensors"})
    if (!std::filesystem::is_regular_file(out.package(extension)))
      throw usage_error("reading the model " + out.model, out.package(extension) + " does not exist",
                        "name the folder <path_output>/<model_name> of a training");
  return out;
}

}  // namespace ivado
