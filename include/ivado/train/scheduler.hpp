// Learning-rate schedules as functions of progress. No LibTorch.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "../config/params.hpp"
#include "../inline.hpp"

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
/// Models: CosineAnnealing, CosineAnnealingWarmRestarts, Cyclic, AnyScheduler.
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

  [[nodiscard]] IVADO_INLINE double learning_rate(const Progress& progress) const {
    const double fraction = static_cast<double>(progress.epoch) / epochs_;
    return params_.eta_min + (initial_rate_ - params_.eta_min) * (1 + std::cos(std::numbers::pi * fraction)) / 2;
  }

 private:
  Params params_;
  double initial_rate_;
  int epochs_;
};

/// Cosine annealing with warm restarts (Loshchilov and Hutter 2017, arXiv:1608.03983): the cosine over T epochs, begun anew
/// with T_mult times as many after each; constant within an epoch.
class CosineAnnealingWarmRestarts {
 public:
  struct Params {
    std::int64_t T_0 = 10;
    std::int64_t T_mult = 1;
    double eta_min = 0;
    static constexpr auto fields() {
      return ivado::fields(field<"T_0", &Params::T_0>("epochs to the first restart", at_least(1)),
                           field<"T_mult", &Params::T_mult>("factor on that at each restart", at_least(1)),
                           field<"eta_min", &Params::eta_min>("learning rate that the cosine falls to", at_least(0)));
    }
  };
  static constexpr std::string_view name = "CosineAnnealingWarmRestarts";

  CosineAnnealingWarmRestarts(const Params& params, double initial_rate, int)
      : params_(params), initial_rate_(initial_rate) {}

  [[nodiscard]] IVADO_INLINE double learning_rate(const Progress& progress) const {
    std::int64_t epoch = progress.epoch;
    std::int64_t period = params_.T_0;
    if (params_.T_mult == 1) epoch %= period;
    while (epoch >= period) {
      epoch -= period;
      period *= params_.T_mult;
    }
    const double fraction = static_cast<double>(epoch) / static_cast<double>(period);
    return params_.eta_min + (initial_rate_ - params_.eta_min) * (1 + std::cos(std::numbers::pi * fraction)) / 2;
  }

 private:
  Params params_;
  double initial_rate_;
};

static_assert(Scheduler<CosineAnnealingWarmRestarts>);

/// Cyclic learning rates whose amplitude halves each cycle (Smith 2017, arXiv:1506.01186, "triangular2"): the rate rises
/// from `base_lr` to `max_lr` and falls back, batch by batch. The initial rate is not used, as in ivadomed.
class Cyclic {
 public:
  struct Params {
    double base_lr = 1e-5;
    double max_lr = 1e-2;
    std::int64_t step_size_up = 2000;
    std::optional<std::int64_t> step_size_down;
    static constexpr auto fields() {
      return ivado::fields(
          field<"base_lr", &Params::base_lr>("lowest learning rate", at_least(0)),
          field<"max_lr", &Params::max_lr>("highest learning rate", at_least(0)),
          field<"step_size_up", &Params::step_size_up>("batches of a rise", at_least(1)),
          field<"step_size_down", &Params::step_size_down>("batches of a fall; null: as of a rise", at_least(1)));
    }
  };
  static constexpr std::string_view name = "CyclicLR";

  /// @throws Error (usage) if the highest rate is below the lowest
  IVADO_INLINE Cyclic(const Params& params, double, int) : params_(params) {
    if (params.max_lr < params.base_lr)
      throw usage_error("reading the configuration key training_parameters.scheduler.lr_scheduler.max_lr",
                        detail::text("it is ", params.max_lr, ", below base_lr, which is ", params.base_lr),
                        "give a max_lr of at least base_lr");
  }

  [[nodiscard]] IVADO_INLINE double learning_rate(const Progress& progress) const {
    const std::int64_t up = params_.step_size_up;
    const std::int64_t down = params_.step_size_down.value_or(up);
    const std::int64_t step = progress.epoch * progress.batches + progress.batch;
    const std::int64_t cycle = step / (up + down);
    const std::int64_t place = step % (up + down);
    const double height = place <= up ? static_cast<double>(place) / static_cast<double>(up)
                                      : static_cast<double>(up + down - place) / static_cast<double>(down);
    return params_.base_lr + (params_.max_lr - params_.base_lr) * height * std::pow(0.5, static_cast<double>(cycle));
  }

 private:
  Params params_;
};

static_assert(Scheduler<Cyclic>);

/// Makes a schedule from `training_parameters.scheduler.lr_scheduler`: its name, and its parameters beside it. Keys of
/// other schedules, which ivadomed's defaults put there, and keys that are null are passed over.
/// @throws Error (usage) if the section names another schedule than the type
template <class Schedule>
[[nodiscard]] Schedule make_scheduler(const Json& section, double initial_rate, int epochs) {
  const std::string path = "training_parameters.scheduler.lr_scheduler";
  if constexpr (requires { Schedule::choose(section, initial_rate, epochs); }) {
    return Schedule::choose(section, initial_rate, epochs);
  } else {
    if (section.at("name") != std::string(Schedule::name))
      throw usage_error("reading the configuration key " + path + ".name",
                        "it is " + section.at("name").get<std::string>() + ", this program was compiled with " +
                            std::string(Schedule::name),
                        "change it, or use the general program");
    Json own = Json::object();
    for (const auto& key : keys<typename Schedule::Params>())
      if (section.contains(key) && !section[key].is_null()) own[key] = section[key];
    return Schedule(from_json<typename Schedule::Params>(own, path), initial_rate, epochs);
  }
}

/// One of several schedules, chosen once when it is made.
template <Scheduler... Schedules>
class SchedulerChoice {
 public:
  /// Each schedule has parameters of its own; a choice is made from the configuration.
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "any";

  /// The first of the schedules, with its defaults.
  SchedulerChoice(const Params&, double initial_rate, int epochs)
      : chosen_(std::in_place_index<0>, typename std::variant_alternative_t<0, std::variant<Schedules...>>::Params{},
                initial_rate, epochs) {}

  /// The schedule that a section names.
  /// @throws Error (usage) if it is none of them
  [[nodiscard]] static SchedulerChoice choose(const Json& section, double initial_rate, int epochs) {
    SchedulerChoice out({}, initial_rate, epochs);
    bool found = false;
    ((section.at("name") == std::string(Schedules::name)
          ? (void)(out.chosen_ = make_scheduler<Schedules>(section, initial_rate, epochs), found = true)
          : (void)0),
     ...);
    if (!found)
      throw usage_error("reading the configuration key training_parameters.scheduler.lr_scheduler.name",
                        "there is no schedule " + section.at("name").dump(), "take CosineAnnealingLR");
    return out;
  }

  [[nodiscard]] double learning_rate(const Progress& progress) const {
    return std::visit([&](const auto& schedule) { return schedule.learning_rate(progress); }, chosen_);
  }

 private:
  std::variant<Schedules...> chosen_;
};

/// Every schedule of ivado.
using AnyScheduler = SchedulerChoice<CosineAnnealing, CosineAnnealingWarmRestarts, Cyclic>;

static_assert(Scheduler<AnyScheduler>);

}  // namespace ivado
