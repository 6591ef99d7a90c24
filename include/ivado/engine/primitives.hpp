// oneDNN as the engine uses it: descriptions of memory, and primitives under the interfaces of oneDNN 2 and 3.
#pragma once

#include <oneapi/dnnl/dnnl_version.h>

#include <array>
#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "../error.hpp"
#include "../inline.hpp"
#include "layout.hpp"

namespace ivado::engine {

/// The processor as oneDNN sees it.
[[nodiscard]] IVADO_INLINE const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

namespace detail {

/// True if oneDNN uses the instructions of `isa` on this processor.
[[nodiscard]] IVADO_INLINE bool has_instructions(dnnl::cpu_isa isa) {
  const auto found = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto wanted = static_cast<unsigned>(isa);
  return (found & wanted) == wanted;
}

}  // namespace detail

/// Channels that lie side by side in the layout that convolutions are fastest on: a vector of the processor.
[[nodiscard]] IVADO_INLINE std::int64_t native_block() {
  return detail::has_instructions(dnnl::cpu_isa::avx512_core) ? 16 : 8;
}

/// True if the processor multiplies bf16 itself.
[[nodiscard]] inline bool has_bf16() { return detail::has_instructions(dnnl::cpu_isa::avx512_core_bf16); }

/// A shape as oneDNN takes it.
[[nodiscard]] inline dnnl::memory::dims dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

/// A layout as oneDNN describes it.
[[nodiscard]] IVADO_INLINE dnnl::memory::desc describe(const Layout& layout,
                                                       dnnl::memory::data_type type = dnnl::memory::data_type::f32) {
  using Tag = dnnl::memory::format_tag;
  const auto rank = layout.shape.rank();
  const Tag tag = [&] {
    if (rank == 4) return layout.block == 16 ? Tag::aBcd16b : layout.block == 8 ? Tag::aBcd8b : Tag::abcd;
    if (rank == 5) return layout.block == 16 ? Tag::aBcde16b : layout.block == 8 ? Tag::aBcde8b : Tag::abcde;
    return Tag::ab;
  }();
  return {dims_of(layout.shape), type, tag};
}

/// A shape whose layout oneDNN is to choose.
[[nodiscard]] IVADO_INLINE dnnl::memory::desc describe_any(
    const Shape& shape, dnnl::memory::data_type type = dnnl::memory::data_type::f32) {
  return {dims_of(shape), type, dnnl::memory::format_tag::any};
}

/// The layout that oneDNN chose, if the engine's kernels know it.
[[nodiscard]] IVADO_INLINE std::optional<Layout> layout_of(const dnnl::memory::desc& description, const Shape& shape) {
  for (const std::int64_t block : {native_block(), std::int64_t{1}, std::int64_t{8}, std::int64_t{16}})
    if (const Layout layout{shape, block}; describe(layout) == description) return layout;
  return std::nullopt;
}

/// What a window does along all spatial axes alike.
struct Window {
  dnnl::memory::dims kernel;
  dnnl::memory::dims stride;
  dnnl::memory::dims before;  ///< padding
  dnnl::memory::dims behind;

  /// @param axes  number of spatial axes
  Window(std::size_t axes, std::int64_t kernel_size, std::int64_t step, std::int64_t padding)
      : kernel(axes, kernel_size), stride(axes, step), before(axes, padding), behind(axes, padding) {}
};

/// The description of a convolution or a transposed one.
/// @param bias  of no axis where there is none
/// @throws dnnl::error if oneDNN has no implementation
template <class Primitive>
[[nodiscard]] typename Primitive::primitive_desc describe_convolution(
    const dnnl::memory::desc& source, const dnnl::memory::desc& weights, const dnnl::memory::desc& bias,
    const dnnl::memory::desc& result, const Window& window, const dnnl::primitive_attr& attributes) {
  constexpr auto algorithm = std::is_same_v<Primitive, dnnl::deconvolution_forward>
                                 ? dnnl::algorithm::deconvolution_direct
                                 : dnnl::algorithm::convolution_direct;
  constexpr auto kind = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  return {processor(), kind,          algorithm,     source,        weights,   bias,
          result,      window.stride, window.before, window.behind, attributes};
#else
  return {{kind, algorithm, source, weights, bias, result, window.stride, window.before, window.behind},
          attributes,
          processor()};
#endif
}

/// The description of a pooling.
/// @throws dnnl::error if oneDNN has no implementation
[[nodiscard]] IVADO_INLINE dnnl::pooling_forward::primitive_desc describe_pooling(
    dnnl::algorithm algorithm, const dnnl::memory::desc& source, const dnnl::memory::desc& result, const Window& window,
    const dnnl::primitive_attr& attributes) {
  constexpr auto kind = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::memory::dims dilation(window.kernel.size(), 0);
  return {processor(),   kind,     algorithm,     source,        result,    window.stride,
          window.kernel, dilation, window.before, window.behind, attributes};
#else
  return {{kind, algorithm, source, result, window.stride, window.kernel, window.before, window.behind},
          attributes,
          processor()};
#endif
}

/// Adds an elementwise operation to what a primitive does to its result.
IVADO_INLINE void append_eltwise(dnnl::post_ops& operations, dnnl::algorithm algorithm, float alpha) {
#if DNNL_VERSION_MAJOR >= 3
  operations.append_eltwise(algorithm, alpha, 0);
#else
  operations.append_eltwise(1, algorithm, alpha, 0);
#endif
}

/// True for the implementations that exist for completeness, a hundred times slower than the others.
[[nodiscard]] IVADO_INLINE bool is_reference(const dnnl::primitive_desc_base& description) {
  return std::string_view(description.impl_info_str()).starts_with("ref");
}

}  // namespace ivado::engine
