// Files that are there whole or not at all: written beside their place, flushed to disk, then renamed.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// The name under which `path` is written before it is renamed: in the same folder, unique to process and call, and
/// with the same extension, so that a writer that goes by extensions can be used.
[[nodiscard]] IVADO_INLINE std::string temporary_beside(const std::string& path) {
  static std::atomic<unsigned> count{0};
  const std::filesystem::path place(path);
  return (place.parent_path() /
          (".ivado-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + "-" + place.filename().string()))
      .string();
}

namespace detail {

/// The process that a file named by `temporary_beside` belongs to; nothing for another file.
[[nodiscard]] IVADO_INLINE std::optional<pid_t> writer_of(std::string_view name) noexcept {
  constexpr std::string_view mark = ".ivado-";
  if (!name.starts_with(mark)) return std::nullopt;
  name.remove_prefix(mark.size());
  pid_t process = 0;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), process);
  if (fault != std::errc{} || process <= 0 || end == name.data() + name.size() || *end != '-') return std::nullopt;
  return process;
}

}  // namespace detail

/// Removes from a folder (not from those below it) what killed runs have left half-written.
///
/// These are the files named by `temporary_beside` whose process is gone, or has the id of this one, as it happens in
/// containers: call it while this process writes nothing there. Nobody reads such files; they only take room.
/// @return the names of the files that were removed, sorted; none where there is no such folder
IVADO_INLINE std::vector<std::string> remove_abandoned(const std::string& folder) {
  std::vector<std::string> removed;
  std::error_code fault;
  for (std::filesystem::directory_iterator entry(folder, fault), end; !fault && entry != end; entry.increment(fault)) {
    const std::string name = entry->path().filename().string();
    const auto writer = detail::writer_of(name);
    if (!writer || (*writer != ::getpid() && (::kill(*writer, 0) == 0 || errno != ESRCH))) continue;
    std::error_code ignored;
    if (std::filesystem::remove(entry->path(), ignored)) removed.push_back(name);
  }
  std::sort(removed.begin(), removed.end());
  return removed;
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

namespace detail {

/// Flushes the names in the folder of a file to disk, so that a renamed file is found after a power failure.
///
/// Folders that may not be read, and file systems that flush no folders, are passed over.
/// @throws Error (internal) if the disk reports a fault
IVADO_INLINE void flush_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const int folder = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  const bool good = ::fsync(folder) == 0;
  const int fault = errno;
  ::close(folder);
  if (!good && (fault == EIO || fault == ENOSPC || fault == EDQUOT))
    throw internal_error("writing " + path, std::string("its folder cannot be flushed: ") + std::strerror(fault),
                         "check the disk");
}

}  // namespace detail

/// Writes `content` to `path` as a whole; file and folder are on disk when it returns.
/// @throws Error (internal) if that fails: no folder, no space, no permission; an earlier file is then unharmed
IVADO_INLINE void write_file_atomically(const std::string& path, std::string_view content) {
  write_atomically(path, [&](const std::string& temporary) {
    std::FILE* file = std::fopen(temporary.c_str(), "wb");
    const bool opened = file != nullptr;
    bool good = opened && std::fwrite(content.data(), 1, content.size(), file) == content.size();
    good = good && std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
    int fault = errno;
    if (opened && std::fclose(file) != 0 && good) {
      good = false;
      fault = errno;
    }
    if (!good)
      throw internal_error("writing " + path, std::strerror(fault),
                           "check the free space and the permissions of its folder");
  });
  detail::flush_folder_of(path);
}

}  // namespace ivado
