// Initial values of parameters.
#include <cmath>
#include <ivado/nn/parameter.hpp>

#include "../catch.hpp"

using namespace ivado;
using namespace ivado::nn;

TEST_CASE("Initial values follow their distribution", "[unit]") {
  const ParameterSpec uniform{"weight", {64, 16, 3, 3}, {Init::fan_in_uniform, 144}, Role::weight};
  double sum = 0;
  double squares = 0;
  const Array<float> values = initial_values(uniform, 3, 42);
  for (const float value : values) {
    REQUIRE(std::abs(value) <= 1.0F / 12);  // 1/√144
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto n = static_cast<double>(values.size());
  CHECK(std::abs(sum / n) < 5 * (1.0 / 12 / std::sqrt(3.0)) / std::sqrt(n));
  CHECK(squares / n == Approx(1.0 / 144 / 3).epsilon(0.05));

  const ParameterSpec normal{"weight", {64, 16, 3, 3}, {Init::kaiming_normal, 144}, Role::weight};
  double normal_squares = 0;
  for (const float value : initial_values(normal, 3, 42)) normal_squares += static_cast<double>(value) * value;
  CHECK(normal_squares / n == Approx(2.0 / 144).epsilon(0.05));

  for (const float value : initial_values({"a", {5}, Init::ones}, 0, 1)) CHECK(value == 1);
  for (const float value : initial_values({"a", {5}, Init::zeros}, 0, 1)) CHECK(value == 0);
}

TEST_CASE("Initial values depend on seed and place alone", "[unit]") {
  const ParameterSpec spec{"weight", {4, 4}, {Init::fan_in_uniform, 4}, Role::weight};
  CHECK(initial_values(spec, 1, 42) == initial_values(spec, 1, 42));
  CHECK_FALSE(initial_values(spec, 1, 42) == initial_values(spec, 2, 42));
  CHECK_FALSE(initial_values(spec, 1, 42) == initial_values(spec, 1, 43));
}

TEST_CASE("A list counts its trained values", "[unit]") {
  ParameterList list;
  CHECK(list.add({"weight", {2, 3}, Init::ones}) == 0);
  CHECK(list.add({"running_mean", {3}, Init::zeros, Role::buffer}) == 1);
  CHECK(list.add({"batches", {}, Init::zeros, Role::counter}) == 2);
  CHECK(list.size() == 3);
  CHECK(list.trained_values() == 6);
  CHECK(list[1].name == "running_mean");
}
