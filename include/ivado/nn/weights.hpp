// The values of a network's tensors by name, independent of what computes with them; and what every reader of such
// values needs: the element types that files have, and a limit of memory. No LibTorch.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory_resource>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"

namespace ivado::nn {

/// Element types that a network's tensors have.
enum class ElementType { float32, int64 };

/// One named tensor. Elements lie row-major in the machine's byte order.
struct WeightTensor {
  std::string name;
  ElementType type = ElementType::float32;
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::vector<std::byte> bytes;

  /// Bytes an element.
  [[nodiscard]] static constexpr std::size_t width(ElementType type) noexcept {
    return type == ElementType::float32 ? 4 : 8;
  }
};

/// All tensors of a network in the order of its state dictionary, and what is said of them (`digest`, `epoch` …).
struct Weights {
  std::vector<WeightTensor> tensors;
  std::map<std::string, std::string> metadata;

  /// The tensor of a name, or null.
  [[nodiscard]] IVADO_INLINE const WeightTensor* find(std::string_view name) const noexcept {
    for (const auto& tensor : tensors)
      if (tensor.name == name) return &tensor;
    return nullptr;
  }
};

/// Element types that files of weights have, in little-endian byte order.
enum class StoredType { float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, boolean };

/// Bytes an element in the file.
[[nodiscard]] constexpr std::size_t stored_width(StoredType type) noexcept {
  switch (type) {
    case StoredType::float64:
    case StoredType::int64:
      return 8;
    case StoredType::float32:
    case StoredType::int32:
      return 4;
    case StoredType::float16:
    case StoredType::bfloat16:
    case StoredType::int16:
      return 2;
    default:
      return 1;
  }
}

/// What a stored type is read as: all floating-point numbers float32, all others int64 (a boolean is 0 or 1).
[[nodiscard]] constexpr ElementType element_type_of(StoredType type) noexcept {
  switch (type) {
    case StoredType::float64:
    case StoredType::float32:
    case StoredType::float16:
    case StoredType::bfloat16:
      return ElementType::float32;
    default:
      return ElementType::int64;
  }
}

/// The number that 16 bits are in IEEE 754 binary16, exactly.
[[nodiscard]] IVADO_INLINE float float_of_half(std::uint16_t bits) noexcept {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const int exponent = (bits >> 10) & 31;
  const std::uint32_t fraction = bits & 1023U;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | fraction << 13U);
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                   : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return sign != 0 ? -size : size;
}

namespace detail {

/// `count` elements `step` elements apart, converted one by one. Neither side needs to be aligned.
template <class From, class To, class Convert>
void convert_run(const std::byte* from, std::size_t step, std::size_t count, std::byte* to, const Convert& convert) {
  for (std::size_t i = 0; i < count; ++i) {
    From stored;
    std::memcpy(&stored, from + i * step * sizeof(From), sizeof(From));
    const To value = convert(stored);
    std::memcpy(to + i * sizeof(To), &value, sizeof(To));
  }
}

}  // namespace detail

/// Reads elements of a file: `count` of them, each `step` elements behind the one before, as `element_type_of(type)`.
///
/// float64 is rounded to the nearest float32, or to infinity where it is too large.
/// @param from  the first element; little-endian, not necessarily aligned
/// @param to    room for `count` elements, not necessarily aligned
IVADO_INLINE void convert_elements(StoredType type, const std::byte* from, std::size_t step, std::size_t count,
                                   std::byte* to) {
  static_assert(std::endian::native == std::endian::little,
                "ivado: files of weights are little-endian, and so must the machine be");
  const auto to_float = [](auto value) { return static_cast<float>(value); };
  const auto to_integer = [](auto value) { return static_cast<std::int64_t>(value); };
  if (count == 0) return;
  if (step == 1 && (type == StoredType::float32 || type == StoredType::int64)) {
    std::memcpy(to, from, count * stored_width(type));
    return;
  }
  switch (type) {
    case StoredType::float64:
      return detail::convert_run<double, float>(from, step, count, to, to_float);
    case StoredType::float32:
      return detail::convert_run<float, float>(from, step, count, to, to_float);
    case StoredType::float16:
      return detail::convert_run<std::uint16_t, float>(from, step, count, to, float_of_half);
    case StoredType::bfloat16:  // the upper half of a float32
      return detail::convert_run<std::uint16_t, float>(from, step, count, to, [](std::uint16_t bits) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
      });
    case StoredType::int64:
      return detail::convert_run<std::int64_t, std::int64_t>(from, step, count, to, to_integer);
    case StoredType::int32:
      return detail::convert_run<std::int32_t, std::int64_t>(from, step, count, to, to_integer);
    case StoredType::int16:
      return detail::convert_run<std::int16_t, std::int64_t>(from, step, count, to, to_integer);
    case StoredType::int8:
      return detail::convert_run<std::int8_t, std::int64_t>(from, step, count, to, to_integer);
    case StoredType::uint8:
      return detail::convert_run<std::uint8_t, std::int64_t>(from, step, count, to, to_integer);
    case StoredType::boolean:
      return detail::convert_run<std::uint8_t, std::int64_t>(
          from, step, count, to, [](std::uint8_t value) { return std::int64_t{value != 0}; });
  }
}

/// A name that came from a file, for messages: in quotes, on one line, at most 80 bytes of it.
[[nodiscard]] IVADO_INLINE std::string quoted(std::string_view name) {
  constexpr std::size_t longest = 80;
  std::string out = "\"" + std::string(name.substr(0, longest)) + (name.size() > longest ? "…\"" : "\"");
  for (char& letter : out)
    if (static_cast<unsigned char>(letter) < 0x20) letter = '?';
  return out;
}

/// What the reader of one file may hold in memory at one time: four times the file's size and 1 MiB.
///
/// A file is not trusted: a few bytes of it can ask for gigabytes. Containers of a reader allocate from this memory
/// resource, and what it hands out (names, elements) is charged by hand before it is allocated. Not thread-safe.
class MemoryLimit final : public std::pmr::memory_resource {
 public:
  /// @param doing      what is being done, for the message: "reading the weights model.pt"
  /// @param file_size  of the file, in bytes
  MemoryLimit(std::string doing, std::uint64_t file_size)
      : doing_(std::move(doing)), file_size_(file_size), limit_(limit_for(file_size)) {}

  /// Counts bytes that are about to be allocated.
  /// @throws Error (data) if they are more than what is left
  IVADO_INLINE void charge(std::uint64_t bytes) {
    if (bytes > limit_ - used_)
      throw data_error(doing_,
                       "it asks for more than " + std::to_string(limit_ >> 10U) +
                           " KiB of memory, more than its size of " + std::to_string(file_size_) + " bytes justifies",
                       "it is damaged or no file of weights; give one that is whole");
    used_ += bytes;
  }
  /// Gives back bytes that were charged.
  void release(std::uint64_t bytes) noexcept { used_ -= bytes; }

  /// Makes room for one more element of a vector with an allocator of its own, and charges it.
  template <class T>
  void reserve_one_more(std::vector<T>& list) {
    const std::size_t old = list.capacity();
    if (list.size() < old) return;
    const std::size_t capacity = std::max<std::size_t>(4, 2 * old);
    charge(capacity * sizeof(T) + overhead);
    list.reserve(capacity);
    if (old != 0) release(old * sizeof(T) + overhead);
  }

  /// What an allocation costs beside its bytes, at most, in the allocators in use.
  static constexpr std::uint64_t overhead = 32;

 private:
  /// 64 KiB are left for what is not counted: buffers of streams, messages.
  [[nodiscard]] static constexpr std::uint64_t limit_for(std::uint64_t file_size) noexcept {
    constexpr std::uint64_t fixed = (std::uint64_t{1} << 20U) - (std::uint64_t{64} << 10U);
    constexpr auto all = std::numeric_limits<std::uint64_t>::max();
    return file_size > (all - fixed) / 4 ? all : 4 * file_size + fixed;
  }
  IVADO_INLINE void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (bytes > std::numeric_limits<std::size_t>::max() - overhead) charge(std::numeric_limits<std::uint64_t>::max());
    charge(bytes + overhead);
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  IVADO_INLINE void do_deallocate(void* place, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(place, bytes, alignment);
    release(bytes + overhead);
  }
  [[nodiscard]] IVADO_INLINE bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::string doing_;
  std::uint64_t file_size_;
  std::uint64_t limit_;
  std::uint64_t used_ = 0;
};

}  // namespace ivado::nn
