// The binary cross-entropy: hand-worked values, weights of classes, what is not a probability, laws.
#include <ivado/loss/binary_cross_entropy_loss.hpp>
#include <limits>

#include "../catch.hpp"
#include "laws.hpp"
#include "worked.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

TEST_CASE("Binary cross-entropy of hand-worked cases", "[unit]") {
  const auto [p, g] = worked::soft();
  const double expected = -(std::log(0.9) + std::log(0.8) + std::log(0.4) + std::log(0.7)) / 4;
  CHECK(BinaryCrossEntropyLoss()(p, g).item<double>() == Approx(expected).epsilon(1e-6));
  // Three of four values are wrong by all: the logarithms end at -100.
  worked::check_values(BinaryCrossEntropyLoss(), 0.400367, 0, 75, 0.693147);
}

TEST_CASE("Binary cross-entropy weighs classes, in slices as in classification", "[unit]") {
  BinaryCrossEntropyLoss::Params params;
  params.class_weights = std::vector<double>{3, 1};
  const BinaryCrossEntropyLoss loss(params);
  const double expected = -(3 * std::log(0.9) + 1 * std::log(0.6)) / 4;
  CHECK(loss(worked::tensor({0.9F, 0.4F}, {1, 2}), worked::tensor({1, 0}, {1, 2})).item<double>() == Approx(expected));
  CHECK(loss(worked::tensor({0.9F, 0.9F, 0.4F, 0.4F}, {1, 2, 1, 2}), worked::tensor({1, 1, 0, 0}, {1, 2, 1, 2}))
            .item<double>() == Approx(expected));
  CHECK_THROWS_WITH(loss(at::zeros({1, 3}), at::zeros({1, 3})), Contains("2 numbers, there are 3 classes"));
}

TEST_CASE("Binary cross-entropy of what is no probability", "[unit]") {
  const at::Tensor g = worked::image(1, 0, 1, 1);
  CHECK_THROWS_WITH(BinaryCrossEntropyLoss()(worked::image(-0.5F, 0, 1, 2), g),
                    Contains("[-0.5, 2]") && Contains("final_activation"));
  // The training loop stops at NaN and names the cases.
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(BinaryCrossEntropyLoss()(worked::image(nan, 0, 1, 1), g).item<double>()));
}

TEST_CASE("Binary cross-entropy is least at a soft truth", "[unit]") {
  const at::Tensor g = worked::image(0.3F, 0.6F, 0, 1);
  const double least = BinaryCrossEntropyLoss()(g, g).item<double>();
  CHECK(BinaryCrossEntropyLoss()(g + worked::image(0.02F, 0, 0, 0), g).item<double>() > least);
  CHECK(BinaryCrossEntropyLoss()(g - worked::image(0, 0.02F, 0, 0), g).item<double>() > least);
}

TEST_CASE("Binary cross-entropy obeys the laws of a loss", "[unit]") {
  check_loss_laws(BinaryCrossEntropyLoss());
  check_loss_laws(BinaryCrossEntropyLoss(), {{5, 3}});
  BinaryCrossEntropyLoss::Params params;
  params.class_weights = std::vector<double>{0, 4};
  check_loss_laws(BinaryCrossEntropyLoss(params), {{1, 2, 3, 2, 2}, {4, 2}});
}
