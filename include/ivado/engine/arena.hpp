// One block of memory for all values of a network: each has its place while it lives, and places are used again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace ivado::engine {

/// A piece of memory, needed from one step to another.
struct Buffer {
  std::size_t bytes = 0;
  std::int32_t first = 0;  ///< step that writes it
  std::int32_t last = 0;   ///< last step that reads it
  std::size_t offset = 0;  ///< in the arena, a multiple of `Arena::alignment`
};

/// The plan of an arena.
struct Arena {
  static constexpr std::size_t alignment = 64;

  /// Gives each buffer an offset so that no two that live at one time overlap, the largest first, each as low as it can
  /// be.
  /// @return the bytes of the arena
  [[nodiscard]] static std::size_t place(std::vector<Buffer>& buffers) {
    std::vector<std::size_t> order(buffers.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });
    std::size_t size = 0;
    std::vector<std::size_t> placed;  // by offset
    for (const std::size_t i : order) {
      Buffer& buffer = buffers[i];
      buffer.bytes = (buffer.bytes + alignment - 1) / alignment * alignment;
      std::size_t offset = 0;
      for (const std::size_t k : placed) {
        const Buffer& other = buffers[k];
        if (other.last < buffer.first || buffer.last < other.first) continue;
        if (offset + buffer.bytes <= other.offset) break;
        offset = std::max(offset, other.offset + other.bytes);
      }
      buffer.offset = offset;
      size = std::max(size, offset + buffer.bytes);
      const auto place =
          std::find_if(placed.begin(), placed.end(), [&](std::size_t k) { return buffers[k].offset > offset; });
      placed.insert(place, i);
    }
    return size;
  }
};

}  // namespace ivado::engine
