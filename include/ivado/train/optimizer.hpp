// Optimisers: Adam, AdamW and SGD over LibTorch's, with a state that can be saved and restored.
#pragma once

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <concepts>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "../error.hpp"
#include "../nn/weights.hpp"

namespace ivado {

/// What an optimiser remembers from step to step: tensors named "<number of the tensor>.<what>".
using OptimizerState = std::vector<nn::WeightTensor>;

/// Changes tensors by their gradients.
///
/// Requirements: `Params`, `name`, a constructor from (Params, tensors), `zero_gradients()`, `step(learning_rate)`, and
/// `state()` with `restore(state)`.
/// Laws: a step with learning rate 0 changes no tensor; an optimiser with a restored state goes on bit for bit as the
/// one that the state is of.
/// Models: Adam, AdamW, SGD, OptimizerChoice.
template <class T>
concept Optimizer = std::constructible_from<T, typename T::Params, std::vector<at::Tensor>> &&
    requires(T& optimizer, double rate, const OptimizerState& state) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  optimizer.zero_gradients();
  optimizer.step(rate);
  { optimizer.state() } -> std::same_as<OptimizerState>;
  optimizer.restore(state);
};

namespace detail {

/// Copies a tensor of float32 or one number of int64.
[[nodiscard]] inline nn::WeightTensor to_weight_tensor(std::string name, const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  nn::WeightTensor out{std::move(name), nn::ElementType::float32, dense.sizes().vec(), {}};
  out.bytes.resize(dense.nbytes());
  if (!out.bytes.empty()) std::memcpy(out.bytes.data(), dense.data_ptr(), dense.nbytes());
  return out;
}
[[nodiscard]] inline nn::WeightTensor to_weight_tensor(std::string name, std::int64_t number) {
  nn::WeightTensor out{std::move(name), nn::ElementType::int64, {}, std::vector<std::byte>(sizeof number)};
  std::memcpy(out.bytes.data(), &number, sizeof number);
  return out;
}

/// What one of LibTorch's optimisers keeps for a tensor, each with the name that it has in a saved state.
template <class ParamState, class Visit>
void visit_state(ParamState& state, const Visit& visit) {
  if constexpr (requires { state.exp_avg(); }) {
    visit("step", state.step());
    visit("exp_avg", state.exp_avg());
    visit("exp_avg_sq", state.exp_avg_sq());
  } else {
    visit("momentum_buffer", state.momentum_buffer());
  }
}

/// One of LibTorch's optimisers behind ivado's interface.
template <class Optimiser, class Options, class ParamState>
class TorchOptimizer {
 public:
  TorchOptimizer(std::vector<at::Tensor> tensors, const Options& options)
      : tensors_(tensors), optimizer_(std::make_unique<Optimiser>(std::move(tensors), options)) {}

  /// Forgets the gradients of the last step.
  void zero_gradients() { optimizer_->zero_grad(); }
  /// One step with the given learning rate.
  void step(double learning_rate) {
    for (auto& group : optimizer_->param_groups()) static_cast<Options&>(group.options()).lr(learning_rate);
    optimizer_->step();
  }

  /// What it remembers; empty before the first step.
  [[nodiscard]] OptimizerState state() const {
    OptimizerState out;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const auto found = optimizer_->state().find(key(tensors_[i]));
      if (found == optimizer_->state().end()) continue;
      visit_state(static_cast<ParamState&>(*found->second), [&](const char* what, const auto& value) {
        const std::string name = std::to_string(i) + "." + what;
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, at::Tensor>) {
          if (value.defined()) out.push_back(to_weight_tensor(name, value));
        } else {
          out.push_back(to_weight_tensor(name, value));
        }
      });
    }
    return out;
  }
  /// Takes a state of `state()`, of an optimiser over tensors of the same shapes.
  /// @throws Error (data) if a tensor has another shape
  void restore(const OptimizerState& state) {
    optimizer_->state().clear();
    const auto find = [&](const std::string& name) -> const nn::WeightTensor* {
      for (const auto& one : state)
        if (one.name == name) return &one;
      return nullptr;
    };
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      auto restored = std::make_unique<ParamState>();
      bool any = false;
      visit_state(*restored, [&](const char* what, auto value) {
        const std::string name = std::to_string(i) + "." + what;
        const auto* saved = find(name);
        if (saved == nullptr) return;
        any = true;
        set(*restored, what, tensors_[i], *saved, value);
      });
      if (any) optimizer_->state()[key(tensors_[i])] = std::move(restored);
    }
  }

 private:
  /// The key of a tensor in LibTorch's table, whose type has changed over its versions.
  [[nodiscard]] static auto key(const at::Tensor& tensor) {
    using Key = typename std::decay_t<decltype(std::declval<Optimiser&>().state())>::key_type;
    if constexpr (std::is_same_v<Key, std::string>)
      return c10::guts::to_string(tensor.unsafeGetTensorImpl());
    else
      return static_cast<Key>(tensor.unsafeGetTensorImpl());
  }
  static void set(ParamState& state, std::string_view what, const at::Tensor& like, const nn::WeightTensor& saved,
                  std::int64_t) {
    std::int64_t number = 0;
    std::memcpy(&number, saved.bytes.data(), std::min(saved.bytes.size(), sizeof number));
    if constexpr (requires { state.step(number); })
      if (what == "step") state.step(number);
    (void)like;
  }
  static void set(ParamState& state, std::string_view what, const at::Tensor& like, const nn::WeightTensor& saved,
                  const at::Tensor&) {
    if (saved.shape != like.sizes().vec() || saved.type != nn::ElementType::float32)
      throw data_error("restoring the optimiser", saved.name + " does not have the shape of its tensor",
                       "resume with the configuration of the training");
    at::Tensor tensor = at::empty(saved.shape, at::kFloat);
    if (!saved.bytes.empty()) std::memcpy(tensor.data_ptr(), saved.bytes.data(), saved.bytes.size());
    tensor = tensor.to(like.device());
    if constexpr (requires { state.exp_avg(); }) {
      if (what == "exp_avg") state.exp_avg(tensor);
      if (what == "exp_avg_sq") state.exp_avg_sq(tensor);
    } else {
      if (what == "momentum_buffer") state.momentum_buffer(tensor);
    }
  }

  std::vector<at::Tensor> tensors_;
  std::unique_ptr<Optimiser> optimizer_;
};

}  // namespace detail

/// Adam (Kingma and Ba 2015, arXiv:1412.6980) with PyTorch's defaults, as ivadomed uses it.
class Adam
    : public detail::TorchOptimizer<torch::optim::Adam, torch::optim::AdamOptions, torch::optim::AdamParamState> {
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
      : TorchOptimizer(std::move(tensors),
                       torch::optim::AdamOptions(1e-3).betas({params.beta1, params.beta2}).eps(params.epsilon)) {}
};

/// Adam with the decay of weights kept apart from the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101).
class AdamW
    : public detail::TorchOptimizer<torch::optim::AdamW, torch::optim::AdamWOptions, torch::optim::AdamWParamState> {
 public:
  struct Params {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 1e-2;
    static constexpr auto fields() {
      return ivado::fields(field<"beta1", &Params::beta1>("decay of the mean gradient", at_least(0), below(1)),
                           field<"beta2", &Params::beta2>("decay of the mean squared gradient", at_least(0), below(1)),
                           field<"epsilon", &Params::epsilon>("added to the root in the denominator", above(0)),
                           field<"weight_decay", &Params::weight_decay>(
                               "fraction of a weight that a step of learning rate 1 takes away", at_least(0)));
    }
  };
  static constexpr std::string_view name = "AdamW";

  AdamW(const Params& params, std::vector<at::Tensor> tensors)
      : TorchOptimizer(std::move(tensors), torch::optim::AdamWOptions(1e-3)
                                               .betas({params.beta1, params.beta2})
                                               .eps(params.epsilon)
                                               .weight_decay(params.weight_decay)) {}
};

/// Stochastic gradient descent with momentum, by default Nesterov's (Sutskever et al. 2013), as nnU-Net trains.
class SGD : public detail::TorchOptimizer<torch::optim::SGD, torch::optim::SGDOptions, torch::optim::SGDParamState> {
 public:
  struct Params {
    double momentum = 0.99;
    bool nesterov = true;
    double weight_decay = 3e-5;
    static constexpr auto fields() {
      return ivado::fields(
          field<"momentum", &Params::momentum>("decay of the running gradient", at_least(0), below(1)),
          field<"nesterov", &Params::nesterov>("look ahead along the running gradient"),
          field<"weight_decay", &Params::weight_decay>("times the weight is added to its gradient", at_least(0)));
    }
  };
  static constexpr std::string_view name = "SGD";

  SGD(const Params& params, std::vector<at::Tensor> tensors)
      : TorchOptimizer(std::move(tensors), torch::optim::SGDOptions(1e-2)
                                               .momentum(params.momentum)
                                               .nesterov(params.nesterov && params.momentum > 0)
                                               .weight_decay(params.weight_decay)) {}
};

/// Makes an optimiser from `training_parameters.optimizer`: its name, and its parameters beside it.
/// @throws Error (usage) if the section names another optimiser than the type, or a key that it does not have
template <class Optimiser>
[[nodiscard]] Optimiser make_optimizer(const Json& section, std::vector<at::Tensor> tensors) {
  const std::string path = "training_parameters.optimizer";
  const auto named = section.at("name").get<std::string>();
  Json params = section;
  params.erase("name");
  if constexpr (requires { Optimiser::choose(named, params, tensors); }) {
    return Optimiser::choose(named, params, std::move(tensors));
  } else {
    if (named != Optimiser::name)
      throw usage_error("reading the configuration key " + path + ".name",
                        "it is " + named + ", this program was compiled with " + std::string(Optimiser::name),
                        "change it, or use the general program");
    return Optimiser(from_json<typename Optimiser::Params>(params, path), std::move(tensors));
  }
}

/// One of several optimisers, chosen once when it is made.
template <class... Optimizers>
class OptimizerChoice {
 public:
  /// Each optimiser has parameters of its own; a choice is made from the configuration.
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "any";

  /// The first of the optimisers, with its defaults.
  OptimizerChoice(const Params&, std::vector<at::Tensor> tensors)
      : chosen_(std::in_place_index<0>, typename std::variant_alternative_t<0, std::variant<Optimizers...>>::Params{},
                std::move(tensors)) {}

  /// The optimiser of a name.
  /// @throws Error (usage) if it is none of them
  [[nodiscard]] static OptimizerChoice choose(const std::string& named, const Json& params,
                                              std::vector<at::Tensor> tensors) {
    OptimizerChoice out({}, tensors);
    bool found = false;
    ((named == Optimizers::name
          ? (void)(out.chosen_ = Optimizers(
                       from_json<typename Optimizers::Params>(params, "training_parameters.optimizer"), tensors),
                   found = true)
          : (void)0),
     ...);
    if (!found)
      throw usage_error("reading the configuration key training_parameters.optimizer.name",
                        "there is no optimiser " + named,
                        "did you mean \"" + detail::nearest(named, {std::string(Optimizers::name)...}) + "\"?");
    return out;
  }

  void zero_gradients() {
    std::visit([](auto& optimizer) { optimizer.zero_gradients(); }, chosen_);
  }
  void step(double learning_rate) {
    std::visit([&](auto& optimizer) { optimizer.step(learning_rate); }, chosen_);
  }
  [[nodiscard]] OptimizerState state() const {
    return std::visit([](const auto& optimizer) { return optimizer.state(); }, chosen_);
  }
  void restore(const OptimizerState& state) {
    std::visit([&](auto& optimizer) { optimizer.restore(state); }, chosen_);
  }

 private:
  std::variant<Optimizers...> chosen_;
};

/// Every optimiser of ivado.
using AnyOptimizer = OptimizerChoice<Adam, AdamW, SGD>;

static_assert(Optimizer<Adam> && Optimizer<AdamW> && Optimizer<SGD> && Optimizer<AnyOptimizer>);

/// Scales all gradients so that their common Euclidean norm is at most `largest` (Pascanu et al. 2013,
/// arXiv:1211.5063).
/// @return the norm before
inline double clip_gradients(const std::vector<at::Tensor>& tensors, double largest) {
  double squares = 0;
  for (const auto& tensor : tensors)
    if (tensor.grad().defined()) squares += tensor.grad().detach().pow(2).sum(at::kDouble).item<double>();
  const double norm = std::sqrt(squares);
  if (norm > largest)
    for (const auto& tensor : tensors)
      if (tensor.grad().defined()) tensor.grad().detach().mul_(largest / norm);
  return norm;
}

}  // namespace ivado
