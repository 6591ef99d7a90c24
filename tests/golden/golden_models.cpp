// Reference values of models: outputs, losses, gradients, buffers, steps of Adam and learning rates.
#include <ATen/ATen.h>
#include <torch/optim/adam.h>

#include <cstdint>
#include <fstream>
#include <ivado/loss/loss.hpp>
#include <ivado/model/net.hpp>
#include <ivado/model/unet.hpp>
#include <ivado/train/scheduler.hpp>

#include "golden.hpp"

namespace golden {
namespace {

using ivado::Json;

/// The uniform number of the reference's closed-form weights for element i of entry k.
double closed_form_uniform(std::uint64_t k, std::uint64_t i) {
  std::uint64_t z = ((k + 1) << 32) + i;
  z += 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) / 16777216.0;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Gives a tensor of a network its closed-form values; `k` is its number in the state dictionary of the reference.
void fill(const at::Tensor& tensor, const std::string& name, std::uint64_t k) {
  if (ends_with(name, "num_batches_tracked")) {
    tensor.zero_();
    return;
  }
  const double scale =
      tensor.dim() < 2 ? 0
                       : std::sqrt(6.0 / (static_cast<double>(tensor.numel()) / static_cast<double>(tensor.size(0))));
  at::Tensor values = at::empty(tensor.sizes(), at::kFloat);
  auto* out = values.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const double u = closed_form_uniform(k, static_cast<std::uint64_t>(i));
    const double s = 2 * u - 1;
    double value = scale * s;
    if (ends_with(name, "running_var"))
      value = 1 + 0.2 * u;
    else if (ends_with(name, "running_mean") || ends_with(name, "bias"))
      value = 0.1 * s;
    else if (tensor.dim() == 1)
      value = 1 + 0.1 * s;
    out[i] = static_cast<float>(value);
  }
  tensor.detach().copy_(values);
}

template <class Net>
void fill_all(Net& net, const Json& state) {
  std::map<std::string, std::uint64_t> place;
  for (std::size_t k = 0; k < state.size(); ++k) place[state[k][0].get<std::string>()] = k;
  const auto names = net.names();
  const auto tensors = net.tensors();
  for (std::size_t i = 0; i < names.size(); ++i) fill(tensors[i], names[i], place.at(names[i]));
}

at::Tensor to_tensor(const Tensor& stored) {
  std::vector<std::int64_t> shape(stored.values.shape().begin(), stored.values.shape().end());
  return at::from_blob(const_cast<double*>(stored.values.data()), shape, at::kDouble).to(at::kFloat);
}

ivado::Array<double> to_array(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().to(at::kDouble).contiguous();
  ivado::Shape shape;
  for (const auto extent : dense.sizes()) shape.push_back(extent);
  ivado::Array<double> out(shape);
  std::copy_n(dense.data_ptr<double>(), dense.numel(), out.data());
  return out;
}

/// A Unet of the reference: constructor arguments to ivado's type and parameters.
template <int Dim>
ivado::Net<ivado::Unet<Dim, ivado::dynamic, ivado::dynamic, ivado::dynamic>> make_unet(const Json& p,
                                                                                       bool without_dropout) {
  using Model = ivado::Unet<Dim, ivado::dynamic, ivado::dynamic, ivado::dynamic>;
  typename Model::Params params;
  params.as_ivadomed = true;
  params.n_filters = p.value("n_filters", 64);
  params.bn_momentum = p.value("bn_momentum", 0.1);
  if (p.contains("final_activation"))
    params.final_activation = ivado::from_json<ivado::FinalActivation>(p["final_activation"], "final_activation");
  if (without_dropout) params.dropout_rate = 0;
  const int out = p.value("out_channel", 1);
  params.background = out > 1;
  return ivado::Net<Model>(Model(params, {p.value("in_channel", 1), out > 1 ? out - 1 : 1, p.value("depth", 3)}));
}

template <class Make>
void check_model(const std::string& name, const Json& entry, const Json& precision, const Tensors& tensors,
                 Report& report, const Make& make) {
  const at::Tensor input = to_tensor(tensors.at("input"));
  const auto allowed = [&](const char* key, double floor) { return std::max(3 * precision.value(key, 0.0), floor); };
  {
    auto net = make(false);
    fill_all(net, entry["state_dict"]);
    net.train(false);
    report.check(name + " eval_output",
                 largest_difference(to_array(net.forward(input)), tensors.at("eval_output").values),
                 allowed("eval_output_abs", 1e-6));
    const auto graph = ivado::graph::record(net.model(), [&] {
      ivado::Shape shape;
      for (const auto extent : input.sizes()) shape.push_back(extent);
      return shape;
    }());
    std::vector<at::Tensor> state = net.tensors();
    ivado::nn::TorchInterpreter on(state, false);
    report.check(name + " recorded graph",
                 largest_difference(to_array(ivado::graph::run(graph, on, std::span<const at::Tensor>(&input, 1))),
                                    tensors.at("eval_output").values),
                 allowed("eval_output_abs", 1e-6));
  }
  {
    // In float32, as it is used. Rounding depends on the BLAS, its kernels and the threads, and batch norm over few
    // values enlarges it: three times the tolerance of the strict check below.
    auto net = make(true);
    fill_all(net, entry["state_dict"]);
    net.train(true);
    report.check(name + " train_output float32",
                 largest_difference(to_array(net.forward(input)), tensors.at("train_output").values),
                 3 * allowed("train_output_abs", 1e-6));
  }
  // In float64, from which the differences in precision.json were measured: in float32 a rounding error that turns the
  // sign of one activation changes small gradients by a third (unet_d3_in3_odd does so with some kernels of OpenBLAS).
  auto net = make(true);
  fill_all(net, entry["state_dict"]);
  for (at::Tensor tensor : net.tensors())
    if (tensor.is_floating_point()) tensor.set_data(tensor.detach().to(at::kDouble));
  net.train(true);
  const at::Tensor output = net.forward(input.to(at::kDouble));
  report.check(name + " train_output", largest_difference(to_array(output), tensors.at("train_output").values),
               allowed("train_output_abs", 1e-6));
  const at::Tensor loss = ivado::DiceLoss()(output, to_tensor(tensors.at("target")).to(at::kDouble));
  const double expected_loss = tensors.at("train_loss").values[0];
  report.check(name + " train_loss", std::abs(loss.template item<double>() - expected_loss) / std::abs(expected_loss),
               allowed("loss_rel", 1e-5));
  loss.backward();
  std::map<std::string, at::Tensor> by_name;
  const auto names = net.names();
  const auto state = net.tensors();
  for (std::size_t i = 0; i < names.size(); ++i) by_name[names[i]] = state[i];
  const auto& norms = tensors.at("grad_norm").values;
  const double largest = *std::max_element(norms.begin(), norms.end());
  double norm_difference = 0;
  double element_difference = 0;
  for (std::size_t i = 0; i < entry["grad_order"].size(); ++i) {
    const auto& tensor = by_name.at(entry["grad_order"][i].template get<std::string>());
    const at::Tensor gradient =
        tensor.grad().defined() ? tensor.grad().to(at::kDouble).contiguous() : at::zeros_like(tensor, at::kDouble);
    const double reference = norms[static_cast<std::int64_t>(i)];
    const double scale = std::max(reference, 0.001 * largest);
    norm_difference = std::max(norm_difference, std::abs(gradient.norm().template item<double>() - reference) / scale);
    for (std::int64_t j = 0; j < std::min<std::int64_t>(4, gradient.numel()); ++j)
      element_difference = std::max(element_difference,
                                    std::abs(gradient.data_ptr<double>()[j] -
                                             tensors.at("grad_first4").values[static_cast<std::int64_t>(i) * 4 + j]) /
                                        scale);
  }
  report.check(name + " grad_norm", norm_difference, allowed("grad_norm_rel", 1e-4));
  report.check(name + " grad_first4", element_difference, allowed("grad_norm_rel", 1e-4));
  if (entry["buffer_order"].empty()) return;
  double buffer_difference = 0;
  for (std::size_t i = 0; i < entry["buffer_order"].size(); ++i) {
    const double expected = tensors.at("buffer_sum_after_train").values[static_cast<std::int64_t>(i)];
    const double found = by_name.at(entry["buffer_order"][i].template get<std::string>()).sum().template item<double>();
    buffer_difference = std::max(buffer_difference, std::abs(found - expected) / std::max(1.0, std::abs(expected)));
  }
  report.check(name + " buffers", buffer_difference, 1e-5);
}

void optimiser_steps(const std::filesystem::path& dir, Report& report) {
  const Json cases = ivado::read_json((dir / "optim_steps.json").string());
  const Tensors tensors = load_tensors(dir / "optim_steps.pt");
  for (const auto& [name, entry] : cases.items()) {
    if (entry["model"] != "Unet") {
      report.skip("optim_steps " + name, entry["model"].get<std::string>() + " does not exist yet");
      continue;
    }
    auto net = make_unet<2>(entry["params"], true);
    Json state = Json::array();
    for (const auto& one : net.names()) state.push_back({one});
    fill_all(net, state);
    const ivado::CosineAnnealing scheduler({}, entry["initial_lr"].get<double>(), entry["T_max"].get<int>());
    torch::optim::Adam adam(net.trained(), torch::optim::AdamOptions(entry["initial_lr"].get<double>()));
    const at::Tensor input = to_tensor(tensors.at(name + ".input"));
    const at::Tensor target = to_tensor(tensors.at(name + ".target"));
    const auto& losses = tensors.at(name + ".losses").values;
    double loss_difference = 0;
    double rate_difference = 0;
    for (std::int64_t step = 0; step < losses.size(); ++step) {
      const double rate = scheduler.learning_rate({step, 0, 1});
      rate_difference = std::max(
          rate_difference, std::abs(rate - tensors.at(name + ".lr").values[step]) / entry["initial_lr"].get<double>());
      static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options()).lr(rate);
      const at::Tensor loss = ivado::DiceLoss()(net.forward(input), target);
      loss_difference =
          std::max(loss_difference, std::abs(loss.item<double>() - losses[step]) / std::abs(losses[step]));
      adam.zero_grad();
      loss.backward();
      adam.step();
    }
    net.train(false);
    report.check("optim_steps " + name + " losses", loss_difference, 1e-4);
    report.check("optim_steps " + name + " learning rate", rate_difference, 1e-9);
    report.check("optim_steps " + name + " final output",
                 largest_difference(to_array(net.forward(input)), tensors.at(name + ".final_eval_output").values),
                 1e-3);
  }
}

void learning_rates(const std::filesystem::path& dir, Report& report) {
  const Json cases = ivado::read_json((dir / "schedulers.json").string());
  std::size_t number = 0;
  for (const auto& entry : cases) {
    const std::string name = "schedulers " + std::to_string(number++);
    if (entry["name"] != "CosineAnnealingLR") {
      report.skip(name, entry["name"].get<std::string>() + " does not exist yet");
      continue;
    }
    const Json& rates = entry["lr"];
    const ivado::CosineAnnealing scheduler({}, entry["initial_lr"].get<double>(), entry["num_epochs"].get<int>());
    double difference = 0;
    for (std::size_t i = 0; i < rates.size(); ++i)
      difference = std::max(
          difference, std::abs(scheduler.learning_rate({static_cast<std::int64_t>(i), 0, 1}) - rates[i].get<double>()));
    report.check(name, difference, 1e-9);
  }
}

}  // namespace

void models(const std::filesystem::path& dir, Report& report) {
  const auto folder = dir / "models";
  const Json index = ivado::read_json((folder / "index.json").string());
  const Json precision = ivado::read_json((folder / "precision.json").string());
  for (const auto& [name, entry] : index.items()) {
    if (entry["model"] != "Unet") {
      report.skip("models " + name, entry["model"].get<std::string>() + " does not exist yet");
      continue;
    }
    const Tensors tensors = load_tensors(folder / (name + ".pt"));
    const Json& params = entry["params"];
    const Json& differences = precision.contains(name) ? precision[name] : Json::object();
    if (params.value("is_2d", true))
      check_model("models " + name, entry, differences, tensors, report,
                  [&](bool plain) { return make_unet<2>(params, plain); });
    else
      check_model("models " + name, entry, differences, tensors, report,
                  [&](bool plain) { return make_unet<3>(params, plain); });
  }
  optimiser_steps(folder, report);
  learning_rates(folder, report);
}

void losses(const std::filesystem::path& dir, Report& report) {
  const Json pairs = ivado::read_json((dir / "losses.json").string());
  const Tensors tensors = load_tensors(dir / "losses.pt");
  for (const auto& entry : pairs) {
    const auto pair = entry["pair"].get<std::string>();
    for (const auto& one : entry["losses"]) {
      const auto loss_name = one["loss"].get<std::string>();
      const std::string name = "losses " + pair + " " + loss_name + " " + one["params"].dump();
      if (loss_name != "DiceLoss") {
        report.skip(name, loss_name + " does not exist yet");
        continue;
      }
      const ivado::DiceLoss loss(ivado::from_json<ivado::DiceLoss::Params>(one["params"], "loss"));
      at::Tensor prediction = to_tensor(tensors.at(pair + ".pred")).requires_grad_(true);
      const at::Tensor value = loss(prediction, to_tensor(tensors.at(pair + ".target")));
      const double expected = one["value"].is_number() ? one["value"].get<double>() : NAN;
      report.check(name, std::abs(value.item<double>() - expected), std::max(1e-6, 1e-5 * std::abs(expected)));
      if (!one.contains("grad") || !one["grad"].is_string()) continue;
      value.backward();
      const auto& gradient = tensors.at(one["grad"].get<std::string>()).values;
      double largest = 0;
      for (const double g : gradient) largest = std::max(largest, std::abs(g));
      report.check(name + " gradient", largest_difference(to_array(prediction.grad()), gradient),
                   1e-5 * largest + 1e-12);
    }
  }
}

}  // namespace golden
