// Weights of Python's torch.save, in and out: state dictionaries and whole models, without Python, LibTorch, or
// executing anything; and the door to every format of weights that can be read.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/weights.hpp"
#include "pickle.hpp"
#include "safetensors.hpp"
#include "zip.hpp"

namespace ivado {

/// What a file of torch.save holds for us.
struct PythonCheckpoint {
  nn::Weights weights;      ///< with the names and in the order of Python's `state_dict()`; no metadata
  std::string model_class;  ///< of a whole model: "ivadomed.models.Unet"; empty for a state dictionary
  /// Names of the entries that are no weights and were left out, such as "epoch" and "optimizer".
  std::vector<std::string> left_out;
};

/// Reads a file that Python's `torch.save` wrote, in the zip format or in the one before PyTorch 1.6.
///
/// It may hold a dictionary of tensors; a dictionary that has one under "state_dict", as ivadomed's
/// `checkpoint.pth.tar`; or a whole `torch.nn.Module`, as ivadomed's `best_model.pt`, from which its parameters and
/// persistent buffers are taken. Classes are names: nothing is imported or called, and a class that does not exist any
/// more is no hindrance.
///
/// float64, float16 and bfloat16 become float32, all integers and booleans int64. A tensor that shares its numbers with
/// another one or is a strided view becomes a dense tensor of its own.
///
/// At most 4 times the file's size and 1 MiB are held, the result included. So a file that is mostly integers of 8 or
/// 16 bits, which no network's weights are, is refused unless it is small.
/// @throws Error (data) if the file is missing, damaged or holds something else
[[nodiscard]] PythonCheckpoint read_python_checkpoint(const std::string& path);

/// Writes weights so that Python's `torch.load` gives an OrderedDict of tensors, whole or not at all.
///
/// The zip format with a pickle of protocol 2, which every PyTorch since 1.6 reads, with `weights_only` as well. The
/// same weights give the same bytes. Metadata have no place in a state dictionary and are not written.
/// @throws Error (internal) if a name stands twice, a tensor's bytes do not fit its shape, or the file cannot be
///         written
void write_python_state_dict(const std::string& path, const nn::Weights& weights);

/// Reads weights from any file known here, told by its content and not by its name: safetensors, or torch.save.
/// @throws Error (data) if it is none of them, missing or damaged
[[nodiscard]] nn::Weights read_weights(const std::string& path);

namespace detail {

/// The type of a storage class of `torch`, such as "FloatStorage".
[[nodiscard]] IVADO_INLINE std::optional<nn::StoredType> stored_type_of(std::string_view storage_class) noexcept {
  constexpr std::array<std::pair<std::string_view, nn::StoredType>, 10> known{{
      {"DoubleStorage", nn::StoredType::float64},
      {"FloatStorage", nn::StoredType::float32},
      {"HalfStorage", nn::StoredType::float16},
      {"BFloat16Storage", nn::StoredType::bfloat16},
      {"LongStorage", nn::StoredType::int64},
      {"IntStorage", nn::StoredType::int32},
      {"ShortStorage", nn::StoredType::int16},
      {"CharStorage", nn::StoredType::int8},
      {"ByteStorage", nn::StoredType::uint8},
      {"BoolStorage", nn::StoredType::boolean},
  }};
  for (const auto& [name, type] : known)
    if (name == storage_class) return type;
  return {};
}

/// True for well-formed UTF-8 without overlong forms and surrogates (RFC 3629).
[[nodiscard]] IVADO_INLINE bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - i < static_cast<std::size_t>(more)) return false;
    std::uint32_t code = lead & (0x3FU >> more);
    for (int k = 0; k < more; ++k) {
      const auto next = static_cast<unsigned char>(text[i++]);
      if ((next & 0xC0U) != 0x80) return false;
      code = code << 6U | (next & 0x3FU);
    }
    constexpr std::array<std::uint32_t, 4> least{0, 0x80, 0x800, 0x10000};
    if (code < least[static_cast<std::size_t>(more)] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      return false;
  }
  return true;
}

/// Reads one file of torch.save.
class CheckpointReader {
 public:
  IVADO_INLINE CheckpointReader(const std::string& path, std::uint64_t file_size)
      : doing_("reading the weights " + path),
        memory_(doing_, file_size),
        content_(file_size, '\0', &memory_),
        storages_(&memory_) {
    std::ifstream file(path, std::ios::binary);
    if (!file.read(content_.data(), static_cast<std::streamsize>(file_size))) throw refuse("it cannot be read");
  }

  [[nodiscard]] IVADO_INLINE PythonCheckpoint read() {
    const std::string_view content(content_.data(), content_.size());
    if (content.starts_with(zip_local))
      open_zip(content);
    else
      open_legacy(content);
    read_root();
    refuse_twins();
    return std::move(out_);
  }

 private:
  using Value = PickleValue;
  using Kind = PickleKind;
  using Values = std::span<const Value>;  ///< of a mapping: key, value, key, value …

  /// Numbers of one type that tensors are views of.
  struct Storage {
    std::string_view key;
    nn::StoredType type = nn::StoredType::float32;
    std::int64_t count = 0;
    std::string_view bytes;
    std::int64_t first = 0;  ///< where a view of it begins
  };

  [[nodiscard]] IVADO_INLINE Error refuse(const std::string& found) const {
    return data_error(doing_, found, "give a file that is whole, written by torch.save");
  }
  /// Refuses what is there and cannot be read.
  [[nodiscard]] IVADO_INLINE Error unknown(const std::string& found) const {
    return data_error(doing_, found, "save the state dictionary from Python: torch.save(model.state_dict(), path)");
  }

  /// Bounds the work: a few bytes can name the same module again and again.
  IVADO_INLINE void work(std::size_t steps) {
    constexpr std::uint64_t most = 10'000'000;
    work_ += steps;
    if (work_ > most + content_.size()) throw refuse("its parts refer to each other without end");
  }

  [[nodiscard]] IVADO_INLINE std::int64_t integer(Value value, const char* what) const {
    if (value.kind != Kind::integer || value.integer() < 0)
      throw refuse(std::string(what) + " is no integer from 0 on");
    return value.integer();
  }
  /// The item of a tuple or list, None where it is shorter.
  [[nodiscard]] IVADO_INLINE Value item(Value of, std::size_t index) const noexcept {
    const auto items = pickle_->items(of);
    return index < items.size() ? items[index] : Value{};
  }
  /// Keys and values of a dict or an OrderedDict.
  [[nodiscard]] IVADO_INLINE std::optional<Values> mapping(Value value) const {
    if (value.kind == Kind::dict) return pickle_->items(value);
    const auto object = pickle_->object(value);
    if (pickle_->global(object.callee) != PickleGlobal{"collections", "OrderedDict"}) return {};
    if (object.items.is_some() && object.items.kind != Kind::dict) return {};
    return pickle_->items(object.items);
  }
  /// The value of a key, None where it is not there.
  [[nodiscard]] IVADO_INLINE Value lookup(Values pairs, std::string_view key) {
    work(pairs.size());
    for (std::size_t i = pairs.size(); i >= 2; i -= 2)
      if (pickle_->is_text(pairs[i - 2], key)) return pairs[i - 1];
    return {};
  }
  /// The name of a class or function. Old files have their classes with source text, outside of the pickle.
  [[nodiscard]] IVADO_INLINE PickleGlobal global(Value callee) const noexcept {
    const Value outside = pickle_->identifier(callee);
    return pickle_->global(pickle_->is_text(item(outside, 0), "module") ? item(outside, 1) : callee);
  }
  /// The class of an object, through the functions that make one without its constructor.
  [[nodiscard]] IVADO_INLINE PickleGlobal class_of(Value value) const noexcept {
    const auto object = pickle_->object(value);
    const auto made_by = global(object.callee);
    const bool is_maker = (made_by.module == "copyreg" || made_by.module == "copy_reg") &&
                          (made_by.name == "_reconstructor" || made_by.name == "__newobj__");
    return is_maker ? global(item(object.arguments, 0)) : made_by;
  }
  /// The attributes of an object.
  [[nodiscard]] IVADO_INLINE std::optional<Values> attributes(Value value) const {
    const Value state = pickle_->object(value).state;
    return mapping(state.kind == Kind::tuple ? item(state, 0) : state);  // a tuple has those of __slots__ behind
  }

  void open_zip(std::string_view content);
  void open_legacy(std::string_view content);
  [[nodiscard]] Storage described_storage(Value identifier) const;
  [[nodiscard]] Storage storage(Value reference);

  /// The function and the arguments that rebuild a tensor; no function where the value is none.
  struct TensorCall {
    PickleGlobal function;
    Value arguments;
  };
  [[nodiscard]] TensorCall tensor_call(Value value) const;
  [[nodiscard]] IVADO_INLINE static bool rebuilds_tensor(const TensorCall& call) noexcept {
    return call.function.module == "torch._utils" &&
           (call.function.name == "_rebuild_tensor_v2" || call.function.name == "_rebuild_tensor");
  }
  void add_tensor(std::string_view name, const TensorCall& call);
  void copy_elements(const Storage& from, std::int64_t offset, Values strides, nn::WeightTensor& to) const;
  void leave_out(std::string_view name);

  void read_root();
  void read_state_dict(Values pairs);
  [[nodiscard]] bool is_module(Value value);
  void read_module(Value root);
  void refuse_twins();

  std::string doing_;
  nn::MemoryLimit memory_;
  std::pmr::string content_;
  std::optional<Pickle> pickle_;  ///< that of the object
  std::optional<ZipArchive> zip_;
  std::string folder_;                  ///< of the archive, with a slash behind
  std::pmr::vector<Storage> storages_;  ///< of the old format, by key
  std::uint64_t work_ = 0;
  PythonCheckpoint out_;
};

IVADO_INLINE void CheckpointReader::open_zip(std::string_view content) {
  zip_.emplace(content, doing_, memory_);
  const auto name = zip_->only_name_with_ending("/data.pkl");
  memory_.charge(name.size() + nn::MemoryLimit::overhead);
  folder_ = name.substr(0, name.size() - std::string_view("data.pkl").size());
  if (zip_->contains(folder_ + "constants.pkl")) throw unknown("it is a program of TorchScript, which is not read");
  if (zip_->contains(folder_ + "byteorder") && zip_->read(folder_ + "byteorder") != "little")
    throw unknown("its numbers are not little-endian");
  if (zip_->contains(folder_ + "version")) {
    auto version = zip_->read(folder_ + "version");
    if (version.ends_with('\n')) version.remove_suffix(1);
    constexpr int latest = 10;  // kMaxSupportedFileFormatVersion of PyTorch 2
    int number = 0;
    const auto [end, fault] = std::from_chars(version.data(), version.data() + version.size(), number);
    if (fault != std::errc{} || end != version.data() + version.size() || number < 1 || number > latest)
      throw refuse("its record \"version\" is not a number from 1 to " + std::to_string(latest));
  }
  const auto data = zip_->read(name);
  pickle_.emplace(data, doing_, memory_);
  if (pickle_->size() != data.size()) throw refuse("its record \"data.pkl\" has bytes behind its pickle");
}

/// Five pickles (magic number, protocol, system, object, keys of the storages), then length and numbers of each
/// storage.
IVADO_INLINE void CheckpointReader::open_legacy(std::string_view content) {
  const auto next = [&] {
    Pickle out(content, doing_, memory_);
    content.remove_prefix(out.size());
    return out;
  };
  {
    const Pickle magic = next();
    constexpr std::string_view expected = "\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";  // 0x1950A86A20F9469CFC6C
    if (magic.text(magic.root()) != expected)
      throw refuse("it is a pickle, but does not begin with the magic number of torch.save");
  }
  {
    const Pickle protocol = next();
    if (protocol.root().kind != Kind::integer || protocol.root().integer() != 1001)
      throw refuse("it is not of protocol 1001, the only one that torch.save ever had");
  }
  {
    const Pickle system = next();
    const auto pairs = system.items(system.root());
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2)
      if (system.is_text(pairs[i], "little_endian") && pairs[i + 1].integer() == 0)
        throw unknown("its numbers are not little-endian");
  }
  pickle_.emplace(content, doing_, memory_);
  content.remove_prefix(pickle_->size());
  for (const Value identifier : pickle_->identifiers())
    if (pickle_->is_text(item(identifier, 0), "storage")) storages_.push_back(described_storage(identifier));
  const auto by_key = [](const Storage& a, const Storage& b) { return a.key < b.key; };
  std::sort(storages_.begin(), storages_.end(), by_key);
  std::size_t different = 0;
  for (const auto& now : storages_) {
    if (different == 0 || storages_[different - 1].key != now.key)
      storages_[different++] = now;
    else if (storages_[different - 1].type != now.type || storages_[different - 1].count != now.count)
      throw refuse("it describes the storage " + nn::quoted(now.key) + " in two ways");
  }
  storages_.resize(different);

  const Pickle keys = next();
  if (keys.root().kind != Kind::list) throw refuse("its list of storages is missing");
  for (const Value key : keys.items(keys.root())) {
    Storage sought;
    sought.key = keys.text(key);
    const auto place = std::lower_bound(storages_.begin(), storages_.end(), sought, by_key);
    if (place == storages_.end() || place->key != sought.key || place->bytes.data() != nullptr)
      throw refuse("its list of storages has " + nn::quoted(sought.key) + ", which is not used or there twice");
    const auto width = nn::stored_width(place->type);
    if (content.size() < 8 || number_at<std::int64_t>(content, 0) != place->count ||
        static_cast<std::uint64_t>(place->count) > (content.size() - 8) / width)
      throw refuse("its storage " + nn::quoted(sought.key) + " is not " + std::to_string(place->count) +
                   " elements long: the file is cut or damaged");
    const std::size_t size = static_cast<std::size_t>(place->count) * width;
    place->bytes = content.substr(8, size);
    content.remove_prefix(8 + size);
  }
  if (!content.empty()) throw refuse("it has " + std::to_string(content.size()) + " bytes too many");
}

/// What the identifier of a storage says: ("storage", class, key, device, elements[, view]).
IVADO_INLINE CheckpointReader::Storage CheckpointReader::described_storage(Value identifier) const {
  if (!pickle_->is_text(item(identifier, 0), "storage")) throw refuse("a storage has no description");
  const auto name = pickle_->global(item(identifier, 1));
  const auto type = stored_type_of(name.name);
  if (!type || (name.module != "torch" && name.module != "torch.cuda"))
    throw unknown("it has a storage of the type " + nn::quoted(name.name) +
                  ", known are real numbers, integers and booleans");
  Storage out;
  if (item(identifier, 2).kind != Kind::text) throw refuse("a storage has no key");
  out.key = pickle_->text(item(identifier, 2));
  out.type = *type;
  out.count = integer(item(identifier, 4), "the length of a storage");
  return out;
}

/// The storage that a tensor refers to, with its bytes.
IVADO_INLINE CheckpointReader::Storage CheckpointReader::storage(Value reference) {
  const Value identifier = pickle_->identifier(reference);
  Storage out = described_storage(identifier);
  const auto width = nn::stored_width(out.type);
  if (zip_) {
    if (out.key.size() > 64) throw refuse("the key " + nn::quoted(out.key) + " of a storage is no number");
    out.bytes = zip_->read(folder_ + "data/" + std::string(out.key));
    if (out.bytes.size() % width != 0 || static_cast<std::uint64_t>(out.count) != out.bytes.size() / width)
      throw refuse("its storage " + nn::quoted(out.key) + " has " + std::to_string(out.bytes.size()) + " bytes, not " +
                   std::to_string(out.count) + " elements of " + std::to_string(width));
    return out;
  }
  const auto place = std::lower_bound(storages_.begin(), storages_.end(), out.key,
                                      [](const Storage& a, std::string_view key) { return a.key < key; });
  if (place == storages_.end() || place->key != out.key || place->bytes.data() == nullptr)
    throw refuse("its storage " + nn::quoted(out.key) + " is missing");
  out = *place;
  if (const Value view = item(identifier, 5); view.is_some()) {  // (key, offset, elements)
    out.first = integer(item(view, 1), "the place of a view");
    const std::int64_t count = integer(item(view, 2), "the length of a view");
    if (out.first > out.count || count > out.count - out.first)
      throw refuse("a view is not within the storage " + nn::quoted(out.key));
    out.count = count;
  }
  return out;
}

IVADO_INLINE CheckpointReader::TensorCall CheckpointReader::tensor_call(Value value) const {
  const auto unpack = [&](Value call) -> TensorCall {
    const auto object = pickle_->object(call);
    const auto function = global(object.callee);
    // Tensors with attributes of their own: (function, type, arguments, state).
    if (function.module == "torch._tensor" && function.name.starts_with("_rebuild_from_type"))
      return {global(item(object.arguments, 0)), item(object.arguments, 2)};
    return {function, object.arguments};
  };
  const TensorCall call = unpack(value);
  if (call.function == PickleGlobal{"torch._utils", "_rebuild_parameter"} ||
      call.function == PickleGlobal{"torch._utils", "_rebuild_parameter_with_state"})
    return unpack(item(call.arguments, 0));
  return call;
}

/// Appends the tensor that a call rebuilds: (storage, offset, shape, strides, …).
IVADO_INLINE void CheckpointReader::add_tensor(std::string_view name, const TensorCall& call) {
  const std::string which = "its tensor " + nn::quoted(name);
  if (!rebuilds_tensor(call))
    throw unknown(which + " is made by " + nn::quoted(call.function.name) + ", which is not known");
  if (!is_utf8(name)) throw refuse(which + " has a name that is not UTF-8");
  if (const auto flags = mapping(item(call.arguments, 6)); flags && !flags->empty())
    throw unknown(which + " is conjugated or negated, but not yet in its numbers");
  const Storage from = storage(item(call.arguments, 0));
  const std::int64_t offset = integer(item(call.arguments, 1), "the place of a tensor");
  const Values shape = pickle_->items(item(call.arguments, 2));
  const Values strides = pickle_->items(item(call.arguments, 3));
  constexpr std::size_t most_dimensions = 64;
  if (shape.size() != strides.size() || shape.size() > most_dimensions)
    throw refuse(which + " has " + std::to_string(shape.size()) + " extents and " + std::to_string(strides.size()) +
                 " strides");
  nn::WeightTensor tensor;
  tensor.type = nn::element_type_of(from.type);
  std::uint64_t size = nn::WeightTensor::width(tensor.type);
  memory_.charge(shape.size() * sizeof(std::int64_t) + name.size() + 1 + 3 * nn::MemoryLimit::overhead);
  tensor.shape.reserve(shape.size());
  bool is_empty = false;
  for (const Value extent : shape) {
    tensor.shape.push_back(integer(extent, "an extent of a tensor"));
    is_empty = is_empty || tensor.shape.back() == 0;
  }
  std::uint64_t last = static_cast<std::uint64_t>(offset);  // the element farthest behind
  const auto count = static_cast<std::uint64_t>(from.count);
  for (std::size_t i = 0; i < shape.size() && !is_empty; ++i) {
    const auto extent = static_cast<std::uint64_t>(tensor.shape[i]);
    const auto stride = static_cast<std::uint64_t>(integer(strides[i], "a stride of a tensor"));
    if (extent > std::numeric_limits<std::uint64_t>::max() / size) throw refuse(which + " is larger than any memory");
    size *= extent;
    if (extent > 1 && stride > 0 && (last >= count || extent - 1 > (count - 1 - last) / stride))
      last = count;
    else
      last += (extent - 1) * stride;
  }
  if (is_empty) size = 0;
  if (!is_empty && last >= count)
    throw refuse(which + " reaches beyond its storage " + nn::quoted(from.key) + " of " + std::to_string(count) +
                 " elements");
  memory_.charge(size);
  tensor.name = name;
  tensor.bytes.resize(size);
  if (size != 0) copy_elements(from, from.first + offset, strides, tensor);
  memory_.reserve_one_more(out_.weights.tensors);
  out_.weights.tensors.push_back(std::move(tensor));
}

/// Copies the elements of a view that is not empty and lies within its storage.
IVADO_INLINE void CheckpointReader::copy_elements(const Storage& from, std::int64_t offset, Values strides,
                                                  nn::WeightTensor& to) const {
  const auto width = nn::stored_width(from.type);
  const auto* base = reinterpret_cast<const std::byte*>(from.bytes.data());
  // The innermost dimensions that are dense are one run; the others are counted through.
  std::size_t outer = to.shape.size();
  std::int64_t run = 1;
  while (outer > 0 && (to.shape[outer - 1] == 1 || strides[outer - 1].integer() == run)) run *= to.shape[--outer];
  std::size_t step = 1;
  if (run == 1 && outer > 0) {
    step = static_cast<std::size_t>(strides[--outer].integer());
    run = to.shape[outer];
  }
  const std::size_t run_bytes = static_cast<std::size_t>(run) * nn::WeightTensor::width(to.type);
  std::array<std::int64_t, 64> index{};
  for (std::size_t done = 0; done < to.bytes.size(); done += run_bytes) {
    nn::convert_elements(from.type, base + static_cast<std::size_t>(offset) * width, step,
                         static_cast<std::size_t>(run), to.bytes.data() + done);
    for (std::size_t i = outer; i-- > 0;) {
      if (to.shape[i] == 1) continue;
      offset += strides[i].integer();
      if (++index[i] < to.shape[i]) break;
      offset -= strides[i].integer() * to.shape[i];
      index[i] = 0;
    }
  }
}

/// Remembers the name of an entry that is no weight.
IVADO_INLINE void CheckpointReader::leave_out(std::string_view name) {
  memory_.charge(name.size() + 1 + nn::MemoryLimit::overhead);
  memory_.reserve_one_more(out_.left_out);
  out_.left_out.emplace_back(name);
}

IVADO_INLINE void CheckpointReader::read_root() {
  const Value root = pickle_->root();
  if (const auto pairs = mapping(root)) {
    const Value nested = lookup(*pairs, "state_dict");
    if (!nested.is_some()) return read_state_dict(*pairs);
    const auto inner = mapping(nested);
    if (!inner) throw unknown("its entry \"state_dict\" is no dictionary");
    for (std::size_t i = 0; i + 1 < pairs->size(); i += 2)
      if (!pickle_->is_text((*pairs)[i], "state_dict")) leave_out(pickle_->text((*pairs)[i]));
    return read_state_dict(*inner);
  }
  const auto name = class_of(root);
  if (!is_module(root))
    throw unknown(name.name.empty() ? "it holds neither a dictionary nor a model"
                                    : "it holds an object of the class " + nn::quoted(name.name) +
                                          ", neither a dictionary nor a model");
  memory_.charge(name.module.size() + name.name.size() + 2 + 2 * nn::MemoryLimit::overhead);
  out_.model_class.reserve(name.module.size() + 1 + name.name.size());
  out_.model_class.append(name.module).append(1, '.').append(name.name);
  read_module(root);
}

IVADO_INLINE void CheckpointReader::read_state_dict(Values pairs) {
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const auto name = pickle_->text(pairs[i]);
    const TensorCall call = tensor_call(pairs[i + 1]);
    const bool is_tensor = call.function.module.starts_with("torch.") && call.function.name.starts_with("_rebuild");
    if (is_tensor && pairs[i].kind != Kind::text) throw refuse("it has a tensor whose name is no text");
    if (is_tensor)
      add_tensor(name, call);
    else
      leave_out(name);
  }
  if (out_.weights.tensors.empty() && !pairs.empty())
    throw unknown("its dictionary has no tensor among " + std::to_string(pairs.size() / 2) + " entries");
}

IVADO_INLINE bool CheckpointReader::is_module(Value value) {
  const auto state = attributes(value);
  return state && mapping(lookup(*state, "_parameters")) && mapping(lookup(*state, "_buffers")) &&
         mapping(lookup(*state, "_modules"));
}

/// Parameters and persistent buffers of a module, then of its children, as `state_dict()` goes.
IVADO_INLINE void CheckpointReader::read_module(Value root) {
  struct Level {
    Values children;
    std::size_t next;
    std::size_t prefix;  ///< letters of the name before this level's
  };
  constexpr std::size_t deepest = 1000;
  std::pmr::vector<Level> levels(&memory_);
  std::pmr::string name(&memory_);  // of the module, with a dot behind
  const auto with_name = [&](Value key, const auto& use) {
    if (key.kind != Kind::text)
      throw refuse("a part of the module " + nn::quoted(name) + " has a name that is no text");
    const std::size_t before = name.size();
    name += pickle_->text(key);
    use();
    name.resize(before);
  };
  const auto enter = [&](Value module) {
    if (!is_module(module)) throw unknown("its part " + nn::quoted(name) + " is no module with parameters");
    const Values state = *attributes(module);
    const Values parameters = *mapping(lookup(state, "_parameters"));
    const Values buffers = *mapping(lookup(state, "_buffers"));
    // A set: of its own kind, or (protocol 2) an object made from a list.
    const Value set = lookup(state, "_non_persistent_buffers_set");
    const Values passing = pickle_->items(set.kind == Kind::object ? item(pickle_->object(set).arguments, 0) : set);
    work(parameters.size() + buffers.size() * (1 + passing.size()));
    for (std::size_t i = 0; i + 1 < parameters.size(); i += 2)
      if (parameters[i + 1].is_some())
        with_name(parameters[i], [&] { add_tensor(name, tensor_call(parameters[i + 1])); });
    for (std::size_t i = 0; i + 1 < buffers.size(); i += 2) {
      const bool is_passing = std::any_of(passing.begin(), passing.end(),
                                          [&](Value one) { return pickle_->is_text(one, pickle_->text(buffers[i])); });
      if (buffers[i + 1].is_some() && !is_passing)
        with_name(buffers[i], [&] { add_tensor(name, tensor_call(buffers[i + 1])); });
    }
    levels.push_back({*mapping(lookup(state, "_modules")), 0, name.size()});
    work(levels.back().children.size());
  };
  enter(root);
  while (!levels.empty()) {
    Level& level = levels.back();
    name.resize(level.prefix);
    if (level.next + 1 >= level.children.size()) {
      levels.pop_back();
      continue;
    }
    const Value key = level.children[level.next];
    const Value child = level.children[level.next + 1];
    level.next += 2;
    if (!child.is_some()) continue;
    if (levels.size() >= deepest)
      throw refuse("its modules are nested more than " + std::to_string(deepest) + " deep, or contain themselves");
    if (key.kind != Kind::text)
      throw refuse("a part of the module " + nn::quoted(name) + " has a name that is no text");
    (name += pickle_->text(key)) += '.';
    enter(child);
  }
}

IVADO_INLINE void CheckpointReader::refuse_twins() {
  std::pmr::vector<std::string_view> names(&memory_);
  names.reserve(out_.weights.tensors.size());
  for (const auto& tensor : out_.weights.tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) throw refuse("it has the tensor " + nn::quoted(*twin) + " twice");
}

/// Writes a pickle of protocol 2, operation by operation.
class PickleWriter {
 public:
  PickleWriter() { out_ = "\x80\x02"; }
  /// Operations without arguments.
  void code(std::string_view operations) { out_ += operations; }
  IVADO_INLINE void text(std::string_view letters) {
    out_ += 'X';
    append_number(out_, static_cast<std::uint32_t>(letters.size()));
    out_ += letters;
  }
  IVADO_INLINE void integer(std::int64_t value) {
    if (value >= 0 && value < 0x100) {
      out_ += 'K';
      append_number(out_, static_cast<std::uint8_t>(value));
    } else if (value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max()) {
      out_ += 'J';
      append_number(out_, static_cast<std::int32_t>(value));
    } else {
      out_ += "\x8A\x08";
      append_number(out_, value);
    }
  }
  IVADO_INLINE void tuple(std::span<const std::int64_t> values) {
    out_ += '(';
    for (const auto value : values) integer(value);
    out_ += 't';
  }
  void global(std::string_view module, std::string_view name) { ((((out_ += 'c') += module) += '\n') += name) += '\n'; }
  [[nodiscard]] const std::string& bytes() const noexcept { return out_; }

 private:
  std::string out_;
};

}  // namespace detail

IVADO_INLINE PythonCheckpoint read_python_checkpoint(const std::string& path) {
  std::error_code fault;
  const auto size = std::filesystem::file_size(path, fault);
  if (fault) throw data_error("reading the weights " + path, fault.message(), "check the path");
  return detail::CheckpointReader(path, size).read();
}

IVADO_INLINE void write_python_state_dict(const std::string& path, const nn::Weights& weights) {
  const auto refuse = [&](const nn::WeightTensor& tensor, const std::string& found) {
    return internal_error("writing the weights " + path, "the tensor " + nn::quoted(tensor.name) + found,
                          "give every tensor a name of its own and all of its elements");
  };
  std::vector<std::string_view> names;
  for (const auto& tensor : weights.tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());

  detail::PickleWriter pickle;
  pickle.global("collections", "OrderedDict");
  pickle.code(")R(");
  std::size_t number = 0;
  for (const auto& tensor : weights.tensors) {
    if (twin != names.end() && tensor.name == *twin) throw refuse(tensor, " is there twice");
    if (!detail::is_utf8(tensor.name)) throw refuse(tensor, " has a name that is not UTF-8");
    std::vector<std::int64_t> strides(tensor.shape.size(), 1);
    for (std::size_t i = strides.size(); i > 1; --i)
      strides[i - 2] = strides[i - 1] * std::max<std::int64_t>(tensor.shape[i - 1], 1);
    std::int64_t count = 1;
    for (const auto extent : tensor.shape) count *= extent;
    const std::size_t width = nn::WeightTensor::width(tensor.type);
    if (count < 0 || tensor.bytes.size() != static_cast<std::size_t>(count) * width)
      throw refuse(tensor,
                   " has " + std::to_string(tensor.bytes.size()) + " bytes for " + std::to_string(count) + " elements");
    pickle.text(tensor.name);
    pickle.global("torch._utils", "_rebuild_tensor_v2");
    pickle.code("((");
    pickle.text("storage");
    pickle.global("torch", tensor.type == nn::ElementType::float32 ? "FloatStorage" : "LongStorage");
    pickle.text(std::to_string(number++));
    pickle.text("cpu");
    pickle.integer(count);
    pickle.code("tQ");
    pickle.integer(0);
    pickle.tuple(tensor.shape);
    pickle.tuple(strides);
    pickle.code("\x89");  // no gradient required
    pickle.global("collections", "OrderedDict");
    pickle.code(")RtR");
  }
  pickle.code("u.");

  ZipWriter zip;
  zip.add("archive/data.pkl", pickle.bytes());
  number = 0;
  for (const auto& tensor : weights.tensors)
    zip.add("archive/data/" + std::to_string(number++),
            {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()});
  zip.add("archive/version", "3\n");
  write_file_atomically(path, std::move(zip).finish());
}

IVADO_INLINE nn::Weights read_weights(const std::string& path) {
  const std::string doing = "reading the weights " + path;
  std::error_code fault;
  const auto size = std::filesystem::file_size(path, fault);
  if (fault) throw data_error(doing, fault.message(), "check the path");
  std::array<char, 9> front{};
  std::ifstream file(path, std::ios::binary);
  file.read(front.data(), front.size());
  const std::string_view begin(front.data(), static_cast<std::size_t>(file.gcount()));
  file.close();
  const bool is_python = begin.starts_with(detail::zip_local) || begin.starts_with('\x80');
  const bool is_safetensors = begin.size() == front.size() && begin.back() == '{';
  // The first bytes of safetensors are a length, and that may look like either of the others.
  if (is_safetensors && (!is_python || detail::number_at<std::uint64_t>(begin, 0) <= size))
    return read_safetensors(path);
  if (is_python) return read_python_checkpoint(path).weights;
  throw data_error(doing, "it begins like no file of weights that is known",
                   "give a safetensors file, or one that torch.save wrote in Python (a state dictionary or a model)");
}

}  // namespace ivado
