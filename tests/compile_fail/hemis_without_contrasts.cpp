// expect: ivado: a HeMIS model needs a loader of several contrasts: give it Channels<N> and MissingContrasts
#include <ivado/ivado.hpp>

using Experiment = ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>, ivado::Channels<2>>,
                                   ivado::Compose<ivado::Resample>, ivado::HeMISUnet<2, 3, 2>, ivado::DiceLoss,
                                   ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
