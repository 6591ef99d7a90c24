// Dice and cross-entropy: the sum of its parts, weights, laws.
#include <ivado/loss/dice_cross_entropy_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("Dice and cross-entropy of hand-worked cases", "[unit]") {
  const double dice = 4 / 5.2;
  const double entropy = -(std::log(0.9) + std::log(0.8) + std::log(0.4) + std::log(0.7)) / 4;
  CHECK(worked::value(DiceCrossEntropyLoss(), worked::soft()) == Approx(entropy - dice).epsilon(1e-5));
  DiceCrossEntropyLoss::Params params;
  params.weight_dice = 0.5;
  params.weight_ce = 2;
  params.smooth = 1;
  CHECK(worked::value(DiceCrossEntropyLoss(params), worked::soft()) ==
        Approx(2 * entropy - 0.5 * 5 / 6.2).epsilon(1e-5));
  CHECK(worked::value(DiceCrossEntropyLoss(), worked::perfect()) == Approx(-1));
}

TEST_CASE("Class weights act on Dice and on cross-entropy", "[unit]") {
  DiceCrossEntropyLoss::Params params;
  params.class_weights = std::vector<double>{3, 1};
  params.smooth = 1;
  const at::Tensor p = worked::tensor({0.9F, 0.4F}, {1, 2, 1, 1});
  const at::Tensor g = worked::tensor({1, 0}, {1, 2, 1, 1});
  const double entropy = -(3 * std::log(0.9) + std::log(0.6)) / 4;
  const double dice = (3 * 2.8 / 2.9 + 1 / 1.4) / 4;
  CHECK(DiceCrossEntropyLoss(params)(p, g).item<double>() == Approx(entropy - dice).epsilon(1e-5));
  CHECK_THROWS_WITH(DiceCrossEntropyLoss(params)(at::zeros({1, 1, 2, 2}), at::zeros({1, 1, 2, 2})),
                    Contains("DiceCrossEntropyLoss") && Contains("2 numbers, there are 1 classes"));
}

TEST_CASE("Dice and cross-entropy cannot both weigh nothing", "[unit]") {
  CHECK_THROWS_WITH(
      from_json<DiceCrossEntropyLoss::Params>(Json::parse(R"({"weight_dice": 0, "weight_ce": 0})"), "loss"),
      Contains("loss.weight_ce"));
}

TEST_CASE("Dice and cross-entropy obey the laws of a loss", "[unit]") {
  check_loss_laws(DiceCrossEntropyLoss());
  DiceCrossEntropyLoss::Params params;
  params.class_weights = std::vector<double>{1, 4};
  check_loss_laws(DiceCrossEntropyLoss(params), {{1, 2, 3, 2, 2}});
}
