// DynamicCompose: a chain of transforms chosen by the configuration at run time, out of a catalogue fixed at compile
// time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "concept.hpp"
#include "step.hpp"

namespace ivado {

/// A chain of transforms in any order, each at most once: what `Compose` is, chosen at run time.
///
/// A chain of the same transforms in the same order gives the same results as its `Compose`, bit for bit: the random
/// stream of a transform is its place in the chain. What is chosen at run time is looked up once a transform, never
/// within a loop over voxels.
///
/// JSON: ivadomed's ordered object `transformation`. Thread safety: one chain may work on many samples at once.
template <Transform... Catalog>
class DynamicCompose {
 public:
  /// The names of all transforms it can choose from.
  static constexpr std::array<std::string_view, sizeof...(Catalog)> catalog{Catalog::name...};

  /// The steps in the order of execution (but for preprocessing transforms, which come first). Empty by default.
  struct Params {
    std::vector<std::variant<Step<Catalog>...>> steps;

    /// Adds a transform at the end of the chain.
    template <Transform T>
    Step<T>& add(Step<T> step = {}) {
      return std::get<Step<T>>(steps.emplace_back(std::move(step)));
    }
    /// The step of transform `T`; null where it is not in the chain.
    template <Transform T>
    [[nodiscard]] Step<T>* get() noexcept {
      for (auto& step : steps)
        if (auto* found = std::get_if<Step<T>>(&step)) return found;
      return nullptr;
    }
    template <Transform T>
    [[nodiscard]] const Step<T>* get() const noexcept {
      return const_cast<Params*>(this)->template get<T>();
    }
    /// The names of the chain in order.
    [[nodiscard]] std::vector<std::string> names() const {
      std::vector<std::string> out;
      for (const auto& step : steps) out.emplace_back(catalog[step.index()]);
      return out;
    }

    /// Reads `transformation`.
    /// @throws Error (usage) on a name that is not in the catalogue, with the nearest that is
    [[nodiscard]] static Params from_json(const Json& json, const std::string& path) {
      if (!json.is_object()) throw detail::value_error(path, json, "an object of transforms");
      Params params;
      for (const auto& item : json.items()) {
        const std::string here = detail::join_path(path, item.key());
        bool known = false;
        (
            [&] {
              if (known || item.key() != Catalog::name) return;
              known = true;
              params.steps.emplace_back(detail::read_step<Catalog>(item.value(), here));
            }(),
            ...);
        if (!known) throw unknown(item.key(), here);
      }
      return params;
    }
    /// Writes every transform of the chain with every key.
    [[nodiscard]] Json to_json() const {
      Json out = Json::object();
      for (const auto& step : steps)
        out[std::string(catalog[step.index()])] =
            std::visit([](const auto& one) { return detail::write_step(one); }, step);
      return out;
    }
    [[nodiscard]] static Json schema() {
      Json properties = Json::object();
      ((properties[std::string(Catalog::name)] = detail::step_schema<Catalog>()), ...);
      return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    }
    [[nodiscard]] static std::string type_name() { return "chain of transforms"; }

   private:
    static Error unknown(const std::string& name, const std::string& path) {
      return usage_error("reading the configuration key " + path, "there is no such transform",
                         "did you mean \"" + detail::nearest(name, {catalog.begin(), catalog.end()}) +
                             "\"? This program has " + detail::names_text<Catalog...>());
    }
  };

  /// What was done to the image of one sample.
  using History = ChainHistory<Catalog...>;

  /// @throws Error (usage) if a transform refuses its parameters, or stands twice in the chain
  explicit DynamicCompose(const Params& params = Params{}) {
    for (const auto& step : params.steps) {
      order_.push_back(static_cast<std::uint8_t>(step.index()));
      std::visit(
          [&]<Transform T>(const Step<T>& one) {
            auto& placed = std::get<std::optional<detail::PlacedTransform<T>>>(steps_);
            if (placed)
              throw usage_error("setting up the chain of transforms", std::string(T::name) + " stands in it twice",
                                "name each transform once");
            placed.emplace(one);
          },
          step);
    }
  }

  /// True if samples of a stage must carry a box (see BoundingBoxCrop).
  [[nodiscard]] bool needs_box(Stage stage) const {
    const auto takes = [stage]<Transform T>(const std::optional<detail::PlacedTransform<T>>& step) {
      return detail::takes_box<T>() && step && step->dataset_type.contains(stage);
    };
    return std::apply([&](const auto&... steps) { return (takes(steps) || ...); }, steps_);
  }

  /// Runs the preprocessing transforms in place.
  /// @return what was done, to be handed to `augment` and `invert`
  [[nodiscard]] History preprocess(Sample& sample, Stage stage) const {
    History history;
    run(true, sample, stage, RandomKey{}, history);
    return history;
  }

  /// Runs all other transforms in place, and adds what was done to the history.
  /// @param key  seed, epoch and number of the sample; the stream is set for each transform
  void augment(Sample& sample, Stage stage, const RandomKey& key, History& history) const {
    run(false, sample, stage, key, history);
  }

  /// Brings a prediction back to the grid that the image had before the chain: of any number of channels, interpolated
  /// as a label, whose kind it gets.
  void invert(Image& prediction, const History& history) const {
    static_assert(
        ((Catalog::is_random || !detail::is_irreversible<Catalog>()) && ...),
        "ivado: a transform that testing undoes needs `void invert(Image& prediction, const Draw& draw) const`, or "
        "`static constexpr bool moves_voxels = false` if it moves no voxel");
    prediction.kind = Kind::label;
    for (std::size_t i = history.size(); i-- > 0;)
      at(history[i], [&]<std::size_t I>(const auto& step) { detail::invert_step<I>(step, prediction, history); });
  }

  /// The names of the transforms that change images at random in a stage, in order.
  [[nodiscard]] std::vector<std::string> random_transforms(Stage stage) const {
    std::vector<std::string> out;
    for (const auto place : order_)
      at(place, [&]<std::size_t>(const auto& step) { detail::note_random(step, stage, out); });
    return out;
  }

 private:
  /// Calls function<I>(step) for the transform at place `index` of the catalogue.
  template <class Function>
  void at(std::size_t index, const Function& function) const {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((index == I ? function.template operator()<I>(*std::get<I>(steps_)) : void()), ...);
    }
    (std::index_sequence_for<Catalog...>{});
  }

  void run(bool preprocessing, Sample& sample, Stage stage, const RandomKey& key, History& history) const {
    constexpr std::array<bool, sizeof...(Catalog) + 1> is_preprocessing{Catalog::is_preprocessing..., false};
    for (std::size_t place = 0; place < order_.size(); ++place) {
      if (is_preprocessing[order_[place]] != preprocessing) continue;
      at(order_[place], [&]<std::size_t I>(const auto& step) {
        detail::run_step<I>(step, sample, stage, key.with_stream(static_cast<std::uint32_t>(place)), history);
      });
    }
  }

  std::tuple<std::optional<detail::PlacedTransform<Catalog>>...> steps_;
  std::vector<std::uint8_t> order_;  ///< place in the catalogue of each step
};

}  // namespace ivado
