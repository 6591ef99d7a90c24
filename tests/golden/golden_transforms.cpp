// The area "transforms" of the reference values: resampling, crops, intensities, geometry and whole chains.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <ivado/config/json.hpp>
#include <ivado/data/volume_io.hpp>
#include <ivado/transform/transform.hpp>
#include <memory>
#include <string>
#include <utility>

#include "golden.hpp"

namespace golden {
namespace {

using ivado::Array;
using ivado::Image;
using ivado::Json;
using ivado::Kind;
using ivado::Sample;

/// A stored array (H, W[, D]) as a sample of one channel.
Image to_image(const Tensor& tensor, Kind kind) { return {to_float(tensor, {1}), kind, {1, 1, 1}}; }

Sample to_sample(Image image) {
  Sample sample;
  (image.kind == Kind::image ? sample.image : sample.label) = std::move(image);
  return sample;
}

/// Images are called "in.rnd2d", their labels "in.rnd2d_gt".
Kind kind_of(const std::string& input) { return input.ends_with("_gt") ? Kind::label : Kind::image; }

/// Largest value minus smallest.
double value_range(const Array<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *high - *low;
}

/// The largest difference between an image and the array that a case names, relative to the given scale.
double difference(const Image& found, const Tensors& tensors, const Json& key, double scale) {
  return largest_difference(found.voxels, tensors.at(key.get<std::string>()).values) / scale;
}

/// The draw of a transform that needs no randomness.
template <class T>
typename T::Draw draw(const T& transform, const Sample& sample) {
  ivado::Rng rng(ivado::RandomKey{});
  return transform.draw(rng, sample);
}

/// A transform with the parameters that a case gives under the named keys.
template <class T>
T made_of(const Json& one, std::initializer_list<const char*> keys, bool as_ivadomed = false) {
  Json params = Json::object();
  for (const char* key : keys) params[key] = one.at(key);
  if (as_ivadomed) params["as_ivadomed"] = true;
  return T(ivado::from_json<typename T::Params>(params, std::string(T::name)));
}

template <class T>
void apply_and_undo(const T& transform, const typename T::Draw& draw, Image image, const Json& one,
                    const Tensors& tensors, double scale, double tolerance, const std::string& name, Report& report) {
  transform.apply(image, draw);
  double worst = difference(image, tensors, one.at("output"), scale);
  if constexpr (ivado::InvertibleTransform<T>) {
    if (one.contains("undo")) {
      transform.invert(image, draw);
      worst = std::max(worst, difference(image, tensors, one.at("undo"), scale));
    }
  } else if (one.contains("undo")) {
    return report.fail(name, "the reference undoes it, ivado cannot");
  }
  report.check(name, worst, tolerance);
}

void resample_case(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  const Tensor& input = tensors.at(one.at("input").get<std::string>());
  Image image = to_image(input, one.at("data_type") == "im" ? Kind::image : Kind::label);
  const Json& space = one.at("space");
  ivado::Resample::Params params{space[0].get<double>(), space[1].get<double>(), 1, true};
  if (space.size() > 2) params.dspace = space[2].get<double>();
  for (std::size_t axis = 0; axis < one.at("zooms").size(); ++axis)
    image.spacing_mm[axis] = one.at("zooms")[axis].get<double>();
  const ivado::Resample resample(params);
  const auto drawn = draw(resample, to_sample(image.clone()));
  apply_and_undo(resample, drawn, std::move(image), one, tensors, value_range(input.values), 1e-4, name, report);
}

/// A crop, whose window must start where the case says.
template <class T>
void crop_with(const T& crop, const Sample& sample, const Json& one, const Tensors& tensors, const std::string& name,
               Report& report) {
  const auto drawn = draw(crop, sample);
  for (int axis = 0; axis < sample.image.dimension(); ++axis) {
    const std::int64_t found = drawn.start[static_cast<std::size_t>(axis)];
    const std::int64_t expected = one.contains("crop_params")
                                      ? one.at("crop_params")[static_cast<std::size_t>(axis)].get<std::int64_t>()
                                      : one.at("bounding_box")[static_cast<std::size_t>(2 * axis)].get<std::int64_t>();
    if (found != expected)
      return report.fail(
          name, ivado::detail::text("the crop starts at ", found, " along axis ", axis, ", expected ", expected));
  }
  if (one.contains("roi_output")) {
    Image roi = sample.roi.clone();
    crop.apply(roi, drawn);
    const double off = difference(roi, tensors, one.at("roi_output"), 1);
    if (off > 0) return report.fail(name, ivado::detail::text("the region of interest differs by ", off));
  }
  apply_and_undo(crop, drawn, sample.image.clone(), one, tensors, 1, 0, name, report);
}

void crop_case(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  const auto transform = one.at("transform").get<std::string>();
  Sample sample = to_sample(to_image(tensors.at(one.at("input").get<std::string>()), Kind::image));
  if (transform == "CenterCrop")
    return crop_with(made_of<ivado::CenterCrop>(one, {"size"}), sample, one, tensors, name, report);
  if (transform == "ROICrop") {
    sample.roi = to_image(tensors.at(one.at("roi").get<std::string>()), Kind::roi);
    return crop_with(made_of<ivado::ROICrop>(one, {"size"}, true), sample, one, tensors, name, report);
  }
  if (transform != "BoundingBoxCrop") return report.skip(name, transform + " does not exist in ivado");
  ivado::ObjectBox box{sample.image.spatial(), {}, {}};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    box.begin[axis] = one.at("bounding_box")[2 * axis].get<std::int64_t>();
    box.end[axis] = one.at("bounding_box")[2 * axis + 1].get<std::int64_t>();
  }
  sample.box = box;
  crop_with(ivado::BoundingBoxCrop({}), sample, one, tensors, name, report);
}

/// An array brought into [-1, 1] as the reference did before Clahe.
Image divided_by_largest(Image image) {
  float largest = 0;
  for (const float value : image.voxels) largest = std::max(largest, std::abs(value));
  if (largest > 1)
    for (float& value : image.voxels) value /= largest;
  return image;
}

void intensity_case(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  const auto transform = one.at("transform").get<std::string>();
  Image image = to_image(tensors.at(one.at("input").get<std::string>()), Kind::image);
  // Relative to the largest value that comes out; where the mean alone is subtracted that may be 0, so 1 at least.
  const Array<double>& expected = tensors.at(one.at("output").get<std::string>()).values;
  const double scale =
      std::max(1.0, std::abs(*std::max_element(expected.begin(), expected.end(),
                                               [](double a, double b) { return std::abs(a) < std::abs(b); })));
  const auto run = [&](const auto& made, const auto& drawn) {
    apply_and_undo(made, drawn, std::move(image), one, tensors, scale, 1e-5, name, report);
  };
  if (transform == "NormalizeInstance") {
    const bool is_tensor = one.value("note", std::string()).find("unbiased") != std::string::npos;
    run(ivado::NormalizeInstance({is_tensor}), ivado::NormalizeInstance::Draw{});
  } else if (transform == "HistogramClipping") {
    run(made_of<ivado::HistogramClipping>(one, {"min_percentile", "max_percentile"}), ivado::HistogramClipping::Draw{});
  } else if (transform == "Clahe") {
    if (one.value("input_divided_by_max_abs_if_above_1", false)) image = divided_by_largest(std::move(image));
    const auto clahe = made_of<ivado::Clahe>(one, {"clip_limit", "kernel_size"}, true);
    apply_and_undo(clahe, ivado::Clahe::Draw{}, std::move(image), one, tensors, 1, 1e-4, name, report);
  } else if (transform == "RandomShiftIntensity") {
    run(ivado::RandomShiftIntensity({}), ivado::RandomShiftIntensity::Draw{{one.at("offset").get<double>()}});
  } else if (transform == "RandomGamma") {
    run(ivado::RandomGamma({}), ivado::RandomGamma::Draw{{one.at("gamma").get<double>()}});
  } else if (transform == "RandomBlur") {
    run(ivado::RandomBlur({}), ivado::RandomBlur::Draw{{one.at("sigma").get<double>()}});
  } else if (transform == "RandomBiasField") {
    ivado::RandomBiasField::Params params;
    params.order = one.at("order").get<std::int64_t>();
    run(ivado::RandomBiasField(params),
        ivado::RandomBiasField::Draw{{one.at("coefficients").get<std::vector<double>>()}});
  } else {
    report.skip(name, transform + " does not exist in ivado");
  }
}

void affine_case(const Json& one, const Tensors& tensors, Image image, double scale, const std::string& name,
                 Report& report) {
  ivado::RandomAffine::Draw drawn;
  drawn.angle_rad = one.at("angle_radians").get<double>();
  drawn.axes = one.at("axes").get<std::array<int, 2>>();
  drawn.scale = one.at("scale").get<std::array<double, 3>>();
  for (std::size_t axis = 0; axis < 3; ++axis)
    drawn.translation_vox[axis] = std::llround(one.at("translation")[axis].get<double>());
  const ivado::RandomAffine affine({{}, {}, {}, true});
  apply_and_undo(affine, drawn, std::move(image), one, tensors, scale, 1e-4, name, report);
}

void elastic_case(const Json& one, const Tensors& tensors, Image image, double scale, const std::string& name,
                  Report& report) {
  const ivado::ElasticTransform elastic({{0, 0}, {0, 0}, 1, true});
  const auto alpha = one.at("alpha").get<double>();
  const auto sigma = one.at("sigma").get<double>();
  const Tensor& field = tensors.at(one.at("displacement").get<std::string>());
  const auto deform = [&](Array<float> displacement) {
    return ivado::ElasticTransform::Draw{alpha, sigma, std::make_shared<const Array<float>>(std::move(displacement))};
  };
  if (one.contains("noise")) {
    Array<float> made = elastic.displacement(to_float(tensors.at(one.at("noise").get<std::string>())), alpha, sigma);
    const double off = largest_difference(made, field.values);
    if (!(off <= 1e-4))
      return report.fail(name, ivado::detail::text("the displacement differs by ", off, " voxels, allowed 1e-4"));
    Image deformed = image.clone();
    elastic.apply(deformed, deform(std::move(made)));
    const double from_noise = difference(deformed, tensors, one.at("output"), scale);
    if (!(from_noise <= 1e-4))
      return report.fail(name, ivado::detail::text("made from the noise: difference ", from_noise, ", allowed 1e-4"));
  }
  apply_and_undo(elastic, deform(to_float(field)), std::move(image), one, tensors, scale, 1e-4, name, report);
}

void geometry_case(const Json& one, const Tensors& tensors, const std::string& name, Report& report) {
  const auto transform = one.at("transform").get<std::string>();
  const auto input = one.at("input").get<std::string>();
  Image image = to_image(tensors.at(input), kind_of(input));
  const double scale = value_range(tensors.at(input).values);
  const auto run = [&](const auto& made, const auto& drawn) {
    apply_and_undo(made, drawn, std::move(image), one, tensors, scale, 1e-4, name, report);
  };
  if (transform == "RandomAffine") return affine_case(one, tensors, std::move(image), scale, name, report);
  if (transform == "ElasticTransform") return elastic_case(one, tensors, std::move(image), scale, name, report);
  if (transform == "RandomReverse")
    return run(ivado::RandomReverse(), ivado::RandomReverse::Draw{one.at("flip_axes").get<std::array<bool, 3>>()});
  if (transform == "DilateGT") return run(made_of<ivado::DilateGT>(one, {"dilation_factor"}), ivado::DilateGT::Draw{});
  report.skip(name, transform + " does not exist in ivado");
}

/// Every fourth slice along the last axis.
Image every_fourth(const Image& image) {
  const ivado::Shape shape = image.voxels.shape();
  const std::int64_t slices = (shape[3] + 3) / 4;
  Image out{Array<float>(ivado::Shape{shape[0], shape[1], shape[2], slices}), image.kind, image.spacing_mm};
  for (std::int64_t i = 0; i < slices; ++i)
    ivado::copy(image.voxels.view().select(3, 4 * i), out.voxels.view().select(3, i));
  return out;
}

/// A volume in (R, A, S) order as an image of one channel.
Image read_ras(const std::filesystem::path& path, Kind kind) {
  const ivado::Volume volume = ivado::read_volume(path.string());
  const ivado::AxisMap map = ivado::closest_ras(volume.geometry.affine);
  Array<float> voxels = Array<float>::from(map.apply(volume.view()));
  const ivado::Shape shape = voxels.shape().prepended(1);
  return {std::move(voxels).reshaped(shape), kind, map.reorder(volume.geometry.spacing_mm())};
}

void chain_case(const std::filesystem::path& dir, const Json& one, const Tensors& tensors, const std::string& name,
                Report& report) {
  Sample sample;
  const bool is_stored = one.contains("input_im");
  if (is_stored) {
    sample.image = to_image(tensors.at(one.at("input_im").get<std::string>()), Kind::image);
    sample.label = to_image(tensors.at(one.at("input_gt").get<std::string>()), Kind::label);
  } else {
    const char* const folder = std::getenv("IVADO_DATA_DIR");
    const std::filesystem::path data =
        (folder != nullptr ? std::filesystem::path(folder) : dir / ".." / "data") / "spinalcord";
    const std::string file = "sub-unf01_" + one.at("contrast").get<std::string>();
    const auto image = data / "sub-unf01" / "anat" / (file + ".nii.gz");
    const auto label = data / "derivatives" / "labels" / "sub-unf01" / "anat" / (file + "_seg-manual.nii.gz");
    if (!std::filesystem::exists(image) || !std::filesystem::exists(label))
      return report.skip(name, "the public test images are not there; IVADO_DATA_DIR names their folder");
    sample.image = read_ras(image, Kind::image);
    sample.label = read_ras(label, Kind::label);
  }
  Json section = one.at("chain");
  for (const char* transform : {"Resample", "ROICrop", "Clahe", "RandomAffine", "ElasticTransform"})
    if (section.contains(transform)) section[transform]["as_ivadomed"] = true;
  const ivado::AnyCompose chain(ivado::from_json<ivado::AnyCompose::Params>(section, "transformation"));
  auto history = chain.preprocess(sample, ivado::Stage::testing);
  chain.augment(sample, ivado::Stage::testing, {}, history);

  const auto worst = [&](const Image& found, const char* key) {
    const Json& stored = one.at(key);
    const double scale = value_range(tensors.at(stored.get<std::string>()).values);
    return one.contains("stored") ? difference(every_fourth(found), tensors, stored, scale)
                                  : difference(found, tensors, stored, scale);
  };
  double largest = std::max(worst(sample.image, "im"), worst(sample.label, "gt"));
  Image prediction = sample.image.clone();
  for (float& value : prediction.voxels) value = 1 / (1 + std::exp(-2 * value));
  chain.invert(prediction, history);
  largest = std::max(largest, worst(prediction, "undo_of_sigmoid_2x_im"));
  report.check(name, largest, 1e-4);
}

}  // namespace

void transforms(const std::filesystem::path& dir, Report& report) {
  const auto each = [&](const std::string& file, const auto& run) {
    const std::filesystem::path folder = dir / "transforms";
    if (!std::filesystem::exists(folder / (file + ".json"))) return;
    const Json cases = ivado::read_json((folder / (file + ".json")).string());
    const Tensors tensors = load_tensors(folder / (file + ".pt"));
    for (const Json& one : cases) {
      const std::string name = "transforms/" + file + " " + one.at("id").get<std::string>() + " " +
                               (one.contains("transform") ? one.at("transform").get<std::string>() : file);
      try {
        run(one, tensors, name);
      } catch (const std::exception& fault) {
        report.fail(name, fault.what());
      }
    }
  };
  each("resample", [&](const Json& one, const Tensors& tensors, const std::string& name) {
    resample_case(one, tensors, name, report);
  });
  each("crop", [&](const Json& one, const Tensors& tensors, const std::string& name) {
    crop_case(one, tensors, name, report);
  });
  each("intensity", [&](const Json& one, const Tensors& tensors, const std::string& name) {
    intensity_case(one, tensors, name, report);
  });
  each("geometry", [&](const Json& one, const Tensors& tensors, const std::string& name) {
    geometry_case(one, tensors, name, report);
  });
  each("chain", [&](const Json& one, const Tensors& tensors, const std::string& name) {
    chain_case(dir, one, tensors, name, report);
  });
}

}  // namespace golden
