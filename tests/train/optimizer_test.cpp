// Optimisers: their steps, their saved states, the choice by name, and clipped gradients.
#include <ATen/ATen.h>

#include <ivado/train/optimizer.hpp>
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

}  // namespace

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
