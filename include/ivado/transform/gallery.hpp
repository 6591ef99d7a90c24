// `ivado transforms`: pictures of what each transform of a chain does to an image. No LibTorch.
// Needs libpng 1.6 (link with -lpng); no other header includes this one.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "../command_options.hpp"
#include "../config/ivadomed.hpp"
#include "../config/sections.hpp"
#include "../data/case.hpp"
#include "../data/sample.hpp"
#include "../data/slice_dataset.hpp"
#include "../error.hpp"
#include "../interop/png.hpp"
#include "../random.hpp"
#include "concept.hpp"
#include "step.hpp"

namespace ivado {

/// What a gallery shows.
struct GalleryParams {
  Stage stage = Stage::training;  ///< the transforms of this set are shown
  std::uint32_t draws = 3;        ///< of what is random; at least 1
  std::uint64_t seed = 0;         ///< of the draws
};

/// One transform of a chain, or the whole chain, at work on a sample.
struct GalleryStep {
  std::size_t number = 0;  ///< its place in the order of execution, from 1; 0: the whole chain
  std::string name;        ///< of the transform; "chain" for the whole chain
  std::uint32_t draw = 0;  ///< number of the draw, from 1; 0: nothing up to here is random, so that all draws are alike
  const Sample& before;    ///< as the chain hands it to the transform
  const Sample& after;

  /// "02_RandomAffine_draw-1", "01_Resample", "chain_draw-3".
  [[nodiscard]] std::string file_stem() const {
    std::string out = name;
    if (number > 0) out = (number < 10 ? "0" : "") + std::to_string(number) + "_" + out;
    return draw > 0 ? out + "_draw-" + std::to_string(draw) : out;
  }
};

/// Calls `show(GalleryStep)` for each transform of a chain in the order of execution, and then for the whole chain; for
/// each draw anew, but for what is the same in all draws once.
///
/// Each transform works alone, on what those before it have made, with the draw that it has in the chain: the last
/// result is that of the chain, bit for bit, for sample 0 in the epoch of the draw's number. (ivadomed's
/// visualize_transforms draws anew at each stage, known-problems B7.7.)
///
/// @tparam Chain   a `DynamicCompose`
/// @param params   of the chain
/// @param sample   as read: label and region of interest may be empty
/// @return         the names of transforms that do not work on this set
/// @throws Error (usage) if no transform does, or there is no draw; and what the transforms throw
template <class Chain, class Show>
std::vector<std::string> visit_gallery(const typename Chain::Params& params, const Sample& sample,
                                       const GalleryParams& gallery, const Show& show) {
  const std::string doing = "showing the transforms of the " + std::string(detail::set_name(gallery.stage)) + " set";
  if (gallery.draws == 0) throw usage_error(doing, "no draw is asked for", "ask for one or more");
  struct Single {
    std::string name;
    bool is_random = false;
    Chain alone;  ///< the chain with all other transforms switched off: places, and so draws, stay
  };
  std::vector<Single> steps;
  std::vector<std::string> idle;
  const auto names = params.names();
  for (const bool preprocessing : {true, false})
    for (std::size_t i = 0; i < params.steps.size(); ++i)
      std::visit(
          [&]<class T>(const Step<T>& step) {
            if (T::is_preprocessing != preprocessing) return;
            if (!step.dataset_type.contains(gallery.stage)) return idle.push_back(names[i]);
            auto others_off = params;
            for (std::size_t j = 0; j < params.steps.size(); ++j)
              if (j != i)
                std::visit([](auto& other) { other.dataset_type = {false, false, false}; }, others_off.steps[j]);
            steps.push_back({names[i], T::is_random, Chain(others_off)});
          },
          params.steps[i]);
  if (steps.empty())
    throw usage_error(doing, "the configuration has no transform for it", "add one to \"transformation\"");
  for (std::uint32_t draw = 1; draw <= gallery.draws; ++draw) {
    Sample now = sample.clone();
    bool is_random = false;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Sample before = now.clone();
      auto history = steps[i].alone.preprocess(now, gallery.stage);
      steps[i].alone.augment(now, gallery.stage, {gallery.seed, draw, 0, 0}, history);
      is_random = is_random || steps[i].is_random;
      if (is_random || draw == 1) show(GalleryStep{i + 1, steps[i].name, is_random ? draw : 0, before, now});
    }
    if (is_random || draw == 1) show(GalleryStep{0, "chain", is_random ? draw : 0, sample, now});
    if (!is_random) break;
  }
  return idle;
}

namespace detail::gallery {

/// The first channel of an image, as a slice [H, W]: the middle one of a volume. The largest of several classes.
[[nodiscard]] inline Array<float> plane(const Image& image) {
  if (image.empty()) return {};
  Array<float> out;
  for (std::int64_t c = 0; c < (image.kind == Kind::image ? 1 : image.voxels.extent(0)); ++c) {
    auto channel = image.voxels.view().select(0, c);
    if (channel.rank() == 3) channel = channel.select(2, channel.extent(2) / 2);
    if (c == 0)
      out = Array<float>::from(channel);
    else
      zip(channel, out.view(), [](float value, float& largest) { largest = std::max(largest, value); });
  }
  return out;
}

[[nodiscard]] inline std::array<double, 2> lengths_mm(const Image& image) {
  return {static_cast<double>(image.voxels.extent(1)) * image.spacing_mm[0],
          static_cast<double>(image.voxels.extent(2)) * image.spacing_mm[1]};
}

[[nodiscard]] inline bool same_grid(const Image& a, const Image& b) {
  return a.spatial() == b.spatial() && a.spacing_mm == b.spacing_mm;
}

/// after - before in colour: red where it is brighter, blue where it is darker, black where it is the same; full colour
/// at the 99.5th percentile of the differences.
[[nodiscard]] inline Array<std::uint8_t> draw_difference(const Array<float>& before, const Array<float>& after,
                                                         std::int64_t rows, std::int64_t columns, Axis axis) {
  Array<float> difference(before.shape());
  std::vector<float> sizes;
  for (std::int64_t i = 0; i < before.size(); ++i) {
    difference[i] = after[i] - before[i];
    if (!std::isfinite(difference[i])) difference[i] = 0;
    if (difference[i] != 0) sizes.push_back(std::abs(difference[i]));
  }
  std::sort(sizes.begin(), sizes.end());
  const double full = sizes.empty() ? 1 : percentile_of_sorted(sizes, 99.5);
  const auto shown = as_displayed(std::as_const(difference).view(), axis);
  const Resampling by_row(shown.extent(0), rows, true);
  const Resampling by_column(shown.extent(1), columns, true);
  Array<std::uint8_t> out(Shape{rows, columns, 3});
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) {
      const double value =
          between(shown, by_row.places[static_cast<std::size_t>(r)], by_column.places[static_cast<std::size_t>(c)]) /
          full;
      const double strong = std::min(std::abs(value), 1.0);
      const double faint = strong * 0.35;
      const std::array<double, 3> colour =
          value > 0 ? std::array{strong, faint, faint * 0.5} : std::array{faint * 0.5, faint, strong};
      for (std::size_t k = 0; k < 3; ++k)
        out[(r * columns + c) * 3 + static_cast<std::int64_t>(k)] =
            static_cast<std::uint8_t>(std::lround(colour[k] * 255));
    }
  return out;
}

inline constexpr Colour label_colour{64, 224, 96};
inline constexpr Colour old_label_colour{255, 255, 255};
inline constexpr Colour roi_colour{64, 160, 255};

}  // namespace detail::gallery

/// The picture of a step: before | after | difference.
///
/// Both images are shown in one scale of mm, each with its own window of grey (see `overlay`), a volume by its middle
/// slice; the label is outlined in green and the region of interest in blue, where they lie on the image's grid. The
/// difference is after - before, red where positive and blue where negative, with the label before in white and after
/// in green; it is left out where the transform changes the grid.
/// @param axis    the axis across which slices are cut
/// @param pixels  of the longer side of the larger image
/// @return        [rows, columns, 3], red, green, blue
[[nodiscard]] inline Array<std::uint8_t> draw_gallery_step(const GalleryStep& step, Axis axis, int pixels = 512) {
  namespace own = detail::gallery;
  const Image& before = step.before.image;
  const Image& after = step.after.image;
  double longest_mm = 0;
  for (const Image* image : {&before, &after})
    for (const double length : own::lengths_mm(*image)) longest_mm = std::max(longest_mm, length);
  OverlayStyle style;
  style.axis = axis;
  style.pixels_per_mm = pixels / longest_mm;
  style.truth = own::label_colour;
  style.prediction = own::roi_colour;
  std::vector<Array<float>> planes;  // image, label and region of interest before, and after
  for (const Sample* sample : {&step.before, &step.after})
    for (const Image* image : {&sample->image, &sample->label, &sample->roi}) {
      const bool is_shown = own::same_grid(*image, sample->image);
      planes.push_back(is_shown ? own::plane(*image) : Array<float>{});
    }
  const auto mask = [&](std::size_t i) {
    return planes[i].empty() ? ArrayView<const float>{} : std::as_const(planes[i]).view();
  };
  std::vector<OverlayPanel> panels;
  for (const std::size_t first : {std::size_t{0}, std::size_t{3}}) {
    const Image& image = first == 0 ? before : after;
    panels.push_back({std::as_const(planes[first]).view(),
                      mask(first + 1),
                      mask(first + 2),
                      {image.spacing_mm[0], image.spacing_mm[1]}});
  }
  Array<std::uint8_t> pair = overlay(panels, style);
  if (!own::same_grid(before, after)) return pair;

  const std::int64_t rows = pair.extent(0);
  const std::int64_t columns = (pair.extent(1) - style.separator) / 2;
  Array<std::uint8_t> third = own::draw_difference(planes[0], planes[3], rows, columns, axis);
  for (const std::size_t label : {std::size_t{1}, std::size_t{4}}) {
    if (planes[label].empty()) continue;
    const auto shown = detail::as_displayed(mask(label), axis);
    detail::draw_mask(third.view(), shown, detail::Resampling(shown.extent(0), rows, true),
                      detail::Resampling(shown.extent(1), columns, true), Mark::contour,
                      label == 1 ? own::old_label_colour : own::label_colour, style);
  }
  Array<std::uint8_t> out(Shape{rows, pair.extent(1) + style.separator + columns, 3});
  for (std::int64_t i = 0; i < out.size() / 3; ++i) std::copy_n(style.background.data(), 3, out.data() + i * 3);
  copy(std::as_const(pair).view(), out.view().narrow(1, 0, pair.extent(1)));
  copy(std::as_const(third).view(), out.view().narrow(1, pair.extent(1) + style.separator, columns));
  return out;
}

namespace detail::gallery {

/// "64x64 voxels of 0.5x0.5 mm, values 0 to 1023, label 120 voxels".
[[nodiscard]] inline std::string describe(const Sample& sample) {
  const Image& image = sample.image;
  std::string size;
  std::string spacing;
  for (int axis = 0; axis < image.dimension(); ++axis) {
    size += (axis == 0 ? "" : "x") + std::to_string(image.voxels.extent(axis + 1));
    spacing += (axis == 0 ? "" : "x") + text(image.spacing_mm[static_cast<std::size_t>(axis)]);
  }
  const auto [low, high] = std::minmax_element(image.voxels.begin(), image.voxels.end());
  std::string out = text(size, " voxels of ", spacing, " mm, values ", *low, " to ", *high);
  if (!sample.label.empty()) {
    const auto& label = sample.label.voxels;
    out += text(", label ", std::count_if(label.begin(), label.end(), [](float v) { return v >= 0.5F; }), " voxels");
    if (!same_grid(sample.label, image)) out += " on another grid";
  }
  return out;
}

/// The sample of a case: one slice of the (H, W, D) volume, or all of it.
/// @param slice  along D; -1: the middle one
[[nodiscard]] inline Sample read_sample(const Case& one, const SliceOptions& options, bool is_2d, std::int64_t slice,
                                        std::vector<std::string>& warnings) {
  const CaseVoxels voxels = read_case(one, options, &warnings);
  const AxisMap map = file_to_hwd(voxels.geometry.affine, options.axis);
  const auto depth = hwd_view(voxels.images[0], map).extent(2);
  if (slice >= depth)
    throw usage_error("showing " + one.images[0], text("slice ", slice, " is asked for, it has ", depth),
                      "give a number below " + std::to_string(depth));
  const std::int64_t chosen = slice < 0 ? depth / 2 : slice;
  const auto stack = [&](const auto& arrays, Kind kind) {
    Image out{{}, kind, map.reorder(voxels.geometry.spacing_mm())};
    for (std::size_t c = 0; c < arrays.size(); ++c) {
      auto view = hwd_view(arrays[c], map);
      if (is_2d) view = view.select(2, chosen);
      if (c == 0) out.voxels = Array<float>(view.shape().prepended(static_cast<std::int64_t>(arrays.size())));
      copy(view, out.voxels.view().select(0, static_cast<std::int64_t>(c)));
    }
    return out;
  };
  Sample sample;
  sample.image = stack(voxels.images, Kind::image);
  sample.label = voxels.soft_labels.empty() ? stack(voxels.masks, Kind::label) : stack(voxels.soft_labels, Kind::label);
  if (!voxels.roi.empty()) sample.roi = stack(std::span(&voxels.roi, 1), Kind::roi);
  sample.origin = {0, is_2d ? static_cast<std::int32_t>(chosen) : -1};
  return sample;
}

inline void print_usage(std::ostream& out) {
  out << "usage: ivado transforms -c config.json -i IMAGE -o FOLDER [options]\n\n"
         "Draws what each transform of the configuration does to an image, and what the whole chain does: PNG "
         "pictures\n"
         "of before, after and their difference (red: more, blue: less), named by transform and draw. Each transform\n"
         "works on what those before it have made, with the draw that it has in the chain.\n\n"
         "  -c, --config  configuration: transforms, slice axis, 2-D or 3-D model\n"
         "  -i, --image   image file\n"
         "  -o, --output  folder of the pictures; it is made if it is not there\n"
         "  -l, --label   label files of the image, outlined in green\n"
         "  -r, --roi     region of interest, outlined in blue\n"
         "  -n, --draws   number of draws of what is random (default 3)\n"
         "      --slice   number of the slice, from 0 (default: the middle one; of volumes always)\n"
         "      --set     training (default), validation or testing: whose transforms are shown\n"
         "      --seed    seed of the draws (default 0)\n";
}

}  // namespace detail::gallery

/// The command `ivado transforms -c config.json -i IMAGE -o FOLDER [-l LABEL…] [-r ROI] [-n DRAWS] [--slice N] [--set
/// SET] [--seed N]`.
/// @tparam Chain     a `DynamicCompose`: the transforms that the program has
/// @param arguments  what follows the word `transforms`
/// @param out        one line a picture, with grids, ranges of values and sizes of labels
/// @return           exit status: 0 done, 2 wrong usage or configuration, 3 data that cannot be used, 4 anything else
template <class Chain>
[[nodiscard]] int run_transforms(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  return run_guarded("ivado transforms", err, [&] {
    const CommandOptions options(
        arguments, "ivado transforms",
        {.flags = {},
         .values = {"--config", "--image", "--output", "--roi", "--draws", "--slice", "--set", "--seed"},
         .lists = {"--label"},
         .aliases = {{"-c", "--config"},
                     {"-i", "--image"},
                     {"-o", "--output"},
                     {"-l", "--label"},
                     {"-r", "--roi"},
                     {"-n", "--draws"}}});
    if (options.has("--help")) {
      detail::gallery::print_usage(out);
      return 0;
    }
    const std::string doing = "ivado transforms";
    for (const char* needed : {"--config", "--image", "--output"})
      if (!options.has(needed))
        throw usage_error(doing, std::string(needed) + " is missing", "see ivado transforms --help");
    GalleryParams gallery;
    gallery.draws = options.number<std::uint32_t>("--draws").value_or(gallery.draws);
    gallery.seed = options.number<std::uint64_t>("--seed").value_or(gallery.seed);
    if (options.has("--set")) gallery.stage = from_json<Stage>(Json(options.text("--set")), "--set");

    const Json user = read_user_configuration(options.text("--config"));
    (void)check_keys(user);
    const Json tree = complete_configuration(user);
    const auto params = from_json<typename Chain::Params>(tree.at("transformation"), "transformation");
    const auto loader = from_json<LoaderParameters>(tree.at("loader_parameters"), "loader_parameters");
    const Json model = resolve_model(tree, Command::train);
    const bool is_2d = !model.contains("is_2d") || from_json<bool>(model["is_2d"], "default_model.is_2d");
    if (!is_2d && options.has("--slice"))
      throw usage_error(doing, "--slice is given, and the model of the configuration takes volumes",
                        "leave it out: the middle slice is shown");

    Case one;
    one.id = options.text("--image");
    one.images = {one.id};
    one.labels = options.list("--label");
    one.roi = options.text("--roi");
    SliceOptions slices;
    slices.axis = loader.slice_axis;
    slices.soft_gt = loader.soft_gt;
    slices.grid_tolerance_mm = loader.grid_tolerance_mm;
    slices.allow_regrid = loader.allow_regrid;
    const auto slice = options.number<std::uint32_t>("--slice");
    std::vector<std::string> warnings;
    const Sample sample =
        detail::gallery::read_sample(one, slices, is_2d, slice ? static_cast<std::int64_t>(*slice) : -1, warnings);
    for (const auto& warning : warnings) err << "warning: " << warning << "\n";

    const std::filesystem::path folder = options.text("--output");
    std::error_code fault;
    std::filesystem::create_directories(folder, fault);
    if (!std::filesystem::is_directory(folder))
      throw internal_error(doing, "the folder " + folder.string() + " cannot be made",
                           "check its name and the permissions of the folder above");
    const auto idle = visit_gallery<Chain>(params, sample, gallery, [&](const GalleryStep& step) {
      const std::string path = (folder / (step.file_stem() + ".png")).string();
      const Array<std::uint8_t> picture = draw_gallery_step(step, slices.axis);
      write_png(path, picture.view());
      out << "wrote " << path << "\n  before: " << detail::gallery::describe(step.before)
          << "\n  after:  " << detail::gallery::describe(step.after) << "\n";
    });
    for (const auto& name : idle)
      out << "not shown: " << name << ", which does not work on the " << detail::set_name(gallery.stage) << " set\n";
    return 0;
  });
}

}  // namespace ivado
