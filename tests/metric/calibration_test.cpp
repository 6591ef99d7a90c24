#include <cmath>
#include <cstdint>
#include <ivado/metric/calibration.hpp>
#include <ivado/random.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;

TEST_CASE("the calibration error by hand", "[unit][calibration]") {
  Calibration calibration(5);  // bins end at 0.2, 0.4, …
  calibration.add(0.9, 1);     // right, 0.9
  calibration.add(0.85, 0);    // wrong, 0.85
  calibration.add(0.05, 0);    // right, 0.95
  calibration.add(0.3, 1);     // wrong, 0.7
  REQUIRE(calibration.bins().size() == 5);
  CHECK(calibration.voxels() == 4);
  CHECK(calibration.bins()[2].voxels == 0);
  CHECK(calibration.bins()[3].voxels == 1);
  CHECK(calibration.bins()[3].accuracy() == 0);
  CHECK(calibration.bins()[3].confidence() == Approx(0.7));
  CHECK(calibration.bins()[4].voxels == 3);
  CHECK(calibration.bins()[4].accuracy() == Approx(2.0 / 3));
  CHECK(calibration.bins()[4].confidence() == Approx(0.9));
  CHECK(calibration.maximum_error() == Approx(0.7));
  CHECK(calibration.expected_error() == Approx(0.75 * (0.9 - 2.0 / 3) + 0.25 * 0.7));
}

TEST_CASE("the ends of the bins: a bin holds its upper end", "[unit][calibration]") {
  Calibration calibration(4);
  calibration.add(0.5, 1);
  calibration.add(0.75, 1);
  calibration.add(1, 1);
  calibration.add(0, 0);
  CHECK(calibration.bins()[1].voxels == 1);
  CHECK(calibration.bins()[2].voxels == 1);
  CHECK(calibration.bins()[3].voxels == 2);
  CHECK(calibration.bins()[3].gap() == 0);
  Calibration one(1);
  one.add(0.2, 0);
  CHECK(one.bins()[0].voxels == 1);
}

TEST_CASE("probabilities that come true are calibrated, overconfident ones are not", "[unit][calibration]") {
  Rng rng({11, 0, 0, stream_user});
  Calibration good;
  Calibration bad;
  for (int i = 0; i < 200000; ++i) {
    const double p = rng.uniform();
    const double truth = rng.bernoulli(p) ? 1 : 0;
    good.add(p, truth);
    bad.add(p >= 0.5 ? 0.99 : 0.01, truth);
  }
  CHECK(good.expected_error() < 0.01);
  CHECK(bad.expected_error() == Approx(0.99 - 0.75).margin(0.01));  // right in 3 of 4 cases
}

TEST_CASE("the calibration of a volume is measured around the foreground", "[unit][calibration]") {
  Array<float> p = zeros({10, 10, 10});
  Array<float> g = zeros({10, 10, 10});
  CHECK(std::isnan(calibration(p.view(), g.view()).expected_error()));
  CHECK(std::isnan(calibration(p.view(), g.view()).maximum_error()));
  p.view()(3, 3, 3) = 0.8F;
  g.view()(4, 3, 3) = 1;
  p.view()(0, 0, 0) = 0.4F;  // outside of the box
  const Calibration found = calibration(p.view(), g.view());
  CHECK(found.voxels() == 2);
  CHECK(found.expected_error() == Approx(0.5 * 0.8 + 0.5 * 1));
  CHECK_THROWS_WITH(calibration(p.view(), zeros({10, 10, 9}).view()), Contains("10x10x9"));
  CHECK_THROWS_WITH(calibration(p.view(), g.view(), 0), Contains("0 bins"));
}
