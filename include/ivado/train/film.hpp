// Film: the policy that keeps how the prediction of some slices changes over a training. No LibTorch.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>

#include "../data/array.hpp"
#include "../data/geometry.hpp"

namespace ivado {

/// A slice that is filmed.
struct FilmScene {
  std::string image;       ///< the file of the image, with or without its folder
  std::int64_t slice = 0;  ///< along the slice axis, from 0
};

/// Keeps a frame of each scene for each epoch.
///
/// Requirements: `is_available`, false where nothing would be kept; `begin(folder, scenes, epochs_done)` before the first
/// frame, with the epochs of the training that goes on, whose frames stay (0: a new one); `add(scene, epoch, image,
/// prediction, axis)` with the number of the scene, image and prediction as [H, W], the prediction in [0, 1], and what
/// H and W are; `write()` after each epoch. Law: it changes nothing that the training depends on.
/// Models: GifFilm (interop/gif_film.hpp). A pipeline has none unless it is named.
template <class T>
concept Film = std::default_initializable<T> &&
    requires(T& film, const std::string& folder, std::span<const FilmScene> scenes, std::int64_t n,
             ArrayView<const float> slice, Axis axis) {
  { T::is_available } -> std::convertible_to<bool>;
  film.begin(folder, scenes, n);
  film.add(n, n, slice, slice, axis);
  film.write();
};

/// Films nothing.
struct NoFilm {
  static constexpr bool is_available = false;
  void begin(const std::string&, std::span<const FilmScene>, std::int64_t) const noexcept {}
  void add(std::int64_t, std::int64_t, ArrayView<const float>, ArrayView<const float>, Axis) const noexcept {}
  void write() const noexcept {}
};

static_assert(Film<NoFilm>);

}  // namespace ivado
