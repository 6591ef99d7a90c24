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

/// Narrows [begin, end) to the indices whose position lies in an axis of the given extent.
/// Positions are monotone in j, also after rounding, so the indices form one interval.
inline void clip_row(const RowPosition& position, std::int64_t extent, std::int64_t& begin,
                     std::int64_t& end) noexcept {
  const double low = -border_tolerance_vox;
  const double high = static_cast<double>(extent - 1) + border_tolerance_vox;
  const auto inside = [&](std::int64_t j) {
    const double p = position.at(j);
    return p >= low && p <= high;
  };
  if (begin >= end) return;
  const double start = position.base + position.offset;
  double a = (low - start) / position.step;
  double b = (high - start) / position.step;
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

/// Samples slices [channel, H, W] at affine positions, linearly; 0 where the position is outside.
[[nodiscard]] inline Array<float> sample_affine_2d(const Array<float>& voxels, const AffineMap& map) {
  const std::int64_t channels = voxels.extent(0);
  const std::int64_t height = voxels.extent(1);
  const std::int64_t width = voxels.extent(2);
  Array<float> out(voxels.shape());
  const Knots rows(height, width);
  const Knots columns(width, 1);
  struct Corner {  // the lower neighbour, and the parts of the upper ones
    std::int64_t at;
    float y, x;
  };
  std::vector<Corner> corners(static_cast<std::size_t>(width));
  for (std::int64_t i = 0; i < height; ++i) {
    const RowPosition y{static_cast<double>(i) * map.matrix[0][0], map.matrix[0][1], map.offset[0]};
    const RowPosition x{static_cast<double>(i) * map.matrix[1][0], map.matrix[1][1], map.offset[1]};
    std::int64_t begin = 0;
    std::int64_t end = width;
    clip_row(y, height, begin, end);
    clip_row(x, width, begin, end);
    for (std::int64_t j = begin; j < end; ++j) {
      const double py = std::clamp(y.at(j), 0.0, rows.last);
      const double px = std::clamp(x.at(j), 0.0, columns.last);
      const std::int64_t iy = std::min(static_cast<std::int64_t>(py), rows.last_start);
      const std::int64_t ix = std::min(static_cast<std::int64_t>(px), columns.last_start);
      corners[static_cast<std::size_t>(j)] = {iy * width + ix, static_cast<float>(py - static_cast<double>(iy)),
                                              static_cast<float>(px - static_cast<double>(ix))};
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      const float* const in = voxels.data() + c * height * width;
      float* const row = out.data() + (c * height + i) * width;
      std::fill(row, row + begin, 0.0F);
      std::fill(row + end, row + width, 0.0F);
      for (std::int64_t j = begin; j < end; ++j) {
        const Corner corner = corners[static_cast<std::size_t>(j)];
        const float* const p = in + corner.at;
        const float top = (1 - corner.x) * p[0] + corner.x * p[columns.neighbour];
        const float bottom = (1 - corner.x) * p[rows.neighbour] + corner.x * p[rows.neighbour + columns.neighbour];
        row[j] = (1 - corner.y) * top + corner.y * bottom;
      }
    }
  }
  return out;
}

/// Samples volumes [channel, H, W, D] at affine positions, linearly; 0 where the position is outside.
[[nodiscard]] inline Array<float> sample_affine_3d(const Array<float>& voxels, const AffineMap& map) {
  const std::int64_t channels = voxels.extent(0);
  const std::int64_t height = voxels.extent(1);
  const std::int64_t width = voxels.extent(2);
  const std::int64_t depth = voxels.extent(3);
  const std::int64_t volume = height * width * depth;
  Array<float> out(voxels.shape());
  const Knots planes(height, width * depth);
  const Knots rows(width, depth);
  const Knots columns(depth, 1);
  struct Corner {  // the lower neighbour, and the parts of the upper ones
    std::int64_t at;
    float z, y, x;
  };
  std::vector<Corner> corners(static_cast<std::size_t>(depth));
  for (std::int64_t h = 0; h < height; ++h) {
    for (std::int64_t i = 0; i < width; ++i) {
      const auto position = [&](std::size_t axis) {
        return RowPosition{static_cast<double>(h) * map.matrix[axis][0] + static_cast<double>(i) * map.matrix[axis][1],
                           map.matrix[axis][2], map.offset[axis]};
      };
      const RowPosition z = position(0);
      const RowPosition y = position(1);
      const RowPosition x = position(2);
      std::int64_t begin = 0;
      std::int64_t end = depth;
      clip_row(z, height, begin, end);
      clip_row(y, width, begin, end);
      clip_row(x, depth, begin, end);
      for (std::int64_t j = begin; j < end; ++j) {
        const double pz = std::clamp(z.at(j), 0.0, planes.last);
        const double py = std::clamp(y.at(j), 0.0, rows.last);
        const double px = std::clamp(x.at(j), 0.0, columns.last);
        const std::int64_t iz = std::min(static_cast<std::int64_t>(pz), planes.last_start);
        const std::int64_t iy = std::min(static_cast<std::int64_t>(py), rows.last_start);
        const std::int64_t ix = std::min(static_cast<std::int64_t>(px), columns.last_start);
        corners[static_cast<std::size_t>(j)] = {
            (iz * width + iy) * depth + ix, static_cast<float>(pz - static_cast<double>(iz)),
            static_cast<float>(py - static_cast<double>(iy)), static_cast<float>(px - static_cast<double>(ix))};
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        const float* const in = voxels.data() + c * volume;
        float* const row = out.data() + c * volume + (h * width + i) * depth;
        std::fill(row, row + begin, 0.0F);
        std::fill(row + end, row + depth, 0.0F);
        for (std::int64_t j = begin; j < end; ++j) {
          const Corner corner = corners[static_cast<std::size_t>(j)];
          const auto bilinear = [&](const float* p) {
            const float top = (1 - corner.x) * p[0] + corner.x * p[columns.neighbour];
            const float bottom = (1 - corner.x) * p[rows.neighbour] + corner.x * p[rows.neighbour + columns.neighbour];
            return (1 - corner.y) * top + corner.y * bottom;
          };
          row[j] = (1 - corner.z) * bilinear(in + corner.at) + corner.z * bilinear(in + corner.at + planes.neighbour);
        }
      }
    }
  }
  return out;
}

/// Samples slices or volumes at affine positions: output o takes the input at matrix · o + offset, linearly between
/// voxel centres, and 0 outside of [0, n - 1] without blending across the border (scipy.ndimage.affine_transform, order
/// 1, constant 0).
/// @param voxels  [channel, H, W] or [channel, H, W, D]
/// @return        an array of the same shape
[[nodiscard]] inline Array<float> sample_affine(const Array<float>& voxels, const AffineMap& map) {
  return voxels.rank() == 3 ? sample_affine_2d(voxels, map) : sample_affine_3d(voxels, map);
}

/// The index within an axis of extent n after mirroring about its outer edges: d c b a | a b c d | d c b a.
[[nodiscard]] constexpr std::int64_t mirror_index(std::int64_t i, std::int64_t n) noexcept {
  if (i >= 0 && i < n) return i;
  const std::int64_t period = 2 * n;
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - 1 - i;
}

/// The whole part of a displacement, rounded down.
[[nodiscard]] inline std::int64_t whole(float displacement) noexcept {
  const auto truncated = static_cast<std::int64_t>(displacement);
  return truncated - (static_cast<float>(truncated) > displacement ? 1 : 0);
}

/// One axis of a displaced position: two indices and how much of the upper one.
struct Tap {
  std::int64_t low;
  std::int64_t high;
  float part;

  Tap(std::int64_t index, float displacement, std::int64_t extent) noexcept {
    const std::int64_t step = whole(displacement);
    part = displacement - static_cast<float>(step);
    low = index + step;
    high = low + 1;
    if (low < 0 || high >= extent) {
      low = mirror_index(low, extent);
      high = mirror_index(high, extent);
    }
  }
};

/// Samples slices or volumes at index + displacement, linearly, mirrored about the outer edges
/// (scipy.ndimage.map_coordinates, order 1, mode "reflect").
/// @param voxels        [channel, H, W] or [channel, H, W, D]
/// @param displacement  [2, H, W] or [3, H, W, D], in voxels along each axis
[[nodiscard]] inline Array<float> sample_displaced(const Array<float>& voxels, const Array<float>& displacement) {
  const std::int64_t channels = voxels.extent(0);
  const bool is_slice = voxels.rank() == 3;
  const std::int64_t height = voxels.extent(1);
  const std::int64_t width = voxels.extent(2);
  const std::int64_t depth = is_slice ? 1 : voxels.extent(3);
  const std::int64_t size = height * width * depth;
  Array<float> out(voxels.shape());
  const float* const d = displacement.data();
  if (is_slice) {
    for (std::int64_t i = 0; i < height; ++i) {
      for (std::int64_t j = 0; j < width; ++j) {
        const std::int64_t at = i * width + j;
        const Tap y(i, d[at], height);
        const Tap x(j, d[size + at], width);
        for (std::int64_t c = 0; c < channels; ++c) {
          const float* const top = voxels.data() + c * size + y.low * width;
          const float* const bottom = voxels.data() + c * size + y.high * width;
          out[c * size + at] = (1 - y.part) * ((1 - x.part) * top[x.low] + x.part * top[x.high]) +
                               y.part * ((1 - x.part) * bottom[x.low] + x.part * bottom[x.high]);
        }
      }
    }
    return out;
  }
  for (std::int64_t h = 0; h < height; ++h) {
    for (std::int64_t i = 0; i < width; ++i) {
      for (std::int64_t j = 0; j < depth; ++j) {
        const std::int64_t at = (h * width + i) * depth + j;
        const Tap z(h, d[at], height);
        const Tap y(i, d[size + at], width);
        const Tap x(j, d[2 * size + at], depth);
        for (std::int64_t c = 0; c < channels; ++c) {
          const float* const in = voxels.data() + c * size;
          const auto bilinear = [&](std::int64_t plane) {
            const float* const top = in + (plane * width + y.low) * depth;
            const float* const bottom = in + (plane * width + y.high) * depth;
            return (1 - y.part) * ((1 - x.part) * top[x.low] + x.part * top[x.high]) +
                   y.part * ((1 - x.part) * bottom[x.low] + x.part * bottom[x.high]);
          };
          out[c * size + at] = (1 - z.part) * bilinear(z.low) + z.part * bilinear(z.high);
        }
      }
    }
  }
  return out;
}

/// A displacement as a map of positions: position + displacement there, linear between voxels, mirrored about the outer
/// edges.
class DisplacementMap {
 public:
  /// @param field  [2, H, W] or [3, H, W, D], in voxels along each axis
  explicit DisplacementMap(std::shared_ptr<const Array<float>> field)
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
[[nodiscard]] inline Array<float> invert_displacement(const Array<float>& displacement) {
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
