// The combination of losses: sums, weights, messages, description, laws.
#include <ivado/loss/loss_combination.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
LossCombination make(const char* text) { return make_loss<LossCombination>(Json::parse(text)); }
}  // namespace

TEST_CASE("A combination is the sum of its losses", "[unit]") {
  worked::check_values(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "L2loss"],
                                "params_list": [null, {"as_ivadomed": true}]})"),
                       -0.556452, -1, 1.0, -0.317308);
  CHECK(worked::value(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "L2loss"]})"), worked::soft()) ==
        Approx(-5.0 / 6.2 + 0.25 / 4).epsilon(1e-5));
}

TEST_CASE("The losses of a combination have parameters and weights", "[unit]") {
  CHECK(worked::value(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "L2loss"],
                               "params_list": [{"smooth": 0.5}, null], "weights_list": [2, 0.5]})"),
                      worked::soft()) == Approx(2 * -4.5 / 5.7 + 0.5 * 0.25 / 4).epsilon(1e-5));
}

TEST_CASE("What is wrong in a combination is named with its place", "[unit]") {
  CHECK_THROWS_WITH(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "L1loss"]})"),
                    Contains("training_parameters.loss.losses_list[1]") && Contains("did you mean \"L2loss\"?"));
  CHECK_THROWS_WITH(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "FocalLoss"],
                             "params_list": [null, {"gama": 1}]})"),
                    Contains("training_parameters.loss.params_list[1].gama") && Contains("gamma"));
  CHECK_THROWS_WITH(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss"], "params_list": [null, null]})"),
                    Contains("params_list") && Contains("2 elements, losses_list has 1"));
  CHECK_THROWS_WITH(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss"], "weights_list": []})"),
                    Contains("weights_list") && Contains("0 elements, losses_list has 1"));
  CHECK_THROWS_WITH(make(R"({"name": "LossCombination", "losses_list": []})"), Contains("losses_list"));
  CHECK_THROWS_WITH(make(R"({"name": "LossCombination"})"), Contains("losses_list") && Contains("missing"));
  CHECK_THROWS_WITH(make(R"({"name": "LossCombination", "losses_list": ["LossCombination"]})"),
                    Contains("cannot hold another"));
}

TEST_CASE("A combination is described with all parameters, and can be made again of that", "[unit]") {
  const Json described = describe_loss(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "FocalLoss"],
                                                "params_list": [null, {"gamma": 1}]})"));
  CHECK(described == Json::parse(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "FocalLoss"],
      "params_list": [{"smooth": 1.0}, {"gamma": 1.0, "alpha": 0.25, "eps": 1e-7, "as_ivadomed": false}],
      "weights_list": [1.0, 1.0]})"));
  CHECK(describe_loss(make_loss<LossCombination>(described)) == described);
}

TEST_CASE("A combination is good for what all of its losses are good for", "[unit]") {
  const auto tasks = tasks_of_loss(make(R"({"name": "LossCombination", "losses_list": ["BinaryCrossEntropyLoss",
                                            "L2loss"]})"));
  CHECK(tasks.meets(Task::segmentation));
  CHECK(tasks.meets(Task::classification));
  CHECK_FALSE(tasks.meets(Task::keypoints));
}

TEST_CASE("A combination obeys the laws of a loss", "[unit]") {
  check_loss_laws(make(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "BinaryCrossEntropyLoss",
                           "AdapWingLoss"], "weights_list": [1, 2, 0.01]})"));
}
