#include "ivado/command_options.hpp"

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace {

using Catch::Matchers::Contains;

[[nodiscard]] ivado::CommandOptions parsed(const std::vector<std::string>& arguments) {
  return {
      arguments,
      "ivado test",
      {.flags = {"--link"}, .values = {"--from", "--number"}, .lists = {"--names"}, .aliases = {{"-n", "--number"}}}};
}
[[nodiscard]] std::string error_of(const std::vector<std::string>& arguments) {
  try {
    (void)parsed(arguments);
  } catch (const ivado::Error& error) {
    CHECK(error.fault() == ivado::Fault::usage);
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("Options have no value, one value, or a list") {
  const auto options = parsed({"--names", "a,b", "c", ",d,", "--link", "--from", "x,y", "-n", "-3"});
  CHECK(options.list("--names") == std::vector<std::string>{"a", "b", "c", "d"});
  CHECK(options.has("--link"));
  CHECK(options.text("--from") == "x,y");
  CHECK(options.number<std::int64_t>("--number") == -3);
  CHECK(options.number<double>("--number") == -3.0);
  CHECK_FALSE(options.has("--help"));
  CHECK(options.text("--nothing").empty());
  CHECK_FALSE(parsed({}).number<int>("--number").has_value());
  CHECK(parsed({"-h"}).has("--help"));
}

TEST_CASE("Wrong options are refused with what to do") {
  CHECK_THAT(error_of({"--form", "x"}), Contains("ivado test") && Contains("did you mean \"--from\""));
  CHECK_THAT(error_of({"word"}), Contains("there is no option \"word\""));
  CHECK_THAT(error_of({"--from"}), Contains("--from needs a value"));
  CHECK_THAT(error_of({"--from", "--link"}), Contains("--from needs a value"));
  CHECK_THAT(error_of({"--from", "-n"}), Contains("--from needs a value"));
  CHECK_THAT(error_of({"--names", ","}), Contains("--names needs a value"));
  CHECK_THAT(error_of({"--from", "a", "b"}), Contains("there is no option \"b\""));
  CHECK_THAT(error_of({"-n", "1", "--number", "2"}), Contains("--number is given twice"));
  CHECK_THROWS_WITH(parsed({"-n", "1x"}).number<int>("--number"), Contains("--number 1x") && Contains("whole number"));
  CHECK_THROWS_WITH(parsed({"-n", "-1"}).number<unsigned>("--number"), Contains("0 or more"));
  CHECK_THROWS_WITH(parsed({"-n", "99999999999"}).number<int>("--number"), Contains("whole number"));
  CHECK_THROWS_WITH(parsed({"-n", "half"}).number<double>("--number"), Contains("such as 0.5"));
}

TEST_CASE("What a command throws becomes its exit status") {
  std::ostringstream err;
  CHECK(ivado::run_guarded("ivado test", err, [] { return 0; }) == 0);
  CHECK(ivado::run_guarded("ivado test", err, []() -> int { throw ivado::data_error("reading", "odd"); }) == 3);
  CHECK(ivado::run_guarded("ivado test", err, []() -> int { throw std::runtime_error("broken"); }) == 4);
  CHECK(err.str() == "ivado test: reading: odd\nivado test: broken\n");
}
