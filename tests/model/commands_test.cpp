// `ivado summary` as a user calls it: what it prints, its exit statuses and messages. No LibTorch.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <ivado/model/commands.hpp>
#include <sstream>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// A configuration in a file that is gone with the test.
class File {
 public:
  explicit File(const std::string& text)
      : path_((std::filesystem::temp_directory_path() / ("ivado-summary-" + std::to_string(::getpid()) + ".json"))
                  .string()) {
    std::ofstream(path_) << text;
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

struct Run {
  int status = 0;
  std::string out;
  std::string err;
};

Run run(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream err;
  const int status = run_summary(arguments, out, err);
  return {status, out.str(), err.str()};
}

/// Runs with `-c` of a configuration before the other arguments.
Run run_on(const std::string& configuration, std::vector<std::string> arguments) {
  const File file(configuration);
  arguments.insert(arguments.begin(), {"-c", file.path()});
  return run(arguments);
}

template <class Matcher>
void check_refused(const Run& result, const Matcher& matcher) {
  CHECK(result.status == 2);
  CHECK(result.out.empty());
  CHECK(result.err.substr(0, 7) == "error: ");
  CHECK(result.err.find('\n') == result.err.size() - 1);  // one line
  CHECK_THAT(result.err, matcher);
}

constexpr const char* unet =
    R"({"default_model": {"name": "Unet", "n_filters": 2, "depth": 2}, "training_parameters": {"batch_size": 3},
        "loader_parameters": {"target_suffix": ["_seg"]}, "transformation": {"CenterCrop": {"size": [16, 24]}}})";

}  // namespace

TEST_CASE("The summary takes size and batch from the configuration, or from the command line", "[unit]") {
  Json json = Json::parse(run_on(unet, {"--json"}).out);
  CHECK(json["model"] == "Unet");
  CHECK(json["layers"][0]["shape"] == Json::parse("[3, 1, 16, 24]"));
  json = Json::parse(run_on(unet, {"--size", "32x8", "--batch", "1", "--json"}).out);
  CHECK(json["layers"][0]["shape"] == Json::parse("[1, 1, 32, 8]"));
  const Run table = run_on(unet, {});
  CHECK(table.status == 0);
  CHECK(table.err.empty());
  CHECK_THAT(table.out, Contains("3x1x16x24") && Contains("trained values: " + json["trained_values"].dump()));
}

TEST_CASE("The summary of a section that is applied: sub-volumes, metadata and contrasts", "[unit]") {
  Json json = Json::parse(run_on(R"({"Modified3DUNet": {"applied": true, "n_filters": 1, "length_3D": [32, 32, 16]},
                                     "loader_parameters": {"target_suffix": ["_seg"]}})",
                                 {"--json"})
                              .out);
  CHECK(json["model"] == "Modified3DUNet");
  CHECK(json["layers"][0]["shape"] == Json::parse("[18, 1, 32, 32, 16]"));
  CHECK(json["size_divisor"] == 16);

  const char* const film = R"({"FiLMedUnet": {"applied": true, "n_filters": 1, "depth": 1, "metadata": "contrasts"},
                               "loader_parameters": {"target_suffix": ["_seg"]}})";
  json = Json::parse(run_on(film, {"--size", "8x8", "--json"}).out);
  CHECK(json["layers"][1]["name"] == "condition");
  CHECK(json["layers"][1]["shape"] == Json::parse("[18, 2]"));
  json = Json::parse(run_on(film, {"--size", "8x8", "--conditions", "5", "--json"}).out);
  CHECK(json["layers"][1]["shape"] == Json::parse("[18, 5]"));

  json = Json::parse(run_on(R"({"HeMISUnet": {"applied": true, "n_filters": 1, "depth": 1},
                                "loader_parameters": {"target_suffix": ["_seg"],
                                  "contrast_params": {"training_validation": ["T1w", "T2w", "T2star"]}}})",
                            {"--size", "8x8", "--batch", "2", "--json"})
                         .out);
  CHECK(json["layers"][0]["shape"] == Json::parse("[2, 3, 8, 8]"));
  CHECK(json["layers"][1]["shape"] == Json::parse("[2, 3]"));
  CHECK_THAT(json["layers"].dump(), Contains("Encoder_mod.Encoder_T2star.down_path.0.conv1"));
}

TEST_CASE("The summary explains its options", "[unit]") {
  const Run help = run({"--help"});
  CHECK(help.status == 0);
  CHECK_THAT(help.out, Contains("usage: ivado summary") && Contains("--size") && Contains("--batch") &&
                           Contains("--conditions") && Contains("--json"));
}

TEST_CASE("The summary refuses wrong options with what is nearest or missing", "[unit]") {
  check_refused(run({}), Contains("no configuration is given") && Contains("usage: ivado summary"));
  check_refused(run({"--sise", "8x8"}), Contains("\"--sise\"") && Contains("did you mean \"--size\"?"));
  check_refused(run({"-c"}), Contains("-c needs a value"));
  check_refused(run({"-c", "none.json"}), Contains("none.json"));
  check_refused(run({"--size", "axb"}), Contains("no configuration is given"));
  for (const char* size : {"axb", "0x8", "8x", "x8", "-8x8", "8 x 8", "1e3x8", "8x8x8x8", "99999999999x8"})
    check_refused(run_on(unet, {"--size", size}), Contains(std::string("--size ") + size) && Contains("128x128"));
  for (const char* batch : {"0", "two", "2x3", "-1", "1.5"})
    check_refused(run_on(unet, {"--batch", batch}),
                  Contains(std::string("--batch ") + batch) && Contains("a whole number of 1 or more"));
  check_refused(run_on(unet, {"--conditions", "2x2"}), Contains("--conditions 2x2"));
}

TEST_CASE("The summary refuses sizes that are not known, do not suit or have the wrong number of extents", "[unit]") {
  check_refused(run_on(R"({"loader_parameters": {"target_suffix": ["_seg"]}})", {}),
                Contains("size of a sample") && Contains("--size 128x128"));
  check_refused(run_on(R"({"default_model": {"is_2d": false}})", {}), Contains("--size 64x64x64"));
  check_refused(run_on(unet, {"--size", "8x8x8"}), Contains("3 extents") && Contains("two spatial axes"));
  check_refused(run_on(R"({"default_model": {"is_2d": false}})", {"--size", "8x8"}),
                Contains("2 extents") && Contains("three spatial axes"));
  check_refused(run_on(unet, {"--size", "3x8"}), Contains("3x1x3x8") && Contains("at least 4"));
}

TEST_CASE("The summary refuses configurations that no model can be made from", "[unit]") {
  check_refused(run_on(R"({"default_model": {"name": "Countception", "is_2d": false}})", {"--size", "8x8x8"}),
                Contains("no 3-D model \"Countception\""));
  check_refused(run_on(R"({"default_model": {"nam": "Unet"}})", {}), Contains("default_model.nam"));
  check_refused(run_on(R"({"FiLMedUnet": {"applied": true, "film_layers": [1]}})", {"--size", "16x16"}),
                Contains("film_layers has 1 entries"));
}
