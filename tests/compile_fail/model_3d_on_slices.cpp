// expect: ivado: Unet<3> needs volumes: use Subvolumes<...>, not Slices<...>
#include <ivado/ivado.hpp>

using Experiment =
    ivado::Pipeline<ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>>, ivado::Compose<ivado::Resample>,
                    ivado::Unet<3>, ivado::DiceLoss, ivado::PostProcess<ivado::Binarize>>;

int main(int argc, char** argv) { return ivado::main<Experiment>(argc, argv); }
