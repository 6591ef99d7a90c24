// Params: one description of a struct's fields gives JSON in and out, range checks, schema, help and the key reference.
//
// A policy describes its parameters once:
//
//   struct Params {
//     double hspace = 1;
//     static constexpr auto fields() {
//       return ivado::fields(ivado::field<"hspace", &Params::hspace>("target spacing along H, mm", above(0)));
//     }
//   };
//
// Any such struct is a Boost.Hana Struct: hana::for_each, hana::members, hana::equal … work on it.
#pragma once

#include <algorithm>
#include <array>
#include <boost/hana/accessors.hpp>
#include <boost/hana/concat.hpp>
#include <boost/hana/equal.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/members.hpp>
#include <boost/hana/pair.hpp>
#include <boost/hana/string.hpp>
#include <boost/hana/transform.hpp>
#include <boost/hana/tuple.hpp>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../inline.hpp"
#include "json.hpp"

namespace ivado {

namespace hana = boost::hana;

/// Text as a template argument.
template <std::size_t N>
struct FixedString {
  char characters[N]{};
  constexpr FixedString(const char (&text)[N]) {
    for (std::size_t i = 0; i < N; ++i) characters[i] = text[i];
  }
  [[nodiscard]] constexpr std::string_view view() const { return {characters, N - 1}; }
};

/// How far ivado honours a key.
enum class Support {
  full,       ///< it does what its description says
  no_effect,  ///< valid in ivadomed's files, without effect here: listed in one warning
  missing,    ///< not built yet: any other value than the default is an error that names the part
};

/// The limits of a field.
struct Rule {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool open_min = false;  ///< `min` itself is not allowed
  bool open_max = false;  ///< `max` itself is not allowed
  bool required = false;  ///< the key must be given
  Support support = Support::full;
  std::string_view part{};  ///< for Support::missing: the part that does not exist yet
  double also_off = std::numeric_limits<double>::quiet_NaN();  ///< for Support::missing: a number that asks for nothing
};

/// Values ≥ `value`; for lists, of each element.
[[nodiscard]] constexpr auto at_least(double value) {
  return [value](Rule& rule) { rule.min = value; };
}
/// Values ≤ `value`; for lists, of each element.
[[nodiscard]] constexpr auto at_most(double value) {
  return [value](Rule& rule) { rule.max = value; };
}
/// Values > `value`; for lists, of each element.
[[nodiscard]] constexpr auto above(double value) {
  return [value](Rule& rule) { rule.min = value, rule.open_min = true; };
}
/// Values < `value`; for lists, of each element.
[[nodiscard]] constexpr auto below(double value) {
  return [value](Rule& rule) { rule.max = value, rule.open_max = true; };
}
/// low ≤ values ≤ high; for lists, of each element.
[[nodiscard]] constexpr auto within(double low, double high) {
  return [low, high](Rule& rule) { rule.min = low, rule.max = high; };
}
/// The key must be given.
[[nodiscard]] constexpr auto required() {
  return [](Rule& rule) { rule.required = true; };
}
/// The key is valid in ivadomed's files and has no effect here.
[[nodiscard]] constexpr auto no_effect() {
  return [](Rule& rule) { rule.support = Support::no_effect; };
}
/// The part that the key belongs to is not built yet.
[[nodiscard]] constexpr auto missing(std::string_view part) {
  return [part](Rule& rule) { rule.support = Support::missing, rule.part = part; };
}
/// The same for an optional number of which `also_off` asks for nothing either, as null does.
[[nodiscard]] constexpr auto missing(std::string_view part, double also_off) {
  return [part, also_off](Rule& rule) { rule.support = Support::missing, rule.part = part, rule.also_off = also_off; };
}

/// The description of one member: its key in JSON, what it means, its limits.
template <FixedString Key, auto Member>
struct Field {
  std::string_view doc;
  Rule rule;

  /// Key in JSON.
  static constexpr std::string_view key = Key.view();
  /// The member of an object, constant or not.
  template <class Object>
  [[nodiscard]] static constexpr auto& of(Object& object) {
    return object.*Member;
  }
  /// Name and accessor as Boost.Hana's Struct concept wants them.
  [[nodiscard]] static constexpr auto accessor() {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return hana::make_pair(hana::string_c<Key.characters[I]...>, [](auto&& object) -> decltype(auto) {
        return (std::forward<decltype(object)>(object).*Member);
      });
    }
    (std::make_index_sequence<Key.view().size()>{});
  }
};

/// Describes the member `Member` under the key `Key`.
/// @param doc    what it means, with its unit
/// @param rules  limits: `at_least(0)`, `required()` …
template <FixedString Key, auto Member, class... Rules>
[[nodiscard]] constexpr auto field(std::string_view doc, Rules... rules) {
  Field<Key, Member> result{doc, {}};
  (rules(result.rule), ...);
  return result;
}

/// The fields of a struct in order.
template <class... Fields>
[[nodiscard]] constexpr auto fields(Fields... all) {
  return hana::make_tuple(all...);
}

/// A struct that describes its fields.
///
/// It may also have `void check(const std::string& path) const`, called once its fields are read: rules that bind
/// several fields, thrown as Error (usage). `path` is the key path of the struct.
template <class T>
concept Reflected = std::default_initializable<T> && requires {
  T::fields();
};

/// A class that brings its own JSON form: a chain of transforms, a choice made at run time.
///
/// `static T from_json(const Json&, const std::string& path)`, `Json to_json() const`, `static Json schema()`,
/// `static std::string type_name()`. A class whose keys are those of a reflected struct says so with `using KeysOf =
/// TheStruct;`: they are then known to `inspect_keys` and `key_paths`.
template <class T>
concept SelfDescribing = requires(const T& object, const Json& json, const std::string& path) {
  { T::from_json(json, path) } -> std::convertible_to<T>;
  { object.to_json() } -> std::convertible_to<Json>;
  { T::schema() } -> std::convertible_to<Json>;
  { T::type_name() } -> std::convertible_to<std::string>;
};

}  // namespace ivado

namespace boost::hana {
/// Every reflected struct of ivado is a Hana Struct.
template <class T>
struct accessors_impl<T, when<ivado::Reflected<T>>> {
  static constexpr auto apply() {
    return hana::transform(T::fields(), [](auto field) { return decltype(field)::accessor(); });
  }
};
}  // namespace boost::hana

namespace ivado {

/// The names of an enumeration's values in JSON: specialise with
/// `static constexpr std::array values{std::pair{std::string_view{"axial"}, Axis::axial}, …};`
template <class E>
struct EnumNames;

/// An enumeration with names.
template <class E>
concept NamedEnum = std::is_enum_v<E> && requires {
  EnumNames<E>::values;
};

/// The name of an enumeration's value.
template <NamedEnum E>
[[nodiscard]] constexpr std::string_view enum_name(E value) {
  for (const auto& [name, candidate] : EnumNames<E>::values)
    if (candidate == value) return name;
  return "?";
}

template <class T>
[[nodiscard]] T from_json(const Json& json, const std::string& path);
template <class T>
[[nodiscard]] Json to_json(const T& value);
template <class T>
[[nodiscard]] Json schema();
template <class T>
[[nodiscard]] std::string type_name();

namespace detail {

/// The fields of a struct, built once.
template <Reflected T>
inline constexpr auto fields_of = T::fields();

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_std_array = false;
template <class T, std::size_t N>
inline constexpr bool is_std_array<std::array<T, N>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

[[nodiscard]] IVADO_INLINE Error value_error(const std::string& path, const Json& found, const std::string& expected) {
  std::string text = found.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return usage_error("reading the configuration key " + path, "found " + text + ", expected " + expected);
}

[[nodiscard]] IVADO_INLINE std::string number_text(double value) {
  return Json(value == std::floor(value) && std::abs(value) < 1e15 ? Json(static_cast<std::int64_t>(value))
                                                                   : Json(value))
      .dump();
}

/// "> 0", "in [0, 1]", … or empty where there is no limit.
[[nodiscard]] IVADO_INLINE std::string limits_text(const Rule& rule) {
  const bool low = std::isfinite(rule.min);
  const bool high = std::isfinite(rule.max);
  if (low && high)
    return std::string("in ") + (rule.open_min ? "(" : "[") + number_text(rule.min) + ", " + number_text(rule.max) +
           (rule.open_max ? ")" : "]");
  if (low) return (rule.open_min ? "> " : ">= ") + number_text(rule.min);
  if (high) return (rule.open_max ? "< " : "<= ") + number_text(rule.max);
  return {};
}

template <class T>
void check_limits(const T& value, const Rule& rule, const std::string& path) {
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    const auto v = static_cast<double>(value);
    const bool inside =
        (rule.open_min ? v > rule.min : v >= rule.min) && (rule.open_max ? v < rule.max : v <= rule.max);
    if (!inside) throw value_error(path, Json(value), "a value " + limits_text(rule));
  } else if constexpr (is_optional<T>) {
    if (value) check_limits(*value, rule, path);
  } else if constexpr (is_vector<T> || is_std_array<T>) {
    for (const auto& element : value) check_limits(element, rule, path);
  }
}

/// The error of a key that asks for a part which is not built yet.
[[nodiscard]] IVADO_INLINE Error missing_error(const std::string& path, const std::string& part,
                                               const std::string& remedy) {
  return usage_error("reading the configuration key " + path, part + " does not exist in ivado yet", remedy);
}

/// True if the value is the number that means "off" beside the default.
template <class T>
[[nodiscard]] bool is_also_off(const T& value, const Rule& rule) {
  if constexpr (is_optional<T>) {
    return value && is_also_off(*value, rule);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<double>(value) == rule.also_off;
  } else {
    return false;
  }
}

[[nodiscard]] IVADO_NOINLINE std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

// What does not depend on the type of a field stands here once, and not in every instance of the templates below.

[[nodiscard]] IVADO_NOINLINE Error unknown_key_error(const std::string& path, std::string_view key,
                                                     const std::vector<std::string>& valid) {
  const std::string nearest_key = nearest(key, valid);
  return usage_error("reading the configuration key " + join_path(path, key), "there is no such key",
                     nearest_key.empty() ? "there are no keys here" : "did you mean \"" + nearest_key + "\"?");
}

IVADO_NOINLINE void refuse_unknown_keys(const Json& json, const std::string& path,
                                        const std::vector<std::string>& valid) {
  if (!json.is_object()) throw value_error(path, json, "an object");
  for (const auto& item : json.items())
    if (std::find(valid.begin(), valid.end(), item.key()) == valid.end())
      throw unknown_key_error(path, item.key(), valid);
}

/// The value of a key; null where it is not there.
/// @throws Error (usage) if it must be there
[[nodiscard]] IVADO_NOINLINE const Json* find_key(const Json& json, std::string_view key, std::string_view doc,
                                                  bool required, const std::string& path) {
  const auto found = json.find(std::string(key));
  if (found != json.end()) return &*found;
  if (required)
    throw usage_error("reading the configuration key " + join_path(path, key), "it is missing",
                      "it is: " + std::string(doc));
  return nullptr;
}

IVADO_NOINLINE void refuse_missing_part(const Json& value, const Json& off, const Rule& rule, const std::string& path) {
  if (value != off) throw missing_error(path, std::string(rule.part), "leave the key out or set it to " + off.dump());
}

/// The meaning of a key with a word on how far it is honoured.
[[nodiscard]] IVADO_NOINLINE std::string meaning(std::string_view doc, const Rule& rule) {
  std::string out(doc);
  if (rule.support == Support::no_effect) out += " (accepted, without effect in ivado)";
  if (rule.support == Support::missing) out += " (not in ivado yet: " + std::string(rule.part) + ")";
  return out;
}

/// Writes the limits into the schema of a number, or of the numbers in a list.
IVADO_INLINE void put_limits(Json& schema, const Rule& rule) {
  if (schema.contains("items")) return put_limits(schema["items"], rule);
  if (schema.contains("anyOf")) {
    for (auto& one : schema["anyOf"]) put_limits(one, rule);
    return;
  }
  const Json type = schema.value("type", Json());
  if (type != "integer" && type != "number") return;
  if (std::isfinite(rule.min)) schema[rule.open_min ? "exclusiveMinimum" : "minimum"] = rule.min;
  if (std::isfinite(rule.max)) schema[rule.open_max ? "exclusiveMaximum" : "maximum"] = rule.max;
}

IVADO_NOINLINE void add_property(Json& properties, Json& needed, std::string_view key, std::string_view doc,
                                 const Rule& rule, Json schema, Json default_value) {
  put_limits(schema, rule);
  schema["description"] = meaning(doc, rule);
  if (rule.required)
    needed.push_back(std::string(key));
  else
    schema["default"] = std::move(default_value);
  properties[std::string(key)] = std::move(schema);
}

}  // namespace detail

/// The keys of a reflected struct, in order.
template <Reflected T>
[[nodiscard]] std::vector<std::string> keys() {
  std::vector<std::string> out;
  hana::for_each(detail::fields_of<T>, [&](const auto& f) { out.emplace_back(f.key); });
  return out;
}

namespace detail {

/// Reads one member; an instance a type, not a field, keeps binaries and compile times small.
template <class Member>
[[gnu::noinline]] void read_member(const Json& json, const std::string& path, std::string_view key,
                                   std::string_view doc, const Rule& rule, Member& member) {
  const Json* const found = find_key(json, key, doc, rule.required, path);
  if (found == nullptr) return;
  const std::string here = join_path(path, key);
  Member value = from_json<Member>(*found, here);
  check_limits(value, rule, here);
  if (rule.support == Support::missing && !is_also_off(value, rule))
    refuse_missing_part(to_json(value), to_json(member), rule, here);
  member = std::move(value);
}

template <class Member>
[[gnu::noinline]] void write_member(Json& json, std::string_view key, const Member& member) {
  json[std::string(key)] = to_json(member);
}

template <class Member>
[[gnu::noinline]] void describe_member(Json& properties, Json& needed, std::string_view key, std::string_view doc,
                                       const Rule& rule, const Member& default_value) {
  add_property(properties, needed, key, doc, rule, schema<Member>(), to_json(default_value));
}

}  // namespace detail

/// Reads a value from JSON.
///
/// Members whose key is absent keep their default. Unknown keys, wrong types and values outside their limits are
/// errors that name the key.
/// @param path  the key path of `json`, for messages
/// @throws Error (usage)
template <class T>
[[nodiscard]] T from_json(const Json& json, const std::string& path) {
  if constexpr (std::is_same_v<T, Json>) {
    return json;
  } else if constexpr (SelfDescribing<T>) {
    return T::from_json(json, path);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) throw detail::value_error(path, json, "true or false");
    return json.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    const bool is_float = json.is_number_float();
    if (!json.is_number() || (is_float && json.get<double>() != std::floor(json.get<double>())))
      throw detail::value_error(path, json, "a whole number");
    const double v = json.get<double>();
    const bool fits = is_float ? v >= static_cast<double>(std::numeric_limits<T>::lowest()) &&
                                     v < std::ldexp(1.0, std::numeric_limits<T>::digits)
                      : json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                                  : std::in_range<T>(json.get<std::int64_t>());
    if (!fits) {
      if (v > 0) throw detail::value_error(path, json, "a smaller number");
      throw detail::value_error(path, json, std::is_unsigned_v<T> ? "a whole number >= 0" : "a larger number");
    }
    return is_float ? static_cast<T>(v) : json.get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!json.is_number()) throw detail::value_error(path, json, "a number");
    return json.get<T>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!json.is_string()) throw detail::value_error(path, json, "text");
    return json.get<std::string>();
  } else if constexpr (NamedEnum<T>) {
    std::vector<std::string> names;
    for (const auto& [name, value] : EnumNames<T>::values) {
      if (json.is_string() && json.get<std::string>() == name) return value;
      names.emplace_back(name);
    }
    std::string all;
    for (const auto& name : names) all += (all.empty() ? "" : ", ") + ('"' + name + '"');
    std::string expected = "one of " + all;
    if (json.is_string()) expected += "; did you mean \"" + detail::nearest(json.get<std::string>(), names) + "\"?";
    throw detail::value_error(path, json, expected);
  } else if constexpr (detail::is_optional<T>) {
    if (json.is_null()) return std::nullopt;
    return from_json<typename T::value_type>(json, path);
  } else if constexpr (detail::is_vector<T>) {
    if (!json.is_array()) throw detail::value_error(path, json, "a list");
    T out;
    for (std::size_t i = 0; i < json.size(); ++i)
      out.push_back(from_json<typename T::value_type>(json[i], path + "[" + std::to_string(i) + "]"));
    return out;
  } else if constexpr (detail::is_std_array<T>) {
    if (!json.is_array() || json.size() != std::tuple_size_v<T>)
      throw detail::value_error(path, json, "a list of " + std::to_string(std::tuple_size_v<T>) + " values");
    T out{};
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = from_json<typename T::value_type>(json[i], path + "[" + std::to_string(i) + "]");
    return out;
  } else {
    static_assert(Reflected<T>,
                  "ivado: a type in Params must be a number, text, bool, list, optional, a named enum, or a struct "
                  "with `static constexpr auto fields()`");
    detail::refuse_unknown_keys(json, path, keys<T>());
    T out{};
    hana::for_each(detail::fields_of<T>,
                   [&](const auto& f) { detail::read_member(json, path, f.key, f.doc, f.rule, f.of(out)); });
    if constexpr (requires(const T& object) { object.check(path); }) out.check(path);
    return out;
  }
}

/// Writes a value as JSON, so that `from_json` gives it back.
template <class T>
[[nodiscard]] Json to_json(const T& value) {
  if constexpr (std::is_same_v<T, Json>) {
    return value;
  } else if constexpr (SelfDescribing<T>) {
    return value.to_json();
  } else if constexpr (NamedEnum<T>) {
    return std::string(enum_name(value));
  } else if constexpr (detail::is_optional<T>) {
    return value ? to_json(*value) : Json(nullptr);
  } else if constexpr (detail::is_vector<T> || detail::is_std_array<T>) {
    Json out = Json::array();
    for (const auto& element : value) out.push_back(to_json<typename T::value_type>(element));
    return out;
  } else if constexpr (Reflected<T>) {
    Json out = Json::object();
    hana::for_each(detail::fields_of<T>, [&](const auto& f) { detail::write_member(out, f.key, f.of(value)); });
    return out;
  } else {
    return Json(value);
  }
}

/// The type of a value as people say it: "number", "list of text", …
template <class T>
[[nodiscard]] std::string type_name() {
  if constexpr (std::is_same_v<T, Json>)
    return "object";
  else if constexpr (SelfDescribing<T>)
    return T::type_name();
  else if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_integral_v<T>)
    return "whole number";
  else if constexpr (std::is_floating_point_v<T>)
    return "number";
  else if constexpr (std::is_same_v<T, std::string>)
    return "text";
  else if constexpr (NamedEnum<T>) {
    std::string all;
    for (const auto& [name, value] : EnumNames<T>::values) all += (all.empty() ? "" : ", ") + std::string(name);
    return "one of " + all;
  } else if constexpr (detail::is_optional<T>)
    return type_name<typename T::value_type>() + " or null";
  else if constexpr (detail::is_vector<T>)
    return "list of " + type_name<typename T::value_type>();
  else if constexpr (detail::is_std_array<T>)
    return std::to_string(std::tuple_size_v<T>) + " × " + type_name<typename T::value_type>();
  else
    return "object";
}

/// The JSON Schema (draft 2020-12) of a type.
template <class T>
[[nodiscard]] Json schema() {
  if constexpr (std::is_same_v<T, Json>)
    return {{"type", "object"}};
  else if constexpr (SelfDescribing<T>)
    return T::schema();
  else if constexpr (std::is_same_v<T, bool>)
    return {{"type", "boolean"}};
  else if constexpr (std::is_integral_v<T>)
    return {{"type", "integer"}};
  else if constexpr (std::is_floating_point_v<T>)
    return {{"type", "number"}};
  else if constexpr (std::is_same_v<T, std::string>)
    return {{"type", "string"}};
  else if constexpr (NamedEnum<T>) {
    Json names = Json::array();
    for (const auto& [name, value] : EnumNames<T>::values) names.push_back(std::string(name));
    return {{"enum", names}};
  } else if constexpr (detail::is_optional<T>) {
    return {{"anyOf", Json::array({schema<typename T::value_type>(), Json{{"type", "null"}}})}};
  } else if constexpr (detail::is_vector<T>) {
    return {{"type", "array"}, {"items", schema<typename T::value_type>()}};
  } else if constexpr (detail::is_std_array<T>) {
    return {{"type", "array"},
            {"items", schema<typename T::value_type>()},
            {"minItems", std::tuple_size_v<T>},
            {"maxItems", std::tuple_size_v<T>}};
  } else {
    static_assert(Reflected<T>);
    Json properties = Json::object();
    Json needed = Json::array();
    const T defaults{};
    hana::for_each(detail::fields_of<T>, [&](const auto& f) {
      detail::describe_member(properties, needed, f.key, f.doc, f.rule, f.of(defaults));
    });
    Json out{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    if (!needed.empty()) out["required"] = needed;
    return out;
  }
}

/// Calls `visit(path, field, default_value)` for each leaf of a reflected struct, depth first, in order.
template <Reflected T, class Visit>
void for_each_leaf(const Visit& visit, const std::string& path = {}, const T& defaults = T{}) {
  hana::for_each(detail::fields_of<T>, [&](const auto& f) {
    const auto& member = f.of(defaults);
    using Member = std::remove_cvref_t<decltype(member)>;
    const std::string here = detail::join_path(path, f.key);
    if constexpr (Reflected<Member> && !SelfDescribing<Member>)
      for_each_leaf<Member>(visit, here, member);
    else
      visit(here, f, member);
  });
}

/// What a JSON object holds beside keys that are honoured.
struct KeyReport {
  std::vector<std::string> unknown;         ///< paths of keys that nobody knows
  std::vector<std::string> without_effect;  ///< paths of valid keys that do nothing; a whole section of them once
};

namespace detail {

/// The reflected struct that the keys of a value belong to; void where it has none.
template <class T>
struct KeysOf {
  using type = void;
};
template <class T>
requires(Reflected<T> && !SelfDescribing<T>) struct KeysOf<T> {
  using type = T;
};
template <class T>
requires requires { typename T::KeysOf; }
struct KeysOf<T> {
  using type = typename T::KeysOf;
};
template <class T>
struct KeysOf<std::optional<T>> : KeysOf<T> {};

/// True if no leaf of the struct has an effect.
template <Reflected T>
[[nodiscard]] bool has_no_effect() {
  bool any_leaf = false;
  bool none = true;
  hana::for_each(fields_of<T>, [&](const auto& f) {
    using Inner = typename KeysOf<std::remove_cvref_t<decltype(f.of(std::declval<T&>()))>>::type;
    any_leaf = true;
    if constexpr (!std::is_void_v<Inner>)
      none = none && (f.rule.support == Support::no_effect || has_no_effect<Inner>());
    else
      none = none && f.rule.support == Support::no_effect;
  });
  return any_leaf && none;
}

/// How far a key is honoured, and what its value holds.
struct KeyEntry {
  bool silent = false;                                                     ///< without effect, with all it holds
  void (*inspect)(const Json&, const std::string&, KeyReport&) = nullptr;  ///< null: its value is no object with keys
};

IVADO_NOINLINE void inspect_object(const Json& json, const std::string& path, const std::vector<std::string>& valid,
                                   const std::vector<KeyEntry>& entries, KeyReport& report) {
  if (!json.is_object()) return;
  for (const auto& item : json.items()) {
    const std::string here = join_path(path, item.key());
    const auto found = std::find(valid.begin(), valid.end(), item.key());
    if (found == valid.end()) {
      report.unknown.push_back(here);
      continue;
    }
    const KeyEntry& entry = entries[static_cast<std::size_t>(found - valid.begin())];
    KeyReport inner;
    if (entry.inspect != nullptr) entry.inspect(item.value(), here, inner);
    if (entry.silent) inner.without_effect = {here};
    report.unknown.insert(report.unknown.end(), inner.unknown.begin(), inner.unknown.end());
    report.without_effect.insert(report.without_effect.end(), inner.without_effect.begin(), inner.without_effect.end());
  }
}

template <Reflected T>
void inspect_keys(const Json& json, const std::string& path, KeyReport& report) {
  std::vector<KeyEntry> entries;
  hana::for_each(fields_of<T>, [&](const auto& f) {
    using Member = std::remove_cvref_t<decltype(f.of(std::declval<T&>()))>;
    using Inner = typename KeysOf<Member>::type;
    KeyEntry entry{f.rule.support == Support::no_effect, nullptr};
    if constexpr (!std::is_void_v<Inner>) {
      entry.inspect = &inspect_keys<Inner>;
      entry.silent = entry.silent || has_no_effect<Inner>();
    }
    entries.push_back(entry);
  });
  inspect_object(json, path, keys<T>(), entries, report);
}

template <Reflected T>
void key_paths(const std::string& path, std::vector<std::string>& out) {
  hana::for_each(fields_of<T>, [&](const auto& f) {
    using Inner = typename KeysOf<std::remove_cvref_t<decltype(f.of(std::declval<T&>()))>>::type;
    const std::string here = join_path(path, f.key);
    out.push_back(here);
    if constexpr (!std::is_void_v<Inner>) key_paths<Inner>(here, out);
  });
}

}  // namespace detail

/// Looks at the keys alone, not at their values: which are unknown, which have no effect.
///
/// @param json  what the user wrote, before defaults are merged into it
/// @param path  the key path of `json`
template <Reflected T>
[[nodiscard]] KeyReport inspect_keys(const Json& json, const std::string& path = {}) {
  KeyReport report;
  detail::inspect_keys<T>(json, path, report);
  return report;
}

/// The path of every valid key, objects before what they hold.
template <Reflected T>
[[nodiscard]] std::vector<std::string> key_paths(const std::string& path = {}) {
  std::vector<std::string> out;
  detail::key_paths<T>(path, out);
  return out;
}

/// The members of a JSON object that a reflected struct has a field for: what a model takes from the resolved model
/// section.
template <Reflected T>
[[nodiscard]] Json keep_keys_of(const Json& json) {
  const auto valid = keys<T>();
  Json out = Json::object();
  for (const auto& item : json.items())
    if (std::find(valid.begin(), valid.end(), item.key()) != valid.end()) out[item.key()] = item.value();
  return out;
}

/// What there is to say about a key that holds a value and not further keys.
struct Leaf {
  std::string path;
  std::string type;  ///< as people say it: `type_name`
  Json default_value;
  std::string_view doc;
  Rule rule;
};

namespace detail {

template <class Member>
[[gnu::noinline]] void add_leaf(std::vector<Leaf>& out, const std::string& path, std::string_view doc, const Rule& rule,
                                const Member& value) {
  out.push_back({path, type_name<Member>(), to_json(value), doc, rule});
}

}  // namespace detail

/// The leaves of a reflected struct, depth first, in order.
template <Reflected T>
[[nodiscard]] std::vector<Leaf> leaves(const std::string& path = {}) {
  std::vector<Leaf> out;
  for_each_leaf<T>([&](const std::string& here, const auto& f,
                       const auto& value) { detail::add_leaf(out, here, f.doc, f.rule, value); },
                   path);
  return out;
}

/// A Markdown table of leaves: key, type, default, limits, meaning.
[[nodiscard]] IVADO_INLINE std::string key_table(const std::vector<Leaf>& leaves) {
  std::string out = "| key | type | default | limits | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const auto& leaf : leaves)
    out += "| `" + leaf.path + "` | " + leaf.type + " | " +
           (leaf.rule.required ? std::string("required") : "`" + leaf.default_value.dump() + "`") + " | " +
           detail::limits_text(leaf.rule) + " | " + detail::meaning(leaf.doc, leaf.rule) + " |\n";
  return out;
}

/// The key reference of a reflected struct, see `key_table`.
template <Reflected T>
[[nodiscard]] std::string key_reference(const std::string& path = {}) {
  return key_table(leaves<T>(path));
}

/// Leaves for a terminal: a line with key, type, default and limits, then the meaning.
IVADO_INLINE void print_leaves(std::ostream& out, const std::vector<Leaf>& leaves) {
  for (const auto& leaf : leaves) {
    const std::string limits = detail::limits_text(leaf.rule);
    out << "  " << leaf.path << "  (" << leaf.type << (limits.empty() ? "" : ", " + limits) << ", "
        << (leaf.rule.required ? "required" : "default " + leaf.default_value.dump()) << ")\n      "
        << detail::meaning(leaf.doc, leaf.rule) << "\n";
  }
}

/// The keys of a reflected struct for a terminal, see `print_leaves`.
template <Reflected T>
void print_help(std::ostream& out, const std::string& path = {}) {
  print_leaves(out, leaves<T>(path));
}

/// Member-wise equality of two reflected structs.
template <Reflected T>
[[nodiscard]] bool same(const T& a, const T& b) {
  return to_json(a) == to_json(b);
}

}  // namespace ivado
