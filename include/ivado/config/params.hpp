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

[[nodiscard]] inline Error value_error(const std::string& path, const Json& found, const std::string& expected) {
  std::string text = found.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return usage_error("reading the configuration key " + path, "found " + text + ", expected " + expected);
}

[[nodiscard]] inline std::string number_text(double value) {
  return Json(value == std::floor(value) && std::abs(value) < 1e15 ? Json(static_cast<std::int64_t>(value))
                                                                   : Json(value))
      .dump();
}

/// "> 0", "in [0, 1]", … or empty where there is no limit.
[[nodiscard]] inline std::string limits_text(const Rule& rule) {
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
[[nodiscard]] inline Error missing_error(const std::string& path, const std::string& part, const std::string& remedy) {
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

[[nodiscard]] inline std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

}  // namespace detail

/// The keys of a reflected struct, in order.
template <Reflected T>
[[nodiscard]] std::vector<std::string> keys() {
  std::vector<std::string> out;
  hana::for_each(T::fields(), [&](const auto& f) { out.emplace_back(f.key); });
  return out;
}

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
    if (json.is_number_float() && json.get<double>() != std::floor(json.get<double>()))
      throw detail::value_error(path, json, "a whole number");
    if (!json.is_number()) throw detail::value_error(path, json, "a whole number");
    if (std::is_unsigned_v<T> && json.get<double>() < 0) throw detail::value_error(path, json, "a whole number >= 0");
    if (json.get<double>() > static_cast<double>(std::numeric_limits<T>::max()))
      throw detail::value_error(path, json, "a smaller number");
    if (json.get<double>() < static_cast<double>(std::numeric_limits<T>::lowest()))
      throw detail::value_error(path, json, "a larger number");
    return json.is_number_float() ? static_cast<T>(json.get<double>()) : json.get<T>();
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
    if (!json.is_object()) throw detail::value_error(path, json, "an object");
    for (const auto& item : json.items()) {
      bool known = false;
      hana::for_each(T::fields(), [&](const auto& f) { known = known || f.key == item.key(); });
      if (!known)
        throw usage_error("reading the configuration key " + detail::join_path(path, item.key()),
                          "there is no such key", "did you mean \"" + detail::nearest(item.key(), keys<T>()) + "\"?");
    }
    T out{};
    hana::for_each(T::fields(), [&](const auto& f) {
      const std::string here = detail::join_path(path, f.key);
      const auto found = json.find(std::string(f.key));
      auto& member = f.of(out);
      using Member = std::remove_reference_t<decltype(member)>;
      if (found == json.end()) {
        if (f.rule.required)
          throw usage_error("reading the configuration key " + here, "it is missing", "it is: " + std::string(f.doc));
        return;
      }
      Member value = from_json<Member>(*found, here);
      detail::check_limits(value, f.rule, here);
      if (f.rule.support == Support::missing && !detail::is_also_off(value, f.rule) &&
          to_json(value) != to_json(member))
        throw detail::missing_error(here, std::string(f.rule.part),
                                    "leave the key out or set it to " + to_json(member).dump());
      member = std::move(value);
    });
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
    hana::for_each(T::fields(), [&](const auto& f) { out[std::string(f.key)] = to_json(f.of(value)); });
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
    hana::for_each(T::fields(), [&](const auto& f) {
      Json one = schema<std::remove_cvref_t<decltype(f.of(defaults))>>();
      Json& numbers = one.contains("items") ? one["items"] : one.contains("anyOf") ? one["anyOf"][0] : one;
      if (std::isfinite(f.rule.min)) numbers[f.rule.open_min ? "exclusiveMinimum" : "minimum"] = f.rule.min;
      if (std::isfinite(f.rule.max)) numbers[f.rule.open_max ? "exclusiveMaximum" : "maximum"] = f.rule.max;
      one["description"] = std::string(f.doc);
      if (!f.rule.required) one["default"] = to_json(f.of(defaults));
      if (f.rule.required) needed.push_back(std::string(f.key));
      properties[std::string(f.key)] = std::move(one);
    });
    Json out{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    if (!needed.empty()) out["required"] = needed;
    return out;
  }
}

/// Calls `visit(path, field, default_value)` for each leaf of a reflected struct, depth first, in order.
template <Reflected T, class Visit>
void for_each_leaf(const Visit& visit, const std::string& path = {}, const T& defaults = T{}) {
  hana::for_each(T::fields(), [&](const auto& f) {
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
  std::vector<std::string> unknown;  ///< paths of keys that nobody knows
  std::vector<std::string>
      without_effect;  ///< paths of keys that are valid and do nothing; a section of such keys is one entry
};

namespace detail {

/// True if no leaf of the struct has an effect.
template <Reflected T>
[[nodiscard]] bool has_no_effect() {
  bool any_leaf = false;
  bool none = true;
  for_each_leaf<T>([&](const std::string&, const auto& f, const auto&) {
    any_leaf = true;
    none = none && f.rule.support == Support::no_effect;
  });
  return any_leaf && none;
}

template <class T>
void inspect_keys(const Json& json, const std::string& path, KeyReport& report) {
  if constexpr (is_optional<T>) {
    inspect_keys<typename T::value_type>(json, path, report);
  } else if constexpr (requires { typename T::KeysOf; }) {
    inspect_keys<typename T::KeysOf>(json, path, report);
  } else if constexpr (Reflected<T> && !SelfDescribing<T>) {
    if (!json.is_object()) return;
    for (const auto& item : json.items()) {
      const std::string here = join_path(path, item.key());
      bool known = false;
      hana::for_each(T::fields(), [&](const auto& f) {
        if (f.key != item.key()) return;
        known = true;
        using Member = std::remove_cvref_t<decltype(f.of(std::declval<T&>()))>;
        bool silent = f.rule.support == Support::no_effect;
        if constexpr (Reflected<Member> && !SelfDescribing<Member>) silent = silent || has_no_effect<Member>();
        KeyReport inner;
        inspect_keys<Member>(item.value(), here, inner);
        report.unknown.insert(report.unknown.end(), inner.unknown.begin(), inner.unknown.end());
        if (silent)
          report.without_effect.push_back(here);
        else
          report.without_effect.insert(report.without_effect.end(), inner.without_effect.begin(),
                                       inner.without_effect.end());
      });
      if (!known) report.unknown.push_back(here);
    }
  }
}

template <class T>
void key_paths(const std::string& path, std::vector<std::string>& out) {
  if constexpr (is_optional<T>) {
    key_paths<typename T::value_type>(path, out);
  } else if constexpr (requires { typename T::KeysOf; }) {
    key_paths<typename T::KeysOf>(path, out);
  } else if constexpr (Reflected<T> && !SelfDescribing<T>) {
    hana::for_each(T::fields(), [&](const auto& f) {
      using Member = std::remove_cvref_t<decltype(f.of(std::declval<T&>()))>;
      const std::string here = join_path(path, f.key);
      out.push_back(here);
      key_paths<Member>(here, out);
    });
  }
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
  Json out = Json::object();
  for (const auto& item : json.items()) {
    bool known = false;
    hana::for_each(T::fields(), [&](const auto& f) { known = known || f.key == item.key(); });
    if (known) out[item.key()] = item.value();
  }
  return out;
}

/// The key reference as a Markdown table: key, type, default, limits, meaning.
template <Reflected T>
[[nodiscard]] std::string key_reference(const std::string& path = {}) {
  std::string out = "| key | type | default | limits | meaning |\n| --- | --- | --- | --- | --- |\n";
  for_each_leaf<T>(
      [&](const std::string& key, const auto& f, const auto& value) {
        using Member = std::remove_cvref_t<decltype(value)>;
        std::string meaning(f.doc);
        if (f.rule.support == Support::no_effect) meaning += " (accepted, without effect in ivado)";
        if (f.rule.support == Support::missing) meaning += " (not in ivado yet: " + std::string(f.rule.part) + ")";
        out += "| `" + key + "` | " + type_name<Member>() + " | " +
               (f.rule.required ? std::string("required") : "`" + to_json(value).dump() + "`") + " | " +
               detail::limits_text(f.rule) + " | " + meaning + " |\n";
      },
      path);
  return out;
}

/// The same for a terminal: a line with key, type, default and limits, then the meaning.
template <Reflected T>
void print_help(std::ostream& out, const std::string& path = {}) {
  for_each_leaf<T>(
      [&](const std::string& key, const auto& f, const auto& value) {
        using Member = std::remove_cvref_t<decltype(value)>;
        const std::string limits = detail::limits_text(f.rule);
        out << "  " << key << "  (" << type_name<Member>() << (limits.empty() ? "" : ", " + limits) << ", "
            << (f.rule.required ? "required" : "default " + to_json(value).dump()) << ")\n      " << f.doc;
        if (f.rule.support == Support::no_effect) out << " (accepted, without effect in ivado)";
        if (f.rule.support == Support::missing) out << " (not in ivado yet: " << f.rule.part << ")";
        out << "\n";
      },
      path);
}

/// Member-wise equality of two reflected structs.
template <Reflected T>
[[nodiscard]] bool same(const T& a, const T& b) {
  return to_json(a) == to_json(b);
}

}  // namespace ivado
