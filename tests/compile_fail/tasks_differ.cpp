// expect: ivado: model and loss have no task in common
#include <ivado/ivado.hpp>

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::ResNet<18>, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
