// Subsets of data sets and data sets that are scaled up: what is in them, and that nothing else is ever touched.
#include "ivado/data/dataset_copy.hpp"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "bids_tree.hpp"
#include "ivado/data/bids_index.hpp"

namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Names = std::set<std::string>;
using tests::Tree;

[[nodiscard]] std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

[[nodiscard]] Names files_in(const fs::path& folder) {
  Names out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory()) out.insert(fs::relative(entry.path(), folder).generic_string());
  return out;
}

/// What lies beside the data set: a half written set would.
[[nodiscard]] Names beside(const Tree& tree) {
  Names out;
  for (const auto& entry : fs::directory_iterator(tree.top())) out.insert(entry.path().filename().string());
  return out;
}

template <class Call>
[[nodiscard]] ivado::Error error_of(const Call& call) {
  try {
    call();
  } catch (const ivado::Error& error) {
    return error;
  }
  FAIL("no error was thrown");
  return ivado::internal_error("", "");
}

/// Three subjects of two contrasts with labels (sub-02 has no T2w), visits in sub-03, and all kinds of tables.
void fill(Tree& tree) {
  tree.file("participants.tsv", "participant_id\tage\nsub-01\t31\nsub-02\tn/a\r\nsub-03\t33");
  tree.file("participants.json", "{}")
      .file("README", "read me")
      .file(".bidsignore", "*.txt\nsub-02/odd")
      .file(".git/config");
  tree.file("samples.tsv", "sample_id\tparticipant_id\nsample-A\t01\nsample-A\tsub-03\n");
  tree.file("phenotype/scores.tsv", "participant_id\tscore\nsub-02\t5\nsub-03\t6\n");
  tree.file("sourcedata/sub-01/raw.dcm");
  tree.file("T2w_not.json", "{}").file("T2w.json", R"({"Manufacturer": "S"})").file("T1w.json", "{}");
  tree.file("sub-01/anat/sub-01_T1w.nii.gz", "one T1w").file("sub-01/anat/sub-01_T1w.json", "{\"EchoTime\": 1e-3}");
  tree.file("sub-01/anat/sub-01_T2w.nii.gz", "one T2w").file("sub-01/anat/sub-01_T2w.json", "{}");
  tree.file("sub-01/fmap/sub-01_phasediff.nii.gz")
      .file("sub-01/fmap/sub-01_phasediff.json",
            R"({"IntendedFor": ["anat/sub-01_T1w.nii.gz", "bids::sub-01/anat/sub-01_T2w.nii.gz"]})");
  tree.file("sub-01/sub-01_scans.tsv", "filename\tacq\nanat/sub-01_T1w.nii.gz\t1\nanat/sub-01_T2w.nii.gz\t2\n");
  tree.file("sub-02/anat/sub-02_T1w.nii.gz", "two");
  tree.file("sub-03/sub-03_sessions.tsv", "session_id\nses-a\n");
  tree.file("sub-03/ses-a/anat/sub-03_ses-a_T1w.nii.gz", "three").file("sub-03/ses-a/anat/sub-03_ses-a_T2w.nii.gz");
  tree.file("derivatives/labels/dataset_description.json", R"({"Name": "labels", "BIDSVersion": "1.9.0"})");
  tree.label("sub-01/anat", "sub-01_T1w_seg-manual.nii.gz").label("sub-01/anat", "sub-01_T2w_seg-manual.nii.gz");
  tree.label("sub-02/anat", "sub-02_T1w_seg-manual.nii.gz");
  tree.label("sub-03/ses-a/anat", "sub-03_ses-a_T2w_seg-manual.nii.gz");
  tree.file("derivatives/reports/sub-01.html").file("derivatives/reports/sub-01_space-X_T2w.nii.gz");
}

}  // namespace

TEST_CASE("A subset has whole subjects with sidecars, labels and their rows of tables") {
  Tree tree;
  fill(tree);
  const Names before = files_in(tree.root());
  const std::string to = (tree.top() / "part").string();
  const auto copy = ivado::write_subset({.from = tree.root(), .to = to, .list = {"03", "sub-02"}});
  CHECK(copy.subjects == std::vector<std::string>{"sub-02", "sub-03"});
  CHECK(copy.subjects_before == 3);
  const Names expected{"README",
                       ".bidsignore",
                       "dataset_description.json",
                       "participants.tsv",
                       "participants.json",
                       "samples.tsv",
                       "phenotype/scores.tsv",
                       "T2w_not.json",
                       "T2w.json",
                       "T1w.json",
                       "sub-02/anat/sub-02_T1w.nii.gz",
                       "sub-03/sub-03_sessions.tsv",
                       "sub-03/ses-a/anat/sub-03_ses-a_T1w.nii.gz",
                       "sub-03/ses-a/anat/sub-03_ses-a_T2w.nii.gz",
                       "derivatives/labels/dataset_description.json",
                       "derivatives/labels/sub-02/anat/sub-02_T1w_seg-manual.nii.gz",
                       "derivatives/labels/sub-03/ses-a/anat/sub-03_ses-a_T2w_seg-manual.nii.gz"};
  CHECK(files_in(to) == expected);
  CHECK(copy.files == expected.size());
  CHECK(content(to + "/participants.tsv") == "participant_id\tage\nsub-02\tn/a\r\nsub-03\t33\n");
  CHECK(content(to + "/samples.tsv") == "sample_id\tparticipant_id\nsample-A\tsub-03\n");
  CHECK(content(to + "/sub-03/ses-a/anat/sub-03_ses-a_T1w.nii.gz") == "three");
  CHECK(copy.left_out.by_reason().size() == 2);  // hidden, sourcedata
  CHECK(files_in(tree.root()) == before);
  CHECK(beside(tree) == Names{"data", "part"});
}

TEST_CASE("A sidecar above the subjects goes when nothing is left that it describes") {
  Tree tree;
  fill(tree);
  const std::string to = (tree.top() / "part").string();
  const auto copy = ivado::write_subset({.from = tree.root(), .to = to, .list = {"02"}});
  CHECK_FALSE(fs::exists(to + "/T2w.json"));
  CHECK(fs::exists(to + "/T1w.json"));
  CHECK(fs::exists(to + "/T2w_not.json"));  // it described nothing before either: left to the user
  CHECK_THAT(copy.left_out.summary(), Contains("1 x a sidecar of no file that is left"));
}

TEST_CASE("Contrasts take images with all that goes with them, and subjects that have them") {
  Tree tree;
  fill(tree);
  const std::string to = (tree.top() / "part").string();
  const auto copy = ivado::write_subset({.from = tree.root(), .to = to, .contrasts = {"T2w", "phasediff"}});
  CHECK(copy.subjects == std::vector<std::string>{"sub-01", "sub-03"});
  CHECK_THAT(copy.left_out.summary(), Contains("1 x a subject without an image of the contrasts"));
  Names of_subjects;
  for (const auto& file : files_in(to))
    if (file.find("sub-") != std::string::npos) of_subjects.insert(file);
  CHECK(of_subjects == Names{"sub-01/anat/sub-01_T2w.nii.gz", "sub-01/anat/sub-01_T2w.json",
                             "sub-01/fmap/sub-01_phasediff.nii.gz", "sub-01/fmap/sub-01_phasediff.json",
                             "sub-01/sub-01_scans.tsv", "sub-03/sub-03_sessions.tsv",
                             "sub-03/ses-a/anat/sub-03_ses-a_T2w.nii.gz", "derivatives/reports/sub-01.html",
                             "derivatives/reports/sub-01_space-X_T2w.nii.gz",
                             "derivatives/labels/sub-01/anat/sub-01_T2w_seg-manual.nii.gz",
                             "derivatives/labels/sub-03/ses-a/anat/sub-03_ses-a_T2w_seg-manual.nii.gz"});
  CHECK(content(to + "/sub-01/sub-01_scans.tsv") == "filename\tacq\nanat/sub-01_T2w.nii.gz\t2\n");
  const auto json = ivado::Json::parse(content(to + "/sub-01/fmap/sub-01_phasediff.json"));
  CHECK(json["IntendedFor"] == ivado::Json::array({"bids::sub-01/anat/sub-01_T2w.nii.gz"}));
  CHECK_FALSE(fs::exists(to + "/T1w.json"));

  CHECK_THAT(error_of([&] {
               (void)ivado::write_subset({.from = tree.root(), .to = to + "2", .list = {"02"}, .contrasts = {"T2w"}});
             }).what(),
             Contains("sub-02 has no image of the contrasts"));
  CHECK_THAT(error_of([&] {
               (void)ivado::write_subset({.from = tree.root(), .to = to + "2", .contrasts = {"T2star"}});
             }).what(),
             Contains("no image") && Contains("T2star") && Contains("nearest is \"T2w\""));
}

TEST_CASE("A companion of a functional series stays with it") {
  Tree tree;
  const std::string name = "sub-01/func/sub-01_task-rest_run-";
  for (const std::string run : {"1", "2"})
    tree.file(name + run + "_bold.nii.gz").file(name + run + "_bold.json").file(name + run + "_events.tsv");
  tree.file("sub-01/func/sub-01_task-rest_run-1_recording-pulse_physio.tsv.gz");
  const std::string to = (tree.top() / "part").string();
  (void)ivado::write_subset({.from = tree.root(), .to = to, .contrasts = {"run-1_bold"}});
  CHECK(files_in(to) == Names{"dataset_description.json", name + "1_bold.nii.gz", name + "1_bold.json",
                              name + "1_events.tsv",
                              "sub-01/func/sub-01_task-rest_run-1_recording-pulse_physio.tsv.gz"});
}

TEST_CASE("Derivatives are taken by the name of their folder") {
  Tree tree;
  fill(tree);
  const auto derivatives = [&](const std::optional<std::vector<std::string>>& asked) {
    const std::string to = (tree.top() / "part").string();
    (void)ivado::write_subset({.from = tree.root(), .to = to, .derivatives = asked});
    Names out;
    for (const auto& file : files_in(to))
      if (file.starts_with("derivatives/")) out.insert(file.substr(12, file.find('/', 12) - 12));
    fs::remove_all(to);
    return out;
  };
  CHECK(derivatives(std::nullopt) == Names{"labels", "reports"});
  CHECK(derivatives({{"labels"}}) == Names{"labels"});
  CHECK(derivatives(std::vector<std::string>{}).empty());
  CHECK_THAT(error_of([&] { (void)derivatives({{"lables"}}); }).what(),
             Contains("derivatives/lables") && Contains("it has labels, reports"));
}

TEST_CASE("Subjects are drawn without repeating one, the same for the same seed") {
  Tree tree;
  for (int i = 10; i < 30; ++i) {
    const std::string name = "sub-" + std::to_string(i);
    tree.image(name + "/anat", name + "_T1w.nii.gz");
  }
  const auto draw = [&](std::optional<std::int64_t> subjects, std::optional<double> fraction, std::uint64_t seed) {
    const std::string to = (tree.top() / "part").string();
    const auto copy =
        ivado::write_subset({.from = tree.root(), .to = to, .subjects = subjects, .fraction = fraction, .seed = seed});
    fs::remove_all(to);
    CHECK(Names(copy.subjects.begin(), copy.subjects.end()).size() == copy.subjects.size());
    return copy.subjects;
  };
  CHECK(draw(7, {}, 1).size() == 7);
  CHECK(draw(7, {}, 1) == draw(7, {}, 1));
  CHECK_FALSE(draw(7, {}, 1) == draw(7, {}, 2));
  CHECK(draw({}, 0.33, 1).size() == 7);
  CHECK(draw({}, 0.001, 1).size() == 1);
  CHECK(draw({}, 1, 1).size() == 20);
  CHECK_THAT(error_of([&] { (void)draw(21, {}, 1); }).what(), Contains("21 subjects are asked for, there are 20"));
  CHECK_THAT(error_of([&] { (void)draw(0, {}, 1); }).what(), Contains("from 1 to 20"));
  CHECK_THAT(error_of([&] { (void)draw({}, 1.5, 1); }).what(), Contains("the fraction is 1.5"));
  CHECK_THAT(error_of([&] { (void)draw(2, 0.5, 1); }).what(), Contains("give one of them"));
}

TEST_CASE("Scaling up copies subjects under new names, in names, tables and JSON") {
  Tree tree;
  fill(tree);
  const Names before = files_in(tree.root());
  const std::string to = (tree.top() / "large").string();
  const auto copy = ivado::write_scaled({.from = tree.root(), .to = to, .factor = 3});
  CHECK(copy.subjects == std::vector<std::string>{"sub-01", "sub-01c01", "sub-01c02", "sub-02", "sub-02c01",
                                                  "sub-02c02", "sub-03", "sub-03c01", "sub-03c02"});
  CHECK(content(to + "/sub-01c02/anat/sub-01c02_T1w.nii.gz") == "one T1w");
  CHECK(content(to + "/sub-01c02/anat/sub-01c02_T1w.json") == "{\"EchoTime\": 1e-3}");
  CHECK(fs::exists(to + "/sub-03c01/ses-a/anat/sub-03c01_ses-a_T2w.nii.gz"));
  CHECK(fs::exists(to + "/derivatives/labels/sub-03c01/ses-a/anat/sub-03c01_ses-a_T2w_seg-manual.nii.gz"));
  CHECK(fs::exists(to + "/derivatives/reports/sub-01c01.html"));
  CHECK(content(to + "/participants.tsv") ==
        "participant_id\tage\nsub-01\t31\nsub-02\tn/a\r\nsub-03\t33\nsub-01c01\t31\nsub-02c01\tn/a\r\nsub-03c01\t33\n"
        "sub-01c02\t31\nsub-02c02\tn/a\r\nsub-03c02\t33\n");
  CHECK(content(to + "/samples.tsv") ==
        "sample_id\tparticipant_id\nsample-A\t01\nsample-A\tsub-03\nsample-A\t01c01\nsample-A\tsub-03c01\n"
        "sample-A\t01c02\nsample-A\tsub-03c02\n");
  CHECK(content(to + "/sub-01c01/sub-01c01_scans.tsv") ==
        "filename\tacq\nanat/sub-01c01_T1w.nii.gz\t1\nanat/sub-01c01_T2w.nii.gz\t2\n");
  CHECK(content(to + "/sub-01c01/fmap/sub-01c01_phasediff.json") ==
        R"({"IntendedFor": ["anat/sub-01c01_T1w.nii.gz", "bids::sub-01c01/anat/sub-01c01_T2w.nii.gz"]})");

  CHECK(content(to + "/.bidsignore") == "*.txt\nsub-02/odd\nsub-02c01/odd\nsub-02c02/odd\n");

  const ivado::BidsIndex index({to});
  CHECK(index.count(ivado::FileKind::image) == 3 * 6);
  CHECK(index.count(ivado::FileKind::label) == 3 * 5);
  CHECK(index.left_out().warnings.empty());
  for (const auto& file : index.files())
    if (file.kind == ivado::FileKind::image && file.subject() == "sub-01c02")
      CHECK(index.metadata(file)["age"] == "31");
  CHECK(files_in(tree.root()) == before);
}

TEST_CASE("The number of subjects is the factor's, and who is copied once more is drawn") {
  Tree tree;
  for (const std::string name : {"sub-a", "sub-ac01", "sub-b", "sub-c"}) tree.image(name + "/anat", name + "_T1w.nii");
  tree.file("participants.tsv", "participant_id\nsub-a\nsub-ac01\nsub-b\nsub-c\n");
  const auto scaled = [&](double factor, std::uint64_t seed = 0, std::vector<std::string> copies_of = {}) {
    const std::string to = (tree.top() / "scaled").string();
    const auto copy = ivado::write_scaled(
        {.from = tree.root(), .to = to, .factor = factor, .copies_of = std::move(copies_of), .seed = seed});
    CHECK(copy.left_out.warnings.empty());
    fs::remove_all(to);
    return copy.subjects;
  };
  CHECK(scaled(0.5).size() == 2);
  CHECK(scaled(0.01).size() == 1);
  CHECK(scaled(1) == std::vector<std::string>{"sub-a", "sub-ac01", "sub-b", "sub-c"});
  CHECK(scaled(2.5).size() == 10);
  CHECK(scaled(2.5, 3) == scaled(2.5, 3));
  std::set<std::vector<std::string>> draws;
  for (std::uint64_t seed = 0; seed < 20; ++seed) draws.insert(scaled(1.25, seed));
  CHECK(draws.size() == 4);  // each of the four subjects is the one that is copied, sooner or later
  // The name sub-ac01 is that of another subject.
  CHECK(scaled(1.75, 0, {"a"}) ==
        std::vector<std::string>{"sub-a", "sub-ac01", "sub-ac02", "sub-ac03", "sub-ac04", "sub-b", "sub-c"});
  CHECK(scaled(40).size() == 160);
  CHECK_THAT(error_of([&] { (void)scaled(0); }).what(), Contains("the factor is 0"));
  CHECK_THAT(error_of([&] { (void)scaled(std::nan("")); }).what(), Contains("the factor is nan"));
  CHECK_THAT(error_of([&] { (void)scaled(0.5, 0, {"a"}); }).what(), Contains("give a factor above 1"));
  CHECK_THAT(error_of([&] { (void)scaled(2, 0, {"../a"}); }).what(), Contains("there is no subject sub-../a"));
}

TEST_CASE("A subject's name is replaced as a word alone") {
  using ivado::detail::copying::renamed;
  CHECK(renamed("sub-1/sub-1_T1w sub-10 xsub-1 sub-1c01 sub-1", "sub-1", "sub-1c01") ==
        "sub-1c01/sub-1c01_T1w sub-10 xsub-1 sub-1c01 sub-1c01");
  CHECK(renamed("", "sub-1", "sub-2").empty());
  CHECK(ivado::detail::copying::renamed_path("derivatives/p/sub-1/meg/sub-1_meg.ds/sub-1_meg.meg4", "sub-1",
                                             "sub-1c01") ==
        "derivatives/p/sub-1c01/meg/sub-1c01_meg.ds/sub-1c01_meg.meg4");
  CHECK(ivado::detail::copying::renamed_path("sub-1/anat/sub-10_T1w.nii", "sub-1", "sub-2") ==
        "sub-2/anat/sub-10_T1w.nii");
}

TEST_CASE("Links share the file; what has to be changed is a file of its own") {
  Tree tree;
  fill(tree);
  const std::string to = (tree.top() / "linked").string();
  const auto copy = ivado::write_scaled({.from = tree.root(), .to = to, .factor = 2, .link = true});
  CHECK(copy.linked > 0);
  CHECK(copy.linked < copy.files);
  CHECK(fs::hard_link_count(tree.path("sub-01/anat/sub-01_T1w.nii.gz")) == 3);
  CHECK(fs::hard_link_count(to + "/participants.tsv") == 1);
  CHECK(fs::hard_link_count(to + "/sub-01c01/sub-01c01_scans.tsv") == 1);
  CHECK(content(tree.path("sub-01/sub-01_scans.tsv")).find("sub-01c01") == std::string::npos);
}

TEST_CASE("Symbolic links are followed, those that lead back or nowhere are not") {
  Tree tree;
  tree.image("sub-01/anat", "sub-01_T1w.nii.gz");
  std::ofstream(tree.top() / "elsewhere.nii.gz") << "content";
  fs::create_symlink(tree.top() / "elsewhere.nii.gz", tree.path("sub-01/anat/sub-01_T2w.nii.gz"));
  fs::create_directory_symlink(tree.root(), tree.path("sub-01/back"));
  const std::string to = (tree.top() / "part").string();
  const auto copy = ivado::write_subset({.from = tree.root(), .to = to});
  CHECK(fs::symlink_status(to + "/sub-01/anat/sub-01_T2w.nii.gz").type() == fs::file_type::regular);
  CHECK(content(to + "/sub-01/anat/sub-01_T2w.nii.gz") == "content");
  CHECK_THAT(copy.left_out.summary(), Contains("a link that leads back"));

  tree.image("sub-02/anat", "sub-02_T1w.nii.gz");
  fs::create_symlink(tree.top() / "not_there", tree.path("sub-02/anat/sub-02_T2w.nii.gz"));
  const auto error = error_of([&] { (void)ivado::write_subset({.from = tree.root(), .to = to + "2"}); });
  CHECK(error.fault() == ivado::Fault::data);
  CHECK_THAT(error.what(), Contains("sub-02_T2w.nii.gz is a link to a file that is not there"));
  CHECK_NOTHROW(ivado::write_subset({.from = tree.root(), .to = to + "2", .list = {"01"}}));
}

TEST_CASE("Nothing is overwritten, and a failure leaves nothing behind") {
  Tree tree;
  fill(tree);
  tree.file("sub-01/anat/sub-01_T1w.json", "{no JSON, IntendedFor");
  const auto refusal = [&](const std::string& from, const std::string& to) {
    return error_of([&] { (void)ivado::write_subset({.from = from, .to = to, .contrasts = {"T1w"}}); });
  };
  fs::create_directory(tree.top() / "there");
  CHECK_THAT(refusal(tree.root(), (tree.top() / "there").string()).what(), Contains("is there already"));
  CHECK_THAT(refusal(tree.root(), tree.root()).what(), Contains("is there already"));
  fs::create_symlink(tree.top() / "not_there", tree.top() / "dangling");
  CHECK_THAT(refusal(tree.root(), (tree.top() / "dangling").string()).what(), Contains("is there already"));
  CHECK_THAT(refusal(tree.root(), tree.root() + "/inside").what(), Contains("lies inside of the data set"));
  fs::create_directory_symlink(tree.root(), tree.top() / "alias");
  CHECK_THAT(refusal(tree.root(), (tree.top() / "alias/inside").string()).what(), Contains("lies inside"));
  CHECK_THAT(refusal(tree.root(), (tree.top() / "no/part").string()).what(), Contains("does not exist"));
  CHECK_THAT(refusal((tree.top() / "none").string(), (tree.top() / "part").string()).what(), Contains("no folder"));
  CHECK_THAT(refusal((tree.top() / "there").string(), (tree.top() / "part").string()).what(),
             Contains("no BIDS data set"));
  CHECK_THAT(refusal("", "x").what(), Contains("--from"));
  CHECK_THAT(refusal(tree.root(), "").what(), Contains("--to"));
  const Names before = beside(tree);
  CHECK_THAT(refusal(tree.root(), (tree.top() / "part").string()).what(), Contains("sub-01_T1w.json"));
  CHECK(beside(tree) == before);
  CHECK_NOTHROW(ivado::write_subset({.from = tree.root() + "/", .to = (tree.top() / "part").string() + "/"}));
}

TEST_CASE("What is odd about a data set is said") {
  Tree tree("data", false);
  tree.image("sub-01/anat", "sub-01_T1w.nii.gz").image("sub-02/anat", "sub-02_T1w.nii.gz");
  tree.file("participants.tsv", "participant_id\nsub-01\nsub-09\n");
  tree.label("sub-07/anat", "sub-07_T1w_seg.nii.gz");
  const auto copy = ivado::write_scaled({.from = tree.root(), .to = (tree.top() / "scaled").string(), .factor = 1});
  std::string all = copy.left_out.summary();
  for (const auto& warning : copy.left_out.warnings) all += "\n" + warning;
  CHECK_THAT(all, Contains("no dataset_description.json"));
  CHECK_THAT(all, Contains("participants.tsv has no row of some subjects: sub-02"));
  CHECK_THAT(all, Contains("subjects without a folder, which were left out: sub-09"));
  CHECK_THAT(all, Contains("1 x of a subject without a folder of its own"));
}

TEST_CASE("The commands ivado subset and ivado scale") {
  Tree tree;
  fill(tree);
  const auto run = [&](auto command, std::vector<std::string> arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = command(arguments, out, err);
    return std::to_string(status) + " " + out.str() + err.str();
  };
  const std::string to = (tree.top() / "new").string();
  CHECK_THAT(run(ivado::run_subset, {"--from", tree.root(), "--to", to, "--list", "01,02", "03", "--contrasts", "T1w",
                                     "--derivatives", "none"}),
             Contains("0 wrote") && Contains("subjects 3 (before: 3)") && Contains("subjects: sub-01 sub-02 sub-03") &&
                 Contains("not among the derivatives asked for"));
  CHECK_FALSE(fs::exists(to + "/derivatives"));
  CHECK_FALSE(fs::exists(to + "/sub-01/anat/sub-01_T2w.nii.gz"));
  CHECK_THAT(run(ivado::run_scale, {"--from", tree.root(), "--to", to + "2", "--factor", "10", "--link"}),
             Contains("0 wrote") && Contains("subjects 30 (before: 3)") && Contains("(links: "));
  CHECK_THAT(run(ivado::run_subset, {"--help"}), Contains("0 usage: ivado subset"));
  CHECK_THAT(run(ivado::run_scale, {"-h"}), Contains("0 usage: ivado scale"));
  CHECK_THAT(run(ivado::run_scale, {"--from", "a", "--to", "b"}), Contains("2 ") && Contains("no factor is given"));
  CHECK_THAT(run(ivado::run_scale, {"--factor", "ten"}), Contains("2 ") && Contains("--factor ten"));
  CHECK_THAT(run(ivado::run_scale, {"--factr", "2"}), Contains("2 ") && Contains("did you mean \"--factor\""));
  CHECK_THAT(run(ivado::run_subset, {"--subjects"}), Contains("2 ") && Contains("--subjects needs a value"));
  CHECK_THAT(run(ivado::run_subset, {"--seed", "1", "--seed", "2"}), Contains("given twice"));
  CHECK_THAT(run(ivado::run_subset, {"--seed", "-1"}), Contains("2 ") && Contains("--seed -1"));
}

TEST_CASE("Subsets and scaled sets of public data are as valid as these") {
  for (const std::string name :
       {"spinalcord", "microscopy-sem", "bids-examples-min/7t_trt", "bids-examples-min/micr_SEM"}) {
    const auto from = tests::shared_data(name);
    if (!from) continue;
    INFO(name);
    const Tree tree;
    const std::string to = (tree.top() / "scaled").string();
    const auto copy = ivado::write_scaled({.from = *from, .to = to, .factor = 3});
    const ivado::BidsIndex before({*from});
    const ivado::BidsIndex after({to});
    CHECK(copy.subjects.size() == 3 * copy.subjects_before);
    CHECK(after.count(ivado::FileKind::image) == 3 * before.count(ivado::FileKind::image));
    CHECK(after.count(ivado::FileKind::label) == 3 * before.count(ivado::FileKind::label));
    CHECK(after.left_out().warnings.size() == before.left_out().warnings.size());
  }
}
