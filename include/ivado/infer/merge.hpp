// PatchMerger: overlapping predictions of patches put together, and Assembler: from predictions of samples to volumes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../data/patches.hpp"
#include "../data/sample.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../postprocess/concept.hpp"
#include "reconstruct.hpp"

namespace ivado {

/// How much each voxel of a patch counts where patches overlap.
enum class OverlapWeights {
  average,   ///< all alike, as in ivadomed
  gaussian,  ///< less towards the border, where a network saw less around it: a normal curve along each axis, with a
  ///< standard deviation of an eighth of the length (Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z)
};

/// The weights along one axis of a patch, largest in the middle.
/// @param length  voxels of the patch along the axis
[[nodiscard]] IVADO_INLINE std::vector<double> overlap_weights(std::int64_t length, OverlapWeights kind) {
  std::vector<double> out(static_cast<std::size_t>(length), 1.0);
  if (kind == OverlapWeights::average) return out;
  const double middle = static_cast<double>(length - 1) / 2;
  const double deviation = static_cast<double>(length) / 8;
  for (std::int64_t i = 0; i < length; ++i) {
    const double distance = (static_cast<double>(i) - middle) / deviation;
    out[static_cast<std::size_t>(i)] = std::exp(-distance * distance / 2);
  }
  return out;
}

/// Merges the predictions of all patches of a slice or volume into one: the weighted mean where they overlap.
///
/// The patches come in the order of the grid. What lies outside of the grid (zeros that were put around it) is cut off.
/// Where all patches agree, the result is what they agree on, bit for bit: sums are in double, over fewer than 2^29
/// patches.
///
/// Memory: the result, and sums for as many planes across the first axis as a patch is long, however many patches there
/// are. Planes are finished as soon as no patch to come reaches them. Weights are products of one factor an axis, and
/// so is their sum over the grid: no array of them is held.
/// @complexity one multiplication and addition for each voxel of each patch
class PatchMerger {
 public:
  IVADO_INLINE explicit PatchMerger(const PatchGrid& grid, OverlapWeights weights = OverlapWeights::average)
      : grid_(grid), extent_(padded(grid.extent())), length_(padded(grid.length())) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      weights_[axis] = overlap_weights(length_[axis], weights);
      sums_of_weights_[axis].assign(static_cast<std::size_t>(extent_[axis]), 0);
      for (const std::int64_t start : grid.starts(static_cast<int>(axis)))
        for (std::int64_t i = std::max<std::int64_t>(-start, 0); i < std::min(length_[axis], extent_[axis] - start);
             ++i)
          sums_of_weights_[axis][static_cast<std::size_t>(start + i)] += weights_[axis][static_cast<std::size_t>(i)];
    }
    planes_ = std::min(length_[0], extent_[0]);
  }

  /// Takes the prediction of the next patch.
  /// @param start       where it begins; of the patch that is next in the grid
  /// @param prediction  [class, spatial…] with the extents of a patch
  /// @throws Error (internal) if it is not the next patch, or its shape differs from that of the others
  IVADO_INLINE void add(const std::array<std::int32_t, 3>& start, const Array<float>& prediction) {
    if (is_complete() || grid_[came_] != start)
      throw internal_error(doing(),
                           "the patch at " + place(start) + " came" +
                               (is_complete() ? " when all had come" : ", expected that at " + place(grid_[came_])),
                           "give the patches in the order of the data set");
    const std::int64_t classes = came_ == 0 && prediction.rank() > 0 ? prediction.extent(0) : out_.extent(0);
    if (prediction.rank() == 0 || !(prediction.shape() == grid_.length().prepended(classes)))
      throw internal_error(doing(), "the prediction of the patch at " + place(start) + " is " +
                                        prediction.shape().text() + ", expected " +
                                        grid_.length().prepended(std::max<std::int64_t>(classes, 1)).text());
    if (came_ == 0) {
      out_ = Array<float>(grid_.extent().prepended(classes));
      sums_ = Array<double>({classes, planes_, extent_[1], extent_[2]}, 0.0);
    }
    finish_planes(std::max<std::int64_t>(start[0], 0));
    accumulate(start, prediction, classes);
    if (++came_ == grid_.size()) {
      finish_planes(extent_[0]);
      sums_ = {};
    }
  }

  /// True once all patches came.
  [[nodiscard]] bool is_complete() const noexcept { return came_ == grid_.size(); }
  /// Bytes held.
  [[nodiscard]] std::size_t bytes() const noexcept { return out_.bytes() + sums_.bytes(); }
  /// The merged prediction [class, spatial…], given away.
  /// @throws Error (internal) if patches are missing
  [[nodiscard]] IVADO_INLINE Array<float> take() {
    if (!is_complete()) throw internal_error(doing(), detail::text(came_, " of ", grid_.size(), " patches came"));
    return std::move(out_);
  }

 private:
  using Extents = std::array<std::int64_t, 3>;

  [[nodiscard]] IVADO_INLINE static Extents padded(const Shape& shape) {
    Extents out{1, 1, 1};
    for (int axis = 0; axis < shape.rank(); ++axis) out[static_cast<std::size_t>(axis)] = shape[axis];
    return out;
  }
  [[nodiscard]] IVADO_INLINE std::string doing() const {
    return "merging the predictions of " + std::to_string(grid_.size()) + " patches of " + grid_.length().text();
  }
  [[nodiscard]] IVADO_INLINE std::string place(const std::array<std::int32_t, 3>& start) const {
    std::string out;
    for (int axis = 0; axis < grid_.extent().rank(); ++axis)
      out += (axis == 0 ? "" : ", ") + std::to_string(start[static_cast<std::size_t>(axis)]);
    return out;
  }

  /// Plane h of the sums is in row h mod `planes_`.
  [[nodiscard]] IVADO_INLINE double* plane(std::int64_t c, std::int64_t h) noexcept {
    return sums_.data() + (c * planes_ + h % planes_) * extent_[1] * extent_[2];
  }

  IVADO_INLINE void accumulate(const std::array<std::int32_t, 3>& start, const Array<float>& prediction,
                               std::int64_t classes) {
    Extents begin{};  // the first voxel of the patch that lies on the grid, and behind the last one
    Extents end{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      begin[axis] = std::max<std::int64_t>(-start[axis], 0);
      end[axis] = std::min(length_[axis], extent_[axis] - start[axis]);
    }
    const double* const along_d = weights_[2].data();
    for (std::int64_t c = 0; c < classes; ++c)
      for (std::int64_t h = begin[0]; h < end[0]; ++h)
        for (std::int64_t w = begin[1]; w < end[1]; ++w) {
          const double weight = weights_[0][static_cast<std::size_t>(h)] * weights_[1][static_cast<std::size_t>(w)];
          const float* const from = prediction.data() + ((c * length_[0] + h) * length_[1] + w) * length_[2];
          double* const to = plane(c, start[0] + h) + (start[1] + w) * extent_[2] + start[2];
          for (std::int64_t d = begin[2]; d < end[2]; ++d) to[d] += weight * along_d[d] * static_cast<double>(from[d]);
        }
  }

  /// Divides the planes up to `end` by their weights into the result, and clears their sums.
  IVADO_INLINE void finish_planes(std::int64_t end) {
    for (; finished_ < end; ++finished_)
      for (std::int64_t c = 0; c < out_.extent(0); ++c) {
        double* const from = plane(c, finished_);
        float* const to = out_.data() + (c * extent_[0] + finished_) * extent_[1] * extent_[2];
        for (std::int64_t w = 0; w < extent_[1]; ++w) {
          const double weight = sums_of_weights_[0][static_cast<std::size_t>(finished_)] *
                                sums_of_weights_[1][static_cast<std::size_t>(w)];
          for (std::int64_t d = 0; d < extent_[2]; ++d)
            to[w * extent_[2] + d] = static_cast<float>(from[w * extent_[2] + d] /
                                                        (weight * sums_of_weights_[2][static_cast<std::size_t>(d)]));
        }
        std::fill_n(from, extent_[1] * extent_[2], 0.0);
      }
  }

  PatchGrid grid_;
  Extents extent_;  // of the grid and of a patch, with axes of 1 behind
  Extents length_;
  std::array<std::vector<double>, 3> weights_;          // of a patch, by axis
  std::array<std::vector<double>, 3> sums_of_weights_;  // of the grid, by axis
  std::int64_t planes_ = 0;
  Array<double> sums_;
  Array<float> out_;
  std::int64_t came_ = 0;      // patches
  std::int64_t finished_ = 0;  // planes
};

/// Puts the predictions of a data set's samples together, whatever these are: undoes their transforms, merges patches,
/// and gives each volume on the grid of its file.
///
/// Samples of several slices and volumes may come mixed, but the patches of a slice or volume in the order of the data
/// set. What the data set left out is zero. Not thread-safe.
///
/// @tparam Data     a data set of the testing stage, such as `CaseDataset`; without patches it needs `volumes`,
///                  `counts`, `geometry_of` and `axis` alone
/// @tparam Augment  its chain of transforms, for the inverses
template <class Data, class Augment>
class Assembler {
 public:
  /// @param data  must outlive the assembler, as must `augment`
  Assembler(const Data& data, const Augment& augment, OverlapWeights weights = OverlapWeights::average,
            const Reconstructor::Params& params = {})
      : data_(data), augment_(augment), weights_(weights), volumes_(params) {
    for (std::size_t volume = 0; volume < data.volumes(); ++volume)
      volumes_.expect(static_cast<std::int32_t>(volume), data.counts(volume).kept);
  }

  /// Takes the prediction of one sample.
  /// @param prediction  voxels [class, spatial…] on the grid that the network saw
  /// @param history     of the sample
  /// @throws Error (internal) if patches come in another order, or the prediction does not fit the sample
  template <class History>
  void add(const Origin& origin, Image prediction, const History& history) {
    augment_.invert(prediction, history);
    if constexpr (requires { data_.patch_grid(origin); }) {
      if (data_.is_patched()) {
        const auto place = std::pair(origin.volume, origin.slice);
        auto found = merging_.find(place);
        if (found == merging_.end())
          found = merging_.emplace(place, PatchMerger(data_.patch_grid(origin), weights_)).first;
        found->second.add(origin.start, prediction.voxels);
        if (!found->second.is_complete()) return;
        prediction.voxels = found->second.take();
        merging_.erase(found);
        augment_.invert(prediction, data_.preparation(origin));
      }
    }
    volumes_.add(origin, std::move(prediction));
  }

  /// True once all predictions of a volume came, as none have to where all its slices were left out.
  [[nodiscard]] bool is_complete(std::size_t volume) const {
    return volumes_.is_complete(static_cast<std::int32_t>(volume));
  }
  /// The prediction of a volume on the grid of its file, given away.
  /// @param classes  number of classes
  /// @throws Error (internal) if predictions are missing
  [[nodiscard]] Prediction finish(std::size_t volume, std::int64_t classes) {
    return volumes_.finish(static_cast<std::int32_t>(volume), data_.geometry_of(volume), data_.axis(), classes);
  }
  /// Bytes of the predictions held.
  [[nodiscard]] std::size_t bytes() const noexcept {
    std::size_t sum = volumes_.bytes();
    for (const auto& [place, merger] : merging_) sum += merger.bytes();
    return sum;
  }

 private:
  const Data& data_;
  const Augment& augment_;
  OverlapWeights weights_;
  Reconstructor volumes_;
  std::map<std::pair<std::int32_t, std::int32_t>, PatchMerger> merging_;  // by volume and slice
};

}  // namespace ivado
