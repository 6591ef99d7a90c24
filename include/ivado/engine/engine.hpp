// Inference on oneDNN alone: a model compiled for the shapes that it meets. No LibTorch. Needs the component engine.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../data/array.hpp"
#include "../error.hpp"
#include "../model/concept.hpp"
#include "../nn/graph.hpp"
#include "../nn/weights.hpp"
#include "plan.hpp"

namespace ivado {

/// How a network is run by the engine.
struct EngineOptions {
  int threads = 0;                                           ///< for computing; 0: one a core
  engine::Precision precision = engine::Precision::float32;  ///< of the convolutions
  /// Samples of a batch that are computed together; 0: four slices, one volume. One keeps the activations in the caches of the
  /// processor, needs the least memory, and lets concatenations happen in place; of more, the weights of deep layers, which are
  /// larger than caches, are read once for all. What is left over of a batch is computed one by one. Results are the same up to
  /// rounding.
  std::int64_t samples_at_once = 0;
  std::size_t plans = 4;  ///< that are kept, the last used ones: two a shape where samples are left over
};

namespace engine {

/// A network that is compiled for each shape of its input when that comes for the first time.
///
/// Plans share the packed weights; each has an arena for its activations. Not thread-safe: one network a thread.
class Network {
 public:
  using Record = std::function<graph::Graph(const Shape&)>;

  /// @param record      gives the graph for an input [N, channel, spatial…], see `graph::record`
  /// @param parameters  the tensors that it refers to
  /// @throws Error (usage) if bf16 is asked for and the processor has none, or a number makes no sense; (data) if the
  ///         weights do not fit
  Network(Record record, const nn::ParameterList& parameters, const nn::Weights& weights,
          const EngineOptions& options = {})
      : record_(std::move(record)), options_(checked(options)), parameters_(parameters, weights) {}

  /// The output [N, classes, spatial…] (or [N, classes]) for a batch [N, channel, spatial…].
  /// @param condition  [N, conditions], of a network that takes one
  /// @throws Error (usage) if the network cannot work on that shape, or the condition is missing or of another length
  [[nodiscard]] Array<float> forward(const Array<float>& image, const Array<float>& condition = {}) {
    const Shape& shape = image.shape();
    if (shape.rank() < 4 || shape[0] < 1)
      throw usage_error("running a network", "the input is " + shape.text(),
                        "give [samples, channels, height, width] or [samples, channels, height, width, depth]");
    Array<float> out;
    for (std::int64_t first = 0; first < shape[0];) {
      Compiled& part = compiled_for(shape, part_of(shape, shape[0] - first));
      require_condition(part, shape[0], condition);
      Shape result = part.plan->output_shape();
      const std::int64_t of_sample = result.size() / part.shape[0];
      result[0] = shape[0];
      if (out.empty()) out = Array<float>(result);
      const std::array inputs{image.data() + first * (image.size() / shape[0]),
                              condition.data() + first * part.conditions};
      part.plan->run({inputs.data(), part.conditions > 0 ? 2U : 1U}, out.data() + first * of_sample);
      first += part.shape[0];
    }
    return out;
  }

  /// The plan that a batch of this shape begins with, made if there is none yet: what it is made of, and its memory.
  [[nodiscard]] const Plan& plan(const Shape& shape) { return *compiled_for(shape, part_of(shape, shape[0])).plan; }
  /// Plans that are kept at the moment.
  [[nodiscard]] std::size_t plans() const noexcept { return compiled_.size(); }
  [[nodiscard]] const EngineOptions& options() const noexcept { return options_; }

 private:
  struct Compiled {
    Shape shape;  ///< of the samples that are computed at once
    std::int64_t conditions;
    std::unique_ptr<Plan> plan;
  };

  [[nodiscard]] static EngineOptions checked(EngineOptions options) {
    const auto refuse = [](const std::string& found, const std::string& remedy) {
      throw usage_error("preparing the engine", found, remedy);
    };
    if (options.threads < 0)
      refuse(std::to_string(options.threads) + " threads", "give 1 or more, or 0 for one a core");
    if (options.threads == 0) options.threads = default_threads();
    if (options.samples_at_once < 0)
      refuse("samples_at_once is " + std::to_string(options.samples_at_once), "give 1 or more, or 0 for what is fast");
    if (options.plans < 1) refuse("no plan is to be kept", "give 1 or more");
    if (options.precision == Precision::bf16 && !has_bf16())
      refuse("bf16 is asked for, and this processor does not multiply bf16 (it has no AVX512_BF16)",
             "compute in float32");
    return options;
  }

  /// Samples that are computed next.
  /// @param left  of the batch
  [[nodiscard]] std::int64_t part_of(const Shape& shape, std::int64_t left) const noexcept {
    const std::int64_t chosen = shape.rank() == 4 ? 4 : 1;
    const std::int64_t at_once = options_.samples_at_once > 0 ? options_.samples_at_once : chosen;
    return left >= at_once ? at_once : 1;
  }
  /// @param shape  of the whole batch
  /// @param count  samples to compute at once; all where the network looks at the whole batch
  Compiled& compiled_for(const Shape& shape, std::int64_t count) {
    Shape part = shape;
    part[0] = needs_whole_batch_ ? shape[0] : std::min(count, shape[0]);
    const auto found =
        std::find_if(compiled_.begin(), compiled_.end(), [&](const Compiled& one) { return one.shape == part; });
    if (found != compiled_.end()) {
      compiled_.splice(compiled_.begin(), compiled_, found);
      return compiled_.front();
    }
    const graph::Graph graph = record_(part);
    std::int64_t conditions = 0;
    for (const auto& node : graph.nodes) {
      if (const auto* input = std::get_if<nn::op::Input>(&node.op); input != nullptr && input->index == 1)
        conditions = node.shape[1];
      const auto* divide = std::get_if<nn::op::DivideByMax>(&node.op);
      if (divide != nullptr && divide->whole_batch && part[0] != shape[0]) {
        needs_whole_batch_ = true;
        return compiled_for(shape, shape[0]);
      }
    }
    if (compiled_.size() == options_.plans) compiled_.pop_back();
    compiled_.push_front(
        {part, conditions, std::make_unique<Plan>(graph, parameters_, options_.precision, options_.threads)});
    return compiled_.front();
  }
  static void require_condition(const Compiled& part, std::int64_t samples, const Array<float>& condition) {
    if (part.conditions == 0 || condition.shape() == Shape{samples, part.conditions}) return;
    throw usage_error("running a network",
                      condition.empty() ? "its condition is missing" : "its condition is " + condition.shape().text(),
                      "give one of " + Shape{samples, part.conditions}.text());
  }

  Record record_;
  EngineOptions options_;
  Parameters parameters_;
  std::list<Compiled> compiled_;  // the last used first
  bool needs_whole_batch_ = false;
};

}  // namespace engine

/// A model with its weights, run by oneDNN without LibTorch.
///
/// Gives what `Net<Model>` gives in evaluation mode, up to the rounding of float32.
/// @code
/// ivado::Engine engine(ivado::Unet<2>(), ivado::read_safetensors("model.safetensors"), {.threads = 4});
/// const ivado::Array<float> prediction = engine.forward(batch);  // [N, channel, height, width]
/// @endcode
template <Architecture Model>
class Engine {
 public:
  /// @param weights  by the names of the model's state dictionary
  /// @throws Error as `engine::Network`
  Engine(Model model, const nn::Weights& weights, const EngineOptions& options = {})
      : model_(std::make_shared<const Model>(std::move(model))),
        network_([model = model_](const Shape& shape) { return graph::record(*model, shape); }, model_->parameters(),
                 weights, options) {}

  /// As `engine::Network::forward`.
  [[nodiscard]] Array<float> forward(const Array<float>& image, const Array<float>& condition = {}) {
    return network_.forward(image, condition);
  }
  [[nodiscard]] const Model& model() const noexcept { return *model_; }
  [[nodiscard]] engine::Network& network() noexcept { return network_; }

 private:
  std::shared_ptr<const Model> model_;
  engine::Network network_;
};

}  // namespace ivado
