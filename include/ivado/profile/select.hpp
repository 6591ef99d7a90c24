// A profiler by a constant: profile::select<profile::level::system>.
#pragma once

#include <type_traits>

#include "profiler.hpp"
#include "system_profiler.hpp"
#include "trace_profiler.hpp"

/// How much of a run is measured, as one constant expression.
namespace ivado::profile {

enum class level {
  none,    ///< nothing, at no cost: NoProfiler
  stages,  ///< the time of each unit: StageTimer
  system,  ///< what a run takes from its machine: SystemProfiler
  trace    ///< what ran when: TraceProfiler
};

namespace detail {
template <level Level>
struct Selected {
  using type = NoProfiler;
};
template <>
struct Selected<level::stages> {
  using type = StageTimer;
};
template <>
struct Selected<level::system> {
  using type = SystemProfiler<>;
};
template <>
struct Selected<level::trace> {
  using type = TraceProfiler;
};
}  // namespace detail

/// The profiler of a level.
template <level Level>
using select = typename detail::Selected<Level>::type;

static_assert(std::is_same_v<select<level::none>, NoProfiler>);

}  // namespace ivado::profile
