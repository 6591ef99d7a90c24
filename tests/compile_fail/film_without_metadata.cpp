// expect: ivado: a FiLM model needs metadata: give the loader the option Metadata
#include <ivado/ivado.hpp>

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::FiLMedUnet<2>, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
