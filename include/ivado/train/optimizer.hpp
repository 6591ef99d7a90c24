// Optimisers.
#pragma once

#include <torch/optim/adam.h>

#include <concepts>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"

namespace ivado {

/// Changes tensors by their gradients.
///
/// Requirements: `Params`, `name`, a constructor from (Params, tensors), `zero_gradients()` and `step(learning_rate)`.
/// Law: a step with learning rate 0 changes no tensor.
/// Models: Adam.
template <class T>
concept Optimizer = std::constructible_from<T, typename T::Params, std::vector<at::Tensor>> &&
    requires(T& optimizer, double rate) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  optimizer.zero_gradients();
  optimizer.step(rate);
};

/// Adam (Kingma and Ba 2015, arXiv:1412.6980) with PyTorch's defaults, as ivadomed uses it.
class Adam {
 public:
  struct Params {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    static constexpr auto fields() {
      return ivado::fields(field<"beta1", &Params::beta1>("decay of the mean gradient", at_least(0), below(1)),
                           field<"beta2", &Params::beta2>("decay of the mean squared gradient", at_least(0), below(1)),
                           field<"epsilon", &Params::epsilon>("added to the root in the denominator", above(0)));
    }
  };
  static constexpr std::string_view name = "Adam";

  Adam(const Params& params, std::vector<at::Tensor> tensors)
      : adam_(std::make_unique<torch::optim::Adam>(
            std::move(tensors),
            torch::optim::AdamOptions(1e-3).betas({params.beta1, params.beta2}).eps(params.epsilon))) {}

  /// Forgets the gradients of the last step.
  void zero_gradients() { adam_->zero_grad(); }
  /// One step with the given learning rate.
  void step(double learning_rate) {
    for (auto& group : adam_->param_groups())
      static_cast<torch::optim::AdamOptions&>(group.options()).lr(learning_rate);
    adam_->step();
  }

 private:
  std::unique_ptr<torch::optim::Adam> adam_;
};

static_assert(Optimizer<Adam>);

}  // namespace ivado
