// Mixup: the distribution of its draws, that they are a function of their key, and what is done to a batch.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ivado/train/mixup.hpp>
#include <limits>
#include <numbers>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

DeviceBatch batch_of(std::int64_t samples) {
  DeviceBatch out;
  out.image = at::arange(samples * 6, at::kFloat).reshape({samples, 1, 2, 3});
  out.label = at::remainder(at::arange(samples * 6, at::kFloat), 2).reshape({samples, 1, 2, 3});
  out.condition = at::arange(samples, at::kFloat).reshape({samples, 1});
  return out;
}

}  // namespace

TEST_CASE("Mixup with alpha 0 changes nothing", "[unit]") {
  const Mixup mixup = draw_mixup(0, 5, {1, 2, 3, 0});
  CHECK(mixup.lambda == 1);
  CHECK(mixup.partner == std::vector<std::int64_t>{0, 1, 2, 3, 4});
  DeviceBatch batch = batch_of(5);
  const DeviceBatch before = batch;
  mix(batch, mixup);
  CHECK(batch.image.is_same(before.image));
  CHECK(batch.label.is_same(before.label));
}

TEST_CASE("Mixup draws are a function of seed, epoch and batch", "[unit]") {
  const RandomKey key{7, 3, 11, 0};
  const Mixup one = draw_mixup(0.4, 16, key);
  const Mixup again = draw_mixup(0.4, 16, key.with_stream(5));
  CHECK(one.lambda == again.lambda);
  CHECK(one.partner == again.partner);
  for (const RandomKey& other : {RandomKey{8, 3, 11, 0}, RandomKey{7, 4, 11, 0}, RandomKey{7, 3, 12, 0}}) {
    const Mixup different = draw_mixup(0.4, 16, other);
    CHECK(different.lambda != one.lambda);
    CHECK(different.partner != one.partner);
  }
}

TEST_CASE("Mixup's lambda is in [0.5, 1] and its partners are a permutation", "[unit]") {
  const double alpha = GENERATE(1e-6, 1e-3, 0.1, 0.4, 1.0, 3.0, 1e3, 1e12, 1e300);
  for (std::uint32_t i = 0; i < 500; ++i) {
    const Mixup mixup = draw_mixup(alpha, 7, {1, 0, i, 0});
    CHECK(mixup.lambda >= 0.5);
    CHECK(mixup.lambda <= 1);
    auto sorted = mixup.partner;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  }
}

TEST_CASE("Mixup's lambda has the mean of the greater of lambda and 1 - lambda under Beta(alpha, alpha)", "[unit]") {
  struct Known {
    double alpha;
    double mean;
  };
  // 1/2 + E|x - 1/2|, by hand: arcsine law 1/pi, uniform 1/4, 6x(1-x) 3/16.
  const auto known = GENERATE(Known{0.5, 0.5 + std::numbers::inv_pi}, Known{1, 0.75}, Known{2, 0.6875});
  constexpr std::uint32_t draws = 20000;
  double sum = 0;
  for (std::uint32_t i = 0; i < draws; ++i) sum += draw_mixup(known.alpha, 2, {3, 1, i, 0}).lambda;
  CHECK(sum / draws == Approx(known.mean).margin(0.006));  // five standard errors of at most 0.16 / sqrt(20000)
}

TEST_CASE("Mixup blends images and labels with the same share and partner, and leaves the condition", "[unit]") {
  const Mixup mixup{0.75, {2, 0, 1}};
  DeviceBatch batch = batch_of(3);
  const DeviceBatch before{batch.image.clone(), batch.label.clone(), batch.condition.clone()};
  const at::Tensor view = batch.image;
  mix(batch, mixup);
  for (std::int64_t n = 0; n < 3; ++n) {
    const std::int64_t partner = mixup.partner[static_cast<std::size_t>(n)];
    CHECK(at::equal(batch.image[n], before.image[n] * 0.75 + before.image[partner] * 0.25));
    CHECK(at::equal(batch.label[n], before.label[n] * 0.75 + before.label[partner] * 0.25));
  }
  CHECK(at::equal(batch.condition, before.condition));
  CHECK(at::equal(view, before.image));  // the loaded batch is not written to
}

TEST_CASE("Mixup refuses an alpha that is no parameter of a Beta distribution", "[unit]") {
  const double alpha =
      GENERATE(-0.1, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_WITH(draw_mixup(alpha, 4, {}), Contains("mixup_alpha is") && Contains("not negative"));
}
