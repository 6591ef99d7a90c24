// A digest of texts and files: to see that something is what it was. No safeguard against forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "../inline.hpp"

namespace ivado::detail {

/// A 64-bit digest that grows with its text (FNV-1a: Fowler, Noll and Vo).
class Digest {
 public:
  IVADO_INLINE void add(std::string_view content) noexcept {
    for (const char c : content) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  /// As 16 hexadecimal digits.
  [[nodiscard]] IVADO_INLINE std::string text() const {
    std::string out(16, '0');
    std::uint64_t rest = hash_;
    for (std::size_t i = 16; i-- > 0; rest >>= 4) out[i] = "0123456789abcdef"[rest & 15U];
    return out;
  }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};
[[nodiscard]] IVADO_INLINE std::string digest_of(std::string_view content) {
  Digest digest;
  digest.add(content);
  return digest.text();
}

/// The digest of the bytes of a file; empty where it is none.
[[nodiscard]] IVADO_INLINE std::string file_digest(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {};
  Digest digest;
  std::vector<char> block(std::size_t{1} << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0)
    digest.add({block.data(), static_cast<std::size_t>(file.gcount())});
  return digest.text();
}

}  // namespace ivado::detail
