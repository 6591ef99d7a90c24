// How well keypoints are found: predicted points matched to true ones, and their distances in mm.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "../postprocess/keypoints.hpp"
#include "overlap.hpp"

namespace ivado {

/// A predicted point that was taken for a true one.
struct KeypointMatch {
  std::size_t predicted = 0;  ///< its number among the predicted points
  std::size_t truth = 0;      ///< number among the true points
  double distance_mm = 0;
};

/// How predicted points agree with true ones.
struct KeypointScore {
  std::int64_t truth = 0;              ///< true points
  std::int64_t predicted = 0;          ///< predicted points
  std::vector<KeypointMatch> matches;  ///< the nearest pair first

  /// Counts the points of another image as well. The numbers in `matches` then no longer tell the points.
  IVADO_INLINE void add(const KeypointScore& other) {
    truth += other.truth;
    predicted += other.predicted;
    matches.insert(matches.end(), other.matches.begin(), other.matches.end());
    std::stable_sort(matches.begin(), matches.end(),
                     [](const auto& a, const auto& b) { return a.distance_mm < b.distance_mm; });
  }
  /// True points without a predicted one.
  [[nodiscard]] std::int64_t missed() const noexcept { return truth - matched(); }
  /// Predicted points without a true one.
  [[nodiscard]] std::int64_t false_points() const noexcept { return predicted - matched(); }
  [[nodiscard]] std::int64_t matched() const noexcept { return static_cast<std::int64_t>(matches.size()); }
  /// Mean distance of the matched pairs, mm; NaN where there is none.
  [[nodiscard]] IVADO_INLINE double mean_error_mm() const noexcept {
    double sum = 0;
    for (const auto& match : matches) sum += match.distance_mm;
    return matches.empty() ? undefined_score : sum / static_cast<double>(matches.size());
  }
  /// Median distance of the matched pairs, mm; NaN where there is none.
  [[nodiscard]] IVADO_INLINE double median_error_mm() const noexcept {
    const std::size_t n = matches.size();
    if (n == 0) return undefined_score;
    return 0.5 * (matches[(n - 1) / 2].distance_mm + matches[n / 2].distance_mm);
  }
};

/// Matches predicted to true points of one class, greedily: of all pairs that are left, the nearest is matched first,
/// until no pair is within `max_distance_mm`. Each point is matched once at most.
///
/// Greedy, because a point close to its truth then never yields it to another; an assignment with the least sum
/// of distances would do that to match one pair more. Pairs of one distance are taken in the order of the points.
/// Classes are not looked at: see `score_keypoints_by_class`.
/// @param max_distance_mm  above 0; in the world, so points of grids that differ can be compared
/// @throws Error (usage) if the distance is not above 0
[[nodiscard]] IVADO_INLINE KeypointScore score_keypoints(std::span<const Keypoint> predicted,
                                                         std::span<const Keypoint> truth, double max_distance_mm) {
  if (!(max_distance_mm > 0))
    throw usage_error("matching keypoints", detail::text("the largest distance is ", max_distance_mm, " mm"),
                      "give one above 0");
  std::vector<KeypointMatch> pairs;
  for (std::size_t p = 0; p < predicted.size(); ++p)
    for (std::size_t t = 0; t < truth.size(); ++t) {
      const auto& a = predicted[p].world_mm;
      const auto& b = truth[t].world_mm;
      const double distance = std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
      if (distance <= max_distance_mm) pairs.push_back({p, t, distance});
    }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const auto& a, const auto& b) { return a.distance_mm < b.distance_mm; });
  KeypointScore score;
  score.predicted = static_cast<std::int64_t>(predicted.size());
  score.truth = static_cast<std::int64_t>(truth.size());
  std::vector<bool> predicted_taken(predicted.size(), false);
  std::vector<bool> truth_taken(truth.size(), false);
  for (const auto& pair : pairs) {
    if (predicted_taken[pair.predicted] || truth_taken[pair.truth]) continue;
    predicted_taken[pair.predicted] = truth_taken[pair.truth] = true;
    score.matches.push_back(pair);
  }
  return score;
}

/// `score_keypoints` of each class that has a true or a predicted point. The numbers in `matches` count the points of
/// the class alone, in their order.
[[nodiscard]] IVADO_INLINE std::map<std::int64_t, KeypointScore> score_keypoints_by_class(
    std::span<const Keypoint> predicted, std::span<const Keypoint> truth, double max_distance_mm) {
  std::map<std::int64_t, std::pair<std::vector<Keypoint>, std::vector<Keypoint>>> by_class;
  for (const auto& point : predicted) by_class[point.class_index].first.push_back(point);
  for (const auto& point : truth) by_class[point.class_index].second.push_back(point);
  std::map<std::int64_t, KeypointScore> out;
  for (const auto& [number, points] : by_class)
    out.emplace(number, score_keypoints(points.first, points.second, max_distance_mm));
  return out;
}

}  // namespace ivado
