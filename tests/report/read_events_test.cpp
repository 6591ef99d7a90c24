#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <ivado/report/read_events.hpp>
#include <string>
#include <string_view>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;
using namespace std::string_literals;
namespace fs = std::filesystem;

namespace {

std::string record(const std::string& payload) {
  detail::ProtoMessage out;
  out.little_endian(payload.size(), 8);
  const std::uint32_t head = detail::masked(detail::crc32c(out.text()));
  detail::ProtoMessage tail;
  tail.little_endian(detail::masked(detail::crc32c(payload)), 4);
  return out.little_endian(head, 4).text() + payload + tail.text();
}

/// An event with one value, whose fields are given.
std::string event(std::int64_t step, const detail::ProtoMessage& value) {
  return detail::ProtoMessage{}
      .number(1, 1.7e9)
      .integer(2, step)
      .bytes(5, detail::ProtoMessage{}.bytes(1, value.text()).text())
      .text();
}

}  // namespace

TEST_CASE("a record as TensorFlow writes it", "[unit][report]") {
  // The first record of a file of TensorFlow's writer: wall time 1.5, file version "brain.Event:2"; taken apart by hand.
  const std::string payload =
      "\x09\0\0\0\0\0\0\xF8\x3F\x1A\x0D"
      "brain.Event:2"s;
  CHECK(detail::crc32c("123456789") == 0xE3069283);  // the check value of CRC-32C
  CHECK(parse_event_scalars(record(payload), "f").scalars.empty());
  // tag (1) "a", simple_value (2) 0.5; step 7
  const std::string scalar =
      "\x10\x07\x2A\x0A\x0A\x08\x0A\x01"
      "a\x15\0\0\0\x3F"s;
  const EventScalars found = parse_event_scalars(record(payload) + record(scalar), "f");
  REQUIRE(found.scalars.size() == 1);
  CHECK(found.scalars[0].tag == "a");
  CHECK(found.scalars[0].step == 7);
  CHECK(found.scalars[0].value == 0.5);
  CHECK_FALSE(found.is_cut);
}

TEST_CASE("what ivado writes is read back", "[unit][report]") {
  const fs::path folder = fs::temp_directory_path() / ("ivado-read-events-" + std::to_string(::getpid()));
  fs::remove_all(folder);
  std::string path;
  {
    EventFile file(folder.string());
    path = file.path();
    file.scalar("losses/train_loss", 1, -0.25);
    file.scalar("learning_rate", 1, 0.001);
    file.scalar("losses/train_loss", 300, std::nan(""));
    file.flush();
  }
  const EventScalars found = read_event_scalars(path);
  REQUIRE(found.scalars.size() == 3);
  CHECK(found.scalars[0].tag == "losses/train_loss");
  CHECK(found.scalars[0].value == -0.25);
  CHECK(found.scalars[1].value == Approx(0.001).epsilon(1e-6));
  CHECK(found.scalars[2].step == 300);
  CHECK(std::isnan(found.scalars[2].value));
  fs::remove_all(folder);
}

TEST_CASE("scalars of TensorFlow 2 are tensors", "[unit][report]") {
  const auto value = [](const detail::ProtoMessage& tensor) {
    return record(event(3, detail::ProtoMessage{}.bytes(1, "t").bytes(8, tensor.text())));
  };
  detail::ProtoMessage four;
  four.little_endian(std::bit_cast<std::uint32_t>(1.5F), 4);
  detail::ProtoMessage eight;
  eight.little_endian(std::bit_cast<std::uint64_t>(2.5), 8);
  const std::string bytes = value(detail::ProtoMessage{}.integer(1, 1).bytes(4, four.text())) +   // tensor_content
                            value(detail::ProtoMessage{}.integer(1, 1).bytes(5, four.text())) +   // float_val, packed
                            value(detail::ProtoMessage{}.integer(1, 1).number(5, 1.5F)) +         // float_val
                            value(detail::ProtoMessage{}.integer(1, 2).bytes(4, eight.text())) +  // double
                            value(detail::ProtoMessage{}.integer(1, 7).bytes(8, "text")) +        // a text
                            value(detail::ProtoMessage{}.integer(1, 1).bytes(4, "12345678"));     // two numbers
  const EventScalars found = parse_event_scalars(bytes, "f");
  REQUIRE(found.scalars.size() == 4);
  for (std::size_t i = 0; i < 3; ++i) CHECK(found.scalars[i].value == 1.5);
  CHECK(found.scalars[3].value == 2.5);
}

TEST_CASE("a file that is cut is read up to there; one that is damaged is refused", "[unit][report]") {
  const std::string one = record(event(1, detail::ProtoMessage{}.bytes(1, "a").number(2, 1.0F)));
  const std::string two = one + one;
  for (std::size_t cut = one.size() + 1; cut < two.size(); ++cut) {
    const EventScalars found = parse_event_scalars(std::string_view(two).substr(0, cut), "f");
    CHECK(found.scalars.size() == 1);
    CHECK(found.is_cut);
  }
  CHECK_FALSE(parse_event_scalars("", "f").is_cut);
  // Every byte matters.
  for (std::size_t at = 0; at < one.size(); ++at) {
    std::string damaged = two;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    CHECK_THROWS_WITH(parse_event_scalars(damaged, "f.tfevents"),
                      Contains("f.tfevents") && Contains("check sum of record 1"));
  }
  // Right sums around nonsense.
  for (const std::string& nonsense : {"\xFF"s, "\x2A\x7F"s, "\x0B"s, "\x09\x01"s, std::string(11, '\xFF'),
                                      "\x2A\x04\x0A\x7F"
                                      "ab"s})
    CHECK_THROWS_WITH(parse_event_scalars(record(nonsense), "f"), Contains("malformed"));
  CHECK_THROWS_WITH(read_event_scalars("/nonexistent"), Contains("/nonexistent"));
}
