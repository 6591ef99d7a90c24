// safetensors: what is written is read back, and every malformed file is refused by what is wrong with it.
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ivado/interop/safetensors.hpp>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("ivado-safetensors-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
};

nn::WeightTensor floats(const std::string& name, const std::vector<std::int64_t>& shape,
                        const std::vector<float>& values) {
  nn::WeightTensor out{name, nn::ElementType::float32, shape, {}};
  out.bytes.resize(values.size() * 4);
  if (!values.empty()) std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

std::string with_header(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string content(8, '\0');
  std::memcpy(content.data(), &length, 8);
  return content + header + std::string(data, '\0');
}

}  // namespace

TEST_CASE("Weights are read back as they were written", "[unit]") {
  const Folder folder;
  const std::string path = (folder.path / "w.safetensors").string();
  nn::Weights weights;
  weights.tensors.push_back(floats("encoder.conv.weight", {2, 3}, {1, -2, 3.5F, 0, 1e-30F, 7}));
  weights.tensors.push_back(floats("empty", {0, 4}, {}));
  nn::WeightTensor counter{"batches", nn::ElementType::int64, {}, {}};
  counter.bytes.resize(8);
  const std::int64_t value = 12345678901;
  std::memcpy(counter.bytes.data(), &value, 8);
  weights.tensors.push_back(counter);
  weights.metadata = {{"digest", "0123"}, {"note", "quotes \" and \n lines"}};
  write_safetensors(path, weights);
  const nn::Weights back = read_safetensors(path);
  REQUIRE(back.tensors.size() == 3);
  CHECK(back.metadata == weights.metadata);
  for (const auto& tensor : weights.tensors) {
    const auto* found = back.find(tensor.name);
    REQUIRE(found != nullptr);
    CHECK(found->shape == tensor.shape);
    CHECK(found->type == tensor.type);
    CHECK((found->bytes == tensor.bytes));
  }
  CHECK(back.find("no such name") == nullptr);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), std::filesystem::directory_iterator{}) ==
        1);  // nothing left beside it
}

TEST_CASE("The numbers of a file begin at a multiple of eight bytes", "[unit]") {
  const Folder folder;
  for (const std::string name : {"a", "ab", "abc", "abcdefgh"}) {
    const std::string path = (folder.path / "w.safetensors").string();
    nn::Weights weights;
    weights.tensors.push_back(floats(name, {1}, {2}));
    write_safetensors(path, weights);
    std::ifstream file(path, std::ios::binary);
    std::uint64_t length = 0;
    file.read(reinterpret_cast<char*>(&length), 8);
    CHECK(length % 8 == 0);
  }
}

TEST_CASE("Every element type is read as float32 or int64", "[unit]") {
  const Folder folder;
  const std::string path = (folder.path / "types.safetensors").string();
  const auto read = [&](const std::string& type, const std::string& data, std::size_t count) {
    const std::string header = R"({"x":{"dtype":")" + type + R"(","shape":[)" + std::to_string(count) +
                               R"(],"data_offsets":[0,)" + std::to_string(data.size()) + "]}}";
    std::string content = with_header(header, 0) + data;
    std::ofstream(path, std::ios::binary) << content;
    return read_safetensors(path).tensors.at(0);
  };
  const auto bytes = [](const auto& numbers) {
    return std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(numbers[0]));
  };
  const auto floats_of = [&](const std::string& type, const auto& numbers) {
    const auto tensor = read(type, bytes(numbers), numbers.size());
    CHECK(tensor.type == nn::ElementType::float32);
    std::vector<float> out(tensor.bytes.size() / 4);
    std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
    return out;
  };
  const auto integers_of = [&](const std::string& type, const auto& numbers) {
    const auto tensor = read(type, bytes(numbers), numbers.size());
    CHECK(tensor.type == nn::ElementType::int64);
    std::vector<std::int64_t> out(tensor.bytes.size() / 8);
    std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
    return out;
  };
  CHECK(floats_of("F64", std::vector<double>{1, 0.1}) == std::vector<float>{1, 0.1F});
  CHECK(floats_of("F32", std::vector<float>{1, 0.1F}) == std::vector<float>{1, 0.1F});
  CHECK(floats_of("F16", std::vector<std::uint16_t>{0x3C00, 0xC100}) == std::vector<float>{1, -2.5F});
  CHECK(floats_of("BF16", std::vector<std::uint16_t>{0x3F80, 0xC020}) == std::vector<float>{1, -2.5F});
  const std::vector<std::int64_t> expected{-3, 100};
  CHECK(integers_of("I64", expected) == expected);
  CHECK(integers_of("I32", std::vector<std::int32_t>{-3, 100}) == expected);
  CHECK(integers_of("I16", std::vector<std::int16_t>{-3, 100}) == expected);
  CHECK(integers_of("I8", std::vector<std::int8_t>{-3, 100}) == expected);
  CHECK(integers_of("U8", std::vector<std::uint8_t>{253, 100}) == std::vector<std::int64_t>{253, 100});
  CHECK(integers_of("BOOL", std::vector<std::uint8_t>{1, 0}) == std::vector<std::int64_t>{1, 0});
}

TEST_CASE("The order of a header need not be that of the numbers", "[unit]") {
  const Folder folder;
  const std::string path = (folder.path / "order.safetensors").string();
  const std::string header =
      R"({"b":{"dtype":"I8","shape":[1],"data_offsets":[1,2]},"none":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},)"
      R"("a":{"shape":[1],"data_offsets":[0,1],"dtype":"I8"},"__metadata__":{"note":"\u00e4"}})";
  std::ofstream(path, std::ios::binary) << with_header(header, 0) << "\x01\x02";
  const auto weights = read_safetensors(path);
  REQUIRE(weights.tensors.size() == 3);
  CHECK(weights.tensors[0].name == "b");
  CHECK(weights.tensors[0].bytes[0] == std::byte{2});
  CHECK(weights.tensors[1].bytes.empty());
  CHECK(weights.tensors[2].bytes[0] == std::byte{1});
  CHECK(weights.metadata.at("note") == "\xC3\xA4");
}

TEST_CASE("Malformed files are refused, never read wrongly", "[unit]") {
  const Folder folder;
  const std::string path = (folder.path / "bad.safetensors").string();
  const auto refuses = [&](const std::string& content, const std::string& word) {
    std::ofstream(path, std::ios::binary) << content;
    INFO(content.substr(0, 120));
    try {
      (void)read_safetensors(path);
      FAIL("a malformed file was read");
    } catch (const Error& error) {
      CHECK(error.exit_status() == 3);
      CHECK_THAT(error.what(), Contains("bad.safetensors") && Contains(word));
    }
  };
  refuses("", "eight bytes");
  refuses("1234567", "eight bytes");
  refuses(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + "{}", "header claims");
  refuses(with_header("not json", 0), "not a JSON object");
  refuses(with_header("[1]", 0), "not a JSON object");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[2]}})", 8), "lacks");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4), "claims the bytes");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "claims the bytes");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}})", 12), "claims the bytes");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "impossible shape");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}})", 8),
          "larger than the file");
  refuses(with_header(R"({"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", 2), "F8_E4M3");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8), "cover 4 of 8");

  // What is there twice, or claims what belongs to another.
  const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const auto b = [](const std::string& offsets) {
    return R"("b":{"dtype":"F32","shape":[1],"data_offsets":[)" + offsets + "]}";
  };
  refuses(with_header("{" + a + "," + a + "}", 4), "\"a\" twice");
  refuses(with_header("{" + a + "," + b("0,4") + "}", 4), "within the one before");
  refuses(with_header("{" + a + "," + b("2,6") + "}", 6), "within the one before");
  refuses(with_header("{" + a + "," + b("8,12") + "}", 12), "unused bytes");
  refuses(with_header(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4), "entries twice");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"stride":[1]}})", 4), "\"stride\"");
  refuses(with_header(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "\"k\" twice");
  refuses(with_header(R"({"__metadata__":{"k":1}})", 0), "metadata are not texts");
  refuses(with_header(R"({"__metadata__":{},"__metadata__":{}})", 0), "two entries");

  // JSON of the wrong shape, at every place.
  refuses(with_header("{} {}", 0), "not a JSON object");
  refuses(with_header(R"({"a":5})", 0), "not an object");
  refuses(with_header(R"({"a":[]})", 0), "\"a\"");
  refuses(with_header(R"({"a":{"dtype":5}})", 0), "a number");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":{}}})", 0), "an object");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[[1]]}})", 0), "a list");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[1.5]}})", 0), "impossible shape");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", 4), "more than two");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4), "lacks one");
  refuses(with_header(std::string(1000000, '['), 0), "not a JSON object");
  refuses(with_header(R"({"a":)" + std::string(1000000, '1') + "}", 0), "memory");
  CHECK_THROWS_WITH(read_safetensors((folder.path / "missing").string()), Contains("missing"));
}
