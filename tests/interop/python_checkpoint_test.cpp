// Files of torch.save: state dictionaries and whole models in both formats, against bytes made here and, where Python
// has PyTorch, against PyTorch itself.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ivado/interop/python_checkpoint.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "python_bytes.hpp"

using namespace ivado;
using namespace std::string_literals;
using Catch::Matchers::Contains;
using test::bytes_of;
using test::Pickler;

namespace {

PythonCheckpoint read(const std::string& bytes) {
  const test::Folder folder;
  test::write_bytes(folder / "model.pt", bytes);
  return read_python_checkpoint(folder / "model.pt");
}

void refuses(const std::string& bytes, const std::string& word) {
  INFO("expected: " << word);
  try {
    (void)read(bytes);
    FAIL("a file was read that should be refused");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 3);
    CHECK_THAT(error.what(), Contains("model.pt") && Contains(word));
  }
}

template <class Number>
std::vector<Number> numbers(const nn::Weights& weights, const std::string& name) {
  const auto* found = weights.find(name);
  REQUIRE(found != nullptr);
  CHECK(found->type == (std::is_same_v<Number, float> ? nn::ElementType::float32 : nn::ElementType::int64));
  std::vector<Number> out(found->bytes.size() / sizeof(Number));
  if (!out.empty()) std::memcpy(out.data(), found->bytes.data(), found->bytes.size());
  return out;
}
std::vector<float> floats(const nn::Weights& weights, const std::string& name) { return numbers<float>(weights, name); }
std::vector<std::int64_t> integers(const nn::Weights& weights, const std::string& name) {
  return numbers<std::int64_t>(weights, name);
}

std::vector<std::string> names(const nn::Weights& weights) {
  std::vector<std::string> out;
  for (const auto& tensor : weights.tensors) out.push_back(tensor.name);
  return out;
}

nn::WeightTensor tensor_of(const std::string& name, const std::vector<std::int64_t>& shape,
                           const std::vector<float>& values) {
  nn::WeightTensor out{name, nn::ElementType::float32, shape, std::vector<std::byte>(values.size() * 4)};
  if (!values.empty()) std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

/// What check_files.py expects.
nn::Weights example() {
  nn::Weights out;
  out.tensors.push_back(tensor_of("a", {2, 3}, {1, -2, 3.5F, 0, 1e-30F, 7}));
  std::vector<float> many(400);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<float>(i);
  out.tensors.push_back(tensor_of("b.weight", {400}, many));
  out.tensors.push_back(tensor_of("empty", {0, 4}, {}));
  out.tensors.push_back(tensor_of("\xC3\xA4", {}, {0.5F}));
  nn::WeightTensor counter{"counter", nn::ElementType::int64, {}, std::vector<std::byte>(8)};
  const std::int64_t value = 12345678901;
  std::memcpy(counter.bytes.data(), &value, 8);
  out.tensors.push_back(counter);
  return out;
}

void check_equal(const nn::Weights& found, const nn::Weights& expected) {
  REQUIRE(names(found) == names(expected));
  for (std::size_t i = 0; i < expected.tensors.size(); ++i) {
    INFO(expected.tensors[i].name);
    CHECK(found.tensors[i].shape == expected.tensors[i].shape);
    CHECK(found.tensors[i].type == expected.tensors[i].type);
    CHECK((found.tensors[i].bytes == expected.tensors[i].bytes));
  }
}

/// A file with one tensor "x" of this storage and view; in either format.
std::string one_tensor(const std::string& type, std::int64_t count, const std::string& bytes, std::int64_t offset,
                       const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides,
                       bool legacy = false) {
  Pickler p(legacy);
  p.op("}").text("x").tensor(type, "0", count, offset, shape, strides).op("s");
  const std::vector<test::StorageBytes> storages{{"0", count, bytes}};
  return legacy ? test::legacy_file(p.done(), storages) : test::zip_file(p.done(), storages);
}

}  // namespace

TEST_CASE("Every storage type is read as float32 or int64", "[unit]") {
  const bool legacy = GENERATE(false, true);
  const auto x = [&](const std::string& type, const std::string& bytes, std::int64_t count) {
    return read(one_tensor(type, count, bytes, 0, {count}, {1}, legacy)).weights;
  };
  CHECK(floats(x("FloatStorage", bytes_of<float>({1, 2.5F}), 2), "x") == std::vector<float>{1, 2.5F});
  CHECK(floats(x("DoubleStorage", bytes_of<double>({0.1, -1e300}), 2), "x") ==
        std::vector<float>{0.1F, -std::numeric_limits<float>::infinity()});
  // 1, -2, 65504 (the largest), 2^-24 (the smallest), 2^-14, infinity: IEEE 754 binary16.
  CHECK(floats(x("HalfStorage", bytes_of<std::uint16_t>({0x3C00, 0xC000, 0x7BFF, 1, 0x0400, 0x7C00}), 6), "x") ==
        std::vector<float>{1, -2, 65504, 0x1p-24F, 0x1p-14F, std::numeric_limits<float>::infinity()});
  CHECK(floats(x("BFloat16Storage", bytes_of<std::uint16_t>({0x3F80, 0xC040}), 2), "x") == std::vector<float>{1, -3});
  CHECK(integers(x("LongStorage", bytes_of<std::int64_t>({-1, 5}), 2), "x") == std::vector<std::int64_t>{-1, 5});
  CHECK(integers(x("IntStorage", bytes_of<std::int32_t>({-1, 5}), 2), "x") == std::vector<std::int64_t>{-1, 5});
  CHECK(integers(x("ShortStorage", bytes_of<std::int16_t>({-1, 5}), 2), "x") == std::vector<std::int64_t>{-1, 5});
  CHECK(integers(x("CharStorage", "\xFF\x05", 2), "x") == std::vector<std::int64_t>{-1, 5});
  CHECK(integers(x("ByteStorage", "\xFF\x05", 2), "x") == std::vector<std::int64_t>{255, 5});
  CHECK(integers(x("BoolStorage", "\x01\0"s, 2), "x") == std::vector<std::int64_t>{1, 0});
  CHECK_THROWS_WITH(x("ComplexFloatStorage", std::string(16, '\0'), 2), Contains("ComplexFloatStorage"));
  CHECK(std::isnan(nn::float_of_half(0x7E00)));
}

TEST_CASE("Views are read through their strides", "[unit]") {
  const bool legacy = GENERATE(false, true);
  const std::string storage = bytes_of<float>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const auto x = [&](std::int64_t offset, const std::vector<std::int64_t>& shape,
                     const std::vector<std::int64_t>& strides) {
    const auto weights = read(one_tensor("FloatStorage", 12, storage, offset, shape, strides, legacy)).weights;
    CHECK(weights.find("x")->shape == shape);
    return floats(weights, "x");
  };
  CHECK(x(0, {3, 2}, {1, 3}) == std::vector<float>{0, 3, 1, 4, 2, 5});  // a transposed matrix
  CHECK(x(5, {2, 2}, {4, 1}) == std::vector<float>{5, 6, 9, 10});       // a part
  CHECK(x(1, {2, 3}, {0, 2}) == std::vector<float>{1, 3, 5, 1, 3, 5});  // expanded, every second one
  CHECK(x(0, {2, 3, 2}, {1, 4, 2}) == std::vector<float>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11});
  CHECK(x(11, {}, {}) == std::vector<float>{11});
  CHECK(x(3, {1, 2, 1}, {1LL << 62, 1, 1LL << 62}) == std::vector<float>{3, 4});  // the stride of one is never taken
  CHECK(x(0, {0, 5}, {5, 1}).empty());
}

TEST_CASE("Tensors that reach beyond their storage or claim more than the file can hold are refused", "[unit]") {
  const bool legacy = GENERATE(false, true);
  const std::string storage = bytes_of<float>({0, 1, 2, 3});
  const auto refuses_view = [&](std::int64_t offset, const std::vector<std::int64_t>& shape,
                                const std::vector<std::int64_t>& strides, const std::string& word) {
    refuses(one_tensor("FloatStorage", 4, storage, offset, shape, strides, legacy), word);
  };
  refuses_view(0, {5}, {1}, "beyond its storage");
  refuses_view(1, {4}, {1}, "beyond its storage");
  refuses_view(4, {}, {}, "beyond its storage");
  refuses_view(0, {2, 2}, {3, 1}, "beyond its storage");
  refuses_view(0, {3}, {1LL << 62}, "beyond its storage");
  refuses_view(1LL << 62, {1}, {1}, "beyond its storage");
  refuses_view(0, {-1}, {1}, "no integer from 0");
  refuses_view(0, {2}, {-1}, "no integer from 0");
  refuses_view(-1, {2}, {1}, "no integer from 0");
  refuses_view(0, {2, 2}, {1}, "2 extents and 1 strides");
  refuses_view(0, {1000000}, {0}, "memory");
  refuses_view(0, {1LL << 40, 1LL << 40}, {0, 0}, "larger than any memory");
  refuses_view(0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1), "65 extents");
}

TEST_CASE("A dictionary may be nested under state_dict, beside entries of any kind", "[unit]") {
  Pickler p;
  p.op("}(").text("epoch").integer(3).text("state_dict").ordered_dict().op("(");
  p.text("b").vector("FloatStorage", "0", 2).text("a").parameter("FloatStorage", "1", 1).op("u");
  p.op("}").text("_metadata").ordered_dict().op("sb");
  p.text("optimizer").begin_object("torch.optim", "Adam").text("state").vector("ComplexFloatStorage", "7", 9);
  p.end_object().text("loss").global("numpy.core.multiarray", "scalar").op("(K\x01K\x02tRu");
  const auto checkpoint =
      read(test::zip_file(p.done(), {{"0", 2, bytes_of<float>({1, 2})}, {"1", 1, bytes_of<float>({3})}}, "any name"));
  CHECK(checkpoint.model_class.empty());
  CHECK(names(checkpoint.weights) == std::vector<std::string>{"b", "a"});
  CHECK(floats(checkpoint.weights, "b") == std::vector<float>{1, 2});
  CHECK(floats(checkpoint.weights, "a") == std::vector<float>{3});
  CHECK(checkpoint.left_out == std::vector<std::string>{"epoch", "optimizer", "loss"});
}

TEST_CASE("Tensors of one storage are read each for itself", "[unit]") {
  const bool legacy = GENERATE(false, true);
  Pickler p(legacy);
  p.op("}(").text("a").tensor("FloatStorage", "0", 3, 0, {2}, {1});
  p.text("b").tensor("FloatStorage", "0", 3, 1, {2}, {1}).op("\x94").text("c").op("h\0u"s);
  const std::vector<test::StorageBytes> storages{{"0", 3, bytes_of<float>({1, 2, 3})}};
  const auto weights =
      read(legacy ? test::legacy_file(p.done(), storages) : test::zip_file(p.done(), storages)).weights;
  CHECK(floats(weights, "a") == std::vector<float>{1, 2});
  CHECK(floats(weights, "b") == std::vector<float>{2, 3});
  CHECK(floats(weights, "c") == std::vector<float>{2, 3});
}

TEST_CASE("A whole model gives the parameters and buffers of its state_dict, and its class", "[unit]") {
  const bool legacy = GENERATE(false, true);
  const auto checkpoint = read(legacy ? test::legacy_file(test::model_pickle(true), test::model_storages())
                                      : test::zip_file(test::model_pickle(false), test::model_storages()));
  CHECK(checkpoint.model_class == "ivadomed.models.Unet");
  CHECK(names(checkpoint.weights) == std::vector<std::string>{"encoder.conv.weight", "encoder.norm.running_mean",
                                                              "encoder.norm.num_batches_tracked"});
  CHECK(floats(checkpoint.weights, "encoder.conv.weight") == std::vector<float>{0.5F, 1.5F, 2.5F, 3.5F, 4.5F, 5.5F});
  CHECK(floats(checkpoint.weights, "encoder.norm.running_mean") == std::vector<float>{-1, -2, -3});
  CHECK(integers(checkpoint.weights, "encoder.norm.num_batches_tracked") == std::vector<std::int64_t>{77});
}

TEST_CASE("A model that contains itself, or a thousand levels, or a million paths is refused", "[unit]") {
  const auto module = [](Pickler& p, const std::string& children) {
    p.begin_object("m", "M").text("_parameters").op("}").text("_buffers").op("}").text("_modules").op("}");
    p.op(children);
  };
  Pickler cycle;  // BUILD comes when the object is already known
  cycle.global("m", "M").op(")\x81\x94}(").text("_parameters").op("}").text("_buffers").op("}").text("_modules");
  cycle.op("}").text("x").op("h\0sub"s);
  refuses(test::zip_file(cycle.done(), {}), "contain themselves");

  Pickler deep;
  for (int i = 0; i < 1001; ++i) module(deep, "X\x01\0\0\0x"s);
  deep.op("N");
  for (int i = 0; i < 1001; ++i) deep.op("sub");
  refuses(test::zip_file(deep.done(), {}), "nested more than 1000 deep");

  Pickler wide;  // each module has the one before it twice: 2^40 paths
  module(wide, "");
  wide.op("ub\x94");
  for (char i = 0; i < 40; ++i) {
    module(wide.op("0"), "(X\x01\0\0\0ah"s + i + "X\x01\0\0\0bh"s + i + "u"s);
    wide.op("ub\x94");
  }
  refuses(test::zip_file(wide.done(), {}), "without end");
}

TEST_CASE("Files of torch.save that hold no weights are refused by what they hold", "[unit]") {
  refuses(test::zip_file(Pickler().integer(5).done(), {}), "neither a dictionary nor a model");
  refuses(test::zip_file(Pickler().vector("FloatStorage", "0", 1).done(), {{"0", 1, "1234"}}), "_rebuild_tensor_v2");
  refuses(test::zip_file(Pickler().op("}").text("a").integer(5).op("s").done(), {}), "no tensor");
  refuses(test::zip_file(Pickler().op("}").text("state_dict").integer(5).op("s").done(), {}), "\"state_dict\" is no");
  refuses(test::zip_file(Pickler().global("sklearn", "Forest").op(")\x81").done(), {}), "Forest");
  refuses(test::zip_file(Pickler().op("}").text("a").global("torch._utils", "_rebuild_qtensor").op(")Rs").done(), {}),
          "_rebuild_qtensor");
  CHECK(read(test::zip_file(Pickler().op("}").done(), {})).weights.tensors.empty());
}

TEST_CASE("Damaged files of torch.save are refused by what is wrong", "[unit]") {
  const auto one = [](const std::string& pickle) {
    return test::zip_file(pickle, {{"0", 2, bytes_of<float>({1, 2})}});
  };
  const auto dict = [](std::string_view name) {
    return Pickler().op("}").text(name).vector("FloatStorage", "0", 2).op("s").done();
  };
  refuses(one(dict("x") + "N"), "behind its pickle");
  refuses(one(dict("\xFF")), "not UTF-8");
  refuses(test::zip_file(dict("x"), {}), "no record");
  refuses(test::zip_file(dict("x"), {{"0", 2, "1234"}}), "4 bytes, not 2 elements");
  refuses(one(Pickler()
                  .op("}(")
                  .text("x")
                  .vector("FloatStorage", "0", 2)
                  .text("x")
                  .vector("FloatStorage", "0", 2)
                  .op("u")
                  .done()),
          "twice");
  ZipWriter big_endian;
  big_endian.add("a/data.pkl", dict("x"));
  big_endian.add("a/byteorder", "big");
  refuses(std::move(big_endian).finish(), "little-endian");
  ZipWriter version;
  version.add("a/data.pkl", dict("x"));
  version.add("a/version", "11\n");
  refuses(std::move(version).finish(), "version");
  ZipWriter script;
  script.add("a/data.pkl", dict("x"));
  script.add("a/constants.pkl", "");
  refuses(std::move(script).finish(), "TorchScript");

  Pickler legacy(true);
  const std::string pickle = legacy.op("}").text("x").vector("FloatStorage", "0", 2).op("s").done();
  const std::string good = test::legacy_file(pickle, {{"0", 2, bytes_of<float>({1, 2})}});
  refuses("\x80\x02K\x05.", "magic number");
  refuses(good.substr(0, good.size() - 1), "cut or damaged");
  refuses(good + "x", "too many");
  refuses(test::legacy_file(pickle, {}), "is missing");
  refuses(test::legacy_file(pickle, {{"0", 3, bytes_of<float>({1, 2, 3})}}), "2 elements long");
  refuses(test::legacy_file(pickle, {{"1", 2, bytes_of<float>({1, 2})}}), "not used");
  std::string protocol = good;
  protocol[20] = 1;  // in the number 1001
  refuses(protocol, "protocol 1001");
  CHECK_THROWS_WITH(read_python_checkpoint("/nowhere/model.pt"), Contains("/nowhere/model.pt"));
}

TEST_CASE("What is written for Python is read back, whole or not at all", "[unit]") {
  const test::Folder folder;
  const auto weights = example();
  write_python_state_dict(folder / "w.pt", weights);
  check_equal(read_python_checkpoint(folder / "w.pt").weights, weights);
  const std::string first = test::read_bytes(folder / "w.pt");
  write_python_state_dict(folder / "w.pt", weights);
  CHECK((test::read_bytes(folder / "w.pt") == first));
  write_python_state_dict(folder / "none.pt", {});
  CHECK(read_python_checkpoint(folder / "none.pt").weights.tensors.empty());

  nn::Weights twice;
  twice.tensors = {tensor_of("a", {1}, {1}), tensor_of("a", {1}, {2})};
  CHECK_THROWS_WITH(write_python_state_dict(folder / "bad.pt", twice), Contains("twice"));
  nn::Weights short_of;
  short_of.tensors = {tensor_of("a", {3}, {1, 2})};
  CHECK_THROWS_WITH(write_python_state_dict(folder / "bad.pt", short_of), Contains("8 bytes for 3 elements"));
  nn::Weights latin;
  latin.tensors = {tensor_of("\xE4", {1}, {1})};
  CHECK_THROWS_WITH(write_python_state_dict(folder / "bad.pt", latin), Contains("UTF-8"));
  CHECK_FALSE(std::filesystem::exists(folder / "bad.pt"));
}

TEST_CASE("Weights are read from any known format, told by content", "[unit]") {
  const test::Folder folder;
  const auto weights = example();
  write_python_state_dict(folder / "python.safetensors", weights);
  write_safetensors(folder / "safetensors.pt", weights);
  check_equal(read_weights(folder / "python.safetensors"), weights);
  check_equal(read_weights(folder / "safetensors.pt"), weights);
  test::write_bytes(folder / "legacy", test::legacy_file(test::model_pickle(true), test::model_storages()));
  CHECK(read_weights(folder / "legacy").tensors.size() == 3);
  for (const std::string content : {"", "short", "a text that is long enough"}) {
    test::write_bytes(folder / "other.bin", content);
    CHECK_THROWS_WITH(read_weights(folder / "other.bin"),
                      Contains("other.bin") && Contains("safetensors") && Contains("torch.save"));
  }
  CHECK_THROWS_WITH(read_weights(folder / "missing"), Contains("missing"));
  // A header of 128 + 2 · 256 bytes begins as a pickle does.
  std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(0x280, ' ');
  test::write_bytes(folder / "like_a_pickle", "\x80\x02\0\0\0\0\0\0"s + header + "1234");
  CHECK(read_weights(folder / "like_a_pickle").tensors.size() == 1);
}

TEST_CASE("PyTorch's own files are read, and PyTorch reads ours", "[unit]") {
  if (std::system("/usr/bin/python3 -c 'import torch' > /dev/null 2>&1") != 0) {
    WARN("skipped: /usr/bin/python3 has no PyTorch (Debian: python3-torch)");
    SUCCEED();
    return;
  }
  const test::Folder folder;
  const auto run = [&](const std::string& script, const std::string& arguments) {
    const std::string command = "/usr/bin/python3 '" IVADO_SOURCE_DIR "/tests/interop/python/" + script + "' " +
                                arguments + " 2> '" + (folder / "errors") + "'";
    const int status = std::system(command.c_str());
    INFO((status == 0 ? "" : test::read_bytes(folder / "errors")));
    REQUIRE(status == 0);
  };
  const auto filled = [](float number, std::size_t count) {
    std::vector<float> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(number + static_cast<float>(i) / 4);
    return out;
  };
  run("write_files.py", "'" + folder.path().string() + "'");

  for (const std::string name : {"state.pt", "state_protocol4.pt", "state_legacy.pt"}) {
    INFO(name);
    const auto checkpoint = read_python_checkpoint(folder / name);
    const auto& weights = checkpoint.weights;
    CHECK(names(weights) == std::vector<std::string>{"a", "transposed", "part", "half", "brain", "double", "empty",
                                                     "scalar", "wide", "int32", "int16", "int8", "uint8", "bool",
                                                     "parameter", "with.dots.\xC3\xA4"});
    CHECK(checkpoint.left_out.empty());
    CHECK(floats(weights, "a") == filled(1, 6));
    CHECK(weights.find("a")->shape == std::vector<std::int64_t>{2, 3});
    CHECK(floats(weights, "transposed") ==
          std::vector<float>{2, 2.75F, 3.5F, 4.25F, 2.25F, 3, 3.75F, 4.5F, 2.5F, 3.25F, 4, 4.75F});
    CHECK(floats(weights, "part") == std::vector<float>{3, 3.25F, 3.75F, 4});
    CHECK(floats(weights, "half") == filled(3, 5));
    CHECK(floats(weights, "brain") == filled(4, 5));
    CHECK(floats(weights, "double") == filled(5, 5));
    CHECK(weights.find("empty")->shape == std::vector<std::int64_t>{0, 3});
    CHECK(integers(weights, "scalar") == std::vector<std::int64_t>{7});
    CHECK(floats(weights, "wide") == std::vector<float>(6, 1));
    for (const std::string type : {"int32", "int16", "int8"})
      CHECK(integers(weights, type) == std::vector<std::int64_t>{-1, 2});
    CHECK(integers(weights, "uint8") == std::vector<std::int64_t>{255, 2});
    CHECK(integers(weights, "bool") == std::vector<std::int64_t>{1, 0});
    CHECK(floats(weights, "parameter") == filled(6, 2));
  }

  // Python's own state_dict() is the reference for names, order and values.
  const auto state = read_python_checkpoint(folder / "model_state.pt").weights;
  REQUIRE(state.tensors.size() == 11);
  CHECK(names(state).front() == "lasting");
  CHECK(floats(state, "encoder.0.weight") == filled(1, 18));
  for (const std::string name : {"model.pt", "model_legacy.pt"}) {
    INFO(name);
    const auto model = read_python_checkpoint(folder / name);
    CHECK(model.model_class == "ivadomed.models.Unet");
    check_equal(model.weights, state);
  }
  const auto checkpoint = read_python_checkpoint(folder / "checkpoint.pth.tar");
  check_equal(checkpoint.weights, read_weights(folder / "checkpoint_state.pt"));
  CHECK(checkpoint.left_out ==
        std::vector<std::string>{"epoch", "optimizer", "gammas", "scheduler", "patience_count", "validation_loss"});

  const auto stored = read_weights(folder / "python.safetensors");
  CHECK(floats(stored, "f16") == filled(1, 4));
  CHECK(floats(stored, "f64") == filled(2, 3));
  CHECK(integers(stored, "i32") == std::vector<std::int64_t>{-5, 6});
  CHECK(floats(stored, "f32") == filled(3, 3));

  write_python_state_dict(folder / "ours.pt", example());
  write_safetensors(folder / "ours.safetensors", example());
  run("check_files.py", "'" + (folder / "ours.pt") + "' '" + (folder / "ours.safetensors") + "'");
}
