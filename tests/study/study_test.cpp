// The profile study: its experiments, its reading and averaging of logs, its figures and pages.
#include <cmath>
#include <ivado/config/params.hpp>
#include <ivado/study/command.hpp>
#include <ivado/transform/roi_crop.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../report/svg_check.hpp"
#include "../scratch.hpp"

using namespace ivado;
using namespace ivado::study;

namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  write_file_atomically(path.string(), text);
}

/// What a training of so many seconds would leave.
void write_profile(const std::string& folder, double seconds, int batches, const std::string& more_phases = "") {
  const auto number = [](double value) { return study::detail::number(value, 3); };
  write_text(folder + "/profile/syslog.csv", "comp,time,gpu_util,cpu_util,gpu_mem,main_mem\nDATA," + number(seconds) +
                                                 ",n/a,0.5,n/a,0.25\nTRAIN," + number(3 * seconds) +
                                                 ",n/a,0.75,n/a,0.5\nPOST,1,n/a,0.25,n/a,0.5\n" + more_phases);
  std::string training = "time,train_gpu_util,train_cpu_util,train_gpu_mem,train_main_mem,train_loss,waiting_s\n";
  for (int batch = 0; batch < batches; ++batch)
    training += number(0.1 * seconds) + ",n/a,0.5,n/a,0.5," + number(-0.1 * batch) + ",0.001\n";
  write_text(folder + "/profile/trainlog.csv", training);
  write_text(folder + "/profile/vallog.csv",
             "time,val_gpu_util,val_cpu_util,val_gpu_mem,val_main_mem,val_loss\n0.5,n/a,0.5,n/a,0.5,-0.25\n");
  write_text(folder + "/profile/work.csv", "work,time,processor_s\ndata," + number(seconds) +
                                               ",2\ncomputing,3,4\npostprocessing,0,0\nsaving,1,1\nprofiler,0,0.01\n");
}

}  // namespace

TEST_CASE("All experiments have runs of different names, each a configuration", "[unit]") {
  for (const auto name : experiment_names) {
    const Experiment one = experiment(name, Settings{});
    CHECK(one.name == name);
    CHECK(one.runs.size() >= 2);
    std::set<std::string> names;
    for (const auto& run : one.runs) {
      CHECK(names.insert(run.name).second);
      CHECK(run.configuration.at("training_parameters").at("training_time").at("num_epochs") == 5);
      if (!run.starts_from.empty()) CHECK(names.contains(run.starts_from));
    }
  }
  CHECK_THROWS_WITH(experiment("segmentatoin", {}), Catch::Matchers::Contains("segmentation"));
}

TEST_CASE("The runs of an experiment have colours of their own in its figures", "[unit]") {
  for (const auto name : experiment_names) {
    std::set<std::string_view> colours;
    const auto runs = experiment(name, Settings{}).runs.size();
    for (std::size_t r = 0; r < runs; ++r) colours.insert(ivado::detail::series_colour(r));
    CHECK(colours.size() == runs);
  }
}

TEST_CASE("The study's settings are those that it ran with", "[unit]") {
  const auto run_of = [](const char* of, std::size_t number) { return experiment(of, Settings{}).runs.at(number); };
  CHECK(run_of("segmentation", 0).configuration.at("default_model").at("n_filters") == 64);
  CHECK(run_of("segmentation", 2).configuration.at("training_parameters").at("batch_size") == 1);
  CHECK(run_of("segmentation", 2).configuration.at("Modified3DUNet").at("n_filters") == 8);
  CHECK(run_of("batch", 0).configuration.at("training_parameters").at("batch_size") == 16);
  CHECK(run_of("batch", 1).configuration.at("training_parameters").at("batch_size") == 32);
  CHECK(run_of("threshold", 1).threshold_increment == 0.01);
  CHECK(run_of("transfer", 1).configuration.at("training_parameters").at("transfer_learning").at("retrain_fraction") ==
        0.25);
  CHECK(run_of("scale", 2).scale == 2);
  CHECK(run_of("scale", 8).scale == 10);
  const Settings reduced = reduced_settings();
  CHECK(reduced.epochs >= 3);
  CHECK(reduced.unet_filters < Settings{}.unet_filters);
}

TEST_CASE("The classifiers are given slices about the intensities of the image, without a region of interest",
          "[unit]") {
  Json crop = experiment("classification", Settings{}).runs.at(0).configuration.at("transformation").at("ROICrop");
  crop.erase("applied_to");
  Sample sample;
  sample.image.voxels = zeros({1, 100, 100});
  sample.image.voxels[30 * 100 + 60] = 1;
  Rng rng(RandomKey{});
  const auto window = ROICrop(from_json<ROICrop::Params>(crop, "ROICrop")).draw(rng, sample);
  CHECK(window.start == std::array<std::int64_t, 3>{30 - 24, 60 - 24, 0});
}

TEST_CASE("All reductions are told, and Countception's steps are small enough for two cores", "[unit]") {
  const auto reduced = study::detail::request_of(
      {"countception"}, CommandOptions(std::vector<std::string>{"--reduced"}, "ivado study", {{"--reduced"}, {}}));
  const auto told = study::detail::reductions(reduced);
  const auto tells = [&](const std::string& what) { return std::count(told.begin(), told.end(), "reduced: " + what); };
  CHECK(tells("epochs 3 instead of 5") == 1);
  CHECK(tells("filters of the U-Net 8 instead of 64") == 1);
  CHECK(tells("slices of a mini-batch in the experiment on Countception 1 instead of 18") == 1);
  CHECK(tells("scale of the data in the experiment on Countception 0.25 instead of 1") == 1);
  CHECK(tells("contrasts in the experiment on Countception T2star instead of T1w T2w T2star") == 1);
  CHECK(tells("length of the phantom in mm 24 instead of 48") == 1);
  CHECK(study::detail::reductions(StudyRequest{}).empty());
  for (const auto& run : experiment("countception", reduced.settings).runs) {
    CHECK(run.scale == 0.25);
    CHECK(run.configuration.at("training_parameters").at("batch_size") == 1);
    CHECK(run.configuration.at("transformation").at("CenterCrop").at("size") == Json{32, 32});
    CHECK(run.configuration.at("loader_parameters").at("contrast_params").at("testing") == Json{"T2star"});
  }
}

TEST_CASE("Published times give the published ratios", "[unit]") {
  CHECK(published_of("threshold", "unet_0.01")->threshold_s / published_of("threshold", "unet_0.1")->threshold_s ==
        Approx(7.39).epsilon(0.001));
  CHECK(published_of("segmentation", "3dunet")->data_s / published_of("segmentation", "3dunet")->training_s ==
        Approx(1.21).epsilon(0.005));
  CHECK(published_of("segmentation", "resnet") == nullptr);
  for (const auto& one : published) {
    INFO(one.experiment << " " << one.run);
    CHECK(one.batches_s < one.training_s);
    CHECK(one.batch_s * one.training_batches < 1.2 * one.batches_s);
    CHECK(one.training_batches % 5 == 0);
    CHECK(one.validation_batches % 5 == 0);
    CHECK((one.use[3].memory > 0) == (one.threshold_s > 0));
  }
  CHECK(published_of("transfer", "unet25")->use[1].gpu == 46);
  CHECK(published_of("classification", "densenet")->use[1].gpu_traffic == 3);
}

TEST_CASE("Repeats are averaged row by row, and a test stands behind its training", "[unit]") {
  const Scratch scratch;
  write_profile(scratch / "1", 2, 3);
  write_profile(scratch / "2", 4, 4);
  const Measured one = read_measured("segmentation", "unet", {scratch / "1", scratch / "2"});
  CHECK(one.repeats == 2);
  CHECK(one.phase_s("DATA") == Approx(3));
  CHECK(one.phase_s("TRAIN") == Approx(9));
  CHECK(one.phase_s("THR") == 0);
  CHECK(one.total_s() == Approx(13));
  CHECK(one.spread_s == Approx(std::sqrt(32.0)));  // 9 and 17
  CHECK(one.training.rows.size() == 3);            // as many as both have
  CHECK(one.training.column("time")[0] == Approx(0.3));
  CHECK(std::isnan(one.system.value("DATA", "gpu_util")));
  CHECK(one.work_s("data") == Approx(3));
  CHECK(csv(one.system).starts_with("comp,time,gpu_util,cpu_util,gpu_mem,main_mem\nDATA,3,n/a,0.5,n/a,0.25\n"));

  write_text(scratch / "1/profile_test/syslog.csv",
             "comp,time,gpu_util,cpu_util,gpu_mem,main_mem\nTEST,7,n/a,1,n/a,1\n");
  write_text(scratch / "1/profile_test/work.csv", "work,time,processor_s\ndata,5,5\npostprocessing,2,2\n");
  const Measured tested = read_measured("uncertainty", "none", {scratch / "1"});
  CHECK(tested.phase_s("TEST") == 7);
  CHECK(tested.work_s("data") == 7);
  CHECK(tested.work_s("postprocessing") == 2);
  CHECK(tested.spread_s == 0);

  write_text(scratch / "1/profile/trainlog.csv", "time,train_loss\n1\n");
  CHECK_THROWS_WITH(read_measured("segmentation", "unet", {scratch / "1"}),
                    Catch::Matchers::Contains("trainlog.csv") && Catch::Matchers::Contains("line 2"));
}

TEST_CASE("The logs of the study itself can be read", "[unit]") {
  const Scratch scratch;
  write_text(scratch / "log.csv", "comp,time,gpu_util,cpu_util,gpu_mem,main_mem\nDATA,20.28,0.02,0.11,0.39,0.81\n");
  const Log log = read_log(scratch / "log.csv");
  CHECK(log.value("DATA", "time") == 20.28);
  CHECK(std::isnan(log.value("TRAIN", "time")));
  CHECK(std::isnan(log.value("DATA", "loss")));
}

TEST_CASE("Figures and page are whole, name the runs, and say what was not measured", "[unit]") {
  const Scratch scratch;
  write_profile(scratch / "1", 2, 30);
  write_profile(scratch / "2", 3, 30, "THR,6,n/a,0.5,n/a,0.5\n");
  write_profile(scratch / "3", 3, 30, "THR,4,n/a,0.5,n/a,0.5\n");
  const std::vector<Measured> runs{read_measured("threshold", "unet_0.01", {scratch / "2"}),
                                   read_measured("threshold", "unet_0.1", {scratch / "3"})};
  const Experiment experiment = study::experiment("threshold", Settings{});
  const auto figures = figures_of(experiment, runs);
  CHECK(figures.size() == 5);
  for (const auto& [name, svg] : figures) {
    INFO(name);
    CHECK(ivado_test::is_well_formed(svg));
    CHECK_THAT(svg, Catch::Matchers::Contains("unet_0.01") && Catch::Matchers::Contains("unet_0.1"));
  }
  CHECK_THAT(figures[0].second, Catch::Matchers::Contains("this machine does not tell"));
  CHECK_THAT(figures[1].second, Catch::Matchers::Contains("THR"));
  const auto asked = ratios(runs);
  REQUIRE(asked.size() == 3);
  CHECK(asked[0].ours == Approx(1.5));
  CHECK(asked[0].published == Approx(7.387).epsilon(0.001));
  CHECK(asked[1].ours == Approx(4.0 / 17));
  CHECK(asked[1].published == Approx(0.497).epsilon(0.001));
  CHECK(asked[2].published == Approx(0.880).epsilon(0.001));
  const std::string page = page_html({experiment}, runs, {"a note with <tags>"});
  CHECK_THAT(page, Catch::Matchers::Contains("7.39") && Catch::Matchers::Contains("1.50") &&
                       Catch::Matchers::Contains("a note with &lt;tags&gt;"));
  CHECK_THAT(page, Catch::Matchers::Contains("<td>unet_0.01</td><td>TRAIN</td><td>–</td><td>73</td>"
                                             "<td>–</td><td>55</td><td>75</td><td>57</td><td>50</td><td>82</td>"));
  CHECK_THAT(page, Catch::Matchers::Contains("<td>-2.6500</td>"));  // mean loss of the last of five epochs
  for (const char* outside : {"src=", "<link", "@import", "url(", "<script"})
    CHECK_THAT(page, !Catch::Matchers::Contains(outside));
  const auto [side_by_side, table] = comparison(runs, {runs[1]}, "here", "there");
  CHECK_THAT(side_by_side, Catch::Matchers::Contains("threshold: unet_0.1"));
  CHECK_THAT(table,
             Catch::Matchers::Contains("threshold,unet_0.1,THR,4,4,1\n") && !Catch::Matchers::Contains("unet_0.01"));
}

TEST_CASE("The study runs each configuration, keeps what is there, and tells what failed", "[unit]") {
  const Scratch scratch;
  // A program that leaves the logs of a training, once for each of its calls.
  write_profile(scratch / "made", 1, 12, "THR,2,n/a,0.5,n/a,0.5\n");
  const std::string program = scratch / "program";
  write_text(program, "#!/bin/sh\necho ivado\necho device: an abacus\necho \"$@\" >> " + (scratch / "calls") +
                          "\ncase \"$*\" in *unet_0.01*) [ -e " + (scratch / "broken") + " ] && exit 3;; esac\ncp -r " +
                          (scratch / "made/profile") + " \"$(dirname \"$2\")/profile\"\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  std::filesystem::create_directory(scratch / "data");
  const std::string output = scratch / "out";
  const std::vector<std::string> arguments{"threshold", "--data", scratch / "data", "-o", output, "--repeats", "2",
                                           "--epochs",  "1",      "--threads",      "1"};
  const auto calls = [&] {
    const std::string text = content_of(scratch / "calls");
    return std::count(text.begin(), text.end(), '\n');
  };
  std::ostringstream out;
  std::ostringstream err;
  write_text(scratch / "broken", "");
  CHECK(run_study_command(arguments, program, out, err) == 4);
  CHECK_THAT(err.str(),
             Catch::Matchers::Contains("unet_0.01 failed (exit status 3)") && Catch::Matchers::Contains("train.log"));
  CHECK(calls() == 4);
  CHECK_THAT(content_of(scratch / "calls"), Catch::Matchers::Contains("--train -t 0.01") &&
                                                Catch::Matchers::Contains("--profile --threads 1 --workers 1"));

  std::filesystem::remove(scratch / "broken");
  CHECK(run_study_command(arguments, program, out, err) == 0);
  CHECK(calls() == 6);  // those that failed
  CHECK_THAT(content_of(output + "/study.html"), Catch::Matchers::Contains("reduced: epochs 1 instead of 5") &&
                                                     Catch::Matchers::Contains("<li>device: an abacus</li>"));
  CHECK_THAT(content_of(output + "/threshold/final/unet_0.01_sys.csv"), Catch::Matchers::Contains("THR,2,"));
  CHECK(ivado_test::is_well_formed(content_of(output + "/threshold/training_subplot.svg")));
  const Json configuration = Json::parse(content_of(output + "/threshold/unet_0.1/2/config.json"));
  CHECK(configuration.at("path_output") == output + "/threshold/unet_0.1/2");

  const auto run_with = [&](const std::string& option, const std::string& value) {
    auto changed = arguments;
    *(std::find(changed.begin(), changed.end(), option) + 1) = value;
    return run_study_command(changed, program, out, err);
  };
  // Fewer repeats are those of this request, and results of other threads or data are not kept.
  write_profile(output + "/threshold/unet_0.1/2", 100, 12, "THR,2,n/a,0.5,n/a,0.5\n");
  CHECK(run_with("--repeats", "1") == 0);
  CHECK(calls() == 6);
  CHECK_THAT(content_of(output + "/threshold/final/unet_0.1_sys.csv"), Catch::Matchers::Contains("DATA,1,"));
  CHECK(run_with("--threads", "2") == 0);
  CHECK(calls() == 10);
  write_text(scratch / "data/sub-01/anat/sub-01_T2w.nii.gz", "more");
  write_text(output + "/data/scale-2/of_other_data", "");
  CHECK(run_with("--threads", "2") == 0);
  CHECK(calls() == 14);
  CHECK_FALSE(std::filesystem::exists(output + "/data/scale-2"));

  CHECK(run_study_command(std::vector<std::string>{"compare", output, output, "-o", scratch / "both"}, program, out,
                          err) == 0);
  CHECK_THAT(content_of(scratch / "both/study_compare.csv"),
             Catch::Matchers::Contains("threshold,unet_0.1,TRAIN,3,3,1"));
}

TEST_CASE("The study refuses what it cannot run", "[unit]") {
  std::ostringstream out;
  std::ostringstream err;
  const auto status = [&](const std::vector<std::string>& arguments) {
    return run_study_command(arguments, "/nowhere", out, err);
  };
  CHECK(status({}) == 2);
  CHECK(status({"batches"}) == 2);
  CHECK(status({"batch", "--repeats", "0"}) == 2);
  CHECK(status({"scale", "--scale", "0.5", "x"}) == 2);
  CHECK(status({"batch", "--reduce"}) == 2);
  CHECK(status({"compare", "one"}) == 2);
  CHECK(status({"batch", "--data", "/nowhere"}) == 2);
  CHECK_THAT(err.str(), Catch::Matchers::Contains("there is no folder /nowhere"));
  CHECK(status({"--help"}) == 0);
  CHECK_THAT(out.str(), Catch::Matchers::Contains("usage: ivado study"));
}
