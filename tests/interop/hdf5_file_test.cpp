// Hdf5File: what is written is read; ivadomed's file with all its values; broken and hostile files are refused.
#include <hdf5.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ivado/config/json.hpp>
#include <ivado/interop/hdf5_file.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../data/bids_tree.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::Array;
using ivado::Hdf5File;
using ivado::Shape;

Array<float> ramp(const Shape& shape) {
  Array<float> out(shape);
  for (std::int64_t i = 0; i < out.size(); ++i) out[i] = 0.25F * static_cast<float>(i) - 3;
  return out;
}

}  // namespace

TEST_CASE("What is written to an HDF5 file is read again") {
  const tests::Tree tree;
  const std::string path = tree.path("one.hdf5").string();
  const Array<float> volume = ramp(Shape{3, 5, 7});
  {
    Hdf5File file = Hdf5File::create(path);
    file.make_group("a");
    file.make_group("a/b");
    file.write("a/b/plain", volume);
    file.write("a/b/small", volume, {.compression = 1});
    file.write("a/b/bytes", Array<std::uint8_t>(Shape{4}, std::uint8_t{200}), {.checksum = false});
    file.write("nothing", Array<float>{});
    file.write_text("text", "Grüße");
    file.set_text("a", "name", "sub-01");
    file.set_text("/", "format", "a test");
    file.set_numbers<double>("a/b/plain", "affine", {1.5, -2, 1.0 / 3});
    file.close();
  }
  const Hdf5File file = Hdf5File::open(path);
  CHECK(file.names("/") == std::vector<std::string>{"a", "nothing", "text"});
  CHECK(file.names("a/b") == std::vector<std::string>{"bytes", "plain", "small"});
  CHECK(file.has("a/b"));
  CHECK_FALSE(file.has("a/c"));
  CHECK_FALSE(file.has("c/b"));
  CHECK(file.has_dataset("a/b/plain"));
  CHECK_FALSE(file.has_dataset("a/b"));
  CHECK(file.shape("a/b/plain") == Shape{3, 5, 7});
  CHECK(file.read<float>("a/b/plain") == volume);
  CHECK(file.read<float>("a/b/small") == volume);
  CHECK(file.read<double>("a/b/plain")[1] == -2.75);
  CHECK(file.read<float>("a/b/bytes")[3] == 200);
  CHECK(file.read<float>("nothing").empty());
  CHECK(file.read_text("text") == "Grüße");
  CHECK(file.text("a", "name") == "sub-01");
  CHECK(file.text("/", "format") == "a test");
  CHECK(file.numbers<double>("a/b/plain", "affine") == std::vector<double>{1.5, -2, 1.0 / 3});
  CHECK(file.has_attribute("a", "name"));
  CHECK_FALSE(file.has_attribute("a", "other"));
}

TEST_CASE("Errors of an HDF5 file name the file, the object and what is wrong") {
  const tests::Tree tree;
  const std::string path = tree.path("one.hdf5").string();
  {
    Hdf5File file = Hdf5File::create(path);
    file.make_group("group");
    file.write("data", ramp(Shape{2}));
    file.set_text("group", "name", "x");
    file.close();
  }
  const Hdf5File file = Hdf5File::open(path);
  CHECK_THAT(tests::message_of([&] { (void)file.read<float>("group/none"); }),
             Contains("group/none of " + path) && Contains("there is no group/none"));
  CHECK_THAT(tests::message_of([&] { (void)file.read<float>("group"); }), Contains("no data set"));
  CHECK_THAT(tests::message_of([&] { (void)file.names("data"); }), Contains("no group"));
  CHECK_THAT(tests::message_of([&] { (void)file.text("group", "other"); }), Contains("no attribute other"));
  CHECK_THAT(tests::message_of([&] { (void)file.numbers<float>("group", "name"); }),
             Contains("attribute name of group") && Contains("no number"));
  CHECK_THAT(tests::message_of([&] { (void)Hdf5File::open(path + "x"); }),
             Contains(path + "x") && Contains("no such file"));
  CHECK_THAT(tests::message_of([&] { (void)Hdf5File::create(tree.path("no/folder.hdf5").string()); }),
             Contains("no/folder.hdf5"));
  std::ofstream(tree.path("text.hdf5")) << "some text";
  CHECK_THAT(tests::message_of([&] { (void)Hdf5File::open(tree.path("text.hdf5").string()); }),
             Contains("not an HDF5 file"));
}

TEST_CASE("An HDF5 file that claims more than it has, or leads out of itself, is refused") {
  const tests::Tree tree;
  const std::string path = tree.path("hostile.hdf5").string();
  const std::string other = tree.path("other.hdf5").string();
  {
    Hdf5File file = Hdf5File::create(other);
    file.write("secret", ramp(Shape{2}));
    file.close();
    const hid_t raw = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    // A chunked data set of 2^60 elements of which none is written.
    const hsize_t extents[3] = {1U << 20, 1U << 20, 1U << 20};
    const hsize_t chunk[3] = {1, 64, 64};
    const hid_t space = H5Screate_simple(3, extents, nullptr);
    const hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plan, 3, chunk);
    H5Dclose(H5Dcreate2(raw, "huge", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, plan, H5P_DEFAULT));
    H5Pclose(plan);
    H5Sclose(space);
    // Elements in a file beside it, and links.
    const hsize_t two = 2;
    const hid_t small = H5Screate_simple(1, &two, nullptr);
    const hid_t outside = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(outside, "/etc/hostname", 0, 8);
    H5Dclose(H5Dcreate2(raw, "outside", H5T_NATIVE_FLOAT, small, H5P_DEFAULT, outside, H5P_DEFAULT));
    H5Pclose(outside);
    H5Sclose(small);
    H5Lcreate_external(other.c_str(), "/secret", raw, "link", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/huge", raw, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(raw);
  }
  const Hdf5File file = Hdf5File::open(path);
  CHECK_THAT(tests::message_of([&] { (void)file.read<float>("huge"); }),
             Contains("huge of " + path) && Contains("more than"));
  CHECK_THAT(tests::message_of([&] { (void)file.read<float>("outside"); }), Contains("other files"));
  CHECK_THAT(tests::message_of([&] { (void)file.read<float>("link"); }), Contains("another place"));
  CHECK_THAT(tests::message_of([&] { (void)file.read<float>("soft"); }), Contains("another place"));
  CHECK_FALSE(file.has("link"));
}

TEST_CASE("A damaged HDF5 file never crashes the reader, and its check sums find changed voxels") {
  const tests::Tree tree;
  const std::string path = tree.path("one.hdf5").string();
  const Array<float> volume = ramp(Shape{4, 16, 16});
  {
    Hdf5File file = Hdf5File::create(path);
    file.write("volume", volume, {.compression = GENERATE(0, 1)});
    file.set_numbers<double>("volume", "affine", {1, 2, 3});
    file.close();
  }
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  int refused = 0;
  const auto attempt = [&](const std::string& content) {
    const std::string place = tree.path("damaged.hdf5").string();
    std::ofstream(place, std::ios::binary) << content;
    try {
      const Hdf5File file = Hdf5File::open(place);
      for (const auto& name : file.names("/"))
        if (file.has_dataset(name)) CHECK(file.read<float>(name) == volume);
    } catch (const ivado::Error& fault) {
      CHECK(fault.fault() == ivado::Fault::data);
      ++refused;
    }
  };
  for (std::size_t part = 1; part < 16; ++part) attempt(bytes.substr(0, bytes.size() * part / 16));
  CHECK(refused == 15);
}

TEST_CASE("The attributes and data sets of ivadomed's HDF5 file are read") {
  const auto folder = tests::shared_data("formats");
  if (!folder) return;
  const Hdf5File file = Hdf5File::open(*folder + "/hdf5/mytestfile.hdf5");
  CHECK(file.texts("/", "patients_id") == std::vector<std::string>{"sub-unf01"});
  CHECK(file.numbers<std::int64_t>("/", "slice_axis") == std::vector<std::int64_t>{2});
  CHECK(file.texts("/", "slice_filter_fn").size() == 4);
  CHECK(file.texts("sub-unf01", "contrast") == std::vector<std::string>{"T2star", "T2w", "T1w"});
  CHECK(file.numbers<std::int64_t>("sub-unf01", "slices").size() == 14);
  const ivado::Json all = ivado::read_json(*folder + "/expected.json");
  const ivado::Json* record = nullptr;
  for (const auto& one : all.is_array() ? all : all.contains("files") ? all.at("files") : all.at("cases"))
    if (one.at("file") == "hdf5/mytestfile.hdf5") record = &one;
  REQUIRE(record != nullptr);
  for (const auto& item : record->at("expected").at("datasets").items()) {
    CAPTURE(item.key());
    const Array<double> elements = file.read<double>(item.key());
    CHECK(elements.shape() == Shape{16, 48, 48});
    double sum = 0;
    for (const double value : elements) sum += value;
    // The sums of float32 data were made in float32: seven digits.
    CHECK(sum == Approx(item.value().at("sum").get<double>()).epsilon(1e-6));
    CHECK(*std::min_element(elements.begin(), elements.end()) == item.value().at("min").get<double>());
    CHECK(*std::max_element(elements.begin(), elements.end()) == item.value().at("max").get<double>());
  }
  CHECK_THAT(tests::message_of([&] { (void)Hdf5File::open(*folder + "/broken/truncated.hdf5"); }),
             Contains("truncated.hdf5") && Contains("truncat"));
}
