// The slicing policies, and the tags that fix the numbers of channels and classes in a loader's type.
#pragma once

#include <concepts>

#include "array.hpp"
#include "geometry.hpp"

namespace ivado {

/// 2-D slices along one axis of RAS space, fixed in the type.
///
/// The volume is turned to (H, W, D) as `ras_to_hwd` says, and each index of D is a sample [channel, H, W].
template <Axis SliceAxis>
struct Slices {
  static constexpr int dimension = 2;      ///< spatial axes of a sample
  static constexpr Axis axis = SliceAxis;  ///< the axis along which slices follow each other
};

/// 2-D slices along the axis that the parameters name ("slice_axis").
struct AnySlices {
  static constexpr int dimension = 2;  ///< spatial axes of a sample
};

/// The loader gives `N` channels a sample; `dynamic` takes the number from the parameters.
template <int N>
struct Channels {
  static_assert(N == dynamic || N > 0, "ivado: Channels<N> needs N > 0, or ivado::dynamic");
  static constexpr int channels = N;
};

/// The loader gives `N` classes a label; `dynamic` takes the number from the parameters.
template <int N>
struct Classes {
  static_assert(N == dynamic || N > 0, "ivado: Classes<N> needs N > 0, or ivado::dynamic");
  static constexpr int classes = N;
};

namespace detail {

/// True for a slicing policy whose axis is part of its type.
template <class Slicing>
inline constexpr bool has_static_axis = requires {
  { Slicing::axis } -> std::same_as<const Axis&>;
};

}  // namespace detail
}  // namespace ivado
