#include "ivado/train/log_files.hpp"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

EpochRecord record_of(int epoch) {
  EpochRecord record;
  record.epoch = epoch;
  record.learning_rate = 0.001 / epoch;
  record.training_loss = -0.1 * epoch;
  record.validation_loss = -0.05 * epoch;
  record.seconds = 2;
  record.waiting_s = 0.5;
  record.is_best = true;
  record.values = {{"val_dice_class0", 0.3 * epoch}, {"val_dice_class1", epoch == 1 ? nan : 0.25}};
  return record;
}

}  // namespace

TEST_CASE("the numbers of a training are tables", "[unit]") {
  const Scratch scratch;
  LogFiles log;
  log.open(scratch / "log");
  CHECK(log.csv_path() == scratch / "training_log.csv");
  CHECK(log.jsonl_path() == scratch / "training_log.jsonl");
  log.begin_training(0);
  CHECK(fs::is_empty(scratch.path));
  EpochRecord record;
  record.epoch = 1;
  record.learning_rate = 0.001;
  record.training_loss = -0.25;
  record.seconds = 12.34567;
  record.waiting_s = 1.23456;  // a share of 0.1
  record.is_best = true;
  record.values = {{"val_dice_class0", 0.5}, {"val_hausdorff", std::numeric_limits<double>::infinity()}};
  log.epoch(record);
  CHECK(content_of(log.csv_path()) ==
        "epoch,learning_rate,train_loss,val_loss,seconds,waiting_for_data_s,waiting_share,best,val_dice_class0,"
        "val_hausdorff\n"
        "1,0.001,-0.25,,12.346,1.235,0.1,true,0.5,\n");
  CHECK(content_of(log.jsonl_path()) ==
        R"({"epoch":1,"learning_rate":0.001,"train_loss":-0.25,"val_loss":null,"seconds":12.346,)"
        R"("waiting_for_data_s":1.235,"waiting_share":0.1,"best":true,"val_dice_class0":0.5,"val_hausdorff":null})"
        "\n");
  // A column that comes later stands behind the others.
  record.epoch = 2;
  record.validation_loss = 1.0 / 3;
  record.is_best = false;
  record.values = {{"train_dice", 0.125}};
  log.epoch(record);
  CHECK(content_of(log.csv_path()) ==
        "epoch,learning_rate,train_loss,val_loss,seconds,waiting_for_data_s,waiting_share,best,val_dice_class0,"
        "val_hausdorff,train_dice\n"
        "1,0.001,-0.25,,12.346,1.235,0.1,true,0.5,,\n"
        "2,0.001,-0.25,0.3333333333333333,12.346,1.235,0.1,false,,,0.125\n");
}

TEST_CASE("a training that goes on has the log of one that was never stopped", "[unit]") {
  const Scratch scratch;
  fs::create_directories(scratch / "whole");
  LogFiles whole;
  whole.open(scratch / "whole/log");
  whole.begin_training(0);
  for (int epoch = 1; epoch <= 6; ++epoch) whole.epoch(record_of(epoch));

  {
    LogFiles first;
    first.open(scratch / "log");
    first.begin_training(0);
    for (int epoch = 1; epoch <= 3; ++epoch) first.epoch(record_of(epoch));
    auto lost = record_of(4);  // after the state from which the training goes on
    lost.values.emplace_back("lost", 1);
    first.epoch(lost);
  }
  LogFiles second;
  second.open(scratch / "log");
  CHECK_THAT(content_of(second.csv_path()), Contains("lost"));  // open alone changes nothing
  second.begin_training(3);
  CHECK_THAT(content_of(second.csv_path()), !Contains("lost") && !Contains("\n4,") && Contains("\n3,"));
  CHECK_THAT(content_of(second.jsonl_path()), !Contains("lost") && !Contains(R"("epoch":4)"));
  for (int epoch = 4; epoch <= 6; ++epoch) second.epoch(record_of(epoch));
  CHECK(content_of(second.csv_path()) == content_of(whole.csv_path()));
  CHECK(content_of(second.jsonl_path()) == content_of(whole.jsonl_path()));

  LogFiles anew;
  anew.open(scratch / "log");
  anew.begin_training(0);
  CHECK_FALSE(fs::exists(anew.csv_path()));
  CHECK_FALSE(fs::exists(anew.jsonl_path()));
  anew.epoch(record_of(1));
  const std::string jsonl = content_of(anew.jsonl_path());
  CHECK(std::count(jsonl.begin(), jsonl.end(), '\n') == 1);
}

TEST_CASE("a log that begins in the middle of a training has the epochs since then", "[unit]") {
  const Scratch scratch;
  LogFiles log;
  log.open(scratch / "log");
  log.begin_training(7);
  log.epoch(record_of(8));
  CHECK(content_of(log.csv_path()).find("\n8,") != std::string::npos);
}

TEST_CASE("logs that cannot be gone on with are errors", "[unit]") {
  const Scratch scratch;
  LogFiles log;
  log.open(scratch / "log");
  const auto go_on_from = [&](const std::string& content) {
    std::ofstream(log.jsonl_path()) << content;
    log.begin_training(2);
  };
  const std::string good = R"({"epoch":1,"train_loss":null,"best":true})"
                           "\n";
  CHECK_NOTHROW(go_on_from(good));
  CHECK_THROWS_WITH(go_on_from(good + R"({"epoch":2,"train_l)"),
                    Contains("line 2") && Contains("training_log.jsonl") && Contains("move the file away"));
  CHECK_THROWS_WITH(go_on_from("[1]\n"), Contains("line 1") && Contains("number of an epoch"));
  CHECK_THROWS_WITH(go_on_from(R"({"epoch":"1"})"), Contains("number of an epoch"));
  CHECK_THROWS_WITH(go_on_from(R"({"epoch":1,"loss":"low"})"), Contains("\"loss\" is no number"));
  CHECK_THROWS_WITH(go_on_from(R"({"epoch":1,"loss":[1]})"), Contains("\"loss\" is no number"));
  fs::remove(log.jsonl_path());
  std::ofstream(log.csv_path()) << "epoch\n1\n";
  CHECK_THROWS_WITH(log.begin_training(1),
                    Contains("training_log.csv") && Contains("training_log.jsonl") && Contains("is missing"));
  CHECK(content_of(log.csv_path()) == "epoch\n1\n");
}

TEST_CASE("names that would break the table are errors", "[unit]") {
  const Scratch scratch;
  LogFiles log;
  log.open(scratch / "log");
  log.begin_training(0);
  const std::string name = GENERATE("", "a,b", "a\"b", "a\nb", "epoch", "val_loss");
  EpochRecord record = record_of(5);
  record.values = {{name, 1.0}};
  CHECK_THROWS_WITH(log.epoch(record), Contains("epoch 5") && Contains("cannot be the name of one more column"));
  record.values = {{"twice", 1.0}, {"twice", 2.0}};
  CHECK_THROWS_WITH(log.epoch(record), Contains("\"twice\""));
  CHECK(fs::is_empty(scratch.path));
}

TEST_CASE("a folder that is not there is an error", "[unit]") {
  const Scratch scratch;
  LogFiles log;
  log.open(scratch / "none/log");
  log.begin_training(0);
  CHECK_THROWS_WITH(log.epoch(record_of(1)), Contains("none") && Contains("does not exist"));
}
