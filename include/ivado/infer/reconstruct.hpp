// Reconstructor: from predictions of slices or whole volumes to one prediction on the grid of the image file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "../config/params.hpp"
#include "../data/array.hpp"
#include "../data/geometry.hpp"
#include "../data/sample.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../postprocess/concept.hpp"

namespace ivado {

/// Collects the predictions of samples, grouped by the volume they came from, and puts them together.
///
/// The samples may come in any order and those of several volumes mixed; a volume is done when as many came as `expect`
/// announced. Slices that were filtered out never come: they are zero. Values are kept as they come. Not thread-safe.
///
/// ivadomed takes a volume for done at its last slice; where that one was filtered out, the next volume swallows the
/// slices (known-problems B6.1).
class Reconstructor {
 public:
  struct Params {
    bool as_ivadomed = false;

    static constexpr auto fields() {
      return ivado::fields(field<"as_ivadomed", &Params::as_ivadomed>(
          "set values of soft predictions up to 0.01 to 0, as ivadomed does"));
    }
  };

  Reconstructor() = default;
  explicit Reconstructor(const Params& params) : params_(params) {}

  /// Announces how many predictions of a volume will come; 0 is possible, see `finish`.
  /// @throws Error (internal) if more came already
  IVADO_INLINE void expect(std::int32_t volume, std::int64_t count) {
    Pending& pending = pending_[volume];
    if (count < static_cast<std::int64_t>(pending.parts.size()))
      throw internal_error(doing(volume),
                           detail::text(pending.parts.size(), " predictions came, ", count, " are announced"));
    pending.expected = count;
  }

  /// Takes the prediction of one sample.
  /// @param origin      volume and index along the slice axis; a slice of -1 is the whole volume
  /// @param prediction  voxels [class, H, W] of a slice, or [class, H, W, D] of the volume, on the grid that the volume
  ///                    had before the transforms (that is, they are undone)
  /// @throws Error (internal) if the axes do not fit the origin, the numbers of classes or the sizes of two slices
  ///         differ, a slice comes twice, or more come than announced
  IVADO_INLINE void add(const Origin& origin, Image prediction) {
    Pending& pending = pending_[origin.volume];
    const Shape& shape = prediction.voxels.shape();
    const bool whole = origin.slice < 0;
    const std::string what = whole ? std::string("the whole volume") : "slice " + std::to_string(origin.slice);
    if (shape.rank() != (whole ? 4 : 3))
      throw internal_error(doing(origin.volume), "the prediction of " + what + " has shape " + shape.text() +
                                                     ", expected " + (whole ? "[class, H, W, D]" : "[class, H, W]"));
    if (!pending.parts.empty()) {
      const auto& [first_slice, first] = *pending.parts.begin();
      if (first_slice < 0 || whole)
        throw internal_error(doing(origin.volume), "the prediction of " + what + " came after that of " +
                                                       (first_slice < 0 ? "the whole volume" : "a slice"));
      if (!(first.shape() == shape))
        throw internal_error(doing(origin.volume), "the prediction of " + what + " has shape " + shape.text() +
                                                       ", that of slice " + std::to_string(first_slice) + " " +
                                                       first.shape().text());
      if (pending.parts.contains(origin.slice))
        throw internal_error(doing(origin.volume), "the prediction of " + what + " came twice");
    }
    if (pending.expected >= 0 && static_cast<std::int64_t>(pending.parts.size()) == pending.expected)
      throw internal_error(doing(origin.volume),
                           detail::text("more than the ", pending.expected, " announced predictions came"));
    bytes_ += prediction.voxels.bytes();
    pending.parts.emplace(origin.slice, std::move(prediction.voxels));
  }

  /// True once all announced predictions of a volume came.
  [[nodiscard]] IVADO_INLINE bool is_complete(std::int32_t volume) const {
    const auto found = pending_.find(volume);
    return found != pending_.end() && found->second.expected == static_cast<std::int64_t>(found->second.parts.size());
  }
  /// Number of volumes that are announced or begun and not finished.
  [[nodiscard]] std::size_t volumes_pending() const noexcept { return pending_.size(); }
  /// Bytes of the predictions held.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// The prediction of a volume on the grid of its file. Its slices are given up: `volume` may begin anew.
  /// @param geometry    of the image file
  /// @param slice_axis  along which the slices were taken
  /// @param classes     number of classes; needed where no slice came, since then nothing else tells it; else may be 0
  /// @return voxels [class, i, j, k], `is_mask` false
  /// @throws Error (internal) if predictions that were announced are missing, or a size does not fit the image; the
  ///         message names both
  [[nodiscard]] IVADO_INLINE Prediction finish(std::int32_t volume, const Geometry& geometry, Axis slice_axis,
                                               std::int64_t classes = 0) {
    const auto found = pending_.find(volume);
    const std::size_t came = found == pending_.end() ? 0 : found->second.parts.size();
    if (found != pending_.end() && found->second.expected >= 0 && !is_complete(volume))
      throw internal_error(doing(volume), detail::text(came, " of ", found->second.expected, " predictions came"));
    if (geometry.shape.rank() != 3)
      throw internal_error(doing(volume), "its image has shape " + geometry.shape.text() + ", expected three axes");
    if (came > 0) {
      const std::int64_t predicted = found->second.parts.begin()->second.extent(0);
      if (classes > 0 && classes != predicted)
        throw internal_error(doing(volume),
                             detail::text("its predictions have ", predicted, " classes, expected ", classes));
      classes = predicted;
    }
    if (classes < 1)
      throw internal_error(doing(volume), "no prediction came and the number of classes is not given",
                           "pass the number of classes to finish");

    const AxisMap map = file_to_hwd(geometry.affine, slice_axis);
    Prediction prediction{zeros(geometry.shape.prepended(classes)), geometry.spacing_mm(), false};
    if (came > 0) {
      auto& parts = found->second.parts;
      const Shape hwd = map.apply(prediction.voxels.view().select(0, 0)).shape();
      if (parts.begin()->first < 0)
        require_shape(volume, "the whole volume", parts.begin()->second.shape().from(1), hwd);
      else
        require_shape(volume, "slice " + std::to_string(parts.begin()->first), parts.begin()->second.shape().from(1),
                      {hwd[0], hwd[1]});
      if (parts.rbegin()->first >= hwd[2])
        throw internal_error(doing(volume), detail::text("a prediction is that of slice ", parts.rbegin()->first,
                                                         ", the image has ", hwd[2], " along the slice axis"));
      for (auto& [slice, part] : parts) {
        for (std::int64_t c = 0; c < classes; ++c) {
          const ArrayView<float> target = map.apply(prediction.voxels.view().select(0, c));
          copy(std::as_const(part).view().select(0, c), slice < 0 ? target : target.select(2, slice));
        }
        bytes_ -= part.bytes();
        part = {};
      }
    }
    if (found != pending_.end()) pending_.erase(found);
    if (params_.as_ivadomed)
      for (float& value : prediction.voxels)
        if (static_cast<double>(value) <= 0.01) value = 0;
    return prediction;
  }

 private:
  struct Pending {
    std::map<std::int32_t, Array<float>> parts;  ///< by slice; -1 for the whole volume
    std::int64_t expected = -1;                  ///< -1: not announced
  };

  [[nodiscard]] IVADO_INLINE static std::string doing(std::int32_t volume) {
    return "rebuilding the prediction of volume " + std::to_string(volume);
  }
  IVADO_INLINE static void require_shape(std::int32_t volume, const std::string& what, const Shape& predicted,
                                         const Shape& expected) {
    if (!(predicted == expected))
      throw internal_error(doing(volume),
                           "the prediction of " + what + " is " + predicted.text() + ", its image " + expected.text() +
                               " (H, W" + (expected.rank() == 3 ? ", D)" : ")"),
                           "undo the transforms before");
  }

  Params params_;
  std::map<std::int32_t, Pending> pending_;
  std::size_t bytes_ = 0;
};

}  // namespace ivado
