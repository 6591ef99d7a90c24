// Volumes through files: values, geometry, options, errors.
#include "ivado/data/volume_io.hpp"

#include <sys/resource.h>

#include <Eigen/Geometry>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../catch.hpp"
#include "ivado/config/json.hpp"
#include "nifti_bytes.hpp"
#include "raster_bytes.hpp"

using Catch::Matchers::Contains;
using ivado::Array;
using ivado::Directions;
using ivado::Geometry;
using ivado::NonFinite;
using ivado::read_volume;
using ivado::ReadOptions;
using ivado::ReadReport;
using ivado::Shape;
using ivado::StoredType;
using ivado::Volume;
using ivado::write_volume;
using test::Nifti;

namespace {

bool mentions(const std::vector<std::string>& warnings, const std::string& words) {
  for (const auto& warning : warnings)
    if (warning.find(words) != std::string::npos) return true;
  return false;
}

/// An affine that is oblique and sheared, in a left-handed frame.
Eigen::Matrix4d sheared() {
  Eigen::Matrix4d affine;
  affine << -1.9, 0.11, 0.4, 33.25,  //
      0.2, 1.45, -0.31, -20.5,       //
      -0.13, 0.3, 3.07, 7.125,       //
      0, 0, 0, 1;
  return affine;
}

/// The affine as a float32 header holds it.
Eigen::Matrix4d rounded(const Eigen::Matrix4d& affine) { return affine.cast<float>().cast<double>(); }

/// An array indexed (i, j, k) with values of its own at each place.
Array<float> numbered(const Shape& shape, float scale) {
  Array<float> out(shape);
  for (std::int64_t n = 0; n < out.size(); ++n) out[n] = scale * static_cast<float>((n * 37) % 251);
  return out;
}

std::size_t files_in(const test::Folder& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder.path()), {}));
}

/// Reads a written file's header after its sform is switched off, so that the qform counts.
ivado::NiftiHeader qform_of(const test::Folder& folder, const std::string& path) {
  std::string bytes = test::read_bytes(path);
  bytes[254] = 0;
  test::write_bytes(folder / "qform.nii", bytes);
  return ivado::read_nifti_header(folder / "qform.nii");
}

void write_nifti(const std::string& path, const Nifti& file) {
  test::write_bytes(path, path.ends_with(".gz") ? test::gzip(file.bytes()) : file.bytes());
}

}  // namespace

TEST_CASE("a volume that is written is read again with its voxels and its affine") {
  const Shape shape = GENERATE(Shape{1, 1, 1}, Shape{2, 3, 4}, Shape{13, 7, 5}, Shape{1, 17, 1}, Shape{64, 33, 3});
  const std::string name = GENERATE("a.nii", "a.nii.gz");
  const StoredType type = GENERATE(StoredType::float32, StoredType::uint8);
  const test::Folder folder;
  const Geometry geometry{shape, sheared()};
  const Array<float> voxels = numbered(shape, type == StoredType::uint8 ? 1.0F : 0.37F);
  write_volume(folder / name, voxels.view(), geometry, type);
  CHECK(files_in(folder) == 1);
  ReadReport report;
  const Volume read = read_volume(folder / name, {}, &report);
  CHECK(report.warnings.empty());
  CHECK(read.stored_type == (type == StoredType::uint8 ? "uint8" : "float32"));
  CHECK(read.path == folder / name);
  CHECK(read.geometry.shape == shape);
  CHECK(read.geometry.affine == rounded(geometry.affine));
  CHECK(read.voxels.shape() == Shape{shape[2], shape[1], shape[0]});
  CHECK(Array<float>::from(read.view()) == voxels);
}

TEST_CASE("the affine is written exactly in every orientation, the qform as the nearest rotation") {
  const Eigen::Vector3d axis = Eigen::Vector3d(GENERATE(0.0, 1.0), 1, GENERATE(-2.0, 0.3)).normalized();
  const double angle = GENERATE(0.0, 0.4, 1.6, 3.1, 3.14159265);
  const double hand = GENERATE(1.0, -1.0);
  Geometry geometry{{3, 4, 5}, Eigen::Matrix4d::Identity()};
  geometry.affine.topLeftCorner<3, 3>() =
      Eigen::AngleAxisd(angle, axis).toRotationMatrix() * Eigen::Vector3d(0.5, 1.25 * hand, 3).asDiagonal();
  geometry.affine.col(3) << -90.5, 126, -72, 1;
  const test::Folder folder;
  write_volume(folder / "a.nii", Array<float>(geometry.shape, 1).view(), geometry, StoredType::uint8);
  const auto header = ivado::read_nifti_header(folder / "a.nii");
  CHECK(header.sform_code == 1);
  CHECK(header.qform_code == 1);
  CHECK(header.affine == rounded(geometry.affine));
  CHECK(header.warnings.empty());
  const auto by_qform = qform_of(folder, folder / "a.nii");
  CHECK(by_qform.affine_source == ivado::NiftiHeader::AffineSource::qform);
  // Quaternions near a half turn lose digits in √(1 - b² - c² - d²): 1e-3 of 5 voxels of 3 mm is the most.
  CHECK(ivado::corner_distance_mm(by_qform.geometry(), geometry) < 0.01);
  CHECK(test::read_bytes(folder / "a.nii")[123] == 2);
}

TEST_CASE("the qform of a sheared affine is the rotation nearest to it") {
  const test::Folder folder;
  const Geometry geometry{{3, 4, 5}, sheared()};
  write_volume(folder / "a.nii", Array<float>(geometry.shape, 1).view(), geometry, StoredType::float32);
  const Eigen::Matrix4d q = qform_of(folder, folder / "a.nii").affine;
  const Geometry nearest = ivado::nearest_orthonormal(geometry);
  // The header holds the quaternion in float32, and a = √(1 - b² - c² - d²) loses digits near a half turn.
  CHECK((q.topLeftCorner<3, 3>() - nearest.affine.topLeftCorner<3, 3>()).cwiseAbs().maxCoeff() < 1e-4);
  CHECK((q.col(3) - geometry.affine.col(3)).cwiseAbs().maxCoeff() < 1e-5);
}

TEST_CASE("classes are the fourth axis of the file") {
  const Shape shape{3, 4, 5, GENERATE(1, 2, 7)};
  const test::Folder folder;
  const Array<float> voxels = numbered(shape, 0.5F);
  write_volume(folder / "a.nii.gz", voxels.view(), Geometry{{3, 4, 5}, sheared()}, StoredType::float32);
  const auto header = ivado::read_nifti_header(folder / "a.nii.gz");
  CHECK(header.shape == std::vector<std::int64_t>{3, 4, 5, shape[3]});
  CHECK(header.affine == rounded(sheared()));
  Array<float> stored(Shape{shape[3], 5, 4, 3});
  ivado::detail::VoxelStream stream(header);
  stream.read(stored.data(), stored.size());
  CHECK(Array<float>::from(std::as_const(stored).view().permute({3, 2, 1, 0})) == voxels);
  if (shape[3] == 1)
    CHECK(Array<float>::from(read_volume(folder / "a.nii.gz").view()) ==
          Array<float>::from(voxels.view().select(3, 0)));
  else
    CHECK_THROWS_WITH(read_volume(folder / "a.nii.gz"),
                      Contains("a.nii.gz") && Contains(header.shape_text()) && Contains("one 3-D volume"));
  CHECK(ivado::read_geometry(folder / "a.nii.gz").shape == Shape{3, 4, 5});
}

TEST_CASE("a view with any strides is written as it is indexed") {
  const test::Folder folder;
  Array<float> memory = numbered({5, 4, 3}, 1);
  const auto view = std::as_const(memory).view().permute({2, 0, 1}).flip(1);  // (3, 5, 4)
  write_volume(folder / "a.nii", view, Geometry{{3, 5, 4}, sheared()}, StoredType::float32);
  CHECK(Array<float>::from(read_volume(folder / "a.nii").view()) == Array<float>::from(view));
}

TEST_CASE("the same volume makes the same bytes") {
  const test::Folder folder;
  const Array<float> voxels = numbered({9, 8, 7}, 0.1F);
  const std::string name = GENERATE("a.nii", "a.nii.gz");
  write_volume(folder / name, voxels.view(), Geometry{{9, 8, 7}, sheared()}, StoredType::float32);
  const std::string first = test::read_bytes(folder / name);
  write_volume(folder / ("b" + name), voxels.view(), Geometry{{9, 8, 7}, sheared()}, StoredType::float32);
  CHECK(test::read_bytes(folder / ("b" + name)) == first);
}

TEST_CASE("8-bit values are rounded and must fit") {
  const test::Folder folder;
  const Geometry geometry{{4, 1, 1}, sheared()};
  Array<float> voxels(geometry.shape);
  std::copy_n(std::array{0.4F, 0.6F, 254.7F, 255.4F}.begin(), 4, voxels.data());
  write_volume(folder / "a.nii", voxels.view(), geometry, StoredType::uint8);
  const Volume read = read_volume(folder / "a.nii");
  CHECK(std::vector<float>(read.voxels.begin(), read.voxels.end()) == std::vector<float>{0, 1, 255, 255});
  voxels[2] = GENERATE(-0.6F, 255.6F, 1e30F, NAN, -INFINITY);
  CHECK_THROWS_WITH(write_volume(folder / "b.nii", voxels.view(), geometry, StoredType::uint8),
                    Contains("b.nii") && Contains("[0, 255]"));
  CHECK(files_in(folder) == 1);
}

TEST_CASE("what cannot be written is an error and leaves nothing behind") {
  const test::Folder folder;
  const Array<float> voxels = numbered({4, 3, 2}, 1);
  const Geometry geometry{{4, 3, 2}, sheared()};
  const auto write = [&](const std::string& name, const Geometry& grid) {
    write_volume(folder / name, voxels.view(), grid, StoredType::float32);
  };
  CHECK_THROWS_WITH(write("missing/a.nii.gz", geometry), Contains("missing") && Contains("does not exist"));
  CHECK_FALSE(std::filesystem::exists(folder / "missing"));
  CHECK_THROWS_WITH(write("a.png", geometry), Contains("a.png") && Contains(".nii or .nii.gz"));
  CHECK_THROWS_WITH(write("a.nii", Geometry{{4, 3, 3}, sheared()}), Contains("4x3x2") && Contains("4x3x3"));
  Geometry flat = geometry;
  flat.affine.col(1) = flat.affine.col(0);
  CHECK_THROWS_WITH(write("a.nii", flat), Contains("singular"));
  CHECK_THROWS_WITH(write_volume(folder / "a.nii", voxels.view().select(0, 0), geometry, StoredType::float32),
                    Contains("3 or 4 axes"));
  const Array<float> longest(Shape{32768, 1, 1}, 0);
  CHECK_THROWS_WITH(
      write_volume(folder / "a.nii", longest.view(), Geometry{longest.shape(), sheared()}, StoredType::uint8),
      Contains("32767"));
  std::filesystem::create_directory(folder / "taken.nii");
  CHECK_THROWS_AS(write("taken.nii", geometry), ivado::Error);
  CHECK(files_in(folder) == 1);
}

TEST_CASE("a disk that takes only a part is an error, and the old file stays") {
  const test::Folder folder;
  const std::string name = GENERATE("a.nii", "a.nii.gz");
  const Shape shape{32, 32, 32};
  Array<float> voxels(shape);
  std::uint32_t state = 1;
  for (float& value : voxels) value = static_cast<float>((state = state * 1664525U + 1013904223U) >> 8);
  const Geometry geometry{shape, sheared()};
  test::write_bytes(folder / name, "before");
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{40000, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    write_volume(folder / name, voxels.view(), geometry, StoredType::float32);
  } catch (const ivado::Error& fault) {
    message = fault.what();
  }
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(message, Contains(name) && Contains("free space"));
  CHECK(test::read_bytes(folder / name) == "before");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("stored numbers of every type become float32 after scaling") {
  const bool big_endian = GENERATE(false, true);
  const std::string name = GENERATE("a.nii", "a.nii.gz");
  const int version = GENERATE(1, 2);
  const auto [slope, inter] = GENERATE(table<double, double>({{0, 0}, {1, 0}, {0.5, -10}, {-3, 1e6}}));
  const test::Folder folder;
  for (const int code : {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280}) {
    CAPTURE(code);
    ivado::detail::with_stored_type(code, [&, slope = slope, inter = inter](auto number) {
      using T = decltype(number);
      Nifti file;
      file.version = version;
      file.big_endian = big_endian;
      file.datatype = code;
      file.slope = slope;
      file.inter = inter;
      std::vector<T> values;
      for (int i = 0; i < 24; ++i)
        values.push_back(
            static_cast<T>(static_cast<T>(i * 5 + 1) * (std::is_signed_v<T> && i % 2 == 0 ? T(-1) : T(1))));
      values[3] = std::numeric_limits<T>::max();
      values[4] = std::numeric_limits<T>::lowest();
      file.set_voxels(values);
      write_nifti(folder / name, file);
      ReadOptions options;
      options.non_finite = NonFinite::keep;  // the largest float64 is no float32
      const Volume read = read_volume(folder / name, options);
      CHECK(read.stored_type == ivado::read_nifti_header(folder / name).type);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double value =
            slope == 0 ? static_cast<double>(values[i]) : static_cast<double>(values[i]) * slope + inter;
        CHECK(read.voxels[static_cast<std::int64_t>(i)] == static_cast<float>(value));
      }
    });
  }
}

TEST_CASE("ITK and ivado decode whole numbers alike") {
  Nifti file;
  file.pair = GENERATE(false, true);
  file.datatype = GENERATE(4, 8);
  if (file.datatype == 4) {
    std::vector<std::int16_t> values(24);
    for (std::size_t i = 0; i < 24; ++i) values[i] = static_cast<std::int16_t>(i * 2731 - 30000);
    file.set_voxels(values);
  } else {
    std::vector<std::int32_t> values(24);
    for (std::size_t i = 0; i < 24; ++i) values[i] = static_cast<std::int32_t>(i) * 81234567 - 1000000000;
    file.set_voxels(values);
  }
  const test::Folder folder;
  const std::string gz = GENERATE("", ".gz");
  const auto pack = [&](const std::string& bytes) { return gz.empty() ? bytes : test::gzip(bytes); };
  const std::string path = folder / ((file.pair ? "a.hdr" : "a.nii") + gz);
  test::write_bytes(path, pack(file.pair ? file.header() : file.bytes()));
  if (file.pair) test::write_bytes(folder / ("a.img" + gz), pack(file.voxels));
  const auto header = ivado::read_nifti_header(path);
  std::string ours(file.voxels.size(), '\0');
  ivado::detail::VoxelStream stream(header);
  stream.read(ours.data(), 24);
  CHECK(ours == file.voxels);
  const auto itk_alone = itk::NiftiImageIO::New();
  itk_alone->SetFileName(path);
  itk_alone->ReadImageInformation();
  itk::ImageIORegion whole(3);
  for (unsigned axis = 0; axis < 3; ++axis) whole.SetSize(axis, itk_alone->GetDimensions(axis));
  itk_alone->SetIORegion(whole);
  std::string theirs(file.voxels.size(), '\0');
  itk_alone->Read(theirs.data());
  CHECK(theirs == file.voxels);
  const auto checked = ivado::detail::CheckedNiftiIO::make();
  checked->use(header);
  std::string found(file.voxels.size(), '\0');
  checked->Read(found.data());
  CHECK(found == file.voxels);
}

TEST_CASE("a wrong check sum is refused, whatever ITK thinks of it") {
  Nifti file;
  file.datatype = GENERATE(4, 16);
  if (file.datatype == 4)
    file.set_voxels(std::vector<std::int16_t>(24, 77));
  else
    file.set_voxels(std::vector<float>(24, 77));
  std::string bytes = test::gzip(file.bytes());
  bytes[bytes.size() - 7] = static_cast<char>(bytes[bytes.size() - 7] ^ 4);
  const test::Folder folder;
  test::write_bytes(folder / "a.nii.gz", bytes);
  CHECK_THROWS_WITH(read_volume(folder / "a.nii.gz"), Contains("a.nii.gz") && Contains("corrupt") && Contains("check"));
  // Two members and a tail have no check sum of the whole at their end; they are read all the same.
  const std::string all = file.bytes();
  test::write_bytes(folder / "b.nii.gz", test::gzip(all.substr(0, 360)) + test::gzip(all.substr(360)) + "tail");
  ReadReport report;
  CHECK(read_volume(folder / "b.nii.gz", {}, &report).voxels[23] == 77);
  CHECK(mentions(report.warnings, "4 trailing garbage bytes"));
}

TEST_CASE("voxels that are not finite are set to 0 and counted, kept or refused") {
  Nifti file;
  file.datatype = GENERATE(16, 64);
  std::vector<double> values(24, 1.5);
  values[2] = NAN;
  values[5] = INFINITY;
  values[23] = -INFINITY;
  if (file.datatype == 64)
    file.set_voxels(values);
  else
    file.set_voxels(std::vector<float>(values.begin(), values.end()));
  const test::Folder folder;
  const std::string path = folder / GENERATE("a.nii", "a.nii.gz");
  write_nifti(path, file);
  ReadReport report;
  ReadOptions options;
  const Volume zero = read_volume(path, options, &report);
  CHECK(report.non_finite == 3);
  CHECK(mentions(report.warnings, "3 voxels that are NaN or infinite were set to 0"));
  CHECK(zero.voxels[2] == 0);
  CHECK(zero.voxels[5] == 0);
  CHECK(zero.voxels[23] == 0);
  CHECK(zero.voxels[3] == 1.5F);
  options.non_finite = NonFinite::keep;
  const Volume kept = read_volume(path, options, &report);
  CHECK(report.non_finite == 3);
  CHECK(std::isnan(kept.voxels[2]));
  CHECK(kept.voxels[5] == INFINITY);
  CHECK(kept.voxels[23] == -INFINITY);
  options.non_finite = NonFinite::refuse;
  CHECK_THROWS_WITH(read_volume(path, options), Contains(path) && Contains("3 of its 24 voxels are NaN or infinite"));
}

TEST_CASE("axes that are not at right angles are kept, repaired or refused") {
  Nifti file;
  file.srow = {2, 0.1, 0, -13, 0, 1.5, 0, -20, 0, 0, 3, 7};
  const test::Folder folder;
  write_nifti(folder / "a.nii", file);
  ReadReport report;
  ReadOptions options;
  const Volume kept = read_volume(folder / "a.nii", options, &report);
  CHECK(kept.geometry.affine(0, 1) == static_cast<double>(0.1F));
  CHECK(report.warnings.empty());

  options.directions = Directions::repair;
  const Volume repaired = read_volume(folder / "a.nii", options, &report);
  const Eigen::Matrix3d axes = repaired.geometry.affine.topLeftCorner<3, 3>();
  CHECK(std::abs(axes.col(0).dot(axes.col(1))) < 1e-12);
  const auto before = kept.geometry.spacing_mm();
  const auto after = repaired.geometry.spacing_mm();
  for (std::size_t a = 0; a < 3; ++a) CHECK(after[a] == Approx(before[a]));
  // The centre of the grid stays.
  const Eigen::Vector4d centre(0.5, 1, 1.5, 1);
  CHECK((repaired.geometry.affine * centre - kept.geometry.affine * centre).norm() < 1e-12);
  CHECK(mentions(report.warnings, "repaired"));

  options.directions = Directions::refuse;
  CHECK_THROWS_WITH(read_volume(folder / "a.nii", options),
                    Contains("a.nii") && Contains("right angles") && Contains("mm off"));
  // In mm at the corners of this small grid, the shear is below a millimetre.
  options.direction_tolerance_mm = 1;
  CHECK(read_volume(folder / "a.nii", options).geometry.affine == kept.geometry.affine);
}

TEST_CASE("the nearest orthonormal grid") {
  // Symmetric shear in one plane: the nearest rotation is none, and both axes keep their length.
  Geometry geometry{{3, 3, 3}, Eigen::Matrix4d::Identity()};
  geometry.affine.topLeftCorner<2, 2>() << 1, 0.2, 0.2, 1;
  const Geometry repaired = ivado::nearest_orthonormal(geometry);
  const double length = std::sqrt(1.04);
  CHECK(
      (repaired.affine.topLeftCorner<3, 3>() - Eigen::Vector3d(length, length, 1).asDiagonal().toDenseMatrix()).norm() <
      1e-12);
  // A flipped grid stays flipped.
  geometry.affine.col(0) *= -1;
  CHECK(ivado::nearest_orthonormal(geometry).affine.topLeftCorner<3, 3>().determinant() < 0);
  geometry.affine.col(0).setZero();
  CHECK_THROWS_WITH(ivado::nearest_orthonormal(geometry), Contains("singular"));
}

TEST_CASE("read options come from JSON") {
  const auto options =
      ivado::from_json<ReadOptions>(ivado::Json::parse(R"({"directions": "repair", "non_finite": "keep"})"), "read");
  CHECK(options.directions == Directions::repair);
  CHECK(options.non_finite == NonFinite::keep);
  CHECK(options.direction_tolerance_mm == 0.01);
  CHECK(ivado::to_json(ReadOptions{})["directions"] == "keep");
  CHECK_THROWS_WITH(ivado::from_json<ReadOptions>(ivado::Json::parse(R"({"non_finite": "zeros"})"), "read"),
                    Contains("read.non_finite") && Contains("zero"));
}

TEST_CASE("two dimensions and one volume of four are three dimensions") {
  Nifti file;
  std::vector<std::int16_t> values(24);
  for (std::size_t i = 0; i < 24; ++i) values[i] = static_cast<std::int16_t>(i);
  file.set_voxels(values);
  const auto [dim, shape] =
      GENERATE(table<std::array<std::int64_t, 8>, Shape>({{{2, 4, 6, 1, 1, 1, 1, 1}, Shape{4, 6, 1}},
                                                          {{4, 4, 3, 2, 1, 1, 1, 1}, Shape{4, 3, 2}},
                                                          {{7, 4, 3, 2, 1, 1, 1, 1}, Shape{4, 3, 2}}}));
  file.dim = dim;
  const test::Folder folder;
  const std::string path = folder / GENERATE("a.nii", "a.nii.gz");
  write_nifti(path, file);
  const Volume read = read_volume(path);
  CHECK(read.geometry.shape == shape);
  for (std::int64_t i = 0; i < 24; ++i) CHECK(read.voxels[i] == static_cast<float>(i));
  CHECK(read.view()(1, 2, 0) == 9);
}

TEST_CASE("grids that differ are an error that names both files and the difference") {
  const auto volume = [](const std::string& path, const Shape& shape) {
    Volume v;
    v.path = path;
    v.geometry.shape = shape;
    v.geometry.affine.diagonal() << 0.5, 0.5, 4, 1;
    return v;
  };
  const Volume image = volume("sub-03_T2w.nii.gz", {11, 11, 5});
  const auto compare = [&](const Volume& label) { ivado::check_same_grid(label, image, 0.1); };
  Volume label = volume("sub-03_seg.nii.gz", {11, 11, 5});
  CHECK_NOTHROW(compare(label));
  label.geometry.affine(0, 3) = 0.09;
  CHECK_NOTHROW(compare(label));
  label.geometry.affine(0, 3) = 0.25;
  CHECK_THROWS_WITH(compare(label), Contains("sub-03_seg.nii.gz") && Contains("sub-03_T2w.nii.gz") &&
                                        Contains("0.25 mm apart, allowed 0.1 mm"));
  label.geometry.affine(0, 3) = 0;
  label.geometry.affine(0, 0) = 0.75;
  CHECK_THROWS_WITH(compare(label), Contains("2.5 mm apart") && Contains("0.75×0.5×4 mm") && Contains("0.5×0.5×4 mm"));
  label.geometry.affine(0, 0) = -0.5;
  CHECK_THROWS_WITH(compare(label), Contains("10 mm apart") && Contains("LAS") && Contains("RAS"));
  label = volume("sub-03_seg.nii.gz", {11, 10, 5});
  CHECK_THROWS_WITH(compare(label), Contains("sub-03_seg.nii.gz has 11x10x5") &&
                                        Contains("sub-03_T2w.nii.gz has 11x11x5") && Contains("resample"));
  // NaN is no match.
  label = volume("sub-03_seg.nii.gz", {11, 11, 5});
  label.geometry.affine(1, 1) = NAN;
  CHECK_THROWS(compare(label));
}

TEST_CASE("several threads read at once") {
  const test::Folder folder;
  std::vector<Array<float>> expected;
  for (int n = 0; n < 4; ++n) {
    const Shape shape{17, 9, 5 + n};
    expected.push_back(numbered(shape, n % 2 == 0 ? 1.0F : 0.25F));
    write_volume(folder / ("f" + std::to_string(n) + ".nii.gz"), expected.back().view(), Geometry{shape, sheared()},
                 n % 2 == 0 ? StoredType::uint8 : StoredType::float32);
  }
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (std::size_t round = 0; round < 50; ++round) {
          const std::size_t n = (t + round) % 4;
          const Volume read = read_volume(folder / ("f" + std::to_string(n) + ".nii.gz"));
          if (!(Array<float>::from(read.view()) == expected[n])) ++wrong[t];
        }
      });
  }
  CHECK(wrong == std::vector<int>{0, 0, 0, 0});
}

TEST_CASE("volumes of the odd and broken files") {
  const auto data = test::data_folder();
  if (data.empty()) {
    WARN("skipped: the data are not here");
    return;
  }
  const auto folder = data / "formats";
  const ivado::Json cases = ivado::read_json((folder / "expected.json").string())["cases"];
  REQUIRE(!cases.empty());
  int read = 0;
  int refused = 0;
  for (const auto& one : cases) {
    const std::string file = one["file"];
    CAPTURE(file);
    const ivado::Json expected = one.value("expected", ivado::Json::object());
    const bool volume = file.starts_with("nifti/") && expected.contains("voxels") &&
                        (expected["shape"].size() <= 3 || expected["shape"][3] == 1);
    const auto begin = std::chrono::steady_clock::now();
    try {
      ReadReport report;
      const Volume found = read_volume((folder / file).string(), {}, &report);
      ++read;
      CHECK(one["outcome"] != "refuse");
      REQUIRE(expected.contains("voxels"));
      for (std::size_t a = 0; a < 3; ++a)
        CHECK(found.geometry.spacing_mm()[a] == Approx(expected["zooms"][a].get<double>()).epsilon(1e-5));
      for (const auto& voxel : expected["voxels"]) {
        const auto at = voxel["ijk"].get<std::vector<std::int64_t>>();
        if (!voxel["value"].is_number()) continue;
        CHECK(found.view()(at[0], at[1], at.size() > 2 ? at[2] : 0) ==
              Approx(voxel["value"].get<double>()).epsilon(1e-6));
      }
      CHECK(report.non_finite ==
            expected["nan"].get<int>() + expected["posinf"].get<int>() + expected["neginf"].get<int>());
    } catch (const ivado::Error& fault) {
      ++refused;
      CHECK_FALSE(volume);
      CHECK(fault.exit_status() == 3);
      CHECK_THAT(fault.what(), Contains(std::filesystem::path(file).filename().string()));
    }
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
  }
  CHECK(read >= 26);
  CHECK(refused >= 40);
}

TEST_CASE("one door reads and writes NIfTI and pictures") {
  const test::Folder folder;
  const ivado::Json size{{"PixelSize", {0.2, 0.1}}, {"PixelSizeUnits", "um"}};
  write_nifti(folder / "a.nii.gz", Nifti{});
  CHECK(ivado::read_image(folder / "a.nii.gz", nullptr).voxels == read_volume(folder / "a.nii.gz").voxels);

  test::Png png;
  png.bits = 16;
  png.samples = {0, 300, 65535, 0, 1, 2};
  test::write_bytes(folder / "a.png", png.bytes());
  const Volume image = ivado::read_image(folder / "a.png", size);
  CHECK(image.view()(0, 1, 0) == 300);
  CHECK(image.geometry.spacing_mm()[0] == Approx(0.0001));
  CHECK(ivado::read_image(folder / "a.png", size, ivado::Kind::image, {.as_ivadomed = true}).view()(0, 1, 0) == 1);
  CHECK(ivado::read_image(folder / "a.png", size, ivado::Kind::label).view()(0, 2, 0) == 1);
  CHECK_THROWS_WITH(ivado::read_image(folder / "a.png", ivado::Json::object()),
                    Contains("a.png") && Contains("PixelSize") && Contains("sidecar"));

  // Numbers that are not finite, in a picture.
  test::TiffPart page;
  page.width = 2;
  page.height = 1;
  page.bits = 32;
  page.format = 3;
  const std::array<float, 2> values{NAN, 7};
  page.data = {std::string(reinterpret_cast<const char*>(values.data()), 8)};
  test::write_bytes(folder / "a.tif", test::tiff({page}));
  ReadReport report;
  CHECK(ivado::read_image(folder / "a.tif", size, ivado::Kind::image, {}, &report).view()(0, 0, 0) == 0);
  CHECK(report.non_finite == 1);
  CHECK(mentions(report.warnings, "set to 0"));
  CHECK_THROWS_WITH(ivado::read_image(folder / "a.tif", size, ivado::Kind::image, {.non_finite = NonFinite::refuse}),
                    Contains("a.tif") && Contains("1 of its 2 voxels"));

  Array<float> mask(Shape{2, 3, 1}, 0.0F);
  mask[4] = 1;
  for (const auto* name : {"mask.png", "mask.nii.gz"}) {
    ivado::write_image(folder / name, mask.view(), image.geometry, StoredType::uint8);
    const Volume read = ivado::read_image(folder / name, size, ivado::Kind::label);
    CHECK(read.stored_type == "uint8");
    for (std::int64_t i = 0; i < 6; ++i) CHECK(read.view()(i / 3, i % 3, 0) == mask[i]);
    CHECK(ivado::corner_distance_mm(read.geometry, image.geometry) < 1e-9);
  }
  CHECK(files_in(folder) == 5);
}
