// SystemProfiler, its sampler and the readings of the system under it.
#include <algorithm>
#include <cmath>
#include <ivado/profile/select.hpp>
#include <ivado/report/csv_table.hpp>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"

using namespace ivado;
using namespace std::chrono_literals;

namespace {

/// Keeps one core busy for that many seconds of its processor time.
double burn(double seconds) {
  const double end = thread_processor_s() + seconds;
  double sum = 0;
  while (thread_processor_s() < end)
    for (int i = 0; i < 1000; ++i) sum += std::sqrt(static_cast<double>(i) + sum);
  return sum;
}

/// A file of the profiler.
class Table {
 public:
  explicit Table(const std::string& path) : lines_(ivado::detail::parse_csv(content_of(path), path)) {}
  [[nodiscard]] std::size_t rows() const { return lines_.size() - 1; }
  [[nodiscard]] std::string cell(std::size_t row, const std::string& name) const {
    const auto& head = lines_.front();
    const auto found = std::find(head.begin(), head.end(), name);
    REQUIRE(found != head.end());
    REQUIRE(lines_.at(row + 1).size() == head.size());
    return lines_[row + 1][static_cast<std::size_t>(found - head.begin())];
  }
  [[nodiscard]] std::vector<double> column(const std::string& name) const {
    std::vector<double> out;
    for (std::size_t row = 0; row < rows(); ++row) out.push_back(std::stod(cell(row, name)));
    return out;
  }

 private:
  std::vector<std::vector<std::string>> lines_;
};

}  // namespace

TEST_CASE("The clocks count time that passes and time of the processor", "[unit]") {
  const Moment begin = Moment::now();
  std::this_thread::sleep_for(30ms);
  const Moment slept = Moment::now();
  CHECK(slept.wall_s - begin.wall_s >= 0.030);
  CHECK(slept.processor_s - begin.processor_s < 0.025);
  (void)burn(0.02);
  CHECK(processor_s() - slept.processor_s >= 0.02);
}

TEST_CASE("Memory and bytes read are those of this process", "[unit]") {
  const double before = resident_bytes();
  const double read_before = read_bytes();
  std::vector<char> block(std::size_t{64} << 20, 1);
  const double with = resident_bytes();
  CHECK(with - before > 60.0 * (1 << 20));
  CHECK(peak_resident_bytes() >= with - (1 << 20));
  const Scratch scratch;
  write_file_atomically((scratch / "file"), std::string_view(block.data(), std::size_t{1} << 20));
  CHECK(content_of((scratch / "file")).size() == std::size_t{1} << 20);
  CHECK(read_bytes() - read_before >= 1 << 20);
  const auto memory = MachineMemory::now();
  CHECK(memory.used_share() > 0);
  CHECK(memory.used_share() <= 1);
  CHECK(memory.total_bytes > with);
}

TEST_CASE("Labels of the system's files that are missing give no number", "[unit]") {
  CHECK(detail::proc_number("MemTotal:   12 kB\nMemFree: 3 kB", "MemFree:") == 3);
  CHECK(std::isnan(detail::proc_number("MemTotal: 12 kB", "Swap:")));
  CHECK(std::isnan(detail::proc_number("MemTotal: none", "MemTotal:")));
  CHECK(std::isnan(detail::proc_number("MemTotal:", "MemTotal:")));
  CHECK(detail::proc_text("/proc/there/is/no/such/file").empty());
}

TEST_CASE("The instruction counter counts, where the system lends it", "[unit]") {
  const InstructionCounter counter;
  if (!counter.is_there()) {
    CHECK(std::isnan(counter.count()));
    return;
  }
  const double before = counter.count();
  (void)burn(0.01);
  CHECK(counter.count() - before > 1e6);
}

TEST_CASE("The sampler's means are of the looks since a mark", "[unit]") {
  ResourceSampler sampler(5ms, false);
  const auto mark = sampler.mark();
  (void)burn(0.1);
  const auto mean = sampler.mean_since(mark);
  CHECK(sampler.mark().looks > mark.looks);
  CHECK(mean[Resource::machine_processor] > 0);
  CHECK(mean[Resource::machine_processor] <= 1);
  CHECK(mean[Resource::resident_bytes] > 1e6);
  CHECK(std::isnan(mean[Resource::gpu_busy]));
  CHECK_FALSE(sampler.has_gpu());
  const auto last = sampler.mean_since(sampler.mark());
  CHECK(last[Resource::resident_bytes] > 1e6);
}

TEST_CASE("A machine without a graphics processor has no figures for it", "[unit]") {
  const Gpu gpu(4000);  // none has so many
  CHECK_FALSE(gpu.is_there());
  CHECK(std::isnan(gpu.use().busy_share));
  CHECK(std::isnan(gpu.use().used_share()));
}

TEST_CASE("Phases, mini-batches and units are measured apart", "[unit]") {
  SystemProfiler<SystemOptions{.interval_ms = 5}> profiler;
  profiler.enter(Phase::data);
  {
    const auto scope = profiler.scope(Unit::data);
    (void)burn(0.03);
  }
  profiler.enter(Phase::training);
  {
    const auto scope = profiler.scope(Unit::training);
    for (int batch = 0; batch < 3; ++batch) {
      profiler.loaded(0.01, 0.004);
      auto measured = profiler.batch(Unit::training);
      (void)burn(0.02);
      measured.done(0.5 - batch, 18);
    }
  }
  {
    const auto scope = profiler.scope(Unit::validation);
    auto measured = profiler.batch(Unit::validation);
    std::this_thread::sleep_for(20ms);
    measured.done(0.25, 7);
  }
  const Scratch scratch;
  profiler.write((scratch / "profile"));

  const auto system = Table(scratch / "profile/syslog.csv");
  REQUIRE(system.rows() == 2);
  CHECK(system.cell(0, "comp") == "DATA");
  CHECK(system.cell(1, "comp") == "TRAIN");
  CHECK(system.column("time")[0] >= 0.03);
  CHECK(system.column("time")[1] >= 0.08);
  CHECK(system.column("processor_s")[1] >= 0.06);
  CHECK(system.column("loading_s")[1] == Approx(0.03));
  CHECK(system.column("waiting_s")[1] == Approx(0.012));
  CHECK(system.column("main_mem")[0] > 0);
  CHECK(system.column("cpu_util")[1] <= 1);

  const auto training = Table(scratch / "profile/trainlog.csv");
  REQUIRE(training.rows() == 3);
  CHECK(training.column("train_loss") == std::vector<double>{0.5, -0.5, -1.5});
  CHECK(training.column("samples") == std::vector<double>{18, 18, 18});
  for (const double seconds : training.column("time")) CHECK(seconds >= 0.02);
  for (const double seconds : training.column("waiting_s")) CHECK(seconds == Approx(0.004));

  const auto validation = Table(scratch / "profile/vallog.csv");
  REQUIRE(validation.rows() == 1);
  CHECK(validation.column("time")[0] >= 0.02);
  CHECK(validation.column("processor_s")[0] < 0.02);

  const auto work = Table(scratch / "profile/work.csv");
  REQUIRE(work.rows() == 5);
  CHECK(work.column("processor_s")[0] >= 0.06);  // 0.03 of the data unit and 0.03 of loading
  CHECK(work.column("time")[0] >= 0.042);
  CHECK(work.column("processor_s")[1] >= 0.02);
  CHECK(work.column("time")[2] == 0);
}

TEST_CASE("The study's columns stand first, and what is absent is called so", "[unit]") {
  SystemProfiler<SystemOptions{.interval_ms = 5, .gpu = false}> profiler;
  profiler.enter(Phase::post);
  profiler.batch(Unit::training).done(1, 1);
  const Scratch scratch;
  profiler.write((scratch / "profile"));
  CHECK(content_of((scratch / "profile/syslog.csv")).starts_with("comp,time,gpu_util,cpu_util,gpu_mem,main_mem,"));
  CHECK(content_of((scratch / "profile/trainlog.csv"))
            .starts_with("time,train_gpu_util,train_cpu_util,train_gpu_mem,train_main_mem,train_loss,"));
  CHECK(content_of((scratch / "profile/vallog.csv"))
            .starts_with("time,val_gpu_util,val_cpu_util,val_gpu_mem,val_main_mem,val_loss,"));
  const auto system = Table(scratch / "profile/syslog.csv");
  CHECK(system.cell(0, "gpu_util") == "n/a");
  CHECK(system.cell(0, "gpu_mem") == "n/a");
}

TEST_CASE("A profiler that waits to be asked measures the units alone", "[unit]") {
  SystemProfiler<SystemOptions{.is_on = false}> profiler;
  profiler.enter(Phase::data);
  { const auto scope = profiler.scope(Unit::inference); }
  profiler.batch(Unit::training).done(1, 1);
  CHECK_FALSE(profiler.is_recording());
  CHECK(profiler.training().empty());
  CHECK(profiler.timer().total(Unit::inference).calls == 1);
  const Scratch scratch;
  profiler.write((scratch / "profile"));
  CHECK_FALSE(std::filesystem::exists((scratch / "profile")));
  profiler.record();
  profiler.batch(Unit::training).done(1, 1);
  CHECK(profiler.training().size() == 1);
}

TEST_CASE("Measuring costs next to nothing", "[unit]") {
  SystemProfiler<> profiler;
  profiler.enter(Phase::training);
  const double begin = processor_s();
  for (int batch = 0; batch < 10; ++batch) {
    auto measured = profiler.batch(Unit::training);
    (void)burn(0.05);
    measured.done(0, 1);
  }
  CHECK(profiler.own_s() < 0.02 * (processor_s() - begin));
}

TEST_CASE("A trace holds the scopes, mini-batches and phases with their times", "[unit]") {
  TraceProfiler profiler;
  profiler.enter(Phase::data);
  {
    const auto outer = profiler.scope(Unit::training);
    const auto inner = profiler.scope(Unit::saving);
    profiler.loaded(0, 0.001);
    auto measured = profiler.batch(Unit::training);
    std::this_thread::sleep_for(5ms);
    measured.done(0.75, 4);
  }
  const Scratch scratch;
  profiler.write((scratch / "profile"));
  const Json trace = Json::parse(content_of((scratch / "profile/trace.json")));
  std::map<std::string, Json> complete;
  int counters = 0;
  for (const auto& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X")
      complete[event.at("name").get<std::string>() + std::to_string(event.at("tid").get<int>())] = event;
    if (event.at("ph") == "C") ++counters;
  }
  CHECK(counters == 1);
  REQUIRE(complete.contains("training3"));
  REQUIRE(complete.contains("training2"));
  REQUIRE(complete.contains("DATA1"));
  REQUIRE(complete.contains("saving2"));
  REQUIRE(complete.contains("waiting for data3"));
  CHECK(complete["training3"].at("dur") >= 5000.0);
  CHECK(complete["training3"].at("args").at("loss") == 0.75);
  CHECK(complete["training2"].at("ts") <= complete["training3"].at("ts"));
  CHECK(complete["DATA1"].at("dur") >= complete["training2"].at("dur"));
}

TEST_CASE("A constant selects the profiler", "[unit]") {
  STATIC_REQUIRE(std::is_same_v<profile::select<profile::level::none>, NoProfiler>);
  STATIC_REQUIRE(std::is_same_v<profile::select<profile::level::stages>, StageTimer>);
  STATIC_REQUIRE(std::is_same_v<profile::select<profile::level::system>, SystemProfiler<>>);
  STATIC_REQUIRE(std::is_same_v<profile::select<profile::level::trace>, TraceProfiler>);
}
