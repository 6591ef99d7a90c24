// The Tversky loss: hand-worked values, its relation to Dice, laws.
#include <ivado/loss/multi_class_dice_loss.hpp>
#include <ivado/loss/tversky_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;

TEST_CASE("Tversky loss of hand-worked cases", "[unit]") {
  // TP 2.0, FP 0.2, FN 1.0.
  CHECK(worked::value(TverskyLoss(), worked::soft()) == Approx(-3 / (3 + 0.7 * 0.2 + 0.3 * 1.0)).epsilon(1e-6));
  worked::check_values(TverskyLoss(), -0.872093, -1, -0.606061, -0.797101);
  TverskyLoss::Params params;
  params.alpha = 0.3;
  params.beta = 0.7;
  CHECK(worked::value(TverskyLoss(params), {at::zeros({1, 1, 2, 2}), worked::image(1, 0, 0, 1)}) == Approx(-1 / 2.4));
}

TEST_CASE("Tversky loss with equal halves is Dice, class by class", "[unit]") {
  TverskyLoss::Params params;
  params.alpha = params.beta = 0.5;
  params.smooth = 0.5;  // Dice has it in both terms of a doubled fraction
  at::manual_seed(3);
  const at::Tensor p = at::rand({2, 3, 4, 5}, at::kDouble);
  const at::Tensor g = (at::rand({2, 3, 4, 5}, at::kDouble) > 0.6).to(at::kDouble);
  CHECK(TverskyLoss(params)(p, g).item<double>() == Approx(MultiClassDiceLoss()(p, g).item<double>()));
}

TEST_CASE("Tversky loss obeys the laws of a loss", "[unit]") { check_loss_laws(TverskyLoss()); }
