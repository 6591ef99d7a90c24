// Balanced sampling: samples of each kind are seen as often, however many of it there are.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../inline.hpp"
#include "../random.hpp"
#include "case.hpp"
#include "split.hpp"

namespace ivado {

/// Draws the samples of an epoch with replacement, as many as there are. A sample has the weight 1 / number of samples
/// of its kind, as in ivadomed's BalancedSampler, so each kind makes up the same part of an epoch on average.
class BalancedSampler {
 public:
  /// @param kinds  the kind of each sample, in words
  IVADO_INLINE explicit BalancedSampler(const std::vector<std::string>& kinds) : size_(kinds.size()) {
    std::map<std::string, std::vector<std::int64_t>> by_kind;
    for (std::size_t i = 0; i < kinds.size(); ++i) by_kind[kinds[i]].push_back(static_cast<std::int64_t>(i));
    kinds_.assign(std::make_move_iterator(by_kind.begin()), std::make_move_iterator(by_kind.end()));
  }

  /// Number of kinds.
  [[nodiscard]] std::size_t kinds() const noexcept { return kinds_.size(); }
  /// The numbers of the samples of an epoch: a function of the key, which names seed and epoch.
  [[nodiscard]] IVADO_INLINE std::vector<std::int64_t> order(const RandomKey& key) const {
    Rng rng(key);
    std::vector<std::int64_t> out(size_);
    for (auto& sample : out) {
      const auto& of_kind = kinds_[rng.below(static_cast<std::uint32_t>(kinds_.size()))].second;
      sample = of_kind[rng.below(static_cast<std::uint32_t>(of_kind.size()))];
    }
    return out;
  }
  /// "12 samples with a label, 80 without".
  [[nodiscard]] IVADO_INLINE std::string describe() const {
    std::string out;
    for (const auto& [kind, samples] : kinds_)
      out += (out.empty() ? "" : ", ") + std::to_string(samples.size()) + " " + kind;
    return out;
  }

 private:
  std::size_t size_;
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> kinds_;  // with its samples, in order of the words
};

/// The sampler that `training_parameters.balance_samples.type` asks for.
/// @param type  "gt": whether the label of the first class is empty in a sample (`CaseDataset::shows_first_class`);
///              else a metadata column, the values of which are the kinds, and no value is one as well
/// @throws Error (usage) if the data have no such column
template <class Data>
requires requires(const Data& data, std::size_t i) {
  { data.shows_first_class(i) } -> std::same_as<bool>;
  { data.case_of(i) } -> std::convertible_to<const Case&>;
  data.origin(i).volume;
}
[[nodiscard]] BalancedSampler balance_samples(const Data& training, std::string_view type) {
  std::vector<std::string> kinds(training.size());
  if (type == "gt") {
    for (std::size_t i = 0; i < kinds.size(); ++i)
      kinds[i] = training.shows_first_class(i) ? "with the first class" : "without the first class";
    return BalancedSampler(kinds);
  }
  std::vector<Case> cases;
  std::vector<std::string> of_case;
  const std::string column(type);
  for (std::size_t v = 0; v < training.volumes(); ++v) {
    cases.push_back(training.case_of(v));
    of_case.push_back("of " + column + " " + detail::column_value(cases.back(), column).value_or("n/a"));
  }
  if (!cases.empty()) detail::check_column(cases, column, "training_parameters.balance_samples.type");
  for (std::size_t i = 0; i < kinds.size(); ++i)
    kinds[i] = of_case[static_cast<std::size_t>(training.origin(i).volume)];
  return BalancedSampler(kinds);
}

}  // namespace ivado
