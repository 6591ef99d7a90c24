// Reference values of losses: the number and its gradient with respect to the prediction.
#include <algorithm>
#include <cmath>
#include <ivado/loss/loss.hpp>
#include <limits>
#include <string>

#include "golden.hpp"
#include "torch_golden.hpp"

namespace golden {
namespace {

using ivado::Json;

/// The parameters of a loss with ivadomed's number asked for, where ivado has another.
Json as_ivadomed(const std::string& loss, Json params) {
  if (loss == "LossCombination") {
    const Json losses = params["losses_list"];
    if (!params.contains("params_list")) params["params_list"] = Json(losses.size(), nullptr);
    for (std::size_t i = 0; i < losses.size(); ++i) {
      Json& one = params["params_list"][i];
      one = as_ivadomed(losses[i].get<std::string>(), one.is_null() ? Json::object() : one);
    }
  }
  for (const char* departs : {"FocalLoss", "GeneralizedDiceLoss", "FocalTverskyLoss", "L2loss", "AdapWingLoss"})
    if (loss == departs) params["as_ivadomed"] = true;
  return params;
}

/// A number of the reference; JSON has no NaN nor infinity.
double number(const Json& json) {
  if (json.is_number()) return json.get<double>();
  const auto text = json.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  return text == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

/// 0 where both are NaN or the same infinity.
double difference(double found, double expected) {
  if (std::isnan(found) && std::isnan(expected)) return 0;
  return found == expected ? 0 : std::abs(found - expected);
}

}  // namespace

void losses(const std::filesystem::path& dir, Report& report) {
  const Json pairs = ivado::read_json((dir / "losses.json").string());
  const Tensors tensors = load_tensors(dir / "losses.pt");
  for (const auto& entry : pairs) {
    const auto pair = entry["pair"].get<std::string>();
    const Tensor& truth = tensors.at(pair + ".target");
    const at::Tensor target = to_tensor(truth).to(truth.dtype == "uint8" ? at::kByte : at::kFloat);
    for (const auto& one : entry["losses"]) {
      const auto loss_name = one["loss"].get<std::string>();
      const std::string name = "losses " + pair + " " + loss_name + " " + one["params"].dump();
      Json section = as_ivadomed(loss_name, one["params"]);
      section["name"] = loss_name;
      const auto loss = ivado::make_loss<ivado::AnyLoss>(section);
      at::Tensor prediction = to_tensor(tensors.at(pair + ".pred")).requires_grad_(true);
      const at::Tensor value = loss(prediction, target);
      const double expected = number(one["value"]);
      report.check(name, difference(value.item<double>(), expected), std::max(1e-6, 1e-5 * std::abs(expected)));
      value.backward();
      const auto& gradient = tensors.at(one["grad"].get<std::string>()).values;
      double largest = 0;
      for (const double g : gradient)
        if (std::isfinite(g)) largest = std::max(largest, std::abs(g));
      report.check(name + " gradient", largest_difference(to_array(prediction.grad()), gradient),
                   1e-5 * largest + 1e-12);
    }
  }
}

}  // namespace golden
