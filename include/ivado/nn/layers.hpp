// Layers: function objects that a model is built from. A layer holds the places of its parameters, never their values,
// and hands its operation to the interpreter that the forward runs on.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "../inline.hpp"
#include "op.hpp"
#include "parameter.hpp"

namespace ivado::nn {

/// Gives operations their meaning.
///
/// Requirements: a type `Value`, and `Value apply(const op::X&, std::span<const Value> inputs)` for each operation.
/// Law: for the same parameters every interpreter computes the same function as `TorchInterpreter` (up to rounding).
/// Models: TorchInterpreter (LibTorch), graph::Recorder (records a graph). Optional: `normalize`, see `NormStep`.
template <class On>
concept Interpreter = requires(On& on, const op::Convolution& convolution, const op::Concat& concat,
                               std::span<const typename On::Value> inputs) {
  { on.apply(convolution, inputs) } -> std::same_as<typename On::Value>;
  { on.apply(concat, inputs) } -> std::same_as<typename On::Value>;
};

/// Applies one operation to its inputs.
template <Interpreter On, class Operation, std::same_as<typename On::Value>... Inputs>
[[nodiscard]] typename On::Value apply(On& on, const Operation& operation, const Inputs&... inputs) {
  const std::array<typename On::Value, sizeof...(Inputs)> list{inputs...};
  return on.apply(operation, std::span<const typename On::Value>(list));
}

/// Where a layer stands in its network while that is built: a list to add parameters to, and the prefix of their names.
class Scope {
 public:
  explicit Scope(ParameterList& list) : list_(&list) {}
  /// The scope of a child: `scope.child("encoder")`.
  [[nodiscard]] IVADO_INLINE Scope child(const std::string& name) const {
    Scope inner = *this;
    inner.prefix_ += name + ".";
    return inner;
  }
  /// The scope of a child with a number for a name.
  [[nodiscard]] Scope child(int number) const { return child(std::to_string(number)); }
  /// Adds a tensor under this prefix.
  IVADO_INLINE ParameterId add(const std::string& name, const Shape& shape, InitialValues init,
                               Role role = Role::weight) const {
    return list_->add({prefix_ + name, shape, init, role});
  }
  /// Adds another name for an earlier tensor.
  IVADO_INLINE void add_alias(const std::string& name, ParameterId of) const {
    ParameterSpec spec = (*list_)[of];
    spec.name = prefix_ + name;
    spec.shared_with = of;
    list_->add(std::move(spec));
  }
  /// The number of a dropout in this network.
  [[nodiscard]] int add_dropout() const { return list_->add_dropout(); }

 private:
  ParameterList* list_;
  std::string prefix_;
};

/// What a convolution is made of besides its channels.
struct ConvolutionOptions {
  int dimension = 2;        ///< spatial axes
  std::int64_t kernel = 3;  ///< along each of them
  std::int64_t stride = 1;
  std::int64_t padding = -1;  ///< zeros on each side; -1: half a kernel, which keeps the size of an odd one at stride 1
  bool bias = true;
  std::optional<Init> init;  ///< of the weight; by default uniform as in PyTorch. `kaiming_normal` uses the fan-in
  bool fan_out = false;      ///< `kaiming_normal` uses the fan-out instead
  double gain = 1;           ///< factor of `xavier_uniform`
};

/// Convolution with the parameters `weight` [out, in, kernel…] and `bias` [out].
class Convolution {
 public:
  /// @param scope  its parameters are added under it
  IVADO_INLINE Convolution(const Scope& scope, std::int64_t in, std::int64_t out,
                           const ConvolutionOptions& options = {}) {
    Shape shape{out, in};
    std::int64_t elements = 1;
    for (int axis = 0; axis < options.dimension; ++axis) {
      shape.push_back(options.kernel);
      elements *= options.kernel;
    }
    const auto fan_in = static_cast<double>(in * elements);
    const auto fan_out = static_cast<double>(out * elements);
    InitialValues init(options.init.value_or(Init::fan_in_uniform), fan_in, options.gain);
    if (init.kind == Init::xavier_uniform) init.fan = fan_in + fan_out;
    if (init.kind == Init::kaiming_normal && options.fan_out) init.fan = fan_out;
    op_.dimension = options.dimension;
    op_.weight = scope.add("weight", shape, init);
    if (options.bias) op_.bias = scope.add("bias", {out}, {Init::fan_in_uniform, fan_in});
    op_.in = in;
    op_.out = out;
    op_.kernel = options.kernel;
    op_.stride = options.stride;
    op_.padding = options.padding < 0 ? options.kernel / 2 : options.padding;
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op_, x);
  }
  [[nodiscard]] const op::Convolution& operation() const noexcept { return op_; }

 private:
  op::Convolution op_;
};

/// Transposed convolution that enlarges each spatial axis `kernel` times: `weight` [in, out, kernel…], `bias` [out].
class TransposedConvolution {
 public:
  IVADO_INLINE TransposedConvolution(const Scope& scope, int dimension, std::int64_t in, std::int64_t out,
                                     std::int64_t kernel = 2) {
    Shape shape{in, out};
    for (int axis = 0; axis < dimension; ++axis) shape.push_back(kernel);
    const auto fan = static_cast<double>(shape.size() / in);  // PyTorch counts the second axis
    op_ = {dimension,
           scope.add("weight", shape, {Init::fan_in_uniform, fan}),
           scope.add("bias", {out}, {Init::fan_in_uniform, fan}),
           in,
           out,
           kernel};
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op_, x);
  }

 private:
  op::TransposedConvolution op_;
};

/// Linear layer on [N, in]: `weight` [out, in], `bias` [out].
class Linear {
 public:
  /// @param shared_weight  an earlier layer's weight that serves here as well, under a name of its own
  IVADO_INLINE Linear(const Scope& scope, std::int64_t in, std::int64_t out, ParameterId shared_weight = no_parameter) {
    const InitialValues init(Init::fan_in_uniform, static_cast<double>(in));
    if (shared_weight == no_parameter)
      op_.weight = scope.add("weight", {out, in}, init);
    else
      scope.add_alias("weight", op_.weight = shared_weight);
    op_.bias = scope.add("bias", {out}, init);
    op_.in = in;
    op_.out = out;
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op_, x);
  }
  [[nodiscard]] const op::Linear& operation() const noexcept { return op_; }

 private:
  op::Linear op_;
};

/// ReLU, or leaky ReLU where the slope is not 0.
struct Activation {
  double slope = 0;

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return slope == 0 ? apply(on, op::Relu{}, x) : apply(on, op::LeakyRelu{slope}, x);
  }
};

/// The operation of a norm.
using NormOperation = std::variant<op::BatchNorm, op::InstanceNorm>;

/// A norm with what stands around it.
///
/// The one place that a backend may compute as a whole: an interpreter with a member `normalize(const NormStep&, x)` is
/// given the step instead of its operations.
struct NormStep {
  NormOperation norm;
  std::optional<Activation> before{};    ///< in front of the norm; none where empty
  std::optional<Activation> after{};     ///< behind the norm; none where empty
  const op::Dropout* dropout = nullptr;  ///< behind it all; none where null

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    if constexpr (requires { on.normalize(*this, x); })
      return on.normalize(*this, x);
    else
      return one_by_one(on, x);
  }
  /// One operation after the other.
  template <Interpreter On>
  [[nodiscard]] typename On::Value one_by_one(On& on, const typename On::Value& x) const {
    typename On::Value y = before ? (*before)(on, x) : x;
    y = std::visit([&](const auto& operation) { return apply(on, operation, y); }, norm);
    if (after) y = (*after)(on, y);
    return dropout != nullptr ? apply(on, *dropout, y) : y;
  }
};

/// A kind of normalisation.
enum class NormKind {
  batch,            ///< affine, with running statistics
  instance,         ///< without parameters, as ivadomed has it in 3-D
  affine_instance,  ///< with a weight and a bias
};

/// Normalisation of feature maps.
class Norm {
 public:
  /// @param deviation  of the first weights around 1
  IVADO_INLINE Norm(const Scope& scope, NormKind kind, std::int64_t channels, double momentum = 0.1,
                    double deviation = 0) {
    const auto weight = [&] {
      return scope.add("weight", {channels},
                       deviation > 0 ? InitialValues(Init::normal_around_one, 1, deviation) : Init::ones);
    };
    if (kind == NormKind::batch) {
      op::BatchNorm batch;
      batch.weight = weight();
      batch.bias = scope.add("bias", {channels}, Init::zeros);
      batch.running_mean = scope.add("running_mean", {channels}, Init::zeros, Role::buffer);
      batch.running_variance = scope.add("running_var", {channels}, Init::ones, Role::buffer);
      batch.batches = scope.add("num_batches_tracked", {}, Init::zeros, Role::counter);
      batch.momentum = momentum;
      op_ = batch;
    } else {
      op::InstanceNorm instance;
      if (kind == NormKind::affine_instance) {
        instance.weight = weight();
        instance.bias = scope.add("bias", {channels}, Init::zeros);
      }
      op_ = instance;
    }
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return NormStep{op_}(on, x);
  }
  [[nodiscard]] const NormOperation& operation() const noexcept { return op_; }

 private:
  NormOperation op_;
};

/// Dropout with a number of its own; nothing where the rate is 0.
class Dropout {
 public:
  Dropout(const Scope& scope, double rate, bool whole_channels = true)
      : op_{rate, scope.add_dropout(), whole_channels} {}
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op_, x);
  }
  [[nodiscard]] const op::Dropout& operation() const noexcept { return op_; }

 private:
  op::Dropout op_;
};

/// The order of the parts of a block. Dropout comes last in the first two.
enum class BlockOrder {
  convolution_activation_norm,  ///< ivadomed's U-Nets
  convolution_norm_activation,  ///< most others
  norm_activation_convolution,  ///< before the convolution; dropout stands before it all
};

/// What a block is made of.
struct BlockOptions {
  ConvolutionOptions convolution{};
  NormKind norm = NormKind::batch;
  double momentum = 0.1;
  double slope = 0;         ///< of the activation for negative values: 0 is ReLU
  double dropout_rate = 0;  ///< of whole channels
  BlockOrder order = BlockOrder::convolution_norm_activation;
};

/// Convolution, norm, activation and dropout of whole channels.
class Block {
 public:
  /// @param scope  the parent; `convolution_name` and `norm_name` name the children in it
  IVADO_INLINE Block(const Scope& scope, const std::string& convolution_name, const std::string& norm_name,
                     std::int64_t in, std::int64_t out, const BlockOptions& options)
      : convolution(scope.child(convolution_name), in, out, options.convolution),
        norm(scope.child(norm_name), options.norm, options.order == BlockOrder::norm_activation_convolution ? in : out,
             options.momentum),
        activation{options.slope},
        dropout(scope, options.dropout_rate),
        order(options.order) {}

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    switch (order) {
      case BlockOrder::convolution_activation_norm:
        return NormStep{norm.operation(), activation, {}, &dropout.operation()}(on, convolution(on, x));
      case BlockOrder::convolution_norm_activation:
        return NormStep{norm.operation(), {}, activation, &dropout.operation()}(on, convolution(on, x));
      case BlockOrder::norm_activation_convolution:
        break;
    }
    return convolution(on, NormStep{norm.operation(), {}, activation}(on, dropout(on, x)));
  }

  Convolution convolution;
  Norm norm;
  Activation activation;
  Dropout dropout;
  BlockOrder order;
};

/// A FiLM layer: three linear layers make γ and β of the metadata, which scale and shift the channels.
///
/// Perez et al. 2018 (arXiv:1709.07871), with ivadomed's generator: K → 64 → 16 → 2C, sigmoids between. All FiLM layers
/// of a network share the weights of the first two linear layers; ivadomed does so from its first forward on.
/// ivadomed puts a sigmoid behind the last layer as well, so that a layer can only attenuate and shift up
/// (known-problems B4.5): `as_ivadomed` does so; otherwise γ is 1 plus the linear output.
class FilmLayer {
 public:
  /// The weights of the first two linear layers, which all FiLM layers of a network share.
  struct SharedWeights {
    ParameterId linear1;
    ParameterId linear2;
  };

  /// @param scope   the layer's; its parameters are `generator.linear1.weight` and so on
  /// @param shared  of the first FiLM layer of the network; nothing if this is it
  IVADO_INLINE FilmLayer(const Scope& scope, std::int64_t conditions, std::int64_t channels,
                         const std::optional<SharedWeights>& shared, bool as_ivadomed)
      : linear1_(scope.child("generator").child("linear1"), conditions, 64, shared ? shared->linear1 : no_parameter),
        linear2_(scope.child("generator").child("linear2"), 64, 16, shared ? shared->linear2 : no_parameter),
        linear3_(scope.child("generator").child("linear3"), 16, 2 * channels),
        as_ivadomed_(as_ivadomed) {}

  [[nodiscard]] IVADO_INLINE SharedWeights shared_weights() const noexcept {
    return {linear1_.operation().weight, linear2_.operation().weight};
  }

  /// @param condition  [N, conditions]
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x,
                                              const typename On::Value& condition) const {
    auto hidden = apply(on, op::Sigmoid{}, linear1_(on, condition));
    hidden = apply(on, op::Sigmoid{}, linear2_(on, hidden));
    auto scale_shift = linear3_(on, hidden);
    if (as_ivadomed_) scale_shift = apply(on, op::Sigmoid{}, scale_shift);
    return apply(on, op::Modulate{!as_ivadomed_}, x, scale_shift);
  }

 private:
  Linear linear1_;
  Linear linear2_;
  Linear linear3_;
  bool as_ivadomed_;
};

}  // namespace ivado::nn
