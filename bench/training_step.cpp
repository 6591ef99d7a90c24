// A training step of each model as ivado makes it, beside plain LibTorch layers and beside LibTorch with its memory kept
// and channels last; with one thread and with two, and in bf16 where the processor has it.
//
//   bench_training_step [--threads N] [--rounds N] [--steps N] [--models unet,film,unet3d,resnet,densenet]
//
// Settings of the allocator hold for a process, so each measurement is a process of its own, which this program starts.
// They take turns in each round, so that a machine whose speed drifts treats them alike; medians are printed, and as JSON
// on the last line. The plain layers run as LibTorch comes: default allocator, channels first, reference kernels of its
// own choice.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <ivado/config/json.hpp>
#include <ivado/error.hpp>
#include <ivado/loss/binary_cross_entropy_loss.hpp>
#include <ivado/loss/dice_loss.hpp>
#include <ivado/model/densenet.hpp>
#include <ivado/model/filmed_unet.hpp>
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/resnet.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/nn/onednn_backend.hpp>
#include <ivado/runtime.hpp>
#include <ivado/train/optimizer.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "median.hpp"

namespace {

using ivado::Json;

enum class Variant { plain, kept, ivado, bf16 };
constexpr std::array variants{
    std::pair{std::string_view{"plain"}, Variant::plain}, std::pair{std::string_view{"kept"}, Variant::kept},
    std::pair{std::string_view{"ivado"}, Variant::ivado}, std::pair{std::string_view{"bf16"}, Variant::bf16}};
constexpr std::array titles{std::pair{std::string_view{"unet"}, "Unet, 64 filters, 18×1×128×128"},
                            std::pair{std::string_view{"film"}, "FiLMedUnet, 64 filters, 18×1×128×128"},
                            std::pair{std::string_view{"unet3d"}, "Modified3DUNet, 8 filters, 1×1×64×64×64"},
                            std::pair{std::string_view{"resnet"}, "ResNet18, 16×1×128×128"},
                            std::pair{std::string_view{"densenet"}, "DenseNet121, 16×1×128×128"}};

/// Trains for so many steps behind one that warms up. @return seconds of each
template <class Backend, class Loss, ivado::Architecture Model>
std::vector<double> train(const Model& model, const std::vector<std::int64_t>& extents, const at::Tensor& condition,
                          int steps, Variant variant) {
  ivado::Net<Model, Backend> net(model, 1);
  if (variant == Variant::bf16) net.convolve_in(at::kBFloat16);
  at::manual_seed(1);
  at::Tensor image = at::randn(extents);
  const bool is_flat = image.dim() == 4;
  if (variant == Variant::kept && is_flat) {
    // A tensor of one channel has both layouts at once; LibTorch follows that of the weights then.
    image = image.contiguous(at::MemoryFormat::ChannelsLast);
    for (const at::Tensor& tensor : net.tensors())
      if (tensor.dim() == 4) tensor.set_data(tensor.detach().contiguous(at::MemoryFormat::ChannelsLast));
  }
  at::Tensor label;
  ivado::Adam adam({}, net.trained());
  std::vector<double> seconds;
  for (int step = 0; step <= steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    const at::Tensor output = net.forward(image, condition, {1, 1, static_cast<std::uint32_t>(step), 0});
    if (!label.defined()) label = (at::rand(output.sizes()) > 0.7).to(at::kFloat);
    const at::Tensor loss = Loss()(output, label);
    adam.zero_gradients();
    loss.backward();
    adam.step(1e-3);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (step > 0) seconds.push_back(took.count());
  }
  return seconds;
}

template <class Backend>
std::vector<double> measure(std::string_view model, int steps, Variant variant) {
  using namespace ivado;
  UnetParams params;
  params.dropout_rate = 0.3;
  if (model == "unet") return train<Backend, DiceLoss>(Unet<2>(params), {18, 1, 128, 128}, {}, steps, variant);
  if (model == "film") {
    FiLMedUnet<2>::Params film;
    film.dropout_rate = 0.3;
    film.film_layers = std::vector<int>(2 * 3 + 2, 1);
    at::Tensor condition = at::zeros({18, 3});
    for (int n = 0; n < 18; ++n) condition[n][n % 3] = 1;
    return train<Backend, DiceLoss>(FiLMedUnet<2>(film, {1, 1, 3, 3}), {18, 1, 128, 128}, condition, steps, variant);
  }
  if (model == "unet3d") {
    Modified3DUNet<>::Params volumes;
    volumes.n_filters = 8;
    return train<Backend, DiceLoss>(Modified3DUNet<>(volumes), {1, 1, 64, 64, 64}, {}, steps, variant);
  }
  if (model == "resnet")
    return train<Backend, BinaryCrossEntropyLoss>(ResNet<18>(), {16, 1, 128, 128}, {}, steps, variant);
  if (model == "densenet")
    return train<Backend, BinaryCrossEntropyLoss>(DenseNet<121>(), {16, 1, 128, 128}, {}, steps, variant);
  throw usage_error("measuring a training step", "there is no model \"" + std::string(model) + "\"",
                    "take unet, film, unet3d, resnet or densenet");
}

/// One measurement, in this process: prints the seconds of each step.
void work(std::string_view model, std::string_view name, int threads, int steps) {
  const auto* const found =
      std::find_if(variants.begin(), variants.end(), [&](const auto& one) { return one.first == name; });
  if (found == variants.end()) throw ivado::usage_error("measuring a training step", "no such variant");
  ivado::RuntimeOptions options;
  options.threads = threads;
  options.keep_memory = found->second != Variant::plain;
  (void)ivado::start_runtime(options);
  const bool is_ours = found->second == Variant::ivado || found->second == Variant::bf16;
  const auto seconds = is_ours ? measure<ivado::OneDnnBackend>(model, steps, found->second)
                               : measure<ivado::LibTorchBackend>(model, steps, found->second);
  for (const double one : seconds) std::printf("%.6f\n", one);
}

/// The same in a process of its own.
std::vector<double> run(const std::string& program, const std::string& model, std::string_view variant, int threads,
                        int steps) {
  const std::string command = "'" + program + "' --worker " + model + " " + std::string(variant) + " " +
                              std::to_string(threads) + " " + std::to_string(steps);
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw ivado::internal_error("starting " + command, "it cannot be started");
  std::vector<double> seconds;
  for (double one = 0; std::fscanf(pipe, "%lf", &one) == 1;) seconds.push_back(one);
  if (::pclose(pipe) != 0 || seconds.empty()) throw ivado::internal_error("running " + command, "it failed");
  return seconds;
}

int number(const std::string& text) { return std::max(1, std::atoi(text.c_str())); }

struct Column {
  std::string_view variant;
  int threads;
  std::vector<double> seconds{};
};

void bench(const std::vector<std::string>& arguments) {
  int threads = 2;
  int rounds = 3;
  int steps = 2;
  std::string models = "unet,film,unet3d,resnet,densenet";
  for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const auto& [key, value] = std::pair{arguments[i], arguments[i + 1]};
    if (key == "--threads")
      threads = number(value);
    else if (key == "--rounds")
      rounds = number(value);
    else if (key == "--steps")
      steps = number(value);
    else if (key == "--models")
      models = value;
    else
      throw ivado::usage_error("reading the command line", "there is no option " + key,
                               "see the head of bench/training_step.cpp");
  }
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  std::printf("seconds of a training step (forward, loss, gradients, Adam), %d threads, medians of %d × %d\n", threads,
              rounds, steps);
  std::printf("%-42s %9s %9s %9s %9s %8s %8s %8s %9s %8s %8s\n", "", "plain", "kept", "ivado", "1 thread", "of plain",
              "of kept", "threads", "bf16", "of plain", "of ivado");
  Json all = Json::array();
  for (const auto& [model, title] : titles) {
    if (("," + models + ",").find("," + std::string(model) + ",") == std::string::npos) continue;
    std::vector<Column> columns;
    const bool has_bf16 = ivado::engine::has_bf16();
    for (const auto& variant : variants)
      if (variant.second != Variant::bf16) columns.push_back({variant.first, threads});
    columns.push_back({"ivado", 1});
    if (has_bf16) columns.push_back({"bf16", threads});
    for (int round = 0; round < rounds; ++round)
      for (auto& column : columns) {
        const auto more = run(program, std::string(model), column.variant, column.threads, steps);
        column.seconds.insert(column.seconds.end(), more.begin(), more.end());
      }
    std::array<double, 5> s{};
    std::transform(columns.begin(), columns.end(), s.begin(), [](const Column& one) { return median(one.seconds); });
    std::printf("%-42s %9.3f %9.3f %9.3f %9.3f %7.2fx %7.2fx %7.2fx", title, s[0], s[1], s[2], s[3], s[0] / s[2],
                s[1] / s[2], s[3] / s[2]);
    if (has_bf16)
      std::printf(" %9.3f %7.2fx %7.2fx\n", s[4], s[0] / s[4], s[2] / s[4]);
    else
      std::puts(" not on this processor");
    std::fflush(stdout);
    all.push_back({{"model", title},
                   {"plain_s", s[0]},
                   {"kept_channels_last_s", s[1]},
                   {"ivado_s", s[2]},
                   {"ivado_1_thread_s", s[3]},
                   {"plain_over_ivado", s[0] / s[2]},
                   {"kept_over_ivado", s[1] / s[2]},
                   {"one_thread_over_all", s[3] / s[2]},
                   {"ivado_bf16_s", has_bf16 ? Json(s[4]) : Json()}});
  }
  std::printf(
      "%s\n",
      Json{{"bench", "training_step"}, {"threads", threads}, {"rounds", rounds}, {"models", all}}.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 5 && arguments[0] == "--worker")
      work(arguments[1], arguments[2], number(arguments[3]), number(arguments[4]));
    else
      bench(arguments);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "bench_training_step: %s\n", error.what()), 2;
  }
}
