#include <algorithm>
#include <ivado/data/bids_cases.hpp>
#include <ivado/data/metadata_encoder.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "bids_tree.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

Case a_case(const std::string& id, const std::string& contrast, Json metadata = Json::object()) {
  Case one;
  one.id = id;
  one.contrasts = {contrast};
  one.metadata = std::move(metadata);
  one.metadata["contrast"] = contrast;
  return one;
}

Case scan(const std::string& id, Json flip, Json repetition, Json echo, Json maker) {
  return a_case(id, "T2w",
                {{"FlipAngle", std::move(flip)},
                 {"RepetitionTime", std::move(repetition)},
                 {"EchoTime", std::move(echo)},
                 {"Manufacturer", std::move(maker)}});
}

/// Two protocols, with some spread: 9 degrees and short times, 120 degrees and long ones.
std::vector<Case> two_protocols() {
  std::vector<Case> out;
  for (int i = 0; i < 10; ++i) {
    const double spread = 0.001 * i;
    out.push_back(scan("short" + std::to_string(i), 9 + 100 * spread, 2 + spread, 0.003 + 0.01 * spread, "SIEMENS"));
    out.push_back(scan("long" + std::to_string(i), 120 - 100 * spread, 1.5 - spread, 0.12, "GE MEDICAL SYSTEMS"));
  }
  return out;
}

using Code = std::vector<float>;

}  // namespace

TEST_CASE("Contrasts are encoded in the order of their names, by the first channel") {
  std::vector<Case> training{a_case("a", "T2w"), a_case("b", "T1w"), a_case("c", "T2star"), a_case("d", "T2w")};
  training[1].contrasts.push_back("T2w");
  const auto encoder = MetadataEncoder::fit(training, "contrasts");
  CHECK(encoder.size() == 3);
  CHECK(encoder.metadata() == "contrasts");
  CHECK(encoder.encode(training[0]) == Code{0, 0, 1});
  CHECK(encoder.encode(training[1]) == Code{1, 0, 0});
  CHECK(encoder.encode(training[2]) == Code{0, 1, 0});
  CHECK(encoder.encode("T2star") == Code{0, 1, 0});
  CHECK(encoder.describe() == "conditioned on contrasts: T1w, T2star, T2w");
  CHECK_FALSE(encoder.unknown(training[0]));

  const Case other = a_case("x", "PDw");
  CHECK(encoder.encode(other) == Code{0, 0, 0});
  CHECK(encoder.encodes(other));
  REQUIRE(encoder.unknown(other));
  CHECK_THAT(*encoder.unknown(other), Contains("x: contrast PDw was in no training case"));
  CHECK_THROWS_WITH(encoder.encode("T3w"), Contains("T1w, T2star, T2w") && Contains("did you mean"));
}

TEST_CASE("Columns: numbers are ordered as numbers, in one form, and before text") {
  std::vector<Case> training;
  for (const Json& age : {Json("100"), Json("9"), Json(9.0), Json("elder"), Json("25.50")})
    training.push_back(a_case("s" + std::to_string(training.size()), "T1w", {{"age", age}}));
  const auto encoder = MetadataEncoder::fit(training, "age");
  CHECK(encoder.describe() == "conditioned on age: 9, 25.5, 100, elder");
  CHECK(encoder.encode(training[1]) == encoder.encode(training[2]));
  CHECK(encoder.encode(training[0]) == Code{0, 0, 1, 0});
  CHECK(encoder.encode("25.5") == Code{0, 1, 0, 0});
  CHECK(encoder.encode("9.0") == Code{1, 0, 0, 0});

  const Case lacks = a_case("no_age", "T1w", {{"age", nullptr}});
  CHECK_FALSE(encoder.encodes(lacks));
  CHECK(encoder.encode(lacks) == Code(4, 0.0F));
  REQUIRE(encoder.unknown(lacks));
  CHECK_THAT(*encoder.unknown(lacks), Contains("it has no age"));
}

TEST_CASE("What cannot condition a model is refused with the reason") {
  std::vector<Case> training{a_case("a", "T2w", {{"institution_id", "x"}}),
                             a_case("b", "T2w", {{"institution_id", nullptr}}), a_case("c", "T2w")};
  CHECK_THROWS_WITH(MetadataEncoder::fit(training, "contrasts"),
                    Contains("constant") && Contains("same value (T2w)") && Contains("without FiLM"));
  CHECK_THROWS_WITH(MetadataEncoder::fit(training, "instituton_id"), Contains("did you mean \"institution_id\"?"));
  CHECK_THROWS_WITH(MetadataEncoder::fit(training, "institution_id"),
                    Contains("institution_id has no value that can be used for b, c"));
  CHECK_THROWS_WITH(MetadataEncoder::fit({}, "contrasts"), Contains("no training case"));
  CHECK(MetadataEncoder::lacking("institution_id", training[2]) == std::vector<std::string>{"institution_id"});
  CHECK(MetadataEncoder::lacking("contrasts", training[2]).empty());
  for (int i = 0; i < 12; ++i) training.push_back(a_case("more" + std::to_string(i), "T1w"));
  CHECK_THROWS_WITH(MetadataEncoder::fit(training, "institution_id"), Contains("more7 and 4 more"));
}

TEST_CASE("MRI parameters: two protocols are two clusters of each parameter") {
  const auto training = two_protocols();
  const auto encoder = MetadataEncoder::fit(training, "mri_params");
  INFO(encoder.describe());
  // Two clusters each of angle and times, and two makers; the bandwidth may part the spread further, never join them.
  const Code low = encoder.encode(training[0]);
  const Code high = encoder.encode(training[1]);
  CHECK(low.size() == encoder.size());
  CHECK(low != high);
  CHECK(std::count(low.begin(), low.end(), 1.0F) == 4);
  CHECK(std::count(high.begin(), high.end(), 1.0F) == 4);
  for (std::size_t i = 0; i < low.size(); ++i) CHECK(low[i] * high[i] == 0);
  CHECK_THAT(encoder.describe(), Contains("FlipAngle ") && Contains("Manufacturer GE, Siemens"));

  SECTION("the order of the cases does not count") {
    auto turned = training;
    std::reverse(turned.begin(), turned.end());
    std::rotate(turned.begin(), turned.begin() + 7, turned.end());
    CHECK(MetadataEncoder::fit(turned, "mri_params") == encoder);
  }
  SECTION("several values are averaged, in lists and in text") {
    const Case listed = scan("x", Json::array({8, 10}), "1.9, 2.1", Json::array({"0.003"}), "Siemens Healthineers");
    CHECK(encoder.encode(listed) == encoder.encode("9, 2, 0.003, Siemens"));
    CHECK_FALSE(encoder.unknown(listed));
  }
  SECTION("makers that ivadomed does not know are others") {
    Case other = training[0];
    other.metadata["Manufacturer"] = "Canon";
    REQUIRE(encoder.unknown(other));
    CHECK_THAT(*encoder.unknown(other), Contains("Manufacturer Canon was in no training case"));
    const Code code = encoder.encode(other);
    CHECK(std::count(code.begin(), code.end(), 1.0F) == 3);
  }
  SECTION("a value of a user needs all four") {
    CHECK(encoder.encode("9,2,0.003,Siemens") == low);
    CHECK_THROWS_WITH(encoder.encode("9, 2"), Contains("FlipAngle, RepetitionTime, EchoTime, Manufacturer"));
    CHECK_THROWS_WITH(encoder.encode("flat, 2, 0.003, GE"), Contains("in this order"));
    CHECK_THROWS_WITH(encoder.encode("9, 2, 0.003, Canon"), Contains("Manufacturer Canon") && Contains("GE, Siemens"));
  }
  SECTION("cases without one of them are named") {
    auto some = training;
    some[3].metadata["EchoTime"] = nullptr;
    some[4].metadata["EchoTime"] = "short";
    some[5].metadata.erase("Manufacturer");
    CHECK_THROWS_WITH(MetadataEncoder::fit(some, "mri_params"),
                      Contains("EchoTime has no value that can be used for long1, short2") &&
                          Contains("Manufacturer has no value that can be used for long2"));
    CHECK(MetadataEncoder::lacking("mri_params", some[5]) == std::vector<std::string>{"Manufacturer"});
    for (auto& one : some) one.metadata.erase("FlipAngle");
    CHECK_THROWS_WITH(MetadataEncoder::fit(some, "mri_params"), Contains("no column \"FlipAngle\""));
  }
}

TEST_CASE("Repeated values of MRI parameters are parted halfway between them") {
  // By hand: with values that are repeated exactly, the narrowest bandwidth makes those held out most likely, and the
  // density has its minimum halfway between two values of one number. 0.36 degrees: the distance of the points.
  const auto borders =
      detail::cluster_borders({10, 10, 10, 10, 10, 30, 30, 30, 30, 30, 90, 90, 90, 90, 90}, detail::density_grids[0]);
  REQUIRE(borders.size() == 2);
  CHECK(borders[0] == Approx(20).margin(0.37));
  CHECK(borders[1] == Approx(60).margin(0.37));
  CHECK(detail::cluster_borders({10, 10}, detail::density_grids[0]).empty());
  CHECK(detail::cluster_borders({10}, detail::density_grids[0]).empty());
  // A spread of one protocol is one cluster: equal steps of 1 degree need a bandwidth wide enough to bridge them.
  std::vector<double> steps;
  for (int i = 0; i < 40; ++i) steps.push_back(60 + i);
  CHECK(detail::cluster_borders(steps, detail::density_grids[0]).empty());
  // Times in ms lie outside of the points of the reference, and are parted all the same.
  const auto in_ms =
      detail::cluster_borders({2000, 2000, 2000, 2000, 2000, 500, 500, 500, 500, 500}, detail::density_grids[1]);
  REQUIRE(in_ms.size() == 1);
  CHECK(in_ms[0] == Approx(1250).epsilon(0.02));
}

TEST_CASE("An encoder is the same after it was written and read") {
  const std::vector<Case> training{a_case("a", "T2w"), a_case("b", "T1w")};
  for (const auto& encoder :
       {MetadataEncoder::fit(training, "contrasts"), MetadataEncoder::fit(two_protocols(), "mri_params")}) {
    const auto back = MetadataEncoder::from_json(parse_json(encoder.to_json().dump(), "reading"));
    CHECK(back == encoder);
    for (const auto& one : two_protocols()) CHECK(back.encode(one) == encoder.encode(one));
  }
  Json broken = MetadataEncoder::fit(training, "contrasts").to_json();
  CHECK_THROWS_WITH(MetadataEncoder::from_json(Json::object()), Contains("metadata encoder"));
  broken["metadata"] = "mri_params";
  CHECK_THROWS_WITH(MetadataEncoder::from_json(broken), Contains("not those of the metadata \"mri_params\""));
  broken["metadata"] = "contrasts";
  broken["parts"][0]["categories"] = Json::array();
  CHECK_THROWS_WITH(MetadataEncoder::from_json(broken), Contains("no categories"));
}

TEST_CASE("The metadata of a data set condition a model") {
  const auto data = tests::shared_data("spinalcord");
  if (!data) return;
  const BidsIndex index({*data});
  CaseParams params;
  params.contrast_params.testing = {"T1w", "T2w", "T2star"};
  params.purpose = Command::segment;
  LeftOutList left_out;
  auto cases = make_cases(index, params, left_out);
  CHECK(MetadataEncoder::fit(cases, "contrasts").size() == 3);
  CHECK_THROWS_WITH(MetadataEncoder::fit(cases, "mri_params"), Contains("sub-sct01"));
  std::erase_if(cases, [](const Case& one) { return !MetadataEncoder::lacking("mri_params", one).empty(); });
  REQUIRE(cases.size() > 3);
  const auto encoder = MetadataEncoder::fit(cases, "mri_params");
  INFO(encoder.describe());
  for (const auto& one : cases) CHECK_FALSE(encoder.unknown(one));
  // The contrasts differ in their protocols, the people do not.
  const auto code_of = [&](const std::string& id) {
    const auto found = std::find_if(cases.begin(), cases.end(), [&](const Case& one) { return one.id == id; });
    REQUIRE(found != cases.end());
    return encoder.encode(*found);
  };
  CHECK(code_of("sub-unf01_T2w") == code_of("sub-unf02_T2w"));
  CHECK(code_of("sub-unf01_T2w") != code_of("sub-unf01_T1w"));
}
