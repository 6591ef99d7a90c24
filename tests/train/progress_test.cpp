#include "ivado/train/progress.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;
using namespace std::chrono_literals;

namespace {

/// A terminal of so many columns, and what was written to it.
class Terminal {
 public:
  explicit Terminal(unsigned short columns = 100) : master_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE(master_ >= 0);
    REQUIRE(::grantpt(master_) == 0);
    REQUIRE(::unlockpt(master_) == 0);
    file_ = std::fopen(::ptsname(master_), "w");
    REQUIRE(file_ != nullptr);
    resize(columns);
    REQUIRE(::fcntl(master_, F_SETFL, O_NONBLOCK) == 0);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    std::fclose(file_);
    ::close(master_);
  }
  void resize(unsigned short columns) {
    winsize size{};
    size.ws_col = columns;
    size.ws_row = 24;
    REQUIRE(::ioctl(master_, TIOCSWINSZ, &size) == 0);
  }
  [[nodiscard]] std::FILE* file() const { return file_; }
  /// What came since the last call.
  [[nodiscard]] std::string read() {
    std::string out;
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(master_, buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<std::size_t>(size));
    return out;
  }

 private:
  int master_;
  std::FILE* file_ = nullptr;
};

/// What a terminal shows in its one line after these characters.
std::string shown(const std::string& written) {
  std::string line;
  std::size_t column = 0;
  for (const char c : written) {
    if (c == '\r') {
      column = 0;
      continue;
    }
    if (column == line.size()) line += ' ';
    line[column++] = c;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

/// A file that is no terminal.
class PlainFile {
 public:
  PlainFile() : file_(std::tmpfile()) { REQUIRE(file_ != nullptr); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;
  ~PlainFile() { std::fclose(file_); }
  [[nodiscard]] std::FILE* file() const { return file_; }
  [[nodiscard]] std::string content() const {
    std::string out;
    std::rewind(file_);
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) out += static_cast<char>(c);
    return out;
  }

 private:
  std::FILE* file_;
};

const ProgressBar::Clock::time_point start{1000s};

}  // namespace

TEST_CASE("durations read well", "[unit]") {
  CHECK(duration_text(0) == "0 s");
  CHECK(duration_text(59.4) == "59 s");
  CHECK(duration_text(59.6) == "1 min 00 s");
  CHECK(duration_text(185) == "3 min 05 s");
  CHECK(duration_text(3600) == "1 h 00 min");
  CHECK(duration_text(2 * 3600 + 14 * 60 + 59) == "2 h 14 min");
  CHECK(duration_text(27 * 3600) == "1 d 03 h");
  CHECK(duration_text(-1) == "unknown");
  CHECK(duration_text(std::numeric_limits<double>::quiet_NaN()) == "unknown");
  CHECK(duration_text(std::numeric_limits<double>::infinity()) == "unknown");
}

TEST_CASE("the note of a training says loss, waiting and the time left for all epochs", "[unit]") {
  CHECK(training_note(-0.51236) == "loss -0.5124");
  CHECK(training_note(0.25, 0.125) == "loss 0.2500, 13 % waiting for data");
  CHECK(training_note(0.25, 1.7) == "loss 0.2500, 100 % waiting for data");
  CHECK(training_note(0.25, 0, 3900) == "loss 0.2500, 0 % waiting for data, 1 h 05 min in all");
}

TEST_CASE("a bar on a terminal shows how far, how fast and how long", "[unit]") {
  Terminal terminal;
  ProgressBar bar(terminal.file());
  bar.show({"epoch 3/100", 0, 40, "loss 0.5"}, start);
  CHECK(shown(terminal.read()) == "epoch 3/100 [..............................] 0/40, loss 0.5");
  // 10 batches in 2 s are 5/s; the other 30 take 6 s.
  bar.show({"epoch 3/100", 10, 40, "loss 0.25"}, start + 2s);
  CHECK(shown(terminal.read()) == "epoch 3/100 [#######.......................] 10/40, 5.0/s, 6 s left, loss 0.25");
  // Slower than one a second; and a shorter line leaves nothing of the one before.
  bar.show({"epoch 3/100", 20, 40}, start + 40s);
  CHECK(shown(terminal.read()) == "epoch 3/100 [###############...............] 20/40, 2.0 s each, 40 s left");
  bar.show({"epoch 3/100", 40, 40}, start + 80s);
  CHECK(shown(terminal.read()) == "epoch 3/100 [##############################] 40/40, 2.0 s each");
  // Another one begins anew.
  bar.show({"epoch 4/100", 1, 40}, start + 81s);
  CHECK(shown(terminal.read()) == "epoch 4/100 [..............................] 1/40");
  bar.show({"epoch 4/100", 3, 40}, start + 82s);
  CHECK_THAT(terminal.read(), Contains("3/40, 2.0/s, 19 s left"));
  // So does one of the same name.
  bar.show({"epoch 4/100", 1, 40}, start + 90s);
  CHECK(shown(terminal.read()) == "epoch 4/100 [..............................] 1/40");
}

TEST_CASE("a bar is drawn at most ten times a second", "[unit]") {
  Terminal terminal;
  ProgressBar bar(terminal.file());
  std::size_t drawn = 0;
  for (int batch = 0; batch < 3000; ++batch) {  // one a millisecond, and a new epoch each 50
    const int epoch = batch / 50;
    bar.show({"epoch " + std::to_string(epoch), batch % 50 + 1, 50}, start + batch * 1ms);
    if (batch % 17 == 0) bar.erase();
    const std::string written = terminal.read();
    drawn += written.find('/') != std::string::npos;
  }
  CHECK(drawn == 30);
}

TEST_CASE("a bar is erased without a trace", "[unit]") {
  Terminal terminal;
  {
    ProgressBar bar(terminal.file());
    bar.erase();
    CHECK(terminal.read().empty());
    bar.show({"predicting", 1, 2}, start);
    std::string written = terminal.read();
    bar.erase();
    written += terminal.read();
    CHECK(shown(written).empty());
    bar.erase();
    CHECK(terminal.read().empty());
    bar.show({"predicting", 1, 0}, start + 1s);  // nothing to do
    CHECK(terminal.read().empty());
    bar.show({"predicting", 2, 2}, start + 2s);
    CHECK_THAT(terminal.read(), Contains("2/2"));
  }
  CHECK(shown(terminal.read()).empty());  // the destructor
}

TEST_CASE("a bar is never wider than the window", "[unit]") {
  const auto columns = GENERATE(1, 2, 12, 40, 60, 80, 200);
  Terminal terminal(static_cast<unsigned short>(columns));
  ProgressBar bar(terminal.file());
  for (int i = 0; i < 5; ++i) {
    bar.show({"epoch 3/100 of ä", 10 * i, 40, std::string(static_cast<std::size_t>(7 * (5 - i)), 'x')}, start + i * 1s);
    const std::string line = shown(terminal.read());
    CHECK(static_cast<int>(line.size()) < columns);
    if (columns == 200) CHECK_THAT(line, Contains("##") || Contains("[....."));
  }
  // The window becomes narrower.
  terminal.resize(20);
  bar.show({"epoch 3/100", 41, 400, "a note that is rather long"}, start + 10s);
  const std::string line = terminal.read();
  CHECK(line.size() <= 20);  // with the carriage return
}

TEST_CASE("a window may end within a letter of several bytes", "[unit]") {
  // "ä" is two bytes; only one of them has room.
  Terminal terminal(5);
  ProgressBar bar(terminal.file());
  bar.show({"abc\xC3\xA4", 1, 2}, start);
  CHECK(terminal.read() == "\rabc");
}

TEST_CASE("elsewhere progress is plain lines, few of them", "[unit]") {
  const PlainFile file;
  {
    ProgressBar bar(file.file());
    for (int second = 0; second <= 35; ++second) bar.show({"epoch 1/2", second, 40, "loss 0.5"}, start + second * 1s);
    for (int second = 0; second < 9; ++second)  // too short to be worth a line
      bar.show({"epoch 2/2", second, 9}, start + 40s + second * 1s);
  }
  CHECK(file.content() ==
        "epoch 1/2  10/40, 1.0/s, 30 s left, loss 0.5\n"
        "epoch 1/2  20/40, 1.0/s, 20 s left, loss 0.5\n"
        "epoch 1/2  30/40, 1.0/s, 10 s left, loss 0.5\n");
}
