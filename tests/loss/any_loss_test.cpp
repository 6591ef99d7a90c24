// Every loss of ivado by its name.
#include <ivado/loss/any_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("Every loss of ivadomed, and one more, is made by its name and obeys the laws", "[unit]") {
  const std::vector<std::string> expected{"DiceLoss",
                                          "FocalLoss",
                                          "GeneralizedDiceLoss",
                                          "FocalDiceLoss",
                                          "MultiClassDiceLoss",
                                          "BinaryCrossEntropyLoss",
                                          "TverskyLoss",
                                          "FocalTverskyLoss",
                                          "AdapWingLoss",
                                          "L2loss",
                                          "DiceCrossEntropyLoss",
                                          "LossCombination"};
  CHECK(AnyLoss::names() == expected);
  for (const auto& name : AnyLoss::names()) {
    CAPTURE(name);
    Json section{{"name", name}};
    if (name == "LossCombination") section["losses_list"] = Json::array({"DiceLoss", "L2loss"});
    const auto loss = make_loss<AnyLoss>(section);
    CHECK(describe_loss(loss)["name"] == name);
    check_loss_laws(loss, {{2, 3, 5, 4}});
  }
}

TEST_CASE("What a LossCombination gets wrong is told through AnyLoss as well", "[unit]") {
  CHECK_THROWS_WITH(make_loss<AnyLoss>(Json::parse(R"({"name": "LossCombination", "losses_list": ["Dice"]})")),
                    Contains("training_parameters.loss.losses_list[0]") && Contains("did you mean \"DiceLoss\"?"));
  CHECK_THROWS_WITH(make_loss<AnyLoss>(Json::parse(R"({"name": "LossCombinaton"})")),
                    Contains("did you mean \"LossCombination\"?"));
}

TEST_CASE("A loss tells whether it fits the number of classes before there is a prediction", "[unit]") {
  const auto check = [](const char* section, std::int64_t classes) {
    check_classes_of_loss(make_loss<AnyLoss>(Json::parse(section)), classes);
  };
  for (const char* name : {"DiceCrossEntropyLoss", "BinaryCrossEntropyLoss", "MultiClassDiceLoss"}) {
    const std::string weighted = std::string(R"({"name": ")") + name + R"(", "class_weights": [1, 2]})";
    CHECK_NOTHROW(check(weighted.c_str(), 2));
    CHECK_THROWS_WITH(check(weighted.c_str(), 3),
                      Contains(name) && Contains("class_weights has 2 numbers, there are 3 classes"));
  }
  CHECK_NOTHROW(check(R"({"name": "MultiClassDiceLoss", "classes_of_interest": [1]})", 2));
  CHECK_THROWS_WITH(check(R"({"name": "MultiClassDiceLoss", "classes_of_interest": [1]})", 1),
                    Contains("classes_of_interest holds 1, there are 1 classes"));
  CHECK_THROWS_WITH(check(R"({"name": "MultiClassDiceLoss", "classes_of_interest": [0], "class_weights": [0, 1]})", 2),
                    Contains("0 for every class in use"));
  CHECK_THROWS_WITH(check(R"({"name": "LossCombination", "losses_list": ["DiceLoss", "BinaryCrossEntropyLoss"],
                              "params_list": [null, {"class_weights": [1, 1, 1]}]})",
                          2),
                    Contains("class_weights has 3 numbers, there are 2 classes"));
  CHECK_NOTHROW(check(R"({"name": "DiceLoss"})", 7));
}

TEST_CASE("Any loss may be for any task, the chosen one has its own", "[unit]") {
  STATIC_REQUIRE(AnyLoss::tasks.meets(Task::classification));
  const auto meets = [](const char* section, Task task) {
    return tasks_of_loss(make_loss<AnyLoss>(Json::parse(section))).meets(task);
  };
  CHECK_FALSE(meets(R"({"name": "TverskyLoss"})", Task::classification));
  CHECK(meets(R"({"name": "FocalLoss"})", Task::classification));
  CHECK_FALSE(meets(R"({"name": "LossCombination", "losses_list": ["FocalLoss", "DiceLoss"]})", Task::classification));
}
