// Convolutions on `at::Tensor` by oneDNN's primitives, chosen and called here instead of by LibTorch. Needs the component
// ivado::engine beside ivado::ivado.
//
// LibTorch takes oneDNN for most convolutions, and falls short of it in two places that training feels: a single volume of
// few voxels, as deep layers of 3-D networks see it, goes through its own unfolding convolution, several times slower; and
// where oneDNN itself has no direct kernel for the weight gradient of a volume (processors without AVX-512) it unfolds as
// well, at a fifth of the speed of the forward. There the gradient of each plane of a 3×3×3 kernel is one of 2-D
// convolutions of the slices, for which there is a direct kernel.
//
// Convolutions with 3×3 and 3×3×3 kernels and whole vectors of channels, of which most networks consist, need a third of the time or
// less by Winograd's algorithm (engine/winograd.hpp), with their gradients, on the tensors as they lie.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "../engine/pointwise_convolution.hpp"
#include "../engine/primitives.hpp"
#include "../engine/winograd.hpp"
#include "../inline.hpp"
#include "backend.hpp"
#include "fused_norm.hpp"
#include "tensor_shape.hpp"

namespace ivado::nn {
namespace detail {

/// A tensor's elements as oneDNN describes them, by their strides.
[[nodiscard]] IVADO_INLINE dnnl::memory::desc describe_strided(const at::Tensor& tensor) {
  return {dnnl::memory::dims(tensor.sizes().begin(), tensor.sizes().end()), dnnl::memory::data_type::f32,
          dnnl::memory::dims(tensor.strides().begin(), tensor.strides().end())};
}

/// oneDNN's queue of the calling thread.
[[nodiscard]] IVADO_INLINE dnnl::stream& onednn_stream() {
  static thread_local dnnl::stream stream(engine::processor());
  return stream;
}

/// Memory for oneDNN, and the tensor that owns it.
struct OneDnnMemory {
  at::Tensor owner;
  dnnl::memory memory;

  /// Memory that a tensor has.
  [[nodiscard]] IVADO_INLINE static OneDnnMemory of(const at::Tensor& tensor) {
    return {tensor, dnnl::memory(describe_strided(tensor), engine::processor(), tensor.data_ptr<float>())};
  }
  /// New memory.
  [[nodiscard]] IVADO_INLINE static OneDnnMemory make(const dnnl::memory::desc& description) {
    at::Tensor owner =
        at::empty({static_cast<std::int64_t>(description.get_size() / sizeof(float))}, at::TensorOptions(at::kFloat));
    return {owner, dnnl::memory(description, engine::processor(), owner.data_ptr<float>())};
  }
  /// The elements of `from` in the layout `wanted`: the same memory where it has that layout already.
  [[nodiscard]] IVADO_INLINE static OneDnnMemory in_layout(OneDnnMemory from, const dnnl::memory::desc& wanted) {
    if (from.memory.get_desc() == wanted) return from;
    OneDnnMemory to = make(wanted);
    from.copy_to(to);
    return to;
  }
  /// Puts the elements into other memory, in its layout.
  IVADO_INLINE void copy_to(OneDnnMemory& to) const {
    dnnl::memory source = memory;
    dnnl::reorder(source, to.memory).execute(onednn_stream(), source, to.memory);
  }
};

/// A tensor that a primitive fills, by way of other memory where it writes another layout.
class OneDnnTarget {
 public:
  IVADO_INLINE OneDnnTarget(const at::Tensor& tensor, const dnnl::memory::desc& wanted)
      : result_(OneDnnMemory::of(tensor)),
        is_direct_(result_.memory.get_desc() == wanted),
        written_(is_direct_ ? result_ : OneDnnMemory::make(wanted)) {}
  /// What the primitive writes.
  [[nodiscard]] const dnnl::memory& memory() const noexcept { return written_.memory; }
  /// Brings what was written into the tensor, and waits for it.
  IVADO_INLINE void finish() {
    if (!is_direct_) written_.copy_to(result_);
    onednn_stream().wait();
  }

 private:
  OneDnnMemory result_;
  bool is_direct_;
  OneDnnMemory written_;
};

/// The convolution of one set of shapes, and its gradients. Tensors are float32 on the processor, dense, and of those
/// shapes; what is returned has the memory format of `x`.
class OneDnnConvolution {
 public:
  /// @param x       [N, in, spatial…]
  /// @param weight  [out, in, kernel…]
  /// @param in_bf16  products of numbers rounded to bf16, which Winograd's loops have alone
  /// @throws dnnl::error if oneDNN has no implementation
  IVADO_INLINE OneDnnConvolution(const Shape& x, const Shape& weight, std::int64_t stride, std::int64_t padding,
                                 bool has_bias, bool in_bf16)
      : stride_(stride),
        padding_(padding),
        has_bias_(has_bias),
        in_bf16_(in_bf16),
        weight_shape_(weight),
        result_shape_(result_of(x, weight, stride, padding)),
        winograd_(winograd_of(x, weight, stride, padding)),
        window_(static_cast<std::size_t>(x.rank() - 2), weight[2], stride, padding),
        forward_(describe_forward(engine::describe_any(x), engine::describe_any(weight), bias_description(),
                                  engine::describe_any(result_shape_), window_)) {}

  /// True if there is more than an implementation for completeness.
  [[nodiscard]] bool is_fast() const {
    if (in_bf16_)  // for volumes the other way is float32, not a direct convolution in bf16
      return winograd_ && lanes() == 16 && engine::winograd_bf16_kernels() != nullptr &&
             (winograd_->taps == 3 || engine::is_winograd_bf16_faster(*winograd_, true));
    return winograd_ || !engine::is_reference(forward_);
  }

  /// The result [N, out, spatial…].
  /// @param bias  [out]; not read where there is none
  [[nodiscard]] IVADO_INLINE at::Tensor forward(const at::Tensor& x, const at::Tensor& weight,
                                                const at::Tensor& bias) const {
    if (is_pointwise(x)) {
      at::Tensor y = at::empty(sizes(result_shape_), x.options());
      engine::pointwise_convolve(pointwise_of(x), x.data_ptr<float>(), weight.contiguous().data_ptr<float>(),
                                 has_bias_ ? bias.data_ptr<float>() : nullptr, y.data_ptr<float>());
      return y;
    }
    if (winograd_) {
      at::Tensor y = empty_like(x, result_shape_);
      const engine::WinogradShape& shape = *winograd_;
      const auto& packed = pack(shape, weight_view<const float>(weight));
      engine::winograd_convolve(shape, kernels(), view<const float>(x), packed,
                                {.bias = has_bias_ ? bias.data_ptr<float>() : nullptr}, view<float>(y));
      return y;
    }
    const auto source = OneDnnMemory::in_layout(OneDnnMemory::of(x), forward_.src_desc());
    const auto weights = OneDnnMemory::in_layout(OneDnnMemory::of(weight), forward_.weights_desc());
    at::Tensor y = empty_like(x, result_shape_);
    OneDnnTarget target(y, forward_.dst_desc());
    std::unordered_map<int, dnnl::memory> arguments{
        {DNNL_ARG_SRC, source.memory}, {DNNL_ARG_WEIGHTS, weights.memory}, {DNNL_ARG_DST, target.memory()}};
    if (has_bias_) arguments.emplace(DNNL_ARG_BIAS, OneDnnMemory::of(bias).memory);
    dnnl::convolution_forward(forward_).execute(onednn_stream(), arguments);
    target.finish();
    return y;
  }

  /// The gradient by the input.
  [[nodiscard]] IVADO_INLINE at::Tensor input_gradient(const at::Tensor& gradient, const at::Tensor& weight,
                                                       const at::Tensor& like) {
    if (is_pointwise(gradient)) {
      at::Tensor out = at::empty(like.sizes(), like.options());
      engine::PointwiseShape turned = pointwise_of(gradient);
      std::swap(turned.in, turned.out);
      const at::Tensor transposed = weight.reshape({weight_shape_[0], weight_shape_[1]}).t().contiguous();
      engine::pointwise_convolve(turned, gradient.data_ptr<float>(), transposed.data_ptr<float>(), nullptr,
                                 out.data_ptr<float>());
      return out;
    }
    if (winograd_) {
      at::Tensor out = at::empty_like(like);
      const engine::WinogradShape turned = winograd_->turned();
      const auto& packed = pack(turned, weight_view<const float>(weight).turned(turned.taps));
      engine::winograd_convolve(turned, kernels(), view<const float>(gradient), packed, {}, view<float>(out));
      return out;
    }
    const auto& primitive = to_input(like);
    const auto from = OneDnnMemory::in_layout(OneDnnMemory::of(gradient), primitive.diff_dst_desc());
    const auto weights = OneDnnMemory::in_layout(OneDnnMemory::of(weight), primitive.weights_desc());
    at::Tensor out = at::empty_like(like);
    OneDnnTarget target(out, primitive.diff_src_desc());
    dnnl::convolution_backward_data(primitive).execute(
        onednn_stream(),
        {{DNNL_ARG_DIFF_DST, from.memory}, {DNNL_ARG_WEIGHTS, weights.memory}, {DNNL_ARG_DIFF_SRC, target.memory()}});
    target.finish();
    return out;
  }

  /// The gradients by weight and bias; the second is undefined where there is no bias.
  [[nodiscard]] IVADO_INLINE std::pair<at::Tensor, at::Tensor> weight_gradients(const at::Tensor& gradient,
                                                                                const at::Tensor& x) {
    if (is_pointwise(x)) {
      at::Tensor out = at::empty(sizes(weight_shape_), gradient.options());
      engine::pointwise_weight_gradient(pointwise_of(x), x.data_ptr<float>(), gradient.data_ptr<float>(),
                                        out.data_ptr<float>());
      return {out, has_bias_ ? gradient.flatten(2).sum(at::IntArrayRef({0, 2})) : at::Tensor()};
    }
    if (winograd_) {
      at::Tensor out = at::empty(sizes(weight_shape_), gradient.options());
      const at::Tensor bias = has_bias_ ? at::empty({weight_shape_[0]}, gradient.options()) : at::Tensor();
      engine::winograd_weight_gradient(*winograd_, kernels(), view<const float>(x), view<const float>(gradient),
                                       winograd_->in, winograd_->out, weight_view<float>(out),
                                       has_bias_ ? bias.data_ptr<float>() : nullptr);
      return {out, bias};
    }
    if (unfolds()) return gradients_by_unfolding(gradient, x);
    prepare_weights(x);
    if (planes_) return gradients_by_planes(gradient, x);
    const auto from = OneDnnMemory::in_layout(OneDnnMemory::of(gradient), to_weights_->diff_dst_desc());
    const auto source = OneDnnMemory::in_layout(OneDnnMemory::of(x), to_weights_->src_desc());
    at::Tensor out = at::empty(sizes(weight_shape_), gradient.options());
    OneDnnTarget target(out, to_weights_->diff_weights_desc());
    at::Tensor bias;
    std::unordered_map<int, dnnl::memory> arguments{
        {DNNL_ARG_DIFF_DST, from.memory}, {DNNL_ARG_SRC, source.memory}, {DNNL_ARG_DIFF_WEIGHTS, target.memory()}};
    if (has_bias_) {
      bias = at::empty({weight_shape_[0]}, gradient.options());
      arguments.emplace(DNNL_ARG_DIFF_BIAS, OneDnnMemory::of(bias).memory);
    }
    dnnl::convolution_backward_weights(*to_weights_).execute(onednn_stream(), arguments);
    target.finish();
    return {out, bias};
  }

 private:
  using ToInput = dnnl::convolution_backward_data::primitive_desc;
  using ToWeights = dnnl::convolution_backward_weights::primitive_desc;

  /// The gradient of one plane of a kernel across the first axis, over so many slices.
  struct Plane {
    std::int64_t first_source = 0;  ///< slice
    std::int64_t first_result = 0;
    ToWeights primitive;
  };
  /// A weight gradient by 2-D convolutions of the slices along the first axis; the layouts are those of all slices.
  struct Planes {
    dnnl::memory::desc source;
    dnnl::memory::desc result;
    std::vector<std::optional<Plane>> planes;  ///< one a plane of the kernel; none where it lies in the padding alone
  };

  /// True if this is a matrix product of plain values, of enough voxels to be faster so.
  [[nodiscard]] IVADO_INLINE bool is_pointwise(const at::Tensor& one) const {
    return weight_shape_[2] == 1 && stride_ == 1 && padding_ == 0 && one.is_contiguous() &&
           one.numel() >= 16 * one.size(0) * one.size(1) && engine::has_pointwise(weight_shape_[1], weight_shape_[0]);
  }
  [[nodiscard]] IVADO_INLINE engine::PointwiseShape pointwise_of(const at::Tensor& one) const {
    return {one.size(0), weight_shape_[1], weight_shape_[0], one.numel() / (one.size(0) * one.size(1))};
  }

  /// The convolution for Winograd's algorithm, where that is possible and pays.
  [[nodiscard]] IVADO_INLINE static std::optional<engine::WinogradShape> winograd_of(const Shape& x,
                                                                                     const Shape& weight,
                                                                                     std::int64_t stride,
                                                                                     std::int64_t padding) {
    const std::int64_t lanes = lanes_for(weight);
    const bool fits = weight[2] == 3 && stride == 1 && padding <= 1 && weight[0] % lanes == 0 &&
                      weight[1] % lanes == 0 && x.size() > 0 && engine::winograd_kernels(lanes) != nullptr;
    if (!fits) return std::nullopt;
    const bool is_deep = x.rank() == 5;
    const engine::WinogradShape shape{.samples = x[0],
                                      .in = weight[1],
                                      .out = weight[0],
                                      .depth = is_deep ? x[2] : 1,
                                      .height = x[x.rank() - 2],
                                      .width = x[x.rank() - 1],
                                      .taps = is_deep ? 3 : 1,
                                      .padding = padding};
    return engine::is_winograd_faster(shape, true) ? std::optional(shape) : std::nullopt;
  }
  /// Channels at once: a vector of the processor where they fill such vectors.
  [[nodiscard]] IVADO_INLINE static std::int64_t lanes_for(const Shape& weight) {
    const std::int64_t most = engine::native_block();
    return weight[0] % most == 0 && weight[1] % most == 0 ? most : 8;
  }
  [[nodiscard]] std::int64_t lanes() const { return lanes_for(weight_shape_); }
  [[nodiscard]] const engine::WinogradKernels& kernels() const {
    return in_bf16_ ? *engine::winograd_bf16_kernels() : *engine::winograd_kernels(lanes());
  }
  /// A tensor's elements as Winograd's loops see them. The rule above leaves slices of at least 8 voxels, so the strides tell plain ones
  /// from those with the channels last.
  template <class T>
  [[nodiscard]] engine::LaneView<T> view(const at::Tensor& tensor) const {
    const std::int64_t axes = tensor.dim();
    return {tensor.template data_ptr<float>(),
            tensor.stride(0),
            axes == 5 ? tensor.stride(2) : 0,
            tensor.stride(axes - 2),
            tensor.stride(axes - 1),
            lanes() * tensor.stride(1),
            tensor.stride(1)};
  }
  /// The weights packed, in room that each thread keeps: the largest layer's, at four times its weights.
  [[nodiscard]] IVADO_INLINE const engine::LineBuffer& pack(const engine::WinogradShape& shape,
                                                            const engine::WeightView<const float>& weights) const {
    static thread_local engine::LineBuffer packed;
    engine::winograd_pack(shape, kernels(), weights, shape.in, shape.out, packed);
    return packed;
  }
  template <class T>
  [[nodiscard]] static engine::WeightView<T> weight_view(const at::Tensor& weight) {
    const std::int64_t axes = weight.dim();
    return {weight.template data_ptr<float>(), weight.stride(0),        weight.stride(1),
            axes == 5 ? weight.stride(2) : 0,  weight.stride(axes - 2), weight.stride(axes - 1)};
  }

  [[nodiscard]] IVADO_INLINE static Shape result_of(const Shape& x, const Shape& weight, std::int64_t stride,
                                                    std::int64_t padding) {
    Shape result{x[0], weight[0]};
    for (int axis = 2; axis < x.rank(); ++axis) result.push_back((x[axis] + 2 * padding - weight[axis]) / stride + 1);
    return result;
  }
  [[nodiscard]] static at::IntArrayRef sizes(const Shape& shape) { return {shape.begin(), shape.end()}; }
  /// A new tensor in the memory format of `x`.
  [[nodiscard]] IVADO_INLINE static at::Tensor empty_like(const at::Tensor& x, const Shape& shape) {
    return at::empty(sizes(shape), x.options(), x.suggest_memory_format());
  }
  [[nodiscard]] IVADO_INLINE dnnl::memory::desc bias_description() const {
    return has_bias_ ? dnnl::memory::desc({weight_shape_[0]}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a)
                     : dnnl::memory::desc();
  }
  [[nodiscard]] IVADO_INLINE static dnnl::convolution_forward::primitive_desc describe_forward(
      const dnnl::memory::desc& source, const dnnl::memory::desc& weights, const dnnl::memory::desc& bias,
      const dnnl::memory::desc& result, const engine::Window& window) {
    constexpr auto kind = dnnl::prop_kind::forward_training;
    constexpr auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    return {engine::processor(), kind,          algorithm,    source, weights, bias, result,
            window.stride,       window.before, window.behind};
#else
    return {{kind, algorithm, source, weights, bias, result, window.stride, window.before, window.behind},
            engine::processor()};
#endif
  }
  [[nodiscard]] IVADO_INLINE static ToWeights describe_weights(
      const dnnl::memory::desc& source, const dnnl::memory::desc& weights, const dnnl::memory::desc& bias,
      const dnnl::memory::desc& result, const engine::Window& window,
      const dnnl::convolution_forward::primitive_desc& forward) {
    constexpr auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    return {engine::processor(), algorithm,     source,        weights, bias, result,
            window.stride,       window.before, window.behind, forward};
#else
    return {{algorithm, source, weights, bias, result, window.stride, window.before, window.behind},
            engine::processor(),
            forward};
#endif
  }
  [[nodiscard]] IVADO_INLINE static bool is_direct(const dnnl::primitive_desc_base& description) {
    return std::string_view(description.impl_info_str()).starts_with("jit");
  }

  /// The gradient by the input, described when it is first asked for.
  [[nodiscard]] IVADO_INLINE const ToInput& to_input(const at::Tensor& like) {
    const std::lock_guard lock(mutex_);
    if (!to_input_) {
      const auto source = engine::describe_any(shape_of_tensor(like));
      const auto weights = engine::describe_any(weight_shape_);
      const auto result = engine::describe_any(result_shape_);
      constexpr auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
      to_input_.emplace(engine::processor(), algorithm, source, weights, result, window_.stride, window_.before,
                        window_.behind, forward_);
#else
      to_input_.emplace(dnnl::convolution_backward_data::desc(algorithm, source, weights, result, window_.stride,
                                                              window_.before, window_.behind),
                        engine::processor(), forward_);
#endif
    }
    return *to_input_;
  }
  IVADO_INLINE void prepare_weights(const at::Tensor& x) {
    const std::lock_guard lock(mutex_);
    if (to_weights_) return;
    to_weights_.emplace(describe_weights(engine::describe_any(shape_of_tensor(x)), engine::describe_any(weight_shape_),
                                         bias_description(), engine::describe_any(result_shape_), window_, forward_));
    // From 64 channels on unfolding is as fast.
    if (x.dim() == 5 && stride_ == 1 && !is_direct(*to_weights_) && weight_shape_[1] < 64) planes_ = describe_planes(x);
  }
  /// Nothing where oneDNN has no direct kernel for these slices.
  [[nodiscard]] IVADO_INLINE std::optional<Planes> describe_planes(const at::Tensor& x) const {
    const std::int64_t kernel = weight_shape_[2];
    const Shape source{x.size(2), x.size(1), x.size(3), x.size(4)};
    const Shape result{result_shape_[2], result_shape_[1], result_shape_[3], result_shape_[4]};
    const Shape weight{weight_shape_[0], weight_shape_[1], kernel, kernel};
    const engine::Window window(2, kernel, 1, padding_);
    const auto any = engine::describe_any(weight);
    const auto over = [&](const dnnl::memory::desc& from, const dnnl::memory::desc& to) {
      return describe_weights(from, any, {}, to, window, describe_forward(from, any, {}, to, window));
    };
    try {
      Shape deep_source = source;
      Shape deep_result = result;
      deep_source[0] = deep_result[0] = std::max(source[0], result[0]);
      const ToWeights whole = over(engine::describe_any(deep_source), engine::describe_any(deep_result));
      if (!is_direct(whole)) return std::nullopt;
      Planes planes{with_slices(whole.src_desc(), source[0]), with_slices(whole.diff_dst_desc(), result[0]), {}};
      for (std::int64_t k = 0; k < kernel; ++k) {
        const std::int64_t shift = k - padding_;  // source slice less result slice
        const std::int64_t first = std::max<std::int64_t>(0, -shift);
        const std::int64_t count = std::min(result[0], source[0] - shift) - first;
        if (count <= 0) {
          planes.planes.emplace_back();
          continue;
        }
        planes.planes.push_back(
            Plane{first + shift, first, over(with_slices(planes.source, count), with_slices(planes.result, count))});
      }
      return planes;
    } catch (const dnnl::error&) {
      return std::nullopt;
    }
  }
  /// The same layout of fewer slices, which lie one behind the other in it.
  [[nodiscard]] IVADO_INLINE static dnnl::memory::desc with_slices(const dnnl::memory::desc& layout,
                                                                   std::int64_t count) {
    auto dims = layout.dims();
    dims[0] = count;
    return layout.submemory_desc(dims, dnnl::memory::dims(dims.size(), 0));
  }
  /// The slices of one volume of a batch, in a layout.
  [[nodiscard]] IVADO_INLINE static OneDnnMemory slices_of(const at::Tensor& volumes, std::int64_t n,
                                                           const dnnl::memory::desc& layout) {
    return OneDnnMemory::in_layout(OneDnnMemory::of(volumes[n].transpose(0, 1)), layout);
  }
  /// Some of the slices of a memory.
  [[nodiscard]] IVADO_INLINE static dnnl::memory part_of(const OneDnnMemory& slices, const dnnl::memory::desc& part,
                                                         std::int64_t first) {
    const auto whole = slices.memory.get_desc();
    const std::size_t bytes = whole.get_size() / static_cast<std::size_t>(whole.dims()[0]);
    auto* const data = static_cast<std::byte*>(slices.memory.get_data_handle());
    return {part, engine::processor(), data + bytes * static_cast<std::size_t>(first)};
  }

  /// True for slices of few channels, as a network's first layer sees them: oneDNN's kernels work on vectors of input channels, and
  /// the product of the gradient and the unfolded input is several times faster.
  [[nodiscard]] IVADO_INLINE bool unfolds() const {
    return weight_shape_.rank() == 4 && weight_shape_[1] < 8 && weight_shape_[2] > 1 && weight_shape_[0] % 8 == 0 &&
           result_shape_[2] * result_shape_[3] >= 16 && engine::has_avx2();
  }
  [[nodiscard]] IVADO_INLINE std::pair<at::Tensor, at::Tensor> gradients_by_unfolding(const at::Tensor& given,
                                                                                      const at::Tensor& input) const {
    constexpr std::int64_t most = std::int64_t{16} << 20;  // floats that are unfolded at once
    const at::Tensor x = input.contiguous();
    const at::Tensor gradient = given.contiguous();
    const engine::UnfoldShape shape{x.size(1), x.size(2), x.size(3), weight_shape_[2], stride_, padding_};
    const std::int64_t out = weight_shape_[0];
    const std::int64_t voxels = result_shape_[2] * result_shape_[3];
    const std::int64_t at_once = std::clamp<std::int64_t>(most / (shape.rows() * voxels), 1, x.size(0));
    const at::Tensor unfolded = at::empty({at_once, shape.rows(), voxels}, x.options());
    const at::Tensor part = at::empty({out, shape.rows()}, x.options());
    at::Tensor sum = at::zeros({out, shape.rows()}, x.options());
    for (std::int64_t n = 0; n < x.size(0); n += at_once) {
      const std::int64_t samples = std::min(at_once, x.size(0) - n);
      engine::unfold(shape, samples, x.data_ptr<float>() + n * x.stride(0), unfolded.data_ptr<float>());
      engine::pointwise_weight_gradient({samples, shape.rows(), out, voxels}, unfolded.data_ptr<float>(),
                                        gradient.data_ptr<float>() + n * gradient.stride(0), part.data_ptr<float>());
      sum.add_(part);
    }
    const std::int64_t of_out = weight_shape_[1] * weight_shape_[2] * weight_shape_[3];
    return {sum.narrow(1, 0, of_out).reshape(sizes(weight_shape_)),
            has_bias_ ? gradient.sum(at::IntArrayRef({0, 2, 3})) : at::Tensor()};
  }

  [[nodiscard]] IVADO_INLINE std::pair<at::Tensor, at::Tensor> gradients_by_planes(const at::Tensor& gradient,
                                                                                   const at::Tensor& x) const {
    at::Tensor out = at::zeros(sizes(weight_shape_), gradient.options());
    for (std::int64_t n = 0; n < x.size(0); ++n) {
      const OneDnnMemory source = slices_of(x, n, planes_->source);
      const OneDnnMemory result = slices_of(gradient, n, planes_->result);
      for (std::size_t k = 0; k < planes_->planes.size(); ++k) {
        const auto& plane = planes_->planes[k];
        if (!plane) continue;
        OneDnnMemory weights = OneDnnMemory::make(plane->primitive.diff_weights_desc());
        dnnl::convolution_backward_weights(plane->primitive)
            .execute(onednn_stream(),
                     {{DNNL_ARG_SRC, part_of(source, plane->primitive.src_desc(), plane->first_source)},
                      {DNNL_ARG_DIFF_DST, part_of(result, plane->primitive.diff_dst_desc(), plane->first_result)},
                      {DNNL_ARG_DIFF_WEIGHTS, weights.memory}});
        const at::Tensor share = out.select(2, static_cast<std::int64_t>(k));
        const at::Tensor here = n == 0 ? share : at::empty(share.sizes(), share.options());
        OneDnnMemory target = OneDnnMemory::of(here);
        weights.copy_to(target);
        onednn_stream().wait();
        if (n > 0) share.add_(here);
      }
    }
    return {out, has_bias_ ? gradient.sum({0, 2, 3, 4}) : at::Tensor()};
  }

  std::int64_t stride_;
  std::int64_t padding_;
  bool has_bias_;
  bool in_bf16_;
  Shape weight_shape_;
  Shape result_shape_;
  std::optional<engine::WinogradShape> winograd_;
  engine::Window window_;
  dnnl::convolution_forward::primitive_desc forward_;
  std::mutex mutex_;  // of what is described when it is first asked for
  std::optional<ToInput> to_input_;
  std::optional<ToWeights> to_weights_;
  std::optional<Planes> planes_;
};

/// The convolution of these shapes, described once; null where oneDNN has no fast one.
[[nodiscard]] IVADO_INLINE std::shared_ptr<OneDnnConvolution> onednn_convolution(const at::Tensor& x,
                                                                                 const at::Tensor& weight,
                                                                                 std::int64_t stride,
                                                                                 std::int64_t padding, bool has_bias,
                                                                                 bool in_bf16) {
  constexpr std::size_t most = 1024;  // of shapes; images of ever new sizes shall not fill the memory
  static std::mutex mutex;
  static std::map<std::vector<std::int64_t>, std::shared_ptr<OneDnnConvolution>> known;
  std::vector<std::int64_t> key = x.sizes().vec();
  key.insert(key.end(), weight.sizes().begin(), weight.sizes().end());
  for (const std::int64_t more : {stride, padding, std::int64_t{has_bias ? 1 : 0}, std::int64_t{in_bf16 ? 1 : 0}})
    key.push_back(more);
  const std::lock_guard lock(mutex);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  if (known.size() >= most) known.clear();
  std::shared_ptr<OneDnnConvolution> made;
  try {
    made = std::make_shared<OneDnnConvolution>(shape_of_tensor(x), shape_of_tensor(weight), stride, padding, has_bias,
                                               in_bf16);
    if (!made->is_fast()) made = nullptr;
  } catch (const dnnl::error&) {
  }
  return known[key] = made;
}

/// The convolution with its gradients, for autograd.
struct OneDnnConvolutionFunction : torch::autograd::Function<OneDnnConvolutionFunction> {
  IVADO_INLINE static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                         const at::Tensor& weight, const c10::optional<at::Tensor>& bias,
                                         std::int64_t stride, std::int64_t padding, bool in_bf16) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["bf16"] = in_bf16;
    return onednn_convolution(x, weight, stride, padding, bias.has_value(), in_bf16)
        ->forward(x, weight, bias.value_or(at::Tensor()));
  }
  IVADO_INLINE static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                              const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const bool has_bias = context->saved_data["bias"].toBool();
    const auto convolution =
        onednn_convolution(x, weight, context->saved_data["stride"].toInt(), context->saved_data["padding"].toInt(),
                           has_bias, context->saved_data["bf16"].toBool());
    const at::Tensor gradient = gradients[0].contiguous(x.suggest_memory_format());
    at::Tensor to_x;
    std::pair<at::Tensor, at::Tensor> to_weight;
    if (context->needs_input_grad(0)) to_x = convolution->input_gradient(gradient, weight, x);
    if (context->needs_input_grad(1) || (has_bias && context->needs_input_grad(2)))
      to_weight = convolution->weight_gradients(gradient, x);
    return {to_x, to_weight.first, to_weight.second, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace detail

/// LibTorch with convolutions by oneDNN where they are float32 on the processor, and norms with what stands around them as
/// one step (`fused_norm`). In bf16 they are by Winograd's algorithm where it fits and the processor multiplies bf16; else slices go to
/// LibTorch's convolutions in bf16, and volumes that oneDNN is fast at stay in float32, which is faster. Others, such as those in
/// float64 or on a graphics processor, and those that oneDNN is slow at, go to LibTorch.
class OneDnnInterpreter : public TorchInterpreter {
 public:
  using TorchInterpreter::apply;
  using TorchInterpreter::TorchInterpreter;

  IVADO_INLINE Value apply(const op::Convolution& op, std::span<const Value> inputs) const {
    const Value& weight = tensor(op.weight);
    bool in_bf16 = convolution_type() == at::kBFloat16;
    const bool is_plain = inputs[0].is_cpu() && inputs[0].scalar_type() == at::kFloat &&
                          weight.scalar_type() == at::kFloat && (in_bf16 || convolution_type() == at::kFloat) &&
                          inputs[0].numel() > 0 && inputs[0].size(1) == weight.size(1);
    if (!is_plain) return TorchInterpreter::apply(op, inputs);
    const Value x = inputs[0].contiguous(inputs[0].suggest_memory_format());
    const Value bias = optional(op.bias);
    auto convolution = detail::onednn_convolution(x, weight, op.stride, op.padding, bias.defined(), in_bf16);
    if (!convolution && in_bf16 && x.dim() == 5) {
      in_bf16 = false;
      convolution = detail::onednn_convolution(x, weight, op.stride, op.padding, bias.defined(), false);
    }
    if (!convolution) return TorchInterpreter::apply(op, inputs);
    const bool learns = at::GradMode::is_enabled() &&
                        (x.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
    if (!learns) return convolution->forward(x, weight, bias);
    return detail::OneDnnConvolutionFunction::apply(
        x, weight, bias.defined() ? c10::optional<at::Tensor>(bias) : c10::nullopt, op.stride, op.padding, in_bf16);
  }

  /// A norm and what stands around it as one step.
  IVADO_INLINE Value normalize(const NormStep& step, const Value& x) const {
    const bool has_plain_dropout = step.dropout == nullptr || step.dropout->whole_channels;
    const bool has_variance = x.dim() > 2 && x.numel() > x.size(1);
    if (!can_fuse_norm(x) || !has_variance || !has_plain_dropout) return step.one_by_one(*this, x);
    return std::visit([&](const auto& norm) { return normalize(step, norm, x); }, step.norm);
  }

 private:
  template <class Norm>
  [[nodiscard]] Value normalize(const NormStep& step, const Norm& norm, const Value& x) const {
    constexpr bool is_batch = std::is_same_v<Norm, op::BatchNorm>;
    NormTensors tensors{optional(norm.weight), optional(norm.bias), {}};
    if (tensors.weight.defined() && tensors.weight.scalar_type() != at::kFloat) return step.one_by_one(*this, x);
    NormPass pass;
    if (step.before) pass.before = step.before->slope;
    if (step.after) pass.after = step.after->slope;
    pass.epsilon = norm.epsilon;
    pass.each_sample = !is_batch;
    if (step.dropout != nullptr) {
      const auto learns_one = [](const Value& one) { return one.defined() && one.requires_grad(); };
      const bool learns =
          at::GradMode::is_enabled() && (learns_one(x) || learns_one(tensors.weight) || learns_one(tensors.bias));
      tensors.factors = dropout_factors(*step.dropout, {x.size(0), x.size(1)}, learns);
    }
    if constexpr (is_batch) {
      Value& mean = tensor(norm.running_mean);
      Value& variance = tensor(norm.running_variance);
      if (!uses_batch_statistics(norm))
        return fused_norm(x, tensors, at::stack({mean, (variance + norm.epsilon).rsqrt()}), pass).value;
      const auto count = static_cast<double>(x.numel() / x.size(1));
      const NormResult result = fused_norm(x, tensors, {}, pass);
      tensor(norm.batches).add_(1);
      mean.mul_(1 - norm.momentum).add_(result.used[0], norm.momentum);
      variance.mul_(1 - norm.momentum).add_(result.variance, norm.momentum * count / (count - 1));
      return result.value;
    } else {
      return fused_norm(x, tensors, {}, pass).value;
    }
  }
};

}  // namespace ivado::nn

namespace ivado {

/// LibTorch with convolutions by oneDNN, called without LibTorch between, and fused norms.
struct OneDnnBackend {
  using Interpreter = nn::OneDnnInterpreter;
  static constexpr std::string_view backend_name = "LibTorch and oneDNN";
};

static_assert(Backend<OneDnnBackend>);

}  // namespace ivado
