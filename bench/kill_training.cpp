// How safe a training is: trainings killed with SIGKILL at random moments after their first checkpoint, many of them
// while a checkpoint is written, then resumed and compared with the uninterrupted one byte for byte.
//
//   bench_kill_training [--kills N] [--seed S] [--folder DIR]
//
// 50 and 1 unless told; the folder must be empty or missing, by default it is a temporary one. Prints the counts, and
// the same as JSON on the last line. Exit status 1 if a training was not resumed, or not to the same bytes.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <ivado/data/phantom.hpp>
#include <ivado/ivado.hpp>
#include <memory>
#include <string>
#include <vector>

#include "../tests/pipeline/killed_training.hpp"

namespace {

using Training =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>,
                    ivado::Compose<ivado::Resample, ivado::CenterCrop, ivado::RandomAffine, ivado::NormalizeInstance>,
                    ivado::Unet<2, 2>, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

int run(killed::Plan plan, std::string folder) {
  const bool own = folder.empty();
  if (own) folder = (std::filesystem::temp_directory_path() / ("ivado-kill-" + std::to_string(::getpid()))).string();
  if (std::filesystem::exists(folder) && !std::filesystem::is_empty(folder))
    throw ivado::usage_error("killing trainings", folder + " is not empty", "give another --folder");
  ivado::PhantomParams phantom;
  phantom.subjects = 4;
  phantom.contrasts = {"T2w"};
  ivado::write_phantom(folder + "/data", phantom);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto start = [&](const std::string& results, bool resume) {
    std::vector<std::string> command{program, "--training", std::to_string(plan.epochs), "-pd", folder + "/data",
                                     "-po",   results};
    if (resume) command.push_back("--resume-training");
    return std::make_unique<killed::Child>(command, "IVADO_KILLED=1", folder + "/output.txt");
  };
  const killed::Tally tally = killed::kill_trainings(folder, plan, start, [&](const killed::Tally& so_far) {
    std::printf("\r%d of %d killed, %d while writing, %d resumed, %d equal", so_far.killed, plan.kills,
                so_far.while_writing, so_far.resumed, so_far.equal);
    std::fflush(stdout);
  });
  std::printf("\n");
  for (const auto& fault : tally.faults) std::printf("%s\n", fault.c_str());
  std::printf(
      "{\"bench\": \"kill_training\", \"seed\": %llu, \"epochs\": %d, \"killed\": %d, \"while_writing\": %d, "
      "\"half_written\": %d, \"resumed\": %d, \"equal\": %d, \"tidy\": %d}\n",
      static_cast<unsigned long long>(plan.seed), plan.epochs, tally.killed, tally.while_writing, tally.half_written,
      tally.resumed, tally.equal, tally.tidy);
  const bool good = tally.faults.empty() && tally.equal == plan.kills && tally.tidy == plan.kills &&
                    tally.while_writing * 5 >= plan.kills;
  if (good && own) std::filesystem::remove_all(folder);
  if (!good) std::printf("the results are in %s\n", folder.c_str());
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc > 2 && std::string(argv[1]) == "--training")
      return ivado::main<Training>(argc - 2, argv + 2, killed::configuration(std::atoi(argv[2])));
    killed::Plan plan;
    std::string folder;
    for (int i = 1; i < argc; i += 2) {
      const std::string option = argv[i];
      if (i + 1 == argc || (option != "--kills" && option != "--seed" && option != "--folder"))
        throw ivado::usage_error("killing trainings", "the option " + option,
                                 "give --kills N, --seed S or --folder DIR, each with its value");
      if (option == "--folder") folder = argv[i + 1];
      if (option == "--seed") plan.seed = std::strtoull(argv[i + 1], nullptr, 10);
      if (option == "--kills") plan.kills = std::max(1, std::atoi(argv[i + 1]));
    }
    plan.while_writing = (plan.kills + 2) / 3;
    return run(plan, folder);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_kill_training: error: %s\n", error.what());
    return 4;
  }
}
