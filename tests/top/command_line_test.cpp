// The command line of an experiment.
#include <ivado/command_line.hpp>
#include <sstream>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
CommandLine parse(const std::vector<std::string>& arguments) { return parse_command_line(arguments); }
}  // namespace

TEST_CASE("Options are read with their values", "[unit]") {
  const CommandLine line = parse(
      {"-c", "a.json", "--test", "-pd", "one", "two", "-po", "out", "--threads", "2", "--workers", "0", "--seed", "7"});
  CHECK(line.config == "a.json");
  CHECK(line.command == Command::test);
  CHECK(line.path_data == std::vector<std::string>{"one", "two"});
  CHECK(line.path_output == "out");
  CHECK(line.threads == 2);
  CHECK(line.workers == 0);
  CHECK(line.seed == 7U);
  CHECK_FALSE(line.help);
}

TEST_CASE("Nothing given leaves all to the configuration", "[unit]") {
  const CommandLine line = parse({});
  CHECK(line.config.empty());
  CHECK_FALSE(line.command.has_value());
  CHECK_FALSE(line.threads.has_value());
  CHECK_FALSE(line.seed.has_value());
}

TEST_CASE("Wrong options are refused with what is nearest", "[unit]") {
  CHECK_THROWS_WITH(parse({"--tets"}), Contains("--tets") && Contains("--test"));
  CHECK_THROWS_WITH(parse({"--train", "--test"}), Contains("--train") && Contains("--test"));
  CHECK_THROWS_WITH(parse({"-c"}), Contains("-c needs a value"));
  CHECK_THROWS_WITH(parse({"-c", "--test"}), Contains("-c needs a value"));
  CHECK_THROWS_WITH(parse({"--threads", "0"}), Contains("--threads 0") && Contains("1 or more"));
  CHECK_THROWS_WITH(parse({"--threads", "two"}), Contains("--threads two"));
  CHECK_THROWS_WITH(parse({"--seed", "1.5"}), Contains("--seed 1.5"));
  try {
    (void)parse({"--nothing"});
    FAIL("an unknown option was taken");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 2);
  }
}

TEST_CASE("The step of the threshold analysis is a number between 0 and 1", "[unit]") {
  CHECK_FALSE(parse({"--test"}).threshold_increment.has_value());
  CHECK(parse({"-t", "0.1"}).threshold_increment == 0.1);
  CHECK(parse({"--thr-increment", "5e-2", "--test"}).threshold_increment == 0.05);
  for (const char* wrong : {"0", "1", "1.5", "nan", "inf", "0.1x", "half", "0,1", " 0.1"})
    CHECK_THROWS_WITH(parse({"-t", wrong}), Contains(std::string("-t ") + wrong) && Contains("between 0 and 1"));
  CHECK_THROWS_WITH(parse({"-t"}), Contains("-t needs a value"));
  CHECK_THROWS_WITH(parse({"--thr-increment", "-0.1"}), Contains("--thr-increment needs a value"));
  CHECK_THROWS_WITH(parse({"--thr-incremnt", "0.1"}), Contains("did you mean \"--thr-increment\"?"));
}

TEST_CASE("Options that the command would pass over are refused", "[unit]") {
  const auto check = [](const std::vector<std::string>& arguments, Command command) {
    check_options(parse(arguments), command);
  };
  CHECK_NOTHROW(check({"--resume-training", "-t", "0.1"}, Command::train));
  CHECK_NOTHROW(check({"-t", "0.1"}, Command::test));
  CHECK_NOTHROW(check({}, Command::segment));
  for (const Command command : {Command::test, Command::segment})
    CHECK_THROWS_WITH(check({"--resume-training"}, command), Contains("--resume-training") &&
                                                                 Contains(std::string(enum_name(command))) &&
                                                                 Contains("it is for --train"));
  CHECK_THROWS_WITH(check({"-t", "0.1"}, Command::segment), Contains("--thr-increment") && Contains("\"segment\""));
}

TEST_CASE("The usage names every option that is read", "[unit]") {
  std::ostringstream out;
  print_usage(out, "program");
  for (const char* option :
       {"-c,", "--config", "--train", "--test", "--segment", "-pd,", "--path-data", "-po,", "--path-output", "-t,",
        "--thr-increment", "--threads", "--workers", "--seed", "--keys", "--schema", "--version", "-h,", "--help"})
    CHECK_THAT(out.str(), Contains(option));
}

TEST_CASE("Animations and other patches are asked for with numbers", "[unit]") {
  CHECK(parse({}).gif == 0);
  CHECK(parse({"-g", "3"}).gif == 3);
  CHECK(parse({"--gif", "0"}).gif == 0);
  CHECK_THROWS_WITH(parse({"--gif", "few"}), Contains("--gif few"));
  CHECK_FALSE(parse({"--segment"}).patches.is_any());
  CHECK(parse({"--no-patch"}).patches.no_patch);
  const CommandLine line = parse({"--overlap-2d", "48", "16", "--segment"});
  CHECK(line.patches.overlap_xy == std::array<std::int64_t, 2>{48, 16});
  CHECK(line.command == Command::segment);
  CHECK_THROWS_WITH(parse({"--overlap-2d", "48"}), Contains("--overlap-2d needs two values"));
  CHECK_THROWS_WITH(parse({"--overlap-2d", "48", "--segment"}), Contains("--overlap-2d needs two values"));
  CHECK_THROWS_WITH(parse({"--overlap-2d", "48", "x"}), Contains("--overlap-2d 48 x"));
  std::ostringstream out;
  print_usage(out, "program");
  for (const char* option : {"-g,", "--gif", "--no-patch", "--overlap-2d", "--resume-training"})
    CHECK_THAT(out.str(), Contains(option));
}
