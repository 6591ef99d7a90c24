// Connected components of arrays of any rank, found over runs of voxels.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// Which voxels touch: the number of axes along which two neighbours may differ by one.
enum class Connectivity {
  faces = 1,    ///< 4 neighbours in 2-D, 6 in 3-D
  edges = 2,    ///< 8 neighbours in 2-D, 18 in 3-D
  corners = 3,  ///< 8 neighbours in 2-D, 26 in 3-D
};

/// The voxels that touch a voxel, as rows (lines along the last axis): in the row at `offset` those within `reach` of
/// the same place. Half of them: rows before the voxel's own, and its own where it reaches further than one voxel.
class Neighbourhood {
 public:
  struct Row {
    std::array<std::int32_t, Shape::max_rank - 1> offset{};  ///< along the axes but the last
    std::int32_t reach = 0;
  };

  /// The neighbourhood of a connectivity in `rank` dimensions (1 to 6).
  [[nodiscard]] IVADO_INLINE static Neighbourhood of(int rank, Connectivity connectivity) {
    const int most = static_cast<int>(connectivity);
    return {rank, 1, [most](int differing) { return differing > most ? -1 : differing < most ? 1 : 0; }};
  }
  /// All voxels at most `reach` away along every axis; a reach of 1 is 8 neighbours in 2-D, 26 in 3-D.
  [[nodiscard]] IVADO_INLINE static Neighbourhood box(int rank, std::int32_t reach) {
    return {rank, reach, [reach](int) { return reach; }};
  }
  [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }

 private:
  /// @param reach_along_row  of the number of axes along which a row differs: its reach; -1 if it does not touch
  template <class ReachAlongRow>
  Neighbourhood(int rank, std::int32_t reach, const ReachAlongRow& reach_along_row) {
    const int axes = rank - 1;
    Row row;
    for (int a = 0; a < axes; ++a) row.offset[static_cast<std::size_t>(a)] = -reach;
    for (;;) {
      int differing = 0;
      std::int32_t sign = 0;  // of the first offset that is not 0
      for (int a = 0; a < axes; ++a) {
        const std::int32_t d = row.offset[static_cast<std::size_t>(a)];
        if (d != 0) ++differing;
        if (sign == 0) sign = d;
      }
      row.reach = reach_along_row(differing);
      if ((sign < 0 && row.reach >= 0) || (sign == 0 && row.reach > 1)) rows_.push_back(row);
      int a = axes - 1;
      for (; a >= 0; --a) {
        auto& d = row.offset[static_cast<std::size_t>(a)];
        if (++d <= reach) break;
        d = -reach;
      }
      if (a < 0) return;
    }
  }

  std::vector<Row> rows_;
};

/// The voxels [begin, end) along each axis; the entries behind the axes of the array mean nothing.
struct ComponentBox {
  std::array<std::int64_t, Shape::max_rank> begin{};
  std::array<std::int64_t, Shape::max_rank> end{};
};

/// The connected components of the foreground of an array, held as runs along its last axis: memory goes with the
/// number of runs, not of voxels. Labels are 1, 2, … in the order in which a row-major scan meets the components, as in
/// scipy.ndimage.label.
class Components {
 public:
  /// Finds the components.
  /// @param view           any rank from 1 to 6, any strides
  /// @param neighbourhood  which voxels touch
  /// @param is_foreground  of an element: whether it belongs to a component
  /// @throws Error (internal) for an array without axes, an axis of 2³¹ or more, or 2³¹ or more runs
  /// @complexity one pass over the voxels; then union-find (path halving, smallest root) over the runs
  template <class T, class Foreground>
  Components(ArrayView<T> view, const Neighbourhood& neighbourhood, const Foreground& is_foreground)
      : shape_(view.shape()) {
    if (view.rank() == 0) throw internal_error("labelling components", "the array has no axes");
    const int last = view.rank() - 1;
    if (view.extent(last) > std::numeric_limits<std::int32_t>::max())
      throw internal_error("labelling components", "an axis of the array " + shape_.text() + " is too long");
    first_run_.push_back(0);
    if (view.size() == 0) return;
    const auto n = static_cast<std::int32_t>(view.extent(last));
    const std::int64_t stride = view.stride(last);
    for_each_row(view, [&](const T* row) {
      std::int32_t i = 0;
      while (i < n) {
        while (i < n && !is_foreground(row[i * stride])) ++i;
        if (i == n) break;
        const std::int32_t begin = i;
        while (i < n && is_foreground(row[i * stride])) ++i;
        runs_.push_back({begin, i, 0});
      }
      first_run_.push_back(runs_.size());
    });
    if (runs_.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
      throw internal_error("labelling components", "more than 2^31 runs");
    connect(neighbourhood);
  }
  /// The components of a connectivity.
  template <class T, class Foreground>
  Components(ArrayView<T> view, Connectivity connectivity, const Foreground& is_foreground)
      : Components(view, Neighbourhood::of(view.rank(), connectivity), is_foreground) {}
  /// The components of the elements that are not 0.
  template <class T>
  Components(ArrayView<T> view, Connectivity connectivity)
      : Components(view, connectivity, [](const T& value) { return value != T{0}; }) {}

  /// Number of components; the labels are 1 … count().
  [[nodiscard]] std::int32_t count() const noexcept { return static_cast<std::int32_t>(sizes_.size()); }
  /// Number of voxels of each component; that of label l is at l - 1.
  [[nodiscard]] const std::vector<std::int64_t>& sizes() const noexcept { return sizes_; }
  /// Number of voxels of component `label` (1 …).
  [[nodiscard]] std::int64_t size_of(std::int32_t label) const { return sizes_[static_cast<std::size_t>(label - 1)]; }
  /// The label of the largest component, the first one of several; 0 where there is none.
  [[nodiscard]] IVADO_INLINE std::int32_t largest() const {
    return sizes_.empty()
               ? 0
               : static_cast<std::int32_t>(std::max_element(sizes_.begin(), sizes_.end()) - sizes_.begin()) + 1;
  }
  /// The smallest box around each component; that of label l is at l - 1.
  [[nodiscard]] IVADO_INLINE std::vector<ComponentBox> boxes() const {
    std::vector<ComponentBox> out(sizes_.size());
    if (runs_.empty()) return out;
    const auto last = static_cast<std::size_t>(shape_.rank() - 1);
    for (auto& box : out) box.begin.fill(std::numeric_limits<std::int64_t>::max());
    std::array<std::int64_t, Shape::max_rank> index{};
    for (std::size_t row = 0; row + 1 < first_run_.size(); ++row, next_row(index))
      for (std::size_t r = first_run_[row]; r < first_run_[row + 1]; ++r) {
        ComponentBox& box = out[static_cast<std::size_t>(runs_[r].label - 1)];
        for (std::size_t a = 0; a < last; ++a) {
          box.begin[a] = std::min(box.begin[a], index[a]);
          box.end[a] = std::max(box.end[a], index[a] + 1);
        }
        box.begin[last] = std::min(box.begin[last], static_cast<std::int64_t>(runs_[r].begin));
        box.end[last] = std::max(box.end[last], static_cast<std::int64_t>(runs_[r].end));
      }
    return out;
  }
  /// The label of each voxel, 0 in the background.
  [[nodiscard]] IVADO_INLINE Array<std::int32_t> labels() const {
    auto out = zeros<std::int32_t>(shape_);
    for_each_run(out.view(), [](std::int32_t label, std::int32_t* run, std::int64_t, std::int64_t length) {
      std::fill_n(run, length, label);
    });
    return out;
  }
  /// Calls `visit(label, pointer, stride, length)` for each run in scan order, with the pointer to its first element in
  /// `view`, which may be another array of the same shape.
  /// @throws Error (internal) if its shape is another
  template <class T, class Visit>
  void for_each_run(ArrayView<T> view, const Visit& visit) const {
    if (!(view.shape() == shape_))
      throw internal_error("walking components", shape_.text() + " and " + view.shape().text() + " differ");
    if (runs_.empty()) return;
    const std::int64_t stride = view.stride(view.rank() - 1);
    std::size_t row_number = 0;
    for_each_row(view, [&](T* row) {
      for (std::size_t r = first_run_[row_number]; r < first_run_[row_number + 1]; ++r)
        visit(runs_[r].label, row + runs_[r].begin * stride, stride,
              static_cast<std::int64_t>(runs_[r].end - runs_[r].begin));
      ++row_number;
    });
  }
  /// For each component (that of label l at l - 1): 1 if a voxel of it is less than `reach` away from the outside of
  /// the array; with a reach of 1, if it lies at the border.
  /// @param skip_single  axes of one voxel have no outside (unless all are such): an image of one slice is 2-D
  [[nodiscard]] IVADO_INLINE std::vector<char> touching_outside(std::int32_t reach, bool skip_single) const {
    std::vector<char> touching(sizes_.size(), 0);
    if (runs_.empty()) return touching;
    const int last = shape_.rank() - 1;
    const bool skip = skip_single && shape_.size() > 1;
    const auto counts = [&](int axis) { return !(skip && shape_[axis] == 1); };
    std::array<std::int64_t, Shape::max_rank> index{};
    for (std::size_t row = 0; row + 1 < first_run_.size(); ++row) {
      bool at_border = false;
      for (int a = 0; a < last; ++a) {
        const std::int64_t i = index[static_cast<std::size_t>(a)];
        at_border = at_border || (counts(a) && (i < reach || i >= shape_[a] - reach));
      }
      for (std::size_t r = first_run_[row]; r < first_run_[row + 1]; ++r)
        if (at_border || (counts(last) && (runs_[r].begin < reach || runs_[r].end > shape_[last] - reach)))
          touching[static_cast<std::size_t>(runs_[r].label - 1)] = 1;
      next_row(index);
    }
    return touching;
  }

 private:
  struct Run {
    std::int32_t begin;
    std::int32_t end;
    std::int32_t label;
  };

  /// The index of the row after `index`, along the axes but the last.
  IVADO_INLINE void next_row(std::array<std::int64_t, Shape::max_rank>& index) const {
    for (int a = shape_.rank() - 2; a >= 0; --a) {
      auto& i = index[static_cast<std::size_t>(a)];
      if (++i < shape_[a]) return;
      i = 0;
    }
  }
  /// Calls `visit(pointer to the first element)` for each row of a view that is not empty.
  template <class T, class Visit>
  static void for_each_row(ArrayView<T> view, const Visit& visit) {
    row_axes(view.data(), view.strides().data(), view.shape().begin(), view.rank(), visit);
  }
  template <class T, class Visit>
  static void row_axes(T* data, const std::int64_t* stride, const std::int64_t* extent, int rank, const Visit& visit) {
    if (rank == 1) return visit(data);
    for (std::int64_t i = 0; i < extent[0]; ++i)
      row_axes(data + i * stride[0], stride + 1, extent + 1, rank - 1, visit);
  }

  /// Joins the runs that touch, then numbers the components.
  IVADO_INLINE void connect(const Neighbourhood& neighbourhood) {
    std::vector<std::int32_t> parent(runs_.size());
    for (std::size_t r = 0; r < parent.size(); ++r) parent[r] = static_cast<std::int32_t>(r);
    const auto root = [&parent](std::int32_t r) {
      while (parent[static_cast<std::size_t>(r)] != r) {
        auto& up = parent[static_cast<std::size_t>(r)];
        up = parent[static_cast<std::size_t>(up)];
        r = up;
      }
      return r;
    };
    const auto join = [&](std::size_t a, std::size_t b) {
      const std::int32_t x = root(static_cast<std::int32_t>(a));
      const std::int32_t y = root(static_cast<std::int32_t>(b));
      parent[static_cast<std::size_t>(std::max(x, y))] = std::min(x, y);
    };

    const int axes = shape_.rank() - 1;
    std::vector<std::int64_t> distance;  // in rows, of each row of the neighbourhood
    for (const auto& row : neighbourhood.rows()) {
      std::int64_t d = 0;
      for (int a = 0; a < axes; ++a) d = d * shape_[a] + row.offset[static_cast<std::size_t>(a)];
      distance.push_back(d);
    }
    std::array<std::int64_t, Shape::max_rank> index{};
    for (std::size_t here = 0; here + 1 < first_run_.size(); ++here, next_row(index)) {
      if (first_run_[here] == first_run_[here + 1]) continue;
      for (std::size_t n = 0; n < distance.size(); ++n) {
        const auto& row = neighbourhood.rows()[n];
        bool inside = true;
        for (int a = 0; a < axes; ++a) {
          const std::int64_t i = index[static_cast<std::size_t>(a)] + row.offset[static_cast<std::size_t>(a)];
          inside = inside && i >= 0 && i < shape_[a];
        }
        if (!inside) continue;
        const auto there = static_cast<std::size_t>(static_cast<std::int64_t>(here) + distance[n]);
        const std::size_t here_end = first_run_[here + 1];
        if (there == here) {
          for (std::size_t r = first_run_[here]; r + 1 < here_end; ++r)
            if (runs_[r + 1].begin < runs_[r].end + row.reach) join(r, r + 1);
          continue;
        }
        // Two sorted lists of runs. Passing over the run that ends first misses no joint: with a reach over 1 the runs
        // of one row that would be missed are joined along the row.
        const std::size_t there_end = first_run_[there + 1];
        for (std::size_t a = first_run_[here], b = first_run_[there]; a < here_end && b < there_end;) {
          if (runs_[a].begin < runs_[b].end + row.reach && runs_[b].begin < runs_[a].end + row.reach) join(a, b);
          if (runs_[b].end < runs_[a].end)
            ++b;
          else
            ++a;
        }
      }
    }

    for (std::size_t r = 0; r < runs_.size(); ++r) {
      const std::int32_t up = root(static_cast<std::int32_t>(r));
      if (up == static_cast<std::int32_t>(r)) {
        sizes_.push_back(0);
        runs_[r].label = static_cast<std::int32_t>(sizes_.size());
      } else {
        runs_[r].label = runs_[static_cast<std::size_t>(up)].label;
      }
      sizes_[static_cast<std::size_t>(runs_[r].label - 1)] += runs_[r].end - runs_[r].begin;
    }
  }

  Shape shape_;
  std::vector<Run> runs_;
  std::vector<std::size_t> first_run_;  ///< for each row the number of its first run, and one more at the end
  std::vector<std::int64_t> sizes_;
};

}  // namespace ivado
