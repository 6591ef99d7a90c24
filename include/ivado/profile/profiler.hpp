// The profiler policy: what it must offer, the one that does nothing, and the one that times the units.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <ostream>
#include <string_view>
#include <type_traits>

#include "../clocks.hpp"
#include "../inline.hpp"

namespace ivado {

/// The units of a run that are measured apart.
enum class Unit { index, data, training, validation, inference, postprocessing, evaluation, saving };
/// Their number.
inline constexpr std::size_t unit_count = 8;

/// The name of a unit.
[[nodiscard]] constexpr std::string_view unit_name(Unit unit) noexcept {
  constexpr std::array<std::string_view, unit_count> names{"index",     "data",           "training",   "validation",
                                                           "inference", "postprocessing", "evaluation", "saving"};
  return names[static_cast<std::size_t>(unit)];
}

/// The phases of a run, one behind the other, as the profile study of ivadomed draws their bounds: `data` ends when the
/// data sets are made, `training` with the last epoch, `post` with the run; the threshold analysis and a test are phases
/// of their own.
enum class Phase { data, training, post, threshold, test };
/// Their number.
inline constexpr std::size_t phase_count = 5;

/// The name of a phase in the study's tables.
[[nodiscard]] constexpr std::string_view phase_name(Phase phase) noexcept {
  constexpr std::array<std::string_view, phase_count> names{"DATA", "TRAIN", "POST", "THR", "TEST"};
  return names[static_cast<std::size_t>(phase)];
}

/// Measures a run.
///
/// Requirements:
/// - `scope(unit)` gives an object whose lifetime is measured as time of that unit; scopes may nest;
/// - `batch(unit)` begins a mini-batch, once its data are there; `done(loss, samples)` of what it gives ends it;
/// - `enter(phase)` begins a phase and ends the one before;
/// - `loaded(seconds, waited)` is told the processor time that loading took in all threads since it was last told, and
///   how long the run waited for it; within the scope in which it waited: of training, validation or inference.
///
/// Laws: measuring changes no result; a profiler that measures nothing is an empty class.
/// Models: NoProfiler, StageTimer, SystemProfiler, TraceProfiler. Ten lines to copy: NoProfiler.
template <class P>
concept Profiler = std::default_initializable<P> && requires(P& profiler) {
  profiler.scope(Unit::training);
  profiler.batch(Unit::training).done(0.0, std::int64_t{1});
  profiler.enter(Phase::data);
  profiler.loaded(0.0, 0.0);
};

/// Tells a profiler what a loaded batch says of its cost, if it says anything (`BatchLoader` does).
template <class P, class LoadedBatch>
constexpr void tell_loaded(P& profiler, const LoadedBatch& loaded) {
  if constexpr (requires { loaded.loading_s, loaded.waited_s; }) profiler.loaded(loaded.loading_s, loaded.waited_s);
}

/// Measures nothing and costs nothing: an empty class whose scopes are empty and trivial.
class NoProfiler {
 public:
  /// Nothing.
  struct Scope {};
  /// Nothing.
  struct Batch {
    static constexpr void done(double, std::int64_t) noexcept {}
  };
  [[nodiscard]] static constexpr Scope scope(Unit) noexcept { return {}; }
  [[nodiscard]] static constexpr Batch batch(Unit) noexcept { return {}; }
  static constexpr void enter(Phase) noexcept {}
  static constexpr void loaded(double, double) noexcept {}
};

static_assert(Profiler<NoProfiler>);
static_assert(std::is_empty_v<NoProfiler> && std::is_trivially_destructible_v<NoProfiler::Scope>);

/// Adds up the wall time and the processor time of each unit, in seconds. A scope within another one stops the outer
/// one's clock, so that the units add up to the time that passed. For one thread at a time: that of the pipeline.
class StageTimer {
 public:
  /// Measures from its construction to its destruction.
  class Scope {
   public:
    Scope(StageTimer& timer, Unit unit) noexcept : timer_(timer), outer_(timer.current_) {
      timer_.charge();
      timer_.current_ = static_cast<int>(unit);
      ++timer_.totals_[static_cast<std::size_t>(unit)].calls;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() {
      timer_.charge();
      timer_.current_ = outer_;
    }

   private:
    StageTimer& timer_;
    int outer_;
  };
  /// Time and number of scopes of one unit.
  struct Total {
    double seconds = 0;      ///< that passed
    double processor_s = 0;  ///< of all threads of the process; seconds of one core
    std::size_t calls = 0;
  };

  [[nodiscard]] Scope scope(Unit unit) noexcept { return {*this, unit}; }
  /// Mini-batches are not told apart.
  [[nodiscard]] static constexpr NoProfiler::Batch batch(Unit) noexcept { return {}; }
  static constexpr void enter(Phase) noexcept {}
  static constexpr void loaded(double, double) noexcept {}
  [[nodiscard]] const Total& total(Unit unit) const noexcept { return totals_[static_cast<std::size_t>(unit)]; }

  /// A line for each unit that was measured: name, seconds, share of all, cores that were busy.
  IVADO_INLINE void print(std::ostream& out) const {
    double all = 0;
    for (const auto& total : totals_) all += total.seconds;
    for (std::size_t i = 0; i < unit_count; ++i) {
      if (totals_[i].calls == 0) continue;
      out << "  " << std::left << std::setw(16) << unit_name(static_cast<Unit>(i)) << std::right << std::fixed
          << std::setprecision(2) << std::setw(9) << totals_[i].seconds << " s " << std::setw(6) << std::setprecision(1)
          << (all > 0 ? 100 * totals_[i].seconds / all : 0) << " %" << std::setw(7) << std::setprecision(2)
          << (totals_[i].seconds > 0 ? totals_[i].processor_s / totals_[i].seconds : 0) << " cores\n"
          << std::defaultfloat;
    }
  }

 private:
  /// Adds the time since the last change to the unit that was running.
  IVADO_INLINE void charge() noexcept {
    const Moment now = Moment::now();
    if (current_ >= 0) {
      Total& total = totals_[static_cast<std::size_t>(current_)];
      total.seconds += now.wall_s - changed_.wall_s;
      total.processor_s += now.processor_s - changed_.processor_s;
    }
    changed_ = now;
  }

  std::array<Total, unit_count> totals_{};
  int current_ = -1;  // unit that is running; -1: none
  Moment changed_{};
};

static_assert(Profiler<StageTimer>);

}  // namespace ivado
