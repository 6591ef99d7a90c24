// Tests of data/split.hpp: membership by hand and by published draws, groups, leaks, selection, saved splits, errors.
#include <algorithm>
#include <cmath>
#include <ivado/data/split.hpp>
#include <map>
#include <set>

#include "../catch.hpp"
#include "bids_tree.hpp"

namespace {

using ivado::Case;
using ivado::Json;
using ivado::Split;
using ivado::SplitParams;
using ivado::SubjectSelection;

using Names = std::vector<std::string>;

Case one_case(const std::string& subject, const std::string& contrast, Json metadata = Json::object()) {
  Case out;
  out.id = subject + "_" + contrast;
  out.subject = subject;
  out.images = {"/data/" + subject + "/anat/" + out.id + ".nii.gz"};
  out.contrasts = {contrast};
  metadata["participant_id"] = subject;
  out.metadata = std::move(metadata);
  return out;
}

std::string numbered(int i) { return std::string("sub-") + (i < 10 ? "0" : "") + std::to_string(i); }

/// n subjects with one image each, sub-01, sub-02, …
std::vector<Case> people(int n, const std::string& contrast = "T2w") {
  std::vector<Case> out;
  for (int i = 1; i <= n; ++i) out.push_back(one_case(numbered(i), contrast));
  return out;
}

Names ids(const std::vector<Case>& cases, const std::vector<std::size_t>& list) {
  Names out;
  for (const auto i : list) out.push_back(cases[i].id);
  return out;
}

Names subjects(const std::vector<Case>& cases, const std::vector<std::size_t>& list) {
  Names out;
  for (const auto i : list) out.push_back(cases[i].subject);
  return out;
}

SplitParams params_of(const std::string& json) {
  return ivado::from_json<SplitParams>(Json::parse(json), "split_dataset");
}

std::string message_of(const std::vector<Case>& cases, const std::string& json,
                       const SubjectSelection& selection = {}) {
  try {
    const auto split = split_cases(cases, params_of(json), selection);
    return "a split of " + std::to_string(split.training.size());
  } catch (const ivado::Error& fault) {
    return std::to_string(fault.exit_status()) + " " + fault.what();
  }
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

bool warned(const Split& split, const std::string& part) {
  for (const auto& text : split.warnings)
    if (contains(text, part)) return true;
  return false;
}

/// Each case in exactly one place, and no value of the column in two sets.
void check_sound(const std::vector<Case>& cases, const Split& split, const std::string& column) {
  std::map<std::size_t, int> uses;
  std::map<std::string, std::set<int>> sides;
  int side = 0;
  for (const auto* list : {&split.training, &split.validation, &split.testing}) {
    CHECK(std::is_sorted(list->begin(), list->end()));
    for (const auto i : *list) {
      ++uses[i];
      sides[cases[i].metadata[column].dump()].insert(side);
    }
    ++side;
  }
  for (const auto& [i, reason] : split.left_out) {
    ++uses[i];
    CHECK_FALSE(reason.empty());
  }
  CHECK(uses.size() == cases.size());
  for (const auto& [i, count] : uses) CHECK(count == 1);
  for (const auto& [value, found] : sides) CHECK(found.size() == 1);
}

}  // namespace

TEST_CASE("the keys of split_dataset are read, written and checked", "[split]") {
  const auto params =
      params_of(R"({"fname_split": null, "random_seed": 1313, "split_method": "center", "balance": "sex",
      "data_testing": {"data_type": "age", "data_value": [1, "2", 2.5]}, "train_fraction": 0.5, "test_fraction": 0})");
  CHECK(params.random_seed == 1313);
  CHECK(params.data_testing.data_value.size() == 3);
  CHECK(params.data_testing.data_value[0].text() == "1");
  CHECK(params.data_testing.data_value[1].text() == "2");
  CHECK(ivado::same(params, ivado::from_json<SplitParams>(to_json(params), "split_dataset")));
  CHECK(ivado::same(SplitParams{}, params_of("{}")));
  CHECK(to_json(params)["data_testing"]["data_value"] == Json::parse(R"([1, "2", 2.5])"));
  CHECK(ivado::schema<SplitParams>()["properties"]["random_seed"]["maximum"] == 4294967295.0);
  const std::string wrong = GENERATE(
      as<std::string>{}, R"({"train_fraction": 0})", R"({"train_fraction": 1})", R"({"train_fraction": 1.2})",
      R"({"test_fraction": -0.1})", R"({"test_fraction": 1})", R"({"random_seed": -1})",
      R"({"data_testing": {"data_value": [null]}})", R"({"data_testing": {"data_value": "A"}})", R"({"method": "x"})");
  CAPTURE(wrong);
  CHECK(contains(message_of(people(3), wrong), "2 reading the configuration key split_dataset."));
}

TEST_CASE("ten participants, seed 6: the membership that ivadomed gives", "[split]") {
  // reference/data.md, section 5
  const auto cases = people(10);
  const Split split = split_cases(cases, params_of("{}"));
  CHECK(subjects(cases, split.testing) == Names{"sub-04", "sub-10"});
  CHECK(subjects(cases, split.validation) == Names{"sub-01", "sub-07"});
  CHECK(subjects(cases, split.training) == Names{"sub-02", "sub-03", "sub-05", "sub-06", "sub-08", "sub-09"});
  CHECK(split.left_out.empty());
  CHECK(split.warnings.empty());
}

TEST_CASE("the random numbers of NumPy's legacy generator and of Python", "[split]") {
  // NumPy: RandomState(6).permutation(10) and (8). Python 3.11: random.seed(s); random.sample(range(n), k).
  CHECK(ivado::numpy_permutation(6, 10) == std::vector<std::size_t>{8, 1, 7, 0, 6, 5, 2, 4, 3, 9});
  CHECK(ivado::numpy_permutation(6, 8) == std::vector<std::size_t>{0, 5, 6, 7, 4, 3, 1, 2});
  CHECK(ivado::numpy_permutation(6, 1) == std::vector<std::size_t>{0});
  CHECK(ivado::numpy_permutation(6, 0).empty());
  const auto sample = [](std::uint32_t seed, std::size_t n, std::size_t k) {
    auto random = ivado::MersenneTwister::of_python(seed);
    return ivado::python_sample(random, n, k);
  };
  CHECK(sample(6, 10, 3) == std::vector<std::size_t>{9, 1, 7});
  CHECK(sample(6, 10, 10) == std::vector<std::size_t>{9, 1, 7, 6, 2, 0, 4, 3, 8, 5});
  CHECK(sample(0, 100, 5) == std::vector<std::size_t>{49, 97, 53, 5, 33});
  CHECK(sample(1313, 30, 6) == std::vector<std::size_t>{28, 19, 13, 6, 21, 29});
  CHECK(sample(1313, 300, 20) == std::vector<std::size_t>{216, 107, 188, 134, 151, 265, 287, 190, 173, 81,
                                                          83,  241, 99,  45,  131, 133, 184, 198, 238, 232});
  CHECK(sample(4294967295, 7, 1) == std::vector<std::size_t>{5});
}

TEST_CASE("a split does not depend on the order of the cases", "[split]") {
  auto cases = people(25);
  for (int i = 1; i <= 25; ++i) cases.push_back(one_case(numbered(i), "T1w"));
  const auto once = split_cases(cases, params_of("{}"));
  auto mixed = cases;
  std::reverse(mixed.begin(), mixed.end());
  std::rotate(mixed.begin(), mixed.begin() + 7, mixed.end());
  const auto again = split_cases(mixed, params_of("{}"));
  for (const auto list : {&Split::training, &Split::validation, &Split::testing}) {
    auto a = ids(cases, once.*list);
    auto b = ids(mixed, again.*list);
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    CHECK(a == b);
  }
}

TEST_CASE("sizes follow the fractions, and no group is on two sides", "[split]") {
  const int n = GENERATE(3, 4, 5, 7, 10, 13, 31, 49, 100, 131);
  const std::int64_t seed = GENERATE(0, 6, 1313);
  std::vector<Case> cases;
  for (int i = 0; i < n; ++i)
    for (int k = 0; k <= i % 3; ++k) {
      const std::string number = std::to_string(1000 + i);
      cases.push_back(
          one_case("sub-" + number + std::to_string(k), "T1w", {{"person", "p" + number}, {"site", i % 4}}));
    }
  SplitParams params;
  params.random_seed = seed;
  params.split_method = "person";
  const Split split = split_cases(cases, params);
  check_sound(cases, split, "person");
  const auto groups = [&](const std::vector<std::size_t>& list) {
    std::set<std::string> out;
    for (const auto i : list) out.insert(cases[i].metadata["person"].get<std::string>());
    return static_cast<int>(out.size());
  };
  const int testing = std::max(1, static_cast<int>(std::floor(std::max(0.2, 1.0 / n) * n)));
  CHECK(groups(split.testing) == testing);
  const double fraction = 0.6 * n / (n - testing);
  const int training = static_cast<int>(std::floor(fraction * (n - testing)));
  CHECK(groups(split.training) == training);
  CHECK(groups(split.validation) == n - testing - training);
  CHECK(split.left_out.empty());
}

TEST_CASE("with 49 groups and a small test fraction one group is tested", "[split]") {
  // 1/49·49 is below 1 in floating point: ivadomed stops with an empty test set
  SplitParams params;
  params.test_fraction = 0.001;
  const auto cases = people(49);
  CHECK(split_cases(cases, params).testing.size() == 1);
}

TEST_CASE("test sets: none, by value, by another column", "[split]") {
  std::vector<Case> cases;
  for (int i = 1; i <= 12; ++i)
    for (const std::string contrast : {"T1w", "T2w"})
      cases.push_back(one_case(numbered(i), contrast, {{"center", i % 3}, {"sex", i % 2 ? "F" : "M"}}));
  SECTION("none") {
    const Split split = split_cases(cases, params_of(R"({"test_fraction": 0})"));
    CHECK(split.testing.empty());
    CHECK(split.training.size() == 14);  // floor(0.6·12) = 7 people
    check_sound(cases, split, "participant_id");
  }
  SECTION("by value of the same column") {
    const Split split = split_cases(cases, params_of(R"({"data_testing": {"data_value": ["sub-03", "sub-99"]}})"));
    CHECK(subjects(cases, split.testing) == Names{"sub-03", "sub-03"});
    CHECK(warned(split, "names sub-99, which is no value of participant_id"));
    check_sound(cases, split, "participant_id");
  }
  SECTION("by value of another column; numbers and text are one") {
    const std::string value = GENERATE(as<std::string>{}, "1", "\"1\"", "1.0", "\"1.0\"");
    const Split split =
        split_cases(cases, params_of(R"({"data_testing": {"data_type": "center", "data_value": [)" + value + "]}}"));
    CHECK(split.testing.size() == 8);
    for (const auto i : split.testing) CHECK(cases[i].metadata["center"] == 1);
    check_sound(cases, split, "participant_id");
    check_sound(
        cases,
        split_cases(cases, params_of(R"({"split_method": "center", "test_fraction": 0.3, "train_fraction": 0.4})")),
        "center");
  }
  SECTION("no value found") {
    const Split split =
        split_cases(cases, params_of(R"({"data_testing": {"data_type": "center", "data_value": ["none"]}})"));
    CHECK(split.testing.empty());
    CHECK(warned(split, "the test set is empty"));
  }
  SECTION("a text column called null") {
    const Split split = split_cases(
        cases, params_of(R"({"data_testing": {"data_type": "", "data_value": ["sub-03"]}, "balance": ""})"));
    CHECK(split.testing.size() == 2);
  }
}

TEST_CASE("values are drawn from in the order of numbers, or of text", "[split]") {
  // seed 6, n = 10, one value: the last of the permutation is number 9, the greatest value
  std::vector<Case> numbers;
  std::vector<Case> words;
  for (int i = 1; i <= 10; ++i) {
    numbers.push_back(one_case(numbered(i), "T2w", {{"age", std::to_string(i)}}));
    words.push_back(one_case(numbered(i), "T2w", {{"age", "y" + std::to_string(i)}}));
  }
  const auto params = params_of(R"({"data_testing": {"data_type": "age"}, "test_fraction": 0.1})");
  CHECK(subjects(numbers, split_cases(numbers, params).testing) == Names{"sub-10"});
  CHECK(subjects(words, split_cases(words, params).testing) == Names{"sub-09"});
}

TEST_CASE("a group with a case in the test set does not train: its other cases are left out", "[split]") {
  std::vector<Case> cases;
  for (int i = 1; i <= 10; ++i)
    for (const std::string visit : {"1", "2"}) {
      if (i > 6 && visit == "2") continue;  // some were seen once
      cases.push_back(
          one_case(numbered(i), "ses-" + visit + "_T2w", {{"session", visit}, {"site", i <= 3 ? "A" : "B"}}));
    }
  cases[1].metadata["site"] = "B";  // the second visit of sub-01 was elsewhere
  const std::string by_site = R"("data_testing": {"data_type": "site", "data_value": ["A"]})";
  const Split split = split_cases(cases, params_of("{" + by_site + "}"));
  check_sound(cases, split, "participant_id");
  CHECK(split.testing.size() == 5);
  REQUIRE(split.left_out.size() == 1);
  CHECK(split.left_out[0].first == 1);
  CHECK(contains(split.left_out[0].second, "another case of its participant_id is in the test set"));

  const Split leaking = split_cases(cases, params_of("{\"as_ivadomed\": true, " + by_site + "}"));
  CHECK(leaking.left_out.empty());
  CHECK(leaking.testing == split.testing);
  CHECK(std::count(leaking.training.begin(), leaking.training.end(), 1U) +
            std::count(leaking.validation.begin(), leaking.validation.end(), 1U) ==
        1);

  const std::string by_visit = R"({"data_testing": {"data_type": "session", "data_value": ["1"]}})";
  CHECK(contains(message_of(cases, by_visit), "every group has a case in the test set"));
}

TEST_CASE("1, 1.0 and 01 are one group; long identifiers are text", "[split]") {
  auto cases = people(12);
  const std::vector<Json> written{1, "1.0", "01", 1.0};
  for (std::size_t i = 0; i < cases.size(); ++i)
    cases[i].metadata["group"] = i < 4 ? written[i] : Json("1000000000000000" + std::to_string(i));
  const Split split = split_cases(cases, params_of(R"({"split_method": "group"})"));
  std::set<int> sides;
  int side = 0;
  for (const auto* list : {&split.training, &split.validation, &split.testing}) {
    for (const auto i : *list)
      if (i < 4) sides.insert(side);
    ++side;
  }
  CHECK(sides.size() == 1);
  CHECK(contains(message_of(cases, R"({"split_method": "group", "train_fraction": 0.05})"), "of 9 values of group"));
}

TEST_CASE("each category is split by itself", "[split]") {
  std::vector<Case> cases;
  for (int i = 1; i <= 20; ++i)
    cases.push_back(one_case(numbered(i), "T2w", {{"sex", i <= 15 ? Json("M") : Json("F")}, {"site", i % 5}}));
  const Split split = split_cases(cases, params_of(R"({"balance": "sex"})"));
  check_sound(cases, split, "participant_id");
  const auto women = [&](const std::vector<std::size_t>& list) {
    return std::count_if(list.begin(), list.end(), [](std::size_t i) { return i >= 15; });
  };
  CHECK(women(split.testing) == 1);
  CHECK(women(split.training) == 3);
  CHECK(women(split.validation) == 1);
  CHECK(split.testing.size() == 4);
  CHECK(split.training.size() == 12);

  cases[3].metadata["sex"] = nullptr;
  const Split with_missing = split_cases(cases, params_of(R"({"balance": "sex"})"));
  REQUIRE(with_missing.left_out.size() == 1);
  CHECK(contains(with_missing.left_out[0].second, "no value of sex"));

  cases[3].metadata["sex"] = "M";
  const Split by_site = split_cases(
      cases, params_of(R"({"balance": "sex", "split_method": "site", "test_fraction": 0.2, "train_fraction": 0.5})"));
  check_sound(cases, by_site, "site");
  CHECK(warned(by_site, "have several values of sex; it counts as M"));
}

TEST_CASE("cases without a value of split_method are left out", "[split]") {
  auto cases = people(8);
  for (std::size_t i = 0; i < cases.size(); ++i)
    cases[i].metadata["group"] = i < 6 ? Json("g" + std::to_string(i)) : Json(nullptr);
  const Split split = split_cases(cases, params_of(R"({"split_method": "group"})"));
  CHECK(split.left_out.size() == 2);
  CHECK(split.left_out[0] == std::pair<std::size_t, std::string>(6, "it has no value of group"));
  for (auto& one : cases) one.metadata["group"] = nullptr;
  CHECK(contains(message_of(cases, R"({"split_method": "group"})"), "no case has a value of group"));
}

TEST_CASE("what cannot be split is refused with the numbers", "[split]") {
  auto cases = people(10);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    cases[i].metadata["person_group"] = "p" + std::to_string(i);
    cases[i].metadata["all"] = 1;
  }
  const auto [json, said, remedy] = GENERATE(table<std::string, std::string, std::string>({
      {R"({"split_method": "person_grup"})", "split_dataset.split_method: the data have no column \"person_grup\"",
       "did you mean \"person_group\"?"},
      {R"({"balance": "al"})", "split_dataset.balance: the data have no column \"al\"", "\"all\""},
      {R"({"data_testing": {"data_type": "persons"}})", "split_dataset.data_testing.data_type: the data have no column",
       "did you mean"},
      {R"({"train_fraction": 0.9, "test_fraction": 0.2})", "train_fraction 0.9 and test_fraction 0.2 are more than all",
       "lower one"},
      {R"({"train_fraction": 0.8, "test_fraction": 0.2})", "8 of 10 values of participant_id remain",
       "lower split_dataset.train_fraction"},
      {R"({"train_fraction": 0.05})", "train_fraction 0.05 takes none for training", "raise"},
      {R"({"split_method": "all"})", "a test set cannot be drawn from 1 value(s) of all", "more values"},
      {R"({"split_method": "all", "test_fraction": 0})", "1 of 1 values of all remain", "more values"},
      {R"({"data_testing": {"data_type": "all", "data_value": [1]}})", "0 of 10 values of participant_id remain",
       "every group has a case in the test set"},
      {R"({"train_fraction": 0.95, "test_fraction": 0.2, "data_testing": {"data_value": ["sub-01", "sub-02"]}})",
       "leaves none for validation", "lower"},
  }));
  const std::string message = message_of(cases, json);
  CAPTURE(json);
  CHECK(message[0] == '2');
  CHECK(contains(message, said));
  CHECK(contains(message, remedy));
  CHECK(contains(message_of({}, "{}"), "there is no case"));
}

TEST_CASE("the parameters are checked also where they do not come from JSON", "[split]") {
  SplitParams params;
  params.train_fraction = std::nan("");
  CHECK_THROWS_AS(split_cases(people(5), params), ivado::Error);
  params.train_fraction = 0.5;
  params.test_fraction = 1;
  CHECK_THROWS_AS(split_cases(people(5), params), ivado::Error);
  params.test_fraction = 0.2;
  params.random_seed = -1;
  CHECK_THROWS_AS(split_cases(people(5), params), ivado::Error);
}

TEST_CASE("subject_selection draws subjects with all of their cases, and leaves the others out", "[split]") {
  std::vector<Case> cases;
  for (int i = 1; i <= 20; ++i)
    for (const std::string contrast : {"T1w", "T2w"})
      cases.push_back(one_case(numbered(i), contrast, {{"site", i % 2}, {"age", 30}}));
  const auto selection = ivado::from_json<SubjectSelection>(
      Json::parse(R"({"n": [6, 4], "metadata": ["site", "site"], "value": ["0", 1]})"), "s");
  const Split split = split_cases(cases, SplitParams{}, selection);
  check_sound(cases, split, "participant_id");
  std::map<int, std::set<std::string>> kept;
  for (const auto* list : {&split.training, &split.validation, &split.testing})
    for (const auto i : *list) kept[cases[i].metadata["site"].get<int>()].insert(cases[i].subject);
  CHECK(kept[0].size() == 6);
  CHECK(kept[1].size() == 4);
  CHECK(split.left_out.size() == 20);
  CHECK(split.left_out[0].second == "not drawn by loader_parameters.subject_selection");
  const Split again = split_cases(cases, SplitParams{}, selection);
  CHECK(again.training == split.training);

  const auto refused = [&](const std::string& json) {
    return message_of(cases, "{}", ivado::from_json<SubjectSelection>(Json::parse(json), "s"));
  };
  CHECK(contains(message_of(cases, "{}", SubjectSelection{{1}, {}, {{1}}}), "its lists have 1, 0 and 1 entries"));
  CHECK(contains(refused(R"({"n": [11], "metadata": ["site"], "value": [1]})"),
                 "11 with the value 1 are asked for, and there are 10"));
  CHECK(contains(refused(R"({"n": [1], "metadata": ["sight"], "value": [1]})"), "did you mean \"site\"?"));
}

TEST_CASE("a saved split gives the same split again", "[split]") {
  tests::Tree tree;
  auto cases = people(10);
  for (const auto& one : people(10, "T1w")) cases.push_back(one);
  const Split split = split_cases(cases, SplitParams{});
  const std::string path = tree.path("split_datasets.json").string();
  write_split(path, split, cases);
  const std::filesystem::directory_iterator folder(tree.root());
  CHECK(std::distance(begin(folder), end(folder)) == 2);  // the split and dataset_description.json
  SplitParams params;
  params.fname_split = path;
  CHECK(split_cases(cases, params).warnings.empty());
  const SubjectSelection ignored{{1}, {"sex"}, {{1}}};
  REQUIRE(split_cases(cases, params, ignored).warnings.size() == 1);
  CHECK(contains(split_cases(cases, params, ignored).warnings[0], "subject_selection has no effect"));
  params.train_fraction = 0.1;
  const Split again = split_cases(cases, params);
  CHECK(again.training == split.training);
  CHECK(again.validation == split.validation);
  CHECK(again.testing == split.testing);
  CHECK(again.left_out.empty());
  CHECK(again.warnings.empty());
  const Json saved = ivado::read_json(path);
  CHECK(saved["test"] ==
        Json::array({"sub-04_T2w.nii.gz", "sub-10_T2w.nii.gz", "sub-04_T1w.nii.gz", "sub-10_T1w.nii.gz"}));
  CHECK_THROWS_AS(write_split(tree.path("no/folder.json").string(), split, cases), ivado::Error);
}

TEST_CASE("a training goes on with all of its images, or not at all", "[split]") {
  tests::Tree tree;
  const auto cases = people(10);
  const Split split = split_cases(cases, SplitParams{});
  const std::string path = tree.path("split_datasets.json").string();
  CHECK_THROWS_WITH(read_split_to_resume(path, cases),
                    Catch::Contains("split_datasets.json") && Catch::Contains("put it back"));
  write_split(path, split, cases);
  CHECK(read_split_to_resume(path, cases).training == split.training);
  // New images, and those of the testing set that are gone, change nothing.
  auto other = cases;
  other.erase(other.begin() + static_cast<std::ptrdiff_t>(split.testing.front()));
  other.push_back(one_case("sub-11", "T2w"));
  CHECK(ids(other, read_split_to_resume(path, other).validation) == ids(cases, split.validation));
  for (const auto* list : {&split.training, &split.validation}) {
    auto fewer = cases;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(list->back()));
    CHECK_THROWS_WITH(read_split_to_resume(path, fewer),
                      Catch::Contains(list == &split.training ? "\"train\"" : "\"valid\"") &&
                          Catch::Contains(cases[list->back()].id) && Catch::Contains("bring them back"));
  }
}

TEST_CASE("a split by names: files, ids, participants, channels", "[split]") {
  auto cases = people(5);
  cases.push_back(one_case("sub-05", "T1w"));
  cases[0].images.push_back("/data/sub-01/anat/sub-01_T1w.nii.gz");
  const Json names = Json::parse(
      R"({"train": ["sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz", "sub-02_T2w"], "valid": ["sub-05"], "test": ["sub-03", "sub-77_T2w.nii.gz"]})");
  const Split split = split_by_names(cases, names, "a.json");
  CHECK(split.training == std::vector<std::size_t>{0, 1});
  CHECK(split.validation == std::vector<std::size_t>{4, 5});
  CHECK(split.testing == std::vector<std::size_t>{2});
  REQUIRE(split.left_out.size() == 1);
  CHECK(split.left_out[0] == std::pair<std::size_t, std::string>(3, "not named in a.json"));
  CHECK(warned(split, "a.json names sub-77_T2w.nii.gz, which is no case of this run"));
  const Split leak =
      split_by_names(cases, Json::parse(R"({"train": ["sub-05_T2w"], "valid": ["sub-05_T1w"], "test": []})"), "a.json");
  CHECK(warned(leak, "a.json has cases of sub-05 in more than one list"));
}

TEST_CASE("cases of two data sets with one file name are saved by their ids", "[split]") {
  auto cases = people(3);
  cases.push_back(cases[0]);
  cases[0].id = "one_sub-01_T2w";
  cases[3].id = "two_sub-01_T2w";
  cases[3].images = {"/other/sub-01/anat/sub-01_T2w.nii.gz"};
  Split split;
  split.training = {0, 3};
  split.testing = {1, 2};
  const Json saved = split_to_json(split, cases);
  CHECK(saved["train"] == Json::array({"one_sub-01_T2w", "two_sub-01_T2w"}));
  CHECK(split_by_names(cases, saved, "a.json").training == split.training);
}

TEST_CASE("a saved split that cannot be used is refused", "[split]") {
  const auto cases = people(3);
  const auto refused = [&](const std::string& text) {
    try {
      const Split split = split_by_names(cases, Json::parse(text), "a.json");
      return std::to_string(split.training.size());
    } catch (const ivado::Error& fault) {
      return std::string(fault.what());
    }
  };
  CHECK(contains(refused(R"({"train": [], "test": []})"), "there is no list \"valid\""));
  CHECK(contains(refused("[]"), "there is no list \"train\""));
  CHECK(contains(refused(R"({"train": [3], "valid": [], "test": []})"), "is no text"));
  CHECK(contains(refused(R"({"train": ["sub-01"], "valid": [], "test": ["sub-01_T2w"]})"),
                 "sub-01_T2w stands in \"train\" and in \"test\""));
  CHECK(contains(message_of(cases, R"({"fname_split": "no/such.json"})"), "reading no/such.json"));
  CHECK(contains(message_of(cases, R"({"fname_split": "split_datasets.joblib"})"), "Python pickle"));
}
