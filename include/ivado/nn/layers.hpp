// Layers: function objects that a model is built from. A layer holds the places of its parameters, never their values,
// and hands its operation to the interpreter that the forward runs on.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "op.hpp"
#include "parameter.hpp"

namespace ivado::nn {

/// Gives operations their meaning.
///
/// Requirements: a type `Value`, and `Value apply(const op::X&, std::span<const Value> inputs)` for each operation.
/// Law: for the same parameters every interpreter computes the same function as `TorchInterpreter` (up to rounding).
/// Models: TorchInterpreter (LibTorch, with gradients), graph::Recorder (records a graph).
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
  [[nodiscard]] Scope child(const std::string& name) const {
    Scope inner = *this;
    inner.prefix_ += name + ".";
    return inner;
  }
  /// Adds a tensor under this prefix.
  ParameterId add(const std::string& name, const Shape& shape, Init init, Role role = Role::weight,
                  std::int64_t fan_in = 1) const {
    return list_->add({prefix_ + name, shape, init, role, fan_in});
  }

 private:
  ParameterList* list_;
  std::string prefix_;
};

/// Convolution in `Dim` spatial dimensions with bias; padding keeps the size for an odd kernel and stride 1.
template <int Dim>
class Convolution {
 public:
  /// @param scope  `weight` [out, in, kernel…] and `bias` [out] are added under it
  Convolution(const Scope& scope, std::int64_t in, std::int64_t out, std::int64_t kernel = 3) {
    Shape shape{out, in};
    std::int64_t fan_in = in;
    for (int axis = 0; axis < Dim; ++axis) {
      shape.push_back(kernel);
      fan_in *= kernel;
    }
    op_ = {Dim,
           scope.add("weight", shape, Init::fan_in_uniform, Role::weight, fan_in),
           scope.add("bias", {out}, Init::fan_in_uniform, Role::weight, fan_in),
           in,
           out,
           kernel,
           1,
           kernel / 2};
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op_, x);
  }
  [[nodiscard]] const op::Convolution& operation() const noexcept { return op_; }

 private:
  op::Convolution op_;
};

/// Normalisation of the U-Nets: batch norm in 2-D; in 3-D instance norm without parameters, as ivadomed has it.
template <int Dim>
class Norm;

template <>
class Norm<2> {
 public:
  Norm(const Scope& scope, std::int64_t channels, double momentum) {
    op_.weight = scope.add("weight", {channels}, Init::ones);
    op_.bias = scope.add("bias", {channels}, Init::zeros);
    op_.running_mean = scope.add("running_mean", {channels}, Init::zeros, Role::buffer);
    op_.running_variance = scope.add("running_var", {channels}, Init::ones, Role::buffer);
    op_.batches = scope.add("num_batches_tracked", {}, Init::zeros, Role::counter);
    op_.momentum = momentum;
  }
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op_, x);
  }
  [[nodiscard]] const op::BatchNorm& operation() const noexcept { return op_; }

 private:
  op::BatchNorm op_;
};

template <>
class Norm<3> {
 public:
  Norm(const Scope&, std::int64_t, double) {}
  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    return apply(on, op_, x);
  }
  [[nodiscard]] const op::InstanceNorm& operation() const noexcept { return op_; }

 private:
  op::InstanceNorm op_;
};

/// Convolution, ReLU, norm, dropout of whole channels, in this order (ivadomed's; activation before norm).
///
/// The one place that a backend may replace as a whole: an interpreter with a member `block(const Block<Dim>&, x)` is
/// given the block instead of its four operations.
template <int Dim>
class Block {
 public:
  /// @param scope  the parent; `conv_name` and `norm_name` name the children in it
  Block(const Scope& scope, const std::string& conv_name, const std::string& norm_name, std::int64_t in,
        std::int64_t out, double dropout_rate, double momentum, int dropout_place)
      : convolution(scope.child(conv_name), in, out),
        norm(scope.child(norm_name), out, momentum),
        dropout{dropout_rate, dropout_place} {}

  template <Interpreter On>
  [[nodiscard]] typename On::Value operator()(On& on, const typename On::Value& x) const {
    if constexpr (requires { on.block(*this, x); }) {
      return on.block(*this, x);
    } else {
      return apply(on, dropout, norm(on, apply(on, op::Relu{}, convolution(on, x))));
    }
  }

  Convolution<Dim> convolution;
  Norm<Dim> norm;
  op::ChannelDropout dropout;
};

}  // namespace ivado::nn
