// Mirrored: the mean over mirrored views by hand, symmetry of the result, and no change without axes.
#include <ivado/infer/mirrored.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/residual_unet.hpp>

#include "../catch.hpp"

using namespace ivado;

namespace {

/// Predicts the running sum along the last axis, which looks different from either end, and remembers its calls.
struct RunningSum {
  bool training = true;
  int calls = 0;
  void train(bool on) { training = on; }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& /*condition*/, const RandomKey& /*dropout*/) {
    ++calls;
    return x.cumsum(-1);
  }
};

}  // namespace

TEST_CASE("Mirrored is the mean over all combinations of mirrored axes") {
  RunningSum net;
  const at::Tensor x = at::tensor({1.0F, 2.0F, 3.0F, 10.0F, 20.0F, 30.0F}).view({1, 1, 2, 3});
  Mirrored along_w(net, {1});
  along_w.train(false);
  CHECK_FALSE(net.training);
  // forwards 1 3 6; from the other end 6 5 3
  const at::Tensor expected = at::tensor({3.5F, 4.0F, 4.5F, 35.0F, 40.0F, 45.0F}).view({1, 1, 2, 3});
  CHECK(at::equal(along_w.forward(x), expected));
  CHECK(net.calls == 2);
  // Mirroring along H changes nothing of this net; the third axis of a slice does not exist.
  CHECK(at::equal(Mirrored(net, {0, 1, 2}).forward(x), expected));
  CHECK(net.calls == 6);
  CHECK(at::equal(Mirrored(net, {}).forward(x), x.cumsum(-1)));
  CHECK(net.calls == 7);
}

TEST_CASE("The prediction of a mirrored volume is the mirrored prediction") {
  ResidualUnet<3, 1, 2>::Params params;
  params.n_filters = 2;
  params.blocks = {1, 1};
  Net<ResidualUnet<3, 1, 2>> net(ResidualUnet<3, 1, 2>(params, {1, 2, 1}), 5);
  net.train(false);
  const c10::InferenceMode no_gradients;
  const at::Tensor x = at::linspace(-1, 2, 2 * 4 * 6 * 8).square().view({2, 1, 4, 6, 8});
  Mirrored mirrored(net, {0, 2});
  const std::vector<std::int64_t> flipped{2, 4};
  const at::Tensor there = mirrored.forward(x);
  CHECK(there.sizes() == at::IntArrayRef({2, 2, 4, 6, 8}));
  // rel 1e-5: float sums in another order
  CHECK(at::allclose(mirrored.forward(x.flip(flipped)).flip(flipped), there, 1e-5, 1e-6));
  CHECK_FALSE(at::allclose(net.forward(x.flip(flipped)).flip(flipped), net.forward(x), 1e-5, 1e-6));
  CHECK(at::equal(Mirrored(net, {}).forward(x), net.forward(x)));
}
