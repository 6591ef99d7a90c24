// The Dice loss: hand-worked values and the laws of a loss.
#include <ivado/loss/dice_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("Dice loss of hand-worked cases", "[unit]") {
  const auto [p, g] = worked::soft();
  // -(2·2.0 + 1) / (2.2 + 3 + 1)
  CHECK(DiceLoss()(p, g).item<double>() == Approx(-5.0 / 6.2).epsilon(1e-6));
  DiceLoss::Params params;
  params.smooth = 0.5;
  CHECK(DiceLoss(params)(p, g).item<double>() == Approx(-4.5 / 5.7).epsilon(1e-6));
  CHECK(DiceLoss()(at::zeros({1, 1, 2, 2}), at::zeros({1, 1, 2, 2})).item<double>() == -1);
  CHECK(DiceLoss()(at::zeros({1, 1, 2, 2}), worked::image(1, 0, 0, 1)).item<double>() == Approx(-1.0 / 3));
  worked::check_values(DiceLoss(), -0.806452, -1, -0.5, -0.692308);
}

TEST_CASE("Dice loss takes masks of whole numbers and half precision", "[unit]") {
  const at::Tensor p = worked::image(0.5F, 0.25F, 0.75F, 1);
  const at::Tensor g = at::ones({1, 1, 2, 2}, at::kByte);
  const double expected = -(2 * 2.5 + 1) / (2.5 + 4 + 1);
  CHECK(DiceLoss()(p, g).item<double>() == Approx(expected));
  const at::Tensor low = DiceLoss()(p.to(at::kBFloat16), g);
  CHECK(low.scalar_type() == at::kFloat);
  CHECK(low.item<double>() == Approx(expected));
}

TEST_CASE("Dice loss obeys the laws of a loss", "[unit]") {
  check_loss_laws(DiceLoss());
  DiceLoss::Params params;
  params.smooth = 1e-5;
  check_loss_laws(DiceLoss(params));
}

TEST_CASE("Shapes that differ are an error that names both", "[unit]") {
  CHECK_THROWS_WITH(DiceLoss()(at::zeros({1, 1, 2, 2}), at::zeros({1, 1, 2, 3})),
                    Contains("[1, 1, 2, 2]") && Contains("[1, 1, 2, 3]"));
}

TEST_CASE("Dice loss is for segmentation", "[unit]") {
  STATIC_REQUIRE(DiceLoss::tasks.meets(Task::segmentation));
  STATIC_REQUIRE_FALSE(DiceLoss::tasks.meets(Task::classification | Task::keypoints));
}
