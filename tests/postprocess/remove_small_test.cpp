#include <ivado/postprocess/remove_small.hpp>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;
using Catch::Contains;

namespace {

/// Objects of 1, 2 (over an edge) and 4 voxels in each class.
Prediction objects(std::int64_t classes) {
  Prediction out{zeros({classes, 4, 9, 1}), {0.5, 0.5, 2}, true};
  for (std::int64_t c = 0; c < classes; ++c) {
    const auto view = out.voxels.view();
    view(c, 0, 0, 0) = 1;
    view(c, 0, 2, 0) = view(c, 1, 3, 0) = 1;
    view(c, 2, 5, 0) = view(c, 2, 6, 0) = view(c, 3, 5, 0) = view(c, 3, 6, 0) = 1;
  }
  return out;
}

/// Voxels that are not 0 in a class.
std::int64_t left(const Prediction& prediction, std::int64_t c) {
  std::int64_t count = 0;
  zip(prediction.voxels.view().select(0, c), prediction.voxels.view().select(0, c),
      [&](float value, float) { count += value != 0; });
  return count;
}

RemoveSmall step(const char* json) {
  return RemoveSmall(from_json<RemoveSmall::Params>(Json::parse(json), "remove_small"));
}

}  // namespace

TEST_CASE("RemoveSmall keeps the laws of a step", "[unit][postprocess]") {
  check_step_laws(RemoveSmall{});
  check_step_laws(step(R"({"unit": "mm3", "thr": 4})"));
}

TEST_CASE("RemoveSmall removes objects of fewer voxels than the threshold", "[unit][postprocess]") {
  const int thr = GENERATE(0, 1, 2, 3, 4, 5);
  auto prediction = objects(1);
  RemoveSmall::Params params;
  params.thr = thr;
  RemoveSmall{params}(prediction);
  CHECK(left(prediction, 0) == std::array<std::int64_t, 6>{7, 7, 6, 4, 4, 0}.at(static_cast<std::size_t>(thr)));
  CHECK(prediction.is_mask);
}

TEST_CASE("RemoveSmall in mm3 rounds half to even", "[unit][postprocess]") {
  // A voxel has 0.5 mm3: 1.25 mm3 are 2.5 voxels, rounded to 2; 1.75 mm3 are 3.5, rounded to 4.
  auto prediction = objects(1);
  step(R"({"unit": "mm3", "thr": 1.25})")(prediction);
  CHECK(left(prediction, 0) == 6);
  step(R"({"unit": "mm3", "thr": 1.75})")(prediction);
  CHECK(left(prediction, 0) == 4);
}

TEST_CASE("RemoveSmall takes one size a class", "[unit][postprocess]") {
  auto prediction = objects(2);
  step(R"({"unit": "vox", "thr": [2, 5]})")(prediction);
  CHECK(left(prediction, 0) == 6);
  CHECK(left(prediction, 1) == 0);
  auto one = objects(1);
  CHECK_THROWS_WITH(step(R"({"thr": [2, 5]})")(one),
                    Contains("2 values") && Contains("1 class") && Contains("remove_small.thr"));
}

TEST_CASE("RemoveSmall takes touching soft values for one object and keeps them", "[unit][postprocess]") {
  auto prediction = drawn(1, 6, {0.1F, 0.9F, 0.2F, 0.0F, 0.9F, 0.9F});
  RemoveSmall{}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0.1F, 0.9F, 0.2F, 0, 0, 0});
}

TEST_CASE("the parameters of RemoveSmall in JSON", "[unit][postprocess]") {
  const auto read = [](const char* text) { return from_json<RemoveSmall::Params>(Json::parse(text), "remove_small"); };
  CHECK(to_json(read("{}")).dump() == R"({"unit":"vox","thr":3})");
  CHECK(to_json(read(R"({"unit": "mm3", "thr": 2.5})")).dump() == R"({"unit":"mm3","thr":2.5})");
  CHECK(to_json(read(R"({"thr": [1, 2.5]})")).dump() == R"({"unit":"vox","thr":[1,2.5]})");
  CHECK_THROWS_WITH(read(R"({"unit": "mm"})"), Contains("remove_small.unit") && Contains("did you mean \"mm3\""));
  CHECK_THROWS_WITH(read(R"({"thr": "3"})"),
                    Contains("remove_small.thr") && Contains("a list with a number for each class"));
  CHECK_THROWS_WITH(read(R"({"thr": []})"), Contains("remove_small.thr"));
  CHECK_THROWS_WITH(read(R"({"thr": [1, "x"]})"), Contains("remove_small.thr[1]"));
  CHECK(type_name<SizePerClass>() == "number, or list of number");
  CHECK(schema<RemoveSmall::Params>()["properties"]["thr"]["anyOf"].size() == 2);
}
