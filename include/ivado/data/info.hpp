// `ivado info`: what is in an image file. No ITK, no LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iomanip>
#include <limits>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../eigen.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "array.hpp"
#include "bids_index.hpp"
#include "geometry.hpp"
#include "nifti_header.hpp"
#include "raster_io.hpp"

namespace ivado {

/// What `ivado info` tells of an image: its header, and its values after scaling, over all volumes.
struct ImageInfo {
  std::string path;                 ///< as it was given
  std::vector<std::int64_t> shape;  ///< as stored; of a picture rows, columns, slices
  std::optional<Eigen::Matrix4d>
      affine;                         ///< voxel to world, RAS+, mm; none for a picture whose pixel size is not known
  std::string type;                   ///< number type on disk: "int16", "float32", …
  double slope = 1;                   ///< value = stored × slope + intercept
  double intercept = 0;               ///< see there
  double min = std::nan("");          ///< over finite voxels; NaN where there is none
  double max = std::nan("");          ///< over finite voxels; NaN where there is none
  double mean = std::nan("");         ///< over finite voxels; NaN where there is none
  std::int64_t nan = 0;               ///< number of voxels that are NaN
  std::int64_t inf = 0;               ///< number of voxels that are infinite, of both signs
  int bits = 0;                       ///< pictures: of a sample in the file; else 0
  std::vector<double> channel_min;    ///< pictures: the least number of each channel; min, max, mean are those of grey
  std::vector<double> channel_max;    ///< pictures: the largest number of each channel
  std::vector<std::string> warnings;  ///< what is odd but can be read, one sentence each

  /// Lengths of a voxel in mm; nothing where there is no affine.
  [[nodiscard]] IVADO_INLINE std::optional<std::array<double, 3>> spacing_mm() const {
    if (!affine) return std::nullopt;
    return Geometry{.shape = {}, .affine = *affine}.spacing_mm();
  }
};

namespace detail {

/// Least, largest and mean of the finite among numbers that come bit by bit.
class Statistics {
 public:
  template <class Stored>
  void add(const Stored* stored, std::int64_t count, ImageInfo& info) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = static_cast<double>(stored[i]) * info.slope + info.intercept;
      if constexpr (std::is_floating_point_v<Stored>) {
        if (!std::isfinite(value)) {
          (std::isnan(value) ? info.nan : info.inf) += 1;
          continue;
        }
      }
      low_ = std::min(low_, value);
      high_ = std::max(high_, value);
      sum += value;
      ++finite_;
    }
    total_ += sum;
  }
  IVADO_INLINE void give(ImageInfo& info) const {
    if (finite_ == 0) return;
    info.min = low_;
    info.max = high_;
    info.mean = total_ / static_cast<double>(finite_);
  }

 private:
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  double total_ = 0;
  std::int64_t finite_ = 0;
};

template <class Stored>
void add_statistics(VoxelStream& stream, std::int64_t voxels, ImageInfo& info) {
  constexpr std::int64_t chunk = 1 << 16;
  Array<Stored> buffer(Shape{std::min(chunk, voxels)});
  Statistics statistics;
  for (std::int64_t begin = 0; begin < voxels; begin += chunk) {
    const std::int64_t count = std::min(chunk, voxels - begin);
    stream.read(buffer.data(), count);
    statistics.add(buffer.data(), count, info);
  }
  statistics.give(info);
}

[[nodiscard]] IVADO_INLINE ImageInfo read_raster_info(const std::string& path) {
  ImageInfo info;
  info.path = path;
  Raster raster = read_raster(path);
  info.shape = {raster.rows, raster.columns, raster.pages};
  info.type = raster.type;
  info.bits = raster.bits;
  info.warnings = std::move(raster.warnings);
  info.channel_min.assign(static_cast<std::size_t>(raster.channels), std::nan(""));
  info.channel_max = info.channel_min;
  with_stored_type(raster.datatype, [&](auto number) {
    using Stored = decltype(number);
    const auto* samples = reinterpret_cast<const Stored*>(raster.bytes.data());
    const std::int64_t pixels = raster.pages * raster.rows * raster.columns;
    Statistics statistics;
    for (std::int64_t i = 0; i < pixels; ++i) {
      for (int c = 0; c < raster.channels; ++c) {
        const auto value = static_cast<double>(samples[i * raster.channels + c]);
        auto& low = info.channel_min[static_cast<std::size_t>(c)];
        auto& high = info.channel_max[static_cast<std::size_t>(c)];
        low = std::fmin(low, value);
        high = std::fmax(high, value);
      }
      const double grey = raster.grey(samples + i * raster.channels);
      statistics.add(&grey, 1, info);
    }
    statistics.give(info);
  });
  try {
    const auto size = pixel_size_mm(inherited_sidecar(path), path);
    info.affine = Eigen::Vector4d(size[0], size[1], size[2], 1).asDiagonal();
  } catch (const Error& fault) {
    info.warnings.emplace_back(fault.what());
  }
  return info;
}

}  // namespace detail

/// Reads an image once, from end to end: NIfTI in little memory, pictures (PNG, TIFF, JPEG) as a whole. The pixel size
/// of a picture is looked for in its sidecars, see `inherited_sidecar`.
/// @throws Error (data) if it cannot be used
[[nodiscard]] IVADO_INLINE ImageInfo read_image_info(const std::string& path) {
  if (is_raster(path)) return detail::read_raster_info(path);
  NiftiHeader header = read_nifti_header(path);
  ImageInfo info;
  info.path = path;
  info.shape = header.shape;
  info.affine = header.affine;
  info.type = header.type;
  info.slope = header.slope();
  info.intercept = header.intercept();
  detail::VoxelStream stream(header);
  detail::with_stored_type(
      header.datatype, [&](auto number) { detail::add_statistics<decltype(number)>(stream, header.voxels(), info); });
  info.warnings = std::move(header.warnings);
  for (auto& odd : stream.finish()) info.warnings.push_back(std::move(odd));
  return info;
}

/// One object: file shape spacing_mm axcodes affine type min max mean nan inf, and for pictures bits channels
/// channel_min channel_max. Shape and affine as stored, the affine from voxels to RAS+; spacing, codes and affine are
/// null for a picture without pixel size; min, max and mean are null where no voxel is finite.
[[nodiscard]] IVADO_INLINE Json to_json(const ImageInfo& info) {
  const auto number = [](double value) { return std::isnan(value) ? Json(nullptr) : Json(value); };
  Json affine = nullptr;
  if (info.affine) {
    affine = Json::array();
    for (int row = 0; row < 4; ++row) {
      const Eigen::RowVector4d r = info.affine->row(row);
      affine.push_back(std::array{r[0], r[1], r[2], r[3]});
    }
  }
  const auto spacing = info.spacing_mm();
  Json out{{"file", info.path},
           {"shape", info.shape},
           {"spacing_mm", spacing ? Json(*spacing) : Json(nullptr)},
           {"axcodes", info.affine ? Json(axis_codes(*info.affine)) : Json(nullptr)},
           {"affine", affine},
           {"type", info.type},
           {"min", number(info.min)},
           {"max", number(info.max)},
           {"mean", number(info.mean)},
           {"nan", info.nan},
           {"inf", info.inf}};
  if (info.bits == 0) return out;
  out["bits"] = info.bits;
  out["channels"] = info.channel_min.size();
  for (const auto& [key, values] :
       {std::pair{"channel_min", &info.channel_min}, std::pair{"channel_max", &info.channel_max}}) {
    out[key] = Json::array();
    for (const double value : *values) out[key].push_back(number(value));
  }
  return out;
}

/// The same for people.
IVADO_INLINE void print_info(const ImageInfo& info, std::ostream& out) {
  out << info.path << "\n  shape    ";
  for (std::size_t axis = 0; axis < info.shape.size(); ++axis) out << (axis > 0 ? "x" : "") << info.shape[axis];
  if (info.affine) {
    const auto spacing = *info.spacing_mm();
    out << "\n  spacing  " << spacing[0] << " x " << spacing[1] << " x " << spacing[2] << " mm\n  axes     "
        << axis_codes(*info.affine) << "\n  affine  ";
    for (int row = 0; row < 3; ++row) {
      if (row > 0) out << "          ";
      for (int column = 0; column < 4; ++column) out << ' ' << std::setw(11) << (*info.affine)(row, column);
      out << "\n" << (row < 2 ? "" : "  type     ");
    }
  } else {
    out << "\n  spacing  not known\n  type     ";
  }
  out << info.type;
  if (info.bits > 0) {
    const std::size_t channels = info.channel_min.size();
    out << ", " << info.bits << (info.bits == 1 ? " bit, " : " bits, ") << (channels < 3 ? "grey" : "colour")
        << (channels == 2 || channels == 4 ? " and alpha" : "");
  }
  if (info.slope != 1 || info.intercept != 0)
    out << ", scaled by " << info.slope << " and shifted by " << info.intercept;
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
[[nodiscard]] IVADO_INLINE int run_info(std::span<const std::string> files, bool json, std::ostream& out,
                                        std::ostream& err) {
  int status = 0;
  for (const auto& file : files) {
    try {
      const ImageInfo info = read_image_info(file);
      if (json)
        out << to_json(info).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
      else
        print_info(info, out);
      for (const auto& warning : info.warnings) err << "warning: " << file << ": " << warning << "\n";
    } catch (const Error& fault) {
      err << "error: " << fault.what() << "\n";
      status = 3;
    }
  }
  return status;
}

}  // namespace ivado
