// Learning-rate schedules as functions of progress. No LibTorch.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <numbers>
#include <string_view>

#include "../config/params.hpp"

namespace ivado {

/// How far a training is.
struct Progress {
  std::int64_t epoch = 0;    ///< epochs done
  std::int64_t batch = 0;    ///< mini-batches done in this epoch
  std::int64_t batches = 1;  ///< mini-batches an epoch
};

/// A learning rate as a function of progress: nothing is remembered, so a resumed run goes on as if never stopped.
///
/// Requirements: `Params`, `name` (its name in `lr_scheduler`), a constructor from (Params, initial rate, number of
/// epochs) and
/// `double learning_rate(const Progress&) const`.
/// Law: finite and not negative.
/// Models: CosineAnnealing.
template <class T>
concept Scheduler = std::constructible_from<T, typename T::Params, double, int> &&
    requires(const T& scheduler, const Progress& progress) {
  typename T::Params;
  { T::name } -> std::convertible_to<std::string_view>;
  { scheduler.learning_rate(progress) } -> std::same_as<double>;
};

/// Cosine annealing without restarts (Loshchilov and Hutter 2017, arXiv:1608.03983):
///
///   rate(e) = eta_min + (initial - eta_min) · (1 + cos(π e / E)) / 2     for epoch e of E
///
/// constant within an epoch, as in ivadomed (which ignores `eta_min`; here it counts).
class CosineAnnealing {
 public:
  struct Params {
    double eta_min = 0;
    static constexpr auto fields() {
      return ivado::fields(field<"eta_min", &Params::eta_min>("learning rate that the cosine falls to", at_least(0)));
    }
  };
  static constexpr std::string_view name = "CosineAnnealingLR";

  CosineAnnealing(const Params& params, double initial_rate, int epochs)
      : params_(params), initial_rate_(initial_rate), epochs_(epochs) {}

  [[nodiscard]] double learning_rate(const Progress& progress) const {
    const double fraction = static_cast<double>(progress.epoch) / epochs_;
    return params_.eta_min + (initial_rate_ - params_.eta_min) * (1 + std::cos(std::numbers::pi * fraction)) / 2;
  }

 private:
  Params params_;
  double initial_rate_;
  int epochs_;
};

static_assert(Scheduler<CosineAnnealing>);

}  // namespace ivado
