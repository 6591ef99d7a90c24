// Weights as safetensors: eight bytes of length, a JSON header, raw numbers. Nothing in it can be executed.
// No LibTorch.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <limits>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/weights.hpp"

namespace ivado {

static_assert(std::endian::native == std::endian::little,
              "ivado: safetensors are little-endian, and so must the machine be");

/// Writes weights as a safetensors file, whole or not at all.
///
/// Format: github.com/huggingface/safetensors, "Format". The header is padded with blanks so that the numbers begin at
/// a multiple of 8 bytes.
/// @throws Error (internal) if the file cannot be written
IVADO_INLINE void write_safetensors(const std::string& path, const nn::Weights& weights) {
  Json header = Json::object();
  if (!weights.metadata.empty()) {
    Json said = Json::object();
    for (const auto& [key, value] : weights.metadata) said[key] = value;
    header["__metadata__"] = said;
  }
  std::size_t offset = 0;
  for (const auto& tensor : weights.tensors) {
    header[tensor.name] = {{"dtype", tensor.type == nn::ElementType::float32 ? "F32" : "I64"},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  std::string content(8, '\0');
  std::memcpy(content.data(), &length, 8);
  content.reserve(8 + text.size() + offset);
  content += text;
  for (const auto& tensor : weights.tensors)
    content.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  write_file_atomically(path, content);
}

/// Reads a safetensors file.
///
/// F64, F16 and BF16 become float32; I32, I16, I8, U8 and BOOL become int64; other element types are refused by name.
/// The tensors come in the order of the header. Every number in the header is checked against the size of the file
/// before anything is allocated; at most 4 times the file's size and 1 MiB are held.
/// @throws Error (data) if the file is missing or malformed, with what is wrong: tensors that overlap, leave bytes
///         unused or have the same name among it
[[nodiscard]] nn::Weights read_safetensors(const std::string& path);

namespace detail {

/// The element type of its name in safetensors.
[[nodiscard]] IVADO_INLINE std::optional<nn::StoredType> stored_type_of_dtype(std::string_view dtype) noexcept {
  constexpr std::array<std::pair<std::string_view, nn::StoredType>, 10> known{{
      {"F64", nn::StoredType::float64},
      {"F32", nn::StoredType::float32},
      {"F16", nn::StoredType::float16},
      {"BF16", nn::StoredType::bfloat16},
      {"I64", nn::StoredType::int64},
      {"I32", nn::StoredType::int32},
      {"I16", nn::StoredType::int16},
      {"I8", nn::StoredType::int8},
      {"U8", nn::StoredType::uint8},
      {"BOOL", nn::StoredType::boolean},
  }};
  for (const auto& [name, type] : known)
    if (name == dtype) return type;
  return {};
}

/// Length of the longest string, number or word in a JSON text; well-formed or not.
[[nodiscard]] IVADO_INLINE std::size_t longest_token(std::string_view json) noexcept {
  std::size_t longest = 0;
  std::size_t length = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char letter = json[i];
    const bool ends =
        in_string ? letter == '"' : std::string_view(" \t\r\n,:{}[]\"").find(letter) != std::string_view::npos;
    longest = std::max(longest, ++length);
    if (ends) {
      length = 0;
      in_string = letter == '"' && !in_string;
    } else if (in_string && letter == '\\') {
      ++i;
      ++length;
    }
  }
  return longest;
}

/// Where a tensor's numbers lie, counted from the end of the header.
struct SafetensorsPlace {
  nn::StoredType type = nn::StoredType::float32;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Takes the events of nlohmann's JSON parser, so that no tree of the header is built: `{name: {dtype, shape,
/// data_offsets}, …, "__metadata__": {key: text, …}}`.
class SafetensorsHeader {
 public:
  SafetensorsHeader(std::string doing, nn::MemoryLimit& memory, std::uint64_t data_size)
      : places(&memory), doing_(std::move(doing)), memory_(&memory), data_size_(data_size) {}

  nn::Weights weights;                        ///< tensors without their bytes, and the metadata
  std::pmr::vector<SafetensorsPlace> places;  ///< one a tensor

  [[nodiscard]] IVADO_INLINE Error refuse(const std::string& found) const {
    return data_error(doing_, found, "give a safetensors file that is whole");
  }
  /// The tensor that is read, for messages.
  [[nodiscard]] std::string which() const { return "tensor " + nn::quoted(weights.tensors.back().name); }

  IVADO_INLINE bool start_object(std::size_t) {
    if (at_ == At::outside)
      at_ = At::root;
    else if (at_ == At::root && is_metadata_)
      at_ = At::metadata;
    else if (at_ == At::root)
      at_ = At::tensor;
    else
      throw misplaced("an object");
    return true;
  }
  IVADO_INLINE bool key(std::string& name) {
    if (at_ == At::root) {
      is_metadata_ = name == "__metadata__";
      if (is_metadata_ && std::exchange(has_metadata_, true)) throw refuse("it has two entries \"__metadata__\"");
      if (!is_metadata_) begin_tensor(name);
    } else if (at_ == At::metadata) {
      memory_->charge(2 * nn::MemoryLimit::overhead + name.size() + 1);
      key_ = name;
    } else if (name == "dtype") {
      begin_field(Field::dtype);
    } else if (name == "shape") {
      begin_field(Field::shape);
    } else if (name == "data_offsets") {
      begin_field(Field::offsets);
    } else {
      throw refuse(which() + " has an entry " + nn::quoted(name) + " that is not known");
    }
    return true;
  }
  IVADO_INLINE bool string(std::string& value) {
    if (at_ == At::metadata) {
      constexpr std::uint64_t node = sizeof(std::pair<const std::string, std::string>) + 32;  // of a std::map
      memory_->charge(node + 3 * nn::MemoryLimit::overhead + key_.size() + value.size() + 2);
      if (!weights.metadata.emplace(key_, value).second)
        throw refuse("its metadata have the key " + nn::quoted(key_) + " twice");
      return true;
    }
    if (at_ != At::tensor || field_ != Field::dtype) throw misplaced("a text");
    const auto type = stored_type_of_dtype(value);
    if (!type)
      throw data_error(doing_, which() + " has the element type " + nn::quoted(value),
                       "store it as one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL");
    places.back().type = *type;
    return true;
  }
  IVADO_INLINE bool start_array(std::size_t) {
    if (at_ != At::tensor || field_ == Field::dtype) throw misplaced("a list");
    at_ = At::list;
    offsets_ = 0;
    return true;
  }
  IVADO_INLINE bool number_unsigned(std::uint64_t number) {
    if (at_ != At::list) throw misplaced("a number");
    if (field_ == Field::shape) {
      auto& shape = weights.tensors.back().shape;
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        throw refuse(which() + " has an impossible shape");
      memory_->reserve_one_more(shape);
      shape.push_back(static_cast<std::int64_t>(number));
    } else {
      if (offsets_ == 2) throw refuse(which() + " has more than two data_offsets");
      (offsets_++ == 0 ? places.back().begin : places.back().end) = number;
    }
    return true;
  }
  IVADO_INLINE bool end_array() {
    if (field_ == Field::offsets && offsets_ != 2) throw refuse(which() + " lacks one of its two data_offsets");
    at_ = At::tensor;
    return true;
  }
  IVADO_INLINE bool end_object() {
    if (at_ == At::tensor) end_tensor();
    at_ = at_ == At::root ? At::outside : At::root;
    return true;
  }
  bool null() { throw misplaced("null"); }
  bool boolean(bool) { throw misplaced("a boolean"); }
  bool number_integer(std::int64_t) { throw misplaced("a negative number"); }
  bool number_float(double, const std::string&) { throw misplaced("a fraction"); }
  bool binary(Json::binary_t&) { throw misplaced("binary data"); }
  template <class Fault>
  bool parse_error(std::size_t place, const std::string&, const Fault&) {
    throw refuse("its header is not a JSON object: fault at byte " + std::to_string(place));
  }

 private:
  enum class At { outside, root, metadata, tensor, list };
  enum class Field : unsigned { dtype = 1, shape = 2, offsets = 4 };

  [[nodiscard]] IVADO_INLINE Error misplaced(const std::string& found) const {
    if (at_ == At::outside) return refuse("its header is not a JSON object but " + found);
    if (is_metadata_) return refuse("its metadata are not texts: they have " + found);
    if (at_ == At::root) return refuse(which() + " is not an object but " + found);
    if (field_ == Field::shape) return refuse(which() + " has an impossible shape: it has " + found);
    return refuse(which() + " has " + found + " where its dtype or data_offsets belong");
  }
  IVADO_INLINE void begin_tensor(const std::string& name) {
    memory_->reserve_one_more(weights.tensors);
    memory_->charge(name.size() + 1 + nn::MemoryLimit::overhead);
    weights.tensors.emplace_back().name = name;
    places.emplace_back();
    fields_ = 0;
  }
  IVADO_INLINE void begin_field(Field field) {
    const auto bit = static_cast<unsigned>(field);
    if ((fields_ & bit) != 0) throw refuse(which() + " has one of its entries twice");
    fields_ |= bit;
    field_ = field;
  }
  IVADO_INLINE void end_tensor() {
    auto& tensor = weights.tensors.back();
    const auto& place = places.back();
    constexpr unsigned all = 7;
    if (fields_ != all) throw refuse(which() + " lacks dtype, shape or data_offsets");
    tensor.type = nn::element_type_of(place.type);
    std::uint64_t size = nn::stored_width(place.type);
    for (const std::int64_t extent : tensor.shape) {
      const auto n = static_cast<std::uint64_t>(extent);
      if (n > data_size_ || (n > 0 && size > std::numeric_limits<std::uint64_t>::max() / n))
        throw refuse(which() + " is larger than the file");
      size *= n;
    }
    if (place.begin > place.end || place.end > data_size_ || place.end - place.begin != size)
      throw refuse(which() + " claims the bytes " + std::to_string(place.begin) + " to " + std::to_string(place.end) +
                   ", its shape needs " + std::to_string(size) + " and the file has " + std::to_string(data_size_));
  }

  std::string doing_;
  nn::MemoryLimit* memory_;
  std::uint64_t data_size_;
  At at_ = At::outside;
  Field field_ = Field::dtype;
  unsigned fields_ = 0;   ///< those of the tensor that were there
  unsigned offsets_ = 0;  ///< how many were there
  bool is_metadata_ = false;
  bool has_metadata_ = false;
  std::string key_;  ///< of the metadata
};

/// Refuses tensors that have one name, and tensors that do not cover the data one after the other.
IVADO_INLINE void check_safetensors(const SafetensorsHeader& header, std::uint64_t data_size, nn::MemoryLimit& memory) {
  const auto& tensors = header.weights.tensors;
  std::pmr::vector<std::uint32_t> order(tensors.size(), &memory);
  if (tensors.size() > std::numeric_limits<std::uint32_t>::max()) throw header.refuse("it has too many tensors");
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return tensors[a].name < tensors[b].name; });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (tensors[order[i]].name == tensors[order[i - 1]].name)
      throw header.refuse("it has the tensor " + nn::quoted(tensors[order[i]].name) + " twice");
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto& one = header.places[a];
    const auto& two = header.places[b];
    return one.begin != two.begin ? one.begin < two.begin : one.end < two.end;
  });
  std::uint64_t covered = 0;
  for (const std::uint32_t i : order) {
    const auto& place = header.places[i];
    if (place.begin != covered)
      throw header.refuse("tensor " + nn::quoted(tensors[i].name) + " begins at byte " + std::to_string(place.begin) +
                          (place.begin < covered ? ", within the one before it" : ", with unused bytes before it"));
    covered = place.end;
  }
  if (covered != data_size)
    throw header.refuse("its tensors cover " + std::to_string(covered) + " of " + std::to_string(data_size) + " bytes");
}

}  // namespace detail

IVADO_INLINE nn::Weights read_safetensors(const std::string& path) {
  const std::string doing = "reading the weights " + path;
  const auto refuse = [&](const std::string& found) {
    return data_error(doing, found, "give a safetensors file that is whole");
  };
  std::error_code fault;
  const std::uint64_t file_size = std::filesystem::file_size(path, fault);
  if (fault) throw refuse(fault.message());
  std::ifstream file(path, std::ios::binary);
  std::uint64_t header_size = 0;
  if (file_size < 8 || !file.read(reinterpret_cast<char*>(&header_size), 8))
    throw refuse("shorter than the eight bytes of a length");
  if (header_size > file_size - 8)
    throw refuse("its header claims " + std::to_string(header_size) + " bytes, the file has " +
                 std::to_string(file_size));
  nn::MemoryLimit memory(doing, file_size);
  const std::uint64_t data_size = file_size - 8 - header_size;
  detail::SafetensorsHeader header(doing, memory, data_size);
  {
    std::pmr::string text(header_size, '\0', &memory);
    if (!file.read(text.data(), static_cast<std::streamsize>(header_size))) throw refuse("its header cannot be read");
    // The parser holds the token that it reads in growing buffers, and more than once in the message of a fault.
    const std::uint64_t tokens = 16 * detail::longest_token(text);
    memory.charge(tokens);
    Json::sax_parse(text.begin(), text.end(), &header);
    memory.release(tokens);
  }
  detail::check_safetensors(header, data_size, memory);
  for (std::size_t i = 0; i < header.weights.tensors.size(); ++i) {
    auto& tensor = header.weights.tensors[i];
    const auto& place = header.places[i];
    const std::uint64_t stored = place.end - place.begin;
    const std::uint64_t count = stored / nn::stored_width(place.type);
    const std::uint64_t size = count * nn::WeightTensor::width(tensor.type);
    memory.charge(size + nn::MemoryLimit::overhead);
    tensor.bytes.resize(size);
    file.seekg(static_cast<std::streamoff>(8 + header_size + place.begin));
    const auto read = [&](std::byte* to) {
      if (!file.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(stored)))
        throw refuse("tensor " + nn::quoted(tensor.name) + " cannot be read");
    };
    if (place.type == nn::StoredType::float32 || place.type == nn::StoredType::int64) {
      read(tensor.bytes.data());
    } else {
      std::pmr::vector<std::byte> raw(stored, &memory);
      read(raw.data());
      nn::convert_elements(place.type, raw.data(), 1, count, tensor.bytes.data());
    }
  }
  return std::move(header.weights);
}

}  // namespace ivado
