// Reads the scalars of TensorBoard's event files, of ivado (interop/event_file.hpp), PyTorch or TensorFlow.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../error.hpp"
#include "../interop/event_file.hpp"
#include "csv_table.hpp"

namespace ivado {

/// A point of a curve.
struct ScalarEvent {
  std::string tag;
  std::int64_t step = 0;
  double value = 0;
};

/// What is in an event file.
struct EventScalars {
  std::vector<ScalarEvent> scalars;  ///< in the order of the file
  bool is_cut = false;               ///< the last record is not whole, as in a training that was stopped or goes on
};

namespace detail {

/// Walks the fields of a protobuf message.
class ProtoFields {
 public:
  struct Field {
    std::uint32_t number = 0;
    std::uint32_t wire_type = 0;
    std::uint64_t value = 0;  ///< of types 0, 1 and 5
    std::string_view bytes;   ///< of type 2
  };

  ProtoFields(std::string_view message, const std::string& path) : message_(message), path_(path) {}

  /// The next field; nothing at the end.
  /// @throws Error (data) if the message is malformed
  [[nodiscard]] std::optional<Field> next() {
    if (message_.empty()) return std::nullopt;
    const std::uint64_t key = varint();
    Field field{static_cast<std::uint32_t>(key >> 3), static_cast<std::uint32_t>(key & 7), 0, {}};
    switch (field.wire_type) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.value = fixed(4);
        break;
      default:
        fail();
    }
    return field;
  }

 private:
  [[nodiscard]] std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }
  [[nodiscard]] std::uint64_t fixed(std::size_t count) {
    const std::string_view bytes = take(count);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return value;
  }
  [[nodiscard]] std::string_view take(std::uint64_t count) {
    if (count > message_.size()) fail();
    const std::string_view bytes = message_.substr(0, count);
    message_.remove_prefix(count);
    return bytes;
  }
  [[noreturn]] void fail() const {
    throw data_error("reading the event file " + path_, "a record is malformed", "is it an event file of TensorBoard?");
  }

  std::string_view message_;
  const std::string& path_;
};

/// The number of a TensorProto of one float32 or float64; nothing for another one.
[[nodiscard]] inline std::optional<double> tensor_scalar(std::string_view tensor, const std::string& path) {
  std::uint64_t type = 0;
  std::string_view content;
  std::optional<std::uint64_t> unpacked;
  ProtoFields fields(tensor, path);
  while (const auto field = fields.next()) {
    if (field->number == 1 && field->wire_type == 0) type = field->value;
    if ((field->number == 4 || field->number == 5 || field->number == 6) && field->wire_type == 2)
      content = field->bytes;
    if ((field->number == 5 && field->wire_type == 5) || (field->number == 6 && field->wire_type == 1))
      unpacked = field->value;
  }
  std::uint64_t bits = unpacked.value_or(0);
  if (!unpacked) {
    if (content.size() != (type == 1 ? 4U : 8U)) return std::nullopt;
    for (std::size_t i = 0; i < content.size(); ++i)
      bits |= std::uint64_t{static_cast<unsigned char>(content[i])} << (8 * i);
  }
  if (type == 1) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  if (type == 2) return std::bit_cast<double>(bits);
  return std::nullopt;
}

inline void add_scalars(std::string_view payload, const std::string& path, std::vector<ScalarEvent>& out) {
  std::int64_t step = 0;
  std::vector<std::string_view> summaries;
  ProtoFields event(payload, path);
  while (const auto field = event.next()) {
    if (field->number == 2 && field->wire_type == 0) step = static_cast<std::int64_t>(field->value);
    if (field->number == 5 && field->wire_type == 2) summaries.push_back(field->bytes);
  }
  for (const auto& summary : summaries) {
    ProtoFields values(summary, path);
    while (const auto one = values.next()) {
      if (one->number != 1 || one->wire_type != 2) continue;
      std::string_view tag;
      std::optional<double> scalar;
      ProtoFields value(one->bytes, path);
      while (const auto field = value.next()) {
        if (field->number == 1 && field->wire_type == 2) tag = field->bytes;
        if (field->number == 2 && field->wire_type == 5)
          scalar = std::bit_cast<float>(static_cast<std::uint32_t>(field->value));
        if (field->number == 8 && field->wire_type == 2) scalar = tensor_scalar(field->bytes, path);
      }
      if (scalar) out.push_back({std::string(tag), step, *scalar});
    }
  }
}

}  // namespace detail

/// The scalars of an event file's bytes; pictures and texts are passed over.
///
/// A last record that is not whole ends the reading and is reported. Check sums are compared.
/// @param path  for errors
/// @throws Error (data) if a check sum or a record is wrong
[[nodiscard]] inline EventScalars parse_event_scalars(std::string_view bytes, const std::string& path) {
  EventScalars out;
  const auto number = [&](std::size_t at, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i)
      value |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
    return value;
  };
  std::size_t record = 0;
  while (!bytes.empty()) {
    ++record;
    if (bytes.size() < 12) {
      out.is_cut = true;
      break;
    }
    const std::uint64_t length = number(0, 8);
    const auto require = [&](std::string_view part, std::uint64_t sum) {
      if (detail::masked(detail::crc32c(part)) != sum)
        throw data_error("reading the event file " + path,
                         detail::text("the check sum of record ", record, " is wrong"),
                         "is it an event file of TensorBoard? Else it is damaged");
    };
    require(bytes.substr(0, 8), number(8, 4));
    if (length > bytes.size() - 12 || bytes.size() - 12 - length < 4) {
      out.is_cut = true;
      break;
    }
    const std::string_view payload = bytes.substr(12, length);
    require(payload, number(12 + length, 4));
    detail::add_scalars(payload, path, out.scalars);
    bytes.remove_prefix(16 + length);
  }
  return out;
}

/// Reads the scalars of an event file.
/// @throws Error (data) if it cannot be read or is damaged
[[nodiscard]] inline EventScalars read_event_scalars(const std::string& path) {
  return parse_event_scalars(detail::read_bytes(path), path);
}

}  // namespace ivado
