// What computes the operations of a network that is trained or run on LibTorch: a policy, chosen when a program is
// compiled.
#pragma once

#include <concepts>
#include <string_view>

#include "torch_interpreter.hpp"

namespace ivado {

/// Chooses the interpreter on `at::Tensor`.
///
/// Requirements: `Interpreter`, a `nn::TorchInterpreter` or a class derived from it with the same constructors, and
/// `backend_name`.
/// Law: it computes the same function and the same gradients as `nn::TorchInterpreter`, up to the rounding of float32.
/// Models: LibTorchBackend, OneDnnBackend.
template <class T>
concept Backend = std::derived_from<typename T::Interpreter, nn::TorchInterpreter> &&
    nn::Interpreter<typename T::Interpreter> && requires {
  { T::backend_name } -> std::convertible_to<std::string_view>;
};

/// LibTorch's own layers: the reference.
struct LibTorchBackend {
  using Interpreter = nn::TorchInterpreter;
  static constexpr std::string_view backend_name = "LibTorch";
};

static_assert(Backend<LibTorchBackend>);

}  // namespace ivado
