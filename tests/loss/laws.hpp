// The laws of a loss, for any loss: run them on your own as well.
#pragma once

#include <ATen/ATen.h>

#include <ivado/loss/concept.hpp>
#include <vector>

#include "../catch.hpp"

/// The gradient of a loss with respect to its prediction.
template <ivado::Loss LossFunction>
at::Tensor loss_gradient(const LossFunction& loss, const at::Tensor& prediction, const at::Tensor& target) {
  const at::Tensor leaf = prediction.detach().clone().requires_grad_(true);
  loss(leaf, target).backward();
  return leaf.grad().contiguous();
}

/// Finite for finite input, and so is its gradient; least at a perfect prediction; gradient agrees with central
/// differences (in double); float32 for half precision and labels of whole numbers.
template <ivado::Loss LossFunction>
void check_loss_laws(const LossFunction& loss, const std::vector<std::vector<std::int64_t>>& shapes = {
                                                   {1, 1, 2, 3}, {2, 3, 5, 4}, {1, 2, 3, 2, 2}}) {
  for (const auto& shape : shapes) {
    at::manual_seed(5);
    const at::Tensor target = (at::rand(shape, at::kDouble) > 0.5).to(at::kDouble);
    const at::Tensor prediction = at::rand(shape, at::kDouble) * 0.8 + 0.1;
    const double perfect = loss(target, target).template item<double>();
    CHECK(std::isfinite(perfect));
    CHECK(loss(prediction, target).template item<double>() >= perfect);

    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      const at::Tensor zeros = at::zeros(shape, type);
      const at::Tensor ones = at::ones(shape, type);
      const at::Tensor truth = target.to(type);
      const std::vector<std::pair<at::Tensor, at::Tensor>> extremes{{zeros, zeros}, {ones, zeros},  {zeros, ones},
                                                                    {ones, ones},   {truth, truth}, {1 - truth, truth}};
      for (const auto& [p, g] : extremes) {
        CHECK(std::isfinite(loss(p, g).template item<double>()));
        CHECK(at::isfinite(loss_gradient(loss, p, g)).all().template item<bool>());
      }
    }

    const at::Tensor half = prediction.to(at::kBFloat16);
    const at::Tensor low = loss(half, target.to(at::kByte));
    CHECK(low.scalar_type() == at::kFloat);
    CHECK(low.dim() == 0);
    CHECK(low.template item<double>() ==
          Approx(loss(half.to(at::kDouble), target).template item<double>()).epsilon(1e-4));

    const at::Tensor gradient = loss_gradient(loss, prediction, target);
    constexpr double step = 1e-6;
    for (std::int64_t i = 0; i < prediction.numel(); ++i) {
      at::Tensor moved = prediction.clone();
      moved.data_ptr<double>()[i] += step;
      const double above = loss(moved, target).template item<double>();
      moved.data_ptr<double>()[i] -= 2 * step;
      const double below = loss(moved, target).template item<double>();
      REQUIRE(gradient.data_ptr<double>()[i] == Approx((above - below) / (2 * step)).epsilon(1e-5).margin(1e-8));
    }
    CHECK_THROWS_AS(loss(prediction, at::zeros({1}, at::kDouble)), ivado::Error);
  }
}
