// The learning-rate schedules, and how a configuration chooses one.
#include <array>
#include <cmath>
#include <ivado/config/ivadomed.hpp>
#include <ivado/config/sections.hpp>
#include <ivado/train/scheduler.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

Json lr_scheduler(const char* changes) {
  Json section = ivadomed_defaults()["training_parameters"]["scheduler"]["lr_scheduler"];
  section.update(Json::parse(changes));
  return section;
}

}  // namespace

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

TEST_CASE("Warm restarts begin anew after T_0 epochs, then after T_mult times as many", "[unit]") {
  CosineAnnealingWarmRestarts::Params params;
  params.T_0 = 2;
  params.T_mult = 2;
  params.eta_min = 0.1;
  const CosineAnnealingWarmRestarts schedule(params, 1.1, 100);
  // Periods of 2, 4 and 8 epochs; (1 + cos(π/4)) / 2 = 0.853553
  const std::array<double, 8> expected{1.1, 0.6,      1.1, 0.953553,
                                       0.6, 0.246447, 1.1, 0.1 + (1 + std::cos(3.14159265 / 8)) / 2};
  for (std::int64_t epoch = 0; epoch < 8; ++epoch) {
    INFO(epoch);
    CHECK(schedule.learning_rate({epoch, 0, 10}) == Approx(expected[static_cast<std::size_t>(epoch)]).epsilon(1e-5));
    CHECK(schedule.learning_rate({epoch, 9, 10}) == schedule.learning_rate({epoch, 0, 10}));
  }
  CHECK(schedule.learning_rate({14, 0, 1}) == Approx(1.1));
  params.T_mult = 1;
  const CosineAnnealingWarmRestarts even(params, 1.1, 100);
  for (const std::int64_t epoch : {0, 2, 100, 1000000000}) CHECK(even.learning_rate({epoch, 0, 1}) == Approx(1.1));
  CHECK(even.learning_rate({101, 0, 1}) == Approx(0.6));
}

TEST_CASE("Cyclic rates rise and fall by batches, half as high each cycle", "[unit]") {
  Cyclic::Params params;
  params.base_lr = 1;
  params.max_lr = 5;
  params.step_size_up = 4;
  const Cyclic schedule(params, 77, 100);  // the initial rate has no effect
  const std::array<double, 12> expected{1, 2, 3, 4, 5, 4, 3, 2, 1, 1.5, 2, 2.5};
  for (std::int64_t step = 0; step < 12; ++step)  // 3 batches an epoch
    CHECK(schedule.learning_rate({step / 3, step % 3, 3}) == Approx(expected[static_cast<std::size_t>(step)]));
  CHECK(schedule.learning_rate({0, 20, 100}) == Approx(1 + 4 / 4.0));  // the top of the third cycle
  params.step_size_down = 2;
  const Cyclic steep(params, 77, 100);
  const std::array<double, 8> falling{1, 2, 3, 4, 5, 3, 1, 1.5};
  for (std::int64_t step = 0; step < 8; ++step)
    CHECK(steep.learning_rate({0, step, 10}) == Approx(falling[static_cast<std::size_t>(step)]));
}

TEMPLATE_TEST_CASE("A learning rate is finite and not negative", "[unit]", CosineAnnealing, CosineAnnealingWarmRestarts,
                   Cyclic, AnyScheduler) {
  const TestType schedule({}, 0.01, 40);
  for (std::int64_t epoch = 0; epoch <= 40; ++epoch)
    for (const std::int64_t batch : {0, 3, 6}) {
      const double rate = schedule.learning_rate({epoch, batch, 7});
      REQUIRE(std::isfinite(rate));
      REQUIRE(rate >= 0);
    }
}

TEST_CASE("A schedule takes its own keys, and passes over those of others and those that are null", "[unit]") {
  CHECK(make_scheduler<CosineAnnealing>(lr_scheduler(R"({"eta_min": 0.5})"), 1, 10).learning_rate({10, 0, 1}) ==
        Approx(0.5));
  const auto restarts = make_scheduler<CosineAnnealingWarmRestarts>(
      lr_scheduler(R"({"name": "CosineAnnealingWarmRestarts", "T_0": null})"), 1, 100);
  CHECK(restarts.learning_rate({5, 0, 1}) == Approx(0.5));  // of 10 epochs
  CHECK(restarts.learning_rate({10, 0, 1}) == Approx(1));
  const auto cyclic = make_scheduler<Cyclic>(lr_scheduler(R"({"name": "CyclicLR", "step_size_up": 10})"), 1, 100);
  CHECK(cyclic.learning_rate({0, 0, 5}) == Approx(1e-5));  // ivadomed's base_lr and max_lr
  CHECK(cyclic.learning_rate({2, 0, 5}) == Approx(1e-2));
}

TEST_CASE("AnyScheduler is the schedule that the configuration names", "[unit]") {
  const char* const section = R"({"name": "CyclicLR", "base_lr": 0.25, "max_lr": 0.5, "step_size_up": 2})";
  CHECK(make_scheduler<AnyScheduler>(lr_scheduler(section), 1, 10).learning_rate({0, 1, 4}) == Approx(0.375));
  CHECK(make_scheduler<AnyScheduler>(lr_scheduler("{}"), 1, 10).learning_rate({5, 0, 4}) == Approx(0.5));
  const auto restarts =
      make_scheduler<AnyScheduler>(lr_scheduler(R"({"name": "CosineAnnealingWarmRestarts", "T_0": 5})"), 1, 10);
  CHECK(restarts.learning_rate({5, 0, 4}) == Approx(1));
  // The names are those of the configuration.
  for (const auto& [name, value] : EnumNames<ScheduleName>::values)
    CHECK_NOTHROW(make_scheduler<AnyScheduler>(Json{{"name", std::string(name)}}, 1, 10));
}

TEST_CASE("A schedule that a program was not compiled with, does not exist or has wrong keys is refused", "[unit]") {
  CHECK_THROWS_WITH(
      make_scheduler<CosineAnnealing>(lr_scheduler(R"({"name": "CyclicLR"})"), 1, 10),
      Contains("lr_scheduler.name") && Contains("it is CyclicLR") && Contains("compiled with CosineAnnealingLR"));
  CHECK_THROWS_WITH(make_scheduler<AnyScheduler>(lr_scheduler(R"({"name": "StepLR"})"), 1, 10),
                    Contains("there is no schedule \"StepLR\""));
  CHECK_THROWS_WITH(
      make_scheduler<AnyScheduler>(lr_scheduler(R"({"name": "CosineAnnealingWarmRestarts", "T_0": 0})"), 1, 10),
      Contains("training_parameters.scheduler.lr_scheduler.T_0") && Contains(">= 1"));
  CHECK_THROWS_WITH(
      make_scheduler<Cyclic>(lr_scheduler(R"({"name": "CyclicLR", "base_lr": 0.1, "max_lr": 0.01})"), 1, 10),
      Contains("max_lr") && Contains("it is 0.01, below base_lr, which is 0.1"));
}
