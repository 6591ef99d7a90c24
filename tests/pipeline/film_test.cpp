// What is seen of a training: animations, pictures and metrics of the validation set. They do not change it.
#include <gif_lib.h>

#include <algorithm>
#include <filesystem>
#include <ivado/interop/gif_film.hpp>
#include <ivado/ivado.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "world.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

/// Remembers the pictures it is given; stops a training in an epoch, as a crash would.
class PictureLogger : public QuietLogger {
 public:
  static inline std::string stop_at;  ///< such as "epoch 3/4"; empty: never
  void progress(const std::string& what, std::int64_t, std::int64_t, const std::string&) {
    if (!stop_at.empty() && what == stop_at) throw std::runtime_error("stopped");
  }
  static inline std::vector<std::string> tags;
  static inline std::string first;
  void image(const std::string& tag, int epoch, std::string_view png) {
    if (tags.empty()) first = std::string(png);
    tags.push_back(tag + " " + std::to_string(epoch));
  }
};

template <class... Rest>
using Filmed =
    Pipeline<BidsLoader<Slices<Axis::axial>>, Compose<Resample, CenterCrop, RandomAffine, NormalizeInstance>,
             Unet<2, 2>, DiceLoss, PostProcess<Binarize>, Loggers<QuietLogger, LogFiles, PictureLogger>, Rest...>;

constexpr std::string_view numbers = R"({
  "loader_parameters": {"target_suffix": ["_seg-manual"], "contrast_params": {"training_validation": ["T2w"], "testing": ["T2w"]}},
  "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
  "training_parameters": {"batch_size": 8, "training_time": {"num_epochs": 3}, "scheduler": {"initial_lr": 0.01}},
  "default_model": {"n_filters": 4, "depth": 2, "dropout_rate": 0.3},
  "transformation": {
    "Resample": {"hspace": 1.5, "wspace": 1.5},
    "CenterCrop": {"size": [32, 24]},
    "RandomAffine": {"degrees": 10, "dataset_type": ["training"]},
    "NormalizeInstance": {"applied_to": ["im"]}
  }
})";

const World& world() {
  static const World one({"T2w"});
  return one;
}

template <class Experiment>
Experiment make(const std::string& name, bool debugging = false) {
  std::vector<std::string> warnings;
  auto params = Experiment::configure(Experiment::defaults(), Json::parse(numbers), warnings);
  params.loader_parameters.path_data.values = {world().data()};
  params.path_output = world().results(name);
  params.debugging = debugging;
  RuntimeOptions options;
  options.threads = 1;
  return Experiment(std::move(params), start_runtime(options));
}

std::vector<std::string> gifs_in(const std::string& results) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(results + "/gifs")) out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

struct Size {
  int frames;
  int rows;
  int columns;
  friend bool operator==(const Size&, const Size&) = default;
};
Size size_of(const std::string& gif) {
  int code = 0;
  GifFileType* file = DGifOpenFileName(gif.c_str(), &code);
  REQUIRE(file != nullptr);
  REQUIRE(DGifSlurp(file) == GIF_OK);
  const Size size{file->ImageCount, file->SHeight, file->SWidth};
  DGifCloseFile(file, nullptr);
  return size;
}

}  // namespace

TEST_CASE("Samples of the validation set are filmed, and the training is that without a film", "[train]") {
  (void)make<Filmed<>>("plain").train();
  auto filmed = make<Filmed<GifFilm>>("filmed", true);
  filmed.film(2);
  (void)filmed.train();
  for (const char* file : {"/best_model.safetensors", "/final_model.safetensors"})
    CHECK(content_of(world().results("plain") + file) == content_of(world().results("filmed") + file));
  CHECK_FALSE(std::filesystem::exists(world().results("plain") + "/gifs"));

  // One animation a sample, named after image and slice, with a frame an epoch; an axial slice [32, 24] is shown upright.
  const auto gifs = gifs_in(world().results("filmed"));
  REQUIRE(gifs.size() == 2);
  const Json split = read_json(world().results("filmed") + "/split_datasets.json");
  for (const auto& gif : gifs) {
    CHECK(size_of(gif) == Size{3, 24, 32});
    const std::string name = std::filesystem::path(gif).filename().string();
    const std::string image = name.substr(0, name.find("_slice"));
    CHECK(name.size() == image.size() + std::string("_slice000.gif").size());
    CHECK_THAT(split.at("valid").dump(), Contains(image));
  }

  // A training that goes on keeps the frames of the epochs that are done, and adds those that are left.
  PictureLogger::stop_at = "epoch 3/3";
  for (const bool resume : {false, true}) {
    auto halves = make<Filmed<GifFilm>>("halves");
    halves.film(2);
    if (!resume)
      CHECK_THROWS_WITH(halves.train(), "stopped");
    else
      (void)halves.train(true);
    PictureLogger::stop_at.clear();
    const auto partial = gifs_in(world().results("halves"));
    REQUIRE(partial.size() == 2);
    CHECK(size_of(partial[0]).frames == (resume ? 3 : 2));
    if (resume)
      for (std::size_t i = 0; i < 2; ++i) CHECK(content_of(partial[i]) == content_of(gifs[i]));
  }

  // With "debugging" three pictures of each set each epoch.
  CHECK(PictureLogger::tags.size() == 2 * 3 * 3);
  for (const char* tag : {"Train/Input 1", "Train/Predictions 2", "Train/Ground Truth 3", "Validation/Input 3",
                          "Validation/Predictions 1", "Validation/Ground Truth 2"})
    CHECK(std::count(PictureLogger::tags.begin(), PictureLogger::tags.end(), tag) == 1);
  REQUIRE(PictureLogger::first.size() > 24);  // of up to 8 samples: 4 across, 2 down, a pixel between them
  const auto side = [](std::size_t at) {
    return static_cast<unsigned char>(PictureLogger::first[at + 2]) * 256 +
           static_cast<unsigned char>(PictureLogger::first[at + 3]);
  };
  CHECK(side(16) == 4 * 33 - 1);
  CHECK(side(20) == 2 * 25 - 1);

  // The metrics of the validation set are logged.
  const std::string log = content_of(world().results("filmed") + "/training_log.csv");
  CHECK_THAT(log, Contains(",dice_score,multi_class_dice_score,precision_score,recall_score,specificity_score,") &&
                      Contains("intersection_over_union,accuracy_score"));
}

TEST_CASE("A film that cannot be is refused with what to do", "[train]") {
  CHECK_NOTHROW(make<Filmed<>>("none").film(0));
  CHECK_THROWS_WITH(make<Filmed<>>("none").film(1),
                    Contains("--gif") && Contains("built without") && Contains("giflib"));
  auto many = make<Filmed<GifFilm>>("none");
  many.film(100000);
  CHECK_THROWS_WITH(many.train(), Contains("100000 samples of the validation set") && Contains("ask for fewer"));
  auto params = make<Filmed<GifFilm>>("none").params();
  params.command = Command::test;
  CHECK_THROWS_WITH(Filmed<GifFilm>(std::move(params), start_runtime({1})).film(1),
                    Contains("the command is \"test\"") && Contains("--train"));
}
