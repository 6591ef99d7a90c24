// The loader policy: BIDS folders to cases, and cases to a data set of samples. With the concept of a Loader.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
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
#include "patches.hpp"
#include "sample.hpp"
#include "slice_dataset.hpp"
#include "slicing.hpp"

namespace ivado {

/// A loader's option: a case may lack some of the contrasts, and the condition of a sample tells which are there. For
/// models such as HeMIS.
struct MissingContrasts {};

/// A loader's option: its samples carry the condition that a FiLM model asks for. The pipeline makes it of the metadata
/// of the cases; this only declares that they have some.
struct Metadata {};

/// What a model asks of its data, beyond the section "loader_parameters". The pipeline fills it from the model's type
/// and section.
struct ModelNeeds {
  bool image_labels = false;  ///< labels of the image as a whole, see `SliceOptions::image_labels`
  /// False: no contrast may be missing, though the type of the loader allows it (a program whose model is chosen at run
  /// time). It changes nothing for a loader without the option `MissingContrasts`.
  bool missing_contrasts = true;
  std::vector<std::string> channels{};          ///< see `CaseParams::channels`
  std::vector<std::string> target_contrasts{};  ///< see `CaseParams::target_contrasts`
  std::vector<std::string> roi_contrasts{};     ///< see `CaseParams::roi_contrasts`
  double missing_probability = 0;               ///< see `SliceOptions::missing_probability`
  double missing_probability_growth = 1;        ///< see `SliceOptions::missing_probability`
  /// "length_2D" and "stride_2D" of a model of slices, "length_3D" and "stride_3D" of one of volumes.
  PatchSize patches{};
  std::function<bool(const Sample&)> keep_slice{};  ///< see `SliceOptions::keep_slice`
};

/// True if a loader's samples say which contrasts are there: its `gives_presence`, false where it has none.
template <class T>
inline constexpr bool loader_gives_presence = false;
template <class T>
requires requires {
  { T::gives_presence } -> std::convertible_to<bool>;
}
inline constexpr bool loader_gives_presence<T> = T::gives_presence;

/// True if a loader's samples may have a condition of metadata: its `gives_metadata`, false where it has none.
template <class T>
inline constexpr bool loader_gives_metadata = false;
template <class T>
requires requires {
  { T::gives_metadata } -> std::convertible_to<bool>;
}
inline constexpr bool loader_gives_metadata<T> = T::gives_metadata;

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
template <>
inline constexpr bool is_loader_option<MissingContrasts> = true;
template <>
inline constexpr bool is_loader_option<Metadata> = true;

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
///   `gives_presence`          optional, false by default: the condition of a sample tells which contrasts are there
///   `gives_metadata`          optional, false by default: samples have a condition made of metadata
///   `reads_file(path)`        optional: a path of the data is a file that the loader reads itself, not an image
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
/// With `MissingContrasts` contrasts are channels whatever "multichannel" says, and a case may lack some.
///
/// What the type fixes must agree with the parameters: the slice axis with "slice_axis", `Channels<N>` with the number
/// of contrasts ("multichannel"), `Classes<N>` with the number of "target_suffix" (of "label_values", where
/// "label_column" is given). `AnySlices`, `Channels<dynamic>` and `Classes<dynamic>` take it from there.
///
/// Memory: training sets get three quarters of "cache_mib", validation sets one quarter, because both live at a time; a
/// testing set gets all of it.
///
/// Patches: `ModelNeeds::patches`, if it has numbers, cuts slices into patches and volumes into sub-volumes. The
/// lengths of `Subvolumes<H, W, D>` must agree with it, and are taken where it has none.
///
/// @tparam Slicing  `Slices<axis>`, `AnySlices`, `Subvolumes<H, W, D>` or `AnySubvolumes`
/// @tparam Options  `Channels<N>` and `Classes<N>`, each 1 by default, `MissingContrasts` and `Metadata`, in any order
template <class Slicing, class... Options>
class BidsLoader : public detail::LoaderAxis<Slicing> {
  static_assert(
      requires { Slicing::dimension; },
      "ivado: a BidsLoader takes what samples are first: Slices<axis>, AnySlices, Subvolumes<H, W, D> or "
      "AnySubvolumes");
  static_assert((detail::is_loader_option<Options> && ...),
                "ivado: the options of a BidsLoader are Channels<N>, Classes<N>, MissingContrasts and Metadata");
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
  static constexpr bool gives_presence = (std::is_same_v<Options, MissingContrasts> || ...);
  static constexpr bool gives_metadata = (std::is_same_v<Options, Metadata> || ...);
  static_assert(!gives_presence || channels != 1,
                "ivado: a BidsLoader with MissingContrasts has a channel for each contrast: add Channels<N>");

  /// @param needs  what the model asks for; none: a model of maps that is given every contrast there is
  /// @throws Error (usage) if "slice_axis", "target_suffix", "label_values" or "length_3D" does not agree with the
  ///         type, "label_column" is given and the model predicts maps, or the patches have not one number from 1 an
  ///         axis
  explicit BidsLoader(const Params& params, ModelNeeds needs = {}) : params_(params), needs_(std::move(needs)) {
    if (params.label_column && !needs_.image_labels)
      throw usage_error("reading the configuration key loader_parameters.label_column",
                        "it is \"" + *params.label_column + "\", and the model predicts maps",
                        "leave it out, or take a model of classification");
    if constexpr (detail::has_static_axis<Slicing>)
      if (params.slice_axis != Slicing::axis)
        throw disagreement("loader_parameters.slice_axis",
                           "it is \"" + std::string(enum_name(params.slice_axis)) + "\"",
                           std::string(enum_name(Slicing::axis)) + " slices",
                           "Slices<Axis::" + std::string(enum_name(params.slice_axis)) + ">");
    if constexpr (detail::has_static_length<Slicing>) {
      auto& length = needs_.patches.length;
      const std::vector<std::int64_t> own(Slicing::length.begin(), Slicing::length.end());
      if (length.empty()) length = own;
      needs_.patches.check(dimension);
      if (length != own)
        throw disagreement("length_3D", "it is " + needs_.patches.shape().text(),
                           "sub-volumes of " + PatchSize{own, {}}.shape().text(),
                           detail::text("Subvolumes<", length[0], ", ", length[1], ", ", length[2], ">"));
    }
    needs_.patches.check(dimension);
    // Without any suffix images can still be segmented.
    if (class_count() > 0) check(class_key(), class_count(), classes, "Classes");
  }

  [[nodiscard]] const Params& params() const noexcept { return params_; }
  /// The axis along which slices follow each other.
  [[nodiscard]] Axis slice_axis() const noexcept { return params_.slice_axis; }
  /// Number of classes that the parameters name.
  [[nodiscard]] std::int64_t class_count() const noexcept { return static_cast<std::int64_t>(params_.class_count()); }
  /// Number of channels of a sample for a list of contrasts.
  [[nodiscard]] std::int64_t channel_count(const std::vector<std::string>& contrasts) const noexcept {
    if (allows_missing() && !needs_.channels.empty()) return static_cast<std::int64_t>(needs_.channels.size());
    return params_.multichannel || allows_missing() ? static_cast<std::int64_t>(contrasts.size()) : 1;
  }
  /// True if a case may lack contrasts: the type and the model's needs say so.
  [[nodiscard]] bool allows_missing() const noexcept { return gives_presence && needs_.missing_contrasts; }

  /// Indexes the folders and makes the cases, in the order of their file names.
  /// @param labels_required  false to segment: images without labels are cases too, and none of them has labels. Label
  ///                         files are not needed where "label_column" tells the classes
  /// @param contrasts        such as "T2w"; none: every image
  /// @param left_out         takes what is not used with the reason, and warnings
  /// @throws Error (usage) if the number of contrasts does not agree with the type, or labels are required and no class
  /// is
  ///         named; (data) if no case is left
  [[nodiscard]] std::vector<Case> cases(bool labels_required, const std::vector<std::string>& contrasts,
                                        LeftOutList& left_out) const {
    if (params_.multichannel || channels > 1 || allows_missing())
      check(needs_.channels.empty() ? "loader_parameters.contrast_params" : "contrasts", channel_count(contrasts),
            channels, "Channels");
    if (labels_required && class_count() == 0)
      throw usage_error("reading the configuration key " + std::string(class_key()), "it is empty",
                        params_.label_column ? "give the value of label_column for each class"
                                             : "give the ending of the label files, such as \"_seg-manual\"");
    const bool derivatives = (labels_required && !params_.label_column) || params_.roi_params.suffix.has_value();
    const BidsIndex index(params_.path_data.values, {.validate = params_.bids_validate, .derivatives = derivatives});
    left_out.files.insert(left_out.files.end(), index.left_out().files.begin(), index.left_out().files.end());
    left_out.warnings.insert(left_out.warnings.end(), index.left_out().warnings.begin(),
                             index.left_out().warnings.end());
    if (params_.roi_params.slice_filter_roi && !params_.roi_params.suffix)
      left_out.warn("loader_parameters.roi_params.slice_filter_roi has no effect: suffix names no region of interest");
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
    options.allow_regrid = params_.allow_regrid;
    options.image_labels = needs_.image_labels;
    options.missing_contrasts = allows_missing();
    options.missing_probability = needs_.missing_probability;
    options.missing_probability_growth = needs_.missing_probability_growth;
    options.keep_slice = needs_.keep_slice;
    options.input_dropout = params_.is_input_dropout;
    options.patches = needs_.patches;
    options.patch_filter = {params_.patch_filter_params.filter_empty_mask,
                            params_.patch_filter_params.filter_absent_class,
                            params_.patch_filter_params.filter_empty_input};
    const std::size_t quarter = (static_cast<std::size_t>(params_.cache_mib) << 20) / 4;
    options.cache_bytes = quarter * (is_testing(stage) ? 4 : stage == Stage::training ? 3 : 1);
    options.threads = params_.workers;
    return options;
  }

  /// The samples of some cases: reads and filters them, see `CaseDataset`.
  /// @throws Error (data) if a file cannot be read, or the files of a case lie on different grids
  template <class Augment>
  [[nodiscard]] CaseDataset<Augment, dimension> dataset(std::vector<Case> cases, const Augment& augment, Stage stage,
                                                        std::uint64_t seed) const {
    return CaseDataset<Augment, dimension>(std::move(cases), slice_options(stage), augment, stage, seed);
  }

 private:
  /// The key that tells the number of classes.
  [[nodiscard]] std::string_view class_key() const noexcept {
    return params_.label_column ? "loader_parameters.label_values" : "loader_parameters.target_suffix";
  }
  [[nodiscard]] static Error disagreement(std::string_view key, const std::string& found, const std::string& built,
                                          const std::string& type) {
    return usage_error("reading the configuration key " + std::string(key),
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
    out.missing_contrasts = allows_missing();
    out.channels = needs_.channels;
    out.target_contrasts = needs_.target_contrasts;
    out.roi_contrasts = needs_.roi_contrasts;
    out.label_column = params_.label_column;
    out.label_values = params_.label_values;
    return out;
  }

  Params params_;
  ModelNeeds needs_;
};

static_assert(Loader<BidsLoader<Slices<Axis::axial>>>);
static_assert(Loader<BidsLoader<Slices<Axis::axial>, Channels<3>, MissingContrasts>>);
static_assert(Loader<BidsLoader<AnySlices, Classes<dynamic>, Channels<dynamic>>>);
static_assert(Loader<BidsLoader<Subvolumes<128, 128, 16>>>);
static_assert(Loader<BidsLoader<AnySubvolumes, Classes<dynamic>, Channels<dynamic>>>);

}  // namespace ivado
