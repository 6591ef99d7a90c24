// The focal Dice loss: ivadomed's values, its parts, laws.
#include <ivado/loss/focal_dice_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;

TEST_CASE("Focal Dice loss has ivadomed's values", "[unit]") {
  // Perfect: ln 1e-7 - ln 1.
  worked::check_values(FocalDiceLoss(), -2.113314, std::log(1e-7), 3.689671, -1.161939);
}

TEST_CASE("Focal Dice loss is made of the logarithms of its parts", "[unit]") {
  FocalDiceLoss::Params params;
  params.beta = 0.5;
  params.gamma = 1;
  params.alpha = 0.6;
  FocalLoss::Params focal;
  focal.gamma = 1;
  focal.alpha = 0.6;
  focal.as_ivadomed = true;
  const auto [p, g] = worked::soft();
  CHECK(FocalDiceLoss(params)(p, g).item<double>() ==
        Approx(std::log(FocalLoss(focal)(p, g).item<double>()) - 0.5 * std::log(5.0 / 6.2)).epsilon(1e-5));
}

TEST_CASE("The gradient of the focal Dice loss does not depend on the size of the batch", "[unit]") {
  const auto [p, g] = worked::soft();
  const at::Tensor of_one = loss_gradient(FocalDiceLoss(), p, g);
  FocalDiceLoss::Params focal_alone;
  focal_alone.beta = 0;
  const at::Tensor one = loss_gradient(FocalDiceLoss(focal_alone), p, g);
  const at::Tensor many = loss_gradient(FocalDiceLoss(focal_alone), p.repeat({4, 1, 1, 1}), g.repeat({4, 1, 1, 1}));
  CHECK(at::allclose(many.sum(0, true), one, 1e-5));
  CHECK_FALSE(at::allclose(of_one, one));
}

TEST_CASE("Focal Dice loss obeys the laws of a loss", "[unit]") { check_loss_laws(FocalDiceLoss()); }
