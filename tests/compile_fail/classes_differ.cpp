// expect: ivado: loader and model differ in their classes: give the loader Classes<N> and the model N classes
#include <ivado/ivado.hpp>

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::Unet<2, 3, 1, 2>, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
