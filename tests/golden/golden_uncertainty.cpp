// The area "uncertainty" of the reference values: the maps made of stacks of Monte-Carlo predictions.
#include <filesystem>
#include <ivado/config/json.hpp>
#include <ivado/uncertainty/accumulator.hpp>
#include <string>
#include <utility>

#include "golden.hpp"

namespace golden {

void uncertainty(const std::filesystem::path& dir, Report& report) {
  const ivado::Json cases = ivado::read_json((dir / "uncertainty.json").string());
  const Tensors tensors = load_tensors(dir / "uncertainty.pt");
  constexpr double tolerance = 1e-6;  // as the reference says
  for (const auto& one : cases) {
    const auto id = one.at("case").get<std::string>();
    const ivado::Array<float> stack = to_float(tensors.at(id + ".mc"));  // (sample, x, y, z, class)
    ivado::UncertaintyAccumulator::Params params;
    params.as_ivadomed = true;
    ivado::UncertaintyAccumulator runs(std::filesystem::temp_directory_path().string(), params);
    for (std::int64_t n = 0; n < stack.extent(0); ++n) runs.add(stack.view().select(0, n).permute({3, 0, 1, 2}), id);
    const ivado::UncertaintyMaps maps = runs.finish();
    const auto check = [&](const std::string& key, ivado::ArrayView<const float> found, double allowed) {
      const ivado::Array<float> class_last = ivado::Array<float>::from(found.permute({1, 2, 3, 0}));
      report.check("uncertainty " + id + " " + key, largest_difference(class_last, tensors.at(id + "." + key).values),
                   allowed);
    };
    check("pred", maps.hard.view(), 0);
    check("soft", maps.soft.view(), tolerance);
    check("unc-vox", maps.entropy.view(), tolerance);
    check("unc-iou", maps.overlap.view(), tolerance);
    check("unc-cv", maps.variation.view(), tolerance);
    check("unc-avgUnc", maps.mean_entropy.view(), tolerance);
  }
}

}  // namespace golden
