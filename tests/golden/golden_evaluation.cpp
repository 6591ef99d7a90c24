// The area "evaluation3d" of the reference values: the columns of evaluation_3Dmetrics.csv, and the painted volume.
#include <algorithm>
#include <cmath>
#include <ivado/config/json.hpp>
#include <ivado/metric/evaluation.hpp>
#include <limits>
#include <string>
#include <utility>

#include "golden.hpp"

namespace golden {
namespace {

double number(const ivado::Json& json) {
  return json.is_number() ? json.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

/// (x, y, z[, class]) as ivado has it: [class, x, y, z].
ivado::Array<float> class_first(const Tensor& tensor) {
  ivado::Array<float> values = to_float(tensor);
  ivado::Shape shape = values.shape();
  if (shape.rank() == 3) shape.push_back(1);
  values = std::move(values).reshaped(shape);
  return ivado::Array<float>::from(std::as_const(values).view().permute({3, 0, 1, 2}));
}

/// A column of the reference in a row. Its n of a range of sizes has no class: it is that of the last class evaluated
/// for the range, which are all from the first one on that has an object of the truth in it.
double value_of(const ivado::EvaluationRow& row, const std::string& column) {
  const auto place = column.rfind("_class");
  if (place == std::string::npos) return row.classes.back().value(column);
  return row.classes.at(std::stoul(column.substr(place + 6))).value(column.substr(0, place));
}

double relative_difference(double found, double expected) {
  if (found == expected || (std::isnan(found) && std::isnan(expected))) return 0;
  const double difference = std::abs(found - expected) / std::max(1.0, std::abs(expected));
  return std::isnan(difference) ? INFINITY : difference;
}

/// The painted volume, exactly. But where ranges of sizes were given, the reference has painted missed objects once
/// more over predicted ones; ivado leaves the prediction on top, so there alone the colours may differ.
void check_painted(const std::string& name, const ivado::Array<float>& expected, const ivado::Prediction& prediction,
                   const ivado::Array<float>& truth, const ivado::EvaluationParameters& params, Report& report) {
  const ivado::Array<std::uint8_t> painted = ivado::paint_objects(prediction, truth.view(), params);
  if (!(painted.shape() == expected.shape()))
    return report.fail(name, "shape " + painted.shape().text() + ", expected " + expected.shape().text());
  const bool by_size = !params.target_size.thr.values.empty();
  double largest = 0;
  for (std::int64_t i = 0; i < painted.size(); ++i) {
    const bool covered = by_size && expected[i] == static_cast<float>(ivado::false_negative_object) &&
                         prediction.voxels[i] != 0 && truth[i] != 0 && painted[i] != ivado::no_object;
    if (!covered) largest = std::max(largest, std::abs(static_cast<double>(painted[i]) - expected[i]));
  }
  report.check(name, largest, 0);
}

}  // namespace

void evaluation(const std::filesystem::path& dir, Report& report) {
  const ivado::Json cases = ivado::read_json((dir / "evaluation3d.json").string());
  const Tensors tensors = load_tensors(dir / "evaluation3d.pt");
  for (const auto& one : cases) {
    const auto id = one.at("case").get<std::string>();
    ivado::Prediction prediction{class_first(tensors.at(id + ".pred")), {1, 1, 1}, false};
    for (std::size_t a = 0; a < 3; ++a) prediction.spacing_mm[a] = one.at("dim_lst")[a].get<double>();
    const ivado::Array<float> truth = class_first(tensors.at(id + ".gt"));
    std::size_t count = 0;
    for (const auto& run : one.at("runs")) {
      const std::string name = "evaluation3d " + id + " run " + std::to_string(count++);
      ivado::Json section = run.at("params");
      section["as_ivadomed"] = true;
      const auto params = ivado::from_json<ivado::EvaluationParameters>(section, "evaluation_parameters");
      const ivado::EvaluationRow row = ivado::evaluate(prediction, truth.view(), params);
      for (const auto& [column, expected] : run.at("results").items())
        report.check(name + " " + column, relative_difference(value_of(row, column), number(expected)), 1e-9);
      if (!run.at("painted").is_null())
        check_painted(name + " painted", class_first(tensors.at(run.at("painted").get<std::string>())), prediction,
                      truth, params, report);
    }
  }
}

}  // namespace golden
