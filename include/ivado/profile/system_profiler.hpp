// SystemProfiler: time, processor, memory and graphics processor of each phase and each mini-batch, as the study's tables.
#pragma once

#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "../data/atomic_file.hpp"
#include "../error.hpp"
#include "profiler.hpp"
#include "sampler.hpp"

namespace ivado {

/// Constants of a SystemProfiler.
struct SystemOptions {
  int interval_ms = 50;  ///< between two looks at the machine
  bool gpu = true;       ///< look for a graphics processor
  bool is_on = true;     ///< measure from the start; false: time the units alone, until `record()` is called
};

/// What a window of time took.
struct UsedResources {
  double seconds = 0;
  double processor_s = 0;  ///< of all threads of the process
  double instructions = not_measured;
  double waiting_s = 0;  ///< for data
  double loading_s = 0;  ///< processor time of loading data, in any thread
  double read_bytes = not_measured;
  double peak_bytes = not_measured;  ///< the most memory of the process up to the end of the window
  ResourceValues mean;
};

/// One line of trainlog.csv or vallog.csv.
struct BatchUse {
  UsedResources used;
  double loss = not_measured;
  std::int64_t samples = 0;
};

/// One line of syslog.csv.
struct PhaseUse {
  Phase phase = Phase::data;
  UsedResources used;
};

/// Measures what a run takes from its machine: each phase, each mini-batch of training and validation, each unit.
///
/// A background thread looks at the machine (ResourceSampler), so that nothing of it is within a measured time; what is
/// left there are a few clocks a mini-batch. `own_s()` tells the cost of it all.
///
/// `write(folder)` leaves there
/// - `syslog.csv`: one line a phase. The study's columns `comp`, `time` (s), `gpu_util`, `cpu_util`, `gpu_mem`,
///   `main_mem` (shares in [0, 1] of the whole machine, means over the phase), with the meaning that their names say: in
///   the study's own files `cpu_util` and `gpu_mem` are swapped, and its memory of the graphics processor is the traffic;
/// - `trainlog.csv`, `vallog.csv`: one line a mini-batch, its clock running from when its data are there to the end of
///   the step: `time` and the same with the prefix `train_` or `val_`, and the loss;
/// - all three with columns of ours behind the study's: `processor_s` and `instructions` of all threads, `waiting_s` for
///   data, `loading_s` (processor time of loading), `read_mib`, `resident_mib`, `peak_mib`, `gpu_mem_traffic`;
/// - `work.csv`: the time that passed and the processor time spent on data (indexing, reading, transforms, wherever they
///   run), on computing (forward, backward, optimiser), on post-processing with evaluation, on saving, on the profiler.
///
/// A figure that the machine does not give is `n/a`.
template <SystemOptions Options = SystemOptions{}>
class SystemProfiler {
 public:
  SystemProfiler() {
    if (Options.is_on) record();
  }
  SystemProfiler(const SystemProfiler&) = delete;
  SystemProfiler& operator=(const SystemProfiler&) = delete;

  /// One mini-batch under way.
  class Batch {
   public:
    /// The mini-batch is over.
    void done(double loss, std::int64_t samples) {
      if (profiler_ != nullptr) profiler_->end_batch(unit_, loss, samples);
      profiler_ = nullptr;
    }

   private:
    friend class SystemProfiler;
    Batch(SystemProfiler* profiler, Unit unit) noexcept : profiler_(profiler), unit_(unit) {}
    SystemProfiler* profiler_;
    Unit unit_;
  };

  /// Measures from now on.
  /// @param gpu  the graphics processor that is looked at, as NVML counts: all of the machine
  void record(unsigned gpu = 0) {
    if (sampler_) return;
    counter_ = std::make_unique<InstructionCounter>();
    sampler_ = std::make_unique<ResourceSampler>(std::chrono::milliseconds(Options.interval_ms), Options.gpu, gpu);
  }
  [[nodiscard]] bool is_recording() const noexcept { return sampler_ != nullptr; }

  [[nodiscard]] StageTimer::Scope scope(Unit unit) noexcept { return timer_.scope(unit); }
  [[nodiscard]] Batch batch(Unit unit) {
    if (!sampler_) return {nullptr, unit};
    const OwnCost cost(*this);
    batch_ = open();
    batch_.used.waiting_s = waited_s_;
    batch_.used.loading_s = loaded_s_;
    waited_s_ = loaded_s_ = 0;
    return {this, unit};
  }
  void enter(Phase phase) {
    if (!sampler_) return;
    leave();
    phase_ = phase;
    phase_window_ = open();
  }
  void loaded(double seconds, double waited) noexcept {
    waited_s_ += waited;
    loaded_s_ += seconds;
    phase_window_.used.waiting_s += waited;
    phase_window_.used.loading_s += seconds;
    total_waiting_s_ += waited;
    total_loading_s_ += seconds;
  }

  [[nodiscard]] const StageTimer& timer() const noexcept { return timer_; }
  [[nodiscard]] const std::vector<PhaseUse>& phases() const noexcept { return phases_; }
  [[nodiscard]] const std::vector<BatchUse>& training() const noexcept { return training_; }
  [[nodiscard]] const std::vector<BatchUse>& validation() const noexcept { return validation_; }
  /// The processor time that the measuring itself took: of the sampler's thread, and of the calls within the run.
  [[nodiscard]] double own_s() const { return own_processor_s_ + (sampler_ ? sampler_->own_processor_s() : 0); }

  /// The table of the units, as StageTimer prints it.
  void print(std::ostream& out) const { timer_.print(out); }

  /// Ends the phase that is under way, and writes the tables.
  /// @throws Error (data) if a file cannot be written
  void write(const std::string& folder) {
    if (!sampler_) return;
    leave();
    std::filesystem::create_directories(folder);
    std::string table = "comp,time,gpu_util,cpu_util,gpu_mem,main_mem" + std::string(our_columns) + "\n";
    for (const auto& one : phases_) table += std::string(phase_name(one.phase)) + "," + columns(one.used, {}) + "\n";
    write_file_atomically(folder + "/syslog.csv", table);
    write_batches(folder + "/trainlog.csv", "train_", training_);
    write_batches(folder + "/vallog.csv", "val_", validation_);
    write_file_atomically(folder + "/work.csv", work());
  }

 private:
  static constexpr std::string_view our_columns =
      ",processor_s,instructions,waiting_s,loading_s,read_mib,resident_mib,peak_mib,gpu_mem_traffic";
  static constexpr double mib = 1024.0 * 1024.0;

  /// A window that is open; its figures are readings at its begin until it is closed.
  struct Window {
    UsedResources used;
    ResourceSampler::Mark mark;
  };

  /// Adds the time from its construction to its destruction to what the profiler itself takes.
  class OwnCost {
   public:
    explicit OwnCost(SystemProfiler& profiler) noexcept : profiler_(profiler) {}
    OwnCost(const OwnCost&) = delete;
    OwnCost& operator=(const OwnCost&) = delete;
    ~OwnCost() {
      profiler_.own_wall_s_ += wall_s() - wall_s_;
      profiler_.own_processor_s_ += thread_processor_s() - processor_s_;
    }

   private:
    SystemProfiler& profiler_;
    double wall_s_ = wall_s();
    double processor_s_ = thread_processor_s();
  };

  [[nodiscard]] Window open() const {
    Window out;
    out.mark = sampler_->mark();
    out.used.instructions = counter_->count();
    out.used.read_bytes = read_bytes();
    const Moment now = Moment::now();
    out.used.seconds = now.wall_s;
    out.used.processor_s = now.processor_s;
    return out;
  }
  [[nodiscard]] UsedResources close(const Window& window) const {
    const Moment now = Moment::now();
    UsedResources out = window.used;
    out.seconds = now.wall_s - out.seconds;
    out.processor_s = now.processor_s - out.processor_s;
    out.instructions = counter_->count() - out.instructions;
    out.read_bytes = read_bytes() - out.read_bytes;
    out.peak_bytes = peak_resident_bytes();
    out.mean = sampler_->mean_since(window.mark);
    return out;
  }

  void leave() {
    if (phase_) phases_.push_back({*phase_, close(phase_window_)});
    phase_.reset();
  }
  void end_batch(Unit unit, double loss, std::int64_t samples) {
    const OwnCost cost(*this);
    const UsedResources used = close(batch_);
    auto& log = unit == Unit::training ? training_ : validation_;
    if (unit == Unit::training || unit == Unit::validation) log.push_back({used, loss, samples});
  }

  [[nodiscard]] static std::string number(double value) {
    return std::isfinite(value) ? detail::text(value) : std::string("n/a");
  }
  /// @param loss  stands behind the study's columns where there is one
  [[nodiscard]] static std::string columns(const UsedResources& used, const std::optional<double>& loss) {
    std::string out;
    const auto add = [&](double value) { out += (out.empty() ? "" : ",") + number(value); };
    add(used.seconds);
    add(used.mean[Resource::gpu_busy]);
    add(used.mean[Resource::machine_processor]);
    add(used.mean[Resource::gpu_memory]);
    add(used.mean[Resource::machine_memory]);
    if (loss) add(*loss);
    add(used.processor_s);
    add(used.instructions);
    add(used.waiting_s);
    add(used.loading_s);
    add(used.read_bytes / mib);
    add(used.mean[Resource::resident_bytes] / mib);
    add(used.peak_bytes / mib);
    add(used.mean[Resource::gpu_memory_traffic]);
    return out;
  }
  static void write_batches(const std::string& path, const std::string& prefix, const std::vector<BatchUse>& batches) {
    std::string table = "time";
    for (const char* column : {"gpu_util", "cpu_util", "gpu_mem", "main_mem", "loss"}) table += "," + prefix + column;
    table += std::string(our_columns) + ",samples\n";
    for (const auto& one : batches) table += columns(one.used, one.loss) + "," + std::to_string(one.samples) + "\n";
    write_file_atomically(path, table);
  }

  /// Where the time went, whatever phase it was in. Loading in other threads overlaps with computing: what it makes the
  /// run wait is data, its processor time is taken from that of computing.
  [[nodiscard]] std::string work() const {
    using Total = StageTimer::Total;
    const auto sum = [&](std::initializer_list<Unit> units) {
      Total out;
      for (const Unit unit : units) {
        out.seconds += timer_.total(unit).seconds;
        out.processor_s += timer_.total(unit).processor_s;
      }
      return out;
    };
    const Total data = sum({Unit::index, Unit::data});
    const Total computing = sum({Unit::training, Unit::validation, Unit::inference});
    const Total post = sum({Unit::postprocessing, Unit::evaluation});
    const Total saving = sum({Unit::saving});
    std::string table = "work,time,processor_s\n";
    const auto row = [&](const char* name, double seconds, double processor) {
      table += std::string(name) + "," + number(seconds) + "," + number(processor) + "\n";
    };
    row("data", data.seconds + total_waiting_s_, data.processor_s + total_loading_s_);
    row("computing", computing.seconds - total_waiting_s_, computing.processor_s - total_loading_s_);
    row("postprocessing", post.seconds, post.processor_s);
    row("saving", saving.seconds, saving.processor_s);
    row("profiler", own_wall_s_, own_s());
    return table;
  }

  StageTimer timer_;
  std::unique_ptr<InstructionCounter> counter_;  // before the threads of the run, which it counts as well
  std::unique_ptr<ResourceSampler> sampler_;
  std::optional<Phase> phase_;
  Window phase_window_;
  Window batch_;
  double waited_s_ = 0;  // since the last mini-batch began
  double loaded_s_ = 0;
  double total_waiting_s_ = 0;
  double total_loading_s_ = 0;
  double own_wall_s_ = 0;       // of the calls within the run
  double own_processor_s_ = 0;  // of the same
  std::vector<PhaseUse> phases_;
  std::vector<BatchUse> training_;
  std::vector<BatchUse> validation_;
};

static_assert(Profiler<SystemProfiler<>>);

}  // namespace ivado
