// expect: ivado: behind its five policies a Pipeline takes an Optimizer, a Scheduler, a Profiler, a Logger, an
// Exporter, a Film, a Detector and a Backend; one of those given is none of them
#include <ivado/ivado.hpp>

struct Stranger {};

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::Unet<2>, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>, Stranger>;

auto params = Experiment::defaults();
