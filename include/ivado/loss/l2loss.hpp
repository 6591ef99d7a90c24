// Half the squared error.
#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../task.hpp"
#include "class_sums.hpp"
#include "concept.hpp"

namespace ivado {

/// Half the mean squared error.
///
///   L = mean of (p - g)² / 2
///
/// ≥ 0.
/// @note  ivadomed takes the sum over all values, which grows with image and batch and so changes what a learning rate
///         or a combination of losses means (known-problems B5.2): `as_ivadomed`.
class L2loss {
 public:
  struct Params {
    bool as_ivadomed = false;  ///< the sum instead of the mean

    static constexpr auto fields() {
      return ivado::fields(
          field<"as_ivadomed", &Params::as_ivadomed>("true: the sum over all voxels instead of the mean"));
    }
  };
  static constexpr std::string_view name = "L2loss";
  static constexpr TaskSet tasks = all_tasks;

  L2loss() = default;
  explicit L2loss(const Params& params) : params_(params) {}

  [[nodiscard]] const Params& params() const noexcept { return params_; }

  /// @param  prediction  [N, C, spatial…] or [N, C], after the model's last activation
  /// @param  target      the same shape
  /// @return             scalar, float32 even where the input is bf16 (float64 where it is that)
  /// @throws Error       if the shapes differ
  [[nodiscard]] IVADO_INLINE at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    const auto [p, g] = detail::loss_input(name, prediction, target);
    const at::Tensor squares = (p - g).square();
    return (params_.as_ivadomed ? squares.sum() : squares.mean()) / 2;
  }

 private:
  Params params_;
};

static_assert(Loss<L2loss>);

}  // namespace ivado
