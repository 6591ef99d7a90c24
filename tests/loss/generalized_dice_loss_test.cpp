// The generalised Dice loss: hand-worked values, the background, large structures, laws.
#include <ivado/loss/generalized_dice_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;

namespace {
GeneralizedDiceLoss make(bool include_background, bool as_ivadomed = false) {
  GeneralizedDiceLoss::Params params;
  params.include_background = include_background;
  params.as_ivadomed = as_ivadomed;
  return GeneralizedDiceLoss(params);
}
}  // namespace

TEST_CASE("Generalised Dice loss of hand-worked cases", "[unit]") {
  // Foreground: Σ p·g = 2, Σ p + Σ g = 5.2, weight 1/9. Background: 0.8, 1.8 + 1, weight 1.
  CHECK(worked::value(make(true), worked::soft()) == Approx(-2 * (2.0 / 9 + 0.8) / (5.2 / 9 + 2.8)).epsilon(1e-6));
  CHECK(worked::value(make(false), worked::soft()) == Approx(-2 * 2.0 / 5.2).epsilon(1e-6));
}

TEST_CASE("Generalised Dice loss as ivadomed has it", "[unit]") {
  worked::check_values(make(true, true), -0.281690, -1, -0.0625, -0.636364);
  worked::check_values(make(false, true), -0.769231, -1, -0.4, -0.636364);
}

TEST_CASE("The background of the generalised Dice loss has a gradient", "[unit]") {
  // A class that no sample has: the background alone says that its prediction is wrong.
  const at::Tensor p = at::full({1, 1, 2, 2}, 0.5);
  const at::Tensor none = at::zeros({1, 1, 2, 2});
  CHECK(loss_gradient(make(true), p, none).min().item<double>() > 0);
  CHECK(loss_gradient(make(true, true), p, none).abs().max().item<double>() == 0);
}

TEST_CASE("The background of classes that overlap is not negative", "[unit]") {
  const at::Tensor both = at::ones({1, 2, 2, 2});
  CHECK(make(true)(both, both).item<double>() == Approx(-1));
}

TEST_CASE("Generalised Dice loss of a large structure is not scaled down", "[unit]") {
  const at::Tensor all = at::ones({1, 1, 500, 500});
  const at::Tensor half = all * 0.5;
  // -2 · 0.5 / 1.5, of any size; ivadomed's denominator, 1.5 / 250000, ends at 1e-5.
  CHECK(make(false)(half, all).item<double>() == Approx(-2.0 / 3));
  CHECK(make(false, true)(half, all).item<double>() == Approx(-1.0 / 250000 / 1e-5));
}

TEST_CASE("Nothing in both, and no background, give 0", "[unit]") {
  CHECK(make(false)(at::zeros({1, 1, 2, 2}), at::zeros({1, 1, 2, 2})).item<double>() == 0);
  CHECK(make(true)(at::zeros({1, 1, 2, 2}), at::zeros({1, 1, 2, 2})).item<double>() == Approx(-1));
}

TEST_CASE("Epsilon limits the weight of an absent class", "[unit]") {
  GeneralizedDiceLoss::Params params;
  params.include_background = false;
  params.epsilon = 0.5;
  // Class 0 is right (1 voxel, weight 1), class 1 is absent (weight 2) and predicted with 0.25.
  const at::Tensor p = worked::tensor({1, 0.25F}, {1, 2, 1, 1});
  const at::Tensor g = worked::tensor({1, 0}, {1, 2, 1, 1});
  CHECK(GeneralizedDiceLoss(params)(p, g).item<double>() == Approx(-2 * 1 / (2 + 2 * 0.25)));
}

TEST_CASE("Generalised Dice loss obeys the laws of a loss", "[unit]") {
  check_loss_laws(make(true));
  check_loss_laws(make(false));
}
