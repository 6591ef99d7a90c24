// A network of one's own: any torch::nn::Module with `at::Tensor forward(at::Tensor)` is a Model of a Pipeline. It trains,
// tests and segments like ivado's own; without a recorded graph it has no ONNX file and no `summary`.
//
//   own_module -pd DATA -po RESULTS --train
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <ivado/ivado.hpp>

/// A small fully convolutional network: three dilated convolutions and a sigmoid. Input [N, 1, H, W], output the same.
struct DilatedNet : torch::nn::Module {
  // What the pipeline asks of a model at compile time.
  static constexpr int dimension = 2;
  static constexpr int in_channels = 1;
  static constexpr int classes = 1;
  static constexpr ivado::TaskSet tasks = ivado::Task::segmentation;

  DilatedNet() {
    for (int i = 0; i < 3; ++i) {
      const int dilation = 1 << i;
      convolutions.push_back(register_module(
          "convolution" + std::to_string(i),
          torch::nn::Conv2d(
              torch::nn::Conv2dOptions(i == 0 ? 1 : 16, 16, 3).padding(dilation).dilation(dilation).bias(false))));
      norms.push_back(register_module("norm" + std::to_string(i), torch::nn::BatchNorm2d(16)));
    }
    last = register_module("last", torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 1, 1)));
  }
  at::Tensor forward(at::Tensor x) {
    for (std::size_t i = 0; i < convolutions.size(); ++i) x = at::relu(norms[i](convolutions[i](x)));
    return at::sigmoid(last(x));
  }

  std::vector<torch::nn::Conv2d> convolutions;
  std::vector<torch::nn::BatchNorm2d> norms;
  torch::nn::Conv2d last{nullptr};
};

using Experiment = ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>,
                                   ivado::Compose<ivado::Resample, ivado::CenterCrop, ivado::NormalizeInstance>,
                                   DilatedNet, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

int main(int argc, char** argv) { return ivado::main<Experiment>(argc, argv); }
