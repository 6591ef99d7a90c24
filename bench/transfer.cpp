// Transfer learning: the time of a training step by the fraction of layers that is trained, and how much of it is left.
//
//   bench_transfer [rounds]
//
// A U-Net of depth 3 with 64 filters on 18 slices of 128×128, as in the profile study of ivadomed, where the time stayed
// the same. The fractions take turns in each round, so that a machine whose speed drifts treats them alike.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ivado/config/json.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/runtime.hpp>
#include <ivado/train/optimizer.hpp>
#include <ivado/train/transfer.hpp>
#include <memory>
#include <vector>

#include "median.hpp"

namespace {

struct Run {
  double fraction;
  std::unique_ptr<ivado::Net<ivado::Unet<2>>> net;
  std::unique_ptr<ivado::Adam> adam;
  std::size_t frozen = 0;
  std::vector<double> seconds;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  if (rounds < 1) return std::fputs("usage: bench_transfer [rounds]\n", stderr), 2;
  const ivado::Runtime runtime = ivado::start_runtime();
  at::manual_seed(1);
  const at::Tensor image = at::randn({18, 1, 128, 128});
  const at::Tensor label = (at::rand({18, 1, 128, 128}) > 0.7).to(at::kFloat);
  const ivado::Net<ivado::Unet<2>> source((ivado::Unet<2>()), 1);
  std::vector<Run> runs;
  for (const double fraction : {0.25, 0.5, 0.75, 1.0}) {
    Run run{fraction, std::make_unique<ivado::Net<ivado::Unet<2>>>(ivado::Unet<2>(), 2), nullptr, 0, {}};
    run.frozen = ivado::transfer(*run.net, ivado::weights_of(source), fraction, true, "memory", 3).first_trained;
    run.adam = std::make_unique<ivado::Adam>(ivado::Adam::Params{}, run.net->trained());
    runs.push_back(std::move(run));
  }
  const ivado::DiceLoss loss_function;
  for (int round = 0; round <= rounds; ++round)  // the first one warms up
    for (auto& run : runs) {
      const auto begin = std::chrono::steady_clock::now();
      const at::Tensor loss = loss_function(run.net->forward(image, {}, {1, 1, 1, 0}), label);
      run.adam->zero_gradients();
      loss.backward();
      run.adam->step(1e-3);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      if (round > 0) run.seconds.push_back(seconds);
    }
  const double whole = median(runs.back().seconds);
  ivado::Json out{{"benchmark", "transfer"}, {"threads", runtime.threads}, {"rounds", rounds}};
  std::printf("Unet depth 3, 64 filters, 18x1x128x128, %d threads, %d rounds, median of a training step\n",
              runtime.threads, rounds);
  std::printf("%9s %14s %10s %18s\n", "fraction", "frozen layers", "seconds", "of fraction 1");
  for (const auto& run : runs) {
    const double seconds = median(run.seconds);
    std::printf("%9.2f %14zu %10.3f %18.3f\n", run.fraction, run.frozen, seconds, seconds / whole);
    out["fractions"].push_back({{"fraction", run.fraction},
                                {"frozen_layers", run.frozen},
                                {"seconds", seconds},
                                {"least", *std::min_element(run.seconds.begin(), run.seconds.end())},
                                {"most", *std::max_element(run.seconds.begin(), run.seconds.end())},
                                {"ratio", seconds / whole}});
  }
  std::printf("%s\n", out.dump().c_str());
}
