// Waiting for data in an epoch of training: its share of the epoch, and the epoch's time beside that of the same epoch
// whose batches were all prepared beforehand.
//
//   bench_epoch_waiting [pairs]     5 unless told
//
// A U-Net of depth 3 with 32 filters on slices of 128x128, and Modified3DUNet with 8 filters on sub-volumes of
// 128x128x16, both with the transforms of the profile study, one worker and two batches ahead: `BatchLoader` and `fit`
// as a pipeline uses them, with one seed and epoch, so that both kinds of epoch see the same batches. They take turns
// in pairs, whose first one alternates. Data: sub-unf01 in `spinalcord/` of IVADO_DATA_DIR, copied to three subjects, or
// the embedded phantom. Prints a table, and the same as JSON on the last line.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <ivado/config/json.hpp>
#include <ivado/data/batch_loader.hpp>
#include <ivado/data/bids_loader.hpp>
#include <ivado/data/dataset_copy.hpp>
#include <ivado/error.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/runtime.hpp>
#include <ivado/train/optimizer.hpp>
#include <ivado/train/scheduler.hpp>
#include <ivado/train/trainer.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "study.hpp"

namespace {

using ivado::Json;

/// The batches of the first epoch of a loader, made beforehand and handed out again and again.
template <class Loader>
class Prepared {
 public:
  explicit Prepared(Loader& loader) : loader_(loader) {
    loader.start(1);
    while (auto loaded = loader.next()) batches_.push_back(std::move(*loaded));
  }
  void start(std::uint32_t) { next_ = 0; }
  [[nodiscard]] std::optional<typename Loader::LoadedBatch> next() {
    if (next_ == batches_.size()) return std::nullopt;
    return std::move(batches_[next_++]);
  }
  void recycle(ivado::Batch&& batch) { batches_[next_ - 1].batch = std::move(batch); }
  [[nodiscard]] std::size_t batches() const { return batches_.size(); }
  [[nodiscard]] double waited_s() const { return 0; }
  [[nodiscard]] const auto& dataset() const { return loader_.dataset(); }

 private:
  Loader& loader_;
  std::vector<typename Loader::LoadedBatch> batches_;
  std::size_t next_ = 0;
};

struct Silent {
  void on_batch(const ivado::EpochSummary&, std::int64_t, std::int64_t, double) {}
  void on_epoch(const ivado::EpochSummary&) {}
};

/// What may be: the share of waiting, and the time beside that of an epoch of prepared batches.
struct Target {
  double waiting = 0;
  double ratio = 1.05;
};

/// One model on its data. @return  its figures
template <class Loader, class Model>
Json measure(const std::string& name, const std::string& folder, const typename Model::Params& model_params,
             std::size_t batch_size, int pairs, const Target& target) {
  ivado::LoaderParameters params;
  params.path_data.values = {folder};
  params.target_suffix.raters_by_class = {{"_seg-manual"}};
  const Loader loader(params);
  ivado::LeftOutList left_out;
  const auto data =
      loader.dataset(loader.cases(true, study::contrasts, left_out),
                     study::chain<Loader::dimension>(study::Augmentation::study), ivado::Stage::training, 6);
  ivado::BatchLoader batches(
      data,
      {.batch_size = batch_size, .shuffle = true, .seed = 6, .workers = params.workers, .prefetch = params.prefetch});
  Prepared prepared(batches);
  ivado::Net<Model> net(Model(model_params), 1);
  ivado::Adam adam({}, net.trained());
  const ivado::CosineAnnealing schedule({}, 1e-3, 100);
  const auto epoch = [&](auto& source) {
    ivado::NoProfiler profiler;
    Silent silent;
    ivado::FitOptions options;
    options.epochs = 1;
    return ivado::fit(net, ivado::DiceLoss(), adam, schedule, profiler, source,
                      static_cast<std::remove_reference_t<decltype(source)>*>(nullptr), options, silent)
        .epochs.front();
  };
  (void)epoch(prepared);  // LibTorch is slow in its first calls
  std::vector<double> seconds;
  std::vector<double> shares;
  std::vector<double> ratios;
  for (int pair = 0; pair < pairs; ++pair) {
    std::array<ivado::EpochSummary, 2> of;  // from the loader, prepared
    for (int turn = 0; turn < 2; ++turn) {
      if (turn == pair % 2)
        of[0] = epoch(batches);
      else
        of[1] = epoch(prepared);
    }
    seconds.push_back(of[0].seconds);
    shares.push_back(of[0].waiting_s / of[0].seconds);
    ratios.push_back(of[0].seconds / of[1].seconds);
  }
  const auto least = [](const auto& values) { return *std::min_element(values.begin(), values.end()); };
  const auto most = [](const auto& values) { return *std::max_element(values.begin(), values.end()); };
  const bool is_met = median(shares) <= target.waiting && median(ratios) <= target.ratio;
  std::printf("%-34s %7zu %8.2f %8.2f %% (%5.2f … %5.2f) %9.3f (%5.3f … %5.3f)  at most %.0f %%, %.2f: %s\n",
              name.c_str(), batches.batches(), median(seconds), 100 * median(shares), 100 * least(shares),
              100 * most(shares), median(ratios), least(ratios), most(ratios), 100 * target.waiting, target.ratio,
              is_met ? "yes" : "NO");
  std::fflush(stdout);
  return {{"model", name},
          {"batches", batches.batches()},
          {"pairs", pairs},
          {"epoch_s", median(seconds)},
          {"waiting_share", median(shares)},
          {"waiting_share_least", least(shares)},
          {"waiting_share_most", most(shares)},
          {"over_prepared", median(ratios)},
          {"over_prepared_least", least(ratios)},
          {"over_prepared_most", most(ratios)},
          {"is_met", is_met}};
}

void run(int pairs) {
  const ivado::Runtime runtime = ivado::start_runtime();
  const study::Scratch scratch;
  const bool is_real = study::write_one_subject(scratch, scratch / "one");
  ivado::ScaleParams scale;
  scale.from = scratch / "one";
  scale.to = scratch / "three";
  scale.factor = 3;
  scale.link = true;
  (void)ivado::write_scaled(scale);

  std::printf("%d threads, %s, medians of %d pairs (least … most)\n%-34s %7s %8s %26s %25s\n", runtime.threads,
              is_real ? "sub-unf01 three times" : "the phantom three times", pairs, "", "batches", "epoch, s",
              "waiting for data", "over prepared batches");
  Json models = Json::array();
  ivado::Unet<2>::Params slices;
  slices.n_filters = 32;
  models.push_back(measure<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Unet<2>>(
      "Unet, 32 filters, 18x128x128", scale.to, slices, 18, pairs, {.waiting = 0.02}));
  ivado::Modified3DUNet<>::Params volumes;
  volumes.n_filters = 8;
  models.push_back(measure<ivado::BidsLoader<ivado::Subvolumes<128, 128, 16>>, ivado::Modified3DUNet<>>(
      "Modified3DUNet, 8, 128x128x16", scale.to, volumes, 1, pairs, {.waiting = 0.05}));
  const Json out{{"bench", "epoch_waiting"},
                 {"threads", runtime.threads},
                 {"data", is_real ? "sub-unf01" : "phantom"},
                 {"models", models}};
  std::printf("\n%s\n", out.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const int pairs = argc > 1 ? std::atoi(argv[1]) : 5;
  if (pairs < 1) return std::fputs("usage: bench_epoch_waiting [pairs]\n", stderr), 2;
  try {
    run(pairs);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_epoch_waiting: %s\n", error.what());
    return 1;
  }
  return 0;
}
