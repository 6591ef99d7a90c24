// Errors: their text and the exit status they stand for.
#include <ivado/error.hpp>

#include "../catch.hpp"

using namespace ivado;

TEST_CASE("An error says what was done, what was found and what to do", "[unit]") {
  const Error error =
      data_error("reading the label of sub-03", "spacing 0.75 mm, the image has 0.5 mm", "resample the label");
  CHECK(std::string(error.what()) ==
        "reading the label of sub-03: spacing 0.75 mm, the image has 0.5 mm; resample the label");
  CHECK(std::string(usage_error("a", "b").what()) == "a: b");
}

TEST_CASE("Each fault has its exit status", "[unit]") {
  CHECK(usage_error("a", "b").exit_status() == 2);
  CHECK(data_error("a", "b").exit_status() == 3);
  CHECK(internal_error("a", "b").exit_status() == 4);
  CHECK(data_error("a", "b").fault() == Fault::data);
}
