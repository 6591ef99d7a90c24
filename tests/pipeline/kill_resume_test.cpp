// A training that is killed with SIGKILL after its first checkpoint, also while the next one is written, goes on to
// the same bytes. `bench_kill_training` counts more of them.
#include <cstdlib>
#include <filesystem>
#include <ivado/ivado.hpp>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "killed_training.hpp"
#include "world.hpp"

using namespace ivado;

namespace {

using Training =
    Pipeline<BidsLoader<Slices<Axis::axial>>, Compose<Resample, CenterCrop, RandomAffine, NormalizeInstance>,
             Unet<2, 2>, DiceLoss, PostProcess<Binarize>>;

constexpr killed::Plan plan{3, 2, 4, 7};
constexpr const char* variable = "IVADO_TEST_TRAINING";

}  // namespace

TEST_CASE("The training that is killed", "[.child]") {
  const char* folders = std::getenv(variable);
  REQUIRE(folders != nullptr);
  std::istringstream words(folders);
  std::vector<std::string> arguments{"training"};
  for (std::string word; std::getline(words, word, '\n');) arguments.push_back(word);
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  CHECK(ivado::main<Training>(static_cast<int>(pointers.size()), pointers.data(), killed::configuration(plan.epochs)) ==
        0);
}

TEST_CASE("Killed trainings are resumed to the bytes of the uninterrupted one", "[train]") {
  const World world({"T2w"});
  const Scratch scratch;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto start = [&](const std::string& results, bool resume) {
    return std::make_unique<killed::Child>(
        std::vector<std::string>{program, "The training that is killed"},
        std::string(variable) + "=-pd\n" + world.data() + "\n-po\n" + results + (resume ? "\n--resume-training" : ""),
        scratch / "output.txt");
  };
  const killed::Tally tally = killed::kill_trainings(scratch.path.string(), plan, start, [](const killed::Tally&) {});
  for (const auto& fault : tally.faults) UNSCOPED_INFO(fault);
  CHECK(tally.faults.empty());
  CHECK(tally.killed == plan.kills);
  CHECK(tally.while_writing >= plan.while_writing);
  CHECK(tally.resumed == plan.kills);
  CHECK(tally.equal == plan.kills);
  CHECK(tally.tidy == plan.kills);
}

TEST_CASE("What killed runs left half-written is removed, and nothing else", "[unit]") {
  const Scratch scratch;
  killed::Child gone({"/bin/true"}, "IVADO_KILLED=1", "/dev/null");
  CHECK(gone.finish());
  const std::string of_gone = ".ivado-" + std::to_string(gone.id()) + "-0-checkpoint.safetensors";
  const std::string of_this = std::filesystem::path(temporary_beside(scratch / "log.csv")).filename().string();
  const std::string of_parent = ".ivado-" + std::to_string(::getppid()) + "-3-log.csv";
  for (const std::string& name : {of_gone, of_this, of_parent, std::string(".ivado-notes"), std::string(".ivado-7"),
                                  std::string("checkpoint.safetensors")})
    std::ofstream(scratch / name) << "x";
  std::filesystem::create_directory(scratch / "below");
  std::ofstream(scratch / ("below/" + of_gone)) << "x";
  std::vector<std::string> expected{of_gone, of_this};
  std::sort(expected.begin(), expected.end());
  CHECK(remove_abandoned(scratch.path.string()) == expected);
  for (const std::string& name : {of_parent, std::string(".ivado-notes"), std::string(".ivado-7"),
                                  std::string("checkpoint.safetensors"), "below/" + of_gone})
    CHECK(std::filesystem::exists(scratch / name));
  CHECK(remove_abandoned(scratch / "missing").empty());
}
