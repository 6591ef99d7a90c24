// A volume of computed values as a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <ivado/data/volume_io.hpp>
#include <string>
#include <utility>

namespace tests {

/// Writes a volume whose voxel n, in the order (i, j, k), is `value(n)`; voxels of 1 mm. Makes the folder.
template <class Value>
void write_values(const std::filesystem::path& path, const ivado::Shape& shape, const Value& value) {
  ivado::Array<float> voxels(shape);
  for (std::int64_t n = 0; n < voxels.size(); ++n) voxels[n] = static_cast<float>(value(n));
  std::filesystem::create_directories(path.parent_path());
  ivado::write_volume(path.string(), std::as_const(voxels).view(), ivado::Geometry{shape}, ivado::StoredType::float32);
}

}  // namespace tests
