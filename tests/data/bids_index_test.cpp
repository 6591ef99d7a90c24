// Tests of data/bids_index.hpp: names, places, tables, sidecars, and what is left out.
#include <atomic>
#include <ivado/data/bids_index.hpp>
#include <map>
#include <set>
#include <thread>

#include "../catch.hpp"
#include "bids_tree.hpp"

namespace {

using Catch::Matchers::Contains;
using ivado::BidsFile;
using ivado::BidsIndex;
using ivado::FileKind;
using ivado::Json;
using tests::Tree;

const BidsFile& file_of(const BidsIndex& index, const std::string& name) {
  for (const auto& file : index.files())
    if (file.name == name) return file;
  FAIL("not indexed: " << name);
  throw 0;
}

/// Reasons by path below the root.
std::map<std::string, std::string> left_out(const BidsIndex& index) {
  std::map<std::string, std::string> out;
  for (const auto& one : index.left_out().files) out[one.file.substr(index.roots()[0].size() + 1)] = one.reason;
  return out;
}

bool warned(const BidsIndex& index, const std::string& part) {
  for (const auto& text : index.left_out().warnings)
    if (text.find(part) != std::string::npos) return true;
  return false;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const ivado::Error& fault) {
    return std::to_string(fault.exit_status()) + " " + fault.what();
  }
  return "no error";
}

std::string index_message(const std::string& root, bool validate = true) {
  return message_of([&] { const BidsIndex index({root}, {validate, true}); });
}

}  // namespace

TEST_CASE("a BIDS name is split into entities, suffix and the longest known extension", "[bids_index]") {
  const auto name = ivado::parse_bids_name("sub-rat3_ses-02_sample-data11_run-1_SEM.ome.tif");
  CHECK(name.stem == "sub-rat3_ses-02_sample-data11_run-1_SEM");
  CHECK(name.extension == ".ome.tif");
  CHECK(name.suffix == "SEM");
  CHECK(name.entity("sub") == "rat3");
  CHECK(name.entity("ses") == "02");
  CHECK(name.entity("sample") == "data11");
  CHECK(name.entity("run") == "1");
  CHECK(name.entity("acq").empty());
  CHECK(name.has("run"));
  CHECK_FALSE(name.has("acq"));
  CHECK(ivado::parse_bids_name("sub-1_T2w.nii.gz").extension == ".nii.gz");
  CHECK(ivado::parse_bids_name("sub-1_T2w.nii").extension == ".nii");
  CHECK(ivado::parse_bids_name("sub-1_T2w.NII.GZ").extension == ".NII.GZ");
  CHECK(ivado::parse_bids_name("sub-1_T2w.NII.GZ").stem == "sub-1_T2w");
  CHECK(ivado::parse_bids_name("sub-1_T2w.v2.nii.gz").suffix == "T2w.v2");
  CHECK(ivado::parse_bids_name("sub-1_T2w.mgz").extension == ".mgz");
  CHECK(ivado::parse_bids_name("README").extension.empty());
}

TEST_CASE("the order of the entities in a name does not count", "[bids_index]") {
  const auto a = ivado::parse_bids_name("sub-1_acq-MTon_flip-1_mt-on_MTS.nii");
  const auto b = ivado::parse_bids_name("mt-on_sub-1_flip-1_acq-MTon_MTS.nii");
  CHECK(a.entities == b.entities);
  CHECK(a.suffix == b.suffix);
}

TEST_CASE("a name without a suffix, with loose parts or with a key twice is seen as such", "[bids_index]") {
  CHECK(ivado::parse_bids_name("sub-1_ses-2.nii.gz").suffix.empty());
  CHECK(ivado::parse_bids_name("sub-1_T2w_straight_mid.nii.gz").suffix == "mid");
  CHECK(ivado::parse_bids_name("sub-1_T2w_straight_mid.nii.gz").has("T2w"));
  CHECK(ivado::parse_bids_name("sub-1_run-1_run-2_T2w.nii.gz").repeated_key);
  CHECK_FALSE(ivado::parse_bids_name("sub-1_run-1_T2w.nii.gz").repeated_key);
}

TEST_CASE("one pass finds images, labels, sidecars, tables and documents", "[bids_index]") {
  Tree tree;
  tree.file("README").file("participants.tsv", "participant_id\nsub-01\nsub-02\n").file("participants.json", "{}");
  tree.image("sub-01/anat", "sub-01_T2w.nii.gz").file("sub-01/anat/sub-01_T2w.json", "{}");
  tree.image("sub-02/ses-1/anat", "sub-02_ses-1_T2w.nii").image("sub-02/ses-1/dwi", "sub-02_ses-1_dwi.nii.gz");
  tree.file("sub-02/ses-1/dwi/sub-02_ses-1_dwi.bval").file("T2w.json", "{}");
  tree.label("sub-01/anat", "sub-01_T2w_seg-manual.nii.gz");
  tree.file("derivatives/other/sub-01/anat/sub-01_T2w_seg-auto.nii.gz");
  tree.file("derivatives/sub-02/anat/sub-02_ses-1_T2w_seg-plain.nii.gz");
  tree.file("derivatives/labels/dataset_description.json", "{}");
  const BidsIndex index({tree.root()});
  CHECK(index.left_out().files.empty());
  CHECK(index.files().size() == 14);
  CHECK(index.count(FileKind::image) == 3);
  CHECK(index.count(FileKind::label) == 3);
  CHECK(index.count(FileKind::sidecar) == 2);
  CHECK(index.count(FileKind::table) == 1);
  CHECK(index.count(FileKind::other) == 1);
  CHECK(index.count(FileKind::document) == 4);

  const auto& image = file_of(index, "sub-02_ses-1_T2w.nii");
  CHECK(image.subject() == "sub-02");
  CHECK(image.datatype == "anat");
  CHECK(image.relative == "sub-02/ses-1/anat/sub-02_ses-1_T2w.nii");
  CHECK(image.path == tree.root() + "/" + image.relative);
  CHECK(image.folder() == "sub-02/ses-1/anat");
  CHECK(file_of(index, "sub-01_T2w_seg-manual.nii.gz").pipeline == "labels");
  CHECK(file_of(index, "sub-01_T2w_seg-auto.nii.gz").pipeline == "other");
  CHECK(file_of(index, "sub-02_ses-1_T2w_seg-plain.nii.gz").pipeline.empty());
  REQUIRE(index.labels(0, "sub-01_T2w_seg-manual").size() == 1);
  CHECK(index.labels(0, "sub-01_T2w_seg").empty());
  CHECK(index.labels(1, "sub-01_T2w_seg-manual").empty());
}

TEST_CASE("labels of derivatives/labels come first", "[bids_index]") {
  Tree tree;
  tree.file("derivatives/aaa/sub-1/anat/sub-1_T2w_seg.nii.gz").label("sub-1/anat", "sub-1_T2w_seg.nii.gz");
  const BidsIndex index({tree.root()});
  const auto found = index.labels(0, "sub-1_T2w_seg");
  REQUIRE(found.size() == 2);
  CHECK(found[0]->pipeline == "labels");
  CHECK(found[1]->pipeline == "aaa");
}

TEST_CASE("derivatives are not searched where labels are not needed", "[bids_index]") {
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii").label("sub-1/anat", "sub-1_T2w_seg.nii");
  const BidsIndex index({tree.root()}, {true, false});
  CHECK(index.count(FileKind::label) == 0);
  CHECK(left_out(index).at("derivatives/") == "labels are not needed");
}

TEST_CASE("what is not indexed is listed with its reason", "[bids_index]") {
  Tree tree;
  tree.file("participants.tsv", "participant_id\nsub-1\n").image("sub-1/anat", "sub-1_T2w.nii.gz");
  tree.file(".hidden").file("sourcedata/sub-1/x.dcm").file("code/run.py").file("notes/todo.txt");
  tree.file("sub-1/anat/.DS_Store").file("sub-1/anat/._sub-1_T2w.nii.gz");
  tree.file("sub-1/anat/sub-1_T2w.nii.gz~").file("sub-1/anat/T2w.nii.gz").file("sub-1/anat/sub-2_T2w.nii.gz");
  tree.file("sub-1/anat/sub-1_ses-1_T2w.nii.gz").file("sub-1/anat/sub-1_odd_T2w.nii.gz");
  tree.file("sub-1/anat/sub-1_run-1.nii.gz").file("sub-1/anat/sub-1_run-1_run-2_T2w.nii.gz");
  tree.file("sub-1/sub-1_T2w.nii.gz").file("sub-1/strange/sub-1_T2w.nii.gz").file("sub-1/anat/deep/sub-1_T2w.nii.gz");
  const BidsIndex index({tree.root()});
  CHECK(index.count(FileKind::image) == 1);
  const auto reasons = left_out(index);
  CHECK(reasons.size() == 16);
  CHECK(reasons.at(".hidden") == "hidden");
  CHECK(reasons.at("sub-1/anat/.DS_Store") == "hidden");
  CHECK(reasons.at("sub-1/anat/._sub-1_T2w.nii.gz") == "hidden");
  CHECK(contains(reasons.at("sourcedata/"), "sourcedata"));
  CHECK(contains(reasons.at("code/"), "code"));
  CHECK(contains(reasons.at("notes/"), "not a folder of BIDS"));
  CHECK(contains(reasons.at("sub-1/strange/"), "not a folder of BIDS"));
  CHECK(contains(reasons.at("sub-1/anat/deep/"), "not a folder of BIDS"));
  CHECK(contains(reasons.at("sub-1/anat/sub-1_T2w.nii.gz~"), "file type .nii.gz~ is not known"));
  CHECK(contains(reasons.at("sub-1/anat/T2w.nii.gz"), "does not begin with sub-"));
  CHECK(contains(reasons.at("sub-1/anat/sub-2_T2w.nii.gz"), "subject or visit"));
  CHECK(contains(reasons.at("sub-1/anat/sub-1_ses-1_T2w.nii.gz"), "subject or visit"));
  CHECK(contains(reasons.at("sub-1/anat/sub-1_odd_T2w.nii.gz"), "no key-value pair"));
  CHECK(contains(reasons.at("sub-1/anat/sub-1_run-1.nii.gz"), "no suffix"));
  CHECK(contains(reasons.at("sub-1/anat/sub-1_run-1_run-2_T2w.nii.gz"), "twice"));
  CHECK(contains(reasons.at("sub-1/sub-1_T2w.nii.gz"), "data type"));
  CHECK(index.left_out().by_reason().front() == std::pair<std::string, std::size_t>("hidden", 3));
  CHECK(contains(index.left_out().summary(), "16 left out: 3 x hidden"));
}

TEST_CASE("without validation, places and names that BIDS does not know are indexed too", "[bids_index]") {
  Tree tree("data", false);
  tree.image("sub-1/strange", "sub-1_T2w.nii.gz")
      .image("sub-1", "sub-1_T1w.nii.gz")
      .image("more/sub-2/anat", "sub-2_T2w.nii.gz");
  tree.image("sub-1/anat", "sub-1_T2w_straight_mid.nii.gz")
      .file(".bidsignore", "strange/\n")
      .file("sourcedata/sub-3_T2w.nii.gz");
  const BidsIndex index({tree.root()}, {false, true});
  CHECK(index.count(FileKind::image) == 4);
  CHECK(file_of(index, "sub-1_T2w.nii.gz").datatype == "strange");
  CHECK(file_of(index, "sub-1_T2w_straight_mid.nii.gz").suffix == "mid");
  CHECK(left_out(index).contains("sourcedata/"));
  CHECK(warned(index, "dataset_description.json is missing"));
}

TEST_CASE(".bidsignore has the form of .gitignore", "[bids_index]") {
  struct Rule {
    std::string text;
    bool a, b, c;  // are sub-1/anat/sub-1_T1w.nii, sub-1/anat/sub-1_run-1_T2w.nii, sub-2/dwi/sub-2_dwi.nii indexed?
  };
  const auto rule = GENERATE(values<Rule>({
      {"", true, true, true},
      {"# sub-1_T1w.nii\n", true, true, true},
      {"sub-1_T1w.nii\n", false, true, true},
      {"*_T?w.nii\r\n", false, false, true},
      {"/sub-1/\n", false, false, true},
      {"dwi/\n", true, true, false},
      {"sub-2_dwi.nii/\n", true, true, true},
      {"**/dwi/**\n", true, true, false},
      {"sub-*/*/*_run-*_*\n", true, false, true},
      {"*.nii\n!*_T1w.nii\n", true, false, false},
      {"sub-[2-9]\n", true, true, false},
      {"sub-[!2-9]\n", false, false, true},
      {"anat/sub-1_T1w.nii\n", true, true, true},  // a slash within: counted from the root
  }));
  CAPTURE(rule.text);
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T1w.nii")
      .image("sub-1/anat", "sub-1_run-1_T2w.nii")
      .image("sub-2/dwi", "sub-2_dwi.nii");
  tree.label("sub-1/anat", "sub-1_T1w_seg.nii").file(".bidsignore", rule.text);
  const BidsIndex index({tree.root()});
  std::set<std::string> found;
  for (const auto& file : index.files())
    if (file.kind == FileKind::image) found.insert(file.name);
  CHECK(found.contains("sub-1_T1w.nii") == rule.a);
  CHECK(found.contains("sub-1_run-1_T2w.nii") == rule.b);
  CHECK(found.contains("sub-2_dwi.nii") == rule.c);
  CHECK(index.count(FileKind::label) == 1);
}

TEST_CASE("CT images are indexed although .bidsignore names their folder", "[bids_index]") {
  Tree tree;
  tree.image("sub-1/ct", "sub-1_ct.nii.gz").image("sub-1/ct", "sub-1_T1w.nii.gz").file(".bidsignore", "**/ct/\n");
  const BidsIndex index({tree.root()});
  CHECK(index.count(FileKind::image) == 1);
  CHECK(file_of(index, "sub-1_ct.nii.gz").datatype == "ct");
  CHECK(left_out(index).at("sub-1/ct/sub-1_T1w.nii.gz") == "named in .bidsignore");
}

TEST_CASE("dataset_description.json is needed, unless validation is off", "[bids_index]") {
  Tree tree("data", false);
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz");
  CHECK(contains(index_message(tree.root()),
                 "3 indexing the data set " + tree.root() + ": dataset_description.json is missing"));
  CHECK(contains(index_message(tree.root()), "bids_validate"));
  CHECK(index_message(tree.root(), false) == "no error");
  tree.file("dataset_description.json", "[1, 2");
  CHECK(contains(index_message(tree.root()), "not a JSON object"));
  tree.file("dataset_description.json", "\xEF\xBB\xBF{}");
  CHECK(index_message(tree.root()) == "no error");
  CHECK(warned(BidsIndex({tree.root()}), "lacks Name or BIDSVersion"));
}

TEST_CASE("a root that is no folder is an error of the configuration", "[bids_index]") {
  Tree tree;
  CHECK(contains(index_message(tree.root() + "/nowhere"), "2 indexing the data set"));
  CHECK(contains(index_message(tree.root() + "/nowhere"), "no such folder"));
  CHECK(contains(index_message(tree.root() + "/dataset_description.json"), "path_data"));
  CHECK(contains(message_of([] { const BidsIndex index({}); }), "path_data is empty"));
}

TEST_CASE("a root given twice is used once, also by another name", "[bids_index]") {
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz");
  const BidsIndex index({tree.root(), tree.root() + "/sub-1/.."});
  CHECK(index.count(FileKind::image) == 1);
  CHECK(index.roots().size() == 1);
  CHECK(warned(index, "given twice"));
}

TEST_CASE("the name of the root does not count: it may say derivatives", "[bids_index]") {
  Tree tree("derivatives");
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz").label("sub-1/anat", "sub-1_T2w_seg.nii.gz");
  const BidsIndex index({tree.root() + "/"});
  CHECK(index.count(FileKind::image) == 1);
  CHECK(index.count(FileKind::label) == 1);
}

TEST_CASE("links: files are followed, loops end, broken ones are listed", "[bids_index]") {
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz");
  std::filesystem::create_directories(tree.top() / "store/sub-3/anat");
  std::ofstream(tree.top() / "store/sub-3/anat/sub-3_T2w.nii.gz") << "";
  std::filesystem::create_directory_symlink(tree.top() / "store", tree.top() / "store/sub-3/again");
  std::filesystem::create_directory_symlink(tree.top() / "store/sub-3", tree.path("sub-3"));
  std::filesystem::create_directory_symlink(tree.path(""), tree.path("sub-1/anat/up"));
  std::filesystem::create_directory_symlink(tree.path("sub-1"), tree.path("sub-1/self"));
  std::filesystem::create_symlink(tree.top() / "store/sub-3/anat/sub-3_T2w.nii.gz",
                                  tree.path("sub-1/anat/sub-1_T1w.nii.gz"));
  std::filesystem::create_symlink("../../.git/annex/objects/x", tree.path("sub-1/anat/sub-1_T2star.nii.gz"));
  std::filesystem::create_symlink("sub-1_PDw.nii.gz", tree.path("sub-1/anat/sub-1_PDw.nii.gz"));
  const bool validate = GENERATE(true, false);
  const BidsIndex index({tree.root()}, {validate, true});
  CHECK(file_of(index, "sub-1_T2w.nii.gz").subject() == "sub-1");
  CHECK(file_of(index, "sub-1_T1w.nii.gz").subject() == "sub-1");
  CHECK(file_of(index, "sub-3_T2w.nii.gz").subject() == "sub-3");
  const auto reasons = left_out(index);
  CHECK(contains(reasons.at("sub-1/anat/up/"), "leads back"));
  CHECK(contains(reasons.at("sub-1/self/"), "leads back"));
  CHECK(contains(reasons.at("sub-1/anat/sub-1_T2star.nii.gz"), "git-annex"));
  CHECK(reasons.contains("sub-1/anat/sub-1_PDw.nii.gz"));
  CHECK(index.files().size() < 20);
}

TEST_CASE("participants.tsv may have a byte order mark, any line ends, short rows and missing values", "[bids_index]") {
  const std::string end = GENERATE(as<std::string>{}, "\n", "\r\n", "\r");
  Tree tree;
  tree.file("participants.tsv", "\xEF\xBB\xBFparticipant_id\tsex\t age \tsite\tnote" + end +
                                    "sub-1\tF\t31\tA\t\"said \"\"yes\"\"\"" + end + "sub-2\tn/a\t\tB" + end + end +
                                    "3\tNaN\t40" + end + "sub-4\tM\t1\tC\tx");
  for (const std::string sub : {"sub-1", "sub-2", "sub-3", "sub-4", "sub-5"})
    tree.image(sub + "/anat", sub + "_T2w.nii.gz");
  const BidsIndex index({tree.root()});
  const auto of = [&](const std::string& sub) { return index.metadata(file_of(index, sub + "_T2w.nii.gz")); };
  CHECK(of("sub-1")["participant_id"] == "sub-1");
  CHECK(of("sub-1")["sex"] == "F");
  CHECK(of("sub-1")["age"] == "31");
  CHECK(of("sub-1")["note"] == "said \"yes\"");
  CHECK(of("sub-2")["sex"].is_null());
  CHECK(of("sub-2")["age"].is_null());
  CHECK(of("sub-2")["site"] == "B");
  CHECK(of("sub-2")["note"].is_null());
  CHECK(of("sub-3")["age"] == "40");
  CHECK(of("sub-3")["sex"].is_null());
  CHECK(of("sub-4")["note"] == "x");
  CHECK(of("sub-5").contains("site"));
  CHECK(of("sub-5")["site"].is_null());
  CHECK(warned(index, "participants.tsv has no row for sub-5"));
}

TEST_CASE("a table that cannot be used gives a warning, not an error", "[bids_index]") {
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz");
  CHECK(warned(BidsIndex({tree.root()}), "no participants.tsv"));
  tree.file("participants.tsv", "participant_id,sex\nsub-1,F\n");
  CHECK(warned(BidsIndex({tree.root()}), "has no column participant_id"));
  tree.file("participants.tsv", "");
  CHECK(warned(BidsIndex({tree.root()}), "no column"));
  tree.file("participants.tsv", "participant_id\tsex\nsub-1\tF\nsub-1\tM\nn/a\tM\nsub-9\tF\n");
  const BidsIndex index({tree.root()});
  CHECK(warned(index, "two rows for sub-1"));
  CHECK(warned(index, "a row without participant_id"));
  CHECK(warned(index, "subjects without any image: sub-9"));
  CHECK(index.metadata(file_of(index, "sub-1_T2w.nii.gz"))["sex"] == "F");
}

TEST_CASE("text that is not UTF-8 becomes so, and metadata can be written", "[bids_index]") {
  Tree tree;
  tree.file("participants.tsv",
            "participant_id\tsite\nsub-1\tMontr\xE9"
            "al\nsub-2\tMontr\xC3\xA9"
            "al\n");
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz").image("sub-2/anat", "sub-2_T2w.nii.gz");
  const BidsIndex index({tree.root()});
  CHECK(index.metadata(file_of(index, "sub-1_T2w.nii.gz"))["site"] ==
        "Montr\xC3\xA9"
        "al");
  CHECK(index.metadata(file_of(index, "sub-2_T2w.nii.gz"))["site"] ==
        "Montr\xC3\xA9"
        "al");
  CHECK_NOTHROW(index.metadata(file_of(index, "sub-1_T2w.nii.gz")).dump());
}

TEST_CASE("samples, visits and scans are joined; the later table has the name, the earlier is kept", "[bids_index]") {
  Tree tree;
  tree.file("participants.tsv", "participant_id\tacq_time\tage\nsub-1\tyear\t9\n");
  tree.file("samples.tsv", "sample_id\tparticipant_id\tsample_type\nsample-A\tsub-1\ttissue\nB\t1\tcell\n");
  tree.file("sub-1/sub-1_sessions.tsv", "session_id\tacq_time\tweight\nses-1\tmonday\t70\nses-2\ttuesday\tn/a\n");
  tree.file("sub-1/ses-1/sub-1_ses-1_scans.tsv", "filename\tacq_time\nmicr/sub-1_ses-1_sample-A_SEM.png\tnoon\n");
  tree.image("sub-1/ses-1/micr", "sub-1_ses-1_sample-A_SEM.png")
      .image("sub-1/ses-1/micr", "sub-1_ses-1_sample-B_SEM.png");
  tree.image("sub-1/ses-2/micr", "sub-1_ses-2_sample-A_SEM.png");
  const BidsIndex index({tree.root()});
  const Json a = index.metadata(file_of(index, "sub-1_ses-1_sample-A_SEM.png"));
  CHECK(a["sample_type"] == "tissue");
  CHECK(a["acq_time"] == "noon");
  CHECK(a["acq_time_sessions"] == "monday");
  CHECK(a["acq_time_participants"] == "year");
  CHECK(a["weight"] == "70");
  CHECK(a["session"] == "1");
  CHECK(a["sample"] == "A");
  const Json b = index.metadata(file_of(index, "sub-1_ses-1_sample-B_SEM.png"));
  CHECK(b["sample_type"] == "cell");
  CHECK(b["acq_time"] == "monday");
  const Json later = index.metadata(file_of(index, "sub-1_ses-2_sample-A_SEM.png"));
  CHECK(later["acq_time"] == "tuesday");
  CHECK(later["weight"].is_null());
  CHECK(later["age"] == "9");
}

TEST_CASE("entities stand under their long names and win over columns of that name", "[bids_index]") {
  Tree tree;
  tree.file("participants.tsv", "participant_id\tsession\tsubject\nsub-1\tmorning\t1\n");
  tree.image("sub-1/ses-b/anat", "sub-1_ses-b_acq-x_rec-y_ce-z_dir-AP_run-02_echo-1_T2w.nii.gz");
  const BidsIndex index({tree.root()});
  const Json data = index.metadata(file_of(index, "sub-1_ses-b_acq-x_rec-y_ce-z_dir-AP_run-02_echo-1_T2w.nii.gz"));
  CHECK(data["session"] == "b");
  CHECK(data["session_participants"] == "morning");
  CHECK(data["subject"] == "1");
  CHECK_FALSE(data.contains("subject_participants"));  // the same value
  CHECK(data["acquisition"] == "x");
  CHECK(data["reconstruction"] == "y");
  CHECK(data["ceagent"] == "z");
  CHECK(data["direction"] == "AP");
  CHECK(data["run"] == "02");
  CHECK(data["echo"] == "1");
  CHECK(data["suffix"] == "T2w");
  CHECK(data["datatype"] == "anat");
  CHECK(data["extension"] == ".nii.gz");
}

TEST_CASE("sidecars apply by inheritance: suffix, entities, the deeper folder, the more entities", "[bids_index]") {
  Tree tree;
  tree.file("T2w.json", R"({"a": "root", "b": "root", "c": "root", "d": "root"})");
  tree.file("acq-x_T2w.json", R"({"b": "root acq-x", "x": true})");
  tree.file("T1w.json", R"({"wrong": 1})").file("acq-y_T2w.json", R"({"wrong": 2})");
  tree.file("sub-1/sub-1_T2w.json", R"({"c": "subject", "d": "subject"})");
  tree.file("sub-1/anat/sub-1_acq-x_run-1_T2w.json", R"({"d": "own", "list": [1, 2]})");
  tree.file("sub-1/anat/sub-1_acq-x_T2w.json", R"({"d": "nearly own", "e": "nearly own"})");
  tree.image("sub-1/anat", "sub-1_acq-x_run-1_T2w.nii.gz")
      .image("sub-2/anat", "sub-2_T2w.nii.gz")
      .file("sub-2/anat/sub-1_T2w.json", "{}");
  const BidsIndex index({tree.root()});
  const Json data = index.metadata(file_of(index, "sub-1_acq-x_run-1_T2w.nii.gz"));
  CHECK(data["a"] == "root");
  CHECK(data["b"] == "root acq-x");
  CHECK(data["c"] == "subject");
  CHECK(data["d"] == "own");
  CHECK(data["e"] == "nearly own");
  CHECK(data["x"] == true);
  CHECK(data["list"] == Json::array({1, 2}));
  CHECK_FALSE(data.contains("wrong"));
  const Json other = index.metadata(file_of(index, "sub-2_T2w.nii.gz"));
  CHECK(other["d"] == "root");
  CHECK_FALSE(other.contains("x"));
}

TEST_CASE("a sidecar is opened when its image is asked for; a broken one is an error that names it", "[bids_index]") {
  const auto [text, said] = GENERATE(
      table<std::string, std::string>({{"{\"a\": ", "parse error"}, {"[1]", "no JSON object"}, {"", "parse error"}}));
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz")
      .image("sub-2/anat", "sub-2_T2w.nii.gz")
      .file("sub-1/anat/sub-1_T2w.json", text);
  const BidsIndex index({tree.root()});
  CHECK_NOTHROW(index.metadata(file_of(index, "sub-2_T2w.nii.gz")));
  const auto message = message_of([&] { static_cast<void>(index.metadata(file_of(index, "sub-1_T2w.nii.gz"))); });
  CHECK(message[0] == '3');
  CHECK(contains(message, "sub-1_T2w.json"));
  CHECK(contains(message, said));
}

TEST_CASE("a sidecar may hold NaN as Python writes it, and Latin-1", "[bids_index]") {
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz");
  tree.file("sub-1/anat/sub-1_T2w.json",
            "{\"a\": NaN, \"b\": [1, -Infinity, Infinity], \"c\": \"NaN \\\" \xE9\", \"d\": 2}");
  const BidsIndex index({tree.root()});
  const Json data = index.metadata(file_of(index, "sub-1_T2w.nii.gz"));
  CHECK(data["a"].is_null());
  CHECK(data["b"] == Json::array({1, nullptr, nullptr}));
  CHECK(data["c"] == "NaN \" \xC3\xA9");
  CHECK(data["d"] == 2);
}

TEST_CASE("long lists of subjects are cut in warnings", "[bids_index]") {
  Tree tree;
  std::string table = "participant_id\n";
  for (int i = 100; i < 127; ++i) table += "sub-" + std::to_string(i) + "\n";
  tree.file("participants.tsv", table);
  CHECK(warned(BidsIndex({tree.root()}), "sub-119 and 7 more"));
}

TEST_CASE("metadata may be asked for by several threads", "[bids_index]") {
  Tree tree;
  tree.file("T2w.json", R"({"site": "A"})");
  for (int i = 0; i < 60; ++i) {
    const std::string sub = "sub-" + std::to_string(i);
    tree.image(sub + "/anat", sub + "_T2w.nii.gz")
        .file(sub + "/anat/" + sub + "_T2w.json", "{\"number\": " + std::to_string(i) + "}");
  }
  const BidsIndex index({tree.root()});
  std::atomic<int> right{0};
  const auto work = [&] {
    for (const auto& file : index.files())
      if (file.kind == FileKind::image) {
        const Json data = index.metadata(file);
        if (data["site"] == "A" && data["number"].dump() == data["subject"]) ++right;
      }
  };
  std::thread one(work);
  std::thread two(work);
  one.join();
  two.join();
  CHECK(right == 120);
}

TEST_CASE("indexing writes nothing into the data set", "[bids_index]") {
  Tree tree;
  tree.image("sub-1/anat", "sub-1_T2w.nii.gz").label("sub-1/anat", "sub-1_T2w_seg.nii.gz");
  const auto state = [&] {
    std::map<std::string, std::filesystem::file_time_type> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(tree.root()))
      out[entry.path().string()] = entry.last_write_time();
    return out;
  };
  const auto before = state();
  const BidsIndex index({tree.root()});
  CHECK(index.metadata(file_of(index, "sub-1_T2w.nii.gz"))["suffix"] == "T2w");
  CHECK(state() == before);
}

TEST_CASE("each file of the public data sets is indexed, or listed with its reason", "[bids_index]") {
  struct Set {
    std::string name;
    std::size_t images, labels;
  };
  const auto set = GENERATE(values<Set>({{"msd-hippocampus", 200, 600},
                                         {"spinalcord", 19, 35},
                                         {"microscopy-sem", 8, 24},
                                         {"microscopy-sem-visits", 5, 10},
                                         {"ct-spleen", 1, 1},
                                         {"spinegeneric-labels", 0, 39},
                                         {"bids-examples-min/ds114", 24, 0},
                                         {"bids-examples-min/7t_trt", 40, 0},
                                         {"bids-examples-min/qmri_mtsat", 5, 5},
                                         {"bids-examples-min/ds051", 15, 0},
                                         {"bids-examples-min/micr_SEM", 4, 0},
                                         {"bids-examples-min/mri_chunk", 2, 0}}));
  const auto root = tests::shared_data(set.name);
  if (!root) return;
  CAPTURE(set.name);
  const BidsIndex index({*root});
  CHECK(index.count(FileKind::image) == set.images);
  CHECK(index.count(FileKind::label) == set.labels);
  std::set<std::string> known;
  for (const auto& file : index.files()) known.insert(file.path);
  const std::size_t indexed = known.size();
  CHECK(indexed == index.files().size());
  for (const auto& one : index.left_out().files) {
    CHECK_FALSE(one.reason.empty());
    CHECK(known.insert(one.file).second);
  }
  std::size_t on_disk = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*root)) {
    if (!entry.is_regular_file()) continue;
    ++on_disk;
    CHECK(known.contains(entry.path().string()));
  }
  CHECK(known.size() == on_disk);
}

TEST_CASE("the public sidecars and tables reach the metadata", "[bids_index]") {
  if (const auto root = tests::shared_data("microscopy-sem")) {
    const BidsIndex index({*root});
    const Json data = index.metadata(file_of(index, "sub-rat3_sample-data10_SEM.png"));
    CHECK(data["PixelSize"] == Json::array({0.1, 0.1}));
    CHECK(data["PixelSizeUnits"] == "um");
    CHECK(data["sample_type"] == "tissue");
    CHECK(data["species"] == "rattus norvegicus");
  }
  if (const auto root = tests::shared_data("microscopy-sem-visits")) {
    const BidsIndex index({*root});
    const Json data = index.metadata(file_of(index, "sub-rat3_ses-02_sample-data11_run-2_SEM.png"));
    CHECK(data["PixelSize"] == Json::array({0.1, 0.1}));
    CHECK(data["test_scans"] == "test-run-2");
    CHECK(data["test_sessions"] == "test-ses-02");
    CHECK(data["test_samples"] == "test-data11");
    CHECK(data["testParticipant"] == "test-rat-3");
    CHECK(index.metadata(file_of(index, "sub-rat3_ses-01_sample-data9_SEM.png"))["PixelSize"] ==
          Json::array({0.1, 0.2}));
  }
  if (const auto root = tests::shared_data("bids-examples-min/qmri_mtsat")) {
    const BidsIndex index({*root});
    const auto inherited = ivado::read_json(*root + "/MTS.json");
    const Json data = index.metadata(file_of(index, "sub-01_flip-1_mt-on_MTS.nii.gz"));
    for (const auto& item : inherited.items()) CHECK(data.contains(item.key()));
    CHECK(data["mt"] == "on");
    CHECK(data["flip"] == "1");
  }
}

TEST_CASE("sidecars of a file without an index", "[bids_index]") {
  tests::Tree tree;
  tree.file("SEM.json", R"({"PixelSizeUnits": "um", "PixelSize": [1, 1], "A": 1})")
      .file("TEM.json", R"({"A": 2})")
      .file("sub-1/sub-1_SEM.json", R"({"PixelSize": [2, 2]})")
      .file("sub-1/micr/sub-1_sample-A_SEM.json", R"({"PixelSize": [4, 4]})")
      .file("sub-1/micr/sub-1_SEM.json", R"({"PixelSize": [3, 3], "B": NaN})")
      .image("sub-1/micr", "sub-1_sample-A_SEM.png")
      .image("sub-1/micr", "sub-1_sample-B_SEM.png");
  const auto of = [&](const std::string& relative) { return ivado::inherited_sidecar(tree.path(relative).string()); };
  CHECK(of("sub-1/micr/sub-1_sample-A_SEM.png") ==
        Json::parse(R"({"PixelSizeUnits": "um", "PixelSize": [4, 4], "A": 1, "B": null})"));
  CHECK(of("sub-1/micr/sub-1_sample-B_SEM.png")["PixelSize"] == Json::parse("[3, 3]"));
  CHECK(of("sub-1/micr/sub-1_sample-B_photo.jpg") == Json::object());
  // The same as the index says.
  const BidsIndex index({tree.root()});
  for (const auto* name : {"sub-1_sample-A_SEM.png", "sub-1_sample-B_SEM.png"})
    CHECK(index.metadata(file_of(index, name))["PixelSize"] == of(std::string("sub-1/micr/") + name)["PixelSize"]);
  // Outside of a data set: the folder of the file alone.
  tests::Tree loose("data", false);
  loose.file("picture.json", R"({"PixelSize": [9, 9]})").file("x/picture.png");
  CHECK(ivado::inherited_sidecar(loose.path("x/picture.png").string()) == Json::object());
  CHECK(ivado::inherited_sidecar(loose.path("picture.png").string())["PixelSize"] == Json::parse("[9, 9]"));
  tree.file("sub-1/micr/sub-1_sample-A_SEM.json", "[1]");
  CHECK_THROWS_WITH(of("sub-1/micr/sub-1_sample-A_SEM.png"),
                    Contains("sub-1_sample-A_SEM.json") && Contains("no JSON object"));
}
