// A network compiled for one shape: primitives of oneDNN and kernels of ours on one arena of memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "../error.hpp"
#include "../nn/graph.hpp"
#include "../parallel.hpp"
#include "arena.hpp"
#include "fuse.hpp"
#include "kernels.hpp"
#include "lanes.hpp"
#include "parameters.hpp"
#include "primitives.hpp"
#include "winograd.hpp"

namespace ivado::engine {

/// The number type of the convolutions, transposed ones among them. All that is between them is float32.
enum class Precision { float32, bf16 };

/// A network for one shape of its input. Its memory is its own: one run at a time.
class Plan {
 public:
  /// @param parameters  of the network; shared by its plans
  /// @throws Error (internal) if oneDNN cannot do an operation of the graph
  Plan(const graph::Graph& graph, Parameters& parameters, Precision precision, int threads)
      : graph_(graph), parameters_(parameters), precision_(precision), threads_(threads) {
    const ThreadScope scope(threads_);  // primitives are made for a number of threads
    const Fuser fuser(graph_);
    steps_ = Fuser(graph_).steps();
    output_ = fuser.behind_dropouts(graph_.outputs.front());
    values_.resize(graph_.nodes.size());
    forced_.assign(graph_.nodes.size(), 0);
    homes_.assign(graph_.nodes.size(), Home{});
    find_last_uses();
    find_homes();
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (std::holds_alternative<nn::op::Input>(graph_.nodes[i].op)) {
        inputs_.push_back(static_cast<std::int32_t>(i));
        values_[i] = new_value({graph_.nodes[i].shape, 1});
      }
    for (now_ = 0; now_ < static_cast<std::int32_t>(steps_.size()); ++now_)
      lower(steps_[static_cast<std::size_t>(now_)]);
    touch(value(output_));
    bytes_ = Arena::place(buffers_);
    arena_.at_least(bytes_ / sizeof(float) + 1);
    for (const auto& make : makers_) tasks_.push_back(make());
    makers_.clear();
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  /// Runs the network.
  /// @param inputs  in the order of the graph, plain, with the shapes of the graph
  /// @param output  room for the output, plain
  void run(std::span<const float* const> inputs, float* output) {
    const ThreadScope scope(threads_);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const Out to = place(value(inputs_[i]));
      std::copy_n(inputs[i], to.layout.size(), to.data);
    }
    try {
      for (const auto& task : tasks_) task(stream_);
      stream_.wait();
    } catch (const dnnl::error& fault) {
      throw internal_error("running a network with oneDNN", fault.what());
    }
    const Out from = place(value(output_));
    copy_channels(from, 0, from.layout.channels(), {output, {from.layout.shape, 1}}, 0);
  }

  [[nodiscard]] const Shape& output_shape() const { return node(output_).shape; }
  /// Bytes of the activations: the whole arena.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// What is run, one line a step: the layer and who computes it.
  [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }

 private:
  using Task = std::function<void(const dnnl::stream&)>;

  /// Where a value lies.
  struct Value {
    Layout layout{};
    std::size_t buffer = 0;
    std::int64_t offset = 0;  ///< elements from the buffer's begin
  };
  /// A value that is written right where a concatenation wants it.
  struct Home {
    std::int32_t parent = -1;  ///< the concatenation
    std::int64_t channel = 0;  ///< where it begins in it
  };
  /// What a primitive is given: memory of its own, or a place in the arena.
  struct Argument {
    int name;
    dnnl::memory::desc description;
    std::optional<Value> value{};
    dnnl::memory fixed{};
  };

  // Places.

  [[nodiscard]] const graph::Node& node(std::int32_t number) const {
    return graph_.nodes[static_cast<std::size_t>(number)];
  }
  [[nodiscard]] const Value& value(std::int32_t number) const { return *values_[static_cast<std::size_t>(number)]; }
  [[nodiscard]] float* data(const Value& value) {
    return arena_.data() + buffers_[value.buffer].offset / sizeof(float) + static_cast<std::size_t>(value.offset);
  }
  [[nodiscard]] Out place(const Value& value) { return {data(value), value.layout}; }
  void touch(const Value& value) { buffers_[value.buffer].last = std::max(buffers_[value.buffer].last, now_); }
  [[nodiscard]] Value new_bytes(std::size_t bytes) {
    buffers_.push_back({bytes, now_, now_, 0});
    tenants_.push_back(1);
    return {{}, buffers_.size() - 1, 0};
  }
  [[nodiscard]] Value new_value(const Layout& layout) {
    Value value = new_bytes(layout.bytes());
    value.layout = layout;
    return value;
  }

  void find_last_uses() {
    last_use_.assign(graph_.nodes.size(), -1);
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      for (const auto input : steps_[s].inputs) last_use_[static_cast<std::size_t>(input)] = static_cast<int>(s);
      for (const auto& extra : steps_[s].extras)
        if (const auto* add = std::get_if<AddValue>(&extra))
          last_use_[static_cast<std::size_t>(add->value)] = static_cast<int>(s);
    }
    last_use_[static_cast<std::size_t>(output_)] = static_cast<int>(steps_.size());
  }
  /// Gives the inputs of concatenations a place in them, where whole blocks of channels allow it. A single sample, since
  /// then such a part is as dense as a value of its own.
  void find_homes() {
    const std::int64_t block = native_block();
    for (const auto& step : steps_) {
      if (!std::holds_alternative<nn::op::Concat>(node(step.node).op)) continue;
      const Shape& shape = node(step.output).shape;
      if (shape[0] != 1 || shape.rank() < 4) continue;
      bool fits = true;
      for (std::size_t i = 0; i + 1 < step.inputs.size(); ++i)
        fits = fits && node(step.inputs[i]).shape[1] % block == 0;
      if (!fits) continue;
      forced_[static_cast<std::size_t>(step.output)] = block;
      std::int64_t channel = 0;
      for (const auto input : step.inputs) {
        const auto i = static_cast<std::size_t>(input);
        const bool taken =
            homes_[i].parent >= 0 || input == output_ || std::holds_alternative<nn::op::Input>(node(input).op);
        if (!taken) {
          homes_[i] = {step.output, channel};
          forced_[i] = block;
        }
        channel += node(input).shape[1];
      }
    }
  }

  /// The place of a value that has its home in a concatenation, which is made if it is the first there.
  [[nodiscard]] Value in_home(std::int32_t number) {
    const auto i = static_cast<std::size_t>(number);
    const Home home = homes_[i];
    const auto parent = static_cast<std::size_t>(home.parent);
    if (!values_[parent])
      values_[parent] =
          homes_[parent].parent >= 0 ? in_home(home.parent) : new_value({node(home.parent).shape, forced_[parent]});
    Value value = *values_[parent];
    value.layout.shape = node(number).shape;
    value.offset += home.channel * value.layout.voxels();
    ++tenants_[value.buffer];
    return value;
  }
  /// The place of a step's result: with the block that was fixed for it, else `block`.
  /// @param over  a value that the step may overwrite, if nobody needs it any more
  [[nodiscard]] Value new_output(const Step& step, std::int64_t block, std::optional<std::int32_t> over = {}) {
    const auto i = static_cast<std::size_t>(step.output);
    if (homes_[i].parent >= 0) return in_home(step.output);
    const Layout layout{node(step.output).shape, forced_[i] != 0 ? forced_[i] : block};
    if (over && last_use_[static_cast<std::size_t>(*over)] == now_) {
      const Value& old = value(*over);
      const bool is_input = std::holds_alternative<nn::op::Input>(node(*over).op);
      if (!is_input && tenants_[old.buffer] == 1 && old.layout == layout) return old;
    }
    return new_value(layout);
  }
  [[nodiscard]] std::int64_t block_for(const Step& step, std::int64_t otherwise) const {
    const std::int64_t forced = forced_[static_cast<std::size_t>(step.output)];
    return forced != 0 ? forced : otherwise;
  }
  void set_output(const Step& step, const Value& at) {
    values_[static_cast<std::size_t>(step.output)] = at;
    touch(at);
  }

  // Tasks.

  void add_task(const Step& step, const std::string& who, std::function<Task()> make) {
    lines_.push_back(node(step.node).name + ": " + who);
    makers_.push_back(std::move(make));
  }
  /// A kernel of ours: `kernel()` is called in each run.
  template <class Kernel>
  void add_kernel(const Step& step, const std::string& who, Kernel kernel) {
    add_task(step, who, [kernel = std::move(kernel)]() mutable -> Task {
      return [kernel = std::move(kernel)](const dnnl::stream&) mutable { kernel(); };
    });
  }
  void add_primitive(const Step& step, const std::string& who, const dnnl::primitive& primitive,
                     std::vector<Argument> arguments) {
    for (const auto& argument : arguments)
      if (argument.value) touch(*argument.value);
    add_task(step, who, [this, primitive, arguments = std::move(arguments)]() -> Task {
      std::unordered_map<int, dnnl::memory> given;
      for (const auto& argument : arguments)
        given.emplace(argument.name, argument.value
                                         ? dnnl::memory(argument.description, processor(), data(*argument.value))
                                         : argument.fixed);
      return [primitive, given = std::move(given)](const dnnl::stream& stream) { primitive.execute(stream, given); };
    });
  }
  [[nodiscard]] Argument scratchpad(const dnnl::memory::desc& description) {
    return {DNNL_ARG_SCRATCHPAD, description, new_bytes(std::max<std::size_t>(description.get_size(), 1)), {}};
  }
  [[nodiscard]] static dnnl::primitive_attr attributes(const dnnl::post_ops& operations = {}) {
    dnnl::primitive_attr out;
    out.set_post_ops(operations);
    out.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return out;
  }

  /// A value in another description, for this step alone.
  [[nodiscard]] Value reordered(const Step& step, const Value& from, const dnnl::memory::desc& wanted) {
    const Value to = new_bytes(wanted.get_size());
    const dnnl::memory::desc given = describe(from.layout);
    const dnnl::reorder::primitive_desc description(processor(), given, processor(), wanted, attributes());
    add_primitive(
        step, "reorder", dnnl::reorder(description),
        {{DNNL_ARG_FROM, given, from, {}}, {DNNL_ARG_TO, wanted, to, {}}, scratchpad(description.scratchpad_desc())});
    return to;
  }
  /// A value with another block, for this step alone.
  [[nodiscard]] Value with_block(const Step& step, const Value& from, std::int64_t block) {
    touch(from);
    if (from.layout.block == block) return from;
    const Layout layout{from.layout.shape, block};
    Value to = reordered(step, from, describe(layout));
    to.layout = layout;
    return to;
  }
  [[nodiscard]] Value input(const Step& step, std::size_t i, std::int64_t block) {
    return with_block(step, value(step.inputs[i]), block);
  }

  // Lowering. Each gives the value of `step.output`.

  void lower(const Step& step) {
    try {
      std::visit(
          [&]<class Operation>(const Operation& op) {
            static_assert(
                requires { lower(step, op); }, "ivado: the engine has no lowering for an operation of nn::Op");
            lower(step, op);
          },
          node(step.node).op);
    } catch (const dnnl::error& fault) {
      throw internal_error("compiling the layer " + node(step.node).name + " for oneDNN",
                           std::string(fault.what()) + ", for " + node(step.node).shape.text(),
                           "report it with the configuration of the model");
    }
  }
  void lower(const Step&, const nn::op::Input&) {}
  void lower(const Step&, const nn::op::Dropout&) {}

  void lower(const Step& step, const nn::op::Convolution& op) {
    if (const auto fast = winograd_shape(step, op)) return lower_winograd(step, op, *fast);
    const auto axes = static_cast<std::size_t>(op.dimension);
    const Window window(axes, op.kernel, op.stride, op.padding);
    dnnl::memory::dims shape{op.out, op.in};
    shape.insert(shape.end(), window.kernel.begin(), window.kernel.end());
    const auto of_out = static_cast<std::size_t>(parameters_[op.weight].size()) / static_cast<std::size_t>(op.out);
    convolve<dnnl::convolution_forward>(step, op.weight, op.bias, shape, strides_of(shape), of_out, window);
  }
  /// Winograd's loops for the number type, or null.
  [[nodiscard]] const WinogradKernels* winograd_loops() const {
    return precision_ == Precision::bf16 ? winograd_bf16_kernels() : winograd_kernels(native_block());
  }
  /// The convolution for Winograd's algorithm, where that is possible and pays.
  [[nodiscard]] std::optional<WinogradShape> winograd_shape(const Step& step, const nn::op::Convolution& op) const {
    const std::int64_t lanes = native_block();
    const bool fits = op.kernel == 3 && op.stride == 1 && op.padding <= 2 && op.in >= lanes && op.out >= lanes &&
                      winograd_loops() != nullptr;
    if (!fits) return std::nullopt;
    const Layout from{value(step.inputs[0]).layout.shape, lanes};
    const Layout to{node(step.output).shape, lanes};
    const int rank = from.shape.rank();
    const WinogradShape shape{.samples = from.samples(),
                              .in = from.padded_channels(),
                              .out = to.padded_channels(),
                              .depth = rank == 5 ? from.shape[2] : 1,
                              .height = from.shape[rank - 2],
                              .width = from.shape[rank - 1],
                              .taps = rank == 5 ? 3 : 1,
                              .padding = op.padding};
    // Whether it pays is asked of a sample by itself, so that what is computed beside a sample does not change its result.
    WinogradShape alone = shape;
    alone.samples = 1;
    const bool pays =
        precision_ == Precision::bf16 ? is_winograd_bf16_faster(alone, false) : is_winograd_faster(alone, false);
    return pays ? std::optional(shape) : std::nullopt;
  }
  template <class T>
  [[nodiscard]] static LaneView<T> lanes_of(T* data, const Layout& layout) {
    const int rank = layout.shape.rank();
    const std::int64_t row = layout.shape[rank - 1] * layout.block;
    return {data, layout.sample_stride(), layout.shape[rank - 2] * row,
            row,  layout.block,           layout.voxels() * layout.block};
  }
  void lower_winograd(const Step& step, const nn::op::Convolution& op, const WinogradShape& shape) {
    const std::int64_t lanes = native_block();
    const WinogradKernels& kernels = *winograd_loops();
    const nn::op::BatchNorm* const norm = step.folded ? &*step.folded : nullptr;
    const Value x = input(step, 0, lanes);
    const auto padded = [&](std::vector<float> values) {
      if (!values.empty()) values.resize(static_cast<std::size_t>(shape.out), 0);
      return values;
    };
    // What follows, as far as it can be done at once; the numbers and addends that its steps refer to are put in their places below.
    struct Follower {
      WinogradFinish::Step step;
      NormFactors factors{};
      std::optional<Value> addend{};
    };
    std::vector<Follower> followers;
    const bool at_once = std::none_of(step.extras.begin(), step.extras.end(), [](const Extra& extra) {
      const auto* activation = std::get_if<Activation>(&extra);
      return activation != nullptr && activation->kind == Activation::Kind::sigmoid;
    });
    for (const auto& extra : step.extras) {
      if (!at_once) break;
      if (const auto* activation = std::get_if<Activation>(&extra)) {
        followers.push_back({{.kind = WinogradFinish::Kind::leaky, .slope = activation->slope}});
      } else if (const auto* behind = std::get_if<nn::op::BatchNorm>(&extra)) {
        const NormFactors by = parameters_.factors(*behind);
        followers.push_back({{.kind = WinogradFinish::Kind::affine}, {padded(by.scale), padded(by.shift)}});
      } else {
        const Value addend = with_block(step, value(std::get<AddValue>(extra).value), lanes);
        touch(addend);
        followers.push_back({{.kind = WinogradFinish::Kind::add}, {}, addend});
      }
    }
    const Value to = new_output(step, lanes);  // no other block is ever fixed for a value
    touch(x);
    touch(to);
    add_kernel(step,
               std::string(kernels.pair == 2 ? "winograd in bf16" : "winograd") +
                   (norm != nullptr ? " with the norm in its weights" : "") +
                   (followers.empty() ? "" : " and " + std::to_string(followers.size()) + " more"),
               [this, x, to, shape, &kernels, weights = parameters_.winograd(op, norm, shape, kernels),
                bias = padded(parameters_.bias(op.bias, norm)), followers = std::move(followers)] {
                 WinogradFinish finish{.bias = bias.empty() ? nullptr : bias.data()};
                 for (const auto& follower : followers) {
                   finish.steps.push_back(follower.step);
                   finish.steps.back().scale = follower.factors.scale.data();
                   finish.steps.back().shift = follower.factors.shift.data();
                   if (follower.addend)
                     finish.steps.back().addend = lanes_of(data(*follower.addend), follower.addend->layout);
                 }
                 winograd_convolve(shape, kernels, lanes_of<const float>(data(x), x.layout), *weights, finish,
                                   lanes_of(data(to), to.layout));
               });
    if (!at_once) apply_extras(step, to);
    set_output(step, to);
  }
  void lower(const Step& step, const nn::op::TransposedConvolution& op) {
    const auto axes = static_cast<std::size_t>(op.dimension);
    const Window window(axes, op.kernel, op.kernel, 0);
    dnnl::memory::dims shape{op.in, op.out};
    shape.insert(shape.end(), window.kernel.begin(), window.kernel.end());
    dnnl::memory::dims strides = strides_of(shape);
    const auto of_out = static_cast<std::size_t>(strides[1]);
    std::swap(shape[0], shape[1]);
    std::swap(strides[0], strides[1]);
    convolve<dnnl::deconvolution_forward>(step, op.weight, op.bias, shape, strides, of_out, window);
  }
  [[nodiscard]] static dnnl::memory::dims strides_of(const dnnl::memory::dims& shape) {
    dnnl::memory::dims strides(shape.size(), 1);
    for (std::size_t i = shape.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * shape[i];
    return strides;
  }

  /// What a convolution does to its result, as oneDNN takes it.
  /// @param block  of the result
  [[nodiscard]] dnnl::post_ops post_ops(const Step& step, std::int64_t block) const {
    dnnl::post_ops out;
    for (const auto& extra : step.extras)
      if (const auto* activation = std::get_if<Activation>(&extra)) {
        if (activation->kind == Activation::Kind::sigmoid)
          append_eltwise(out, dnnl::algorithm::eltwise_logistic, 0);
        else
          append_eltwise(out, dnnl::algorithm::eltwise_relu, activation->slope);
      } else if (std::holds_alternative<nn::op::BatchNorm>(extra)) {
        out.append_binary(dnnl::algorithm::binary_mul, one_a_channel(step));
        out.append_binary(dnnl::algorithm::binary_add, one_a_channel(step));
      } else {
        out.append_binary(dnnl::algorithm::binary_add, describe({node(step.output).shape, block}));
      }
    return out;
  }
  /// The arguments of those post-ops.
  [[nodiscard]] std::vector<Argument> post_op_arguments(const Step& step, std::int64_t block) {
    std::vector<Argument> out;
    int place_in_list = 0;
    const auto name = [&] { return DNNL_ARG_ATTR_MULTIPLE_POST_OP(place_in_list++) | DNNL_ARG_SRC_1; };
    for (const auto& extra : step.extras)
      if (const auto* norm = std::get_if<nn::op::BatchNorm>(&extra)) {
        const NormFactors by = parameters_.factors(*norm);
        out.push_back(fixed(name(), one_a_channel(step), by.scale));
        out.push_back(fixed(name(), one_a_channel(step), by.shift));
      } else if (const auto* add = std::get_if<AddValue>(&extra)) {
        const Value addend = with_block(step, value(add->value), block);
        out.push_back({name(), describe(addend.layout), addend, {}});
      } else {
        ++place_in_list;
      }
    return out;
  }
  /// A number for each channel of a step's result.
  [[nodiscard]] dnnl::memory::desc one_a_channel(const Step& step) const {
    const Shape& shape = node(step.output).shape;
    Shape spread{1, shape[1]};
    while (spread.rank() < shape.rank()) spread.push_back(1);
    return describe({spread, 1});
  }
  /// An argument with memory of its own.
  [[nodiscard]] static Argument fixed(int name, const dnnl::memory::desc& description,
                                      const std::vector<float>& values) {
    dnnl::memory memory(description, processor());
    std::copy(values.begin(), values.end(), static_cast<float*>(memory.get_data_handle()));
    return {name, description, {}, memory};
  }
  [[nodiscard]] static bool adds(const Step& step) {
    return std::any_of(step.extras.begin(), step.extras.end(),
                       [](const Extra& extra) { return std::holds_alternative<AddValue>(extra); });
  }

  /// A convolution of either kind: with all that follows as post-ops in the layout that oneDNN likes best; where it has no
  /// fast implementation of that, plain or with the rest as passes of their own.
  template <class Primitive>
  void convolve(const Step& step, nn::ParameterId weight, nn::ParameterId bias_id, const dnnl::memory::dims& shape,
                const dnnl::memory::dims& strides, std::size_t out_stride, const Window& window) {
    using Type = dnnl::memory::data_type;
    using Description = typename Primitive::primitive_desc;
    const nn::op::BatchNorm* const norm = step.folded ? &*step.folded : nullptr;
    const Type type = precision_ == Precision::bf16 ? Type::bf16 : Type::f32;
    const Value& x = value(step.inputs[0]);
    const Shape& result = node(step.output).shape;
    const std::vector<float> bias = parameters_.bias(bias_id, norm);
    const dnnl::memory::desc bias_description =
        bias.empty() ? dnnl::memory::desc() : dnnl::memory::desc({result[1]}, Type::f32, dnnl::memory::format_tag::a);
    const dnnl::memory::desc any_weights(shape, type, dnnl::memory::format_tag::any);
    const std::int64_t forced = block_for(step, adds(step) ? native_block() : 0);
    std::optional<Description> best;
    Layout layout;
    bool with_extras = false;
    const auto offer = [&](std::int64_t block, std::int64_t source_block, bool extras) {
      if (best && !is_reference(*best)) return;
      try {
        const dnnl::memory::desc source =
            source_block == 0 ? describe_any(x.layout.shape, type) : describe({x.layout.shape, source_block}, type);
        const dnnl::memory::desc to = block == 0 ? describe_any(result) : describe({result, block});
        Description made =
            describe_convolution<Primitive>(source, any_weights, bias_description, to, window,
                                            attributes(extras ? post_ops(step, block) : dnnl::post_ops()));
        const auto chosen = layout_of(made.dst_desc(), result);
        if (!chosen || (best && is_reference(made))) return;
        best = std::move(made);
        layout = *chosen;
        with_extras = extras;
      } catch (const dnnl::error&) {  // no such implementation: the next offer
      }
    };
    const bool has_extras = !step.extras.empty();
    offer(forced, 0, has_extras);
    offer(native_block(), 0, has_extras);
    if (has_extras) offer(forced, 0, false);
    if (has_extras) offer(native_block(), 0, false);
    offer(1, 1, false);
    if (!best) throw internal_error("compiling the layer " + node(step.node).name, "oneDNN has no such convolution");
    std::vector<Argument> arguments;
    if (with_extras) arguments = post_op_arguments(step, layout.block);
    const bool direct = block_for(step, layout.block) == layout.block;
    Value from = x;
    if (best->src_desc() != describe(x.layout)) from = reordered(step, x, best->src_desc());
    Value to = direct ? new_output(step, layout.block) : new_value(layout);
    arguments.push_back({DNNL_ARG_SRC, best->src_desc(), from, {}});
    arguments.push_back({DNNL_ARG_DST, best->dst_desc(), to, {}});
    arguments.push_back(scratchpad(best->scratchpad_desc()));
    arguments.push_back({DNNL_ARG_WEIGHTS,
                         best->weights_desc(),
                         {},
                         parameters_.packed(weight, norm, {shape, Type::f32, strides}, out_stride,
                                            static_cast<std::size_t>(result[1]), best->weights_desc())});
    if (!bias.empty()) arguments.push_back(fixed(DNNL_ARG_BIAS, bias_description, bias));
    add_primitive(step,
                  std::string(best->impl_info_str()) + (norm != nullptr ? " with the norm in its weights" : "") +
                      (with_extras ? " and " + std::to_string(step.extras.size()) + " more" : ""),
                  Primitive(*best), std::move(arguments));
    if (!with_extras) apply_extras(step, to);
    if (!direct) {
      const Value moved = new_output(step, layout.block);
      copy_to(step, to, moved);
      to = moved;
    }
    set_output(step, to);
  }
  /// What follows an operation, as passes over its result.
  void apply_extras(const Step& step, const Value& at) {
    std::size_t i = 0;
    const auto next = [&]<class Kind>(std::type_identity<Kind>) -> const Kind* {
      const Kind* found = i < step.extras.size() ? std::get_if<Kind>(&step.extras[i]) : nullptr;
      if (found != nullptr) ++i;
      return found;
    };
    while (i < step.extras.size()) {
      const auto* norm = next(std::type_identity<nn::op::BatchNorm>{});
      const auto* add = next(std::type_identity<AddValue>{});
      const auto* activation = next(std::type_identity<Activation>{});
      ChannelAffine affine;
      if (norm != nullptr) affine = affine_of(*norm, at.layout);
      std::optional<Value> addend;
      if (add != nullptr) addend = with_block(step, value(add->value), at.layout.block);
      add_pointwise(step, at, addend, activation == nullptr ? Activation{} : *activation, at,
                    [affine = std::move(affine)]() -> const ChannelAffine& { return affine; });
    }
  }
  [[nodiscard]] ChannelAffine affine_of(const nn::op::BatchNorm& norm, const Layout& layout) const {
    NormFactors by = parameters_.factors(norm);
    by.scale.resize(static_cast<std::size_t>(layout.padded_channels()), 1);
    by.shift.resize(static_cast<std::size_t>(layout.padded_channels()), 0);
    return {std::move(by.scale), std::move(by.shift), false};
  }
  /// @param affine  gives a `const ChannelAffine&` in each run
  template <class Affine>
  void add_pointwise(const Step& step, const Value& x, const std::optional<Value>& addend, const Activation& activation,
                     const Value& to, Affine affine) {
    touch(x);
    if (addend) touch(*addend);
    add_kernel(step, "pointwise", [this, x, addend, activation, to, affine = std::move(affine)]() mutable {
      const In added = addend ? In(place(*addend)) : In{};
      pointwise(place(x), affine(), added, activation, place(to));
    });
  }
  /// A step that is one pass: `affine(x)` is asked for the function that gives the factors.
  template <class MakeAffine>
  void pass(const Step& step, const Activation& own, std::optional<std::int32_t> added, const MakeAffine& make_affine) {
    Activation activation = own;
    for (const auto& extra : step.extras)
      if (const auto* add = std::get_if<AddValue>(&extra))
        added = add->value;
      else
        activation = std::get<Activation>(extra);
    const std::int64_t block = block_for(step, value(step.inputs[0]).layout.block);
    const Value x = input(step, 0, block);
    std::optional<Value> addend;
    if (added) addend = with_block(step, value(*added), block);
    const Value to = new_output(step, block, step.inputs[0]);
    add_pointwise(step, x, addend, activation, to, make_affine(x));
    set_output(step, to);
  }
  static constexpr auto no_affine = [](const Value&) {
    return [nothing = ChannelAffine{}]() -> const ChannelAffine& { return nothing; };
  };
  void activate(const Step& step) { pass(step, *as_activation(node(step.node).op), {}, no_affine); }
  void lower(const Step& step, const nn::op::Relu&) { activate(step); }
  void lower(const Step& step, const nn::op::LeakyRelu&) { activate(step); }
  void lower(const Step& step, const nn::op::Sigmoid&) { activate(step); }
  void lower(const Step& step, const nn::op::Add&) { pass(step, {}, step.inputs[1], no_affine); }
  void lower(const Step& step, const nn::op::BatchNorm& op) {
    pass(step, {}, {}, [&](const Value& x) {
      return [affine = affine_of(op, x.layout)]() -> const ChannelAffine& { return affine; };
    });
  }
  void lower(const Step& step, const nn::op::InstanceNorm& op) {
    const bool is_affine = op.weight != nn::no_parameter;
    const auto copied = [&](nn::ParameterId id) {
      return is_affine ? std::vector<float>(parameters_[id].begin(), parameters_[id].end()) : std::vector<float>();
    };
    pass(step, {}, {}, [&](const Value& x) {
      return [this, x, epsilon = op.epsilon, weight = copied(op.weight), bias = copied(op.bias),
              affine = ChannelAffine(), statistics = ChannelMoments()]() mutable -> const ChannelAffine& {
        statistics.compute(place(x));
        affine.reset(x.layout, true);
        const auto padded = static_cast<std::size_t>(x.layout.padded_channels());
        for (std::size_t k = 0; k < affine.scale.size(); ++k) {
          const std::size_t c = k % padded;
          const double scale =
              (c < weight.size() ? static_cast<double>(weight[c]) : 1.0) / std::sqrt(statistics.variance[k] + epsilon);
          affine.scale[k] = static_cast<float>(scale);
          affine.shift[k] =
              static_cast<float>((c < bias.size() ? static_cast<double>(bias[c]) : 0.0) - scale * statistics.mean[k]);
        }
        return affine;
      };
    });
  }
  void lower(const Step& step, const nn::op::Modulate& op) {
    const Value factors = input(step, 1, 1);
    pass(step, {}, {}, [&](const Value& x) {
      return
          [this, x, factors, around_one = op.around_one, affine = ChannelAffine()]() mutable -> const ChannelAffine& {
            affine.reset(x.layout, true);
            const std::int64_t channels = x.layout.channels();
            const float* from = data(factors);
            for (std::int64_t n = 0; n < x.layout.samples(); ++n, from += 2 * channels)
              for (std::int64_t c = 0; c < channels; ++c) {
                const auto k = static_cast<std::size_t>(n * x.layout.padded_channels() + c);
                affine.scale[k] = from[c] + (around_one ? 1.0F : 0.0F);
                affine.shift[k] = from[channels + c];
              }
            return affine;
          };
    });
  }

  /// A kernel from one value to one with the same block.
  /// @param may_overwrite  works in place
  template <class Kernel>
  void map(const Step& step, const std::string& who, bool may_overwrite, const Kernel& kernel) {
    const std::int64_t block = block_for(step, value(step.inputs[0]).layout.block);
    const Value x = input(step, 0, block);
    const Value to = may_overwrite ? new_output(step, block, step.inputs[0]) : new_output(step, block);
    add_kernel(step, who, [this, x, to, kernel]() mutable { kernel(place(x), place(to)); });
    set_output(step, to);
  }
  void lower(const Step& step, const nn::op::Softmax&) {
    map(step, "softmax", true, [](const In& x, const Out& out) { softmax(x, out); });
  }
  void lower(const Step& step, const nn::op::DivideByMax& op) {
    map(step, "divide by the maximum", true,
        [whole = op.whole_batch](const In& x, const Out& out) { divide_by_max(x, whole, out); });
  }
  void lower(const Step& step, const nn::op::DivideByChannelSum&) {
    map(step, "divide by the sum", true, [](const In& x, const Out& out) { divide_by_channel_sum(x, out); });
  }
  void lower(const Step& step, const nn::op::ResizeLike&) {
    std::vector<ResizeAxis> axes;
    const Shape& from = node(step.inputs[0]).shape;
    for (int axis = 2; axis < from.rank(); ++axis)
      axes.push_back(ResizeAxis::linear(from[axis], node(step.output).shape[axis]));
    map(step, "resize", false, [axes](const In& x, const Out& out) { resize(x, axes, out); });
  }
  void lower(const Step& step, const nn::op::Upsample& op) {
    std::vector<ResizeAxis> axes;
    const Shape& from = node(step.inputs[0]).shape;
    for (int axis = 2; axis < from.rank(); ++axis) axes.push_back(ResizeAxis::repeat(from[axis], op.factor));
    map(step, "repeat", false, [axes](const In& x, const Out& out) { resize(x, axes, out); });
  }
  void lower(const Step& step, const nn::op::Multiply&) {
    const std::int64_t block = block_for(step, value(step.inputs[0]).layout.block);
    const Value x = input(step, 0, block);
    const Value& second = value(step.inputs[1]);
    const bool one_channel = second.layout.channels() == 1 && x.layout.channels() > 1;
    const Value factor = with_block(step, second, one_channel ? second.layout.block : block);
    const Value to = new_output(step, block, step.inputs[0]);
    add_kernel(step, "multiply", [this, x, factor, to] { multiply(place(x), place(factor), place(to)); });
    set_output(step, to);
  }

  void pool(const Step& step, dnnl::algorithm algorithm, const Window& window) {
    const std::int64_t block = block_for(step, value(step.inputs[0]).layout.block);
    const Value x = input(step, 0, block);
    const Value to = new_output(step, block);
    const auto description = describe_pooling(algorithm, describe(x.layout), describe(to.layout), window, attributes());
    add_primitive(step, description.impl_info_str(), dnnl::pooling_forward(description),
                  {{DNNL_ARG_SRC, description.src_desc(), x, {}},
                   {DNNL_ARG_DST, description.dst_desc(), to, {}},
                   scratchpad(description.scratchpad_desc())});
    set_output(step, to);
  }
  [[nodiscard]] std::size_t spatial_axes(const Step& step) const {
    return static_cast<std::size_t>(node(step.node).shape.rank() - 2);
  }
  void lower(const Step& step, const nn::op::MaxPool& op) {
    pool(step, dnnl::algorithm::pooling_max, {spatial_axes(step), op.kernel, op.stride, op.padding});
  }
  void lower(const Step& step, const nn::op::AveragePool& op) {
    pool(step, dnnl::algorithm::pooling_avg_exclude_padding, {spatial_axes(step), op.kernel, op.kernel, 0});
  }
  void lower(const Step& step, const nn::op::GlobalAveragePool&) {
    const Value x = value(step.inputs[0]);
    touch(x);
    const Value to = new_output(step, 1);
    add_kernel(step, "mean", [this, x, to, statistics = ChannelMoments()]() mutable {
      statistics.compute(place(x));
      const Out out = place(to);
      for (std::int64_t n = 0; n < x.layout.samples(); ++n)
        for (std::int64_t c = 0; c < x.layout.channels(); ++c)
          out.data[n * x.layout.channels() + c] =
              static_cast<float>(statistics.mean[static_cast<std::size_t>(n * x.layout.padded_channels() + c)]);
    });
    set_output(step, to);
  }
  void lower(const Step& step, const nn::op::Linear& op) {
    const Value x = input(step, 0, 1);
    const Value to = new_output(step, 1);
    Activation activation;
    for (const auto& extra : step.extras) activation = std::get<Activation>(extra);
    add_kernel(step, "linear", [this, x, to, op, activation] {
      linear(place(x), parameters_[op.weight], parameters_[op.bias], activation, place(to));
    });
    set_output(step, to);
  }

  void copy_to(const Step& step, const Value& from, const Value& to, std::int64_t from_channel = 0,
               std::int64_t to_channel = 0) {
    touch(from);
    touch(to);
    const std::int64_t count = std::min(from.layout.channels() - from_channel, to.layout.channels() - to_channel);
    add_kernel(step, "copy", [this, from, to, from_channel, to_channel, count] {
      copy_channels(place(from), from_channel, count, place(to), to_channel);
    });
  }
  void lower(const Step& step, const nn::op::SelectChannels& op) {
    Value x = value(step.inputs[0]);
    touch(x);
    const std::int64_t count = node(step.output).shape[1];
    const std::int64_t block = x.layout.block;
    const bool has_home = homes_[static_cast<std::size_t>(step.output)].parent >= 0;
    const bool whole_blocks = op.first % block == 0 && (count % block == 0 || op.first + count == x.layout.channels());
    if (whole_blocks && !has_home && x.layout.samples() == 1 && block_for(step, block) == block) {
      x.offset += op.first * x.layout.voxels();
      x.layout.shape[1] = count;
      ++tenants_[x.buffer];
      return set_output(step, x);
    }
    const Value to = new_output(step, block);
    copy_to(step, x, to, op.first, 0);
    set_output(step, to);
  }
  void lower(const Step& step, const nn::op::Concat&) {
    std::int64_t block = value(step.inputs[0]).layout.block;
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const Layout& layout = value(step.inputs[i]).layout;
      if (layout.block != block || (i + 1 < step.inputs.size() && layout.channels() % block != 0)) block = 1;
    }
    const auto i = static_cast<std::size_t>(step.output);
    const Value to = values_[i] ? *values_[i] : new_output(step, block);
    std::int64_t channel = 0;
    for (const auto number : step.inputs) {
      touch(value(number));
      const Home& home = homes_[static_cast<std::size_t>(number)];
      if (home.parent != step.output || home.channel != channel) copy_to(step, value(number), to, 0, channel);
      channel += node(number).shape[1];
    }
    set_output(step, to);
  }
  void lower(const Step& step, const nn::op::Moments&) {
    const std::int64_t channels = node(step.inputs[1]).shape[1];
    std::int64_t block = value(step.inputs[1]).layout.block;
    if (channels % block != 0) block = 1;
    const Value presence = input(step, 0, 1);
    std::vector<Value> parts;
    for (std::size_t k = 1; k < step.inputs.size(); ++k) parts.push_back(input(step, k, block));
    const bool direct = block_for(step, block) == block;
    const Value to = direct ? new_output(step, block) : new_value({node(step.output).shape, block});
    add_kernel(step, "moments", [this, presence, parts, to] {
      std::vector<In> from;
      for (const auto& part : parts) from.push_back(place(part));
      moments(place(presence), from, place(to));
    });
    Value moved = to;
    if (!direct) {
      moved = new_output(step, block);
      copy_to(step, to, moved);
    }
    set_output(step, moved);
  }

  graph::Graph graph_;
  Parameters& parameters_;
  Precision precision_;
  int threads_;
  std::vector<Step> steps_;
  std::int32_t output_ = 0;
  std::vector<std::int32_t> inputs_;
  std::vector<std::optional<Value>> values_;  // of each node
  std::vector<std::int64_t> forced_;          // block that a node's value must have; 0: any
  std::vector<Home> homes_;
  std::vector<int> last_use_;
  std::vector<Buffer> buffers_;
  std::vector<int> tenants_;  // values in each buffer
  std::int32_t now_ = 0;      // the step that is lowered
  std::vector<std::function<Task()>> makers_;
  std::vector<std::string> lines_;
  std::size_t bytes_ = 0;
  LineBuffer arena_;
  std::vector<Task> tasks_;
  dnnl::stream stream_{processor()};
};

}  // namespace ivado::engine
