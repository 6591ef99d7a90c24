// Transfer learning as ivadomed means it: weights of a trained model, the last layers trained, the others frozen.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "../inline.hpp"
#include "../model/net.hpp"

namespace ivado {

/// Number of the first layer that is trained, of `layers` that have parameters: round(n (1 - fraction)), half to even.
///
/// 0 trains all, `layers` none. ivadomed counts instance norms without parameters as layers, which shifts the number
/// and for some fractions freezes everything (known-problems B4.1).
[[nodiscard]] IVADO_INLINE std::size_t first_trained_layer(std::size_t layers, double fraction) {
  return static_cast<std::size_t>(std::nearbyint(static_cast<double>(layers) * (1 - fraction)));
}

/// What a transfer did.
struct TransferSummary {
  std::size_t layers = 0;         ///< with parameters
  std::size_t first_trained = 0;  ///< those before it are frozen
  bool reset = false;             ///< the trained ones began with new values
};

/// Gives a net the weights of a trained model, freezes all but the last layers, and gives those new initial values
/// where `reset` asks for it.
///
/// Frozen layers get no gradient, run in evaluation mode (running statistics stay, no dropout) and leave no autograd
/// graph; ivadomed's keep updating their statistics and save no time (known-problems A6, B4.2). With `reset` the
/// weights of the trained layers are not looked at, so a model with another number of classes can serve.
/// @param fraction  of the layers with parameters that is trained, counted from the end, in [0, 1]
/// @param source    of the weights, for messages
/// @param seed      of the new values
/// @throws Error (data) listing names and shapes that do not match
template <class AnyNet>
TransferSummary transfer(AnyNet& net, const nn::Weights& weights, double fraction, bool reset,
                         const std::string& source, std::uint64_t seed) {
  TransferSummary out{net.layers(), 0, reset};
  out.first_trained = first_trained_layer(out.layers, fraction);
  const bool whole = !reset || out.first_trained == out.layers;  // buffers of a module stand behind its parameters
  load_weights(net, weights, source, whole ? net.tensors().size() : net.first_tensor_of(out.first_trained));
  if (reset) net.reset_from(out.first_trained, seed);
  net.freeze_before(out.first_trained);
  return out;
}

}  // namespace ivado
