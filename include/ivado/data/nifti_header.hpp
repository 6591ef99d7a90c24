// The header of a NIfTI-1, NIfTI-2 or Analyze 7.5 image, checked before anything else sees the file. No ITK, no
// LibTorch.
//
// Sources: the header nifti1.h (R. W. Cox and others, 2004), the header nifti2.h (2011), the Analyze 7.5 file format
// (Mayo Clinic), RFC 1951 and 1952 (deflate and gzip).
#pragma once

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../eigen.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "geometry.hpp"

namespace ivado {

/// What the header of an image says, after it has been checked against the file.
///
/// Voxels lie with the first axis running fastest, from `voxel_offset` on in `data_path` (behind decompression
/// where `gzip`), in the byte order `big_endian`.
struct NiftiHeader {
  /// The kind of file.
  enum class Container {
    nifti1,       ///< .nii, .nii.gz
    nifti1_pair,  ///< .hdr and .img
    nifti2,       ///< .nii, .nii.gz with 64-bit dimensions
    nifti2_pair,  ///< .hdr and .img with 64-bit dimensions
    analyze,      ///< .hdr and .img without magic and without orientation
  };
  /// Where the affine came from.
  enum class AffineSource { sform, qform, voxel_sizes };

  std::string path;                           ///< as it was given
  std::string header_path;                    ///< the file that holds the header: `path`, or the .hdr of a pair
  std::string data_path;                      ///< the file that holds the voxels: `path`, or the .img of a pair
  Container container = Container::nifti1;    ///< kind of file
  bool gzip = false;                          ///< `data_path` is compressed (by its content, whatever its name)
  bool big_endian = false;                    ///< byte order of header and voxels
  std::vector<std::int64_t> shape;            ///< extents as stored: up to 7, of which those behind the 4th are 1
  std::string type;                           ///< number type on disk: "int16", "float32", …
  int datatype = 0;                           ///< its code in the NIfTI standard
  std::int64_t bytes_per_voxel = 0;           ///< its size
  std::int64_t voxel_offset = 0;              ///< place of the first voxel, in bytes
  double scl_slope = 0;                       ///< as stored
  double scl_inter = 0;                       ///< as stored
  int qform_code = 0;                         ///< > 0: the header holds a rotation and an offset
  int sform_code = 0;                         ///< > 0: the header holds an affine
  std::array<double, 3> voxel_size{1, 1, 1};  ///< pixdim as stored, without its sign, in mm
  AffineSource affine_source = AffineSource::voxel_sizes;  ///< which of them `affine` is
  Eigen::Matrix4d affine = Eigen::Matrix4d::Identity();    ///< voxel to world, RAS+, mm
  std::vector<std::string> warnings;                       ///< what is odd but can be read, one sentence each

  /// Number of voxels of all volumes.
  [[nodiscard]] IVADO_INLINE std::int64_t voxels() const noexcept {
    std::int64_t product = 1;
    for (const auto extent : shape) product *= extent;
    return product;
  }
  /// Size of all voxels on disk (behind decompression).
  [[nodiscard]] std::int64_t bytes() const noexcept { return voxels() * bytes_per_voxel; }
  /// Number of volumes: the extent of the fourth axis, or 1.
  [[nodiscard]] std::int64_t volumes() const noexcept { return shape.size() > 3 ? shape[3] : 1; }
  /// True if stored numbers must be scaled: value = stored × slope + intercept. A slope of 0 or one that is not
  /// finite means none (nifti1.h); so do slope 1 and intercept 0.
  [[nodiscard]] bool scaled() const noexcept { return slope() != 1 || intercept() != 0; }
  /// The slope that counts: 1 where there is none.
  [[nodiscard]] double slope() const noexcept { return has_slope() ? scl_slope : 1; }
  /// The intercept that counts: 0 where there is none.
  [[nodiscard]] double intercept() const noexcept { return has_slope() && std::isfinite(scl_inter) ? scl_inter : 0; }
  /// The grid of one volume. A header of two dimensions is one slice.
  [[nodiscard]] IVADO_INLINE Geometry geometry() const {
    Geometry grid;
    for (std::size_t axis = 0; axis < 3; ++axis) grid.shape.push_back(axis < shape.size() ? shape[axis] : 1);
    grid.affine = affine;
    return grid;
  }
  /// As people write it: "128x96x24x2".
  [[nodiscard]] IVADO_INLINE std::string shape_text() const {
    std::string out;
    for (const auto extent : shape) out += (out.empty() ? "" : "x") + std::to_string(extent);
    return out;
  }

 private:
  [[nodiscard]] bool has_slope() const noexcept { return std::isfinite(scl_slope) && scl_slope != 0; }
};

namespace detail {

/// A number type of the NIfTI standard.
struct NiftiType {
  int code;
  std::string_view name;
  int bytes;
  bool readable;
};

/// Every number type of nifti1.h, with those that ivado reads.
inline constexpr std::array nifti_types{
    NiftiType{2, "uint8", 1, true},           NiftiType{4, "int16", 2, true},
    NiftiType{8, "int32", 4, true},           NiftiType{16, "float32", 4, true},
    NiftiType{64, "float64", 8, true},        NiftiType{256, "int8", 1, true},
    NiftiType{512, "uint16", 2, true},        NiftiType{768, "uint32", 4, true},
    NiftiType{1024, "int64", 8, true},        NiftiType{1280, "uint64", 8, true},
    NiftiType{1, "binary", 0, false},         NiftiType{32, "complex64", 8, false},
    NiftiType{128, "rgb24", 3, false},        NiftiType{1536, "float128", 16, false},
    NiftiType{1792, "complex128", 16, false}, NiftiType{2048, "complex256", 32, false},
    NiftiType{2304, "rgba32", 4, false}};

/// Calls `function` with a number of the C++ type that stands for a readable NIfTI code.
template <class Function>
decltype(auto) with_stored_type(int datatype, const Function& function) {
  switch (datatype) {
    case 2:
      return function(std::uint8_t{});
    case 4:
      return function(std::int16_t{});
    case 8:
      return function(std::int32_t{});
    case 64:
      return function(double{});
    case 256:
      return function(std::int8_t{});
    case 512:
      return function(std::uint16_t{});
    case 768:
      return function(std::uint32_t{});
    case 1024:
      return function(std::int64_t{});
    case 1280:
      return function(std::uint64_t{});
    default:
      return function(float{});
  }
}

/// Reverses the bytes of each element.
IVADO_INLINE void swap_bytes(std::byte* bytes, std::size_t size, std::size_t element) noexcept {
  const auto swap = [&]<std::size_t N>() {
    for (std::size_t i = 0; i + N <= size; i += N) std::reverse(bytes + i, bytes + i + N);
  };
  if (element == 2) swap.template operator()<2>();
  if (element == 4) swap.template operator()<4>();
  if (element == 8) swap.template operator()<8>();
}

/// The bytes of a file in order, decompressed where the file is gzip (told by its content). Several gzip members one
/// after the other are one stream; check sums and lengths are verified by zlib at the end of each.
class ByteSource {
 public:
  /// Opens the file.
  /// @param doing  for messages, such as "reading scan.nii.gz"
  /// @throws Error (data) if it is missing, no regular file, empty, or may not be read
  IVADO_INLINE ByteSource(const std::string& path, std::string doing) : doing_(std::move(doing)) {
    const std::string file = doing_.ends_with(path) ? "the file" : path;
    std::error_code fault;
    const auto status = std::filesystem::status(path, fault);
    if (!std::filesystem::exists(status)) throw data_error(doing_, file + " does not exist", "check the path");
    if (std::filesystem::is_directory(status)) throw data_error(doing_, "it is a folder", "name the image in it");
    if (!std::filesystem::is_regular_file(status))
      throw data_error(doing_, file + " is not a regular file", "copy it to a file");
    file_bytes_ = static_cast<std::int64_t>(std::filesystem::file_size(path, fault));
    file_.reset(std::fopen(path.c_str(), "rb"));
    if (!file_)
      throw data_error(doing_, file + " cannot be opened (" + std::strerror(errno) + ")", "check its permissions");
    if (file_bytes_ == 0) throw data_error(doing_, file + " is empty (0 bytes)", "get the file again");
    std::setvbuf(file_.get(), nullptr, _IONBF, 0);
    std::array<unsigned char, 2> first{};
    const bool whole = std::fread(first.data(), 1, 2, file_.get()) == 2;
    std::rewind(file_.get());
    gzip_ = whole && first[0] == 0x1f && first[1] == 0x8b;
    if (!gzip_) return;
    input_.resize(std::size_t{1} << 16);
    stream_.reset(new z_stream{});
    if (inflateInit2(stream_.get(), 15 + 16) != Z_OK) throw internal_error(doing_, "zlib cannot be initialised");
    inflating_ = true;
  }
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  ~ByteSource() {
    if (inflating_) inflateEnd(stream_.get());
  }

  /// True if the file is compressed.
  [[nodiscard]] bool gzip() const noexcept { return gzip_; }
  /// Size of the file on disk.
  [[nodiscard]] std::int64_t file_bytes() const noexcept { return file_bytes_; }
  /// True if a compressed stream stopped in its midst.
  [[nodiscard]] bool truncated() const noexcept { return truncated_; }
  /// Bytes of the file behind the last gzip member.
  [[nodiscard]] std::int64_t garbage() const noexcept { return garbage_; }

  /// Reads up to `size` bytes; fewer only where the file ends.
  /// @throws Error (data) if the compressed stream is corrupt
  IVADO_INLINE std::size_t read(void* to, std::size_t size) {
    if (!gzip_) return std::fread(to, 1, size, file_.get());
    std::size_t done = 0;
    while (done < size && !ended_) {
      if (stream_->avail_in == 0 && !fill()) {
        truncated_ = ended_ = true;
        break;
      }
      const auto step = static_cast<uInt>(std::min<std::size_t>(size - done, std::size_t{1} << 30));
      stream_->next_out = static_cast<Bytef*>(to) + done;
      stream_->avail_out = step;
      const int result = inflate(stream_.get(), Z_NO_FLUSH);
      done += step - stream_->avail_out;
      if (result == Z_STREAM_END)
        next_member();
      else if (result != Z_OK && result != Z_BUF_ERROR)
        throw data_error(
            doing_, std::string("the gzip stream is corrupt (") + (stream_->msg ? stream_->msg : "data error") + ")",
            "get the file again");
    }
    return done;
  }
  /// Reads and forgets up to `size` bytes; fewer only where the file ends.
  IVADO_INLINE std::int64_t skip(std::int64_t size) {
    std::array<std::byte, 4096> bucket;
    std::int64_t done = 0;
    while (done < size) {
      const std::size_t got =
          read(bucket.data(), static_cast<std::size_t>(std::min<std::int64_t>(size - done, bucket.size())));
      if (got == 0) break;
      done += static_cast<std::int64_t>(got);
    }
    return done;
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  /// Reads more of the compressed file.
  IVADO_INLINE bool fill() {
    stream_->next_in = input_.data();
    stream_->avail_in = static_cast<uInt>(std::fread(input_.data(), 1, input_.size(), file_.get()));
    consumed_ += stream_->avail_in;
    return stream_->avail_in > 0;
  }
  /// Behind the end of a gzip member: another one, the end of the file, or something else.
  IVADO_INLINE void next_member() {
    if (stream_->avail_in < 2) {
      // The two bytes that tell may lie on both sides of the end of the buffer.
      const uInt kept = stream_->avail_in;
      if (kept == 1) input_[0] = *stream_->next_in;
      const std::size_t more = std::fread(input_.data() + kept, 1, input_.size() - kept, file_.get());
      consumed_ += static_cast<std::int64_t>(more);
      stream_->next_in = input_.data();
      stream_->avail_in = kept + static_cast<uInt>(more);
    }
    if (stream_->avail_in >= 2 && stream_->next_in[0] == 0x1f && stream_->next_in[1] == 0x8b) {
      inflateReset(stream_.get());
      return;
    }
    ended_ = true;
    garbage_ = file_bytes_ - consumed_ + stream_->avail_in;
  }

  std::string doing_;
  std::unique_ptr<std::FILE, Close> file_;
  std::unique_ptr<z_stream> stream_;
  std::vector<Bytef> input_;
  std::int64_t file_bytes_ = 0;
  std::int64_t consumed_ = 0;
  std::int64_t garbage_ = 0;
  bool gzip_ = false;
  bool inflating_ = false;
  bool ended_ = false;
  bool truncated_ = false;
};

/// The voxels of an image as stored, one after the other, in the byte order of this machine.
class VoxelStream {
 public:
  /// Stands before the first voxel.
  IVADO_INLINE explicit VoxelStream(const NiftiHeader& header)
      : header_(header), source_(header.data_path, "reading " + header.path) {
    source_.skip(header.voxel_offset);
  }
  /// Reads the next `count` voxels.
  /// @throws Error (data) if the file ends before or is corrupt
  IVADO_INLINE void read(void* to, std::int64_t count) {
    const std::int64_t wanted = count * header_.bytes_per_voxel;
    const auto got = static_cast<std::int64_t>(source_.read(to, static_cast<std::size_t>(wanted)));
    done_ += got;
    if (got < wanted)
      throw data_error("reading " + header_.path,
                       detail::text("the file is truncated: it ends after ", done_, " of the ", header_.bytes(),
                                    " bytes of voxels that its header gives"),
                       "get the file again");
    if (header_.big_endian != (std::endian::native == std::endian::big))
      swap_bytes(static_cast<std::byte*>(to), static_cast<std::size_t>(wanted),
                 static_cast<std::size_t>(header_.bytes_per_voxel));
  }
  /// To be called behind the last voxel: follows the file to its end, so that check sums are verified.
  /// @return  what is odd there, one sentence each
  /// @throws Error (data) if a check sum is wrong
  [[nodiscard]] IVADO_INLINE std::vector<std::string> finish() {
    if (!source_.gzip()) return {};
    constexpr std::int64_t limit = 1 << 20;
    const std::int64_t behind = source_.skip(limit);
    std::vector<std::string> odd;
    if (source_.truncated())
      odd.emplace_back("the gzip stream is truncated behind the voxels, its check sum is missing");
    if (behind > 0)
      odd.push_back(detail::text(behind == limit ? "over " : "", behind, " bytes behind the voxels are ignored"));
    if (source_.garbage() > 0)
      odd.push_back(detail::text(source_.garbage(), " trailing garbage bytes behind the gzip stream are ignored"));
    return odd;
  }

 private:
  const NiftiHeader& header_;
  ByteSource source_;
  std::int64_t done_ = 0;
};

/// Reads numbers out of the bytes of a header.
class HeaderBytes {
 public:
  HeaderBytes(const std::byte* bytes, bool swap) : bytes_(bytes), swap_(swap) {}
  template <class T>
  [[nodiscard]] T get(std::size_t offset) const {
    std::array<std::byte, sizeof(T)> raw;
    std::memcpy(raw.data(), bytes_ + offset, sizeof(T));
    if (swap_) std::reverse(raw.begin(), raw.end());
    return std::bit_cast<T>(raw);
  }

 private:
  const std::byte* bytes_;
  bool swap_;
};

/// The fields that both versions of NIfTI have, as stored.
struct NiftiFields {
  std::array<std::int64_t, 8> dim{};
  int intent = 0;
  int datatype = 0;
  int bitpix = 0;
  std::array<double, 8> pixdim{};
  double vox_offset = 0;
  double slope = 0;
  double inter = 0;
  int units = 0;
  int qform = 0;
  int sform = 0;
  std::array<double, 3> quaternion{};
  std::array<double, 3> offset{};
  Eigen::Matrix4d srow = Eigen::Matrix4d::Identity();
};

[[nodiscard]] IVADO_INLINE NiftiFields nifti1_fields(const HeaderBytes& h) {
  NiftiFields f;
  for (std::size_t i = 0; i < 8; ++i) f.dim[i] = h.get<std::int16_t>(40 + 2 * i);
  f.intent = h.get<std::int16_t>(68);
  f.datatype = h.get<std::int16_t>(70);
  f.bitpix = h.get<std::int16_t>(72);
  for (std::size_t i = 0; i < 8; ++i) f.pixdim[i] = h.get<float>(76 + 4 * i);
  f.vox_offset = h.get<float>(108);
  f.slope = h.get<float>(112);
  f.inter = h.get<float>(116);
  f.units = h.get<std::uint8_t>(123);
  f.qform = h.get<std::int16_t>(252);
  f.sform = h.get<std::int16_t>(254);
  for (std::size_t i = 0; i < 3; ++i) f.quaternion[i] = h.get<float>(256 + 4 * i);
  for (std::size_t i = 0; i < 3; ++i) f.offset[i] = h.get<float>(268 + 4 * i);
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 4; ++column)
      f.srow(row, column) = h.get<float>(280 + 4 * static_cast<std::size_t>(4 * row + column));
  return f;
}

[[nodiscard]] IVADO_INLINE NiftiFields nifti2_fields(const HeaderBytes& h) {
  NiftiFields f;
  f.datatype = h.get<std::int16_t>(12);
  f.bitpix = h.get<std::int16_t>(14);
  for (std::size_t i = 0; i < 8; ++i) f.dim[i] = h.get<std::int64_t>(16 + 8 * i);
  for (std::size_t i = 0; i < 8; ++i) f.pixdim[i] = h.get<double>(104 + 8 * i);
  f.vox_offset = static_cast<double>(h.get<std::int64_t>(168));
  f.slope = h.get<double>(176);
  f.inter = h.get<double>(184);
  f.qform = h.get<std::int32_t>(344);
  f.sform = h.get<std::int32_t>(348);
  for (std::size_t i = 0; i < 3; ++i) f.quaternion[i] = h.get<double>(352 + 8 * i);
  for (std::size_t i = 0; i < 3; ++i) f.offset[i] = h.get<double>(376 + 8 * i);
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 4; ++column)
      f.srow(row, column) = h.get<double>(400 + 8 * static_cast<std::size_t>(4 * row + column));
  f.units = h.get<std::int32_t>(500);
  f.intent = h.get<std::int32_t>(504);
  return f;
}

/// The rotation of a quaternion given by its last three numbers (b, c, d); the first is a = √(1 - b² - c² - d²).
/// Formula of nifti1.h, method 2. Where rounding makes b² + c² + d² larger than 1 it is scaled back to 1.
[[nodiscard]] IVADO_INLINE Eigen::Matrix3d quaternion_rotation(double b, double c, double d) {
  double a = 1 - (b * b + c * c + d * d);
  if (a < 1e-7) {
    const double length = std::sqrt(b * b + c * c + d * d);
    a = 0;
    b /= length;
    c /= length;
    d /= length;
  } else {
    a = std::sqrt(a);
  }
  Eigen::Matrix3d rotation;
  rotation << a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c),  //
      2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b),          //
      2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c;
  return rotation;
}

/// True if the three axes of an affine are of some length and span the space.
[[nodiscard]] IVADO_INLINE bool spans_space(const Eigen::Matrix4d& affine) {
  Eigen::Matrix3d axes = affine.topLeftCorner<3, 3>();
  if (!affine.allFinite()) return false;
  for (int column = 0; column < 3; ++column) {
    const double length = axes.col(column).norm();
    if (!(length > 0) || !std::isfinite(length)) return false;
    axes.col(column) /= length;
  }
  return std::abs(axes.determinant()) > 1e-6;
}

/// The rotation (or rotation and reflection) nearest to the axes of an affine: its directions' polar decomposition.
[[nodiscard]] IVADO_INLINE Eigen::Matrix3d nearest_rotation(const Eigen::Matrix4d& affine) {
  Eigen::Matrix3d directions = affine.topLeftCorner<3, 3>();
  directions.colwise().normalize();
  const Eigen::JacobiSVD<Eigen::Matrix3d> svd(directions, Eigen::ComputeFullU | Eigen::ComputeFullV);
  return svd.matrixU() * svd.matrixV().transpose();
}

[[nodiscard]] IVADO_INLINE bool ends_with_any(const std::string& text, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return text.ends_with(end); });
}

[[nodiscard]] IVADO_INLINE std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

/// A path whose last four characters (in front of an optional ".gz") are replaced by those of the other half of a pair,
/// with ".gz" or without, whichever exists; nothing where neither does.
[[nodiscard]] IVADO_INLINE std::optional<std::string> other_half(const std::string& path, std::string_view extension) {
  std::string stem = path;
  if (lower_case(stem).ends_with(".gz")) stem.resize(stem.size() - 3);
  const bool upper = stem.size() > 3 && stem[stem.size() - 3] >= 'A' && stem[stem.size() - 3] <= 'Z';
  stem.resize(stem.size() - 4);
  std::string end(extension);
  if (upper)
    for (char& c : end)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  std::error_code ignored;
  for (const char* gz : {"", ".gz"})
    if (std::filesystem::exists(stem + end + gz, ignored)) return stem + end + gz;
  return std::nullopt;
}

/// The four bytes of a magic as text that can be printed.
[[nodiscard]] IVADO_INLINE std::string printable(const std::byte* bytes, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) {
    const auto c = std::to_integer<unsigned char>(bytes[i]);
    if (c == 0) break;
    out += c >= 32 && c < 127 ? static_cast<char>(c) : '?';
  }
  return out;
}

inline constexpr std::string_view readable_formats =
    "ivado reads NIfTI-1 and NIfTI-2 (.nii, .nii.gz, pairs of .hdr and .img) and Analyze 7.5";

/// Throws for a file whose name says that it is none of the formats that are read.
IVADO_INLINE void check_extension(const std::string& path) {
  const std::string name = lower_case(path);
  if (ends_with_any(name, {".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"})) return;
  const std::string doing = "reading " + path;
  const std::string formats(readable_formats);
  if (ends_with_any(name, {".mgz", ".mgh"}))
    throw data_error(doing, "the FreeSurfer format MGH/MGZ is not supported",
                     "convert it to NIfTI (mri_convert); " + formats);
  if (ends_with_any(name, {".png", ".tif", ".tiff", ".tf2", ".tf8", ".btf", ".jpg", ".jpeg"}))
    throw data_error(doing, "it is a picture, not a NIfTI file", "read it with read_image, which knows pixel sizes");
  if (ends_with_any(name, {".h5", ".hdf5"}))
    throw data_error(doing, "it is an HDF5 file, not an image", "load it with Hdf5Loader");
  throw data_error(doing, "its extension is none of a supported image format", formats);
}

/// Extents, type and place of the voxels.
IVADO_INLINE void check_layout(const NiftiFields& f, NiftiHeader& header, const std::string& doing) {
  constexpr std::string_view again = "get the file again or write it anew";
  if (f.intent >= 3000 && f.intent < 3100)
    throw data_error(doing, "it is a CIFTI-2 matrix, not an image volume",
                     "CIFTI is not supported; use an image volume");
  if (f.dim[0] < 1 || f.dim[0] > 7)
    throw data_error(doing, detail::text("the number of dimensions, dim[0], is ", f.dim[0], ", expected 1 to 7"),
                     std::string(again));
  for (std::size_t i = 1; i <= static_cast<std::size_t>(f.dim[0]); ++i) {
    if (f.dim[i] < 1)
      throw data_error(doing, detail::text("dimension ", i, " has the size ", f.dim[i], ", expected at least 1"),
                       std::string(again));
    header.shape.push_back(f.dim[i]);
  }
  std::size_t rank = header.shape.size();
  while (rank > 0 && header.shape[rank - 1] == 1) --rank;
  if (rank > 4)
    throw data_error(doing, detail::text("it has ", rank, " dimensions (", header.shape_text(), ")"),
                     "images of up to 4 dimensions are supported");
  if (header.shape.size() < 2)
    throw data_error(doing, "it has a single dimension (" + header.shape_text() + ")",
                     "an image needs two dimensions or more");

  header.datatype = f.datatype;
  const auto type =
      std::find_if(nifti_types.begin(), nifti_types.end(), [&](const auto& t) { return t.code == f.datatype; });
  if (type == nifti_types.end())
    throw data_error(doing, detail::text("its datatype code ", f.datatype, " is unknown"), std::string(again));
  header.type = type->name;
  if (!type->readable)
    throw data_error(doing, "its number type " + header.type + " is not supported",
                     "convert it to one number a voxel, of up to 64 bits");
  header.bytes_per_voxel = type->bytes;
  if (f.bitpix != 8 * type->bytes)
    header.warnings.push_back(detail::text("bitpix is ", f.bitpix, ", but the datatype ", header.type, " has ",
                                           8 * type->bytes, " bits: read as ", header.type));

  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 4;
  std::int64_t bytes = header.bytes_per_voxel;
  for (const auto extent : header.shape) {
    if (bytes > most / extent)
      throw data_error(doing, "its dimensions " + header.shape_text() + " are too large: their product overflows",
                       std::string(again));
    bytes *= extent;
  }

  const bool single =
      header.container == NiftiHeader::Container::nifti1 || header.container == NiftiHeader::Container::nifti2;
  const std::int64_t least = !single ? 0 : header.container == NiftiHeader::Container::nifti1 ? 352 : 544;
  if (!std::isfinite(f.vox_offset) || f.vox_offset != std::floor(f.vox_offset) || std::abs(f.vox_offset) > 1e15)
    throw data_error(doing, detail::text("its vox_offset is ", f.vox_offset, ", expected a whole number of bytes"),
                     std::string(again));
  header.voxel_offset = static_cast<std::int64_t>(f.vox_offset);
  if (single && header.voxel_offset == 0) {
    header.voxel_offset = least;
    header.warnings.push_back(detail::text("vox_offset is 0: the voxels are read from byte ", least, " on"));
  }
  if (header.voxel_offset < least)
    throw data_error(
        doing, detail::text("its vox_offset is ", header.voxel_offset, ", but the header takes ", least, " bytes"),
        std::string(again));
}

/// The data file's size against what the header promises.
IVADO_INLINE void check_size(std::int64_t file_bytes, NiftiHeader& header, const std::string& doing) {
  const std::int64_t needed = header.voxel_offset + header.bytes();
  const std::string wanted = detail::text(header.shape_text(), " voxels of ", header.type, " from byte ",
                                          header.voxel_offset, " on need ", needed, " bytes");
  if (header.gzip) {
    // Deflate's best is 258 bytes for two bits, a little over 1032 to 1 (RFC 1951); its block headers never make up for
    // more.
    constexpr std::int64_t best = 1033;
    if (needed / best > file_bytes)
      throw data_error(doing,
                       detail::text("the file is truncated or its dimensions are wrong: ", wanted, ", which ",
                                    file_bytes, " compressed bytes cannot hold"),
                       "get the file again");
    return;
  }
  if (file_bytes < needed)
    throw data_error(doing,
                     detail::text(file_bytes < header.voxel_offset ? "its vox_offset lies behind the end of the file: "
                                                                   : "the file is truncated: ",
                                  wanted, ", it has ", file_bytes),
                     "get the file again");
  if (file_bytes > needed)
    header.warnings.push_back(detail::text(file_bytes - needed, " bytes behind the voxels are ignored"));
}

/// The affine of the qform: rotation, voxel sizes, the sign in pixdim[0], offset (nifti1.h, method 2).
[[nodiscard]] IVADO_INLINE Eigen::Matrix4d qform_affine(const NiftiFields& f, const std::array<double, 3>& size) {
  const Eigen::Matrix3d rotation = quaternion_rotation(f.quaternion[0], f.quaternion[1], f.quaternion[2]);
  Eigen::Matrix4d affine = Eigen::Matrix4d::Identity();
  for (int axis = 0; axis < 3; ++axis) {
    affine.block<3, 1>(0, axis) = rotation.col(axis) * size[static_cast<std::size_t>(axis)];
    affine(axis, 3) = f.offset[static_cast<std::size_t>(axis)];
  }
  if (f.pixdim[0] < 0) affine.block<3, 1>(0, 2) *= -1;
  return affine;
}

/// Where the voxels are in the world.
IVADO_INLINE void check_geometry(const NiftiFields& f, NiftiHeader& header, const std::string& doing) {
  const bool analyze = header.container == NiftiHeader::Container::analyze;
  header.qform_code = analyze ? 0 : f.qform;
  header.sform_code = analyze ? 0 : f.sform;
  const int units = analyze ? 2 : f.units & 7;
  const double to_mm = units == 1 ? 1e3 : units == 3 ? 1e-3 : 1;
  if (to_mm != 1)
    header.warnings.push_back(units == 1 ? "its lengths are in metres: turned into mm"
                                         : "its lengths are in micrometres: turned into mm");

  const bool needs_size = header.sform_code <= 0;
  bool sizes_good = true;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    double size = f.pixdim[axis + 1];
    if (needs_size && size < 0)
      header.warnings.push_back(
          detail::text("the voxel size pixdim[", axis + 1, "] is ", size, ": its sign is ignored"));
    if (needs_size && size == 0 && axis >= header.shape.size()) size = 1;
    header.voxel_size[axis] = std::abs(size) * to_mm;
    const bool good = std::isfinite(size) && size != 0;
    sizes_good = sizes_good && good;
    if (needs_size && !good)
      throw data_error(doing,
                       detail::text("the voxel size pixdim[", axis + 1, "] is ", size, ", expected more than 0 mm"),
                       "write the image anew with its voxel sizes");
  }

  using enum NiftiHeader::AffineSource;
  if (header.sform_code > 0) {
    header.affine_source = sform;
    header.affine = f.srow;
    header.affine.topRows<3>() *= to_mm;
    if (!spans_space(header.affine))
      throw data_error(
          doing,
          detail::text("its sform_code is ", f.sform,
                       ", but the affine of the sform is singular or not finite: the orientation is unknown"),
          "write the image anew with a valid affine, or set its sform_code to 0");
  } else if (header.qform_code > 0) {
    header.affine_source = qform;
    header.affine = qform_affine(f, header.voxel_size);
    header.affine.block<3, 1>(0, 3) *= to_mm;
    if (!spans_space(header.affine))
      throw data_error(
          doing,
          detail::text("its qform_code is ", f.qform,
                       ", but the quaternion or offset of the qform is not finite: the orientation is unknown"),
          "write the image anew with a valid affine");
  } else {
    header.affine_source = voxel_sizes;
    header.affine.setIdentity();
    for (int axis = 0; axis < 3; ++axis) header.affine(axis, axis) = header.voxel_size[static_cast<std::size_t>(axis)];
    header.warnings.emplace_back(
        analyze ? "Analyze 7.5 stores no orientation: the voxel axes are taken as right, anterior, superior"
                : "qform_code and sform_code are 0: the orientation is unknown, the voxel axes are taken as right, "
                  "anterior, superior");
  }

  // Codes above 2 are template spaces, in which sform and qform are meant to differ; shear is more than a qform can
  // hold.
  if (header.sform_code > 0 && header.sform_code <= 2 && header.qform_code > 0 && sizes_good) {
    Geometry upright = header.geometry();
    const auto spacing = upright.spacing_mm();
    upright.affine.topLeftCorner<3, 3>() =
        nearest_rotation(upright.affine) * Eigen::Vector3d(spacing[0], spacing[1], spacing[2]).asDiagonal();
    Geometry other = upright;
    other.affine = qform_affine(f, header.voxel_size);
    other.affine.block<3, 1>(0, 3) *= to_mm;
    const double distance = corner_distance_mm(upright, other);
    if (!(distance < 1))
      header.warnings.push_back(detail::text("qform and sform differ by up to ", distance, " mm: the sform is used"));
  }
}

}  // namespace detail

/// Reads and checks the header of an image, and the size of the file that holds its voxels.
///
/// NIfTI-1, NIfTI-2 (one file or a pair, named by either half) and Analyze 7.5, plain or gzip, of either byte order.
/// Of a compressed file only the bytes of the header are decompressed, so a stream that is cut later shows when its
/// voxels are read. The affine is the sform where its code is above 0, else the qform where its code is above 0, else
/// the voxel sizes with the origin at the first voxel (nifti1.h, methods 3, 2, 1). Lengths in metres or micrometres are
/// turned into mm.
/// @throws Error (data) that names the file and what is wrong with it
[[nodiscard]] IVADO_INLINE NiftiHeader read_nifti_header(const std::string& path) {
  using Container = NiftiHeader::Container;
  const std::string doing = "reading " + path;
  NiftiHeader header;
  header.path = header.header_path = header.data_path = path;
  const std::string name = detail::lower_case(path);
  const bool pair = detail::ends_with_any(name, {".hdr", ".hdr.gz", ".img", ".img.gz"});
  if (pair) {
    const bool is_header = detail::ends_with_any(name, {".hdr", ".hdr.gz"});
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) {
      const auto other = detail::other_half(path, is_header ? ".img" : ".hdr");
      if (!other)
        throw data_error(doing,
                         std::string("the ") + (is_header ? ".img" : ".hdr") + " file that belongs to it is missing",
                         "put both files of the pair into one folder");
      (is_header ? header.data_path : header.header_path) = *other;
    }
  }

  std::array<std::byte, 540> bytes{};
  detail::ByteSource source(header.header_path, doing);
  detail::check_extension(path);
  const std::size_t got = source.read(bytes.data(), bytes.size());
  const bool misnamed = !source.gzip() && detail::lower_case(header.header_path).ends_with(".gz");
  const std::string not_gzip = misnamed ? " (and it is not gzip, in spite of its name)" : "";
  if (got < 348)
    throw data_error(doing,
                     detail::text("the file is truncated: it has ", got, " bytes, a NIfTI header 348 or 540", not_gzip),
                     "get the file again");

  constexpr bool big_machine = std::endian::native == std::endian::big;
  const auto size_native = detail::HeaderBytes(bytes.data(), false).get<std::int32_t>(0);
  const auto size_swapped = detail::HeaderBytes(bytes.data(), true).get<std::int32_t>(0);
  const bool swap = size_swapped == 348 || size_swapped == 540;
  if (!swap && size_native != 348 && size_native != 540)
    throw data_error(doing,
                     detail::text("it is not a NIfTI file: its header size (sizeof_hdr) is ", size_native,
                                  ", expected 348 or 540", not_gzip),
                     std::string(detail::readable_formats));
  header.big_endian = swap != big_machine;
  const bool second = (swap ? size_swapped : size_native) == 540;
  if (second && got < 540)
    throw data_error(doing, "the file is truncated: it ends within its NIfTI-2 header", "get the file again");

  const std::byte* magic = bytes.data() + (second ? 4 : 344);
  const std::string found_magic = detail::printable(magic, 4);
  const char* one_file = second ? "n+2" : "n+1";
  const char* two_files = second ? "ni2" : "ni1";
  if (found_magic == one_file && !pair)
    header.container = second ? Container::nifti2 : Container::nifti1;
  else if (found_magic == two_files && pair)
    header.container = second ? Container::nifti2_pair : Container::nifti1_pair;
  else if (pair && !second && !found_magic.starts_with('n'))
    header.container = Container::analyze;
  else if (found_magic == one_file || found_magic == two_files)
    throw data_error(
        doing,
        "its magic \"" + found_magic + "\" belongs to " + (pair ? "a single .nii file" : "a pair of .hdr and .img"),
        "give it the extension that it needs");
  else
    throw data_error(doing,
                     "it is not a NIfTI file: its magic is \"" + found_magic + "\", expected \"" +
                         (pair ? two_files : one_file) + "\"",
                     std::string(detail::readable_formats));

  const detail::HeaderBytes reader(bytes.data(), swap);
  detail::NiftiFields fields = second ? detail::nifti2_fields(reader) : detail::nifti1_fields(reader);
  if (header.container == Container::analyze) {
    // These bytes mean something else in Analyze 7.5.
    fields.intent = 0;
    fields.slope = 0;
    fields.inter = 0;
  }
  header.scl_slope = fields.slope;
  header.scl_inter = fields.inter;
  detail::check_layout(fields, header, doing);

  std::int64_t file_bytes = source.file_bytes();
  header.gzip = source.gzip();
  if (pair) {
    const detail::ByteSource data(header.data_path, doing);
    file_bytes = data.file_bytes();
    header.gzip = data.gzip();
  }
  const bool named_gzip = detail::lower_case(header.data_path).ends_with(".gz");
  if (named_gzip != header.gzip)
    header.warnings.emplace_back(named_gzip ? "it is named .gz but is not compressed: read as it is"
                                            : "it is gzip without being named .gz: decompressed");
  if (std::isfinite(fields.slope) && fields.slope != 0 && !std::isfinite(fields.inter))
    header.warnings.emplace_back("scl_inter is not finite: taken as 0");
  detail::check_size(file_bytes, header, doing);
  detail::check_geometry(fields, header, doing);
  return header;
}

}  // namespace ivado
