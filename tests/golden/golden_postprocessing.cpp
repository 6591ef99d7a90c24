// The area "postprocessing" of the reference values: the functions of ivadomed.postprocessing and its chain of steps.
#include <algorithm>
#include <ivado/config/json.hpp>
#include <ivado/data/slice_dataset.hpp>
#include <ivado/data/vertebral_labels.hpp>
#include <ivado/metric/components.hpp>
#include <ivado/postprocess/dynamic_postprocess.hpp>
#include <ivado/postprocess/keypoints.hpp>
#include <ivado/uncertainty/maps.hpp>
#include <string>
#include <vector>

#include "golden.hpp"

namespace golden {
namespace {

using ivado::ArrayView;
using ivado::Json;

/// (x, y, z, class) as ivado has it: [class, x, y, z].
ivado::Prediction to_prediction(const Tensor& tensor) {
  const ivado::Array<float> values = to_float(tensor);
  return {ivado::Array<float>::from(values.view().permute({3, 0, 1, 2})), {1, 1, 1}, false};
}

/// [class, x, y, z] in the order of the reference.
ivado::Array<float> from_prediction(const ivado::Prediction& prediction) {
  return ivado::Array<float>::from(prediction.voxels.view().permute({1, 2, 3, 0}));
}

/// Calls `work(view)` for each class of (x, y, z, class), or once for fewer axes.
template <class Work>
void each_class(ivado::Array<float>& values, const Work& work) {
  if (values.rank() < 4) return work(values.view());
  for (std::int64_t c = 0; c < values.extent(3); ++c) work(values.view().select(3, c));
}

void run_case(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  const auto function = one.at("function").get<std::string>();
  const Json& params = one.at("params");
  const bool refused = one.contains("error");
  const Tensor& input = tensors.at(one.at("input").get<std::string>());
  ivado::Array<float> values = to_float(input);

  if (function == "threshold_predictions") {
    ivado::Prediction prediction{std::move(values), {1, 1, 1}, false};
    ivado::Binarize({params.at("thr").get<double>()})(prediction);
    values = std::move(prediction.voxels);
  } else if (function == "keep_largest_object") {
    ivado::keep_largest_component(values.view());
  } else if (function == "keep_largest_object_per_slice") {
    const int axis = params.at("axis").get<int>();
    for (std::int64_t i = 0; i < values.extent(axis); ++i) ivado::keep_largest_component(values.view().select(axis, i));
  } else if (function == "fill_holes") {
    const auto structure = params.at("structure").get<std::vector<std::int32_t>>();
    const bool cube =
        std::all_of(structure.begin(), structure.end(), [&](auto n) { return n == structure[0] && n % 2 == 1; });
    if (!cube) return report.skip(name, "structuring elements that are no odd cube");
    if (refused) {
      // The reference refuses a soft prediction; ivado takes its mask (≥ 0.5): the result is that of the mask.
      ivado::Prediction mask{values.clone(), {1, 1, 1}, false};
      ivado::Binarize({0.5})(mask);
      ivado::fill_holes_in(values.view(), structure[0] / 2, /*skip_single=*/false);
      ivado::fill_holes_in(mask.voxels.view(), structure[0] / 2, /*skip_single=*/false);
      return report.check(name, values == mask.voxels ? 0 : 1, 0);
    }
    each_class(values, [&](ArrayView<float> one_class) {
      ivado::fill_holes_in(one_class, structure[0] / 2, /*skip_single=*/false);
    });
  } else if (function == "remove_small_objects") {
    each_class(values, [&](ArrayView<float> one_class) {
      ivado::remove_small_components(one_class, params.at("size_min").get<double>(),
                                     static_cast<ivado::Connectivity>(params.at("connectivity").get<int>()));
    });
  } else {
    ivado::Prediction prediction = to_prediction(input);
    ivado::UncertaintyMaps maps;
    if (one.contains("uncertainty_map")) {  // whichever of them the step asks for
      const Tensor& map = tensors.at(one.at("uncertainty_map").get<std::string>());
      for (auto* each : {&maps.soft, &maps.entropy, &maps.overlap, &maps.variation, &maps.mean_entropy})
        *each = to_prediction(map).voxels;
      prediction.uncertainty = &maps;
    }
    if (one.contains("dim_lst"))
      for (std::size_t axis = 0; axis < 3; ++axis) prediction.spacing_mm[axis] = one.at("dim_lst")[axis].get<double>();
    Json section = params;
    for (const char* step : {"keep_largest", "fill_holes"})
      if (section.contains(step)) section[step]["as_ivadomed"] = true;
    try {
      ivado::AnyPostProcess(ivado::from_json<ivado::AnyPostProcess::Params>(section, "postprocessing"))(prediction);
    } catch (const ivado::Error& error) {
      if (refused) return report.pass();
      return report.fail(name, error.what());
    }
    values = from_prediction(prediction);
  }
  if (refused) return report.fail(name, "accepted, the reference refuses it");
  report.check(name, largest_difference(values, tensors.at(one.at("output").get<std::string>()).values), 0);
}

/// The functions that make heat maps, and the one that finds their points.
void run_heat_map(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  const auto function = one.at("function").get<std::string>();
  const Json& params = one.at("params");
  const auto input = [&] { return to_float(tensors.at(one.at("input").get<std::string>())); };
  const ivado::Array<double>& expected = tensors.at(one.at("output").get<std::string>()).values;
  constexpr double tolerance = 1e-6;  // as the reference says: it computes them in float32
  if (function == "maths.gaussian_kernel") {
    report.check(name, largest_difference(ivado::heat_map_kernel(params.at("kernlen").get<int>()), expected),
                 tolerance);
  } else if (function == "maths.heatmap_generation") {
    const ivado::Array<float> points = input();
    const ivado::HeatMapParams how{params.at("kernel_size").get<int>(), /*as_ivadomed=*/true};
    report.check(name, largest_difference(ivado::heat_map(points.view(), how), expected), tolerance);
  } else if (function == "maths.rescale_values_array") {
    ivado::Array<float> values = input();
    ivado::rescale(values, params.at("minv").get<double>(), params.at("maxv").get<double>());
    report.check(name, largest_difference(values, expected), tolerance);
  } else if (function == "coordinate_from_heatmap") {
    ivado::KeypointParams keypoints;
    keypoints.relative_threshold = params.at("thresh").get<double>();
    keypoints.as_ivadomed = true;
    const ivado::Array<float> map = input();
    const auto places = ivado::local_maxima(map.view(), keypoints);
    ivado::Array<float> found(ivado::Shape{static_cast<std::int64_t>(places.size()), 3});
    for (std::int64_t i = 0; i < found.size(); ++i)
      found[i] = static_cast<float>(places[static_cast<std::size_t>(i / 3)][static_cast<std::size_t>(i % 3)]);
    report.check(name, largest_difference(found, expected), 0);
  } else {
    report.skip(name, "ivado has no " + function);
  }
}

/// The filter of slices by their region of interest, on one slice. "value" is true where the slice is left out.
void run_filter_roi(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  ivado::detail::CaseVoxels voxels;
  const ivado::Array<float> slice = to_float(tensors.at(one.at("input").get<std::string>()));
  voxels.geometry.shape = {slice.extent(0), slice.extent(1), 1};
  voxels.roi = ivado::Array<float>::from(slice.view().permute({1, 0})).reshaped({1, slice.extent(1), slice.extent(0)});
  ivado::SliceOptions options;
  options.filter_empty_input = false;
  options.filter_roi = one.at("params").at("nb_nonzero_thr").get<std::int64_t>();
  const auto kept = ivado::detail::filter_slices(voxels, ivado::AxisMap{}, options).first;
  report.check(name, kept.empty() == one.at("value").get<bool>() ? 0 : 1, 0);
}

/// The boxes of objects; the reference gives the last voxel of each, ivado the one behind it.
void run_boxes(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  const ivado::Array<float> mask = to_float(tensors.at(one.at("input").get<std::string>()));
  std::vector<std::vector<std::int64_t>> found;
  for (const auto& box : ivado::Components(mask.view(), ivado::Connectivity::faces).boxes()) {
    found.emplace_back();
    for (std::size_t a = 0; a < 3; ++a) found.back().insert(found.back().end(), {box.begin[a], box.end[a] - 1});
  }
  report.check(name, found == one.at("value").get<std::vector<std::vector<std::int64_t>>>() ? 0 : 1, 0);
}

/// ivadomed's arithmetic on boxes [begin, end, …] and shapes.
void run_box_arithmetic(const Json& one, const std::string& function, const std::string& name, Report& report) {
  const Json& params = one.at("params");
  std::vector<std::int64_t> found;
  if (function == "adjust_bb_size") {
    const auto box = params.at("bounding_box").get<std::vector<std::int64_t>>();
    const auto factor = params.at("factor").get<std::vector<double>>();
    const auto about = params.value("resample", false) ? ivado::ScaleAbout::origin : ivado::ScaleAbout::centre;
    for (std::size_t a = 0; a < factor.size(); ++a) {
      const auto [begin, end] = ivado::scale_interval(box[2 * a], box[2 * a + 1], factor[a], about);
      found.insert(found.end(), {begin, end});
    }
  } else {
    const auto part = [&](const char* key) { return params.at(key).get<std::vector<std::int64_t>>(); };
    for (std::size_t a = 0; a < part("shape").size(); ++a)
      found.push_back(ivado::resize_to_multiple(part("shape")[a], part("multiple")[a], part("length")[a]));
  }
  report.check(name, found == one.at("value").get<std::vector<std::int64_t>>() ? 0 : 1, 0);
}

}  // namespace

void postprocessing(const std::filesystem::path& dir, Report& report) {
  const Json cases = ivado::read_json((dir / "postprocessing.json").string());
  const Tensors tensors = load_tensors(dir / "postprocessing.pt");
  for (const auto& one : cases) {
    const auto function = one.at("function").get<std::string>();
    const std::string name = "postprocessing " + one.at("id").get<std::string>() + " (" + function + ")";
    if (function == "Postprocessing" || function == "threshold_predictions" || function == "fill_holes" ||
        function.starts_with("keep_largest_object") || function == "remove_small_objects") {
      run_case(one, tensors, name, report);
    } else if (function.starts_with("maths.") || function == "coordinate_from_heatmap") {
      run_heat_map(one, tensors, name, report);
    } else if (function == "filter_roi") {
      run_filter_roi(one, tensors, name, report);
    } else if (function == "object_detection.get_bounding_boxes") {
      run_boxes(one, tensors, name, report);
    } else if (function == "object_detection.adjust_bb_size" || function == "object_detection.resize_to_multiple") {
      run_box_arithmetic(one, function.substr(function.find('.') + 1), name, report);
    } else {
      report.skip(name, "ivado has no " + function);
    }
  }
}

}  // namespace golden
