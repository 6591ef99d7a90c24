// AnyDetector: any packaged model of ivado as the first stage of a cascade.
#pragma once

#include "../model/any_model.hpp"
#include "../pipeline.hpp"
#include "../postprocess/dynamic_postprocess.hpp"
#include "../transform/transform.hpp"
#include "detector.hpp"

namespace ivado {

namespace detail {

template <class Slicing, class Model>
using DetectorPipeline = Pipeline<BidsLoader<Slicing, Channels<dynamic>, Classes<dynamic>, Metadata>, AnyCompose, Model,
                                  AnyLoss, AnyPostProcess, AnyScheduler, AnyOptimizer, QuietLogger>;

template <int Dimension>
struct AnyDetectorOf {
  static_assert(Dimension == 2 || Dimension == 3, "ivado: a detector works on slices (2) or volumes (3)");
  using type = PackagedDetector<DetectorPipeline<AnySlices, AnyModel>>;
};
template <>
struct AnyDetectorOf<3> {
  using type = PackagedDetector<DetectorPipeline<AnySubvolumes, AnyModel3d>>;
};

}  // namespace detail

/// Any packaged model of slices (2) or of volumes (3) as a detector. A policy of a Pipeline, behind the five:
/// @code
/// using Experiment = ivado::Pipeline<Loader, ivado::Compose<ivado::Resample, ivado::BoundingBoxCrop, …>, Model, Loss,
///                                    PostProc, ivado::AnyDetector<2>>;
/// @endcode
template <int Dimension>
using AnyDetector = typename detail::AnyDetectorOf<Dimension>::type;

static_assert(Detector<AnyDetector<2>> && Detector<AnyDetector<3>>);

}  // namespace ivado
