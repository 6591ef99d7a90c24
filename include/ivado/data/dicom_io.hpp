// DICOM series in: a folder of slices becomes a volume, CT in Hounsfield units. Through ITK's module ITKIOGDCM (the
// component ivado::dicom); nothing else of ivado includes this header.
//
// GDCM ends the program on many broken files: Debian builds it with its assertions. So it runs in a process of its own,
// which sends what it finds through a pipe, and a file on which it ends is an error like another.
#pragma once

// clang-format off: before ITK, see there
#include "../eigen.hpp"
// clang-format on
#include <fcntl.h>
#include <itkGDCMImageIO.h>
#include <itkMacro.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <map>
#include <new>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "array.hpp"
#include "geometry.hpp"
#include "volume.hpp"
#include "volume_io.hpp"

namespace ivado {

/// How a DICOM series is read.
struct DicomOptions {
  std::string series{};             ///< Series Instance UID; empty: the folder holds one series
  double slice_tolerance_mm = 0.1;  ///< how far a slice may lie from its place in an even row
  ReadOptions read{};               ///< directions (a tilted gantry gives a sheared affine) and voxels not finite
};

/// A series of a folder.
struct DicomSeries {
  std::string uid;                 ///< Series Instance UID
  std::string modality;            ///< "CT", "MR", …
  std::string description;         ///< Series Description; may be empty
  std::vector<std::string> files;  ///< its images, by name
};

namespace detail {

/// What GDCM finds in one file, of a fixed size, as it goes through the pipe. Behind it come the pixels where they were
/// asked for: float32, columns first.
struct DicomRecord {
  enum class Kind : std::int32_t { other, image, broken };
  Kind kind = Kind::other;
  bool has_spacing = false;
  std::array<std::int64_t, 3> shape{1, 1, 1};  ///< columns, rows, frames
  std::array<double, 16> affine{};             ///< of the file alone, by columns, LPS
  std::array<char, 256> uid{};
  std::array<char, 64> modality{};
  std::array<char, 256> description{};
  std::array<char, 64> photometric{};
  std::array<char, 32> type{};    ///< of the numbers after rescaling
  std::array<char, 512> fault{};  ///< why it is broken

  [[nodiscard]] std::int64_t pixels() const noexcept { return shape[0] * shape[1] * shape[2]; }
};
static_assert(std::is_trivially_copyable_v<DicomRecord>);

/// Text into a field of a record, cut where it is too long, without the padding of DICOM.
template <std::size_t size>
void put_text(std::array<char, size>& field, std::string_view value) {
  const auto end = value.find_last_not_of(std::string_view(" \0\n", 3));
  std::snprintf(field.data(), size, "%s", std::string(value.substr(0, end == value.npos ? 0 : end + 1)).c_str());
}

/// The pixels of the file that is open, after its rescale slope and intercept.
[[nodiscard]] inline Array<float> dicom_pixels(itk::GDCMImageIO& io, std::int64_t count) {
  Array<float> values(Shape{count});
  const auto read = [&](auto number) {
    Array<decltype(number)> stored(Shape{count});
    if (stored.bytes() != static_cast<std::size_t>(io.GetImageSizeInBytes()))
      throw std::runtime_error("the size of its pixels is not what its header says");
    io.Read(stored.data());
    to_float(stored.data(), values.data(), count, 1, 0);
  };
  itk::ImageIORegion whole(io.GetNumberOfDimensions());
  for (unsigned axis = 0; axis < io.GetNumberOfDimensions(); ++axis) whole.SetSize(axis, io.GetDimensions(axis));
  io.SetIORegion(whole);
  using Type = itk::IOComponentEnum;
  switch (io.GetComponentType()) {
    case Type::UCHAR:
      read(std::uint8_t{});
      break;
    case Type::CHAR:
      read(std::int8_t{});
      break;
    case Type::USHORT:
      read(std::uint16_t{});
      break;
    case Type::SHORT:
      read(std::int16_t{});
      break;
    case Type::UINT:
      read(std::uint32_t{});
      break;
    case Type::INT:
      read(std::int32_t{});
      break;
    case Type::FLOAT:
      read(float{});
      break;
    case Type::DOUBLE:
      read(double{});
      break;
    default:
      throw std::runtime_error("its numbers are of a type that is not read");
  }
  return values;
}

/// Lets GDCM read one file.
/// @param pixels  takes the pixels; null: they are not read
[[nodiscard]] inline DicomRecord ask_gdcm(const std::string& path, Array<float>* pixels) {
  DicomRecord record;
  try {
    const auto io = itk::GDCMImageIO::New();
    if (std::filesystem::path(path).filename() == "DICOMDIR" || !io->CanReadFile(path.c_str())) return record;
    record.kind = DicomRecord::Kind::broken;
    io->SetFileName(path);
    io->ReadImageInformation();
    const auto value = [&](const char* tag) {
      std::string text;
      return io->GetValueFromTag(tag, text) ? text : std::string();
    };
    put_text(record.uid, value("0020|000e"));
    put_text(record.modality, value("0008|0060"));
    put_text(record.description, value("0008|103e"));
    put_text(record.photometric, value("0028|0004"));
    record.has_spacing = !value("0028|0030").empty() || !value("0018|1164").empty();
    if (io->GetNumberOfComponents() != 1)
      throw std::runtime_error("it is a colour image, which is not read from DICOM");
    Eigen::Map<Eigen::Matrix4d> affine(record.affine.data());
    affine.setIdentity();
    const unsigned rank = std::min(io->GetNumberOfDimensions(), 3U);
    for (unsigned axis = 0; axis < rank; ++axis) {
      record.shape[axis] = static_cast<std::int64_t>(io->GetDimensions(axis));
      if (record.shape[axis] < 1 || record.shape[axis] > 65535) throw std::runtime_error("its size is impossible");
      const auto direction = io->GetDirection(axis);
      for (unsigned row = 0; row < 3 && row < direction.size(); ++row)
        affine(row, axis) = direction[row] * io->GetSpacing(axis);
      affine(axis, 3) = io->GetOrigin(axis);
    }
    if (pixels != nullptr) *pixels = dicom_pixels(*io, record.pixels());
    put_text(record.type, itk::ImageIOBase::GetComponentTypeAsString(io->GetComponentType()));
    record.kind = DicomRecord::Kind::image;
  } catch (const itk::ExceptionObject& fault) {
    record.kind = DicomRecord::Kind::broken;
    std::string description = fault.GetDescription();
    std::replace(description.begin(), description.end(), '\n', ' ');
    put_text(record.fault, "GDCM cannot read it as an image: " + description);
  } catch (const std::exception& fault) {
    record.kind = DicomRecord::Kind::broken;
    put_text(record.fault, fault.what());
  }
  return record;
}

/// GDCM in a process of its own, which reads files one after the other.
class GdcmProcess {
 public:
  /// Starts it.
  /// @throws Error (internal) if the system has no process to give
  GdcmProcess(std::vector<std::string> paths, bool with_pixels) : paths_(std::move(paths)) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) throw internal_error("starting GDCM", std::strerror(errno));
    child_ = ::fork();
    if (child_ < 0) {
      const int fault = errno;
      ::close(ends[0]);
      ::close(ends[1]);
      throw internal_error("starting GDCM", std::strerror(fault), "end other programs and try again");
    }
    if (child_ == 0) {
      ::close(ends[0]);
      run(ends[1], with_pixels);
      ::_exit(0);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
  }
  GdcmProcess(const GdcmProcess&) = delete;
  GdcmProcess& operator=(const GdcmProcess&) = delete;
  ~GdcmProcess() {
    ::close(pipe_);
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  /// What it finds in the next file.
  /// @throws Error (data) that names the file if it is broken
  [[nodiscard]] DicomRecord next() {
    DicomRecord record;
    receive(&record, sizeof(record));
    if (record.kind == DicomRecord::Kind::broken)
      throw data_error("reading " + paths_[number_], record.fault.data(), std::string(remedy));
    ++number_;
    return record;
  }
  /// Its pixels.
  /// @throws Error (data) that names the file if it ends
  void pixels(float* values, std::int64_t count) {
    --number_;
    receive(values, static_cast<std::size_t>(count) * sizeof(float));
    ++number_;
  }

 private:
  static constexpr std::string_view remedy = "get the file again; move what is no image out of the folder";

  void run(int pipe, bool with_pixels) const {
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM, SIGPIPE, SIGTERM})
      std::signal(number, SIG_DFL);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    const int nowhere = ::open("/dev/null", O_WRONLY);  // GDCM writes its warnings to the terminal
    if (nowhere >= 0) {
      ::dup2(nowhere, 1);
      ::dup2(nowhere, 2);
    }
    for (const auto& path : paths_) {
      ::alarm(60);  // seconds for one file, should GDCM hang
      Array<float> pixels;
      const DicomRecord record = ask_gdcm(path, with_pixels ? &pixels : nullptr);
      if (!send(pipe, &record, sizeof(record)) || !send(pipe, pixels.data(), pixels.bytes())) return;
    }
  }
  [[nodiscard]] static bool send(int pipe, const void* bytes, std::size_t count) {
    const char* from = static_cast<const char*>(bytes);
    while (count > 0) {
      const auto sent = ::write(pipe, from, count);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      from += sent;
      count -= static_cast<std::size_t>(sent);
    }
    return true;
  }
  void receive(void* bytes, std::size_t count) {
    char* to = static_cast<char*>(bytes);
    while (count > 0) {
      const auto got = ::read(pipe_, to, count);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        int status = 0;
        ::waitpid(child_, &status, 0);
        child_ = -1;
        const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
        throw data_error(
            "reading " + paths_[number_],
            hung ? "it is broken: GDCM does not come to an end with it" : "it is broken: GDCM ends its process on it",
            std::string(remedy));
      }
      to += got;
      count -= static_cast<std::size_t>(got);
    }
  }

  std::vector<std::string> paths_;
  std::size_t number_ = 0;
  pid_t child_ = -1;
  int pipe_ = -1;
};

/// One file of a series: what it is and where its pixels are in the world.
struct DicomSlice {
  std::string path;
  DicomRecord record;
  Eigen::Matrix4d affine = Eigen::Matrix4d::Identity();  ///< RAS+
  double along = 0;                                      ///< mm along the normal of the series

  [[nodiscard]] Shape shape() const { return {record.shape[0], record.shape[1], record.shape[2]}; }
  [[nodiscard]] Eigen::Vector3d position() const { return affine.block<3, 1>(0, 3); }
  [[nodiscard]] Eigen::Matrix<double, 3, 2> plane() const { return affine.block<3, 2>(0, 0); }
};

/// The images of a folder by series, in the order of their names.
[[nodiscard]] inline std::map<std::string, std::vector<DicomSlice>> dicom_slices(const std::string& folder,
                                                                                 std::vector<std::string>* others) {
  const std::string doing = "reading the DICOM folder " + folder;
  std::error_code fault;
  if (!std::filesystem::is_directory(folder, fault))
    throw data_error(doing, std::filesystem::exists(folder, fault) ? "it is no folder" : "it does not exist",
                     "name the folder that holds the slices of the series");
  std::vector<std::string> paths;
  for (std::filesystem::directory_iterator entry(folder, fault), end; !fault && entry != end; entry.increment(fault))
    if (std::error_code ignored; entry->is_regular_file(ignored)) paths.push_back(entry->path().string());
  if (fault) throw data_error(doing, fault.message(), "check its permissions");
  std::sort(paths.begin(), paths.end());
  std::map<std::string, std::vector<DicomSlice>> series;
  GdcmProcess gdcm(paths, false);
  for (const auto& path : paths) {
    DicomSlice slice{.path = path, .record = gdcm.next()};
    if (slice.record.kind == DicomRecord::Kind::other) {
      if (others != nullptr) others->push_back(path);
      continue;
    }
    slice.affine = Eigen::Map<const Eigen::Matrix4d>(slice.record.affine.data());
    slice.affine.topRows<2>() *= -1;  // LPS to RAS
    if (!spans_space(slice.affine))
      throw data_error("reading " + path, "its orientation or pixel spacing is impossible", "get the file again");
    series[slice.record.uid.data()].push_back(std::move(slice));
  }
  return series;
}

/// Sorts the slices by place and checks that they make an even row.
/// @return the grid of all of them
[[nodiscard]] inline Geometry arrange(std::vector<DicomSlice>& slices, double tolerance_mm, const std::string& doing) {
  const DicomSlice first = slices[0];
  const Eigen::Vector3d across = first.plane().col(0);
  const Eigen::Vector3d normal = across.cross(Eigen::Vector3d(first.plane().col(1))).normalized();
  for (auto& slice : slices) {
    const std::string both = slice.path + " and " + first.path;
    if (slices.size() > 1 && slice.record.shape[2] > 1)
      throw data_error(doing, slice.path + " has several frames and is one of several files of its series",
                       "put it into a folder of its own");
    if (slice.record.shape[2] == 1 && !slice.record.has_spacing)
      throw data_error(doing, slice.path + " has no Pixel Spacing", "convert it with a tool that knows the device");
    if (!(slice.shape() == first.shape()))
      throw data_error(doing, both + " have " + slice.shape().text() + " and " + first.shape().text() + " pixels",
                       "name one series of slices of one size");
    // At the far corner of a slice of 512 pixels, 1e-4 of a pixel a pixel is a twentieth of a pixel.
    if ((slice.plane() - first.plane()).norm() > 1e-4 * first.plane().norm())
      throw data_error(doing, both + " differ in their pixel spacing or orientation",
                       "remove the localizer, or name one series");
    slice.along = normal.dot(slice.position());
  }
  std::stable_sort(slices.begin(), slices.end(), [](const auto& a, const auto& b) { return a.along < b.along; });
  Geometry grid{.shape = first.shape(), .affine = slices[0].affine};
  if (slices.size() == 1) return grid;

  grid.shape[2] = static_cast<std::int64_t>(slices.size());
  const Eigen::Vector3d step =
      (slices.back().position() - slices[0].position()) / static_cast<double>(slices.size() - 1);
  for (std::size_t k = 1; k < slices.size(); ++k)
    if (slices[k].along - slices[k - 1].along < 1e-3)
      throw data_error(doing, slices[k - 1].path + " and " + slices[k].path + " lie at one place",
                       "keep one time, echo or reconstruction in the folder");
  const double allowed = std::min(tolerance_mm, 0.25 * step.norm());
  for (std::size_t k = 1; k + 1 < slices.size(); ++k) {
    const double off = (slices[k].position() - slices[0].position() - static_cast<double>(k) * step).norm();
    if (off > allowed)
      throw data_error(doing,
                       text("its ", slices.size(), " slices are not evenly spaced: ", slices[k].path, " lies ", off,
                            " mm off, allowed ", allowed, " mm; slices are missing or of two kinds"),
                       "get the missing files, or resample the series with a tool that knows it");
  }
  grid.affine.block<3, 1>(0, 2) = step;
  return grid;
}

[[nodiscard]] inline DicomSeries series_of(const std::string& uid, const std::vector<DicomSlice>& slices) {
  DicomSeries series{.uid = uid,
                     .modality = slices[0].record.modality.data(),
                     .description = slices[0].record.description.data(),
                     .files = {}};
  for (const auto& slice : slices) series.files.push_back(slice.path);
  return series;
}

}  // namespace detail

/// The DICOM series of a folder, by UID. Folders in it are not searched; files that are no DICOM, and a DICOMDIR, do
/// not count.
/// @param others  takes the files that do not count; may be null
/// @throws Error (data) if there is no such folder, or a DICOM file in it is no image that can be read
[[nodiscard]] inline std::vector<DicomSeries> list_dicom_series(const std::string& folder,
                                                                std::vector<std::string>* others = nullptr) {
  std::vector<DicomSeries> out;
  for (const auto& [uid, slices] : detail::dicom_slices(folder, others)) out.push_back(detail::series_of(uid, slices));
  return out;
}

/// Reads a series of DICOM images as one volume: values after the rescale slope and intercept of each slice (CT in
/// Hounsfield units), axes (column, row, slice) with slices in the order of the normal of the image plane, and the
/// affine that the positions of the slices give, in RAS+.
///
/// Positions decide, not names, numbers or Slice Thickness. Slices that are missing, twice there, of another size or
/// turned against each other are an error, never a volume with wrong distances; a missing slice at either end cannot be
/// seen. A tilted gantry gives a sheared affine, see `Directions`. One file of several frames is a volume, too.
/// The files are read by a process of its own (see the top of the header).
/// @param report  takes what was odd; may be null
/// @throws Error (data) naming the folder or the file: no DICOM, several series and none named, slices that do not make
///   an even row, files that are broken
[[nodiscard]] inline Volume read_dicom_series(const std::string& folder, const DicomOptions& options = {},
                                              ReadReport* report = nullptr) {
  const std::string doing = "reading the DICOM folder " + folder;
  ReadReport found;
  std::vector<std::string> others;
  auto all = detail::dicom_slices(folder, &others);
  if (!others.empty())
    found.warnings.push_back(
        detail::text("files in it that are no DICOM images do not count: ", others.size(), ", such as ", others[0]));
  if (all.empty()) throw data_error(doing, "there is no DICOM image in it", "name the folder that holds the slices");
  const auto chosen = options.series.empty() && all.size() == 1 ? all.begin() : all.find(options.series);
  if (chosen == all.end() || (options.series.empty() && all.size() > 1)) {
    std::string names;
    for (const auto& [uid, slices] : all) {
      const DicomSeries one = detail::series_of(uid, slices);
      names += detail::text(names.empty() ? "" : ", ", uid, " (", one.modality,
                            one.description.empty() ? "" : " " + one.description, ", ", one.files.size(), " files)");
    }
    throw data_error(
        doing,
        (options.series.empty() ? "it holds several series: " : "it has no series " + options.series + ", but ") +
            names,
        "name one of them");
  }
  std::vector<detail::DicomSlice>& slices = chosen->second;
  Volume volume;
  volume.path = folder;
  volume.geometry = detail::arrange(slices, options.slice_tolerance_mm, doing);
  detail::apply_directions(volume.geometry, options.read, found, doing);
  if (std::string_view(slices[0].record.photometric.data()) == "MONOCHROME1")
    found.warnings.emplace_back("its pixels are MONOCHROME1, where large numbers are dark: GDCM turns them about");

  try {
    const Shape& grid = volume.geometry.shape;
    volume.voxels = Array<float>(Shape{grid[2], grid[1], grid[0]});
  } catch (const std::bad_alloc&) {
    throw data_error(doing, "its " + volume.geometry.shape.text() + " voxels do not fit into memory",
                     "use a machine with more memory or crop the image");
  }
  std::vector<std::string> paths;
  for (const auto& slice : slices) paths.push_back(slice.path);
  detail::GdcmProcess gdcm(paths, true);
  for (std::size_t k = 0; k < slices.size(); ++k) {
    const detail::DicomRecord record = gdcm.next();
    const std::int64_t count = slices[k].record.pixels();
    if (record.kind != detail::DicomRecord::Kind::image || record.pixels() != count)
      throw data_error("reading " + paths[k], "it changed while it was read", "try again");
    gdcm.pixels(volume.voxels.data() + static_cast<std::int64_t>(k) * count, count);
    if (k == 0) volume.stored_type = record.type.data();
  }
  detail::apply_non_finite(volume, options.read, found, doing);
  if (report != nullptr) *report = std::move(found);
  return volume;
}

/// `ivado dicom FOLDER IMAGE.nii.gz [--series UID]`: a DICOM series as NIfTI, float32.
/// @return exit status
/// @throws Error (usage) for wrong arguments, (data) if the series cannot be read
[[nodiscard]] inline int run_dicom(std::span<const std::string> arguments, std::ostream& out, std::ostream& err) {
  const std::string usage = "usage: ivado dicom FOLDER IMAGE.nii.gz [--series UID]";
  DicomOptions options;
  std::vector<std::string> places;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "-h" || arguments[i] == "--help") {
      out << usage << "\n";
      return 0;
    }
    if (arguments[i] == "--series" && i + 1 < arguments.size())
      options.series = arguments[++i];
    else if (arguments[i].starts_with("-"))
      throw usage_error("ivado dicom", "found " + arguments[i], usage);
    else
      places.push_back(arguments[i]);
  }
  if (places.size() != 2) throw usage_error("ivado dicom", "it takes a folder and the name of an image", usage);
  ReadReport report;
  const Volume volume = read_dicom_series(places[0], options, &report);
  for (const auto& warning : report.warnings) err << "warning: " << places[0] << ": " << warning << "\n";
  write_volume(places[1], volume.view(), volume.geometry, StoredType::float32);
  out << "wrote " << places[1] << ": " << volume.geometry.shape.text() << " voxels of "
      << detail::spacing_text(volume.geometry) << " mm\n";
  return 0;
}

}  // namespace ivado
