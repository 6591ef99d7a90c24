// Reference values of models: outputs, losses, gradients, buffers, steps of Adam and learning rates.
#include <ATen/ATen.h>

#include <cstdint>
#include <fstream>
#include <ivado/loss/loss.hpp>
#include <ivado/model/any_model.hpp>
#include <ivado/model/net.hpp>
#include <ivado/train/optimizer.hpp>
#include <ivado/train/scheduler.hpp>
#include <type_traits>

#ifdef IVADO_WITH_ENGINE
#include <ivado/nn/onednn_backend.hpp>
#endif

#include "closed_form.hpp"
#include "golden.hpp"
#include "torch_golden.hpp"

namespace golden {
namespace {

using ivado::Json;

/// A model of the reference: its class and constructor arguments.
template <class Model, class Backend = ivado::LibTorchBackend>
ivado::Net<Model, Backend> make(const std::string& name, const Json& p, bool without_dropout) {
  ivado::ModelParameters section;
  section.name = name;
  section.is_2d = Model::dimension == 2;
  section.as_ivadomed = true;
  section.depth = p.value("depth", 3);
  if (p.contains("n_filters")) section.n_filters = p["n_filters"].get<int>();
  section.bn_momentum = p.value("bn_momentum", 0.1);
  section.final_activation.value = p.value("final_activation", "sigmoid");
  section.attention = p.value("attention", false);
  section.film_layers = p.value("film_layers", std::vector<int>());
  section.contrasts = p.value("contrasts", std::vector<std::string>());
  if (without_dropout) section.dropout_rate = 0;
  const int out = p.value("out_channel", 1);
  section.background = out > 1;
  const int in = section.contrasts.empty() ? p.value("in_channel", 1) : static_cast<int>(section.contrasts.size());
  return ivado::Net<Model, Backend>(
      ivado::make_model<Model>(section, {in, out > 1 ? out - 1 : 1, section.depth, p.value("n_metadata", 0)}));
}

/// What a case gives a model: image and condition.
struct Input {
  at::Tensor image;
  at::Tensor condition;
  [[nodiscard]] Input to_double() const {
    return {image.to(at::kDouble), condition.defined() ? condition.to(at::kDouble) : condition};
  }
};

Input input_of(const Json& entry, const Tensors& tensors) {
  Input input{to_tensor(tensors.at("input")), {}};
  std::vector<std::vector<float>> rows;
  if (entry.contains("context")) {
    rows = entry["context"].get<std::vector<std::vector<float>>>();
  } else if (entry.contains("mods")) {
    // The reference's arrays choose contrasts for each sample: by mask, or by a list of numbers in which one that
    // stands twice gives the same mean and variance as standing once alone.
    input.image = input.image.squeeze(2).transpose(0, 1).contiguous();
    for (const auto& chosen : entry["mods"]) {
      std::vector<float> row(static_cast<std::size_t>(input.image.size(1)), 0);
      for (std::size_t k = 0; k < chosen.size(); ++k)
        if (chosen[k].is_boolean())
          row[k] = chosen[k].get<bool>() ? 1.0F : 0.0F;
        else
          row[chosen[k].get<std::size_t>()] = 1;
      rows.push_back(row);
    }
  }
  if (rows.empty()) return input;
  input.condition = at::empty({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())});
  for (std::size_t n = 0; n < rows.size(); ++n)
    for (std::size_t k = 0; k < rows[n].size(); ++k)
      input.condition.data_ptr<float>()[n * rows[n].size() + k] = rows[n][k];
  return input;
}

template <class Net>
ivado::graph::Graph graph_of(const Net& net, const Input& input) {
  ivado::Shape shape;
  for (const auto extent : input.image.sizes()) shape.push_back(extent);
  return ivado::graph::record(net.model(), shape);
}

template <class Net>
at::Tensor run_graph(const Net& net, const ivado::graph::Graph& graph, const Input& input, bool training) {
  std::vector<at::Tensor> state = net.tensors();
  ivado::nn::TorchInterpreter on(state, training);
  const std::vector<at::Tensor> inputs{input.image, input.condition};
  return ivado::graph::run(graph, on, std::span<const at::Tensor>(inputs));
}

/// The graph up to the input of its softmax.
ivado::graph::Graph up_to_logits(ivado::graph::Graph graph) {
  for (const auto& node : graph.nodes)
    if (ivado::nn::op_name(node.op) == "softmax") graph.outputs = node.inputs;
  return graph;
}

template <class Net>
void compute_in_double(Net& net) {
  for (at::Tensor tensor : net.tensors())
    if (tensor.is_floating_point()) tensor.set_data(tensor.detach().to(at::kDouble));
}

template <class Make>
void check_model(const std::string& name, const Json& entry, const Json& precision, const Tensors& tensors,
                 Report& report, const Make& make) {
  const Input input = input_of(entry, tensors);
  const auto allowed = [&](const char* key, double floor) { return std::max(3 * precision.value(key, 0.0), floor); };
  {
    auto net = make(false);
    fill_all(net, entry["state_dict"]);
    net.train(false);
    report.check(
        name + " eval_output",
        largest_difference(to_array(net.forward(input.image, input.condition)), tensors.at("eval_output").values),
        allowed("eval_output_abs", 1e-6));
    const auto graph = graph_of(net, input);
    report.check(name + " recorded graph",
                 largest_difference(to_array(run_graph(net, graph, input, false)), tensors.at("eval_output").values),
                 allowed("eval_output_abs", 1e-6));
    if (tensors.contains("eval_logits")) {
      const auto& logits = tensors.at("eval_logits").values;
      double largest = 1;
      for (const double value : logits) largest = std::max(largest, std::abs(value));
      const double tolerance = largest * allowed("eval_output_abs", 1e-6);
      const auto difference = [&](const Input& from) {
        return largest_difference(to_array(run_graph(net, up_to_logits(graph), from, false)), logits);
      };
      report.check(name + " eval_logits float32", difference(input), 3 * tolerance);  // for its reason see below
      compute_in_double(net);
      report.check(name + " eval_logits", difference(input.to_double()), tolerance);
    }
    report.check(name + " n_parameters",
                 std::abs(static_cast<double>(net.model().parameters().trained_values()) -
                          entry["n_parameters"].template get<double>()),
                 0);
    std::size_t wrong = net.names().size() == entry["state_dict"].size() ? 0 : 1;
    for (std::size_t i = 0; wrong == 0 && i < net.names().size(); ++i)
      wrong +=
          net.names()[i] == entry["state_dict"][i][0].template get<std::string>() &&
                  net.tensors()[i].sizes().vec() == entry["state_dict"][i][1].template get<std::vector<std::int64_t>>()
              ? 0
              : 1;
    report.check(name + " names, order and shapes", static_cast<double>(wrong), 0);
  }
  {
    // In float32, as it is used. Rounding depends on the BLAS, its kernels and the threads, and batch norm over few
    // values enlarges it: three times the tolerance of the strict check below.
    auto net = make(true);
    fill_all(net, entry["state_dict"]);
    net.train(true);
    report.check(
        name + " train_output float32",
        largest_difference(to_array(net.forward(input.image, input.condition)), tensors.at("train_output").values),
        3 * allowed("train_output_abs", 1e-6));
  }
  // In float64, from which the differences in precision.json were measured: in float32 a rounding error that turns the
  // sign of one activation changes small gradients by a third (unet_d3_in3_odd does so with some kernels of OpenBLAS).
  auto net = make(true);
  fill_all(net, entry["state_dict"]);
  compute_in_double(net);
  net.train(true);
  const Input exact = input.to_double();
  const at::Tensor output = net.forward(exact.image, exact.condition);
  report.check(name + " train_output", largest_difference(to_array(output), tensors.at("train_output").values),
               allowed("train_output_abs", 1e-6));
  Json loss_section{{"name", entry["loss"]}};
  if (entry["loss"] == "L2loss") loss_section["as_ivadomed"] = true;  // the sum
  const at::Tensor loss =
      ivado::make_loss<ivado::AnyLoss>(loss_section)(output, to_tensor(tensors.at("target")).to(at::kDouble));
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

/// What a short training gave.
struct Steps {
  std::vector<double> losses;
  ivado::Array<double> final_output;
};

template <class Net>
Steps train(Net net, const Json& entry, const at::Tensor& input, const at::Tensor& target) {
  Json state = Json::array();
  for (const auto& one : net.names()) state.push_back({one});
  fill_all(net, state);
  const ivado::CosineAnnealing scheduler({}, entry["initial_lr"].get<double>(), entry["T_max"].get<int>());
  ivado::Adam adam({}, net.trained());
  Steps out;
  for (std::int64_t step = 0; step < entry["T_max"].get<std::int64_t>(); ++step) {
    const at::Tensor loss = ivado::DiceLoss()(net.forward(input), target);
    out.losses.push_back(loss.item<double>());
    adam.zero_gradients();
    loss.backward();
    adam.step(scheduler.learning_rate({step, 0, 1}));
  }
  net.train(false);
  out.final_output = to_array(net.forward(input));
  return out;
}

/// Six steps of Adam. Where a network amplifies rounding (m3d: instance norm over the two voxels of its lowest level) the
/// reference's float32 numbers are one of many: what differences of one part in ten millions in the input make of ours
/// says how far they can be trusted. The first loss has no such excuse.
template <class Make>
void steps_of_adam(const std::string& name, const Json& entry, const Tensors& tensors, Report& report,
                   const Make& make) {
  const at::Tensor input = to_tensor(tensors.at(name + ".input"));
  const at::Tensor target = to_tensor(tensors.at(name + ".target"));
  const auto& losses = tensors.at(name + ".losses").values;
  const auto& rates = tensors.at(name + ".lr").values;
  const Steps steps = train(make(), entry, input, target);
  std::vector<double> loss_spread(steps.losses.size(), 0);
  double output_spread = 0;
  for (int i = 1; i <= 8; ++i) {
    const Steps other = train(make(), entry, input * (1 + (i % 2 == 0 ? 1e-7 : -1e-7) * i), target);
    for (std::size_t step = 0; step < loss_spread.size(); ++step)
      loss_spread[step] = std::max(loss_spread[step], std::abs(other.losses[step] - steps.losses[step]));
    output_spread = std::max(output_spread, largest_difference(other.final_output, steps.final_output));
  }
  const ivado::CosineAnnealing scheduler({}, entry["initial_lr"].get<double>(), entry["T_max"].get<int>());
  for (std::int64_t step = 0; step < losses.size(); ++step) {
    const std::string which = "optim_steps " + name + " step " + std::to_string(step);
    const auto s = static_cast<std::size_t>(step);
    report.check(which + " learning rate",
                 std::abs(scheduler.learning_rate({step, 0, 1}) - rates[step]) / entry["initial_lr"].get<double>(),
                 1e-9);
    report.check(which + " loss", std::abs(steps.losses[s] - losses[step]) / std::abs(losses[step]),
                 step == 0 ? 1e-5 : std::max(1e-4, 3 * loss_spread[s] / std::abs(losses[step])));
  }
  report.check("optim_steps " + name + " final output",
               largest_difference(steps.final_output, tensors.at(name + ".final_eval_output").values),
               std::max(1e-3, 3 * output_spread));
}

void optimiser_steps(const std::filesystem::path& dir, Report& report) {
  const Json cases = ivado::read_json((dir / "optim_steps.json").string());
  const Tensors tensors = load_tensors(dir / "optim_steps.pt");
  for (const auto& [name, entry] : cases.items()) {
    const auto model = entry["model"].get<std::string>();
    if (model == "Modified3DUNet")
      steps_of_adam(name, entry, tensors, report,
                    [&] { return make<ivado::AnyModel3d>(model, entry["params"], true); });
    else
      steps_of_adam(name, entry, tensors, report, [&] { return make<ivado::AnyModel>(model, entry["params"], true); });
  }
}
void learning_rates(const std::filesystem::path& dir, Report& report) {
  const Json cases = ivado::read_json((dir / "schedulers.json").string());
  std::size_t number = 0;
  for (const auto& entry : cases) {
    const std::string name = "schedulers " + std::to_string(number++);
    Json section = entry["params"];
    section["name"] = entry["name"];
    const auto scheduler = ivado::make_scheduler<ivado::AnyScheduler>(section, entry["initial_lr"].get<double>(),
                                                                      entry["num_epochs"].get<int>());
    const Json& rates = entry["lr"];
    const bool by_batch = entry["step_per_batch"].get<bool>();
    double difference = 0;
    for (std::size_t i = 0; i < rates.size(); ++i) {
      const auto step = static_cast<std::int64_t>(i);
      const double rate =
          scheduler.learning_rate(by_batch ? ivado::Progress{step / 7, step % 7, 7} : ivado::Progress{step, 0, 1});
      difference = std::max(difference, std::abs(rate - rates[i].get<double>()));
    }
    report.check(name, difference, 1e-9);
  }
}

/// Every model, computed by a backend.
template <class Backend>
void models_on(const std::string& title, const std::filesystem::path& folder, Report& report) {
  const Json index = ivado::read_json((folder / "index.json").string());
  const Json precision = ivado::read_json((folder / "precision.json").string());
  for (const auto& [name, entry] : index.items()) {
    const Tensors tensors = load_tensors(folder / (name + ".pt"));
    const Json differences = precision.contains(name) ? precision[name] : Json::object();
    const auto model = entry["model"].template get<std::string>();
    const Json& params = entry["params"];
    const auto check = [&]<class Model>(std::type_identity<Model>) {
      check_model(title + name, entry, differences, tensors, report,
                  [&](bool plain) { return make<Model, Backend>(model, params, plain); });
    };
    if (model == "Modified3DUNet" || !params.value("is_2d", true))
      check(std::type_identity<ivado::AnyModel3d>{});
    else
      check(std::type_identity<ivado::AnyModel>{});
  }
}

}  // namespace

void models(const std::filesystem::path& dir, Report& report) {
  const auto folder = dir / "models";
  models_on<ivado::LibTorchBackend>("models ", folder, report);
#ifdef IVADO_WITH_ENGINE
  models_on<ivado::OneDnnBackend>("models with oneDNN ", folder, report);
#endif
  optimiser_steps(folder, report);
  learning_rates(folder, report);
}

}  // namespace golden
