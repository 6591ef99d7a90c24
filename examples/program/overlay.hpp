// `ivado overlay`: pictures of predictions over their images. Needs libpng (component ivado::report).
#pragma once

#include <algorithm>
#include <iostream>
#include <ivado/data/volume_io.hpp>
#include <ivado/interop/png.hpp>
#include <span>
#include <string>
#include <vector>

namespace ivado_overlay {

inline constexpr const char* usage =
    "usage: ivado overlay OUT.png --image IMAGE [--prediction MASK] [--truth MASK] [--slice N] [--image ...]\n\n"
    "Draws an axial slice of each image with the outline of its truth and its prediction; without --slice the one in "
    "which\n"
    "prediction (else truth) is largest. Right of the patient on the left, anterior up.\n";

/// What is drawn in one panel.
struct Request {
  std::string image;
  std::string prediction;
  std::string truth;
  std::int64_t slice = -1;
};

/// The axial slices of a file as an array [H, W, D], D being the slice.
inline ivado::Array<float> axial(const std::string& path) {
  const ivado::Volume volume = ivado::read_volume(path);
  const ivado::AxisMap map = ivado::file_to_hwd(volume.geometry.affine, ivado::Axis::axial);
  return ivado::Array<float>::from(map.apply(volume.view()));
}

/// The slice in which most voxels are set; the middle one where none is.
inline std::int64_t fullest_slice(const ivado::Array<float>& mask) {
  std::int64_t best = mask.extent(2) / 2;
  std::int64_t most = 0;
  for (std::int64_t d = 0; d < mask.extent(2); ++d) {
    std::int64_t count = 0;
    for (std::int64_t h = 0; h < mask.extent(0); ++h)
      for (std::int64_t w = 0; w < mask.extent(1); ++w) count += mask.view()(h, w, d) >= 0.5F ? 1 : 0;
    if (count > most) {
      most = count;
      best = d;
    }
  }
  return best;
}

/// Runs the command with the arguments behind its name.
/// @throws ivado::Error for wrong usage or files that cannot be used
inline int run(std::span<const std::string> arguments) {
  std::string out;
  std::vector<Request> requests;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const auto value = [&]() -> const std::string& {
      if (i + 1 >= arguments.size())
        throw ivado::usage_error("ivado overlay", argument + " needs a value", "see ivado overlay --help");
      return arguments[++i];
    };
    const auto panel = [&]() -> Request& {
      if (requests.empty())
        throw ivado::usage_error("ivado overlay", argument + " stands before the first --image", "give --image first");
      return requests.back();
    };
    if (argument == "-h" || argument == "--help") return std::cout << usage, 0;
    if (argument == "--image")
      requests.push_back({value(), {}, {}, -1});
    else if (argument == "--prediction")
      panel().prediction = value();
    else if (argument == "--truth")
      panel().truth = value();
    else if (argument == "--slice") {
      const std::string& text = value();
      if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos || text.size() > 6)
        throw ivado::usage_error("ivado overlay", "--slice " + text, "give the number of a slice, from 0");
      panel().slice = std::stoll(text);
    } else if (out.empty() && argument[0] != '-')
      out = argument;
    else
      throw ivado::usage_error("ivado overlay", "\"" + argument + "\" is not understood", "see ivado overlay --help");
  }
  if (out.empty() || requests.empty())
    throw ivado::usage_error("ivado overlay", "the picture's name or --image is missing", "see ivado overlay --help");

  std::vector<ivado::Array<float>> slices;  // three a panel: image, truth, prediction
  std::vector<ivado::OverlayPanel> panels;
  slices.reserve(3 * requests.size());
  for (const auto& request : requests) {
    const ivado::Volume volume = ivado::read_volume(request.image);
    const ivado::AxisMap map = ivado::file_to_hwd(volume.geometry.affine, ivado::Axis::axial);
    const auto spacing = map.reorder(volume.geometry.spacing_mm());
    const auto load = [&](const std::string& path) {
      ivado::Array<float> mask = axial(path);
      if (!(mask.shape() == map.apply(volume.view()).shape()))
        throw ivado::data_error("drawing " + path + " over " + request.image,
                                mask.shape().text() + " and " + map.apply(volume.view()).shape().text() + " voxels",
                                "give files of one grid");
      return mask;
    };
    const ivado::Array<float> prediction =
        request.prediction.empty() ? ivado::Array<float>() : load(request.prediction);
    const ivado::Array<float> truth = request.truth.empty() ? ivado::Array<float>() : load(request.truth);
    const auto depth = map.apply(volume.view()).extent(2);
    std::int64_t slice = request.slice;
    if (slice < 0)
      slice = !prediction.empty() ? fullest_slice(prediction) : !truth.empty() ? fullest_slice(truth) : depth / 2;
    if (slice >= depth)
      throw ivado::usage_error("drawing " + request.image,
                               "slice " + std::to_string(slice) + ", it has " + std::to_string(depth),
                               "give a smaller number");
    ivado::OverlayPanel panel;
    const auto plane = [&](ivado::ArrayView<const float> hwd) {
      slices.push_back(ivado::Array<float>::from(hwd.select(2, slice)));
      return std::as_const(slices.back()).view();
    };
    panel.image = plane(map.apply(volume.view()));
    if (!truth.empty()) panel.truth = plane(truth.view());
    if (!prediction.empty()) panel.prediction = plane(prediction.view());
    panel.spacing_mm = {spacing[0], spacing[1]};
    panels.push_back(panel);
  }
  ivado::OverlayStyle style;
  style.pixels_per_mm = 6;
  style.smooth = true;
  ivado::write_overlay_png(out, panels, style);
  std::cout << "wrote " << out << "\n";
  return 0;
}

}  // namespace ivado_overlay
