// ThresholdUncertainty: takes out of a prediction what is too uncertain.
#pragma once

#include <string>
#include <string_view>

#include "../config/params.hpp"
#include "../inline.hpp"
#include "../uncertainty/maps.hpp"
#include "concept.hpp"

namespace ivado {

/// Keeps the voxels that are certain enough by one of the maps of uncertainty, and sets the others to 0. A negative
/// `thr` switches the step off, as it is by default. Idempotent.
///
/// By the maps of which small values are certain (entropy, variation, mean entropy), those below `thr` are kept; by the
/// overlap and by the mean prediction, those above it; equality is kept by neither, as in ivadomed. The maps of
/// structures are 0 outside of structures: the overlap takes what lies there away, the others keep it.
///
/// The maps come with the prediction (`Prediction::uncertainty`); ivadomed reads their files. Its documentation calls
/// the step threshold_uncertainty, its program by the name that stands here.
class ThresholdUncertainty {
 public:
  struct Params {
    double thr = -1;
    UncertaintyMap suffix = UncertaintyMap::entropy;

    static constexpr auto fields() {
      return ivado::fields(
          field<"thr", &Params::thr>("limit of the map: below it voxels are kept, or above it for _unc-iou.nii.gz and "
                                     "_soft.nii.gz; negative: no effect"),
          field<"suffix", &Params::suffix>("the map, by the end of its file's name"));
    }
  };
  static constexpr std::string_view name = "uncertainty";

  ThresholdUncertainty() = default;
  explicit ThresholdUncertainty(const Params& params) : params_(params) {}

  /// @throws Error (usage) if the prediction comes without maps; (internal) if they have another shape
  IVADO_INLINE void operator()(Prediction& prediction) const {
    if (params_.thr < 0 || prediction.voxels.empty()) return;
    if (prediction.uncertainty == nullptr)
      throw usage_error("thresholding a prediction by its uncertainty", "no uncertainty is estimated in this run",
                        "set uncertainty.n_it to at least 2 and uncertainty.epistemic or aleatoric to true, or set "
                        "postprocessing.uncertainty.thr to -1");
    const ArrayView<const float> map = prediction.uncertainty->view(params_.suffix);
    if (!(map.shape() == prediction.voxels.shape()))
      throw internal_error(
          "thresholding a prediction by its uncertainty",
          "the map has the shape " + map.shape().text() + ", the prediction " + prediction.voxels.shape().text());
    const bool keeps_high = params_.suffix == UncertaintyMap::overlap || params_.suffix == UncertaintyMap::soft;
    zip(map, prediction.voxels.view(), [&](float uncertainty, float& value) {
      const auto u = static_cast<double>(uncertainty);
      if (!(keeps_high ? u > params_.thr : u < params_.thr)) value = 0;
    });
  }

 private:
  Params params_;
};

static_assert(PostStep<ThresholdUncertainty>);

}  // namespace ivado
