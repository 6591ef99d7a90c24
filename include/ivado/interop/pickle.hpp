// Python's pickles read as a tree of plain values. Nothing is called, imported or executed: a class is a name, and an
// object is that name with its arguments and its state. No LibTorch, no Python.
#pragma once

#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/weights.hpp"

namespace ivado {

/// What a value of a pickle is.
enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  big_integer,  ///< more than 64 bits; its text is the little-endian two's complement
  real,
  text,   ///< UTF-8 as it stands in the file, not checked; strings of Python 2 as well
  bytes,  ///< bytearray as well
  tuple,
  list,
  set,  ///< frozenset as well
  dict,
  global,      ///< the name of a class or function
  object,      ///< something that Python would have made by a call
  persistent,  ///< a reference to what lies outside of the pickle, such as a storage
};

/// One value: a number itself, or a handle into its `Pickle`. Values are shared by handle, never copied.
struct PickleValue {
  PickleKind kind = PickleKind::none;
  std::uint32_t length = 0;  ///< of text and bytes
  std::uint64_t bits = 0;    ///< the number, the place of a text in the data, or the index of a node

  /// The number of an integer or a boolean.
  [[nodiscard]] std::int64_t integer() const noexcept { return static_cast<std::int64_t>(bits); }
  /// The number of a real.
  [[nodiscard]] double real() const noexcept { return std::bit_cast<double>(bits); }
  /// True for anything but None.
  [[nodiscard]] bool is_some() const noexcept { return kind != PickleKind::none; }
};

/// The name of a class or function: `module.name`.
struct PickleGlobal {
  std::string_view module;
  std::string_view name;

  [[nodiscard]] friend bool operator==(const PickleGlobal&, const PickleGlobal&) = default;
};

/// What a call would have made, without the call.
struct PickleObject {
  PickleValue callee;     ///< the class or function
  PickleValue arguments;  ///< a tuple
  PickleValue state;      ///< of BUILD: usually the dict of its attributes
  PickleValue items;      ///< a list or a dict of what was put into it, such as the items of an OrderedDict; or none
};

/// One pickle of protocol 2 to 5 as a tree of values; its views are of the data it was read from.
///
/// The tree may have cycles and shared values. There is no recursion in reading or destroying it. What it allocates is
/// charged to the memory limit. A set is not rid of twins, a dict keeps every pair in the order of the file: the last
/// one of a key counts.
class Pickle {
 public:
  /// Reads from the front of the data up to the end of one pickle.
  /// @param data    must outlive the tree
  /// @param doing   what is being done, for messages: "reading the weights model.pt"
  /// @throws Error (data) if the pickle is malformed, of another protocol, or asks for more memory than the limit
  IVADO_INLINE Pickle(std::string_view data, std::string doing, nn::MemoryLimit& memory)
      : data_(data),
        doing_(std::move(doing)),
        memory_(&memory),
        stack_(&memory),
        marks_(&memory),
        memo_(&memory),
        containers_(&memory),
        globals_(&memory),
        objects_(&memory),
        persistent_(&memory) {
    run();
    stack_ = decltype(stack_)(memory_);
    memo_ = decltype(memo_)(memory_);
  }

  /// The value that was pickled.
  [[nodiscard]] PickleValue root() const noexcept { return root_; }
  /// Bytes of the data that the pickle takes.
  [[nodiscard]] std::size_t size() const noexcept { return at_; }

  /// The bytes of a text, of bytes or of a big integer; empty for anything else.
  [[nodiscard]] IVADO_INLINE std::string_view text(PickleValue value) const noexcept {
    const bool has =
        value.kind == PickleKind::text || value.kind == PickleKind::bytes || value.kind == PickleKind::big_integer;
    return has ? data_.substr(value.bits, value.length) : std::string_view{};
  }
  /// True for a text of these letters.
  [[nodiscard]] IVADO_INLINE bool is_text(PickleValue value, std::string_view letters) const noexcept {
    return value.kind == PickleKind::text && text(value) == letters;
  }
  /// The elements of a tuple, list or set; of a dict key, value, key, value …; empty for anything else.
  [[nodiscard]] IVADO_INLINE std::span<const PickleValue> items(PickleValue value) const noexcept {
    return is_container(value.kind) && value.bits != nothing ? std::span<const PickleValue>(containers_[value.bits])
                                                             : std::span<const PickleValue>{};
  }
  /// The name of a global; two empty words for anything else.
  [[nodiscard]] IVADO_INLINE PickleGlobal global(PickleValue value) const noexcept {
    return value.kind == PickleKind::global ? globals_[value.bits] : PickleGlobal{};
  }
  /// The parts of an object; all None for anything else.
  [[nodiscard]] IVADO_INLINE PickleObject object(PickleValue value) const noexcept {
    return value.kind == PickleKind::object ? objects_[value.bits] : PickleObject{};
  }
  /// What identifies a persistent value; None for anything else.
  [[nodiscard]] IVADO_INLINE PickleValue identifier(PickleValue value) const noexcept {
    return value.kind == PickleKind::persistent ? persistent_[value.bits] : PickleValue{};
  }
  /// The identifiers of all persistent values in the order of the file; the same one may be there many times.
  [[nodiscard]] std::span<const PickleValue> identifiers() const noexcept { return persistent_; }

 private:
  static constexpr std::uint64_t nothing = std::numeric_limits<std::uint64_t>::max();  ///< index of an empty tuple
  using Values = std::pmr::vector<PickleValue>;

  [[nodiscard]] static constexpr bool is_container(PickleKind kind) noexcept {
    return kind == PickleKind::tuple || kind == PickleKind::list || kind == PickleKind::set || kind == PickleKind::dict;
  }
  [[nodiscard]] IVADO_INLINE Error refuse(const std::string& found) const {
    return data_error(doing_, "its pickle is malformed at byte " + std::to_string(at_) + ": " + found,
                      "give a file that is whole, written by torch.save");
  }

  /// The next `size` bytes.
  IVADO_INLINE std::string_view take(std::uint64_t size) {
    if (size > data_.size() - at_) throw refuse("it ends too early");
    const auto out = data_.substr(at_, size);
    at_ += size;
    return out;
  }
  /// The next number, little-endian.
  template <class Number>
  Number number() {
    Number out;
    std::memcpy(&out, take(sizeof(Number)).data(), sizeof(Number));
    return out;
  }
  /// The next bytes up to a line feed, which is skipped.
  IVADO_INLINE std::string_view line() {
    const std::size_t end = data_.find('\n', at_);
    if (end == std::string_view::npos) throw refuse("a line has no end");
    const auto out = take(end - at_);
    ++at_;
    return out;
  }

  void push(PickleValue value) { stack_.push_back(value); }
  void push(PickleKind kind, std::uint64_t bits) { stack_.push_back({kind, 0, bits}); }
  /// Pushes `size` bytes as a text or the like.
  IVADO_INLINE void push_text(PickleKind kind, std::uint64_t size) {
    if (size > std::numeric_limits<std::uint32_t>::max()) throw refuse("a text of 4 GiB or more");
    const std::size_t begin = at_;
    (void)take(size);
    push({kind, static_cast<std::uint32_t>(size), begin});
  }
  void push_long(std::uint64_t size);
  void push_line_as_integer();
  /// Pushes a new container with the values of the stack from a place on, which it takes the place of.
  IVADO_INLINE void push_container(PickleKind kind, std::size_t first) {
    if (kind == PickleKind::dict && (stack_.size() - first) % 2 != 0) throw refuse("a dict has a key without a value");
    std::uint64_t index = nothing;
    if (first != stack_.size() || kind != PickleKind::tuple) {
      index = containers_.size();
      containers_.emplace_back(stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
    }
    stack_.resize(first);
    push(kind, index);
  }
  IVADO_INLINE void push_object(PickleValue callee, PickleValue arguments) {
    if (arguments.kind != PickleKind::tuple) throw refuse("the arguments of a call are no tuple");
    if (callee.kind != PickleKind::global && callee.kind != PickleKind::object && callee.kind != PickleKind::persistent)
      throw refuse("what is called is no function or class");
    objects_.push_back({callee, arguments, {}, {}});
    push(PickleKind::object, objects_.size() - 1);
  }
  IVADO_INLINE void push_global(std::string_view module, std::string_view name) {
    globals_.push_back({module, name});
    push(PickleKind::global, globals_.size() - 1);
  }

  /// Where the values above the last mark begin, without a mark at the bottom of the stack.
  [[nodiscard]] std::size_t floor() const noexcept { return marks_.empty() ? 0 : marks_.back(); }
  /// The values of the stack that may be taken.
  IVADO_INLINE void need(std::size_t count) const {
    if (stack_.size() - floor() < count) throw refuse("a value is missing");
  }
  [[nodiscard]] IVADO_INLINE PickleValue& top() {
    need(1);
    return stack_.back();
  }
  IVADO_INLINE PickleValue pop() {
    const PickleValue out = top();
    stack_.pop_back();
    return out;
  }
  IVADO_INLINE PickleValue pop_text() {
    const PickleValue out = pop();
    if (out.kind != PickleKind::text) throw refuse("the name of a class is no text");
    return out;
  }
  /// The place of the last mark, which is taken away.
  IVADO_INLINE std::size_t pop_mark() {
    if (marks_.empty()) throw refuse("a mark is missing");
    const std::size_t out = marks_.back();
    marks_.pop_back();
    return out;
  }

  void put_into(PickleKind kind, std::size_t first);
  void build();
  void remember(std::uint64_t index);
  IVADO_INLINE void recall(std::uint64_t index) {
    if (index >= memo_.size()) throw refuse("it refers to a value that is not there yet");
    push(memo_[index]);
  }
  void run();
  [[nodiscard]] bool step(unsigned char operation);

  std::string_view data_;
  std::string doing_;
  nn::MemoryLimit* memory_;
  std::size_t at_ = 0;
  PickleValue root_;
  Values stack_;
  std::pmr::vector<std::size_t> marks_;
  Values memo_;
  std::pmr::vector<Values> containers_;
  std::pmr::vector<PickleGlobal> globals_;
  std::pmr::vector<PickleObject> objects_;
  Values persistent_;
};

/// An integer in two's complement of any width.
IVADO_INLINE void Pickle::push_long(std::uint64_t size) {
  if (size > 8) return push_text(PickleKind::big_integer, size);
  const auto bytes = take(size);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  if (size > 0 && size < 8 && static_cast<signed char>(bytes.back()) < 0) value |= ~std::uint64_t{0} << (8 * size);
  push(PickleKind::integer, value);
}

/// An integer in decimal digits, with the two spellings that are booleans.
IVADO_INLINE void Pickle::push_line_as_integer() {
  const auto digits = line();
  if (digits == "00" || digits == "01") return push(PickleKind::boolean, digits == "01" ? 1 : 0);
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (fault != std::errc{} || end != digits.data() + digits.size()) throw refuse("an integer has no digits");
  push(PickleKind::integer, static_cast<std::uint64_t>(value));
}

/// Puts the values of the stack from a place on into the list, set, dict or object below them.
IVADO_INLINE void Pickle::put_into(PickleKind kind, std::size_t first) {
  if (first == floor()) throw refuse("a value is missing");
  if (kind == PickleKind::dict && (stack_.size() - first) % 2 != 0) throw refuse("a dict has a key without a value");
  PickleValue target = stack_[first - 1];
  if (target.kind == PickleKind::object) {
    PickleValue& own = objects_[target.bits].items;
    if (!own.is_some()) {
      containers_.emplace_back();
      own = {kind, 0, containers_.size() - 1};
    }
    target = own;
  }
  if (target.kind != kind) throw refuse("items are put into what cannot hold them");
  Values& items = containers_[target.bits];
  items.insert(items.end(), stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
  stack_.resize(first);
}

IVADO_INLINE void Pickle::build() {
  const PickleValue state = pop();
  if (top().kind != PickleKind::object) throw refuse("a state is given to what is no object");
  objects_[top().bits].state = state;
}

/// Numbers of the memo are given in order, so none is larger than the bytes before it.
IVADO_INLINE void Pickle::remember(std::uint64_t index) {
  const PickleValue value = top();
  if (index > at_) throw refuse("the number of a shared value is too large");
  if (index >= memo_.size()) memo_.resize(index + 1);
  memo_[index] = value;
}

IVADO_INLINE void Pickle::run() {
  while (!step(static_cast<unsigned char>(take(1).front()))) {
  }
}

/// One operation; true for the last one. Codes and effects are those of Python's `pickletools`.
IVADO_INLINE bool Pickle::step(unsigned char operation) {
  switch (operation) {
    case 0x80: {  // PROTO
      const auto protocol = number<std::uint8_t>();
      if (protocol < 2 || protocol > 5) throw refuse("protocol " + std::to_string(protocol) + ", and 2 to 5 are known");
      return false;
    }
    case 0x95: {  // FRAME
      const auto size = number<std::uint64_t>();
      if (size > data_.size() - at_) throw refuse("it ends too early");
      return false;
    }
    case '.':  // STOP
      root_ = pop();
      if (!stack_.empty() || !marks_.empty()) throw refuse("it ends with values left over");
      return true;
    case '(':  // MARK
      marks_.push_back(stack_.size());
      return false;
    case '0':  // POP, of a mark as well
      if (stack_.size() == floor() && !marks_.empty())
        marks_.pop_back();
      else
        (void)pop();
      return false;
    case '1':  // POP_MARK
      stack_.resize(pop_mark());
      return false;
    case '2':  // DUP
      push(PickleValue(top()));
      return false;

    case 'N':
      push(PickleKind::none, 0);
      return false;
    case 0x88:  // NEWTRUE
      push(PickleKind::boolean, 1);
      return false;
    case 0x89:  // NEWFALSE
      push(PickleKind::boolean, 0);
      return false;
    case 'J':  // BININT
      push(PickleKind::integer, static_cast<std::uint64_t>(std::int64_t{number<std::int32_t>()}));
      return false;
    case 'K':  // BININT1
      push(PickleKind::integer, number<std::uint8_t>());
      return false;
    case 'M':  // BININT2
      push(PickleKind::integer, number<std::uint16_t>());
      return false;
    case 'I':  // INT
      push_line_as_integer();
      return false;
    case 0x8A:  // LONG1
      push_long(number<std::uint8_t>());
      return false;
    case 0x8B: {  // LONG4
      const auto size = number<std::int32_t>();
      if (size < 0) throw refuse("an integer of negative length");
      push_long(static_cast<std::uint64_t>(size));
      return false;
    }
    case 'G': {  // BINFLOAT, big-endian
      std::uint64_t bits = 0;
      for (const char byte : take(8)) bits = bits << 8U | static_cast<unsigned char>(byte);
      push(PickleKind::real, bits);
      return false;
    }

    case 'U':   // SHORT_BINSTRING
    case 0x8C:  // SHORT_BINUNICODE
      push_text(PickleKind::text, number<std::uint8_t>());
      return false;
    case 'T':  // BINSTRING
    case 'X':  // BINUNICODE
      push_text(PickleKind::text, number<std::uint32_t>());
      return false;
    case 0x8D:  // BINUNICODE8
      push_text(PickleKind::text, number<std::uint64_t>());
      return false;
    case 'C':  // SHORT_BINBYTES
      push_text(PickleKind::bytes, number<std::uint8_t>());
      return false;
    case 'B':  // BINBYTES
      push_text(PickleKind::bytes, number<std::uint32_t>());
      return false;
    case 0x8E:  // BINBYTES8
    case 0x96:  // BYTEARRAY8
      push_text(PickleKind::bytes, number<std::uint64_t>());
      return false;

    case ')':  // EMPTY_TUPLE
      push(PickleKind::tuple, nothing);
      return false;
    case 0x85:    // TUPLE1
    case 0x86:    // TUPLE2
    case 0x87: {  // TUPLE3
      const std::size_t count = operation - 0x84U;
      need(count);
      push_container(PickleKind::tuple, stack_.size() - count);
      return false;
    }
    case 't':  // TUPLE
      push_container(PickleKind::tuple, pop_mark());
      return false;
    case ']':  // EMPTY_LIST
      push_container(PickleKind::list, stack_.size());
      return false;
    case 'l':  // LIST
      push_container(PickleKind::list, pop_mark());
      return false;
    case '}':  // EMPTY_DICT
      push_container(PickleKind::dict, stack_.size());
      return false;
    case 'd':  // DICT
      push_container(PickleKind::dict, pop_mark());
      return false;
    case 0x8F:  // EMPTY_SET
      push_container(PickleKind::set, stack_.size());
      return false;
    case 0x91:  // FROZENSET
      push_container(PickleKind::set, pop_mark());
      return false;
    case 'a':  // APPEND
      need(2);
      put_into(PickleKind::list, stack_.size() - 1);
      return false;
    case 'e':  // APPENDS
      put_into(PickleKind::list, pop_mark());
      return false;
    case 's':  // SETITEM
      need(3);
      put_into(PickleKind::dict, stack_.size() - 2);
      return false;
    case 'u':  // SETITEMS
      put_into(PickleKind::dict, pop_mark());
      return false;
    case 0x90:  // ADDITEMS
      put_into(PickleKind::set, pop_mark());
      return false;

    case 'c': {  // GLOBAL
      const auto module = line();
      push_global(module, line());
      return false;
    }
    case 0x93: {  // STACK_GLOBAL
      const auto name = pop_text();
      const auto module = pop_text();
      push_global(text(module), text(name));
      return false;
    }
    case 'R':     // REDUCE
    case 0x81: {  // NEWOBJ
      const auto arguments = pop();
      push_object(pop(), arguments);
      return false;
    }
    case 0x92: {  // NEWOBJ_EX: its arguments by name are left out
      (void)pop();
      const auto arguments = pop();
      push_object(pop(), arguments);
      return false;
    }
    case 'b':  // BUILD
      build();
      return false;
    case 'Q':  // BINPERSID
      persistent_.push_back(pop());
      push(PickleKind::persistent, persistent_.size() - 1);
      return false;

    case 'q':  // BINPUT
      remember(number<std::uint8_t>());
      return false;
    case 'r':  // LONG_BINPUT
      remember(number<std::uint32_t>());
      return false;
    case 0x94:  // MEMOIZE
      remember(memo_.size());
      return false;
    case 'h':  // BINGET
      recall(number<std::uint8_t>());
      return false;
    case 'j':  // LONG_BINGET
      recall(number<std::uint32_t>());
      return false;

    default:
      --at_;
      throw refuse("the operation " + std::to_string(operation) +
                   " is unknown in protocols 2 to 5 or needs more than a file");
  }
}

}  // namespace ivado
