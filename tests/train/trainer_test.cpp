// The training loop on data made in memory: it learns, reports, stops early, keeps the best, and names a loss that is
// not finite.
#include <ivado/data/case.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/train/trainer.hpp>
#include <optional>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Batches of bright squares on noise, with the square as label.
class Squares {
 public:
  struct Loaded {
    Batch batch;
  };
  struct Set {
    std::vector<Case> cases = std::vector<Case>(1);
    Set() { cases[0].id = "sub-square"; }
    [[nodiscard]] const Case& case_of(std::size_t) const { return cases[0]; }
  };

  explicit Squares(int batches, bool broken = false) : batches_(batches), broken_(broken) {}
  void start(std::uint32_t) { next_ = 0; }
  [[nodiscard]] std::size_t batches() const { return static_cast<std::size_t>(batches_); }
  [[nodiscard]] double waited_s() const { return 0.25; }
  [[nodiscard]] const Set& dataset() const { return set_; }
  void recycle(Batch&&) {}
  std::optional<Loaded> next() {
    if (next_ == batches_) return std::nullopt;
    Loaded out{{zeros({4, 1, 12, 12}), zeros({4, 1, 12, 12}), std::vector<Origin>(4, Origin{0, next_})}};
    Rng rng(RandomKey{11, 0, static_cast<std::uint32_t>(next_), stream_user});
    for (std::int64_t n = 0; n < 4; ++n) {
      const auto row = static_cast<std::int64_t>(rng.below(7));
      const auto column = static_cast<std::int64_t>(rng.below(7));
      for (std::int64_t i = 0; i < 12; ++i)
        for (std::int64_t j = 0; j < 12; ++j) {
          const bool inside = i >= row && i < row + 5 && j >= column && j < column + 5;
          out.batch.label.view()(n, 0, i, j) = inside ? 1.0F : 0.0F;
          out.batch.image.view()(n, 0, i, j) = static_cast<float>(rng.normal(inside ? 2 : 0, 0.5));
        }
    }
    if (broken_ && next_ == 1) out.batch.image[0] = std::numeric_limits<float>::quiet_NaN();
    ++next_;
    return out;
  }

 private:
  int batches_;
  bool broken_;
  int next_ = 0;
  Set set_;
};

struct Record {
  std::vector<EpochSummary> epochs;
  std::int64_t batches = 0;
  void on_batch(const EpochSummary&, std::int64_t, std::int64_t, double) { ++batches; }
  void on_epoch(const EpochSummary& summary) { epochs.push_back(summary); }
};

auto make_net() {
  Unet<2, 1>::Params params;
  params.n_filters = 4;
  params.dropout_rate = 0.1;
  return Net(Unet<2, 1>(params), 5);
}

FitSummary run(const FitOptions& options, Record& record, Squares training, Squares* validation, double rate = 0.01) {
  auto net = make_net();
  Adam adam({}, net.trained());
  NoProfiler profiler;
  return fit(net, DiceLoss(), adam, CosineAnnealing({}, rate, options.epochs), profiler, training, validation, options,
             record);
}

}  // namespace

TEST_CASE("Training learns, and is the same twice", "[train]") {
  at::set_num_threads(1);
  FitOptions options;
  options.epochs = 12;
  options.seed = 3;
  Record first;
  Squares validation(2);
  const FitSummary summary = run(options, first, Squares(4), &validation);
  REQUIRE(first.epochs.size() == 12);
  CHECK(first.batches == 48);
  CHECK(summary.epochs.back().validation_loss < -0.8);
  CHECK(summary.epochs.back().training_loss < summary.epochs.front().training_loss);
  CHECK(summary.best_epoch >= 1);
  CHECK(first.epochs[static_cast<std::size_t>(summary.best_epoch - 1)].is_best);
  CHECK(first.epochs[0].waiting_s == Approx(0.5));
  CHECK(first.epochs[0].learning_rate == Approx(0.01));
  Record again;
  (void)run(options, again, Squares(4), &validation);
  for (std::size_t i = 0; i < 12; ++i) {
    CHECK(first.epochs[i].training_loss == again.epochs[i].training_loss);
    CHECK(first.epochs[i].validation_loss == again.epochs[i].validation_loss);
  }
}

TEST_CASE("The best epoch is that of the lowest validation loss", "[train]") {
  FitOptions options;
  options.epochs = 6;
  Record record;
  Squares validation(1);
  const FitSummary summary = run(options, record, Squares(2), &validation);
  double best = INFINITY;
  int epoch = 0;
  for (const auto& one : summary.epochs)
    if (one.validation_loss < best) {
      best = one.validation_loss;
      epoch = one.epoch;
    }
  CHECK(summary.best_epoch == epoch);
}

TEST_CASE("Without validation the training loss decides", "[train]") {
  FitOptions options;
  options.epochs = 2;
  Record record;
  const FitSummary summary = run(options, record, Squares(2), nullptr);
  CHECK(std::isnan(summary.epochs[0].validation_loss));
  CHECK(summary.best_epoch > 0);
}

TEST_CASE("Training stops after so many epochs in a row without improvement", "[train]") {
  FitOptions options;
  options.epochs = 30;
  options.patience = 3;
  options.epsilon = 1e6;  // no improvement is ever enough
  Record record;
  Squares validation(1);
  const FitSummary summary = run(options, record, Squares(1), &validation, 1e-4);
  CHECK(summary.stopped_early);
  CHECK(summary.epochs.size() == 4);  // the first one sets the reference
}

TEST_CASE("A loss that is not finite names epoch, batch, learning rate and cases", "[train]") {
  FitOptions options;
  options.epochs = 2;
  Record record;
  CHECK_THROWS_WITH(run(options, record, Squares(3, true), nullptr), Contains("training, epoch 1, batch 2") &&
                                                                         Contains("learning rate 0.01") &&
                                                                         Contains("sub-square slice 1"));
}
