#include <ivado/postprocess/binarize.hpp>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;

TEST_CASE("Binarize keeps the laws of a step", "[unit][postprocess]") { check_step_laws(Binarize{}); }

TEST_CASE("Binarize gives 1 at the threshold and above", "[unit][postprocess]") {
  auto prediction = drawn(1, 4, {0.0F, 0.49F, 0.5F, 0.9F});
  Binarize{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0, 1, 1});
  CHECK(prediction.is_mask);
}

TEST_CASE("Binarize compares in double precision", "[unit][postprocess]") {
  // The float nearest to 0.1 is above 0.1, that nearest to 0.7 below it.
  auto prediction = drawn(1, 2, {0.1F, 0.7F});
  Binarize({0.1})(prediction);
  CHECK(values_of(prediction) == std::vector<float>{1, 1});
  prediction = drawn(1, 2, {0.1F, 0.7F});
  Binarize({0.7})(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0});
}

TEST_CASE("Binarize with a negative threshold does nothing", "[unit][postprocess]") {
  auto prediction = drawn(1, 2, {0.1F, 0.7F});
  Binarize({-1})(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0.1F, 0.7F});
  CHECK_FALSE(prediction.is_mask);
}

TEST_CASE("Binarize refuses a threshold above 1", "[unit][postprocess]") {
  CHECK_THROWS_WITH(from_json<Binarize::Params>(Json::parse(R"({"thr": 1.5})"), "postprocessing.binarize_prediction"),
                    Catch::Contains("postprocessing.binarize_prediction.thr") && Catch::Contains("<= 1"));
}
