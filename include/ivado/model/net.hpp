// Net: a model with its tensors, trainable on LibTorch. One interface for architectures of ivado and for
// torch::nn::Module.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../nn/backend.hpp"
#include "../nn/tensor_shape.hpp"
#include "../nn/weights.hpp"
#include "concept.hpp"
#include "summary.hpp"

namespace ivado {

/// An architecture with tensors of its own, ready to be trained or run on LibTorch.
///
/// Not copyable; not thread-safe while training (running statistics change).
/// @tparam Runs  what computes its operations
template <Architecture Model, Backend Runs = LibTorchBackend>
class Net {
 public:
  /// What computes its operations.
  using Interpreter = typename Runs::Interpreter;

  /// @param model  the architecture
  /// @param seed   of the initial weights, which are a function of it alone
  explicit Net(Model model, std::uint64_t seed = 0) : model_(std::move(model)) {
    const auto& list = model_.parameters();
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto& spec = list[static_cast<nn::ParameterId>(i)];
      if (spec.shared_with != nn::no_parameter) {
        tensors_.push_back(tensors_[static_cast<std::size_t>(spec.shared_with)]);
      } else if (spec.role == nn::Role::counter) {
        tensors_.push_back(at::zeros({}, at::kLong));
      } else {
        tensors_.push_back(initial(i, seed));
        if (spec.role == nn::Role::weight) tensors_.back().requires_grad_(true);
      }
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
  /// Dropout works in evaluation mode too, with the running statistics (Monte-Carlo dropout: Gal and Ghahramani 2016,
  /// arXiv:1506.02142), or no longer.
  void sample_dropout(bool on) noexcept { samples_dropout_ = on; }
  /// True if the net has a dropout with a rate above 0.
  /// @param input  shape of a batch, [N, channel, spatial…]
  /// @throws Error (usage) if the net cannot work on that shape
  [[nodiscard]] bool has_dropout(const Shape& input) const {
    const graph::Graph recorded = graph::record(model_, input);
    return std::any_of(recorded.nodes.begin(), recorded.nodes.end(), [](const graph::Node& node) {
      const auto* const dropout = std::get_if<nn::op::Dropout>(&node.op);
      return dropout != nullptr && dropout->rate > 0;
    });
  }
  /// The number type of the convolutions, see `nn::TorchInterpreter::convolve_in`. The tensors stay float32.
  void convolve_in(at::ScalarType type) noexcept { convolution_type_ = type; }

  /// The prediction [N, classes, spatial…] (or [N, classes]) of a batch [N, channel, spatial…].
  /// @param condition  [N, conditions], for a model that takes one
  /// @param dropout    key of the dropout masks, used while training and by `sample_dropout`
  /// @throws Error (usage) if the model cannot work on that shape, with the rule that its sizes must satisfy
  [[nodiscard]] at::Tensor forward(const at::Tensor& input, const at::Tensor& condition = {},
                                   const RandomKey& dropout = {}) {
    Interpreter on(tensors_, training_, dropout, has_frozen_);
    if (samples_dropout_) on.sample_dropout();
    on.convolve_in(convolution_type_);
    return explained(input, [&] { return nn::forward(model_, on, input, condition); });
  }
  /// The prediction and the further ones of lower resolution, the finest first, of a model with deep supervision; of
  /// another model the prediction alone.
  [[nodiscard]] std::vector<at::Tensor> forward_supervised(const at::Tensor& input, const at::Tensor& condition = {},
                                                           const RandomKey& dropout = {}) {
    Interpreter on(tensors_, training_, dropout, has_frozen_);
    on.convolve_in(convolution_type_);
    return explained(input, [&] { return nn::forward_supervised(model_, on, input, condition); });
  }

  /// The tensors that an optimiser changes, each once.
  [[nodiscard]] std::vector<at::Tensor> trained() const {
    std::vector<at::Tensor> out;
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (tensors_[i].requires_grad() && !is_alias(i)) out.push_back(tensors_[i]);
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
  /// True if tensor `i` is another name of an earlier one.
  [[nodiscard]] bool is_alias(std::size_t i) const {
    return model_.parameters()[static_cast<nn::ParameterId>(i)].shared_with != nn::no_parameter;
  }
  [[nodiscard]] const Model& model() const noexcept { return model_; }

  /// Number of layers that have trained tensors.
  [[nodiscard]] std::size_t layers() const { return model_.parameters().layers().size(); }
  /// The first tensor of layer `layer`; the number of tensors behind the last one.
  [[nodiscard]] std::size_t first_tensor_of(std::size_t layer) const {
    const auto layers = model_.parameters().layers();
    return layer < layers.size() ? static_cast<std::size_t>(layers[layer]) : tensors_.size();
  }
  /// Freezes all layers before number `first`: they get no gradient and run in evaluation mode. The number of layers
  /// freezes the whole net.
  void freeze_before(std::size_t first) {
    const std::size_t end = first_tensor_of(first);
    for (std::size_t i = 0; i < end; ++i)
      if (tensors_[i].is_floating_point()) tensors_[i].requires_grad_(false);
    has_frozen_ = first > 0;
  }
  /// Gives all layers from number `first` on new initial values, running statistics included.
  void reset_from(std::size_t first, std::uint64_t seed) {
    for (std::size_t i = first_tensor_of(first); i < tensors_.size(); ++i) {
      const at::Tensor tensor = tensors_[i].detach();
      if (!tensor.is_floating_point())
        tensor.zero_();
      else if (!is_alias(i))
        tensor.copy_(initial(i, seed));
    }
  }

  /// Moves all tensors to a device.
  void to(const at::Device& device) {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const auto& spec = model_.parameters()[static_cast<nn::ParameterId>(i)];
      if (spec.shared_with != nn::no_parameter) {
        tensors_[i] = tensors_[static_cast<std::size_t>(spec.shared_with)];
        continue;
      }
      const bool trained = tensors_[i].requires_grad();
      tensors_[i] = tensors_[i].detach().to(device);
      tensors_[i].requires_grad_(trained);
    }
  }

 private:
  /// Calls `run`. Where LibTorch refuses and the model takes no such input, says which sizes it takes.
  template <class Run>
  [[nodiscard]] auto explained(const at::Tensor& input, const Run& run) const -> decltype(run()) {
    try {
      return run();
    } catch (const c10::Error&) {
      const Shape shape = shape_of_tensor(input);
      try {
        (void)graph::record(model_, shape);
      } catch (const Error& fault) {
        const SizeRule rule = size_rule(model_, shape.rank() > 1 ? shape[1] : 1);
        throw usage_error("running the model on a batch of " + shape.text(), fault.what(),
                          detail::text("give samples whose extents are multiples of ", rule.divisor, ", at least ",
                                       rule.smallest, ": see CenterCrop, length_2D and length_3D"));
      }
      throw;
    }
  }
  [[nodiscard]] at::Tensor initial(std::size_t i, std::uint64_t seed) const {
    const auto id = static_cast<nn::ParameterId>(i);
    const auto& spec = model_.parameters()[id];
    Array<float> values = nn::initial_values(spec, id, seed);
    return at::from_blob(values.data(), at::IntArrayRef(spec.shape.begin(), spec.shape.end()), at::kFloat).clone();
  }

  Model model_;
  std::vector<at::Tensor> tensors_;
  bool training_ = true;
  bool samples_dropout_ = false;
  bool has_frozen_ = false;
  at::ScalarType convolution_type_ = at::kFloat;
};

/// A `torch::nn::Module` of the user's with `at::Tensor forward(at::Tensor)`, or with the condition as a second
/// argument; it lacks the interpreters that it cannot feed.
template <class Module>
concept TorchModule = (
                          requires(Module & module, at::Tensor x) {
                            { module.forward(x) } -> std::convertible_to<at::Tensor>;
                          } ||
                          requires(Module & module, at::Tensor x) {
                            { module.forward(x, x) } -> std::convertible_to<at::Tensor>;
                          }) &&
                      requires(Module& module, bool on) {
  module.named_parameters(on);
  module.named_buffers(on);
  module.train(on);
};

/// The interface of `Net` over a module of the user's.
///
/// Its layers are those parts of the module that own parameters. Frozen ones run in evaluation mode; a dropout that is
/// a part of its own stays active.
template <TorchModule Module>
class ModuleNet {
 public:
  explicit ModuleNet(std::shared_ptr<Module> module) : module_(std::move(module)) {}
  void train(bool on) {
    module_->train(on);
    for (const auto& part : module_->modules(false)) {  // a part before the parts in it, which it sets as well
      const auto own = part->parameters(false);
      if (!own.empty())
        part->train(on && std::any_of(own.begin(), own.end(), [](const auto& p) { return p.requires_grad(); }));
    }
  }
  [[nodiscard]] bool is_training() const { return module_->is_training(); }
  /// Dropout works in evaluation mode too, or no longer. It is a part of the module without parts and tensors of its own
  /// whose type has "Dropout" in its name, as those of LibTorch have; a call of `torch::dropout` is not seen.
  void sample_dropout(bool on) {
    if (samples_dropout_ && !on) train(is_training());
    samples_dropout_ = on;
  }
  /// True if the module has a dropout, whatever its rate.
  [[nodiscard]] bool has_dropout(const Shape& /*input*/ = {}) const {
    const auto parts = module_->modules(false);
    return std::any_of(parts.begin(), parts.end(), [](const auto& part) { return is_dropout(*part); });
  }
  /// @param condition  handed on where the module's forward takes one
  /// @param dropout    with `sample_dropout` LibTorch's generator is seeded by it, as its dropouts draw from there
  [[nodiscard]] at::Tensor forward(const at::Tensor& input, const at::Tensor& condition = {},
                                   const RandomKey& dropout = {}) {
    if (samples_dropout_) {
      for (const auto& part : module_->modules(false))
        if (is_dropout(*part)) part->train(true);
      Rng rng(dropout.with_stream(stream_dropout));
      const std::uint64_t high = rng.bits();
      at::manual_seed(high << 32 | rng.bits());
    }
    if constexpr (requires { module_->forward(input, condition); })
      return module_->forward(input, condition);
    else
      return module_->forward(input);
  }
  /// The prediction alone.
  [[nodiscard]] std::vector<at::Tensor> forward_supervised(const at::Tensor& input, const at::Tensor& condition = {},
                                                           const RandomKey& dropout = {}) {
    return {forward(input, condition, dropout)};
  }
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
  [[nodiscard]] static bool is_alias(std::size_t) noexcept { return false; }
  [[nodiscard]] const Module& model() const noexcept { return *module_; }
  void to(const at::Device& device) { module_->to(device); }

  /// Number of parts that own parameters.
  [[nodiscard]] std::size_t layers() const { return first_parameters().size(); }
  /// The first parameter of layer `layer`; the number of parameters behind the last one.
  [[nodiscard]] std::size_t first_tensor_of(std::size_t layer) const {
    const auto first = first_parameters();
    return layer < first.size() ? first[layer] : module_->parameters().size();
  }
  /// Freezes all layers before number `first`.
  void freeze_before(std::size_t first) {
    auto parameters = module_->parameters();
    for (std::size_t i = 0; i < first_tensor_of(first); ++i) parameters[i].requires_grad_(false);
  }
  /// A module does not tell how its layers begin.
  /// @throws Error (usage) always, unless no layer is asked for
  void reset_from(std::size_t first, std::uint64_t) const {
    if (first < layers())
      throw usage_error("preparing transfer learning",
                        "a torch::nn::Module does not tell the initial values of its layers",
                        "set training_parameters.transfer_learning.reset to false");
  }

 private:
  /// True for a part that is a dropout and nothing else.
  template <class Part>
  [[nodiscard]] static bool is_dropout(const Part& part) {
    const std::string type = part.name();
    return type.find("Dropout", type.rfind(':') == std::string::npos ? 0 : type.rfind(':')) != std::string::npos &&
           part.children().empty() && part.parameters(false).empty() && part.buffers(false).empty();
  }
  /// The number of the first parameter of each part that owns some.
  [[nodiscard]] std::vector<std::size_t> first_parameters() const {
    std::vector<std::size_t> out;
    std::string last;
    std::size_t i = 0;
    for (const auto& item : module_->named_parameters()) {
      const std::string part = item.key().substr(0, item.key().rfind('.') + 1);
      if (out.empty() || part != last) out.push_back(i);
      last = part;
      ++i;
    }
    return out;
  }

  std::shared_ptr<Module> module_;
  bool samples_dropout_ = false;
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
///
/// Where a tensor has several names the first one counts.
/// @param source  names them in messages, such as the path of their file
/// @param count   the first so many tensors of the net are looked for; others in the net and in the weights are passed
///                over. By default all, and then the weights may hold no other.
/// @throws Error (data) listing every name that is missing or too many and every shape that differs; the net is then
///         unchanged
template <class AnyNet>
void load_weights(AnyNet& net, const nn::Weights& weights, const std::string& source,
                  std::size_t count = static_cast<std::size_t>(-1)) {
  const auto names = net.names();
  const auto tensors = net.tensors();
  count = std::min(count, names.size());
  std::string faults;
  const auto add = [&](const std::string& fault) { faults += (faults.empty() ? "" : ", ") + fault; };
  for (std::size_t i = 0; i < count; ++i) {
    const auto* found = weights.find(names[i]);
    if (found == nullptr)
      add(names[i] + " is missing");
    else if (found->shape != tensors[i].sizes().vec())
      add(detail::text(names[i], " has shape ", at::IntArrayRef(found->shape), ", the model ", tensors[i].sizes()));
  }
  for (const auto& tensor : weights.tensors)
    if (count == names.size() && std::find(names.begin(), names.end(), tensor.name) == names.end())
      add(tensor.name + " is not in the model");
  if (!faults.empty())
    throw data_error("loading the weights " + source, faults, "use the configuration that they were trained with");
  for (std::size_t i = 0; i < count; ++i) {
    if (net.is_alias(i)) continue;
    const auto* found = weights.find(names[i]);
    const auto type = found->type == nn::ElementType::float32 ? at::kFloat : at::kLong;
    tensors[i].detach().copy_(at::from_blob(const_cast<std::byte*>(found->bytes.data()), found->shape, type));
  }
}

}  // namespace ivado
