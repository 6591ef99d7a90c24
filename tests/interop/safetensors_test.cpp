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
  std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
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
  refuses(with_header(R"({"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})", 4), "BF16");
  refuses(with_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8), "cover 4 of 8");
  CHECK_THROWS_WITH(read_safetensors((folder.path / "missing").string()), Contains("missing"));
}
