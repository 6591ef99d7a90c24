// Files of weights under random damage: never a crash, only `Error`, and never more memory than four times the file's
// size and 1 MiB. The operators new of this program count what is allocated and else do what they always did.
#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <ivado/interop/python_checkpoint.hpp>
#include <ivado/random.hpp>
#include <new>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "python_bytes.hpp"

namespace {

std::atomic<std::size_t> live_bytes{0};
std::atomic<std::size_t> peak_bytes{0};

void* count_new(void* place) {
  if (place == nullptr) throw std::bad_alloc();
  const std::size_t live = live_bytes += ::malloc_usable_size(place);
  std::size_t peak = peak_bytes;
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return place;
}
void count_delete(void* place) noexcept {
  if (place != nullptr) live_bytes -= ::malloc_usable_size(place);
  std::free(place);
}
void* allocate(std::size_t size) { return count_new(std::malloc(size == 0 ? 1 : size)); }
void* try_to_allocate(std::size_t size) noexcept {
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* allocate(std::size_t size, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return count_new(std::aligned_alloc(step, (size / step + 1) * step));
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return try_to_allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return try_to_allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) { return allocate(size, alignment); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return allocate(size, alignment); }
void operator delete(void* place) noexcept { count_delete(place); }
void operator delete[](void* place) noexcept { count_delete(place); }
void operator delete(void* place, std::size_t) noexcept { count_delete(place); }
void operator delete[](void* place, std::size_t) noexcept { count_delete(place); }
void operator delete(void* place, const std::nothrow_t&) noexcept { count_delete(place); }
void operator delete[](void* place, const std::nothrow_t&) noexcept { count_delete(place); }
void operator delete(void* place, std::align_val_t) noexcept { count_delete(place); }
void operator delete[](void* place, std::align_val_t) noexcept { count_delete(place); }
void operator delete(void* place, std::size_t, std::align_val_t) noexcept { count_delete(place); }
void operator delete[](void* place, std::size_t, std::align_val_t) noexcept { count_delete(place); }

using namespace ivado;
using namespace std::string_literals;
using test::Pickler;

namespace {

/// The bytes changed in one to four places: cut, flipped, replaced, inserted, repeated.
std::string damaged(std::string bytes, Rng& rng) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(rng.below(static_cast<std::uint32_t>(n))); };
  const std::size_t times = 1 + below(4);
  for (std::size_t i = 0; i < times && !bytes.empty(); ++i) {
    const std::size_t at = below(bytes.size());
    const std::size_t length = 1 + below(16);
    switch (rng.below(7)) {
      case 0:  // the end is missing
        bytes.resize(at);
        break;
      case 1:  // a piece is missing
        bytes.erase(at, length);
        break;
      case 2:  // one bit
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      case 3:  // one byte
        bytes[at] = static_cast<char>(rng.below(256));
        break;
      case 4:  // extreme numbers
        for (std::size_t k = at; k < std::min(at + length, bytes.size()); ++k)
          bytes[k] = static_cast<char>(rng.bernoulli(0.5) ? 0xFF : 0);
        break;
      case 5: {  // random bytes more
        std::string more(length, '\0');
        for (char& byte : more) byte = static_cast<char>(rng.below(256));
        bytes.insert(at, more);
        break;
      }
      default:  // a piece of it, once more, elsewhere
        bytes.insert(below(bytes.size()), bytes.substr(at, 4 * length));
    }
  }
  return bytes;
}

/// What came of reading many damaged files.
struct Outcome {
  int read = 0;
  int refused = 0;
};

/// Reads one file and checks what it may throw and allocate.
void read_within_limits(const std::string& path, const std::string& bytes, Outcome& outcome) {
  test::write_bytes(path, bytes);
  const std::size_t before = live_bytes;
  peak_bytes = before;
  std::string other;
  try {
    (void)read_weights(path);
    ++outcome.read;
  } catch (const Error& error) {
    ++outcome.refused;
    if (error.exit_status() != 3) other = error.what();
  } catch (const std::exception& error) {
    other = std::string("not an ivado::Error: ") + error.what();
  }
  const std::size_t peak = peak_bytes - before;
  if (!other.empty()) FAIL_CHECK(other);
  if (peak > 4 * bytes.size() + (std::size_t{1} << 20U))
    FAIL_CHECK("a file of " << bytes.size() << " bytes made the reader hold " << peak);
}

/// Reads `whole` and 500 damaged variants of `seed`, each in the file that `wrap` makes of it.
void fuzz(
    const std::string& seed, std::uint64_t number,
    const std::function<std::string(const std::string&)>& wrap = [](const std::string& bytes) { return bytes; }) {
  const test::Folder folder;
  const std::string path = folder / "weights";
  Outcome whole;
  read_within_limits(path, wrap(seed), whole);
  REQUIRE(whole.read == 1);
  Outcome outcome;
  for (std::uint32_t i = 0; i < 500; ++i) {
    INFO("seed " << number << ", sample " << i);
    Rng rng(RandomKey{number, 0, i, stream_user});
    read_within_limits(path, wrap(damaged(seed, rng)), outcome);
  }
  CHECK(outcome.read + outcome.refused == 500);
  CHECK(outcome.refused > 250);
}

std::string state_pickle(bool legacy) {
  Pickler p(legacy);
  p.op("}(").text("epoch").integer(3).text("state_dict").ordered_dict().op("(");
  p.text("conv.weight").tensor("FloatStorage", "0", 6, 1, {2, 2}, {1, 2});
  p.text("conv.bias").parameter("HalfStorage", "1", 4);
  p.text("counter").tensor("LongStorage", "2", 1, 0, {}, {}).op("u").text("other").op("]q\0(K\x01h\0eu"s);
  return p.done();
}
std::vector<test::StorageBytes> state_storages() {
  return {{"0", 6, std::string(24, 'a')}, {"1", 4, std::string(8, 'b')}, {"2", 1, std::string(8, 'c')}};
}

std::string safetensors_bytes() {
  const test::Folder folder;
  nn::Weights weights;
  weights.metadata = {{"digest", "0123"}, {"epoch", "5"}};
  for (int i = 0; i < 4; ++i) {
    auto& tensor = weights.tensors.emplace_back();
    tensor.name = "layer." + std::to_string(i) + ".weight";
    tensor.shape = {2, i};
    tensor.bytes.resize(static_cast<std::size_t>(8 * i));
  }
  write_safetensors(folder / "w", weights);
  return test::read_bytes(folder / "w");
}

}  // namespace

TEST_CASE("Damaged safetensors are refused or read, within the limit of memory", "[unit]") {
  fuzz(safetensors_bytes(), 1);
}

TEST_CASE("Damaged zip files of torch.save are refused or read, within the limit of memory", "[unit]") {
  fuzz(test::zip_file(state_pickle(false), state_storages()), 2);
  // The damage is older than the check sums.
  fuzz(state_pickle(false), 3, [](const std::string& pickle) { return test::zip_file(pickle, state_storages()); });
}

TEST_CASE("Damaged files of the old torch.save are refused or read, within the limit of memory", "[unit]") {
  fuzz(test::legacy_file(state_pickle(true), state_storages()), 4);
  fuzz(test::legacy_file(test::model_pickle(true), test::model_storages()), 5);
}

TEST_CASE("Damaged whole models are refused or read, within the limit of memory", "[unit]") {
  fuzz(test::zip_file(test::model_pickle(false), test::model_storages()), 6);
  fuzz(test::model_pickle(false), 7,
       [](const std::string& pickle) { return test::zip_file(pickle, test::model_storages()); });
}

TEST_CASE("Damaged files of PyTorch itself are refused or read, within the limit of memory", "[unit]") {
  const test::Folder folder;
  const std::string command = "/usr/bin/python3 '" IVADO_SOURCE_DIR "/tests/interop/python/write_files.py' '" +
                              folder.path().string() + "' > /dev/null 2>&1";
  if (std::system("/usr/bin/python3 -c 'import torch' > /dev/null 2>&1") != 0) {
    WARN("skipped: /usr/bin/python3 has no PyTorch (Debian: python3-torch)");
    SUCCEED();
    return;
  }
  REQUIRE(std::system(command.c_str()) == 0);
  std::uint64_t number = 100;
  for (const std::string name : {"state.pt", "state_protocol4.pt", "state_legacy.pt", "model.pt", "model_legacy.pt",
                                 "checkpoint.pth.tar", "python.safetensors"}) {
    INFO(name);
    fuzz(test::read_bytes(folder / name), ++number);
  }
}

TEST_CASE("A file that asks for much is refused before it gets it", "[unit]") {
  const test::Folder folder;
  Outcome outcome;
  const auto greedy = [&](const std::string& bytes) { read_within_limits(folder / "weights", bytes, outcome); };
  const std::vector<test::StorageBytes> one{{"0", 1, "1234"}};
  const auto zipped = [&](const std::string& pickle) { return test::zip_file(pickle, one); };
  const std::string thousand = "(J\0\0\x04\0t(K\0t"s;  // 262144 elements at stride 0
  greedy(zipped(Pickler().op("}").text("x").tensor("FloatStorage", "0", 1, 0, {1LL << 40}, {0}).op("s").done()));
  // Many names for one tensor of 1 MiB.
  Pickler names;
  names.op("(").global("torch._utils", "_rebuild_tensor_v2").op("(").storage("FloatStorage", "0", 1).integer(0);
  names.op(thousand).op("\x89").ordered_dict().op(
      "tR\x94"
      "1}(");
  for (int i = 0; i < 1000; ++i) names.text(std::to_string(i)).op("h\0"s);
  greedy(zipped(names.op("u").done()));
  // Many values of one byte each, in every kind of container.
  for (const std::string code : {"N", "]", "}", "\x8F", ")\x85", "(", "K\x01\x85"})
    for (const std::size_t count : {1'000, 100'000, 3'000'000}) {
      std::string many = "\x80\x02("s;
      for (std::size_t i = 0; i < count; ++i) many += code;
      greedy(zipped(many + "t."));
    }
  // Many entries of a zip archive; long and many names, and much metadata, in safetensors.
  ZipWriter zip;
  for (int i = 0; i < 50'000; ++i) zip.add(std::to_string(i), "");
  greedy(std::move(zip).finish());
  const auto safetensors = [&](const std::string& header) {
    greedy(test::bytes_of(std::vector<std::uint64_t>{header.size()}) + header);
  };
  std::string metadata = R"({"__metadata__":{)";
  std::string tensors = "{";
  for (int i = 0; i < 100'000; ++i) {
    metadata += '"' + std::to_string(i) + R"(":"",)";
    tensors += '"' + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
  }
  metadata.back() = '}';
  tensors.back() = '}';
  safetensors(metadata + "}");
  safetensors(tensors);
  safetensors(R"({"__metadata__":{"k":")" + std::string(3'000'000, 'x') + "\"}}");
  safetensors(R"({"__metadata__":{"k":")" + std::string(3'000'000, 'x'));
  safetensors(R"({"a":{"dtype":"U8","shape":[)" + std::string(3'000'000, '9') + "]}}");
  std::string extents = R"({"a":{"dtype":"U8","data_offsets":[0,0],"shape":[0)";
  for (int i = 0; i < 1'000'000; ++i) extents += ",0";
  safetensors(extents + "]}}");
  safetensors("{" + std::string(3'000'000, '['));
  CHECK(outcome.refused > 20);
}

TEST_CASE("A file of weights is read within the limit when it is whole", "[unit]") {
  const test::Folder folder;
  nn::Weights weights;
  for (int i = 0; i < 200; ++i) {
    auto& tensor = weights.tensors.emplace_back();
    tensor.name = "encoder.down_path." + std::to_string(i) + ".conv.weight";
    tensor.shape = {16, 16, 3, 3};
    tensor.bytes.resize(16 * 16 * 9 * 4);
  }
  write_python_state_dict(folder / "w.pt", weights);
  write_safetensors(folder / "w.safetensors", weights);
  for (const std::string name : {"w.pt", "w.safetensors"}) {
    Outcome outcome;
    read_within_limits(folder / "copy", test::read_bytes(folder / name), outcome);
    CHECK(outcome.read == 1);
  }
}
