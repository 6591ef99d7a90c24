// The focal loss: ivadomed's values, the mean, its relation to cross-entropy, laws.
#include <ivado/loss/binary_cross_entropy_loss.hpp>
#include <ivado/loss/focal_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("Focal loss of one voxel by hand", "[unit]") {
  // Foreground at 0.4: 1/4 · -ln 0.4 · 0.6².
  CHECK(FocalLoss()(at::full({1, 1, 1, 1}, 0.4), at::ones({1, 1, 1, 1})).item<double>() ==
        Approx(-0.25 * std::log(0.4) * 0.36).epsilon(1e-6));
  // Background at 0.4: 3/4 · -ln 0.6 · 0.4².
  CHECK(FocalLoss()(at::full({1, 1, 1, 1}, 0.4), at::zeros({1, 1, 1, 1})).item<double>() ==
        Approx(-0.75 * std::log(0.6) * 0.16).epsilon(1e-6));
}

TEST_CASE("Focal loss is a mean, ivadomed's a sum", "[unit]") {
  FocalLoss::Params params;
  params.as_ivadomed = true;
  worked::check_values(FocalLoss(params), 0.0974491, 0, 20.0158, 0.216608);
  worked::check_values(FocalLoss(), 0.0974491 / 4, 0, 20.0158 / 4, 0.216608 / 4);
  const auto [p, g] = worked::soft();
  CHECK(FocalLoss()(p.repeat({3, 2, 4, 5}), g.repeat({3, 2, 4, 5})).item<double>() ==
        Approx(0.0974491 / 4).epsilon(1e-5));
}

TEST_CASE("Focal loss without focus is half the cross-entropy", "[unit]") {
  FocalLoss::Params params;
  params.gamma = 0;
  params.alpha = 0.5;
  const auto [p, g] = worked::soft();
  CHECK(FocalLoss(params)(p, g).item<double>() ==
        Approx(BinaryCrossEntropyLoss()(p, g).item<double>() / 2).epsilon(1e-6));
}

TEST_CASE("Focal loss holds the prediction within eps", "[unit]") {
  FocalLoss::Params params;
  params.eps = 0.1;
  params.gamma = 0;
  params.alpha = 1;
  CHECK(FocalLoss(params)(at::zeros({1, 1, 1, 1}), at::ones({1, 1, 1, 1})).item<double>() == Approx(-std::log(0.1)));
  // An eps that float32 cannot tell from 0 would give NaN.
  CHECK_THROWS_WITH(from_json<FocalLoss::Params>(Json{{"eps", 1e-9}}, "loss"), Contains("loss.eps"));
}

TEST_CASE("Focal loss obeys the laws of a loss", "[unit]") {
  check_loss_laws(FocalLoss());
  check_loss_laws(FocalLoss(), {{5, 3}});
  FocalLoss::Params params;
  params.gamma = 0.5;
  params.as_ivadomed = true;
  check_loss_laws(FocalLoss(params));
}
