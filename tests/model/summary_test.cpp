// What `ivado summary` says of a model: sizes, layers and totals. No LibTorch.
#include <ivado/model/modified_3d_unet.hpp>
#include <ivado/model/residual_unet.hpp>
#include <ivado/model/summary.hpp>
#include <ivado/model/unet.hpp>
#include <sstream>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

template <class Model>
Model small(const NetworkShape& shape) {
  typename Model::Params params;
  params.n_filters = 1;
  return Model(params, shape);
}

void check_rule(const SizeRule& rule, std::int64_t divisor, std::int64_t smallest) {
  CHECK(rule.divisor == divisor);
  CHECK(rule.smallest == smallest);
}

}  // namespace

TEST_CASE("The sizes that a model takes are found by recording it", "[unit]") {
  check_rule(size_rule(small<Unet<2>>({1, 1, 3}), 1), 1, 8);  // 8 survives three poolings
  check_rule(size_rule(small<Unet<2, 1>>({1, 1, 1}), 1), 1, 2);
  check_rule(size_rule(small<Unet<3, 2>>({1, 1, 2}), 1), 1, 8);  // 4 leaves one voxel, which has no variance
  check_rule(size_rule(small<Modified3DUNet<>>({1, 1, 4}), 1), 16, 32);
  check_rule(size_rule(small<ResidualUnet<2>>({1, 1, 4}), 1), 16, 32);
  check_rule(size_rule(small<ResidualUnet<3, 2>>({2, 1, 2}), 2), 4, 8);
  CHECK_THROWS_WITH(size_rule(small<Unet<2>>({1, 1, 3}), 2), Contains("none up to 512 works"));
}

TEST_CASE("The summary of a Unet holds its layers and totals, in JSON and in print", "[unit]") {
  const Unet<2> model;
  const Summary summary = summarize(model, {18, 1, 128, 128}, "Unet");
  const graph::Cost total = summary.total();
  CHECK(total.parameters == 4837249);
  const Json json = summary.to_json();
  CHECK(json["model"] == "Unet");
  CHECK(json["parameters"] == 4837249);
  CHECK(json["trained_values"] == 4837249);
  CHECK(json["flops"] == total.flops);
  CHECK(json["activation_bytes"] == total.activation_bytes);
  CHECK(json["size_divisor"] == 1);
  CHECK(json["smallest_size"] == 8);
  REQUIRE(json["layers"].size() == summary.graph.nodes.size());
  const Json& first = json["layers"][1];
  CHECK(first["name"] == "encoder.down_path.0.conv1");
  CHECK(first["operation"] == "convolution");
  CHECK(first["shape"] == Json::parse("[18, 64, 128, 128]"));
  CHECK(first["parameters"] == 640);
  CHECK(first["flops"] == std::int64_t{18} * 64 * 128 * 128 * 19);
  CHECK(first["activation_bytes"] == std::int64_t{4} * 18 * 64 * 128 * 128);
  std::int64_t flops = 0;
  for (const auto& layer : json["layers"]) flops += layer["flops"].get<std::int64_t>();
  CHECK(flops == total.flops);

  std::ostringstream out;
  summary.print(out);
  const std::string text = out.str();
  CHECK_THAT(text, Contains("encoder.down_path.0.conv1") && Contains("18x64x128x128"));
  CHECK_THAT(text, Contains("trained values: 4837249 (18.453 MiB in float32)"));
  std::ostringstream giga;
  giga << std::fixed << std::setprecision(3) << static_cast<double>(total.flops) / 1e9;
  CHECK_THAT(text, Contains("forward: " + giga.str() + " GFLOP"));
  CHECK_THAT(text, Contains("sizes: every spatial extent at least 8\n"));
  std::int64_t lines = 0;
  for (const char letter : text) lines += letter == '\n' ? 1 : 0;
  CHECK(lines == static_cast<std::int64_t>(summary.graph.nodes.size()) + 6);  // head, all, and four lines below
}

TEST_CASE("A summary tells a size that the model does not take from what it takes", "[unit]") {
  const auto model = small<ResidualUnet<2>>({1, 1, 4});
  CHECK_THROWS_WITH(summarize(model, {1, 1, 32, 40}, "ResidualUnet"),
                    Contains("summing up ResidualUnet for an input of 1x1x32x40") &&
                        Contains("must be a multiple of 16 and at least 32"));
  std::ostringstream out;
  summarize(model, {1, 1, 32, 48}, "ResidualUnet").print(out);
  CHECK_THAT(out.str(), Contains("must be a multiple of 16, at least 32"));
}

TEST_CASE("Heads for deep supervision are trained, and stand outside the forward that is summed up", "[unit]") {
  const auto model = small<ResidualUnet<2>>({1, 1, 4});
  const Json json = summarize(model, {1, 1, 32, 32}, "ResidualUnet").to_json();
  // Two further heads: 1×1 convolutions of 2 and 4 channels with a bias.
  CHECK(json["trained_values"].get<std::int64_t>() - json["parameters"].get<std::int64_t>() == 3 + 5);
}
