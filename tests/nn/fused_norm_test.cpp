// Norms with the activations and the dropout around them as one step: the values, gradients and running statistics of
// LibTorch's operations in float64, for planes of any size.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdint>
#include <ivado/nn/onednn_backend.hpp>
#include <optional>
#include <type_traits>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Extents = std::vector<std::int64_t>;

namespace {

at::Tensor noise(const Extents& extents, std::uint32_t number, double scale, double shift) {
  at::Tensor out = at::empty(extents, at::kFloat);
  Rng rng({5, 0, number, stream_user});
  for (std::int64_t i = 0; i < out.numel(); ++i)
    out.data_ptr<float>()[i] = static_cast<float>(rng.normal() * scale + shift);
  return out;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  const double size = b.to(at::kDouble).norm().item<double>();
  return (a.to(at::kDouble) - b.to(at::kDouble)).norm().item<double>() / (size > 0 ? size : 1);
}

struct Case {
  Extents extents;
  bool batch = true;
  bool affine = true;
  std::optional<double> before{};
  std::optional<double> after{};
  double rate = 0;
};

/// Result, gradients by input, weight and bias, running mean and variance, counter.
struct Found {
  std::vector<at::Tensor> tensors;
};

template <class On>
Found run(const Case& one, at::ScalarType type, bool training, bool frozen) {
  const std::int64_t channels = one.extents[1];
  std::vector<at::Tensor> parameters{noise({channels}, 1, 0.3, 1).to(type), noise({channels}, 2, 1, 0).to(type),
                                     noise({channels}, 3, 1, 0).to(type),
                                     noise({channels}, 4, 1, 0).square().add_(0.5).to(type), at::zeros({}, at::kLong)};
  for (std::size_t i = 0; i < 2; ++i) parameters[i].requires_grad_(!frozen);
  nn::op::BatchNorm batch;
  batch.weight = nn::ParameterId{0};
  batch.bias = nn::ParameterId{1};
  batch.running_mean = nn::ParameterId{2};
  batch.running_variance = nn::ParameterId{3};
  batch.batches = nn::ParameterId{4};
  nn::op::InstanceNorm instance;
  if (one.affine) {
    instance.weight = batch.weight;
    instance.bias = batch.bias;
  }
  const nn::op::Dropout dropout{one.rate, 0, true};
  nn::NormStep step;
  step.norm = instance;
  if (one.batch) step.norm = batch;
  if (one.before) step.before = nn::Activation{*one.before};
  if (one.after) step.after = nn::Activation{*one.after};
  if (one.rate > 0) step.dropout = &dropout;

  On on(parameters, training, {7, 0, 0, 0}, frozen);
  const at::Tensor x = noise(one.extents, 0, 2, 0.7).to(type).requires_grad_(true);
  const at::Tensor y = step(on, x);
  (y * noise(one.extents, 5, 1, 0.2).to(type)).sum().backward();
  const bool has_gradients = !frozen && (one.batch || one.affine);
  const at::Tensor none = at::zeros({1});
  return {{y.detach(), x.grad(), has_gradients ? parameters[0].grad() : none,
           has_gradients ? parameters[1].grad() : none, parameters[2], parameters[3], parameters[4]}};
}

}  // namespace

TEST_CASE("A fused norm and its gradients are those of float64", "[unit]") {
  const auto one =
      GENERATE(Case{{3, 5, 20, 21}, true, true, 0.0, {}, 0.3}, Case{{2, 6, 40, 40}, true, true, {}, 0.0},
               Case{{2, 3, 1, 1}, true, true, 0.1, {}}, Case{{4, 3, 3, 5}, true, true, {}, 0.0, 0.5},
               Case{{1, 4, 11, 13}, true, true, 0.0, 0.2, 0.3}, Case{{2, 4, 8, 9, 10}, false, false, {}, 0.01},
               Case{{2, 4, 5, 13, 17}, false, true, {}, 0.01, 0.3}, Case{{2, 3, 2, 2}, false, true, 0.0, {}},
               Case{{1, 2, 7, 8}, false, false}, Case{{2, 2, 33, 65}, true, true},
               Case{{4, 3, 5, 5}, true, true, {}, 0.0}, Case{{9, 3, 16, 16}, true, true, 0.0, {}});
  const bool training = GENERATE(true, false);
  const bool frozen = GENERATE(false, true);
  INFO("input " << at::IntArrayRef(one.extents) << ", batch " << one.batch << ", affine " << one.affine << ", rate "
                << one.rate << ", training " << training << ", frozen " << frozen);
  const Found found = run<nn::OneDnnInterpreter>(one, at::kFloat, training, frozen);
  const Found plain = run<nn::TorchInterpreter>(one, at::kFloat, training, frozen);
  const Found exact = run<nn::TorchInterpreter>(one, at::kDouble, training, frozen);
  for (std::size_t part = 0; part < exact.tensors.size(); ++part) {
    INFO("part " << part);
    REQUIRE(found.tensors[part].sizes() == exact.tensors[part].sizes());
    CHECK(distance(found.tensors[part], exact.tensors[part]) <
          1e-6 + 3 * distance(plain.tensors[part], exact.tensors[part]));
    CHECK(distance(plain.tensors[part], exact.tensors[part]) < 1e-3);  // else the comparison says nothing
  }
  const Found again = run<nn::OneDnnInterpreter>(one, at::kFloat, training, frozen);
  for (std::size_t part = 0; part < exact.tensors.size(); ++part)
    CHECK(at::equal(again.tensors[part], found.tensors[part]));
}

TEST_CASE("A dropout behind a norm works where the shift of the norm alone is trained, as in LibTorch", "[unit]") {
  const auto run_with = [](auto kind) {
    std::vector<at::Tensor> parameters{at::ones({64}), at::zeros({64}).requires_grad_(true)};
    nn::op::InstanceNorm norm;
    norm.weight = nn::ParameterId{0};
    norm.bias = nn::ParameterId{1};
    const nn::op::Dropout dropout{0.5, 0, true};
    nn::NormStep step;
    step.norm = norm;
    step.dropout = &dropout;
    typename decltype(kind)::type on(parameters, true, {7, 0, 0, 0}, true);
    return step(on, noise({1, 64, 3, 3}, 0, 1, 0)).detach();
  };
  const at::Tensor found = run_with(std::type_identity<nn::OneDnnInterpreter>{});
  CHECK(distance(found, run_with(std::type_identity<nn::TorchInterpreter>{})) < 1e-6);
  CHECK((found == 0).all(2).all(2).any().item<bool>());
}

TEST_CASE("Gradients of gradients are refused, not left out", "[unit]") {
  const at::Tensor x = noise({1, 2, 5, 5}, 0, 1, 0).requires_grad_(true);
  const at::Tensor y = nn::fused_norm(x, {}, {}, {1, 0, 1e-5, true}).value;
  CHECK_THROWS_WITH(torch::autograd::grad({y.sum()}, {x}, {}, true, true), Catch::Contains("second derivative"));
}

TEST_CASE("A fused norm has few of the roundings of values far from 0", "[unit]") {
  // A mean of 1000 deviations: sums of squares would lose all digits of the variance.
  const at::Tensor x = noise({2, 2, 64, 64}, 0, 1, 1000);
  const auto found = nn::fused_norm(x, {}, {}, {1, 1, 0, false});
  const at::Tensor exact = x.to(at::kDouble).var({0, 2, 3}, false);
  CHECK(distance(found.variance, exact) < 1e-5);
  CHECK(distance(found.used[0], x.to(at::kDouble).mean({0, 2, 3})) < 1e-6);
}

namespace {

/// Compares the loops of a set of instructions with those that every processor has.
template <class Kind>
void compare_loops(const nn::detail::NormPiece& piece) {
  const std::int64_t all = (piece.rows - 1) * piece.stride + piece.count;
  const at::Tensor x = noise({all}, 6, 1, 0);
  const at::Tensor g = noise({all}, 7, 1, 0);
  const float* const from = x.data_ptr<float>();
  const float* const gradient = g.data_ptr<float>();
  const nn::detail::NormNumbers numbers{0.1F, 0.2F, 0.3F, 1.4F, 1.5F, -0.6F, 1.7F};
  using Plain = nn::detail::PlainNorm;
  const auto near = [](double a, double b) { return std::abs(a - b) <= 1e-5 * (1 + std::abs(b)); };
  CHECK(near(Kind::moments(from, piece, 0.1F).first, Plain::moments(from, piece, 0.1F).first));
  CHECK(near(Kind::moments(from, piece, 0.1F).second, Plain::moments(from, piece, 0.1F).second));
  CHECK(near(Kind::sums(from, gradient, piece, numbers).first, Plain::sums(from, gradient, piece, numbers).first));
  CHECK(near(Kind::sums(from, gradient, piece, numbers).second, Plain::sums(from, gradient, piece, numbers).second));
  at::Tensor a = at::full_like(x, 9);
  at::Tensor b = at::full_like(x, 9);
  Kind::apply(from, a.data_ptr<float>(), piece, numbers);
  Plain::apply(from, b.data_ptr<float>(), piece, numbers);
  CHECK(at::allclose(a, b, 1e-5, 1e-6));
  CHECK((a == 9).sum().item<std::int64_t>() == all - piece.total());
  Kind::back(from, gradient, a.data_ptr<float>(), piece, numbers, 0.1F, 0.2F);
  Plain::back(from, gradient, b.data_ptr<float>(), piece, numbers, 0.1F, 0.2F);
  CHECK(at::allclose(a, b, 1e-5, 1e-6));
}

}  // namespace

TEST_CASE("Loops for wider vectors give what the plain ones give", "[unit]") {
  using Piece = nn::detail::NormPiece;
  const auto piece = GENERATE(Piece{1, 0, 1}, Piece{1, 0, 7}, Piece{1, 0, 16}, Piece{1, 0, 129}, Piece{1, 0, 1024},
                              Piece{3, 5, 2}, Piece{5, 49, 49}, Piece{4, 100, 64}, Piece{16, 80, 16});
  compare_loops<nn::detail::PlainNorm>(piece);
#if defined(__x86_64__) && defined(__GNUC__)
  if (engine::has_avx2()) compare_loops<nn::detail::Avx2Norm>(piece);
  if (engine::has_avx512()) compare_loops<nn::detail::Avx512Norm>(piece);
#endif
}
