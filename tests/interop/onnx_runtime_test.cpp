// Every model, exported and run by ONNX Runtime on real images, gives what LibTorch gives, at another size and batch
// than the recorded one. Needs node and onnxruntime-node, in the node_modules of the folder IVADO_ONNXRUNTIME_NODE.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <ivado/interop/onnx.hpp>
#include <ivado/interop/onnx_weights.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "../data/nifti_bytes.hpp"
#include "../model/compared_models.hpp"

using namespace ivado;
using test::Run;

namespace {

/// `text` as one word of the shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// The folder with the node_modules of ONNX Runtime; empty, and said, where the comparison cannot be made.
std::string runtime_folder() {
  const char* folder = std::getenv("IVADO_ONNXRUNTIME_NODE");
  if (folder == nullptr || !std::filesystem::is_directory(std::filesystem::path(folder) / "node_modules")) {
    WARN("skipped: IVADO_ONNXRUNTIME_NODE names no folder with node_modules/onnxruntime-node");
    return {};
  }
  if (std::system("node --version >/dev/null 2>&1") != 0) {
    WARN("skipped: there is no node");
    return {};
  }
  return folder;
}

struct Named {
  std::string name;
  at::Tensor tensor;
};

/// The output of ONNX Runtime.
at::Tensor run(const std::string& runtime, const test::Folder& folder, const std::vector<Named>& inputs) {
  const auto script = std::filesystem::path(IVADO_SOURCE_DIR) / "tests/interop/onnx/run_onnx.cjs";
  std::string command = "node " + quoted(script.string()) + " " + quoted(runtime) + " " + quoted(folder / "m.onnx") +
                        " " + quoted(folder / "output");
  for (const auto& input : inputs) {
    const at::Tensor dense = input.tensor.contiguous();
    test::write_bytes(folder / input.name, {static_cast<const char*>(dense.data_ptr()), dense.nbytes()});
    std::string shape;
    for (const auto extent : dense.sizes()) shape += (shape.empty() ? "" : "x") + std::to_string(extent);
    command += " " + quoted(input.name + ":" + shape + ":" + (folder / input.name));
  }
  REQUIRE(std::system((command + " >" + quoted(folder / "shape")).c_str()) == 0);
  std::vector<std::int64_t> shape;
  std::istringstream text(test::read_bytes(folder / "shape"));
  for (std::string extent; std::getline(text, extent, 'x');) shape.push_back(std::stoll(extent));
  std::string bytes = test::read_bytes(folder / "output");
  at::Tensor output = at::from_blob(bytes.data(), shape).clone();
  REQUIRE(output.nbytes() == bytes.size());
  return output;
}

template <Architecture Model>
void compare(const Model& model, const std::string& variant, const Run& run_of) {
  const std::string runtime = runtime_folder();
  const auto files = test::image_files();
  if (runtime.empty() || files.empty()) return;
  at::NoGradGuard guard;
  INFO(Model::name << " " << variant);
  Net net(model, 3);
  const at::Tensor input = test::images(files, run_of.shape);
  test::stir(net, input, run_of.condition);
  const at::Tensor expected = net.forward(input, run_of.condition);
  const test::Folder folder;
  const auto weights = weights_of(net);
  write_onnx(folder / "m.onnx", graph::record(net.model(), run_of.recorded), weights);
  std::vector<Named> inputs{{"input", input}};
  if (run_of.condition.defined()) inputs.push_back({"condition", run_of.condition});
  const at::Tensor output = run(runtime, folder, inputs);
  REQUIRE(output.sizes() == expected.sizes());
  const auto difference = test::distance(output, expected);
  const auto rounding = test::distance(test::in_double(net, input, run_of.condition), expected);
  const auto spread = (expected.max() - expected.min()).template item<double>();
  std::printf("%-15s %-20s largest difference %.2e (rounding of LibTorch %.2e), output from %.4f to %.4f\n",
              std::string(Model::name).c_str(), variant.c_str(), difference, rounding,
              expected.min().template item<double>(), expected.max().template item<double>());
  // What divides by a sum near 0 (relu with several classes) enlarges rounding; then LibTorch's own tells how far.
  CHECK(difference <= std::max(1e-4, 10 * rounding));
  CHECK(spread >= 1e-3);  // else the comparison says nothing

  // The file gives the net back.
  const auto back = match_weights(net.model().parameters(), read_onnx_weights(folder / "m.onnx"), "m.onnx");
  Net other(model, 4);
  other.train(false);
  load_weights(other, back, "m.onnx");
  CHECK(at::equal(other.forward(input, run_of.condition), expected));
}

const auto comparison = [](const auto& model, const std::string& variant, const Run& run_of) {
  compare(model, variant, run_of);
};

}  // namespace

TEST_CASE("The U-Net in ONNX Runtime", "[unit]") { test::for_unets(comparison); }

TEST_CASE("The U-Nets with a condition in ONNX Runtime", "[unit]") { test::for_conditioned_unets(comparison); }

TEST_CASE("Modified3DUNet in ONNX Runtime", "[unit]") { test::for_modified_3d_unets(comparison); }

TEST_CASE("ResidualUnet in ONNX Runtime", "[unit]") { test::for_residual_unets(comparison); }

TEST_CASE("Classifiers and Countception in ONNX Runtime", "[unit]") {
  test::for_classifiers_and_countception(comparison);
}

TEST_CASE("The other operations in ONNX Runtime", "[unit]") { test::for_odd_networks(comparison); }
