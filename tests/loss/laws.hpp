// The laws of a loss, for any loss: run them on your own as well.
#pragma once

#include <ATen/ATen.h>

#include <ivado/loss/concept.hpp>

#include "../catch.hpp"

/// Finite for finite input; least at a perfect prediction; gradient agrees with central differences (in double).
template <ivado::Loss LossFunction>
void check_loss_laws(const LossFunction& loss) {
  for (const auto& shape : {std::vector<std::int64_t>{1, 1, 2, 3}, std::vector<std::int64_t>{2, 3, 5, 4},
                            std::vector<std::int64_t>{1, 2, 3, 2, 2}}) {
    at::manual_seed(5);
    const at::Tensor target = (at::rand(shape, at::kDouble) > 0.5).to(at::kDouble);
    at::Tensor prediction = at::rand(shape, at::kDouble) * 0.8 + 0.1;
    const double perfect = loss(target, target).template item<double>();
    CHECK(std::isfinite(perfect));
    CHECK(loss(prediction, target).template item<double>() >= perfect);
    CHECK(std::isfinite(loss(at::zeros(shape), at::zeros(shape)).template item<double>()));
    CHECK(std::isfinite(loss(at::ones(shape), at::zeros(shape)).template item<double>()));

    prediction.requires_grad_(true);
    loss(prediction, target).backward();
    const at::Tensor gradient = prediction.grad().contiguous();
    constexpr double step = 1e-6;
    for (std::int64_t i = 0; i < prediction.numel(); ++i) {
      at::Tensor moved = prediction.detach().clone();
      moved.data_ptr<double>()[i] += step;
      const double above = loss(moved, target).template item<double>();
      moved.data_ptr<double>()[i] -= 2 * step;
      const double below = loss(moved, target).template item<double>();
      REQUIRE(gradient.data_ptr<double>()[i] == Approx((above - below) / (2 * step)).epsilon(1e-5).margin(1e-8));
    }
  }
}
