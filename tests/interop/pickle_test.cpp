// Pickles: every operation gives the value that Python's pickle gives, and nothing malformed or greedy is read.
#include <cstdint>
#include <ivado/interop/pickle.hpp>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "python_bytes.hpp"

using Catch::Matchers::Contains;
using namespace std::string_literals;
using ivado::Error;
using ivado::Pickle;
using Kind = ivado::PickleKind;
using test::Pickler;

namespace {

/// Reads a pickle made of these operations; bytes and tree live as long as this.
struct Reading {
  std::string bytes;
  ivado::nn::MemoryLimit memory;
  Pickle pickle;

  explicit Reading(std::string content)
      : bytes(std::move(content)), memory("reading a test", bytes.size()), pickle(bytes, "reading a test", memory) {}
  [[nodiscard]] ivado::PickleValue root() const { return pickle.root(); }
};

/// The kinds of the elements of the root.
std::vector<Kind> kinds(const Reading& reading) {
  std::vector<Kind> out;
  for (const auto value : reading.pickle.items(reading.root())) out.push_back(value.kind);
  return out;
}

}  // namespace

TEST_CASE("Numbers and texts of a pickle are those that Python wrote", "[unit]") {
  // pickle.dumps([None, True, False, 5, 300, -2, 2**40, -3, 0.5, "ä", b"xy"], 4), and by hand what that lacks.
  const Reading read("\x80\x04](N\x88\x89K\x05M\x2C\x01J\xFE\xFF\xFF\xFF\x8A\x06\0\0\0\0\0\x01\x8A\x01\xFD"s +
                     "G\x3F\xE0\0\0\0\0\0\0\x8C\x02\xC3\xA4"s + "C\x02xyI12\nI01\nX\x01\0\0\0zU\x01q\x8B\0\0\0\0e."s);
  const auto items = read.pickle.items(read.root());
  REQUIRE(items.size() == 16);
  CHECK(items[0].kind == Kind::none);
  CHECK((items[1].kind == Kind::boolean && items[1].integer() == 1));
  CHECK((items[2].kind == Kind::boolean && items[2].integer() == 0));
  const std::vector<std::int64_t> integers{5, 300, -2, std::int64_t{1} << 40, -3};
  for (std::size_t i = 0; i < integers.size(); ++i) {
    CHECK(items[3 + i].kind == Kind::integer);
    CHECK(items[3 + i].integer() == integers[i]);
  }
  CHECK((items[8].kind == Kind::real && items[8].real() == 0.5));
  CHECK((items[9].kind == Kind::text && read.pickle.text(items[9]) == "\xC3\xA4"));
  CHECK((items[10].kind == Kind::bytes && read.pickle.text(items[10]) == "xy"));
  CHECK((items[11].kind == Kind::integer && items[11].integer() == 12));
  CHECK((items[12].kind == Kind::boolean && items[12].integer() == 1));
  CHECK(read.pickle.text(items[13]) == "z");
  CHECK(read.pickle.text(items[14]) == "q");
  CHECK((items[15].kind == Kind::integer && items[15].integer() == 0));
  CHECK(read.pickle.size() == read.bytes.size());
}

TEST_CASE("An integer of more than 64 bits keeps its bytes", "[unit]") {
  const Reading read(
      "\x80\x02\x8A\x0A"
      "0123456789."s);
  CHECK(read.root().kind == Kind::big_integer);
  CHECK(read.pickle.text(read.root()) == "0123456789");
}

TEST_CASE("Containers are read in every spelling", "[unit]") {
  const Reading read("\x80\x04](" + ")K\x01\x85K\x01K\x02\x86K\x01K\x02K\x03\x87(K\x01K\x02K\x03K\x04t"s +
                     "(K\x01K\x02l(K\x01K\x02"
                     "d}K\x01K\x02s}(K\x01K\x02u]K\x01"
                     "a\x8F(K\x01\x90(K\x01K\x02\x91"
                     "e."s);
  CHECK(kinds(read) == std::vector<Kind>{Kind::tuple, Kind::tuple, Kind::tuple, Kind::tuple, Kind::tuple, Kind::list,
                                         Kind::dict, Kind::dict, Kind::dict, Kind::list, Kind::set, Kind::set});
  const std::vector<std::size_t> sizes{0, 1, 2, 3, 4, 2, 2, 2, 2, 1, 1, 2};
  const auto items = read.pickle.items(read.root());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    INFO(i);
    const auto inner = read.pickle.items(items[i]);
    REQUIRE(inner.size() == sizes[i]);
    for (std::size_t k = 0; k < inner.size(); ++k) CHECK(inner[k].integer() == static_cast<std::int64_t>(k + 1));
  }
}

TEST_CASE("Objects are names with arguments and state, and nothing is called", "[unit]") {
  const Reading read(Pickler()
                         .op("(")
                         .global("os", "system")
                         .op("(")
                         .text("exit 1")
                         .op("tR")
                         .text("pathlib")
                         .text("Path")
                         .op("\x93)\x81}")
                         .text("a")
                         .op("K\x07sb")
                         .ordered_dict()
                         .text("k")
                         .op("K\x08s)Qt")
                         .done());
  const auto items = read.pickle.items(read.root());
  REQUIRE(items.size() == 4);
  const auto call = read.pickle.object(items[0]);
  CHECK(read.pickle.global(call.callee) == ivado::PickleGlobal{"os", "system"});
  CHECK(read.pickle.text(read.pickle.items(call.arguments)[0]) == "exit 1");
  CHECK_FALSE(call.state.is_some());
  const auto made = read.pickle.object(items[1]);
  CHECK(read.pickle.global(made.callee) == ivado::PickleGlobal{"pathlib", "Path"});
  CHECK(read.pickle.items(made.state)[1].integer() == 7);
  const auto pairs = read.pickle.items(read.pickle.object(items[2]).items);
  REQUIRE(pairs.size() == 2);
  CHECK(read.pickle.is_text(pairs[0], "k"));
  CHECK(pairs[1].integer() == 8);
  CHECK(items[3].kind == Kind::persistent);
  CHECK(read.pickle.identifier(items[3]).kind == Kind::tuple);
  CHECK(read.pickle.identifiers().size() == 1);
}

TEST_CASE("The memo shares values, in cycles as well", "[unit]") {
  const Reading shared(
      "\x80\x02(]q\0h\0h\0K\x05"
      "at."s);
  const auto items = shared.pickle.items(shared.root());
  REQUIRE(items.size() == 3);
  CHECK(shared.pickle.items(items[0]).size() == 1);
  CHECK(items[0].bits == items[2].bits);
  const Reading cycle(
      "\x80\x04]\x94h\0"
      "a."s);
  CHECK(cycle.pickle.items(cycle.root())[0].bits == cycle.root().bits);
  const Reading numbered(
      "\x80\x02K\x09r\x02\0\0\0"
      "0j\x02\0\0\0."s);
  CHECK(numbered.root().integer() == 9);
}

TEST_CASE("A hundred bytes do not grow to gigabytes", "[unit]") {
  // Each list holds the one before it twice: 2^200 leaves if anything were copied.
  std::string doubling =
      "\x80\x02]q\0"
      "0"s;
  for (char i = 0; i < 100; ++i) doubling += "](h"s + i + "h"s + i + "eq"s + static_cast<char>(i + 1) + "0"s;
  const Reading read(doubling + "h\x64.");
  CHECK(read.pickle.items(read.root()).size() == 2);
}

TEST_CASE("A pickle nested as deep as memory allows is read and freed without recursion", "[unit]") {
  std::string nested = "\x80\x02)"s;
  nested.append(5'000, '\x85');
  CHECK(Reading(nested + ".").pickle.items(Reading(nested + ".").root()).empty() == false);
  nested.append(10'000'000, '\x85');
  CHECK_THROWS_WITH(Reading(nested + "."), Contains("memory"));
}

TEST_CASE("Malformed pickles are refused by what is wrong", "[unit]") {
  const auto refuses = [](const std::string& content, const std::string& word) {
    INFO(content);
    try {
      const Reading reading(content);
      FAIL("a malformed pickle was read");
    } catch (const Error& error) {
      CHECK(error.exit_status() == 3);
      CHECK_THAT(error.what(), Contains("reading a test") && Contains(word));
    }
  };
  refuses("", "ends too early");
  refuses("\x80\x02", "ends too early");
  refuses("\x80\x01.", "protocol 1");
  refuses("\x80\x06.", "protocol 6");
  refuses("\x80\x04\x95\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7FN."s, "ends too early");
  refuses("X\xFF\xFF\xFF\xFFhello."s, "ends too early");
  refuses("\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFhello."s, "4 GiB");
  refuses("\x8B\xFF\xFF\xFF\xFF."s, "negative length");
  refuses(".", "a value is missing");
  refuses("NN.", "left over");
  refuses("(N.", "left over");
  refuses("0.", "a value is missing");
  refuses("t.", "mark is missing");
  refuses("N(a.", "a value is missing");
  refuses("(N(e.", "cannot hold");
  refuses("NNa.", "cannot hold");
  refuses("]NNs.", "cannot hold");
  refuses("(e.", "a value is missing");
  refuses("}(Nu.", "key without a value");
  refuses("(Nd.", "key without a value");
  refuses("]Nb.", "no object");
  refuses("ca\nb\nNR.", "no tuple");
  refuses("N)R.", "no function");
  refuses("ca\nb.", "no end");
  refuses("NN\x93.", "no text");
  refuses("h\0."s, "not there yet");
  refuses("Nr\xFF\xFF\xFF\xFF."s, "too large");
  refuses("I1x\n.", "no digits");
  refuses("S'text'\n.", "operation 83 is unknown");
}
