// The adaptive wing loss: ivadomed's values, the weight of peaks and their neighbours, laws.
#include <ivado/loss/adap_wing_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
AdapWingLoss as_ivadomed(double omega = 14, double epsilon = 1) {
  AdapWingLoss::Params params;
  params.omega = omega;
  params.epsilon = epsilon;
  params.as_ivadomed = true;
  return AdapWingLoss(params);
}

/// Where the loss of a constant error is weighted: 1 at voxels with the weight 1 + ω. It is read off the gradient,
/// which has the weight as a factor.
at::Tensor weighted(const at::Tensor& truth) {
  const at::Tensor prediction = truth + 0.1;
  const at::Tensor with = loss_gradient(AdapWingLoss(), prediction, truth) * static_cast<double>(truth.numel());
  const at::Tensor without = loss_gradient(as_ivadomed(), prediction, truth);
  return ((with / without).round() == 15).to(at::kFloat);
}
}  // namespace

TEST_CASE("Adaptive wing loss as ivadomed has it", "[unit]") {
  worked::check_values(as_ivadomed(), 11.180902, 0, 29.014709, 16.081375);
  CHECK(worked::value(as_ivadomed(20), worked::wrong()) == Approx(41.4496).epsilon(3e-6));
  CHECK(worked::value(as_ivadomed(14, 2), worked::unsure()) == Approx(8.2703).epsilon(1e-5));
}

TEST_CASE("Adaptive wing loss is a mean in which peaks and their surroundings weigh more", "[unit]") {
  // Every voxel of these images is beside one of 1.
  worked::check_values(AdapWingLoss(), 15 * 11.180902 / 4, 0, 15 * 29.014709 / 4, 15 * 16.081375 / 4);
  // One small error in the background: ω ln(1 + 0.1^2.1), weight 1.
  const at::Tensor error = at::full({1, 1, 1, 1}, 0.1, at::kDouble);
  CHECK(AdapWingLoss()(error, at::zeros({1, 1, 1, 1}, at::kDouble)).item<double>() ==
        Approx(14 * std::log(1 + std::pow(0.1, 2.1))));
}

TEST_CASE("The neighbours of a peak share a corner in a slice, an edge in a volume", "[unit]") {
  at::Tensor slice = at::zeros({1, 1, 5, 5}, at::kDouble);
  slice[0][0][2][2] = 0.2;
  slice[0][0][0][0] = 0.19;  // no peak
  at::Tensor expected = at::zeros({1, 1, 5, 5});
  expected.slice(2, 1, 4).slice(3, 1, 4).fill_(1);
  CHECK(weighted(slice).equal(expected));

  at::Tensor volume = at::zeros({1, 1, 5, 5, 5}, at::kDouble);
  volume[0][0][2][2][2] = 1;
  at::Tensor cube = at::zeros({1, 1, 5, 5, 5});
  cube.slice(2, 1, 4).slice(3, 1, 4).slice(4, 1, 4).fill_(1);
  for (const int i : {1, 3})
    for (const int j : {1, 3})
      for (const int k : {1, 3}) cube[0][0][i][j][k] = 0;
  CHECK(weighted(volume).equal(cube));
  CHECK(weighted(volume).sum().item<double>() == 19);
}

TEST_CASE("Peaks of one class do not weigh another", "[unit]") {
  at::Tensor maps = at::zeros({1, 2, 3, 3}, at::kDouble);
  maps[0][1][1][1] = 1;
  const at::Tensor w = weighted(maps);
  CHECK(w.select(1, 0).sum().item<double>() == 0);
  CHECK(w.select(1, 1).sum().item<double>() == 9);
}

TEST_CASE("The pieces of the adaptive wing loss meet smoothly", "[unit]") {
  AdapWingLoss::Params params;
  params.theta = 0.3;
  params.alpha = 2.5;
  params.omega = 10;
  params.epsilon = 1.2;
  const AdapWingLoss loss(params);
  for (const double g : {0.0, 0.4, 1.0}) {
    const at::Tensor truth = at::full({1, 1, 1, 1}, g, at::kDouble);
    const auto at_error = [&](double error) { return truth + (g < 0.5 ? error : -error); };
    CHECK(loss(at_error(0.3 - 1e-9), truth).item<double>() ==
          Approx(loss(at_error(0.3 + 1e-9), truth).item<double>()).epsilon(1e-7));
    CHECK(loss_gradient(loss, at_error(0.3 - 1e-9), truth).item<double>() ==
          Approx(loss_gradient(loss, at_error(0.3 + 1e-9), truth).item<double>()).epsilon(1e-7));
  }
}

TEST_CASE("Adaptive wing loss is for maps", "[unit]") {
  CHECK_THROWS_WITH(AdapWingLoss()(at::zeros({2, 3}), at::zeros({2, 3})), Contains("[2, 3]"));
  CHECK_THROWS_WITH(from_json<AdapWingLoss::Params>(Json{{"alpha", 1.5}}, "loss"), Contains("loss.alpha"));
  STATIC_REQUIRE(AdapWingLoss::tasks.meets(Task::keypoints));
  STATIC_REQUIRE_FALSE(AdapWingLoss::tasks.meets(Task::classification));
}

TEST_CASE("Adaptive wing loss obeys the laws of a loss", "[unit]") {
  check_loss_laws(AdapWingLoss());
  check_loss_laws(as_ivadomed());
}
