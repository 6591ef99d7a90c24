// MetadataEncoder: what conditions a FiLM model, as one-hot vectors: the contrast, a column, or the MRI parameters.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "case.hpp"
#include "split.hpp"

namespace ivado {

namespace detail {

/// Whether one category stands before another: numbers by their value and before text, text by its letters.
[[nodiscard]] IVADO_INLINE bool category_before(const std::string& a, const std::string& b) {
  const auto x = as_number(a);
  const auto y = as_number(b);
  if (x && y && *x != *y) return *x < *y;
  if (x.has_value() != y.has_value()) return x.has_value();
  return a < b;
}

/// A number of a sidecar; of several (a list, or text with commas) their mean, as in ivadomed.
[[nodiscard]] IVADO_INLINE std::optional<double> sidecar_number(const Json& value) {
  if (value.is_number()) {
    const auto number = value.get<double>();
    return std::isfinite(number) ? std::optional(number) : std::nullopt;
  }
  double sum = 0;
  std::size_t count = 0;
  if (value.is_array()) {
    for (const auto& one : value) {
      const auto number = one.is_array() ? std::nullopt : sidecar_number(one);
      if (!number) return std::nullopt;
      sum += *number;
      ++count;
    }
  } else if (value.is_string()) {
    for (std::string_view rest = value.get_ref<const std::string&>();;) {
      const auto comma = rest.find(',');
      std::string_view part = rest.substr(0, comma);
      while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
      while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
      const auto number = as_number(part);
      if (!number) return std::nullopt;
      sum += *number;
      ++count;
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

/// Logarithm of a sum of Gaussian kernels, each value counted `weight` times; -infinity where nothing is counted.
[[nodiscard]] IVADO_INLINE double log_density(double at, const std::vector<double>& values,
                                              const std::vector<double>& weights, double bandwidth) {
  double largest = -std::numeric_limits<double>::infinity();
  const auto exponent = [&](std::size_t i) {
    const double z = (at - values[i]) / bandwidth;
    return -0.5 * z * z;
  };
  double total = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (weights[i] > 0) largest = std::max(largest, exponent(i)), total += weights[i];
  if (total <= 0) return largest;
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (weights[i] > 0) sum += weights[i] * std::exp(exponent(i) - largest);
  return largest + std::log(sum / total) - std::log(bandwidth);
}

/// How densities of one MRI parameter are looked at: 1000 points from `low` to `high`.
struct DensityGrid {
  std::string_view key;
  double low;
  double high;
  bool logarithmic;
};

/// The parameters that are clustered; angles in degrees, times in s, as in BIDS.
inline constexpr std::array<DensityGrid, 3> density_grids{
    {{"FlipAngle", 0, 360, false}, {"RepetitionTime", 0.1, 10, true}, {"EchoTime", 0.001, 10, true}}};

/// Values that lie between clusters. A Gaussian kernel density, its bandwidth the one of 50 from 1e-4 to 10
/// (logarithmic) under which values that it has not seen are most likely: 5 folds, the sorted values dealt out in turn,
/// so that the order of the cases does not count. The borders are the local minima of the density.
/// @param all  at least one value
[[nodiscard]] IVADO_INLINE std::vector<double> cluster_borders(std::vector<double> all, const DensityGrid& grid) {
  std::sort(all.begin(), all.end());
  std::vector<double> values;
  std::vector<double> weights;
  const std::size_t folds = std::min<std::size_t>(5, all.size());
  std::vector<std::vector<double>> of_fold(folds);  // how often each value stands in a fold
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (values.empty() || values.back() != all[i]) {
      values.push_back(all[i]);
      weights.push_back(0);
      for (auto& fold : of_fold) fold.push_back(0);
    }
    weights.back() += 1;
    of_fold[i % folds].back() += 1;
  }
  if (values.size() < 2) return {};

  double best_bandwidth = 0;
  double best_score = -std::numeric_limits<double>::infinity();
  for (int step = 0; step < 50; ++step) {
    const double bandwidth = std::pow(10.0, -4 + 5.0 * step / 49);
    double score = 0;
    for (const auto& held_out : of_fold) {
      std::vector<double> seen = weights;
      for (std::size_t i = 0; i < seen.size(); ++i) seen[i] -= held_out[i];
      for (std::size_t i = 0; i < values.size(); ++i)
        if (held_out[i] > 0) score += held_out[i] * log_density(values[i], values, seen, bandwidth);
    }
    if (step == 0 || score > best_score) {
      best_score = score;
      best_bandwidth = bandwidth;
    }
  }

  // The reference looks at a fixed range; values outside of it (times in ms, say) must not fall together unseen.
  constexpr int points = 1000;
  double low = std::min(grid.low, values.front());
  double high = std::max(grid.high, values.back());
  if (grid.logarithmic) {
    const auto positive = std::find_if(values.begin(), values.end(), [](double value) { return value > 0; });
    low = std::log10(positive == values.end() ? grid.low : std::min(grid.low, *positive));
    high = std::log10(high);
  }
  const auto place = [&](int point) {
    const double x = low + (high - low) * point / (points - 1);
    return grid.logarithmic ? std::pow(10.0, x) : x;
  };
  std::vector<double> borders;
  double before = log_density(place(0), values, weights, best_bandwidth);
  int bottom = -1;  // first of the points from which the density has not risen since it fell
  for (int point = 1; point < points; ++point) {
    const double density = log_density(place(point), values, weights, best_bandwidth);
    if (density < before) {
      bottom = point;
    } else if (density > before && bottom >= 0) {
      borders.push_back(0.5 * (place(bottom) + place(point - 1)));
      bottom = -1;
    }
    before = density;
  }
  return borders;
}

/// The maker of a scanner as ivadomed tells them apart.
[[nodiscard]] IVADO_INLINE std::string manufacturer_group(const std::string& name) {
  std::string small(name);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (small.find("siemens") != std::string::npos) return "Siemens";
  if (small.find("philips") != std::string::npos) return "Philips";
  if (small == "ge" || small.starts_with("ge ") || small.starts_with("general electric")) return "GE";
  return "other";
}

}  // namespace detail

/// Turns what is known of a case into the vector that conditions a FiLM model: one 1 in a row of zeros.
///
/// `metadata` says what is encoded:
///   `contrasts`   the contrast of the first channel, as the configuration names it;
///   `mri_params`  FlipAngle, RepetitionTime and EchoTime of the sidecar, each put into clusters, and Manufacturer
///                 (Siemens, Philips, GE or other): four one-hot vectors, one behind the other;
///   anything else is a key of the metadata: a column of participants.tsv, an entity, a key of the sidecar.
/// Categories are the distinct values of the training cases, numbers in the order of their values and before text.
///
/// A case whose value was not there in training, or that has none, is encoded as zeros, and `unknown` says so: the
/// model then works without that hint. It is one object, kept as JSON in the model package, from training to the
/// segmentation of a single image (ivadomed writes several files, one of them to a wrong place; known-problems B6.16).
/// ivadomed's table of other names for contrasts is not here: a contrast has the name that the configuration gives it.
class MetadataEncoder {
 public:
  /// The key of the configuration that it is made for, for messages.
  static constexpr std::string_view key = "FiLMedUnet.metadata";

  /// What the metadata need and a case does not have; empty where it can be encoded. Such as {"EchoTime"}.
  [[nodiscard]] IVADO_INLINE static std::vector<std::string> lacking(const std::string& metadata, const Case& one) {
    std::vector<std::string> out;
    for (const auto& part : keys_of(metadata))
      if (!value_of(metadata, part, one)) out.push_back(part);
    return out;
  }

  /// Learns the categories from the training cases.
  /// @throws Error (usage) if no case has the key (names the nearest one), or where there is one category alone
  /// @throws Error (data)  if there is no case, or if some have no value: names them
  [[nodiscard]] static MetadataEncoder fit(const std::vector<Case>& training, const std::string& metadata);

  /// An encoder from `to_json`.
  /// @throws Error (data) if the JSON does not describe one
  [[nodiscard]] static MetadataEncoder from_json(const Json& json);

  /// All that is needed to encode further cases.
  [[nodiscard]] Json to_json() const;

  /// What is encoded: `contrasts`, `mri_params` or a key.
  [[nodiscard]] const std::string& metadata() const noexcept { return metadata_; }

  /// Length of a code: the number of categories, over all parts.
  [[nodiscard]] IVADO_INLINE std::size_t size() const noexcept {
    std::size_t sum = 0;
    for (const auto& part : parts_) sum += part.categories.size();
    return sum;
  }

  /// Whether the case has all that is encoded, known values or not.
  [[nodiscard]] bool encodes(const Case& one) const { return lacking(metadata_, one).empty(); }

  /// The code of a case: `size()` numbers, 0 or 1. What is unknown is zeros.
  [[nodiscard]] IVADO_INLINE std::vector<float> encode(const Case& one) const {
    std::vector<float> code;
    for (const auto& part : parts_) append(part, value_of(metadata_, part.key, one), code);
    return code;
  }

  /// The code of a value that a user gives for an image without metadata: a category such as "T2w"; for `mri_params`
  /// the four values in their order, with commas between them: "9, 2.0, 0.003, Siemens".
  /// @throws Error (usage) if it is not among those of training: lists them
  [[nodiscard]] std::vector<float> encode(const std::string& value) const;

  /// What of a case is not known, as a sentence for a warning; nothing where all is known.
  [[nodiscard]] IVADO_INLINE std::optional<std::string> unknown(const Case& one) const {
    std::string out;
    for (const auto& part : parts_) {
      const auto value = value_of(metadata_, part.key, one);
      if (value && index_of(part, *value)) continue;
      out += (out.empty() ? "" : ", ") +
             (value ? part.key + " " + *value + " was in no training case" : "it has no " + part.key);
    }
    if (out.empty()) return std::nullopt;
    return one.id + ": " + out + "; the model is not conditioned on it";
  }

  /// One line for the log: "conditioned on contrasts: T1w, T2w".
  [[nodiscard]] IVADO_INLINE std::string describe() const {
    std::string out = "conditioned on " + metadata_;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const Part& part = parts_[i];
      out += i == 0 ? ": " : "; ";
      if (parts_.size() > 1) out += part.key + " ";
      if (!clustered(part.key)) {
        out += listed(part);
        continue;
      }
      out += detail::text(part.categories.size(), part.categories.size() == 1 ? " cluster" : " clusters");
      for (std::size_t b = 0; b < part.borders.size(); ++b)
        out += detail::text(b == 0 ? " parted at " : ", ", part.borders[b]);
    }
    return out;
  }

  [[nodiscard]] friend bool operator==(const MetadataEncoder&, const MetadataEncoder&) = default;

 private:
  /// One one-hot vector.
  struct Part {
    std::string key;
    std::vector<double> borders;          ///< of the clusters of a number
    std::vector<std::string> categories;  ///< of a cluster, its number from 0 on
    [[nodiscard]] friend bool operator==(const Part&, const Part&) = default;
  };

  [[nodiscard]] IVADO_INLINE static std::vector<std::string> keys_of(const std::string& metadata) {
    if (metadata == "contrasts") return {"contrast"};
    if (metadata != "mri_params") return {metadata};
    std::vector<std::string> out;
    for (const auto& grid : detail::density_grids) out.emplace_back(grid.key);
    out.emplace_back("Manufacturer");
    return out;
  }

  [[nodiscard]] IVADO_INLINE bool clustered(const std::string& part) const {
    return metadata_ == "mri_params" && part != "Manufacturer";
  }

  /// The value of a case as text: as it stands, in one form for numbers.
  [[nodiscard]] IVADO_INLINE static std::optional<std::string> value_of(const std::string& metadata,
                                                                        const std::string& part, const Case& one) {
    if (metadata == "contrasts" && !one.contrasts.empty()) return one.contrasts.front();
    if (metadata != "mri_params") return detail::column_value(one, part);
    const auto found = one.metadata.find(part);
    if (found == one.metadata.end()) return std::nullopt;
    if (part == "Manufacturer") return found->is_string() ? std::optional(found->get<std::string>()) : std::nullopt;
    const auto number = detail::sidecar_number(*found);
    if (!number) return std::nullopt;
    return Json(*number).dump();  // the shortest text that gives the same number
  }

  /// The category that a value falls into, whether it is known or not.
  [[nodiscard]] IVADO_INLINE std::string category_of(const Part& part, const std::string& value) const {
    if (metadata_ != "mri_params") return value;
    if (!clustered(part.key)) return detail::manufacturer_group(value);
    const double number = *detail::as_number(value);
    const auto border = std::upper_bound(part.borders.begin(), part.borders.end(), number);
    return std::to_string(border - part.borders.begin());
  }

  [[nodiscard]] IVADO_INLINE std::optional<std::size_t> index_of(const Part& part, const std::string& value) const {
    const auto found = std::find(part.categories.begin(), part.categories.end(), category_of(part, value));
    if (found == part.categories.end()) return std::nullopt;
    return static_cast<std::size_t>(found - part.categories.begin());
  }

  IVADO_INLINE void append(const Part& part, const std::optional<std::string>& value, std::vector<float>& code) const {
    const std::size_t begin = code.size();
    code.resize(begin + part.categories.size(), 0.0F);
    if (!value) return;
    if (const auto index = index_of(part, *value)) code[begin + *index] = 1;
  }

  [[nodiscard]] IVADO_INLINE static std::string listed(const Part& part) {
    std::string out;
    for (const auto& category : part.categories) out += (out.empty() ? "" : ", ") + category;
    return out;
  }

  std::string metadata_;
  std::vector<Part> parts_;
};

IVADO_INLINE MetadataEncoder MetadataEncoder::fit(const std::vector<Case>& training, const std::string& metadata) {
  const std::string doing = "learning the categories of " + std::string(key) + " \"" + metadata + "\"";
  if (training.empty()) throw data_error(doing, "there is no training case");
  if (metadata != "contrasts")
    for (const auto& part : keys_of(metadata)) detail::check_column(training, part, std::string(key));

  std::map<std::string, std::vector<std::string>> cases_without;  // what is lacking, and the cases
  for (const auto& one : training) {
    std::string what;
    for (const auto& part : lacking(metadata, one)) what += (what.empty() ? "" : " and ") + part;
    if (!what.empty()) cases_without[what].push_back(one.id);
  }
  if (!cases_without.empty()) {
    std::string found;
    for (const auto& [what, ids] : cases_without) {
      found += (found.empty() ? "" : "; ") + what + " has no value that can be used for ";
      for (std::size_t i = 0; i < std::min<std::size_t>(ids.size(), 10); ++i) found += (i == 0 ? "" : ", ") + ids[i];
      if (ids.size() > 10) found += detail::text(" and ", ids.size() - 10, " more");
    }
    throw data_error(doing, found, "add it to participants.tsv or the sidecars, or take these images out");
  }

  MetadataEncoder encoder;
  encoder.metadata_ = metadata;
  std::size_t most = 0;
  for (const auto& name : keys_of(metadata)) {
    Part part{name, {}, {}};
    std::vector<std::string> values;
    for (const auto& one : training) values.push_back(*value_of(metadata, name, one));
    if (encoder.clustered(name)) {
      std::vector<double> numbers;
      for (const auto& value : values) numbers.push_back(*detail::as_number(value));
      const auto grid = std::find_if(detail::density_grids.begin(), detail::density_grids.end(),
                                     [&](const auto& one) { return one.key == name; });
      part.borders = detail::cluster_borders(std::move(numbers), *grid);
    }
    std::set<std::string> categories;
    for (const auto& value : values) categories.insert(encoder.category_of(part, value));
    part.categories.assign(categories.begin(), categories.end());
    std::sort(part.categories.begin(), part.categories.end(), detail::category_before);
    most = std::max(most, part.categories.size());
    encoder.parts_.push_back(std::move(part));
  }
  if (most < 2) {
    std::string found = "all training cases have the same value";
    if (encoder.parts_.size() == 1) found += " (" + encoder.parts_[0].categories[0] + ")";
    throw usage_error(doing, found + ": the conditioning would be constant",
                      "choose other metadata, or train a model without FiLM");
  }
  return encoder;
}

IVADO_INLINE std::vector<float> MetadataEncoder::encode(const std::string& value) const {
  const std::string doing = "encoding the metadata \"" + value + "\" of an image";
  std::vector<std::string> given{value};
  if (metadata_ == "mri_params") {
    given.clear();
    for (std::string_view rest = value;;) {
      const auto comma = rest.find(',');
      std::string_view one = rest.substr(0, comma);
      while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
      while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
      given.emplace_back(one);
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else if (metadata_ != "contrasts") {
    given[0] = detail::comparable(value);
  }
  bool usable = given.size() == parts_.size();
  for (std::size_t i = 0; usable && i < given.size(); ++i)
    usable = !clustered(parts_[i].key) || detail::as_number(given[i]).has_value();
  if (!usable) {
    std::string names;
    for (const auto& part : parts_) names += (names.empty() ? "" : ", ") + part.key;
    throw usage_error(doing, "the model is conditioned on " + names,
                      "give them in this order, with commas: 9, 2.0, 0.003, Siemens (degrees and seconds)");
  }
  std::vector<float> code;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (!index_of(part, given[i]))
      throw usage_error(doing, "no training case had the " + part.key + " " + given[i],
                        clustered(part.key) ? "give a value like those of training"
                                            : "the model knows " + listed(part) + "; did you mean \"" +
                                                  detail::nearest(given[i], part.categories) + "\"?");
    append(part, given[i], code);
  }
  return code;
}

IVADO_INLINE Json MetadataEncoder::to_json() const {
  Json parts = Json::array();
  for (const auto& part : parts_)
    parts.push_back({{"key", part.key}, {"borders", part.borders}, {"categories", part.categories}});
  return {{"metadata", metadata_}, {"parts", std::move(parts)}};
}

IVADO_INLINE MetadataEncoder MetadataEncoder::from_json(const Json& json) {
  const std::string doing = "reading the metadata encoder of a model";
  const std::string remedy = "take the file as training has written it";
  MetadataEncoder out;
  try {
    out.metadata_ = json.at("metadata").get<std::string>();
    for (const auto& part : json.at("parts"))
      out.parts_.push_back({part.at("key").get<std::string>(), part.at("borders").get<std::vector<double>>(),
                            part.at("categories").get<std::vector<std::string>>()});
  } catch (const nlohmann::json::exception& fault) {
    throw data_error(doing, fault.what(), remedy);
  }
  std::vector<std::string> keys;
  for (const auto& part : out.parts_) {
    keys.push_back(part.key);
    if (part.categories.empty() || !std::is_sorted(part.borders.begin(), part.borders.end()))
      throw data_error(doing, "the part " + part.key + " has no categories, or borders that do not rise", remedy);
  }
  if (keys != keys_of(out.metadata_))
    throw data_error(doing, "its parts are not those of the metadata \"" + out.metadata_ + "\"", remedy);
  return out;
}

}  // namespace ivado
