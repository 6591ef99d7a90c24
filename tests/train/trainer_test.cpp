// The training loop on data made in memory: it learns, reports, stops early, keeps the best, hands on conditions,
// weighs coarser predictions, clips gradients, mixes samples, and names what is not finite. Frozen nets are in
// transfer_test.cpp, resumed trainings in checkpoint_test.cpp.
#include <algorithm>
#include <ivado/data/case.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/filmed_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/residual_unet.hpp>
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

  explicit Squares(int batches, bool broken = false, bool conditioned = false, std::int64_t size = 12)
      : batches_(batches), broken_(broken), conditioned_(conditioned), size_(size) {}
  void start(std::uint32_t) { next_ = 0; }
  [[nodiscard]] std::size_t batches() const { return static_cast<std::size_t>(batches_); }
  [[nodiscard]] double waited_s() const { return 0.25; }
  [[nodiscard]] const Set& dataset() const { return set_; }
  void recycle(Batch&&) {}
  std::optional<Loaded> next() {
    if (next_ == batches_) return std::nullopt;
    Loaded out{{zeros({4, 1, size_, size_}), zeros({4, 1, size_, size_}), std::vector<Origin>(4, Origin{0, next_})}};
    Rng rng(RandomKey{11, 0, static_cast<std::uint32_t>(next_), stream_user});
    for (std::int64_t n = 0; n < 4; ++n) {
      const auto row = static_cast<std::int64_t>(rng.below(static_cast<std::uint32_t>(size_ - 5)));
      const auto column = static_cast<std::int64_t>(rng.below(static_cast<std::uint32_t>(size_ - 5)));
      for (std::int64_t i = 0; i < size_; ++i)
        for (std::int64_t j = 0; j < size_; ++j) {
          const bool inside = i >= row && i < row + 5 && j >= column && j < column + 5;
          out.batch.label.view()(n, 0, i, j) = inside ? 1.0F : 0.0F;
          out.batch.image.view()(n, 0, i, j) = static_cast<float>(rng.normal(inside ? 2 : 0, 0.5));
        }
    }
    if (conditioned_) {  // the condition says whether there is a square at all
      out.batch.condition = zeros({4, 2});
      for (std::int64_t n = 0; n < 4; ++n) {
        const std::int64_t code = n % 2;
        out.batch.condition.view()(n, code) = 1;
        const std::int64_t pixels = size_ * size_;
        for (std::int64_t i = 0; i < pixels; ++i) out.batch.label[n * pixels + i] *= static_cast<float>(code);
      }
    }
    if (broken_ && next_ == 1) out.batch.image[0] = std::numeric_limits<float>::quiet_NaN();
    ++next_;
    return out;
  }

 private:
  int batches_;
  bool broken_;
  bool conditioned_;
  std::int64_t size_;
  int next_ = 0;
  Set set_;
};

struct Record {
  std::vector<EpochSummary> epochs;
  std::int64_t batches = 0;
  bool has_running_times = true;
  double last_s = 0;
  void on_batch(const EpochSummary& summary, std::int64_t done, std::int64_t, double) {
    ++batches;
    if (done == 1) last_s = 0;
    has_running_times = has_running_times && summary.waiting_s == 0.25 && summary.seconds > last_s;
    last_s = summary.seconds;
  }
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
  CHECK(first.has_running_times);
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
  CHECK_THROWS_WITH(run(options, record, Squares(3, true), nullptr),
                    Contains("training, epoch 1, batch 2") && Contains("learning rate 0.01") &&
                        Contains("sub-square slice 1") && Contains("no epoch was done before"));
}

namespace {

/// Batches that hold NaN from epoch 3 on, each of 60 slices.
class BreaksLater : public Squares {
 public:
  BreaksLater() : Squares(1) {}
  void start(std::uint32_t epoch) {
    epoch_ = epoch;
    Squares::start(epoch);
  }
  std::optional<Loaded> next() {
    auto loaded = Squares::next();
    if (!loaded) return loaded;
    if (epoch_ >= 3) loaded->batch.image[0] = std::numeric_limits<float>::quiet_NaN();
    loaded->batch.origins.resize(60);
    for (std::int32_t i = 0; i < 60; ++i) loaded->batch.origins[static_cast<std::size_t>(i)].slice = i;
    return loaded;
  }

 private:
  std::uint32_t epoch_ = 0;
};

/// Keeps the weights of each state that it is told.
struct States : Record {
  std::vector<std::vector<at::Tensor>> weights;
  std::vector<int> epochs_done;
  const Net<Unet<2, 1>>* net = nullptr;
  void on_state(const TrainingState& state) {
    epochs_done.push_back(state.epochs.back().epoch);
    weights.emplace_back();
    for (const auto& tensor : net->trained()) weights.back().push_back(tensor.detach().clone());
  }
};

}  // namespace

TEST_CASE("A loss that is not finite leaves the state of the epoch before, which is named", "[train]") {
  auto net = make_net();
  Adam adam({}, net.trained());
  NoProfiler profiler;
  BreaksLater training;
  FitOptions options;
  options.epochs = 5;
  States states;
  states.net = &net;
  CHECK_THROWS_WITH(fit(net, DiceLoss(), adam, CosineAnnealing({}, 0.01, 5), profiler, training,
                        static_cast<BreaksLater*>(nullptr), options, states),
                    Contains("training, epoch 3, batch 1: the loss is ") && Contains("nan at learning rate") &&
                        Contains("sub-square slice 0, sub-square slice 1,") && Contains(" and 40 more; ") &&
                        Contains("the last good state, that of epoch 2, is kept"));
  CHECK(states.epochs_done == std::vector<int>{1, 2});
  CHECK(ivado::detail::all_finite(states.weights.back()));
  for (std::size_t i = 0; i < states.weights.back().size(); ++i)  // the loss is looked at before the step
    CHECK(at::equal(states.weights.back()[i], net.trained()[i]));
}

namespace {

template <class Model>
FitSummary run_model(Net<Model>& net, Squares training, Squares* validation, int epochs) {
  FitOptions options;
  options.epochs = epochs;
  Record record;
  Adam adam({}, net.trained());
  NoProfiler profiler;
  return fit(net, DiceLoss(), adam, CosineAnnealing({}, 0.01, epochs), profiler, training, validation, options, record);
}

}  // namespace

TEST_CASE("The condition of a batch reaches the model in training and validation", "[train]") {
  at::set_num_threads(1);
  FiLMedUnet<2, 1>::Params params;
  params.n_filters = 4;
  params.dropout_rate = 0;
  Net net(FiLMedUnet<2, 1>(params, {1, 1, 1, 2}), 5);
  Squares validation(2, false, true);
  const FitSummary summary = run_model(net, Squares(4, false, true), &validation, 30);
  // Images of both codes look alike: whoever does not see the code cannot pass 2/3 (every square found, half of them
  // wrong).
  CHECK(summary.epochs.back().validation_loss < -0.75);
}

namespace {

/// Stands for a net that predicts zeros at three resolutions.
struct ThreeSizes {
  void train(bool) {}
  [[nodiscard]] std::vector<at::Tensor> trained() const { return {}; }
  [[nodiscard]] at::Tensor forward(const at::Tensor& image, const at::Tensor& = {}, const RandomKey& = {}) {
    return at::zeros_like(image);
  }
  [[nodiscard]] std::vector<at::Tensor> forward_supervised(const at::Tensor& image, const at::Tensor& = {},
                                                           const RandomKey& = {}) {
    return {forward(image), at::zeros({image.size(0), 1, 6, 6}), at::zeros({image.size(0), 1, 3, 3})};
  }
};

/// 1, 10 or 100 by the size of the prediction, and a look at the label that it is given.
struct BySize {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "BySize";
  std::vector<at::Tensor>* labels;

  at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    REQUIRE(prediction.sizes() == target.sizes());
    labels->push_back(target.clone());
    return at::full({}, prediction.size(2) == 12 ? 1.0 : prediction.size(2) == 6 ? 10.0 : 100.0);
  }
};

}  // namespace

TEST_CASE("Coarser predictions count with half the weight of the finer one, on labels of the nearest voxels",
          "[train]") {
  ThreeSizes net;
  std::vector<at::Tensor> labels;
  Adam adam({}, {});
  NoProfiler profiler;
  Squares training(1);
  Squares validation(1);
  FitOptions options;
  options.epochs = 1;
  Record record;
  const FitSummary summary =
      fit(net, BySize{&labels}, adam, CosineAnnealing({}, 0.01, 1), profiler, training, &validation, options, record);
  CHECK(summary.epochs.at(0).training_loss == Approx((1 + 10 / 2.0 + 100 / 4.0) / (1 + 1 / 2.0 + 1 / 4.0)));
  CHECK(summary.epochs.at(0).validation_loss == 1);  // the prediction alone
  REQUIRE(labels.size() == 4);
  CHECK(labels[0].sum().item<double>() > 0);
  for (std::int64_t step = 2; step <= 4; step *= 2)
    CHECK(at::equal(labels[static_cast<std::size_t>(step / 2)], labels[0].slice(2, 0, 12, step).slice(3, 0, 12, step)));
}

TEST_CASE("A model with deep supervision learns, its coarser heads as well", "[train]") {
  at::set_num_threads(1);
  ResidualUnet<2>::Params params;
  params.n_filters = 4;
  params.blocks = {1, 1, 1, 1};
  Net net(ResidualUnet<2>(params, {1, 1, 3}), 5);
  const auto names = net.names();
  const auto coarser = std::find(names.begin(), names.end(), "heads.1.weight") - names.begin();
  REQUIRE(coarser < static_cast<std::ptrdiff_t>(names.size()));
  const at::Tensor head = net.tensors()[static_cast<std::size_t>(coarser)];
  const at::Tensor before = head.detach().clone();
  Squares validation(2, false, false, 16);
  const FitSummary summary = run_model(net, Squares(4, false, false, 16), &validation, 40);
  CHECK(summary.epochs.back().validation_loss < -0.8);
  CHECK_FALSE(at::equal(before, head));
}

namespace {

/// Its value is 0, its gradient none: the root of 0 has an infinite slope, times 0.
struct BrokenGradient {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "BrokenGradient";
  at::Tensor operator()(const at::Tensor& prediction, const at::Tensor&) const {
    return at::sqrt(prediction * 0).sum();
  }
};

FitSummary fit_broken(Record& record, double clip) {
  auto net = make_net();
  Adam adam({}, net.trained());
  NoProfiler profiler;
  Squares training(1);
  FitOptions options;
  options.epochs = 2;
  options.clip_gradients = clip;
  return fit(net, BrokenGradient(), adam, CosineAnnealing({}, 0.01, 2), profiler, training,
             static_cast<Squares*>(nullptr), options, record);
}

}  // namespace

TEST_CASE("A weight that is not finite ends the epoch before its state is told", "[train]") {
  Record record;
  CHECK_THROWS_WITH(fit_broken(record, 0), Contains("training, epoch 1, batch 1: a weight is not finite") &&
                                               Contains("learning rate 0.01") && Contains("sub-square slice 0"));
  CHECK(record.epochs.empty());
}

TEST_CASE("Gradients that are not finite are not clipped but named", "[train]") {
  Record record;
  CHECK_THROWS_WITH(fit_broken(record, 1), Contains("epoch 1, batch 1: the norm of the gradients is") &&
                                               Contains("learning rate 0.01") && Contains("sub-square slice 0"));
}

TEST_CASE("Clipped gradients bound the step", "[train]") {
  // A step of plain gradient descent is rate times gradient, whose norm over all tensors is at most the limit.
  const double rate = 0.5;
  const double limit = GENERATE(1e-3, 1e-2);
  auto net = make_net();
  SGD::Params plain;
  plain.momentum = 0;
  plain.nesterov = false;
  plain.weight_decay = 0;
  SGD sgd(plain, net.trained());
  std::vector<at::Tensor> before;
  for (const auto& tensor : net.trained()) before.push_back(tensor.detach().clone());
  NoProfiler profiler;
  Squares training(1);
  FitOptions options;
  options.epochs = 1;
  options.clip_gradients = limit;
  Record record;
  (void)fit(net, DiceLoss(), sgd, CosineAnnealing({}, rate, 1), profiler, training, static_cast<Squares*>(nullptr),
            options, record);
  double squares = 0;
  for (std::size_t i = 0; i < before.size(); ++i)
    squares += (net.trained()[i].detach() - before[i]).pow(2).sum(at::kDouble).item<double>();
  // rel 1e-2: weights of size 1 in float32 move by 1e-4 or so
  CHECK(std::sqrt(squares) == Approx(rate * limit).epsilon(1e-2));
}

namespace {

/// A linear loss that keeps the labels it is given.
struct Keeping {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  static constexpr std::string_view name = "Keeping";
  std::vector<at::Tensor>* labels;
  at::Tensor operator()(const at::Tensor& prediction, const at::Tensor& target) const {
    labels->push_back(target.detach().clone());
    return (prediction * target).mean();
  }
};

}  // namespace

TEST_CASE("Mixup softens the labels of training and leaves those of validation", "[train]") {
  std::vector<at::Tensor> labels;
  auto net = make_net();
  Adam adam({}, net.trained());
  NoProfiler profiler;
  Squares training(1);
  Squares validation(1);
  FitOptions options;
  options.epochs = 3;
  options.seed = 4;
  options.mixup_alpha = 1;
  Record record;
  (void)fit(net, Keeping{&labels}, adam, CosineAnnealing({}, 0.01, 3), profiler, training, &validation, options,
            record);
  REQUIRE(labels.size() == 6);  // training and validation in turn, the same batch in each
  for (std::uint32_t epoch = 1; epoch <= 3; ++epoch) {
    const auto& mixed = labels[2 * (epoch - 1)];
    const auto& plain = labels[2 * (epoch - 1) + 1];
    CHECK((plain * (1 - plain)).abs().max().item<double>() == 0);
    const Mixup mixup = draw_mixup(1, 4, {4, epoch, 0, 0});
    const auto expected =
        mixup.lambda * plain + (1 - mixup.lambda) * plain.index_select(0, at::tensor(mixup.partner, at::kLong));
    CHECK(at::allclose(mixed, expected, 0, 1e-6));  // one rounding of float32 near 1
  }
}

TEST_CASE("On the CPU the tensors of a batch are its own memory", "[train]") {
  Batch batch{Array<float>({2, 1, 3}, 1.5F), Array<float>({2, 1}, 1.0F), std::vector<Origin>(2)};
  const DeviceBatch plain = on_device(batch, at::kCPU);
  CHECK(plain.image.data_ptr<float>() == batch.image.data());
  CHECK(plain.label.data_ptr<float>() == batch.label.data());
  CHECK_FALSE(plain.image.is_pinned());
  CHECK_FALSE(plain.condition.defined());
  batch.condition = Array<float>({2, 4}, 0.5F);
  CHECK(on_device(batch, at::kCPU).condition.data_ptr<float>() == batch.condition.data());
}
