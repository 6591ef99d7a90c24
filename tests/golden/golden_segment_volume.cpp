// The area "segment_volume" of the reference values: from an image file to the prediction on its grid, with closed-form
// weights; slices, patches that overlap, and sub-volumes.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <ivado/data/slice_dataset.hpp>
#include <ivado/infer/merge.hpp>
#include <ivado/model/any_model.hpp>
#include <ivado/model/net.hpp>
#include <ivado/train/tensor.hpp>
#include <ivado/transform/transform.hpp>
#include <string>
#include <utility>
#include <vector>

#include "closed_form.hpp"
#include "golden.hpp"

namespace golden {
namespace {

using ivado::Json;

/// The model of a case with its weights.
template <class Model>
ivado::Net<Model> net_of(const Json& one) {
  const Json& p = one.at("params");
  const int channels = p.at("out_channel").get<int>();
  ivado::ModelParameters section;
  section.name = one.at("model").get<std::string>();
  section.is_2d = one.at("model") != "Modified3DUNet";
  section.as_ivadomed = true;
  section.depth = p.value("depth", 3);
  section.n_filters = p.at("n_filters").get<int>();
  section.final_activation.value = p.value("final_activation", "sigmoid");
  section.background = channels > 1;
  ivado::Net<Model> net(ivado::make_model<Model>(
      section, {p.at("in_channel").get<int>(), channels > 1 ? channels - 1 : 1, section.depth, 0}));
  Json state = Json::array();
  for (const auto& name : net.names()) state.push_back(Json::array({name}));
  fill_all(net, state);
  net.train(false);
  return net;
}

template <class Model, int dimension>
ivado::Prediction segment(const Json& one, const std::string& image) {
  Json transforms = one.at("transformation");
  if (transforms.contains("Resample")) transforms["Resample"]["as_ivadomed"] = true;
  const ivado::AnyCompose chain(ivado::from_json<ivado::AnyCompose::Params>(transforms, "transformation"));
  ivado::SliceOptions options;
  options.as_ivadomed = true;
  const std::string suffix = dimension == 2 ? "_2D" : "_3D";
  const Json& patch = one.at("patch");
  options.patches.length = patch.value("length" + suffix, std::vector<std::int64_t>{});
  options.patches.stride = patch.value("stride" + suffix, std::vector<std::int64_t>{});
  ivado::Case file;
  file.id = std::filesystem::path(image).filename().string();
  file.images = {image};
  file.contrasts = {one.at("contrast").get<std::string>()};
  using Data = ivado::CaseDataset<ivado::AnyCompose, dimension>;
  const Data data({file}, options, chain, ivado::Stage::testing, 0);
  ivado::Assembler<Data, ivado::AnyCompose> volumes(data, chain, ivado::OverlapWeights::average, {true});
  auto net = net_of<Model>(one);
  const c10::InferenceMode no_gradients;
  std::int64_t classes = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    auto loaded = data.get(i, 0);
    const at::Tensor output = net.forward(ivado::tensor_view(loaded.sample.image.voxels).unsqueeze(0));
    classes = output.size(1);
    volumes.add(data.origin(i), {ivado::element(output, 0), ivado::Kind::label, {1, 1, 1}}, loaded.history);
  }
  return volumes.finish(0, classes);
}

/// The sum of a class, relative to that of the reference, and its largest value.
void check_statistics(const std::string& name, ivado::ArrayView<const float> found, const Json& expected,
                      double tolerance, Report& report) {
  double sum = 0;
  double squares = 0;
  double high = 0;
  double low = INFINITY;
  for (const float value : ivado::Array<float>::from(found)) {
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
    high = std::max(high, static_cast<double>(value));
    low = std::min(low, static_cast<double>(value));
  }
  const auto n = static_cast<double>(found.size());
  const auto number = [&](const char* key) { return expected.at(key).get<double>(); };
  report.check(name + " mean", std::abs(sum / n - number("mean")), tolerance);
  report.check(name + " std", std::abs(std::sqrt(squares / n - sum / n * sum / n) - number("std")), tolerance);
  report.check(name + " max", std::abs(high - number("max")), tolerance);
  report.check(name + " min", std::abs(low - number("min")), tolerance);
}

void run_case(const Json& one, const Tensors& tensors, const std::filesystem::path& data, Report& report) {
  const std::string name = "segment_volume " + one.at("tag").get<std::string>();
  const auto image =
      data / "spinalcord" / "sub-unf01" / "anat" / ("sub-unf01_" + one.at("contrast").get<std::string>() + ".nii.gz");
  if (!std::filesystem::exists(image)) return report.skip(name, "the images are not in " + data.string());
  const ivado::Prediction prediction = one.at("model") == "Unet" ? segment<ivado::AnyModel, 2>(one, image.string())
                                                                 : segment<ivado::AnyModel3d, 3>(one, image.string());
  const Json& classes = one.at("classes");
  report.check(name + " number of classes",
               std::abs(static_cast<double>(prediction.voxels.extent(0)) - static_cast<double>(classes.size())), 0);
  constexpr double tolerance = 1e-3;  // absolute, of soft maps, as the reference says
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const auto found = prediction.voxels.view().select(0, static_cast<std::int64_t>(c));
    const std::string here = name + " class " + std::to_string(c);
    check_statistics(here, found, classes[c], tolerance, report);
    if (classes[c].contains("stored"))
      report.check(here,
                   largest_difference(ivado::Array<float>::from(found),
                                      tensors.at(classes[c]["stored"].get<std::string>()).values),
                   tolerance);
    if (classes[c].contains("stored_slice_8"))
      report.check(here + " slice 8",
                   largest_difference(ivado::Array<float>::from(found.select(2, 8)),
                                      tensors.at(classes[c]["stored_slice_8"].get<std::string>()).values),
                   tolerance);
  }
}

}  // namespace

void segment_volume(const std::filesystem::path& dir, Report& report) {
  const Json cases = ivado::read_json((dir / "segment_volume" / "segment_volume.json").string());
  const Tensors tensors = load_tensors(dir / "segment_volume" / "segment_volume.pt");
  const char* named = std::getenv("IVADO_DATA_DIR");
  const std::filesystem::path data = named != nullptr ? std::filesystem::path(named) : dir / ".." / "data";
  for (const auto& one : cases) run_case(one, tensors, data, report);
}

}  // namespace golden
