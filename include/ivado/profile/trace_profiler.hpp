// TraceProfiler: what ran when, as a trace for Perfetto (ui.perfetto.dev) or chrome://tracing.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "../config/json.hpp"
#include "../data/atomic_file.hpp"
#include "profiler.hpp"
#include "resources.hpp"

namespace ivado {

/// Keeps each scope, each mini-batch and each phase with its begin and end, and the memory of the process at the end of
/// each mini-batch. `write(folder)` makes `trace.json` of it, in the Trace Event Format (JSON object with `traceEvents`;
/// complete events "X", counters "C"; microseconds). For one thread at a time: that of the pipeline. Takes some 50 bytes
/// of memory an event.
class TraceProfiler {
 public:
  /// Traced from its construction to its destruction.
  class Scope {
   public:
    Scope(TraceProfiler& profiler, Unit unit) noexcept : profiler_(profiler), unit_(unit), begin_(wall_s()) {}
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { profiler_.add(unit_name(unit_), track_units, begin_); }

   private:
    TraceProfiler& profiler_;
    Unit unit_;
    double begin_;
  };
  /// One mini-batch under way.
  class Batch {
   public:
    Batch(TraceProfiler& profiler, Unit unit) noexcept : profiler_(profiler), unit_(unit), begin_(wall_s()) {}
    /// The mini-batch is over.
    void done(double loss, std::int64_t samples) {
      profiler_.add(unit_name(unit_), track_batches, begin_, loss, samples);
      profiler_.memory_.push_back({wall_s(), resident_bytes()});
    }

   private:
    TraceProfiler& profiler_;
    Unit unit_;
    double begin_;
  };

  [[nodiscard]] Scope scope(Unit unit) noexcept { return {*this, unit}; }
  [[nodiscard]] Batch batch(Unit unit) noexcept { return {*this, unit}; }
  void enter(Phase phase) {
    leave();
    phase_ = phase_name(phase);
    phase_begin_ = wall_s();
  }
  void loaded(double, double waited) {
    const double now = wall_s();
    events_.push_back({"waiting for data", track_batches, now - waited, now, not_measured, 0});
  }

  /// Ends the phase that is under way, and writes `trace.json`.
  /// @throws Error (data) if it cannot be written
  void write(const std::string& folder) {
    leave();
    const auto microseconds = [&](double seconds) { return 1e6 * (seconds - start_); };
    const auto process = static_cast<std::int64_t>(::getpid());
    Json events = Json::array();
    for (const auto& [track, name] :
         {std::pair{track_phases, "phases"}, std::pair{track_units, "units"}, std::pair{track_batches, "mini-batches"}})
      events.push_back(
          {{"ph", "M"}, {"pid", process}, {"tid", track}, {"name", "thread_name"}, {"args", {{"name", name}}}});
    for (const auto& one : events_) {
      Json event{{"ph", "X"},
                 {"pid", process},
                 {"tid", one.track},
                 {"name", std::string(one.name)},
                 {"ts", microseconds(one.begin)},
                 {"dur", microseconds(one.end) - microseconds(one.begin)}};
      if (one.samples > 0) event["args"] = {{"loss", one.loss}, {"samples", one.samples}};
      events.push_back(std::move(event));
    }
    for (const auto& one : memory_)
      events.push_back({{"ph", "C"},
                        {"pid", process},
                        {"name", "resident memory"},
                        {"ts", microseconds(one.at)},
                        {"args", {{"MiB", one.bytes / (1024.0 * 1024.0)}}}});
    std::filesystem::create_directories(folder);
    write_file_atomically(folder + "/trace.json",
                          Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump());
  }

 private:
  static constexpr int track_phases = 1;
  static constexpr int track_units = 2;
  static constexpr int track_batches = 3;

  struct Event {
    std::string_view name;  // of a literal
    int track = 0;
    double begin = 0;
    double end = 0;
    double loss = not_measured;
    std::int64_t samples = 0;
  };
  struct Memory {
    double at = 0;
    double bytes = 0;
  };

  void add(std::string_view name, int track, double begin, double loss = not_measured, std::int64_t samples = 0) {
    events_.push_back({name, track, begin, wall_s(), loss, samples});
  }
  void leave() {
    if (!phase_.empty()) add(phase_, track_phases, phase_begin_);
    phase_ = {};
  }

  double start_ = wall_s();
  std::string_view phase_;
  double phase_begin_ = 0;
  std::vector<Event> events_;
  std::vector<Memory> memory_;
};

static_assert(Profiler<TraceProfiler>);

}  // namespace ivado
