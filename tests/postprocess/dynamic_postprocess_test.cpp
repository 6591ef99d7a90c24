#include <ivado/postprocess/dynamic_postprocess.hpp>
#include <string>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;
using Catch::Contains;

namespace {

AnyPostProcess::Params read(const char* text) {
  return from_json<AnyPostProcess::Params>(Json::parse(text), "postprocessing");
}

/// One section through the chain of the type and the one chosen at run time.
template <class Static>
void check_same(const char* section) {
  const auto classes = GENERATE(std::int64_t{1}, std::int64_t{2});
  const auto sample = GENERATE(1U, 2U, 3U);
  Prediction a = random_prediction({classes, 9, 7, 5}, false, sample);
  Prediction b = clone(a);
  Static(from_json<typename Static::Params>(Json::parse(section), "postprocessing"))(a);
  AnyPostProcess(read(section))(b);
  CHECK(a.voxels == b.voxels);
  CHECK(a.is_mask == b.is_mask);
}

}  // namespace

TEST_CASE("DynamicPostProcess runs the steps in the order of the section", "[unit][postprocess]") {
  const std::vector<float> values{0.3F, 0.3F, 0.3F, 0.0F, 0.9F, 0.9F};
  auto first = drawn(1, 6, values);
  AnyPostProcess(read(R"({"binarize_prediction": {}, "keep_largest": {}})"))(first);
  CHECK(values_of(first) == std::vector<float>{0, 0, 0, 0, 1, 1});
  auto second = drawn(1, 6, values);
  AnyPostProcess(read(R"({"keep_largest": {}, "binarize_prediction": {}})"))(second);
  CHECK(values_of(second) == std::vector<float>{0, 0, 0, 0, 0, 0});
  auto none = drawn(1, 6, values);
  AnyPostProcess(read("{}"))(none);
  CHECK(values_of(none) == values);
  AnyPostProcess{}(none);
  CHECK(values_of(none) == values);
}

TEST_CASE("static and dynamic chains give the same, bit for bit", "[unit][postprocess]") {
  check_same<PostProcess<Binarize>>(R"({"binarize_prediction": {"thr": 0.4}})");
  check_same<PostProcess<RemoveNoise, KeepLargest, Binarize, FillHoles, RemoveSmall>>(
      R"({"remove_noise": {"thr": 0.1}, "keep_largest": {}, "binarize_prediction": {"thr": 0.5},
          "uncertainty": {"thr": -1, "suffix": "_unc-vox.nii.gz"}, "fill_holes": {}, "remove_small": {"unit": "vox", "thr": 3}})");
  check_same<PostProcess<BinarizeMaxPooling, RemoveSmall>>(
      R"({"binarize_maxpooling": {}, "remove_small": {"unit": "mm3", "thr": 1}})");
}

TEST_CASE("the parameters of DynamicPostProcess go to JSON and back, in order", "[unit][postprocess]") {
  const auto params =
      read(R"({"fill_holes": {}, "binarize_prediction": {"thr": 0.25}, "remove_small": {"thr": [1, 2]}})");
  CHECK(params.size() == 3);
  const std::string text = to_json(params).dump();
  CHECK(
      text ==
      R"({"fill_holes":{"as_ivadomed":false},"binarize_prediction":{"thr":0.25},"remove_small":{"unit":"vox","thr":[1,2]}})");
  CHECK(to_json(read(text.c_str())).dump() == text);
  CHECK(to_json(read(R"({"uncertainty": {"thr": -1}})")).dump() ==
        R"({"uncertainty":{"thr":-1.0,"suffix":"_unc-vox.nii.gz"}})");
}

TEST_CASE("steps can be added without JSON", "[unit][postprocess]") {
  AnyPostProcess::Params params;
  params.add<Binarize>({0.25}).add<KeepLargest>();
  REQUIRE(params.get<Binarize>() != nullptr);
  CHECK(params.get<FillHoles>() == nullptr);
  params.get<Binarize>()->thr = 0.75;
  auto prediction = drawn(1, 3, {0.5F, 0.0F, 0.8F});
  AnyPostProcess{params}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{0, 0, 1});
}

TEST_CASE("DynamicPostProcess refuses what it does not know", "[unit][postprocess]") {
  CHECK_THROWS_WITH(read(R"({"keep_bigest": {}})"),
                    Contains("postprocessing.keep_bigest") && Contains("did you mean \"keep_largest\""));
  CHECK_THROWS_WITH(read(R"({"uncertainty": {"thr": 0.3, "suffix": "_unc.nii.gz"}})"),
                    Contains("postprocessing.uncertainty.suffix") && Contains("_unc-vox.nii.gz"));
  CHECK_THROWS_WITH(read(R"({"remove_noise": {"threshold": 0.3}})"), Contains("did you mean \"thr\""));
  CHECK_THROWS_WITH(read("3"), Contains("an object of steps"));
  try {
    (void)read(R"({"x": {}})");
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 2);
  }
}

TEST_CASE("DynamicPostProcess describes itself", "[unit][postprocess]") {
  CHECK(schema<AnyPostProcess::Params>()["properties"].size() == 7);
  CHECK_THAT(type_name<AnyPostProcess::Params>(), Contains("binarize_maxpooling"));
}
