// DilateGT: labels that fade out around each object.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "concept.hpp"
#include "grid.hpp"

namespace ivado {

/// Grows each object of a label by a fading rim, in proportion to its size, for losses that take soft labels.
///
/// A voxel above 0.5 is inside, and voxels that touch with a face make up an object. An object of a voxels gets
/// m = round(dilation_factor · √a) layers, halves to the even number; the k-th voxel away from it, counted in steps
/// through faces, gets (m + 1 - k) / (m + 1). Rims of several objects add up, to 1 at most. Each class is dealt with
/// alone. A factor of 0 leaves the label as it is. All this as in ivadomed 2.9.10.
///
/// It is not random, and works on every data set that `dataset_type` holds, though on labels alone whatever `applied_to`
/// says: set "soft_gt": true, else the rim is cut at 0.5 again. It moves no voxel, and there is nothing to undo in a
/// prediction.
/// @complexity one pass over the voxels, and the voxels of all objects and rims
class DilateGT {
 public:
  static constexpr std::string_view name = "DilateGT";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = false;
  /// No voxel changes its place: a chain has nothing to invert.
  static constexpr bool moves_voxels = false;

  struct Params {
    double dilation_factor = 0;  ///< layers per square root of an object's number of voxels

    static constexpr auto fields() {
      return ivado::fields(field<"dilation_factor", &Params::dilation_factor>(
          "layers of the rim for each unit of √(voxels of the object); 0: none", within(0, 1000), required()));
    }
  };
  struct Draw {};

  /// @throws Error (usage) if the factor is negative or not finite
  IVADO_INLINE explicit DilateGT(const Params& params) : params_(params) {
    if (!(params.dilation_factor >= 0) || !std::isfinite(params.dilation_factor))
      throw usage_error("setting up DilateGT", detail::text("dilation_factor is ", params.dilation_factor),
                        "give a number >= 0");
  }

  [[nodiscard]] Draw draw(Rng& /*rng*/, const Sample& /*sample*/) const { return {}; }

  /// Softens a label in place; leaves images and regions of interest alone.
  IVADO_INLINE void apply(Image& image, const Draw& /*draw*/) const {
    if (image.kind != Kind::label || image.empty() || params_.dilation_factor == 0) return;
    detail::check_dimension(image, "DilateGT");
    const auto extents = detail::extents3(image.spatial());
    const std::int64_t size = extents[0] * extents[1] * extents[2];
    for (std::int64_t channel = 0; channel < image.voxels.extent(0); ++channel)
      dilate(image.voxels.data() + channel * size, extents);
  }

 private:
  /// Calls visit(neighbour) for each voxel that shares a face with the voxel at `at`.
  template <class Visit>
  static void for_each_neighbour(std::int64_t at, const std::array<std::int64_t, 3>& extents, const Visit& visit) {
    std::int64_t stride = 1;
    std::int64_t rest = at;
    for (std::size_t axis = 3; axis-- > 0;) {
      const std::int64_t index = rest % extents[axis];
      rest /= extents[axis];
      if (index > 0) visit(at - stride);
      if (index + 1 < extents[axis]) visit(at + stride);
      stride *= extents[axis];
    }
  }

  /// One class. Breadth first from each object: first through its own voxels, then layer by layer through all others.
  IVADO_INLINE void dilate(float* label, const std::array<std::int64_t, 3>& extents) const {
    const std::int64_t size = extents[0] * extents[1] * extents[2];
    std::vector<double> soft(static_cast<std::size_t>(size), 0.0);
    std::vector<std::int32_t> reached_by(static_cast<std::size_t>(size), 0);  // the last object that came to the voxel
    std::vector<std::int64_t> found;  // the voxels of the object and of its layers, in the order of discovery
    std::int32_t object = 0;
    for (std::int64_t seed = 0; seed < size; ++seed) {
      if (!(label[seed] > 0.5F)) continue;
      ++object;
      found.assign(1, seed);
      reached_by[static_cast<std::size_t>(seed)] = object;
      const auto grow = [&](std::size_t from, std::size_t to, bool within_object) {
        for (std::size_t i = from; i < (within_object ? found.size() : to); ++i)
          for_each_neighbour(found[i], extents, [&](std::int64_t next) {
            auto& mark = reached_by[static_cast<std::size_t>(next)];
            if (mark == object || (within_object && !(label[next] > 0.5F))) return;
            mark = object;
            found.push_back(next);
          });
      };
      grow(0, 1, true);
      for (const std::int64_t voxel : found) {
        soft[static_cast<std::size_t>(voxel)] += 1;
        label[voxel] = 0;  // done: not the seed of another object
      }
      const double layers =
          detail::round_half_even(params_.dilation_factor * std::sqrt(static_cast<double>(found.size())));
      std::size_t from = 0;
      for (double value = layers; value > 0 && from < found.size(); --value) {
        const std::size_t to = found.size();
        grow(from, to, false);
        for (std::size_t i = to; i < found.size(); ++i)
          soft[static_cast<std::size_t>(found[i])] += value / (layers + 1);
        from = to;
      }
    }
    for (std::int64_t i = 0; i < size; ++i)
      label[i] = static_cast<float>(std::min(soft[static_cast<std::size_t>(i)], 1.0));
  }

  Params params_;
};

static_assert(Transform<DilateGT>);

}  // namespace ivado
