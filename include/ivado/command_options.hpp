// The options of a command of the program, such as those of `ivado subset`. No LibTorch.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <exception>
#include <map>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "config/json.hpp"
#include "error.hpp"

namespace ivado {

/// The options of a command with their values. `-h` is `--help`; a list is given as "a,b" or as several words.
class CommandOptions {
 public:
  /// The names of the options that a command has.
  struct Known {
    std::vector<std::string> flags;    ///< without a value
    std::vector<std::string> values;   ///< with one value
    std::vector<std::string> lists{};  ///< with one or more values
    /// Short names: {"-c", "--config"}. "-h" for "--help" is always there.
    std::map<std::string, std::string> aliases{};
  };

  /// @param arguments  what follows the command's name
  /// @param command    for messages, such as "ivado subset"
  /// @throws Error (usage) for an unknown option (with the nearest), one without its value, or one given twice
  CommandOptions(std::span<const std::string> arguments, const std::string& command, Known known)
      : doing_("reading the command line of " + command), see_("see " + command + " --help") {
    known.flags.emplace_back("--help");
    known.aliases.emplace("-h", "--help");
    std::vector<std::string> all = known.flags;
    all.insert(all.end(), known.values.begin(), known.values.end());
    all.insert(all.end(), known.lists.begin(), known.lists.end());
    const auto is_in = [](const std::vector<std::string>& names, const std::string& name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    const auto is_option = [&](const std::string& word) {
      return word.starts_with("--") || known.aliases.contains(word);
    };
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const auto alias = known.aliases.find(arguments[i]);
      const std::string& option = alias == known.aliases.end() ? arguments[i] : alias->second;
      if (!is_in(all, option))
        throw usage_error(doing_, "there is no option \"" + option + "\"",
                          "did you mean \"" + detail::nearest(option, all) + "\"? " + see_);
      if (given_.contains(option)) throw usage_error(doing_, option + " is given twice", "give it once");
      auto& words = given_[option];
      if (is_in(known.flags, option)) continue;
      const bool is_list = is_in(known.lists, option);
      while (i + 1 < arguments.size() && !is_option(arguments[i + 1]) && (is_list || words.empty())) {
        std::string_view rest = arguments[++i];
        for (auto comma = rest.find(','); is_list && comma != std::string_view::npos; comma = rest.find(',')) {
          if (comma > 0) words.emplace_back(rest.substr(0, comma));
          rest.remove_prefix(comma + 1);
        }
        if (!rest.empty()) words.emplace_back(rest);
      }
      if (words.empty()) throw usage_error(doing_, option + " needs a value", see_);
    }
  }

  /// Whether the option was given.
  [[nodiscard]] bool has(const std::string& option) const { return given_.contains(option); }
  /// The values of an option; empty where it was not given.
  [[nodiscard]] std::vector<std::string> list(const std::string& option) const {
    const auto found = given_.find(option);
    return found == given_.end() ? std::vector<std::string>{} : found->second;
  }
  /// The value of an option; empty where it was not given.
  [[nodiscard]] std::string text(const std::string& option) const {
    const auto words = list(option);
    return words.empty() ? std::string() : words.front();
  }
  /// The value of an option as a number; nothing where it was not given.
  /// @throws Error (usage) if it is no number of the type
  template <class Number>
  requires std::is_arithmetic_v<Number>
  [[nodiscard]] std::optional<Number> number(const std::string& option) const {
    if (!has(option)) return std::nullopt;
    const std::string word = text(option);
    Number value{};
    const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (fault != std::errc{} || end != word.data() + word.size())
      throw usage_error(doing_, option + " " + word,
                        std::is_floating_point_v<Number> ? "give a number, such as 0.5"
                        : std::is_unsigned_v<Number>     ? "give a whole number of 0 or more"
                                                         : "give a whole number");
    return value;
  }

 private:
  std::string doing_;
  std::string see_;
  std::map<std::string, std::vector<std::string>> given_;
};

/// Runs a command: what it throws is said on `err`, behind the command's name, and becomes its exit status.
/// @param command  called without arguments; returns the exit status
template <class Command>
[[nodiscard]] int run_guarded(std::string_view name, std::ostream& err, const Command& command) {
  try {
    return command();
  } catch (const Error& fault) {
    err << name << ": " << fault.what() << "\n";
    return fault.exit_status();
  } catch (const std::exception& fault) {
    err << name << ": " << fault.what() << "\n";
    return static_cast<int>(Fault::internal);
  }
}

}  // namespace ivado
