// The Unet's structure: names, shapes and counts of ivadomed's state dictionary. No LibTorch.
#include <ivado/model/any_model.hpp>
#include <ivado/model/unet.hpp>
#include <map>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {
std::map<std::string, Shape> shapes(const nn::ParameterList& list) {
  std::map<std::string, Shape> out;
  for (const auto& spec : list) out[spec.name] = spec.shape;
  return out;
}
}  // namespace

TEST_CASE("The default Unet has the parameters of ivadomed's", "[unit]") {
  const Unet<2> model;
  CHECK(model.parameters().trained_values() == 4837249);  // reference/models.md: table of models
  CHECK(model.parameters().size() == 100);
  const auto found = shapes(model.parameters());
  CHECK(found.at("encoder.down_path.0.conv1.weight") == Shape{64, 1, 3, 3});
  CHECK(found.at("encoder.down_path.6.conv2.weight") == Shape{256, 256, 3, 3});
  CHECK(found.at("encoder.conv_bottom.conv1.weight") == Shape{256, 256, 3, 3});
  CHECK(found.at("decoder.up_path.0.downconv.conv1.weight") == Shape{256, 512, 3, 3});
  CHECK(found.at("decoder.up_path.2.downconv.conv1.weight") == Shape{128, 384, 3, 3});
  CHECK(found.at("decoder.up_path.4.downconv.conv1.weight") == Shape{64, 192, 3, 3});
  CHECK(found.at("decoder.last_conv.weight") == Shape{1, 64, 3, 3});
  CHECK(found.at("decoder.last_conv.bias") == Shape{1});
  CHECK(found.at("encoder.down_path.3.conv1_bn.running_var") == Shape{128});
  CHECK(found.contains("encoder.down_path.3.conv1_bn.num_batches_tracked"));
}

TEST_CASE("In 3-D the norms have no parameters", "[unit]") {
  const Unet<3, 2> model;
  CHECK(model.parameters().size() == 22);  // 5 double blocks of two convolutions with bias, and the last one
  for (const auto& spec : model.parameters()) CHECK_THAT(spec.name, !Contains("_bn"));
}

TEST_CASE("The background channel is there where the activation needs it", "[unit]") {
  using Two = Unet<2, 2, 1, 2>;
  Two::Params params;
  params.n_filters = 2;
  const auto outputs = [](const Two& model) { return shapes(model.parameters()).at("decoder.last_conv.bias")[0]; };
  CHECK(outputs(Two(params)) == 2);
  params.as_ivadomed = true;
  CHECK(outputs(Two(params)) == 3);
  params.as_ivadomed = false;
  params.final_activation = FinalActivation::softmax;
  CHECK(outputs(Two(params)) == 3);
  params.background = false;
  CHECK(outputs(Two(params)) == 2);
}

TEST_CASE("Numbers given at run time must agree with the type", "[unit]") {
  CHECK_THROWS_WITH((Unet<2, 3>({}, {1, 1, 4})), Contains("depth 4") && Contains("its type has 3"));
  CHECK_THROWS_WITH((Unet<2, 3, 1, 1>({}, {2, 1, 3})), Contains("input channels 2"));
  CHECK_THROWS_WITH((Unet<2, dynamic>({}, {1, 1, 0})), Contains("depth 0"));
  const Unet<2, dynamic, dynamic, dynamic> open({}, {3, 2, 1});
  CHECK(shapes(open.parameters()).at("encoder.down_path.0.conv1.weight") == Shape{64, 3, 3, 3});
}

TEST_CASE("A model is made from the section of a configuration", "[unit]") {
  ModelParameters section;
  section.n_filters = 8;
  section.depth = 2;
  const auto model = make_model<AnyModel>(section, {2, 1});
  CHECK(shapes(model.parameters()).at("encoder.down_path.0.conv1.weight") == Shape{8, 2, 3, 3});
  CHECK(shapes(model.parameters()).count("encoder.down_path.6.conv1.weight") == 0);
  CHECK(make_model<Unet<2, 2>>(section, {1, 1}).params().n_filters == 8);
  CHECK_THROWS_WITH((make_model<Unet<2, 3>>(section, {1, 1})), Contains("depth 2"));
  section.name = "Modified3DUNet";
  CHECK_THROWS_WITH(make_model<AnyModel>(section, {1, 1}), Contains("no 2-D model") && Contains("Modified3DUNet"));
  CHECK_THROWS_WITH((make_model<Unet<2, 2>>(section, {1, 1})), Contains("compiled with Unet"));
}
