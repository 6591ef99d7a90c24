// The profiler policy: what it must offer, the one that does nothing, and the one that times the stages.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <iomanip>
#include <ostream>
#include <string_view>
#include <type_traits>

namespace ivado {

/// The units of a run that are measured apart.
enum class Unit { index, data, training, validation, inference, postprocessing, evaluation };
/// Their number.
inline constexpr std::size_t unit_count = 7;

/// The name of a unit.
[[nodiscard]] constexpr std::string_view unit_name(Unit unit) noexcept {
  constexpr std::array<std::string_view, unit_count> names{"index",     "data",           "training",  "validation",
                                                           "inference", "postprocessing", "evaluation"};
  return names[static_cast<std::size_t>(unit)];
}

/// Measures a run.
///
/// Requirements: `scope(unit)` gives an object whose lifetime is measured as time of that unit; scopes may nest.
/// Laws: measuring changes no result; a profiler that measures nothing is an empty class.
/// Models: NoProfiler, StageTimer. Ten lines to copy: NoProfiler.
template <class P>
concept Profiler = std::default_initializable<P> && requires(P& profiler) {
  profiler.scope(Unit::training);
};

/// Measures nothing and costs nothing: an empty class whose scopes are empty and trivial.
class NoProfiler {
 public:
  /// Nothing.
  struct Scope {};
  [[nodiscard]] static constexpr Scope scope(Unit) noexcept { return {}; }
};

static_assert(Profiler<NoProfiler>);
static_assert(std::is_empty_v<NoProfiler> && std::is_trivially_destructible_v<NoProfiler::Scope>);

/// Adds up the wall time of each unit, in seconds. A scope within another one stops the outer one's clock, so that the
/// units add
/// up to the time that passed. For one thread at a time: that of the pipeline.
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
    double seconds = 0;
    std::size_t calls = 0;
  };

  [[nodiscard]] Scope scope(Unit unit) noexcept { return {*this, unit}; }
  [[nodiscard]] const Total& total(Unit unit) const noexcept { return totals_[static_cast<std::size_t>(unit)]; }

  /// A line for each unit that was measured: name, seconds, share of all.
  void print(std::ostream& out) const {
    double all = 0;
    for (const auto& total : totals_) all += total.seconds;
    for (std::size_t i = 0; i < unit_count; ++i) {
      if (totals_[i].calls == 0) continue;
      out << "  " << std::left << std::setw(16) << unit_name(static_cast<Unit>(i)) << std::right << std::fixed
          << std::setprecision(2) << std::setw(9) << totals_[i].seconds << " s " << std::setw(6) << std::setprecision(1)
          << (all > 0 ? 100 * totals_[i].seconds / all : 0) << " %\n"
          << std::defaultfloat;
    }
  }

 private:
  /// Adds the time since the last change to the unit that was running.
  void charge() noexcept {
    const auto now = std::chrono::steady_clock::now();
    if (current_ >= 0)
      totals_[static_cast<std::size_t>(current_)].seconds += std::chrono::duration<double>(now - changed_).count();
    changed_ = now;
  }

  std::array<Total, unit_count> totals_{};
  int current_ = -1;  // unit that is running; -1: none
  std::chrono::steady_clock::time_point changed_{};
};

static_assert(Profiler<StageTimer>);

}  // namespace ivado
