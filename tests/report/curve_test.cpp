#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ivado/interop/event_file.hpp>
#include <ivado/report/curve.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../scratch.hpp"
#include "svg_check.hpp"

using namespace ivado;
using namespace ivado_test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

/// A scratch folder with what these tests write into it.
struct Results : Scratch {
  /// A training's log as ivado --train leaves it.
  std::string log(const std::string& name, const std::string& rows) const {
    fs::create_directories(path / name);
    std::ofstream(path / name / "training_log.csv")
        << "epoch,learning_rate,train_loss,val_loss,seconds,waiting_for_data_s\n"
        << rows;
    return (path / name).string();
  }
  void events(const std::string& folder, const std::string& tag, const std::vector<double>& values,
              std::int64_t first = 1) const {
    EventFile file((path / folder).string());
    for (std::size_t i = 0; i < values.size(); ++i) file.scalar(tag, first + static_cast<std::int64_t>(i), values[i]);
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(path / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

using Points = std::map<std::int64_t, double>;

constexpr const char* rows = "1,0.001,-0.25,-0.5,1.5,0.1\n2,0.0005,-0.5,-0.75,1.5,0.1\n3,0.0001,-0.625,-0.5,1.5,0.1\n";

}  // namespace

TEST_CASE("the curves of training_log.csv", "[unit][report]") {
  const Results scratch;
  const std::string folder = scratch.log("unet", rows);
  const TrainingCurves curves = read_training_curves(folder + "/");
  CHECK(curves.name == "unet");
  REQUIRE(curves.series.size() == 3);  // no times
  CHECK(curves.series.at("train_loss") == Points{{1, -0.25}, {2, -0.5}, {3, -0.625}});
  CHECK(curves.series.at("learning_rate").at(2) == 0.0005);
  CHECK(read_training_curves(folder + "/training_log.csv").series == curves.series);
  // What else a training says of its epochs is no curve.
  std::ofstream(scratch.path / "unet/training_log.csv")
      << "epoch,learning_rate,train_loss,val_loss,seconds,waiting_for_data_s,waiting_share,best,dice_score\n"
      << "1,0.5,0.25,,3,1,0.33,true,0.75\n";
  const TrainingCurves more = read_training_curves(folder);
  CHECK(more.series.size() == 3);
  CHECK(more.series.at("dice_score") == Points{{1, 0.75}});
  // Without validation data there is no such curve.
  CHECK_FALSE(read_training_curves(scratch.log("blind", "1,0.1,0.5,,1,1\n")).series.contains("val_loss"));
}

TEST_CASE("the curves of event files, in the folders of ivadomed and of others", "[unit][report]") {
  const Results scratch;
  scratch.events("run", "learning_rate", {0.5, 0.25});
  scratch.events("run/losses_train_loss", "losses", {-0.5, -0.75});
  scratch.events("run/losses_val_loss", "losses", {-0.25});
  scratch.events("run/losses_val_loss", "losses", {-0.5, -0.625}, 2);  // went on later
  scratch.events("run/Validation_Metrics_dice_score", "Validation/Metrics", {0.5, 0.75});
  scratch.events("run/tensorboard", "losses/extra", {1});
  scratch.events("run", "seconds", {30});
  scratch.events("run", "waiting_for_data_share", {0.5});
  const TrainingCurves curves = read_training_curves((scratch.path / "run").string());
  CHECK(curves.warnings.empty());
  REQUIRE(curves.series.size() == 5);
  CHECK(curves.series.at("learning_rate") == Points{{1, 0.5}, {2, 0.25}});
  CHECK(curves.series.at("train_loss") == Points{{1, -0.5}, {2, -0.75}});
  CHECK(curves.series.at("val_loss") == Points{{1, -0.25}, {2, -0.5}, {3, -0.625}});
  CHECK(curves.series.at("dice_score") == Points{{1, 0.5}, {2, 0.75}});
  CHECK(curves.series.at("tensorboard/losses/extra") == Points{{1, 1}});
  // The log counts where both have a curve.
  scratch.log("run", rows);
  const TrainingCurves both = read_training_curves((scratch.path / "run").string());
  CHECK(both.series.at("train_loss").size() == 3);
  CHECK(both.series.at("dice_score").size() == 2);
  // A single file.
  for (const auto& entry : fs::directory_iterator(scratch.path / "run/losses_train_loss"))
    CHECK(read_training_curves(entry.path().string()).series.at("losses") == Points{{1, -0.5}, {2, -0.75}});
}

TEST_CASE("names of series", "[unit][report]") {
  CHECK(detail::series_name("losses_train_loss", "losses") == "train_loss");
  CHECK(detail::series_name("Validation_Metrics_hausdorff_score", "Validation/Metrics") == "hausdorff_score");
  CHECK(detail::series_name("", "losses/val_loss") == "losses/val_loss");
  CHECK(detail::series_name("other", "losses") == "other/losses");
  CHECK(detail::series_name("losses_", "losses") == "losses_/losses");
  CHECK(detail::short_series_name("tensorboard/losses/val_loss") == "val_loss");
  CHECK(detail::short_series_name("a/learning_rate") == "learning_rate");
  CHECK(detail::short_series_name("Validation/dice") == "Validation/dice");
}

TEST_CASE("a training without curves, and a cut file", "[unit][report]") {
  const Results scratch;
  fs::create_directories(scratch.path / "empty");
  CHECK_THROWS_WITH(read_training_curves((scratch.path / "empty").string()),
                    Contains("empty") && Contains("training_log.csv") && Contains("event file"));
  CHECK_THROWS_WITH(read_training_curves(scratch.log("bad", "one,0.1,0.5,,1,1\n")), Contains("\"one\""));
  scratch.events("cut", "losses/train_loss", {0.5, 0.25});
  for (const auto& entry : fs::directory_iterator(scratch.path / "cut"))
    fs::resize_file(entry.path(), fs::file_size(entry.path()) - 5);
  const TrainingCurves cut = read_training_curves((scratch.path / "cut").string());
  CHECK(cut.series.at("train_loss") == Points{{1, 0.5}});
  REQUIRE(cut.warnings.size() == 1);
  CHECK_THAT(cut.warnings[0], Contains("ends within a record"));
}

TEST_CASE("the table of curves", "[unit][report]") {
  const std::vector<TrainingCurves> trainings{{"a", {{"train_loss", {{1, 0.5}, {2, 0.25}}}, {"x", {{2, 3}}}}, {}},
                                              {"b, c", {{"train_loss", {{5, 1}}}}, {}}};
  CHECK(curves_csv(trainings) == "training,epoch,train_loss,x\na,1,0.5,\na,2,0.25,3.0\n\"b, c\",5,1.0,\n");
}

TEST_CASE("one training is drawn with its best epoch", "[unit][report]") {
  const Results scratch;
  std::vector<TrainingCurves> one{read_training_curves(scratch.log("unet", rows))};
  one[0].series["dice_score"] = {{1, 0.5}, {2, 0.6}, {3, 0.7}};
  const std::string svg = curves_svg(one);
  CHECK(is_picture(svg));
  CHECK(times(svg, "<polyline") == 3);
  CHECK_THAT(svg, Contains(">training<") && Contains(">validation<") && Contains("best epoch 2: -0.7500") &&
                      Contains(">epoch<") && Contains(">dice_score<") && !Contains("learning"));
  CurvePlotParams params;
  params.learning_rate = true;
  const std::string with_rate = curves_svg(one, params);
  CHECK(times(with_rate, "<polyline") == 4);
  CHECK_THAT(with_rate, Contains(">learning rate<"));
  // Limits of the losses: what lies outside is drawn at the edge, and has no mark.
  params.loss_limits = {-0.6, 0};
  const std::string limited = curves_svg(one, params);
  CHECK(is_picture(limited));
  CHECK_THAT(limited, !Contains("best epoch") && Contains(">-0.6<") && Contains(">0.0<"));
}

TEST_CASE("several trainings are told apart, or averaged", "[unit][report]") {
  const std::vector<TrainingCurves> three{
      {"a", {{"train_loss", {{1, 1}, {2, 0.5}}}, {"val_loss", {{1, 1.5}, {2, 1}}}}, {}},
      {"b<2>", {{"train_loss", {{1, 2}, {2, 1}}}, {"val_loss", {{1, 2.5}}}}, {}},
      {"c", {{"train_loss", {{1, 3}, {2, 1.5}, {3, 1}}}, {"val_loss", {{1, std::nan("")}, {2, 2}}}}, {}}};
  const std::string svg = curves_svg(three);
  CHECK(is_picture(svg));
  CHECK_THAT(svg, Contains(">a, training<") && Contains(">b&lt;2&gt;, validation<") && Contains("stroke-dasharray") &&
                      !Contains("best epoch"));
  CHECK(times(svg, "<text") > 12);
  CurvePlotParams params;
  params.average = true;
  const std::string mean = curves_svg(three, params);
  CHECK(is_picture(mean));
  CHECK(times(mean, "<polyline") == 2);
  CHECK(times(mean, "<polygon") == 2);
  const auto averaged = detail::averaged(three, "train_loss");
  CHECK(averaged.at(1).mean() == 2);
  CHECK(averaged.at(1).standard_deviation() == 1);
  CHECK(std::isnan(averaged.at(3).standard_deviation()));
  CHECK(detail::averaged(three, "val_loss").at(1).mean() == 2);
}

TEST_CASE("a single epoch, and a loss that is no number", "[unit][report]") {
  CHECK(is_picture(curves_svg({{"a", {{"train_loss", {{1, 0.5}}}}, {}}})));
  CHECK(is_picture(curves_svg({{"a", {{"train_loss", {{1, INFINITY}, {2, 1}, {3, 0.5}}}}, {}}})));
  CHECK(is_picture(curves_svg({})));
}

TEST_CASE("ivado curve writes a picture and a table", "[unit][report]") {
  const Results scratch;
  const std::string a = scratch.log("a", rows);
  const std::string b = scratch.log("b", rows);
  const std::string file = (scratch.path / "curves.svg").string();
  const auto run = [&](std::vector<std::string> arguments, int status, const std::string& words = "") {
    std::ostringstream out;
    std::ostringstream err;
    CHECK(run_curve(arguments, out, err) == status);
    CHECK_THAT(err.str(), Contains(words));
    return out.str();
  };
  CHECK_THAT(run({a, b, "-o", file, "--lr", "--loss-limits=-1,0"}, 0), Contains(file) && Contains("curves.csv"));
  CHECK(is_picture(scratch.read("curves.svg")));
  CHECK_THAT(scratch.read("curves.svg"), Contains(">learning rate<") && Contains(">b, validation<"));
  CHECK_THAT(scratch.read("curves.csv"), Contains("training,epoch,learning_rate,train_loss,val_loss\na,1,0.001,"));
  run({a, b, "-o", file, "--average", "--loss-limits", "-1,0"}, 0);
  CHECK_THAT(scratch.read("curves.svg"), !Contains(">b, validation<"));
  CHECK_THAT(run({"--help"}, 0), Contains("usage: ivado curve"));
  run({}, 2, "no results are given");
  run({a, "--averge"}, 2, "did you mean \"--average\"");
  run({a, "--lr=1"}, 2, "there is no option");
  run({a, "-o"}, 2, "-o needs a value");
  run({a, "-o", "curves.png"}, 2, ".svg");
  for (const char* limits : {"1", "1,", "1,x", "2,1", "0,inf", "0,1,2"}) run({a, "--loss-limits", limits}, 2, "rising");
  run({(scratch.path / "none").string()}, 3, "none");
  run({b, a, "-o", (scratch.path / "a/training_log.svg").string()}, 2, "would replace the log of " + a);
  run({a + "/training_log.csv", "-o", (scratch.path / "a/training_log.svg").string()}, 2, "would replace");
  CHECK_THAT(scratch.read("a/training_log.csv"), Contains("waiting_for_data_s"));
}
