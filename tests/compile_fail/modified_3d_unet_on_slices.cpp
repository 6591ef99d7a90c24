// expect: ivado: a 3-D model needs volumes: use Subvolumes<...>, not Slices<...>
#include <ivado/ivado.hpp>

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::Modified3DUNet<>, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

auto params = Experiment::defaults();
