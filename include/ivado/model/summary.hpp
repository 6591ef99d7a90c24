// `ivado summary`: layers, shapes, parameters, arithmetic and memory of a model for a given input. No LibTorch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/cost.hpp"
#include "../nn/graph.hpp"

namespace ivado {

/// What spatial sizes an architecture takes.
struct SizeRule {
  std::int64_t divisor = 1;   ///< every extent must be a multiple of it
  std::int64_t smallest = 1;  ///< the smallest extent along all axes that works
};

/// Finds the rule by recording the forward for small sizes.
/// @throws Error (usage) if the model takes no size up to 512
template <class Architecture>
[[nodiscard]] SizeRule size_rule(const Architecture& model, std::int64_t channels) {
  const auto works = [&](std::int64_t extent) {
    Shape shape{1, channels};
    for (int axis = 0; axis < Architecture::dimension; ++axis) shape.push_back(extent);
    try {
      (void)graph::record(model, shape);
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  for (std::int64_t divisor = 1; divisor <= 512; divisor *= 2) {
    // An odd multiple on either side of a size that surely is large enough tells whether the divisor will do.
    const std::int64_t multiple = std::max<std::int64_t>(1, 512 / divisor);
    if (!works(divisor * (multiple + 1)) || !works(divisor * (multiple + 3))) continue;
    std::int64_t smallest = divisor;
    while (!works(smallest)) smallest += divisor;
    return {divisor, smallest};
  }
  throw usage_error("looking for the sizes that a model takes", "none up to 512 works", "reduce its depth");
}

/// The table of a model's layers with totals.
struct Summary {
  std::string model;
  graph::Graph graph;
  std::vector<graph::Cost> costs;
  SizeRule sizes;

  [[nodiscard]] IVADO_INLINE graph::Cost total() const {
    graph::Cost sum;
    for (const auto& cost : costs) sum += cost;
    return sum;
  }
  /// All of it for programs.
  [[nodiscard]] IVADO_INLINE Json to_json() const {
    Json layers = Json::array();
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      const auto& node = graph.nodes[i];
      layers.push_back({{"name", node.name},
                        {"operation", std::string(nn::op_name(node.op))},
                        {"shape", std::vector<std::int64_t>(node.shape.begin(), node.shape.end())},
                        {"parameters", costs[i].parameters},
                        {"flops", costs[i].flops},
                        {"activation_bytes", costs[i].activation_bytes}});
    }
    const graph::Cost sum = total();
    return {{"model", model},
            {"layers", layers},
            {"parameters", sum.parameters},
            {"trained_values", graph.parameters.trained_values()},
            {"flops", sum.flops},
            {"activation_bytes", sum.activation_bytes},
            {"size_divisor", sizes.divisor},
            {"smallest_size", sizes.smallest}};
  }
  /// A table for people.
  IVADO_INLINE void print(std::ostream& out) const {
    std::size_t width = 10;
    for (const auto& node : graph.nodes) width = std::max(width, node.name.size());
    const auto mega = [](std::int64_t value, double unit) {
      std::ostringstream text;
      text << std::fixed << std::setprecision(3) << static_cast<double>(value) / unit;
      return text.str();
    };
    const auto row = [&](const std::string& name, std::string_view operation, const std::string& shape,
                         const std::string& parameters, const std::string& flops, const std::string& memory) {
      out << std::left << std::setw(static_cast<int>(width) + 2) << name << std::setw(24) << operation << std::setw(22)
          << shape << std::right << std::setw(12) << parameters << std::setw(12) << flops << std::setw(12) << memory
          << "\n";
    };
    row(model, "operation", "output", "parameters", "GFLOP", "MiB");
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      const auto& node = graph.nodes[i];
      row(node.name, nn::op_name(node.op), node.shape.text(), std::to_string(costs[i].parameters),
          mega(costs[i].flops, 1e9), mega(costs[i].activation_bytes, 1024.0 * 1024.0));
    }
    const graph::Cost sum = total();
    row("all", "", "", std::to_string(sum.parameters), mega(sum.flops, 1e9),
        mega(sum.activation_bytes, 1024.0 * 1024.0));
    out << "trained values: " << graph.parameters.trained_values() << " ("
        << mega(4 * graph.parameters.trained_values(), 1024.0 * 1024.0) << " MiB in float32)\n"
        << "forward: " << mega(sum.flops, 1e9)
        << " GFLOP (a multiply-add is two); a training step about three times it\n"
        << "activations: " << mega(sum.activation_bytes, 1024.0 * 1024.0) << " MiB that training keeps\n"
        << "sizes: every spatial extent "
        << (sizes.divisor > 1 ? "must be a multiple of " + std::to_string(sizes.divisor) + ", " : "") << "at least "
        << sizes.smallest << "\n";
  }
};

/// Records a model for an input shape [N, channel, spatial…] and works out its costs.
/// @param name  of the model, for the table
/// @throws Error (usage) if the model cannot work on that shape, with the rule that its sizes must satisfy
template <class Architecture>
[[nodiscard]] Summary summarize(const Architecture& model, const Shape& input, const std::string& name) {
  Summary out{name, {}, {}, size_rule(model, input.rank() > 1 ? input[1] : 1)};
  try {
    out.graph = graph::record(model, input);
  } catch (const Error& error) {
    throw usage_error("summing up " + name + " for an input of " + input.text(), error.what(),
                      "every spatial extent must be a multiple of " + std::to_string(out.sizes.divisor) +
                          " and at least " + std::to_string(out.sizes.smallest));
  }
  out.costs = graph::node_costs(out.graph);
  return out;
}

}  // namespace ivado
