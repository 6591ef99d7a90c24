// expect: ivado: loader and model differ in their channels: give the loader Channels<N> and the model N input channels
#include <ivado/ivado.hpp>

using Experiment = ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>, ivado::Channels<2>>,
                                   ivado::Compose<ivado::Resample>, ivado::Unet<2>, ivado::DiceLoss,
                                   ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
