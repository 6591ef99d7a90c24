// PatchChoice: how a model of patches is run on slices that are segmented. No LibTorch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "../data/patches.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// ivadomed's options --no-patch and --overlap-2d.
struct PatchChoice {
  bool no_patch = false;                                    ///< each slice as a whole; goes before `overlap_xy`
  std::optional<std::array<std::int64_t, 2>> overlap_xy{};  ///< voxels along X (that is W) and Y (that is H)

  /// True if it asks for anything.
  [[nodiscard]] bool is_any() const noexcept { return no_patch || overlap_xy.has_value(); }
};

/// The patches that slices are cut into: those of the model, or what is chosen instead. With an overlap the stride is the
/// length less the overlap.
/// @param trained    the patches of the model; none: it takes whole slices
/// @param dimension  2 for slices, 3 for volumes
/// @throws Error (usage) if something is chosen for a model of volumes or of whole slices, or patches would overlap by
///         their length or more
[[nodiscard]] IVADO_INLINE PatchSize chosen_patches(const PatchSize& trained, const PatchChoice& choice,
                                                    int dimension) {
  if (!choice.is_any()) return trained;
  const std::string option = choice.no_patch ? "--no-patch" : "--overlap-2d";
  const auto refuse = [&](const std::string& found, const std::string& remedy) {
    throw usage_error("applying " + option, found, remedy);
  };
  if (dimension != 2) refuse("the model takes sub-volumes", "it is for models of 2-D patches: leave it out");
  if (trained.empty()) refuse("the model takes whole slices, not patches (length_2D is empty)", "leave it out");
  if (choice.no_patch) return {};
  const std::array overlap{(*choice.overlap_xy)[1], (*choice.overlap_xy)[0]};  // H is Y, W is X
  PatchSize out{trained.length, {}};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    if (overlap[axis] < 0 || overlap[axis] >= trained.length[axis])
      refuse(detail::text("patches of ", trained.length[axis], " along ", axis == 0 ? "H (Y)" : "W (X)",
                          " cannot overlap by ", overlap[axis]),
             detail::text("give 0 to ", trained.length[axis] - 1));
    out.stride.push_back(trained.length[axis] - overlap[axis]);
  }
  return out;
}

}  // namespace ivado
