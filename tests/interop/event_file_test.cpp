#include "ivado/interop/event_file.hpp"

#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;
using namespace std::string_literals;

namespace {

namespace fs = std::filesystem;

std::uint64_t little_endian(std::string_view bytes, std::size_t at, std::size_t count) {
  REQUIRE(at + count <= bytes.size());
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

/// CRC-32C bit by bit, without a table.
std::uint32_t slow_crc(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
  }
  return crc ^ 0xFFFFFFFF;
}
std::uint32_t slow_mask(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8; }

/// The payloads of a file, whose sums are checked.
std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < file.size();) {
    const std::uint64_t length = little_endian(file, at, 8);
    CHECK(little_endian(file, at + 8, 4) == slow_mask(slow_crc(std::string_view(file).substr(at, 8))));
    out.push_back(file.substr(at + 12, length));
    REQUIRE(out.back().size() == length);
    CHECK(little_endian(file, at + 12 + length, 4) == slow_mask(slow_crc(out.back())));
    at += 16 + length;
  }
  return out;
}

/// A field of a message: its number, and its value as it stands (a number of wire types 0, 1 and 5, or the bytes).
struct Field {
  std::uint64_t number = 0;
  std::uint64_t wire_type = 0;
  std::uint64_t value = 0;
  std::string bytes{};
};

std::vector<Field> fields(const std::string& message) {
  std::vector<Field> out;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      REQUIRE(at < message.size());
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if ((byte & 0x80U) == 0) return value;
    }
  };
  while (at < message.size()) {
    const std::uint64_t key = varint();
    Field field{key >> 3, key & 7};
    if (field.wire_type == 0) {
      field.value = varint();
    } else if (field.wire_type == 2) {
      const std::uint64_t length = varint();
      field.bytes = message.substr(at, length);
      REQUIRE(field.bytes.size() == length);
      at += length;
    } else {
      const std::size_t size = field.wire_type == 1 ? 8 : 4;
      REQUIRE((field.wire_type == 1 || field.wire_type == 5));
      field.value = little_endian(message, at, size);
      at += size;
    }
    out.push_back(field);
  }
  return out;
}

const Field& field(const std::vector<Field>& all, std::uint64_t number) {
  for (const auto& one : all)
    if (one.number == number) return one;
  FAIL("field " << number << " is missing");
  return all.front();
}

/// The one value of the summary of an event.
std::vector<Field> summary_value(const std::string& event) {
  const auto summary = fields(field(fields(event), 5).bytes);
  REQUIRE(summary.size() == 1);
  return fields(field(summary, 1).bytes);
}

float number(const Field& field) {
  REQUIRE(field.wire_type == 5);
  return std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
}

/// A PNG of 3 rows and 300 columns as far as its first chunk goes: enough for its size and colours.
std::string head_of_png(char colour_kind) {
  return "\x89PNG\r\n\x1A\n"s + "\0\0\0\rIHDR"s + "\0\0\x01\x2C\0\0\0\x03\x08"s + colour_kind + "\0\0\0ssss"s;
}

bool runs(const std::string& command) { return std::system((command + " > /dev/null 2>&1").c_str()) == 0; }

}  // namespace

TEST_CASE("the sums of event files have the published values", "[unit]") {
  // RFC 3720, appendix B.4, and the usual check word.
  CHECK(detail::crc32c("123456789") == 0xE3069283);
  CHECK(detail::crc32c(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(detail::crc32c(std::string(32, '\xFF')) == 0x62A8AB43);
  CHECK(detail::crc32c("") == 0);
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    all += static_cast<char>(i * 7);
    if (i % 97 == 0) CHECK(detail::crc32c(all) == slow_crc(all));
  }
  // 0x80000001 turned right by 15 bits is 0x00030000, by hand.
  CHECK(detail::masked(0x80000001) == 0xA285EAD8);
  CHECK(detail::masked(0x12345678) == slow_mask(0x12345678));
}

TEST_CASE("an event file holds its version, its first step, scalars and pictures", "[unit]") {
  const Scratch scratch;
  const std::string folder = scratch / "run/losses";
  EventFile events(folder, 7);
  const std::string name = fs::path(events.path()).filename().string();
  const std::string begin = "events.out.tfevents.";
  REQUIRE(name.starts_with(begin));
  const auto dot = name.find('.', begin.size());
  CHECK(dot == begin.size() + 10);  // ten digits, until the year 2286
  CHECK(std::stoll(name.substr(begin.size(), 10)) > 1'700'000'000);
  CHECK(name.size() > dot + 1);
  CHECK(name.find_first_of("/ :", dot) == std::string::npos);
  events.scalar("losses/train", 7, -0.75);
  events.scalar("metric", std::int64_t{1} << 40, std::numeric_limits<double>::quiet_NaN());
  const std::string png = head_of_png(2);
  events.image("Validation/Prediction", 8, png);
  events.flush();

  const auto payloads = records(content_of(events.path()));
  REQUIRE(payloads.size() == 5);
  for (const auto& payload : payloads) {
    const Field time = field(fields(payload), 1);
    CHECK(time.wire_type == 1);
    const auto seconds = std::bit_cast<double>(time.value);
    CHECK(seconds > 1.7e9);  // after 2023
    CHECK(seconds < 1e11);
  }
  CHECK(field(fields(payloads[0]), 3).bytes == "brain.Event:2");
  CHECK(field(fields(payloads[1]), 2).value == 7);
  CHECK(field(fields(payloads[1]), 7).bytes == "\x08\x01");  // status: START

  CHECK(field(fields(payloads[2]), 2).value == 7);
  auto value = summary_value(payloads[2]);
  CHECK(field(value, 1).bytes == "losses/train");
  CHECK(number(field(value, 2)) == -0.75F);

  CHECK(field(fields(payloads[3]), 2).value == std::uint64_t{1} << 40);
  CHECK(std::isnan(number(field(summary_value(payloads[3]), 2))));

  value = summary_value(payloads[4]);
  CHECK(field(value, 1).bytes == "Validation/Prediction");
  const auto picture = fields(field(value, 4).bytes);
  CHECK(field(picture, 1).value == 3);    // height
  CHECK(field(picture, 2).value == 300);  // width
  CHECK(field(picture, 3).value == 3);    // red, green, blue
  CHECK(field(picture, 4).bytes == png);
}

TEST_CASE("event files know the colours of a PNG", "[unit]") {
  const Scratch scratch;
  EventFile events(scratch / "run");
  const auto [kind, channels] = GENERATE(std::pair{0, 1}, std::pair{2, 3}, std::pair{4, 2}, std::pair{6, 4});
  events.image("tag", 1, head_of_png(static_cast<char>(kind)));
  events.flush();
  const auto payloads = records(content_of(events.path()));
  CHECK(static_cast<int>(field(fields(field(summary_value(payloads.back()), 4).bytes), 3).value) == channels);
}

TEST_CASE("event files begun in one second are files of their own", "[unit]") {
  const Scratch scratch;
  std::vector<std::string> paths;
  for (int i = 0; i < 4; ++i) {
    EventFile events(scratch / "run");
    events.scalar("number", 1, i);
    paths.push_back(events.path());
  }  // the destructor flushes
  for (std::size_t i = 0; i < paths.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) CHECK(paths[i] != paths[j]);
    CHECK(number(field(summary_value(records(content_of(paths[i])).back()), 2)) == static_cast<float>(i));
  }
}

TEST_CASE("event files say what is wrong", "[unit]") {
  const Scratch scratch;
  std::ofstream(scratch / "file") << "no folder";
  CHECK_THROWS_WITH(EventFile(scratch / "file"), Contains("file") && Contains("TensorBoard"));
  EventFile events(scratch / "run");
  CHECK_THROWS_WITH(events.image("Train/Input", 1, "GIF89a"),
                    Contains("Train/Input") && Contains("6 bytes are no PNG") && Contains("tfevents"));
  CHECK_THROWS_WITH(events.image("Train/Input", 1, std::string(100, 'x')), Contains("are no PNG"));
}

TEST_CASE("protobuf's own compiler and another CRC-32C read an event file", "[unit]") {
  if (!runs("/usr/bin/python3 -c 'import crc32c'") || !runs("protoc --version")) {
    WARN("skipped: there is no protoc or no python3-crc32c (Debian: protobuf-compiler, python3-crc32c)");
    SUCCEED();
    return;
  }
  const Scratch scratch;
  EventFile events(scratch / "run", 3);
  events.scalar("learning_rate", 3, 0.001);
  events.scalar("losses", 1000, -0.5);
  events.image("picture", 4, head_of_png(0));
  events.flush();
  // The parts of TensorFlow's messages that are read here, by their public field numbers.
  std::ofstream(scratch / "event.proto") << R"(syntax = "proto3";
message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
message Value { string tag = 1; oneof value { float simple_value = 2; Image image = 4; } }
message Summary { repeated Value value = 1; }
message SessionLog { enum Status { UNSPECIFIED = 0; START = 1; STOP = 2; } Status status = 1; }
message Event {
  double wall_time = 1;
  int64 step = 2;
  oneof what { string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
}
)";
  fs::create_directories(scratch / "records");
  REQUIRE(std::system(("/usr/bin/python3 '" IVADO_SOURCE_DIR "/tests/interop/python/read_events.py' '" + events.path() +
                       "' '" + (scratch / "records") + "'")
                          .c_str()) == 0);
  const auto decoded = [&](int record) {
    const std::string in = scratch / ("records/" + std::to_string(record));
    const std::string out = scratch / "decoded";
    REQUIRE(std::system(
                ("protoc --decode=Event -I '" + scratch.path.string() + "' event.proto < '" + in + "' > '" + out + "'")
                    .c_str()) == 0);
    return content_of(out);
  };
  CHECK_THAT(decoded(0), Contains("file_version: \"brain.Event:2\"") && Contains("wall_time: 1"));
  CHECK_THAT(decoded(1), Contains("step: 3") && Contains("status: START"));
  CHECK_THAT(decoded(2), Contains("step: 3") && Contains("tag: \"learning_rate\"") && Contains("simple_value: 0.001"));
  CHECK_THAT(decoded(3), Contains("step: 1000") && Contains("tag: \"losses\"") && Contains("simple_value: -0.5"));
  CHECK_THAT(decoded(4), Contains("height: 3") && Contains("width: 300") && Contains("colorspace: 1") &&
                             Contains("encoded_image_string: \"\\211PNG\\r\\n\\032\\n"));
  CHECK_FALSE(fs::exists(scratch / "records/5"));
}
