#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <ivado/random.hpp>
#include <ivado/uncertainty/mask_spool.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

std::vector<bool> drawn_mask(std::int64_t voxels, std::uint32_t number) {
  Rng rng({5, 0, number, stream_user});
  std::vector<bool> mask(static_cast<std::size_t>(voxels));
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = rng.uniform() < 0.4;
  return mask;
}

std::vector<bool> read_mask(MaskSpool& spool, std::int64_t number) {
  std::vector<bool> mask;
  spool.read(number, [&](std::int64_t i, bool is_set) {
    CHECK(i == static_cast<std::int64_t>(mask.size()));
    mask.push_back(is_set);
  });
  return mask;
}

}  // namespace

TEST_CASE("masks come back from the spool as they were, in any order", "[unit][uncertainty]") {
  const auto voxels = GENERATE(std::int64_t{1}, std::int64_t{7}, std::int64_t{8}, std::int64_t{9}, std::int64_t{211});
  MaskSpool spool(fs::temp_directory_path().string(), voxels);
  for (std::uint32_t n = 0; n < 5; ++n) {
    const auto mask = drawn_mask(voxels, n);
    spool.add([&](std::int64_t i) { return mask[static_cast<std::size_t>(i)]; });
  }
  CHECK(spool.size() == 5);
  for (const std::uint32_t n : {4U, 0U, 2U, 3U, 1U, 4U}) CHECK(read_mask(spool, n) == drawn_mask(voxels, n));
  // Adding goes on behind the others after reading.
  spool.add([](std::int64_t) { return true; });
  CHECK(read_mask(spool, 5) == std::vector<bool>(static_cast<std::size_t>(voxels), true));
  CHECK(read_mask(spool, 1) == drawn_mask(voxels, 1));
  CHECK_THROWS_WITH(read_mask(spool, 6), Contains("number 6 of 6"));
  CHECK_THROWS_WITH(read_mask(spool, -1), Contains("number -1 of 6"));
}

TEST_CASE("the spool leaves no file in its folder, and names a folder that it cannot use", "[unit][uncertainty]") {
  const fs::path folder = fs::temp_directory_path() / ("ivado-spool-" + std::to_string(::getpid()));
  fs::remove_all(folder);
  CHECK_THROWS_WITH(MaskSpool(folder.string(), 8), Contains(folder.string()) && Contains("permissions"));
  fs::create_directories(folder);
  {
    MaskSpool spool(folder.string(), 100);
    spool.add([](std::int64_t i) { return i % 3 == 0; });
    CHECK(fs::is_empty(folder));
  }
  CHECK(fs::is_empty(folder));
  fs::remove_all(folder);
}

TEST_CASE("a disk that takes no more is an error, and the mask does not count", "[unit][uncertainty]") {
  MaskSpool spool(fs::temp_directory_path().string(), 64);
  spool.add([](std::int64_t) { return true; });
  // The limit of the process on the size of a file stands for the disk.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit little = before;
  little.rlim_cur = 8;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &little) == 0);
  std::string message;
  int status = 0;
  try {
    spool.add([](std::int64_t) { return true; });
  } catch (const Error& error) {
    message = error.what();
    status = error.exit_status();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(status == 4);
  CHECK_THAT(message, Contains("keeping a mask") && Contains("free space"));
  CHECK(spool.size() == 1);
  spool.add([](std::int64_t i) { return i == 3; });
  CHECK(spool.size() == 2);
  CHECK(read_mask(spool, 1)[3]);
}
