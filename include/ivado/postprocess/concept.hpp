// A prediction on the grid of its file, and the concept of a step that works on it.
#pragma once

#include <array>
#include <concepts>
#include <string_view>

#include "../data/array.hpp"

namespace ivado {

struct UncertaintyMaps;  // uncertainty/maps.hpp

/// The prediction of a whole case on the grid of its image file.
struct Prediction {
  Array<float> voxels;                           ///< [class, i, j, k], in [0, 1]
  std::array<double, 3> spacing_mm{1, 1, 1};     ///< along i, j, k
  bool is_mask = false;                          ///< true once every value is 0 or 1: it is then stored as uint8
  const UncertaintyMaps* uncertainty = nullptr;  ///< of the same image, where it is estimated; somebody else's
  const Array<float>* probabilities = nullptr;   ///< `voxels` before all steps, where they are kept; somebody else's
};

/// Works on a whole prediction, in place.
///
/// Requirements: `Params` (a reflected struct, the step is constructed from it), `name` (its key in `postprocessing`),
/// `operator()(Prediction&) const`.
/// Laws: the shape stays; values stay in [0, 1]; steps that say so are idempotent.
template <class T>
concept PostStep = std::constructible_from<T, typename T::Params> && requires(const T& step, Prediction& prediction) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  step(prediction);
};

}  // namespace ivado
