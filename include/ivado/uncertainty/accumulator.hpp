// UncertaintyAccumulator: takes the predictions of several runs on one image, one after the other, and makes the maps.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../config/params.hpp"
#include "../data/array.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "maps.hpp"
#include "mask_spool.hpp"
#include "structures.hpp"

namespace ivado {

/// Entropy of a voxel that is foreground with probability `p`, in nats:
///
///   H = -[(1-p) ln(1-p + ε) + p ln(p + ε)],  not below 0,  ε = 1e-5
///
/// as in ivadomed: with ε its largest value is a little above ln 2. Between 0 and 1, both included.
[[nodiscard]] IVADO_INLINE double binary_entropy(double p) noexcept {
  constexpr double epsilon = 1e-5;
  return std::max(0.0, -((1 - p) * std::log(1 - p + epsilon) + p * std::log(p + epsilon)));
}

/// Takes predictions of one image (Monte-Carlo dropout, test-time augmentation, an ensemble) and makes the maps of
/// uncertainty.
///
///   UncertaintyAccumulator runs(output_folder);
///   for (int n = 0; n < 20; ++n) runs.add(predict_at_random(n).view());
///   const UncertaintyMaps maps = runs.finish();
///
/// The mean is summed up as the runs come. What the runs say of the structures can be compared only when all of them
/// are known, because the structures are objects of the mean: two of them may turn out to be one in the last run, and
/// then another object of each run before may be the one that matches. So the foreground of each run, a bit a voxel,
/// goes to a file without a name in `folder`, and is read again at the end.
///
/// Law: memory does not grow with the number of runs: 8 bytes and a bit a voxel and class while they come; on disk a
/// bit a voxel, class and run.
/// Law: the order of the runs changes nothing but the last bits of the mean.
/// Sources: epistemic uncertainty by dropout: Gal and Ghahramani 2016, arXiv:1506.02142; aleatoric by augmentation:
/// Wang et al. 2019, arXiv:1807.07356; measures of structures: Roy et al. 2019, arXiv:1811.09800, as ivadomed has them.
class UncertaintyAccumulator {
 public:
  struct Params {
    double foreground_above = 0.01;
    double hard_threshold = 0;
    bool as_ivadomed = false;

    static constexpr auto fields() {
      return ivado::fields(
          field<"foreground_above", &Params::foreground_above>(
              "values above it are foreground of a run, for its structures (ivadomed sets values up to 0.01 to 0)",
              at_least(0), below(1)),
          field<"hard_threshold", &Params::hard_threshold>(
              "the hard prediction is 1 where the mean reaches it; 0: 1 / number of runs, as in ivadomed", at_least(0),
              at_most(1)),
          field<"as_ivadomed", &Params::as_ivadomed>("structures of one voxel are left out"));
    }
  };

  /// @param folder  an existing folder for the bits of the runs; nothing stays there
  explicit UncertaintyAccumulator(std::string folder) : UncertaintyAccumulator(std::move(folder), Params{}) {}
  UncertaintyAccumulator(std::string folder, const Params& params) : folder_(std::move(folder)), params_(params) {}

  /// Takes the prediction of a run.
  /// @param prediction  [class, i, j, k] in [0, 1], on the grid of the image, before post-processing
  /// @param what        for errors, such as the name of the image
  /// @throws Error (data) if the shape is not that of the runs before or a value is NaN or out of [0, 1]; (internal) if
  ///         the disk is full. The run does not count then
  void add(ArrayView<const float> prediction, const std::string& what = "an image");

  /// Number of runs so far.
  [[nodiscard]] std::int64_t runs() const noexcept { return masks_ ? masks_->size() : 0; }

  /// The maps of the runs so far.
  /// @throws Error (internal) if there was none, or the file of the runs cannot be read
  /// @complexity a pass over the voxels for each run and class
  [[nodiscard]] UncertaintyMaps finish();

 private:
  std::string folder_;
  Params params_;
  Shape shape_;
  Array<double> sum_;
  std::unique_ptr<MaskSpool> masks_;
};

IVADO_INLINE void UncertaintyAccumulator::add(ArrayView<const float> prediction, const std::string& what) {
  const std::string doing = "adding a prediction of " + what + " to its uncertainty";
  if (prediction.rank() != 4 || prediction.size() == 0)
    throw data_error(doing, "its shape is " + prediction.shape().text(), "expected [class, i, j, k]");
  if (masks_ && !(prediction.shape() == shape_))
    throw data_error(doing, "its shape is " + prediction.shape().text() + ", that of the first one " + shape_.text(),
                     "all predictions must lie on the grid of one image");
  Array<float> dense;
  if (!prediction.is_dense()) {
    dense = Array<float>::from(prediction);
    prediction = std::as_const(dense).view();
  }
  const float* const values = prediction.data();
  const std::int64_t size = prediction.size();
  for (std::int64_t i = 0; i < size; ++i)
    if (!(values[i] >= 0 && values[i] <= 1))
      throw data_error(doing, detail::text("a value is ", values[i], ", expected 0 to 1"),
                       "uncertainty needs a last activation that gives probabilities");
  if (!masks_) {
    shape_ = prediction.shape();
    sum_ = zeros<double>(shape_);
    masks_ = std::make_unique<MaskSpool>(folder_, size);
  }
  masks_->add([&](std::int64_t i) { return static_cast<double>(values[i]) > params_.foreground_above; });
  for (std::int64_t i = 0; i < size; ++i) sum_[i] += static_cast<double>(values[i]);
}

IVADO_INLINE UncertaintyMaps UncertaintyAccumulator::finish() {
  if (runs() == 0) throw internal_error("making maps of uncertainty", "there is no prediction");
  const auto n = static_cast<double>(runs());
  const double threshold = params_.hard_threshold > 0 ? params_.hard_threshold : 1 / n;
  UncertaintyMaps out;
  out.runs = runs();
  out.soft = Array<float>(shape_);
  out.hard = Array<float>(shape_);
  out.entropy = Array<float>(shape_);
  for (std::int64_t i = 0; i < sum_.size(); ++i) {
    const double mean = std::min(sum_[i] / n, 1.0);
    out.soft[i] = static_cast<float>(mean);
    out.hard[i] = mean >= threshold ? 1.0F : 0.0F;
    out.entropy[i] = static_cast<float>(binary_entropy(mean));
  }
  out.overlap = zeros(shape_);
  out.variation = zeros(shape_);
  out.mean_entropy = zeros(shape_);

  // All classes at once, so that each run is read once.
  Array<std::uint8_t> mask(shape_);
  std::copy(out.hard.begin(), out.hard.end(), mask.begin());
  std::vector<StructureAgreement> agreements;
  for (std::int64_t c = 0; c < shape_[0]; ++c)
    agreements.emplace_back(std::as_const(mask).view().select(0, c), params_.as_ivadomed ? 2 : 1);
  for (std::int64_t run = 0; run < runs(); ++run) {
    masks_->read(run, [&](std::int64_t i, bool is_set) { mask[i] = is_set ? 1 : 0; });
    for (std::int64_t c = 0; c < shape_[0]; ++c)
      agreements[static_cast<std::size_t>(c)].add(std::as_const(mask).view().select(0, c));
  }
  for (std::int64_t c = 0; c < shape_[0]; ++c) {
    const StructureAgreement& agreement = agreements[static_cast<std::size_t>(c)];
    std::vector<UncertainStructure> structures = agreement.result();
    agreement.for_each_run(sum_.view().select(0, c), [&](std::size_t s, const double* sum, std::int64_t length) {
      for (std::int64_t i = 0; i < length; ++i) structures[s].mean_entropy += binary_entropy(std::min(sum[i] / n, 1.0));
    });
    for (auto& structure : structures) {
      structure.class_index = c;
      structure.mean_entropy /= static_cast<double>(structure.voxels);
    }
    agreement.for_each_run(out.overlap.view().select(0, c), [&](std::size_t s, float* first, std::int64_t length) {
      const std::int64_t at = first - out.overlap.data();
      std::fill_n(first, length, static_cast<float>(structures[s].overlap));
      std::fill_n(out.variation.data() + at, length, static_cast<float>(structures[s].variation));
      std::fill_n(out.mean_entropy.data() + at, length, static_cast<float>(structures[s].mean_entropy));
    });
    out.structures.insert(out.structures.end(), structures.begin(), structures.end());
  }
  return out;
}

}  // namespace ivado
