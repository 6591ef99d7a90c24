// The configurations in examples/ are ones that the program takes: every key known and with effect, every value
// possible.
#include <algorithm>
#include <filesystem>
#include <ivado/config/ivadomed.hpp>
#include <ivado/config/sections.hpp>
#include <ivado/data/split.hpp>
#include <ivado/postprocess/dynamic_postprocess.hpp>
#include <ivado/transform/dynamic_compose.hpp>
#include <ivado/transform/transform.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;

namespace {

using Whole = Configuration<SplitParams, AnyCompose::Params, AnyPostProcess::Params>;

/// The paths of all JSON files below examples/, in order.
std::vector<std::string> examples() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(IVADO_SOURCE_DIR "/examples"))
    if (entry.path().extension() == ".json") out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("The configurations in examples/ can be used") {
  const auto files = examples();
  CHECK(files.size() >= 2);
  for (const auto& file : files) {
    CAPTURE(file);
    const Json user = read_user_configuration(file);
    CHECK(check_keys<Whole>(user).empty());
    const auto read = configuration_of<Whole>(merge(to_json(Whole{}), user));
    CHECK_FALSE(read.loader_parameters.target_suffix.raters_by_class.empty());
    CHECK(resolve_model(to_json(read), Command::test)["name"] == user.at("default_model").at("name"));
  }
}
