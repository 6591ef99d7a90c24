// Checkpoints: a resumed training equals one that never stopped, bit for bit; damage, other pipelines and full disks
// are refused.
#include <torch/torch.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ivado/data/case.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/train/checkpoint.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../full_disk.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Two batches of noise around squares, others in each epoch.
class Noise {
 public:
  struct Loaded {
    Batch batch;
  };
  struct Set {
    std::vector<Case> cases = std::vector<Case>(1);
    Set() { cases[0].id = "sub-noise"; }
    [[nodiscard]] const Case& case_of(std::size_t) const { return cases[0]; }
  };
  void start(std::uint32_t epoch) {
    epoch_ = epoch;
    next_ = 0;
  }
  [[nodiscard]] std::size_t batches() const { return 2; }
  [[nodiscard]] double waited_s() const { return 0.125; }
  [[nodiscard]] const Set& dataset() const { return set_; }
  void recycle(Batch&&) {}
  std::optional<Loaded> next() {
    if (next_ == 2) return std::nullopt;
    Loaded out{{zeros({3, 1, 8, 8}), zeros({3, 1, 8, 8}), std::vector<Origin>(3, Origin{0, 0})}};
    Rng rng(RandomKey{5, epoch_, next_++, stream_user});
    for (std::int64_t i = 0; i < 3 * 64; ++i) {
      out.batch.label[i] = i % 8 < 4 ? 1.0F : 0.0F;
      out.batch.image[i] = static_cast<float>(rng.normal(out.batch.label[i], 0.5));
    }
    return out;
  }

 private:
  std::uint32_t epoch_ = 0;
  std::uint32_t next_ = 0;
  Set set_;
};

auto make_net(std::uint64_t seed = 5) {
  Unet<2, 1>::Params params;
  params.n_filters = 2;
  params.dropout_rate = 0.2;
  return Net(Unet<2, 1>(params), seed);
}
using TestNet = decltype(make_net());

/// A folder that is removed at the end.
struct Folder {
  std::string path;
  Folder() : path((std::filesystem::temp_directory_path() / "ivado_checkpoint_XXXXXX").string()) {
    REQUIRE(::mkdtemp(path.data()) != nullptr);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file(const char* name = "checkpoint.safetensors") const { return path + "/" + name; }
};

Json description(double dropout = 0.2) {
  return {{"model", {{"name", "Unet"}, {"dropout_rate", dropout}}},
          {"transformation", {{"Resample", {{"hspace", 0.75}}}, {"CenterCrop", {{"size", {8, 8}}}}}},
          {"seed", 9}};
}

/// Writes a checkpoint after each epoch.
template <class Optimiser>
struct Saving {
  const TestNet& net;
  Optimiser& optimizer;
  std::string path;
  int saved = 0;
  void on_batch(const EpochSummary&, std::int64_t, std::int64_t, double) {}
  void on_epoch(const EpochSummary& summary) { CHECK(summary.epoch == saved + 1); }
  void on_state(const TrainingState& state) {
    saved = state.epochs.back().epoch;
    save_checkpoint(path, net, optimizer, state, description());
  }
};

FitOptions options_of(int epochs) {
  FitOptions options;
  options.epochs = epochs;
  options.seed = 9;
  options.clip_gradients = 1;
  options.mixup_alpha = 0.4;
  return options;
}

/// Trains to epoch `epochs` of the schedule's `planned`, from the checkpoint at `path` if there is one.
template <class Optimiser>
FitSummary train(const std::string& path, TestNet& net, FitOptions options, int planned) {
  Optimiser optimizer(typename Optimiser::Params{}, net.trained());
  TrainingState state;
  if (std::filesystem::exists(path)) state = load_checkpoint(path, net, optimizer, description());
  NoProfiler profiler;
  Noise training;
  Noise validation;
  const int done = static_cast<int>(state.epochs.size());
  Saving<Optimiser> observer{net, optimizer, path, done};
  return fit(net, DiceLoss(), optimizer, CosineAnnealing({}, 0.02, planned), profiler, training, &validation, options,
             observer, state);
}

void check_equal(const TestNet& a, const TestNet& b) {
  const auto names = a.names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    INFO(names[i]);
    CHECK(at::equal(a.tensors()[i], b.tensors()[i]));
  }
}
void check_equal(const FitSummary& a, const FitSummary& b) {
  CHECK(a.best_epoch == b.best_epoch);
  CHECK(a.stopped_early == b.stopped_early);
  REQUIRE(a.epochs.size() == b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    CHECK(a.epochs[i].epoch == b.epochs[i].epoch);
    CHECK(a.epochs[i].learning_rate == b.epochs[i].learning_rate);
    CHECK(a.epochs[i].training_loss == b.epochs[i].training_loss);
    CHECK(a.epochs[i].validation_loss == b.epochs[i].validation_loss);
    CHECK(a.epochs[i].is_best == b.epochs[i].is_best);
  }
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The state of a small training whose numbers are hard to keep.
TrainingState odd_state() {
  TrainingState state;
  state.seed = 0xFFFFFFFFFFFFFFFE;
  state.epochs.push_back({1, 0.1, 1.0 / 3, std::numeric_limits<double>::quiet_NaN(), 5e-324, 1e300, true});
  state.epochs.push_back({2, 1e-17, -0.0, -std::numeric_limits<double>::infinity(), 2, 1, false});
  state.best = 1.0 / 3;
  state.best_epoch = 1;
  state.without_improvement = 1;
  return state;
}

}  // namespace

TEMPLATE_TEST_CASE("Two epochs and two resumed ones are four epochs, bit for bit", "[train]", Adam, SGD) {
  at::set_num_threads(1);
  const Folder folder;
  auto whole = make_net();
  const FitSummary uninterrupted = train<TestType>(folder.file("whole.safetensors"), whole, options_of(4), 4);
  auto first = make_net();
  (void)train<TestType>(folder.file(), first, options_of(2), 4);
  auto second = make_net(77);  // other weights: all must come from the checkpoint
  const FitSummary resumed = train<TestType>(folder.file(), second, options_of(4), 4);
  check_equal(whole, second);
  check_equal(uninterrupted, resumed);
  CHECK_FALSE(at::equal(first.tensors()[0], second.tensors()[0]));
}

TEST_CASE("Early stopping counts on over a resume, and a stopped training stays stopped", "[train]") {
  at::set_num_threads(1);
  const Folder folder;
  auto options = options_of(9);
  options.patience = 3;
  options.epsilon = 1e6;  // no improvement is ever enough: the first epoch sets the reference
  auto whole = make_net();
  const FitSummary uninterrupted = train<Adam>(folder.file("whole.safetensors"), whole, options, 9);
  REQUIRE(uninterrupted.stopped_early);
  REQUIRE(uninterrupted.epochs.size() == 4);
  options.epochs = 3;
  auto first = make_net();
  CHECK_FALSE(train<Adam>(folder.file(), first, options, 9).stopped_early);
  options.epochs = 9;
  auto second = make_net(77);
  check_equal(uninterrupted, train<Adam>(folder.file(), second, options, 9));
  check_equal(whole, second);
  auto third = make_net(78);
  check_equal(uninterrupted, train<Adam>(folder.file(), third, options, 9));  // trains no further
  check_equal(whole, third);
}

TEST_CASE("A training is resumed with its seed alone", "[train]") {
  const Folder folder;
  auto net = make_net();
  (void)train<Adam>(folder.file(), net, options_of(1), 4);
  auto options = options_of(4);
  options.seed = 10;
  CHECK_THROWS_WITH(train<Adam>(folder.file(), net, options, 4), Contains("its seed was 9, now it is 10"));
}

TEST_CASE("A checkpoint keeps every number of the state, bit for bit", "[train]") {
  const Folder folder;
  auto net = make_net();
  Adam adam({}, net.trained());
  const TrainingState state = odd_state();
  save_checkpoint(folder.file(), net, adam, state, description());
  const TrainingState read = load_checkpoint(folder.file(), net, adam, description());
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  CHECK(read.seed == state.seed);
  CHECK(bits(read.best) == bits(state.best));
  CHECK(read.best_epoch == 1);
  CHECK(bits(read.reference) == bits(state.reference));
  CHECK(read.without_improvement == 1);
  REQUIRE(read.epochs.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(read.epochs[i].epoch == state.epochs[i].epoch);
    CHECK(bits(read.epochs[i].learning_rate) == bits(state.epochs[i].learning_rate));
    CHECK(bits(read.epochs[i].training_loss) == bits(state.epochs[i].training_loss));
    CHECK(bits(read.epochs[i].validation_loss) == bits(state.epochs[i].validation_loss));
    CHECK(bits(read.epochs[i].seconds) == bits(state.epochs[i].seconds));
    CHECK(bits(read.epochs[i].waiting_s) == bits(state.epochs[i].waiting_s));
    CHECK(read.epochs[i].is_best == state.epochs[i].is_best);
  }
}

TEST_CASE("A damaged checkpoint is an error of the data, and the net stays as it was", "[train]") {
  const Folder folder;
  auto net = make_net();
  Adam adam({}, net.trained());
  save_checkpoint(folder.file(), net, adam, odd_state(), description());
  const std::string whole = bytes_of(folder.file());
  auto other = make_net(77);
  const auto untouched = make_net(77);
  Adam others({}, other.trained());
  const auto refused = [&](const std::string& content) {
    std::ofstream(folder.file("damaged.safetensors"), std::ios::binary) << content;
    try {
      (void)load_checkpoint(folder.file("damaged.safetensors"), other, others, description());
    } catch (const Error& error) {
      return error.fault() == Fault::data;
    }
    return false;
  };
  std::size_t loaded = 0;
  // All of the header would take long: a prime step visits every kind of byte, names and metadata among them.
  for (std::size_t i = 0; i < whole.size(); i += 97) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    if (!refused(damaged)) ++loaded;
  }
  CHECK(loaded == 0);
  std::string last = whole;
  last.back() = static_cast<char>(last.back() ^ 0x40);
  CHECK(refused(last));
  for (const std::size_t length : {std::size_t{0}, std::size_t{7}, whole.size() / 2, whole.size() - 1})
    CHECK(refused(whole.substr(0, length)));
  check_equal(other, untouched);
  CHECK(others.state().empty());
  // The last tensor's bytes are no JSON: the checksum alone finds them.
  std::ofstream(folder.file("damaged.safetensors"), std::ios::binary) << last;
  CHECK_THROWS_WITH(load_checkpoint(folder.file("damaged.safetensors"), other, others, description()),
                    Contains("it is damaged: its checksum is") && Contains("train from the beginning"));
}

TEST_CASE("What is no checkpoint is refused with its reason", "[train]") {
  const Folder folder;
  auto net = make_net();
  Adam adam({}, net.trained());
  CHECK_THROWS_WITH(load_checkpoint(folder.file(), net, adam, description()), Contains("there is no such file"));
  write_safetensors(folder.file(), weights_of(net));
  CHECK_THROWS_WITH(load_checkpoint(folder.file(), net, adam, description()),
                    Contains("it is no checkpoint of a training"));
}

TEST_CASE("A checkpoint of another pipeline is refused with the keys that differ", "[train]") {
  const Folder folder;
  auto net = make_net();
  Adam adam({}, net.trained());
  save_checkpoint(folder.file(), net, adam, odd_state(), description());
  const auto refusal = [&](const Json& now) -> std::string {
    try {
      (void)load_checkpoint(folder.file(), net, adam, now);
    } catch (const Error& error) {
      CHECK(error.fault() == Fault::usage);
      return error.what();
    }
    return "";
  };
  CHECK(refusal(description()).empty());
  CHECK_THAT(refusal(description(0.5)),
             Contains("it is of another pipeline: model.dropout_rate is 0.2 in the checkpoint, 0.5 now; resume with"));
  Json more = description();
  more["loss"] = "DiceLoss";
  more["transformation"]["CenterCrop"]["size"] = {8, 16};
  more["transformation"].erase("Resample");
  CHECK_THAT(refusal(more), Contains("transformation.CenterCrop.size is [8,8] in the checkpoint, [8,16] now") &&
                                Contains("transformation.Resample is {\"hspace\":0.75} in the checkpoint, not there") &&
                                Contains("loss is not there in the checkpoint, \"DiceLoss\" now"));
  Json turned = description();
  const Json resample = turned["transformation"]["Resample"];
  turned["transformation"].erase("Resample");
  turned["transformation"]["Resample"] = resample;
  CHECK_THAT(refusal(turned), Contains("the order in transformation is Resample, CenterCrop in the checkpoint, "
                                       "CenterCrop, Resample now"));
  Json many = description();
  for (int i = 0; i < 30; ++i) many["key" + std::to_string(i)] = i;
  CHECK_THAT(refusal(many), Contains("key19 is not there") && Contains("and 10 more") && !Contains("key20"));
}

TEST_CASE("Where a checkpoint finds no room the earlier one stays, and nothing beside it", "[train]") {
  const Folder folder;
  auto net = make_net();
  Adam adam({}, net.trained());
  save_checkpoint(folder.file(), net, adam, odd_state(), description());
  const std::string before = bytes_of(folder.file());
  net.tensors()[0].detach().add_(1);
  std::string said;
  {
    const SmallDisk disk(before.size() / 2);
    try {
      save_checkpoint(folder.file(), net, adam, odd_state(), description());
    } catch (const Error& error) {
      if (error.fault() == Fault::internal) said = error.what();
    }
  }
  CHECK_THAT(said, Contains("writing " + folder.file()) && Contains("check the free space"));
  CHECK(bytes_of(folder.file()) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
  save_checkpoint(folder.file(), net, adam, odd_state(), description());
  CHECK(bytes_of(folder.file()) != before);
}

namespace {

/// A module of float64.
struct Doubles : torch::nn::Module {
  torch::Tensor weight = register_parameter("weight", torch::ones({2}, torch::kDouble));
  torch::Tensor forward(const torch::Tensor& x) { return x * weight.sum(); }
};

}  // namespace

TEST_CASE("A net of float64 is refused, for it would lose digits", "[train]") {
  const Folder folder;
  const ModuleNet net(std::make_shared<Doubles>());
  Adam adam({}, net.trained());
  CHECK_THROWS_WITH(save_checkpoint(folder.file(), net, adam, {}, description()),
                    Contains("weight is float64, and a checkpoint holds float32"));
}
