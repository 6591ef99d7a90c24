// Keypoints: the local maxima of heat maps, as voxels and as places in the world, in CSV files and in label files.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../config/params.hpp"
#include "../data/array.hpp"
#include "../data/atomic_file.hpp"
#include "../data/geometry.hpp"
#include "../eigen.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// A point that was found in, or is given by, a heat map.
struct Keypoint {
  std::array<std::int64_t, 3> voxel{};  ///< (i, j, k) in the axes of the file
  std::array<double, 3> world_mm{};     ///< the same place, RAS+
  double value = 0;                     ///< of the heat map at the voxel
  std::int64_t class_index = 0;         ///< which heat map, from 0

  [[nodiscard]] friend bool operator==(const Keypoint&, const Keypoint&) = default;
};

/// Which local maxima of a heat map are keypoints. The defaults are those of ivadomed.
struct KeypointParams {
  std::int64_t min_distance_vox = 5;
  double relative_threshold = 0.3;
  double absolute_threshold = 0;
  bool as_ivadomed = false;

  static constexpr auto fields() {
    return ivado::fields(
        field<"min_distance_vox", &KeypointParams::min_distance_vox>(
            "a keypoint has the greatest value among all voxels at most this far away along every axis", at_least(1)),
        field<"relative_threshold", &KeypointParams::relative_threshold>(
            "a keypoint is above this fraction of the greatest value of the heat map", within(0, 1)),
        field<"absolute_threshold", &KeypointParams::absolute_threshold>(
            "a keypoint is above this value: what a heat map without any point stays under"),
        field<"as_ivadomed", &KeypointParams::as_ivadomed>(
            "true: no keypoint within min_distance_vox of the border, along any axis"));
  }
};

namespace detail {

/// The greatest value within `reach` of each element along one axis of a dense array, in place.
IVADO_INLINE void running_maximum(Array<float>& values, int axis, std::int64_t reach) {
  std::int64_t outer = 1;
  std::int64_t inner = 1;
  const std::int64_t n = values.extent(axis);
  for (int a = 0; a < values.rank(); ++a) (a < axis ? outer : inner) *= a == axis ? 1 : values.extent(a);
  std::vector<float> line(static_cast<std::size_t>(n));
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      float* const first = values.data() + o * n * inner + i;
      for (std::int64_t k = 0; k < n; ++k) line[static_cast<std::size_t>(k)] = first[k * inner];
      for (std::int64_t k = 0; k < n; ++k) {
        const auto begin = line.begin() + std::max<std::int64_t>(k - reach, 0);
        const auto end = line.begin() + std::min(k + reach + 1, n);
        first[k * inner] = *std::max_element(begin, end);
      }
    }
}

}  // namespace detail

/// The local maxima of a heat map, the greatest first; those of equal value in row-major order.
///
/// A voxel is one where no voxel at most `min_distance_vox` away along every axis has a greater value, and its own is
/// above both thresholds and the least of the map. Of equal values closer to each other than that, the first stays: a
/// plateau is one point. Along an axis of one voxel (a slice) all distances are 0. NaN is never a maximum.
/// ivadomed (scikit-image's peak_local_max) also drops what is within that distance of the border, along any
/// axis: so it finds nothing at all in volumes of less than 11 voxels along one of them. `as_ivadomed` does that too.
/// @param map  3 axes
[[nodiscard]] IVADO_INLINE std::vector<std::array<std::int64_t, 3>> local_maxima(ArrayView<const float> map,
                                                                                 const KeypointParams& params = {}) {
  using Place = std::array<std::int64_t, 3>;
  if (map.rank() != 3)
    throw internal_error("looking for keypoints", "the heat map has the shape " + map.shape().text() + ", not 3 axes");
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  Array<float> values = Array<float>::from(map);
  float least = std::numeric_limits<float>::infinity();
  float greatest = lowest;
  for (float& value : values) {
    if (std::isnan(value)) {
      value = lowest;
      continue;
    }
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
  if (!(greatest > least)) return {};  // nothing, or all alike
  const double threshold = std::max({static_cast<double>(least), params.absolute_threshold,
                                     params.relative_threshold * static_cast<double>(greatest)});
  Array<float> greatest_near = values.clone();
  for (int axis = 0; axis < 3; ++axis) detail::running_maximum(greatest_near, axis, params.min_distance_vox);

  std::vector<Place> candidates;
  const auto view = values.view();
  const auto near = greatest_near.view();
  const std::int64_t margin = params.as_ivadomed ? params.min_distance_vox : 0;
  for (std::int64_t i = margin; i < view.extent(0) - margin; ++i)
    for (std::int64_t j = margin; j < view.extent(1) - margin; ++j)
      for (std::int64_t k = margin; k < view.extent(2) - margin; ++k)
        if (view(i, j, k) == near(i, j, k) && static_cast<double>(view(i, j, k)) > threshold)
          candidates.push_back({i, j, k});
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Place& a, const Place& b) { return view(a[0], a[1], a[2]) > view(b[0], b[1], b[2]); });
  std::vector<Place> out;
  for (const auto& place : candidates) {
    const bool taken = std::any_of(out.begin(), out.end(), [&](const Place& other) {
      std::int64_t distance = 0;
      for (std::size_t a = 0; a < 3; ++a) distance = std::max(distance, std::abs(place[a] - other[a]));
      return distance < params.min_distance_vox;
    });
    if (!taken) out.push_back(place);
  }
  return out;
}

/// The place of a voxel in the world, mm, RAS+.
[[nodiscard]] IVADO_INLINE std::array<double, 3> world_of(const std::array<std::int64_t, 3>& voxel,
                                                          const Geometry& geometry) {
  const Eigen::Vector4d place =
      geometry.affine *
      Eigen::Vector4d(static_cast<double>(voxel[0]), static_cast<double>(voxel[1]), static_cast<double>(voxel[2]), 1);
  return {place[0], place[1], place[2]};
}

/// The keypoints of heat maps: `local_maxima` of each class, class by class.
///
/// Predicted and true points come alike: from a prediction, or from the heat map that is its label.
/// @param maps  (i, j, k), or (class, i, j, k); values as they are, not binarised
/// @throws Error (data) if the maps do not lie on the grid
[[nodiscard]] IVADO_INLINE std::vector<Keypoint> find_keypoints(ArrayView<const float> maps, const Geometry& geometry,
                                                                const KeypointParams& params = {}) {
  const bool several = maps.rank() == 4;
  if (!several && maps.rank() != 3)
    throw internal_error("looking for keypoints", "the heat maps have the shape " + maps.shape().text());
  if (!((several ? maps.shape().from(1) : maps.shape()) == geometry.shape))
    throw data_error("looking for keypoints", "the heat maps have the shape " + maps.shape().text() +
                                                  ", their grid has " + geometry.shape.text() + " voxels");
  std::vector<Keypoint> out;
  for (std::int64_t c = 0; c < (several ? maps.extent(0) : 1); ++c) {
    const ArrayView<const float> map = several ? maps.select(0, c) : maps;
    for (const auto& place : local_maxima(map, params))
      out.push_back({place, world_of(place, geometry), map(place[0], place[1], place[2]), c});
  }
  return out;
}

/// A label of keypoints: their class + 1 at their voxels, 0 elsewhere; shape (i, j, k). Where several share a voxel,
/// the last one counts. To be written with `write_volume`.
/// @throws Error (data) if a keypoint lies outside of the grid
[[nodiscard]] IVADO_INLINE Array<float> keypoint_label(std::span<const Keypoint> points, const Geometry& geometry) {
  auto out = zeros(geometry.shape);
  for (const auto& point : points) {
    for (int axis = 0; axis < 3; ++axis) {
      const std::int64_t at = point.voxel[static_cast<std::size_t>(axis)];
      if (at < 0 || at >= geometry.shape[axis])
        throw data_error("making a label of keypoints",
                         detail::text("the voxel (", point.voxel[0], ", ", point.voxel[1], ", ", point.voxel[2],
                                      ") lies outside of the grid of ", geometry.shape.text(), " voxels"));
    }
    out.view()(point.voxel[0], point.voxel[1], point.voxel[2]) = static_cast<float>(point.class_index + 1);
  }
  return out;
}

/// The first line of a CSV file of keypoints.
inline constexpr std::string_view keypoint_columns = "class,i,j,k,x_mm,y_mm,z_mm,value";

/// Writes keypoints as CSV, one a line, with all digits. The file is there whole or not at all.
/// @throws Error (internal) if it cannot be written
IVADO_INLINE void write_keypoints(const std::string& path, std::span<const Keypoint> points) {
  std::string content(keypoint_columns);
  content += '\n';
  const auto add = [&](auto number, char separator) {
    std::array<char, 32> digits{};
    const auto [end, fault] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    content.append(digits.data(), end);
    content += separator;
  };
  for (const auto& point : points) {
    add(point.class_index, ',');
    for (const auto at : point.voxel) add(at, ',');
    for (const auto at : point.world_mm) add(at, ',');
    add(point.value, '\n');
  }
  write_file_atomically(path, content);
}

/// Reads keypoints from CSV.
/// @throws Error (data) that names the file and the line, if it is none of `write_keypoints`
[[nodiscard]] IVADO_INLINE std::vector<Keypoint> read_keypoints(const std::string& path) {
  const std::string doing = "reading the keypoints " + path;
  const std::string remedy = "its columns are " + std::string(keypoint_columns);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw data_error(doing, "the file cannot be opened", "check the path");
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  std::vector<Keypoint> out;
  std::string_view rest = content;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const auto line_end = rest.find('\n');
    std::string_view line = rest.substr(0, line_end);
    rest.remove_prefix(line_end == std::string_view::npos ? rest.size() : line_end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (number == 1) {
      if (line != keypoint_columns) throw data_error(doing, "it has other columns", remedy);
      continue;
    }
    if (line.empty()) continue;
    const auto take = [&](auto& value, bool last) {
      const auto comma = line.find(',');
      const std::string_view cell = line.substr(0, comma);
      const auto [end, fault] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
      if (fault != std::errc() || end != cell.data() + cell.size() || (comma == std::string_view::npos) != last)
        throw data_error(doing,
                         detail::text("line ", number, " has \"", cell, "\" where a number should be, or too ",
                                      "many or too few columns"),
                         remedy);
      line.remove_prefix(last ? line.size() : comma + 1);
    };
    Keypoint point;
    take(point.class_index, false);
    for (auto& at : point.voxel) take(at, false);
    for (auto& at : point.world_mm) take(at, false);
    take(point.value, true);
    out.push_back(point);
  }
  if (content.empty()) throw data_error(doing, "it is empty", remedy);
  return out;
}

}  // namespace ivado
