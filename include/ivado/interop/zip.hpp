// Zip archives of stored (uncompressed) entries, as PyTorch writes them: a strict reader over bytes in memory, and a
// writer. No LibTorch.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory_resource>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/weights.hpp"

namespace ivado {

static_assert(std::endian::native == std::endian::little,
              "ivado: zip archives are little-endian, and so must the machine be");

namespace detail {

// Signatures of the records of a zip archive (APPNOTE.TXT 6.3.10, section 4.3).
inline constexpr std::string_view zip_local = "PK\3\4";
inline constexpr std::string_view zip_descriptor = "PK\7\10";
inline constexpr std::string_view zip_central = "PK\1\2";
inline constexpr std::string_view zip_end = "PK\5\6";
inline constexpr std::string_view zip64_end = "PK\6\6";
inline constexpr std::string_view zip64_locator = "PK\6\7";

inline constexpr std::uint16_t zip_flag_encrypted = 1;
inline constexpr std::uint16_t zip_flag_descriptor = 8;  ///< check sum and sizes stand behind the data
inline constexpr std::uint16_t zip_flag_utf8 = 0x800;    ///< of the name
inline constexpr std::uint16_t zip64_extra = 1;          ///< id of the extra field with sizes of 64 bits
inline constexpr std::uint32_t zip_elsewhere = 0xFFFFFFFF;

/// The little-endian number at a place; the caller has checked that it is there.
template <class Number>
[[nodiscard]] Number number_at(std::string_view bytes, std::size_t at) noexcept {
  Number out;
  std::memcpy(&out, bytes.data() + at, sizeof(Number));
  return out;
}

/// Appends a number, little-endian.
template <class Number>
void append_number(std::string& out, Number number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(Number));
}

}  // namespace detail

/// A zip archive that lies in memory. Nothing is copied: names and contents are views of the archive.
///
/// Zip64 is understood; entries that are compressed or encrypted are refused when they are read.
class ZipArchive {
 public:
  /// Reads the directory.
  /// @param content  the whole file; must outlive the archive
  /// @param doing    what is being done, for messages: "reading the weights model.pt"
  /// @param memory   what the directory may take
  /// @throws Error (data) if the archive is malformed or a name stands in it twice
  IVADO_INLINE ZipArchive(std::string_view content, std::string doing, nn::MemoryLimit& memory)
      : content_(content), doing_(std::move(doing)), entries_(&memory) {
    read_directory();
  }

  /// True if there is an entry of that name.
  [[nodiscard]] bool contains(std::string_view name) const noexcept { return find(name) != entries_.end(); }

  /// The only name that ends so and has one folder before that ending: "model/data.pkl" for "/data.pkl".
  /// @throws Error (data) if there is none or more than one
  [[nodiscard]] IVADO_INLINE std::string_view only_name_with_ending(std::string_view ending) const {
    std::string_view found;
    for (const auto& entry : entries_)
      if (entry.name.ends_with(ending) && entry.name.find('/') == entry.name.size() - ending.size()) {
        if (!found.empty()) throw refuse("it has the records " + nn::quoted(found) + " and " + nn::quoted(entry.name));
        found = entry.name;
      }
    if (found.empty()) throw refuse("it has no record <folder>" + std::string(ending));
    return found;
  }

  /// The content of an entry, once its local header agrees with the directory and its CRC-32 with its bytes.
  /// @throws Error (data) if it is missing, malformed, damaged, compressed or encrypted
  [[nodiscard]] IVADO_INLINE std::string_view read(std::string_view name) {
    const auto place = find(name);
    if (place == entries_.end()) throw refuse("it has no record " + nn::quoted(name));
    Entry& entry = entries_[static_cast<std::size_t>(place - entries_.cbegin())];
    if (!entry.checked) check(entry);
    return content_.substr(entry.data, entry.size);
  }

 private:
  struct Entry {
    std::string_view name;
    std::uint64_t header = 0;  ///< where its local header begins
    std::uint64_t stored = 0;  ///< bytes in the archive
    std::uint64_t size = 0;    ///< bytes when unpacked
    std::uint64_t data = 0;    ///< where its bytes begin, once checked
    std::uint32_t crc = 0;
    std::uint16_t flags = 0;
    std::uint16_t method = 0;
    bool checked = false;
  };

  [[nodiscard]] IVADO_INLINE Error refuse(const std::string& found) const {
    return data_error(doing_, found, "give a file that is whole, as torch.save writes it");
  }
  [[nodiscard]] IVADO_INLINE std::pmr::vector<Entry>::const_iterator find(std::string_view name) const noexcept {
    const auto place =
        std::lower_bound(entries_.begin(), entries_.end(), name,
                         [](const Entry& entry, std::string_view sought) { return entry.name < sought; });
    return place != entries_.end() && place->name == name ? place : entries_.end();
  }
  /// The bytes at a place, if they are there and begin so.
  [[nodiscard]] IVADO_INLINE std::string_view record(std::uint64_t at, std::uint64_t size,
                                                     std::string_view signature) const {
    if (at > content_.size() || size > content_.size() - at || !content_.substr(at, size).starts_with(signature))
      throw refuse("its zip record at byte " + std::to_string(at) + " is missing or damaged");
    return content_.substr(at, size);
  }

  void read_directory();
  void read_zip64_sizes(std::string_view extra, Entry& entry, bool has_header) const;
  void check(Entry& entry) const;

  std::string_view content_;
  std::string doing_;
  std::pmr::vector<Entry> entries_;  ///< by name
};

IVADO_INLINE void ZipArchive::read_directory() {
  using detail::number_at;
  constexpr std::size_t end_size = 22;
  // The end record stands last, before a comment of at most 65535 bytes.
  std::size_t end = std::string_view::npos;
  for (std::size_t comment = 0; comment <= 0xFFFF && comment + end_size <= content_.size(); ++comment) {
    const std::size_t at = content_.size() - end_size - comment;
    if (content_.substr(at).starts_with(detail::zip_end) && number_at<std::uint16_t>(content_, at + 20) == comment) {
      end = at;
      break;
    }
  }
  if (end == std::string_view::npos) throw refuse("its zip directory is missing: the file is cut");
  std::uint64_t disks = number_at<std::uint32_t>(content_, end + 4);
  std::uint64_t count = number_at<std::uint16_t>(content_, end + 10);
  std::uint64_t size = number_at<std::uint32_t>(content_, end + 12);
  std::uint64_t at = number_at<std::uint32_t>(content_, end + 16);
  std::uint64_t directory_end = end;
  constexpr std::size_t locator_size = 20;
  if (end >= locator_size && content_.substr(end - locator_size).starts_with(detail::zip64_locator)) {
    directory_end = number_at<std::uint64_t>(content_, end - locator_size + 8);
    const auto wide = record(directory_end, 56, detail::zip64_end);
    const auto agrees = [](std::uint64_t narrow, std::uint64_t value, std::uint64_t elsewhere) {
      return narrow == value || narrow == elsewhere;
    };
    if (!agrees(count, number_at<std::uint64_t>(wide, 32), 0xFFFF) ||
        !agrees(size, number_at<std::uint64_t>(wide, 40), detail::zip_elsewhere) ||
        !agrees(at, number_at<std::uint64_t>(wide, 48), detail::zip_elsewhere))
      throw refuse("the two end records of its zip directory disagree");
    disks = number_at<std::uint64_t>(wide, 16);
    count = number_at<std::uint64_t>(wide, 32);
    size = number_at<std::uint64_t>(wide, 40);
    at = number_at<std::uint64_t>(wide, 48);
  }
  constexpr std::size_t header_size = 46;
  if (disks != 0) throw refuse("it is one part of a zip archive in several");
  if (directory_end > end || at > directory_end || size > directory_end - at || count > size / header_size)
    throw refuse("its zip directory of " + std::to_string(count) + " entries and " + std::to_string(size) +
                 " bytes is not within the file");
  entries_.reserve(count);
  const std::uint64_t stop = at + size;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto header = record(at, header_size, detail::zip_central);
    const std::uint64_t name = number_at<std::uint16_t>(header, 28);
    const std::uint64_t extra = number_at<std::uint16_t>(header, 30);
    const std::uint64_t comment = number_at<std::uint16_t>(header, 32);
    const auto whole = record(at, header_size + name + extra + comment, detail::zip_central);
    at += whole.size();
    if (at > stop) throw refuse("its zip directory is longer than it claims");
    Entry entry;
    entry.name = whole.substr(header_size, name);
    entry.flags = number_at<std::uint16_t>(header, 8);
    entry.method = number_at<std::uint16_t>(header, 10);
    entry.crc = number_at<std::uint32_t>(header, 16);
    entry.stored = number_at<std::uint32_t>(header, 20);
    entry.size = number_at<std::uint32_t>(header, 24);
    entry.header = number_at<std::uint32_t>(header, 42);
    read_zip64_sizes(whole.substr(header_size + name, extra), entry, true);
    entries_.push_back(entry);
  }
  if (at != stop) throw refuse("its zip directory is shorter than it claims");
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < entries_.size(); ++i)
    if (entries_[i].name == entries_[i - 1].name)
      throw refuse("it has the record " + nn::quoted(entries_[i].name) + " twice");
}

/// Replaces the sizes that did not fit 32 bits by those of the extra field.
IVADO_INLINE void ZipArchive::read_zip64_sizes(std::string_view extra, Entry& entry, bool has_header) const {
  if (entry.size != detail::zip_elsewhere && entry.stored != detail::zip_elsewhere &&
      !(has_header && entry.header == detail::zip_elsewhere))
    return;
  while (extra.size() >= 4) {
    const auto id = detail::number_at<std::uint16_t>(extra, 0);
    const std::size_t length = detail::number_at<std::uint16_t>(extra, 2);
    if (length > extra.size() - 4) break;
    auto field = extra.substr(4, length);
    extra.remove_prefix(4 + length);
    if (id != detail::zip64_extra) continue;
    const auto take = [&](std::uint64_t& value) {
      if (value != detail::zip_elsewhere || field.size() < 8) return;
      value = detail::number_at<std::uint64_t>(field, 0);
      field.remove_prefix(8);
    };
    take(entry.size);
    take(entry.stored);
    if (has_header) take(entry.header);
    return;
  }
}

IVADO_INLINE void ZipArchive::check(Entry& entry) const {
  using detail::number_at;
  const std::string which = "its record " + nn::quoted(entry.name);
  if ((entry.flags & detail::zip_flag_encrypted) != 0) throw refuse(which + " is encrypted");
  if (entry.method != 0)
    throw refuse(which + " is compressed (method " + std::to_string(entry.method) + "), which torch.save never does");
  if (entry.stored != entry.size) throw refuse(which + " has two sizes in the zip directory");
  constexpr std::uint64_t header_size = 30;
  const auto header = record(entry.header, header_size, detail::zip_local);
  const std::uint64_t name = number_at<std::uint16_t>(header, 26);
  const std::uint64_t extra = number_at<std::uint16_t>(header, 28);
  const auto whole = record(entry.header, header_size + name + extra, detail::zip_local);
  Entry local;
  local.flags = number_at<std::uint16_t>(header, 6);
  local.method = number_at<std::uint16_t>(header, 8);
  local.crc = number_at<std::uint32_t>(header, 14);
  local.stored = number_at<std::uint32_t>(header, 18);
  local.size = number_at<std::uint32_t>(header, 22);
  read_zip64_sizes(whole.substr(header_size + name, extra), local, false);
  const bool is_behind = (local.flags & detail::zip_flag_descriptor) != 0;
  const auto agrees = [&](std::uint64_t here, std::uint64_t there) {
    return here == there || (is_behind && here == 0);
  };
  if (whole.substr(header_size, name) != entry.name || local.flags != entry.flags || local.method != entry.method ||
      !agrees(local.crc, entry.crc) || !agrees(local.stored, entry.stored) || !agrees(local.size, entry.size))
    throw refuse(which + " has a header that disagrees with the zip directory");
  entry.data = entry.header + whole.size();
  if (entry.size > content_.size() - entry.data)
    throw refuse(which + " claims " + std::to_string(entry.size) + " bytes, more than the file has");
  if (is_behind) {  // a signature that may be missing, the CRC-32, and sizes of 32 or 64 bits
    std::uint64_t at = entry.data + entry.size;
    if (content_.substr(at).starts_with(detail::zip_descriptor)) at += 4;
    const auto descriptor = record(at, 8, {});
    if (number_at<std::uint32_t>(descriptor, 0) != entry.crc ||
        number_at<std::uint32_t>(descriptor, 4) != static_cast<std::uint32_t>(entry.stored))
      throw refuse(which + " has a data descriptor that disagrees with the zip directory");
  }
  const auto sum = crc32_z(0, reinterpret_cast<const Bytef*>(content_.data() + entry.data), entry.size);
  if (sum != entry.crc) throw refuse(which + " is damaged: its CRC-32 is not the one in the zip directory");
  entry.checked = true;
}

/// Makes a zip archive of stored entries in memory, each beginning at a multiple of 64 bytes as PyTorch has it.
///
/// The same entries give the same bytes: no time is stored.
class ZipWriter {
 public:
  /// @param zip64_from  size or place from which on numbers of 64 bits are used; smaller than the default only to test
  explicit ZipWriter(std::uint64_t zip64_from = detail::zip_elsewhere) : zip64_from_(zip64_from) {}

  /// Appends an entry. Names have to differ, and the caller sees to that.
  /// @throws Error (internal) if the name is longer than 65535 bytes
  IVADO_INLINE void add(std::string_view name, std::string_view content) {
    if (name.size() > 0xFFFF)
      throw internal_error("writing a zip archive", "a name of " + std::to_string(name.size()) + " bytes",
                           "use at most 65535");
    const auto crc =
        static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
    const std::uint64_t header = out_.size();
    const bool is_wide = content.size() >= zip64_from_;
    std::string extra;
    if (is_wide) append_wide(extra, {content.size(), content.size()});
    constexpr std::uint64_t alignment = 64;
    const std::uint64_t before = header + 30 + name.size() + extra.size() + 4;
    const std::uint64_t padding = (alignment - before % alignment) % alignment;
    detail::append_number(extra, std::uint16_t{0x4246});  // "FB", PyTorch's id of the padding
    detail::append_number(extra, static_cast<std::uint16_t>(padding));
    extra.append(padding, 'Z');
    out_ += detail::zip_local;
    append_common(out_, is_wide, crc, content.size());
    detail::append_number(out_, static_cast<std::uint16_t>(name.size()));
    detail::append_number(out_, static_cast<std::uint16_t>(extra.size()));
    (out_ += name) += extra;
    out_ += content;

    const bool is_far = header >= zip64_from_;
    extra.clear();
    if (is_wide && is_far) append_wide(extra, {content.size(), content.size(), header});
    if (is_wide && !is_far) append_wide(extra, {content.size(), content.size()});
    if (!is_wide && is_far) append_wide(extra, {header});
    directory_ += detail::zip_central;
    detail::append_number(directory_, std::uint16_t{0});  // made by: nobody in particular
    append_common(directory_, is_wide || is_far, crc, content.size(), is_wide);
    detail::append_number(directory_, static_cast<std::uint16_t>(name.size()));
    detail::append_number(directory_, static_cast<std::uint16_t>(extra.size()));
    directory_.append(10, '\0');  // no comment, first disk, no attributes
    detail::append_number(directory_, is_far ? detail::zip_elsewhere : static_cast<std::uint32_t>(header));
    (directory_ += name) += extra;
    ++count_;
  }

  /// The archive; the writer is then used up.
  [[nodiscard]] IVADO_INLINE std::string finish() && {
    const std::uint64_t at = out_.size();
    const std::uint64_t size = directory_.size();
    out_ += directory_;
    const bool is_wide = at >= zip64_from_ || size >= zip64_from_ || count_ >= 0xFFFF;
    if (is_wide) {
      const std::uint64_t wide = out_.size();
      out_ += detail::zip64_end;
      detail::append_number(out_, std::uint64_t{44});  // bytes that follow
      detail::append_number(out_, std::uint16_t{45});
      detail::append_number(out_, std::uint16_t{45});
      detail::append_number(out_, std::uint64_t{0});  // first disk
      for (const std::uint64_t number : {count_, count_, size, at}) detail::append_number(out_, number);
      out_ += detail::zip64_locator;
      detail::append_number(out_, std::uint32_t{0});
      detail::append_number(out_, wide);
      detail::append_number(out_, std::uint32_t{1});
    }
    out_ += detail::zip_end;
    detail::append_number(out_, std::uint32_t{0});
    for (int twice = 0; twice < 2; ++twice)
      detail::append_number(out_, is_wide ? std::uint16_t{0xFFFF} : static_cast<std::uint16_t>(count_));
    for (const std::uint64_t number : {size, at})
      detail::append_number(out_, is_wide ? detail::zip_elsewhere : static_cast<std::uint32_t>(number));
    detail::append_number(out_, std::uint16_t{0});
    return std::move(out_);
  }

 private:
  /// The zip64 extra field.
  IVADO_INLINE static void append_wide(std::string& extra, std::initializer_list<std::uint64_t> numbers) {
    detail::append_number(extra, detail::zip64_extra);
    detail::append_number(extra, static_cast<std::uint16_t>(8 * numbers.size()));
    for (const auto number : numbers) detail::append_number(extra, number);
  }
  /// What local header and directory have in common, from the version needed to the two sizes.
  IVADO_INLINE static void append_common(std::string& out, bool needs_zip64, std::uint32_t crc, std::uint64_t size,
                                         bool is_wide) {
    detail::append_number(out, static_cast<std::uint16_t>(needs_zip64 ? 45 : 10));
    detail::append_number(out, detail::zip_flag_utf8);
    out.append(6, '\0');  // stored; no time
    detail::append_number(out, crc);
    for (int twice = 0; twice < 2; ++twice)
      detail::append_number(out, is_wide ? detail::zip_elsewhere : static_cast<std::uint32_t>(size));
  }
  IVADO_INLINE static void append_common(std::string& out, bool is_wide, std::uint32_t crc, std::uint64_t size) {
    append_common(out, is_wide, crc, size, is_wide);
  }

  std::uint64_t zip64_from_;
  std::uint64_t count_ = 0;
  std::string out_;
  std::string directory_;
};

}  // namespace ivado
