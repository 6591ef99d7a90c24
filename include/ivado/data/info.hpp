// `ivado info`: what is in an image file. No ITK, no LibTorch.
#pragma once

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <limits>
#include <ostream>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"
#include "array.hpp"
#include "geometry.hpp"
#include "nifti_header.hpp"

namespace ivado {

/// What `ivado info` tells of an image: its header, and its values after scaling, over all volumes.
struct ImageInfo {
  NiftiHeader header;          ///< with the warnings of header and voxels
  double min = std::nan("");   ///< over finite voxels; NaN where there is none
  double max = std::nan("");   ///< over finite voxels; NaN where there is none
  double mean = std::nan("");  ///< over finite voxels; NaN where there is none
  std::int64_t nan = 0;        ///< number of voxels that are NaN
  std::int64_t inf = 0;        ///< number of voxels that are infinite, of both signs
};

namespace detail {

template <class Stored>
void add_statistics(VoxelStream& stream, ImageInfo& info) {
  const double slope = info.header.slope();
  const double intercept = info.header.intercept();
  const std::int64_t voxels = info.header.voxels();
  constexpr std::int64_t chunk = 1 << 16;
  Array<Stored> buffer(Shape{std::min(chunk, voxels)});
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  double total = 0;
  std::int64_t finite = 0;
  for (std::int64_t begin = 0; begin < voxels; begin += chunk) {
    const std::int64_t count = std::min(chunk, voxels - begin);
    stream.read(buffer.data(), count);
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = static_cast<double>(buffer[i]) * slope + intercept;
      if constexpr (std::is_floating_point_v<Stored>) {
        if (!std::isfinite(value)) {
          (std::isnan(value) ? info.nan : info.inf) += 1;
          continue;
        }
      }
      low = std::min(low, value);
      high = std::max(high, value);
      sum += value;
      ++finite;
    }
    total += sum;
  }
  if (finite == 0) return;
  info.min = low;
  info.max = high;
  info.mean = total / static_cast<double>(finite);
}

}  // namespace detail

/// Reads an image once, from end to end, in little memory.
/// @throws Error (data) if it cannot be used
[[nodiscard]] inline ImageInfo read_image_info(const std::string& path) {
  ImageInfo info;
  info.header = read_nifti_header(path);
  detail::VoxelStream stream(info.header);
  detail::with_stored_type(info.header.datatype,
                           [&](auto number) { detail::add_statistics<decltype(number)>(stream, info); });
  for (auto& odd : stream.finish()) info.header.warnings.push_back(std::move(odd));
  return info;
}

/// One object: file shape spacing_mm axcodes affine type min max mean nan inf. Shape and affine as stored, the affine
/// from voxels to RAS+; min, max and mean are null where no voxel is finite.
[[nodiscard]] inline Json to_json(const ImageInfo& info) {
  Json affine = Json::array();
  for (int row = 0; row < 4; ++row) {
    const Eigen::RowVector4d r = info.header.affine.row(row);
    affine.push_back(std::array{r[0], r[1], r[2], r[3]});
  }
  const auto number = [](double value) { return std::isnan(value) ? Json(nullptr) : Json(value); };
  return {{"file", info.header.path},
          {"shape", info.header.shape},
          {"spacing_mm", info.header.geometry().spacing_mm()},
          {"axcodes", axis_codes(info.header.affine)},
          {"affine", affine},
          {"type", info.header.type},
          {"min", number(info.min)},
          {"max", number(info.max)},
          {"mean", number(info.mean)},
          {"nan", info.nan},
          {"inf", info.inf}};
}

/// The same for people.
inline void print_info(const ImageInfo& info, std::ostream& out) {
  const NiftiHeader& header = info.header;
  const auto spacing = header.geometry().spacing_mm();
  out << header.path << "\n  shape    " << header.shape_text() << "\n  spacing  " << spacing[0] << " x " << spacing[1]
      << " x " << spacing[2] << " mm\n  axes     " << axis_codes(header.affine) << "\n  affine  ";
  for (int row = 0; row < 3; ++row) {
    if (row > 0) out << "          ";
    for (int column = 0; column < 4; ++column) out << ' ' << std::setw(11) << header.affine(row, column);
    out << "\n" << (row < 2 ? "" : "  type     ");
  }
  out << header.type;
  if (header.scaled()) out << ", scaled by " << header.slope() << " and shifted by " << header.intercept();
  out << "\n  values   ";
  if (std::isnan(info.min))
    out << "none is finite";
  else
    out << info.min << " to " << info.max << ", mean " << info.mean;
  out << "\n  NaN " << info.nan << ", infinite " << info.inf << "\n";
}

/// `ivado info [--json] FILE…`: describes each file on `out`; what is odd about it goes to `err` as a warning.
///
/// A file that cannot be used: its error on `err`, and the other files still follow.
/// @param json  one JSON object a line instead of text
/// @return      exit status: 0, or 3 where a file could not be used
[[nodiscard]] inline int run_info(std::span<const std::string> files, bool json, std::ostream& out, std::ostream& err) {
  int status = 0;
  for (const auto& file : files) {
    try {
      const ImageInfo info = read_image_info(file);
      if (json)
        out << to_json(info).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
      else
        print_info(info, out);
      for (const auto& warning : info.header.warnings) err << "warning: " << file << ": " << warning << "\n";
    } catch (const Error& fault) {
      err << "error: " << fault.what() << "\n";
      status = 3;
    }
  }
  return status;
}

}  // namespace ivado
