// Compose: a chain of transforms put together at compile time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "concept.hpp"
#include "step.hpp"

namespace ivado {

/// A chain of transforms, fixed by its type.
///
/// Preprocessing transforms (`T::is_preprocessing`) run first, in the order of the chain; the caller does that once and
/// keeps the result. Then all others, in the order of the chain, each time the sample is used. Each transform draws
/// once for all kinds of data, from the sample as it then stands, with the random stream of its place in the chain.
/// Labels come out in float32, as they were interpolated: thresholding is the loader's work.
///
/// `invert` takes back what was done to the image, last first, in the order of execution; ivadomed takes back the order
/// of the file, which is another one where a preprocessing transform is listed late (known-problems.md B3.4).
///
/// JSON: ivadomed's ordered object `transformation`, {name: {parameters…, "applied_to", "dataset_type"}}, with the
/// names of the chain in its order. A transform whose parameters all have defaults may be left out and then takes
/// these. Thread safety: one chain may work on many samples at once.
template <Transform... Ts>
class Compose {
  static constexpr bool has_distinct_names() {
    constexpr std::array<std::string_view, sizeof...(Ts)> all{Ts::name...};
    for (std::size_t a = 0; a < all.size(); ++a)
      for (std::size_t b = a + 1; b < all.size(); ++b)
        if (all[a] == all[b]) return false;
    return true;
  }
  static_assert(has_distinct_names(),
                "ivado: the transforms of a chain need different names, because they are the keys of its JSON object");

 public:
  /// The names of the transforms, in order: the keys of `transformation`.
  static constexpr std::array<std::string_view, sizeof...(Ts)> names{Ts::name...};

  /// The parameters of each transform with what it is applied to and when: `params.get<Resample>().params.hspace =
  /// 0.5`.
  struct Params {
    std::tuple<Step<Ts>...> steps;

    /// The step of transform `T`.
    template <class T>
    [[nodiscard]] Step<T>& get() noexcept {
      return std::get<Step<T>>(steps);
    }
    template <class T>
    [[nodiscard]] const Step<T>& get() const noexcept {
      return std::get<Step<T>>(steps);
    }
    /// The step at a place in the chain.
    template <std::size_t I>
    [[nodiscard]] auto& get() noexcept {
      return std::get<I>(steps);
    }
    template <std::size_t I>
    [[nodiscard]] const auto& get() const noexcept {
      return std::get<I>(steps);
    }

    /// Reads `transformation`.
    /// @throws Error (usage) on a name that is not in the chain, another order, or a missing transform with required
    /// keys
    [[nodiscard]] static Params from_json(const Json& json, const std::string& path) {
      if (!json.is_object()) throw detail::value_error(path, json, "an object of transforms");
      const std::string chain = "this program is built with the chain " + detail::names_text<Ts...>();
      std::size_t next = 0;
      for (const auto& item : json.items()) {
        const std::string doing = "reading the configuration key " + detail::join_path(path, item.key());
        std::size_t place = 0;
        while (place < names.size() && names[place] != item.key()) ++place;
        if (place == names.size())
          throw usage_error(doing, "there is no such transform in the chain",
                            chain + "; nearest is \"" +
                                detail::nearest(item.key(), std::vector<std::string>(names.begin(), names.end())) +
                                "\"");
        if (place < next)
          throw usage_error(doing, "it stands behind " + std::string(names[next - 1]),
                            chain + "; list the transforms in this order");
        next = place + 1;
      }
      Params params;
      [&]<std::size_t... I>(std::index_sequence<I...>) { (read<I>(json, path, chain, params), ...); }
      (std::index_sequence_for<Ts...>{});
      return params;
    }
    /// Writes every transform with every key.
    [[nodiscard]] Json to_json() const {
      Json out = Json::object();
      ((out[std::string(Ts::name)] = detail::write_step(get<Ts>())), ...);
      return out;
    }
    [[nodiscard]] static Json schema() {
      Json properties = Json::object();
      Json needed = Json::array();
      ((properties[std::string(Ts::name)] = detail::step_schema<Ts>()), ...);
      ((detail::has_required_keys<Ts>() ? needed.push_back(std::string(Ts::name)) : void()), ...);
      Json out{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
      if (!needed.empty()) out["required"] = needed;
      return out;
    }
    [[nodiscard]] static std::string type_name() { return "chain of transforms: " + detail::names_text<Ts...>(); }

   private:
    template <std::size_t I>
    static void read(const Json& json, const std::string& path, const std::string& chain, Params& params) {
      using T = std::tuple_element_t<I, std::tuple<Ts...>>;
      const std::string here = detail::join_path(path, T::name);
      const auto found = json.find(std::string(T::name));
      if (found == json.end() && detail::has_required_keys<T>())
        throw usage_error("reading the configuration key " + here, "it is missing",
                          chain + ", and " + std::string(T::name) + " has keys that must be given");
      if (found != json.end()) std::get<I>(params.steps) = detail::read_step<T>(*found, here);
    }
  };

  /// What was done to the image of one sample.
  using History = ChainHistory<Ts...>;

  /// @throws Error (usage) if a transform refuses its parameters
  explicit Compose(const Params& params = Params{})
      : steps_(detail::PlacedTransform<Ts>(params.template get<Ts>())...) {}

  /// True if samples of a stage must carry a box (see BoundingBoxCrop).
  [[nodiscard]] bool needs_box([[maybe_unused]] Stage stage) const {
    return ((detail::takes_box<Ts>() && std::get<detail::PlacedTransform<Ts>>(steps_).dataset_type.contains(stage)) ||
            ...);
  }

  /// Runs the preprocessing transforms in place.
  /// @return what was done, to be handed to `augment` and `invert`
  [[nodiscard]] History preprocess(Sample& sample, Stage stage) const {
    History history;
    run<true>(sample, stage, RandomKey{}, history);
    return history;
  }

  /// Runs all other transforms in place, and adds what was done to the history.
  /// @param key  seed, epoch and number of the sample; the stream is set for each transform
  void augment(Sample& sample, Stage stage, const RandomKey& key, History& history) const {
    run<false>(sample, stage, key, history);
  }

  /// Brings a prediction back to the grid that the image had before the chain: of any number of channels, interpolated
  /// as a label, whose kind it gets.
  void invert(Image& prediction, const History& history) const {
    static_assert(
        ((Ts::is_random || !detail::is_irreversible<Ts>()) && ...),
        "ivado: a transform that testing undoes needs `void invert(Image& prediction, const Draw& draw) const`, or "
        "`static constexpr bool moves_voxels = false` if it moves no voxel");
    prediction.kind = Kind::label;
    for (std::size_t i = history.size(); i-- > 0;) {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((history[i] == I ? detail::invert_step<I>(std::get<I>(steps_), prediction, history) : void()), ...);
      }
      (std::index_sequence_for<Ts...>{});
    }
  }

  /// The names of the transforms that change images at random in a stage, in order.
  [[nodiscard]] std::vector<std::string> random_transforms(Stage stage) const {
    std::vector<std::string> out;
    std::apply([&](const auto&... step) { (detail::note_random(step, stage, out), ...); }, steps_);
    return out;
  }

 private:
  template <bool Preprocessing>
  void run(Sample& sample, Stage stage, const RandomKey& key, History& history) const {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (
          [&] {
            if constexpr (Ts::is_preprocessing == Preprocessing)
              detail::run_step<I>(std::get<I>(steps_), sample, stage, key.with_stream(I), history);
          }(),
          ...);
    }
    (std::index_sequence_for<Ts...>{});
  }

  std::tuple<detail::PlacedTransform<Ts>...> steps_;
};

}  // namespace ivado
