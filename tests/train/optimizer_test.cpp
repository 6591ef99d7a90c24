// Optimisers: their steps, their saved states, the choice by name, and clipped gradients.
#include <ATen/ATen.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <ivado/train/optimizer.hpp>
#include <utility>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

std::vector<at::Tensor> tensors() {
  at::manual_seed(3);
  std::vector<at::Tensor> out{at::randn({4, 3}), at::randn({5})};
  for (auto& tensor : out) tensor.requires_grad_(true);
  return out;
}

template <class Optimiser>
void run(Optimiser& optimizer, std::vector<at::Tensor>& of, int first, int count, double rate = 0.05) {
  for (int i = first; i < first + count; ++i) {
    optimizer.zero_gradients();
    at::Tensor loss = at::zeros({});
    for (const auto& tensor : of) loss = loss + (tensor * tensor * (1.0 + 0.1 * i)).sum() + tensor.sum() * 0.3;
    loss.backward();
    optimizer.step(rate);
  }
}

template <class Optimiser>
void check_laws() {
  auto whole = tensors();
  Optimiser through(typename Optimiser::Params{}, whole);
  const at::Tensor before = whole[0].detach().clone();
  run(through, whole, 0, 1, 0.0);
  CHECK(at::equal(whole[0].detach(), before));
  run(through, whole, 1, 4);
  CHECK_FALSE(at::equal(whole[0].detach(), before));

  auto halves = tensors();
  Optimiser first(typename Optimiser::Params{}, halves);
  run(first, halves, 0, 1, 0.0);
  run(first, halves, 1, 2);
  Optimiser second(typename Optimiser::Params{}, halves);
  second.restore(first.state());
  run(second, halves, 3, 2);
  for (std::size_t i = 0; i < halves.size(); ++i) CHECK(at::equal(halves[i].detach(), whole[i].detach()));

  auto state = first.state();
  REQUIRE_FALSE(state.empty());
  for (auto& one : state)
    if (!one.shape.empty()) one.shape[0] += 1;
  CHECK_THROWS_WITH(second.restore(state), Contains("does not have the shape of its tensor"));
}

/// Steps on tensors of several sizes and layouts beside an optimiser of LibTorch's, in float32 and in float64.
template <class Other, class Optimiser>
void check_beside(const typename Optimiser::Params& params, const typename Other::second_type& options) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    INFO(type);
    const auto make = [&] {
      at::manual_seed(3);
      std::vector<at::Tensor> out{at::randn({70, 1000}),
                                  at::randn({2, 3, 5, 7}).contiguous(at::MemoryFormat::ChannelsLast), at::randn({1}),
                                  at::randn({3}), at::randn({4, 4}).t()};
      for (auto& tensor : out) tensor = tensor.to(type).detach().requires_grad_(true);
      return out;
    };
    auto ours = make();
    auto theirs = make();
    Optimiser optimizer(params, ours);
    typename Other::first_type other(theirs, options);
    for (int i = 0; i < 5; ++i) {
      for (auto* all : {&ours, &theirs})
        for (std::size_t k = 0; k < all->size(); ++k)
          if (k != 3 || i > 1)  // one that has no gradient at first
            (*all)[k].mutable_grad() = ((*all)[k].detach() * (1 + i) + 0.1).contiguous();
      optimizer.step(0.05);
      other.step();
    }
    for (std::size_t k = 0; k < ours.size(); ++k) CHECK(at::allclose(ours[k].detach(), theirs[k].detach(), 1e-5, 1e-6));
  }
}

}  // namespace

TEST_CASE("Each optimiser steps as LibTorch's does", "[unit]") {
  using namespace torch::optim;
  check_beside<std::pair<torch::optim::Adam, AdamOptions>, ivado::Adam>({}, AdamOptions(0.05));
  check_beside<std::pair<torch::optim::Adam, AdamOptions>, ivado::Adam>({0.8, 0.9, 1e-4},
                                                                        AdamOptions(0.05).betas({0.8, 0.9}).eps(1e-4));
  check_beside<std::pair<torch::optim::AdamW, AdamWOptions>, ivado::AdamW>({}, AdamWOptions(0.05).weight_decay(1e-2));
  const auto sgd = [](double momentum, bool nesterov, double decay) {
    check_beside<std::pair<torch::optim::SGD, SGDOptions>, ivado::SGD>(
        {momentum, nesterov, decay}, SGDOptions(0.05).momentum(momentum).nesterov(nesterov).weight_decay(decay));
  };
  sgd(0.9, true, 0.01);
  sgd(0.9, false, 0.01);
  sgd(0, false, 0);
}

TEST_CASE("An optimiser goes on from its saved state bit for bit", "[unit]") {
  check_laws<Adam>();
  check_laws<AdamW>();
  check_laws<SGD>();
  check_laws<AnyOptimizer>();
}

TEST_CASE("The optimiser is chosen by name, with its parameters", "[unit]") {
  auto a = tensors();
  auto b = tensors();
  auto chosen = make_optimizer<AnyOptimizer>({{"name", "SGD"}, {"momentum", 0.5}, {"weight_decay", 0.0}}, a);
  SGD::Params params;
  params.momentum = 0.5;
  params.weight_decay = 0;
  SGD direct(params, b);
  run(chosen, a, 0, 3);
  run(direct, b, 0, 3);
  CHECK(at::equal(a[0].detach(), b[0].detach()));
  CHECK_THROWS_WITH(make_optimizer<AnyOptimizer>({{"name", "AdmW"}}, a), Contains("did you mean \"AdamW\"?"));
  CHECK_THROWS_WITH(make_optimizer<Adam>({{"name", "SGD"}}, a), Contains("was compiled with Adam"));
  CHECK_THROWS_WITH(make_optimizer<AnyOptimizer>({{"name", "SGD"}, {"momentun", 0.5}}, a), Contains("momentum"));
}

TEST_CASE("Gradients are clipped by their common norm", "[unit]") {
  auto of = tensors();
  (of[0].sum() * 3 + of[1].sum() * 4).backward();
  const double norm = std::sqrt(12 * 9.0 + 5 * 16.0);
  CHECK(clip_gradients(of, 100) == Approx(norm));
  CHECK(of[0].grad()[0][0].item<double>() == Approx(3));
  CHECK(clip_gradients(of, 1) == Approx(norm));
  CHECK(of[1].grad()[0].item<double>() == Approx(4 / norm));
}
