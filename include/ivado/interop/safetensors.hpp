// Weights as safetensors: eight bytes of length, a JSON header, raw numbers. Nothing in it can be executed. No
// LibTorch.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include "../config/json.hpp"
#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../nn/weights.hpp"

namespace ivado {

static_assert(std::endian::native == std::endian::little,
              "ivado: safetensors are little-endian, and so must the machine be");

/// Writes weights as a safetensors file, whole or not at all.
///
/// Format: github.com/huggingface/safetensors, "Format". The header is padded with blanks so that the numbers begin at
/// a
/// multiple of 8 bytes.
/// @throws Error (internal) if the file cannot be written
inline void write_safetensors(const std::string& path, const nn::Weights& weights) {
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

/// Reads a safetensors file with element types F32 and I64; others are refused by name.
///
/// Every number in the header is checked against the size of the file before anything is allocated.
/// @throws Error (data) if the file is missing or malformed, with what is wrong
[[nodiscard]] inline nn::Weights read_safetensors(const std::string& path) {
  const std::string doing = "reading the weights " + path;
  const auto refuse = [&](const std::string& found) {
    return data_error(doing, found, "give a safetensors file that is whole");
  };
  std::error_code fault;
  const auto file_size = std::filesystem::file_size(path, fault);
  if (fault) throw refuse(fault.message());
  std::ifstream file(path, std::ios::binary);
  std::uint64_t header_size = 0;
  if (file_size < 8 || !file.read(reinterpret_cast<char*>(&header_size), 8))
    throw refuse("shorter than the eight bytes of a length");
  if (header_size > file_size - 8)
    throw refuse("its header claims " + std::to_string(header_size) + " bytes, the file has " +
                 std::to_string(file_size));
  std::string text(header_size, '\0');
  file.read(text.data(), static_cast<std::streamsize>(header_size));
  const Json header = Json::parse(text, nullptr, false);
  if (!header.is_object()) throw refuse("its header is not a JSON object");
  const std::uint64_t data_size = file_size - 8 - header_size;
  const auto unsigned_pair = [](const Json& entry) {
    return entry.is_array() && entry.size() == 2 && entry[0].is_number_unsigned() && entry[1].is_number_unsigned();
  };
  nn::Weights weights;
  std::uint64_t covered = 0;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) throw refuse("its metadata is not an object");
      for (const auto& [key, value] : entry.items())
        if (value.is_string()) weights.metadata[key] = value.template get<std::string>();
      continue;
    }
    const std::string which = "tensor \"" + name + "\"";
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
        !entry["shape"].is_array() || !entry.contains("data_offsets") || !unsigned_pair(entry["data_offsets"]))
      throw refuse(which + " lacks dtype, shape or data_offsets");
    nn::WeightTensor tensor;
    tensor.name = name;
    const auto type = entry["dtype"].template get<std::string>();
    if (type != "F32" && type != "I64")
      throw data_error(doing, which + " has the element type " + type, "store it as F32 (or I64)");
    tensor.type = type == "F32" ? nn::ElementType::float32 : nn::ElementType::int64;
    std::uint64_t size = nn::WeightTensor::width(tensor.type);
    for (const auto& extent : entry["shape"]) {
      if (!extent.is_number_unsigned()) throw refuse(which + " has an impossible shape");
      const auto n = extent.template get<std::uint64_t>();
      if (n > data_size || (n > 0 && size > std::numeric_limits<std::uint64_t>::max() / n))
        throw refuse(which + " is larger than the file");
      size *= n;
      tensor.shape.push_back(static_cast<std::int64_t>(n));
    }
    const auto begin = entry["data_offsets"][0].template get<std::uint64_t>();
    const auto end = entry["data_offsets"][1].template get<std::uint64_t>();
    if (begin > end || end > data_size || end - begin != size)
      throw refuse(which + " claims the bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                   ", its shape needs " + std::to_string(size) + " and the file has " + std::to_string(data_size));
    tensor.bytes.resize(size);
    file.seekg(static_cast<std::streamoff>(8 + header_size + begin));
    if (!file.read(reinterpret_cast<char*>(tensor.bytes.data()), static_cast<std::streamsize>(size)))
      throw refuse(which + " cannot be read");
    covered += size;
    weights.tensors.push_back(std::move(tensor));
  }
  if (covered != data_size)
    throw refuse("its tensors cover " + std::to_string(covered) + " of " + std::to_string(data_size) + " bytes");
  return weights;
}

}  // namespace ivado
