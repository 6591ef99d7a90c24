#include <cmath>
#include <ivado/metric/hausdorff.hpp>

#include "../catch.hpp"

using namespace ivado;

namespace {

/// A 5×5 square in a 20×20 image, `rows` rows further down.
Array<float> square(std::int64_t rows) {
  auto out = zeros<float>({20, 20});
  for (std::int64_t i = 5; i < 10; ++i)
    for (std::int64_t j = 5; j < 10; ++j) out.view()(i + rows, j) = 1;
  return out;
}

}  // namespace

TEST_CASE("hausdorff_score is ivadomed's number, with the values of metrics.md", "[unit][metric]") {
  const auto a = square(0);
  const auto b = square(3);
  auto p = Array<float>::from(a.view()).reshaped({1, 20, 20});
  auto g = Array<float>::from(b.view()).reshaped({1, 20, 20});
  CHECK(HausdorffScore{}(p.view(), g.view()) == Approx(0.6708).margin(5e-5));

  Array<float> p4({1, 20, 20, 4});
  Array<float> g4({1, 20, 20, 4});
  for (std::int64_t d = 0; d < 4; ++d) {
    copy(a.view(), p4.view().select(0, 0).select(2, d));
    copy(b.view(), g4.view().select(0, 0).select(2, d));
  }
  CHECK(HausdorffScore{}(p4.view(), g4.view()) == 0);
}

TEST_CASE("hausdorff_score is directed and in units of intensity", "[unit][metric]") {
  auto p = zeros<float>({2, 3});
  auto g = zeros<float>({2, 3});
  p.view()(1, 0) = 3;
  p.view()(1, 2) = 4;  // rows (0,0,0) and (3,0,4) against (0,0,0) twice
  CHECK(HausdorffScore{}(p.view(), g.view()) == 5);
  CHECK(HausdorffScore{}(g.view(), p.view()) == 0);
}

TEST_CASE("hausdorff_score reads several classes without transposing", "[unit][metric]") {
  // [class 2, h 1, d 1, w 2] is read as [h 1, class·d 2, w 2]: rows of one class stand alone, so the score is their
  // mean distance.
  Array<float> p({2, 1, 1, 2}, 0.0F);
  Array<float> g({2, 1, 1, 2}, 0.0F);
  g[0] = 1;
  g[2] = g[3] = 1;
  CHECK(HausdorffScore{}(p.view(), g.view()) == Approx((1 + std::sqrt(2.0)) / 2));
}

TEST_CASE("hausdorff_score refuses other ranks and shapes", "[unit][metric]") {
  const auto p = zeros<float>({4});
  CHECK_THROWS_WITH(HausdorffScore{}(p.view(), p.view()), Catch::Contains("2 to 4 axes"));
  const auto g = zeros<float>({2, 2});
  const auto h = zeros<float>({2, 3});
  CHECK_THROWS_WITH(HausdorffScore{}(g.view(), h.view()), Catch::Contains("2x3"));
  const Array<float> none(Shape{0, 4});
  CHECK(std::isnan(HausdorffScore{}(none.view(), none.view())));
}
