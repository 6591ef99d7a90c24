// Tests of data/bids_cases.hpp: contrasts, labels, regions of interest, channels, balance, and what is left out.
#include <ivado/data/bids_cases.hpp>
#include <map>
#include <set>

#include "../catch.hpp"
#include "bids_tree.hpp"

namespace {

using ivado::BidsIndex;
using ivado::Case;
using ivado::CaseParams;
using ivado::Command;
using ivado::Json;
using ivado::LeftOutList;
using tests::Tree;

CaseParams params_of(const std::string& json) {
  const auto keys = ivado::from_json<ivado::LoaderParameters>(Json::parse(json), "loader_parameters");
  return {keys.target_suffix, keys.extensions, keys.roi_params, keys.contrast_params, keys.multichannel};
}

/// Parameters with one class "_seg" and contrasts for training.
CaseParams with_contrasts(std::vector<std::string> contrasts, std::vector<std::string> suffixes = {"_seg"}) {
  CaseParams out;
  for (auto& suffix : suffixes) out.target_suffix.raters_by_class.push_back({std::move(suffix)});
  out.contrast_params.training_validation = std::move(contrasts);
  return out;
}

std::vector<std::string> ids(const std::vector<Case>& cases) {
  std::vector<std::string> out;
  for (const auto& one : cases) out.push_back(one.id);
  return out;
}

using Names = std::vector<std::string>;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

bool warned(const LeftOutList& list, const std::string& part) {
  for (const auto& text : list.warnings)
    if (contains(text, part)) return true;
  return false;
}

/// Reasons by file name.
std::map<std::string, std::string> reasons(const LeftOutList& list) {
  std::map<std::string, std::string> out;
  for (const auto& one : list.files) out[one.file.substr(one.file.find_last_of('/') + 1)] = one.reason;
  return out;
}

std::string message_of(const BidsIndex& index, const CaseParams& params) {
  LeftOutList left_out;
  try {
    const auto cases = make_cases(index, params, left_out);
    return std::to_string(cases.size()) + " cases";
  } catch (const ivado::Error& fault) {
    return std::to_string(fault.exit_status()) + " " + fault.what();
  }
}

std::string read_message(const std::string& json) {
  try {
    return params_of(json).target_suffix.to_json().dump();
  } catch (const ivado::Error& fault) {
    return fault.what();
  }
}

/// An image with its label.
void labelled(Tree& tree, const std::string& folder, const std::string& stem, const std::string& suffix = "_seg") {
  tree.image(folder, stem + ".nii.gz").label(folder, stem + suffix + ".nii.gz");
}

}  // namespace

TEST_CASE("the keys of loader_parameters that choose files are read and written", "[bids_cases]") {
  const auto params = params_of(R"({"target_suffix": ["_a", "_b"], "extensions": [".png"], "multichannel": true,
      "roi_params": {"suffix": "_roi", "slice_filter_roi": 10},
      "contrast_params": {"training_validation": ["T1w"], "testing": ["T2w"], "balance": {"T1w": 0.5}}})");
  CHECK(params.target_suffix.first_raters() == Names{"_a", "_b"});
  CHECK_FALSE(params.target_suffix.has_several_raters());
  CHECK(params.roi_params.suffix == "_roi");
  CHECK(params.roi_params.slice_filter_roi == 10);
  CHECK(params.contrasts() == Names{"T1w"});
  auto testing = params;
  testing.purpose = Command::test;
  CHECK(testing.contrasts() == Names{"T2w"});
  REQUIRE(params.contrast_params.balance.values.size() == 1);
  CHECK(params.contrast_params.balance.values[0].second == 0.5);

  const auto raters =
      ivado::TargetSuffixes::from_json(Json::parse(R"([["_a1", "_a2"], ["_b1", "_b2"]])"), "target_suffix");
  CHECK(raters.has_several_raters());
  CHECK(raters.raters_by_class[1][1] == "_b2");
  CHECK(raters.to_json() == Json::parse(R"([["_a1", "_a2"], ["_b1", "_b2"]])"));
  CHECK(raters.raters() == 2);
  CHECK(raters.all() == Names{"_a1", "_a2", "_b1", "_b2"});
  CHECK(contains(read_message(R"({"target_suffix": [["_a1", "_a2"], ["_b1", "_b2", "_b3"]]})"),
                 "one class has 2 raters, another 3"));
  CHECK(params_of(R"({"target_suffix": [["_a"], ["_b"]]})").target_suffix.to_json() == Json::parse(R"(["_a", "_b"])"));
}

TEST_CASE("values that are no suffix or no fraction are refused by their key", "[bids_cases]") {
  CHECK(contains(read_message(R"({"target_suffix": "_a"})"), "loader_parameters.target_suffix"));
  CHECK(contains(read_message(R"({"target_suffix": ["_a", 3]})"), "loader_parameters.target_suffix[1]"));
  CHECK(contains(read_message(R"({"target_suffix": [[]]})"), "loader_parameters.target_suffix[0]"));
  CHECK(contains(read_message(R"({"target_suffix": [""]})"), "the ending of a label file"));
  CHECK(contains(read_message(R"({"contrast_params": {"balance": {"T1w": 1.5}}})"),
                 "loader_parameters.contrast_params.balance.T1w"));
  CHECK(contains(read_message(R"({"contrast_params": {"balance": {"T1w": "half"}}})"), "a number"));
  CHECK(contains(read_message(R"({"contrast_params": {"balance": [1]}})"), "object of fractions"));
  CHECK(contains(read_message(R"({"target_sufix": ["_a"]})"), "did you mean \"target_suffix\""));
}

TEST_CASE("a contrast matches exactly: T2 is neither T2w nor T2star", "[bids_cases]") {
  Tree tree;
  for (const std::string contrast : {"T1w", "T2w", "T2star"}) labelled(tree, "sub-1/anat", "sub-1_" + contrast);
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  const auto cases = make_cases(index, with_contrasts({"T2w"}), left_out);
  CHECK(ids(cases) == Names{"sub-1_T2w"});
  CHECK(cases[0].contrasts == Names{"T2w"});
  CHECK(cases[0].subject == "sub-1");
  CHECK(cases[0].images == Names{tree.root() + "/sub-1/anat/sub-1_T2w.nii.gz"});
  CHECK(cases[0].labels == Names{tree.root() + "/derivatives/labels/sub-1/anat/sub-1_T2w_seg.nii.gz"});
  CHECK(cases[0].metadata["contrast"] == "T2w");
  CHECK(left_out.files.size() == 2);
  CHECK(contains(reasons(left_out).at("sub-1_T2star.nii.gz"), "T2star is not asked for"));

  LeftOutList none;
  CHECK_THROWS_AS(make_cases(index, with_contrasts({"T2"}), none), ivado::Error);
  CHECK(warned(none, "no image has the contrast T2; the nearest suffix in the data is T2w"));
  CHECK(contains(message_of(index, with_contrasts({"T2"})),
                 "3 making cases of " + tree.root() + ": none of 3 images is left"));
}

TEST_CASE("with no contrast given every image is taken", "[bids_cases]") {
  Tree tree;
  for (const std::string contrast : {"T1w", "acq-x_T2w", "acq-y_T2w"})
    labelled(tree, "sub-1/anat", "sub-1_" + contrast);
  LeftOutList left_out;
  CHECK(ids(make_cases(BidsIndex({tree.root()}), with_contrasts({}), left_out)) ==
        Names{"sub-1_T1w", "sub-1_acq-x_T2w", "sub-1_acq-y_T2w"});
  CHECK(left_out.files.empty());
}

TEST_CASE("a contrast may name entities, in any order", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_acq-MTon_flip-1_mt-on_MTS");
  labelled(tree, "sub-1/anat", "sub-1_acq-MToff_flip-1_mt-off_MTS");
  labelled(tree, "sub-1/anat", "sub-1_acq-T1w_flip-2_mt-off_MTS");
  const BidsIndex index({tree.root()});
  const auto [contrast, expected] = GENERATE(table<std::string, Names>({
      {"acq-MTon_MTS", {"sub-1_acq-MTon_flip-1_mt-on_MTS"}},
      {"mt-on_MTS", {"sub-1_acq-MTon_flip-1_mt-on_MTS"}},
      {"mt-on_acq-MTon_MTS", {"sub-1_acq-MTon_flip-1_mt-on_MTS"}},
      {"flip-2_MTS", {"sub-1_acq-T1w_flip-2_mt-off_MTS"}},
      {"acq-MT_MTS", {}},
      {"mt-off_MTS", {}},  // fits two that differ by acq and flip
      {"MTS", {}},         // fits three
  }));
  CAPTURE(contrast);
  LeftOutList left_out;
  if (expected.empty()) {
    CHECK_THROWS_AS(make_cases(index, with_contrasts({contrast}), left_out), ivado::Error);
  } else {
    const auto cases = make_cases(index, with_contrasts({contrast}), left_out);
    CHECK(ids(cases) == expected);
    CHECK(cases[0].contrasts == Names{contrast});
  }
  CHECK(left_out.files.size() == 3 - expected.size());
  if (contrast == "MTS")
    CHECK(contains(reasons(left_out).at("sub-1_acq-MTon_flip-1_mt-on_MTS.nii.gz"),
                   "fits several images of the subject; name this one, as in acq-MTon_flip-1_mt-on_MTS"));
  if (contrast == "acq-MT_MTS") CHECK(warned(left_out, "those with the suffix MTS have other entities"));
}

TEST_CASE("a plain contrast is the image without further entities, where there is one", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T2star");
  labelled(tree, "sub-1/anat", "sub-1_acq-uncropped_T2star");
  labelled(tree, "sub-2/anat", "sub-2_acq-ax_T2star");
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  CHECK(ids(make_cases(index, with_contrasts({"T2star"}), left_out)) == Names{"sub-1_T2star", "sub-2_acq-ax_T2star"});
  CHECK(
      contains(reasons(left_out).at("sub-1_acq-uncropped_T2star.nii.gz"), "name acq-uncropped_T2star to use this one"));
  CHECK(warned(left_out, "T2star takes images that differ from subject to subject"));

  LeftOutList both;
  const auto cases = make_cases(index, with_contrasts({"T2star", "acq-uncropped_T2star"}), both);
  CHECK(ids(cases) == Names{"sub-1_T2star", "sub-1_acq-uncropped_T2star", "sub-2_acq-ax_T2star"});
  CHECK(cases[0].contrasts == Names{"T2star"});
  CHECK(cases[1].contrasts == Names{"acq-uncropped_T2star"});
  CHECK(both.files.empty());
}

TEST_CASE("visits, runs, samples, echoes and chunks are repetitions of one contrast", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/ses-1/anat", "sub-1_ses-1_run-1_T2w");
  labelled(tree, "sub-1/ses-1/anat", "sub-1_ses-1_run-2_T2w");
  labelled(tree, "sub-1/ses-2/anat", "sub-1_ses-2_T2w");
  labelled(tree, "sub-2/anat", "sub-2_echo-1_T2w");
  labelled(tree, "sub-2/anat", "sub-2_echo-2_T2w");
  labelled(tree, "sub-2/anat", "sub-2_sample-a_chunk-1_T2w");
  LeftOutList left_out;
  CHECK(make_cases(BidsIndex({tree.root()}), with_contrasts({"T2w"}), left_out).size() == 6);
  CHECK(left_out.files.empty());
  CHECK(left_out.warnings.empty());
}

TEST_CASE("a contrast that is none is refused", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T2w");
  const BidsIndex index({tree.root()});
  for (const std::string contrast : {"", "acq-x", "T2w.nii.gz"})
    CHECK(contains(message_of(index, with_contrasts({contrast})),
                   "2 reading the configuration key loader_parameters.contrast_params"));
  CHECK(message_of(index, with_contrasts({"T2w", "T2w"})) == "1 cases");
}

TEST_CASE("a label is the stem of the image plus the suffix, exactly", "[bids_cases]") {
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz").label("sub-1/anat", "sub-1_T2w_seg-manual.nii.gz");
  tree.image("sub-2/anat", "sub-2_T2w.nii.gz").label("sub-2/anat", "sub-2_acq-x_T2w_seg.nii.gz");
  tree.image("sub-3/anat", "sub-3_T2w.nii.gz").label("sub-3/anat", "sub-3_T2w_seg.nii");
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  const auto cases = make_cases(index, with_contrasts({"T2w"}), left_out);
  CHECK(ids(cases) == Names{"sub-3_T2w"});
  CHECK(reasons(left_out).at("sub-1_T2w.nii.gz") == "no label with the ending _seg");
  CHECK(reasons(left_out).at("sub-2_T2w.nii.gz") == "no label with the ending _seg");
  CHECK(reasons(left_out).at("sub-2_acq-x_T2w_seg.nii.gz") == "the image of this label is missing");
  CHECK(left_out.files.size() == 3);

  LeftOutList plain;  // the underscore may be left away
  CHECK(ids(make_cases(index, with_contrasts({"T2w"}, {"seg-manual"}), plain)) == Names{"sub-1_T2w"});
}

TEST_CASE("labels are sought in derivatives/labels in the same folder, then there, then in all derivatives",
          "[bids_cases]") {
  Tree tree;
  tree.image("sub-1/ses-1/anat", "sub-1_ses-1_T2w.nii.gz")
      .file("derivatives/auto/sub-1/anat/sub-1_ses-1_T2w_seg.nii.gz");
  LeftOutList first;
  auto cases = make_cases(BidsIndex({tree.root()}), with_contrasts({"T2w"}), first);
  CHECK(cases[0].labels[0] == tree.path("derivatives/auto/sub-1/anat/sub-1_ses-1_T2w_seg.nii.gz"));
  CHECK(first.warnings.empty());

  tree.label("sub-1/anat", "sub-1_ses-1_T2w_seg.nii.gz");
  LeftOutList second;
  cases = make_cases(BidsIndex({tree.root()}), with_contrasts({"T2w"}), second);
  CHECK(cases[0].labels[0] == tree.path("derivatives/labels/sub-1/anat/sub-1_ses-1_T2w_seg.nii.gz"));
  CHECK(warned(second, "several label files fit"));

  tree.label("sub-1/ses-1/anat", "sub-1_ses-1_T2w_seg.nii").label("sub-1/ses-1/anat", "sub-1_ses-1_T2w_seg.nii.gz");
  LeftOutList third;
  cases = make_cases(BidsIndex({tree.root()}), with_contrasts({"T2w"}), third);
  CHECK(cases[0].labels[0] == tree.path("derivatives/labels/sub-1/ses-1/anat/sub-1_ses-1_T2w_seg.nii.gz"));
}

TEST_CASE("an image that lacks some classes keeps an empty path for them; one that lacks all is left out",
          "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T2w", "_a");
  tree.label("sub-1/anat", "sub-1_T2w_b.nii.gz");
  labelled(tree, "sub-2/anat", "sub-2_T2w", "_b");
  tree.image("sub-3/anat", "sub-3_T2w.nii.gz");
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  const auto cases = make_cases(index, with_contrasts({"T2w"}, {"_a", "_b"}), left_out);
  REQUIRE(ids(cases) == Names{"sub-1_T2w", "sub-2_T2w"});
  CHECK_FALSE(cases[0].labels[0].empty());
  CHECK(cases[1].labels[0].empty());
  CHECK(contains(cases[1].labels[1], "sub-2_T2w_b.nii.gz"));
  CHECK(warned(left_out, "sub-2_T2w.nii.gz has no label with the ending _a: taken as all zero"));
  CHECK(reasons(left_out).at("sub-3_T2w.nii.gz") == "no label with the ending _a or _b");

  auto segment = with_contrasts({}, {"_a", "_b"});
  segment.purpose = Command::segment;
  segment.contrast_params.testing = {"T2w"};
  LeftOutList none;
  const auto all = make_cases(BidsIndex({tree.root()}, {true, false}), segment, none);
  CHECK(all.size() == 3);
  CHECK(all[0].labels.empty());
  CHECK(none.files.empty());
}

TEST_CASE("an image without its region of interest is left out", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T2w");
  tree.label("sub-1/anat", "sub-1_T2w_roi.nii.gz");
  labelled(tree, "sub-2/anat", "sub-2_T2w");
  auto params = with_contrasts({"T2w"});
  params.roi_params.suffix = "_roi";
  LeftOutList left_out;
  const auto cases = make_cases(BidsIndex({tree.root()}), params, left_out);
  REQUIRE(ids(cases) == Names{"sub-1_T2w"});
  CHECK(contains(cases[0].roi, "sub-1_T2w_roi.nii.gz"));
  CHECK(reasons(left_out).at("sub-2_T2w.nii.gz") == "no region of interest with the ending _roi");
}

TEST_CASE("extensions choose the images; of two files of one name the first extension is used", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T2w");
  tree.image("sub-1/anat", "sub-1_T2w.nii")
      .image("sub-2/anat", "sub-2_T2w.png")
      .label("sub-2/anat", "sub-2_T2w_seg.png");
  const BidsIndex index({tree.root()});
  auto params = with_contrasts({"T2w"});
  LeftOutList first;
  CHECK(make_cases(index, params, first)[0].images[0] == tree.path("sub-1/anat/sub-1_T2w.nii"));
  CHECK(reasons(first).at("sub-1_T2w.nii.gz") == "another file of the same name is used");
  CHECK(reasons(first).at("sub-2_T2w.png") == "the extension .png is not in loader_parameters.extensions");
  params.extensions = {".nii.gz", "PNG"};
  LeftOutList second;
  CHECK(ids(make_cases(index, params, second)) == Names{"sub-1_T2w", "sub-2_T2w"});
  params.extensions = {".tif"};
  CHECK(contains(message_of(index, params), "none of 3 images is left (3 left out: 1 x the extension .nii"));
}

TEST_CASE("no suffix, and channels without contrasts are refused", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T2w");
  const BidsIndex index({tree.root()});
  auto params = with_contrasts({"T2w"});
  params.target_suffix.raters_by_class = {};
  CHECK(contains(message_of(index, params), "target_suffix is empty"));
  params = with_contrasts({});
  params.multichannel = true;
  CHECK(contains(message_of(index, params), "multichannel is true and there are no contrasts"));
}

TEST_CASE("channels: one case for each visit and run, with the contrasts in their order", "[bids_cases]") {
  Tree tree;
  for (const std::string visit : {"1", "2"})
    for (const std::string contrast : {"T2w", "acq-MTon_flip-1_MTS", "T1w"})
      labelled(tree, "sub-1/ses-" + visit + "/anat", "sub-1_ses-" + visit + "_" + contrast);
  labelled(tree, "sub-2/anat", "sub-2_T1w");
  labelled(tree, "sub-2/anat", "sub-2_T2w");
  auto params = with_contrasts({"T2w", "acq-MTon_MTS", "T1w"});
  params.multichannel = true;
  LeftOutList left_out;
  const auto cases = make_cases(BidsIndex({tree.root()}), params, left_out);
  REQUIRE(ids(cases) == Names{"sub-1_ses-1_T2w", "sub-1_ses-2_T2w"});
  CHECK(cases[1].contrasts == Names{"T2w", "acq-MTon_MTS", "T1w"});
  CHECK(cases[1].images == Names{tree.path("sub-1/ses-2/anat/sub-1_ses-2_T2w.nii.gz").string(),
                                 tree.path("sub-1/ses-2/anat/sub-1_ses-2_acq-MTon_flip-1_MTS.nii.gz").string(),
                                 tree.path("sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz").string()});
  CHECK(cases[1].metadata["channels"].size() == 3);
  CHECK(cases[1].metadata["channels"][1]["contrast"] == "acq-MTon_MTS");
  CHECK(cases[1].metadata["channels"][1]["flip"] == "1");
  CHECK(cases[1].metadata["session"] == "2");
  CHECK(reasons(left_out).at("sub-2_T1w.nii.gz") == "no image of the contrast acq-MTon_MTS goes with it");
  CHECK(left_out.files.size() == 2);
}

TEST_CASE("channels take the labels of the last image by name that has most classes", "[bids_cases]") {
  Tree tree;
  for (const std::string contrast : {"T1w", "T2star", "T2w"}) tree.image("sub-1/anat", "sub-1_" + contrast + ".nii.gz");
  tree.label("sub-1/anat", "sub-1_T1w_a.nii.gz").label("sub-1/anat", "sub-1_T1w_b.nii.gz");
  tree.label("sub-1/anat", "sub-1_T2star_a.nii.gz").label("sub-1/anat", "sub-1_T2star_b.nii.gz");
  tree.label("sub-1/anat", "sub-1_T2w_a.nii.gz").label("sub-1/anat", "sub-1_T1w_roi.nii.gz");
  auto params = with_contrasts({"T2w", "T1w", "T2star"}, {"_a", "_b"});
  params.multichannel = true;
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  auto cases = make_cases(index, params, left_out);
  REQUIRE(ids(cases) == Names{"sub-1_T2w"});
  CHECK(cases[0].labels == Names{tree.path("derivatives/labels/sub-1/anat/sub-1_T2star_a.nii.gz").string(),
                                 tree.path("derivatives/labels/sub-1/anat/sub-1_T2star_b.nii.gz").string()});
  CHECK(cases[0].metadata["label_contrast"] == "T2star");
  params.target_suffix.raters_by_class = {{"_a"}};
  cases = make_cases(index, params, left_out);
  CHECK(contains(cases[0].labels[0], "T2w_a"));
  params.roi_params.suffix = "_roi";
  cases = make_cases(index, params, left_out);
  CHECK(contains(cases[0].labels[0], "T1w_a"));
  CHECK(contains(cases[0].roi, "T1w_roi"));
}

TEST_CASE("missing contrasts: a case keeps an empty path for each contrast that it lacks", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/ses-1/anat", "sub-1_ses-1_T2w");
  labelled(tree, "sub-1/ses-1/anat", "sub-1_ses-1_T1w");
  labelled(tree, "sub-1/ses-2/anat", "sub-1_ses-2_T2star");
  labelled(tree, "sub-2/anat", "sub-2_T1w");
  tree.image("sub-3/anat", "sub-3_T1w.nii.gz");  // no label
  labelled(tree, "sub-4/anat", "sub-4_PDw");     // no contrast of the model
  auto params = with_contrasts({"T2w", "T1w", "T2star"});
  params.missing_contrasts = true;  // "multichannel" is not needed
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  const auto cases = make_cases(index, params, left_out);
  REQUIRE(ids(cases) == Names{"sub-1_ses-1_T2w", "sub-1_ses-2_T2star", "sub-2_T1w"});
  CHECK(cases[0].images == Names{tree.path("sub-1/ses-1/anat/sub-1_ses-1_T2w.nii.gz").string(),
                                 tree.path("sub-1/ses-1/anat/sub-1_ses-1_T1w.nii.gz").string(), ""});
  CHECK(cases[1].images == Names{"", "", tree.path("sub-1/ses-2/anat/sub-1_ses-2_T2star.nii.gz").string()});
  CHECK(cases[2].images == Names{"", tree.path("sub-2/anat/sub-2_T1w.nii.gz").string(), ""});
  CHECK(cases[0].reference == 0);
  CHECK(cases[1].reference == 2);
  CHECK(cases[2].reference == 1);
  for (const auto& one : cases) {
    CHECK(one.contrasts == Names{"T2w", "T1w", "T2star"});
    CHECK(one.labels.size() == 1);
    CHECK(one.condition.empty());
    REQUIRE(one.metadata["channels"].size() == 3);
    CHECK(one.metadata["channels"][1]["contrast"] == "T1w");
  }
  CHECK(cases[1].metadata["contrast"] == "T2star");
  CHECK(cases[1].metadata["session"] == "2");
  CHECK(cases[1].metadata["channels"][0].size() == 1);  // missing: nothing is known but its contrast
  CHECK(reasons(left_out).at("sub-3_T1w.nii.gz") == "no label with the ending _seg");
  CHECK(contains(reasons(left_out).at("sub-4_PDw.nii.gz"), "PDw is not asked for"));

  // Without the switch only whole sets of contrasts are cases.
  params.missing_contrasts = false;
  params.multichannel = true;
  CHECK(contains(message_of(index, params), "none of"));

  // To segment, every image counts; the reference is the first contrast that is there.
  auto segment = with_contrasts({});
  segment.purpose = Command::segment;
  segment.missing_contrasts = true;
  segment.contrast_params.testing = {"T2w", "T1w", "T2star"};
  LeftOutList none;
  const auto all = make_cases(BidsIndex({tree.root()}, {true, false}), segment, none);
  CHECK(ids(all) == Names{"sub-1_ses-1_T2w", "sub-1_ses-2_T2star", "sub-2_T1w", "sub-3_T1w"});
  CHECK(all[3].labels.empty());
}

TEST_CASE("missing contrasts: labels and region come from the contrasts that are named first", "[bids_cases]") {
  Tree tree;
  for (const std::string contrast : {"T1w", "T2star", "T2w"}) tree.image("sub-1/anat", "sub-1_" + contrast + ".nii.gz");
  tree.label("sub-1/anat", "sub-1_T1w_a.nii.gz").label("sub-1/anat", "sub-1_T1w_b.nii.gz");
  tree.label("sub-1/anat", "sub-1_T2star_a.nii.gz").label("sub-1/anat", "sub-1_T2star_b.nii.gz");
  tree.label("sub-1/anat", "sub-1_T2w_a.nii.gz");
  tree.label("sub-1/anat", "sub-1_T2w_roi.nii.gz").label("sub-1/anat", "sub-1_T1w_roi.nii.gz");
  auto params = with_contrasts({"T2w", "T1w", "T2star"}, {"_a", "_b"});
  params.missing_contrasts = true;
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  const auto one_case = [&] {
    auto cases = make_cases(index, params, left_out);
    REQUIRE(cases.size() == 1);
    return cases[0];
  };
  // T2w comes first and lacks a class: the first contrast with all of them has the labels, and its grid counts.
  CHECK(one_case().id == "sub-1_T1w");
  CHECK(one_case().reference == 1);
  CHECK(one_case().metadata["label_contrast"] == "T1w");
  CHECK(contains(one_case().labels[1], "sub-1_T1w_b"));
  CHECK(one_case().roi.empty());

  params.target_contrasts = {"PDw", "T2star", "T1w"};
  CHECK(one_case().id == "sub-1_T2star");
  CHECK(one_case().reference == 2);

  params.roi_params.suffix = "_roi";  // T2star has none: the first one in the order of the channels
  CHECK(contains(one_case().roi, "sub-1_T2w_roi"));
  params.roi_contrasts = {"T2star", "T1w"};
  CHECK(contains(one_case().roi, "sub-1_T1w_roi"));
  params.roi_contrasts.clear();
  params.target_contrasts = {"T1w"};
  CHECK(contains(one_case().roi, "sub-1_T1w_roi"));  // that of the labels

  params.target_suffix.raters_by_class = {{"_a"}, {"_b"}, {"_c"}};  // nobody has all three: the first with most
  params.target_contrasts = {"T2w", "T2star"};
  CHECK(one_case().id == "sub-1_T2star");
  CHECK(warned(left_out, "sub-1_T2star.nii.gz has no label with the ending _c"));
  params.roi_params.suffix = "_other";
  CHECK(contains(message_of(index, params), "region of interest"));
}

TEST_CASE("missing contrasts: a model may have more contrasts than are asked for", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T1w");
  labelled(tree, "sub-1/anat", "sub-1_T2w");
  auto params = with_contrasts({"T2w"});
  params.missing_contrasts = true;
  params.channels = {"T1w", "T2w", "T2star"};
  const BidsIndex index({tree.root()});
  LeftOutList left_out;
  const auto cases = make_cases(index, params, left_out);
  REQUIRE(cases.size() == 1);
  CHECK(cases[0].images == Names{"", tree.path("sub-1/anat/sub-1_T2w.nii.gz").string(), ""});
  params.channels = {"T1w", "T2star"};
  CHECK(contains(message_of(index, params), "the contrast T2w is asked for, and the model's are T1w, T2star"));
  CHECK(contains(message_of(index, params), "contrast_params"));
}

TEST_CASE("a column of participants.tsv tells the classes of an image; no label files are needed", "[bids_cases]") {
  Tree tree;
  tree.file("participants.tsv", "participant_id\tpathology\tgrade\nsub-1\tHC\t1\nsub-2\tMS\t2.0\nsub-3\tn/a\t2\n");
  for (const std::string sub : {"sub-1", "sub-2", "sub-3", "sub-4"}) tree.image(sub + "/anat", sub + "_T2w.nii.gz");
  CaseParams params;
  params.contrast_params.training_validation = {"T2w"};
  params.label_column = "pathology";
  params.label_values = {{"MS"}, {"HC"}};
  const BidsIndex index({tree.root()}, {true, false});
  LeftOutList left_out;
  const auto cases = make_cases(index, params, left_out);
  REQUIRE(ids(cases) == Names{"sub-1_T2w", "sub-2_T2w"});
  CHECK(cases[0].image_label == std::vector<float>{0, 1});
  CHECK(cases[1].image_label == std::vector<float>{1, 0});
  CHECK(cases[0].labels.empty());
  CHECK(reasons(left_out).at("sub-3_T2w.nii.gz") == "no value of pathology, which tells its class");
  CHECK(reasons(left_out).at("sub-4_T2w.nii.gz") == "no value of pathology, which tells its class");
  CHECK(left_out.warnings.empty());

  // As numbers where they are: 2.0 in the table is 2.
  params.label_column = "grade";
  params.label_values = {{2}, {7}};
  LeftOutList by_number;
  const auto graded = make_cases(index, params, by_number);
  REQUIRE(ids(graded) == Names{"sub-1_T2w", "sub-2_T2w", "sub-3_T2w"});
  CHECK(graded[0].image_label == std::vector<float>{0, 0});
  CHECK(graded[1].image_label == std::vector<float>{1, 0});
  CHECK(graded[2].image_label == std::vector<float>{1, 0});
  CHECK(warned(by_number, "label_values names 7, which is no value of grade"));

  params.label_column = "patology";
  CHECK(contains(message_of(index, params), "did you mean \"pathology\"?"));
  CHECK(contains(message_of(index, params), "loader_parameters.label_column"));

  // To segment, nobody needs a class.
  params.label_column = "pathology";
  params.purpose = Command::segment;
  params.contrast_params.testing = {"T2w"};
  LeftOutList none;
  const auto all = make_cases(index, params, none);
  CHECK(all.size() == 4);
  CHECK(all[0].image_label.empty());
  CHECK(none.files.empty());
}

TEST_CASE("the keys of classes by column belong together", "[bids_cases]") {
  const auto message = [](const std::string& json) {
    try {
      (void)params_of(json);
    } catch (const ivado::Error& fault) {
      return std::string(fault.what());
    }
    return std::string("read");
  };
  CHECK(message(R"({"label_column": "pathology", "label_values": ["MS", 1]})") == "read");
  CHECK(contains(message(R"({"label_column": "pathology"})"), "loader_parameters.label_values: it is empty"));
  CHECK(contains(message(R"({"label_values": ["MS"]})"), "label_column is not"));
  const auto keys = ivado::from_json<ivado::LoaderParameters>(
      Json::parse(R"({"label_column": "a", "label_values": ["x", 2, true], "target_suffix": ["_seg"]})"), "l");
  CHECK(keys.class_count() == 3);
  CHECK(keys.label_values[1].text() == "2");
  CHECK(ivado::from_json<ivado::LoaderParameters>(Json::parse(R"({"target_suffix": ["_seg"]})"), "l").class_count() ==
        1);
}

TEST_CASE("the balance keeps the first fraction of the files of a contrast", "[bids_cases]") {
  const auto [fraction, kept] =
      GENERATE(table<double, std::size_t>({{1, 7}, {0.5, 3}, {0.43, 3}, {0.42, 2}, {0.1, 0}, {0, 0}}));
  Tree tree;
  for (int i = 1; i <= 7; ++i) {
    const std::string sub = "sub-" + std::to_string(i);
    labelled(tree, sub + "/anat", sub + "_T1w");
    labelled(tree, sub + "/anat", sub + "_T2w");
  }
  auto params = with_contrasts({"T1w", "T2w"});
  params.contrast_params.balance.values = {{"T2w", fraction}};
  LeftOutList left_out;
  const auto cases = make_cases(BidsIndex({tree.root()}), params, left_out);
  CHECK(cases.size() == 7 + kept);
  CHECK(left_out.files.size() == 7 - kept);
  for (std::size_t i = kept; i < 7; ++i)
    CHECK(contains(reasons(left_out).at("sub-" + std::to_string(i + 1) + "_T2w.nii.gz"), "beyond the fraction of T2w"));
  params.contrast_params.balance.values = {{"PDw", 0.5}};
  LeftOutList other;
  CHECK(make_cases(BidsIndex({tree.root()}), params, other).size() == 14);
  CHECK(warned(other, "balance names PDw"));
}

TEST_CASE("images of one name in two data sets get ids of their own", "[bids_cases]") {
  Tree a("one");
  Tree b("two");
  Tree c("two");
  for (Tree* tree : {&a, &b, &c}) labelled(*tree, "sub-1/anat", "sub-1_T2w");
  labelled(b, "sub-2/anat", "sub-2_T2w");
  LeftOutList left_out;
  const auto cases = make_cases(BidsIndex({a.root(), b.root(), c.root()}), with_contrasts({"T2w"}), left_out);
  REQUIRE(cases.size() == 4);
  const auto names = ids(cases);
  CHECK(std::set<std::string>(names.begin(), names.end()) ==
        std::set<std::string>{"one_sub-1_T2w", "two_sub-1_T2w", "two_sub-1_T2w_2", "sub-2_T2w"});
  for (const auto& one : cases)
    CHECK(one.labels[0].rfind(one.images[0].substr(0, one.images[0].find("/sub-")) + "/derivatives", 0) == 0);
  CHECK(warned(left_out, "several data sets have an image sub-1_T2w"));
}

TEST_CASE("an image whose sidecar is broken is left out and named", "[bids_cases]") {
  Tree tree;
  labelled(tree, "sub-1/anat", "sub-1_T2w");
  labelled(tree, "sub-2/anat", "sub-2_T2w");
  tree.file("sub-1/anat/sub-1_T2w.json", "{");
  LeftOutList left_out;
  CHECK(ids(make_cases(BidsIndex({tree.root()}), with_contrasts({"T2w"}), left_out)) == Names{"sub-2_T2w"});
  CHECK(reasons(left_out).at("sub-1_T2w.nii.gz") == "its metadata cannot be read");
  CHECK(warned(left_out, "sub-1_T2w.json"));
}

TEST_CASE("the public spinal cord data: contrasts are not mixed, images without labels are listed", "[bids_cases]") {
  const auto root = tests::shared_data("spinalcord");
  if (!root) return;
  const BidsIndex index({*root});
  LeftOutList left_out;
  const auto cases = make_cases(index, with_contrasts({"T1w", "T2w", "T2star"}, {"_seg-manual"}), left_out);
  CHECK(ids(cases) == Names{"sub-pam50_T2w", "sub-sct01_T1w", "sub-sct01_T2star", "sub-sct01_T2w", "sub-sct02_T2w",
                            "sub-unf01_T1w", "sub-unf01_T2star", "sub-unf01_T2w"});
  CHECK(left_out.files.size() == 19 - 8);
  CHECK(contains(reasons(left_out).at("sub-sct01_dwi.nii.gz"), "dwi is not asked for"));
  CHECK(contains(reasons(left_out).at("sub-sct01_acq-uncropped_T2star.nii.gz"), "acq-uncropped"));
  CHECK(reasons(left_out).at("sub-unf02_T1w.nii.gz") == "no label with the ending _seg-manual");

  LeftOutList two;
  const auto lesions = make_cases(index, with_contrasts({"T2w"}, {"_seg-manual", "_lesion-manual"}), two);
  CHECK(ids(lesions) == Names{"sub-pam50_T2w", "sub-sct01_T2w", "sub-sct02_T2w", "sub-unf01_T2w"});
  CHECK(lesions[0].labels[1].empty());
  CHECK_FALSE(lesions[2].labels[1].empty());
  CHECK(two.warnings.size() == 2);

  auto params = with_contrasts({"T1w", "T2w", "T2star"}, {"_seg-manual"});
  params.multichannel = true;
  LeftOutList channels;
  const auto several = make_cases(index, params, channels);
  CHECK(ids(several) == Names{"sub-sct01_T1w", "sub-unf01_T1w"});  // unf02 and unf03 have no such label
  CHECK(several[1].images.size() == 3);

  params.missing_contrasts = true;
  params.target_contrasts = {"T2w"};
  LeftOutList missing;
  const auto hemis = make_cases(index, params, missing);
  CHECK(ids(hemis) == Names{"sub-pam50_T2w", "sub-sct01_T2w", "sub-sct02_T2w", "sub-unf01_T2w"});
  CHECK(hemis[0].images[0].empty());
  CHECK(hemis[0].images[2].empty());
  for (const auto& one : hemis) CHECK(one.metadata["label_contrast"] == "T2w");

  params = with_contrasts({"acq-MTon_MTS", "T2star", "acq-uncropped_T2star"}, {"_gmseg-manual"});
  params.roi_params.suffix = "_seg-manual";
  LeftOutList regions;
  CHECK(ids(make_cases(index, params, regions)) == Names{"sub-sct01_T2star", "sub-sct01_acq-MTon_flip-1_mt-on_MTS"});
  CHECK(contains(reasons(regions).at("sub-sct01_acq-uncropped_T2star.nii.gz"), "region of interest"));
}

TEST_CASE("the public microscopy, CT and hippocampus data", "[bids_cases]") {
  if (const auto root = tests::shared_data("microscopy-sem-visits")) {
    auto params = with_contrasts({"SEM"}, {"_seg-axon-manual", "_seg-myelin-manual"});
    params.extensions = {".png"};
    LeftOutList left_out;
    const auto cases = make_cases(BidsIndex({*root}), params, left_out);
    CHECK(ids(cases) == Names{"sub-rat2_sample-data5_SEM", "sub-rat3_ses-01_sample-data9_SEM",
                              "sub-rat3_ses-02_sample-data10_SEM", "sub-rat3_ses-02_sample-data11_run-1_SEM",
                              "sub-rat3_ses-02_sample-data11_run-2_SEM"});
    CHECK(cases[1].metadata["PixelSize"] == Json::array({0.1, 0.2}));
    CHECK(left_out.files.empty());
  }
  if (const auto root = tests::shared_data("microscopy-sem")) {
    auto params = with_contrasts({"SEM"}, {"_seg-axon-manual", "_seg-myelin-manual"});
    params.extensions = {".png"};
    LeftOutList left_out;
    CHECK(make_cases(BidsIndex({*root}), params, left_out).size() == 8);
    CHECK(left_out.files.empty());
  }
  if (const auto root = tests::shared_data("ct-spleen")) {
    const bool validate = GENERATE(true, false);
    LeftOutList left_out;
    const auto cases =
        make_cases(BidsIndex({*root}, {validate, true}), with_contrasts({"ct"}, {"_seg-manual"}), left_out);
    CHECK(ids(cases) == Names{"sub-spleen2_ct"});
  }
  if (const auto root = tests::shared_data("msd-hippocampus")) {
    LeftOutList left_out;
    const auto cases = make_cases(BidsIndex({*root}),
                                  with_contrasts({"T1w"}, {"_seg-anterior-manual", "_seg-posterior-manual"}), left_out);
    CHECK(cases.size() == 200);
    std::set<std::string> groups;
    for (const auto& one : cases) {
      groups.insert(one.metadata["person_group"].get<std::string>());
      CHECK(one.labels.size() == 2);
      CHECK(contains(one.labels[0], one.id + "_seg-anterior-manual.nii.gz"));
    }
    CHECK(groups.size() == 131);
    CHECK(left_out.files.empty());
    CHECK(left_out.warnings.empty());
  }
}

TEST_CASE("labels whose images are missing are reported one by one", "[bids_cases]") {
  const auto root = tests::shared_data("spinegeneric-labels");
  if (!root) return;
  const BidsIndex index({*root});
  LeftOutList left_out;
  CHECK_THROWS_AS(make_cases(index, with_contrasts({"T1w", "T2w", "T2star"}, {"_seg-manual"}), left_out), ivado::Error);
  CHECK(left_out.files.size() == 29);
  for (const auto& one : left_out.files) CHECK(one.reason == "the image of this label is missing");
  CHECK(contains(message_of(index, with_contrasts({"T2w"}, {"_csfseg-manual"})),
                 "there is no image (10 left out: 10 x the image of this label is missing)"));
}
