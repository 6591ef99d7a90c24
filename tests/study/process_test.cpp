#include "ivado/study/process.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

Process shell(const std::string& script, const std::string& log) { return {{"/bin/sh", "-c", script}, log}; }

}  // namespace

TEST_CASE("A program's status, output, time and memory are told") {
  const Scratch folder;
  const std::string log = folder / "log";
  const ProcessResult good = run_process(shell("echo out; echo err >&2; read x || echo no input; sleep 0.2", log));
  CHECK(good.succeeded());
  CHECK(content_of(log) == "out\nerr\nno input\n");
  CHECK(good.seconds >= 0.2);
  CHECK(good.seconds < 20);
  CHECK(good.user_s + good.system_s < good.seconds + 0.1);
  CHECK(good.peak_bytes > 100'000);

  Process more = shell("echo more; exit 3", log);
  more.appends = true;
  const ProcessResult bad = run_process(more);
  CHECK_FALSE(bad.succeeded());
  CHECK(bad.text() == "exit status 3");
  CHECK(content_of(log) == "out\nerr\nno input\nmore\n");

  const ProcessResult killed = run_process(shell("kill -9 $$", log));
  CHECK_FALSE(killed.succeeded());
  CHECK(killed.signal == SIGKILL);
  CHECK_THAT(killed.text(), Contains("ended by signal 9"));
  CHECK(content_of(log).empty());  // begun anew

  const ProcessResult missing = run_process({{folder / "nothing"}, log});
  CHECK_FALSE(missing.succeeded());
  CHECK_THAT(missing.text(), Contains("cannot be started") && Contains("No such file"));
  CHECK_THROWS_WITH(run_process(shell("true", folder / "no/log")), Contains("opening the log"));
  CHECK_THROWS_AS(run_process({{}, log}), Error);
}

TEST_CASE("The largest memory of a program is told") {
  const Scratch folder;
  // A variable of 64 MiB; dd writes zeros, which tr makes letters.
  const auto used = run_process(
      shell("x=$(dd if=/dev/zero bs=1048576 count=64 2>/dev/null | tr '\\0' a); echo ${#x}", folder / "log"));
  REQUIRE(content_of(folder / "log") == "67108864\n");
  CHECK(used.peak_bytes > 67'108'864);
  CHECK(used.peak_bytes < 2'000'000'000);
}

TEST_CASE("Programs run some at a time, each in a place of its own") {
  const Scratch folder;
  for (const int at_once : {1, 3}) {
    std::set<int> busy;
    std::set<std::size_t> seen;
    std::size_t most = 0;
    std::vector<int> places(7);
    run_processes(
        7, at_once,
        [&](std::size_t number, int place) {
          CHECK(busy.insert(place).second);
          CHECK((place >= 0 && place < at_once));
          most = std::max(most, busy.size());
          places[number] = place;
          return shell("sleep 0.1; exit " + std::to_string(number), folder / std::to_string(number));
        },
        [&](std::size_t number, const ProcessResult& result) {
          CHECK(result.exit_status == static_cast<int>(number));
          CHECK(seen.insert(number).second);
          busy.erase(places[number]);
        });
    CHECK(seen.size() == 7);
    CHECK(most == static_cast<std::size_t>(at_once));
  }
  run_processes(
      0, 2, [&](std::size_t, int) -> Process { throw std::logic_error("none"); }, [](auto, auto&) {});
}

TEST_CASE("What goes wrong around programs stops the others and is told") {
  const Scratch folder;
  int begun = 0;
  int ended = 0;
  const auto run = [&](std::size_t fails) {
    run_processes(
        5, 1,
        [&](std::size_t number, int) {
          ++begun;
          return shell("true", number == fails ? folder / "no/log" : folder / "log");
        },
        [&](std::size_t, const ProcessResult&) { ++ended; });
  };
  CHECK_THROWS_WITH(run(2), Contains("opening the log"));
  CHECK(begun == 3);
  CHECK(ended == 2);
  CHECK_THROWS_WITH(run_processes(
                        3, 2, [&](std::size_t, int) { return shell("true", folder / "log"); },
                        [](std::size_t, const ProcessResult&) { throw std::runtime_error("enough"); }),
                    "enough");
}
