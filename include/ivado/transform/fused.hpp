// Fused: several transforms of the grid with one interpolation in all.
#pragma once

#include <algorithm>
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
#include "concept.hpp"
#include "grid.hpp"
#include "interpolate.hpp"
#include "step.hpp"

namespace ivado {

/// A transform that moves voxels within their grid and can say where to, so that `Fused` may take it in.
///
/// `forward_map(spatial, draw)` gives the map from a position after the transform to that before it, `inverse_map` the
/// one back; both as an optional, empty where the draw moves nothing. A map has
/// `void move(std::array<double, 3>& position) const`, in voxels along H, W, D; a position that it moves out of
/// [0, n - 1] shows 0.
/// Models: RandomAffine, ElasticTransform.
template <class T>
concept GridTransform =
    InvertibleTransform<T> && !T::is_preprocessing &&
    requires(const T& transform, const Shape& spatial, const typename T::Draw& draw, std::array<double, 3>& position) {
  transform.forward_map(spatial, draw)->move(position);
  transform.inverse_map(spatial, draw)->move(position);
};

/// Transforms of the grid one after the other, with a single linear interpolation: what each does is composed as maps
/// of positions, and then the image is sampled once. Sharper than the transforms in a row, where each one smooths.
///
/// `Fused<RandomAffine, ElasticTransform>` first turns the sample and then deforms it. All draw from one random stream,
/// in order. `invert` composes the inverse maps and samples once as well.
///
/// JSON: `"Fused": {"RandomAffine": {…}, "ElasticTransform": {…}}`, with `applied_to` and `dataset_type` beside them.
/// One whose parameters all have defaults may be left out, and then takes these.
/// @complexity one pass, with positions in double: several times the time of the two transforms in a row, whose
/// loops go along rows. Take it for sharpness, not for speed.
/// @note Resample is not for it: it changes the grid, is done once and cached, and interpolates images by splines.
template <GridTransform... Ts>
requires(sizeof...(Ts) > 0) class Fused {
 public:
  static constexpr std::string_view name = "Fused";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = (Ts::is_random || ...);

  /// The parameters of each: `params.get<RandomAffine>().degrees = 5`.
  struct Params {
    std::tuple<typename Ts::Params...> all{};

    template <class T>
    [[nodiscard]] typename T::Params& get() noexcept {
      return std::get<typename T::Params>(all);
    }
    template <class T>
    [[nodiscard]] const typename T::Params& get() const noexcept {
      return std::get<typename T::Params>(all);
    }

    /// @throws Error (usage) on another name, or where one is missing that has keys which must be given
    [[nodiscard]] static Params from_json(const Json& json, const std::string& path) {
      detail::refuse_unknown_keys(json, path, {std::string(Ts::name)...});
      Params params;
      (
          [&] {
            const Json* const found = detail::find_key(json, Ts::name, "a transform with keys that must be given",
                                                       detail::has_required_keys<Ts>(), path);
            if (found != nullptr)
              params.template get<Ts>() =
                  ivado::from_json<typename Ts::Params>(*found, detail::join_path(path, Ts::name));
          }(),
          ...);
      return params;
    }
    [[nodiscard]] Json to_json() const {
      Json out = Json::object();
      ((out[std::string(Ts::name)] = ivado::to_json(get<Ts>())), ...);
      return out;
    }
    [[nodiscard]] static Json schema() {
      Json properties = Json::object();
      ((properties[std::string(Ts::name)] = ivado::schema<typename Ts::Params>()), ...);
      return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    }
    [[nodiscard]] static std::string type_name() { return "transforms of the grid: " + detail::names_text<Ts...>(); }
  };

  using Draw = std::tuple<typename Ts::Draw...>;

  /// @throws Error (usage) if a transform refuses its parameters
  explicit Fused(const Params& params) : transforms_(Ts(params.template get<Ts>())...) {}

  [[nodiscard]] Draw draw(Rng& rng, const Sample& sample) const {
    return std::apply([&](const auto&... transform) { return Draw{transform.draw(rng, sample)...}; }, transforms_);
  }

  /// All transforms, in place. Draws that move nothing leave the image untouched.
  void apply(Image& image, const Draw& draw) const {
    detail::check_dimension(image, "Fused");
    // A voxel of the result looks back through the last transform first.
    sample(
        image, [&]<std::size_t... I>(std::index_sequence<I...>) {
          constexpr std::size_t last = sizeof...(Ts) - 1;
          return std::tuple(std::get<last - I>(transforms_).forward_map(image.spatial(), std::get<last - I>(draw))...);
        }(std::index_sequence_for<Ts...>{}));
  }

  /// All transforms back, in place; 0 where they had pushed voxels over the border.
  void invert(Image& image, const Draw& draw) const {
    detail::check_dimension(image, "undoing Fused");
    sample(
        image, [&]<std::size_t... I>(std::index_sequence<I...>) {
          return std::tuple(std::get<I>(transforms_).inverse_map(image.spatial(), std::get<I>(draw))...);
        }(std::index_sequence_for<Ts...>{}));
  }

 private:
  /// Moves a position on the grid. False if it leaves the grid.
  template <class Map>
  static bool move(std::array<double, 3>& position, const std::optional<Map>& map,
                   const std::array<std::int64_t, 3>& extent) {
    if (!map) return true;
    map->move(position);
    bool is_inside = true;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const auto last = static_cast<double>(extent[axis] - 1);
      is_inside = is_inside && position[axis] >= -detail::border_tolerance_vox &&
                  position[axis] <= last + detail::border_tolerance_vox;
      position[axis] = std::clamp(position[axis], 0.0, last);
    }
    return is_inside;
  }

  /// Samples all channels where the maps, one after the other, take each voxel.
  template <class... Maps>
  static void sample(Image& image, const std::tuple<std::optional<Maps>...>& maps) {
    if (std::apply([](const auto&... map) { return (!map && ...); }, maps)) return;
    const auto extent = detail::extents3(image.spatial());
    const std::int64_t channels = image.voxels.extent(0);
    const std::int64_t size = extent[0] * extent[1] * extent[2];
    Array<float> out(image.voxels.shape());
    std::int64_t at = 0;
    for (std::int64_t h = 0; h < extent[0]; ++h)
      for (std::int64_t w = 0; w < extent[1]; ++w)
        for (std::int64_t d = 0; d < extent[2]; ++d, ++at) {
          std::array<double, 3> position{static_cast<double>(h), static_cast<double>(w), static_cast<double>(d)};
          const bool is_inside =
              std::apply([&](const auto&... map) { return (move(position, map, extent) && ...); }, maps);
          if (!is_inside) {
            for (std::int64_t c = 0; c < channels; ++c) out[c * size + at] = 0;
            continue;
          }
          const detail::LinearCorner corner(position, extent);
          for (std::int64_t c = 0; c < channels; ++c) out[c * size + at] = corner.value(image.voxels.data() + c * size);
        }
    image.voxels = std::move(out);
  }

  std::tuple<Ts...> transforms_;
};

}  // namespace ivado
