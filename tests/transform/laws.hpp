// The laws of ivado::Transform as tests: check_transform_laws<MyTransform>(params) holds them against any transform.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ivado/transform/concept.hpp>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace laws {

/// A smooth sample: two channels of image, a label with two classes and a region of interest, on one grid.
inline ivado::Sample smooth_sample(const ivado::Shape& spatial, const std::array<double, 3>& spacing_mm = {1, 1, 1}) {
  const auto fill = [&](std::int64_t channels, ivado::Kind kind) {
    ivado::Image image{ivado::Array<float>(spatial.prepended(channels)), kind, spacing_mm};
    const std::int64_t size = spatial.size();
    const std::int64_t depth = spatial.rank() > 2 ? spatial[2] : 1;
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t i = 0; i < size; ++i) {
        const double h = static_cast<double>(i / depth / spatial[1]) / static_cast<double>(spatial[0]);
        const double w = static_cast<double>(i / depth % spatial[1]) / static_cast<double>(spatial[1]);
        const double d = static_cast<double>(i % depth) / static_cast<double>(depth);
        const double wave = std::sin(3 * h + 1) * std::cos(2 * w + static_cast<double>(c)) + 0.3 * std::sin(2 * d);
        image.voxels[c * size + i] =
            static_cast<float>(kind == ivado::Kind::image ? 100 + 50 * wave : 0.5 + 0.3 * wave);
      }
    return image;
  };
  return {fill(2, ivado::Kind::image), fill(2, ivado::Kind::label), fill(1, ivado::Kind::roi), {3, 5}};
}

inline bool equal(const ivado::Image& a, const ivado::Image& b) {
  return a.voxels == b.voxels && a.kind == b.kind && a.spacing_mm == b.spacing_mm;
}
inline bool equal(const ivado::Sample& a, const ivado::Sample& b) {
  return equal(a.image, b.image) && equal(a.label, b.label) && equal(a.roi, b.roi);
}

/// The largest difference of two images of one shape, in voxels at least `margin` (a fraction of the extent) from the
/// border.
inline double interior_difference(const ivado::Image& a, const ivado::Image& b, double margin) {
  const ivado::Shape spatial = a.spatial();
  double largest = 0;
  for (std::int64_t c = 0; c < a.voxels.extent(0); ++c)
    for (std::int64_t i = 0; i < spatial.size(); ++i) {
      std::int64_t rest = i;
      bool inside = true;
      for (int axis = spatial.rank() - 1; axis >= 0; --axis) {
        const std::int64_t index = rest % spatial[axis];
        rest /= spatial[axis];
        const double border = margin * static_cast<double>(spatial[axis]);
        inside =
            inside && static_cast<double>(index) >= border && static_cast<double>(spatial[axis] - 1 - index) >= border;
      }
      const std::int64_t at = c * spatial.size() + i;
      if (inside)
        largest = std::max(largest, std::abs(static_cast<double>(a.voxels[at]) - static_cast<double>(b.voxels[at])));
    }
  return largest;
}

/// How well the inverse must recover the interior of `smooth_sample`'s label, whose values span about 0.6.
struct Options {
  double margin = 0.3;      ///< fraction of each extent, at each end, that is not looked at
  double tolerance = 0.02;  ///< largest difference in the interior
};

template <class T>
void check_on(const typename T::Params& params, const ivado::Sample& sample, const Options& options) {
  const T transform(params);
  const int dimension = sample.image.dimension();
  for (std::uint32_t number = 0; number < 4; ++number) {
    const ivado::RandomKey key{11, 2, number, 1};
    CAPTURE(sample.image.voxels.shape().text(), number);

    const ivado::Sample before = sample.clone();
    ivado::Rng first(key);
    const auto draw = transform.draw(first, before);
    REQUIRE(equal(before, sample));  // drawing changes nothing

    ivado::Sample once = sample.clone();
    ivado::Sample again = sample.clone();
    ivado::Rng second(key);
    const auto same_draw = transform.draw(second, sample);
    for (ivado::Image* image : {&once.image, &once.label, &once.roi}) transform.apply(*image, draw);
    for (ivado::Image* image : {&again.image, &again.label, &again.roi}) transform.apply(*image, same_draw);
    REQUIRE(equal(once, again));  // one key, one draw, one result

    REQUIRE(once.image.dimension() == dimension);
    REQUIRE(once.image.spatial() == once.label.spatial());
    REQUIRE(once.image.spatial() == once.roi.spatial());
    REQUIRE(once.image.spacing_mm == once.label.spacing_mm);
    REQUIRE(once.image.voxels.extent(0) == sample.image.voxels.extent(0));
    REQUIRE(once.label.voxels.extent(0) == sample.label.voxels.extent(0));
    REQUIRE(once.image.kind == ivado::Kind::image);
    REQUIRE(once.label.kind == ivado::Kind::label);
    REQUIRE(std::all_of(once.image.voxels.begin(), once.image.voxels.end(), [](float v) { return std::isfinite(v); }));

    // Channels do not mix: the second class alone comes out as it does beside the first.
    ivado::Image alone{ivado::Array<float>::from(std::as_const(sample.label.voxels).view().narrow(0, 1, 1)),
                       ivado::Kind::label, sample.label.spacing_mm};
    transform.apply(alone, draw);
    REQUIRE(alone.voxels == ivado::Array<float>::from(std::as_const(once.label.voxels).view().narrow(0, 1, 1)));

    if constexpr (ivado::InvertibleTransform<T>) {
      ivado::Image back = once.label.clone();
      transform.invert(back, draw);
      REQUIRE(back.voxels.shape() == sample.label.voxels.shape());
      REQUIRE(back.spacing_mm == sample.label.spacing_mm);
      CHECK(interior_difference(back, sample.label, options.margin) <= options.tolerance);
      ivado::Image image_back = once.image.clone();
      transform.invert(image_back, draw);
      REQUIRE(image_back.voxels.shape() == sample.image.voxels.shape());
    }
  }
}

/// Runs every law on slices and volumes of odd, prime and even extents, on two spacings.
template <class T>
requires ivado::Transform<T>
void check_transform_laws(const typename T::Params& params, const Options& options = {}) {
  static_assert(!(T::is_preprocessing && T::is_random));
  static_assert(std::string_view(T::name).size() > 0);
  for (const auto& spatial : std::vector<ivado::Shape>{{31, 29}, {37, 24}, {32, 41}, {23, 29, 17}, {24, 19, 20}})
    for (const auto& spacing : std::vector<std::array<double, 3>>{{1, 1, 1}, {0.9, 1.1, 1.3}})
      check_on<T>(params, smooth_sample(spatial, spacing), options);
}

/// The text of the error that `work` throws; empty if it throws none.
template <class Work>
std::string error_text(const Work& work) {
  try {
    work();
  } catch (const ivado::Error& error) {
    return error.what();
  }
  return {};
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace laws
