#include <array>
#include <ivado/postprocess/binarize.hpp>
#include <ivado/postprocess/keep_largest.hpp>
#include <ivado/postprocess/postprocess.hpp>
#include <ivado/postprocess/remove_small.hpp>
#include <string_view>

#include "laws.hpp"

using namespace ivado;
using namespace ivado_test;
using Catch::Contains;

namespace {

using Chain = PostProcess<Binarize, KeepLargest>;
static_assert(PostStep<Chain>);
static_assert(SelfDescribing<Chain::Params>);

Chain::Params read(const char* text) { return from_json<Chain::Params>(Json::parse(text), "postprocessing"); }

}  // namespace

TEST_CASE("PostProcess runs its steps in the order of the type", "[unit][postprocess]") {
  // Three weak voxels in one piece, two strong ones in another.
  const std::vector<float> values{0.3F, 0.3F, 0.3F, 0.0F, 0.9F, 0.9F};
  auto first = drawn(1, 6, values);
  PostProcess<Binarize, KeepLargest>{}(first);
  CHECK(values_of(first) == std::vector<float>{0, 0, 0, 0, 1, 1});
  auto second = drawn(1, 6, values);
  PostProcess<KeepLargest, Binarize>{}(second);
  CHECK(values_of(second) == std::vector<float>{0, 0, 0, 0, 0, 0});
  auto none = drawn(1, 6, values);
  PostProcess<>{}(none);
  CHECK(values_of(none) == values);
}

TEST_CASE("PostProcess keeps the laws of a step", "[unit][postprocess]") { check_step_laws(Chain{}); }

TEST_CASE("the parameters of PostProcess are set by step", "[unit][postprocess]") {
  Chain::Params params;
  params.get<Binarize>().thr = 0.2;
  auto prediction = drawn(1, 2, {0.25F, 0.1F});
  Chain{params}(prediction);
  CHECK(values_of(prediction) == std::vector<float>{1, 0});
}

TEST_CASE("PostProcess reads ivadomed's section", "[unit][postprocess]") {
  const auto params = read(R"({"binarize_prediction": {"thr": 0.25}, "keep_largest": {}})");
  CHECK(params.get<Binarize>().thr == 0.25);
  CHECK(to_json(params).dump() == R"({"binarize_prediction":{"thr":0.25},"keep_largest":{"as_ivadomed":false}})");
  CHECK(to_json(from_json<Chain::Params>(to_json(params), "")) == to_json(params));
  CHECK(read("{}").get<Binarize>().thr == 0.5);  // the steps of the type with their defaults
  CHECK(read(R"({"binarize_prediction": {"thr": 0.25}})").get<Binarize>().thr == 0.25);
  CHECK(read(R"({"keep_largest": {"as_ivadomed": true}})").get<KeepLargest>().as_ivadomed);
  CHECK(Chain::names == std::array<std::string_view, 2>{"binarize_prediction", "keep_largest"});
  // a step that is switched off may stand anywhere
  CHECK(
      read(
          R"({"binarize_prediction": {}, "uncertainty": {"thr": -1, "suffix": "_unc-vox.nii.gz"}, "keep_largest": {}})")
          .get<Binarize>()
          .thr == 0.5);
}

TEST_CASE("PostProcess refuses a section that asks for something else", "[unit][postprocess]") {
  CHECK_THROWS_WITH(read(R"({"keep_largest": {}, "binarize_prediction": {}})"),
                    Contains("postprocessing.binarize_prediction") && Contains("another order") &&
                        Contains("in the order binarize_prediction, keep_largest"));
  CHECK_THROWS_WITH(read(R"({"remove_noise": {}})"), Contains("this program has binarize_prediction, keep_largest"));
  CHECK_THROWS_WITH(from_json<PostProcess<>::Params>(Json::parse(R"({"x": {}})"), "postprocessing"),
                    Contains("postprocessing.x") && Contains("this program has none"));
  CHECK_THROWS_WITH(read(R"({"binarise_prediction": {}})"),
                    Contains("postprocessing.binarise_prediction") && Contains("did you mean \"binarize_prediction\""));
  CHECK_THROWS_WITH(read(R"({"uncertainty": {"thr": 0.1, "suffix": "_unc-vox.nii.gz"}})"),
                    Contains("postprocessing.uncertainty") && Contains("does not have the post-processing step") &&
                        Contains("this program has binarize_prediction, keep_largest"));
  CHECK_THROWS_WITH(read(R"({"uncertainty": {}})"), Contains("does not have the post-processing step"));
  CHECK_THROWS_WITH(read(R"({"binarize_prediction": {"thr": "x"}, "keep_largest": {}})"),
                    Contains("postprocessing.binarize_prediction.thr"));
  CHECK_THROWS_WITH(read(R"({"binarize_prediction": {}, "keep_largest": {"thr": 1}})"),
                    Contains("postprocessing.keep_largest.thr"));
  CHECK_THROWS_WITH(read("[]"), Contains("an object of steps"));
}

TEST_CASE("PostProcess describes itself", "[unit][postprocess]") {
  const Json described = schema<Chain::Params>();
  CHECK(described["properties"].size() == 2);
  CHECK(described["properties"]["binarize_prediction"]["properties"]["thr"]["default"] == 0.5);
  CHECK(described["additionalProperties"] == false);
  CHECK(type_name<Chain::Params>() == "object of the steps binarize_prediction, keep_largest");
  CHECK(type_name<PostProcess<>::Params>() == "object of the steps none");
}
