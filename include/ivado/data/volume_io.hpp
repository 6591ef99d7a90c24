// Volumes in and out of files: NIfTI through ITK here, pictures through raster_io.hpp; `read_image` and `write_image`
// are the doors for both. No other header of ivado's data side but dicom_io.hpp includes ITK.
#pragma once

// clang-format off: before ITK, see there
#include "../eigen.hpp"
#include "../inline.hpp"
// clang-format on
#include <itkMacro.h>
#include <itkNiftiImageIO.h>
#include <libdeflate.h>
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
#include <memory>
#include <mutex>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../config/params.hpp"
#include "../error.hpp"
#include "array.hpp"
#include "atomic_file.hpp"
#include "geometry.hpp"
#include "nifti_header.hpp"
#include "raster_io.hpp"
#include "volume.hpp"

namespace ivado {

/// What to do with an affine whose axes are not at right angles (a sheared sform).
enum class Directions {
  keep,    ///< take it as it is: ivado only permutes and flips axes, and writes the same affine again
  repair,  ///< turn the axes to the nearest right angles about the centre of the grid, and report by how much
  refuse,  ///< an error
};

/// What to do with voxels that are NaN or infinite.
enum class NonFinite {
  keep,    ///< leave them
  zero,    ///< set them to 0 and count them
  refuse,  ///< an error
};

template <>
struct EnumNames<Directions> {
  static constexpr std::array values{std::pair{std::string_view{"keep"}, Directions::keep},
                                     std::pair{std::string_view{"repair"}, Directions::repair},
                                     std::pair{std::string_view{"refuse"}, Directions::refuse}};
};

template <>
struct EnumNames<NonFinite> {
  static constexpr std::array values{std::pair{std::string_view{"keep"}, NonFinite::keep},
                                     std::pair{std::string_view{"zero"}, NonFinite::zero},
                                     std::pair{std::string_view{"refuse"}, NonFinite::refuse}};
};

/// How volumes are read.
struct ReadOptions {
  Directions directions = Directions::keep;
  double direction_tolerance_mm = 0.01;
  NonFinite non_finite = NonFinite::zero;
  bool as_ivadomed = false;
  bool in_pages = false;  ///< no key: what is read lies in `Array::in_pages`, slower and without holes in the heap

  static constexpr auto fields() {
    return ivado::fields(
        field<"directions", &ReadOptions::directions>("what to do with an affine whose axes are not at right angles"),
        field<"direction_tolerance_mm", &ReadOptions::direction_tolerance_mm>(
            "the axes count as at right angles where that moves no corner of the grid by more than this, mm",
            at_least(0)),
        field<"non_finite", &ReadOptions::non_finite>("what to do with voxels that are NaN or infinite"),
        field<"as_ivadomed", &ReadOptions::as_ivadomed>("microscopy in 8 bits as ivadomed makes them: 16 bits lose "
                                                        "their low byte, colour is stretched to the range "
                                                        "of each picture"));
  }
};

/// What was odd about a volume that was read all the same.
struct ReadReport {
  std::vector<std::string> warnings;  ///< one sentence each, without the name of the file
  std::int64_t non_finite = 0;        ///< voxels that were NaN or infinite in the file
};

/// The number type of a file that is written.
enum class StoredType {
  float32,
  uint8,  ///< values are rounded to the nearest whole number; outside [0, 255] they are an error
};

/// The grid with the rotation nearest to its directions (polar decomposition; handedness and spacing are kept),
/// turned about its centre.
/// @throws Error (data) if the affine is singular
[[nodiscard]] IVADO_INLINE Geometry nearest_orthonormal(const Geometry& geometry) {
  if (!detail::spans_space(geometry.affine)) throw data_error("repairing an affine", "it is singular or not finite");
  const auto spacing = geometry.spacing_mm();
  const Eigen::Vector3d scale(spacing[0], spacing[1], spacing[2]);
  Geometry repaired = geometry;
  repaired.affine.topLeftCorner<3, 3>() = detail::nearest_rotation(geometry.affine) * scale.asDiagonal();
  Eigen::Vector3d centre;
  for (int axis = 0; axis < 3; ++axis) centre[axis] = 0.5 * static_cast<double>(geometry.shape[axis] - 1);
  repaired.affine.block<3, 1>(0, 3) +=
      (geometry.affine.topLeftCorner<3, 3>() - repaired.affine.topLeftCorner<3, 3>()) * centre;
  return repaired;
}

namespace detail {

/// An array for what comes from a file, in pages of its own or not.
template <class T>
[[nodiscard]] Array<T> array_for(const Shape& shape, bool in_pages) {
  return in_pages ? Array<T>::in_pages(shape) : Array<T>(shape);
}

/// ITK's NIfTI reader, with the header that ivado has checked in place of its own reading of it.
///
/// Whole compressed files are decoded at once by libdeflate, which takes less than half of the time. The rest ITK
/// decodes where it returns the voxels as they are in the file. It does not, and `VoxelStream` decodes them,
/// where numbers are floating (ITK 5 turns NaN and infinity into 0 without a word), in NIfTI-2 and Analyze, in files
/// of the other byte order, and where the name does not tell whether the file is compressed. ITK does not look at
/// gzip's check sum either: it is compared here with that of the voxels.
/// Neither does ITK's own geometry count: it refuses affines with shear.
class CheckedNiftiIO : public itk::NiftiImageIO {
 public:
  using Self = CheckedNiftiIO;
  using Superclass = itk::NiftiImageIO;
  using Pointer = itk::SmartPointer<Self>;
  using ConstPointer = itk::SmartPointer<const Self>;
  CheckedNiftiIO(const CheckedNiftiIO&) = delete;
  CheckedNiftiIO& operator=(const CheckedNiftiIO&) = delete;

  /// A reader; made under a lock, because ITK's constructor sets a variable of its NIfTI library.
  [[nodiscard]] IVADO_INLINE static Pointer make() {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    Pointer made = new Self;
    made->UnRegister();
    return made;
  }

  /// Takes the header, which must outlive the reader.
  /// @param in_pages  whether what is needed for a while lies in pages of its own, see `ReadOptions`
  IVADO_INLINE void use(const NiftiHeader& header, bool in_pages = false) {
    header_ = &header;
    in_pages_ = in_pages;
    this->SetFileName(header.path);
    this->ReadImageInformation();
  }

  /// Sets extents, spacing, origin and number type from the header in use.
  IVADO_INLINE void ReadImageInformation() override {
    const auto rank = static_cast<unsigned>(header_->shape.size());
    this->SetNumberOfDimensions(rank);
    this->SetNumberOfComponents(1);
    this->SetPixelType(itk::IOPixelEnum::SCALAR);
    const auto spacing = header_->geometry().spacing_mm();
    itk::ImageIORegion whole(rank);
    for (unsigned axis = 0; axis < rank; ++axis) {
      this->SetDimensions(axis, static_cast<itk::SizeValueType>(header_->shape[axis]));
      this->SetSpacing(axis, axis < 3 ? spacing[axis] : 1);
      whole.SetSize(axis, static_cast<itk::SizeValueType>(header_->shape[axis]));
    }
    with_stored_type(header_->datatype, [&](auto number) {
      this->SetComponentType(itk::ImageIOBase::MapPixelType<decltype(number)>::CType);
    });
    this->SetIORegion(whole);
  }

  /// Reads all voxels as stored, in the byte order of this machine.
  /// @throws Error (data) if the file ends early or is corrupt
  IVADO_INLINE void Read(void* buffer) override {
    warnings_.clear();
    if (read_at_once(buffer)) return;
    if (itk_is_exact() && read_by_itk(buffer)) return;
    VoxelStream stream(*header_);
    stream.read(buffer, header_->voxels());
    warnings_ = stream.finish();
  }

  /// What was odd behind the voxels.
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }

 protected:
  CheckedNiftiIO() = default;
  ~CheckedNiftiIO() override = default;

 private:
  /// Decompresses a file of one gzip part and compares its check sum. False where it is not compressed, too large to be
  /// held twice, or not exactly that: what is wrong with it, the other readers tell.
  [[nodiscard]] IVADO_INLINE bool read_at_once(void* buffer) const {
    constexpr std::int64_t limit = std::int64_t{256} << 20;
    const std::int64_t whole = header_->voxel_offset + header_->bytes();
    std::error_code fault;
    const auto packed = static_cast<std::int64_t>(std::filesystem::file_size(header_->data_path, fault));
    constexpr std::int64_t densest = 1032;  // bytes from one, of which deflate is capable at best
    if (!header_->gzip || fault || packed > limit || whole > limit || whole / densest > packed) return false;
    auto from = array_for<std::uint8_t>(Shape{packed}, in_pages_);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(header_->data_path.c_str(), "rb"),
                                                               &std::fclose);
    const auto size = static_cast<std::size_t>(packed);
    if (!file || std::fread(from.data(), 1, size, file.get()) != size) return false;
    const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
        libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
    if (!decompressor) throw std::bad_alloc();
    auto to = array_for<std::uint8_t>(Shape{whole}, in_pages_);
    std::size_t read = 0;
    std::size_t written = 0;
    if (libdeflate_gzip_decompress_ex(decompressor.get(), from.data(), size, to.data(), static_cast<std::size_t>(whole),
                                      &read, &written) != LIBDEFLATE_SUCCESS ||
        read != size || written != static_cast<std::size_t>(whole))
      return false;
    std::memcpy(buffer, to.data() + header_->voxel_offset, static_cast<std::size_t>(header_->bytes()));
    if (header_->big_endian != (std::endian::native == std::endian::big))
      swap_bytes(static_cast<std::byte*>(buffer), static_cast<std::size_t>(header_->bytes()),
                 static_cast<std::size_t>(header_->bytes_per_voxel));
    return true;
  }
  [[nodiscard]] IVADO_INLINE bool itk_is_exact() const {
    const bool first = header_->container == NiftiHeader::Container::nifti1 ||
                       header_->container == NiftiHeader::Container::nifti1_pair;
    const bool whole_numbers = !header_->type.starts_with("float");
    const bool named_right = header_->gzip == lower_case(header_->data_path).ends_with(".gz");
    return first && whole_numbers && named_right && header_->big_endian == (std::endian::native == std::endian::big);
  }
  /// False where ITK could not read the voxels or where they are not what the check sum promises.
  [[nodiscard]] IVADO_INLINE bool read_by_itk(void* buffer) {
    try {
      Superclass::Read(buffer);
    } catch (const itk::ExceptionObject&) {
      return false;
    }
    return !header_->gzip || check_sum_agrees(buffer);
  }
  /// Compares the check sum and length at the end of a gzip file of one member with those of its bytes (RFC 1952).
  [[nodiscard]] IVADO_INLINE bool check_sum_agrees(const void* voxels) const {
    std::vector<Bytef> front(static_cast<std::size_t>(header_->voxel_offset));
    ByteSource source(header_->data_path, "reading " + header_->path);
    if (source.read(front.data(), front.size()) != front.size()) return false;
    uLong sum = crc32_z(0, front.data(), front.size());
    sum = crc32_z(sum, static_cast<const Bytef*>(voxels), static_cast<std::size_t>(header_->bytes()));
    std::array<unsigned char, 8> trailer{};
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(header_->data_path.c_str(), "rb"),
                                                               &std::fclose);
    if (!file || std::fseek(file.get(), -8, SEEK_END) != 0 || std::fread(trailer.data(), 1, 8, file.get()) != 8)
      return false;
    const auto number = [&](std::size_t at) {
      return static_cast<std::uint32_t>(trailer[at]) | static_cast<std::uint32_t>(trailer[at + 1]) << 8 |
             static_cast<std::uint32_t>(trailer[at + 2]) << 16 | static_cast<std::uint32_t>(trailer[at + 3]) << 24;
    };
    return number(0) == sum && number(4) == static_cast<std::uint32_t>(header_->voxel_offset + header_->bytes());
  }

  const NiftiHeader* header_ = nullptr;
  bool in_pages_ = false;
  std::vector<std::string> warnings_;
};

/// Stored numbers as float32 values: scaled in double precision.
template <class Stored>
void to_float(const Stored* stored, float* values, std::int64_t count, double slope, double intercept) {
  if (slope == 1 && intercept == 0) {
    for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<float>(stored[i]);
  } else {
    for (std::int64_t i = 0; i < count; ++i)
      values[i] = static_cast<float>(static_cast<double>(stored[i]) * slope + intercept);
  }
}

/// Number of values that are NaN or infinite.
[[nodiscard]] IVADO_INLINE std::int64_t count_non_finite(const float* values, std::int64_t count) {
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < count; ++i)
    found += (std::bit_cast<std::uint32_t>(values[i]) & 0x7f800000U) == 0x7f800000U ? 1 : 0;
  return found;
}

IVADO_INLINE void apply_directions(Geometry& geometry, const ReadOptions& options, ReadReport& report,
                                   const std::string& doing) {
  if (options.directions == Directions::keep) return;
  const Geometry repaired = nearest_orthonormal(geometry);
  const double distance = corner_distance_mm(geometry, repaired);
  if (distance <= options.direction_tolerance_mm) return;
  if (options.directions == Directions::refuse)
    throw data_error(doing,
                     text("the axes of its affine are not at right angles: at a corner it is ", distance,
                          " mm off, allowed ", options.direction_tolerance_mm, " mm"),
                     "resample the image, or set \"directions\": \"repair\" or \"keep\"");
  report.warnings.push_back(
      text("the axes of its affine were not at right angles: repaired, which moves a corner by ", distance, " mm"));
  geometry = repaired;
}

IVADO_INLINE void apply_non_finite(Volume& volume, const ReadOptions& options, ReadReport& report,
                                   const std::string& doing) {
  const std::int64_t count = volume.voxels.size();
  report.non_finite = count_non_finite(volume.voxels.data(), count);
  if (report.non_finite == 0) return;
  if (options.non_finite == NonFinite::refuse)
    throw data_error(doing, text(report.non_finite, " of its ", count, " voxels are NaN or infinite"),
                     "mend the image, or set \"non_finite\": \"zero\"");
  if (options.non_finite == NonFinite::zero) {
    for (float& value : volume.voxels)
      if (!std::isfinite(value)) value = 0;
    report.warnings.push_back(text(report.non_finite, " voxels that are NaN or infinite were set to 0"));
  }
}

/// "0.5×0.5×4"
[[nodiscard]] IVADO_INLINE std::string spacing_text(const Geometry& geometry) {
  std::ostringstream out;
  out.precision(4);
  const auto spacing = geometry.spacing_mm();
  out << spacing[0] << "×" << spacing[1] << "×" << spacing[2];
  return out.str();
}

}  // namespace detail

/// Reads a 3-D NIfTI image: float32 voxels after the scaling of the header, and the grid as the header gives it.
/// `read_image` reads every format.
///
/// A 2-D image is one slice, a 4-D image of one volume is that volume. Voxels that are NaN or infinite become 0
/// unless the options say otherwise. Integers beyond 2^24 are rounded to the nearest float32.
/// Safe to be called from several threads at once; starts none.
/// @param report  takes what was odd about the file; may be null
/// @throws Error (data) that names the file, if it cannot be used
[[nodiscard]] IVADO_INLINE Volume read_volume(const std::string& path, const ReadOptions& options = {},
                                              ReadReport* report = nullptr) {
  const std::string doing = "reading " + path;
  const NiftiHeader header = read_nifti_header(path);
  if (header.volumes() > 1)
    throw data_error(doing,
                     detail::text("it has the shape ", header.shape_text(), ", which is ", header.volumes(),
                                  " volumes, expected one 3-D volume"),
                     "split it into one file for each volume");
  ReadReport found;
  found.warnings = header.warnings;

  Volume volume;
  volume.path = path;
  volume.stored_type = header.type;
  volume.geometry = header.geometry();
  detail::apply_directions(volume.geometry, options, found, doing);

  const Shape& grid = volume.geometry.shape;
  const std::int64_t count = grid.size();
  try {
    volume.voxels = detail::array_for<float>(Shape{grid[2], grid[1], grid[0]}, options.in_pages);
    const auto io = detail::CheckedNiftiIO::make();
    io->use(header, options.in_pages);
    detail::with_stored_type(header.datatype, [&](auto number) {
      using Stored = decltype(number);
      if constexpr (std::is_same_v<Stored, float>) {
        io->Read(volume.voxels.data());
        if (header.scaled())
          detail::to_float(volume.voxels.data(), volume.voxels.data(), count, header.slope(), header.intercept());
      } else {
        Array<Stored> stored = detail::array_for<Stored>(Shape{count}, options.in_pages);
        io->Read(stored.data());
        detail::to_float(stored.data(), volume.voxels.data(), count, header.slope(), header.intercept());
      }
    });
    found.warnings.insert(found.warnings.end(), io->warnings().begin(), io->warnings().end());
  } catch (const std::bad_alloc&) {
    throw data_error(doing, detail::text("its ", header.shape_text(), " voxels do not fit into memory"),
                     "use a machine with more memory or crop the image");
  }

  detail::apply_non_finite(volume, options, found, doing);
  if (report != nullptr) *report = std::move(found);
  return volume;
}

/// Reads an image of any format that ivado knows, by its extension: NIfTI as `read_volume`, and PNG, TIFF and JPEG as
/// `to_volume`: one axial slice (H = rows, W = columns), in the depth of the file.
/// @param metadata  of the image, such as `Case::metadata`: a picture takes its pixel size from there. NIfTI needs none
/// @param kind      a label or region of interest from a picture is divided by the largest number of its type
/// @param report    takes what was odd about the file; may be null
/// @throws Error (data) that names the file, if it or its pixel size cannot be used
[[nodiscard]] IVADO_INLINE Volume read_image(const std::string& path, const Json& metadata, Kind kind = Kind::image,
                                             const ReadOptions& options = {}, ReadReport* report = nullptr) {
  if (!is_raster(path)) return read_volume(path, options, report);
  ReadReport found;
  Raster raster = read_raster(path);
  found.warnings = std::move(raster.warnings);
  Volume volume = to_volume(raster, metadata, {.kind = kind, .as_ivadomed = options.as_ivadomed}, &found.warnings);
  detail::apply_non_finite(volume, options, found, "reading " + path);
  if (report != nullptr) *report = std::move(found);
  return volume;
}

/// The grid of a NIfTI image (of one of its volumes, where it has several), from its header alone.
/// @throws Error (data) if the header cannot be used
[[nodiscard]] inline Geometry read_geometry(const std::string& path) { return read_nifti_header(path).geometry(); }

/// Throws unless two volumes lie on one grid.
/// @param tolerance_mm  how far apart the same corner of both may lie
/// @throws Error (data) that names both files and what differs
IVADO_INLINE void check_same_grid(const Volume& a, const Volume& b, double tolerance_mm) {
  const std::string doing = "comparing the grids of " + a.path + " and " + b.path;
  const std::string remedy = "resample one of them onto the grid of the other, or set \"allow_regrid\": true";
  if (!(a.geometry.shape == b.geometry.shape))
    throw data_error(
        doing, a.path + " has " + a.geometry.shape.text() + " voxels, " + b.path + " has " + b.geometry.shape.text(),
        remedy);
  const double distance = corner_distance_mm(a.geometry, b.geometry);
  if (distance <= tolerance_mm) return;
  std::string found = detail::text("the same corner lies ", distance, " mm apart, allowed ", tolerance_mm, " mm");
  const std::string spacing_a = detail::spacing_text(a.geometry);
  const std::string spacing_b = detail::spacing_text(b.geometry);
  if (spacing_a != spacing_b)
    found += " (" + a.path + " has voxels of " + spacing_a + " mm, " + b.path + " of " + spacing_b + " mm)";
  const std::string codes_a = axis_codes(a.geometry.affine);
  const std::string codes_b = axis_codes(b.geometry.affine);
  if (codes_a != codes_b) found += " (" + a.path + " has the axes " + codes_a + ", " + b.path + " " + codes_b + ")";
  throw data_error(doing, found, remedy);
}

namespace detail {

/// The last three numbers (b, c, d) of the quaternion of a rotation, such that the first is not negative.
[[nodiscard]] IVADO_INLINE std::array<double, 3> rotation_quaternion(const Eigen::Matrix3d& rotation) {
  Eigen::Quaterniond q(rotation);
  if (q.w() < 0) q.coeffs() *= -1;
  return {q.x(), q.y(), q.z()};
}

/// Puts the affine into the header of a NIfTI-1 file that ITK has written, exactly in the sform and as the nearest
/// rotation in the qform. ITK alone would take the shear out of the sform as well.
IVADO_INLINE void patch_geometry(std::FILE* file, const Geometry& geometry, const std::string& doing) {
  std::array<char, 348> header{};
  if (std::fseek(file, 0, SEEK_SET) != 0 || std::fread(header.data(), 1, header.size(), file) != header.size())
    throw internal_error(doing, "ITK wrote no NIfTI header", "report this");
  const auto put = [&](std::size_t offset, auto value) { std::memcpy(header.data() + offset, &value, sizeof(value)); };
  Eigen::Matrix3d rotation = nearest_rotation(geometry.affine);
  const auto spacing = geometry.spacing_mm();
  const double handedness = rotation.determinant() < 0 ? -1 : 1;
  rotation.col(2) *= handedness;
  const auto quaternion = rotation_quaternion(rotation);
  put(76, static_cast<float>(handedness));
  for (std::size_t axis = 0; axis < 3; ++axis) {
    put(80 + 4 * axis, static_cast<float>(spacing[axis]));
    put(256 + 4 * axis, static_cast<float>(quaternion[axis]));
    put(268 + 4 * axis, static_cast<float>(geometry.affine(static_cast<int>(axis), 3)));
    for (std::size_t column = 0; column < 4; ++column)
      put(280 + 16 * axis + 4 * column,
          static_cast<float>(geometry.affine(static_cast<int>(axis), static_cast<int>(column))));
  }
  put(252, std::int16_t{1});
  put(254, std::int16_t{1});
  header[123] = 2;  // millimetres
  if (std::fseek(file, 0, SEEK_SET) != 0 || std::fwrite(header.data(), 1, header.size(), file) != header.size() ||
      std::fflush(file) != 0)
    throw internal_error(doing, std::strerror(errno), "check the free space of its folder");
}

/// Compresses a file. The same bytes in give the same bytes out: neither name nor time is stored.
IVADO_INLINE void gzip_file(const std::string& from, const std::string& to, const std::string& doing) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> source(std::fopen(from.c_str(), "rb"), &std::fclose);
  std::unique_ptr<gzFile_s, int (*)(gzFile)> target(gzopen(to.c_str(), "wb"), &gzclose);
  if (!source || !target) throw internal_error(doing, std::strerror(errno), "check the permissions of its folder");
  std::vector<char> buffer(std::size_t{1} << 18);
  bool good = true;
  while (good) {
    const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), source.get());
    if (got == 0) break;
    good = gzwrite(target.get(), buffer.data(), static_cast<unsigned>(got)) == static_cast<int>(got);
  }
  good = good && std::ferror(source.get()) == 0;
  const int fault = errno;
  good = gzclose(target.release()) == Z_OK && good;
  if (!good) throw internal_error(doing, std::strerror(fault), "check the free space of its folder");
}

/// Removes a file at the end of a scope.
struct RemoveAtEnd {
  std::string path;
  ~RemoveAtEnd() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

/// Writes dense voxels (first axis fastest) as an uncompressed NIfTI-1 file.
template <class Stored>
void write_nii(const std::string& path, const Array<Stored>& voxels, const Shape& extents, const Geometry& geometry,
               const std::string& doing) {
  try {
    const auto io = CheckedNiftiIO::make();
    const auto rank = static_cast<unsigned>(extents.rank());
    io->SetFileName(path);
    io->SetNumberOfDimensions(rank);
    io->SetNumberOfComponents(1);
    io->SetPixelType(itk::IOPixelEnum::SCALAR);
    io->SetComponentType(itk::ImageIOBase::MapPixelType<Stored>::CType);
    itk::ImageIORegion whole(rank);
    for (unsigned axis = 0; axis < rank; ++axis) {
      const auto extent = static_cast<itk::SizeValueType>(extents[static_cast<int>(axis)]);
      io->SetDimensions(axis, extent);
      whole.SetSize(axis, extent);
      io->SetSpacing(axis, axis < 3 ? geometry.spacing_mm()[axis] : 1);
      io->SetOrigin(axis, 0);
      std::vector<double> direction(rank, 0);
      direction[axis] = 1;
      io->SetDirection(axis, direction);
    }
    io->SetIORegion(whole);
    io->Write(voxels.data());
  } catch (const itk::ExceptionObject& fault) {
    throw internal_error(doing, fault.GetDescription(), "check the free space and the permissions of its folder");
  }
  // ITK does not say whether the disk took all of it.
  std::error_code fault;
  const auto size = std::filesystem::file_size(path, fault);
  if (fault || size != 352 + voxels.bytes())
    throw internal_error(doing,
                         fault ? "the file could not be made"
                               : detail::text("the disk took ", size, " of ", 352 + voxels.bytes(), " bytes"),
                         "check the free space and the permissions of its folder");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "r+b"), &std::fclose);
  if (!file) throw internal_error(doing, std::strerror(errno), "check the permissions of its folder");
  patch_geometry(file.get(), geometry, doing);
}

}  // namespace detail

/// Writes an image as NIfTI-1, compressed where the name ends in .gz.
///
/// The affine is written to the sform as it is (float32) and to the qform as the nearest rotation, both with code 1
/// and in mm. The file is there whole or not at all. The same input gives the same bytes.
/// @param voxels    indexed (i, j, k), or (i, j, k, class): the classes are the fourth axis of the file
/// @param geometry  the grid of (i, j, k)
/// @throws Error (usage) for another extension, (internal) if the folder is missing or the file cannot be written
IVADO_INLINE void write_volume(const std::string& path, ArrayView<const float> voxels, const Geometry& geometry,
                               StoredType type) {
  const std::string doing = "writing " + path;
  const std::string name = detail::lower_case(path);
  const bool gzip = name.ends_with(".nii.gz");
  if (!gzip && !name.ends_with(".nii"))
    throw usage_error(doing, "images are written as NIfTI", "let its name end in .nii or .nii.gz");
  const Shape& shape = voxels.shape();
  if (shape.rank() != 3 && shape.rank() != 4)
    throw internal_error(doing, "its voxels have the shape " + shape.text() + ", expected 3 or 4 axes");
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis < 3 && (geometry.shape.rank() != 3 || shape[axis] != geometry.shape[axis]))
      throw internal_error(doing, "its voxels have the shape " + shape.text() + ", its grid " + geometry.shape.text());
    if (shape[axis] < 1 || shape[axis] > 32767)
      throw internal_error(doing, "its shape is " + shape.text() + ", NIfTI-1 holds 1 to 32767 voxels along an axis");
  }
  if (!detail::spans_space(geometry.affine)) throw internal_error(doing, "its affine is singular or not finite");

  // First axis fastest, as in the file.
  Shape stored;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) stored.push_back(shape[axis]);
  const ArrayView<const float> turned = shape.rank() == 3 ? voxels.permute({2, 1, 0}) : voxels.permute({3, 2, 1, 0});

  const auto write = [&](const std::string& temporary) {
    const detail::RemoveAtEnd plain{gzip ? temporary_beside(path.substr(0, path.size() - 3)) : std::string()};
    const std::string& nii = gzip ? plain.path : temporary;
    if (type == StoredType::float32) {
      detail::write_nii(nii, Array<float>::from(turned), shape, geometry, doing);
    } else {
      Array<std::uint8_t> rounded(stored);
      bool fits = true;
      zip(turned, rounded.view(), [&](float value, std::uint8_t& byte) {
        fits = fits && value > -0.5F && value < 255.5F;
        byte = fits ? static_cast<std::uint8_t>(value + 0.5F) : std::uint8_t{0};
      });
      if (!fits)
        throw internal_error(doing, "its voxels do not fit into 8 bits: some are not in [0, 255]",
                             "write it as float32");
      detail::write_nii(nii, rounded, shape, geometry, doing);
    }
    if (gzip) detail::gzip_file(nii, temporary, doing);
  };
  write_atomically(path, write);
}

/// Writes a prediction in the format that its name tells: .png as `write_raster`, a mask (uint8) as 0 and 255 in 8
/// bits and soft values (float32) in 16 bits; .nii and .nii.gz as `write_volume`.
/// @param voxels    indexed (i, j, k) or (i, j, k, class), for a PNG (row, column, slice), one slice and one class
/// @param geometry  the grid of (i, j, k)
/// @throws Error as the two
IVADO_INLINE void write_image(const std::string& path, ArrayView<const float> voxels, const Geometry& geometry,
                              StoredType type) {
  if (is_raster(path))
    write_raster(path, voxels, geometry, type == StoredType::uint8);
  else
    write_volume(path, voxels, geometry, type);
}

}  // namespace ivado
