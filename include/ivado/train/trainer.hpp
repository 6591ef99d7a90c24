// The training loop: epochs of mini-batches, validation after each, the best state, early stopping; from the beginning
// or from where an earlier run was.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../data/sample.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../loss/concept.hpp"
#include "../profile/profiler.hpp"
#include "../random.hpp"
#include "mixup.hpp"
#include "optimizer.hpp"
#include "scheduler.hpp"
#include "tensor.hpp"

namespace ivado {

/// What the loop must know besides its parts.
struct FitOptions {
  int epochs = 100;
  int patience = 50;  ///< epochs in a row without improvement after which training stops
  double epsilon =
      0.001;  ///< an improvement is a fall of the validation loss by more than so many percent of the best one
  std::uint64_t seed = 0;  ///< of the dropout masks and of mixup
  at::Device device{at::kCPU};
  double clip_gradients = 0;  ///< the largest norm of all gradients together; 0: any
  double mixup_alpha = 0;     ///< of the Beta distribution that blends training samples, see `draw_mixup`; 0: none
};

/// One epoch.
struct EpochSummary {
  int epoch = 0;             ///< from 1
  double learning_rate = 0;  ///< at its beginning
  double training_loss = 0;  ///< mean over samples
  double validation_loss =
      std::numeric_limits<double>::quiet_NaN();  ///< mean over samples; NaN without validation data
  double seconds = 0;                            ///< wall time of training and validation, so far
  double waiting_s = 0;                          ///< of it spent waiting for data, so far
  bool is_best = false;                          ///< the best state so far
};

/// A whole training.
struct FitSummary {
  std::vector<EpochSummary> epochs;
  int best_epoch = 0;  ///< 0: none
  bool stopped_early = false;
};

/// Where a training is after some epochs, beside the net and the optimiser: all that the next epoch depends on.
struct TrainingState {
  std::uint64_t seed = 0;                                 ///< that of FitOptions
  std::vector<EpochSummary> epochs;                       ///< those that are done
  double best = std::numeric_limits<double>::infinity();  ///< the lowest validation loss, or training loss without
                                                          ///< validation data
  int best_epoch = 0;                                     ///< its epoch; 0: none
  /// What the next improvement is measured against by early stopping.
  double reference = std::numeric_limits<double>::infinity();
  int without_improvement = 0;  ///< epochs in a row
};

/// Is told what happens. Both functions may do nothing.
///
/// With a third one, `on_state(const TrainingState&)`, it is also told the state after each epoch, last of all: with
/// net and optimiser it makes a checkpoint. With `on_validation(const at::Tensor& prediction, const at::Tensor& truth)` it is
/// given each batch of the validation, to measure.
template <class T>
concept FitObserver = requires(T& observer, const EpochSummary& summary, std::int64_t n, double loss) {
  observer.on_batch(summary, n, n, loss);  ///< epoch, batches done, batches an epoch, loss of the last one
  observer.on_epoch(summary);              ///< after validation; saves the state where it wants to
};

namespace detail {

/// Mean of a loss over samples.
class MeanLoss {
 public:
  IVADO_INLINE void add(double loss, std::int64_t samples) {
    sum_ += loss * static_cast<double>(samples);
    samples_ += samples;
  }
  [[nodiscard]] IVADO_INLINE double value() const {
    return samples_ == 0 ? std::numeric_limits<double>::quiet_NaN() : sum_ / static_cast<double>(samples_);
  }

 private:
  double sum_ = 0;
  std::int64_t samples_ = 0;
};

/// The cases of a batch with their slices: "sub-01_T2w slice 3, sub-02_T2w slice 0 and 14 more".
template <class Data>
[[nodiscard]] std::string cases_of(const std::vector<Origin>& origins, const Data& data) {
  constexpr std::size_t longest = 400;
  std::string out;
  for (std::size_t i = 0; i < origins.size(); ++i) {
    if (out.size() >= longest) return out + " and " + std::to_string(origins.size() - i) + " more";
    out += (i == 0 ? "" : ", ") + data.dataset().case_of(static_cast<std::size_t>(origins[i].volume)).id + " slice " +
           std::to_string(origins[i].slice);
  }
  return out;
}

/// "nan", whatever its sign, "inf" or "-inf".
[[nodiscard]] IVADO_INLINE std::string name_of_value(double value) {
  return std::isnan(value) ? "nan" : std::to_string(value);
}

/// The error of a value that is not finite, with epoch, batch, learning rate, cases and what is left of the training.
/// @param found  such as "the loss is nan"
template <class Data>
[[nodiscard]] Error not_finite(const std::string& found, const EpochSummary& summary, std::int64_t batch,
                               const std::vector<Origin>& origins, const Data& data, const char* what) {
  const int done = summary.epoch - 1;
  return data_error(
      std::string(what) + ", epoch " + std::to_string(summary.epoch) + ", batch " + std::to_string(batch + 1),
      found + " at learning rate " + text(summary.learning_rate) + " for " + cases_of(origins, data),
      "look at these images and labels, lower initial_lr or set gradient_clipping; " +
          (done == 0 ? std::string("no epoch was done before")
                     : "the last good state, that of epoch " + std::to_string(done) + ", is kept"));
}

/// @throws Error (data) that names epoch, batch, learning rate and cases
template <class Data>
void require_finite(double loss, const EpochSummary& summary, std::int64_t batch, const std::vector<Origin>& origins,
                    const Data& data, const char* what) {
  if (!std::isfinite(loss)) throw not_finite("the loss is " + name_of_value(loss), summary, batch, origins, data, what);
}

/// False if a number is infinite or none: if the bits of its exponent are all set (IEEE 754).
[[nodiscard]] IVADO_INLINE bool all_finite(const float* values, std::int64_t n) noexcept {
  constexpr std::uint32_t exponent = 0x7f800000;
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]);
    found |= (bits & exponent) == exponent ? 1U : 0U;
  }
  return found == 0;
}

/// False if a number of one of the tensors is infinite or none.
[[nodiscard]] IVADO_INLINE bool all_finite(const std::vector<at::Tensor>& tensors) {
  for (const auto& tensor : tensors) {
    // LibTorch has a pass over memory for each step of it, and some microseconds for a tensor of any size.
    const bool is_plain =
        tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.is_non_overlapping_and_dense();
    if (is_plain ? !all_finite(tensor.data_ptr<float>(), tensor.numel())
                 : !at::isfinite(tensor.detach()).all().item<bool>())
      return false;
  }
  return true;
}

/// The loss of a prediction and of its coarser companions (deep supervision), whose labels are those of the nearest
/// voxels. Weights 1, 1/2, 1/4 … divided by their sum (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z).
template <class LossFunction>
[[nodiscard]] at::Tensor supervised_loss(const LossFunction& loss_function, const std::vector<at::Tensor>& predictions,
                                         const at::Tensor& label) {
  at::Tensor sum;
  double weight = 1;
  double weights = 0;
  for (const auto& prediction : predictions) {
    at::Tensor target = label;
    if (prediction.dim() > 2 && prediction.sizes().slice(2) != label.sizes().slice(2)) {
      const auto size = prediction.sizes().slice(2);
      target = label.dim() == 5 ? at::upsample_nearest3d(label, size) : at::upsample_nearest2d(label, size);
    }
    const at::Tensor part = loss_function(prediction, target);
    sum = sum.defined() ? sum + weight * part : part;
    weights += weight;
    weight /= 2;
  }
  return predictions.size() > 1 ? sum / weights : sum;
}

}  // namespace detail

/// Trains a net.
///
/// Order within a batch: mixup, forward, loss, gradients forgotten, backward, gradients clipped, step; the rate of the
/// schedule is set before each step. A net whose layers are all frozen is run as in a training and not changed.
/// Validation runs in evaluation mode without gradients. The best state is the one with the lowest validation loss, or
/// with the lowest training loss where there is no validation data.
/// @param training    batches in a new order each epoch: `start(epoch)`, `next()`, `batches()`, `waited_s()`,
///                    `recycle(batch)`, `dataset()`
/// @param validation  the same, or null
/// @param state       where an earlier run was, with net and optimiser restored to that moment (`load_checkpoint`):
///                    the training goes on as that run would have, bit for bit. By default it begins.
/// @throws Error (data) if a loss, the norm of clipped gradients or, after the last batch of an epoch, a weight is not
///         finite, naming epoch, batch, cases and learning rate; the observer is not told of that epoch
/// @throws Error (usage) if the seed is not that of `state`
template <class Net, Loss LossFunction, Optimizer Optimiser, Scheduler Schedule, Profiler Profile, class Data,
          FitObserver Observer>
FitSummary fit(Net& net, const LossFunction& loss_function, Optimiser& optimizer, const Schedule& schedule,
               Profile& profiler, Data& training, Data* validation, const FitOptions& options, Observer& observer,
               TrainingState state = {}) {
  using Clock = std::chrono::steady_clock;
  if (!state.epochs.empty() && state.seed != options.seed)
    throw usage_error("resuming the training after epoch " + std::to_string(state.epochs.back().epoch),
                      "its seed was " + std::to_string(state.seed) + ", now it is " + std::to_string(options.seed),
                      "resume with the same seed");
  state.seed = options.seed;
  bool stopped_early = false;
  const std::vector<at::Tensor> trained = net.trained();
  for (int epoch = state.epochs.empty() ? 1 : state.epochs.back().epoch + 1; epoch <= options.epochs; ++epoch) {
    stopped_early = !state.epochs.empty() && state.without_improvement >= options.patience;
    if (stopped_early) break;
    EpochSummary summary;
    summary.epoch = epoch;
    const auto begin = Clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    const auto batches = static_cast<std::int64_t>(training.batches());
    summary.learning_rate = schedule.learning_rate({epoch - 1, 0, batches});
    detail::MeanLoss training_loss;
    {
      [[maybe_unused]] const auto scope = profiler.scope(Unit::training);
      net.train(true);
      training.start(static_cast<std::uint32_t>(epoch));
      for (std::int64_t batch = 0; auto loaded = training.next(); ++batch) {
        tell_loaded(profiler, *loaded);
        auto measured = profiler.batch(Unit::training);
        const std::int64_t samples = loaded->batch.size();
        const auto& origins = loaded->batch.origins;
        const RandomKey key{options.seed, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(batch), 0};
        DeviceBatch data = on_device(loaded->batch, options.device);
        if (options.mixup_alpha != 0) mix(data, draw_mixup(options.mixup_alpha, samples, key));
        const at::Tensor loss =
            detail::supervised_loss(loss_function, net.forward_supervised(data.image, data.condition, key), data.label);
        const auto value = loss.template item<double>();
        detail::require_finite(value, summary, batch, origins, training, "training");
        optimizer.zero_gradients();
        if (loss.requires_grad()) {
          loss.backward();
          if (options.clip_gradients > 0) {
            const double norm = clip_gradients(trained, options.clip_gradients);
            if (!std::isfinite(norm))
              throw detail::not_finite("the norm of the gradients is " + detail::name_of_value(norm), summary, batch,
                                       origins, training, "training");
          }
          optimizer.step(schedule.learning_rate({epoch - 1, batch, batches}));
        }
        measured.done(value, samples);
        // Weights that are not finite show in the next loss; behind the last batch there may be none.
        if (batch + 1 == batches && !detail::all_finite(trained))
          throw detail::not_finite("a weight is not finite after the step", summary, batch, origins, training,
                                   "training");
        training_loss.add(value, samples);
        training.recycle(std::move(loaded->batch));
        summary.waiting_s = training.waited_s();
        summary.seconds = seconds();
        observer.on_batch(summary, batch + 1, batches, value);
      }
      summary.training_loss = training_loss.value();
      summary.waiting_s = training.waited_s();
    }
    if (validation != nullptr) {
      [[maybe_unused]] const auto scope = profiler.scope(Unit::validation);
      const c10::InferenceMode no_gradients;
      net.train(false);
      detail::MeanLoss validation_loss;
      validation->start(static_cast<std::uint32_t>(epoch));
      for (std::int64_t batch = 0; auto loaded = validation->next(); ++batch) {
        tell_loaded(profiler, *loaded);
        auto measured = profiler.batch(Unit::validation);
        const std::int64_t samples = loaded->batch.size();
        const DeviceBatch data = on_device(loaded->batch, options.device);
        const at::Tensor prediction = net.forward(data.image, data.condition);
        const auto value = loss_function(prediction, data.label).template item<double>();
        measured.done(value, samples);
        detail::require_finite(value, summary, batch, loaded->batch.origins, *validation, "validation");
        validation_loss.add(value, samples);
        if constexpr (requires { observer.on_validation(prediction, data.label); })
          observer.on_validation(prediction, data.label);
        validation->recycle(std::move(loaded->batch));
      }
      summary.validation_loss = validation_loss.value();
      summary.waiting_s += validation->waited_s();
    }
    const double judged = validation != nullptr ? summary.validation_loss : summary.training_loss;
    summary.is_best = judged < state.best;
    if (summary.is_best) {
      state.best = judged;
      state.best_epoch = epoch;
    }
    summary.seconds = seconds();
    observer.on_epoch(summary);
    state.epochs.push_back(summary);
    const bool improved = !std::isfinite(state.reference) ||
                          100 * (state.reference - judged) > options.epsilon * std::abs(state.reference);
    state.without_improvement = improved ? 0 : state.without_improvement + 1;
    if (improved) state.reference = judged;
    if constexpr (requires { observer.on_state(std::as_const(state)); }) observer.on_state(std::as_const(state));
  }
  return {std::move(state.epochs), state.best_epoch, stopped_early};
}

}  // namespace ivado
