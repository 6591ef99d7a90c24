// The focal Tversky loss: hand-worked values, the gradient of a perfect class, laws.
#include <ivado/loss/focal_tversky_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;

TEST_CASE("Focal Tversky loss of hand-worked cases", "[unit]") {
  const double index = 3 / (3 + 0.7 * 0.2 + 0.3 * 1.0);
  CHECK(worked::value(FocalTverskyLoss(), worked::soft()) == Approx(std::pow(1 - index, 1 / 1.33)).epsilon(1e-5));
  FocalTverskyLoss::Params params;
  params.as_ivadomed = true;
  for (const auto& loss : {FocalTverskyLoss(), FocalTverskyLoss(params)})
    worked::check_values(loss, 0.213055, 0, 0.496377, 0.301410);
  params.gamma = 1;
  CHECK(worked::value(FocalTverskyLoss(params), {at::zeros({1, 1, 2, 2}), worked::image(1, 0, 0, 1)}) == Approx(0.375));
}

TEST_CASE("A perfect class takes no other class its gradient", "[unit]") {
  const at::Tensor p = worked::tensor({0, 0, 0.5F, 0.25F}, {1, 2, 1, 2});
  const at::Tensor g = worked::tensor({0, 0, 1, 0}, {1, 2, 1, 2});
  const at::Tensor gradient = loss_gradient(FocalTverskyLoss(), p, g);
  CHECK(gradient.select(1, 0).abs().max().item<double>() == 0);
  CHECK(gradient.select(1, 1)[0][0][0].item<double>() < 0);
  CHECK(gradient.select(1, 1)[0][0][1].item<double>() > 0);
  FocalTverskyLoss::Params params;
  params.as_ivadomed = true;
  CHECK(loss_gradient(FocalTverskyLoss(params), p, g).select(1, 0).isnan().all().item<bool>());
}

TEST_CASE("Focal Tversky loss obeys the laws of a loss", "[unit]") {
  check_loss_laws(FocalTverskyLoss());
  FocalTverskyLoss::Params params;
  params.alpha = 0.3;
  params.beta = 0.7;
  params.gamma = 0.75;
  check_loss_laws(FocalTverskyLoss(params));
}
