// The concept of a transform: draw, apply, invert.
#pragma once

#include <concepts>
#include <string_view>

#include "../data/sample.hpp"
#include "../random.hpp"

namespace ivado {

/// Changes a sample. First it draws what is random (and notes what it needs to be undone), then it applies the draw to
/// each kind of data (image, label, region of interest) that the chain lets it touch.
///
/// Requirements:
///   `Params`            a reflected struct; the transform is constructed from it
///   `Draw`              all that `apply` and `invert` depend on besides `Params`; copyable
///   `name`              its key in `transformation`
///   `is_preprocessing`  true: runs once, before all others, and its result is cached; must not be random
///   `is_random`         true: two draws differ; by default such a transform works on the training set alone
///   `draw(rng, sample)` must not change the sample, and must use `rng` alone for its randomness
///   `apply(image, draw)`  in place; `image.kind` decides the interpolation; a transform of intensities leaves other
/// kinds alone
/// Laws (tests/transform/laws.hpp): one key, one draw; `apply` with one draw gives one result; label and image keep
/// one grid;
/// a 2-D sample stays 2-D.
/// Models: Resample, CenterCrop, NormalizeInstance, RandomAffine, ElasticTransform.
template <class T>
concept Transform = std::constructible_from<T, typename T::Params> &&
    requires(const T& transform, Rng& rng, const Sample& sample, Image& image, const typename T::Draw& draw) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  { T::is_preprocessing } -> std::convertible_to<bool>;
  { T::is_random } -> std::convertible_to<bool>;
  { transform.draw(rng, sample) } -> std::same_as<typename T::Draw>;
  transform.apply(image, draw);
};

/// A transform whose effect on the place of voxels can be undone: `invert(image, draw)` brings a prediction (any
/// number of
/// channels) back to the grid that `apply` was given. One that moves no voxel inverts to the identity.
/// Law: invert∘apply is the identity on the interior, up to interpolation.
template <class T>
concept InvertibleTransform = Transform<T> && requires(const T& transform, Image& image, const typename T::Draw& draw) {
  transform.invert(image, draw);
};

}  // namespace ivado
