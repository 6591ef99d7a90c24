#include <ivado/postprocess/remove_noise.hpp>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;

TEST_CASE("RemoveNoise keeps the laws of a step", "[unit][postprocess]") {
  check_step_laws(RemoveNoise{});
  check_step_laws(RemoveNoise({0.3}));
}

TEST_CASE("RemoveNoise keeps values strictly above the threshold as they are", "[unit][postprocess]") {
  auto prediction = drawn(1, 4, {0.0F, 0.25F, 0.375F, 1.0F});
  RemoveNoise({0.25})(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0, 0.375F, 1});
  CHECK_FALSE(prediction.is_mask);
}

TEST_CASE("RemoveNoise is off by default", "[unit][postprocess]") {
  auto prediction = drawn(1, 2, {0.001F, 0.7F});
  RemoveNoise{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0.001F, 0.7F});
}
