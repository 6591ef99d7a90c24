// The engine, which knows no LibTorch, gives what LibTorch gives: every model, on real images.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ivado/engine/engine.hpp>
#include <ivado/interop/python_checkpoint.hpp>
#include <ivado/train/tensor.hpp>
#include <string>

#include "../catch.hpp"
#include "../model/compared_models.hpp"

using namespace ivado;
using test::Run;

namespace {

Array<float> array(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return element(tensor.unsqueeze(0), 0);
}
at::Tensor tensor(Array<float>& array) { return tensor_view(array).clone(); }

template <Architecture Model>
void compare(const Model& model, const std::string& variant, const Run& run_of) {
  const auto files = test::image_files();
  if (files.empty()) return;
  at::NoGradGuard guard;
  INFO(Model::name << " " << variant);
  Net net(model, 3);
  const at::Tensor input = test::images(files, run_of.shape);
  test::stir(net, input, run_of.condition);
  const at::Tensor expected = net.forward(input, run_of.condition);
  const auto rounding = test::distance(test::in_double(net, input, run_of.condition), expected);
  const auto spread = (expected.max() - expected.min()).template item<double>();
  CHECK(spread >= 1e-3);  // else the comparison says nothing
  for (const std::int64_t at_once : {1, 3}) {
    INFO(at_once << " samples at once");
    Engine<Model> engine(model, weights_of(net), {.threads = 1, .samples_at_once = at_once});
    Array<float> output = engine.forward(array(input), array(run_of.condition));
    REQUIRE(output.shape() == array(expected).shape());
    const double difference = test::distance(tensor(output), expected);
    std::printf("%-15s %-20s %d at once: largest difference %.2e (rounding of LibTorch %.2e)\n",
                std::string(Model::name).c_str(), variant.c_str(), static_cast<int>(at_once), difference, rounding);
    if (std::getenv("IVADO_ENGINE_LINES") != nullptr && at_once == 1)
      for (const auto& line : engine.network().plan(array(input).shape()).lines())
        std::printf("    %s\n", line.c_str());
    // What divides by a sum near 0 (relu with several classes) enlarges rounding; then LibTorch's own tells how far.
    CHECK(difference <= std::max(1e-4, 10 * rounding));
    CHECK(engine.forward(array(input), array(run_of.condition)) == output);  // nothing is left over of the first run
  }
}

const auto comparison = [](const auto& model, const std::string& variant, const Run& run_of) {
  compare(model, variant, run_of);
};

}  // namespace

TEST_CASE("The U-Net in the engine", "[unit]") { test::for_unets(comparison); }

TEST_CASE("The U-Nets with a condition in the engine", "[unit]") { test::for_conditioned_unets(comparison); }

TEST_CASE("Modified3DUNet in the engine", "[unit]") { test::for_modified_3d_unets(comparison); }

TEST_CASE("ResidualUnet in the engine", "[unit]") { test::for_residual_unets(comparison); }

TEST_CASE("Classifiers and Countception in the engine", "[unit]") {
  test::for_classifiers_and_countception(comparison);
}

TEST_CASE("The other operations in the engine", "[unit]") { test::for_odd_networks(comparison); }
