// Compose: JSON, order of execution, stages and kinds, random streams, undoing.
#include <ivado/transform/transform.hpp>
#include <type_traits>

#include "laws.hpp"

using ivado::Image;
using ivado::Json;
using ivado::Kind;
using ivado::Sample;
using ivado::Stage;

namespace {

using Study = ivado::Compose<ivado::Resample, ivado::CenterCrop, ivado::RandomAffine, ivado::ElasticTransform,
                             ivado::NormalizeInstance>;

const char* const study_json = R"({
  "Resample": {"wspace": 0.75, "hspace": 0.75, "dspace": 1, "preprocessing": true},
  "CenterCrop": {"size": [24, 20]},
  "RandomAffine": {"degrees": 5, "scale": [0.1, 0.1], "translate": [0.03, 0.03], "applied_to": ["im", "gt"], "dataset_type": ["training"]},
  "ElasticTransform": {"alpha_range": [28.0, 30.0], "sigma_range": [3.5, 4.5], "p": 1, "applied_to": ["im", "gt"], "dataset_type": ["training"]},
  "NormalizeInstance": {"applied_to": ["im"]}
})";

template <class Chain>
typename Chain::Params read(const char* json) {
  return ivado::from_json<typename Chain::Params>(Json::parse(json), "transformation");
}
template <class Chain>
std::string read_error(const char* json) {
  return laws::error_text([&] { (void)read<Chain>(json); });
}

// Transforms for tests: multiply by 2, add 1, cut the first row off; the result tells the order.
struct Twice {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  struct Draw {};
  static constexpr std::string_view name = "Twice";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = false;
  explicit Twice(const Params&) {}
  Draw draw(ivado::Rng&, const Sample&) const { return {}; }
  void apply(Image& image, const Draw&) const {
    for (float& value : image.voxels) value *= 2;
  }
  void invert(Image& image, const Draw&) const {
    for (float& value : image.voxels) value /= 2;
  }
};

struct AddFirst {  // preprocessing: adds what stands first in the sample as it is when drawn
  struct Params {
    int times = 1;
    static constexpr auto fields() { return ivado::fields(ivado::field<"times", &Params::times>("how often")); }
  };
  using Draw = float;
  static constexpr std::string_view name = "AddFirst";
  static constexpr bool is_preprocessing = true;
  static constexpr bool is_random = false;
  explicit AddFirst(const Params& given) : params(given) {}
  Draw draw(ivado::Rng&, const Sample& sample) const {
    return static_cast<float>(params.times) * sample.image.voxels[0];
  }
  void apply(Image& image, const Draw& drawn) const {
    for (float& value : image.voxels) value += drawn;
  }
  void invert(Image& image, const Draw& drawn) const {
    for (float& value : image.voxels) value -= drawn;
  }
  Params params;
};

struct AddRandom {
  struct Params {
    static constexpr auto fields() { return ivado::fields(); }
  };
  using Draw = double;
  static constexpr std::string_view name = "AddRandom";
  static constexpr bool is_preprocessing = false;
  static constexpr bool is_random = true;
  explicit AddRandom(const Params&) {}
  Draw draw(ivado::Rng& rng, const Sample&) const { return rng.uniform(); }
  void apply(Image& image, const Draw& drawn) const {
    for (float& value : image.voxels) value += static_cast<float>(drawn);
  }
};
struct AddQuietly : AddRandom {  // the same, but it says that it moves no voxel
  static constexpr std::string_view name = "AddQuietly";
  static constexpr bool moves_voxels = false;
  explicit AddQuietly(const Params& given) : AddRandom(given) {}
};
static_assert(ivado::Transform<AddRandom> && !ivado::InvertibleTransform<AddRandom>);
static_assert(ivado::InvertibleTransform<Twice> && ivado::InvertibleTransform<AddFirst>);

Sample three(float value = 3) {
  Sample sample;
  sample.image = {ivado::Array<float>(ivado::Shape{1, 2, 2}, value), Kind::image, {1, 1, 1}};
  sample.label = {ivado::Array<float>(ivado::Shape{1, 2, 2}, 1), Kind::label, {1, 1, 1}};
  return sample;
}

}  // namespace

TEST_CASE("Compose reads ivadomed's transformation") {
  const auto params = read<Study>(study_json);
  CHECK(params.get<ivado::Resample>().params.hspace == 0.75);
  CHECK(params.get<1>().params.size == std::vector<int>{24, 20});
  CHECK(params.get<ivado::RandomAffine>().params.degrees.high == 5);
  CHECK(params.get<ivado::Resample>().applied_to == ivado::KindSet{true, true, true});
  CHECK(params.get<ivado::RandomAffine>().applied_to == ivado::KindSet{true, true, false});
  CHECK(params.get<ivado::NormalizeInstance>().applied_to == ivado::KindSet{true, false, false});
  CHECK(params.get<ivado::Resample>().dataset_type == ivado::StageSet{true, true, true});
  CHECK(params.get<ivado::ElasticTransform>().dataset_type == ivado::StageSet{true, false, false});
  const Json written = ivado::to_json(params);
  CHECK(ivado::to_json(read<Study>(written.dump().c_str())) == written);
  CHECK(written["RandomAffine"]["applied_to"] == Json::parse(R"(["im", "gt"])"));
  CHECK(written["Resample"]["dataset_type"] == Json::parse(R"(["training", "validation", "testing"])"));
  std::vector<std::string> order;
  for (const auto& item : written.items()) order.push_back(item.key());
  CHECK(order == std::vector<std::string>(Study::names.begin(), Study::names.end()));
  static_assert(ivado::SelfDescribing<Study::Params>);
  CHECK(laws::has(ivado::type_name<Study::Params>(), "Resample, CenterCrop"));
}

TEST_CASE("Compose: a random transform works on the training set alone unless the file says otherwise") {
  const auto params = read<ivado::Compose<ivado::RandomAffine>>("{}");
  CHECK(params.get<0>().dataset_type == ivado::StageSet{true, false, false});
  const auto all =
      read<ivado::Compose<ivado::RandomAffine>>(R"({"RandomAffine": {"dataset_type": ["testing", "training"]}})");
  CHECK(all.get<0>().dataset_type == ivado::StageSet{true, false, true});
  const auto none = read<ivado::Compose<ivado::NormalizeInstance>>(R"({"NormalizeInstance": {"dataset_type": []}})");
  CHECK(none.get<0>().dataset_type == ivado::StageSet{false, false, false});
}

TEST_CASE("Compose refuses a transformation that is not its chain, and says what the chain is") {
  const auto unknown = read_error<Study>(R"({"Resampel": {"hspace": 1, "wspace": 1}})");
  CHECK(laws::has(unknown, "transformation.Resampel"));
  CHECK(laws::has(unknown, "Resample, CenterCrop, RandomAffine, ElasticTransform, NormalizeInstance"));
  CHECK(laws::has(unknown, "nearest is \"Resample\""));
  const auto order = read_error<Study>(R"({"CenterCrop": {"size": [2, 2]}, "Resample": {"hspace": 1, "wspace": 1}})");
  CHECK(laws::has(order, "transformation.Resample"));
  CHECK(laws::has(order, "behind CenterCrop"));
  CHECK(laws::has(order, "in this order"));
  const auto missing = read_error<Study>(R"({"CenterCrop": {"size": [2, 2]}})");
  CHECK(laws::has(missing, "transformation.Resample: it is missing"));
  CHECK(laws::has(read_error<Study>("[]"), "an object of transforms"));

  using Short = ivado::Compose<ivado::Resample, ivado::RandomAffine, ivado::NormalizeInstance>;
  CHECK(read_error<Short>(R"({"Resample": {"hspace": 1, "wspace": 1}})")
            .empty());  // the others have defaults for every key
  CHECK(laws::has(read_error<Short>(R"({"Resample": {"hspace": 1}})"), "transformation.Resample.wspace"));
  CHECK(laws::has(read_error<Short>(R"({"Resample": {"hspace": 0, "wspace": 1}})"), "> 0"));
  CHECK(laws::has(read_error<Short>(R"({"Resample": {"hspace": 1, "wspace": 1, "aplied_to": []}})"),
                  "did you mean \"applied_to\""));
  CHECK(laws::has(read_error<Short>(R"({"Resample": {"hspace": 1, "wspace": 1, "applied_to": ["image"]}})"),
                  "one of \"im\", \"gt\", \"roi\""));
  CHECK(laws::has(read_error<Short>(R"({"Resample": {"hspace": 1, "wspace": 1, "dataset_type": "training"}})"),
                  "a list of \"training\""));
  CHECK(laws::has(read_error<Short>(R"({"Resample": 1})"), "parameters of Resample"));
}

TEST_CASE("Compose describes its JSON by a schema") {
  const Json schema = ivado::schema<Study::Params>();
  CHECK(schema["properties"].size() == 5);
  CHECK(schema["required"] == Json::parse(R"(["Resample", "CenterCrop", "ElasticTransform"])"));
  CHECK(schema["properties"]["RandomAffine"]["properties"]["dataset_type"]["default"] ==
        Json::parse(R"(["training"])"));
  CHECK(schema["properties"]["Resample"]["properties"]["dataset_type"]["default"].size() == 3);
  CHECK(schema["properties"]["Resample"]["properties"]["hspace"]["exclusiveMinimum"] == 0);
  CHECK(schema["properties"]["Resample"]["additionalProperties"] == false);
}

TEST_CASE("Compose runs preprocessing first, then the rest, each in the order of the chain") {
  // Twice stands first but runs last: (3 + 3) · 2. The label gets the image's draw: (1 + 3) · 2.
  const ivado::Compose<Twice, AddFirst> chain;
  Sample sample = three();
  auto history = chain.preprocess(sample, Stage::training);
  CHECK(sample.image.voxels[0] == 6);
  CHECK(sample.label.voxels[0] == 4);
  chain.augment(sample, Stage::training, {}, history);
  CHECK(sample.image.voxels[0] == 12);
  CHECK(sample.label.voxels[0] == 8);
  REQUIRE(history.size() == 2);
  CHECK(history[0] == 1);
  CHECK(history[1] == 0);
  REQUIRE(history.draw<AddFirst>() != nullptr);
  CHECK(*history.draw<AddFirst>() == 3);
}

TEST_CASE("Compose undoes in the order of execution, not of the file (B3.4)") {
  const ivado::Compose<Twice, AddFirst> chain;
  Sample sample = three();
  auto history = chain.preprocess(sample, Stage::testing);
  chain.augment(sample, Stage::testing, {}, history);
  Image prediction{ivado::Array<float>(ivado::Shape{2, 2, 2}, 20), Kind::image, {1, 1, 1}};
  chain.invert(prediction, history);
  CHECK(prediction.voxels[7] == 7);  // 20 / 2 - 3; the order of the file would give (20 - 3) / 2
  CHECK(prediction.kind == Kind::label);
  const auto copy = history;  // a history may be copied and used again
  Image again{ivado::Array<float>(ivado::Shape{1, 2, 2}, 20), Kind::image, {1, 1, 1}};
  chain.invert(again, copy);
  CHECK(again.voxels[0] == 7);
  chain.invert(again, {});  // nothing done, nothing undone
  CHECK(again.voxels[0] == 7);
}

TEST_CASE("Compose undoes what was done to the image, and only that") {
  using Chain = ivado::Compose<AddFirst, Twice>;
  auto params = Chain::Params{};
  params.get<AddFirst>().applied_to = {false, true, true};
  params.get<Twice>().applied_to = {true, false, false};
  const Chain chain(params);
  Sample sample = three();
  auto history = chain.preprocess(sample, Stage::testing);
  chain.augment(sample, Stage::testing, {}, history);
  CHECK(sample.image.voxels[0] == 6);
  CHECK(sample.label.voxels[0] == 4);
  CHECK(history.size() == 1);
  CHECK(history.draw<AddFirst>() == nullptr);
  Image prediction{ivado::Array<float>(ivado::Shape{1, 2, 2}, 20), Kind::label, {1, 1, 1}};
  chain.invert(prediction, history);
  CHECK(prediction.voxels[0] == 10);
}

TEST_CASE("Compose heeds dataset_type, and skips kinds of data that are not there") {
  using Chain = ivado::Compose<AddFirst, AddQuietly>;
  const Chain chain;
  for (const auto stage : {Stage::training, Stage::validation, Stage::testing}) {
    Sample sample = three();
    sample.label = {};
    auto history = chain.preprocess(sample, stage);
    chain.augment(sample, stage, {1, 2, 3, 0}, history);
    CHECK((sample.image.voxels[0] > 6) == (stage == Stage::training));
    CHECK(sample.image.voxels[0] >= 6);
    CHECK(sample.label.empty());
    CHECK(history.size() == (stage == Stage::training ? 2U : 1U));
  }
}

TEST_CASE("Compose gives each transform the random stream of its place") {
  using Chain = ivado::Compose<AddFirst, AddRandom, AddQuietly>;
  const Chain chain;
  const ivado::RandomKey key{42, 7, 9, 1234};
  Sample sample = three();
  ivado::ChainHistory<AddFirst, AddRandom, AddQuietly> history;
  chain.augment(sample, Stage::training, key, history);
  ivado::Rng first(key.with_stream(1));
  ivado::Rng second(key.with_stream(2));
  CHECK(*history.draw<AddRandom>() == first.uniform());
  CHECK(*history.draw<AddQuietly>() == second.uniform());
  CHECK(*history.draw<1>() != *history.draw<2>());
}

TEST_CASE("Compose knows transforms that cannot be undone") {
  using Chain = ivado::Compose<AddRandom>;
  const Chain chain;  // training alone: no inverse is needed
  Sample sample = three();
  auto history = chain.preprocess(sample, Stage::training);
  chain.augment(sample, Stage::training, {}, history);
  Image prediction = sample.image.clone();
  CHECK(laws::has(laws::error_text([&] { chain.invert(prediction, history); }),
                  "AddRandom moves voxels and has no inverse"));
  auto params = Chain::Params{};
  params.get<AddRandom>().dataset_type.testing = true;
  CHECK(laws::has(laws::error_text([&] { Chain{params}; }), "testing set"));

  const ivado::Compose<AddQuietly> quiet;  // moves_voxels is false: the identity
  ivado::ChainHistory<AddQuietly> noted;
  quiet.augment(sample, Stage::training, {}, noted);
  Image untouched{ivado::Array<float>(ivado::Shape{1, 2, 2}, 20), Kind::label, {1, 1, 1}};
  quiet.invert(untouched, noted);
  CHECK(noted.size() == 1);
  CHECK(untouched.voxels[0] == 20);
}

TEST_CASE("Compose in augmented testing: what testing does, and the random transforms that can be undone") {
  using Chain = ivado::Compose<Twice, AddFirst, AddRandom, AddQuietly, ivado::RandomReverse>;
  auto params = Chain::Params{};
  const Chain chain(params);
  CHECK(chain.random_transforms(Stage::training) ==
        std::vector<std::string>{"AddRandom", "AddQuietly", "RandomReverse"});
  CHECK(chain.random_transforms(Stage::augmented_testing) == std::vector<std::string>{"AddQuietly", "RandomReverse"});
  CHECK(chain.random_transforms(Stage::testing).empty());

  const ivado::RandomKey key{1, 2, 3, 0};
  Sample sample = three();
  auto history = chain.preprocess(sample, Stage::augmented_testing);
  chain.augment(sample, Stage::augmented_testing, key, history);
  CHECK(history.size() == 4);
  CHECK(history.draw<AddRandom>() == nullptr);
  REQUIRE(history.draw<AddQuietly>() != nullptr);
  CHECK(*history.draw<AddQuietly>() == ivado::Rng(key.with_stream(3)).uniform());

  // A deterministic transform that testing does not have is not there either; a random one may be of testing alone.
  params.get<Twice>().dataset_type = {true, true, false};
  params.get<AddQuietly>().dataset_type = {false, false, true};
  params.get<ivado::RandomReverse>().dataset_type = {false, true, false};
  CHECK(Chain(params).random_transforms(Stage::augmented_testing) == std::vector<std::string>{"AddQuietly"});
  sample = three();
  history = Chain(params).preprocess(sample, Stage::augmented_testing);
  Chain(params).augment(sample, Stage::augmented_testing, key, history);
  CHECK(history.draw<Twice>() == nullptr);
  CHECK(history.size() == 2);

  // What changes labels alone says nothing of the image.
  params.get<AddQuietly>().applied_to = {false, true, false};
  CHECK(Chain(params).random_transforms(Stage::augmented_testing).empty());
}

TEST_CASE("Compose of the study: shapes, labels in float, and the prediction back on the grid of its slice") {
  const Study chain(read<Study>(study_json));
  const Sample raw = laws::smooth_sample({27, 31}, {0.9, 1.1, 3});
  for (const auto stage : {Stage::training, Stage::testing}) {
    Sample sample = raw.clone();
    auto history = chain.preprocess(sample, stage);
    CHECK(sample.image.voxels.shape() == ivado::Shape{2, 24, 20});
    CHECK(sample.image.spacing_mm == std::array<double, 3>{0.75, 0.75, 3});
    chain.augment(sample, stage, {1, 0, 5, 0}, history);
    CHECK(history.size() == (stage == Stage::training ? 5U : 3U));
    CHECK(sample.roi.spatial() == ivado::Shape{24, 20});
    CHECK(std::any_of(sample.label.voxels.begin(), sample.label.voxels.end(),
                      [](float v) { return v > 0.01F && v < 0.99F; }));
    Image prediction{ivado::Array<float>(ivado::Shape{3, 24, 20}, 0.5F), Kind::image, sample.image.spacing_mm};
    chain.invert(prediction, history);
    CHECK(prediction.voxels.shape() == ivado::Shape{3, 27, 31});
    CHECK(prediction.spacing_mm == raw.image.spacing_mm);
    CHECK(prediction.voxels[13 * 31 + 15] == Approx(0.5).margin(1e-5));
    CHECK(prediction.voxels[0] == 0);
  }
}

TEST_CASE("Compose of nothing does nothing") {
  const ivado::Compose<> chain(read<ivado::Compose<>>("{}"));
  Sample sample = three();
  auto history = chain.preprocess(sample, Stage::training);
  chain.augment(sample, Stage::training, {}, history);
  CHECK(history.empty());
  CHECK(sample.image.voxels[0] == 3);
  CHECK(laws::has(read_error<ivado::Compose<>>(R"({"Resample": {}})"), "empty"));
  static_assert(std::is_copy_constructible_v<Study> && std::is_copy_constructible_v<Study::History>);
}
