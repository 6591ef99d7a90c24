// A transform within a chain: its parameters, what it is applied to, when; and what a chain remembers to be undone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"

namespace ivado {

/// Kinds of data. In JSON a list of "im", "gt", "roi".
struct KindSet {
  bool image = true;
  bool label = true;
  bool roi = true;

  [[nodiscard]] constexpr bool contains(Kind kind) const noexcept {
    return kind == Kind::image ? image : kind == Kind::label ? label : roi;
  }
  [[nodiscard]] friend constexpr bool operator==(const KindSet&, const KindSet&) = default;
};

/// Stages of the work. In JSON a list of "training", "validation", "testing".
struct StageSet {
  bool training = true;
  bool validation = true;
  bool testing = true;

  /// Augmented testing counts as testing.
  [[nodiscard]] constexpr bool contains(Stage stage) const noexcept {
    return stage == Stage::training ? training : stage == Stage::validation ? validation : testing;
  }
  [[nodiscard]] friend constexpr bool operator==(const StageSet&, const StageSet&) = default;
};

/// The parameters of a transform within a chain.
///
/// `dataset_type` is all three by default, but for a transform that draws random numbers it is training alone: ivadomed
/// augments validation and test data too unless the file says otherwise. Say `"dataset_type": ["training",
/// "validation", "testing"]` for the original's behaviour. An empty list switches the transform off.
template <Transform T>
struct Step {
  typename T::Params params{};
  KindSet applied_to{};  ///< `im`, `gt`, `roi`: all by default
  StageSet dataset_type = T::is_random ? StageSet{true, false, false} : StageSet{};
};

namespace detail {

inline constexpr std::array<std::string_view, 3> kind_names{"im", "gt", "roi"};
inline constexpr std::array<std::string_view, 3> stage_names{"training", "validation", "testing"};

/// Reads a list of names as flags.
[[nodiscard]] IVADO_INLINE std::array<bool, 3> read_flags(const Json& json, const std::string& path,
                                                          const std::array<std::string_view, 3>& names) {
  std::string all;
  for (const auto name : names) all += (all.empty() ? "\"" : ", \"") + std::string(name) + "\"";
  if (!json.is_array()) throw value_error(path, json, "a list of " + all);
  std::array<bool, 3> flags{};
  for (std::size_t i = 0; i < json.size(); ++i) {
    bool known = false;
    for (std::size_t n = 0; n < names.size(); ++n)
      if (json[i].is_string() && json[i].get<std::string>() == names[n]) known = flags[n] = true;
    if (!known) throw value_error(path + "[" + std::to_string(i) + "]", json[i], "one of " + all);
  }
  return flags;
}

[[nodiscard]] IVADO_INLINE Json write_flags(const std::array<bool, 3>& flags,
                                            const std::array<std::string_view, 3>& names) {
  Json out = Json::array();
  for (std::size_t n = 0; n < names.size(); ++n)
    if (flags[n]) out.push_back(std::string(names[n]));
  return out;
}

/// True if a transform's parameters have a key that must be given.
template <Transform T>
[[nodiscard]] constexpr bool has_required_keys() {
  bool required = false;
  if constexpr (Reflected<typename T::Params>)
    hana::for_each(T::Params::fields(), [&](const auto& f) { required = required || f.rule.required; });
  return required;
}

/// Reads {parameters…, "applied_to", "dataset_type"}; "preprocessing", a key of old files, has no effect.
/// @throws Error (usage)
template <Transform T>
[[nodiscard]] Step<T> read_step(const Json& json, const std::string& path) {
  if (!json.is_object()) throw value_error(path, json, "an object with the parameters of " + std::string(T::name));
  Step<T> step;
  Json rest = Json::object();
  for (const auto& item : json.items()) {
    const std::string here = join_path(path, item.key());
    if (item.key() == "applied_to") {
      const auto flags = read_flags(item.value(), here, kind_names);
      step.applied_to = {flags[0], flags[1], flags[2]};
    } else if (item.key() == "dataset_type") {
      const auto flags = read_flags(item.value(), here, stage_names);
      step.dataset_type = {flags[0], flags[1], flags[2]};
    } else if (item.key() != "preprocessing") {
      if constexpr (Reflected<typename T::Params> && !SelfDescribing<typename T::Params>) {
        auto known = keys<typename T::Params>();
        bool found = false;
        for (const auto& key : known) found = found || key == item.key();
        known.insert(known.end(), {"applied_to", "dataset_type"});
        if (!found)
          throw usage_error("reading the configuration key " + here, "there is no such key",
                            "did you mean \"" + nearest(item.key(), known) + "\"?");
      }
      rest[item.key()] = item.value();
    }
  }
  step.params = from_json<typename T::Params>(rest, path);
  return step;
}

template <Transform T>
[[nodiscard]] Json write_step(const Step<T>& step) {
  Json out = to_json(step.params);
  out["applied_to"] = write_flags({step.applied_to.image, step.applied_to.label, step.applied_to.roi}, kind_names);
  out["dataset_type"] =
      write_flags({step.dataset_type.training, step.dataset_type.validation, step.dataset_type.testing}, stage_names);
  return out;
}

/// Adds to a transform's schema the keys that every step has.
/// @param given  the data sets of the transform itself
IVADO_INLINE void add_step_keys(Json& schema, const StageSet& given) {
  const auto list = [](const std::array<std::string_view, 3>& names, const StageSet& chosen, const char* what) {
    Json values = Json::array();
    for (const auto name : names) values.push_back(std::string(name));
    return Json{{"type", "array"},
                {"items", {{"enum", values}}},
                {"description", what},
                {"default", write_flags({chosen.training, chosen.validation, chosen.testing}, names)}};
  };
  schema["properties"]["applied_to"] = list(kind_names, {}, "kinds of data it is applied to");
  schema["properties"]["dataset_type"] = list(stage_names, given, "data sets it is applied to");
  schema["properties"]["preprocessing"] = Json{{"description", "a key of old files, without effect"}};
}

template <Transform T>
[[nodiscard]] Json step_schema() {
  Json out = schema<typename T::Params>();
  add_step_keys(out, Step<T>{}.dataset_type);
  return out;
}

/// The names of some transforms, as a sentence has them.
template <Transform... Ts>
[[nodiscard]] std::string names_text() {
  std::string all;
  ((all += (all.empty() ? "" : ", ") + std::string(Ts::name)), ...);
  return all.empty() ? "empty" : all;
}

/// True if a transform works on samples that carry a box: its `needs_box`, false where it has none.
template <Transform T>
[[nodiscard]] constexpr bool takes_box() {
  if constexpr (requires { T::needs_box; }) return T::needs_box;
  return false;
}

/// True if the chain may have to take a transform back, but cannot.
template <Transform T>
[[nodiscard]] constexpr bool is_irreversible() {
  if constexpr (InvertibleTransform<T>)
    return false;
  else if constexpr (requires { T::moves_voxels; })
    return T::moves_voxels;
  else
    return true;
}

/// True if a step works in a stage. Augmented testing has the steps of testing, and of the random ones all that training
/// or testing has and that can be undone.
template <Transform T>
[[nodiscard]] constexpr bool works_in(const StageSet& stages, Stage stage) noexcept {
  if (stage != Stage::augmented_testing || !T::is_random) return stages.contains(stage);
  return !is_irreversible<T>() && (stages.training || stages.testing);
}

}  // namespace detail

/// What a chain did to one sample's image, in the order in which it was done: all that `invert` needs.
///
/// A default-constructed one stands for nothing done. Cheap to copy: copies share the fields of elastic deformations.
template <Transform... Ts>
class ChainHistory {
  static_assert(sizeof...(Ts) < 256, "ivado: a chain holds up to 255 transforms");

 public:
  /// Number of transforms that were applied to the image.
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// Place of the i-th executed transform among `Ts`.
  [[nodiscard]] std::size_t operator[](std::size_t i) const noexcept { return order_[i]; }

  /// What transform `I` of `Ts` drew; null where it was not applied to the image.
  template <std::size_t I>
  [[nodiscard]] const auto* draw() const noexcept {
    const auto& drawn = std::get<I>(draws_);
    return drawn ? &*drawn : nullptr;
  }
  /// What transform `T` drew; null where it was not applied to the image.
  template <class T>
  [[nodiscard]] const typename T::Draw* draw() const noexcept {
    const typename T::Draw* found = nullptr;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (
          [&] {
            if constexpr (std::is_same_v<T, Ts>) found = draw<I>();
          }(),
          ...);
    }
    (std::index_sequence_for<Ts...>{});
    return found;
  }
  /// Notes that transform `I` was applied to the image.
  template <std::size_t I, class Draw>
  void record(Draw&& draw) {
    if (!std::get<I>(draws_)) order_[count_++] = static_cast<std::uint8_t>(I);
    std::get<I>(draws_).emplace(std::forward<Draw>(draw));
  }

 private:
  std::tuple<std::optional<typename Ts::Draw>...> draws_;
  std::array<std::uint8_t, sizeof...(Ts) + 1> order_{};
  std::uint8_t count_ = 0;
};

namespace detail {

/// A transform ready to run at its place in a chain.
template <Transform T>
struct PlacedTransform {
  T transform;
  KindSet applied_to;
  StageSet dataset_type;

  /// @throws Error (usage) if testing would need an inverse that the transform does not have
  explicit PlacedTransform(const Step<T>& step)
      : transform(step.params), applied_to(step.applied_to), dataset_type(step.dataset_type) {
    static_assert(!(T::is_preprocessing && T::is_random),
                  "ivado: a preprocessing transform runs once and is cached, so it must not be random");
    if (is_irreversible<T>() && dataset_type.testing && applied_to.image)
      throw usage_error("setting up the chain of transforms",
                        std::string(T::name) + " moves voxels and has no inverse, yet works on the testing set",
                        "set its dataset_type to [\"training\"]");
  }
};

/// Runs one step of a chain: one draw for all kinds of data.
template <std::size_t I, Transform T, class History>
void run_step(const PlacedTransform<T>& step, Sample& sample, Stage stage, const RandomKey& key, History& history) {
  if (!works_in<T>(step.dataset_type, stage)) return;
  const auto touches = [&](const Image& image, Kind kind) { return step.applied_to.contains(kind) && !image.empty(); };
  const bool image = touches(sample.image, Kind::image);
  const bool label = touches(sample.label, Kind::label);
  const bool roi = touches(sample.roi, Kind::roi);
  if (!image && !label && !roi) return;
  Rng rng(key);
  auto draw = step.transform.draw(rng, sample);
  if (image) step.transform.apply(sample.image, draw);
  if (label) step.transform.apply(sample.label, draw);
  if (roi) step.transform.apply(sample.roi, draw);
  if (image) history.template record<I>(std::move(draw));
}

/// Adds the name of a step that changes images at random in a stage.
template <Transform T>
void note_random(const PlacedTransform<T>& step, Stage stage, std::vector<std::string>& names) {
  if (T::is_random && step.applied_to.image && works_in<T>(step.dataset_type, stage)) names.emplace_back(T::name);
}

/// Takes one step of a chain back.
template <std::size_t I, Transform T, class History>
void invert_step(const PlacedTransform<T>& step, Image& prediction, const History& history) {
  if constexpr (InvertibleTransform<T>) {
    step.transform.invert(prediction, *history.template draw<I>());
  } else if constexpr (is_irreversible<T>()) {
    throw usage_error("taking a prediction back to the grid of its image",
                      std::string(T::name) + " moves voxels and has no inverse", "leave it out of this data set");
  }
}

}  // namespace detail
}  // namespace ivado
