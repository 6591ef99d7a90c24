// The L2 loss: hand-worked values, the mean, laws.
#include <ivado/loss/l2loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;

TEST_CASE("L2 loss is half a mean, ivadomed's half a sum", "[unit]") {
  // (0.1² + 0.2² + 0.6² + 0.3²) / 2 = 0.25
  L2loss::Params params;
  params.as_ivadomed = true;
  worked::check_values(L2loss(params), 0.25, 0, 1.5, 0.375);
  worked::check_values(L2loss(), 0.25 / 4, 0, 1.5 / 4, 0.375 / 4);
}

TEST_CASE("L2 loss obeys the laws of a loss", "[unit]") {
  check_loss_laws(L2loss());
  check_loss_laws(L2loss(), {{5, 3}});
  L2loss::Params params;
  params.as_ivadomed = true;
  check_loss_laws(L2loss(params));
}
