// Net: a model with its tensors, trainable on LibTorch. One interface for architectures of ivado and for
// torch::nn::Module.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../nn/torch_interpreter.hpp"
#include "../nn/weights.hpp"
#include "concept.hpp"

namespace ivado {

/// An architecture with tensors of its own, ready to be trained or run on LibTorch.
///
/// Not copyable; not thread-safe while training (running statistics change).
template <Architecture Model>
class Net {
 public:
  /// @param model  the architecture
  /// @param seed   of the initial weights, which are a function of it alone
  explicit Net(Model model, std::uint64_t seed = 0) : model_(std::move(model)) {
    const auto& list = model_.parameters();
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto id = static_cast<nn::ParameterId>(i);
      const auto& spec = list[id];
      if (spec.role == nn::Role::counter) {
        tensors_.push_back(at::zeros({}, at::kLong));
        continue;
      }
      Array<float> values = nn::initial_values(spec, id, seed);
      tensors_.push_back(
          at::from_blob(values.data(), at::IntArrayRef(spec.shape.begin(), spec.shape.end()), at::kFloat).clone());
      if (spec.role == nn::Role::weight) tensors_.back().requires_grad_(true);
    }
  }
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;
  Net(Net&&) noexcept = default;
  Net& operator=(Net&&) noexcept = default;
  ~Net() = default;

  /// Batch statistics and dropout (true), or running statistics and no dropout.
  void train(bool on) noexcept { training_ = on; }
  [[nodiscard]] bool is_training() const noexcept { return training_; }

  /// The prediction [N, classes, spatial…] of a batch [N, channel, spatial…].
  /// @param dropout  key of the dropout masks, used while training
  [[nodiscard]] at::Tensor forward(const at::Tensor& input, const RandomKey& dropout = {}) {
    nn::TorchInterpreter on(tensors_, training_, dropout);
    return model_.forward(on, input);
  }

  /// The tensors that an optimiser changes.
  [[nodiscard]] std::vector<at::Tensor> trained() const {
    std::vector<at::Tensor> out;
    for (const auto& tensor : tensors_)
      if (tensor.requires_grad()) out.push_back(tensor);
    return out;
  }
  /// All tensors in the order of the state dictionary.
  [[nodiscard]] const std::vector<at::Tensor>& tensors() const noexcept { return tensors_; }
  /// Their names in the same order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& spec : model_.parameters()) out.push_back(spec.name);
    return out;
  }
  [[nodiscard]] const Model& model() const noexcept { return model_; }

  /// Moves all tensors to a device.
  void to(const at::Device& device) {
    for (auto& tensor : tensors_) {
      const bool trained = tensor.requires_grad();
      tensor = tensor.detach().to(device);
      tensor.requires_grad_(trained);
    }
  }

 private:
  Model model_;
  std::vector<at::Tensor> tensors_;
  bool training_ = true;
};

/// A `torch::nn::Module` of the user's with `at::Tensor forward(at::Tensor)`; it lacks the interpreters that it cannot
/// feed.
template <class Module>
concept TorchModule = requires(Module& module, at::Tensor x, bool on) {
  { module.forward(x) } -> std::convertible_to<at::Tensor>;
  module.named_parameters(on);
  module.named_buffers(on);
  module.train(on);
};

/// The interface of `Net` over a module of the user's.
template <TorchModule Module>
class ModuleNet {
 public:
  explicit ModuleNet(std::shared_ptr<Module> module) : module_(std::move(module)) {}
  void train(bool on) { module_->train(on); }
  [[nodiscard]] bool is_training() const { return module_->is_training(); }
  [[nodiscard]] at::Tensor forward(const at::Tensor& input, const RandomKey& = {}) { return module_->forward(input); }
  [[nodiscard]] std::vector<at::Tensor> trained() const {
    std::vector<at::Tensor> out;
    for (const auto& tensor : module_->parameters())
      if (tensor.requires_grad()) out.push_back(tensor);
    return out;
  }
  [[nodiscard]] std::vector<at::Tensor> tensors() const {
    std::vector<at::Tensor> out;
    for (const auto& item : module_->named_parameters()) out.push_back(item.value());
    for (const auto& item : module_->named_buffers()) out.push_back(item.value());
    return out;
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& item : module_->named_parameters()) out.push_back(item.key());
    for (const auto& item : module_->named_buffers()) out.push_back(item.key());
    return out;
  }
  [[nodiscard]] const Module& model() const noexcept { return *module_; }
  void to(const at::Device& device) { module_->to(device); }

 private:
  std::shared_ptr<Module> module_;
};

/// The tensors of a net as values by name: float32 and int64, dense.
template <class AnyNet>
[[nodiscard]] nn::Weights weights_of(const AnyNet& net) {
  nn::Weights out;
  const auto names = net.names();
  const auto tensors = net.tensors();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool counter = !tensors[i].is_floating_point();
    const at::Tensor dense = tensors[i].detach().to(at::kCPU).to(counter ? at::kLong : at::kFloat).contiguous();
    nn::WeightTensor tensor{
        names[i], counter ? nn::ElementType::int64 : nn::ElementType::float32, dense.sizes().vec(), {}};
    tensor.bytes.resize(dense.nbytes());
    if (!tensor.bytes.empty()) std::memcpy(tensor.bytes.data(), dense.data_ptr(), dense.nbytes());
    out.tensors.push_back(std::move(tensor));
  }
  return out;
}

/// Gives a net the values of weights with the same names and shapes, in place.
/// @param source  names them in messages, such as the path of their file
/// @throws Error (data) listing every name that is missing or too many and every shape that differs; the net is then
///         unchanged
template <class AnyNet>
void load_weights(AnyNet& net, const nn::Weights& weights, const std::string& source) {
  const auto names = net.names();
  const auto tensors = net.tensors();
  std::string faults;
  const auto add = [&](const std::string& fault) { faults += (faults.empty() ? "" : ", ") + fault; };
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto* found = weights.find(names[i]);
    if (found == nullptr)
      add(names[i] + " is missing");
    else if (found->shape != tensors[i].sizes().vec())
      add(detail::text(names[i], " has shape ", at::IntArrayRef(found->shape), ", the model ", tensors[i].sizes()));
  }
  for (const auto& tensor : weights.tensors)
    if (std::find(names.begin(), names.end(), tensor.name) == names.end()) add(tensor.name + " is not in the model");
  if (!faults.empty())
    throw data_error("loading the weights " + source, faults, "use the configuration that they were trained with");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto* found = weights.find(names[i]);
    const auto type = found->type == nn::ElementType::float32 ? at::kFloat : at::kLong;
    tensors[i].detach().copy_(at::from_blob(const_cast<std::byte*>(found->bytes.data()), found->shape, type));
  }
}

}  // namespace ivado
