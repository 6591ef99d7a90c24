// Ranges that random transforms draw from, and the checks that all of them make.
#pragma once

#include <array>
#include <cmath>
#include <string>

#include "../config/params.hpp"
#include "../error.hpp"
#include "../inline.hpp"

namespace ivado {

/// A range of numbers. In JSON a pair [low, high], or a number d ≥ 0 for [-d, d].
struct SymmetricRange {
  double low = 0;
  double high = 0;

  constexpr SymmetricRange() = default;
  /// [-reach, reach]
  constexpr SymmetricRange(double reach) : low(-reach), high(reach) {}
  constexpr SymmetricRange(double lowest, double highest) : low(lowest), high(highest) {}

  /// Reads 5 or [-5, 5].
  /// @throws Error (usage) if it is something else, negative, or the pair runs downwards
  [[nodiscard]] IVADO_INLINE static SymmetricRange from_json(const Json& json, const std::string& path) {
    if (json.is_number() && json.get<double>() >= 0) return {json.get<double>()};
    if (json.is_array() && json.size() == 2 && json[0].is_number() && json[1].is_number() &&
        json[0].get<double>() <= json[1].get<double>())
      return {json[0].get<double>(), json[1].get<double>()};
    throw detail::value_error(path, json, "a number >= 0, or a pair [low, high]");
  }
  /// A number where the range is symmetric, else a pair.
  [[nodiscard]] Json to_json() const { return low == -high && high >= 0 ? Json(high) : Json::array({low, high}); }
  [[nodiscard]] IVADO_INLINE static Json schema() {
    return {
        {"anyOf",
         Json::array({Json{{"type", "number"}, {"minimum", 0}},
                      Json{{"type", "array"}, {"items", {{"type", "number"}}}, {"minItems", 2}, {"maxItems", 2}}})}};
  }
  [[nodiscard]] static std::string type_name() { return "number or pair of numbers"; }
};

namespace detail {

/// @throws Error (usage) if a range runs downwards, is not finite, or starts below `least`
IVADO_INLINE void check_range(const char* transform, const char* key, double low, double high,
                              double least = -INFINITY) {
  if (low <= high && low >= least && std::isfinite(low) && std::isfinite(high)) return;
  throw usage_error(text("setting up ", transform), text(key, " is [", low, ", ", high, "]"),
                    std::isfinite(least) ? text("give the lower number first, both >= ", least)
                                         : "give the lower number first, both finite");
}

/// @throws Error (usage) if `p` is no probability
IVADO_INLINE void check_probability(const char* transform, double p) {
  if (p >= 0 && p <= 1) return;
  throw usage_error(text("setting up ", transform), text("p is ", p), "give a probability in [0, 1]");
}

}  // namespace detail
}  // namespace ivado
