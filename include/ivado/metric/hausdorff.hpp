// ivadomed's hausdorff_score, kept under its name for comparison of numbers with ivadomed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "metric.hpp"

namespace ivado {

/// ivadomed's `hausdorff_score`, for comparison with it only: it is NOT a distance of shapes (known-problems B6.6).
///
/// The rows of a 2-D array are taken as points whose coordinates are the voxel values; the score is the largest
/// distance from a row of the prediction to the nearest row of the truth, hence directed and in units of intensity.
///   [a, c]           that score
///   [a, b, c]        mean over b of the score of the slices [:, i, :]
///   [class, h, d, w] read, without transposing, as an array [h, class·d, w]; then as above
/// NaN for arrays without elements.
struct HausdorffScore {
  static constexpr std::string_view name = "hausdorff_score";

  /// @throws Error (data) if the shapes differ or have 1 axis or more than 4
  template <class P, class G>
  [[nodiscard]] double operator()(ArrayView<P> prediction, ArrayView<G> truth) const {
    detail::require_same_shape(name, prediction.shape(), truth.shape());
    if (prediction.size() == 0) return undefined_score;
    const int rank = prediction.rank();
    if (rank < 2 || rank > 4)
      throw data_error("computing hausdorff_score",
                       "arrays of shape " + prediction.shape().text() + " were given, expected 2 to 4 axes");
    Array<double> p(prediction.shape());
    Array<double> g(truth.shape());
    copy(prediction, p.view());
    copy(truth, g.view());
    const Shape& shape = p.shape();
    const Shape read = rank == 2   ? Shape{shape[0], 1, shape[1]}
                       : rank == 3 ? shape
                                   : Shape{shape[1], shape[0] * shape[2], shape[3]};
    double sum = 0;
    for (std::int64_t i = 0; i < read[1]; ++i) sum += directed(p.data(), g.data(), read, i);
    return sum / static_cast<double>(read[1]);
  }

 private:
  /// The directed score of the slices [:, i, :] of two dense arrays.
  [[nodiscard]] static double directed(const double* p, const double* g, const Shape& shape, std::int64_t i) {
    const auto row = [&](const double* array, std::int64_t r) { return array + (r * shape[1] + i) * shape[2]; };
    double largest = 0;
    for (std::int64_t r = 0; r < shape[0]; ++r) {
      double nearest = std::numeric_limits<double>::infinity();
      for (std::int64_t s = 0; s < shape[0] && nearest > largest; ++s) {
        const double* a = row(p, r);
        const double* b = row(g, s);
        double squared = 0;
        for (std::int64_t k = 0; k < shape[2]; ++k) squared += (a[k] - b[k]) * (a[k] - b[k]);
        nearest = std::min(nearest, squared);
      }
      largest = std::max(largest, nearest);
    }
    return std::sqrt(largest);
  }
};

static_assert(Metric<HausdorffScore>);

}  // namespace ivado
