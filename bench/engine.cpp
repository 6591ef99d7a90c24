// The engine against LibTorch, ONNX Runtime and the rate of a lone oneDNN convolution, on one machine in one run.
//
//   bench_engine [threads] [rounds]
//
// ONNX Runtime is that of npm in the folder IVADO_ONNXRUNTIME_NODE (build/release/onnxruntime, where cmake/test.cmake has
// run); without it its lines are left out, and that is said. It runs in a process of its own with as many threads.
//
// The U-Net of ivadomed's profile study (depth 3, 64 filters) on 18 slices of 128×128 and on one, and Modified3DUNet on
// 64×64×64, in float32 and, where the processor multiplies it, in bf16. All take turns in each round, so that a machine whose speed drifts treats them alike; medians are printed, and
// the rate of each as a part of what the convolution 64→64, 3×3, on 18 slices of 128×128 reached in the same rounds.
#include <ATen/ATen.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <ivado/engine/engine.hpp>
#include <ivado/error.hpp>
#include <ivado/interop/onnx.hpp>
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/nn/cost.hpp>
#include <ivado/runtime.hpp>
#include <ivado/train/tensor.hpp>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "median.hpp"

namespace {

struct Contender {
  std::string name;
  double gflop;
  std::function<double()> run;  ///< @return its seconds
  std::vector<double> seconds{};
};

/// The seconds that a call takes.
template <class Call>
std::function<double()> timed(Call call) {
  return [call = std::move(call)] {
    const auto begin = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
}

/// A model in ONNX Runtime, in a process that runs it each time a line is written.
class OnnxRuntime {
 public:
  /// @param modules  the folder with its node_modules
  OnnxRuntime(const std::string& modules, const ivado::graph::Graph& graph, const ivado::nn::Weights& weights,
              const ivado::Shape& shape, int threads) {
    std::string folder = (std::filesystem::temp_directory_path() / "ivado_bench_XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr)
      throw ivado::internal_error("making a temporary folder", "it cannot be made");
    folder_ = folder;
    ivado::write_onnx(folder + "/m.onnx", graph, weights);
    const std::string lines = folder + "/lines";
    if (::mkfifo(lines.c_str(), 0600) != 0) throw ivado::internal_error("making " + lines, "it cannot be made");
    std::string extents;
    for (const auto extent : shape) extents += (extents.empty() ? "" : "x") + std::to_string(extent);
    const std::string command = "node '" IVADO_SOURCE_DIR "/bench/onnx_runtime.cjs' '" + modules + "' '" + folder +
                                "/m.onnx' " + std::to_string(threads) + " " + extents + " < '" + lines + "'";
    answers_ = ::popen(command.c_str(), "r");
    asks_ = std::fopen(lines.c_str(), "we");  // not held open by the processes started later: it would never end
    std::array<char, 16> ready{};
    if (answers_ == nullptr || asks_ == nullptr || std::fgets(ready.data(), ready.size(), answers_) == nullptr)
      throw ivado::internal_error("starting ONNX Runtime with " + command, "it does not answer");
  }
  OnnxRuntime(const OnnxRuntime&) = delete;
  OnnxRuntime& operator=(const OnnxRuntime&) = delete;
  ~OnnxRuntime() {
    if (asks_ != nullptr) std::fclose(asks_);
    if (answers_ != nullptr) ::pclose(answers_);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  [[nodiscard]] double run() const {
    double seconds = 0;
    if (std::fputs("run\n", asks_) < 0 || std::fflush(asks_) != 0 || std::fscanf(answers_, "%lf", &seconds) != 1)
      throw ivado::internal_error("running ONNX Runtime", "it ended");
    return seconds;
  }

 private:
  std::string folder_;
  std::FILE* asks_ = nullptr;
  std::FILE* answers_ = nullptr;
};

/// A convolution 64→64, 3×3, on 18 slices of 128×128 in the layout that oneDNN likes best.
Contender lone_convolution(int threads) {
  using namespace ivado::engine;
  const ivado::Shape shape{18, 64, 128, 128};
  const ivado::ThreadScope scope(threads);
  const dnnl::memory::desc weights({64, 64, 3, 3}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);
  const auto made = describe_convolution<dnnl::convolution_forward>(describe_any(shape), weights, {},
                                                                    describe_any(shape), {2, 3, 1, 1}, {});
  std::unordered_map<int, dnnl::memory> given{{DNNL_ARG_SRC, {made.src_desc(), processor()}},
                                              {DNNL_ARG_WEIGHTS, {made.weights_desc(), processor()}},
                                              {DNNL_ARG_DST, {made.dst_desc(), processor()}}};
  for (auto& [name, memory] : given)
    std::fill_n(static_cast<float*>(memory.get_data_handle()), memory.get_desc().get_size() / sizeof(float), 0.01F);
  return {"a lone convolution of oneDNN", 18 * 128 * 128 * 2e-9 * 64 * 64 * 9,
          timed([primitive = dnnl::convolution_forward(made), given, threads] {
            const ivado::ThreadScope inner(threads);
            dnnl::stream stream(processor());
            primitive.execute(stream, given);
            stream.wait();
          })};
}

/// A model in LibTorch, as it comes and with channels last, and in the engine.
template <class Model>
void add(std::vector<Contender>& all, const std::string& what, const Model& model, const ivado::Shape& shape,
         int threads, std::vector<std::int64_t> at_once) {
  const double gflop = 1e-9 * static_cast<double>(ivado::graph::total_cost(ivado::graph::record(model, shape)).flops);
  auto net = std::make_shared<ivado::Net<Model>>(model, 1);
  net->train(false);
  auto image = std::make_shared<ivado::Array<float>>(shape);
  const at::Tensor tensor = ivado::tensor_view(*image);
  at::manual_seed(1);
  tensor.normal_();
  const auto torch = [&](const std::string& name, const at::Tensor& input) {
    all.push_back({what + ", LibTorch" + name, gflop, timed([net, image, input] {
                     const c10::InferenceMode no_gradients;
                     (void)net->forward(input);
                   })});
  };
  torch("", tensor);
  if (shape.rank() == 4)
    torch(", channels last", at::cat({tensor, tensor}, 1).contiguous(at::MemoryFormat::ChannelsLast).narrow(1, 0, 1));
  const auto add_engine = [&](std::int64_t count, ivado::engine::Precision precision) {
    ivado::EngineOptions options;
    options.threads = threads;
    options.samples_at_once = count;
    options.precision = precision;
    const std::string title =
        "engine, " + std::to_string(count) + " at once" + (precision == ivado::engine::Precision::bf16 ? ", bf16" : "");
    auto engine = std::make_shared<ivado::Engine<Model>>(model, ivado::weights_of(*net), options);
    const auto output = engine->forward(*image);
    ivado::Array<float> copy = output.clone();
    const double difference = (ivado::tensor_view(copy) - net->forward(tensor)).abs().max().template item<double>();
    std::printf("%s, %s: differs from LibTorch by %.1e; %.0f MB of activations, %zu tasks\n", what.c_str(),
                title.c_str(), difference, 1e-6 * static_cast<double>(engine->network().plan(shape).bytes()),
                engine->network().plan(shape).lines().size());
    all.push_back({what + ", " + title, gflop, timed([engine, image] { (void)engine->forward(*image); })});
  };
  for (const auto count : at_once) add_engine(count, ivado::engine::Precision::float32);
  if (ivado::engine::has_bf16())
    for (const auto count : at_once) add_engine(count, ivado::engine::Precision::bf16);
  if (const char* modules = std::getenv("IVADO_ONNXRUNTIME_NODE")) {
    auto runtime = std::make_shared<OnnxRuntime>(modules, ivado::graph::record(model, shape), ivado::weights_of(*net),
                                                 shape, threads);
    all.push_back({what + ", ONNX Runtime", gflop, [runtime] { return runtime->run(); }});
  }
}

}  // namespace

int main(int argc, char** argv) {
  ivado::RuntimeOptions options;
  if (argc > 1) options.threads = std::atoi(argv[1]);
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 7;
  if (rounds < 1) return std::fputs("usage: bench_engine [threads] [rounds]\n", stderr), 2;
  const ivado::Runtime runtime = ivado::start_runtime(options);
  const c10::InferenceMode no_gradients;
  std::printf("%d threads, oneDNN %d.%d.%d, vectors of %d\n", runtime.threads, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR,
              DNNL_VERSION_PATCH, static_cast<int>(ivado::engine::native_block()));
  if (std::getenv("IVADO_ONNXRUNTIME_NODE") == nullptr)
    std::puts("ONNX Runtime is left out: IVADO_ONNXRUNTIME_NODE names no folder");
  std::vector<Contender> all{lone_convolution(runtime.threads)};
  add(all, "U-Net, 18 slices", ivado::Unet<2>(), {18, 1, 128, 128}, runtime.threads, {1, 4, 18});
  add(all, "U-Net, one slice", ivado::Unet<2>(), {1, 1, 128, 128}, runtime.threads, {1});
  add(all, "Modified3DUNet, 64³", ivado::Modified3DUNet<>(), {1, 1, 64, 64, 64}, runtime.threads, {1});
  for (int round = 0; round <= rounds; ++round)  // the first one warms up
    for (auto& one : all) {
      const double seconds = one.run();
      if (round > 0) one.seconds.push_back(seconds);
    }
  const double lone = all.front().gflop / median(all.front().seconds);
  std::printf("%-44s %10s %10s %10s %8s\n", "", "median s", "least s", "GFLOP/s", "of lone");
  for (const auto& one : all) {
    const double seconds = median(one.seconds);
    std::printf("%-44s %10.4f %10.4f %10.1f %7.0f%%\n", one.name.c_str(), seconds,
                *std::min_element(one.seconds.begin(), one.seconds.end()), one.gflop / seconds,
                100 * one.gflop / seconds / lone);
  }
}
