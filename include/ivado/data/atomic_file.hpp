// Files that are there whole or not at all: written beside their place, flushed to disk, then renamed.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "../error.hpp"

namespace ivado {

/// The name under which `path` is written before it is renamed: in the same folder, unique to process and call, and
/// with the
/// same extension, so that a writer that goes by extensions can be used.
[[nodiscard]] inline std::string temporary_beside(const std::string& path) {
  static std::atomic<unsigned> count{0};
  const std::filesystem::path place(path);
  return (place.parent_path() /
          (".ivado-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + "-" + place.filename().string()))
      .string();
}

/// Calls `write(temporary_path)` and renames the result to `path`; removes it if that throws.
/// @throws Error (internal) if the folder is missing or the file cannot be written
template <class Write>
void write_atomically(const std::string& path, const Write& write) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    throw internal_error("writing " + path, "the folder " + folder.string() + " does not exist", "create it first");
  const std::string temporary = temporary_beside(path);
  try {
    write(temporary);
    std::error_code fault;
    std::filesystem::rename(temporary, path, fault);
    if (fault) throw internal_error("writing " + path, fault.message(), "check the permissions of its folder");
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

/// Writes `content` to `path` as a whole.
/// @throws Error (internal) if that fails: no folder, no space, no permission
inline void write_file_atomically(const std::string& path, std::string_view content) {
  write_atomically(path, [&](const std::string& temporary) {
    std::FILE* file = std::fopen(temporary.c_str(), "wb");
    const bool opened = file != nullptr;
    bool good = opened && std::fwrite(content.data(), 1, content.size(), file) == content.size();
    good = good && std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
    const int fault = errno;
    if (opened) good = std::fclose(file) == 0 && good;
    if (!good)
      throw internal_error("writing " + path, std::strerror(fault),
                           "check the free space and the permissions of its folder");
  });
}

}  // namespace ivado
