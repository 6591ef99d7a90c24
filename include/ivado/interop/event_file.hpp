// TensorBoard's event files: scalars and PNG pictures over the steps of a training.
//
// A file is a row of records: length (8 bytes), masked CRC-32C of the length, payload, masked CRC-32C of the payload;
// numbers are little-endian. A payload is one message `Event` of TensorFlow (tensorflow/core/util/event.proto and
// framework/summary.proto). Its few fields are written here; the protobuf library is not needed.
#pragma once

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

namespace detail {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720, appendix B.4).
[[nodiscard]] constexpr std::uint32_t crc32c(std::string_view bytes) noexcept {
  constexpr auto table = [] {
    std::array<std::uint32_t, 256> out{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
      out[i] = value;
    }
    return out;
  }();
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  return ~crc;
}

/// The sum as event files hold it: a CRC of bytes that hold CRCs would be weak.
[[nodiscard]] constexpr std::uint32_t masked(std::uint32_t crc) noexcept { return std::rotr(crc, 15) + 0xA282EAD8U; }

/// A protobuf message under construction; each function appends one field.
class ProtoMessage {
 public:
  IVADO_INLINE ProtoMessage& integer(std::uint32_t field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  IVADO_INLINE ProtoMessage& number(std::uint32_t field, double value) {
    key(field, 1);
    little_endian(std::bit_cast<std::uint64_t>(value), 8);
    return *this;
  }
  IVADO_INLINE ProtoMessage& number(std::uint32_t field, float value) {
    key(field, 5);
    little_endian(std::bit_cast<std::uint32_t>(value), 4);
    return *this;
  }
  /// Text, bytes, or a message within this one.
  IVADO_INLINE ProtoMessage& bytes(std::uint32_t field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  /// Nothing but the lowest `count` bytes of `value`.
  IVADO_INLINE ProtoMessage& little_endian(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFF);
    return *this;
  }
  [[nodiscard]] const std::string& text() const noexcept { return bytes_; }

 private:
  void key(std::uint32_t field, std::uint32_t wire_type) { varint(field << 3 | wire_type); }
  IVADO_INLINE void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

/// The name of this machine, as far as it can be part of a file's name.
[[nodiscard]] IVADO_INLINE std::string host_name() {
  std::array<char, 256> buffer{};
  if (::gethostname(buffer.data(), buffer.size() - 1) != 0) buffer[0] = '\0';
  std::string name(buffer.data());
  for (char& c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.')) c = '_';
  return name.empty() ? "localhost" : name;
}

}  // namespace detail

/// One event file, `events.out.tfevents.<seconds since 1970>.<host>` in a folder of its run.
///
/// TensorBoard shows a folder as one run: `tensorboard --logdir <folder>`. Call `flush` after each epoch; the
/// destructor flushes as well, but cannot report a full disk. Not for several threads at once.
class EventFile {
 public:
  /// Begins a new file; it never overwrites one.
  /// @param folder      is made if it is not there
  /// @param first_step  the first step that will be written: TensorBoard then forgets what earlier files of this folder
  ///                    say of this step and later ones, as after a training that goes on from an older state
  /// @throws Error (internal) if folder or file cannot be made
  IVADO_INLINE explicit EventFile(const std::string& folder, std::int64_t first_step = 0) {
    std::error_code fault;
    std::filesystem::create_directories(folder, fault);
    if (!std::filesystem::is_directory(folder))
      throw internal_error("making the folder " + folder + " for TensorBoard", fault.message(),
                           "check its name and the permissions of the folder above");
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    const std::string name =
        (std::filesystem::path(folder) / ("events.out.tfevents." + std::to_string(seconds) + "." + detail::host_name()))
            .string();
    path_ = name;
    file_.reset(std::fopen(path_.c_str(), "wbx"));
    for (int twin = 1; !file_ && errno == EEXIST; ++twin) {  // begun in the same second
      path_ = name + "." + std::to_string(twin);
      file_.reset(std::fopen(path_.c_str(), "wbx"));
    }
    if (!file_)
      throw internal_error("opening the event file " + path_, std::strerror(errno),
                           "check the permissions of its folder");
    write(event(0).bytes(3, "brain.Event:2"));
    // SessionLog { status: START }: events of earlier files from this step on are orphans.
    write(event(first_step).bytes(7, detail::ProtoMessage{}.integer(1, 1).text()));
    flush();
  }

  /// A point of a curve.
  /// @param tag    the curve, such as "learning_rate"; a part before a slash groups the curves
  /// @param step   the epoch or batch
  /// @param value  may be NaN or infinite: TensorBoard marks such points. Stored as float32, as TensorBoard has it
  /// @throws Error (internal) if it cannot be written
  IVADO_INLINE void scalar(std::string_view tag, std::int64_t step, double value) {
    summary(step, detail::ProtoMessage{}.bytes(1, tag).number(2, static_cast<float>(value)));
  }

  /// A picture.
  /// @param png  a whole PNG file, such as `png_bytes` of interop/png_bytes.hpp gives
  /// @throws Error (internal) if it is no PNG or cannot be written
  IVADO_INLINE void image(std::string_view tag, std::int64_t step, std::string_view png) {
    using namespace std::string_view_literals;
    // Signature, length of the first chunk, "IHDR", width, height, bits, kind of colour.
    if (png.size() < 33 || !png.starts_with("\x89PNG\r\n\x1A\n"sv) || png.substr(12, 4) != "IHDR")
      throw internal_error("writing the picture " + std::string(tag) + " to " + path_,
                           "its " + std::to_string(png.size()) + " bytes are no PNG file", "give the bytes of a PNG");
    const auto big_endian = [&](std::size_t at) {
      std::int64_t value = 0;
      for (std::size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(png[i]);
      return value;
    };
    const int kind = png[25];  // 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha
    const std::int64_t channels = kind == 0 ? 1 : kind == 4 ? 2 : kind == 6 ? 4 : 3;
    detail::ProtoMessage picture;
    picture.integer(1, big_endian(20)).integer(2, big_endian(16)).integer(3, channels).bytes(4, png);
    summary(step, detail::ProtoMessage{}.bytes(1, tag).bytes(4, picture.text()));
  }

  /// Hands over all that was written to the system, where TensorBoard sees it.
  /// @throws Error (internal) if the disk is full
  IVADO_INLINE void flush() {
    if (std::fflush(file_.get()) != 0) fail();
  }

  /// The file's name with its folder.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  /// An event of now.
  [[nodiscard]] IVADO_INLINE static detail::ProtoMessage event(std::int64_t step) {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    detail::ProtoMessage message;
    message.number(1, now.count()).integer(2, step);
    return message;
  }
  IVADO_INLINE void summary(std::int64_t step, const detail::ProtoMessage& value) {
    write(event(step).bytes(5, detail::ProtoMessage{}.bytes(1, value.text()).text()));
  }
  IVADO_INLINE void write(const detail::ProtoMessage& message) {
    const std::string& payload = message.text();
    detail::ProtoMessage head;
    head.little_endian(payload.size(), 8).little_endian(detail::masked(detail::crc32c(head.text())), 4);
    detail::ProtoMessage tail;
    tail.little_endian(detail::masked(detail::crc32c(payload)), 4);
    const std::string record = head.text() + payload + tail.text();
    if (std::fwrite(record.data(), 1, record.size(), file_.get()) != record.size()) fail();
  }
  [[noreturn]] IVADO_INLINE void fail() const {
    throw internal_error("writing " + path_, std::strerror(errno), "check the free space of its folder");
  }

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace ivado
