// The multi-class Dice loss: hand-worked values, choice and weights of classes, laws.
#include <ivado/loss/multi_class_dice_loss.hpp>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
using Params = MultiClassDiceLoss::Params;
/// Class 0 has the Dice (2·1 + 1) / (2 + 1 + 1) = 3/4, class 1 is perfect.
const at::Tensor& prediction() {
  static const at::Tensor p = worked::tensor({1, 1, 0, 1}, {1, 2, 1, 2});
  return p;
}
const at::Tensor& target() {
  static const at::Tensor g = worked::tensor({1, 0, 0, 1}, {1, 2, 1, 2});
  return g;
}
double value(const Params& params) { return MultiClassDiceLoss(params)(prediction(), target()).item<double>(); }
}  // namespace

TEST_CASE("Multi-class Dice loss is the mean over the classes", "[unit]") {
  CHECK(value({}) == Approx(-(0.75 + 1) / 2));
  CHECK(value({std::vector<std::int64_t>{0}, {}}) == Approx(-0.75));
  CHECK(value({std::vector<std::int64_t>{1}, {}}) == Approx(-1));
  CHECK(value({std::vector<std::int64_t>{1, 0}, {}}) == Approx(-(0.75 + 1) / 2));
  worked::check_values(MultiClassDiceLoss(), -0.806452, -1, -0.5, -0.692308);
}

TEST_CASE("Classes of the multi-class Dice loss have weights", "[unit]") {
  CHECK(value({{}, std::vector<double>{3, 1}}) == Approx(-(3 * 0.75 + 1) / 4));
  CHECK(value({{}, std::vector<double>{30, 10}}) == Approx(-(3 * 0.75 + 1) / 4));
  CHECK(value({std::vector<std::int64_t>{0}, std::vector<double>{3, 1}}) == Approx(-0.75));
  CHECK_THROWS_WITH(value({{}, std::vector<double>{1, 2, 3}}),
                    Contains("class_weights has 3 numbers, there are 2 classes"));
}

TEST_CASE("Multi-class Dice loss refuses classes that do not exist", "[unit]") {
  CHECK_THROWS_WITH(value({std::vector<std::int64_t>{2}, {}}),
                    Contains("classes_of_interest holds 2, there are 2 classes"));
  CHECK_THROWS_WITH(value({std::vector<std::int64_t>{}, {}}), Contains("at least one class"));
  CHECK_THROWS_WITH(from_json<Params>(Json::parse(R"({"classes_of_interest": [-1]})"), "loss"),
                    Contains("classes_of_interest") && Contains(">= 0"));
  CHECK_THROWS_WITH(from_json<Params>(Json::parse(R"({"class_weights": [0, 0]})"), "loss"),
                    Contains("loss.class_weights"));
}

TEST_CASE("Multi-class Dice loss obeys the laws of a loss", "[unit]") {
  check_loss_laws(MultiClassDiceLoss());
  check_loss_laws(MultiClassDiceLoss({std::vector<std::int64_t>{0}, {}}));
  check_loss_laws(MultiClassDiceLoss({{}, std::vector<double>{1, 4}}), {{1, 2, 3, 2, 2}});
}
