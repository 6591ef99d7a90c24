// What losses share, seen through them: precision, sums over a class, weights of classes.
#include <ivado/loss/class_sums.hpp>
#include <ivado/loss/l2loss.hpp>
#include <ivado/loss/multi_class_dice_loss.hpp>

#include "../catch.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("Losses work in float32, or in float64 where the prediction is that", "[unit]") {
  const auto type_of = [](at::ScalarType prediction, at::ScalarType target) {
    return L2loss()(at::ones({1, 2}, prediction), at::ones({1, 2}, target)).scalar_type();
  };
  CHECK(type_of(at::kFloat, at::kByte) == at::kFloat);
  CHECK(type_of(at::kBFloat16, at::kFloat) == at::kFloat);
  CHECK(type_of(at::kHalf, at::kBool) == at::kFloat);
  CHECK(type_of(at::kFloat, at::kDouble) == at::kFloat);
  CHECK(type_of(at::kDouble, at::kByte) == at::kDouble);
}

TEST_CASE("Half precision is no limit to the sums of a loss", "[unit]") {
  // Neither bfloat16 nor half holds 70001: the one ends at 8 bits, the other at 65504.
  const at::Tensor p = at::ones({1, 1, 70001}, at::kBFloat16);
  L2loss::Params params;
  params.as_ivadomed = true;
  CHECK(L2loss(params)(p, at::zeros_like(p)).item<double>() == 70001.0 / 2);
  CHECK(L2loss(params)(p.to(at::kHalf), at::zeros_like(p)).item<double>() == 70001.0 / 2);
}

TEST_CASE("Shapes of prediction and target that differ are an error that names loss and shapes", "[unit]") {
  CHECK_THROWS_WITH(L2loss()(at::zeros({1, 1, 2, 2}), at::zeros({1, 1, 2, 3})),
                    Contains("computing L2loss") && Contains("[1, 1, 2, 2]") && Contains("[1, 1, 2, 3]"));
}

TEST_CASE("Sums over a class run over samples and space", "[unit]") {
  // Class 0: Σ p = 1 + 1, Σ g = 2, all common. Class 1: Σ p = 1 + 0.5, Σ g = 1, 0.5 common.
  const at::Tensor p = worked::tensor({1, 0, 1, 0, 1, 0, 0, 0.5F}, {2, 2, 1, 2});
  const at::Tensor g = worked::tensor({1, 0, 0, 0, 1, 0, 0, 1}, {2, 2, 1, 2});
  CHECK(MultiClassDiceLoss()(p, g).item<double>() == Approx(-(1 + 2.0 / 3.5) / 2));
}

TEST_CASE("Only the ratios of class weights matter, and only among the classes in use", "[unit]") {
  using Weights = std::vector<double>;
  const at::Tensor p = worked::tensor({1, 1, 0, 1, 0, 0}, {1, 3, 1, 2});
  const at::Tensor g = worked::tensor({1, 0, 0, 1, 1, 1}, {1, 3, 1, 2});
  // Dice of the classes: 3/4, 1, 1/3.
  const auto value = [&](const MultiClassDiceLoss::Params& params) {
    return MultiClassDiceLoss(params)(p, g).item<double>();
  };
  CHECK(value({{}, Weights{1, 0, 3}}) == Approx(-(0.75 + 3.0 / 3) / 4));
  CHECK(value({{}, Weights{0.1, 0, 0.3}}) == Approx(-(0.75 + 3.0 / 3) / 4));
  CHECK(value({std::vector<std::int64_t>{0, 1}, Weights{1, 0, 3}}) == Approx(-0.75));
  CHECK_THROWS_WITH(value({{}, Weights{1, 3}}), Contains("class_weights has 2 numbers, there are 3 classes"));
  CHECK_THROWS_WITH(value({std::vector<std::int64_t>{1}, Weights{1, 0, 3}}), Contains("0 for every class in use"));
  CHECK_THROWS_WITH(value({{}, Weights{0, 0, 0}}), Contains("class_weights") && Contains("a number above 0"));
}
