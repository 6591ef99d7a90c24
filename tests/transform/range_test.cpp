// SymmetricRange and the checks of ranges and probabilities.
#include <cmath>
#include <ivado/transform/range.hpp>

#include "laws.hpp"

using ivado::Json;
using ivado::SymmetricRange;

TEST_CASE("SymmetricRange reads a number or a pair, and writes what it read") {
  const auto read = [](const char* text) { return SymmetricRange::from_json(Json::parse(text), "coefficients"); };
  CHECK(read("0.5").low == -0.5);
  CHECK(read("0.5").high == 0.5);
  CHECK(read("[0.1, 2]").low == 0.1);
  CHECK(read("[0.1, 2]").high == 2);
  CHECK(read("0.5").to_json() == Json(0.5));
  CHECK(read("[-3, -1]").to_json() == Json::parse("[-3.0, -1.0]"));
  for (const char* text : {"-1", "[2, 1]", "[1]", "[1, 2, 3]", "\"1\"", "null", "[1, \"2\"]"}) {
    CAPTURE(text);
    CHECK(laws::has(laws::error_text([&] { (void)read(text); }), "coefficients"));
  }
  CHECK(SymmetricRange::schema().contains("anyOf"));
  CHECK(SymmetricRange::type_name() == "number or pair of numbers");
}

TEST_CASE("Ranges and probabilities are checked with a message that names them") {
  using ivado::detail::check_probability;
  using ivado::detail::check_range;
  const auto range = [](double low, double high, double least) {
    return laws::error_text([&] { check_range("RandomBlur", "sigma_range", low, high, least); });
  };
  CHECK(range(1, 1, 0).empty());
  CHECK(range(-2, 1, -INFINITY).empty());
  CHECK(laws::has(range(2, 1, 0), "RandomBlur: sigma_range is [2, 1]"));
  CHECK(laws::has(range(-1, 1, 0), ">= 0"));
  CHECK(laws::has(range(1, INFINITY, 0), "sigma_range"));
  CHECK(laws::has(range(std::nan(""), 1, 0), "sigma_range"));
  CHECK(laws::has(range(-INFINITY, 1, -INFINITY), "finite"));
  for (const double p : {-0.1, 1.1, std::nan("")})
    CHECK(laws::has(laws::error_text([&] { check_probability("RandomBlur", p); }), "probability"));
  CHECK(laws::error_text([] { check_probability("RandomBlur", 1); }).empty());
}
