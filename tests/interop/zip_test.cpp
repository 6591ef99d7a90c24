// Zip archives: what is written is read back, what other programs write is understood, and what disagrees is refused.
#include <algorithm>
#include <cstdint>
#include <ivado/interop/zip.hpp>
#include <string>

#include "../catch.hpp"

using Catch::Matchers::Contains;
using namespace std::string_literals;
using ivado::Error;
using ivado::ZipArchive;
using ivado::ZipWriter;

namespace {

/// Calls `use` with the archive that these bytes are.
template <class Use>
void with_archive(const std::string& bytes, const Use& use) {
  ivado::nn::MemoryLimit memory("reading a test", bytes.size());
  ZipArchive archive(bytes, "reading a test", memory);
  use(archive);
}

std::string two_records(std::uint64_t zip64_from = 0xFFFFFFFF) {
  ZipWriter zip(zip64_from);
  zip.add("model/data.pkl", "hello");
  zip.add("model/data/0", std::string(1000, 'x'));
  return std::move(zip).finish();
}

void refuses(const std::string& bytes, const std::string& word) {
  try {
    with_archive(bytes, [](ZipArchive& archive) {
      (void)archive.read(archive.only_name_with_ending("/data.pkl"));
      (void)archive.read("model/data/0");
    });
    FAIL("a malformed archive was read: " + word);
  } catch (const Error& error) {
    CHECK(error.exit_status() == 3);
    CHECK_THAT(error.what(), Contains("reading a test") && Contains(word));
  }
}

/// These bytes with one number of them replaced.
template <class Number>
std::string with(std::string bytes, std::size_t at, Number number) {
  bytes.replace(at, sizeof(Number), reinterpret_cast<const char*>(&number), sizeof(Number));
  return bytes;
}

/// "hello" as record a/data.pkl, as PyTorch 1.13 writes it: sizes and CRC-32 only behind the data.
std::string with_descriptor() {
  const std::string common = "\0\0\x08\x08\0\0\0\0\0\0"s;  // version, flags, method, time
  const std::string sums = "\x86\xA6\x10\x36\x05\0\0\0\x05\0\0\0"s;
  const std::string local = "PK\3\4"s + common + std::string(12, '\0') + "\x0A\0\0\0"s + "a/data.pkl" + "hello";
  const std::string descriptor = "PK\7\x08"s + sums;
  const std::string central =
      "PK\1\2\0\0"s + common + sums + "\x0A\0"s + std::string(12, '\0') + "\0\0\0\0"s + "a/data.pkl";
  const auto end = "PK\5\6\0\0\0\0\x01\0\x01\0"s + static_cast<char>(central.size()) + "\0\0\0"s +
                   static_cast<char>(local.size() + descriptor.size()) + "\0\0\0\0\0"s;
  return local + descriptor + central + end;
}

}  // namespace

TEST_CASE("Records of an archive are read back, with 32 and with 64 bits", "[unit]") {
  const std::uint64_t zip64_from = GENERATE(0xFFFFFFFF, 0, 100);
  const std::string bytes = two_records(zip64_from);
  CHECK((bytes.find("PK\6\6"s) != std::string::npos) == (zip64_from != 0xFFFFFFFF));
  with_archive(bytes, [&](ZipArchive& archive) {
    CHECK(archive.only_name_with_ending("/data.pkl") == "model/data.pkl");
    CHECK(archive.read("model/data.pkl") == "hello");
    CHECK(archive.read("model/data/0") == std::string(1000, 'x'));
    CHECK(archive.contains("model/data/0"));
    CHECK_FALSE(archive.contains("model/data/1"));
    // PyTorch's alignment, so that the file can be mapped into memory.
    CHECK((archive.read("model/data/0").data() - bytes.data()) % 64 == 0);
  });
  CHECK(two_records(zip64_from) == bytes);
}

TEST_CASE("Sizes behind the data, as PyTorch writes them, are understood and checked", "[unit]") {
  const std::string bytes = with_descriptor();
  with_archive(bytes, [](ZipArchive& archive) { CHECK(archive.read("a/data.pkl") == "hello"); });
  const std::size_t descriptor = bytes.find("PK\7\x08"s);
  refuses(with(bytes, descriptor + 4, std::uint8_t{0}), "data descriptor");
  refuses(with(bytes, descriptor + 8, std::uint8_t{6}), "data descriptor");
}

TEST_CASE("A comment at the end of an archive is no hindrance", "[unit]") {
  std::string bytes = with(two_records(), two_records().size() - 2, std::uint16_t{7});
  bytes += "comment";
  with_archive(bytes, [](ZipArchive& archive) { CHECK(archive.read("model/data.pkl") == "hello"); });
}

TEST_CASE("Damaged archives are refused by what is wrong", "[unit]") {
  const std::string good = two_records();
  const std::size_t central = good.find("PK\1\2"s);
  const std::size_t end = good.find("PK\5\6"s);
  refuses("", "cut");
  refuses("PK\3\4"s, "cut");
  refuses(good.substr(0, good.size() - 1), "cut");
  refuses(good + "x", "cut");
  refuses(with(good, end + 4, std::uint16_t{1}), "several");
  refuses(with(good, end + 10, std::uint16_t{9}), "not within");
  refuses(with(good, end + 10, std::uint16_t{1}), "shorter");
  refuses(with(good, end + 12, std::uint32_t{0xFFFF}), "not within");
  refuses(with(good, end + 16, std::uint32_t{0xFFFFFFF0}), "not within");
  refuses(with(good, central, 'X'), "missing or damaged");
  refuses(with(good, central + 28, std::uint16_t{0xFFFF}), "missing or damaged");
  refuses(with(good, central + 8, std::uint16_t{0x801}), "encrypted");
  refuses(with(good, central + 10, std::uint16_t{8}), "compressed");
  refuses(with(good, central + 20, std::uint32_t{4}), "two sizes");
  refuses(with(with(good, central + 20, std::uint32_t{4}), central + 24, std::uint32_t{4}), "disagrees");
  refuses(with(good, central + 42, std::uint32_t{0x7FFFFFFF}), "missing or damaged");
  refuses(with(good, 0, 'X'), "missing or damaged");
  refuses(with(good, 30, 'X'), "disagrees");
  refuses(with(good, good.find("hello"), 'H'), "CRC-32");
  refuses(with(good, central + 16, std::uint32_t{1}), "disagrees");
  std::string other = good;
  for (std::size_t at = other.find("data.pkl"); at != std::string::npos; at = other.find("data.pkl", at))
    other[at + 7] = 'x';
  refuses(other, "no record <folder>/data.pkl");

  ZipWriter twice;
  twice.add("model/data.pkl", "a");
  twice.add("model/data.pkl", "b");
  refuses(std::move(twice).finish(), "twice");
  ZipWriter both;
  both.add("a/data.pkl", "a");
  both.add("b/data.pkl", "b");
  refuses(std::move(both).finish(), "b/data.pkl");
  ZipWriter lacking;
  lacking.add("model/data.pkl", "a");
  refuses(std::move(lacking).finish(), "no record \"model/data/0\"");
  const std::string wide = two_records(0);
  refuses(with(wide, wide.find("PK\6\6"s) + 32, std::uint64_t{1} << 60U), "not within");
  refuses(with(wide, wide.find("PK\6\7"s) + 8, ~std::uint64_t{0}), "missing or damaged");
  refuses(with(wide, wide.find("PK\5\6"s) + 10, std::uint16_t{5}), "disagree");
}
