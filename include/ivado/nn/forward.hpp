// The one way to run an architecture's forward: some take the image alone, some a condition beside it.
#pragma once

#include <cstdint>
#include <vector>

#include "layers.hpp"

namespace ivado::nn {

/// Length of the condition that an architecture takes beside the image, as [N, length]: one-hot metadata (FiLM), the
/// presence of each contrast (HeMIS). 0: it takes the image alone.
template <class Architecture>
[[nodiscard]] std::int64_t conditions(const Architecture& architecture) {
  if constexpr (requires { architecture.conditions(); })
    return architecture.conditions();
  else
    return 0;
}

/// Runs the forward of an architecture.
/// @param condition  [N, conditions]; not looked at where the architecture takes none
template <class Architecture, Interpreter On>
[[nodiscard]] typename On::Value forward(const Architecture& architecture, On& on, const typename On::Value& image,
                                         const typename On::Value& condition) {
  if constexpr (requires { architecture.forward(on, image, condition); })
    return architecture.forward(on, image, condition);
  else
    return architecture.forward(on, image);
}

/// The prediction and the further ones of lower resolution, the finest first, of an architecture with deep supervision;
/// of another one the prediction alone.
template <class Architecture, Interpreter On>
[[nodiscard]] std::vector<typename On::Value> forward_supervised(const Architecture& architecture, On& on,
                                                                 const typename On::Value& image,
                                                                 const typename On::Value& condition) {
  if constexpr (requires { architecture.forward_supervised(on, image, condition); })
    return architecture.forward_supervised(on, image, condition);
  else if constexpr (requires { architecture.forward_supervised(on, image); })
    return architecture.forward_supervised(on, image);
  else
    return {forward(architecture, on, image, condition)};
}

}  // namespace ivado::nn
