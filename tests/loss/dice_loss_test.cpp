// The Dice loss: hand-worked values and the laws of a loss.
#include <ivado/loss/loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
at::Tensor tensor(std::vector<float> values, std::vector<std::int64_t> shape) {
  return at::from_blob(values.data(), shape).clone();
}
}  // namespace

TEST_CASE("Dice loss of hand-worked cases", "[unit]") {
  const at::Tensor p = tensor({0.9F, 0.2F, 0.4F, 0.7F}, {1, 1, 2, 2});
  const at::Tensor g = tensor({1, 0, 1, 1}, {1, 1, 2, 2});
  // -(2·2.0 + 1) / (2.2 + 3 + 1)
  CHECK(DiceLoss()(p, g).item<double>() == Approx(-5.0 / 6.2).epsilon(1e-6));
  DiceLoss::Params params;
  params.smooth = 0.5;
  CHECK(DiceLoss(params)(p, g).item<double>() == Approx(-4.5 / 5.7).epsilon(1e-6));
  CHECK(DiceLoss()(at::zeros({1, 1, 2, 2}), at::zeros({1, 1, 2, 2})).item<double>() == -1);
  CHECK(DiceLoss()(at::zeros({1, 1, 2, 2}), tensor({1, 0, 0, 1}, {1, 1, 2, 2})).item<double>() == Approx(-1.0 / 3));
}

TEST_CASE("Dice loss takes masks of whole numbers and half precision", "[unit]") {
  const at::Tensor p = tensor({0.5F, 0.25F, 0.75F, 1}, {1, 1, 2, 2});
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

TEST_CASE("A loss is chosen by its name", "[unit]") {
  const AnyLoss loss = make_loss<AnyLoss>(Json::parse(R"({"name": "DiceLoss", "smooth": 0.5})"));
  const at::Tensor p = at::full({1, 1, 2, 2}, 0.5);
  const at::Tensor g = at::ones({1, 1, 2, 2});
  CHECK(loss(p, g).item<double>() == Approx(-(4 + 0.5) / (6 + 0.5)));
  CHECK_THROWS_WITH(make_loss<AnyLoss>(Json::parse(R"({"name": "DiceLos"})")), Contains("DiceLoss"));
  CHECK_THROWS_WITH(make_loss<AnyLoss>(Json::parse(R"({"name": "TverskyLoss"})")),
                    Contains("TverskyLoss does not exist in ivado yet"));
  CHECK_THROWS_WITH(make_loss<AnyLoss>(Json::parse(R"({"name": "DiceLoss", "smoth": 1})")),
                    Contains("smoth") && Contains("smooth"));
  CHECK_THROWS_WITH(make_loss<DiceLoss>(Json::parse(R"({"name": "FocalLoss"})")), Contains("compiled with DiceLoss"));
}
