// expect: ivado: a BidsLoader with MissingContrasts has a channel for each contrast: add Channels<N>
#include <ivado/data/bids_loader.hpp>

const bool presence = ivado::BidsLoader<ivado::Slices<ivado::Axis::axial>, ivado::MissingContrasts>::gives_presence;
