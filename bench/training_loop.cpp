// What the training loop and a profiler cost: the loop of a pipeline (`fit`) beside the same steps written by hand, and
// a training with SystemProfiler beside one without.
//
//   bench_training_loop [pairs]     30 unless told
//
// 1. Time: one epoch of each kind in turn, in pairs whose first one alternates; the ratio of the medians.
// 2. Instructions: processes of this program under callgrind (Debian: valgrind), one thread, small sizes. Each kind runs
//    2 epochs and 8; the difference is what 6 epochs take, without start-up. Not counted where valgrind is not there.
// 3. SystemProfiler: its own processor time beside that of the training, and the time of epochs with and without it, in
//    pairs as above.
//
// Data are made in memory. Prints a table, and the same as JSON on the last line.
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <ivado/config/json.hpp>
#include <ivado/data/case.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/profile/system_profiler.hpp>
#include <ivado/runtime.hpp>
#include <ivado/study/process.hpp>
#include <ivado/train/optimizer.hpp>
#include <ivado/train/scheduler.hpp>
#include <ivado/train/trainer.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "study.hpp"

namespace {

using ivado::Json;

/// How large a training is.
struct Size {
  std::int64_t batches = 4;
  std::int64_t samples = 4;
  std::int64_t extent = 96;
  int filters = 16;
};
constexpr Size for_time{};
constexpr Size for_instructions{2, 2, 16, 4};

/// Batches of noise, whose labels are the bright pixels.
class Noise {
 public:
  struct Loaded {
    ivado::Batch batch;
  };
  struct Set {
    ivado::Case one;
    [[nodiscard]] const ivado::Case& case_of(std::size_t) const { return one; }
  };

  explicit Noise(const Size& size) {
    for (std::int64_t n = 0; n < size.batches; ++n) {
      const ivado::Shape shape{size.samples, 1, size.extent, size.extent};
      ivado::Batch batch{ivado::Array<float>(shape), ivado::Array<float>(shape),
                         std::vector<ivado::Origin>(static_cast<std::size_t>(size.samples))};
      ivado::Rng rng({1, 0, static_cast<std::uint32_t>(n), ivado::stream_user});
      for (std::int64_t i = 0; i < shape.size(); ++i) {
        batch.image[i] = static_cast<float>(rng.normal(0, 1));
        batch.label[i] = batch.image[i] > 1 ? 1.0F : 0.0F;
      }
      batches_.push_back(std::move(batch));
    }
  }
  void start(std::uint32_t) { next_ = 0; }
  [[nodiscard]] std::size_t batches() const { return batches_.size(); }
  [[nodiscard]] double waited_s() const { return 0; }
  [[nodiscard]] const Set& dataset() const { return set_; }
  [[nodiscard]] std::optional<Loaded> next() {
    if (next_ == batches_.size()) return std::nullopt;
    return Loaded{std::move(batches_[next_++])};
  }
  void recycle(ivado::Batch&& batch) { batches_[next_ - 1] = std::move(batch); }

 private:
  std::vector<ivado::Batch> batches_;
  Set set_;
  std::size_t next_ = 0;
};

struct Silent {
  void on_batch(const ivado::EpochSummary&, std::int64_t, std::int64_t, double) {}
  void on_epoch(const ivado::EpochSummary&) {}
};

/// A training that goes on, epoch by epoch.
class Training {
 public:
  explicit Training(const Size& size)
      : noise_(size), net_(ivado::Unet<2, 2>(params(size)), 1), adam_({}, net_.trained()) {}

  /// One epoch of the loop that a pipeline uses.
  template <class Profile>
  void epoch(Profile& profiler) {
    ivado::FitOptions options;
    options.epochs = 1;
    Silent silent;
    loss_ = ivado::fit(net_, ivado::DiceLoss(), adam_, schedule_, profiler, noise_, static_cast<Noise*>(nullptr),
                       options, silent)
                .epochs.front()
                .training_loss;
  }
  /// The same steps, written for this model and loss alone.
  void epoch_by_hand() {
    const ivado::DiceLoss loss_function;
    const auto batches = static_cast<std::int64_t>(noise_.batches());
    double sum = 0;
    std::int64_t samples = 0;
    net_.train(true);
    noise_.start(1);
    for (std::int64_t batch = 0; auto loaded = noise_.next(); ++batch) {
      const ivado::RandomKey key{0, 1, static_cast<std::uint32_t>(batch), 0};
      ivado::DeviceBatch data = ivado::on_device(loaded->batch, at::kCPU);
      const at::Tensor loss = loss_function(net_.forward_supervised(data.image, data.condition, key)[0], data.label);
      const auto value = loss.item<double>();
      if (!std::isfinite(value)) throw ivado::data_error("training by hand", "the loss is not finite", "none");
      adam_.zero_gradients();
      loss.backward();
      adam_.step(schedule_.learning_rate({0, batch, batches}));
      sum += value * static_cast<double>(loaded->batch.size());
      samples += loaded->batch.size();
      noise_.recycle(std::move(loaded->batch));
    }
    loss_ = sum / static_cast<double>(samples);
  }
  /// Of the last epoch.
  [[nodiscard]] double loss() const { return loss_; }

 private:
  static ivado::Unet<2, 2>::Params params(const Size& size) {
    ivado::Unet<2, 2>::Params out;
    out.n_filters = size.filters;
    return out;
  }
  Noise noise_;
  ivado::Net<ivado::Unet<2, 2>> net_;
  ivado::Adam adam_;
  ivado::CosineAnnealing schedule_{{}, 1e-3, 100};
  double loss_ = 0;
};

/// Two kinds of an epoch in turn.
struct Pairs {
  std::array<std::vector<double>, 2> seconds;
  std::vector<double> ratios;  ///< second by first

  template <class First, class Second>
  void run(int pairs, const First& first, const Second& second) {
    for (int pair = 0; pair < pairs; ++pair) {
      for (int turn = 0; turn < 2; ++turn) {
        const bool is_second = (turn == 1) != (pair % 2 == 1);
        const double begin = ivado::wall_s();
        if (is_second)
          second();
        else
          first();
        seconds[is_second ? 1 : 0].push_back(ivado::wall_s() - begin);
      }
      ratios.push_back(seconds[1].back() / seconds[0].back());
    }
  }
  /// Of the ratios: the quartiles.
  [[nodiscard]] std::array<double, 2> quartiles() const {
    std::vector<double> sorted = ratios;
    std::sort(sorted.begin(), sorted.end());
    return {sorted[sorted.size() / 4], sorted[sorted.size() * 3 / 4]};
  }
  [[nodiscard]] Json report(const char* name) const {
    const double ratio = median(seconds[1]) / median(seconds[0]);
    const auto [low, high] = quartiles();
    std::printf("%-34s %9.4f s %9.4f s   medians 1 : %.4f   pairs 1 : %.4f (quartiles %.4f … %.4f)\n", name,
                median(seconds[0]), median(seconds[1]), ratio, median(ratios), low, high);
    std::fflush(stdout);
    return {{"pairs", ratios.size()},    {"first_s", median(seconds[0])},  {"second_s", median(seconds[1])},
            {"ratio_of_medians", ratio}, {"median_ratio", median(ratios)}, {"quartiles", {low, high}}};
  }
};

/// Instructions that a process of this program takes.
/// @throws Error if it fails
double instructions(const std::string& kind, int epochs, const study::Scratch& scratch) {
  const std::string counts = scratch / (kind + std::to_string(epochs));
  ivado::Process process;
  process.arguments = {"valgrind",
                       "--tool=callgrind",
                       "--callgrind-out-file=" + counts,
                       ivado::own_program("bench_training_loop"),
                       "--epochs",
                       kind,
                       std::to_string(epochs)};
  process.log = scratch / (kind + ".log");
  const ivado::ProcessResult result = ivado::run_process(process);
  std::ifstream in(counts);
  std::string word;
  while (result.succeeded() && in >> word)
    if (word == "totals:" || word == "summary:")
      if (double value = 0; in >> value) return value;
  std::ifstream log(process.log);
  std::fputs(std::string(std::istreambuf_iterator<char>(log), {}).c_str(), stderr);
  throw ivado::internal_error("counting the instructions of " + kind, "valgrind: " + result.text());
}

Json count_instructions() {
  const study::Scratch scratch;
  ivado::Process probe;
  probe.arguments = {"valgrind", "--version"};
  probe.log = scratch / "version";
  if (!ivado::run_process(probe).succeeded()) {
    std::printf("instructions are not counted: valgrind is not installed (Debian: valgrind)\n");
    return nullptr;
  }
  std::array<double, 2> of{};
  constexpr std::array kinds{"by_hand", "loop"};
  constexpr int few = 2;
  constexpr int many = 8;
  for (std::size_t i = 0; i < kinds.size(); ++i)
    of[i] = (instructions(kinds[i], many, scratch) - instructions(kinds[i], few, scratch)) / (many - few);
  std::printf("instructions of an epoch             %9.4f M %9.4f M   1 : %.6f\n", of[0] * 1e-6, of[1] * 1e-6,
              of[1] / of[0]);
  return {{"by_hand", of[0]}, {"loop", of[1]}, {"ratio", of[1] / of[0]}};
}

/// Epochs for callgrind.
void run_epochs(const std::string& kind, int epochs) {
  at::set_num_threads(1);
  at::set_num_interop_threads(1);
  Training training(for_instructions);
  ivado::NoProfiler none;
  for (int epoch = 0; epoch < epochs; ++epoch) kind == "loop" ? training.epoch(none) : training.epoch_by_hand();
  std::printf("%s, %d epochs: loss %.6f\n", kind.c_str(), epochs, training.loss());
}

void run(int pairs) {
  const ivado::Runtime runtime = ivado::start_runtime();
  std::printf("%d threads, epochs of %ld batches of %ld x %ldx%ld, U-Net of depth 2 with %d filters\n\n",
              runtime.threads, static_cast<long>(for_time.batches), static_cast<long>(for_time.samples),
              static_cast<long>(for_time.extent), static_cast<long>(for_time.extent), for_time.filters);
  Training training(for_time);
  ivado::NoProfiler none;
  for (int i = 0; i < 3; ++i) training.epoch(none);  // LibTorch is slow in its first calls

  Pairs loop;
  loop.run(
      pairs, [&] { training.epoch_by_hand(); }, [&] { training.epoch(none); });
  const Json of_loop = loop.report("by hand, loop of a pipeline");
  const Json counted = count_instructions();

  Pairs same;  // what two equal things differ by here
  same.run(
      pairs, [&] { training.epoch(none); }, [&] { training.epoch(none); });
  const Json of_same = same.report("without, without a profiler");
  double own_s = 0;
  double all_s = 0;
  Pairs profiled;
  profiled.run(
      pairs, [&] { training.epoch(none); },
      [&] {
        ivado::SystemProfiler<> system;
        const double begin = ivado::Moment::now().processor_s;
        training.epoch(system);
        all_s += ivado::Moment::now().processor_s - begin;
        own_s += system.own_s();
      });
  const Json of_profiled = profiled.report("without, with SystemProfiler");
  std::printf("SystemProfiler itself: %.3f %% of the processor time of the training\n", 100 * own_s / all_s);
  std::printf("\n%s\n", Json{{"bench", "training_loop"},
                             {"threads", runtime.threads},
                             {"loop", of_loop},
                             {"instructions", counted},
                             {"no_difference", of_same},
                             {"system_profiler", of_profiled},
                             {"system_profiler_own_share", own_s / all_s}}
                            .dump()
                            .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::string(argv[1]) == "--epochs")
      run_epochs(argv[2], std::atoi(argv[3]));
    else
      run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 30);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
