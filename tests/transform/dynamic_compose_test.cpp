// DynamicCompose and AnyCompose: JSON, and the same results as Compose.
#include <ivado/transform/transform.hpp>

#include "laws.hpp"

using ivado::AnyCompose;
using ivado::Image;
using ivado::Json;
using ivado::Kind;
using ivado::Sample;
using ivado::Stage;

namespace {

AnyCompose::Params read(const char* json) {
  return ivado::from_json<AnyCompose::Params>(Json::parse(json), "transformation");
}
std::string read_error(const char* json) {
  return laws::error_text([&] { (void)read(json); });
}

/// The prepared sample, and a prediction taken back, for a training and a testing sample.
template <class Chain>
std::vector<ivado::Array<float>> results(const char* json, const Sample& raw) {
  const Chain chain(ivado::from_json<typename Chain::Params>(Json::parse(json), "transformation"));
  std::vector<ivado::Array<float>> out;
  for (const auto stage : {Stage::training, Stage::testing, Stage::augmented_testing})
    for (std::uint32_t number = 0; number < 3; ++number) {
      Sample sample = raw.clone();
      auto history = chain.preprocess(sample, stage);
      chain.augment(sample, stage, {5, 1, number, 77}, history);
      Image prediction = sample.label.clone();
      chain.invert(prediction, history);
      out.push_back(std::move(sample.image.voxels));
      out.push_back(std::move(sample.label.voxels));
      out.push_back(std::move(sample.roi.voxels));
      out.push_back(std::move(prediction.voxels));
    }
  return out;
}

template <class Chain>
void check_same(const char* json) {
  for (const auto& spatial : std::vector<ivado::Shape>{{29, 23}, {17, 19, 11}}) {
    const Sample raw = laws::smooth_sample(spatial, {0.9, 1.1, 1.2});
    const auto fixed = results<Chain>(json, raw);
    const auto chosen = results<AnyCompose>(json, raw);
    REQUIRE(fixed.size() == chosen.size());
    for (std::size_t i = 0; i < fixed.size(); ++i) CHECK(fixed[i] == chosen[i]);
    CHECK_FALSE(fixed[0] == fixed[4]);  // two training samples differ
  }
}

}  // namespace

TEST_CASE("DynamicCompose gives the results of Compose, bit for bit") {
  using namespace ivado;
  check_same<Compose<Resample, CenterCrop, RandomAffine, ElasticTransform, NormalizeInstance>>(R"({
    "Resample": {"hspace": 0.8, "wspace": 0.7, "dspace": 1}, "CenterCrop": {"size": [24, 20, 12]},
    "RandomAffine": {"degrees": 15, "scale": [0.1, 0.1, 0.1], "translate": [0.05, 0.05, 0.05]},
    "ElasticTransform": {"alpha_range": [20, 30], "sigma_range": [2, 4], "p": 0.7, "applied_to": ["im", "gt"]},
    "NormalizeInstance": {"applied_to": ["im"]}})");
  // Another order, in which preprocessing transforms stand late, and a random transform that also tests.
  check_same<Compose<ElasticTransform, NormalizeInstance, CenterCrop, RandomAffine>>(R"({
    "ElasticTransform": {"alpha_range": [20, 30], "sigma_range": [2, 4], "p": 1, "dataset_type": ["training", "testing"]},
    "NormalizeInstance": {}, "CenterCrop": {"size": [16, 32, 8]},
    "RandomAffine": {"degrees": [-3, 20], "dataset_type": ["testing", "training"], "applied_to": ["im", "gt"]}})");
  check_same<Compose<RandomAffine>>(R"({"RandomAffine": {"degrees": 10, "as_ivadomed": true}})");
}

TEST_CASE("DynamicCompose of an empty object is the empty chain") {
  const AnyCompose chain(read("{}"));
  Sample sample = laws::smooth_sample({5, 4});
  const Sample before = sample.clone();
  auto history = chain.preprocess(sample, Stage::training);
  chain.augment(sample, Stage::training, {}, history);
  CHECK(laws::equal(sample, before));
  CHECK(history.empty());
  Image prediction = sample.image.clone();
  chain.invert(prediction, history);
  CHECK(prediction.voxels == sample.image.voxels);
  CHECK(prediction.kind == Kind::label);
}

TEST_CASE("DynamicCompose knows which transforms are random in a stage, in the order of the file") {
  using Names = std::vector<std::string>;
  const AnyCompose chain(read(R"({"RandomReverse": {}, "CenterCrop": {"size": [8, 8]}, "NormalizeInstance": {},
    "RandomAffine": {"degrees": 5, "dataset_type": ["training"]},
    "RandomGamma": {"log_gamma_range": [-0.3, 0.3], "dataset_type": ["validation"]}})"));
  CHECK(chain.random_transforms(Stage::training) == Names{"RandomReverse", "RandomAffine"});
  CHECK(chain.random_transforms(Stage::augmented_testing) == Names{"RandomReverse", "RandomAffine"});
  CHECK(chain.random_transforms(Stage::testing).empty());
  CHECK(AnyCompose().random_transforms(Stage::training).empty());
}

TEST_CASE("DynamicCompose keeps the order of the file, in and out") {
  const char* const json = R"({"ElasticTransform": {"alpha_range": [28.0, 30.0], "sigma_range": [3.5, 4.5], "p": 0.1,
    "applied_to": ["im", "gt"], "dataset_type": ["training"]}, "CenterCrop": {"size": [320, 128]}, "NormalizeInstance": {"applied_to": ["im"]}})";
  const auto params = read(json);
  CHECK(params.names() == std::vector<std::string>{"ElasticTransform", "CenterCrop", "NormalizeInstance"});
  const Json written = ivado::to_json(params);
  CHECK(ivado::to_json(read(written.dump().c_str())) == written);
  CHECK(written.begin().key() == "ElasticTransform");
  REQUIRE(params.get<ivado::CenterCrop>() != nullptr);
  CHECK(params.get<ivado::CenterCrop>()->params.size == std::vector<int>{320, 128});
  CHECK(params.get<ivado::Resample>() == nullptr);
  static_assert(ivado::SelfDescribing<AnyCompose::Params>);
  CHECK(ivado::schema<AnyCompose::Params>()["properties"].size() == AnyCompose::catalog.size());
}

TEST_CASE("DynamicCompose is built in C++ too") {
  AnyCompose::Params params;
  params.add<ivado::CenterCrop>().params.size = {4, 4};
  params.add<ivado::NormalizeInstance>({.params = {}, .applied_to = {true, false, false}, .dataset_type = {}});
  CHECK(params.names() == std::vector<std::string>{"CenterCrop", "NormalizeInstance"});
  const AnyCompose chain(params);
  Sample sample = laws::smooth_sample({9, 9});
  (void)chain.preprocess(sample, Stage::validation);
  CHECK(sample.image.spatial() == ivado::Shape{4, 4});
  params.add<ivado::CenterCrop>();
  CHECK(laws::has(laws::error_text([&] { AnyCompose{params}; }), "CenterCrop stands in it twice"));
}

TEST_CASE("DynamicCompose has every transform of ivadomed, in any order") {
  const char* const json = R"({
    "Resample": {"hspace": 0.9, "wspace": 0.9, "dspace": 1}, "ROICrop": {"size": [24, 22, 12]},
    "RandomReverse": {}, "RandomAffine": {"degrees": 5}, "RandomShiftIntensity": {"shift_range": [0, 10], "prob": 1},
    "AdditiveGaussianNoise": {"std": 2, "applied_to": ["im"]}, "RandomGamma": {"log_gamma_range": [-0.1, 0.1], "p": 1},
    "RandomBiasField": {"coefficients": 0.2, "order": 2, "p": 1}, "RandomBlur": {"sigma_range": [0.5, 1], "p": 1},
    "ElasticTransform": {"alpha_range": [20, 30], "sigma_range": [3, 4], "p": 1}, "HistogramClipping": {},
    "DilateGT": {"dilation_factor": 0.1, "dataset_type": ["training"]}, "CenterCrop": {"size": [20, 20, 10]},
    "NormalizeInstance": {"applied_to": ["im"]}})";
  using namespace ivado;
  check_same<Compose<Resample, ROICrop, RandomReverse, RandomAffine, RandomShiftIntensity, AdditiveGaussianNoise,
                     RandomGamma, RandomBiasField, RandomBlur, ElasticTransform, HistogramClipping, DilateGT,
                     CenterCrop, NormalizeInstance>>(json);
  CHECK(AnyCompose(read(R"({"BoundingBoxCrop": {}, "Clahe": {"kernel_size": [8, 8]}})")).catalog.size() >= 16);
}

TEST_CASE("DynamicCompose names what it does not know") {
  const auto unknown = read_error(R"({"CentreCrop": {"size": [2, 2]}})");
  CHECK(laws::has(unknown, "transformation.CentreCrop: there is no such transform"));
  CHECK(laws::has(unknown, "did you mean \"CenterCrop\"?"));
  CHECK(laws::has(unknown, "This program has Resample, CenterCrop, ROICrop"));
  CHECK(laws::has(read_error("[]"), "an object of transforms"));
  CHECK(laws::has(read_error(R"({"Resample": {"hspace": 1}})"), "transformation.Resample.wspace"));
  CHECK(laws::has(read_error(R"({"Resample": {"hspace": 1, "wspace": 1, "space": 1}})"), "did you mean"));
  try {
    (void)read(R"({"NoSuch": {}})");
    FAIL("no error");
  } catch (const ivado::Error& error) {
    CHECK(error.exit_status() == 2);
  }
}
