#include "ivado/train/tensorboard_logger.hpp"

#include <unistd.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using namespace std::string_literals;

namespace {

namespace fs = std::filesystem;

/// The folders below that hold event files, and how many.
std::multiset<std::string> event_folders(const fs::path& root) {
  std::multiset<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file() && entry.path().filename().string().starts_with("events.out.tfevents."))
      out.insert(fs::relative(entry.path().parent_path(), root).string());
  return out;
}

/// All event files of a folder, one after the other.
std::string events_of(const fs::path& folder) {
  std::string out;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file()) {
      std::ifstream file(entry.path(), std::ios::binary);
      out.append(std::istreambuf_iterator<char>(file), {});
    }
  return out;
}

/// A scalar's value as it stands in an event file: its tag, then a float.
std::string scalar(const std::string& tag, float value) {
  std::string out = "\x0A"s + static_cast<char>(tag.size()) + tag + "\x15";
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (unsigned i = 0; i < 4; ++i) out += static_cast<char>(bits >> (8 * i) & 0xFF);
  return out;
}
bool holds(const std::string& events, const std::string& part) { return events.find(part) != std::string::npos; }

EpochRecord record_of(int epoch) {
  EpochRecord record;
  record.epoch = epoch;
  record.learning_rate = 0.5;
  record.training_loss = -0.25;
  record.seconds = 4;
  record.waiting_s = 1;
  return record;
}

}  // namespace

TEST_CASE("curves for TensorBoard are in the folders and of the names of ivadomed", "[unit]") {
  const Scratch scratch;
  TensorBoardLogger log;
  log.open((scratch.path / "log").string());
  log.begin_training(0);
  log.info("not kept here");
  CHECK(fs::is_empty(scratch.path));
  log.epoch(record_of(1));
  CHECK(event_folders(scratch.path) == std::multiset<std::string>{".", "losses_train_loss"});
  auto record = record_of(2);
  record.validation_loss = -0.125;
  record.values = {{"dice_class0", 0.75}, {"a/b c", 0.5}};
  log.epoch(record);
  CHECK(event_folders(scratch.path) == std::multiset<std::string>{".", "losses_train_loss", "losses_val_loss",
                                                                  "Validation_Metrics_dice_class0",
                                                                  "Validation_Metrics_a_b_c"});
  // All is flushed already.
  const std::string root = events_of(scratch.path);
  CHECK(holds(root, scalar("learning_rate", 0.5F)));
  CHECK(holds(root, scalar("seconds", 4)));
  CHECK(holds(root, scalar("waiting_for_data_share", 0.25F)));
  CHECK(holds(events_of(scratch.path / "losses_train_loss"), scalar("losses", -0.25F)));
  CHECK(holds(events_of(scratch.path / "losses_val_loss"), scalar("losses", -0.125F)));
  CHECK(holds(events_of(scratch.path / "Validation_Metrics_dice_class0"), scalar("Validation/Metrics", 0.75F)));

  const std::string png = "\x89PNG\r\n\x1A\n"s + "\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0ssss"s;
  log.image("Validation/Input", 2, png);
  log.epoch(record_of(3));
  CHECK(holds(events_of(scratch.path), "Validation/Input"));
  CHECK(holds(events_of(scratch.path), png));
}

TEST_CASE("a training that goes on begins new files, from the step that is made again", "[unit]") {
  const Scratch scratch;
  for (const int epochs_done : {0, 5}) {
    TensorBoardLogger log;
    log.open((scratch.path / "log").string());
    log.begin_training(epochs_done);
    log.epoch(record_of(epochs_done + 1));
  }
  CHECK(event_folders(scratch.path) == std::multiset<std::string>{".", ".", "losses_train_loss", "losses_train_loss"});
  // Event { step: 6, session_log { status: START } }, see event_file_test.cpp.
  CHECK(holds(events_of(scratch.path), "\x10\x06\x3A\x02\x08\x01"));
  CHECK(holds(events_of(scratch.path / "losses_train_loss"), "\x10\x06\x3A\x02\x08\x01"));
}
