// Optimisers: Adam, AdamW and SGD, each step one pass over memory, with a state that can be saved and restored.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "../config/params.hpp"
#include "../eigen.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/weights.hpp"
#include "../parallel.hpp"

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
[[nodiscard]] IVADO_INLINE nn::WeightTensor to_weight_tensor(std::string name, const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  nn::WeightTensor out{std::move(name), nn::ElementType::float32, dense.sizes().vec(), {}};
  out.bytes.resize(dense.nbytes());
  if (!out.bytes.empty()) std::memcpy(out.bytes.data(), dense.data_ptr(), dense.nbytes());
  return out;
}
[[nodiscard]] IVADO_INLINE nn::WeightTensor to_weight_tensor(std::string name, std::int64_t number) {
  nn::WeightTensor out{std::move(name), nn::ElementType::int64, {}, std::vector<std::byte>(sizeof number)};
  std::memcpy(out.bytes.data(), &number, sizeof number);
  return out;
}

/// The tensors that an optimiser changes, and what it remembers of each.
class OptimizerMemory {
 public:
  /// What is remembered of one tensor; undefined, and 0, before its first step.
  struct Slot {
    std::int64_t steps = 0;
    std::vector<at::Tensor> values;
  };

  /// @param names        of what is remembered, as PyTorch calls it in its states
  /// @param counts_steps whether the number of steps is remembered as well
  IVADO_INLINE OptimizerMemory(std::vector<at::Tensor> tensors, std::vector<std::string> names, bool counts_steps)
      : tensors_(std::move(tensors)),
        names_(std::move(names)),
        counts_steps_(counts_steps),
        slots_(tensors_.size(), Slot{0, std::vector<at::Tensor>(names_.size())}) {}

  /// Forgets the gradients of the last step. A tensor that gets none in the next one is left as it is there.
  IVADO_INLINE void zero_gradients() {
    for (const auto& tensor : tensors_) tensor.mutable_grad() = at::Tensor();
  }
  /// What it remembers; empty before the first step.
  [[nodiscard]] IVADO_INLINE OptimizerState state() const {
    OptimizerState out;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const std::string number = std::to_string(i) + ".";
      if (slots_[i].values.empty() || !slots_[i].values.front().defined()) continue;
      if (counts_steps_) out.push_back(to_weight_tensor(number + "step", slots_[i].steps));
      for (std::size_t k = 0; k < names_.size(); ++k)
        out.push_back(to_weight_tensor(number + names_[k], slots_[i].values[k]));
    }
    return out;
  }
  /// Takes a state of `state()`, of an optimiser over tensors of the same shapes.
  /// @throws Error (data) if a tensor has another shape
  IVADO_INLINE void restore(const OptimizerState& state) {
    std::map<std::string_view, const nn::WeightTensor*> by_name;
    for (const auto& saved : state) by_name.emplace(saved.name, &saved);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      slots_[i] = Slot{0, std::vector<at::Tensor>(names_.size())};
      const std::string number = std::to_string(i) + ".";
      if (const auto found = by_name.find(number + "step"); found != by_name.end())
        std::memcpy(&slots_[i].steps, found->second->bytes.data(),
                    std::min(found->second->bytes.size(), sizeof slots_[i].steps));
      for (std::size_t k = 0; k < names_.size(); ++k)
        if (const auto found = by_name.find(number + names_[k]); found != by_name.end())
          slots_[i].values[k] = restored(*found->second, tensors_[i]);
    }
  }

 protected:
  /// Calls `change(tensor, gradient, slot)` for each tensor that has a gradient, which then lies as the tensor does.
  template <class Change>
  void for_each_gradient(const Change& change) {
    const at::NoGradGuard guard;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const at::Tensor tensor = tensors_[i].detach();
      at::Tensor gradient = tensors_[i].grad();
      if (!gradient.defined()) continue;
      gradient = gradient.detach();
      if (gradient.strides() != tensor.strides()) gradient = at::empty_like(tensor).copy_(gradient);
      ++slots_[i].steps;
      change(tensor, gradient, slots_[i]);
    }
  }
  /// Whether the elements of a tensor can be gone through one by one in memory.
  [[nodiscard]] IVADO_INLINE static bool is_plain(const at::Tensor& tensor) {
    return tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.is_non_overlapping_and_dense();
  }
  using Numbers = Eigen::Map<Eigen::ArrayXf>;
  /// Calls `change(numbers…)` for pieces of the tensors that fit into the first cache, on all threads: one pass over
  /// memory, whatever is computed.
  template <class Change, class... Tensors>
  static void in_one_pass(const Change& change, const Tensors&... tensors) {
    constexpr std::int64_t piece = 1024;
    const std::array<float*, sizeof...(Tensors)> data{tensors.template data_ptr<float>()...};
    const std::int64_t count = std::max({tensors.numel()...});
    share_out(at::get_num_threads(), (count + piece - 1) / piece, 32, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin * piece; at < std::min(end * piece, count); at += piece) {
        const auto size = static_cast<Eigen::Index>(std::min(piece, count - at));
        [&]<std::size_t... k>(std::index_sequence<k...>) { change(Numbers(data[k] + at, size)...); }
        (std::make_index_sequence<sizeof...(Tensors)>{});
      }
    });
  }

 private:
  [[nodiscard]] IVADO_INLINE static at::Tensor restored(const nn::WeightTensor& saved, const at::Tensor& like) {
    if (saved.shape != like.sizes().vec() || saved.type != nn::ElementType::float32)
      throw data_error("restoring the optimiser", saved.name + " does not have the shape of its tensor",
                       "resume with the configuration of the training");
    at::Tensor tensor = at::empty(saved.shape, at::kFloat);
    if (!saved.bytes.empty()) std::memcpy(tensor.data_ptr(), saved.bytes.data(), saved.bytes.size());
    return at::empty_like(like.detach()).copy_(tensor);
  }

  std::vector<at::Tensor> tensors_;
  std::vector<std::string> names_;
  bool counts_steps_;
  std::vector<Slot> slots_;
};

/// Adam in all its forms: the decay of weights is taken apart from the gradient, or there is none.
class MomentOptimizer : public OptimizerMemory {
 public:
  IVADO_INLINE MomentOptimizer(std::vector<at::Tensor> tensors, double beta1, double beta2, double epsilon,
                               double weight_decay)
      : OptimizerMemory(std::move(tensors), {"exp_avg", "exp_avg_sq"}, true),
        beta1_(beta1),
        beta2_(beta2),
        epsilon_(epsilon),
        weight_decay_(weight_decay) {}

  /// One step with the given learning rate.
  IVADO_INLINE void step(double learning_rate) {
    for_each_gradient([&](const at::Tensor& tensor, const at::Tensor& gradient, Slot& slot) {
      for (auto& value : slot.values)
        if (!value.defined()) value = at::zeros_like(tensor);
      const auto steps = static_cast<double>(slot.steps);
      const double rate = learning_rate / (1 - std::pow(beta1_, steps));
      const double root = std::sqrt(1 - std::pow(beta2_, steps));
      const double kept = 1 - learning_rate * weight_decay_;
      if (!is_plain(tensor)) {
        if (weight_decay_ != 0) tensor.mul_(kept);
        slot.values[0].mul_(beta1_).add_(gradient, 1 - beta1_);
        slot.values[1].mul_(beta2_).addcmul_(gradient, gradient, 1 - beta2_);
        tensor.addcdiv_(slot.values[0], (slot.values[1].sqrt() / root).add_(epsilon_), -rate);
        return;
      }
      const auto f = [](double value) { return static_cast<float>(value); };
      const float keep = weight_decay_ != 0 ? f(kept) : 1.0F;
      in_one_pass(
          [b1 = f(beta1_), b2 = f(beta2_), a1 = f(1 - beta1_), a2 = f(1 - beta2_), rate = f(rate), root = f(root),
           epsilon = f(epsilon_), keep](auto p, auto g, auto mean, auto square) {
            mean = b1 * mean + a1 * g;
            square = b2 * square + a2 * g * g;
            p = keep * p - rate * (mean / (square.sqrt() / root + epsilon));
          },
          tensor, gradient, slot.values[0], slot.values[1]);
    });
  }

 private:
  double beta1_;
  double beta2_;
  double epsilon_;
  double weight_decay_;
};

}  // namespace detail

/// Adam (Kingma and Ba 2015, arXiv:1412.6980) with PyTorch's defaults, as ivadomed uses it; one pass over memory.
class Adam : public detail::MomentOptimizer {
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
      : MomentOptimizer(std::move(tensors), params.beta1, params.beta2, params.epsilon, 0) {}
};

/// Adam with the decay of weights kept apart from the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101).
class AdamW : public detail::MomentOptimizer {
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
      : MomentOptimizer(std::move(tensors), params.beta1, params.beta2, params.epsilon, params.weight_decay) {}
};

/// Stochastic gradient descent with momentum, by default Nesterov's (Sutskever et al. 2013), as nnU-Net trains.
class SGD : public detail::OptimizerMemory {
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

  IVADO_INLINE SGD(const Params& params, std::vector<at::Tensor> tensors)
      : OptimizerMemory(std::move(tensors),
                        params.momentum > 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{},
                        false),
        params_(params) {}

  /// One step with the given learning rate.
  IVADO_INLINE void step(double learning_rate) {
    for_each_gradient([&](const at::Tensor& tensor, const at::Tensor& gradient, Slot& slot) {
      const double momentum = params_.momentum;
      const bool runs = momentum > 0;
      const bool is_first = runs && !slot.values[0].defined();
      if (is_first) slot.values[0] = at::zeros_like(tensor);  // the first gradient counts whole
      if (!is_plain(tensor)) {
        at::Tensor change = gradient.add(tensor, params_.weight_decay);
        if (runs) {
          slot.values[0].mul_(momentum).add_(change);
          change = params_.nesterov ? change.add(slot.values[0], momentum) : slot.values[0];
        }
        tensor.add_(change, -learning_rate);
        return;
      }
      const auto decay = static_cast<float>(params_.weight_decay);
      const auto rate = static_cast<float>(learning_rate);
      const auto m = static_cast<float>(momentum);
      if (!runs)
        in_one_pass([=](auto p, auto g) { p -= rate * (g + decay * p); }, tensor, gradient);
      else if (params_.nesterov)
        in_one_pass(
            [=](auto p, auto g, auto running) {
              running = m * running + (g + decay * p);
              p -= rate * (g + decay * p + m * running);
            },
            tensor, gradient, slot.values[0]);
      else
        in_one_pass(
            [=](auto p, auto g, auto running) {
              running = m * running + (g + decay * p);
              p -= rate * running;
            },
            tensor, gradient, slot.values[0]);
    });
  }

 private:
  Params params_;
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
IVADO_INLINE double clip_gradients(const std::vector<at::Tensor>& tensors, double largest) {
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
