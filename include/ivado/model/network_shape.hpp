// The numbers of a network that its type may leave open, and how type and configuration are held together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "../config/params.hpp"
#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../nn/parameter.hpp"

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
IVADO_INLINE void require_number(std::string_view model, std::string_view what, int in_type, int given) {
  if (in_type != dynamic && in_type != given)
    throw usage_error(
        "building a " + std::string(model),
        std::string(what) + " " + std::to_string(given) + " asked for, its type has " + std::to_string(in_type),
        "change the configuration or the type");
}

/// Holds the numbers of a model's type, of which any may be `dynamic`, against those that are asked for.
/// @throws Error (usage) if two differ
IVADO_INLINE void require_shape(std::string_view model, const NetworkShape& in_type, const NetworkShape& given) {
  require_number(model, "input channels", in_type.in_channels, given.in_channels);
  require_number(model, "classes", in_type.classes, given.classes);
  require_number(model, "depth", in_type.depth, given.depth);
}

}  // namespace detail

/// What every model has besides its layers.
template <class Parameters>
class ModelBase {
 public:
  /// The parameters and buffers, in the order of the state dictionary of ivadomed, or of torchvision where that has it.
  [[nodiscard]] const nn::ParameterList& parameters() const noexcept { return list_; }
  [[nodiscard]] const Parameters& params() const noexcept { return params_; }
  [[nodiscard]] const NetworkShape& shape() const noexcept { return shape_; }

 protected:
  ModelBase(const Parameters& params, const NetworkShape& shape) : params_(params), shape_(shape) {}

  Parameters params_;
  NetworkShape shape_;
  nn::ParameterList list_;
};

}  // namespace ivado
