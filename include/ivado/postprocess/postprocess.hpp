// PostProcess: a chain of steps fixed in the type; its Params is ivadomed's `postprocessing` section.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"

namespace ivado {

namespace detail {

/// "binarize_prediction, keep_largest", or "none".
[[nodiscard]] IVADO_INLINE std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "none" : out;
}

/// A step of the section `postprocessing`: its name and parameters.
struct NamedStep {
  std::string name;
  Json params;
};

/// The steps of a section `postprocessing` that do something, in order.
///
/// The step "uncertainty" is passed over where a program does not have it and it is switched off by a negative `thr`, as
/// in the configuration that ivadomed ships.
/// @param names  the steps that can be named
/// @throws Error (usage) if the section is not an object, or for a name that is not among `names`
[[nodiscard]] IVADO_INLINE std::vector<NamedStep> named_steps(const Json& section, const std::string& path,
                                                              const std::vector<std::string>& names) {
  if (!section.is_object()) throw value_error(path, section, "an object of steps, in the order of execution");
  std::vector<NamedStep> steps;
  for (const auto& item : section.items()) {
    const std::string here = join_path(path, item.key());
    if (std::find(names.begin(), names.end(), item.key()) != names.end()) {
      steps.push_back({item.key(), item.value()});
      continue;
    }
    if (item.key() == "uncertainty") {
      const auto& step = item.value();
      const bool off =
          step.is_object() && step.contains("thr") && step["thr"].is_number() && step["thr"].get<double>() < 0;
      if (off) continue;
      throw usage_error("reading the configuration key " + here,
                        "this program does not have the post-processing step uncertainty",
                        "leave it out or set its thr to -1; this program has " + listed(names));
    }
    throw usage_error("reading the configuration key " + here, "there is no such post-processing step",
                      (names.empty() ? "" : "did you mean \"" + nearest(item.key(), names) + "\"? ") +
                          "this program has " + listed(names));
  }
  return steps;
}

template <class... Steps>
[[nodiscard]] std::vector<std::string> step_names() {
  return {std::string(Steps::name)...};
}

template <class... Steps>
[[nodiscard]] constexpr bool names_differ() {
  const std::array<std::string_view, sizeof...(Steps)> names{Steps::name...};
  for (std::size_t a = 0; a < names.size(); ++a)
    for (std::size_t b = a + 1; b < names.size(); ++b)
      if (names[a] == names[b]) return false;
  return true;
}

}  // namespace detail

/// Post-processing steps in the order of the template arguments, each with its own parameters.
///
///   using Post = PostProcess<Binarize, KeepLargest>;
///   Post::Params params;
///   params.get<Binarize>().thr = 0.4;
///   Post{params}(prediction);
///
/// In JSON its `Params` is ivadomed's section `postprocessing`: an object with these steps in this order. A step that
/// is left out of it runs with its defaults, as everywhere in `Params` (also where the section is empty). A step that
/// the type does not have, or another order, is an error: the section asks for something that this type does not do.
///
/// Laws: the same prediction, bit for bit, as `DynamicPostProcess` with the same steps; `PostProcess<>` changes
/// nothing.
template <PostStep... Steps>
class PostProcess {
  static_assert(detail::names_differ<Steps...>(),
                "ivado: PostProcess names a step twice; each step may stand in it once");

 public:
  static constexpr std::string_view name = "postprocessing";
  /// The names of the steps in order.
  static constexpr std::array<std::string_view, sizeof...(Steps)> names{Steps::name...};

  /// The parameters of all steps.
  class Params {
   public:
    /// The parameters of one step.
    template <class Step>
    [[nodiscard]] typename Step::Params& get() noexcept {
      return std::get<Slot<Step>>(slots_).params;
    }
    template <class Step>
    [[nodiscard]] const typename Step::Params& get() const noexcept {
      return std::get<Slot<Step>>(slots_).params;
    }

    /// @throws Error (usage) if the section names a step that the type does not have, or another order
    [[nodiscard]] static Params from_json(const Json& json, const std::string& path) {
      const std::vector<std::string> known = detail::step_names<Steps...>();
      const std::vector<detail::NamedStep> found = detail::named_steps(json, path, known);
      auto place = known.begin();
      for (const auto& step : found) {
        place = std::find(place, known.end(), step.name);
        if (place == known.end())
          throw usage_error("reading the configuration key " + detail::join_path(path, step.name),
                            "it stands in another order than in this program",
                            "list the steps in the order " + detail::listed(known));
      }
      Params params;
      for (const auto& step : found) (params.template read<Steps>(step, path), ...);
      return params;
    }
    [[nodiscard]] Json to_json() const {
      Json out = Json::object();
      ((out[std::string(Steps::name)] = ivado::to_json(get<Steps>())), ...);
      return out;
    }
    [[nodiscard]] static Json schema() {
      Json properties = Json::object();
      ((properties[std::string(Steps::name)] = ivado::schema<typename Steps::Params>()), ...);
      return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    }
    [[nodiscard]] static std::string type_name() {
      return "object of the steps " + detail::listed(detail::step_names<Steps...>());
    }

   private:
    template <class Step>
    struct Slot {
      typename Step::Params params;
    };
    template <class Step>
    void read(const detail::NamedStep& step, const std::string& path) {
      if (step.name == Step::name)
        get<Step>() = ivado::from_json<typename Step::Params>(step.params, detail::join_path(path, step.name));
    }
    std::tuple<Slot<Steps>...> slots_;
  };

  PostProcess() = default;
  explicit PostProcess(const Params& params) : steps_(Steps(params.template get<Steps>())...) {}

  /// Runs the steps in order, in place.
  void operator()(Prediction& prediction) const {
    std::apply([&](const auto&... step) { (step(prediction), ...); }, steps_);
  }
  /// One of the steps.
  template <class Step>
  [[nodiscard]] const Step& get() const noexcept {
    return std::get<Step>(steps_);
  }

 private:
  std::tuple<Steps...> steps_;
};

static_assert(PostStep<PostProcess<>>);

}  // namespace ivado
