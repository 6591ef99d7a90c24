// The area "evaluation3d" of the reference values: the columns of evaluation_3Dmetrics.csv but those by size of
// objects.
#include <algorithm>
#include <cmath>
#include <ivado/config/json.hpp>
#include <ivado/metric/evaluation.hpp>
#include <limits>
#include <string>

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
      section.erase("target_size");
      section["as_ivadomed"] = true;
      const ivado::EvaluationRow row = ivado::evaluate(
          prediction, truth.view(), ivado::from_json<ivado::EvaluationParameters>(section, "evaluation_parameters"));
      for (std::size_t c = 0; c < row.classes.size(); ++c) {
        for (std::size_t i = 0; i < ivado::evaluation_columns.size(); ++i) {
          const std::string column = ivado::detail::column_name(i, c);
          const double found = row.classes[c].values()[i];
          const double expected = number(run.at("results").at(column));
          const bool both_nan = std::isnan(found) && std::isnan(expected);
          const double difference =
              both_nan || found == expected ? 0 : std::abs(found - expected) / std::max(1.0, std::abs(expected));
          report.check(name + " " + column, std::isnan(difference) ? INFINITY : difference, 1e-9);
        }
      }
      if (run.at("params").contains("target_size"))
        report.skip(name + " by size", "the evaluation by size of objects does not exist yet");
      if (run.contains("painted") && !run.at("painted").is_null())
        report.skip(name + " painted", "the painted volume does not exist yet");
    }
  }
}

}  // namespace golden
