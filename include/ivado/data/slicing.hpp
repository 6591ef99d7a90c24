// The slicing policies (slices or sub-volumes), and the tags that fix the numbers of channels and classes in a loader's
// type.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>

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

/// 3-D sub-volumes of `H`, `W` and `D` voxels, fixed in the type: the volume is turned to (H, W, D) as "slice_axis"
/// says (D is that axis), prepared as a whole, and cut. "stride_3D" gives their distances; those of the lengths are the
/// default.
///
/// ivadomed's 3-D model of the study: `Subvolumes<128, 128, 16>`.
template <int H, int W, int D>
struct Subvolumes {
  static_assert(H > 0 && W > 0 && D > 0, "ivado: Subvolumes<H, W, D> needs three numbers of voxels above 0");
  static constexpr int dimension = 3;                            ///< spatial axes of a sample
  static constexpr std::array<std::int64_t, 3> length{H, W, D};  ///< extents of a sub-volume, voxels
};

/// 3-D sub-volumes whose extents the parameters name ("length_3D", "stride_3D"); without any, whole volumes.
struct AnySubvolumes {
  static constexpr int dimension = 3;  ///< spatial axes of a sample
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

/// True for a slicing policy whose sub-volumes have extents that are part of its type.
template <class Slicing>
inline constexpr bool has_static_length = requires {
  Slicing::length;
};

}  // namespace detail
}  // namespace ivado
