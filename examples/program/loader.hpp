// The loader of the general program: BIDS folders, and where HDF5 is there packed files as well.
#pragma once

#ifdef IVADO_WITH_HDF5
#include <ivado/data/any_loader.hpp>
#else
#include <ivado/data/bids_loader.hpp>
#endif

/// @tparam Slicing  `ivado::AnySlices` or `ivado::AnySubvolumes`
template <class Slicing>
using GeneralLoader =
#ifdef IVADO_WITH_HDF5
    ivado::AnyLoader<
#else
    ivado::BidsLoader<
#endif
        Slicing, ivado::Channels<ivado::dynamic>, ivado::Classes<ivado::dynamic>, ivado::MissingContrasts,
        ivado::Metadata>;
