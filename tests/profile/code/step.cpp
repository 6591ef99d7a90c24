// One loop over mini-batches, written with a profiler and written without: with NoProfiler both must be the same machine
// code, instruction by instruction, and with StageTimer they must not (compare.cmake).
#include <cstdint>
#include <ivado/profile/profiler.hpp>

// Defined elsewhere, so that the compiler knows nothing of them.
struct Data;
Data* next_batch();
double loss_of(Data*);
void backward(Data*);
void take_step(double rate);

namespace {

template <ivado::Profiler P>
double epoch(P& profiler, double rate) {
  double sum = 0;
  profiler.enter(ivado::Phase::training);
  [[maybe_unused]] const auto scope = profiler.scope(ivado::Unit::training);
  while (Data* const data = next_batch()) {
    profiler.loaded(0.5, 0.25);
    auto measured = profiler.batch(ivado::Unit::training);
    const double loss = loss_of(data);
    backward(data);
    take_step(rate);
    measured.done(loss, 18);
    sum += loss;
  }
  return sum;
}

}  // namespace

extern "C" double with_no_profiler(ivado::NoProfiler& profiler, double rate) { return epoch(profiler, rate); }

extern "C" double with_stage_timer(ivado::StageTimer& profiler, double rate) { return epoch(profiler, rate); }

extern "C" double by_hand(void*, double rate) {
  double sum = 0;
  while (Data* const data = next_batch()) {
    const double loss = loss_of(data);
    backward(data);
    take_step(rate);
    sum += loss;
  }
  return sum;
}
