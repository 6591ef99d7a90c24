// Hdf5File: groups, data sets and attributes of an HDF5 file. Needs libhdf5 (component hdf5), no LibTorch.
#pragma once

#include <H5Apublic.h>
#include <H5Dpublic.h>
#include <H5Epublic.h>
#include <H5Fpublic.h>
#include <H5Gpublic.h>
#include <H5Lpublic.h>
#include <H5Opublic.h>
#include <H5Ppublic.h>
#include <H5Spublic.h>
#include <H5Tpublic.h>
#include <H5Zpublic.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "../data/array.hpp"
#include "../error.hpp"

namespace ivado {

/// How the elements of a data set are written.
struct Hdf5Storage {
  int compression = 0;   ///< 0: none; 1 (fast) to 9 (small): deflate, of bytes that are shuffled first
  bool checksum = true;  ///< a check sum for each chunk (Fletcher 32), which reading tests
};

namespace detail::h5 {

/// The one lock of all calls: libhdf5 may have been built without its own.
[[nodiscard]] inline std::recursive_mutex& mutex() {
  static std::recursive_mutex one;
  return one;
}

/// Holds the lock, and keeps the library from printing its errors.
class Guard {
 public:
  Guard() : lock_(mutex()) {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

 private:
  std::lock_guard<std::recursive_mutex> lock_;
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// What the library says of its last error: the sentence nearest to its cause.
[[nodiscard]] inline std::string last_fault() {
  std::string said;
  const auto keep = [](unsigned, const H5E_error2_t* error, void* data) -> herr_t {
    if (error->desc != nullptr && *error->desc != '\0') *static_cast<std::string*>(data) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep, &said);
  H5Eclear2(H5E_DEFAULT);
  return said.empty() ? "the HDF5 library gives no reason" : "HDF5: " + said;
}

/// An identifier of the library, released by the function of its kind.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Handle() = default;
  Handle(hid_t id, Close function) : id_(id), close_(function) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ < 0) return;
    const Guard guard;
    close_(id_);
  }

  [[nodiscard]] hid_t get() const noexcept { return id_; }
  [[nodiscard]] bool is_valid() const noexcept { return id_ >= 0; }
  /// Releases it now.
  /// @return  false if the library fails, as on a full disk
  [[nodiscard]] bool close() {
    const Guard guard;
    return close_(std::exchange(id_, -1)) >= 0;
  }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// The library's type for the numbers in memory.
template <class T>
[[nodiscard]] hid_t native_type() {
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_NATIVE_UINT8;
  if constexpr (std::is_same_v<T, std::int16_t>) return H5T_NATIVE_INT16;
  if constexpr (std::is_same_v<T, std::int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
}

/// Numbers that a file can hold.
template <class T>
concept Number = std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, std::uint8_t> ||
    std::is_same_v<T, std::int16_t> || std::is_same_v<T, std::int32_t> || std::is_same_v<T, std::int64_t>;

}  // namespace detail::h5

/// An HDF5 file. Objects are named by their path from the root, such as "sub-01/inputs/T2w"; "/" is the root itself.
///
/// Errors are `ivado::Error`, kind data, and name the file and the object; the library prints nothing. What a broken or
/// hostile file says of its sizes is held against the bytes it has before memory is taken. Links out of the file (soft
/// and external links, external and virtual data sets) are not followed.
///
/// Thread safety: all members may be called by several threads at once; they take turns.
/// @note libhdf5 1.10 itself does not check all of a file's metadata: a file that somebody changed on purpose may bring
/// the program down within it, through texts of variable length first of all, which this class reads and never writes.
/// Open files of people whom you trust.
class Hdf5File {
 public:
  /// Opens a file to read.
  /// @throws Error (data) if there is none, it is no HDF5 file, or it is cut short
  [[nodiscard]] static Hdf5File open(const std::string& path) {
    const std::string doing = "reading " + path;
    std::error_code fault;
    if (!std::filesystem::is_regular_file(path, fault))
      throw data_error(doing, "there is no such file", "check the path");
    const auto bytes = std::filesystem::file_size(path, fault);
    const detail::h5::Guard guard;
    if (H5Fis_hdf5(path.c_str()) <= 0) throw data_error(doing, "it is not an HDF5 file", "check the path");
    detail::h5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    if (!file.is_valid())
      throw data_error(doing, "it cannot be opened (" + detail::h5::last_fault() + ")",
                       "check that the file is complete, and make it anew if it is not");
    return Hdf5File(path, std::move(file), static_cast<std::uint64_t>(fault ? 0 : bytes));
  }
  /// Makes an empty file, in the place of one that is there.
  /// @throws Error (internal) if it cannot be written
  [[nodiscard]] static Hdf5File create(const std::string& path) {
    const detail::h5::Guard guard;
    detail::h5::Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
    if (!file.is_valid())
      throw internal_error("writing " + path, detail::h5::last_fault(), "check its folder and the free space");
    return Hdf5File(path, std::move(file), 0);
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Writes what is still in memory and closes the file; nothing else may be called after it.
  /// @throws Error (internal) if that fails, as on a full disk
  void close() {
    const detail::h5::Guard guard;
    const bool good = H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) >= 0;
    if (!file_.close() || !good)
      throw internal_error("writing " + path_, detail::h5::last_fault(), "check the free space");
  }

  /// True if there is an object of this name.
  [[nodiscard]] bool has(const std::string& object) const {
    const detail::h5::Guard guard;
    return find(object).empty();
  }
  /// True if the object is there and a data set.
  [[nodiscard]] bool has_dataset(const std::string& object) const {
    const detail::h5::Guard guard;
    if (!find(object).empty()) return false;
    const detail::h5::Handle one(H5Oopen(file_.get(), object.c_str(), H5P_DEFAULT), H5Oclose);
    return one.is_valid() && H5Iget_type(one.get()) == H5I_DATASET;
  }
  /// The names of what lies in a group, in the order of the alphabet.
  /// @throws Error (data) if there is no such group
  [[nodiscard]] std::vector<std::string> names(const std::string& group) const {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(group, H5I_GROUP);
    std::vector<std::string> out;
    const auto add = [](hid_t, const char* name, const H5L_info_t*, void* data) -> herr_t {
      static_cast<std::vector<std::string>*>(data)->emplace_back(name);
      return 0;
    };
    if (H5Literate(one.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &out) < 0)
      throw fault(group, detail::h5::last_fault());
    return out;
  }
  /// Makes a group; those above it must be there.
  void make_group(const std::string& group) {
    const detail::h5::Guard guard;
    const detail::h5::Handle one(H5Gcreate2(file_.get(), group.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                                 H5Gclose);
    if (!one.is_valid()) throw write_fault(group);
  }

  /// The extents of a data set; rank 0 for one without axes or without elements.
  /// @throws Error (data) if there is no such data set, or it has more than six axes
  [[nodiscard]] Shape shape(const std::string& dataset) const {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(dataset, H5I_DATASET);
    return shape_of(one, dataset);
  }
  /// Reads a data set of numbers of any type as `T`.
  /// @return  empty where the data set has no elements; one axis of one element where it has no axes
  /// @throws Error (data) if there is no such data set, it holds something else than numbers, or it cannot be read
  template <detail::h5::Number T>
  [[nodiscard]] Array<T> read(const std::string& dataset) const {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(dataset, H5I_DATASET);
    const Shape extents = checked_shape(one, dataset, sizeof(T));
    if (extents.rank() == 0) return {};
    Array<T> out(extents);
    if (H5Dread(one.get(), detail::h5::native_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()) < 0)
      throw fault(dataset, "its elements cannot be read (" + detail::h5::last_fault() + ")",
                  "the file is damaged or cut short: make it anew");
    return out;
  }
  /// Writes a data set of the type `T`, in one chunk for each index of the first of three or more axes.
  /// @throws Error (internal) if the name is taken, or the disk is full
  template <detail::h5::Number T>
  void write(const std::string& dataset, const Array<T>& elements, const Hdf5Storage& storage = {}) {
    write(dataset, elements.data(), elements.shape(), storage);
  }
  /// Reads a text that `write_text` wrote.
  [[nodiscard]] std::string read_text(const std::string& dataset) const {
    const Array<std::uint8_t> bytes = read<std::uint8_t>(dataset);
    return std::string(bytes.begin(), bytes.end());
  }
  /// Writes a text of any length, as bytes.
  void write_text(const std::string& dataset, std::string_view text, const Hdf5Storage& storage = {}) {
    write(dataset, reinterpret_cast<const std::uint8_t*>(text.data()), Shape{static_cast<std::int64_t>(text.size())},
          storage);
  }

  /// True if the object has such an attribute.
  [[nodiscard]] bool has_attribute(const std::string& object, const std::string& name) const {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(object, H5I_BADID);
    return H5Aexists(one.get(), name.c_str()) > 0;
  }
  /// The texts of an attribute: one, or a list.
  /// @throws Error (data) if the object or the attribute is missing, or holds something else
  [[nodiscard]] std::vector<std::string> texts(const std::string& object, const std::string& name) const {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(object, H5I_BADID);
    const detail::h5::Handle attribute = open_attribute(one, object, name);
    const detail::h5::Handle type(H5Aget_type(attribute.get()), H5Tclose);
    const std::string place = attribute_name(object, name);
    if (H5Tget_class(type.get()) != H5T_STRING) throw fault(place, "it is no text");
    const detail::h5::Handle space(H5Aget_space(attribute.get()), H5Sclose);
    const std::size_t width = H5Tget_size(type.get());
    const std::size_t count = checked_count(attribute, space, place, width);
    std::vector<std::string> out;
    if (count == 0) return out;
    if (H5Tis_variable_str(type.get()) > 0) {
      std::vector<char*> pointers(count, nullptr);
      if (H5Aread(attribute.get(), type.get(), pointers.data()) < 0)
        throw fault(place, "it cannot be read (" + detail::h5::last_fault() + ")");
      for (const char* pointer : pointers) out.emplace_back(pointer == nullptr ? "" : pointer);
      H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data());
      return out;
    }
    std::vector<char> bytes(count * width);
    if (H5Aread(attribute.get(), type.get(), bytes.data()) < 0)
      throw fault(place, "it cannot be read (" + detail::h5::last_fault() + ")");
    for (std::size_t i = 0; i < count; ++i) {
      std::string text(bytes.data() + i * width, width);
      text.resize(std::min(text.find('\0'), text.size()));
      if (H5Tget_strpad(type.get()) == H5T_STR_SPACEPAD) text.resize(text.find_last_not_of(' ') + 1);
      out.push_back(std::move(text));
    }
    return out;
  }
  /// The text of an attribute that is one.
  [[nodiscard]] std::string text(const std::string& object, const std::string& name) const {
    std::vector<std::string> all = texts(object, name);
    if (all.size() != 1)
      throw fault(attribute_name(object, name), "it is " + std::to_string(all.size()) + " texts, expected one");
    return std::move(all.front());
  }
  /// The numbers of an attribute, of any type, as `T`: one, or a list.
  /// @throws Error (data) if the object or the attribute is missing, or holds something else
  template <detail::h5::Number T>
  [[nodiscard]] std::vector<T> numbers(const std::string& object, const std::string& name) const {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(object, H5I_BADID);
    const detail::h5::Handle attribute = open_attribute(one, object, name);
    const detail::h5::Handle type(H5Aget_type(attribute.get()), H5Tclose);
    const std::string place = attribute_name(object, name);
    if (!is_number(type)) throw fault(place, "it is no number");
    const detail::h5::Handle space(H5Aget_space(attribute.get()), H5Sclose);
    std::vector<T> out(checked_count(attribute, space, place, H5Tget_size(type.get())));
    if (!out.empty() && H5Aread(attribute.get(), detail::h5::native_type<T>(), out.data()) < 0)
      throw fault(place, "it cannot be read (" + detail::h5::last_fault() + ")");
    return out;
  }
  /// Gives an object an attribute of one text; of less than 64 KiB, as all attributes.
  void set_text(const std::string& object, const std::string& name, const std::string& text) {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(object, H5I_BADID);
    const detail::h5::Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type.get(), text.size() + 1);
    H5Tset_cset(type.get(), H5T_CSET_UTF8);
    const detail::h5::Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    set_attribute(one, object, name, type.get(), space.get(), text.c_str());
  }
  /// Gives an object an attribute of numbers.
  template <detail::h5::Number T>
  void set_numbers(const std::string& object, const std::string& name, const std::vector<T>& numbers) {
    const detail::h5::Guard guard;
    const detail::h5::Handle one = open_object(object, H5I_BADID);
    const hsize_t count = numbers.size();
    const detail::h5::Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
    set_attribute(one, object, name, detail::h5::native_type<T>(), space.get(), numbers.data());
  }

  /// An error about an object of this file.
  [[nodiscard]] Error fault(const std::string& object, const std::string& found, const std::string& remedy = {}) const {
    return data_error("reading " + object + " of " + path_, found, remedy);
  }

 private:
  Hdf5File(std::string path, detail::h5::Handle file, std::uint64_t bytes)
      : path_(std::move(path)), file_(std::move(file)), bytes_(bytes) {}

  [[nodiscard]] static std::string attribute_name(const std::string& object, const std::string& name) {
    return "the attribute " + name + " of " + object;
  }
  [[nodiscard]] Error write_fault(const std::string& object) const {
    return internal_error("writing " + object + " to " + path_, detail::h5::last_fault(), "check the free space");
  }

  /// Empty if the object is there, else what is wrong. Walks down the path, so that no link leads out of the file.
  [[nodiscard]] std::string find(const std::string& object) const {
    for (std::size_t end = 0; end != std::string::npos && end + 1 < object.size();) {
      end = object.find('/', end + 1);
      const std::string part = object.substr(0, end);
      if (part.empty()) continue;
      H5L_info_t info;
      if (H5Lexists(file_.get(), part.c_str(), H5P_DEFAULT) <= 0) return "there is no " + part;
      if (H5Lget_info(file_.get(), part.c_str(), &info, H5P_DEFAULT) < 0) return detail::h5::last_fault();
      if (info.type != H5L_TYPE_HARD) return part + " is a link to another place, which is not followed";
    }
    return {};
  }
  /// @param kind  group or data set; `H5I_BADID`: any
  [[nodiscard]] detail::h5::Handle open_object(const std::string& object, H5I_type_t kind) const {
    if (const std::string wrong = find(object); !wrong.empty()) throw fault(object, wrong);
    detail::h5::Handle one(H5Oopen(file_.get(), object.c_str(), H5P_DEFAULT), H5Oclose);
    if (!one.is_valid())
      throw fault(object, "it cannot be opened (" + detail::h5::last_fault() + ")",
                  "the file is damaged or cut short: make it anew");
    if (kind != H5I_BADID && H5Iget_type(one.get()) != kind)
      throw fault(object, kind == H5I_GROUP ? "it is no group" : "it is no data set");
    return one;
  }
  [[nodiscard]] detail::h5::Handle open_attribute(const detail::h5::Handle& one, const std::string& object,
                                                  const std::string& name) const {
    if (H5Aexists(one.get(), name.c_str()) <= 0) throw fault(object, "it has no attribute " + name);
    detail::h5::Handle attribute(H5Aopen(one.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
    if (!attribute.is_valid()) throw fault(attribute_name(object, name), detail::h5::last_fault());
    return attribute;
  }
  [[nodiscard]] static bool is_number(const detail::h5::Handle& type) {
    const H5T_class_t kind = H5Tget_class(type.get());
    return kind == H5T_INTEGER || kind == H5T_FLOAT;
  }
  /// Number of elements of an attribute, whose bytes the file must have.
  [[nodiscard]] std::size_t checked_count(const detail::h5::Handle& attribute, const detail::h5::Handle& space,
                                          const std::string& place, std::size_t width) const {
    const hssize_t count = H5Sget_simple_extent_npoints(space.get());
    const std::uint64_t stored = H5Aget_storage_size(attribute.get());
    const std::uint64_t limit = std::max<std::uint64_t>(bytes_, 1U << 16);
    if (count < 0 || width == 0 || static_cast<std::uint64_t>(count) > limit / width || stored > limit)
      throw fault(place, "its size is more than the file holds", "the file is damaged: make it anew");
    return static_cast<std::size_t>(count);
  }
  [[nodiscard]] Shape shape_of(const detail::h5::Handle& one, const std::string& dataset) const {
    const detail::h5::Handle space(H5Dget_space(one.get()), H5Sclose);
    const int rank = H5Sget_simple_extent_ndims(space.get());
    if (rank < 0) throw fault(dataset, detail::h5::last_fault());
    if (rank > Shape::max_rank) throw fault(dataset, "it has " + std::to_string(rank) + " axes, expected six at most");
    if (H5Sget_simple_extent_type(space.get()) == H5S_NULL) return {};
    if (rank == 0) return Shape{1};
    std::array<hsize_t, Shape::max_rank> extents{};
    H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
    Shape out;
    for (int axis = 0; axis < rank; ++axis) {
      const hsize_t extent = extents[static_cast<std::size_t>(axis)];
      if (extent == 0) return {};
      if (extent > static_cast<hsize_t>(std::numeric_limits<std::int64_t>::max()))
        throw fault(dataset, "its extents are too large");
      out.push_back(static_cast<std::int64_t>(extent));
    }
    return out;
  }
  /// The shape of a data set of numbers, after a check that the file may hold so many.
  [[nodiscard]] Shape checked_shape(const detail::h5::Handle& one, const std::string& dataset,
                                    std::size_t width) const {
    const detail::h5::Handle type(H5Dget_type(one.get()), H5Tclose);
    if (!is_number(type)) throw fault(dataset, "its elements are no numbers");
    const detail::h5::Handle plan(H5Dget_create_plist(one.get()), H5Pclose);
    if (H5Pget_layout(plan.get()) == H5D_VIRTUAL || H5Pget_external_count(plan.get()) > 0)
      throw fault(dataset, "its elements lie in other files, which are not followed");
    Shape out = shape_of(one, dataset);
    // Deflate makes at most 1032 bytes of one. A data set that was never written has none, and may be small.
    const std::uint64_t stored = H5Dget_storage_size(one.get());
    constexpr std::uint64_t ratio = 1032;
    constexpr std::uint64_t unwritten = std::uint64_t{16} << 20;
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max() / 8;
    const std::uint64_t limit = bytes_ > most / ratio ? most : bytes_ * ratio;
    const std::size_t each = std::max(H5Tget_size(type.get()), width);
    std::uint64_t size = each;
    for (const std::int64_t extent : out) {
      if (static_cast<std::uint64_t>(extent) > most / size)
        throw fault(dataset, "its shape " + out.text() + " is more than memory can hold");
      size *= static_cast<std::uint64_t>(extent);
    }
    const std::uint64_t can_be = stored > most / ratio / 8 ? most : stored * ratio * 8;  // uint8 read as double: 8
    if (size > std::max(unwritten, limit) || size > std::max(unwritten, can_be) ||
        (H5Pget_layout(plan.get()) == H5D_CONTIGUOUS && stored > bytes_ && bytes_ > 0))
      throw fault(dataset,
                  "its shape " + out.text() + " is more than the file of " + std::to_string(bytes_) + " bytes holds",
                  "the file is damaged or cut short: make it anew");
    return out;
  }

  template <class T>
  void write(const std::string& dataset, const T* elements, const Shape& extents, const Hdf5Storage& storage) {
    const detail::h5::Guard guard;
    std::vector<hsize_t> size(static_cast<std::size_t>(std::max(extents.rank(), 1)), 0);
    std::copy(extents.begin(), extents.end(), size.begin());
    const detail::h5::Handle space(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr), H5Sclose);
    const detail::h5::Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    if (extents.size() > 0) {
      std::vector<hsize_t> chunk = size;
      if (chunk.size() >= 3) chunk[0] = 1;
      constexpr hsize_t largest = std::numeric_limits<std::int32_t>::max();  // a chunk is below 4 GiB
      for (std::size_t axis = 0; axis < chunk.size(); ++axis) {
        hsize_t others = sizeof(T);
        for (std::size_t a = 0; a < chunk.size(); ++a)
          if (a != axis) others *= chunk[a];
        if (others < largest) chunk[axis] = std::min(chunk[axis], std::max<hsize_t>(1, largest / others));
      }
      H5Pset_chunk(plan.get(), static_cast<int>(chunk.size()), chunk.data());
      if (storage.compression > 0) {
        H5Pset_shuffle(plan.get());
        H5Pset_deflate(plan.get(), static_cast<unsigned>(std::min(storage.compression, 9)));
      }
      if (storage.checksum) H5Pset_fletcher32(plan.get());
    }
    const detail::h5::Handle one(H5Dcreate2(file_.get(), dataset.c_str(), detail::h5::native_type<T>(), space.get(),
                                            H5P_DEFAULT, plan.get(), H5P_DEFAULT),
                                 H5Dclose);
    if (!one.is_valid()) throw write_fault(dataset);
    if (extents.size() > 0 &&
        H5Dwrite(one.get(), detail::h5::native_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) < 0)
      throw write_fault(dataset);
  }
  void set_attribute(const detail::h5::Handle& one, const std::string& object, const std::string& name, hid_t type,
                     hid_t space, const void* elements) {
    const detail::h5::Handle attribute(H5Acreate2(one.get(), name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                                       H5Aclose);
    if (!attribute.is_valid() || H5Awrite(attribute.get(), type, elements) < 0)
      throw write_fault(attribute_name(object, name));
  }

  std::string path_;
  detail::h5::Handle file_;
  std::uint64_t bytes_;  ///< of the file that is read
};

}  // namespace ivado
