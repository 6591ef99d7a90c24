// RemoveSmall: objects below a size go.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../metric/components.hpp"
#include "concept.hpp"

namespace ivado {

/// The unit of a size of objects.
enum class VolumeUnit {
  vox,  ///< voxels
  mm3,  ///< cubic millimetres
};

template <>
struct EnumNames<VolumeUnit> {
  static constexpr std::array values{std::pair{std::string_view{"vox"}, VolumeUnit::vox},
                                     std::pair{std::string_view{"mm3"}, VolumeUnit::mm3}};
};

/// A size for all classes, or one a class: a number or a list of numbers in JSON.
class SizePerClass {
 public:
  SizePerClass() = default;
  /// One size for all classes.
  IVADO_INLINE SizePerClass(double all)
      : values_{all} {}  // NOLINT(google-explicit-constructor): reads as the number that it is
  /// A size for each class.
  explicit SizePerClass(std::vector<double> each) : values_(std::move(each)), is_list_(true) {}

  /// The size for class `c` of `classes`.
  /// @throws Error (usage) if there is a list of another length
  [[nodiscard]] IVADO_INLINE double of(std::int64_t c, std::int64_t classes) const {
    if (!is_list_) return values_.front();
    if (static_cast<std::int64_t>(values_.size()) != classes)
      throw usage_error("removing small objects",
                        detail::text("the list of sizes has ", values_.size(), " values, the prediction has ", classes,
                                     classes == 1 ? " class" : " classes"),
                        "give remove_small.thr one number, or a list with one for each class");
    return values_[static_cast<std::size_t>(c)];
  }

  [[nodiscard]] IVADO_INLINE static SizePerClass from_json(const Json& json, const std::string& path) {
    if (json.is_number()) return ivado::from_json<double>(json, path);
    if (!json.is_array() || json.empty())
      throw detail::value_error(path, json, "a number, or a list with a number for each class");
    return SizePerClass(ivado::from_json<std::vector<double>>(json, path));
  }
  [[nodiscard]] IVADO_INLINE Json to_json() const {
    const auto number = [](double value) {
      return value == std::floor(value) && std::abs(value) < 1e15 ? Json(static_cast<std::int64_t>(value))
                                                                  : Json(value);
    };
    if (!is_list_) return number(values_.front());
    Json list = Json::array();
    for (const double value : values_) list.push_back(number(value));
    return list;
  }
  [[nodiscard]] IVADO_INLINE static Json schema() {
    return {{"anyOf", Json::array({Json{{"type", "number"}},
                                   Json{{"type", "array"}, {"items", Json{{"type", "number"}}}, {"minItems", 1}}})}};
  }
  [[nodiscard]] static std::string type_name() { return "number, or list of number"; }

 private:
  std::vector<double> values_{3};
  bool is_list_ = false;
};

/// Sets the connected components of non-zero values with fewer than `least_voxels` voxels to 0, in place.
/// @param values  any rank from 1 to 6, any strides
IVADO_INLINE void remove_small_components(ArrayView<float> values, double least_voxels,
                                          Connectivity connectivity = Connectivity::edges) {
  if (values.size() == 0) return;
  const Components components(values, connectivity);
  components.for_each_run(values, [&](std::int32_t label, float* run, std::int64_t stride, std::int64_t length) {
    if (static_cast<double>(components.size_of(label)) >= least_voxels) return;
    for (std::int64_t i = 0; i < length; ++i) run[i * stride] = 0;
  });
}

/// Removes, in each class, the objects smaller than `thr`: 18-connected components of non-zero values (so of a soft
/// prediction usually everything is one object: binarise first). Idempotent.
///
/// A size in mm³ is turned into voxels by the spacing and rounded, half to even, as in ivadomed. Unlike ivadomed, sizes
/// need not be whole numbers. The defaults are the values of ivadomed's documentation.
class RemoveSmall {
 public:
  struct Params {
    VolumeUnit unit = VolumeUnit::vox;
    SizePerClass thr;

    static constexpr auto fields() {
      return ivado::fields(field<"unit", &Params::unit>("unit of thr"),
                           field<"thr", &Params::thr>("objects smaller than this go; a list gives each class its own"));
    }
  };
  static constexpr std::string_view name = "remove_small";

  RemoveSmall() = default;
  explicit RemoveSmall(const Params& params) : params_(params) {}

  /// @throws Error (usage) if `thr` is a list of another length than the number of classes
  IVADO_INLINE void operator()(Prediction& prediction) const {
    if (prediction.voxels.empty()) return;
    const std::int64_t classes = prediction.voxels.extent(0);
    const auto& s = prediction.spacing_mm;
    for (std::int64_t c = 0; c < classes; ++c) {
      double least = params_.thr.of(c, classes);
      if (params_.unit == VolumeUnit::mm3) least = std::nearbyint(least / (s[0] * s[1] * s[2]));
      remove_small_components(prediction.voxels.view().select(0, c), least);
    }
  }

 private:
  Params params_;
};

static_assert(PostStep<RemoveSmall>);

}  // namespace ivado
