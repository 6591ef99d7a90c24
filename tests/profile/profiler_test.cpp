// The profilers: nothing where nothing is measured, and the times of nested scopes.
#include <ivado/profile/profiler.hpp>
#include <sstream>
#include <thread>

#include "../catch.hpp"

using namespace ivado;

TEST_CASE("NoProfiler is empty and its scopes are trivial", "[unit]") {
  STATIC_REQUIRE(std::is_empty_v<NoProfiler>);
  STATIC_REQUIRE(std::is_trivially_destructible_v<decltype(NoProfiler::scope(Unit::data))>);
  struct Holder {
    [[no_unique_address]] NoProfiler profiler;
    int value;
  };
  STATIC_REQUIRE(sizeof(Holder) == sizeof(int));
}

TEST_CASE("StageTimer counts a nested scope once", "[unit]") {
  StageTimer timer;
  const auto begin = std::chrono::steady_clock::now();
  {
    const auto outer = timer.scope(Unit::training);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    {
      const auto inner = timer.scope(Unit::data);
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double training = timer.total(Unit::training).seconds;
  const double data = timer.total(Unit::data).seconds;
  CHECK(data >= 0.030);
  CHECK(training >= 0.030);
  CHECK(training + data <= passed);
  CHECK(timer.total(Unit::training).calls == 1);
  CHECK(timer.total(Unit::data).calls == 1);
  CHECK(timer.total(Unit::evaluation).calls == 0);
}

TEST_CASE("The table names the units that ran, and no others", "[unit]") {
  StageTimer timer;
  { const auto scope = timer.scope(Unit::inference); }
  std::ostringstream out;
  timer.print(out);
  CHECK_THAT(out.str(), Catch::Matchers::Contains("inference") && !Catch::Matchers::Contains("training"));
}
