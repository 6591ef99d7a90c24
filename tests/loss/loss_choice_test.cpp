// A loss chosen by its name: values, messages, description, tasks.
#include <ivado/loss/dice_loss.hpp>
#include <ivado/loss/focal_loss.hpp>
#include <ivado/loss/l2loss.hpp>
#include <ivado/loss/loss_choice.hpp>

#include "../catch.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
using Choice = LossChoice<DiceLoss, L2loss>;

/// A loss of a user's, which says no more than it must.
struct AbsoluteError {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "AbsoluteError";
  explicit AbsoluteError(const Params&) {}
  at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    return (prediction - target).abs().mean();
  }
};
}  // namespace

TEST_CASE("A loss is chosen by its name", "[unit]") {
  const auto loss = make_loss<Choice>(Json::parse(R"({"name": "DiceLoss", "smooth": 0.5})"));
  const at::Tensor p = at::full({1, 1, 2, 2}, 0.5);
  const at::Tensor g = at::ones({1, 1, 2, 2});
  CHECK(loss(p, g).item<double>() == Approx(-(4 + 0.5) / (6 + 0.5)));
  CHECK(make_loss<Choice>(Json::parse(R"({"name": "L2loss"})"))(p, g).item<double>() == Approx(0.125));
  CHECK(Choice::names() == std::vector<std::string>{"DiceLoss", "L2loss"});
}

TEST_CASE("The name of a loss that is not there is answered with those there are", "[unit]") {
  CHECK_THROWS_WITH(make_loss<Choice>(Json::parse(R"({"name": "DiceLos"})")),
                    Contains("training_parameters.loss.name") && Contains("there are DiceLoss, L2loss") &&
                        Contains("did you mean \"DiceLoss\"?"));
  CHECK_THROWS_WITH(make_loss<Choice>(Json::parse(R"({"name": "L2Loss"})")), Contains("did you mean \"L2loss\"?"));
  CHECK_THROWS_WITH(make_loss<Choice>(Json::parse(R"({"name": "DiceLoss", "smoth": 1})")),
                    Contains("training_parameters.loss.smoth") && Contains("smooth"));
  CHECK_THROWS_WITH(make_loss<DiceLoss>(Json::parse(R"({"name": "FocalLoss"})")), Contains("compiled with DiceLoss"));
}

TEST_CASE("A choice grows by losses, a user's among them", "[unit]") {
  using More = Choice::With<AbsoluteError>;
  const auto loss = make_loss<More>(Json::parse(R"({"name": "AbsoluteError"})"));
  CHECK(worked::value(loss, worked::wrong()) == Approx(0.75));
  CHECK(describe_loss(loss) == Json::parse(R"({"name": "AbsoluteError"})"));
}

TEST_CASE("A loss is described with all its parameters", "[unit]") {
  CHECK(describe_loss(make_loss<Choice>(Json::parse(R"({"name": "DiceLoss"})"))) ==
        Json::parse(R"({"name": "DiceLoss", "smooth": 1.0})"));
  CHECK(describe_loss(L2loss()) == Json::parse(R"({"name": "L2loss", "as_ivadomed": false})"));
}

TEST_CASE("The tasks of a choice are those of all, of the chosen its own", "[unit]") {
  STATIC_REQUIRE(Choice::tasks.meets(Task::keypoints));
  STATIC_REQUIRE_FALSE(LossChoice<DiceLoss, FocalLoss>::tasks.meets(Task::keypoints));
  CHECK_FALSE(tasks_of_loss(make_loss<Choice>(Json::parse(R"({"name": "DiceLoss"})"))).meets(Task::keypoints));
  CHECK(tasks_of_loss(make_loss<Choice>(Json::parse(R"({"name": "L2loss"})"))).meets(Task::keypoints));
  CHECK(tasks_of_loss(AbsoluteError({})).meets(Task::keypoints));
}
