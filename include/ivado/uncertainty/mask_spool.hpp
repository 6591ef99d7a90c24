// Masks of one shape kept in a file, one bit a voxel, for a second pass over them: memory does not grow with their
// number.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// Keeps masks of equally many voxels in a file without a name, which is gone with the object or the process.
///
/// Memory: one bit a voxel, whatever the number of masks. Disk: one bit a voxel and mask. Not thread-safe.
class MaskSpool {
 public:
  /// @param folder  an existing folder on a disk with room, such as that of the results (/tmp is memory on many
  ///                machines)
  /// @param voxels  of each mask
  /// @throws Error (internal) if no file can be made there
  IVADO_INLINE MaskSpool(std::string folder, std::int64_t voxels)
      : folder_(std::move(folder)), voxels_(voxels), packed_(static_cast<std::size_t>((voxels + 7) / 8)) {
    std::string path = folder_ + "/.ivado-masks-XXXXXX";
    const int descriptor = ::mkstemp(path.data());
    if (descriptor < 0) fail("making a file of masks");
    ::unlink(path.c_str());
    file_.reset(::fdopen(descriptor, "w+b"));
    if (!file_) {
      ::close(descriptor);
      fail("making a file of masks");
    }
    std::setvbuf(file_.get(), nullptr, _IONBF, 0);  // whole masks are written and read: a buffer would only copy them
  }

  /// Number of masks.
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }

  /// Adds a mask behind the others.
  /// @param is_set  `is_set(i)` for each voxel i in order
  /// @throws Error (internal) if the disk does not take it; it is then not among the masks
  template <class IsSet>
  void add(const IsSet& is_set) {
    for (std::size_t byte = 0; byte < packed_.size(); ++byte) {
      const auto first = static_cast<std::int64_t>(8 * byte);
      const std::int64_t count = std::min<std::int64_t>(8, voxels_ - first);
      unsigned bits = 0;
      for (std::int64_t i = 0; i < count; ++i) bits |= is_set(first + i) ? 1U << i : 0U;
      packed_[byte] = static_cast<unsigned char>(bits);
    }
    seek(size_);
    if (std::fwrite(packed_.data(), 1, packed_.size(), file_.get()) != packed_.size()) fail("keeping a mask");
    ++size_;
  }
  /// Reads mask `number` (from 0), calling `visit(i, is_set)` for each voxel in order.
  /// @throws Error (internal) if there is no such mask or the file cannot be read
  template <class Visit>
  void read(std::int64_t number, const Visit& visit) {
    if (number < 0 || number >= size_)
      throw internal_error("reading a mask", detail::text("number ", number, " of ", size_));
    seek(number);
    if (std::fread(packed_.data(), 1, packed_.size(), file_.get()) != packed_.size()) fail("reading a mask");
    for (std::int64_t i = 0; i < voxels_; ++i)
      visit(i, ((packed_[static_cast<std::size_t>(i / 8)] >> (i % 8)) & 1U) != 0);
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
  };

  IVADO_INLINE void seek(std::int64_t number) {
    if (::fseeko(file_.get(), static_cast<off_t>(number * static_cast<std::int64_t>(packed_.size())), SEEK_SET) != 0)
      fail("finding a mask");
  }
  [[noreturn]] IVADO_INLINE void fail(const std::string& doing) const {
    throw internal_error(doing + " in " + folder_, std::strerror(errno),
                         "check the free space and the permissions of the folder");
  }

  std::string folder_;
  std::int64_t voxels_;
  std::int64_t size_ = 0;
  std::vector<unsigned char> packed_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace ivado
