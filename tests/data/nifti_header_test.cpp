// NIfTI and Analyze headers: what is read from them, and what is refused.
#include "ivado/data/nifti_header.hpp"

#include <sys/stat.h>

#include <Eigen/Geometry>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "nifti_bytes.hpp"

using Catch::Matchers::Contains;
using ivado::NiftiHeader;
using ivado::read_nifti_header;
using test::Nifti;

namespace {

/// Reads the header of these bytes from a file of this name.
NiftiHeader parse(const std::string& bytes, const std::string& name = "image.nii") {
  const test::Folder folder;
  test::write_bytes(folder / name, bytes);
  return read_nifti_header(folder / name);
}

bool mentions(const std::vector<std::string>& warnings, const std::string& words) {
  for (const auto& warning : warnings)
    if (warning.find(words) != std::string::npos) return true;
  return false;
}

std::vector<double> numbers(const Eigen::Matrix4d& m) {
  std::vector<double> out;
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 4; ++column) out.push_back(m(row, column));
  return out;
}

}  // namespace

TEST_CASE("every field is read from either version, byte order and compression") {
  Nifti file;
  file.version = GENERATE(1, 2);
  file.big_endian = GENERATE(false, true);
  const bool compressed = GENERATE(false, true);
  file.slope = 0.5;
  file.inter = -10;
  file.qform = 1;
  file.sform = 2;
  const std::string bytes = compressed ? test::gzip(file.bytes()) : file.bytes();
  const NiftiHeader header = parse(bytes, compressed ? "image.nii.gz" : "image.nii");
  CHECK(header.container == (file.version == 1 ? NiftiHeader::Container::nifti1 : NiftiHeader::Container::nifti2));
  CHECK(header.gzip == compressed);
  CHECK(header.big_endian == file.big_endian);
  CHECK(header.shape == std::vector<std::int64_t>{2, 3, 4});
  CHECK(header.shape_text() == "2x3x4");
  CHECK(header.type == "int16");
  CHECK(header.bytes_per_voxel == 2);
  CHECK(header.voxels() == 24);
  CHECK(header.bytes() == 48);
  CHECK(header.volumes() == 1);
  CHECK(header.voxel_offset == (file.version == 1 ? 352 : 544));
  CHECK(header.scaled());
  CHECK(header.slope() == 0.5);
  CHECK(header.intercept() == -10);
  CHECK(header.qform_code == 1);
  CHECK(header.sform_code == 2);
  CHECK(header.affine_source == NiftiHeader::AffineSource::sform);
  CHECK(numbers(header.affine) == std::vector<double>{2, 0, 0, -13, 0, 1.5, 0, -20, 0, 0, 3, 7, 0, 0, 0, 1});
  CHECK(header.geometry().shape == ivado::Shape{2, 3, 4});
  CHECK(header.geometry().spacing_mm() == std::array<double, 3>{2, 1.5, 3});
}

TEST_CASE("number types have the names and sizes of the standard") {
  const auto [code, name, size] = GENERATE(table<int, std::string, int>({{2, "uint8", 1},
                                                                         {4, "int16", 2},
                                                                         {8, "int32", 4},
                                                                         {16, "float32", 4},
                                                                         {64, "float64", 8},
                                                                         {256, "int8", 1},
                                                                         {512, "uint16", 2},
                                                                         {768, "uint32", 4},
                                                                         {1024, "int64", 8},
                                                                         {1280, "uint64", 8}}));
  Nifti file;
  file.datatype = code;
  file.bitpix = 8 * size;
  file.voxels.assign(static_cast<std::size_t>(24 * size), '\0');
  const NiftiHeader header = parse(file.bytes());
  CHECK(header.type == name);
  CHECK(header.bytes_per_voxel == size);
  CHECK(header.warnings.empty());
  const auto [bytes, whole, negative] = ivado::detail::with_stored_type(code, [](auto number) {
    using T = decltype(number);
    return std::tuple{static_cast<int>(sizeof(T)), std::is_integral_v<T>, std::is_signed_v<T>};
  });
  CHECK(bytes == size);
  CHECK(whole == (name.find("int") != std::string::npos));
  CHECK(negative == (name[0] != 'u'));
}

TEST_CASE("a slope of 0 or one that is not finite is none") {
  const auto [slope, inter, scaled, slope_used, inter_used] =
      GENERATE(table<double, double, bool, double, double>({{0, 5, false, 1, 0},
                                                            {NAN, 5, false, 1, 0},
                                                            {INFINITY, 5, false, 1, 0},
                                                            {1, 0, false, 1, 0},
                                                            {1, 5, true, 1, 5},
                                                            {-2, 0, true, -2, 0},
                                                            {2, NAN, true, 2, 0}}));
  Nifti file;
  file.slope = slope;
  file.inter = inter;
  const NiftiHeader header = parse(file.bytes());
  CHECK(header.scaled() == scaled);
  CHECK(header.slope() == slope_used);
  CHECK(header.intercept() == inter_used);
  CHECK(mentions(header.warnings, "scl_inter") == (slope == 2));
}

TEST_CASE("the sform goes before the qform, the qform before the voxel sizes") {
  Nifti file;
  file.version = GENERATE(1, 2);
  file.qform = 1;
  // A quarter turn about z: R = [0 -1 0; 1 0 0; 0 0 1].
  file.quaternion = {0, 0, std::sqrt(0.5)};
  file.offset = {10, 20, 30};
  CHECK(parse(file.bytes()).affine(0, 0) == 2);

  file.sform = 0;
  const NiftiHeader turned = parse(file.bytes());
  CHECK(turned.affine_source == NiftiHeader::AffineSource::qform);
  Eigen::Matrix4d expected;
  expected << 0, -1.5, 0, 10, 2, 0, 0, 20, 0, 0, 3, 30, 0, 0, 0, 1;
  CHECK((turned.affine - expected).cwiseAbs().maxCoeff() < 1e-6);  // the quaternion is a float
  CHECK(turned.warnings.empty());

  file.pixdim[0] = -1;
  expected.col(2) *= -1;
  CHECK((parse(file.bytes()).affine - expected).cwiseAbs().maxCoeff() < 1e-6);

  file.qform = 0;
  const NiftiHeader unknown = parse(file.bytes());
  CHECK(unknown.affine_source == NiftiHeader::AffineSource::voxel_sizes);
  CHECK(numbers(unknown.affine) == std::vector<double>{2, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1});
  CHECK(mentions(unknown.warnings, "orientation is unknown"));
}

TEST_CASE("quaternions turn as Eigen's do") {
  const double angle = GENERATE(0.0, 0.3, 1.0, 2.0, 3.0, 3.14159265358979);
  const Eigen::Vector3d axis = Eigen::Vector3d(1, -2, 0.5).normalized();
  const Eigen::Quaterniond q(Eigen::AngleAxisd(angle, axis));
  CHECK((ivado::detail::quaternion_rotation(q.x(), q.y(), q.z()) - q.toRotationMatrix()).cwiseAbs().maxCoeff() < 1e-9);
  // Rounded beyond length 1, it is a half turn about the same axis.
  const Eigen::Quaterniond half(Eigen::AngleAxisd(static_cast<double>(EIGEN_PI), axis));
  CHECK(
      (ivado::detail::quaternion_rotation(1.001 * axis[0], 1.001 * axis[1], 1.001 * axis[2]) - half.toRotationMatrix())
          .cwiseAbs()
          .maxCoeff() < 1e-9);
}

TEST_CASE("lengths in other units are turned into mm") {
  const auto [code, factor] = GENERATE(table<int, double>({{0, 1}, {1, 1e3}, {2, 1}, {3, 1e-3}, {2 + 8, 1}}));
  Nifti file;
  file.units = code;
  const NiftiHeader by_sform = parse(file.bytes());
  file.sform = 0;
  file.qform = 1;
  file.offset = {-13, -20, 7};
  const NiftiHeader by_qform = parse(file.bytes());
  for (const auto& header : {by_sform, by_qform}) {
    CHECK(header.affine(0, 0) == Approx(2 * factor));
    CHECK(header.affine(1, 3) == Approx(-20 * factor));
    CHECK(header.affine(3, 3) == 1);
    CHECK(mentions(header.warnings, "turned into mm") == (factor != 1));
  }
}

TEST_CASE("a pair is read from either of its names") {
  Nifti file;
  file.version = GENERATE(0, 1, 2);
  file.pair = true;
  const bool compressed = GENERATE(false, true);
  const std::string gz = compressed ? ".gz" : "";
  const test::Folder folder;
  test::write_bytes(folder / ("a.hdr" + gz), compressed ? test::gzip(file.header()) : file.header());
  test::write_bytes(folder / ("a.img" + gz), compressed ? test::gzip(file.voxels) : file.voxels);
  for (const std::string name : {"a.hdr", "a.img"}) {
    const NiftiHeader header = read_nifti_header(folder / (name + gz));
    CHECK(header.header_path == folder / ("a.hdr" + gz));
    CHECK(header.data_path == folder / ("a.img" + gz));
    CHECK(header.voxel_offset == 0);
    CHECK(header.gzip == compressed);
    if (file.version == 0) {
      CHECK(header.container == NiftiHeader::Container::analyze);
      CHECK(header.affine.diagonal() == Eigen::Vector4d(2, 1.5, 3, 1));
      CHECK(header.affine(0, 3) == 0);
      CHECK(mentions(header.warnings, "Analyze 7.5 stores no orientation"));
    } else {
      CHECK(header.container ==
            (file.version == 1 ? NiftiHeader::Container::nifti1_pair : NiftiHeader::Container::nifti2_pair));
      CHECK(header.affine(0, 3) == -13);
    }
  }
  std::filesystem::remove(folder / ("a.img" + gz));
  CHECK_THROWS_WITH(read_nifti_header(folder / ("a.hdr" + gz)),
                    Contains("a.hdr") && Contains(".img file that belongs to it is missing"));
}

TEST_CASE("oddities are read and reported") {
  Nifti file;
  SECTION("bitpix") {
    file.bitpix = 64;
    CHECK(mentions(parse(file.bytes()).warnings, "bitpix is 64, but the datatype int16 has 16 bits"));
  }
  SECTION("bytes behind the voxels") {
    CHECK(mentions(parse(file.bytes() + "four").warnings, "4 bytes behind the voxels"));
  }
  SECTION("not compressed, named .gz") {
    const NiftiHeader header = parse(file.bytes(), "image.nii.gz");
    CHECK_FALSE(header.gzip);
    CHECK(mentions(header.warnings, "is not compressed"));
  }
  SECTION("compressed, not named .gz") {
    const NiftiHeader header = parse(test::gzip(file.bytes()));
    CHECK(header.gzip);
    CHECK(mentions(header.warnings, "without being named .gz"));
  }
  SECTION("vox_offset 0") {
    Nifti same = file;
    same.vox_offset = 0;
    const NiftiHeader header = parse(same.bytes());
    CHECK(header.voxel_offset == 352);
    CHECK(mentions(header.warnings, "vox_offset is 0"));
  }
  SECTION("negative voxel size without an sform") {
    file.sform = 0;
    file.pixdim[2] = -1.5;
    const NiftiHeader header = parse(file.bytes());
    CHECK(header.affine(1, 1) == 1.5);
    CHECK(mentions(header.warnings, "pixdim[2] is -1.5"));
  }
  SECTION("qform and sform that differ, unless the sform is a template's") {
    file.qform = 1;
    file.offset = {0, 0, 0};
    CHECK(mentions(parse(file.bytes()).warnings, "qform and sform differ"));
    file.sform = 4;
    CHECK(parse(file.bytes()).warnings.empty());
  }
  SECTION("voxel sizes of 0 do not count where there is an sform") {
    file.pixdim = {};
    CHECK(parse(file.bytes()).geometry().spacing_mm() == std::array<double, 3>{2, 1.5, 3});
  }
  SECTION("two dimensions are one slice") {
    file.dim = {2, 2, 12, 1, 1, 1, 1, 1};
    CHECK(parse(file.bytes()).geometry().shape == ivado::Shape{2, 12, 1});
    CHECK(parse(file.bytes()).shape_text() == "2x12");
  }
  SECTION("seven dimensions, of which the last are 1") {
    file.dim = {7, 2, 3, 2, 2, 1, 1, 1};
    CHECK(parse(file.bytes()).shape_text() == "2x3x2x2x1x1x1");
    CHECK(parse(file.bytes()).volumes() == 2);
  }
}

TEST_CASE("what cannot be read is refused with a reason") {
  using Change = std::function<void(Nifti&)>;
  const auto [words, change] = GENERATE(table<std::string, Change>({
      {"sizeof_hdr) is 349", [](Nifti& f) { f.sizeof_hdr = 349; }},
      {"magic is \"n+9\"", [](Nifti& f) { f.magic = "n+9"; }},
      {"magic is \"\"", [](Nifti& f) { f.version = 0; f.vox_offset = 352; }},
      {"belongs to a pair", [](Nifti& f) { f.magic = "ni1"; }},
      {"dim[0], is 0", [](Nifti& f) { f.dim[0] = 0; }},
      {"dim[0], is 8", [](Nifti& f) { f.dim[0] = 8; }},
      {"dimension 2 has the size -18", [](Nifti& f) { f.dim[2] = -18; }},
      {"dimension 3 has the size 0", [](Nifti& f) { f.dim[3] = 0; }},
      {"single dimension", [](Nifti& f) { f.dim[0] = 1; f.dim[1] = 24; }},
      {"5 dimensions", [](Nifti& f) { f.dim = {5, 2, 3, 4, 1, 3, 1, 1}; }},
      {"too large", [](Nifti& f) { f.version = 2; f.dim = {4, 1LL << 40, 1LL << 40, 4, 1, 1, 1, 1}; }},
      {"truncated", [](Nifti& f) { f.version = 2; f.dim = {3, 1LL << 40, 2, 4, 1, 1, 1, 1}; }},
      {"CIFTI", [](Nifti& f) { f.intent = 3001; }},
      {"datatype code 1234", [](Nifti& f) { f.datatype = 1234; }},
      {"rgb24", [](Nifti& f) { f.datatype = 128; }},
      {"rgba32", [](Nifti& f) { f.datatype = 2304; }},
      {"complex64", [](Nifti& f) { f.datatype = 32; }},
      {"complex128", [](Nifti& f) { f.datatype = 1792; }},
      {"float128", [](Nifti& f) { f.datatype = 1536; }},
      {"binary", [](Nifti& f) { f.datatype = 1; }},
      {"vox_offset is 100,", [](Nifti& f) { f.vox_offset = 100; }},
      {"vox_offset is 352.5,", [](Nifti& f) { f.vox_offset = 352.5; }},
      {"vox_offset is nan", [](Nifti& f) { f.vox_offset = NAN; }},
      {"vox_offset lies behind the end", [](Nifti& f) { f.vox_offset = 1e7; }},
      {"file is truncated", [](Nifti& f) { f.voxels.pop_back(); }},
      {"sform is singular", [](Nifti& f) { f.srow = {}; }},
      {"sform is singular", [](Nifti& f) { f.srow = {1, 2, 0, 0, 2, 4, 0, 0, 0, 0, 3, 0}; }},
      {"sform is singular or not finite", [](Nifti& f) { f.srow[3] = NAN; }},
      {"qform is not finite", [](Nifti& f) { f.sform = 0; f.qform = 1; f.quaternion[1] = NAN; }},
      {"qform is not finite", [](Nifti& f) { f.sform = 0; f.qform = 1; f.offset[1] = INFINITY; }},
      {"pixdim[1] is 0", [](Nifti& f) { f.sform = 0; f.pixdim[1] = 0; }},
      {"pixdim[3] is nan", [](Nifti& f) { f.sform = 0; f.qform = 1; f.pixdim[3] = NAN; }},
  }));
  Nifti file;
  change(file);
  const bool compressed = GENERATE(false, true);
  CAPTURE(words, compressed);
  std::string bytes = file.bytes();
  if (!compressed ||
      (words != "file is truncated" && words != "truncated" && words != "vox_offset lies behind the end")) {
    if (compressed) bytes = test::gzip(bytes);
    CHECK_THROWS_WITH(parse(bytes, compressed ? "image.nii.gz" : "image.nii"),
                      Contains("reading") && Contains("image.nii") && Contains(words));
  }
}

TEST_CASE("files that hold no header at all") {
  const test::Folder folder;
  const auto refuse = [&](const std::string& name, const std::string& bytes, const std::string& words) {
    test::write_bytes(folder / name, bytes);
    CHECK_THROWS_WITH(read_nifti_header(folder / name), Contains(name) && Contains(words));
  };
  refuse("a.nii", "", "empty");
  refuse("a.nii.gz", "", "empty");
  refuse("a.nii", "short", "truncated");
  refuse("a.nii.gz", "short", "not gzip");
  refuse("text.nii.gz", std::string(1000, 'x'), "not a NIfTI file");
  refuse("text.nii.gz", std::string(1000, 'x'), "not gzip");
  refuse("cut.nii.gz", test::gzip(Nifti{}.bytes()).substr(0, 40), "truncated");
  refuse("bad.nii.gz", "\x1f\x8b" + std::string(100, 'x'), "gzip stream is corrupt");
  refuse("a.mgz", "bytes", "MGZ is not supported");
  refuse("a.png", "bytes", "it is a picture, not a NIfTI file");
  refuse("a.ome.TIFF", "bytes", "read it with read_image");
  refuse("a.jpg", "bytes", "it is a picture");
  refuse("a.hdf5", "bytes", "Hdf5Loader");
  refuse("a.dcm", "bytes", ".nii, .nii.gz");
  refuse("noextension", "bytes", ".nii, .nii.gz");
  CHECK_THROWS_WITH(read_nifti_header(folder / "absent.nii"), Contains("absent.nii") && Contains("does not exist"));
  CHECK_THROWS_WITH(read_nifti_header(folder / "absent.hdr"), Contains("does not exist"));
  CHECK_THROWS_WITH(read_nifti_header(folder / std::string(5000, 'x')), Contains("does not exist"));
  std::filesystem::create_directory(folder / "folder.nii");
  CHECK_THROWS_WITH(read_nifti_header(folder / "folder.nii"), Contains("it is a folder"));
  REQUIRE(::mkfifo((folder / "pipe.nii").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_nifti_header(folder / "pipe.nii"), Contains("not a regular file"));
  Nifti second;
  second.version = 2;
  refuse("cut2.nii", second.bytes().substr(0, 400), "within its NIfTI-2 header");
  Nifti single;
  test::write_bytes(folder / "single.img", "voxels");
  refuse("single.hdr", single.header(), "belongs to a single .nii file");
}

TEST_CASE("errors of headers are the data's fault") {
  try {
    (void)read_nifti_header("absent.nii");
    FAIL("no error");
  } catch (const ivado::Error& fault) {
    CHECK(fault.exit_status() == 3);
  }
}

TEST_CASE("a compressed file too small for what its header promises is refused at once") {
  Nifti file;
  file.dim = {3, 3000, 3000, 3000, 1, 1, 1, 1};
  CHECK_THROWS_WITH(parse(test::gzip(file.bytes()), "a.nii.gz"),
                    Contains("truncated or its dimensions are wrong") && Contains("54000000352 bytes"));
  // The best that deflate can do passes.
  Nifti zeros;
  zeros.dim = {3, 200, 200, 200, 1, 1, 1, 1};
  zeros.voxels.assign(16000000, '\0');
  CHECK(parse(test::gzip(zeros.bytes(), 9), "a.nii.gz").voxels() == 8000000);
}

TEST_CASE("gzip members that meet anywhere in the buffer are one stream") {
  // Stored blocks make the length of the first member a matter of counting; the reader takes 65536 bytes at a time.
  const int length = GENERATE(65533, 65534, 65535, 65536, 65537);
  std::string first;
  std::string member;
  for (std::size_t size = 65450; size < 65550; ++size) {
    first.assign(size, 'a');
    member = test::gzip(first, 0);
    if (member.size() == static_cast<std::size_t>(length)) break;
  }
  REQUIRE(member.size() == static_cast<std::size_t>(length));
  const std::string second(1000, 'b');
  const test::Folder folder;
  const auto read_all = [&](const std::string& bytes) {
    test::write_bytes(folder / "a.gz", bytes);
    ivado::detail::ByteSource source(folder / "a.gz", "reading");
    std::string all(first.size() + 5000, '\0');
    all.resize(source.read(all.data(), all.size()));
    return std::tuple{all, source.garbage(), source.truncated()};
  };
  CHECK(read_all(member + test::gzip(second)) == std::tuple{first + second, 0, false});
  CHECK(read_all(member) == std::tuple{first, 0, false});
  CHECK(read_all(member + "x") == std::tuple{first, 1, false});
  CHECK(read_all(member + std::string(70000, 'x')) == std::tuple{first, 70000, false});
  CHECK(std::get<2>(read_all(member.substr(0, member.size() - 1))));
}

TEST_CASE("voxels come out in order and in this machine's byte order") {
  Nifti file;
  file.big_endian = GENERATE(false, true);
  file.datatype = 8;
  std::vector<std::int32_t> values;
  for (int i = 0; i < 24; ++i) values.push_back(i * 1000003 - 7);
  file.set_voxels(values);
  file.vox_offset = GENERATE(352, 400, 9000);
  const bool compressed = GENERATE(false, true);
  const test::Folder folder;
  const std::string path = folder / (compressed ? "a.nii.gz" : "a.nii");
  test::write_bytes(path, compressed ? test::gzip(file.bytes()) + "tail" : file.bytes() + "tail");
  const NiftiHeader header = read_nifti_header(path);
  ivado::detail::VoxelStream stream(header);
  std::vector<std::int32_t> found(24);
  stream.read(found.data(), 5);
  stream.read(found.data() + 5, 19);
  CHECK(found == values);
  CHECK(mentions(stream.finish(), "4 trailing garbage bytes") == compressed);
  CHECK_THROWS_WITH(stream.read(found.data(), 24), Contains("truncated"));
}

TEST_CASE("faults within a compressed stream show when the voxels are read") {
  Nifti file;
  std::vector<std::int16_t> values(24);
  for (std::size_t i = 0; i < 24; ++i) values[i] = static_cast<std::int16_t>(i * 1237);
  file.set_voxels(values);
  const std::string good = test::gzip(file.bytes());
  const test::Folder folder;
  const auto read = [&](const std::string& bytes) {
    test::write_bytes(folder / "a.nii.gz", bytes);
    const NiftiHeader header = read_nifti_header(folder / "a.nii.gz");
    ivado::detail::VoxelStream stream(header);
    std::vector<std::int16_t> found(24);
    stream.read(found.data(), 24);
    CHECK(found == values);
    return stream.finish();
  };
  CHECK(read(good).empty());
  CHECK(mentions(read(good.substr(0, good.size() - 3)), "check sum is missing"));
  std::string wrong = good;
  wrong[wrong.size() - 6] = static_cast<char>(wrong[wrong.size() - 6] ^ 1);
  CHECK_THROWS_WITH(read(wrong), Contains("a.nii.gz") && Contains("corrupt") && Contains("check"));
  CHECK_THROWS_WITH(read(good.substr(0, good.size() - 20)), Contains("truncated"));
  CHECK(mentions(read(test::gzip(file.bytes() + "more")), "4 bytes behind the voxels"));
  CHECK(mentions(read(test::gzip(file.bytes() + std::string(3 << 20, '\0'))), "over 1048576 bytes"));
}
