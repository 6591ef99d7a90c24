// DynamicPostProcess: post-processing steps and their order chosen at run time from the section `postprocessing`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "binarize.hpp"
#include "binarize_maxpooling.hpp"
#include "concept.hpp"
#include "fill_holes.hpp"
#include "keep_largest.hpp"
#include "postprocess.hpp"
#include "remove_noise.hpp"
#include "remove_small.hpp"
#include "threshold_uncertainty.hpp"

namespace ivado {

/// Steps of the catalogue in the order that the parameters name. One visit a step and prediction, none in a loop over
/// voxels.
///
///   using Post = DynamicPostProcess<Binarize, KeepLargest>;
///   const auto section = Json::parse(R"({"keep_largest": {}, "binarize_prediction": {"thr": 0.4}})");
///   Post{from_json<Post::Params>(section, "postprocessing")}(prediction);
///
/// In JSON its `Params` is ivadomed's section `postprocessing`; an empty one does nothing.
template <PostStep... Catalog>
class DynamicPostProcess {
  static_assert(detail::names_differ<Catalog...>(), "ivado: DynamicPostProcess names a step twice; once is enough");

  template <class Step>
  struct Entry {
    using Type = Step;
    typename Step::Params params;
  };

 public:
  static constexpr std::string_view name = "postprocessing";

  /// Which steps, in which order, with which parameters.
  class Params {
   public:
    /// Adds a step behind the others.
    template <class Step>
    Params& add(const typename Step::Params& params = {}) {
      entries_.push_back(Entry<Step>{params});
      return *this;
    }
    /// The parameters of a step, or nullptr where it is not among the steps.
    template <class Step>
    [[nodiscard]] typename Step::Params* get() noexcept {
      for (auto& entry : entries_)
        if (auto* found = std::get_if<Entry<Step>>(&entry)) return &found->params;
      return nullptr;
    }
    /// Number of steps.
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

    /// @throws Error (usage) for a step that is not in the catalogue, with the nearest one
    [[nodiscard]] static Params from_json(const Json& json, const std::string& path) {
      Params params;
      for (const auto& step : detail::named_steps(json, path, detail::step_names<Catalog...>())) {
        const std::string here = detail::join_path(path, step.name);
        ((Catalog::name == step.name
              ? (void)params.template add<Catalog>(ivado::from_json<typename Catalog::Params>(step.params, here))
              : (void)0),
         ...);
      }
      return params;
    }
    [[nodiscard]] Json to_json() const {
      Json out = Json::object();
      for (const auto& entry : entries_)
        std::visit([&]<class Step>(const Entry<Step>& e) { out[std::string(Step::name)] = ivado::to_json(e.params); },
                   entry);
      return out;
    }
    [[nodiscard]] static Json schema() { return PostProcess<Catalog...>::Params::schema(); }
    [[nodiscard]] static std::string type_name() {
      return "object of steps in order of execution, of " + detail::listed(detail::step_names<Catalog...>());
    }

   private:
    friend DynamicPostProcess;
    std::vector<std::variant<Entry<Catalog>...>> entries_;
  };

  DynamicPostProcess() = default;
  explicit DynamicPostProcess(const Params& params) {
    for (const auto& entry : params.entries_)
      std::visit([&]<class Step>(const Entry<Step>& e) { steps_.emplace_back(std::in_place_type<Step>, e.params); },
                 entry);
  }

  /// Runs the steps in order, in place.
  void operator()(Prediction& prediction) const {
    for (const auto& step : steps_) std::visit([&](const auto& chosen) { chosen(prediction); }, step);
  }

 private:
  std::vector<std::variant<Catalog...>> steps_;
};

/// Every step that ivado has: what the general program chooses from.
using AnyPostProcess = DynamicPostProcess<RemoveNoise, KeepLargest, Binarize, BinarizeMaxPooling, FillHoles,
                                          RemoveSmall, ThresholdUncertainty>;

static_assert(PostStep<AnyPostProcess>);

}  // namespace ivado
