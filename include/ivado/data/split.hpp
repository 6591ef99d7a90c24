// The split of cases into training, validation and testing, by whole groups, with the draws of ivadomed.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../config/json.hpp"
#include "../config/sections.hpp"
#include "../error.hpp"
#include "../inline.hpp"
#include "atomic_file.hpp"
#include "case.hpp"

namespace ivado {

/// `split_dataset.data_testing`.
struct DataTestingParams {
  std::optional<std::string> data_type;
  std::vector<Cell> data_value;
  static constexpr auto fields() {
    return ivado::fields(ivado::field<"data_type", &DataTestingParams::data_type>(
                             "column that selects the test set; null: split_method"),
                         ivado::field<"data_value", &DataTestingParams::data_value>(
                             "values of that column that go to the test set; none: drawn with test_fraction"));
  }
};

/// `split_dataset`.
struct SplitParams {
  std::optional<std::string> fname_split;
  std::int64_t random_seed = 6;
  std::string split_method = "participant_id";
  DataTestingParams data_testing;
  std::optional<std::string> balance;
  double train_fraction = 0.6;
  double test_fraction = 0.2;
  bool as_ivadomed = false;

  static constexpr auto fields() {
    return ivado::fields(
        ivado::field<"fname_split", &SplitParams::fname_split>(
            "JSON file with the lists train, valid and test of file names or participant ids; replaces all other keys "
            "here"),
        ivado::field<"random_seed", &SplitParams::random_seed>("seed of the split", within(0, 4294967295.0)),
        ivado::field<"split_method", &SplitParams::split_method>(
            "column whose values are groups that stay together, such as participant_id or institution_id"),
        ivado::field<"data_testing", &SplitParams::data_testing>("what goes to the test set"),
        ivado::field<"balance", &SplitParams::balance>("column with categories; each is split by itself"),
        ivado::field<"train_fraction", &SplitParams::train_fraction>("fraction of all groups for training", above(0),
                                                                     below(1)),
        ivado::field<"test_fraction", &SplitParams::test_fraction>("fraction of the values of data_type for testing",
                                                                   at_least(0), below(1)),
        ivado::field<"as_ivadomed", &SplitParams::as_ivadomed>(
            "as in ivadomed, let a group have cases in the test set and in another, or on both sides where it has "
            "several categories"));
  }
};

/// A split: numbers of cases in the list that was split, each list in increasing order.
struct Split {
  std::vector<std::size_t> training;
  std::vector<std::size_t> validation;
  std::vector<std::size_t> testing;
  std::vector<std::pair<std::size_t, std::string>> left_out;  ///< cases in none of the sets, with the reason
  std::vector<std::string> warnings;
};

/// The 32-bit Mersenne twister (Matsumoto and Nishimura 1998, doi:10.1145/272991.272995) with the seeding of NumPy's
/// legacy generator (a number) and of Python's `random` (a list of words).
class MersenneTwister {
 public:
  IVADO_INLINE explicit MersenneTwister(std::uint32_t seed) {
    state_[0] = seed;
    for (std::uint32_t i = 1; i < size; ++i) state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }
  /// As Python's `random.seed(seed)` with a number below 2^32.
  [[nodiscard]] IVADO_INLINE static MersenneTwister of_python(std::uint32_t seed) {
    MersenneTwister out(19650218U);
    auto& s = out.state_;
    std::uint32_t i = 1;
    for (std::uint32_t k = 0; k < size; ++k) {
      s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525U)) + seed;
      if (++i == size) s[0] = s[size - 1], i = 1;
    }
    for (std::uint32_t k = 0; k + 1 < size; ++k) {
      s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941U)) - i;
      if (++i == size) s[0] = s[size - 1], i = 1;
    }
    s[0] = 0x80000000U;
    return out;
  }
  /// 32 random bits.
  [[nodiscard]] IVADO_INLINE std::uint32_t bits() {
    if (next_ == size) {
      for (std::uint32_t k = 0; k < size; ++k) {
        const std::uint32_t y = (state_[k] & 0x80000000U) | (state_[(k + 1) % size] & 0x7FFFFFFFU);
        state_[k] = state_[(k + 397) % size] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908B0DFU : 0U);
      }
      next_ = 0;
    }
    std::uint32_t y = state_[next_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680U;
    y ^= (y << 15) & 0xEFC60000U;
    return y ^ (y >> 18);
  }

 private:
  static constexpr std::uint32_t size = 624;
  std::array<std::uint32_t, size> state_{};
  std::uint32_t next_ = size;
};

/// `numpy.random.RandomState(seed).permutation(n)` (Fisher and Yates, draws masked and rejected).
[[nodiscard]] IVADO_INLINE std::vector<std::size_t> numpy_permutation(std::uint32_t seed, std::size_t n) {
  MersenneTwister random(seed);
  std::vector<std::size_t> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = i;
  for (std::size_t i = n; i-- > 1;) {
    std::uint32_t mask = 1;
    while (mask < i) mask = (mask << 1) | 1U;
    std::uint32_t draw = random.bits() & mask;
    while (draw > i) draw = random.bits() & mask;
    std::swap(out[i], out[draw]);
  }
  return out;
}

/// `random.sample(range(n), count)` of Python 3, from a generator in use.
[[nodiscard]] IVADO_INLINE std::vector<std::size_t> python_sample(MersenneTwister& random, std::size_t n,
                                                                  std::size_t count) {
  const auto below = [&](std::size_t limit) {
    int length = 0;
    while ((limit >> length) != 0) ++length;
    std::size_t draw = random.bits() >> (32 - length);
    while (draw >= limit) draw = random.bits() >> (32 - length);
    return draw;
  };
  std::size_t small = 21;  // above it Python draws from a set, not from a pool
  if (count > 5) {
    std::size_t power = 1;
    while (power < count * 3) power *= 4;
    small += power;
  }
  std::vector<std::size_t> out;
  if (n <= small) {
    std::vector<std::size_t> pool(n);
    for (std::size_t i = 0; i < n; ++i) pool[i] = i;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t draw = below(n - i);
      out.push_back(pool[draw]);
      pool[draw] = pool[n - i - 1];
    }
  } else {
    while (out.size() < count) {
      const std::size_t draw = below(n);
      if (std::find(out.begin(), out.end(), draw) == out.end()) out.push_back(draw);
    }
  }
  return out;
}

namespace detail {

[[nodiscard]] IVADO_INLINE std::optional<double> as_number(std::string_view text) {
  double out = 0;
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (fault != std::errc() || end != text.data() + text.size() || !std::isfinite(out)) return std::nullopt;
  return out;
}

/// A value in the form in which values are compared: numbers in one form, text as it is, and as text also what has
/// more digits than a double holds (an identifier).
[[nodiscard]] IVADO_INLINE std::string comparable(const std::string& value) {
  if (std::count_if(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; }) > 15) return value;
  const auto number = as_number(value);
  return number ? number_text(*number) : value;
}

/// The value of a case in a column, in the form for comparing; empty where it has none.
[[nodiscard]] IVADO_INLINE std::optional<std::string> column_value(const Case& one, const std::string& column) {
  const auto found = one.metadata.find(column);
  if (found == one.metadata.end() || found->is_null()) return std::nullopt;
  return comparable(found->is_string() ? found->get<std::string>() : found->dump());
}

/// Refuses a column that no case has.
IVADO_INLINE void check_column(const std::vector<Case>& cases, const std::string& column, const std::string& key) {
  std::set<std::string> columns;
  for (const auto& one : cases)
    for (const auto& item : one.metadata.items()) {
      if (item.key() == column) return;
      if (!item.value().is_structured()) columns.insert(item.key());
    }
  throw usage_error("reading the configuration key " + key, "the data have no column \"" + column + "\"",
                    columns.empty() ? "check participants.tsv"
                                    : "did you mean \"" + nearest(column, {columns.begin(), columns.end()}) + "\"?");
}

[[nodiscard]] IVADO_INLINE std::string_view file_name(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);
}

/// A case that takes part in a split: its number, its group, and its value of the column that selects the test set.
struct SplitMember {
  std::size_t number;
  std::string group;
  std::optional<std::string> type;
};

/// Splits the cases of one category; `members` in the order of their files.
IVADO_INLINE void split_category(const SplitParams& params, const std::string& data_type,
                                 const std::vector<SplitMember>& members, const std::string& category, Split& out) {
  const std::string doing = "splitting the data by " + params.split_method +
                            (category.empty() ? "" : ", " + *params.balance + " " + category);
  const auto seed = static_cast<std::uint32_t>(params.random_seed);

  // The values that go to the test set.
  std::set<std::string> test_values;
  if (!params.data_testing.data_value.empty()) {
    for (const auto& value : params.data_testing.data_value) test_values.insert(comparable(value.text()));
  } else if (params.test_fraction > 0) {
    std::set<std::string> distinct;
    for (const auto& one : members)
      if (one.type) distinct.insert(*one.type);
    std::vector<std::string> values(distinct.begin(), distinct.end());
    if (std::all_of(values.begin(), values.end(),
                    [](const std::string& value) { return as_number(value).has_value(); }))
      std::stable_sort(values.begin(), values.end(),
                       [](const std::string& a, const std::string& b) { return *as_number(a) < *as_number(b); });
    if (values.size() < 2)
      throw usage_error(doing, text("a test set cannot be drawn from ", values.size(), " value(s) of ", data_type),
                        "split by a column with more values, or set test_fraction to 0");
    const auto n = values.size();
    const double fraction = std::max(params.test_fraction, 1.0 / static_cast<double>(n));
    const auto count =
        std::max<std::size_t>(1, static_cast<std::size_t>(std::floor(fraction * static_cast<double>(n))));
    const auto order = numpy_permutation(seed, n);
    for (std::size_t k = n - count; k < n; ++k) test_values.insert(values[order[k]]);
  }

  // Groups: all, those with a case in the test set, and the remaining ones in the order of their first case.
  std::set<std::string> all;
  std::set<std::string> tested;
  std::vector<const SplitMember*> others;
  for (const auto& one : members) {
    all.insert(one.group);
    if (one.type && test_values.contains(*one.type)) {
      out.testing.push_back(one.number);
      tested.insert(one.group);
    } else {
      others.push_back(&one);
    }
  }
  if (!params.as_ivadomed)
    std::erase_if(others, [&](const SplitMember* one) {
      const bool leaks = tested.contains(one->group);
      if (leaks)
        out.left_out.emplace_back(one->number, "another case of its " + params.split_method + " is in the test set");
      return leaks;
    });
  std::vector<std::string> remaining;
  std::set<std::string> listed;
  for (const auto* one : others)
    if (listed.insert(one->group).second) remaining.push_back(one->group);

  const auto n = remaining.size();
  const std::string left =
      text(n, " of ", all.size(), " values of ", params.split_method, " remain for training and validation");
  const std::string hint = "lower split_dataset.train_fraction or test_fraction, or split by a column with more values";
  if (n == 0)
    throw usage_error(doing, left,
                      tested.size() == all.size()
                          ? "every group has a case in the test set; choose data_testing so that some have none"
                          : hint);
  const double fraction = params.train_fraction * static_cast<double>(all.size()) / static_cast<double>(n);
  const auto count = static_cast<std::size_t>(std::floor(std::min(fraction, 1.0) * static_cast<double>(n)));
  if (fraction >= 1 || count >= n || n < 2)
    throw usage_error(
        doing, left + ", and train_fraction " + text(params.train_fraction) + " leaves none for validation", hint);
  if (count == 0)
    throw usage_error(doing, left + ", and train_fraction " + text(params.train_fraction) + " takes none for training",
                      "raise split_dataset.train_fraction, or split by a column with more values");
  const auto order = numpy_permutation(seed, n);
  std::set<std::string> training;
  for (std::size_t k = n - count; k < n; ++k) training.insert(remaining[order[k]]);
  for (const auto* one : others) (training.contains(one->group) ? out.training : out.validation).push_back(one->number);
}

/// The cases that `subject_selection` keeps, out of those given in the order of their files.
[[nodiscard]] IVADO_INLINE std::vector<std::size_t> select_subjects(const std::vector<Case>& cases,
                                                                    const SubjectSelection& selection,
                                                                    std::int64_t seed,
                                                                    const std::vector<std::size_t>& members,
                                                                    Split& out) {
  if (selection.n.size() != selection.metadata.size() || selection.n.size() != selection.value.size())
    throw usage_error("reading the configuration key loader_parameters.subject_selection",
                      text("its lists have ", selection.n.size(), ", ", selection.metadata.size(), " and ",
                           selection.value.size(), " entries"),
                      "give n, metadata and value the same length");
  if (selection.n.empty()) return members;
  auto random = MersenneTwister::of_python(static_cast<std::uint32_t>(seed));
  std::set<std::string> kept;
  for (std::size_t k = 0; k < selection.n.size(); ++k) {
    const std::string& column = selection.metadata[k];
    check_column(cases, column, "loader_parameters.subject_selection.metadata");
    const std::string asked = comparable(selection.value[k].text());
    std::vector<std::string> subjects;
    std::set<std::string> listed;
    for (const auto i : members)
      if (column_value(cases[i], column) == asked && listed.insert(cases[i].subject).second)
        subjects.push_back(cases[i].subject);
    const auto wanted = static_cast<std::size_t>(selection.n[k]);
    if (subjects.size() < wanted)
      throw usage_error("selecting subjects by " + column,
                        text(wanted, " with the value ", selection.value[k].text(), " are asked for, and there are ",
                             subjects.size()),
                        "lower loader_parameters.subject_selection.n");
    for (const auto number : python_sample(random, subjects.size(), wanted)) kept.insert(subjects[number]);
  }
  std::vector<std::size_t> result;
  for (const auto i : members) {
    if (kept.contains(cases[i].subject))
      result.push_back(i);
    else
      out.left_out.emplace_back(i, "not drawn by loader_parameters.subject_selection");
  }
  return result;
}

}  // namespace detail

/// Splits cases as three lists of names say: `{"train": […], "valid": […], "test": […]}`.
///
/// A name is that of an image file, the id of a case, or a participant ("sub-01": all of the subject's cases, where no
/// file has that name). Names that fit nothing give a warning, and so does a participant with cases in two lists.
/// @param source  where the lists come from, for messages
/// @throws Error (usage) if a list is missing or is none, or a case stands in two of them
[[nodiscard]] IVADO_INLINE Split split_by_names(const std::vector<Case>& cases, const Json& names,
                                                const std::string& source) {
  const std::string doing = "splitting the data by " + source;
  std::map<std::string, std::vector<std::size_t>> by_name;
  std::map<std::string, std::vector<std::size_t>> by_subject;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    std::set<std::string> own{cases[i].id};
    for (const auto& image : cases[i].images)
      if (!image.empty()) own.insert(std::string(detail::file_name(image)));
    for (const auto& name : own) by_name[name].push_back(i);
    by_subject[cases[i].subject].push_back(i);
  }
  Split out;
  std::vector<const char*> place(cases.size(), nullptr);
  const std::array<std::pair<const char*, std::vector<std::size_t>*>, 3> lists{
      {{"train", &out.training}, {"valid", &out.validation}, {"test", &out.testing}}};
  for (const auto& [key, list] : lists) {
    if (!names.is_object() || !names.contains(key) || !names[key].is_array())
      throw usage_error(doing, std::string("there is no list \"") + key + "\"",
                        "give an object with the lists train, valid and test");
    for (const auto& item : names[key]) {
      if (!item.is_string())
        throw usage_error(doing, std::string("an entry of \"") + key + "\" is no text",
                          "list file names or participant ids");
      const std::string name = item.get<std::string>();
      auto found = by_name.find(name);
      if (found == by_name.end() && (found = by_subject.find(name)) == by_subject.end()) {
        out.warnings.push_back(source + " names " + name + ", which is no case of this run");
        continue;
      }
      for (const auto i : found->second) {
        if (place[i] != nullptr && place[i] != std::string_view(key))
          throw usage_error(doing, cases[i].id + " stands in \"" + place[i] + "\" and in \"" + key + "\"",
                            "keep it in one list");
        if (place[i] == nullptr) list->push_back(i);
        place[i] = key;
      }
    }
    std::sort(list->begin(), list->end());
  }
  for (std::size_t i = 0; i < cases.size(); ++i)
    if (place[i] == nullptr) out.left_out.emplace_back(i, "not named in " + source);
  for (const auto& [subject, numbers] : by_subject) {
    std::set<std::string_view> sides;
    for (const auto i : numbers)
      if (place[i] != nullptr) sides.insert(place[i]);
    if (sides.size() > 1) out.warnings.push_back(source + " has cases of " + subject + " in more than one list");
  }
  return out;
}

/// Reads a split that was saved by `write_split`, or made by hand.
/// @throws Error (usage) if the file cannot be used; for ivadomed's .joblib it says how to convert it
[[nodiscard]] IVADO_INLINE Split read_split(const std::string& path, const std::vector<Case>& cases) {
  if (path.size() > 7 && path.compare(path.size() - 7, 7, ".joblib") == 0)
    throw usage_error("reading " + path, "it is a Python pickle, which ivado does not execute",
                      "convert it once: python3 -c \"import json, joblib; json.dump(joblib.load('" + path +
                          "'), open('split_datasets.json', 'w'))\"");
  return split_by_names(cases, read_json(path), path);
}

/// The split as three lists of file names, "train", "valid" and "test", as ivadomed saves it: each case with the
/// names of all its images (its id instead, where another case has an image of the same name).
[[nodiscard]] IVADO_INLINE Json split_to_json(const Split& split, const std::vector<Case>& cases) {
  std::map<std::string, int> uses;
  for (const auto& one : cases)
    for (const auto& image : one.images) ++uses[std::string(detail::file_name(image))];
  const auto names = [&](const std::vector<std::size_t>& list) {
    Json out = Json::array();
    for (const auto i : list) {
      const bool unique = std::all_of(cases[i].images.begin(), cases[i].images.end(), [&](const std::string& image) {
        return image.empty() || uses[std::string(detail::file_name(image))] == 1;
      });
      if (!unique)
        out.push_back(cases[i].id);
      else
        for (const auto& image : cases[i].images)
          if (!image.empty()) out.push_back(std::string(detail::file_name(image)));
    }
    return out;
  };
  Json out = Json::object();
  out["train"] = names(split.training);
  out["valid"] = names(split.validation);
  out["test"] = names(split.testing);
  return out;
}

/// Writes the split as JSON (`split_datasets.json`), whole or not at all.
/// @throws Error (internal) if it cannot be written
IVADO_INLINE void write_split(const std::string& path, const Split& split, const std::vector<Case>& cases) {
  write_file_atomically(path, split_to_json(split, cases).dump(2) + "\n");
}

/// Reads the saved split of a training that goes on: with the images that it began with, or not at all.
/// @throws Error (data) if there is no such file, or the images of its training and validation set are not all among the
///         cases; else as `read_split`
[[nodiscard]] IVADO_INLINE Split read_split_to_resume(const std::string& path, const std::vector<Case>& cases) {
  const std::string doing = "resuming the training on the images that " + path + " names";
  if (!std::filesystem::exists(path))
    throw data_error(doing, "there is no such file", "put it back, or train from the beginning");
  Split split = read_split(path, cases);
  const Json saved = read_json(path);
  const Json now = split_to_json(split, cases);
  for (const char* list : {"train", "valid"})
    if (saved.at(list) != now.at(list))
      throw data_error(doing,
                       std::string("the data do not have those of \"") + list + "\" any more" +
                           (split.warnings.empty() ? "" : ": " + split.warnings.front()),
                       "bring them back, or train from the beginning");
  return split;
}

/// Splits cases into training, validation and testing by whole groups.
///
/// A group is a value of the column `split_method` (participants.tsv, entities, sidecars: the metadata of the case). No
/// group is ever on two sides. Steps, with the random numbers of ivadomed (scikit-learn's shuffle split on NumPy's
/// legacy generator), so that the same configuration gives the same sets:
///
/// 1. `subject_selection` draws subjects (Python's `random.sample` on the distinct subjects in the order of their
/// files;
///    ivadomed counts a subject once for each file).
/// 2. With `balance`, the steps below run for each category by itself. A group belongs to the category of its first
///    case; cases without a category are left out.
/// 3. Test set: the cases whose `data_testing.data_type` (else `split_method`) is among `data_value`; if that is empty
/// and
///    `test_fraction` is not 0, among max(1, floor(max(test_fraction, 1/|V|)·|V|)) of the |V| sorted values, drawn.
/// 4. Where that leaves a group partly outside of the test set, its other cases are left out, so that the test set
///    is exactly what was asked for and nothing of it leaks into training.
/// 5. The r groups that remain, in the order of their first case, are shuffled: floor(f·r) of them train with
///    f = train_fraction·(number of groups)/r, the others validate.
///
/// Subjects of one name in two data sets count as one participant. "Order" is that of the names of the first images,
/// whatever the order of `cases` (ivadomed's depends on the order in which files are listed). Cases without a value of
/// `split_method` are left out. Values of `data_value` that no case has give a warning. With `as_ivadomed` step 4 keeps
/// the other cases of a partly tested group (they leak), and in step 2 a group with several categories is split in each
/// of them by itself, so that it may be on two sides.
/// @throws Error (usage) for unknown columns (names the nearest), fractions that leave a set empty, too few groups or
/// subjects,
///         or a `fname_split` that cannot be used
[[nodiscard]] IVADO_INLINE Split split_cases(const std::vector<Case>& cases, const SplitParams& params,
                                             const SubjectSelection& selection = {}) {
  if (params.fname_split) {
    Split named = read_split(*params.fname_split, cases);
    if (!selection.n.empty())
      named.warnings.push_back(
          "loader_parameters.subject_selection has no effect: split_dataset.fname_split names all");
    return named;
  }
  Split out;
  if (cases.empty()) throw data_error("splitting the data", "there is no case");
  if (!(params.train_fraction > 0 && params.train_fraction < 1))
    throw usage_error("splitting the data", "split_dataset.train_fraction is " + detail::text(params.train_fraction),
                      "give a value between 0 and 1");
  if (!(params.test_fraction >= 0 && params.test_fraction < 1))
    throw usage_error("splitting the data", "split_dataset.test_fraction is " + detail::text(params.test_fraction),
                      "give a value in [0, 1)");
  if (params.random_seed < 0 || params.random_seed > 4294967295)
    throw usage_error("splitting the data", detail::text("split_dataset.random_seed is ", params.random_seed),
                      "give a value from 0 to 4294967295");
  const bool drawn = params.data_testing.data_value.empty() && params.test_fraction > 0;
  if (drawn && !params.as_ivadomed && params.train_fraction + params.test_fraction > 1 + 1e-9)
    throw usage_error("splitting the data",
                      "split_dataset.train_fraction " + detail::text(params.train_fraction) + " and test_fraction " +
                          detail::text(params.test_fraction) + " are more than all",
                      "lower one of them");
  detail::check_column(cases, params.split_method, "split_dataset.split_method");
  const std::string data_type = params.data_testing.data_type && !params.data_testing.data_type->empty()
                                    ? *params.data_testing.data_type
                                    : params.split_method;
  detail::check_column(cases, data_type, "split_dataset.data_testing.data_type");
  const bool balanced = params.balance && !params.balance->empty();
  if (balanced) detail::check_column(cases, *params.balance, "split_dataset.balance");

  std::vector<std::size_t> numbers(cases.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
  const auto path_of = [&](std::size_t i) -> const std::string& {
    return cases[i].images.empty() ? cases[i].id : cases[i].images[cases[i].reference];
  };
  std::sort(numbers.begin(), numbers.end(), [&](std::size_t a, std::size_t b) {
    const int order = detail::file_name(path_of(a)).compare(detail::file_name(path_of(b)));
    return order != 0 ? order < 0 : path_of(a) < path_of(b);
  });
  numbers = detail::select_subjects(cases, selection, params.random_seed, numbers, out);

  std::vector<std::pair<std::string, std::vector<detail::SplitMember>>> categories;  // in order of appearance
  std::map<std::string, std::size_t> place_of_category;
  std::map<std::string, std::string> category_of_group;
  std::set<std::string> mixed;
  std::set<std::string> types;
  for (const auto i : numbers) {
    auto group = detail::column_value(cases[i], params.split_method);
    auto category = balanced ? detail::column_value(cases[i], *params.balance) : std::string();
    if (!group || !category) {
      out.left_out.emplace_back(i, "it has no value of " + (group ? *params.balance : params.split_method));
      continue;
    }
    if (!params.as_ivadomed) {
      const auto& first = category_of_group.emplace(*group, *category).first->second;
      if (first != *category) mixed.insert(*group);
      category = first;
    }
    const auto [place, is_new] = place_of_category.emplace(*category, categories.size());
    if (is_new) categories.emplace_back(*category, std::vector<detail::SplitMember>());
    auto type = detail::column_value(cases[i], data_type);
    if (type) types.insert(*type);
    categories[place->second].second.push_back({i, std::move(*group), std::move(type)});
  }
  if (categories.empty())
    throw usage_error("splitting the data",
                      "no case has a value of " + params.split_method + (balanced ? " and " + *params.balance : ""),
                      "check participants.tsv");
  for (const auto& value : params.data_testing.data_value)
    if (!types.contains(detail::comparable(value.text())))
      out.warnings.push_back("split_dataset.data_testing.data_value names " + value.text() + ", which is no value of " +
                             data_type);
  for (const auto& group : mixed)
    out.warnings.push_back("the cases of " + params.split_method + " " + group + " have several values of " +
                           *params.balance + "; it counts as " + category_of_group[group]);
  for (const auto& [category, members] : categories) detail::split_category(params, data_type, members, category, out);
  for (auto* list : {&out.training, &out.validation, &out.testing}) std::sort(list->begin(), list->end());
  std::sort(out.left_out.begin(), out.left_out.end());
  if (!params.data_testing.data_value.empty() && out.testing.empty())
    out.warnings.push_back(
        "no case has one of the values of split_dataset.data_testing.data_value: the test set is empty");
  return out;
}

}  // namespace ivado
