// Several raters of one image: what they agree on, and the one that a training sample gets.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../inline.hpp"
#include "../random.hpp"
#include "array.hpp"
#include "case.hpp"

namespace ivado::detail {

/// The label files of a class, one a rater, each once; none for a class without a file.
[[nodiscard]] IVADO_INLINE std::vector<std::string> label_files(const Case& one, std::size_t c) {
  std::vector<std::string> files;
  for (std::size_t rater = 0; rater < one.raters(); ++rater) {
    const std::string& path = one.labels_of(rater)[c];
    if (!path.empty() && std::find(files.begin(), files.end(), path) == files.end()) files.push_back(path);
  }
  return files;
}

/// What the raters of a class agree on: the mean of their labels. Where labels are masks, each is made 0 or 1 before
/// (at 0.5), so that at least 0.5 is the vote of at least half of the raters. One label stays as it is.
/// @param read  gives the voxels of a file; those of one class have one shape
/// @return      empty where there are no files
template <class Read>
[[nodiscard]] Array<float> agreed_label(const std::vector<std::string>& files, bool is_mask, const Read& read) {
  Array<float> sum;
  for (const auto& file : files) {
    Array<float> label = read(file);
    if (is_mask && files.size() > 1)
      for (float& value : label) value = value >= 0.5F ? 1.0F : 0.0F;
    if (sum.empty())
      sum = std::move(label);
    else
      zip(std::as_const(label).view(), sum.view(), [](float value, float& total) { total += value; });
  }
  if (files.size() > 1)
    for (float& value : sum) value /= static_cast<float>(files.size());
  return sum;
}

/// The rater whose labels a training sample gets, each as likely; the same for all its classes.
[[nodiscard]] IVADO_INLINE std::size_t draw_rater(std::size_t raters, const RandomKey& key) {
  return Rng(key.with_stream(stream_rater)).below(static_cast<std::uint32_t>(raters));
}

/// Of labels [rater × class, …] those of one rater, [class, …].
IVADO_INLINE void keep_rater(Array<float>& labels, std::size_t raters, std::size_t rater) {
  if (raters < 2 || labels.empty()) return;
  const std::int64_t classes = labels.extent(0) / static_cast<std::int64_t>(raters);
  labels =
      Array<float>::from(std::as_const(labels).view().narrow(0, static_cast<std::int64_t>(rater) * classes, classes));
}

}  // namespace ivado::detail
