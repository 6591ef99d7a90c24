// How far several masks agree on the objects of a mask: intersection over union, and the spread of their sizes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../metric/components.hpp"
#include "maps.hpp"

namespace ivado {

namespace detail {

/// Voxels as half-open ranges of their row-major numbers, in order and apart from one another.
using VoxelRanges = std::vector<std::array<std::int64_t, 2>>;

/// Number of voxels.
[[nodiscard]] IVADO_INLINE std::int64_t count_voxels(const VoxelRanges& ranges) noexcept {
  std::int64_t count = 0;
  for (const auto& [begin, end] : ranges) count += end - begin;
  return count;
}

/// The voxels in both.
[[nodiscard]] IVADO_INLINE VoxelRanges intersect(const VoxelRanges& a, const VoxelRanges& b) {
  VoxelRanges out;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const std::int64_t begin = std::max(a[i][0], b[j][0]);
    const std::int64_t end = std::min(a[i][1], b[j][1]);
    if (begin < end) out.push_back({begin, end});
    ++(a[i][1] < b[j][1] ? i : j);
  }
  return out;
}

/// The voxels in either.
[[nodiscard]] IVADO_INLINE VoxelRanges unite(const VoxelRanges& a, const VoxelRanges& b) {
  VoxelRanges out;
  for (std::size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    const bool from_a = j == b.size() || (i < a.size() && a[i][0] <= b[j][0]);
    const auto& next = from_a ? a[i++] : b[j++];
    if (out.empty() || next[0] > out.back()[1])
      out.push_back(next);
    else
      out.back()[1] = std::max(out.back()[1], next[1]);
  }
  return out;
}

}  // namespace detail

/// Compares the objects of one mask (the structures) with those of several others (the runs), a run at a time.
///
/// In each run a structure is matched by the 18-connected object that shares most voxels with it, the first one of
/// several, as in ivadomed; by nothing where none shares any. Kept are the voxels that all matching objects have in
/// common, those that any of them has, and the mean and spread of their sizes. So memory goes with the objects, not
/// with the number of runs; structures that were matched by the same objects in every run (such as one large object)
/// share them.
class StructureAgreement {
 public:
  /// @param mask          [i, j, k], dense; its 18-connected objects of values that are not 0 are the structures
  /// @param least_voxels  smaller objects are no structures
  IVADO_INLINE StructureAgreement(ArrayView<const std::uint8_t> mask, std::int64_t least_voxels)
      : shape_(mask.shape()), found_(mask, Connectivity::edges), structure_of_label_(found_.sizes().size(), -1) {
    for (std::size_t l = 0; l < found_.sizes().size(); ++l) {
      if (found_.sizes()[l] < least_voxels) continue;
      structure_of_label_[l] = static_cast<std::int32_t>(structures_.size());
      structures_.push_back({});
      structures_.back().voxels = found_.sizes()[l];
    }
    if (!structures_.empty()) groups_.emplace_back();
  }

  /// Number of structures.
  [[nodiscard]] std::size_t size() const noexcept { return structures_.size(); }

  /// Takes a run.
  /// @param run  of the shape of the mask, dense
  /// @throws Error (internal) if the shape is another
  IVADO_INLINE void add(ArrayView<const std::uint8_t> run) {
    if (!(run.shape() == shape_))
      throw internal_error("comparing structures", run.shape().text() + " and " + shape_.text() + " differ");
    ++runs_;
    if (structures_.empty()) return;
    const Components objects(run, Connectivity::edges);
    const std::vector<std::int32_t> match = matches(objects);
    // The voxels of the objects that match something.
    std::vector<detail::VoxelRanges> voxels(objects.sizes().size() + 1);
    std::vector<char> is_wanted(voxels.size(), 0);
    for (const auto label : match) is_wanted[static_cast<std::size_t>(label)] = 1;
    objects.for_each_run(run, [&](std::int32_t label, const std::uint8_t* first, std::int64_t, std::int64_t length) {
      if (is_wanted[static_cast<std::size_t>(label)] == 0) return;
      const std::int64_t begin = first - run.data();
      voxels[static_cast<std::size_t>(label)].push_back({begin, begin + length});
    });
    // Structures with one history stay together as long as one object matches them.
    std::map<std::pair<std::size_t, std::int32_t>, std::size_t> next_of;
    std::vector<Group> next;
    for (std::size_t s = 0; s < structures_.size(); ++s) {
      const std::int32_t label = match[s];
      const auto [place, is_new] = next_of.try_emplace({structures_[s].group, label}, next.size());
      if (is_new) {
        const Group& before = groups_[structures_[s].group];
        const detail::VoxelRanges& object = voxels[static_cast<std::size_t>(label)];
        if (runs_ == 1)
          next.push_back({object, object});
        else
          next.push_back({detail::intersect(before.common, object), detail::unite(before.any, object)});
      }
      structures_[s].group = place->second;
      structures_[s].add_size(label == 0 ? 0 : objects.size_of(label), runs_);
    }
    groups_ = std::move(next);
  }

  /// The structures in the order of a row-major scan; `class_index` and `mean_entropy` are left at 0.
  ///
  /// Where no run has the structure, overlap and variation are 0 and 0, not 0/0 as in ivadomed (known-problems B6.12).
  [[nodiscard]] IVADO_INLINE std::vector<UncertainStructure> result() const {
    std::vector<UncertainStructure> out;
    for (const Structure& structure : structures_) {
      UncertainStructure one;
      one.voxels = structure.voxels;
      const Group& group = groups_[structure.group];
      const std::int64_t any = detail::count_voxels(group.any);
      if (any > 0) {
        one.overlap = static_cast<double>(detail::count_voxels(group.common)) / static_cast<double>(any);
        one.mean_voxels = structure.mean;
        one.variation = std::sqrt(structure.squares / static_cast<double>(runs_)) / structure.mean;
      }
      out.push_back(one);
    }
    return out;
  }

  /// Calls `visit(number of the structure, pointer, length)` for each run of voxels of a structure in `view`, which is
  /// dense and has the shape of the mask.
  template <class T, class Visit>
  void for_each_run(ArrayView<T> view, const Visit& visit) const {
    found_.for_each_run(view, [&](std::int32_t label, T* first, std::int64_t, std::int64_t length) {
      const std::int32_t s = structure_of_label_[static_cast<std::size_t>(label - 1)];
      if (s >= 0) visit(static_cast<std::size_t>(s), first, length);
    });
  }

 private:
  struct Group {
    detail::VoxelRanges common;
    detail::VoxelRanges any;
  };
  struct Structure {
    std::int64_t voxels = 0;
    std::size_t group = 0;
    double mean = 0;  // of the sizes, and the sum of squared deviations (Welford 1962)
    double squares = 0;

    IVADO_INLINE void add_size(std::int64_t size, std::int64_t runs) noexcept {
      const double before = static_cast<double>(size) - mean;
      mean += before / static_cast<double>(runs);
      squares += before * (static_cast<double>(size) - mean);
    }
  };

  /// For each structure the label of the object that shares most voxels with it, 0 where none does.
  [[nodiscard]] IVADO_INLINE std::vector<std::int32_t> matches(const Components& objects) const {
    const Array<std::int32_t> labels = objects.labels();
    std::map<std::pair<std::size_t, std::int32_t>, std::int64_t> shared;
    for_each_run(labels.view(), [&](std::size_t structure, const std::int32_t* label, std::int64_t length) {
      for (std::int64_t i = 0; i < length;) {
        const std::int32_t here = label[i];
        const std::int64_t begin = i;
        while (i < length && label[i] == here) ++i;
        if (here != 0) shared[{structure, here}] += i - begin;
      }
    });
    std::vector<std::int32_t> best(structures_.size(), 0);
    std::vector<std::int64_t> most(structures_.size(), 0);
    for (const auto& [pair, count] : shared) {  // by rising label: the first of several stays
      if (count <= most[pair.first]) continue;
      most[pair.first] = count;
      best[pair.first] = pair.second;
    }
    return best;
  }

  Shape shape_;
  Components found_;
  std::vector<std::int32_t> structure_of_label_;  // -1: too small
  std::vector<Structure> structures_;
  std::vector<Group> groups_;
  std::int64_t runs_ = 0;
};

}  // namespace ivado
