// Disks that are full: a small file system in memory where mounting is permitted, and a limit on the size of files
// everywhere else.
#pragma once

#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

#include "catch.hpp"
#include "scratch.hpp"

/// Lets no file grow beyond `bytes` for as long as it lives: writing fails as on a full disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit small = before_;
    small.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    (void)::setrlimit(RLIMIT_FSIZE, &before_);
    (void)std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

/// A file system in memory of so many bytes, in a folder of its own. Only root may mount it.
class MemoryDisk {
 public:
  explicit MemoryDisk(std::size_t bytes) {
    const std::string options = "size=" + std::to_string(bytes);
    if (::mount("ivado-test", folder_.path.c_str(), "tmpfs", 0, options.c_str()) != 0) refusal_ = std::strerror(errno);
  }
  MemoryDisk(const MemoryDisk&) = delete;
  MemoryDisk& operator=(const MemoryDisk&) = delete;
  ~MemoryDisk() {
    if (refusal_.empty()) (void)::umount2(folder_.path.c_str(), MNT_DETACH);
  }

  /// Why there is none; empty: it is there.
  [[nodiscard]] const std::string& refusal() const noexcept { return refusal_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return folder_ / name; }
  /// Fills it to the last byte with a file.
  void fill() const {
    std::ofstream file(filler(), std::ios::binary);
    const std::string block(4096, 'x');
    while (file << block << std::flush) continue;
  }
  /// Makes the room again.
  void clear() const { std::filesystem::remove(filler()); }

 private:
  [[nodiscard]] std::string filler() const { return folder_ / "filler"; }

  Scratch folder_;
  std::string refusal_;
};
