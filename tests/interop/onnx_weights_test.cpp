// ONNX weights in: all element types, by name and by order, and every malformed file is refused by what is
// wrong with it.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <ivado/interop/onnx_weights.hpp>
#include <limits>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "../data/nifti_bytes.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

template <class Element>
onnx::TensorProto& add_raw(onnx::ModelProto& model, const std::string& name, onnx::TensorProto_DataType type,
                           const std::vector<std::int64_t>& shape, const std::vector<Element>& values) {
  auto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const auto extent : shape) tensor.add_dims(extent);
  tensor.set_raw_data(values.data(), values.size() * sizeof(Element));
  return tensor;
}
onnx::TensorProto& add_floats(onnx::ModelProto& model, const std::string& name, const std::vector<std::int64_t>& shape,
                              const std::vector<float>& values) {
  return add_raw(model, name, onnx::TensorProto_DataType_FLOAT, shape, values);
}

nn::Weights read(const onnx::ModelProto& model) {
  const test::Folder folder;
  test::write_bytes(folder / "w.onnx", model.SerializeAsString());
  return read_onnx_weights(folder / "w.onnx");
}

template <class Element = float>
std::vector<Element> values(const nn::WeightTensor* tensor) {
  REQUIRE(tensor != nullptr);
  std::vector<Element> out(tensor->bytes.size() / sizeof(Element));
  std::memcpy(out.data(), tensor->bytes.data(), tensor->bytes.size());
  return out;
}

void refuses(const onnx::ModelProto& model, const std::string& words) {
  try {
    (void)read(model);
    FAIL("a malformed file was read");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 3);
    CHECK_THAT(error.what(), Contains("w.onnx") && Contains(words));
  }
}

/// A network of two convolutions and a batch norm, and a third whose weight is the first one's.
nn::ParameterList network() {
  nn::ParameterList list;
  const auto first = list.add({"a.weight", {2, 1, 1, 1}});
  list.add({"a.bias", {2}});
  list.add({"norm.running_mean", {2}, nn::Init::zeros, nn::Role::buffer});
  list.add({"norm.num_batches_tracked", {}, nn::Init::zeros, nn::Role::counter});
  nn::ParameterSpec again = list[first];
  again.name = "b.weight";
  again.shared_with = first;
  list.add(again);
  list.add({"c.weight", {1, 2}});
  return list;
}

/// The file of that network with other names.
onnx::ModelProto renamed(const std::vector<std::string>& names) {
  onnx::ModelProto model;
  add_floats(model, "scales", {4}, {1, 1, 2, 2});
  add_floats(model, names[0], {2, 1, 1, 1}, {1, 2});
  add_floats(model, names[1], {2}, {3, 4});
  add_raw<std::int64_t>(model, "sizes", onnx::TensorProto_DataType_INT64, {2}, {7, 8});
  add_floats(model, names[2], {2}, {5, 6});
  add_floats(model, names[3], {1, 2}, {7, 8});
  return model;
}

std::string fault_of(const nn::ParameterList& list, const onnx::ModelProto& model) {
  try {
    (void)match_weights(list, read(model), "w.onnx");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 3);
    return error.what();
  }
  FAIL("weights of another network were taken");
  return {};
}

void check_network(const nn::Weights& weights) {
  REQUIRE(weights.tensors.size() == 6);
  CHECK(weights.tensors[0].name == "a.weight");
  CHECK(weights.tensors[0].shape == std::vector<std::int64_t>{2, 1, 1, 1});
  CHECK(values(weights.find("a.weight")) == std::vector<float>{1, 2});
  CHECK(values(weights.find("a.bias")) == std::vector<float>{3, 4});
  CHECK(values(weights.find("norm.running_mean")) == std::vector<float>{5, 6});
  CHECK(values<std::int64_t>(weights.find("norm.num_batches_tracked")) == std::vector<std::int64_t>{0});
  CHECK(values(weights.find("b.weight")) == std::vector<float>{1, 2});
  CHECK(values(weights.find("c.weight")) == std::vector<float>{7, 8});
}

}  // namespace

TEST_CASE("Initialisers are read in their order, whatever they are stored as", "[unit]") {
  onnx::ModelProto model;
  auto* said = model.add_metadata_props();
  said->set_key("task");
  said->set_value("segmentation");
  add_floats(model, "raw", {2, 1}, {1.5F, -2});
  add_raw<double>(model, "double", onnx::TensorProto_DataType_DOUBLE, {2},
                  {0.1, -std::numeric_limits<double>::infinity()});
  add_raw<std::uint16_t>(model, "half", onnx::TensorProto_DataType_FLOAT16, {7},
                         {0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x8000, 0xfc00});
  add_raw<std::int64_t>(model, "integer", onnx::TensorProto_DataType_INT64, {}, {12345678901});
  add_floats(model, "empty", {0, 3}, {});
  const auto listed = [&](const std::string& name, onnx::TensorProto_DataType type) -> onnx::TensorProto& {
    auto& tensor = add_floats(model, name, {1}, {});
    tensor.clear_raw_data();
    tensor.set_data_type(type);
    return tensor;
  };
  listed("float list", onnx::TensorProto_DataType_FLOAT).add_float_data(3);
  listed("double list", onnx::TensorProto_DataType_DOUBLE).add_double_data(0.25);
  listed("half list", onnx::TensorProto_DataType_FLOAT16).add_int32_data(0x3555);
  listed("integer list", onnx::TensorProto_DataType_INT64).add_int64_data(-5);
  const auto weights = read(model);
  CHECK(weights.metadata == std::map<std::string, std::string>{{"task", "segmentation"}});
  REQUIRE(weights.tensors.size() == 9);
  CHECK(weights.tensors[0].name == "raw");
  CHECK(weights.tensors[0].shape == std::vector<std::int64_t>{2, 1});
  CHECK(values(weights.find("raw")) == std::vector<float>{1.5F, -2});
  CHECK(values(weights.find("double")) == std::vector<float>{0.1F, -std::numeric_limits<float>::infinity()});
  CHECK(values(weights.find("half")) == std::vector<float>{1, -2, 65504, std::ldexp(1.0F, -24),
                                                           std::ldexp(1023.0F, -24), -0.0F,
                                                           -std::numeric_limits<float>::infinity()});
  CHECK(std::signbit(values(weights.find("half"))[5]));
  CHECK(weights.find("integer")->type == nn::ElementType::int64);
  CHECK(weights.find("integer")->shape.empty());
  CHECK(values<std::int64_t>(weights.find("integer")) == std::vector<std::int64_t>{12345678901});
  CHECK(weights.find("empty")->bytes.empty());
  CHECK(values(weights.find("float list")) == std::vector<float>{3});
  CHECK(values(weights.find("double list")) == std::vector<float>{0.25F});
  CHECK(values(weights.find("half list")) == std::vector<float>{0.333251953125F});
  CHECK(values<std::int64_t>(weights.find("integer list")) == std::vector<std::int64_t>{-5});
}

TEST_CASE("An Identity node gives an initialiser another name", "[unit]") {
  auto model = renamed({"a.weight", "a.bias", "12", "c.weight"});
  const auto identity = [&](const std::string& of, const std::string& name) {
    auto& node = *model.mutable_graph()->add_node();
    node.set_op_type("Identity");
    node.add_input(of);
    node.add_output(name);
  };
  identity("12", "norm.running_mean");
  identity("an activation", "another");
  identity("a.bias", "c.weight");  // such a name is there already: no valid model, and the initialiser stands
  const auto weights = read(model);
  CHECK(weights.tensors.size() == 7);
  CHECK(values(weights.find("norm.running_mean")) == std::vector<float>{5, 6});
  CHECK(weights.find("another") == nullptr);
  CHECK(values(weights.find("c.weight")) == std::vector<float>{7, 8});
  check_network(match_weights(network(), weights, "w.onnx"));
}

TEST_CASE("Malformed initialisers are refused by name", "[unit]") {
  const auto with = [](const std::vector<std::int64_t>& shape, const auto& change) {
    onnx::ModelProto model;
    change(add_floats(model, "bad", shape, {1, 2}));
    return model;
  };
  const auto nothing = [](onnx::TensorProto&) {};
  refuses(onnx::ModelProto{}, "no initialisers");
  refuses(with({3}, nothing), "\"bad\" has 8 bytes, its shape needs 12");
  refuses(with({}, nothing), "\"bad\" has 8 bytes, its shape needs 4");
  refuses(with({-2}, nothing), "\"bad\" has an impossible shape");
  refuses(with({1LL << 32, 1LL << 32}, nothing), "\"bad\" has an impossible shape");
  refuses(with({1LL << 59}, nothing), "\"bad\" has 8 bytes");
  refuses(with({2}, [](auto& tensor) { tensor.clear_raw_data(); }), "\"bad\" has 0 numbers, its shape needs 2");
  refuses(with({2}, [](auto& tensor) { tensor.set_data_type(onnx::TensorProto_DataType_BFLOAT16); }), "BFLOAT16");
  refuses(with({2}, [](auto& tensor) { tensor.set_data_type(77); }), "element type 77");
  refuses(with({2}, [](auto& tensor) { tensor.set_data_location(onnx::TensorProto_DataLocation_EXTERNAL); }),
          "in another file");
  refuses(with({2}, [](auto& tensor) { tensor.mutable_segment()->set_begin(0); }), "segment");
  onnx::ModelProto model;
  add_raw<double>(model, "bad", onnx::TensorProto_DataType_DOUBLE, {1}, {1e300});
  refuses(model, "\"bad\" has a value beyond float32");
  model.mutable_graph()->clear_initializer();
  add_floats(model, "twice", {1}, {1});
  add_floats(model, "twice", {1}, {2});
  refuses(model, "two initialisers are named \"twice\"");
  model.mutable_graph()->add_sparse_initializer();
  refuses(model, "sparse");
  CHECK_THROWS_WITH(read_onnx_weights("no/such.onnx"), Contains("no/such.onnx"));
  CHECK_THROWS_AS(read_onnx_weights("/"), Error);
}

TEST_CASE("Any damage to a file is an error or another set of tensors, never a crash", "[unit]") {
  const test::Folder folder;
  const std::string whole = renamed({"a.weight", "a.bias", "norm.running_mean", "c.weight"}).SerializeAsString();
  int read = 0;
  int refused = 0;
  const auto attempt = [&](const std::string& content) {
    test::write_bytes(folder / "w.onnx", content);
    try {
      const auto weights = read_onnx_weights(folder / "w.onnx");
      for (const auto& tensor : weights.tensors) CHECK(tensor.bytes.size() <= 2 * content.size());
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  };
  for (std::size_t length = 0; length < whole.size(); ++length) attempt(whole.substr(0, length));
  CHECK(read == 0);
  for (std::size_t place = 0; place < whole.size(); ++place)
    for (const int flip : {1, 0x80, 0xff}) {
      std::string changed = whole;
      changed[place] = static_cast<char>(changed[place] ^ flip);
      attempt(changed);
    }
  CHECK(read > 0);
  CHECK(refused > static_cast<int>(whole.size()));
}

TEST_CASE("Tensors are found by name in any order, under any of their names", "[unit]") {
  auto model =
      renamed({"a.weight", "norm.running_mean", "a.bias", "c.weight"});  // two of one shape, the other way round
  auto swapped = match_weights(network(), read(model), "w.onnx");
  CHECK(values(swapped.find("a.bias")) == std::vector<float>{5, 6});
  CHECK(values(swapped.find("norm.running_mean")) == std::vector<float>{3, 4});
  check_network(match_weights(network(), read(renamed({"b.weight", "a.bias", "norm.running_mean", "c.weight"})), "w"));
}

TEST_CASE("Tensors with other names are taken in order, if all shapes agree", "[unit]") {
  check_network(match_weights(network(), read(renamed({"10", "11", "12", "13"})), "w.onnx"));
  check_network(match_weights(network(), read(renamed({"a.weight", "11", "norm.running_mean", "13"})), "w.onnx"));
}

TEST_CASE("What does not match is listed with names and shapes", "[unit]") {
  auto model = renamed({"a.weight", "a.bias", "norm.running_mean", "c.weight"});
  add_floats(model, "d.weight", {5}, {1, 2, 3, 4, 5});
  CHECK_THAT(fault_of(network(), model), Contains("w.onnx") && Contains("d.weight 5 is not the network's"));

  model = renamed({"a.weight", "a.bias", "norm.running_mean", "c.weight"});
  model.mutable_graph()->mutable_initializer(1)->set_dims(1, 2);
  model.mutable_graph()->mutable_initializer(1)->set_dims(0, 1);
  CHECK_THAT(fault_of(network(), model), Contains("a.weight is 1x2x1x1, the network's 2x1x1x1"));

  model = renamed({"10", "11", "12", "13"});
  model.mutable_graph()->mutable_initializer()->DeleteSubrange(4, 1);  // a batch norm that was folded away
  CHECK_THAT(fault_of(network(), model),
             Contains("missing: a.weight 2x1x1x1, a.bias 2, norm.running_mean 2, c.weight 1x2") &&
                 Contains("not the network's: scales 4, 10 2x1x1x1") &&
                 Contains("3 of its tensors have a shape of the network's 4") && Contains("folds batch norms"));

  model = renamed({"10", "11", "12", "13"});
  model.mutable_graph()->mutable_initializer()->SwapElements(1, 2);
  CHECK_THAT(fault_of(network(), model), Contains("in order, 11 2 stands where the network has a.weight 2x1x1x1"));

  model = renamed({"10", "norm.running_mean", "12", "13"});
  CHECK_THAT(fault_of(network(), model),
             Contains("in order, norm.running_mean 2 stands where the network has a.bias 2"));
}
