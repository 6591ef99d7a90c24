// The loader policy: BIDS folders to cases, and cases to a data set of samples. With the concept of a Loader.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../config/sections.hpp"
#include "../error.hpp"
#include "../random.hpp"
#include "batch_loader.hpp"
#include "bids_cases.hpp"
#include "bids_index.hpp"
#include "case.hpp"
#include "sample.hpp"
#include "slice_dataset.hpp"
#include "slicing.hpp"

namespace ivado {

namespace detail {

/// A chain of no transforms, to ask a loader whether it makes data sets.
struct NoTransforms {
  struct History {};
  [[nodiscard]] History preprocess(Sample&, Stage) const { return {}; }
  void augment(Sample&, Stage, const RandomKey&, History&) const {}
  void invert(Image&, const History&) const {}
};

template <class Option>
inline constexpr bool is_loader_option = false;
template <int N>
inline constexpr bool is_loader_option<Channels<N>> = true;
template <int N>
inline constexpr bool is_loader_option<Classes<N>> = true;

/// The number that an option carries, if it is of that kind.
template <class Option>
[[nodiscard]] consteval int channels_or(int otherwise) {
  if constexpr (requires { Option::channels; }) return Option::channels;
  return otherwise;
}
template <class Option>
[[nodiscard]] consteval int classes_or(int otherwise) {
  if constexpr (requires { Option::classes; }) return Option::classes;
  return otherwise;
}

/// The static member `axis` of a loader whose slices lie along a fixed axis.
template <class Slicing>
struct LoaderAxis {};
template <class Slicing>
requires has_static_axis<Slicing>
struct LoaderAxis<Slicing> {
  static constexpr Axis axis = Slicing::axis;
};

}  // namespace detail

/// Finds the cases of a study, and makes data sets of them.
///
/// Requirements:
///   `Params`                  a reflected struct; construction from it reads no file
///   `dimension`               spatial axes of a sample: 2 or 3
///   `axis`                    optional: the slice axis, where the type fixes it
///   `channels`, `classes`     of a sample; `dynamic` where the parameters say it
///   `cases(labels_required, contrasts, left_out)`   all cases that can be used; the others go to `left_out` with their
///   reason `dataset(cases, augment, stage, seed)`          the samples of some cases after the transforms of
///   `augment`, a `Dataset`
/// Laws (tests/data/bids_loader_test.cpp): cases come in one order; a data set depends on its arguments alone, not on
/// threads or memory; what does not agree with the type is an error before a file is opened. Models: BidsLoader.
/// @code
/// struct OneImage {  // a loader of one file
///   struct Params {
///     std::string path;
///     static constexpr auto fields() { return ivado::fields(ivado::field<"path", &Params::path>("image")); }
///   };
///   static constexpr int dimension = 2, channels = 1, classes = 1;
///   Params params;
///   explicit OneImage(const Params& p) : params(p) {}
///   std::vector<ivado::Case> cases(bool, const std::vector<std::string>&, ivado::LeftOutList&) const {
///     ivado::Case one;
///     one.images = {params.path};
///     return {one};
///   }
///   template <class A>
///   ivado::SliceDataset<A> dataset(std::vector<ivado::Case> c, const A& a, Stage s, std::uint64_t seed) const {
///     return {std::move(c), {}, a, s, seed};
///   }
/// };
/// @endcode
template <class T>
concept Loader = std::constructible_from<T, const typename T::Params&> &&
    requires(const T& loader, bool labels_required, const std::vector<std::string>& contrasts, LeftOutList& left_out,
             const std::vector<Case>& cases, const detail::NoTransforms& augment, Stage stage, std::uint64_t seed) {
  { T::dimension } -> std::convertible_to<int>;
  { T::channels } -> std::convertible_to<int>;
  { T::classes } -> std::convertible_to<int>;
  { loader.cases(labels_required, contrasts, left_out) } -> std::same_as<std::vector<Case>>;
  { loader.dataset(cases, augment, stage, seed) } -> Dataset;
};

/// Loads images and labels from BIDS folders.
///
/// What the type fixes must agree with the parameters: the slice axis with "slice_axis", `Channels<N>` with the number
/// of contrasts ("multichannel"), `Classes<N>` with the number of "target_suffix". `AnySlices`, `Channels<dynamic>` and
/// `Classes<dynamic>` take it from there.
///
/// Memory: training sets get three quarters of "cache_mib", validation sets one quarter, because both live at a time; a
/// testing set gets all of it.
///
/// @tparam Slicing  `Slices<axis>` or `AnySlices`
/// @tparam Options  `Channels<N>` and `Classes<N>` in any order, each 1 by default
template <class Slicing, class... Options>
class BidsLoader : public detail::LoaderAxis<Slicing> {
  static_assert(Slicing::dimension == 2, "ivado: BidsLoader makes 2-D slices: use Slices<axis> or AnySlices");
  static_assert((detail::is_loader_option<Options> && ...),
                "ivado: the options of a BidsLoader are Channels<N> and Classes<N>");
  static_assert(((detail::channels_or<Options>(0) != 0 ? 1 : 0) + ... + 0) <= 1 &&
                    ((detail::classes_or<Options>(0) != 0 ? 1 : 0) + ... + 0) <= 1,
                "ivado: a BidsLoader takes one Channels<N> and one Classes<N> at most");

  [[nodiscard]] static consteval int find_channels() {
    int found = 1;
    ((found = detail::channels_or<Options>(found)), ...);
    return found;
  }
  [[nodiscard]] static consteval int find_classes() {
    int found = 1;
    ((found = detail::classes_or<Options>(found)), ...);
    return found;
  }

 public:
  using Params = LoaderParameters;
  static constexpr int dimension = Slicing::dimension;
  static constexpr int channels = find_channels();
  static constexpr int classes = find_classes();

  /// @throws Error (usage) if "slice_axis" or "target_suffix" does not agree with the type
  explicit BidsLoader(const Params& params) : params_(params) {
    if constexpr (detail::has_static_axis<Slicing>)
      if (params.slice_axis != Slicing::axis)
        throw disagreement("slice_axis", "it is \"" + std::string(enum_name(params.slice_axis)) + "\"",
                           std::string(enum_name(Slicing::axis)) + " slices",
                           "Slices<Axis::" + std::string(enum_name(params.slice_axis)) + ">");
    // Without any suffix images can still be segmented.
    if (class_count() > 0) check("target_suffix", class_count(), classes, "Classes");
  }

  [[nodiscard]] const Params& params() const noexcept { return params_; }
  /// The axis along which slices follow each other.
  [[nodiscard]] Axis slice_axis() const noexcept { return params_.slice_axis; }
  /// Number of classes that the parameters name.
  [[nodiscard]] std::int64_t class_count() const noexcept {
    return static_cast<std::int64_t>(params_.target_suffix.classes());
  }
  /// Number of channels of a sample for a list of contrasts.
  [[nodiscard]] std::int64_t channel_count(const std::vector<std::string>& contrasts) const noexcept {
    return params_.multichannel ? static_cast<std::int64_t>(contrasts.size()) : 1;
  }

  /// Indexes the folders and makes the cases, in the order of their file names.
  /// @param labels_required  false to segment: images without labels are cases too, and none of them has labels
  /// @param contrasts        such as "T2w"; none: every image
  /// @param left_out         takes what is not used with the reason, and warnings
  /// @throws Error (usage) if the number of contrasts does not agree with the type, or labels are required and no class
  /// is
  ///         named; (data) if no case is left
  [[nodiscard]] std::vector<Case> cases(bool labels_required, const std::vector<std::string>& contrasts,
                                        LeftOutList& left_out) const {
    if (params_.multichannel || channels > 1) check("contrast_params", channel_count(contrasts), channels, "Channels");
    if (labels_required && class_count() == 0)
      throw usage_error("reading the configuration key loader_parameters.target_suffix", "it is empty",
                        "give the ending of the label files, such as \"_seg-manual\"");
    const bool derivatives = labels_required || params_.roi_params.suffix.has_value();
    const BidsIndex index(params_.path_data.values, {.validate = params_.bids_validate, .derivatives = derivatives});
    left_out.files.insert(left_out.files.end(), index.left_out().files.begin(), index.left_out().files.end());
    left_out.warnings.insert(left_out.warnings.end(), index.left_out().warnings.begin(),
                             index.left_out().warnings.end());
    return make_cases(index, case_params(labels_required, contrasts), left_out);
  }

  /// What a data set of a stage is made with.
  [[nodiscard]] SliceOptions slice_options(Stage stage) const {
    SliceOptions options;
    options.axis = slice_axis();
    options.filter_empty_mask = params_.slice_filter_params.filter_empty_mask;
    options.filter_absent_class = params_.slice_filter_params.filter_absent_class;
    options.filter_empty_input = params_.slice_filter_params.filter_empty_input;
    if (params_.roi_params.suffix) options.filter_roi = params_.roi_params.slice_filter_roi.value_or(-1);
    options.soft_gt = params_.soft_gt;
    options.grid_tolerance_mm = params_.grid_tolerance_mm;
    const std::size_t quarter = (static_cast<std::size_t>(params_.cache_mib) << 20) / 4;
    options.cache_bytes = quarter * (stage == Stage::testing ? 4 : stage == Stage::training ? 3 : 1);
    options.threads = params_.workers;
    return options;
  }

  /// The samples of some cases: reads and filters them, see `SliceDataset`.
  /// @throws Error (data) if a file cannot be read, or the files of a case lie on different grids
  template <class Augment>
  [[nodiscard]] SliceDataset<Augment> dataset(std::vector<Case> cases, const Augment& augment, Stage stage,
                                              std::uint64_t seed) const {
    return SliceDataset<Augment>(std::move(cases), slice_options(stage), augment, stage, seed);
  }

 private:
  [[nodiscard]] static Error disagreement(std::string_view key, const std::string& found, const std::string& built,
                                          const std::string& type) {
    return usage_error("reading the configuration key loader_parameters." + std::string(key),
                       found + ", the program is built for " + built, "change the key, or build with " + type);
  }
  static void check(std::string_view key, std::int64_t found, int expected, const std::string& type) {
    if (expected == dynamic || found == expected) return;
    const std::string what = type == "Channels" ? " channel" : " class";
    const auto plural = [&](std::int64_t n) { return n == 1 ? what : what + (type == "Channels" ? "s" : "es"); };
    throw disagreement(key, "it gives " + std::to_string(found) + plural(found),
                       std::to_string(expected) + plural(expected), type + "<" + std::to_string(found) + ">");
  }

  [[nodiscard]] CaseParams case_params(bool labels_required, const std::vector<std::string>& contrasts) const {
    CaseParams out{params_.target_suffix,   params_.extensions,   params_.roi_params,
                   params_.contrast_params, params_.multichannel, labels_required ? Command::train : Command::segment};
    out.contrast_params.training_validation = contrasts;
    out.contrast_params.testing = contrasts;
    return out;
  }

  Params params_;
};

static_assert(Loader<BidsLoader<Slices<Axis::axial>>>);
static_assert(Loader<BidsLoader<AnySlices, Classes<dynamic>, Channels<dynamic>>>);

}  // namespace ivado
