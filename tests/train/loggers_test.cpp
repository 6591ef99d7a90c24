#include "ivado/train/loggers.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../catch.hpp"

using namespace ivado;

namespace {

/// Remembers what it is told.
struct Plain {
  std::vector<std::string> told;
  void open(const std::string& path) { told.push_back("open " + path); }
  void info(const std::string& line) { told.push_back("info " + line); }
  void warning(const std::string& line) { told.push_back("warning " + line); }
  void progress(const std::string& what, std::int64_t done, std::int64_t total, const std::string& note) {
    told.push_back(what + " " + std::to_string(done) + "/" + std::to_string(total) + " " + note);
  }
};
struct WithEpochs : Plain {
  void begin_training(int epochs_done) { told.push_back("begin " + std::to_string(epochs_done)); }
  void epoch(const EpochRecord& record) { told.push_back("epoch " + std::to_string(record.epoch)); }
};
struct WithImages : Plain {
  void image(const std::string& tag, int epoch, std::string_view png) {
    told.push_back(tag + " " + std::to_string(epoch) + " " + std::string(png));
  }
};

static_assert(Logger<Plain> && !EpochLogger<Plain> && !ImageLogger<Plain>);
static_assert(EpochLogger<WithEpochs> && !ImageLogger<WithEpochs>);
static_assert(ImageLogger<WithImages> && !EpochLogger<WithImages>);
static_assert(Logger<Loggers<>> && EpochLogger<Loggers<Plain, WithEpochs>> && ImageLogger<Loggers<WithImages>>);
static_assert(EpochLogger<Loggers<Loggers<WithEpochs>, Plain>>);

}  // namespace

TEST_CASE("several loggers in one are each told what they can take", "[unit]") {
  Loggers<Plain, WithEpochs, Loggers<WithImages>> loggers;
  loggers.open("folder/log");
  loggers.info("a");
  loggers.begin_training(3);
  loggers.progress("epoch 4", 5, 6, "note");
  EpochRecord record;
  record.epoch = 4;
  loggers.epoch(record);
  loggers.image("tag", 4, "png");
  loggers.warning("b");
  CHECK(loggers.get<Plain>().told ==
        std::vector<std::string>{"open folder/log", "info a", "epoch 4 5/6 note", "warning b"});
  CHECK(loggers.get<WithEpochs>().told ==
        std::vector<std::string>{"open folder/log", "info a", "begin 3", "epoch 4 5/6 note", "epoch 4", "warning b"});
  CHECK(loggers.get<Loggers<WithImages>>().get<WithImages>().told ==
        std::vector<std::string>{"open folder/log", "info a", "epoch 4 5/6 note", "tag 4 png", "warning b"});
}

TEST_CASE("an epoch's share of waiting is of its whole time", "[unit]") {
  EpochRecord record;
  CHECK(record.waiting_share() == 0);
  record.seconds = 8;
  record.waiting_s = 2;
  CHECK(record.waiting_share() == 0.25);
}
