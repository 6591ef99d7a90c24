// Linear sampling of [channel, spatial…] arrays at affine positions (zero outside) and at displaced ones (mirrored
// outside).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../inline.hpp"

namespace ivado::detail {

/// Takes an output index o to the input position matrix · o + offset, in voxels. For slices the upper left 2×2 counts.
struct AffineMap {
  std::array<std::array<double, 3>, 3> matrix{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  std::array<double, 3> offset{};

  /// Moves a position; it may leave the grid.
  void move(std::array<double, 3>& position) const noexcept {
    const auto p = position;
    for (std::size_t a = 0; a < 3; ++a)
      position[a] = matrix[a][0] * p[0] + matrix[a][1] * p[1] + matrix[a][2] * p[2] + offset[a];
  }
};

/// A position this little outside of the array still counts as on its border: rounding must not cut a row off.
inline constexpr double border_tolerance_vox = 1e-9;

/// Linear in the last index j of an output row: position (base + j · step) + offset, in this order of rounding.
struct RowPosition {
  double base = 0;
  double step = 0;
  double offset = 0;
  [[nodiscard]] double at(std::int64_t j) const noexcept { return (base + static_cast<double>(j) * step) + offset; }
};

/// Positions along one axis, both ends included.
struct Span {
  double low = 0;
  double high = 0;
};

/// Narrows [begin, end) to the indices whose position lies in a span.
/// Positions are monotone in j, also after rounding, so the indices form one interval.
IVADO_INLINE void clip_row(const RowPosition& position, const Span& span, std::int64_t& begin,
                           std::int64_t& end) noexcept {
  const auto inside = [&](std::int64_t j) {
    const double p = position.at(j);
    return p >= span.low && p <= span.high;
  };
  if (begin >= end) return;
  const double start = position.base + position.offset;
  double a = (span.low - start) / position.step;
  double b = (span.high - start) / position.step;
  if (std::isfinite(a) && std::isfinite(b)) {  // a first guess, which saves steps; the exact test below decides
    if (a > b) std::swap(a, b);
    const auto first = static_cast<double>(begin);
    const auto last = static_cast<double>(end);
    begin = static_cast<std::int64_t>(std::clamp(std::floor(a) - 1, first, last));
    end = static_cast<std::int64_t>(std::clamp(std::ceil(b) + 2, first, last));
  }
  while (begin < end && !inside(begin)) ++begin;
  while (begin < end && !inside(end - 1)) --end;
}

/// The two neighbours of a position along one axis.
struct Knots {
  std::int64_t last_start;  ///< the largest index that has an upper neighbour; 0 for a single voxel
  std::int64_t neighbour;   ///< distance to the upper neighbour in elements; 0 for a single voxel
  double last;              ///< the largest position

  Knots(std::int64_t extent, std::int64_t stride) noexcept
      : last_start(std::max<std::int64_t>(extent - 2, 0)),
        neighbour(extent > 1 ? stride : 0),
        last(static_cast<double>(extent - 1)) {}
};

/// The neighbours of a position on a grid, and how much of each.
class LinearCorner {
 public:
  /// @param position  along H, W, D, within [0, extent - 1]
  /// @param extent    of the grid; 1 along D for a slice
  LinearCorner(const std::array<double, 3>& position, const std::array<std::int64_t, 3>& extent) noexcept {
    std::int64_t stride = 1;
    for (std::size_t axis = 3; axis-- > 0;) {
      const Knots knots(extent[axis], stride);
      const std::int64_t low = std::min(static_cast<std::int64_t>(position[axis]), knots.last_start);
      at_ += low * stride;
      neighbour_[axis] = knots.neighbour;
      part_[axis] = static_cast<float>(position[axis] - static_cast<double>(low));
      is_on_voxel_ = is_on_voxel_ && part_[axis] == 0;
      stride *= extent[axis];
    }
  }
  /// The value of an array of the grid's extents.
  [[nodiscard]] float value(const float* array) const noexcept {
    const float* const p = array + at_;
    if (is_on_voxel_) return *p;
    const auto linear = [&](const float* q) { return (1 - part_[1]) * q[0] + part_[1] * q[neighbour_[1]]; };
    const auto bilinear = [&](const float* q) {
      return (1 - part_[0]) * linear(q) + part_[0] * linear(q + neighbour_[0]);
    };
    if (neighbour_[2] == 0) return bilinear(p);
    return (1 - part_[2]) * bilinear(p) + part_[2] * bilinear(p + neighbour_[2]);
  }

 private:
  std::int64_t at_ = 0;
  std::array<std::int64_t, 3> neighbour_{};
  std::array<float, 3> part_{};
  bool is_on_voxel_ = true;
};

/// True if one of n values is not 0; NaN is not.
[[nodiscard]] IVADO_INLINE bool holds_value(const float* values, std::int64_t n) noexcept {
  constexpr std::int64_t lanes = 16;
  for (; n >= lanes; n -= lanes, values += lanes) {
    int found = 0;
    for (std::int64_t k = 0; k < lanes; ++k) found |= static_cast<int>(values[k] != 0);
    if (found != 0) return true;
  }
  return std::any_of(values, values + n, [](float value) { return value != 0; });
}

/// Indices [begin, end) along each of three axes.
struct Box {
  std::array<std::int64_t, 3> begin{};
  std::array<std::int64_t, 3> end{};

  /// This box, wider by some voxels on each side, within a grid.
  [[nodiscard]] IVADO_INLINE Box widened(std::int64_t by, const std::array<std::int64_t, 3>& extent) const noexcept {
    Box wider = *this;
    for (std::size_t a = 0; a < 3; ++a) {
      wider.begin[a] = std::max<std::int64_t>(begin[a] - by, 0);
      wider.end[a] = std::min(end[a] + by, extent[a]);
    }
    return wider;
  }
};

/// Slices as volumes of one plane, so that the loops run along rows of W; volumes as they are.
[[nodiscard]] IVADO_INLINE std::array<std::int64_t, 3> grid_extent(const Array<float>& voxels) noexcept {
  const bool is_slice = voxels.rank() == 3;
  if (is_slice) return {1, voxels.extent(1), voxels.extent(2)};
  return {voxels.extent(1), voxels.extent(2), voxels.extent(3)};
}

/// The smallest box that holds what is not 0 in any channel; without indices along H where all is 0. Linear sampling
/// gives 0 wherever it does not reach into this box, so most of a label need not be sampled.
/// @param extent  of `grid_extent`
[[nodiscard]] IVADO_INLINE Box find_support(const Array<float>& voxels,
                                            const std::array<std::int64_t, 3>& extent) noexcept {
  const std::int64_t rows = extent[1];
  const std::int64_t depth = extent[2];
  Box box{{}, extent};
  const auto is_zero = [&](std::size_t axis, std::int64_t at) {
    Box slab = box;
    slab.begin[axis] = at;
    slab.end[axis] = at + 1;
    const std::int64_t run = slab.end[2] - slab.begin[2];
    for (std::int64_t c = 0; c < voxels.extent(0); ++c)
      for (std::int64_t h = slab.begin[0]; h < slab.end[0]; ++h)
        for (std::int64_t i = slab.begin[1]; i < slab.end[1]; ++i)
          if (holds_value(voxels.data() + ((c * extent[0] + h) * rows + i) * depth + slab.begin[2], run)) return false;
    return true;
  };
  for (std::size_t axis = 0; axis < 3; ++axis) {
    while (box.begin[axis] < box.end[axis] && is_zero(axis, box.begin[axis])) ++box.begin[axis];
    while (box.begin[axis] < box.end[axis] && is_zero(axis, box.end[axis] - 1)) --box.end[axis];
  }
  return box;
}

/// Linear sampling of one array [channel, H, W, D] at affine positions.
class AffineSampler {
 public:
  /// @param map  from output to input; for slices in its upper left 2×2
  IVADO_INLINE AffineSampler(const Array<float>& voxels, const AffineMap& map)
      : voxels_(voxels), extent_(grid_extent(voxels)), map_(map), support_(find_support(voxels, extent_)) {
    if (voxels.rank() == 3)
      map_ = {{{{1, 0, 0}, {0, map.matrix[0][0], map.matrix[0][1]}, {0, map.matrix[1][0], map.matrix[1][1]}}},
              {0, map.offset[0], map.offset[1]}};
    for (std::size_t a = 0; a < 3; ++a)
      reach_[a] = {
          std::max(-border_tolerance_vox, static_cast<double>(support_.begin[a] - 1)),
          std::min(static_cast<double>(extent_[a] - 1) + border_tolerance_vox, static_cast<double>(support_.end[a]))};
  }

  /// The samples, an array of the same shape.
  [[nodiscard]] IVADO_INLINE Array<float> operator()() const {
    Array<float> out(voxels_.shape(), 0);
    if (support_.begin[0] == support_.end[0]) return out;
    constexpr std::array<std::size_t, 3> fastest_first{2, 0, 1};
    const auto free =
        std::find_if(fastest_first.begin(), fastest_first.end(), [&](auto axis) { return is_free(axis); });
    if (free != fastest_first.end())
      sample_apart(*free, out);
    else
      sample_mixed(out);
    return out;
  }

 private:
  /// The lower neighbours of a position in a plane, and the parts of the upper ones.
  struct Corner {
    std::int64_t at;
    float first, second;
  };
  /// The lower neighbour of a position on an axis, and the part of the upper one.
  struct Tap {
    std::int64_t low;
    float part;
  };

  /// True if the map does not mix this axis with another one.
  [[nodiscard]] IVADO_INLINE bool is_free(std::size_t axis) const noexcept {
    const std::size_t b = (axis + 1) % 3;
    const std::size_t c = (axis + 2) % 3;
    const auto& m = map_.matrix;
    return m[axis][b] == 0 && m[axis][c] == 0 && m[b][axis] == 0 && m[c][axis] == 0;
  }
  [[nodiscard]] IVADO_INLINE std::int64_t stride(std::size_t axis) const noexcept {
    return axis == 0 ? extent_[1] * extent_[2] : axis == 1 ? extent_[2] : 1;
  }
  [[nodiscard]] std::int64_t size() const noexcept { return extent_[0] * stride(0); }
  [[nodiscard]] Knots knots(std::size_t axis) const noexcept { return {extent_[axis], stride(axis)}; }
  [[nodiscard]] IVADO_INLINE static Tap tap(double position, const Knots& knots) noexcept {
    const double p = std::clamp(position, 0.0, knots.last);
    const std::int64_t low = std::min(static_cast<std::int64_t>(p), knots.last_start);
    return {low, static_cast<float>(p - static_cast<double>(low))};
  }

  /// A map that leaves one axis to itself, as rotations about an axis do: along that axis first, then in the plane of
  /// the other two, where one table of corners serves all the positions along the axis.
  IVADO_INLINE void sample_apart(std::size_t axis, Array<float>& out) const {
    std::int64_t begin = 0;
    std::int64_t end = extent_[axis];
    const RowPosition position{0, map_.matrix[axis][axis], map_.offset[axis]};
    clip_row(position, reach_[axis], begin, end);
    if (begin == end) return;
    if (position.step == 1 && position.offset == 0) return sample_plane(axis, begin, end, voxels_, out);
    Array<float> between(voxels_.shape());
    std::vector<Tap> taps;
    for (std::int64_t j = begin; j < end; ++j) taps.push_back(tap(position.at(j), knots(axis)));
    sample_line(axis, begin, taps, between);
    sample_plane(axis, begin, end, between, out);
  }

  /// Samples along one axis, wherever `sample_plane` reads.
  IVADO_INLINE void sample_line(std::size_t axis, std::int64_t begin, const std::vector<Tap>& taps,
                                Array<float>& out) const {
    const Box box = support_.widened(2, extent_);
    const std::int64_t step = stride(axis);
    const std::int64_t up = knots(axis).neighbour;
    const auto count = static_cast<std::int64_t>(taps.size());
    const std::int64_t rows = axis == 0 ? count : box.end[0] - box.begin[0];
    const std::int64_t columns = axis == 1 ? count : box.end[1] - box.begin[1];
    for (std::int64_t c = 0; c < voxels_.extent(0); ++c)
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t k = 0; k < columns; ++k) {
          std::array<std::int64_t, 3> at{box.begin[0] + r, box.begin[1] + k, 0};
          if (axis < 2) at[axis] = 0;
          const std::int64_t line = c * size() + at[0] * stride(0) + at[1] * stride(1);
          const float* const from = voxels_.data() + line;
          float* const to = out.data() + line;
          if (axis == 2) {
            for (std::int64_t j = 0; j < count; ++j) {
              const Tap t = taps[static_cast<std::size_t>(j)];
              to[begin + j] = (1 - t.part) * from[t.low] + t.part * from[t.low + up];
            }
          } else {
            const std::int64_t j = axis == 0 ? r : k;
            const Tap t = taps[static_cast<std::size_t>(j)];
            const float* const low = from + t.low * step;
            float* const row = to + (begin + j) * step;
            for (std::int64_t d = box.begin[2]; d < box.end[2]; ++d)
              row[d] = (1 - t.part) * low[d] + t.part * low[d + up];
          }
        }
  }

  /// Samples in the plane that an axis leaves, at its indices [begin, end).
  IVADO_INLINE void sample_plane(std::size_t axis, std::int64_t begin, std::int64_t end, const Array<float>& from,
                                 Array<float>& out) const {
    const std::size_t u = axis == 0 ? 1 : 0;
    const std::size_t v = axis == 2 ? 1 : 2;
    const std::int64_t up_u = knots(u).neighbour;
    const std::int64_t up_v = knots(v).neighbour;
    // Where the axis is the outermost one, a table of several rows keeps the inner loops going through memory in order.
    constexpr std::int64_t table_size = 2048;
    const std::int64_t rows_at_once = axis == 0 ? std::max<std::int64_t>(1, table_size / extent_[v]) : 1;
    std::vector<Corner> corners(static_cast<std::size_t>(rows_at_once * extent_[v]));
    std::vector<std::array<std::int64_t, 2>> spans(static_cast<std::size_t>(rows_at_once));
    for (std::int64_t first = 0; first < extent_[u]; first += rows_at_once) {
      const std::int64_t rows = std::min(rows_at_once, extent_[u] - first);
      for (std::int64_t r = 0; r < rows; ++r)
        spans[static_cast<std::size_t>(r)] = find_corners(u, v, first + r, corners.data() + r * extent_[v]);
      for (std::int64_t c = 0; c < from.extent(0); ++c) {
        const float* const in = from.data() + c * size();
        float* const to = out.data() + c * size() + first * stride(u);
        if (axis == 2) {
          for (std::int64_t q = spans[0][0]; q < spans[0][1]; ++q) {
            const Corner corner = corners[static_cast<std::size_t>(q)];
            blend(to + q * stride(v) + begin, in + corner.at + begin, up_u, up_v, corner, end - begin);
          }
          continue;
        }
        for (std::int64_t k = begin; k < end; ++k)
          for (std::int64_t r = 0; r < rows; ++r) {
            const auto [from_q, to_q] = spans[static_cast<std::size_t>(r)];
            const Corner* const corner = corners.data() + r * extent_[v];
            const float* const p = in + k * stride(axis);
            float* const row = to + k * stride(axis) + r * stride(u);
            for (std::int64_t q = from_q; q < to_q; ++q) {
              const float* const low = p + corner[q].at;
              const float y = corner[q].first;
              const float x = corner[q].second;
              const float top = (1 - x) * low[0] + x * low[up_v];
              const float bottom = (1 - x) * low[up_u] + x * low[up_u + up_v];
              row[q] = (1 - y) * top + y * bottom;
            }
          }
      }
    }
  }

  /// The corners of a row of outputs, of index p along u, in the plane of u and v.
  /// @return the indices along v, first and behind the last, whose positions reach what is not 0
  IVADO_INLINE std::array<std::int64_t, 2> find_corners(std::size_t u, std::size_t v, std::int64_t p,
                                                        Corner* corners) const {
    const auto position = [&](std::size_t a) {
      return RowPosition{static_cast<double>(p) * map_.matrix[a][u], map_.matrix[a][v], map_.offset[a]};
    };
    const RowPosition y = position(u);
    const RowPosition x = position(v);
    const Knots rows = knots(u);
    const Knots columns = knots(v);
    std::int64_t begin = 0;
    std::int64_t end = extent_[v];
    clip_row(y, reach_[u], begin, end);
    clip_row(x, reach_[v], begin, end);
    const std::int64_t step_u = stride(u);
    const std::int64_t step_v = stride(v);
    for (std::int64_t q = begin; q < end; ++q) {
      const Tap row = tap(y.at(q), rows);
      const Tap column = tap(x.at(q), columns);
      corners[q] = {row.low * step_u + column.low * step_v, row.part, column.part};
    }
    return {begin, end};
  }

  /// A run of n values between four runs of a plane's corners.
  IVADO_INLINE static void blend(float* __restrict__ to, const float* low, std::int64_t up_u, std::int64_t up_v,
                                 const Corner& corner, std::int64_t n) noexcept {
    const float* const right = low + up_v;
    const float* const under = low + up_u;
    const float* const across = under + up_v;
    const float y = corner.first;
    const float x = corner.second;
    for (std::int64_t k = 0; k < n; ++k) {
      const float top = (1 - x) * low[k] + x * right[k];
      const float bottom = (1 - x) * under[k] + x * across[k];
      to[k] = (1 - y) * top + y * bottom;
    }
  }

  /// A map that mixes all three axes.
  IVADO_INLINE void sample_mixed(Array<float>& out) const {
    struct Corner3 {
      std::int64_t at;
      float z, y, x;
    };
    const auto [height, width, depth] = extent_;
    const std::array<Knots, 3> knot{knots(0), knots(1), knots(2)};
    std::vector<Corner3> corners(static_cast<std::size_t>(depth));
    for (std::int64_t h = 0; h < height; ++h)
      for (std::int64_t i = 0; i < width; ++i) {
        const auto position = [&](std::size_t a) {
          return RowPosition{static_cast<double>(h) * map_.matrix[a][0] + static_cast<double>(i) * map_.matrix[a][1],
                             map_.matrix[a][2], map_.offset[a]};
        };
        const std::array<RowPosition, 3> along{position(0), position(1), position(2)};
        std::int64_t begin = 0;
        std::int64_t end = depth;
        for (std::size_t a = 0; a < 3; ++a) clip_row(along[a], reach_[a], begin, end);
        for (std::int64_t j = begin; j < end; ++j) {
          const Tap z = tap(along[0].at(j), knot[0]);
          const Tap y = tap(along[1].at(j), knot[1]);
          const Tap x = tap(along[2].at(j), knot[2]);
          corners[static_cast<std::size_t>(j)] = {(z.low * width + y.low) * depth + x.low, z.part, y.part, x.part};
        }
        for (std::int64_t c = 0; c < voxels_.extent(0); ++c) {
          const float* const in = voxels_.data() + c * size();
          float* const row = out.data() + c * size() + (h * width + i) * depth;
          for (std::int64_t j = begin; j < end; ++j) {
            const Corner3 corner = corners[static_cast<std::size_t>(j)];
            const auto bilinear = [&](const float* p) {
              const float top = (1 - corner.x) * p[0] + corner.x * p[knot[2].neighbour];
              const float bottom =
                  (1 - corner.x) * p[knot[1].neighbour] + corner.x * p[knot[1].neighbour + knot[2].neighbour];
              return (1 - corner.y) * top + corner.y * bottom;
            };
            row[j] =
                (1 - corner.z) * bilinear(in + corner.at) + corner.z * bilinear(in + corner.at + knot[0].neighbour);
          }
        }
      }
  }

  const Array<float>& voxels_;
  std::array<std::int64_t, 3> extent_;  ///< 1, H, W for slices
  AffineMap map_;
  Box support_;
  std::array<Span, 3> reach_{};  ///< positions within the grid that touch the support
};

/// Samples slices or volumes at affine positions: output o takes the input at matrix · o + offset, linearly between
/// voxel centres, and 0 outside of [0, n - 1] without blending across the border (scipy.ndimage.affine_transform, order
/// 1, constant 0).
/// @param voxels  [channel, H, W] or [channel, H, W, D]
/// @return        an array of the same shape
[[nodiscard]] IVADO_INLINE Array<float> sample_affine(const Array<float>& voxels, const AffineMap& map) {
  if (voxels.empty()) return voxels.clone();
  return AffineSampler(voxels, map)();
}

/// The index within an axis of extent n after mirroring about its outer edges: d c b a | a b c d | d c b a.
[[nodiscard]] constexpr std::int64_t mirror_index(std::int64_t i, std::int64_t n) noexcept {
  if (i >= 0 && i < n) return i;
  const std::int64_t period = 2 * n;
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - 1 - i;
}

/// Linear sampling of one array at displaced positions, mirrored about the outer edges.
class DisplacedSampler {
 public:
  /// @param displacement  a component for each spatial axis of the array, in voxels
  IVADO_INLINE DisplacedSampler(const Array<float>& voxels, const Array<float>& displacement)
      : voxels_(voxels),
        displacement_(displacement),
        extent_(grid_extent(voxels)),
        box_(find_support(voxels, extent_)),
        is_full_(box_.begin == std::array<std::int64_t, 3>{} && box_.end == extent_) {
    // Mirroring brings a position nearer to its voxel, so nothing comes from farther than the displacement.
    if (!is_full_) box_ = box_.widened(static_cast<std::int64_t>(largest_displacement()) + 2, extent_);
  }

  /// The samples, an array of the same shape.
  [[nodiscard]] IVADO_INLINE Array<float> operator()() const {
    Array<float> out = is_full_ ? Array<float>(voxels_.shape()) : zeros(voxels_.shape());
    const std::int64_t width = extent_[1];
    const std::int64_t depth = extent_[2];
    // Voxels of a plane in one run, so that short rows cost no more than long ones.
    std::vector<std::int32_t> rows(static_cast<std::size_t>(width * depth));
    std::vector<std::int32_t> columns(rows.size());
    for (std::size_t k = 0; k < rows.size(); ++k) {
      rows[k] = static_cast<std::int32_t>(static_cast<std::int64_t>(k) / depth);
      columns[k] = static_cast<std::int32_t>(static_cast<std::int64_t>(k) % depth);
    }
    for (std::int64_t h = box_.begin[0]; h < box_.end[0]; ++h)
      for (std::int64_t k = box_.begin[1] * depth; k < box_.end[1] * depth; k += run) {
        const std::int64_t n = std::min(run, box_.end[1] * depth - k);
        if (voxels_.rank() == 3)
          sample_slice(k, n, rows.data() + k, columns.data() + k, out);
        else
          sample_volume(h, k, n, rows.data() + k, columns.data() + k, out);
      }
    return out;
  }

 private:
  static constexpr std::int64_t run = 256;

  /// One axis of a run of displaced positions: two indices and how much of the upper one.
  struct Taps {
    std::array<std::int32_t, run> low, high;
    std::array<float, run> part;

    /// For n voxels.
    /// @param index  of the voxels along the axis
    IVADO_INLINE void find(const std::int32_t* index, const float* displacement, std::int64_t n,
                           std::int64_t extent) noexcept {
      if (find_near(index, displacement, n, static_cast<std::int32_t>(extent), low.data(), high.data(), part.data()))
        return;
      for (std::int64_t k = 0; k < n; ++k) {  // more than an extent away: mirrored several times
        const auto step = static_cast<std::int64_t>(std::floor(displacement[k]));
        low[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(mirror_index(index[k] + step, extent));
        high[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(mirror_index(index[k] + step + 1, extent));
      }
    }
    /// The same with indices that are mirrored once at most, without branches, for the vector unit.
    /// @return whether that was enough
    IVADO_INLINE static bool find_near(const std::int32_t* __restrict__ index, const float* __restrict__ displacement,
                                       std::int64_t n, std::int32_t extent, std::int32_t* __restrict__ lower,
                                       std::int32_t* __restrict__ upper, float* __restrict__ parts) noexcept {
      std::int32_t is_far = 0;
      const std::int32_t last = 2 * extent - 1;
      for (std::int64_t k = 0; k < n; ++k) {
        const float d = displacement[k];
        const auto truncated = static_cast<std::int32_t>(d);
        const std::int32_t step = truncated - (static_cast<float>(truncated) > d ? 1 : 0);
        parts[k] = d - static_cast<float>(step);
        std::int32_t i = index[k] + step;
        std::int32_t next = i + 1;
        i ^= i >> 31;  // -1 - i where i < 0
        next ^= next >> 31;
        i = i < last - i ? i : last - i;
        next = next < last - next ? next : last - next;
        lower[k] = i;
        upper[k] = next;
        is_far |= i | next;
      }
      return is_far >= 0;
    }
  };

  [[nodiscard]] IVADO_INLINE float largest_displacement() const noexcept {
    constexpr std::int64_t lanes = 16;
    std::array<float, lanes> largest{};
    const float* const d = displacement_.data();
    const std::int64_t size = displacement_.size();
    const auto take = [&](std::int64_t k, float value) {
      float& most = largest[static_cast<std::size_t>(k)];
      const float distance = std::abs(value);
      most = distance > most ? distance : most;
    };
    std::int64_t i = 0;
    for (; i + lanes <= size; i += lanes)
      for (std::int64_t k = 0; k < lanes; ++k) take(k, d[i + k]);
    for (; i < size; ++i) take(0, d[i]);
    return *std::max_element(largest.begin(), largest.end());
  }

  IVADO_INLINE void sample_slice(std::int64_t k, std::int64_t n, const std::int32_t* rows, const std::int32_t* columns,
                                 Array<float>& out) const {
    const std::int64_t width = extent_[2];
    const std::int64_t size = extent_[1] * width;
    Taps y, x;
    y.find(rows, displacement_.data() + k, n, extent_[1]);
    x.find(columns, displacement_.data() + size + k, n, width);
    for (std::int64_t c = 0; c < voxels_.extent(0); ++c) {
      const float* const in = voxels_.data() + c * size;
      float* const to = out.data() + c * size + k;
      for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) {
        const float* const top = in + y.low[j] * width;
        const float* const bottom = in + y.high[j] * width;
        const float part = x.part[j];
        to[j] = (1 - y.part[j]) * ((1 - part) * top[x.low[j]] + part * top[x.high[j]]) +
                y.part[j] * ((1 - part) * bottom[x.low[j]] + part * bottom[x.high[j]]);
      }
    }
  }

  IVADO_INLINE void sample_volume(std::int64_t h, std::int64_t k, std::int64_t n, const std::int32_t* rows,
                                  const std::int32_t* columns, Array<float>& out) const {
    const auto [height, width, depth] = extent_;
    const std::int64_t plane = width * depth;
    const std::int64_t size = height * plane;
    const float* const d = displacement_.data() + h * plane + k;
    std::array<std::int32_t, run> planes;
    planes.fill(static_cast<std::int32_t>(h));
    Taps z, y, x;
    z.find(planes.data(), d, n, height);
    y.find(rows, d + size, n, width);
    x.find(columns, d + 2 * size, n, depth);
    for (std::int64_t c = 0; c < voxels_.extent(0); ++c) {
      const float* const in = voxels_.data() + c * size;
      float* const to = out.data() + c * size + h * plane + k;
      for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) {
        const std::int64_t row = y.low[j] * depth;
        const std::int64_t next_row = y.high[j] * depth;
        const float part = x.part[j];
        const auto bilinear = [&](const float* from) {
          const float* const top = from + row;
          const float* const bottom = from + next_row;
          return (1 - y.part[j]) * ((1 - part) * top[x.low[j]] + part * top[x.high[j]]) +
                 y.part[j] * ((1 - part) * bottom[x.low[j]] + part * bottom[x.high[j]]);
        };
        to[j] = (1 - z.part[j]) * bilinear(in + z.low[j] * plane) + z.part[j] * bilinear(in + z.high[j] * plane);
      }
    }
  }

  const Array<float>& voxels_;
  const Array<float>& displacement_;
  std::array<std::int64_t, 3> extent_;  ///< 1, H, W for slices
  Box box_;                             ///< output that may be other than 0
  bool is_full_;                        ///< whether the array has no border of zeros
};

/// Samples slices or volumes at index + displacement, linearly, mirrored about the outer edges
/// (scipy.ndimage.map_coordinates, order 1, mode "reflect").
/// @param voxels        [channel, H, W] or [channel, H, W, D]
/// @param displacement  [2, H, W] or [3, H, W, D], in voxels along each axis
[[nodiscard]] IVADO_INLINE Array<float> sample_displaced(const Array<float>& voxels, const Array<float>& displacement) {
  return DisplacedSampler(voxels, displacement)();
}

/// A displacement as a map of positions: position + displacement there, linear between voxels, mirrored about the outer
/// edges.
class DisplacementMap {
 public:
  /// @param field  [2, H, W] or [3, H, W, D], in voxels along each axis
  IVADO_INLINE explicit DisplacementMap(std::shared_ptr<const Array<float>> field)
      : field_(std::move(field)),
        axes_(static_cast<std::size_t>(field_->extent(0))),
        extent_{field_->extent(1), field_->extent(2), axes_ == 3 ? field_->extent(3) : 1} {}

  /// Moves a position that lies on the grid; the result does as well.
  void move(std::array<double, 3>& position) const noexcept {
    const LinearCorner corner(position, extent_);
    const float* component = field_->data();
    for (std::size_t a = 0; a < axes_; ++a, component += extent_[0] * extent_[1] * extent_[2])
      position[a] = mirrored(position[a] + static_cast<double>(corner.value(component)), extent_[a]);
  }

 private:
  /// A position mirrored about the outer edges of the first and last voxel, whose outer halves keep their value.
  [[nodiscard]] static double mirrored(double p, std::int64_t extent) noexcept {
    const auto n = static_cast<double>(extent);
    if (p < -0.5 || p > n - 0.5) {
      p = std::fmod(p + 0.5, 2 * n);
      if (p < 0) p += 2 * n;
      p = (p < n ? p : 2 * n - p) - 0.5;
    }
    return std::clamp(p, 0.0, n - 1);
  }

  std::shared_ptr<const Array<float>> field_;
  std::size_t axes_;
  std::array<std::int64_t, 3> extent_;
};

/// The displacement that undoes another one: u with u(y) = -d(y + u(y)), so that sampling a deformed image at y + u(y)
/// gives back what lay at y.
///
/// By fixed-point iteration (Chen et al., "A simple fixed-point approach to invert a deformation field", Medical
/// Physics 35 (2008), doi:10.1118/1.2816107), which converges where d changes by less than one voxel a voxel. Iterated
/// for each voxel until it moves by less than 0.001 voxel, 50 times at most. Beyond the border d keeps its border
/// value.
[[nodiscard]] IVADO_INLINE Array<float> invert_displacement(const Array<float>& displacement) {
  const std::int64_t axes = displacement.extent(0);
  const std::int64_t height = displacement.extent(1);
  const std::int64_t width = displacement.extent(2);
  const std::int64_t depth = axes == 3 ? displacement.extent(3) : 1;
  const std::int64_t size = height * width * depth;
  const std::array<std::int64_t, 3> extent{height, width, depth};
  const std::array<Knots, 3> knots{Knots(height, width * depth), Knots(width, depth), Knots(depth, 1)};
  const std::array<std::int64_t, 3> stride{width * depth, depth, 1};
  Array<float> inverse(displacement.shape());
  const float* const d = displacement.data();
  for (std::int64_t at = 0; at < size; ++at) {
    const std::array<std::int64_t, 3> index{at / (width * depth), at / depth % width, at % depth};
    std::array<double, 3> u{};
    for (std::int64_t a = 0; a < axes; ++a) u[static_cast<std::size_t>(a)] = -static_cast<double>(d[a * size + at]);
    for (int iteration = 0; iteration < 50; ++iteration) {
      std::int64_t corner = 0;
      std::array<double, 3> part{};
      for (std::size_t a = 0; a < 3; ++a) {
        if (extent[a] == 1) continue;
        const double p = std::clamp(static_cast<double>(index[a]) + u[a], 0.0, knots[a].last);
        const std::int64_t low = std::min(static_cast<std::int64_t>(p), knots[a].last_start);
        corner += low * stride[a];
        part[a] = p - static_cast<double>(low);
      }
      double change = 0;
      for (std::int64_t a = 0; a < axes; ++a) {
        const float* const field = d + a * size + corner;
        const auto linear = [&](std::int64_t from) {
          return (1 - part[2]) * static_cast<double>(field[from]) +
                 part[2] * static_cast<double>(field[from + knots[2].neighbour]);
        };
        const auto bilinear = [&](std::int64_t from) {
          return (1 - part[1]) * linear(from) + part[1] * linear(from + knots[1].neighbour);
        };
        const double value = -((1 - part[0]) * bilinear(0) + part[0] * bilinear(knots[0].neighbour));
        change = std::max(change, std::abs(value - u[static_cast<std::size_t>(a)]));
        u[static_cast<std::size_t>(a)] = value;
      }
      if (change < 1e-3) break;
    }
    for (std::int64_t a = 0; a < axes; ++a) inverse[a * size + at] = static_cast<float>(u[static_cast<std::size_t>(a)]);
  }
  return inverse;
}

}  // namespace ivado::detail
