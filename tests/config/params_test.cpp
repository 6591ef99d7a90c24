#include <boost/hana/size.hpp>
#include <ivado/config/params.hpp>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "../catch.hpp"

using namespace ivado;
using Catch::Matchers::Contains;

namespace {

enum class Colour { red, dark_blue };

/// A class with a JSON form of its own: an interval as text "low..high".
struct Interval {
  int low = 0;
  int high = 1;
  static Interval from_json(const Json& json, const std::string& path) {
    const std::string text = ivado::from_json<std::string>(json, path);
    const auto dots = text.find("..");
    if (dots == std::string::npos) throw detail::value_error(path, json, "low..high");
    return {std::stoi(text.substr(0, dots)), std::stoi(text.substr(dots + 2))};
  }
  [[nodiscard]] Json to_json() const { return std::to_string(low) + ".." + std::to_string(high); }
  static Json schema() { return {{"type", "string"}}; }
  static std::string type_name() { return "interval"; }
};

struct Inner {
  double sigma_vox = 1.5;
  std::string label = "none";
  static constexpr auto fields() {
    return ivado::fields(field<"sigma_vox", &Inner::sigma_vox>("width of the blur, voxels", above(0)),
                         field<"label", &Inner::label>("a label"));
  }
};

struct Outer {
  bool is_on = false;
  int count = 3;
  std::uint8_t small = 7;
  std::int64_t big = -5;
  double rate = 0.25;
  std::string name = "x";
  Colour colour = Colour::dark_blue;
  std::optional<double> alpha;
  std::vector<std::string> words{"a", "b"};
  std::array<double, 3> spacing{1, 2, 3};
  std::vector<std::vector<int>> table;
  Inner inner;
  Interval interval;
  Json anything = Json::object();
  static constexpr auto fields() {
    return ivado::fields(
        field<"is_on", &Outer::is_on>("a switch"), field<"count", &Outer::count>("a number of things", at_least(1)),
        field<"small", &Outer::small>("a byte"), field<"big", &Outer::big>("a large number"),
        field<"rate", &Outer::rate>("a fraction", within(0, 1)), field<"name", &Outer::name>("a name"),
        field<"colour", &Outer::colour>("a colour"), field<"alpha", &Outer::alpha>("a parameter", above(0), at_most(2)),
        field<"words", &Outer::words>("some words"), field<"spacing", &Outer::spacing>("spacing, mm", above(0)),
        field<"table", &Outer::table>("rows of numbers", at_least(0), below(10)),
        field<"inner", &Outer::inner>("a struct in a struct"), field<"interval", &Outer::interval>("low..high"),
        field<"anything", &Outer::anything>("not looked into"));
  }
};

struct Honoured {
  int full = 1;
  int silent = 2;
  bool absent = false;
  std::optional<double> mixed;
  std::vector<int> parts;
  static constexpr auto fields() {
    return ivado::fields(field<"full", &Honoured::full>("works"),
                         field<"silent", &Honoured::silent>("does nothing", no_effect()),
                         field<"absent", &Honoured::absent>("cannot be had", missing("the hovercraft")),
                         field<"mixed", &Honoured::mixed>("0 is off", missing("mixing", 0)),
                         field<"parts", &Honoured::parts>("a list", missing("the list of parts")));
  }
};

struct Silent {
  int a = 1;
  int b = 2;
  static constexpr auto fields() {
    return ivado::fields(field<"a", &Silent::a>("first", no_effect()), field<"b", &Silent::b>("second", no_effect()));
  }
};

struct Nothing {
  static constexpr auto fields() { return ivado::fields(); }
};

/// Its keys are those of Inner, though its JSON form is its own.
struct Borrowed {
  using KeysOf = Inner;
  Json json = Json::object();
  static Borrowed from_json(const Json& json, const std::string&) { return {json}; }
  [[nodiscard]] Json to_json() const { return json; }
  static Json schema() { return {{"type", "object"}}; }
  static std::string type_name() { return "object"; }
};

struct Tree {
  Honoured honoured;
  Silent silent;
  Nothing nothing;
  std::optional<Borrowed> borrowed;
  Json open = Json::object();
  static constexpr auto fields() {
    return ivado::fields(field<"honoured", &Tree::honoured>("some"), field<"silent", &Tree::silent>("none"),
                         field<"nothing", &Tree::nothing>("no keys"),
                         field<"borrowed", &Tree::borrowed>("keys of Inner"), field<"open", &Tree::open>("any keys"));
  }
};

struct Ordered {
  int low = 1;
  int high = 2;
  static constexpr auto fields() {
    return ivado::fields(field<"low", &Ordered::low>("least"), field<"high", &Ordered::high>("most", required()));
  }
  void check(const std::string& path) const {
    if (low > high) throw usage_error("reading the configuration key " + path, "low is above high");
  }
};

struct Holder {
  Ordered range;
  static constexpr auto fields() { return ivado::fields(field<"range", &Holder::range>("a range")); }
};

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

template <>
struct ivado::EnumNames<Colour> {
  static constexpr std::array values{std::pair{std::string_view{"red"}, Colour::red},
                                     std::pair{std::string_view{"dark_blue"}, Colour::dark_blue}};
};

TEST_CASE("Params: JSON written is JSON read") {
  Outer a;
  a.is_on = true;
  a.count = 11;
  a.small = 255;
  a.big = std::numeric_limits<std::int64_t>::min();
  a.rate = 1.0 / 3;
  a.name = "zwölf \"q\"";
  a.colour = Colour::red;
  a.alpha = 1.25;
  a.words = {};
  a.spacing = {0.75, 0.5, 5};
  a.table = {{1}, {}, {2, 3}};
  a.inner = {0.1, "label"};
  a.interval = {-3, 9};
  a.anything = Json{{"z", 1}, {"a", Json::array({nullptr, true})}};
  const Json json = to_json(a);
  const auto b = from_json<Outer>(Json::parse(json.dump()), "");
  CHECK(to_json(b).dump() == json.dump());
  CHECK(same(a, b));
  CHECK_FALSE(same(a, Outer{}));
  CHECK(b.big == std::numeric_limits<std::int64_t>::min());
  CHECK(b.rate == 1.0 / 3);
  CHECK(b.colour == Colour::red);
  CHECK(b.table == std::vector<std::vector<int>>{{1}, {}, {2, 3}});
  CHECK(b.interval.low == -3);
}

TEST_CASE("Params: the defaults are written in the order of the fields") {
  CHECK(to_json(Outer{}).dump() ==
        R"({"is_on":false,"count":3,"small":7,"big":-5,"rate":0.25,"name":"x","colour":"dark_blue","alpha":null,)"
        R"("words":["a","b"],"spacing":[1.0,2.0,3.0],"table":[],"inner":{"sigma_vox":1.5,"label":"none"},)"
        R"("interval":"0..1","anything":{}})");
  CHECK(to_json(Nothing{}).dump() == "{}");
}

TEST_CASE("Params: absent keys keep their default, in inner structs too; lists are replaced whole") {
  const auto p = from_json<Outer>(Json::parse(R"({"count": 9, "inner": {"label": "y"}, "words": ["c"]})"), "");
  Outer expected;
  expected.count = 9;
  expected.inner.label = "y";
  expected.words = {"c"};
  CHECK(same(p, expected));
  CHECK(p.inner.sigma_vox == 1.5);
  CHECK(same(from_json<Outer>(Json::object(), ""), Outer{}));
}

TEST_CASE("Params: an unknown key is an error with its path and the nearest key") {
  CHECK_THROWS_WITH(from_json<Outer>(Json{{"cuont", 1}}, ""),
                    Contains("configuration key cuont:") && Contains("no such key") && Contains("\"count\""));
  CHECK_THROWS_WITH(from_json<Outer>(Json{{"inner", {{"sigma", 1}}}}, "a.b"),
                    Contains("a.b.inner.sigma:") && Contains("did you mean \"sigma_vox\"?"));
  CHECK_THROWS_WITH(from_json<Nothing>(Json{{"thr", 1}}, "keep_largest"),
                    Contains("keep_largest.thr") && Contains("no keys here"));
  try {
    (void)from_json<Outer>(Json{{"cuont", 1}}, "");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.exit_status() == 2);
  }
}

TEST_CASE("Params: a wrong type is an error with path, value and what was expected") {
  struct Wrong {
    const char* json;
    const char* path;
    const char* expected;
  };
  const auto wrong = GENERATE(values<Wrong>({
      {R"({"is_on": 1})", "p.is_on", "true or false"},
      {R"({"is_on": null})", "p.is_on", "found null"},
      {R"({"count": 2.5})", "p.count", "a whole number"},
      {R"({"count": "2"})", "p.count", "found \"2\", expected a whole number"},
      {R"({"count": true})", "p.count", "a whole number"},
      {R"({"rate": "0.5"})", "p.rate", "a number"},
      {R"({"name": 3})", "p.name", "text"},
      {R"({"colour": "dark_bleu"})", "p.colour", "one of \"red\", \"dark_blue\"; did you mean \"dark_blue\"?"},
      {R"({"colour": 1})", "p.colour", "one of"},
      {R"({"alpha": "none"})", "p.alpha", "a number"},
      {R"({"words": "a"})", "p.words", "a list"},
      {R"({"words": ["a", 1]})", "p.words[1]", "text"},
      {R"({"spacing": [1, 2]})", "p.spacing", "a list of 3 values"},
      {R"({"spacing": [1, 2, "3"]})", "p.spacing[2]", "a number"},
      {R"({"table": [[1], 2]})", "p.table[1]", "a list"},
      {R"({"inner": 1})", "p.inner", "an object"},
      {R"({"inner": {"sigma_vox": []}})", "p.inner.sigma_vox", "a number"},
      {R"({"interval": "3"})", "p.interval", "low..high"},
      {R"([1])", "p", "an object"},
  }));
  INFO(wrong.json);
  CHECK_THROWS_WITH(from_json<Outer>(Json::parse(wrong.json), "p"),
                    Contains(std::string("key ") + wrong.path + ":") && Contains(wrong.expected));
}

TEST_CASE("Params: a long value is cut in the message") {
  Json list = Json::array();
  for (int i = 0; i < 100; ++i) list.push_back(i);
  CHECK_THROWS_WITH(from_json<Outer>(Json{{"name", list}}, ""),
                    Contains("...") && Contains("[0,1,2") && !Contains("99"));
}

TEST_CASE("Params: whole numbers that do not fit are errors, and none wraps") {
  CHECK(from_json<int>(Json(2147483647), "k") == 2147483647);
  CHECK_THROWS_WITH(from_json<int>(Json(2147483648), "k"), Contains("a smaller number"));
  CHECK_THROWS_WITH(from_json<int>(Json(-2147483649), "k"), Contains("a larger number"));
  CHECK(from_json<std::uint8_t>(Json(255), "k") == 255);
  CHECK_THROWS_WITH(from_json<std::uint8_t>(Json(256), "k"), Contains("a smaller number"));
  CHECK_THROWS_WITH(from_json<std::uint8_t>(Json(-1), "k"), Contains(">= 0"));
  CHECK(from_json<std::int64_t>(Json::parse("9223372036854775807"), "k") == std::numeric_limits<std::int64_t>::max());
  CHECK_THROWS_AS(from_json<std::int64_t>(Json::parse("9223372036854775808"), "k"), Error);
  CHECK(from_json<std::uint64_t>(Json::parse("18446744073709551615"), "k") ==
        std::numeric_limits<std::uint64_t>::max());
  CHECK_THROWS_AS(from_json<std::uint64_t>(Json::parse("18446744073709551616"), "k"),
                  Error);  // JSON reads it as a float
  CHECK_THROWS_AS(from_json<std::int64_t>(Json(9.3e18), "k"), Error);
  CHECK(from_json<int>(Json(18.0), "k") == 18);
  CHECK(from_json<std::int64_t>(Json(-9.223372036854775808e18), "k") == std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("Params: limits hold for numbers, options, lists and lists of lists, with their ends as said") {
  const auto read = [](const char* text) { return from_json<Outer>(Json::parse(text), "p"); };
  CHECK(read(R"({"count": 1})").count == 1);
  CHECK_THROWS_WITH(read(R"({"count": 0})"), Contains("p.count") && Contains("found 0") && Contains("a value >= 1"));
  CHECK(read(R"({"rate": 0})").rate == 0);
  CHECK(read(R"({"rate": 1})").rate == 1);
  CHECK_THROWS_WITH(read(R"({"rate": 1.0000001})"), Contains("in [0, 1]"));
  CHECK_THROWS_WITH(read(R"({"rate": -0.1})"), Contains("in [0, 1]"));
  CHECK(read(R"({"alpha": 2})").alpha == 2.0);
  CHECK(read(R"({"alpha": null})").alpha == std::nullopt);
  CHECK_THROWS_WITH(read(R"({"alpha": 0})"), Contains("in (0, 2]"));
  CHECK_THROWS_WITH(read(R"({"spacing": [1, 0, 1]})"), Contains("p.spacing") && Contains("> 0"));
  CHECK(read(R"({"table": [[0, 9]]})").table.front().back() == 9);
  CHECK_THROWS_WITH(read(R"({"table": [[0], [10]]})"), Contains("in [0, 10)"));
  CHECK_THROWS_WITH(read(R"({"inner": {"sigma_vox": 0}})"), Contains("p.inner.sigma_vox") && Contains("> 0"));

  Rule rule;
  CHECK(detail::limits_text(rule).empty());
  below(0.5)(rule);
  CHECK(detail::limits_text(rule) == "< 0.5");
  CHECK_THROWS_AS(detail::check_limits(std::numeric_limits<double>::quiet_NaN(), rule, "k"), Error);
}

TEST_CASE("Params: a required key must be given, and fields may be checked together") {
  CHECK_THROWS_WITH(from_json<Ordered>(Json::object(), "r"),
                    Contains("r.high") && Contains("missing") && Contains("most"));
  CHECK(from_json<Ordered>(Json{{"high", 1}}, "r").high == 1);
  CHECK_THROWS_WITH(from_json<Holder>(Json{{"range", {{"low", 3}, {"high", 2}}}}, ""),
                    Contains("key range: low is above high"));
  CHECK_NOTHROW(from_json<Holder>(Json::object(), ""));
}

TEST_CASE("Params: a key of a part that is not built is an error that names the part, unless it asks for nothing") {
  const auto read = [](const char* text) { return from_json<Honoured>(Json::parse(text), "s"); };
  CHECK_THROWS_WITH(read(R"({"absent": true})"), Contains("s.absent") &&
                                                     Contains("the hovercraft does not exist in ivado yet") &&
                                                     Contains("set it to false"));
  CHECK_THROWS_WITH(read(R"({"mixed": 0.4})"), Contains("s.mixed") && Contains("set it to null"));
  CHECK_THROWS_WITH(read(R"({"parts": [0]})"), Contains("the list of parts"));
  CHECK_NOTHROW(read(R"({"absent": false, "mixed": null, "parts": []})"));
  CHECK(read(R"({"mixed": 0})").mixed == 0.0);
  CHECK(read(R"({"silent": 9})").silent == 9);  // accepted; inspect_keys tells of it
}

TEST_CASE("Params: inspect_keys finds what is unknown and what has no effect, a silent section as one") {
  const auto report = inspect_keys<Tree>(Json::parse(R"({
    "honoured": {"silent": 1, "full": 2, "sillent": 3},
    "silent": {"a": 1, "c": 2},
    "nothing": {"x": 1},
    "borrowed": {"label": "l", "lable": 1},
    "open": {"whatever": {"deep": 1}},
    "tree": 4
  })"));
  CHECK(report.unknown ==
        std::vector<std::string>{"honoured.sillent", "silent.c", "nothing.x", "borrowed.lable", "tree"});
  CHECK(report.without_effect == std::vector<std::string>{"honoured.silent", "silent"});
  CHECK(inspect_keys<Tree>(Json::parse(R"({"honoured": 3, "borrowed": null})")).unknown.empty());
  CHECK(inspect_keys<Silent>(Json{{"b", 1}}, "w").without_effect == std::vector<std::string>{"w.b"});
}

TEST_CASE("Params: keys, key_paths and keep_keys_of") {
  CHECK(keys<Inner>() == std::vector<std::string>{"sigma_vox", "label"});
  CHECK(keys<Nothing>().empty());
  CHECK(key_paths<Tree>("t") ==
        std::vector<std::string>{"t.honoured", "t.honoured.full", "t.honoured.silent", "t.honoured.absent",
                                 "t.honoured.mixed", "t.honoured.parts", "t.silent", "t.silent.a", "t.silent.b",
                                 "t.nothing", "t.borrowed", "t.borrowed.sigma_vox", "t.borrowed.label", "t.open"});
  CHECK(keep_keys_of<Inner>(Json::parse(R"({"label": "l", "x": 1, "sigma_vox": 2})")).dump() ==
        R"({"label":"l","sigma_vox":2})");
}

TEST_CASE("Params: the schema has types, defaults, limits and meanings") {
  const Json s = schema<Outer>();
  CHECK(s["type"] == "object");
  CHECK(s["additionalProperties"] == false);
  CHECK_FALSE(s.contains("required"));
  const Json& p = s["properties"];
  CHECK(p["is_on"] == Json::parse(R"({"type": "boolean", "description": "a switch", "default": false})"));
  CHECK(p["count"] ==
        Json::parse(R"({"type": "integer", "minimum": 1, "description": "a number of things", "default": 3})"));
  CHECK(p["rate"]["minimum"] == 0);
  CHECK(p["rate"]["maximum"] == 1);
  CHECK(p["colour"]["enum"] == Json::array({"red", "dark_blue"}));
  CHECK(p["alpha"]["anyOf"][0] == Json::parse(R"({"type": "number", "exclusiveMinimum": 0, "maximum": 2})"));
  CHECK(p["alpha"]["anyOf"][1] == Json::parse(R"({"type": "null"})"));
  CHECK(p["spacing"]["minItems"] == 3);
  CHECK(p["spacing"]["maxItems"] == 3);
  CHECK(p["spacing"]["items"]["exclusiveMinimum"] == 0);
  CHECK(p["table"]["items"]["items"] == Json::parse(R"({"type": "integer", "minimum": 0, "exclusiveMaximum": 10})"));
  CHECK_FALSE(p["table"].contains("minimum"));
  CHECK(p["inner"]["properties"]["sigma_vox"]["default"] == 1.5);
  CHECK(p["interval"]["default"] == "0..1");
  const Json defaults = to_json(Outer{});
  for (const auto& item : p.items()) CHECK(item.value()["default"] == defaults[item.key()]);
  CHECK(p.size() == defaults.size());

  CHECK(schema<Ordered>()["required"] == Json::array({"high"}));
  CHECK_FALSE(schema<Ordered>()["properties"]["high"].contains("default"));
  CHECK_THAT(schema<Honoured>()["properties"]["absent"]["description"].get<std::string>(), Contains("the hovercraft"));
}

TEST_CASE("Params: help and key reference list each leaf once, with type, default, limits and meaning") {
  std::ostringstream help;
  print_help<Outer>(help, "top");
  const std::string reference = key_reference<Outer>("top");
  std::size_t leaves = 0;
  for_each_leaf<Outer>(
      [&](const std::string& path, const auto& f, const auto&) {
        ++leaves;
        CHECK(count_of(help.str(), "  " + path + "  (") == 1);
        CHECK(count_of(reference, "| `" + path + "` |") == 1);
        CHECK_THAT(help.str(), Contains(std::string(f.doc)));
      },
      "top");
  CHECK(leaves == 15);  // 14 fields, of which one is a struct of two
  CHECK(count_of(reference, "\n") == 2 + leaves);
  CHECK_THAT(help.str(),
             Contains("top.inner.sigma_vox  (number, > 0, default 1.5)\n      width of the blur, voxels\n"));
  CHECK_THAT(help.str(), Contains("top.colour  (one of red, dark_blue, default \"dark_blue\")"));
  CHECK_THAT(reference, Contains("| `top.spacing` | 3 × number | `[1.0,2.0,3.0]` | > 0 | spacing, mm |"));
  CHECK_THAT(reference, Contains("| `top.alpha` | number or null | `null` | in (0, 2] | a parameter |"));
  CHECK_THAT(key_reference<Ordered>(), Contains("| `high` | whole number | required |"));
  CHECK_THAT(key_reference<Honoured>(), Contains("does nothing (accepted, without effect in ivado)"));
  CHECK_THAT(key_reference<Honoured>(), Contains("cannot be had (not in ivado yet: the hovercraft)"));
}

TEST_CASE("Params: types are named as people say them") {
  CHECK(type_name<std::vector<std::vector<int>>>() == "list of list of whole number");
  CHECK(type_name<std::optional<std::string>>() == "text or null");
  CHECK(type_name<bool>() == "true or false");
  CHECK(type_name<Interval>() == "interval");
  CHECK(type_name<Inner>() == "object");
  CHECK(enum_name(Colour::red) == "red");
}

TEST_CASE("Params: a reflected struct is a Boost.Hana Struct") {
  static_assert(hana::Struct<Inner>::value);
  const Inner a{2.5, "a"};
  CHECK(hana::equal(a, Inner{2.5, "a"}));
  CHECK_FALSE(hana::equal(a, Inner{2.5, "b"}));
  CHECK((hana::members(a) == hana::make_tuple(2.5, std::string("a"))));
  std::string names;
  hana::for_each(a, [&](const auto& pair) { names += std::string(hana::first(pair).c_str()) + " "; });
  CHECK(names == "sigma_vox label ");
  CHECK(decltype(hana::size(Outer::fields()))::value == 14);
}
