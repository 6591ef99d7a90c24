// From whatever predicts batches, and a data set, to predictions on the grids of the image files. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../data/batch_loader.hpp"
#include "../data/sample.hpp"
#include "../profile/profiler.hpp"
#include "../random.hpp"
#include "merge.hpp"

namespace ivado {

/// Predicts every sample of a data set, undoes its transforms, and gives each volume to `done` as soon as it is whole.
///
/// Slices that the data set left out are zero.
/// @param forward    `forward(Batch&, const RandomKey&)` predicts a batch: what it gives is called with the number of a
///                   sample for its prediction [class, spatial…], an `Array<float>`, while the batch is there
/// @param data       of the testing stage
/// @param augment    the chain of the data set, for its inverses
/// @param classes    of the predictions
/// @param weights    of the voxels of patches that overlap
/// @param done       `done(volume number, Prediction)`: the prediction is on the grid of the (first) image file
/// @param progress   `progress(batches done, batches)`
/// @param run        number of this prediction where there are several; the key of a batch is made of it, of
///                   `options.seed` and of the first sample
template <class Forward, class Data, class Augment, Profiler Profile, class Done, class Progress>
void predict_samples(const Forward& forward, const Data& data, const Augment& augment, const BatchOptions& options,
                     std::int64_t classes, OverlapWeights weights, Profile& profiler, const Done& done,
                     const Progress& progress, std::uint32_t run = 0) {
  [[maybe_unused]] const auto scope = profiler.scope(Unit::inference);  // waiting for data as well, which is told below
  Assembler<Data, Augment> volumes(data, augment, weights);
  const auto finish = [&](std::size_t volume) { done(volume, volumes.finish(volume, classes)); };
  for (std::size_t volume = 0; volume < data.volumes(); ++volume)
    if (volumes.is_complete(volume)) finish(volume);
  BatchLoader<Data> loader(data, options);
  const auto batches = static_cast<std::int64_t>(loader.batches());
  loader.start(run);
  for (std::int64_t batch = 1; auto loaded = loader.next(); ++batch) {
    tell_loaded(profiler, *loaded);
    const auto first = static_cast<std::uint32_t>(static_cast<std::size_t>(batch - 1) * options.batch_size);
    const auto predictions = forward(loaded->batch, RandomKey{options.seed, run, first, 0});
    {
      [[maybe_unused]] const auto assembling = profiler.scope(Unit::postprocessing);
      for (std::size_t i = 0; i < loaded->batch.origins.size(); ++i) {
        const Origin origin = loaded->batch.origins[i];
        Image prediction{predictions(static_cast<std::int64_t>(i)), Kind::label, {1, 1, 1}};
        volumes.add(origin, std::move(prediction), loaded->histories[i]);
        const auto volume = static_cast<std::size_t>(origin.volume);
        if (volumes.is_complete(volume)) finish(volume);
      }
    }
    loader.recycle(std::move(loaded->batch));
    progress(batch, batches);
  }
}

}  // namespace ivado
