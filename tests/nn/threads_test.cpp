// What a training computes in loops of ivado's own is the same, bit for bit, on any number of threads: dropout, norms, optimisers.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cstdint>
#include <ivado/nn/onednn_backend.hpp>
#include <ivado/train/optimizer.hpp>
#include <vector>

#include "../catch.hpp"

using namespace ivado;

namespace {

/// What `compute()` gives on one thread and on several; the number of threads is as before behind it.
template <class Compute>
void check_any_threads(const Compute& compute) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<at::Tensor> expected = compute();
  for (const int threads : {2, 3}) {
    at::set_num_threads(threads);
    const std::vector<at::Tensor> found = compute();
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO("tensor " << i << ", " << threads << " threads");
      CHECK(found[i].numel() > 0);
      CHECK(at::equal(found[i], expected[i]));
    }
  }
  at::set_num_threads(before);
}

at::Tensor noise(at::IntArrayRef shape, std::uint64_t seed) {
  at::manual_seed(seed);
  return at::randn(shape);
}

}  // namespace

TEST_CASE("Dropout draws the same for any number of threads", "[unit]") {
  const nn::op::Dropout dropout{.rate = 0.4};
  check_any_threads([&] {
    const nn::TorchInterpreter interpreter({}, true, RandomKey{3, 1, 2, 0});
    const std::vector<at::Tensor> input{at::ones({3, 7, 61, 53})};
    return std::vector<at::Tensor>{interpreter.apply(dropout, input)};
  });
}

TEST_CASE("Norms and their gradients are the same for any number of threads", "[unit]") {
  for (const bool each_sample : {false, true})
    for (const std::int64_t extent : {4, 40}) {  // planes that are put side by side, and others
      check_any_threads([&] {
        at::Tensor x = noise({extent < 10 ? 64 : 6, 48, extent, extent}, 1).requires_grad_(true);
        at::Tensor weight = noise({48}, 2).requires_grad_(true);
        at::Tensor bias = noise({48}, 3).requires_grad_(true);
        const at::Tensor y = nn::fused_norm(x, {weight, bias, {}}, {}, {0.1, 0, 1e-5, each_sample}).value;
        (y * noise(y.sizes(), 4)).sum().backward();
        return std::vector<at::Tensor>{y.detach(), x.grad(), weight.grad(), bias.grad()};
      });
    }
}

TEST_CASE("Optimisers step the same for any number of threads", "[unit]") {
  check_any_threads([] {
    std::vector<at::Tensor> tensors{noise({257, 401}, 1).requires_grad_(true), noise({5}, 2).requires_grad_(true)};
    Adam adam({}, tensors);
    for (std::uint64_t step = 0; step < 3; ++step) {
      for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].mutable_grad() = noise(tensors[i].sizes(), 10 + step);
      adam.step(1e-2);
    }
    return std::vector<at::Tensor>{tensors[0].detach().clone(), tensors[1].detach().clone()};
  });
}
