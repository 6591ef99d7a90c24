// The learning-rate schedules.
#include <ivado/train/scheduler.hpp>

#include "../catch.hpp"

using namespace ivado;

TEST_CASE("Cosine annealing gives the worked values", "[unit]") {
  const CosineAnnealing schedule({}, 0.001, 5);
  // reference/losses.md, section 5
  const std::array<double, 5> expected{0.001, 0.000904508, 0.000654508, 0.000345492, 0.0000954915};
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    CHECK(schedule.learning_rate({epoch, 0, 10}) == Approx(expected[static_cast<std::size_t>(epoch)]).epsilon(1e-5));
    CHECK(schedule.learning_rate({epoch, 9, 10}) == schedule.learning_rate({epoch, 0, 10}));
  }
}

TEST_CASE("Cosine annealing ends at eta_min", "[unit]") {
  CosineAnnealing::Params params;
  params.eta_min = 1e-4;
  const CosineAnnealing schedule(params, 1e-2, 8);
  CHECK(schedule.learning_rate({0, 0, 1}) == Approx(1e-2));
  CHECK(schedule.learning_rate({8, 0, 1}) == Approx(1e-4));
  CHECK(schedule.learning_rate({4, 0, 1}) == Approx((1e-2 + 1e-4) / 2));
}
