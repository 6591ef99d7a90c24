// From a net and a data set to predictions on the grids of the image files.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "../data/batch_loader.hpp"
#include "../data/sample.hpp"
#include "../profile/profiler.hpp"
#include "../random.hpp"
#include "../train/tensor.hpp"
#include "merge.hpp"
#include "predict_samples.hpp"

namespace ivado {

/// Predicts every sample of a data set, undoes its transforms, and gives each volume to `done` as soon as it is whole.
///
/// The net runs in evaluation mode without gradients. Slices that the data set left out are zero.
/// @param data       of the testing stage
/// @param augment    the chain of the data set, for its inverses
/// @param classes    of the net
/// @param weights    of the voxels of patches that overlap
/// @param done       `done(volume number, Prediction)`: the prediction is on the grid of the (first) image file
/// @param progress   `progress(batches done, batches)`
/// @param run        number of this prediction where there are several. What is random, transforms of the data set in
///                   augmented testing and dropout where the net samples it, is a function of `options.seed`, the run
///                   and the sample (the first one of a batch for dropout)
template <class Net, class Data, class Augment, Profiler Profile, class Done, class Progress>
void predict(Net& net, const Data& data, const Augment& augment, const BatchOptions& options, std::int64_t classes,
             OverlapWeights weights, const at::Device& device, Profile& profiler, const Done& done,
             const Progress& progress, std::uint32_t run = 0) {
  const c10::InferenceMode no_gradients;
  net.train(false);
  const auto forward = [&](Batch& batch, const RandomKey& key) {
    const DeviceBatch on = on_device(batch, device);
    return [output = net.forward(on.image, on.condition, key)](std::int64_t i) { return element(output, i); };
  };
  predict_samples(forward, data, augment, options, classes, weights, profiler, done, progress, run);
}

/// Predicts every sample of a data set with a classifier.
///
/// The net runs in evaluation mode without gradients; `net` gives [N, class].
/// @param data      of the testing stage
/// @param done      `done(origin, probabilities, truth)` for each sample in order, spans of one value a class; the truth
///                  is empty where the data set has no labels
/// @param progress  `progress(batches done, batches)`
template <class Net, class Data, Profiler Profile, class Done, class Progress>
void classify(Net& net, const Data& data, const BatchOptions& options, const at::Device& device, Profile& profiler,
              const Done& done, const Progress& progress) {
  [[maybe_unused]] const auto scope = profiler.scope(Unit::inference);
  const c10::InferenceMode no_gradients;
  net.train(false);
  BatchLoader<Data> loader(data, options);
  const auto batches = static_cast<std::int64_t>(loader.batches());
  loader.start(0);
  for (std::int64_t batch = 1; auto loaded = loader.next(); ++batch) {
    tell_loaded(profiler, *loaded);
    const at::Tensor output = [&] {
      const DeviceBatch on = on_device(loaded->batch, device);
      return net.forward(on.image, on.condition).to(at::kCPU, at::kFloat).contiguous();
    }();
    const auto classes = static_cast<std::size_t>(output.size(1));
    const Array<float>& label = loaded->batch.label;
    for (std::size_t i = 0; i < loaded->batch.origins.size(); ++i)
      done(loaded->batch.origins[i], std::span<const float>(output.data_ptr<float>() + i * classes, classes),
           label.empty() ? std::span<const float>() : std::span<const float>(label.data() + i * classes, classes));
    loader.recycle(std::move(loaded->batch));
    progress(batch, batches);
  }
}

}  // namespace ivado
