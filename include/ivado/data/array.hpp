// Shape, Array (owning, dense) and ArrayView (strided, not owning): the arrays of ivado's data side. No LibTorch here.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../error.hpp"

namespace ivado {

/// A number of a type that is given at run time instead, as std::dynamic_extent is for a span.
inline constexpr int dynamic = -1;

/// The extents of an array, outermost first: up to 6 axes, held in place.
class Shape {
 public:
  /// The largest number of axes.
  static constexpr int max_rank = 6;

  constexpr Shape() = default;
  /// @throws Error if there are more than `max_rank` extents
  constexpr Shape(std::initializer_list<std::int64_t> extents) {
    for (const auto extent : extents) push_back(extent);
  }

  /// Number of axes; 0 for the shape of nothing (an empty `Array`).
  [[nodiscard]] constexpr int rank() const noexcept { return rank_; }
  [[nodiscard]] constexpr std::int64_t operator[](int axis) const noexcept {
    return extent_[static_cast<std::size_t>(axis)];
  }
  [[nodiscard]] constexpr std::int64_t& operator[](int axis) noexcept {
    return extent_[static_cast<std::size_t>(axis)];
  }
  /// Number of elements: the product of the extents; 0 where there is no axis.
  [[nodiscard]] constexpr std::int64_t size() const noexcept {
    if (rank_ == 0) return 0;
    std::int64_t product = 1;
    for (int axis = 0; axis < rank_; ++axis) product *= (*this)[axis];
    return product;
  }
  [[nodiscard]] constexpr const std::int64_t* begin() const noexcept { return extent_.data(); }
  [[nodiscard]] constexpr const std::int64_t* end() const noexcept { return extent_.data() + rank_; }

  /// Adds an axis behind the last one.
  constexpr void push_back(std::int64_t extent) {
    if (rank_ == max_rank) throw internal_error("making a shape", "more than 6 axes");
    extent_[static_cast<std::size_t>(rank_++)] = extent;
  }
  /// Takes an axis away.
  constexpr void erase(int axis) noexcept {
    --rank_;
    for (int a = axis; a < rank_; ++a) (*this)[a] = (*this)[a + 1];
    (*this)[rank_] = 0;
  }
  /// The axes from `first` on.
  [[nodiscard]] constexpr Shape from(int first) const {
    Shape rest;
    for (int axis = first; axis < rank_; ++axis) rest.push_back((*this)[axis]);
    return rest;
  }
  /// This shape with one more axis in front.
  [[nodiscard]] constexpr Shape prepended(std::int64_t extent) const {
    Shape longer{extent};
    for (const auto e : *this) longer.push_back(e);
    return longer;
  }
  [[nodiscard]] friend constexpr bool operator==(const Shape& a, const Shape& b) noexcept {
    return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin());
  }
  /// As people write it: "128x128x16".
  [[nodiscard]] std::string text() const {
    std::string out;
    for (const auto extent : *this) {
      if (!out.empty()) out += 'x';
      out += std::to_string(extent);
    }
    return out.empty() ? "nothing" : out;
  }

 private:
  std::array<std::int64_t, max_rank> extent_{};
  int rank_ = 0;
};

/// A strided window on somebody else's elements; copying it copies no element.
///
/// The strides are in elements and may be negative (a flipped axis). As for a span, constness of the
/// elements is in `T`. Whoever made the view keeps the elements alive.
template <class T>
class ArrayView {
 public:
  using value_type = std::remove_const_t<T>;
  using Strides = std::array<std::int64_t, Shape::max_rank>;

  ArrayView() = default;
  /// A view with strides in elements, one an axis.
  ArrayView(T* data, const Shape& shape, const Strides& strides) : data_(data), shape_(shape), strides_(strides) {}
  /// A dense row-major view.
  ArrayView(T* data, const Shape& shape) : data_(data), shape_(shape) {
    std::int64_t stride = 1;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      strides_[static_cast<std::size_t>(axis)] = stride;
      stride *= shape[axis];
    }
  }
  /// A view of mutable elements is also one of constant elements.
  operator ArrayView<const T>() const requires(!std::is_const_v<T>) { return {data_, shape_, strides_}; }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] int rank() const noexcept { return shape_.rank(); }
  [[nodiscard]] std::int64_t size() const noexcept { return shape_.size(); }
  [[nodiscard]] std::int64_t extent(int axis) const noexcept { return shape_[axis]; }
  [[nodiscard]] std::int64_t stride(int axis) const noexcept { return strides_[static_cast<std::size_t>(axis)]; }
  [[nodiscard]] const Strides& strides() const noexcept { return strides_; }

  /// Element at the given indices, unchecked.
  template <class... Index>
  [[nodiscard]] T& operator()(Index... index) const noexcept {
    std::int64_t offset = 0;
    int axis = 0;
    ((offset += static_cast<std::int64_t>(index) * stride(axis++)), ...);
    return data_[offset];
  }

  /// True if the elements lie row-major without gaps.
  [[nodiscard]] bool is_dense() const noexcept {
    std::int64_t expected = 1;
    for (int axis = rank() - 1; axis >= 0; --axis) {
      if (extent(axis) != 1 && stride(axis) != expected) return false;
      expected *= extent(axis);
    }
    return true;
  }
  /// The view at index `i` of `axis`, which is gone from the result.
  [[nodiscard]] ArrayView select(int axis, std::int64_t i) const {
    ArrayView part = *this;
    part.data_ += i * stride(axis);
    part.shape_.erase(axis);
    for (int a = axis; a < part.rank(); ++a) part.strides_[static_cast<std::size_t>(a)] = stride(a + 1);
    return part;
  }
  /// The indices [begin, begin + length) of `axis`.
  [[nodiscard]] ArrayView narrow(int axis, std::int64_t begin, std::int64_t length) const {
    ArrayView part = *this;
    part.data_ += begin * stride(axis);
    part.shape_[axis] = length;
    return part;
  }
  /// Axis `a` of the result is axis `order[a]` of this view.
  [[nodiscard]] ArrayView permute(std::initializer_list<int> order) const {
    Shape shape;
    Strides strides{};
    for (const int axis : order) {
      strides[static_cast<std::size_t>(shape.rank())] = stride(axis);
      shape.push_back(extent(axis));
    }
    return {data_, shape, strides};
  }
  /// The same elements with `axis` running backwards.
  [[nodiscard]] ArrayView flip(int axis) const {
    ArrayView flipped = *this;
    flipped.data_ += (extent(axis) - 1) * stride(axis);
    flipped.strides_[static_cast<std::size_t>(axis)] = -stride(axis);
    return flipped;
  }

 private:
  T* data_ = nullptr;
  Shape shape_;
  Strides strides_{};
};

namespace detail {

template <class From, class To, class Function>
void zip_axes(const From* from, const std::int64_t* from_stride, To* to, const std::int64_t* to_stride,
              const std::int64_t* extent, int rank, const Function& function) {
  if (rank == 0) {
    function(*from, *to);
    return;
  }
  const std::int64_t n = extent[0];
  const std::int64_t fs = from_stride[0];
  const std::int64_t ts = to_stride[0];
  if (rank == 1) {
    for (std::int64_t i = 0; i < n; ++i) function(from[i * fs], to[i * ts]);
    return;
  }
  for (std::int64_t i = 0; i < n; ++i)
    zip_axes(from + i * fs, from_stride + 1, to + i * ts, to_stride + 1, extent + 1, rank - 1, function);
}

}  // namespace detail

/// Calls `function(from_element, to_element)` for each pair of elements of two views of one shape.
/// @throws Error if the shapes differ
template <class From, class To, class Function>
void zip(ArrayView<From> from, ArrayView<To> to, const Function& function) {
  if (!(from.shape() == to.shape()))
    throw internal_error("walking two arrays", from.shape().text() + " and " + to.shape().text() + " differ");
  if (from.size() == 0) return;
  detail::zip_axes(from.data(), from.strides().data(), to.data(), to.strides().data(), from.shape().begin(),
                   from.rank(), function);
}

/// Copies the elements of one view into another of the same shape, converting their type.
template <class From, class To>
void copy(ArrayView<From> from, ArrayView<To> to) {
  zip(from, to, [](const auto& source, auto& target) {
    target = static_cast<std::remove_reference_t<decltype(target)>>(source);
  });
}

namespace detail {

/// From so many bytes on an array that is kept long gets pages of its own: rounding costs it an eighth at most.
inline constexpr std::size_t least_bytes_of_pages = std::size_t{1} << 15;

/// Bytes rounded up to whole pages of memory.
[[nodiscard]] inline std::size_t whole_pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace detail

/// An owning, dense, row-major array aligned to 64 bytes. Moves; is copied only by `clone()`.
///
/// By convention axis 0 of a sample is the channel (or class) and the others are spatial.
template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>, "ivado: an Array holds plain numbers");

 public:
  using value_type = T;

  Array() = default;
  /// An array with uninitialised elements. For elements of 0 use `zeros`.
  /// @throws Error if an extent is negative or the size in bytes overflows
  explicit Array(const Shape& shape) : shape_(shape) {
    if (const std::size_t bytes = bytes_of(shape); bytes > 0)
      data_.reset(static_cast<T*>(::operator new (bytes, std::align_val_t{64})));
  }
  /// An array with every element `value`.
  Array(const Shape& shape, T value) : Array(shape) { std::fill_n(data(), size(), value); }

  /// A dense copy of a view.
  [[nodiscard]] static Array from(ArrayView<const T> view) {
    Array out(view.shape());
    copy(view, out.view());
    return out;
  }

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] int rank() const noexcept { return shape_.rank(); }
  [[nodiscard]] std::int64_t extent(int axis) const noexcept { return shape_[axis]; }
  [[nodiscard]] std::int64_t size() const noexcept { return shape_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return static_cast<std::size_t>(size()) * sizeof(T); }
  /// Memory that it takes once it has settled: whole pages, but `bytes()` where it is small.
  [[nodiscard]] std::size_t footprint() const noexcept {
    return bytes() < detail::least_bytes_of_pages ? bytes() : detail::whole_pages(bytes());
  }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] T* data() noexcept { return data_.get(); }
  [[nodiscard]] const T* data() const noexcept { return data_.get(); }
  [[nodiscard]] T* begin() noexcept { return data(); }
  [[nodiscard]] T* end() noexcept { return data() + size(); }
  [[nodiscard]] const T* begin() const noexcept { return data(); }
  [[nodiscard]] const T* end() const noexcept { return data() + size(); }
  [[nodiscard]] T& operator[](std::int64_t i) noexcept { return data_.get()[i]; }
  [[nodiscard]] const T& operator[](std::int64_t i) const noexcept { return data_.get()[i]; }

  [[nodiscard]] ArrayView<T> view() noexcept { return {data(), shape_}; }
  [[nodiscard]] ArrayView<const T> view() const noexcept { return {data(), shape_}; }

  /// A copy with elements of its own.
  [[nodiscard]] Array clone() const {
    Array out(shape_);
    std::copy_n(data(), size(), out.data());
    return out;
  }
  /// An array with unspecified elements in pages of its own, which the system has back when the array ends: for what is
  /// kept long, or comes from a file as a whole, and would leave holes in the heap that nothing else fits into. A small
  /// one, and any where there are no pages to be had, lies in the heap all the same.
  [[nodiscard]] static Array in_pages(const Shape& shape) {
    if (bytes_of(shape) < detail::least_bytes_of_pages) return Array(shape);
    const std::size_t size = detail::whole_pages(bytes_of(shape));
    void* const pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return Array(shape);
    Array out;
    out.shape_ = shape;
    out.data_ = std::unique_ptr<T, Free>(static_cast<T*>(pages), Free{size});
    return out;
  }
  /// Moves the elements there, unless they are.
  void settle() {
    if (bytes() < detail::least_bytes_of_pages || data_.get_deleter().mapped_bytes != 0) return;
    Array settled = in_pages(shape_);
    std::copy_n(data(), size(), settled.data());
    *this = std::move(settled);
  }
  /// The same elements under another shape of the same size.
  /// @throws Error if the sizes differ
  [[nodiscard]] Array reshaped(const Shape& shape) && {
    if (shape.size() != size())
      throw internal_error("reshaping an array", shape_.text() + " does not hold as many elements as " + shape.text());
    Array out = std::move(*this);
    out.shape_ = shape;
    return out;
  }

 private:
  struct Free {
    std::size_t mapped_bytes = 0;  ///< of pages of its own; 0: it lies in the heap
    void operator()(T* pointer) const noexcept {
      if (mapped_bytes == 0) return ::operator delete (pointer, std::align_val_t{64});
      // A hole in a row of pages may be one more than the system counts; then the addresses stay and the memory goes.
      if (::munmap(pointer, mapped_bytes) != 0) (void)::madvise(pointer, mapped_bytes, MADV_DONTNEED);
    }
  };
  /// @throws Error if an extent is negative or the size in bytes overflows
  [[nodiscard]] static std::size_t bytes_of(const Shape& shape) {
    std::int64_t size = shape.rank() == 0 ? 0 : 1;
    for (const auto extent : shape) {
      if (extent < 0 || (extent > 0 && size > std::numeric_limits<std::int64_t>::max() /
                                                  static_cast<std::int64_t>(sizeof(T)) / extent))
        throw internal_error("allocating an array", "impossible shape " + shape.text());
      size *= extent;
    }
    return static_cast<std::size_t>(size) * sizeof(T);
  }

  Shape shape_;
  std::unique_ptr<T, Free> data_;
};

/// True if two arrays have one shape and equal elements (NaN differs from NaN).
template <class T>
[[nodiscard]] bool operator==(const Array<T>& a, const Array<T>& b) {
  return a.shape() == b.shape() && std::equal(a.begin(), a.end(), b.begin());
}

/// An array of zeros.
template <class T = float>
[[nodiscard]] Array<T> zeros(const Shape& shape) {
  return Array<T>(shape, T{0});
}

}  // namespace ivado
