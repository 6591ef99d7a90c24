// For tests: NIfTI files made byte by byte from the standard's tables, a folder that goes away, and where the test data
// lie.
#pragma once

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

/// A folder of its own for a test, removed at the end.
class Folder {
 public:
  Folder() {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() /
            ("ivado-test-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The folder `name` ("data", "golden") of what the project shares; empty where it is not on this machine.
inline std::filesystem::path shared_folder(const std::string& name, const char* variable) {
  std::filesystem::path folder;
  if (const char* given = std::getenv(variable); given != nullptr) folder = given;
#ifdef IVADO_SOURCE_DIR
  else
    folder = std::filesystem::path(IVADO_SOURCE_DIR) / ".." / "shared" / name;
#endif
  return std::filesystem::is_directory(folder) ? folder : std::filesystem::path();
}
inline std::filesystem::path data_folder() { return shared_folder("data", "IVADO_DATA_DIR"); }
inline std::filesystem::path golden_folder() { return shared_folder("golden", "IVADO_GOLDEN_DIR"); }

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error("cannot write " + path);
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// One gzip member.
inline std::string gzip(const std::string& bytes, int level = 6) {
  z_stream stream{};
  deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// The fields of a NIfTI header and the bytes that they make. The default is a good int16 image of 2 x 3 x 4 voxels.
struct Nifti {
  int version = 1;  ///< 0: Analyze 7.5
  bool big_endian = false;
  bool pair = false;
  std::int32_t sizeof_hdr = 0;  ///< 0: what the version asks for
  std::string magic;            ///< empty: what version and pair ask for
  std::array<std::int64_t, 8> dim{3, 2, 3, 4, 1, 1, 1, 1};
  int intent = 0;
  int datatype = 4;
  int bitpix = 16;
  std::array<double, 8> pixdim{1, 2, 1.5, 3, 1, 1, 1, 1};
  double vox_offset = -1;  ///< -1: what version and pair ask for
  double slope = 0;
  double inter = 0;
  int units = 2;
  int qform = 0;
  int sform = 1;
  std::array<double, 3> quaternion{0, 0, 0};
  std::array<double, 3> offset{0, 0, 0};
  std::array<double, 12> srow{2, 0, 0, -13, 0, 1.5, 0, -20, 0, 0, 3, 7};
  std::string voxels = std::string(48, '\1');

  [[nodiscard]] std::int64_t header_bytes() const { return version == 2 ? 540 : 348; }

  [[nodiscard]] std::string header() const {
    std::string bytes(static_cast<std::size_t>(header_bytes()), '\0');
    const auto put = [&](std::size_t at, auto value) {
      std::array<char, sizeof(value)> raw;
      std::memcpy(raw.data(), &value, sizeof(value));
      if (big_endian != (std::endian::native == std::endian::big)) std::reverse(raw.begin(), raw.end());
      std::copy(raw.begin(), raw.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    };
    put(0, sizeof_hdr != 0 ? sizeof_hdr : static_cast<std::int32_t>(header_bytes()));
    const double start = vox_offset != -1       ? vox_offset
                         : pair || version == 0 ? 0
                                                : static_cast<double>(header_bytes() + 4);
    std::string mark = magic;
    if (mark.empty() && version > 0) mark = std::string(pair ? "ni" : "n+") + (version == 2 ? "2" : "1");
    if (version == 2) {
      std::copy(mark.begin(), mark.end(), bytes.begin() + 4);
      put(12, static_cast<std::int16_t>(datatype));
      put(14, static_cast<std::int16_t>(bitpix));
      for (std::size_t i = 0; i < 8; ++i) put(16 + 8 * i, dim[i]), put(104 + 8 * i, pixdim[i]);
      put(168, static_cast<std::int64_t>(start));
      put(176, slope), put(184, inter);
      put(344, static_cast<std::int32_t>(qform)), put(348, static_cast<std::int32_t>(sform));
      for (std::size_t i = 0; i < 3; ++i) put(352 + 8 * i, quaternion[i]), put(376 + 8 * i, offset[i]);
      for (std::size_t i = 0; i < 12; ++i) put(400 + 8 * i, srow[i]);
      put(500, static_cast<std::int32_t>(units)), put(504, static_cast<std::int32_t>(intent));
    } else {
      std::copy(mark.begin(), mark.end(), bytes.begin() + 344);
      for (std::size_t i = 0; i < 8; ++i)
        put(40 + 2 * i, static_cast<std::int16_t>(dim[i])), put(76 + 4 * i, static_cast<float>(pixdim[i]));
      put(68, static_cast<std::int16_t>(intent)), put(70, static_cast<std::int16_t>(datatype)),
          put(72, static_cast<std::int16_t>(bitpix));
      put(108, static_cast<float>(start)), put(112, static_cast<float>(slope)), put(116, static_cast<float>(inter));
      bytes[123] = static_cast<char>(units);
      put(252, static_cast<std::int16_t>(qform)), put(254, static_cast<std::int16_t>(sform));
      for (std::size_t i = 0; i < 3; ++i)
        put(256 + 4 * i, static_cast<float>(quaternion[i])), put(268 + 4 * i, static_cast<float>(offset[i]));
      for (std::size_t i = 0; i < 12; ++i) put(280 + 4 * i, static_cast<float>(srow[i]));
    }
    return bytes;
  }
  /// A whole single file.
  [[nodiscard]] std::string bytes() const {
    std::string all = header();
    all.resize(
        vox_offset > 0 ? std::max(all.size(), static_cast<std::size_t>(std::min(vox_offset, 1e6))) : all.size() + 4,
        '\0');
    return all + voxels;
  }
  /// Numbers as voxels, in the byte order of the file.
  template <class T>
  void set_voxels(const std::vector<T>& values) {
    voxels.clear();
    for (const T value : values) {
      std::array<char, sizeof(T)> raw;
      std::memcpy(raw.data(), &value, sizeof(T));
      if (big_endian != (std::endian::native == std::endian::big)) std::reverse(raw.begin(), raw.end());
      voxels.append(raw.begin(), raw.end());
    }
    bitpix = 8 * static_cast<int>(sizeof(T));
  }
};

}  // namespace test
