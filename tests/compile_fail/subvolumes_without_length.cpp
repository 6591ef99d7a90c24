// expect: ivado: Subvolumes<H, W, D> needs three numbers of voxels above 0
#include <ivado/data/bids_loader.hpp>

using Loader = ivado::BidsLoader<ivado::Subvolumes<128, 128, 0>>;

auto params = Loader(Loader::Params{}).params();
