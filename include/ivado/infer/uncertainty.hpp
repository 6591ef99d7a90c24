// Uncertainty of predictions: each case predicted several times, with dropout, with random transforms, or with both.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/sections.hpp"
#include "../data/batch_loader.hpp"
#include "../data/case.hpp"
#include "../data/sample.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "../profile/profiler.hpp"
#include "../random.hpp"
#include "../uncertainty/accumulator.hpp"
#include "../uncertainty/maps.hpp"
#include "predict.hpp"

namespace ivado {

/// The seed of what is random about one case: a function of the run's seed and the case's name alone, so that an image has
/// the same maps whatever else is predicted with it.
[[nodiscard]] IVADO_INLINE std::uint64_t seed_of_case(std::uint64_t seed, std::string_view id) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a (Fowler, Noll and Vo)
  for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  const auto mixed = philox4x32({static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32), 0, 0},
                                {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return std::uint64_t{mixed[1]} << 32 | mixed[0];
}

/// The stage of the data sets that an estimation needs.
[[nodiscard]] constexpr Stage stage_of(const Uncertainty& how) noexcept {
  return how.aleatoric ? Stage::augmented_testing : Stage::testing;
}

namespace detail {

/// Dropout in evaluation mode for as long as it lives.
template <class Net>
class DropoutSampling {
 public:
  DropoutSampling(Net& net, bool on) : net_(net) { net_.sample_dropout(on); }
  DropoutSampling(const DropoutSampling&) = delete;
  DropoutSampling& operator=(const DropoutSampling&) = delete;
  ~DropoutSampling() { net_.sample_dropout(false); }

 private:
  Net& net_;
};

/// Interpolation in float leaves [0, 1] by some units of the last place: they are put back. What is further out stays, to
/// be refused.
IVADO_INLINE void clamp_rounding(Array<float>& prediction) {
  constexpr float rounding = 1e-5F;  // some 80 units of the last place of 1
  for (float& value : prediction)
    if (value > -rounding && value < 1 + rounding) value = std::clamp(value, 0.0F, 1.0F);
}

}  // namespace detail

/// What an estimation cannot find, a sentence each: dropout in the net, random transforms, inverses.
/// @param augment  the chain of transforms
/// @param input    shape of a batch, [N, channel, spatial…]
template <class Net, class Augment>
[[nodiscard]] std::vector<std::string> warnings_about(const Uncertainty& how, const Net& net, const Augment& augment,
                                                      const Shape& input) {
  std::vector<std::string> out;
  if (how.epistemic && !net.has_dropout(input))
    out.push_back(
        "the model has no dropout with a rate above 0: its epistemic uncertainty is zero; train one that has "
        "(default_model.dropout_rate)");
  if constexpr (requires { augment.random_transforms(Stage::training); }) {
    if (!how.aleatoric) return out;
    const std::vector<std::string> used = augment.random_transforms(Stage::augmented_testing);
    for (const auto& name : augment.random_transforms(Stage::training))
      if (std::find(used.begin(), used.end(), name) == used.end())
        out.push_back(name + " moves voxels and has no inverse: aleatoric uncertainty is estimated without it");
    if (used.empty())
      out.push_back(
          "no random transform changes the images: their aleatoric uncertainty is zero; add one to "
          "transformation, such as RandomAffine");
  }
  return out;
}

/// Predicts one case `how.n_it` times and makes the maps of uncertainty of these runs.
///
/// Epistemic: the net samples its dropout while its norms stay in evaluation mode; afterwards it does not any more.
/// Aleatoric: the data set draws its random transforms anew in each run, and they are taken back; where an affine
/// transform had pushed voxels over the border they are 0. ivadomed stays random for the prediction itself as well
/// (known-problems B6.10); here the mean of the runs is the prediction, as Gal and Ghahramani 2016 (arXiv:1506.02142) and
/// Wang et al. 2019 (arXiv:1807.07356) have it.
///
/// Law: the same maps for any number of workers. Memory does not grow with the number of runs.
/// @param data      one case, in the stage `stage_of(how)`; its random transforms draw from its own seed
/// @param options   `seed` for the dropout
/// @param folder    an existing one with room for a bit a voxel, class and run
/// @param progress  `progress(runs done, runs)`
/// @throws Error (internal) if there is not one case; (data) if predictions are not in [0, 1]
template <class Net, class Data, class Augment, Profiler Profile, class Progress>
[[nodiscard]] UncertaintyMaps estimate_uncertainty(Net& net, const Data& data, const Augment& augment,
                                                   const BatchOptions& options, std::int64_t classes,
                                                   OverlapWeights weights, const at::Device& device, Profile& profiler,
                                                   const Uncertainty& how, const std::string& folder,
                                                   const Progress& progress) {
  if (data.volumes() != 1)
    throw internal_error("estimating uncertainty", detail::text("the data set has ", data.volumes(), " cases"),
                         "give it one case at a time");
  UncertaintyAccumulator runs(folder);
  const detail::DropoutSampling sampling(net, how.epistemic);
  for (std::int64_t run = 0; run < how.n_it; ++run) {
    predict(
        net, data, augment, options, classes, weights, device, profiler,
        [&](std::size_t, Prediction prediction) {
          detail::clamp_rounding(prediction.voxels);
          runs.add(std::as_const(prediction.voxels).view(), data.case_of(0).id);
        },
        [](std::int64_t, std::int64_t) {}, static_cast<std::uint32_t>(run));
    progress(run + 1, how.n_it);
  }
  [[maybe_unused]] const auto scope = profiler.scope(Unit::postprocessing);
  return runs.finish();
}

/// Estimates the uncertainty of several cases, one after the other: each is read and prepared once for all its runs, and
/// given up before the next.
/// @param make      `make(case, stage, seed)` gives a pointer to the data set of one case
/// @param done      `done(case, geometry, maps)`; it may keep the maps
/// @param tell      takes sentences to warn with
/// @param progress  `progress(runs done, runs)` of all cases
/// The others are those of `estimate_uncertainty`.
template <class Net, class Make, class Augment, Profiler Profile, class Done, class Tell, class Progress>
void estimate_uncertainties(Net& net, const std::vector<Case>& cases, const Make& make, const Augment& augment,
                            BatchOptions options, std::int64_t classes, OverlapWeights weights,
                            const at::Device& device, Profile& profiler, const Uncertainty& how,
                            const std::string& folder, const Done& done, const Tell& tell, const Progress& progress) {
  const std::uint64_t seed = options.seed;
  const auto all = static_cast<std::int64_t>(cases.size()) * how.n_it;
  std::int64_t before = 0;
  bool has_warned = false;
  for (const Case& one : cases) {
    options.seed = seed_of_case(seed, one.id);
    const auto data = make(one, stage_of(how), options.seed);
    for (const auto& warning : data->warnings()) tell(warning);
    if (!has_warned && data->size() > 0) {
      const Shape input = data->get(0, 0).sample.image.voxels.shape().prepended(1);
      for (const auto& warning : warnings_about(how, net, augment, input)) tell(warning);
      has_warned = true;
    }
    UncertaintyMaps maps =
        estimate_uncertainty(net, *data, augment, options, classes, weights, device, profiler, how, folder,
                             [&](std::int64_t runs, std::int64_t) { progress(before + runs, all); });
    done(data->case_of(0), data->geometry_of(0), std::move(maps));
    before += how.n_it;
  }
}

}  // namespace ivado
