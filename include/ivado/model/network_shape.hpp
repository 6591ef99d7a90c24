// The numbers of a network that its type may leave open, and how type and configuration are held together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "../config/params.hpp"
#include "../data/array.hpp"
#include "../error.hpp"

namespace ivado {

/// The numbers of a network that its type may leave open (`dynamic`), as the data and the configuration give them.
struct NetworkShape {
  int in_channels = 1;
  int classes = 1;     ///< of the output, without background
  int depth = 3;       ///< poolings
  int conditions = 0;  ///< length of the metadata's one-hot code (FiLM); 0: no metadata
};

namespace detail {

/// @throws Error (usage) if a number of a model's type and the one that is asked for differ
inline void require_number(std::string_view model, std::string_view what, int in_type, int given) {
  if (in_type != dynamic && in_type != given)
    throw usage_error(
        "building a " + std::string(model),
        std::string(what) + " " + std::to_string(given) + " asked for, its type has " + std::to_string(in_type),
        "change the configuration or the type");
}

}  // namespace detail
}  // namespace ivado
